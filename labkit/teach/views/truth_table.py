"""A truth table of a mail host: who calls, for whom, and what the host says; predicted first, then asked.

WHAT       `await truth_table(world.mine, {"ann@st11.sne21.test": "250 250 250", …})`: behind each recipient
           stands what you expect a stranger, your partner and your laptop to hear; `?` is not predicted, and not
           asked. A list of recipients without predictions is asked at once.
RULES      the host is asked by SMTP, from those machines, up to RCPT: nobody gets mail by it.
READ NEXT  probes_talk.py, ../tasks/virtual_truth.py
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from weakref import WeakKeyDictionary

from labkit.lab.host import Host
from labkit.lab.laptop import Laptop
from labkit.lab.scenarios import LaptopPlan
from labkit.lab.world import World
from labkit.teach.given import expect
from labkit.teach.markup import Markup, clip
from labkit.teach.tables import table, text_table
from labkit.teach.view import View
from labkit.teach.views.probes_talk import ask_whom

STRANGER, PARTNER, OWN = "a stranger", "your partner", "your laptop"
UNKNOWN = "?"
LONGEST_REPLY = 120
_STRANGERS: WeakKeyDictionary[World, Laptop] = (
    WeakKeyDictionary()
)  # so that each of their messages has its own id


@dataclass(frozen=True, slots=True)
class Caller:
    """Who asks: from which machine, and what MAIL FROM says."""

    who: str
    laptop: Laptop
    sender: str


@dataclass(frozen=True, slots=True)
class Cell:
    """One question: who calls for whom, what was expected ("" if nothing was asked for) and what was said."""

    caller: str
    recipient: str
    predicted: str
    reply: str  # "" if it was not asked, as nothing was predicted

    @property
    def is_open(self) -> bool:
        return not self.reply

    @property
    def is_right(self) -> bool:
        return not self.is_open and self.reply.startswith(self.predicted)


def callers(world: World) -> tuple[Caller, ...]:
    """A stranger from outside, the partner, and the student's laptop."""
    who = (STRANGER, stranger(world)), (PARTNER, world.partner_laptop), (OWN, world.laptop)
    return tuple(Caller(name, laptop, laptop.owner) for name, laptop in who)


def stranger(world: World) -> Laptop:
    """Somebody who is neither the student nor the partner: with a laptop in this world, or at a host outside."""
    own = (world.laptop, world.partner_laptop)
    other = next((each for each in world.laptops.values() if each not in own), None)
    if other is not None:
        return other
    if world in _STRANGERS:
        return _STRANGERS[world]
    outside = next((each for each in world.hosts.values() if each.engine.name == "outside"), world.partner)
    owner = f"{next(iter(outside.accounts))}@{outside.name.partition('.')[2]}"
    _STRANGERS[world] = Laptop(
        world, LaptopPlan("stranger", outside.name, outside.address, owner, outside.name)
    )
    return _STRANGERS[world]


async def truth_table(
    host: Host, asked: Mapping[str, str] | Sequence[str] | str, who: Sequence[Caller] = ()
) -> TruthTable:
    """Ask about each recipient for whom something is predicted, or about all if it is a list.

    Raises ValueError for a line with more or fewer predictions than callers, or one that is no reply code.
    """
    expect(host, Host, "truth_table(world.mine, ...)")
    asked = [asked] if isinstance(asked, str) else asked
    expect(asked, Collection, 'truth_table(world.mine, {"ann@...": "250 250 250"})')
    who = who or callers(host.world)
    predicted = _read(asked, who) if isinstance(asked, Mapping) else None
    recipients = list(asked)
    cells: dict[tuple[str, str], Cell] = {}
    for at, caller in enumerate(who):
        wanted = [each for each in recipients if predicted is None or predicted[each][at] != UNKNOWN]
        replies = (await ask_whom(host, caller.laptop, wanted, caller.sender)).replies if wanted else ()
        heard = dict(zip(wanted, replies))
        for each in recipients:
            guess = "" if predicted is None else predicted[each][at]
            cells[each, caller.who] = Cell(caller.who, each, guess, heard.get(each, ""))
    return TruthTable(host.name, tuple(who), tuple(recipients), cells, predicted is not None)


def _read(asked: Mapping[str, str], who: Sequence[Caller]) -> dict[str, list[str]]:
    """The predictions of each recipient, a word for each caller."""
    read = {}
    for recipient, words in asked.items():
        said = str(words).replace(",", " ").split()
        if len(said) != len(who):
            names = ", ".join(caller.who for caller in who)
            raise ValueError(
                f"{recipient}: {len(who)} replies are wanted ({names}), and there are {len(said)}"
            )
        for word in said:
            if word != UNKNOWN and not (word.isdecimal() and len(word) == 3 and word[0] in "245"):
                raise ValueError(f"{recipient}: {word!r} is no reply code; write 250, 550, say, or {UNKNOWN}")
        read[recipient] = said
    return read


@dataclass(frozen=True, slots=True, repr=False)
class TruthTable(View):
    """What was predicted, and what was said."""

    host: str
    who: tuple[Caller, ...]
    recipients: tuple[str, ...]
    cells: dict[tuple[str, str], Cell]
    is_predicted: bool

    @property
    def right(self) -> int:
        return sum(cell.is_right for cell in self.cells.values())

    def reply(self, recipient: str, caller: str = STRANGER) -> str:
        return self.cells[recipient, caller].reply

    @property
    def head(self) -> tuple[str, ...]:
        return ("RCPT TO", *(f"{caller.who}\n{caller.sender}" for caller in self.who))

    @property
    def rows(self) -> list[tuple[str, ...]]:
        return [
            (f"<{each}>", *(self._words(self.cells[each, caller.who]) for caller in self.who))
            for each in self.recipients
        ]

    def _words(self, cell: Cell) -> str:
        if cell.is_open:
            return UNKNOWN
        reply = clip(cell.reply, LONGEST_REPLY)
        if not self.is_predicted:
            return reply
        return f"= {reply}" if cell.is_right else f"X {reply}\n  (you said {cell.predicted})"

    @property
    def title(self) -> str:
        return f"What {self.host} answers"

    @property
    def summary(self) -> str:
        if not self.is_predicted:
            return ""
        asked = sum(not cell.is_open for cell in self.cells.values())
        left = f", {len(self.cells) - asked} not predicted yet (?)" if asked < len(self.cells) else ""
        return (
            f"{self.right} of {asked} predictions are right (=){left}." if asked else "Nothing predicted yet."
        )

    def html(self) -> Markup:
        caption = f"{self.title}. {self.summary}" if self.summary else self.title
        return table(self.head, self.rows, caption, code=range(len(self.head)), whole=[0])

    def text(self) -> str:
        return "\n".join(filter(None, [text_table(self.head, self.rows, self.title), self.summary]))

    def __repr__(self) -> str:
        return self.text()
