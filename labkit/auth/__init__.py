"""The auth room: who vouches for a message. SPF, DKIM, DMARC, ARC, and the field that reports them.

Each evaluator asks its DNS questions by yielding, and returns a result with `.result` in the RFC's words and `.steps`.
The functions here are the plain door for other programs: they take a `lookup(name, rdtype)`, which door.py describes.
Each imports its evaluator when it is called: who asks for SPF alone loads no cryptography.

READ NEXT  steps.py, door.py
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from labkit.auth.door import Lookup, LookupTimedOut, NoSuchName, answer_with

if TYPE_CHECKING:
    from labkit.auth.spf import SpfResult

__all__ = ["LookupTimedOut", "NoSuchName", "check_spf"]


def check_spf(client_ip: str, helo: str, reverse_path: str, lookup: Lookup) -> SpfResult:
    """SPF (RFC 7208) for MAIL FROM, or for HELO where `reverse_path` is "". `.result` is one of pass, fail, softfail,
    neutral, none, temperror, permerror. Raises ValueError if `client_ip` is no address, and what `lookup` raises.
    """
    from labkit.auth.spf import check_host

    return answer_with(lookup, check_host(client_ip, helo, reverse_path))
