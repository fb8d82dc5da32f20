"""Read master files, and hold the zones that a nameserver knows.

WHAT       `read_zone` reads BIND's syntax ($ORIGIN, $TTL, @, relative names, parentheses, comments, $GENERATE);
           `Zones` is a set of zones in which the nearest one to a name is found. `sign`: a zone is signed, up to the
           root; `forge`: what an attacker lets people see in place of a zone.
DECIDES    what is a mistake, and says with file and line how to mend it. Nothing in a file is passed over.
STANDARDS  RFC 1035 §5 (master files), RFC 2308 §4 ($TTL), RFC 1034 §4.2.1 (SOA and NS at the top of a zone)
SIMPLER    no $INCLUDE; a zone is signed when the lab says so: no signature is made or checked, and DNSSEC's own records
           are served and mean nothing
READ NEXT  dns_lookup.py
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from textwrap import shorten
from typing import Any

import dns.exception
import dns.name
import dns.rdataclass
import dns.rrset
import dns.tokenizer
import dns.transaction
import dns.zone
import dns.zonefile
from dns.name import Name
from dns.rdataset import Rdataset
from dns.rdatatype import RdataType, is_singleton
from dns.rrset import RRset

from labkit.mail.questions import MxRecord


class ZoneError(ValueError):
    """A master file that cannot be served. The text names file and line, and says what to do."""


@dataclass(frozen=True, eq=False)
class Zone:
    """The records of one zone, in the order of the file, and the text they were read from.

    `names` are those that exist: also the ones that only have something below them (RFC 4592 §2.2.2).
    """

    origin: Name
    records: Mapping[Name, tuple[RRset, ...]] = field(repr=False)
    text: str = field(repr=False)
    file: str = ""
    names: frozenset[Name] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        top = len(self.origin)
        names = {name.split(n)[1] for name in self.records for n in range(top, len(name) + 1)}
        object.__setattr__(self, "names", frozenset(names))

    def rrsets(self, name: Name, rdtype: RdataType) -> tuple[RRset, ...]:
        """The records of that type at that very name: one set of them, or none."""
        return tuple(rrset for rrset in self.records.get(name, ()) if rrset.rdtype == rdtype)


class Zones:
    """The zones of a nameserver. Each can be replaced at any time; the next query sees it.

    What is looked up here is what their owners have written; `seen` is what comes to whoever asks.
    """

    def __init__(self, *zones: Zone) -> None:
        self._zones: dict[Name, Zone] = {zone.origin: zone for zone in zones}
        self._signed: set[Name] = set()
        self._forged: dict[Name, Zone] = {}
        self.version = 0  # another one whenever something is different

    def put(self, zone: Zone) -> None:
        """Add the zone, in place of the one with the same origin."""
        self._zones[zone.origin] = zone
        self.version += 1

    def remove(self, origin: str) -> None:
        """Forget a zone. Raises KeyError if there is none of that origin."""
        name = dns.name.from_text(origin)
        del self._zones[name]
        self._forged.pop(name, None)
        self._signed.discard(name)
        self.version += 1

    def sign(self, origin: str, on: bool = True) -> None:
        """From now on the zone is signed, whatever its owner writes into it; or no longer. Raises KeyError."""
        name = self[origin].origin
        (self._signed.add if on else self._signed.discard)(name)
        self.version += 1

    def is_signed(self, zone: Zone) -> bool:
        """Whether its owner signs the zone."""
        return zone.origin in self._signed

    def forge(self, zone: Zone) -> None:
        """An attacker puts this in the place of the zone with the same origin. Raises KeyError if there is none."""
        if zone.origin not in self._zones:
            raise KeyError(zone.origin.to_text())
        self._forged[zone.origin] = zone
        self.version += 1

    def relent(self, origin: str) -> None:
        """The attacker is gone: the zone is seen as its owner has written it."""
        if self._forged.pop(dns.name.from_text(origin), None) is not None:
            self.version += 1

    def seen(self, zone: Zone) -> Zone:
        """What comes to whoever asks for something in this zone: the attacker's, if there is one."""
        return self._forged.get(zone.origin, zone)

    def find(self, name: Name) -> Zone | None:
        """The zone nearest to `name`, that with the longest matching origin (RFC 1034 §4.3.2, step 2)."""
        for length in range(len(name), 0, -1):
            if zone := self._zones.get(name.split(length)[1]):
                return zone
        return None

    def mx_records(self) -> list[tuple[str, MxRecord]]:
        """Every MX record with its domain, by domain and preference. A null MX (RFC 7505) has the exchange "."."""
        found = [
            (rrset.name.to_text(omit_final_dot=True).lower(), _mx_record(rdata))
            for zone in self
            for rrsets in zone.records.values()
            for rrset in rrsets
            if rrset.rdtype == RdataType.MX
            for rdata in rrset
        ]
        return sorted(found, key=lambda each: (each[0], each[1].preference, each[1].exchange))

    def __getitem__(self, origin: str) -> Zone:
        return self._zones[dns.name.from_text(origin)]

    def __contains__(self, origin: str) -> bool:
        return dns.name.from_text(origin) in self._zones

    def __iter__(self) -> Iterator[Zone]:
        return iter(self._zones.values())

    def __len__(self) -> int:
        return len(self._zones)


def _mx_record(rdata: Any) -> MxRecord:
    exchange = rdata.exchange
    return MxRecord(int(rdata.preference), exchange.to_text(omit_final_dot=len(exchange) > 1).lower())


def read_zone(text: str, origin: str | None = None, file: str = "zone") -> Zone:
    """Read a master file. `origin` is its zone, else the first $ORIGIN tells; `file` is for messages only.

    Raises ZoneError.
    """
    try:
        apex = dns.name.from_text(origin) if origin else None
    except (dns.exception.DNSException, UnicodeError) as problem:
        raise ZoneError(f"{origin!r} is no name for a zone: {problem}") from problem
    zone = dns.zone.Zone(apex, relativize=False)
    with zone.writer(True) as transaction:
        _Reader(text.replace("\r\n", "\n"), file, transaction).read_all()
    if zone.origin is None:
        raise ZoneError(f"{file}: nothing in it. {NO_ORIGIN}")
    records = {
        name: tuple(dns.rrset.from_rdata_list(name, found.ttl, list(found)) for found in node.rdatasets)
        for name, node in zone.nodes.items()
    }
    _expect_top(zone.origin, records, file)
    return Zone(zone.origin, records, text, file)


NO_ORIGIN = "Begin with a line `$ORIGIN example.test.`: the zone's own name, with a dot at its end"

REMEDIES = (  # what dnspython says, and what to do about it
    ("[Uu]nknown origin", NO_ORIGIN),
    ("unknown rdatatype", "A record is: name, TTL (may be missing), IN (may be missing), type, data"),
    ("class is not", "Only class IN is served here"),
    ("default TTL", "Write `$TTL 1h` above the first record (RFC 2308 §4)"),
    ("TTL value", "A TTL is a number of seconds, or 15m, 1h, 2d, 1w"),
    ("^a second", "Keep one of the two"),
    ("CNAME", "A name that has a CNAME can have no other record (RFC 1034 §3.6.2)"),
    ("expecting", "A field is missing: an MX, say, needs a preference and a host, `MX 10 mx.example.test.`"),
    ("expected EOL", "Too much on the line: text with blanks needs quotes, a comment a semicolon"),
    ("quoted string", 'The closing " is missing'),
    ("parenthes", "For every ( there must be a ) further on"),
    ("label is empty", "There are two dots in a row, or a dot at the beginning"),
    ("63 octets", "Between two dots there is room for 63 characters"),
    ("string too long", 'Cut the text into strings of at most 255 characters: "..." "..." (they are joined)'),
    ("non-origin SOA", "The SOA's name must be that of the zone"),
    ("INCLUDE", "Put that file's text here in its place"),
    ("outside", "A name without a dot at its end is completed with $ORIGIN; other zones have their own file"),
    ("malformed", "The data do not fit the type: an A record, say, holds four numbers, `A 203.0.113.11`"),
)


class _Reader(dns.zonefile.Reader):
    """dnspython's reader, which passes over records outside the zone and tells the line where it stopped.

    Ours refuses them, and tells the line where the record began.
    """

    _origin: Name | None = None

    def __init__(self, text: str, file: str, transaction: dns.transaction.Transaction) -> None:
        super().__init__(dns.tokenizer.Tokenizer(text, file), dns.rdataclass.IN, transaction)
        self._lines, self._file = text.splitlines(), file
        transaction.check_put_rdataset(_expect_first)

    @property
    def current_origin(self) -> Name | None:
        """What $ORIGIN said last. A relative one belongs to the one before (dnspython knows since 2.9)."""
        return self._origin

    @current_origin.setter
    def current_origin(self, name: Name | None) -> None:
        if name is not None and not name.is_absolute():
            if self._origin is None:
                raise dns.zonefile.UnknownOrigin
            name = name.derelativize(self._origin)
        self._origin = name

    def read_all(self) -> None:
        try:
            self.read()
        except dns.exception.DNSException as problem:  # in a $-line; dnspython puts "file:line: " before some
            words = re.sub(rf"^{re.escape(self._file)}:\d+: ", "", str(problem))
            line = self.tok.where()[1]
            if self._lines[line - 2 : line - 1] and self._lines[line - 2].startswith("$"):
                line -= 1  # the tokenizer is a line further on
            raise self._error(words, line) from problem

    def _rr_line(self) -> None:
        line = self.tok.where()[1]
        try:
            super()._rr_line()
        except (dns.exception.DNSException, ValueError) as problem:
            raise self._error(str(problem), line) from problem

    def _generate_line(self) -> None:
        line = self.tok.where()[1]
        try:
            super()._generate_line()  # type: ignore[no-untyped-call]
        except (dns.exception.DNSException, ValueError, AssertionError) as problem:
            raise self._error(f"bad $GENERATE: {problem}", line) from problem

    def _eat_line(self) -> None:
        raise ValueError(f"{self.last_name} is outside the zone {self.zone_origin}")

    def _error(self, words: str, line: int) -> ZoneError:
        line = min(line, len(self._lines))
        shown = shorten(self._lines[line - 1], 60, placeholder=" ...")
        remedy = next((advice for pattern, advice in REMEDIES if re.search(pattern, words)), "")
        return ZoneError(f"{self._file}:{line}: {words.rstrip('.')}, in `{shown}`. {remedy}".rstrip())


def _expect_first(transaction: dns.transaction.Transaction, name: Name, rdataset: Rdataset) -> None:
    """Refuse a second SOA or CNAME: dnspython would let it take the place of the first."""
    before = transaction.get(name, rdataset.rdtype, rdataset.covers)
    if before is not None and is_singleton(rdataset.rdtype) and set(before) != set(rdataset):
        raise ValueError(f"a second {rdataset.rdtype.name} for {name}")


def _expect_top(origin: Name, records: Mapping[Name, tuple[RRset, ...]], file: str) -> None:
    """Refuse a zone without SOA or NS, with the line that is missing (RFC 1035 §5.2)."""
    dotted = origin.to_text()
    below = "" if dotted == "." else dotted
    top = {rrset.rdtype: rrset for rrset in records.get(origin, ())}
    server = top[RdataType.NS][0].to_text() if RdataType.NS in top else f"ns.{below}"
    missing = {
        RdataType.SOA: f"{dotted} 3600 IN SOA {server} hostmaster.{below} 1 3600 900 604800 300",
        RdataType.NS: f"{dotted} 3600 IN NS {server}",
    }
    lines = [line for rdtype, line in missing.items() if rdtype not in top]
    if lines:
        names = " and no ".join(rdtype.name for rdtype in missing if rdtype not in top)
        raise ZoneError(f"{file}: the zone {dotted} has no {names} record. Add:\n" + "\n".join(lines))
