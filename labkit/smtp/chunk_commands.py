"""BDAT: a message that comes in pieces, each announced with its size.

WHAT       `bdat` begins a piece; what follows the command line is octets until the piece is complete.
LIKE EXIM  between two pieces only BDAT, NOOP, RSET and QUIT may be; after anything else, or an empty piece that is not
           the first, only RSET helps
SAFE       the octets of a piece that is refused are swallowed, so that nobody takes them for commands
STANDARDS  RFC 3030 §2 (CHUNKING)
READ NEXT  server.py
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from labkit.mail import reply
from labkit.smtp.content import Chunks
from labkit.smtp.incidents import PROTOCOL
from labkit.smtp.states import State, Verb

if TYPE_CHECKING:
    from labkit.smtp.server import Server

_SIZE = re.compile(r"\+?([0-9]{1,10})[ \t]*(.*)")


def read_size(argument: str) -> tuple[int, bool] | None:
    """The size of a piece and whether it is the last one; None if there is no size."""
    found = _SIZE.match(argument)
    return (int(found[1]), found[2].upper() == "LAST") if found else None


def bdat(server: Server, verb: Verb, argument: str, following: State) -> None:
    read = read_size(argument)
    if read is None:
        if server.chunks is not None:
            server.forget_transaction()
            server.state = State.READY
        server.refuse_error(reply.NO_CHUNK_SIZE, PROTOCOL)
        return
    size, is_last = read
    if server.transaction.has_too_many and server.limits.rejects_excess:
        server.forget_transaction()
        server.say(reply.MESSAGE_WITH_TOO_MANY_RECIPIENTS, State.READY)
        server.swallow(size)
        return
    if server.chunks is None:
        server.chunks = Chunks(server.limits.message_size)
    elif size == 0 and not is_last:
        server.refuse_error(reply.EMPTY_CHUNK, PROTOCOL)
        if not server.is_closed:
            server.state = State.STUCK
        return
    server.state = State.CONTENT
    server.chunks.begin(size, is_last=is_last)
