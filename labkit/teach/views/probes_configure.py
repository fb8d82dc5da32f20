"""Give a host another exim.conf, and show what its MTA says to it.

WHAT       `await configure(world.mine, text)` writes the file and reloads (`kill -HUP`). The view says that it was
           taken, or shows the line that was not understood; and what is doubtful, which shows when mail comes.
READ NEXT  probes_expand.py
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence

from labkit.eximconf.place import ConfigurationError, Place
from labkit.lab.engine import DoubtfulConfiguration
from labkit.lab.host import CONFIGURATION, Host
from labkit.teach.markup import Markup, clip, join, tag
from labkit.teach.view import View

AROUND = 2  # lines shown above and below the one that was not understood
LONGEST_LINE = 200


async def configure(host: Host, text: str) -> TakenView:
    """Write exim.conf and reload. What is refused is shown, not raised: the MTA goes on by the former file."""
    text = text.lstrip("\n")  # so that its lines are counted as they are seen
    host.write_configuration(text)
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always", DoubtfulConfiguration)
        try:
            await host.reload()
        except ConfigurationError as problem:
            return TakenView(host.name, text, problem)
    doubts = [
        f"{Place(each.filename, each.lineno)}: {each.message}"  # the warning stands at the line of the file
        for each in said
        if issubclass(each.category, DoubtfulConfiguration)
    ]
    return TakenView(host.name, text, None, doubts)


class TakenView(View):
    """Whether a configuration was taken, and the words of the MTA if it complains."""

    def __init__(
        self, host: str, text: str, problem: ConfigurationError | None, doubts: Sequence[str] = ()
    ) -> None:
        self.taken = problem is None
        self.words = [str(problem)] if problem is not None else list(doubts)
        own = CONFIGURATION.rpartition("/")[2]
        shows = problem is not None and problem.place.file.rpartition("/")[2] == own
        self.lines = _around(text.splitlines(), problem.place.line) if problem is not None and shows else ""
        self.title = f"{host} has read the file and works by it now"
        if problem is not None:
            self.title = f"{host} did not take the file; it goes on by the former one"
        elif doubts:
            self.title += ", but something is doubtful"

    def html(self) -> Markup:
        return join(
            tag("p", tag("b", self.title)),
            tag("pre", self.lines) if self.lines else None,
            *(tag("pre", words) for words in self.words),
        )

    def text(self) -> str:
        return "\n".join(part for part in (self.title, self.lines, *self.words) if part)


def _around(lines: Sequence[str], number: int) -> str:
    """The lines around that one, numbered, with a mark before it."""
    first, last = max(1, number - AROUND), min(len(lines), number + AROUND)
    return "\n".join(
        f"{'>' if at == number else ' '} {at:3}  {clip(lines[at - 1], LONGEST_LINE)}"
        for at in range(first, last + 1)
    )
