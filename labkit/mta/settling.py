"""The end of a run: the hints hear what failed, senders hear what they want to hear, and the message waits or goes.

ORDER      hints; then what has waited for too long is given up; reports of success; reports of failure; if anything is
           left, a warning that it takes long, and the message may freeze; else it is complete. That is Exim's order.
SAFE       a failed recipient is written down when its report is on disk, and not before
STANDARDS  RFC 5321 §6.1 (reports); RFC 3461 §5 (who wants which); Exim specification, chapter "Retry configuration"
READ NEXT  telling.py
"""

from __future__ import annotations

from dataclasses import replace

from labkit.mail.address import Mailbox
from labkit.mail.asking import answer_later
from labkit.mail.event import EventKind
from labkit.mta.outcomes import LOGIN, Ending, Outcomes, Troubles
from labkit.mta.telling import Teller
from labkit.queue.errors import NO_WARNING_FROM, NOT_DUE, NOT_DUE_LOCAL
from labkit.queue.item import QueueItem
from labkit.queue.retrying import RetryItem


class Settling:
    """What follows from the outcomes of one run. `before` is the message as it stands on disk."""

    def __init__(self, outcomes: Outcomes, before: QueueItem, login: str = LOGIN) -> None:
        self.outcomes = outcomes
        self.state = outcomes.state
        self.before = before
        self.teller = Teller(outcomes.state, outcomes.intake, before, login)
        self._over: dict[int, bool] = {}  # by item: whether its time is over

    async def settle(self) -> None:
        outcomes, state = self.outcomes, self.state
        await self._update_hints()
        succeeded = [
            each
            for each in outcomes.successes
            if not each.passed_on and each.wishes.notify and "SUCCESS" in each.wishes.notify
        ]
        if succeeded and not outcomes.item.is_report:
            await self.teller.tell_success(succeeded[::-1])  # in the order of delivery
        await self._tell_failures()
        state.store_hints()
        if outcomes.waiting or outcomes.stuck or outcomes.item.remaining:
            await self._keep()
        else:
            state.spool.remove(outcomes.item.queue_id)
            state.queue.pop(outcomes.item.queue_id, None)
            state.note(EventKind.COMPLETED, queue_id=outcomes.item.queue_id)

    # --- hints --------------------------------------------------------------------------------

    async def _update_hints(self) -> None:
        """Every trouble once; what waits, and has nothing left whose time is not over, has failed."""
        outcomes = self.outcomes
        ended = [each.leg for each in (*outcomes.successes, *outcomes.failures)]
        waits = bool(outcomes.waiting or outcomes.stuck)
        of_waiting = [outcomes.troubles(each.leg) for each in outcomes.waiting]
        of_ended = [outcomes.troubles(leg) for leg in ended]
        others = [each for each in outcomes.all_troubles() if each not in of_waiting and each not in of_ended]
        kept = {
            key for each in outcomes.all_troubles() for key, item in each.items.items() if not item.forgets
        }
        for troubles in [*of_ended, *others]:
            for item in troubles.items.values():
                await self._update(item, kept, waits=waits)
        for ending, troubles in zip(tuple(outcomes.waiting), of_waiting):
            if await self._is_over(troubles, kept):
                self._give_up(ending)

    async def _is_over(self, troubles: Troubles, kept: set[str]) -> bool:
        failing = []
        for item in troubles.items.values():
            is_over = await self._update(item, kept, waits=True)
            if not item.forgets:
                failing.append(is_over)
        return bool(failing) and all(failing) and not troubles.has_skipped

    async def _update(self, item: RetryItem, kept: set[str], *, waits: bool) -> bool:
        if item.forgets or (item.is_of_message and not waits):
            if item.key not in kept or not item.forgets:
                self.state.hints.forget(item.key)
            return False
        if id(item) not in self._over:
            retrying = self.outcomes.retrying
            asking = retrying.updating(item, self.state.surroundings.now())
            self._over[id(item)] = await answer_later(self.state.answerer(retrying.env), asking)
        return self._over[id(item)]

    def _give_up(self, ending: Ending) -> None:
        outcomes = self.outcomes
        outcomes.waiting.remove(ending)
        ending.has_timed_out = True
        ending.told = f"{ending.told}: retry timeout exceeded" if ending.told else "retry timeout exceeded"
        outcomes.failures.insert(0, ending)
        outcomes.note_timeout(ending.leg)

    # --- failures -----------------------------------------------------------------------------

    async def _tell_failures(self) -> None:
        """One report for all that have the same person to tell; the last failure's first."""
        failures = self.outcomes.failures
        while failures:
            errors_to = self._who_hears(failures[0])
            if errors_to is None:
                self._finish([failures.pop(0)])
                continue
            same = [each for each in failures if self.outcomes.reverse_path_of(each.leg.route) == errors_to]
            for each in same:
                failures.remove(each)
            await self.teller.tell_failures(errors_to, same)
            self._finish(same)

    def _who_hears(self, ending: Ending) -> Mailbox | None:
        """None: nobody; the log says why."""
        route = ending.leg.route
        errors_to = self.outcomes.reverse_path_of(route)
        notify = ending.wishes.notify
        is_unwanted = notify is not None and "FAILURE" not in notify
        if (
            errors_to is not None
            and route.errors_to != ""
            and not self.outcomes.is_ignored()
            and not is_unwanted
        ):
            return errors_to
        parent = f" <{ending.leg.recipient}>" if route.parents else ""
        why = ": RFC 3461 DSN, failure notify not requested" if is_unwanted and errors_to is not None else ""
        words = f"{ending.leg.address}{parent}: error ignored{why}"
        self.state.note(EventKind.LOGGED, queue_id=self.outcomes.item.queue_id, text=words)
        return None

    def _finish(self, endings: list[Ending]) -> None:
        outcomes = self.outcomes
        done = [key for each in endings for key in outcomes.progress.finished(each.leg.key)]
        self.state.spool.finished(outcomes.item.queue_id, done)
        outcomes.item = outcomes.item.with_finished(*done)

    # --- what is left -------------------------------------------------------------------------

    async def _keep(self) -> None:
        """The message waits; it may be time to tell its sender, and it may freeze."""
        outcomes, state = self.outcomes, self.state
        item = outcomes.item
        left = [*outcomes.waiting, *outcomes.stuck]
        if any(each.errno > NO_WARNING_FROM for each in left):
            warnings = await self.teller.warn(left, outcomes.age)
            item = replace(item, warnings=max(warnings, item.warnings))
        item = replace(item, is_untried=False)
        if any(self._waits_without_hint(each) for each in outcomes.waiting):
            state.for_each_run.add(item.queue_id)
        if outcomes.freezes or outcomes.stuck:
            item = item.freeze(state.surroundings.now())
            why = self._why_frozen(item)
            if (
                item.origin.client_address
                or item.origin.login != LOGIN
                or item.envelope.reverse_path is not None
            ):
                await self.teller.tell_of_freezing(left, why)
            state.note(EventKind.FROZEN, queue_id=item.queue_id, text=f"Frozen{why}")
        if replace(item, finished=frozenset()) != replace(self.before, finished=frozenset()):
            state.spool.update(item)
        outcomes.item = state.queue[item.queue_id] = item

    def _waits_without_hint(self, ending: Ending) -> bool:
        """Of some troubles the hints hear nothing: a held domain, a field of a transport that cannot be expanded."""
        if ending.errno in (NOT_DUE, NOT_DUE_LOCAL):
            return False
        troubles = self.outcomes.troubles(ending.leg)
        return not troubles.has_skipped and all(item.forgets for item in troubles.items.values())

    def _why_frozen(self, item: QueueItem) -> str:
        if self.outcomes.freezes:
            return ""
        origin = item.origin
        is_by_hand = bool(origin.login) and not (
            origin.client_address or origin.is_report or origin.names_sender
        )
        return " (message created with -f <>)" if is_by_hand else " (delivery error message)"
