"""Loops between two hosts with different limits: how many hops each pair of limits gives, and who ends it.

WHAT       `await loop_limits([(30, 30), (5, 100)])` closes the loop in a world of its own for each pair (yours, your
           partner's), sends one message in, and shows what came of it. `expected`: the numbers you foretold.
STANDARDS  RFC 5321 §6.3
READ NEXT  arena_worlds.py
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from labkit.lab.hops import hops_of
from labkit.lab.host import Host
from labkit.lab.lives import life_of
from labkit.lab.world import World
from labkit.mail.event import EventKind
from labkit.teach.given import expect
from labkit.teach.markup import Markup
from labkit.teach.tables import table, text_table
from labkit.teach.view import View


@dataclass(frozen=True, slots=True)
class Ended:
    """One loop: the two limits, the arrivals, and which host gave up at how many Received fields."""

    mine: int
    theirs: int
    arrivals: int
    host: str
    stamps: int


async def loop_limits(pairs: Sequence[tuple[int, int]], expected: Sequence[int | None] = ()) -> LoopLimits:
    """Try each pair of limits. Raises ValueError for a limit above 100: each hop is a delivery."""
    expect(pairs, Sequence, "loop_limits([(30, 30), (5, 100)])")
    expect(expected, Sequence, "loop_limits([(30, 30), (5, 100)], [31, 6])")
    for pair in pairs:
        if not (isinstance(pair, (tuple, list)) and len(pair) == 2 and all(map(_is_limit, pair))):
            raise ValueError(
                f"{pair!r}: two whole numbers from 1 to 100, please; each hop is a real delivery"
            )
    for guess in expected:
        if guess is not None and type(guess) is not int:
            raise ValueError(f"{guess!r}: foretell a whole number of arrivals, or None")
    if len(expected) > len(pairs):
        raise ValueError(f"{len(expected)} numbers are foretold, and there are {len(pairs)} pairs of limits")
    return LoopLimits([await _ended(mine, theirs) for mine, theirs in pairs], expected)


def _is_limit(number: object) -> bool:
    return type(number) is int and 1 <= number <= 100


async def _ended(mine: int, theirs: int) -> Ended:
    async with World.open("loop_open", alongside=True) as world:
        domain = world.laptop.owner.partition("@")[2]
        other = world.partner_laptop.owner.partition("@")[2]
        for host, limit, target in ((world.mine, mine, other), (world.partner, theirs, domain)):
            await _prepare(host, limit, target)
        sent = await world.laptop.send(f"round@{domain}", "Round", "and round\n")
        hops = hops_of(life_of(world.journal, sent.mail_object.message.first("Message-ID") or ""))
        failed = world.journal.where(EventKind.FAILED)[0]  # with limits of 1 its report fails as well
        return Ended(mine, theirs, len(hops), failed.host, hops[-1].stamps)


async def _prepare(host: Host, limit: int, target: str) -> None:
    host.path("/etc/aliases").write_text(f"postmaster: root\nround: round@{target}\n", encoding="utf-8")
    host.write_configuration(f"received_headers_max = {limit}\n{host.configuration}")
    await host.reload()


class LoopLimits(View):
    """The loops, and beside each what was foretold."""

    _HEAD = ("your limit", "your partner's", "arrivals", "ended by", "at so many Received")

    def __init__(self, ended: Sequence[Ended], expected: Sequence[int | None]) -> None:
        self.ended = tuple(ended)
        self.expected = tuple(expected)

    @property
    def _is_foretold(self) -> bool:
        return any(guess is not None for guess in self.expected)

    @property
    def head(self) -> tuple[str, ...]:
        return (*self._HEAD, "you foretold") if self._is_foretold else self._HEAD

    @property
    def rows(self) -> list[tuple[str, ...]]:
        found: list[tuple[str, ...]] = []
        for number, each in enumerate(self.ended):
            row = (str(each.mine), str(each.theirs), str(each.arrivals), each.host, str(each.stamps))
            guess = self.expected[number] if number < len(self.expected) else None
            said = "" if guess is None else "right" if guess == each.arrivals else f"{guess}"
            found.append((*row, said) if self._is_foretold else row)
        return found

    def html(self) -> Markup:
        return table(self.head, self.rows, "Loops and limits", code=[3])

    def text(self) -> str:
        return text_table(self.head, self.rows, "Loops and limits")
