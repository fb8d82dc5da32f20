"""Ask the lab's nameserver, and see its answer.

WHAT       `ask(world, "st2.sne21.test", "MX")` asks from the student's laptop, as `dig` does;
           `served` asks without the network, for checks.
DECIDES    found, no data, no such name, or a failure (RFC 2308 §2).
STANDARDS  RFC 1035 §4 (messages), §3.5 (in-addr.arpa)
READ NEXT  zone_dig.py, ../tasks/dns.py
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import dns.exception
import dns.flags
import dns.message
import dns.name
import dns.rdatatype
import dns.reversename
from dns.message import Message

from labkit.lab.world import World
from labkit.mail.questions import DnsOutcome
from labkit.teach.markup import Markup, clip, join, tag
from labkit.teach.show import shows
from labkit.teach.tables import table, text_table
from labkit.teach.view import View

DNS_PORT = 53
ROOM = 4096  # octets we take in a datagram
LONGEST_DATA = 200


@dataclass(frozen=True, slots=True)
class Record:
    """One record, as it stands in an answer: names in full, with the final dot."""

    name: str
    ttl: int
    rdtype: str
    data: str

    def __str__(self) -> str:
        return f"{self.name} {self.ttl} IN {self.rdtype} {self.data}"


@dataclass(frozen=True, slots=True, repr=False)
class Answer:
    """What came of a question. `rcode` is the nameserver's word, empty for silence."""

    asker: str
    name: str
    rdtype: str
    outcome: DnsOutcome
    rcode: str = ""
    is_cut: bool = False  # TC: there is more than a datagram holds
    answer: tuple[Record, ...] = ()
    authority: tuple[Record, ...] = ()
    additional: tuple[Record, ...] = ()

    @property
    def data(self) -> tuple[str, ...]:
        """The data of the records of the type asked for, in the order of the answer."""
        return tuple(record.data for record in self.answer if record.rdtype == self.rdtype)

    @property
    def is_alias(self) -> bool:
        """Whether a CNAME stood between the question and this answer."""
        return self.rdtype != "CNAME" and any(record.rdtype == "CNAME" for record in self.answer)

    def __repr__(self) -> str:
        return AnswerView(self).text()


async def ask(world: World, name: str, rdtype: str = "A") -> Answer:
    """Ask the nameserver from the student's laptop. For PTR give the address: `dig -x`.

    Raises ValueError for what is no name or no type.
    """
    query = _query(name, rdtype)
    reply = await world.network.exchange_datagram(
        world.laptop.address, world.scenario.nameserver, DNS_PORT, query.to_wire()
    )
    return _answer(world.laptop.name, query, None if reply is None else dns.message.from_wire(reply))


def served(world: World, name: str, rdtype: str) -> Answer:
    """What the nameserver would say now. Raises ValueError for what is no name or no type."""
    query = _query(name, rdtype)
    response = world.nameserver.respond(query.to_wire())
    return _answer("the check", query, response if isinstance(response, Message) else None)


def _query(name: str, rdtype: str) -> dns.message.QueryMessage:
    try:
        kind = dns.rdatatype.from_text(rdtype)
    except (dns.exception.DNSException, ValueError) as problem:
        raise ValueError(
            f"{rdtype!r} is no type of record: A, MX, TXT, PTR, CNAME, NS or SOA, say"
        ) from problem
    try:
        return dns.message.make_query(_full_name(name, rdtype), kind, use_edns=0, payload=ROOM, id=1)
    except (dns.exception.DNSException, UnicodeError) as problem:
        raise ValueError(f"{name!r} is no domain name: {problem}") from problem


def _full_name(name: str, rdtype: str) -> dns.name.Name:
    if rdtype.upper() == "PTR":
        try:
            return dns.reversename.from_address(str(ipaddress.ip_address(name)))
        except ValueError:  # already a name
            pass
    return dns.name.from_text(name)


def _answer(asker: str, query: dns.message.QueryMessage, response: Message | None) -> Answer:
    question = query.question[0]
    name, rdtype = question.name.to_text(), question.rdtype.name
    if response is None:
        return Answer(asker, name, rdtype, DnsOutcome.TIMEOUT)
    found = [rrset for rrset in response.answer if rdtype in (rrset.rdtype.name, "ANY")]
    is_final = any(rrset.rdtype.name == "SOA" for rrset in response.authority)
    rcode = response.rcode().name
    if rcode == "NXDOMAIN":
        outcome = DnsOutcome.NXDOMAIN
    elif rcode == "NOERROR" and found:
        outcome = DnsOutcome.FOUND
    elif rcode == "NOERROR" and is_final:
        outcome = DnsOutcome.NODATA
    else:
        outcome = DnsOutcome.SERVFAIL
    sections = (_records(part) for part in (response.answer, response.authority, response.additional))
    return Answer(asker, name, rdtype, outcome, rcode, bool(response.flags & dns.flags.TC), *sections)


def _records(section: Iterable[Any]) -> tuple[Record, ...]:
    return tuple(
        Record(rrset.name.to_text(), rrset.ttl, rrset.rdtype.name, rdata.to_text())
        for rrset in section
        for rdata in rrset
    )


@shows(Answer)
class AnswerView(View):
    """The question, its way, and the answer by sections."""

    _HEAD = ("section", "name", "TTL", "type", "data")

    def __init__(self, answer: Answer) -> None:
        self.answer = answer
        sections = (
            ("answer", answer.answer),
            ("authority", answer.authority),
            ("additional", answer.additional),
        )
        self.rows = [
            (section, record.name, str(record.ttl), record.rdtype, clip(record.data, LONGEST_DATA))
            for section, records in sections
            for record in records
        ]
        self.title = f"{answer.asker} asks the nameserver for {answer.rdtype} of {answer.name}"

    @property
    def summary(self) -> str:
        """The outcome in a sentence."""
        answer = self.answer
        cut = " (cut short: dig asks again by TCP)" if answer.is_cut else ""
        if answer.outcome is DnsOutcome.FOUND:
            count = len(answer.data) or len(answer.answer)
            return f"NOERROR: {count} {answer.rdtype} record{'' if count == 1 else 's'}{cut}"
        if answer.outcome is DnsOutcome.NXDOMAIN:
            return f"NXDOMAIN: no such name{cut}"
        if answer.outcome is DnsOutcome.NODATA:
            return f"NOERROR, but no answer: the name exists and has no {answer.rdtype} record (NODATA){cut}"
        if answer.outcome is DnsOutcome.TIMEOUT:
            return "silence: no answer came"
        if answer.rcode == "NOERROR":
            return f"NOERROR, but no answer of its own{cut}"
        return f"{answer.rcode}: the nameserver cannot tell{cut}"

    def html(self) -> Markup:
        rows = table(self._HEAD, self.rows, code=[1, 3, 4], whole=[0, 1, 2, 3]) if self.rows else None
        return join(tag("p", tag("b", self.title)), rows, tag("p", tag("b", self.summary)))

    def text(self) -> str:
        rows = text_table(self._HEAD, self.rows, self.title) if self.rows else self.title
        return f"{rows}\n=> {self.summary}"
