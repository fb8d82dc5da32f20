"""What changed on the way: two copies of a message, as signed and as received, and what a signature makes of it.

WHAT       `what_changed(signed, received, signature)` compares every signed field and the body, in canonical form. What
           differs there breaks the signature; what differs only in the raw octets survives, and is named too.
DECIDES    fields are paired as h= names them: the same name takes the same place from the bottom in both copies.
STANDARDS  RFC 6376 §3.4 (canonical forms), §3.5 (l=), §5.4.2 (repeated names)
SAFE       linear in both copies; values are shown up to 200 octets
READ NEXT  why_broken.py: only the received copy is at hand
"""

from __future__ import annotations

from dataclasses import dataclass

from labkit.auth.canonical import Cut, canonical_body, canonical_field, cut
from labkit.auth.dkim_signature import Signature

SHOWN = 200  # octets of a value


@dataclass(frozen=True, slots=True)
class FieldChange:
    """A signed field that differs. `signed` and `received` are the raw fields, None where there is none."""

    name: str
    signed: bytes | None
    received: bytes | None
    breaks: bool

    def __str__(self) -> str:
        if self.signed is None:
            words = "was added, and h= keeps its place empty"
        elif self.received is None:
            words = "is gone"
        elif self.breaks:
            words = f"was {_shown(self.signed)} and is {_shown(self.received)}"
        else:
            words = f"is written otherwise, {_shown(self.received)}, which its canonical form forgives"
        return f"{self.name}: {words}"


@dataclass(frozen=True, slots=True)
class BodyChange:
    """Where the bodies begin to differ: the octet (from 0) and the line (from 1), in canonical form if `breaks`.

    `signed` and `received` are the rest of that line in either copy; empty where the body has ended.
    """

    offset: int
    line: int
    signed: bytes
    received: bytes
    breaks: bool
    beyond_length: bool = False

    def __str__(self) -> str:
        where = f"body, octet {self.offset}, line {self.line}"
        if self.beyond_length:
            return f"{where}: {_shown(self.received)} stands behind what l= covers, and breaks nothing"
        if not self.breaks:
            return f"{where}: differs in blanks or empty lines only, which the canonical form forgives"
        if not self.signed:
            return f"{where}: {_shown(self.received)} was added at the end"
        if not self.received:
            return f"{where}: {_shown(self.signed)} is missing at the end"
        return f"{where}: was {_shown(self.signed)} and is {_shown(self.received)}"


@dataclass(frozen=True, slots=True)
class WhatChanged:
    """Every difference that a signature is about."""

    fields: tuple[FieldChange, ...]
    body: BodyChange | None

    @property
    def breaks_header(self) -> bool:
        return any(change.breaks for change in self.fields)

    @property
    def breaks_body(self) -> bool:
        return self.body is not None and self.body.breaks

    def __str__(self) -> str:
        changes: list[FieldChange | BodyChange] = [*self.fields]
        if self.body is not None:
            changes.append(self.body)
        breaking = [f"breaks the signature: {change}" for change in changes if change.breaks]
        surviving = [f"survives: {change}" for change in changes if not change.breaks]
        return "\n".join([*breaking, *surviving]) or "nothing changed that this signature covers"


def what_changed(signed: bytes, received: bytes, signature: Signature) -> WhatChanged:
    """Compare two copies of a message under one signature."""
    before, after = cut(signed), cut(received)
    fields = _fields(before, after, signature)
    return WhatChanged(tuple(fields), _body(before.body, after.body, signature))


def _fields(before: Cut, after: Cut, signature: Signature) -> list[FieldChange]:
    was, now = (_in_order(message, signature) for message in (before, after))
    changes = []
    for name, old, new in zip(signature.signed_fields, was, now):
        if old == new:
            continue
        same = (
            old is not None
            and new is not None
            and canonical_field(old, signature.header_form) == canonical_field(new, signature.header_form)
        )
        changes.append(FieldChange(name, old, new, breaks=not same))
    return changes


def _in_order(message: Cut, signature: Signature) -> list[bytes | None]:
    """What each name of h= takes in this copy, the signature's own field left out."""
    places: dict[str, list[bytes]] = {}
    own = signature.tags.get("b")
    for name, field in zip(message.names, message.fields):
        if name != "dkim-signature" or not own or own.encode("utf-8", "replace")[:60] not in field:
            places.setdefault(name, []).append(field)
    return [left.pop() if (left := places.get(name)) else None for name in signature.signed_fields]


def _body(before: bytes, after: bytes, signature: Signature) -> BodyChange | None:
    form, length = signature.body_form, signature.length
    was, now = (canonical_body(body, form) for body in (before, after))
    if was == now:
        return (
            None if before == after else _change(before, after, first_difference(before, after), breaks=False)
        )
    at = first_difference(was, now)
    beyond = length is not None and at >= length
    return _change(was, now, at, breaks=not beyond, beyond=beyond)


def _change(was: bytes, now: bytes, at: int, *, breaks: bool, beyond: bool = False) -> BodyChange:
    return BodyChange(at, was.count(b"\n", 0, at) + 1, _rest(was, at), _rest(now, at), breaks, beyond)


def _rest(text: bytes, at: int) -> bytes:
    """The rest of the line; where a line end is what differs, the line end."""
    end = text.find(b"\n", at, at + SHOWN)
    return text[at : at + SHOWN if end < 0 else end + 1]


def first_difference(one: bytes, other: bytes) -> int:
    """The first octet at which two texts differ; the length of the shorter one if it is the start of the longer."""
    low, high = 0, min(len(one), len(other))
    while low < high:  # halves of what is left: each comparison is one look at memory
        middle = (low + high + 1) // 2
        if memoryview(one)[low:middle] == memoryview(other)[low:middle]:
            low = middle
        else:
            high = middle - 1
    return low


def _shown(octets: bytes) -> str:
    cut_short = octets[:SHOWN]
    return repr(cut_short.decode("utf-8", "backslashreplace")) + ("…" if len(octets) > SHOWN else "")
