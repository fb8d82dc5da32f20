"""What aiosmtpd reads of a client: command lines that end in CR LF, and in nothing else.

WHAT       `CommandLines` takes the place of aiosmtpd's reader. Its loop ends a command at a bare LF; this one does not.
DECIDES    a line with a bare CR, a bare LF or a NUL reaches nobody: aiosmtpd sees an empty one, and answers 500. Of a
           line that is too long, the rest is swallowed. Who sends many such lines is sent away.
STANDARDS  RFC 5321 §2.3.8 (lines), §4.5.3.1.4 (their length); RFC 4954 §4 (12288 octets for AUTH)
READ NEXT  aiosmtpd_server.py
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

MOST_BAD_LINES = 10
LONGEST_REST = 1024 * 1024  # octets of a line that is too long


class CommandLines:
    """aiosmtpd's reader. `heard(line)` is told each command; `give_up()` ends the session and does not return."""

    def __init__(
        self,
        reader: asyncio.StreamReader,
        heard: Callable[[bytes], None],
        give_up: Callable[[], Awaitable[None]],
    ) -> None:
        self._reader, self._heard, self._give_up = reader, heard, give_up
        self._owes_an_end = False  # aiosmtpd swallows a line that is gone already
        self._bad = 0

    def forget(self) -> None:
        """Throw away what has come and was not read: it was said in the clear, before TLS (RFC 3207 §4.2)."""
        self._reader._buffer.clear()  # type: ignore[attr-defined]

    async def read(self, octets: int = -1) -> bytes:
        return b"" if octets == 0 else await self._reader.read(octets)

    async def readuntil(self, separator: bytes = b"\n") -> bytes:
        """A line of the message, which ends in CR LF; or (as aiosmtpd calls it for commands) a command."""
        if separator == b"\r\n":
            try:
                return await self._reader.readuntil(separator)
            except asyncio.IncompleteReadError:
                await self._give_up()
        if self._owes_an_end:
            self._owes_an_end = False
            return b"\r\n"
        line = await self._line()
        if line is None:
            self._owes_an_end = True
            raise asyncio.LimitOverrunError("the command line is too long", 0)
        self._heard(line)
        return line

    async def readline(self) -> bytes:
        """An answer within AUTH. One that is too long, or broken, is one that cannot be decoded."""
        line = await self._line()
        self._heard(line or b"")
        return b"=\r\n" if line is None or line == b"\r\n" else line

    async def _line(self) -> bytes | None:
        """Up to CR LF; an empty line for one with what no line may have; None for one that is too long."""
        try:
            line = await self._reader.readuntil(b"\r\n")
        except asyncio.LimitOverrunError as problem:
            await self._swallow(problem)
            await self._count()
            return None
        except asyncio.IncompleteReadError:
            await self._give_up()
            raise
        inside = line[:-2]
        if not inside or any(octet in inside for octet in (b"\r", b"\n", b"\0")):
            await self._count()
            return b"\r\n"
        return line

    async def _swallow(self, problem: asyncio.LimitOverrunError) -> None:
        rest = 0
        while rest < LONGEST_REST:
            rest += len(await self._reader.read(max(problem.consumed, 1)))
            try:
                await self._reader.readuntil(b"\r\n")
                return
            except asyncio.LimitOverrunError as again:
                problem = again
            except asyncio.IncompleteReadError:
                break
        await self._give_up()

    async def _count(self) -> None:
        self._bad += 1
        if self._bad >= MOST_BAD_LINES:
            await self._give_up()
