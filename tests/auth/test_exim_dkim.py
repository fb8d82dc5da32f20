"""DKIM with Exim's rules: what is read, how it is signed, what hostile messages cost; dkimpy and RFC 6376 agree."""

from __future__ import annotations

import base64
import os
import time
from collections.abc import Callable
from functools import cache

import dkim
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat
from hypothesis import given, settings
from hypothesis import strategies as st

from labkit.auth.dkim_verify import verify
from labkit.auth.exim_dkim import read_key, read_signature
from labkit.auth.exim_dkim_sign import Unsigned, Wanted, sign_as_exim
from labkit.auth.exim_dkim_verify import Rules, Verified, verify_as_exim
from labkit.mail.asking import Question, answer_by
from labkit.mail.questions import DnsAnswer, DnsOutcome

PLAIN = b"From: ann@a.test\r\nTo: bob@b.test\r\nSubject: hi\r\n\r\nhello  world \r\n\r\n"
LIST = "From:To:Subject:Date"
USUAL = Rules()
MANY = 20 if os.environ.get("LABKIT_THOROUGH") == "1" else 1


@cache
def keys() -> dict[str, tuple[str, str]]:
    """By type: the private key as PEM, and p= of its record."""
    one, other = rsa.generate_private_key(65537, 2048), ed25519.Ed25519PrivateKey.generate()
    form = PublicFormat.SubjectPublicKeyInfo
    return {
        "rsa": (
            one.private_bytes(Encoding.PEM, PrivateFormat.TraditionalOpenSSL, NoEncryption()).decode(),
            base64.b64encode(one.public_key().public_bytes(Encoding.DER, form)).decode(),
        ),
        "ed25519": (
            other.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode(),
            base64.b64encode(other.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)).decode(),
        ),
    }


def wanted(key: str = "rsa", **more: object) -> Wanted:
    return Wanted("a.test", key, keys()[key][0], **{"names": LIST, **more})  # type: ignore[arg-type]


def signed(content: bytes = PLAIN, key: str = "rsa", **more: object) -> bytes:
    field = sign_as_exim(content, wanted(key, **more))
    assert isinstance(field, bytes)
    return field + content


def answer(records: dict[str, str]) -> object:
    usual = {f"{name}._domainkey.a.test": f"v=DKIM1; k={name}; p={p}" for name, (_, p) in keys().items()}
    known = {**usual, **records}

    def answered(question: Question[object]) -> DnsAnswer[str]:
        name = question.name  # type: ignore[attr-defined]
        if name in known:
            return DnsAnswer(DnsOutcome.FOUND, (known[name],))
        return DnsAnswer(DnsOutcome.NXDOMAIN)

    return answered


def judged(content: bytes, rules: Rules = USUAL, **records: str) -> Verified:
    named = {f"{name}._domainkey.a.test": text for name, text in records.items()}
    return answer_by(answer(named), verify_as_exim(content, rules))  # type: ignore[arg-type]


def verdicts(content: bytes, rules: Rules = USUAL, **records: str) -> list[tuple[str, str]]:
    return [(each.status, each.problem) for each in judged(content, rules, **records).signatures]


# --- reading --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text, name, value, because",
    [
        ("v=1; a=rsa-sha256; d=x.test", "domain", "x.test", "the usual form"),
        (";;; 12 v=1;a=rsa-sha256 ;d = x . test ;", "domain", "x.test", "blanks within a value go"),
        ("a=rsa-sha256; d=x; d=y", "domain", "y", "the last one counts"),
        ("a=rsa-sha256; D=x; dd=z", "domain", None, "tags are small letters, and one of them"),
        ("a=rsa-sha256; i=a=40x.test=", "identity", "a@x.test", "hexadecimal numbers; a lonely = goes"),
        ("a=rsa-sha256; b=!; ", "signature", None, "no base64"),
        ("a=rsa-sha256; bh=AAAA", "body_hash", b"\0\0\0", "two letters"),
        ("a=ed25519-sha256; l=12x", "body_length", 12, "the digits at the beginning"),
        ("a=rsa-sha256; l=-1", "body_length", -1, "no limit"),
        ("a=rsa-sha256; t=-1", "created", 2**64 - 1, "as C reads it"),
        ("a=rsa-sha256; v=2", "version", -1, "another version"),
        ("a=rsa-sha256; c=relaxed", "canon_header", "relaxed", "the body stays simple"),
        ("a=rsa-sha256; c=relaxed", "canon_body", "simple", "RFC 6376 §3.5"),
        ("a=rsa-sha256; c=odd/relaxed", "canon_body", "simple", "what is not known is simple"),
    ],
)
def test_a_signature_field(text: str, name: str, value: object, because: str) -> None:
    found = read_signature(f"DKIM-Signature: {text}\r\n".encode())
    assert found is not None
    assert getattr(found, name) == value, because


@pytest.mark.parametrize("text", ["", "d=x", "a=rsa", "a=RSA-SHA256", "a=rsa-md5", "a=dsa-sha256", "=;=;a="])
def test_what_is_no_signature(text: str) -> None:
    assert read_signature(b"DKIM-Signature: " + text.encode()) is None


def test_b_is_taken_out() -> None:
    found = read_signature(b"DKIM-Signature: a=rsa-sha256;\r\n\tb=AA\r\n\tAA; bh=AAAA;\r\n")
    assert found is not None
    assert found.without_b == b"DKIM-Signature: a=rsa-sha256;\r\n\tb=; bh=AAAA;"


@pytest.mark.parametrize(
    "text, ok, because",
    [
        ("p=AAAA", True, "v= may be missing"),
        ("v=DKIM1; p=", True, "a key that was revoked is read; it cannot be used"),
        ("v = DKIM1; p=AAAA", False, "a blank belongs to the value"),
        ("v=DKIM2; p=AAAA", False, "another version"),
        ("v=DKIM1", False, "no p="),
        ("v=DKIM1; p=!", False, "no base64"),
        ("pub=AAAA", True, "the first letter counts"),
        ("v=DKIM1; P=AAAA", False, "in small letters"),
    ],
)
def test_a_key_record(text: str, ok: bool, because: str) -> None:
    assert (read_key(text) is not None) is ok, because


# --- signing --------------------------------------------------------------------------------------


@pytest.mark.parametrize("key", ["rsa", "ed25519"])
@pytest.mark.parametrize("canon", ["simple", "relaxed"])
@pytest.mark.parametrize("hash_name", ["sha256", "sha512"])
def test_what_is_signed_is_good(key: str, canon: str, hash_name: str) -> None:
    content = signed(PLAIN, key, canon=canon, hash=hash_name, identity="x@a.test", created=9, expires=99)
    assert verdicts(content) == [("pass", "")]
    assert verdicts(content + b"more\r\n") == [("fail", "body")]
    assert verdicts(content.replace(b"hi\r\n", b"ho\r\n")) == [("fail", "message")]
    assert max(map(len, content.partition(b"From:")[0].split(b"\r\n"))) <= 78


@pytest.mark.parametrize(
    "names, expected, because",
    [
        ("From:To", b"h=To:From;", "from the bottom to the top"),
        ("from:TO", b"h=To:From;", "as the message has them"),
        ("From:Date:To", b"h=To:From:Date;", "what is missing is signed as absent"),
        ("+From:To", b"h=To:From:From;", "once more"),
        ("=From:=Date:To", b"h=To:From;", "only what is there"),
        ("From:From:To", b"h=To:From:From;", "a second one is absent"),
        ("Subject : To:_X", b"h=Subject:To;", "blanks go"),
    ],
)
def test_which_fields(names: str, expected: bytes, because: str) -> None:
    assert expected in signed(names=names), because
    assert verdicts(signed(names=names)) == [("pass", "")]


def test_a_field_that_is_added_breaks_what_was_signed_as_absent() -> None:
    assert verdicts(b"From: eve\r\n" + signed(names="+From")) == [("fail", "message")]
    assert verdicts(b"From: eve\r\n" + signed(names="From")) == [("pass", "")]


@pytest.mark.parametrize(
    "key, words",
    [
        ("", "privkey PEM-block import: The requested data were not available."),
        (
            "-----BEGIN RSA PRIVATE KEY-----\n!!!\n-----END",
            "privkey PEM-block import: Base64 decoding error.",
        ),
    ],
)
def test_a_bad_key(key: str, words: str) -> None:
    assert sign_as_exim(PLAIN, Wanted("a.test", "x", key, LIST)) == Unsigned(words)


def test_a_key_of_another_kind() -> None:
    pem = ec.generate_private_key(ec.SECP256R1()).private_bytes(
        Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()
    )
    found = sign_as_exim(PLAIN, Wanted("a.test", "x", pem.decode(), LIST))
    assert isinstance(found, Unsigned)
    assert found.words.startswith("Unhandled key type")


# --- verifying ------------------------------------------------------------------------------------


def test_which_signatures_count_and_in_which_order() -> None:
    content = signed(signed(PLAIN, "rsa"), "ed25519")
    order = [each.field.key_type for each in judged(content).signatures]
    assert order == ["ed25519", "rsa"]
    assert verdicts(content, Rules(key_types=("rsa",))) == [("pass", "")]
    assert verdicts(content, Rules(hashes=("sha512",))) == []
    assert verdicts(content, Rules(stops_at_pass=True)) == [("pass", ""), ("none", "")]
    assert verdicts(content, Rules(sizes=(("rsa", 4096),))) == [("pass", ""), ("fail", "too short")]


def test_exim_looks_at_no_dates_and_no_flags() -> None:
    """RFC 6376 does: the evaluator of the standard says so of the same message."""
    content = signed(created=1, expires=2, identity="me@sub.a.test")
    record = f"v=DKIM1; t=s; p={keys()['rsa'][1]}"
    assert verdicts(content, rsa=record) == [("pass", "")]
    asked = answer({"rsa._domainkey.a.test": record})
    (standard,) = answer_by(asked, verify(content, 1000.0))  # type: ignore[arg-type]
    assert standard.result != "pass"


def test_a_key_without_its_type_is_not_taken() -> None:
    octets = base64.b64decode(keys()["rsa"][1])
    bare = base64.b64encode(octets[24:]).decode()  # the RSAPublicKey inside
    assert verdicts(signed(), rsa=f"p={bare}") == [("invalid", "import")]


WORDS = st.text("ab \t", max_size=12)
BODIES = st.lists(WORDS, max_size=6).map(lambda lines: "".join(f"{line}\r\n" for line in lines).encode())
FIELDS = st.lists(
    st.tuples(st.sampled_from(["Subject", "to", "X-A", "Date"]), st.text("xy \t,", max_size=90)), max_size=6
)


@given(BODIES, FIELDS, st.sampled_from(["rsa", "ed25519"]), st.sampled_from(["simple", "relaxed"]))
@settings(max_examples=40 * MANY, deadline=None)
def test_dkimpy_and_the_standard_find_it_good(
    body: bytes, fields: list[tuple[str, str]], key: str, canon: str
) -> None:
    header = "From: ann@a.test\r\n" + "".join(f"{name}: {value}z\r\n" for name, value in fields)
    content = signed(header.encode() + b"\r\n" + body, key, canon=canon, names="+From:Subject:To:X-A:Date")
    asked = answer({})
    (standard,) = answer_by(asked, verify(content, 1000.0))  # type: ignore[arg-type]
    assert standard.result == "pass"
    assert verdicts(content) == [("pass", "")]
    record = f"v=DKIM1; k={key}; p={keys()[key][1]}".encode()
    assert dkim.verify(content, dnsfunc=lambda name, timeout=5: record)


@given(st.binary(max_size=300), st.integers(0, 10_000))
@settings(max_examples=150 * MANY, deadline=None)
def test_nothing_escapes(junk: bytes, at: int) -> None:
    """Octets put anywhere into a signed message: a verdict, whatever they are."""
    content = signed()
    at %= len(content)
    judged(content[:at] + junk + content[at:])
    judged(b"DKIM-Signature: " + junk)
    read_key(junk.decode("latin-1"))


# --- what it costs --------------------------------------------------------------------------------


def test_too_many_signatures() -> None:
    field = signed().removesuffix(PLAIN)
    assert len(judged(field * 19 + PLAIN).signatures) == 19
    found = judged(field * 300 + PLAIN)
    assert (found.signatures, found.error) == ((), "EXCESS_SIGS")


def test_too_long_a_line() -> None:
    assert judged(signed(PLAIN + b"x" * 16_381 + b"\r\n")).error == ""
    assert judged(signed(PLAIN + b"x" * 16_382 + b"\r\n")).error == "LONG_LINE"


@pytest.mark.parametrize(
    "content",
    [
        lambda: signed(PLAIN + (b" " * 16_000 + b"\r\n") * 64),
        lambda: signed(PLAIN + b"\r\n" * 500_000),
        lambda: signed(PLAIN).replace(b"h=", b"h=" + b"x:" * 30_000),
        lambda: signed(PLAIN).replace(b"v=1;", b"v=1;" + b"=" * 60_000),
        lambda: signed(PLAIN).replace(b"v=1;", b"a" * 60_000),
        lambda: signed(b"Subject: x" + b"\t" * 1_000_000 + b"\r\n" + PLAIN),
    ],
    ids=["blanks", "empty lines", "names", "equals", "letters", "a long field"],
)
def test_time_is_linear(content: Callable[[], bytes]) -> None:
    message = content()
    before = time.process_time()
    judged(message)
    assert time.process_time() - before < 2


@pytest.mark.parametrize("bits", [65_536, 20_000])
def test_an_enormous_key(bits: int) -> None:
    """What it is asked to compute has an end."""
    number = (1 << bits) - 1
    modulus = b"\0" + number.to_bytes(bits // 8, "big")

    def tlv(tag: int, octets: bytes) -> bytes:
        return bytes([tag, 0x83]) + len(octets).to_bytes(3, "big") + octets

    inner = tlv(0x30, tlv(2, modulus) + tlv(2, modulus))
    oid = bytes.fromhex("300d06092a864886f70d0101010500")
    key = base64.b64encode(tlv(0x30, oid + tlv(3, b"\0" + inner))).decode()
    before = time.process_time()
    assert verdicts(signed(), rsa=f"p={key}")[0][0] in ("invalid", "fail")
    assert time.process_time() - before < 2
