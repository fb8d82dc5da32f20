"""Read and write Authentication-Results: how a receiver reports what it has checked.

WHAT       `parse(value)` reads the body of a field, or of ARC-Authentication-Results; `write(results)` makes one,
           `lines(results)` one to be folded.
DOES       methods, results, ptypes and properties are compared without case and kept in small letters; comments are
           kept without their parentheses; quoted strings without their quotes.
TOLERANT   of what providers write: properties without a ptype (`action=none`), values with any character but blanks,
           `;` and `(`, no blank before a comment, a `;` at the end, no authserv-id. `problems` says what was odd.
SAFE       what cannot be read raises NotAuthenticationResults; nothing is written that would begin another field
STANDARDS  RFC 8601 §2.2 (syntax), §2.3 (methods with versions), appendix B; RFC 2045 §5.1 (value), RFC 5322 §3.2.2
READ NEXT  authentication_results_reader.py, dmarc.py
"""

from __future__ import annotations

import builtins
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple, overload

DEEPEST = 100  # comments within comments
QUOTED = re.compile(r'"((?:[^"\\]|\\.)*)"', re.DOTALL)
CONTROLS = re.compile(r"[\x00-\x1f\x7f]+")
_PLAIN = re.compile(r"[^\x00-\x20\x7f()<>,;:\\\"/\[\]?=@]+")  # a token of RFC 2045, or the same beyond ASCII
_PLAIN_ADDRESS = re.compile(r"[^\x00-\x20\x7f()<>,;:\\\"/\[\]?@]*@[^\x00-\x20\x7f()<>,;:\\\"/\[\]?=@]+")
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
    from labkit.auth.authentication_results_reader import read  # it makes the values of this module

    return read(value)


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
    if at and _PLAIN.fullmatch(domain) and QUOTED.fullmatch(local):
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
    if found := CONTROLS.search(text):
        raise NotAuthenticationResults(
            f"a control character {found[0][:1]!r} in {text[:40]!r}: no field may hold it"
        )
