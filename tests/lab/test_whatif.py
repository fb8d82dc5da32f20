"""A model of a long outage beside the mail itself: every message, every second."""

from __future__ import annotations

import asyncio
import random
import time
import tracemalloc

import numpy as np
import pytest

from labkit.eximconf.reader import LogicalLine, Place
from labkit.lab.whatif import (
    ADDRESS,
    DELIVERED,
    GIVEN_UP,
    HOST,
    MOST_ALONG,
    MOST_MESSAGES,
    Outage,
    Played,
    play,
    steadily,
)
from labkit.lab.whatif_measured import measured
from labkit.queue.schedule import RetryRule, read_rules

USUAL = "* * F,2h,15m; G,16h,1h,1.5; F,4d,6h"
SHORT = "* * F,30m,5m; G,3h,10m,1.7; F,5h,40m"
HOUR = 3600


def rule(text: str) -> RetryRule:
    return read_rules([LogicalLine(text, Place("exim.conf", 1))])[0]


def assert_same(model: Played, real: Played) -> None:
    assert model.arrivals.tolist() == real.arrivals.tolist()
    assert model.left.tolist() == real.left.tolist()
    assert model.fate.tolist() == real.fate.tolist()
    assert model.calls.tolist() == real.calls.tolist()
    assert model.together.tolist() == real.together.tolist()


@pytest.mark.parametrize(
    "text, per_hour, down, until, every, hints, fates, because",
    [
        (USUAL, 10, (2, 9), 24, 900, HOST, (60, 0), "everybody waits for the one hint, and then all go"),
        (SHORT, 6, (2, 9), 24, 900, HOST, (16, 44), "when the hint's time is over, the whole queue is given up"),
        (SHORT, 6, (2, 9), 24, 420, HOST, (17, 43), "another interval of queue runs"),
        (USUAL, 10, (2, 5), 12, 900, ADDRESS, (60, 0), "each message has a schedule of its own"),
        (SHORT, 6, (2, 9), 24, 900, ADDRESS, (48, 12), "and each has its own end"),
    ],
)  # fmt: skip
def test_the_model_is_what_the_mail_does(
    text: str,
    per_hour: float,
    down: tuple[int, int],
    until: int,
    every: int,
    hints: str,
    fates: tuple[int, int],
    because: str,
) -> None:
    arrivals = steadily(60, per_hour, start=130)
    outage = Outage(
        rule(text), arrivals, down[0] * HOUR + 50, down[1] * HOUR + 77, until * HOUR, every, hints
    )
    model, real = play(outage), asyncio.run(measured(outage))
    assert_same(model, real)
    assert (real.delivered, real.given_up) == fates, because
    grid = np.arange(0, outage.until, 60)
    assert (model.length(grid) == real.length(grid)).all(), "so the curves are the same, too"
    assert (model.ages(grid) == real.ages(grid)).all()


@pytest.mark.parametrize("seed", range(12))
def test_the_model_is_what_the_mail_does_whatever_it_is(seed: int) -> None:
    dice = random.Random(seed)
    text = dice.choice(
        [SHORT, "* * F,1h,7m", "* * G,4h,3m,2", "* * F,20m,1m; F,3h,1h", "* *", "* * F,10m,30m"]
    )
    every = dice.choice([300, 420, 900, 61, 3600])
    wanted = {dice.randrange(1, 10 * HOUR) for _ in range(dice.randint(1, 25))}
    arrivals = np.array(sorted({at + (at % every == 0) for at in wanted}), dtype=np.int64)
    down_from = dice.randrange(1, 5 * HOUR)
    down_until = down_from + dice.randrange(1, 8 * HOUR)
    outage = Outage(
        rule(text),
        arrivals,
        down_from + (down_from % every == 0),
        down_until + (down_until % every == 0),
        dice.randrange(8 * HOUR, 20 * HOUR),
        every,
        dice.choice([HOST, HOST, ADDRESS]),
    )
    assert_same(play(outage), asyncio.run(measured(outage)))


@pytest.mark.needs("exim", "gcc")
@pytest.mark.parametrize(
    "per_hour, until_down, hints", [(3, 4, HOST), (2, 8, HOST), (3, 4, ADDRESS)], ids=["back", "over", "4xx"]
)
def test_the_real_exim_does_the_same(per_hour: float, until_down: int, hints: str) -> None:
    arrivals = steadily(16, per_hour, start=130)
    outage = Outage(rule(SHORT), arrivals, HOUR + 50, until_down * HOUR + 77, 10 * HOUR, 900, hints)
    assert_same(play(outage), asyncio.run(measured(outage, "exim")))


@pytest.mark.parametrize("hints", [HOST, ADDRESS])
@pytest.mark.alone
def test_a_million_messages_take_seconds_and_bounded_memory(hints: str) -> None:
    arrivals = steadily(1_000_000, 1_000_000 / 72, start=7)
    outage = Outage(rule(USUAL), arrivals, 2 * HOUR + 1, 120 * HOUR + 1, 192 * HOUR, 900, hints)
    began = time.perf_counter()
    played = play(outage)
    grid = np.linspace(0, outage.until, 300).astype(np.int64)
    length, ages = played.length(grid), played.ages(grid)
    assert time.perf_counter() - began < 30
    assert played.delivered + played.given_up + played.waiting == 1_000_000
    assert played.waiting == 0
    assert length.max() > 900_000
    assert ages[:, 1].max() <= 4 * 86400 + 900
    assert int(played.calls_per_hour().sum()) == int(played.together.sum())
    if (
        hints == HOST
    ):  # the one hint: as many calls as one message would have made, not a million times as many
        assert int(played.together.sum()) < 50
        assert len(set(played.left[played.fate == GIVEN_UP].tolist())) == 1


@pytest.mark.parametrize("hints, megabytes", [(HOST, 60), (ADDRESS, 200)])
def test_memory(hints: str, megabytes: int) -> None:
    arrivals = steadily(1_000_000, 1_000_000 / 72, start=7)
    outage = Outage(rule("* * F,5h,1h"), arrivals, 2 * HOUR + 1, 120 * HOUR + 1, 192 * HOUR, 900, hints)
    tracemalloc.start()
    try:
        play(outage)
        _, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert most < megabytes * 2**20


def test_who_comes_when_the_host_is_back_takes_others_along() -> None:
    arrivals = np.concatenate([steadily(2000, 7200, start=7), np.array([3 * HOUR + 5])])
    outage = Outage(rule("* * F,9h,50m"), arrivals, 1, 3 * HOUR - 60, 12 * HOUR, 3600)
    played = play(outage)
    along = int((played.left == 3 * HOUR + 5).sum())
    at_the_run = int((played.left[:2000] == 3 * HOUR).sum())
    assert played.delivered == 2001
    assert along + at_the_run == 2001
    assert along in (1, 1 + MOST_ALONG)


def test_nobody_comes_or_nothing_is_down() -> None:
    nobody = play(Outage(rule(USUAL), steadily(0, 1), 5, 500, 1000))
    assert (nobody.delivered, nobody.waiting, len(nobody.calls)) == (0, 0, 0)
    assert nobody.ages(np.array([10, 20])).tolist() == [[0, 0], [0, 0]]
    well = play(Outage(rule(USUAL), steadily(50, 3600), 5, 5, 1000))
    assert (well.fate == DELIVERED).all() and (well.left == well.arrivals).all()


@pytest.mark.parametrize(
    "change, words",
    [
        ({"hints": "mine"}, "it is host or address"),
        ({"every": 0}, "at least one second"),
        ({"down_until": 1}, "ends before it begins"),
        ({"until": 0}, "end comes before"),
        ({"arrivals": np.array([5, 3])}, "in order"),
        ({"arrivals": np.array([-5, 3])}, "from 0 on"),
    ],
)
def test_what_cannot_be(change: dict[str, object], words: str) -> None:
    usual: dict[str, object] = {
        "rule": rule(USUAL), "arrivals": steadily(5, 60), "down_from": 5, "down_until": 500, "until": 1000,
    }  # fmt: skip
    with pytest.raises(ValueError, match=words):
        Outage(**{**usual, **change})  # type: ignore[arg-type]


def test_too_many() -> None:
    with pytest.raises(ValueError, match="messages"):
        steadily(MOST_MESSAGES + 1, 10)
    with pytest.raises(ValueError, match="more than none"):
        steadily(5, 0)
    with pytest.raises(ValueError, match="are for the model"):
        asyncio.run(measured(Outage(rule(USUAL), steadily(1000, 100), 5, 500, 1000)))


def test_what_is_measured_is_labkits_unless_somebody_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    """A notebook that is run on the real Exim has this beside it, in memory."""
    monkeypatch.setenv("LABKIT_ENGINE", "exim")
    outage = Outage(rule(USUAL), steadily(3, 1), 5, 500, 1000)
    assert_same(play(outage), asyncio.run(measured(outage)))
