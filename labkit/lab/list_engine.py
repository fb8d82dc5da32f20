"""The mailing list: what a member posts goes to all members, from the list's own bounce address.

WHAT       LIST@ takes mail of its members and sends it on, changed as its mode says (list_message.py); what comes to
           LIST-bounces@ and LIST-request@ is taken and ends here.
DECIDES    only members may post; a report (null reverse-path) never goes to a list; what has passed this list already
           is refused: else two lists that are members of each other would go on for ever.
SIGNS      in the mode `munge`, where From: is the list's own; in the mode `arc` it seals what it has seen.
STANDARDS  RFC 5321 §3.9.2 (lists: the envelope sender becomes the list's), RFC 2919, RFC 8617 §5 (sealing)
READ NEXT  provider_verdict.py
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from labkit.auth.arc_seal import seal
from labkit.auth.authentication_results import MethodResult
from labkit.auth.author import author_of
from labkit.auth.dkim_sign import SigningError
from labkit.lab.aiosmtpd_engine import AiosmtpdEngine, ServerSession
from labkit.lab.list_message import as_posted
from labkit.lab.outside_plans import LIST_MODES, ListPlan, MailingList
from labkit.lab.provider_verdict import INBOX, examine, method_results
from labkit.lab.signing_keys import SigningKeys
from labkit.mail import reply
from labkit.mail.address import Mailbox
from labkit.mail.asking import answer_later
from labkit.mail.envelope import Envelope
from labkit.mail.event import EventKind
from labkit.mail.message import HeaderField, Message
from labkit.mail.plainly import SaidPlainly
from labkit.mail.reply import Reply
from labkit.queue.item import QueueItem
from labkit.smtp.decisions import Decision, MessageReceived, RcptTo

if TYPE_CHECKING:
    from labkit.lab.host import Host

SELECTOR = "l1"
_OF_THE_LIST = ("bounces", "request", "owner")
NO_SUCH_LIST = Reply(550, ("5.1.1 there is no such list here",))
ONLY_MEMBERS = Reply(550, ("5.7.1 only members may post to this list",))
NO_REPORTS = Reply(550, ("5.7.1 a list takes no mail from <>",))
BEEN_HERE = Reply(554, ("5.4.6 this message has come from this list already",))


class NoSuchSetting(SaidPlainly, ValueError):
    """A list or a mode that there is not; the text says which there are."""


class ListEngine(AiosmtpdEngine):
    """A host with mailing lists."""

    name = "list"
    software = "labkit list"
    sends_reports = False  # who cannot be reached is the list's own affair

    def __init__(self, host: Host, domains: tuple[str, ...], plan: ListPlan) -> None:
        super().__init__(host, domains, plan.certificate)
        self.lists = {each.name: each for each in plan.lists}
        self.keys = SigningKeys(host.path("/etc/dkim"))

    async def start(self, *, queue_only: bool = False) -> None:
        await super().start(queue_only=queue_only)
        domain = self.domains[0]
        self.publish(f"_domainkey.{domain}", {SELECTOR: self.keys.record(domain, SELECTOR)})

    def change(
        self,
        name: str,
        *,
        mode: str | None = None,
        footer: str | None = None,
        members: tuple[str, ...] | None = None,
    ) -> MailingList:
        """What a list's owner does in its settings; what is not named stays. Raises NoSuchSetting."""
        if name not in self.lists:
            raise NoSuchSetting(f"there is no list {name!r}; there are {', '.join(self.lists)}")
        if mode is not None and mode not in LIST_MODES:
            raise NoSuchSetting(f"there is no mode {mode!r}; there are {', '.join(LIST_MODES)}")
        now = self.lists[name]
        self.lists[name] = replace(
            now,
            mode=now.mode if mode is None else mode,
            footer=now.footer if footer is None else footer,
            members=now.members if members is None else tuple(members),
        )
        return self.lists[name]

    def _list_of(self, to: Mailbox) -> tuple[MailingList | None, str]:
        """The list that an address belongs to, and for what: "" is posting."""
        local_part = to.local_part.lower()
        if local_part in self.lists:
            return self.lists[local_part], ""
        name, _, purpose = local_part.rpartition("-")
        return (self.lists.get(name) if purpose in _OF_THE_LIST else None), purpose

    async def judge(self, session: ServerSession, decision: Decision) -> Reply | None:
        if isinstance(decision, RcptTo):
            to = decision.forward_path
            if to.domain.lower() not in ("", *self.domains):
                return Reply(550, ("5.7.1 Relaying denied",))
            posted, purpose = self._list_of(to)
            if posted is None and self.mailbox_of(to.local_part) is None:
                return NO_SUCH_LIST
            if posted is not None and not purpose and decision.reverse_path is None:
                return NO_REPORTS
        return None

    async def take(self, session: ServerSession, received: MessageReceived) -> Reply:
        message = Message.parse(received.content)
        posts = [
            each for each in map(self._list_of, received.envelope.forward_paths) if not each[1] and each[0]
        ]
        for posted, _ in posts:
            assert posted is not None
            if (refusal := self._refusal(posted, message)) is not None:
                return refusal
        sets = await self._sealing(session, received) if any(p.mode == "arc" for p, _ in posts if p) else None
        queue_id = self.next_queue_id()
        traced = message.prepend(session.trace(received.envelope, queue_id))
        item = session.item(received, queue_id, bytes(traced))
        self.note_received(item)
        for recipient in received.envelope.forward_paths:
            posted, purpose = self._list_of(recipient)
            account = self.mailbox_of(recipient.local_part)
            if posted is not None and not purpose:
                self._post(posted, traced, item, recipient, sets)
            elif posted is None and account is not None:
                self.put_into_mailbox(item, traced, recipient, account)
            else:
                self._note_end(item, recipient, f"taken by the list's {purpose}")
        self.host.world.note(self.host.name, EventKind.COMPLETED, queue_id=queue_id)
        return reply.received(queue_id)

    def _refusal(self, posted: MailingList, message: Message) -> Reply | None:
        own = f"<{posted.name}.{self.domains[0]}>"
        if any(own in field.value for field in message.all("List-Id")):
            return BEEN_HERE
        members = {member.lower() for member in posted.members}
        if not any(address.lower() in members for address in author_of(message).addresses):
            return ONLY_MEMBERS
        return None

    async def _sealing(self, session: ServerSession, received: MessageReceived) -> list[MethodResult]:
        """What this host finds out about a message, for its ARC seal."""
        asking = examine(
            received.content,
            session.peer.address,
            session.known.helo_name,
            received.envelope.sender,
            self.host.name,
            self.host.world.now().timestamp(),
        )
        findings = await answer_later(self.resolver.answer, asking)
        results = method_results(findings, self.domains[0], INBOX)
        if findings.arc.result == "none":
            came_from = ("smtp.remote-ip", session.peer.address)  # DMARC reports name it (RFC 8617 §7.2.2)
            results.append(MethodResult.of("arc", "none", came_from))
        return results

    def _sealed(self, message: Message, results: list[MethodResult]) -> Message:
        """With an ARC set on top; the same where none may be added."""
        domain = self.domains[0]
        try:
            fields = seal(
                bytes(message),
                authserv_id=self.host.name,
                results=results,
                domain=domain,
                selector=SELECTOR,
                key=self.keys.key(domain, SELECTOR),
                now=self.host.world.now().timestamp(),
            )
        except SigningError as problem:
            self._note(EventKind.LOGGED, f"no ARC seal: {problem}")
            return message
        for field in reversed(fields):
            message = message.prepend(HeaderField(field))
        return message

    def _post(
        self,
        posted: MailingList,
        message: Message,
        item: QueueItem,
        to: Mailbox,
        results: list[MethodResult] | None,
    ) -> None:
        """To all members, as a message of the list's own."""
        domain, queue_id, now = self.domains[0], self.next_queue_id(), self.host.world.now()
        changed = as_posted(message, posted, domain)
        if posted.mode == "munge":
            changed = self.keys.signed(changed, domain, SELECTOR, now)
        if posted.mode == "arc" and results is not None:
            changed = self._sealed(changed, results)
        members = tuple(Mailbox.parse(member) for member in posted.members)
        envelope = Envelope(Mailbox(f"{posted.name}-bounces", domain), members)
        self.accept(QueueItem(queue_id, envelope, bytes(changed), now), about=item.queue_id)
        self._note_end(item, to, f"{len(members)} members, id={queue_id}")

    def _note_end(self, item: QueueItem, recipient: Mailbox, words: str) -> None:
        self.host.world.note(
            self.host.name,
            EventKind.DELIVERED,
            queue_id=item.queue_id,
            recipient=str(recipient),
            router="list",
            origin=item.envelope.sender,
            return_path=item.envelope.sender,
            text=words,
        )
