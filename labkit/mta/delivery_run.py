"""Delivering one message: route every recipient, try the hosts, note what became of each, report failures.

DOES       one run over one queue item. A recipient ends delivered, failed, or deferred until its retry time.
STANDARDS  RFC 5321 §4.5.4 (retry), §6.1 (reports), §6.3 (loops); Exim specification, chapters
           "How Exim receives and delivers mail" and "Retry configuration"
SAFE       a delivered recipient is written down before the next is tried; a failed one only after its report is
           on disk. A crash in between may deliver twice, never lose.
READ NEXT  runner.py
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import timedelta

from labkit.delivery.transports import AppendPlan, SmtpPlan, plan
from labkit.mail.address import Mailbox
from labkit.mail.envelope import Envelope
from labkit.mail.event import EventKind
from labkit.mail.message import Message
from labkit.mail.reply import Reply
from labkit.mta.intake import Intake
from labkit.mta.state import MtaState
from labkit.net.mailboxes import append_to_mbox, deliver_to_maildir
from labkit.net.network import HostSilent
from labkit.net.smtp_client import hand_over
from labkit.queue.hints import address_key, host_key
from labkit.queue.item import QueueItem
from labkit.queue.report import FailedRecipient, failure_report
from labkit.queue.schedule import rule_for
from labkit.routing.mx import NextHop
from labkit.routing.routers import Route, RouteOutcome
from labkit.smtp.client import Client, Result, Verdict
from labkit.smtp.states import Step
from labkit.smtp.transcript import Line

CONNECT_TIMEOUT = timedelta(minutes=5)  # lab time; Exim's connect_timeout of the smtp transport
LOOP = 'Too many "Received" headers - suspected mail loop'
LOGIN = "exim"  # whose name stands in the Received field of a report


class DeliveryRun:
    """One run over one message. `forced` ignores retry times and frozenness (exim -M, -qff)."""

    def __init__(self, state: MtaState, intake: Intake, item: QueueItem, *, forced: bool = False) -> None:
        self.state = state
        self.intake = intake
        self.item = item
        self.forced = forced
        self.message = Message.parse(item.content)
        self.left = set(item.remaining)  # who does not have it yet
        self.failures: list[FailedRecipient] = []

    async def carry_out(self) -> None:
        """Try everything that is due, then settle what became of the message."""
        if self._is_looping():
            for recipient in self.item.remaining:
                self._failed(recipient, LOOP)
        else:
            for routes in await self._routes():
                await self._deliver(routes)
        await self._settle()

    def _is_looping(self) -> bool:
        limit = self.state.compiled.configuration.main.number("received_headers_max")
        return sum(1 for _ in self.message.all("Received")) > limit  # RFC 5321 §6.3

    # --- where to -----------------------------------------------------------------------------

    async def _routes(self) -> list[list[Route]]:
        """Route all recipients; those that go the same way to other hosts stay together."""
        together: dict[tuple[str | None, tuple[NextHop, ...]], list[Route]] = {}
        alone: list[list[Route]] = []
        for recipient in self.item.remaining:
            key = address_key(recipient)
            if not self.forced and not self.state.hints.is_due(key, self.state.surroundings.now()):
                self._deferred(recipient, "retry time not reached", None)
                continue
            route = await self.state.route(recipient, self.item.queue_id)
            steps = "; ".join(f"{step.router}: {step.because}" for step in route.steps)
            self.state.note(
                EventKind.ROUTED,
                queue_id=self.item.queue_id,
                recipient=str(recipient),
                router=route.router,
                transport=route.transport,
                text=steps,
            )
            if route.outcome is RouteOutcome.FAILED:
                self._failed(recipient, route.reason, route)
            elif route.outcome is RouteOutcome.DEFERRED:
                self._put_off(recipient, route.reason, route)
            elif route.next_hops:
                together.setdefault((route.transport, route.next_hops), []).append(route)
            else:
                alone.append([route])
        return [*alone, *together.values()]

    async def _deliver(self, routes: list[Route]) -> None:
        transport = self.state.compiled.configuration.transports[routes[0].transport or ""]
        recipients = [route.address for route in routes]
        values = {**routes[0].values, **self._values()}
        now = self.state.surroundings.now()
        made = plan(transport, self.message, self.item.envelope.reverse_path, recipients, values, now)
        if isinstance(made, SmtpPlan):
            if not routes[0].next_hops:
                self._put_off(recipients[0], f"no host to send to: {transport.name} transport", routes[0])
                return
            await self._send(made, routes)
        else:
            self._append(made, routes[0])

    def _values(self) -> dict[str, str]:
        """The expansion variables that belong to the host and to the message."""
        origin = self.item.origin
        return {
            "primary_hostname": self.state.primary_hostname,
            "qualify_domain": self.state.compiled.qualify_domain,
            "sender_address": self.item.envelope.sender,
            "sender_helo_name": origin.helo_name,
            "sender_host_address": origin.client_address,
        }

    # --- into a mailbox -----------------------------------------------------------------------

    def _append(self, made: AppendPlan, route: Route) -> None:
        now = self.state.surroundings.now()
        path = self.state.root / made.path.lstrip("/")
        delivery = f"{self.item.queue_id} {route.address}"
        try:
            if made.is_maildir:
                index = self.item.envelope.forward_paths.index(route.address)
                deliver_to_maildir(
                    path,
                    made.content,
                    root=self.state.root,
                    queue_id=self.item.queue_id,
                    recipient_index=index,
                    mode=made.mode,
                )
                self._write_down(route.address)
            else:
                append_to_mbox(
                    path,
                    made.content,
                    made.sender,
                    now,
                    root=self.state.root,
                    delivery=delivery,
                    mode=made.mode,
                    stored=lambda: self._write_down(route.address),
                )
        except OSError as problem:
            self._put_off(route.address, f"{made.path}: {problem.strerror or problem}", route)
        else:
            self._delivered(route, None, None)

    # --- to another host ----------------------------------------------------------------------

    async def _send(self, made: SmtpPlan, routes: list[Route]) -> None:
        """Try the hosts in order until every recipient has a verdict."""
        waiting = {route.address: route for route in routes}
        hints, surroundings = self.state.hints, self.state.surroundings
        tried: list[tuple[NextHop, str]] = []
        for hop in routes[0].next_hops:
            if not waiting:
                return
            key = host_key(hop.host, hop.address)
            if not self.forced and not hints.is_due(key, surroundings.now()):
                continue
            envelope = Envelope(self.item.envelope.reverse_path, tuple(waiting))
            client, result, problem = await self._try_host(hop, made, envelope)
            for verdict in result.verdicts if result else ():
                self._judge(waiting.pop(verdict.recipient), hop, verdict)
            if client is not None and client.refusal is not None and client.refusal.is_permanent:
                for recipient in tuple(waiting):
                    words = f"SMTP error from remote mail server after initial connection: {client.refusal}"
                    self._failed(recipient, words, waiting.pop(recipient), hop, client.refusal)
            elif problem:
                rule = rule_for(routes[0].address, self.state.compiled.retry_rules)
                hints.note_failure(key, rule, problem, surroundings.now())
                tried.append((hop, problem))
            else:
                hints.forget(key)
        for recipient, route in waiting.items():
            self._no_host_took(recipient, route, tried)

    async def _try_host(
        self, hop: NextHop, made: SmtpPlan, envelope: Envelope
    ) -> tuple[Client | None, Result | None, str]:
        """One connection to one host: the client, the result, and what kept us from a full result."""
        try:
            client, result = await hand_over(
                self.state.network,
                self.state.addresses[0],
                hop.address,
                made.port,
                made.helo_name,
                envelope,
                self.item.content,
                on_line=self._hear(hop),
            )
        except HostSilent:
            await self.state.surroundings.sleep(CONNECT_TIMEOUT)
            return None, None, "Connection timed out"
        except OSError as problem:
            return (
                None,
                None,
                "Connection refused" if isinstance(problem, ConnectionRefusedError) else str(problem),
            )
        if result is not None:
            return client, result, result.broken
        return client, None, str(client.refusal) if client.refusal else client.broken

    def _hear(self, hop: NextHop) -> Callable[[Line], None]:
        """Write the client's side of a conversation into the journal."""
        number = self.state.surroundings.next_process()

        def heard(line: Line) -> None:
            self.state.note(
                EventKind.DIALOGUE,
                queue_id=self.item.queue_id,
                session=number,
                remote_host=hop.host,
                remote_address=hop.address,
                speaker=line.speaker,
                text=line.text,
                state=line.state,
            )

        return heard

    def _judge(self, route: Route, hop: NextHop, verdict: Verdict) -> None:
        """What one recipient's reply means."""
        if verdict.reply.is_positive:
            self._write_down(route.address)
            self._delivered(route, hop, verdict.reply)
            return
        phase = {
            Step.MAIL: f"MAIL FROM:<{self.item.envelope.sender}>",
            Step.RCPT: f"RCPT TO:<{route.address}>",
            Step.DATA: "DATA",
        }.get(verdict.step, "end of data")
        words = f"SMTP error from remote mail server after {phase}: {verdict.reply}"
        if verdict.reply.is_permanent:
            self._failed(route.address, words, route, hop, verdict.reply)
        else:
            self._put_off(route.address, words, route, hop, verdict.reply)

    def _no_host_took(self, recipient: Mailbox, route: Route, tried: list[tuple[NextHop, str]]) -> None:
        if not tried:
            words = f"retry time not reached for any host for '{recipient.domain}'"
            self._deferred(recipient, words, route)
            return
        hop, problem = tried[-1]
        keys = [host_key(each.host, each.address) for each in route.next_hops]
        if all(self.state.hints.has_run_out(key) for key in keys):
            self._failed(recipient, f"{problem}: retry timeout exceeded", route, hop)
        else:
            self._deferred(recipient, problem, route, hop)

    # --- what became of a recipient -----------------------------------------------------------

    def _write_down(self, recipient: Mailbox) -> None:
        """On disk: this recipient has the message. A crash from here on does not deliver it again."""
        if self.left == {recipient}:  # nobody else waits for it: one step instead of two
            self.state.spool.remove(self.item.queue_id)
        else:
            self.state.spool.finished(self.item.queue_id, (recipient,))

    def _delivered(self, route: Route, hop: NextHop | None, reply: Reply | None) -> None:
        self.left.discard(route.address)
        self.item = self.item.with_finished(route.address)
        self.state.queue[self.item.queue_id] = self.item  # now: the rest of this run may go wrong
        self.state.hints.forget(address_key(route.address))
        self._note(EventKind.DELIVERED, route.address, reply.text if reply else None, route, hop, reply)

    def _put_off(
        self,
        recipient: Mailbox,
        words: str,
        route: Route | None = None,
        hop: NextHop | None = None,
        reply: Reply | None = None,
    ) -> None:
        """Defer by the address's own retry rule; without one, or when its time is over, it fails."""
        rule = rule_for(recipient, self.state.compiled.retry_rules)
        attempt = self.state.hints.note_failure(
            address_key(recipient), rule, words, self.state.surroundings.now()
        )
        if attempt.next_try is None:
            self._failed(recipient, f"{words}: retry timeout exceeded", route, hop, reply)
        else:
            self._deferred(recipient, words, route, hop, reply)

    def _deferred(
        self,
        recipient: Mailbox,
        words: str,
        route: Route | None,
        hop: NextHop | None = None,
        reply: Reply | None = None,
    ) -> None:
        self._note(EventKind.DEFERRED, recipient, words, route, hop, reply)

    def _failed(
        self,
        recipient: Mailbox,
        words: str,
        route: Route | None = None,
        hop: NextHop | None = None,
        reply: Reply | None = None,
    ) -> None:
        self._note(EventKind.FAILED, recipient, words, route, hop, reply)
        self.state.hints.forget(address_key(recipient))
        host = hop.host if hop else None
        reason = f"host {hop.host} [{hop.address}]\n{words}" if hop else words
        self.failures.append(FailedRecipient(recipient, reason, host, reply))

    def _note(
        self,
        kind: EventKind,
        recipient: Mailbox,
        words: str | None,
        route: Route | None,
        hop: NextHop | None,
        reply: Reply | None,
    ) -> None:
        self.state.note(
            kind,
            queue_id=self.item.queue_id,
            recipient=str(recipient),
            router=route.router if route else None,
            transport=route.transport if route else None,
            remote_host=hop.host if hop else None,
            remote_address=hop.address if hop else None,
            code=reply.code if reply else None,
            text=words,
        )

    # --- the end of the run -------------------------------------------------------------------

    async def _settle(self) -> None:
        """Report failures, write down what is finished, and close the message if nothing is left."""
        state, item = self.state, self.item
        failed = tuple(each.recipient for each in self.failures)
        if failed and item.is_report:  # nobody can be told: keep it for the postmaster
            self.item = replace(item, frozen=True)
            state.queue[item.queue_id] = self.item
            state.spool.update(self.item)
            state.note(EventKind.FROZEN, queue_id=item.queue_id, text="Frozen (delivery error message)")
            return
        if failed:
            await self._report(self.failures)
            state.spool.finished(item.queue_id, failed)
            item = item.with_finished(*failed)
        state.store_hints()
        if item.remaining:
            state.queue[item.queue_id] = item
            return
        state.spool.remove(item.queue_id)
        state.queue.pop(item.queue_id, None)
        state.note(EventKind.COMPLETED, queue_id=item.queue_id)

    async def _report(self, failures: Sequence[FailedRecipient]) -> None:
        """Tell the sender; returns when the report is on disk."""
        state, sender = self.state, self.item.envelope.reverse_path
        assert sender is not None
        queue_id, now = state.new_queue_id(), state.surroundings.now()
        content = failure_report(
            self.item,
            failures,
            queue_id=queue_id,
            host=state.primary_hostname,
            qualify_domain=state.compiled.qualify_domain,
            now=now,
        )
        await self.intake.take_local(Envelope(None, (sender,)), content, LOGIN, queue_id)
