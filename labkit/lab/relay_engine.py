"""The commercial relay: it takes its customers' mail with a password, signs it, and sends it on.

WHAT       submission on 587 and 2525 (STARTTLS) and 465 (TLS from the start), AUTH only inside TLS; port 25 takes
           nothing but reports to its own bounce addresses. `verify_domain`, `events`, `suppressions`, `quota`.
DECIDES    who may send as whom: the domains of the envelope sender and of From: must be verified for the account. A
           recipient whose mail has come back for good is on the suppression list: what is for him is taken, as
           commercial relays take it, and goes nowhere. A quota per customer and 24 hours.
SIGNS      with the customer's key as the customer's domain; while that is not verified nobody sends under it.
BOUNCES    where reports go is a setting of the account (outside_plans.BOUNCES_TO): SPF alignment follows from it.
STANDARDS  RFC 6409 (submission), RFC 8314 §3, RFC 4954, RFC 6376, RFC 3464, RFC 3463 (status codes)
READ NEXT  relay_domains.py, relay_events.py, outside_queue.py
"""

from __future__ import annotations

import hmac
from collections import deque
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from labkit.auth.author import author_of
from labkit.lab.aiosmtpd_engine import AiosmtpdEngine, ServerSession
from labkit.lab.outside_plans import Customer, RelayPlan
from labkit.lab.relay_book import Book, Suppression
from labkit.lab.relay_bounces import Verp, failed_for_good
from labkit.lab.relay_domains import SELECTOR, DomainReport, Names, WantedRecord, verify, wanted_records
from labkit.lab.relay_events import SUPPRESSED, RelayEvent, relay_events
from labkit.lab.signing_keys import SigningKeys
from labkit.mail import reply
from labkit.mail.address import Mailbox
from labkit.mail.event import EventKind
from labkit.mail.message import Message
from labkit.mail.plainly import SaidPlainly
from labkit.mail.reply import Reply
from labkit.mta.fixups import completed
from labkit.net.aiosmtpd_server import Offer
from labkit.net.resolver import Resolver
from labkit.queue.item import QueueItem
from labkit.queue.report import FailedRecipient
from labkit.smtp.decisions import Decision, MailFrom, MessageReceived, RcptTo

if TYPE_CHECKING:
    from labkit.lab.host import Host

SUBMISSION, IMPLICIT_TLS, ALTERNATIVE = 587, 465, 2525
A_DAY = timedelta(hours=24)
MOST_FAILURES = 20  # of passwords for one account, until it rests
REST = timedelta(minutes=15)  # of lab time
STARTTLS_FIRST = Reply(530, ("5.7.0 Must issue a STARTTLS command first",))
AUTH_FIRST = Reply(530, ("5.7.0 Authentication required",))
NO_SUBMISSION = Reply(550, ("5.7.1 This port takes no mail to be relayed: submit it on 587, 465 or 2525",))
OVER_QUOTA = Reply(454, ("4.7.0 Throttling failure: Daily message quota exceeded",))


class NoSuchCustomer(SaidPlainly, LookupError):
    """A login that the relay does not know, or a domain that is nobody's."""


@dataclass(frozen=True, slots=True)
class Quota:
    """How much of a customer's quota is used up, of the last 24 hours."""

    customer: str
    used: int
    limit: int


class RelayEngine(AiosmtpdEngine):
    """The relay of a world: `world.relay`."""

    name = "relay"
    software = "labkit relay"
    fails_by_address = False  # x-550@bigmail.test is for bigmail to refuse
    _ports = (25, IMPLICIT_TLS, SUBMISSION, ALTERNATIVE)

    def __init__(self, host: Host, domains: tuple[str, ...], plan: RelayPlan) -> None:
        super().__init__(host, domains, plan.certificate)
        self.keeps_plaintext = plan.keeps_plaintext
        own = domains[0]
        self.customers = {each.login: each for each in plan.customers}
        self.names = Names(f"spf.{own}", f"dkim.{own}", f"bounces.{own}")
        self.keys = SigningKeys(host.path("/etc/dkim"))
        self._verp = Verp(host.path("/etc/dkim"))
        self._book = Book(host.path("/var/relay/book.json"))
        self._failures: dict[str, deque[datetime]] = {}
        self._sent: dict[str, deque[datetime]] = {login: deque() for login in self.customers}
        for event in host.world.journal.where(EventKind.RECEIVED, host=host.name):
            login = (event.authenticator or "").partition(":")[2]
            if login in self._sent:
                self._sent[login].append(event.at)

    async def start(self, *, queue_only: bool = False) -> None:
        await super().start(queue_only=queue_only)
        self._publish_keys()

    # --- the console --------------------------------------------------------------------------

    def customer(self, login: str) -> Customer:
        """An account, with its password. Raises NoSuchCustomer."""
        if login not in self.customers:
            raise NoSuchCustomer(
                f"the relay has no customer {login!r}; there are {', '.join(self.customers)}"
            )
        return self.customers[login]

    @property
    def events(self) -> list[RelayEvent]:
        """The event log, oldest first."""
        return relay_events(self.host.world.journal, self.host.name)

    @property
    def suppressions(self) -> tuple[Suppression, ...]:
        return self._book.suppressions

    def unsuppress(self, address: str, login: str = "") -> bool:
        """Take an address off the suppression list, of one customer or of all. False: it was not on it."""
        logins = [login] if login else list(self.customers)
        return sum(self._book.release(each, address) for each in logins) > 0

    def quota(self, login: str) -> Quota:
        customer, sent = self.customer(login), self._sent[login]
        while sent and sent[0] <= self.host.world.now() - A_DAY:
            sent.popleft()
        return Quota(login, len(sent), customer.quota)

    @property
    def domains_of_customers(self) -> list[tuple[Customer, str, datetime | None]]:
        """Each domain with its customer, and since when it is verified (None: it is not)."""
        return [
            (customer, domain, self._book.verified.get((customer.login, domain)))
            for customer in self.customers.values()
            for domain in customer.domains
        ]

    def records(self, domain: str) -> list[WantedRecord]:
        """What the customer is to publish. Raises NoSuchCustomer."""
        customer, domain = self._owner(domain)
        return wanted_records(customer, domain, self.names, self.keys.record(domain, SELECTOR))

    def public_key_record(self, domain: str) -> WantedRecord:
        """The key as a TXT record, for who would rather publish it than point to it. Raises NoSuchCustomer."""
        _, domain = self._owner(domain)
        text = self.keys.record(domain, SELECTOR)
        return WantedRecord("DKIM", f"{SELECTOR}._domainkey.{domain}", "TXT", text)

    async def verify_domain(self, domain: str) -> DomainReport:
        """Look at the DNS now: `await world.relay.verify_domain("st11.sne21.test")`. Raises NoSuchCustomer."""
        customer, domain = self._owner(domain)
        world, reports = self.host.world, list[DomainReport]()
        resolver = Resolver(
            world.network, self.host.address, world.scenario.nameserver, world.now, world.agenda.sleep
        )

        async def look() -> None:
            record = self.keys.record(domain, SELECTOR)
            reports.append(await verify(customer, domain, self.names, record, resolver.answer))

        await world.do(look, f"{self.host.name} verifies {domain}")
        if reports[0].is_verified:
            self._book.verify(customer.login, domain, world.now())
        return reports[0]

    def _owner(self, domain: str) -> tuple[Customer, str]:
        domain = domain.lower().rstrip(".")
        for customer in self.customers.values():
            if domain in customer.domains:
                return customer, domain
        known = ", ".join(each for customer in self.customers.values() for each in customer.domains)
        raise NoSuchCustomer(f"no customer has the domain {domain}; there are {known or 'none'}")

    def _publish_keys(self) -> None:
        """The zone dkim.<own domain>, to which customers' CNAMEs lead."""
        records = {
            f"{SELECTOR}.{domain}": self.keys.record(domain, SELECTOR)
            for _, domain, _ in self.domains_of_customers
        }
        self.publish(self.names.dkim, records)

    # --- sessions -----------------------------------------------------------------------------

    def new_offer(self, port: int) -> Offer:
        is_submission = port != 25
        return Offer(
            self.context(),
            at_once=port == IMPLICIT_TLS,
            authenticates=is_submission,
            keeps_plaintext=self.keeps_plaintext,
        )

    def knows(self, login: str, password: str) -> bool:
        """Compared in a time that tells nothing; an account at which somebody guesses has a rest."""
        customer, now = self.customers.get(login), self.host.world.now()
        failures = self._failures.setdefault(login if customer else "", deque(maxlen=MOST_FAILURES))
        while failures and failures[0] <= now - REST:
            failures.popleft()
        expected = customer.password if customer is not None else ""
        is_same = hmac.compare_digest(password.encode(), expected.encode())
        if customer is None or not is_same or len(failures) == MOST_FAILURES:
            failures.append(now)
            return False
        return True

    async def judge(self, session: ServerSession, decision: Decision) -> Reply | None:
        if session.port == 25:
            return self._judge_bounce(decision)
        if isinstance(decision, MailFrom):
            if session.known.encryption is None:
                return STARTTLS_FIRST
            if not session.known.login:
                return AUTH_FIRST
            customer = self.customers[session.known.login]
            if decision.reverse_path is not None and not self._may_use(
                customer, decision.reverse_path.domain
            ):
                return _not_verified(decision.reverse_path.domain, "sender")
            quota = self.quota(customer.login)
            if quota.used >= quota.limit:
                return OVER_QUOTA
        if isinstance(decision, RcptTo) and not decision.forward_path.domain:
            return Reply(550, ("5.1.3 a recipient needs a domain",))
        return None

    def _judge_bounce(self, decision: Decision) -> Reply | None:
        """Port 25 is for reports that come back."""
        if isinstance(decision, RcptTo):
            to = decision.forward_path
            if to.domain.lower() in self._bounce_domains():
                return (
                    None if self._verp.read(to.local_part) else Reply(550, ("5.1.1 no such bounce address",))
                )
            if to.domain.lower() in ("", *self.domains) and self.mailbox_of(to.local_part) is not None:
                return None
            return NO_SUBMISSION
        return None

    def _bounce_domains(self) -> set[str]:
        subdomains = {f"bounce.{domain}" for _, domain, _ in self.domains_of_customers}
        return {self.names.bounces, *subdomains}

    def _may_use(self, customer: Customer, domain: str) -> bool:
        """Whether a verified domain of the customer's is this one, or above it."""
        domain = domain.lower()
        return self._signing_domain(customer, domain) is not None

    def _signing_domain(self, customer: Customer, domain: str) -> str | None:
        verified = (own for login, own in self._book.verified if login == customer.login)
        return next((own for own in verified if domain == own or domain.endswith(f".{own}")), None)

    # --- messages -----------------------------------------------------------------------------

    async def take(self, session: ServerSession, received: MessageReceived) -> Reply:
        if session.port == 25:
            return self._take_bounce(session, received)
        customer = self.customers[session.known.login]
        message, now = Message.parse(received.content), self.host.world.now()
        author = author_of(message)
        if not author:
            return Reply(550, ("5.7.1 The message needs one From: field with addresses of one domain",))
        signer = self._signing_domain(customer, author.domain)
        if signer is None:
            return _not_verified(author.domain, "From:")
        queue_id = self.next_queue_id()
        message = completed(
            message,
            queue_id=queue_id,
            host=self.host.name,
            sender=received.envelope.sender,
            now=now,
            keeps_sender=True,
        )
        message = self.keys.signed(message, signer, SELECTOR, now)
        message = message.prepend(session.trace(received.envelope, queue_id))
        self._sent[customer.login].append(now)
        self.accept(session.item(received, queue_id, bytes(message)))
        return reply.received(queue_id)

    def return_path(self, item: QueueItem, recipient: Mailbox) -> Mailbox | None:
        customer = self.customers.get(item.origin.authenticated_id)
        sender = item.envelope.reverse_path
        if customer is None or sender is None or customer.bounces_to == "sender":
            return sender
        domain = self.names.bounces
        if customer.bounces_to == "subdomain":
            domain = f"bounce.{self._signing_domain(customer, sender.domain.lower()) or customer.domains[0]}"
        return self._verp.address(item.queue_id, item.envelope.forward_paths.index(recipient), domain)

    def store_here(self, item: QueueItem, recipient: Mailbox) -> bool:
        """Nothing more is done for who is suppressed."""
        login = item.origin.authenticated_id
        listed = self._book.suppressed(login, str(recipient)) if login else None
        if listed is not None:
            self.host.world.note(
                self.host.name,
                EventKind.FAILED,
                queue_id=item.queue_id,
                recipient=str(recipient),
                router=SUPPRESSED,
                origin=item.envelope.sender,
                text=f"not sent: on the suppression list since {listed.since:%d %b %H:%M} ({listed.why})",
            )
            return True
        return super().store_here(item, recipient)

    def failed(self, item: QueueItem, failures: tuple[FailedRecipient, ...]) -> None:
        """Whom another host has refused for good is suppressed; the customer gets a report if reports are his."""
        customer = self.customers.get(item.origin.authenticated_id)
        for each in failures:
            if customer is not None and each.reply is not None and each.reply.is_permanent:
                self._suppress(customer.login, str(each.recipient), str(each.reply), item.queue_id)
        if customer is None or customer.bounces_to == "sender":
            super().failed(item, failures)

    def _suppress(self, login: str, address: str, why: str, queue_id: str) -> None:
        self._book.suppress(Suppression(login, address, self.host.world.now(), why[:300], queue_id))

    def _take_bounce(self, session: ServerSession, received: MessageReceived) -> Reply:
        """A report tells by its address whom it is about; other mail goes into its mailbox."""
        queue_id = self.next_queue_id()
        message = Message.parse(received.content).prepend(session.trace(received.envelope, queue_id))
        item = session.item(received, queue_id, bytes(message))
        self.note_received(item)
        for recipient in received.envelope.forward_paths:
            account = self.mailbox_of(recipient.local_part)
            if recipient.domain.lower() in self._bounce_domains():
                self._hear_bounce(item, recipient)
            elif account is not None:
                self.put_into_mailbox(item, message, recipient, account)
        self._note(EventKind.COMPLETED, queue_id=queue_id)
        return reply.received(queue_id)

    def _hear_bounce(self, item: QueueItem, to: Mailbox) -> None:
        found = self._verp.read(to.local_part)
        about = None if found is None else self._received(found[0])
        details: dict[str, Any] = {"queue_id": item.queue_id, "recipient": str(to), "router": "bounces"}
        if found is None or about is None or item.envelope.reverse_path is not None:
            self._note(EventKind.DELIVERED, **details, text="no report about a message of ours")
            return
        recipients = (about.raw_recipients or "").split()
        address = recipients[found[1]] if found[1] < len(recipients) else ""
        login = (about.authenticator or "").partition(":")[2]
        is_final = failed_for_good(item.content)
        self._note(EventKind.DELIVERED, **details, text=f"report about {address}, message {found[0]}")
        if is_final and address and login:
            words = "a delivery report came back"
            self._note(EventKind.FAILED, queue_id=found[0], recipient=address, router="bounces", text=words)
            self._suppress(login, address, words, found[0])

    def _received(self, queue_id: str) -> Any:
        events = self.host.world.journal.where(EventKind.RECEIVED, host=self.host.name)
        return next((event for event in events if event.queue_id == queue_id), None)

    def _note(self, kind: EventKind, text: str | None = None, **details: Any) -> None:
        self.host.world.note(self.host.name, kind, text=text, **details)


def _not_verified(domain: str, what: str) -> Reply:
    return Reply(550, (f"5.7.1 The {what} domain {domain or '(none)'} is not verified for this account",))
