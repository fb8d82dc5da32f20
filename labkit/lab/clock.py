"""The lab's clock: it stands still until somebody moves it.

WHAT       `Clock.now` is an instant in UTC; `jump_to` goes forward, never back.
READ NEXT  agenda.py
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timezone

FIRST_MORNING = datetime(2026, 9, 7, 9, 0, tzinfo=timezone.utc)  # a Monday: when a new world begins


class Clock:
    """Lab time. `now` starts at `start` (with a time zone)."""

    def __init__(self, start: datetime = FIRST_MORNING) -> None:
        if start.tzinfo is None:
            raise ValueError("lab time needs a time zone")
        self.now = start.astimezone(timezone.utc)
        self._followers: list[Callable[[datetime], None]] = []

    def follow(self, follower: Callable[[datetime], None]) -> None:
        """Call `follower` with each new instant: other programs' clocks go with this one."""
        self._followers.append(follower)

    def jump_to(self, instant: datetime) -> None:
        """Move to `instant`. Raises ValueError for an instant that is past."""
        if instant < self.now:
            raise ValueError(f"the clock cannot go back from {self.now:%a %H:%M} to {instant:%a %H:%M}")
        self.now = instant
        for follower in self._followers:
            follower(instant)
