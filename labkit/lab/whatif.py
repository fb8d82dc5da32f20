"""What if a million messages stood behind an outage? The retry rule, without the mail.

WHAT       `play(Outage(...))`: when each message comes, when it leaves, and how; each call of the host that is down;
           from that the length and the age of the queue and the work per hour. Seconds since the beginning, in arrays.
MODEL      hints "host": the host is down. All its messages share one hint, as in Exim, so the queue moves as one: one
           call fails, and everybody waits for the next. hints "address": the host is there and puts off every
           recipient (a 4xx at RCPT); then each message has a hint of its own, and its own schedule.
DECIDES    nothing of its own: after_failure (queue/schedule.py) says when to try next; here it is done for one host,
           or in arrays for all messages at once. When the host hint's time is over, everybody who waits is given up in
           that same queue run, and whoever comes before its next retry time at once.
LEAVES OUT that a delivery takes time, and how many run side by side; full disks; more than one host or retry rule;
           delay warnings; the chance in H steps (its middle is taken); rules whose last step ends before another one.
           A queue run, an arrival, the end of the outage at the same second: the outage, then arrivals, then the run.
LIKE EXIM  a message that gets through takes others along on its connection: MOST_ALONG at a time
READ NEXT  whatif_measured.py, labkit/queue/plan.py
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone
from typing import TYPE_CHECKING, Any

from labkit.queue.schedule import RETRY_INTERVAL_MAX, Attempt, RetryRule, after_failure

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    Seconds = npt.NDArray[np.int64]

HOST, ADDRESS = "host", "address"
WAITING, DELIVERED, GIVEN_UP = 0, 1, 2
MOST_MESSAGES = 5_000_000
MOST_ALONG = 499  # connection_max_messages is 500
MOST_REMEMBERED = 5000  # who waits for a host, as the lab's hosts know it
NEVER = 2**62
_ZERO = datetime(2000, 1, 1, tzinfo=timezone.utc)


@dataclass(frozen=True)
class Outage:
    """A host that is down for a while, and the mail for it. All in seconds since the beginning; `until` is the end.

    Queue runs: at 0 and then `every` so often. Raises ValueError for what cannot be.
    """

    rule: RetryRule
    arrivals: Seconds
    down_from: int
    down_until: int
    until: int
    every: int = 900
    hints: str = HOST

    def __post_init__(self) -> None:
        if self.hints not in (HOST, ADDRESS):
            raise ValueError(f"hints {self.hints!r}: it is {HOST} or {ADDRESS}")
        if len(self.arrivals) > MOST_MESSAGES:
            raise ValueError(f"{len(self.arrivals):,} messages: {MOST_MESSAGES:,} is the most")
        if self.every < 1:
            raise ValueError("queue runs: at least one second from one to the next")
        if not 0 <= self.down_from <= self.down_until:
            raise ValueError("the outage ends before it begins")
        if self.until < 1:
            raise ValueError("the end comes before the beginning")
        if len(self.arrivals) and (self.arrivals[0] < 0 or (self.arrivals[1:] < self.arrivals[:-1]).any()):
            raise ValueError("arrivals: seconds from 0 on, in order")

    def is_down(self, at: int) -> bool:
        return self.down_from <= at < self.down_until

    def run_at(self, instant: int) -> int:
        """The first queue run that is not before."""
        return -(-instant // self.every) * self.every


@dataclass(frozen=True)
class Played:
    """What became of it. `left[i]` and `fate[i]` are those of the message that came at `arrivals[i]`.

    `calls`: the instants of tries that failed, `together[i]` of them at once (1 each for a host).
    """

    arrivals: Seconds
    left: Seconds
    fate: npt.NDArray[np.int8]
    calls: Seconds
    together: Seconds
    every: int
    until: int

    def length(self, instants: Any) -> Seconds:
        """How many wait right after each of these instants."""
        import numpy as np

        came = np.searchsorted(self.arrivals, instants, side="right")
        gone = np.searchsorted(np.sort(self.left), instants, side="right")
        return np.asarray(came - gone, dtype=np.int64)

    def ages(self, instants: Any, parts: tuple[float, ...] = (0.5, 1.0)) -> npt.NDArray[np.float64]:
        """How old those who wait are at each instant: the median and the oldest (or other `parts`); 0: nobody."""
        import numpy as np

        found = np.zeros((len(instants), len(parts)))
        for row, at in enumerate(instants):
            end = int(np.searchsorted(self.arrivals, at, side="right"))
            waiting = np.flatnonzero(self.left[:end] > at)  # oldest first
            if len(waiting):
                which = [min(len(waiting) - 1, int((1 - part) * len(waiting))) for part in parts]
                found[row] = at - self.arrivals[waiting[which]]
        return found

    def calls_per_hour(self) -> Seconds:
        """Tries that failed, in each hour from the beginning."""
        import numpy as np

        hours = -(-self.until // 3600)
        return np.bincount(self.calls // 3600, weights=self.together, minlength=hours)[:hours].astype(
            np.int64
        )

    def looks_per_hour(self) -> Seconds:
        """How many messages the queue runs of each hour open, mostly to find that it is not their time."""
        import numpy as np

        runs = np.arange(0, self.until, self.every)
        hours = -(-self.until // 3600)
        return np.bincount(runs // 3600, weights=self.length(runs), minlength=hours)[:hours].astype(np.int64)

    @property
    def delivered(self) -> int:
        return int((self.fate == DELIVERED).sum())

    @property
    def given_up(self) -> int:
        return int((self.fate == GIVEN_UP).sum())

    @property
    def waiting(self) -> int:
        return int((self.fate == WAITING).sum())


def steadily(count: int, per_hour: float, start: int = 0) -> Seconds:
    """Arrivals at equal distances, in whole seconds. Raises ValueError."""
    import numpy as np

    if not 0 <= count <= MOST_MESSAGES:
        raise ValueError(f"{count:,} messages: from none to {MOST_MESSAGES:,}")
    if not 0 < per_hour < 1e9:
        raise ValueError(f"{per_hour} messages per hour: more than none")
    found: Seconds = np.floor(start + np.arange(count) * (3600.0 / per_hour)).astype(np.int64)
    return found


def play(outage: Outage) -> Played:
    """Let it happen."""
    found = _OfAddresses(outage) if outage.hints == ADDRESS else _OfHost(outage)
    found.play()
    return found.played()


class _Playing:
    """The messages of one outage."""

    def __init__(self, outage: Outage) -> None:
        import numpy as np

        self.outage = outage
        self.arrivals = outage.arrivals[: int(np.searchsorted(outage.arrivals, outage.until, side="right"))]
        self.left: Seconds = np.full(len(self.arrivals), NEVER, dtype=np.int64)
        self.fate = np.zeros(len(self.arrivals), dtype=np.int8)
        self.calls: list[int] = []
        self.together: list[int] = []

    def leave(self, which: Any, at: Any, fate: int) -> None:
        self.left[which] = at
        self.fate[which] = fate

    def played(self) -> Played:
        import numpy as np

        calls, which = np.unique(np.array(self.calls, dtype=np.int64), return_inverse=True)
        together = np.bincount(which, weights=self.together, minlength=len(calls)).astype(np.int64)
        outage = self.outage
        return Played(self.arrivals, self.left, self.fate, calls, together, outage.every, outage.until)


@dataclass
class _Hint:
    """The one hint of the host, in seconds."""

    next_try: int
    has_expired: bool
    attempt: Attempt = field(repr=False)


class _OfHost(_Playing):
    """All messages share the hint of the host: what happens, happens to the queue as a whole."""

    def __init__(self, outage: Outage) -> None:
        super().__init__(outage)
        self.hint: _Hint | None = None
        self.coming = 0  # the number of the next message to come
        self.oldest = 0  # nobody before this number waits
        self.limit = int(outage.rule.give_up_after.total_seconds())

    def play(self) -> None:
        now = 0
        while now <= self.outage.until:
            run, arrival = self.next_run(now), self.next_arrival(now)
            now = min(run, arrival)
            if now > self.outage.until:
                break
            if arrival <= run:
                self.come(arrival)
            else:
                self.run_queue(run)
                now += 1
        self.let_pass(len(self.arrivals))

    # --- what is next -------------------------------------------------------------------------

    def next_arrival(self, now: int) -> int:
        """The next arrival at which anything changes; those before it are settled here."""
        import numpy as np

        at = self.coming
        if self.hint is not None:
            at = max(at, int(np.searchsorted(self.arrivals, max(now, self.hint.next_try))))
        elif not self.has_waiting():
            at = max(at, int(np.searchsorted(self.arrivals, self.outage.down_from)))
        return int(self.arrivals[at]) if at < len(self.arrivals) else NEVER

    def next_run(self, now: int) -> int:
        """The next queue run that can change anything."""
        first = self._oldest_arrival(now)
        if first is None:
            return NEVER
        if self.hint is None or (self.hint.has_expired and self.has_waiting()):
            return self.outage.run_at(max(now, first))
        due = min(self.hint.next_try, first + self.limit + 1)
        return self.outage.run_at(max(now, due, first))

    def _oldest_arrival(self, now: int) -> int | None:
        """When the oldest one came that waits, or will."""
        if self.has_waiting():
            return int(self.arrivals[self.oldest])
        if self.hint is not None and not self.hint.has_expired and self.coming < len(self.arrivals):
            return int(self.arrivals[self.coming])  # it comes before the retry time and waits
        return None

    def has_waiting(self) -> bool:
        self._skip()
        return self.oldest < self.coming

    def _skip(self) -> None:
        """Forget those in front who are gone."""
        import numpy as np

        if self.oldest < self.coming and self.left[self.oldest] != NEVER:
            still = np.flatnonzero(self.left[self.oldest : self.coming] == NEVER)
            self.oldest = self.oldest + int(still[0]) if len(still) else self.coming

    # --- what happens -------------------------------------------------------------------------

    def let_pass(self, end: int) -> None:
        """Messages up to this number have come, and nobody was called for them (or the host was well)."""
        some = slice(self.coming, end)
        if self.hint is None:
            self.leave(some, self.arrivals[some], DELIVERED)
        elif self.hint.has_expired:
            self.leave(some, self.arrivals[some], GIVEN_UP)
        self.coming = max(self.coming, end)

    def come(self, at: int) -> None:
        """One message comes when the host may be called."""
        import numpy as np

        number = max(self.coming, int(np.searchsorted(self.arrivals, at)))
        self.let_pass(number)
        self.coming = number + 1
        if not self.outage.is_down(at):
            self.leave(number, at, DELIVERED)
            self.hint = None
            self.take_along(at)
        elif self.call(at).has_expired:
            self.leave(number, at, GIVEN_UP)

    def take_along(self, at: int) -> None:
        """Over the same connection go those who came to wait last, of those whom the host remembers."""
        import numpy as np

        waiting = self.oldest + np.flatnonzero(self.left[self.oldest : self.coming] == NEVER)
        self.leave(waiting[:MOST_REMEMBERED][-MOST_ALONG:], at, DELIVERED)

    def run_queue(self, at: int) -> None:
        """All who wait are looked at, oldest first."""
        import numpy as np

        self.let_pass(int(np.searchsorted(self.arrivals, at, side="right")))
        waiting = self.oldest + np.flatnonzero(self.left[self.oldest : self.coming] == NEVER)
        while len(waiting):
            hint = self.hint
            is_old = at - int(self.arrivals[waiting[0]]) > self.limit
            if hint is not None and at < hint.next_try and hint.has_expired:
                self.leave(waiting, at, GIVEN_UP)
                return
            if hint is not None and at < hint.next_try and not is_old:
                return  # nor is anybody younger
            if not self.outage.is_down(at):
                self.leave(waiting, at, DELIVERED)
                self.hint = None
                return
            failed = self.call(at)
            if failed.has_expired:
                self.leave(waiting[0], at, GIVEN_UP)
            elif (
                is_old
                and _ZERO + timedelta(seconds=int(self.arrivals[waiting[0]])) <= failed.attempt.first_failed
            ):
                self.leave(
                    waiting[0], at, GIVEN_UP
                )  # it has seen all of the failing: the next one is tried at once
                self.keep(
                    Attempt(failed.attempt.first_failed, failed.attempt.last_try, failed.attempt.last_try)
                )
            waiting = waiting[1:]

    def call(self, at: int) -> _Hint:
        """Call the host, which is down."""
        earlier = None if self.hint is None else self.hint.attempt
        attempt = after_failure(self.outage.rule, earlier, _ZERO + timedelta(seconds=at))
        self.calls.append(at)
        self.together.append(1)
        return self.keep(attempt)

    def keep(self, attempt: Attempt) -> _Hint:
        next_try = int((attempt.next_try - _ZERO).total_seconds())
        self.hint = _Hint(next_try, attempt.has_expired, attempt)
        return self.hint


class _OfAddresses(_Playing):
    """Each message has a schedule of its own: round by round, the next try of everybody at once."""

    def play(self) -> None:
        import numpy as np

        outage, arrivals = self.outage, self.arrivals
        limit = int(outage.rule.give_up_after.total_seconds())
        is_down = (outage.down_from <= arrivals) & (arrivals < outage.down_until)
        self.leave(~is_down, arrivals[~is_down], DELIVERED)
        who = np.flatnonzero(is_down)
        last, gap = arrivals[who], np.zeros(len(who), dtype=np.int64)
        self.note_calls(last)
        if limit == 0:
            self.leave(who, last, GIVEN_UP)
            return
        while len(who):
            came = arrivals[who]
            gap = self.waits(last - came, gap)
            due = np.minimum(last + gap, came + limit + 1)
            at = -(-np.maximum(due, last + 1) // outage.every) * outage.every
            keep = at <= outage.until
            who, last, gap, came = who[keep], at[keep], gap[keep], came[keep]
            down = (outage.down_from <= last) & (last < outage.down_until)
            self.leave(who[~down], last[~down], DELIVERED)
            who, last, gap, came = who[down], last[down], gap[down], came[down]
            self.note_calls(last)
            over = last - came > limit
            self.leave(who[over], last[over], GIVEN_UP)
            who, last, gap = who[~over], last[~over], gap[~over]

    def note_calls(self, at: Seconds) -> None:
        import numpy as np

        instants, counts = np.unique(at, return_counts=True)
        self.calls += instants.tolist()
        self.together += counts.tolist()

    def waits(self, failing: Seconds, gap: Seconds) -> Seconds:
        """How long each waits after a failure, as after_failure has it; `gap` is the wait before (0: none)."""
        import numpy as np

        longest = int(RETRY_INTERVAL_MAX.total_seconds())
        found = np.full(len(failing), -1.0)
        for step in outage_steps(self.outage.rule):
            letter, until, interval, factor = step
            here = (found < 0) & (failing <= until)
            wait = np.full(int(here.sum()), float(interval))
            if letter != "F":
                before = gap[here]
                grown = np.maximum(interval, before * factor)
                if letter == "G":
                    wait = np.where(before < interval, interval, grown)
                else:
                    wait = np.where(before == 0, interval, interval + (grown - interval) * 0.75)
            found[here] = wait
        found[found < 0] = self.outage.rule.steps[-1].interval.total_seconds()
        waits: Seconds = np.minimum(found, longest).astype(np.int64)
        return waits


def outage_steps(rule: RetryRule) -> list[tuple[str, float, float, float]]:
    """The steps of a rule in seconds."""
    return [(s.letter, s.until.total_seconds(), s.interval.total_seconds(), s.factor) for s in rule.steps]
