"""What an MTA is given that lives in real time: the clock, the event loop as its agenda, and the logs as its journal.

WHAT       `RealTime`, the Surroundings (mta/surroundings.py) of a daemon and of a command.
DOES       work that is due now begins at once, beside other work. Each command has one of its own, so that it can
           wait for its own work, and see what is going on (-v).
IN A LAB   the clock is the lab's, and may jump; whoever waits, waits in real time, as a real Exim there does.
READ NEXT  owner.py
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta
from typing import Any, Protocol

from labkit.cli.exim.logs import Logs
from labkit.mail.event import EventKind, MailEvent

_QUIET = frozenset({EventKind.STARTED, EventKind.STOPPED})  # the daemon says this in its own words
_FIRST, _LAST = 2, 62**4  # numbers in queue ids


class Onlooker(Protocol):
    """Whoever is shown what happens while something is done for him: a command with -v."""

    def happened(self, event: MailEvent, lines: list[str]) -> None: ...


class RealTime:
    """Time, agenda and journal of one process, or of one piece of work of it."""

    def __init__(
        self,
        now: Callable[[], datetime],
        logs: Logs,
        onlooker: Onlooker | None = None,
        parent: RealTime | None = None,
    ) -> None:
        self.now = now
        self.logs = logs
        self.onlooker = onlooker
        self._parent = parent
        self._number = os.getpid() % _LAST
        self._events = 0
        self._tasks: set[asyncio.Task[None]] = set()
        self._waiting: set[_Appointment] = set()

    def at(self, instant: datetime, action: Callable[[], Awaitable[None]], what: str) -> _Appointment:
        appointment = _Appointment(self)

        def begin() -> None:
            self._waiting.discard(appointment)
            if not appointment.is_cancelled:
                self._start(action, what)

        wait = max((instant - self.now()).total_seconds(), 0.0)
        self._waiting.add(appointment)
        appointment.timer = asyncio.get_running_loop().call_later(wait, begin)
        return appointment

    def _start(self, action: Callable[[], Awaitable[None]], what: str) -> None:
        async def work() -> None:
            try:
                await action()
            except Exception as problem:  # a mistake of ours in one thing must not stop the others
                self.note("", EventKind.PROBLEM, text=f"{what}: {problem!r}")

        task = asyncio.get_running_loop().create_task(work())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def forget(self, appointment: _Appointment) -> None:
        self._waiting.discard(appointment)

    async def sleep(self, span: timedelta) -> None:
        await asyncio.sleep(span.total_seconds())

    def next_process(self) -> int:
        """Exim has a process for each message; its number is part of the queue id."""
        if self._parent is not None:
            return self._parent.next_process()
        self._number = self._number + 1 if self._number < _LAST - 1 else _FIRST
        return self._number

    def note(self, host: str, kind: EventKind, **details: Any) -> None:
        self._events += 1
        event = MailEvent(number=self._events, at=self.now(), host=host, kind=kind, **details)
        lines = [] if kind in _QUIET else self.logs.note(event)
        if self.onlooker is not None:
            self.onlooker.happened(event, lines)

    @property
    def is_busy(self) -> bool:
        return bool(self._tasks or self._waiting)

    async def idle(self) -> None:
        """Return when nothing is under way and nothing due any more."""
        while self._tasks or self._waiting:
            if self._tasks:
                await asyncio.wait(self._tasks)
            else:
                await asyncio.sleep(0.01)


class _Appointment:
    """An entry of the agenda."""

    def __init__(self, surroundings: RealTime) -> None:
        self._surroundings = surroundings
        self.timer: asyncio.TimerHandle | None = None
        self.is_cancelled = False

    def cancel(self) -> None:
        self.is_cancelled = True
        self._surroundings.forget(self)
        if self.timer is not None:
            self.timer.cancel()
