"""The big mailbox provider: it checks everything, says what it thinks in its own words, and keeps its verdicts.

WHAT       an MX that asks SPF, DKIM, ARC and DMARC about each message (provider_verdict.py), with a caching resolver,
           and puts it into the inbox or the spam folder, or refuses it. `verdicts` are data; `inbox`, `spam`.
DECIDES    DMARC's policy is followed: reject refuses, quarantine means spam. Besides, by the scenario's switches, who
           has no PTR that leads back, no TLS, nothing that passes, no alignment is refused, and who sends too much is
           put off. DMARC's verdict is set aside where servers that the scenario trusts have sealed a message (ARC) and
           the first of them saw it pass. A client with a good name (GOOD authenticated messages in a day, nothing bad)
           is put off (4yz) where a stranger is refused (5yz); mail of one with a bad name is spam, whatever it is.
SENDS      its own people's mail, signed with DKIM as its domain.
STANDARDS  RFC 7208, 6376, 9989, 8601; RFC 7372 (5.7.25 and 5.7.26 are there, the other codes are what large providers
           use); RFC 8689 has no part in it
READ NEXT  list_engine.py
"""

from __future__ import annotations

from collections import deque
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from labkit.lab.aiosmtpd_engine import AiosmtpdEngine, ServerSession
from labkit.lab.outside_plans import ProviderPlan
from labkit.lab.provider_verdict import (
    INBOX,
    REFUSED,
    SPAM,
    Findings,
    Verdict,
    authentication_fields,
    examine,
    without_forged,
)
from labkit.lab.signing_keys import SigningKeys
from labkit.mail import reply
from labkit.mail.asking import Question, answer_later
from labkit.mail.event import EventKind
from labkit.mail.message import Message
from labkit.mail.questions import AddressesOf, NamesOf
from labkit.mail.reply import Reply
from labkit.mta.fixups import message_id
from labkit.net.mailboxes import read_mbox
from labkit.smtp.decisions import Decision, MailFrom, MessageReceived, RcptTo

if TYPE_CHECKING:
    from labkit.lab.host import Host

SELECTOR = "s1"
AN_HOUR, A_DAY = timedelta(hours=1), timedelta(days=1)
GOOD, BAD = 5, 3  # messages of a day that make a name
MOST_VERDICTS = 10_000
MOST_PTR_NAMES = 10
NO_SUCH_USER = Reply(550, ("5.1.1 The email account that you tried to reach does not exist",))
SORRY = Reply(451, ("4.7.0 Temporary authentication failure: DNS did not answer, try again later",))


class Reputation:
    """What one client address has sent lately: when, and whether it was good."""

    def __init__(self) -> None:
        self._sent: deque[tuple[datetime, bool]] = deque(maxlen=1000)

    def note(self, at: datetime, is_good: bool) -> None:
        self._sent.append((at, is_good))

    def count(self, since: datetime, is_good: bool | None = None) -> int:
        return sum(1 for at, good in self._sent if at > since and is_good in (None, good))

    def name(self, now: datetime) -> str:
        """good, bad, or "" for a stranger."""
        if self.count(now - A_DAY, False) >= BAD:
            return "bad"
        is_good = self.count(now - A_DAY, True) >= GOOD and not self.count(now - A_DAY, False)
        return "good" if is_good else ""


class ProviderEngine(AiosmtpdEngine):
    """The provider of a world: `world.provider`."""

    name = "provider"
    software = "labkit provider"

    def __init__(self, host: Host, domains: tuple[str, ...], plan: ProviderPlan) -> None:
        super().__init__(host, domains, plan.certificate)
        self.keeps_plaintext = plan.keeps_plaintext
        self.demands = set(plan.demands)  # a notebook may add one, or take one away
        self.trusts = set(plan.trusts)  # whose ARC seals it believes
        self.rate = plan.rate
        self.keys = SigningKeys(host.path("/etc/dkim"))
        self._verdicts: deque[Verdict] = deque(maxlen=MOST_VERDICTS)
        self._names: dict[str, Reputation] = {}

    @property
    def verdicts(self) -> tuple[Verdict, ...]:
        """What it thought of each message, the oldest first."""
        return tuple(self._verdicts)

    def inbox(self, account: str) -> list[Message]:
        """What a user sees."""
        return self._box(account)

    def spam(self, account: str) -> list[Message]:
        """What a user does not look at."""
        return self._box(f"{account}.{SPAM}")

    def _box(self, name: str) -> list[Message]:
        path = self.host.mailbox_file(name)
        return [Message.parse(content) for content in read_mbox(path)] if path.exists() else []

    async def start(self, *, queue_only: bool = False) -> None:
        await super().start(queue_only=queue_only)
        domain = self.domains[0]
        self.publish(f"_domainkey.{domain}", {SELECTOR: self.keys.record(domain, SELECTOR)})

    def signed(self, message: Message) -> Message:
        return self.keys.signed(message, self.domains[0], SELECTOR, self.host.world.now())

    # --- at the door --------------------------------------------------------------------------

    async def judge(self, session: ServerSession, decision: Decision) -> Reply | None:
        if isinstance(decision, MailFrom):
            return await self._judge_client(session)
        if isinstance(decision, RcptTo):
            to = decision.forward_path
            if to.domain.lower() not in ("", *self.domains):
                return Reply(550, ("5.7.1 Relaying denied",))
            if self.mailbox_of(to.local_part) is None:
                return NO_SUCH_USER
        return None

    def reputation(self, address: str) -> Reputation:
        return self._names.setdefault(address, Reputation())

    async def _judge_client(self, session: ServerSession) -> Reply | None:
        address, now = session.peer.address, self.host.world.now()
        known = self.reputation(address)
        if self.rate and known.count(now - AN_HOUR) >= self.rate:
            return Reply(
                421,
                (
                    f"4.7.28 [{address}] Unusual rate of mail from your IP address.",
                    "4.7.28 To protect our users it is limited for now: try again later.",
                ),
            )
        if "tls" in self.demands and session.known.encryption is None:
            return self._unwelcome(
                address, "29", "29", ("This connection is not encrypted.", "We ask all senders to use TLS.")
            )
        if "ptr" in self.demands and not await self._client_name(address):
            words = (
                f"[{address}] The IP address sending this message has no PTR record,",
                "or the name there does not lead back to it.",
            )
            return self._unwelcome(address, "23", "25", words)
        return None

    def _unwelcome(self, address: str, passing: str, final: str, words: tuple[str, ...]) -> Reply:
        """4.7.x to a client with a good name, 5.7.x to others."""
        if self.reputation(address).name(self.host.world.now()) == "good":
            return Reply(421, tuple(f"4.7.{passing} {line}" for line in words))
        return Reply(550, tuple(f"5.7.{final} {line}" for line in words))

    async def _client_name(self, address: str) -> str:
        """The name of a PTR record that has this address; "" if none has."""
        names = await self.resolver.answer(NamesOf(address))
        for name in names.records[:MOST_PTR_NAMES]:
            forward = await self.resolver.answer(AddressesOf(name))
            if address in forward.records:
                return str(name)
        return ""

    # --- the message --------------------------------------------------------------------------

    async def take(self, session: ServerSession, received: MessageReceived) -> Reply:
        world, own = self.host.world, self.host.name
        now, envelope = world.now(), received.envelope
        queue_id = self.next_queue_id()
        message = without_forged(Message.parse(received.content), own)
        helo, address = session.known.helo_name, session.peer.address
        asking = examine(bytes(message), address, helo, envelope.sender, own, now.timestamp())
        findings = await answer_later(self._answer, asking)
        disposition, why, refusal = self._decide(address, findings)
        answer = refusal or reply.received(queue_id)
        verdict = Verdict(
            now,
            queue_id,
            message_id(message) or "",
            address,
            helo,
            await self._client_name(address),
            session.known.encryption is not None,
            envelope.sender,
            tuple(map(str, envelope.forward_paths)),
            findings,
            disposition,
            why,
            answer,
        )
        self._verdicts.append(verdict)
        if refusal is None or refusal.is_permanent:
            self.reputation(address).note(now, disposition == INBOX and findings.is_authenticated)
        world.note(own, EventKind.LOGGED, queue_id=queue_id, text=verdict.line)
        if refusal is not None:
            return refusal
        message = message.prepend(session.trace(envelope, queue_id))
        for field in reversed(authentication_fields(findings, own, self.domains[0], disposition)):
            message = message.prepend(field)  # above our own Received, where no client can write
        item = session.item(received, queue_id, bytes(message))
        self.note_received(item)
        for recipient in envelope.forward_paths:
            account = self.mailbox_of(recipient.local_part)
            assert account is not None, "it was judged"
            self.put_into_mailbox(item, message, recipient, account, SPAM if disposition == SPAM else "")
        world.note(own, EventKind.COMPLETED, queue_id=queue_id)
        return answer

    async def _answer(self, question: Question[Any]) -> Any:
        return await self.resolver.answer(question)

    def _decide(self, address: str, found: Findings) -> tuple[str, str, Reply | None]:
        """Inbox, spam or refused; why; and the refusal."""
        author, dmarc = found.author, found.dmarc
        if not author:
            words = ("5.7.1 This message has no From: header, or not one that tells who it is from.",)
            return REFUSED, author.problem, Reply(550, words)
        if found.is_undecided:
            return REFUSED, "the DNS did not answer", SORRY
        if dmarc.result == "fail" and self._is_vouched_for(found):
            return INBOX, f"DMARC fails; {' and '.join(found.sealers)} saw it pass, and is trusted", None
        if dmarc.result == "fail" and dmarc.policy == "reject":
            why = f"DMARC fails, and {dmarc.policy_domain} asks to reject"
            return REFUSED, why, _dmarc_refusal(author.domain)
        if "authentication" in self.demands and not found.is_authenticated:
            return REFUSED, "neither SPF nor DKIM passes", _unauthenticated(address, found)
        if "alignment" in self.demands and dmarc.result != "pass":
            lines = (
                "The From: header of this message is not aligned with",
                "the domain that SPF or DKIM has authenticated.",
            )
            return REFUSED, "nothing that passes is aligned", self._unwelcome(address, "32", "32", lines)
        if dmarc.result == "fail" and dmarc.policy == "quarantine":
            return SPAM, f"DMARC fails, and {dmarc.policy_domain} asks for quarantine", None
        if self.reputation(address).name(self.host.world.now()) == "bad":
            return SPAM, f"{address} has a bad name: {BAD} bad messages in a day", None
        if not found.is_authenticated:
            return SPAM, "neither SPF nor DKIM passes", None
        return INBOX, "dmarc=pass" if dmarc.result == "pass" else f"authenticated; dmarc={dmarc.result}", None

    def _is_vouched_for(self, found: Findings) -> bool:
        """RFC 8617 §7.2.1: a chain of servers that are trusted, and a message that was good at its beginning."""
        return bool(found.sealers) and self.trusts >= {*found.sealers} and found.was_aligned


def _dmarc_refusal(domain: str) -> Reply:
    return Reply(
        550,
        (
            f"5.7.26 Unauthenticated email from {domain} is not accepted due to the domain's DMARC policy.",
            f"5.7.26 If this was a legitimate mail, the administrator of {domain} can help.",
        ),
    )


def _unauthenticated(address: str, found: Findings) -> Reply:
    dkim = "did not pass" if found.dkim else "there is no signature"
    return Reply(
        550,
        (
            "5.7.26 This mail has been blocked because the sender is unauthenticated.",
            "5.7.26 All senders must authenticate with either SPF or DKIM. Authentication results:",
            f"5.7.26  DKIM = {dkim}",
            f"5.7.26  SPF [{found.spf.domain}] with ip: [{address}] = {found.spf.result}",
        ),
    )
