"""What holds a message that waits: how it was tried, and which of the host's hints must end first.

WHAT       `Tries` follows the journal: how often each message was tried, what was said last, which hosts it is for.
           `held_by` finds the hint that decides when it is tried again.
DECIDES    nothing: the hints are what the host's MTA remembers (Engine.retry_hints), labkit's or a real Exim's.
LIKE EXIM  a message is tried when any of its recipients may be, each by any of its hosts
READ NEXT  whywaiting.py, labkit/teach/waiting.py
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime

from labkit.lab.lives import is_only_a_look
from labkit.mail.address import Mailbox
from labkit.mail.event import EventKind, MailEvent
from labkit.net.dns_zones import Zones
from labkit.queue.hints import Hint, address_key, domain_key, mailbox_key
from labkit.queue.item import QueueItem

MOST_NAMES = 50  # of hosts, remembered for one message
_CALLED = re.compile(r"H=(\S+) \[")
_HOST_NAME = re.compile(r"[A-Za-z0-9_-]+(?:\.[A-Za-z0-9_-]+)+")


@dataclass(slots=True)
class Trying:
    """One message at one host: at how many instants it was tried, and how that ended last."""

    attempts: int = 0
    last_try: datetime | None = None
    words: str = ""  # of the last failure
    looked: str = ""  # of a run after it that did not try at all
    hosts: set[str] = field(default_factory=set)  # names its routers gave

    def take(self, event: MailEvent) -> None:
        if event.kind in (EventKind.ROUTED, EventKind.LOGGED):
            pattern = _HOST_NAME if event.kind is EventKind.ROUTED else _CALLED
            names = (name.lower() for name in pattern.findall(event.text or ""))
            self.hosts.update(name for name in names if len(self.hosts) < MOST_NAMES)
        elif is_only_a_look(event):
            self.looked = event.text or ""
        elif event.kind in (EventKind.DEFERRED, EventKind.DELIVERED, EventKind.FAILED):
            self.attempts += event.at != self.last_try
            self.last_try = event.at
            if event.kind is not EventKind.DELIVERED:
                self.words, self.looked = event.text or "", ""
            if event.remote_host:
                self.hosts.add(event.remote_host.lower())


class Tries:
    """What the journal says of the messages that have not left yet."""

    def __init__(self) -> None:
        self._messages: dict[tuple[str, str], Trying] = {}

    def take(self, event: MailEvent) -> None:
        if event.queue_id is None:
            return
        key = event.host, event.queue_id
        if event.kind is EventKind.COMPLETED:
            self._messages.pop(key, None)
        elif event.kind in _TELLING:
            self._messages.setdefault(key, Trying()).take(event)

    def of(self, host: str, queue_id: str) -> Trying:
        return self._messages.get((host, queue_id)) or Trying()


_TELLING = frozenset(
    {EventKind.ROUTED, EventKind.LOGGED, EventKind.DEFERRED, EventKind.DELIVERED, EventKind.FAILED}
)


@dataclass(frozen=True, slots=True)
class Held:
    """A hint that is in the way. `what` is its key (queue/hints.py): T: a host or mailbox, R: an address or domain."""

    what: str
    hint: Hint

    @property
    def holds_until(self) -> datetime:
        """When the message is dealt with: a host that is dead for too long holds nobody, it is given up."""
        attempt = self.hint.attempt
        return attempt.last_try if attempt.has_expired and self.is_host else attempt.next_try

    @property
    def is_host(self) -> bool:
        return self.what.startswith("T:") and "@" not in self.what


def exchangers(zones: Zones) -> dict[str, set[str]]:
    """Where the zones send mail, by domain."""
    found: dict[str, set[str]] = {}
    for domain, record in zones.mx_records():
        found.setdefault(domain, set()).add(record.exchange)
    return found


def held_by(
    item: QueueItem,
    tried: Collection[str],
    hints: Mapping[str, Hint],
    exchangers: Mapping[str, Collection[str]],
) -> Held | None:
    """The hint that must end before any recipient may be tried; None: one of them may be.

    Hosts of a recipient are those that `exchangers` knows for the domain, itself, and those in `tried` (where this
    message went before). All that is said of an address must be over, and all that is said of one of its hosts.
    """
    of_hosts: dict[str, list[tuple[str, Held]]] = {}  # by name: the place, and what is said of it
    for key, hint in hints.items():
        held = Held(key, hint)
        if held.is_host and (place := _place(key, item.queue_id)):
            of_hosts.setdefault(key[2:].partition(":")[0].partition("/")[0].lower(), []).append((place, held))
    found = []
    for recipient in item.remaining:
        domain = recipient.domain.lower()
        gate = [Held(key, hints[key]) for key in _keys_of(item, recipient) if key in hints]
        places: dict[str, list[Held]] = {}
        for name in {domain, *exchangers.get(domain, ()), *tried}:
            for place, held in of_hosts.get(name, ()):
                places.setdefault(place, []).append(held)
        if places:
            gate.append(min((_last(said) for said in places.values()), key=_end))
        if not gate:
            return None
        found.append(_last(gate))
    return min(found, key=_end, default=None)


def _end(held: Held) -> tuple[datetime, str]:
    return held.holds_until, held.what


def _last(several: Iterable[Held]) -> Held:
    return max(several, key=_end)


def _place(key: str, queue_id: str) -> str:
    """The host that the hint is about; "" if it is about another message at that host."""
    place, _, last = key.rpartition(":")
    if last == queue_id:
        return place
    is_of_a_message = place != "T" and "-" in last and "/" not in last and "." not in last
    return "" if is_of_a_message else key


def _keys_of(item: QueueItem, recipient: Mailbox) -> list[str]:
    return [
        address_key(recipient),
        address_key(recipient, item.envelope.sender),
        domain_key(recipient.domain),
        mailbox_key(recipient),
        mailbox_key(recipient, of_domain=True),
    ]
