"""The octets of a message on their way in: found in the stream, counted, and thrown away when they are too many.

WHAT       `DotContent` reads what follows DATA, up to the dot that is alone on its line; `Chunks` what follows BDAT.
SAFE       only CR LF . CR LF ends a message; never more than the limit is kept, and the session stays in step.
STANDARDS  RFC 5321 §4.1.1.4 (end of data), §2.3.8 (line ends), §4.5.2 (dots); RFC 3030 §2 (BDAT)
READ NEXT  server_commands.py
"""

from __future__ import annotations

from dataclasses import dataclass

from labkit.smtp.commands import undo_dots

END_OF_DATA = b"\r\n.\r\n"  # RFC 5321 §4.1.1.4, and nothing else ends a message (§2.3.8)


@dataclass(slots=True)
class Content:
    """A message that has arrived. `octets` None: it was longer than the limit, and nothing of it is left.

    `size` is that on the wire, `lines` how many line ends (CR LF) it had: on Exim's disk each is one octet less.
    """

    octets: bytes | None
    size: int
    lines: int

    def take(self) -> bytes:
        """Hand the octets over, so that a large message is not kept twice."""
        octets, self.octets = self.octets or b"", None
        return octets


class DotContent:
    """Reads one message after DATA. Put `DotContent.BEGINNING` before the input when it begins."""

    BEGINNING = b"\r\n"  # the line end of DATA counts for the first line, RFC 5321 §4.1.1.4

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._searched = 0  # how far the input was looked through
        self._thrown_away = self._lines = 0
        self._too_big = False

    def read(self, octets: bytearray) -> Content | None:
        """Take the message off the input. None: its end is not there yet."""
        end = octets.find(END_OF_DATA, max(0, self._searched - len(END_OF_DATA) + 1))
        if end < 0:
            self._count_lines(octets, len(octets))
            if self._too_big or self._thrown_away + len(octets) - self._lines > self._limit + len(
                END_OF_DATA
            ):
                self._throw_away(octets)
            return None
        self._count_lines(octets, end + 2)
        content = bytes(octets[2 : end + 2])
        del octets[: end + len(END_OF_DATA)]
        size = self._thrown_away + len(content)
        return Content(None if size - self._lines > self._limit else undo_dots(content), size, self._lines)

    def _count_lines(self, octets: bytearray, end: int) -> None:
        """Those that have not been counted; the line end of DATA is none of the message."""
        begin = self._searched or (0 if self._thrown_away else len(self.BEGINNING))
        self._lines += octets.count(b"\r\n", max(begin - 1, 0), end)  # the CR may have come before
        self._searched = end

    def _throw_away(self, octets: bytearray) -> None:
        """It is too big, but the session stays in step: only the end matters now."""
        self._too_big = True
        keep = len(END_OF_DATA) - 1
        self._thrown_away += len(octets) - keep
        del octets[:-keep]
        self._searched = len(octets)


class Chunks:
    """Reads one message after BDAT: `begin` a piece, `read` until it is complete, and the next."""

    def __init__(self, limit: int) -> None:
        self.size = self.lines = 0  # octets and line ends so far
        self.chunk = 0  # the size of this piece
        self.is_last = False
        self._limit = limit
        self.left = 0  # octets of this piece that are still to come
        self._kept = bytearray()
        self._after_cr = False

    def begin(self, size: int, *, is_last: bool) -> None:
        self.chunk = self.left = size
        self.is_last = is_last

    def read(self, octets: bytearray) -> bool:
        """Take what belongs to this piece off the input. Whether it is complete."""
        count = min(self.left, len(octets))
        self.left -= count
        self._count_lines(octets, count)
        self.size += count
        if not self.is_too_big:
            self._kept += octets[:count]
        else:
            self._kept.clear()
        del octets[:count]
        return self.left == 0

    def _count_lines(self, octets: bytearray, count: int) -> None:
        """Exim counts them up to its limit; what comes after that is counted as it is."""
        end, found = -1, 0
        first = int(self._after_cr and octets.startswith(b"\n"))
        while end != (end := min(count, max(self._limit - self.size + self.lines + found + 1, 0))):
            found = octets.count(b"\r\n", 0, end) + first * (end > 0)
        self.lines += found
        if count:
            self._after_cr = octets[count - 1 : count] == b"\r"

    @property
    def is_too_big(self) -> bool:
        return self.size - self.lines > self._limit

    @property
    def begins_without_crlf(self) -> bool:
        """The first line of the header ends with a bare LF: Exim takes no such message in pieces."""
        end = self._kept.find(b"\n")
        return end >= 0 and self._kept[max(end - 1, 0) : end] != b"\r"

    def content(self) -> Content:
        """The whole message, once the last piece is here; its last line ends."""
        if self.is_too_big:
            return Content(None, self.size, self.lines)
        if self._kept and not self._kept.endswith(b"\n"):
            self._kept += b"\r\n"
        octets = bytes(self._kept)
        self._kept = bytearray()
        return Content(octets, self.size, self.lines)
