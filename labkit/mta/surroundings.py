"""What an MTA is given by the world it lives in: time, an agenda, a journal.

WHY        in a lab, time stands still while mail moves and then jumps; the command line has the real clock.
           The MTA cannot tell the difference.
READ NEXT  compiled.py
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextvars import ContextVar
from datetime import datetime, timedelta
from typing import Any, Protocol

from labkit.mail.event import EventKind

# True in what is done for a client outside the lab: its time is real, and lab time cannot pass for it
FROM_OUTSIDE: ContextVar[bool] = ContextVar("FROM_OUTSIDE", default=False)


class Appointment(Protocol):
    """An entry of the agenda."""

    def cancel(self) -> None: ...


class Surroundings(Protocol):
    """Time, agenda and journal."""

    def now(self) -> datetime:
        """The time, with zone UTC."""

    def at(self, instant: datetime, action: Callable[[], Awaitable[None]], what: str) -> Appointment:
        """Carry out `action` at `instant` (at once, if that is now); `what` names it for people."""

    async def sleep(self, span: timedelta) -> None:
        """Let time pass, while the world goes on with other things. Not FROM_OUTSIDE: there it returns at once."""

    def next_process(self) -> int:
        """A number nobody had before, as a new process has a new id."""

    def note(self, host: str, kind: EventKind, **details: Any) -> None:
        """Write one event into the journal; `details` are fields of MailEvent."""
