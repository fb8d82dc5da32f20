"""Encoded words: letters outside ASCII in a header, read safely.

WHAT       `decoded("=?utf-8?q?caf=C3=A9?=")` -> "café". `for_people` also makes visible what hides or turns letters.
DECIDES    blanks between two encoded words vanish; a word of an unknown charset, or that is no base64, stays as it is.
SAFE       linear: each encoded word is looked at once. Only charsets of the list below: Python knows "charsets" that
           are compressors, or take a time that grows with the square. Line ends that were encoded become escapes.
STANDARDS  RFC 2047 §2, §4, §6; RFC 2231 §5 (language after *)
READ NEXT  visible.py
"""

from __future__ import annotations

import base64
import binascii
import re
from quopri import decodestring

from labkit.mail.visible import visible

_WORD = re.compile(r"=\?([A-Za-z0-9_.:-]{1,40})(?:\*[A-Za-z0-9-]{0,20})?\?([bBqQ])\?([^?\s]*)\?=")
_PUNCTUATION = re.compile(r"[-_.:]")
_CODECS = """utf-8 us-ascii utf-16 utf-16be utf-16le koi8-r koi8-u gb2312 gbk gb18030 big5 big5-hkscs
    shift_jis sjis cp932 euc-jp iso-2022-jp euc-kr iso-2022-kr tis-620 mac-roman latin-1 cp437 cp850
    cp852 cp866 cp936 cp949""".split()
_CODECS += [f"iso-8859-{n}" for n in range(1, 17) if n != 12] + [f"windows-125{n}" for n in range(9)]
CHARSETS = {_PUNCTUATION.sub("", name): name for name in _CODECS} | {
    "ascii": "us-ascii", "macintosh": "mac-roman", "ksc56011987": "euc-kr", "xsjis": "sjis", "iso88598i": "iso-8859-8",
} | {f"cp125{n}": f"cp125{n}" for n in range(9)}  # fmt: skip


def decoded(text: str) -> str:
    """The text with its encoded words decoded. It may hold any character: show it by `for_people`."""
    if "=?" not in text:
        return text
    out: list[str] = []
    at, after_word = 0, False
    for found in _WORD.finditer(text):
        word = _decoded_word(found[1], found[2], found[3])
        if word is None:
            continue
        between = text[at : found.start()]
        if not (after_word and between.isspace()):
            out.append(between)
        out.append(word)
        at, after_word = found.end(), True
    out.append(text[at:])
    return "".join(out)


def for_people(text: str) -> str:
    """Decoded, and safe to look at: every control, line end or turning character is an escape."""
    return visible(decoded(text).replace("\r", "\\r").replace("\n", "\\n").replace("\0", "\\0"))


def codec_of(charset: str) -> str | None:
    """The codec for a charset's name as mail has it; None for one that is not in the list above."""
    return CHARSETS.get(_PUNCTUATION.sub("", charset[:40].lower()))


def _decoded_word(charset: str, encoding: str, content: str) -> str | None:
    codec = codec_of(charset)
    if codec is None:
        return None
    octets = _base64(content) if encoding in "bB" else _quoted(content)
    if octets is None:
        return None
    return octets.decode(codec, "replace")


def _base64(content: str) -> bytes | None:
    try:
        return base64.b64decode(content + "=" * (-len(content) % 4), validate=True)
    except (binascii.Error, ValueError):
        return None


def _quoted(content: str) -> bytes:
    return decodestring(content.encode("ascii", "replace"), header=True)
