"""The question stepper: a decision, one question at a time; first one says what one expects.

WHAT       `await stepper(make, answer_with=…)` runs a decision and lets one walk through it: what is asked next, what
           the answer is, what the decision made of it, and the verdict. Before each, a prediction; at the end a score.
           step_spf, step_dmarc and step_route (stepper_ready.py) are made with it.
RULES      the browser is told nothing before its turn. "Run it again" asks everything anew: a zone may have changed.
SAFE       what stands in the DNS is text of others: escaped, cut, hidden characters visible.
READ NEXT  stepper_walk.py, stepper_moments.py, ../static/stepper.js
"""

from __future__ import annotations

import asyncio
import textwrap
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from labkit.mail.asking import Asking
from labkit.teach.markup import Markup, clip, join, tag, visible
from labkit.teach.question_words import answer_words, question_words
from labkit.teach.tables import table, text_table
from labkit.teach.view import LiveView
from labkit.teach.views.stepper_moments import (
    ANSWERS,
    MOST_SHOWN,
    QUESTIONS,
    WORDS,
    About,
    Moment,
    Said,
    moments_of,
)
from labkit.teach.views.stepper_walk import Answerer, Made, Walk, walk

MOST_MADE = 40  # sentences about one answer
LONGEST = 1500
_HEAD = ("", "question", "answer", "what was made of it")
_WIDTHS = (3, 29, 31, 41)  # of the text: 110 in all
_ASKS = {
    "next": "What is asked next?",
    "answer": "What will the answer be?",
    "verdict": "What is the verdict?",
}


async def stepper(
    asking_factory: Callable[[], Asking[Any]],
    *,
    answer_with: Answerer,
    predict: bool | str = True,
    about: About | None = None,
) -> Stepper:
    """Walk through a decision. `asking_factory()` begins it; `answer_with` answers a question: a mapping or a function.

    `predict`: True for the next question, its answer and the verdict; "questions" or "answers" for one of them; "words"
    to write it down and judge it oneself; False for none. Raises what the decision raises.
    """
    if predict not in (True, False, QUESTIONS, ANSWERS, WORDS):
        raise ValueError(f"predict={predict!r}: it is True, False, {QUESTIONS!r}, {ANSWERS!r} or {WORDS!r}")
    made = Stepper(asking_factory, answer_with, predict, about or About())
    await made.run()
    return made


class Stepper(LiveView):
    """What `stepper` gives."""

    script = "stepper.js"

    def __init__(
        self, make: Callable[[], Asking[Any]], answer_with: Answerer, predict: bool | str, about: About
    ) -> None:
        super().__init__()
        self.about, self.predict = about, predict
        self._make, self._answer_with = make, answer_with
        self._busy = asyncio.Lock()
        self.walk = Walk((), (), "", "", None)
        self.moments: list[Moment] = []
        self.position = 0
        self.said: dict[int, Said] = {}  # by moment

    async def run(self) -> None:
        """Ask everything, from the beginning, and go back to the first step."""
        async with self._busy:
            self.walk = await walk(self._make, self._answer_with)
            self.moments = list(moments_of(self.walk, self.about, self.predict))
            self.position, self.said = 0, {}

    # --- walking ------------------------------------------------------------------------------

    @property
    def moment(self) -> Moment | None:
        """Where the walk stands; None at its end."""
        return self.moments[self.position] if self.position < len(self.moments) else None

    def choose(self, number: int) -> None:
        """Predict: the choice of that number, from 0. Raises ValueError for one that is not there."""
        moment = self.moment
        if moment is None or not 0 <= number < len(moment.choices):
            raise ValueError(f"there is no choice {number + 1} here")
        text = moment.choices[number]
        self._go(Said(text, text == moment.truth))

    def say(self, text: str) -> None:
        """Predict in one's own words, for predict="words"."""
        if self.moment is not None and text.strip():
            self._go(Said(clip(text.strip(), LONGEST), None))

    def judge(self, number: int, is_right: bool) -> None:
        """Whether what was said in one's own words was right; `number` is that of the moment. Raises KeyError."""
        self.said[number].is_right = is_right
        self.refresh()

    def go_on(self) -> None:
        """Without a prediction."""
        self._go(None)

    def _go(self, said: Said | None) -> None:
        if said is not None:
            self.said[self.position] = said
        self.position = min(self.position + 1, len(self.moments))
        self.refresh()

    async def hear(self, message: Mapping[str, Any]) -> None:
        """What the browser asks for."""
        match message:
            case {"ask": "choose", "number": int(number)}:
                self.choose(number)
            case {"ask": "say", "text": str(text)}:
                self.say(text)
                self.refresh()
            case {"ask": "judge", "number": int(number), "right": bool(right)}:
                self.judge(number, right)
            case {"ask": "on"}:
                self.go_on()
            case {"ask": "all"}:
                self.position = len(self.moments)
                self.refresh()
            case {"ask": "again"}:
                await self.run()
                self.refresh()
            case _:
                raise ValueError("the stepper does not know this message")

    # --- what has come to light ---------------------------------------------------------------

    def _since(self, what: str, turn: int, otherwise: int) -> int:
        """From which position on something is known: after its own moment, or else when `otherwise` is."""
        for number, moment in enumerate(self.moments):
            if (moment.what, moment.turn) == (what, turn):
                return number + 1
        return otherwise

    def _known(self) -> Iterator[tuple[int, bool, bool]]:
        """The turns whose question is known: the number, whether the answer is, and whether what was made of it is."""
        known = 0
        for number in range(len(self.walk.turns[:MOST_SHOWN])):
            question = self._since("next", number, known)
            answer = self._since("answer", number, question)
            made = self._since("next", number + 1, answer) if self.predict else answer
            known = made
            if self.position >= question:
                yield number, self.position >= answer, self.position >= made

    @property
    def score(self) -> tuple[int, int]:
        """How many predictions were right, and how many there were."""
        judged = [each.is_right for each in self.said.values() if each.is_right is not None]
        return sum(judged), len(judged)

    @property
    def _score_words(self) -> str:
        right, of = self.score
        return f"{right} of {of} predictions {'was' if of == 1 else 'were'} right." if of else ""

    def state(self) -> dict[str, Any]:
        moment = self.moment
        has_begun = self.position >= self._since("next", 0, 0)
        return {
            "title": _shown(self.about.title),
            "facts": [[_shown(name), _shown(value)] for name, value in self.about.facts],
            "before": _made_state(self.walk.before) if has_begun else [],
            "turns": [self._turn_state(*known) for known in self._known()],
            "stop": None if moment is None else self._stop_state(moment),
            "verdict": None if moment is not None else self._verdict_state(),
            "score": self._score_words,
        }

    def _turn_state(self, number: int, has_answer: bool, is_made: bool) -> dict[str, Any]:
        turn = self.walk.turns[number]
        return {
            "number": number + 1,
            "question": _shown(question_words(turn.question)),
            "answer": _shown(answer_words(turn.question, turn.answer)) if has_answer else None,
            "made": _made_state(turn.made) if is_made else None,
            "said": self._said_state(number, ("next", "answer")),
        }

    def _said_state(self, turn: int, of: Sequence[str]) -> list[dict[str, Any]]:
        """What was predicted for a turn and has come to light."""
        return [
            {
                "moment": number,
                "what": moment.what,
                "text": _shown(self.said[number].text),
                "right": self.said[number].is_right,
                "sort": _shown(moment.truth),
            }
            for number, moment in enumerate(self.moments[: self.position])
            if moment.turn == turn and moment.what in of and number in self.said
        ]

    def _stop_state(self, moment: Moment) -> dict[str, Any]:
        in_words = self.predict == WORDS and bool(moment.choices)
        asks = "What is asked first?" if (moment.what, moment.turn) == ("next", 0) else _ASKS[moment.what]
        return {
            "asks": asks if moment.choices else "",
            "choices": [] if in_words else [_shown(choice) for choice in moment.choices],
            "words": in_words,
            "said": self._said_state(moment.turn, ("next",)) if moment.what == "verdict" else [],
        }

    def _verdict_state(self) -> dict[str, Any]:
        return {
            "verdict": _shown(self.walk.verdict),
            "reason": _shown(self.walk.reason),
            "said": self._said_state(min(len(self.walk.turns), MOST_SHOWN), ("next", "verdict")),
            "left_out": self._left_out,
        }

    # --- the static forms ---------------------------------------------------------------------

    @property
    def _left_out(self) -> str:
        more = len(self.walk.turns) - MOST_SHOWN
        return f"{more:,} more questions are not shown." if more > 0 else ""

    def _rows(self) -> Iterator[tuple[str, str, str, str]]:
        if self.walk.before:
            yield "", "(before the first question)", "", _made_text(self.walk.before)
        for number, turn in enumerate(self.walk.turns[:MOST_SHOWN], 1):
            yield (
                str(number),
                _shown(question_words(turn.question)),
                _shown(answer_words(turn.question, turn.answer)),
                _made_text(turn.made),
            )

    @property
    def _ending(self) -> str:
        count = len(self.walk.turns)
        asked = "1 question" if count == 1 else f"{count:,} questions"
        reason = f": {_shown(self.walk.reason)}" if self.walk.reason else ""
        return f"After {asked}: {_shown(self.walk.verdict)}{reason}"

    def html(self) -> Markup:
        facts = [tag("p", f"{name}: ", tag("b", _shown(value))) for name, value in self.about.facts]
        return join(
            tag("p", tag("b", self.about.title)),
            *facts,
            table(_HEAD, self._rows(), code=[1, 2]),
            *(tag("p", line) for line in (self._left_out, self._ending) if line),
        )

    def text(self) -> str:
        facts = [f"{name}: {_shown(value)}" for name, value in self.about.facts]
        rows = [tuple(_folded(cell, width) for cell, width in zip(row, _WIDTHS)) for row in self._rows()]
        ending = "\n".join(_folded(line, 110) for line in self._ending.split("\n"))
        parts = [_shown(self.about.title), *facts, "", text_table(_HEAD, rows), "", self._left_out, ending]
        return "\n".join(part for part in parts if part or part == "").replace("\n\n\n", "\n\n")


def _shown(text: str) -> str:
    return visible(clip(text, LONGEST))


def _made_state(made: Sequence[Made]) -> list[dict[str, Any]]:
    shown = [
        {"words": _shown(each.words), "source": _shown(each.source), "depth": min(each.depth, 10)}
        for each in made[:MOST_MADE]
    ]
    if len(made) > MOST_MADE:
        shown.append({"words": f"and {len(made) - MOST_MADE:,} more steps", "source": "", "depth": 0})
    return shown


def _made_text(made: Sequence[Made]) -> str:
    lines = [_shown(str(each)) for each in made[:MOST_MADE]]
    return "\n".join([*lines, f"and {len(made) - MOST_MADE:,} more"] if len(made) > MOST_MADE else lines)


def _folded(text: str, width: int) -> str:
    """In lines of at most that width; what begins with blanks goes on below them."""
    lines = []
    for line in text.split("\n"):
        indent = " " * min(len(line) - len(line.lstrip(" ")), 8)
        lines += textwrap.wrap(line, width, subsequent_indent=indent, break_on_hyphens=False) or [""]
    return "\n".join(lines)
