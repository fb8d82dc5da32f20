"""Delays between hops, and clocks that are wrong."""

from __future__ import annotations

import itertools
import os

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from labkit.headers import Hop, dissect
from labkit.headers.hops import IMPLAUSIBLE, measured, span

MANY = 3000 if os.environ.get("LABKIT_THOROUGH") else 300


def hops(*dates: str) -> tuple[Hop, ...]:
    """A message with one Received for each date, the oldest first."""
    fields = [f"Received: from a{n} by b{n}.test with ESMTP; {date}\r\n" for n, date in enumerate(dates)]
    return dissect("".join(reversed(fields)).encode()).hops


def at(time: str) -> str:
    return f"Tue, 12 Mar 2024 {time} +0000"


@pytest.mark.parametrize(
    "dates, delays, skews, because",
    [
        (["10:00:00", "10:00:05", "10:01:05"], [None, 5, 60], [None] * 3, "time goes on"),
        (["10:00:00", "10:00:00"], [None, 0], [None] * 2, "nothing took no time"),
        (
            ["10:00:00", "12:00:00", "10:00:10"],
            [None, None, 10],
            [None, 7190, None],
            "the middle one is ahead",
        ),
        (
            ["10:00:00", "08:00:00", "10:00:10"],
            [None, None, 10],
            [None, -7200, None],
            "the middle one is behind",
        ),
        (
            ["10:00:00", "09:00:00"],
            [None, None],
            [3600, None],
            "of two the lower one: the reader's own is on top",
        ),
        (
            ["11:00:00", "10:00:00", "10:00:09"],
            [None, None, 9],
            [3600, None, None],
            "the author's server is ahead",
        ),
        (["10:00:01", "10:00:00", "10:00:03"], [None, None, 2], [None, -1, None], "even by a second"),
        (["10:00:00", "", "10:00:09"], [None, None, 9], [None] * 3, "one without a date is passed over"),
        (["", ""], [None, None], [None, None], "nobody knows"),
        ([], [], [], "no hop"),
    ],
)
def test_delays(dates: list[str], delays: list[float], skews: list[float], because: str) -> None:
    found = hops(*(at(date) if date else "soon" for date in dates))
    assert [hop.delay for hop in found] == delays, because
    assert [hop.skew for hop in found] == skews, because
    assert all(bool(hop.words) == (hop.skew is not None or hop.at is None) for hop in found)


def test_a_delay_says_since_when() -> None:
    first, second, third = hops(at("10:00:00"), at("12:00:00"), at("10:00:10"))
    assert (first.since, second.since, third.since) == (None, None, 1)
    assert second.words == "its clock is wrong, at least 1h59m ahead"


def test_a_gap_of_weeks_is_no_delay() -> None:
    first, second = hops("Tue, 12 Mar 2024 10:00:00 +0000", "Tue, 12 Mar 2025 10:00:00 +0000")
    assert (second.delay, second.skew) == (None, 365 * 86_400.0)
    assert "no queue waits so long" in second.words and first.words == ""


def test_a_date_without_zone_is_not_called_a_wrong_clock() -> None:
    first, second = hops("Tue, 12 Mar 2024 12:00:00", at("10:00:10"))
    assert first.skew and first.words == "1h59m late, but its date names no zone" and second.delay is None


def test_zones_make_no_delay() -> None:
    _, second = hops("Tue, 12 Mar 2024 10:00:00 +0300", "Tue, 12 Mar 2024 00:00:07 -0700")
    assert second.delay == 7


def test_hops_are_the_oldest_first() -> None:
    found = dissect(b"Received: by new; x\r\nFrom: a@b\r\nReceived: by old; y\r\n").hops
    assert [(hop.number, hop.received.by, hop.field) for hop in found] == [(1, "old", 2), (2, "new", 0)]


@settings(max_examples=MANY, deadline=None)
@given(st.lists(st.one_of(st.none(), st.integers(0, 30).map(float)), max_size=9))
def test_as_few_clocks_as_possible_are_wrong(instants: list[float | None]) -> None:
    """Beside all sequences that never fall, tried one after the other."""
    found = measured(instants)
    known = [place for place, instant in enumerate(instants) if instant is not None]
    fits = [place for place in known if found[place][2] is None]
    best = max(
        (
            chosen
            for size in range(len(known) + 1)
            for chosen in itertools.combinations(known, size)
            if all(instants[a] <= instants[b] for a, b in itertools.pairwise(chosen))  # type: ignore[operator]
        ),
        key=len,
    )
    assert len(fits) == len(best)
    assert all(instants[a] <= instants[b] for a, b in itertools.pairwise(fits))  # type: ignore[operator]
    assert sum(delay or 0 for delay, _, _ in found) == (
        (instants[fits[-1]] or 0) - (instants[fits[0]] or 0) if fits else 0
    )
    assert IMPLAUSIBLE > 30


@pytest.mark.parametrize(
    "seconds, shown", [(0, "0s"), (59, "59s"), (3600, "1h"), (90_061, "1d1h"), (3661, "1h1m"), (0.4, "0s")]
)
def test_span(seconds: float, shown: str) -> None:
    assert span(seconds) == shown
