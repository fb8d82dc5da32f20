"""The client's side of an SMTP session, without a network.

WHAT       `Client` walks through CLIENT_TABLE: banner, EHLO (or HELO), maybe `start_tls` and `say` (for AUTH), then
           any number of messages handed in with `send`, then `quit`. What became of each recipient is in `result`.
DECIDES    which step follows which answer; when to pipeline; nothing about retries. Whether to encrypt and how to
           prove who we are is for whoever owns it. Where EHLO is refused, also for now, HELO is said.
STANDARDS  RFC 5321 §3.3, §4.5.2 (dots); RFC 2920 §3.1 (PIPELINING); RFC 3207 (STARTTLS); RFC 3030 (BDAT)
LIKE EXIM  an 8-bit message goes out as it is even where 8BITMIME is not offered
SAFE       a server that talks nonsense, endlessly or out of turn ends the session; it cannot hurt the client. What came
           before a handshake does not count, and the session ends (RFC 3207 §6).
READ NEXT  reply_lines.py, client_transaction.py; then acl.py
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from enum import Enum

from labkit.mail.envelope import Envelope
from labkit.mail.message import is_canonical
from labkit.mail.reply import Reply, Severity
from labkit.smtp.client_transaction import USUAL, Manner, Result, Transaction, Verdict
from labkit.smtp.reply_lines import LONGEST_REPLY_LINE, MOST_REPLY_LINES, NoReply, ReplyLines
from labkit.smtp.states import CLIENT_TABLE, Step
from labkit.smtp.transcript import Line, Listener

__all__ = [
    "LONGEST_REPLY_LINE",
    "MOST_REPLY_LINES",
    "Client",
    "Ended",
    "Ending",
    "Manner",
    "Result",
    "Verdict",
]


SMALL_MESSAGE = 8192  # octets that are sent before anybody has agreed to have them


class Ending(Enum):
    """How a session ended before its time."""

    CLOSED = "the connection is gone"
    SILENCE = "no answer in time"
    MALFORMED = "what was said is no SMTP"
    REPLY = "a reply that nobody can go on after"
    TLS = "the handshake failed"


@dataclass(frozen=True, slots=True)
class Ended:
    """`command` is what was not answered well: "initial connection", "end of data", or what was said."""

    how: Ending
    step: Step
    command: str
    reply: Reply | None = None
    said: str = ""  # what was no reply


@dataclass(frozen=True, slots=True)
class _Awaited:
    """An answer that is to come, and the command that it will be for."""

    step: Step
    command: str
    recipient: int | None = None  # its number


_BANNER = _Awaited(Step.BANNER, "initial connection")


class Client:
    """One SMTP session, seen from the client. `helo_name` goes into EHLO; `on_line` hears every line.

    `extended` False: HELO is said, not EHLO.
    """

    def __init__(
        self,
        helo_name: str,
        *,
        pipelining: bool = True,
        extended: bool = True,
        on_line: Listener | None = None,
    ) -> None:
        self.helo_name = helo_name
        self.pipelining = pipelining
        self.extended = extended
        self.on_line = on_line
        self.step = Step.BANNER
        self.extensions: dict[str, str] = {}  # what EHLO offered: name in capitals, parameters
        self.result: Result | None = None  # of the last message
        self.refusal: Reply | None = None  # the reply that kept us from sending anything
        self.refused_at = ""  # the command that it answered
        self.refused_ehlo: Reply | None = None  # so HELO was said, whatever it was
        self.answer: Reply | None = None  # to the last `say` or `start_tls`
        self.broken = ""  # why the session ended without a proper end
        self.ended: Ended | None = None  # the same, in detail
        self.wants_handshake = False  # the server waits for TLS to begin
        self.is_encrypted = False
        self.commands: dict[Step, str] = {}  # the last command of each step, as people may see it
        self.replies_heard = 0
        self.chunks_at_once = (
            ""  # the name of the first chunk that went in one group with MAIL, "" if none did
        )
        self._waiting: deque[_Awaited] = deque([_BANNER])
        self._transaction: Transaction | None = None
        self._replies = ReplyLines(self._tell_server_line)
        self._in = self._replies.waiting
        self._out = bytearray()

    # --- what the owner does ------------------------------------------------------------------

    @property
    def is_idle(self) -> bool:
        """Ready for a message."""
        return self.step is Step.IDLE

    @property
    def is_closed(self) -> bool:
        return self.step is Step.CLOSED

    @property
    def awaits_verdict(self) -> bool:
        """The message was sent: the server may take its time."""
        return self.step is Step.CONTENT

    def offers(self, extension: str) -> bool:
        return extension in self.extensions

    def send(self, envelope: Envelope, content: bytes, manner: Manner = USUAL) -> None:
        """Start to send a message; `result` holds the outcome when the client is idle or closed again.

        Raises RuntimeError when the client is not idle, ValueError for content with a bare CR or LF in it
        (it could smuggle a second message past a careless server) or an envelope without recipients.
        """
        self._expect_idle()
        if not envelope.forward_paths:
            raise ValueError("an envelope without recipients")
        if not is_canonical(content):
            raise ValueError("a bare CR or LF in the message")
        self.result = None
        self.chunks_at_once = ""
        recipients = envelope.forward_paths
        self._transaction = transaction = Transaction(envelope, content, recipients, manner)
        self._command(Step.MAIL, transaction.mail(self.extensions))
        if self.pipelines:  # RFC 2920 §3.1: one group, DATA last
            for number in range(len(recipients)):
                self._rcpt(transaction, number)
            if self._chunks(transaction):
                self._send_chunk(transaction)
            else:
                self._command(Step.DATA, "DATA")
        self.step = Step.MAIL

    def start_tls(self) -> None:
        """Say STARTTLS. Afterwards `wants_handshake`, or the client is idle and `answer` says why not."""
        self._expect_idle()
        self.answer = None
        self._command(Step.STARTTLS, "STARTTLS")
        self.step = Step.STARTTLS

    def secured(self) -> None:
        """The handshake is done: forget what was offered in the clear, and greet again (RFC 3207 §4.2)."""
        if not self.wants_handshake:
            raise RuntimeError("nobody waits for a handshake")
        self.wants_handshake = False
        self.is_encrypted = True
        self.extensions = {}
        self._greet()

    def say(self, text: str, *, shown: str) -> None:
        """Say a line for AUTH; `answer` is the reply. People see `shown`: the line may be a password."""
        self._expect_idle()
        self.answer = None
        self._command(Step.AUTH, text, shown=shown)
        self.step = Step.AUTH

    def quit(self) -> None:
        """Say QUIT. Raises RuntimeError in the middle of a message."""
        if self.is_closed or self.step is Step.QUIT:
            return
        self._expect_idle()
        self._command(Step.QUIT, "QUIT")
        self.step = Step.QUIT

    def _expect_idle(self) -> None:
        if not self.is_idle:
            raise RuntimeError(f"the client is not idle: {self.step.value}")

    def receive(self, octets: bytes | bytearray | memoryview) -> None:
        """Take bytes from the server and go on as far as possible."""
        if self.is_closed:
            return
        self._replies.add(octets)
        try:
            while not self.is_closed and not self.wants_handshake:
                reply = self._replies.take()
                if reply is None:
                    return
                self.replies_heard += 1
                self._hear(reply)
        except NoReply as problem:
            self._break(str(problem), Ending.MALFORMED, said=problem.line)
            return
        if self.wants_handshake and self._in:  # RFC 3207 §6: somebody in between may have put it there
            self.wants_handshake = False
            self._break(
                "the server spoke before the handshake", Ending.TLS, said="synch error before connect"
            )

    def bytes_to_send(self) -> bytes:
        """What the server is to be sent now; it is handed out once."""
        out = bytes(self._out)
        self._out.clear()
        return out

    def end(self, why: str, how: Ending = Ending.CLOSED) -> None:
        """The connection is gone, or given up."""
        if self.step is Step.QUIT:
            self.step = Step.CLOSED  # a server that hangs up at QUIT did what we asked
        elif not self.is_closed:
            self._break(why, how, said=why if how is Ending.TLS else "")

    # --- what the server says -----------------------------------------------------------------

    def _tell_server_line(self, text: str) -> None:
        if self.on_line is not None:
            self.on_line(Line("S", text, self.step.value))

    def _hear(self, reply: Reply) -> None:
        if not self._waiting:
            what = "closes" if reply.code == 421 else "spoke out of turn"
            self._break(f"the server {what}: {reply}", Ending.REPLY, reply=reply)
            return
        awaited = self._waiting[0]
        step = awaited.step
        if reply.code == 421 and step not in (Step.EHLO, Step.QUIT):  # RFC 5321 §3.8: it is closing down
            self._settle(awaited, reply)
            self._break(f"the server closes: {reply}", Ending.REPLY, reply=reply)
            return
        following = CLIENT_TABLE.get((step, reply.severity))
        if step is Step.AUTH and reply.severity is Severity.INTERMEDIATE:  # 334: a challenge
            following = Step.IDLE
        if following is None:
            self._break(f"the server's answer makes no sense here: {reply}", Ending.REPLY, reply=reply)
            return
        self._waiting.popleft()
        self._settle(awaited, reply)
        self._advance(step, following, reply)

    def _settle(self, awaited: _Awaited, reply: Reply) -> None:
        """Note what this reply means for the recipients."""
        step = awaited.step
        if step is Step.EHLO and not reply.is_positive:
            self.refused_ehlo = reply
        if step in (Step.BANNER, Step.HELO) and not reply.is_positive:
            self.refusal, self.refused_at = reply, awaited.command
        if step in (Step.STARTTLS, Step.AUTH):
            self.answer = reply
        transaction = self._transaction
        if transaction is None:
            return
        if step is Step.RCPT and awaited.recipient is not None:
            if reply.is_positive:
                transaction.accepted.append(awaited.recipient)
            elif not transaction.gave_up:
                recipient = transaction.recipients[awaited.recipient]
                transaction.verdicts.append(Verdict(recipient, step, reply, awaited.recipient))
        elif step is Step.MAIL and not reply.is_positive:
            transaction.gave_up = True
            transaction.refuse(step, reply, all_of_them=True)
        elif step is Step.CONTENT and transaction.has_more and reply.is_positive:
            pass  # a chunk was taken; the verdict is still to come
        elif step is Step.CONTENT or (step is Step.DATA and not reply.is_positive):
            if not transaction.gave_up:
                transaction.refuse(step, reply, all_of_them=False)
            transaction.gave_up = True

    def _advance(self, step: Step, following: Step, reply: Reply) -> None:
        transaction = self._transaction
        if step is Step.EHLO and following is Step.IDLE:
            self._note_extensions(reply)
        if step is Step.STARTTLS and following is Step.EHLO:
            self.wants_handshake = True
        elif step is Step.DATA and following is Step.CONTENT and transaction is not None:
            if transaction.gave_up or not transaction.accepted:  # RFC 2920 §3.1: a lone dot gets us out
                self._out += b".\r\n"
                transaction.gave_up = True
            else:
                self._send_content(transaction)
            self._waiting.append(_Awaited(Step.CONTENT, "end of data"))
        elif following is Step.EHLO and not self.extended:
            following = Step.HELO
            self._command(following, f"HELO {self.helo_name}")
        elif following in (Step.EHLO, Step.HELO):
            self._command(following, f"{following.name} {self.helo_name}")
        elif following is Step.QUIT:
            self._command(Step.QUIT, "QUIT")
        elif step is Step.CONTENT and transaction is not None and transaction.is_chunked:
            following = self._after_chunk(transaction, reply)
        elif transaction is not None and following in (Step.RCPT, Step.DATA, Step.RSET):
            following = self._next_in_transaction(transaction, following)
        elif following is Step.CLOSED:
            self._waiting.clear()
        if following in (Step.IDLE, Step.QUIT) and transaction is not None:
            self._transaction = None
            self.result = Result(
                transaction.envelope, tuple(transaction.verdicts), is_chunked=transaction.is_chunked
            )
        self.step = following

    def _greet(self) -> None:
        self.step = Step.EHLO if self.extended else Step.HELO
        self._command(self.step, f"{self.step.name} {self.helo_name}")

    def _next_in_transaction(self, transaction: Transaction, following: Step) -> Step:
        """The next command of a message, where it was not sent already in a group."""
        if self._waiting:  # a group is under way: its answers come first
            return self._waiting[0].step
        asked = len(transaction.verdicts) + len(transaction.accepted)
        recipients = transaction.recipients
        if following is Step.RSET or transaction.gave_up:
            self._command(Step.RSET, "RSET")
            return Step.RSET
        if asked < len(recipients):
            self._rcpt(transaction, asked)
            return Step.RCPT
        if not transaction.accepted:
            self._command(Step.RSET, "RSET")
            return Step.RSET
        if self._chunks(transaction):
            self._send_chunk(transaction)
            return Step.CONTENT
        self._command(Step.DATA, "DATA")
        return Step.DATA

    def _note_extensions(self, reply: Reply) -> None:
        for line in reply.lines[1:]:
            name, _, parameters = line.strip().partition(" ")
            if name.upper().startswith("AUTH="):  # some old servers write it so
                name, parameters = name[:4], f"{name[5:]} {parameters}".strip()
            self.extensions.setdefault(name.upper(), parameters)

    # --- what we say --------------------------------------------------------------------------

    @property
    def pipelines(self) -> bool:
        return self.pipelining and "PIPELINING" in self.extensions

    def _chunks(self, transaction: Transaction) -> bool:
        return transaction.manner.chunks and "CHUNKING" in self.extensions

    def _rcpt(self, transaction: Transaction, number: int) -> None:
        recipient = transaction.recipients[number]
        awaited = _Awaited(Step.RCPT, f"RCPT TO:<{recipient}>", number)  # reports name no parameters
        self._command(Step.RCPT, transaction.rcpt(number, self.extensions), awaited=awaited)

    def _command(
        self, step: Step, text: str, *, shown: str | None = None, awaited: _Awaited | None = None
    ) -> None:
        if any(c in text for c in "\r\n\0"):
            raise ValueError(f"a line end inside a command: {text!r}")
        shown = text if shown is None else shown
        self._waiting.append(awaited or _Awaited(step, shown))
        self.commands[step] = self._waiting[-1].command
        self._out += text.encode("utf-8", "surrogateescape") + b"\r\n"
        if self.on_line is not None:
            self.on_line(Line("C", shown, step.value))

    def _send_content(self, transaction: Transaction) -> None:
        content = transaction.content
        if content.startswith(b"."):  # RFC 5321 §4.5.2: a line that starts with a dot gets one more
            self._out += b"."
        self._out += content.replace(b"\r\n.", b"\r\n..")
        if content and not content.endswith(b"\r\n"):
            self._out += b"\r\n"
        self._out += b".\r\n"
        self._tell_content(f"({len(content)} octets of message, then a dot)")

    def _send_chunk(self, transaction: Transaction) -> None:
        """The next chunk, RFC 3030 §2: nothing in it is doubled, and no dot ends it.

        A large message has its header in a chunk of its own, so that nobody sends megabytes to be refused.
        """
        if not transaction.is_chunked and transaction.content and not transaction.content.endswith(b"\r\n"):
            transaction.content += b"\r\n"
        content, begin = transaction.content, transaction.sent
        end = len(content)
        if begin == 0 and end > SMALL_MESSAGE and self.pipelines:
            end = content.find(b"\r\n\r\n") + 4 if b"\r\n\r\n" in content else end
        is_last = end == len(content)
        transaction.is_chunked, transaction.sent = True, end
        if begin == 0 and self.pipelines:
            self.chunks_at_once = "end of data" if is_last else "sending data block"
        self._command(Step.CONTENT, f"BDAT {end - begin}{' LAST' if is_last else ''}")
        self._waiting[-1] = _Awaited(Step.CONTENT, "end of data" if is_last else "sending data block")
        self._out += content[begin:end]
        self._tell_content(f"({end - begin} octets of message)")

    def _after_chunk(self, transaction: Transaction, reply: Reply) -> Step:
        """What follows the answer to a chunk: the rest, or the next message; what the server began is forgotten."""
        is_whole = transaction.sent == len(transaction.content)
        if is_whole and transaction.accepted:
            return Step.IDLE
        if reply.is_positive and transaction.accepted and not transaction.gave_up:
            self._send_chunk(transaction)
            return Step.CONTENT
        self._command(Step.RSET, "RSET")
        return Step.RSET

    def _tell_content(self, text: str) -> None:
        if self.on_line is not None:
            self.on_line(Line("C", text, Step.CONTENT.value))

    def _break(self, why: str, how: Ending, *, reply: Reply | None = None, said: str = "") -> None:
        awaited = self._waiting[0] if self._waiting else _Awaited(self.step, "")
        self.broken = why
        self.ended = Ended(how, awaited.step, awaited.command, reply, said)
        self.step = Step.CLOSED
        self._waiting.clear()
        if self._transaction is not None:
            transaction, self._transaction = self._transaction, None
            self.result = Result(transaction.envelope, tuple(transaction.verdicts), broken=why)
