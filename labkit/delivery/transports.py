"""Turn a transport of the configuration into a plan for one message.

WHAT       `check_transport` looks at the options once, when the file is read; `planning` fills them in for a message.
DECIDES    which file or which hosts, which fields are added at final delivery; or why this cannot be (Trouble).
SAFE       a name that a stranger chose is no file name of ours: Exim calls it tainted, and so do we.
STANDARDS  Exim specification, chapters "The appendfile transport", "The smtp transport";
           RFC 5321 §4.4 (Return-path at final delivery)
READ NEXT  the room queue
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TypeAlias

from labkit.eximconf.configuration import Driver
from labkit.eximconf.expansion import Env, Value
from labkit.eximconf.reader import ConfigurationError
from labkit.mail.address import Mailbox
from labkit.mail.asking import Asking
from labkit.mail.dates import header_date
from labkit.mail.message import HeaderField, Message


@dataclass(frozen=True, slots=True)
class AppendPlan:
    """Final delivery: append `content` (CR LF line ends) to the mailbox at `path` (as the host names it)."""

    path: str
    is_maildir: bool
    mode: int
    content: bytes
    sender: str


@dataclass(frozen=True, slots=True)
class SmtpPlan:
    """Hand the message to another host: what to say in EHLO, and which port."""

    helo_name: str
    port: int


@dataclass(frozen=True, slots=True)
class Trouble:
    """Why the transport cannot deliver now; Exim tries again later."""

    words: str


Plan: TypeAlias = AppendPlan | SmtpPlan | Trouble


def check_transport(transport: Driver) -> None:
    """Look at a transport when the configuration is read. Raises ConfigurationError."""
    if transport.driver != "appendfile":
        return
    options = transport.options
    targets = [name for name in ("file", "directory") if options.has(name)]
    if len(targets) > 1:
        raise ConfigurationError(
            transport.place,
            f"the transport {transport.name} has both file and directory",
            "leave out one: file for mbox, directory for Maildir",
        )
    if targets and (targets == ["directory"]) != options.flag("maildir_format"):
        raise ConfigurationError(
            transport.place,
            f"the transport {transport.name}: directory goes with maildir_format, file without it",
            "labkit writes mbox files and Maildir directories",
        )


def planning(
    transport: Driver,
    message: Message,
    reverse_path: Mailbox | None,
    recipients: Sequence[Mailbox],
    env: Env,
    now: datetime,
    path: str = "",
) -> Asking[Plan]:
    """What to do for these recipients; `env` knows the route's variables, `now` dates the delivery.

    `path` is a file that a redirection names; else the transport's own option does.
    """
    options = transport.options
    if transport.driver == "smtp":
        text = options.expansion("helo_data")
        assert text is not None, "it has a default"
        outcome = yield from text.asking(env)
        if not isinstance(outcome, Value):
            return Trouble(f"failed to expand transport's helo_data: {outcome.message}")
        return SmtpPlan(outcome.text, options.number("port"))
    if transport.driver != "appendfile":
        return Trouble(
            f"{transport.name}: labkit runs no programs and writes no answers (driver {transport.driver})"
        )
    named = path or (yield from _mailbox(transport, env))
    if isinstance(named, Trouble):
        return named
    if not named.startswith("/"):
        return Trouble(f'appendfile: file or directory name "{named}" is not absolute')
    content = _with_trace(transport, message, reverse_path, recipients, now)
    sender = "" if reverse_path is None else str(reverse_path)
    return AppendPlan(named, options.flag("maildir_format"), options.number("mode"), bytes(content), sender)


def _mailbox(transport: Driver, env: Env) -> Asking[str | Trouble]:
    """The path that the transport's own option names."""
    option = "directory" if transport.options.flag("maildir_format") else "file"
    text = transport.options.expansion(option)
    if text is None:
        return Trouble(f"Mandatory file or directory option missing from {transport.name} transport")
    outcome = yield from text.asking(env)
    if not isinstance(outcome, Value):
        what = "file or directory name"
        return Trouble(
            f'Expansion of "{text.text}" ({what} for {transport.name} transport) failed: {outcome.message}'
        )
    if outcome.is_tainted:
        return Trouble(
            f"Tainted '{outcome.text}' (file or directory name for {transport.name} transport) not permitted"
        )
    return outcome.text


def _with_trace(
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
