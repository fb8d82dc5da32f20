"""The lab's card: who is who, at which address, on which ports, and what time it is there.

WHAT       a table, and in JupyterLab a strip that stays in sight; both follow the lab while it changes.
READ NEXT  ../static/card.js, ../checks.py
"""

from __future__ import annotations

from typing import Any
from weakref import ref

from labkit.lab.world import World
from labkit.mail.event import EventKind, MailEvent
from labkit.teach.markup import Markup, join, tag
from labkit.teach.show import shows
from labkit.teach.tables import table, text_table
from labkit.teach.view import LiveView

_ROLES = {"student": "your", "partner": "your partner's"}  # else: "somebody else's"
_HEAD = ("whose", "name", "address", "ports", "people")
_CHANGES = frozenset({EventKind.STARTED, EventKind.STOPPED, EventKind.CLOCK})


@shows(World)
class CardView(LiveView):
    """The card of a world."""

    script = "card.js"

    def __init__(self, world: World) -> None:
        super().__init__()
        self.world = world
        card = ref(self)  # the world must not keep the cards of cells that were run again

        def hear(event: MailEvent) -> None:
            if event.kind in _CHANGES and (here := card()) is not None:
                here.refresh()

        world.journal.listen(hear)

    def state(self) -> dict[str, Any]:
        world = self.world
        own = next(plan for plan in world.scenario.hosts if plan.role == "student")
        return {
            "title": self._title,
            "time": self._time,
            "you": f"you: {own.name}",
            "short": f"{own.address}, {self._port_words(own.name)}; {world.now():%a %d %b, %H:%M} lab time",
            "running": world.is_running,
            "head": list(_HEAD),
            "rows": [list(row) for row in self._rows()],
        }

    def _rows(self) -> list[tuple[str, ...]]:
        scenario = self.world.scenario
        return [
            *(
                (_whose(plan.role), plan.name, plan.address, self._ports(plan.name), ", ".join(plan.accounts))
                for plan in scenario.hosts
            ),
            *(
                (f"{_whose(plan.role)} laptop", plan.name, plan.address, "", plan.owner)
                for plan in scenario.laptops
            ),
            ("everybody's names", "nameserver", scenario.nameserver, "53", ""),
        ]

    def _ports(self, name: str) -> str:
        host = self.world.hosts.get(name)
        return "stopped" if host is None or not host.is_running else ", ".join(map(str, host.ports))

    def _port_words(self, name: str) -> str:
        ports = self._ports(name)
        return ports if ports == "stopped" else f"port {ports}"

    @property
    def _title(self) -> str:
        is_real = self.world.network.name == "loopback"
        where = "on this machine" if is_real else "in memory, so other programs cannot take part"
        return f"The lab: {self.world.scenario.title} ({where})"

    @property
    def _time(self) -> str:
        return f"Lab time: {self.world.now():%A %d %B %Y, %H:%M} UTC"

    def html(self) -> Markup:
        return join(table(_HEAD, self._rows(), self._title, code=[1, 2]), tag("p", self._time))

    def text(self) -> str:
        return f"{text_table(_HEAD, self._rows(), self._title)}\n{self._time}"


def _whose(role: str) -> str:
    return _ROLES.get(role, "somebody else's")
