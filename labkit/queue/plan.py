"""All tries that a retry rule makes for a message whose host never answers, from the first to the last.

WHAT       `plan_of(rule, every)`: each try with its two clocks, the retry time and the queue run that came first at or
           after it; and when the message is given up. `in_words_of_the_standard` compares it with RFC 5321.
DECIDES    nothing of its own: after_failure (schedule.py) does. A message that is older than its rule allows is tried
           in the next queue run, whatever its retry time, and then given up.
LIKE EXIM  time counts in whole seconds: a queue run every second is the retry rule alone
STANDARDS  RFC 5321 §4.5.4.1; Exim specification, chapter "Retry configuration"
READ NEXT  retrying.py
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from itertools import pairwise

from labkit.queue.schedule import RETRY_INTERVAL_MAX, Attempt, RetryRule, RetryStep, after_failure

MOST_TRIES = 5000
AT_ONCE = timedelta(seconds=1)  # a queue run whenever there is something to do
RFC_INTERVAL = timedelta(minutes=30)
RFC_GIVE_UP = timedelta(days=4)
_BEGIN = datetime(2000, 1, 1, tzinfo=timezone.utc)  # any instant: only what has passed since it counts


@dataclass(frozen=True, slots=True)
class Try:
    """One try: spans since the message came. `due` is its retry time, `at` the queue run that made it.

    `step`: which step of the rule said how long to wait after it; None after the last.
    """

    number: int
    due: timedelta
    at: timedelta
    step: RetryStep | None = None

    @property
    def late(self) -> timedelta:
        """How long the queue run kept it waiting; less than nothing if it was too old to wait for its retry time."""
        return self.at - self.due


@dataclass(frozen=True, slots=True)
class Plan:
    """The tries in order. `is_cut`: there would be more, but nobody wants to see them."""

    rule: RetryRule
    every: timedelta
    tries: tuple[Try, ...]
    is_cut: bool = False

    @property
    def given_up(self) -> timedelta | None:
        return None if self.is_cut else self.tries[-1].at

    @property
    def times(self) -> tuple[timedelta, ...]:
        return tuple(each.at for each in self.tries)

    @property
    def gaps(self) -> tuple[timedelta, ...]:
        """Between one try and the next, without the last: that one only finds that it is over."""
        times = self.times
        return tuple(later - earlier for earlier, later in pairwise(times))[: max(1, len(times) - 2)]


def plan_of(
    rule: RetryRule,
    every: timedelta = AT_ONCE,
    *,
    first_run: timedelta = timedelta(),
    dice: float = 0.5,
    longest: timedelta = RETRY_INTERVAL_MAX,
) -> Plan:
    """The plan for a host that is never there. Queue runs: at `first_run` after the message came, then `every`.

    `dice` stands for the chance in H steps: 0.5 is the middle. Raises ValueError for queue runs with no time between.
    """
    if every < timedelta(seconds=1):
        raise ValueError(f"queue runs every {every}: it takes at least one second")
    known: Attempt | None = None
    tries: list[Try] = []
    due = at = timedelta()
    while len(tries) < MOST_TRIES:
        known = after_failure(rule, known, _BEGIN + at, dice, longest=longest)
        is_over = known.has_expired or at > rule.give_up_after
        step = None if is_over else next(step for step in rule.steps if at <= step.until)
        tries.append(Try(len(tries) + 1, due, at, step))
        if is_over:
            return Plan(rule, every, tuple(tries))
        due = known.next_try - _BEGIN
        too_old = rule.give_up_after + timedelta(seconds=1)
        at = _run_at(max(min(due, too_old), at + timedelta(seconds=1)), every, first_run)
    return Plan(rule, every, tuple(tries), is_cut=True)


def _run_at(instant: timedelta, every: timedelta, first_run: timedelta) -> timedelta:
    """The first queue run that is not before."""
    return first_run - ((first_run - instant) // every) * every


def in_words_of_the_standard(plan: Plan) -> list[str]:
    """What RFC 5321 §4.5.4.1 says to such a plan: one sentence for each of its three suggestions."""
    said = []
    shortest = min(plan.gaps, default=None)
    if shortest is None:
        said.append("no second try: RFC 5321 wants a message that cannot be delivered now to be tried again")
    elif shortest < RFC_INTERVAL:
        said.append(
            f"quicker than RFC 5321 suggests: {_minutes(shortest)} between two tries, "
            "where it SHOULD be at least 30 minutes"
        )
    else:
        said.append(
            f"as RFC 5321 suggests: {_minutes(shortest)} or more between two tries (at least 30 minutes)"
        )
    early = sum(at < timedelta(hours=1) for at in plan.times)
    if early < 2:
        said.append(f"{early} try in the first hour, where RFC 5321 favours two")
    else:
        said.append(
            f"{early} tries in the first hour; RFC 5321 favours two, then one every two or three hours"
        )
    given_up = plan.given_up
    if given_up is None:
        said.append(f"not given up within {MOST_TRIES} tries")
    elif given_up < RFC_GIVE_UP:
        said.append("given up too early: RFC 5321 wants at least 4 to 5 days")
    else:
        said.append("given up late enough: RFC 5321 wants at least 4 to 5 days")
    return said


def _minutes(length: timedelta) -> str:
    minutes = length / timedelta(minutes=1)
    return f"{minutes:.0f} minutes" if minutes == int(minutes) else f"{minutes:.1f} minutes"
