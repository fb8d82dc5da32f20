"""Take the header of a message apart: fields, hops, trust boundary, findings.

WHAT       `dissect(message)` -> Dissection. `with_trust(...)` gives the same with another boundary, for a slider.
RULES      the fields' octets joined, and the separator, are the message up to its body. Nothing here raises for what a
           message says: it may be a megabyte of brackets.
SAFE       each field is read once, in linear time. Received fields beyond the first 2,000 are not read as hops.
STANDARDS  RFC 5322 §2.2, §3.6; RFC 5321 §4.4
READ NEXT  cut.py, catalogue.py, hops.py, trust.py, findings.py
"""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace

from labkit.headers.catalogue import entry_of
from labkit.headers.cut import cut
from labkit.headers.findings import Evidence, Finding, findings_of
from labkit.headers.hops import hops_of
from labkit.headers.received import read_received
from labkit.headers.trust import Trust, trust_at, trust_of
from labkit.headers.values import Field, Hop, Kind, Received, Writer
from labkit.mail.message import octets_of

MOST_HOPS = 2000
Trusted = Collection[str] | int | None
_TAG_D = re.compile(r"(?:^|;)\s*d\s*=\s*([^\s;]{1,255})")
_FIRST_WORD = re.compile(r"\s*(?:\([^()]*\)\s*)?([^\s;()]{1,255})")
_ID_DOMAIN = re.compile(r"@([^\s@>]{1,255})>\s*$")


@dataclass(frozen=True, slots=True)
class Dissection:
    """A message's header, explained. `hops` are the oldest first; `size` counts the whole message's octets.

    `stray`: if no empty line ended the header, the beginning of the line that did.
    """

    fields: tuple[Field, ...]
    hops: tuple[Hop, ...]
    trust: Trust
    findings: tuple[Finding, ...]
    separator: bytes
    body_at: int
    size: int
    stray: bytes = b""

    def with_trust(self, trusted: Trusted) -> Dissection:
        """The same with other trusted hosts (names, addresses, networks), or at a level of the slider."""
        trust = _trust(self.fields, self.hops, trusted)
        findings = findings_of(Evidence(self.fields, self.hops, trust, self.stray))
        return replace(self, trust=trust, findings=findings)

    def all(self, name: str) -> tuple[Field, ...]:
        """The fields of that name, top to bottom."""
        small = name.lower()
        return tuple(field for field in self.fields if field.name.lower() == small)

    def first(self, name: str) -> Field | None:
        return next(iter(self.all(name)), None)

    @property
    def header(self) -> bytes:
        """The header's octets, the empty line included."""
        return b"".join([*(field.raw for field in self.fields), self.separator])


def dissect(message: bytes, *, trusted: Trusted = None) -> Dissection:
    """Take apart a whole message, or a header alone. Never raises for its content; TypeError if it is not bytes.

    `trusted`: hosts that the reader believes (names, `*.a.test`, addresses, networks); None: who wrote the topmost
    Received field; a number: so many of the topmost Received fields.
    """
    message = octets_of(message)
    found = cut(message)
    fields: list[Field] = []
    received: list[tuple[int, Received]] = []
    line = 1
    for index, (start, raw) in enumerate(found.pieces):
        field = _field(index, start, raw, line)
        if field.name.lower() == "received" and len(received) < MOST_HOPS:
            reading = read_received(field.value)
            received.append((index, reading))
            field = replace(field, by=reading.by)
        fields.append(field)
        line += raw.count(b"\n")
    hops = hops_of(received)
    fields = _with_writers(fields, hops)
    trust = _trust(fields, hops, trusted)
    stray = b"" if found.separator else message[found.body_at : found.body_at + 80].split(b"\n")[0]
    findings = findings_of(Evidence(fields, hops, trust, stray))
    return Dissection(
        tuple(fields), hops, trust, findings, found.separator, found.body_at, len(message), stray
    )


def _trust(fields: Sequence[Field], hops: Sequence[Hop], trusted: Trusted) -> Trust:
    if isinstance(trusted, int):
        return trust_at(fields, hops, trusted)
    if isinstance(trusted, str):
        raise TypeError(f"trusted is a collection of hosts, as in trusted=[{trusted!r}]")
    return trust_of(fields, hops, trusted)


def _field(index: int, start: int, raw: bytes, line: int) -> Field:
    name, value = name_and_value(raw)
    entry = entry_of(name)
    lines = raw.count(b"\n", 0, -1)
    return Field(
        index=index,
        name=name,
        raw=raw,
        value=value,
        kind=entry.kind,
        writer=entry.writer,
        by=_by(name.lower(), entry.kind, value),
        rfc=entry.rfc,
        words=entry.words,
        start=start,
        end=start + len(raw),
        first_line=line,
        last_line=line + lines,
    )


def name_and_value(raw: bytes) -> tuple[str, str]:
    """The name, and the body unfolded (RFC 5322 §2.2.3); octets that are no UTF-8 are escaped. "" names no field."""
    name, colon, body = raw.partition(b":")
    if name.startswith((b"From ", b">")) or not colon:
        name, body = b"", raw
    text = body.replace(b"\r\n", b"").replace(b"\n", b"").strip(b" \t\r\n")
    return name.strip().decode("ascii", "replace"), text.decode("utf-8", "backslashreplace")


def _by(name: str, kind: Kind, value: str) -> str:
    """Who says that he wrote it: an authserv-id, a signature's domain."""
    if kind is not Kind.AUTHENTICATION:
        return ""
    if name == "authentication-results":
        found = _FIRST_WORD.match(value)
    elif name == "received-spf":
        found = re.search(r"receiver=\s*\"?([^\s;\"]{1,255})", value) or re.search(
            r"\(([^\s:()]{1,255}):", value
        )
    else:
        found = _TAG_D.search(value)
    return found[1].lower() if found else ""


def _with_writers(fields: list[Field], hops: tuple[Hop, ...]) -> list[Field]:
    """Who wrote what, by what the hops tell: the first server may have been one for submission, the last delivered."""
    if not hops:
        return fields
    first, last = hops[0], hops[-1]
    is_submission = first.received.is_authenticated or first.received.is_local
    out = []
    for field in fields:
        if field.index == first.field and is_submission:
            field = replace(field, writer=Writer.SUBMISSION)
        elif field.writer is Writer.FINAL and field.index < last.field:
            field = replace(field, by=last.received.by)
        elif field.name.lower() == "message-id" and (found := _ID_DOMAIN.search(field.value)):
            by = found[1].lower()
            if by == first.received.by:  # the author's program gave it none
                field = replace(field, writer=Writer.SUBMISSION, by=by)
        out.append(field)
    return out
