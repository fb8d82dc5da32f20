"""Captures as files: a reader of our own, which shares no code with the writer, checks every packet."""

from __future__ import annotations

import io
import struct
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone

import pytest

from labkit.net.pcap import LARGEST_SEGMENT, write_pcap
from labkit.net.talk import TCP, UDP, Place, Segment

CLIENT, SERVER, OTHER = ("203.0.113.11", 49152), ("198.51.100.2", 25), ("203.0.113.11", 49153)
MONDAY = datetime(2026, 9, 7, 9, 0, tzinfo=timezone.utc)
FIN, SYN, RST, PSH, ACK = 1, 2, 4, 8, 16


# --- an independent reader: RFC 791, RFC 768, RFC 9293 ---


@dataclass
class Packet:
    stamp: tuple[int, int]
    protocol: int
    source: Place
    destination: Place
    payload: bytes
    flags: int = 0
    number: int = 0
    acknowledged: int = 0


def checksum_is_right(octets: bytes) -> bool:
    """Add the 16-bit words, carry around, and find all ones (RFC 1071 §1)."""
    total = 0
    for index in range(0, len(octets), 2):
        total += octets[index] * 256 + (octets[index + 1] if index + 1 < len(octets) else 0)
    while total > 0xFFFF:
        total = (total & 0xFFFF) + (total >> 16)
    return total == 0xFFFF


def packets(capture: bytes) -> Iterator[Packet]:
    """Read a capture; each header and checksum must be right, and the stamps must not go back."""
    magic, major, minor, zone, accuracy, longest, link = struct.unpack("<LHHlLLL", capture[:24])
    assert (magic, major, minor, zone, accuracy, link) == (0xA1B2C3D4, 2, 4, 0, 0, 101)
    at, last = 24, (0, 0)
    while at < len(capture):
        seconds, microseconds, kept, length = struct.unpack("<LLLL", capture[at : at + 16])
        assert microseconds < 1_000_000
        assert (seconds, microseconds) >= last
        assert kept == length <= longest
        packet = capture[at + 16 : at + 16 + kept]
        assert len(packet) == kept
        yield ip_packet(packet, (seconds, microseconds))
        at, last = at + 16 + kept, (seconds, microseconds)


def ip_packet(octets: bytes, stamp: tuple[int, int]) -> Packet:
    assert octets[0] == 0x45, "IPv4, no options"
    assert int.from_bytes(octets[2:4], "big") == len(octets)
    assert int.from_bytes(octets[6:8], "big") & 0x3FFF == 0, "not a fragment"
    assert octets[8] > 0, "time to live"
    assert checksum_is_right(octets[:20])
    protocol, addresses, upper = octets[9], octets[12:20], octets[20:]
    assert checksum_is_right(addresses + bytes([0, protocol]) + len(upper).to_bytes(2, "big") + upper)
    source_port, destination_port = struct.unpack(">HH", upper[:4])
    source = ".".join(str(number) for number in addresses[:4]), source_port
    destination = ".".join(str(number) for number in addresses[4:]), destination_port
    if protocol == UDP:
        assert int.from_bytes(upper[4:6], "big") == len(upper)
        assert upper[6:8] != b"\0\0", "has a checksum"
        return Packet(stamp, protocol, source, destination, upper[8:])
    assert protocol == TCP
    number, acknowledged, offset, flags, window, _, urgent = struct.unpack(">LLBBHHH", upper[4:20])
    header = (offset >> 4) * 4
    assert (window, urgent, offset & 15) == (65535, 0, 0)
    assert upper[20:header] == (b"\x02\x04\x05\xb4" if flags & SYN else b"")
    return Packet(stamp, protocol, source, destination, upper[header:], flags, number, acknowledged)


@dataclass
class Stream:
    """What one end sent, as its receiver puts it together."""

    next_number: int
    heard: bytearray = field(default_factory=bytearray)
    is_over: bool = False
    acknowledged: int = 0  # up to where the other end has


class Connection:
    """Both streams. Every number, acknowledgement and flag must be what RFC 9293 wants."""

    def __init__(self, call: Packet) -> None:
        assert (call.flags, call.acknowledged) == (SYN, 0), "a connection begins with SYN"
        self.client, self.server = call.source, call.destination
        self.ends = {call.source: Stream(call.number + 1)}
        self.wants_handshake = [(self.server, SYN | ACK), (self.client, ACK)]

    @property
    def is_over(self) -> bool:
        return len(self.ends) == 2 and all(stream.is_over for stream in self.ends.values())

    def take(self, packet: Packet) -> None:
        if self.wants_handshake:
            assert (packet.source, packet.flags) == self.wants_handshake.pop(0)
        if packet.flags & SYN:
            self.ends[packet.source] = Stream(packet.number + 1)
        stream, other = self.ends[packet.source], self.ends[packet.destination]
        assert packet.acknowledged == other.next_number % 2**32, "all is acknowledged"
        other.acknowledged = other.next_number
        if packet.flags & SYN:
            return
        assert packet.number == stream.next_number % 2**32, "in order, nothing missing, nothing twice"
        assert packet.flags in (ACK, PSH | ACK, FIN | ACK)
        assert bool(packet.payload) == (packet.flags == PSH | ACK)
        assert len(packet.payload) <= 1460
        assert not (stream.is_over and packet.flags != ACK), "nothing comes after FIN"
        stream.heard += packet.payload
        stream.is_over |= bool(packet.flags & FIN)
        stream.next_number += len(packet.payload) + bool(packet.flags & FIN)
        assert stream.next_number - stream.acknowledged <= 65535, "fits into the window"

    def as_text(self) -> str:
        streams = [self.ends[self.client], self.ends[self.server]]
        return " / ".join(f"{stream.heard.decode()}{'.' if stream.is_over else ''}" for stream in streams)


def connections(capture: bytes) -> list[Connection]:
    """Put all streams together."""
    found: list[Connection] = []
    current: dict[frozenset[Place], Connection] = {}
    for packet in packets(capture):
        if packet.protocol == TCP:
            pair = frozenset((packet.source, packet.destination))
            connection = current.get(pair)
            if connection is None or (connection.is_over and packet.flags == SYN):
                current[pair] = Connection(packet)
                found.append(current[pair])
            else:
                connection.take(packet)
    assert all(not connection.wants_handshake for connection in found)
    return found


# --- what is written ---


def capture(*segments: Segment) -> bytes:
    file = io.BytesIO()
    write_pcap(segments, file)
    return file.getvalue()


def told(story: str, *, seconds: float = 0) -> list[Segment]:
    """Segments of a story: "open C, C hi, S ho, close C"; D is a second client."""
    flows = {"C": (CLIENT, SERVER), "S": (SERVER, CLIENT), "D": (OTHER, SERVER), "T": (SERVER, OTHER)}
    segments = []
    for number, step in enumerate(story.split(", ") if story else []):
        at = MONDAY + timedelta(seconds=seconds * number)
        first, second = step.split(" ")
        if first in ("open", "close"):
            segments.append(Segment(at, number, *flows[second], TCP, "open" if first == "open" else "close"))
        else:
            segments.append(Segment(at, number, *flows[first], TCP, "data", second.encode()))
    return segments


@pytest.mark.parametrize(
    "story, streams, because",
    [
        ("", [], "nothing was said"),
        ("open C", [" / "], "a call and no word"),
        ("open C, S 220, C QUIT, S 221, close S, close C", ["QUIT. / 220221."], "a dialogue"),
        ("open C, C a, C b, close C, close S", ["ab. / ."], "one end only speaks"),
        ("open C, C a, close C, S b, close S", ["a. / b."], "half closed"),
        ("open C, S a", [" / a"], "still open"),
        ("open C, S a, close S", [" / a."], "the client has not hung up yet"),
        ("open C, open D, C a, D b, S c, T d, close C, close D", ["a. / c", "b. / d"], "two at a time"),
        ("S a, C b", ["b / a"], "nobody saw the call: the higher port called"),
        ("close C, close S", [], "nor anything else"),
        ("open C, C a, close C, close S, open C, C b", ["a. / .", "b / "], "the ports are used again"),
        ("open C, C a, open C, C b", ["a. / .", "b / "], "again, and nobody saw the end"),
        ("open C, C a, close C, C b", ["a. / .", "b / "], "nor the second call"),
        ("open C, close C, close C, close S, close S", [". / ."], "who hangs up twice hangs up once"),
    ],
)
def test_streams(story: str, streams: list[str], because: str) -> None:
    assert [c.as_text() for c in connections(capture(*told(story)))] == streams, because


@pytest.mark.parametrize("octets", [0, 1, 2, 1459, 1460, 1461, 2920, 65536, 300_001])
def test_sizes(octets: int) -> None:
    content = bytes(number % 251 for number in range(octets))
    written = capture(*told("open C"), Segment(MONDAY, 1, CLIENT, SERVER, TCP, "data", content))
    (connection,) = connections(written)
    assert connection.ends[CLIENT].heard == content
    sizes = [len(packet.payload) for packet in packets(written) if packet.payload]
    assert len(sizes) == -(-octets // LARGEST_SEGMENT)


def test_numbers_go_around(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("labkit.net.pcap.zlib.crc32", lambda octets: 2**32 - 1000)
    content = bytes(10_000)
    written = capture(
        *told("open C"),
        Segment(MONDAY, 1, CLIENT, SERVER, TCP, "data", content),
        *told("S ok, close S, close C"),
    )
    (connection,) = connections(written)
    assert connection.as_text() == content.decode() + ". / ok."


@pytest.mark.parametrize(
    "payload, because",
    [
        (b"", "an empty one"),
        (b"question", "a usual one"),
        (b"odd", "an odd length, for the checksum"),
        (bytes(65507), "the longest"),
    ],
)
def test_datagrams(payload: bytes, because: str) -> None:
    resolver, nameserver = ("203.0.113.11", 49152), ("192.0.2.53", 53)
    (packet,) = packets(capture(Segment(MONDAY, 0, resolver, nameserver, UDP, "data", payload)))
    assert (packet.source, packet.destination, packet.payload) == (resolver, nameserver, payload), because


def test_a_checksum_of_zero_is_written_as_ones() -> None:
    """RFC 768: zero means that there is none. One payload in 65536 has it."""
    ends = ("203.0.113.11", 49152), ("192.0.2.53", 53)
    for first in range(65536):
        payload = first.to_bytes(2, "big")
        total = sum(struct.unpack(">4H", bytes([203, 0, 113, 11, 192, 0, 2, 53]))) + 17 + 10 + 49152 + 53 + 10
        total += first
        if (total & 0xFFFF) + (total >> 16) == 0xFFFF:
            break
    (packet,) = packets(written := capture(Segment(MONDAY, 0, *ends, UDP, "data", payload)))
    assert written[-4:-2] == b"\xff\xff"
    assert packet.payload == payload


@pytest.mark.parametrize(
    "times, stamps, because",
    [
        ([0, 1.5], [0, 1.5], "lab time"),
        ([0, 345_600], [0, 345_600], "the clock jumps four days"),
        ([10, 5, 11], [10, 10, 11], "a terminal's clock was ahead: stamps do not go back"),
        ([0.000_001], [0.000_001], "to the microsecond"),
    ],
)
def test_stamps(times: list[float], stamps: list[float], because: str) -> None:
    ends = ("203.0.113.11", 49152), ("192.0.2.53", 53)
    segments = [Segment(MONDAY + timedelta(seconds=t), 0, *ends, UDP, "data", b"x") for t in times]
    start = int(MONDAY.timestamp())
    read = [p.stamp[0] - start + p.stamp[1] / 1e6 for p in packets(capture(*segments))]
    assert read == pytest.approx(stamps), because


@pytest.mark.parametrize("year, seconds", [(1901, 0), (1970, 0), (2106, 4_291_747_200), (3000, 2**32 - 1)])
def test_times_that_the_format_cannot_say(year: int, seconds: int) -> None:
    at = datetime(year, 1, 1, tzinfo=timezone.utc)
    (packet,) = packets(capture(Segment(at, 0, CLIENT, SERVER, UDP, "data", b"x")))
    assert packet.stamp[0] == seconds


def test_the_same_in_every_run() -> None:
    story = told("open C, S 220, open D, C QUIT, S 221, close S, close C, T 220", seconds=0.25)
    assert capture(*story) == capture(*story)
    assert len({packet.number for packet in packets(capture(*story)) if packet.flags & SYN}) == 4


def test_the_reader_sees_any_broken_bit() -> None:
    """It would be no judge otherwise."""
    story = told("open C, S 220, C QUIT, close S, close C")
    datagram = Segment(MONDAY, 9, ("203.0.113.11", 49152), ("192.0.2.53", 53), UDP, "data", b"question")
    whole = capture(*story, datagram)
    at = 24
    while at < len(whole):
        length = int.from_bytes(whole[at + 8 : at + 12], "little")
        for index in range(at + 16, at + 16 + length):
            broken = bytearray(whole)
            broken[index] ^= 1 << index % 8
            with pytest.raises(AssertionError):
                connections(bytes(broken))
        at += 16 + length
