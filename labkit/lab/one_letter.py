"""One letter that is sent under attack, and what came of it: who has it, how it travelled, whether it waited.

WHAT       `send_under_attack(world, relent)` sends it from Ann to Carol, lets Mallory go away and some hours pass, and
           gives a `LetterSent`. `OneLetter` is what a played case has in common with any other, however it was
           protected; `AllPlayed` are several, and print as a table.
RULES      the outcome is read from mailboxes and from facts of the journal: labkit and the real Exim are judged alike.
READ NEXT  mta_sts_trials.py, dane_trials.py
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Generic, Protocol, TypeVar

from labkit.mail.event import EventKind, MailEvent

if TYPE_CHECKING:
    from labkit.lab.world import World

CAROL = "carol@bigmail.test"


@dataclass(frozen=True, slots=True)
class LetterSent:
    """`with_mallory` and `with_carol` count copies; `deliveries` and `log` are those of Ann's host.

    `why_waited`: the reason of the first delay, "" if there was none.
    """

    engine: str
    with_mallory: int
    with_carol: int
    deliveries: tuple[MailEvent, ...]
    why_waited: str
    log: str = field(repr=False)

    @property
    def in_clear(self) -> bool:
        return any(event.cipher is None for event in self.deliveries)


async def send_under_attack(world: World, relent: Callable[[World], Awaitable[None]]) -> LetterSent:
    """Send the letter; when it has gone, or waits, Mallory relents, and three hours pass."""
    host = world.mine
    await world.laptop.send(CAROL, "our prices", "They are a secret.")
    await world.settle()
    delays = world.journal.where(EventKind.DEFERRED, host=host.name)
    await relent(world)
    await world.advance(hours=3)
    gone = world.journal.where(EventKind.DELIVERED, host=host.name)
    return LetterSent(
        host.engine.name,
        len(world.impostor.letters),
        len(world.provider.inbox("carol")) + len(world.provider.spam("carol")),
        tuple(event for event in gone if event.recipient == CAROL),
        delays[0].text or "" if delays else "",
        host.log(),
    )


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
    """What came of a case."""

    case: Attacked
    letter: LetterSent

    @property
    def how(self) -> str:
        """How it travelled."""
        return "in clear" if self.letter.in_clear else "encrypted"

    @property
    def why_waited(self) -> str:
        """What Ann's MTA said when it put the letter off; "" if it did not."""
        return self.letter.why_waited

    @property
    def outcome(self) -> str:
        """In a few words."""
        if self.letter.with_mallory:
            return f"stolen, {self.how}"
        if not self.letter.with_carol:
            return "it still waits"
        return "it waited, then went to Carol" if self.why_waited else f"to Carol, {self.how}"


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
