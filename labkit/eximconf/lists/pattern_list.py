"""A list, ready to be asked whether something is in it.

WHAT       a PatternList: `.look(subject, env)` where nothing can be asked, `.asking(subject, env)` always;
           `.contains(subject, env)` where no more than yes or no is wanted.
RULES      a list with `$` is expanded as a whole whenever it is used, and only then cut: if the expansion was forced
           to fail, nothing is in it. unless it is set, $domain is what is looked for; $host_address is the host.
           A named list without `$`, or one that was defined with _cache, is asked once for each subject; env.memo keeps
           the answer.
COST       a list that asks nothing keeps the answers for the subjects it saw last.
STANDARDS  Exim specification, chapter "Domain, host, address, and local part lists", sections "Expansion of lists",
           "Named list caching"
READ NEXT  compiling.py, walking.py
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from labkit.eximconf.blanks import BLANKS
from labkit.eximconf.expansion.engine import Compiled, compile_text
from labkit.eximconf.expansion.env import Env
from labkit.eximconf.expansion.outcomes import (
    Defer,
    Failure,
    ForcedFailure,
    Stop,
    Value,
    deferred,
    failed,
)
from labkit.eximconf.here import Here
from labkit.eximconf.lists.items import DEEPEST, read_item, read_items
from labkit.eximconf.lists.kinds import Context, Item, ListKind, Match, NamedLists, Subject
from labkit.eximconf.lists.walking import Verdict, walk
from labkit.eximconf.place import ConfigurationError
from labkit.eximconf.reader import Place
from labkit.mail.asking import Asking, Question, answer_by

_MOST_KEPT = 512  # answers, and texts that a list became
_LONGEST_KEPT = 320  # octets: no address is longer
_NUMBERED = (ListKind.DOMAIN, ListKind.LOCAL_PART)
_EACH_COSTS = 6  # of env.depth: an expansion inside a list inside an expansion has an end
_DEEPEST = 60


class PatternList:
    """A compiled list. Two lists of the same kind and text are equal."""

    __slots__ = (
        "_can_ask",
        "_code",
        "_here",
        "_items",
        "_kept",
        "_made",
        "forces_cache",
        "is_one",
        "kind",
        "named",
        "place",
        "text",
    )

    def __init__(
        self,
        kind: ListKind,
        text: str,
        place: Place,
        named: NamedLists,
        *,
        expands: bool = True,
        forces_cache: bool = False,
        is_one: bool = False,
    ) -> None:
        self.kind = kind
        self.text = text
        self.place = place
        self.named = named
        self.forces_cache = forces_cache
        self.is_one = is_one
        self._code: Compiled | None = None
        self._items: tuple[Item, ...] = ()
        self._made: dict[tuple[bool, str], tuple[Item, ...]] = {}
        self._kept: dict[str, Match] = {}
        self._here: Here | None = None
        self._can_ask: bool | None = None
        if expands and ("$" in text or "\\" in text):
            code = compile_text(text, place)
            outcome = code.expand(Env()) if "$" not in text else None
            if isinstance(outcome, Value):
                text = outcome.text
            else:
                self._code, self._can_ask = code, True
        if self._code is None:
            self._items = self._read(text)

    def __repr__(self) -> str:
        return f"PatternList({self.kind.value}, {self.text!r})"

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, PatternList):
            return NotImplemented
        return (self.kind, self.text) == (other.kind, other.text)

    def __hash__(self) -> int:
        return hash((self.kind, self.text))

    @property
    def can_ask(self) -> bool:
        """Must it be driven (`asking`), or does a plain `look` do? A list that can fail must be driven, too."""
        if self._can_ask is None:
            self._can_ask = self._asks({})
        return self._can_ask is not False

    def _asks(self, known: dict[int, bool | None], depth: int = 0) -> bool | None:
        """None: it names a list that is not there yet. `known`: what is known of others, and True of those around."""
        if self._can_ask is not None or depth > DEEPEST:
            return self._can_ask is not False
        if id(self) in known:
            return known[id(self)]
        known[id(self)] = True  # inside itself it fails
        answer: bool | None = any(item.can_ask for item in self._items)
        for use in dict.fromkeys(use for item in self._items for use in item.uses):
            inner = self.named.get(use)
            asks = None if inner is None else inner._asks(known, depth + 1)
            answer = answer or asks if asks is not None else (answer or None)
        known[id(self)] = answer
        return answer

    def names(self) -> Iterator[tuple[ListKind, str]]:
        """The named lists that it needs, as far as that can be seen before it is used."""
        for item in self._items:
            yield from item.uses

    def look(self, subject: str, env: Env) -> Match:
        """Is it in the list? Raises TypeError for a list that can ask."""
        if env.here is self._here:
            found = self._kept.get(subject)
            if found is not None:
                return found
        match = None
        if not self.can_ask:
            match = answer_by(_nobody, self._asking(subject, env, None, caseful=False, remembers=True))
        if not isinstance(match, Match):
            raise TypeError(f"this list may ask something, use asking(): {self.text!r}")
        return self._keep(subject, env, match)

    def _keep(self, subject: str, env: Env, match: Match) -> Match:
        if env.here is not self._here or len(self._kept) >= _MOST_KEPT:
            self._kept.clear()
            self._here = env.here
        if len(subject) <= _LONGEST_KEPT:
            self._kept[subject] = match
        return match

    def asking(
        self,
        subject: str,
        env: Env,
        *,
        name: str | None = None,
        caseful: bool = False,
        remembers: bool = True,
        is_numbered: bool = False,
    ) -> Asking[Match | Failure | Defer]:
        """Is it in the list?

        `name`: a host's name if it is known, "" if names do not count. `caseful`: local parts as they were sent.
        `remembers`: the text came from outside, and answers of named lists are kept in env.memo.
        `is_numbered`: what stars of an address match is wanted, too.
        """
        is_usual = remembers and not caseful and not self.can_ask
        if is_usual and env.here is self._here and (found := self._kept.get(subject)) is not None:
            return found
        match = yield from self._asking(
            subject, env, name, caseful=caseful, remembers=remembers, is_numbered=is_numbered
        )
        return self._keep(subject, env, match) if is_usual and isinstance(match, Match) else match

    def contains(self, subject: str, env: Env, *, name: str | None = None) -> Asking[bool]:
        """Is it in the list? A list that cannot say does not have it. `name`: see `asking`."""
        if name is None and not self.can_ask:
            return self.look(subject, env).found
        found = yield from self.asking(subject, env, name=name)
        return isinstance(found, Match) and found.found

    def _asking(
        self,
        subject: str,
        env: Env,
        name: str | None,
        *,
        caseful: bool,
        remembers: bool,
        is_numbered: bool = False,
    ) -> Asking[Match | Failure | Defer]:
        numbered = is_numbered or self.kind in _NUMBERED
        wanted = Subject(subject, env, caseful=caseful, numbered=numbered, name=name, remembers=remembers)
        try:
            found = yield from self._walk(wanted)
        except Stop as stop:
            outcome = stop.outcome
            return Failure(outcome.message) if isinstance(outcome, ForcedFailure) else outcome
        return self._match(subject, found)

    def _match(self, subject: str, verdict: Verdict) -> Match:
        found, item, hit, why = verdict
        because = f"{self.kind.called} {subject or 'nobody'} is {'' if found else 'not '}in {self.text}"
        if item is not None:
            because += f" by {item}"
        if why:
            because += f" ({why})"
        return Match(found, item, hit.data or "", hit.numbers, because)

    def within(self, subject: Subject, name: str) -> Asking[Verdict]:
        """What it says as a list inside another. Raises Stop."""
        if subject.depth > 1:  # what only lists deeper inside can make dear
            seen = (id(self), subject.folded, subject.caseful)
            verdict = subject.seen.get(seen)
            if verdict is None:
                verdict = subject.seen[seen] = yield from self._remembering(subject, name)
            return verdict
        return (yield from self._remembering(subject, name))

    def _remembering(self, subject: Subject, name: str) -> Asking[Verdict]:
        if not self.can_ask:
            return (yield from walk(self._items, subject))
        if not (subject.remembers and self._is_kept()):
            return (yield from self._walk(subject))
        memo = subject.env.memo
        place = (
            "list",
            self.kind,
            name,
            subject.text,
            subject.name,
            subject.caseful,
            subject.numbered,
            self._whose(subject.env),
        )
        verdict: Verdict | None = memo.get(place)
        if verdict is None:
            verdict = memo[place] = yield from self._walk(subject)
        return verdict

    def _is_kept(self) -> bool:
        """Neither it nor a list in it may say something else the next time."""
        seen: set[int] = set()
        left = [self]
        while left:
            each = left.pop()
            if "$" in each.text and not each.forces_cache:
                return False
            seen.add(id(each))
            left += [
                inner for use in each.names() if (inner := self.named.get(use)) and id(inner) not in seen
            ]
        return True

    def _whose(self, env: Env) -> tuple[str, str] | None:
        """A list that was expanded belongs to one address: its `$` may be anything."""
        if self._code is None:
            return None
        return env.variables.get("local_part", ""), env.variables.get("domain", "")

    def _walk(self, subject: Subject) -> Asking[Verdict]:
        items: tuple[Item, ...] | None = self._items
        if self._code is not None:
            items = yield from self._expanded(subject, self._code)
        if items is None:
            return Verdict(False, why="its expansion was forced to fail")
        return (yield from walk(items, subject))

    def _expanded(self, subject: Subject, code: Compiled) -> Asking[tuple[Item, ...] | None]:
        """The items now; None: the expansion was forced to fail."""
        env = subject.env
        if env.depth + _EACH_COSTS > _DEEPEST:
            raise failed("too many expansions of lists, one inside the other")
        env.depth += _EACH_COSTS
        try:
            with _set(env, self.kind, subject):
                outcome = yield from code.asking(env)
        finally:
            env.depth -= _EACH_COSTS
        if isinstance(outcome, ForcedFailure):
            return None
        if isinstance(outcome, Value):
            return self._read_again(outcome)
        problem = f'failed to expand "{self.text}" while checking a list: {outcome.message}'
        raise failed(problem) if isinstance(outcome, Failure) else deferred(problem)

    def _read_again(self, value: Value) -> tuple[Item, ...]:
        key = value.is_tainted, str(value.text)
        if key not in self._made:
            if len(self._made) >= _MOST_KEPT:
                self._made.clear()
            try:
                self._made[key] = self._read(str(value.text), tainted=value.is_tainted)
            except ConfigurationError as problem:
                raise failed(problem.problem) from None
        return self._made[key]

    def _read(self, text: str, *, tainted: bool = False) -> tuple[Item, ...]:
        context = Context(self.kind, self.place, self.named, read_item, tainted)
        if self.is_one:
            item = text.strip(BLANKS)
            return (read_item(item, context),) if item else ()
        return read_items(text, context)


def _nobody(question: Question[Any]) -> Any:
    raise AssertionError(f"nothing in the list asks: {question}")


@contextmanager
def _set(env: Env, kind: ListKind, subject: Subject) -> Iterator[None]:
    """While a list is expanded, $domain or $host_address is what is looked for."""
    variable = {ListKind.DOMAIN: "domain", ListKind.HOST: "host_address"}.get(kind)
    if variable is None or (kind is ListKind.DOMAIN and env.variables.get("domain")):
        yield
        return
    before = env.variables.get(variable)
    env.variables[variable] = subject.folded
    try:
        yield
    finally:
        if before is None:
            env.variables.pop(variable, None)
        else:
            env.variables[variable] = before
