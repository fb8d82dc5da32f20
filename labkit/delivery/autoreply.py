"""The autoreply transport: a message in answer to the one that is delivered.

WHAT       `ReplyPlan`: the answer, and who has had one before.
DECIDES    its fields and its words. To whom it goes, is in its To, Cc and Bcc; nobody there: it is not sent, so a
           message with the null reverse-path has no answer if `to` is the sender.
STANDARDS  Exim specification, chapter "The autoreply transport"; RFC 3834 §3.1.5, §3.1.7 (In-Reply-To, References,
           Auto-Submitted)
READ NEXT  command.py
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from labkit.delivery.generic import Stuck, Trouble, expanded, with_trace
from labkit.delivery.written import Form, written
from labkit.eximconf.configuration import Driver
from labkit.eximconf.expansion import Compiled, Env, Tainted, compile_text
from labkit.eximconf.lists import PatternList
from labkit.eximconf.mailbox_text import NoMailbox, end_of_mailbox, read_mailbox
from labkit.eximconf.options.kinds import read_time
from labkit.eximconf.place import ConfigurationError, Place
from labkit.mail.address import Mailbox
from labkit.mail.asking import Asking, ask
from labkit.mail.dates import log_date
from labkit.mail.lookups import FileText, Unanswered, Unopened
from labkit.mail.message import Message, with_crlf

FORBIDDEN = 13  # EACCES
MOST_REFERENCES = 12  # the first one, and the last ones
_ID = re.compile(r"<[^<>\s]{1,900}>")
_FIELDS = (
    "from",
    "reply_to",
    "to",
    "cc",
    "bcc",
    "subject",
    "headers",
    "text",
    "file",
    "log",
    "once",
    "once_repeat",
)
_SHOWN = ("from", "to", "cc", "bcc", "subject")
_FILES = ("file", "log", "once", "once_repeat")
_FREE = ("headers", "text")
_BLOCK = 8192  # Exim counts the body that goes back in blocks


@dataclass(frozen=True, slots=True)
class ReplyPlan:
    """The answer `content` (CR LF line ends; Message-Id and Date are still missing).

    `once` is the file that knows who had one: `to` gets no other within `repeat` seconds (0: never again);
    `once_size`: the file has no more octets than that. `log` is a file that gets `sent`, or `again` if it is not sent.
    `trouble`: the words cannot be had, should it be sent.
    """

    content: bytes
    to: str
    once: str = ""
    repeat: float = 0
    once_size: int = 0
    mode: int = 0o600
    log: str = ""
    sent: str = ""
    again: str = ""
    trouble: Trouble | None = None


@dataclass(slots=True)
class _Values:
    """The expanded options."""

    of: dict[str, str]

    def get(self, name: str) -> str:
        return self.of.get(name, "")


def plan_reply(
    transport: Driver,
    message: Message,
    reverse_path: Mailbox | None,
    recipients: Sequence[Mailbox],
    env: Env,
    now: datetime,
) -> Asking[ReplyPlan | Trouble]:
    """The answer to this message."""
    options, values = transport.options, _Values({})
    try:
        for name in _FIELDS:
            text = options.expansion(name)
            if text is not None:
                values.of[name] = yield from _checked(transport, name, text, env)
        repeat = _repeat(transport, values)
        if (never := options.patterns("never_mail")) is not None:
            yield from _without_those(never, values, env)
        trouble = _tainted(transport, values)
        words = yield from _words(transport, values, env)
    except Stuck as stuck:
        return stuck.trouble
    if isinstance(words, Trouble):
        trouble, words = trouble or words, b""
    if options.flag("return_message"):
        traced = with_trace(transport, message, reverse_path, recipients, now)
        copy = yield from _copy(transport, traced, reverse_path, recipients, env)
        words += copy
    content = _header(values, message) + b"\n" + words
    stamp = log_date(now)
    return ReplyPlan(
        with_crlf(content),
        values.get("to"),
        values.get("once") if values.get("to") else "",
        repeat,
        options.number("once_file_size"),
        options.number("mode"),
        values.get("log"),
        _log(values, stamp),
        f"{stamp}\n  previously sent to {values.get('to')[:200]}\n",
        trouble,
    )


# --- the options ------------------------------------------------------------------------------------


def _checked(transport: Driver, name: str, text: Compiled, env: Env) -> Asking[str]:
    """The value of an option. It must not bring in a field or a file name with odd characters. Raises Stuck."""
    try:
        value = yield from expanded(text, env)
    except Stuck as stuck:
        words = f'Expansion of "{text.text}" failed in {transport.name} transport: {stuck.trouble.words}'
        raise Stuck(Trouble(words, fails=True)) from None
    if value is None:
        words = f'Expansion of "{text.text}" failed in {transport.name} transport: "fail" requested'
        raise Stuck(Trouble(words, fails=True))
    if name not in _FREE:
        for at, char in enumerate(value):
            folds = char == "\n" and value[at + 1 : at + 2] in (" ", "\t") and name not in _FILES
            if not (folds or 32 <= ord(char) < 127 or ord(char) > 159):
                shown = text.text.replace("\n", "\\n")
                words = f'Expansion of "{shown}" in {transport.name} transport '
                words += f"contains non-printing character {ord(char)}"
                raise Stuck(Trouble(words, fails=True))
    return value


def _repeat(transport: Driver, values: _Values) -> float:
    if "once_repeat" not in values.of:
        return 0
    try:
        return read_time(values.get("once_repeat"), Place("once_repeat", 0)).total_seconds()
    except ConfigurationError:
        value = values.get("once_repeat")
        words = f'Invalid time value "{value}" for "once_repeat" in {transport.name} transport'
        raise Stuck(Trouble(words, fails=True)) from None


def _tainted(transport: Driver, values: _Values) -> Trouble | None:
    """A file that a stranger names is none of ours."""
    for name, called in (("once", "once file"), ("log", "logfile"), ("file", "file")):
        value = values.of.get(name)
        if isinstance(value, Tainted) and value:
            words = f"Tainted '{value}' ({called} for {transport.name} transport) not permitted"
            return Trouble(words, FORBIDDEN)
    return None


def _without_those(never: PatternList, values: _Values, env: Env) -> Asking[None]:
    """Take out of To, Cc and Bcc who gets no answer."""
    for name in ("to", "cc", "bcc"):
        if name not in values.of:
            continue
        text, at, kept, is_changed = values.get(name), 0, [], False
        while at < len(text):
            end = end_of_mailbox(text, at, line_ends=False)
            piece = text[at:end]
            try:
                address = read_mailbox(piece.strip()).text
            except NoMailbox:
                kept.append(text[at:])
                break
            if (yield from never.contains(address, env)):
                is_changed = True
            else:
                kept.append(piece)
            at = end + 1
        if is_changed:
            values.of[name] = ",".join(kept).strip()


# --- the answer -------------------------------------------------------------------------------------


def _header(values: _Values, message: Message) -> bytes:
    """All but Message-Id and Date. What `headers` adds comes last: it may be anything."""
    lines = []
    named = (("From", "from"), ("Reply-To", "reply_to"), ("To", "to"), ("Cc", "cc"), ("Bcc", "bcc"))
    for field, name in (*named, ("Subject", "subject")):
        if values.get(name) or name in values.of:
            lines.append(f"{field}: {values.get(name)}")
    own_id = _raw(message, "Message-ID")
    if own_id is not None:
        lines.append(f"In-Reply-To: {own_id}")
    if (references := _references(message, own_id)) is not None:
        lines.append(f"References:{references}")
    lines.append("Auto-Submitted: auto-replied")
    if values.get("headers"):
        lines.append(_as_header(values.get("headers")))
    return "".join(f"{line}\n" for line in lines).encode("latin-1", "replace")


def _as_header(text: str) -> str:
    """Fields that the configuration gives; no empty line among them ends the header."""
    return "\n".join(line for line in text.replace("\r", "").split("\n") if line)


def _raw(message: Message, name: str) -> str | None:
    """The body of a field as it stands, without the blanks before it and the line end."""
    field = next(message.all(name), None)
    if field is None:
        return None
    body = field.raw.partition(b":")[2].decode("latin-1").replace("\r\n", "\n")
    return body.lstrip(" \t\n").rstrip("\n")


def _references(message: Message, own_id: str | None) -> str | None:
    """The thread so far, and the message that is answered (RFC 5322 §3.6.4)."""
    earlier = _raw(message, "References") or _raw(message, "In-Reply-To")
    if earlier is None and own_id is None:
        return None
    ids = _ID.findall(earlier or "")
    if len(ids) > MOST_REFERENCES:
        ids = [ids[0], *ids[1 - MOST_REFERENCES :]]
    return "".join(f" {each}" for each in [*ids, *([own_id] if own_id else [])])


def _words(transport: Driver, values: _Values, env: Env) -> Asking[bytes | Trouble]:
    """The body: `text`, then the file."""
    words = values.get("text")
    words += "\n" if words and not words.endswith("\n") else ""
    path = values.get("file")
    if not path or isinstance(path, Tainted):
        return words.encode("latin-1", "replace")
    answer = yield from ask(FileText(path))
    if isinstance(answer, (Unopened, Unanswered)):
        if transport.options.flag("file_optional"):
            return words.encode("latin-1", "replace")
        number = 2 if isinstance(answer, Unopened) and answer.is_missing else FORBIDDEN
        name = transport.name
        problem = f"Failed to open file {path} when sending message from {name} transport: {answer.reason}"
        return Trouble(problem, number)
    if transport.options.flag("file_expand"):
        for line in answer.splitlines(keepends=True):
            words += yield from _line(line, env)
    else:
        words += answer
    return words.encode("latin-1", "replace")


def _line(line: str, env: Env) -> Asking[str]:
    """One line of a file, expanded; as it is, if that cannot be done."""
    try:
        value = yield from expanded(compile_text(line, Place("the file of an answer", 0)), env)
    except (Stuck, ConfigurationError):
        value = None
    return line if value is None else value


def _copy(
    transport: Driver, message: Message, sender: Mailbox | None, recipients: Sequence[Mailbox], env: Env
) -> Asking[bytes]:
    """The message that is answered, as far as bounce_return_size_limit lets it go back."""
    options = transport.options
    what = "message, including all the headers"
    if options.flag("headers_only"):
        what = "message's header lines"
    elif options.flag("body_only"):
        what = "body of the message, without the headers"
    rubric = f"------ This is a copy of the {what}.\n"
    form = Form(
        None, None, has_header=not options.flag("body_only"), has_body=not options.flag("headers_only")
    )
    limit = int(env.variables.get("bounce_return_size_limit") or 0)
    body = message.body.replace(b"\r\n", b"\n")
    more = "\n"
    if limit > 0 and not options.flag("headers_only"):
        most = (limit // _BLOCK + 1) * _BLOCK
        if len(body) > most:
            more = f"------ The body of the message is {len(body)} characters long; only the first\n"
            more += f"------ {most // 1000 * 1000} or so are included here.\n\n"
        body = body[:limit]
    cut = Message(message.header_fields, message.separator, body)
    octets = yield from written(transport, form, cut, sender, recipients, env)
    assert isinstance(octets, bytes), "nothing stands before or after it"
    return f"\n{rubric}{more}".encode() + octets


def _log(values: _Values, stamp: str) -> str:
    lines = [stamp]
    lines += [f"  {name.title()}: {values.get(name)}" for name in _SHOWN if values.get(name)]
    if values.get("headers"):
        lines.append(f"  {values.get('headers')}")
    return "".join(f"{line}\n" for line in lines)
