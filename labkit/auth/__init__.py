"""The auth room: who vouches for a message. SPF, DKIM, DMARC, ARC, and the field that reports them.

Each evaluator asks its DNS questions by yielding, and returns a result with `.result` in the RFC's words and `.steps`.
The functions here are the plain door for other programs: they take a `lookup(name, rdtype)`, which door.py describes.
Each imports its evaluator when it is called: who asks for SPF alone loads no cryptography.

READ NEXT  steps.py, door.py
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from labkit.auth.door import Instant, Lookup, LookupTimedOut, NoSuchName, answer_with, as_sent, seconds

if TYPE_CHECKING:
    from labkit.auth.dkim_result import DkimResult

__all__ = ["LookupTimedOut", "NoSuchName", "verify_dkim"]


def verify_dkim(message: bytes, lookup: Lookup, now: Instant) -> tuple[DkimResult, ...]:
    """Verify every DKIM signature of a message: one result for each, top to bottom; none: an empty tuple.

    `.result` is one of pass, fail, neutral, policy, permerror, temperror; `.reason` one sentence; `.domain` (d=),
    `.selector`, `.identity` (i=), `.algorithm`; `.broken` says what does not fit ("body", "header", "key" …);
    `.steps` tells all in order. `now` is an aware datetime, or seconds since 1970: signatures expire. A message whose
    lines all end in LF is taken for a stored file. Whatever the message or the DNS says, nothing is raised but what
    `lookup` raises other than its two errors.
    """
    from labkit.auth.dkim_verify import verify

    return answer_with(lookup, verify(as_sent(message), seconds(now)))
