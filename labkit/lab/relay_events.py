"""The relay's event log, as its console shows it: made of what the journal has of this host.

WHAT       `relay_events` gives a RelayEvent for each message and recipient: accepted, delivered, deferred, bounced,
           suppressed, refused; each with Message-ID, the relay's queue id, and what the other host said (where its
           queue id stands). So the customer's log, the relay's and the recipient's can be joined.
RULES      the journal is the only record: nothing is kept beside it.
READ NEXT  labkit/teach/views/relay_console.py
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from labkit.mail.event import EventKind, MailEvent

SUPPRESSED = "suppression list"  # the router of who was not even tried
_ID = re.compile(r"\bid=([0-9A-Za-z-]{16,23})\b")
_KINDS = {
    EventKind.RECEIVED: "accepted",
    EventKind.DELIVERED: "delivered",
    EventKind.DEFERRED: "deferred",
    EventKind.FAILED: "bounced",
    EventKind.REJECTED: "refused",
}


@dataclass(frozen=True, slots=True)
class RelayEvent:
    """One line of the log. `what` is one of the words above; `remote_id` the queue id that the other host gave."""

    at: datetime
    what: str
    customer: str
    message_id: str
    queue_id: str
    sender: str
    recipient: str
    remote: str
    words: str
    remote_id: str = ""

    def __str__(self) -> str:
        who = f"{self.sender or '<>'} -> {self.recipient}" if self.recipient else self.sender or "<>"
        parts = (f"{self.at:%d %b %H:%M:%S}", f"{self.what:<10}", self.queue_id or "-" * 16, who, self.words)
        return "  ".join(part for part in parts if part)


def relay_events(events: Iterable[MailEvent], host: str) -> list[RelayEvent]:
    """The log, oldest first."""
    known: dict[str, MailEvent] = {}
    log = []
    for event in events:
        if event.host != host or event.kind not in _KINDS:
            continue
        if event.kind is EventKind.RECEIVED and event.queue_id:
            known[event.queue_id] = event
        log.append(_line(event, known.get(event.queue_id or "")))
    return log


def _line(event: MailEvent, received: MailEvent | None) -> RelayEvent:
    what = _KINDS[event.kind]
    if event.kind is EventKind.FAILED and event.router == SUPPRESSED:
        what = "suppressed"
    who = event.authenticator or (received.authenticator if received is not None else None) or ""
    words, remote_id = event.text or "", ""
    if event.kind is EventKind.DELIVERED and event.code:
        found = _ID.search(words)
        remote_id = found[1] if found else ""
        words = f"{event.code} {words}"
    elif event.kind is EventKind.REJECTED:
        words = f"{event.code} {words} (to {event.command})"
    remote = f"{event.remote_host or ''} [{event.remote_address}]".strip() if event.remote_address else ""
    recipient = event.recipient or ""
    if event.kind is EventKind.RECEIVED:
        recipient = (event.raw_recipients or "").replace(" ", ", ")
    return RelayEvent(
        event.at,
        what,
        who.partition(":")[2],
        event.message_id or (received.message_id if received is not None else None) or "",
        event.queue_id or "",
        (received.sender if received is not None else event.sender) or "",
        recipient,
        remote,
        words,
        remote_id,
    )
