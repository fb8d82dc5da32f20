"""How rates are counted, and what is written down of things seen: for whoever keeps the records.

WHAT       `counted` makes the new record and the rate of a RateOf; `age_afterwards` says with which age the record of a
           SeenBefore is to be kept. Pure: time comes as an argument.
RULES      old events fade by e in one period (an exponentially weighted mean over uneven intervals); an event after a
           long silence counts for itself; "leaky" does not write down what is over the limit.
LIKE EXIM  the same rates; unique events are kept as they are, where Exim keeps a Bloom filter of them
STANDARDS  Exim specification, sections "Ratelimit update modes", "Limiting the rate of different events"
READ NEXT  scene.py
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from labkit.mail.questions import RateOf, SeenBefore

_SHORTEST = 1e-9


@dataclass(frozen=True, slots=True)
class Rate:
    """What is kept under a key: when it was written, the rate then, the unique events of the period since `since`."""

    at: float
    rate: float
    since: float
    events: frozenset[str] = frozenset()


def counted(question: RateOf, before: Rate | None, now: float) -> tuple[float, Rate | None]:
    """The rate now, and the record to keep in place of `before` (None: keep what there is)."""
    count, since = question.count, now
    events: frozenset[str] = frozenset()
    if question.unique is not None:
        if before is not None and now <= before.since + question.period:
            since, events = before.since, before.events
        if question.unique in events:
            count = 0
        events |= {question.unique}
    if before is None:
        rate = count
    else:
        interval = max(now - before.at, _SHORTEST) / question.period
        faded = -math.expm1(
            -interval
        )  # 1 - exp(-x) would be noise where the lab's clock stands between two events
        rate = max(faded * count / interval + (1 - faded) * before.rate, count)
    is_kept = question.mode == "strict" or (question.mode == "leaky" and rate < question.limit)
    return rate, Rate(now, rate, since, events) if is_kept else None


def age_afterwards(question: SeenBefore, age: float | None) -> float | None:
    """How old the record shall be from now on, in seconds; None: it stays as it is."""
    if question.mode == "readonly":
        return None
    if age is None or question.mode == "write" or not question.is_before:
        return 0
    return question.interval if age >= question.refresh else None
