"""The arena, live: four buttons, four ways in which mail can go in a circle; first one says what one expects.

WHAT       `arena()`: choose a topology and a variant, say how it will end, and a small world of its own is run. What
           was expected stands beside what happened, the hops as a picture with their counts, and why.
RULES      one run at a time, and each in a world that is gone afterwards. The static forms have what was run so far.
READ NEXT  arena_worlds.py, ../static/arena.js
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

from labkit.teach.markup import Markup, join, tag
from labkit.teach.tables import table, text_table
from labkit.teach.view import LiveView
from labkit.teach.views.arena_worlds import TOPOLOGIES, End, OutcomeView, run, topology_of


def arena() -> Arena:
    """The four topologies, to be tried out."""
    return Arena()


class Arena(LiveView):
    """What `arena` gives."""

    script = "arena.js"
    _HEAD = ("button", "what is set up", "variants")
    _RUN = ("what was run", "expected", "how it ended")

    def __init__(self) -> None:
        super().__init__()
        self.chosen, self.variant = TOPOLOGIES[0].name, TOPOLOGIES[0].variants[0].name
        self.results: dict[
            tuple[str, str], tuple[End | None, OutcomeView]
        ] = {}  # what was expected, what came
        self._busy = asyncio.Lock()

    async def run(self, name: str, variant: str = "", expected: End | None = None) -> OutcomeView:
        """Run one and show it in the widget as well. Raises KeyError."""
        topology = topology_of(name)
        chosen = topology.variant(variant or topology.variants[0].name)
        self.chosen, self.variant = topology.name, chosen.name
        async with self._busy:
            shown = OutcomeView(await run(topology.name, chosen.name))
        self.results[topology.name, chosen.name] = (expected, shown)
        self.refresh()
        return shown

    # --- what the browser asks for ------------------------------------------------------------

    async def hear(self, message: Mapping[str, Any]) -> None:
        """Choose a topology, or a variant of the one chosen; or run it."""
        match message:
            case {"ask": "topology", "name": str(name)}:
                topology = topology_of(name)
                self.chosen, self.variant = name, topology.variants[0].name
            case {"ask": "variant", "name": str(name)}:
                self.variant = topology_of(self.chosen).variant(name).name
            case {"ask": "run", "expected": str(expected)}:
                await self.run(self.chosen, self.variant, End[expected])
            case {"ask": "again"}:
                self.results.pop((self.chosen, self.variant), None)
            case _:
                raise ValueError("the arena does not know this message")
        self.refresh()

    def state(self) -> dict[str, Any]:
        topology = topology_of(self.chosen)
        expected, shown = self.results.get((self.chosen, self.variant), (None, None))
        return {
            "topologies": [{"name": each.name, "title": each.title} for each in TOPOLOGIES],
            "chosen": topology.name,
            "about": topology.about,
            "variants": [
                {"name": each.name, "done": (topology.name, each.name) in self.results}
                for each in topology.variants
            ],
            "variant": self.variant,
            "ends": [{"name": end.name, "words": end.value} for end in End],
            "result": None if shown is None else _result(expected, shown),
        }

    # --- the static forms ---------------------------------------------------------------------

    @property
    def _buttons(self) -> list[tuple[str, str, str]]:
        return [(each.title, each.about, "\n".join(v.name for v in each.variants)) for each in TOPOLOGIES]

    @property
    def _ran(self) -> list[tuple[str, str, str]]:
        return [
            (shown.title, "" if expected is None else expected.value, shown.outcome.end.value)
            for expected, shown in self.results.values()
        ]

    def html(self) -> Markup:
        return join(
            table(self._HEAD, self._buttons, "The arena"),
            table(self._RUN, self._ran, "So far") if self._ran else tag("p", "Nothing was run yet."),
        )

    def text(self) -> str:
        lines = ["The arena"]
        for title, about, variants in self._buttons:
            lines += [f"- {title}", f"  {about}", f"  variants: {', '.join(variants.splitlines())}"]
        ran = text_table(self._RUN, self._ran, "So far") if self._ran else "Nothing was run yet."
        return "\n".join([*lines, ran])


def _result(expected: End | None, shown: OutcomeView) -> dict[str, Any]:
    outcome = shown.outcome
    return {
        "expected": "" if expected is None else expected.value,
        "right": expected is outcome.end,
        "end": outcome.end.value,
        "hops": [list(row) for row in shown.hops],
        "lines": [list(row) for row in shown.lines],
        "why": outcome.variant.why,
    }
