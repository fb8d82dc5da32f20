"""ARC by dkimpy: it validates what we seal, and both agree on messages that were changed.

CAP        small messages only: dkimpy takes quadratic time for some. All lines end in CR LF: it leaves the blanks at
           the end of a last line that has no line end (RFC 6376 §3.4.4 takes them away), and a bare LF ends a line
           for it.
"""

from __future__ import annotations

import os
import random
from base64 import b64encode
from functools import cache

import dkim
import pytest
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, generate_private_key
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

import labkit
from labkit.auth import validate_arc
from labkit.auth.arc_seal import seal
from labkit.auth.authentication_results import MethodResult

NOW = 1_700_000_000
CASES = 400 if os.environ.get("LABKIT_THOROUGH") else 60


@cache
def key() -> RSAPrivateKey:
    return generate_private_key(65537, 1024)


def record() -> str:
    public = key().public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return f"v=DKIM1; k=rsa; p={b64encode(public).decode()}"


def ours(message: bytes) -> str:
    def lookup(name: str, rdtype: str) -> list[str]:
        if name != "r._domainkey.l.test":
            raise labkit.NoSuchName
        return [record()]

    return validate_arc(message, lookup, NOW).result


def dkimpys(message: bytes) -> str:
    def lookup(name: bytes, timeout: float = 5) -> bytes:
        return record().encode() if name == b"r._domainkey.l.test." else b""

    try:
        verdict, _, _ = dkim.arc_verify(message, dnsfunc=lookup)
    except Exception:  # what it cannot read it does not report: it stumbles
        return "fail"
    return verdict.decode() if verdict else "fail"  # None: the chain had failed before


def sealed(message: bytes, arc: str = "") -> bytes:
    results = [
        MethodResult.of("spf", "pass", ("smtp.mailfrom", "a.test")),
        *([MethodResult.of("arc", arc)] if arc else []),
    ]
    three = seal(
        message, authserv_id="mx.l.test", results=results, domain="l.test", selector="r", key=key(), now=NOW
    )
    return b"".join(three) + message


def message_of(chance: random.Random) -> bytes:
    words = ["hello", "two  blanks", "a\tb", "", " ", "dots . . .", "end  "]
    body = "".join(f"{chance.choice(words)}\r\n" for _ in range(chance.randrange(12)))
    extra = "".join(f"X-{n}: {chance.choice(words)}\r\n" for n in range(chance.randrange(4)))
    subject = chance.choice(["plain", "folded\r\n\ttwice", "  blanks  "])
    return f"{extra}From: ann@a.test\r\nSubject: {subject}\r\nTo: l@l.test\r\n\r\nHi.\r\n{body}".encode()


@pytest.mark.parametrize("seed", range(CASES))
def test_both_agree(seed: int) -> None:
    chance = random.Random(seed)
    message = message_of(chance)
    for number in range(chance.randint(1, 3)):
        message = sealed(message, "pass" if number else "")
    assert ours(message) == dkimpys(message) == "pass"
    changed = bytearray(message)
    for _ in range(chance.randint(1, 2)):
        place = chance.choice([number for number, octet in enumerate(changed) if octet not in b"\r\n"])
        changed[place] = chance.choice(b"aA0;=: \tzZ9+")
    assert len(changed) < 10_000
    assert ours(bytes(changed)) == dkimpys(bytes(changed)), bytes(changed).decode("latin-1")
