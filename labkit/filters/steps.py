"""A step of a look at the outside: what was asked, what was found, and whether that is a fact or a policy.

WHY        the DNS gives facts ("the name leads to that address"); to refuse mail for one is somebody's policy.
           Those who run into trouble with reverse checks have mostly taken one for the other.
READ NEXT  blocklist.py, reverse.py
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from labkit.mail.asking import Question
from labkit.mail.visible import visible


@dataclass(frozen=True, slots=True)
class Step:
    """One thing looked at. `is_good` is None where it is neither good nor bad, or cannot be known now."""

    words: str
    is_good: bool | None
    source: str = ""
    is_policy: bool = False
    question: Question[Any] | None = None

    def __str__(self) -> str:
        mark = "?" if self.is_good is None else "+" if self.is_good else "-"
        kind = "policy" if self.is_policy else "fact"
        source = f"  [{self.source}]" if self.source else ""
        return f"{mark} {kind:<6}  {visible(self.words)}{source}"
