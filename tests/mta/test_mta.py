"""One MTA: ids, grouping of recipients, what one message learns from another, frozen mail, and its policy."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from datetime import datetime, timedelta, timezone
from typing import Any

import pytest

from labkit import partners
from labkit.lab.world import World
from labkit.mail.event import EventKind
from labkit.mta.queue_id import base62, queue_id

ANN, BOB = "ann@st11.sne21.test", "bob@st2.sne21.test"
Story = Callable[[World], Coroutine[Any, Any, None]]


def tell(story: Story, **arguments: Any) -> None:
    async def whole() -> None:
        async with partners(network="memory", **arguments) as world:
            await asyncio.wait_for(story(world), 20)

    asyncio.run(whole())


def contacts(world: World) -> int:
    """How often the student's host has opened a conversation with the partner's."""
    said = world.journal.where(EventKind.DIALOGUE, host=world.partner.name, remote_address=world.mine.address)
    return len({event.session for event in said})


# --- queue ids ---


@pytest.mark.parametrize(
    "number, width, text", [(0, 2, "00"), (61, 1, "z"), (62, 2, "10"), (62**6 - 1, 6, "z" * 6)]
)
def test_base62(number: int, width: int, text: str) -> None:
    assert base62(number, width) == text


def test_queue_ids_look_like_exims_and_sort_by_time() -> None:
    at = datetime(2026, 9, 7, 9, tzinfo=timezone.utc)
    ids = [queue_id(at + timedelta(seconds=n), 42) for n in (0, 0.5, 1, 3600, 86400 * 365)]
    assert ids == sorted(ids)
    assert len(set(ids)) == len(ids)
    assert all(len(each) == 16 and [each[6], each[13]] == ["-", "-"] for each in ids)


def test_ids_of_different_students_differ() -> None:
    seen: set[str] = set()
    for st, seed in [(11, 1), (12, 1), (11, 2)]:

        async def story(world: World) -> None:
            sent = await world.laptop.send(BOB)
            assert sent.queue_id
            assert sent.queue_id not in seen
            seen.add(sent.queue_id)

        tell(story, st=st, seed=seed)


# --- recipients ---


def test_recipients_of_one_host_travel_together() -> None:
    async def story(world: World) -> None:
        for name in ("carl", "dora"):
            world.partner.add_account(name)
        everybody = [BOB, "carl@st2.sne21.test", "dora@st2.sne21.test", ANN]
        await world.laptop.send(everybody, "to all")
        assert contacts(world) == 1
        for name in ("bob", "carl", "dora"):
            (letter,) = world.partner.mailbox(name)
            assert "for " not in (letter.first("Received") or ""), "nobody learns of the others: RFC 5321 7.6"
            assert letter.first("Envelope-to") == f"{name}@st2.sne21.test"
        assert len(world.mine.mailbox("ann")) == 1

    tell(story)


def test_a_recipient_named_twice_gets_it_once() -> None:
    async def story(world: World) -> None:
        await world.laptop.send([BOB, BOB, "bob@ST2.sne21.TEST", ANN, ANN], "twice")
        assert len(world.mine.mailbox("ann")) == 1
        assert len(world.partner.mailbox("bob")) == 1, "domains have no case"
        assert world.mine.queue == ()

    tell(story)


# --- what one message learns from another ---


def test_a_dead_host_is_not_called_for_every_message() -> None:
    async def story(world: World) -> None:
        await world.partner.stop()
        for number in range(5):
            await world.laptop.send(BOB, f"number {number}")
        deferred = world.journal.where(EventKind.DEFERRED)
        assert [event.text for event in deferred] == [
            "Connection refused",
            *["retry time not reached for any host for 'st2.sne21.test'"] * 4,
        ]
        await world.mine.stop()
        await world.mine.start()  # what is known of hosts survives a restart
        await world.settle()
        assert [event.text for event in world.journal.where(EventKind.DEFERRED)].count(
            "Connection refused"
        ) == 1
        await world.partner.start()
        await world.advance(minutes=15)
        subjects = [letter.first("Subject") for letter in world.partner.mailbox("bob")]
        in_order = [f"number {number}" for number in (0, 4, 3, 2, 1)]
        assert subjects == in_order, "the oldest; over its connection the others, the last one first, as Exim"

    tell(story)


def test_one_mailbox_that_is_locked_delays_only_itself() -> None:
    async def story(world: World) -> None:
        world.mine.add_account("carl")
        lock = world.mine.mailbox_file("ann").with_name("ann.lock")
        lock.parent.mkdir(parents=True, exist_ok=True)
        lock.write_text("somebody reads\n")
        await world.laptop.send([ANN, "carl@st11.sne21.test"], "to both")
        assert (len(world.mine.mailbox("ann")), len(world.mine.mailbox("carl"))) == (0, 1)
        (item,) = world.mine.queue
        assert [str(each) for each in item.remaining] == [ANN]
        lock.unlink()
        await world.advance(minutes=15)
        assert (len(world.mine.mailbox("ann")), len(world.mine.mailbox("carl"))) == (1, 1)
        assert world.mine.queue == ()

    tell(story)


# --- reports and frozen mail ---


def test_a_report_that_cannot_be_delivered_is_frozen() -> None:
    async def story(world: World) -> None:
        await world.laptop.send("nobody@st2.sne21.test", "bounces", sender="ghost@st11.sne21.test")
        (item,) = world.mine.queue
        assert item.frozen
        assert item.is_report
        assert [str(each) for each in item.remaining] == ["ghost@st11.sne21.test"]
        failures = len(world.journal.where(EventKind.FAILED))
        await world.advance(days=7)
        await world.mine.run_queue()
        assert len(world.journal.where(EventKind.FAILED)) == failures, "nobody touches it"
        assert len(world.mine.queue) == 1
        world.mine.add_account("ghost")
        await world.mine.force(item.queue_id)  # exim -M
        assert world.mine.queue == ()
        (report,) = world.mine.mailbox("ghost")
        assert report.first("Return-path") == "<>"

    tell(story)


def test_a_frozen_message_is_frozen_after_a_restart(tmp_path: Any) -> None:
    async def first(world: World) -> None:
        await world.laptop.send("nobody@st2.sne21.test", "bounces", sender="ghost@st11.sne21.test")

    async def second(world: World) -> None:
        (item,) = world.mine.queue
        assert item.frozen
        await world.mine.run_queue(forced=True)  # -qff tries frozen ones too
        assert len(world.mine.queue) == 1

    tell(first, folder=tmp_path)
    tell(second, folder=tmp_path)


def test_a_report_tells_what_it_is_about() -> None:
    async def story(world: World) -> None:
        await world.laptop.send(["nobody@st2.sne21.test", "eve@st2.sne21.test", BOB], "some fail")
        (report,) = world.mine.mailbox("ann")
        failed = (report.first("X-Failed-Recipients") or "").split(",")
        assert [each.strip() for each in failed] == ["eve@st2.sne21.test", "nobody@st2.sne21.test"]
        assert report.first("Auto-Submitted") == "auto-replied"
        text = report.body.decode()
        assert "550 Unrouteable address" in text
        assert "Action: failed" in text
        assert "Subject: some fail" in text
        assert BOB not in text.partition("message/rfc822")[0]

    tell(story)


# --- policy ---


@pytest.mark.parametrize(
    "old, new, answer, because",
    [
        ("acl_smtp_rcpt = check_rcpt\n", "", "550 Administrative prohibition", "no ACL: nobody may send"),
        ("  accept  hosts   = +relay_from_hosts\n", "", "550 relay not permitted", "relaying not allowed"),
        ("  accept  hosts   = +relay_from_hosts\n", "  deny\n", "550 Administrative prohibition", "denied"),
        ("  accept  hosts   = +relay_from_hosts\n", "  defer message = wait\n", "451 wait", "put off"),
    ],
)
def test_policy_comes_from_the_file(old: str, new: str, answer: str, because: str) -> None:
    async def story(world: World) -> None:
        assert old in world.mine.configuration
        world.mine.write_configuration(world.mine.configuration.replace(old, new))
        await world.mine.reload()
        sent = await world.laptop.send(BOB)
        assert answer in str(sent), because
        (event,) = world.journal.where(EventKind.REJECTED)
        assert (event.recipient, event.remote_address) == (BOB, world.laptop.address)

    tell(story)


def test_a_policy_that_needs_a_silent_nameserver_defers() -> None:
    """The look-up costs lab time where there is any to spend, and none for who speaks from outside of it."""

    async def story(world: World) -> None:
        conf = world.mine.configuration.replace(
            "  accept  hosts   =", "  require verify = recipient\n  accept hosts ="
        )
        world.mine.write_configuration(conf)
        await world.mine.reload()
        world.nameserver.silent()
        sent = await world.laptop.send(BOB)
        assert "451 Temporary local problem - please try later" in str(sent)  # Exim's words for a deferral
        assert not any("internal problem" in (event.text or "") for event in world.journal)
        world.nameserver.silent(on=False)
        assert (await world.laptop.send(BOB)).queue_id

    tell(story)


def test_waiting_for_the_next_queue_run() -> None:
    async def story(world: World) -> None:
        await world.mine.stop()
        await world.mine.start(queue_only=True)
        await world.laptop.send([ANN, BOB], "later")
        assert len(world.mine.queue) == 1
        assert world.journal.where(EventKind.DELIVERED) == []
        await world.advance(minutes=15)
        assert world.mine.queue == ()
        assert len(world.journal.where(EventKind.DELIVERED)) == 3

    tell(story)


def test_another_port() -> None:
    async def story(world: World) -> None:
        await world.mine.stop()
        world.mine.write_configuration("daemon_smtp_ports = smtp : 587\n" + world.mine.configuration)
        await world.mine.start()
        for port in (25, 587):
            assert (await world.laptop.send(BOB, port=port)).queue_id
        with pytest.raises(ConnectionRefusedError):
            await world.laptop.send(BOB, port=465)

    tell(story)


def test_who_takes_the_hints_away_has_all_tried_again() -> None:
    """`rm spool/db/*` is how an administrator forgets retry times: the next run knows of none."""

    async def story() -> None:
        async with partners(network="memory") as world:
            await world.partner.stop()
            await world.laptop.send("bob@st2.sne21.test", "waits")
            await world.partner.start()
            await world.mine.run_queue()
            assert len(world.mine.queue) == 1, "its time has not come"
            for file in world.mine.path("/var/spool/exim/db").iterdir():
                file.unlink()
            await world.mine.run_queue()
            assert world.mine.queue == ()

    asyncio.run(story())
