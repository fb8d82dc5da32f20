"""The auth room: who vouches for a message. SPF, DKIM, DMARC, ARC, and the field that reports them.

Each evaluator asks its DNS questions by yielding, and returns a result with `.result` in the RFC's words and `.steps`.
The functions here are the plain door for other programs: they take a `lookup(name, rdtype)`, which door.py describes.
Each imports its evaluator when it is called: who asks for SPF alone loads no cryptography.

READ NEXT  steps.py, door.py
"""

from __future__ import annotations

from labkit.auth.door import LookupTimedOut, NoSuchName

__all__ = ["LookupTimedOut", "NoSuchName"]
