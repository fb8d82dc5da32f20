"""What is put into a header and taken out, and where it stands: as Exim has it."""

from __future__ import annotations

from datetime import datetime, timezone

import pytest

from labkit.mail.message import Message
from labkit.mta.fixups import changed, completed, message_id, without
from labkit.smtp.acl import AddedField

NOON = datetime(2026, 9, 7, 12, 0, tzinfo=timezone.utc)
ID, DATE = "Message-Id: <E1-2-3@h.test>", "Date: Mon, 07 Sep 2026 12:00:00 +0000"


def lines(message: Message) -> list[str]:
    return bytes(message).decode().partition("\r\n\r\n")[0].split("\r\n")


def parsed(*fields: str, body: str = "x\r\n") -> Message:
    return Message.parse(("".join(f"{field}\r\n" for field in fields) + "\r\n" + body).encode())


@pytest.mark.parametrize(
    "fields, expected, because",
    [
        (("To: x",), ("To: x", ID, "From: a@b.test", DATE), "all is missing: at the end, in this order"),
        (
            ("From: c@d", "Date: now", "Message-ID: <1@c>"),
            ("From: c@d", "Date: now", "Message-ID: <1@c>"),
            "nothing",
        ),
        (("from: c@d", "DATE: now"), ("from: c@d", "DATE: now", ID), "names have no case"),
        (
            ("Sender: x@y", "From: c@d", "Date: now"),
            ("From: c@d", "Date: now", ID),
            "nobody vouches for Sender",
        ),
        (
            ("Resent-To: x", "From: c@d", "Sender: s@t"),
            (
                f"Resent-{DATE}",
                f"Resent-{ID}",
                "Resent-To: x",
                "From: c@d",
                "Sender: s@t",
                "Resent-From: a@b.test",
            ),
            "sent again: its own fields",
        ),
        (
            ("Resent-Sender: x", "Sender: s@t", "Resent-Date: y"),
            (f"Resent-{ID}", "Sender: s@t", "Resent-Date: y", "Resent-From: a@b.test"),
            "and its own Sender",
        ),
    ],
)
def test_completed(fields: tuple[str, ...], expected: tuple[str, ...], because: str) -> None:
    message = completed(parsed(*fields), queue_id="1-2-3", host="h.test", sender="a@b.test", now=NOON)
    assert lines(message) == list(expected), because


@pytest.mark.parametrize(
    "name, written",
    [
        ("Ann Example", "Ann Example"),
        ("Ann B. Example", '"Ann B. Example"'),
        ('"Ann B." Example', '"Ann B." Example'),
        ("a\\b", '"a\\b"'),
    ],
)
def test_the_name_of_a_submission(name: str, written: str) -> None:
    message = completed(
        parsed("To: x"), queue_id="1-2-3", host="h", sender="a@b.test", now=NOON, name=name, keeps_sender=True
    )
    assert message.first("From") == f"{written} <a@b.test>"


def test_a_message_without_a_sender_gets_no_from() -> None:
    assert completed(parsed("To: x"), queue_id="1", host="h", sender="", now=NOON).first("From") is None


TOP = ("Received: by us", "Received: by them", "Resent-To: x", "From: c@d")


@pytest.mark.parametrize(
    "added, expected, because",
    [
        (("at_end",), (*TOP, "X-0: v"), "the usual place"),
        (("at_start", "at_start"), ("X-1: v", "X-0: v", *TOP), "of two the later one is above"),
        (("after_received",), (*TOP[:2], "X-0: v", *TOP[2:]), "below all Received fields"),
        (("at_start_rfc",), (*TOP[:3], "X-0: v", TOP[3]), "below Resent- fields too"),
        (("at_start", "at_start_rfc"), ("X-0: v", *TOP[:3], "X-1: v", TOP[3]), "the first field may be any"),
        (("after_received", "after_received"), (*TOP[:2], "X-1: v", "X-0: v", *TOP[2:]), "at the same place"),
    ],
)
def test_where_added_fields_stand(added: tuple[str, ...], expected: tuple[str, ...], because: str) -> None:
    fields = [AddedField(place, f"X-{number}: v") for number, place in enumerate(added)]
    assert lines(changed(parsed(*TOP), fields, "")) == list(expected), because


def test_what_is_taken_out_goes_before_what_is_put_in() -> None:
    message = changed(
        parsed("X-A: 1", "x-b: 2", "From: c@d"), [AddedField("at_end", "X-A: new")], "x-a : X-B:: "
    )
    assert lines(message) == ["From: c@d", "X-A: new"]


def test_a_folded_field_has_the_line_ends_of_mail() -> None:
    message = changed(parsed("From: c@d"), [AddedField("at_end", "X: one\n two")], "")
    assert bytes(message).count(b"\n") == bytes(message).count(b"\r\n")


def test_a_body_without_a_header_stays_a_body() -> None:
    message = changed(Message.parse(b"just text\r\n"), [AddedField("at_end", "X: 1")], "")
    assert bytes(message) == b"X: 1\r\n\r\njust text\r\n"


def test_without_and_message_id() -> None:
    message = parsed("Message-ID: <1@c>", "Resent-Message-ID: <2@c>", "From: c@d")
    assert message_id(message) == "<2@c>", "the last time it was sent"
    assert message_id(without(message, ["resent-message-id"])) == "<1@c>"
    assert message_id(parsed("Resent-To: x", "Message-ID: <1@c>")) is None
