"""Turn a transport of the configuration into a plan for one message.

WHAT       `check_transport` looks at the options once, when the file is read; `plan` fills them in for a message.
DECIDES    which file or which hosts, which fields are added at final delivery.
STANDARDS  Exim specification, chapters "The appendfile transport", "The smtp transport";
           RFC 5321 §4.4 (Return-path at final delivery)
READ NEXT  the room queue
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TypeAlias

from labkit.eximconf.configuration import Driver
from labkit.eximconf.expand import VARIABLES, Expansion
from labkit.eximconf.reader import ConfigurationError
from labkit.mail.address import Mailbox
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


Plan: TypeAlias = AppendPlan | SmtpPlan


def check_transport(transport: Driver) -> None:
    """Look at a transport when the configuration is read. Raises ConfigurationError."""
    if transport.driver != "appendfile":
        return
    options = transport.options
    targets = [name for name in ("file", "directory") if options.expansion(name) is not None]
    if len(targets) != 1:
        raise ConfigurationError(
            transport.place,
            f"the transport {transport.name} needs either file or directory",
            "add: file = /var/mail/$local_part_data",
        )
    if (targets == ["directory"]) != options.flag("maildir_format"):
        raise ConfigurationError(
            transport.place,
            f"the transport {transport.name}: directory goes with maildir_format, file without it",
            "labkit writes mbox files and Maildir directories",
        )
    path = options.expansion(targets[0])
    assert path is not None
    if path.tainted:
        vouched = "domain_data" if path.tainted[0] == "domain" else "local_part_data"
        raise ConfigurationError(
            path.place,
            f"Tainted name for a file: ${path.tainted[0]} is chosen by the sender",
            f"a stranger must not name our files: use ${vouched}, which a check vouches for",
        )
    if not path.parts or not (path.parts[0] == VARIABLES["home"] or path.text.startswith("/")):
        raise ConfigurationError(
            path.place, f"the path {path.text!r} is not absolute", "begin it with / or $home"
        )


def plan(
    transport: Driver,
    message: Message,
    reverse_path: Mailbox | None,
    recipients: Sequence[Mailbox],
    values: Mapping[str, str],
    now: datetime,
) -> Plan:
    """What to do for these recipients; `values` come from the route, `now` dates the delivery."""
    options = transport.options
    if transport.driver == "smtp":
        helo = _expanded(options.expansion("helo_data"), values)
        return SmtpPlan(helo, options.number("port"))
    is_maildir = options.flag("maildir_format")
    path = _expanded(options.expansion("directory" if is_maildir else "file"), values)
    sender = "" if reverse_path is None else str(reverse_path)
    if options.flag("delivery_date_add"):
        message = message.prepend(HeaderField.make("Delivery-date", header_date(now)))
    if options.flag("envelope_to_add"):
        listed = [f"{each}," for each in recipients[:-1]] + [str(recipients[-1])]
        message = message.prepend(HeaderField.make("Envelope-to", *listed, fold="\r\n "))
    if options.flag("return_path_add"):
        message = message.prepend(HeaderField.make("Return-path", f"<{sender}>"))
    return AppendPlan(path, is_maildir, options.number("mode"), bytes(message), sender)


def _expanded(text: Expansion | None, values: Mapping[str, str]) -> str:
    return "" if text is None else text.expand(values)
