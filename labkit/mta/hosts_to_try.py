"""Find the hosts that a transport names by itself: `hosts`, `fallback_hosts`.

WHAT       `hosts_named` looks names up when their turn comes, as the smtp transport does; a name may have a port.
DECIDES    a name that is not found is passed over; one that is ourselves ends it, unless allow_localhost is set.
STANDARDS  Exim specification, chapter "The smtp transport", options hosts, fallback_hosts, allow_localhost
READ NEXT  calling.py
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from labkit.eximconf.expansion.hosts import is_ip
from labkit.mail.asking import Asking, ask
from labkit.mail.questions import AddressesOf
from labkit.mta.host_trouble import IS_LOCAL, HostTrouble
from labkit.queue import errors
from labkit.routing import NextHop
from labkit.routing.host_list import read_hosts


@dataclass(frozen=True, slots=True)
class Named:
    """What was found: hosts to try, the trouble with names, and how many names were not found, for now or for good."""

    hops: tuple[NextHop, ...]
    trouble: HostTrouble | None = None
    not_found: int = 0
    not_now: int = 0


def hosts_named(text: str, own: Collection[str], transport: str, *, allows_ourselves: bool) -> Asking[Named]:
    """The hosts of a list, each with its addresses, in the order of the list."""
    hops: list[NextHop] = []
    trouble, not_found, not_now = None, 0, 0
    for host in read_hosts(text):
        if is_ip(host.name):
            addresses: tuple[str, ...] = (host.name,)
        else:
            found = yield from ask(AddressesOf(host.name))
            addresses = tuple(found.records)
            if not addresses:
                trouble = HostTrouble(
                    errors.UNKNOWN_HOST, f"failed to lookup IP address for {host.name}", names_host=False
                )
                not_now += found.outcome.is_temporary
                not_found += not found.outcome.is_temporary
                continue
        if not allows_ourselves and any(each in own or each.startswith("127.") for each in addresses):
            words = f"{transport} transport found host {host.name} to be local"
            return Named(tuple(hops), HostTrouble(IS_LOCAL, words, names_host=False, stops=True))
        hops += (NextHop(host.name, address, None, host.port) for address in addresses)
    return Named(tuple(hops), trouble, not_found, not_now)
