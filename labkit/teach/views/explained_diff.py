"""A diff of two configurations, with the reason beside each changed line.

WHAT       `edited(text, edits)` makes the changes; an edit is a line, what it becomes, and why. `explained_diff(before,
           after, edits)` shows what really differs between two texts: a change that no edit speaks of is said to have
           no reason, and a reason that no change belongs to is said to be one too many.
DECIDES    lines are compared without the blanks at their ends; changes are told in the order of the file
READ NEXT  explained_diff_example.py
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher, get_close_matches
from textwrap import fill

from labkit.teach.markup import Markup, join, tag
from labkit.teach.tables import WIDTH, text_table
from labkit.teach.view import View

# lines as they were, as they are now, and why. No old line: the new one comes first
Edit = tuple[str, str, str]
NO_REASON = "no reason is given yet"
_LINE = "font-family:var(--jp-code-font-family, monospace); white-space:pre-wrap; padding-left:6px"
_OLD = f"{_LINE}; border-left:4px solid #d9534f"  # the sign says it, too: a colour alone would not do
_NEW = f"{_LINE}; border-left:4px solid #3c9a5f"
_REASON = (30, 60)  # columns of plain text that a reason has, beside long lines and beside short ones
_CELL = "text-align:left; vertical-align:top; padding:4px 16px 4px 0"


@dataclass(frozen=True, slots=True)
class Changed:
    """Lines that differ: as they were and as they are, and why (empty: nobody has said)."""

    old: tuple[str, ...]
    new: tuple[str, ...]
    because: str


def edited(text: str, edits: Sequence[Edit]) -> str:
    """The text with these changes. What is there already is not made again.

    Raises ValueError for a line that the text does not have, with the one that looks most like it; and for one that
    it has several times.
    """
    lines = text.splitlines()
    for old, new, _ in edits:
        lines = _with_edit(lines, old.splitlines(), new.splitlines())
    return "\n".join(lines) + "\n"


def _with_edit(lines: list[str], old: list[str], new: list[str]) -> list[str]:
    if not old:
        return lines if _places(lines, new) else [*new, *lines]
    places = _places(lines, old)
    if not places and new and _places(lines, new):
        return lines
    if not places:
        like = get_close_matches(old[0], lines, n=1, cutoff=0.5)
        remedy = f"; did you mean {like[0]!r}?" if like else ""
        raise ValueError(f"there is no line {old[0]!r}{remedy}")
    if len(places) > 1:
        numbers = ", ".join(str(place + 1) for place in places)
        raise ValueError(f"the line {old[0]!r} stands there several times: lines {numbers}")
    return [*lines[: places[0]], *new, *lines[places[0] + len(old) :]]


def _places(lines: list[str], wanted: list[str]) -> list[int]:
    wanted = [line.strip() for line in wanted]
    return [
        at
        for at in range(len(lines) - len(wanted) + 1)
        if [line.strip() for line in lines[at : at + len(wanted)]] == wanted
    ]


def explained_diff(before: str, after: str, edits: Sequence[Edit] = ()) -> ExplainedDiff:
    """What differs between two texts, each change with its reason from `edits`."""
    return ExplainedDiff(before, after, edits)


class ExplainedDiff(View):
    """Changed lines, the old and the new, with the reason beside them."""

    def __init__(self, before: str, after: str, edits: Sequence[Edit] = ()) -> None:
        self.changes = tuple(part for change in _changes(before, after) for part in _split(change, edits))
        told = {line for change in self.changes for line in (*change.old, *change.new)}
        self.left_over = tuple(
            edit for edit in edits if not told & {*_stripped(edit[0]), *_stripped(edit[1])} - {""}
        )

    @property
    def unexplained(self) -> tuple[Changed, ...]:
        """The changes that have no reason yet."""
        return tuple(change for change in self.changes if not change.because)

    @property
    def _title(self) -> str:
        count = len(self.changes)
        if not count:
            return "Nothing differs"
        return f"{count} change{'s' if count > 1 else ''}"

    @property
    def _remarks(self) -> list[str]:
        return [f"Nothing was changed for this reason: {because}" for _, _, because in self.left_over]

    def html(self) -> Markup:
        head = tag(
            "tr", *(tag("th", name, scope="col", style=_CELL) for name in ("changed lines", "because"))
        )
        body = [
            tag(
                "tr",
                tag("td", *_marked(change), style=_CELL),
                tag("td", change.because or tag("em", NO_REASON), style=_CELL),
            )
            for change in self.changes
        ]
        style = "border-collapse:collapse; width:100%"
        return join(
            tag(
                "table",
                tag("caption", self._title, style="text-align:left; font-weight:bold; padding:4px 0"),
                tag("colgroup", tag("col", style="width:55%"), tag("col", style="width:45%")),
                tag("thead", head),
                tag("tbody", *body),
                style=style,
            ),
            *(tag("p", remark) for remark in self._remarks),
        )

    def text(self) -> str:
        longest = max(
            (len(line) for change in self.changes for line in (*change.old, *change.new)), default=0
        )
        room = min(max(WIDTH - longest - len("+ ") - 2, _REASON[0]), _REASON[1])
        rows = [
            (
                "\n".join([*(f"- {line}" for line in change.old), *(f"+ {line}" for line in change.new)]),
                fill(change.because or NO_REASON, room, break_long_words=False, break_on_hyphens=False),
            )
            for change in self.changes
        ]
        shown = text_table(("changed lines", "because"), rows, self._title) if rows else self._title
        return "\n".join([shown, *self._remarks])


def _marked(change: Changed) -> Iterator[Markup]:
    for line in change.old:
        yield tag("div", f"- {line}", style=_OLD)
    for line in change.new:
        yield tag("div", f"+ {line}", style=_NEW)


def _changes(before: str, after: str) -> Iterator[Changed]:
    """The runs of lines that differ."""
    old, new = _stripped(before), _stripped(after)
    for what, a, b, c, d in SequenceMatcher(None, old, new, autojunk=False).get_opcodes():
        if what != "equal":
            yield Changed(tuple(old[a:b]), tuple(new[c:d]), "")


def _split(change: Changed, edits: Sequence[Edit]) -> list[Changed]:
    """A run of changed lines, cut into the parts that different edits explain."""
    old, new = list(change.old), list(change.new)
    parts = []
    for before, after, because in edits:
        mine_old = [line for line in _stripped(before) if line in old]
        mine_new = [line for line in _stripped(after) if line in new]
        if not mine_old and not mine_new:
            continue
        for line in mine_old:
            old.remove(line)
        for line in mine_new:
            new.remove(line)
        if any((*mine_old, *mine_new)):
            parts.append((change.old.index(mine_old[0]) if mine_old else 0, mine_old, mine_new, because))
    parts.sort(key=lambda part: part[0])
    found = [Changed(tuple(mine_old), tuple(mine_new), because) for _, mine_old, mine_new, because in parts]
    rest = Changed(tuple(filter(None, old)), tuple(filter(None, new)), "")
    return [*found, rest] if rest.old or rest.new else found


def _stripped(text: str) -> list[str]:
    return [line.rstrip() for line in text.splitlines()]
