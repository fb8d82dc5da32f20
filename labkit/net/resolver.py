"""A host's resolver: asks the lab's nameserver, and remembers the answers for as long as they say.

WHAT       `Resolver.answer` answers MxOf, AddressesOf, TextOf, TlsaOf, NamesOf, DnsRecords; `cached` shows what it
           remembers.
DOES       UDP first, TCP when the answer was cut short; follows CNAMEs; believes only answers to what it asked; and
           that they are from signed zones, if the nameserver says so (AD): it is on this machine.
DECIDES    TTLs run, and patience with a silent nameserver is spent, in lab time: no real time passes.
STANDARDS  RFC 1035 §4.2, §7; RFC 2308 §5 (negative caching); RFC 5452 §9 (what makes an answer believable)
SIMPLER    one nameserver, which knows everything; ids count up, so that two runs are the same; failures are not
           remembered (RFC 9520 asks for it): a repaired nameserver is seen at once; no DNSSEC of its own
READ NEXT  spool.py
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, TypeVar, cast

import dns.flags
import dns.message
import dns.name
import dns.rdatatype
import dns.reversename
from dns.message import Message
from dns.name import Name
from dns.rcode import Rcode
from dns.rdataclass import RdataClass
from dns.rdatatype import RdataType
from dns.rrset import RRset

from labkit.mail.asking import Question
from labkit.mail.lookups import DnsRecords
from labkit.mail.questions import (
    AddressesOf,
    DnsAnswer,
    DnsOutcome,
    MxOf,
    MxRecord,
    NamesOf,
    TextOf,
    TlsaOf,
    V6AddressesOf,
)
from labkit.net.dns_lookup import LONGEST_CHAIN, as_in_a_master_file
from labkit.net.dns_server import DNS_PORT, plain, take_message
from labkit.net.network import HostSilent, Network

TRIES = 2
PATIENCE = timedelta(seconds=5)  # of lab time, for each try
UDP_PAYLOAD = 1232  # octets we take in a datagram: what passes everywhere without being cut into fragments
LONGEST_LIFE = timedelta(days=7)  # whatever the TTL says
LONGEST_NEGATIVE_LIFE = timedelta(hours=3)  # RFC 2308 §5
MOST_ENTRIES = 10_000
STUCK = 5.0  # seconds of real time after which a TCP connection inside the lab is given up: somebody's bug

R = TypeVar("R")
_Key = tuple[str, RdataType, type]  # and the kind of question, which decides the form of the answer


@dataclass(frozen=True, slots=True)
class Cached:
    """What the resolver remembers, and for how long yet."""

    name: str
    rdtype: str
    answer: DnsAnswer[Any]
    remaining: timedelta


class Resolver:
    """The resolver of one host, with a cache of its own.

    `now` tells lab time; `sleep` lets lab time pass.
    """

    def __init__(
        self,
        network: Network,
        source_address: str,
        nameserver_address: str,
        now: Callable[[], datetime],
        sleep: Callable[[timedelta], Awaitable[None]],
    ) -> None:
        self.source_address, self.nameserver_address = source_address, nameserver_address
        self._network, self._now, self._sleep = network, now, sleep
        self._cache: dict[_Key, tuple[datetime, DnsAnswer[Any]]] = {}
        self._last_id = 0
        self._read: dict[bytes, tuple[bytes, Message]] = {}  # the last response to each query, ids apart

    async def answer(self, question: Question[DnsAnswer[R]]) -> DnsAnswer[R]:
        """Answer from the cache or the nameserver. Records are in the order of the zone file.

        Names come back in lower case, without the final dot; the exchange of a null MX (RFC 7505) is ".".
        A TXT record's strings are joined. A name that cannot be one (an empty label, or one of 64
        characters) gets NXDOMAIN, and nobody is asked. Raises TypeError for a question that is not about DNS.
        """
        rdtype, name_of, read = _kind(question)
        name = name_of(question)
        if name is None:
            return DnsAnswer(DnsOutcome.NXDOMAIN)
        key = (plain(name), rdtype, type(question))
        expires, remembered = self._cache.get(key, (None, None))
        if expires is not None and remembered is not None and self._now() < expires:
            return remembered
        outcome, records, life, last_name, is_secure = await self._find(name, rdtype)
        canonical = plain(last_name) if records and last_name != name else ""
        answer = DnsAnswer(outcome, tuple(read(rdata) for rdata in records), canonical, is_secure)
        self._remember(key, answer, life)
        return answer

    def cached(self) -> list[Cached]:
        """What is remembered now, the oldest first."""
        now = self._now()
        return [
            Cached(name, dns.rdatatype.to_text(rdtype), answer, expires - now)
            for (name, rdtype, _), (expires, answer) in self._cache.items()
            if now < expires
        ]

    def flush(self) -> None:
        """Forget everything."""
        self._cache.clear()

    def _remember(self, key: _Key, answer: DnsAnswer[Any], life: timedelta) -> None:
        self._cache.pop(key, None)
        if life > timedelta(0):
            if len(self._cache) >= MOST_ENTRIES:
                del self._cache[next(iter(self._cache))]
            self._cache[key] = (self._now() + life, answer)

    async def _find(
        self, name: Name, rdtype: RdataType
    ) -> tuple[DnsOutcome, list[Any], timedelta, Name, bool]:
        """Outcome, records, how long they hold, the name at which they stand, behind all CNAMEs, and is all signed?

        Asks again where a CNAME leads out of the answer.
        """
        life = LONGEST_LIFE
        is_secure = True
        for _ in range(LONGEST_CHAIN):
            response = await self._ask(name, rdtype)
            if response is None:
                return DnsOutcome.TIMEOUT, [], timedelta(0), name, False
            if response.rcode() not in (Rcode.NOERROR, Rcode.NXDOMAIN):
                break
            is_secure = is_secure and bool(response.flags & dns.flags.AD)
            chain, last_name = _follow(response, name, rdtype)
            life = min([life, *(timedelta(seconds=rrset.ttl) for rrset in chain)])
            if chain and chain[-1].rdtype == rdtype:
                return DnsOutcome.FOUND, list(chain[-1]), life, last_name, is_secure
            soa = next((found for found in response.authority if found.rdtype == RdataType.SOA), None)
            if response.rcode() == Rcode.NXDOMAIN or soa is not None:
                is_there = response.rcode() == Rcode.NOERROR
                outcome = DnsOutcome.NODATA if is_there else DnsOutcome.NXDOMAIN
                return outcome, [], min(life, _negative_life(soa)), name, is_secure
            if not chain:
                break  # a referral, or nothing at all: this nameserver does not know
            name = last_name
        return DnsOutcome.SERVFAIL, [], timedelta(0), name, False

    async def _ask(self, name: Name, rdtype: RdataType) -> Message | None:
        """The nameserver's response; None if it was silent each time."""
        for _ in range(TRIES):
            self._last_id = (self._last_id + 1) % 65536
            query = dns.message.make_query(name, rdtype, use_edns=0, payload=UDP_PAYLOAD, id=self._last_id)
            query.flags |= dns.flags.AD  # RFC 6840 §5.7: we understand it
            response = await self._exchange(query)
            if response is not None:
                return response
            await self._sleep(PATIENCE)
        return None

    async def _exchange(self, query: Message) -> Message | None:
        octets = query.to_wire()
        reply = await self._network.exchange_datagram(
            self.source_address, self.nameserver_address, DNS_PORT, octets
        )
        response = self._read_again(reply, octets) or _believed(reply, query)
        if reply is not None and response is not None:
            if len(self._read) >= MOST_ENTRIES:
                self._read.clear()
            self._read[octets[2:]] = reply[2:], response
        if response is not None and response.flags & dns.flags.TC:  # RFC 2181 §9, RFC 7766 §5
            response = _believed(await self._exchange_by_tcp(octets), query)
        return response

    def _read_again(self, reply: bytes | None, query: bytes) -> Message | None:
        """The response, if the same was said to the same question before: but for the id, which tells who is meant."""
        if reply is None or reply[:2] != query[:2] or query[2:] not in self._read:
            return None
        said, response = self._read[query[2:]]
        return response if said == reply[2:] else None

    async def _exchange_by_tcp(self, octets: bytes) -> bytes | None:
        """One query, one response, on a connection of their own; None is silence, as a refusal is."""
        call = _Call(octets)
        try:
            transport = await self._network.connect(
                self.source_address, self.nameserver_address, DNS_PORT, lambda: call
            )
        except (HostSilent, ConnectionRefusedError):
            return None
        try:
            return await asyncio.wait_for(call.reply, STUCK)
        except asyncio.TimeoutError:
            return None
        finally:
            transport.close()


class _Call(asyncio.Protocol):
    """The client's side of a TCP exchange. `reply` becomes None when the connection ends without one."""

    def __init__(self, octets: bytes) -> None:
        self.reply: asyncio.Future[bytes | None] = asyncio.get_running_loop().create_future()
        self._octets = octets
        self._received = bytearray()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        cast(asyncio.Transport, transport).write(len(self._octets).to_bytes(2, "big") + self._octets)

    def data_received(self, data: bytes) -> None:
        self._received += data
        if not self.reply.done() and (message := take_message(self._received)) is not None:
            self.reply.set_result(message)

    def connection_lost(self, problem: Exception | None) -> None:
        if not self.reply.done():
            self.reply.set_result(None)


def _believed(octets: bytes | None, query: Message) -> Message | None:
    """The response, if the octets are one, with the id and the question of the query (RFC 5452 §9.1)."""
    if octets is None:
        return None
    try:
        response = dns.message.from_wire(octets)
    except Exception:  # dnspython has many names for octets that make no message
        return None
    return response if query.is_response(response) else None


def _follow(response: Message, name: Name, rdtype: RdataType) -> tuple[list[RRset], Name]:
    """The record sets on the way from `name` to the end of its CNAMEs, and the last name on it."""
    chain: list[RRset] = []
    while len(chain) < LONGEST_CHAIN:
        found = response.get_rrset(response.answer, name, RdataClass.IN, rdtype)
        if found is not None:
            return [*chain, found], name
        alias = response.get_rrset(response.answer, name, RdataClass.IN, RdataType.CNAME)
        if alias is None:
            break
        chain.append(alias)
        name = alias[0].target
    return chain, name


def _negative_life(soa: RRset | None) -> timedelta:
    """How long a negative answer holds: not at all without an SOA (RFC 2308 §5)."""
    if soa is None:
        return timedelta(0)
    return min(timedelta(seconds=min(soa.ttl, soa[0].minimum)), LONGEST_NEGATIVE_LIFE)


def _text(rdata: Any) -> str:
    """A TXT record's strings joined. What is not UTF-8 is read as Latin-1: no octet is lost."""
    octets = b"".join(rdata.strings)
    try:
        return octets.decode("utf-8")
    except UnicodeDecodeError:
        return octets.decode("latin-1")


def _name(text: str) -> Name | None:
    """Text as a name; None if it cannot be one (RFC 1035 §2.3.4)."""
    if text in ("", "@"):  # to dnspython both are the root
        return None
    try:
        return dns.name.from_text(text)
    except Exception:  # dnspython has many names for text that makes no name
        return None


def _reverse_name(address: str) -> Name | None:
    """The name below in-addr.arpa or ip6.arpa where an address has its PTR records (RFC 1035 §3.5)."""
    try:
        return dns.reversename.from_address(address)
    except Exception:  # as above
        return None


_KINDS: dict[type, tuple[RdataType, Callable[[Any], Name | None], Callable[[Any], Any]]] = {
    MxOf: (RdataType.MX, lambda q: _name(q.domain), lambda rd: MxRecord(rd.preference, plain(rd.exchange))),
    AddressesOf: (RdataType.A, lambda q: _name(q.host), lambda rd: rd.address),
    V6AddressesOf: (RdataType.AAAA, lambda q: _name(q.host), lambda rd: rd.address),
    TextOf: (RdataType.TXT, lambda q: _name(q.name), _text),
    TlsaOf: (RdataType.TLSA, lambda q: _name(q.name), as_in_a_master_file),
    NamesOf: (RdataType.PTR, lambda q: _reverse_name(q.address), lambda rd: plain(rd.target)),
}


def _kind(
    question: Question[Any],
) -> tuple[RdataType, Callable[[Any], Name | None], Callable[[Any], Any]]:
    if isinstance(question, DnsRecords):
        return RdataType.make(question.type), lambda q: _name(q.name), as_in_a_master_file
    try:
        return _KINDS[type(question)]
    except KeyError:
        raise TypeError(f"a resolver does not answer {type(question).__name__}") from None
