"""The queue of one host over time: how many messages wait, for which domain, and for how long already.

WHAT       `queue_over_time(world, host)`: above by destination, below by age; as text the number at round instants, and
           two tables in the manner of Postfix's qshape: when the queue was longest, and now.
RULES      computed from the journal: a message waits from its coming until nobody of that domain is left to reach.
           The columns are qshape's: minutes of age, each twice the one before, each without the younger ones.
READ NEXT  message_life.py, labkit/lab/lives.py
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from datetime import datetime, timedelta
from itertools import accumulate
from typing import TYPE_CHECKING

from labkit.lab.host import Host
from labkit.lab.lives import Waited, waits_of
from labkit.lab.world import World
from labkit.teach.given import expect
from labkit.teach.plots.picture import BLUE, GREEN, GREY, ORANGE, PURPLE, RED, SKY, YELLOW, Picture, label
from labkit.teach.plots.time_axis import lab_time_axis, short
from labkit.teach.tables import text_table
from labkit.teach.waiting import AGE_CLASSES, SHAPE_HEAD, shape_row

if TYPE_CHECKING:
    from matplotlib.figure import Figure

MOST_DOMAINS = 6
MOST_IN_TABLE = 12
MOST_INSTANTS = 400
ROWS = 12
OTHERS = "(others)"
_COLOURS = (BLUE, ORANGE, GREEN, PURPLE, SKY, YELLOW, GREY)


class QueueOverTime(Picture):
    """The picture; `waits` is everybody who waited, `count(instant)` tells how many at that instant."""

    def __init__(self, host: str, waits: Sequence[Waited], now: datetime) -> None:
        self.host = host
        self.waits = tuple(waits)
        self.now = now
        stays = _stays(waits)
        self.changes = _changes(stays)
        self.longest = max(self.changes, key=lambda change: change[1], default=(now, 0))
        counted = Counter(each.domain for each in waits)
        self.domains = [name for name, _ in sorted(counted.items(), key=lambda item: (-item[1], item[0]))]
        self._everybody = _Spans(stays)
        self._spans = {
            name: _Spans([(each.since, each.until) for each in waits if each.domain == name])
            for name in self.domains
        }
        super().__init__(f"The queue of {label(host)} over time", self._drawing, self._words(), (9.5, 4.6))

    def count(self, instant: datetime, domain: str | None = None) -> int:
        """How many messages waited then (for that domain); one that waits for two domains counts once in all."""
        return sum((self._everybody if domain is None else self._spans[domain]).by_age(instant))

    def by_age(self, instant: datetime) -> dict[str, list[int]]:
        """For each domain how many waited then: up to 5 minutes, 10, 20, …, and longer than all these."""
        found = {domain: self._spans[domain].by_age(instant) for domain in self.domains}
        return {domain: row for domain, row in found.items() if any(row)}

    def all_by_age(self, instant: datetime) -> list[int]:
        """The same for all domains: here, too, one that waits for two domains counts once."""
        return self._everybody.by_age(instant)

    def _words(self) -> str:
        if not self.waits:
            return "Nobody has waited here yet."
        instants = _round_instants(self.waits[0].since, self.now)
        shown = self.domains[:MOST_DOMAINS]
        rows = [
            (short(at), *(str(self.count(at, domain)) for domain in shown), str(self.count(at)))
            for at in instants
        ]
        head = ("lab time", *(label(domain, 24) for domain in shown), "all")
        lines = [text_table(head, rows, "How many wait")]
        top, most = self.longest
        lines.append(f"\nAt most {most}, at {short(top)}.")
        lines.append(self._shape(top, "By age then, in minutes (as qshape)"))
        if self.count(self.now):
            lines.append(self._shape(self.now, f"\nBy age now, {short(self.now)}"))
        else:
            lines.append(f"Now, {short(self.now)}, nobody waits.")
        return "\n".join(lines)

    def _shape(self, instant: datetime, caption: str) -> str:
        table = self.by_age(instant)
        rows = []
        for domain, row in sorted(table.items(), key=lambda item: (-sum(item[1]), item[0])):
            rows.append(shape_row(label(domain, 30), row))
        total = self.all_by_age(instant)
        shown = [shape_row("TOTAL", total), *rows[:MOST_IN_TABLE]]
        more = f"\nand {len(rows) - MOST_IN_TABLE} more domains" if len(rows) > MOST_IN_TABLE else ""
        return text_table(("", *SHAPE_HEAD[1:]), shown, caption) + more

    def _drawing(self, figure: Figure) -> None:
        above = figure.add_axes((0.07, 0.6, 0.7, 0.32))
        below = figure.add_axes((0.07, 0.15, 0.7, 0.3))
        if not self.waits:
            above.text(0.5, 0.5, "nobody has waited here yet", ha="center", transform=above.transAxes)
            return
        begin = self.waits[0].since
        instants = _instants([at for at, _ in self.changes if at <= self.now], begin, self.now)
        places = [(at - begin).total_seconds() for at in instants]
        shown = self.domains[:MOST_DOMAINS]
        rows = {name: [self.count(at, name) for at in instants] for name in shown}
        if len(self.domains) > MOST_DOMAINS:
            rest = self.domains[MOST_DOMAINS:]
            rows[OTHERS] = [sum(self.count(at, name) for name in rest) for at in instants]
        names = [label(name, 24) for name in rows]
        above.stackplot(places, list(rows.values()), labels=names, colors=_COLOURS, step="post")
        above.set_ylabel("messages")
        above.legend(loc="upper left", bbox_to_anchor=(1.01, 1.05), frameon=False, fontsize=7)
        above.set_title("by destination", loc="left")
        joined = [_joined(self.all_by_age(at)) for at in instants]
        ages = ("up to 20 minutes", "up to 80 minutes", "up to 320 minutes", "up to 1280 minutes", "older")
        colours = ("#cfe8f7", SKY, BLUE, ORANGE, RED)
        below.stackplot(places, list(zip(*joined)), labels=ages, colors=colours, step="post")
        below.set_ylabel("messages")
        below.set_title("by age", loc="left")
        below.legend(loc="upper left", bbox_to_anchor=(1.01, 1.05), frameon=False, fontsize=7)
        for axes in (above, below):
            axes.set_ylim(0, max(1, self.longest[1]) * 1.1)
            lab_time_axis(axes, begin, self.now)
        above.set_xlabel("")


def queue_over_time(world: World, host: Host | str) -> QueueOverTime:
    """The queue of a host of this world, from its first message that waited until now. Raises KeyError."""
    expect(world, World, "queue_over_time(world, world.mine)")
    found = world.host(host) if isinstance(host, str) else host
    expect(found, Host, "queue_over_time(world, world.mine)")
    return QueueOverTime(found.name, waits_of(world.journal, found.name), world.now())


Stays = list[tuple[datetime, "datetime | None"]]


class _Spans:
    """From when to when several waited, for counting by age; quick for many of them."""

    def __init__(self, stays: Stays) -> None:
        import numpy as np

        self._begin = min((since for since, _ in stays), default=datetime.min)
        since = [(each - self._begin).total_seconds() for each, _ in stays]
        until = [np.inf if each is None else (each - self._begin).total_seconds() for _, each in stays]
        self._since, self._until = np.array(since), np.array(until)
        self._bands = np.array([0, *(60.0 * minutes for minutes in AGE_CLASSES), np.inf])

    def by_age(self, instant: datetime) -> list[int]:
        """How many waited then, up to 5 minutes, 10, 20, …, and longer."""
        import numpy as np

        if not len(self._since):
            return [0] * (len(AGE_CLASSES) + 1)
        at = (instant - self._begin).total_seconds()
        waiting = (self._since <= at) & (at < self._until)
        bands = np.searchsorted(self._bands, at - self._since[waiting], side="right") - 1
        return [int(each) for each in np.bincount(bands, minlength=len(AGE_CLASSES) + 1)]


def _joined(row: list[int]) -> list[int]:
    """The columns of qshape in five colours."""
    return [sum(row[0:3]), sum(row[3:5]), sum(row[5:7]), sum(row[7:9]), row[9]]


def _stays(waits: Sequence[Waited]) -> Stays:
    """The messages, each once, however many domains it waits for."""
    stays: dict[str, tuple[datetime, datetime | None]] = {}
    for waited in waits:
        since, until = stays.get(waited.queue_id, (waited.since, waited.since))
        ends = None if until is None or waited.until is None else max(until, waited.until)
        stays[waited.queue_id] = (since, ends)
    return list(stays.values())


def _changes(stays: Stays) -> list[tuple[datetime, int]]:
    """The instants at which the queue becomes longer or shorter, and how long it is then, in messages."""
    steps: Counter[datetime] = Counter()
    for since, until in stays:
        steps[since] += 1
        if until is not None:
            steps[until] -= 1
    instants = sorted(steps)
    return list(zip(instants, accumulate(steps[at] for at in instants)))


def _instants(changes: Sequence[datetime], begin: datetime, end: datetime) -> list[datetime]:
    """When to look, for the picture: at every change, or, if these are too many, at equal distances."""
    grid = [begin + (end - begin) * number / 120 for number in range(121)]
    if len(changes) + len(grid) > MOST_INSTANTS:
        grid = [begin + (end - begin) * number / MOST_INSTANTS for number in range(MOST_INSTANTS + 1)]
        return sorted(set(grid))
    return sorted({*grid, *changes})


def _round_instants(begin: datetime, end: datetime) -> list[datetime]:
    """At most `ROWS` instants at full quarters of an hour, hours or days, with the first and the last."""
    sizes = [
        timedelta(minutes=m) for m in (1, 5, 15, 30, 60, 120, 180, 360, 720, 1440, 2880, 7200, 14400, 43200)
    ]
    step = next((size for size in sizes if (end - begin) / size <= ROWS - 2), (end - begin) / ROWS)
    midnight = begin.replace(hour=0, minute=0, second=0, microsecond=0)
    at = midnight + ((begin - midnight) // step + 1) * step
    found = [begin]
    while at < end:
        found.append(at)
        at += step
    return [*found, end] if end > begin else found
