"""The relay's console: four tables in two forms, and nothing in them that a stranger could turn into a page."""

from __future__ import annotations

import asyncio

import pytest

from labkit import World
from labkit.lab.world import partners
from labkit.mail.envelope import Envelope
from labkit.mail.event import EventKind
from labkit.net.smtp_client import SmtpConnection
from labkit.net.tls_client import ClientTls
from labkit.teach.views.relay_console import MOST_EVENTS, TABS, relay_console
from labkit.teach.views.zone_cache import remembered

MINE, ANN, CAROL = "st11.sne21.test", "ann@st11.sne21.test", "carol@bigmail.test"
LOGIN = "AUTH PLAIN AHN0MTEAZHVtbXktMTEtZm9yLXRoZS1sYWI="


def opened(name: str = "relay") -> World:
    return World.open(name, network="memory", alongside=True)


async def hand_in(world: World, *recipients: str, message_id: str = "<one@test>") -> None:
    relay = world.relay.host
    client = await SmtpConnection.open(
        world.network, world.laptop.address, relay.address, 587, world.laptop.name
    )
    await client.start_tls(ClientTls())
    await client.say(LOGIN, "AUTH PLAIN *")
    text = f"From: {ANN}\r\nMessage-ID: {message_id}\r\nSubject: x\r\n\r\nx\r\n"
    for recipient in recipients:
        await client.send(Envelope.of(ANN, recipient), text.encode())
    await client.quit()
    await world.settle()


async def verified(world: World) -> None:
    lines = [record.line for record in world.relay.records(MINE)]
    world.write_zone("sne21.test", "\n".join([world.zone("sne21.test"), *lines, ""]))
    await world.relay.verify_domain(MINE)


def test_all_tabs() -> None:
    async def story() -> None:
        async with opened() as world:
            empty = relay_console(world).text()
            assert "Events: nothing has happened yet" in empty
            assert "not verified" in empty and "include:spf.relay.test" in empty
            await verified(world)
            await hand_in(world, CAROL, "x-550@bigmail.test", "x-550@bigmail.test")
            view = relay_console(world)
            text, page = view.text(), str(view.html())
            for words in (
                "accepted",
                "delivered",
                "bounced",
                "suppressed",
                "verified since 07 Sep",
                "550 as x-550",
            ):
                assert words in text, words
                assert words in page, words
            assert "st11     3                 50     47" in text
            assert repr(relay_console(world)) == text, "the same in every run"
            assert world.relay.events[0].queue_id in relay_console(world, "events").text()
            assert "Quota" not in relay_console(world, "events").text()
            one = relay_console(world, message_id="<one@test>").text()
            assert one.count("<one@test>") == 6
            assert "nothing has happened" in relay_console(world, message_id="<other@test>").text()
            assert set(TABS) == {tab for tab, _ in view.tabs}
            with pytest.raises(ValueError, match="there are events, domains"):
                relay_console(world, "logs")

    asyncio.run(story())


def test_what_strangers_write_is_text() -> None:
    async def story() -> None:
        async with opened() as world:
            await verified(world)
            evil = "<script>alert(1)</script>\u202egnp" + "x" * 5000
            await hand_in(world, CAROL, message_id=evil.replace("\u202e", ""))
            world.note(
                world.relay.host.name, EventKind.REJECTED, code=550, command="MAIL", sender=evil, text=evil
            )
            page, text = str(relay_console(world).html()), relay_console(world).text()
            assert "<script>" not in page and "&lt;script&gt;" in page
            assert "\u202e" not in text and "\u202e" not in page
            assert len(text) < 40_000
            for _ in range(MOST_EVENTS + 5):
                world.note(
                    world.relay.host.name, EventKind.REJECTED, code=550, command="MAIL", sender=ANN, text="x"
                )
            assert "older events are not shown" in relay_console(world, "events").text()
            assert "older events are not shown" in str(relay_console(world, "events").html())

    asyncio.run(story())


def test_no_relay_no_console() -> None:
    async def story() -> None:
        async with partners(network="memory", alongside=True) as world:
            with pytest.raises(LookupError, match="there is no relay in this world"):
                relay_console(world)

    asyncio.run(story())


def test_what_the_provider_remembers() -> None:
    """Its cache is the one that a corrected record has to wait for."""

    async def story() -> None:
        async with opened("vouching") as world:
            await world.mine.send(ANN, CAROL, f"From: {ANN}\n\nx\n")
            shown = remembered(world.provider.host).text()
            assert MINE in shown and "v=spf1" in shown and "300 s" in shown

    asyncio.run(story())
