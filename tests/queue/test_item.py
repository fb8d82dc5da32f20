"""Queue items: who is left, each once."""

from __future__ import annotations

from datetime import datetime, timezone

import pytest

from labkit.mail.address import Mailbox
from labkit.mail.envelope import Envelope
from labkit.queue.item import Origin, QueueItem

NOON = datetime(2026, 9, 7, 12, 0, tzinfo=timezone.utc)


def item(*recipients: str, sender: str = "ann@a.test") -> QueueItem:
    return QueueItem("1xVGdp-0000LT-0M", Envelope.of(sender, *recipients), b"", NOON)


@pytest.mark.parametrize(
    "recipients, finished, remaining, because",
    [
        ("a@b.test c@b.test", "", "a@b.test c@b.test", "nobody is done"),
        ("a@b.test c@b.test", "a@b.test", "c@b.test", "one is"),
        ("a@b.test", "a@b.test", "", "everybody is"),
        ("c@b.test a@b.test c@b.test", "", "c@b.test a@b.test", "each once, in the order of the envelope"),
        ("a@b.test a@B.TEST", "", "a@b.test", "a domain has no case: it is one recipient"),
        ("a@b.test a@B.TEST", "a@b.test", "", "so when it is done, it is done"),
        ("a@b.test A@b.test", "a@b.test", "A@b.test", "a local part may have"),
        ("a@b.test", "x@y.test", "a@b.test", "somebody else is done"),
    ],
)
def test_remaining(recipients: str, finished: str, remaining: str, because: str) -> None:
    done = item(*recipients.split()).with_finished(*map(Mailbox.parse, finished.split()))
    assert [str(each) for each in done.remaining] == remaining.split(), because


def test_an_item_is_a_value() -> None:
    before = item("a@b.test")
    after = before.with_finished(Mailbox("a", "b.test"))
    assert before.finished == frozenset()
    assert after.with_finished() == after
    assert before.origin == Origin(), "made by this host"


def test_reports() -> None:
    assert item("a@b.test", sender="").is_report
    assert not item("a@b.test").is_report
