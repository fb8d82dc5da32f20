"""An SMTP conversation, followed by somebody in between: which octets are a command, a reply, a letter.

WHAT       `FollowedTalk` is told the octets of both sides as they come and gives them back in pieces: `Command`,
           `Content` (of a message), `Answer` (a reply, with the command that it answers), `Blind` (not understood).
RULES      no I/O; all octets come out again, in order. What is too long to follow, or makes no sense, is given back as
           Blind, and so is all that comes after it. While AUTH is under way a line that is no command is a RESPONSE,
           whether it was asked for or not: it may be a password.
STANDARDS  RFC 5321 §4.1.1.4 (DATA), RFC 3030 §2 (BDAT), RFC 2920 (several commands at once), RFC 4954 §4 (AUTH)
READ NEXT  middle_session.py
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass

from labkit.smtp.states import Verb

LONGEST_LINE = 64 * 1024  # octets of a line that does not end
LONGEST_REPLY = 256 * 1024  # and of a reply
MOST_PENDING = 1000  # commands that wait for their replies
GREETING = "(greeting)"  # what the banner answers
RESPONSE = "(response)"  # a client's line within AUTH
_VERBS = frozenset(verb.value for verb in Verb)
_REPLY = re.compile(rb"([2-5][0-9][0-9])([ -])?")


@dataclass(frozen=True, slots=True)
class Command:
    """One line of the client's. `verb` is in capitals; RESPONSE for an answer within AUTH."""

    octets: bytes
    verb: str


@dataclass(frozen=True, slots=True)
class Content:
    """A piece of a message. `is_end`: it is the last."""

    octets: bytes
    is_end: bool = False


@dataclass(frozen=True, slots=True)
class Answer:
    """A whole reply of the server's, and the verb of the command that it answers."""

    octets: bytes
    verb: str
    code: int

    @property
    def lines(self) -> tuple[bytes, ...]:
        return tuple(self.octets.splitlines(keepends=True))


@dataclass(frozen=True, slots=True)
class Blind:
    octets: bytes


class FollowedTalk:
    """One conversation; `greets`: a banner is still to come. After STARTTLS another one begins."""

    def __init__(self, *, greets: bool = True) -> None:
        self.is_blind = False
        self._from_client, self._from_server = bytearray(), bytearray()
        self._read_of_reply = 0  # octets of whole lines of a reply that goes on
        self._pending: deque[str] = deque([GREETING] if greets else [])
        self._asks = False  # within AUTH: the client's next line is a response
        self._in_data = False
        self._chunk = 0  # octets of a BDAT chunk still to come
        self._is_last_chunk = False

    @property
    def awaits_nothing(self) -> bool:
        """All commands were answered."""
        return not self._pending

    def expect(self, verb: str) -> None:
        """A reply will come to something that the client has not said."""
        self._pending.append(verb)

    # --- the client's side --------------------------------------------------------------------

    def client_said(self, octets: bytes) -> Iterator[Command | Content | Blind]:
        """Whoever reads these pieces may end the conversation between two of them; the rest is in `left_over`."""
        self._from_client += octets
        while self._from_client:
            piece = Blind(self.left_over()) if self.is_blind else self._next_of_client()
            if piece is None:
                return
            yield piece

    def left_over(self) -> bytes:
        """What the client has said and nobody was given."""
        rest = bytes(self._from_client)
        self._from_client.clear()
        return rest

    def _next_of_client(self) -> Command | Content | Blind | None:
        buffer = self._from_client
        if self._chunk:
            piece = bytes(buffer[: self._chunk])
            del buffer[: self._chunk]
            self._chunk -= len(piece)
            return Content(piece, self._is_last_chunk and not self._chunk)
        end = buffer.find(b"\n") + 1
        if not end:
            if len(buffer) < LONGEST_LINE:
                return None
            if not self._in_data:
                self.is_blind = True
                return Blind(self.left_over())
            end = len(buffer)
        line = bytes(buffer[:end])
        del buffer[:end]
        if self._in_data:
            self._in_data = line != b".\r\n"
            return Content(line, not self._in_data)
        return self._command(line)

    def _command(self, line: bytes) -> Command | Blind:
        if self._asks:
            self._asks = False
            return Command(line, RESPONSE)
        words = line.split()
        verb = words[0].upper().decode("latin-1") if words else ""
        if "AUTH" in self._pending and verb not in _VERBS:
            verb = RESPONSE  # said before it was asked for
        self._pending.append(verb)
        if len(self._pending) > MOST_PENDING:
            self.is_blind = True
            return Blind(line)
        if verb == "BDAT" and len(words) > 1 and words[1].isdigit() and len(words[1]) < 12:
            self._chunk = int(words[1])
            self._is_last_chunk = words[-1].upper() == b"LAST"
        return Command(line, verb)

    # --- the server's side --------------------------------------------------------------------

    def server_said(self, octets: bytes) -> Iterator[Answer | Blind]:
        self._from_server += octets
        while self._from_server:
            piece = Blind(self.unanswered()) if self.is_blind else self._next_of_server()
            if piece is None:
                return
            yield piece

    def unanswered(self) -> bytes:
        """What the server has said and nobody was given."""
        rest = bytes(self._from_server)
        self._from_server.clear()
        self._read_of_reply = 0
        return rest

    def _next_of_server(self) -> Answer | Blind | None:
        buffer, start = self._from_server, self._read_of_reply
        while end := buffer.find(b"\n", start) + 1:
            found = _REPLY.match(buffer, start, end)
            if found is None:
                break
            code, goes_on = int(found[1]), found[2] == b"-"
            found = None  # it holds the buffer
            if not goes_on:
                octets = bytes(buffer[:end])
                del buffer[:end]
                self._read_of_reply = 0
                return self._answer(octets, code)
            self._read_of_reply = start = end
        if end == 0 and len(buffer) < LONGEST_REPLY:
            return None
        self.is_blind = True
        return Blind(self.unanswered())

    def _answer(self, octets: bytes, code: int) -> Answer:
        verb = self._pending[0] if self._pending else ""
        if verb == "AUTH" and code == 334:
            self._asks = len(self._pending) == 1
            if not self._asks:
                del self._pending[1]  # it was said already
        elif self._pending:
            self._pending.popleft()
        if verb == "DATA" and code == 354:
            self._in_data = True
            self._pending.append("DATA.")  # what is said to the dot
        return Answer(octets, verb, code)
