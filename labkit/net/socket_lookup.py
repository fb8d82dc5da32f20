"""Answer ReadSocket: what a server says after a request; and RandomNumber.

WHAT       `read_socket` speaks to a Unix socket on the host's disk, or (inet:host:port) to a host of the network.
DECIDES    the network decides who can be reached: a lab address or, from the command line, this machine's loopback.
           127.0.0.1 is the asking host itself.
LIKE EXIM  the request, then the end of our half of the connection (not with shutdown=no), then all until the end
STANDARDS  Exim specification, chapter "String expansions" (readsocket, randint)
READ NEXT  callout.py
"""

from __future__ import annotations

import asyncio
import os
import random
import socket
import stat
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import cast

from labkit.mail.lookups import RandomNumber, ReadSocket, Unanswered, Unopened
from labkit.net.disk import Disk
from labkit.net.host_files import unopened
from labkit.net.network import Network
from labkit.net.translation import LOCALHOST

MOST_OCTETS = 16_000_000
MOST_PATH = 100  # octets that the address of a Unix socket may have, a little less than Linux allows
Resolve = Callable[[str], Awaitable[Sequence[str]]]  # the addresses of a name


class Numbers:
    """RandomNumber: the same numbers in every run for the same seed; other ones each time without a seed."""

    def __init__(self, seed: str | None = None) -> None:
        self._random = random.Random(seed) if seed is not None else random.SystemRandom()

    def number(self, question: RandomNumber) -> int:
        return self._random.randrange(question.below) if question.below > 0 else 0


class Sockets:
    """ReadSocket, for the host at `source`."""

    def __init__(self, disk: Disk, network: Network, source: str, resolve: Resolve) -> None:
        self.disk, self.network, self.source, self.resolve = disk, network, source, resolve

    async def read(self, question: ReadSocket) -> str | Unopened | Unanswered:
        """All that the server says."""
        call = _Call(question.request.encode("latin-1", "replace"), question.shuts_down)
        try:
            if question.where.startswith("inet:"):
                problem = await self._call_host(question.where[5:], call, question.timeout)
                if problem is not None:
                    return problem
            else:
                await asyncio.wait_for(self._call_file(question.where, call), question.timeout)
            return (await asyncio.wait_for(call.said, question.timeout)).decode("latin-1")
        except (TimeoutError, asyncio.TimeoutError):
            return Unanswered("socket read timed out")
        except OSError as error:
            return unopened(error)
        finally:
            call.hang_up()

    async def _call_file(self, path: str, call: _Call) -> None:
        """Raises OSError."""
        place = self.disk.place(path)
        if not stat.S_ISSOCK(os.stat(place).st_mode):
            raise ConnectionRefusedError(111, "Connection refused")
        folder = None
        if len(os.fsencode(place)) > MOST_PATH:
            folder = os.open(Path(place).parent, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
            place = f"/proc/self/fd/{folder}/{Path(place).name}"
        try:
            await asyncio.get_running_loop().create_unix_connection(lambda: call, place)
        finally:
            if folder is not None:
                os.close(folder)

    async def _call_host(self, where: str, call: _Call, timeout: float) -> Unopened | Unanswered | None:
        """Connect to the first address that answers; or tell why there is none."""
        name, colon, service = where.rpartition(":")
        if not colon:
            return Unopened(f"missing port for readsocket inet:{where}", is_missing=False)
        port = _port(service)
        if port is None:
            return Unopened(f'unknown service "{service}"', is_missing=False)
        name = name[1:-1] if name.startswith("[") and name.endswith("]") else name
        addresses = [name] if is_address(name) else await self.resolve(name)
        if not addresses:
            return Unopened(f"no IP address found for host {name}")
        problem: OSError | None = None
        for address in addresses:
            place = (
                self.source if address == LOCALHOST and LOCALHOST not in self.network.addresses else address
            )
            try:
                await asyncio.wait_for(self.network.connect(self.source, place, port, lambda: call), timeout)
                return None
            except asyncio.TimeoutError:
                problem = TimeoutError(110, "Connection timed out")
            except OSError as error:
                problem = error
        words = os.strerror(problem.errno) if problem is not None and problem.errno else str(problem)
        return Unopened(words, is_missing=False)


class _Call(asyncio.Protocol):
    """One request, and what comes back until the server ends."""

    def __init__(self, request: bytes, shuts_down: bool) -> None:
        self.said: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()
        self._request, self._shuts_down = request, shuts_down
        self._received = bytearray()
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._transport.write(self._request)
        if self._shuts_down and self._transport.can_write_eof():
            with suppress(OSError):  # a server that has hung up already: what it said is read all the same
                self._transport.write_eof()

    def data_received(self, data: bytes) -> None:
        self._received += data
        if len(self._received) > MOST_OCTETS:
            del self._received[MOST_OCTETS:]
            self.hang_up()

    def eof_received(self) -> bool:
        self._end()
        return False

    def connection_lost(self, problem: Exception | None) -> None:
        self._end()

    def _end(self) -> None:
        if not self.said.done():
            self.said.set_result(bytes(self._received))

    def hang_up(self) -> None:
        if self._transport is not None:
            self._transport.abort()


def _port(service: str) -> int | None:
    if service.isascii() and service.isdecimal():
        number = int(service[:6])
        return number if 0 < number < 65536 else None
    try:
        return socket.getservbyname(service, "tcp")
    except (OSError, UnicodeError, ValueError):
        return None


def is_address(name: str) -> bool:
    try:
        socket.inet_pton(socket.AF_INET6 if ":" in name else socket.AF_INET, name)
    except (OSError, UnicodeError, ValueError):
        return False
    return True
