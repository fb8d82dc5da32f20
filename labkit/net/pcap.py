"""Write a capture for Wireshark and tcpdump.

WHAT       `write_pcap`: the classic libpcap file format, each packet an IPv4 one without anything below it.
DOES       makes the packets that a machine would have sent for these segments: handshakes, sequence numbers,
           acknowledgements, checksums. They are made up here, and the same in every run; their contents,
           their order and their times (lab time) are what was recorded.
SIMPLER    no losses, no windows that fill up, no resets, no fragments: the lab's wire is a perfect one.
STANDARDS  RFC 791, RFC 768, RFC 9293 §3.1 (header), §3.5 (handshake), §3.6 (close); RFC 1071 (checksum)
READ NEXT  wire.py
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterable
from datetime import datetime, timedelta, timezone
from typing import BinaryIO

from labkit.net.talk import TCP, UDP, Place, Segment, likely_client

LINKTYPE_RAW = 101  # packets begin with their IP header
FILE_HEADER = struct.pack("<IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 65535, LINKTYPE_RAW)  # stamps in microseconds
PACKET_HEADER = struct.Struct("<IIII")
LATEST = 2**32 * 1_000_000 - 1  # microseconds since 1970: what the format can say

LARGEST_SEGMENT = 1460  # octets: an Ethernet frame's 1500, less both headers
LARGEST_DATAGRAM = 65507
UNACKNOWLEDGED = 16 * LARGEST_SEGMENT  # octets after which a receiver who has nothing to say acknowledges
WINDOW = 65535
TTL = 64
DO_NOT_FRAGMENT = 0x4000
FIN, SYN, PSH, ACK = 0x01, 0x02, 0x08, 0x10
MSS_OPTION = struct.pack("!BBH", 2, 4, LARGEST_SEGMENT)

_EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)
_MICROSECOND = timedelta(microseconds=1)


def write_pcap(segments: Iterable[Segment], file: BinaryIO) -> None:
    """Write `segments`, which are in order, as one capture. Raises OSError if the file does."""
    _Capture(file).write(segments)


class _Capture:
    """The file, and the connections that are open at this point of it."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._now = 0  # microseconds since 1970, in lab time
        self._packets = 0
        self._calls = 0
        self._open: dict[frozenset[Place], _Connection] = {}

    def write(self, segments: Iterable[Segment]) -> None:
        self._file.write(FILE_HEADER)
        for segment in segments:
            # The lab's clock stands still, and a terminal's runs on: stamps may repeat, but do not go back.
            stamp = min((segment.at - _EPOCH) // _MICROSECOND, LATEST)
            self._now = max(self._now, stamp)
            if segment.protocol == TCP:
                self._tcp(segment)
            elif segment.kind == "data":
                self._udp(segment)

    def _udp(self, segment: Segment) -> None:
        payload = segment.payload[:LARGEST_DATAGRAM]
        ports = segment.source[1], segment.destination[1]
        before = struct.pack("!HHH", *ports, 8 + len(payload))
        self.packet(segment.source, segment.destination, UDP, before, b"", payload)

    def _tcp(self, segment: Segment) -> None:
        pair = frozenset((segment.source, segment.destination))
        connection = self._open.get(pair)
        if connection is not None and (segment.kind == "open" or not connection.can_send(segment)):
            connection.close()  # whose end nobody has recorded, and here the next one begins
            connection = None
        if connection is None:
            if segment.kind == "close":
                return
            connection = self._open[pair] = self._connect(segment)
        connection.take(segment)
        if connection.is_over:
            del self._open[pair]

    def _connect(self, segment: Segment) -> _Connection:
        ends = segment.source, segment.destination
        client = segment.source if segment.kind == "open" else likely_client(*ends)
        self._calls += 1
        return _Connection(self, client, ends[1] if client == ends[0] else ends[0], self._calls)

    def packet(
        self,
        source: Place,
        destination: Place,
        protocol: int,
        before: bytes,
        after: bytes,
        payload: bytes = b"",
    ) -> None:
        """Write one packet. `before` and `after` are its TCP or UDP header on both sides of the checksum."""
        length = len(before) + len(after) + 2 + len(payload)
        addresses = _octets_of(source[0]) + _octets_of(destination[0])
        pseudo_header = addresses + struct.pack("!HH", protocol, length)
        checksum = _checksum(pseudo_header + before + after + payload)
        if protocol == UDP and checksum == 0:  # RFC 768: that would mean that there is none
            checksum = 0xFFFF
        upper = before + struct.pack("!H", checksum) + after + payload
        self._packets += 1
        number = self._packets & 0xFFFF
        start = struct.pack("!BBHHHBB", 0x45, 0, 20 + length, number, DO_NOT_FRAGMENT, TTL, protocol)
        octets = start + struct.pack("!H", _checksum(start + addresses)) + addresses + upper
        seconds, microseconds = divmod(self._now, 1_000_000)
        self._file.write(PACKET_HEADER.pack(seconds, microseconds, len(octets), len(octets)) + octets)


class _End:
    """One end of a connection: what it has sent, and what it has acknowledged."""

    def __init__(self, place: Place, first_number: int) -> None:
        self.place = place
        self.next_number = first_number
        self.acknowledged = 0  # the other's number up to which this end has
        self.is_done = False


class _Connection:
    """One TCP connection. Made, it has shaken hands."""

    def __init__(self, capture: _Capture, client: Place, server: Place, number: int) -> None:
        self._capture = capture
        # RFC 9293 §3.4.1 wants numbers that nobody can guess; a capture wants the same ones in every run.
        names = f"{number} {client[0]} {client[1]} {server[0]} {server[1]}"
        self._client = _End(client, zlib.crc32(b"client " + names.encode()))
        self._server = _End(server, zlib.crc32(b"server " + names.encode()))
        self._send(self._client, SYN)
        self._send(self._server, SYN | ACK)
        self._send(self._client, ACK)

    @property
    def is_over(self) -> bool:
        return self._client.is_done and self._server.is_done

    def can_send(self, segment: Segment) -> bool:
        return not (segment.kind == "data" and self._end(segment).is_done)

    def take(self, segment: Segment) -> None:
        end = self._end(segment)
        if segment.kind == "close":
            self._finish(end)
        for start in range(0, len(segment.payload), LARGEST_SEGMENT):
            self._send(end, PSH | ACK, segment.payload[start : start + LARGEST_SEGMENT])
            other = self._other(end)
            if (end.next_number - other.acknowledged) % 2**32 >= UNACKNOWLEDGED:
                self._send(other, ACK)

    def close(self) -> None:
        self._finish(self._client)
        self._finish(self._server)

    def _finish(self, end: _End) -> None:
        if not end.is_done:
            self._send(end, FIN | ACK)
            end.is_done = True
            self._send(self._other(end), ACK)

    def _end(self, segment: Segment) -> _End:
        return self._client if segment.source == self._client.place else self._server

    def _other(self, end: _End) -> _End:
        return self._server if end is self._client else self._client

    def _send(self, end: _End, flags: int, payload: bytes = b"") -> None:
        other = self._other(end)
        options = MSS_OPTION if flags & SYN else b""
        end.acknowledged = other.next_number if flags & ACK else 0
        words = (20 + len(options)) // 4
        before = struct.pack(
            "!HHIIBBH",
            *(end.place[1], other.place[1], end.next_number, end.acknowledged, words << 4, flags, WINDOW),
        )
        self._capture.packet(end.place, other.place, TCP, before, b"\0\0" + options, payload)
        end.next_number = (end.next_number + len(payload) + bool(flags & (SYN | FIN))) % 2**32


def _octets_of(address: str) -> bytes:
    return bytes(map(int, address.split(".")))


def _checksum(octets: bytes) -> int:
    """RFC 1071: the complement of the ones' complement sum of all 16-bit words.

    2**16 is 1 modulo 65535, so the words' sum is the remainder of the whole taken as one number.
    """
    number = int.from_bytes(octets + bytes(len(octets) % 2), "big")
    return 0xFFFF - ((number % 0xFFFF) or (0xFFFF if number else 0))
