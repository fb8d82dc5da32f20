"""A message as it is written into a file or to a program.

WHAT       `Form` is what an appendfile or pipe transport says of it; `written` gives the octets.
DECIDES    what stands before and after it, which lines are escaped (From_), how lines end, whether it is batch SMTP.
LIKE EXIM  only lines of the body are escaped; in batch SMTP those of the header, too. What stands before and after
           is written as it is.
STANDARDS  RFC 4155 (mbox); Exim specification, chapter "The appendfile transport"
READ NEXT  appendfile.py
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from labkit.delivery.generic import NOT_EXPANDED, Stuck, Trouble, bare, expanded
from labkit.eximconf.configuration import Driver
from labkit.eximconf.expansion import Compiled, Env, compile_text
from labkit.eximconf.place import Place, readable
from labkit.eximconf.reader import ConfigurationError
from labkit.mail.address import Mailbox
from labkit.mail.asking import Asking
from labkit.mail.message import CRLF, Message

LF = b"\n"
_NOWHERE = Place("labkit's defaults", 0)
_PREFIX = compile_text("From ${if def:return_path{$return_path}{MAILER-DAEMON}} ${tod_bsdinbox}\n", _NOWHERE)
_SUFFIX = compile_text("\n", _NOWHERE)


@dataclass(frozen=True, slots=True)
class Form:
    """How a transport writes messages down. `check` at the start of a line becomes `escape`."""

    prefix: Compiled | None
    suffix: Compiled | None
    check: bytes = b""
    escape: bytes = b""
    crlf: bool = False
    batch: bool = False
    has_header: bool = True
    has_body: bool = True

    @classmethod
    def of(cls, transport: Driver, *, is_mbox: bool, escapes: bool = True) -> Form:
        """The form that the options give.

        `is_mbox`: a From_ line and a blank line if nothing else is said; `escapes`: and lines that look so are escaped.
        """
        options = transport.options
        prefix, suffix = options.expansion("message_prefix"), options.expansion("message_suffix")
        check, escape = options.text("check_string"), options.text("escape_string")
        batch = options.flag("use_bsmtp")
        if batch:
            check, escape = ".", ".."
        elif is_mbox:
            prefix = _PREFIX if prefix is None else prefix
            suffix = _SUFFIX if suffix is None else suffix
            if escapes:
                check = "From " if check is None else check
                escape = ">From " if escape is None else escape
        return cls(
            prefix,
            suffix,
            (check or "").encode("latin-1"),
            (escape or "").encode("latin-1"),
            options.flag("use_crlf"),
            batch,
            not options.flag("body_only"),
            not options.flag("headers_only"),
        )

    @property
    def is_usual(self) -> bool:
        """Is it an mbox as everybody writes it?"""
        return self.prefix is _PREFIX and self.suffix is _SUFFIX


def check_form(transport: Driver) -> None:
    """Raises ConfigurationError for what cannot be together."""
    if transport.options.flag("body_only") and transport.options.flag("headers_only"):
        raise ConfigurationError(
            transport.place,
            f"the transport {transport.name}: only one of body_only and headers_only may be set",
            "leave one of them out",
        )


def written(
    transport: Driver,
    form: Form,
    message: Message,
    sender: Mailbox | None,
    recipients: Sequence[Mailbox],
    env: Env,
) -> Asking[bytes | Trouble]:
    """The octets of the message in this form; `recipients` are for batch SMTP."""
    before = yield from _beside(transport, "prefix", form.prefix, env)
    after = yield from _beside(transport, "suffix", form.suffix, env)
    if isinstance(before, Trouble):
        return before
    if isinstance(after, Trouble):
        return after
    end = CRLF if form.crlf else LF
    text = _text(form, message)
    if form.crlf:
        text = text.replace(LF, CRLF)
    if form.batch:
        lines = [
            f"MAIL FROM:<{sender or ''}>",
            *(f"RCPT TO:<{bare(each, transport, env)}>" for each in recipients),
            "DATA",
        ]
        opening = b"".join(line.encode("utf-8", "surrogateescape") + end for line in lines)
        return before + opening + text + after + b"." + end
    return before + text + after


def _text(form: Form, message: Message) -> bytes:
    header = body = b""
    if form.has_header:
        header = b"".join(field.raw for field in message.header_fields).replace(CRLF, LF) + LF
    if form.has_body:
        body = message.body.replace(CRLF, LF)
    if not (form.check and form.escape):
        return header + body
    if form.batch:
        return _escaped(header + body, form)
    return header + _escaped(body, form)


def _escaped(text: bytes, form: Form) -> bytes:
    return (LF + text).replace(LF + form.check, LF + form.escape)[1:]


def _beside(transport: Driver, what: str, text: Compiled | None, env: Env) -> Asking[bytes | Trouble]:
    """What stands before or after the message."""
    if text is None:
        return b""
    try:
        value = yield from expanded(text, env)
    except Stuck:
        value = None
    if value is None:
        words = f'Expansion of "{readable(text.text)}" ({what} for {transport.name} transport) failed'
        return Trouble(words, NOT_EXPANDED)
    return value.encode("latin-1", "replace")
