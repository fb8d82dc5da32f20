"""The story of one cell of the TLS matrix: what was said, who was told which password, what the logs say.

RULES      all of it was noted when the cell was run; an attacker who could not read a line has none here.
READ NEXT  ../plots/tls_matrix.py, ../../lab/tls_matrix.py
"""

from __future__ import annotations

from collections.abc import Iterator
from textwrap import fill

from labkit.lab.middle_engine import ATTACKS
from labkit.lab.tls_cell import PORTS, Cell, transport_lines
from labkit.lab.tls_matrix import TlsMatrix
from labkit.teach.markup import Markup, clip, join, tag, visible
from labkit.teach.show import shows
from labkit.teach.tables import WIDTH, folded, table, text_table
from labkit.teach.view import View

MOST_LINES = 200
LONGEST_LINE = 400
_HEAD = ("how he saw it", "who", "what was said")
_SPEAKERS = {"C": "client", "S": "server"}


class TlsStory(View):
    """Of one cell."""

    def __init__(self, cell: Cell) -> None:
        self.cell = cell
        self.title = f"Port {cell.port} ({PORTS[cell.port]}), client {cell.client}, attacker: {cell.attacker}"
        self.facts = tuple(_facts(cell))
        self.rows = [
            (how, _SPEAKERS.get(who, who), clip(said, LONGEST_LINE))
            for who, said, how in cell.dialogue[:MOST_LINES]
        ]

    def html(self) -> Markup:
        parts: list[Markup | str] = [tag("b", self.title)]
        parts.append(tag("ul", *(tag("li", fact) for fact in self.facts)))
        if self.rows:
            parts.append(table(_HEAD, self.rows, "The talk as the attacker saw it", code=[2], whole=[0, 1]))
        parts += [tag("pre", "\n".join(map(visible, lines))) for lines in (self.cell.client_log,) if lines]
        return join(*parts)

    def text(self) -> str:
        lines = [
            self.title,
            *(fill(f"- {visible(fact)}", WIDTH, subsequent_indent="  ") for fact in self.facts),
        ]
        if self.rows:
            lines.append("The talk as the attacker saw it:")
            lines.append(text_table(_HEAD, folded(_HEAD, self.rows, 2)))
        if self.cell.client_log:
            lines.append("The client's log:")
            lines += [
                fill(visible(line), WIDTH, subsequent_indent="    ", break_on_hyphens=False)
                for line in self.cell.client_log
            ]
        return "\n".join(lines)


def _facts(cell: Cell) -> Iterator[str]:
    yield f"{cell.outcome}: {cell.words}"
    yield f"the client's transport: {'; '.join(transport_lines(cell.client, cell.port))}"
    yield f"the attacker: {ATTACKS[cell.attacker]}"
    ends = {
        "delivered": "the letter has arrived",
        "waits": "the letter waits at the client, and nothing is lost",
        "gone": "the letter has not arrived, and waits no more",
    }
    yield ends[cell.fate]
    for told in cell.told:
        right = "and the server took it" if told.is_right else "which the server did not take"
        yield f"the attacker was told the password of {told.login}, {told.characters} characters, {right}"
    for letter in cell.letters:
        way = "inside the TLS that ended at him" if letter.was_encrypted else "in the clear"
        yield f"the attacker has read a letter of {letter.sender or '<>'}, {way}"
    if cell.on_wire:
        yield f"in the capture anybody can read: the {' and the '.join(cell.on_wire)}"
    else:
        yield "in the capture neither the letter nor the password can be read"


@shows(Cell)
def show_cell(cell: Cell) -> TlsStory:
    return TlsStory(cell)


@shows(TlsMatrix)
def show_matrix(matrix: TlsMatrix) -> View:
    """All of it, without predictions."""
    from labkit.teach.plots.tls_matrix import tls_picture

    return tls_picture(matrix)
