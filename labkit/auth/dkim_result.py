"""What came out of one DKIM signature, and the steps that led there.

WHAT       DkimResult keeps what was looked at; `.steps` tells it in order. They are made when somebody reads them:
           most verdicts are wanted without.
RESULTS    pass; fail (a hash or the signature is wrong); neutral (the field cannot be understood, or was not
           evaluated); permerror (no usable key, From: not signed, i= outside d=, rsa-sha1, RSA under 1024 bits:
           what RFC 6376 and 8301 call PERMFAIL before any hash is compared); temperror (the DNS did not answer);
           policy (expired). That t= lies in the future (`is_early`) is told, and changes nothing.
BROKEN     "" (nothing); "body", "header", "key", "header or key" (an Ed25519 signature does not tell them apart), or
           "body and" one of these; "signature" (the field itself), "time", "message" (no proper header), "limit",
           "dns".
STANDARDS  RFC 8601 §2.7.1 (result words), RFC 6376 §3.9, §6.1; RFC 8301 §3
READ NEXT  dkim_verify.py
"""

from __future__ import annotations

from base64 import b64encode
from hashlib import sha256
from typing import NamedTuple

from labkit.auth.canonical import Cut
from labkit.auth.dkim_key import FoundKeys, KeyRecord
from labkit.auth.dkim_signature import Signature
from labkit.auth.steps import Step
from labkit.auth.tags import TagList

_EARLY = (
    "t= lies in the future: a verifier may ignore such a signature; clocks are often wrong, and it counts"
)
ONCE = ("from", "subject", "to", "date", "sender", "reply-to", "cc", "message-id", "content-type")


class DkimResult(NamedTuple):
    """The verdict on one signature. `domain` (d=) is who takes responsibility; DMARC compares it with From:.

    A tuple with names, as Signature is: of the values that never change, these are made soonest.
    """

    result: str
    reason: str
    broken: str = ""
    message: Cut | None = None
    number: int = 0
    signature: Signature | None = None
    told: TagList | None = None
    found: FoundKeys | None = None
    key_record: KeyRecord | None = None
    key_bits: int = 0
    body_hash: bytes = b""
    whole_body: bytes = b""
    canonical_header: bytes = b""
    signed_hash: bytes = b""
    is_early: bool = False

    @property
    def field(self) -> bytes:
        """The DKIM-Signature field as it stands, its folding included."""
        return self.message.fields[self.number] if self.message else b""

    @property
    def domain(self) -> str:
        """d=: who takes responsibility."""
        return self.signature.domain if self.signature else self._told("d")

    def _told(self, name: str) -> str:
        return (self.told.get(name) if self.told else None) or ""

    @property
    def selector(self) -> str:
        """s=: which of the domain's keys."""
        return self.signature.selector if self.signature else self._told("s")

    @property
    def identity(self) -> str:
        """i=, or what it is when it is not written: @ and the domain."""
        return self.signature.identity if self.signature else self._told("i")

    @property
    def algorithm(self) -> str:
        return self.signature.algorithm if self.signature else self._told("a")

    @property
    def signed_fields(self) -> tuple[str, ...]:
        """The names in h=, in lower case."""
        return self.signature.signed_fields if self.signature else ()

    @property
    def is_testing(self) -> bool:
        """The domain tries DKIM out (t=y in its key record)."""
        return self.key_record is not None and self.key_record.is_testing

    @property
    def body_hash_claimed(self) -> str:
        """bh=, in base64."""
        return b64encode(self.signature.body_hash).decode() if self.signature else ""

    @property
    def body_hash_computed(self) -> str:
        """The hash of the body as it is here, in base64; "" if it was never computed."""
        return b64encode(self.body_hash).decode()

    @property
    def canonical_body(self) -> bytes:
        """The octets that the body hash was taken over."""
        length = self.signature.length if self.signature else None
        return self.whole_body if length is None else self.whole_body[:length]

    @property
    def not_covered(self) -> int:
        """How many octets of the canonical body l= leaves unsigned."""
        return len(self.whole_body) - len(self.canonical_body)

    @property
    def header_hash_signed(self) -> str:
        """The header hash that the signer had, where an RSA signature that does not fit tells it."""
        return b64encode(self.signed_hash).decode()

    @property
    def unsigned_twins(self) -> tuple[str, ...]:
        """Fields that may come once, and come oftener than h= names them: an attack by a second one (§8.15)."""
        if self.message is None:
            return ()
        here, signed = self.message.names, self.signed_fields
        return tuple(name for name in ONCE if name in signed and here.count(name) > signed.count(name))

    @property
    def steps(self) -> tuple[Step, ...]:
        """What was looked at, in order, with the canonical octets and both hashes."""
        return (
            *_field_steps(self),
            *_key_steps(self),
            *_hash_steps(self),
            Step(f"{self.result}: {self.reason}"),
        )

    @property
    def header_hash_computed(self) -> str:
        """The hash of the canonical header, which the signature must fit; "" if it was never computed."""
        return b64encode(sha256(self.canonical_header).digest()).decode() if self.canonical_header else ""


def octets(data: bytes) -> str:
    """Octets as text, one character each."""
    return data.decode("latin-1")


def _field_steps(result: DkimResult) -> list[Step]:
    field = octets(result.field)
    signature = result.signature
    if signature is None:
        return [Step("a DKIM-Signature field, which is not evaluated further", "RFC 6376 §6.1.1", data=field)]
    return [
        Step(
            f"{signature.domain} says that it signed, by {signature.algorithm}, "
            f"{len(signature.signed_fields)} names of fields (h=) and the body",
            "RFC 6376 §3.5",
            data=field,
        ),
        Step(
            f"the header is taken in {signature.header_form} form, the body in {signature.body_form} form (c=)",
            "RFC 6376 §3.4",
        ),
        *([Step(_EARLY, "RFC 6376 §3.5", 1)] if result.is_early else []),
    ]


def _key_steps(result: DkimResult) -> list[Step]:
    if result.found is None:
        return []
    question, outcome = result.found.question, result.found.outcome.value
    steps = [
        Step(f"the key is asked for at {question.name}: {outcome}", "RFC 6376 §3.6.2", question=question)
    ]
    steps += [Step("a record", "RFC 6376 §3.6.1", 1, text) for text in result.found.texts]
    if result.key_bits:
        is_small = result.algorithm.startswith("rsa") and result.key_bits < 2048
        size = f"the key has {result.key_bits} bits"
        steps.append(
            Step(f"{size}; signers should use 2048 or more" if is_small else size, "RFC 8301 §3.2", 1)
        )
    if result.is_testing:
        steps.append(
            Step("t=y: the domain is testing; a failure counts as no signature", "RFC 6376 §3.6.1", 1)
        )
    return steps


def _hash_steps(result: DkimResult) -> list[Step]:
    if not result.body_hash_computed:
        return []
    same = result.body_hash_claimed == result.body_hash_computed
    steps = [
        Step(
            f"the body in canonical form has {len(result.canonical_body)} octets",
            "RFC 6376 §3.7",
            data=octets(result.canonical_body),
        ),
        Step(
            f"its hash is {result.body_hash_computed}, "
            + ("as bh= says" if same else f"but bh= says {result.body_hash_claimed}"),
            "RFC 6376 §6.1.3",
            1,
        ),
    ]
    if result.not_covered:
        steps.append(
            Step(
                f"l= leaves {result.not_covered} octets at the end unsigned: anybody may have put them there",
                "RFC 6376 §8.2",
                1,
            )
        )
    steps.append(
        Step(
            f"the signed fields and this field without b= have {len(result.canonical_header)} octets in canonical form",
            "RFC 6376 §3.7",
            data=octets(result.canonical_header),
        )
    )
    fits = result.broken in ("", "body")
    told = f"; the signer's was {result.header_hash_signed}" if result.header_hash_signed else ""
    verdict = "the signature fits it" if fits else "the signature does not fit it"
    steps.append(
        Step(
            f"their hash is {result.header_hash_computed}{told}; {verdict}",
            "RFC 6376 §6.1.3",
            1,
        )
    )
    steps += [
        Step(
            f"there are more {name} fields than h= names: a reader may be shown one that is not signed",
            "RFC 6376 §8.15",
            1,
        )
        for name in result.unsigned_twins
    ]
    return steps
