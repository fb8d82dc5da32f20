"""What became of each recipient of one message in one run, until the run is over.

DOES       writes down what is delivered, notes everything in the journal, and collects what failed and what waits, with
           the troubles that the retry hints are to hear of.
STANDARDS  RFC 5321 §4.5.4 (retry); Exim specification, chapter "Retry configuration"
SAFE       a delivered recipient is written down before the next is tried; a failed one only after its report is
           on disk. A crash in between may deliver twice, never lose.
READ NEXT  settling.py, storing.py, sending.py
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from labkit.mail.address import AddressSyntaxError, Mailbox
from labkit.mail.asking import answer_later
from labkit.mail.envelope import NO_WISHES, Wishes
from labkit.mail.event import EventKind
from labkit.mail.reply import Reply
from labkit.mta.intake import Intake
from labkit.mta.legs import Leg, Progress, became
from labkit.mta.log_details import of_leg
from labkit.mta.state import MtaState
from labkit.queue.hints import address_key, domain_key, mailbox_key, message_key
from labkit.queue.item import QueueItem
from labkit.queue.retrying import HostStatus, Retrying, RetryItem, RetryLimits
from labkit.routing import NextHop, Route, RouteOutcome

LOGIN = "exim"  # whose name stands in the Received field of a report


@dataclass(slots=True)
class Ending:
    """What a leg has come to in this run. `told` is what its sender may hear of the trouble ("": nothing).

    `shows_hop`: the host was spoken to, and a report names it.
    """

    leg: Leg
    words: str = ""
    told: str = ""
    hop: NextHop | None = None
    reply: Reply | None = None
    errno: int = 0
    shows_hop: bool = False
    has_timed_out: bool = False
    output: bytes = b""  # what a program has said
    passed_on: bool = False  # of one that is delivered: the next host tells the sender what becomes of it

    @property
    def wishes(self) -> Wishes:
        return NO_WISHES if self.leg.route.parents else self._wishes

    _wishes: Wishes = NO_WISHES


@dataclass(slots=True)
class Troubles:
    """What the hints are to hear of one leg when the run is over."""

    items: dict[str, RetryItem] = field(default_factory=dict)
    has_skipped: bool = False  # a host was left out because it is not its time: so nothing can be over

    def add(self, item: RetryItem) -> None:
        """A failure counts more than that there is none."""
        if not item.forgets or item.key not in self.items:
            self.items[item.key] = item


class Outcomes:
    """The recipients of one message during one run, `item` as it stands now."""

    def __init__(self, state: MtaState, intake: Intake, item: QueueItem, progress: Progress) -> None:
        self.state = state
        self.intake = intake
        self.item = item
        self.progress = progress
        self.successes: list[Ending] = []
        self.failures: list[Ending] = []  # the last one first, as in Exim's reports
        self.waiting: list[Ending] = []  # so are these
        self.stuck: list[Ending] = []  # those that failed, and nobody can be told
        self.freezes = False
        self.is_cancelled = False  # given up, and not tried
        self._troubles: dict[int, Troubles] = {}
        self._unusable: dict[str, HostStatus] = {}  # hosts that have failed in this run
        main = state.compiled.configuration.main
        env = state.env()
        self.retrying = Retrying(
            state.compiled.retry_rules,
            state.hints,
            RetryLimits(
                timedelta(seconds=main.seconds("retry_interval_max")),
                timedelta(seconds=main.seconds("retry_data_expire")),
            ),
            env,
            item.envelope.sender,
            item.received_at,
            state.name,
        )

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
        if not self.progress.left and not self.failures and not self._tells_of_success():
            self.state.spool.remove(self.item.queue_id)  # nobody else waits for it: one step instead of two
        else:
            self.state.spool.finished(self.item.queue_id, done)
        self.item = self.item.with_finished(*done)
        self.state.queue[self.item.queue_id] = self.item  # now: the rest of this run may go wrong

    def _tells_of_success(self) -> bool:
        wishes = (wishes for _, wishes in self.item.envelope.wishes)
        return any("SUCCESS" in (each.notify or ()) for each in wishes)

    # --- what can become of a leg -------------------------------------------------------------

    def delivered(
        self,
        leg: Leg,
        hop: NextHop | None,
        reply: Reply | None,
        *,
        passed_on: bool = False,
        details: Mapping[str, Any] = {},
    ) -> None:
        """`passed_on`: the host has taken over what the sender wants to hear (it offers DSN).

        `details` are those of the connection, for the journal: cipher, is_verified, authenticator, is_continued;
        of a delivery here: its shadow.
        """
        if hop is None and leg.route.outcome is RouteOutcome.ROUTED and not leg.route.hosts:
            self.forget(leg, self._mailbox_key(leg))
        self._note(EventKind.DELIVERED, leg, reply.lines[-1] if reply else None, hop, reply, details=details)
        if leg.route.outcome is not RouteOutcome.DISCARDED:
            self.successes.insert(0, self._ending(leg, "", "", hop, reply, passed_on=passed_on))

    def put_off(
        self,
        leg: Leg,
        words: str,
        hop: NextHop | None = None,
        reply: Reply | None = None,
        errno: int = 0,
        more: int = 0,
        *,
        told: str | None = None,
        details: Mapping[str, Any] = {},
    ) -> None:
        """Defer by the retry rule for whatever failed: the routing, the mailbox, or what a host said of the address.

        Whether its time is over comes to light at the end of the run.
        """
        self.note_failure([leg], self._key_of(leg, hop), errno, more, words)
        self.deferred(leg, words, hop, reply, errno, told=told, details=details)

    def deferred(
        self,
        leg: Leg,
        words: str,
        hop: NextHop | None = None,
        reply: Reply | None = None,
        errno: int = 0,
        *,
        told: str | None = None,
        shows_hop: bool | None = None,
        details: Mapping[str, Any] = {},
    ) -> None:
        """`errno`: the number by which Exim knows this trouble (queue/errors.py): 111, -44, …

        `told`: what the sender may hear of it (unless it is said here: what another host has said).
        """
        self._note(EventKind.DEFERRED, leg, words, hop, reply, errno or None, details)
        told = (words if reply is not None else "") if told is None else told
        ending = self._ending(leg, words, told, hop, reply, errno=errno)
        ending.shows_hop = reply is not None if shows_hop is None else shows_hop
        self.waiting.insert(0, ending)

    def fail(
        self,
        leg: Leg,
        words: str,
        hop: NextHop | None = None,
        reply: Reply | None = None,
        *,
        told: str | None = None,
        output: bytes = b"",
        details: Mapping[str, Any] = {},
    ) -> None:
        """`words` are for the log; `told`, if they differ, for the sender, with the `output` of a program.

        `details`: see `delivered`.
        """
        ending = self._ending(
            leg, words, words if told is None else told, hop, reply, shows_hop=hop is not None
        )
        ending.output = output
        if self.is_cancelled:  # of each recipient of one that is, Exim says nothing; a report vanishes
            if self.item.is_report:
                self.progress.finished(leg.key)
                self.item = self.item.with_finished(leg.recipient)
            else:
                self.failures.insert(0, ending)
            return
        self._note(EventKind.FAILED, leg, words, hop, reply, details=details)
        if self.reverse_path_of(leg.route) is None and leg.route.errors_to != "" and not self.is_ignored():
            self.stuck.insert(0, ending)
        else:
            self.failures.insert(0, ending)

    def is_ignored(self) -> bool:
        """A report that cannot be delivered for so long is dropped (Exim: ignore_bounce_errors_after)."""
        limit = self.state.compiled.configuration.main.seconds("ignore_bounce_errors_after")
        return self.item.is_report and self.age.total_seconds() >= limit

    @property
    def age(self) -> timedelta:
        """Of the message, in whole seconds."""
        now = self.state.surroundings.now().replace(microsecond=0)
        return now - self.item.received_at.replace(microsecond=0)

    def _ending(
        self,
        leg: Leg,
        words: str,
        told: str,
        hop: NextHop | None,
        reply: Reply | None,
        *,
        errno: int = 0,
        shows_hop: bool = False,
        passed_on: bool = False,
    ) -> Ending:
        wishes = self.item.envelope.wishes_of(leg.recipient)
        return Ending(leg, words, told, hop, reply, errno, shows_hop, passed_on=passed_on, _wishes=wishes)

    # --- for the hints ------------------------------------------------------------------------

    def note_failure(
        self,
        legs: Iterable[Leg],
        key: str,
        errno: int = 0,
        more: int = 0,
        words: str = "",
        *,
        domain: str = "",
        is_of_message: bool = False,
    ) -> None:
        """What failed, under a key of queue/hints.py; `domain` is the one for which a host was tried.

        The hints hear of it when the run is over. If by then the time of everything that failed for a leg is over, and
        no host was left out, the leg is given up.
        """
        item = RetryItem(key, errno, more, words, domain, is_of_message)
        for leg in legs:
            self.troubles(leg).add(item)

    def forget(self, leg: Leg, key: str) -> None:
        """This did not fail (any more)."""
        if key in self.state.hints.rows:
            self.troubles(leg).add(RetryItem(key, forgets=True))

    def troubles(self, leg: Leg) -> Troubles:
        return self._troubles.setdefault(id(leg), Troubles())

    def all_troubles(self) -> Iterable[Troubles]:
        return self._troubles.values()

    async def host_status(self, legs: Sequence[Leg], key: str) -> HostStatus:
        """Whether a host may be called now; if it is not its time, the legs are marked: they cannot be over.

        `key` is the host's, here and below (queue/hints.py, host_key).
        """
        status = self._unusable.get(key)
        if status is None:
            of_message = message_key(key, self.item.queue_id)
            now, domain = self.state.surroundings.now(), legs[0].address.domain
            asking = self.retrying.host_status(key, of_message, domain, now)
            status = await answer_later(self.state.answerer(self.retrying.env), asking)
        if status is HostStatus.NOT_DUE:
            for leg in legs:
                self.troubles(leg).has_skipped = True
        return status

    def host_failed(
        self,
        legs: Sequence[Leg],
        key: str,
        words: str,
        errno: int = 0,
        more: int = 0,
        *,
        was_expired: bool = False,
    ) -> None:
        """There was no connection, or it broke: the host itself is in trouble, whoever the mail is for."""
        self.note_failure(legs, key, errno, more, words, domain=legs[0].address.domain)
        self._unusable[key] = HostStatus.EXPIRED if was_expired else HostStatus.NOT_DUE

    def host_answered(self, legs: Iterable[Leg], key: str) -> None:
        """The host is well."""
        for leg in legs:
            self.forget(leg, key)

    def message_put_off(self, legs: Sequence[Leg], key: str, words: str, errno: int, more: int) -> None:
        """The host is well, but does not want this message now (a 4xx to MAIL, or to the message itself)."""
        key, domain = message_key(key, self.item.queue_id), legs[0].address.domain
        self.note_failure(legs, key, errno, more, words, domain=domain, is_of_message=True)

    def _key_of(self, leg: Leg, hop: NextHop | None) -> str:
        """What the hints call it: an address at another host, an address or domain in routing, a mailbox here."""
        address = leg.address
        if hop is not None:
            transport = self.state.compiled.configuration.transports.get(leg.route.transport or "")
            names_sender = transport is None or transport.options.values.get(
                "address_retry_include_sender", True
            )
            return address_key(address, self.item.envelope.sender if names_sender else None)
        if leg.route.outcome is RouteOutcome.ROUTED:
            return self._mailbox_key(leg)
        by_user = self.state.compiled.routers_by_user.get(leg.route.router or "", False)
        return address_key(address) if by_user else domain_key(address.domain)

    def _mailbox_key(self, leg: Leg) -> str:
        transport = self.state.compiled.configuration.transports.get(leg.route.transport or "")
        said = None if transport is None else transport.options.values.get("retry_use_local_part")
        if leg.route.is_target:
            return f"T:{leg.route.text}:{leg.address}"
        return mailbox_key(leg.address, of_domain=said is False)

    async def mailbox_waits(self, leg: Leg) -> bool:
        """Whether the hints say that a mailbox of this host is not to be tried now."""
        asking = self.retrying.mailbox_waits(
            self._mailbox_key(leg), leg.address.domain, self.state.surroundings.now()
        )
        return await answer_later(self.state.answerer(self.retrying.env), asking)

    # --- the journal --------------------------------------------------------------------------

    def note_timeout(self, leg: Leg) -> None:
        """A leg that waited is given up: Exim's line does not tell how it was to go."""
        self.state.note(
            EventKind.FAILED,
            queue_id=self.item.queue_id,
            recipient=str(leg.recipient),
            became=became(leg, is_local=False),
            text="retry timeout exceeded",
        )

    def _note(
        self,
        kind: EventKind,
        leg: Leg,
        words: str | None,
        hop: NextHop | None,
        reply: Reply | None,
        errno: int | None = None,
        details: Mapping[str, Any] = {},
    ) -> None:
        route = leg.route
        self.state.note(
            kind,
            queue_id=self.item.queue_id,
            recipient=str(leg.address if route.outcome is RouteOutcome.DISCARDED else leg.recipient),
            router=route.router,
            transport=route.transport,
            remote_host=hop.host if hop else None,
            remote_address=hop.address if hop else None,
            is_secure=True if hop is not None and hop.is_secure else None,
            code=reply.code if reply else None,
            errno=errno,
            text=words,
            **{
                "became": became(leg, is_local=hop is None and kind is EventKind.DELIVERED),
                **of_leg(self.item, leg, hop, self.state.addresses[0]),
                **details,
            },
        )
