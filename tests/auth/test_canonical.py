"""Canonical forms: the examples of RFC 6376 §3.4.5, the corners, and how long it takes."""

from __future__ import annotations

import re
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from labkit.auth.canonical import canonical_body, canonical_field, canonical_header, cut

RFC_HEADER = (b"A: X", b"B : Y\t\r\n\tZ  ")
RFC_BODY = b" C \r\nD \t E\r\n\r\n\r\n"


def test_examples_of_the_rfc() -> None:
    """RFC 6376 §3.4.5, examples 1 to 3."""
    assert canonical_header(RFC_HEADER, "relaxed") == b"a:X\r\nb:Y Z\r\n"
    assert canonical_body(RFC_BODY, "relaxed") == b" C\r\nD E\r\n"
    assert canonical_header(RFC_HEADER, "simple") == b"A: X\r\nB : Y\t\r\n\tZ  \r\n"
    assert canonical_body(RFC_BODY, "simple") == b" C \r\nD \t E\r\n"


@pytest.mark.parametrize(
    "body, simple, relaxed, because",
    [
        (b"", b"\r\n", b"", "an empty body"),
        (b"\r\n", b"\r\n", b"", "one empty line"),
        (b"\r\n\r\n\r\n", b"\r\n", b"", "nothing but empty lines"),
        (b" \t\r\n", b" \t\r\n", b"", "a line of blanks is empty in relaxed form only"),
        (b"a", b"a\r\n", b"a\r\n", "the last line end is missing"),
        (b"a \t", b"a \t\r\n", b"a\r\n", "blanks at the end, no line end"),
        (b"a\r\n \r\n\r\n", b"a\r\n \r\n", b"a\r\n", "blank lines at the end"),
        (b"\r\na\r\n", b"\r\na\r\n", b"\r\na\r\n", "empty lines at the top stay"),
        (b" \ta\r\n", b" \ta\r\n", b" a\r\n", "blanks at the start of a line are one"),
        (b"a\x0b \xa0 b\r\n", b"a\x0b \xa0 b\r\n", b"a\x0b \xa0 b\r\n", "VT and NBSP are no blanks"),
        (b"a\r\r\n\r\n", b"a\r\r\n", b"a\r\r\n", "a bare CR stays"),
        (b"a\n\r\n", b"a\n\r\n", b"a\n\r\n", "a bare LF is no line end"),
        (b"a\r\n\n", b"a\r\n\n\r\n", b"a\r\n\n\r\n", "nor is one at the end"),
    ],
)
def test_bodies(body: bytes, simple: bytes, relaxed: bytes, because: str) -> None:
    assert canonical_body(body, "simple") == simple, because
    assert canonical_body(body, "relaxed") == relaxed, because


def test_length() -> None:
    assert canonical_body(b"abc\r\n", "simple", 2) == b"ab"
    assert canonical_body(b"abc\r\n", "simple", 0) == b""
    assert canonical_body(b"abc\r\n", "simple", 50) == b"abc\r\n"


@pytest.mark.parametrize(
    "field, relaxed",
    [
        (b"Subject:a", b"subject:a\r\n"),
        (b"SUBJECT \t: \t a \t ", b"subject:a\r\n"),
        (b"Subject: a\r\n\tb\r\n  c", b"subject:a b c\r\n"),
        (b"Subject:", b"subject:\r\n"),
        (b"Subject:\r\n \r\n ", b"subject:\r\n"),
        (b"Subject: a: b", b"subject:a: b\r\n"),
        (b"Subject: a\r\n", b"subject:a\r\n"),
        (b"Subject: \xc3\xa4\xa0", b"subject:\xc3\xa4\xa0\r\n"),
    ],
)
def test_fields(field: bytes, relaxed: bytes) -> None:
    assert canonical_field(field, "relaxed") == relaxed
    assert cut(field + b"\r\n\r\n").canonical([0], "relaxed") == [relaxed[:-2]]


def test_cut() -> None:
    found = cut(b"A: b\r\n c\r\nFrom : x\r\nnonsense\r\nto:\r\n\r\nbody\r\n\r\nmore")
    assert found.fields == [b"A: b\r\n c", b"From : x", b"nonsense", b"to:"]
    assert found.names == ("a", "from", "", "to")
    assert (found.body, found.malformed) == (b"body\r\n\r\nmore", b"nonsense")
    assert cut(b"\r\nbody").body == b"body"
    assert cut(b"A: b\r\n").fields == cut(b"A: b").fields == [b"A: b"]
    assert cut(b"").fields == []


def slow_relaxed(body: bytes) -> bytes:
    """The rule as RFC 6376 §3.4.4 says it, line by line."""
    lines = [re.sub(rb"[ \t]+", b" ", line) for line in body.split(b"\r\n")]
    lines = [line.removesuffix(b" ") for line in lines]
    while lines and not lines[-1]:
        lines.pop()
    return b"".join(line + b"\r\n" for line in lines)


@settings(max_examples=300)
@given(
    st.lists(st.sampled_from([b" ", b"\t", b"\r\n", b"a", b"\r", b"\n", b"   "]), max_size=60).map(b"".join)
)
def test_relaxed_is_what_the_rfc_says(body: bytes) -> None:
    assert canonical_body(body, "relaxed") == slow_relaxed(body)
    assert canonical_body(canonical_body(body, "relaxed"), "relaxed") == canonical_body(body, "relaxed")
    lines = re.sub(rb"(?:\r\n)*\Z", b"", body) + b"\r\n"
    assert canonical_body(body, "simple") == lines


@pytest.mark.alone
@pytest.mark.parametrize(
    "piece", [b" ", b"\t", b"\r\n", b" \t\r\n", b"a ", b" " * 63 + b"a", b"\r", b" \r", b"a  "]
)
@pytest.mark.parametrize("form", ["simple", "relaxed"])
def test_a_megabyte(piece: bytes, form: str) -> None:
    body = piece * (1_000_000 // len(piece)) + b"x"
    for whole in (body, body[:-1]):
        began = time.perf_counter()
        canonical_body(whole, form)
        assert time.perf_counter() - began < 0.25, "a few milliseconds on a quiet machine"
    began = time.perf_counter()
    canonical_field(b"Subject:" + body.replace(b"\r\n", b"\r\n "), form)
    assert time.perf_counter() - began < 0.5


def test_what_is_canonical_is_not_copied() -> None:
    body = b"a line of text\r\n" * 10_000
    assert canonical_body(body, "simple") is body
    assert canonical_body(body, "relaxed") is body
