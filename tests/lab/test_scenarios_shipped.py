"""Each scenario that comes with labkit does what its file says, on labkit and on the real Exim with the same files."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from labkit import World
from labkit.lab.data import data_path
from labkit.lab.scenario_file import read_scenario
from labkit.lab.solutions import defend
from labkit.mail.event import EventKind, MailEvent
from labkit.teach.views.probes_talk import ask_whom

Run = Callable[[Coroutine[Any, Any, Any]], Any]
ANN, BOB, CAROL = "ann@st11.sne21.test", "bob@st2.sne21.test", "carol@bigmail.test"
MINE, PARTNER, BIGMAIL = "mx2.st11.sne21.test", "mx2.st2.sne21.test", "mx.bigmail.test"
TEXT = "Subject: {0}\nMessage-ID: <{0}@test>\n\nhello\n"
WAYS = pytest.mark.parametrize(
    "network, engine",
    [("memory", "labkit"), pytest.param("loopback", "exim", marks=pytest.mark.needs("exim", "gcc"))],
)
NAMES = sorted(path.stem for path in data_path("scenarios").glob("*.yaml"))


def opened(name: str, network: str, engine: str, **more: Any) -> World:
    return World.open(name, network=network, engine=engine, alongside=True, **more)


def told(world: World, kind: EventKind, host: str) -> list[MailEvent]:
    return world.journal.where(kind, host=host)


def test_all_are_here() -> None:
    wanted = (
        "a_bad_day backscatter backup_mx backup_outage dane dns_failing greylisting left_over_mx loop loop_bomb",
        "loop_mx_self loop_open loop_smarthost loop_vacation mta_sts null_mx one_domain partners",
        "partners_and_bigmail relay spam three_mx tls tls_matrix virtual_domains vouching what_survives who_vouches",
    )
    assert " ".join(wanted).split() == NAMES


@pytest.mark.parametrize("name", NAMES)
def test_each_can_be_another_students(name: str) -> None:
    own = read_scenario(name, {"st": 7, "partner": 9, "apex": "sne21.ru", "address": "3.135.210.50"})
    assert own.about, "it says what it shows"
    assert [host.name for host in own.hosts[:2]] == ["mx2.st7.sne21.ru", "mx2.st9.sne21.ru"]
    assert own.hosts[0].address == "3.135.210.50"
    assert own.student_number == 7
    everything = repr(own)
    assert "st11" not in everything
    assert "sne21.test" not in everything
    assert len(data_path("scenarios", f"{name}.yaml").read_text(encoding="utf-8").splitlines()) <= 150


@WAYS
def test_backup_mx(run: Run, network: str, engine: str) -> None:
    """Mail waits at the backup, and arrives by ETRN at once, or by a queue run in its time."""

    async def story() -> None:
        async with opened("backup_mx", network, engine) as world:
            await world.host(BIGMAIL).send(CAROL, ANN, TEXT.format("direct"))
            assert len(world.mine.mailbox("ann")) == 1
            await world.mine.stop()
            await world.host(BIGMAIL).send(CAROL, ANN, TEXT.format("first"))
            assert [str(r) for item in world.partner.queue for r in item.remaining] == [ANN]
            assert told(world, EventKind.DEFERRED, PARTNER)[-1].text == "Connection refused"
            sent = await world.laptop.send("x@elsewhere.test", host=PARTNER)
            assert "550 relay not permitted" in str(sent)
            await world.mine.start()
            await world.partner.run_queue()  # exim -q: the retry time is not reached
            assert len(world.mine.mailbox("ann")) == 1
            await world.partner.run_queue(domain="st11")  # what ETRN does
            assert len(world.mine.mailbox("ann")) == 2
            await world.mine.stop()
            await world.host(BIGMAIL).send(CAROL, ANN, TEXT.format("second"))
            await world.mine.start()
            await world.advance(hours=1)
            assert [m.first("Subject") for m in world.mine.mailbox("ann")] == ["direct", "first", "second"]
            assert not world.partner.queue

    run(story())


@WAYS
def test_backup_outage(run: Run, network: str, engine: str) -> None:
    async def story() -> None:
        async with opened("backup_outage", network, engine) as world:
            await world.advance(hours=3)
            assert len(world.partner.queue) == 2
            assert not world.mine.is_running
            await world.advance(hours=4)
            subjects = sorted(m.first("Subject") or "" for m in world.mine.mailbox("ann"))
            assert subjects == ["are you there?", "lunch"], "a queue run of Exim has any order"
            (up,) = list(told(world, EventKind.STARTED, MINE)[1:])
            waited = [e for e in told(world, EventKind.DELIVERED, PARTNER) if e.remote_host == MINE]
            assert len(waited) == 2
            assert all(e.at > up.at for e in waited), "two clocks: it is up before the retry time"

    run(story())


@WAYS
@pytest.mark.parametrize("third", [30, 20])
def test_three_mx(run: Run, network: str, engine: str, third: int) -> None:
    """The better backup is tried first; with both others down the third has it, and hands it on to the better one."""

    async def story() -> None:
        async with opened("three_mx", network, engine, third=third) as world:
            last = world.host("mx3")
            await world.mine.stop()
            await world.host(BIGMAIL).send(CAROL, ANN, TEXT.format("one"))
            assert (len(world.partner.queue), len(last.queue)) == (1, 0)
            await world.partner.stop()
            await world.host(BIGMAIL).send(CAROL, ANN, TEXT.format("two"))
            assert len(last.queue) == 1
            await world.partner.start()
            await world.advance(hours=1)
            handed_on = [e for e in told(world, EventKind.DELIVERED, last.name) if e.remote_host == PARTNER]
            assert len(handed_on) == (1 if third == 30 else 0), "never to one that is not better"
            await world.mine.start()
            await world.advance(hours=4)
            assert sorted(m.first("Subject") or "" for m in world.mine.mailbox("ann")) == ["one", "two"]

    run(story())


@WAYS
def test_null_mx(run: Run, network: str, engine: str) -> None:
    async def story() -> None:
        async with opened("null_mx", network, engine) as world:
            await world.partner.send(BOB, ANN, TEXT.format("in vain"))
            (failed,) = told(world, EventKind.FAILED, PARTNER)
            assert failed.recipient == ANN
            assert not world.partner.queue
            (report,) = world.partner.mailbox("bob")
            assert report.first("Subject") == "Mail delivery failed: returning message to sender"
            assert not told(world, EventKind.RECEIVED, MINE), "nobody has tried"
            await world.host(BIGMAIL).send(CAROL, ANN, TEXT.format("in vain, too"))
            assert "takes no mail" in (told(world, EventKind.FAILED, BIGMAIL)[0].text or "")

    run(story())


@WAYS
def test_left_over_mx(run: Run, network: str, engine: str) -> None:
    """Completed in the log, in no queue, and nowhere."""

    async def story() -> None:
        async with opened("left_over_mx", network, engine) as world:
            await world.advance(days=6)
            assert world.mine.is_running
            assert world.partner.is_running
            (left,) = list(told(world, EventKind.DELIVERED, BIGMAIL))
            assert (left.remote_host, left.code) == ("mx.oldrelay.test", 250)
            assert not world.mine.mailbox("ann")
            assert not world.mine.queue + world.partner.queue
            assert len(world.host("mx.oldrelay").mailbox("ann")) == 1
            await world.host(BIGMAIL).send(CAROL, ANN, TEXT.format("now"))
            assert [m.first("Subject") for m in world.mine.mailbox("ann")] == ["now"]

    run(story())


@WAYS
def test_dns_failing(run: Run, network: str, engine: str) -> None:
    async def story() -> None:
        async with opened("dns_failing", network, engine) as world:
            await world.mine.send(ANN, BOB, TEXT.format("where are you"))
            assert "did not complete" in (told(world, EventKind.DEFERRED, MINE)[0].text or "")
            await world.advance(hours=1, minutes=50)
            assert len(world.mine.queue) == 1
            assert not world.partner.mailbox("bob")
            await world.advance(hours=2)
            assert [m.first("Subject") for m in world.partner.mailbox("bob")] == ["where are you"]

    run(story())


@WAYS
def test_greylisting(run: Run, network: str, engine: str) -> None:
    async def story() -> None:
        async with opened("greylisting", network, engine) as world:
            await world.host(BIGMAIL).send(CAROL, ANN, TEXT.format("buy"))
            (failed,) = told(world, EventKind.FAILED, BIGMAIL)
            assert "451" in (failed.text or "")
            await world.partner.send(BOB, ANN, TEXT.format("lunch"))
            assert len(world.partner.queue) == 1
            await world.advance(minutes=20)
            assert [m.first("Subject") for m in world.mine.mailbox("ann")] == ["lunch"]
            before = world.now()
            await world.partner.send(BOB, ANN, TEXT.format("dinner"))
            assert len(world.mine.mailbox("ann")) == 2, "known by now"
            assert world.now() == before
            assert {e.code for e in told(world, EventKind.REJECTED, MINE)} == {451}

    run(story())


@WAYS
@pytest.mark.parametrize("limit", [5, 30])
def test_loop(run: Run, network: str, engine: str, limit: int) -> None:
    async def story() -> None:
        async with opened("loop", network, engine, limit=limit) as world:
            await world.laptop.send("round@st11.sne21.test", "round")
            await world.advance(minutes=30)
            taken = [e for e in world.journal.where(EventKind.RECEIVED) if e.sender == ANN]
            assert len(taken) == limit + 1, "one more Received field than the limit is too many"
            report = world.mine.mailbox("ann")[-1]
            assert report.first("Subject") == "Mail delivery failed: returning message to sender"
            (failed,) = world.journal.where(EventKind.FAILED)
            assert failed.text == 'Too many "Received" headers - suspected mail loop'
            assert not world.mine.queue + world.partner.queue
            await world.laptop.send("postmaster@st2.sne21.test", "hello")
            assert len(world.partner.mailbox("bob")) == 1

    run(story())


@WAYS
def test_loop_open(run: Run, network: str, engine: str) -> None:
    """Nothing goes round yet, and Exim's default counts."""

    async def story() -> None:
        async with opened("loop_open", network, engine) as world:
            await world.laptop.send("postmaster@st2.sne21.test", "hello")
            assert len(world.partner.mailbox("bob")) == 1
            for host, target in ((world.mine, "st2"), (world.partner, "st11")):
                host.path("/etc/aliases").write_text(f"round: round@{target}.sne21.test\n")
            await world.laptop.send("round@st11.sne21.test", "round")
            taken = [e for e in world.journal.where(EventKind.RECEIVED) if e.sender == ANN]
            assert len(taken) == 1 + 31 + 1

    run(story())


@WAYS
def test_loop_bomb(run: Run, network: str, engine: str) -> None:
    async def story() -> None:
        async with opened("loop_bomb", network, engine, limit=3) as world:
            await world.laptop.send("p@st11.sne21.test", "boom")
            assert len([e for e in world.journal.where(EventKind.RECEIVED) if e.sender]) == 1 + 2 + 4 + 8
            assert len(world.mine.mailbox("ann")) == 2**3

    run(story())


@WAYS
def test_loop_mx_self(run: Run, network: str, engine: str) -> None:
    async def story() -> None:
        async with opened("loop_mx_self", network, engine) as world:
            await world.laptop.send("ann@shop.st11.sne21.test", "hello")
            (item,) = world.mine.queue
            assert item.frozen
            assert "local host" in (told(world, EventKind.DEFERRED, MINE)[0].text or "")

    run(story())


@WAYS
def test_loop_smarthost(run: Run, network: str, engine: str) -> None:
    """It works until it is needed."""

    async def story() -> None:
        async with opened("loop_smarthost", network, engine, limit=6) as world:
            await world.partner_laptop.send(ANN, "up")
            assert len(world.mine.mailbox("ann")) == 1
            await world.mine.stop()
            await world.partner_laptop.send(ANN, "down")
            (failed,) = world.journal.where(EventKind.FAILED)
            assert "suspected mail loop" in (failed.text or "")
            assert len(world.partner.mailbox("bob")) == 1
            assert not world.partner.queue + world.host("mx.relay").queue

    run(story())


@WAYS
def test_loop_vacation(run: Run, network: str, engine: str) -> None:
    """One more answer every half hour, and none has more than three Received fields."""

    async def story() -> None:
        async with opened("loop_vacation", network, engine) as world:
            await world.laptop.send(ANN, "reminder")
            await world.advance(hours=2)
            letters = world.partner.mailbox("ann")
            assert [letter.first("Subject") for letter in letters[:3]] == [
                "reminder",
                "Away: reminder",
                "Away: Away: reminder",
            ]
            assert len(letters) == 4
            assert max(len(list(letter.all("Received"))) for letter in letters) == 3

    run(story())


@WAYS
def test_virtual_domains(run: Run, network: str, engine: str) -> None:
    """Both domains are proven: who gets what, and who is refused."""
    table = [  # sender outside, recipient -> whose mailbox, or the code of the refusal
        ("ann@st11.sne21.test", "ann"),
        ("ann@shop.st11.sne21.test", "ann_shop"),
        ("Ann@Shop.St11.Sne21.Test", "ann_shop"),
        ("postmaster@st11.sne21.test", "ann"),
        ("postmaster@shop.st11.sne21.test", "clerk"),
        ("anything@shop.st11.sne21.test", "clerk"),
        ("anything@st11.sne21.test", 550),
        ("clerk@st11.sne21.test", 550),
        ("ann@mx2.st11.sne21.test", 550),
        ("bob@st2.sne21.test", 550),
        ("ann@other.st11.sne21.test", 550),
    ]

    async def story() -> None:
        async with opened("virtual_domains", network, engine) as world:
            for number, (recipient, expected) in enumerate(table):
                before = {account: len(world.mine.mailbox(account)) for account in world.mine.accounts}
                sent = await world.partner_laptop.send(recipient, f"number {number}", host=MINE)
                after = {account: len(world.mine.mailbox(account)) for account in world.mine.accounts}
                grown = [account for account in after if after[account] > before[account]]
                if isinstance(expected, int):
                    assert f"{recipient}: {expected}" in str(sent)
                    assert not grown, recipient
                else:
                    assert grown == [expected], recipient
            (alone,) = (await ask_whom(world.mine, world.partner_laptop, ["postmaster"])).replies
            assert alone == "250 Accepted", "RFC 5321 §4.5.1: also without a domain"
            await world.laptop.send(BOB, "a client of the house may relay")
            assert len(world.partner.mailbox("bob")) == 1

    run(story())


@WAYS
def test_spam(run: Run, network: str, engine: str) -> None:
    """The bot is on the list, and has no name that leads back; the partner's host gets past a greylist by itself."""

    async def story() -> None:
        async with opened("spam", network, engine) as world:
            bot, grace = world.laptops["bot.winner.test"], world.laptops["out1.cloudpost.test"]
            assert (await bot.send(ANN, "hi", "there")).queue_id is not None
            await defend(world, "dnsbl")
            assert "550 198.18.100.61 is listed at bl.test: infected machine" in str(await bot.send(ANN))
            await defend(world, "ptr")
            assert "550 198.18.100.61 has no name that leads back to it" in str(await bot.send(ANN))
            assert (await grace.send(ANN, "hi", "there")).queue_id is not None
            await defend(world, "greylist_network")
            assert "451 greylisted" in str(await grace.send(ANN))
            await world.partner_laptop.send(ANN, "hello", "there")
            await world.advance(hours=1)
            subjects = [message.first("Subject") for message in world.mine.mailbox("ann")]
            assert subjects == ["hi", "hi", "hello"]

    run(story())
