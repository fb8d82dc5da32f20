"""What stands in a spool file beside the usual: what a sender wants to hear (DSN), and how a connection was encrypted.

WHAT       the end of a recipient's line, and the options -dsn_… and -tls_…; each written and read.
STANDARDS  Exim specification, chapter "Format of spool files"; RFC 3461
READ NEXT  spool_format.py
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from labkit.mail.encryption import Encryption
from labkit.mail.envelope import NO_WISHES, Wishes

RETURNS = {"FULL": "1", "HDRS": "2"}
_RETURNS = {number: word for word, number in RETURNS.items()}
_NOTIFY = {"NEVER": 2, "SUCCESS": 4, "FAILURE": 8, "DELAY": 16}
_MORE = re.compile(r" (?P<original>.*) (?P<length>[0-9]+),(?P<flags>[0-9]+) .*[0-9]+,-?[0-9]+#3")
_CIPHER = re.compile(r"(?P<version>[^:]*):(?P<cipher>.*):(?P<bits>[0-9]{1,5})")


def with_wishes(line: str, wishes: Wishes) -> str:
    """A recipient's line with ORCPT, its length, and flags. Raises ValueError for an ORCPT that is none."""
    if wishes == NO_WISHES:
        return line
    original = wishes.original
    if " " in original or not (original.isprintable() and original.isascii()):
        raise ValueError(f"not an ORCPT: {original[:80]!r}")
    flags = sum(_NOTIFY.get(each, 0) for each in wishes.notify or ())
    return f"{line} {original} {len(original)},{flags}  0,-1#3"


def wishes_in(more: str) -> Wishes:
    """What stands behind the address in a recipient's line."""
    found = _MORE.fullmatch(more)
    if found is None or len(found["original"]) != int(found["length"]):
        return NO_WISHES
    flags = int(found["flags"])
    notify = frozenset(word for word, flag in _NOTIFY.items() if flags & flag)
    return Wishes(notify or None, found["original"])


def returns_in(options: Mapping[str, str]) -> str:
    """RET: FULL, HDRS or nothing."""
    return _RETURNS.get(options.get("dsn_ret", ""), "")


def options_of(encryption: Encryption | None) -> dict[str, str]:
    """The options for a message that came over an encrypted connection."""
    if encryption is None:
        return {}
    return {
        "--tls_cipher": encryption.shown,
        "--tls_peerdn": _printable(encryption.peer_name),
        "--tls_sni": _printable(encryption.server_name),
        "--tls_ver": encryption.version,
    }


def encryption_in(options: Mapping[str, str]) -> Encryption | None:
    """The reverse; what Exim has written for GnuTLS says less."""
    shown = options.get("tls_cipher", "")
    if not shown:
        return None
    found = _CIPHER.fullmatch(shown)
    return Encryption(
        found["version"] if found else options.get("tls_ver", ""),
        found["cipher"] if found else shown,
        int(found["bits"]) if found else 0,
        "tls_certificate_verified" in options,
        options.get("tls_peerdn", ""),
        options.get("tls_sni", ""),
    )


def _printable(text: str) -> str:
    return "".join(c if c.isprintable() else "?" for c in text)
