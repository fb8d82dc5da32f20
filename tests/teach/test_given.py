"""What is not what a check, a view or a picture wants: one sentence says so, and no traceback from the inside."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from labkit.lab.world import World, neighbours
from labkit.teach.checks import Progress, check, exercises
from labkit.teach.given import WrongKind, expect
from labkit.teach.plots import (
    hop_ladder,
    many_headers,
    message_life,
    predict_life,
    predict_schedule,
    queue_over_time,
)
from labkit.teach.plots.rounds import rounds
from labkit.teach.views.dissector import dissector
from labkit.teach.views.loop_limits import loop_limits
from labkit.teach.views.mailbox_files import mailboxes
from labkit.teach.views.old_and_new import old_and_new
from labkit.teach.views.reach import certificates, knocks
from labkit.teach.views.relay_console import relay_console
from labkit.teach.views.report_table import report_table
from labkit.teach.views.signatures import signatures
from labkit.teach.views.stepper_ready import step_dmarc, step_route, step_spf
from labkit.teach.views.truth_table import truth_table
from labkit.teach.views.waiting_room import host_says, remembers, who_waits
from labkit.teach.views.ways import ways

RULE = "* * F,2h,15m"


def in_a_world(act: Callable[[World], Any]) -> None:
    async def go() -> None:
        async with World.open("virtual_domains", network="memory", alongside=True) as world:
            found = act(world)
            if asyncio.iscoroutine(found):
                await found

    asyncio.run(go())


@pytest.mark.parametrize("of", [None, 5, "x", b"x", {}, [], {"world": None}, {None: 1}, object()])
def test_no_exercise_stumbles_over_what_it_is_given(of: object) -> None:
    """One that wants a world says so; every other finds that nothing was attempted, or has a hint."""
    for each in exercises():
        try:
            found = check(each.name, of)
        except WrongKind as problem:
            if not str(problem).startswith(f"check({each.name!r}, world) wants a World there"):
                raise
        else:
            assert found.progress is not Progress.DONE and found.verdict.words


def test_await_is_named() -> None:
    async def opened() -> None: ...

    with pytest.raises(WrongKind, match="write `await` before it"):
        check("close the loop", opened())


def test_a_world_without_a_partner() -> None:
    async def go() -> None:
        async with neighbours("a.test", network="memory", alongside=True) as world:
            with pytest.raises(
                KeyError, match=r"no host in this world is the partner's; there are mx\.a\.test"
            ):
                check("close the loop", world)
            with pytest.raises(
                KeyError, match=r"no laptop in this world is the partner's; there are laptop\."
            ):
                check("wait and arrive", world)

    asyncio.run(go())


@pytest.mark.parametrize(
    "act",
    [
        lambda world: ways(world.mine),
        lambda world: ways(None),
        lambda world: mailboxes(world),
        lambda world: who_waits(world),
        lambda world: remembers(world),
        lambda world: host_says(world, world.laptop, ["NOOP"]),
        lambda world: truth_table(world, ["ann@st11.sne21.test"]),
        lambda world: truth_table(world.mine, None),
        lambda world: queue_over_time(world.mine, world.mine),
        lambda world: queue_over_time(world, None),
        lambda world: rounds(world, None),
        lambda world: message_life(world, 5),
        lambda world: predict_life(world, None, "0m"),
        lambda world: predict_schedule(RULE, None),
        lambda world: predict_schedule(RULE, 5),
        lambda world: loop_limits(5),
        lambda world: loop_limits([(5, 5)], 6),
        lambda world: step_route(world.laptop, "bob@st2.sne21.test"),
        lambda world: step_route(world.mine, None),
        lambda world: step_spf("203.0.113.2", "a.test", "x@a.test", world.mine),
        lambda world: step_dmarc("a.test", None, None, None),
        lambda world: step_dmarc(5, None, None, world),
        lambda world: dissector(b"From: a@b.test", "world"),
        lambda world: relay_console(world.mine),
        lambda world: report_table(None),
        lambda world: signatures(world, b"From: a@b.test"),
        lambda world: old_and_new(world, "v=DMARC1", "a.test"),
        lambda world: hop_ladder(world),
        lambda world: many_headers(5),
        lambda world: knocks(5),
        lambda world: certificates([world]),
    ],
)
def test_views_say_what_they_want(act: Callable[[World], Any]) -> None:
    with pytest.raises(WrongKind, match=r"wants a .* there, and this is a |by its queue id"):
        in_a_world(act)


@pytest.mark.parametrize("what", ["st2.sne21.test", None, 5])
def test_what_is_no_question(what: Any) -> None:
    with pytest.raises(TypeError, match="ask with a question, like TextOf"):
        in_a_world(lambda world: world.ask(what))


def test_one_recipient_and_one_command_are_no_letters() -> None:
    async def act(world: World) -> None:
        table = await truth_table(world.mine, "ann@st11.sne21.test")
        assert table.recipients == ("ann@st11.sne21.test",)
        assert (await host_says(world.mine, world.laptop, "EHLO x")).rows[0][0] == "EHLO x"

    in_a_world(act)


@pytest.mark.parametrize(
    "pairs, expected",
    [
        ([(30,)], ()),
        ([(1, 2, 3)], ()),
        ([("5", "5")], ()),
        ([(1.5, 2)], ()),
        ([(0, 5)], ()),
        ([(5, 101)], ()),
        ((5, 100), ()),
        ("55", ()),
        ([(5, 5)], ["6"]),
        ([(5, 5)], [6, 7]),
    ],
)
def test_no_limits(pairs: Any, expected: Any) -> None:
    with pytest.raises(ValueError, match=r"two whole numbers from 1 to 100|foretell a whole|are foretold"):
        asyncio.run(loop_limits(pairs, expected))


def test_the_smallest_limits() -> None:
    """The report is refused as well: it has two Received fields when it comes home."""
    (ended,) = asyncio.run(loop_limits([(1, 1)], [0])).ended
    assert (ended.arrivals, ended.host, ended.stamps) == (2, "mx2.st2.sne21.test", 2)


def test_what_is_right() -> None:
    expect(5, int, "f(5)")
