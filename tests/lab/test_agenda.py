"""The agenda: what is done when, in which order, and that nothing which goes wrong stops the rest."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from datetime import timedelta
from typing import Any

import pytest

from labkit.lab.agenda import Agenda
from labkit.lab.clock import FIRST_MORNING, Clock

HOUR = timedelta(hours=1)


class Day:
    """An agenda with a diary: every action notes its name and the hour when it was done."""

    def __init__(self) -> None:
        self.clock = Clock()
        self.problems: list[str] = []
        self.agenda = Agenda(self.clock, lambda what, problem: self.problems.append(f"{what}: {problem}"))
        self.done: list[str] = []

    @property
    def hour(self) -> float:
        return (self.clock.now - FIRST_MORNING) / HOUR

    def note(self, what: str) -> None:
        self.done.append(f"{self.hour:g} {what}")

    def plan(self, hour: float, what: str, *then: Callable[[], Awaitable[None]]) -> Any:
        async def action() -> None:
            self.note(what)
            for step in then:
                await step()

        return self.agenda.at(FIRST_MORNING + hour * HOUR, action, what)

    def sleeps(self, hours: float, then: str) -> Callable[[], Awaitable[None]]:
        async def step() -> None:
            await self.agenda.sleep(hours * HOUR)
            self.note(then)

        return step

    async def pass_hours(self, hours: float) -> None:
        await self.agenda.run_until(self.clock.now + hours * HOUR)


def tell(story: Callable[[Day], Coroutine[Any, Any, None]]) -> Day:
    async def with_a_day() -> Day:
        day = Day()
        await asyncio.wait_for(story(day), 5)
        day.agenda.close()
        return day

    return asyncio.run(with_a_day())


def test_in_order_of_instants_then_of_writing() -> None:
    async def story(day: Day) -> None:
        for hour, what in [(2, "c"), (1, "a"), (2, "d"), (1, "b"), (9, "too late")]:
            day.plan(hour, what)
        assert [what for _, what in day.agenda.upcoming] == ["a", "b", "c", "d", "too late"]
        await day.pass_hours(8)
        assert day.hour == 8
        assert [what for _, what in day.agenda.upcoming] == ["too late"]

    assert tell(story).done == ["1 a", "1 b", "2 c", "2 d"]


def test_what_is_past_counts_as_now() -> None:
    async def story(day: Day) -> None:
        await day.pass_hours(3)
        day.plan(1, "late")
        await day.agenda.carry_out_due()

    assert tell(story).done == ["3 late"]


def test_what_is_done_may_plan_more() -> None:
    async def story(day: Day) -> None:
        async def more() -> None:
            day.plan(1, "at once")
            day.plan(2, "later")

        day.plan(1, "first", more)
        day.plan(1, "second")
        await day.pass_hours(2)

    assert tell(story).done == ["1 first", "1 second", "1 at once", "2 later"]


def test_cancelled_entries_are_passed_over() -> None:
    async def story(day: Day) -> None:
        first, second = day.plan(1, "first"), day.plan(2, "second")
        day.plan(3, "third")
        first.cancel()
        second.cancel()
        second.cancel()
        assert day.agenda.next_instant() == FIRST_MORNING + 3 * HOUR
        await day.pass_hours(4)

    assert tell(story).done == ["3 third"]


def test_parked_work_steps_aside() -> None:
    async def story(day: Day) -> None:
        day.plan(0, "sleeper", day.sleeps(2, "awake"), day.sleeps(1, "awake again"))
        day.plan(0, "neighbour")
        day.plan(2, "at the same instant, but written before it slept")
        day.plan(1, "between", day.sleeps(1, "also at 2"))
        await day.agenda.carry_out_due()
        assert day.done == ["0 sleeper", "0 neighbour"]
        assert day.agenda.upcoming[-1] == (FIRST_MORNING + 2 * HOUR, "somebody waits")
        await day.pass_hours(5)

    assert tell(story).done == [
        "0 sleeper",
        "0 neighbour",
        "1 between",
        "2 at the same instant, but written before it slept",
        "2 awake",
        "2 also at 2",
        "3 awake again",
    ]


def test_what_waits_for_the_loop_is_not_overtaken() -> None:
    """One thing at a time, however many turns of the loop it takes."""

    async def story(day: Day) -> None:
        async def dawdle() -> None:
            await asyncio.sleep(0.01)
            day.note("slow is done")

        day.plan(0, "slow", dawdle)
        day.plan(0, "quick")
        await day.agenda.carry_out_due()

    assert tell(story).done == ["0 slow", "0 slow is done", "0 quick"]


def test_outside_of_any_work_nobody_sleeps() -> None:
    async def story(day: Day) -> None:
        await day.agenda.sleep(HOUR)
        assert day.hour == 0
        assert day.agenda.upcoming == ()

    tell(story)


def test_a_mistake_stops_nothing_else() -> None:
    async def story(day: Day) -> None:
        async def fail() -> None:
            raise OSError("the disk is full")

        day.plan(1, "bad", fail)
        day.plan(1, "good")
        day.plan(2, "sleeper", day.sleeps(1, "awake"), fail)
        day.plan(3, "better")
        await day.pass_hours(4)
        assert day.problems == ["bad: the disk is full", "sleeper: the disk is full"]

    assert tell(story).done == ["1 bad", "1 good", "2 sleeper", "3 better", "3 awake"]


def test_a_sleeper_that_is_cancelled_is_not_woken() -> None:
    """A host that stops cancels the look-ups of its sessions; the clock must go on all the same."""

    async def story(day: Day) -> None:
        helpers: list[asyncio.Task[None]] = []

        async def through_a_helper() -> None:
            helpers.append(asyncio.create_task(day.sleeps(2, "never")()))
            await asyncio.wait(helpers)
            day.note("the helper was cancelled")

        day.plan(0, "asks", through_a_helper)
        day.plan(1, "between")
        await day.pass_hours(1)
        helpers[0].cancel()
        await asyncio.sleep(0.01)
        assert day.agenda.next_instant() is None
        day.plan(3, "after")
        await day.pass_hours(3)

    assert tell(story).done == ["0 asks", "1 between", "1 the helper was cancelled", "3 after"]


def test_attending_does_what_comes_by_itself() -> None:
    async def story(day: Day) -> None:
        attending = asyncio.create_task(day.agenda.attend())
        await asyncio.sleep(0)
        day.plan(0, "now")
        day.plan(1, "not yet")
        for _ in range(20):
            await asyncio.sleep(0)
        assert day.done == ["0 now"]
        attending.cancel()
        await asyncio.gather(attending, return_exceptions=True)

    tell(story)


def test_who_holds_the_agenda_is_not_interrupted() -> None:
    async def story(day: Day) -> None:
        attending = asyncio.create_task(day.agenda.attend())
        async with day.agenda.hold():
            day.plan(0, "delivery")
            await asyncio.sleep(0.01)
            day.note("conversation over")
        await day.agenda.carry_out_due()

        async def talk() -> None:
            async with day.agenda.hold():
                day.note("work that holds the agenda itself")

        day.plan(0, "talker", talk)
        await day.agenda.carry_out_due()
        attending.cancel()
        await asyncio.gather(attending, return_exceptions=True)

    assert tell(story).done == [
        "0 conversation over",
        "0 delivery",
        "0 talker",
        "0 work that holds the agenda itself",
    ]


def test_closing_ends_who_sleeps() -> None:
    async def story(day: Day) -> None:
        day.plan(0, "sleeper", day.sleeps(1, "never"))
        await day.agenda.carry_out_due()
        day.agenda.close()
        await asyncio.sleep(0.01)
        assert day.agenda.next_instant() is None
        assert len(asyncio.all_tasks()) == 2  # the story and who tells it

    assert tell(story).done == ["0 sleeper"]


def test_the_clock_never_goes_back() -> None:
    clock = Clock()
    clock.jump_to(FIRST_MORNING + HOUR)
    with pytest.raises(ValueError, match=r"cannot go back from Mon 10:00 to Mon 09:00"):
        clock.jump_to(FIRST_MORNING)
    with pytest.raises(ValueError, match="time zone"):
        Clock(FIRST_MORNING.replace(tzinfo=None))
