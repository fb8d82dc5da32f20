"""The queue runner: what waits is looked at again at fixed times, as `exim -q15m` does.

WHY        waiting is two clocks: the retry time of a message *and* the next queue run.
STANDARDS  Exim specification, chapter "The Exim command line" (-q, -qf, -qff, -M)
READ NEXT  mta.py
"""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta

from labkit.mail.event import EventKind
from labkit.mta.delivery_run import DeliveryRun
from labkit.mta.intake import Intake
from labkit.mta.state import MtaState
from labkit.mta.surroundings import Appointment


class Runner:
    """Queue runs of one MTA. `interval` None: a daemon without -q, which never looks again by itself."""

    def __init__(self, state: MtaState, intake: Intake, interval: timedelta | None) -> None:
        self.state = state
        self.intake = intake
        self.interval = interval
        self.queue_only = False
        self._started = state.surroundings.now()
        self._next: Appointment | None = None

    def start(self) -> None:
        """The daemon starts: it runs the queue at once, if it runs it at all."""
        self._started = self.state.surroundings.now()
        if self.interval is not None and self.state.queue:
            self._appoint(self._started)

    def stop(self) -> None:
        if self._next is not None:
            self._next.cancel()
            self._next = None

    def received(self, queue_id: str, *, waits: bool = False) -> None:
        """A message has come in: deliver it right away (or at the next run, if it must wait)."""

        if self.queue_only or waits:
            self.state.show(queue_id)
            self._appoint_next()
            return

        async def deliver() -> None:
            await self._deliver_safely(queue_id, is_first=True)
            self._appoint_next()

        self.state.surroundings.at(
            self.state.surroundings.now(), deliver, f"{self.state.name} delivers {queue_id}"
        )

    async def deliver(self, queue_id: str, *, forced: bool = False, is_first: bool = False) -> None:
        """One run over one message; nothing happens if it is gone, busy, or frozen (unless forced)."""
        state = self.state
        item = state.queue.get(queue_id)
        if item is None or not state.is_running or queue_id in state.busy:
            return
        cancels = False
        if item.frozen and not forced:
            age = (state.surroundings.now() - item.received_at).total_seconds()
            limits = state.compiled.configuration.main
            cancels = 0 < limits.seconds("timeout_frozen_after") <= age
            if not cancels and not (item.is_report and age >= limits.seconds("ignore_bounce_errors_after")):
                return
        state.busy.add(queue_id)
        try:
            run = DeliveryRun(
                state, self.intake, replace(item, frozen=False), forced=forced, is_first=is_first
            )
            await (run.cancel() if cancels else run.carry_out())
        finally:
            state.busy.discard(queue_id)
            state.show(queue_id)

    async def run_queue(self, *, forced: bool = False, thaws: bool = False, part: str | None = None) -> None:
        """Try what is in the queue, oldest first: `exim -q`; `forced` -qf, and `thaws` -qff.

        `part`: only messages with a recipient that contains this text; the first is forced (`exim -R TEXT`).
        """
        selected = [
            queue_id
            for queue_id in sorted(self.state.queue)
            if part is None or self._has_recipient(queue_id, part.lower())
        ]
        for place, queue_id in enumerate(selected):
            if (item := self.state.queue.get(queue_id)) is None:
                continue
            is_first = part is not None and place == 0
            is_forced = (forced or is_first) and (thaws or not item.frozen)
            await self._deliver_safely(queue_id, forced=is_forced)

    def _has_recipient(self, queue_id: str, text: str) -> bool:
        return any(text in str(recipient).lower() for recipient in self.state.queue[queue_id].remaining)

    async def _deliver_safely(self, queue_id: str, *, forced: bool = False, is_first: bool = False) -> None:
        """A mistake of ours in one message, or a disk that fails, must not keep the others from being served."""
        try:
            await self.deliver(queue_id, forced=forced, is_first=is_first)
        except Exception as problem:
            self.state.note(EventKind.PROBLEM, queue_id=queue_id, text=repr(problem))

    def _appoint_next(self) -> None:
        """Appoint the next run at its fixed time, if there is something to wait for."""
        if self.interval is None or self._next is not None or not self.state.queue:
            return
        now = self.state.surroundings.now()
        passed = (now - self._started) // self.interval
        self._appoint(self._started + (passed + 1) * self.interval)

    def _appoint(self, instant: datetime) -> None:
        async def run() -> None:
            self._next = None
            await self.run_queue()
            self._appoint_next()

        self._next = self.state.surroundings.at(instant, run, f"{self.state.name} runs its queue")
