"""Make logical lines of physical ones: macros, conditions, inclusions, comments, continuation.

DOES       for each physical line, in this order: replace macros, drop comments, obey a condition, read another file
           in its place, join it with the line before if that ended in a backslash.
ASKS       FileText for each file that is included; a relative name is that of a file beside the including one.
STANDARDS  Exim specification, chapter "The Exim run time configuration file" ("Configuration file format",
           "File inclusions in the configuration file")
LIKE EXIM  a `#` after a value is part of the value: comments stand on lines of their own; a comment, a condition or
           another file may stand in the middle of a joined line; a blank line ends it
STRICTER   invisible characters are refused by name, and lines that begin with a dot and are no directive
READ NEXT  reader.py
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from labkit.eximconf.blanks import BLANKS
from labkit.eximconf.conditionals import Conditionals
from labkit.eximconf.macros import Budget, Macros
from labkit.eximconf.place import ConfigurationError, LogicalLine, Place, readable
from labkit.mail.asking import Asking, ask
from labkit.mail.lookups import FileText, Unopened

DEEPEST = 50  # files one inside the other; Exim stops when it can open no more
_INCLUDE = re.compile(rf"\.include(_if_exists)?(?:[{BLANKS}]+(.*))?", re.DOTALL)
_UNSEEN = re.compile(
    "[\0-\x08\x0e-\x1f\x7f-\xa0\xad\u1680\u180e\u2000-\u200f\u2028-\u202f\u205f-\u206f\u3000\ufeff]"
)
_DIRECTIVES = ".ifdef .ifndef .elifdef .elifndef .else .endif .include .include_if_exists"


class _Opened:
    """A file that is being read."""

    __slots__ = ("file", "number", "rest")

    def __init__(self, text: str, file: str) -> None:
        self.file = file
        self.number = 0  # of the line read last
        lines = text.split("\n")
        if not lines[-1]:
            lines.pop()  # the end of the last line begins no other
        self.rest: Iterator[tuple[int, str]] = enumerate(lines, start=1)

    @property
    def place(self) -> Place:
        return Place(self.file, self.number)


def read_lines(
    text: str, file: str, macros: Macros, budget: Budget, take: Callable[[LogicalLine], None]
) -> Asking[None]:
    """Read a file and all that it includes; `take` is called with each logical line as soon as it is complete.

    (So a macro that is defined in it is known to the next line.) Raises ConfigurationError.
    """
    budget.spend(len(text), file, 1)
    conditions = Conditionals()
    line = _Joining(take)
    opened = [_Opened(text, file)]
    while opened:
        here = opened[-1]
        for number, physical in here.rest:
            here.number = number
            written = physical.lstrip(BLANKS)
            if written.startswith("#") or not (written or line.parts):
                continue
            written, found = macros.substitute(written, not line.parts, here.file, here.number)
            if found:
                written = written.lstrip(BLANKS)
                if written.startswith("#"):
                    continue
            is_dotted = written.startswith(".")
            if is_dotted and conditions.obey(written, found, here.place):
                continue
            if conditions.skipping:
                continue
            written = written.rstrip(BLANKS)
            if not written.isprintable():
                _check_seen(written, here.place)
            if is_dotted and (include := _INCLUDE.fullmatch(written)):
                included = yield from _included(include[2] or "", bool(include[1]), opened)
                if included is None:
                    continue
                budget.spend(len(included.text), here.file, here.number)
                opened.append(_Opened(included.text, included.path))
                break
            line.add(written, physical, here)
        else:
            opened.pop()
            if not opened:
                conditions.end(here.place)
    line.end()


class _Joining:
    """The logical line that is being put together."""

    __slots__ = ("_file", "_number", "_take", "parts")

    def __init__(self, take: Callable[[LogicalLine], None]) -> None:
        self._take = take
        self.parts: list[str] = []

    def add(self, written: str, physical: str, here: _Opened) -> None:
        """Add a physical line without blanks at its ends; it may be empty. `physical`: the line as it was."""
        parts = self.parts
        if not parts:
            if not written:
                return
            self._file, self._number = here.file, here.number
        if not written:
            self._loosen()
        elif written[-1] != "\\":
            parts.append(written)
            self.end()
        elif len(written) > 1 or physical[:1] in BLANKS:
            parts.append(
                written[:-1]
            )  # blanks before a lone backslash are a beginning, too: no macro is defined next

    def _loosen(self) -> None:
        """A blank line ends this one; but if there still is a backslash at its end (it had two), the next goes on."""
        while self.parts:
            kept = self.parts.pop().rstrip(BLANKS)
            if kept.endswith("\\"):
                body = kept.rstrip("\\" + BLANKS)
                self.parts += [part for part in (body, *kept[len(body) : -1]) if part]
                return
            if kept:
                self.parts.append(kept)
                self.end()

    def end(self) -> None:
        """The logical line is complete."""
        text = "".join(self.parts).strip(BLANKS)
        self.parts.clear()
        if not text:
            return
        line = LogicalLine(text, Place(self._file, self._number))
        if text[0] == ".":
            problem = f"option setting expected: {text}"
            raise ConfigurationError(line.place, problem, f"the directives are: {_DIRECTIVES}")
        self._take(line)


def _check_seen(text: str, place: Place) -> None:
    if unseen := _UNSEEN.search(readable(text)):
        problem = f"the invisible character U+{ord(unseen[0]):04X}"
        if unseen[0] == "\ufeff" and place.line == 1:
            problem = f"found unexpected BOM (Byte Order Mark), {problem}"
            raise ConfigurationError(place, problem, "save the file as UTF-8 without BOM")
        raise ConfigurationError(place, problem, "write that line anew, with plain blanks")


@dataclass(frozen=True, slots=True)
class _Included:
    path: str
    text: str


def _included(name: str, if_exists: bool, opened: list[_Opened]) -> Asking[_Included | None]:
    """The file that an inclusion names; None if it may be missing and is."""
    place = opened[-1].place
    if len(name) > 1 and name[0] == name[-1] == '"':
        name = name[1:-1]
    if not name.strip('"'):
        raise ConfigurationError(
            place, ".include without the name of a file", "write: .include /path/of/file"
        )
    path = name
    if not name.startswith("/"):
        if if_exists:
            raise ConfigurationError(
                place,
                f'.include specifies a non-absolute path "{name}"',
                "after .include_if_exists the name of the file begins with a slash",
            )
        folder, slash, _ = place.file.rpartition("/")
        path = f"{folder}{slash}{name}"
    if len(opened) == DEEPEST:
        if path in (each.file for each in opened):
            raise ConfigurationError(
                place, f"the file {path} includes itself", "remove an .include of the loop"
            )
        raise ConfigurationError(place, f"{DEEPEST} files one inside the other", "write some of them out")
    answer = yield from ask(FileText(path))
    if isinstance(answer, str):
        return _Included(path, answer)
    if if_exists and isinstance(answer, Unopened) and answer.is_missing:
        return None
    raise ConfigurationError(
        place,
        f"failed to open included configuration file {path}: {answer.reason}",
        "correct its name, or write its lines here",
    )
