"""Look a name up in zones, as an authoritative nameserver does.

WHAT       `look_up` gives what the three sections of the answer hold, and the response code.
DECIDES    found, no such name, no such data, an alias to follow, a zone cut, or none of our business.
STANDARDS  RFC 1034 §4.3.2 (the algorithm, whose steps are named below), RFC 4592 (wildcards),
           RFC 2308 §2 (negative answers), RFC 8482 §4.1 (ANY), RFC 6604 (response code after a CNAME)
DNSSEC     as a validating resolver would: what is in a signed zone, and the way there by CNAMEs, is `is_secure`; what
           an attacker has put into one is not told, it is SERVFAIL (RFC 4035 §5.5). No signature is made or checked:
           the lab knows which zones are signed, and what their owners wrote. `checks` False: the client wants none.
SIMPLER    a DNAME is a record like others
READ NEXT  dns_server.py
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

import dns.name
import dns.rdatatype
import dns.rrset
from dns.name import Name
from dns.rcode import Rcode
from dns.rdata import Rdata
from dns.rdatatype import RdataType
from dns.rrset import RRset

from labkit.net.dns_zones import Zone, Zones

LONGEST_CHAIN = 8  # CNAMEs that are followed from one question
WITH_ADDRESSES = {  # the records whose hosts the client will ask for next, and where the host stands in them
    RdataType.MX: "exchange",
    RdataType.NS: "target",
    RdataType.SRV: "target",
}


@dataclass(frozen=True, slots=True)
class Finding:
    """What there is to say to a question. A referral is not authoritative and has NS records in `authority`.

    `is_secure`: all of it stands in signed zones.
    """

    rcode: Rcode = Rcode.NOERROR
    is_authoritative: bool = True
    is_secure: bool = False
    answer: tuple[RRset, ...] = ()
    authority: tuple[RRset, ...] = ()
    additional: tuple[RRset, ...] = ()


REFUSED = Finding(Rcode.REFUSED, is_authoritative=False)
BOGUS = Finding(Rcode.SERVFAIL, is_authoritative=False)


def look_up(zones: Zones, name: Name, rdtype: RdataType, *, checks: bool = True) -> Finding:
    """Answer a question from `zones`, RFC 1034 §4.3.2. A CNAME is followed as long as its target is in them."""
    aliases: list[RRset] = []
    is_secure = checks
    while len(aliases) < LONGEST_CHAIN:
        zone = zones.find(name)
        if zone is None:
            break
        seen = zones.seen(zone)
        found = _look_up_in(seen, name, rdtype)
        if checks and seen is not zone and zones.is_signed(zone) and found != _look_up_in(zone, name, rdtype):
            return BOGUS
        is_secure = is_secure and zones.is_signed(zone) and found.is_authoritative
        alias = _alias(found.answer, rdtype)
        if alias is None:
            referred = bool(aliases) or found.is_authoritative  # AA is about the first name (RFC 1035 §4.1.1)
            answer = (*aliases, *found.answer)
            additional = _addresses(zones, (*found.answer, *found.authority))
            return replace(
                found, is_authoritative=referred, is_secure=is_secure, answer=answer, additional=additional
            )
        aliases.append(alias)
        name = alias[0].target
    return Finding(answer=tuple(aliases)) if aliases else REFUSED


def _look_up_in(zone: Zone, name: Name, rdtype: RdataType) -> Finding:
    if cut := _cut(zone, name, rdtype):
        return Finding(is_authoritative=False, authority=cut)  # step 3b: a referral
    if name in zone.names:
        node = zone.records.get(name, ())
    else:
        wildcard = dns.name.from_text("*", _closest_encloser(zone, name))  # step 3c
        if wildcard not in zone.names:
            return Finding(Rcode.NXDOMAIN, authority=_soa(zone))
        node = tuple(_renamed(rrset, name) for rrset in zone.records.get(wildcard, ()))
    matching = _matching(node, rdtype)
    return Finding(answer=matching, authority=() if matching else _soa(zone))


def _cut(zone: Zone, name: Name, rdtype: RdataType) -> tuple[RRset, ...]:
    """The NS records of the highest zone cut on the way from the top of the zone down to `name`.

    The DS record of a cut is the upper zone's (RFC 4035 §3.1.4.1).
    """
    for length in range(len(zone.origin) + 1, len(name) + 1):
        at = name.split(length)[1]
        if at not in zone.names:
            break
        servers = zone.rrsets(at, RdataType.NS)
        if servers and not (at == name and rdtype == RdataType.DS):
            return servers
    return ()


def _closest_encloser(zone: Zone, name: Name) -> Name:
    """The nearest ancestor that exists (RFC 4592 §3.3.1): only the wildcard right below it counts."""
    while name not in zone.names:
        name = name.parent()
    return name


def _matching(node: tuple[RRset, ...], rdtype: RdataType) -> tuple[RRset, ...]:
    if rdtype == RdataType.ANY:
        return node[:1]  # RFC 8482 §4.1: one of them is enough
    cname = tuple(rrset for rrset in node if rrset.rdtype == RdataType.CNAME)
    return tuple(rrset for rrset in node if rrset.rdtype == rdtype) or cname


def _alias(answer: tuple[RRset, ...], rdtype: RdataType) -> RRset | None:
    """The CNAME that is to be followed, if that is what was found (step 3a)."""
    if answer and answer[0].rdtype == RdataType.CNAME and rdtype not in (RdataType.CNAME, RdataType.ANY):
        return answer[0]
    return None


def _soa(zone: Zone) -> tuple[RRset, ...]:
    """The SOA of a negative answer: it says for how long to believe it (RFC 2308 §3)."""
    soa = zone.rrsets(zone.origin, RdataType.SOA)[0]
    return (dns.rrset.from_rdata(soa.name, min(soa.ttl, soa[0].minimum), soa[0]),)


def _addresses(zones: Zones, rrsets: Iterable[RRset]) -> tuple[RRset, ...]:
    """The addresses of the hosts that these records name, where we have them (step 6); so also the glue."""
    hosts = {
        getattr(rdata, WITH_ADDRESSES[rrset.rdtype]): None
        for rrset in rrsets
        if rrset.rdtype in WITH_ADDRESSES
        for rdata in rrset
    }
    return tuple(
        addresses
        for host in hosts
        if (zone := zones.find(host))
        for rdtype in (RdataType.A, RdataType.AAAA)
        for addresses in (zone if zones.is_signed(zone) else zones.seen(zone)).rrsets(host, rdtype)
    )


def _renamed(rrset: RRset, name: Name) -> RRset:
    """A wildcard's records under the name that was asked for (RFC 4592 §3.3.1)."""
    return dns.rrset.from_rdata_list(name, rrset.ttl, list(rrset))


def as_in_a_master_file(rdata: Rdata) -> str:
    """A record as dnsdb gives it, octets as latin-1: names without their last dot; of a TXT record the first string."""
    if rdata.rdtype in (RdataType.TXT, RdataType.SPF):
        first: bytes = getattr(rdata, "strings")[0]  # noqa: B009
        return first.decode("latin-1")
    if rdata.rdtype == RdataType.TLSA:
        usage, selector, kind, data = (
            getattr(rdata, field) for field in ("usage", "selector", "mtype", "cert")
        )
        return f"{usage} {selector} {kind} {data.hex()}"
    return " ".join(word.removesuffix(".") or "." for word in rdata.to_text().split(" "))
