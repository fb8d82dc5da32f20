"""Ask by yielding: how a decision gets what it needs from outside.

WHAT       a decision is a generator; it yields a Question and is sent the answer. The drivers below answer.
WHY        one code path: a dict answers in tests, sockets and files answer in the lab, a click answers in a
           widget; and the list of questions asked is the explanation of the decision.
HOW        always `answer = yield from ask(MxOf("a.test"))`, so that the type checker knows the answer.
READ NEXT  questions.py
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Generator, Mapping
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

A = TypeVar("A")
T = TypeVar("T")


class Question(Generic[A]):
    """Something a decision wants to know; `A` is the type of the answer. Subclasses are frozen dataclasses."""

    __slots__ = ()


Asking = Generator[Question[Any], Any, T]


def ask(question: Question[A]) -> Asking[A]:
    """Yield one question and return its answer, typed."""
    answer: A = yield question
    return answer


@dataclass(frozen=True, slots=True)
class Asked:
    """One question with the answer it got."""

    question: Question[Any]
    answer: Any


def remembering(asking: Asking[T], answers: dict[Question[Any], Any]) -> Asking[T]:
    """The same decision, which asks nothing that `answers` has; what it learns is added there."""
    try:
        question = next(asking)
        while True:
            if question not in answers:
                answers[question] = yield question
            question = asking.send(answers[question])
    except StopIteration as end:
        result: T = end.value
        return result


def answer_from(answers: Mapping[Question[Any], Any], asking: Asking[T]) -> T:
    """Run a decision with the answers of a mapping. Raises KeyError for a question that is not in it."""
    return answer_by(answers.__getitem__, asking)


def answer_by(answerer: Callable[[Question[Any]], Any], asking: Asking[T]) -> T:
    """Run a decision; `answerer` is called with each question. What it raises is raised where it was asked."""
    try:
        question = next(asking)
        while True:
            try:
                answer = answerer(question)
            except Exception as problem:
                question = asking.throw(problem)
            else:
                question = asking.send(answer)
    except StopIteration as end:
        result: T = end.value
        return result


async def answer_later(
    answerer: Callable[[Question[Any]], Awaitable[Any]],
    asking: Asking[T],
    heard: Callable[[Asked], None] | None = None,
    *,
    first: Question[Any] | None = None,
) -> T:
    """Run a decision whose answers take time; `heard` is told each question with its answer.

    `first` is the question that a decision has asked already that was begun by hand.
    """
    try:
        question = next(asking) if first is None else first
        while True:
            try:
                answer = await answerer(question)
            except Exception as problem:
                question = asking.throw(problem)
            else:
                if heard is not None:
                    heard(Asked(question, answer))
                question = asking.send(answer)
    except StopIteration as end:
        result: T = end.value
        return result
