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
from dataclasses import dataclass, field, replace
from datetime import timedelta

from labkit.delivery.transports import AppendPlan, SmtpPlan, Trouble, planning
from labkit.mail.address import AddressSyntaxError, Mailbox
from labkit.mail.asking import answer_later
from labkit.mail.envelope import Envelope
from labkit.mail.event import EventKind
from labkit.mail.message import Message
from labkit.mail.reply import Reply
from labkit.mta.fixups import fields_of, with_fields, without
from labkit.mta.intake import Intake
from labkit.mta.local_message import NotTaken
from labkit.mta.state import MtaState
from labkit.net.mailboxes import append_to_mbox, deliver_to_maildir
from labkit.net.network import HostSilent
from labkit.net.smtp_client import hand_over
from labkit.queue.hints import address_key, host_key
from labkit.queue.item import QueueItem
from labkit.queue.report import FailedRecipient, failure_report
from labkit.queue.schedule import rule_for
from labkit.routing import NextHop, Route, Routed, RouteOutcome
from labkit.smtp.client import Client, Result, Verdict
from labkit.smtp.states import Step
from labkit.smtp.transcript import Line

CONNECT_TIMEOUT = timedelta(minutes=5)  # lab time; Exim's connect_timeout of the smtp transport
LOOP = 'Too many "Received" headers - suspected mail loop'
LOGIN = "exim"  # whose name stands in the Received field of a report


@dataclass(frozen=True, slots=True)
class Leg:
    """One way that a message takes: the recipient it is for, and the route of what the recipient became.

    `key` is what is written down when it is finished: the address; for a program or a file that with the address
    which named it; for an address that has the same text as one it came from, that with its transport.
    """

    recipient: Mailbox
    route: Route

    @property
    def address(self) -> Mailbox:
        return self.route.address

    @property
    def key(self) -> Mailbox:
        route = self.route
        if route.is_target:
            return Mailbox(route.unique, "")
        if route.unique.startswith("\\"):  # \\0\\ann@st11.sne21.test
            return Mailbox(f"{route.unique[3:]}/{route.transport}" if route.transport else route.unique, "")
        return _normal(route.address)


@dataclass(slots=True)
class Progress:
    """What is still to be done for each recipient: the keys of the legs that are not finished."""

    left: dict[Mailbox, set[Mailbox]] = field(default_factory=dict)

    def finished(self, key: Mailbox) -> list[Mailbox]:
        """A leg is finished. Returns the keys to write down: this one, and the recipients that are done with it."""
        done = [key]
        for recipient, keys in list(self.left.items()):
            keys.discard(key)
            if not keys:
                del self.left[recipient]
                done += [recipient] if recipient != key else []
        return done


class DeliveryRun:
    """One run over one message.

    `forced` ignores retry times and frozenness (exim -M, -qff). `is_first`: it has just come in, so that what is known
    of its recipients from other messages does not count; what is known of hosts does.
    """

    def __init__(
        self,
        state: MtaState,
        intake: Intake,
        item: QueueItem,
        *,
        forced: bool = False,
        is_first: bool = False,
    ) -> None:
        self.state = state
        self.intake = intake
        self.item = item
        self.forced = forced
        self.is_first = is_first
        self.message = Message.parse(item.content)
        self.env = state.env_of(item, self.message)
        self.progress = Progress({each: {_normal(each)} for each in item.remaining})
        self.failures: dict[Mailbox, list[FailedRecipient]] = {}  # by who is to be told
        self.failed: list[Mailbox] = []  # the recipients that these belong to
        self.freezes = self.is_stuck = False
        self.is_cancelled = False  # given up, and not tried
        # by leg: the recipients that came to it, and which one of several that are the same
        self.owners: dict[tuple[str, str], list[tuple[Mailbox, int]]] = {}

    async def carry_out(self) -> None:
        """Try everything that is due, then settle what became of the message."""
        if self._is_looping():
            for recipient in self.item.remaining:
                self._fail(_unrouted(recipient), LOOP, told="")
        else:
            for legs in await self._legs():
                await self._deliver(legs)
        await self._settle()

    async def cancel(self) -> None:
        """Give up what has been frozen for too long (Exim: timeout_frozen_after): a report is dropped."""
        self.is_cancelled = True
        text = "cancelled by timeout_frozen_after"
        self.state.note(EventKind.LOGGED, queue_id=self.item.queue_id, text=text)
        for recipient in self.item.remaining:
            self._fail(_unrouted(recipient), "delivery cancelled; message timed out", told="")
        await self._settle()

    def _is_looping(self) -> bool:
        limit = self.state.compiled.configuration.main.number("received_headers_max")
        return sum(1 for _ in self.message.all("Received")) > limit  # RFC 5321 §6.3

    # --- where to -----------------------------------------------------------------------------

    async def _legs(self) -> list[list[Leg]]:
        """Route all recipients that are due; those that go the same way to other hosts stay together."""
        due = []
        now = self.state.surroundings.now()
        for recipient in self.item.remaining:
            if self.forced or self.is_first or self.state.hints.is_due(address_key(recipient), now):
                due.append(recipient)
            else:
                self._deferred(_unrouted(recipient), "retry time not reached")
        together: dict[object, list[Leg]] = {}
        for leg in self._open_legs(due, await self.state.route_all(due, self.env, self.item.queue_id)):
            together.setdefault(_way(leg), []).append(leg)
        return list(together.values())

    def _open_legs(self, due: Sequence[Mailbox], routed: Sequence[Routed]) -> list[Leg]:
        """What is still to be delivered, in Exim's order; what failed, waits or vanished is settled at once."""
        finished = {key.key for key in self.item.finished}
        legs: list[Leg] = []
        met: list[Leg] = []
        for recipient, found in zip(due, routed):
            self._note_route(recipient, found)
            its_legs = [Leg(recipient, route) for route in found.routes]
            self.progress.left[recipient] = {leg.key for leg in its_legs if leg.key.key not in finished}
            if not self.progress.left[recipient]:
                self._write_down(recipient)
            legs += its_legs
            met = its_legs + met
        for leg in sorted(met, key=_generation):  # those of the last recipient first, as they were routed
            if leg.key.key not in finished:
                self._settle_leg(leg)
        ways = [
            leg for leg in legs if leg.route.outcome is RouteOutcome.ROUTED and leg.key.key not in finished
        ]
        ways = [leg for leg in ways if not leg.route.is_target] + [
            leg for leg in reversed(ways) if leg.route.is_target
        ]
        open_legs = []
        for leg in sorted(ways, key=lambda leg: (not leg.route.is_local, -_generation(leg))):
            owners = self.owners.setdefault(leg.key.key, [])
            times = self.item.envelope.forward_paths.count(leg.recipient)
            owners += [(leg.recipient, number) for number in range(times)]
            if not leg.route.is_duplicate:
                open_legs.append(leg)
        return open_legs

    def _settle_leg(self, leg: Leg) -> None:
        """What routing has come to, if that is the end of it."""
        route = leg.route
        if route.outcome is RouteOutcome.FAILED:
            self._fail(leg, route.reason or route.words, told=route.words)
        elif route.outcome is RouteOutcome.DEFERRED:
            self.freezes = self.freezes or route.freezes
            self._put_off(leg, route.reason)
        elif route.outcome is RouteOutcome.DISCARDED:
            self._delivered(leg, None, None)
            self._write_down(leg.key)

    def _note_route(self, recipient: Mailbox, routed: Routed) -> None:
        for route in routed.routes:
            steps = "; ".join(f"{step.router}: {step.because}" for step in route.steps)
            self.state.note(
                EventKind.ROUTED,
                queue_id=self.item.queue_id,
                recipient=str(recipient),
                router=route.router,
                transport=route.transport,
                text=steps,
            )

    async def _deliver(self, legs: list[Leg]) -> None:
        route = legs[0].route
        if route.is_target and route.text.startswith("|"):
            self._put_off(legs[0], f"{route.transport}: labkit runs no programs")
            return
        transport = self.state.compiled.configuration.transports[route.transport or ""]
        env = replace(self.env, variables={**self.env.variables, **route.values})
        sender = self._reverse_path(route)
        now = self.state.surroundings.now()
        asking = planning(
            transport,
            self._message_for(route),
            sender,
            self._envelope_to(legs[0]),
            env,
            now,
            route.text if route.is_target else "",
        )
        made = await answer_later(self.state.answerer(env), asking)
        if isinstance(made, Trouble):
            for leg in legs:
                self._put_off(leg, made.words)
        elif isinstance(made, AppendPlan):
            self._append(made, legs[0])
        elif not route.next_hops:
            self._put_off(legs[0], f"no host to send to: {transport.name} transport")
        else:
            await self._send(made, legs, sender)

    def _envelope_to(self, leg: Leg) -> list[Mailbox]:
        """All recipients that a delivery is for; those whose own delivery was one too many come first."""
        own, *others = self.owners.get(leg.key.key) or [(leg.recipient, 0)]
        return [recipient for recipient, _ in dict.fromkeys([*reversed(others), own])]

    def _reverse_path(self, route: Route) -> Mailbox | None:
        """Who hears of a failure further on: the sender, or whom the router names (errors_to)."""
        if route.errors_to is None:
            return self.item.envelope.reverse_path
        try:
            return Mailbox.parse(route.errors_to) if route.errors_to else None
        except AddressSyntaxError:
            return self.item.envelope.reverse_path

    def _message_for(self, route: Route) -> Message:
        """The message with the fields that routers add and remove."""
        names = [name.strip(" \t") for text in route.headers_remove for name in text.split(":")]
        message = without(self.message, names) if names else self.message
        return with_fields(message, [field for text in route.headers_add for field in fields_of(text)])

    # --- into a mailbox -----------------------------------------------------------------------

    def _append(self, made: AppendPlan, leg: Leg) -> None:
        now = self.state.surroundings.now()
        path = self.state.root / made.path.lstrip("/")
        delivery = f"{self.item.queue_id} {leg.route.unique or leg.address}"
        try:
            if made.is_maildir:
                index = self.item.envelope.forward_paths.index(leg.recipient)
                deliver_to_maildir(
                    path,
                    made.content,
                    root=self.state.root,
                    queue_id=self.item.queue_id,
                    recipient_index=index,
                    mode=made.mode,
                )
                self._write_down(leg.key)
            else:
                append_to_mbox(
                    path,
                    made.content,
                    made.sender,
                    now,
                    root=self.state.root,
                    delivery=delivery,
                    mode=made.mode,
                    stored=lambda: self._write_down(leg.key),
                )
        except OSError as problem:
            self._put_off(leg, f"{made.path}: {problem.strerror or problem}")
        else:
            self._delivered(leg, None, None)

    # --- to another host ----------------------------------------------------------------------

    async def _send(self, made: SmtpPlan, legs: list[Leg], sender: Mailbox | None) -> None:
        """Try the hosts in order until every recipient has a verdict."""
        waiting = {leg.address: leg for leg in legs}
        hints, surroundings = self.state.hints, self.state.surroundings
        tried: list[tuple[NextHop, str]] = []
        for hop in legs[0].route.next_hops:
            if not waiting:
                return
            key = host_key(hop.host, hop.address)
            if not self.forced and not hints.is_due(key, surroundings.now()):
                continue
            envelope = Envelope(sender, tuple(waiting))
            client, result, problem = await self._try_host(hop, made, envelope, legs[0].route)
            verdicts = {verdict.recipient: verdict for verdict in result.verdicts} if result else {}
            for address in [address for address in waiting if address in verdicts]:
                self._judge(waiting.pop(address), hop, verdicts[address], sender)
            if client is not None and client.refusal is not None and client.refusal.is_permanent:
                for address in tuple(waiting):
                    words = f"SMTP error from remote mail server after initial connection: {client.refusal}"
                    self._fail(waiting.pop(address), words, hop, client.refusal)
            elif problem:
                rule = rule_for(legs[0].address, self.state.compiled.retry_rules)
                hints.note_failure(key, rule, problem, surroundings.now())
                tried.append((hop, problem))
            else:
                hints.forget(key)
        for leg in waiting.values():
            self._no_host_took(leg, tried)

    async def _try_host(
        self, hop: NextHop, made: SmtpPlan, envelope: Envelope, route: Route
    ) -> tuple[Client | None, Result | None, str]:
        """One connection to one host: the client, the result, and what kept us from a full result."""
        try:
            client, result = await hand_over(
                self.state.network,
                self.state.addresses[0],
                hop.address,
                hop.port or made.port,
                made.helo_name,
                envelope,
                bytes(self._message_for(route)),
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

    def _judge(self, leg: Leg, hop: NextHop, verdict: Verdict, sender: Mailbox | None) -> None:
        """What one recipient's reply means."""
        if verdict.reply.is_positive:
            self._write_down(leg.key)
            self._delivered(leg, hop, verdict.reply)
            return
        phase = {
            Step.MAIL: f"MAIL FROM:<{sender or ''}>",
            Step.RCPT: f"RCPT TO:<{leg.address}>",
            Step.DATA: "DATA",
        }.get(verdict.step, "end of data")
        words = f"SMTP error from remote mail server after {phase}: {verdict.reply}"
        if verdict.reply.is_permanent:
            self._fail(leg, words, hop, verdict.reply)
        else:
            self._put_off(leg, words, hop, verdict.reply)

    def _no_host_took(self, leg: Leg, tried: list[tuple[NextHop, str]]) -> None:
        if not tried:
            self._deferred(leg, f"retry time not reached for any host for '{leg.address.domain}'")
            return
        hop, problem = tried[-1]
        keys = [host_key(each.host, each.address) for each in leg.route.next_hops]
        if all(self.state.hints.has_run_out(key) for key in keys):
            self._fail(leg, f"{problem}: retry timeout exceeded", hop)
        else:
            self._deferred(leg, problem, hop)

    # --- what became of a recipient -----------------------------------------------------------

    def _write_down(self, key: Mailbox) -> None:
        """On disk: this leg has its message. A crash from here on does not deliver it again."""
        done = self.progress.finished(key)
        if not self.progress.left and not self.failures:  # nobody else waits for it: one step instead of two
            self.state.spool.remove(self.item.queue_id)
        else:
            self.state.spool.finished(self.item.queue_id, done)
        self.item = self.item.with_finished(*done)
        self.state.queue[self.item.queue_id] = self.item  # now: the rest of this run may go wrong

    def _delivered(self, leg: Leg, hop: NextHop | None, reply: Reply | None) -> None:
        self.state.hints.forget(address_key(leg.address))
        self._note(EventKind.DELIVERED, leg, reply.text if reply else None, hop, reply)

    def _put_off(self, leg: Leg, words: str, hop: NextHop | None = None, reply: Reply | None = None) -> None:
        """Defer by the address's own retry rule; without one, or when its time is over, it fails."""
        rule = rule_for(leg.address, self.state.compiled.retry_rules)
        key = address_key(leg.address)
        attempt = self.state.hints.note_failure(key, rule, words, self.state.surroundings.now())
        if attempt.next_try is None:
            self._fail(leg, f"{words}: retry timeout exceeded", hop, reply)
        else:
            self._deferred(leg, words, hop, reply)

    def _deferred(self, leg: Leg, words: str, hop: NextHop | None = None, reply: Reply | None = None) -> None:
        self._note(EventKind.DEFERRED, leg, words, hop, reply)

    def _fail(
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
        errors_to = self._reverse_path(route)
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
        self, kind: EventKind, leg: Leg, words: str | None, hop: NextHop | None, reply: Reply | None
    ) -> None:
        route = leg.route
        self.state.note(
            kind,
            queue_id=self.item.queue_id,
            recipient=str(leg.address if route.outcome is RouteOutcome.DISCARDED else leg.recipient),
            became=_became(leg, is_local=hop is None and kind is EventKind.DELIVERED),
            router=route.router,
            transport=route.transport,
            remote_host=hop.host if hop else None,
            remote_address=hop.address if hop else None,
            code=reply.code if reply else None,
            text=words,
        )

    # --- the end of the run -------------------------------------------------------------------

    async def _settle(self) -> None:
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


def _normal(address: Mailbox) -> Mailbox:
    """The same, whatever the case of its domain was."""
    return Mailbox(address.local_part, address.domain.lower())


def _unrouted(recipient: Mailbox) -> Leg:
    return Leg(recipient, Route(recipient, RouteOutcome.DEFERRED, ""))


def _became(leg: Leg, *, is_local: bool) -> str | None:
    """What the log shows beside the address that the sender named; a delivery here shows a local part alone."""
    route = leg.route
    if route.is_target:
        return route.text
    if route.outcome is RouteOutcome.DISCARDED:
        return ":blackhole:"
    if is_local:
        local_part = route.values.get(
            "local_part", leg.address.local_part
        ).lower()  # without prefix and suffix
        return None if local_part == leg.recipient.local_part.lower() else local_part
    return None if leg.address.key == leg.recipient.key else str(leg.address)


def _generation(leg: Leg) -> int:
    """How many addresses it came from."""
    return len(leg.route.parents)


def _way(leg: Leg) -> object:
    """What must be the same for two legs to travel together: to mailboxes each goes alone."""
    route = leg.route
    if not route.next_hops:
        return id(leg)
    return (route.transport, route.next_hops, route.errors_to, route.headers_add, route.headers_remove)
