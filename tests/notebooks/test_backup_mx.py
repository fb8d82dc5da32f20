"""Notebook 03: the facts it teaches, its exercises with several right ways, and each typical mistake with its hint."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from labkit import World
from labkit.mail.event import EventKind
from labkit.teach.checks import CheckView, Progress, check
from labkit.teach.plots import message_life, predict_life, predict_schedule
from labkit.teach.plots.message_life import LOOK, PUT_OFF, WARNING
from labkit.teach.tasks.backup_relay import probe_backup
from labkit.teach.views.explained_diff import edited
from labkit.teach.views.explained_diff_trial import replies_to
from labkit.teach.views.waiting_room import host_says, outside_writes, remembers, who_waits

from .committed import Committed

NOTEBOOK = Committed("03_backup_mx")
CELLS = NOTEBOOK.sources
APEX, MINE, PARTNER = "sne21.test", "mx2.st11.sne21.test", "mx2.st2.sne21.test"
ANN, BOB, CAROL = "ann@st11.sne21.test", "bob@st2.sne21.test", "carol@bigmail.test"
REFUSED, TAKEN = "550 relay not permitted", "250 Accepted"

Steps = Callable[[World], Awaitable[Any]]
Edits = list[tuple[str, str, str]]

WAYS = pytest.mark.parametrize(
    "network, engine",
    [
        ("memory", "labkit"),
        ("loopback", "labkit"),
        pytest.param("loopback", "exim", marks=pytest.mark.needs("exim", "gcc")),
    ],
)
# the cells tagged `fact` show these on the real Exim, too: test_on_exim.py
PURE = pytest.mark.parametrize("network, engine", [("memory", "labkit"), ("loopback", "labkit")])


def run(steps: Steps, name: str = "partners_and_bigmail", **options: Any) -> Any:
    async def go() -> Any:
        async with World.open(name, alongside=True, **{"network": "memory", **options}) as world:
            return await steps(world)

    return asyncio.run(go())


(ZONE_EDITS,), (RELAY_EDITS,) = NOTEBOOK.values("c2", "edits"), NOTEBOOK.values("c3b", "edits")
(ETRN_EDITS,) = NOTEBOOK.values("c6e", "etrn_edits")


def publish(world: World, *edits: tuple[str, str]) -> None:
    world.write_zone(APEX, edited(world.zone(APEX), [(old, new, "") for old, new in edits]))


async def configure(host: Any, edits: Edits) -> None:
    host.write_configuration(edited(host.configuration, edits))
    await host.reload()


async def a_backup(world: World) -> None:
    """Parts 2 and 3 of the notebook."""
    world.write_zone(APEX, edited(world.zone(APEX), ZONE_EDITS))
    await configure(world.partner, RELAY_EDITS)


def arrivals(world: World, host: str = MINE) -> list[str]:
    return [f"{e.at:%a %H:%M}" for e in world.journal.where(EventKind.DELIVERED, host=host)]


# --- the facts ---


@PURE
def test_a_record_is_no_permission_and_counts_when_the_old_answer_is_forgotten(
    network: str, engine: str
) -> None:
    """Parts 2 and 3."""

    async def steps(world: World) -> None:
        await outside_writes(world, CAROL, ANN, "one")
        world.write_zone(APEX, edited(world.zone(APEX), ZONE_EDITS))
        await world.mine.stop()
        await world.advance(minutes=5)
        assert "nobody listens at 203.0.113.11" in await outside_writes(world, CAROL, ANN, "two")
        await world.advance(hours=1)
        assert await outside_writes(world, CAROL, ANN, "three") == f"10:05 failed: {REFUSED}"
        asked = [ANN, BOB, "dean@bigmail.test"]
        told = await replies_to(world.partner, world.laptop, CAROL, asked)
        assert list(told.values()) == [REFUSED, TAKEN, REFUSED]
        await configure(world.partner, RELAY_EDITS)
        told = await replies_to(world.partner, world.laptop, CAROL, asked)
        assert list(told.values()) == [TAKEN, TAKEN, REFUSED]
        routed = await world.partner.route(ANN)
        assert [hop.host.rstrip(".") for hop in routed.next_hops] == [MINE], "never to itself"

    run(steps, network=network, engine=engine)


@WAYS
def test_waiting_is_two_clocks(network: str, engine: str) -> None:
    """Parts 4 and 5: tried at 10:07, looked at at 10:15, back at 10:16, retry time 10:22, delivered at 10:30."""

    async def steps(world: World) -> None:
        await a_backup(world)
        await world.mine.stop()
        await world.advance(hours=1, minutes=7)
        await outside_writes(world, CAROL, ANN, "one")
        await world.advance(minutes=2)
        await world.partner_laptop.send([ANN, BOB], "Exam", "x\n", header_from="dean@bigmail.test")
        assert [row[1:4] for row in who_waits(world.partner).rows] == [
            (CAROL, ANN, "one"),
            (BOB, ANN, "Exam"),
        ]
        (hint,) = remembers(world.partner).rows
        assert hint[0].startswith(f"T:{MINE}") and hint[1:4] == (
            "Mon 07 Sep 10:07",
            "Mon 07 Sep 10:07",
            "Mon 07 Sep 10:22",
        )
        queue_id = world.partner.queue[0].queue_id
        await world.advance(minutes=7)
        await world.mine.start()
        await world.advance(minutes=13)
        assert not world.mine.mailbox("ann"), "10:29"
        await world.advance(minutes=2)
        assert arrivals(world) == ["Mon 10:30", "Mon 10:30"]
        marks = [(f"{mark.at:%H:%M}", mark.what) for mark in message_life(world, queue_id).marks]
        assert ("10:07", PUT_OFF) in marks and ("10:15", LOOK) in marks
        assert predict_life(world, queue_id, "0m 23m").right == 2, "at the host that gave this id"
        await world.advance(minutes=29)  # the exercise: away from 11:00 to 13:40
        await world.mine.stop()
        await world.advance(minutes=2)
        await outside_writes(world, CAROL, ANN, "Which minute")
        await world.advance(hours=2, minutes=38)
        await world.mine.start()
        await world.advance(hours=2)
        assert arrivals(world)[2:] == ["Mon 14:15"]

    run(steps, network=network, engine=engine)


@WAYS
def test_only_force_asks_for_no_retry_time(network: str, engine: str) -> None:
    """Part 6."""

    async def steps(world: World) -> None:
        await a_backup(world)

        async def one_waits(subject: str) -> str:
            await world.mine.stop()
            await outside_writes(world, CAROL, ANN, subject)
            await world.advance(minutes=2)
            await world.mine.start()
            return world.partner.queue[-1].queue_id

        def count() -> int:
            return len(world.mine.mailbox("ann"))

        await one_waits("q")
        await world.partner.run_queue()
        assert count() == 0
        assert world.journal.where(EventKind.DEFERRED, host=PARTNER)[-1].text == (
            "retry time not reached for any host for 'st11.sne21.test'"
        )
        await world.partner.run_queue(forced=True)
        assert count() == 1
        await world.partner.force(await one_waits("M"))
        assert count() == 2
        await one_waits("R")
        await world.partner.run_queue(domain="st2.")
        assert count() == 2
        await world.partner.run_queue(domain="st11")
        assert count() == 3
        await one_waits("E")
        lines = [f"EHLO {MINE}", "ETRN #st11.sne21.test"]
        assert (await host_says(world.partner, world.mine, lines)).rows[1][
            1
        ] == "458 Administrative prohibition"
        await configure(world.partner, ETRN_EDITS)
        stranger = await host_says(world.partner, world.host("mx.bigmail"), lines)
        assert stranger.rows[1][1] == "458 Administrative prohibition", "only the primary may"
        bare = await host_says(world.partner, world.mine, [lines[0], "ETRN st11.sne21.test"])
        assert bare.rows[1][1].startswith("501") and count() == 3
        assert (await host_says(world.partner, world.mine, lines)).rows[1][1] == "250 OK"
        assert count() == 4

    run(steps, network=network, engine=engine)


@PURE
def test_without_queue_runs_nobody_looks(network: str, engine: str) -> None:
    """Part 8: they wait for ever, and go along when another message reaches that host."""

    async def steps(world: World) -> None:
        await world.advance(hours=9)
        assert world.partner.next_queue_run() is None
        assert len(world.partner.queue) == 2
        await world.partner_laptop.send(ANN, "One more")
        subjects = sorted(letter.first("Subject") or "" for letter in world.mine.mailbox("ann"))
        assert subjects == ["One more", "are you there?", "lunch"]

    run(steps, "backup_outage", network=network, engine=engine, queue_interval=None)


QUEUED = [("acl_smtp_rcpt = check_rcpt", "acl_smtp_rcpt = check_rcpt\nqueue_domains = st11.sne21.test", "")]


@WAYS
def test_queue_domains_only_delays(network: str, engine: str) -> None:
    """Part 9."""

    async def steps(world: World) -> None:
        hops = (await world.partner.route(ANN)).next_hops
        await configure(world.partner, QUEUED)
        told = await replies_to(world.partner, world.laptop, CAROL, [ANN])
        assert told[ANN] == REFUSED, "it permits nothing"
        assert (await world.partner.route(ANN)).next_hops == hops, "it chooses nothing"
        await configure(world.partner, RELAY_EDITS)
        await world.advance(minutes=7)
        await world.partner_laptop.send(ANN, "Queued")
        assert len(world.partner.queue) == 1, "the primary is up"
        await world.advance(minutes=9)
        assert arrivals(world) == ["Mon 09:15"]

    run(steps, network=network, engine=engine)


@pytest.mark.parametrize("network", ["memory", "loopback"])
def test_queue_domains_without_a_queue_runner(network: str) -> None:
    async def steps(world: World) -> None:
        await configure(world.partner, QUEUED)
        await world.partner_laptop.send(ANN, "Stuck")
        await world.advance(days=3)
        assert len(world.partner.queue) == 1 and not arrivals(world)

    run(steps, network=network, queue_interval=None)


@PURE
def test_four_days(network: str, engine: str) -> None:
    """Part 10: warnings after each day, a bounce after four; and quickly. (The real Exim: tests/differential.)"""

    async def steps(world: World) -> None:
        await world.mine.stop()
        await world.advance(minutes=7)
        await outside_writes(world, CAROL, ANN, "Five days")
        queue_id = world.partner.queue[0].queue_id
        began = time.process_time()
        await world.advance(days=5)
        assert time.process_time() - began < 0.5
        letters = world.host("mx.bigmail").mailbox("carol")
        subjects = [(letter.first("Subject") or "").replace(queue_id, "ID") for letter in letters]
        assert subjects == [
            *(f"Warning: message ID delayed {hours} hours" for hours in (24, 48, 72)),
            "Mail delivery failed: returning message to sender",
        ]
        warned = [mark.at for mark in message_life(world, queue_id).marks if mark.what == WARNING]
        assert [f"{at:%a %H:%M}" for at in warned] == ["Tue 14:30", "Wed 14:30", "Thu 14:30"]
        (failed,) = world.journal.where(EventKind.FAILED, host=PARTNER)
        assert failed.text == "retry timeout exceeded" and f"{failed.at:%a %H:%M}" == "Fri 09:15"
        assert letters[-1].first("Return-path") == "<>" and letters[-1].first("X-Failed-Recipients") == ANN

    run(steps, "backup_mx", network=network, engine=engine)


@PURE
def test_a_report_that_nobody_takes_freezes_and_goes(network: str, engine: str) -> None:
    """Part 11."""

    async def steps(world: World) -> None:
        await world.mine.stop()
        await world.advance(minutes=2)
        await outside_writes(world, "gone@bigmail.test", "zoe@st11.sne21.test", "Buy now")
        await world.advance(minutes=7)
        await world.mine.start()
        await world.advance(minutes=35)
        (frozen,) = who_waits(world.partner).rows
        assert frozen[1:3] == ("<> (a report)", "gone@bigmail.test") and frozen[4] == "frozen"
        text = f"ignore_bounce_errors_after = 2h\n{world.partner.configuration}"
        world.partner.write_configuration(text)
        await world.partner.reload()
        await world.advance(minutes=60)
        assert len(world.partner.queue) == 1
        await world.advance(minutes=75)
        assert not world.partner.queue

    run(steps, "backup_mx", network=network, engine=engine)


def test_a_smarthost_takes_what_should_go_by_mx() -> None:
    """Part 3."""

    async def steps(world: World) -> None:
        await a_backup(world)
        router = "begin routers\nsmarthost:\n  driver = manualroute\n  domains = ! +local_domains\n"
        router += "  transport = by_smtp\n  route_list = * mx.bigmail.test\n"
        assert "route_list = * mx.bigmail.test" in CELLS["c3e"]
        await configure(world.partner, [("begin routers", router, "")])
        assert (await world.partner.route(ANN)).next_hops[0].host == "mx.bigmail.test"

    run(steps)


def test_the_first_guesses_are_wrong_and_can_be_mended() -> None:
    rule = "*  *  F,2h,15m; G,8h,1h,1.5"
    assert rule in CELLS["c10"]
    guess = "0m 15m 30m 45m 1h 1h15m 1h30m 1h45m 2h 3h 4h30m 6h45m"
    assert guess in CELLS["c10"]
    wrong = predict_schedule(rule, guess)
    assert "All of it is right" not in wrong.text()
    right = predict_schedule(rule, list(wrong.times))
    assert "All of it is right" in right.text()


# --- the exercises: where they begin ---

ZONE_DONE = ("st2         IN MX  10 mx2.st2", "st2         IN MX  10 mx2.st2\n            IN MX  20 mx2.st11")
SERIAL = (
    "                    2026090702  ; serial: goes up with every change",
    "                    2026090703  ; serial: goes up with every change",
)
LIST = (
    "domainlist local_domains    = st11.sne21.test",
    "domainlist local_domains    = st11.sne21.test\ndomainlist relay_to_domains = st2.sne21.test",
    "",
)
USED = ("          domains = +local_domains", "          domains = +local_domains : +relay_to_domains", "")


def judged(steps: Callable[[World], Awaitable[CheckView]], **options: Any) -> CheckView:
    """The verdict that these steps come to, after the walk-through of the notebook."""

    async def all_of_it(world: World) -> CheckView:
        await a_backup(world)
        return await steps(world)

    found: CheckView = run(all_of_it, **options)
    return found


def zone_verdict(*edits: tuple[str, str]) -> CheckView:
    async def steps(world: World) -> CheckView:
        publish(world, *edits)
        return check("backup exchanger", world)

    return judged(steps)


def relay_verdict(
    *edits: tuple[str, str, str], reloads: bool = True, at: str = MINE, **options: Any
) -> CheckView:
    async def steps(world: World) -> CheckView:
        host = world.host(at)
        host.write_configuration(edited(host.configuration, edits))
        if reloads:
            await host.reload()
        return check("backup relay", await probe_backup(world))

    return judged(steps, **options)


RIGHT_ZONES = {
    "as the walk-through": [ZONE_DONE, SERIAL],
    "another number": [(ZONE_DONE[0], ZONE_DONE[1].replace("20", "50")), SERIAL],
    "full names": [
        (ZONE_DONE[0], f"{ZONE_DONE[0]}\nst2.sne21.test. IN MX 20 mx2.st11.sne21.test."),
        (SERIAL[0], "                    2026112301"),
    ],
    "own line first": [(ZONE_DONE[0], f"st2 IN MX 20 MX2.st11\n{ZONE_DONE[0]}"), SERIAL],
}
WRONG_ZONES = {
    "both the same": ([(ZONE_DONE[0], ZONE_DONE[1].replace("20", "10")), SERIAL], "have preference 10"),
    "wrong order": (
        [(ZONE_DONE[0], ZONE_DONE[1].replace("20", "5")), SERIAL],
        "Which of them is tried first",
    ),
    "serial": ([ZONE_DONE], "The serial is still 2026090702"),
    "only the host's name": (
        [
            ("mx2.st2        IN A   203.0.113.2", "mx2.st2 IN A 203.0.113.2\n        IN MX 20 mx2.st11"),
            SERIAL,
        ],
        "the name of Bob's host",
    ),
    "another name": (
        [
            ("laptop.st2     IN A   198.51.100.2", "laptop.st2 IN A 198.51.100.2\n      IN MX 20 mx2.st11"),
            SERIAL,
        ],
        "a line that begins with a blank belongs",
    ),
    "own domain": (
        [
            (
                "            IN MX  20 mx2.st2",
                "            IN MX  20 mx2.st2\n            IN MX  30 mx2.st11",
            ),
            SERIAL,
        ],
        "You gave st11.sne21.test. one more MX",
    ),
    "no final dot": ([(ZONE_DONE[0], ZONE_DONE[1] + ".sne21.test"), SERIAL], "completed with the origin"),
    "alias": (
        [(ZONE_DONE[0], ZONE_DONE[1].replace("mx2.st11", "backup\nbackup IN CNAME mx2.st11")), SERIAL],
        "is an alias (CNAME)",
    ),
    "no address": ([(ZONE_DONE[0], ZONE_DONE[1].replace("mx2.st11", "mx3.st11")), SERIAL], "has no address"),
    "an address": (
        [(ZONE_DONE[0], ZONE_DONE[1].replace("mx2.st11", "203.0.113.11")), SERIAL],
        "never an address",
    ),
    "another host": (
        [(ZONE_DONE[0], ZONE_DONE[1].replace("mx2.st11", "laptop.st11")), SERIAL],
        "it is not your host",
    ),
    "replaced": ([(ZONE_DONE[0], "st2 IN MX 20 mx2.st11"), SERIAL], "is gone from the list"),
    "none left": ([(ZONE_DONE[0], "; nothing"), SERIAL], "no MX record at all"),
    "three": (
        [(ZONE_DONE[0], ZONE_DONE[1] + "\n            IN MX  30 mx.bigmail.test."), SERIAL],
        "Two are wanted",
    ),
}

SMARTHOST = (
    "begin routers",
    "begin routers\nsmarthost:\n  driver = manualroute\n  domains = ! +local_domains\n"
    "  transport = by_smtp\n  route_list = * mx.bigmail.test",
    "",
)
RIGHT_RELAYS = {
    "as the walk-through": [LIST, USED],
    "a statement of its own": [
        LIST,
        (
            "  require message = relay not permitted",
            "  accept  domains = +relay_to_domains\n"
            "          verify  = recipient\n  require message = relay not permitted",
            "",
        ),
    ],
    "no named list": [
        ("          domains = +local_domains", "          domains = +local_domains : st2.sne21.test", "")
    ],
    "and what is below": [(LIST[0], f"{LIST[1]} : *.st2.sne21.test", ""), USED],
}
WRONG_RELAYS: dict[str, tuple[list[tuple[str, str, str]], dict[str, Any], str]] = {
    "everybody may": (
        [("hostlist   relay_from_hosts = 198.51.100.11", "hostlist   relay_from_hosts = *", "")],
        {},
        "relay_from_hosts says WHO",
    ),
    "every domain": (
        [(LIST[0], LIST[1].replace("= st2.sne21.test", "= *"), ""), USED],
        {},
        "must name one domain",
    ),
    "the partner's host may send": (
        [
            (
                "hostlist   relay_from_hosts = 198.51.100.11",
                "hostlist   relay_from_hosts = 198.51.100.11 : 203.0.113.2",
                "",
            )
        ],
        {},
        "What is missing is a list of domains",
    ),
    "below only": (
        [(LIST[0], LIST[1].replace("= st2", "= *.st2"), ""), USED],
        {},
        "matches every name BELOW",
    ),
    "own domain": (
        [(LIST[0], LIST[1].replace("= st2.sne21.test", "= st11.sne21.test"), ""), USED],
        {},
        "your own domain",
    ),
    "misspelt": ([(LIST[0], LIST[1].replace("= st2.", "= ts2."), ""), USED], {}, "letter by letter"),
    "not used": ([LIST], {}, "nobody reads it"),
    "not reloaded": ([LIST, USED], {"reloads": False}, "when it gets HUP"),
    "local": (
        [(LIST[0], "domainlist local_domains = st11.sne21.test : st2.sne21.test", "")],
        {},
        "believes that st2.sne21.test is its own",
    ),
    "smarthost": ([LIST, USED, SMARTHOST], {}, "a loop"),
    "own mail refused": (
        [LIST, ("          domains = +local_domains", "          domains = +relay_to_domains", "")],
        {},
        "Now your own domain is refused",
    ),
    "own laptop refused": (
        [LIST, USED, ("  accept  hosts   = +relay_from_hosts", "", "")],
        {},
        "Your own laptop cannot send",
    ),
    "Bob's host": (
        [
            (
                "domainlist relay_to_domains = st11.sne21.test",
                "domainlist relay_to_domains = st2.sne21.test",
                "",
            )
        ],
        {"at": PARTNER},
        "which is Bob's",
    ),
}


# --- the exercises ---


def test_nothing_is_attempted_at_the_beginning() -> None:
    async def steps(world: World) -> None:
        probed = await probe_backup(world)
        for is_walked in (False, True):  # looking is no attempt, and neither is the walk-through
            if is_walked:
                await a_backup(world)
                probed = await probe_backup(world)
            verdicts = [
                check("backup exchanger", world),
                check("backup relay", probed),
                check("wait and arrive", world),
                check("by force", world),
                check("which minute", {"world": world, "subject": "which-minute", "arrives at": ""}),
                check("spool file", {}),
                check("backup relay", world),
            ]
            assert {verdict.progress for verdict in verdicts} == {Progress.NOT_ATTEMPTED}

    run(steps)


@pytest.mark.parametrize("name", RIGHT_ZONES)
def test_right_zones(name: str) -> None:
    verdict = zone_verdict(*RIGHT_ZONES[name])
    assert verdict.progress is Progress.DONE, verdict


@pytest.mark.parametrize("name", WRONG_ZONES)
def test_wrong_zones(name: str) -> None:
    edits, words = WRONG_ZONES[name]
    verdict = zone_verdict(*edits)
    assert verdict.progress is Progress.NOT_YET, verdict
    assert words in verdict.verdict.words


@pytest.mark.parametrize("name", RIGHT_RELAYS)
def test_right_permissions(name: str) -> None:
    verdict = relay_verdict(*RIGHT_RELAYS[name])
    assert verdict.progress is Progress.DONE, verdict


@pytest.mark.parametrize("name", WRONG_RELAYS)
def test_wrong_permissions(name: str) -> None:
    edits, options, words = WRONG_RELAYS[name]
    verdict = relay_verdict(*edits, **options)
    assert verdict.progress is Progress.NOT_YET, verdict
    assert words in verdict.verdict.words


@pytest.mark.needs("exim", "gcc")
def test_the_permission_on_the_real_exim() -> None:
    """What counts is the daemon that is running, not the file."""

    async def steps(world: World) -> CheckView:
        world.mine.write_configuration(edited(world.mine.configuration, [LIST, USED]))
        verdict = check("backup relay", await probe_backup(world))
        assert "when it gets HUP" in verdict.verdict.words
        await world.mine.reload()
        return check("backup relay", await probe_backup(world))

    assert judged(steps, network="loopback", engine="exim").progress is Progress.DONE


async def i_am_the_backup(world: World) -> None:
    publish(world, ZONE_DONE, SERIAL)
    await configure(world.mine, [LIST, USED])


async def bob_is_down(world: World) -> None:
    await i_am_the_backup(world)
    await world.advance(hours=1)
    await world.partner.stop()
    await world.advance(minutes=2)
    await outside_writes(world, CAROL, BOB, "For Bob")


async def by_itself(world: World) -> None:
    await bob_is_down(world)
    await world.advance(minutes=20)
    await world.partner.start()
    await world.advance(hours=1)


async def forced(world: World, how: str = "-qf") -> None:
    await bob_is_down(world)
    await world.advance(minutes=3)
    await world.partner.start()
    if how == "-qf":
        await world.mine.run_queue(forced=True)
    elif how == "-M":
        await world.mine.force(world.mine.queue[0].queue_id)
    elif how == "-R":
        await world.mine.run_queue(domain="st2")
    else:
        await world.mine.exim(*how.split())


async def nothing(world: World) -> None:
    pass


async def while_up(world: World) -> None:
    await i_am_the_backup(world)
    await outside_writes(world, CAROL, BOB, "For Bob")


async def not_permitted(world: World) -> None:
    publish(world, ZONE_DONE, SERIAL)
    await world.partner.stop()
    await outside_writes(world, CAROL, BOB, "For Bob")


async def old_answer(world: World) -> None:
    await outside_writes(world, CAROL, BOB, "Before")
    await i_am_the_backup(world)
    await world.partner.stop()
    await outside_writes(world, CAROL, BOB, "For Bob")


async def from_my_laptop(world: World) -> None:
    await i_am_the_backup(world)
    await world.partner.stop()
    await world.laptop.send(BOB, "For Bob")
    await world.partner.start()
    await world.advance(hours=1)


async def too_early(world: World) -> None:
    await bob_is_down(world)
    await world.partner.start()


async def given_up(world: World) -> None:
    await bob_is_down(world)
    await world.advance(days=5)


async def removed(world: World) -> None:
    await bob_is_down(world)
    await world.mine.exim("-Mrm", world.mine.queue[0].queue_id)


async def straight(world: World) -> None:
    """It came to the student's host because somebody handed it in there, and Bob's host was up."""
    await i_am_the_backup(world)
    await world.partner_laptop.send(BOB, "For Bob", host=MINE)


async def lost_there(world: World) -> None:
    """It was handed over, and Bob's host has put it elsewhere."""
    await by_itself(world)
    world.partner.mailbox_file("bob").write_bytes(b"")


async def down_again(world: World) -> None:
    await bob_is_down(world)
    await world.mine.stop()
    await world.partner.start()


WAITS: dict[str, tuple[Steps, str]] = {
    "sent while Bob is up": (while_up, "went straight to"),
    "not permitted": (not_permitted, "yours said no"),
    "the old MX": (old_answer, "tried only mx2.st2.sne21.test"),
    "from the own laptop": (from_my_laptop, "your own laptop"),
    "Bob is still down": (bob_is_down, "still down"),
    "no time has passed": (too_early, "Two clocks"),
    "own host down": (down_again, "runs no queue now"),
    "forced": (forced, "had a hand in it"),
    "given up": (given_up, "gave it up"),
    "removed": (removed, "-Mrm"),
    "it never waited": (straight, "went on at once"),
    "not in the mailbox": (lost_there, "Bob has no such message"),
}


async def waits(world: World) -> CheckView:
    return check("wait and arrive", world)


async def force(world: World) -> CheckView:
    return check("by force", world)


def after(steps: Steps, judge: Callable[[World], Awaitable[CheckView]], **options: Any) -> CheckView:
    async def both(world: World) -> CheckView:
        await steps(world)
        return await judge(world)

    return judged(both, **options)


@pytest.mark.parametrize(
    "network, engine",
    [("memory", "labkit"), pytest.param("loopback", "exim", marks=pytest.mark.needs("exim", "gcc"))],
)
def test_it_waits_and_arrives_and_another_is_forced(network: str, engine: str) -> None:
    """Both exercises, one after the other, as the notebook has them."""

    async def steps(world: World) -> CheckView:
        await by_itself(world)
        verdict = await waits(world)
        assert verdict.progress is Progress.DONE, verdict
        assert (await force(world)).progress is Progress.NOT_YET, "that one came by itself"
        await world.partner.stop()
        await outside_writes(world, CAROL, BOB, "Again")
        await world.partner.start()
        await world.mine.run_queue(domain="st2")
        assert (await waits(world)).progress is Progress.DONE, "the first still counts"
        return await force(world)

    verdict = judged(steps, network=network, engine=engine)
    assert verdict.progress is Progress.DONE, verdict
    assert BOB in verdict.text() and "mailbox" in verdict.text()


@pytest.mark.parametrize("how", ["-qf", "-M", "-R", "-qff", "-Rf st2"])
def test_each_way_to_force_counts(how: str) -> None:
    async def steps(world: World) -> None:
        await forced(world, how)

    verdict = after(steps, force)
    assert verdict.progress is Progress.DONE, verdict


@pytest.mark.parametrize("name", WAITS)
def test_not_waited_or_not_arrived(name: str) -> None:
    steps, words = WAITS[name]
    verdict = after(steps, waits)
    assert verdict.progress is Progress.NOT_YET, verdict
    assert words in verdict.verdict.words


async def in_vain(world: World) -> None:
    await bob_is_down(world)
    await world.advance(minutes=3)
    await world.partner.start()
    await world.mine.run_queue()


async def forced_while_down(world: World) -> None:
    await bob_is_down(world)
    await world.advance(minutes=3)
    await world.mine.run_queue(forced=True)


async def forced_and_lost(world: World) -> None:
    await by_itself(world)
    world.partner.mailbox_file("bob").write_bytes(b"")


FORCES: dict[str, tuple[Steps, str]] = {
    "-q": (in_vain, "respects retry times"),
    "while down": (forced_while_down, "refused again"),
    "waits": (bob_is_down, "Start his host, then"),
    "by itself": (by_itself, "in its time"),
    "removed": (removed, "given up or removed"),
    "not yet": (too_early, "Make it leave now"),
    "lost": (forced_and_lost, "Bob does not have it: look at his log"),
}


@pytest.mark.parametrize("name", FORCES)
def test_not_forced(name: str) -> None:
    steps, words = FORCES[name]
    verdict = after(steps, force)
    assert verdict.progress is Progress.NOT_YET, verdict
    assert words in verdict.verdict.words


# --- what is read, and what is foretold ---

READ = {
    "reverse-path": BOB,
    "waits for": ANN,
    "has it already": BOB,
    "handed over by": "198.51.100.2",
    "came in at": "10:09",
}
MISREAD = {
    "one is missing": ("came in at", "", "no answer yet for: came in at"),
    "From:": ("reverse-path", "dean@bigmail.test", "in the header"),
    "another sender": ("reverse-path", "x@y.test", "The sender of the envelope stands in the third"),
    "who is done": ("waits for", BOB, "list of those who are finished"),
    "another recipient": ("waits for", "students@sne21.test", "only a number"),
    "who is not done": ("has it already", ANN, "begin with two letters"),
    "the name it said": ("handed over by", "laptop.st2.sne21.test", "only what the client said"),
    "another address": ("handed over by", "203.0.113.200", "host_address"),
    "no time": ("came in at", "ten", "counts seconds since 1970"),
    "another time": ("came in at", "12:09", "begins with the seconds"),
}


async def read(world: World, **changed: str) -> CheckView:
    await world.mine.stop()
    await world.advance(hours=1, minutes=9)
    await world.partner_laptop.send(
        [ANN, BOB], "Exam", "x\n", header_from="dean@bigmail.test", header_to="students@sne21.test"
    )
    entry = world.partner.spool_entry(world.partner.queue[-1].queue_id)
    return check("spool file", {"file": entry, **READ, **changed})


@pytest.mark.parametrize(
    "options",
    [{}, pytest.param({"network": "loopback", "engine": "exim"}, marks=pytest.mark.needs("exim", "gcc"))],
)
def test_the_spool_file_read(options: dict[str, str]) -> None:
    verdict = judged(lambda world: read(world, **{"handed over by": "[198.51.100.2]:49155"}), **options)
    assert verdict.progress is Progress.DONE, verdict


@pytest.mark.parametrize("name", MISREAD)
def test_the_spool_file_misread(name: str) -> None:
    field, said, words = MISREAD[name]
    verdict = judged(lambda world: read(world, **{field: said}))
    assert verdict.progress is Progress.NOT_YET, verdict
    assert words in verdict.verdict.words


MINUTES = {
    "half past": "no minute",
    "13:40": "Nobody tells the backup",
    "13:15": "was still down",
    "13:45": "lets it be",
    "14:30": "too late",
    "13:30": "At 13:30 your host was still down",
    "14:07": "no queue run comes",
}


async def foretold(world: World, minute: str) -> CheckView:
    await world.advance(hours=2)
    await world.mine.stop()
    await world.advance(minutes=2)
    await outside_writes(world, CAROL, ANN, "Which minute")
    await world.advance(hours=2, minutes=38)
    await world.mine.start()
    answers = {"world": world, "subject": "which-minute", "arrives at": minute}
    assert "not arrived yet" in check("which minute", {**answers, "arrives at": "14:15"}).verdict.words
    await world.advance(hours=1, minutes=22)
    return check("which minute", answers)


def test_the_minute() -> None:
    assert judged(lambda world: foretold(world, "14:15")).progress is Progress.DONE


@pytest.mark.parametrize("minute", MINUTES)
def test_another_minute(minute: str) -> None:
    verdict = judged(lambda world: foretold(world, minute))
    assert verdict.progress is Progress.NOT_YET, verdict
    assert MINUTES[minute] in verdict.verdict.words


def test_all_hints_differ() -> None:
    words = [
        *(words for _, words in WRONG_ZONES.values()),
        *(words for *_, words in WRONG_RELAYS.values()),
        *(words for _, words in WAITS.values()),
        *(words for _, words in FORCES.values()),
        *(words for *_, words in MISREAD.values()),
        *MINUTES.values(),
    ]
    assert len(set(words)) == len(words) >= 55


def test_what_the_notebook_shows_of_a_host_says_no_ids() -> None:
    """Cells tagged `fact` must show the same on both engines."""

    async def steps(world: World) -> None:
        assert who_waits(world.partner).text() == f"Nobody waits at {PARTNER}."
        assert remembers(world.partner).text() == f"{PARTNER} remembers no failure."
        await world.mine.stop()
        await world.partner_laptop.send(ANN, "Tones", "x\n")
        (row,) = who_waits(world.partner).rows
        assert row == ("Mon 07 Sep 09:00", BOB, ANN, "Tones", "waits")
        assert "Tones" in str(who_waits(world.partner).html())
        assert world.partner.queue[0].queue_id not in who_waits(world.partner).text()
        silent = await host_says(world.mine, world.laptop, ["EHLO x"])
        assert silent.rows == [("EHLO x", "nobody listens there")]

    run(steps)
