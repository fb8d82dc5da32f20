"""The commercial relay's console: events, domains, suppression list and quota, as its customers see them.

WHAT       `relay_console(world)` shows all four; `relay_console(world, "events")` one of them. For one message:
           `relay_console(world, message_id="<...>")`, with the queue ids that join it to the other two logs.
LIMITS     so many events are shown, the newest; how many are left out is said
SAFE       whatever stands in a message or in the DNS is text here, and cut where it is long
READ NEXT  labkit/lab/relay_engine.py
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from labkit.lab.world import World
from labkit.teach.given import expect
from labkit.teach.markup import Markup, clip, join, tag, visible
from labkit.teach.tables import table, text_table
from labkit.teach.view import View

if TYPE_CHECKING:
    from labkit.lab.relay_engine import RelayEngine

TABS = ("events", "domains", "suppressions", "quota")
MOST_EVENTS = 100
LONGEST_CELL = 160
_HEADS = {
    "events": ("time", "event", "Message-ID", "queue id", "from", "to", "what the other host said"),
    "domains": ("domain", "account", "state", "record", "name", "type", "value to publish"),
    "suppressions": ("address", "account", "since", "why", "message"),
    "quota": ("account", "sent in 24 hours", "limit", "left"),
}
_TITLES = {
    "events": "Events",
    "domains": "Domains: what to publish",
    "suppressions": "Suppression list: nothing is sent to these any more",
    "quota": "Quota",
}
_NOTHING = {
    "events": "nothing has happened yet",
    "domains": "no domain is registered",
    "suppressions": "nobody is on it",
    "quota": "there are no accounts",
}

Row = Sequence[str]


def relay_console(world: World, tab: str = "", *, message_id: str = "") -> RelayConsole:
    """The console of the world's relay as it is now. Raises LookupError without a relay, ValueError for another tab."""
    expect(world, World, "relay_console(world)")
    if tab and tab not in TABS:
        raise ValueError(f"the console has no tab {tab!r}; there are {', '.join(TABS)}")
    relay = world.relay
    tabs = ("events",) if message_id else (tab,) if tab else TABS
    return RelayConsole(relay.host.name, [(each, _rows(relay, each, message_id)) for each in tabs])


class RelayConsole(View):
    """What `relay_console` gives."""

    def __init__(self, host: str, tabs: list[tuple[str, list[Row]]]) -> None:
        self.title = f"Console of {host}"
        self.tabs = [(tab, [[_cell(text) for text in row] for row in rows]) for tab, rows in tabs]

    def html(self) -> Markup:
        parts = [tag("h3", self.title)]
        for tab, rows in self.tabs:
            shown = rows[-MOST_EVENTS:]
            parts.append(
                table(_HEADS[tab], shown, _TITLES[tab], code=_code(tab), whole=[0])
                if rows
                else tag("p", tag("b", _TITLES[tab]), f": {_NOTHING[tab]}")
            )
            if len(rows) > len(shown):
                parts.append(tag("p", _left_out(rows)))
        return join(*parts)

    def text(self) -> str:
        parts = [self.title]
        for tab, rows in self.tabs:
            if rows:
                parts.append(text_table(_HEADS[tab], rows[-MOST_EVENTS:], _TITLES[tab]))
            else:
                parts.append(f"{_TITLES[tab]}: {_NOTHING[tab]}")
            if len(rows) > MOST_EVENTS:
                parts.append(_left_out(rows))
        return "\n\n".join(parts)


def _left_out(rows: Sequence[Row]) -> str:
    return f"{len(rows) - MOST_EVENTS:,} older events are not shown"


def _code(tab: str) -> list[int]:
    return {"events": [2, 3], "domains": [4, 6], "suppressions": [0], "quota": []}[tab]


def _cell(text: str) -> str:
    return visible(clip(text, LONGEST_CELL))


def _rows(relay: RelayEngine, tab: str, message_id: str) -> list[Row]:
    if tab == "events":
        return [
            (
                f"{event.at:%d %b %H:%M:%S}",
                event.what,
                event.message_id,
                event.queue_id,
                event.sender or "<>",
                event.recipient,
                " ".join(filter(None, (event.remote, event.words))),
            )
            for event in relay.events
            if not message_id or event.message_id == message_id
        ]
    if tab == "domains":
        rows: list[Row] = []
        for customer, domain, since in relay.domains_of_customers:
            state = f"verified since {since:%d %b %H:%M}" if since else "not verified"
            for record in relay.records(domain):
                purpose = record.purpose if record.is_needed else f"{record.purpose} (advised)"
                rows.append((domain, customer.login, state, purpose, record.name, record.type, record.value))
        return rows
    if tab == "suppressions":
        return [
            (each.address, each.customer, f"{each.since:%d %b %H:%M}", each.why, each.queue_id)
            for each in relay.suppressions
        ]
    quotas = [relay.quota(login) for login in relay.customers]
    return [(q.customer, str(q.used), str(q.limit), str(max(q.limit - q.used, 0))) for q in quotas]
