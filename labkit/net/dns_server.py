"""The lab's nameserver: authoritative for its zones, over UDP and TCP, with faults to switch on.

WHAT       `DnsServer` answers queries from `Zones`; what is edited there is seen by the next query.
DOES       EDNS0, truncation, TCP with many queries in one connection; REFUSED for names that are not ours.
           Records keep the order of the zone file, in every answer. It never answers an answer, and no bytes
           make it fail. `servfail` and `silent` break it, for a name, a zone or altogether.
DNSSEC     it answers as a validating resolver on one's own machine does: AD says that all of an answer stands in signed
           zones, to clients that set AD or DO; CD asks for what is there, unchecked. AD is its word: it signs nothing.
STANDARDS  RFC 1035 §4 (messages, TCP), RFC 6891 (EDNS0), RFC 7766 (TCP), RFC 9619 (one question); RFC 4035 §3.2.2,
           RFC 6840 §5.8 (CD, AD)
READ NEXT  resolver.py
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import cast

import dns.exception
import dns.flags
import dns.message
import dns.name
import dns.rdatatype
from dns.message import Message, QueryMessage
from dns.name import Name
from dns.opcode import Opcode
from dns.rcode import Rcode
from dns.rdataclass import RdataClass
from dns.rdatatype import RdataType

from labkit.net.dns_lookup import Finding, look_up
from labkit.net.dns_zones import Zones
from labkit.net.network import Listener, Network, Peer

DNS_PORT = 53
HEADER = 12  # octets
SMALLEST_UDP = 512  # octets that every client takes (RFC 1035 §4.2.1)
LARGEST_UDP = 4096  # octets we send, if the client takes so many (RFC 6891 §6.2.5)
LARGEST_TCP = 65535  # two octets of length (RFC 1035 §4.2.2)
IDLE_TIMEOUT = 10.0  # seconds of real time for another program's TCP connection (RFC 7766 §6.2.3)
QUERIES_AT_ONCE = 32  # of one connection
MOST_KNOWN = 1000  # responses that are at hand for the next one who asks the same
TRANSFERS = (RdataType.AXFR, RdataType.IXFR)
SILENCE = "SILENCE"  # what `on_query` is told instead of a response code

OnQuery = Callable[[str, str, str], None]


class DnsServer:
    """A nameserver. `on_query` is told name, type and response code (or SILENCE) of each query."""

    def __init__(self, zones: Zones, on_query: OnQuery | None = None) -> None:
        self.zones = zones
        self.on_query = on_query
        self._failing: set[Name] = set()
        self._silent: set[Name] = set()
        self._listeners: list[Listener] = []
        # by the octets of a query, but for its id: those of the response, and what `on_query` is told
        self._known: dict[bytes, tuple[bytes, Name, RdataType, str]] = {}
        self._known_version = zones.version

    async def start(self, network: Network, address: str, port: int = DNS_PORT) -> None:
        """Listen at a lab address, UDP and TCP; may be called for several. Raises as Network.listen does."""
        datagrams = await network.listen_datagrams(address, port, self.answer_datagram)
        try:
            stream = await network.listen(address, port, lambda peer: _Conversation(self, peer))
        except BaseException:
            datagrams.close()
            raise
        self._listeners += [datagrams, stream]

    def close(self) -> None:
        """Stop listening."""
        while self._listeners:
            self._listeners.pop().close()

    def servfail(self, name: str, on: bool = True) -> None:
        """Answer SERVFAIL to questions for `name` and everything below it; or no longer. Raises ValueError."""
        _switch(self._failing, name, on)
        self._known.clear()

    def silent(self, name: str = ".", on: bool = True) -> None:
        """Do not answer at all for `name` and what is below it: "." is everything. Raises ValueError."""
        _switch(self._silent, name, on)
        self._known.clear()

    def answer_datagram(self, payload: bytes, peer: Peer) -> bytes | None:
        """The response to a UDP query; None is silence. Too long a response is cut short, with TC set."""
        if self._known_version != self.zones.version or len(self._known) > MOST_KNOWN:
            self._known, self._known_version = {}, self.zones.version
        if known := self._known.get(payload[2:]):
            octets, name, rdtype, rcode = known
            self._tell(name, rdtype, rcode)
            return payload[:2] + octets
        response = self.respond(payload)
        if not isinstance(response, Message):
            return response
        room = min(max(response.request_payload, SMALLEST_UDP), LARGEST_UDP)
        octets = _written(response, room)
        question = response.question[0]
        known = octets[2:], question.name, question.rdtype, Rcode(response.rcode()).name
        self._known[payload[2:]] = known
        return octets

    def answer_stream(self, payload: bytes) -> bytes | None:
        """The response to a query that came by TCP, without its length; None is silence."""
        response = self.respond(payload)
        return _written(response, LARGEST_TCP) if isinstance(response, Message) else response

    def respond(self, payload: bytes) -> Message | bytes | None:
        """The response as a message, or as octets where the query was not even readable; None is silence."""
        if len(payload) < HEADER or payload[2] & 0x80:  # not a query: an answer to it could go on for ever
            return None
        opcode = payload[2] >> 3 & 15
        if opcode != Opcode.QUERY:
            return _bare_response(payload, Rcode.NOTIMP)
        try:
            query = dns.message.from_wire(payload)
        except Exception:  # dnspython has many names for octets that make no message
            return _bare_response(payload, Rcode.FORMERR)
        if len(query.question) != 1:  # RFC 9619 §4
            return _bare_response(payload, Rcode.FORMERR)
        return self._respond_to(cast(QueryMessage, query))

    def _respond_to(self, query: QueryMessage) -> Message | None:
        question = query.question[0]
        name = question.name
        if _is_below(name, self._silent):
            self._tell(name, question.rdtype, SILENCE)
            return None
        finding = self._find(query)
        response = dns.message.make_response(query, our_payload=LARGEST_UDP)
        response.set_rcode(finding.rcode)
        if finding.is_authoritative:
            response.flags |= dns.flags.AA
        if finding.is_secure and (query.flags & dns.flags.AD or query.ednsflags & dns.flags.DO):
            response.flags |= dns.flags.AD
        response.answer.extend(finding.answer)
        response.authority.extend(finding.authority)
        response.additional.extend(finding.additional)
        self._tell(name, question.rdtype, finding.rcode.name)
        return response

    def _find(self, query: QueryMessage) -> Finding:
        question = query.question[0]
        refusal = None
        if query.edns > 0:
            refusal = Rcode.BADVERS  # RFC 6891 §6.1.3
        elif question.rdclass != RdataClass.IN or question.rdtype in TRANSFERS:
            refusal = Rcode.REFUSED
        elif dns.rdatatype.is_metatype(question.rdtype) and question.rdtype != RdataType.ANY:
            refusal = Rcode.NOTIMP
        elif _is_below(question.name, self._failing):
            refusal = Rcode.SERVFAIL
        if refusal is not None:
            return Finding(refusal, is_authoritative=False)
        checks = not query.flags & dns.flags.CD
        return look_up(self.zones, question.name, question.rdtype, checks=checks)

    def _tell(self, name: Name, rdtype: RdataType, rcode: str) -> None:
        if self.on_query is not None:
            self.on_query(plain(name), dns.rdatatype.to_text(rdtype), rcode)


class _Conversation(asyncio.Protocol):
    """A TCP connection: each query, and each response, after its length in two octets."""

    def __init__(self, server: DnsServer, peer: Peer) -> None:
        self._server, self._peer = server, peer
        self._received = bytearray()
        self._is_ended = False  # the client sends no more
        self._is_paused = False  # the client does not read
        self._timer: asyncio.TimerHandle | None = None
        self._transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._be_patient()

    def data_received(self, data: bytes) -> None:
        self._received += data
        self._be_patient()
        self._go_on()

    def eof_received(self) -> bool:
        self._is_ended = True
        self._go_on()
        return True  # what was asked is still answered; then we close

    def _go_on(self) -> None:
        """Answer what has come in completely, some queries in one turn of the loop: others want theirs."""
        for _ in range(QUERIES_AT_ONCE):
            if self._is_paused or self._transport.is_closing():
                return
            query = take_message(self._received)
            if query is None:
                if self._is_ended:
                    self._transport.close()
                return
            self._answer(query)
        asyncio.get_running_loop().call_soon(self._go_on)

    def _answer(self, query: bytes) -> None:
        response = self._server.answer_stream(query)
        if response is not None:
            self._transport.write(len(response).to_bytes(2, "big") + response)
        elif len(query) < HEADER or not self._peer.is_foreign:
            self._transport.close()  # in the lab nobody waits in real time: the end of file is the silence

    def pause_writing(self) -> None:
        """Who does not read our answers gets no more of them."""
        self._is_paused = True
        self._transport.pause_reading()

    def resume_writing(self) -> None:
        self._is_paused = False
        self._transport.resume_reading()
        self._go_on()

    def connection_lost(self, problem: Exception | None) -> None:
        if self._timer is not None:
            self._timer.cancel()

    def _be_patient(self) -> None:
        """Give another program its time anew. Patience with hosts of the lab is theirs to have."""
        if self._peer.is_foreign:
            if self._timer is not None:
                self._timer.cancel()
            self._timer = asyncio.get_running_loop().call_later(IDLE_TIMEOUT, self._transport.abort)


def take_message(received: bytearray) -> bytes | None:
    """Take the first message off a TCP stream (RFC 1035 §4.2.2), or None if it is not complete yet."""
    length = int.from_bytes(received[:2], "big")
    if len(received) < 2 + length or len(received) < 2:
        return None
    message = bytes(received[2 : 2 + length])
    del received[: 2 + length]
    return message


def plain(name: Name) -> str:
    """A name as people write it: lower case, without the final dot; the root is "."."""
    return name.to_text(omit_final_dot=True).lower()


def _bare_response(query: bytes, rcode: Rcode) -> bytes:
    """A header with id, operation and RD of the query, and nothing else."""
    return query[:2] + bytes([0x80 | query[2] & 0x79, rcode]) + bytes(8)


def _written(response: Message, room: int) -> bytes:
    """The octets of a response. Where the room is too small: without additional records, else empty, with TC.

    Records are not shuffled (dnspython would): two runs of the lab print the same.
    """
    try:
        return response.to_wire(max_size=room, want_shuffle=False)
    except dns.exception.TooBig:
        response.additional.clear()
    try:
        return response.to_wire(max_size=room, want_shuffle=False)
    except dns.exception.TooBig:
        response.answer.clear()
        response.authority.clear()
        response.flags |= dns.flags.TC  # RFC 2181 §9: the client must not use such an answer
    return response.to_wire(max_size=room)


def _switch(names: set[Name], name: str, on: bool) -> None:
    try:
        key = dns.name.from_text(name)
    except (dns.exception.DNSException, UnicodeError) as problem:
        raise ValueError(f"{name!r} is no domain name: {problem}") from problem
    if on:
        names.add(key)
    else:
        names.discard(key)


def _is_below(name: Name, names: set[Name]) -> bool:
    return any(name.is_subdomain(other) for other in names)
