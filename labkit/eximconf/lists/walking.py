"""Go through the items of a list, from left to right, until one decides.

RULES      the first item that matches decides, for or against; at the end the answer is no, or yes if the last item is
           negated. A host name that cannot be found out ends the list with no: +include_unknown makes it a yes,
           +ignore_unknown goes on; +include_defer and +ignore_defer say the same of answers that may come later.
           These words hold for the list they stand in; +caseful for what is looked for, so also behind a list within.
LIKE EXIM  what a list within has found when it said no is left behind, if that list was the last item
STANDARDS  Exim specification, chapter "Domain, host, address, and local part lists"
READ NEXT  items.py
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from labkit.eximconf.expansion.outcomes import Defer, Stop, failed
from labkit.eximconf.lists.kinds import EMPTY, Hit, HostUnknown, Item, Pattern, Subject
from labkit.mail.asking import Asking, ask
from labkit.mail.lookups import FileText, Unanswered, Unopened


class Verdict(NamedTuple):
    """What a list says. `item`: as written, None for the end of the list; `why`: more about it, in words."""

    found: bool
    item: str | None = None
    hit: Hit = EMPTY
    why: str = ""


class Words:
    """What +include_unknown and its like have said so far in a list."""

    __slots__ = ("deferred", "unknown")

    def __init__(self) -> None:
        self.unknown = "end"
        self.deferred = "end"

    def say(self, word: str) -> None:
        act, _, what = word[1:].partition("_")
        if what == "unknown":
            self.unknown = act
        else:
            self.deferred = act


def walk(items: Iterable[Item], subject: Subject) -> Asking[Verdict]:
    """Find the item that decides. Raises Stop for a failure or an answer that may come later."""
    words, positive = None, True
    left = subject.left = EMPTY
    for item in items:
        plain = item.pattern.plain
        if plain is not None:  # it neither asks nor fails
            positive = not item.negated
            if (hit := plain(subject)) is not None:
                return Verdict(positive, item.text, hit, hit.inside)
            left = EMPTY
            continue
        if item.word == "+caseful":
            _mind_case(subject)
            continue
        words = words or Words()
        if item.word:
            words.say(item.word)
            continue
        positive = not item.negated
        if item.file is None:
            found = yield from _tried(item, subject, words)
        else:
            found = yield from _read(item, subject, words)
        if isinstance(found, Verdict):
            return found
        if isinstance(found, Hit):
            return Verdict(positive, item.text, found, found.inside)
        positive = found
        left = subject.left if item.refers else EMPTY
    return Verdict(not positive, hit=left)


def _mind_case(subject: Subject) -> None:
    """From here on the local part is compared as it was sent; a domain stays in small letters."""
    local, at, domain = subject.text.rpartition("@")
    folded = subject.folded
    subject.caseful = True
    subject.folded = f"{local}@{folded[len(folded) - len(domain) :]}" if at else str(subject.text)


def run(pattern: Pattern, subject: Subject) -> Asking[Hit | None]:
    """Try one pattern, whatever its colour."""
    if pattern.plain is not None:
        return pattern.plain(subject)
    assert pattern.asking is not None, "one of the two is there"
    return (yield from pattern.asking(subject))


def _tried(item: Item, subject: Subject, words: Words) -> Asking[Hit | Verdict | bool]:
    """A Hit, a Verdict where the list ends without one, or whether the item was a positive one."""
    try:
        hit = yield from run(item.pattern, subject)
    except HostUnknown as unknown:
        if words.unknown != "ignore":
            return Verdict(words.unknown == "include", item.text, why=str(unknown))
    except Stop as stop:
        if item.refers or words.deferred == "end" or not isinstance(stop.outcome, Defer):
            raise
        if words.deferred == "include":
            return Verdict(True, item.text, why=stop.outcome.message)
    else:
        if hit is not None:
            return hit
    return not item.negated


def _read(item: Item, subject: Subject, words: Words) -> Asking[Verdict | bool]:
    """The lines of a file are items, in the place of the item that names it."""
    assert item.file is not None and item.lines is not None, "it names a file"
    answer = yield from ask(FileText(item.file))
    if isinstance(answer, (Unopened, Unanswered)):
        raise failed(f"failed to open {item.file} when checking a list: {answer.reason}")
    positive = not item.negated
    for line in item.lines(answer):
        positive = item.negated is line.negated
        found = yield from _tried(line, subject, words)
        if isinstance(found, Verdict):
            return found
        if isinstance(found, Hit):
            return Verdict(positive, item.text, Hit(line.data, found.numbers), line.text)
    return positive
