"""Seal a message on its way: add an ARC set, as a mailing list does before it sends a message on.

WHAT       `seal(message, ...)` gives the three fields, to be put on top in this order: ARC-Seal,
           ARC-Message-Signature, ARC-Authentication-Results.
RULES      `results` is what this server found when the message came in, before it changed it; among them the verdict
           on the chain so far, as method `arc`: it becomes cv=. The message is what leaves this server.
           A chain that has failed is sealed once more, with cv=fail and over the new set alone; then never again.
REFUSES    a message that carries a chain which nobody has validated, a chain of 50 sets, one that had failed before,
           and what DKIM's signer refuses. SigningError says so.
STANDARDS  RFC 8617 §4.1, §5.1 (sealer actions), §5.1.1 (what a seal covers), §5.1.2 (failed chains)
READ NEXT  aggregate_report.py
"""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Iterable, Sequence
from hashlib import sha256
from typing import TYPE_CHECKING

from labkit.auth.arc import seal_digests
from labkit.auth.arc_fields import MOST_SETS, BrokenChain, collect, highest_instance, newest_cv
from labkit.auth.authentication_results import (
    AuthenticationResults,
    MethodResult,
    NotAuthenticationResults,
    lines,
)
from labkit.auth.canonical import RELAXED, Cut
from labkit.auth.dkim_sign import (
    FIELDS,
    SigningError,
    folded,
    load_key,
    names_of_the_dns,
    signable_parts,
    slices,
)
from labkit.auth.dkim_signature import body_digest, header_input

if TYPE_CHECKING:
    from labkit.auth.dkim_sign import PrivateKey

SIGNED = (*FIELDS, "dkim-signature")
Three = tuple[bytes, bytes, bytes]


def seal(
    message: bytes,
    *,
    authserv_id: str,
    results: Iterable[MethodResult],
    domain: str,
    selector: str,
    key: PrivateKey,
    now: float,
    fields: Sequence[str] = SIGNED,
) -> Three:
    """The three fields of a new set, top first. Raises SigningError."""
    parts = signable_parts(message)
    domain, selector = names_of_the_dns(domain, selector)
    key_type, _, make = load_key(key)
    found = tuple(results)
    instance = highest_instance(parts) + 1
    cv = _chain(parts, found, instance)
    tags = [f"i={instance}", f"a={key_type}-sha256", f"d={domain}", f"s={selector}", f"t={int(now)}"]

    aar = _results_field(instance, authserv_id, found)
    names = _names(parts, fields)
    listed = "\r\n\t".join(folded([f"h={names[0]}", *names[1:]], ":", ":", ";"))
    bh = b64encode(body_digest(parts.body, RELAXED)).decode()
    bare = _open("ARC-Message-Signature", [*tags, "c=relaxed/relaxed"], [listed, f"bh={bh};"])
    ams = _closed(bare, make(sha256(header_input(parts, tuple(names), RELAXED, bare)).digest()))

    bare = _open("ARC-Seal", [*tags[:1], f"cv={cv}", *tags[1:]], [])
    below = [] if cv == "fail" else _sets(parts)
    return _closed(bare, make(seal_digests([*below, (aar, ams, bare)])[-1])), ams, aar


def _chain(parts: Cut, results: Sequence[MethodResult], instance: int) -> str:
    """What the seal says of the chain so far. Raises SigningError where none may be added."""
    said = {found.result.lower() for found in results if found.method.lower() == "arc"}
    if instance > MOST_SETS:
        raise SigningError(f"the message has {MOST_SETS} ARC sets already, and more are not allowed")
    if newest_cv(parts) == "fail":
        raise SigningError("the chain had failed before (cv=fail); nobody seals such a message again")
    if len(said) > 1 or not said <= {"none", "pass", "fail"}:
        raise SigningError(
            f"the results say arc={', arc='.join(sorted(said))}: one of none, pass and fail is needed"
        )
    cv = said.pop() if said else "none"
    if (instance == 1) != (cv == "none"):
        have = "no ARC set" if instance == 1 else f"{instance - 1} ARC set(s)"
        raise SigningError(f"the message has {have}, and the results say arc={cv}: validate the chain first")
    return cv


def _sets(parts: Cut) -> list[Three]:
    try:
        found = collect(parts)
    except BrokenChain as broken:
        raise SigningError(f"the results say arc=pass, but the chain is broken: {broken}") from None
    fields = parts.fields
    return [(fields[one.results], fields[one.message_signature], fields[one.seal]) for one in found]


def _results_field(instance: int, authserv_id: str, results: tuple[MethodResult, ...]) -> bytes:
    try:
        text = "\r\n\t".join(lines(AuthenticationResults(authserv_id, results, instance=instance)))
    except NotAuthenticationResults as wrong:
        raise SigningError(f"the results cannot be written: {wrong}") from None
    return f"ARC-Authentication-Results: {text}\r\n".encode("utf-8", "replace")


def _names(parts: Cut, fields: Sequence[str]) -> list[str]:
    """What h= says: each field as often as it comes, From: once more, so that nobody adds one."""
    wanted = [name.lower() for name in fields]
    if "from" not in parts.names:
        raise SigningError("the message has no From: field; write one first")
    if "arc-seal" in wanted:
        raise SigningError("ARC-Message-Signature must not sign ARC-Seal")
    return [name for name in wanted for _ in range(parts.names.count(name) + (name == "from"))]


def _open(name: str, tags: list[str], more: list[str]) -> bytes:
    """A signature field whose b= is still empty."""
    first, *rest = folded([f"{name}: {tags[0]}", *tags[1:]], "; ", ";")
    return "\r\n\t".join([first, *rest, *more, "b="]).encode("ascii")


def _closed(field: bytes, signature: bytes) -> bytes:
    return field + b"\r\n\t".join(slices(b64encode(signature))) + b"\r\n"
