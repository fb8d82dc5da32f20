"""A message is here: its size and form are judged by the server's machine itself, all else by whoever runs it.

WHAT       `judge_content` after DATA, `judge_chunks` after the last piece (or the one that is too much).
LIKE EXIM  the replies, and the lines of the log
STANDARDS  RFC 5321 §4.5.3.1 (sizes); RFC 3030 §2
READ NEXT  server.py
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from labkit.mail import reply
from labkit.mail.message import defuse_bare_line_ends
from labkit.mail.reply import Reply
from labkit.smtp.commands import header_exceeds, longest_header_line, longest_line
from labkit.smtp.content import Chunks, Content
from labkit.smtp.decisions import MessageReceived
from labkit.smtp.incidents import Incident, Refused

if TYPE_CHECKING:
    from labkit.smtp.server import Server


def judge_chunks(server: Server, chunks: Chunks) -> None:
    if chunks.begins_without_crlf and not chunks.is_too_big:
        why = "Non-CRLF-terminated header, under CHUNKING: message abandoned"
        _refuse_message(server, reply.HEADER_NOT_CRLF, why, selector="size_reject")
    else:
        judge_content(server, chunks.content(), chunks.chunk)


def judge_content(server: Server, content: Content, last_chunk: int | None = None) -> None:
    """Refuse a message for its size by ourselves; ask about every other."""
    limits = server.limits
    if content.octets is None:
        size = content.size - content.lines  # as on Exim's disk, where a line ends with one octet
        why = f"message too big: read={size} max={limits.message_size}"
        _refuse_message(server, reply.MESSAGE_TOO_BIG, why, selector="size_reject")
    elif header_exceeds(content.octets, limits.header_size):
        before = "ridiculously long message header received from"
        after = f" (more than {limits.header_size} characters): message abandoned"
        _refuse_message(server, reply.HEADER_TOO_LONG, reply.HEADER_TOO_LONG.text, line=(before, after))
    elif 0 < limits.header_line < longest_header_line(content.octets):
        before = "overlong message header line received from"
        after = f" (more than {limits.header_line} characters): message abandoned"
        _refuse_message(
            server, reply.HEADER_LINE_TOO_LONG, reply.HEADER_LINE_TOO_LONG.text, line=(before, after)
        )
    else:
        octets = defuse_bare_line_ends(content.take())
        received = MessageReceived(
            server.transaction.envelope,
            octets,
            longest_line(octets),
            server.helo_name,
            server.protocol(),
            last_chunk,
        )
        server.stop_at(received, server.end_of_message)


def _refuse_message(
    server: Server, refusal: Reply, why: str, *, selector: str = "", line: tuple[str, str] | None = None
) -> None:
    """Refuse by ourselves, asking nobody, but telling; `line` if the log has it in another form."""
    envelope = server.transaction.envelope
    before, after = line or (f"rejected from <{envelope.sender}>", f": {why}")
    fact = Refused(
        refusal, why, None, envelope.sender, of_message=refusal == reply.MESSAGE_TOO_BIG
    )  # Exim's ids begin when the header is read
    server.report(
        Incident(before, after, named=line is None, selector=selector, rejects=line is None, refused=fact)
    )
    server.end_of_message(refusal)
