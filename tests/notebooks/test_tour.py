"""The twin of notebook 00: the facts it teaches, so that running it anew cannot bless a mistake."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from labkit.lab.world import World, partners
from labkit.mail.event import EventKind
from labkit.routing.routers import RouteOutcome

BOB = "bob@st2.sne21.test"


@pytest.fixture(params=["loopback", "memory"])
def tour(request: pytest.FixtureRequest) -> Callable[[Callable[[World], Awaitable[None]]], None]:
    def run(steps: Callable[[World], Awaitable[None]]) -> None:
        async def go() -> None:
            async with partners(network=request.param, alongside=True) as world:
                await steps(world)

        asyncio.run(go())

    return run


def test_the_ten_steps(tour: Callable[[Callable[[World], Awaitable[None]]], None]) -> None:
    async def steps(world: World) -> None:
        letter = world.laptop.compose(BOB, "Lunch?", "Dear Bob,\n")
        assert [field.name for field in letter.header_fields] == [
            "From",
            "To",
            "Subject",
            "Date",
            "Message-ID",
        ]

        await world.mine.stop()
        await world.mine.start(queue_only=True)
        sent = await world.laptop.send(BOB, message=letter)
        said = [line.text for line in sent.conversation.exchanges]
        assert sum(BOB in line for line in said) == 1, "the envelope names Bob once"
        assert BOB in (letter.first("To") or ""), "and the header once"
        assert said[0].startswith("220 "), "the server speaks first"
        assert said[-3].startswith("250 OK id="), "responsibility is the answer to the dot"

        assert [item.queue_id for item in world.mine.queue] == [sent.queue_id], "taken, and not delivered"
        assert world.partner.mailbox("bob") == []
        entry = world.mine.spool_entry(sent.queue_id or "")
        assert f"\n{BOB}\n" in entry.envelope_file
        assert "Dear Bob," in entry.body_file

        assert (await world.mine.route(BOB)).first.router == "others"
        assert (await world.mine.route("ann@st11.sne21.test")).first.router == "ours"
        assert (await world.mine.route("nobody@st11.sne21.test")).outcome is RouteOutcome.FAILED

        await world.mine.run_queue()
        kinds = [e.kind for e in world.journal.facts() if e.host == world.mine.name and e.queue_id]
        assert kinds == [EventKind.RECEIVED, EventKind.DELIVERED, EventKind.COMPLETED], (
            "three lines in the log"
        )

        second = world.partner.conversations()[0]
        assert second.client_name == world.mine.name
        assert "250-PIPELINING" in [line.text for line in second.exchanges]

        (arrived,) = world.partner.mailbox("bob")
        names = [field.name for field in arrived.header_fields]
        assert names == [
            *("Return-path", "Envelope-to", "Delivery-date", "Received", "Received"),
            *("From", "To", "Subject", "Date", "Message-ID"),
        ]
        trace = [field.value for field in arrived.all("Received")]
        assert "by mx2.st2.sne21.test" in trace[0]
        assert "by mx2.st11.sne21.test" in trace[1]
        assert arrived.header_fields[5:] == letter.header_fields, "Ann's own fields, unchanged"
        assert arrived.body == letter.body

        order = [(e.host, e.kind) for e in world.journey(letter).events]
        assert order.index((world.partner.name, EventKind.RECEIVED)) < order.index(
            (world.mine.name, EventKind.DELIVERED)
        ), "Bob's MTA takes responsibility before ours lets go"

    tour(steps)


def test_what_is_typed_by_hand(tour: Callable[[Callable[[World], Awaitable[None]]], None]) -> None:
    async def steps(world: World) -> None:
        session = world.partner.open_session(world.laptop)
        answers = {}
        for line in (
            "EHLO laptop.st11.sne21.test",
            "MAIL FROM:<ann@st11.sne21.test>",
            "RCPT TO:<nobody@st2.sne21.test>",
            "RCPT TO:<carol@elsewhere.test>",
            f"RCPT TO:<{BOB}>",
            "DATA",
            "Subject: by hand",
            "",
            "hello",
            ".",
        ):
            answers[line] = (await session.type(line))[-1].text
        assert answers["RCPT TO:<nobody@st2.sne21.test>"] == "550 Unrouteable address"
        assert answers["RCPT TO:<carol@elsewhere.test>"] == "550 relay not permitted"
        assert answers["."].startswith("250 OK id=")
        assert [m.first("Subject") for m in world.partner.mailbox("bob")] == ["by hand"]

    tour(steps)
