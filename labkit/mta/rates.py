"""What ratelimit and seen remember: how fast somebody is, and when something was last met.

WHAT       `Rates` answers RateOf and SeenBefore in the time that it is given, and stores its records as text.
DECIDES    nothing: how to count, and what to write down, is said by the ACLs (smtp/acl/rates.py).
STANDARDS  Exim specification, sections "Rate limiting incoming messages", "Previously-seen user and hosts"
READ NEXT  callouts.py
"""

from __future__ import annotations

import math
from collections.abc import Callable
from datetime import datetime
from pathlib import Path

from labkit.mail.questions import RateOf, SeenBefore
from labkit.mta.hint_file import HintFile, keep
from labkit.smtp.acl import Rate, age_afterwards, counted

MOST_EVENTS = 10_000  # unique ones of one key


class Rates:
    """The memory of one host. `path` is where it is stored; None: nowhere."""

    def __init__(self, now: Callable[[], datetime], path: Path | None = None) -> None:
        self._now, self._file = now, HintFile(path)
        self._rates: dict[str, Rate] = {}
        self._seen: dict[str, float] = {}
        self._changed = False
        self._read()

    def rate(self, question: RateOf) -> float:
        """The smoothed rate, this event counted."""
        rate, record = counted(question, self._rates.get(question.key), self._now().timestamp())
        if record is not None and len(record.events) <= MOST_EVENTS:
            keep(self._rates, question.key, record)
            self._changed = True
        return rate

    def seen(self, question: SeenBefore) -> float | None:
        """Whole seconds since the key was written down; None: never."""
        now = math.floor(self._now().timestamp())
        written = self._seen.get(question.key)
        age = None if written is None else now - written
        afterwards = age_afterwards(question, age)
        if afterwards is not None:
            keep(self._seen, question.key, now - afterwards)
            self._changed = True
        return age

    @property
    def met(self) -> dict[str, float]:
        """The keys that `seen` has written down, and when."""
        return dict(self._seen)

    # --- storing ------------------------------------------------------------------------------

    def store(self) -> None:
        """Bring it to disk, if anything has changed. Raises OSError."""
        if self._changed:
            rates = {
                key: [row.at, row.rate, row.since, sorted(row.events)] for key, row in self._rates.items()
            }
            self._file.write({"rates": rates, "seen": self._seen})
            self._changed = False

    def _read(self) -> None:
        stored = self._file.read()
        try:
            rates = {
                str(key): Rate(float(at), float(rate), float(since), frozenset(map(str, events)))
                for key, (at, rate, since, events) in stored.get("rates", {}).items()
            }
            seen = {str(key): float(at) for key, at in stored.get("seen", {}).items()}
        except (ValueError, TypeError, AttributeError):
            return
        self._rates, self._seen = rates, seen
