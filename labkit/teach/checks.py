"""Checks: did it happen? Answered from what really happened, never from a variable's name.

WHAT       an exercise is a function that looks at a world and returns a Verdict: not attempted, not yet (with a
           hint) or done (with the evidence). `check("blind copy", world)` runs it and shows the verdict.
RULES      evidence is facts of the journal, bytes in mailboxes and what is served: what a real Exim would give as well.
READ NEXT  tasks/tour.py
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import Enum
from importlib import import_module
from typing import Any, TypeVar

from labkit.lab.world import World
from labkit.mail.dates import log_date
from labkit.mail.event import MailEvent
from labkit.teach.given import expect
from labkit.teach.markup import Markup, tag
from labkit.teach.tables import text_table
from labkit.teach.view import View
from labkit.teach.views.places import in_words


class Progress(Enum):
    """The three states of an exercise."""

    NOT_ATTEMPTED = "not attempted"
    NOT_YET = "not yet"
    DONE = "done"


@dataclass(frozen=True, slots=True)
class Seen:
    """Evidence that is no event: what the check itself found, when and where (a record that is served, a file)."""

    at: datetime | None  # None: a file of the student's, or one from outside the lab
    where: str
    what: str


Evidence = MailEvent | Seen


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a check found: how far it is, in words, and what shows it."""

    progress: Progress
    words: str
    evidence: tuple[Evidence, ...] = ()


def todo(words: str) -> Verdict:
    """Nothing was tried; `words` say how to begin."""
    return Verdict(Progress.NOT_ATTEMPTED, words)


def hint(words: str, *look_at: Evidence) -> Verdict:
    """Something was tried; `words` say what is missing, `look_at` where to look."""
    return Verdict(Progress.NOT_YET, words, look_at)


def done(words: str, evidence: Sequence[Evidence]) -> Verdict:
    """It happened. Raises ValueError without evidence: a claim is not enough."""
    if not evidence:
        raise ValueError("an exercise is done by what happened: name the events")
    return Verdict(Progress.DONE, words, tuple(evidence))


Judge = Callable[[Any], Verdict]  # of a world, or of what the student wrote
J = TypeVar("J", bound=Judge)


@dataclass(frozen=True, slots=True)
class Exercise:
    """A named exercise and the function that judges it."""

    name: str
    title: str
    judge: Judge


_EXERCISES: dict[str, Exercise] = {}
_TASKS = (  # modules of labkit.teach.tasks
    "tour",
    "dns",
    "exim_conf",
    "exim_conf_aliases",
    "install",
    "install_makefile",
    "deliver",
    "deliver_postmaster",
    "survive_srs",
    "survive_list",
    "survive_report",
    "backup_zone",
    "backup_relay",
    "backup_wait",
    "backup_read",
    "backup_unknown",
    "backup_retry",
    "left_over",
    "loops",
    "loops_limit",
    "loops_detector",
    "loops_bomb",
    "virtual_zone",
    "virtual",
    "virtual_catch_all",
    "virtual_truth",
    "vouching_spf",
    "vouching_dkim",
    "vouching_dmarc",
    "vouching_apex",
    "relay_reach",
    "relay_smarthost",
    "relay_domain",
    "relay_verdict",
    "relay_puzzle",
    "tls_offer",
    "tls_submission",
    "tls_client",
    "tls_question",
    "tls_policy",
    "spam_blocklist",
    "spam_greylist",
    "spam_bayes",
    "spam_combination",
    "spam_choice",
)


def exercise(name: str, title: str) -> Callable[[J], J]:
    """Register the decorated function as the judge of an exercise. Raises ValueError for a name in use."""

    def register(judge: J) -> J:
        if name in _EXERCISES:
            raise ValueError(f"there are two exercises called {name!r}")
        _EXERCISES[name] = Exercise(name, title, judge)
        return judge

    return register


def exercises() -> tuple[Exercise, ...]:
    """All exercises, in the order of their tasks."""
    for task in _TASKS:
        import_module(f"labkit.teach.tasks.{task}")
    return tuple(_EXERCISES.values())


def check(name: str, of: object) -> CheckView:
    """Judge an exercise, by a world or by what was handed in, and show the verdict.

    Raises KeyError naming the exercises there are; WrongKind for something that is no world, if it judges one.
    """
    found = next((each for each in exercises() if each.name == name), None)
    if found is None:
        raise KeyError(f"no exercise {name!r}; there are: {', '.join(each.name for each in exercises())}")
    if _judges_a_world(found.judge):
        expect(of, World, f"check({name!r}, world)")
    return CheckView(found, found.judge(of))


def _judges_a_world(judge: Judge) -> bool:
    """By what it says of its argument; what judges something else says itself what is missing."""
    (what,) = inspect.signature(judge, eval_str=True).parameters.values()
    return what.annotation is World


class CheckView(View):
    """A verdict, with its evidence."""

    _SIGN = {Progress.NOT_ATTEMPTED: "○", Progress.NOT_YET: "…", Progress.DONE: "✓"}  # noqa: RUF012
    _COLOUR = {  # noqa: RUF012
        Progress.NOT_ATTEMPTED: "#5f6b7a",
        Progress.NOT_YET: "#9a4d00",
        Progress.DONE: "#00694e",
    }

    def __init__(self, found: Exercise, verdict: Verdict) -> None:
        self.exercise = found
        self.verdict = verdict

    @property
    def progress(self) -> Progress:
        return self.verdict.progress

    @property
    def _rows(self) -> list[tuple[str, str, str]]:
        return [
            (log_date(e.at) if e.at else "", e.where, e.what)
            if isinstance(e, Seen)
            else (log_date(e.at), e.host, in_words(e))
            for e in self.verdict.evidence
        ]

    def html(self) -> Markup:
        badge = f"color:white; background:{self._COLOUR[self.progress]}; padding:1px 8px; border-radius:9px"
        label = f"{self._SIGN[self.progress]} {self.progress.value}"
        lines = [tag("li", f"{at} {where}: {what}".strip()) for at, where, what in self._rows]
        return tag(
            "div",
            tag("p", tag("span", label, style=badge), " ", tag("b", self.exercise.title)),
            tag("p", self.verdict.words),
            tag("ul", *lines) if lines else None,
            role="status",
        )

    def text(self) -> str:
        head = f"[{self.progress.value}] {self.exercise.title}\n{self.verdict.words}"
        if not self.verdict.evidence:
            return head
        columns, rows = ("lab time", "where", "evidence"), self._rows
        if not any(at for at, _, _ in rows):
            return f"{head}\n{text_table(columns[1:], [row[1:] for row in rows])}"
        return f"{head}\n{text_table(columns, rows)}"
