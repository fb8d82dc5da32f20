"""The capture of a lab: what every host put on the wire, in one order.

WHAT       `Wire` keeps what labkit's own sockets record, and reads the file to which other programs append.
DOES       joins both: each octet counts once, by its sender's record, or else by its receiver's.
RULES      recording never harms who records: a failure ends the recording, and `problem` says why. The file
           is whatever other programs have left there: what is no record is passed over.
           Memory is bounded: the oldest records are dropped.
READ NEXT  talk.py, pcap.py; who records: network.py, loopback.py, memory_transport.py
"""

from __future__ import annotations

import struct
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any, NamedTuple

from labkit.net.talk import TCP, UDP, Place, Segment, Talk, exchanges, likely_client

# What an end of a connection may record. The last two are ours alone: programs under the shim know no such records.
SENT, RECEIVED, CONNECTED, CLOSED, ACCEPTED, ENDED = "srcxae"

LARGEST_MEMORY = (
    8 * 1024 * 1024
)  # octets: of a thousand usual messages, on all their ways; one flood takes no more
A_RECORD = 256  # octets that a record takes besides its payload, about
LATE = 5_000_000_000  # nanoseconds: two ends note one event within them, and ports rest longer before the next use
EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)

# A record in the file, as the machine orders octets: magic, length of the payload, kind, protocol, own port,
# the other's port, 0, both addresses (network order), real time and lab time in ns since 1970; then the payload.
HEADER = struct.Struct("=4sIcBHHH4s4sqq")
MAGIC = b"LW1\n"
FILE_KINDS = (SENT, RECEIVED, CONNECTED, CLOSED)
LARGEST_PAYLOAD = 65535  # octets: the writers split what is longer


class Record(NamedTuple):
    """What one end, `own`, noted about a connection with `peer`."""

    real_ns: int
    at: datetime
    kind: str
    protocol: int
    own: Place
    peer: Place
    payload: bytes

    @property
    def flow(self) -> tuple[Place, Place]:
        """From whom to whom the octets went."""
        return (self.peer, self.own) if self.kind == RECEIVED else (self.own, self.peer)


class Wire:
    """One capture. `now` tells the lab time; `path` is the file of the programs under the shim, if there is one.

    `memory`: octets of our own records that are kept.
    """

    def __init__(
        self,
        path: Path | None = None,
        *,
        now: Callable[[], datetime] | None = None,
        memory: int = LARGEST_MEMORY,
    ) -> None:
        self.path = path
        self._memory = memory
        self.is_recording = True
        self.problem: Exception | None = None
        self._now = now or (lambda: datetime.now(timezone.utc))
        self._records: deque[Record] = deque()
        self._size = 0
        self._last_stamp = 0

    def stamp(self) -> int:
        """Real time in nanoseconds, and never the same twice, however coarse this machine's clock is."""
        self._last_stamp = max(time.time_ns(), self._last_stamp + 1)
        return self._last_stamp

    def record(
        self,
        kind: str,
        own: Place,
        peer: Place,
        payload: Any = b"",
        *,
        octets: int | None = None,
        protocol: int = TCP,
        real_ns: int | None = None,
    ) -> None:
        """Note what the end `own` did; of `payload` (any buffer) the first `octets`. Never raises.

        Who notes a sending when it is done gives the `stamp` of before it as `real_ns`: in another process
        the answer may be quicker than the note.
        """
        if not self.is_recording:
            return
        try:
            copy = bytes(payload) if octets is None else bytes(memoryview(payload)[:octets])
            stamp = self.stamp() if real_ns is None else real_ns
            self._records.append(Record(stamp, self._now(), kind, protocol, own, peer, copy))
            self._size += len(copy) + A_RECORD
            while self._size > self._memory:
                self._size -= len(self._records.popleft().payload) + A_RECORD
        except Exception as problem:  # mail goes on without being recorded
            self.is_recording, self.problem = False, problem

    def segments(self) -> list[Segment]:
        """Everything in real order, each octet once. A connection's "open" is the first of its segments."""
        records = self._all_records()
        found = [segment for talk in _connections(records) for segment in talk.segments]
        found += _datagrams(records)
        return sorted(found, key=lambda segment: segment.real_ns)

    def conversations(self, protocol: int = TCP) -> list[Talk]:
        """The TCP connections, or for UDP the exchanges of datagrams, oldest first."""
        records = self._all_records()
        return exchanges(_datagrams(records)) if protocol == UDP else _connections(records)

    def _all_records(self) -> list[Record]:
        records = [*self._records, *self._records_of_file()]
        return sorted(records, key=lambda record: record.real_ns)

    def _records_of_file(self) -> Iterable[Record]:
        try:
            content = self.path.read_bytes() if self.path is not None else b""
        except OSError:  # nobody has written yet, or the folder is gone
            return ()
        return read_records(content)


def read_records(content: bytes) -> Iterator[Record]:
    """The records in a file's content; torn ones and foreign octets are passed over."""
    at = content.find(MAGIC)
    while at >= 0:
        record = _record_at(content, at)
        end = at + HEADER.size + len(record.payload) if record else at + 1
        following = content.find(MAGIC, end)
        if record and following != end and end != len(content) and _is_torn(content, at, end):
            following = content.find(MAGIC, at + 1)
        elif record:
            yield record
        at = following


def _record_at(content: bytes, start: int) -> Record | None:
    body = start + HEADER.size
    if body > len(content):
        return None
    header = HEADER.unpack_from(content, start)
    _, length, kind, protocol, own_port, peer_port, _, own, peer, real_ns, lab_ns = header
    kind = kind.decode("latin-1")
    if length > LARGEST_PAYLOAD or body + length > len(content):
        return None
    if kind not in FILE_KINDS or protocol not in (TCP, UDP):
        return None
    try:
        at = EPOCH + timedelta(microseconds=lab_ns // 1000)
    except OverflowError:
        return None
    ends = (_written(own), own_port), (_written(peer), peer_port)
    return Record(real_ns, at, kind, protocol, *ends, content[body : body + length])


def _is_torn(content: bytes, start: int, end: int) -> bool:
    """True if a record that is not followed by one has another in its payload: its own end was never written."""
    reach = end + len(MAGIC) - 1  # where it may begin with the last octet
    inner = content.find(MAGIC, start + 1, reach)
    while inner >= 0:
        if _record_at(content, inner) is not None:
            return True
        inner = content.find(MAGIC, inner + 1, reach)
    return False


def _written(address: bytes) -> str:
    return ".".join(map(str, address))


def _datagrams(records: Iterable[Record]) -> list[Segment]:
    """The datagrams: as their senders recorded them, or the receivers where no sender of that flow did."""
    datagrams = [r for r in records if r.protocol == UDP and r.kind in (SENT, RECEIVED)]
    recorded = {record.flow for record in datagrams if record.kind == SENT}
    return [_data(r) for r in datagrams if r.kind == SENT or r.flow not in recorded]


def _data(record: Record) -> Segment:
    return Segment(record.at, record.real_ns, *record.flow, record.protocol, "data", record.payload)


# --- connections: the same two places may be used again, and both ends may have recorded ---


def _connections(records: Iterable[Record]) -> list[Talk]:
    current: dict[frozenset[Place], _Connection] = {}
    found: list[_Connection] = []
    for record in records:
        if record.protocol != TCP:
            continue
        pair = frozenset((record.own, record.peer))
        connection = current.get(pair)
        if connection is None or not connection.includes(record):
            connection = current[pair] = _Connection()
            found.append(connection)
        connection.add(record)
    return [connection.talk() for connection in found if not connection.is_empty]


class _Connection:
    """The records of both ends of one TCP connection."""

    def __init__(self) -> None:
        self._records: list[Record] = []
        self._ends: set[Place] = set()  # who has recorded anything
        self._closed: set[Place] = set()  # who has hung up, as it seems

    def add(self, record: Record) -> None:
        self._records.append(record)
        self._ends.add(record.own)
        if record.kind in (CLOSED, ENDED):
            self._closed.add(record.own if record.kind == CLOSED else record.peer)

    def includes(self, record: Record) -> bool:
        """False if this record is of another connection between the same places."""
        if record.kind in (
            CONNECTED,
            ACCEPTED,
        ):  # the first that an end notes; the other may have been quicker
            return record.own not in self._ends and record.real_ns - self._records[0].real_ns < LATE
        both_closed = len(self._closed) == 2
        return not both_closed or record.real_ns - self._records[-1].real_ns < LATE

    @property
    def is_empty(self) -> bool:
        return all(record.kind in (CLOSED, ENDED) for record in self._records)

    def talk(self) -> Talk:
        first = self._records[0]
        client = self._client()
        server = first.peer if client == first.own else first.own
        segments = [*self._flow(client, server), *self._flow(server, client)]
        segments.sort(key=lambda segment: segment.real_ns)
        if any(record.kind in (CONNECTED, ACCEPTED) for record in self._records):
            segments.insert(0, Segment(first.at, first.real_ns, client, server, TCP, "open"))
        return Talk(client, server, first.at, tuple(segments))

    def _client(self) -> Place:
        for record in self._records:
            if record.kind in (CONNECTED, ACCEPTED):
                return record.own if record.kind == CONNECTED else record.peer
        return likely_client(self._records[0].own, self._records[0].peer)

    def _flow(self, source: Place, destination: Place) -> Iterator[Segment]:
        """What `source` sent, and its end. Who recorded more is believed, the sender if both agree."""
        sent = [r for r in self._records if r.kind == SENT and r.own == source]
        heard = [r for r in self._records if r.kind == RECEIVED and r.own == destination]
        data = sent if _octets(sent) >= _octets(heard) else heard
        yield from map(_data, data)
        end = self._end(source, destination)
        if end is not None:
            last = max([end.real_ns, *(record.real_ns for record in data[-1:])])
            yield Segment(end.at, last, source, destination, TCP, "close")

    def _end(self, source: Place, destination: Place) -> Record | None:
        """The record of `source`'s hanging up.

        A process that forked may have closed its copy only: what was said later shows that it was not the end.
        """
        for record in reversed(self._records):
            if record.own == source and record.kind in (CLOSED, SENT):
                if record.kind == CLOSED:
                    return record
                break
        ends = (r for r in self._records if r.kind == ENDED and r.own == destination)
        return next(ends, None)


def _octets(records: Iterable[Record]) -> int:
    return sum(len(record.payload) for record in records)
