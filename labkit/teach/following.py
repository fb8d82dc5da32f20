"""A live view that follows a world: it is drawn anew while things happen there, and never more often than one can see.

WHAT       `WorldView`: a subclass says in `takes` what it makes of each event, in `state` what the browser draws, and
           in `parts` the tables of the static forms, HTML and text.
WHY        an event costs the view next to nothing: four days of retries must not wait for somebody who watches.
RULES      the world must not keep the views of cells that were run again: it has a weak reference only.
READ NEXT  views/queue.py, views/mail_map.py
"""

from __future__ import annotations

import asyncio
import time
from abc import abstractmethod
from collections.abc import Sequence
from weakref import ref

from labkit.lab.world import World
from labkit.mail.event import MailEvent
from labkit.teach.markup import Markup, join, tag
from labkit.teach.tables import table, text_table
from labkit.teach.view import LiveView

PAUSE = 0.15  # seconds of real time between two drawings, at least
SHARE = 8  # and so many times as long as drawing takes: the lab comes first
Part = tuple[str, Sequence[str], Sequence[Sequence[str]]]  # a title, a head and rows


class WorldView(LiveView):
    """A view of a world. What happened before is taken in first."""

    def __init__(self, world: World) -> None:
        super().__init__()
        self.world = world
        self.busy = asyncio.Lock()  # one click after the other
        self._soon: asyncio.TimerHandle | None = None
        self._pause = PAUSE
        for event in world.journal:
            self.takes(event)
        here = ref(self, lambda _: stop())

        def hear(event: MailEvent) -> None:
            if (view := here()) is not None:
                view.takes(event)
                view._draw_soon()

        stop = world.journal.listen(hear)

    @abstractmethod
    def parts(self) -> list[Part]:
        """The tables of the static forms, in order."""

    @property
    @abstractmethod
    def ending(self) -> str:
        """A last line below them, or ""."""

    def html(self) -> Markup:
        tables = [table(head, rows, title) for title, head, rows in self.parts()]
        return join(*tables, tag("p", self.ending) if self.ending else None)

    def text(self) -> str:
        tables = [text_table(head, rows, title) for title, head, rows in self.parts()]
        return "\n\n".join([*tables, self.ending] if self.ending else tables)

    @abstractmethod
    def takes(self, event: MailEvent) -> None:
        """Take note of an event; quickly."""

    def _draw_soon(self) -> None:
        if self._widget is None or self._soon is not None:
            return
        try:
            self._soon = asyncio.get_running_loop().call_later(self._pause, self.refresh)
        except RuntimeError:  # nobody works asynchronously here: no browser either
            return

    def refresh(self, problem: str = "") -> None:
        if self._soon is not None:
            self._soon.cancel()
            self._soon = None
        begun = time.perf_counter()
        super().refresh(problem)
        self._pause = max(PAUSE, SHARE * (time.perf_counter() - begun))
