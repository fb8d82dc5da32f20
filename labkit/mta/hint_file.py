"""A small file of hints: what would be found out anew if it were lost.

RULES      a crash leaves the old text or the new one; what is damaged is dropped. A table holds so
           many records: their order, in memory and in the file, tells which was written longest ago.
READ NEXT  rates.py
"""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

MOST_RECORDS = 100_000
V = TypeVar("V")


def keep(table: dict[str, V], key: str, record: V) -> None:
    """Put it last; what was written longest ago goes, if there is too much."""
    table.pop(key, None)
    if len(table) >= MOST_RECORDS:
        del table[next(iter(table))]
    table[key] = record


@dataclass(frozen=True, slots=True)
class HintFile:
    """JSON in a file; without a path nothing is stored."""

    path: Path | None

    def read(self) -> dict[str, Any]:
        """What was stored last; empty if there is nothing, or nothing that can be read."""
        if self.path is None:
            return {}
        try:
            found = json.loads(self.path.read_text(encoding="utf-8"))
        except (OSError, ValueError, RecursionError):
            return {}
        return found if isinstance(found, dict) else {}

    def write(self, hints: dict[str, Any]) -> None:
        """Store them, one a line. Raises OSError."""
        if self.path is None:
            return
        self.path.parent.mkdir(parents=True, exist_ok=True)
        draft = self.path.with_name(f"{self.path.name}.new")
        draft.write_text(json.dumps(hints, indent=0), encoding="utf-8")
        os.replace(draft, self.path)
