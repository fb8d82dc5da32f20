"""The figures of a stream, counted by hand: nobody believes a table whose sums nobody has checked."""

from __future__ import annotations

from dataclasses import replace

import pytest

from labkit.lab.traffic_outcomes import HUNG_UP, INBOX, MARKED, PUT_OFF, REFUSED, Measured, Outcome


def outcome(
    number: int, kind: str, is_spam: bool, fate: str, minutes: float | None = None, **more: float
) -> Outcome:
    return Outcome(
        number,
        kind,
        is_spam,
        fate,
        "data",
        "250 OK",
        minutes,
        int(more.get("attempts", 1)),
        int(more.get("octets", 100)),
        more.get("seconds", 2.0),
        int(more.get("wrong", 0)),
    )


OUTCOMES = (
    outcome(1, "server", False, INBOX, 10.0, attempts=2, seconds=3.0),
    outcome(2, "server", False, INBOX, 0.0),
    outcome(3, "shop", False, PUT_OFF, None, octets=0, seconds=0.5),
    outcome(4, "server", False, MARKED, 5.0),
    outcome(5, "bot", True, REFUSED, None, octets=0),
    outcome(6, "bot", True, INBOX, 1.0, attempts=3, seconds=7.0),
    outcome(7, "bot", True, HUNG_UP, None, octets=7),
    outcome(8, "loud", True, MARKED, 3.0),
    outcome(9, "server", False, INBOX, 20.0),
)
MEASURED = Measured("tarpit", "labkit", 1, OUTCOMES, 12, 3)


def test_what_is_caught() -> None:
    """All that did not reach the inbox; of spam that is good, of ham a loss."""
    assert [each.is_caught for each in OUTCOMES] == [False, False, True, True, True, False, True, True, False]
    assert (len(MEASURED.spam), MEASURED.caught) == (4, 3)
    assert (len(MEASURED.ham), MEASURED.wrongly_caught) == (5, 2)


def test_delays_are_those_of_honest_mail_that_arrived() -> None:
    assert MEASURED.delays == (0.0, 5.0, 10.0, 20.0)
    assert [MEASURED.delay(part) for part in (0.0, 0.25, 0.5, 0.95, 1.0)] == [0.0, 5.0, 10.0, 20.0, 20.0]
    assert MEASURED.delay() == MEASURED.delay(0.5)
    nobody = Measured("none", "labkit", 1, OUTCOMES[2:3], 0, 0)
    assert (nobody.delays, nobody.delay()) == ((), None)
    assert "none arrived" in repr(nobody)


def test_what_it_costs() -> None:
    assert MEASURED.connections == 2 + 1 + 1 + 1 + 1 + 3 + 1 + 1 + 1
    assert MEASURED.octets == 7 * 100 - 100 + 7
    assert (MEASURED.held(False), MEASURED.held(True)) == (9.5, 13.0)


def test_kind_by_kind() -> None:
    """Ham first, each kind once, with the middle of its delays: the upper one of two."""
    rows = [
        (row.kind, row.is_spam, row.messages, dict(row.fates), row.median_minutes)
        for row in MEASURED.by_kind()
    ]
    assert rows == [
        ("server", False, 4, {INBOX: 3, MARKED: 1}, 10.0),
        ("shop", False, 1, {PUT_OFF: 1}, None),
        ("bot", True, 3, {REFUSED: 1, INBOX: 1, HUNG_UP: 1}, 1.0),
        ("loud", True, 1, {MARKED: 1}, 3.0),
    ]


def test_as_it_is_printed() -> None:
    assert str(MEASURED).splitlines() == [
        "<tarpit: 2 of 5 ham lost, half arrived within 10 min, 95 % within 20 min; 3 of 4 spam caught; 12 connections>",
        "                       messages     inbox    marked   refused   put off   hung up  delay",
        "ham  server                   4         3         1         -         -         -  10 min",
        "ham  shop                     1         -         -         -         1         -  ",
        "spam bot                      3         1         -         1         -         1  1 min",
        "spam loud                     1         -         1         -         -         -  3 min",
    ]


@pytest.mark.parametrize(
    "changed, is_seen", [("fate", True), ("reply", True), ("minutes", True), ("seconds", False)]
)
def test_what_both_engines_must_agree_on(changed: str, is_seen: bool) -> None:
    value = {"fate": REFUSED, "reply": "550 no", "minutes": 11.0, "seconds": 99.0}[changed]
    other = replace(MEASURED, outcomes=(replace(OUTCOMES[0], **{changed: value}), *OUTCOMES[1:]))  # type: ignore[arg-type]
    assert (other.facts() != MEASURED.facts()) is is_seen
    assert MEASURED.facts()[0] == (1, "server", INBOX, "data", "250 OK", 10.0, 2, 0)
