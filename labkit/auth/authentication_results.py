"""Read and write Authentication-Results: how a receiver reports what it has checked.

WHAT       `parse(value)` reads the body of a field, or of ARC-Authentication-Results; `write(results)` makes one,
           `lines(results)` one to be folded.
DOES       methods, results, ptypes and properties are compared without case and kept in small letters; comments are
           kept without their parentheses; quoted strings without their quotes.
TOLERANT   of what providers write: properties without a ptype (`action=none`), values with any character but blanks,
           `;` and `(`, no blank before a comment, a `;` at the end, no authserv-id. `problems` says what was odd.
SAFE       one pass, linear, no recursion. A comment or a quoted string that does not end, comments nested deeper than
           DEEPEST, or a text longer than LONGEST raise NotAuthenticationResults. Nothing is written that would begin
           another field.
STANDARDS  RFC 8601 §2.2 (syntax), §2.3 (methods with versions), appendix B; RFC 2045 §5.1 (value), RFC 5322 §3.2.2
READ NEXT  dmarc.py, arc.py
"""

from __future__ import annotations

import builtins
import re
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import NamedTuple, overload

DEEPEST = 100  # comments within comments
MOST_PROBLEMS = 20
LONGEST = 4_000_000  # characters: more than any server lets pass as a header
_BLANKS = re.compile(r"[\x00-\x20\x7f]*")
_KEYWORD = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]*|_[A-Za-z0-9_-]+")
_DIGITS = re.compile(r"[0-9]{1,9}")
_RUN = re.compile(r"[^\x00-\x20\x7f;(]*")
_COMMENT_PART = re.compile(r"[^()\\]*")
_QUOTED = re.compile(r'"((?:[^"\\]|\\.)*)"', re.DOTALL)
_ESCAPE = re.compile(r"\\(.)", re.DOTALL)
_CONTROLS = re.compile(r"[\x00-\x1f\x7f]+")
_NO_VALUE = re.compile(r"[\x00-\x20\x7f]+[A-Za-z][A-Za-z0-9_-]*\.[A-Za-z0-9_-]+=")
_FIELD_NAME = re.compile(r"\s*(?:ARC-)?Authentication-Results\s*:", re.IGNORECASE)
_PLAIN = re.compile(r"[^\x00-\x20\x7f()<>,;:\\\"/\[\]?=@]+")  # a token of RFC 2045, or the same beyond ASCII
_PLAIN_ADDRESS = re.compile(r"[^\x00-\x20\x7f()<>,;:\\\"/\[\]?@]*@[^\x00-\x20\x7f()<>,;:\\\"/\[\]?=@]+")
_INSTANCE = re.compile(r"[\x00-\x20\x7f]*i[\x00-\x20]*=[\x00-\x20]*([0-9]{1,2})[\x00-\x20]*;")
_IN_KEYWORD = re.compile(r"[A-Za-z0-9_-]+")


class NotAuthenticationResults(ValueError):
    """The text cannot be read as Authentication-Results; or what is to be written cannot be written."""


class Property(NamedTuple):
    """`smtp.mailfrom=example.net`. `ptype` is empty where a provider wrote none."""

    ptype: str
    property: str
    value: str

    @builtins.property  # its own `property` hides the other
    def name(self) -> str:
        return f"{self.ptype}.{self.property}" if self.ptype else self.property


class Properties(tuple[Property, ...]):
    """The properties in their order; `properties["smtp.mailfrom"]` is the first value of that name."""

    __slots__ = ()

    @overload  # type: ignore[override]
    def __getitem__(self, key: str) -> str: ...
    @overload
    def __getitem__(self, key: int) -> Property: ...
    @overload
    def __getitem__(self, key: slice) -> tuple[Property, ...]: ...
    def __getitem__(self, key: str | int | slice) -> str | Property | tuple[Property, ...]:
        if not isinstance(key, str):
            return super().__getitem__(key)
        value = self.get(key)
        if value is None:
            raise KeyError(key)
        return value

    @overload
    def get(self, name: str) -> str | None: ...
    @overload
    def get(self, name: str, default: str) -> str: ...
    def get(self, name: str, default: str | None = None) -> str | None:
        wanted = name.lower()
        return next((found.value for found in self if found.name == wanted), default)

    def __contains__(self, what: object) -> bool:
        return self.get(what) is not None if isinstance(what, str) else super().__contains__(what)

    def keys(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(found.name for found in self))

    def items(self) -> tuple[tuple[str, str], ...]:
        return tuple((name, self[name]) for name in self.keys())


@dataclass(frozen=True, slots=True)
class MethodResult:
    """One result: `dkim=pass (good signature) reason="..." header.d=example.net`."""

    method: str
    result: str
    reason: str = ""
    properties: Properties = field(default_factory=Properties)
    comments: tuple[str, ...] = ()
    version: int = 1

    @classmethod
    def of(
        cls, method: str, result: str, *properties: tuple[str, str], reason: str = "", comment: str = ""
    ) -> MethodResult:
        """Shorter to write: `MethodResult.of("spf", "pass", ("smtp.mailfrom", "example.net"))`."""
        named = Properties(Property(*_parted(name), value) for name, value in properties)
        return cls(method, result, reason, named, (comment,) if comment else ())


def _parted(name: str) -> tuple[str, str]:
    ptype, dot, rest = name.partition(".")
    return (ptype, rest) if dot else ("", name)


@dataclass(frozen=True, slots=True)
class AuthenticationResults:
    """What one server says. No results: it has checked nothing (`none`). `problems`: what was odd in the text.

    `instance` is the i= of ARC-Authentication-Results (RFC 8617 §4.1.1), which is else the same; 0: there is none.
    """

    authserv_id: str
    results: tuple[MethodResult, ...] = ()
    version: int = 1
    comments: tuple[str, ...] = ()
    problems: tuple[str, ...] = field(default=(), compare=False)
    instance: int = 0

    def of(self, method: str) -> tuple[MethodResult, ...]:
        """The results of one method, in their order."""
        wanted = method.lower()
        return tuple(found for found in self.results if found.method == wanted)

    def __str__(self) -> str:
        return write(self)


def parse(value: str) -> AuthenticationResults:
    """Read the body of an Authentication-Results field, folded or not. Raises NotAuthenticationResults."""
    if len(value) > LONGEST:
        raise NotAuthenticationResults(f"the text has {len(value)} characters, more than {LONGEST}")
    name = _FIELD_NAME.match(value)
    start = name.end() if name else 0
    instance = _INSTANCE.match(value, start)
    if instance is None:
        return _Reader(value, start).read()
    return replace(_Reader(value, instance.end()).read(), instance=int(instance[1]))


class _Reader:
    """Stands somewhere in the text. `comments` are those passed since they were last taken."""

    def __init__(self, text: str, at: int) -> None:
        self.text = text
        self.at = at
        self.comments: list[str] = []
        self.problems: list[str] = []

    @property
    def next(self) -> str:
        return self.text[self.at : self.at + 1]

    def _note(self, problem: str) -> None:
        if len(self.problems) < MOST_PROBLEMS:
            self.problems.append(problem)

    def read(self) -> AuthenticationResults:
        authserv_id, version = self._head()
        comments = self._taken()
        results: list[MethodResult] = []
        says_none = False
        while self.next == ";":
            self.at += 1
            self._skip()
            if self.next in ("", ";"):
                continue
            if self._is_none():
                says_none = True
            elif (found := self._result()) is not None:
                results.append(found)
            self._to_semicolon()
        if not authserv_id and not results:
            raise NotAuthenticationResults("there is neither a server's name nor a result in the text")
        if says_none and results:
            self._note('"none" stands beside results')
        return AuthenticationResults(
            authserv_id, tuple(results), version, comments + self._taken(), tuple(self.problems)
        )

    def _head(self) -> tuple[str, int]:
        """`example.org 1`: the name of the server and the version. Without the name, we stand before a result."""
        start = self.at
        self._skip()
        is_quoted = self.next == '"'
        name = self._value()
        self._skip()
        if not name or ("=" in name and not is_quoted) or self.next == "=":
            self._note("no authserv-id: the field begins with a result" if name else "no authserv-id")
            self.text, self.at = f";{self.text[start:]}", 0
            self.comments.clear()
            return "", 1
        digits = _DIGITS.match(self.text, self.at)
        version = 1
        if digits is not None:
            version, self.at = int(digits[0]), digits.end()
            self._skip()
        if self.next not in ("", ";"):
            self._note(f"unknown words behind {name}")
            self._to_semicolon()
        return name, version

    def _is_none(self) -> bool:
        """Is this piece the word `none`, which is no method?"""
        word = _KEYWORD.match(self.text, self.at)
        if word is None or word[0].lower() != "none":
            return False
        start, self.at = self.at, word.end()
        self._skip()
        if self.next in ("", ";"):
            return True
        self.at = start
        return False

    def _result(self) -> MethodResult | None:
        """`dkim/1=pass ...`, or None and a problem."""
        start = self.at
        method, version = self._keyword(), 1
        if method and self.next == "/":
            self.at += 1
            self._skip()
            digits = _DIGITS.match(self.text, self.at)
            if digits is not None:
                version, self.at = int(digits[0]), digits.end()
                self._skip()
        if not method or self.next != "=":
            self._unreadable(start)
            return None
        self.at += 1
        self._skip()
        result = self._keyword()
        if not result:
            self._unreadable(start)
            return None
        reason, properties = self._details()
        return MethodResult(method, result, reason, properties, self._taken(), version)

    def _unreadable(self, start: int) -> None:
        self._note(f"no result can be read in {self.text[start : start + 40]!r}")
        self.at = start

    def _details(self) -> tuple[str, Properties]:
        """What follows a result: reason= and properties, in any order."""
        reason, found = "", []
        while self.next not in ("", ";"):
            start = self.at
            ptype, name = "", self._keyword()
            if name and self.next == ".":
                self.at += 1
                self._skip()
                ptype, name = name, self._keyword()
            if not name or self.next != "=":
                self._pass_over(start)
                continue
            self.at += 1
            value = "" if _NO_VALUE.match(self.text, self.at) else self._property_value()
            if name == "reason" and not ptype:
                reason = value
            else:
                found.append(Property(ptype, name, value))
            self._skip()
        return reason, Properties(found)

    def _pass_over(self, start: int) -> None:
        """A word that is no property: on to the next blank."""
        self.at = start
        self._value()
        self.at = max(self.at, start + 1)
        self._note(f"no property: {self.text[start : min(self.at, start + 40)]!r}")
        self._skip()

    def _property_value(self) -> str:
        """A value; `local part @ domain` may have blanks and comments around its @ (RFC 5322 §3.4.1)."""
        self._skip()
        value = self._value()
        end = self.at
        kept = len(self.comments)
        self._skip()
        if value and self.next == "@" and "@" not in value:
            self.at += 1
            self._skip()
            return f"{value}@{self._value()}"
        self.at = end
        del self.comments[kept:]
        return value

    def _value(self) -> str:
        """A quoted string, or everything up to a blank, a comment or `;`."""
        if self.next != '"':
            return self._run()
        found = _QUOTED.match(self.text, self.at)
        if found is None:
            raise NotAuthenticationResults(
                f"a quoted string does not end: {self.text[self.at : self.at + 40]!r}"
            )
        self.at = found.end()
        if self.next == "@":  # the local part is quoted: its quotes belong to the address
            return _CONTROLS.sub(" ", found[0]) + self._run()
        return _CONTROLS.sub(" ", _ESCAPE.sub(r"\1", found[1].replace("\r\n", "")))

    def _run(self) -> str:
        found = _RUN.match(self.text, self.at)
        assert found is not None, "it may be empty"
        self.at = found.end()
        return found[0]

    def _keyword(self) -> str:
        """A keyword in small letters, and what stands behind it is passed over."""
        found = _KEYWORD.match(self.text, self.at)
        if found is None:
            return ""
        self.at = found.end()
        self._skip()
        return found[0].lower()

    def _skip(self) -> None:
        """Pass over blanks and comments."""
        while True:
            found = _BLANKS.match(self.text, self.at)
            assert found is not None, "it may be empty"
            self.at = found.end()
            if self.next != "(":
                return
            self.comments.append(self._comment())

    def _comment(self) -> str:
        depth, parts, at, text = 0, [], self.at, self.text
        while at < len(text):
            char = text[at]
            if char == "\\":
                parts.append(text[at + 1 : at + 2])
                at += 2
            elif char == "(":
                depth += 1
                if depth > DEEPEST:
                    raise NotAuthenticationResults(f"comments are nested deeper than {DEEPEST}")
                parts.append(char if depth > 1 else "")
                at += 1
            elif char == ")":
                depth -= 1
                at += 1
                if depth == 0:
                    self.at = at
                    return _CONTROLS.sub(" ", "".join(parts).replace("\r\n", "")).strip()
                parts.append(char)
            else:
                found = _COMMENT_PART.match(text, at)
                assert found is not None and found.end() > at
                parts.append(found[0])
                at = found.end()
        raise NotAuthenticationResults(f"a comment does not end: {text[self.at : self.at + 40]!r}")

    def _to_semicolon(self) -> None:
        """On to the next `;` that is in no comment and in no quoted string."""
        self._skip()
        while self.next not in ("", ";"):
            at = self.at
            self._value()
            self.at = max(self.at, at + 1)
            self._skip()

    def _taken(self) -> tuple[str, ...]:
        comments = tuple(self.comments)
        self.comments.clear()
        return comments


def write(results: AuthenticationResults) -> str:
    """The body of the field, in one line. Raises NotAuthenticationResults for what no field may hold."""
    return " ".join(lines(results))


def lines(results: AuthenticationResults) -> list[str]:
    """The same in pieces, one for each result: `HeaderField.make("Authentication-Results", *lines(results))`."""
    version = f" {results.version}" if results.version != 1 else ""
    instance = f"i={results.instance}; " if results.instance else ""
    head = f"{instance}{_as_value(results.authserv_id)}{version}{_as_comments(results.comments)}"
    pieces = [head, *map(_as_result, results.results)] if results.results else [head, "none"]
    return [*(f"{piece};" for piece in pieces[:-1]), pieces[-1]]


def _as_result(found: MethodResult) -> str:
    version = f"/{found.version}" if found.version != 1 else ""
    reason = f" reason={_as_value(found.reason)}" if found.reason else ""
    properties = "".join(f" {_as_property(one)}" for one in found.properties)
    head = f"{_as_keyword(found.method)}{version}={_as_keyword(found.result)}"
    return f"{head}{_as_comments(found.comments)}{reason}{properties}"


def _as_property(one: Property) -> str:
    ptype = f"{_as_keyword(one.ptype)}." if one.ptype else ""
    return f"{ptype}{_as_keyword(one.property)}={_as_value(one.value)}"


def _as_keyword(text: str) -> str:
    if not _IN_KEYWORD.fullmatch(text):
        raise NotAuthenticationResults(f"{text!r} is no word of letters, digits, - and _")
    return text


def _as_value(text: str) -> str:
    _refuse_controls(text)
    if _PLAIN.fullmatch(text) or _PLAIN_ADDRESS.fullmatch(text):
        return text
    local, at, domain = text.rpartition("@")
    if at and _PLAIN.fullmatch(domain) and _QUOTED.fullmatch(local):
        return text
    escaped = re.sub(r'(["\\])', r"\\\1", text)
    return f'"{escaped}"'


def _as_comments(comments: Sequence[str]) -> str:
    return "".join(f" ({_as_comment(text)})" for text in comments)


def _as_comment(text: str) -> str:
    _refuse_controls(text)
    escaped = text.replace("\\", "\\\\")
    return escaped if _is_balanced(text) else re.sub(r"([()])", r"\\\1", escaped)


def _is_balanced(text: str) -> bool:
    depth = deepest = 0
    for mark in re.findall(r"[()]", text):
        depth += 1 if mark == "(" else -1
        deepest = max(deepest, depth)
        if depth < 0:
            return False
    return depth == 0 and deepest < DEEPEST


def _refuse_controls(text: str) -> None:
    if found := _CONTROLS.search(text):
        raise NotAuthenticationResults(
            f"a control character {found[0][:1]!r} in {text[:40]!r}: no field may hold it"
        )
