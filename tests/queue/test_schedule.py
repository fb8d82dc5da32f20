"""Retry rules: how they are read, whom they are for, and the instants they give (Exim's retry.c decides)."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta, timezone
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from labkit.eximconf.expansion import Env
from labkit.eximconf.reader import ConfigurationError, LogicalLine, Place
from labkit.mail.asking import answer_by
from labkit.queue.schedule import (
    RETRY_INTERVAL_MAX,
    Attempt,
    Failing,
    RetryRule,
    RetryStep,
    after_failure,
    finding_rule,
    read_rules,
)

PLACE = Place("exim.conf", 9)
START = datetime(2026, 9, 7, 9, 0, tzinfo=timezone.utc)
USUAL = "*  *  F,2h,15m; G,16h,1h,1.5; F,4d,6h"


def rule(text: str) -> RetryRule:
    return read_rules([LogicalLine(text, PLACE)])[0]


def rule_for(key: str, rules: Sequence[RetryRule], **more: Any) -> RetryRule | None:
    return answer_by(nobody, finding_rule(rules, Failing(key, **more), Env()))


def nobody(question: object) -> object:
    raise AssertionError(f"nothing asks: {question}")


def minutes(text: str, *, dice: float = 0.5, late: timedelta = timedelta(0)) -> list[float]:
    """When each try after the first comes, in minutes, if all fail; `late` is how late each one happens."""
    schedule, found = rule(text), []
    attempt = after_failure(schedule, None, START, dice)
    while not attempt.has_expired:
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
    assert over == Attempt(START, late, late + timedelta(minutes=20), True), "its last interval goes on"
    assert after_failure(schedule, over, late + timedelta(hours=1)).has_expired


def test_another_rule_may_revive_it() -> None:
    over = Attempt(START, START + timedelta(hours=2), START + timedelta(hours=2), True)
    again = after_failure(rule("* * G,4d,1h,2"), over, START + timedelta(hours=3))
    assert again.next_try == START + timedelta(hours=4) and not again.has_expired


def test_the_age_of_a_message_counts_where_no_host_is_at_fault() -> None:
    """Others may have got through in the meantime, and wiped what was known."""
    schedule = rule("* * F,1h,10m; F,3h,30m")
    assert after_failure(schedule, None, START, age=timedelta(hours=2)).next_try == START + timedelta(
        minutes=30
    )
    assert after_failure(schedule, None, START, age=timedelta(hours=4)).has_expired


def test_a_rule_without_a_step() -> None:
    """Trap 17 of the lab: every failure is final."""
    assert rule("b.test *").steps == ()
    assert after_failure(rule("b.test *"), None, START) == Attempt(START, START, START, True)


def test_a_shorter_retry_interval_max() -> None:
    attempt = after_failure(rule("* * F,9d,2h"), None, START, longest=timedelta(hours=1))
    assert attempt.next_try == START + timedelta(hours=1)


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
    found = rule_for(address, [rule(f"{pattern} * F,1h,1m")])
    assert (found is not None) is applies, because


def test_the_first_rule_that_applies() -> None:
    rules = read_rules([LogicalLine(text, PLACE) for text in ("b.test * F,1h,1m", "* * F,2h,2m")])
    assert rule_for("a@b.test", rules) is rules[0]
    assert rule_for("a@c.test", rules) is rules[1]
    assert rule_for("a@c.test", rules[:1]) is None, "trap 17 of the lab: every failure is final"


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
        ("*", "missing error type in retry rule", "too short"),
        ("* F,2h,15m", "unknown or malformed retry error", "no error"),
        ("* rcpt_4y F,1h,1m", "rcpt_4 must be followed by xx, dx, or dd", "a digit"),
        ("* refused_X F,1h,1m", 'A or MX expected after "refused"', "what kind of host"),
        ("* timeout_X F,1h,1m", '"A", "MX", or "connect" expected after "timeout"', "what kind"),
        ("* quota_x F,1h,1m", "invalid time value", "no time"),
        ("* * ;", "comma expected", "no step"),
        ("* * F", "comma expected", "no times"),
        ("* * F,1h", "comma expected", "no interval"),
        ("* * F,1h,1m,2", "semicolon expected", "too much"),
        ("* * G,1h,1m", "comma expected", "no factor"),
        ("* * X,1h,1m", "unknown retry rule letter", "no such letter"),
        ("* * F,1h,15", "invalid time value '15'", "no unit"),
        ("* * F,0s,15m", "bad parameters for retry rule", "Exim's words"),
        ("* * F,1h,0s", "bad parameters for retry rule", "endless tries"),
        ("* * G,1h,1m,0.9", "bad parameters for retry rule", "a wait that shrinks"),
        ("* * G,1h,1m,x", "bad parameters for retry rule", "no number"),
        ("* * G,1h,1m,²", "comma expected", "no number"),
        ("* * senders F,1h,1m", '"=" expected after "senders"', "no list"),
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
    assert all(step.until and step.interval for step in read.steps)


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
        assert attempt.has_expired == (now - START > longest)
        shortest = min(step.interval for step in schedule.steps)
        assert min(shortest, RETRY_INTERVAL_MAX) <= attempt.next_try - now <= RETRY_INTERVAL_MAX
        now += gap


@pytest.mark.parametrize(
    "key, more, pattern, because",
    [
        ("mx.b.test:192.0.2.1", {"alternate": "b.test"}, "mx.b.test", "a host is looked for by its name"),
        ("mx.c.test:192.0.2.1", {"alternate": "b.test"}, "b.test", "or by the domain it was tried for"),
        ("mx.c.test:192.0.2.1", {}, None, "not by others"),
        ("/var/mail/ann:ann@b.test", {}, "b.test", "a file by the address that named it"),
        ("b.test", {}, "b.test", "a domain"),
    ],
)
def test_what_is_looked_for(key: str, more: dict[str, str], pattern: str | None, because: str) -> None:
    rules = [rule(f"{text} * F,1h,1m") for text in ("mx.b.test", "b.test")]
    found = rule_for(key, rules, **more)
    assert (found.pattern if found else None) == pattern, because


@pytest.mark.parametrize(
    "word, errno, more, covers, because",
    [
        ("*", -44, 0, True, "everything"),
        ("refused", 111, ord("M"), True, "whatever record"),
        ("refused_MX", 111, ord("M"), True, "an MX record"),
        ("refused_A", 111, ord("M"), False, "and no other"),
        ("refused", 110, 0, False, "something else"),
        ("timeout", 110, 0x100 | ord("M"), True, "any time-out"),
        ("timeout_connect", 110, 0x100 | ord("A"), True, "of a connection"),
        ("timeout_connect", 110, ord("A"), False, "not of a reply"),
        ("timeout_connect_MX", 110, 0x100 | ord("A"), False, "an A record"),
        ("timeout_A", 110, 0x100 | ord("A"), True, "of any kind"),
        ("timeout_DNS", 110, 0, True, "as timeout: it never worked there"),
        ("rcpt_4xx", -44, 51 << 8, True, "any code"),
        ("rcpt_45x", -44, 51 << 8, True, "by its decade"),
        ("rcpt_45x", -44, 21 << 8, False, "another decade"),
        ("rcpt_452", -44, 51 << 8, False, "another code"),
        ("rcpt_451", -44, 51 << 8, True, "the code"),
        ("data_4xx", -44, 51 << 8, False, "another command"),
        ("mail_4xx", -45, 51 << 8, True, "MAIL"),
        ("lost_connection", -18, 0, True, "a broken connection"),
        ("lost", -18, 0, True, "words may be cut short"),
        ("tls_required", -37, 0, True, "a failed handshake, too"),
        ("auth_failed", -42, 0, True, "AUTH"),
        ("lookup", -32, 0, True, "a host without an address"),
        ("quota", 28, 0, True, "a full disk"),
        ("quota", 122, 0, True, "the system's quota"),
        ("quota_3d", -22, 2 * 86400, False, "read two days ago"),
        ("quota_3d", -22, 3 * 86400, True, "read three days ago"),
    ],
)
def test_conditions(word: str, errno: int, more: int, covers: bool, because: str) -> None:
    assert rule(f"* {word} F,1h,1m").error.covers(errno, more) is covers, because


def test_senders() -> None:
    rules = [rule('* * senders="a.test : x@*" F,1h,1m'), rule("* * F,2h,2m")]
    assert rule_for("b.test", rules, sender="ann@a.test") is rules[0]
    assert rule_for("b.test", rules, sender="ann@b.test") is rules[1]
    assert rule_for("b.test", rules, sender=None) is rules[1], "no sender is known: -brt"
