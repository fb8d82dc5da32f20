"""The network of a command that runs as its own process: the lab, if it is in one, and this machine's loopback.

WHAT       `ThisMachine` is a Network of one process, which calls and listens.
DECIDES    a lab address is where the world has put it; 127/8 is this machine; nobody else is called, and nothing
           listens elsewhere. Questions to the nameserver are the exception: the lab's if there is one, else those of
           /etc/resolv.conf.
RULES      waits in real time, and not long. In a lab only its own people may call: this user, root, and whom LABNET
           names.
READ NEXT  the room cli
"""

from __future__ import annotations

import asyncio
import errno
import socket
from collections.abc import Callable, Sequence
from itertools import pairwise

import dns.exception
import dns.resolver

from labkit.net.callers import may_call
from labkit.net.listeners import Place, TcpListener
from labkit.net.network import Accept, Answer, HostSilent, Listener, Network, Peer, refused, report
from labkit.net.programs.labnet_facts import Facts
from labkit.net.translation import LOCALHOST, AddressTable, real_address

NAMESERVER = "the nameserver"  # stands for whichever is asked
DNS_PATIENCE = 2.0  # seconds for one answer
PATIENCE = 10.0  # seconds for a connection


class NotCalled(OSError):
    """A host outside; the text says so."""


class ThisMachine(Network):
    """What a command can reach. `facts`: of the lab it is in; None: of none."""

    name = "this machine"

    def __init__(self, facts: Facts | None) -> None:
        table = AddressTable()
        for address in facts.addresses if facts else ():
            try:
                table.add(address)
            except ValueError:
                continue
        super().__init__(table)
        self._facts = facts or Facts()
        self._patience = self._facts.patience or PATIENCE
        self._arrivals: set[asyncio.Task[None]] = set()
        self.nameservers: list[tuple[str, int]] = _nameservers(facts)

    def real_place(self, address: str, port: int) -> tuple[str, int]:
        """Where a call goes. Raises NotCalled."""
        if address in self.addresses:
            return real_address(address), self._facts.real_port(port)
        if address.startswith("127.") or address == "::1":
            return address, port
        raise NotCalled(f"labkit-exim calls nobody outside this machine and its lab, so not {address}")

    async def connect(
        self, source: str, address: str, port: int, make: Callable[[], asyncio.BaseProtocol]
    ) -> asyncio.Transport:
        loop = asyncio.get_running_loop()
        if address == NAMESERVER:
            if not self.nameservers:
                raise refused(address, port)
            place, here = self.nameservers[0], None
        else:
            place = self.real_place(address, port)
            here = (real_address(source), 0) if source in self.addresses else None
        try:
            calling = loop.create_connection(make, *place, local_addr=here)
            transport, _ = await asyncio.wait_for(calling, self._patience)
        except asyncio.TimeoutError:
            raise HostSilent(errno.ETIMEDOUT, f"{address} port {port} does not answer") from None
        return transport

    async def exchange_datagram(self, source: str, address: str, port: int, payload: bytes) -> bytes | None:
        loop = asyncio.get_running_loop()
        for place in self.nameservers:
            family = socket.AF_INET6 if ":" in place[0] else socket.AF_INET
            with socket.socket(family, socket.SOCK_DGRAM) as outgoing:
                outgoing.setblocking(False)
                try:
                    outgoing.connect(place)
                    await loop.sock_sendall(outgoing, payload)
                    return await asyncio.wait_for(loop.sock_recv(outgoing, 65535), DNS_PATIENCE)
                except (OSError, asyncio.TimeoutError):
                    continue
        return None

    async def listen(self, address: str, port: int, accept: Accept, *, speaks_first: bool = True) -> Listener:
        """Raises OSError (EADDRINUSE; NotCalled for an address that is neither of the lab nor in 127/8)."""
        place = self.real_place(address, port)

        def welcome(caller: socket.socket, source: Place) -> None:
            if not may_call(source, caller.getsockname(), self._facts.callers):
                caller.close()
                return
            arrival = asyncio.get_running_loop().create_task(self._arrive(accept, caller, source))
            self._arrivals.add(arrival)
            arrival.add_done_callback(self._arrivals.discard)

        return TcpListener(place, welcome)

    async def _arrive(self, accept: Accept, caller: socket.socket, source: Place) -> None:
        peer = self.peer(source)
        try:
            loop = asyncio.get_running_loop()
            await loop.connect_accepted_socket(lambda: accept(peer), caller)
        except Exception as problem:  # a fault of ours: the others are served all the same
            caller.close()
            report(f"no server for the call from {peer}", problem)

    def peer(self, source: Place) -> Peer:
        """Who calls from a real place, in the lab's words; who has no address in the lab, in this machine's."""
        return Peer(
            self.addresses.lab_address(source[0]) or source[0] or LOCALHOST, source[1], is_foreign=True
        )

    async def listen_datagrams(self, address: str, port: int, answer: Answer) -> Listener:
        raise OSError(errno.EOPNOTSUPP, "a command listens nowhere")

    def foreign_connections(self) -> list[Peer]:
        return []

    async def close(self) -> None:
        self.is_closed = True


def _nameservers(facts: Facts | None) -> list[tuple[str, int]]:
    if facts is not None:
        return [facts.dns] if facts.dns else []
    try:
        found: Sequence[object] = dns.resolver.Resolver(configure=True).nameservers
    except (OSError, dns.exception.DNSException):
        return []
    return [(str(each), 53) for each in found if str(each).replace(".", "").replace(":", "").isalnum()]


def interface_addresses() -> tuple[str, ...]:
    """The IPv4 addresses of this machine's interfaces, loopback last."""
    found: dict[str, None] = {}
    try:
        with open("/proc/net/fib_trie", encoding="ascii") as table:
            lines = table.read().splitlines()
    except OSError:
        lines = []
    for above, line in pairwise(lines):
        if "/32 host LOCAL" in line:
            found[above.rpartition(" ")[2]] = None
    return tuple(sorted(found, key=lambda address: address.startswith("127."))) or ("127.0.0.1",)
