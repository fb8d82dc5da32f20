"""Retry rules: how they are read, whom they are for, and the instants they give (Exim's retry.c decides)."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from labkit.eximconf.reader import ConfigurationError, LogicalLine, Place
from labkit.mail.address import Mailbox
from labkit.queue.schedule import (
    RETRY_INTERVAL_MAX,
    Attempt,
    RetryRule,
    RetryStep,
    after_failure,
    read_rules,
    rule_for,
)

PLACE = Place("exim.conf", 9)
START = datetime(2026, 9, 7, 9, 0, tzinfo=timezone.utc)
USUAL = "*  *  F,2h,15m; G,16h,1h,1.5; F,4d,6h"


def rule(text: str) -> RetryRule:
    return read_rules([LogicalLine(text, PLACE)])[0]


def minutes(text: str, *, dice: float = 0.5, late: timedelta = timedelta(0)) -> list[float]:
    """When each try after the first comes, in minutes, if all fail; `late` is how late each one happens."""
    schedule, found = rule(text), []
    attempt = after_failure(schedule, None, START, dice)
    while attempt.next_try is not None:
        now = attempt.next_try + late
        found.append((now - START).total_seconds() / 60)
        attempt = after_failure(schedule, attempt, now, dice)
    return found


def test_the_usual_rule() -> None:
    tries = minutes(USUAL)
    # F,2h,15m holds up to and including two hours; then G grows, but from an hour at least: a quarter is less
    assert tries[:9] == [15, 30, 45, 60, 75, 90, 105, 120, 135]
    assert tries[9:14] == [195, 285, 420, 622.5, 926.25]
    # after sixteen hours six hours each, four days long
    assert [round(at) for at in tries[14:18]] == [1382, 1742, 2102, 2462]
    assert tries[-2] <= 4 * 24 * 60 < tries[-1], "one try after four days finds the time over"
    assert tries[-1] - tries[-2] == 360


@pytest.mark.parametrize(
    "text, expected, because",
    [
        ("* * F,1h,20m", [20, 40, 60, 80], "a step holds up to and including its limit"),
        ("* * F,1h,2h", [120], "one interval longer than the limit"),
        ("* * G,4h,30m,2", [30, 90, 210, 450], "each gap twice the last"),
        ("* * G,4h,30m,1", [30, 60, 90, 120, 150, 180, 210, 240, 270], "a factor of one is a fixed interval"),
        (
            "* * F,30m,10m; G,2h,1h,3",
            [10, 20, 30, 40, 100, 280],
            "a first G gap shorter than its own: its own counts",
        ),
        ("* * F,30m,30m; G,5h,10m,2", [30, 60, 120, 240, 480], "a longer one grows at once"),
        ("* * F,3d,2d", [24 * 60, 48 * 60, 72 * 60, 96 * 60], "no wait is longer than a day"),
        ("* * G,5d,10h,2", [10 * 60, 30 * 60, 54 * 60, 78 * 60, 102 * 60, 126 * 60], "nor one that grew"),
    ],
)
def test_when(text: str, expected: list[float], because: str) -> None:
    assert minutes(text) == expected, because


@pytest.mark.parametrize(
    "dice, second, because",
    [
        (0.0, 60 + 90, "half of what the gap may grow, at least"),
        (0.5, 60 + 105, "in between"),
        (1.0, 60 + 120, "what G gives, at most"),
    ],
)
def test_chance(dice: float, second: float, because: str) -> None:
    assert minutes("* * H,6h,1h,2", dice=dice)[:2] == [60, second], because


def test_a_late_queue_run_counts_the_planned_gap() -> None:
    """The real gap is longer than the planned one; the shorter of both is what grows."""
    found = minutes("* * G,10h,30m,2", late=timedelta(minutes=10))
    assert found == [40, 110, 240, 490, 980]


def test_a_forced_try_in_between_counts_the_real_gap() -> None:
    schedule = rule("* * G,10h,30m,2")
    first = after_failure(schedule, None, START)
    second = after_failure(schedule, first, START + timedelta(minutes=30))
    assert second.next_try == START + timedelta(minutes=90)
    forced = after_failure(schedule, second, START + timedelta(minutes=40))
    assert forced.next_try == START + timedelta(minutes=70), "ten minutes are less than the interval"


def test_a_forced_try_of_chance_grows_from_the_real_gap() -> None:
    """H, unlike G, lets a gap grow that is shorter than the interval (retry.c)."""
    schedule = rule("* * H,10h,30m,4")
    first = after_failure(schedule, None, START, 1.0)
    forced = after_failure(schedule, first, START + timedelta(minutes=20), 1.0)
    assert forced.next_try == START + timedelta(minutes=20 + 80)
    assert after_failure(
        rule("* * G,10h,30m,4"), first, START + timedelta(minutes=20)
    ).next_try == START + timedelta(minutes=50)


def test_what_has_run_out_stays_so() -> None:
    schedule = rule("* * F,1h,20m")
    late = START + timedelta(hours=2)
    over = after_failure(schedule, Attempt(START, START, START + timedelta(minutes=20)), late)
    assert over == Attempt(START, late, None)
    assert after_failure(schedule, over, late + timedelta(hours=1)).next_try is None


def test_another_rule_may_revive_it() -> None:
    over = Attempt(START, START + timedelta(hours=2), None)
    again = after_failure(rule("* * G,4d,1h,2"), over, START + timedelta(hours=3))
    assert again.next_try == START + timedelta(hours=4)


@pytest.mark.parametrize(
    "pattern, address, applies, because",
    [
        ("*", "a@b.test", True, "everybody"),
        ("b.test", "a@b.test", True, "a domain"),
        ("B.test", "a@b.TEST", True, "without case"),
        ("b.test", "a@x.b.test", False, "no subdomain"),
        ("*.b.test", "a@x.b.test", True, "subdomains"),
        ("*.b.test", "a@b.test", False, "and only these"),
        ("a@b.test", "A@b.test", True, "one address"),
        ("a@b.test", "c@b.test", False, "and no other"),
        ("*@b.test", "c@b.test", True, "anybody there"),
        ("*-request@b.test", "list-request@b.test", True, "an ending of a local part"),
        ("*@*", "a@b.test", True, "everybody again"),
        ("a@*.test", "a@b.test", True, "anywhere"),
    ],
)
def test_whom_a_rule_is_for(pattern: str, address: str, applies: bool, because: str) -> None:
    assert rule(f"{pattern} * F,1h,1m").applies_to(Mailbox.parse(address)) is applies, because


def test_the_first_rule_that_applies() -> None:
    rules = read_rules([LogicalLine(text, PLACE) for text in ("b.test * F,1h,1m", "* * F,2h,2m")])
    assert rule_for(Mailbox.parse("a@b.test"), rules) is rules[0]
    assert rule_for(Mailbox.parse("a@c.test"), rules) is rules[1]
    assert rule_for(Mailbox.parse("a@c.test"), rules[:1]) is None, (
        "trap 17 of the lab: every failure is final"
    )


def test_read() -> None:
    read = rule("*.b.test\t*  f,2h,15m ;g, 16h, 1h,1.5 ; H,4d,6h,2;")
    assert read.pattern == "*.b.test"
    assert read.steps == (
        RetryStep("F", timedelta(hours=2), timedelta(minutes=15)),
        RetryStep("G", timedelta(hours=16), timedelta(hours=1), 1.5),
        RetryStep("H", timedelta(days=4), timedelta(hours=6), 2.0),
    )
    assert read.give_up_after == timedelta(days=4)


@pytest.mark.parametrize(
    "text, problem, because",
    [
        ("*", "a retry rule needs an address, an error and a schedule", "too short"),
        ("* *", "a retry rule needs", "no schedule: trap 17 of the lab"),
        ("* F,2h,15m", "a retry rule needs", "no error"),
        ("* quota F,1h,1m", 'the retry error condition "quota"', "not yet"),
        ("* refused_MX F,1h,1m", 'the retry error condition "refused_MX"', "not yet"),
        ("^a * F,1h,1m", "the retry pattern '^a'", "not yet"),
        ("lsearch;/x * F,1h,1m", "the retry pattern", "not yet"),
        ("+local_domains * F,1h,1m", "the retry pattern '+local_domains'", "not yet"),
        ("a@+local * F,1h,1m", "the retry pattern 'a@+local'", "not yet"),
        ("@ * F,1h,1m", "the retry pattern '@'", "not yet"),
        ("* * ;", "a retry rule without a step", "no step"),
        ("* * F", "'F' is no step of a retry rule", "no times"),
        ("* * F,1h", "'F,1h' is no step", "no interval"),
        ("* * F,1h,1m,2", "'F,1h,1m,2' is no step", "too much"),
        ("* * G,1h,1m", "'G,1h,1m' is no step", "no factor"),
        ("* * X,1h,1m", "'X,1h,1m' is no step", "no such letter"),
        ("* * F,1h,15", "invalid time value '15'", "no unit"),
        ("* * F,0s,15m", "bad parameters for retry rule", "Exim's words"),
        ("* * F,1h,0s", "bad parameters for retry rule", "endless tries"),
        ("* * G,1h,1m,0.9", "bad parameters for retry rule", "a wait that shrinks"),
        ("* * G,1h,1m,x", "bad parameters for retry rule", "no number"),
        ("* * G,1h,1m,²", "bad parameters for retry rule", "no number"),
        ("* * senders=a@b F,1h,1m", "is no step of a retry rule", "not yet"),
    ],
)
def test_what_is_refused(text: str, problem: str, because: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        rule(text)
    assert problem in caught.value.problem, because
    assert caught.value.place == PLACE
    assert caught.value.remedy


@settings(deadline=None)
@given(st.text(st.sampled_from("*@+.aFGH,;0123 hmds²") | st.characters(), max_size=40))
def test_nothing_but_a_configuration_error(text: str) -> None:
    try:
        read = rule(text)
    except ConfigurationError:
        return
    assert read.steps


spans = st.integers(1, 10**6).map(lambda seconds: timedelta(seconds=seconds))
steps = st.builds(RetryStep, st.sampled_from("FGH"), spans, spans, st.floats(1, 10))
rules = st.builds(RetryRule, st.just("*"), st.lists(steps, min_size=1, max_size=3).map(tuple), st.just(""))


@settings(deadline=None)
@given(rules, st.lists(spans, min_size=1, max_size=20), st.floats(0, 1))
def test_rules_that_always_hold(schedule: RetryRule, gaps: list[timedelta], dice: float) -> None:
    attempt, now = None, START
    for gap in gaps:
        attempt = after_failure(schedule, attempt, now, dice)
        assert attempt.first_failed == START
        assert attempt.last_try == now
        longest = max(step.until for step in schedule.steps)
        assert (attempt.next_try is None) == (now - START > longest)
        if attempt.next_try is not None:
            shortest = min(step.interval for step in schedule.steps)
            assert min(shortest, RETRY_INTERVAL_MAX) <= attempt.next_try - now <= RETRY_INTERVAL_MAX
        now += gap
