"""The twin of notebook 02b: the facts it teaches, on labkit and on the real Exim; its model answers; each mistake."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Awaitable, Callable
from functools import lru_cache
from typing import Any

import pytest

from labkit import World
from labkit.auth import evaluate_dmarc
from labkit.auth.dkim_sign import sign
from labkit.lab.keys import KeyPair, make_pair
from labkit.mail.message import with_crlf
from labkit.net.dns_zones import ZoneError
from labkit.teach.checks import CheckView, Progress, check
from labkit.teach.tasks.vouching import lookup_in
from labkit.teach.tasks.vouching_dmarc import three_ways
from labkit.teach.views.judged import judged
from labkit.teach.views.signatures import signatures

from .committed import Committed, run_cells

NOTEBOOK = Committed("02b_who_vouches")
CELLS = NOTEBOOK.sources
MINE, THEIRS = "st11.sne21.test", "st2.sne21.test"
ANN, BOB, CAROL = f"ann@{MINE}", f"bob@{THEIRS}", "carol@bigmail.test"
MALLORY = "mallory@spoof.test"
AS_ANN = NOTEBOOK.text("c1b", "AS_ANN")
SPF, SIGNING, LIST = (
    NOTEBOOK.text("c2c", "spf"),
    NOTEBOOK.text("c3c", "signing"),
    NOTEBOOK.text("c6", "routers"),
)
DMARC = NOTEBOOK.text("c4c", "dmarc")
ENGINES = pytest.mark.parametrize(
    "engine", ["labkit", pytest.param("exim", marks=pytest.mark.needs("exim", "gcc"))]
)
Steps = Callable[[World], Awaitable[Any]]


def in_a_world(steps: Steps, engine: str = "labkit") -> Any:
    async def go() -> Any:
        network = "memory" if engine == "labkit" else "loopback"
        async with World.open("who_vouches", network=network, engine=engine, alongside=True) as world:
            return await steps(world)

    return asyncio.run(go())


@lru_cache(maxsize=8)
def pair(kind: str = "rsa", bits: int = 2048, number: int = 0) -> KeyPair:
    return make_pair(kind, bits) if kind == "rsa" else make_pair(kind)


def key_line(selector: str = "k1", which: KeyPair | None = None) -> str:
    return f"$ORIGIN {MINE}.\n{(which or pair()).zone_line(selector)}\n$ORIGIN sne21.test.\n"


def publish(world: World, *lines: str) -> None:
    """The zone as it was in the beginning, and these lines."""
    fresh = world.zone("sne21.test").partition("; ---\n")[0].rstrip("\n")
    world.write_zone("sne21.test", "\n".join([fresh, "; ---", *lines, ""]))


async def signing(world: World, transport: str = SIGNING, which: KeyPair | None = None) -> None:
    """The host signs: the key's file, and the transport."""
    path = world.mine.path("/etc/dkim/k1.pem")
    path.parent.mkdir(exist_ok=True)
    path.write_bytes((which or pair()).private_pem)
    plain = world.mine.configuration
    assert "\nby_smtp:\n  driver = smtp\n" in plain
    world.mine.write_configuration(plain.replace("\nby_smtp:\n  driver = smtp\n", transport))
    await world.mine.reload()


async def write(world: World, to: str = CAROL, subject: str = "Lunch") -> Any:
    """Ann writes; what the provider thinks of it."""
    await world.laptop.send(to, subject, "At one?\n")
    return world.provider.verdicts[-1]


# --- the notebook from top to bottom ---


@pytest.fixture(scope="module")
def notebook() -> tuple[dict[str, Any], dict[str, Any]]:
    """What the cells have shown, and the names they have left; with the model answers in them."""
    sources = NOTEBOOK.code("c13", "c14")
    sources["c2b"] = sources["c2b"].replace("; who sends for st11:\n", SPF)
    sources["c3b"] = (
        sources["c3b"]
        .replace('my_key = ""', 'my_key = "$ORIGIN st11.sne21.test.\\n" + line')
        .replace("\nby_smtp:\n  driver = smtp\n", SIGNING, 1)
    )
    sources["c4b"] = sources["c4b"].replace("; what to do with mail that only says it is from st11:\n", DMARC)
    sources["c5c"] = sources["c5c"].replace(
        "my_dmarc = dmarc", 'my_dmarc = dmarc.replace("p=reject", "p=reject; psd=n")'
    )
    sources["c6b"] = sources["c6b"].replace('"? ? ?"', '"fail pass pass"', 1)
    names: dict[str, Any] = {}

    async def go() -> dict[str, Any]:
        shown = await run_cells(sources, names)
        await names["world"].stop()
        return shown

    return asyncio.run(go()), names


Ran = tuple[dict[str, Any], dict[str, Any]]
CHECKS = ("c2check", "c3check", "c4check", "c5check")


def test_who_solves_everything_gets_four_times_done(notebook: Ran) -> None:
    shown, _ = notebook
    for cell in CHECKS:
        view = shown[cell]
        assert isinstance(view, CheckView)
        assert view.progress is Progress.DONE, view.text()


def test_it_is_committed_unsolved() -> None:
    outputs = {cell["id"]: json.dumps(cell.get("outputs")) for cell in NOTEBOOK.cells}
    for cell in CHECKS:
        assert "[not attempted]" in outputs[cell]
    assert CELLS["c6b"].count('"? ? ?"') == 2


def test_the_cells_show_what_the_prose_says(notebook: Ran) -> None:
    shown, _ = notebook

    def row(cell: str, name: str) -> list[str]:
        return next(list(row[1:]) for row in shown[cell].rows if row[0] == name)

    assert row("c1b", "bigmail") == ["spam", "spam"], "bigmail sees no difference"
    assert row("c2c", "bigmail") == ["inbox", "inbox", "spam", "inbox"], "Mallory's idea works"
    assert row("c2c", "SPF")[3] == "pass: spoof.test"
    assert row("c3f", "bigmail") == ["inbox"]
    assert row("c3f", "DKIM") == ["pass: d=spoof.test"]
    assert row("c4c", "bigmail") == ["inbox", "spam", "spam", "spam"]
    assert row("c4d", "bigmail")[0] == "inbox"
    assert all(cell.startswith("550 5.7.26") for cell in row("c4d", "bigmail")[1:])
    assert row("c5", "bigmail") == ["inbox"], "relaxed: the partner is me"
    assert row("c5e", "bigmail")[1] == "inbox" and row("c5e", "bigmail")[0].startswith("550 5.7.26")
    assert [row[1:] for row in shown["c5d"].rows] == [
        ("pass", "pass"),
        ("pass", "pass"),
        ("fail", "fail"),
        ("fail", "pass"),
    ]
    assert shown["c6b"].right == 3 and shown["c6b"].asked == 3
    results = [(row[4], row[5]) for row in shown["c3e"].rows]
    assert results == [
        ("pass", ""),
        ("fail", "body"),
        ("fail", "header"),
        ("pass", ""),
        ("fail", "body"),
        ("pass", ""),
        ("pass", ""),
    ]
    assert [row[4] for row in shown["c8"].rows] == ["pass", "pass"]
    assert [row[4] for row in shown["c8b"].rows] == ["permerror", "pass"]
    assert [row[4] for row in shown["c10"].rows] == ["pass", "pass"] and shown["c10"].rows[1][
        6
    ] == "37 octets"
    assert [(row[3], row[4]) for row in shown["c11"].rows] == [
        ("rsa-sha256", "pass"),
        ("ed25519-sha256", "pass"),
    ]


# --- the facts, on both engines ---


@ENGINES
def test_three_names_and_three_checks(engine: str) -> None:
    """The story of parts 1 to 6, told without the notebook's text."""

    async def steps(world: World) -> None:
        mallory = world.host("mx.spoof.test")
        await write(world)
        await mallory.send(ANN, CAROL, AS_ANN)
        first, second = world.provider.verdicts
        assert (
            (first.spf.result, first.disposition)
            == (second.spf.result, second.disposition)
            == ("none", "spam")
        )
        publish(world, SPF, key_line(), DMARC.replace("quarantine", "reject; adkim=s; aspf=s"))
        await signing(world)
        await world.advance(days=1)
        own = await write(world)
        assert (own.spf.result, own.dkim[0].result, own.dmarc.result) == ("pass",) * 3
        for sender in (ANN, MALLORY):
            await mallory.send(sender, CAROL, AS_ANN)
            assert str(world.provider.verdicts[-1].reply).startswith("550 5.7.26")
        await world.partner.send(BOB, CAROL, AS_ANN)
        assert world.provider.verdicts[-1].disposition == "refused"
        await world.host("mx.letters.test").send(ANN, CAROL, AS_ANN)
        assert world.provider.verdicts[-1].dmarc.result == "pass", "the newsletter"
        world.partner.write_configuration(world.partner.configuration.replace("\nours:\n", LIST))
        await world.partner.reload()
        forwarded = await write(world, f"carol@{THEIRS}")
        assert (forwarded.spf.result, forwarded.dkim[0].result, forwarded.dmarc.result) == (
            "fail",
            "pass",
            "pass",
        )
        listed = await write(world, f"friends@{THEIRS}")
        assert (listed.spf.result, listed.dkim[0].result, listed.dmarc.result) == ("pass", "fail", "fail")
        assert listed.sender == BOB and listed.dkim[0].broken == "header"

    in_a_world(steps, engine)


def test_a_bounce_is_asked_about_by_its_helo_name() -> None:
    """Part 2: an empty MAIL FROM, so mx2.st11 needs a record of its own."""

    async def steps(world: World) -> None:
        publish(world, *SPF.strip().splitlines()[:1])
        await world.mine.send("", CAROL, f"From: Mailer-Daemon@{MINE}\nTo: {CAROL}\n\nIt failed.\n")
        assert world.provider.verdicts[-1].spf.result == "none"
        publish(world, SPF)
        await world.advance(minutes=10)
        await world.mine.send("", CAROL, f"From: Mailer-Daemon@{MINE}\nTo: {CAROL}\n\nIt failed.\n")
        found = world.provider.verdicts[-1].spf
        assert (found.result, found.identity) == ("pass", "helo")

    in_a_world(steps)


def test_bigmail_refuses_two_from_fields() -> None:
    async def steps(world: World) -> None:
        await world.host("mx.spoof.test").send(MALLORY, CAROL, "From: eve@spoof.test\n" + AS_ANN)
        assert str(world.provider.verdicts[-1].reply).startswith("550 5.7.1")

    in_a_world(steps)


@ENGINES
def test_a_plus_in_dkim_sign_headers_closes_the_gap(engine: str) -> None:
    """Part 3: a second From: breaks the signature then."""

    async def steps(world: World) -> None:
        publish(world, SPF, key_line())
        await signing(world, SIGNING + "  dkim_sign_headers = +From:To:Subject:Date\n")
        await write(world)
        raw = bytes(world.provider.inbox("carol")[-1])
        view = await signatures(world, {"a": raw, "b": b"From: eve@spoof.test\r\n" + raw})
        assert [row[4] for row in view.rows] == ["pass", "fail"]

    in_a_world(steps, engine)


def test_names_below_are_protected_by_psd() -> None:
    """Part 5: what the two cures differ in. Without psd=n the apex decides for shop.st11."""

    async def steps(world: World) -> None:
        for tags, owner, policy in (
            ("adkim=s; aspf=s", "sne21.test", "none"),
            ("psd=n", MINE, "reject"),
            ("psd=n; adkim=s; aspf=s", MINE, "reject"),
        ):
            publish(world, f'_dmarc.st11 IN TXT "v=DMARC1; p=reject; {tags}"')
            found = evaluate_dmarc(f"shop.{MINE}", ("pass", "spoof.test"), None, lookup_in(world))
            assert (found.result, found.policy_domain, found.policy) == ("fail", owner, policy), tags

    in_a_world(steps)


def test_the_views_say_what_is_missing() -> None:
    async def steps(world: World) -> None:
        with pytest.raises(ValueError, match="only 0 messages"):
            judged(world, "Ann")
        with pytest.raises(ValueError, match="1 to 4 labels"):
            judged(world)
        view = await signatures(world, {"plain": AS_ANN.encode()})
        assert view.rows[0][4] == "none" and "plain" in view.text() and "plain" in str(view.html())

    in_a_world(steps)


# --- the exercises ---


def verdict(name: str, world: World) -> CheckView:
    return check(name, world)


def _spf(*terms: str) -> str:
    return f'st11 IN TXT "v=spf1 {" ".join(terms)}"'


OWN, SERVICE = "ip4:203.0.113.11", "include:_spf.letters.test"
SPF_RIGHT = [
    _spf(OWN, SERVICE, "-all"),
    _spf(OWN, SERVICE, "~all"),
    _spf(SERVICE, "a:mx2.st11.sne21.test", "-all"),
    _spf("mx", SERVICE, "-all"),
    _spf(OWN, "ip4:203.0.113.150", SERVICE, "-all"),
    f'st11 IN TXT "v=spf1 {OWN} " "{SERVICE} -all"',
]
SPF_WRONG = {
    "two records": (f"{_spf(OWN, '-all')}\n{_spf(SERVICE, '-all')}", "2 SPF records at one name"),
    "+all": (_spf(OWN, SERVICE, "+all"), "permits every host"),
    "missing include": (_spf(OWN, "-all"), "the term that the service asks"),
    "address copied": (_spf(OWN, "ip4:203.0.113.150", "-all"), "is copied into your record"),
    "own address missing": (_spf(SERVICE, "-all"), "Your own host is not permitted"),
    "too many look-ups": (
        _spf(OWN, SERVICE, *[f"a:h{n}.test" for n in range(10)], "-all"),
        "terms ask the DNS",
    ),
    "at the host": (f'mx2.st11 IN TXT "v=spf1 {OWN} {SERVICE} -all"', "an SPF record at mx2.st11"),
    "at the apex": (f'@ IN TXT "v=spf1 {OWN} {SERVICE} -all"', "an SPF record at sne21.test, and none"),
    "begins with a blank": (
        f'laptop.st11 IN A 198.51.100.11\n IN TXT "v=spf1 {OWN} -all"',
        "begins with a blank",
    ),
    "dot forgotten": (f'{MINE} IN TXT "v=spf1 {OWN} {SERVICE} -all"', "once too often"),
    "no quotes": (f"st11 IN TXT v=spf1 {OWN} {SERVICE} -all", "quotation marks around the whole"),
    "quotes twice": (f'st11 IN TXT "\\"v=spf1 {OWN} {SERVICE} -all\\""', "quotation mark is part"),
    "too wide": (_spf("ip4:203.0.113.0/24", SERVICE, "-all"), "Too many are permitted"),
    "no end": (_spf(OWN, SERVICE), "gets neutral"),
    "slip": (_spf("ipv4:203.0.113.11", SERVICE, "-all"), "no mechanism 'ipv4'"),
    "behind all": (_spf("-all", OWN, SERVICE), "Your own host is not permitted"),
    "no version": (f'st11 IN TXT "spf1 {OWN} {SERVICE} -all"', "does not start with"),
    "loop of nothing": (_spf(OWN, SERVICE, "include:_spf.letter.test", "-all"), "permerror"),
}


@pytest.mark.parametrize("line", SPF_RIGHT)
def test_spf_record_done(line: str) -> None:
    async def steps(world: World) -> None:
        assert verdict("spf record", world).progress is Progress.NOT_ATTEMPTED
        publish(world, line)
        view = verdict("spf record", world)
        assert view.progress is Progress.DONE, view.text()

    in_a_world(steps)


@pytest.mark.parametrize("mistake", SPF_WRONG)
def test_spf_record_hints(mistake: str) -> None:
    line, words = SPF_WRONG[mistake]

    async def steps(world: World) -> None:
        publish(world, line)
        view = verdict("spf record", world)
        assert view.progress is Progress.NOT_YET, view.text()
        assert words in view.text(), view.text()

    in_a_world(steps)


Setting = tuple[str, str, KeyPair | None]  # the lines of the zone, the transport, the key of the host


def _dkim_right() -> dict[str, Setting]:
    name = f"{pair().record[:200]}"
    rest = pair().record[200:]
    return {
        "as the notebook": (key_line(), SIGNING, None),
        "a longer name": (pair().zone_line("k1").replace("._domainkey", "._domainkey.st11"), SIGNING, None),
        "cut elsewhere": (f'k1._domainkey.st11 IN TXT "{name}" "{rest}"', SIGNING, None),
        "Ed25519": (key_line("k1", pair("ed25519")), SIGNING, pair("ed25519")),
    }


def _dkim_wrong() -> dict[str, tuple[Setting, str]]:
    good, record = key_line(), pair().record
    unsigned = "\nby_smtp:\n  driver = smtp\n"
    return {
        "nothing signs": ((good, unsigned, None), "nothing signs"),
        "no selector": (
            (good, SIGNING.replace("  dkim_selector    = k1\n", ""), None),
            "without a signature",
        ),
        "no key published": (("", SIGNING, None), "not published"),
        "wrong selector": ((key_line("k2"), SIGNING, None), "The two selectors must be the same"),
        "at the apex": ((pair().zone_line("k1"), SIGNING, None), "What does the origin"),
        "key not matching": ((key_line("k1", pair(number=1)), SIGNING, None), "not the other half"),
        "From not signed": (
            (good, SIGNING + "  dkim_sign_headers = To:Subject:Date\n", None),
            "From: is not among",
        ),
        "1024 bits": ((key_line("k1", pair(bits=1024)), SIGNING, pair(bits=1024)), "1024 bits"),
        "a part lost": ((f'k1._domainkey.st11 IN TXT "{record[:250]}"', SIGNING, None), "cannot be used"),
        "d= of the apex": ((good, SIGNING.replace("= st11.", "= "), None), "Is that the domain"),
        "another d=": (
            (
                f"{good}k1._domainkey.mx2.st11 IN TXT ( {_strings(record)} )",
                SIGNING.replace("= st11", "= mx2.st11"),
                None,
            ),
            "lies below your domain",
        ),
    }


def _strings(record: str) -> str:
    return f'"{record[:250]}" "{record[250:]}"'


async def set_up(world: World, setting: Setting) -> None:
    lines, transport, key = setting
    publish(world, SPF, lines)
    await signing(world, transport, key)
    await write(world)


@pytest.mark.parametrize("name", _dkim_right())
def test_dkim_signature_done(name: str) -> None:
    async def steps(world: World) -> None:
        publish(world, SPF)
        await write(world)
        assert verdict("dkim signature", world).progress is Progress.NOT_ATTEMPTED
        await world.advance(minutes=10)
        await set_up(world, _dkim_right()[name])
        view = verdict("dkim signature", world)
        assert view.progress is Progress.DONE, view.text()
        assert ("Only Ed25519" in view.text()) == (name == "Ed25519")

    in_a_world(steps)


@pytest.mark.parametrize("mistake", _dkim_wrong())
def test_dkim_signature_hints(mistake: str) -> None:
    setting, words = _dkim_wrong()[mistake]

    async def steps(world: World) -> None:
        await set_up(world, setting)
        view = verdict("dkim signature", world)
        assert view.progress is Progress.NOT_YET, view.text()
        assert words in view.text(), view.text()

    in_a_world(steps)


def test_dkim_signature_knows_the_cache() -> None:
    """Corrected, but the provider still remembers; and a letter that is missing."""

    async def steps(world: World) -> None:
        publish(world, SPF, key_line("k1", pair(number=1)))
        await signing(world)
        assert "only a message shows it" in verdict("dkim signature", world).text()
        await write(world)
        publish(world, SPF, key_line())
        assert "fits by now" in verdict("dkim signature", world).text()
        await world.advance(minutes=10)
        await write(world)
        assert verdict("dkim signature", world).progress is Progress.DONE
        plain = world.mine.configuration.replace("  dkim_selector    = k1\n", "")
        world.mine.write_configuration(plain)
        await world.mine.reload()
        await write(world)
        assert "the newest is not" in verdict("dkim signature", world).text()

    in_a_world(steps)


def test_a_string_that_is_too_long_is_no_zone() -> None:
    async def steps(world: World) -> None:
        with pytest.raises(ZoneError, match="255"):
            publish(world, f'k1._domainkey.st11 IN TXT "{pair().record}"')

    in_a_world(steps)


def _dmarc(tags: str, name: str = "_dmarc.st11") -> str:
    return f'{name} IN TXT "v=DMARC1; {tags}"'


DMARC_RIGHT = [
    _dmarc("p=quarantine"),
    _dmarc("p=reject; rua=mailto:ann@st11.sne21.test"),
    _dmarc("p=reject; psd=n"),
]
DMARC_WRONG = {
    "p=none": (SPF + _dmarc("p=none"), "asks for nothing"),
    "t=y": (SPF + _dmarc("p=quarantine; t=y"), "one step down"),
    "two records": (SPF + _dmarc("p=reject") + "\n" + _dmarc("p=none"), "2 DMARC records"),
    "at the domain": (SPF + _dmarc("p=reject", "st11"), "A DMARC record stands at st11.sne21.test"),
    "no underscore": (SPF + _dmarc("p=reject", "dmarc.st11"), "A DMARC record stands at dmarc.st11"),
    "dot forgotten": (
        SPF + _dmarc("p=reject", f"_dmarc.{MINE}"),
        "A DMARC record stands at _dmarc.st11.sne21.test.sne",
    ),
    "slip in p": (SPF + _dmarc("p=rejekt"), "p=rejekt means nothing"),
    "no quotes": (SPF + "_dmarc.st11 IN TXT v=DMARC1; p=reject", "begins a comment"),
    "at the apex": (SPF + _dmarc("p=reject", "_dmarc"), "You changed the record of sne21.test"),
    "semicolon": (SPF + '_dmarc.st11 IN TXT "v=DMARC1 p=reject"', "semicolon is missing"),
    "p forgotten": (SPF + _dmarc("sp=reject"), "There is no p"),
    "own mail fails": (_dmarc("p=reject"), "First let your own mail pass"),
    "everybody passes": (
        SPF.replace("-all", "+all") + key_line() + _dmarc("p=reject"),
        "Mallory still passes as you",
    ),
    "reports elsewhere": (SPF + _dmarc("p=reject; rua=mailto:x@letters.test"), "has not agreed"),
}


@pytest.mark.parametrize("line", DMARC_RIGHT)
def test_dmarc_record_done(line: str) -> None:
    async def steps(world: World) -> None:
        publish(world, SPF)
        await write(world)
        assert verdict("dmarc record", world).progress is Progress.NOT_ATTEMPTED
        publish(world, SPF, line)
        view = verdict("dmarc record", world)
        assert view.progress is Progress.DONE, view.text()
        assert {found.result for found in three_ways(world).values()} == {"fail"}

    in_a_world(steps)


@pytest.mark.parametrize("mistake", DMARC_WRONG)
def test_dmarc_record_hints(mistake: str) -> None:
    lines, words = DMARC_WRONG[mistake]

    async def steps(world: World) -> None:
        publish(world, lines)
        await write(world)
        view = verdict("dmarc record", world)
        assert view.progress is Progress.NOT_YET, view.text()
        assert words in view.text(), view.text()

    in_a_world(steps)


def test_dmarc_record_wants_a_letter_and_alignment() -> None:
    async def steps(world: World) -> None:
        publish(world, SPF, _dmarc("p=reject"))
        assert "Send Carol a letter" in verdict("dmarc record", world).text()
        await world.mine.send(f"ann@mx2.{MINE}", CAROL, AS_ANN)
        publish(world, SPF, _dmarc("p=reject; adkim=s; aspf=s"))
        assert "nothing is aligned" in verdict("dmarc record", world).text()

    in_a_world(steps)


APEX_RIGHT = [
    ("p=reject; adkim=s; aspf=s", "holds for receivers of RFC 9989 and of the old"),
    ("p=quarantine; psd=n", "does not know psd=n"),
    ("p=reject; psd=n; adkim=s; aspf=s", "holds for receivers of RFC 9989 and of the old"),
]
APEX_WRONG = {
    "adkim alone": (_dmarc("p=reject; adkim=s"), "Signatures are compared strictly"),
    "aspf alone": (_dmarc("p=reject; aspf=s"), "SPF is compared strictly"),
    "psd=y": (_dmarc("p=reject; psd=y"), "public suffix, one under which"),
    "slip": (_dmarc("p=reject; adkim=strict"), "adkim=strict means nothing"),
    "two records": (_dmarc("p=reject; psd=n") + "\n" + _dmarc("p=reject"), "2 DMARC records"),
}


@pytest.mark.parametrize("tags, words", APEX_RIGHT)
def test_shared_apex_done(tags: str, words: str) -> None:
    async def steps(world: World) -> None:
        assert verdict("shared apex", world).progress is Progress.NOT_ATTEMPTED
        publish(world, SPF, _dmarc("p=reject"))
        await write(world)
        assert verdict("shared apex", world).progress is Progress.NOT_ATTEMPTED
        publish(world, SPF, _dmarc(tags))
        view = verdict("shared apex", world)
        assert view.progress is Progress.DONE, view.text()
        assert words in view.text()

    in_a_world(steps)


@pytest.mark.parametrize("mistake", APEX_WRONG)
def test_shared_apex_hints(mistake: str) -> None:
    lines, words = APEX_WRONG[mistake]

    async def steps(world: World) -> None:
        publish(world, SPF, lines)
        await write(world)
        view = verdict("shared apex", world)
        assert view.progress is Progress.NOT_YET, view.text()
        assert words in view.text(), view.text()

    in_a_world(steps)


def test_shared_apex_in_the_wrong_place_and_against_oneself() -> None:
    async def steps(world: World) -> None:
        publish(world, SPF, _dmarc("p=reject"))
        await write(world)
        zone = world.zone("sne21.test")
        world.write_zone("sne21.test", zone.replace("p=none;", "p=none; psd=y;"))
        assert "It is not yours" in verdict("shared apex", world).text()
        world.write_zone("sne21.test", zone)
        await world.mine.send(f"ann@mx2.{MINE}", CAROL, AS_ANN)
        publish(world, SPF, _dmarc("p=reject; adkim=s; aspf=s"))
        assert "and so are you" in verdict("shared apex", world).text()

    in_a_world(steps)


def test_another_students_names() -> None:
    """The checks know no name by heart."""

    async def go() -> None:
        names: dict[str, Any] = {"st": 7, "partner": 3, "apex": "sne21.ru", "address": "3.135.210.50"}
        async with World.open("who_vouches", network="memory", alongside=True, **names) as world:
            record = '"v=spf1 ip4:3.135.210.50 include:_spf.letters.test -all"'
            lines = [f"st7 IN TXT {record}", '_dmarc.st7 IN TXT "v=DMARC1; p=reject; psd=n"', ""]
            world.write_zone("sne21.ru", world.zone("sne21.ru") + "\n".join(lines))
            await write(world)
            for name in ("spf record", "dmarc record", "shared apex"):
                view = verdict(name, world)
                assert view.progress is Progress.DONE, view.text()

    asyncio.run(go())


def test_the_hints_differ() -> None:
    words = [text for table in (SPF_WRONG, DMARC_WRONG, APEX_WRONG) for _, text in table.values()]
    words += [text for _, text in _dkim_wrong().values()]
    repeated = {text for text in words if words.count(text) > 1}
    assert repeated <= {"2 DMARC records", "Your own host is not permitted"}


def test_the_signature_of_mallory_is_good_dkim() -> None:
    """dkimpy would say the same: tests/auth. Here: the notebook's own way of making it."""

    async def steps(world: World) -> None:
        hers = pair(number=2)
        world.write_zone("spoof.test", world.zone("spoof.test") + hers.zone_line("m1") + "\n")
        text = with_crlf(AS_ANN.encode())
        now = world.now().timestamp()
        field = sign(text, domain="spoof.test", selector="m1", key=hers.private_key, now=now)
        await world.host("mx.spoof.test").send(MALLORY, CAROL, (field + text).decode())
        found = world.provider.verdicts[-1]
        assert (found.dkim[0].result, found.dkim[0].domain, found.dmarc.result) == (
            "pass",
            "spoof.test",
            "fail",
        )

    in_a_world(steps)


def test_no_sentence_of_the_notebook_names_this_machine() -> None:
    text = json.dumps(NOTEBOOK.cells)
    assert not re.search(r"/(?:work|home|root)/", text)
