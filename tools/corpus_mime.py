"""The MIME of the corpus' letters: encoded words, quoted-printable, base64, multipart, a small HTML.

WHAT       `body_of(parts, dice)` gives the Content-* fields and the octets of a body, lines ending in CR LF.
RULES      The skin of the HTML, the charset and the encoding are drawn with the same dice for ham and spam.
STANDARDS  RFC 2045 §6.7-6.8, RFC 2046 §5.1, RFC 2047, RFC 5545 (a small invitation)
READ NEXT  corpus_letter.py
"""

from __future__ import annotations

import base64
import re
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import blake2b
from html import escape

from corpus_template import Dice

WIDTH = 72
_SPECIAL = re.compile(r"\[(link|image) ([^\]]*?) -> ([^\]\s]+)\]")
_ADDRESS = re.compile(r"https?://[^\s<>\")]+[^\s<>\").,;:!?]")
_QUOTE = re.compile(r"[> ]*> ?")


@dataclass(frozen=True)
class Part:
    """`plain` and `html` have the lines of the text; `file` has its name, who gets it, and a time."""

    kind: str
    lines: Sequence[str]


def unstructured(text: str, dice: Dice) -> str:
    """A Subject's text: as it is in ASCII, in encoded words otherwise (RFC 2047)."""
    if text.isascii():
        return "\r\n ".join(textwrap.wrap(text, WIDTH, break_long_words=False, break_on_hyphens=False))
    charset = _charset(text, dice)
    return "\r\n ".join(
        _encoded_word(piece, charset) for piece in textwrap.wrap(text, 28, drop_whitespace=False)
    )


def address(name: str, mailbox: str) -> str:
    """`Name <mailbox>`, the name quoted or encoded where it must be."""
    if not name:
        return mailbox
    if not name.isascii():
        return f"{_encoded_word(name, 'utf-8')} <{mailbox}>"
    return f'"{name}" <{mailbox}>' if re.search(r"[^\w ]", name) else f"{name} <{mailbox}>"


def body_of(parts: Sequence[Part], dice: Dice) -> tuple[list[str], bytes]:
    """Content-* fields for the header, and the octets after the empty line."""
    made = [_leaf(part, dice) for part in parts if part.kind != "file"]
    head, body = made[0] if len(made) == 1 else _multipart("alternative", made, dice)
    files = [_leaf(part, dice) for part in parts if part.kind == "file"]
    return _multipart("mixed", [(head, body), *files], dice) if files else (head, body)


def _leaf(part: Part, dice: Dice) -> tuple[list[str], bytes]:
    if part.kind == "file":
        return _file(part.lines, dice)
    text = _plain(part.lines) if part.kind == "plain" else _html(part.lines, dice)
    charset = _charset(text, dice)
    encoding = dice.one(("quoted-printable", "quoted-printable", "base64", "8bit"))
    if text.isascii():
        encoding = dice.one((*("7bit",) * 6, "quoted-printable", "base64"))
    octets = text.encode(charset)
    if encoding == "base64":
        octets = _base64(octets)
    elif encoding == "quoted-printable":
        octets = _quoted_printable(octets)
    else:
        octets = octets.replace(b"\n", b"\r\n")
    return [
        f"Content-Type: text/{part.kind}; charset={charset}",
        f"Content-Transfer-Encoding: {encoding}",
    ], octets


def _multipart(kind: str, parts: Sequence[tuple[list[str], bytes]], dice: Dice) -> tuple[list[str], bytes]:
    boundary = f"=-{dice.one(('part', 'next', 'b1', 'mix'))}_{dice.digits(12)}"
    pieces = []
    for head, body in parts:
        pieces.append(f"--{boundary}\r\n".encode() + "\r\n".join([*head, "", ""]).encode("ascii") + body)
        if not body.endswith(b"\r\n"):
            pieces.append(b"\r\n")
    pieces.append(f"--{boundary}--\r\n".encode())
    return [f'Content-Type: multipart/{kind};\r\n boundary="{boundary}"'], b"".join(pieces)


def _file(lines: Sequence[str], dice: Dice) -> tuple[list[str], bytes]:
    """A small file: an invitation, or octets that look like the beginning of a document."""
    name, guest, instant = lines
    if name.endswith(".ics"):
        octets = "\r\n".join(
            [
                "BEGIN:VCALENDAR",
                "VERSION:2.0",
                "PRODID:-//lab.test//corpus//EN",
                "METHOD:REQUEST",
                "BEGIN:VEVENT",
                f"UID:{dice.digits(12)}@lab.test",
                f"DTSTAMP:{instant}",
                f"DTSTART:{instant}",
                f"ATTENDEE:mailto:{guest}",
                "END:VEVENT",
                "END:VCALENDAR",
                "",
            ]
        ).encode()
        kind = "text/calendar; charset=utf-8; method=REQUEST"
    else:
        noise = blake2b(dice.digits(12).encode()).digest() * 2
        octets = b"%PDF-1.4\n" + noise if name.endswith(".pdf") else b"PK\x03\x04" + noise
        kind = "application/pdf" if name.endswith(".pdf") else "application/octet-stream"
    return [
        f'Content-Type: {kind}; name="{name}"'
        if len(name) < 30
        else f'Content-Type: {kind};\r\n name="{name}"',
        f'Content-Disposition: attachment; filename="{name}"',
        "Content-Transfer-Encoding: base64",
    ], _base64(octets)


def _plain(lines: Sequence[str]) -> str:
    folded: list[str] = []
    for line in lines:
        text = _SPECIAL.sub(
            lambda found: f"{found[2]}: {found[3]}" if found[1] == "link" else f"[{found[2]}]", line
        )
        quote = _QUOTE.match(text)
        indent = quote[0] if quote else "  " if text.startswith(("* ", "- ")) else ""
        if text.startswith("  ") or len(text) <= WIDTH:
            folded.append(text)
        else:
            folded += textwrap.wrap(
                text, WIDTH, subsequent_indent=indent, break_long_words=False, break_on_hyphens=False
            )
    return "\n".join(folded) + "\n"


def _html(lines: Sequence[str], dice: Dice) -> str:
    """Paragraphs at the empty lines, in one of three skins."""
    blocks = "\n".join(lines).split("\n\n")
    paragraphs = "\n".join(f"<p>{'<br>'.join(map(_inline, block.split(chr(10))))}</p>" for block in blocks)
    skins = (
        "<html><body>\n{0}\n</body></html>\n",
        '<!DOCTYPE html>\n<html><head><meta charset="{1}"></head>\n'
        '<body style="font-family:sans-serif">\n<div style="max-width:600px">\n{0}\n</div>\n</body></html>\n',
        '<html><body bgcolor="#ffffff">\n<table width="600" cellpadding="8"><tr><td>\n{0}\n'
        "</td></tr></table>\n</body></html>\n",
    )
    page = dice.one(skins)
    return (
        "\n".join(
            piece
            for line in page.replace("{0}", paragraphs).replace(' charset="{1}"', "").splitlines()
            for piece in (textwrap.wrap(line, 200, break_long_words=False, break_on_hyphens=False) or [""])
        ).replace("<meta>", "")
        + "\n"
    )


def _inline(line: str) -> str:
    pieces, end = [], 0
    for found in _SPECIAL.finditer(line):
        pieces.append(_linked(line[end : found.start()]))
        words, target = escape(found[2]), escape(found[3])
        pieces.append(
            f'<a href="{target}">{words}</a>'
            if found[1] == "link"
            else f'<img src="{target}" width="580" alt="{words}">'
        )
        end = found.end()
    return "".join([*pieces, _linked(line[end:])])


def _linked(text: str) -> str:
    pieces, end = [], 0
    for found in _ADDRESS.finditer(text):
        target = escape(found[0])
        pieces += [escape(text[end : found.start()], quote=False), f'<a href="{target}">{target}</a>']
        end = found.end()
    return "".join([*pieces, escape(text[end:], quote=False)])


def _charset(text: str, dice: Dice) -> str:
    likes_latin = dice.happens(30)
    if text.isascii():
        return dice.one(("us-ascii", "utf-8", "utf-8", "iso-8859-1"))
    try:
        text.encode("iso-8859-1")
    except UnicodeEncodeError:
        return "utf-8"
    return "iso-8859-1" if likes_latin else "utf-8"


def _encoded_word(text: str, charset: str) -> str:
    return f"=?{charset}?B?{base64.b64encode(text.encode(charset)).decode('ascii')}?="


def _base64(octets: bytes) -> bytes:
    text = base64.b64encode(octets).decode("ascii")
    return "".join(f"{text[start : start + 76]}\r\n" for start in range(0, len(text), 76)).encode("ascii")


def _quoted_printable(octets: bytes) -> bytes:
    """RFC 2045 §6.7: lines of at most 76, no blank at the end of one."""
    lines: list[str] = []
    for line in octets.split(b"\n"):
        current = ""
        for place, octet in enumerate(line):
            last = place == len(line) - 1
            is_plain = (33 <= octet <= 126 and octet != 61) or (octet in (32, 9) and not last)
            token = chr(octet) if is_plain else f"={octet:02X}"
            if len(current) + len(token) > 75:
                lines.append(f"{current}=")
                current = ""
            current += token
        lines.append(current)
    return "\r\n".join(lines).encode("ascii")
