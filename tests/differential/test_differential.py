"""The same stories on the real Exim and on labkit's own MTA, and their outcomes compared.

STORIES    stories_*.py; each asserts what must be true on any MTA. What labkit cannot do yet stands at the story, and
           the day it can, its strict xfail fails.
COMPARED   outcome.py: all that clients heard, all facts, queues and mailboxes, word for word.
MORE WAYS  labkit without a socket, where all is the same to the letter; worlds in which both engines meet, where the
           story's own assertions hold.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from .outcome import Outcome, compared, differences
from .stage import NotThisWay
from .stories import STORIES, Story

# what is doubtful about a configuration may be what a story is about
pytestmark = pytest.mark.filterwarnings("ignore::labkit.lab.engine.DoubtfulConfiguration")

Saw = Callable[[str, str], Outcome]


class NotTheReason(Exception):
    """A story fails on labkit, or differs, in another way than the story says: xfail does not cover it."""


NEEDED = pytest.mark.needs("exim", "gcc")


def engines(*names: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Say which engines a test needs, so that all stories can be told at once."""

    def mark(test: Callable[..., Any]) -> Callable[..., Any]:
        test.engines = names  # type: ignore[attr-defined]
        return test

    return mark


def stories(reason: Callable[[Story], str]) -> list[Any]:
    """All stories; where there is a reason, the test is expected to fail."""
    rows = []
    for name, story in STORIES.items():
        raises = story.raises if story.lacks else AssertionError
        marks = [pytest.mark.xfail(reason=why, raises=raises, strict=True)] if (why := reason(story)) else []
        rows.append(pytest.param(name, marks=marks))
    return rows


def seen_on_labkit(name: str, saw: Saw) -> Outcome:
    """The outcome on labkit, or what the story raised there, which must be what it says."""
    story = STORIES[name]
    try:
        return saw(name, "labkit")
    except story.raises as problem:
        if story.word in str(problem):
            raise
        raise NotTheReason(f"{story.lacks}? {problem}") from problem


@NEEDED
@engines("exim")
@pytest.mark.parametrize("name", STORIES)
def test_on_the_real_exim(name: str, saw: Saw) -> None:
    assert saw(name, "exim").sections


@engines("labkit")
@pytest.mark.parametrize("name", stories(lambda story: story.lacks))
def test_on_labkit(name: str, saw: Saw) -> None:
    assert seen_on_labkit(name, saw).sections


@NEEDED
@engines("exim", "labkit")
@pytest.mark.parametrize("name", stories(lambda story: story.lacks or story.differs))
def test_both_alike(name: str, saw: Saw) -> None:
    exim, labkit = saw(name, "exim"), seen_on_labkit(name, saw)
    story = STORIES[name]
    more = [section for section in differences(exim, labkit) if not section.startswith(story.differs_in)]
    if story.differs and more:
        raise NotTheReason(f"{story.differs}; but also:\n{compared(exim, labkit)}")
    assert not compared(exim, labkit), compared(exim, labkit)


@engines("labkit", "in memory")
@pytest.mark.parametrize("name", stories(lambda story: story.lacks))
def test_the_same_in_memory(name: str, saw: Saw) -> None:
    """Without a socket the same happens, to the letter."""
    on_loopback = seen_on_labkit(name, saw)
    try:
        in_memory = saw(name, "in memory")
    except NotThisWay as why:
        pytest.skip(str(why))
    assert not compared(on_loopback, in_memory), compared(on_loopback, in_memory)


@NEEDED
@engines("labkit, then exim")
@pytest.mark.parametrize("name", [name for name, story in STORIES.items() if not story.lacks])
def test_labkit_meets_exim(name: str, saw: Saw) -> None:
    mixed(name, "labkit, then exim", saw)


@NEEDED
@engines("exim, then labkit")
@pytest.mark.parametrize("name", [name for name, story in STORIES.items() if not story.lacks])
def test_exim_meets_labkit(name: str, saw: Saw) -> None:
    mixed(name, "exim, then labkit", saw)


def mixed(name: str, way: str, saw: Saw) -> None:
    """What a story asserts holds in a world of both."""
    try:
        assert saw(name, way).sections
    except NotThisWay as why:
        pytest.skip(str(why))
