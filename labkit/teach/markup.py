"""HTML that cannot be broken out of: every string is escaped, only what was built here passes as it is.

WHAT       `tag("td", text, class_="old")` builds an element as Markup; `join` puts pieces side by side.
           `drawing` takes the shapes out of an SVG drawing: a name in it points to a part of itself and nowhere else.
           `visible` makes characters that hide or turn text (U+202E and its like) stand there as escapes; `clip`
           cuts what is too long and says so.
RULES      1. A str is text, always. There is no way to turn one into Markup; of a drawing only shapes and letters pass.
           2. No element or attribute that can run a program or fetch anything.
           3. Layout by tables, lists and inline style: JupyterLab, GitHub and nbconvert strip the rest.
READ NEXT  view.py
"""

from __future__ import annotations

import html
import re
from collections.abc import Iterator
from dataclasses import dataclass
from xml.etree import ElementTree

from labkit.mail.visible import visible

__all__ = ["ELEMENTS", "Markup", "clip", "drawing", "join", "tag", "visible"]

ELEMENTS = frozenset(
    """b br caption code col colgroup dd div dl dt em figcaption figure h3 h4 hr i li ol p pre section small
    span strong sub sup table tbody td tfoot th thead tr ul var""".split()
)
_WITHOUT_END = frozenset({"br", "col", "hr"})
_ATTRIBUTE = re.compile(
    r"(?:class|style|title|lang|dir|role|scope|colspan|rowspan|start|id|(?:aria|data)-[a-z-]+)"
)
_FETCHES = re.compile(r"url|expression|import|[\\<>@{}]", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Markup:
    """A piece of HTML that is safe as it stands. Made by `tag`, `join` and `drawing`, and by nothing else."""

    source: str

    def __str__(self) -> str:
        return self.source


_SHAPES = frozenset("svg g defs clipPath path rect text tspan use circle line polygon polyline".split())
_SHAPE_ATTRIBUTES = frozenset(
    """width height viewBox version style transform d x y x1 x2 y1 y2 r cx cy points clip-path font-size text-anchor
    fill stroke rx ry""".split()
)
_STYLE = re.compile(r"[-a-zA-Z0-9#%.,:;()' ]*")
_LINK = re.compile(r"url\(#([^)]*)\)")
_NUMBER = re.compile(r"-?\d+\.\d+(?:e-?\d+)?")
SVG = "http://www.w3.org/2000/svg"
_XLINK = "{http://www.w3.org/1999/xlink}href"

Child = Markup | str | int | None


def clip(text: str, most: int) -> str:
    """The text, or its beginning with a word on how much more there was."""
    if len(text) <= most:
        return text
    return f"{text[:most]} [and {len(text) - most:,} more characters]"


def tag(name: str, *children: Child, **attributes: str | int | None) -> Markup:
    """Build an element. A trailing underscore in an attribute's name goes, others become dashes; None leaves it out.

    Raises ValueError for an element or attribute that static HTML has no business with.
    """
    if name not in ELEMENTS:
        raise ValueError(f"no element {name!r} in a view")
    inside = join(*children).source
    opening = "".join(
        [name, *(_attribute(key, value) for key, value in attributes.items() if value is not None)]
    )
    if name in _WITHOUT_END:
        if inside:
            raise ValueError(f"<{name}> holds nothing")
        return Markup(f"<{opening}>")
    return Markup(f"<{opening}>{inside}</{name}>")


def join(*pieces: Child) -> Markup:
    """Pieces side by side; strings and numbers are escaped, None is nothing."""
    return Markup("".join(_source(piece) for piece in pieces))


def _source(piece: Child) -> str:
    if piece is None:
        return ""
    if isinstance(piece, Markup):
        return piece.source
    if not isinstance(piece, (str, int)):
        raise TypeError(f"{type(piece).__name__} is neither text nor Markup")
    return html.escape(visible(str(piece)))


def _attribute(key: str, value: str | int) -> str:
    name = key.removesuffix("_").replace("_", "-")
    if not _ATTRIBUTE.fullmatch(name):
        raise ValueError(f"no attribute {name!r} in a view")
    if name == "style" and _FETCHES.search(str(value)):
        raise ValueError(f"a style that could fetch something: {value!r}")
    return f' {name}="{_source(value)}"'


def drawing(svg: bytes, name: str, title: str) -> Markup:
    """An SVG drawing for a page: its shapes and letters, and nothing else. `title` is what a reader's program says.

    `name`: the drawings of one page have different ones. Raises ElementTree.ParseError.
    """
    return Markup(_Drawing(ElementTree.fromstring(svg), name, title).text())


class _Drawing:
    """A drawing as it may stand in a page among others: names of its own, and nothing but shapes."""

    def __init__(self, root: ElementTree.Element, prefix: str, title: str) -> None:
        self._root = root
        self._title = title
        known = {element.get("id") for element in root.iter()}
        wanted = dict.fromkeys(target for target in self._targets() if target in known)
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
        if name not in _SHAPES:
            return
        yield f"<{name}{''.join(self._attributes(element))}"
        if is_root:
            yield f' xmlns="{SVG}" role="img" aria-label="{html.escape(self._title)}"'
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
            if key not in _SHAPE_ATTRIBUTES:
                continue
            links = _LINK.findall(value)
            plain = _LINK.sub("", value)
            if key == "style" and not _STYLE.fullmatch(plain):
                continue
            if not self._names.keys() >= set(links):
                continue
            if "url" in plain.lower() and key in ("style", "clip-path", "fill", "stroke"):
                continue
            for link in links:
                value = value.replace(f"url(#{link})", f"url(#{self._names[link]})")
            yield f' {key}="{html.escape(_NUMBER.sub(_short, value))}"'


def _short(found: re.Match[str]) -> str:
    shown = f"{float(found[0]):.2f}".rstrip("0").rstrip(".")
    return "0" if shown == "-0" else shown
