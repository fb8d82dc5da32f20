"""Read a corpus of mail while a bar tells how far one is: a file or a folder may hold a hundred thousand messages.

WHAT       `read_with_a_bar(path)`: the totals of all messages there. In a notebook a bar grows with the octets that are
           read, and goes when all is; elsewhere nothing is shown.
RULES      one message at a time is in memory. A file that cannot be read is told by a warning, and the rest is read.
READ NEXT  many_headers.py, labkit/headers/totals.py
"""

from __future__ import annotations

from collections.abc import Iterator
from os import PathLike
from pathlib import Path
from typing import Any

from labkit.headers.totals import Totals, survey_all
from labkit.lab.mail_files import read_messages
from labkit.teach.markup import Markup, tag

EVERY = 500  # messages between two looks of the bar


class Bar:
    """A bar in a notebook: `read` of `size` octets."""

    def __init__(self, name: str, size: int) -> None:
        self.name, self.size, self.read, self.messages = name, max(size, 1), 0, 0
        self._handle: Any = None  # False: nobody looks

    def counted(self, messages: Iterator[tuple[str, bytes]]) -> Iterator[bytes]:
        for _, octets in messages:
            self.read += len(octets)
            yield octets

    def html(self) -> Markup:
        share = min(self.read / self.size, 1.0)
        words = f"{self.messages:,} messages of {self.name}, {share:.0%}"
        done = tag("div", style=f"width:{share:.0%}; height:8px; background:#0072b2")
        return tag("div", tag("div", done, style="width:20em; background:#d0d0d0"), words)

    def show(self, messages: int) -> None:
        """The bar as it is after so many messages."""
        self.messages = messages
        if self._handle is None:
            self._handle = _display(self)
        elif self._handle:
            self._handle.update(_Html(str(self.html())))

    def end(self) -> None:
        if self._handle:
            self._handle.update(_Html(""))


class _Html:
    """HTML and nothing else, for a place of the page that will change."""

    def __init__(self, html: str) -> None:
        self._html = html

    def _repr_mimebundle_(self, **kwargs: object) -> dict[str, str]:
        return {"text/html": self._html, "text/plain": ""}


def _display(bar: Bar) -> Any:
    """A place of the page; False where there is no notebook."""
    try:
        from IPython import get_ipython
        from IPython.display import DisplayHandle
    except ImportError:
        return False
    shell = get_ipython()
    if shell is None or not hasattr(shell, "kernel"):
        return False
    make: Any = DisplayHandle  # IPython's own calls have no types
    place = make()
    place.display(_Html(str(bar.html())))
    return place


def read_with_a_bar(path: str | PathLike[str]) -> Totals:
    """The totals of every message at `path`: an .eml, an mbox, a Maildir or a folder. Raises FileNotFoundError."""
    place = Path(path)
    bar = Bar(place.name, _size(place))
    try:
        return survey_all(bar.counted(read_messages(place)), progress=bar.show, every=EVERY)
    finally:
        bar.end()


def _size(place: Path) -> int:
    """The octets to be read, nearly: what changes meanwhile moves the bar, and no more."""
    files = place.rglob("*") if place.is_dir() else [place]
    return sum(file.stat().st_size for file in files if file.is_file())
