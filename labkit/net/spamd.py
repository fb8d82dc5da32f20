"""Answer SpamScore: ask a content filter what it thinks of a message.

WHAT       `Spamd` connects to a server of the lab (127.0.0.1 is the asking host itself) or to a Unix socket on the
           host's disk, sends the head and the message, and returns all that comes back.
DECIDES    nothing: smtp/acl/spam_answer.py reads the answer
LIKE EXIM  the words of what went wrong; a connection is given five seconds; the answer ends when the server ends
SAFE       an answer without end is cut off at `most` octets; patience is real time, at most PATIENCE
STANDARDS  spamd's PROTOCOL file; Exim specification, section "Scanning with SpamAssassin and Rspamd"
READ NEXT  labkit/lab/scorers.py
"""

from __future__ import annotations

import asyncio
import os
import re
from collections.abc import Awaitable, Callable
from contextlib import suppress
from datetime import timedelta
from pathlib import Path
from typing import cast

from labkit.mail.questions import FilterSaid, NoScore, SpamScore
from labkit.net.disk import Disk
from labkit.net.network import HostSilent, Network
from labkit.net.socket_lookup import MOST_PATH, Resolve, is_address
from labkit.net.translation import LOCALHOST

PATIENCE = 30.0  # seconds of real time for an answer, and never more than the configuration has
CONNECTING = 5.0
MOST_PORTS = 100  # of one range
_PORTS = re.compile(r"\s*\+?([0-9]{1,12})(?:-([0-9]{1,12}))?")
_LATE = "Connection timed out"


class _Unreached(Exception):
    """No connection; the text says why."""


class Spamd:
    """SpamScore, for the host at `source`; `sleep` lets lab time pass."""

    def __init__(
        self,
        disk: Disk,
        network: Network,
        source: str,
        resolve: Resolve,
        sleep: Callable[[timedelta], Awaitable[None]],
    ) -> None:
        self.disk, self.network, self.source = disk, network, source
        self.resolve, self.sleep = resolve, sleep

    async def score(self, question: SpamScore) -> FilterSaid | NoScore:
        """All that the server says."""
        for wait in (question.retry, 0):
            call = _Call(question)
            try:
                shown = await self._connect(question.place, call)
                break
            except _Unreached as problem:
                if not wait:
                    return NoScore(str(problem), is_unreached=True)
                await self.sleep(timedelta(seconds=wait))
        try:
            said = await asyncio.wait_for(call.said, min(PATIENCE, question.timeout))
            return FilterSaid(said.decode("latin-1"), shown)
        except (TimeoutError, asyncio.TimeoutError):
            return NoScore(f"error reading from spamd {shown}, socket: {_LATE}")
        except OSError as problem:
            return NoScore(f"error reading from spamd {shown}, socket: {_words(problem)}")
        finally:
            call.hang_up()

    async def _connect(self, place: str, call: _Call) -> str:
        """Connect, and tell how the log calls the server. Raises _Unreached."""
        if place.startswith("/"):
            return await self._connect_file(place, call)
        return await self._connect_host(place, call)

    async def _connect_file(self, path: str, call: _Call) -> str:
        folder = None
        try:
            place = self.disk.place(path)
            if len(os.fsencode(place)) > MOST_PATH:
                folder = os.open(Path(place).parent, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
                place = f"/proc/self/fd/{folder}/{Path(place).name}"
            await asyncio.get_running_loop().create_unix_connection(lambda: call, place)
        except (OSError, ValueError) as problem:
            raise _Unreached(f"unable to connect to UNIX socket ({path}): {_words(problem)}") from None
        finally:
            if folder is not None:
                os.close(folder)
        return path

    async def _connect_host(self, place: str, call: _Call) -> str:
        name, _, service = place.partition(" ")
        found = _PORTS.match(service)
        if found is None:
            raise _Unreached(f"invalid socket '{place}'")
        first = int(found[1]) % 2**16
        last = first if found[2] is None else min(int(found[2]) % 2**16, first + MOST_PORTS)
        addresses = [name] if is_address(name) else await self.resolve(name)
        if not addresses:
            raise _Unreached(f"no IP address found for host {name}")
        why = ""
        for address, port in ((each, port) for each in addresses for port in range(first, last + 1)):
            try:
                await asyncio.wait_for(self._call(address, port, call), CONNECTING)
                return f"[{address}]:{port}"
            except HostSilent:
                await self.sleep(timedelta(seconds=CONNECTING))
                why = _LATE
            except (TimeoutError, asyncio.TimeoutError):
                why = _LATE
            except (OSError, ValueError) as problem:
                why = _words(problem)
        raise _Unreached(f"failed to connect to any address for {name}: {why}")

    async def _call(self, address: str, port: int, call: _Call) -> None:
        is_own = address == LOCALHOST and LOCALHOST not in self.network.addresses
        await self.network.connect(self.source, self.source if is_own else address, port, lambda: call)


class _Call(asyncio.Protocol):
    """One question, and what comes back until the server ends."""

    def __init__(self, question: SpamScore) -> None:
        self.said: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()
        self._question = question
        self._received = bytearray()
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._transport.write(self._question.head + self._question.content)
        if self._question.hangs_up and self._transport.can_write_eof():
            with suppress(OSError):  # a server that has hung up already: what it said is read all the same
                self._transport.write_eof()

    def data_received(self, data: bytes) -> None:
        self._received += data
        if len(self._received) >= self._question.most:
            del self._received[self._question.most :]
            self._end()
            self.hang_up()

    def eof_received(self) -> bool:
        self._end()
        return False

    def connection_lost(self, problem: Exception | None) -> None:
        if isinstance(problem, OSError) and not self.said.done():
            self.said.set_exception(problem)
        self._end()

    def _end(self) -> None:
        if not self.said.done():
            self.said.set_result(bytes(self._received))

    def hang_up(self) -> None:
        if self._transport is not None:
            self._transport.abort()


def _words(problem: Exception) -> str:
    errno = getattr(problem, "errno", None)
    return os.strerror(errno) if errno else str(problem)
