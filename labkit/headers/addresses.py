"""The addresses of a field, read tolerantly and in one pass.

WHAT       `addresses_of("Ann <ann@a.test>, bob@b.test")` -> Addresses: display name and address of each, and how many.
DECIDES    an address in angle brackets counts, else what stands there; groups are opened; comments go. A piece that
           cannot be read has an empty address. It decides nothing for DMARC: that is the auth room's.
SAFE       no recursion, linear; no more than the first 200 addresses are kept, the others are only counted
STANDARDS  RFC 5322 §3.4 (mailboxes, groups), §4.4 (routes in angle brackets)
READ NEXT  findings.py
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from labkit.headers.scan import Sort, tokens
from labkit.mail.encoded_words import decoded

MOST_KEPT = 200
LONGEST_READ = 30_000  # characters; beyond that commas are counted
_IN_TEXT = re.compile(r"[^\s<>()@,;:\"']{1,64}@[A-Za-z0-9-]{1,63}(?:\.[A-Za-z0-9-]{1,63}){1,9}")


@dataclass(frozen=True, slots=True)
class Address:
    """`display` is decoded; show it by visible(). `domain` is in small letters, without a dot at its end."""

    display: str
    address: str

    @property
    def domain(self) -> str:
        return self.address.rpartition("@")[2].rstrip(".").lower() if "@" in self.address else ""


@dataclass(frozen=True, slots=True)
class Addresses:
    kept: tuple[Address, ...]
    count: int

    @property
    def first(self) -> Address | None:
        return self.kept[0] if self.kept else None


def addresses_of(value: str) -> Addresses:
    """Never raises."""
    kept: list[Address] = []
    count = 0
    for piece in _pieces(value[:LONGEST_READ]):
        address = _address(piece)
        if address is not None:
            count += 1
            if len(kept) < MOST_KEPT:
                kept.append(address)
    return Addresses(tuple(kept), count + value.count(",", LONGEST_READ))


def in_text(text: str) -> str:
    """The first thing in a text that looks like an address, or ""."""
    found = _IN_TEXT.search(text[:1000])
    return found[0] if found else ""


def _pieces(value: str) -> list[list[tuple[Sort, str]]]:
    """The tokens between commas (and the semicolons that end groups), without comments; angles hold commas."""
    pieces: list[list[tuple[Sort, str]]] = [[]]
    angles = False
    for token in tokens(value):
        if token.sort is Sort.COMMENT:
            continue
        if token.sort is Sort.SIGN and not angles:
            pieces.append([])
            continue
        if token.sort is Sort.WORD:
            opened, closed = token.text.rfind("<"), token.text.rfind(">")
            angles = opened > closed if max(opened, closed) >= 0 else angles
        pieces[-1].append((token.sort, token.text))
    return pieces


def _address(piece: list[tuple[Sort, str]]) -> Address | None:
    """One mailbox. A group's name, in front of a colon, is dropped."""
    words: list[str] = []
    in_domain = False
    for sort, text in piece:
        if sort is Sort.WORD and text.endswith(":") and "<" not in text and "@" not in text:
            words, in_domain = [], False
            continue
        words.append(f'"{text}"' if sort is Sort.QUOTED and not in_domain else text)
        in_domain = in_domain or words[-1] == "@"
    if not words:
        return None
    text = " ".join(words)
    before, opened, rest = text.rpartition("<")
    if not opened:
        return Address("", text.replace(" ", "") if "@" in text else "")
    inside = rest.partition(">")[0].replace(" ", "")
    if inside.startswith("@"):  # a source route
        inside = inside.rpartition(":")[2]
    return Address(decoded(before.strip().strip('"')).strip(), inside)
