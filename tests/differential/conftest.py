"""Runs the stories: all that the chosen tests need, several at a time, once."""

from __future__ import annotations

import asyncio
import gc
import warnings
from collections.abc import Callable
from pathlib import Path
from types import TracebackType

import pytest

from labkit.lab.engine import DoubtfulConfiguration

from .certificates import Authority
from .outcome import Outcome
from .stage import Lab
from .story import STORIES

for _file in Path(__file__).parent.glob("stories_*.py"):
    pytest.register_assert_rewrite(f"{__package__}.{_file.stem}")

AT_ONCE = 4  # worlds; much of their time they wait
LONGEST = 60  # seconds of real time for one story

Saw = Callable[[str, str], Outcome]


class Runs:
    """The outcomes of stories, by story and engine."""

    def __init__(self) -> None:
        self._done: dict[tuple[str, str], Outcome | BaseException] = {}
        self._where: dict[tuple[str, str], TracebackType | None] = {}
        self._authority = Authority()

    def run(self, wanted: set[tuple[str, str]]) -> None:
        gc.collect()
        gc.freeze()  # what pytest has loaded is no garbage: a round of the collector takes a millisecond then
        with warnings.catch_warnings():  # whichever test comes first runs the stories of all
            warnings.simplefilter("ignore", DoubtfulConfiguration)
            asyncio.run(self._run(sorted(wanted, key=lambda pair: (not STORIES[pair[0]].is_long, pair))))
        gc.unfreeze()

    async def _run(self, wanted: list[tuple[str, str]]) -> None:
        places = asyncio.Semaphore(AT_ONCE)

        async def one(name: str, engine: str) -> None:
            async with places:
                lab = Lab(engine, self._authority)
                try:
                    await asyncio.wait_for(STORIES[name].tell(lab), LONGEST)
                    self._done[name, engine] = lab.outcome
                except (Exception, pytest.skip.Exception) as problem:
                    self._done[name, engine] = problem
                    self._where[name, engine] = problem.__traceback__

        await asyncio.gather(*(one(name, engine) for name, engine in wanted))

    def saw(self, name: str, engine: str) -> Outcome:
        """The outcome, or what the story raised."""
        if (name, engine) not in self._done:
            self.run({(name, engine)})
        done = self._done[name, engine]
        if isinstance(done, BaseException):
            raise done.with_traceback(self._where[name, engine])
        return done


@pytest.fixture(scope="session")
def saw(request: pytest.FixtureRequest) -> Saw:
    """`saw("local_delivery", "exim")`: the outcome of a story. The first call runs all that this session needs."""
    runs = Runs()
    wanted = {
        (str(item.callspec.params["name"]), engine)
        for item in request.session.items
        if isinstance(item, pytest.Function) and "saw" in item.fixturenames and hasattr(item, "callspec")
        if "name" in item.callspec.params
        for engine in getattr(item.function, "engines", ())
    }
    runs.run(wanted)
    return runs.saw
