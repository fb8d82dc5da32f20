"""What all transports share: how the message is shaped that they deliver, and under which reverse-path.

DECIDES    which fields are taken out and put in (headers_remove, headers_add), which addresses change
           (headers_rewrite), who hears of failures further on (return_path), where it is at home (home_directory), what
           is too large (message_size_limit).
LIKE EXIM  what a transport removes are fields that came with the message; those that routers add stay, and come before
           those that the transport adds
STANDARDS  Exim specification, chapter "Generic options for transports"; RFC 5321 §4.4 (Return-path at final delivery)
READ NEXT  written.py
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from functools import lru_cache

from labkit.eximconf.configuration import Driver, Options
from labkit.eximconf.expansion import Compiled, Defer, Env, ForcedFailure, Value, compile_text
from labkit.eximconf.lists import NamedLists, split_list
from labkit.eximconf.place import LogicalLine, Place
from labkit.eximconf.rewriting import Qualifying, Rules, read_rules, rewritten_fields
from labkit.mail.address import AddressSyntaxError, Mailbox
from labkit.mail.asking import Asking
from labkit.mail.dates import header_date
from labkit.mail.fields import fields_of, with_fields
from labkit.mail.message import HeaderField, Message

# Exim's numbers of trouble (macros.h); others are the system's
NOT_ABSOLUTE, HEADERS_FAILED, NOT_EXPANDED = -21, -25, -27
UNKNOWN_ERROR = -1  # what appendfile says of options that it cannot read
_NOTHING_QUALIFIED = Qualifying("", "", senders=False, recipients=False)
_UNITS = {"k": 1024, "m": 1024**2, "g": 1024**3}


@dataclass(frozen=True, slots=True)
class Trouble:
    """Why the transport does not deliver: Exim tries again later, or (`fails`) gives up.

    `errno` is the number that the log shows; `told` is what a report says instead of the words.
    """

    words: str
    errno: int = 0
    fails: bool = False
    freezes: bool = False
    told: str | None = None


class Stuck(Exception):
    """Ends a plan from inside."""

    def __init__(self, trouble: Trouble) -> None:
        super().__init__(trouble.words)
        self.trouble = trouble


def expanded(text: Compiled, env: Env) -> Asking[str | None]:
    """The value; None if the configuration says `fail`. Raises Stuck with the bare message of what went wrong."""
    outcome = yield from text.asking(env)
    if isinstance(outcome, Value):
        return outcome.text
    if isinstance(outcome, ForcedFailure):
        return None
    raise Stuck(Trouble(outcome.message, fails=not isinstance(outcome, Defer)))


# --- the envelope and the surroundings ------------------------------------------------------------


def reverse_path(transport: Driver, usual: Mailbox | None, env: Env) -> Asking[Mailbox | Trouble | None]:
    """Who hears of failures further on: whom `return_path` names, else the usual one."""
    text = transport.options.expansion("return_path")
    if text is None:
        return usual
    try:
        named = yield from expanded(text, env)
        if named is None:
            return usual
        return Mailbox.parse(named) if named else None
    except Stuck as stuck:
        why = stuck.trouble.words
    except AddressSyntaxError as problem:
        why = str(problem)
    words = f'Failed to expand return path "{text.text}" in {transport.name} transport: {why}'
    return Trouble(words, NOT_EXPANDED)


def home(transport: Driver, env: Env) -> Asking[Trouble | None]:
    """Set $home to the home_directory of the transport, if it has one."""
    text = transport.options.expansion("home_directory")
    if text is None:
        return None
    env.variables.pop("home", None)
    try:
        place = yield from expanded(text, env)
    except Stuck as stuck:
        why = stuck.trouble.words
        words = f'home directory "{text.text}" failed to expand for {transport.name} transport: {why}'
        return Trouble(words, NOT_EXPANDED)
    if not (place or "").startswith("/"):
        words = f'home directory path "{place or ""}" is not absolute for {transport.name} transport'
        return Trouble(words, NOT_ABSOLUTE)
    env.variables["home"] = place or ""
    return None


def current_directory(transport: Driver, env: Env) -> Asking[str | Trouble]:
    """Where a program runs: current_directory, else $home, else the root."""
    text = transport.options.expansion("current_directory")
    if text is None:
        return env.variables.get("home") or "/"
    try:
        place = yield from expanded(text, env)
    except Stuck as stuck:
        why = stuck.trouble.words
        words = f'current directory "{text.text}" failed to expand for {transport.name} transport: {why}'
        return Trouble(words, NOT_EXPANDED)
    if not (place or "").startswith("/"):
        words = f'current directory path "{place or ""}" is not absolute for {transport.name} transport'
        return Trouble(words, NOT_ABSOLUTE)
    return place or "/"


def too_large(transport: Driver, size: int, env: Env) -> Asking[Trouble | None]:
    """Is the message of `size` octets too large for this transport?"""
    text = transport.options.expansion("message_size_limit")
    if text is None:
        return None
    try:
        value = yield from expanded(text, env)
    except Stuck as stuck:
        why = stuck.trouble.words
        return Trouble(f"failed to expand message_size_limit in {transport.name} transport: {why}")
    digits, unit = (value or "").strip(), 1
    if digits[-1:].lower() in _UNITS:
        digits, unit = digits[:-1], _UNITS[digits[-1].lower()]
    if value is None or not digits.isascii() or not digits.isdecimal() or len(digits) > 15:
        why = "integer expected" if not value else f'invalid integer "{value}"'
        return Trouble(f"invalid message_size_limit in {transport.name} transport: {why}")
    limit = int(digits) * unit
    if 0 < limit < size:
        return Trouble(f"message is too big (transport limit = {limit})", fails=True)
    return None


def bare(recipient: Mailbox, transport: Driver, env: Env) -> Mailbox:
    """As SMTP names it: without prefix and suffix that a router took off, unless rcpt_include_affixes."""
    if transport.options.flag("rcpt_include_affixes"):
        return recipient
    prefix = env.variables.get("local_part_prefix", "")
    suffix = env.variables.get("local_part_suffix", "")
    local = recipient.local_part
    if prefix and local.lower().startswith(prefix.lower()):
        local = local[len(prefix) :]
    if suffix and local.lower().endswith(suffix.lower()):
        local = local[: -len(suffix)]
    return Mailbox(local, recipient.domain)


# --- the message ------------------------------------------------------------------------------------


def shaped(
    transport: Driver, message: Message, added: Iterable[HeaderField], env: Env
) -> Asking[Message | Trouble]:
    """The message as the transport's options change it; `added` are fields that routers add."""
    try:
        names = yield from _items(transport.options, "headers_remove", ":", env)
        fields = yield from _items(transport.options, "headers_add", "\n", env)
    except Stuck as stuck:
        words = f"failed to expand headers_add or headers_remove: {stuck.trouble.words}"
        return Trouble(words, HEADERS_FAILED)
    if names:
        message = without_those(message, names)
    if rules := rewrite_rules(transport, env.named):
        found = yield from rewritten_fields(message.header_fields, rules, env, _NOTHING_QUALIFIED)
        message = replace(message, header_fields=found[0])
    return with_fields(message, [*added, *(field for text in fields for field in fields_of(text))])


def rewrite_rules(transport: Driver, named: NamedLists) -> Rules:
    """The rules of headers_rewrite. Raises ConfigurationError."""
    lines = [LogicalLine(item, transport.place) for item in transport.options.texts("headers_rewrite")]
    return Rules(read_rules(lines, named, of_transport=True) if lines else (), named)


def without_those(message: Message, names: Sequence[str]) -> Message:
    """The same message without the fields of these names; a name may end in a `*` for any more letters."""
    exact = {name.lower() for name in names if not name.endswith("*")}
    starts = tuple(name[:-1].lower() for name in names if name.endswith("*"))
    kept = tuple(
        field
        for field in message.header_fields
        if (name := field.name.lower()) not in exact and not (starts and name.startswith(starts))
    )
    return replace(message, header_fields=kept)


def _items(options: Options, name: str, separator: str, env: Env) -> Asking[list[str]]:
    """The items of a list that are expanded one by one. Raises Stuck."""
    found = []
    for text in options.several(name):
        for item in _compiled(text.text, separator):
            value = yield from expanded(item, env)
            if value:
                found.append(str(value))
    return found


@lru_cache(maxsize=256)
def _compiled(text: str, separator: str) -> tuple[Compiled, ...]:
    place = Place("a transport", 0)  # what is wrong with it is said when it is expanded
    return tuple(compile_text(item, place) for item in split_list(text, separator))


def with_trace(
    transport: Driver,
    message: Message,
    reverse_path: Mailbox | None,
    recipients: Sequence[Mailbox],
    now: datetime,
) -> Message:
    """What final delivery writes on top, RFC 5321 §4.4."""
    options = transport.options
    if options.flag("delivery_date_add"):
        message = message.prepend(HeaderField.make("Delivery-date", header_date(now)))
    if options.flag("envelope_to_add"):
        listed = [f"{each}," for each in recipients[:-1]] + [str(recipients[-1])]
        message = message.prepend(HeaderField.make("Envelope-to", *listed, fold="\r\n "))
    if options.flag("return_path_add"):
        sender = "" if reverse_path is None else str(reverse_path)
        message = message.prepend(HeaderField.make("Return-path", f"<{sender}>"))
    return message
