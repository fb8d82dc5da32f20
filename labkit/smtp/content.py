"""The octets of a message on their way in: found in the stream, counted, and thrown away when they are too many.

WHAT       `DotContent` reads what follows DATA, up to the dot that is alone on its line.
SAFE       only CR LF . CR LF ends a message; never more than the limit is kept, and the session stays in step.
STANDARDS  RFC 5321 §4.1.1.4 (end of data), §2.3.8 (line ends), §4.5.2 (dots)
READ NEXT  server_commands.py
"""

from __future__ import annotations

from dataclasses import dataclass

from labkit.smtp.commands import undo_dots

END_OF_DATA = b"\r\n.\r\n"  # RFC 5321 §4.1.1.4, and nothing else ends a message (§2.3.8)


@dataclass(slots=True)
class Content:
    """A message that has arrived. `octets` None: it was longer than the limit, and nothing of it is left."""

    octets: bytes | None
    size: int

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
        self._thrown_away = 0
        self._too_big = False

    def read(self, octets: bytearray) -> Content | None:
        """Take the message off the input. None: its end is not there yet."""
        end = octets.find(END_OF_DATA, max(0, self._searched - len(END_OF_DATA) + 1))
        if end < 0:
            self._searched = len(octets)
            if self._too_big or len(octets) > self._limit + len(END_OF_DATA):
                self._throw_away(octets)
            return None
        content = bytes(octets[2 : end + 2])
        del octets[: end + len(END_OF_DATA)]
        size = self._thrown_away + len(content)
        return Content(None if size > self._limit else undo_dots(content), size)

    def _throw_away(self, octets: bytearray) -> None:
        """It is too big, but the session stays in step: only the end matters now."""
        self._too_big = True
        keep = len(END_OF_DATA) - 1
        self._thrown_away += len(octets) - keep
        del octets[:-keep]
        self._searched = 0
