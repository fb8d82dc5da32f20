"""Notebook 01b: the facts it teaches, its exercises with the model answers, and each typical mistake with its hint."""

from __future__ import annotations

import asyncio
import os
import re
import stat
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from labkit.lab.world import World, partners
from labkit.mail.event import EventKind
from labkit.routing import RouteOutcome
from labkit.teach.checks import CheckView, Progress, check
from labkit.teach.show import show
from labkit.teach.tasks.deliver_postmaster import probe_postmaster
from labkit.teach.views.explained_diff import NO_REASON, Edit, edited, explained_diff
from labkit.teach.views.explained_diff_example import (
    OURS,
    Example,
    example_configuration,
    our_example,
    settings,
)
from labkit.teach.views.explained_diff_trial import forgetting, replies_to
from labkit.teach.views.route_tree import RouteTree, show_route, tree_of

from .committed import Committed

NOTEBOOK = Committed("01b_deliver")
CELLS = NOTEBOOK.sources
DOMAIN = "st11.sne21.test"
ANN, BOB, IVAN, OLGA = f"ann@{DOMAIN}", "bob@st2.sne21.test", f"ivan@{DOMAIN}", f"olga@{DOMAIN}"

Steps = Callable[[World], Awaitable[None]]


def edits_of(*cells: str) -> list[Edit]:
    """The changes that these cells of the notebook make."""
    return [edit for cell in cells for edits in NOTEBOOK.values(cell, "edits") for edit in edits]


EDITS = edits_of("c3", "c3f")


def adapted(edits: list[Edit] | None = None) -> str:
    """Our example, as the notebook changes it."""
    return edited(our_example().configuration, EDITS if edits is None else edits)


async def adapt(world: World, aliases: str | None = "", configuration: str | None = None) -> None:
    """Put the student's host where part 4 of the notebook begins."""
    world.mine.write_configuration(configuration or adapted())
    if aliases is not None:
        world.mine.path("/etc/aliases").write_text(aliases, encoding="utf-8")
    await world.mine.reload()


def run(steps: Steps, **options: object) -> None:
    async def go() -> None:
        async with partners(alongside=True, **options) as world:  # type: ignore[arg-type]
            await steps(world)

    asyncio.run(go())


def judged(steps: Callable[[World], Awaitable[CheckView]], **options: object) -> CheckView:
    """The verdict that these steps come to, in a world in memory."""
    found: list[CheckView] = []

    async def go(world: World) -> None:
        found.append(await steps(world))

    run(go, **{"network": "memory", **options})
    return found[0]


async def told(world: World, *recipients: str) -> list[str]:
    """What a stranger is told."""
    return list((await replies_to(world.mine, world.partner_laptop, BOB, recipients)).values())


# --- the facts: part 1 to 3 ---


def test_the_example_has_the_parts_that_are_explained() -> None:
    for example in (example_configuration(), our_example()):
        assert [part.name for part in example.parts] == [
            *("main", "acl", "routers", "transports", "retry", "rewrite", "authenticators")
        ]
        defined = {part.name: part.defines for part in example.parts}
        assert defined["main"] == ("local_domains", "relay_to_domains", "relay_from_hosts")
        assert defined["routers"] == ("smarthost", "dnslookup", "system_aliases", "userforward", "localuser")
        assert "local_delivery" in defined["transports"]
        assert example.origin in example.text()
        assert "is about" in str(example.html())


def test_without_exims_example_ours_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("labkit.teach.views.explained_diff_example.FOLDERS", ())
    found = example_configuration()
    assert found.origin == OURS
    assert edited(found.configuration, EDITS) == adapted()


def exims_own() -> Example:
    found = example_configuration()
    if found.origin == OURS:
        pytest.skip("Exim's example configuration is not installed here")
    return found


def routers_of(text: str) -> str:
    return settings(text).partition("begin routers")[2].partition("begin transports")[0]


def test_our_example_sets_what_exims_does() -> None:
    """Without comments the two are the same, line by line; the comments are our own."""
    own, ours = exims_own().configuration, our_example().configuration

    def plain(text: str) -> list[str]:
        return [" ".join(line.split()) for line in settings(text).splitlines()]

    assert plain(own) == plain(ours)
    assert routers_of(own) == routers_of(ours), "part 1 of the notebook prints the same, whichever it is"
    assert plain(edited(own, EDITS)) == plain(adapted())
    assert (
        explained_diff(own, edited(own, EDITS), EDITS).text() == explained_diff(ours, adapted(), EDITS).text()
    )
    said = [
        {line.strip("# \n") for line in text.splitlines() if line.lstrip().startswith("#")}
        for text in (own, ours)
    ]
    assert not [words for words in said[0] & said[1] if len(words.split()) > 5 and "=" not in words]


@pytest.mark.parametrize("network", ["loopback", "memory"])
def test_what_must_change(network: str) -> None:
    async def steps(world: World) -> None:
        example, host = our_example().configuration, world.mine
        await adapt(world, None, example)
        as_it_is = await host.route(ANN)
        assert as_it_is.outcome is RouteOutcome.DEFERRED
        assert as_it_is.first.reason == "lowest numbered MX record points to local host"
        assert await told(world, ANN) == ["550 relay not permitted"]

        host.write_configuration(edited(example, EDITS[:1]))
        assert await told(world, ANN) == ["550 relay not permitted"], "not read yet"
        await host.reload()
        assert await told(world, ANN) == ["451 Temporary local problem - please try later"]
        assert "failed to open /etc/aliases" in host.log().splitlines()[-1]
        host.path("/etc/aliases").write_text("", encoding="utf-8")
        assert await told(world, ANN) == ["250 Accepted"], "no reload for that"

        async def from_ann() -> list[str]:
            return list((await replies_to(host, world.laptop, ANN, [BOB])).values())

        assert await from_ann() == ["550 relay not permitted"]
        host.write_configuration(adapted())
        await host.reload()
        assert await from_ann() == ["250 Accepted"]

    run(steps, network=network)


def test_the_traps_of_the_domain_list() -> None:
    """Part 3: *.domain lacks the domain itself, and *domain has too many."""

    async def steps(world: World) -> None:
        for item, domain, is_ours in (
            ("*.st11.sne21.test", "st11.sne21.test", False),
            ("*.st11.sne21.test", "x.st11.sne21.test", True),
            ("*st11.sne21.test", "evilst11.sne21.test", True),
            ("@ : st11.sne21.test", "mx2.st11.sne21.test", True),
            ("@ : st11.sne21.test", "st11.sne21.test", True),
            ("@ : st11.sne21.test", "evilst11.sne21.test", False),
        ):
            text = adapted().replace("local_domains = @ : st11.sne21.test", f"local_domains = {item}")
            await adapt(world, "", text)
            routed = await world.mine.route(f"ann@{domain}")
            took = [step.router for route in routed.routes for step in route.steps if step.took]
            assert ("localuser" in took) is is_ours, (item, domain)

    run(steps, network="memory")


def test_when_one_change_is_forgotten() -> None:
    async def steps(world: World) -> None:
        await adapt(world)
        before = world.mine.configuration
        table = await forgetting(world.mine, our_example().configuration, EDITS)
        rows = {row[0].split("=")[0].split()[-1]: row[1:] for row in table.rows}
        fine = ("250 Accepted", "250 Accepted")
        assert rows == {
            "nothing": fine,
            "local_domains": (
                "550 relay not permitted",
                "451 Temporary local problem - please try later",
            ),
            "relay_from_hosts": ("250 Accepted", "550 relay not permitted"),
            "primary_hostname": fine,
            "qualify_domain": fine,
            "host_lookup": fine,
        }
        assert world.mine.configuration == before
        assert await told(world, ANN) == ["250 Accepted"]
        assert not world.mine.mailbox("ann"), "nobody gets mail by it"

    run(steps, network="memory")


# --- the facts: part 4 to 6 ---


@pytest.mark.parametrize("network", ["loopback", "memory"])
def test_an_account_and_its_mailbox(network: str) -> None:
    async def steps(world: World) -> None:
        await adapt(world)
        host = world.mine
        assert await told(world, IVAN) == ["550 Unknown user"]
        host.add_account("ivan")
        assert await told(world, IVAN) == ["250 Accepted"], "without a reload"
        assert host.path("/home/ivan").is_dir()
        routed = await host.route(IVAN)
        assert [step.router for step in routed.first.steps] == [
            *("dnslookup", "system_aliases", "userforward", "localuser")
        ]
        await world.partner_laptop.send(IVAN, "Welcome", "x\n")
        last = host.log().splitlines()[-3:]
        assert [line.split()[3] for line in last] == ["<=", "=>", "Completed"]
        assert "=> ivan <ivan@st11.sne21.test> R=localuser T=local_delivery" in last[1]
        state = host.mailbox_file("ivan").stat()
        assert stat.filemode(state.st_mode) == "-rw-------"
        assert state.st_uid == os.geteuid()

    run(steps, network=network)


def test_the_envelope_is_written_down() -> None:
    async def steps(world: World) -> None:
        letter = await exam(world)
        assert [field.name for field in letter.header_fields][:5] == [
            *("Return-path", "Envelope-to", "Delivery-date", "Received", "Received")
        ]
        assert letter.first("Return-path") == f"<{BOB}>"
        assert letter.first("Envelope-to") == IVAN
        assert (letter.first("To"), letter.first("From")) == ("students@sne21.test", "dean@bigmail.test")
        upper, lower = (field.value for field in letter.all("Received"))
        assert "203.0.113.2" in upper
        assert "198.51.100.2" in lower
        raw = world.mine.mailbox_file("ivan").read_text()
        assert raw.startswith(f"From {BOB} "), "the separator of an mbox has no colon"

    run(steps, network="memory")


def test_received_names_no_recipient_where_there_are_several() -> None:
    """Why only the transport's own fields tell the envelope reliably."""

    async def steps(world: World) -> None:
        await adapt(world)
        world.mine.add_account("ivan")
        await world.partner_laptop.send([IVAN, ANN], "Two", "x\n")
        for name, address in (("ivan", IVAN), ("ann", ANN)):
            (letter,) = world.mine.mailbox(name)
            assert letter.first("Envelope-to") == address
            assert not any(re.search(r"\bfor\b", field.value) for field in letter.all("Received"))

    run(steps, network="memory")


@pytest.mark.parametrize("network", ["loopback", "memory"])
def test_postmaster(network: str) -> None:
    async def steps(world: World) -> None:
        await adapt(world)
        host, address = world.mine, f"postmaster@{DOMAIN}"
        host.add_account("ivan")
        assert await told(world, address, f"zoe@{DOMAIN}") == ["250 Accepted", "550 Unknown user"]
        assert (await host.route(address)).outcome is RouteOutcome.FAILED
        host.path("/etc/aliases").write_text("root:       ivan\npostmaster: root\n", encoding="utf-8")
        routed = await host.route(address)
        assert routed.first.parents == (f"root@{DOMAIN}", address)
        assert routed.first.text == IVAN
        assert (await host.exim("-bt", address)).text.splitlines()[:3] == [
            IVAN,
            f"    <-- root@{DOMAIN}",
            f"    <-- {address}",
        ]
        replies = await told(world, "postmaster", "PostMaster", "ivan")
        assert [reply[:3] for reply in replies] == ["250", "250", "501"]
        await world.partner_laptop.send(address, "Your mail loops", "x\n")
        (arrived,) = host.mailbox("ivan")
        assert arrived.first("Envelope-to") == address
        assert f"=> ivan <{address}> R=localuser T=local_delivery" in host.log().splitlines()[-2]

    run(steps, network=network)


# --- the facts: more and deep ---


def test_forward_files() -> None:
    async def steps(world: World) -> None:
        await adapt(world)
        host = world.mine
        host.add_account("ivan")
        forward = host.path("/home/ivan/.forward")
        forward.write_text(f"ivan, {BOB}\n", encoding="utf-8")
        routed = await host.route(IVAN)
        assert {route.text for route in routed.deliveries} == {IVAN, BOB}, "kept here, and sent on"
        await world.laptop.send(IVAN, "Both", "x\n")
        assert len(host.mailbox("ivan")) == len(world.partner.mailbox("bob")) == 1

        forward.write_text("bob@ts2.sne21.test\n", encoding="utf-8")
        assert (await host.route(IVAN)).outcome is RouteOutcome.FAILED
        assert await told(world, IVAN) == ["250 Accepted"], "no_verify"
        await world.partner_laptop.send(IVAN, "Lunch?", "x\n")
        assert len(host.mailbox("ivan")) == 1
        assert world.partner.mailbox("bob")[-1].first("X-Failed-Recipients") is not None

        forward.write_text(":fail: no\n", encoding="utf-8")
        assert (await host.route(IVAN)).outcome is RouteOutcome.DEFERRED, ":fail: is an error there"

    run(steps, network="memory")


def test_words_and_mistakes_in_aliases() -> None:
    async def steps(world: World) -> None:
        world.mine.add_account("ivan")
        for cell, expected in (
            ("c8", {"info": "550 Unknown user", "team": "250 Accepted"}),
            (
                "c9",
                {
                    "otto": "550 Otto has left. His students now write to ivan@st11.sne21.test",
                    "trash": "250 Accepted",
                    "summer": "451 back in September",
                    "me": "550 Unknown user",
                },
            ),
        ):
            await adapt(world, aliases_in(cell))
            assert await told(world, *(f"{name}@{DOMAIN}" for name in expected)) == list(expected.values())
        assert (await world.mine.route(f"trash@{DOMAIN}")).is_discarded
        await world.partner_laptop.send(f"trash@{DOMAIN}", "x", "x\n")
        assert not world.mine.queue
        assert not world.mine.mailbox("ivan")
        assert not world.partner.mailbox("bob"), "nobody is told"

        await adapt(world, aliases_in("c8"))
        await world.partner_laptop.send(f"team@{DOMAIN}", "x", "x\n")
        assert len(world.mine.mailbox("ivan")) == 1
        assert len(world.partner.mailbox("bob")) == 1, "and a bounce about iwan"

    run(steps, network="memory")


def aliases_in(cell: str) -> str:
    """The aliases that a cell of the notebook writes."""
    found = re.search(r"'''\\\n(.*?)'''", CELLS[cell], re.DOTALL)
    assert found is not None
    return found[1]


def test_a_wildcard_takes_every_name() -> None:
    async def steps(world: World) -> None:
        world.mine.add_account("ivan")
        await adapt(world, "*: ivan\n", adapted().replace("lsearch{/etc", "lsearch*{/etc"))
        assert await told(world, f"zoe@{DOMAIN}") == ["250 Accepted"]
        assert [route.text for route in (await world.mine.route(ANN)).routes] == [IVAN], "ann is gone, too"

    run(steps, network="memory")


# --- both engines, both examples ---


@pytest.mark.needs("exim", "gcc")
def test_both_examples_act_alike_on_both_engines() -> None:
    """The same probes: replies, where mail ends, who delivered it, and what the host's own name is."""
    texts = {"ours": adapted(), "Exim's": edited(exims_own().configuration, EDITS)}
    seen: dict[tuple[str, str], object] = {}

    async def go() -> None:
        for engine in ("labkit", "exim"):
            async with partners(alongside=True, engine={"student": engine}) as world:
                for name, text in texts.items():
                    seen[engine, name] = await probed(world, text)

    asyncio.run(go())
    first = seen["labkit", "ours"]
    assert all(each == first for each in seen.values()), seen


async def probed(world: World, text: str) -> object:
    host, before = world.mine, len(world.journal)
    host.add_account("ivan")
    boxes = {name: len(host.mailbox(name)) for name in host.accounts}
    aliases = "root: ivan\npostmaster: root\nno: :fail: gone\nhole: :blackhole:\ntwo: ann, iwan\nnow: :defer: later\n"
    await adapt(world, aliases, text)
    names = ("ann", "postmaster", "root", "zoe", "no", "hole", "two", "now", "a%b", "a/b")
    asked = ["postmaster", *(f"{name}@{DOMAIN}" for name in names), "x@elsewhere.test", f"ann@mx2.{DOMAIN}"]
    replies = await told(world, *asked)
    mine = list((await replies_to(host, world.laptop, ANN, [BOB, "x@nowhere.sne21.test"])).values())
    await world.partner_laptop.send(f"postmaster@{DOMAIN}", "one", "x\n", host=host.name)
    await world.laptop.send(BOB, "two", "x\n")
    facts = sorted(
        (event.kind.value, event.recipient or "", event.router or "", event.transport or "")
        for event in world.journal.facts()[:]
        if event.host == host.name and event.number >= before and event.kind is EventKind.DELIVERED
    )
    return (
        replies,
        mine,
        facts,
        {name: len(host.mailbox(name)) - boxes.get(name, 0) for name in host.accounts},
    )


@pytest.mark.needs("exim", "gcc")
def test_the_exercises_on_the_real_exim() -> None:
    async def steps(world: World) -> None:
        world.mine.add_account("ivan")
        world.mine.add_account("olga")
        await adapt(world, POSTMASTER)
        for name in ("olga", "zoe"):
            await world.partner_laptop.send(f"{name}@{DOMAIN}", "x", "x\n")
        assert check("account", world).progress is Progress.DONE
        await world.partner_laptop.send(IVAN, "Exam", "x\n", header_to="students@sne21.test")
        right = check("written down", {**RIGHT, "message": world.mine.mailbox("ivan")[-1]})
        assert right.progress is Progress.DONE
        found = check("postmaster", await probe_postmaster(world))
        assert found.progress is Progress.DONE, found.text()
        routed = await world.mine.route(f"postmaster@{DOMAIN}")
        tree = show(routed).text()
        assert re.search(rf"postmaster@{DOMAIN}\n.*root@{DOMAIN}\n.*{OLGA}\n.*=> {OLGA} goes", tree)

    run(steps, engine={"student": "exim"})


# --- exercise 1 ---


async def olga(world: World) -> None:
    """The model answer."""
    world.mine.add_account("olga")
    await world.partner_laptop.send(OLGA, "Hello", "x\n")
    await world.partner_laptop.send(f"zoe@{DOMAIN}", "Hello", "x\n")


def test_the_account_done() -> None:
    async def steps(world: World) -> CheckView:
        await adapt(world)
        await olga(world)
        return check("account", world)

    found = judged(steps)
    assert found.progress is Progress.DONE
    assert "rejected" in found.text()
    assert "-rw-------" in found.text()


def test_the_account_not_attempted() -> None:
    async def steps(world: World) -> CheckView:
        await adapt(world)
        world.mine.add_account("ivan")
        await world.partner_laptop.send(IVAN, "Welcome", "x\n")
        return check("account", world)

    assert judged(steps).progress is Progress.NOT_ATTEMPTED


async def _no_mail(world: World) -> None:
    world.mine.add_account("olga")


async def _no_account(world: World) -> None:
    await world.partner_laptop.send(OLGA, "Hello", "x\n")


async def _account_of_the_partner(world: World) -> None:
    world.partner.add_account("olga")
    await world.partner_laptop.send(OLGA, "Hello", "x\n")


async def _only_an_account_of_the_partner(world: World) -> None:
    world.partner.add_account("olga")


async def _domain_forgotten(world: World) -> None:
    await adapt(world, "", adapted([edit for edit in EDITS if "local_domains" not in edit[0]]))
    await olga(world)


async def _aliases_missing(world: World) -> None:
    world.mine.path("/etc/aliases").unlink()
    await olga(world)


async def _wrong_domain(world: World) -> None:
    world.mine.add_account("olga")
    await world.partner_laptop.send("olga@mx2.st11.sne21.test", "Hello", "x\n")


async def _sent_before_the_account(world: World) -> None:
    await world.partner_laptop.send(OLGA, "Hello", "x\n")
    world.mine.add_account("olga")


async def _an_alias_takes_it(world: World) -> None:
    world.mine.path("/etc/aliases").write_text("olga: ann\n", encoding="utf-8")
    await olga(world)


async def _from_inside(world: World) -> None:
    world.mine.add_account("olga")
    await world.laptop.send(OLGA, "Hello", "x\n")


async def _no_stranger(world: World) -> None:
    world.mine.add_account("olga")
    await world.partner_laptop.send(OLGA, "Hello", "x\n")


async def _catch_all(world: World) -> None:
    accept_all = adapted().replace(
        "localuser:\n  driver = accept\n  check_local_user\n", "localuser:\n  driver = accept\n"
    )
    text = accept_all.replace("/var/mail/$local_part_data", "/var/mail/olga")
    await adapt(world, "", text)
    await olga(world)


@pytest.mark.parametrize(
    "mistake, words",
    [
        (_no_mail, "Now let Bob write"),
        (_no_account, "has no account there"),
        (_account_of_the_partner, "has such an account; yours is"),
        (_only_an_account_of_the_partner, "Give it to your own host"),
        (_domain_forgotten, "Is the domain in local_domains"),
        (_aliases_missing, "not now"),
        (_wrong_domain, "Your message was for olga@mx2.st11.sne21.test"),
        (_sent_before_the_account, "send the message again"),
        (_an_alias_takes_it, "It lies in the mailbox of ann"),
        (_from_inside, "it came from inside"),
        (_no_stranger, "because of her account"),
        (_catch_all, "your host takes every name"),
    ],
)
def test_a_mistake_with_the_account(mistake: Steps, words: str) -> None:
    async def steps(world: World) -> CheckView:
        await adapt(world)
        await mistake(world)
        return check("account", world)

    found = judged(steps)
    assert found.progress is Progress.NOT_YET, found.text()
    assert words in found.verdict.words


# --- exercise 2 ---

RIGHT = {"envelope recipient": IVAN, "reverse-path": BOB, "handed over by": "mx2.st2.sne21.test"}


async def exam(world: World):  # type: ignore[no-untyped-def]
    """The message of part 5, as it was delivered."""
    await adapt(world)
    world.mine.add_account("ivan")
    await world.partner_laptop.send(
        IVAN, "Exam", "Cancelled.\n", header_from="dean@bigmail.test", header_to="students@sne21.test"
    )
    return world.mine.mailbox("ivan")[-1]


def read_as(answers: dict[str, str]) -> CheckView:
    async def steps(world: World) -> CheckView:
        return check("written down", {"message": await exam(world), **answers})

    return judged(steps)


@pytest.mark.parametrize(
    "other",
    [
        {},
        {"handed over by": "203.0.113.2"},
        {"handed over by": "[203.0.113.2]"},
        {"handed over by": "mx2.st2.sne21.test [203.0.113.2]"},
        {"handed over by": "H=(mx2.st2.sne21.test) [203.0.113.2]"},
        {"handed over by": "from [203.0.113.2] (helo=mx2.st2.sne21.test)"},
        {"handed over by": "MX2.st2.sne21.test, 203.0.113.2."},
        {"reverse-path": f"<{BOB}>", "envelope recipient": f" {IVAN.upper()} "},
    ],
)
def test_the_envelope_read(other: dict[str, str]) -> None:
    found = read_as({**RIGHT, **other})
    assert found.progress is Progress.DONE, found.text()
    assert "203.0.113.2" in found.text()


def test_the_envelope_not_attempted() -> None:
    assert read_as({}).progress is Progress.NOT_ATTEMPTED
    assert read_as(dict.fromkeys(RIGHT, "")).progress is Progress.NOT_ATTEMPTED
    assert check("written down", RIGHT).progress is Progress.NOT_ATTEMPTED


@pytest.mark.parametrize(
    "wrong, words",
    [
        ({"reverse-path": ""}, "no answer yet for: reverse-path"),
        ({"envelope recipient": "students@sne21.test"}, "stands in To:"),
        ({"envelope recipient": BOB}, "is a sender"),
        ({"envelope recipient": "ivan"}, "not what RCPT TO said"),
        ({"reverse-path": "dean@bigmail.test"}, "stands in From:"),
        ({"reverse-path": IVAN}, "not what MAIL FROM said"),
        ({"handed over by": "mx2.st11.sne21.test"}, "your own host"),
        ({"handed over by": "laptop.st2.sne21.test"}, "but earlier"),
        ({"handed over by": "198.51.100.2"}, "but earlier"),
        ({"handed over by": "bigmail.test"}, "did not hand it over"),
        ({"handed over by": "mx2.st2.sne21.test [203.0.113.99]"}, "203.0.113.99 did not hand it over"),
        ({"handed over by": "mx2.st2.sne21.test [198.51.100.2]"}, "198.51.100.2 handed it over, but earlier"),
        ({"handed over by": "[]"}, "no answer yet for: handed over by"),
    ],
)
def test_a_mistake_with_the_envelope(wrong: dict[str, str], words: str) -> None:
    found = read_as({**RIGHT, **wrong})
    assert found.progress is Progress.NOT_YET
    assert words in found.verdict.words


def test_a_message_that_was_not_delivered_yet() -> None:
    async def steps(world: World) -> CheckView:
        return check("written down", {**RIGHT, "message": world.laptop.compose(BOB, "x", "x\n")})

    assert "was not delivered yet" in judged(steps).verdict.words


# --- exercise 3 ---

POSTMASTER = "root:       olga\npostmaster: root\nabuse:      postmaster\n"


def postmaster_after(
    aliases: str | None, configuration: str | None = None, *, theirs: str | None = None, has_olga: bool = True
) -> CheckView:
    async def steps(world: World) -> CheckView:
        for name in ("ivan", "olga") if has_olga else ("ivan",):
            world.mine.add_account(name)
        await adapt(world, aliases, configuration)
        if theirs is not None:
            world.partner.path("/etc/aliases").write_text(theirs, encoding="utf-8")
        return check("postmaster", await probe_postmaster(world))

    return judged(steps)


@pytest.mark.parametrize(
    "aliases",
    [
        POSTMASTER,
        "Postmaster: root\n# a comment\nroot: olga@st11.sne21.test\nabuse: olga\n",
        'postmaster root\n"root": olga,\nabuse: root\n',
        "root: olga, ivan\npostmaster: root\nabuse: root\n",
    ],
)
def test_postmaster_done(aliases: str) -> None:
    found = postmaster_after(aliases)
    assert found.progress is Progress.DONE, found.text()
    assert "postmaster@st11.sne21.test -> root@st11.sne21.test -> olga@st11.sne21.test" in found.text()


def test_postmaster_not_attempted() -> None:
    assert postmaster_after("").progress is Progress.NOT_ATTEMPTED
    assert postmaster_after(None).progress is Progress.NOT_ATTEMPTED

    async def steps(world: World) -> CheckView:
        return check("postmaster", world)

    assert judged(steps).progress is Progress.NOT_ATTEMPTED


NO_QUALIFYING = adapted([edit for edit in EDITS if "qualify" not in edit[0]]).replace("= @ : st11", "= st11")
WILD = adapted().replace("lsearch{/etc", "lsearch*{/etc")


@pytest.mark.parametrize(
    "aliases, configuration, words",
    [
        ("postmaster: root\nabuse: root\n", None, "breaks at root"),
        ("postmaster: root\nroot: olag\nabuse: root\n", None, "Did you mean olga?"),
        ("postmaster: postmaster\nroot: olga\nabuse: olga\n", None, "comes back to postmaster"),
        ("postmaster: root\nroot: postmaster\nabuse: olga\n", None, "comes back to postmaster"),
        ("postmaster: olga\nroot: olga\nabuse: olga\n", None, "not by way of root"),
        ("postmaster: root\nroot: ivan\nabuse: root\n", None, "in the mailbox of ivan, not of olga"),
        ("postmaster: root\nroot: :blackhole:\nabuse: root\n", None, "nobody ever reads it"),
        ("postmaster: root\nroot: olga@ts2.sne21.test\nabuse: root\n", None, "leads out of your host"),
        ("postmaster: root\nroot: olga\n", None, "RFC 2142"),
        ("postmaster: root\nroot: olga\nabuse: ivan\n", None, "abuse@st11.sne21.test does not come to olga"),
        ("*: olga\n", WILD, "A wildcard answers"),
        (POSTMASTER, NO_QUALIFYING, "RCPT TO:<postmaster> alone"),
        (POSTMASTER, our_example().configuration, "Is your domain in local_domains"),
    ],
)
def test_a_mistake_with_postmaster(aliases: str, configuration: str | None, words: str) -> None:
    found = postmaster_after(aliases, configuration)
    assert found.progress is Progress.NOT_YET, found.text()
    assert words in found.verdict.words


def test_the_wrong_host_and_the_missing_account() -> None:
    assert "your partner's host" in postmaster_after("", theirs=POSTMASTER).verdict.words
    assert "olga, who has no account" in postmaster_after(POSTMASTER, has_olga=False).verdict.words


def test_all_hints_differ() -> None:
    """No two mistakes of an exercise are told the same."""
    for mark in (
        test_a_mistake_with_the_account,
        test_a_mistake_with_the_envelope,
        test_a_mistake_with_postmaster,
    ):
        words = [case[-1] for case in mark.pytestmark[0].args[1]]  # type: ignore[attr-defined]
        assert len(set(words)) >= len(words) - 1


# --- the views, and the account ---


def test_an_explained_diff() -> None:
    before = "a = 1\nb = 2\n\n# c =\nd = <script>\n"
    edits: list[Edit] = [
        ("b = 2", "b = 3", "three is more"),
        ("# c =", "c = 4\ne = 5", "<b>four</b>"),
        ("", "zero = 0", "begins with nothing"),
        ("q = 1", "q = 2", "nobody did this"),
    ]
    after = edited(before, edits[:3])
    assert after == "zero = 0\na = 1\nb = 3\n\nc = 4\ne = 5\nd = <script>\n"
    assert edited(after, edits[:3]) == after, "what is there already is not made again"
    diff = explained_diff(before, after.replace("<script>", "<img>"), edits)
    assert [(change.old, change.new, change.because) for change in diff.changes] == [
        ((), ("zero = 0",), "begins with nothing"),
        (("b = 2",), ("b = 3",), "three is more"),
        (("# c =",), ("c = 4", "e = 5"), "<b>four</b>"),
        (("d = <script>",), ("d = <img>",), ""),
    ]
    assert [change.new for change in diff.unexplained] == [("d = <img>",)]
    for shown in (diff.text(), str(diff.html())):
        assert NO_REASON in shown
        assert "nobody did this" in shown
    assert "<script" not in str(diff.html())
    assert "<b>four" not in str(diff.html())
    assert explained_diff(before, before).text() == "Nothing differs"


def test_a_line_to_edit_that_is_not_there() -> None:
    with pytest.raises(ValueError, match="did you mean 'primary_hostname ='"):
        edited("primary_hostname =\n", [("primary_hostnam =", "x", "")])
    with pytest.raises(ValueError, match="lines 1, 3"):
        edited("a\nb\na\n", [("a", "c", "")])


def test_a_route_tree() -> None:
    async def steps(world: World) -> None:
        host = world.mine
        host.add_account("ivan")
        await adapt(world, "two: ann, ivan, /var/mail/archive\nloop: pool\npool: loop\n")
        host.path("/home/ivan/.forward").write_text(f"ivan, {BOB}\n", encoding="utf-8")
        tree = tree_of(await host.route(f"two@{DOMAIN}"))
        assert [child.address for child in tree.children] == [ANN, IVAN, "/var/mail/archive"]
        assert [child.address for child in tree.children[1].children] == [IVAN, BOB]
        text = show(await host.route(f"two@{DOMAIN}")).text()
        assert "/etc/aliases says two: ann, ivan, /var/mail/archive" in text
        assert "there is no /home/ann/.forward" in text
        assert f"/home/ivan/.forward says ivan, {BOB}" in text
        assert text.count("=> ") == 4
        loop = show(await host.route(f"loop@{DOMAIN}")).text()
        assert [line.strip("`-| ") for line in loop.splitlines() if line.endswith(DOMAIN)][1:] == [
            *(f"{name}@{DOMAIN}" for name in ("loop", "pool", "loop"))
        ]
        assert "has seen" in loop
        assert {step.verdict for step in tree.children[0].steps} == {"passed it on", "took it"}
        host.path("/home/ivan/.forward").write_text(":fail: no\n", encoding="utf-8")
        late = show_route(await host.route(IVAN), tree=True)
        for shown in (late.text(), str(late.html())):
            assert "put it off" in shown, "a router that defers has not taken the address"
        single = await host.route(ANN)
        assert not isinstance(show(single), RouteTree), "one address without children stays a table"
        assert isinstance(show_route(single, tree=True), RouteTree)
        host.path("/etc/aliases").write_text("evil: <script>alert(1)</script>@x.test\n", encoding="utf-8")
        assert "<script" not in str(show_route(await host.route(f"evil@{DOMAIN}"), tree=True).html())

    run(steps, network="memory")


def test_an_account_lives_on_the_disk(tmp_path: Path) -> None:
    """A world that goes on in its folder still has the accounts that were added."""

    async def go() -> None:
        async with partners(alongside=True, folder=tmp_path / "world", network="memory") as world:
            world.mine.add_account("olga")
            world.mine.add_account("olga")
            for bad in ("Olga", "o lga", "../olga", "", "1", "olga.x"):
                with pytest.raises(ValueError, match="account name"):
                    world.mine.add_account(bad)
            world.mine.path("/home/lost+found").mkdir()
            world.mine.path("/home/README").write_text("no home", encoding="utf-8")
        async with partners(alongside=True, folder=tmp_path / "world", network="memory") as world:
            assert list(world.mine.accounts) == ["ann", "olga"]
            await adapt(world)
            await world.partner_laptop.send(OLGA, "Hello", "x\n")
            assert len(world.mine.mailbox("olga")) == 1

    asyncio.run(go())
