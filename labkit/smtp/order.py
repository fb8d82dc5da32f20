"""What a server says to a command that may not be given where the session stands.

WHAT       `refuse_order`: the reply that states.py has for it, as Exim words and counts it.
LIKE EXIM  with PIPELINING, RCPT and DATA are under way before the client hears that its sender or its recipients are
           refused: these are no errors
STANDARDS  RFC 5321 §4.1.4; RFC 2920 §3.1; RFC 3030 §2
READ NEXT  message_end.py
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from labkit.mail import reply
from labkit.mail.reply import Reply
from labkit.smtp.chunk_commands import read_size
from labkit.smtp.incidents import PROTOCOL, Incident, Refused
from labkit.smtp.states import BETWEEN_CHUNKS, State, Verb

if TYPE_CHECKING:
    from labkit.smtp.server import Server


def refuse_order(server: Server, verb: Verb, refusal: Reply, last: Verb | None, was_refused: bool) -> None:
    """The command may not be given here. `was_refused`: MAIL was, and only RCPT came since."""
    if server.state in BETWEEN_CHUNKS:
        refuse_between_chunks(server, verb, refusal)
    elif verb is Verb.RCPT:
        _refuse_rcpt_without_sender(server, was_refused and server.is_esmtp)
    elif verb is Verb.DATA:
        _refuse_data(server, verb, refusal, last)
    elif verb is Verb.BDAT:
        if server.extensions.chunking and read_size(server.command_argument) is None:
            server.refuse_error(reply.NO_CHUNK_SIZE, PROTOCOL)
        elif server.extensions.chunking:
            _refuse_data(server, verb, refusal, last)
            _swallow_chunk(server)
        else:  # the client sends nothing along, RFC 3030 §2
            server.refuse_error(refusal, PROTOCOL)
    elif refusal == reply.HELO_REQUIRED:  # no syntax or protocol error to Exim, however often
        why = "no HELO/EHLO given"
        fact = Refused(reply.HELO_REQUIRED, why, "MAIL")
        server.report(Incident("rejected MAIL from", f": {why}", named=False, refused=fact))
        server.say(reply.HELO_REQUIRED, server.state)
    else:
        server.refuse_error(refusal, PROTOCOL)


def refuse_between_chunks(server: Server, verb: Verb | None, refusal: Reply) -> None:
    """The message is not complete, and this is no next piece of it."""
    server.refuse_error(refusal, PROTOCOL)
    if not server.is_closed:
        server.state = State.STUCK
        if verb is Verb.BDAT:
            _swallow_chunk(server)


def _swallow_chunk(server: Server) -> None:
    """The octets of a piece that was refused are no commands."""
    if (read := read_size(server.command_argument)) is not None:
        server.swallow(read[0])


def _refuse_rcpt_without_sender(server: Server, is_pipelined: bool) -> None:
    """With PIPELINING recipients are under way before the client hears that its sender is refused."""
    server.transaction.refused(bytes(reply.SENDER_NOT_YET_GIVEN))
    if is_pipelined:
        server.mail_refused = True
        server.say(reply.SENDER_NOT_YET_GIVEN, server.state)
    else:
        server.last_verb = None
        server.refuse_error(reply.SENDER_NOT_YET_GIVEN, PROTOCOL)


def _refuse_data(server: Server, verb: Verb, refusal: Reply, last: Verb | None) -> None:
    """No recipient was accepted: with PIPELINING, DATA is under way before the client hears of it."""
    answer = reply.all_recipients_refused(server.transaction.one_refusal, verb.value)
    if server.is_esmtp and last is Verb.RCPT:
        server.say(answer, server.state)
    else:
        server.refuse_error(Reply(refusal.code, (*answer.lines[:-1], *refusal.lines)), PROTOCOL)
