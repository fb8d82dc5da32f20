"""Every try of a retry rule, on two clocks."""

from __future__ import annotations

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from labkit.eximconf.reader import LogicalLine, Place
from labkit.queue.plan import AT_ONCE, MOST_TRIES, in_words_of_the_standard, plan_of
from labkit.queue.schedule import RetryRule, read_rules

USUAL = "*  *  F,2h,15m; G,16h,1h,1.5; F,4d,6h"
MINUTE, HOUR, DAY = timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)


def rule(text: str) -> RetryRule:
    return read_rules([LogicalLine(text, Place("exim.conf", 1))])[0]


@pytest.mark.parametrize(
    "text, every, minutes, because",
    [
        ("* * F,1h,15m", 15, [0, 15, 30, 45, 60, 75], "a step holds up to its end; then once more, and it is over"),
        ("* * F,1h,20m", 15, [0, 30, 60, 75], "a queue run finds it late; over an hour old it is tried and given up"),
        ("* * F,1h,15m", 60, [0, 60, 120], "rare queue runs make rare tries"),
        ("* * G,4h,30m,2", 30, [0, 30, 90, 210, 270], "each wait is twice the one before, until it is too old"),
        ("* *", 15, [0], "no step: nothing is tried twice"),
        ("* * F,30m,1h", 15, [0, 45], "it does not wait for a retry time beyond its end"),
    ],
)  # fmt: skip
def test_tries(text: str, every: int, minutes: list[int], because: str) -> None:
    plan = plan_of(rule(text), every * MINUTE)
    assert [at / MINUTE for at in plan.times] == minutes, because
    assert plan.given_up == minutes[-1] * MINUTE


def test_the_rule_alone_keeps_its_retry_times() -> None:
    plan = plan_of(rule(USUAL))
    assert [each.at / HOUR for each in plan.tries[:13]] == [
        0, .25, .5, .75, 1, 1.25, 1.5, 1.75, 2, 2.25, 3.25, 4.75, 7.0,
    ]  # fmt: skip
    assert all(not each.late for each in plan.tries[:-1])
    assert plan.given_up == 4 * DAY + AT_ONCE


def test_what_the_standard_says() -> None:
    usual = " ".join(in_words_of_the_standard(plan_of(rule(USUAL))))
    assert "15 minutes between two tries" in usual and "SHOULD be at least 30 minutes" in usual
    assert "4 tries in the first hour" in usual and "given up late enough" in usual
    rfc = " ".join(in_words_of_the_standard(plan_of(rule("* * F,1h,30m; F,5d,2h"))))
    assert "as RFC 5321 suggests: 30 minutes or more" in rfc and "2 tries in the first hour" in rfc
    hasty = " ".join(in_words_of_the_standard(plan_of(rule("* * F,2h,1h"))))
    assert "given up too early" in hasty and "1 try in the first hour" in hasty
    assert "no second try" in " ".join(in_words_of_the_standard(plan_of(rule("* *"))))


def test_a_rule_that_never_stops_is_cut() -> None:
    plan = plan_of(rule("* * F,300d,1m"))
    assert plan.is_cut and plan.given_up is None and len(plan.tries) == MOST_TRIES


def test_no_time_between_queue_runs() -> None:
    with pytest.raises(ValueError, match="at least one second"):
        plan_of(rule(USUAL), timedelta())


@given(every=st.integers(1, 7200), first=st.integers(0, 7200), letter=st.sampled_from("FGH"))
def test_every_try_is_a_queue_run_and_none_comes_too_early(every: int, first: int, letter: str) -> None:
    text = "* * F,5h,7m" if letter == "F" else f"* * F,20m,7m; {letter},9h,11m,1.3"
    interval, offset = timedelta(seconds=every), timedelta(seconds=first)
    plan = plan_of(rule(text), interval, first_run=offset)
    limit = plan.rule.give_up_after
    for each in plan.tries[1:]:
        assert (each.at - offset) % interval == timedelta()
        assert each.at >= min(each.due, limit)
        assert each.late < interval
    assert all(a < b for a, b in zip(plan.times, plan.times[1:]))
