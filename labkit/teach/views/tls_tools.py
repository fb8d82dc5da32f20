"""What real tools say about the TLS of a server, line by line, and whether they all agree.

WHAT       `show(await ask_openssl(…))`: the command and its telling lines, each explained. `show(await ask_all(…))`: a
           row for each tool, labkit's own client beside them.
SAFE       what a tool prints came from a server: escaped, cut, hidden characters visible.
READ NEXT  ../../lab/tls_tools.py
"""

from __future__ import annotations

import textwrap
from collections.abc import Sequence

from labkit.lab.tls_tools import ToolSaid, cipher_of
from labkit.teach.markup import Markup, clip, join, tag, visible
from labkit.teach.show import shows
from labkit.teach.tables import folded, table, text_table
from labkit.teach.view import View

LONGEST = 300
_HEAD = ("tool", "port", "version", "cipher", "chain and name")


class ToolView(View):
    """One tool."""

    def __init__(self, said: ToolSaid) -> None:
        self.said = said

    def _rows(self) -> list[tuple[str, str]]:
        return [(_shown(line), means) for line, means in self.said.lines]

    @property
    def _ending(self) -> str:
        return _shown(
            f"It was not asked: {self.said.why_not}" if self.said.why_not else f"So: {_verdict(self.said)}"
        )

    def html(self) -> Markup:
        command = tag("p", tag("code", _shown(self.said.command, 1000)))
        rows = table(("it says", "which means"), self._rows(), code=[0]) if self.said.lines else None
        return join(command, rows, tag("p", self._ending))

    def text(self) -> str:
        command = textwrap.wrap(
            f"$ {_shown(self.said.command, 1000)}", 110, subsequent_indent="    ", break_on_hyphens=False
        )
        rows = [tuple("\n".join(textwrap.wrap(cell, 54)) for cell in row) for row in self._rows()]
        shown = [text_table(("it says", "which means"), rows)] if rows else []
        return "\n".join([*command, *shown, *textwrap.wrap(self._ending, 110)])


class ToolsView(View):
    """Several tools, and whether they agree."""

    def __init__(self, said: Sequence[ToolSaid]) -> None:
        self.said = tuple(said)

    @property
    def agree(self) -> bool:
        """All who could be asked say the same of version, cipher and certificate."""
        asked = [each for each in self.said if not each.why_not]
        return len({(_version(each), cipher_of(each), each.is_good) for each in asked}) <= 1

    def _rows(self) -> list[tuple[str, ...]]:
        return [
            (
                each.tool,
                str(each.port),
                _version(each) or "-",
                cipher_of(each) or "-",
                _shown(_verdict(each)),
            )
            for each in self.said
        ]

    @property
    def _ending(self) -> str:
        left = sum(bool(each.why_not) for each in self.said)
        asked = len(self.said) - left
        if not asked:
            return "None could be asked."
        words = "All agree." if self.agree else "They do not agree."
        if asked == 1:
            words = "One was asked: nobody is there to agree with it."
        return f"{words} {left} could not be asked." if left else words

    def html(self) -> Markup:
        return join(table(_HEAD, self._rows(), code=[2, 3]), tag("p", self._ending))

    def text(self) -> str:
        return f"{text_table(_HEAD, folded(_HEAD, self._rows(), 4))}\n{self._ending}"


def _version(said: ToolSaid) -> str:
    return said.version.replace("TLSv", "TLS")


def _verdict(said: ToolSaid) -> str:
    if said.why_not:
        return f"not asked: {said.why_not}"
    if said.is_good is None:
        return f"no TLS: {said.reason}" if said.reason else "no TLS"
    return "good" if said.is_good else f"not believed: {said.reason}"


def _shown(text: str, most: int = LONGEST) -> str:
    return visible(clip(text, most))


@shows(ToolSaid)
def show_tool(said: ToolSaid) -> ToolView:
    """One tool, line by line."""
    return ToolView(said)


@shows(ToolSaid, many=True)
def show_tools(said: Sequence[ToolSaid]) -> ToolsView:
    """A row for each."""
    return ToolsView(said)
