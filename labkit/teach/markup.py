"""HTML that cannot be broken out of: every string is escaped, only what was built here passes as it is.

WHAT       `tag("td", text, class_="old")` builds an element as Markup; `join` puts pieces side by side.
           `visible` makes characters that hide or turn text (U+202E and its like) stand there as escapes; `clip`
           cuts what is too long and says so.
RULES      1. A str is text, always. There is no way to turn one into Markup.
           2. No element or attribute that can run a program or fetch anything.
           3. Layout by tables, lists and inline style: JupyterLab, GitHub and nbconvert strip the rest.
READ NEXT  view.py
"""

from __future__ import annotations

import html
import re
from dataclasses import dataclass

ELEMENTS = frozenset(
    """b br caption code col colgroup dd div dl dt em figcaption figure h3 h4 hr i li ol p pre section small
    span strong sub sup table tbody td tfoot th thead tr ul var""".split()
)
_WITHOUT_END = frozenset({"br", "col", "hr"})
_ATTRIBUTE = re.compile(
    r"(?:class|style|title|lang|dir|role|scope|colspan|rowspan|start|id|(?:aria|data)-[a-z-]+)"
)
_FETCHES = re.compile(r"url|expression|import|[\\<>@{}]", re.IGNORECASE)
_SPACES = " \n\t"


@dataclass(frozen=True, slots=True)
class Markup:
    """A piece of HTML that is safe as it stands. Made by `tag` and `join`, and of drawings by plots/picture.py."""

    source: str

    def __str__(self) -> str:
        return self.source


Child = Markup | str | int | None


def visible(text: str) -> str:
    """The text with everything that is not plainly seen as an escape: \\u202e, \\x1b. Blanks and letters stay."""
    if text.isprintable():
        return text
    return "".join(c if c in _SPACES or c.isprintable() else _escape(ord(c)) for c in text)


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


def _escape(point: int) -> str:
    if point < 0x100:
        return f"\\x{point:02x}"
    return f"\\u{point:04x}" if point < 0x10000 else f"\\U{point:08x}"
