"""What became of each recipient of one message, and what follows from it when the run is over.

DOES       writes down what is finished, notes it in the journal, keeps the retry hints, and reports failures.
STANDARDS  RFC 5321 §4.5.4 (retry), §6.1 (reports); Exim specification, chapter "Retry configuration"
SAFE       a delivered recipient is written down before the next is tried; a failed one only after its report is
           on disk. A crash in between may deliver twice, never lose.
READ NEXT  storing.py, sending.py
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from labkit.mail.address import AddressSyntaxError, Mailbox
from labkit.mail.envelope import Envelope
from labkit.mail.event import EventKind
from labkit.mail.reply import Reply
from labkit.mta.intake import Intake
from labkit.mta.legs import Leg, Progress, became
from labkit.mta.local_message import NotTaken
from labkit.mta.log_details import of_leg
from labkit.mta.state import MtaState
from labkit.queue.hints import address_key
from labkit.queue.item import QueueItem
from labkit.queue.report import FailedRecipient, failure_report
from labkit.queue.schedule import rule_for
from labkit.routing import NextHop, Route, RouteOutcome

LOGIN = "exim"  # whose name stands in the Received field of a report


class Outcomes:
    """The recipients of one message during one run, `item` as it stands now."""

    def __init__(self, state: MtaState, intake: Intake, item: QueueItem, progress: Progress) -> None:
        self.state = state
        self.intake = intake
        self.item = item
        self.progress = progress
        self.failures: dict[Mailbox, list[FailedRecipient]] = {}  # by who is to be told
        self.failed: list[Mailbox] = []  # the recipients that these belong to
        self.freezes = self.is_stuck = False
        self.is_cancelled = False  # given up, and not tried

    def reverse_path_of(self, route: Route) -> Mailbox | None:
        """Who hears of a failure further on: the sender, or whom the router names (errors_to)."""
        if route.errors_to is None:
            return self.item.envelope.reverse_path
        try:
            return Mailbox.parse(route.errors_to) if route.errors_to else None
        except AddressSyntaxError:
            return self.item.envelope.reverse_path

    def write_down(self, key: Mailbox) -> None:
        """On disk: this leg has its message. A crash from here on does not deliver it again."""
        done = self.progress.finished(key)
        if not self.progress.left and not self.failures:  # nobody else waits for it: one step instead of two
            self.state.spool.remove(self.item.queue_id)
        else:
            self.state.spool.finished(self.item.queue_id, done)
        self.item = self.item.with_finished(*done)
        self.state.queue[self.item.queue_id] = self.item  # now: the rest of this run may go wrong

    def delivered(self, leg: Leg, hop: NextHop | None, reply: Reply | None) -> None:
        self.state.hints.forget(address_key(leg.address))
        self._note(EventKind.DELIVERED, leg, reply.text if reply else None, hop, reply)

    def put_off(
        self, leg: Leg, words: str, hop: NextHop | None = None, reply: Reply | None = None, errno: int = 0
    ) -> None:
        """Defer by the address's own retry rule; without one, or when its time is over, it fails."""
        rule = rule_for(leg.address, self.state.compiled.retry_rules)
        key = address_key(leg.address)
        attempt = self.state.hints.note_failure(key, rule, words, self.state.surroundings.now())
        if attempt.next_try is None:
            self.fail(leg, f"{words}: retry timeout exceeded", hop, reply)
        else:
            self.deferred(leg, words, hop, reply, errno)

    def deferred(
        self, leg: Leg, words: str, hop: NextHop | None = None, reply: Reply | None = None, errno: int = 0
    ) -> None:
        """`errno`: the number by which Exim knows this trouble (macros.h): 111, -44, …"""
        self._note(EventKind.DEFERRED, leg, words, hop, reply, errno or None)

    def fail(
        self,
        leg: Leg,
        words: str,
        hop: NextHop | None = None,
        reply: Reply | None = None,
        *,
        told: str | None = None,
    ) -> None:
        """`words` are for the log; `told`, if they differ, for the sender."""
        if not self.is_cancelled:  # of each recipient of one that is, Exim says nothing
            self._note(EventKind.FAILED, leg, words, hop, reply)
        self.state.hints.forget(address_key(leg.address))
        told = words if told is None else told
        reason = f"host {hop.host} [{hop.address}]\n{told}" if hop else told
        route, parents = leg.route, leg.route.parents
        errors_to = self.reverse_path_of(route)
        is_dropped = self.is_cancelled and self.item.is_report
        if is_dropped or route.errors_to == "" or self._is_ignored():
            errors_to = None  # nobody is told
        elif errors_to is None:
            self.is_stuck = True  # nobody can be told
            return
        failed = FailedRecipient(
            leg.address,
            reason,
            hop.host if hop else None,
            reply,
            leg.recipient if parents else None,
            is_far=len(parents) > 1,
            target=route.text if route.is_target else "",
            is_hidden=route.hides_child,
        )
        if errors_to is not None:
            self.failures.setdefault(errors_to, []).insert(
                0, failed
            )  # the last one first, as in Exim's reports
        self.failed += self.progress.finished(leg.key)

    def _note(
        self,
        kind: EventKind,
        leg: Leg,
        words: str | None,
        hop: NextHop | None,
        reply: Reply | None,
        errno: int | None = None,
    ) -> None:
        route = leg.route
        self.state.note(
            kind,
            queue_id=self.item.queue_id,
            recipient=str(leg.address if route.outcome is RouteOutcome.DISCARDED else leg.recipient),
            became=became(leg, is_local=hop is None and kind is EventKind.DELIVERED),
            router=route.router,
            transport=route.transport,
            remote_host=hop.host if hop else None,
            remote_address=hop.address if hop else None,
            code=reply.code if reply else None,
            errno=errno,
            text=words,
            **of_leg(self.item, leg, hop, self.state.addresses[0]),
        )

    # --- the end of the run -------------------------------------------------------------------

    async def settle(self) -> None:
        """Report failures, write down what is finished, and close the message if nothing is left."""
        state = self.state
        for errors_to, failures in self.failures.items():
            await self._report(errors_to, failures)
        if self.failed:
            state.spool.finished(self.item.queue_id, self.failed)
            self.item = self.item.with_finished(*self.failed)
        state.store_hints()
        if self.freezes or self.is_stuck:
            self._freeze()
        elif self.item.remaining:
            state.queue[self.item.queue_id] = self.item
        else:
            state.spool.remove(self.item.queue_id)
            state.queue.pop(self.item.queue_id, None)
            state.note(EventKind.COMPLETED, queue_id=self.item.queue_id)

    def _freeze(self) -> None:
        """The message waits for an administrator: a router says so, or nobody can be told that it failed."""
        state, item = self.state, replace(self.item, frozen=True)
        self.item = state.queue[item.queue_id] = item
        state.spool.update(item)
        is_own_report = item.origin.protocol != "local" or item.origin.login == LOGIN
        why = " (delivery error message)" if is_own_report else " (message created with -f <>)"
        state.note(EventKind.FROZEN, queue_id=item.queue_id, text=f"Frozen{'' if self.freezes else why}")

    def _is_ignored(self) -> bool:
        """A report that cannot be delivered for so long is dropped (Exim: ignore_bounce_errors_after)."""
        limit = self.state.compiled.configuration.main.seconds("ignore_bounce_errors_after")
        age = (self.state.surroundings.now() - self.item.received_at).total_seconds()
        return self.item.is_report and age >= limit

    async def _report(self, errors_to: Mailbox, failures: Sequence[FailedRecipient]) -> None:
        """Tell whom it concerns; returns when the report is on disk."""
        state = self.state
        queue_id, now = state.new_queue_id(), state.surroundings.now()
        content = failure_report(
            self.item,
            failures,
            errors_to=errors_to,
            queue_id=queue_id,
            host=state.primary_hostname,
            qualify_domain=state.compiled.qualify_domain,
            now=now,
        )
        try:
            envelope = Envelope(None, (errors_to,))
            await self.intake.take_local(envelope, content, LOGIN, queue_id, about=self.item.queue_id)
        except NotTaken as problem:  # by the host's own ACL; its sender hears nothing, but the log does
            state.note(EventKind.PROBLEM, queue_id=self.item.queue_id, text=f"no report: {problem}")
