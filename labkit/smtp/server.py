"""The server's side of an SMTP session, without a network.

WHAT       `Server` eats bytes (`receive`), speaks bytes (`bytes_to_send`) and stops at one pending decision:
           who may connect, whether a sender, a recipient or a message is taken. Whoever runs the machine
           answers with `decide(reply)` - now or later, the code is the same - and it goes on.
DECIDES    syntax, order and limits. Policy is never decided here.
WHERE      this file: bytes, lines, order. server_commands.py: what a command does. content.py: a message on its way.
           counting.py, transaction.py, extensions.py: what is counted, what is on the envelope, what EHLO offers.
STANDARDS  RFC 5321; RFC 2920 §3.1 (PIPELINING); replies as Exim's.
SAFE       only CR LF . CR LF ends a message; a bare CR or LF or a NUL in a command is refused, nothing after it
           on that line is executed; every count and length has a limit, and the session is in step after it.
READ NEXT  client.py
"""

from __future__ import annotations

from collections.abc import Callable

from labkit.mail import reply
from labkit.mail.envelope import Envelope
from labkit.mail.message import defuse_bare_line_ends
from labkit.mail.reply import Reply
from labkit.smtp.commands import header_exceeds, longest_line, split_command
from labkit.smtp.content import Content, DotContent
from labkit.smtp.counting import Counting
from labkit.smtp.decisions import Connected, Decision, Limits, MessageReceived
from labkit.smtp.extensions import Extensions
from labkit.smtp.server_commands import COMMANDS
from labkit.smtp.states import (
    MAIL_COMMANDS,
    SERVER_TABLE,
    SYNCHRONIZED,
    SYNCHRONIZED_WITHOUT_PIPELINING,
    TAKES_NO_ARGUMENT,
    State,
    Verb,
)
from labkit.smtp.transaction import Transaction
from labkit.smtp.transcript import Line, Listener, readable


class Server:
    """One SMTP session, seen from the server.

    Arguments: `host_name` for replies; `client_address` for the greeting; `limits`; `qualify_domain` for
    `<postmaster>` without a domain (default: the host's name); `offers`: more keywords for EHLO; `enforce_sync`
    (Exim: smtp_enforce_sync); `on_line` hears every line with the state it led to, `on_refused` of what is refused
    without asking anybody: a message for its size or form, MAIL before HELO.
    """

    def __init__(
        self,
        host_name: str,
        client_address: str,
        limits: Limits | None = None,
        *,
        qualify_domain: str = "",
        offers: tuple[str, ...] = (),
        enforce_sync: bool = True,
        on_line: Listener | None = None,
        on_refused: Callable[[Envelope, Reply, str], None] | None = None,
    ) -> None:
        self.host_name = host_name
        self.qualify_domain = qualify_domain or host_name
        self.client_address = client_address
        self.limits = limits or Limits()
        self.enforce_sync = enforce_sync
        self.extensions = Extensions(commands=offers)
        self.on_line = on_line
        self.on_refused = on_refused
        self.state = State.CONNECTED
        self.pending: Decision | None = Connected()
        self.helo_name = ""
        self.is_esmtp = False
        self.counting = Counting(self.limits)
        self.transaction = Transaction()
        self.command_line = ""  # the one that is looked at, as it was given
        self.command_argument = ""
        self.mail_refused = False  # and nothing but RCPT since then
        self._then: Callable[[Reply | None], None] = self._connected
        self._in = bytearray()
        self._out = bytearray()
        self._searched = 0  # how far the input was looked through for a line end
        self._skipping_line = False  # the rest of a refused line is thrown away
        self._content: DotContent | None = None
        self._last_verb: Verb | None = None

    # --- bytes in, bytes out ------------------------------------------------------------------

    @property
    def is_closed(self) -> bool:
        """The session is over: send what is left to send, then close the connection."""
        return self.state is State.CLOSED

    @property
    def unread_octets(self) -> int:
        """Input that waits for a decision."""
        return len(self._in)

    @property
    def messages_accepted(self) -> int:
        return self.counting.messages_accepted

    @property
    def commands_read(self) -> int:
        return self.counting.commands_read

    @property
    def envelope(self) -> Envelope | None:
        """The transaction so far, None outside of one."""
        if self.state not in (State.MAIL, State.RCPT, State.CONTENT):
            return None
        return self.transaction.envelope

    def receive(self, octets: bytes | bytearray | memoryview) -> None:
        """Take bytes from the client and go on as far as possible."""
        if self.is_closed:
            return
        self._in += octets
        self._go_on()

    def bytes_to_send(self) -> bytes:
        """What the client is to be sent now; it is handed out once."""
        out = bytes(self._out)
        self._out.clear()
        return out

    def decide(self, answer: Reply | None, *, close: bool = False) -> None:
        """Answer the pending decision. None stands for the machine's own positive reply, where it has one.

        `close` ends the session after that reply (Exim's ACL verb drop).
        Raises RuntimeError when nothing is pending, ValueError where an explicit reply is needed.
        """
        if self.pending is None:
            raise RuntimeError("no decision is pending")
        if answer is None and isinstance(self.pending, (Connected, MessageReceived)):
            raise ValueError(f"{type(self.pending).__name__} needs a reply, not None")
        self.pending = None
        self._then(answer)
        if close:
            self._enter(State.CLOSED)
        self._go_on()

    def end(self, last_reply: Reply | None = None) -> None:
        """End the session from outside: the connection broke, or `last_reply` (421) says why we close it."""
        if self.is_closed:
            return
        self.pending = None
        if last_reply is not None:
            self.say(last_reply, State.CLOSED)
        self._enter(State.CLOSED)

    # --- for the commands ---------------------------------------------------------------------

    def say(self, answer: Reply, following: State) -> None:
        """Answer the client, and be in the state that follows."""
        self._out += bytes(answer)
        self._enter(State.CLOSED if answer.code == 421 else following)
        if self.on_line is not None:
            for line in bytes(answer).decode("utf-8", "replace").splitlines():
                self.on_line(Line("S", line, self.state.value))

    def refuse_error(self, refusal: Reply) -> None:
        """Refuse an error of syntax or protocol; one too many of them ends the session."""
        if self.counting.error():
            self.say(reply.last_straw(refusal), State.CLOSED)
        else:
            self.say(refusal, self.state)

    def stop_at(self, decision: Decision, then: Callable[[Reply | None], None]) -> None:
        """Wait for an answer; `then` goes on with it."""
        self.pending = decision
        self._then = then

    def forget_transaction(self) -> None:
        self.transaction = Transaction()

    def begin_content(self) -> None:
        """The message follows now."""
        self._in[:0] = DotContent.BEGINNING
        self._content = DotContent(self.limits.message_size)

    def is_out_of_step(self) -> bool:
        """More input, where the client must wait for an answer first."""
        return self.enforce_sync and bool(self._in)

    # --- the input ----------------------------------------------------------------------------

    def _go_on(self) -> None:
        while self.pending is None and not self.is_closed:
            more = self._read_content() if self._content is not None else self._read_command()
            if not more:
                return

    def _read_command(self) -> bool:
        """Take one line off the input. False: there is none yet."""
        end = self._in.find(b"\n", self._searched)
        if end < 0:
            self._searched = len(self._in)
            if len(self._in) > self.limits.command_line:  # keep a CR: its LF may be on the way
                self._in = self._in[-1:]
                self._searched = 0
                if not self._skipping_line:
                    self._skipping_line = True
                    self._refuse_unknown("(a line longer than the limit)")
            return False
        line = bytes(self._in[: end + 1])
        del self._in[: end + 1]
        self._searched = 0
        if line.endswith(b"\r\n"):
            if self._skipping_line:  # its refusal is already said
                self._skipping_line = False
            elif len(line) > self.limits.command_line:
                self._refuse_unknown("(a line longer than the limit)")
            else:
                self._command(line[:-2])
        else:
            # A bare LF: refuse at once (who types with nc waits for an answer), execute nothing up to CR LF.
            self._skipping_line = True
            self._hear(readable(line))
            self.refuse_error(reply.BARE_LINE_END)
        return True

    def _command(self, line: bytes) -> None:
        self.counting.commands_read += 1
        self._hear(readable(line))
        if b"\0" in line:
            self.refuse_error(reply.NUL_REFUSED)
            return
        if b"\r" in line:
            self.refuse_error(reply.BARE_LINE_END)
            return
        text = line.decode("ascii", "replace").rstrip(" \t")
        word, argument = split_command(text)
        last, was_refused = self._last_verb, self.mail_refused
        self._last_verb, self.mail_refused = None, False
        try:
            verb = Verb(word)
        except ValueError:
            if self.is_out_of_step():
                self.say(reply.SYNCHRONIZATION_ERROR, State.CLOSED)
            else:
                self._refuse_unknown(text)
            return
        pipelines = self.is_esmtp and self.extensions.pipelining
        waits = SYNCHRONIZED if pipelines else SYNCHRONIZED_WITHOUT_PIPELINING
        if verb in waits and self.is_out_of_step():
            self.say(reply.SYNCHRONIZATION_ERROR, State.CLOSED)
            return
        if verb not in MAIL_COMMANDS and self.counting.nonmail(verb):
            self.say(reply.TOO_MANY_NONMAIL, State.CLOSED)
            return
        self.command_line, self.command_argument = text, argument
        self._last_verb = verb
        following = SERVER_TABLE[verb][self.state]
        if verb is Verb.RCPT:
            self.transaction.rcpt_count += 1
        if verb in TAKES_NO_ARGUMENT and argument:
            self.refuse_error(reply.UNEXPECTED_ARGUMENT)
        elif isinstance(following, Reply):
            self._refuse_order(verb, following, last, was_refused)
        else:
            COMMANDS[verb](self, verb, argument, following or self.state)

    def _refuse_order(self, verb: Verb, refusal: Reply, last: Verb | None, was_refused: bool) -> None:
        """The command may not be given here. `was_refused`: MAIL was, and only RCPT came since."""
        if verb is Verb.RCPT:
            self._refuse_rcpt_without_sender(was_refused and self.is_esmtp)
        elif verb is Verb.DATA:
            self._refuse_data(refusal, last)
        elif refusal == reply.HELO_REQUIRED:  # no syntax or protocol error to Exim, however often
            if self.on_refused is not None:
                self.on_refused(Envelope(None, ()), reply.HELO_REQUIRED, "no HELO/EHLO given")
            self.say(reply.HELO_REQUIRED, self.state)
        else:
            self.refuse_error(refusal)

    def _refuse_rcpt_without_sender(self, is_pipelined: bool) -> None:
        """With PIPELINING recipients are under way before the client hears that its sender is refused."""
        self.transaction.refused(bytes(reply.SENDER_NOT_YET_GIVEN))
        if is_pipelined:
            self.mail_refused = True
            self.say(reply.SENDER_NOT_YET_GIVEN, self.state)
        else:
            self._last_verb = None
            self.refuse_error(reply.SENDER_NOT_YET_GIVEN)

    def _refuse_data(self, refusal: Reply, last: Verb | None) -> None:
        """No recipient was accepted: with PIPELINING, DATA is under way before the client hears of it."""
        answer = reply.all_recipients_refused(self.transaction.one_refusal)
        if self.is_esmtp and last is Verb.RCPT:
            self.say(answer, self.state)
        else:
            self.refuse_error(Reply(refusal.code, (*answer.lines[:-1], *refusal.lines)))

    def _connected(self, answer: Reply | None) -> None:
        assert answer is not None
        if not answer.is_positive:
            self.say(answer, State.CLOSED)
        elif self.is_out_of_step():  # a client must wait for the banner, RFC 5321 §3.1
            self.say(reply.SYNCHRONIZATION_ERROR, State.CLOSED)
        else:
            self.say(answer, State.GREETED)

    # --- the message --------------------------------------------------------------------------

    def _read_content(self) -> bool:
        """Look for the end of the message in the input. False: it is not there yet."""
        assert self._content is not None
        content = self._content.read(self._in)
        if content is None:
            return False
        self._content = None
        self._hear(f"({content.size} octets of message, then a dot)")
        self._judge_content(content)
        return True

    def _judge_content(self, content: Content) -> None:
        """Refuse a message for its size by ourselves; ask about every other."""
        envelope = self.transaction.envelope
        if content.octets is None:
            why = f"message too big: read={content.size} max={self.limits.message_size}"
            self._refuse_message(envelope, reply.MESSAGE_TOO_BIG, why)
        elif header_exceeds(content.octets, self.limits.header_size):
            self._refuse_message(envelope, reply.HEADER_TOO_LONG)
        else:
            octets = defuse_bare_line_ends(content.take())
            protocol = "esmtp" if self.is_esmtp else "smtp"
            received = MessageReceived(envelope, octets, longest_line(octets), self.helo_name, protocol)
            self.stop_at(received, self._end_of_message)

    def _refuse_message(self, envelope: Envelope, refusal: Reply, why: str = "") -> None:
        """Refuse by ourselves, asking nobody, but telling; `why` if the log has other words than the reply."""
        if self.on_refused is not None:
            self.on_refused(envelope, refusal, why or refusal.text)
        self._end_of_message(refusal)

    def _end_of_message(self, answer: Reply | None) -> None:
        assert answer is not None
        self.forget_transaction()
        self.counting.end_message(is_accepted=answer.is_positive)
        self.say(answer, State.READY)

    # --- small change -------------------------------------------------------------------------

    def _refuse_unknown(self, text: str) -> None:
        if self.counting.unknown():
            self.say(reply.TOO_MANY_UNRECOGNIZED, State.CLOSED)
        else:  # it is an error of syntax, too
            self.refuse_error(reply.UNRECOGNIZED)

    def _hear(self, text: str) -> None:
        if self.on_line is not None:
            self.on_line(Line("C", text, self.state.value))

    def _enter(self, state: State) -> None:
        self.state = state
        if state is State.CLOSED:
            self._in.clear()
