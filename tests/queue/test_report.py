"""Delivery reports: Exim's words and structure, as the standard library reads them; and nothing a stranger adds."""

from __future__ import annotations

import email
import email.policy
from dataclasses import replace
from datetime import datetime, timezone
from email.message import EmailMessage, Message

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from labkit.mail.address import Mailbox
from labkit.mail.envelope import Envelope
from labkit.mail.message import is_canonical
from labkit.mail.reply import Reply
from labkit.queue.item import QueueItem
from labkit.queue.report import FailedRecipient, failure_report

NOON = datetime(2026, 11, 22, 23, 6, 37, tzinfo=timezone.utc)
BOB, EVE = Mailbox("bob", "b.test"), Mailbox("eve", "c.test")
CONTENT = b"Received: from x\r\n\tby y; now\r\nMessage-ID: <1@a>\r\nSubject: hi\r\n\r\nhello\r\n"
UNROUTEABLE = FailedRecipient(BOB, "Unrouteable address")
REFUSED = FailedRecipient(
    EVE,
    "host mx.c.test [192.0.2.3]\nSMTP error from remote mail server after RCPT TO:<eve@c.test>: 550 no such user",
    "mx.c.test",
    Reply(550, ("no such user",)),
)


def octets(*failures: FailedRecipient, content: bytes = CONTENT, sender: str = "ann@a.test") -> bytes:
    return failure_report(
        QueueItem("1xVGdp-0000LT-0M", Envelope.of(sender, "bob@b.test"), content, NOON),
        failures,
        queue_id="1xVGdq-0000La-0D",
        host="mx2.a.test",
        qualify_domain="a.test",
        now=NOON,
    )


def parsed(made: bytes) -> EmailMessage:
    found = email.message_from_bytes(made, policy=email.policy.default)
    assert isinstance(found, EmailMessage)
    for part in found.walk():
        assert not part.defects
    return found


def status_blocks(made: bytes) -> list[Message[str, str]]:
    blocks = list(parsed(made).iter_parts())[1].get_payload()
    assert isinstance(blocks, list)
    return [block for block in blocks if isinstance(block, Message)]


def test_the_header() -> None:
    report = parsed(octets(UNROUTEABLE, REFUSED))
    assert report.items()[:4] == [
        ("X-Failed-Recipients", "bob@b.test,  eve@c.test"),
        ("Auto-Submitted", "auto-replied"),  # RFC 3834 §5
        ("From", "Mail Delivery System <Mailer-Daemon@a.test>"),
        ("To", "ann@a.test"),
    ]
    assert report["References"] == "<1@a>"
    assert report["Subject"] == "Mail delivery failed: returning message to sender"
    assert report["Message-Id"] == "<E1xVGdq-0000La-0D@mx2.a.test>"
    assert report["Date"] == "Sun, 22 Nov 2026 23:06:37 +0000"
    assert report["MIME-Version"] == "1.0"


def test_three_parts() -> None:
    """RFC 3462: for people, for machines, and the message."""
    report = parsed(octets(UNROUTEABLE, REFUSED))
    assert report.get_content_type() == "multipart/report"
    assert report.get_param("report-type") == "delivery-status"
    parts = list(report.iter_parts())
    assert [part.get_content_type() for part in parts] == [
        "text/plain",
        "message/delivery-status",
        "message/rfc822",
    ]
    original = parts[2].get_payload(0)
    assert isinstance(original, EmailMessage)
    assert original["Subject"] == "hi"
    assert original.get_payload() == "hello\r\n"


def test_what_people_read() -> None:
    text = next(iter(parsed(octets(UNROUTEABLE, REFUSED)).iter_parts())).get_payload()
    assert text == (
        "This message was created automatically by mail delivery software.\r\n\r\n"
        "A message that you sent could not be delivered to one or more of its\r\n"
        "recipients. This is a permanent error. The following address(es) failed:\r\n\r\n"
        "  bob@b.test\r\n    Unrouteable address\r\n"
        "  eve@c.test\r\n    host mx.c.test [192.0.2.3]\r\n"
        "    SMTP error from remote mail server after RCPT TO:<eve@c.test>:\r\n"
        "    550 no such user\r\n"
    )


def test_what_machines_read() -> None:
    """RFC 3464 §2.1: one block for the message, then one for each recipient, the last first (as Exim has it)."""
    assert [block.items() for block in status_blocks(octets(UNROUTEABLE, REFUSED))] == [
        [("Reporting-MTA", "dns; mx2.a.test")],
        [
            ("Action", "failed"),
            ("Final-Recipient", "rfc822;eve@c.test"),
            ("Status", "5.0.0"),
            ("Remote-MTA", "dns; mx.c.test"),
            ("Diagnostic-Code", "smtp; 550 no such user"),
        ],
        [("Action", "failed"), ("Final-Recipient", "rfc822;bob@b.test"), ("Status", "5.0.0")],
    ]


@pytest.mark.parametrize(
    "failed, text, because",
    [
        (replace(UNROUTEABLE, parent=EVE), "bob@b.test\n    (generated from eve@c.test)", "an alias"),
        (
            replace(UNROUTEABLE, parent=EVE, is_far=True),
            "bob@b.test\n    (ultimately generated from eve@c.test)",
            "of aliases",
        ),
        (
            replace(UNROUTEABLE, parent=EVE, is_hidden=True),
            "an undisclosed address\n    (generated from eve@c.test)",
            "hide_child_in_errmsg",
        ),
        (replace(UNROUTEABLE, target="/box"), "save to /box\n    generated by bob@b.test", "a file"),
        (replace(UNROUTEABLE, target="|x"), "pipe to |x\n    generated by bob@b.test", "a program"),
    ],
)
def test_what_an_address_was_made_of(failed: FailedRecipient, text: str, because: str) -> None:
    report = octets(failed)
    assert f"\n  {text}\n    Unrouteable address\n" in report.decode().replace("\r\n", "\n"), because
    if failed.is_hidden:
        assert b"bob@b.test" not in report.partition(b"message/rfc822")[0]


def test_somebody_else_than_the_sender_is_told() -> None:
    """A router's errors_to: its text names the sender, and nothing is returned to anybody."""
    item = QueueItem("1xVGdp-0000LT-0M", Envelope(EVE, (BOB,)), CONTENT, NOON)
    report = failure_report(
        item,
        [UNROUTEABLE],
        queue_id="1xVGdp-0000LT-0N",
        host="h.test",
        qualify_domain="h.test",
        now=NOON,
        errors_to=BOB,
    )
    assert parsed(report)["To"] == "bob@b.test" and parsed(report)["Subject"] == "Mail delivery failed"
    assert b"A message sent by\r\n\r\n  <eve@c.test>\r\n\r\ncould not be delivered" in report


def test_a_report_about_a_report_is_never_sent() -> None:
    with pytest.raises(ValueError, match="never sent"):
        octets(UNROUTEABLE, sender="")


@pytest.mark.parametrize(
    "field, references, because",
    [
        (b"Message-ID: <1@a>\r\n", "<1@a>", "the usual form"),
        (b"message-id:\r\n\t<1@a>\r\n", "<1@a>", "folded"),
        (b"", None, "none"),
        (b"Message-ID: \r\n", None, "an empty one"),
        (b"Message-ID: nonsense\r\n", None, "no identifier"),
        (b"Message-ID: <a b>\r\n", None, "no identifier"),
        (b"Message-ID: <1@a> Bcc: x\r\n", "<1@a>", "only the identifier"),
        (b"Message-ID: <\xff@a>\r\n", None, "no text"),
        (b"Message-ID: <" + b"x" * 900 + b"@a>\r\n", None, "longer than a line may be with its name"),
        (b"Message-ID: <" + b"x\r\n " * 2000 + b"@a>\r\n", None, "folded into something endless"),
    ],
)
def test_references(field: bytes, references: str | None, because: str) -> None:
    assert parsed(octets(UNROUTEABLE, content=field + b"\r\nx\r\n"))["References"] == references, because


@pytest.mark.parametrize(
    "words",
    [
        "x" * 5000,
        "no\x1b[31m\x07 entry",
        "\udcff\udcfe bytes",
        "nö",
        "--1795388797-eximdsn-1xVGdq-0000La-0D",
        "a\u2028b\x85c\x0bd",
        "",
    ],
    ids=ascii,
)
def test_what_another_host_says_cannot_hurt(words: str) -> None:
    reply = Reply(550, (words, "Action: delivered", words))
    report = octets(FailedRecipient(EVE, f"host mx [192.0.2.1]\nSMTP error: {reply}", "mx.c.test", reply))
    assert is_canonical(report)
    assert max(len(line) for line in report.split(b"\r\n")) <= 998, "else the report itself is refused"
    parts = list(parsed(report).iter_parts())
    assert len(parts) == 3
    status = status_blocks(report)
    assert [block["Action"] for block in status] == [None, "failed"]
    assert status[1]["Diagnostic-Code"].startswith("smtp; 550 ")
    assert all(part.as_bytes().isascii() for part in parts[:2])


def test_a_long_list_is_folded() -> None:
    crowd = [FailedRecipient(Mailbox(f"user{i}", "b.test"), "no") for i in range(500)]
    report = octets(*crowd)
    assert max(len(line) for line in report.split(b"\r\n")) < 120
    fields = parsed(report).get_all("X-Failed-Recipients")
    assert [field.count("@") for field in fields] == [50] * 10, "programs that read it have small buffers"


addresses = st.builds(Mailbox, st.text(st.characters(min_codepoint=32, max_codepoint=126)), st.just("b.test"))
replies = st.none() | st.text().map(lambda text: Reply(554, ("".join(c for c in text if c not in "\r\n\0"),)))
failures = st.builds(FailedRecipient, addresses, st.text(), st.none() | st.just("mx.b.test"), replies)


@settings(deadline=None)
@given(st.lists(failures, min_size=1, max_size=4))
def test_the_structure_always_holds(failed: list[FailedRecipient]) -> None:
    report = octets(*failed)
    assert is_canonical(report)
    parts = list(parsed(report).iter_parts())
    assert [part.get_content_type() for part in parts] == [
        "text/plain",
        "message/delivery-status",
        "message/rfc822",
    ]
    assert len(status_blocks(report)) == len(failed) + 1
