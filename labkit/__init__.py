"""labkit: a mail internet that fits into a notebook.

    from labkit import partners, show
    world = await partners(st=11, partner=2).start()
    sent = await world.laptop.send("bob@st2.sne21.test", "Hello", "Does this arrive?")
    show(sent)

The rooms, in reading order (an arrow goes down this list backwards, or not at all: see ARCHITECTURE.md):

    mail       the vocabulary: address, envelope, message, reply, question, event
    eximconf   Exim's configuration language: read, expand, match
    smtp       both sides of a conversation, as machines without a network; access control lists
    routing    where a message goes
    delivery   what a transport will do
    queue      what waits, and for how long; delivery reports
    auth       who vouches for a message: SPF, DKIM, DMARC, ARC
    headers    what a message's header tells: fields, hops, what is odd
    filters    what tells spam from wanted mail: words, lists, waiting; and how good each is
    net        all input and output: sockets, names, spool, mailboxes
    mta        one mail transfer agent
    lab        worlds: hosts, clock, agenda, journal, scenarios
    teach      views and checks, for notebooks
    cli        the same for the command line
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from labkit.auth.door import LookupTimedOut, NoSuchName
    from labkit.lab.world import World, neighbours, partners
    from labkit.teach.checks import check
    from labkit.teach.show import show
    from labkit.teach.views.dissector import dissector
    from labkit.teach.views.mail_map import mail_map
    from labkit.teach.views.queue import queue_view
    from labkit.teach.views.stepper import stepper
    from labkit.teach.views.stepper_ready import step_dmarc, step_route, step_spf
    from labkit.teach.views.triplets import triplets_view

__version__ = "0.1.0"
__all__ = [
    "LookupTimedOut",
    "NoSuchName",
    "World",
    "check",
    "dissector",
    "mail_map",
    "neighbours",
    "partners",
    "queue_view",
    "show",
    "step_dmarc",
    "step_route",
    "step_spf",
    "stepper",
    "triplets_view",
]

_WHERE = {
    "LookupTimedOut": "labkit.auth.door",
    "NoSuchName": "labkit.auth.door",
    "World": "labkit.lab.world",
    "neighbours": "labkit.lab.world",
    "partners": "labkit.lab.world",
    "check": "labkit.teach.checks",
    "show": "labkit.teach.show",
    "dissector": "labkit.teach.views.dissector",
    "mail_map": "labkit.teach.views.mail_map",
    "queue_view": "labkit.teach.views.queue",
    "step_dmarc": "labkit.teach.views.stepper_ready",
    "step_route": "labkit.teach.views.stepper_ready",
    "step_spf": "labkit.teach.views.stepper_ready",
    "stepper": "labkit.teach.views.stepper",
    "triplets_view": "labkit.teach.views.triplets",
}


def __getattr__(name: str) -> Any:
    """Fetch a public name when it is first used: `import labkit` itself costs next to nothing."""
    if name == "auth":  # the plain door for other programs: labkit.auth.check_spf(...)
        return import_module("labkit.auth")
    if name not in _WHERE:
        raise AttributeError(f"labkit has no {name!r}; it has {', '.join(__all__)}")
    value = getattr(import_module(_WHERE[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
