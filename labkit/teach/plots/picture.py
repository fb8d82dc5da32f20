"""A picture drawn by matplotlib, with the same facts as text below it.

WHAT       `Picture` is a view: its HTML holds the drawing as SVG, a title, and the text twin, which is its text().
RULES      two runs give the same bytes: no date, no random name, figures with two digits, matplotlib's own defaults
           whatever style the notebook has set. Letters stay letters, so a reader's program can read them aloud.
VERSIONS   another version of matplotlib places letters differently; so nbval compares the text twin, not the drawing
           (tests/nbval.cfg).
SAFE       what matplotlib wrote is built anew by markup.py, of shapes and letters alone. `label` cuts and escapes
           whatever came by mail, and a $ in it is a $, not mathematics.
READ NEXT  time_axis.py, retry_schedule.py
"""

from __future__ import annotations

import io
from collections.abc import Callable
from hashlib import sha256
from typing import TYPE_CHECKING, Any

from labkit.teach.markup import Markup, clip, drawing, tag, visible
from labkit.teach.view import View

if TYPE_CHECKING:
    from matplotlib.figure import Figure

# Okabe and Ito's colours, which those who see few colours can tell apart; a shape or a word says the same again
BLUE, ORANGE, GREEN, RED, PURPLE, SKY, YELLOW, GREY = (
    "#0072b2", "#e69f00", "#009e73", "#d55e00", "#cc79a7", "#56b4e9", "#f0e442", "#707070",
)  # fmt: skip
LONGEST_LABEL = 48
LONGEST_TWIN = 20_000

_SETTINGS: dict[str, Any] = {
    "svg.fonttype": "none",
    "text.parse_math": False,
    "font.size": 9.0,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.titlesize": 10.0,
    "font.sans-serif": ["DejaVu Sans"],
    "figure.facecolor": "white",
}


def label(text: object, most: int = LONGEST_LABEL) -> str:
    """A text as a picture may show it: short, and everything in it visible."""
    shown = visible(str(text)).replace("\n", " ").replace("\t", " ")
    return shown if len(shown) <= most else f"{shown[: most - 1]}…"


class Picture(View):
    """A drawing and its words. `draw` is given an empty matplotlib figure of `size` inches when somebody looks."""

    def __init__(
        self, title: str, draw: Callable[[Figure], None], twin: str, size: tuple[float, float] = (9.0, 3.2)
    ) -> None:
        self.title = title
        self.size = size
        self._draw = draw
        self._twin = clip(twin, LONGEST_TWIN)

    def html(self) -> Markup:
        return tag(
            "figure",
            tag("figcaption", tag("b", self.title)),
            self._drawing_in_page(),
            tag("pre", self._twin, style="margin:4px 0; white-space:pre-wrap"),
            style="margin:0; overflow-x:auto",
        )

    def text(self) -> str:
        return f"{visible(self.title)}\n{visible(self._twin)}"

    def svg(self) -> str:
        """The drawing alone, to be saved as a file, say."""
        return str(self._drawing_in_page())

    def _drawing_in_page(self) -> Markup:
        drawn = io.BytesIO()
        self._save(drawn, "svg", {"Date": None, "Creator": None, "Format": None, "Type": None})
        name = sha256(self.text().encode("utf-8", "replace")).hexdigest()[:8]
        return drawing(drawn.getvalue(), f"p{name}", label(self.title, 200))

    def png(self) -> bytes:
        """The same in pixels, for what cannot show SVG."""
        drawn = io.BytesIO()
        self._save(drawn, "png", {"Software": None})
        return drawn.getvalue()

    def _save(self, file: io.BytesIO, kind: str, metadata: dict[str, Any]) -> None:
        import matplotlib
        from matplotlib.figure import Figure

        with matplotlib.rc_context():
            matplotlib.rcdefaults()
            settings: Any = {**_SETTINGS, "svg.hashsalt": "labkit"}
            matplotlib.rcParams.update(settings)
            figure = Figure(figsize=self.size, dpi=100)
            self._draw(figure)
            figure.savefig(file, format=kind, metadata=metadata)
