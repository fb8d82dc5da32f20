"""Cut a configuration into sections, each a list of logical lines that know where they stand.

DOES       `begin NAME` starts a section; lines that define a macro are obeyed and go.
ASKS       FileText for included files: `reading_sections` asks, `sections` takes them from a mapping.
STANDARDS  Exim specification, chapter "The Exim run time configuration file"
           ("Configuration file format", "Macros in the configuration file", "Common option syntax")
LIKE EXIM  macros are defined in the main section and between ACLs, routers, transports and authenticators;
           elsewhere a line that begins with a capital is a line like others
READ NEXT  place.py, lines.py, macros.py, conditionals.py, quoting.py; then options.py
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from labkit.eximconf.lines import read_lines
from labkit.eximconf.macros import DEFINITION, Budget, Macros
from labkit.eximconf.place import ConfigurationError, LogicalLine, Place
from labkit.eximconf.quoting import read_escape, unquote
from labkit.mail.asking import Asking, Question, answer_by
from labkit.mail.lookups import FileText, Unopened

__all__ = [
    "SECTIONS",
    "ConfigurationError",
    "LogicalLine",
    "Place",
    "Section",
    "Setting",
    "answer_files",
    "logical_lines",
    "read_escape",
    "reading_sections",
    "sections",
    "setting",
    "unquote",
]

SECTIONS = ("acl", "routers", "transports", "retry", "rewrite", "authenticators", "local_scan")
_IN_FULL = {name if name.endswith("s") else f"{name}s": name for name in SECTIONS}  # Exim adds an s, too
_WITH_MACROS = ("acl", "routers", "transports", "authenticators")
_SETTING = re.compile(r"(hide\s+)?([a-z][a-z0-9_]*)\s*(?:=\s*(.*))?", re.DOTALL)


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


def reading_sections(
    text: str,
    file: str,
    *,
    presets: Mapping[str, str] | None = None,
    builtin: Mapping[str, str] | None = None,
    seen: Callable[[LogicalLine], None] | None = None,
) -> Asking[list[Section]]:
    """The main section and those that `begin` lines start, in file order; asks for included files.

    `presets` are the macros of the option -D, `builtin` those that tell what this program can do; `seen` is told
    every line, also those that define macros (what exim -bP config prints). Raises ConfigurationError.
    """
    budget = Budget()
    macros = Macros(presets, builtin, budget)
    found = [Section("main", Place(file, 1))]
    defined = False

    def take(line: LogicalLine) -> None:
        nonlocal defined
        if seen is not None:
            seen(line)
        section = found[-1]
        if line.text[:5].lower() == "begin" and line.text[5:6] in ("", " "):
            found.append(Section(_section_name(line, found), line.place))
            defined = False
        elif _is_definition(line.text, section.name):
            macros.define(line)
            defined = True
        else:
            section.lines.append(replace(line, after_macro=True) if defined else line)
            defined = False

    yield from read_lines(text, file, macros, budget, take)
    return found


def _is_definition(text: str, section: str) -> bool:
    if not "A" <= text[0] <= "Z":
        return False
    return section == "main" or (section in _WITH_MACROS and DEFINITION.match(text) is not None)


def _section_name(line: LogicalLine, before: list[Section]) -> str:
    written = line.text[6:].strip()
    lowered = written.lower()
    name = _IN_FULL.get(lowered if lowered.endswith("s") else f"{lowered}s")
    if name is None:
        problem = f'"{written}" is not a known configuration section name'
        raise ConfigurationError(line.place, problem, f"the sections are: {', '.join(SECTIONS)}")
    if name in (section.name for section in before):
        problem = f'"{written}" section is repeated in the configuration file'
        raise ConfigurationError(line.place, problem, "put its lines into one section")
    return name


def sections(
    text: str,
    file: str,
    *,
    presets: Mapping[str, str] | None = None,
    builtin: Mapping[str, str] | None = None,
    files: Mapping[str, str] | None = None,
) -> list[Section]:
    """`reading_sections`, with the texts of included files by path (None: an inclusion is refused)."""
    return answer_by(answer_files(files), reading_sections(text, file, presets=presets, builtin=builtin))


def logical_lines(
    text: str,
    file: str,
    *,
    presets: Mapping[str, str] | None = None,
    builtin: Mapping[str, str] | None = None,
    files: Mapping[str, str] | None = None,
) -> Iterator[LogicalLine]:
    """Every line as exim -bP config prints it: also those that begin sections and define macros."""
    found: list[LogicalLine] = []
    answer_by(
        answer_files(files), reading_sections(text, file, presets=presets, builtin=builtin, seen=found.append)
    )
    return iter(found)


def answer_files(files: Mapping[str, str] | None) -> Callable[[Question[Any]], Any]:
    """Answer FileText from a mapping of paths to texts; None: we may not look for files at all."""

    def answer(question: Question[Any]) -> str | Unopened:
        assert isinstance(question, FileText), question
        if files is None:
            return Unopened("labkit reads no other file here", is_missing=False)
        return files.get(question.path, Unopened("No such file or directory"))

    return answer


def setting(line: LogicalLine) -> Setting:
    """Read `name = value`, `name` or `no_name`. Raises ConfigurationError if the line is none of these."""
    found = _SETTING.fullmatch(line.text)
    if found is None:
        raise ConfigurationError(
            line.place, f"missing or misplaced '=' in {line.text!r}", "an option is written: name = value"
        )
    value = found[3]
    return Setting(found[2], None if value is None else unquote(value, line.place), line.place)
