"""The trust boundary: which lines of a header a stranger could have written.

WHAT       `trust_of(fields, hops, trusted)` -> Trust: everything from the field `boundary` on could be forged, and why.
           `trust_at(fields, hops, level)`: the same for a slider; level n believes the n topmost Received fields.
DECIDES    from the top down: a Received field written by a trusted host is believed, and so is what it says of its
           client's address. If that client is trusted, too (or is the same host), the next one below is looked at. If
           not, all that is below came from a stranger, who may have invented it. A HELO name convinces nobody.
DEFAULT    trusted is only who wrote the topmost Received field: the reader's own server.
RULES      what could be forged need not be. A signature that verifies (DKIM) vouches for the fields it covers.
STANDARDS  RFC 5321 §7.1 (mail is easily forged), RFC 8601 §1.2 (trust boundary), §5 (removing foreign results)
READ NEXT  findings.py
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network

from labkit.headers.values import Field, Hop, Received
from labkit.mail.visible import visible


@dataclass(frozen=True, slots=True)
class Trust:
    """`level` Received fields of `levels` are believed, the topmost ones. `boundary` is the index of the first field
    that a stranger could have written; no field has it if there is none. `client` handed the message over there.
    """

    level: int
    levels: int
    boundary: int
    hosts: tuple[str, ...]
    client: str
    words: str

    def could_be_forged(self, index: int) -> bool:
        return index >= self.boundary

    def has(self, name: str) -> bool:
        """True if this name or address is one of the trusted hosts."""
        return bool(name) and Hosts(self.hosts).has_name(name)


class Hosts:
    """Trusted hosts: names (`*.a.test` for all below a.test), addresses, networks (192.0.2.0/24)."""

    def __init__(self, trusted: Iterable[str]) -> None:
        self._names: set[str] = set()
        self._endings: tuple[str, ...] = ()
        self._networks: list[IPv4Network | IPv6Network] = []
        for each in trusted:
            text = each.strip().strip("[]").removeprefix("IPv6:").rstrip(".").lower()
            try:
                self._networks.append(ip_network(text, strict=False))
            except ValueError:
                if text.startswith(("*.", ".")):
                    self._endings += (text.lstrip("*"),)
                elif text:
                    self._names.add(text)

    def has_name(self, name: str) -> bool:
        small = name.rstrip(".").lower()
        return (
            small in self._names
            or (bool(self._endings) and small.endswith(self._endings))
            or self.has_address(small)
        )

    def has_address(self, text: str) -> bool:
        try:
            address = ip_address(text.strip("[]"))
        except ValueError:
            return False
        return any(address in network for network in self._networks)


def trust_of(fields: Sequence[Field], hops: Sequence[Hop], trusted: Iterable[str] | None = None) -> Trust:
    """How far the chain of trusted hosts reaches. `trusted` None: only who wrote the topmost Received field."""
    hosts = tuple(trusted) if trusted is not None else _own(hops)
    known = Hosts(hosts)
    level = 0
    for hop in reversed(hops):
        received = hop.received
        if level and not received.is_understood:
            break
        is_known = known.has_name(received.by) or known.has_address(received.by_address)
        if not is_known and (trusted is not None or level or received.by):
            break
        level += 1
        if not _client_is_trusted(received, known):
            break
    return _trust(fields, hops, level, hosts)


def trust_at(fields: Sequence[Field], hops: Sequence[Hop], level: int) -> Trust:
    """The `level` topmost Received fields are believed, whoever wrote them."""
    level = max(0, min(level, len(hops)))
    believed = hops[len(hops) - level :]
    hosts = tuple(dict.fromkeys(hop.received.by for hop in reversed(believed) if hop.received.by))
    return _trust(fields, hops, level, hosts)


def _own(hops: Sequence[Hop]) -> tuple[str, ...]:
    if not hops:
        return ()
    top = hops[-1].received
    return tuple(name for name in (top.by, top.by_address) if name)


def _client_is_trusted(received: Received, known: Hosts) -> bool:
    """The same host, or one of the trusted by its address, or by a reverse name that nobody doubts."""
    if received.is_local or not (received.address or received.reverse_name or received.helo):
        return True
    if received.address:
        if ip_address(received.address).is_loopback or known.has_address(received.address):
            return True
        is_doubted = any("may be forged" in comment for comment in received.comments)
        return bool(received.reverse_name) and not is_doubted and known.has_name(received.reverse_name)
    return known.has_name(
        received.helo
    )  # no address: an internal hop; the line's trusted writer names its partner


def _trust(fields: Sequence[Field], hops: Sequence[Hop], level: int, hosts: tuple[str, ...]) -> Trust:
    if not level:
        return Trust(0, len(hops), 0, hosts, "", _nothing(hops))
    last = hops[len(hops) - level]
    client = visible(_client(last.received))
    boundary = last.field + 1
    return Trust(level, len(hops), boundary, hosts, client, _reason(fields[last.field], last, client))


def _client(received: Received) -> str:
    if received.is_local:
        return received.login or "a program of the same host"
    name = received.reverse_name or received.helo
    if not received.address:
        return name
    return f"{name} [{received.address}]" if name else f"[{received.address}]"


def _nothing(hops: Sequence[Hop]) -> str:
    if not hops:
        return "There is no Received field: nobody says how this message came. All of it could be invented."
    by = visible(hops[-1].received.by) or "nobody that can be read"
    return (
        f"The topmost Received field was written by {by}, which is not trusted: all of it could be invented."
    )


def _reason(field: Field, hop: Hop, client: str) -> str:
    by = visible(hop.received.by) or "your server"
    wrote = f"{by} wrote the Received field in line {field.first_line}"
    if hop.received.is_local:
        return f"{wrote} for a program or user of its own ({client}): what stands below, that one wrote."
    if not client:
        return f"{wrote} and names no client: who wrote what stands below is not known."
    return (
        f"{wrote} and got the message from {client}. Whatever stands below came from there: "
        f"a stranger could have written it, other hosts' Received fields as well."
    )
