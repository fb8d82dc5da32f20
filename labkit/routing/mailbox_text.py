"""Read one mailbox as people write it: `Ann Smith <ann@a.test> (at home)`.

WHAT       read_mailbox gives the address in it, or says in Exim's words what is wrong; end_of_mailbox finds where one
           ends in a list with commas;
           qualified adds a domain to an address that has none.
STANDARDS  RFC 5322 §3.4 and its older forms
LIKE EXIM  comments and names go; a source route is dropped; dots may stand anywhere in a local part; quotes stay
NOT HERE   groups (`friends: a@b;`) and domains outside ASCII
READ NEXT  redirect_data.py
"""

from __future__ import annotations

from dataclasses import dataclass

from labkit.eximconf.blanks import BLANKS

LONGEST = 256  # octets, RFC 5321 §4.5.3.1.3 and some more for quotes
_SPECIAL = frozenset('()<>@,;:\\".[] \x7f') | frozenset(map(chr, range(32)))


class NoMailbox(ValueError):
    """What is wrong, in Exim's words."""


@dataclass(frozen=True, slots=True)
class MailboxText:
    """An address in its outer form, and whether it has a domain."""

    text: str
    has_domain: bool


def end_of_mailbox(text: str, start: int, *, line_ends: bool) -> int:
    """Where the mailbox that begins at `start` ends: at a comma, or at the end of a line if `line_ends`."""
    at = start
    is_routed = text.startswith("@", at)
    open_marks = 1 if is_routed else 0
    while at < len(text):
        char = text[at]
        if (char == "," and open_marks <= 0) or (char == "\n" and line_ends):
            break
        if char == "\\" and at + 1 < len(text):
            at += 2
        elif char == '"':
            at = _after_quotes(text, at, line_ends)
        elif char == "(":
            at = _after_comment(text, at, line_ends)
        else:
            if char == "<":
                is_routed = text.startswith("@", at + 1)
                open_marks = 2 if is_routed else 1
            elif char == ">" or (is_routed and char == ":"):
                open_marks -= 1
            at += 1
    return at


def _after_quotes(text: str, at: int, line_ends: bool) -> int:
    at += 1
    while at < len(text) and not (line_ends and text[at] == "\n"):
        if text[at] == "\\" and at + 1 < len(text):
            at += 1
        elif text[at] == '"':
            return at + 1
        at += 1
    return at


def _after_comment(text: str, at: int, line_ends: bool) -> int:
    level, at = 1, at + 1
    while at < len(text) and not (line_ends and text[at] == "\n"):
        if text[at] == "\\" and at + 1 < len(text):
            at += 1
        else:
            level += {"(": 1, ")": -1}.get(text[at], 0)
            if level <= 0:
                return at + 1
        at += 1
    return at


def read_mailbox(text: str) -> MailboxText:
    """Read the one mailbox that the text is. Raises NoMailbox."""
    return _Reader(text).read()


def qualified(text: str, domain: str) -> str:
    """The address with a domain: its own, or this one."""
    if '"' not in text and "\\" not in text:
        return text if "@" in text else f"{text}@{domain}"
    return text if _has_at(text) else f"{text}@{domain}"


def _has_at(text: str) -> bool:
    """Is there an @ that parts local part and domain? As Exim looks for it: from the end, up to a quote."""
    for at in range(len(text) - 1, -1, -1):
        if text[at] == '"':
            return False
        if text[at] == "@":
            escapes, before = 0, at - 1
            while before > 0 and text[before] == "\\":
                escapes, before = escapes + 1, before - 1
            if escapes % 2 == 0:
                return True
    return False


class _Reader:
    def __init__(self, text: str) -> None:
        self.text = text.partition("\0")[0]
        self.at = 0

    @property
    def next(self) -> str:
        return self.text[self.at : self.at + 1]

    def read(self) -> MailboxText:
        self._skip()
        start = self.at
        local = self._local_part(may_lack=True)
        if self.next not in ("@", "<"):
            if self.next in ("", ";"):
                if not local:
                    raise NoMailbox("empty address")
                return self._checked(MailboxText(local, False), start)
            self._phrase()
        if self.next == "<":
            return self._checked(self._in_brackets(), start)
        if not local:
            self._route()
            found = self._address("")
            if not found.has_domain:
                raise NoMailbox("domain missing in source-routed address")
            return self._checked(found, start)
        self.at += 1
        return self._checked(MailboxText(f"{local}@{self._domain(takes_literal=True)}", True), start)

    def _checked(self, found: MailboxText, start: int) -> MailboxText:
        if self.next:
            raise self._may_not_follow(self.at)
        if self.at - start > LONGEST:
            raise NoMailbox(f"address is ridiculously long: {found.text[:64]}...")
        return found

    def _may_not_follow(self, at: int) -> NoMailbox:
        return NoMailbox(f"malformed address: {self.text[at : at + 32]} may not follow {self.text[:at]}")

    def _phrase(self) -> None:
        """A name in front of `<`."""
        while self.next != "<":
            try:
                self._local_part(may_lack=False)
            except NoMailbox as problem:
                raise NoMailbox(f'{problem} (expected word or "<")') from None

    def _in_brackets(self) -> MailboxText:
        self.at += 1
        self._skip()
        is_routed = self.next == "@"
        if is_routed:
            self._route()
        found = self._address(">")
        if is_routed and not found.has_domain:
            raise NoMailbox("domain missing in source-routed address")
        if self.next != ">":
            if not self.next:
                raise NoMailbox("'>' missing at end of address")
            raise self._may_not_follow(self.at)
        self.at += 1
        self._skip()
        return found

    def _address(self, end: str) -> MailboxText:
        local = self._local_part(may_lack=False)
        if self.next == end:
            return MailboxText(local, False)
        if self.next != "@":
            raise NoMailbox(f'"@" or "." expected after "{local}"')
        self.at += 1
        return MailboxText(f"{local}@{self._domain()}", True)

    def _skip(self) -> None:
        """Pass over blanks and comments."""
        while self.next and (self.next in BLANKS or self.next == "("):
            self.at = self.at + 1 if self.next != "(" else _after_comment(self.text, self.at, False)

    def _local_part(self, *, may_lack: bool) -> str:
        local = ""
        while True:
            self._skip()
            word = self._quoted() if self.next == '"' else self._atom()
            local += word
            self._skip()
            if not word and self.next != ".":
                if not local and not may_lack:
                    raise NoMailbox("missing or malformed local part")
                return local
            if self.next != ".":
                return local
            while self.next == ".":
                local += "."
                self.at += 1

    def _quoted(self) -> str:
        start = self.at
        self.at += 1
        while self.next and self.next != '"':
            self.at += 2 if self.next == "\\" and self.at + 1 < len(self.text) else 1
        if not self.next:
            raise NoMailbox("unmatched doublequote in local part")
        self.at += 1
        return self.text[start : self.at]

    def _atom(self) -> str:
        start = self.at
        while self.next and (self.next not in _SPECIAL or self.next == "\\"):
            self.at += 2 if self.next == "\\" and self.at + 1 < len(self.text) else 1
        return self.text[start : self.at]

    def _domain(self, *, takes_literal: bool = False) -> str:
        self._skip()
        if self.next == "[":
            return self._literal(takes_literal)
        domain = ""
        while True:
            start = self.at
            if self.next != "-":
                while self.next and self.next.isascii() and (self.next.isalnum() or self.next == "-"):
                    self.at += 1
            label = self.text[start : self.at]
            self._skip()
            if not label:
                raise NoMailbox("domain missing or malformed")
            domain += label
            if self.next != ".":
                return domain
            domain += "."
            self.at += 1
            self._skip()

    def _literal(self, is_taken: bool) -> str:
        """`[203.0.113.9]`: read where Exim reads it, though nothing routes it."""
        start = self.at
        self.at += 1
        while self.next and "!" <= self.next <= "~" and self.next not in "[]\\":
            self.at += 1
        if not is_taken:
            raise NoMailbox("domain literals not allowed")
        if self.next != "]":
            raise NoMailbox("malformed domain literal")
        self.at += 1
        literal = self.text[start : self.at]
        self._skip()
        return literal

    def _route(self) -> None:
        """`@a,@b:` in front of an address: read and dropped."""
        has_commas = False
        while self.next == "@":
            self.at += 1
            self._domain()
            if self.next != ",":
                break
            has_commas = True
            self.at += 1
            self._skip()
        if self.next != ":":
            raise NoMailbox("colon expected after route list" if has_commas else "no local part")
        self.at += 1
        self._skip()
