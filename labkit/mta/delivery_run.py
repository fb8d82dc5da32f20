"""Delivering one message: route every recipient, and carry out what its transport plans.

DOES       one run over one queue item. A recipient ends delivered, failed, or deferred until its retry time.
STANDARDS  RFC 5321 §4.5.4 (retry), §6.1 (reports), §6.3 (loops); Exim specification, chapters
           "How Exim receives and delivers mail" and "Retry configuration"
READ NEXT  legs.py, outcomes.py
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from labkit.delivery.transports import AppendPlan, Trouble, planning
from labkit.mail.address import Mailbox
from labkit.mail.asking import answer_later
from labkit.mail.event import EventKind
from labkit.mail.message import Message
from labkit.mta.fixups import fields_of, with_fields, without
from labkit.mta.intake import Intake
from labkit.mta.legs import Leg, Progress, generation, normal, unrouted, way
from labkit.mta.outcomes import Outcomes
from labkit.mta.sending import Sending
from labkit.mta.state import MtaState
from labkit.mta.storing import store
from labkit.queue.hints import address_key
from labkit.queue.item import QueueItem
from labkit.routing import Route, Routed, RouteOutcome

LOOP = 'Too many "Received" headers - suspected mail loop'


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
        self.forced = forced
        self.is_first = is_first
        self.message = Message.parse(item.content)
        self.env = state.env_of(item, self.message)
        progress = Progress({each: {normal(each)} for each in item.remaining})
        self.outcomes = Outcomes(state, intake, item, progress)
        self.sending = Sending(self)
        # by leg: the recipients that came to it, and which one of several that are the same
        self.owners: dict[tuple[str, str], list[tuple[Mailbox, int]]] = {}

    @property
    def item(self) -> QueueItem:
        """The message as it stands now."""
        return self.outcomes.item

    async def carry_out(self) -> None:
        """Try everything that is due, then settle what became of the message."""
        if self._is_looping():
            for recipient in self.item.remaining:
                self.outcomes.fail(unrouted(recipient), LOOP, told="")
        else:
            for legs in await self._legs():
                await self._deliver(legs)
        await self.outcomes.settle()

    async def cancel(self) -> None:
        """Give up what has been frozen for too long (Exim: timeout_frozen_after): a report is dropped."""
        self.outcomes.is_cancelled = True
        text = "cancelled by timeout_frozen_after"
        self.state.note(EventKind.LOGGED, queue_id=self.item.queue_id, text=text)
        for recipient in self.item.remaining:
            self.outcomes.fail(unrouted(recipient), "delivery cancelled; message timed out", told="")
        await self.outcomes.settle()

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
                self.outcomes.deferred(unrouted(recipient), "retry time not reached")
        together: dict[object, list[Leg]] = {}
        for leg in self._open_legs(due, await self.state.route_all(due, self.env, self.item.queue_id)):
            together.setdefault(way(leg), []).append(leg)
        return list(together.values())

    def _open_legs(self, due: Sequence[Mailbox], routed: Sequence[Routed]) -> list[Leg]:
        """What is still to be delivered, in Exim's order; what failed, waits or vanished is settled at once."""
        finished = {key.key for key in self.item.finished}
        legs: list[Leg] = []
        met: list[Leg] = []
        for recipient, found in zip(due, routed):
            self._note_route(recipient, found)
            its_legs = [Leg(recipient, route) for route in found.routes]
            self.outcomes.progress.left[recipient] = {
                leg.key for leg in its_legs if leg.key.key not in finished
            }
            if not self.outcomes.progress.left[recipient]:
                self.outcomes.write_down(recipient)
            legs += its_legs
            met = its_legs + met
        for leg in sorted(met, key=generation):  # those of the last recipient first, as they were routed
            if leg.key.key not in finished:
                self._settle_leg(leg)
        ways = [
            leg for leg in legs if leg.route.outcome is RouteOutcome.ROUTED and leg.key.key not in finished
        ]
        ways = [leg for leg in ways if not leg.route.is_target] + [
            leg for leg in reversed(ways) if leg.route.is_target
        ]
        open_legs = []
        for leg in sorted(ways, key=lambda leg: (not leg.route.is_local, -generation(leg))):
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
            self.outcomes.fail(leg, route.reason or route.words, told=route.words)
        elif route.outcome is RouteOutcome.DEFERRED:
            self.outcomes.freezes = self.outcomes.freezes or route.freezes
            self.outcomes.put_off(leg, route.reason)
        elif route.outcome is RouteOutcome.DISCARDED:
            self.outcomes.delivered(leg, None, None)
            self.outcomes.write_down(leg.key)

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
            self.outcomes.put_off(legs[0], f"{route.transport}: labkit runs no programs")
            return
        transport = self.state.compiled.configuration.transports[route.transport or ""]
        env = replace(self.env, variables={**self.env.variables, **route.values})
        sender = self.outcomes.reverse_path_of(route)
        now = self.state.surroundings.now()
        asking = planning(
            transport,
            self.message_for(route),
            sender,
            self._envelope_to(legs[0]),
            env,
            now,
            route.text if route.is_target else "",
        )
        made = await answer_later(self.state.answerer(env), asking)
        if isinstance(made, Trouble):
            for leg in legs:
                self.outcomes.put_off(leg, made.words)
        elif isinstance(made, AppendPlan):
            store(self, made, legs[0])
        elif not route.next_hops:
            self.outcomes.put_off(legs[0], f"no host to send to: {transport.name} transport")
        else:
            await self.sending.send(made, legs, sender)

    def _envelope_to(self, leg: Leg) -> list[Mailbox]:
        """All recipients that a delivery is for; those whose own delivery was one too many come first."""
        own, *others = self.owners.get(leg.key.key) or [(leg.recipient, 0)]
        return [recipient for recipient, _ in dict.fromkeys([*reversed(others), own])]

    def message_for(self, route: Route) -> Message:
        """The message with the fields that routers add and remove."""
        names = [name.strip(" \t") for text in route.headers_remove for name in text.split(":")]
        message = without(self.message, names) if names else self.message
        return with_fields(message, [field for text in route.headers_add for field in fields_of(text)])
