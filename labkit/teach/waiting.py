"""What waits in the lab's queues, for how long, and until when: read from the journal, the hosts and their hints.

WHAT       `waiting_message` joins what the journal says of a message with the queue and the hints;
           `ages_by_domain` counts as Postfix's qshape does.
RULES      nothing is decided here; what holds a message is found in lab/waiting.py.
TWO CLOCKS the retry time says when a host or an address may be tried; the queue run says when somebody looks.
STANDARDS  Exim specification, chapters "Retry configuration", "The Exim command line" (-q)
READ NEXT  views/queue.py
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from labkit.lab.host import Host
from labkit.lab.waiting import Held, Trying
from labkit.queue.item import QueueItem

AGE_CLASSES = (5, 10, 20, 40, 80, 160, 320, 640, 1280)  # minutes, as qshape's columns; the last is all above
MOST_DOMAINS = 20


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
    host: Host, item: QueueItem, trying: Trying, held: Held | None, *, knows_hints: bool
) -> WaitingMessage:
    """`held` is what holds it; without `knows_hints` nobody has looked."""
    next_try = held.holds_until if held else None
    return WaitingMessage(
        queue_id=item.queue_id,
        age=host.world.now() - item.received_at,
        size=item.size,
        sender=item.envelope.sender,
        recipients=tuple(map(str, item.remaining)),
        is_report=item.is_report,
        is_frozen=item.frozen,
        attempts=trying.attempts,
        last_try=trying.last_try,
        why=_why(item, trying),
        next_try=next_try,
        hint=held.what if held else "",
        tried_at=host.next_queue_run(next_try) if knows_hints and not item.frozen else None,
    )


def _why(item: QueueItem, trying: Trying) -> str:
    words = [trying.words or ("nothing was tried yet" if not trying.attempts else "")]
    if trying.looked:
        words.append(trying.looked)
    if item.frozen:
        words.append("frozen: no queue run touches it until somebody thaws it")
    return "; ".join(filter(None, words))


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
    rows = [shape_row("TOTAL", total), *(shape_row(name, row) for name, row in ordered[:MOST_DOMAINS])]
    if rest := ordered[MOST_DOMAINS:]:
        others = [sum(column) for column in zip(*(row for _, row in rest))]
        rows.append(shape_row(f"{len(rest):,} more domains", others))
    return rows


def shape_row(name: str, counts: Sequence[int]) -> tuple[str, ...]:
    """A row of qshape's table: the sum, and a column for each class of age."""
    return (name, str(sum(counts)), *(str(count) for count in counts))


SHAPE_HEAD = ("recipients at", "T", *map(str, AGE_CLASSES), f"{AGE_CLASSES[-1]}+")
