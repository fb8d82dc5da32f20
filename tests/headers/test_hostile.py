"""Headers that want to hurt: bounded time, whatever they hold."""

from __future__ import annotations

import time

import pytest

from labkit.headers import dissect
from labkit.headers.addresses import addresses_of
from labkit.headers.fast import survey
from labkit.mail.encoded_words import decoded
from labkit.teach.show import show

pytestmark = pytest.mark.alone  # time is measured

LIMIT = 6.0  # seconds of CPU; each takes less than 1.5 on a quiet machine
MEGABYTE = 1_000_000

HOSTILE = [
    (b"X: y\r\n" * 100_000, "100,000 fields"),
    (b"Subject: y\r\n" * 100_000, "100,000 times the same field that may stand once"),
    (b"Received: from a by b; 12 Mar 2024 10:00:00 +0000\r\n" * 100_000, "100,000 hops"),
    (b"Delivered-To: a@b.test\r\n" * 100_000, "100,000 deliveries"),
    (b"Authentication-Results: a; b\r\n" * 100_000, "100,000 results"),
    (b"X: " + b"y" * MEGABYTE, "a field of a megabyte"),
    (b"X: y" + b"\r\n " * (MEGABYTE // 3), "folded 300,000 times"),
    (b" " * MEGABYTE, "blanks"),
    (b"X" * MEGABYTE, "a name without end"),
    (b"\n" * MEGABYTE, "empty lines"),
    (b"Received: " + b"(" * MEGABYTE, "open comments"),
    (b"Received: from " + b"(" * 8000 + b")" * 8000 + b" by b; " + b"(" * MEGABYTE, "nested comments"),
    (b"Received: " + b'"\\' * (MEGABYTE // 2), "a quote without end"),
    (b"Received: " + b";" * MEGABYTE, "semicolons"),
    (b"Received: " + b"from by with id for " * 50_000, "keywords"),
    (b"Received: from [1.2.3.4] " + b"(envelope-from <" * 60_000, "senders without end"),
    (b"Received: from x (" + b"helo=" * 200_000, "names without end"),
    (b"Date: " + b"1 " * (MEGABYTE // 2), "a date of a megabyte"),
    (b"Date: " + b"(" * MEGABYTE, "a date in a comment"),
    (b"To: " + b"ann@a.test, " * 50_000, "50,000 addresses"),
    (b"From: " + b"ann@a.test, " * 50_000, "50,000 authors"),
    (b"From: " + b'"\\' * (MEGABYTE // 2), "an author in a quote without end"),
    (b"From: " + b'"' * MEGABYTE, "an author of empty quotes"),
    (b"From: " + b"<" * MEGABYTE, "open angles"),
    (b"From: " + b"a:" * (MEGABYTE // 2), "groups of groups"),
    (b"Subject: " + b"=?utf-8?q?=E2=80=AE?= " * 40_000, "40,000 encoded words"),
    (b"Subject: " + b"=?" * (MEGABYTE // 2), "encoded words without end"),
    (b"Subject: =?utf-8?q?" + b"=" * MEGABYTE + b"?=", "an encoded word of a megabyte"),
    (b"DKIM-Signature: " + b";d = " * 200_000, "tags without values"),
    (b"Authentication-Results: " + b"(" * MEGABYTE, "results in a comment"),
    (b"Received-SPF: " + b"receiver= " * 100_000, "receivers without names"),
    (b"Message-ID: " + b"@" * MEGABYTE + b"\r\nReceived: from a by b; x", "an id of signs"),
    (bytes(range(256)) * 4000, "all octets"),
    (b"From " * 200_000, "an mbox line without end"),
    (b"From x 10:00 2024\n" * 50_000, "mbox lines"),
]


@pytest.mark.parametrize("message, because", HOSTILE, ids=[because for _, because in HOSTILE])
def test_bounded(message: bytes, because: str) -> None:
    begin = time.process_time()
    found = dissect(message)
    surveyed = survey(message)
    seconds = time.process_time() - begin
    assert seconds < LIMIT, because
    assert b"".join(field.raw for field in found.fields) + found.separator == message[: found.body_at]
    assert surveyed.hops <= 200 and len(found.hops) <= 2000
    view = show(found)
    assert len(str(view.html())) < 2 * MEGABYTE and len(view.text()) < MEGABYTE
    assert max(map(len, view.text().split("\n"))) <= 110
    assert time.process_time() - begin < 2 * LIMIT


def test_a_slider_over_a_thousand_hops() -> None:
    found = dissect(b"Received: from a.test (a.test [192.0.2.1]) by b.test with ESMTP; x\r\n" * 1000)
    begin = time.process_time()
    for level in range(0, 1001, 100):
        assert found.with_trust(level).trust.level == level
    assert time.process_time() - begin < LIMIT


def test_what_is_kept_is_little() -> None:
    assert len(addresses_of("a@b.test, " * 50_000).kept) == 200
    assert addresses_of("a@b.test, " * 50_000).count >= 50_000
    assert decoded("=?utf-8?q?a?= " * 40_000).strip() == "a" * 40_000


@pytest.mark.parametrize("given", [None, "From: a", 5, ["From: a"]])
def test_what_is_no_message_is_said(given: object) -> None:
    for reads in (dissect, survey):
        with pytest.raises(TypeError, match="a message is bytes, not"):
            reads(given)  # type: ignore[operator]
    assert dissect(memoryview(b"A: b\r\n\r\n")).header == b"A: b\r\n\r\n"  # type: ignore[arg-type]
