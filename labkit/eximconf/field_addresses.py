"""Read the addresses of a header field one by one, and say what is wrong with each that cannot be read.

WHAT       `addresses_of(body)`: for each piece between commas an address, or the problem in Exim's words.
LIKE EXIM  groups are opened; what is wrong with one piece does not touch the next
STANDARDS  RFC 5322 §3.4
READ NEXT  rewriting/fields.py
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from labkit.eximconf.blanks import BLANKS
from labkit.eximconf.mailbox_text import (
    USUAL,
    Grammar,
    Groups,
    MailboxText,
    NoMailbox,
    end_of_mailbox,
    read_mailbox,
)


@dataclass(frozen=True, slots=True)
class Readable:
    """An address, and the piece of the field that it stands in, which begins at `at`."""

    mailbox: MailboxText
    text: str
    at: int

    @property
    def address(self) -> str:
        return self.mailbox.text

    @property
    def has_domain(self) -> bool:
        return self.mailbox.has_domain


@dataclass(frozen=True, slots=True)
class Unreadable:
    problem: str
    text: str
    at: int


def addresses_of(
    body: str, *, skips_blanks: bool = True, grammar: Grammar = USUAL
) -> Iterator[Readable | Unreadable]:
    """The addresses of a field's body. `skips_blanks` False: a piece begins right behind the comma."""
    at, groups = 0, Groups(may_begin=True)
    while True:
        while skips_blanks and at < len(body) and body[at] in BLANKS:
            at += 1
        if at >= len(body):
            return
        end = end_of_mailbox(body, at, line_ends=False)
        piece = body[at:end]
        try:
            yield Readable(read_mailbox(piece, groups, grammar=grammar), piece.rstrip(BLANKS), at)
        except NoMailbox as problem:
            yield Unreadable(str(problem), piece.rstrip(BLANKS), at)
        at = end + 1
