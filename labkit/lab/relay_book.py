"""What the relay remembers: which domains are verified, and to whom nothing is sent any more.

WHAT       `Book` keeps both in a file on the host's disk; a world that is resumed finds it there.
RULES      no password and no message is in it.
READ NEXT  relay_engine.py
"""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Suppression:
    """A customer's mail to this address is taken and goes nowhere, since an earlier one has come back for good."""

    customer: str
    address: str
    since: datetime
    why: str
    queue_id: str


class Book:
    """The file, and what stands in it."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self.verified: dict[tuple[str, str], datetime] = {}  # customer and domain
        self._suppressed: dict[tuple[str, str], Suppression] = {}
        if file.exists():
            self._read()

    @property
    def suppressions(self) -> tuple[Suppression, ...]:
        """The oldest first."""
        return tuple(self._suppressed.values())

    def suppressed(self, customer: str, address: str) -> Suppression | None:
        return self._suppressed.get((customer, address.lower()))

    def suppress(self, suppression: Suppression) -> None:
        key = (suppression.customer, suppression.address.lower())
        if key not in self._suppressed:
            self._suppressed[key] = suppression
            self._write()

    def release(self, customer: str, address: str) -> bool:
        """Take an address off the list. False: it was not on it."""
        gone = self._suppressed.pop((customer, address.lower()), None)
        if gone is not None:
            self._write()
        return gone is not None

    def verify(self, customer: str, domain: str, at: datetime) -> None:
        self.verified.setdefault((customer, domain), at)
        self._write()

    def _write(self) -> None:
        self._file.parent.mkdir(parents=True, exist_ok=True)
        found = {
            "verified": [[*key, at.isoformat()] for key, at in self.verified.items()],
            "suppressed": [asdict(each) | {"since": each.since.isoformat()} for each in self.suppressions],
        }
        draft = self._file.with_suffix(".new")
        draft.write_text(json.dumps(found, indent=1), encoding="utf-8")
        os.replace(draft, self._file)

    def _read(self) -> None:
        found = json.loads(self._file.read_text(encoding="utf-8"))
        for customer, domain, at in found["verified"]:
            self.verified[customer, domain] = datetime.fromisoformat(at)
        for each in found["suppressed"]:
            one = Suppression(**(each | {"since": datetime.fromisoformat(each["since"])}))
            self._suppressed[one.customer, one.address.lower()] = one
