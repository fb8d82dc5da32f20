"""The exercise of the tour: the model answer passes, and each typical mistake gets its hint."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from labkit.lab.world import World, partners
from labkit.teach.checks import Progress, check, done, exercises
from labkit.teach.show import show

BOB, ANN = "bob@st2.sne21.test", "ann@st11.sne21.test"
Act = Callable[[World], Awaitable[object]]


async def _after(act: Act) -> tuple[Progress, str]:
    async with partners(network="memory", alongside=True) as world:
        await world.laptop.send(BOB, "Lunch?", "The tour's own message.\n")
        await act(world)
        view = check("blind copy", world)
        return view.progress, view.verdict.words


async def _nothing(world: World) -> None:
    pass


async def _two_messages(world: World) -> None:
    await world.laptop.send(BOB, "Hello", "x\n")
    await world.laptop.send(ANN, "Hello", "x\n", header_to=BOB)


async def _refused(world: World) -> None:
    await world.laptop.send([BOB, "anne@st11.sne21.test"], "Hello", "x\n", header_to=BOB)


async def _typed_a_refusal(world: World) -> None:
    session = world.partner.open_session(world.laptop)
    for line in ("EHLO laptop", "MAIL FROM:<ann@st11.sne21.test>", "RCPT TO:<carol@elsewhere.test>"):
        await session.type(line)


async def _carbon_copy_then(world: World, *recipients: str) -> None:
    await world.laptop.send([BOB, ANN], "Hello", "x\n")
    await world.laptop.send(list(recipients), "Hello", "x\n", header_to=BOB)


@pytest.mark.parametrize(
    "act, progress, words, because",
    [
        (_nothing, Progress.NOT_ATTEMPTED, "Send one message", "the tour's own message does not count"),
        (_typed_a_refusal, Progress.NOT_ATTEMPTED, "Send one message", "nor does what was typed by hand"),
        (
            lambda w: w.laptop.send([BOB, ANN], "Hello", "x\n", header_to=BOB),
            Progress.DONE,
            "The envelope named two",
            "the model answer",
        ),
        (
            lambda w: w.laptop.send([ANN, BOB], "Hello", "x\n", header_to="friends@example.test"),
            Progress.NOT_YET,
            "its To: says friends@example.test",
            "Bob shall be named",
        ),
        (
            lambda w: w.laptop.send([ANN, BOB], "Hello", "x\n", header_to=ANN),
            Progress.NOT_YET,
            f"its To: says {ANN}",
            "the wrong one is named",
        ),
        (
            lambda w: w.laptop.send([BOB, ANN], "Hello", "x\n"),
            Progress.NOT_YET,
            f"its To: says {BOB}, {ANN}",
            "a carbon copy, not a blind one",
        ),
        (
            lambda w: w.laptop.send(BOB, "Hello", "x\n"),
            Progress.NOT_YET,
            f"reached only {BOB}. Give both",
            "Ann is missing",
        ),
        (_two_messages, Progress.NOT_YET, "Two messages are not one", "two messages"),
        (_refused, Progress.NOT_YET, "anne@st11.sne21.test, and that address failed", "a misspelt recipient"),
        (
            lambda w: _carbon_copy_then(w, BOB, "ann@st11.sne21.tset"),
            Progress.NOT_YET,
            "ann@st11.sne21.tset, and that address failed",
            "the newest attempt counts, not the carbon copy before it",
        ),
        (
            lambda w: _carbon_copy_then(w, BOB, ANN),
            Progress.DONE,
            "The envelope named two",
            "an earlier mistake is forgiven",
        ),
    ],
)
def test_blind_copy(act: Act, progress: Progress, words: str, because: str) -> None:
    found, said = asyncio.run(_after(act))
    assert found is progress, because
    assert words in said, because


def test_a_report_in_anns_mailbox_is_no_copy() -> None:
    async def bounced(world: World) -> None:
        await world.laptop.send("zoe@st2.sne21.test", "Hello", "x\n")
        assert world.mine.mailbox("ann"), "the report came back"

    progress, words = asyncio.run(_after(bounced))
    assert progress is Progress.NOT_YET
    assert "zoe@st2.sne21.test" in words


def test_a_message_that_still_waits() -> None:
    async def waits(world: World) -> None:
        await world.mine.stop()
        await world.mine.start(queue_only=True)
        await world.laptop.send([BOB, ANN], "Hello", "x\n", header_to=BOB)

    progress, words = asyncio.run(_after(waits))
    assert progress is Progress.NOT_YET
    assert "queue" in words


def test_done_needs_evidence() -> None:
    with pytest.raises(ValueError, match="name the events"):
        done("because I say so", [])


def test_an_unknown_exercise_names_the_known() -> None:
    with pytest.raises(KeyError, match="blind copy"):
        check("no such", None)  # type: ignore[arg-type]
    assert "blind copy" in [each.name for each in exercises()]


def test_what_a_message_says_is_shown_inert() -> None:
    async def hostile() -> str:
        async with partners(network="memory", alongside=True) as world:
            await world.laptop.send([BOB, ANN], "<script>alert(1)</script>", "<img onerror=x>\n")
            letter = world.mine.mailbox("ann")[-1]
            pages = [show(world), show(letter), show(world.journey(letter)), check("blind copy", world)]
            return "".join(str(page.html()) for page in pages)

    shown = asyncio.run(hostile())
    assert "&lt;script&gt;alert(1)" in shown
    assert "&lt;img onerror" in shown
    assert "<script" not in shown
    assert "<img" not in shown
