"""SMTP on the standard input: -bs, a session; -bS, a batch without answers.

DOES       the session machine and the ACLs of a host that runs. The client has no address; he is the caller.
LIKE EXIM  `Hello ann at NAME`; messages are completed as those of other local callers; their sender is what MAIL says
           if the caller is trusted, else the caller. A batch ends at its first error, which is told on both outputs.
STANDARDS  Exim specification, chapter "The Exim command line" (-bs, -bS)
READ NEXT  actions.py
"""

from __future__ import annotations

import re
from dataclasses import replace

from labkit.cli.exim.command import Mode
from labkit.cli.exim.host_test import Conversation
from labkit.cli.exim.views import Work
from labkit.mail.address import Mailbox
from labkit.mail.message import Message
from labkit.mail.reply import Reply
from labkit.mta.fixups import completed
from labkit.mta.session import Keep, Session
from labkit.mta.state import SOFTWARE
from labkit.net.network import Peer
from labkit.net.smtp_server import Decide
from labkit.queue.item import Origin, QueueItem
from labkit.smtp.decisions import Answer, Decision, Greeted
from labkit.smtp.trace_fields import received_field

_REFUSED = re.compile(rb"^([45][0-9]{2}) ", re.MULTILINE)


class LocalSession(Session):
    """A session with whoever started this command."""

    takes_localhost = True

    def __init__(self, work: Work) -> None:
        super().__init__(work.mta.intake, Peer("", 0), 0)
        self.work = work
        self.is_batch = work.command.mode is Mode.BATCH
        self.machine.enforce_sync = False
        self.helo_name = ""
        self.decision: Decision | None = None

    def _enforces_sync(self) -> bool:
        return False  # whoever writes into a pipe does not wait

    def answer(self, decision: Decision, decide: Decide) -> None:
        self.decision = decision
        super().answer(decision, decide)

    def _say(self, found: Answer | Keep, decide: Decide) -> None:
        if isinstance(found, Answer) and isinstance(self.decision, Greeted):
            self.helo_name = self.decision.name
            if found.reply is not None and found.reply.is_positive:
                host, login = self.state.primary_hostname, self.work.caller.login
                lines = found.reply.lines[1:]
                reply = Reply(250, (f"{host} Hello {login} at {self.helo_name}", *lines))
                found = Answer(reply, found.closes)
        super()._say(found, decide)

    def _keep(self, keep: Keep, decide: Decide) -> None:
        super()._keep(replace(keep, item=self._as_local(keep)), decide)

    def _as_local(self, keep: Keep) -> QueueItem:
        """The item, as a message of a local caller."""
        item, caller, state = keep.item, self.work.caller, self.state
        envelope = item.envelope
        if not caller.is_trusted and envelope.reverse_path is not None:
            envelope = replace(envelope, reverse_path=Mailbox(caller.login, state.compiled.qualify_domain))
        kind = "bsmtp" if self.is_batch else item.origin.protocol.removeprefix("local-")
        protocol = f"local-{kind}"
        helo = "" if self.is_batch or not self.helo_name else f" (helo={self.helo_name})"
        trace = received_field(
            client_address="" if not helo else "local",
            client=f"{caller.login}{helo}" if helo else "",
            helo_name="",
            by=state.primary_hostname,
            software=SOFTWARE,
            protocol=protocol,
            envelope=envelope,
            queue_id=item.queue_id,
            at=item.received_at,
            login=caller.login,
        )
        message = Message.parse(item.content)
        fields = list(message.header_fields)
        at = next((n for n, each in enumerate(fields) if each.name.lower() == "received"), 0)
        fields[at : at + 1] = [trace]
        message = completed(
            replace(message, header_fields=tuple(fields)),
            queue_id=item.queue_id,
            host=state.primary_hostname,
            sender=envelope.sender,
            now=item.received_at,
            keeps_sender=caller.is_trusted,
        )
        origin = Origin(
            protocol=protocol,
            login=caller.login,
            helo_name="" if self.is_batch else self.helo_name,
            names_sender=caller.is_trusted,
        )
        return replace(item, envelope=envelope, content=bytes(message), origin=origin)


async def converse(work: Work) -> None:
    """Carry on one session until its end, and tell the exit status."""
    work.mta.runner.queue_only = {"": None, "q": True}.get(work.command.delivery, False)
    session = LocalSession(work)
    if session.is_batch:
        status = await _batch(work, session)
    else:
        status = await _session(work, session)
    if work.command.delivery == "i":
        await work.idle()
    work.console.end(status)


async def _session(work: Work, session: LocalSession) -> int:
    conversation, machine, console = Conversation(session), session.machine, work.console
    await conversation.go_on()
    while not machine.is_closed:
        console.say(machine.bytes_to_send())
        await console.drain()
        octets = await console.read()
        if not octets:
            console.say(f"421 {work.mta.state.primary_hostname} lost input connection\r\n")
            machine.end()
            return 1
        machine.receive(octets.replace(b"\r\n", b"\n").replace(b"\n", b"\r\n"))
        await conversation.go_on()
    console.say(machine.bytes_to_send())
    return 0


async def _batch(work: Work, session: LocalSession) -> int:
    conversation, machine = Conversation(session), session.machine
    await conversation.go_on()
    machine.receive(b"HELO batch\r\n")
    await conversation.go_on()
    machine.bytes_to_send()
    number, began = 0, 0
    async for line in work.console.lines():
        number += 1
        if machine.envelope is None and line[:4].upper() == b"MAIL":
            began = number - 1  # as Exim counts: the lines before it
        machine.receive(line.rstrip(b"\r\n") + b"\r\n")
        await conversation.go_on()
        said = machine.bytes_to_send()
        if _REFUSED.search(said):
            return _abandon(work, session, said, began, number, line)
        if machine.is_closed:
            return 0
    if machine.envelope is not None:
        return _abandon(work, session, b"421 Lost incoming connection\r\n", began, number, None)
    return 0


def _abandon(
    work: Work, session: LocalSession, said: bytes, began: int, number: int, line: bytes | None
) -> int:
    """The first error ends a batch. Returns the exit status: 1 if something was taken before it, else 2."""
    words = said.decode("latin-1").replace("\r\n", "\n").rstrip("\n")
    words = re.sub(r"(?m)^([45][0-9]{2}[- ])<[^>]*>: ", r"\1", words)
    taken = session.machine.messages_accepted
    at_fault = "" if line is None else line.decode("latin-1").rstrip("\r\n")
    out = [words, f"Transaction started in line {began}", f"Error detected in line {number}"]
    work.console.say("\n".join([*out, *([at_fault] if at_fault else []), ""]).encode("latin-1"))
    told = [
        "An error was detected while processing a file of BSMTP input.",
        "The error message was:",
        "",
        *(f"  {each}" for each in words.split("\n")),
        "",
        f"The SMTP transaction started in line {began}.",
        f"The error was detected in line {number}.",
    ]
    if at_fault:
        told += ["The SMTP command at fault was:", "", f"   {at_fault}", ""]
    before = f"{taken} previous message{'s were' if taken != 1 else ' was'} successfully processed."
    work.console.complain("\n".join([*told, before, "The rest of the batch was abandoned."]))
    session.machine.end()
    return 1 if taken else 2
