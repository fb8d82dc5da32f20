"""What is to be done when, in lab time, one thing at a time.

WHAT       entries in order of their instants; the world carries out everything due, then jumps to the next instant.
WHY        time stands still while mail moves, so a thing that takes long in real time takes none here, and two
           runs do the same in the same order.
PARKED     work that waits for lab time (`sleep`) steps aside and goes on when its instant comes.
READ NEXT  journal.py
"""

from __future__ import annotations

import asyncio
import heapq
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from labkit.lab.clock import Clock
from labkit.mta.surroundings import FROM_OUTSIDE

Action = Callable[[], Awaitable[None]]


@dataclass(order=True)
class Entry:
    """One line of the agenda. Entries of the same instant are done in the order they were written."""

    instant: datetime
    number: int
    action: Action = field(compare=False)
    what: str = field(compare=False)
    is_cancelled: bool = field(default=False, compare=False)
    wakes: bool = field(default=False, compare=False)  # it lets parked work go on

    def cancel(self) -> None:
        self.is_cancelled = True


class _Activity:
    """A piece of work under way: its task, and whether it waits for lab time."""

    def __init__(self) -> None:
        self.task: asyncio.Task[None] | None = None
        self.parked = asyncio.Event()


class Agenda:
    """The agenda of a world.

    `on_problem(what, exception)` hears of work that failed. `others_are_done()` returns when those who work for the lab
    beside this agenda (a real Exim's processes) have ended; time does not go on before.
    """

    def __init__(
        self,
        clock: Clock,
        on_problem: Callable[[str, Exception], None],
        others_are_done: Callable[[], Awaitable[None]] | None = None,
    ) -> None:
        self.clock = clock
        self._on_problem = on_problem
        self._others_are_done = others_are_done
        self._entries: list[Entry] = []
        self._count = 0
        self._current: _Activity | None = None
        self._busy = asyncio.Lock()
        self._news = asyncio.Event()
        self._parked: set[asyncio.Task[None]] = set()

    # --- writing ------------------------------------------------------------------------------

    def at(self, instant: datetime, action: Action, what: str) -> Entry:
        """Write an entry; an instant that is past counts as now."""
        self._count += 1
        entry = Entry(max(instant, self.clock.now), self._count, action, what)
        heapq.heappush(self._entries, entry)
        self._news.set()
        return entry

    async def sleep(self, span: timedelta) -> None:
        """Let lab time pass for the work under way.

        Outside of any work (a foreign client waits in real time) it returns at once: lab time cannot pass for it.
        """
        activity = self._current
        if activity is None or FROM_OUTSIDE.get():
            return
        woken: asyncio.Future[None] = asyncio.get_running_loop().create_future()

        async def go_on() -> None:
            activity.parked.clear()
            woken.set_result(None)
            await self._until_done_or_parked(activity)

        waking = self.at(self.clock.now + span, go_on, "somebody waits")
        waking.wakes = True
        activity.parked.set()
        try:
            await woken
        except asyncio.CancelledError:  # who waited is gone: its host has stopped
            waking.cancel()
            raise
        self._current = activity

    # --- reading ------------------------------------------------------------------------------

    def next_instant(self) -> datetime | None:
        """When the next thing is to be done, None if nothing is."""
        while self._entries and self._entries[0].is_cancelled:
            heapq.heappop(self._entries)
        return self._entries[0].instant if self._entries else None

    @property
    def upcoming(self) -> tuple[tuple[datetime, str], ...]:
        """What is to be done, in order."""
        return tuple((e.instant, e.what) for e in sorted(self._entries) if not e.is_cancelled)

    # --- doing --------------------------------------------------------------------------------

    @asynccontextmanager
    async def hold(self) -> AsyncIterator[None]:
        """Begin nothing that is on the agenda in the meantime: who is served next must not depend on real time.

        Work that is on the agenda itself may hold it too: nothing else is done then anyway.
        """
        if self._current is not None and self._current.task is asyncio.current_task():
            yield
            return
        async with self._busy:
            yield

    async def carry_out_due(self) -> None:
        """Do everything that is due now, in order, and what comes to be due by it."""
        async with self._busy:
            while True:
                while (instant := self.next_instant()) is not None and instant <= self.clock.now:
                    await self._carry_out(heapq.heappop(self._entries))
                if self._others_are_done is not None:
                    await self._others_are_done()
                if (instant := self.next_instant()) is None or instant > self.clock.now:
                    return

    async def run_until(self, end: datetime) -> None:
        """Do everything up to `end`, jumping from instant to instant; then it is `end`."""
        await self.carry_out_due()
        while (instant := self.next_instant()) is not None and instant <= end:
            self.clock.jump_to(max(instant, self.clock.now))
            await self.carry_out_due()
        self.clock.jump_to(end)

    async def attend(self) -> None:
        """Do what becomes due by itself (a foreign client sends something), until cancelled."""
        while True:
            await self._news.wait()
            self._news.clear()
            await self.carry_out_due()

    def close(self) -> None:
        """Drop all entries and end what waits."""
        self._entries.clear()
        for task in tuple(self._parked):
            task.cancel()

    async def _carry_out(self, entry: Entry) -> None:
        if entry.wakes:
            await entry.action()
            return
        activity = _Activity()

        async def work() -> None:
            try:
                await entry.action()
            except Exception as problem:
                self._on_problem(entry.what, problem)

        activity.task = asyncio.get_running_loop().create_task(work())
        self._parked.add(activity.task)
        activity.task.add_done_callback(self._parked.discard)
        await self._until_done_or_parked(activity)

    async def _until_done_or_parked(self, activity: _Activity) -> None:
        assert activity.task is not None
        self._current = activity
        parked = asyncio.get_running_loop().create_task(activity.parked.wait())
        try:
            await asyncio.wait({activity.task, parked}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            parked.cancel()
            self._current = None
