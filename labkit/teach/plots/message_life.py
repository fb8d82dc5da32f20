"""The life of one message over days: every try, what came of it, and what comes next, host by host.

WHAT       `message_life(world, queue_id)` (or a Message-ID, or the message): a lane for each host, from the coming of
           the message until it is gone; a mark for each try, each look that found it not to be due, each warning and
           report; if it still waits, its retry time, the queue run that will find it, and when its time is over.
RULES      the marks are facts of the journal, what is to come are the host's hints (lab/whywaiting.py).
STANDARDS  RFC 5321 §4.5.4.1
READ NEXT  queue_over_time.py, labkit/lab/lives.py
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from textwrap import fill
from typing import TYPE_CHECKING

from labkit.lab.lives import Life, Stay, life_of
from labkit.lab.whywaiting import Clocks, clocks_of
from labkit.lab.world import World
from labkit.mail.dates import in_words
from labkit.mail.event import EventKind, MailEvent
from labkit.mail.message import Message
from labkit.teach.markup import clip, visible
from labkit.teach.plots.loop_graph import name_of
from labkit.teach.plots.picture import BLUE, GREEN, GREY, ORANGE, PURPLE, RED, SKY, Picture, label
from labkit.teach.plots.time_axis import lab_time_axis, short, span
from labkit.teach.tables import text_table

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MOST_LANES = 12
MOST_MARKS = 2000
MOST_ROWS = 60
LONGEST_REASON = 200
WIDTH = 40
CAME, LOOK, PUT_OFF, DELIVERED, FAILED, FROZEN, WARNING, REPORT, NEXT, RUN, EXPIRES = (
    "comes in", "not due yet", "put off", "delivered", "given up", "frozen", "warning to the sender",
    "report to the sender", "retry time", "next queue run that finds it due", "its time is over",
)  # fmt: skip
_MARKS = {
    CAME: (">", SKY),
    LOOK: ("|", GREY),
    PUT_OFF: ("o", ORANGE),
    DELIVERED: ("s", GREEN),
    FAILED: ("X", RED),
    FROZEN: ("*", PURPLE),
    WARNING: ("^", PURPLE),
    REPORT: ("v", RED),
    NEXT: ("D", BLUE),
    RUN: ("d", BLUE),
    EXPIRES: ("P", RED),
}
_KINDS = {
    EventKind.RECEIVED: CAME,
    EventKind.DELIVERED: DELIVERED,
    EventKind.FAILED: FAILED,
    EventKind.FROZEN: FROZEN,
}


@dataclass(frozen=True, slots=True)
class Mark:
    """Something that happened to the message, or will."""

    at: datetime
    host: str
    what: str
    words: str
    event: MailEvent | None = None  # None: it is still to come


class MessageLife(Picture):
    """The picture; `marks` are what it shows, in order."""

    def __init__(self, life: Life, now: datetime, waiting: dict[tuple[str, str], Clocks]) -> None:
        self.life = life
        self.now = now
        marks = [mark for stay in life.stays for mark in _of_stay(stay)]
        marks += [mark for clocks in waiting.values() for mark in _to_come(clocks)]
        self.marks = tuple(
            sorted(marks, key=lambda mark: (mark.at, mark.event.number if mark.event else 10**9))
        )
        self._waiting = waiting
        self.lanes = life.hosts[:MOST_LANES]
        super().__init__(
            f"The life of message {label(life.name)}",
            self._drawing,
            self._words(),
            (9.5, 1.6 + 0.6 * len(self.lanes)),
        )

    def _words(self) -> str:
        told = list(_folded(self.marks))
        rows = [
            (short(at), label(host), what, _folded_words(words)) for at, host, what, words in told[:MOST_ROWS]
        ]
        lines = [text_table(("lab time", "host", "what", "which means"), rows)]
        if len(told) > MOST_ROWS:
            lines.append(f"and {len(told) - MOST_ROWS} more lines")
        for stay in self.life.stays[:MOST_LANES]:
            tries = len({event.at for event in stay.tries})  # several recipients at one instant are one
            stayed = (stay.ended or self.now) - stay.began
            ended = "still there" if stay.ended is None else "gone"
            lines.append(
                f"{label(stay.host)}: {tries} {'try' if tries == 1 else 'tries'}, {ended} after {in_words(stayed)}"
            )
        if len(self.life.stays) > MOST_LANES:
            lines.append(f"and {len(self.life.stays) - MOST_LANES} more arrivals")
        if len(self.life.hosts) > MOST_LANES:
            lines.append(f"{len(self.life.hosts)} hosts; the picture has {MOST_LANES} of them")
        return "\n".join(lines)

    def _drawing(self, figure: Figure) -> None:
        height = self.size[1]
        axes = figure.add_axes((0.2, 0.62 / height, 0.62, 1 - 0.85 / height))
        begin = self.life.began
        end = max(self.now if self._waiting else begin, max(mark.at for mark in self.marks), begin)
        rows = {host: -number for number, host in enumerate(self.lanes)}
        for stay in self.life.stays:
            if stay.host in rows:
                until = stay.ended or self.now
                ends = [(each - begin).total_seconds() for each in (stay.began, until)]
                axes.plot(ends, [rows[stay.host]] * 2, color="#d0d0d0", linewidth=7, solid_capstyle="butt")
        self._draw_moves(axes, rows, begin)
        for what, (shape, colour) in _MARKS.items():
            here = [m for m in self.marks if m.what == what and m.host in rows][:MOST_MARKS]
            if here:
                places = [(m.at - begin).total_seconds() for m in here]
                levels = [rows[m.host] + (0.32 if m.event is None else 0) for m in here]
                axes.plot(places, levels, shape, color=colour, markersize=6, label=what, linestyle="none")
        axes.set_yticks(list(rows.values()), [label(host, 26) for host in rows])
        axes.set_ylim(-len(rows) + 0.4, 0.7)
        lab_time_axis(axes, begin, end)
        axes.legend(loc="upper left", bbox_to_anchor=(1.01, 1.05), frameon=False, fontsize=7)

    def _draw_moves(self, axes: Axes, rows: dict[str, int], begin: datetime) -> None:
        """Lines from lane to lane where one host handed it to another."""
        for stay in self.life.stays[:MOST_MARKS]:
            if stay.came_from in rows and stay.host in rows:
                at = (stay.began - begin).total_seconds()
                axes.plot([at, at], [rows[stay.came_from], rows[stay.host]], color=GREEN, linewidth=1)


def message_life(world: World, message: str | Message) -> MessageLife:
    """The life of a message: its queue id at any host, its Message-ID, or itself. Raises LookupError."""
    name = name_of(message)
    life = life_of(world.journal, name)
    waiting = {}
    for stay in life.stays:
        host = world.hosts.get(stay.host)
        if stay.ended is None and host is not None and any(i.queue_id == stay.queue_id for i in host.queue):
            waiting[(stay.host, stay.queue_id)] = clocks_of(host, stay.queue_id)
    return MessageLife(life, world.now(), waiting)


def _of_stay(stay: Stay) -> Iterator[Mark]:
    looks = {event.number for event in stay.looks}
    for event in stay.events:
        what = _KINDS.get(event.kind)
        if event.kind is EventKind.DEFERRED:
            what = LOOK if event.number in looks else PUT_OFF
        if what is not None:
            yield Mark(event.at, stay.host, what, _reason(event), event)
    for told in stay.told:
        words = f"{told.event.queue_id} {told.event.subject or ''}"
        what = WARNING if told.what == "warning" else REPORT
        yield Mark(told.event.at, stay.host, what, clip(visible(words.strip()), LONGEST_REASON), told.event)


def _reason(event: MailEvent) -> str:
    if event.kind is EventKind.RECEIVED:
        source = (
            f"from {event.remote_host or event.remote_address}" if event.remote_address else "handed in here"
        )
        return label(f"{source} as {event.queue_id}", LONGEST_REASON)
    parts = [event.recipient or "", f"at {event.remote_host}" if event.remote_host else "", event.text or ""]
    return label(" ".join(part for part in parts if part), LONGEST_REASON)


def _to_come(clocks: Clocks) -> Iterator[Mark]:
    if clocks.held is not None and clocks.due > clocks.now:
        yield Mark(clocks.due, clocks.host, NEXT, f"the hint {label(clocks.held.what)} holds it until then")
    if clocks.next_run is not None:
        yield Mark(
            clocks.next_run, clocks.host, RUN, f"queue runs every {span(clocks.runs_every or timedelta())}"
        )
    if clocks.gives_up_after is not None:
        over = clocks.came + clocks.gives_up_after
        if over > clocks.now:
            yield Mark(over, clocks.host, EXPIRES, f"older than {span(clocks.gives_up_after)} it is given up")


def _folded_words(words: str) -> str:
    """In lines that leave room for the other columns; nothing is cut in two."""
    return fill(words, WIDTH, break_long_words=False, break_on_hyphens=False)


def _folded(marks: tuple[Mark, ...]) -> Iterator[tuple[datetime, str, str, str]]:
    """The marks, with what repeats itself told once: so often, and the last time."""
    at = 0
    while at < len(marks):
        first, end = marks[at], at + 1
        while end < len(marks) and (marks[end].host, marks[end].what, marks[end].words) == (
            first.host,
            first.what,
            first.words,
        ):
            end += 1
        yield first.at, first.host, first.what, first.words
        for number in range(at + 1, end):
            if first.what != LOOK or end - at <= 3:
                yield marks[number].at, first.host, first.what, "the same"
            elif number == end - 1:
                yield (
                    marks[number].at,
                    first.host,
                    first.what,
                    f"the same, for the {end - at}th time since then",
                )
        at = end
