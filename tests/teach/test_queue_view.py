"""The queue view: what it says of messages that wait, what its buttons do, hostile mail, many messages."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Coroutine
from datetime import datetime, timedelta, timezone
from typing import Any

import pytest

from labkit.lab.host import SpoolEntry
from labkit.lab.waiting import Tries, held_by
from labkit.lab.world import neighbours
from labkit.mail.envelope import Envelope
from labkit.mail.event import EventKind, MailEvent
from labkit.queue.hints import Hint
from labkit.queue.item import QueueItem
from labkit.queue.schedule import Attempt
from labkit.teach import spool_words
from labkit.teach.spool_words import explained
from labkit.teach.views.queue import MOST_HOSTS, MOST_MESSAGES, QueueView, queue_view
from labkit.teach.waiting import MOST_DOMAINS, ages_by_domain

from .mail_worlds import ANN, BOB, MINE, THEIRS, backup_world

NOW = datetime(2026, 9, 7, 12, 0, tzinfo=timezone.utc)
TWO_CLOCKS = """\
The queues of st11.sne21.test and st2.sne21.test, Mon 07 Sep 2026 16:10 lab time
host                 address       state  waiting  next queue run
-------------------  ------------  -----  -------  ------------------------
mx2.st11.sne21.test  203.0.113.11  down   0        none: the daemon is down
mx2.st2.sne21.test   203.0.113.2   up     1        16:15

Waiting at mx2.st2.sne21.test
message           age                 from                to                   tries           retry time\
                                        queue run                        why it waits
----------------  ------------------  ------------------  -------------------  --------------  \
------------------------------------------------  -------------------------------  ------------------
1x3VCq-000B02-00  7 hours 10 minutes  bob@st2.sne21.test  ann@st11.sne21.test  13, last 16:00  \
19:22:30, for T:mx2.st11.sne21.test:203.0.113.11  16:15 too early; 19:30 tries it  Connection refused

Age by destination: recipients that wait, aged fewer than so many minutes (after Postfix's qshape)
recipients at    T  5  10  20  40  80  160  320  640  1280  1280+
---------------  -  -  --  --  --  --  ---  ---  ---  ----  -----
TOTAL            1  0  0   0   0   0   0    0    1    0     0
st11.sne21.test  1  0  0   0   0   0   0    0    1    0     0

Waiting is two clocks: from its retry time on, a host or an address may be tried again; a queue run is when \
somebody looks."""


def told(story: Coroutine[Any, Any, None]) -> None:
    asyncio.run(asyncio.wait_for(story, 60))


async def press(view: QueueView, **message: str) -> dict[str, Any]:
    """What the browser sees after it has sent that message."""
    await view.hear(message)
    return view.state()


def test_two_clocks() -> None:
    async def story() -> None:
        async with await backup_world() as world:
            await world.partner_laptop.send(ANN, "Hello", "Is anybody there?")
            await world.advance(hours=7, minutes=10)
            view = queue_view(world)
            assert view.text() == TWO_CLOCKS
            html = str(view.html())
            for words in ("16:15 too early; 19:30 tries it", "Connection refused", "13, last 16:00"):
                assert words in html, "both forms say the same"
            await world.advance(hours=3, minutes=15)
            assert len(world.journal.where(EventKind.DEFERRED)) == 13
            await world.advance(minutes=5)
            assert world.journal.where(EventKind.DEFERRED)[-1].at.strftime("%H:%M") == "19:30", "as foretold"

    told(story())


def test_the_buttons() -> None:
    async def story() -> None:
        async with await backup_world() as world:
            view = queue_view(world)
            await world.partner_laptop.send(ANN, "Hello", "x")
            (item,) = world.partner.queue
            queue_id = item.queue_id
            state = await press(view, ask="message", host=THEIRS, id=queue_id, do="freeze")
            assert state["said"] == f"{THEIRS}: exim -Mf {queue_id} Message {queue_id} is now frozen"
            (message,) = state["hosts"][1]["messages"]
            assert message["frozen"] and "passes it over (frozen)" in message["cells"]
            state = await press(view, ask="message", host=THEIRS, id=queue_id, do="spool")
            assert [part["name"].split(":")[0] for part in state["spool"]["parts"]] == [
                f"{queue_id}-H",
                f"{queue_id}-D",
            ]
            assert (await press(view, ask="close"))["spool"] is None
            assert not (await press(view, ask="message", host=THEIRS, id=queue_id, do="thaw"))["hosts"][1][
                "messages"
            ][0]["frozen"]
            await press(view, ask="host", host=MINE, do="up")
            state = await press(view, ask="host", host=THEIRS, do="run")
            assert state["hosts"][1]["waiting"] == "1", "-q: the retry time is not reached"
            state = await press(view, ask="message", host=THEIRS, id=queue_id, do="force")
            assert state["hosts"][1]["waiting"] == "0"
            assert "No message waits anywhere." in view.text()
            assert len(world.mine.mailbox("ann")) == 1
            await press(view, ask="host", host=MINE, do="down")
            await world.partner_laptop.send(ANN, "Again", "x")
            await press(view, ask="host", host=MINE, do="up")
            state = await press(view, ask="host", host=THEIRS, do="force")
            assert state["hosts"][1]["waiting"] == "0" and len(world.mine.mailbox("ann")) == 2
            state = await press(view, ask="advance", span="day")
            assert state["time"] == "Tuesday 08 September 2026, 09:00 lab time"

    told(story())


@pytest.mark.parametrize(
    "message, problem",
    [
        ({}, "ValueError: the queue view does not know this message"),
        ({"ask": "advance", "span": "eternity"}, "ValueError: the queue view does not know this message"),
        (
            {"ask": "host", "host": MINE, "do": "explode"},
            "ValueError: the queue view does not know this message",
        ),
        ({"ask": "host", "host": MINE, "do": "run"}, f"ValueError: {MINE} is down: nothing leaves it"),
        ({"ask": "host", "host": "nowhere", "do": "up"}, "KeyError: 'no host nowhere in this world"),
        ({"ask": "message", "host": THEIRS, "id": "../../etc/passwd", "do": "spool"}, ": no"),
    ],
)
def test_a_message_that_cannot_be_followed(message: dict[str, str], problem: str) -> None:
    async def story() -> None:
        async with await backup_world() as world:
            view = queue_view(world)
            view._on_message(view.widget, message)
            while not view.widget.turn:
                await asyncio.sleep(0)
            assert problem in view.widget.problem

    told(story())


def test_of_many_hosts_those_where_something_waits() -> None:
    async def story() -> None:
        async with neighbours(*(f"d{n}.test" for n in range(MOST_HOSTS + 6)), network="memory") as world:
            view = queue_view(world)
            assert [host["name"] for host in view.state()["hosts"]] == [
                f"mx.d{n}.test" for n in range(MOST_HOSTS)
            ]
            last = world.host(f"mx.d{MOST_HOSTS + 5}.test")
            await world.mine.stop()
            await last.send(f"user@{last.name[3:]}", "user@d0.test", "Subject: x\n\nx\n")
            shown = view.state()["hosts"]
            assert len(shown) == MOST_HOSTS and shown[-1]["name"] == last.name and shown[-1]["waiting"] == "1"
            assert "6 more hosts are not shown" in view.text()

    told(story())


def test_the_widget_follows_the_lab() -> None:
    async def story() -> None:
        async with await backup_world() as world:
            view = queue_view(world)
            drawn = view.widget.turn
            await world.partner_laptop.send(ANN, "Hello", "x")
            while view.widget.turn == drawn:
                await asyncio.sleep(0.01)
            assert view.widget.state["hosts"][1]["waiting"] == "1"
            data, _ = view._repr_mimebundle_()
            assert data["text/plain"] == view.text()
            assert "application/vnd.jupyter.widget-view+json" in data

    told(story())


def test_a_world_that_is_over() -> None:
    async def story() -> None:
        world = await backup_world()
        view = queue_view(world)
        await world.stop()
        assert "The lab is not running" in view.text()
        assert view.state()["hosts"] == []

    told(story())


def test_hostile_mail_is_text() -> None:
    image = '<img src="x" onerror="y">'

    async def story() -> None:
        async with await backup_world() as world:
            sender = '"<script>alert(1)</script>"@st2.sne21.test'
            content = f"From: a@b.test\nSubject: {image} \u202e</script>\n\n{image}\x1b[2J\n"
            queue_id = await world.partner.send(sender, ANN, content)
            view = queue_view(world)
            await press(view, ask="message", host=THEIRS, id=queue_id, do="spool")
            state = json.dumps(view.state(), ensure_ascii=False)
            assert "\u202e" not in state and "\x1b" not in state
            assert "u202e" in state, "it is shown as an escape"
            html = str(view.html())
            assert "<script" not in html and "&lt;script&gt;" in html

    told(story())


@pytest.mark.alone
def test_many_messages_and_a_long_journal() -> None:
    async def story() -> None:
        async with await backup_world() as world:
            view = queue_view(world)
            envelope = Envelope.of(BOB, *(f"user{n}@st11.sne21.test" for n in range(10)))
            content = b"From: a@b.test\r\n\r\nx\r\n"
            for number in range(1000):
                item = QueueItem(f"1x3VCq-{number:06d}-00", envelope, content, world.now())
                world.partner.mta.state.queue[item.queue_id] = item
            for number in range(10_000):
                world.note(
                    THEIRS,
                    EventKind.DEFERRED,
                    queue_id=f"1x3VCq-{number % 1000:06d}-00",
                    text="no",
                    errno=111,
                )
            begun = time.perf_counter()
            state = view.state()
            assert time.perf_counter() - begun < 1.0
            assert len(json.dumps(state)) < 30_000
            theirs = state["hosts"][1]
            assert theirs["waiting"] == "1,000"
            assert len(theirs["messages"]) == MOST_MESSAGES and theirs["more"] == 1000 - MOST_MESSAGES
            assert theirs["messages"][0]["cells"][3].endswith("and 6 more")
            assert state["shape"]["rows"][0][:2] == ["TOTAL", "10000"]
            assert f"(the first {MOST_MESSAGES} of 1,000)" in view.text()

    told(story())


# --- what is known of one message -------------------------------------------------------------------


def event(kind: EventKind, minutes: int = 0, **details: Any) -> MailEvent:
    return MailEvent(
        number=1, at=NOW + timedelta(minutes=minutes), host="h", kind=kind, queue_id="a-b-c", **details
    )


def test_attempts_are_runs_that_tried() -> None:
    tries = Tries()
    refused = {"text": "Connection refused", "errno": 111}
    for each in (
        event(EventKind.DEFERRED, 0, recipient="x@d.test", **refused),
        event(EventKind.DEFERRED, 0, recipient="y@d.test", **refused),
        event(EventKind.DEFERRED, 15, text="retry time not reached for any host", errno=-53),
        event(EventKind.DEFERRED, 30, **refused),
        event(EventKind.DEFERRED, 45, text="retry time not reached for any host", errno=-53),
    ):
        tries.take(each)
    found = tries.of("h", "a-b-c")
    assert (found.attempts, found.last_try) == (2, NOW + timedelta(minutes=30)), (
        "two recipients in one run are one"
    )
    assert (found.words, found.looked) == ("Connection refused", "retry time not reached for any host")
    tries.take(event(EventKind.COMPLETED))
    assert tries.of("h", "a-b-c").attempts == 0, "what has left is forgotten"


@pytest.mark.parametrize(
    "rows, expected, because",
    [
        ({}, None, "nothing is in the way"),
        ({"T:mx.d.test:192.0.2.1": 10}, 10, "its host"),
        ({"T:mx.d.test:192.0.2.1": 10, "T:mx2.d.test:192.0.2.2": 5}, 5, "one of its hosts is enough"),
        ({"T:mx.d.test:192.0.2.1": 10, "T:mx.d.test:192.0.2.1:a-b-c": 20}, 20, "this message at this host"),
        (
            {"T:mx.d.test:192.0.2.1": 10, "T:mx.d.test:192.0.2.1:x-y-z": 20},
            10,
            "another message is no matter",
        ),
        ({"T:elsewhere.test:192.0.2.9": 10}, None, "none of its hosts"),
        ({"R:x@d.test": 10}, None, "the other recipient may be tried"),
        ({"R:x@d.test": 10, "R:y@d.test:<s@s.test>": 7}, 7, "the earlier of both recipients"),
        ({"R:d.test": 7, "T:mx.d.test:192.0.2.1": 3}, 7, "the domain, and then the host"),
        ({"T:mx.d.test:192.0.2.1:2525": 4}, 4, "a host at another port"),
    ],
)
def test_which_retry_time_counts(rows: dict[str, int], expected: int | None, because: str) -> None:
    item = QueueItem("a-b-c", Envelope.of("s@s.test", "x@d.test", "y@d.test"), b"", NOW)
    hints = {key: Hint(Attempt(NOW, NOW, NOW + timedelta(minutes=m)), "") for key, m in rows.items()}
    found = held_by(item, {"mx.d.test", "mx2.d.test"}, hints, {})
    assert (None if found is None else (found.holds_until - NOW).total_seconds() / 60) == expected, because
    known = held_by(item, (), hints, {"d.test": {"mx.d.test", "mx2.d.test"}})
    assert known == found, "where it was tried, or where the zones send it"


def test_ages_are_counted_as_qshape_does() -> None:
    items = [
        QueueItem(
            str(n), Envelope.of("s@s.test", "x@d.test", "y@E.test"), b"", NOW - timedelta(minutes=minutes)
        )
        for n, minutes in enumerate((0, 4, 5, 1279, 1280, 9999))
    ]
    total, *domains = ages_by_domain(items, NOW)
    assert total == ("TOTAL", "12", "4", "2", "0", "0", "0", "0", "0", "0", "2", "4")
    assert [row[0] for row in domains] == ["d.test", "e.test"]
    assert ages_by_domain([], NOW)[0][:2] == ("TOTAL", "0")
    many = [QueueItem(str(n), Envelope.of("", f"x@d{n:02d}.test"), b"", NOW) for n in range(MOST_DOMAINS + 5)]
    assert ages_by_domain(many, NOW)[-1][:2] == ("5 more domains", "5")


def test_the_spool_files_are_explained() -> None:
    header = (
        "a-b-c-H\nexim 65534 65534\n<s@s.test>\n1788771600 2\n-received_protocol esmtp\n-something_new 7\n-frozen 1\n"
        "NN y@d.test\n2\nx@d.test\ny@d.test\n\n018P Received: by x\n\tfor y\n009* To: x\n012  Subject: 5\n"
    )
    (_, lines), (_, body) = explained(SpoolEntry("a-b-c", header, "a-b-c-D\n018P no field\n" + "x\n" * 500))
    words = dict(lines)
    assert "who is told" in words["<s@s.test>"]
    assert "queue run" in words["-frozen 1"]
    assert "option" in words["-something_new 7"]
    assert "finished" in words["NN y@d.test"]
    assert words["2"].startswith("how many") and words["x@d.test"] == "a recipient"
    assert "one hop" in words["018P Received: by x"] and words["\tfor y"] == ""
    assert "taken out" in words["009* To: x"]
    assert body[1] == ("018P no field", ""), "in the body nothing is a field"
    assert body[-1][0] == f"[and {502 - spool_words.MOST_LINES:,} more lines]"


@pytest.mark.needs("exim", "gcc")
def test_the_real_exim() -> None:
    async def story() -> None:
        async with await backup_world(network="loopback", engine="exim") as world:
            view = queue_view(world)
            await world.partner_laptop.send(ANN, "Hello", "x")
            await world.advance(minutes=20)
            (message,) = view.state()["hosts"][1]["messages"]
            queue_id, age, _, _, tries, retry, run, why = message["cells"]
            assert (age, tries, retry, run, why) == (
                "20 minutes",
                "2, last 09:15",
                "ask exim_dumpdb",
                "09:30",
                "Connection refused",
            )
            state = await press(view, ask="message", host=THEIRS, id=queue_id, do="freeze")
            assert state["hosts"][1]["messages"][0]["frozen"]
            await press(view, ask="message", host=THEIRS, id=queue_id, do="spool")
            await press(view, ask="host", host=MINE, do="up")
            state = await press(view, ask="host", host=THEIRS, do="force")
            assert state["hosts"][1]["waiting"] == "0"

    told(story())
