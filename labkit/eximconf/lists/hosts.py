"""An item of a host list: an address, a network, a name.

WHAT       `host_pattern` decides by what was written: * @ @[] an address with or without mask, net-… and other
           look-ups, a whole host name (its addresses are asked for), anything else is matched against the host's name.
RULES      an empty item is a message from this host itself, without a connection. IPv4 in IPv6 (::ffff:1.2.3.4) counts
           as IPv4. What looks like an address and is none, and a name without addresses, end the list: HostUnknown.
           A Subject whose name is "" knows addresses only: every look-up has the address as its key.
STANDARDS  Exim specification, sections "Host lists", "Host list patterns that match by IP address", "… by name"
READ NEXT  names.py
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from labkit.eximconf.blanks import BLANKS
from labkit.eximconf.expansion import hosts
from labkit.eximconf.expansion.outcomes import Stop, deferred
from labkit.eximconf.expansion.texts import lower
from labkit.eximconf.lists.kinds import EMPTY, Context, Hit, HostUnknown, Pattern, Subject
from labkit.eximconf.lists.lookups import Search, read_search, searched
from labkit.eximconf.lists.names import own_names
from labkit.eximconf.lists.patterns import string_pattern
from labkit.eximconf.lists.walking import run
from labkit.mail.asking import Asking, ask
from labkit.mail.questions import AddressesOf

_BITS = re.compile(rf"[{BLANKS}]*\+?[0-9]+|[{BLANKS}]*-0+|")
_MALFORMED = re.compile(r"[0-9.]+(?:/.*)?", re.DOTALL)
_NET = re.compile(r"net([0-9]*)-")
_NAME = re.compile(r"[A-Za-z0-9._-]+")


def host_pattern(written: str, context: Context) -> Pattern:
    """The Pattern of one item."""
    if written == "*":
        return Pattern(lambda subject: EMPTY)
    if not written:
        return Pattern(lambda subject: None if subject.text else EMPTY)
    if written == "@":
        return Pattern(asking=_is_this_host)
    if written == "@[]":
        return Pattern(lambda subject: EMPTY if subject.text in subject.env.here.addresses else None)
    if (network := read_network(written)) is not None:
        return _network_pattern(*network)
    if _MALFORMED.fullmatch(written):
        return _unknown("malformed IPv4 address or address mask")
    if ";" in written:
        return _lookup_pattern(written, context)
    if _NAME.fullmatch(written):
        return _by_address(written)
    return _by_name(string_pattern(written, context, specials=True))


def read_network(written: str) -> tuple[int, int, int] | None:
    """Version, network and shift of an address with or without mask; None for anything else."""
    bare, slash, bits = written.partition("/")
    if slash and ("%" in written or not _BITS.fullmatch(bits)):
        return None
    found = hosts.read_with_scope(bare)
    if found is None:
        return None
    digits = bits.lstrip(BLANKS + "+-0") if slash else "999"
    size = int(digits or 0) if len(digits) < 5 else 999  # nothing behind the slash is 0, too
    shift = max(0, found.max_prefixlen - size)
    return found.version, int(found) >> shift, shift


def address_of(subject: Subject) -> hosts.Address | None:
    """The subject as an address; one of IPv4 in IPv6 becomes IPv4."""
    if subject.address is None:
        subject.address = hosts.without_mapping(hosts.read_with_scope(subject.text))
    return subject.address


def _network_pattern(version: int, network: int, shift: int) -> Pattern:
    def plain(subject: Subject) -> Hit | None:
        address = subject.address or address_of(subject)
        if address is None or address.version != version or int(address) >> shift != network:
            return None
        return EMPTY

    return Pattern(plain)


def _is_asked_for(subject: Subject) -> bool:
    """False: nobody is connected. Raises HostUnknown where names do not count."""
    if subject.text and subject.name == "":
        raise HostUnknown("cannot match host name in match_ip list")
    return subject.text != ""


def _by_address(name: str) -> Pattern:
    def asking(subject: Subject) -> Asking[Hit | None]:
        return (yield from _has_address(name, subject)) if _is_asked_for(subject) else None

    return Pattern(asking=asking)


def _by_name(pattern: Pattern) -> Pattern:
    def asking(subject: Subject) -> Asking[Hit | None]:
        return (yield from _any_name(pattern, subject)) if _is_asked_for(subject) else None

    return Pattern(asking=asking)


def _unknown(reason: str) -> Pattern:
    def asking(subject: Subject) -> Asking[Hit | None]:
        if subject.text:
            raise HostUnknown(reason)
        return None
        yield

    return Pattern(asking=asking)


def _is_this_host(subject: Subject) -> Asking[Hit | None]:
    """@: the addresses of our own name."""
    if not _is_asked_for(subject):
        return None
    name = subject.env.here.primary_hostname
    network = read_network(name)
    if network is not None:
        match = _network_pattern(*network).plain
        assert match is not None
        return match(subject)
    return (yield from _has_address(name, subject))


def _has_address(name: str, subject: Subject) -> Asking[Hit | None]:
    """A whole host name: does it have the subject's address?"""
    answer = yield from ask(AddressesOf(name))
    if answer.outcome.is_temporary:
        raise deferred(f'DNS lookup of "{name}" deferred')
    if not answer.records:
        raise HostUnknown(f"failed to find IP address for {name}")
    wanted = address_of(subject)
    return EMPTY if wanted in [hosts.read_with_scope(each) for each in answer.records] else None


def _any_name(pattern: Pattern, subject: Subject) -> Asking[Hit | None]:
    """A pattern for names: does one of the host's names match?"""
    names = (subject.name,) if subject.name else (yield from own_names(subject))
    for name in names:
        hit = yield from run(pattern, subject.part(name))
        if hit is not None:
            return hit
    return None


def _lookup_pattern(written: str, context: Context) -> Pattern:
    """`net-type;` and `net24-type;` look for the address, as every look-up does where names do not count."""
    net = _NET.match(written)
    bits = int(net[1][:4]) if net and net[1] else None
    by_address = _read(written[net.end() :] if net else written, context, plain_types=True)
    by_name = by_address if net else _read(written, context, plain_types=False)

    def asking(subject: Subject) -> Asking[Hit | None]:
        if not subject.text:
            return None
        search = by_address if net or subject.name == "" else by_name
        if isinstance(search, Stop):
            raise Stop(search.outcome)
        if bits is not None and search.kind == "iplsearch":
            raise deferred(
                f'"{_key(subject, bits, colons=True)}" is not a valid iplsearch key: use net-iplsearch'
            )
        if search is by_address:
            keys: Sequence[str] = (_key(subject, bits, colons=search.kind == "iplsearch"),)
        elif search.is_query:
            keys = ("",)
        else:
            keys = (subject.name,) if subject.name else (yield from own_names(subject))
        for key in keys:
            hit = yield from searched(search, lower(key), subject)
            if hit is not None:
                return hit
        return None

    return Pattern(asking=asking)


def _read(written: str, context: Context, *, plain_types: bool) -> Search | Stop:
    try:
        return read_search(written, context, plain_types=plain_types)
    except Stop as stop:
        return stop


def _key(subject: Subject, bits: int | None, *, colons: bool) -> str:
    """The address, masked; one of IPv6 in full and with dots, so that it can be a key in a file."""
    address = address_of(subject) if colons else hosts.read_with_scope(subject.text)
    if address is None:
        return subject.text
    mask = "" if bits is None else f"/{bits}"
    shift = 0 if bits is None else max(0, address.max_prefixlen - bits)
    masked = type(address)(int(address) >> shift << shift)
    text = masked.exploded if colons or address.version == 4 else masked.exploded.replace(":", ".")
    return text + mask
