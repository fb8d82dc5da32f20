"""The server's side of an SMTP session, without a network.

WHAT       `Server` eats bytes (`receive`), speaks bytes (`bytes_to_send`) and stops at one pending decision:
           who may connect, whether a sender, a recipient or a message is taken. In State.TLS it waits for whoever
           carries its octets to begin TLS, and is told by `secure`. Whoever runs the machine
           answers with `decide(reply)` - now or later, the code is the same - and it goes on.
DECIDES    syntax, order and limits. Policy is never decided here.
WHERE      this file: bytes and lines. server_commands.py, security_commands.py: what a command does; order.py: what
           is said where it may not be given. content.py, message_end.py: a message on its way, and when it is here.
           counting.py, transaction.py, extensions.py: what is counted, what is on the envelope, what EHLO offers.
STANDARDS  RFC 5321; RFC 2920 §3.1 (PIPELINING); replies as Exim's.
SAFE       only CR LF . CR LF ends a message; a bare CR or LF or a NUL in a command is refused, nothing after it
           on that line is executed; every count and length has a limit, and the session is in step after it.
READ NEXT  client.py
"""

from __future__ import annotations

import re
from collections.abc import Callable

from labkit.mail import reply
from labkit.mail.envelope import Envelope
from labkit.mail.reply import Reply
from labkit.smtp.commands import split_command
from labkit.smtp.content import Chunks, DotContent
from labkit.smtp.counting import Counting
from labkit.smtp.decisions import Allowances, Connected, Decision, Dropping, Limits, MessageReceived
from labkit.smtp.extensions import Extensions
from labkit.smtp.incidents import PROTOCOL, SYNTAX, Ending, History, Incident
from labkit.smtp.message_end import judge_chunks, judge_content
from labkit.smtp.order import refuse_between_chunks, refuse_order
from labkit.smtp.server_commands import COMMANDS
from labkit.smtp.states import (
    BETWEEN_CHUNKS,
    IN_TRANSACTION,
    MAIL_COMMANDS,
    SERVER_TABLE,
    SYNCHRONIZED,
    SYNCHRONIZED_WITHOUT_PIPELINING,
    TAKES_NO_ARGUMENT,
    State,
    Verb,
)
from labkit.smtp.transaction import Transaction
from labkit.smtp.transcript import Line, Listener, printed, readable, without_secret

AHEAD = 4096  # octets of input that are shown before they are read
_PATH = re.compile(r'<(?:"(?:[^"\\]|\\.)*"|[^">])*>|[^ \t<]+')


class Server:
    """One SMTP session, seen from the server.

    Arguments: `host_name` for replies; `client_address` for the greeting; `limits`; `qualify_domain` for
    `<postmaster>` without a domain (default: the host's name); `offers`: more keywords for EHLO; `enforce_sync`
    (Exim: smtp_enforce_sync); `on_line` hears every line with the state it led to, `on_incident` of what is refused
    without asking anybody. `tells_ending`: whoever decides is asked before the machine drops the client.
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
        on_incident: Callable[[Incident], None] | None = None,
    ) -> None:
        self.host_name = host_name
        self.qualify_domain = qualify_domain or host_name
        self.client_address = client_address
        self.enforce_sync = enforce_sync
        self.extensions = Extensions(commands=offers)
        self.on_line = on_line
        self.on_incident = on_incident
        self.tells_ending = False
        self.allowances = Allowances()
        self.qualify_sender = self.qualify_domain
        self.state = State.CONNECTED
        self.pending: Decision | None = Connected()
        self.helo_name = ""
        self.is_esmtp = False
        self.is_encrypted = self.is_authenticated = False
        self.auth_failed = False  # the last AUTH was for nothing
        self.known_mechanisms: tuple[str, ...] = ()  # of AUTH, that may be used without having been offered
        self.counting = Counting(limits or Limits())
        self.history = History()
        self.transaction = Transaction()
        self.ending = Ending()
        self._line = ""  # the one that is read, as octets
        self.command_line = ""  # the one that is looked at, as it was given
        self.command_argument = ""
        self.mail_refused = False  # and nothing but RCPT since then
        self.change_path: Callable[[str, bool], str] | None = (
            None  # paths of MAIL (True) and RCPT, before they are read
        )
        self._then: Callable[[Reply | None], None] = self._connected
        self._in = bytearray()
        self._out = bytearray()
        self._searched = 0  # how far the input was looked through for a line end
        self._skipping_line = False  # the rest of a refused line is thrown away
        self.chunks: Chunks | None = None  # of a message that comes by BDAT
        self._content: DotContent | None = None
        self._to_swallow = 0  # octets of a piece that was refused
        self.last_verb: Verb | None = None
        self._answer_to: Callable[[str], None] | None = None  # who gets the next line: AUTH has asked for it

    def rewritten(self, argument: str, *, is_sender: bool) -> str:
        """The argument of MAIL or RCPT, its path rewritten if there are rules for that."""
        found = _PATH.match(argument)
        if self.change_path is None or found is None:
            return argument
        return self.change_path(found[0], is_sender) + argument[found.end() :]

    # --- bytes in, bytes out ------------------------------------------------------------------

    @property
    def is_closed(self) -> bool:
        """The session is over: send what is left to send, then close the connection."""
        return self.state is State.CLOSED

    @property
    def limits(self) -> Limits:
        return self.counting.limits

    @limits.setter
    def limits(self, limits: Limits) -> None:
        self.counting.limits = limits

    @property
    def unread_octets(self) -> int:
        """Input that waits for a decision."""
        return len(self._in)

    @property
    def input_ahead(self) -> bytes:
        """The beginning of it, for who wants to know what comes next."""
        return bytes(self._in[:AHEAD])

    @property
    def octets_wanted(self) -> int:
        """How many octets of a piece of a message (BDAT) are still to come before the next line."""
        if self._to_swallow:
            return self._to_swallow
        return self.chunks.left if self.chunks is not None and self.state is State.CONTENT else 0

    @property
    def messages_accepted(self) -> int:
        return self.counting.messages_accepted

    @property
    def commands_read(self) -> int:
        return self.counting.commands_read

    @property
    def envelope(self) -> Envelope | None:
        """The transaction so far, None outside of one."""
        return self.transaction.envelope if self.state in IN_TRANSACTION else None

    def receive(self, octets: bytes | bytearray | memoryview) -> None:
        """Take bytes from the client and go on as far as possible."""
        if self.is_closed or self.state is State.TLS:  # RFC 3207 §4.2: what was not encrypted is forgotten
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

    def secure(self, *, remembers_esmtp: bool = False) -> None:
        """TLS has begun: all that comes now is encrypted, and nothing that was said before counts (RFC 3207 §4.2)."""
        self.is_encrypted = True
        self.extensions.starttls, self.extensions.mechanisms = False, ()
        self.is_authenticated = False
        if self.state is State.CONNECTED:  # TLS from the start
            return
        self.helo_name = ""
        self.is_esmtp = self.is_esmtp and remembers_esmtp
        self.counting.secure()
        self.forget_transaction()
        self._enter(State.READY if self.is_esmtp else State.GREETED)

    def protocol(self, *, is_esmtp: bool | None = None) -> str:
        """Exim's $received_protocol, RFC 3848."""
        is_esmtp = self.is_esmtp if is_esmtp is None else is_esmtp
        return f"{'e' * is_esmtp}smtp{'s' * self.is_encrypted}{'a' * (is_esmtp and self.is_authenticated)}"

    def end(self, last_reply: Reply | None = None, *, reason: str = "") -> None:
        """End the session from outside: the connection broke, or `last_reply` (421) says why we close it.

        `reason`: in Exim's words ($smtp_notquit_reason).
        """
        if self.is_closed:
            return
        self.ending = Ending(reason, self.state, self.envelope)
        self.pending = None
        if last_reply is not None:
            self.say(last_reply, State.CLOSED)
        self._enter(State.CLOSED)

    # --- for the commands ---------------------------------------------------------------------

    def say(self, answer: Reply, following: State, *, stays: bool = False) -> None:
        """Answer the client, and be in the state that follows. 421 ends the session, unless it `stays`."""
        self._out += bytes(answer)
        self._enter(State.CLOSED if answer.code == 421 and not stays else following)
        if self.on_line is not None:
            for line in bytes(answer).decode("utf-8", "replace").splitlines():
                self.on_line(Line("S", line, self.state.value))

    def refuse_error(self, refusal: Reply, kind: str = SYNTAX, why: str = "") -> None:
        """Refuse an error of syntax or protocol; one too many of them ends the session. `why` is for the log."""
        what = "syntax" if kind == SYNTAX else "protocol"
        words = why or refusal.lines[-1]
        shown = printed(self._line)
        self.report(Incident(f'SMTP {what} error in "{shown}"', f" {words}", selector=kind, rejects=False))
        if self.counting.error():
            self.report_last_straw()
            self.say(reply.last_straw(refusal), State.CLOSED)
        else:
            self.say(refusal, self.state)

    def report_last_straw(self) -> None:
        """For the log: this was one error too many."""
        last = f'last command was "{printed(self._line)}", {self.history.text or "NULL"}'
        after = f" dropped: too many syntax or protocol errors ({last})"
        self.report(Incident("SMTP call from", after, named=False))

    def refuse_sync(self) -> None:
        """The client did not wait for an answer."""
        was_offered = "" if self._pipelines else " not"
        before = (
            "SMTP protocol synchronization error (next input sent too soon: pipelining was"
            f'{was_offered} advertised): rejected "{printed(self._line)}"'
        )
        self.report(Incident(before, f' next input="{self._next_input(150)}"'))
        self.drop("synchronization-error", reply.SYNCHRONIZATION_ERROR)

    def drop(self, reason: str, last_reply: Reply) -> None:
        """End the session for a reason in Exim's words ($smtp_notquit_reason)."""
        if self.tells_ending:

            def then(answer: Reply | None) -> None:
                words = last_reply if answer is None else Reply(last_reply.code, answer.lines)
                self.say(words, State.CLOSED)

            self.stop_at(Dropping(reason), then)
        else:
            self.say(last_reply, State.CLOSED)

    def report(self, incident: Incident) -> None:
        if self.on_incident is not None:
            self.on_incident(incident)

    def swallow(self, octets: int) -> None:
        """Throw the next octets of the input away: they are no commands."""
        self._to_swallow = octets

    def stop_at(self, decision: Decision, then: Callable[[Reply | None], None]) -> None:
        """Wait for an answer; `then` goes on with it."""
        self.pending = decision
        self._then = then

    def forget_transaction(self) -> None:
        self.transaction = Transaction()
        self.chunks = None

    def begin_tls(self, answer: Reply) -> None:
        """Say so, in the clear, and wait; what the client has sent before it could know is dropped."""
        self.forget_transaction()
        self.say(answer, State.TLS)
        self._in.clear()
        self._searched = 0

    def next_line_to(self, take: Callable[[str], None]) -> None:
        """The client's next line is no command."""
        self._answer_to = take

    def begin_content(self) -> None:
        """The message follows now."""
        self._in[:0] = DotContent.BEGINNING
        self._content = DotContent(self.limits.message_size)

    def is_out_of_step(self) -> bool:
        """More input, where the client must wait for an answer first."""
        return self.enforce_sync and bool(self._in)

    @property
    def _pipelines(self) -> bool:
        return self.is_esmtp and self.extensions.pipelining

    def _next_input(self, limit: int) -> str:
        return printed(self._in[:limit].decode("latin-1"))

    # --- the input ----------------------------------------------------------------------------

    def _go_on(self) -> None:
        while self.pending is None and not self.is_closed and self.state is not State.TLS:
            if not self._read():
                return

    def _read(self) -> bool:
        """Take the next thing off the input. False: it is not there yet."""
        if self._to_swallow:
            count = min(self._to_swallow, len(self._in))
            self._to_swallow -= count
            del self._in[:count]
            return self._to_swallow == 0
        if self._content is not None:
            return self._read_content()
        if self.chunks is not None and self.state is State.CONTENT:
            return self._read_chunk(self.chunks)
        return self._read_command()

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
                    self._refuse_long_line()
            return False
        line = bytes(self._in[: end + 1])
        del self._in[: end + 1]
        self._searched = 0
        if line.endswith(b"\r\n"):
            if self._skipping_line:  # its refusal is already said
                self._skipping_line = False
            elif len(line) > self.limits.command_line:
                self._refuse_long_line()
            elif self._answer_to is not None:
                self._take_answer(line[:-2].decode("latin-1"))
            else:
                self._command(line[:-2])
        else:
            # A bare LF: refuse at once (who types with nc waits for an answer), execute nothing up to CR LF.
            self._skipping_line = True
            self._hear(readable(line))
            self._stop_asking()
            self.refuse_error(reply.BARE_LINE_END)
        return True

    def _take_answer(self, line: str) -> None:
        """What the client was asked for, whatever it is; people do not see it, it may be a password."""
        take, self._answer_to = self._answer_to, None
        assert take is not None
        self._hear(line if line == "*" else "*" * len(line))
        take(line)

    def _stop_asking(self) -> None:
        """The client's answer is no line: AUTH is over."""
        if self._answer_to is not None:
            self._answer_to = None
            self._enter(State.READY if self.helo_name else State.GREETED)

    def _refuse_long_line(self) -> None:
        if self._answer_to is not None:
            self._stop_asking()
            self.say(reply.INVALID_BASE64, self.state)
        else:
            self._line = "(a line longer than the limit)"
            self._refuse_unknown()

    def _command(self, line: bytes) -> None:
        self.counting.commands_read += 1
        self._hear(without_secret(readable(line)))
        self._line = line.decode("latin-1").rstrip(" \t")
        if b"\0" in line:
            self.refuse_error(reply.NUL_REFUSED, SYNTAX, "NUL character(s) present (shown as '?')")
            return
        if b"\r" in line:
            self.refuse_error(reply.BARE_LINE_END)
            return
        text = line.decode("ascii", "replace").rstrip(" \t")
        word, argument = split_command(text)
        last, was_refused = self.last_verb, self.mail_refused
        self.last_verb, self.mail_refused = None, False
        try:
            verb = Verb(word)
        except ValueError:
            self._unknown_command()
            return
        waits = SYNCHRONIZED if self._pipelines else SYNCHRONIZED_WITHOUT_PIPELINING
        if verb in waits and self.is_out_of_step():
            self.refuse_sync()
            return
        is_counted = verb not in MAIL_COMMANDS and not self.allowances.many_nonmail
        if is_counted and self.counting.nonmail(verb):
            after = f' dropped: too many nonmail commands (last was "{printed(self._line.split(" ")[0])}")'
            self.report(Incident("SMTP call from", after, named=False))
            self.drop("bad-commands", reply.TOO_MANY_NONMAIL)
            return
        self.command_line, self.command_argument = text, argument
        self.last_verb = verb
        if verb in TAKES_NO_ARGUMENT and argument:
            self.refuse_error(reply.UNEXPECTED_ARGUMENT)
            return
        self.history.add(verb)
        following = SERVER_TABLE[verb][self.state]
        if verb is Verb.RCPT:
            self.transaction.rcpt_count += 1
        elif verb is Verb.MAIL:
            self.counting.mails += 1
            if following == reply.HELO_REQUIRED and self.allowances.no_helo:
                following = State.MAIL
        if verb is Verb.BDAT and not self.extensions.chunking:
            following = reply.BDAT_NOT_OFFERED
        if isinstance(following, Reply):
            refuse_order(self, verb, following, last, was_refused)
        else:
            COMMANDS[verb](self, verb, argument, following or self.state)

    def _connected(self, answer: Reply | None) -> None:
        assert answer is not None
        if not answer.is_positive:
            self.say(answer, State.CLOSED)
        elif self.is_out_of_step():  # a client must wait for the banner, RFC 5321 §3.1
            before = (
                "SMTP protocol synchronization error (input sent without waiting for greeting): "
                "rejected connection from"
            )
            self.report(Incident(before, f' input="{self._next_input(128)}"'))
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
        judge_content(self, content)
        return True

    def _read_chunk(self, chunks: Chunks) -> bool:
        """Take what is there of a piece of the message. False: it is not complete yet."""
        if not chunks.read(self._in):
            return False
        self._hear(f"({chunks.chunk} octets of a piece of the message)")
        if not self._pipelines and self.is_out_of_step():
            self.refuse_error(reply.SYNCHRONIZATION_ERROR, PROTOCOL)
            if not self.is_closed:
                self.state = State.STUCK
        elif chunks.is_too_big or chunks.begins_without_crlf or chunks.is_last:
            judge_chunks(self, chunks)
        else:
            self.say(reply.chunk_received(chunks.chunk), State.CHUNKS)
        return True

    def end_of_message(self, answer: Reply | None) -> None:
        """The verdict about a message."""
        assert answer is not None
        self.forget_transaction()
        self.counting.end_message(is_accepted=answer.is_positive)
        self.say(answer, State.READY)

    # --- small change -------------------------------------------------------------------------

    def _unknown_command(self) -> None:
        if self.is_out_of_step():
            self.refuse_sync()
        elif self.state in BETWEEN_CHUNKS:
            refuse_between_chunks(self, None, BETWEEN_CHUNKS[self.state])
        else:
            self._refuse_unknown()

    def _refuse_unknown(self) -> None:
        if not self.counting.unknown():  # it is an error of syntax, too
            self.refuse_error(reply.UNRECOGNIZED)
            return
        shown = printed(self._line)
        words = f" {reply.UNRECOGNIZED.text}"
        self.report(Incident(f'SMTP syntax error in "{shown}"', words, selector=SYNTAX, rejects=False))
        after = f' dropped: too many unrecognized commands (last was "{shown}")'
        self.report(Incident("SMTP call from", after, named=False))
        self.drop("bad-commands", reply.TOO_MANY_UNRECOGNIZED)

    def _hear(self, text: str) -> None:
        if self.on_line is not None:
            self.on_line(Line("C", text, self.state.value))

    def _enter(self, state: State) -> None:
        self.state = state
        if state is State.CLOSED:
            self._in.clear()
