"""Read the addresses of a header field one by one, and say what is wrong with each that cannot be read.

WHAT       `addresses_of(body)`: for each piece between commas an address, or the problem in Exim's words.
LIKE EXIM  comments and phrases go, groups are opened, a route is dropped; two dots in a local part pass; a domain has
           letters, digits and hyphens only; an address without a domain is one
STANDARDS  RFC 5322 §3.4, §3.4.1; RFC 5321 §4.1.2
READ NEXT  dnslists.py
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from labkit.eximconf.blanks import BLANKS

_ATOM = re.compile(r'(?:[^\x00-\x20\x7f()<>@,;:\\".\[\]]|\\.)+', re.DOTALL)
_QUOTED = re.compile(r'"(?:[^"\\]|\\.)*(")?', re.DOTALL)
_LABEL = re.compile(r"[A-Za-z0-9][A-Za-z0-9-]*")
_LITERAL = re.compile(r"\[[!-Z^-~]*\]")
_LONGEST = 256


@dataclass(frozen=True, slots=True)
class Readable:
    """An address, and the piece of the field that it stands in."""

    address: str
    has_domain: bool
    text: str


@dataclass(frozen=True, slots=True)
class Unreadable:
    problem: str
    text: str


class _Bad(Exception):
    """What is wrong, in Exim's words."""


@dataclass(slots=True)
class _Groups:
    """Where we are with `name: a, b;`. It goes on from piece to piece."""

    may_begin: bool = True
    is_open: bool = False

    def close(self) -> None:
        self.is_open, self.may_begin = False, True


def addresses_of(body: str) -> Iterator[Readable | Unreadable]:
    """The addresses of a field's body."""
    at, groups = 0, _Groups()
    while True:
        while at < len(body) and body[at] in BLANKS:
            at += 1
        if at >= len(body):
            return
        end = _end_of_piece(body, at)
        piece = body[at:end]
        yield _read(piece, groups)
        at = end + 1


def _end_of_piece(text: str, at: int) -> int:
    """Where the comma is that ends this address."""
    routed = text.startswith("@", at)
    open_ = 1 if routed else 0
    while at < len(text) and (text[at] != "," or open_ > 0):
        char = text[at]
        if char == "\\":
            at += 2
        elif char == '"':
            quoted = _QUOTED.match(text, at)
            at = quoted.end() if quoted is not None else at + 1
        elif char == "(":
            at = _after_comment(text, at)
        else:
            if char == "<":
                routed = text.startswith("@", at + 1)
                open_ = 2 if routed else 1
            elif char == ">" or (routed and char == ":"):
                open_ -= 1
            at += 1
    return min(at, len(text))


def _after_comment(text: str, at: int) -> int:
    depth = 0
    while at < len(text):
        char = text[at]
        at += 2 if char == "\\" else 1
        depth += {"(": 1, ")": -1}.get(char, 0)
        if depth == 0:
            break
    return min(at, len(text))


def _read(piece: str, groups: _Groups) -> Readable | Unreadable:
    shown = piece.rstrip(BLANKS)
    reader = _Reader(piece, groups)
    try:
        address, has_domain = reader.mailbox()
    except _Bad as bad:
        if groups.is_open and reader.sees(";"):
            groups.close()
        return Unreadable(str(bad), shown)
    if reader.end - reader.begin > _LONGEST:
        return Unreadable(f"address is ridiculously long: {address[:64]}...", shown)
    return Readable(address, has_domain, shown)


class _Reader:
    """Stands somewhere in one piece; `comment` is where it stood before it last passed over blanks and comments."""

    def __init__(self, text: str, groups: _Groups) -> None:
        self.text = text
        self.groups = groups
        self.at = self.begin = self.end = self.comment = 0

    def sees(self, what: str) -> bool:
        return self.text.startswith(what, self.at)

    @property
    def is_done(self) -> bool:
        return self.at >= len(self.text)

    def skip(self) -> None:
        """Pass over blanks and comments."""
        self.comment = self.at
        while not self.is_done:
            if self.text[self.at] in BLANKS:
                self.at += 1
            elif self.text[self.at] == "(":
                self.at = _after_comment(self.text, self.at)
            else:
                break

    def mailbox(self) -> tuple[str, bool]:
        """`a@b`, `Ann <a@b>`, `group: a@b`, or a local part alone."""
        self.skip()
        self.begin = self.at
        first = self.local_part(may_be_empty=True)
        if not (self.sees("@") or self.sees("<")):
            if self.is_done or self.sees(";"):
                if not first:
                    raise _Bad("empty address")
                self.finish(self.comment)
                return first, False
            if self.phrase():
                return self.mailbox()
        if self.sees("<"):
            return self.in_brackets()
        if not first:
            return self.routed()
        self.at += 1
        domain = self.domain(may_be_literal=True)
        self.finish(self.comment)
        return f"{first}@{domain}", True

    def phrase(self) -> bool:
        """Words up to `<`; True: they were the name of a group."""
        while not self.sees("<") and not (self.groups.may_begin and self.sees(":")):
            try:
                self.local_part()
            except _Bad as bad:
                raise _Bad(f'{bad} (expected word or "<")') from None
        if not self.sees(":"):
            return False
        self.groups.is_open, self.groups.may_begin = True, False
        self.at += 1
        return True

    def in_brackets(self) -> tuple[str, bool]:
        self.at += 1
        self.begin = self.at
        self.skip()
        is_routed = self.sees("@")
        if is_routed:
            self.route()
        address, has_domain = self.spec(">")
        if is_routed and not has_domain:
            raise _Bad("domain missing in source-routed address")
        end = self.at
        if not self.sees(">"):
            self.must_end("'>' missing at end of address", 0)
        self.at += 1
        self.skip()
        self.finish(end)
        return address, has_domain

    def routed(self) -> tuple[str, bool]:
        """`@a,@b:c@d` without brackets."""
        self.route()
        address, has_domain = self.spec("")
        if not has_domain:
            raise _Bad("domain missing in source-routed address")
        self.finish(self.comment)
        return address, True

    def must_end(self, at_end: str, back: int) -> None:
        if self.is_done:
            raise _Bad(at_end)
        rest = self.text[self.at : self.at + 32]
        raise _Bad(f"malformed address: {rest} may not follow {self.text[: self.at - back]}")

    def finish(self, end: int) -> None:
        """Nothing may follow but the end of a group."""
        self.end = end
        if self.is_done:
            return
        if self.groups.is_open and self.sees(";"):
            self.groups.close()
            return
        self.must_end("", 0)

    def spec(self, terminator: str) -> tuple[str, bool]:
        local = self.local_part()
        if self.sees(terminator) and terminator:
            return local, False
        if self.is_done and not terminator:
            return local, False
        if not self.sees("@"):
            raise _Bad(f'"@" or "." expected after "{local}"')
        self.at += 1
        return f"{local}@{self.domain()}", True

    def route(self) -> None:
        had_comma = False
        while self.sees("@"):
            self.at += 1
            self.domain()
            if not self.sees(","):
                break
            self.at += 1
            had_comma = True
            self.skip()
        if not self.sees(":"):
            raise _Bad("colon expected after route list" if had_comma else "no local part")
        self.at += 1
        self.skip()

    def local_part(self, *, may_be_empty: bool = False) -> str:
        read = ""
        while True:
            self.skip()
            before = read
            if self.sees('"'):
                quoted = _QUOTED.match(self.text, self.at)
                assert quoted is not None
                self.at = quoted.end()
                if quoted[1] is None:
                    raise _Bad("unmatched doublequote in local part")
                read += quoted[0]
            elif atom := _ATOM.match(self.text, self.at):
                self.at = atom.end()
                read += atom[0]
            self.skip()
            if read == before and not self.sees("."):
                if not read and not may_be_empty:
                    raise _Bad("missing or malformed local part")
                return read
            if not self.sees("."):
                return read
            while self.sees("."):
                read += "."
                self.at += 1

    def domain(self, *, may_be_literal: bool = False) -> str:
        """A literal is read in an address without brackets only, as in Exim."""
        self.skip()
        if self.sees("["):
            literal = _LITERAL.match(self.text, self.at)
            if not may_be_literal:
                raise _Bad("domain literals not allowed")
            if literal is None:
                raise _Bad("malformed domain literal")
            self.at = literal.end()
            self.skip()
            return literal[0]
        labels = []
        while True:
            label = _LABEL.match(self.text, self.at)
            if label is None:
                raise _Bad("domain missing or malformed")
            labels.append(label[0])
            self.at = label.end()
            self.skip()
            if not self.sees("."):
                return ".".join(labels)
            self.at += 1
            self.skip()
