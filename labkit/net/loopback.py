"""The network on real sockets: every lab address is an address in 127/8, and other programs can take part.

WHAT       `Loopback` is a Network whose hosts can be reached by swaks, dig, openssl and a real Exim.
DOES       translates addresses and ports, tells our own calls from foreign ones, lets in one Unix user only.
RULES      one base per world, claimed with the first socket; the running loop, no threads.
           A transport's `get_extra_info("peername")` tells the real address: believe the Peer.
READ NEXT  memory.py; then dns_zones.py
"""

from __future__ import annotations

import asyncio
import errno
import socket
from collections.abc import Callable, Collection, Iterable
from weakref import WeakKeyDictionary

from labkit.net.callers import may_call
from labkit.net.listeners import (
    Place,
    RecordedSocket,
    SilentPort,
    TcpListener,
    UdpListener,
    on_loopback,
    open_socket,
)
from labkit.net.network import (
    DATAGRAM_PORT,
    LARGEST_DATAGRAM,
    Accept,
    Answer,
    HostSilent,
    Listener,
    Network,
    Peer,
    PortTaken,
    answered,
    in_use,
    refused,
    report,
)
from labkit.net.port_base import FIRST_BASE, PortBase, claim_base
from labkit.net.talk import UDP
from labkit.net.translation import LAB_PORTS, LOCALHOST, AddressTable, real_address, real_port
from labkit.net.wire import RECEIVED, SENT

PATIENCE = 10.0  # seconds of real time for another program's listener, and for a datagram the kernel lost


class Loopback(Network):
    """The lab on this machine's loopback.

    `first_base` and `skip` say where to look for a base: after PortTaken, try again with its base in `skip`.
    `users` are uids that may call besides our own and root (the one that runs a real Exim in a container).
    """

    name = "loopback"

    def __init__(
        self,
        addresses: AddressTable | Iterable[str],
        *,
        first_base: int = FIRST_BASE,
        skip: Collection[int] = (),
        users: Collection[int] = (),
    ) -> None:
        super().__init__(addresses)
        self.users = users
        self._first_base, self._skip = first_base, skip
        self._base: PortBase | None = None
        self._doors: dict[Place, _Door] = {}  # by lab address and port
        self._mailslots: dict[Place, _Mailslot] = {}
        self._silent_ports: dict[Place, SilentPort] = {}
        # our own calls that no door has answered yet: where each really comes from, and its port in the lab
        self._calls: dict[Place, int] = {}
        self._connections: WeakKeyDictionary[asyncio.Transport, Peer | None] = WeakKeyDictionary()
        self._arrivals: set[asyncio.Task[None]] = set()

    def claim(self) -> int:
        """The base of this world's ports, claimed now if it was not yet. Raises LoopbackUnavailable."""
        if self.is_closed:
            raise RuntimeError("this network is closed")
        if self._base is None:
            self._base = claim_base(self._first_base, self._skip)
            self._arrange_silence()
        return self._base.number

    def real_place(self, address: str, port: int) -> Place:
        """Where a lab address and port really are (port 0: any). Raises ValueError, LoopbackUnavailable."""
        base = self.claim()
        return on_loopback((real_address(address), real_port(base, port) if port else 0))

    # --- TCP ---

    async def listen(self, address: str, port: int, accept: Accept, *, speaks_first: bool = True) -> Listener:
        self._expect_host(address)
        if (address, port) in self._doors:
            raise in_use(address, port)
        door = _Door(self, (address, port), accept)
        if not self.is_silent(address, port) and address not in self._refusing:
            door.open()
        self._doors[address, port] = door
        self._note_manners(address, port, speaks_first)
        self._arrange_silence()
        return door

    async def connect(
        self, source: str, address: str, port: int, make: Callable[[], asyncio.BaseProtocol]
    ) -> asyncio.Transport:
        self._expect_call(source, address, port)
        place = self.real_place(address, port)
        loop = asyncio.get_running_loop()
        outgoing = open_socket(socket.SOCK_STREAM, self.real_place(source, 0))
        here: Place = outgoing.getsockname()
        is_ours = (address, port) in self._doors
        if is_ours:
            self._calls[here] = self._next_port()  # before the call, so that the door knows whose it is
        if self.wire is not None:
            ends = (source, self._calls.get(here, here[1])), (address, port)
            outgoing = RecordedSocket(outgoing, self.wire, *ends)
        try:
            await asyncio.wait_for(loop.sock_connect(outgoing, place), PATIENCE)
            if isinstance(outgoing, RecordedSocket):
                outgoing.connected(hears=not is_ours)
            transport, _ = await loop.create_connection(make, sock=outgoing)
        except BaseException as problem:
            self._calls.pop(here, None)
            outgoing.close()
            if isinstance(problem, asyncio.TimeoutError):
                raise HostSilent(errno.ETIMEDOUT, f"{address} port {port} does not answer") from None
            if isinstance(problem, (ConnectionRefusedError, ConnectionResetError)):
                raise refused(address, port) from None
            raise
        self._connections[transport] = None
        if self.is_closed:  # while we called
            transport.abort()
            raise refused(address, port)
        return transport

    def welcome(self, door: _Door, caller: socket.socket, place: Place) -> None:
        """Take in an accepted connection: ours at once, a foreign one if its user may call."""
        lab_port = self._calls.pop(place, None)
        is_foreign = lab_port is None
        if not door.is_open or (is_foreign and not may_call(place, caller.getsockname(), self.users)):
            caller.close()
            return
        peer = self.peer((place[0], lab_port or place[1]), is_foreign)
        if self.wire is not None:
            ends = door.place, (peer.address, peer.port)
            caller = RecordedSocket(caller, self.wire, *ends)
            caller.accepted(hears=is_foreign)
        arrival = asyncio.get_running_loop().create_task(self._arrive(door, caller, peer))
        self._arrivals.add(arrival)
        arrival.add_done_callback(self._arrivals.discard)

    async def _arrive(self, door: _Door, caller: socket.socket, peer: Peer) -> None:
        loop = asyncio.get_running_loop()
        try:
            transport, _ = await loop.connect_accepted_socket(lambda: door.accept(peer), caller)
        except Exception as problem:  # the server's: report it as asyncio reports a protocol's, and go on
            caller.close()
            report(f"no server for the call from {peer}", problem)
        else:
            self._connections[transport] = peer

    def foreign_connections(self) -> list[Peer]:
        callers = [(transport, peer) for transport, peer in self._connections.items() if peer is not None]
        return [peer for transport, peer in callers if peer.is_foreign and not transport.is_closing()]

    # --- UDP ---

    async def listen_datagrams(self, address: str, port: int, answer: Answer) -> Listener:
        self._expect_host(address)
        if (address, port) in self._mailslots:
            raise in_use(address, port)
        mailslot = _Mailslot(self, (address, port), answer)
        self._mailslots[address, port] = mailslot
        return mailslot

    async def exchange_datagram(self, source: str, address: str, port: int, payload: bytes) -> bytes | None:
        self._expect_datagram(source, payload)
        mailslot = self._mailslots.get((address, port))
        if mailslot is None or self.is_silent(address, port):
            if self.wire is not None:  # it left, and nothing came back
                self.wire.record(SENT, (source, DATAGRAM_PORT), (address, port), payload, protocol=UDP)
            return None
        listener = mailslot.listener
        with open_socket(socket.SOCK_DGRAM, self.real_place(source, 0)) as outgoing:
            outgoing.connect(listener.place)  # so that nobody else's datagram comes in
            here: Place = outgoing.getsockname()
            is_answered = listener.expect(here)
            if self.wire is not None:
                self.wire.record(SENT, (source, DATAGRAM_PORT), (address, port), payload, protocol=UDP)
            try:
                outgoing.send(payload)
                if not await asyncio.wait_for(is_answered, PATIENCE):
                    return None
                reply = asyncio.get_running_loop().sock_recv(outgoing, 65535)
                return await asyncio.wait_for(reply, PATIENCE)
            except (OSError, asyncio.TimeoutError):  # the kernel's buffers were full: lost, as elsewhere
                return None
            finally:
                listener.forget(here)

    # --- both ---

    def silence(self, address: str, port: int | None = None, on: bool = True) -> None:
        super().silence(address, port, on)
        if self._base is not None:
            self._arrange_silence()

    def refuse(self, address: str, on: bool = True) -> None:
        super().refuse(address, on)
        if self._base is not None:
            self._arrange_silence()

    def _arrange_silence(self) -> None:
        """Let other programs find silence where the lab has it: of a host, at its doors and LAB_PORTS."""
        wanted = {(address, p) for address, port in self._silent for p in ((port,) if port else LAB_PORTS)}
        wanted |= {place for place in self._doors if self.is_silent(*place)}
        for place in self._silent_ports.keys() - wanted:
            self._silent_ports.pop(place).close()
        for place, door in self._doors.items():
            if place in wanted or place[0] in self._refusing:
                door.shut()
            else:
                door.open()
        for place in wanted - self._silent_ports.keys():
            try:
                self._silent_ports[place] = SilentPort(self.real_place(*place))
            except OSError:  # another program listens there, and goes on for those who call it directly
                continue

    def peer(self, place: Place, is_foreign: bool) -> Peer:
        """Who calls from a real place. A source that is no address of the lab is shown as plain localhost."""
        address = self.addresses.lab_address(place[0])
        return Peer(address or LOCALHOST, place[1], is_foreign or address is None)

    def forget(self, listener: _Door | _Mailslot) -> None:
        for listeners in (self._doors, self._mailslots):
            if listeners.get(listener.place) is listener:
                del listeners[listener.place]

    async def close(self) -> None:
        self.is_closed = True
        listeners: list[Listener] = [*self._doors.values(), *self._mailslots.values()]
        for listener in (*listeners, *self._silent_ports.values()):
            listener.close()
        self._silent_ports.clear()
        await asyncio.gather(*self._arrivals, return_exceptions=True)
        for transport in list(self._connections):  # weak: the list keeps them
            transport.abort()
        for _ in range(3):  # connection_lost is called in the next turns of the loop, and closes the sockets
            await asyncio.sleep(0)
        if self._base is not None:
            self._base.close()
            self._base = None


class _Door:
    """A TCP listener of the lab. It is shut while its place is silent, or its host refuses."""

    def __init__(self, network: Loopback, place: Place, accept: Accept) -> None:
        self.place, self.accept = place, accept
        self._network = network
        self._listener: TcpListener | None = None

    @property
    def is_open(self) -> bool:
        return self._listener is not None

    def open(self) -> None:
        if self._listener is None:
            real = self._network.real_place(*self.place)
            try:
                self._listener = TcpListener(real, self._take)
            except OSError as problem:
                raise _explained(problem, self._network, real) from problem

    def _take(self, caller: socket.socket, place: Place) -> None:
        self._network.welcome(self, caller, place)

    def shut(self) -> None:
        if self._listener is not None:
            listener, self._listener = self._listener, None
            listener.accept_waiting()  # those who still wait are sent away, and are no calls of ours any more
            listener.close()

    def close(self) -> None:
        self.shut()
        self._network.forget(self)


class _Mailslot:
    """A UDP listener of the lab."""

    def __init__(self, network: Loopback, place: Place, answer: Answer) -> None:
        self.place, self.answer = place, answer
        self._network = network
        real = network.real_place(*place)
        try:
            self.listener = UdpListener(real, self._answered)
        except OSError as problem:
            raise _explained(problem, network, real) from problem

    def _answered(self, payload: bytes, sender: Place, is_foreign: bool) -> bytes | None:
        if self._network.is_silent(*self.place):
            return None
        peer, wire = self._network.peer(sender, is_foreign), self._network.wire
        ends = self.place, (peer.address, peer.port if is_foreign else DATAGRAM_PORT)
        if wire is not None and is_foreign:
            wire.record(RECEIVED, *ends, payload, protocol=UDP)
        reply = answered(self.answer, payload, peer)
        if wire is not None and reply is not None and len(reply) <= LARGEST_DATAGRAM:
            wire.record(SENT, *ends, reply, protocol=UDP)
        return reply

    def close(self) -> None:
        self.listener.close()
        self._network.forget(self)


def _explained(problem: OSError, network: Loopback, real: Place) -> OSError:
    return PortTaken(network.claim(), *real) if problem.errno == errno.EADDRINUSE else problem
