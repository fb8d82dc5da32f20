"""How fast are DKIM signing and verifying, beside OpenSSL alone and dkimpy? python benchmarks/dkim_rates.py [ROUNDS]

WHAT       a message of 1 KB, RSA-2048 and relaxed/relaxed: the raw RSA operation of OpenSSL (the package
           `cryptography`), labkit's signature and verification around it, and dkimpy's. Ed25519 for labkit. What is
           verified has the signature and two Received fields on top, as it has at the receiver's.
HOW        each round does a few of each, in turn; the table has the medians of the rounds, with the lowest and the
           highest, in microseconds of this process, and the rates' ratios. Other work on the machine slows all, but not
           evenly: measure on a quiet one.
FAIR       dkimpy gets its key as bytes at each signature and the record as bytes at each verification: it has no other
           way in. labkit's Signer keeps its loaded key, its verifier the last keys that it read.
"""

from __future__ import annotations

import sys
import time
from base64 import b64encode
from collections.abc import Callable
from statistics import median
from typing import Any

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ed25519, rsa
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.hashes import SHA256

from labkit.auth.dkim_sign import Signer
from labkit.auth.dkim_verify import verify
from labkit.mail.asking import answer_by
from labkit.mail.questions import DnsAnswer, DnsOutcome

NOW = 1_700_000_000
HEADER = (
    b"From: Ann Example <ann@st1.sne21.test>\r\nTo: Bob Example <bob@st2.sne21.test>\r\n"
    b"Subject: a message of a thousand octets\r\nDate: Sun, 22 Nov 2026 23:06:37 +0000\r\n"
    b"Message-ID: <20261122230637.4711@mx.st1.sne21.test>\r\nMIME-Version: 1.0\r\n"
    b"Content-Type: text/plain; charset=utf-8\r\n\r\n"
)
MESSAGE = HEADER + b"Some words that were written to be signed, again and again and more.\r\n" * 10

TRACE = (
    b"Received: from mx.st1.sne21.test ([203.0.113.11])\r\n\tby mx.st2.sne21.test with esmtps (TLS1.3)\r\n"
    b"\tid 1xVGdp-0000LT-0M\r\n\tfor bob@st2.sne21.test;\r\n\tSun, 22 Nov 2026 23:06:39 +0000\r\n"
    b"Received: from laptop.st1.sne21.test ([203.0.113.77])\r\n\tby mx.st1.sne21.test with esmtpsa\r\n"
    b"\tid 1xVGdo-0000LS-2k;\r\n\tSun, 22 Nov 2026 23:06:38 +0000\r\n"
)


def record(kind: str, octets: bytes) -> str:
    return f"v=DKIM1; k={kind}; p={b64encode(octets).decode()}"


def subjects() -> dict[str, tuple[int, Callable[[], Any]]]:
    """What is measured: how many of it a round does, and a call of it."""
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    edwards = ed25519.Ed25519PrivateKey.generate()
    pem = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.TraditionalOpenSSL,
        serialization.NoEncryption(),
    )
    public = key.public_key()
    spki = public.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    rsa_record = record("rsa", spki)
    ed_record = record("ed25519", edwards.public_key().public_bytes_raw())
    rsa_answer = DnsAnswer(DnsOutcome.FOUND, (rsa_record,))
    ed_answer = DnsAnswer(DnsOutcome.FOUND, (ed_record,))
    signer, ed_signer = Signer("st1.sne21.test", "s1", key), Signer("st1.sne21.test", "s1", edwards)
    signed = TRACE + signer.sign(MESSAGE, NOW) + MESSAGE
    ed_signed = TRACE + ed_signer.sign(MESSAGE, NOW) + MESSAGE
    padding, sha256 = PKCS1v15(), SHA256()
    raw = key.sign(MESSAGE, padding, sha256)

    def checked(message: bytes, answer: DnsAnswer[str]) -> None:
        (result,) = answer_by(lambda question: answer, verify(message, NOW))
        assert result.result == "pass", result.reason

    found: dict[str, tuple[int, Callable[[], Any]]] = {
        "OpenSSL signs (RSA-2048)": (12, lambda: key.sign(MESSAGE, padding, sha256)),
        "labkit signs": (12, lambda: signer.sign(MESSAGE, NOW)),
        "OpenSSL verifies": (25, lambda: public.verify(raw, MESSAGE, padding, sha256)),
        "labkit verifies": (25, lambda: checked(signed, rsa_answer)),
        "labkit signs (Ed25519)": (12, lambda: ed_signer.sign(MESSAGE, NOW)),
        "labkit verifies (Ed25519)": (12, lambda: checked(ed_signed, ed_answer)),
    }
    try:
        import dkim
    except ImportError:
        return found

    def checked_by_dkimpy() -> None:
        assert dkim.verify(signed, dnsfunc=lambda name, timeout=5: rsa_record.encode())

    found["dkimpy signs"] = (1, lambda: dkim.sign(MESSAGE, b"s1", b"st1.sne21.test", pem))
    found["dkimpy verifies"] = (5, checked_by_dkimpy)
    return found


def measure(rounds: int) -> dict[str, list[float]]:
    """Microseconds for one of each, in each round."""
    what = subjects()
    times: dict[str, list[float]] = {name: [] for name in what}
    for number in range(rounds + 3):
        for name, (count, call) in what.items():
            began = time.process_time_ns()
            for _ in range(count):
                call()
            if number >= 3:  # the first rounds warm up
                times[name].append((time.process_time_ns() - began) / count / 1000)
    return times


def main(rounds: int = 100) -> None:
    times = measure(rounds)
    middle = {name: median(values) for name, values in times.items()}
    print(f"{len(MESSAGE)} octets, {rounds} rounds, microseconds each: median (lowest, highest), rate\n")
    for name, values in times.items():
        rate = 1e6 / middle[name]
        print(
            f"  {name:26} {middle[name]:9.1f}  ({min(values):.1f}, {max(values):.1f})  {rate:8.0f} a second"
        )
    print()
    pairs = [("labkit signs", "OpenSSL signs (RSA-2048)", "of OpenSSL's rate; at least 0.85 is wanted")]
    if "dkimpy signs" in middle:
        pairs.append(("labkit signs", "dkimpy signs", "times dkimpy's rate; at least 20 is wanted"))
        pairs.append(("labkit verifies", "dkimpy verifies", "times dkimpy's rate; at least 8 is wanted"))
    for ours, other, words in pairs:
        print(f"  {ours}: {middle[other] / middle[ours]:.2f} {words}")


if __name__ == "__main__":
    main(*map(int, sys.argv[1:2]))
