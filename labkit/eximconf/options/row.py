"""A row of the table of options.

READ NEXT  kinds.py
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from labkit.eximconf.options.kinds import BOOLEAN, TRUTH, Kind


class Standing(Enum):
    """How far an option works here (table.py says what each means)."""

    WORKS = "works"
    MOOT = "nothing to change here"
    TESTED = "in tests only"


@dataclass(frozen=True, slots=True)
class Option:
    """`default` is given as it would be written; None: unset. `repeats`: may be set more than once in one driver."""

    scope: str  # "main", "router", "router accept", "transport smtp" …
    name: str
    kind: Kind
    default: str | bool | None
    chapter: str  # of the Exim specification
    effect: str
    standing: Standing = Standing.WORKS
    repeats: bool = False

    @property
    def is_boolean(self) -> bool:
        return self.kind in (BOOLEAN, TRUTH)
