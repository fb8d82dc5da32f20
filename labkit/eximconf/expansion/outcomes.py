"""How an expansion ends: with a value, or in one of three ways without one.

WHAT       Value, ForcedFailure (the word `fail`), Failure (with Exim's message), Defer (a look-up that may work later).
WHY FOUR   each means something else at each place: a forced failure makes a router decline where a failure defers.
INSIDE     closures return a plain str, and raise Stop to end the whole expansion; only the front door makes outcomes.
TAINT      a Tainted text came from a stranger. Joining keeps it; what is empty taints nothing.
STANDARDS  Exim specification, chapter "String expansions" (forced failure), section "Tainted data"
READ NEXT  tree.py
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple


class Tainted(str):
    """A text that a stranger could choose: no file name, and never expanded again."""

    __slots__ = ()


class Value(NamedTuple):
    """The text that the expansion made (octets, as latin-1)."""

    text: str

    @property
    def is_tainted(self) -> bool:
        return type(self.text) is Tainted


@dataclass(frozen=True, slots=True)
class ForcedFailure:
    """The configuration itself said `fail`."""

    message: str


@dataclass(frozen=True, slots=True)
class Failure:
    """The text could not be expanded; `message` is what Exim says."""

    message: str


@dataclass(frozen=True, slots=True)
class Defer:
    """A look-up gave no answer now."""

    message: str


Outcome = Value | ForcedFailure | Failure | Defer


class Stop(Exception):
    """Ends an expansion from inside."""

    def __init__(self, outcome: ForcedFailure | Failure | Defer) -> None:
        self.outcome = outcome
        super().__init__(outcome.message)

    def inside(self, what: str) -> Stop:
        """The same, with Exim's word about where it happened."""
        return Stop(type(self.outcome)(f"{self.outcome.message} inside {what}"))


def failed(message: str) -> Stop:
    return Stop(Failure(message))


def deferred(message: str) -> Stop:
    return Stop(Defer(message))


def like(text: str, *origins: str) -> str:
    """`text`, tainted if one of the texts that it was made from is."""
    if text and any(type(origin) is Tainted and origin for origin in origins):
        return Tainted(text)
    return text


def joined(pieces: Sequence[str]) -> str:
    """The pieces in one; tainted if one of them is and is not empty."""
    text = "".join(pieces)
    if Tainted in map(type, pieces) and any(type(piece) is Tainted and piece for piece in pieces):
        return Tainted(text)
    return text
