"""Make a text that may stand beside `<address>`: quoted where RFC 5322 wants quotes, encoded where it is no ASCII.

LIKE EXIM  quotes and comments that are there stay; if a special character stands outside of them, all in front of it
           is quoted with it, up to the next quotes
STANDARDS  RFC 5322 §3.2.5 (phrase), RFC 2047
READ NEXT  fields.py
"""

from __future__ import annotations

from labkit.eximconf.blanks import BLANKS
from labkit.eximconf.expansion.coding import rfc2047

_SPECIALS = ")<>@,;:\\.[]"


def fixed_phrase(text: str) -> str:
    """The text as a valid phrase, with comments perhaps."""
    text = text.lstrip(BLANKS)
    if any((char < " " and char != "\t") or char > "~" for char in text):
        return rfc2047(text)
    return _Phrase(text).fixed() if text else ""


class _Phrase:
    def __init__(self, text: str) -> None:
        self.text = text
        self.at = 0
        self.made = ""
        self.has_quotes = False

    @property
    def is_done(self) -> bool:
        return self.at >= len(self.text)

    def take(self) -> str:
        self.at += 1
        return self.text[self.at - 1]

    def fixed(self) -> str:
        while not self.is_done:
            char = self.take()
            if char == '"':
                if not self.copy_quoted():
                    break
            elif char == "(":
                self.copy_comment()
            elif char in _SPECIALS:
                if self.has_quotes:
                    self.quote_word(char)
                else:
                    self.quote_all(char)
            else:
                self.made += char
        return self.made

    def copy_quoted(self) -> bool:
        """Copy what stands in quotes. False: that was the end."""
        self.made += '"'
        while not self.is_done and (char := self.take()) != '"':
            self.made += char
            if char == "\\" and not self.is_done:
                self.made += self.take()
        self.made += '"'
        if self.is_done:
            return False
        self.has_quotes = True
        return True

    def copy_comment(self) -> None:
        level = 1
        self.made += "("
        while not self.is_done:
            char = self.take()
            self.made += char
            if char == "(":
                level += 1
            elif char == ")":
                level -= 1
                if level <= 0:
                    break
            elif char == "\\" and not self.is_done:
                self.made += self.take()
            elif char == '"':
                self.has_quotes = True

    def quote_word(self, char: str) -> None:
        """There were quotes before: only the word with the special character gets some."""
        start = max(self.made.rfind(mark) for mark in ' ")') + 1
        self.made = f'{self.made[:start]}"{self.made[start:]}{char}'
        while not self.is_done and self.text[self.at] not in ' "':
            self.made += self.take()
        self.made += '"'

    def quote_all(self, char: str) -> None:
        """Quote all that is there, and what follows up to the next quotes, or a comment with quotes in it."""
        self.made = f'"{self.made}{char}'
        is_escaped = char == "\\"
        while not self.is_done:
            char = self.take()
            if is_escaped or char == "\\":
                self.made += char
                is_escaped = not is_escaped
            elif char == '"':
                self.end_quotes()
                self.at -= 1
                break
            elif char == "(" and self.comment_has_quotes():
                self.has_quotes = True
                self.end_quotes()
                self.at -= 1
                break
            elif char == "(":
                self.made += f"({self.rest_of_comment()}"
            else:
                self.made += char
        if self.is_done:
            self.made += '"'

    def end_quotes(self) -> None:
        bare = self.made.rstrip(" ")
        self.made = f'{bare}"{self.made[len(bare) :]}'

    def rest_of_comment(self) -> str:
        start, self.at = self.at, self.end_of_comment()[0]
        return self.text[start : self.at]

    def comment_has_quotes(self) -> bool:
        return self.end_of_comment()[1]

    def end_of_comment(self) -> tuple[int, bool]:
        """Where the comment ends, and whether a quote comes before that."""
        at, level = self.at, 1
        while at < len(self.text):
            char = self.text[at]
            at += 1
            level += {"(": 1, ")": -1}.get(char, 0)
            if level <= 0:
                return at, False
            if char == "\\" and at + 1 < len(self.text):
                at += 1
            elif char == '"':
                return at, True
        return at - 1, False
