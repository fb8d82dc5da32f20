"""The seam: all that a server, a client or a resolver knows of the network.

WHAT       `Network` connects hosts by lab addresses; loopback.py does it with sockets, memory.py without.
DOES       hands each caller to an asyncio protocol, carries datagrams, and can make an address silent (a fault).
RULES      addresses and ports are the lab's, on both sides of every call. Between two hosts of the lab nothing
           waits in real time: silence is known at once, and whoever wants to be patient spends lab time.
READ NEXT  loopback.py, memory.py
"""

from __future__ import annotations

import asyncio
import errno
from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass
from typing import ClassVar, Protocol

from labkit.net.translation import AddressTable
from labkit.net.wire import Wire

EPHEMERAL = range(49152, 65536)  # the ports of callers: RFC 6335 §6, they belong to nobody
DATAGRAM_PORT = EPHEMERAL[
    0
]  # where our own datagrams come from, in memory and in a capture: so two runs agree
LARGEST_DATAGRAM = 65507  # what UDP can carry over IPv4: 65535 octets less both headers


@dataclass(frozen=True, slots=True)
class Peer:
    """Who called: what a server is told. A caller that has no address of this lab shows as 127.0.0.1.

    `is_foreign`: the call was not made by this Network object but by some other program (swaks, dig, a real Exim).
    """

    address: str
    port: int
    is_foreign: bool = False

    def __str__(self) -> str:
        return f"{self.address} port {self.port}"


Accept = Callable[[Peer], asyncio.BaseProtocol]  # makes the server's side of one connection
Answer = Callable[[bytes, Peer], "bytes | None"]  # the reply to one datagram; None is silence


class HostSilent(TimeoutError):
    """Nothing came back. Raised at once: waiting for it, in lab time, is the caller's affair."""


class PortTaken(OSError):
    """Another program has the real port that is needed: make the network anew, with `base` in its `skip`."""

    def __init__(self, base: int, real_address: str, real_port: int) -> None:
        words = f"{real_address} port {real_port} is taken: the base {base} does not serve"
        super().__init__(errno.EADDRINUSE, words)
        self.base = base


class LoopbackUnavailable(RuntimeError):
    """This machine cannot carry a lab on its loopback; the text is one sentence that says why."""


class Listener(Protocol):
    """Something that listens until it is closed. Connections it accepted stay open."""

    def close(self) -> None: ...


class Network(ABC):
    """The lab's network. Made without a socket; the first need of one makes the first one.

    `wire` records what is sent from now on, in connections that begin from now on; None records nothing.
    `on_silence` hears of the silent places whenever they, or those `blocked`, change: programs outside have to be told.
    """

    name: ClassVar[str]
    wire: Wire | None = None

    def __init__(self, addresses: AddressTable | Iterable[str]) -> None:
        """`addresses` are those of all hosts. A table may be given, and grow later. Raises ValueError."""
        self.addresses = addresses if isinstance(addresses, AddressTable) else AddressTable(addresses)
        self.is_closed = False
        self._silent: set[tuple[str, int | None]] = set()
        self._refusing: set[str] = set()
        self._blocked: set[tuple[str, int]] = set()
        self.on_silence: Callable[[Collection[tuple[str, int | None]]], None] = lambda places: None
        self._waits_for_callers: set[tuple[str, int]] = set()
        self._connects = 0

    @abstractmethod
    async def listen(self, address: str, port: int, accept: Accept, *, speaks_first: bool = True) -> Listener:
        """Listen for TCP connections. `speaks_first` False: nothing is said there before the caller says something.

        Raises ValueError if no host has `address`, OSError (EADDRINUSE) if somebody in the lab listens there,
        PortTaken if somebody else does, LoopbackUnavailable.
        """

    @abstractmethod
    async def connect(
        self, source: str, address: str, port: int, make: Callable[[], asyncio.BaseProtocol]
    ) -> asyncio.Transport:
        """Connect from `source`, with the protocol that `make` makes.

        Raises ConnectionRefusedError if nobody listens there, HostSilent if the place is silent,
        ValueError if no host has the address `source`.
        """

    @abstractmethod
    async def listen_datagrams(self, address: str, port: int, answer: Answer) -> Listener:
        """Answer UDP datagrams. Raises as `listen` does."""

    @abstractmethod
    async def exchange_datagram(self, source: str, address: str, port: int, payload: bytes) -> bytes | None:
        """Send one datagram and return the reply; None is silence, and known at once.

        Raises ValueError if no host has the address `source` or if `payload` is too long for a datagram.
        """

    @abstractmethod
    def foreign_connections(self) -> list[Peer]:
        """The callers from other programs that are connected right now, in order of arrival."""

    @abstractmethod
    async def close(self) -> None:
        """Close all listeners and connections and let go of the ports. May be called again."""

    def silence(self, address: str, port: int | None = None, on: bool = True) -> None:
        """Make a place swallow whatever is sent to it, or (`on=False`) end that. No port means the whole host.

        Connections that are open stay so. Ending the silence of a host leaves its ports that were
        silenced one by one as they are. Raises ValueError if no host has that address.
        """
        self._expect_host(address)
        if on:
            self._silent.add((address, port))
        else:
            self._silent.discard((address, port))
        self.on_silence(frozenset(self._silent))

    def refuse(self, address: str, on: bool = True) -> None:
        """Let a host refuse all TCP connections to it, though it listens; or (`on=False`) end that.

        Connections that are open stay so. It is for listeners of this Network: a program's own are not in its power.
        Raises ValueError if no host has that address.
        """
        self._expect_host(address)
        if on:
            self._refusing.add(address)
        else:
            self._refusing.discard(address)

    def block(self, source: str, port: int, on: bool = True) -> None:
        """Let nothing out that `source` sends to this TCP port of any other host, as a cloud does with port 25.

        Its calls are swallowed like those to a silent place. Connections that are open stay so; other ports work, and
        what comes in does. Raises ValueError if no host has that address.
        """
        self._expect_host(source)
        if on:
            self._blocked.add((source, port))
        else:
            self._blocked.discard((source, port))
        self.on_silence(frozenset(self._silent))

    @property
    def blocked(self) -> frozenset[tuple[str, int]]:
        """Whose calls to which port do not get out."""
        return frozenset(self._blocked)

    def waits_for_callers(self, address: str, port: int) -> bool:
        """Whether who listens there in this lab says nothing before the caller does, as where TLS begins at once.

        A caller that waits for a banner there would wait for ever; it need not do so in real time.
        """
        return (address, port) in self._waits_for_callers

    def _note_manners(self, address: str, port: int, speaks_first: bool) -> None:
        if speaks_first:
            self._waits_for_callers.discard((address, port))
        else:
            self._waits_for_callers.add((address, port))

    def is_silent(self, address: str, port: int) -> bool:
        return (address, None) in self._silent or (address, port) in self._silent

    def _next_port(self) -> int:
        """The port our next call comes from: 49152, 49153, … whatever the kernel takes, so that two runs agree."""
        port = EPHEMERAL[self._connects % len(EPHEMERAL)]
        self._connects += 1
        return port

    def _expect_host(self, address: str) -> None:
        if self.is_closed:
            raise RuntimeError("this network is closed")
        if address not in self.addresses:
            raise ValueError(f"no host of this lab has the address {address}")

    def _expect_call(self, source: str, address: str, port: int) -> None:
        """Raise what a call can know before it is made."""
        self._expect_host(source)
        is_blocked = (source, port) in self._blocked and address != source
        if self.is_silent(address, port) or is_blocked:
            raise HostSilent(errno.ETIMEDOUT, f"{address} port {port} does not answer")
        if (
            address in self._refusing or address not in self.addresses
        ):  # never translated: it might really be somebody else's
            raise refused(address, port)

    def _expect_datagram(self, source: str, payload: bytes) -> None:
        self._expect_host(source)
        if len(payload) > LARGEST_DATAGRAM:
            raise ValueError(f"{len(payload)} octets do not fit into a datagram")


def answered(answer: Answer, payload: bytes, peer: Peer) -> bytes | None:
    """The reply of a datagram server. What it raises is reported as asyncio reports a protocol's, and is silence."""
    try:
        return answer(payload, peer)
    except Exception as problem:
        report(f"no answer to the datagram from {peer}", problem)
        return None


def report(message: str, problem: Exception) -> None:
    """Tell the loop's exception handler of a server's fault, as asyncio does with a protocol's."""
    asyncio.get_running_loop().call_exception_handler({"message": message, "exception": problem})


def refused(address: str, port: int) -> ConnectionRefusedError:
    """The error of a call to a place where nobody listens."""
    return ConnectionRefusedError(errno.ECONNREFUSED, f"nobody listens at {address} port {port}")


def in_use(address: str, port: int) -> OSError:
    """The error of a second listener at the same place of the lab."""
    return OSError(errno.EADDRINUSE, f"somebody listens at {address} port {port} already")
