"""ratelimit of ACLs: what is asked, what it means, and how rates are counted."""

from __future__ import annotations

from math import exp
from typing import Any

import pytest

from labkit.mail.questions import RateOf
from labkit.smtp.acl import Phase, Rate, counted

NO = "550 Administrative prohibition"
LATER = "451 Temporary local problem - please try later"
YES = "accepted"
CLIENT = "203.0.113.9"


@pytest.mark.parametrize(
    "phase, written, question",
    [
        (Phase.RCPT, "5 / 1h", RateOf(f"1h/per_mail/{CLIENT}", 5, 3600)),
        (Phase.RCPT, "5/1h/strict", RateOf(f"1h/per_mail/{CLIENT}", 5, 3600, 1, "strict")),
        (Phase.RCPT, "5 / 1h / per_rcpt / $local_part", RateOf("1h/per_rcpt/bob", 5, 3600)),
        (Phase.RCPT, "5 / 1h / per_cmd / a / b", RateOf("1h/per_cmd/a/b", 5, 3600)),
        (Phase.RCPT, "5 / 1h / per_conn", RateOf(f"1h/per_conn/{CLIENT}", 5, 3600)),
        (Phase.RCPT, "2.5k / 10m / per_byte", RateOf(f"10m/per_mail/{CLIENT}", 2560, 600, 4096)),
        (
            Phase.RCPT,
            "5 / 1h / per_addr",
            RateOf(f"1h/per_rcpt/unique/{CLIENT}", 5, 3600, unique="bob@here.test"),
        ),
        (
            Phase.RCPT,
            "5 / 1h / unique=$domain / k",
            RateOf("1h/per_mail/unique/k", 5, 3600, unique="here.test"),
        ),
        (Phase.RCPT, "5 / 1h / count=2.5 / k", RateOf("1h/per_mail/k", 5, 3600, 2.5)),
        (Phase.RCPT, "5 / 1h / readonly / k", RateOf("1h/per_mail/k", 5, 3600, 0, "readonly")),
        (Phase.RCPT, "5 / 1h / noupdate / strict / k", RateOf("1h/per_mail/k", 5, 3600, 0, "readonly")),
        (Phase.DATA, "5 / 1h / per_rcpt", RateOf(f"1h/per_rcpt/{CLIENT}", 5, 3600, 3)),
        (Phase.MAIL, "5 / 1h / per_rcpt", RateOf(f"1h/per_rcpt/{CLIENT}", 5, 3600, 0, "readonly")),
        (Phase.CONNECT, "5 / 1h", RateOf(f"1h/per_mail/{CLIENT}", 5, 3600)),
        (Phase.CONNECT, "5 / 1h / per_mail", RateOf(f"1h/per_mail/{CLIENT}", 5, 3600, 0, "readonly")),
        (Phase.NOT_SMTP, "5 / 1h / per_conn", RateOf(f"1h/per_conn/{CLIENT}", 5, 3600, 0, "readonly")),
    ],
)
def test_questions(stage: Any, phase: Phase, written: str, question: RateOf) -> None:
    stage.variables |= {"message_size": "4096", "recipients_count": "3"}
    stage.answers[question] = 4.96
    stage.run(f"deny ratelimit = {written}", phase=phase)
    assert stage.asked == [question]


def test_the_limit(stage: Any) -> None:
    """At the limit is over it; the variables tell."""
    acl = "deny ratelimit = 5 / 1h\n message = $sender_rate of $sender_rate_limit in $sender_rate_period\naccept"
    question = RateOf(f"1h/per_mail/{CLIENT}", 5, 3600)
    for rate, answer in [(4.99, YES), (5.0, "550 5.0 of 5 in 1h"), (77.777, "550 77.8 of 5 in 1h")]:
        stage.answers[question] = rate
        assert stage.said(acl) == answer
        stage.scene.begin_message()
    stage.answers[question] = None
    assert stage.said(acl) == LATER, "the records cannot be read"
    stage.answers[question] = 1.0
    assert stage.said("deny !ratelimit = 5 / 1h") == NO


@pytest.mark.parametrize(
    "options, asked, because",
    [
        ("per_mail", 2, "once in a message"),
        ("per_conn", 1, "once in a connection"),
        ("per_cmd", 4, "once in a command"),
        ("per_rcpt", 4, "once in a command"),
        ("readonly", 4, "once in a command"),
    ],
)
def test_counted_once(stage: Any, options: str, asked: int, because: str) -> None:
    stage.answer = lambda question: stage.asked.append(question) or 1.0
    for _ in range(2):
        for _ in range(2):
            stage.run(f"warn ratelimit = 5 / 1h / {options}\nwarn ratelimit = 7 / 1h / {options}")
        stage.scene.begin_message()
    assert len(stage.asked) == asked, because


@pytest.mark.parametrize(
    "phase, written, log",
    [
        (Phase.RCPT, "", "sender rate limit not set"),
        (Phase.RCPT, "x / 1h", '"x" is not a positive number'),
        (Phase.RCPT, "-1 / 1h", '"-1" is not a positive number'),
        (Phase.RCPT, "5", '"NULL" is not a time value'),
        (Phase.RCPT, "5 / 0s", '"0s" is not a time value'),
        (Phase.RCPT, "5 / x", '"x" is not a time value'),
        (Phase.RCPT, "5 / 1h / count=x", '"count=x" is not a positive number'),
        (Phase.RCPT, "5 / 1h / per_mail / per_rcpt", "conflicting per_* options"),
        (Phase.RCPT, "5 / 1h / strict / leaky", "conflicting update modes"),
        (
            Phase.HELO,
            "5 / 1h / per_mail / leaky",
            '"per_mail" must not have /leaky or /strict option, or cannot be used in EHLO or HELO ACL',
        ),
    ],
)
def test_mistakes(stage: Any, phase: Phase, written: str, log: str) -> None:
    verdict = stage.run(f"deny ratelimit = {written}", phase=phase)
    assert str(verdict.reply) == LATER
    assert verdict.log_text == f'error in arguments to "ratelimit" condition: {log}'


def test_counting() -> None:
    """The mean fades by e in one period; what is over the limit is not written down if leaky."""
    leaky, strict = RateOf("k", 2, 60), RateOf("k", 2, 60, 1, "strict")
    rate, record = counted(leaky, None, 0)
    assert rate == 1 and record == Rate(0, 1, 0)
    rate, second = counted(leaky, record, 30)
    assert rate == pytest.approx((1 - exp(-0.5)) / 0.5 + exp(-0.5) * 1)
    assert second is not None and second.rate == rate
    rate, third = counted(leaky, second, 31)
    assert rate > 2 and third is None, "over the limit"
    assert counted(strict, second, 31)[1] == Rate(31, rate, 31)
    rate, _ = counted(leaky, record, 100_000)
    assert rate == 1, "after a long silence one event counts for itself"
    burst, last = 0.0, None
    for _ in range(5):
        burst, last = counted(RateOf("k", 100, 60), last, 0)
    assert burst == pytest.approx(5)


def test_reading_does_not_count() -> None:
    record = Rate(0, 4, 0)
    rate, kept = counted(RateOf("k", 2, 60, 0, "readonly"), record, 60)
    assert rate == pytest.approx(4 / exp(1)) and kept is None


def test_each_event_once_in_a_period() -> None:
    def event(name: str, before: Rate | None, now: float) -> tuple[float, Rate | None]:
        return counted(RateOf("k", 10, 60, unique=name), before, now)

    _, record = event("a", None, 0)
    rate, record = event("a", record, 1)
    assert rate < 1
    rate, record = event("b", record, 2)
    assert rate > 1.5 and record is not None and record.events == {"a", "b"}
    _, record = event("a", record, 62)
    assert record is not None and record.events == {"a"}, "the period is over"


@pytest.mark.parametrize("period", [60, 3600, 86400])
@pytest.mark.parametrize("limit", [1, 2, 3, 10])
def test_events_in_the_same_instant(limit: int, period: int) -> None:
    """The lab's clock stands: each is one more, and the one that reaches the limit is still a little below it."""
    question = RateOf("k", limit, period, 1, "strict")
    kept: Rate | None = None
    for number in range(1, limit + 2):
        rate, kept = counted(question, kept, 1_000_000.0)
        assert number - 1e-6 < rate <= number
        assert (rate < limit) is (number < limit or number == limit > 1)
