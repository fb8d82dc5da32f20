"""Choose which mail exchangers to try, and in which order.

DECIDES    order by preference; implicit MX; null MX; never hand mail to ourselves or to a worse exchanger.
STANDARDS  RFC 5321 §5.1, RFC 7505 (null MX)
LIKE EXIM  ignored addresses are as if they did not exist; a null MX beside others is a host without address;
           of two records for one host, or two hosts at one address, the better one counts; the canonical name of a
           host takes the place of its alias
SIMPLER    equal preferences keep the order of the zone (a real MTA shuffles them): two runs do the same
READ NEXT  dnslookup.py, host_list.py
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from enum import Enum

from labkit.eximconf.expansion.hosts import is_ip
from labkit.mail.asking import Asking, ask
from labkit.mail.questions import AddressesOf, DnsAnswer, DnsOutcome, MxOf, MxRecord, OwnAddresses
from labkit.routing.srv import Server, servers_of

ANY_HOST = "0.0.0.0"  # many systems take it for themselves
_LABEL = r"[A-Za-z0-9](?:[A-Za-z0-9/_-]*\w)?"
_NAME = re.compile(rf"{_LABEL}(?:\.{_LABEL})*\.?", re.ASCII)

Ignored = Callable[[str, str], Asking[bool]]  # host, address: is nothing ever delivered to it?
Tolerated = Callable[[], Asking[bool]]


@dataclass(frozen=True, slots=True)
class NextHop:
    """A host to try, with one of its addresses. `preference` is None without an MX record, `port` if none is given.

    A host without an address cannot be used; it is kept because exim -bt shows it. `is_secure`: the way to its name and
    its address is signed (DNSSEC), and that was asked for.
    """

    host: str
    address: str
    preference: int | None
    port: int | None = None
    is_secure: bool = False


class MxOutcome(Enum):
    """What the look-up came to."""

    FOUND = "found"
    NO_SUCH_DOMAIN = "no mail exchanger and no address"
    NULL_MX = "the domain takes no mail"
    NO_ADDRESSES = "all relevant MX records point to non-existent hosts"
    OURSELVES = "lowest numbered MX record points to local host"
    OUR_ADDRESS = "remote host address is the local host"
    TRY_LATER = "host lookup did not complete"
    INSECURE = "host lookup done insecurely"


@dataclass(frozen=True, slots=True)
class Exchangers:
    """The hosts in order, or why there are none; `steps` tells how it was found out.

    With OURSELVES and OUR_ADDRESS, `hosts` are all of them, for a router that sends nevertheless.
    """

    outcome: MxOutcome
    hosts: tuple[NextHop, ...] = ()
    steps: tuple[str, ...] = ()
    left_ourselves_out: bool = False  # we are an exchanger, but not the best

    @property
    def next_hops(self) -> tuple[NextHop, ...]:
        """The hosts that can be tried."""
        if self.outcome is not MxOutcome.FOUND:
            return ()
        return tuple(hop for hop in self.hosts if hop.address)


@dataclass(frozen=True, slots=True)
class Manner:
    """How to look. `tolerates` and `tolerates_srv` are asked when a look-up gets no answer: is it as good as none?

    `service`: SRV records for it come first. `needs_mx`: without MX records there are no hosts. `needs_dnssec`: what
    is not signed does not count; `asks_dnssec`: it counts, and it matters.
    """

    ignored: Ignored | None = None
    needs_mx: bool = False
    needs_dnssec: bool = False
    asks_dnssec: bool = True
    service: str = ""
    tolerates: Tolerated | None = None
    tolerates_srv: Tolerated | None = None


USUAL = Manner()


def exchangers_of(domain: str, manner: Manner = USUAL) -> Asking[Exchangers]:
    """Find the mail exchangers of a domain. Asks MxOf, AddressesOf and OwnAddresses, for a service also DnsRecords."""
    if not is_name(domain):
        return Exchangers(MxOutcome.NO_SUCH_DOMAIN, (), (f"{domain} is no name of a domain",))
    steps: list[str] = []
    if manner.service:
        found = yield from servers_of(manner.service, domain)
        steps.append(found.step)
        if found.is_undecided and not (yield from _tolerated(manner.tolerates_srv)):
            return Exchangers(MxOutcome.TRY_LATER, (), tuple(steps))
        if found.servers:
            return (yield from _of_servers(found.servers, manner, steps))
    answer = yield from ask(MxOf(domain))
    records, outcome = answer.records, answer.outcome
    if outcome.is_temporary or (records and manner.needs_dnssec and not answer.is_secure):
        if not (yield from _tolerated(manner.tolerates)):
            why = MxOutcome.TRY_LATER if outcome.is_temporary else MxOutcome.INSECURE
            return Exchangers(why, (), (*steps, f"MX of {domain}: {outcome.value}"))
        records = ()
    if outcome is DnsOutcome.NXDOMAIN or (not records and manner.needs_mx):
        # RFC 5321 §5.1: there is no such domain, so no address either
        return Exchangers(MxOutcome.NO_SUCH_DOMAIN, (), (*steps, f"MX of {domain}: {outcome.value}"))
    if not records:  # RFC 5321 §5.1: without MX the domain itself is the exchanger
        steps.append(f"MX of {domain}: {outcome.value}, so its own address counts")
        return (yield from _with_addresses([NextHop(domain, "", None, is_secure=True)], manner, steps))
    steps.append(f"MX of {domain}: {', '.join(f'{mx.preference} {mx.exchange}' for mx in records)}")
    if all(mx.exchange.rstrip(".") == "" for mx in records):  # RFC 7505 §3
        return Exchangers(MxOutcome.NULL_MX, (), (*steps, "a null MX: the domain takes no mail"))
    best: dict[str, NextHop] = {}
    for mx in sorted(records, key=_preference):
        name = mx.exchange.rstrip(".")
        best.setdefault(name.lower(), NextHop(name, "", mx.preference, is_secure=answer.is_secure))
    return (yield from _with_addresses(list(best.values()), manner, steps))


def _of_servers(servers: Sequence[Server], manner: Manner, steps: list[str]) -> Asking[Exchangers]:
    if [server.host for server in servers] == [""]:  # RFC 2782: the service is not there
        return Exchangers(MxOutcome.NULL_MX, (), tuple(steps))
    if manner.needs_dnssec:
        return Exchangers(MxOutcome.INSECURE, (), tuple(steps))
    hosts = {s.host.lower(): NextHop(s.host, "", s.priority, s.port) for s in reversed(servers)}
    return (yield from _with_addresses(list(reversed(hosts.values())), manner, steps))


def addresses_of(host: str, manner: Manner = USUAL) -> Asking[Exchangers]:
    """Find the addresses of one host, which may be given by its address."""
    hop = NextHop(host, "", None, is_secure=not is_ip(host))
    return (yield from _with_addresses([hop], manner, [], takes_ip=True))


def _tolerated(asked: Tolerated | None) -> Asking[bool]:
    return asked is not None and (yield from asked())


def is_name(text: str) -> bool:
    """May it stand in the DNS? (Exim: dns_check_names_pattern)"""
    return _NAME.fullmatch(text) is not None


def _preference(record: MxRecord) -> int:
    return record.preference


def _with_addresses(
    hosts: list[NextHop], manner: Manner, steps: list[str], *, takes_ip: bool = False
) -> Asking[Exchangers]:
    found: list[NextHop] = []
    known: set[str] = set()
    why_none: MxOutcome | None = None
    for hop in hosts:
        answer = yield from _asked(hop.host, takes_ip)
        if answer.outcome.is_temporary:
            why_none = MxOutcome.TRY_LATER
        steps.append(f"address of {hop.host}: {', '.join(answer.records) or answer.outcome.value}")
        records = answer.records
        if records and manner.needs_dnssec and not answer.is_secure and not is_ip(hop.host):
            why_none, records = MxOutcome.INSECURE, ()
        name = answer.canonical or hop.host
        is_secure = hop.is_secure and answer.is_secure and manner.asks_dnssec
        kept = yield from _kept(name, records, manner.ignored)
        if kept or not records:
            new = [address for address in dict.fromkeys(kept) if address not in known]
            known.update(new)
            if kept and not new:  # another name of a host that we have
                continue
            name = name if kept else hop.host
            found += [
                NextHop(name, address, hop.preference, hop.port, is_secure and bool(address))
                for address in new or [""]
            ]
    own = {ANY_HOST, *(yield from ask(OwnAddresses()))}
    outcome, kept_hosts, removed = _without_ourselves(found, own, steps)
    if outcome is MxOutcome.NO_SUCH_DOMAIN:
        outcome = why_none or _nothing(hosts[0])
    return Exchangers(outcome, tuple(kept_hosts), tuple(steps), removed)


def _asked(host: str, takes_ip: bool) -> Asking[DnsAnswer[str]]:
    if is_ip(host):
        return DnsAnswer(DnsOutcome.FOUND, (host,)) if takes_ip else DnsAnswer(DnsOutcome.NXDOMAIN)
    if not is_name(host):
        return DnsAnswer(DnsOutcome.NXDOMAIN)
    return (yield from ask(AddressesOf(host)))


def _kept(host: str, addresses: tuple[str, ...], ignored: Ignored | None) -> Asking[tuple[str, ...]]:
    if ignored is None:
        return addresses
    kept = []
    for address in addresses:
        if not (yield from ignored(host, address)):
            kept.append(address)
    return tuple(kept)


def _without_ourselves(
    hosts: list[NextHop], own: Collection[str], steps: list[str]
) -> tuple[MxOutcome, list[NextHop], bool]:
    """RFC 5321 §5.1: leave out ourselves and every exchanger that is not better than us."""
    better = 0  # so many have a lower preference than the one looked at
    removed = False
    for at, hop in enumerate(hosts):
        if at and hosts[at - 1].preference != hop.preference:
            better = at
        if hop.address in own:
            steps.append(f"{hop.host} is this host: it and everything after it is left out")
            if not better:
                ours = MxOutcome.OUR_ADDRESS if hop.preference is None else MxOutcome.OURSELVES
                return ours, hosts, False
            hosts, removed = hosts[:better], True
            break
    is_found = any(hop.address for hop in hosts)
    return MxOutcome.FOUND if is_found else MxOutcome.NO_SUCH_DOMAIN, hosts, removed


def _nothing(best: NextHop) -> MxOutcome:
    if best.preference is None:
        return MxOutcome.NO_SUCH_DOMAIN
    return MxOutcome.NULL_MX if best.host == "" else MxOutcome.NO_ADDRESSES
