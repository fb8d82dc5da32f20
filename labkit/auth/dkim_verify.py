"""Verify the DKIM signatures of a message: one result for each, top to bottom.

WHAT       `verify(message, now)` asks for the keys and checks both hashes of each signature.
DOES       read the field, look up the key, compare the body hash, check the signature over the header. Both hashes are
           looked at even if one is wrong, so that `.broken` says which.
RULES      at most 10 signatures are evaluated (RFC 6376 §6.1 lets a verifier stop); the others are reported as neutral.
           Every record at the key's name is tried until one fits. `now` is in seconds since 1970.
STANDARDS  RFC 6376 §6.1; RFC 8301; RFC 8463; RFC 8601 §2.7.1 (the words: dkim_result.py)
SAFE       nothing in the message or in the DNS raises an exception; for each signature the time is linear in the
           message
READ NEXT  what_changed.py
"""

from __future__ import annotations

from dataclasses import dataclass, field
from hashlib import sha256

from labkit.auth.canonical import Cut, canonical_body, cut
from labkit.auth.dkim_key import (
    ED25519,
    FoundKeys,
    KeyRecord,
    KeyRecordError,
    PublicKey,
    find_keys,
    parse_key_record,
    public_key,
)
from labkit.auth.dkim_result import DkimResult
from labkit.auth.dkim_signature import (
    DKIM_SIGNATURE,
    Signature,
    SignatureError,
    header_input_of,
    parse_signature,
)
from labkit.mail.asking import Asking

MAX_SIGNATURES = 10
CLOCK_SKEW = 300.0  # seconds by which a signer's clock may be ahead of ours


@dataclass(frozen=True, slots=True)
class Subject:
    """The message under examination. Canonical bodies and their hashes are kept: signatures share them."""

    message: Cut
    known: dict[tuple[str, int | None], tuple[bytes, bytes]] = field(default_factory=dict)

    def body(self, form: str, length: int | None) -> tuple[bytes, bytes]:
        """The whole body in canonical form, and the hash of its first `length` octets."""
        found = self.known.get((form, length))
        if found is None:
            whole = canonical_body(self.message.body, form) if length is None else self.body(form, None)[0]
            found = whole, sha256(whole if length is None else memoryview(whole)[:length]).digest()
            self.known[form, length] = found
        return found


def verify(
    message: bytes, now: float, *, max_signatures: int = MAX_SIGNATURES, clock_skew: float = CLOCK_SKEW
) -> Asking[tuple[DkimResult, ...]]:
    """The result of each signature, top to bottom; an empty tuple if the message is not signed."""
    subject = Subject(cut(message))
    results: list[DkimResult] = []
    evaluated = 0
    for number in subject.message.numbers(DKIM_SIGNATURE):
        if evaluated >= max_signatures:
            words = f"not evaluated: a message has at most {max_signatures} signatures looked at"
            results.append(DkimResult("neutral", words, "limit", subject.message, number))
            continue
        try:
            signature = parse_signature(subject.message.unfolded[number], number)
        except SignatureError as wrong:
            results.append(
                DkimResult(wrong.result, str(wrong), "signature", subject.message, number, told=wrong.tags)
            )
            continue
        evaluated += 1
        results.append((yield from verify_signature(subject, signature, now, clock_skew=clock_skew)))
    return tuple(results)


def verify_signature(
    subject: Subject, signature: Signature, now: float, *, clock_skew: float = CLOCK_SKEW
) -> Asking[DkimResult]:
    """The result of one signature of a message."""
    message, number = subject.message, signature.number
    if (malformed := message.malformed) is not None:  # RFC 6376 §3.8: no valid input
        shown = malformed[:40].decode("utf-8", "backslashreplace")
        return DkimResult(
            "permerror", f"a line of the header is no field: {shown!r}", "message", message, number, signature
        )
    if signature.expires is not None and signature.expires < now:  # RFC 6376 §3.5, x=
        return DkimResult("policy", "the signature has expired (x=)", "time", message, number, signature)
    try:
        found = yield from find_keys(signature.domain, signature.selector)
    except KeyRecordError as wrong:
        return DkimResult("permerror", str(wrong), "key", message, number, signature)
    if found.outcome.is_temporary:
        words = f"the DNS did not tell the key ({found.outcome.value}); it may tell it later"
        return DkimResult("temperror", words, "dns", message, number, signature, found=found)
    if not found.texts:  # RFC 6376 §6.1.2
        words = f"there is no key at {found.question.name} ({found.outcome.value})"
        return DkimResult("permerror", words, "key", message, number, signature, found=found)
    result = _with_any_key(subject, signature, found)
    if signature.signed_at is not None and signature.signed_at > now + clock_skew:
        return result._replace(is_early=True)  # RFC 6376 §3.5, t=: told, and left to the reader
    return result


def _with_any_key(subject: Subject, signature: Signature, found: FoundKeys) -> DkimResult:
    """Try each record; the first pass counts, else the best of the others: a hash that was wrong says more."""
    results = []
    for text in found.texts:
        result = _with_key(subject, signature, found, text)
        if result.result == "pass":
            return result
        results.append(result)
    return next((result for result in results if result.result == "fail"), results[0])


def _with_key(subject: Subject, signature: Signature, found: FoundKeys, text: str) -> DkimResult:
    record: KeyRecord | None = None
    try:
        record = parse_key_record(text)
        key = usable_key(record, signature)
    except KeyRecordError as wrong:
        return DkimResult(
            "permerror",
            str(wrong),
            "key",
            subject.message,
            signature.number,
            signature,
            found=found,
            key_record=record,
        )
    return _compared(subject, signature, found, record, key)


def usable_key(record: KeyRecord, signature: Signature) -> PublicKey:
    """The key of a record, if the record allows it for this signature (RFC 6376 §6.1.2). Raises KeyRecordError."""
    if record.is_revoked:
        raise KeyRecordError("the key is revoked: its p= is empty")
    if record.hashes is not None and "sha256" not in record.hashes:
        raise KeyRecordError(f"the key is not for SHA-256: its record says h={':'.join(record.hashes)[:60]}")
    if not record.is_for_mail:
        raise KeyRecordError(
            f"the key is not for mail: its record says s={':'.join(record.services or ())[:60]}"
        )
    if record.key_type != signature.key_type:
        raise KeyRecordError(
            f"the key is of type {record.key_type[:20]}, the signature is {signature.algorithm}"
        )
    if record.is_strict and signature.identity.rpartition("@")[2].lower() != signature.domain.lower():
        raise KeyRecordError("the key is strict (t=s): i= must name the very domain of d=")
    return public_key(record)


def _compared(
    subject: Subject, signature: Signature, found: FoundKeys, record: KeyRecord, key: PublicKey
) -> DkimResult:
    """Both hashes against what was signed (RFC 6376 §6.1.3)."""
    length = signature.length
    body, digest = subject.body(signature.body_form, length)
    header = header_input_of(subject.message, signature)
    is_short = length is not None and length > len(body)
    body_fits = digest == signature.body_hash and not is_short
    header_fits = key.check(sha256(header).digest(), signature.signature)
    told = None if header_fits else key.recover(signature.signature)
    result, reason, broken = _verdict(key, body_fits, header_fits, is_short, told)
    return DkimResult(
        result,
        reason,
        broken,
        subject.message,
        signature.number,
        signature,
        found=found,
        key_record=record,
        key_bits=key.bits,
        body_hash=digest,
        whole_body=body,
        canonical_header=header,
        signed_hash=told or b"",
    )


def _verdict(
    key: PublicKey, body_fits: bool, header_fits: bool, is_short: bool, told: bytes | None
) -> tuple[str, str, str]:
    if body_fits and header_fits:
        return "pass", "both hashes are right, and the signature was made with the domain's key", ""
    if header_fits:
        reason = "the body is shorter than l= says" if is_short else "the body is not the one that was signed"
        return "fail", reason, "body"
    if told is not None:
        where, reason = "header", "a signed header field is not what was signed"
    elif key.key_type == ED25519:  # such a signature does not show what it was made over
        where, reason = "header or key", "a signed header field is not what was signed, or the key is another"
    else:
        where, reason = "key", "the signature was not made with this key, or b= itself was changed"
    if body_fits:
        return "fail", reason, where
    return "fail", f"the body is not the one that was signed, and {reason}", f"body and {where}"
