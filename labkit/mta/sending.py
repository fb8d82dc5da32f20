"""Relaying: a message goes to other hosts, over SMTP.

DOES       tries the hosts in order until every recipient has a verdict, then those of fallback_hosts; keeps a
           connection on which a message was taken for others that wait for the same host.
DECIDES    which host is next: not one whose retry time is not reached, and no more than hosts_max_try; what is written
           down about a host that failed.
LIKE EXIM  a host that took the message ill, or put off a recipient, is no reason to stop: the next one is tried
STANDARDS  RFC 5321 §5.1 (several MX), §4.5.4.1 (retry); Exim specification, chapters "The smtp transport",
           "Retry configuration"
READ NEXT  hosts_to_try.py, calling.py, transfer.py, continuing.py
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from labkit.delivery.dkim import signs
from labkit.delivery.generic import Trouble, bare, shaped, with_trace
from labkit.delivery.smtp import HostPlan, SmtpPlan, uses_own_hosts
from labkit.eximconf.configuration import Driver
from labkit.eximconf.expansion import Env
from labkit.mail.address import Mailbox
from labkit.mail.asking import answer_later
from labkit.mail.envelope import Envelope
from labkit.mail.event import EventKind
from labkit.mail.reply import Reply
from labkit.mta.calling import Called, Caller
from labkit.mta.continuing import GoOn, Kept
from labkit.mta.dkim_sending import signed
from labkit.mta.host_trouble import EXPANSION, HostTrouble
from labkit.mta.hosts_to_try import Named, hosts_named
from labkit.mta.legs import Leg
from labkit.mta.transfer import Settled, Transfer
from labkit.queue import errors
from labkit.queue.hints import host_key
from labkit.queue.retrying import HostStatus
from labkit.routing import NextHop, Route

if TYPE_CHECKING:
    from labkit.mta.delivery_run import DeliveryRun

TOO_LONG_LINES = "message has lines too long for transport"


@dataclass(slots=True)
class _Counts:
    """How it went with the hosts; it makes the words for those that nobody was tried for."""

    total: int = 0
    not_due: int = 0
    not_found: int = 0
    not_now: int = 0
    is_expired: bool = True  # all of them have been dead for so long that nobody tries


@dataclass(slots=True)
class _Job:
    """One message, one transport, and the legs that go this way."""

    plan: SmtpPlan
    transport: Driver
    env: Env
    envelope: Envelope
    route: Route
    waiting: dict[Leg, Mailbox]  # with what RCPT says
    names: Mapping[Leg, Mailbox]  # the same, of those that are settled, too
    settled: list[Settled] = field(default_factory=list)
    troubles: dict[Leg, tuple[HostTrouble, NextHop | None]] = field(default_factory=dict)
    counts: _Counts = field(default_factory=_Counts)
    may_wait_for_host: bool = True  # others may bring it along when the host is there again

    @property
    def legs(self) -> list[Leg]:
        return list(self.waiting)


class Sending:
    """What one delivery run sends to other hosts. `over`: it has an open connection, and uses no other."""

    def __init__(self, run: DeliveryRun, over: Called | None = None) -> None:
        self.run = run
        self.over = over
        self.kept: list[Kept] = []  # connections for messages that wait

    def fits(self, route: Route) -> bool:
        """Whether it may be tried now: with an open connection, only what may go over it."""
        return self.over is None or (not route.is_local and route.transport == self.over.transport)

    async def send(
        self, made: SmtpPlan, legs: Sequence[Leg], sender: Mailbox | None, transport: Driver, env: Env
    ) -> None:
        """Try the hosts in order until every recipient has a verdict."""
        run = self.run
        item = run.item
        names = {
            leg: bare(leg.address, transport, replace(env, variables=dict(leg.route.values))) for leg in legs
        }
        envelope = Envelope(sender, (), item.envelope.returns, item.envelope.identifier, item.envelope.wishes)
        job = _Job(made, transport, env, envelope, legs[0].route, dict(names), names)
        if max((len(line) for line in item.content.split(b"\r\n")), default=0) > made.longest_line:
            for leg in legs:
                run.outcomes.fail(leg, TOO_LONG_LINES)
            return
        route = legs[0].route
        hops: Sequence[NextHop] = route.next_hops
        trouble: HostTrouble | None = None
        if uses_own_hosts(transport, route.hosts):
            if not made.hosts:
                trouble = HostTrouble(
                    0, f"{transport.name} transport called with no hosts set", names_host=False
                )
            else:
                hops, trouble = await self._named(job, made.hosts)
        await self._try(job, hops, trouble)
        fallback = self._fallback_hosts(job, legs[0])
        if job.waiting and fallback and self.over is None:
            job.troubles.clear()
            job.counts = _Counts()
            hops, trouble = await self._named(job, fallback)
            await self._try(job, hops, trouble)
        self._tell(job, hops)

    async def _named(self, job: _Job, text: str) -> tuple[tuple[NextHop, ...], HostTrouble | None]:
        asking = hosts_named(
            text,
            self.run.state.addresses,
            job.transport,
            job.env,
            allows_ourselves=job.plan.allows_ourselves,
        )
        found: Named = await answer_later(self.run.state.answerer(job.env), asking)
        job.counts.not_found += found.not_found
        job.counts.not_now += found.not_now
        job.counts.total += found.not_found + found.not_now
        if found.trouble is not None:
            job.counts.is_expired = False
        return found.hops, found.trouble

    def _fallback_hosts(self, job: _Job, leg: Leg) -> str:
        """Those of the router, or those of the transport; none, if we are an exchanger of the domain ourselves."""
        routers = self.run.state.compiled.configuration.routers
        router = next((each for each in routers if each.name == leg.route.router), None)
        named = () if router is None else router.options.texts("fallback_hosts")
        if not named and not leg.route.is_for_backup:
            named = job.plan.fallback_hosts
        return ":".join(name.replace(":", "::") for name in named)

    async def pass_on(self, go_on: GoOn) -> None:
        """Use connections that are open for messages that wait; then all are closed."""
        state = self.run.state
        kept, self.kept = self.kept, []
        for each in kept:
            await each.use(state.waits, state.queue, (*state.busy, self.run.item.queue_id), go_on)

    # --- host by host -------------------------------------------------------------------------

    async def _try(self, job: _Job, hops: Sequence[NextHop], trouble: HostTrouble | None) -> None:
        if trouble is not None:
            job.troubles |= dict.fromkeys(job.waiting, (trouble, None))
            if trouble.stops:
                return
        await self._one_round(job, hops, spares_nobody=False)
        if job.waiting and job.counts.is_expired and not job.plan.delays_after_cutoff:
            await self._one_round(job, hops, spares_nobody=True)

    async def _one_round(self, job: _Job, hops: Sequence[NextHop], *, spares_nobody: bool) -> None:
        """`spares_nobody`: those that are dead, but were not tried since the message came, are tried, too."""
        tried, tried_at_all, at = 0, 0, 0
        caller = self._caller(job)
        while at < len(hops) and job.waiting:
            hop, following = hops[at], at + 1
            if tried >= job.plan.most_hosts or tried_at_all >= job.plan.most_hosts_at_all:
                self._skip_the_rest(job, was_hard=tried_at_all >= job.plan.most_hosts_at_all)
                return
            if self.over is not None and not _is_same(self.over.hop, hop):
                at = following
                continue
            found = await caller.plan_of(hop)
            if isinstance(found, Trouble):
                self._put_off_all(job, HostTrouble(EXPANSION, found.words, names_host=False), None)
                job.counts.is_expired = False
                return
            if self.over is not None and found != self.over.host:  # it would talk to it in another way
                return
            status = await self._status(job, hop, found, counts=not spares_nobody)
            may_try = status.is_usable or (spares_nobody and status is HostStatus.EXPIRED)
            if not may_try:
                at = following
                continue
            job.counts.is_expired = False
            if status is HostStatus.USABLE:
                tried += 1
                if tried >= job.plan.most_hosts:  # another preference gets its chance
                    others = [n for n in range(at, len(hops)) if hops[n].preference != hop.preference]
                    if others:
                        following, tried = others[0], tried - 1
            tried_at_all += 1
            stops = await self._try_host(job, caller, hop, found, status, is_last=following >= len(hops))
            if stops or self.over is not None:
                return
            if job.waiting and following < len(hops) and await self._is_old(hop):
                tried -= 1
            at = following

    def _caller(self, job: _Job) -> Caller:
        origin = self.run.item.origin
        item = self.run.item
        return Caller(
            self.run.state, job.transport, job.plan, job.env, item.queue_id, origin.authenticated_sender
        )

    async def _status(self, job: _Job, hop: NextHop, host: HostPlan, *, counts: bool) -> HostStatus:
        """Whether the hints allow it now."""
        job.counts.total += counts
        if self.run.forced or self.over is not None:
            return HostStatus.USABLE
        status = await self.run.outcomes.host_status(job.legs, _key(job, hop, host))
        if not status.is_usable:
            job.counts.not_due += counts
            job.counts.is_expired = job.counts.is_expired and status is HostStatus.EXPIRED
        return status

    async def _is_old(self, hop: NextHop) -> bool:
        """A message that waits for longer than the host's rule allows tries all hosts."""
        retrying = self.run.outcomes.retrying
        asking = retrying.is_older_than(hop.host, self.run.state.surroundings.now())
        return await answer_later(self.run.state.answerer(retrying.env), asking)

    def _skip_the_rest(self, job: _Job, *, was_hard: bool) -> None:
        for leg in job.legs if not was_hard else ():
            self.run.outcomes.troubles(leg).has_skipped = True

    async def _try_host(
        self, job: _Job, caller: Caller, hop: NextHop, host: HostPlan, status: HostStatus, *, is_last: bool
    ) -> bool:
        """One host. True: no other is to be tried."""
        called = self.over if self.over is not None else await caller.call(hop, host)
        if isinstance(called, HostTrouble):
            self._host_failed(job, hop, host, called, status, is_last=is_last)
            return called.stops
        try:
            return await self._transfer(job, caller, called, host, status, is_last=is_last)
        finally:
            await self._part(job, caller, called)

    async def _transfer(
        self,
        job: _Job,
        caller: Caller,
        called: Called,
        host: HostPlan,
        status: HostStatus,
        *,
        is_last: bool,
    ) -> bool:
        """The message goes to one host. True: no other is to be tried."""
        content = await self._content(job, caller, called)
        if isinstance(content, HostTrouble):
            called.made_progress = False
            if content.stops:
                self._put_off_all(job, content, called.hop)
            else:
                self._took_ill(job, called.hop, host, content, status, job.legs)
            return content.stops
        transfer = Transfer(
            called,
            job.envelope,
            content,
            job.waiting,
            job.plan.most_recipients,
            lambda leg: self.run.outcomes.write_down(leg.key),
        )
        hop = called.hop
        try:
            await transfer.carry_out()
        finally:
            job.settled += transfer.settled
        called.made_progress = transfer.made_progress and transfer.trouble is None
        for leg, trouble in transfer.troubles.items():
            job.troubles[leg] = trouble, hop
            job.may_wait_for_host = False
            if not is_last:
                self._log(hop, f": {trouble.words}")
        if transfer.trouble is None or transfer.trouble.is_of_message or transfer.trouble.is_of_address:
            legs = [*job.legs, *(each.leg for each in transfer.settled)]
            self.run.outcomes.host_answered(legs, _key(job, hop, host))
        if transfer.trouble is not None:
            left = [leg for leg in job.waiting if leg not in transfer.troubles]
            if left:
                self._took_ill(job, hop, host, transfer.trouble, status, left)
        return False

    async def _content(self, job: _Job, caller: Caller, called: Called) -> bytes | HostTrouble:
        """The message as this host gets it: what the transport adds may speak of the host, and of TLS ($tls_out_…)."""
        env = caller.env_of(called.hop)
        env.variables |= called.known
        message, added = self.run.changes_of(job.route)
        shaping = shaped(job.transport, message, added, env)
        found = await answer_later(self.run.state.answerer(env), shaping)
        if isinstance(found, Trouble):
            return HostTrouble(found.errno, found.words, stops=True)
        recipients = [leg.address for leg in job.names]
        now = self.run.state.surroundings.now()
        traced = with_trace(job.transport, found, job.envelope.reverse_path, recipients, now)
        return await self._signed(job, bytes(traced), called, env)

    async def _signed(self, job: _Job, content: bytes, called: Called, env: Env) -> bytes | HostTrouble:
        """With DKIM signatures, if the transport has some for this host."""
        if not signs(job.transport):
            return content
        state, queue_id = self.run.state, self.run.item.queue_id

        def tell(line: str, panics: bool) -> None:
            logs = "main,panic" if panics else None
            state.note(EventKind.LOGGED, queue_id=queue_id, text=line, logs=logs)

        now = int(state.surroundings.now().timestamp())
        asking = signed(content, job.transport, env, called.hop, now, tell)
        return await answer_later(state.answerer(env), asking)

    def _took_ill(
        self,
        job: _Job,
        hop: NextHop,
        host: HostPlan,
        trouble: HostTrouble,
        status: HostStatus,
        legs: list[Leg],
    ) -> None:
        """The message, an address or the whole session came to nothing."""
        outcomes = self.run.outcomes
        job.troubles |= dict.fromkeys(legs, (trouble, hop))
        if trouble.is_of_address:
            job.may_wait_for_host = False
        elif trouble.is_of_message:
            self._log(hop, f": {trouble.shown}")
            job.may_wait_for_host = False
            key = _key(job, hop, host)
            outcomes.message_put_off(legs, key, trouble.words, trouble.errno, trouble.more)
        else:
            self._log_trouble(hop, trouble)
            self._note_host(job, legs, hop, host, trouble, status)

    def _host_failed(
        self,
        job: _Job,
        hop: NextHop,
        host: HostPlan,
        trouble: HostTrouble,
        status: HostStatus,
        *,
        is_last: bool,
    ) -> None:
        """There is no session with this host. A refusal for good counts if it was the last one."""
        self._log_trouble(hop, trouble)
        if trouble.fails:
            for leg in job.legs:
                del job.waiting[leg]
                self.run.outcomes.fail(leg, trouble.shown)
            return
        if trouble.is_permanent and is_last and trouble.reply is not None:
            for leg in job.legs:
                del job.waiting[leg]
                self.run.outcomes.fail(leg, trouble.words, hop, trouble.reply)
            return
        job.troubles |= dict.fromkeys(job.waiting, (trouble, hop if trouble.names_host else None))
        if not trouble.stops:
            self._note_host(job, job.legs, hop, host, trouble, status)

    def _note_host(
        self,
        job: _Job,
        legs: list[Leg],
        hop: NextHop,
        host: HostPlan,
        trouble: HostTrouble,
        status: HostStatus,
    ) -> None:
        if self.over is not None:  # it was slow, maybe; somebody who calls it anew will find out
            return
        self.run.outcomes.host_failed(
            legs,
            _key(job, hop, host),
            trouble.words,
            trouble.errno,
            (errors.FROM_A if hop.preference is None else errors.FROM_MX) | trouble.more & errors.CONNECTING,
            was_expired=status is HostStatus.USABLE_AGAIN,
        )

    def _log_trouble(self, hop: NextHop, trouble: HostTrouble) -> None:
        if not trouble.is_told:
            self._log(hop, f" {trouble.of_host}" if not trouble.words else f": {trouble.of_host}")

    def _log(self, hop: NextHop, text: str) -> None:
        words = f"H={hop.host} [{hop.address}]{text}"
        self.run.state.note(EventKind.LOGGED, queue_id=self.run.item.queue_id, text=words)

    async def _part(self, job: _Job, caller: Caller, called: Called) -> None:
        """Keep the connection for messages that wait for this host, or say goodbye."""
        if called is self.over:
            return
        if called.is_open and called.made_progress and called.messages < job.plan.most_messages:
            self.kept.append(Kept(called, caller, job.plan.most_messages))
        else:
            await caller.leave(called)

    # --- the end ------------------------------------------------------------------------------

    def _tell(self, job: _Job, hops: Sequence[NextHop]) -> None:
        """Note what became of each leg, in their order."""
        outcomes = self.run.outcomes
        for each in job.settled:
            details: dict[str, Any] = {
                **each.called.details,
                "is_continued": each.is_continued or None,
                "is_chunked": each.is_chunked or None,
                "preamble": _preamble(each.reply),
                **_became(job, each.leg),
            }
            if each.words:
                outcomes.fail(each.leg, each.words, each.called.hop, each.reply, details=details)
            else:
                offers_dsn = each.called.connection.machine.offers("DSN")
                details["mark"] = "->" if each.is_further else None
                outcomes.delivered(
                    each.leg, each.called.hop, each.reply, passed_on=offers_dsn, details=details
                )
        for leg in job.waiting:
            trouble, hop = job.troubles.get(leg, (None, None))
            if trouble is None:
                self._nobody_was_tried(job, leg)
            else:
                self._put_off(leg, trouble, hop, _became(job, leg))
        if job.waiting and job.may_wait_for_host and job.plan.most_messages != 1:
            self.run.state.waits.add(job.transport.name, [hop.host for hop in hops], self.run.item.queue_id)

    def _put_off(
        self, leg: Leg, trouble: HostTrouble, hop: NextHop | None, details: Mapping[str, str]
    ) -> None:
        outcomes = self.run.outcomes
        if trouble.is_of_address or trouble.errno == errors.RCPT_4XX:
            outcomes.put_off(
                leg, trouble.shown, hop, trouble.reply, trouble.errno, trouble.more, details=details
            )
        else:
            errno, shows_hop = trouble.errno, trouble.names_host
            outcomes.deferred(
                leg, trouble.shown, hop, trouble.reply, errno, shows_hop=shows_hop, details=details
            )

    def _put_off_all(self, job: _Job, trouble: HostTrouble, hop: NextHop | None) -> None:
        job.troubles |= dict.fromkeys(job.waiting, (trouble, hop))

    def _nobody_was_tried(self, job: _Job, leg: Leg) -> None:
        """No host was called at all: why not."""
        counts, outcomes = job.counts, self.run.outcomes
        whose = f" for '{leg.address.domain}'"
        if self.over is not None:
            return  # it waits for a run of its own
        if counts.is_expired and counts.total:
            why = (
                "(and retry time not reached)"
                if job.plan.delays_after_cutoff
                else "and were last tried after this message arrived"
            )
            outcomes.fail(leg, f"all hosts{whose} have been failing for a long time {why}")
            return
        if counts.not_due == counts.total:
            words = f"retry time not reached for any host{whose}"
        elif counts.not_found == counts.total:
            words = f"all host address lookups{whose} failed permanently"
        elif counts.not_now == counts.total:
            words = f"all host address lookups{whose} failed temporarily"
        elif counts.not_found + counts.not_now == counts.total:
            words = f"all host address lookups{whose} failed"
        else:
            words = (
                "some host address lookups failed and retry time not reached for other hosts "
                f"or connection limit reached{whose}"
            )
        outcomes.deferred(leg, words, errno=errors.NOT_DUE_HOST)


def _became(job: _Job, leg: Leg) -> dict[str, str]:
    """What the log shows of an address that is another one to the other host: without prefix and suffix."""
    name = job.names[leg]
    return {} if name.key == leg.address.key else {"became": str(name)}


def _key(job: _Job, hop: NextHop, host: HostPlan) -> str:
    """What the hints call a host."""
    address = hop.address if job.plan.remembers_address else ""
    return host_key(hop.host, address, hop.port or job.plan.port, host.interface)


def _preamble(reply: Reply) -> str | None:
    """The lines of a reply before its last, as Exim's log has them."""
    return r"\n".join(f"{reply.code}-{line}" for line in reply.lines[:-1]) or None


def _is_same(one: NextHop, other: NextHop) -> bool:
    return one.host.lower() == other.host.lower() and one.address == other.address
