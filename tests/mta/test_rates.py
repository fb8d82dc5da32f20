"""ratelimit and seen: the arithmetic of Exim, in the time that is given, and what is kept of it."""

from __future__ import annotations

import math
from datetime import datetime, timedelta, timezone
from pathlib import Path

import pytest

from labkit.mail.questions import RateOf, SeenBefore
from labkit.mta import hint_file
from labkit.mta.rates import Rates

MONDAY = datetime(2026, 11, 23, 9, 0, tzinfo=timezone.utc)


class Clock:
    def __init__(self) -> None:
        self.instant = MONDAY

    def __call__(self) -> datetime:
        return self.instant

    def pass_(self, seconds: float) -> None:
        self.instant += timedelta(seconds=seconds)


def events(question: RateOf, *gaps: float) -> list[float]:
    """The rates of events, each so many seconds after the one before."""
    clock = Clock()
    rates, found = Rates(clock), []
    for gap in (0.0, *gaps):
        clock.pass_(gap)
        found.append(round(rates.rate(question), 3))
    return found


HOUR = RateOf("k", limit=1000, period=3600)


@pytest.mark.parametrize(
    "gaps, expected, because",
    [
        ((), [1], "the first event counts in full"),
        ((0, 0, 0), [1, 2, 3, 4], "a burst counts one by one"),
        ((7200,), [1, 1], "an isolated event after a long silence is one again"),
        ((3600,), [1, 1.0], "a steady stream of one in a period is one"),
        ((1800,), [1, round(2 * (1 - math.exp(-0.5)) + math.exp(-0.5), 3)], "a half-way one"),
        ((-50,), [1, 2], "the clock may go back"),
    ],
)
def test_rates(gaps: tuple[float, ...], expected: list[float], because: str) -> None:
    assert events(HOUR, *gaps) == expected, because


def test_a_stream_reaches_its_rate() -> None:
    assert events(HOUR, *[36.0] * 1000)[-1] == pytest.approx(100, rel=0.01)


def test_sizes_are_counted() -> None:
    assert events(RateOf("k", 10, 3600, count=500, mode="strict"), 0) == [500, 1000]


@pytest.mark.parametrize(
    "mode, expected, because",
    [
        (
            "leaky",
            [1, 2, 3, 4, 4],
            "the third is a little below the limit; what is over it is not written down: the next is as high",
        ),
        ("strict", [1, 2, 3, 4, 5], "all is written down"),
        ("readonly", [0, 0, 0, 0, 0], "nothing is"),
    ],
)
def test_modes(mode: str, expected: list[float], because: str) -> None:
    count = 0 if mode == "readonly" else 1
    assert events(RateOf("k", limit=3, period=60, count=count, mode=mode), 0, 0, 0, 0) == expected, because


def test_readonly_reads_what_others_counted() -> None:
    clock = Clock()
    rates = Rates(clock)
    for _ in range(4):
        rates.rate(RateOf("k", 10, 60))
    assert rates.rate(RateOf("k", 10, 60, 0, "readonly")) == pytest.approx(4)
    clock.pass_(60)
    assert rates.rate(RateOf("k", 10, 60, 0, "readonly")) == pytest.approx(4 / math.e)


def test_a_leaky_client_gets_in_again() -> None:
    clock = Clock()
    rates = Rates(clock)
    question = RateOf("k", 3, 60)
    assert [round(rates.rate(question)) for _ in range(5)] == [1, 2, 3, 4, 4]
    clock.pass_(60)
    assert rates.rate(question) < 3


def test_unique_values_count_once_in_a_period() -> None:
    clock = Clock()
    rates = Rates(clock)

    def met(value: str) -> float:
        return rates.rate(RateOf("k", 100, 60, unique=value))

    assert [round(met(value), 3) for value in ("a", "a", "b", "a")] == [1, 1, 2, 2]
    clock.pass_(61)
    assert met("a") > met("a") - 0.001  # counted anew, then not again
    assert rates.rate(RateOf("other", 100, 60, unique="a")) == 1


@pytest.mark.parametrize(
    "mode, ages, because",
    [
        ("write", [None, 100, 100, 100], "each time"),
        ("readonly", [None, None, None, None], "never"),
        ("", [None, 100, 200, 300], "only the first time"),
    ],
)
def test_seen(mode: str, ages: list[float | None], because: str) -> None:
    clock = Clock()
    rates, found = Rates(clock), []
    for _ in range(4):
        found.append(rates.seen(SeenBefore("k", 60, is_before=True, mode=mode)))
        clock.pass_(100)
    assert found == ages, because


def test_an_old_entry_is_refreshed() -> None:
    clock = Clock()
    rates = Rates(clock)
    question = SeenBefore("k", 300, is_before=True)
    rates.seen(question)
    clock.pass_(11 * 86400)
    assert rates.seen(question) == 11 * 86400
    assert rates.seen(question) == 300


def test_it_is_stored(tmp_path: Path) -> None:
    path, clock = tmp_path / "db/ratelimit", Clock()
    rates = Rates(clock, path)
    rates.store()
    assert not path.exists()  # nothing has happened
    rates.rate(RateOf("k", 10, 60, unique="é\udce9"[:1]))
    rates.seen(SeenBefore("s", 1))
    rates.store()
    clock.pass_(1)
    again = Rates(clock, path)
    assert again.rate(RateOf("k", 10, 60, 0, "readonly")) == pytest.approx(math.exp(-1 / 60))
    assert again.seen(SeenBefore("s", 1)) == 1


@pytest.mark.parametrize(
    "text", ["", "{", "[]", '{"rates": {"k": [1]}, "seen": {}}', '{"rates": 1, "seen": 2}', "[" * 9999]
)
def test_damaged_hints_are_dropped(tmp_path: Path, text: str) -> None:
    (tmp_path / "r").write_text(text)
    assert Rates(Clock(), tmp_path / "r").rate(HOUR) == 1


def test_what_was_written_longest_ago_goes_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hint_file, "MOST_RECORDS", 3)
    path, clock = tmp_path / "ratelimit", Clock()
    rates = Rates(clock, path)
    for key in ("y", "z", "x", "y"):
        rates.seen(SeenBefore(key, 1, mode="write"))
    rates.store()
    again = Rates(clock, path)  # and the file has kept the order
    again.seen(SeenBefore("new", 1))
    known = [
        key for key in ("x", "y", "z", "new") if again.seen(SeenBefore(key, 1, mode="readonly")) is not None
    ]
    assert known == ["x", "y", "new"]
