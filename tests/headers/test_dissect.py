"""dissect: every octet has its place, every field its kind, writer and words."""

from __future__ import annotations

import dataclasses
import os
import pickle
import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from labkit.headers import Dissection, Kind, Writer, dissect
from labkit.headers.catalogue import FIELDS, UNKNOWN, entry_of
from labkit.headers.dates import read_date
from labkit.lab.synthetic_headers import synthetic_headers
from labkit.mail.encoded_words import decoded, for_people

MANY = 2000 if os.environ.get("LABKIT_THOROUGH") else 250

MESSAGE = b"""Return-Path: <ann@a.test>\r
Received: from mx.a.test (mx.a.test [192.0.2.1])\r
\tby mx.b.test (Postfix) with ESMTPS id 1\r
\tfor <bob@b.test>; Tue, 12 Mar 2024 10:00:05 +0000\r
Authentication-Results: mx.b.test; spf=pass smtp.mailfrom=ann@a.test\r
Received: from laptop (unknown [198.51.100.9])\r
\tby mx.a.test (Postfix) with ESMTPSA id 2; Tue, 12 Mar 2024 10:00:03 +0000\r
DKIM-Signature: v=1; a=rsa-sha256; d=a.test; s=s1;\r
\th=from; bh=x; b=y\r
Message-ID: <1@mx.a.test>\r
From: Ann <ann@a.test>\r
Subject: =?utf-8?q?caf=C3=A9?=\r
X-Something: 1\r
Invented: yes\r
\r
body\r
"""


def test_each_field_has_its_place() -> None:
    found = dissect(MESSAGE)
    assert b"".join(field.raw for field in found.fields) + b"\r\n" == found.header == MESSAGE[: found.body_at]
    assert MESSAGE[found.body_at :] == b"body\r\n" and found.size == len(MESSAGE)
    lines = MESSAGE.split(b"\r\n")
    for field in found.fields:
        assert MESSAGE[field.start : field.end] == field.raw
        assert field.raw.startswith(lines[field.first_line - 1])
        assert field.raw.rstrip().endswith(lines[field.last_line - 1].strip())
    assert [(f.first_line, f.last_line) for f in found.all("received")] == [(2, 4), (6, 7)]


@pytest.mark.parametrize(
    "name, kind, writer, by, because",
    [
        ("Return-Path", Kind.TRACE, Writer.FINAL, "mx.b.test", "the last hop's host wrote it"),
        ("Received", Kind.TRACE, Writer.MTA, "mx.b.test", "the first of that name is the newest"),
        ("Authentication-Results", Kind.AUTHENTICATION, Writer.FILTER, "mx.b.test", "its authserv-id"),
        ("DKIM-Signature", Kind.AUTHENTICATION, Writer.SIGNER, "a.test", "its d="),
        ("Message-ID", Kind.IDENTITY, Writer.SUBMISSION, "mx.a.test", "it bears the first server's name"),
        ("From", Kind.IDENTITY, Writer.AUTHOR, "", "RFC 5322 §3.6.2"),
        ("Subject", Kind.SUBJECT, Writer.AUTHOR, "", "RFC 5322 §3.6.5"),
        ("X-Something", Kind.VENDOR, Writer.UNKNOWN, "", "RFC 6648"),
        ("Invented", Kind.UNKNOWN, Writer.UNKNOWN, "", "nobody knows it"),
    ],
)
def test_who_wrote_what(name: str, kind: Kind, writer: Writer, by: str, because: str) -> None:
    field = dissect(MESSAGE).first(name)
    assert field is not None
    assert (field.kind, field.writer, field.by) == (kind, writer, by), because


def test_the_first_server_of_somebody_who_logged_in_is_for_submission() -> None:
    assert [field.writer for field in dissect(MESSAGE).all("Received")] == [Writer.MTA, Writer.SUBMISSION]


@pytest.mark.parametrize(
    "name, kind, because",
    [
        ("list-ID", Kind.LIST, "in any case of letters"),
        ("List-Something", Kind.LIST, "by its beginning"),
        ("Resent-From", Kind.RESENT, "RFC 5322 §3.6.6"),
        ("X-Spam-Foo", Kind.SPAM, "a filter's"),
        ("Content-MD5", Kind.MIME, "RFC 2045 §9"),
        ("ARC-Something", Kind.AUTHENTICATION, "RFC 8617"),
        ("X-MS-Exchange-Foo", Kind.VENDOR, "a vendor's"),
    ],
)
def test_kinds_by_name(name: str, kind: Kind, because: str) -> None:
    assert entry_of(name).kind is kind, because


def test_the_catalogue_is_written_with_care() -> None:
    for name, entry in [*FIELDS.items(), ("unknown", UNKNOWN)]:
        assert name == name.lower()
        assert re.fullmatch(r"[A-Z].{3,160}\.", entry.words), (name, entry.words)
        assert entry.rfc == "" or re.match(r"RFC \d{3,4}", entry.rfc), name
        assert entry.most in (0, 1)


@pytest.mark.parametrize(
    "message, names, rest, because",
    [
        (b"", [], b"", "nothing at all"),
        (b"\r\nbody", [], b"body", "no header"),
        (b"A: 1\nB: 2\n\nbody", ["A", "B"], b"body", "a stored file: LF alone"),
        (b"A: 1\r\nB: 2", ["A", "B"], b"", "the last line without an end"),
        (b"A: 1\r\nno field\r\nB: 2\r\n", ["A"], b"no field\r\nB: 2\r\n", "as mail/message.py and Exim"),
        (b"A : 1\r\n\r\n", ["A"], b"", "RFC 5322 §4.5"),
        (b"A:\r\n \r\n\tx\r\n\r\n", ["A"], b"", "lines of blanks belong to the field (obsolete folding)"),
        (b"From ann@a.test Tue Mar 12 10:00:00 2024\nA: 1\n\nx", ["", "A"], b"x", "an mbox's line in front"),
        (b">From ann@a.test Tue\nA: 1\n\nx", ["", "A"], b"x", "and one that was quoted"),
        (b" A: 1\r\n\r\n", [], b" A: 1\r\n\r\n", "a continuation of nothing"),
        (b"\xff: 1\r\n\r\n", [], b"\xff: 1\r\n\r\n", "a name is ASCII"),
    ],
)
def test_where_the_header_ends(message: bytes, names: list[str], rest: bytes, because: str) -> None:
    found = dissect(message)
    assert [field.name for field in found.fields] == names, because
    assert message[found.body_at :] == rest and found.header + rest == message, because


def test_it_is_plain() -> None:
    found = dissect(MESSAGE)
    assert pickle.loads(pickle.dumps(found)) == found
    with pytest.raises(dataclasses.FrozenInstanceError):
        found.fields[0].name = "x"  # type: ignore[misc]


PIECES = st.sampled_from(
    """Received: from by with id for ; ( ) " \\ < > @ [ ] , = ?  =?utf-8?q? =?x?b? ?= Date: From: To: \r\n \n \r \0 \t
    Subject: DKIM-Signature: d= Authentication-Results: Return-Path: a.test 192.0.2.1 [IPv6: Tue, 12 Mar 2024 10:00
    +0000 -0000 EST 99 \u202e é List-Id: Delivered-To: X-Spam-Flag: YES Message-ID: :""".split(" ")
)


@settings(max_examples=MANY, deadline=None)
@given(st.one_of(st.binary(max_size=300), st.lists(PIECES, max_size=60).map(lambda p: " ".join(p).encode())))
def test_nothing_raises_and_no_octet_is_lost(message: bytes) -> None:
    found = dissect(message)
    assert_sound(found, message)
    for level in range(len(found.hops) + 1):
        assert found.with_trust(level).trust.level == level
    assert_sound(found.with_trust(["a.test", "192.0.2.0/24", "*", "", "["]), message)


def assert_sound(found: Dissection, message: bytes) -> None:
    assert b"".join(field.raw for field in found.fields) + found.separator == message[: found.body_at]
    for field in found.fields:
        assert field.shown.isprintable() or "\t" in field.shown
    for each in found.findings:
        assert each.words.isprintable() and len(each.words) < 600
        assert all(0 <= index < len(found.fields) for index in each.fields)
    for hop in found.hops:
        assert hop.delay is None or hop.delay >= 0
        assert hop.delay is None or hop.skew is None


@settings(max_examples=MANY, deadline=None)
@given(st.lists(PIECES, max_size=12).map(" ".join))
def test_dates_and_words_never_raise(text: str) -> None:
    date = read_date(text)
    assert date.instant is None or date.instant.tzinfo is not None
    assert date.instant is not None or date.oddities
    assert for_people(text).replace("\t", "").isprintable()


def test_generated_headers_have_no_surprises() -> None:
    for message in synthetic_headers(100):
        found = dissect(message)
        assert_sound(found, message)
        assert all(hop.received.is_understood and hop.at for hop in found.hops)
        assert {f.code for f in found.findings} <= {
            "odd-date", "clock", "delay", "unencrypted", "unsigned", "clean-by-own-word", "envelope-differs",
            "to-differs", "date-in-past", "date-in-future", "no-reverse-name",
        }  # fmt: skip


@pytest.mark.parametrize(
    "text, shown, because",
    [
        ("plain", "plain", ""),
        ("=?utf-8?q?caf=C3=A9_x?=", "café x", "Q: _ is a blank"),
        ("=?UTF-8?B?Y2Fmw6k=?= =?utf-8?q?s?=", "cafés", "blanks between encoded words vanish"),
        ("=?utf-8?q?a?= b =?utf-8?q?c?=", "a b c", "others stay"),
        ("=?iso-8859-1*en?q?=E9?=", "é", "RFC 2231: a language"),
        ("=?windows-1251?b?z/Do4uXy?=", "Привет", "another charset"),
        ("=?zlib?b?eJw=?=", "=?zlib?b?eJw=?=", "a compressor is no charset"),
        ("=?punycode?q?x?=", "=?punycode?q?x?=", "Python knows it; its time grows with the square"),
        ("=?utf-8?b?%%%?=", "=?utf-8?b?%%%?=", "no base64: it stays"),
        ("=?utf-8?q?=E2=80=AEgnp?=", "\\u202egnp", "what turns letters is an escape"),
        ("=?utf-8?q?a=0D=0AX:_b?=", "a\\r\\nX: b", "a line end in disguise"),
    ],
)
def test_encoded_words(text: str, shown: str, because: str) -> None:
    assert for_people(text) == shown, because
    assert decoded(text).isprintable() or shown != text
