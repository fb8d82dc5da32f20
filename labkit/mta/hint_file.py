"""A small file of hints: what would be found out anew if it were lost.

RULES      a crash leaves the old text or the new one, a power cut perhaps none; what is damaged is dropped.
           A table holds so many records: their order, in memory and in the file, tells which was written longest ago.
READ NEXT  rates.py
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from labkit.net.durable import make_folder, read_regular, replace_file

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
            found = json.loads(read_regular(self.path))
        except (OSError, ValueError, RecursionError):
            return {}
        return found if isinstance(found, dict) else {}

    def write(self, hints: dict[str, Any]) -> None:
        """Store them, one a line. Raises OSError."""
        if self.path is None:
            return
        make_folder(self.path.parent)
        draft = self.path.with_name(f"{self.path.name}.new")
        replace_file(self.path, json.dumps(hints, indent=0).encode(), draft, synced=False)
