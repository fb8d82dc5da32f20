"""The map of a lab's mail, live: hosts, where DNS sends mail, and messages on their way through lab time.

WHAT       `mail_map(world)`: hosts with address and state, MX arrows with their preference, and the journal's facts as
           steps, forward and back. A host shows its log and its configuration, a message its journey, hop by hop; a
           loop turns, and the count on its arrows grows.
LIMITS     trail.py and mail_map_places.py say how many steps, messages and hosts; what is left out is said and counted.
READ NEXT  ../trail.py, mail_map_places.py, ../static/mailmap.js
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from labkit.lab.host import Host
from labkit.lab.world import World
from labkit.mail.event import MailEvent
from labkit.teach.following import Part, WorldView
from labkit.teach.markup import clip, visible
from labkit.teach.tables import folded, text_table
from labkit.teach.trail import OUTSIDE, Totals, Trail, Traveller
from labkit.teach.views.mail_map_places import Drawing, drawing

MOST_LOG_LINES = 120
LONGEST_LOG_LINE = 300
LONGEST_FILE = 20_000
MOST_JOURNEYS = 6  # in the static forms
MOST_HOPS = 14  # of each there
_HOST_HEAD = ("host", "address", "state", "waiting")
_MX_HEAD = ("mail for", "preference", "goes to")
_HOP_HEAD = ("from", "to", "times")
_MESSAGE_HEAD = ("message", "from", "to", "subject", "hops", "now")
_STEP_HEAD = ("lab time", "host", "what happened")
_LONG: dict[Sequence[str], int] = {_MESSAGE_HEAD: 3, _STEP_HEAD: 2}  # the column that is folded in plain text


def mail_map(world: World) -> MailMap:
    """The hosts of a world, its MX records, and the way of every message."""
    return MailMap(world)


class MailMap(WorldView):
    """What `mail_map` gives."""

    script = "mailmap.js"

    def __init__(self, world: World) -> None:
        scenario = world.scenario
        machines = {plan.address: plan.name for plan in scenario.hosts}
        machines |= {plan.address: plan.name for plan in scenario.laptops}
        self.trail = Trail(machines, frozenset(plan.name for plan in scenario.hosts))
        self._opened: dict[str, Any] | None = None  # the host whose log and configuration are on show
        super().__init__(world)

    def takes(self, event: MailEvent) -> None:
        self.trail.take(event)

    # --- what the browser asks for ------------------------------------------------------------

    async def hear(self, message: Mapping[str, Any]) -> None:
        """The log and the configuration of a host; the rest the browser does by itself."""
        match message:
            case {"ask": "host", "host": str(name)}:
                self._opened = self._described(self.world.host(name))
            case {"ask": "close"}:
                self._opened = None
            case _:
                raise ValueError("the mail map does not know this message")
        self.refresh()

    def _described(self, host: Host) -> dict[str, Any]:
        lines = host.log().splitlines()
        shown = [visible(clip(line, LONGEST_LOG_LINE)) for line in lines[-MOST_LOG_LINES:]]
        if len(lines) > MOST_LOG_LINES:
            shown.insert(0, f"[{len(lines) - MOST_LOG_LINES:,} earlier lines are left out]")
        return {
            "host": host.name,
            "log": "\n".join(shown) or "(nothing yet)",
            "configuration": visible(clip(host.configuration, LONGEST_FILE)),
        }

    # --- what is shown ------------------------------------------------------------------------

    def state(self) -> dict[str, Any]:
        drawn, trail = self._drawing(), self.trail
        return {
            "title": f"The mail of {self.world.scenario.title}",
            "time": f"{self.world.now():%A %d %B %Y, %H:%M} lab time",
            "height": drawn.height,
            "nodes": [asdict(node) | {"silent": self._is_silent(node.address)} for node in drawn.nodes],
            "mx": [asdict(arrow) for arrow in drawn.arrows],
            "left_out": "; ".join(filter(None, (drawn.left_out, self._steps_left_out))),
            "before": {
                "hops": [[*way, count] for way, count in sorted(trail.before.hops.items())],
                "waiting": dict(sorted(trail.before.waiting.items())),
                "down": sorted(trail.before.down),
            },
            "steps": [asdict(step) for step in trail.steps],
            "messages": [_message_state(each) for each in trail.messages.values()],
            "host": self._opened,
        }

    def _drawing(self) -> Drawing:
        ways = self._totals().hops
        touched = {name for way in ways for name in way}
        return drawing(self.world, touched, OUTSIDE in touched)

    def _is_silent(self, address: str) -> bool:
        return self.world.network.is_silent(address, 25)

    def _totals(self) -> Totals:
        """How things stand after the last step."""
        before = self.trail.before
        totals = Totals(before.hops.copy(), before.waiting.copy(), set(before.down))
        for step in self.trail.steps:
            totals.take(step)
        return totals

    @property
    def _steps_left_out(self) -> str:
        trail = self.trail
        words = []
        if trail.left_out:
            words.append(f"{trail.left_out:,} earlier steps are left out, and counted")
        if hidden := trail.count - len(trail.messages):
            words.append(f"{hidden:,} messages are not listed")
        return "; ".join(words)

    # --- the static forms ---------------------------------------------------------------------

    def parts(self) -> list[Part]:
        totals, trail = self._totals(), self.trail
        shown = {node.name for node in self._drawing().nodes}
        hosts = [
            (plan.name, plan.address, self._state_of(plan.name, totals), str(totals.waiting[plan.name]))
            for plan in self.world.scenario.hosts
            if plan.name in shown
        ]
        arrows = [(mx.domain, str(mx.preference), mx.exchange) for mx in self._drawing().arrows]
        ways = [
            (source, target, str(count))
            for (source, target), count in sorted(totals.hops.items(), key=lambda way: (-way[1], way[0]))[:30]
        ]
        messages = [_message_row(each) for each in trail.messages.values()]
        title = f"The mail of {self.world.scenario.title}, {self.world.now():%a %d %b %Y %H:%M} lab time"
        parts: list[Part] = [
            (title, _HOST_HEAD, hosts),
            ("Where DNS sends mail (MX)", _MX_HEAD, arrows),
        ]
        if ways:
            parts.append(("Hops so far", _HOP_HEAD, ways))
        if messages:
            parts.append(("Messages", _MESSAGE_HEAD, messages))
        for each in list(trail.messages.values())[-MOST_JOURNEYS:]:
            steps = [step for step in trail.steps if step.message == each.number]
            rows = [(step.at, step.host, step.words) for step in steps]
            if len(rows) > MOST_HOPS:
                half = MOST_HOPS // 2
                hidden = f"({len(rows) - MOST_HOPS:,} steps are left out here)"
                rows = [*rows[:half], ("", "", hidden), *rows[-half:]]
            parts.append((f"The journey of message {each.number}", _STEP_HEAD, rows))
        return parts

    def text(self) -> str:
        tables = [
            text_table(head, folded(head, rows, _LONG[head]) if head in _LONG else rows, title)
            for title, head, rows in self.parts()
        ]
        return "\n\n".join([*tables, self.ending] if self.ending else tables)

    def _state_of(self, name: str, totals: Totals) -> str:
        node = next(plan for plan in self.world.scenario.hosts if plan.name == name)
        silent = ", port 25 silent" if self._is_silent(node.address) else ""
        return ("down" if name in totals.down else "up") + silent

    @property
    def ending(self) -> str:
        nothing = "" if self.trail.count else "No message has been sent yet."
        return "; ".join(filter(None, (self._drawing().left_out, self._steps_left_out, nothing)))


def _message_state(traveller: Traveller) -> dict[str, Any]:
    return {
        "number": traveller.number,
        "subject": traveller.subject,
        "sender": "<> (a report)" if traveller.is_report else traveller.sender,
        "recipients": traveller.recipients,
        "hops": traveller.hops,
        "turns": traveller.most_turns,
        "ending": traveller.ending,
    }


def _message_row(traveller: Traveller) -> Sequence[str]:
    found = _message_state(traveller)
    loop = f", came to one host {traveller.most_turns} times: a loop" if traveller.most_turns > 1 else ""
    return (
        str(traveller.number),
        found["sender"],
        found["recipients"],
        found["subject"],
        str(traveller.hops),
        traveller.ending + loop,
    )
