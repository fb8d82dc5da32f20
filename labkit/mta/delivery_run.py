"""Delivering one message: route every recipient, and carry out what its transport plans.

DOES       one run over one queue item. A recipient ends delivered, failed, or deferred until its retry time.
STANDARDS  RFC 5321 §4.5.4 (retry), §6.1 (reports), §6.3 (loops); Exim specification, chapters
           "How Exim receives and delivers mail" and "Retry configuration"
READ NEXT  legs.py, outcomes.py, settling.py
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from labkit.delivery.generic import without_those
from labkit.delivery.transports import SmtpPlan, Trouble, planning, preparing
from labkit.eximconf.lists import Match, PatternList
from labkit.mail.address import Mailbox
from labkit.mail.asking import answer_later
from labkit.mail.event import EventKind
from labkit.mail.fields import fields_of
from labkit.mail.message import HeaderField, Message
from labkit.mta.calling import Called
from labkit.mta.continuing import GoOn
from labkit.mta.grouping import grouped
from labkit.mta.intake import Intake
from labkit.mta.legs import Leg, Progress, generation, normal, unrouted
from labkit.mta.local_delivery import LocalDelivery, settle_trouble
from labkit.mta.outcomes import LOGIN, Outcomes
from labkit.mta.sending import Sending
from labkit.mta.settling import Settling
from labkit.mta.state import MtaState
from labkit.queue import errors
from labkit.queue.item import QueueItem
from labkit.routing import Route, Routed, RouteOutcome

LOOP = 'Too many "Received" headers - suspected mail loop'


@dataclass(frozen=True, slots=True)
class Mode:
    """Why a message is tried, and what counts.

    Nothing said: it has just come in, so that what is known of its recipients from other messages does not count; what
    is known of hosts does. `in_queue_run`: all of it counts. `forced`: retry times, held domains do not; `thaws`:
    nor does frozenness. `keeps_remote`: nothing goes to other hosts, and nothing is said about it; `local_only`: it is
    said. `cancelled_by`: who gives it up.
    """

    in_queue_run: bool = False
    forced: bool = False
    thaws: bool = False
    keeps_remote: bool = False
    local_only: bool = False
    cancelled_by: str = ""
    login: str = LOGIN  # who has started it: reports come from him

    def with_force(self) -> Mode:
        return replace(self, forced=True)


AT_ONCE = Mode()


class DeliveryRun:
    """One run over one message.

    `over`: only what can go over this open connection goes. `go_on`: who tries messages over connections left open.
    """

    def __init__(
        self,
        state: MtaState,
        intake: Intake,
        item: QueueItem,
        mode: Mode = AT_ONCE,
        *,
        over: Called | None = None,
        go_on: GoOn | None = None,
    ) -> None:
        self.state = state
        self.mode = mode
        self.forced = mode.forced
        self.message = Message.parse(item.content)
        self.env = state.env_of(item, self.message)
        progress = Progress({each: {normal(each)} for each in item.remaining})
        self.outcomes = Outcomes(state, intake, item, progress)
        self.settling = Settling(self.outcomes, item, mode.login)
        self.sending = Sending(self, over)
        self._go_on = go_on
        self.local = LocalDelivery(self)
        # by leg: the recipients that came to it, and which one of several that are the same
        self.owners: dict[tuple[str, str], list[tuple[Mailbox, int]]] = {}

    @property
    def item(self) -> QueueItem:
        """The message as it stands now."""
        return self.outcomes.item

    async def carry_out(self) -> bool:
        """Try everything that is due, then settle what became of the message. Not if it is frozen, and stays so."""
        cancels = ""
        if self.item.frozen:
            verdict = self._frozen_verdict()
            if verdict is None:
                self._log("Message is frozen", selector="skip_delivery")
                return False
            if verdict:
                self._log(verdict)
            cancels = "delivery cancelled; message timed out" if verdict.startswith("cancelled") else ""
            by_hand = self.mode.forced and not cancels
            self.outcomes.item = self.item.thaw(by_hand=by_hand)
        if self.mode.cancelled_by:
            self._log(f"cancelled by {self.mode.cancelled_by}")
            cancels = "delivery cancelled by administrator"
        if cancels:
            self.outcomes.is_cancelled = True
            for recipient in self.item.remaining:
                self.outcomes.fail(unrouted(recipient), cancels, told="")
        elif self._is_looping():
            for recipient in self.item.remaining:
                self.outcomes.fail(unrouted(recipient), LOOP, told="")
        else:
            for legs in await self._legs():
                await self._deliver(legs)
            await self.local.wait_for_locks()
        await self.settling.settle()
        if self._go_on is not None:
            await self.sending.pass_on(self._go_on)
        return True

    def _frozen_verdict(self) -> str | None:
        """What the log says of thawing it, or of dropping it; None: it stays frozen."""
        main, item = self.state.compiled.configuration.main, self.item
        age = self.outcomes.age.total_seconds()
        if 0 < main.seconds("timeout_frozen_after") <= age:
            return "cancelled by timeout_frozen_after"
        if item.is_report and age >= main.seconds("ignore_bounce_errors_after"):
            return "Unfrozen by errmsg timer"
        if self.mode.forced and self.mode.thaws:
            return "Unfrozen by forced delivery"
        since = item.frozen_at or item.received_at
        frozen_for = (self.state.surroundings.now() - since).total_seconds()
        if not item.is_report and 0 < main.seconds("auto_thaw") < frozen_for:
            return "Unfrozen by forced delivery" if self.mode.forced else "Unfrozen by auto-thaw"
        return None

    def _log(self, words: str, selector: str | None = None) -> None:
        self.state.note(EventKind.LOGGED, queue_id=self.item.queue_id, text=words, selector=selector)

    def _is_looping(self) -> bool:
        limit = self.state.compiled.configuration.main.number("received_headers_max")
        return sum(1 for _ in self.message.all("Received")) > limit  # RFC 5321 §6.3

    # --- where to -----------------------------------------------------------------------------

    async def _legs(self) -> list[list[Leg]]:
        """Route all recipients that are due; those that go the same way to other hosts stay together."""
        due = [each for each in self.item.remaining if await self._may_be_routed(unrouted(each))]
        routed = await self.state.route_all(due, self.env, self.item.queue_id) if due else ()
        return grouped(await self._open_legs(due, routed), self.state.compiled.configuration)

    async def _may_be_routed(self, leg: Leg) -> bool:
        """If not, it is said why: its domain is held, waits for a queue run, or its time has not come."""
        if not leg.address.domain:
            return True
        main, outcomes, domain = self.state.compiled.configuration.main, self.outcomes, leg.address.domain
        bare = (
            unrouted(leg.recipient) if not leg.route.parents else Leg(leg.recipient, _undirected(leg.route))
        )
        if (
            not self.forced
            and (held := await self._is_listed(main.patterns("hold_domains"), domain)) is not False
        ):
            errno = errors.HELD if held else errors.LIST_DEFER
            outcomes.deferred(bare, "domain is held" if held else "hold_domains lookup deferred", errno=errno)
            return False
        if self.mode.in_queue_run and not self.forced:
            now = self.state.surroundings.now()
            asking = outcomes.retrying.waits(leg.address, now)
            if hint := await answer_later(self.state.answerer(self.env), asking):
                outcomes.deferred(bare, "retry time not reached", errno=errors.NOT_DUE, told=hint.text)
                return False
        if not self.forced and not self.mode.in_queue_run:
            queued = await self._is_listed(main.patterns("queue_domains"), domain)
            if queued is not False:
                errno = errors.QUEUE_DOMAIN if queued else errors.LIST_DEFER
                words = "domain is in queue_domains" if queued else "queue_domains lookup deferred"
                outcomes.deferred(bare, words, errno=errno)
                return False
        return True

    async def _is_listed(self, patterns: PatternList | None, domain: str) -> bool | None:
        """None: it cannot be told now."""
        if patterns is None:
            return False
        found = await answer_later(self.state.answerer(self.env), patterns.asking(domain.lower(), self.env))
        return found.found if isinstance(found, Match) else None

    async def _open_legs(self, due: Sequence[Mailbox], routed: Sequence[Routed]) -> list[Leg]:
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
        kept: set[int] = set()  # children that are not to be tried now
        for leg in sorted(met, key=generation):  # those of the last recipient first, as they were routed
            if leg.key.key in finished:
                continue
            if leg.route.parents and not leg.route.is_target and not await self._may_be_routed(leg):
                kept.add(id(leg))
            else:
                self._settle_leg(leg)
        ways = [
            leg
            for leg in legs
            if leg.route.outcome is RouteOutcome.ROUTED
            and leg.key.key not in finished
            and id(leg) not in kept
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
        if route.outcome is not RouteOutcome.DEFERRED:
            for address in (leg.address, leg.recipient):
                for item in self.outcomes.retrying.of_routing(address):
                    self.outcomes.forget(leg, item.key)
        if route.outcome is RouteOutcome.FAILED:
            self.outcomes.fail(leg, route.reason or route.words, told=route.words)
        elif route.outcome is RouteOutcome.DEFERRED:
            self.outcomes.freezes = self.outcomes.freezes or route.freezes
            self.outcomes.put_off(leg, route.reason, errno=_routing_errno(route), told=route.words)
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
        if not self.sending.fits(route):
            return
        transport = self.state.compiled.configuration.transports[route.transport or ""]
        now = self.state.surroundings.now()
        env = replace(self.env, variables={**self.env.variables, **route.values}, now=now)
        message, added = self.changes_of(route)
        usual = self.outcomes.reverse_path_of(route)
        asking = preparing(transport, message, added, usual, env)
        prepared = await answer_later(self.state.answerer(env), asking)
        if isinstance(prepared, Trouble):
            settle_trouble(self, legs, prepared)
            return
        if transport.driver != "smtp":
            if self.mode.in_queue_run and not self.forced and await self.outcomes.mailbox_waits(legs[0]):
                words = "Retry time not yet reached"
                self.outcomes.deferred(legs[0], words, errno=errors.NOT_DUE_LOCAL)
            else:
                await self.local.deliver(transport, legs[0], prepared, env)
            return
        sender, recipients = prepared.reverse_path, [leg.address for leg in legs]
        asked = planning(transport, prepared.message, sender, recipients, env, now)
        made = await answer_later(self.state.answerer(env), asked)
        if isinstance(made, Trouble):
            settle_trouble(self, legs, made)
        elif await self._may_be_sent(legs):
            assert isinstance(made, SmtpPlan), "the others deliver here"
            await self.sending.send(made, legs, sender, transport, env)

    async def _may_be_sent(self, legs: Sequence[Leg]) -> bool:
        """If not, it is said why (in the first round of exim -qq it is not)."""
        if self.mode.local_only:
            for leg in legs:
                self.outcomes.deferred(leg, "remote deliveries suppressed", errno=errors.LOCAL_ONLY)
            return False
        if self.mode.keeps_remote:
            return False
        if self.forced or self.mode.in_queue_run:
            return True
        main = self.state.compiled.configuration.main
        if not await self._is_listed(main.patterns("queue_smtp_domains"), legs[0].address.domain):
            return True
        words = "first-pass only routing due to -odqs, queue_smtp_domains or control=queue"
        for leg in legs:
            self.outcomes.deferred(leg, words)
        return False

    def envelope_to(self, leg: Leg) -> list[Mailbox]:
        """All recipients that a delivery is for; those whose own delivery was one too many come first."""
        own, *others = self.owners.get(leg.key.key) or [(leg.recipient, 0)]
        return [recipient for recipient, _ in dict.fromkeys([*reversed(others), own])]

    def changes_of(self, route: Route) -> tuple[Message, list[HeaderField]]:
        """The message without the fields that routers remove, and the fields that they add."""
        names = [name.strip(" \t") for text in route.headers_remove for name in text.split(":")]
        message = without_those(self.message, names) if names else self.message
        return message, [field for text in route.headers_add for field in fields_of(text)]


def _undirected(route: Route) -> Route:
    """An address that aliases made, before anything was known of where it goes."""
    return Route(route.address, RouteOutcome.DEFERRED, "", parents=route.parents, errors_to=route.errors_to)


def _routing_errno(route: Route) -> int:
    """Exim's number for what routing could not find out."""
    return errors.UNKNOWN_HOST if route.reason.startswith("lookup of host ") else -1
