"""Keys that are made once for a run, a message with its signature, and zones that publish them."""

from __future__ import annotations

from base64 import b64encode
from functools import lru_cache

from labkit.auth.dkim_result import DkimResult
from labkit.auth.dkim_sign import Signer
from labkit.auth.dkim_verify import verify
from labkit.lab.keys import KeyPair, make_pair
from labkit.mail.asking import Question, answer_by
from labkit.mail.questions import DnsAnswer, DnsOutcome, TextOf

NOW = 1_700_000_000.0
MESSAGE = (
    b"Received: from a by b; Mon, 1 Jan 2024 00:00:00 +0000\r\nFrom: Ann <ann@a.test>\r\nTo: bob@b.test\r\n"
    b"Subject: a test of\r\n\tsignatures\r\nDate: Mon, 1 Jan 2024 00:00:00 +0000\r\nMessage-ID: <1@a.test>\r\n"
    b"\r\nHello Bob,\r\n\r\nthis  is signed.\t\r\n-- \r\nAnn\r\n\r\n\r\n"
)


def pair(kind: str = "rsa", bits: int = 1024, number: int = 0) -> KeyPair:
    """A key: small ones are made sooner, and 1024 bits are still a key."""
    return _pair(kind, bits, number)


@lru_cache(maxsize=8)
def _pair(kind: str, bits: int, number: int) -> KeyPair:
    return make_pair(kind, bits)


def der(tag: int, content: bytes) -> bytes:
    size = len(content)
    octets = size.to_bytes((size.bit_length() + 7) // 8 or 1, "big")
    length = octets if size < 128 else bytes([0x80 + len(octets)]) + octets
    return bytes([tag]) + length + content


def rsa_record(modulus: int, exponent: int) -> str:
    numbers = [der(2, n.to_bytes(n.bit_length() // 8 + 1, "big")) for n in (modulus, exponent)]
    return f"v=DKIM1; k=rsa; p={b64encode(der(0x30, b''.join(numbers))).decode()}"


FIELD = Signer("a.test", "rsa", pair().private_key, fields=("from", "to", "subject")).sign(MESSAGE, NOW)
RECORD = pair().record


def verified(
    message: bytes, records: str | tuple[str, ...] | DnsOutcome | None = None, now: float = NOW
) -> tuple[DkimResult, ...]:
    """The results where every name has these records; by default each selector names the kind of its key."""

    def answer(question: Question[DnsAnswer[str]]) -> DnsAnswer[str]:
        assert isinstance(question, TextOf)
        if isinstance(records, DnsOutcome):
            return DnsAnswer(records)
        found = (pair(question.name.split(".")[0]).record,) if records is None else records
        return DnsAnswer(DnsOutcome.FOUND, (found,) if isinstance(found, str) else found)

    return answer_by(answer, verify(message, now))
