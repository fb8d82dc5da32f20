"""Read the body of an Authentication-Results field, whoever wrote it.

WHAT       `read(value)`, the way of authentication_results.parse.
SAFE       one pass, linear, no recursion. A comment or a quoted string that does not end, comments nested deeper than
           DEEPEST, or a text longer than LONGEST raise NotAuthenticationResults.
STANDARDS  RFC 8601 §2.2, RFC 5322 §3.2.2 (comments), RFC 2045 §5.1 (values)
READ NEXT  dmarc.py
"""

from __future__ import annotations

import re
from dataclasses import replace

from labkit.auth.authentication_results import (
    CONTROLS,
    DEEPEST,
    QUOTED,
    AuthenticationResults,
    MethodResult,
    NotAuthenticationResults,
    Properties,
    Property,
)

MOST_PROBLEMS = 20
MOST_PIECES = 50_000  # between semicolons
LONGEST = 4_000_000  # characters: more than any server lets pass as a header
_BLANKS = re.compile(r"[\x00-\x20\x7f]*")
_KEYWORD = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]*|_[A-Za-z0-9_-]+")
_DIGITS = re.compile(r"[0-9]{1,9}")
_FOLDED = re.compile(r"\r?\n(?=[ \t])")
_NOT_SEMICOLON = re.compile(
    r'(?:[\x00-\x20\x7f]+|"(?:[^"\\]|\\.)*"|[^\x00-\x20\x7f;("][^\x00-\x20\x7f;(]*)+', re.DOTALL
)
_RUN = re.compile(r"[^\x00-\x20\x7f;(]*")
_COMMENT_PART = re.compile(r"[^()\\]*")
_ESCAPE = re.compile(r"\\(.)", re.DOTALL)
_NO_VALUE = re.compile(r"[\x00-\x20\x7f]+[A-Za-z][A-Za-z0-9_-]*\.[A-Za-z0-9_-]+=")
_FIELD_NAME = re.compile(r"\s*(?:ARC-)?Authentication-Results\s*:", re.IGNORECASE)
_INSTANCE = re.compile(r"[\x00-\x20\x7f]*i[\x00-\x20]*=[\x00-\x20]*([0-9]{1,2})[\x00-\x20]*;")


def read(value: str) -> AuthenticationResults:
    """The results in the text. Raises NotAuthenticationResults."""
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
        pieces = 0
        while self.next == ";":
            if (pieces := pieces + 1) > MOST_PIECES:
                del self.problems[MOST_PROBLEMS - 1 :]
                self._note(f"what follows the first {MOST_PIECES} semicolons is not read")
                break
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
        if not says_none and not results:
            self._note('there is neither a result nor "none"')
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
        found = QUOTED.match(self.text, self.at)
        if found is None:
            raise NotAuthenticationResults(
                f"a quoted string does not end: {self.text[self.at : self.at + 40]!r}"
            )
        self.at = found.end()
        if self.next == "@":  # the local part is quoted: its quotes belong to the address
            return CONTROLS.sub(" ", found[0]) + self._run()
        return CONTROLS.sub(" ", _ESCAPE.sub(r"\1", _FOLDED.sub("", found[1])))

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
                    return CONTROLS.sub(" ", _FOLDED.sub("", "".join(parts))).strip()
                parts.append(char)
            else:
                found = _COMMENT_PART.match(text, at)
                assert found is not None and found.end() > at
                parts.append(found[0])
                at = found.end()
        raise NotAuthenticationResults(f"a comment does not end: {text[self.at : self.at + 40]!r}")

    def _to_semicolon(self) -> None:
        """On to the next `;` that is in no comment and in no quoted string."""
        while True:
            if found := _NOT_SEMICOLON.match(self.text, self.at):
                self.at = found.end()
            if self.next in ("", ";"):
                return
            if self.next == '"':
                self._value()  # it does not end, and this says so
            self._skip()

    def _taken(self) -> tuple[str, ...]:
        comments = tuple(self.comments)
        self.comments.clear()
        return comments
