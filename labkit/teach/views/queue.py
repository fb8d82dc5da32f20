"""The queues of a lab, live: what waits at which host, how often it was tried, when it will be tried, and why.

WHAT       `queue_view(world)`: hosts, their queues, the age of what waits by destination; in JupyterLab with buttons
           for what an administrator does: hosts up and down, lab time, -q, -qff, -M, -Mf, -Mt, and the spool files.
LIMITS     so many hosts and messages are shown; how many are left out is said. The counts are of all.
STANDARDS  Exim specification, chapter "The Exim command line"; the table of ages is Postfix's qshape's
READ NEXT  ../waiting.py, ../spool_words.py, ../static/queue.js
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from labkit.lab.host import Host
from labkit.lab.waiting import Tries, exchangers, held_by
from labkit.lab.world import World
from labkit.mail.dates import in_words
from labkit.mail.event import MailEvent
from labkit.queue.item import QueueItem
from labkit.teach.following import Part, WorldView
from labkit.teach.markup import clip, visible
from labkit.teach.spool_words import explained
from labkit.teach.waiting import SHAPE_HEAD, WaitingMessage, ages_by_domain, waiting_message

MOST_HOSTS = 24
MOST_MESSAGES = 25  # of one host
MOST_RECIPIENTS = 4
LONGEST_ADDRESS = 120
LONGEST_WHY = 300
SPANS: dict[str, tuple[str, dict[str, float]]] = {
    "quarter": ("15 minutes", {"minutes": 15}),
    "hour": ("an hour", {"hours": 1}),
    "day": ("a day", {"days": 1}),
}
_HEAD = ("message", "age", "from", "to", "tries", "retry time", "queue run", "why it waits")
_HOST_HEAD = ("host", "address", "state", "waiting", "next queue run")
_SHAPE = "Age by destination: recipients that wait, aged fewer than so many minutes (after Postfix's qshape)"
_CLOCKS = (
    "Waiting is two clocks: from its retry time on, a host or an address may be tried again; a queue run is when "
    "somebody looks."
)
_ASK_EXIM = "ask exim_dumpdb"  # the real Exim keeps its hints to itself


def queue_view(world: World) -> QueueView:
    """The hosts of a world and what waits there; with buttons in JupyterLab."""
    return QueueView(world)


class QueueView(WorldView):
    """What `queue_view` gives."""

    script = "queue.js"

    def __init__(self, world: World) -> None:
        self._tries = Tries()
        self._opened: dict[str, Any] | None = None  # the spool files on show
        self._said = ""
        self._answered = 0
        super().__init__(world)

    def takes(self, event: MailEvent) -> None:
        self._tries.take(event)

    # --- what the browser asks for ------------------------------------------------------------

    async def hear(self, message: Mapping[str, Any]) -> None:
        """Hosts and messages are named as the state names them. Raises what the lab raises."""
        async with self.busy:
            self._said = await self._obey(message)
        self._answered += 1
        self.refresh()

    async def _obey(self, message: Mapping[str, Any]) -> str:
        match message:
            case {"ask": "advance", "span": str(span)} if span in SPANS:
                words, span_of_time = SPANS[span]
                await self.world.advance(**span_of_time)
                return f"{words} passed"
            case {"ask": "host", "host": str(name), "do": str(what)} if what in _OF_HOSTS:
                words, do = _OF_HOSTS[what]
                host = self.world.host(name)
                await do(host)
                return f"{name}: {words}"
            case {"ask": "message", "host": str(name), "id": str(queue_id), "do": "spool"}:
                self._open(self.world.host(name), queue_id)
                return ""
            case {"ask": "message", "host": str(name), "id": str(queue_id), "do": str(what)} if (
                what in _OF_MESSAGES
            ):
                host = self.world.host(name)
                if what == "force":
                    _expect_up(host)
                output = await host.exim(_OF_MESSAGES[what], queue_id)
                return f"{name}: exim {_OF_MESSAGES[what]} {queue_id} {output.text.strip()}".rstrip()
            case {"ask": "close"}:
                self._opened = None
                return ""
        raise ValueError("the queue view does not know this message")

    def _open(self, host: Host, queue_id: str) -> None:
        parts = explained(host.spool_entry(queue_id))
        self._opened = {
            "title": f"Message {queue_id} in the spool of {host.name}",
            "parts": [{"name": name, "lines": [list(line) for line in lines]} for name, lines in parts],
        }

    # --- what is shown ------------------------------------------------------------------------

    def state(self) -> dict[str, Any]:
        world, queues = self.world, self._queues()
        return {
            "title": f"The queues of {world.scenario.title}",
            "time": f"{world.now():%A %d %B %Y, %H:%M} lab time",
            "running": world.is_running,
            "spans": [[name, words] for name, (words, _) in SPANS.items()],
            "hosts": [self._host_state(host, queues[host.name]) for host in self._hosts(queues)],
            "left_out": self._hosts_left_out,
            "clocks": _CLOCKS if any(queues.values()) else "",
            "head": list(_HEAD),
            "shape": {"caption": _SHAPE, "head": list(SHAPE_HEAD), "rows": self._shape(queues)},
            "spool": self._opened,
            "answered": self._answered,
            "said": visible(clip(self._said, LONGEST_WHY)),
        }

    def _host_state(self, host: Host, items: Sequence[QueueItem]) -> dict[str, Any]:
        name, address, state, waiting, run = self._host_row(host, items)
        return {
            "name": name,
            "address": address,
            "state": state,
            "is_running": host.is_running,
            "waiting": waiting,
            "next_run": run,
            "messages": [
                {"id": row[0], "frozen": item.is_frozen, "cells": list(row)}
                for row, item in self._rows(host, items)
            ],
            "more": max(len(items) - MOST_MESSAGES, 0),
        }

    def _hosts(self, queues: Mapping[str, Sequence[QueueItem]]) -> list[Host]:
        """Those to show, in the world's order: if they are too many, those where something waits."""
        hosts = list(self.world.hosts.values())
        chosen = sorted(hosts, key=lambda host: not queues[host.name])[:MOST_HOSTS]
        return [host for host in hosts if host in chosen]

    @property
    def _hosts_left_out(self) -> str:
        more = len(self.world.hosts) - MOST_HOSTS
        return f"{more:,} more hosts are not shown; the table of ages counts them" if more > 0 else ""

    def _queues(self) -> dict[str, tuple[QueueItem, ...]]:
        return {name: host.queue for name, host in self.world.hosts.items()}

    def _shape(self, queues: Mapping[str, Sequence[QueueItem]]) -> list[list[str]]:
        items = [item for queue in queues.values() for item in queue]
        rows = ages_by_domain(items, self.world.now())
        return [[visible(clip(row[0], LONGEST_ADDRESS)), *row[1:]] for row in rows]

    def _host_row(self, host: Host, items: Sequence[QueueItem]) -> tuple[str, str, str, str, str]:
        state = "up" if host.is_running else "down"
        if self.world.network.is_silent(host.address, 25):
            state += ", port 25 silent"
        state += {"exim": ", real Exim", "outside": ", outside"}.get(host.engine.name, "")
        run = host.next_queue_run()
        words = self._when(run) if run else _no_run(host)
        return host.name, host.address, state, f"{len(items):,}", words

    def _rows(self, host: Host, items: Sequence[QueueItem]) -> list[tuple[tuple[str, ...], WaitingMessage]]:
        knows_hints = host.engine.name != "exim"  # whom to ask takes a program: too long for each drawing
        hints = (host.engine.retry_hints() if knows_hints else None) or {}
        known = exchangers(self.world.zones) if hints else {}
        rows = []
        for item in items[:MOST_MESSAGES]:
            trying = self._tries.of(host.name, item.queue_id)
            held = held_by(item, trying.hosts, hints, known)
            found = waiting_message(host, item, trying, held, knows_hints=knows_hints)
            rows.append((self._row(host, found, knows_hints), found))
        return rows

    def _row(self, host: Host, found: WaitingMessage, knows_hints: bool) -> tuple[str, ...]:
        tries = f"{found.attempts}" + (f", last {self._when(found.last_try)}" if found.last_try else "")
        sender = _shown(found.sender) or ("<> (a report)" if found.is_report else "")
        why = visible(clip(found.why, LONGEST_WHY))
        return (
            found.queue_id,
            _age(found),
            sender,
            _recipients(found.recipients),
            tries,
            self._retry_time(found) if knows_hints else _ASK_EXIM,
            self._queue_run(host, found),
            why,
        )

    def _retry_time(self, found: WaitingMessage) -> str:
        if found.next_try is None:
            return "any time"
        reached = " (reached)" if found.next_try <= self.world.now() else ""
        return f"{self._when(found.next_try)}{reached}, for {visible(clip(found.hint, LONGEST_ADDRESS))}"

    def _queue_run(self, host: Host, found: WaitingMessage) -> str:
        if found.is_frozen:
            return "passes it over (frozen)"
        first = host.next_queue_run()
        if first is None:
            return "none"
        if found.tried_at is None or found.tried_at == first:
            return self._when(first)
        return f"{self._when(first)} too early; {self._when(found.tried_at)} tries it"

    def _when(self, at: datetime) -> str:
        """The time; with the day, if it is another one."""
        form = "%H:%M" if at.date() == self.world.now().date() else "%a %d %b %H:%M"
        return f"{at:{form}}" + (f":{at:%S}" if at.second else "")

    # --- the static forms ---------------------------------------------------------------------

    @property
    def _title(self) -> str:
        return f"The queues of {self.world.scenario.title}, {self.world.now():%a %d %b %Y %H:%M} lab time"

    def parts(self) -> list[Part]:
        """Title, head and rows of each table."""
        queues = self._queues()
        hosts = [self._host_row(host, queues[host.name]) for host in self._hosts(queues)]
        parts: list[Part] = [(self._title, _HOST_HEAD, hosts)]
        for host in self._hosts(queues):
            if items := queues[host.name]:
                more = f" (the first {MOST_MESSAGES} of {len(items):,})" if len(items) > MOST_MESSAGES else ""
                rows = [row for row, _ in self._rows(host, items)]
                parts.append((f"Waiting at {host.name}{more}", _HEAD, rows))
        if any(queues.values()):
            parts.append((_SHAPE, SHAPE_HEAD, self._shape(queues)))
        return parts

    @property
    def ending(self) -> str:
        if not self.world.hosts:
            return "The lab is not running: there are no hosts."
        if not any(host.queue for host in self.world.hosts.values()):
            return " ".join(filter(None, ("No message waits anywhere.", self._hosts_left_out)))
        return " ".join(filter(None, (_CLOCKS, self._hosts_left_out)))


def _age(found: WaitingMessage) -> str:
    """In its two largest units, rounded to minutes: 3 days 4 hours."""
    minute = timedelta(minutes=1)
    age = found.age if found.age < minute else round(found.age / minute) * minute
    return " ".join(in_words(age).split(" ")[:4])


def _recipients(recipients: Sequence[str]) -> str:
    lines = [_shown(recipient) for recipient in recipients[:MOST_RECIPIENTS]]
    if more := len(recipients) - MOST_RECIPIENTS:
        lines += [f"and {more:,} more"] * (more > 0)
    return "\n".join(lines) or "(nobody is left)"


def _shown(address: str) -> str:
    return visible(clip(address, LONGEST_ADDRESS))


def _no_run(host: Host) -> str:
    if host.engine.name == "outside":
        return "none: it has no queue"
    return "none (no -q)" if host.is_running else "none: the daemon is down"


async def _up(host: Host) -> None:
    await host.start()


async def _down(host: Host) -> None:
    await host.stop()


async def _run(host: Host) -> None:
    await _expect_up(host).run_queue()


async def _force(host: Host) -> None:
    await _expect_up(host).run_queue(thaws=True)


def _expect_up(host: Host) -> Host:
    if not host.is_running:
        raise ValueError(f"{host.name} is down: nothing leaves it before it is up again")
    return host


_OF_HOSTS: dict[str, tuple[str, Callable[[Host], Awaitable[None]]]] = {
    "up": ("the daemon is up (exim -bd -q15m)", _up),
    "down": ("the daemon is down (kill -TERM)", _down),
    "run": ("exim -q: what is due was tried", _run),
    "force": ("exim -qff: everything was tried, frozen or not", _force),
}
_OF_MESSAGES = {"force": "-M", "freeze": "-Mf", "thaw": "-Mt"}
