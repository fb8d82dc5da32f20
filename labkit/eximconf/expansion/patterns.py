"""Match a text against a regular expression in bounded time: `match` and `sg`.

CHOICE     Python's `re` where it cannot take long, our own machine with its limit on steps where it could. `costs`
           counts the ways in which `re` might try a text of a given length: the product over all repetitions and
           choices. Up to MOST_WAYS `re` may run; a repetition of something that itself has several ways never may
           without end. So nobody is refused a pattern, and nobody can hang the server.
STANDARDS  Exim specification, chapter "Regular expressions"
READ NEXT  compiler.py
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cached_property, lru_cache

from labkit.eximconf.expansion.outcomes import like
from labkit.eximconf.expansion.regex_machine import Captures, Program, Run, assemble
from labkit.eximconf.expansion.regex_syntax import (
    EVERYTHING,
    Assertion,
    Atomic,
    Back,
    Chars,
    Choice,
    Group,
    Look,
    Pattern,
    Regex,
    Repeat,
    Sequence,
    parse_regex,
)

MOST_WAYS = 2e6
_TOO_MANY = float("inf")
_IN_RE = {
    "start": r"\A", "line start": r"(?m:^(?!\Z)|\A)", "final": r"(?:(?=\n\Z)|\Z)", "line end": r"(?=\n|\Z)",
    "very end": r"\Z", "word": r"(?a:\b)", "inner": r"(?a:\B)",
}  # fmt: skip


@dataclass(frozen=True)
class Compiled:
    """`by_re` is used for texts up to `safe_length`, `program` for longer ones. What `re` needs is made when used."""

    pattern: Pattern
    program: Program

    @cached_property
    def by_re(self) -> re.Pattern[str] | None:
        written = _written(self.pattern.root)
        if written is None:
            return None
        try:
            return re.compile(written)
        except (re.error, OverflowError, RecursionError):
            return None  # a look-behind of several lengths, for one

    @cached_property
    def safe_length(self) -> int:
        return _safe_length(self.pattern.root)

    def search(self, text: str, begin: int = 0) -> Captures | None:
        """Positions: begin and end of the whole, then of each group (-1: it took no part)."""
        if self.by_re is not None and len(text) <= self.safe_length:
            found = self.by_re.search(text, begin)
            return None if found is None else _positions(found)
        return Run(self.program, self.pattern.groups, text).search(begin)


def _positions(found: re.Match[str]) -> Captures:
    begin, end = found.span()
    if not found.re.groups:
        return begin, end
    return tuple([each for span in found.regs for each in span])


@lru_cache(maxsize=512)
def compiled(source: str) -> Compiled:
    """Raises Stop with PCRE2's words for what is no regular expression."""
    pattern = parse_regex(source)
    return Compiled(pattern, assemble(pattern))


def match(text: str, source: str) -> tuple[str, ...] | None:
    """$0, $1, … if the text matches. They are as tainted as the text."""
    at = compiled(source).search(text)
    if at is None:
        return None
    pieces = [text[at[n] : at[n + 1]] if at[n] >= 0 and at[n + 1] >= 0 else "" for n in range(0, len(at), 2)]
    if type(text) is not str:
        return tuple([like(piece, text) for piece in pieces])
    return tuple(pieces)


def matches(text: str, source: str) -> list[tuple[str, tuple[str, ...] | None]]:
    """What stands before each match, with that match's $0, $1, …; at last the rest, with None.

    As in Perl, an empty match moves on by a character, and none follows directly behind a match at its end.
    """
    regex = compiled(source)
    found: list[tuple[str, tuple[str, ...] | None]] = []
    done = begin = 0
    while begin <= len(text):
        at = regex.search(text, begin)
        if at is None:
            break
        groups = tuple(
            [text[at[n] : at[n + 1]] if at[n] >= 0 <= at[n + 1] else "" for n in range(0, len(at), 2)]
        )
        found.append((text[done : at[0]], groups))
        done = at[1]
        begin = at[1] if at[1] > at[0] else at[1] + 1
    found.append((text[done:], None))
    return found


def _safe_length(root: Regex) -> int:
    anchored = isinstance(root, Assertion) or (
        isinstance(root, Sequence) and root.parts[:1] == (Assertion("start"),)
    )
    length = 1 << 20
    while length and costs(root, length) * (1 if anchored else length) > MOST_WAYS:
        length >>= 1
    return length


def costs(node: Regex, length: int) -> float:
    """In how many ways `re` might try this node on a text of this length, at most."""
    if isinstance(node, Sequence):
        ways = 1.0
        for part in node.parts:
            ways = min(_TOO_MANY, ways * costs(part, length))
        return ways
    if isinstance(node, Choice):
        return sum(costs(part, length) for part in node.parts)
    if isinstance(node, Repeat):
        inside = costs(node.part, length)
        most = length if node.most is None else node.most
        spread = 1.0 + most - node.least if node.kind != "possessive" else 1.0
        if inside > 1:
            return spread * inside**most if most < 40 and inside < 1e6 else _TOO_MANY
        return max(1.0, spread)
    if isinstance(node, Look):
        return max(2.0, costs(node.part, length))
    if isinstance(node, (Group, Atomic)):
        return costs(node.part, length)
    return 1.0


def _written(node: Regex) -> str | None:
    """The same for Python's `re`. None: it cannot."""
    if isinstance(node, Chars):
        return _written_chars(node.chars)
    if isinstance(node, Assertion):
        return _IN_RE[node.kind]
    if isinstance(node, Back):
        return f"(?i:\\{node.number})" if node.caseless else f"(?:\\{node.number})"
    if isinstance(node, (Sequence, Choice)):
        parts = [_written(part) for part in node.parts]
        known = [part for part in parts if part is not None]
        if len(known) < len(parts):
            return None
        return "".join(known) if isinstance(node, Sequence) else f"(?:{'|'.join(known)})"
    if isinstance(node, Atomic) or (isinstance(node, Repeat) and node.kind == "possessive"):
        return None  # Python 3.10 has neither
    inside = _written(node.part)
    if inside is None:
        return None
    if isinstance(node, Group):
        return f"({inside})"
    if isinstance(node, Look):
        return f"(?{'' if node.ahead else '<'}{'!' if node.negative else '='}{inside})"
    most = "" if node.most is None else node.most
    return f"(?:{inside}){{{node.least},{most}}}{'?' if node.kind == 'lazy' else ''}"


def _written_chars(chars: frozenset[str]) -> str:
    if len(chars) == 1:
        return re.escape(next(iter(chars)))
    if chars == EVERYTHING:
        return "(?s:.)"
    if chars == EVERYTHING - {"\n"}:
        return "."
    ranges: list[list[int]] = []
    for code in sorted(map(ord, chars)):
        if ranges and ranges[-1][1] == code - 1:
            ranges[-1][1] = code
        else:
            ranges.append([code, code])
    inside = "".join(f"\\x{low:02x}-\\x{high:02x}" for low, high in ranges)
    return f"[{inside}]" if inside else "(?!)"
