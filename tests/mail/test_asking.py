"""Asking by yielding: the same decision with answers from a dict, a function and a coroutine."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Any

import pytest

from labkit.mail.asking import Asked, Asking, Question, answer_by, answer_from, answer_later, ask
from labkit.mail.questions import DnsOutcome, MxRecord, Standing, Verification


@dataclass(frozen=True)
class Square(Question[int]):
    of: int


def sum_of_squares(*numbers: int) -> Asking[int]:
    total = 0
    for number in numbers:
        total += yield from ask(Square(number))
    return total


def forgiving(number: int) -> Asking[str]:
    try:
        found = yield from ask(Square(number))
    except LookupError as problem:
        return f"unknown: {type(problem).__name__}"
    return str(found)


def test_a_dict_answers() -> None:
    assert answer_from({Square(2): 4, Square(3): 9}, sum_of_squares(2, 3, 2)) == 17


def test_nothing_asked() -> None:
    assert answer_from({}, sum_of_squares()) == 0


def test_a_question_without_answer_is_the_callers_mistake() -> None:
    with pytest.raises(KeyError):
        answer_from({}, sum_of_squares(2))


def test_a_function_answers() -> None:
    def square(question: Question[Any]) -> int:
        assert isinstance(question, Square)
        return question.of**2

    assert answer_by(square, sum_of_squares(1, 2, 3)) == 14


def test_a_failure_is_raised_where_it_was_asked() -> None:
    assert answer_from({}, forgiving(2)) == "unknown: KeyError"

    async def nobody_knows(question: Question[Any]) -> int:
        raise LookupError("nobody knows")

    assert asyncio.run(answer_later(nobody_knows, forgiving(2))) == "unknown: LookupError"


def test_answers_that_take_time() -> None:
    heard: list[Asked] = []

    async def square(question: Question[Any]) -> int:
        await asyncio.sleep(0)
        assert isinstance(question, Square)
        return question.of**2

    assert asyncio.run(answer_later(square, sum_of_squares(2, 3), heard.append)) == 13
    assert heard == [Asked(Square(2), 4), Asked(Square(3), 9)]


def test_a_failure_that_nobody_catches_comes_out() -> None:
    async def broken(question: Question[Any]) -> int:
        raise OSError("no network")

    with pytest.raises(OSError, match="no network"):
        asyncio.run(answer_later(broken, sum_of_squares(2)))


@pytest.mark.parametrize("outcome", list(DnsOutcome))
def test_what_may_pass(outcome: DnsOutcome) -> None:
    assert outcome.is_temporary is (outcome in (DnsOutcome.SERVFAIL, DnsOutcome.TIMEOUT))


def test_values() -> None:
    assert sorted([MxRecord(20, "a"), MxRecord(10, "b")])[0] == MxRecord(10, "b")
    assert Verification(Standing.GOOD).is_good
    assert not Verification(Standing.BAD).is_good
    assert not Verification(Standing.UNDECIDED).is_good
