"""The other end of a command: its input, its output, its exit status, over the control socket.

WHAT       `Console.read_all`, `lines`, `say`, `complain`, `end`; with -v it shows what happens, as Exim's -v does.
RULES      once the command has gone, nothing is said any more and the work goes on.
READ NEXT  performing.py
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import suppress

from labkit.cli.exim.frames import (
    END,
    ERR,
    HEAD,
    INPUT,
    LONGEST,
    OUT,
    STATUS,
    WANTED,
    BadFrame,
    frame,
    length_of,
)
from labkit.mail.event import EventKind, MailEvent

PIECE = LONGEST - 1024
_FOR_PEOPLE = (EventKind.QUESTION, EventKind.ACL_STEP, EventKind.CLOCK, EventKind.STARTED, EventKind.STOPPED)


class Console:
    """One command that waits for us."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer = reader, writer
        self._wanted = self._ended = False
        self._shown: set[str] = set()
        self._peer: tuple[str | None, str | None] | None = None
        self.is_verbose = False
        self.why = ""  # added to `delivering ID`

    # --- in -----------------------------------------------------------------------------------

    async def next_frame(self) -> tuple[bytes, bytes]:
        """Raises BadFrame, asyncio.IncompleteReadError when the command has gone."""
        kind, length = length_of(await self._reader.readexactly(HEAD.size))
        return kind, await self._reader.readexactly(length)

    async def read(self) -> bytes:
        """The next piece of the command's standard input; b"" at its end."""
        if self._ended:
            return b""
        if not self._wanted:
            self._wanted = True
            self._send(WANTED)
        kind, octets = await self.next_frame()
        if kind == INPUT and octets:
            return octets
        if kind != END:
            raise BadFrame(kind)
        self._ended = True
        return b""

    async def lines(self) -> AsyncIterator[bytes]:
        """Line by line, each with its end; the last one may have none."""
        rest = b""
        while piece := await self.read():
            *whole, rest = (rest + piece).split(b"\n")
            for line in whole:
                yield line + b"\n"
        if rest:
            yield rest

    # --- out ----------------------------------------------------------------------------------

    def say(self, octets: bytes | str) -> None:
        """On its standard output."""
        self._pieces(OUT, octets)

    def complain(self, words: str) -> None:
        """A line on its standard error."""
        self._pieces(ERR, f"{words}\n")

    def end(self, status: int) -> None:
        """Its exit status. What is said later belongs to work that goes on."""
        self._send(STATUS, json.dumps(status).encode())

    async def drain(self) -> None:
        with suppress(OSError):
            await self._writer.drain()

    def _pieces(self, kind: bytes, octets: bytes | str) -> None:
        if isinstance(octets, str):
            octets = octets.encode("utf-8", "surrogateescape")
        for start in range(0, len(octets), PIECE):
            self._send(kind, octets[start : start + PIECE])

    def _send(self, kind: bytes, octets: bytes = b"") -> None:
        if not self._writer.is_closing():
            self._writer.write(frame(kind, octets))

    # --- -v -----------------------------------------------------------------------------------

    def happened(self, event: MailEvent, lines: list[str]) -> None:
        if not self.is_verbose:
            return
        queue_id = event.queue_id or ""
        if event.kind is EventKind.ROUTED and queue_id not in self._shown:
            self._shown.add(queue_id)
            self.complain(f"delivering {queue_id}{self.why}")
        if event.kind is EventKind.DIALOGUE:
            self._dialogue(event)
        elif event.kind not in _FOR_PEOPLE:
            for line in lines:
                self.complain(f"LOG: MAIN\n  {line.removeprefix(f'{queue_id} ')}")

    def _dialogue(self, event: MailEvent) -> None:
        arrow = "SMTP<<" if event.speaker == "S" else "SMTP>>"
        for line in (event.text or "").splitlines() or [""]:
            self.complain(f"  {arrow} {line}")
