"""Ways a message may travel, and what each check said at its end: a heat map, predicted first.

WHAT       `verdict_matrix(found, predicted)`: `found` maps each way to what its checks said (result words of RFC 8601:
           pass, fail, softfail, neutral, none, temperror, permerror); `predicted` maps ways to what you expect, a word
           for each check in their order, `?` for none. Without predictions all is shown at once.
RULES      what is not predicted is not shown: it grows as you predict. Verdicts come from a run, never from here.
STANDARDS  RFC 8601 §2.7 (the words)
READ NEXT  picture.py, ../views/truth_table.py
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from labkit.mail.plainly import SaidPlainly
from labkit.teach.plots.picture import BLUE, GREY, ORANGE, SKY, YELLOW, Picture, label
from labkit.teach.tables import WIDTH, text_table

if TYPE_CHECKING:
    from matplotlib.figure import Figure

RESULTS = ("pass", "fail", "softfail", "neutral", "none", "policy", "temperror", "permerror")
UNKNOWN = "?"
MOST_WAYS = 40
MOST_CHECKS = 10


@dataclass(frozen=True, slots=True)
class Vocabulary:
    """What a cell may say, each word with its colour; the title, and what a row is. `nothing`: of an empty cell."""

    colours: Mapping[str, str]
    title: str
    row: str
    nothing: str
    example: str


_COLOURS = {
    "pass": SKY,
    "fail": ORANGE,
    "permerror": ORANGE,
    "softfail": YELLOW,
    "policy": YELLOW,
    "temperror": YELLOW,
    "neutral": "#eeeeee",
    "none": "#eeeeee",
}
OF_CHECKS = Vocabulary(
    {result: _COLOURS[result] for result in RESULTS},
    "Who vouches for it at the end of each way",
    "way",
    "none",
    "{'direct': {'SPF': 'pass'}}",
)


class WrongPrediction(SaidPlainly, ValueError):
    """A prediction that cannot be compared; the text says how to write it."""


@dataclass(frozen=True, slots=True)
class Cell:
    """What one check said of one way, and what was expected ("" if nothing was asked for, `?` if it is open)."""

    found: str
    predicted: str

    @property
    def is_open(self) -> bool:
        return self.predicted == UNKNOWN

    @property
    def is_right(self) -> bool:
        return self.predicted == self.found

    @property
    def words(self) -> str:
        if self.is_open:
            return UNKNOWN
        if not self.predicted:
            return self.found
        return f"= {self.found}" if self.is_right else f"X {self.found}, not {self.predicted}"


class VerdictMatrix(Picture):
    """The picture; `cells[way][check]` is what it shows."""

    def __init__(
        self,
        found: Mapping[str, Mapping[str, str]],
        predicted: Mapping[str, Sequence[str]] | None,
        vocabulary: Vocabulary = OF_CHECKS,
    ) -> None:
        self.vocabulary = vocabulary
        self.ways = tuple(found)
        self.checks = tuple(dict.fromkeys(check for said in found.values() for check in said))
        self.cells = {
            way: {
                check: Cell(said.get(check, vocabulary.nothing), _expected(predicted, way, at))
                for at, check in enumerate(self.checks)
            }
            for way, said in found.items()
        }
        self.is_predicted = predicted is not None
        size = (1.9 + 1.35 * len(self.checks), 0.9 + 0.42 * len(self.ways))
        super().__init__(vocabulary.title, self._drawing, self._words(), size)

    @property
    def right(self) -> int:
        """How many predictions are right."""
        return sum(cell.is_right for row in self.cells.values() for cell in row.values())

    @property
    def asked(self) -> int:
        """How many cells were predicted."""
        return sum(not cell.is_open for row in self.cells.values() for cell in row.values())

    def _words(self) -> str:
        rows = [(label(way), *(row[check].words for check in self.checks)) for way, row in self.cells.items()]
        head = (self.vocabulary.row, *map(label, self.checks))
        grid = text_table(head, rows)
        if any(len(line) > WIDTH for line in grid.splitlines()):
            grid = text_table(
                head, [tuple(word.replace(", not ", ",\nnot ") for word in row) for row in rows]
            )
        lines = [grid]
        if self.is_predicted:
            left = len(self.ways) * len(self.checks) - self.asked
            still = f", {left} not predicted yet ({UNKNOWN})" if left else ""
            score = (
                f"{self.right} of {self.asked} predictions are right (=)"
                if self.asked
                else "Nothing predicted"
            )
            lines.append(f"{score}{still}.")
        return "\n".join(lines)

    def _drawing(self, figure: Figure) -> None:
        from matplotlib.patches import Rectangle

        width, height = self.size
        left, top = 1.8 / width, 1 - 0.4 / height
        axes = figure.add_axes((left, 0.1 / height, 0.98 - left, top - 0.1 / height))
        for down, (_, row) in enumerate(self.cells.items()):
            for across, check in enumerate(self.checks):
                cell = row[check]
                wrong = bool(cell.predicted) and not cell.is_open and not cell.is_right
                axes.add_patch(
                    Rectangle(
                        (across - 0.47, down - 0.45),
                        0.94,
                        0.9,
                        facecolor="white"
                        if cell.is_open
                        else self.vocabulary.colours.get(cell.found, "#eeeeee"),
                        edgecolor=BLUE if wrong else GREY,
                        linewidth=2.0 if wrong else 0.5,
                        linestyle=":" if cell.is_open else "-",
                    )
                )
                said = f"{cell.found}\n(you: {cell.predicted})" if wrong else cell.words.removeprefix("= ")
                axes.text(across, down, said, ha="center", va="center", fontsize=7.5 if wrong else 9)
        axes.set_xlim(-0.5, len(self.checks) - 0.5)
        axes.set_ylim(len(self.ways) - 0.5, -0.5)
        axes.set_xticks(range(len(self.checks)), [label(check) for check in self.checks])
        axes.set_yticks(range(len(self.ways)), [label(way, 26) for way in self.ways])
        axes.xaxis.tick_top()
        axes.tick_params(length=0)
        for side in axes.spines.values():
            side.set_visible(False)


def _expected(predicted: Mapping[str, Sequence[str]] | None, way: str, at: int) -> str:
    return "" if predicted is None else predicted[way][at] if way in predicted else UNKNOWN


def verdict_matrix(
    found: Mapping[str, Mapping[str, str]], predicted: Mapping[str, str] | None = None
) -> VerdictMatrix:
    """Draw it. Raises WrongPrediction: an unknown way, a word too many or too few, a word that is no result."""
    return VerdictMatrix(found, read_predictions(found, predicted))


def read_predictions(
    found: Mapping[str, Mapping[str, str]],
    predicted: Mapping[str, str] | None,
    vocabulary: Vocabulary = OF_CHECKS,
) -> dict[str, list[str]] | None:
    """What somebody expects, word by word; None if nothing was asked for. Raises WrongPrediction."""
    row = vocabulary.row
    if not isinstance(found, Mapping) or not all(isinstance(said, Mapping) for said in found.values()):
        raise WrongPrediction(f"what was found maps each {row} to its checks: {vocabulary.example}")
    checks = list(dict.fromkeys(check for said in found.values() for check in said))
    if not checks or len(found) > MOST_WAYS or len(checks) > MOST_CHECKS:
        raise WrongPrediction(f"a matrix has 1 to {MOST_WAYS} {row}s and 1 to {MOST_CHECKS} checks")
    if predicted is None:
        return None
    return {way: _read(way, said, found, checks, vocabulary) for way, said in predicted.items()}


def _read(
    way: str, said: object, found: Mapping[str, object], checks: Sequence[str], vocabulary: Vocabulary
) -> list[str]:
    known = ", ".join(vocabulary.colours)
    if way not in found:
        raise WrongPrediction(f"there is no {vocabulary.row} {way!r}; there are {', '.join(found)}")
    if not isinstance(said, str):
        raise WrongPrediction(f"{way}: write one text, a word for each of {', '.join(checks)}")
    words = said.lower().replace(",", " ").split()
    if len(words) != len(checks):
        raise WrongPrediction(
            f"{way}: {len(checks)} words are wanted ({', '.join(checks)}), there are {len(words)}"
        )
    for word in words:
        if word != UNKNOWN and word not in vocabulary.colours:
            raise WrongPrediction(f"{way}: {word!r} is no result; the words are {known}, or {UNKNOWN}")
    return words
