"""The list of stories: each registers itself, with what is known about it on labkit's own MTA.

READ NEXT  test_differential.py
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from .stage import Lab

Tell = Callable[[Lab], Awaitable[None]]


@dataclass(frozen=True)
class Story:
    """`lacks`: what labkit's MTA does not have yet; the story then ends there with `raises`, whose text has `word`.
    `differs`: a real difference between the outcomes, described; `differs_in`: how the names of the sections begin in
    which it may show. `is_long`: the story is begun before the others.
    """

    name: str
    tell: Tell
    lacks: str = ""
    raises: type[BaseException] = AssertionError
    word: str = ""
    differs: str = ""
    differs_in: tuple[str, ...] = ()
    is_long: bool = False


STORIES: dict[str, Story] = {}


def story(
    lacks: str = "",
    raises: type[BaseException] = AssertionError,
    word: str = "",
    differs: str = "",
    differs_in: tuple[str, ...] = (),
    is_long: bool = False,
) -> Callable[[Tell], Tell]:
    """Register a story under the name of its function."""

    def register(tell: Tell) -> Tell:
        name = tell.__name__
        assert name not in STORIES
        STORIES[name] = Story(name, tell, lacks, raises, word, differs, differs_in, is_long)
        return tell

    return register
