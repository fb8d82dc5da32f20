"""Events: facts and insights, and that a journal on disk gives back what was written."""

from __future__ import annotations

import json
from datetime import datetime, timezone

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from labkit.mail.envelope import Envelope
from labkit.mail.event import INSIGHTS, EventKind, MailEvent

NOON = datetime(2026, 9, 7, 12, 0, tzinfo=timezone.utc)
SOME = MailEvent(number=1, at=NOON, host="mx2", kind=EventKind.DELIVERED, recipient="bob@b.test", code=250)


def test_one_line_without_what_is_absent() -> None:
    assert json.loads(SOME.to_json()) == {
        "number": 1,
        "at": "2026-09-07T12:00:00+00:00",
        "host": "mx2",
        "kind": "delivered",
        "recipient": "bob@b.test",
        "code": 250,
    }


texts = st.none() | st.text()
numbers = st.none() | st.integers(-(2**53), 2**53)
events = st.builds(
    MailEvent,
    number=st.integers(0, 2**53),
    at=st.datetimes(timezones=st.just(timezone.utc)),
    host=st.text(),
    kind=st.sampled_from(EventKind),
    sender=texts,
    recipient=texts,
    text=texts,
    size=numbers,
    code=numbers,
    session=numbers,
)


@settings(deadline=None)
@given(events)
def test_an_event_comes_back(event: MailEvent) -> None:
    line = event.to_json()
    assert line.isascii()
    assert "\n" not in line, "one event, one line"
    assert MailEvent.from_json(line) == event


def test_details_of_a_later_version_are_passed_over() -> None:
    assert MailEvent.from_json(SOME.to_json()[:-1] + ', "colour": "red"}') == SOME


@pytest.mark.parametrize(
    "line, because",
    [
        ("", "nothing"),
        ("{", "cut off"),
        ("[]", "no object"),
        ("null", "no object"),
        ("[" * 100_000, "deeper than anybody would write"),
        ("{}", "no instant"),
        ('{"at": "yesterday", "kind": "delivered"}', "no instant"),
        ('{"at": 5, "kind": "delivered"}', "no instant"),
        ('{"at": "2026-09-07T12:00:00+00:00", "kind": "teleported"}', "no such kind"),
        ('{"at": "2026-09-07T12:00:00+00:00", "kind": "delivered"}', "no number and no host"),
    ],
)
def test_what_is_no_event(line: str, because: str) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 - any kind of it, for any damage
        MailEvent.from_json(line)


@settings(deadline=None)
@given(
    st.text() | st.recursive(st.none() | st.integers() | st.text(), st.lists, max_leaves=5).map(json.dumps)
)
def test_damage_is_always_called_so(line: str) -> None:
    with pytest.raises(ValueError):  # noqa: PT011
        MailEvent.from_json(line)


def test_facts_and_insights() -> None:
    assert {kind for kind in EventKind if not kind.is_fact} == INSIGHTS
    assert EventKind.REJECTED.is_fact
    assert not EventKind.QUESTION.is_fact


def test_an_envelope() -> None:
    envelope = Envelope.of("ann@a.test", "bob@b.test", "eve@b.test")
    assert envelope.sender == "ann@a.test"
    assert [str(path) for path in envelope.forward_paths] == ["bob@b.test", "eve@b.test"]
    assert Envelope.of("", "bob@b.test").reverse_path is None, "the null path of reports"
    assert Envelope.of("").sender == ""
