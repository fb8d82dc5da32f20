"""The header variables: `$h_subject:`, `$rh_…`, `$bh_…`, `$lh_…`.

LIKE EXIM  several fields of one name are joined: by a newline, or for address fields by a comma; rh keeps the octets,
           bh trims and decodes RFC 2047, h also tries to come to one character set, lh is a list (colons doubled).
STANDARDS  Exim specification, chapter "String expansions" ($h_…); RFC 2047
READ NEXT  compiler.py
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Callable, Sequence

from labkit.eximconf.blanks import BLANKS
from labkit.eximconf.expansion.texts import lower, octets

_WITH_ADDRESSES = frozenset("bcc cc from reply-to sender to".split())
_WORD = re.compile(r"=\?([^?\s]+)\?([qQbB])\?([^?\s]*)\?=(?:\s+(?==\?[^?\s]+\?[qQbB]\?[^?\s]*\?=))?")
Headers = Sequence[tuple[str, str]]


def bodies(headers: Headers, name: str) -> list[str]:
    wanted = lower(name)
    return [body for known, body in headers if lower(known) == wanted]


def raw(headers: Headers, name: str) -> str:
    """$rh_: the octets, with the newline at the end of each."""
    return "".join(bodies(headers, name))


def _joined(name: str, found: list[str]) -> str:
    return (",\n" if lower(name) in _WITH_ADDRESSES else "\n").join(found)


def trimmed(headers: Headers, name: str) -> str:
    """Without blanks at the ends."""
    return _joined(name, [body.strip(BLANKS) for body in bodies(headers, name)])


def decoded(headers: Headers, name: str) -> str:
    """$h_ and $bh_."""
    return decode_words(trimmed(headers, name))


def as_list(headers: Headers, name: str) -> str:
    """$lh_: a list of the fields; a colon inside one is doubled."""
    return ":".join(body.strip("\r\n").rstrip(BLANKS).replace(":", "::") for body in bodies(headers, name))


def decode_words(text: str) -> str:
    """RFC 2047 encoded words, as octets of UTF-8."""
    return _WORD.sub(lambda found: _decoded(found[0], found[1], found[2], found[3]), text)


def _decoded(whole: str, charset: str, encoding: str, text: str) -> str:
    try:
        if encoding in "bB":
            data = base64.b64decode(octets(text), validate=True)
        else:
            plain = text.replace("_", " ")
            data = octets(re.sub("=([0-9A-Fa-f]{2})", lambda found: chr(int(found[1], 16)), plain))
        decoded = data.decode(charset.partition("*")[0]).replace("\0", "?")  # a NUL ends a text, in C
        return decoded.encode("utf-8").decode("latin-1")
    except (binascii.Error, LookupError, ValueError):
        return whole


FLAVOURS: dict[str, Callable[[Headers, str], str]] = {
    "h": decoded,
    "bh": decoded,
    "rh": raw,
    "lh": as_list,
}
