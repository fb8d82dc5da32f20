"""The signed examples of RFC 6376 and RFC 8463, and each of them with one thing changed."""

from __future__ import annotations

from pathlib import Path

import pytest

from labkit.auth.canonical import cut
from labkit.auth.dkim_result import DkimResult
from labkit.auth.dkim_verify import verify
from labkit.mail.asking import answer_from
from tests.auth.keys_for_tests import NOW
from tests.auth.rfc_dkim import ED25519_RECORD, MESSAGE, RSA_RECORD, ZONE, answers

BODY = MESSAGE.index(b"\r\n\r\n") + 4
ED25519, RSA = 0, 1


def results(message: bytes, **zone: str) -> tuple[DkimResult, ...]:
    records = ZONE | {
        f"{selector}._domainkey.football.example.com": (text,) for selector, text in zone.items()
    }
    return answer_from(answers({**records}), verify(message, NOW))


def test_rfc_8463() -> None:
    """RFC 8463 appendix A.3: one message, two algorithms."""
    ed25519, rsa = results(MESSAGE)
    assert (ed25519.result, rsa.result) == ("pass", "pass")
    assert (ed25519.algorithm, ed25519.key_bits, ed25519.selector) == ("ed25519-sha256", 256, "brisbane")
    assert (rsa.algorithm, rsa.key_bits, rsa.domain) == ("rsa-sha256", 1024, "football.example.com")
    assert rsa.identity == "@football.example.com" and not rsa.is_testing and not rsa.broken
    assert rsa.body_hash_claimed == rsa.body_hash_computed == "2jUSOH9NhtVGCQWNr9BrIAPreKQjO6Sn7XIkfJVOzv8="
    assert rsa.canonical_body == b"Hi.\r\n\r\nWe lost the game. Are you hungry yet?\r\n\r\nJoe.\r\n"
    assert rsa.canonical_header.startswith(b"from:Joe SixPack <joe@football.example.com>\r\nto:Suzie Q")
    assert rsa.canonical_header.endswith(b"; b=")
    assert rsa.field.startswith(b"DKIM-Signature: v=1; a=rsa-sha256") and b"\r\n d=" in rsa.field


@pytest.mark.parametrize("name, count", [("rfc6376.signed.msg", 2), ("rfc6376.signed.rsa.msg", 1)])
def test_public_examples(name: str, count: int, suites: Path) -> None:
    message = (suites / "dkim" / name).read_bytes().replace(b"\n", b"\r\n")
    found = results(message)
    assert [result.result for result in found] == ["pass"] * count
    assert {
        (result.signature.header_form, result.signature.body_form) for result in found if result.signature
    } == {("simple", "simple")}


@pytest.mark.parametrize("name", ["rfc8463", "rfc6376.signed.msg"])
def test_each_octet_of_the_body(name: str, suites: Path) -> None:
    message = MESSAGE if name == "rfc8463" else (suites / "dkim" / name).read_bytes().replace(b"\n", b"\r\n")
    start = message.index(b"\r\n\r\n") + 4
    for place in range(start, len(message)):
        if message[place] in b"\r\n":  # relaxed form would forgive some of these
            continue
        changed = bytearray(message)
        changed[place] ^= 0x01
        for result in results(bytes(changed)):
            assert (result.result, result.broken) == ("fail", "body"), place


@pytest.mark.parametrize("name", ["From", "To", "Subject", "Date", "Message-ID"])
def test_each_signed_field(name: str) -> None:
    for old, new in ((f"\r\n{name}: ", f"\r\n{name}: x"), (f"\r\n{name}:", f"\r\nX-{name}:")):
        ed25519, rsa = results(MESSAGE.replace(old.encode(), new.encode()))
        assert (ed25519.result, ed25519.broken) == ("fail", "header or key")
        assert (rsa.result, rsa.broken) == ("fail", "header")
        assert rsa.header_hash_signed != rsa.header_hash_computed


@pytest.mark.parametrize("twin", [b"From: Eve <eve@evil.test>", b"Subject: another", b"Date: now"])
def test_a_second_field_where_h_is_oversigned(twin: bytes) -> None:
    """h= names each field twice: neither above nor below may another one be added (RFC 6376 §5.4.2)."""
    above = MESSAGE.replace(b"\r\nFrom:", b"\r\n" + twin + b"\r\nFrom:")
    below = MESSAGE.replace(b"\r\n\r\nHi.", b"\r\n" + twin + b"\r\n\r\nHi.")
    for message in (above, below):
        assert [result.result for result in results(message)] == ["fail", "fail"]


@pytest.mark.parametrize(
    "old, new, broken",
    [
        (b"t=1528637909", b"t=1528637908", "header"),
        (b"q=dns/txt", b"q=dns/txt:x", "header"),
        (b"bh=2jUS", b"bh=3jUS", "body and header"),
        (b"c=relaxed/relaxed", b"c=simple/relaxed", "header"),
        (b"c=relaxed/relaxed", b"c=relaxed/simple", "body and header"),
        (b"b=F45d", b"b=G45d", "key"),
    ],
)
def test_each_part_of_the_signature(old: bytes, new: bytes, broken: str) -> None:
    rsa = results(MESSAGE.replace(old, new))[RSA]
    assert (rsa.result, rsa.broken) == ("fail", broken)


def test_another_key() -> None:
    from tests.auth.keys_for_tests import pair

    ed25519, rsa = results(MESSAGE, brisbane=pair("ed25519").record, test=pair("rsa").record)
    assert (ed25519.result, ed25519.broken) == ("fail", "header or key")
    assert (rsa.result, rsa.broken) == ("fail", "key")
    ed25519, rsa = results(MESSAGE, brisbane=RSA_RECORD, test=ED25519_RECORD)
    assert (ed25519.result, rsa.result) == (ed25519.result, rsa.result) == ("permerror", "permerror")
    assert ed25519.broken == rsa.broken == "key"


def test_what_relaxed_form_forgives() -> None:
    changed = MESSAGE.replace(b"Subject: Is dinner ready?", b"SUBJECT :\tIs   dinner\r\n ready?  ")
    changed = changed.replace(b"game.  Are", b"game.\tAre").replace(b"Joe.\r\n", b"Joe. \t\r\n\r\n \r\n")
    assert [result.result for result in results(changed)] == ["pass", "pass"]
    assert cut(changed).names == cut(MESSAGE).names


def test_steps_tell_it_all() -> None:
    rsa = results(MESSAGE)[RSA]
    told = "\n".join(map(str, rsa.steps))
    for words in (
        "rsa-sha256",
        "relaxed form",
        "test._domainkey.football.example.com",
        "1024 bits",
        "bh= says",
        "fits it",
    ):
        assert words in told
    data = [step.data for step in rsa.steps]
    assert RSA_RECORD in data and rsa.canonical_body.decode("latin-1") in data
    assert rsa.canonical_header.decode("latin-1") in data
    assert [step.question.name for step in rsa.steps if step.question] == [
        "test._domainkey.football.example.com"
    ]
