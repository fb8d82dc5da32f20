"""A connection without a socket: two asyncio transports, each feeding the other's protocol.

WHAT       `joined` makes the pair. What one end writes, the other end's protocol gets in a later turn of the
           loop: bytes in order, the same turns in every run. `loop.start_tls` works on it as on a socket.
DOES       flow control both ways: a reader who pauses makes the writer pause; end of file; close and abort.
LIKE       asyncio's socket transport. UNLIKE TCP, nothing is lost when an end closes before it has read all.
STANDARDS  Python's asyncio: Transports and Protocols
READ NEXT  memory.py
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from labkit.net.wire import CLOSED, CONNECTED, SENT, Wire

Place = tuple[str, int]  # address and port

HIGH_WATER, LOW_WATER = 64 * 1024, 16 * 1024  # octets unread at which a writer is told to pause, and to go on
CHUNK = 64 * 1024  # octets that a protocol is given at once, at most


class MemoryTransport(asyncio.Transport):
    """One end. `inbox` is what the other end wrote and this end's protocol was not given yet."""

    _start_tls_compatible = True  # asyncio asks before it puts TLS on top

    def __init__(
        self, loop: asyncio.AbstractEventLoop, here: Place, there: Place, wire: Wire | None = None
    ) -> None:
        super().__init__({"sockname": here, "peername": there})
        self._ends = here, there
        self._wire = wire
        self._loop = loop
        self._far: MemoryTransport
        self._protocol: asyncio.BaseProtocol | None = None
        self._inbox = bytearray()
        self._high, self._low = HIGH_WATER, LOW_WATER
        self._is_open = False  # connection_made was called
        self._is_reading = True
        self._is_woken = False  # a turn to read is on its way
        self._far_is_done = False  # no more will come into the inbox
        self._is_at_eof = False  # and the protocol knows
        self._is_done = False  # this end writes no more
        self._is_closing = False
        self._is_lost = False  # connection_lost was called
        self._writer_waits = False

    def open(self, protocol: asyncio.BaseProtocol) -> None:
        """Begin with this protocol: its connection_made is called in the next turn of the loop."""
        self._protocol = protocol
        self._loop.call_soon(self._begin)

    def _begin(self) -> None:
        self._is_open = True
        self._wake()
        self._tell(lambda protocol: protocol.connection_made(self))

    # --- reading ---

    def _wake(self) -> None:
        """Read in the next turn, if there is anything to read and somebody to read it."""
        has_news = bool(self._inbox) or (self._far_is_done and not self._is_at_eof)
        if has_news and self._is_open and self._is_reading and not self._is_woken and not self._is_closing:
            self._is_woken = True
            self._loop.call_soon(self._read)

    def _read(self) -> None:
        self._is_woken = False
        if self._is_closing or not self._is_reading:
            return
        if self._inbox:
            chunk = bytes(self._inbox[:CHUNK])
            del self._inbox[:CHUNK]
            self._far.may_go_on()
            self._tell(lambda protocol: _give(protocol, chunk))
        elif self._far_is_done and not self._is_at_eof:
            self._is_at_eof = True
            stays_open = self._tell(lambda protocol: protocol.eof_received())
            if not stays_open:
                self.close()
        self._wake()

    def pause_reading(self) -> None:
        self._is_reading = False

    def resume_reading(self) -> None:
        self._is_reading = True
        self._wake()

    def is_reading(self) -> bool:
        return self._is_reading and not self._is_closing

    # --- writing ---

    def write(self, data: bytes | bytearray | memoryview[Any]) -> None:
        if not isinstance(data, (bytes, bytearray, memoryview)):
            raise TypeError(f"data must be bytes-like, not {type(data).__name__}")
        if self._is_done and not self._is_closing:
            raise RuntimeError("cannot write after write_eof()")
        if self._is_closing or not data:
            return
        if self._far._is_closing:
            self.write_eof()
            self._lose_soon(ConnectionResetError("the other end has closed the connection"))
            return
        if self._wire is not None:
            self._wire.record(SENT, *self._ends, data)
        self._far._inbox += data
        self._far._wake()
        if self.get_write_buffer_size() > self._high and not self._writer_waits:
            self._writer_waits = True
            self._tell(lambda protocol: protocol.pause_writing())

    def may_go_on(self) -> None:
        """The other end has read: go on writing, if that was enough."""
        if self._writer_waits and self.get_write_buffer_size() <= self._low:
            self._writer_waits = False
            self._tell(lambda protocol: protocol.resume_writing())

    def write_eof(self) -> None:
        if not self._is_done:
            self._is_done = True
            if self._wire is not None:
                self._wire.record(CLOSED, *self._ends)
            self._far._far_is_done = True
            self._far._wake()

    def can_write_eof(self) -> bool:
        return True

    def get_write_buffer_size(self) -> int:
        return len(self._far._inbox)

    def get_write_buffer_limits(self) -> tuple[int, int]:
        return self._low, self._high

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        """As asyncio has it: each limit may be given alone. Raises ValueError unless high >= low >= 0."""
        high = high if high is not None else 4 * low if low is not None else HIGH_WATER
        low = low if low is not None else high // 4
        if not high >= low >= 0:
            raise ValueError(f"high ({high}) must be >= low ({low}) must be >= 0")
        self._high, self._low = high, low

    # --- the end ---

    def close(self) -> None:
        """What was written still arrives, then end of file; this end reads no more."""
        if not self._is_closing:
            self.write_eof()
            self._lose_soon(None)

    def abort(self) -> None:
        """As close, but what was not read yet is lost."""
        self._force_close(None)

    def _force_close(self, problem: BaseException | None) -> None:
        """As abort; asyncio's TLS layer calls it by this name."""
        if not self._is_closing:
            self._far._inbox.clear()
            self.write_eof()
            self._lose_soon(problem)

    def is_closing(self) -> bool:
        return self._is_closing

    def _lose_soon(self, problem: BaseException | None) -> None:
        if not self._is_closing:
            self._is_closing = True
            self._inbox.clear()
            self._far.may_go_on()
            self._far._far_is_done = True
            self._far._wake()
            self._loop.call_soon(self._lose, problem)

    def _lose(self, problem: BaseException | None) -> None:
        if not self._is_lost and self._protocol is not None:
            self._is_lost = True
            self._tell(lambda protocol: protocol.connection_lost(problem))
            self._protocol = None

    # --- the protocol ---

    def set_protocol(self, protocol: asyncio.BaseProtocol) -> None:
        self._protocol = protocol

    def get_protocol(self) -> asyncio.BaseProtocol:
        if self._protocol is None:
            raise RuntimeError("the connection is lost")
        return self._protocol

    def _tell(self, call: Callable[[Any], Any]) -> Any:
        """Call the protocol. What it raises ends the connection and is reported, as with a socket."""
        try:
            return call(self._protocol)
        except Exception as problem:
            self._loop.call_exception_handler(
                {
                    "message": "a protocol failed",
                    "exception": problem,
                    "transport": self,
                    "protocol": self._protocol,
                }
            )
            self._force_close(problem)
            return None


def _give(protocol: asyncio.Protocol | asyncio.BufferedProtocol, chunk: bytes) -> None:
    """Hand `chunk` to a protocol of either kind."""
    if not isinstance(protocol, asyncio.BufferedProtocol):
        protocol.data_received(chunk)
        return
    while chunk:
        room = memoryview(protocol.get_buffer(len(chunk)))
        taken = min(len(room), len(chunk))
        if not taken:
            raise RuntimeError("get_buffer() returned an empty buffer")
        room[:taken] = chunk[:taken]
        protocol.buffer_updated(taken)
        chunk = chunk[taken:]


def joined(
    loop: asyncio.AbstractEventLoop, one: Place, other: Place, wire: Wire | None = None
) -> tuple[MemoryTransport, MemoryTransport]:
    """Two transports that are the two ends of one connection from `one` to `other`; `wire` records it."""
    if wire is not None:
        wire.record(CONNECTED, one, other)
    here, there = MemoryTransport(loop, one, other, wire), MemoryTransport(loop, other, one, wire)
    here._far, there._far = there, here
    return here, there
