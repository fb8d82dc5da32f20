"""What a content filter says of one message.

READ NEXT  labkit/net/spamd_server.py, labkit/lab/scorers.py
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Scored:
    """`score` at or above `threshold` is spam; `report` tells why; `symbols` are the names of the rules that hit."""

    score: float
    threshold: float = 5.0
    report: str = ""
    symbols: tuple[str, ...] = ()

    @property
    def is_spam(self) -> bool:
        return self.score >= self.threshold


Scorer = Callable[[bytes], Scored]
