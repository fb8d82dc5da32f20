"""One conversation as it was on the wire, and how to read it.

WHAT       a `Segment` is what one end sent at once, or that it opened or closed the connection; a `Talk` is one
           TCP connection, or one exchange of datagrams.
DOES       `Talk.text` shows SMTP line by line, TLS record by record, DNS message by message.
RULES      all octets are shown or counted; what cannot be printed is escaped, as it may come from anybody.
STANDARDS  RFC 5321 §2.3.8 (lines), RFC 8446 §5.1 (TLS records), RFC 1035 §4.2 (DNS over UDP and TCP)
READ NEXT  wire.py
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from labkit.smtp.transcript import readable

Place = tuple[str, int]  # a lab address and a lab port

TCP, UDP = 6, 17  # as the IP header numbers them
DNS_PORT = 53
TLS_HEADER = 5  # octets: type, version, length
TLS_RECORDS = {
    20: "change_cipher_spec",
    21: "alert",
    22: "handshake",
    23: "application_data",
}  # RFC 8446 §5.1
TLS_FIRST = (b"\x15\x03", b"\x16\x03")  # what TLS can begin with: an alert or a handshake, of version 3.x


@dataclass(frozen=True, slots=True)
class Segment:
    """What `source` did: it sent `payload` (one datagram, or a piece of a stream), it called, or it hung up."""

    at: datetime  # lab time
    real_ns: int  # real time: what orders the records of several programs
    source: Place
    destination: Place
    protocol: int
    kind: Literal["data", "open", "close"]
    payload: bytes = b""


@dataclass(frozen=True, slots=True)
class Talk:
    """One TCP connection, or one exchange of datagrams, in order."""

    client: Place
    server: Place
    opened_at: datetime
    segments: tuple[Segment, ...]

    @property
    def protocol(self) -> int:
        return self.segments[0].protocol

    def text(self) -> str:
        """A heading, then what was said: a line for each line, "C: " or "S: " in front."""
        return "\n".join([self._heading(), *(f"{who}: {said}" for who, said in self.said())])

    def _heading(self) -> str:
        (caller, from_port), (called, to_port) = self.client, self.server
        transport = "UDP, " if self.protocol == UDP else ""
        return f"{caller} port {from_port} to {called} port {to_port}, {transport}{self.opened_at:%Y-%m-%d %H:%M:%S %Z}"

    def said(self) -> Iterator[tuple[str, str]]:
        """Who ("C" or "S"), and one line of it."""
        if self.protocol == UDP:
            for segment in self.segments:
                yield self._letter(segment), _datagram(segment.payload, self.server[1])
            return
        framing = _dns_message if self.server[1] == DNS_PORT else _line
        speakers = {"C": _Speaker(framing), "S": _Speaker(framing)}
        wants_tls = False
        for segment in self.segments:
            letter = self._letter(segment)
            for said in speakers[letter].hear(segment.payload):
                if speakers[letter].is_in_clear:
                    # A content may hold any octets: a client's TLS begins at the start, or when it was told to go on.
                    if letter == "C":
                        wants_tls, speakers["C"].may_begin_tls = said.strip().upper() == "STARTTLS", False
                    elif wants_tls and said.startswith("220"):
                        speakers["C"].may_begin_tls = True
                yield letter, said
        for letter, speaker in speakers.items():
            if speaker.unread:
                yield letter, speaker.remainder()

    def _letter(self, segment: Segment) -> str:
        return "C" if segment.source == self.client else "S"


def likely_client(one: Place, other: Place) -> Place:
    """Who called, where nobody has seen the call: a server has the lower port."""
    return one if one[1] >= other[1] else other


Framing = Callable[[bytearray], "str | None"]  # take one thing off what is unread; None: it is not all there


class _Speaker:
    """What one end says, cut into lines or records wherever its segments begin and end."""

    def __init__(self, framing: Framing) -> None:
        self.unread = bytearray()
        self.may_begin_tls = framing is _line
        self._framing = framing

    @property
    def is_in_clear(self) -> bool:
        return self._framing is _line

    def hear(self, octets: bytes) -> Iterator[str]:
        self.unread += octets
        while self.unread:
            if self.may_begin_tls and self.unread[:2] in TLS_FIRST:
                self._framing = _tls_record
            said = self._framing(self.unread)
            if said is None:
                return
            yield said

    def remainder(self) -> str:
        """What never became complete."""
        if self._framing is _tls_record:
            name, length = _tls_header(self.unread)
            return f"(TLS: {name} record, {len(self.unread)} of {length or '?'} octets)"
        what = "no line end" if self.is_in_clear else "not a whole message"
        return f"{readable(bytes(self.unread))} ({what})"


def _line(unread: bytearray) -> str | None:
    """One line without its CRLF. A line feed alone is no line end in SMTP: there it is shown."""
    end = unread.find(b"\n")
    if end < 0:
        return None
    line = bytes(unread[: end + 1])
    del unread[: end + 1]
    return readable(line.removesuffix(b"\r\n"))


def _tls_record(unread: bytearray) -> str | None:
    name, length = _tls_header(unread)
    if length is None or len(unread) < length:
        return None
    del unread[:length]
    return f"(TLS: {name} record, {length} octets)"


def _tls_header(unread: bytearray) -> tuple[str, int | None]:
    """The name of a record's type, and all its octets, the header's too; None before the header is there."""
    name = TLS_RECORDS.get(unread[0], f"unknown type {unread[0]}")
    length = TLS_HEADER + int.from_bytes(unread[3:5], "big") if len(unread) >= TLS_HEADER else None
    return name, length


def _dns_message(unread: bytearray) -> str | None:
    """DNS over TCP: two octets of length, then the message."""
    end = 2 + int.from_bytes(unread[:2], "big")
    if len(unread) < max(end, 2):
        return None
    message = bytes(unread[2:end])
    del unread[:end]
    return _dns(message)


def _datagram(payload: bytes, port: int) -> str:
    return _dns(payload) if port == DNS_PORT else f"({len(payload)} octets) {readable(payload)}"


def _dns(octets: bytes) -> str:
    """One line for a DNS message. Its random number is left out, so that two runs print the same."""
    # Only here: a lab in memory without names needs no DNS library.
    import dns.flags
    import dns.message
    import dns.rcode
    import dns.rdatatype

    try:
        message = dns.message.from_wire(octets)
        asked = ", ".join(f"{q.name} {dns.rdatatype.to_text(q.rdtype)}" for q in message.question)
        if not message.flags & dns.flags.QR:
            return _printable(f"(DNS query: {asked})")
        given = [
            f"{records.name} {records.ttl} {dns.rdatatype.to_text(records.rdtype)} {record}"
            for records in message.answer
            for record in records
        ]
        cut = ["truncated"] if message.flags & dns.flags.TC else []
        said = "; ".join([*given, *cut] or ["no records"])
        return _printable(f"(DNS answer to {asked}: {dns.rcode.to_text(message.rcode())}: {said})")
    except Exception:  # whatever the octets do to the library, the reader sees them
        return f"(no DNS message, {len(octets)} octets) {readable(octets)}"


def _printable(text: str) -> str:
    return readable(text.encode("utf-8", "backslashreplace"))


def exchanges(datagrams: Iterable[Segment]) -> list[Talk]:
    """Datagrams put together: a question (and its repetitions) with what came back, by pairs of places.

    DNS numbers its questions: what is asked at the same time, from the same port, is told apart.
    """
    talks: list[list[Segment]] = []
    current: dict[tuple[frozenset[Place], bytes], list[Segment]] = {}
    for segment in datagrams:
        is_dns = DNS_PORT in (segment.source[1], segment.destination[1])
        pair = frozenset((segment.source, segment.destination)), segment.payload[: 2 * is_dns]
        talk = current.get(pair)
        is_answered = talk is not None and any(said.source != talk[0].source for said in talk)
        if talk is None or (is_answered and segment.source == talk[0].source):
            talk = current[pair] = []
            talks.append(talk)
        talk.append(segment)
    return [_exchange(talk) for talk in talks]


def _exchange(said: list[Segment]) -> Talk:
    return Talk(said[0].source, said[0].destination, said[0].at, tuple(said))
