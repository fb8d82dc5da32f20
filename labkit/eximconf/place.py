"""Where something stands in a configuration, and the error that names it.

WHAT       Place (file and line), LogicalLine (a line with its place), ConfigurationError (place, problem, remedy).
READ NEXT  lines.py
"""

from __future__ import annotations

from dataclasses import dataclass

from labkit.mail.plainly import SaidPlainly


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


def readable(octets: str) -> str:
    """Octets, as latin-1, as people read them: UTF-8 where they are. What is no octets is readable already."""
    try:
        return octets if octets.isascii() else octets.encode("latin-1").decode("utf-8")
    except ValueError:
        return octets


@dataclass(frozen=True, slots=True)
class LogicalLine:
    """A line after joining, without blanks at its ends; `place` is where it begins.

    `after_macro`: a macro was defined just above it, which ends the router, transport or ACL before.
    """

    text: str
    place: Place
    after_macro: bool = False
