"""Views of the real machine and of known holes: what is installed, what listens, what a signature does not promise.

READ NEXT  capabilities.py
"""

from __future__ import annotations

import textwrap
from collections.abc import Sequence

from labkit.lab.downloads import Hole
from labkit.lab.machine import Companion, Machine
from labkit.teach.markup import Markup, join, tag
from labkit.teach.show import shows
from labkit.teach.tables import table, text_table
from labkit.teach.view import View


@shows(Machine)
class MachineView(View):
    """What was found on this computer, and what could not be looked at."""

    head = ("", "what", "")

    def __init__(self, machine: Machine) -> None:
        self.machine = machine
        self.rows = [(trace.kind, trace.name, trace.detail) for trace in machine.traces]

    @property
    def _summary(self) -> str:
        there = "An MTA is installed on this computer" if self.machine.has_mta else "No MTA was found here"
        busy = "somebody listens" if self.machine.listens else "nobody listens"
        unseen = ", ".join(trace.name for trace in self.machine.of("not looked"))
        return f"{there}, and {busy} on the mail ports." + (f" Not looked at: {unseen}." if unseen else "")

    def html(self) -> Markup:
        found = table(self.head, self.rows, "This computer", code=[1]) if self.rows else None
        return join(found, tag("p", self._summary))

    def text(self) -> str:
        found = [text_table(self.head, self.rows, "This computer")] if self.rows else []
        return "\n".join([*found, self._summary])


@shows(Companion, many=True)
class CompanionsView(View):
    """What installing a package brings along."""

    head = ("package", "how strongly", "asks for")

    def __init__(self, companions: Sequence[Companion]) -> None:
        self.rows = [(each.package, each.how, each.what) for each in companions]

    def html(self) -> Markup:
        return table(self.head, self.rows, "Does it bring an MTA?", code=[0])

    def text(self) -> str:
        return text_table(self.head, self.rows, "Does it bring an MTA?")


@shows(Hole, many=True)
class HolesView(View):
    """Holes that a release has, however good its signature is: only those that the lab can show."""

    head = ("hole", "closed upstream in", "what it is")

    def __init__(self, holes: Sequence[Hole]) -> None:
        self.rows = [(hole.name, hole.closed_in, hole.what) for hole in holes]
        if len(holes) == 1:
            self.title = "One of its holes: the one that this lab can show"
        else:
            self.title = "Some of its holes: those that this lab can show"

    def html(self) -> Markup:
        return table(self.head, self.rows, self.title, whole=[0])

    def text(self) -> str:
        rows = [(name, closed, textwrap.fill(what, 70)) for name, closed, what in self.rows]
        return text_table(self.head, rows, self.title)
