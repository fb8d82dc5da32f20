"""Walk the DNS tree for DMARC records, and find the Organizational Domain by what stands there.

WHAT       `Tree.at(name)` asks for the record at `_dmarc.name`; `Tree.walk(name)` asks from there up to the top;
           `organizational_domain` selects the Organizational Domain among what a walk has found.
RULES      at most 8 questions, however long the name: of eight labels and more the walk jumps to the last seven.
           Two records at one name are none. A record with psd=y or psd=n ends the walk.
WHY        DMARC asks which names belong to one owner. RFC 7489 took a list of public suffixes for that (see
           dmarc_7489.py); RFC 9989 asks the owners: the topmost record below a public suffix is theirs.
STANDARDS  RFC 9989 §4.10 (DNS Tree Walk), §4.10.2 (selecting the Organizational Domain)
READ NEXT  dmarc.py
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from labkit.auth.dmarc_record import DmarcRecord, is_dmarc_record, read_record
from labkit.auth.domain_names import LONGEST_NAME, labels_of
from labkit.auth.steps import Step
from labkit.mail.asking import Asking, ask
from labkit.mail.questions import TextOf

MOST_QUESTIONS = 8
WALK = "RFC 9989 §4.10"
SELECT = "RFC 9989 §4.10.2"


class NoAnswer(Exception):
    """The DNS could not say what stands at a name: it may be known later. Caught in this room."""

    def __init__(self, name: str) -> None:
        super().__init__(f"the DNS did not answer for {name}")


@dataclass(frozen=True, slots=True)
class Found:
    """A name with a DMARC record."""

    domain: str
    record: DmarcRecord


def names_to_ask(domain: str) -> list[str]:
    """The domains whose record a walk asks for, in order: `a.b.test`, `b.test`, `test`."""
    names = [domain]
    labels = labels_of(domain)
    if len(labels) >= MOST_QUESTIONS:
        labels = labels[-MOST_QUESTIONS:]
    while len(labels) > 1:
        labels = labels[1:]
        names.append(".".join(labels))
    return names


def organizational_domain(start: str, found: Sequence[Found]) -> tuple[str, str]:
    """The Organizational Domain among what a walk from `start` has found, longest name first; and the rule."""
    for one in found:
        if one.record.psd == "n":
            return one.domain, f"the record of {one.domain} says psd=n: it is an Organizational Domain"
        if one.record.psd == "y" and one.domain != start:
            below = ".".join(labels_of(start)[-len(labels_of(one.domain)) - 1 :])
            return (
                below,
                f"{one.domain} says psd=y, a public suffix: the Organizational Domain is one label below",
            )
    if found:
        return found[-1].domain, f"{found[-1].domain} is the shortest name with a record"
    return start, "there is no record on the way: each name stands for itself"


def organizational_domain_of(domain: str) -> Asking[str]:
    """The Organizational Domain of any name. Raises NoAnswer if the DNS does not answer."""
    tree = Tree([])
    return (yield from tree.organization(domain))


class Tree:
    """What one evaluation has learned of the tree: no name is asked for twice. Steps go into `steps`."""

    def __init__(self, steps: list[Step]) -> None:
        self.steps = steps
        self.known: dict[str, DmarcRecord | NoAnswer | None] = {}
        self.organizations: dict[str, str] = {}

    def organization(self, domain: str) -> Asking[str]:
        """The Organizational Domain of a name, by a walk. Raises NoAnswer."""
        if domain not in self.organizations:
            found = yield from self.walk(domain)
            chosen, rule = organizational_domain(domain, found)
            self.organizations[domain] = chosen
            self.steps.append(Step(f"the Organizational Domain of {domain} is {chosen}: {rule}", SELECT))
        return self.organizations[domain]

    def walk(self, domain: str) -> Asking[list[Found]]:
        """The records from a name up to the top, or up to one with psd=y or psd=n. Raises NoAnswer."""
        found = []
        for name in names_to_ask(domain):
            record = yield from self.at(name, depth=1)
            if record is not None:
                found.append(Found(name, record))
                if record.psd in ("y", "n"):
                    break
        return found

    def at(self, domain: str, depth: int = 0) -> Asking[DmarcRecord | None]:
        """The one DMARC record of a domain, or None. Raises NoAnswer."""
        if domain not in self.known:
            self.known[domain] = yield from self._asked(domain, depth)
        known = self.known[domain]
        if isinstance(known, NoAnswer):
            raise known
        return known

    def _asked(self, domain: str, depth: int) -> Asking[DmarcRecord | NoAnswer | None]:
        name = f"_dmarc.{domain}"
        if len(name) > LONGEST_NAME:
            self._step(f"{name[:40]}… is longer than a name can be: nothing can stand there", depth)
            return None
        question = TextOf(name)
        answer = yield from ask(question)
        if answer.outcome.is_temporary:
            self._step(f"{name}: {answer.outcome.value}", depth, question=question)
            return NoAnswer(name)
        records = [text for text in answer.records if is_dmarc_record(text)]
        others = len(answer.records) - len(records)
        beside = f" ({others} other TXT passed over)" if others else ""
        if len(records) == 1:
            self._step(f"{name}: a DMARC record{beside}", depth, records[0], question)
            return read_record(records[0])
        if records:
            self._step(
                f"{name}: {len(records)} DMARC records, so none counts",
                depth,
                "\n".join(records[:5]),
                question,
            )
        else:
            self._step(
                f"{name}: no DMARC record{beside or f', {answer.outcome.value}'}", depth, question=question
            )
        return None

    def _step(self, words: str, depth: int, data: str = "", question: TextOf | None = None) -> None:
        self.steps.append(Step(words, WALK, depth, data, question))
