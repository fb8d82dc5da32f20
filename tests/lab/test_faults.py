"""Faults by switch and by address: what a host outside, labkit's MTA and the nameserver do when they are broken."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from datetime import timedelta
from typing import Any

import pytest

from labkit import World, partners
from labkit.lab.engine import NotThisEngine
from labkit.lab.faults import KINDS, Fault, FaultError, read_fault
from labkit.mail.event import EventKind, MailEvent

Run = Callable[[Coroutine[Any, Any, Any]], Any]
ANN, BOB = "ann@st11.sne21.test", "bob@st2.sne21.test"
TEXT = "Subject: hello\n\nhello\n"
MINE, PARTNER, BIGMAIL = "mx2.st11.sne21.test", "mx2.st2.sne21.test", "mx.bigmail.test"
REAL_EXIM = pytest.param("loopback", "exim", marks=pytest.mark.needs("exim", "gcc"))
WAYS = pytest.mark.parametrize("network, engine", [("memory", "labkit"), ("loopback", "labkit"), REAL_EXIM])


def said(world: World, host: str, after: int = 0) -> list[tuple[str, int | None, int | None]]:
    """What became of recipients at a host: kind, code, number of the error."""
    wanted = (EventKind.DELIVERED, EventKind.DEFERRED, EventKind.FAILED)
    events = [e for e in world.journal.where(host=host, after=after) if e.kind in wanted]
    return [(e.kind.value, e.code, e.errno) for e in events if e.recipient != ANN]


def one(world: World, kind: EventKind, after: int = 0, **details: Any) -> MailEvent:
    (event,) = world.journal.where(kind, after=after, **details)
    return event


# --- by address ---


@WAYS
def test_an_address_asks_for_trouble(run: Run, network: str, engine: str) -> None:
    """The same facts at the sender's host, whatever it runs."""
    table = [
        ("carol", ("delivered", 250, None), None),
        ("x-452", ("deferred", 452, -44), "RCPT"),
        ("x-550", ("failed", 550, None), "RCPT"),
        ("x-421", ("deferred", 421, -44), "RCPT"),
        ("x-421-mail", ("deferred", 421, -45), "MAIL"),
        ("x-451-predata", ("deferred", 451, -46), "DATA"),
        ("x-452-data", ("deferred", 452, -46), "after DATA"),
        ("x-550-data", ("failed", 550, None), "after DATA"),
        ("x-drop", ("deferred", None, -18), None),
        ("x-drop-data", ("deferred", None, -18), None),
        ("x-drop-predata", ("deferred", None, -18), None),
        ("x-999", ("failed", 550, None), "RCPT"),
        ("nobody", ("failed", 550, None), "RCPT"),
    ]

    async def story() -> None:
        async with World.open("backup_mx", network=network, engine=engine, alongside=True) as world:
            for local_part, outcome, refused_at in table:
                before = len(world.journal)
                await world.mine.send(ANN, f"{local_part}@bigmail.test", TEXT)
                assert said(world, MINE, before) == [outcome], local_part
                refusals = world.journal.where(EventKind.REJECTED, after=before, host=BIGMAIL)
                assert [e.command for e in refusals] == ([refused_at] if refused_at else []), local_part
                for item in world.mine.queue:
                    await world.mine.exim("-Mrm", item.queue_id)
                await world.advance(hours=8)  # no host waits for its retry time

    run(story())


def test_a_sender_asks_for_trouble_at_mail(run: Run) -> None:
    async def story() -> None:
        async with World.open("backup_mx", network="memory") as world:
            bigmail = world.host("mx.bigmail")
            sent = await world.laptop.send(
                "carol@bigmail.test", sender="x-550-mail@a.test", host=bigmail.name
            )
            assert "550 as x-550-mail wished" in str(sent)
            sent = await world.laptop.send("carol@bigmail.test", sender="x-550@a.test", host=bigmail.name)
            assert sent.queue_id, "that is for recipients"

    run(story())


def test_slow_costs_lab_time_and_no_real_time(run: Run) -> None:
    async def story() -> None:
        async with World.open("backup_mx", network="memory") as world:
            began = world.now()
            await world.mine.send(ANN, "x-slow-data@bigmail.test", TEXT)
            assert not world.journal.where(EventKind.DELIVERED)
            await world.advance(minutes=2)
            arrived = one(world, EventKind.DELIVERED, host=MINE)
            assert arrived.at - began == timedelta(minutes=1)
            assert len(world.host("mx.bigmail").mailbox("postmaster")) == 1

    run(story())


def test_one_message_for_several(run: Run) -> None:
    """At RCPT each has a fate of its own; at the end of DATA all share one."""

    async def story() -> None:
        async with World.open("backup_mx", network="memory") as world:
            bigmail = world.host("mx.bigmail").name
            two = ["x-550@bigmail.test", "carol@bigmail.test"]
            sent = await world.laptop.send(two, host=bigmail)
            assert [v.reply.code for v in sent.result.verdicts] == [550, 250]  # type: ignore[union-attr]
            two = ["x-554-data@bigmail.test", "carol@bigmail.test"]
            sent = await world.laptop.send(two, host=bigmail)
            assert [v.reply.code for v in sent.result.verdicts] == [554, 554]  # type: ignore[union-attr]
            assert len(world.host(bigmail).mailbox("carol")) == 1

    run(story())


# --- by switch ---


@pytest.mark.parametrize("place", [BIGMAIL, PARTNER])
@pytest.mark.parametrize("network", ["memory", "loopback"])
@pytest.mark.parametrize(
    "kind, details, outcome, minutes",
    [
        ("refuses", {}, ("deferred", None, 111), 0),
        ("silent", {}, ("deferred", None, 110), 5),
        ("drops", {"at": "connect"}, ("deferred", None, -18), 0),
        ("drops", {"at": "helo"}, ("deferred", None, -18), 0),
        ("drops", {"at": "mail"}, ("deferred", None, -18), 0),
        ("drops", {}, ("deferred", None, -18), 0),
        ("slow", {"seconds": 30}, ("delivered", 250, None), 3),
        ("slow", {"seconds": 30, "at": "rcpt"}, ("delivered", 250, None), 0.5),
        ("answers", {"code": 554, "at": "connect"}, ("failed", 554, None), 0),
        ("answers", {"code": 421, "at": "helo", "text": "go away"}, ("deferred", None, -18), 0),
        ("answers", {"code": 451}, ("deferred", 451, -44), 0),
        ("answers", {"code": 552, "at": "data"}, ("failed", 552, None), 0),
        ("busy", {"after": 0}, ("deferred", 421, -45), 0),
    ],
)
def test_a_broken_host(
    run: Run,
    place: str,
    network: str,
    kind: str,
    details: dict[str, Any],
    outcome: tuple[str, int | None, int | None],
    minutes: float,
) -> None:
    """The same at a host outside and at labkit's own MTA; mended, mail arrives."""
    to = "carol@bigmail.test" if place == BIGMAIL else BOB

    async def story() -> None:
        async with World.open("backup_mx", network=network, alongside=True) as world:
            fault = world.faults.add(place, kind, **details)
            assert list(world.faults) == [fault]
            began = world.now()
            await world.mine.send(ANN, to, TEXT)
            await world.advance(minutes=7)
            (found,) = said(world, MINE)
            assert found[0] == outcome[0]
            assert found[1] == outcome[1]
            assert outcome[2] is None or found[2] == outcome[2]
            at = next(e.at for e in world.journal.where(host=MINE) if e.kind.value == outcome[0])
            has_chunking = place == PARTNER and details == {
                "seconds": 30
            }  # there BDAT saves the answer to DATA
            assert at - began == timedelta(minutes=minutes - 0.5 * has_chunking)
            assert world.faults.clear(place) == 1
            assert not len(world.faults)
            await world.advance(hours=1)
            await world.mine.send(ANN, to, TEXT)
            assert said(world, MINE)[-1] == ("delivered", 250, None)
            told = [e.text or "" for e in world.journal.where(EventKind.FAULT)]
            assert [words.rpartition(", ")[2] for words in told] == ["from now on", "no more"]

    run(story())


def test_busy_after_some_messages_of_one_connection(run: Run) -> None:
    """What waits goes over one connection as far as the host lets it; the rest over the next ones."""

    async def story() -> None:
        async with World.open("backup_mx", network="memory") as world:
            world.faults.add(BIGMAIL, "busy", after=2)
            await world.host(BIGMAIL).stop()
            for number in range(5):
                await world.mine.send(ANN, "carol@bigmail.test", f"Subject: {number}\n\ntext\n")
            await world.host(BIGMAIL).start()
            await world.advance(hours=2)
            assert len(world.host(BIGMAIL).mailbox("carol")) == 5
            assert {e.code for e in world.journal.where(EventKind.REJECTED, host=BIGMAIL)} <= {421}

    run(story())


@WAYS
def test_a_silent_host_whatever_it_runs(run: Run, network: str, engine: str) -> None:
    async def story() -> None:
        async with partners(network=network, engine=engine, alongside=True) as world:
            world.faults.add("mx2.st2", "silent")  # the beginning of a name will do
            await world.mine.send(ANN, BOB, TEXT)
            await world.advance(minutes=10)
            assert said(world, MINE)[0][0] == "deferred"
            world.faults.clear("mx2.st2")
            await world.advance(hours=2)
            assert len(world.partner.mailbox("bob")) == 1

    run(story())


@pytest.mark.parametrize("kind", ["servfail", "no answer"])
@WAYS
def test_the_dns_is_broken(run: Run, network: str, engine: str, kind: str) -> None:
    async def story() -> None:
        async with partners(network=network, engine=engine, alongside=True) as world:
            world.faults.add("st2.sne21.test", kind)
            await world.mine.send(ANN, BOB, TEXT)
            await world.advance(minutes=1)
            assert said(world, MINE)[0][0] == "deferred"
            assert not world.partner.mailbox("bob")
            world.faults.clear()
            await world.advance(hours=1)
            assert len(world.partner.mailbox("bob")) == 1

    run(story())


# --- the table ---


@pytest.mark.parametrize(
    "kind, details, field",
    [
        ("sleepy", {}, "kind"),
        ("silent", {"at": "rcpt"}, "at"),
        ("slow", {}, "seconds"),
        ("slow", {"seconds": 0}, "seconds"),
        ("slow", {"seconds": 300}, "seconds"),
        ("slow", {"seconds": "long"}, "seconds"),
        ("answers", {}, "code"),
        ("answers", {"code": 250}, "code"),
        ("answers", {"code": 600}, "code"),
        ("answers", {"code": 450.5}, "code"),
        ("answers", {"code": 450, "at": "ehlo"}, "at"),
        ("answers", {"code": 450, "text": "two\nlines"}, "text"),
        ("answers", {"code": 450, "text": ""}, "text"),
        ("busy", {"after": -1}, "after"),
        ("busy", {"after": True}, "after"),
    ],
)
def test_faults_that_cannot_be(kind: str, details: dict[str, Any], field: str) -> None:
    with pytest.raises(FaultError) as refusal:
        read_fault("mx.far.test", kind, details)
    assert refusal.value.field == field
    assert "\n" in str(refusal.value), "a remedy"


def test_the_table_shows_what_is_broken(run: Run) -> None:
    async def story() -> None:
        async with World.open("backup_mx", network="memory") as world:
            assert all(kind in repr(world.faults) for kind in KINDS)
            world.faults.add(BIGMAIL, "answers", code=452)
            world.faults.add(BIGMAIL, "answers", code=554)  # in its place
            world.faults.add(BIGMAIL, "answers", code=421, at="connect")
            world.faults.add("bigmail.test", "servfail")
            lines = repr(world.faults).splitlines()
            assert lines[0].split() == ["place", "fault", "details"]
            assert [line.split()[:2] for line in lines[2:]] == [
                [BIGMAIL, "answers"],
                [BIGMAIL, "answers"],
                ["bigmail.test", "servfail"],
            ]
            assert "code 554" in lines[2]
            assert world.faults.clear(BIGMAIL) == 2
            assert world.faults.clear(kind="servfail") == 1
            assert world.faults.clear() == 0
            with pytest.raises(KeyError, match="no host"):
                world.faults.add("mx.nowhere.test", "silent")
            with pytest.raises(ValueError, match="label"):
                world.faults.add("a" * 64 + ".test", "servfail")
            assert not len(world.faults)

    run(story())


@pytest.mark.needs("exim", "gcc")
def test_the_real_exim_is_not_ours_to_break(run: Run) -> None:
    async def story() -> None:
        async with partners(network="loopback", engine={"partner": "exim"}, alongside=True) as world:
            for kind, known in KINDS.items():
                if not known.is_of_name and "exim" not in known.engines:
                    details = {"seconds": 3, "code": 452, "after": 2}
                    needed = {name: details[name] for name in known.needs}
                    with pytest.raises(FaultError, match="not ours to break"):
                        world.faults.add(PARTNER, kind, **needed)
            world.faults.add(MINE, "refuses")
            with pytest.raises(FaultError, match="cannot be there then"):
                await world.mine.run_on("exim")
            world.faults.clear()
            await world.mine.run_on("exim")
            assert world.mine.engine.name == "exim"

    run(story())


def test_a_fault_says_what_it_is() -> None:
    assert str(Fault("a.test", "silent")) == "a.test: silent"
    assert str(read_fault("a.test", "slow", {"seconds": 2.5})) == "a.test: slow seconds 2.5"
    assert str(read_fault("a.test", "drops", {})) == "a.test: drops at data"


# --- hosts outside ---


def test_a_host_outside_is_nobodys_exim(run: Run) -> None:
    async def story() -> None:
        async with World.open("backup_mx", network="memory") as world:
            bigmail = world.host("mx.bigmail")
            for call in (bigmail.route(ANN), bigmail.exim("-bp"), bigmail.run_on("labkit")):
                with pytest.raises(NotThisEngine, match="outside"):
                    await call
            with pytest.raises(NotThisEngine):
                await world.mine.run_on("outside")
            with pytest.raises(NotThisEngine):
                _ = bigmail.mta
            assert bigmail.queue == ()
            await bigmail.run_queue()
            sent = await world.laptop.send("bob@elsewhere.test", host=bigmail.name)
            assert "550 relay not permitted" in str(sent)
            await world.laptop.send("postmaster@bigmail.test", host=bigmail.name)
            assert len(bigmail.mailbox("postmaster")) == 1
            await bigmail.stop()
            with pytest.raises(ConnectionRefusedError):
                await world.laptop.send("carol@bigmail.test", host=bigmail.name)
            await bigmail.start()
            assert (await world.laptop.send("carol@bigmail.test", host=bigmail.name)).queue_id
            assert "Completed" in bigmail.log()
            assert "relay not permitted" in bigmail.reject_log()
            assert bigmail.last_conversation().exchanges[-1].text.startswith("221 ")

    run(story())


@WAYS
def test_a_sender_outside_tries_each_host_once(run: Run, network: str, engine: str) -> None:
    async def story() -> None:
        async with World.open("backup_mx", network=network, engine=engine, alongside=True) as world:
            bigmail = world.host("mx.bigmail")
            await bigmail.send("carol@bigmail.test", ANN, TEXT)
            (letter,) = world.mine.mailbox("ann")
            assert [str(field.value) for field in letter.all("Received")][1].startswith(
                "from carol by mx.bigm"
            )
            await world.mine.stop()
            await bigmail.send("carol@bigmail.test", ANN, TEXT)
            assert len(world.partner.queue) == 1, "the backup has it"
            await world.partner.stop()
            await bigmail.send("carol@bigmail.test", ANN, TEXT)
            await bigmail.send("carol@bigmail.test", "x@nowhere.test", TEXT)
            failed = world.journal.where(EventKind.FAILED, host=BIGMAIL)
            assert ["tries only once" in (e.text or "") for e in failed] == [True, True]
            completed = world.journal.where(EventKind.COMPLETED, host=BIGMAIL)
            assert len(completed) == len(world.journal.where(EventKind.RECEIVED, host=BIGMAIL)) == 4

    run(story())
