"""What `exim -bt` printed, as the value that labkit's own routing gives.

LIKE EXIM  a block for each address that comes of one: the address, its parents, router and transport, hosts; or one
           line that says why there is no way
READ NEXT  exim_engine.py
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from labkit.mail.address import AddressSyntaxError, Mailbox
from labkit.routing import NextHop, Route, Routed, RouteOutcome

_WAY = re.compile(r"(?:router = (?P<router>\S+), )?transport = (?P<transport>\S+)")
_HOST = re.compile(r"host (?P<name>\S+)\s+\[(?P<address>[^\]]+)\](?:\s+MX=(?P<preference>\d+))?")
_ENDS = (
    (" is undeliverable", RouteOutcome.FAILED),
    (" cannot be resolved at this time", RouteOutcome.DEFERRED),
    (" is discarded", RouteOutcome.DISCARDED),
)


def routes_in(text: str, address: str) -> Routed:
    """Read the output. What cannot be read is put off, with the output as its reason."""
    routes = tuple(_route(block, address) for block in _blocks(text))
    if not routes:
        routes = (Route(_mailbox(address, address), RouteOutcome.DEFERRED, text.strip()),)
    return Routed(address, routes)


def _blocks(text: str) -> Iterator[list[str]]:
    """The lines of each address: the first stands at the margin."""
    block: list[str] = []
    for line in text.splitlines():
        if block and not line.startswith(" "):
            yield block
            block = []
        if line:
            block.append(line)
    if block:
        yield block


def _route(block: list[str], asked: str) -> Route:
    first, details = block[0], [line.strip() for line in block[1:]]
    parents = tuple(line[4:] for line in details if line.startswith("<-- "))
    for words, outcome in _ENDS:
        name, found, rest = first.removeprefix("mail to ").partition(words)
        if found:
            return Route(_mailbox(name, asked), outcome, rest.removeprefix(": "), text=name, parents=parents)
    name, _, target = first.partition(" -> ")
    way = next(filter(None, map(_WAY.match, details)), None)
    if way is None:
        return Route(_mailbox(name, asked), RouteOutcome.DEFERRED, "\n".join(block))
    hosts = tuple(
        NextHop(host["name"], host["address"], int(host["preference"]) if host["preference"] else None)
        for host in filter(None, map(_HOST.match, details))
    )
    return Route(
        _mailbox(name, asked),
        RouteOutcome.ROUTED,
        "",
        (),
        way["router"],
        way["transport"],
        hosts,
        text=target or name,
        parents=parents,
        is_target=bool(target),
    )


def _mailbox(text: str, asked: str) -> Mailbox:
    for candidate in (text, asked):
        try:
            return Mailbox.parse(candidate)
        except AddressSyntaxError:
            continue
    return Mailbox(asked, "")
