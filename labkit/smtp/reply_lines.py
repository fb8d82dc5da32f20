"""Read a server's replies out of what it sends.

WHAT       `ReplyLines.take()` gives one reply after the other, each line as it comes to a listener.
SAFE       a line, a reply, and what waits to be read have limits; what is no reply at all raises NoReply.
STANDARDS  RFC 5321 §4.2 (replies), §4.5.3.1.5 (512 octets in a line: servers do not keep to it)
READ NEXT  client.py
"""

from __future__ import annotations

import re
from collections.abc import Callable

from labkit.mail.reply import Reply
from labkit.smtp.transcript import readable

LONGEST_REPLY_LINE = 4096  # RFC 5321 §4.5.3.1.5 asks for 512
MOST_REPLY_LINES = 128
LONGEST_REPLY = 16384  # octets in all its lines
_REPLY_LINE = re.compile(rb"([2-5][0-9][0-9])(?:([ -])(.*))?")
_CONTROLS = re.compile("[\0-\x08\x0a-\x1f\x7f-\x9f]")


class NoReply(Exception):
    """What the server says is no SMTP; the text tells what is wrong. `line` is what it was, escaped."""

    def __init__(self, words: str, line: str = "") -> None:
        super().__init__(words)
        self.line = line


class ReplyLines:
    """The octets of a server that were not read yet, and the lines of a reply that is not over."""

    def __init__(self, heard: Callable[[str], None]) -> None:
        self.waiting = bytearray()
        self._heard = heard  # each line, as text for people
        self._lines: list[str] = []

    def add(self, octets: bytes | bytearray | memoryview) -> None:
        self.waiting += octets

    def take(self) -> Reply | None:
        """The next reply, or None if it is not complete. Raises NoReply."""
        while (end := self.waiting.find(b"\n")) >= 0:
            line = bytes(self.waiting[:end]).removesuffix(b"\r")
            del self.waiting[: end + 1]
            if (reply := self._line(line)) is not None:
                return reply
        if len(self.waiting) > LONGEST_REPLY_LINE + 1:  # a CR may wait for its LF
            raise NoReply("the server sent a line without end")
        return None

    def _line(self, line: bytes) -> Reply | None:
        if len(line) > LONGEST_REPLY_LINE:
            raise NoReply("the server sent a line without end")
        self._heard(readable(line))
        found = _REPLY_LINE.fullmatch(line)
        if found is None:
            said = readable(line[:60])
            raise NoReply(f"the server does not speak SMTP: {said}", said)
        text = _CONTROLS.sub("", (found[3] or b"").decode("utf-8", "surrogateescape"))
        self._lines.append(text)
        if len(self._lines) > MOST_REPLY_LINES or sum(map(len, self._lines)) > LONGEST_REPLY:
            raise NoReply("the server sent a reply without end")
        if found[2] == b"-":
            return None
        reply = Reply(int(found[1]), tuple(self._lines))
        self._lines = []
        return reply
