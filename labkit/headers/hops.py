"""The way of a message: its hops from the oldest to the newest, the time between them, and clocks that are wrong.

WHAT       `hops_of(received)`: the Received fields top to bottom -> Hops, the oldest first.
DECIDES    time does not run backwards: where the dates do, some clock is wrong. As few clocks as possible are called
           wrong: a longest sequence that never falls is right, if there are several one that ends near the
           top (there stands the reader's own server), and of those one that makes the journey short. All other hops
           have a `skew` and no `delay`; the next delay counts from the last hop whose clock fits. A gap of
           more than two weeks is a wrong clock, too: no queue waits so long. A date without a zone that fits nowhere
           is called so, not a wrong clock.
SAFE       n hops cost n log n; a Received that cannot be read is a hop all the same
STANDARDS  RFC 5321 §4.4 (each server puts its own on top), §4.5.4.1 (how long mail may wait)
READ NEXT  trust.py
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Sequence

from labkit.headers.values import Hop, Received

IMPLAUSIBLE = 14 * 86_400.0  # seconds; RFC 5321 §4.5.4.1 has MTAs give up after four or five days
Instants = Sequence[float | None]


def hops_of(received: Sequence[tuple[int, Received]]) -> tuple[Hop, ...]:
    """`received`: index and reading of each Received field, top to bottom. The hops come bottom to top."""
    upwards = list(reversed(received))
    instants = [_seconds(each) for _, each in upwards]
    times = measured(instants)
    hops = []
    for number, ((index, each), (delay, since, skew)) in enumerate(zip(upwards, times), start=1):
        words = _words(each, delay, skew)
        hops.append(Hop(number, index, each, delay, None if since is None else since + 1, skew, words))
    return tuple(hops)


def _seconds(received: Received) -> float | None:
    date = received.date
    return None if date is None or date.instant is None else date.instant.timestamp()


def measured(instants: Instants) -> list[tuple[float | None, int | None, float | None]]:
    """For each hop, the oldest first: delay, the place of the hop that it counts from, and how far the clock is off."""
    fits = _fitting(instants)
    kept = [place for place in range(len(instants)) if fits[place]]
    out: list[tuple[float | None, int | None, float | None]] = []
    after = 0  # how many of `kept` lie below
    for place, instant in enumerate(instants):
        below = kept[after - 1] if after else None
        if instant is None:
            out.append((None, None, None))
        elif fits[place]:
            out.append(_delay(instants, instant, below))
            after += 1
        else:
            above = kept[after] if after < len(kept) else None
            out.append((None, None, _off(instants, instant, below, above)))
    return out


def _delay(
    instants: Instants, instant: float, below: int | None
) -> tuple[float | None, int | None, float | None]:
    before = None if below is None else instants[below]
    if before is None:
        return None, None, None
    gap = instant - before
    return (None, None, gap) if gap > IMPLAUSIBLE else (gap, below, None)


def _off(instants: Instants, instant: float, below: int | None, above: int | None) -> float:
    """At the least: how far the instant lies outside of what its neighbours leave."""
    high = None if above is None else instants[above]
    if high is not None and instant > high:
        return instant - high
    low = None if below is None else instants[below]
    return instant - low if low is not None else 0.0


def _fitting(instants: Instants) -> list[bool]:
    """Which belong to a longest sequence that never falls: of several such, one that ends as high on the message as
    any, and goes back from there in the smallest steps of time.

    In the order of `places[k]`, the hops that end a sequence of k + 1 at most, the instants always fall.
    """
    ends: list[float] = []  # the smallest end of a sequence of each length
    places: list[list[int]] = []
    falling: list[list[float]] = []  # the same hops' instants, negative, so that they rise
    for place, instant in enumerate(instants):
        if instant is None:
            continue
        length = bisect_right(ends, instant)
        if length == len(ends):
            ends.append(instant)
            places.append([])
            falling.append([])
        ends[length] = instant
        places[length].append(place)
        falling[length].append(-instant)
    fits = [False] * len(instants)
    latest = -falling[-1][-1] if places else 0.0
    for length in range(len(places) - 1, -1, -1):
        at = bisect_left(falling[length], -latest)
        fits[places[length][at]] = True
        latest = -falling[length][at]
    return fits


def _words(received: Received, delay: float | None, skew: float | None) -> str:
    date = received.date
    if date is None:
        return "no date: nobody knows when this was"
    if date.instant is None:
        return f"the date says no time: {date.oddities[-1]}" if date.oddities else "the date says no time"
    if skew is None:
        return ""
    amount = span(abs(skew))
    if not date.is_certain:
        return f"{amount} {'late' if skew > 0 else 'early'}, but its date names no zone"
    if skew > IMPLAUSIBLE:
        return f"{amount} after the hop before: no queue waits so long, one of the two clocks is wrong"
    return f"its clock is wrong, at least {amount} {'ahead' if skew > 0 else 'behind'}"


def span(seconds: float) -> str:
    """Seconds in short: 2d3h, 15m, 4s; no more than two units."""
    left, parts = round(seconds), []
    for unit, size in (("d", 86_400), ("h", 3600), ("m", 60), ("s", 1)):
        count, left = divmod(left, size)
        if count:
            parts.append(f"{count}{unit}")
    return "".join(parts[:2]) or "0s"
