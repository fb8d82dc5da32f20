"""What all transports share: how the message is shaped that they deliver.

WHAT       `Trouble` is why a transport cannot deliver now; `with_trace` writes what final delivery puts on top.
STANDARDS  Exim specification, chapter "Generic options for transports"; RFC 5321 §4.4 (Return-path at final delivery)
READ NEXT  appendfile.py
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from labkit.eximconf.configuration import Driver
from labkit.mail.address import Mailbox
from labkit.mail.dates import header_date
from labkit.mail.message import HeaderField, Message


@dataclass(frozen=True, slots=True)
class Trouble:
    """Why the transport cannot deliver now; Exim tries again later."""

    words: str


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
