"""What waits in the lab's queues, for how long, and until when: read from the journal, the hosts and their hints.

WHAT       `Tries` follows the journal: how often each message was tried, and what was said last. `waiting_message`
           joins that with the queue and the hints; `ages_by_domain` counts as Postfix's qshape does.
RULES      nothing is decided here. A deferral with one of Exim's numbers from -51 down says that nothing was tried
           (retry time not reached, local_only, queue_domains): it is no attempt.
TWO CLOCKS the retry time says when a host or an address may be tried; the queue run says when somebody looks.
STANDARDS  Exim specification, chapters "Retry configuration", "The Exim command line" (-q)
READ NEXT  views/queue.py
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from labkit.lab.host import Host
from labkit.mail.address import Mailbox
from labkit.mail.event import EventKind, MailEvent
from labkit.queue.hints import Hint, address_key, domain_key, mailbox_key
from labkit.queue.item import QueueItem

AGE_CLASSES = (5, 10, 20, 40, 80, 160, 320, 640, 1280)  # minutes, as qshape's columns; the last is all above
MOST_DOMAINS = 20
NOT_TRIED = -51  # this errno and those below it: Exim's numbers for "nothing was tried"
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
        elif event.kind is EventKind.DEFERRED and (event.errno or 0) <= NOT_TRIED:
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
class WaitingMessage:
    """A message in a queue. `next_try` None: no retry time stands in its way, or none is known; `hint` says which."""

    queue_id: str
    age: timedelta
    size: int
    sender: str  # "" is the null reverse-path
    recipients: tuple[str, ...]  # for whom something is left to do
    is_report: bool
    is_frozen: bool
    attempts: int
    last_try: datetime | None
    why: str
    next_try: datetime | None
    hint: str
    tried_at: datetime | None  # by the first queue run that may: both clocks together


def waiting_message(
    host: Host, item: QueueItem, trying: Trying, hints: Mapping[str, Hint] | None
) -> WaitingMessage:
    """`hints` are those of the host; None if nobody can look into them."""
    now = host.world.now()
    key, next_try = standing_in_the_way(item, trying, hints or {}) or ("", None)
    return WaitingMessage(
        queue_id=item.queue_id,
        age=now - item.received_at,
        size=item.size,
        sender=item.envelope.sender,
        recipients=tuple(map(str, item.remaining)),
        is_report=item.is_report,
        is_frozen=item.frozen,
        attempts=trying.attempts,
        last_try=trying.last_try,
        why=_why(item, trying),
        next_try=next_try,
        hint=key,
        tried_at=None if item.frozen or hints is None else host.next_queue_run(next_try),
    )


def _why(item: QueueItem, trying: Trying) -> str:
    words = [trying.words or ("nothing was tried yet" if not trying.attempts else "")]
    if trying.looked:
        words.append(trying.looked)
    if item.frozen:
        words.append("frozen: no queue run touches it until somebody thaws it")
    return "; ".join(filter(None, words))


def standing_in_the_way(
    item: QueueItem, trying: Trying, hints: Mapping[str, Hint]
) -> tuple[str, datetime] | None:
    """The row of the hints for which this message waits, and its retry time.

    It is tried when any of its recipients may be, by any of its hosts: but both the one and the other.
    """
    gates = [_latest(hints, _keys_of(item, recipient)) for recipient in item.remaining]
    found = [min(gate for gate in gates if gate)] if gates and all(gates) else []
    by_host: dict[str, list[str]] = {}
    for key in hints:
        if key.startswith("T:") and key[2:].partition(":")[0] in trying.hosts:
            place, _, last = key.rpartition(":")
            is_of_a_message = "-" in last and "/" not in last and "." not in last
            if not is_of_a_message:
                by_host.setdefault(key, []).append(key)
            elif last == item.queue_id:
                by_host.setdefault(place, []).append(key)
    if hosts := [latest for keys in by_host.values() if (latest := _latest(hints, keys))]:
        found.append(min(hosts))
    if not found:
        return None
    at, key = max(found)
    return key, at


def _keys_of(item: QueueItem, recipient: Mailbox) -> list[str]:
    return [
        address_key(recipient),
        address_key(recipient, item.envelope.sender),
        domain_key(recipient.domain),
        mailbox_key(recipient),
        mailbox_key(recipient, of_domain=True),
    ]


def _latest(hints: Mapping[str, Hint], keys: Iterable[str]) -> tuple[datetime, str] | None:
    return max(((hints[key].attempt.next_try, key) for key in keys if key in hints), default=None)


def ages_by_domain(items: Iterable[QueueItem], now: datetime) -> list[tuple[str, ...]]:
    """Rows of domain, total, and a count for each class of age; all domains together come first."""
    counts: dict[str, list[int]] = {}
    for item in items:
        minutes = (now - item.received_at).total_seconds() / 60
        place = next((i for i, limit in enumerate(AGE_CLASSES) if minutes < limit), len(AGE_CLASSES))
        for recipient in item.remaining:
            row = counts.setdefault(recipient.domain.lower(), [0] * (len(AGE_CLASSES) + 1))
            row[place] += 1
    ordered = sorted(counts.items(), key=lambda pair: (-sum(pair[1]), pair[0]))
    total = [sum(column) for column in zip(*counts.values())] or [0] * (len(AGE_CLASSES) + 1)
    rows = [_shape_row("TOTAL", total), *(_shape_row(name, row) for name, row in ordered[:MOST_DOMAINS])]
    if rest := ordered[MOST_DOMAINS:]:
        others = [sum(column) for column in zip(*(row for _, row in rest))]
        rows.append(_shape_row(f"{len(rest):,} more domains", others))
    return rows


def _shape_row(name: str, counts: list[int]) -> tuple[str, ...]:
    return (name, str(sum(counts)), *(str(count) for count in counts))


SHAPE_HEAD = ("recipients at", "T", *map(str, AGE_CLASSES), f"{AGE_CLASSES[-1]}+")
