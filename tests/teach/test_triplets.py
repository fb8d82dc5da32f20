"""The greylist shown live: rows of the table and keys of `seen`, what they mean, and hostile rows."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Awaitable, Callable
from contextlib import closing

import pytest

from labkit.lab.solutions import Solution, defend
from labkit.lab.world import World
from labkit.mail.event import EventKind
from labkit.mail.plainly import SaidPlainly
from labkit.teach.views.triplets import FILE, MOST_ROWS, triplets_view

ANN = "ann@st11.sne21.test"
BOT = "bot.winner.test"
TABLE = """\
The greylist of mx2.st11.sne21.test, Mon 07 Sep 2026 09:20 lab time: 4 triplets
client         sender                recipient            first seen    next allowed  passed  count  age
-------------  --------------------  -------------------  ------------  ------------  ------  -----  ----------
198.18.22.1    grace@cloudpost.test  ann@st11.sne21.test  Mon 09:00:00  now           yes     2      20 minutes
203.0.113.2    bob@st2.sne21.test    ann@st11.sne21.test  Mon 09:00:00  now           yes     2      20 minutes
198.18.23.1    grace@cloudpost.test  ann@st11.sne21.test  Mon 09:10:00  now           no      1      10 minutes
198.18.100.61  prize@winner.test     ann@st11.sne21.test  Mon 09:00:00  now           no      1      20 minutes"""


def told(story: Callable[[World], Awaitable[None]], network: str = "memory", engine: str = "labkit") -> None:
    async def run() -> None:
        async with World.open("spam", network=network, engine=engine, alongside=True) as world:
            await story(world)

    asyncio.run(asyncio.wait_for(run(), 60))


async def a_morning(world: World) -> None:
    await world.laptops[BOT].send(ANN, "hi", "there")
    await world.laptops["out1.cloudpost.test"].send(ANN, "hi", "there")
    await world.partner_laptop.send(ANN, "hello", "there")
    await world.advance(minutes=10)
    await world.laptops["out2.cloudpost.test"].send(ANN, "hi", "there")
    await world.advance(minutes=10)
    await world.laptops["out1.cloudpost.test"].send(ANN, "hi", "there")


@pytest.mark.parametrize(
    "network, engine",
    [("memory", "labkit"), pytest.param("loopback", "exim", marks=pytest.mark.needs("exim", "gcc"))],
)
def test_the_table_on_both_engines(network: str, engine: str) -> None:
    async def story(world: World) -> None:
        await defend(world, "greylist_sqlite")
        view = triplets_view(world)
        assert view.text().startswith("The greylist is empty")
        await a_morning(world)
        assert view.text().startswith(TABLE)
        assert ("hints file" in view.text()) is (engine == "exim")
        assert "198.18.100.61" in str(view.html())
        assert len(world.mine.mailbox("ann")) == 2

    told(story, network, engine)


def test_what_seen_remembers() -> None:
    async def story(world: World) -> None:
        await defend(world, "greylist_seen")
        await world.laptops[BOT].send(ANN, "hi", "there")
        (caption, head, (row,)) = triplets_view(world).parts()[0]
        assert caption == "What `seen` of mx2.st11.sne21.test remembers: 1 keys"
        assert row == (f"198.18.100.61_prize@winner.test_{ANN}", "Mon 09:00:00", "Mon 09:05:00", "0 seconds")
        assert len(head) == len(row)

    told(story)


def test_it_follows_the_world() -> None:
    async def story(world: World) -> None:
        await defend(world, "greylist_sqlite")
        view = triplets_view(world)
        assert view.state()["tables"] == []
        assert view.widget.state["tables"] == []
        await world.laptops[BOT].send(ANN, "hi", "there")
        await asyncio.sleep(0.3)
        (table,) = view.widget.state["tables"]
        assert table["rows"][0][0] == "198.18.100.61"
        assert world.journal.where(EventKind.DIALOGUE)

    told(story)


@pytest.mark.parametrize(
    "name, first",
    [("greylist_sqlite", "198.18.100.61"), ("greylist_seen", f"198.18.100.61_prize@winner.test_{ANN}")],
)
def test_what_was_there_stays_in_view(name: str, first: str) -> None:
    """The lab is stopped, and its disks are gone: a reader who scrolls back must not read that nobody was put off."""
    views = []

    async def story(world: World) -> None:
        await defend(world, name)
        views.append(triplets_view(world))
        assert "nobody was put off yet" in views[0].text()
        await world.laptops[BOT].send(ANN, "hi", "there")

    told(story)
    (view,) = views
    state = view.state()
    assert not state["running"] and not view.world.is_running
    assert state["tables"][0]["rows"][0][0] == first and state["ending"] == ""
    late = triplets_view(view.world, view._host)
    assert (
        late.text()
        == "The lab is stopped, and its disks are gone: nothing was read from the greylist before."
    )


def test_hostile_and_many_rows() -> None:
    """Whatever stands in the file: nothing is run, nothing is long, nothing fails."""

    async def story(world: World) -> None:
        path = world.mine.path(FILE)
        path.parent.mkdir(parents=True, exist_ok=True)
        with closing(sqlite3.connect(path)) as base:
            base.execute("CREATE TABLE greylist(client, sender, recipient, first, last, passed, count)")
            evil = "<script>alert(1)</script>\x1b[2J" + "x" * 10_000
            rows = [
                (evil, b"\xff\xfe", None, first, 1e30, "yes", evil) for first in (1e300, "soon", None, -1e12)
            ]
            base.executemany("INSERT INTO greylist VALUES(?,?,?,?,?,?,?)", rows)
            more = [(str(n), "s", "r", n, n, 0, 1) for n in range(1000)]
            base.executemany("INSERT INTO greylist VALUES(?,?,?,?,?,?,?)", more)
            base.commit()
        view = triplets_view(world)
        page = str(view.html())
        assert "<script" not in page
        assert "\x1b" not in page + view.text()
        cells = [cell for part in view.state()["tables"] for row in part["rows"] for cell in row]
        assert not any("\x1b" in cell or len(cell) > 200 for cell in cells), "the script gets the same"
        assert sum("alert(1)" in cell for cell in cells) == 2 * 4
        assert len(page) < 40_000
        assert f"1,004 triplets, the last {MOST_ROWS} of them" in view.text()
        path.write_bytes(b"no database at all")
        assert view.text().startswith("The greylist is empty")

    told(story)


def test_what_it_is_not_given() -> None:
    with pytest.raises((SaidPlainly, TypeError)):
        triplets_view("world")  # type: ignore[arg-type]


def test_a_piece_that_cannot_be_read_leaves_the_host_as_it_was() -> None:
    async def story(world: World) -> None:
        before = world.mine.configuration
        with pytest.raises(ValueError, match="dnslsts"):
            await defend(world, Solution("mine", "  deny dnslsts = bl.test\n"))
        assert world.mine.configuration == before
        sent = await world.laptops[BOT].send(ANN, "hi", "there")
        assert sent.queue_id is not None

    told(story)
