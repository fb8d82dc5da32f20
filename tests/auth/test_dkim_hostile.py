"""What a stranger may send: each in bounded time, with the right verdict."""

from __future__ import annotations

import time
from base64 import b64encode
from collections.abc import Iterator

import pytest

from labkit.auth.dkim_sign import Signer
from labkit.auth.why_broken import why_broken
from tests.auth.keys_for_tests import FIELD, MESSAGE, NOW, RECORD, pair, rsa_record, verified

MEGABYTE = 1_000_000


@pytest.fixture(autouse=True)
def _bounded() -> Iterator[None]:
    began = time.perf_counter()
    yield
    assert time.perf_counter() - began < 3.0, "this must take far less"


@pytest.mark.parametrize(
    "piece", [b" ", b"\t", b" \r\n", b"\r\n", b"\r", b"- ", b"-- \r\n", b"x\r\n", b"[", b"=20"]
)
def test_a_body_of_a_megabyte(piece: bytes) -> None:
    message = FIELD + MESSAGE + piece * (MEGABYTE // len(piece))
    (result,) = verified(message, RECORD)
    spaces_only = piece.strip() == b"" and b"\r" not in piece.replace(b"\r\n", b"")
    assert (result.result, result.broken) == (("pass", "") if spaces_only else ("fail", "body"))
    why_broken(result)


@pytest.mark.parametrize("piece", [b" ", b"\t", b"\r\n ", b"a", b"[", b"[ ", b"re:", b"=?", b"\xff"])
def test_a_field_of_a_megabyte(piece: bytes) -> None:
    subject = b"Subject:" + piece * (MEGABYTE // len(piece)) + b"\r\n"
    (result,) = verified(FIELD + subject + MESSAGE.replace(b"Subject", b"X-Subject"), RECORD)
    assert (result.result, result.broken) == ("fail", "header")
    why_broken(result)
    assert verified(FIELD + b"X" * MEGABYTE + b": y\r\n" + MESSAGE, RECORD)[0].result == "pass"


def test_a_hundred_thousand_fields() -> None:
    assert verified(FIELD + b"From: x\r\n" * 100_000 + MESSAGE, RECORD)[0].result == "fail"
    assert verified(FIELD + b"X: x\r\n" * 100_000 + MESSAGE, RECORD)[0].result == "pass"


def test_ten_thousand_names() -> None:
    names = b":".join(b"x%d" % number for number in range(10_000))
    for listed in (names, b":".join([b"from"] * 10_000)):
        field = FIELD.replace(b"h=from:", b"h=from:" + listed + b":")
        (result,) = verified(field + MESSAGE, RECORD)
        assert (result.result, result.broken) == ("fail", "header")


@pytest.mark.parametrize("value", [b"A", b"A ", b" ", b"="])
def test_a_signature_of_a_megabyte(value: bytes) -> None:
    field = FIELD.partition(b"\tb=")[0] + b"\tb=" + value * (MEGABYTE // len(value)) + b"\r\n"
    (result,) = verified(field + MESSAGE, RECORD)
    assert (result.result, result.broken) == (("fail", "key") if b"A" in value else ("neutral", "signature"))


@pytest.mark.parametrize("size", [1, 32, 63, 65, 128, 100_000])
def test_an_ed25519_signature_of_wrong_length(size: int) -> None:
    field = Signer("a.test", "ed25519", pair("ed25519").private_key).sign(MESSAGE, NOW)
    field = field.partition(b"\tb=")[0] + b"\tb=" + b64encode(b"x" * size) + b"\r\n"
    (result,) = verified(field + MESSAGE)
    assert (result.result, result.broken) == ("fail", "header or key")


@pytest.mark.parametrize("bits, exponent", [(65_536, 17), (65_536, 16_384), (8_192, 8_000)])
def test_a_huge_key(bits: int, exponent: int) -> None:
    """Both in bits."""
    (result,) = verified(FIELD + MESSAGE, rsa_record((1 << (bits - 1)) + 1, (1 << (exponent - 1)) + 1))
    assert (result.result, result.broken) == ("permerror", "key")


@pytest.mark.parametrize(
    "record",
    ["v=DKIM1;" * 8000, "p=" + "A" * 70_000, "v=DKIM1; p=" + "\t" * 65_000, "=" * 65_000],
    ids=range(4),
)
def test_a_huge_record(record: str) -> None:
    (result,) = verified(FIELD + MESSAGE, (record,) * 300)
    assert (result.result, result.broken) == ("permerror", "key")
    assert verified(FIELD + MESSAGE, (record, RECORD))[0].result == "pass"


def test_three_hundred_signatures_of_a_large_body() -> None:
    body = b"x" * 70 + b"\r\n"
    assert len(verified(FIELD * 300 + MESSAGE + body * 14_000, RECORD)) == 300


def test_ten_lengths() -> None:
    """Each l= is a hash of its own over the body."""
    fields = b"".join(
        FIELD.replace(b"h=from", b"l=%d; h=from" % (MEGABYTE - number)) for number in range(300)
    )
    found = verified(fields + MESSAGE + b"x" * MEGABYTE * 3, RECORD)
    assert {result.result for result in found} == {"fail", "neutral"}


@pytest.mark.parametrize(
    "field",
    [
        b"DKIM-Signature\r\n",
        b"DKIM-Signature:\r\n",
        b"DKIM-Signature: ;\r\n",
        b"DKIM-Signature: " + b";" * MEGABYTE + b"\r\n",
        b"DKIM-Signature: " + b"a=1;" * (MEGABYTE // 4) + b"\r\n",
        b"DKIM-Signature: " + b"".join(b"a%d=1;" % number for number in range(100_000)) + b"\r\n",
        b"DKIM-Signature: " + b";b " * (MEGABYTE // 3) + b"\r\n",
        b"DKIM-Signature: v=1; i=" + b"=41" * (MEGABYTE // 3) + b"@a.test\r\n",
        b"DKIM-Signature: \xff\xfe\r\n",
    ],
    ids=range(9),
)
def test_fields_that_are_no_signature(field: bytes) -> None:
    assert all(result.result in ("neutral", "permerror") for result in verified(field + MESSAGE))


def test_names_that_cannot_be() -> None:
    for domain in (
        b"a" * MEGABYTE,
        b"a." * 500_000 + b"b",
        b"\xc3\xa4" * 100_000,
        b"\xc3\xa4" * 60 + b".test",
        b"xn--\xc3\xa4",
    ):
        (result,) = verified(FIELD.replace(b"d=a.test", b"d=" + domain) + MESSAGE, RECORD)
        assert result.result in ("neutral", "permerror", "fail")
