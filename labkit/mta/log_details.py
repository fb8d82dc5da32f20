"""What the log can show besides the facts: who handed a message in, its subject, the way of an address.

WHAT       details of events, for log_selector: `of_message` when one came in, `of_session` what only its session
           knows, `of_leg` when an address is done with.
READ NEXT  labkit/lab/exim_log.py writes the lines
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from labkit.eximconf.expansion.headers import decode_words
from labkit.mail.envelope import Envelope
from labkit.mail.message import Message
from labkit.mta.legs import Leg
from labkit.queue.item import QueueItem
from labkit.routing import NextHop

_LONGEST_SUBJECT = 1000  # octets that are decoded
_BODIES = {"8BITMIME": 8, "7BIT": 7}


def of_message(item: QueueItem, message: Message) -> Mapping[str, Any]:
    """Of a message that came in."""
    origin, encryption = item.origin, item.origin.encryption
    subject = message.first("Subject")
    if subject is not None:
        octets = subject.encode("utf-8", "surrogateescape").decode("latin-1")
        subject = (
            decode_words(octets[:_LONGEST_SUBJECT]).encode("latin-1", "replace").decode("utf-8", "replace")
        )
    return {
        "login": origin.login or None,
        "subject": subject,
        "peer_name": encryption.peer_name if encryption is not None else None,
        "server_name": encryption.server_name if encryption is not None else None,
        "raw_sender": item.envelope.sender,
        "raw_recipients": " ".join(map(str, item.envelope.forward_paths)),
    }


def of_session(given: Envelope, address: str, port: str, body: str) -> Mapping[str, Any]:
    """Of a message that came by SMTP: the envelope as it was `given`, our `address` and `port`, BODY= of MAIL."""
    return {
        "raw_sender": given.sender,
        "raw_recipients": " ".join(map(str, given.forward_paths)),
        "own_address": address,
        "own_port": int(port) if port.isdigit() else None,
        "body_type": _BODIES.get(body),
    }


def of_leg(item: QueueItem, leg: Leg, hop: NextHop | None, own_address: str) -> Mapping[str, Any]:
    """Of an address that was delivered, put off or given up."""
    errors_to = leg.route.errors_to
    between = leg.route.parents[:-1]
    return {
        "origin": item.envelope.sender,
        "return_path": item.envelope.sender if errors_to is None else errors_to,
        "parents": ", ".join(between) or None,
        "remote_port": (hop.port or None) if hop is not None else None,
        "own_address": own_address if hop is not None else None,
    }


def size_of(item: QueueItem, message: Message) -> int:
    """S= as Exim counts it: a header field of a thousand octets or more counts for one more with each further digit."""
    lengths = (len(field.raw) - field.raw.count(b"\r\n") for field in message.header_fields)
    return item.size + sum(len(str(length)) - 3 for length in lengths if length >= 1000)
