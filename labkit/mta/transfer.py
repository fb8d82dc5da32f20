"""One message over one open connection: in as many transactions as max_rcpt asks for.

WHAT       `Transfer.carry_out` sends to all legs that wait; those that are settled leave them. What came of each is in
           `settled`, and why the rest still waits in `troubles`.
DECIDES    what a reply means for whom: a 5yz fails; a 4yz at RCPT puts off this address, one at MAIL or after the
           message all that wait; a 452 after others were taken begins the next transaction (RFC 5321 §4.5.3.1.10).
LIKE EXIM  where nobody was taken, nothing more is said on this connection
STANDARDS  RFC 5321 §4.2.1, §4.5.3.1.10; RFC 3461 §4 (what the sender wants to hear goes on to the next host)
READ NEXT  sending.py
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace

from labkit.mail.address import Mailbox
from labkit.mail.envelope import Envelope
from labkit.mail.reply import Reply
from labkit.mta.calling import Called
from labkit.mta.host_trouble import HostTrouble, after, said_in, trouble_of
from labkit.mta.legs import Leg
from labkit.queue import errors
from labkit.smtp.client import Ending, Verdict
from labkit.smtp.states import Step

TOO_MANY_RECIPIENTS = 452


@dataclass(frozen=True, slots=True)
class Settled:
    """A leg that has come to an end: delivered if `words` is "", else failed.

    `is_continued`: not the first message of the connection. `is_further`: another recipient has the same copy of it.
    `is_chunked`: the message went in pieces, by BDAT.
    """

    leg: Leg
    called: Called
    reply: Reply
    words: str = ""
    is_continued: bool = False
    is_further: bool = False
    is_chunked: bool = False


@dataclass(slots=True)
class Transfer:
    """`waiting` are the legs that want the message, each with what RCPT says: two may have the same address.

    `wrote_down` hears at once of each that has it.
    """

    called: Called
    envelope: Envelope  # of the message: its sender, and what he wants to hear
    content: bytes
    waiting: dict[Leg, Mailbox]
    most_recipients: int
    wrote_down: Callable[[Leg], None]
    settled: list[Settled] = field(default_factory=list)
    troubles: dict[Leg, HostTrouble] = field(default_factory=dict)  # of single addresses
    trouble: HostTrouble | None = None  # of all that still wait
    made_progress: bool = False  # at least one was taken, or refused for good

    async def carry_out(self) -> None:
        pending = list(self.waiting)
        while pending and self.called.is_open and self.trouble is None:
            batch, pending = pending[: self.most_recipients], pending[self.most_recipients :]
            again, was_useful = await self._transaction(batch)
            pending = again + pending
            if not was_useful:
                return

    async def _transaction(self, batch: list[Leg]) -> tuple[list[Leg], bool]:
        """One MAIL. Returns who is to be in the next one, and whether there should be one."""
        called, is_continued = self.called, self.called.messages > 0
        result = await called.connection.send(self._envelope_for(batch), self.content, called.manner)
        called.messages += 1
        verdicts = {verdict.number: verdict for verdict in result.verdicts}
        again: list[Leg] = []
        has_good = False
        refusal: Verdict | None = None
        for number, leg in enumerate(batch):
            verdict = verdicts.get(number)
            if verdict is None:
                continue
            if self._comes_again(verdict, has_good):
                again.append(leg)
                continue
            has_good = has_good or not verdict.reply.is_transient
            if verdict.step is not Step.RCPT and verdict.reply.is_permanent:
                refusal = verdict
            else:
                self._judge(leg, verdict, is_continued, result.is_chunked)
        if refusal is not None:  # it is this message that is not wanted: so by nobody
            for leg in [each for each in self.waiting if each not in self.troubles]:
                self._judge(leg, refusal, is_continued, result.is_chunked)
            return [], False
        if result.broken:
            self._note_break()
        return again, has_good

    def _envelope_for(self, batch: list[Leg]) -> Envelope:
        paths = tuple(self.waiting[leg] for leg in batch)
        wishes = tuple(zip(paths, (self.envelope.wishes_of(leg.address) for leg in batch)))
        return replace(self.envelope, forward_paths=paths, wishes=wishes)

    def _comes_again(self, verdict: Verdict, has_good: bool) -> bool:
        is_full = verdict.step is Step.RCPT and verdict.reply.code == TOO_MANY_RECIPIENTS
        return is_full and has_good

    def _judge(self, leg: Leg, verdict: Verdict, is_continued: bool, is_chunked: bool) -> None:
        reply = verdict.reply
        words = "" if reply.is_positive else self._words(self.waiting[leg], verdict)
        if not reply.is_transient:
            del self.waiting[leg]
            self.made_progress = True
            if reply.is_positive:
                self.wrote_down(leg)
            is_further = not words and any(each.reply is reply for each in self.settled)
            settled = Settled(leg, self.called, reply, words, is_continued, is_further, is_chunked)
            self.settled.append(settled)
        elif verdict.step is Step.RCPT:
            self.troubles[leg] = HostTrouble(errors.RCPT_4XX, words, reply, errors.of_reply(reply.code))
        else:
            errno = errors.MAIL_4XX if verdict.step is Step.MAIL else errors.DATA_4XX
            self.trouble = HostTrouble(errno, words, reply, errors.of_reply(reply.code), is_of_message=True)

    def _words(self, address: Mailbox, verdict: Verdict) -> str:
        if verdict.step is Step.RCPT:
            return after(f"RCPT TO:<{address}>", verdict.reply)
        machine = self.called.connection.machine
        command = {Step.MAIL: machine.commands.get(Step.MAIL, "MAIL"), Step.DATA: "DATA"}
        return after(said_in(machine, verdict.step, command.get(verdict.step, "end of data")), verdict.reply)

    def _note_break(self) -> None:
        """The connection is gone in the middle of it: whoever has no verdict waits."""
        machine = self.called.connection.machine
        if self.trouble is not None:
            return
        ended = machine.ended
        assert ended is not None, "it is broken"
        if ended.step is Step.RCPT and ended.how is Ending.SILENCE:  # it may be this address alone
            words = f"SMTP timeout after {ended.command}"
            self.trouble = HostTrouble(errors.TIMED_OUT, words, names_host=False, is_of_address=True)
            return
        self.trouble = trouble_of(machine)
