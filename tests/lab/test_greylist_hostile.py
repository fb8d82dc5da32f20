"""Greylists and HELO checks of data/solutions, and words that were made to hurt them: on labkit and the real Exim."""

from __future__ import annotations

import asyncio
import re
import socket
import sqlite3
from contextlib import closing
from dataclasses import replace

import pytest

from labkit.lab.solutions import solution
from labkit.lab.traffic import ADDRESS, stream_scenario
from labkit.lab.world import World

OWN = "st11.sne21.test"
SENDERS = (
    "a/b@x.test",
    "/defer_ok/@x.test",
    "o'hara@x.test",
    "''@x.test",
    '"a\\\\\'b"@x.test',
    "\"a' OR '1'='1\"@x.test",
    "\"x','','',0,0,1,99);DELETE FROM greylist;--\"@x.test",
    '"a b"@x.test',
    "${if!eq{a}{b}}@x.test",
    "$sender_host_address@x.test",
    '"a : b ; c"@x.test',
    '"a\\\\"@x.test',
    f"{'p' * 230}@x.test",
    "",
)


EVERYBODY = f"""
everybody:
  driver = redirect
  data   = ann@{OWN}
begin transports"""
RECIPIENTS = (*(sender.replace("x.test", OWN) for sender in SENDERS if sender), f"ANN@{OWN.upper()}")
PLEASED, NO_NAME = "250 mx2.st11.sne21.test Hello ", "550 an address is no name: say "
REFUSED = "550 you are not mx2.st11.sne21.test"
SYNTAX = "501 Syntactically invalid HELO argument(s)"
HELOS = {
    "c.test": PLEASED,
    "mx2.st11.sne21.test": REFUSED,
    "MX2.St11.sne21.TEST": REFUSED,
    "mx2.st11.sne21.test.": PLEASED,  # another name: Exim takes the dot for a part of it
    "203.0.113.11": NO_NAME + "[203.0.113.11], or your name",
    "[203.0.113.11]": PLEASED,
    "0x7f.0.0.1": PLEASED,
    "$primary_hostname": SYNTAX,
    "${if eq{a}{a}}": SYNTAX,
    "x';DROP": SYNTAX,
    "a{b}": SYNTAX,
    "c\xff.test": SYNTAX,
    "": SYNTAX,
}


def heard(world: World, senders: tuple[str, ...], recipients: tuple[str, ...] = (f"ann@{OWN}",)) -> list[str]:
    """What each sender hears to RCPT for each recipient, in a connection of its own."""
    return [
        asked(world, "HELO c.test", f"MAIL FROM:<{sender}>", f"RCPT TO:<{recipient}>")
        for sender in senders
        for recipient in recipients
    ]


def plain(recipient: str) -> str:
    """As $local_part@$domain has it."""
    local_part, _, domain = recipient.rpartition("@")
    if local_part.startswith('"'):
        local_part = re.sub(r"\\(.)", r"\1", local_part[1:-1])
    return f"{local_part}@{domain}".lower()


def asked(world: World, *commands: str) -> str:
    """The last reply, or the first one that is no consent."""
    here = (world.real(world.scenario.callers[0], 0)[0], 0)
    with socket.create_connection(world.real(ADDRESS, 25), 20, here) as call, call.makefile("rwb") as lines:
        said = lines.readline()
        for command in commands:
            if not said.startswith(b"2"):
                return said.decode().strip()
            lines.write(f"{command}\r\n".encode("latin-1"))
            lines.flush()
            said = lines.readline()
        lines.write(b"QUIT\r\n")
    return said.decode().strip()


def rows(world: World, name: str = "sender") -> dict[str, int]:
    """The senders in the table (or the recipients), and how often each came."""
    (host,) = world.hosts.values()
    with closing(sqlite3.connect(host.path("/var/spool/exim/greylist.db"))) as database:
        return dict(database.execute(f"SELECT {name}, count FROM greylist"))


@pytest.mark.parametrize("engine", ["labkit", pytest.param("exim", marks=pytest.mark.needs("exim", "gcc"))])
@pytest.mark.parametrize("name", ["greylist_seen", "greylist_sqlite", "greylist_network"])
def test_every_address_is_put_off_once(name: str, engine: str) -> None:
    """The first time each must come again, and then each may pass: none breaks out of its place."""

    async def story() -> tuple[list[str], list[str], dict[str, int]]:
        scenario = stream_scenario(solution(name))
        async with World(scenario, network="loopback", queue_interval=None, engine=engine) as world:
            first = await asyncio.to_thread(heard, world, SENDERS)
            await world.advance(minutes=10)
            again = await asyncio.to_thread(heard, world, SENDERS)
            return first, again, {} if name == "greylist_seen" else rows(world)

    first, again, kept = asyncio.run(story())
    assert first == ["451 greylisted: try again in five minutes"] * len(SENDERS)
    assert again == ["250 Accepted"] * len(SENDERS)
    if kept:
        assert set(kept) == set(SENDERS)
        assert set(kept.values()) <= {1, 2}, "a network that passed twice is not counted again"


@pytest.mark.parametrize("engine", ["labkit", pytest.param("exim", marks=pytest.mark.needs("exim", "gcc"))])
@pytest.mark.parametrize("name", ["greylist_seen", "greylist_sqlite", "greylist_network"])
def test_every_recipient_is_put_off_once(name: str, engine: str) -> None:
    """A host that takes mail for any local part: the other half of the triplet is the client's to choose, too."""

    async def story() -> tuple[list[str], list[str], dict[str, int]]:
        scenario = stream_scenario(solution(name))
        (host,) = scenario.hosts
        catching = replace(host, configuration=host.configuration.replace("\nbegin transports", EVERYBODY))
        scenario = replace(scenario, hosts=(catching,))
        async with World(scenario, network="loopback", queue_interval=None, engine=engine) as world:
            first = await asyncio.to_thread(heard, world, ("good@x.test",), RECIPIENTS)
            await world.advance(minutes=10)
            again = await asyncio.to_thread(heard, world, ("good@x.test",), RECIPIENTS)
            return first, again, {} if name == "greylist_seen" else rows(world, "recipient")

    first, again, kept = asyncio.run(story())
    assert first == ["451 greylisted: try again in five minutes"] * len(RECIPIENTS)
    assert again == ["250 Accepted"] * len(RECIPIENTS)
    if kept:
        assert set(kept) == {plain(each) for each in RECIPIENTS}, "$local_part is bare, and in small letters"
        assert set(kept.values()) <= {1, 2}


@pytest.mark.parametrize("engine", ["labkit", pytest.param("exim", marks=pytest.mark.needs("exim", "gcc"))])
def test_what_a_client_may_call_itself(engine: str) -> None:
    """The HELO checks compare what was said, and expand none of it."""

    async def story() -> dict[str, str]:
        scenario = stream_scenario(solution("helo"))
        async with World(scenario, network="loopback", queue_interval=None, engine=engine) as world:
            return {name: await asyncio.to_thread(asked, world, f"HELO {name}") for name in HELOS}

    found = asyncio.run(story())
    assert {name: said[: len(HELOS[name])] for name, said in found.items()} == HELOS


@pytest.mark.parametrize("name", ["greylist_sqlite", "greylist_network"])
def test_who_never_comes_again_is_forgotten(name: str) -> None:
    """A day later; who passed is remembered. Else whoever makes up senders fills the disk."""

    async def story() -> dict[str, int]:
        async with World(stream_scenario(solution(name)), network="loopback", queue_interval=None) as world:
            await asyncio.to_thread(heard, world, ("good@x.test", *(f"v{n}@x.test" for n in range(20))))
            await world.advance(minutes=10)
            await asyncio.to_thread(heard, world, ("good@x.test",))
            await world.advance(hours=30)
            await asyncio.to_thread(heard, world, ("new@x.test",))
            return rows(world)

    assert asyncio.run(story()) == {"good@x.test": 2, "new@x.test": 1}
