"""One decision, walked through: each question with its answer, and what the decision made of it.

WHAT       `await walk(make, answer_with)` runs the decision and writes it down as a Walk.
DECIDES    which steps belong to a question: those that name it, and what follows until the next question is named. Of
           a route: what its routers looked at.
LIMITS     MOST_QUESTIONS; no decision of labkit asks so many.
READ NEXT  stepper_choices.py, stepper.py
"""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol, runtime_checkable

from labkit.mail.asking import Asked, Asking, Question, answer_later
from labkit.routing import Routed
from labkit.teach.views.places import end_of

MOST_QUESTIONS = 1000
Answerer = Callable[[Question[Any]], Any] | Mapping[Question[Any], Any]


@runtime_checkable
class StepLike(Protocol):
    """A step as the auth room has them."""

    @property
    def words(self) -> str: ...

    @property
    def source(self) -> str: ...

    @property
    def depth(self) -> int: ...

    @property
    def question(self) -> Question[Any] | None: ...


@dataclass(frozen=True, slots=True)
class Made:
    """Something that the decision made of an answer: a sentence, the rule, and how deep it stands."""

    words: str
    source: str = ""
    depth: int = 0

    def __str__(self) -> str:
        return f"{'  ' * self.depth}{self.words}{f' [{self.source}]' if self.source else ''}"


@dataclass(slots=True)
class Turn:
    """One question, the answer, and what was made of it."""

    question: Question[Any]
    answer: Any
    made: list[Made] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Walk:
    """A decision from its first question to its verdict. `before` is what needed no question."""

    turns: tuple[Turn, ...]
    before: tuple[Made, ...]
    verdict: str
    reason: str
    result: Any


async def walk(make: Callable[[], Asking[Any]], answer_with: Answerer) -> Walk:
    """Run it. What `answer_with` or the decision raises is raised. Raises RuntimeError for one without an end."""
    heard: list[Asked] = []

    def hear(asked: Asked) -> None:
        heard.append(asked)
        if len(heard) > MOST_QUESTIONS:
            raise RuntimeError(f"this decision has asked {MOST_QUESTIONS:,} questions and goes on")

    result = await answer_later(_later(answer_with), make(), hear)
    turns = tuple(Turn(asked.question, asked.answer) for asked in heard)
    before = tuple(_dealt(_of_route(result) if isinstance(result, Routed) else _of_steps(result), turns))
    verdict, reason = _verdict(result)
    return Walk(turns, before, verdict, reason, result)


def _later(answer_with: Answerer) -> Callable[[Question[Any]], Awaitable[Any]]:
    answerer = answer_with.__getitem__ if isinstance(answer_with, Mapping) else answer_with

    async def answer(question: Question[Any]) -> Any:
        found = answerer(question)
        return await found if inspect.isawaitable(found) else found

    return answer


# --- what was made of it ------------------------------------------------------------------------------

_Named = tuple[Question[Any] | None, Made | None]  # the question that a step names, and the step


def _dealt(steps: Iterator[_Named], turns: Sequence[Turn]) -> Iterator[Made]:
    """Deal the steps out to the turns, in order; those before the first question come back."""
    at = -1
    for question, made in steps:
        if question is not None:
            at = next((i for i in range(at + 1, len(turns)) if turns[i].question == question), at)
        if made is None:
            continue
        if at < 0:
            yield made
        else:
            turns[at].made.append(made)


def _of_steps(result: Any) -> Iterator[_Named]:
    for step in getattr(result, "steps", ()):
        if isinstance(step, StepLike):
            yield step.question, Made(step.words, step.source, step.depth)
        else:
            yield None, Made(str(step))


def _of_route(routed: Routed) -> Iterator[_Named]:
    """The looks of each router, and what came of it."""
    for each in () if routed.trace is None else routed.trace.addresses:
        depth = len(each.parents)
        if depth:
            yield None, Made(f"{each.address}, made of {each.parents[0]}, is routed", depth=depth)
        for step in each.steps:
            for look in step.looks:
                yield from _of_look(step.router, look.words, look.asked, depth)
            is_said = any(step.because in look.words for look in step.looks)
            because = "" if is_said else f": {step.because}"
            yield None, Made(f"router {step.router} {step.verdict}{because}", depth=depth)


def _of_look(router: str, words: str, asked: Sequence[Asked], depth: int) -> Iterator[_Named]:
    """One that had to ask several things says them in one line: each question gets the part that names its subject."""
    parts = words.split("; ") if len(asked) > 1 else [words]
    for number, each in enumerate(asked):
        own, is_last = parts, number == len(asked) - 1
        if not is_last:
            own = parts[:1] if parts and _subject(each.question) in parts[0] else []
            parts = parts[len(own) :]
        yield each.question, Made(f"router {router}: {'; '.join(own)}", depth=depth) if own else None
    if not asked:
        yield None, Made(f"router {router}: {words}", depth=depth)


def _subject(question: Question[Any]) -> str:
    """What a question is about: a name, an address, a key."""
    names = (getattr(question, name, None) for name in ("domain", "host", "name", "address", "key", "path"))
    return next((name for name in names if isinstance(name, str)), "\n")


def _verdict(result: Any) -> tuple[str, str]:
    """The verdict in a word or two, and the reason in a sentence."""
    if isinstance(result, Routed):
        return result.outcome.value, "\n".join(end_of(route) for route in result.routes)
    verdict = getattr(result, "result", None)
    if isinstance(verdict, str):
        return verdict, str(getattr(result, "reason", ""))
    return str(result), ""
