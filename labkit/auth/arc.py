"""Validate the chain of ARC: what the servers on the way say that they saw, sealed by each.

WHAT       `validate(message, now)`: none (no chain), pass, or fail, with each set and what became of it.
DOES       the structure of the sets first (arc_fields.py), then cv= of each seal, then the newest
           ARC-Message-Signature, then every ARC-Seal from the newest to the oldest. Of a chain that holds, the older
           message signatures are looked at too: `oldest_pass` is how far back the message was as it is now.
RULES      one fault anywhere and the chain has failed, for good: a failed chain is never repaired, and what the DNS
           does not answer counts as a fault (§5.2.1). pass says that nobody broke the seals, not that what is sealed
           is true: whom to believe is for the receiver to decide.
STANDARDS  RFC 8617 §4, §5.2; RFC 6376 §3.7 (hashes); RFC 8301, RFC 8463 (keys)
SAFE       at most 50 sets; linear in the message for each; nothing in it raises an exception
READ NEXT  arc_seal.py
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from hashlib import sha256
from typing import Any

from labkit.auth.arc_fields import BrokenChain, RawSet, collect
from labkit.auth.authentication_results import AuthenticationResults, NotAuthenticationResults, parse
from labkit.auth.canonical import RELAXED, canonical_field, cut
from labkit.auth.dkim_key import FoundKeys, KeyRecordError, find_keys, parse_key_record
from labkit.auth.dkim_result import DkimResult
from labkit.auth.dkim_signature import without_b
from labkit.auth.dkim_verify import Subject, usable_key, verify_signature
from labkit.auth.steps import Step
from labkit.mail.asking import Asking, Question, remembering


@dataclass(frozen=True, slots=True)
class Seal:
    """What became of one ARC-Seal: pass, fail, or empty where nobody looked. `cv` is what it says of those below."""

    cv: str
    domain: str
    selector: str
    algorithm: str = ""
    result: str = ""
    reason: str = ""
    key_bits: int = 0


@dataclass(frozen=True, slots=True)
class ArcSet:
    """One set. `message_signature` is None where nobody looked; `results` where the field cannot be read."""

    instance: int
    seal: Seal
    message_signature: DkimResult | None = None
    results: AuthenticationResults | None = None
    fields: tuple[bytes, bytes, bytes] = (b"", b"", b"")


@dataclass(frozen=True, slots=True)
class ArcResult:
    """The verdict on the chain. `sets` are in order, instance 1 first.

    `oldest_pass`: the lowest instance from which on every ARC-Message-Signature still holds; 0: from the first on all
    do; None: the chain did not pass (RFC 8617 §5.2, step 5).
    """

    result: str
    reason: str
    sets: tuple[ArcSet, ...] = ()
    oldest_pass: int | None = None
    steps: tuple[Step, ...] = ()

    def __str__(self) -> str:
        return f"arc={self.result} ({self.reason})"


def validate(message: bytes, now: float) -> Asking[ArcResult]:
    """Validate the ARC chain of a message; `now` is in seconds since 1970."""
    return _Validation(message, now).run()


class _Validation:
    """One validation under way."""

    def __init__(self, message: bytes, now: float) -> None:
        self.subject = Subject(cut(message))
        self.now = now
        self.steps: list[Step] = []
        self.answers: dict[Question[Any], Any] = {}
        self.sets: list[ArcSet] = []

    def run(self) -> Asking[ArcResult]:
        try:
            raw = collect(self.subject.message)
        except BrokenChain as broken:
            return self._end("fail", str(broken), "RFC 8617 §5.2 step 3")
        if not raw:
            return self._end("none", "the message has no ARC set", "RFC 8617 §5.2 step 1")
        self.sets = [self._shown(one) for one in raw]
        self.steps.append(Step(f"{len(raw)} ARC set(s), each of three fields", "RFC 8617 §4.2"))
        if wrong := self._wrong_cv(raw):
            return self._end("fail", wrong, "RFC 8617 §5.2 step 3")
        newest = yield from self._message_signature(raw[-1])
        if newest.result != "pass":
            reason = f"the newest ARC-Message-Signature, i={raw[-1].instance}: {newest.reason}"
            return self._end("fail", reason, "RFC 8617 §5.2 step 4")
        digests = seal_digests([self._fields(one) for one in raw])
        for one, digest in zip(reversed(raw), reversed(digests)):
            seal = yield from self._sealed(one, digest)
            if seal.result != "pass":
                return self._end("fail", f"ARC-Seal i={one.instance}: {seal.reason}", "RFC 8617 §5.2 step 6")
        oldest = yield from self._oldest_pass(raw)
        last = raw[-1].seal_signature.domain
        return self._end(
            "pass", f"{len(raw)} set(s) hold, the last by {last}", "RFC 8617 §5.2 step 7", oldest
        )

    def _fields(self, one: RawSet) -> tuple[bytes, bytes, bytes]:
        fields = self.subject.message.fields
        return fields[one.results], fields[one.message_signature], fields[one.seal]

    def _shown(self, one: RawSet) -> ArcSet:
        fields = self._fields(one)
        try:
            results = parse(fields[0].partition(b":")[2].decode("utf-8", "replace"))
        except NotAuthenticationResults:
            results = None
        signature = one.seal_signature
        seal = Seal(one.cv, signature.domain, signature.selector, signature.algorithm)
        return ArcSet(one.instance, seal, None, results, fields)

    def _wrong_cv(self, raw: Sequence[RawSet]) -> str:
        """What is wrong with what the seals say of the chain, or empty (RFC 8617 §5.2, steps 2 and 3)."""
        if raw[-1].cv == "fail":
            return f"the newest seal, i={raw[-1].instance}, says that the chain had failed before (cv=fail)"
        for one in raw:
            right = "none" if one.instance == 1 else "pass"
            if one.cv != right:
                return f"ARC-Seal i={one.instance} says cv={one.cv}; a chain that holds has cv={right} there"
        return ""

    def _message_signature(self, one: RawSet) -> Asking[DkimResult]:
        found = yield from remembering(verify_signature(self.subject, one.signature, self.now), self.answers)
        self.sets[one.instance - 1] = replace(self.sets[one.instance - 1], message_signature=found)
        words = f"ARC-Message-Signature i={one.instance} of {one.signature.domain}: {found.result}, {found.reason}"
        self.steps.append(Step(words, "RFC 8617 §4.1.2", 0, found.canonical_header.decode("latin-1")))
        return found

    def _sealed(self, one: RawSet, digest: bytes) -> Asking[Seal]:
        signature = one.seal_signature
        seal = self.sets[one.instance - 1].seal
        try:
            keys = yield from remembering(find_keys(signature.domain, signature.selector), self.answers)
            seal = _with_any_key(one, digest, keys, seal)
            question = keys.question
        except KeyRecordError as wrong:
            seal, question = replace(seal, result="fail", reason=str(wrong)), None
        self.sets[one.instance - 1] = replace(self.sets[one.instance - 1], seal=seal)
        words = f"ARC-Seal i={one.instance} of {signature.domain}, cv={one.cv}: {seal.result}, {seal.reason}"
        self.steps.append(Step(words, "RFC 8617 §4.1.3", question=question))
        return seal

    def _oldest_pass(self, raw: Sequence[RawSet]) -> Asking[int]:
        """How far back the message signatures hold without a gap."""
        oldest = raw[-1].instance
        for one in reversed(raw[:-1]):
            found = yield from self._message_signature(one)
            if found.result != "pass":
                return oldest
            oldest = one.instance
        return 0

    def _end(self, result: str, reason: str, source: str, oldest: int | None = None) -> ArcResult:
        self.steps.append(Step(f"{result}: {reason}", source))
        return ArcResult(result, reason, tuple(self.sets), oldest, tuple(self.steps))


def _with_any_key(one: RawSet, digest: bytes, keys: FoundKeys, seal: Seal) -> Seal:
    """Whether the seal fits a key of its domain: each record is tried."""
    if keys.outcome.is_temporary:
        reason = f"the DNS did not tell the key ({keys.outcome.value}), and that counts as a failure"
        return replace(seal, result="fail", reason=reason)
    reason = f"there is no key at {keys.question.name} ({keys.outcome.value})"
    for text in keys.texts:
        try:
            key = usable_key(parse_key_record(text), one.seal_signature)
        except KeyRecordError as wrong:
            reason = str(wrong)
            continue
        if key.check(digest, one.seal_signature.signature):
            return replace(seal, result="pass", reason="the seal fits the domain's key", key_bits=key.bits)
        reason = "the sets are not the ones that were sealed, or the key is another"
    return replace(seal, result="fail", reason=reason)


def seal_digests(sets: Sequence[tuple[bytes, bytes, bytes]]) -> list[bytes]:
    """The hash that each seal was made over: all sets up to its own, its own seal without b= (RFC 8617 §5.1.1)."""
    digests, below = [], sha256()
    for results, signed, seal in sets:
        for field in (results, signed):
            below.update(canonical_field(field, RELAXED))
        own = below.copy()
        own.update(canonical_field(without_b(seal), RELAXED)[:-2])
        digests.append(own.digest())
        below.update(canonical_field(seal, RELAXED))
    return digests
