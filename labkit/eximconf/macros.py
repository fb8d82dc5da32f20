"""Macros: names that stand for text.

WHAT       `NAME = text` defines, `NAME == text` defines anew; from the next line on the name is replaced wherever it
           stands, also inside a word.
ORDER      each line is searched for every macro in turn, in the order of definition, which `==` does not change.
           What was put in is searched for later macros, not for the same one again. Hence no name may contain
           the name of an earlier macro.
KINDS      builtin ones begin with `_` and tell what this program can do; presets are those of the option -D: what
           the file says about them is passed over.
STANDARDS  Exim specification, chapter "The Exim run time configuration file" ("Macros in the configuration file",
           "Macro substitution", "Redefining macros", "Overriding macro values", "Builtin macros")
LIKE EXIM  builtin macros are only looked for if nothing that begins with a capital stands before them in the line
LIMITS     Exim has none; a file whose macros grow and grow must not fill our memory
READ NEXT  conditionals.py
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import chain

from labkit.eximconf.blanks import BLANKS
from labkit.eximconf.place import ConfigurationError, LogicalLine, Place

LONGEST_NAME = 63
LONGEST_PRESET_NAME = 23  # Exim cuts a longer one off
MOST_PRESETS = 10
MOST_MACROS = 1000
MOST_TEXT = 16_000_000  # characters of a whole configuration, all files and macros together

DEFINITION = re.compile(rf"([A-Z][A-Za-z0-9_]*)[{BLANKS}]*(==?)[{BLANKS}]*")
_START = re.compile("_?[A-Z]")
_PRESET_NAME = re.compile("[A-Z][A-Za-z0-9_]*")


@dataclass(slots=True)
class Budget:
    """How much text a configuration may still bring."""

    left: int = MOST_TEXT

    def spend(self, characters: int, file: str, line: int) -> None:
        self.left -= characters
        if self.left < 0:
            raise ConfigurationError(
                Place(file, line),
                f"with its macros and files the configuration is longer than {MOST_TEXT:,} characters",
                "look for a macro or a file that contains itself over and over",
            )


class Macros:
    """All macros known at a line. Raises ConfigurationError for presets that Exim's -D does not take."""

    def __init__(
        self,
        presets: Mapping[str, str] | None = None,
        builtin: Mapping[str, str] | None = None,
        budget: Budget | None = None,
    ) -> None:
        self._budget = budget or Budget()
        self._presets = dict(presets or {})
        for number, (name, value) in enumerate(self._presets.items(), start=1):
            _check_preset(name, value, Place("-D", number))
        # in order of definition, which a dict keeps when a value is set anew
        self._own = {name: value.lstrip(BLANKS) for name, value in self._presets.items()}
        # a longer name before its own beginning
        self._builtin = dict(sorted((builtin or {}).items(), reverse=True))

    def define(self, line: LogicalLine) -> None:
        """Obey a line `NAME = text` or `NAME == text`. Raises ConfigurationError."""
        read = DEFINITION.match(line.text)
        if read is None:
            raise ConfigurationError(
                line.place,
                "malformed macro definition",
                "a line that begins with a capital letter is: NAME = text",
            )
        name, sign = read[1], read[2]
        if len(name) > LONGEST_NAME:
            raise ConfigurationError(
                line.place,
                f"macro name too long (maximum is {LONGEST_NAME} characters)",
                "use a shorter name",
            )
        if name in self._own and sign == "=" and name not in self._presets:
            problem = f'macro "{name}" is already defined (use "==" if you want to redefine it)'
            raise ConfigurationError(line.place, problem, f"write {name} == …, or use another name")
        self._check_no_part(name, line.place)
        if name in self._presets:
            return
        if sign == "==" and name not in self._own:
            problem = f'can\'t redefine an undefined macro "{name}"'
            raise ConfigurationError(line.place, problem, f"write {name} = … the first time")
        if len(self._own) == MOST_MACROS and name not in self._own:
            raise ConfigurationError(line.place, f"more than {MOST_MACROS} macros", "define fewer")
        self._own[name] = line.text[read.end() :]

    def _check_no_part(self, name: str, place: Place) -> None:
        """No macro defined before it may be a part of its name: it would be replaced first."""
        parts = {name[start:end] for start in range(len(name)) for end in range(start + 1, len(name) + 1)}
        known = (part for part in parts - {name} if part in self._own or part in self._builtin)
        for part in sorted(known):
            if self._comes_first(part, name):
                problem = f'"{name}" cannot be defined as a macro because previously defined macro "{part}"'
                raise ConfigurationError(
                    place, f"{problem} is a substring", f"define {name} above {part}, or use another name"
                )

    def _comes_first(self, part: str, name: str) -> bool:
        """Only a preset can have been defined after a macro that contains it."""
        if name not in self._own or part not in self._own:
            return True
        return next(each for each in self._own if each in (part, name)) == part

    def substitute(self, text: str, starts: bool, file: str, line: int) -> tuple[str, bool]:
        """Replace all macros in a physical line, and say whether there was one.

        `starts`: a logical line begins here, so `NAME =` at the start is a definition and keeps its name.
        Raises ConfigurationError if the configuration grows too large by it.
        """
        start = _START.search(text)
        if start is None:
            return text, False
        head = ""
        if starts and (definition := DEFINITION.match(text)):
            head, text = text[: definition.start(2)], text[definition.start(2) :]
            start = _START.search(text)
            if start is None:
                return head + text, False
        known = self._own.items()
        found = False
        for name, value in chain(self._builtin.items(), known) if start[0][0] == "_" else known:
            if name in text:
                found = True
                if (growth := len(value) - len(name)) > 0:
                    self._budget.spend(growth * text.count(name), file, line)
                text = text.replace(name, value)
        return head + text, found


def _check_preset(name: str, value: str, place: Place) -> None:
    if not _PRESET_NAME.fullmatch(name):
        raise ConfigurationError(
            place,
            f"macro name set by -D must start with an upper case letter: {name!r}",
            "then come letters, digits and underscores",
        )
    if len(name) > LONGEST_PRESET_NAME:
        problem = f"Exim would cut the name {name} off after {LONGEST_PRESET_NAME} characters"
        raise ConfigurationError(place, problem, "use a shorter name")
    if place.line > MOST_PRESETS:
        raise ConfigurationError(place, "too many -D options on command line", f"{MOST_PRESETS} are the most")
    if not value.replace("\t", " ").isprintable():
        raise ConfigurationError(place, f"an invisible character in the value of -D{name}", "write it anew")
