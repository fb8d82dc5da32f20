"""What came of one letter that was sent under attack: who has it, how it travelled, whether it waited.

WHAT       `OneLetter` is what a played case has in common with any other, however it was protected; `AllPlayed` are
           several, and print as a table.
READ NEXT  mta_sts_trials.py, dane_trials.py
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Generic, Protocol, TypeVar


class Attacked(Protocol):
    """A case, as it is told."""

    @property
    def name(self) -> str: ...
    @property
    def attack(self) -> str: ...
    @property
    def why(self) -> str: ...


@dataclass(frozen=True)
class OneLetter:
    """What came of a case. `with_mallory` and `with_carol` count copies of the one letter.

    `is_checked`: it went to somebody whose certificate was found to be the right one.
    """

    case: Attacked
    engine: str
    with_mallory: int
    with_carol: int
    in_clear: bool
    is_checked: bool
    why_waited: str
    log: str = field(repr=False)

    @property
    def waited(self) -> bool:
        return bool(self.why_waited)

    @property
    def how(self) -> str:
        """How it travelled."""
        return "in clear" if self.in_clear else "encrypted"

    @property
    def outcome(self) -> str:
        """In a few words."""
        if self.with_mallory:
            return f"stolen, {self.how}"
        if not self.with_carol:
            return "it still waits"
        return "it waited, then went to Carol" if self.waited else f"to Carol, {self.how}"


P = TypeVar("P", bound=OneLetter)


@dataclass(frozen=True, slots=True)
class AllPlayed(Generic[P]):
    """Several cases; the repr is a table."""

    played: tuple[P, ...]

    def __getitem__(self, name: str) -> P:
        """The case of that name. Raises KeyError."""
        return {each.case.name: each for each in self.played}[name]

    def rows(self) -> list[tuple[str, str, str, str]]:
        return [(p.case.name, p.case.attack, p.outcome, p.case.why) for p in self.played]

    def __repr__(self) -> str:
        width = max((len(each.case.name) for each in self.played), default=0)
        return "\n".join(f"{p.case.name:{width}}  {p.outcome:30}  {p.case.why}" for p in self.played)
