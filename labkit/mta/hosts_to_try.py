"""Find the hosts that a transport names by itself: `hosts`, `fallback_hosts`.

WHAT       `hosts_named` looks names up when their turn comes, as the smtp transport does; a name may have a port.
DECIDES    a name that is not found is passed over; one that is ourselves ends it, unless allow_localhost is set;
           whether an address that is not signed will do (dnssec_require_domains), and whether that it is matters.
STANDARDS  Exim specification, chapter "The smtp transport", options hosts, fallback_hosts, allow_localhost
READ NEXT  calling.py
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from labkit.eximconf.configuration import Driver
from labkit.eximconf.expansion import Env
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


def hosts_named(
    text: str, own: Collection[str], transport: Driver, env: Env, *, allows_ourselves: bool
) -> Asking[Named]:
    """The hosts of a list, each with its addresses, in the order of the list."""
    hops: list[NextHop] = []
    trouble, not_found, not_now = None, 0, 0
    for host in read_hosts(text):
        is_secure = False
        if is_ip(host.name):
            addresses: tuple[str, ...] = (host.name,)
        else:
            found = yield from ask(AddressesOf(host.name))
            addresses = tuple(found.records)
            by_name = transport.options.flag("gethostbyname")  # who asks so is not told what is signed
            is_secure = found.is_secure and not by_name
            needs = not by_name and (yield from _is_in("dnssec_require_domains", host.name, transport, env))
            if needs and addresses and not is_secure:
                words = f"lookup of IP address for {host.name} was insecure"
                trouble = HostTrouble(errors.UNKNOWN_HOST, words, names_host=False)
                not_found += 1
                continue
            if is_secure and not needs:
                is_secure = yield from _is_in("dnssec_request_domains", host.name, transport, env)
            if not addresses:
                trouble = HostTrouble(
                    errors.UNKNOWN_HOST, f"failed to lookup IP address for {host.name}", names_host=False
                )
                not_now += found.outcome.is_temporary
                not_found += not found.outcome.is_temporary
                continue
        if not allows_ourselves and any(each in own or each.startswith("127.") for each in addresses):
            words = f"{transport.name} transport found host {host.name} to be local"
            return Named(tuple(hops), HostTrouble(IS_LOCAL, words, names_host=False, stops=True))
        hops += (NextHop(host.name, address, None, host.port, is_secure) for address in addresses)
    return Named(tuple(hops), trouble, not_found, not_now)


def _is_in(option: str, name: str, transport: Driver, env: Env) -> Asking[bool]:
    patterns = transport.options.patterns(option)
    return patterns is not None and (yield from patterns.contains(name, env))
