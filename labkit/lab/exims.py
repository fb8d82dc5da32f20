"""The real Exims of a world, all together: when they are done, and what their logs say.

WHAT       `Exims.are_done` waits until none of them does anything any more and writes what happened into the journal.
WHY        lab time may go on only then; and what one of them did before is written before what follows from it.
READ NEXT  world.py
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from labkit.lab.engine import Engine
from labkit.lab.exim_engine import EximEngine
from labkit.lab.exim_facts import Fact, in_order
from labkit.net.callers import callers_of
from labkit.net.loopback import Loopback
from labkit.net.network import Peer

if TYPE_CHECKING:
    from labkit.lab.world import World


class Exims:
    """Those hosts of `world` that run the real Exim; they may change at any time."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._were_any = False

    def expect(self) -> None:
        """A host is about to run one. Until then nobody looks through the hosts: it would be done for every event."""
        self._were_any = True

    def _engines(self) -> Iterable[tuple[str, EximEngine]]:
        if not self._were_any:
            return
        for name, host in self._world.hosts.items():
            engine: Engine = host.engine
            if isinstance(engine, EximEngine):
                yield name, engine

    async def are_done(self) -> None:
        """Wait until all that they do now is done, unless somebody outside the lab keeps them busy."""
        if any(True for _ in self._engines()):
            await self._world.programs.quiet(lambda: bool(self.callers()))
            self.look()

    def look(self) -> None:
        """Take note of what happened, and of what waits now. It is cheap, and done often: anybody may call an Exim."""
        self.hear()
        for _, engine in self._engines():
            engine.look()

    def hear(self) -> None:
        """Write what their logs say since the last time into the journal."""
        if not any(True for _ in self._engines()):  # it is asked for every event
            return
        heard: dict[str, list[Fact]] = {}
        while fresh := {name: facts for name, engine in self._engines() if (facts := engine.new_facts())}:
            for (
                name,
                facts,
            ) in fresh.items():  # and again: a cause may have been written after its log was read
                heard.setdefault(name, []).extend(facts)
        for name, fact in in_order(heard):
            self._world.journal.note(name, fact.kind, **fact.details)

    def callers(self) -> list[Peer]:
        """Who has a session open with one of them, and is no host of the lab."""
        network, hosts = self._world.network, self._world.hosts
        if not isinstance(network, Loopback):
            return []
        places = [
            network.real_place(hosts[name].address, port)
            for name, engine in self._engines()
            for port in engine.ports
        ]
        own = {host.address for host in hosts.values()}
        peers = [network.peer(caller, True) for caller in callers_of(places)]
        return [peer for peer in peers if peer.address not in own]
