"""The example configuration to begin with: Exim's own where it is installed, else labkit's.

WHAT       `example_configuration()` finds it and shows its parts; its `.configuration` is the text to change.
DECIDES    both set the same, in the same order (a test compares them); the comments of ours are our own
READ NEXT  explained_diff_trial.py
"""

from __future__ import annotations

import gzip
import re
from dataclasses import dataclass
from pathlib import Path

from labkit.lab.data import data_path
from labkit.teach.markup import Markup, join, tag
from labkit.teach.tables import table, text_table
from labkit.teach.view import View

FOLDERS = (
    "/usr/share/doc/exim4-base/examples",
    "/usr/share/doc/exim4/examples",
    "/usr/share/doc/exim/examples",
)
NAMES = ("example.conf", "example.conf.gz")
OURS = "labkit's own example: Exim's is not installed here"
PARTS = {
    "main": "settings for the whole host",
    "acl": "who may send what: one list for each step of the conversation",
    "routers": "where an address goes; asked from top to bottom",
    "transports": "how it is carried; their order means nothing",
    "retry": "when to try again, and when to give up",
    "rewrite": "changing addresses",
    "authenticators": "how people log in",
}


@dataclass(frozen=True, slots=True)
class Part:
    """A part of a configuration: how many lines that set something, and the names of what it defines."""

    name: str
    lines: int
    defines: tuple[str, ...]


class Example(View):
    """An example configuration: its text, where it was found, and an overview of its parts."""

    def __init__(self, text: str, origin: str) -> None:
        self.configuration = text
        self.origin = origin
        self.parts = parts_of(text)
        self.rows = [
            (part.name, str(part.lines), ", ".join(part.defines) or "nothing", PARTS.get(part.name, ""))
            for part in self.parts
        ]
        self.head = ("part", "lines", "defines", "is about")

    @property
    def _counted(self) -> str:
        every = len(self.configuration.splitlines())
        return f"{every} lines, {sum(part.lines for part in self.parts)} of them without comments and empty lines"

    def html(self) -> Markup:
        return join(
            tag("p", tag("b", "The example configuration: "), self.origin, tag("br"), self._counted),
            table(self.head, self.rows, whole=[0]),
        )

    def text(self) -> str:
        title = f"The example configuration: {self.origin}\n{self._counted}"
        return text_table(self.head, self.rows, title)


def example_configuration() -> Example:
    """Exim's own example configuration, if a package has brought it; else the one that comes with labkit."""
    for folder in FOLDERS:
        for name in NAMES:
            path = Path(folder) / name
            if path.is_file():
                return Example(_read(path), str(path))
    return our_example()


def our_example() -> Example:
    """labkit's own."""
    return Example(_read(data_path("configurations", "example.conf")), OURS)


def _read(path: Path) -> str:
    content = path.read_bytes()
    return (gzip.decompress(content) if path.suffix == ".gz" else content).decode("utf-8", "replace")


def settings(text: str) -> str:
    """The text without its comments and empty lines: what the MTA reads."""
    return "".join(f"{line}\n" for line in _effective(text))


def _effective(text: str) -> list[str]:
    return [line.rstrip() for line in text.splitlines() if line.strip() and not line.lstrip().startswith("#")]


def parts_of(text: str) -> tuple[Part, ...]:
    """The parts in their order, each with what it defines: named lists, ACLs, routers and so on."""
    parts: list[Part] = []
    name, lines, defines = "main", 0, list[str]()
    for line in _effective(text):
        if begins := re.fullmatch(r"begin\s+(\w+)", line.strip()):
            parts.append(Part(name, lines, tuple(dict.fromkeys(defines))))
            name, lines, defines = begins[1], 0, []
            continue
        lines += 1
        found = re.match(
            r"(?:domain|host|address|localpart)list\s+(\w+)" if name == "main" else r"(\w+):", line
        )
        if found:
            defines.append(found[1])
    parts.append(Part(name, lines, tuple(dict.fromkeys(defines))))
    return tuple(parts)
