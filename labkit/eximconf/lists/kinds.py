"""The words that the files of this package share: what a list is of, what is looked for, what an item says.

WHAT       ListKind, Match (the answer), Subject (what is looked for, while it is looked for), Hit (an item matched),
           Pattern and Item (what was written, ready to run), Context (what an item must know to be read).
COLOURS    a Pattern that asks nothing is a plain function; one that may ask is a generator.
HOW        an item that cannot say raises: Stop (a failure or a defer of the whole list) or HostUnknown.
READ NEXT  patterns.py
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from enum import Enum
from typing import TYPE_CHECKING, NamedTuple

from labkit.eximconf.expansion.env import Env
from labkit.eximconf.expansion.hosts import Address
from labkit.eximconf.expansion.outcomes import Tainted
from labkit.eximconf.expansion.texts import lower
from labkit.eximconf.reader import Place
from labkit.mail.asking import Asking

if TYPE_CHECKING:
    from labkit.eximconf.lists.pattern_list import PatternList
    from labkit.eximconf.lists.walking import Verdict


class ListKind(Enum):
    """What the items of a list mean."""

    DOMAIN = "domainlist"
    HOST = "hostlist"
    LOCAL_PART = "localpartlist"
    ADDRESS = "addresslist"

    @property
    def called(self) -> str:
        """In words: domain, host, local part, address."""
        return _CALLED[self]


_CALLED = {
    ListKind.DOMAIN: "domain",
    ListKind.HOST: "host",
    ListKind.LOCAL_PART: "local part",
    ListKind.ADDRESS: "address",
}


class Match(NamedTuple):
    """The answer of a list, and the item that decided, as it was written (None: the end of the list did).

    `data` is what $domain_data, $local_part_data, $host_data, $sender_data or $value become; `numbers` are $0, $1, …;
    `because` says it in words.
    """

    found: bool
    item: str | None
    data: str = ""
    numbers: tuple[str, ...] = ()
    because: str = ""


class Hit(NamedTuple):
    """An item matched. `data` None: it sets no variable. `inside`: the item that decided in a list within."""

    data: str | None = None
    numbers: tuple[str, ...] = ()
    inside: str = ""


EMPTY = Hit()


class HostUnknown(Exception):
    """A host name or an address that could not be found out: it ends the list, unless the list says what then."""


class Subject:
    """What is looked for. `folded` is in small letters unless +caseful was met.

    `name` is a host's name: None if nobody has looked for it, "" if names do not count. `numbered`: a match sets $0,
    $1, …. `remembers`: answers of named lists are kept in env.memo; `seen` keeps them while one list is gone through,
    so that lists that name each other twice cost no more than once. `tainted`: a stranger chose the text.
    """

    __slots__ = (
        "address",
        "caseful",
        "depth",
        "env",
        "folded",
        "left",
        "name",
        "numbered",
        "partial",
        "remembers",
        "seen",
        "tainted",
        "text",
    )

    def __init__(
        self,
        text: str,
        env: Env,
        *,
        caseful: bool = False,
        numbered: bool = False,
        name: str | None = None,
        remembers: bool = True,
    ) -> None:
        self.text = text
        self.env = env
        self.caseful = caseful
        self.folded = str(text) if caseful else lower(str(text))
        self.numbered = numbered
        self.name = name
        self.remembers = remembers
        self.tainted = remembers or type(text) is Tainted
        self.partial = True  # False: `partial-` is not obeyed
        self.depth = 0  # how many named lists stand around the item that is tried
        self.address: Address | None = None  # hosts: the text as an address
        self.left = EMPTY  # what a list within has found when it said no
        self.seen: dict[tuple[int, str, bool], Verdict] = {}

    def part(self, text: str, *, numbered: bool = False) -> Subject:
        """Another text looked for on behalf of this one: the domain of an address, a host's name."""
        part = Subject(text, self.env, caseful=self.caseful, numbered=numbered, remembers=False)
        part.depth = self.depth
        part.seen = self.seen
        return part

    def zero(self, text: str) -> str:
        """What $0 or $1 become: as tainted as the subject."""
        return Tainted(text) if text and self.tainted else text


class Pattern(NamedTuple):
    """One item without its exclamation mark. Exactly one of the two is there."""

    plain: Callable[[Subject], Hit | None] | None = None
    asking: Callable[[Subject], Asking[Hit | None]] | None = None


_NOTHING = Pattern()


@dataclass(frozen=True, slots=True)
class Item:
    """One item as it was written.

    `word`: +caseful and its like; `file` with `lines`, which reads its text, for a file of items; else `pattern`.
    `uses`: the named lists that it needs; `refers`: it asks only what these ask. `data`: a line without its !.
    """

    text: str
    negated: bool = False
    pattern: Pattern = _NOTHING
    refers: bool = False
    uses: tuple[tuple[ListKind, str], ...] = ()
    file: str | None = None
    lines: Callable[[str], tuple[Item, ...]] | None = None
    word: str = ""
    data: str = ""

    @property
    def can_ask(self) -> bool:
        """By itself; not what the lists in `uses` may ask."""
        return self.file is not None or (self.pattern.asking is not None and not self.refers)


NamedLists = Mapping[tuple[ListKind, str], "PatternList"]


@dataclass(frozen=True, slots=True)
class Context:
    """Where an item stands. `tainted`: a stranger had a say in the text of the list."""

    kind: ListKind
    place: Place
    named: NamedLists
    reader: Callable[[str, Context], Item]
    tainted: bool = False

    def item(self, kind: ListKind, text: str) -> Item:
        """Read one item as if it stood in a list of that kind."""
        return self.reader(text, replace(self, kind=kind))

    def own(self, text: str) -> str:
        """A piece of the list, as tainted as the list."""
        return Tainted(text) if self.tainted and text else text
