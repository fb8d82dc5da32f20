"""A man in the middle: a host that says it is another one, and writes down which passwords it is told.

WHAT       `world.impostor`. It listens where a relay does, greets with the other host's name, and takes every password
           and every message. `offers_tls` False: it leaves STARTTLS out and asks for the password in the clear, as
           somebody on the wire can do who strips the offer. `heard`: who has logged in; `letters`: what it was given.
DOES       `forge()` lets the DNS say that the other host's name has this address, as somebody does who answers faster
           than the nameserver, or sits on the way; `relent()` takes that back. Caches keep either for its TTL.
           `hijack()` leaves the DNS alone: it stands at the other host's very address, as somebody does who owns a
           router on the way, or announces routes that are not his; `give_back()` ends that.
RULES      its certificate is not the authority's for that name: this is the one thing that it cannot forge.
SAFE       a password is not kept: only its length, and whether it was the right one.
STANDARDS  RFC 3207 §6 (stripped STARTTLS), RFC 8314 §3, RFC 9525 §1
READ NEXT  relay_engine.py
"""

from __future__ import annotations

import hmac
from functools import partial
from typing import TYPE_CHECKING, Any

from labkit.lab.aiosmtpd_engine import AiosmtpdEngine, ServerSession
from labkit.lab.forged_name import ForgedName
from labkit.lab.outside_plans import ImpostorPlan
from labkit.lab.overheard import Heard
from labkit.lab.relay_engine import ALTERNATIVE, IMPLICIT_TLS, SUBMISSION
from labkit.mail import reply
from labkit.mail.dates import header_date
from labkit.mail.event import EventKind
from labkit.mail.message import Message
from labkit.mail.reply import Reply
from labkit.net.aiosmtpd_server import Offer
from labkit.net.network import Listener
from labkit.smtp.decisions import MessageReceived

if TYPE_CHECKING:
    from labkit.lab.host import Host

OWN = "own"  # a certificate: good, and for the name of this host
ACCOUNT = "mallory"  # whose mailbox has what was stolen


class ImpostorEngine(AiosmtpdEngine):
    """The impostor of a world: `world.impostor`."""

    name = "impostor"
    software = "labkit relay"  # as the other one says
    fails_by_address = False
    sends_reports = False
    _ports = (25, IMPLICIT_TLS, SUBMISSION, ALTERNATIVE)

    def __init__(self, host: Host, domains: tuple[str, ...], plan: ImpostorPlan) -> None:
        super().__init__(host, domains, plan.certificate)
        self.poses_as = plan.poses_as
        self.offers_tls = True
        self.certificate = plan.certificate
        self._heard: list[Heard] = []
        self._forged = ForgedName(host.world, plan.poses_as, host.address)
        self._at_victim: list[Listener] = []

    @property
    def heard(self) -> tuple[Heard, ...]:
        """Who has told a password, the oldest first."""
        return tuple(self._heard)

    @property
    def letters(self) -> list[Message]:
        """What it was given to send on."""
        return self.host.mailbox(ACCOUNT)

    # --- the DNS ------------------------------------------------------------------------------

    def forge(self, *, offers_tls: bool = True, certificate: str = "self-signed") -> None:
        """Lead those here who ask for the other host's address. Raises LookupError if no zone has its name.

        `certificate` is one of authority.KINDS for the other host's name, or OWN: a good one for this host's name.
        """
        self.show(offers_tls=offers_tls, certificate=certificate)
        self._forged.forge()

    def show(self, *, offers_tls: bool = True, certificate: str = "self-signed") -> None:
        """From now on, this is what a caller meets. The DNS says what it has said."""
        self.offers_tls, self.certificate = offers_tls, certificate
        self._offers.clear()

    def relent(self) -> None:
        """Let the DNS say the truth again."""
        self._forged.relent()

    # --- the way ------------------------------------------------------------------------------

    async def hijack(self, *, offers_tls: bool = True, certificate: str = "self-signed") -> None:
        """Take the other host's place: what goes to its address comes here, and it hears nothing. See `forge`."""
        if not self._at_victim:
            world = self.host.world
            victim = world.host(self.poses_as)
            await victim.stop()
            for port in self.ports:
                accept, waits = partial(self._accept, port), self.begins_with_tls(port)
                listener = await world.network.listen(victim.address, port, accept, speaks_first=not waits)
                self._at_victim.append(listener)
        self.show(offers_tls=offers_tls, certificate=certificate)

    async def give_back(self) -> None:
        """Let the other host have its address again."""
        if self._at_victim:
            self._leave_victim()
            await self.host.world.host(self.poses_as).start()

    def _leave_victim(self) -> None:
        while self._at_victim:
            self._at_victim.pop().close()

    def _hang_up(self) -> None:
        self._leave_victim()
        super()._hang_up()

    # --- what it says -------------------------------------------------------------------------

    def context(self) -> Any:
        """TLS with a certificate for the name it poses as, or one that is bad in another way."""
        from labkit.net.tls_contexts import server_context

        is_own = self.certificate == OWN
        name, kind = (self.host.name, "good") if is_own else (self.poses_as, self.certificate)
        return server_context(self.host.world.authority.certificate_for(name, kind))

    def offer(self, port: int) -> Offer:
        at_once = port == IMPLICIT_TLS
        if not self.offers_tls and not at_once:
            return Offer(authenticates=True, in_clear=True)
        return super().offer(port)

    def new_offer(self, port: int) -> Offer:
        return Offer(self.context(), at_once=port == IMPLICIT_TLS, authenticates=True)

    def welcome(self, session: ServerSession) -> Reply:
        date = header_date(self.host.world.now())
        return Reply(220, (f"{self.poses_as} ESMTP {self.software} {date}",))

    def knows(self, login: str, password: str) -> bool:
        """Every password is right."""
        real = getattr(self.host.world.host(self.poses_as).engine, "customers", {})
        known = real.get(login)
        is_right = known is not None and hmac.compare_digest(password.encode(), known.password.encode())
        self._heard.append(Heard(self.host.world.now(), login, len(password), is_right))
        return True

    async def take(self, session: ServerSession, received: MessageReceived) -> Reply:
        """Thank you. Nobody else will ever see it."""
        queue_id = self.next_queue_id()
        message = Message.parse(received.content).prepend(session.trace(received.envelope, queue_id))
        item = session.item(received, queue_id, bytes(message))
        self.note_received(item)
        self.put_into_mailbox(item, message, received.envelope.forward_paths[0], ACCOUNT)
        self.host.world.note(self.host.name, EventKind.COMPLETED, queue_id=queue_id)
        return reply.received(queue_id)
