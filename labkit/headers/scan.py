"""Cut the text of a structured field into tokens, whatever it holds.

WHAT       `tokens(text)`: words, quoted strings, comments (nested ones belong to the outer), and the signs ; and ,
SAFE       one pass and no recursion: a million open brackets cost what a million letters cost. A quote or a comment
           that never ends: the quote is a letter, the comment goes to the end.
STANDARDS  RFC 5322 §3.2.2 (comments), §3.2.4 (quoted strings), RFC 5321 §4.4 (CFWS between the clauses of Received)
READ NEXT  received.py
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import Enum


class Sort(Enum):
    WORD = 1
    QUOTED = 2
    COMMENT = 3
    SIGN = 4


@dataclass(frozen=True, slots=True)
class Token:
    """`text` is without the brackets of a comment and without the quotes of a string; it begins at `start`."""

    sort: Sort
    text: str
    start: int


_NEXT = re.compile(r'[^\s()";,]+|[^\s]', re.ASCII)
_BRACKET = re.compile(r"[()\\]")
_QUOTE = re.compile(r'["\\]')
_PAIR = re.compile(r"\\(.)", re.DOTALL)


def tokens(text: str) -> list[Token]:
    """All tokens, in order. Every letter that is no blank belongs to one of them."""
    found: list[Token] = []
    at, quotes_end = 0, True
    while (piece := _NEXT.search(text, at)) is not None:
        start, sign = piece.start(), piece[0]
        if sign == "(":
            at = end_of_comment(text, start)
            inside = text[start + 1 : at - 1] if text[at - 1] == ")" else text[start + 1 : at]
            found.append(Token(Sort.COMMENT, inside.strip(), start))
            continue
        if sign == '"' and quotes_end:
            end = _end_of_quote(text, start)
            if end:
                found.append(Token(Sort.QUOTED, unquoted(text[start + 1 : end - 1]), start))
                at = end
                continue
            quotes_end = False  # no later one is looked for: each search would go to the end
        found.append(Token(Sort.SIGN if sign in (";", ",") else Sort.WORD, sign, start))
        at = piece.end()
    return found


def end_of_comment(text: str, start: int) -> int:
    """Where the comment that begins at `start` is over; the end of the text if it never is."""
    depth, at = 0, start
    while (sign := _BRACKET.search(text, at)) is not None:
        at = sign.end()
        if sign[0] == "\\":
            at += 1
        elif sign[0] == "(":
            depth += 1
        else:
            depth -= 1
            if depth == 0:
                return at
    return len(text)


def _end_of_quote(text: str, start: int) -> int:
    at = start + 1
    while (sign := _QUOTE.search(text, at)) is not None:
        if sign[0] == '"':
            return sign.end()
        at = sign.end() + 1
    return 0


def unquoted(text: str) -> str:
    """A quoted string's content with its quoted pairs resolved (RFC 5322 §3.2.1)."""
    return _PAIR.sub(r"\1", text) if "\\" in text else text


def without_comments(text: str) -> str:
    """The text with a blank for each comment. A quoted string keeps its brackets."""
    if "(" not in text:
        return text
    out: list[str] = []
    at = 0
    for token in tokens(text):
        if token.sort is Sort.COMMENT:
            out.append(text[at : token.start])
            at = end_of_comment(text, token.start)
    return " ".join([*out, text[at:]])
