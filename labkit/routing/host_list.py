"""The hosts of a manualroute router: names, addresses, ports, `host/mx`.

WHAT       read_hosts cuts a list (`a.test::2525 : [203.0.113.9]:26 : b.test/mx`); `find_hosts` looks each one up.
DECIDES    host_find_failed, and what follows if we are one of the hosts: it and all after it go, unless it is the first
STANDARDS  Exim specification, chapter "The manualroute router", sections "Format of one routing rule",
           "Format of the list of hosts", "How the list of hosts is used"
SIMPLER    hosts_randomize changes nothing: groups keep their order, and hosts theirs in a group (two runs do the same)
READ NEXT  manualroute.py
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace

from labkit.eximconf.expansion.hosts import is_ip
from labkit.eximconf.lists import split_list
from labkit.mail.asking import Asking
from labkit.routing.compile import Router
from labkit.routing.dnslookup import dnssec, ignoring
from labkit.routing.mx import Exchangers, Manner, MxOutcome, NextHop, addresses_of, exchangers_of, is_name
from labkit.routing.self_action import act_on_self
from labkit.routing.way import Address, Said, Walk

_PORT = re.compile(r"(.+):([0-9]+)")
_SUFFIX = "/mx"


@dataclass(frozen=True, slots=True)
class NamedHost:
    """One item of the list."""

    name: str
    port: int | None
    is_mx: bool  # the hosts are those of its MX records


def read_hosts(text: str) -> list[NamedHost]:
    """The items of a host list. A `+` alone parts groups that are shuffled elsewhere, and says nothing here."""
    return [_read_host(item) for item in split_list(text) if item != "+"]


def _read_host(item: str) -> NamedHost:
    name, port = item, None
    found = _PORT.fullmatch(item)
    if found is not None and len(item) >= 3:
        if item.startswith("[") and found[1].endswith("]"):
            name, port = found[1][1:-1], int(found[2])
        elif ":" not in found[1]:
            name, port = found[1], int(found[2])
    is_mx = len(name) > len(_SUFFIX) and name.lower().endswith(_SUFFIX)
    return NamedHost(name[: -len(_SUFFIX)] if is_mx else name, port, is_mx)


@dataclass(frozen=True, slots=True)
class HowToFind:
    """`if_failed` is host_find_failed; `is_strict`: bydns was said, so no other way is tried.

    `by_name`: byname was said; a program that asks in that way is not told what is signed.
    """

    if_failed: str
    is_strict: bool = False
    by_name: bool = False


def find_hosts(
    walk: Walk, router: Router, address: Address, named: list[NamedHost], how: HowToFind
) -> Asking[Said | None]:
    """Fill in the hosts of the address. None: that was possible; else what the router says.

    As in Exim, an address that is passed on keeps the hosts so far: a local transport sees them as $host.
    """
    hosts: list[NextHop] = []
    sends_to_self = False
    for at, each in enumerate(named):
        found = yield from _look_up(walk, router, each, how)
        if walk.trace is not None:
            walk.trace.explain(found.steps)
        if found.outcome is MxOutcome.TRY_LATER:
            if router.pass_on_timeout:
                address.hosts = (*hosts, *(NextHop(left.name, "", None) for left in named[at:]))
                return Said.PASS
            address.message = f"host lookup for {each.name} did not complete (DNS timeout?)"
            return Said.DEFER
        if found.outcome is MxOutcome.INSECURE:
            address.message = f"host lookup for {each.name} done insecurely"
            return Said.DEFER
        is_ours = found.outcome in (MxOutcome.OURSELVES, MxOutcome.OUR_ADDRESS)
        if found.outcome is not MxOutcome.FOUND and not is_ours:
            if how.if_failed == "ignore":
                continue
            address.hosts = (*hosts, *(NextHop(left.name, "", None) for left in named[at:]))
            return _failed(address, router, each, how)
        address.local_host_removed = address.local_host_removed or found.left_ourselves_out
        new = [hop if each.port is None else replace(hop, port=each.port) for hop in found.hosts]
        if is_ours and not sends_to_self:
            if hosts:
                address.local_host_removed = True
                break
            said = act_on_self(router.self_action, walk, address, new[0])
            if said is not None:
                return said
            sends_to_self = True
        hosts += new
    address.hosts = tuple(hosts)
    return None


def _look_up(walk: Walk, router: Router, host: NamedHost, how: HowToFind) -> Asking[Exchangers]:
    needs, asks = False, False
    if host.is_mx or not how.by_name:
        needs, asks = yield from dnssec(router, host.name, walk)
    manner = Manner(ignoring(router.ignored, walk), needs_mx=True, needs_dnssec=needs, asks_dnssec=asks)
    return (yield from (exchangers_of if host.is_mx else addresses_of)(host.name, manner))


def _failed(address: Address, router: Router, host: NamedHost, how: HowToFind) -> Said:
    if how.if_failed in ("pass", "decline"):
        return Said.PASS if how.if_failed == "pass" else Said.DECLINE
    words = f'lookup of host "{host.name}" failed in {router.name} router'
    is_odd = not is_name(host.name) and not is_ip(host.name)
    address.message = words + (": syntax error in name" if is_odd and (host.is_mx or how.is_strict) else "")
    address.freezes = how.if_failed == "freeze"
    return Said.FAIL if how.if_failed == "fail" else Said.DEFER
