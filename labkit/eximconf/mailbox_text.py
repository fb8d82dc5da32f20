"""Read one mailbox as people write it: `Ann Smith <ann@a.test> (at home)`.

WHAT       `read_mailbox` gives the address in it and where it stands, or says in Exim's words what is wrong;
           `end_of_mailbox` finds where one ends in a list with commas; `qualified` adds a domain to an address that
           has none. Header fields, redirection data, rewriting rules and the operators of expansions read by these.
STANDARDS  RFC 5322 §3.4 and its older forms, RFC 5321 §4.1.2
LIKE EXIM  comments and names go; a source route is dropped; dots may stand anywhere in a local part; quotes stay; a
           domain literal is read in an address without brackets only, unless allow_domain_literals is set
READ NEXT  field_addresses.py
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from labkit.eximconf.blanks import BLANKS

LONGEST = 256  # octets, RFC 5321 §4.5.3.1.3 and some more for quotes
EMPTY_ADDRESS = "empty address"
_ATOM = re.compile(r'(?:[^\x00-\x20\x7f()<>@,;:\\".\[\]]|\\.|\\\Z)*', re.DOTALL)
_QUOTED = re.compile(r'"(?:[^"\\]|\\.|\\\Z)*("?)', re.DOTALL)
_LABEL = re.compile(r"(?!-)[A-Za-z0-9-]*")
_UTF8_LABEL = re.compile(
    r"(?!-)(?:[A-Za-z0-9-]|[\xc0-\xdf][\x80-\xbf]|[\xe0-\xef][\x80-\xbf]{2}|[\xf0-\xf7][\x80-\xbf]{3}"
    r"|[\xf8-\xfb][\x80-\xbf]{4}|[\xfc\xfd][\x80-\xbf]{5})*"
)
_ATOM_LABEL = re.compile(r'[^\x00-\x20\x7f()<>@,;:\\".\[\]]*')
_ANY_LITERAL = re.compile(r"\[(?:IPv[46]:)?[!-Z^-~]*(\]?)", re.IGNORECASE)
_LITERAL = re.compile(r"\[(?:IPv[46]:)?[.:0-9A-Fa-f]*(\]?)", re.IGNORECASE)
_DEEPEST_BRACKETS = 5


class NoMailbox(ValueError):
    """What is wrong, in Exim's words."""


@dataclass(frozen=True, slots=True)
class MailboxText:
    """An address in its outer form; `domain`: where its domain begins, 0 if it has none.

    `start` and `end`: where it stands in the text that was read.
    """

    text: str
    domain: int = 0
    start: int = 0
    end: int = 0

    @property
    def has_domain(self) -> bool:
        return self.domain > 0


@dataclass(frozen=True, slots=True)
class Grammar:
    """What main options change: allow_domain_literals, allow_utf8_domains, strip_trailing_dot,
    strip_excess_angle_brackets. `atom_domains`: RFC 5322's domains, which are any atoms; no option of Exim's."""

    domain_literals: bool = False
    utf8_domains: bool = False
    strips_dot: bool = False
    strips_brackets: bool = False
    atom_domains: bool = False


USUAL = Grammar()


@dataclass(slots=True)
class Groups:
    """Where we are with `name: a, b;` in a header field. It goes on from mailbox to mailbox."""

    may_begin: bool = False
    is_open: bool = False

    def close(self) -> None:
        self.is_open, self.may_begin = False, True


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


def read_mailbox(
    text: str, groups: Groups | None = None, *, may_be_null: bool = False, grammar: Grammar = USUAL
) -> MailboxText:
    """Read the one mailbox that the text is. Raises NoMailbox.

    `groups`: the text stands in a header field, and groups may begin and end in it. `may_be_null`: <> is an address.
    """
    reader = _Reader(text, groups or Groups(), may_be_null, grammar)
    try:
        return reader.read()
    except NoMailbox:
        if reader.groups.is_open and reader.next == ";":
            reader.groups.close()
        raise


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
    """Stands somewhere in the text; `gap` is where it stood before it last passed over blanks and comments."""

    def __init__(self, text: str, groups: Groups, may_be_null: bool, grammar: Grammar) -> None:
        self.text = text.partition("\0")[0]
        self.groups = groups
        self.may_be_null = may_be_null
        self.grammar = grammar
        self.at = self.gap = 0

    @property
    def next(self) -> str:
        return self.text[self.at : self.at + 1]

    def read(self) -> MailboxText:
        """`a@b`, `Ann <a@b>`, `group: a@b`, or a local part alone."""
        self._skip()
        start = self.at
        local = self._local_part(may_lack=True)
        if self.next not in ("@", "<"):
            if self.next in ("", ";"):
                if not local:
                    raise NoMailbox(EMPTY_ADDRESS)
                return self._checked(local, 0, start, self.gap)
            if self._phrase():
                return self.read()
        if self.next == "<":
            return self._in_brackets()
        if not local:
            self._route()
            found, domain = self._address("")
            end = self.gap
            if not domain:
                raise NoMailbox("domain missing in source-routed address")
            return self._checked(found, domain, start, end)
        self.at += 1
        found = f"{local}@{self._domain(takes_literal=True)}"
        return self._checked(found, len(local) + 1, start, self.gap)

    def _checked(self, text: str, domain: int, start: int, end: int) -> MailboxText:
        """Nothing may follow but the end of a group."""
        if self.next == ";" and self.groups.is_open:
            self.groups.close()
        elif self.next:
            raise self._may_not_follow(self.at)
        while end > start and self.text[end - 1] in BLANKS:
            end -= 1
        if end - start > LONGEST:
            raise NoMailbox(f"address is ridiculously long: {text[:64]}...")
        return MailboxText(text, domain, start, end)

    def _may_not_follow(self, at: int) -> NoMailbox:
        return NoMailbox(f"malformed address: {self.text[at : at + 32]} may not follow {self.text[:at]}")

    def _phrase(self) -> bool:
        """A name in front of `<`. True: it was that of a group."""
        while self.next != "<" and not (self.next == ":" and self.groups.may_begin):
            try:
                self._local_part(may_lack=False)
            except NoMailbox as problem:
                raise NoMailbox(f'{problem} (expected word or "<")') from None
        if self.next == "<":
            return False
        self.groups.is_open, self.groups.may_begin = True, False
        self.at += 1
        return True

    def _in_brackets(self) -> MailboxText:
        self.at += 1
        brackets = 1
        while self.grammar.strips_brackets and self.next == "<":
            if brackets > _DEEPEST_BRACKETS:
                raise NoMailbox("angle-brackets nested too deep")
            self.at, brackets = self.at + 1, brackets + 1
        start = self.at
        self._skip()
        is_routed = self.next == "@"
        if is_routed:
            self._route()
        text, domain = "", 0
        if not (self.may_be_null and not is_routed and self.next == ">"):
            text, domain = self._address(">")
            if is_routed and not domain:
                raise NoMailbox("domain missing in source-routed address")
        end = self.at
        for _ in range(brackets):
            self.at += 1
            if self.text[self.at - 1 : self.at] != ">":
                if self.at > len(self.text):
                    raise NoMailbox("'>' missing at end of address")
                raise self._may_not_follow(self.at - 1)
        self._skip()
        return self._checked(text, domain, start, end)

    def _address(self, end: str) -> tuple[str, int]:
        """A local part with or without a domain, and where the domain begins."""
        local = self._local_part(may_lack=False)
        if self.next == end:
            return local, 0
        if self.next != "@":
            raise NoMailbox(f'"@" or "." expected after "{local}"')
        self.at += 1
        return f"{local}@{self._domain()}", len(local) + 1

    def _skip(self) -> None:
        """Pass over blanks and comments."""
        self.gap = self.at
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
        found = _QUOTED.match(self.text, self.at)
        assert found is not None, "it begins with a quote"
        self.at = found.end()
        if not found[1]:
            raise NoMailbox("unmatched doublequote in local part")
        return found[0]

    def _atom(self) -> str:
        found = _ATOM.match(self.text, self.at)
        assert found is not None, "it may be empty"
        self.at = found.end()
        return found[0]

    def _domain(self, *, takes_literal: bool = False) -> str:
        self._skip()
        if self.next == "[":
            return self._literal(takes_literal)
        domain = ""
        while True:
            label = self._label()
            self._skip()
            if not label:
                if domain and self.grammar.strips_dot and self.next != ".":
                    return domain[:-1]
                raise NoMailbox("domain missing or malformed")
            domain += label
            if self.next != ".":
                return domain
            domain += "."
            self.at += 1
            self._skip()

    def _label(self) -> str:
        usual = _UTF8_LABEL if self.grammar.utf8_domains else _LABEL
        found = (_ATOM_LABEL if self.grammar.atom_domains else usual).match(self.text, self.at)
        label = found[0] if found is not None else ""
        self.at += len(label)
        if self.grammar.utf8_domains and self.next >= "\xc0":
            raise NoMailbox("invalid UTF-8 byte sequence")
        return label

    def _literal(self, takes_any: bool) -> str:
        """`[203.0.113.9]`."""
        found = (_ANY_LITERAL if takes_any else _LITERAL).match(self.text, self.at)
        assert found is not None, "it begins with a bracket"
        self.at = found.end()
        self._skip()
        if not (takes_any or self.grammar.domain_literals):
            raise NoMailbox("domain literals not allowed")
        if not found[1]:
            raise NoMailbox("malformed domain literal")
        return found[0]

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
