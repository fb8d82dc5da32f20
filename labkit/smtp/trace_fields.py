"""The Received field that a server puts on top of each message.

WHAT       written as Exim's default `received_header_text` writes it.
STANDARDS  RFC 5321 §4.4 (trace information), RFC 3848 (with esmtp, esmtps …), RFC 5322 §3.3 (date)
READ NEXT  the room eximconf
"""

from __future__ import annotations

from datetime import datetime

from labkit.mail.dates import header_date
from labkit.mail.encryption import Encryption
from labkit.mail.envelope import Envelope
from labkit.mail.message import HeaderField


def received_field(
    *,
    client_address: str,
    client: str = "",
    helo_name: str,
    by: str,
    software: str,
    protocol: str,
    envelope: Envelope,
    queue_id: str,
    at: datetime,
    login: str = "",
    encryption: Encryption | None = None,
) -> HeaderField:
    """The Received field for a message that arrived at `at` from `client_address` (or from the local `login`).

    `client` is what Exim's $sender_rcvhost says of the client, where its name may have been looked up.

    `for` names the recipient only when there is one: it must not tell the others (RFC 5321 §7.6).
    """
    written_by = [f"by {by} with {protocol} ({software})"]
    if encryption is not None:
        written_by = [
            f"by {by} with {protocol}  ({encryption.version}) tls {encryption.cipher}",
            f"({software})",
        ]
    if not client_address:
        lines = [f"from {login} {written_by[0]}"]
    elif client:
        lines = [f"from {client}", *written_by]
    elif not helo_name or helo_name == f"[{client_address}]":
        lines = [f"from [{client_address}]", *written_by]
    else:
        lines = [f"from [{client_address}] (helo={helo_name})", *written_by]
    if envelope.sender:
        lines.append(f"(envelope-from <{envelope.sender}>)")
    lines.append(f"id {queue_id}")
    if len(envelope.forward_paths) == 1:
        lines.append(f"for {envelope.forward_paths[0]}")
    lines[-1] += ";"
    lines.append(header_date(at))
    return HeaderField.make("Received", *lines)
