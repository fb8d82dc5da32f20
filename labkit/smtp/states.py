"""The states of an SMTP session, and the two tables that everything follows from.

RULES      1. What a command may do, and when, stands in this file and nowhere else.
           2. This file knows no bytes, no network and no configuration.
STANDARDS  RFC 5321 §4.1.4 (order of commands), §3.3 (mail transactions); RFC 2920 §3.1 (what may be pipelined)
READ NEXT  server.py walks SERVER_TABLE, client.py walks CLIENT_TABLE
"""

from __future__ import annotations

from enum import Enum

from labkit.mail import reply
from labkit.mail.reply import Reply, Severity


class State(Enum):
    """Where a server's session stands. The value says it in words."""

    CONNECTED = "connected, nothing said yet"
    GREETED = "banner sent, the client has not said who it is"
    READY = "ready for a mail transaction"
    MAIL = "sender known, no recipient yet"
    RCPT = "sender and at least one recipient known"
    CONTENT = "receiving the message"
    CHUNKS = "between two pieces of the message"
    STUCK = "the pieces are out of order, only RSET helps"
    AUTH = "the client is asked who it is"
    TLS = "TLS begins: nothing more is read in the clear"
    CLOSED = "over"


class Verb(Enum):
    """The commands a server knows by name, even where it refuses them."""

    HELO = "HELO"
    EHLO = "EHLO"
    MAIL = "MAIL"
    RCPT = "RCPT"
    DATA = "DATA"
    RSET = "RSET"
    NOOP = "NOOP"
    VRFY = "VRFY"
    EXPN = "EXPN"
    HELP = "HELP"
    QUIT = "QUIT"
    ETRN = "ETRN"
    STARTTLS = "STARTTLS"
    AUTH = "AUTH"
    BDAT = "BDAT"


_S = State
_USUAL = (_S.GREETED, _S.READY, _S.MAIL, _S.RCPT)
BETWEEN_CHUNKS = {
    _S.CHUNKS: reply.ONLY_BDAT,
    _S.STUCK: reply.ONLY_RSET,
}  # what refuses all but a few commands
IN_TRANSACTION = (_S.MAIL, _S.RCPT, _S.CONTENT, _S.CHUNKS, _S.STUCK)  # a sender is known in these

_Row = dict[State, State | Reply | None]


def _always(then: State | Reply | None) -> _Row:
    return _row(dict.fromkeys(_USUAL, then))


def _row(row: _Row) -> _Row:
    """With the states between two pieces of a message, in which most commands are refused (as Exim does)."""
    return {**BETWEEN_CHUNKS, **row}


# For each command and the state it comes in: the state that follows a positive answer, None for "stay",
# or the reply that refuses it there.
SERVER_TABLE: dict[Verb, dict[State, State | Reply | None]] = {
    Verb.HELO: _always(_S.READY),  # RFC 5321 §4.1.4: a later HELO or EHLO also resets
    Verb.EHLO: _always(_S.READY),
    Verb.MAIL: _row(
        {
            _S.GREETED: reply.HELO_REQUIRED,
            _S.READY: _S.MAIL,
            _S.MAIL: reply.SENDER_ALREADY_GIVEN,
            _S.RCPT: reply.SENDER_ALREADY_GIVEN,
        }
    ),
    Verb.RCPT: _row(
        {
            _S.GREETED: reply.SENDER_NOT_YET_GIVEN,
            _S.READY: reply.SENDER_NOT_YET_GIVEN,
            _S.MAIL: _S.RCPT,
            _S.RCPT: _S.RCPT,
        }
    ),
    Verb.DATA: _row(
        {
            _S.GREETED: reply.NO_RECIPIENTS,
            _S.READY: reply.NO_RECIPIENTS,
            _S.MAIL: reply.NO_RECIPIENTS,
            _S.RCPT: _S.CONTENT,
        }
    ),
    Verb.RSET: {
        _S.GREETED: _S.GREETED,
        _S.READY: _S.READY,
        _S.MAIL: _S.READY,
        _S.RCPT: _S.READY,
        _S.CHUNKS: _S.READY,
        _S.STUCK: _S.READY,
    },
    Verb.NOOP: _always(None) | {_S.CHUNKS: None},
    Verb.VRFY: _always(None),
    Verb.EXPN: _always(None),
    Verb.HELP: _always(None),
    Verb.QUIT: _always(_S.CLOSED) | {_S.CHUNKS: _S.CLOSED, _S.STUCK: _S.CLOSED},
    Verb.ETRN: _always(None),
    Verb.STARTTLS: _always(_S.TLS),  # where they were offered: security_commands.py
    Verb.AUTH: _always(_S.AUTH),
    Verb.BDAT: {  # where CHUNKING is offered
        _S.GREETED: reply.NO_RECIPIENTS_FOR_BDAT,
        _S.READY: reply.NO_RECIPIENTS_FOR_BDAT,
        _S.MAIL: reply.NO_RECIPIENTS_FOR_BDAT,
        _S.RCPT: _S.CHUNKS,
        _S.CHUNKS: _S.CHUNKS,
        _S.STUCK: reply.ONLY_RSET,
    },
}

TAKES_NO_ARGUMENT = frozenset({Verb.DATA, Verb.RSET, Verb.QUIT, Verb.STARTTLS})

# Commands after which the client must wait for the answer, before and after PIPELINING was offered to it
# (RFC 2920 §3.1). The last command of a group may be any of them, so only what follows one is an error.
SYNCHRONIZED = frozenset(
    {Verb.HELO, Verb.EHLO, Verb.DATA, Verb.VRFY, Verb.EXPN, Verb.NOOP, Verb.ETRN, Verb.STARTTLS}
)
SYNCHRONIZED_WITHOUT_PIPELINING = SYNCHRONIZED | {Verb.MAIL, Verb.RCPT, Verb.RSET}

# Commands that carry mail; of all others a client may send only so many in one session.
MAIL_COMMANDS = frozenset({Verb.MAIL, Verb.RCPT, Verb.DATA, Verb.BDAT, Verb.QUIT})


class Step(Enum):
    """What a client waits for an answer to. The value says it in words."""

    BANNER = "waiting for the banner"
    EHLO = "said EHLO"
    HELO = "said HELO"
    STARTTLS = "asked to encrypt the connection"
    AUTH = "proving who we are"
    IDLE = "between two messages"
    MAIL = "named the sender"
    RCPT = "named a recipient"
    DATA = "asked to send the message"
    CONTENT = "sent the message, waiting for the verdict"
    RSET = "gave up this message"
    QUIT = "said goodbye"
    CLOSED = "over"


_P, _I, _T, _F = Severity.POSITIVE, Severity.INTERMEDIATE, Severity.TRANSIENT, Severity.PERMANENT

# For each step and the first digit of its answer: the step that comes next. What is not in the table
# (an intermediate answer to MAIL, say) is a server that does not speak SMTP: the client hangs up.
CLIENT_TABLE: dict[tuple[Step, Severity], Step] = {
    (Step.BANNER, _P): Step.EHLO,
    (Step.BANNER, _T): Step.QUIT,
    (Step.BANNER, _F): Step.QUIT,
    (Step.EHLO, _P): Step.IDLE,
    (Step.EHLO, _T): Step.HELO,  # RFC 5321 §3.2: an old server; fall back, however it refuses
    (Step.EHLO, _F): Step.HELO,
    (Step.HELO, _P): Step.IDLE,
    (Step.HELO, _T): Step.QUIT,
    (Step.HELO, _F): Step.QUIT,
    (Step.STARTTLS, _P): Step.EHLO,  # RFC 3207 §4.2: once the handshake is done, all begins anew
    (Step.STARTTLS, _T): Step.IDLE,
    (Step.STARTTLS, _F): Step.IDLE,
    (Step.AUTH, _P): Step.IDLE,  # a challenge (334) is looked at by whoever proves who we are
    (Step.AUTH, _T): Step.IDLE,
    (Step.AUTH, _F): Step.IDLE,
    (Step.MAIL, _P): Step.RCPT,
    (Step.MAIL, _T): Step.RSET,
    (Step.MAIL, _F): Step.RSET,
    (Step.RCPT, _P): Step.DATA,
    (Step.RCPT, _T): Step.DATA,  # DATA follows if any recipient was accepted
    (Step.RCPT, _F): Step.DATA,
    (Step.DATA, _I): Step.CONTENT,
    (Step.DATA, _T): Step.RSET,
    (Step.DATA, _F): Step.RSET,
    (Step.CONTENT, _P): Step.IDLE,
    (Step.CONTENT, _T): Step.IDLE,
    (Step.CONTENT, _F): Step.IDLE,
    (Step.RSET, _P): Step.IDLE,
    (Step.RSET, _T): Step.QUIT,
    (Step.RSET, _F): Step.QUIT,
    (Step.QUIT, _P): Step.CLOSED,
    (Step.QUIT, _T): Step.CLOSED,
    (Step.QUIT, _F): Step.CLOSED,
}
