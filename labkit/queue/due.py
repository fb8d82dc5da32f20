"""When is the next queue run that can find anything to do?

WHY        a daemon with -q15m looks 480 times in five days, and nearly every time all it finds is "retry time not
           reached". The lab carries out the runs that can change something, at the very instants the daemon would.
DECIDES    what can change by time alone: a retry time is reached, a message becomes older than a retry rule allows, a
           delay warning is due, a frozen message may be thawed or dropped. Everything else begins with an event, and
           after an event all is looked at anew. What was not yet tried is looked at in the next run; and in each run
           what waits without a hint, or has lost it: those the queue runner knows (mta/runner.py).
SAFE       whatever was overlooked here: no more than `LONGEST` passes without a run
STANDARDS  Exim specification, chapter "Retry configuration"; options delay_warning, auto_thaw, timeout_frozen_after,
           ignore_bounce_errors_after
READ NEXT  hints.py
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from labkit.queue.hints import Hints
from labkit.queue.item import QueueItem

LONGEST = timedelta(hours=6)


@dataclass(frozen=True, slots=True)
class Ages:
    """At which ages something happens to a message.

    `waiting`: of one that waits, it is warned about or given up. `thawed` after being frozen so long, if it is no
    report (nothing: never); `dropped` at that age, if it is frozen; `ignored`, if it is a report.
    """

    waiting: tuple[timedelta, ...] = ()
    thawed: timedelta = timedelta()
    dropped: timedelta = timedelta()
    ignored: timedelta = timedelta()


def next_due(
    items: Sequence[QueueItem], retry_times: Iterable[datetime], ages: Sequence[timedelta], now: datetime
) -> datetime:
    """The next instant after `now` at which a queue run may change anything for messages that are not frozen."""
    instants = [*retry_times, *(item.received_at + age for item in items for age in ages)]
    return min((instant for instant in instants if instant > now), default=now + LONGEST)


def due_at(items: Iterable[QueueItem], hints: Hints, ages: Ages, since: datetime) -> datetime:
    """The first instant after `since`, the last run, for which a run is worth while."""
    waiting = [item for item in items if not item.frozen]
    if any(item.is_untried for item in waiting):
        return since
    frozen = [
        instant for item in items if item.frozen for instant in _of_frozen(item, ages) if instant > since
    ]
    retry_times = (hint.attempt.next_try for hint in hints.rows.values()) if waiting else ()
    if not waiting:
        return min(frozen, default=datetime.max.replace(tzinfo=since.tzinfo))
    return min([*frozen, next_due(waiting, retry_times, ages.waiting, since), since + LONGEST])


def fixed_time(started: datetime, interval: timedelta, instant: datetime) -> datetime:
    """The first queue run of a daemon that is not before; it runs one every so often since it was started."""
    return started - ((started - instant) // interval) * interval


def _of_frozen(item: QueueItem, ages: Ages) -> Iterator[datetime]:
    if ages.dropped:
        yield item.received_at + ages.dropped
    if item.is_report:
        yield item.received_at + ages.ignored
    elif ages.thawed and item.frozen_at is not None:
        yield item.frozen_at + ages.thawed + timedelta(seconds=1)


def warning_ages(times: Sequence[timedelta], until: timedelta) -> list[timedelta]:
    """The ages at which a warning is sent: those listed, and then again and again after the last interval."""
    ages = [age for age in times if age]
    if not ages:
        return []
    interval = ages[-1] - (ages[-2] if len(ages) > 1 else timedelta())
    while interval > timedelta() and ages[-1] < until:
        ages.append(ages[-1] + interval)
    return ages
