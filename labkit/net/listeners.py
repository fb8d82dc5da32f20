"""The sockets of the lab: what listens on loopback, and the one place that keeps everything on loopback.

WHAT       `open_socket` (bound, inside 127/8 or not at all), `TcpListener`, `UdpListener`, `RecordedSocket`,
           and `SilentPort`, a place that swallows connection attempts as a firewall does.
DOES       runs in the current asyncio loop, without threads. A listener that cannot accept (no descriptor is
           left) tries again later.
STANDARDS  RFC 1122 §3.2.1.3 (g); listen(2), ip(7)
READ NEXT  loopback.py
"""

from __future__ import annotations

import asyncio
import errno
import socket
from collections.abc import Callable
from typing import Any

from labkit.net.wire import ACCEPTED, CLOSED, CONNECTED, ENDED, RECEIVED, SENT, Wire

Place = tuple[str, int]  # a real address and port

BACKLOG = 128  # callers the kernel keeps waiting; and as many, or as many datagrams, are taken in one go
ACCEPT_RETRY = 0.5  # seconds of real time after which a listener without descriptors tries again
_NO_RESOURCES = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM})


def on_loopback(place: Place) -> Place:
    """The same place. Raises ValueError outside 127/8: no socket of the lab goes there."""
    if not place[0].startswith("127.") or place[0].count(".") != 3:
        raise ValueError(f"{place[0]} is not on loopback")
    return place


def open_socket(kind: socket.SocketKind, place: Place, reuse: bool = False) -> socket.socket:
    """A non-blocking socket bound to `place`; port 0 lets the kernel choose. Raises OSError, ValueError.

    `reuse` is for TCP listeners: it passes over connections in TIME-WAIT, and never over a listener.
    """
    protocol = socket.IPPROTO_TCP if kind is socket.SOCK_STREAM else socket.IPPROTO_UDP
    opened = socket.socket(socket.AF_INET, kind, protocol)  # asyncio sets TCP_NODELAY if it sees IPPROTO_TCP
    try:
        opened.setblocking(False)
        if reuse:
            opened.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        opened.bind(on_loopback(place))
    except BaseException:
        opened.close()
        raise
    return opened


class RecordedSocket(socket.socket):
    """A connection whose octets are recorded as they are on the wire, below TLS. It replaces a plain socket.

    What it sends is always recorded; what it receives if it `hears`: unless the other end is one of these, too.
    """

    def __init__(self, plain: socket.socket, wire: Wire, here: Place, there: Place) -> None:
        super().__init__(plain.family, plain.type, plain.proto, fileno=plain.detach())
        self.setblocking(False)
        self._wire, self._ends = wire, (here, there)
        self._began = wire.stamp()  # before the call
        self._is_open = self._hears = False

    def connected(self, hears: bool) -> None:
        self._is_open, self._hears = True, hears
        self._wire.record(CONNECTED, *self._ends, real_ns=self._began)

    def accepted(self, hears: bool) -> None:
        self._is_open, self._hears = True, hears
        if hears:  # else the caller notes it
            self._wire.record(ACCEPTED, *self._ends, real_ns=self._began)

    def send(self, data: Any, *flags: int) -> int:
        began = self._wire.stamp()
        sent = super().send(data, *flags)
        self._wire.record(SENT, *self._ends, data, octets=sent, real_ns=began)
        return sent

    def sendmsg(self, buffers: Any, *rest: Any) -> int:  # asyncio's way from Python 3.12 on
        buffers, began = list(buffers), self._wire.stamp()
        sent = super().sendmsg(buffers, *rest)
        unrecorded = sent
        for buffer in buffers:
            octets = min(len(buffer), unrecorded)
            unrecorded -= octets
            if octets:
                self._wire.record(SENT, *self._ends, buffer, octets=octets, real_ns=began)
        return sent

    def recv(self, *size_and_flags: int) -> bytes:
        data = super().recv(*size_and_flags)
        if self._hears:
            self._wire.record(RECEIVED if data else ENDED, *self._ends, data)
        return data

    def recv_into(self, buffer: Any, *size_and_flags: int) -> int:
        octets = super().recv_into(buffer, *size_and_flags)
        if self._hears:
            self._wire.record(RECEIVED if octets else ENDED, *self._ends, buffer, octets=octets)
        return octets

    def shutdown(self, how: int) -> None:
        self._record_end()
        super().shutdown(how)

    def close(self) -> None:
        self._record_end()
        if self._hears:  # whatever the other end goes on to say, it is not heard any more
            self._hears = False
            self._wire.record(ENDED, *self._ends)
        super().close()

    def _record_end(self) -> None:
        if self._is_open:
            self._is_open = False
            self._wire.record(CLOSED, *self._ends)


class TcpListener:
    """Accepts in the running loop and hands each connection to `take`, which must not raise."""

    def __init__(self, place: Place, take: Callable[[socket.socket, Place], None]) -> None:
        self._loop = asyncio.get_running_loop()
        self._take = take
        self._retry: asyncio.TimerHandle | None = None
        self._socket = open_socket(socket.SOCK_STREAM, place, reuse=True)
        try:
            self._socket.listen(BACKLOG)
        except OSError:
            self._socket.close()
            raise
        self._loop.add_reader(self._socket, self.accept_waiting)

    def accept_waiting(self) -> None:
        """Take the callers who wait."""
        for _ in range(BACKLOG):
            try:
                caller, address = self._socket.accept()
            except (BlockingIOError, InterruptedError):
                return
            except OSError as problem:
                if problem.errno in _NO_RESOURCES:
                    self._rest()
                    return
                continue  # that caller is gone again (accept(2): treat network errors like EAGAIN)
            caller.setblocking(False)
            self._take(caller, address)

    def _rest(self) -> None:
        """The socket stays readable while no descriptor is free: look away, or the loop would spin."""
        self._loop.remove_reader(self._socket)
        self._retry = self._loop.call_later(ACCEPT_RETRY, self._go_on)

    def _go_on(self) -> None:
        self._loop.add_reader(self._socket, self.accept_waiting)

    def close(self) -> None:
        if self._retry is not None:
            self._retry.cancel()
        if self._socket.fileno() >= 0:
            self._loop.remove_reader(self._socket)
            self._socket.close()


class UdpListener:
    """Answers datagrams in the running loop. `answer` must not raise.

    The sender of a datagram in this process, who waits on `expect`, learns at once if there is no reply.
    """

    def __init__(self, place: Place, answer: Callable[[bytes, Place, bool], bytes | None]) -> None:
        self._loop = asyncio.get_running_loop()
        self._answer = answer
        self._expected: dict[Place, asyncio.Future[bool]] = {}
        self.place = place
        self._socket = open_socket(socket.SOCK_DGRAM, place)  # SO_REUSEADDR would let a second one bind here
        self._loop.add_reader(self._socket, self._answer_waiting)

    def expect(self, sender: Place) -> asyncio.Future[bool]:
        """Becomes True when a reply was sent to `sender`, False when there will be none."""
        return self._expected.setdefault(sender, self._loop.create_future())

    def forget(self, sender: Place) -> None:
        self._expected.pop(sender, None)

    def _answer_waiting(self) -> None:
        for _ in range(BACKLOG):
            try:
                payload, sender = self._socket.recvfrom(65535)
            except OSError:  # nothing is left, or an old ICMP error is reported
                return
            expected = self._expected.get(sender)
            reply = self._answer(payload, sender, expected is None)
            is_sent = reply is not None and self._send(reply, sender)
            if expected is not None and not expected.done():
                expected.set_result(is_sent)

    def _send(self, reply: bytes, sender: Place) -> bool:
        try:
            self._socket.sendto(reply, on_loopback(sender))
        except OSError:  # longer than a datagram can be, or the sender is gone: UDP promises nothing
            return False
        return True

    def close(self) -> None:
        if self._socket.fileno() >= 0:
            self._loop.remove_reader(self._socket)
            self._socket.close()
        for expected in self._expected.values():
            if not expected.done():
                expected.set_result(False)


class SilentPort:
    """A port at which other programs' connection attempts time out.

    A listener that never accepts, whose one waiting place is taken: Linux drops further SYNs (listen(2)),
    so callers see what a firewall that drops makes them see. Raises OSError if the port is in use; port 0 takes any.
    """

    def __init__(self, place: Place) -> None:
        self._listener = open_socket(socket.SOCK_STREAM, place, reuse=True)
        self.place: Place = self._listener.getsockname()
        self._plug = open_socket(socket.SOCK_STREAM, (place[0], 0))
        try:
            self._listener.listen(0)
            self._plug.connect_ex(on_loopback(self.place))
        except OSError:
            self.close()
            raise

    def close(self) -> None:
        self._plug.close()
        self._listener.close()
