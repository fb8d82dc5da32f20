"""What a student can choose from before each step of a decision: made from the decision's own run.

WHAT       `next_choices(walk, position, …)`: what is asked next, or nothing more; `answer_choices`: what sort of answer
           comes; `verdict_choices`.
RULES      1. The truth is among them, once. 2. What is offered never gives it away: sorts of answers are the same for
           every question of a kind; of the other questions some have the same type, some the same name, and none has
           a name that has not come up yet; the order is arbitrary, and the same in each run.
READ NEXT  stepper.py
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from ipaddress import ip_address
from typing import Any
from zlib import crc32

from labkit.mail.asking import Question
from labkit.mail.questions import AddressesOf, DnsAnswer, MxOf, MxRecord, NamesOf, TextOf, V6AddressesOf
from labkit.teach.question_words import kind_of, kinds, question_words
from labkit.teach.views.stepper_walk import Turn, Walk

NOTHING_MORE = "Nothing more: it is decided."
MOST_QUESTIONS = 4  # with or without the one that comes: their number tells nothing
MOST_NAMES = 40
LONGEST_RECORD = 1000  # of which names are taken
RFC_WORDS = ("pass", "fail", "softfail", "neutral", "none", "permerror", "temperror")
FAMILIES = (RFC_WORDS, ("routed", "failed", "deferred", "discarded"))
_NAME = re.compile(
    r"(?<![\w}%.-])[a-z0-9_](?:[a-z0-9_-]{0,62})(?:\.[a-z0-9_-]{1,63})+(?![\w{%-])", re.IGNORECASE
)
_TYPES: tuple[type, ...] = (TextOf, MxOf, AddressesOf, V6AddressesOf)


def next_choices(walk: Walk, position: int, others: Sequence[Question[Any]] = ()) -> list[str]:
    """What could be asked as number `position` (from 0). `others`: further questions that somebody might expect."""
    asked = {turn.question for turn in walk.turns[:position]}
    truth = walk.turns[position].question if position < len(walk.turns) else None
    offered = {} if truth is None else {question_words(truth): None}
    for each in _candidates(truth, walk, position, others):
        if each not in asked and len(offered) < MOST_QUESTIONS:
            offered[question_words(each)] = None
    return [*_shuffled(offered, str(position)), NOTHING_MORE]


def next_truth(walk: Walk, position: int) -> str:
    return question_words(walk.turns[position].question) if position < len(walk.turns) else NOTHING_MORE


def answer_choices(turn: Turn, client: str = "") -> list[str]:
    """The sorts of answers to this question; none where no sorts are known."""
    return list(kinds(turn.question, knows_client=bool(client)))


def answer_truth(turn: Turn, client: str = "") -> str:
    return kind_of(turn.question, turn.answer, client)


def verdict_choices(walk: Walk, known: Sequence[str] = ()) -> list[str]:
    """The verdicts that such a decision can come to; none where they are not known."""
    if walk.verdict in known:
        return list(known)
    return list(next((family for family in FAMILIES if walk.verdict in family), ()))


# --- other questions ----------------------------------------------------------------------------------


def _candidates(
    truth: Question[Any] | None, walk: Walk, position: int, others: Sequence[Question[Any]]
) -> Iterator[Question[Any]]:
    """Plausible questions, the most plausible first: of the same type, about the same name, asked later, any."""
    names = list(_names(walk.turns[:position], others))[:MOST_NAMES]
    used = [kind for kind in _TYPES if any(type(q) is kind for q in _all(walk, others))]
    own = _name_of(truth)
    its_type = [kind for kind in _TYPES if isinstance(truth, kind)]
    alike = [kind(name) for kind in its_type for name in names if name != own]
    later = [q for turn in walk.turns[position + 1 :] if _name_of(q := turn.question) in (None, *names)]
    about = [kind(own) for kind in used if own and its_type]
    any_at_all = [kind(name) for name in names for kind in used]
    piles = (alike, about, later, list(others), any_at_all)
    for level in range(max(map(len, piles), default=0)):  # one of each pile in turn
        yield from (pile[level] for pile in piles if level < len(pile))


def _all(walk: Walk, others: Sequence[Question[Any]]) -> Iterator[Question[Any]]:
    yield from (turn.question for turn in walk.turns)
    yield from others


def _names(turns: Sequence[Turn], others: Sequence[Question[Any]]) -> Iterable[str]:
    """Names that came up so far, the latest first."""
    found: dict[str, None] = {}
    for turn in reversed(turns):
        found |= dict.fromkeys(_in_answer(turn.answer))
        found |= dict.fromkeys(filter(None, [_name_of(turn.question)]))
    found |= dict.fromkeys(filter(None, map(_name_of, others)))
    return found


def _in_answer(answer: Any) -> Iterator[str]:
    for record in answer.records if isinstance(answer, DnsAnswer) else ():
        if isinstance(record, MxRecord):
            yield record.exchange
        elif isinstance(record, str):
            yield from (
                name
                for name in _NAME.findall(record[:LONGEST_RECORD])
                if not _is_address(name) and len(name) < 254
            )


def _is_address(text: str) -> bool:
    try:
        ip_address(text)
    except ValueError:
        return False
    return True


def _name_of(question: Question[Any] | None) -> str | None:
    if isinstance(question, NamesOf):
        return None
    names = (getattr(question, name, None) for name in ("domain", "host", "name"))
    return next((name for name in names if isinstance(name, str) and "." in name), None)


def _shuffled(texts: Iterable[str], salt: str) -> list[str]:
    return sorted(texts, key=lambda text: crc32(f"{salt} {text}".encode("utf-8", "replace")))
