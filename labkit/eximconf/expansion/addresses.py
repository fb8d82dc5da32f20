"""The addresses inside a header field: `${addresses:…}`, `${address:…}`, `${domain:…}`, `${local_part:…}`.

LIKE EXIM  comments and display names go, groups are opened, a source route is dropped; what cannot be read as an
           address is left out; an address without a domain is one.
STANDARDS  RFC 5322 §3.4; Exim specification, chapter "String expansions", operator addresses
READ NEXT  coding.py
"""

from __future__ import annotations

import re
from collections.abc import Iterator

_TOKEN = re.compile(
    r'(?P<quoted>"(?:[^"\\]|\\.)*")|(?P<comment>\()|(?P<literal>\[[^\[\]]*\])|(?P<mark>[<>@,:;.\\])|(?P<blank>\s+)'
    r'|(?P<atom>[^\s"(\[<>@,:;.\\)\]]+)|(?P<odd>.)',
    re.DOTALL,
)
_LABEL = r"[A-Za-z0-9\x80-\xff][A-Za-z0-9\x80-\xff-]*"
_DOMAIN = re.compile(rf"{_LABEL}(?:\.{_LABEL})*|\[[^\[\]]*\]")
_Tokens = list[tuple[str, str]]


def _tokens(text: str) -> _Tokens:
    """Words and marks, without comments."""
    found: _Tokens = []
    at = 0
    while at < len(text):
        token = _TOKEN.match(text, at)
        assert token is not None, "every character is a token"
        at = token.end()
        kind = token.lastgroup or "odd"
        if kind == "comment":
            at = _after_comment(text, at)
            kind = "blank"
        found.append((kind, token[0] if kind != "blank" else " "))
    return found


def _after_comment(text: str, at: int) -> int:
    depth = 1
    while at < len(text) and depth:
        if text[at] == "\\":
            at += 1
        depth += {"(": 1, ")": -1}.get(text[at : at + 1], 0)
        at += 1
    return at


def _pieces(tokens: _Tokens) -> Iterator[_Tokens]:
    """The mailboxes between commas; the name of a group and its semicolon go."""
    piece: _Tokens = []
    angle = False
    for token in tokens:
        mark = token[1] if token[0] == "mark" else ""
        angle = (angle or mark == "<") and mark != ">"
        if mark == ":" and not angle:
            piece = []
        elif mark in (",", ";") and mark and not angle:
            yield piece
            piece = []
        else:
            piece.append(token)
    yield piece


def _mailbox(tokens: _Tokens) -> str:
    """The address in one piece, or the empty text."""
    words = [token for token in tokens if token[0] != "blank"]
    if ("mark", "<") in words:
        begin = words.index(("mark", "<"))
        end = words.index(("mark", ">")) if ("mark", ">") in words else -1
        if end < begin or any(each[0] != "blank" for each in words[end + 1 :]):
            return ""
        words = words[begin + 1 : end]
        if words[:1] == [("mark", "@")] and ("mark", ":") in words:
            words = words[len(words) - words[::-1].index(("mark", ":")) :]
    local: list[str] = []
    domain: list[str] = []
    at = False
    previous = "mark"
    for kind, text in words:
        word = kind != "mark"
        if word and previous != "mark":
            return ""  # two words side by side
        if (kind, text) == ("mark", "@"):
            if at:
                return ""
            at = True
        elif kind == "odd" or (kind == "mark" and text != "."):
            return ""
        else:
            (domain if at else local).append(text)
        previous = kind
    name, host = "".join(local), "".join(domain)
    if not name or (at and not _DOMAIN.fullmatch(host)):
        return ""
    return f"{name}@{host}" if at else name


def addresses(text: str) -> list[str]:
    """All addresses of a field, in order."""
    return [found for piece in _pieces(_tokens(text)) if (found := _mailbox(piece))]


def address(text: str) -> str:
    """The one address that the text is, or nothing."""
    tokens = _tokens(text.strip())
    depth = 0
    for kind, mark in tokens:
        depth += {"<": 1, ">": -1}.get(mark, 0) if kind == "mark" else 0
        if kind == "mark" and mark in ",;:" and not depth:
            begins_route = tokens[0] == ("mark", "@")
            if not (begins_route and mark in ",:"):
                return ""
    if tokens[:1] == [("mark", "@")] and ("mark", ":") in tokens:
        tokens = tokens[len(tokens) - tokens[::-1].index(("mark", ":")) :]
    return _mailbox(tokens)


def local_part(text: str) -> str:
    return _cut(address(text))[0]


def domain(text: str) -> str:
    return _cut(address(text))[1]


def _cut(mailbox: str) -> tuple[str, str]:
    if mailbox.endswith("]") and "@[" in mailbox:
        at = mailbox.rindex("@[")
    else:
        at = mailbox.rfind("@")
    if at < 0 or mailbox.endswith('"'):
        return mailbox, ""
    return mailbox[:at], mailbox[at + 1 :]
