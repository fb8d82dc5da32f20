"""Tables in both forms: for the page and for plain text.

RULES      the same cells in both; cells are text, and escaped as everything is.
READ NEXT  show.py
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from textwrap import fill

from labkit.teach.markup import Markup, tag, visible

WIDTH = 110  # columns of plain text
NARROWEST = 16  # a column is not folded further
_CELL = "text-align:left; vertical-align:top; padding:2px 12px 2px 0; white-space:pre-wrap"
_CODE = f"{_CELL}; font-family:var(--jp-code-font-family, monospace)"


def table(
    head: Sequence[str],
    rows: Iterable[Sequence[str]],
    caption: str = "",
    code: Iterable[int] = (),
    whole: Iterable[int] = (),
) -> Markup:
    """An HTML table. The columns numbered in `code` (from 0) are set as code, those in `whole` are never broken."""
    styles = dict.fromkeys(code, _CODE)
    for i in whole:
        styles[i] = styles.get(i, _CELL).replace("pre-wrap", "nowrap")
    return tag(
        "table",
        tag("caption", caption, style="text-align:left; font-weight:bold; padding:4px 0")
        if caption
        else None,
        tag("thead", tag("tr", *(tag("th", name, scope="col", style=_CELL) for name in head))),
        tag("tbody", *(_row(row, styles) for row in rows)),
        style="border-collapse:collapse",
    )


def _row(row: Sequence[str], styles: Mapping[int, str]) -> Markup:
    return tag("tr", *(tag("td", cell, style=styles.get(i, _CELL)) for i, cell in enumerate(row)))


def text_table(head: Sequence[str], rows: Iterable[Sequence[str]], caption: str = "") -> str:
    """The same as plain text, columns aligned; a cell of several lines takes several lines."""
    lines = [[cell.split("\n") for cell in map(visible, row)] for row in (head, *rows)]
    widths = [max(len(part) for row in lines for part in row[i]) for i in range(len(head))]
    out = [caption] if caption else []
    for number, row in enumerate(lines):
        for level in range(max(map(len, row))):
            cells = (cell[level] if level < len(cell) else "" for cell in row)
            out.append("  ".join(cell.ljust(width) for cell, width in zip(cells, widths)).rstrip())
        if number == 0:
            out.append("  ".join("-" * width for width in widths))
    return "\n".join(out)


def folded(head: Sequence[str], rows: Iterable[Sequence[str]], at: int) -> list[list[str]]:
    """The rows with that column folded, if plain text would be too wide for the page else. Words stay whole."""
    cells = [[visible(cell) for cell in row] for row in rows]
    widths = [max(map(len, column)) for column in zip(head, *cells)]
    room = max(WIDTH - sum(widths) - 2 * (len(head) - 1) + widths[at], NARROWEST)
    for row in cells:
        row[at] = fill(row[at], room, break_long_words=False, break_on_hyphens=False)
    return cells
