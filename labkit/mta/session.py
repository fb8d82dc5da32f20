"""One client's session: the machine, the ACLs that judge what it asks, and the message that comes of it.

DOES       answers each decision of the machine by the ACL of that moment; puts what was received into the spool.
HOW        an answer is a decision that may ask (a generator). It runs at once as far as nothing has to be waited
           for; only a question to the outside makes it a task.
STANDARDS  RFC 5321 §6.1 (250 takes responsibility), §4.4 (Received); Exim specification, "Access control lists"
READ NEXT  delivery_run.py
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from functools import partial
from typing import TYPE_CHECKING, Any

from labkit.eximconf.configuration import Options
from labkit.eximconf.expansion import Value
from labkit.eximconf.mailbox_text import NoMailbox, read_mailbox
from labkit.mail import reply
from labkit.mail.address import AddressSyntaxError, Mailbox
from labkit.mail.asking import Asking, Question, answer_later, ask
from labkit.mail.dates import header_date
from labkit.mail.envelope import Envelope
from labkit.mail.event import EventKind
from labkit.mail.message import HeaderField, Message
from labkit.mail.questions import Standing, VerifyRecipient
from labkit.mail.reply import Reply, shaped, worded
from labkit.mta import authentication_results, log_details, scanning, variables
from labkit.mta.connecting import connecting, lines_about
from labkit.mta.dkim_receiving import DkimReceiving
from labkit.mta.fixups import as_acls_want, completed, without_traces
from labkit.mta.greeting import greeted
from labkit.mta.local_message import tell_steps
from labkit.mta.own_trace import traced
from labkit.mta.pacing import Paces
from labkit.mta.rewriting import at_smtp_time, qualifying, rewritten
from labkit.mta.securing import Securing
from labkit.mta.session_end import not_quit
from labkit.mta.session_log import BOTH, SessionLog
from labkit.mta.state import SOFTWARE
from labkit.mta.submitter import submitter_of, with_sender
from labkit.net.network import Peer
from labkit.net.smtp_server import Decide
from labkit.queue.item import Origin, QueueItem
from labkit.smtp.acl import AclVerdict, Phase, Result, Scene
from labkit.smtp.decisions import (
    Answer,
    AuthAnswered,
    AuthBegins,
    AuthWanted,
    Connected,
    DataBegins,
    Decision,
    Dropping,
    Expand,
    Goodbye,
    Greeted,
    MailFrom,
    MessageReceived,
    RcptTo,
    StartTls,
    TurnQueue,
    Verify,
)
from labkit.smtp.server import Server
from labkit.smtp.trace_fields import received_field
from labkit.smtp.transcript import Line, printed, readable

if TYPE_CHECKING:
    from labkit.mta.intake import Intake

LONGEST_LINE = 998  # RFC 5322 §2.1.1, without CR LF


@dataclass(frozen=True, slots=True)
class Keep:
    """The message is to be kept: `says` when it is on disk.

    `waits`: nothing is tried before the next queue run. `in_secret`: the client hears that it is refused.
    `in_pieces`: it came by BDAT. `discarded`: which ACL threw away its recipients, and why.
    """

    item: QueueItem
    says: Reply
    waits: bool = False
    in_secret: bool = False
    in_pieces: bool = False
    discarded: str = ""


class Session:
    """One client's session."""

    takes_localhost = False  # a client at 127.0.0.1 is no host of a lab; in a test it is one like others

    def __init__(self, intake: Intake, peer: Peer, port: int = 25, *, can_encrypt: bool = False) -> None:
        self.intake = intake
        self.state = intake.state
        self.peer = peer
        self.number = intake.next_session()
        self.compiled = compiled = self.state.compiled
        self.env = self.state.env()
        variables.connected(self.env.variables, peer, self.state.addresses[0], port)
        self.scene = Scene(Phase.CONNECT, self.env, watched=True)
        self.env.acl = compiled.acls.hook(self.scene)
        self.env.authresults = authentication_results.hook(self)
        self.taken: list[Mailbox] = []  # recipients that count: not those that an ACL discarded
        self.discards = False
        self.log = SessionLog(self)
        self.dkim = DkimReceiving(self)
        self.begun = self.state.surroundings.now()
        self.must_verify_helo = self.tries_helo = False
        self.scene.spf.guess = self.main.text("spf_guess") or ""
        self.scene.spf.template = self.main.expansion("spf_smtp_comment_template")
        self.scene.gives_details = self.main.flag("smtp_return_error_details")
        self.message = Message.parse(b"")  # the one that is being received, as ACLs see it
        self.scene.spam = scanning.wishes(self.main, lambda: self.message)
        self.paces = Paces(self.main)
        self.body = ""  # BODY= of MAIL
        self.told: Mapping[str, Any] = {}  # for the log, of the message that is being kept
        self.machine = Server(
            self.state.primary_hostname,
            peer.address,
            compiled.limits,
            qualify_domain=compiled.qualify_recipient,
            offers=compiled.offers,
            enforce_sync=compiled.configuration.main.flag("smtp_enforce_sync"),
            on_line=self._heard,
            on_incident=self.log.incident,
        )
        self.machine.tells_ending = self.main.has("acl_smtp_notquit")
        self.machine.qualify_sender = compiled.qualify_domain
        self.securing: Securing = Securing(self, can_encrypt=can_encrypt)
        self.machine.change_path = at_smtp_time(compiled.rewriting, self.env, self.state.tell)

    @property
    def main(self) -> Options:
        """The main section of the configuration."""
        return self.compiled.configuration.main

    def set_limits(self, *, messages: int) -> None:
        self.machine.limits = replace(self.machine.limits, messages=messages)

    def answer(self, decision: Decision, decide: Decide) -> None:
        """Answer one decision of the machine, now or later."""
        self.env.now = self.state.surroundings.now()
        if self.machine.envelope is None:
            self.forget_message()
        values, machine = self.env.variables, self.machine
        values["authentication_failed"] = str(int(machine.auth_failed))
        values["smtp_command"], values["smtp_command_argument"] = (
            machine.command_line,
            machine.command_argument,
        )
        asking = _ANSWERS[type(decision)](self, decision)
        try:
            question = next(asking)
        except StopIteration as end:
            self._say(end.value, decide)
            return
        except Exception as problem:  # a fault of ours must not leave the client waiting
            self.state.note(EventKind.PROBLEM, text=repr(problem))
            decide(reply.LOCAL_PROBLEM)
            return
        self.intake.later(self._ask_on(asking, question, decide), decide)

    async def _ask_on(self, asking: Asking[Answer | Keep], question: Question[Any], decide: Decide) -> None:
        found = await answer_later(self.answer_question, asking, self.state.hear(), first=question)
        self._say(found, decide)

    async def answer_question(self, question: Question[Any]) -> Any:
        return await self.state.answer(question, self.env)

    def _say(self, found: Answer | Keep, decide: Decide) -> None:
        if isinstance(found, Keep):
            self._keep(found, decide)
        else:
            decide(found.reply, close=found.closes)

    # --- ACLs ---------------------------------------------------------------------------------

    def judge(self, phase: Phase, recipient: Mailbox | None = None) -> Asking[AclVerdict | None]:
        """Run the ACL of this moment. None: there is none."""
        acl = self.compiled.configuration.main.expansion(_OPTIONS[phase])
        if acl is None and phase not in _DENIES:
            return None
        scene = self.scene
        variables.count_recipients(self.env.variables, self.machine, len(self.taken))
        scene.phase, scene.recipient, scene.recipients = phase, recipient, self.taken
        verdict = yield from self.compiled.acls.run(acl, scene)
        name = acl.text if acl is not None else "no ACL"
        tell_steps(self.state, scene, verdict, name, self.number)
        self.machine.enforce_sync = self._enforces_sync()
        self.machine.extensions.pipelining &= scene.session.offers_pipelining
        return verdict

    def _enforces_sync(self) -> bool:
        wanted = self.scene.session.enforces_sync
        return self.compiled.configuration.main.flag("smtp_enforce_sync") if wanted is None else wanted

    def answer_of(self, verdict: AclVerdict | None, recipient: Mailbox | None = None) -> Answer:
        """What the client hears of a verdict; a refusal is noted."""
        if verdict is None or verdict.is_accepted:
            return Answer(verdict.reply if verdict else None)
        assert verdict.reply is not None, "a refusal has words"
        self.log.refused(verdict, str(recipient) if self.scene.phase is Phase.RCPT else None)
        return Answer(verdict.reply, verdict.closes)

    # --- one answer for each decision ---------------------------------------------------------

    def _connected(self, decision: Connected) -> Asking[Answer]:
        if self.peer.address.startswith("127.") and not (self.takes_localhost or self.state.takes_localhost):
            return Answer(localhost_refused(self.state.primary_hostname))
        refused = yield from connecting(self)
        if refused is not None:
            return refused
        yield from self.securing.offer_tls()
        verdict = yield from self.judge(Phase.CONNECT)
        if verdict is not None and not verdict.is_accepted:
            return self.answer_of(verdict)
        if verdict is not None and verdict.reply is not None:
            return Answer(Reply(220, verdict.reply.lines))
        banner = self.main.expansion("smtp_banner")
        if banner is not None:
            outcome = yield from banner.asking(self.env)
            if isinstance(outcome, Value):
                return Answer(worded(220, outcome.text))
            return Answer(reply.LOCAL_PROBLEM, closes=True)
        now = header_date(self.state.surroundings.now())
        return Answer(Reply(220, (f"{self.machine.host_name} ESMTP {SOFTWARE} {now}",)))

    def forget_message(self) -> None:
        """RSET, HELO, the end of a message: what belonged to it is gone."""
        self.scene.begin_message()
        self.taken, self.discards = [], False
        variables.forget_message(self.env.variables)
        self.dkim.forget()
        self.env.headers = ()
        self.message = Message.parse(b"")

    def _mail(self, decision: MailFrom) -> Asking[Answer]:
        yield from self.paces.mail(self)
        self.forget_message()
        self.body = decision.body if "BODY=" in self.machine.command_argument.upper() else ""
        if decision.auth is not None:
            refusal = yield from self.securing.auth.sender(decision.auth)
            if refusal is not None:
                return refusal
        variables.from_sender(self.env.variables, decision.reverse_path, decision.size)
        verdict = yield from self.judge(Phase.MAIL)
        if verdict is not None and verdict.result is Result.DISCARD:
            self.discards = True
        return self.answer_of(verdict)

    def _rcpt(self, decision: RcptTo) -> Asking[Answer]:
        if self.discards:  # MAIL was taken to be thrown away: nobody looks at its recipients
            return self._discarded(decision, "MAIL", AclVerdict(Result.DISCARD))
        yield from self.paces.rcpt(self)
        variables.to_recipient(self.env.variables, decision.forward_path)
        verdict = yield from self.judge(Phase.RCPT, decision.forward_path)
        assert verdict is not None, "without an ACL all are refused"
        if verdict.result is Result.DISCARD:
            return self._discarded(decision, "RCPT", verdict)
        if verdict.is_accepted:
            self.taken.append(decision.forward_path)
        return self.answer_of(verdict, decision.forward_path)

    def _discarded(self, decision: RcptTo, acl: str, verdict: AclVerdict) -> Answer:
        """This recipient will get nothing, but the client does not hear of it."""
        self.machine.transaction.rcpt_fail_count += 1
        values = self.env.variables
        words = f"{self.log.named_client} F=<{values['sender_address']}> RCPT {printed(self.machine.command_argument)}"
        why = f": {verdict.log_text}" if verdict.log_text else ""
        text = f"{words}: discarded by {acl} ACL{why}"
        self.log.tell(text, BOTH)
        return Answer(verdict.reply)

    def _data_begins(self, decision: DataBegins) -> Asking[Answer]:
        return self.answer_of((yield from self.judge(Phase.PREDATA)))

    def _verify(self, decision: Verify) -> Asking[Answer]:
        mailbox = _read(decision.text, self.compiled.qualify_recipient)
        if isinstance(mailbox, Reply):
            return Answer(mailbox)
        verdict = yield from self.judge(Phase.VRFY, mailbox)
        if verdict is None or not verdict.is_accepted:
            return self.answer_of(verdict)
        found = yield from ask(VerifyRecipient(mailbox))
        if found.is_good:
            return Answer(Reply(250, (f"<{mailbox}> is deliverable",)))
        if found.standing is Standing.UNDECIDED:
            words = (
                f"<{mailbox}> {found.words}" if found.words else f"Cannot resolve <{mailbox}> at this time"
            )
            return Answer(shaped(451, "", words))
        self.log.tell(f"VRFY failed for {printed(decision.text)} {self.log.named_client}")
        return Answer(shaped(550, "", f"<{mailbox}> {found.words or 'is not deliverable'}"))

    def _expand(self, decision: Expand) -> Asking[Answer]:
        verdict = yield from self.judge(Phase.EXPN)
        if verdict is None or not verdict.is_accepted:
            return self.answer_of(verdict)
        if not decision.text:
            return Answer(reply.EMPTY_ADDRESS)
        return Answer((yield from self.state.expanded(decision.text, self.env)))

    def _turn(self, decision: TurnQueue) -> Asking[Answer]:
        """ETRN: a queue run for messages to that domain, RFC 1985."""
        argument = printed(decision.text)
        self.log.tell(f"ETRN {argument} received from {self.log.client}", selector="etrn")
        verdict = yield from self.judge(Phase.ETRN)
        if verdict is None or not verdict.is_accepted:
            return self.answer_of(verdict)
        if not decision.text.startswith("#"):
            return Answer(reply.ETRN_WITHOUT_HASH)
        self.intake.on_turn(decision.text[1:])
        return Answer(reply.OK)

    def _goodbye(self, decision: Goodbye) -> Asking[Answer]:
        verdict = yield from self.judge(Phase.QUIT)
        self.log.closed()
        return Answer(verdict.reply if verdict is not None else None)

    def _dropping(self, decision: Dropping) -> Asking[Answer]:
        return Answer((yield from not_quit(self, decision.reason)))

    # --- the message --------------------------------------------------------------------------

    def _received(self, received: MessageReceived) -> Asking[Answer | Keep]:
        env, effects = self.env, self.scene.effects
        queue_id, now = self.state.new_queue_id(), self.state.surroundings.now()
        envelope = replace(
            received.envelope,
            forward_paths=tuple(self.taken),
            wishes=tuple((each, said) for each, said in received.envelope.wishes if each in self.taken),
        )
        message = without_traces(Message.parse(received.content), self.main)
        variables.arrived(env.variables, message, queue_id, envelope.forward_paths, received.longest_line)
        who = self._submitter()
        if effects.submission is not None:
            name = effects.submission.name or ""
            message = completed(
                message,
                queue_id=queue_id,
                host=self.state.primary_hostname,
                sender=envelope.sender or (str(who) if who else ""),
                now=now,
                name=name,
                keeps_sender=effects.submission.retains_sender,
                vouched=partial(with_sender, submitter=who, name=name) if who else lambda message: message,
            )
        if who is not None and envelope.reverse_path is not None:
            envelope = replace(envelope, reverse_path=who)
            variables.named_sender(env.variables, who)
        values = env.variables
        self.told = log_details.of_session(
            envelope, values["received_ip_address"], values["received_port"], self.body
        )
        envelope, message = yield from self._rewritten(envelope, message)
        usual = self._trace(received, envelope, queue_id, now)
        message = yield from traced(message, usual, self.main, env, envelope.forward_paths, now)
        message = as_acls_want(message, self.scene)
        env.headers = variables.header_of(message)
        verdict, discarded = None, ""
        if not envelope.forward_paths:  # nobody gets it, and no other ACL is asked
            discarded = "MAIL ACL" if self.discards else "RCPT ACL"
        for phase, judging in _AFTER_DATA if not discarded else ():
            self.message = message
            verdict = yield from judging(self, received)
            if verdict is not None and not verdict.is_accepted:
                return self.answer_of(verdict)
            message = as_acls_want(message, self.scene)
            env.headers = variables.header_of(message)
            if verdict is not None and verdict.result is Result.DISCARD:
                why = f": {verdict.log_text}" if verdict.log_text else ""
                discarded, envelope = f"{phase.called} ACL{why}", replace(envelope, forward_paths=())
                break
        self.told = {**self.told, "dkim": self.dkim.passed_for or None}
        item = QueueItem(
            queue_id,
            envelope,
            bytes(message),
            now,
            self._origin(received),
            frozen=effects.is_frozen,
            is_untried=True,
            acl_variables=variables.of_acls(env.variables),
        )
        if effects.fake is not None:
            says = effects.fake.reply
            return Keep(item, says, self._waits(), in_secret=says.is_permanent, discarded=discarded)
        accepted = verdict.reply if verdict is not None else None
        in_pieces = received.last_chunk is not None
        says = accepted or _taken(received, item)
        return Keep(item, says, self._waits(), in_pieces=in_pieces, discarded=discarded)

    def _judge_signatures(self, received: MessageReceived) -> Asking[AclVerdict | None]:
        return (yield from self.dkim.judge(received.content))

    def _judge_content(self, received: MessageReceived) -> Asking[AclVerdict | None]:
        verdict = yield from self.judge(Phase.DATA)
        if verdict is None and received.longest_line > LONGEST_LINE:
            refusal = reply.line_too_long(LONGEST_LINE)
            verdict = AclVerdict(Result.DENY, refusal, refusal.text)
        return verdict

    def _waits(self) -> bool:
        """Whether nothing is tried before the next queue run: an ACL says so, or the client sends very many."""
        return bool(self.scene.effects.queues) or any(lines_about(self))

    def _origin(self, received: MessageReceived) -> Origin:
        values, by = self.env.variables, self.securing.auth.by
        _, name = variables.shown_client(values)
        return Origin(
            self.peer.address,
            self.peer.port,
            received.helo_name,
            received.protocol,
            client_name=name or "",
            encryption=self.securing.encryption,
            authenticator=by.name if by is not None else "",
            authenticated_id=values.get("authenticated_id", ""),
            authenticated_sender=values.get("authenticated_sender", ""),
        )

    def _submitter(self) -> Mailbox | None:
        """Whose message it is, if a client that has authenticated submits it."""
        known = self.env.variables.get("authenticated_id", "") if self.securing.auth.by is not None else ""
        return submitter_of(self.scene.effects.submission, known, self.compiled.qualify_domain)

    def _rewritten(self, envelope: Envelope, message: Message) -> Asking[tuple[Envelope, Message]]:
        """What rewriting rules make of it; header addresses without domain get one if the client may send such."""
        values, scene = self.env.variables, self.scene
        if scene.memory.has_rewritten_sender:
            address = values["sender_address"]
            envelope = replace(envelope, reverse_path=Mailbox.parse(address) if address else None)
        senders, recipients = scene.takes_unqualified
        may_qualify = qualifying(self.compiled, senders=senders, recipients=recipients)
        envelope, message = yield from rewritten(
            self.compiled,
            envelope,
            message,
            self.env,
            self.state.tell,
            may_qualify,
            keeps_sender=scene.memory.has_rewritten_sender,
        )
        if self.compiled.rewriting:
            self.taken = list(envelope.forward_paths)
            variables.of_envelope(values, envelope)
        return envelope, message

    def _trace(
        self, received: MessageReceived, envelope: Envelope, queue_id: str, now: datetime
    ) -> HeaderField:
        return received_field(
            client_address=self.peer.address,
            client=self.env.variables["sender_rcvhost"],
            helo_name=received.helo_name,
            by=self.state.primary_hostname,
            software=SOFTWARE,
            protocol=received.protocol,
            encryption=self.securing.encryption,
            envelope=envelope,
            queue_id=queue_id,
            at=now,
        )

    def _keep(self, keep: Keep, decide: Decide) -> None:
        """Put the message into the spool, and say 250 when it is on disk."""
        state, queue_id = self.state, keep.item.queue_id

        def on_durable(problem: OSError | None) -> None:
            if problem is not None:
                state.note(EventKind.PROBLEM, queue_id=queue_id, text=f"cannot write the spool: {problem}")
                decide(reply.LOCAL_PROBLEM)
                return
            self.intake.taken(
                keep.item,
                waits=keep.waits,
                in_secret=keep.in_secret,
                in_pieces=keep.in_pieces,
                told=self.told,
            )
            if keep.discarded:
                acl, _, why = keep.discarded.partition(": ")
                self.log.tell(f"=> blackhole ({acl} discarded recipients){f': {why}' if why else ''}")
            for line in lines_about(self):
                self.log.tell(line, selector="delay_delivery")
            decide(keep.says)

        try:
            state.spool.accept(keep.item, on_durable)
        except ValueError as problem:  # something on it that no spool file can hold: the client must not wait
            state.note(EventKind.PROBLEM, queue_id=queue_id, text=f"cannot write the spool: {problem}")
            decide(reply.LOCAL_PROBLEM)

    # --- the journal --------------------------------------------------------------------------

    def _heard(self, line: Line) -> None:
        self.state.note(
            EventKind.DIALOGUE,
            session=self.number,
            remote_address=self.peer.address,
            speaker=line.speaker,
            text=line.text,
            state=line.state,
        )


_DENIES = (Phase.RCPT, Phase.VRFY, Phase.EXPN, Phase.ETRN)  # without an ACL
_AFTER_DATA = ((Phase.DKIM, Session._judge_signatures), (Phase.DATA, Session._judge_content))
_OPTIONS = {phase: f"acl_smtp_{phase.value}" for phase in Phase} | {Phase.NOT_SMTP: "acl_not_smtp"}
_ANSWERS: dict[type, Callable[[Session, Any], Asking[Answer | Keep]]] = {
    Connected: Session._connected,
    Greeted: greeted,
    MailFrom: Session._mail,
    RcptTo: Session._rcpt,
    DataBegins: Session._data_begins,
    MessageReceived: Session._received,
    Verify: Session._verify,
    Expand: Session._expand,
    TurnQueue: Session._turn,
    StartTls: lambda session, decision: session.securing.starttls(decision),
    AuthWanted: lambda session, decision: session.securing.auth.wanted(decision),
    AuthBegins: lambda session, decision: session.securing.auth.begins(decision),
    AuthAnswered: lambda session, decision: session.securing.auth.answered(decision),
    Goodbye: Session._goodbye,
    Dropping: Session._dropping,
}


def _taken(received: MessageReceived, item: QueueItem) -> Reply:
    """The reply that takes responsibility; of a message that came in pieces it tells sizes, too."""
    if received.last_chunk is None:
        return reply.received(item.queue_id)
    has_header = bool(Message.parse(received.content).header_fields)  # without one Exim counts an empty line
    total = len(received.content) + (bool(received.content) and not has_header)
    return reply.received_in_chunks(item.queue_id, received.last_chunk, total)


def _read(text: str, qualify_domain: str) -> Mailbox | Reply:
    """The address of VRFY and EXPN as people write addresses; or what is wrong with it."""
    try:
        found = read_mailbox(text)
    except NoMailbox as problem:
        return Reply(501, (readable(str(problem).encode("latin-1", "replace")),))
    local_part, _, domain = found.text.rpartition("@") if found.has_domain else (found.text, "", "")
    if not found.has_domain and local_part.lower() != "postmaster":
        return reply.bad_address(text, "recipient address must contain a domain")
    try:
        return Mailbox.parse(f"{local_part}@{domain or qualify_domain}")
    except AddressSyntaxError as problem:
        return reply.bad_address(text, problem)


def localhost_refused(host: str) -> Reply:
    """A caller without a lab address would count as this very machine in every relay check, so it is sent away."""
    return Reply(
        554,
        (
            f"{host}: you call from 127.0.0.1, which is no host of this lab",
            "To every relay check you would be the server itself.",
            "Call from a laptop: smtplib.SMTP(*host.endpoint(), source_address=laptop.source_address),",
            "or swaks --local-interface, nc -s, with the addresses that ./lab shell prints.",
        ),
    )
