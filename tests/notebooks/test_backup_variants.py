"""Notebook 03b: the facts it teaches, its exercises with their model answers, and a hint for each typical mistake."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Any

import pytest

from labkit import World
from labkit.lab.lives import is_only_a_look
from labkit.mail.event import EventKind
from labkit.teach.checks import CheckView, Progress, check
from labkit.teach.plots import queue_over_time, retry_schedule, scale
from labkit.teach.tasks.backup_retry import probe_retry
from labkit.teach.tasks.backup_unknown import probe_backup
from labkit.teach.tasks.left_over import probe_exchangers
from labkit.teach.views.probes_talk import ask_whom
from labkit.teach.views.queue import queue_view
from labkit.teach.views.ways import ways, write

DOMAIN = "st11.sne21.test"
ANN, ZOE, BOB, CAROL = f"ann@{DOMAIN}", f"zoe@{DOMAIN}", "bob@st2.sne21.test", "carol@bigmail.test"
VERIFY = "  require verify  = recipient\n"
Steps = Callable[[World], Awaitable[Any]]
EXIM = pytest.param("loopback", "exim", marks=pytest.mark.needs("exim", "gcc"))
# what the cells tagged `fact` show is compared with the real Exim's, too: test_on_exim.py
ON_NETWORKS = pytest.mark.parametrize("network, engine", [("memory", "labkit"), ("loopback", "labkit")])
ON_BOTH = pytest.mark.parametrize("network, engine", [("memory", "labkit"), EXIM])


def run(
    steps: Steps,
    scenario: str = "backscatter",
    network: str = "memory",
    engine: str = "labkit",
    *,
    exim_is: str = "student",
    **more: Any,
) -> Any:
    """Open the scenario and take these steps. Of the real Exim there is only one: it takes time to start."""
    engines = {exim_is: "exim"} if engine == "exim" else engine

    async def go() -> Any:
        async with World.open(scenario, network=network, engine=engines, alongside=True, **more) as world:
            return await steps(world)

    return asyncio.run(go())


async def verifying(world: World, options: str) -> None:
    """Let the backup verify recipients with these options."""
    plan = next(plan for plan in world.scenario.hosts if plan.name == world.partner.name)
    await backup_by(world, plan.configuration.replace(VERIFY, VERIFY.rstrip() + options + "\n"))


async def backup_by(world: World, configuration: str) -> None:
    world.partner.write_configuration(configuration)
    await world.partner.reload()


async def asked(world: World, *names: str) -> list[str]:
    """What the backup says to Mallory: the code of each reply."""
    mallory = world.laptops["pc.mallory.test"]
    answers = await ask_whom(world.partner, mallory, [f"{name}@{DOMAIN}" for name in names], CAROL)
    return [reply[:3] for reply in answers.replies]


def rows(world: World) -> dict[str, tuple[str, str]]:
    return {name: (way, now) for name, way, now in ways(world).rows}


# --- the facts: backscatter and callouts ---


@ON_NETWORKS
def test_a_backup_that_knows_nobody_reports_to_an_innocent(network: str, engine: str) -> None:
    async def steps(world: World) -> None:
        assert await asked(world, "ann", "zoe") == ["250", "250"]
        await write(world.laptops["pc.mallory.test"], CAROL, ZOE, "cheap watches", host=world.partner)
        assert rows(world) == {
            "cheap watches": (
                "mx2.st2 09:00",
                "given up by mx2.st2: 550 there is nobody of that name here",
            ),
            "report about cheap watches": (
                "mx2.st2 09:00, mx.bigmail 09:00",
                "in carol's mailbox at mx.bigmail, 09:00",
            ),
        }
        (report,) = world.host("mx.bigmail").mailbox("carol")
        assert report.first("To") == CAROL
        assert b"cheap watches" in report.body, "the spam goes along"

    run(steps, network=network, engine=engine)


@ON_BOTH
def test_a_callout_knows_nothing_when_the_primary_is_down(network: str, engine: str) -> None:
    async def steps(world: World) -> None:
        names = ("ann", "zoe", "dave", "tom")
        await verifying(world, "/callout=30s")
        assert await asked(world, "ann", "zoe") == ["250", "550"]
        await world.mine.stop()
        assert await asked(world, *names) == ["250", "550", "451", "451"], "two are remembered"
        await verifying(world, "/callout=30s,defer_ok")
        assert await asked(world, *names) == ["250", "550", "250", "250"]
        await world.advance(hours=3)
        assert await asked(world, *names) == ["250"] * 4, "a no is remembered for two hours"
        await verifying(world, "/callout=30s")
        assert await asked(world, *names) == ["250", "451", "451", "451"], "and a yes for a day"
        await world.advance(hours=22)
        assert await asked(world, *names) == ["451"] * 4

    run(steps, network=network, engine=engine, exim_is="partner")


def test_defer_ok_takes_good_and_bad_mail() -> None:
    async def steps(world: World) -> None:
        await verifying(world, "/callout=30s,defer_ok")
        await world.mine.stop()
        await write(world.laptops["pc.mallory.test"], CAROL, ZOE, "cheaper watches", host=world.partner)
        await write(world.host("mx.bigmail"), CAROL, f"dave@{DOMAIN}", "dinner")
        view = queue_view(world).text()
        assert view.count("@bigmail.test ") == 2
        assert "up, outside" in view, "a host outside is no real Exim"
        await world.advance(hours=1)
        await world.mine.start()
        await world.advance(hours=3)
        assert rows(world)["dinner"][1] == "in dave's mailbox at mx2.st11, 10:15"
        assert len(world.host("mx.bigmail").mailbox("carol")) == 1

    run(steps)


# --- the facts: retry rules and queues ---


def test_what_is_said_of_the_rules() -> None:
    usual, slow, quick = retry_schedule(
        "*  *  F,2h,15m; G,16h,1h,1.5; F,4d,6h", "*  *  F,1h,30m; F,5d,3h", "*  *  F,1h,10m"
    ).plans
    assert min(usual.gaps) == timedelta(minutes=15)
    assert min(slow.gaps) == timedelta(minutes=30)
    assert slow.given_up == timedelta(days=5, minutes=15)
    assert quick.given_up == timedelta(hours=1, minutes=15)
    (plan,) = retry_schedule("*  *  F,1h,15m; F,4h,1h", every="30m").plans
    assert [at / timedelta(minutes=30) for at in plan.times] == [0, 1, 2, 3, 5, 7, 9]


@pytest.mark.parametrize(
    "section, network, engine",
    [
        ("begin retry\n", "memory", "labkit"),
        ("", "memory", "labkit"),
        pytest.param("", "loopback", "exim", marks=pytest.mark.needs("exim", "gcc")),
    ],
)
def test_without_a_rule_it_comes_back_at_once(section: str, network: str, engine: str) -> None:
    async def steps(world: World) -> None:
        world.mine.write_configuration(world.mine.configuration.partition("begin retry")[0] + section)
        await world.mine.reload()
        await world.partner.stop()
        await write(world.mine, ANN, BOB, "no rule")
        assert rows(world)["no rule"] == (
            "mx2.st11 09:00",
            "given up by mx2.st11: retry timeout exceeded",
        )
        assert rows(world)["report about no rule"][1] == "in ann's mailbox at mx2.st11, 09:00"

    run(steps, "backup_mx", network, engine)


@pytest.mark.parametrize("own_network", [False, True])
def test_the_shape_of_a_queue(own_network: bool) -> None:
    async def steps(world: World) -> None:
        if own_network:
            world.faults.add("test", "servfail")
        else:
            await world.partner.stop()
        for step in range(15):
            if step == 12:
                await world.partner.start()
                world.faults.clear()
            await write(world.mine, ANN, CAROL if step % 2 else BOB, f"letter {step}")
            await world.advance(minutes=20)
        found = queue_over_time(world, world.mine)
        noon = world.now() - timedelta(hours=2)
        waiting = {domain: found.count(noon, domain) for domain in sorted(found.domains)}
        both = {"bigmail.test": 5, "st2.sne21.test": 5}
        assert waiting == (both if own_network else {"st2.sne21.test": 5})
        assert found.longest[1] == (12 if own_network else 8)
        if not own_network:
            assert found.count(world.now() - timedelta(minutes=16)) > 0, "not when the host is back"
        assert found.count(world.now() - timedelta(minutes=14)) == 0, "but at the run after the retry time"

    run(steps, "backup_mx")


@ON_BOTH
def test_a_host_has_one_note_and_each_recipient_one(network: str, engine: str) -> None:
    async def tries(world: World) -> int:
        for number in range(10):
            await write(world.mine, ANN, f"person{number}@st2.sne21.test", f"letter {number}")
        await world.advance(minutes=55)
        events = world.journal.where(EventKind.DEFERRED, host=world.mine.name)
        return sum(not is_only_a_look(event) for event in events)

    async def refused(world: World) -> None:
        await world.partner.stop()
        assert await tries(world) == 4

    async def put_off(world: World) -> None:
        text = world.partner.configuration
        await backup_by(world, text.replace("check_rcpt:\n", "check_rcpt:\n  defer message = later\n"))
        assert await tries(world) == 40

    run(refused, "backup_mx", network, engine)
    run(put_off, "backup_mx", network, engine)


def test_silence_costs_five_minutes_each_time() -> None:
    async def steps(world: World) -> None:
        world.faults.add("mx2.st2", "silent")
        await write(world.mine, ANN, BOB, "into the dark")
        await world.advance(hours=1)
        events = world.journal.where(EventKind.DEFERRED, host=world.mine.name)
        times = [f"{event.at:%H:%M}" for event in events if not is_only_a_look(event)]
        assert times == ["09:05", "09:35"]

    run(steps, "backup_mx")


# --- the facts: the variants ---


@ON_NETWORKS
def test_three_exchangers(network: str, engine: str) -> None:
    async def steps(world: World) -> None:
        bigmail, third = world.host("mx.bigmail"), world.host("mx3")
        for name, stops in (
            ("all up", None),
            ("first down", world.mine),
            ("first two down", world.partner),
            ("all down", third),
        ):
            if stops is not None:
                await stops.stop()
            await write(bigmail, CAROL, ANN, name)
        takers = {name: way.split(", ")[-1].split()[0] for name, (way, _) in rows(world).items()}
        assert takers == {
            "all up": "mx2.st11",
            "first down": "mx2.st2",
            "first two down": "mx3.sne21",
            "all down": "mx.bigmail",
        }
        await third.start()
        await world.partner.start()
        await world.advance(hours=2)
        assert rows(world)["first two down"] == (
            "mx.bigmail 09:00, mx3.sne21 09:00, mx2.st2 09:15",
            "waits at mx2.st2: Connection refused",
        )
        assert rows(world)["first down"][0] == "mx.bigmail 09:00, mx2.st2 09:00", "never to a worse one"
        await world.mine.start()
        await world.advance(hours=4)
        assert len(world.mine.mailbox("ann")) == 3

    run(steps, "three_mx", network, engine)


def test_equal_exchangers_in_the_order_of_the_zone() -> None:
    async def steps(world: World) -> None:
        await world.mine.stop()
        for number in range(4):
            await write(world.host("mx.bigmail"), CAROL, ANN, f"letter {number}")
        assert {way for way, _ in rows(world).values()} == {"mx.bigmail 09:00, mx2.st2 09:00"}

    run(steps, "three_mx", third=20)


@pytest.mark.needs("exim", "gcc")
def test_exim_shuffles_equal_exchangers() -> None:
    async def steps(world: World) -> None:
        both = "equal IN MX 10 mx2.st11\n      IN MX 10 mx3\n"
        world.write_zone("sne21.test", f"{world.zone('sne21.test')}\n{both}")
        first = [(await world.partner.route("x@equal.sne21.test")).first.next_hops[0].host for _ in range(20)]
        assert set(first) == {"mx2.st11.sne21.test", "mx3.sne21.test"}

    run(steps, "three_mx", "loopback", "exim", exim_is="partner")


def test_a_left_over_exchanger_swallows_mail() -> None:
    async def steps(world: World) -> None:
        await world.advance(hours=5)
        assert rows(world) == {
            "carol to ann": (
                "mx.bigmail 11:00, mx.oldrelay 11:00",
                "in ann's mailbox at mx.oldrelay, 11:00",
            )
        }
        assert not any(host.queue for host in world.hosts.values())
        assert world.mine.mailbox("ann") == []
        assert world.host("mx.bigmail").mailbox("carol") == []

    run(steps, "left_over_mx")


@ON_BOTH
def test_a_null_mx(network: str, engine: str) -> None:
    async def steps(world: World) -> None:
        await write(world.partner, BOB, ANN, "hello")
        assert rows(world)["hello"][1] == (
            "given up by mx2.st2: an MX or SRV record indicated no SMTP service"
        )
        assert b"Status: 5.0.0" in world.partner.mailbox("bob")[-1].body
        assert not [e for e in world.journal.facts() if e.host == world.mine.name and e.queue_id]

    run(steps, "null_mx", network, engine, exim_is="partner")


@ON_BOTH
def test_no_answer_is_not_the_answer_no(network: str, engine: str) -> None:
    async def steps(world: World) -> None:
        await write(world.mine, ANN, BOB, "to Bob")
        await write(world.mine, ANN, "bob@st3.sne21.test", "to nowhere")
        assert rows(world)["to Bob"][1] == "waits at mx2.st11: host lookup did not complete"
        assert rows(world)["report about to nowhere"][1] == "in ann's mailbox at mx2.st11, 09:00"
        await world.advance(hours=1, minutes=1)
        await write(world.mine, ANN, BOB, "second to Bob")
        await world.advance(hours=3)
        assert rows(world)["to Bob"][1] == rows(world)["second to Bob"][1]
        assert rows(world)["to Bob"][1] == "in bob's mailbox at mx2.st2, 11:00"

    run(steps, "dns_failing", network, engine)


def test_greylisting() -> None:
    async def steps(world: World) -> None:
        await write(world.partner, BOB, ANN, "with a queue")
        await write(world.host("mx.bigmail"), CAROL, ANN, "tried once")
        await world.advance(hours=1)
        assert rows(world)["with a queue"][1] == "in ann's mailbox at mx2.st11, 09:15"
        assert "451 greylisted" in rows(world)["tried once"][1]

    run(steps, "greylisting")


@ON_BOTH
def test_a_backup_is_the_back_door_of_a_greylist(network: str, engine: str) -> None:
    async def steps(world: World) -> None:
        grey = (
            "  defer   message = greylisted\n          ! seen  = -5m / "
            "key=${sender_host_address}_${sender_address}_$local_part@$domain\n  accept\n\nbegin routers"
        )
        text = world.mine.configuration
        world.mine.write_configuration(text.replace("  accept\n\nbegin routers", grey))
        await world.mine.reload()
        await write(world.host("mx.bigmail"), CAROL, ANN, "tried once")
        await world.advance(hours=1)
        assert rows(world)["tried once"] == (
            "mx.bigmail 09:00, mx2.st2 09:00, mx2.st11 09:15",
            "in ann's mailbox at mx2.st11, 09:15",
        )

    run(steps, network=network, engine=engine)


def test_a_million_messages() -> None:
    hours = scale(messages=20_000, down=("2h", "8h"), until="12h").played
    assert (hours.delivered, hours.given_up) == (20_000, 0)
    assert int(hours.together.sum()) == 12, "a dozen calls"
    days = scale(messages=20_000, down=("2h", "5d2h"), until="6d")
    assert days.played.given_up > 0.98 * 20_000
    own = scale(messages=20_000, down=("2h", "5d2h"), until="6d", hints="address")
    assert 0.15 < own.played.given_up / 20_000 < 0.25


# --- exercise 1 ---

BEFORE_VERIFY = """\
  deny    message = nobody of that name
          domains = +relay_to_domains
          ! local_parts = lsearch;/etc/backup_users
"""
USERS = "ann\ndave\npostmaster\n"


async def tried_backup(
    world: World, acl: str = "", users: str | None = USERS, *, options: str = "", text: str | None = None
) -> CheckView:
    if users is not None:
        world.partner.path("/etc/backup_users").write_text(users, encoding="utf-8")
    before = world.partner.configuration
    await backup_by(world, text or before.replace(VERIFY, acl + VERIFY.rstrip() + options + "\n"))
    return check("no backscatter", await probe_backup(world))


LOOKED_UP = BEFORE_VERIFY.replace(
    "! local_parts = lsearch;/etc/backup_users",
    "condition = ${lookup{$local_part}lsearch{/etc/backup_users}{no}{yes}}",
)
WHOLE = BEFORE_VERIFY.replace("! local_parts", "! recipients").replace(
    "lsearch;/etc/backup_users", f"ann@{DOMAIN} : dave@{DOMAIN} : postmaster@{DOMAIN}"
)
HYBRID = """\
  accept  domains = +relay_to_domains
          local_parts = lsearch;/etc/backup_users
  require verify  = recipient/callout=30s
"""


@pytest.mark.parametrize("acl", [BEFORE_VERIFY, LOOKED_UP, WHOLE, HYBRID])
def test_no_backscatter_done(acl: str) -> None:
    found = run(lambda world: tried_backup(world, acl))
    assert found.progress is Progress.DONE, found.text()
    assert "no report came" in found.text()


@pytest.mark.needs("exim", "gcc")
def test_no_backscatter_on_exim() -> None:
    found = run(
        lambda world: tried_backup(world, HYBRID), network="loopback", engine="exim", exim_is="partner"
    )
    assert found.progress is Progress.DONE, found.text()


def test_no_backscatter_not_attempted() -> None:
    assert run(lambda world: tried_backup(world)).progress is Progress.NOT_ATTEMPTED
    assert check("no backscatter", "a world").progress is Progress.NOT_ATTEMPTED


RELAY = "                  domains = +local_domains : +relay_to_domains\n"
MISTAKES_1: list[tuple[dict[str, Any], str]] = [
    ({"options": "/callout=30s"}, "which is when one needs a backup"),
    ({"options": "/callout=30s,defer_ok"}, "Spammers do not wait"),
    ({"acl": BEFORE_VERIFY, "users": "ann\ndave\n"}, "postmaster does not"),
    ({"acl": BEFORE_VERIFY, "users": "dave\npostmaster\n"}, "Compare your list"),
    ({"acl": BEFORE_VERIFY, "users": f"ann@{DOMAIN}\ndave@{DOMAIN}\npostmaster@{DOMAIN}\n"}, "everybody at"),
    ({"acl": BEFORE_VERIFY, "users": f"{USERS}zoe\n"}, "the primary knows no zoe"),
    ({"acl": BEFORE_VERIFY, "users": None}, "it stumbles over something"),
    (
        {"acl": BEFORE_VERIFY.replace("          domains = +relay_to_domains\n", "")},
        "for which domains is your new statement",
    ),
    ({"acl": "  # nothing yet\n"}, "Has the daemon read the file"),
]


@pytest.mark.parametrize("changed, words", MISTAKES_1)
def test_a_mistake_with_the_backup(changed: dict[str, Any], words: str) -> None:
    found = run(lambda world: tried_backup(world, **changed))
    assert found.progress is Progress.NOT_YET, found.text()
    assert words in found.verdict.words


MISTAKES_1B = [
    (
        lambda text: text.replace(
            "  require message = relay not permitted",
            "  accept  local_parts = lsearch;/etc/backup_users\n  require message = relay not permitted",
        ),
        "open relay",
    ),
    (lambda text: text.replace(" : +relay_to_domains", ""), "does not take mail for"),
    (
        lambda text: text.replace(VERIFY, BEFORE_VERIFY),
        "it does not verify its own recipients",
    ),
]


@pytest.mark.parametrize("change, words", MISTAKES_1B)
def test_a_mistake_that_breaks_something_else(change: Callable[[str], str], words: str) -> None:
    found = run(lambda world: tried_backup(world, text=change(world.partner.configuration)))
    assert found.progress is Progress.NOT_YET, found.text()
    assert words in found.verdict.words


# --- exercise 2 ---

CODES, MAIL = "bigmail.test  *  F,1h,15m\n", "*  *  F,1h,30m; F,5d,3h\n"
USUAL = "*  *  F,2h,15m; G,16h,1h,1.5; F,4d,6h"


def ruled(rules: str) -> CheckView:
    return check("retry rules", asyncio.run(probe_retry(rules)))


@pytest.mark.parametrize(
    "rules",
    [
        CODES + MAIL,
        "*@bigmail.test * F,90m,15m\n* * F,45m,20m; F,5d,2h",
        "# codes\nbigmail.test * F,1h,5m\nst2.sne21.test * F,1h,15m; F,115h,150m\n* * F,1d,1h",
        "bigmail.test refused F,1h,15m\n* * F,30m,30m; G,5d,2h,1.01",
    ],
)
def test_retry_rules_done(rules: str) -> None:
    found = ruled(rules)
    assert found.progress is Progress.DONE, found.text()


def test_retry_rules_not_attempted() -> None:
    assert ruled(USUAL).progress is Progress.NOT_ATTEMPTED
    assert check("retry rules", USUAL).progress is Progress.NOT_ATTEMPTED


MISTAKES_2 = [
    ("", "no rule is for it"),
    (CODES, "no rule is for it"),
    (MAIL + CODES, "the first rule that fits is used"),
    (MAIL, "the first rule that fits is used"),
    (CODES + "* * F,5d,3h", "1 try in the first hour"),
    (CODES + "* * F,1h,15m; F,3d,2h", "is given up after 3 days"),
    (CODES + "* * F,1h,30m; F,9d,3h", "still waits after five days"),
    (CODES + "* * F,1h,30m; F,5d,1h", "waits only 1 hour"),
    (CODES + "* * F,1h,30m; F,5d,6h", "three hours are the most"),
    ("bigmail.test * F,6h,15m\n" + MAIL, "it should be two hours at most"),
    ("bigmail.test * F,20m,15m\n" + MAIL, "one hour is asked for"),
    ("bigmail.test * F,1h,30m\n" + MAIL, "It is urgent"),
    ("* * F,1h", "does not take these rules"),
]


@pytest.mark.parametrize("rules, words", MISTAKES_2)
def test_a_mistake_with_the_rules(rules: str, words: str) -> None:
    found = ruled(rules)
    assert found.progress is Progress.NOT_YET, found.text()
    assert words in found.verdict.words


# --- exercise 3 ---

READ = {"destination": "st2.sne21.test", "down since": "10:05", "arrived at": "12:15", "own network": "15:00"}


@pytest.fixture(scope="module")
def day() -> World:
    """The bad day, when it is over."""
    found: list[World] = []

    async def steps(world: World) -> None:
        await world.advance(hours=10)
        found.append(world)

    run(steps, "a_bad_day")
    return found[0]


@pytest.mark.parametrize(
    "other",
    [
        {},
        {"destination": "BOB@st2.sne21.test.", "down since": "10", "own network": "14:30"},
        {"down since": "Mon 07 Sep 10:30", "arrived at": "12.15", "own network": "15:30"},
    ],
)
def test_the_day_read(day: World, other: dict[str, str]) -> None:
    found = check("bad day", {"world": day, **READ, **other})
    assert found.progress is Progress.DONE, found.text()


def test_the_day_in_numbers() -> None:
    async def steps(world: World) -> CheckView:
        await world.advance(hours=10)
        found = queue_over_time(world, world.mine)
        assert found.longest[1] == 4
        assert "Mon 07 Sep 12:00  2               0             0          2" in found.text()
        assert "Mon 07 Sep 15:00  0               1             1          2" in found.text()
        return check("bad day", {"world": world, **READ})

    assert run(steps, "a_bad_day").progress is Progress.DONE


def test_the_day_not_attempted(day: World) -> None:
    assert check("bad day", {"world": day, **dict.fromkeys(READ, "")}).progress is Progress.NOT_ATTEMPTED
    assert check("bad day", READ).progress is Progress.NOT_ATTEMPTED

    async def too_early(world: World) -> CheckView:
        return check("bad day", {"world": world, **READ})

    assert run(too_early, "a_bad_day").progress is Progress.NOT_ATTEMPTED


MISTAKES_3 = [
    ({"destination": ""}, "no answer yet for: destination"),
    ({"destination": "mx2.st2.sne21.test"}, "is a host"),
    ({"destination": "bigmail.test"}, "was not the one"),
    ({"down since": "09:10"}, "waited yet"),
    ({"down since": "12:00"}, "look for the beginning"),
    ({"down since": "morning"}, "down since: 'morning' is no time"),
    ({"arrived at": "11:50"}, "Perhaps the host was back"),
    ({"arrived at": "13:00"}, "none of those letters waited"),
    ({"arrived at": "25:00"}, "arrived at: '25:00' is no time"),
    ({"own network": "11:00"}, "your own network was well"),
    ({"own network": "17:00"}, "letters to all three"),
    ({"own network": "never"}, "own network: 'never' is no time"),
]


@pytest.mark.parametrize("wrong, words", MISTAKES_3)
def test_a_mistake_with_the_day(day: World, wrong: dict[str, str], words: str) -> None:
    found = check("bad day", {"world": day, **READ, **wrong})
    assert found.progress is Progress.NOT_YET
    assert words in found.verdict.words


# --- exercise 4 ---

THIRD = "            IN MX  30 mx.oldrelay.test.\n"
BACKUP = "            IN MX  20 mx2.st2\n"
SERIAL = ("2026090701", "2026090702")
Edits = list[tuple[str, str]]


def mended(edits: Edits) -> CheckView:
    async def steps(world: World) -> CheckView:
        await world.advance(hours=5)
        text = world.zone("sne21.test")
        for old, new in edits:
            assert old in text
            text = text.replace(old, new)
        world.write_zone("sne21.test", text)
        return check("left over", await probe_exchangers(world))

    found: CheckView = run(steps, "left_over_mx")
    return found


def test_left_over_done() -> None:
    found = mended([(THIRD, ""), SERIAL])
    assert found.progress is Progress.DONE, found.text()
    assert "10 mx2.st11.sne21.test, 20 mx2.st2.sne21.test" in found.text()


def test_left_over_done_in_other_ways() -> None:
    other = [(THIRD, ""), ("MX  20", "MX  15"), ("2026090701", "2026090800")]
    assert mended(other).progress is Progress.DONE


def test_left_over_not_attempted() -> None:
    assert mended([]).progress is Progress.NOT_ATTEMPTED
    assert check("left over", "zone").progress is Progress.NOT_ATTEMPTED


MISTAKES_4: list[tuple[Edits, str]] = [
    ([(THIRD, "")], "fetch it only if its serial"),
    ([("30 mx.oldrelay", "99 mx.oldrelay"), SERIAL], "only makes it come later"),
    ([("mx.oldrelay.test.", "mx.oldrelay.test"), SERIAL], "The line is only broken"),
    ([(THIRD, ""), (BACKUP, ""), SERIAL], "the backup has gone as well"),
    ([(THIRD, ""), ("MX  20", "MX  5"), SERIAL], "it must be yours alone"),
    ([(THIRD, ""), (BACKUP, ""), ("MX  10 mx2.st11", "MX  0 ."), SERIAL], "Now nobody takes mail"),
    ([("MX  20 mx2.st2", "MX  40 mx2.st2"), SERIAL], "and not to your backup"),
    ([("MX  30 mx.oldrelay.test.", "MX  0 ."), SERIAL], "that is nobody (a null MX) now"),
]


@pytest.mark.parametrize("edits, words", MISTAKES_4)
def test_a_mistake_with_the_zone(edits: Edits, words: str) -> None:
    found = mended(edits)
    assert found.progress is Progress.NOT_YET, found.text()
    assert words in found.verdict.words


def test_all_hints_differ() -> None:
    for cases in ([*MISTAKES_1, *MISTAKES_1B], MISTAKES_3, MISTAKES_4):
        words = [case[1] for case in cases]
        assert len(set(words)) == len(words)


# --- the view ---


def test_the_ways_of_letters() -> None:
    async def steps(world: World) -> None:
        assert ways(world).text() == "No message has come yet."
        await world.laptop.send([BOB, CAROL], "Hello", "x\n")
        await world.advance(days=1)
        await write(world.mine, ANN, BOB, "a name with <b> & more")
        table = ways(world, world.now() - timedelta(hours=1))
        assert [row[0] for row in table.rows] == ["a name with b more"]
        assert "Tue 09:00" in table.rows[0][1]
        assert max(map(len, ways(world).text().splitlines())) <= 110
        name, way, now = ways(world).rows[0]
        assert name == "ann to bob", "a laptop's letter has no name of its own"
        assert way == "mx2.st11 09:00, mx2.st2 09:00, mx.bigmail 09:00"
        assert now == "in bob's mailbox at mx2.st2, 09:00; in carol's mailbox at mx.bigmail, 09:00"
        assert "<b>" not in str(table.html())

    run(steps)
