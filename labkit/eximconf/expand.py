"""Expand strings: `$variables` inside option values, compiled when the file is read.

WHAT       `compile_expansion("/var/mail/$local_part_data", place)` gives an Expansion; `.expand(values)` fills it in.
STANDARDS  Exim specification, chapter "String expansions"
LIKE EXIM  data that a stranger chose is tainted and may not name a file (section "Tainted data")
NOT YET    expansion items, operators, conditions and look-ups (`${…{`): refused by name
READ NEXT  lists.py
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from labkit.eximconf.reader import ConfigurationError, Place, read_escape


@dataclass(frozen=True, slots=True)
class Variable:
    """A row of the table of variables. `is_tainted`: the sender of a message can choose what is in it."""

    name: str
    is_tainted: bool
    meaning: str


VARIABLES = {
    row.name: row
    for row in (
        Variable("domain", True, "the domain of the address at hand"),
        Variable("home", False, "the home directory that check_local_user found"),
        Variable("local_part", True, "the local part of the address at hand"),
        Variable("local_part_data", False, "the local part as check_local_user or a list vouches for it"),
        Variable("domain_data", False, "the domain as a list vouches for it"),
        Variable("primary_hostname", False, "the name of this host"),
        Variable("qualify_domain", False, "the domain added to addresses without one"),
        Variable("sender_address", True, "the reverse-path"),
        Variable("sender_helo_name", True, "what the client called itself"),
        Variable("sender_host_address", False, "the address of the client"),
    )
}
_PART = re.compile(
    r"\\N(?P<verbatim>.*?)(?:\\N|\Z)"  # a string between two \N, where nothing is special
    r"|(?P<escape>\\)"
    r"|\$(?:\{(?P<braced>[A-Za-z][A-Za-z0-9_]*)\}|(?P<bare>[A-Za-z][A-Za-z0-9_]*)|(?P<odd>.?))"
    r"|(?P<literal>[^\\$]+)",
    re.DOTALL,
)


@dataclass(frozen=True, slots=True)
class Expansion:
    """A compiled string: literal text and variables by turns. `text` is what was written."""

    text: str
    place: Place
    parts: tuple[str | Variable, ...]

    def expand(self, values: Mapping[str, str]) -> str:
        """Fill in the variables; one without a value is empty, as in Exim."""
        return "".join(part if isinstance(part, str) else values.get(part.name, "") for part in self.parts)

    @property
    def tainted(self) -> tuple[str, ...]:
        """The variables in it that a stranger can choose."""
        return tuple(p.name for p in self.parts if isinstance(p, Variable) and p.is_tainted)


def compile_expansion(text: str, place: Place) -> Expansion:
    """Compile a string. Raises ConfigurationError for an unknown variable and for what is not read yet."""
    parts: list[str | Variable] = []
    position = 0
    while found := _PART.match(text, position):
        position = found.end()
        if found["escape"]:
            char, last = read_escape(text, found.start())
            if char in ("", "\0"):
                problem = "\\ at end of string" if not char else "a NUL character in a string"
                raise ConfigurationError(place, problem, "write \\\\ where a backslash is meant")
            parts.append(char)
            position = last + 1
        elif found["odd"] is not None:
            raise _not_read(text, found.start(), found["odd"], place)
        elif name := found["braced"] or found["bare"]:
            if name not in VARIABLES:
                raise ConfigurationError(
                    place,
                    f'unknown variable name "{name}"',
                    f"labkit knows: {', '.join(sorted(VARIABLES))}; others need a real Exim",
                )
            parts.append(VARIABLES[name])
        else:
            parts.append(found["literal"] or found["verbatim"] or "")
    return Expansion(text, place, tuple(parts))


def _not_read(text: str, position: int, odd: str, place: Place) -> ConfigurationError:
    if odd == "{":
        item = re.compile(r"[A-Za-z0-9_]*").match(text, position + 2)
        name = item[0] if item else ""
        return ConfigurationError(
            place, f"the expansion ${{{name} … is not read by labkit yet", "a real Exim can run it"
        )
    if odd.isdigit():
        return ConfigurationError(place, f"${odd} is not read by labkit yet", "a real Exim can run it")
    return ConfigurationError(
        place, "$ not followed by letter, digit, or {", "write \\$ where a dollar sign is meant"
    )
