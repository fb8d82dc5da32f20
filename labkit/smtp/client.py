"""The client's side of an SMTP session, without a network.

WHAT       `Client` walks through CLIENT_TABLE: banner, EHLO (or HELO), then any number of messages handed in with
           `send`, then `quit`. What became of each recipient is in `result`.
DECIDES    which step follows which answer; when to pipeline; nothing about retries.
STANDARDS  RFC 5321 §3.3, §4.5.2 (dots); RFC 2920 §3.1 (PIPELINING); RFC 1870 (SIZE); RFC 6152 (8BITMIME)
LIKE EXIM  an 8-bit message goes out as it is even where 8BITMIME is not offered
SAFE       a server that talks nonsense, endlessly or out of turn ends the session; it cannot hurt the client.
READ NEXT  acl.py
"""

from __future__ import annotations

import re
from collections import deque
from dataclasses import dataclass, field

from labkit.mail.address import Mailbox
from labkit.mail.envelope import Envelope
from labkit.mail.message import is_canonical
from labkit.mail.reply import Reply
from labkit.smtp.states import CLIENT_TABLE, Step
from labkit.smtp.transcript import Line, Listener, readable

LONGEST_REPLY_LINE = 4096  # RFC 5321 §4.5.3.1.5 asks for 512
MOST_REPLY_LINES = 128
LONGEST_REPLY = 16384  # octets in all its lines
_REPLY_LINE = re.compile(rb"([2-5][0-9][0-9])(?:([ -])(.*))?")
_CONTROLS = re.compile("[\0-\x08\x0a-\x1f\x7f-\x9f]")


@dataclass(frozen=True, slots=True)
class Verdict:
    """What became of one recipient: the reply that decided, and the step it answered."""

    recipient: Mailbox
    step: Step
    reply: Reply


@dataclass(frozen=True, slots=True)
class Result:
    """What became of one message. `broken` says why the session ended in the middle of it, "" if it did not.

    When it is broken, the recipients without a verdict are in the dark: the message may or may not have been
    taken, so it must be sent again (RFC 5321 §4.5.4.1).
    """

    envelope: Envelope
    verdicts: tuple[Verdict, ...]
    broken: str = ""

    @property
    def delivered(self) -> tuple[Mailbox, ...]:
        return tuple(v.recipient for v in self.verdicts if v.reply.is_positive)


@dataclass(slots=True)
class _Transaction:
    envelope: Envelope
    content: bytes
    recipients: tuple[Mailbox, ...]  # each once
    accepted: list[Mailbox] = field(default_factory=list)
    verdicts: list[Verdict] = field(default_factory=list)
    gave_up: bool = False  # MAIL, DATA or all RCPT were refused


class Client:
    """One SMTP session, seen from the client. `helo_name` goes into EHLO; `on_line` hears every line."""

    def __init__(self, helo_name: str, *, pipelining: bool = True, on_line: Listener | None = None) -> None:
        self.helo_name = helo_name
        self.pipelining = pipelining
        self.on_line = on_line
        self.step = Step.BANNER
        self.extensions: dict[str, str] = {}  # what EHLO offered: name in capitals, parameters
        self.result: Result | None = None  # of the last message
        self.refusal: Reply | None = None  # the reply that kept us from sending anything
        self.broken = ""  # why the session ended without a proper end
        self.replies_heard = 0
        self._waiting: deque[tuple[Step, Mailbox | None]] = deque([(Step.BANNER, None)])
        self._transaction: _Transaction | None = None
        self._in = bytearray()
        self._out = bytearray()
        self._reply_lines: list[str] = []

    # --- what the owner does ------------------------------------------------------------------

    @property
    def is_idle(self) -> bool:
        """Ready for a message."""
        return self.step is Step.IDLE

    @property
    def is_closed(self) -> bool:
        return self.step is Step.CLOSED

    def send(self, envelope: Envelope, content: bytes) -> None:
        """Start to send a message; `result` holds the outcome when the client is idle or closed again.

        Raises RuntimeError when the client is not idle, ValueError for content with a bare CR or LF in it
        (it could smuggle a second message past a careless server) or an envelope without recipients.
        """
        if not self.is_idle:
            raise RuntimeError(f"the client is not idle: {self.step.value}")
        if not envelope.forward_paths:
            raise ValueError("an envelope without recipients")
        if not is_canonical(content):
            raise ValueError("a bare CR or LF in the message")
        self.result = None
        recipients = tuple(dict.fromkeys(envelope.forward_paths))
        self._transaction = _Transaction(envelope, content, recipients)
        self._command(Step.MAIL, f"MAIL FROM:<{envelope.sender}>{self._mail_parameters(content)}")
        if self._pipelines:  # RFC 2920 §3.1: one group, DATA last
            for recipient in recipients:
                self._command(Step.RCPT, f"RCPT TO:<{recipient}>", recipient)
            self._command(Step.DATA, "DATA")
        self.step = Step.MAIL

    def quit(self) -> None:
        """Say QUIT. Raises RuntimeError in the middle of a message."""
        if self.is_closed or self.step is Step.QUIT:
            return
        if not self.is_idle:
            raise RuntimeError(f"the client is not idle: {self.step.value}")
        self._command(Step.QUIT, "QUIT")
        self.step = Step.QUIT

    def receive(self, octets: bytes | bytearray | memoryview) -> None:
        """Take bytes from the server and go on as far as possible."""
        if self.is_closed:
            return
        self._in += octets
        while not self.is_closed and (end := self._in.find(b"\n")) >= 0:
            line = bytes(self._in[:end]).removesuffix(b"\r")
            del self._in[: end + 1]
            self._line(line)
        if not self.is_closed and len(self._in) > LONGEST_REPLY_LINE + 1:  # a CR may wait for its LF
            self._break("the server sent a line without end")

    def bytes_to_send(self) -> bytes:
        """What the server is to be sent now; it is handed out once."""
        out = bytes(self._out)
        self._out.clear()
        return out

    def end(self, why: str) -> None:
        """The connection is gone."""
        if self.step is Step.QUIT:
            self.step = Step.CLOSED  # a server that hangs up at QUIT did what we asked
        elif not self.is_closed:
            self._break(why)

    # --- what the server says -----------------------------------------------------------------

    def _line(self, line: bytes) -> None:
        if len(line) > LONGEST_REPLY_LINE:
            self._break("the server sent a line without end")
            return
        found = _REPLY_LINE.fullmatch(line)
        if self.on_line is not None:
            self.on_line(Line("S", readable(line), self.step.value))
        if found is None:
            self._break(f"the server does not speak SMTP: {readable(line[:60])}")
            return
        text = _CONTROLS.sub("", (found[3] or b"").decode("utf-8", "surrogateescape"))
        self._reply_lines.append(text)
        if len(self._reply_lines) > MOST_REPLY_LINES or sum(map(len, self._reply_lines)) > LONGEST_REPLY:
            self._break("the server sent a reply without end")
        elif found[2] != b"-":
            reply = Reply(int(found[1]), tuple(self._reply_lines))
            self._reply_lines = []
            self.replies_heard += 1
            self._hear(reply)

    def _hear(self, reply: Reply) -> None:
        if not self._waiting:
            what = "closes" if reply.code == 421 else "spoke out of turn"
            self._break(f"the server {what}: {reply}")
            return
        step, recipient = self._waiting.popleft()
        if reply.code == 421 and step is not Step.QUIT:  # RFC 5321 §3.8: it is closing down
            self._settle(step, recipient, reply)
            self._break(f"the server closes: {reply}")
            return
        following = CLIENT_TABLE.get((step, reply.severity))
        if following is None:
            self._break(f"the server's answer makes no sense here: {reply}")
            return
        self._settle(step, recipient, reply)
        self._advance(step, following, reply)

    def _settle(self, step: Step, recipient: Mailbox | None, reply: Reply) -> None:
        """Note what this reply means for the recipients."""
        is_greeting = step in (Step.BANNER, Step.EHLO, Step.HELO)
        falls_back = step is Step.EHLO and reply.is_permanent
        if is_greeting and not reply.is_positive and not falls_back:
            self.refusal = reply
        transaction = self._transaction
        if transaction is None:
            return
        if step is Step.RCPT and recipient is not None:
            if reply.is_positive:
                transaction.accepted.append(recipient)
            elif not transaction.gave_up:
                transaction.verdicts.append(Verdict(recipient, step, reply))
        elif step is Step.MAIL and not reply.is_positive:
            transaction.gave_up = True
            transaction.verdicts += (Verdict(each, step, reply) for each in transaction.recipients)
        elif step is Step.CONTENT or (step is Step.DATA and not reply.is_positive):
            if not transaction.gave_up:
                transaction.verdicts += (Verdict(each, step, reply) for each in transaction.accepted)
            transaction.gave_up = True

    def _advance(self, step: Step, following: Step, reply: Reply) -> None:
        transaction = self._transaction
        if step is Step.EHLO and following is Step.IDLE:
            self._note_extensions(reply)
        if step is Step.DATA and following is Step.CONTENT and transaction is not None:
            if transaction.gave_up or not transaction.accepted:  # RFC 2920 §3.1: a lone dot gets us out
                self._out += b".\r\n"
                transaction.gave_up = True
            else:
                self._send_content(transaction)
            self._waiting.append((Step.CONTENT, None))
        elif following in (Step.EHLO, Step.HELO):
            self._command(following, f"{following.name} {self.helo_name}")
        elif following is Step.QUIT:
            self._command(Step.QUIT, "QUIT")
        elif transaction is not None and following in (Step.RCPT, Step.DATA, Step.RSET):
            following = self._next_in_transaction(transaction, following)
        elif following is Step.CLOSED:
            self._waiting.clear()
        if following in (Step.IDLE, Step.QUIT) and transaction is not None:
            self._transaction = None
            self.result = Result(transaction.envelope, tuple(transaction.verdicts))
        self.step = following

    def _next_in_transaction(self, transaction: _Transaction, following: Step) -> Step:
        """The next command of a message, where it was not sent already in a group."""
        if self._waiting:  # a group is under way: its answers come first
            return self._waiting[0][0]
        asked = len(transaction.verdicts) + len(transaction.accepted)
        recipients = transaction.recipients
        if following is Step.RSET or transaction.gave_up:
            self._command(Step.RSET, "RSET")
            return Step.RSET
        if asked < len(recipients):
            self._command(Step.RCPT, f"RCPT TO:<{recipients[asked]}>", recipients[asked])
            return Step.RCPT
        if not transaction.accepted:
            self._command(Step.RSET, "RSET")
            return Step.RSET
        self._command(Step.DATA, "DATA")
        return Step.DATA

    def _note_extensions(self, reply: Reply) -> None:
        for line in reply.lines[1:]:
            name, _, parameters = line.strip().partition(" ")
            self.extensions[name.upper()] = parameters

    # --- what we say --------------------------------------------------------------------------

    @property
    def _pipelines(self) -> bool:
        return self.pipelining and "PIPELINING" in self.extensions

    def _mail_parameters(self, content: bytes) -> str:
        parameters = f" SIZE={len(content)}" if "SIZE" in self.extensions else ""
        if "8BITMIME" in self.extensions and not content.isascii():
            parameters += " BODY=8BITMIME"
        return parameters

    def _command(self, step: Step, text: str, recipient: Mailbox | None = None) -> None:
        if any(c in text for c in "\r\n\0"):
            raise ValueError(f"a line end inside a command: {text!r}")
        self._waiting.append((step, recipient))
        self._out += text.encode("utf-8", "surrogateescape") + b"\r\n"
        if self.on_line is not None:
            self.on_line(Line("C", text, step.value))

    def _send_content(self, transaction: _Transaction) -> None:
        content = transaction.content
        if content.startswith(b"."):  # RFC 5321 §4.5.2: a line that starts with a dot gets one more
            self._out += b"."
        self._out += content.replace(b"\r\n.", b"\r\n..")
        if content and not content.endswith(b"\r\n"):
            self._out += b"\r\n"
        self._out += b".\r\n"
        if self.on_line is not None:
            text = f"({len(content)} octets of message, then a dot)"
            self.on_line(Line("C", text, Step.CONTENT.value))

    def _break(self, why: str) -> None:
        self.broken = why
        self.step = Step.CLOSED
        self._waiting.clear()
        if self._transaction is not None:
            transaction, self._transaction = self._transaction, None
            self.result = Result(transaction.envelope, tuple(transaction.verdicts), broken=why)
