"""The greylists of data/solutions and addresses that were made to hurt them: on labkit, and on the real Exim."""

from __future__ import annotations

import asyncio
import socket
import sqlite3
from contextlib import closing

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
    f"{'p' * 240}@x.test",
    "",
)


def heard(world: World, senders: tuple[str, ...]) -> list[str]:
    """What each of them hears to RCPT, in a connection of its own."""
    return [_heard(world, sender) for sender in senders]


def _heard(world: World, sender: str) -> str:
    here = (world.real(world.scenario.callers[0], 0)[0], 0)
    with socket.create_connection(world.real(ADDRESS, 25), 20, here) as call, call.makefile("rwb") as lines:
        said = lines.readline()
        for command in ("HELO c.test", f"MAIL FROM:<{sender}>", f"RCPT TO:<ann@{OWN}>", "QUIT"):
            if not said.startswith(b"2"):
                break
            lines.write(f"{command}\r\n".encode())
            lines.flush()
            if command == "QUIT":
                break
            said = lines.readline()
    return said.decode().strip()


def rows(world: World) -> dict[str, int]:
    """The senders in the table, and how often each came."""
    (host,) = world.hosts.values()
    with closing(sqlite3.connect(host.path("/var/spool/exim/greylist.db"))) as database:
        return dict(database.execute("SELECT sender, count FROM greylist"))


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
