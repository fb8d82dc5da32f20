"""The network in memory: the same lab without a single socket.

WHAT       `Memory` is a Network for tests, for machines without 127/8 and for the browser.
DOES       everything in turns of the running loop, the same in every run; no other program can take part.
READ NEXT  dns_zones.py
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from typing import Generic, TypeVar
from weakref import WeakKeyDictionary

from labkit.net.memory_transport import MemoryTransport, joined
from labkit.net.network import (
    DATAGRAM_PORT,
    LARGEST_DATAGRAM,
    Accept,
    Answer,
    Listener,
    Network,
    Peer,
    answered,
    in_use,
    refused,
    report,
)
from labkit.net.talk import UDP
from labkit.net.translation import AddressTable
from labkit.net.wire import SENT

Place = tuple[str, int]
T = TypeVar("T")


class Memory(Network):
    """The lab in memory."""

    name = "memory"

    def __init__(self, addresses: AddressTable | Iterable[str]) -> None:
        super().__init__(addresses)
        self._doors: dict[Place, Accept] = {}
        self._mailslots: dict[Place, Answer] = {}
        self._connections: WeakKeyDictionary[MemoryTransport, None] = WeakKeyDictionary()

    async def listen(self, address: str, port: int, accept: Accept, *, speaks_first: bool = True) -> Listener:
        self._expect_host(address)
        listening = _Listening(self._doors, (address, port), accept)
        self._note_manners(address, port, speaks_first)
        return listening

    async def connect(
        self, source: str, address: str, port: int, make: Callable[[], asyncio.BaseProtocol]
    ) -> asyncio.Transport:
        self._expect_call(source, address, port)
        if (address, port) not in self._doors:
            raise refused(address, port)
        loop = asyncio.get_running_loop()
        protocol = make()
        here, there = joined(loop, (source, self._next_port()), (address, port), self.wire)
        self._connections.update({here: None, there: None})
        here.open(protocol)
        loop.call_soon(self._welcome, (address, port), there)
        await asyncio.sleep(0)  # a turn of the loop: connection_made has been called
        return here

    def _welcome(self, place: Place, transport: MemoryTransport) -> None:
        """Give the server's side its protocol. A caller whose listener closed in this moment is cut off."""
        peer = Peer(*transport.get_extra_info("peername"))
        accept = self._doors.get(place)
        if accept is None:
            transport.abort()
            return
        try:
            protocol = accept(peer)
        except Exception as problem:  # the server's: report it as asyncio reports a protocol's, and go on
            transport.abort()
            report(f"no server for the call from {peer}", problem)
        else:
            transport.open(protocol)

    async def listen_datagrams(self, address: str, port: int, answer: Answer) -> Listener:
        self._expect_host(address)
        return _Listening(self._mailslots, (address, port), answer)

    async def exchange_datagram(self, source: str, address: str, port: int, payload: bytes) -> bytes | None:
        self._expect_datagram(source, payload)
        sender = Peer(source, DATAGRAM_PORT)
        here, there = (source, sender.port), (address, port)
        if self.wire is not None:
            self.wire.record(SENT, here, there, payload, protocol=UDP)
        await asyncio.sleep(0)  # as with sockets, others may run before the answer comes
        answer = self._mailslots.get((address, port))
        if answer is None or self.is_silent(address, port):
            return None
        reply = answered(answer, payload, sender)
        if reply is None or len(reply) > LARGEST_DATAGRAM:
            return None
        if self.wire is not None:
            self.wire.record(SENT, there, here, reply, protocol=UDP)
        return reply

    def foreign_connections(self) -> list[Peer]:
        return []

    async def close(self) -> None:
        self.is_closed = True
        self._doors.clear()
        self._mailslots.clear()
        for transport in list(self._connections):
            transport.abort()
        for _ in range(3):  # connection_lost is called in the next turns of the loop
            await asyncio.sleep(0)


class _Listening(Generic[T]):
    """An entry in a table of listeners, until it is closed."""

    def __init__(self, table: dict[Place, T], place: Place, listening: T) -> None:
        if place in table:
            raise in_use(*place)
        self._table, self._place, self._listening = table, place, listening
        table[place] = listening

    def close(self) -> None:
        if self._table.get(self._place) is self._listening:
            del self._table[self._place]
