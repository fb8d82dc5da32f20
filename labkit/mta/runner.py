"""The queue runner: what waits is looked at again at fixed times, as `exim -q15m` does.

WHY        waiting is two clocks: the retry time of a message *and* the next queue run.
DECIDES    which messages a run is for, and what it may do to them. A run of the daemon that could find nothing to do
           is left out: when something can be due, queue/due.py says.
STANDARDS  Exim specification, chapter "The Exim command line" (-q, -qi, -qf, -qff, -ql, -qq, -R, -S, -M, -Mg)
READ NEXT  administration.py
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from labkit.mail.event import EventKind
from labkit.mta.calling import Called
from labkit.mta.delivery_run import DeliveryRun, Mode
from labkit.mta.intake import Intake
from labkit.mta.outcomes import LOGIN
from labkit.mta.state import MtaState
from labkit.mta.surroundings import Appointment
from labkit.queue.due import LONGEST, due_at, fixed_time
from labkit.queue.item import QueueItem


@dataclass(frozen=True, slots=True)
class QueueRun:
    """One run over the queue.

    `forced`: retry times do not count; `thaws`: nor does frozenness. `part` and `sender_part`: only messages with a
    recipient, or a sender, whose address contains this text (`is_regex`: matches it); the first of them is forced.
    `first_only`: only those that were never tried. `routes_first`: two rounds, and nothing goes to other hosts in
    the first. `first_id` and `last_id`: only messages between these.
    """

    forced: bool = False
    thaws: bool = False
    part: str | None = None
    sender_part: str | None = None
    is_regex: bool = False
    first_only: bool = False
    local_only: bool = False
    routes_first: bool = False
    first_id: str = ""
    last_id: str = ""
    login: str = LOGIN  # who has started it

    @property
    def selects(self) -> bool:
        return self.part is not None or self.sender_part is not None

    def wants(self, item: QueueItem) -> bool:
        """Raises ValueError for a regular expression that is none."""
        if (self.last_id and item.queue_id > self.last_id) or item.queue_id < self.first_id:
            return False
        if (self.selects or self.first_only) and item.frozen and not self.thaws:
            return False
        if self.first_only and not item.is_untried:
            return False
        if self.sender_part is not None and not self._fits(self.sender_part, item.envelope.sender):
            return False
        return self.part is None or any(self._fits(self.part, str(each)) for each in item.remaining)

    def _fits(self, part: str, address: str) -> bool:
        if not self.is_regex:
            return part.lower() in address.lower()
        try:
            return re.search(part, address) is not None
        except (re.error, OverflowError, RecursionError) as problem:
            raise ValueError(f"{part!r} is no regular expression: {problem}") from None


USUAL_RUN = QueueRun()


class Runner:
    """Queue runs of one MTA. `interval` None: a daemon without -q, which never looks again by itself."""

    def __init__(self, state: MtaState, intake: Intake, interval: timedelta | None) -> None:
        self.state = state
        self.intake = intake
        self.interval = interval
        self.queue_only: bool | None = None  # as -odq and -odb say; None: neither
        self._started = state.surroundings.now()
        self._next: Appointment | None = None
        self._hints_then: frozenset[str] = frozenset()  # what the last queue run knew of failures
        self._next_at = self._last_run = self._started

    def start(self) -> None:
        """The daemon starts: it runs the queue at once, if it runs it at all."""
        self._started = self.state.surroundings.now()
        self._last_run = self._started - LONGEST
        if self.interval is not None and self.state.queue:
            self._appoint(self._started)

    def stop(self) -> None:
        if self._next is not None:
            self._next.cancel()
            self._next = None

    def received(self, queue_id: str, *, waits: bool = False) -> None:
        """A message has come in: deliver it right away (or at the next run, if it must wait)."""

        if waits or self._keeps_all():
            self.state.show(queue_id)
            self.look_again()
            return

        async def deliver() -> None:
            await self._deliver_safely(queue_id, Mode())
            self.look_again()

        self.state.surroundings.at(
            self.state.surroundings.now(), deliver, f"{self.state.name} delivers {queue_id}"
        )

    def _keeps_all(self) -> bool:
        """Whether every message waits for a queue run: the command line says so, or the configuration."""
        main = self.state.compiled.configuration.main
        if self.queue_only is not None and (main.flag("queue_only_override") or self.queue_only):
            return self.queue_only
        return main.flag("queue_only") or self._finds_queue_only_file(main.text("queue_only_file") or "")

    def _finds_queue_only_file(self, files: str) -> bool:
        """`queue_only_file`: while one of these is there."""
        paths = [path.strip() for path in files.split(":")]
        return any((self.state.root / path.lstrip("/")).exists() for path in paths if path.startswith("/"))

    async def deliver(self, queue_id: str, *, forced: bool = False, login: str = LOGIN) -> None:
        """One run over one message, not as a part of a queue run: `forced` is exim -M, which thaws it, too."""
        await self._deliver(queue_id, Mode(forced=forced, thaws=forced, login=login))
        self.look_again()

    async def give_up(self, queue_id: str, login: str) -> None:
        await self._deliver(queue_id, Mode(forced=True, thaws=True, cancelled_by=login, login=login))
        self.look_again()

    async def _deliver(self, queue_id: str, mode: Mode, over: Called | None = None) -> bool:
        """Whether it was tried: not if it is gone, busy, or frozen and stays so."""
        state = self.state
        item = state.queue.get(queue_id)
        if item is None or not state.is_running or queue_id in state.busy:
            return False
        state.look_at_hints()
        state.busy.add(queue_id)
        if over is None:
            state.for_each_run.discard(queue_id)
        try:
            return await DeliveryRun(
                state, self.intake, item, mode, over=over, go_on=None if over else self._go_on
            ).carry_out()
        finally:
            state.busy.discard(queue_id)
            state.show(queue_id)

    async def _go_on(self, queue_id: str, over: Called) -> None:
        """Try a message that waits over a connection that is open."""
        await self._deliver_safely(queue_id, Mode(in_queue_run=True), over)

    async def run_queue(self, run: QueueRun = USUAL_RUN) -> None:
        """Try what is in the queue, oldest first. Raises ValueError for a regular expression that is none."""
        if not run.selects:
            self._last_run = self.state.surroundings.now()
            self._hints_then = frozenset(self.state.hints.rows)
        mode = Mode(in_queue_run=True, forced=run.forced, thaws=run.thaws, login=run.login)
        if run.routes_first:
            await self._once(run, replace(mode, keeps_remote=True))
        await self._once(run, replace(mode, local_only=run.local_only))
        self.look_again()

    async def _once(self, run: QueueRun, mode: Mode) -> None:
        forces_next = run.selects
        for queue_id in self._wanted(run):
            one = mode.with_force() if forces_next else mode
            if await self._deliver_safely(queue_id, one):
                forces_next = False

    def _wanted(self, run: QueueRun) -> Iterator[str]:
        for queue_id in sorted(self.state.queue):
            item = self.state.queue.get(queue_id)
            if item is not None and run.wants(item):
                yield queue_id

    async def _deliver_safely(self, queue_id: str, mode: Mode, over: Called | None = None) -> bool:
        """A mistake of ours in one message, or a disk that fails, must not keep the others from being served."""
        try:
            return await self._deliver(queue_id, mode, over)
        except Exception as problem:
            self.state.for_each_run.add(queue_id)
            self.state.note(EventKind.PROBLEM, queue_id=queue_id, text=repr(problem))
            return True

    # --- the daemon's own runs ----------------------------------------------------------------

    def look_again(self) -> None:
        """Something has happened: at the next fixed time it is looked whether there is anything to do."""
        if self.interval is None or not self.state.is_running:
            return
        if not self.state.queue:
            self.stop()
            return
        instant = self._fixed_time(self.state.surroundings.now() + timedelta(microseconds=1))
        if self._next is None or instant < self._next_at:
            self._appoint(instant)

    def next_run(self, instant: datetime) -> datetime | None:
        """The first queue run of the daemon that is not before; None: it is stopped, or was started without -q."""
        return None if self.interval is None or not self.state.is_running else self._fixed_time(instant)

    def _fixed_time(self, instant: datetime) -> datetime:
        """The first of the daemon's times that is not before."""
        assert self.interval is not None
        return fixed_time(self._started, self.interval, instant)

    def _may_go_sooner(self) -> bool:
        """Whether something waits that no hint keeps back: none was left, or another delivery has taken it away."""
        state = self.state
        is_hint_gone = not self._hints_then <= state.hints.rows.keys()
        return is_hint_gone or not state.for_each_run.isdisjoint(state.queue)

    def _appoint(self, instant: datetime) -> None:
        async def run() -> None:
            self._next = None
            state, now = self.state, self.state.surroundings.now()
            due = due_at(tuple(state.queue.values()), state.hints, state.compiled.ages, self._last_run)
            if due <= now or self._may_go_sooner():
                await self.run_queue()
            elif state.queue and due.year < 9999:
                self._appoint(self._fixed_time(due))

        self.stop()
        self._next_at = instant
        self._next = self.state.surroundings.at(instant, run, f"{self.state.name} runs its queue")
