"""One story on both networks, twice on each: the journals are the same, event by event, and they are true."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from dataclasses import replace
from datetime import timedelta

import pytest

from labkit import partners
from labkit.lab.clock import FIRST_MORNING
from labkit.lab.world import World
from labkit.mail.event import EventKind, MailEvent

BOB, NOBODY = "bob@st2.sne21.test", "nobody@st2.sne21.test"
MINE, PARTNER = "mx2.st11.sne21.test", "mx2.st2.sne21.test"


async def the_story(world: World) -> None:
    """A busy fortnight of two small mail hosts."""
    laptop, mine, partner = world.laptop, world.mine, world.partner

    for number in range(3):
        await laptop.send(BOB, f"letter {number}", "line\n" * number)
    await laptop.send([BOB, NOBODY, "ann@st11.sne21.test"], "to several", "one of them is unknown\n")
    await laptop.send(NOBODY, "unknown", "this comes back\n")
    await world.partner_laptop.send("eve@elsewhere.test", "relay", "", host=mine.name)

    await partner.stop()
    await laptop.send(BOB, "down 1", "waits\n")
    await laptop.send(BOB, "down 2", "waits too\n", settle=False)
    await world.advance(hours=3)
    await mine.run_queue()
    await partner.start()
    await mine.run_queue(forced=True)

    await partner.stop()
    await laptop.send(BOB, "in vain", "nobody is there\n")
    await world.advance(days=6)

    await mine.stop()
    await mine.start()
    await partner.start()
    mine.mta.state.resolver.flush()
    world.nameserver.servfail("st2.sne21.test")
    await laptop.send(BOB, "the nameserver fails", "later\n")
    await world.advance(minutes=20)
    world.nameserver.servfail("st2.sne21.test", on=False)
    await world.advance(hours=1)

    mine.mta.state.resolver.flush()
    world.nameserver.silent()
    await laptop.send(BOB, "the nameserver is silent", "later\n")
    await world.advance(minutes=20)
    world.nameserver.silent(on=False)
    await world.advance(hours=1)

    world.network.silence(partner.address)
    await laptop.send(BOB, "the host is silent", "later\n")
    await laptop.send("ann@st11.sne21.test", "in the meantime", "quick\n")
    await world.advance(minutes=20)
    world.network.silence(partner.address, on=False)
    await world.advance(hours=1)


def journal_of(network: str) -> list[MailEvent]:
    """Tell the story on a network; the events, without the ports that the kernel hands out as it likes."""

    async def tell() -> list[MailEvent]:
        async with partners(network=network) as world:
            await asyncio.wait_for(the_story(world), 50)
            return [replace(event, remote_port=None) for event in world.journal]

    return asyncio.run(tell())


@pytest.fixture(scope="module")
def memory() -> list[MailEvent]:
    return journal_of("memory")


@pytest.fixture(scope="module")
def loopback() -> list[MailEvent]:
    return journal_of("loopback")


def expect_same(one: list[MailEvent], other: list[MailEvent]) -> None:
    for event, counterpart in zip(one, other):
        assert event == counterpart
    assert len(one) == len(other)


def test_the_same_on_both_networks(memory: list[MailEvent], loopback: list[MailEvent]) -> None:
    expect_same(memory, loopback)


def test_the_same_again_in_memory(memory: list[MailEvent]) -> None:
    expect_same(memory, journal_of("memory"))


def test_the_same_again_on_loopback(loopback: list[MailEvent]) -> None:
    expect_same(loopback, journal_of("loopback"))


# --- what it says: letters are numbered as the laptop sends them ---

SEVERAL, UNKNOWN, DOWN, DOWN_TOO, IN_VAIN, SERVFAIL, NO_DNS, SILENT, MEANWHILE = range(4, 13)


def letter(events: Iterable[MailEvent], kind: EventKind, number: int, host: str = MINE) -> list[MailEvent]:
    """The events about the laptop's letter of that number, at one host."""
    events = list(events)
    message_id = f"<1.{number}@laptop.st11.sne21.test>"
    ours = {e.queue_id for e in events if e.host == host and e.message_id == message_id}
    return [e for e in events if e.kind is kind and e.host == host and e.queue_id in ours]


def hours(event: MailEvent) -> float:
    return (event.at - FIRST_MORNING) / timedelta(hours=1)


def test_letters_arrive_at_once(memory: list[MailEvent]) -> None:
    for number in (1, 2, 3):
        (handed_over,) = letter(memory, EventKind.DELIVERED, number)
        (stored,) = letter(memory, EventKind.DELIVERED, number, PARTNER)
        assert (handed_over.remote_host, stored.transport) == (PARTNER, "into_mailbox")
        assert hours(handed_over) == hours(stored) == 0
        assert handed_over.text == f"OK id={stored.queue_id}"


def test_each_recipient_has_an_outcome(memory: list[MailEvent]) -> None:
    delivered = {e.recipient for e in letter(memory, EventKind.DELIVERED, SEVERAL)}
    (failed,) = letter(memory, EventKind.FAILED, SEVERAL)
    assert delivered == {BOB, "ann@st11.sne21.test"}
    assert (failed.recipient, failed.code) == (NOBODY, 550)


def test_an_unknown_user_bounces(memory: list[MailEvent]) -> None:
    (failed,) = letter(memory, EventKind.FAILED, UNKNOWN)
    assert failed.text == (
        f"SMTP error from remote mail server after RCPT TO:<{NOBODY}>: 550 Unrouteable address"
    )
    reports = [e for e in memory if e.kind is EventKind.RECEIVED and e.sender == ""]
    assert len(reports) == 6  # one of two recipients, this one, the final one, and three warnings on the way
    for report in reports:
        (to,) = [e for e in memory if e.kind is EventKind.DELIVERED and e.queue_id == report.queue_id]
        assert (to.recipient, to.host, to.transport) == ("ann@st11.sne21.test", MINE, "into_mailbox")


def test_relaying_is_refused(memory: list[MailEvent]) -> None:
    refused = [e for e in memory if e.kind is EventKind.REJECTED and e.host == MINE]
    assert [(e.recipient, e.code, e.text, e.remote_address) for e in refused] == [
        ("eve@elsewhere.test", 550, "relay not permitted", "198.51.100.2")
    ]


def test_a_host_that_is_down_gets_its_mail_later(memory: list[MailEvent]) -> None:
    tried = letter(memory, EventKind.DEFERRED, DOWN)
    assert {e.text for e in tried} == {
        "Connection refused",
        "retry time not reached for any host for 'st2.sne21.test'",
    }
    real = [hours(e) for e in tried if e.text == "Connection refused"]
    assert real[:5] == [0, 0.25, 0.5, 0.75, 1], "F,2h,15m with a queue run each quarter of an hour"
    (arrived,) = letter(memory, EventKind.DELIVERED, DOWN)
    assert hours(arrived) == 3
    assert [hours(e) for e in letter(memory, EventKind.DELIVERED, DOWN_TOO)] == [3]


def test_after_days_the_sender_hears_of_it(memory: list[MailEvent]) -> None:
    (failed,) = letter(memory, EventKind.FAILED, IN_VAIN)
    assert failed.text == "retry timeout exceeded"
    assert 4 * 24 <= hours(failed) - 3 <= 4 * 24 + 8
    assert letter(memory, EventKind.DELIVERED, IN_VAIN) == []
    assert len(letter(memory, EventKind.COMPLETED, IN_VAIN)) == 1


@pytest.mark.parametrize(
    "number, words, because",
    [
        (SERVFAIL, "host lookup did not complete", "SERVFAIL"),
        (NO_DNS, "host lookup did not complete", "no answer of the nameserver"),
        (SILENT, "Connection timed out", "no answer of the host"),
    ],
)
def test_what_fails_for_a_while_only_delays(
    memory: list[MailEvent], number: int, words: str, because: str
) -> None:
    assert {e.text for e in letter(memory, EventKind.DEFERRED, number)} >= {words}, because
    assert len(letter(memory, EventKind.DELIVERED, number)) == 1
    assert len(letter(memory, EventKind.DELIVERED, number, PARTNER)) == 1


def test_silence_costs_lab_time(memory: list[MailEvent]) -> None:
    (received,) = letter(memory, EventKind.RECEIVED, NO_DNS)
    first = letter(memory, EventKind.DEFERRED, NO_DNS)[0]
    assert first.at - received.at == timedelta(seconds=10), "two tries of five seconds each"
    (received,) = letter(memory, EventKind.RECEIVED, SILENT)
    first = letter(memory, EventKind.DEFERRED, SILENT)[0]
    assert first.at - received.at == timedelta(minutes=5)
    (local,) = letter(memory, EventKind.DELIVERED, MEANWHILE)
    assert local.at == received.at, "others need not wait"


def test_nothing_is_left(memory: list[MailEvent]) -> None:
    received = [e.queue_id for e in memory if e.kind is EventKind.RECEIVED]
    completed = [e.queue_id for e in memory if e.kind is EventKind.COMPLETED]
    assert len(set(received)) == len(received)
    assert sorted(filter(None, completed)) == sorted(filter(None, received))
    assert [e for e in memory if e.host == "lab" and e.kind is not EventKind.CLOCK] == []
