"""How a route was found: which router looked at what, what was asked, and what came of it.

WHAT       Trace collects while an address is routed, if somebody watches; nothing is collected else. Each address that
           comes up is a node, its routers are its steps, and each step has its looks and the questions they asked.
SHOWS      `.lines()` is the tree as text; views draw the same.
READ NEXT  walk.py
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeVar

from labkit.mail.asking import Asked, Asking

if TYPE_CHECKING:
    from labkit.routing.preconditions import Check, Verdict
    from labkit.routing.way import Address, Walk

T = TypeVar("T")


@dataclass(slots=True)
class Look:
    """One thing that was looked at, in words, and what had to be asked for it. `holds` None: it could not be said."""

    words: str
    holds: bool | None = True
    asked: list[Asked] = field(default_factory=list)

    def lines(self, indent: str) -> Iterator[str]:
        mark = {True: "yes", False: "no", None: "later"}[self.holds]
        yield f"{indent}{mark}: {self.words}"
        for asked in self.asked:
            yield f"{indent}  {asked.question} -> {asked.answer}"


@dataclass(slots=True)
class RouterStep:
    """One router looked at, and what came of it."""

    router: str
    took: bool = False
    because: str = ""
    looks: list[Look] = field(default_factory=list)
    verdict: str = "passed it on"  # or: took it, put it off, failed it, discarded it

    def lines(self, indent: str) -> Iterator[str]:
        yield f"{indent}{self.router} {self.verdict}: {self.because}"
        for look in self.looks:
            yield from look.lines(indent + "  ")


@dataclass(slots=True)
class AddressTrace:
    """One address and its steps. `outcome`: what came of it, in words."""

    address: str
    parents: tuple[str, ...] = ()
    steps: list[RouterStep] = field(default_factory=list)
    outcome: str = ""

    def lines(self) -> Iterator[str]:
        indent = "  " * len(self.parents)
        yield f"{indent}{self.address}: {self.outcome}"
        for step in self.steps:
            yield from step.lines(indent + "  ")


@dataclass(slots=True)
class Trace:
    """All addresses in the order in which they were routed; children stand under their parents."""

    addresses: list[AddressTrace] = field(default_factory=list)
    asked: list[Asked] = field(default_factory=list)  # by the look that goes on

    def lines(self) -> list[str]:
        """The tree as text."""
        return [line for address in self.addresses for line in address.lines()]

    def steps_of(self, address: Address) -> tuple[RouterStep, ...]:
        """The steps of an address, after those of the ones it came from."""
        family = (*reversed(address.parents), address.text)
        found: list[RouterStep] = []
        for length, name in enumerate(family):
            for each in self.addresses:
                if each.address == name and each.parents == tuple(reversed(family[:length])):
                    found += each.steps
                    break
        return tuple(found)

    # --- while it goes on ---------------------------------------------------------------------

    def begin(self, address: Address) -> None:
        self.addresses.append(AddressTrace(address.text, address.parents))

    def router(self, name: str) -> None:
        self.asked = []
        self.addresses[-1].steps.append(RouterStep(name))

    @property
    def _step(self) -> RouterStep:
        return self.addresses[-1].steps[-1]

    def look(self, words: str, holds: bool | None = True) -> None:
        self._step.looks.append(Look(words, holds, self.asked))
        self.asked = []
        if not holds:
            self._step.because = words

    def checked(self, check: Check, verdict: Verdict, walk: Walk, address: Address) -> None:
        """A precondition was looked at."""
        from labkit.routing.preconditions import SKIP

        holds = True if verdict is None else False if verdict is SKIP else None
        self.look(words_of(check, holds, walk, address), holds)

    def explain(self, steps: Sequence[str]) -> None:
        """The driver tells how it found out."""
        if steps:
            self.look("; ".join(steps))
            self._step.because = "; ".join(steps)

    def passed(self, because: str) -> None:
        """The router takes no part, or said something."""
        self._ask_more(because)
        self._step.because = because

    def _ask_more(self, words: str, holds: bool | None = False) -> None:
        """What the driver asked, and did not tell more about."""
        if self.asked:
            self._step.looks.append(Look(words, holds, self.asked))
            self.asked = []

    @property
    def reason(self) -> str:
        """What the driver has told of the router that is asked now."""
        return self._step.because

    def took(self, because: str = "", verdict: str = "took it") -> None:
        step = self._step
        step.took, step.verdict = True, verdict
        met = "; ".join(look.words for look in step.looks)
        self._ask_more(because or "it took the address", True)
        step.because = because or step.because or met or "it takes everything"

    def end(self, outcome: str) -> None:
        self.addresses[-1].outcome = outcome

    def heard(self, asking: Asking[T]) -> Asking[T]:
        """The same, and each question is written down with its answer."""
        try:
            question = next(asking)
            while True:
                try:
                    answer = yield question
                except Exception as problem:
                    question = asking.throw(problem)
                else:
                    self.asked.append(Asked(question, answer))
                    question = asking.send(answer)
        except StopIteration as end:
            result: T = end.value
            return result


def words_of(check: Check, holds: bool | None, walk: Walk, address: Address) -> str:
    """A precondition in words."""
    no = "" if holds else "not "
    subjects = {
        "domains": f"domain {address.domain} is {no}in {check.text}",
        "local_parts": f"local part {address.local_part} is {no}in {check.text}",
        "check_local_user": f"{address.local_part} is {'an' if holds else 'no'} account of this host",
        "senders": f"sender <{walk.env.variables.get('sender_address', '')}> is {no}in {check.text}",
        "require_files": f"the files are {no}as required: {check.text}",
        "condition": f"the condition is {no}true: {check.text}",
        "router_home_directory": f"home is {walk.env.variables.get('home', '')}",
    }
    words = subjects[check.option]
    return words if holds is not None else f"it cannot be said whether {words.replace('not ', '')}"
