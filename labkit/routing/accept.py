"""The accept router: it takes whatever passes its preconditions.

STANDARDS  Exim specification, chapter "The accept router"
READ NEXT  dnslookup.py
"""

from __future__ import annotations

from labkit.eximconf.lists import NamedLists
from labkit.mail.asking import Asking
from labkit.routing.compile import Router, Transports
from labkit.routing.taking import has_extras, queue, take
from labkit.routing.way import Address, Said, Walk


def make_accept(router: Router, named: NamedLists, transports: Transports | None) -> None:
    """Give the router what it does. Raises ConfigurationError."""
    choice = router.transport
    assert choice is not None

    def run(walk: Walk, address: Address) -> Asking[Said]:
        return take(walk, router, address)

    def plain(walk: Walk, address: Address) -> Said:
        return queue(walk, router, address, choice.name)

    router.run = run
    is_there = choice.transports is None or choice.name in choice.transports
    if choice.name is not None and is_there and not has_extras(router):
        router.plain = plain
