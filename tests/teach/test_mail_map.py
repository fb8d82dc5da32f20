"""The mail map: where things stand, the steps, a loop, many events, hostile mail, both engines."""

from __future__ import annotations

import asyncio
import json
import time
from collections import Counter
from collections.abc import Coroutine
from typing import Any

import pytest

from labkit.lab.world import neighbours
from labkit.mail.envelope import Envelope
from labkit.mail.event import EventKind
from labkit.mail.message import with_crlf
from labkit.teach.trail import MOST_MESSAGES, MOST_STEPS
from labkit.teach.views.mail_map import MailMap, mail_map
from labkit.teach.views.mail_map_places import MOST_DOMAINS, MOST_HOSTS, drawing

from .mail_worlds import ANN, BOB, MINE, THEIRS, backup_world, loop_world

WAITS = """\
The mail of st11.sne21.test and st2.sne21.test, Mon 07 Sep 2026 09:00 lab time
host                 address       state  waiting
-------------------  ------------  -----  -------
mx2.st11.sne21.test  203.0.113.11  down   0
mx2.st2.sne21.test   203.0.113.2   up     1

Where DNS sends mail (MX)
mail for         preference  goes to
---------------  ----------  -------------------
st11.sne21.test  10          mx2.st11.sne21.test
st11.sne21.test  20          mx2.st2.sne21.test
st2.sne21.test   10          mx2.st2.sne21.test

Hops so far
from                   to                  times
---------------------  ------------------  -----
laptop.st2.sne21.test  mx2.st2.sne21.test  1

Messages
message  from                to                   subject  hops  now
-------  ------------------  -------------------  -------  ----  ---------------------------
1        bob@st2.sne21.test  ann@st11.sne21.test  Hello    1     waits at mx2.st2.sne21.test

The journey of message 1
lab time          host                what happened
----------------  ------------------  --------------------------------------------------------------
Mon 07 Sep 09:00  mx2.st2.sne21.test  received from laptop.st2.sne21.test [198.51.100.2], 385 octets
Mon 07 Sep 09:00  mx2.st2.sne21.test  deferred, ann@st11.sne21.test waits: Connection refused"""


def told(story: Coroutine[Any, Any, None]) -> None:
    asyncio.run(asyncio.wait_for(story, 60))


def ways(view: MailMap) -> dict[tuple[str, str], int]:
    """What the browser counts: the hops before the steps and those among them."""
    state = view.state()
    found = Counter({(source, target): count for source, target, count in state["before"]["hops"]})
    found.update((step["source"], step["target"]) for step in state["steps"] if step["source"])
    return dict(found)


def test_a_message_waits_and_arrives() -> None:
    async def story() -> None:
        async with await backup_world() as world:
            view = mail_map(world)
            await world.partner_laptop.send(ANN, "Hello", "Is anybody there?")
            assert [line.rstrip() for line in view.text().split("\n")] == WAITS.split("\n")
            html = str(view.html())
            assert "deferred, ann@st11.sne21.test waits: Connection refused" in html and "<td" in html
            assert [step["tried"] for step in view.state()["steps"][-2:]] == ["", MINE], "called in vain"
            await world.mine.start()
            await world.advance(hours=1)
            assert ways(view) == {("laptop.st2.sne21.test", THEIRS): 1, (THEIRS, MINE): 1}
            (message,) = view.state()["messages"]
            assert (message["hops"], message["ending"], message["turns"]) == (2, f"in a mailbox at {MINE}", 1)
            assert "put into the mailbox of ann" in view.text()

    told(story())


def test_a_loop_turns() -> None:
    async def story() -> None:
        async with await loop_world(limit=7) as world:
            view = mail_map(world)
            await world.laptop.send(BOB, "Round", "x")
            letter, report = view.state()["messages"]
            assert (letter["turns"], letter["hops"], letter["ending"]) == (4, 8, f"given up at {THEIRS}")
            assert report["sender"] == "<> (a report)" and report["turns"] > 1
            turns = [
                s["turn"] for s in view.state()["steps"] if s["kind"] == "received" and s["message"] == 1
            ]
            assert turns == [1, 1, 2, 2, 3, 3, 4, 4]
            assert "came to one host 4 times: a loop" in view.text()
            assert "steps are left out here" in view.text()

    told(story())


def test_copies_side_by_side_are_no_loop() -> None:
    """One message for two people, whom the router sends to the same host in two transactions."""

    async def story() -> None:
        async with neighbours("a.test", "b.test", network="memory") as world:
            text = world.mine.configuration
            world.mine.write_configuration(text.replace("driver = smtp", "driver = smtp\n  max_rcpt = 1"))
            await world.mine.reload()
            world.partner.add_account("second")
            content = "From: user@a.test\nTo: all\nSubject: two\nMessage-ID: <one@a.test>\n\nx\n"
            view = mail_map(world)
            envelope = Envelope.of("user@a.test", "user@b.test", "second@b.test")

            async def submit() -> None:
                await world.mine.engine.submit(envelope, with_crlf(content.encode()), "user")

            await world.do(submit, "a message for two")
            (message,) = view.state()["messages"]
            assert (message["hops"], message["turns"]) == (3, 1)
            assert ways(view) == {("mx.a.test", "mx.b.test"): 2}

    told(story())


def test_the_same_world_gives_the_same_map_and_nothing_overlaps() -> None:
    sizes = {
        "host": (212, 58),
        "laptop": (190, 28),
        "domain": (170, 28),
        "missing": (190, 30),
        "outside": (150, 30),
    }
    for count in (1, 2, 3, 4, 5, 6, 7, 12, 13, 200):
        world = neighbours(*(f"d{n}.test" for n in range(count)), network="memory", alongside=True)
        if count < 20:
            extra = "".join(f"x{n} IN MX 10 mx.d{n}.test.\nn{n} IN MX 0 .\n" for n in range(min(count, 3)))
            world.write_zone("d.test", ZONE.replace("mx.a", "mx.d0") + extra)
        drawn = drawing(world, (), True)
        assert drawn == drawing(world, (), True)
        asyncio.run(world.stop())
        hosts = [node for node in drawn.nodes if node.kind == "host"]
        assert len(hosts) == min(count, MOST_HOSTS)
        assert (f"{count - MOST_HOSTS:,} more hosts are not drawn" in drawn.left_out) == (count > MOST_HOSTS)
        for number, one in enumerate(drawn.nodes):
            (width, height) = sizes[one.kind]
            assert width / 2 <= one.x <= 960 - width / 2 and height / 2 <= one.y <= drawn.height - height / 2
            for other in drawn.nodes[:number]:
                apart = abs(one.x - other.x) >= (width + sizes[other.kind][0]) / 2
                assert apart or abs(one.y - other.y) >= (height + sizes[other.kind][1]) / 2, (
                    count,
                    one,
                    other,
                )


ZONE = """\
$TTL 3600
@ IN SOA ns.root. h.d.test. (1 7200 900 1209600 300)
  IN NS ns.root.
none IN MX 0 .
old  IN MX 5 Gone.d.test.
     IN MX 10 mx.a.test.
"""


def test_mx_records_of_all_kinds() -> None:
    async def story() -> None:
        async with neighbours("a.test", "b.test", network="memory") as world:
            world.write_zone("d.test", ZONE)
            assert [(domain, mx.preference, mx.exchange) for domain, mx in world.zones.mx_records()] == [
                ("a.test", 10, "mx.a.test"),
                ("b.test", 10, "mx.b.test"),
                ("none.d.test", 0, "."),
                ("old.d.test", 5, "gone.d.test"),
                ("old.d.test", 10, "mx.a.test"),
            ]
            kinds = {node.name: node.kind for node in drawing(world, (), False).nodes}
            assert kinds["gone.d.test"] == "missing"
            assert kinds["none.d.test"] == kinds["old.d.test"] == "domain"
            many = "".join(f"x{n} IN MX 10 mx.a.test.\n" for n in range(40))
            world.write_zone("d.test", ZONE + many)
            drawn = drawing(world, (), False)
            assert len([node for node in drawn.nodes if node.kind == "domain"]) <= MOST_DOMAINS
            assert "more domains are not drawn" in drawn.left_out

    told(story())


def test_a_host_tells_its_log_and_configuration() -> None:
    async def story() -> None:
        async with await backup_world() as world:
            view = mail_map(world)
            await world.partner_laptop.send(ANN, "Hello", "x")
            await view.hear({"ask": "host", "host": THEIRS})
            found = view.state()["host"]
            assert (
                "Connection refused" in found["log"]
                and f"primary_hostname = {THEIRS}" in found["configuration"]
            )
            await view.hear({"ask": "close"})
            assert view.state()["host"] is None
            for nonsense in ({}, {"ask": "host", "host": 7}, {"ask": "rm"}):
                with pytest.raises(ValueError, match="does not know this message"):
                    await view.hear(nonsense)

    told(story())


def test_hostile_mail_is_text() -> None:
    async def story() -> None:
        async with await backup_world() as world:
            view = mail_map(world)
            image = '<img src="x" onerror="y">'
            await world.partner.send(
                '"<script>"@st2.sne21.test',
                ANN,
                f"Subject: {image}\u202e{'x' * 9000}\nMessage-ID: <</script>@x>\n\nx\n",
            )
            world.note(
                THEIRS, EventKind.REJECTED, command=image, remote_address="6.6.6.6", text="\x1b[2J\u202e"
            )
            state, html = json.dumps(view.state(), ensure_ascii=False), str(view.html())
            for form in (state, html, view.text()):
                assert "\u202e" not in form and "\x1b" not in form
                assert len(form) < 20_000
            assert "<img" not in html and "<script" not in html and "</script" not in html
            assert "&lt;script&gt;" in html

    told(story())


@pytest.mark.alone
def test_ten_thousand_events() -> None:
    async def story() -> None:
        async with await backup_world() as world:
            for number in range(2_500):
                name = f"1x3VCq-{number:06d}-00"
                details = {"queue_id": name, "recipient": ANN}
                world.note(
                    THEIRS,
                    EventKind.RECEIVED,
                    queue_id=name,
                    sender=BOB,
                    subject="x" * 50,
                    message_id=f"<{number}@x>",
                    remote_address="198.51.100.2",
                    remote_host="laptop.st2.sne21.test",
                )
                world.note(THEIRS, EventKind.DEFERRED, text="Connection refused", **details)
                world.note(THEIRS, EventKind.DELIVERED, remote_address="6.6.6.6", text="OK", **details)
                if number % 2:
                    world.note(THEIRS, EventKind.COMPLETED, queue_id=name)
            begun = time.perf_counter()
            view = mail_map(world)
            state = view.state()
            assert time.perf_counter() - begun < 2.0
            assert len(json.dumps(state)) < 200_000
            assert len(state["steps"]) == MOST_STEPS and len(state["messages"]) == MOST_MESSAGES
            assert "earlier steps are left out, and counted" in state["left_out"]
            assert f"{2_500 - MOST_MESSAGES:,} messages are not listed" in state["left_out"]
            assert ways(view) == {("laptop.st2.sne21.test", THEIRS): 2500, (THEIRS, "outside"): 2500}
            assert len(view.text()) < 30_000
            (row,) = [line for line in view.text().split("\n") if line.startswith(THEIRS) and " 203." in line]
            assert row.split()[-1] == "1250"
            assert state["messages"][-1]["number"] == 2_500, "the newest are listed"
            assert len(view.trail._by_id) == len(view.trail.messages) == MOST_MESSAGES
            assert len(view.trail._of_queue) <= MOST_MESSAGES, "what is forgotten is forgotten everywhere"

    told(story())


def test_displays_live_and_static_and_the_same_each_time() -> None:
    async def story() -> None:
        bundles = []
        for _ in range(2):
            async with await loop_world() as world:
                await world.laptop.send(BOB, "Round", "x")
                view = mail_map(world)
                data, _ = view._repr_mimebundle_()
                assert "application/vnd.jupyter.widget-view+json" in data
                assert json.dumps(view.widget.state) == json.dumps(view.state())
                bundles.append((data["text/plain"], data["text/html"], json.dumps(view.state())))
        assert bundles[0] == bundles[1]
        assert "0x" not in bundles[0][0]

    told(story())


@pytest.mark.needs("exim", "gcc")
def test_the_real_exim_takes_the_same_way() -> None:
    async def story() -> None:
        found = []
        for engine in ("labkit", "exim"):
            async with await loop_world(network="loopback", engine=engine) as world:
                view = mail_map(world)
                await world.laptop.send(BOB, "Round", "x")
                messages = [(m["hops"], m["turns"], m["ending"]) for m in view.state()["messages"]]
                found.append((messages, ways(view)))
        assert found[0] == found[1]

    told(story())
