"""What is remarkable about a header: each finding with its weight, words, the fields it is about, and what to do.

WHAT       `findings_of(evidence)` runs all checks: those of the octets, of the fields, and of the way.
RULES      1. A finding is an observation, no verdict: honest mail has some of them, too, and the words say so.
           2. One finding for each thing, however often it occurs: it names up to a hundred fields, and counts the rest.
SAFE       every check is linear in the header's size
READ NEXT  findings_octets.py, findings_fields.py, findings_way.py
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from enum import Enum

from labkit.headers.trust import Trust
from labkit.headers.values import Field, Hop
from labkit.mail.visible import visible

MOST_FIELDS = 100
LONGEST_QUOTE = 60


class Weight(str, Enum):
    """How much a finding weighs: worth knowing, worth a second look, most likely wrong or an attack."""

    NOTE = "note"
    WARNING = "warning"
    ALARM = "alarm"


@dataclass(frozen=True, slots=True)
class Finding:
    """`code` is its name for programs; `fields` are indexes, the first hundred; `remedy` says what to do."""

    code: str
    weight: Weight
    words: str
    fields: tuple[int, ...]
    rfc: str
    remedy: str


class Evidence:
    """What the checks look at. `stray` is the beginning of a line that ended the header without being empty."""

    def __init__(
        self, fields: Sequence[Field], hops: Sequence[Hop], trust: Trust, stray: bytes = b""
    ) -> None:
        self.fields, self.hops, self.trust, self.stray = fields, hops, trust, stray
        self.by_name: dict[str, list[Field]] = defaultdict(list)  # names in small letters
        for field in fields:
            self.by_name[field.name.lower()].append(field)

    def all(self, name: str) -> Sequence[Field]:
        return self.by_name.get(name, ())

    def first(self, name: str) -> Field | None:
        return next(iter(self.all(name)), None)


Check = Callable[[Evidence], Iterable[Finding]]


def finding(code: str, weight: Weight, words: str, fields: Iterable[int], rfc: str, remedy: str) -> Finding:
    """A finding with no more fields than it may name."""
    indexes = []
    for index in fields:
        indexes.append(index)
        if len(indexes) == MOST_FIELDS:
            break
    return Finding(code, weight, words, tuple(indexes), rfc, remedy)


def quoted(text: str) -> str:
    """What a stranger wrote, as a piece of a sentence: short, and hiding nothing."""
    shown = visible(text).replace("\n", " ").replace("\t", " ")
    return shown if len(shown) <= LONGEST_QUOTE else f"{shown[: LONGEST_QUOTE - 1]}…"


def and_more(count: int) -> str:
    """What follows the first example."""
    return "" if count <= 1 else f" (and {count - 1:,} more)"


def related(one: str, other: str) -> bool:
    """True if the names are equal, one is below the other, or both are below one name of two or more labels.

    A guess for people: which names belong to one owner only the DNS can say (RFC 9989).
    """
    a, b = one.rstrip(".").lower(), other.rstrip(".").lower()
    return bool(a and b) and (a == b or (a.split(".")[-2:] == b.split(".")[-2:] and "." in a))


def findings_of(evidence: Evidence) -> tuple[Finding, ...]:
    """All findings, the heaviest first. Never raises."""
    from labkit.headers.findings_fields import FIELD_CHECKS
    from labkit.headers.findings_octets import OCTET_CHECKS
    from labkit.headers.findings_way import WAY_CHECKS

    found = _run((*OCTET_CHECKS, *FIELD_CHECKS, *WAY_CHECKS), evidence)
    order = [Weight.ALARM, Weight.WARNING, Weight.NOTE]
    return tuple(sorted(found, key=lambda each: order.index(each.weight)))


def _run(checks: Iterable[Check], evidence: Evidence) -> Iterator[Finding]:
    for check in checks:
        yield from check(evidence)
