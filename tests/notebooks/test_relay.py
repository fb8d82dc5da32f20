"""Notebook 02a: the facts it teaches, its exercises with the model answers, and each typical mistake with its hint."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable, Mapping
from functools import lru_cache
from typing import Any

import pytest

from labkit.lab import signing_keys
from labkit.lab.impostor_engine import OWN
from labkit.lab.keys import make_pair
from labkit.lab.reaching import ANSWERED, REFUSED, SILENT, knock, who_is_there
from labkit.lab.world import World
from labkit.mail.event import EventKind
from labkit.mail.message import Message
from labkit.teach.checks import CheckView, Progress, check
from labkit.teach.tasks import relay_puzzle, relay_reach
from labkit.teach.tasks.relay_domain import look_at_domain
from labkit.teach.tasks.relay_ready import (
    careless,
    carry_on,
    first_configuration,
    first_zone,
    ready,
    serial_up,
)
from labkit.teach.tasks.relay_smarthost import probe_relay
from labkit.teach.tasks.relay_verdict import other_letter
from labkit.teach.views.explained_diff import edited
from labkit.teach.views.relay_page import read_results, relay_page, three_logs

from .committed import Committed

NOTEBOOK = Committed("02a_relay")
APEX, MINE = "sne21.test", "st11.sne21.test"
ANN, BOB, CAROL, DORA = f"ann@{MINE}", "bob@st2.sne21.test", "carol@bigmail.test", "dora@st2.sne21.test"
PASSWORD = "dummy-11-for-the-lab"
WAYS = pytest.mark.parametrize(
    "network, engine",
    [
        ("memory", "labkit"),
        ("loopback", "labkit"),
        pytest.param("loopback", "exim", marks=pytest.mark.needs("exim", "gcc")),
    ],
)
Steps = Callable[[World], Awaitable[Any]]


KEY_OF_ALL = lru_cache(make_pair)


@pytest.fixture(autouse=True)
def one_key(monkeypatch: pytest.MonkeyPatch) -> None:
    """To make a key takes longer than the rest of a story."""
    monkeypatch.setattr(signing_keys, "make_pair", KEY_OF_ALL)


def run(steps: Steps, network: str = "memory", engine: str = "labkit", **more: Any) -> Any:
    found: list[Any] = []

    async def go() -> None:
        opened = World.open("relay", alongside=True, network=network, engine=engine, **more)
        async with opened as world:
            found.append(await steps(world))

    asyncio.run(go())
    return found[0]


def configured(world: World, *changes: tuple[str, str]) -> str:
    """A configuration that is right, with these changes."""
    text = edited(first_configuration(world), careless(world))
    for old, new in (("  hosts_try_auth = *", RIGHT), *changes):
        assert old in text, old
        text = text.replace(old, new)
    return text


RIGHT = """\
  hosts_require_auth = *
  hosts_require_tls = *
  tls_verify_hosts = *
  tls_verify_certificates = /etc/ssl/lab-authority.pem"""


async def use(world: World, text: str) -> None:
    world.mine.write_configuration(text)
    await world.mine.reload()


# --- the facts ---


@WAYS
def test_a_time_out_is_no_refusal(network: str, engine: str) -> None:
    async def steps(world: World) -> None:
        bigmail, relay = world.host("mx.bigmail.test"), world.relay.host
        found = [
            await knock(world.mine, bigmail),
            await knock(world.laptop, bigmail),
            await knock(world.mine, bigmail, 587),
            await knock(world.mine, relay, 587),
            await knock(world.mine, relay, 465),
        ]
        assert [(each.outcome, each.seconds) for each in found] == [
            *((SILENT, 30), (ANSWERED, 0), (REFUSED, 0), (ANSWERED, 0), (ANSWERED, 0))
        ]
        await world.laptop.send(CAROL, "Hello", "x\n")
        await world.advance(minutes=6)
        (hint,) = world.mine.engine.retry_hints().values()
        assert hint.text == "Connection timed out"

    run(steps, network, engine)


@pytest.mark.parametrize("network", ["memory", "loopback"])
def test_encrypted_is_not_authenticated(network: str) -> None:
    async def steps(world: World) -> None:
        async def shown() -> tuple[str, str, str, str]:
            found = await who_is_there(world, world.laptop, "smtp.relay.test")
            return found.host, found.version, found.objection, found.offers_auth

        assert await shown() == ("smtp.relay.test", "TLS1.3", "", "inside TLS")
        world.impostor.forge()
        unsigned = "unable to get local issuer certificate"
        assert await shown() == ("mx.mallory.test", "TLS1.3", unsigned, "inside TLS")
        world.impostor.forge(certificate=OWN)
        host, version, objection, _ = await shown()
        assert (host, version) == ("mx.mallory.test", "TLS1.3")
        assert "name mismatch" in objection
        world.impostor.forge(offers_tls=False)
        assert await shown() == ("mx.mallory.test", "", "", "in the clear")
        world.impostor.relent()
        assert (await shown())[0] == "smtp.relay.test"
        assert world.zone("relay.test") == dict(world.scenario.zones)["relay.test"]

    run(steps, network)


@WAYS
def test_the_careless_one_tells_mallory(network: str, engine: str) -> None:
    """Part 3: with and without TLS; the log of the second says CV=no, and nothing else."""

    async def steps(world: World) -> None:
        await use(world, edited(first_configuration(world), careless(world)))
        for number, offers_tls in enumerate((False, True), 1):
            world.impostor.forge(offers_tls=offers_tls)
            await world.advance(minutes=6)
            await world.laptop.send(CAROL, f"Salary {number}", "x\n")
            assert [(each.login, each.characters, each.is_right) for each in world.impostor.heard] == [
                ("st11", len(PASSWORD), True)
            ] * number
            (event,) = world.journal.where(EventKind.DELIVERED, host=world.mine.name, code=250)[number - 1 :]
            assert (event.cipher is not None, bool(event.is_verified)) == (offers_tls, False)
        assert len(world.impostor.letters) == 2
        assert not world.mine.queue
        assert PASSWORD not in repr(world.impostor.heard) + repr([*world.journal]) + world.mine.configuration

    run(steps, network, engine)


@WAYS
def test_by_the_relay_carol_gets_it(network: str, engine: str) -> None:
    """Parts 4 and 5: signed, aligned as soon as there is a DMARC record and its absence is forgotten."""

    async def steps(world: World) -> None:
        await ready(world)
        await world.laptop.send(CAROL, "At last", "x\n")
        letter = world.provider.inbox("carol")[-1]
        fields = [field.value.split() for field in letter.all("Received")]
        assert [words[words.index("with") + 1] for words in fields] == ["esmtps", "esmtpsa", "esmtp"]
        verdict = world.provider.verdicts[-1]
        assert (verdict.helo, verdict.client_name) == ("smtp.relay.test", "smtp.relay.test")
        assert (verdict.spf.result, verdict.spf.domain) == ("pass", MINE)
        assert [(each.result, each.domain) for each in verdict.dkim] == [("pass", MINE)]
        assert verdict.dmarc.result == "none"
        text = serial_up(world.zone(APEX)) + f'_dmarc.{MINE}. IN TXT "v=DMARC1; p=none"\n'
        world.write_zone(APEX, text)
        for minutes, result in ((1, "none"), (6, "pass")):
            await world.advance(minutes=minutes)
            await world.laptop.send(CAROL, "Again", "x\n")
            assert world.provider.verdicts[-1].dmarc.result == result
        assert "header.from=st11.sne21.test" in read_results(world.provider.inbox("carol")[-1]).text()

    run(steps, network, engine)


def test_the_relays_page_tells_of_the_dot() -> None:
    async def steps(world: World) -> None:
        slip = NOTEBOOK.text("c4b", "slip")
        world.write_zone(APEX, serial_up(world.zone(APEX)) + slip)
        page = relay_page(await world.relay.verify_domain(MINE), explained=True).text()
        assert f"_relay-verify.{MINE}.{APEX}" in page
        assert f"r1.{MINE}.dkim.relay.test.{APEX}" in page

    run(steps)


def test_quota_and_other_ports() -> None:
    async def steps(world: World) -> None:
        await ready(world)
        submission = world.mine.configuration
        for port, protocol in ((2525, "smtp"), (465, "smtps")):
            changed = submission.replace("::587", f"::{port}").replace(
                "  hosts_require_auth", f"  protocol = {protocol}\n  hosts_require_auth"
            )
            await use(world, changed)
            await world.laptop.send(CAROL, f"By {port}", "x\n")
            assert world.provider.inbox("carol")[-1].first("Subject") == f"By {port}"
        await world.laptop.send(CAROL, "Third", "x\n")
        assert len(world.mine.queue) == 1
        assert [each.code for each in world.journal.where(EventKind.REJECTED, host="smtp.relay.test")] == [
            454
        ]
        await world.advance(hours=32)
        assert world.provider.inbox("carol")[-1].first("Subject") == "Third"

    run(steps, quota=2)


# --- port 25 ---


@pytest.fixture(scope="module")
def cases() -> relay_reach.PortCases:
    found: relay_reach.PortCases = run(relay_reach.port_cases)
    return found


GOOD_CASES = {"A": "nobody listens", "B": "blocked here", "C": "silent there"}
CASE_MISTAKES = {
    "a refusal is taken for a block": {"A": "blocked here"},
    "a refusal is taken for silence": {"A": "silent there"},
    "silence is taken for a refusal": {"B": "nobody listens"},
    "the laptop was not looked at": {"B": "silent there"},
    "the third line was not looked at": {"C": "blocked here"},
    "another word": {"C": "firewall"},
    "one is missing": {"C": ""},
}


def test_port_25(cases: relay_reach.PortCases) -> None:
    assert [case.truth for case in cases.cases] == list(GOOD_CASES.values())
    assert check("port 25", {"cases": cases} | GOOD_CASES).progress is Progress.DONE
    spelled = {name: f" {word.title()}. " for name, word in GOOD_CASES.items()}
    assert check("port 25", {"cases": cases} | spelled).progress is Progress.DONE
    for untouched in ({}, {"cases": cases, "A": "", "B": "", "C": ""}):
        assert check("port 25", untouched).progress is Progress.NOT_ATTEMPTED


def test_port_25_hints_differ(cases: relay_reach.PortCases) -> None:
    hints = {}
    for name, mistake in CASE_MISTAKES.items():
        view = check("port 25", {"cases": cases} | GOOD_CASES | mistake)
        assert view.progress is Progress.NOT_YET, name
        hints[view.verdict.words] = name
    assert len(hints) == len(CASE_MISTAKES)


# --- smarthost ---


async def judge_smarthost(world: World, *changes: tuple[str, str]) -> CheckView:
    await use(world, configured(world, *changes))
    return check("smarthost", await probe_relay(world))


RIGHT_WAYS: Mapping[str, tuple[tuple[str, str], ...]] = {
    "587": (),
    "465": (("::587", "::465"), ("  hosts_require_auth", "  protocol = smtps\n  hosts_require_auth")),
    "2525 as a port": (("::587", ""), ("  hosts_require_auth", "  port = 2525\n  hosts_require_auth")),
    "LOGIN": (
        ("public_name = PLAIN", "public_name = LOGIN"),
        ("^st11^${readfile{/etc/relay.password}{}}", ": st11 : ${readfile{/etc/relay.password}{}}"),
    ),
}
SMARTHOST_MISTAKES: Mapping[str, tuple[tuple[tuple[str, str], ...], str]] = {
    "no authenticator": ((("begin authenticators", "begin rewrite\n\nbegin authenticators"),
                          ("relay_login:\n  driver      = plaintext\n  public_name = PLAIN\n", ""),
                          ("  hide client_send = ^st11^${readfile{/etc/relay.password}{}}\n", "")),
                         "a section of its own"),
    "never asked for": ((("  hosts_require_auth = *\n", ""),), "does the transport to the relay ask"),
    "never tried": ((("public_name = PLAIN", "public_name = CRAM-MD5"),), "public_name is the word"),
    "only a server": ((("  hide client_send = ^st11^${readfile{/etc/relay.password}{}}",
                        "  server_prompts = :"),), "nothing to say as a client"),
    "wrong password": ((("^st11^$", "^st11^x$"),), "535"),
    "a line end behind it": ((("relay.password}{}}", "relay.password}}"),), "535"),
    "no such file": ((("relay.password}", "relay.passwort}"),), "could not even make the line"),
    "in the clear": ((("  hosts_require_tls = *\n", ""),), "left STARTTLS out"),
    "TLS avoided": ((("hosts_require_tls = *", "hosts_avoid_tls = *"), ("hosts_require_auth", "hosts_try_auth")),
                    "STARTTLS first"),
    "only tried": ((("tls_verify_hosts", "tls_try_verify_hosts"),), "only *tried*"),
    "the name is not compared": ((("  tls_verify_hosts = *", "  tls_verify_hosts = *\n  tls_verify_cert_hostnames ="),),
                                 "the name must be compared"),
    "another port": ((("::587", "::26"),), "Nobody listens at that port"),
    "port 25": ((("::587", ""),), "25 is where the smtp transport goes"),
    "TLS comes first there": ((("::587", "::465"),), "TLS comes first"),
    "by its address": ((("* smtp.relay.test::587", "* 203.0.113.205::587"),), "asked for another name"),
    "a name without address": ((("* smtp.relay.test", "* relay.test"),), "has no address"),
    "no authority": ((("  tls_verify_certificates = /etc/ssl/lab-authority.pem", ""),), "does not believe"),
    "a catch-all": ((("  domains    = ! +local_domains\n  route_list", "  route_list"),), "would give it away"),
    "behind the other router": ((("  domains    = ! +local_domains\n  route_list",
                                  "  domains    = never.test\n  route_list"),), "Routers are asked in the order"),
}  # fmt: skip
SAME = {("wrong password", "a line end behind it")}


@pytest.mark.parametrize("way", RIGHT_WAYS)
def test_smarthost(way: str) -> None:
    view = run(lambda world: judge_smarthost(world, *RIGHT_WAYS[way]))
    assert view.progress is Progress.DONE, view.verdict.words


@pytest.mark.needs("exim", "gcc")
@pytest.mark.parametrize("mistake", [None, "only tried", "never tried"])
def test_smarthost_on_exim(mistake: str | None) -> None:
    changes, words = SMARTHOST_MISTAKES[mistake] if mistake else ((), "checked first")
    view = run(lambda world: judge_smarthost(world, *changes), "loopback", "exim")
    assert view.progress is (Progress.NOT_YET if mistake else Progress.DONE), view.verdict.words
    assert words in view.verdict.words


@pytest.mark.parametrize("name", SMARTHOST_MISTAKES)
def test_smarthost_hints(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("labkit.net.smtp_client.PATIENCE", 0.5)  # with a server that waits for TLS
    changes, words = SMARTHOST_MISTAKES[name]
    view = run(lambda world: judge_smarthost(world, *changes))
    assert view.progress is Progress.NOT_YET
    assert words in view.verdict.words
    own = [
        text
        for other, (_, text) in SMARTHOST_MISTAKES.items()
        if other != name and text in view.verdict.words
    ]
    assert not own or any(name in pair for pair in SAME), "a hint of its own"


def test_smarthost_again_after_a_mistake() -> None:
    """What failed for hours does not stand in the way of a solution."""

    async def steps(world: World) -> CheckView:
        for _ in range(2):
            assert (await judge_smarthost(world, ("^st11^$", "^st11^x$"))).progress is Progress.NOT_YET
        return await judge_smarthost(world)

    assert run(steps).progress is Progress.DONE


def test_smarthost_is_not_attempted() -> None:
    async def steps(world: World) -> None:
        before = world.now()
        assert check("smarthost", await probe_relay(world)).progress is Progress.NOT_ATTEMPTED
        await use(world, edited(first_configuration(world), careless(world)))
        view = check("smarthost", await probe_relay(world))
        assert view.progress is Progress.NOT_ATTEMPTED
        assert world.now() == before, "nothing was tried"
        assert "solution of its own" in await carry_on(world, view)
        view = check("smarthost", await probe_relay(world))
        assert view.progress is Progress.NOT_ATTEMPTED, "not theirs"
        assert "the notebook's own" in view.verdict.words
        await use(world, world.mine.configuration.partition("\n")[2])
        found = check("smarthost", await probe_relay(world))
        assert found.progress is Progress.DONE, "ours holds"
        assert "yours" in await carry_on(world, found)

    run(steps)
    assert check("smarthost", "a text").progress is Progress.NOT_ATTEMPTED


# --- relay domain ---


async def judge_domain(world: World, *lines: str, send: bool = True) -> CheckView:
    await ready(world)
    origin, text = first_zone(world)
    world.write_zone(origin, "\n".join([text.rstrip("\n"), *lines, ""]))
    world.relay._book.verified.clear()
    await look_at_domain(world)
    await world.advance(minutes=6)
    if send:
        await world.laptop.send(CAROL, "Verified", "x\n")
    return check("relay domain", await look_at_domain(world))


TOKEN = "relay-verify=1e3805ed42e3a11f2521f228"
OWNER = f'_relay-verify.{MINE}. IN TXT "{TOKEN}"'
KEY = f"r1._domainkey.{MINE}. IN CNAME r1.{MINE}.dkim.relay.test."
SPF = f'{MINE}. IN TXT "v=spf1 include:spf.relay.test ~all"'
_STRINGS = " ".join(['"' + "A" * 200 + '"'] * 3)
OTHER_KEY = f'r1._domainkey.{MINE}. IN TXT "v=DKIM1; k=rsa; p=" {_STRINGS}'
DOMAIN_MISTAKES: Mapping[str, tuple[tuple[str, ...], str]] = {
    "no SPF": ((OWNER, KEY), "There is no SPF record"),
    "SPF at the host's name": ((OWNER, KEY, SPF.replace(MINE, f"mx2.{MINE}")), "There is no SPF record"),
    "two SPF records": ((OWNER, KEY, SPF, f'{MINE}. IN TXT "v=spf1 a -all"'), "2 records begin"),
    "no include": ((OWNER, KEY, f'{MINE}. IN TXT "v=spf1 mx ~all"'), "the relay is not in it"),
    "include behind all": ((OWNER, KEY, f'{MINE}. IN TXT "v=spf1 -all include:spf.relay.test"'), "stands behind all"),
    "include with a sign": ((OWNER, KEY, f'{MINE}. IN TXT "v=spf1 ?include:spf.relay.test -all"'), "Which sign"),
    "+all": ((OWNER, KEY, f'{MINE}. IN TXT "v=spf1 include:spf.relay.test +all"'), "everybody in the world"),
    "no quotes": ((OWNER, KEY, f"{MINE}. IN TXT v=spf1 include:spf.relay.test ~all"), "no quotes around it"),
    "no dot behind the SPF name": ((OWNER, KEY, SPF.replace(f"{MINE}.", MINE)), "without a dot at its end"),
    "no key": ((OWNER, SPF), "Nothing is at r1._domainkey"),
    "another selector": ((OWNER, SPF, KEY.replace("r1._domainkey", "k1._domainkey")), "with the selector k1"),
    "no dot behind the target": ((OWNER, SPF, KEY.removesuffix(".")), "leads to a name at which there is nothing"),
    "no dot behind the key's name": ((OWNER, SPF, KEY.replace(f"{MINE}. IN", f"{MINE} IN")), "gets the zone's own"),
    "another key": ((OWNER, SPF, OTHER_KEY), "not the key that"),
    "the key cut off": ((OWNER, SPF, f'r1._domainkey.{MINE}. IN TXT "v=DKIM1; k=rsa; p=MIIBIjANBgkqhkiG9w0"'),
                        "its end is missing"),
    "no token": ((KEY, SPF), "the token is missing"),
    "another token": ((KEY, SPF, OWNER.replace("1e38", "2e38")), "with another text"),
}  # fmt: skip
SAME_DOMAIN = (
    {"no SPF", "SPF at the host's name"},
    {"no dot behind the SPF name", "no dot behind the key's name"},
)


@pytest.mark.parametrize(
    "lines",
    [
        (OWNER, KEY, SPF),
        (
            '_relay-verify.st11 IN TXT "relay-verify=" "1e3805ed42e3a11f2521f228"',
            KEY,
            SPF.replace("~all", "-all"),
        ),
        (OWNER, KEY, SPF.replace("include", "a mx +include"), f'{MINE}. IN TXT "something else"'),
    ],
)
def test_relay_domain(lines: tuple[str, ...]) -> None:
    view = run(lambda world: judge_domain(world, *lines))
    assert view.progress is Progress.DONE, view.verdict.words


def test_the_key_itself_will_do() -> None:
    async def steps(world: World) -> CheckView:
        text = world.relay.public_key_record(MINE).value
        strings = " ".join(f'"{text[at : at + 200]}"' for at in range(0, len(text), 200))
        return await judge_domain(world, OWNER, SPF, f"r1._domainkey.{MINE}. IN TXT {strings}")

    assert run(steps).progress is Progress.DONE


@pytest.mark.parametrize("name", DOMAIN_MISTAKES)
def test_relay_domain_hints(name: str) -> None:
    lines, words = DOMAIN_MISTAKES[name]
    view = run(lambda world: judge_domain(world, *lines))
    assert view.progress is Progress.NOT_YET
    assert words in view.verdict.words, view.verdict.words
    same = next((each for each in SAME_DOMAIN if name in each), {name})
    assert not [
        other
        for other, (_, text) in DOMAIN_MISTAKES.items()
        if other not in same and text in view.verdict.words
    ]


def test_relay_domain_before_and_between() -> None:
    async def untouched(world: World) -> CheckView:
        return check("relay domain", await look_at_domain(world))

    async def ours(world: World) -> CheckView:
        return await untouched(await ready(world))

    assert run(untouched).progress is run(ours).progress is Progress.NOT_ATTEMPTED
    assert check("relay domain", None).progress is Progress.NOT_ATTEMPTED
    view = run(lambda world: judge_domain(world, OWNER, KEY, SPF, send=False))
    assert view.progress is Progress.NOT_YET
    assert "Now let Ann write" in view.verdict.words


# --- whose name ---


@pytest.fixture(scope="module")
def letter() -> Message:
    found: Message = run(other_letter)
    return found


NAMES = {
    "EHLO": "smtp.relay.test",
    "SPF": "bounces.relay.test",
    "DKIM": MINE,
    "Carol sees": ANN,
    "DMARC passes by": "DKIM",
}
NAME_MISTAKES = {
    "the first hop said EHLO": {"EHLO": f"mx2.{MINE}"},
    "EHLO is bigmail": {"EHLO": "mx.bigmail.test"},
    "SPF of From": {"SPF": MINE},
    "SPF of EHLO": {"SPF": "smtp.relay.test"},
    "SPF of something else": {"SPF": "bigmail.test"},
    "DKIM of the relay": {"DKIM": "relay.test"},
    "Carol sees the envelope": {"Carol sees": "bounces.relay.test"},
    "DMARC by SPF": {"DMARC passes by": "SPF"},
    "one is missing": {"DKIM": ""},
}


def test_whose_name(letter: Message) -> None:
    assert check("whose name", {"letter": letter} | NAMES).progress is Progress.DONE
    for said in ("helo=smtp.relay.test", "smtp.relay.test [203.0.113.205]"):
        assert check("whose name", {"letter": letter} | NAMES | {"EHLO": said}).progress is Progress.DONE
    for untouched in ({}, {"letter": letter} | dict.fromkeys(NAMES, "")):
        assert check("whose name", untouched).progress is Progress.NOT_ATTEMPTED


def test_whose_name_hints_differ(letter: Message) -> None:
    hints = set()
    for name, mistake in NAME_MISTAKES.items():
        view = check("whose name", {"letter": letter} | NAMES | mistake)
        assert view.progress is Progress.NOT_YET, name
        hints.add(view.verdict.words)
    assert len(hints) == len(NAME_MISTAKES)


# --- three logs ---


async def weeks(world: World) -> str:
    await ready(world)
    return await relay_puzzle.some_weeks(world)


@WAYS
def test_completed_and_nothing_there(network: str, engine: str) -> None:
    async def steps(world: World) -> None:
        lost = await weeks(world)
        (mine,) = [
            event
            for event in world.journal.where(EventKind.RECEIVED, host=world.mine.name)
            if event.message_id == lost
        ]
        assert world.journal.where(EventKind.COMPLETED, host=world.mine.name, queue_id=mine.queue_id)
        assert not world.mine.queue
        assert not world.partner.mailbox("dora")
        assert not [e for e in world.journal.where(host=world.partner.name) if e.message_id == lost]
        assert [each.what for each in world.relay.events if each.message_id == lost] == [
            "accepted",
            "suppressed",
        ]
        rows = three_logs(world, world.partner.mailbox("bob")[-1].first("Message-ID") or "").rows
        assert list(dict.fromkeys(row[1] for row in rows)) == [
            world.mine.name,
            "smtp.relay.test",
            world.partner.name,
        ]
        calls = [found[1] for row in rows if (found := re.search(r"there it is (\S+)", row[4]))]
        assert set(calls) <= {row[2] for row in rows}
        assert len(calls) == 2

        (entry,) = world.relay.suppressions
        answers = {"world": world, "stopped at": "relay", "because of": entry.queue_id}
        assert world.relay.unsuppress(DORA)
        await world.laptop.send(DORA, "Chapter 3 again", "x\n")
        assert check("three logs", answers).progress is Progress.DONE

    run(steps, network, engine)


def puzzle(answers: dict[str, str], then: Steps | None = None) -> CheckView:
    async def steps(world: World) -> CheckView:
        lost = await weeks(world)
        first = next(e.message_id for e in world.relay.events if e.what == "accepted" and e.recipient == DORA)
        if then is not None:
            await then(world)
        spelled = {"LOST": lost, "FIRST": first}
        given = {name: spelled.get(value, value) for name, value in answers.items()}
        return check("three logs", {"world": world, **given})

    found: CheckView = run(steps)
    return found


RIGHT_ANSWERS = {"stopped at": "relay", "because of": "FIRST"}


async def again(world: World) -> None:
    await world.laptop.send(DORA, "Again", "x\n")


async def lift(world: World) -> None:
    world.relay.unsuppress(DORA)


async def lift_another(world: World) -> None:
    assert not world.relay.unsuppress("dora@bigmail.test")


PUZZLES: Mapping[str, tuple[dict[str, str], Steps | None, str]] = {
    "at my host": (RIGHT_ANSWERS | {"stopped at": "mine"}, None, "somebody else has said 250"),
    "at the partner's": (RIGHT_ANSWERS | {"stopped at": "partner"}, None, "never come there"),
    "somewhere": (RIGHT_ANSWERS | {"stopped at": "bigmail"}, None, "none of the three"),
    "no reason": (RIGHT_ANSWERS | {"because of": ""}, None, "Now: why?"),
    "the lost one": (RIGHT_ANSWERS | {"because of": "LOST"}, None, "That is the letter that stopped"),
    "another one": (
        RIGHT_ANSWERS | {"because of": "<1.2@laptop>"},
        None,
        "not the message that brought Dora",
    ),
    "not lifted": (RIGHT_ANSWERS, lift_another, "still on the list: take her off"),
    "sent again only": (RIGHT_ANSWERS, again, "met the same end"),
    "lifted only": (RIGHT_ANSWERS, lift, "does not come back"),
}


@pytest.mark.parametrize("name", PUZZLES)
def test_three_logs_hints(name: str) -> None:
    answers, then, words = PUZZLES[name]
    view = puzzle(answers, then)
    assert view.progress is Progress.NOT_YET
    assert words in view.verdict.words
    assert not [
        other for other, (_, _, text) in PUZZLES.items() if other != name and text in view.verdict.words
    ]


def test_three_logs() -> None:
    assert puzzle({"stopped at": "", "because of": ""}).progress is Progress.NOT_ATTEMPTED
    assert check("three logs", {}).progress is Progress.NOT_ATTEMPTED

    async def both(world: World) -> None:
        await lift(world)
        await again(world)

    for where in ("relay", "The relay", "smtp.relay.test"):
        assert puzzle(RIGHT_ANSWERS | {"stopped at": where}, both).progress is Progress.DONE
