"""Notebook 04: the facts it teaches, its exercises with model answers, each typical mistake with its own hint."""

from __future__ import annotations

import ast
import asyncio
import time
from collections.abc import Awaitable, Callable
from functools import cache
from itertools import pairwise

import pytest

from labkit.lab.hops import Hop, hops_of
from labkit.lab.host import Host
from labkit.lab.lives import life_of
from labkit.lab.world import World
from labkit.mail.event import EventKind
from labkit.teach.checks import CheckView, Progress, check
from labkit.teach.plots.rounds import rounds
from labkit.teach.tasks.loops_turns import turns_of
from labkit.teach.views.arena import arena
from labkit.teach.views.arena_worlds import TOPOLOGIES, End, Outcome, run, topology_of, try_out
from labkit.teach.views.loop_limits import loop_limits

from .committed import Committed

NOTEBOOK = Committed("04_loops")
CELLS = NOTEBOOK.sources
MINE, THEIRS = "mx2.st11.sne21.test", "mx2.st2.sne21.test"
ME, PARTNER = "st11.sne21.test", "st2.sne21.test"
ANN, BOB = f"ann@{ME}", f"bob@{PARTNER}"
TOO_MANY = 'Too many "Received" headers - suspected mail loop'
WAYS = pytest.mark.parametrize(
    "network, engine",
    [
        ("memory", "labkit"),
        ("loopback", "labkit"),
        pytest.param("loopback", "exim", marks=pytest.mark.needs("exim", "gcc")),
    ],
)
MEMORY = {"network": "memory", "engine": "labkit"}

Steps = Callable[[World], Awaitable[None]]


def told(scenario: str, steps: Steps, **options: object) -> None:
    async def go() -> None:
        async with World.open(scenario, alongside=True, **{**MEMORY, **options}) as world:  # type: ignore[arg-type]
            await steps(world)

    asyncio.run(go())


def judged(exercise: str, scenario: str, steps: Steps, **options: object) -> CheckView:
    """The verdict that these steps come to."""
    found: list[CheckView] = []

    async def go(world: World) -> None:
        await steps(world)
        found.append(check(exercise, world))

    told(scenario, go, **options)
    return found[0]


def hops(world: World, number: int = -1) -> list[Hop]:
    return hops_of(life_of(world.journal, turns_of(world)[number].message_id))


def aliases(host: Host, *lines: str) -> None:
    keeper = next(iter(host.accounts))
    host.path("/etc/aliases").write_text("\n".join((f"postmaster: {keeper}", *lines, "")), encoding="utf-8")


async def change(host: Host, old: str, new: str, reload: bool = True) -> None:
    assert old in host.configuration
    host.write_configuration(host.configuration.replace(old, new, 1))
    if reload:
        await host.reload()


async def limit(host: Host, number: int, reload: bool = True) -> None:
    lines = [line for line in host.configuration.splitlines() if not line.startswith("received_headers_max")]
    host.write_configuration("\n".join((f"received_headers_max = {number}", *lines, "")))
    if reload:
        await host.reload()


async def send(world: World, name: str = "round") -> None:
    await world.laptop.send(f"{name}@{ME}", "Round", "and round\n")


# --- the facts: parts 1 to 5 ---


@WAYS
def test_thirty_one_arrivals(network: str, engine: str) -> None:
    """Exim's default; the odd ones are here, the even ones there; each adds a field; who counts has taken it."""

    async def steps(world: World) -> None:
        assert "received_headers_max" not in world.mine.configuration + world.partner.configuration
        aliases(world.mine, f"round: round@{PARTNER}")
        aliases(world.partner, f"round: round@{ME}")
        await send(world)
        found = hops(world)
        assert [hop.host for hop in found] == [(THEIRS, MINE)[number % 2] for number in range(1, 32)]
        assert [hop.stamps for hop in found] == list(range(1, 32))
        growth = {after.size - before.size for before, after in pairwise(found) if before.size and after.size}
        assert len(growth) == 1, "each field is as long as the one before"
        assert 200 < min(growth) < 240
        assert {hop.stayed.total_seconds() for hop in found if hop.stayed is not None} == {0.0}
        (failed,) = world.journal.where(EventKind.FAILED)
        assert (failed.host, failed.text) == (MINE, TOO_MANY)
        assert not world.journal.where(EventKind.REJECTED), "nobody was refused"
        bounce = world.mine.mailbox("ann")[-1]
        assert (bounce.first("Return-path"), bounce.first("Envelope-to")) == ("<>", ANN)
        assert bounce.first("X-Failed-Recipients") == f"round@{ME}"
        assert len(list(bounce.all("Received"))) == 1
        assert bounce.body.count(b"\nReceived: ") == 31
        assert not world.partner.mailbox("bob")

    told("loop_open", steps, network=network, engine=engine)


def test_hops_stand_in_their_order_whatever_the_journal_has_first() -> None:
    """Two real Exims write two logs; what happened at one instant may be read in another order."""

    async def steps(world: World) -> None:
        await send(world)
        name, wanted = turns_of(world)[0].message_id, hops(world)
        events = list(world.journal)
        came = [event for event in events if event.kind is EventKind.RECEIVED and event.sender]
        for first, second in zip(came[1::2], came[2::2]):  # each pair changes places
            one, other = events.index(first), events.index(second)
            events[one], events[other] = second, first
        assert [stay.queue_id for stay in life_of(events, name).stays] != [hop.queue_id for hop in wanted]
        assert hops_of(life_of(events, name)) == wanted

    told("loop", steps, limit=7)


@pytest.mark.parametrize(
    "engine, pairs",
    [
        (
            "labkit",
            {
                (30, 30): (31, MINE),
                (5, 5): (6, THEIRS),
                (5, 100): (7, MINE),
                (100, 5): (6, THEIRS),
                (100, 30): (32, THEIRS),
            },
        ),
        pytest.param(
            "exim",
            {(5, 5): (6, THEIRS), (5, 100): (7, MINE), (100, 6): (8, THEIRS)},
            marks=pytest.mark.needs("exim", "gcc"),
        ),
    ],
)
def test_the_lower_limit_decides(
    engine: str, pairs: dict[tuple[int, int], tuple[int, str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LABKIT_ENGINE", engine)
    found = asyncio.run(loop_limits(list(pairs)))
    assert {(each.mine, each.theirs): (each.arrivals, each.host) for each in found.ended} == pairs
    if engine == "labkit":
        shown = ast.literal_eval(CELLS["c4"].partition("pairs = ")[2].partition("\n")[0])
        assert set(shown) - {(100, 100)} == set(pairs)


def test_what_was_foretold_stands_beside() -> None:
    found = asyncio.run(loop_limits([(5, 5), (5, 8)], [6, 9]))
    assert [row[-1] for row in found.rows] == ["right", "9"]
    assert "you foretold" in found.text()
    assert "you foretold" in str(found.html())
    with pytest.raises(ValueError, match="from 1 to 100"):
        asyncio.run(loop_limits([(5, 3000)]))


@WAYS
def test_a_low_limit_refuses_honest_mail(network: str, engine: str) -> None:
    """Six fields from outside and two of the lab's: eight, and no host twice."""
    assert "received_headers_max = 5" in CELLS["c5"]

    async def steps(world: World) -> None:
        stations = range(6)
        way = "".join(
            f"Received: from h{n}.test by g{n}.test; Mon, 07 Sep 2026 08:59:00 +0000\n" for n in stations
        )
        for number, allowed in ((1, 5), (2, 100)):
            await limit(world.mine, allowed)
            text = f"{way}From: {BOB}\nSubject: Minutes\nMessage-ID: <{number}@o.test>\n\nAs we said.\n"
            await world.partner_laptop.send(ANN, message=text.encode())
        (failed,) = world.journal.where(EventKind.FAILED)
        assert (failed.host, failed.text) == (MINE, TOO_MANY)
        assert [letter.first("Subject") for letter in world.partner.mailbox("bob")] == [
            "Mail delivery failed: returning message to sender"
        ]
        assert [letter.first("Message-ID") for letter in world.mine.mailbox("ann")] == ["<2@o.test>"]

    told("loop_open", steps, network=network, engine=engine)


def test_a_hundred_hops_in_two_seconds() -> None:
    async def steps(world: World) -> None:
        began = time.process_time()
        await send(world)
        assert len(hops(world)) == 101
        assert time.process_time() - began < 2

    told("loop", steps, limit=100)


# --- the facts: parts 6 to 9 ---


def routers() -> str:
    """What part 6 writes in place of the router `aliases`."""
    (text,) = NOTEBOOK.values("c6", "been_here")
    return str(text)


ALIASES = "aliases:\n  driver    = redirect\n"


@WAYS
def test_recognised_by_delivered_to(network: str, engine: str) -> None:
    async def steps(world: World) -> None:
        await change(world.mine, ALIASES, routers())
        await send(world)
        assert [hop.host for hop in hops(world)] == [MINE, THEIRS, MINE], "one host is enough"
        (failed,) = world.journal.where(EventKind.FAILED)
        assert (failed.host, failed.router) == (MINE, "been_here")
        assert "mail forwarding loop" in (failed.text or "")
        bounce = world.mine.mailbox("ann")[-1]
        assert bounce.body.replace(b"\r\n", b"\n").count(f"\nDelivered-To: round@{ME}\n".encode()) == 1
        forged = f"Delivered-To: Round@{ME.upper()}\nFrom: {BOB}\nMessage-ID: <f@test>\n\nHello\n".encode()
        await world.partner_laptop.send(f"round@{ME}", message=forged)
        assert len(hops(world)) == 2, "a stranger's mark stops honest mail: it has just come"
        await world.partner_laptop.send(f"postmaster@{ME}", "Honest", "Hello\n")
        assert world.mine.mailbox("ann")[-1].first("Delivered-To") == f"postmaster@{ME}"

    told("loop", steps, network=network, engine=engine)


@pytest.mark.parametrize("number", [5, 8])
def test_the_mark_ends_the_bomb_in_five_rounds(number: int) -> None:
    assert "[1, 2, 4, 4, 8]" in CELLS["s8c"]

    async def steps(world: World) -> None:
        await change(world.mine, ALIASES, routers())
        await send(world, "p")
        assert rounds(world, turns_of(world)[0].message_id).counts == [1, 2, 4, 4, 8]

    told("loop_bomb", steps, limit=number)


ENDS = {
    "itself": [End.AT_ONCE, End.ARRIVES, End.AT_ONCE],
    "mx": [End.AT_ONCE, End.AT_ONCE, End.AT_ONCE, End.ARRIVES, End.AT_ONCE, End.AT_ONCE],
    "smarthost": [End.COUNTED, End.ARRIVES, End.ARRIVES],
    "vacation": [End.ENDLESS, End.ARRIVES, End.ARRIVES, End.ARRIVES, End.ARRIVES],
}
VARIANTS = [(each.name, variant.name) for each in TOPOLOGIES for variant in each.variants]


@cache
def ran(name: str, variant: str = "") -> Outcome:
    return asyncio.run(run(name, variant or topology_of(name).variants[0].name))


@pytest.mark.parametrize("name, variant", VARIANTS)
def test_how_the_four_end(name: str, variant: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LABKIT_ENGINE", "labkit")
    outcome = ran(name, variant)
    expected = dict(zip((v for n, v in VARIANTS if n == name), ENDS[name]))
    assert outcome.end is expected[variant]


@pytest.mark.needs("exim", "gcc")
@pytest.mark.parametrize(
    "name, variant",
    [
        ("itself", ""),
        ("mx", ""),
        ("smarthost", "the cure"),
        ("vacation", "answers everything"),
        ("vacation", "once"),
    ],
)
def test_the_four_on_the_real_exim(name: str, variant: str, monkeypatch: pytest.MonkeyPatch) -> None:
    shown = []
    for engine in ("labkit", "exim"):
        monkeypatch.setenv("LABKIT_ENGINE", engine)
        shown.append(asyncio.run(try_out(name, variant)).text())
    assert shown[0] == shown[1]


def test_what_the_four_show(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LABKIT_ENGINE", "labkit")
    itself, mx = ran("itself", "no such account"), ran("mx", "self = freeze")
    assert MINE not in [arrow.host for arrow in itself.arrows], "refused before it was sent"
    assert mx.now == (f"1 message at {MINE}, 1 of them frozen",)
    circle, cure = ran("smarthost", "the primary is down"), ran("smarthost", "the cure")
    assert (circle.arrivals, circle.now) == (31, ("1 bounce in the mailbox of bob",))
    assert (cure.arrivals, cure.now) == (1, (f"1 message at {THEIRS}",))
    endless = ran("vacation", "answers everything")
    assert endless.most_stamps == 3, "no counter will ever see it"
    assert endless.now[-1] == "4 messages in the mailbox of ann"
    for variant in ("never answers <>", "never answers Auto-Submitted", "once", "to the reverse-path"):
        assert ran("vacation", variant).now == ("2 messages in the mailbox of ann",)


@WAYS
def test_the_bomb_doubles(network: str, engine: str) -> None:
    async def steps(world: World) -> None:
        await send(world, "p")
        assert rounds(world, turns_of(world)[0].message_id).counts == [1, 2, 4, 8]
        assert len(world.mine.mailbox("ann")) == 8
        for host in (world.mine, world.partner):
            await change(host, "  max_rcpt = 1\n", "")
        await send(world, "p")
        counts = rounds(world, turns_of(world)[1].message_id).counts
        assert counts == [1, 1, 1, 1], "two recipients of one message, and no address twice"

    told("loop_bomb", steps, network=network, engine=engine, limit=3)


def test_the_arithmetic_of_the_bomb() -> None:
    for row in ("4 | 2^5 − 1 = 31 | 2^4 = 16", "5 | 63 | 32", "8 | 511 | 256"):
        assert row in CELLS["s8c"]
    assert f"{2**31 - 1:,} | {2**30:,}".replace(",", " ") in CELLS["s8c"]
    assert f"{2**101:.1e}" == "2.5e+30"
    assert " 000" * 9 in CELLS["s8c"]


def test_what_came_round_by_round_is_drawn() -> None:
    async def steps(world: World) -> None:
        await send(world, "p")
        picture = rounds(world, turns_of(world)[0].message_id)
        assert "15 arrivals in 4 rounds; 8 were given up" in picture.text()
        assert "<svg" in picture.svg()
        with pytest.raises(LookupError):
            rounds(world, "nobody@test")

    told("loop_bomb", steps, limit=3)


REFUSING = """acl_smtp_data = check_data

begin acl
check_data:
  deny    message   = too many hops
          condition = ${if >{$received_count}{5}}
  accept
"""


@WAYS
def test_to_refuse_leaves_the_bounce_to_the_other(network: str, engine: str) -> None:
    assert REFUSING in CELLS["c9"]

    async def steps(world: World) -> None:
        for host in (world.mine, world.partner):
            await change(host, "begin acl\n", REFUSING)
        await send(world)
        (refused,) = world.journal.where(EventKind.REJECTED)
        (failed,) = world.journal.where(EventKind.FAILED)
        assert (refused.host, refused.code, failed.host) == (THEIRS, 550, MINE)
        assert len(hops(world)) == 5

    told("loop", steps, network=network, engine=engine)


# --- exercise 1 ---

CLOSE = "close the loop"


def pair(here: str, there: str, to: str = "round") -> Steps:
    async def steps(world: World) -> None:
        aliases(world.mine, *here.splitlines())
        aliases(world.partner, *there.splitlines())
        if to:
            await send(world, to)

    return steps


async def _closed_from_there(world: World) -> None:
    await pair(f"round: round@{PARTNER}", f"round: round@{ME}", "")(world)
    await world.partner_laptop.send(f"round@{PARTNER}", "Round", "x\n")


async def _in_the_end(world: World) -> None:
    await pair(f"round: ruond@{PARTNER}", f"round: round@{ME}")(world)
    await pair(f"round: round@{PARTNER}", f"round: round@{ME}")(world)


async def _the_notebooks_way(world: World) -> None:
    """The cell c2, which closes it for everybody."""
    scope: dict[str, object] = {"world": world, "ME": ME, "PARTNER": PARTNER}
    exec(CELLS["c2"].partition("sent =")[0], scope)
    await send(world)


@pytest.mark.parametrize(
    "steps",
    [
        pair(f"round: round@{PARTNER}", f"round: round@{ME}"),
        pair(f"there: back@{PARTNER}", f"back: there@{ME}", "there"),
        pair(f'"round" : Round@{PARTNER.upper()}', f"round: <round@{ME}>"),
        pair(f"a: b@{ME}\nb: c@{PARTNER}", f"c: a@{ME}", "a"),
        _closed_from_there,
        _in_the_end,
        _the_notebooks_way,
    ],
)
def test_the_loop_closed(steps: Steps) -> None:
    async def quickly(world: World) -> None:
        for host in (world.mine, world.partner):
            await limit(host, 5)
        await steps(world)

    found = judged(CLOSE, "loop_open", quickly)
    assert found.progress is Progress.DONE, found.text()
    assert "suspected mail loop" in found.text()


@pytest.mark.needs("exim", "gcc")
def test_the_loop_closed_on_the_real_exim() -> None:
    steps = pair(f"round: round@{PARTNER}", f"round: round@{ME}")
    found = judged(CLOSE, "loop_open", steps, network="loopback", engine="exim")
    assert found.progress is Progress.DONE, found.text()
    steps = pair(f"round: ruond@{PARTNER}", f"round: round@{ME}")
    found = judged(CLOSE, "loop_open", steps, network="loopback", engine="exim")
    assert "One letter decides" in found.text()


async def _nothing(world: World) -> None:
    pass


def test_the_loop_not_attempted() -> None:
    assert judged(CLOSE, "loop_open", _nothing).progress is Progress.NOT_ATTEMPTED


MISTAKES_1: list[tuple[Steps, str]] = [
    (pair(f"round: round@{PARTNER}", f"round: round@{ME}", ""), "Now somebody must write"),
    (pair(f"round: round@{PARTNER}", "", ""), "There is an alias on one host and none on mx2.st2"),
    (pair(f"round: ruond@{PARTNER}", f"round: round@{ME}"), "It has one called round. One letter decides"),
    (pair("round: round@ts2.sne21.test", f"round: round@{ME}"), "nobody knows the way to round@ts2"),
    (pair(f"round: round@mx2.{PARTNER}", f"round: round@{ME}"), "is not the domain whose mail it serves"),
    (pair(f"round: round@{ME}", f"round: round@{ME}"), "leads to itself. Exim notices"),
    (pair(f"round: round@{ME}", f"round: round@{PARTNER}"), "the two files have changed places"),
    (pair(f"round: round@{PARTNER}\nback: round@{ME}", ""), "Both aliases stand in the file of"),
    (pair(f"round: round@{PARTNER}", ""), "The half that leads back is missing"),
    (pair("", f"round: round@{PARTNER}"), "the alias round stands on mx2.st2"),
    (pair(f"round: round@{PARTNER}", f"round: round@{ME}", "ann"), "there it arrived: no alias"),
    (pair(f"round: bob@{PARTNER}", f"round: round@{ME}"), "in the mailbox of bob. Your half works"),
    (pair(f"round = round@{PARTNER}", f"round: round@{ME}"), "a line of the alias file cannot be read"),
    (pair(f"round: round@{PARTNER}", f"round: round@{ME}", "zebra"), "no alias and no account"),
]


@pytest.mark.parametrize("steps, words", MISTAKES_1, ids=[words for _, words in MISTAKES_1])
def test_a_mistake_with_the_loop(steps: Steps, words: str) -> None:
    found = judged(CLOSE, "loop_open", steps)
    assert found.progress is Progress.NOT_YET, found.text()
    assert words in found.verdict.words


# --- exercise 2 ---


def read(
    answers: Callable[[World], dict[str, object]], steps: Steps | None = None, **options: object
) -> CheckView:
    found: list[CheckView] = []

    async def go(world: World) -> None:
        await (steps or send)(world)  # type: ignore[operator]
        found.append(check("read the bounce", answers(world)))

    told("loop", go, **{"limit": 5, **options})
    return found[0]


RIGHT: dict[str, object] = {
    "told": ANN,
    "written by": THEIRS,
    "gave up on": f"round@{PARTNER}",
    "Received inside": 6,
}


def of_the_bounce(**other: object) -> Callable[[World], dict[str, object]]:
    more = {name.replace("_", " "): value for name, value in other.items()}
    return lambda world: {"bounce": world.mine.mailbox("ann")[-1], **RIGHT, **more}


@pytest.mark.parametrize(
    "other",
    [
        {},
        {"Received_inside": "6"},
        {"told": f"<{ANN}>"},
        {"written_by": f" {THEIRS.upper()}. "},
        {"written_by": f"dns; {THEIRS}"},
    ],
)
def test_the_bounce_read(other: dict[str, object]) -> None:
    found = read(of_the_bounce(**other))
    assert found.progress is Progress.DONE, found.text()


def test_bobs_bounce_read() -> None:
    """What the notebook asks for: Exim's default, from the other side."""

    async def steps(world: World) -> None:
        await world.partner_laptop.send(f"round@{PARTNER}", "Round 2", "x\n")

    answers = {"told": BOB, "written by": THEIRS, "gave up on": f"round@{PARTNER}", "Received inside": 31}
    found = read(lambda world: {"bounce": world.partner.mailbox("bob")[-1], **answers}, steps, limit=30)
    assert found.progress is Progress.DONE, found.text()


@pytest.mark.needs("exim", "gcc")
def test_exims_bounce_read() -> None:
    found = read(of_the_bounce(), network="loopback", engine="exim")
    assert found.progress is Progress.DONE, found.text()


def test_the_bounce_not_attempted() -> None:
    assert read(lambda world: {"bounce": None}).progress is Progress.NOT_ATTEMPTED
    assert read(lambda world: {**RIGHT}).progress is Progress.NOT_ATTEMPTED
    assert read(
        of_the_bounce(**dict.fromkeys(("told", "written_by", "gave_up_on", "Received_inside"), ""))
    ).progress is (Progress.NOT_ATTEMPTED)


async def _no_bounce(world: World) -> None:
    await world.partner_laptop.send(ANN, "Lunch?", "x\n")


MISTAKES_2: list[tuple[dict[str, object], str]] = [
    ({"told": ""}, "no answer yet for: told"),
    ({"told": f"round@{PARTNER}"}, "is an alias: nobody reads there"),
    ({"told": BOB}, "was not told"),
    ({"told": "ann"}, "is an account of one host"),
    ({"written_by": f"Mailer-Daemon@{PARTNER}"}, "is no person and no host"),
    ({"written_by": MINE}, "handed the bounce on, or took it"),
    ({"written_by": "laptop.st11.sne21.test"}, "did not write it"),
    ({"gave_up_on": f"round@{ME}"}, "is what the sender wrote"),
    ({"gave_up_on": ANN}, "is not the address that failed"),
    ({"Received_inside": 8}, "one count of two things"),
    ({"Received_inside": 2}, "These are the Received fields of the bounce"),
    ({"Received_inside": 5}, "are still allowed"),
    ({"Received_inside": 31}, "is not the number of Received fields"),
]


@pytest.mark.parametrize("other, words", MISTAKES_2, ids=[words for _, words in MISTAKES_2])
def test_a_mistake_with_the_bounce(other: dict[str, object], words: str) -> None:
    found = read(of_the_bounce(**other))
    assert found.progress is Progress.NOT_YET, found.text()
    assert words in found.verdict.words


def test_another_message_is_no_bounce() -> None:
    found = read(lambda world: {"bounce": world.mine.mailbox("ann")[-1], **RIGHT}, _no_bounce)
    assert "is no bounce about a loop" in found.verdict.words


# --- exercise 3 ---

REACTION = "change the reaction"


def limits(*tries: tuple[int | None, int | None], reload: bool = True) -> Steps:
    """For each try the two limits (None: as it was), and a message."""

    async def steps(world: World) -> None:
        await pair(f"round: round@{PARTNER}", f"round: round@{ME}", "" if tries else "round")(world)
        for mine, theirs in tries:
            for host, number in ((world.mine, mine), (world.partner, theirs)):
                if number is not None:
                    await limit(host, number, reload)
            await send(world)

    return steps


@pytest.mark.parametrize(
    "steps",
    [
        limits((5, 5), (33, 33)),
        limits((40, 40), (10, None)),
        limits((5, None), (35, 33)),
        limits((1, None), (33, 33)),
    ],
)
def test_the_reaction_changed(steps: Steps) -> None:
    found = judged(REACTION, "loop_open", steps)
    assert found.progress is Progress.DONE, found.text()
    assert found.text().count("gave up after") == 2


def test_the_reaction_not_attempted() -> None:
    assert judged(REACTION, "loop_open", _nothing).progress is Progress.NOT_ATTEMPTED
    assert judged(REACTION, "loop_open", limits()).progress is Progress.NOT_ATTEMPTED


MISTAKES_3: list[tuple[Steps, str]] = [
    (limits((5, None)), "Now a limit above 30"),
    (limits((33, 33)), "Now the other way: a limit below 30"),
    (limits((5, None), reload=False), "but in the newest loop mx2.st11.sne21.test went by another number"),
    (limits((None, 5)), "The line stands on mx2.st2.sne21.test alone"),
    (limits((None, 5), (None, 100)), "give yours a limit, too"),
    (limits((100, None)), "mx2.st2.sne21.test ended the loop (it has no line, so 30 counts)"),
    (limits((5, 5), (100, None)), "mx2.st2.sne21.test ended the loop (its limit is 5)"),
    (limits((30, 30)), "That is what Exim does anyway"),
]


@pytest.mark.parametrize("steps, words", MISTAKES_3, ids=[words for _, words in MISTAKES_3])
def test_a_mistake_with_the_reaction(steps: Steps, words: str) -> None:
    found = judged(REACTION, "loop_open", steps)
    assert found.progress is Progress.NOT_YET, found.text()
    assert words in found.verdict.words


@pytest.mark.needs("exim", "gcc")
def test_the_reaction_changed_on_the_real_exim() -> None:
    found = judged(REACTION, "loop_open", limits((3, 3), (33, 33)), network="loopback", engine="exim")
    assert found.progress is Progress.DONE, found.text()


# --- exercise 4 ---

RECOGNISE = "recognise the loop"
FORANY = """seen:
  driver    = redirect
  condition = ${if forany{<\\n $h_delivered-to:}{eqi{$item}{$local_part@$domain}}}
  allow_fail
  data      = :fail: you again
aliases:
  driver      = redirect
  headers_add = Delivered-To: $local_part@$domain
"""


def recognising(text: str, letter: str = "postmaster", where: str = "mine", reload: bool = True) -> Steps:
    async def steps(world: World) -> None:
        await change(world.mine if where == "mine" else world.partner, ALIASES, text, reload)
        await send(world)
        if letter:
            await world.partner_laptop.send(f"{letter}@{ME}", "Honest", "Hello\n")

    return steps


async def _both_hosts(world: World) -> None:
    await change(world.partner, ALIASES, FORANY)
    await recognising(routers())(world)


@pytest.mark.parametrize("steps", [recognising(routers()), recognising(FORANY), _both_hosts])
def test_the_loop_recognised(steps: Steps) -> None:
    found = judged(RECOGNISE, "loop", steps, limit=12)
    assert found.progress is Progress.DONE, found.text()


@pytest.mark.needs("exim", "gcc")
def test_the_loop_recognised_on_the_real_exim() -> None:
    found = judged(RECOGNISE, "loop", recognising(FORANY), network="loopback", engine="exim")
    assert found.progress is Progress.DONE, found.text()


def test_the_recognition_not_attempted() -> None:
    assert judged(RECOGNISE, "loop", send, limit=5).progress is Progress.NOT_ATTEMPTED
    assert judged(RECOGNISE, "loop", _nothing).progress is Progress.NOT_ATTEMPTED


ANY_MARK = FORANY.replace(
    "${if forany{<\\n $h_delivered-to:}{eqi{$item}{$local_part@$domain}}}", "${if def:h_delivered-to:}"
)


@pytest.mark.parametrize("text, progress", [(FORANY, Progress.DONE), (ANY_MARK, Progress.NOT_YET)])
def test_somebody_elses_mark_is_no_loop(text: str, progress: Progress) -> None:
    """A letter that a list has marked must arrive: whose address stands there decides, not that there is one."""

    async def steps(world: World) -> None:
        await recognising(text, "")(world)
        letter = f"Delivered-To: list@lists.test\nFrom: {BOB}\nSubject: x\nMessage-ID: <h@test>\n\nx\n"
        await world.partner_laptop.send(f"postmaster@{ME}", message=letter.encode())

    found = judged(RECOGNISE, "loop", steps, limit=9)
    assert found.progress is progress, found.text()
    assert ("whose address stands in it?" in found.verdict.words) is (progress is Progress.NOT_YET)


MARKS_ONLY = "aliases:\n  driver      = redirect\n  headers_add = Delivered-To: $local_part@$domain\n"
LOOKS_ONLY = routers().replace("  headers_add = Delivered-To: $local_part@$domain\n", "")
REFUSES_MUCH = routers().replace(
    "inlisti{$local_part@$domain}{<\\n $h_delivered-to:}", "!eq{$h_delivered-to:}{x}"
)
REFUSES_MARKED = "${if !eq{$local_part}{round}}"


async def _alias_gone(world: World) -> None:
    await send(world)
    aliases(world.mine)
    await recognising(routers(), "")(world)


async def _blackhole(world: World) -> None:
    text = routers().replace(":fail: mail forwarding loop for $local_part@$domain", ":blackhole:")
    await recognising(text)(world)


async def _postmaster_refused(world: World) -> None:
    text = (
        routers()
        .replace("${if inlisti", "${if or{{eq{$local_part}{postmaster}}{inlisti")
        .replace("$h_delivered-to:}}", "$h_delivered-to:}}}}")
    )
    await change(world.mine, ALIASES, text)
    await send(world)
    await world.laptop.send(f"postmaster@{ME}", "Honest", "Hello\n")


MISTAKES_4: list[tuple[Steps, str]] = [
    (recognising(MARKS_ONLY), "So they are added, and nobody finds them"),
    (recognising(LOOKS_ONLY), "has no Delivered-To at all"),
    (recognising(routers(), reload=False), "has the daemon read the file since"),
    (recognising(routers(), where="partner"), "The routers stand on mx2.st2.sne21.test, your"),
    (recognising(routers(), ""), "Now show that honest mail for an alias still arrives"),
    (recognising(REFUSES_MUCH), "your condition is true for mail that is no loop"),
    (_postmaster_refused, "Mail for postmaster does not arrive any more"),
    (_blackhole, "A message that is thrown away"),
]


@pytest.mark.parametrize("steps, words", MISTAKES_4, ids=[words for _, words in MISTAKES_4])
def test_a_mistake_with_the_recognition(steps: Steps, words: str) -> None:
    found = judged(RECOGNISE, "loop", steps, limit=9)
    assert found.progress is Progress.NOT_YET, found.text()
    assert words in found.verdict.words


# --- exercise 5 ---

BOMB = "contain the bomb"
RATE = "{} message = slow down\n          senders = ! :\n          ratelimit = {}\n"
BY_SENDER = "9.5 / 1h / strict / $sender_address"


def contained(
    rate: str = BY_SENDER, verb: str = "deny", letter: bool = True, above: bool = True, reload: bool = True
) -> Steps:
    async def steps(world: World) -> None:
        text = RATE.format(verb, rate)
        if above:
            await change(world.mine, "check_rcpt:\n", f"check_rcpt:\n  {text}", reload)
        else:
            await change(
                world.mine, "  accept\n\nbegin routers", f"  accept\n  {text}\nbegin routers", reload
            )
        await send(world, "p")
        if letter:
            await world.partner_laptop.send(ANN, "Lunch?", "Noon?\n")

    return steps


@pytest.mark.parametrize(
    "steps",
    [
        contained(),
        contained(verb="defer"),
        contained("5.5 / 1h / leaky / $sender_address"),
        contained("9.5 / 1h / strict / $local_part@$domain"),
    ],
)
def test_the_bomb_contained(steps: Steps) -> None:
    found = judged(BOMB, "loop_bomb", steps, limit=7)
    assert found.progress is Progress.DONE, found.text()
    waits = "wait in the queues" in found.verdict.words
    assert waits is (
        steps.__closure__ is not None and "defer" in [cell.cell_contents for cell in steps.__closure__]
    )


@pytest.mark.needs("exim", "gcc")
def test_the_bomb_contained_on_the_real_exim() -> None:
    found = judged(BOMB, "loop_bomb", contained(), network="loopback", engine="exim", limit=6)
    assert found.progress is Progress.DONE, found.text()


def test_the_bomb_not_attempted() -> None:
    assert judged(BOMB, "loop_bomb", _nothing).progress is Progress.NOT_ATTEMPTED

    async def let_off(world: World) -> None:
        await send(world, "p")

    assert judged(BOMB, "loop_bomb", let_off, limit=5).progress is Progress.NOT_ATTEMPTED


async def _lower_counter(world: World) -> None:
    for host in (world.mine, world.partner):
        await limit(host, 3)
    await send(world, "p")


async def _one_message(world: World) -> None:
    for host in (world.mine, world.partner):
        await change(host, "  max_rcpt = 1\n", "")
    await send(world, "p")


async def _on_the_partner(world: World) -> None:
    await change(
        world.partner, "check_rcpt:\n", "check_rcpt:\n  " + RATE.format("deny", "1000 / 1h / strict")
    )
    await send(world, "p")


MISTAKES_5: list[tuple[Steps, str]] = [
    (_lower_counter, "The counter is lower now"),
    (_one_message, "it is no bomb any more"),
    (_on_the_partner, "The rate limit stands on mx2.st2"),
    (contained(above=False), "Does it stand above the statement"),
    (contained(reload=False), "Has the daemon read the file since"),
    (contained("25.5 / 1h / strict / $sender_address"), "Your limit allows too many in an hour"),
    (contained(letter=False), "But who else was?"),
    (contained("9.5 / 1h / strict"), "What does your limit count by?"),
]


@pytest.mark.parametrize("steps, words", MISTAKES_5, ids=[words for _, words in MISTAKES_5])
def test_a_mistake_with_the_bomb(steps: Steps, words: str) -> None:
    found = judged(BOMB, "loop_bomb", steps, limit=5 if "stand" in words else 6)
    assert found.progress is Progress.NOT_YET, found.text()
    assert words in found.verdict.words


def test_all_hints_differ() -> None:
    """Each mistake has words of its own; what two mistakes share is one hint with two causes in it."""
    every = [words for _, words in (*MISTAKES_1, *MISTAKES_2, *MISTAKES_3, *MISTAKES_4, *MISTAKES_5)]
    assert len(set(every)) == len(every) == 51


# --- the arena ---


def test_the_arena_by_its_buttons() -> None:
    async def go() -> None:
        view = arena()
        assert "Nothing was run yet." in view.text()
        assert [each["name"] for each in view.state()["topologies"]] == [
            "itself",
            "mx",
            "smarthost",
            "vacation",
        ]
        await view.hear({"ask": "topology", "name": "mx"})
        await view.hear({"ask": "variant", "name": "self = pass"})
        assert view.state()["result"] is None
        await view.hear({"ask": "run", "expected": "AT_ONCE"})
        result = view.state()["result"]
        assert not result["right"]
        assert result["end"] == End.ARRIVES.value
        assert result["expected"] == End.AT_ONCE.value
        for form in (view.text(), str(view.html())):
            assert "An MX that leads to oneself: self = pass" in form
            assert End.ARRIVES.value in form
        await view.hear({"ask": "again"})
        assert view.state()["result"] is None
        await view.hear({"ask": "run", "expected": "ARRIVES"})
        assert view.state()["result"]["right"]
        for wrong in ({"ask": "variant", "name": "x"}, {"ask": "topology", "name": "x"}, {"ask": "nothing"}):
            with pytest.raises((KeyError, ValueError)):
                await view.hear(wrong)

    asyncio.run(go())


def test_both_forms_of_an_outcome_say_the_same() -> None:
    shown = asyncio.run(try_out("smarthost"))
    for words in ("15", "mx.relay.test", TOO_MANY, End.COUNTED.value):
        assert words in shown.text()
        assert words.replace('"', "&quot;") in str(shown.html())
