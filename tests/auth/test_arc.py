"""ARC: seal and validate, what breaks a chain, how far back it holds, what an attacker writes."""

from __future__ import annotations

import os
import re
import time
from functools import cache

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, generate_private_key
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from hypothesis import given, settings
from hypothesis import strategies as st

import labkit
from labkit.auth import validate_arc
from labkit.auth.arc import ArcResult
from labkit.auth.arc_seal import seal
from labkit.auth.authentication_results import MethodResult
from labkit.auth.dkim_sign import SigningError

NOW = 1_700_000_000
PLAIN = b"From: ann@a.test\r\nTo: list@l.test\r\nSubject: hello\r\nDate: Mon, 1 Jan 2024 10:00:00 +0000\r\n\r\nHi.\r\n"
SPF = MethodResult.of("spf", "pass", ("smtp.mailfrom", "a.test"))


@cache
def key() -> RSAPrivateKey:
    return generate_private_key(65537, 2048)


@cache
def other_key() -> Ed25519PrivateKey:
    return Ed25519PrivateKey.from_private_bytes(bytes(32))


@cache
def zone() -> dict[str, str]:
    from base64 import b64encode

    rsa = key().public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    raw = other_key().public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)
    return {
        "r._domainkey.l.test": f"v=DKIM1; k=rsa; p={b64encode(rsa).decode()}",
        "e._domainkey.l.test": f"v=DKIM1; k=ed25519; p={b64encode(raw).decode()}",
    }


def validated(message: bytes, known: dict[str, str] | None = None) -> ArcResult:
    records = zone() if known is None else known

    def lookup(name: str, rdtype: str) -> list[str]:
        if name not in records:
            raise labkit.NoSuchName
        if records[name] == "TIMEOUT":
            raise labkit.LookupTimedOut
        return [records[name]] if rdtype == "TXT" else []

    return validate_arc(message, lookup, NOW)


def sealed(message: bytes, arc: str = "", selector: str = "r") -> bytes:
    """The message with one more set."""
    results = [SPF, *([MethodResult.of("arc", arc)] if arc else [])]
    private = key() if selector == "r" else other_key()
    three = seal(
        message,
        authserv_id="mx.l.test",
        results=results,
        domain="l.test",
        selector=selector,
        key=private,
        now=NOW,
    )
    return b"".join(three) + message


def chain(length: int) -> bytes:
    message = sealed(PLAIN)
    for _ in range(length - 1):
        message = sealed(message, "pass")
    return message


@pytest.mark.parametrize("selector", ["r", "e"])
def test_a_chain_holds(selector: str) -> None:
    message = sealed(sealed(sealed(PLAIN, selector=selector), "pass"), "pass", selector)
    found = validated(message)
    assert (found.result, found.oldest_pass, len(found.sets)) == ("pass", 0, 3), found.reason
    assert [one.seal.cv for one in found.sets] == ["none", "pass", "pass"]
    assert all(one.seal.result == "pass" and one.message_signature for one in found.sets)
    results = found.sets[0].results
    assert results is not None
    assert results.authserv_id == "mx.l.test"
    assert results.results[0].properties["smtp.mailfrom"] == "a.test"


def test_none() -> None:
    assert validated(PLAIN).result == "none"
    assert validated(b"").result == "none"


def test_what_a_list_changes_breaks_only_what_came_before() -> None:
    first = sealed(PLAIN)
    changed = sealed(first.replace(b"Subject: hello", b"Subject: [list] hello"), "pass")
    found = validated(changed)
    assert (found.result, found.oldest_pass) == ("pass", 2)
    third = validated(sealed(changed, "pass"))
    assert (third.result, third.oldest_pass) == ("pass", 2)
    assert validated(changed.replace(b"[list]", b"[liszt]")).result == "fail"


@pytest.mark.parametrize(
    "pattern, put, words",
    [
        (rb"Hi\.", b"Ho.", "newest ARC-Message-Signature, i=3"),
        (rb"spf=pass", b"spf=fail", "ARC-Seal i=3"),
        (rb"(ARC-Seal: i=1; cv=)none", rb"\1pass", "cv=none"),
        (rb"(ARC-Seal: i=2; cv=)pass", rb"\1none", "cv=pass"),
        (rb"(ARC-Seal: i=2; cv=)pass", rb"\1fail", "cv=pass"),
        (rb"(ARC-Seal: i=3; cv=)pass", rb"\1fail", "had failed before"),
        (rb"(ARC-Seal: i=2; cv=)pass", rb"\1maybe", "none of"),
        (rb"ARC-Seal: i=2; ", b"ARC-Seal: ", "no instance"),
        (rb"ARC-Seal: i=2;", b"ARC-Seal: i=1;", "two ARC-Seal with i=1"),
        (rb"ARC-Seal: i=3;", b"ARC-Seal: i=51;", "no instance i=1 to 50"),
        (rb"ARC-Seal: i=3;", b"ARC-Seal: i=4;", "ARC-Seal with i=3 is missing"),
        (rb"ARC-Seal: i=2;", b"X-Seal: i=2;", "ARC-Seal with i=2 is missing"),
        (rb"ARC-Seal: i=3;", b"ARC-Seal: i=3; h=from;", "must not have h="),
        (rb"h=from:", b"h=arc-seal:from:", "must not name ARC-Seal"),
        (rb"(ARC-Seal: [^\0]*?)d=l\.test", rb"\1d=m.test", "there is no key at r._domainkey.m.test"),
        (rb"a=rsa-sha256", b"a=rsa-sha1", "no algorithm"),
        (rb"(ARC-Seal: [^\0]*?b=)", rb"\1AAAA", "ARC-Seal i=3"),
        (rb"(ARC-Seal: i=3;)", rb"\1 ;", "no instance"),
    ],
)
def test_what_breaks_a_chain(pattern: bytes, put: bytes, words: str) -> None:
    message = chain(3)
    broken = re.sub(pattern, put, message, count=1)
    assert broken != message
    found = validated(broken)
    assert found.result == "fail"
    assert words in found.reason, found.reason
    assert found.oldest_pass is None


def test_a_name_of_no_case() -> None:
    message = chain(2)
    assert (
        validated(message.replace(b"ARC-Seal:", b"arc-seal :").replace(b"\r\n\t", b"\r\n   ")).result
        == "pass"
    )


@pytest.mark.parametrize(
    "record, words",
    [
        ("TIMEOUT", "did not tell the key"),
        ("v=DKIM1; p=", "revoked"),
        ("v=DKIM1; k=ed25519; p=AAAA", "ed25519"),
        ("nonsense", "tag"),
    ],
)
def test_keys(record: str, words: str) -> None:
    found = validated(chain(2), {"r._domainkey.l.test": record})
    assert found.result == "fail"
    assert words in found.reason, found.reason


def test_sealing_a_broken_chain_once() -> None:
    broken = chain(2).replace(b"Hi.", b"Ho.")
    assert validated(broken).result == "fail"
    again = sealed(broken, "fail")
    assert b"ARC-Seal: i=3; cv=fail" in again
    assert "had failed before" in validated(again).reason
    with pytest.raises(SigningError, match="had failed before"):
        sealed(again, "fail")


@pytest.mark.parametrize(
    "message, arc, words",
    [
        (PLAIN, "pass", "no ARC set"),
        (chain(1), "", "validate the chain first"),
        (chain(1), "maybe", "one of none, pass and fail"),
        (b"To: a@b.test\r\n\r\n", "", "no From:"),
        (PLAIN.replace(b"\r\n", b"\n"), "", "line ends"),
        (b"ARC-Seal: i=1; cv=none\r\n" + PLAIN, "pass", "chain is broken"),
        (b"ARC-Seal: i=50; cv=pass\r\n" + PLAIN, "pass", "50 ARC sets"),
    ],
)
def test_what_is_not_sealed(message: bytes, arc: str, words: str) -> None:
    with pytest.raises(SigningError, match=words):
        sealed(message, arc)


def test_nothing_is_smuggled_into_a_seal() -> None:
    for results, domain in (
        ([MethodResult.of("spf", "pass", reason="a\r\nX: y")], "l.test"),
        ([SPF], "l.test\r\nX: y"),
    ):
        with pytest.raises(SigningError):
            seal(
                PLAIN,
                authserv_id="mx.l.test",
                results=results,
                domain=domain,
                selector="r",
                key=key(),
                now=NOW,
            )


def test_fifty_sets_and_no_more() -> None:
    message = PLAIN
    for number in range(50):
        message = sealed(message, "pass" if number else "", "e")
    found = validated(message)
    assert (found.result, found.oldest_pass) == ("pass", 0)
    with pytest.raises(SigningError, match="50"):
        sealed(message, "pass")
    more = message.replace(b"i=50;", b"i=51;") + b""
    assert "no instance" in validated(more).reason


def test_one_question_for_each_key() -> None:
    asked: list[str] = []

    def lookup(name: str, rdtype: str) -> list[str]:
        asked.append(name)
        return [zone()[name]]

    assert validate_arc(chain(5), lookup, NOW).result == "pass"
    assert asked == ["r._domainkey.l.test"]


@pytest.mark.parametrize(
    "header",
    [
        b"ARC-Seal: i=1\r\n" * 5000,
        b"".join(b"ARC-Seal: i=%d; cv=none; a=rsa-sha256; d=a; s=b; b=AA==\r\n" % n for n in range(1, 51)),
        b"ARC-Seal: " + b" " * 300_000 + b"i=1\r\n",
        b"ARC-Authentication-Results: i=1; " + b"(" * 300_000 + b"\r\n",
        b"ARC-Message-Signature: " + b"i=1;" * 100_000 + b"\r\n",
        b"ARC-Message-Signature: i=\xff\r\nARC-Seal: \0\r\nARC-Authentication-Results:\r\n",
    ],
)
def test_hostile_headers(header: bytes) -> None:
    begun = time.process_time()
    assert validated(header + PLAIN).result == "fail"
    assert validated(header + chain(2)).result == "fail"
    assert time.process_time() - begun < 2


@settings(max_examples=3000 if os.environ.get("LABKIT_THOROUGH") else 150, deadline=None)
@given(st.data())
def test_one_octet_changed(data: st.DataObject) -> None:
    """Whatever octet of a sealed message changes, there is a verdict; and where ARC looks it is fail."""
    message = bytearray(chain(2))
    place = data.draw(st.integers(0, len(message) - 1))
    message[place] ^= data.draw(st.sampled_from([1, 2, 32, 128]))
    found = validated(bytes(message))
    assert found.result in ("pass", "fail", "none")
    assert str(found).startswith(f"arc={found.result}")
