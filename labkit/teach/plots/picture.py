"""A picture drawn by matplotlib, with the same facts as text below it.

WHAT       `Picture` is a view: its HTML holds the drawing as SVG, a title, and the text twin, which is its text().
RULES      two runs give the same bytes: no date, no random name, figures with two digits, matplotlib's own defaults
           whatever style the notebook has set. Letters stay letters, so a reader's program can read them aloud.
VERSIONS   another version of matplotlib places letters differently; so nbval compares the text twin, not the drawing
           (tests/nbval.cfg).
SAFE       what matplotlib wrote is read again, and only elements and attributes of a drawing are written into the page;
           a name may point to a part of the same drawing and nowhere else. `label` cuts and escapes whatever came by
           mail, and a $ in it is a $, not mathematics.
READ NEXT  time_axis.py, retry_schedule.py
"""

from __future__ import annotations

import html
import io
import re
from collections.abc import Callable, Iterator
from hashlib import sha256
from typing import TYPE_CHECKING, Any
from xml.etree import ElementTree

from labkit.teach.markup import Markup, clip, join, tag, visible
from labkit.teach.view import View

if TYPE_CHECKING:
    from matplotlib.figure import Figure

# Okabe and Ito's colours, which those who see few colours can tell apart; a shape or a word says the same again
BLUE, ORANGE, GREEN, RED, PURPLE, SKY, YELLOW, GREY = (
    "#0072b2", "#e69f00", "#009e73", "#d55e00", "#cc79a7", "#56b4e9", "#f0e442", "#707070",
)  # fmt: skip
LONGEST_LABEL = 48
LONGEST_TWIN = 20_000

_ELEMENTS = frozenset("svg g defs clipPath path rect text tspan use circle line polygon polyline".split())
_ATTRIBUTES = frozenset(
    """width height viewBox version style transform d x y x1 x2 y1 y2 r cx cy points clip-path font-size text-anchor
    fill stroke rx ry""".split()
)
_STYLE = re.compile(r"[-a-zA-Z0-9#%.,:;()' ]*")
_LINK = re.compile(r"url\(#([^)]*)\)")
_NUMBER = re.compile(r"-?\d+\.\d+(?:e-?\d+)?")
_XLINK = "{http://www.w3.org/1999/xlink}href"
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
        drawing = Markup(self.svg())  # built below of nothing but elements and attributes of a drawing
        return tag(
            "figure",
            tag("figcaption", tag("b", self.title)),
            join(drawing),
            tag("pre", self._twin, style="margin:4px 0; white-space:pre-wrap"),
            style="margin:0; overflow-x:auto",
        )

    def text(self) -> str:
        return f"{visible(self.title)}\n{visible(self._twin)}"

    def svg(self) -> str:
        """The drawing alone, to be saved as a file, say."""
        drawn = io.BytesIO()
        self._save(drawn, "svg", {"Date": None, "Creator": None, "Format": None, "Type": None})
        name = sha256(self.text().encode("utf-8", "replace")).hexdigest()[:8]
        return _Page(ElementTree.fromstring(drawn.getvalue()), f"p{name}", label(self.title, 200)).text()

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


class _Page:
    """A drawing by matplotlib as it may stand in a page among others: names of its own, and nothing but shapes."""

    def __init__(self, root: ElementTree.Element, prefix: str, title: str) -> None:
        self._root = root
        self._title = title
        wanted = dict.fromkeys(self._targets())
        self._names = {name: f"{prefix}-{number}" for number, name in enumerate(wanted)}

    def text(self) -> str:
        return "".join(self._written(self._root, is_root=True))

    def _targets(self) -> Iterator[str]:
        """Whatever is pointed to, in the order of the drawing."""
        for element in self._root.iter():
            for value in element.attrib.values():
                yield from _LINK.findall(value)
            if _XLINK in element.attrib:
                yield element.attrib[_XLINK].removeprefix("#")

    def _written(self, element: ElementTree.Element, *, is_root: bool = False) -> Iterator[str]:
        name = element.tag.rpartition("}")[2]
        if name not in _ELEMENTS:
            return
        yield f"<{name}{''.join(self._attributes(element))}"
        if is_root:
            yield f' role="img" aria-label="{html.escape(self._title)}"'
            yield ' stroke-linejoin="round" stroke-linecap="butt"'
        yield ">"
        if name in ("text", "tspan"):
            yield html.escape(visible(element.text or ""))
        for child in element:
            yield from self._written(child)
        yield f"</{name}>"

    def _attributes(self, element: ElementTree.Element) -> Iterator[str]:
        if element.get("id") in self._names:
            yield f' id="{self._names[element.attrib["id"]]}"'
        if (target := element.get(_XLINK, "").removeprefix("#")) in self._names:
            yield f' href="#{self._names[target]}"'
        for key, value in element.attrib.items():
            if key not in _ATTRIBUTES:
                continue
            links = _LINK.findall(value)
            plain = _LINK.sub("", value)
            if key == "style" and not _STYLE.fullmatch(plain):
                continue
            if "url" in plain.lower() and key in ("style", "clip-path", "fill", "stroke"):
                continue
            for link in links:
                value = value.replace(f"url(#{link})", f"url(#{self._names[link]})")
            yield f' {key}="{html.escape(_NUMBER.sub(_short, value))}"'


def _short(found: re.Match[str]) -> str:
    shown = f"{float(found[0]):.2f}".rstrip("0").rstrip(".")
    return "0" if shown == "-0" else shown
