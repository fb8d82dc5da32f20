"""The server's side of an SMTP session, without a network.

WHAT       `Server` eats bytes (`receive`), speaks bytes (`bytes_to_send`) and stops at one pending decision:
           who may connect, whether a sender, a recipient or a message is taken. Whoever runs the machine
           answers with `decide(reply)` - now or later, the code is the same - and it goes on.
DECIDES    syntax, order and limits. Policy is never decided here.
STANDARDS  RFC 5321; RFC 2920 §3.1 (PIPELINING); RFC 1870 (SIZE); RFC 6152 (8BITMIME); replies as Exim's.
SAFE       only CR LF . CR LF ends a message; a bare CR or LF or a NUL in a command is refused, nothing after it
           on that line is executed; every count and length has a limit, and the session is in step after it.
READ NEXT  client.py
"""

from __future__ import annotations

from collections.abc import Callable
from typing import ClassVar

from labkit.mail import reply
from labkit.mail.address import AddressSyntaxError, Mailbox, read_path
from labkit.mail.envelope import Envelope
from labkit.mail.message import defuse_bare_line_ends
from labkit.mail.reply import Reply
from labkit.smtp.commands import (
    header_exceeds,
    is_helo_name,
    longest_line,
    read_parameters,
    split_command,
    undo_dots,
)
from labkit.smtp.decisions import (
    Connected,
    DataBegins,
    Decision,
    Expand,
    Goodbye,
    Greeted,
    Limits,
    MailFrom,
    MessageReceived,
    RcptTo,
    TurnQueue,
    Verify,
)
from labkit.smtp.states import (
    MAIL_COMMANDS,
    SERVER_TABLE,
    SYNCHRONIZED,
    SYNCHRONIZED_WITHOUT_PIPELINING,
    TAKES_NO_ARGUMENT,
    State,
    Verb,
)
from labkit.smtp.transcript import Line, Listener, readable

END_OF_DATA = b"\r\n.\r\n"  # RFC 5321 §4.1.1.4, and nothing else ends a message (§2.3.8)


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
        self.offers = offers
        self.client_address = client_address
        self.limits = limits or Limits()
        self.enforce_sync = enforce_sync
        self.offers_pipelining = True
        self.on_line = on_line
        self.on_refused = on_refused
        self.state = State.CONNECTED
        self.pending: Decision | None = Connected()
        self.helo_name = ""
        self.is_esmtp = False
        self.messages_accepted = 0
        self.commands_read = 0
        self._then: Callable[[Reply | None], None] = self._connected
        self._in = bytearray()
        self._out = bytearray()
        self._searched = 0  # how far the input was looked through for a line end
        self._skipping_line = False  # the rest of a refused line is thrown away
        self._too_big = False
        self._content_octets = 0
        self._unknown = self._errors = self._nonmail = 0
        self._free_once: set[Verb] = set()
        self._reverse_path: Mailbox | None = None
        self._forward_paths: list[Mailbox] = []
        self.rcpt_count = self.rcpt_fail_count = self.rcpt_defer_count = 0  # of this message, as Exim counts
        self.command_line = ""  # the one that is looked at, as it was given
        self.command_argument = ""
        self._first_refusal: bytes | None = None  # what the first RCPT was answered
        self._refusals_are_alike = True
        self._last_verb: Verb | None = None
        self._mail_refused = False  # and nothing but RCPT since then

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
    def envelope(self) -> Envelope | None:
        """The transaction so far, None outside of one."""
        if self.state not in (State.MAIL, State.RCPT, State.CONTENT):
            return None
        return Envelope(self._reverse_path, tuple(self._forward_paths))

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
            self._say(last_reply, State.CLOSED)
        self._enter(State.CLOSED)

    # --- the input ----------------------------------------------------------------------------

    def _go_on(self) -> None:
        while self.pending is None and not self.is_closed:
            more = self._read_content() if self.state is State.CONTENT else self._read_command()
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
            self._refuse_error(reply.BARE_LINE_END)
        return True

    def _command(self, line: bytes) -> None:
        self.commands_read += 1
        self._hear(readable(line))
        if b"\0" in line:
            self._refuse_error(reply.NUL_REFUSED)
            return
        if b"\r" in line:
            self._refuse_error(reply.BARE_LINE_END)
            return
        text = line.decode("ascii", "replace").rstrip(" \t")
        word, argument = split_command(text)
        last, was_refused = self._last_verb, self._mail_refused
        self._last_verb, self._mail_refused = None, False
        try:
            verb = Verb(word)
        except ValueError:
            if self._is_out_of_step():
                self._say(reply.SYNCHRONIZATION_ERROR, State.CLOSED)
            else:
                self._refuse_unknown(text)
            return
        waits = SYNCHRONIZED if self.is_esmtp and self.offers_pipelining else SYNCHRONIZED_WITHOUT_PIPELINING
        if verb in waits and self._is_out_of_step():
            self._say(reply.SYNCHRONIZATION_ERROR, State.CLOSED)
            return
        if verb not in MAIL_COMMANDS and not self._count_nonmail(verb):
            return
        self.command_line, self.command_argument = text, argument
        self._last_verb = verb
        following = SERVER_TABLE[verb][self.state]
        if verb is Verb.RCPT:
            self.rcpt_count += 1
        if verb in TAKES_NO_ARGUMENT and argument:
            self._refuse_error(reply.UNEXPECTED_ARGUMENT)
        elif verb is Verb.RCPT and following == reply.SENDER_NOT_YET_GIVEN:
            self._refuse_rcpt_without_sender(was_refused and self.is_esmtp)
        elif verb is Verb.DATA and isinstance(following, Reply):
            self._refuse_data(following, last)
        elif following == reply.HELO_REQUIRED:  # no syntax or protocol error to Exim, however often
            if self.on_refused is not None:
                self.on_refused(Envelope(None, ()), reply.HELO_REQUIRED, "no HELO/EHLO given")
            self._say(reply.HELO_REQUIRED, self.state)
        elif isinstance(following, Reply):
            self._refuse_error(following)
        else:
            self._COMMANDS[verb](self, verb, argument, following or self.state)

    def _is_out_of_step(self) -> bool:
        """More input, where the client must wait for an answer first."""
        return self.enforce_sync and bool(self._in)

    def _refuse_rcpt_without_sender(self, is_pipelined: bool) -> None:
        """With PIPELINING recipients are under way before the client hears that its sender is refused."""
        self.rcpt_fail_count += 1
        if is_pipelined:
            self._mail_refused = True
            self._note_answer(bytes(reply.SENDER_NOT_YET_GIVEN))
            self._say(reply.SENDER_NOT_YET_GIVEN, self.state)
        else:
            self._last_verb = None
            self._note_answer(bytes(reply.SENDER_NOT_YET_GIVEN))
            self._refuse_error(reply.SENDER_NOT_YET_GIVEN)

    def _note_answer(self, octets: bytes) -> None:
        """Of what the recipients were answered, DATA tells if it was the same each time."""
        if self._first_refusal is None:
            self._first_refusal = octets
        elif self._first_refusal != octets:
            self._refusals_are_alike = False

    def _refuse_data(self, refusal: Reply, last: Verb | None) -> None:
        """No recipient was accepted: with PIPELINING, DATA is under way before the client hears of it."""
        is_pipelined = self.is_esmtp and last is Verb.RCPT
        lines = (self._first_refusal or b"").decode("utf-8", "surrogateescape").splitlines()
        told = [Reply(503, tuple(lines))] if lines and self._refusals_are_alike else []
        answer = reply.all_recipients_refused(told)
        if is_pipelined:
            self._say(answer, self.state)
        else:
            self._refuse_error(Reply(refusal.code, (*answer.lines[:-1], *refusal.lines)))

    # --- the commands -------------------------------------------------------------------------

    def _connected(self, answer: Reply | None) -> None:
        assert answer is not None
        if not answer.is_positive:
            self._say(answer, State.CLOSED)
        elif self._in and self.enforce_sync:  # a client must wait for the banner, RFC 5321 §3.1
            self._say(reply.SYNCHRONIZATION_ERROR, State.CLOSED)
        else:
            self._say(answer, State.GREETED)

    def _helo(self, verb: Verb, argument: str, following: State) -> None:
        if not is_helo_name(argument):
            self._errors += 1  # at the last one the session ends, without a word about it
            is_last = self._errors > self.limits.errors
            self._say(reply.bad_greeting(verb.value), State.CLOSED if is_last else self.state)
            return

        def then(answer: Reply | None) -> None:
            if answer is not None and not answer.is_positive:
                self._say(answer, self.state)
                return
            self.helo_name = argument
            self.is_esmtp = verb is Verb.EHLO
            self._forget_transaction()
            self._say(self._hello(answer), following)

        self._stop_at(Greeted(verb, argument), then)

    def _hello(self, answer: Reply | None) -> Reply:
        """Our answer to HELO or EHLO: its first line may be somebody else's, the extensions are ours."""
        code, greeting = 250, f"{self.host_name} Hello {self.helo_name} [{self.client_address}]"
        if answer is not None:
            code, greeting = answer.code, answer.lines[0]
        if not self.is_esmtp:
            return Reply(code, (greeting,))
        size = f"SIZE {self.limits.message_size}"
        pipelining = ("PIPELINING",) if self.offers_pipelining else ()
        return Reply(code, (greeting, size, "8BITMIME", *self.offers, *pipelining, "HELP"))

    def _mail(self, verb: Verb, argument: str, following: State) -> None:
        self._mail_refused = True  # until it is accepted
        try:
            mailbox, rest = read_path(argument)
        except AddressSyntaxError as problem:
            if argument:
                self._refuse_error(reply.bad_address(argument, problem))
            else:
                self._refuse_error(reply.NO_ADDRESS)
            return
        if mailbox is not None and not mailbox.domain:
            self._say(reply.bad_address(argument, "sender address must contain a domain"), self.state)
            return
        size: int | None = None
        body = "7BIT"
        for name, value in read_parameters(rest, self.is_esmtp):
            if name == "SIZE":  # what is no number says nothing
                size = int(value[:20]) if value.isdigit() else None
            elif name == "BODY" and value.upper() in ("7BIT", "8BITMIME"):
                body = value.upper()
            elif name == "BODY" and value:
                self._refuse_error(reply.INVALID_BODY)
                return
            else:
                self._refuse_error(_may_not_follow(argument, name, rest))
                return
        if size is not None and size > self.limits.message_size:
            self._say(reply.MESSAGE_TOO_BIG, self.state)
            return

        def then(answer: Reply | None) -> None:
            if answer is None or answer.is_positive:
                self._mail_refused = False
                self._reverse_path = mailbox
                self._say(answer or reply.OK, following)
            else:
                self._say(answer, self.state)

        self._forget_transaction()
        self._stop_at(MailFrom(mailbox, size, body), then)

    def _rcpt(self, verb: Verb, argument: str, following: State) -> None:
        mailbox = self._recipient(argument)
        if isinstance(mailbox, Reply):
            self.rcpt_fail_count += 1
            self._note_answer(bytes(mailbox))
            self._refuse_error(mailbox)
            return
        if not mailbox.domain:  # Exim does not count it as an error of syntax
            refusal = reply.bad_address(argument, "recipient address must contain a domain")
            self.rcpt_fail_count += 1
            self._note_answer(bytes(refusal))
            self._say(refusal, self.state)
            return
        if len(self._forward_paths) >= self.limits.recipients:
            self.rcpt_defer_count += 1
            self._note_answer(bytes(reply.TOO_MANY_RECIPIENTS))
            self._say(reply.TOO_MANY_RECIPIENTS, self.state)
            return

        def then(answer: Reply | None) -> None:
            if answer is None or answer.is_positive:
                self._forward_paths.append(mailbox)
                self._say(answer or reply.ACCEPTED, following)
            else:
                if answer.is_transient:
                    self.rcpt_defer_count += 1
                else:
                    self.rcpt_fail_count += 1
                # what an ACL says is noted without its code, which the lines of the next reply have anyway
                self._note_answer("\n".join(answer.lines).encode("utf-8", "surrogateescape"))
                self._say(answer, self.state)

        self._stop_at(RcptTo(self._reverse_path, mailbox), then)

    def _recipient(self, argument: str) -> Mailbox | Reply:
        """The address of RCPT, or what is wrong with it."""
        try:
            mailbox, rest = read_path(argument)
        except AddressSyntaxError as problem:
            return reply.bad_address(argument, problem) if argument else reply.NO_RECIPIENT_ADDRESS
        if mailbox is None:
            return reply.bad_address(argument, "missing or malformed local part")
        if rest.strip():
            return _may_not_follow(argument, rest.strip(), rest)
        if not mailbox.domain and mailbox.local_part.lower() == "postmaster":  # RFC 5321 §4.5.1
            return Mailbox(mailbox.local_part, self.qualify_domain)
        return mailbox

    def _data(self, verb: Verb, argument: str, following: State) -> None:
        envelope = Envelope(self._reverse_path, tuple(self._forward_paths))

        def then(answer: Reply | None) -> None:
            if answer is not None and not answer.is_positive:
                self._say(answer, self.state)
                return
            if self.enforce_sync and self._in:  # the message came before we asked for it
                self._say(reply.SYNCHRONIZATION_ERROR, State.CLOSED)
                return
            self._say(reply.ENTER_MESSAGE, following)
            self._in[:0] = b"\r\n"  # the line end of DATA counts for the first line, RFC 5321 §4.1.1.4
            self._content_octets = self._searched = 0
            self._too_big = False

        self._stop_at(DataBegins(envelope), then)

    def _rset(self, verb: Verb, argument: str, following: State) -> None:
        self._forget_transaction()
        self._say(reply.RESET_OK, following)

    def _noop(self, verb: Verb, argument: str, following: State) -> None:
        self._say(reply.OK, following)

    def _help(self, verb: Verb, argument: str, following: State) -> None:
        self._say(reply.commands_supported(self.offers), following)

    def _vrfy(self, verb: Verb, argument: str, following: State) -> None:
        if not argument:
            self._refuse_error(reply.EMPTY_ADDRESS)
            return
        self._stop_at(Verify(argument), lambda answer: self._say(answer or reply.CANNOT_VERIFY, following))

    def _etrn(self, verb: Verb, argument: str, following: State) -> None:
        self._stop_at(TurnQueue(argument), lambda answer: self._say(answer or reply.CANNOT_ETRN, following))

    def _expn(self, verb: Verb, argument: str, following: State) -> None:
        self._stop_at(Expand(argument), lambda answer: self._say(answer or reply.CANNOT_EXPAND, following))

    def _quit(self, verb: Verb, argument: str, following: State) -> None:
        self._stop_at(
            Goodbye(), lambda answer: self._say(answer or reply.closing(self.host_name), State.CLOSED)
        )

    _COMMANDS: ClassVar[dict[Verb, Callable[[Server, Verb, str, State], None]]] = {
        Verb.HELO: _helo,
        Verb.EHLO: _helo,
        Verb.MAIL: _mail,
        Verb.RCPT: _rcpt,
        Verb.DATA: _data,
        Verb.RSET: _rset,
        Verb.NOOP: _noop,
        Verb.HELP: _help,
        Verb.VRFY: _vrfy,
        Verb.EXPN: _expn,
        Verb.ETRN: _etrn,
        Verb.QUIT: _quit,
    }

    # --- the message --------------------------------------------------------------------------

    def _read_content(self) -> bool:
        """Look for the end of the message in the buffer. False: it is not there yet."""
        end = self._in.find(END_OF_DATA, max(0, self._searched - len(END_OF_DATA) + 1))
        if end < 0:
            self._searched = len(self._in)
            if self._too_big or len(self._in) > self.limits.message_size + len(END_OF_DATA):
                self._too_big = True  # throw it away, but stay in step: only the end matters now
                keep = len(END_OF_DATA) - 1
                self._content_octets += len(self._in) - keep
                self._in = self._in[-keep:]
                self._searched = 0
            return False
        content = bytes(self._in[2 : end + 2])
        del self._in[: end + len(END_OF_DATA)]
        self._searched = 0
        envelope = Envelope(self._reverse_path, tuple(self._forward_paths))
        self._hear(f"({self._content_octets + len(content)} octets of message, then a dot)")
        if self._too_big or len(content) > self.limits.message_size:
            octets = self._content_octets + len(content)
            return self._refuse_message(
                envelope,
                reply.MESSAGE_TOO_BIG,
                f"message too big: read={octets} max={self.limits.message_size}",
            )
        if header_exceeds(content, self.limits.header_size):
            return self._refuse_message(envelope, reply.HEADER_TOO_LONG)
        content = defuse_bare_line_ends(undo_dots(content))
        protocol = "esmtp" if self.is_esmtp else "smtp"
        received = MessageReceived(envelope, content, longest_line(content), self.helo_name, protocol)
        self._stop_at(received, self._end_of_message)
        return True

    def _refuse_message(self, envelope: Envelope, refusal: Reply, why: str = "") -> bool:
        """Refuse by ourselves, asking nobody, but telling; `why` if the log has other words than the reply."""
        if self.on_refused is not None:
            self.on_refused(envelope, refusal, why or refusal.text)
        self._end_of_message(refusal)
        return True

    def _end_of_message(self, answer: Reply | None) -> None:
        assert answer is not None
        self._forget_transaction()
        self._free_once.clear()
        self.messages_accepted += answer.is_positive
        self._say(answer, State.READY)

    # --- small change -------------------------------------------------------------------------

    def _forget_transaction(self) -> None:
        self._reverse_path = None
        self._forward_paths = []
        self.rcpt_fail_count = self.rcpt_defer_count = 0
        self.rcpt_count = 0
        self._first_refusal, self._refusals_are_alike = None, True

    def _stop_at(self, decision: Decision, then: Callable[[Reply | None], None]) -> None:
        self.pending = decision
        self._then = then

    def _count_nonmail(self, verb: Verb) -> bool:
        """Count a command that carries no mail; the first RSET, HELO and EHLO of each message are free."""
        if verb in (Verb.RSET, Verb.HELO, Verb.EHLO) and verb not in self._free_once:
            self._free_once.add(verb)
            return True
        self._nonmail += 1
        if self._nonmail > self.limits.nonmail_commands:
            self._say(reply.TOO_MANY_NONMAIL, State.CLOSED)
            return False
        return True

    def _refuse_unknown(self, text: str) -> None:
        self._unknown += 1
        if self._unknown > self.limits.unknown_commands:
            self._say(reply.TOO_MANY_UNRECOGNIZED, State.CLOSED)
        else:  # it is an error of syntax, too
            self._refuse_error(reply.UNRECOGNIZED)

    def _refuse_error(self, refusal: Reply) -> None:
        self._errors += 1
        if self._errors > self.limits.errors:
            self._say(reply.last_straw(refusal), State.CLOSED)
        else:
            self._say(refusal, self.state)

    def _say(self, answer: Reply, following: State) -> None:
        self._out += bytes(answer)
        self._enter(State.CLOSED if answer.code == 421 else following)
        if self.on_line is not None:
            for line in bytes(answer).decode("utf-8", "replace").splitlines():
                self.on_line(Line("S", line, self.state.value))

    def _hear(self, text: str) -> None:
        if self.on_line is not None:
            self.on_line(Line("C", text, self.state.value))

    def _enter(self, state: State) -> None:
        self.state = state
        if state is State.CLOSED:
            self._in.clear()


def _may_not_follow(argument: str, name: str, rest: str) -> Reply:
    path = argument[: len(argument) - len(rest.rstrip(" \t"))] if rest.strip() else argument
    return reply.bad_address(argument, f"malformed address: {name} may not follow {path.strip()}")
