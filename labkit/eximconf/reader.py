"""Cut a configuration file into logical lines and sections, each knowing where it stands.

WHAT       comments and blank lines go, continued lines are joined, `begin NAME` starts a section.
STANDARDS  Exim specification, chapter "The Exim run time configuration file"
           ("Configuration file format", "Common option syntax", "String")
LIKE EXIM  a `#` after a value is part of the value: comments stand on lines of their own
NOT YET    macros, .ifdef and .include are refused by name
READ NEXT  options.py
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field

from labkit.mail.plainly import SaidPlainly

SECTIONS = ("acl", "routers", "transports", "retry", "rewrite", "authenticators", "local_scan")
_SETTING = re.compile(r"(hide\s+)?([a-z][a-z0-9_]*)\s*(?:=\s*(.*))?", re.DOTALL)
_MACRO = re.compile(r"[A-Z][A-Za-z0-9_]*\s*=")
_DIRECTIVE = re.compile(r"\.(?:ifn?def|elifn?def|else|endif|include(?:_if_exists)?)(?!\S)")
_UNSEEN = re.compile(
    "[\0-\x08\x0e-\x1f\x7f-\xa0\xad\u1680\u180e\u2000-\u200f\u2028-\u202f\u205f-\u206f\u3000\ufeff]"
)
_ESCAPES = {"b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t", "v": "\v"}
_BLANKS = " \t\n\v\f\r"  # what C calls space


@dataclass(frozen=True, slots=True)
class Place:
    """Where something stands in a configuration: file and line, counted from 1."""

    file: str
    line: int

    def __str__(self) -> str:
        return f"{self.file}, line {self.line}"


class ConfigurationError(SaidPlainly, ValueError):
    """What is wrong, where, and what to do about it."""

    def __init__(self, place: Place, problem: str, remedy: str) -> None:
        self.place = place
        self.problem = problem
        self.remedy = remedy
        super().__init__(f"{place}: {problem}\n  {remedy}")


@dataclass(frozen=True, slots=True)
class LogicalLine:
    """A line after joining, without blanks at its ends; `place` is where it begins."""

    text: str
    place: Place


@dataclass(frozen=True, slots=True)
class Setting:
    """`name = value` as written; `value` None for a name that stands alone."""

    name: str
    value: str | None
    place: Place


@dataclass(slots=True)
class Section:
    """One part of the file: "main", or what follows a `begin` line."""

    name: str
    place: Place
    lines: list[LogicalLine] = field(default_factory=list)


def logical_lines(text: str, file: str) -> Iterator[LogicalLine]:
    """Join lines that end in a backslash; drop comments and blank lines (also in the middle of a joined line).

    Raises ConfigurationError for an invisible character or a directive that labkit does not read yet.
    """
    collected: list[str] = []
    place = Place(file, 1)
    for number, physical in enumerate(text.split("\n"), start=1):
        stripped = physical.strip(_BLANKS)
        if stripped.startswith("#") or (not stripped and not collected):
            continue
        here = Place(file, number)
        if unseen := _UNSEEN.search(stripped):
            raise ConfigurationError(
                here,
                f"the invisible character U+{ord(unseen[0]):04X}",
                "write that line anew, with plain blanks",
            )
        if _DIRECTIVE.match(stripped):  # Exim obeys these in the middle of a joined line, too
            raise _directive(stripped, here)
        place = place if collected else here
        if stripped.endswith("\\"):
            collected.append(stripped[:-1])
            continue
        yield from _joined([*collected, stripped], place)
        collected = []
    yield from _joined(collected, place)


def _joined(parts: list[str], place: Place) -> Iterator[LogicalLine]:
    if text := "".join(parts).strip(_BLANKS):
        yield _checked(LogicalLine(text, place))


def _checked(line: LogicalLine) -> LogicalLine:
    if line.text.startswith("."):
        raise _directive(line.text, line.place)
    if _MACRO.match(line.text):
        name = line.text.split("=")[0].strip()
        raise ConfigurationError(
            line.place, f"the macro {name} is not read by labkit yet", "write its value where it is used"
        )
    return line


def _directive(text: str, place: Place) -> ConfigurationError:
    return ConfigurationError(place, f"{text.split()[0]} is not read by labkit yet", "write the lines out")


def sections(text: str, file: str) -> list[Section]:
    """The main section and those that `begin` lines start, in file order.

    Raises ConfigurationError for an unknown or repeated section.
    """
    found = [Section("main", Place(file, 1))]
    for line in logical_lines(text, file):
        words = line.text.split(None, 2)
        if words[0].lower() != "begin":
            found[-1].lines.append(line)
            continue
        name = words[1].lower() if len(words) == 2 else ""
        if name not in SECTIONS:
            problem = f'"{" ".join(words[1:])}" is not a known configuration section'
            raise ConfigurationError(line.place, problem, f"the sections are: {', '.join(SECTIONS)}")
        if name in (section.name for section in found):
            problem = f'the "{name}" section is already in this file'
            raise ConfigurationError(line.place, problem, "put its lines into one section")
        found.append(Section(name, line.place))
    return found


def setting(line: LogicalLine) -> Setting:
    """Read `name = value`, `name` or `no_name`. Raises ConfigurationError if the line is none of these."""
    found = _SETTING.fullmatch(line.text)
    if found is None:
        raise ConfigurationError(
            line.place, f"missing or misplaced '=' in {line.text!r}", "an option is written: name = value"
        )
    value = found[3]
    return Setting(found[2], None if value is None else unquote(value, line.place), line.place)


def unquote(value: str, place: Place) -> str:
    """A value in double quotes loses them and has its backslash escapes read; any other stays as it is."""
    if not value.startswith('"'):
        return value
    result: list[str] = []
    position = 1
    while position < len(value) and value[position] != '"':
        char = value[position]
        if char == "\\":
            char, position = read_escape(value, position)
            if char == "\0":
                raise ConfigurationError(place, "a NUL character in a quoted string", "leave the escape out")
        result.append(char)
        position += 1
    if position >= len(value):
        raise ConfigurationError(place, "missing quote at end of string value", 'end the value with "')
    if rest := value[position + 1 :].strip():
        raise ConfigurationError(place, f"extra characters after the quoted string: {rest}", "remove them")
    return "".join(result)


def read_escape(text: str, position: int) -> tuple[str, int]:
    """Read the escape whose backslash is at `position`: its character, and the place of its last one.

    Exim's: \\n and its like, up to three octal digits, x and up to two hexadecimal ones; else the character itself.
    """
    if numeric := _NUMERIC.match(text, position + 1):
        digits = numeric[0]
        code = int(digits[1:] or "0", 16) if digits.startswith("x") else int(digits, 8)
        return chr(code & 0xFF), numeric.end() - 1
    following = text[position + 1 : position + 2]
    return _ESCAPES.get(following, following), position + 1


_NUMERIC = re.compile(r"[0-7]{1,3}|x[0-9A-Fa-f]{0,2}")
