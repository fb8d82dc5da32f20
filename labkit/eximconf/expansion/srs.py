"""SRS, the sender rewriting scheme: a return path that leads a bounce of forwarded mail back.

HOW        SRS0=<4 hex digits of an hmac>=<day, two base32 digits>=<original domain>=<original local part>@<our domain>
STANDARDS  Exim specification, chapter "SRS (Sender Rewriting Scheme)"; SPF's draft "sender rewriting scheme"
READ NEXT  calling.py
"""

from __future__ import annotations

import hashlib
import hmac
import re

from labkit.eximconf.expansion.outcomes import failed
from labkit.eximconf.expansion.texts import lower, octets

_DIGITS = "abcdefghijklmnopqrstuvwxyz234567"
_SRS0 = re.compile(r"(?i:SRS0)=([^=]+)=([a-z2-7]{2})=([^=]*)=(.*)", re.DOTALL)
_DAY = 86400
_LONGEST = 10  # days


def _today(epoch: str) -> int:
    if not re.fullmatch("[0-9]{1,15}", epoch):
        raise failed("srs needs $tod_epoch, and it is not known here")
    return int(epoch) // _DAY & 0x3FF


def _signature(secret: str, domain: str, local_part: str) -> str:
    """Exim signs the address alone, in small letters, not the day."""
    signed = lower(f"{local_part}@{domain}" if domain else local_part)
    return hmac.new(octets(secret), octets(signed), hashlib.md5).hexdigest()[:4]


def encode(secret: str, return_path: str, our_domain: str, epoch: str) -> str:
    """The return path, rewritten; an empty one stays empty."""
    if not return_path:
        return ""
    local_part, _, domain = return_path.rpartition("@") if "@" in return_path else (return_path, "", "")
    day = _today(epoch)
    stamp = _DIGITS[day >> 5] + _DIGITS[day & 31]
    return f"SRS0={_signature(secret, domain, local_part)}={stamp}={domain}={local_part}@{our_domain}"


def inbound(local_part: str, secret: str, epoch: str) -> str | None:
    """The address that an SRS0 local part stands for. None: it is none, is forged, or too old.

    Without a secret nothing is checked and nothing is revealed: the answer is the empty text.
    """
    found = _SRS0.fullmatch(local_part)
    if found is None:
        return None
    signature, stamp, domain, original = found.groups()
    if not secret:
        return ""
    day = _DIGITS.index(stamp[0]) << 5 | _DIGITS.index(stamp[1])
    if (_today(epoch) - day) & 0x3FF > _LONGEST:
        return None
    if signature != _signature(secret, domain, original):
        return None
    return lower(f"{original}@{domain}")
