"""The twin of notebook 05: the facts it teaches, on labkit and on the real Exim; its model answers; each mistake."""

from __future__ import annotations

import asyncio
import json
import re
import sqlite3
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import pytest

from labkit import World
from labkit.lab.all_mailboxes import boxes, who_holds
from labkit.teach.checks import CheckView, Progress, check
from labkit.teach.tasks.virtual import examine
from labkit.teach.tasks.virtual_truth import questions
from labkit.teach.views.mailbox_files import mailboxes
from labkit.teach.views.probes import configure
from labkit.teach.views.probes_talk import ask_whom
from labkit.teach.views.truth_table import OWN, PARTNER, STRANGER, Caller, stranger, truth_table

from .committed import Committed, run_cells

NOTEBOOK = Committed("05_virtual_domains")
CELLS = NOTEBOOK.sources
APEX, DOMAIN, SHOP = "sne21.test", "st11.sne21.test", "shop.st11.sne21.test"
ANN, SHOP_ANN, BOB = f"ann@{DOMAIN}", f"ann@{SHOP}", "bob@st2.sne21.test"
YES, NO_RELAY, UNKNOWN = "250 Accepted", "550 relay not permitted", "550 Unrouteable address"
LATER = "451 Temporary local problem - please try later"
ENGINES = pytest.mark.parametrize(
    "engine", ["labkit", pytest.param("exim", marks=pytest.mark.needs("exim", "gcc"))]
)

Steps = Callable[[World], Awaitable[Any]]


def in_a_world(steps: Steps, scenario: str = "one_domain", engine: str = "labkit") -> Any:
    async def go() -> Any:
        network = "memory" if engine == "labkit" else "loopback"
        async with World.open(scenario, network=network, engine=engine, alongside=True) as world:
            return await steps(world)

    return asyncio.run(go())


MAIN, ACL, RETRY = (NOTEBOOK.text("c4c", name) for name in ("main", "acl", "retry"))
BEGUN_ROUTERS, BEGUN_TRANSPORTS = NOTEBOOK.text("c5", "routers"), NOTEBOOK.text("c5", "transports")
ROUTERS, CATCHING, TRANSPORTS = (
    NOTEBOOK.text("c5b", "routers"),
    NOTEBOOK.text("c6b", "routers"),
    NOTEBOOK.text("c5b", "transports"),
)
BEGUN = MAIN + ACL + BEGUN_ROUTERS + BEGUN_TRANSPORTS + RETRY
SOLVED = MAIN + ACL + ROUTERS + TRANSPORTS + RETRY
CAUGHT = MAIN + ACL + CATCHING + TRANSPORTS + RETRY
TABLE = "ann:        ann\nben:        ben\ninfo:       ben\npostmaster: ann\n"
SHOPS = "ann:        ann\nclerk:      clerk\npostmaster: clerk\n"
STAR = "*:          clerk\n"
ACCEPT_ROUTER = "lsearch;/etc/virtual/$domain_data"
Tables = Mapping[str, str]
BOTH = {DOMAIN: TABLE, SHOP: SHOPS}
WITH_STAR = {DOMAIN: TABLE, SHOP: SHOPS + STAR}


def put(world: World, tables: Tables) -> None:
    """Tables below /etc/virtual, or a file whose whole name is given."""
    for name, text in tables.items():
        path = world.mine.path(name if name.startswith("/") else f"/etc/virtual/{name}")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


async def set_up(world: World, configuration: str, tables: Tables) -> None:
    put(world, tables)
    taken = await configure(world.mine, configuration)
    assert taken.taken, taken.text()


async def said(world: World, *recipients: str) -> list[str]:
    """What a stranger hears."""
    return list((await ask_whom(world.mine, stranger(world), recipients)).replies)


# --- the notebook from top to bottom ---


TRUTH = {
    ANN: "250 250 250",
    SHOP_ANN: "250 250 250",
    SHOP_ANN.upper(): "250 250 250",
    f"postmaster@{DOMAIN}": "250 250 250",
    f"postmaster@{SHOP}": "250 250 250",
    "postmaster": "250 250 250",
    f"zoe@{DOMAIN}": "550 550 250",
    f"zoe@{SHOP}": "250 250 250",
    f"clerk@{DOMAIN}": "550 550 250",
    f"ann@a.{SHOP}": "550 550 250",
    f"ann@evil{DOMAIN}": "550 550 250",
    f"ann@mx2.{DOMAIN}": "550 550 250",
    BOB: "550 550 250",
}
SHOPS_LINE = "shop.st11 IN MX 10 mx2.st11\n"


@pytest.fixture(scope="module")
def notebook() -> tuple[dict[str, Any], dict[str, Any]]:
    """What the cells have shown, and the names they have left; with the model answers in them."""
    sources = NOTEBOOK.code("c13", "c14")
    sources["c2"] = sources["c2"].replace("; the shop:\n", SHOPS_LINE)
    sources["c5"] = CELLS["c5b"]
    sources["c6"] = CELLS["c6b"]
    for recipient, codes in TRUTH.items():
        line = rf'("{re.escape(recipient)}": +)"[? ]+"'
        sources["c7b"], count = re.subn(line, rf'\1"{codes}"', sources["c7b"])
        assert count == 1, recipient
    names: dict[str, Any] = {}

    async def go() -> dict[str, Any]:
        shown = await run_cells(sources, names)
        names["was_held"] = boxes(names["world"].mine)
        await names["world"].stop()
        return shown

    return asyncio.run(go()), names


Ran = tuple[dict[str, Any], dict[str, Any]]


def test_who_solves_everything_gets_four_times_done(notebook: Ran) -> None:
    shown, _ = notebook
    for cell in ("c2check", "c5check", "c6check", "c7check"):
        view = shown[cell]
        assert isinstance(view, CheckView)
        assert view.progress is Progress.DONE, view.text()


def test_it_is_committed_unsolved() -> None:
    assert "MX" not in CELLS["c2"]
    assert CELLS["c7b"].count("?") == 3 * len(TRUTH)
    outputs = {cell["id"]: json.dumps(cell.get("outputs")) for cell in NOTEBOOK.cells}
    for cell in ("c2check", "c5check", "c6check", "c7check"):
        assert "[not attempted]" in outputs[cell]


def test_the_cells_show_what_the_prose_says(notebook: Ran) -> None:
    shown, names = notebook
    assert [reply for (_, who), reply in names["seen1"].heard.items() if who == STRANGER] == [
        *[YES] * 3,
        UNKNOWN,
        NO_RELAY,
    ]
    assert names["seen2"].heard == names["seen1"].heard, "part 4: the first domain is as it was"
    assert shown["c5d"].rows == [], "one file answers as the folder does"
    assert shown["c12"].rows == [], "and so does a database"
    assert {row[0] for row in shown["c6b"].rows} == {f"<ben@{SHOP}>", f"<zoe@{SHOP}>"}
    wrong = [cell for cell in shown["c7"].cells.values() if not cell.is_right]
    assert [(cell.recipient, cell.caller) for cell in wrong] == [(BOB, PARTNER), ("nobody@bigmail.test", OWN)]
    held = {
        subject: sorted(
            name
            for name, letters in names["was_held"].items()
            for letter in letters
            if letter.first("Subject") == subject
        )
        for subject in (
            "To the first Ann",
            "To the Ann of the shop",
            "To both of you",
            "Shoes",
            "Team",
            "Team again",
        )
    }
    own, shop = f"/var/mail/virtual/{DOMAIN}/ann", f"/var/mail/virtual/{SHOP}/ann"
    assert held["To the first Ann"] == held["To the Ann of the shop"] == ["/var/mail/ann"]
    assert held["To both of you"] == held["Shoes"] == [shop, own]
    assert held["Team"] == [own], "without qualify_preserve_domain it is the wrong Ann"
    assert held["Team again"] == [shop, f"/var/mail/virtual/{SHOP}/clerk"]


# --- the facts, on both engines ---

STARS = [  # local_domains -> what a stranger hears for: own, shop, nowhere, evil
    (DOMAIN, [YES, NO_RELAY, NO_RELAY, NO_RELAY]),
    (f"*.{DOMAIN}", [NO_RELAY, YES, YES, NO_RELAY]),
    (f"*{DOMAIN}", [YES, YES, YES, YES]),
    (f"{DOMAIN} : *.{DOMAIN}", [YES, YES, YES, NO_RELAY]),
]


@ENGINES
def test_stars_and_their_failures(engine: str) -> None:
    asked = [ANN, SHOP_ANN, f"ann@nowhere.{DOMAIN}", f"ann@evil{DOMAIN}"]

    async def steps(world: World) -> None:
        former = world.mine.configuration
        for pattern, replies in STARS:
            text = former.replace(f"local_domains    = {DOMAIN}", f"local_domains    = {pattern}")
            await set_up(world, text, {})
            assert await said(world, *asked) == replies, pattern
        letters = [await stranger(world).send(each, "?", "?\n", host=world.mine.name) for each in asked[:2]]
        for sent in letters:
            assert who_holds(world.mine, sent.mail_object.message) == ["/var/mail/ann"], "one mailbox"

    in_a_world(steps, engine=engine)


@ENGINES
def test_tables(engine: str) -> None:
    """No file is named by a stranger; a table counts at once; two people of one name; who is unknown; a catch-all."""

    async def steps(world: World) -> None:
        await set_up(world, BEGUN.replace("$domain_data", "$domain"), {DOMAIN: TABLE})
        assert await said(world, ANN, f"zoe@{DOMAIN}", SHOP_ANN) == [LATER, LATER, NO_RELAY]
        assert "Tainted filename for search" in world.mine.log()
        await set_up(world, SOLVED, {DOMAIN: TABLE})
        assert await said(world, ANN, f"zoe@{DOMAIN}", SHOP_ANN, "postmaster") == [
            YES,
            UNKNOWN,
            NO_RELAY,
            YES,
        ]
        put(world, {SHOP: SHOPS})
        assert await said(world, SHOP_ANN, f"zoe@{SHOP}", f"ben@{SHOP}", f"info@{SHOP}") == [
            YES,
            *[UNKNOWN] * 3,
        ]
        await stranger(world).send([ANN, SHOP_ANN, f"info@{DOMAIN}"], "all", "?\n", host=world.mine.name)
        below = "/var/mail/virtual"
        assert list(boxes(world.mine)) == [
            f"{below}/{SHOP}/ann",
            f"{below}/{DOMAIN}/ann",
            f"{below}/{DOMAIN}/ben",
        ]
        put(world, WITH_STAR)
        assert await said(world, f"zoe@{SHOP}") == [UNKNOWN], "to lsearch a star is a name"
        await set_up(world, CAUGHT, {})
        assert await said(world, f"zoe@{SHOP}", f"zoe@{DOMAIN}") == [YES, UNKNOWN]
        table = await truth_table(world.mine, TRUTH)
        assert table.right == len(table.cells) == 3 * len(TRUTH), table.text()
        liar = Caller("liar", stranger(world), ANN)
        assert (await truth_table(world.mine, [ANN, BOB], [liar])).reply(BOB, "liar") == NO_RELAY

    in_a_world(steps, engine=engine)


@ENGINES
def test_the_partner_sees_both_domains(engine: str) -> None:
    """NXDOMAIN, then relay not permitted, then mail; and from both domains by a host with one name."""

    async def steps(world: World) -> None:
        def last(field: str) -> str:
            return world.partner.mailbox("bob")[-1].first(field) or ""

        await world.partner_laptop.send(SHOP_ANN, "?", "?\n")
        assert b"Unrouteable address" in world.partner.mailbox("bob")[-1].body, "there is no such name"
        world.write_zone(APEX, world.zone(APEX) + SHOPS_LINE)
        await world.advance(minutes=10)
        await world.partner_laptop.send(SHOP_ANN, "?", "?\n")
        assert b"550 relay not permitted" in world.partner.mailbox("bob")[-1].body
        await set_up(world, CAUGHT, WITH_STAR)
        await world.partner_laptop.send([ANN, SHOP_ANN, f"anne@{DOMAIN}"], "Hello", "?\n")
        assert last("X-Failed-Recipients") == f"anne@{DOMAIN}"
        assert [row[1] for row in mailboxes(world.mine, "Hello").rows] == [SHOP_ANN, ANN]
        for sender in (ANN, SHOP_ANN):
            await world.laptop.send(BOB, "From Ann", "?\n", sender=sender, header_from=sender)
            assert (last("Return-path"), last("From")) == (f"<{sender}>", sender)
            assert f"helo=mx2.{DOMAIN})" in last("Received")

    in_a_world(steps, engine=engine)


def test_the_finished_scenario_does_the_same() -> None:
    async def steps(world: World) -> None:
        table = await truth_table(world.mine, TRUTH)
        assert table.right == len(table.cells), table.text()
        view = await examine("catch-all", world)
        assert view.progress is Progress.DONE, view.text()

    in_a_world(steps, "virtual_domains")


# --- exercise 1: the record ---

OWN_LINE = "st11        IN MX  10 mx2.st11\n"
ZONES: dict[str, tuple[str, str]] = {  # name: the lines, what the hint says
    "the old one replaced": ("-", "has lost its MX"),
    "an alias": ("shop.st11 IN CNAME st11\n", "is an alias (CNAME)"),
    "an address only": ("shop.st11 IN A 203.0.113.11\n", "the implicit MX, RFC 5321"),
    "an address elsewhere": ("shop.st11 IN A 203.0.113.80\n", "that is not your host"),
    "MX to an address": ("shop.st11 IN MX 10 203.0.113.11.\n", "That is taken for a host name"),
    "MX to an alias": ("shop.st11 IN MX 10 m.st11\nm.st11 IN CNAME mx2.st11\n", "must name the host itself"),
    "no final dot": ("shop.st11 IN MX 10 mx2.st11.sne21.test\n", "final dot is missing"),
    "the partner's host": ("shop.st11 IN MX 10 mx2.st2\n", "That host does not know your shop"),
    "a second one at the partner": (f"{SHOPS_LINE} IN MX 20 mx2.st2\n", "That host does not know your shop"),
    "no such host": ("shop.st11 IN MX 10 mx9.st11\n", "which does not exist"),
    "a star": ("*.st11 IN MX 10 mx2.st11\n", "a star in the zone"),
    "name without dot": ("shop.st11.sne21.test IN MX 10 mx2.st11\n", "is completed with the origin"),
    "below the apex": ("shop IN MX 10 mx2.st11\n", "belongs below your own domain"),
    "at another name": (" IN MX 10 mx2.st11\n", "begins with a blank"),
    "text only": ('shop.st11 IN TXT "hello"\n', "neither an MX nor an address"),
    "delegated to nobody": ("shop.st11 IN NS ns\n", "delegated it by an NS record"),
    "and one with the origin twice": (f"{SHOPS_LINE}shop.st11.sne21.test IN MX 10 mx2.st11\n", "as well"),
}


@pytest.fixture(scope="module")
def zone_views() -> dict[str, CheckView]:
    async def steps(world: World) -> dict[str, CheckView]:
        zone, views = world.zone(APEX), {}
        views["untouched"] = check("shop in the zone", world)
        for name, (lines, _) in ZONES.items():
            text = zone.replace(OWN_LINE, SHOPS_LINE) if lines == "-" else zone + lines
            assert text != zone
            world.write_zone(APEX, text)
            views[name] = check("shop in the zone", world)
        world.write_zone(APEX, zone + SHOPS_LINE)
        views["right"] = check("shop in the zone", world)
        world.write_zone(APEX, zone + "shop.st11 IN MX 10 m.shop.st11\nm.shop.st11 IN A 203.0.113.11\n")
        views["right, a name of its own"] = check("shop in the zone", world)
        world.write_zone(APEX, zone + "shop.st11 IN NS ns\n")
        world.write_zone(
            SHOP,
            f"$TTL 60\n@ IN SOA ns.{APEX}. h.{APEX}. 1 1 1 1 1\n IN NS ns.{APEX}.\n IN MX 10 mx2.{DOMAIN}.\n",
        )
        views["right, delegated"] = check("shop in the zone", world)
        return views

    views: dict[str, CheckView] = in_a_world(steps)
    return views


@pytest.mark.parametrize("name", ZONES)
def test_a_mistake_in_the_zone_has_its_hint(zone_views: dict[str, CheckView], name: str) -> None:
    view = zone_views[name]
    assert view.progress is Progress.NOT_YET, view.text()
    assert ZONES[name][1] in view.verdict.words


def test_records_that_are_right(zone_views: dict[str, CheckView]) -> None:
    assert zone_views["untouched"].progress is Progress.NOT_ATTEMPTED
    for name, view in zone_views.items():
        assert (view.progress is Progress.DONE) is name.startswith("right"), (name, view.text())


# --- exercises 2 and 3: what is right ---

OURS = "  check_local_user\n"
ACCOUNTS = BEGUN.replace(OURS, f"  domains   = {DOMAIN}\n{OURS}")
ONE_FILE = (
    SOLVED.replace("dsearch;/etc/virtual\n", f"{DOMAIN} : {SHOP}\n")
    .replace(
        f"local_parts = {ACCEPT_ROUTER}",
        "address_data = ${lookup{$local_part@$domain}lsearch{/etc/virtual-users}{$value}fail}",
    )
    .replace("$domain_data/$local_part_data", "$address_data")
)
USERS = "".join(
    f"{name}@{domain}: {domain}/{box}\n"
    for domain, table in BOTH.items()
    for name, box in (re.split(r":\s+", line) for line in table.splitlines())
)
EACH_ITS_ROUTER = (
    SOLVED.replace("dsearch;/etc/virtual\n", f"{DOMAIN} : {SHOP}\n")
    .replace(
        f"""\
virtual:
  driver      = accept
  domains     = +local_domains
  local_parts = {ACCEPT_ROUTER}
  transport   = into_mailbox
""",
        "".join(
            f"""\
{name}:
  driver      = accept
  domains     = {domain}
  local_parts = {people}
  transport   = into_{name}
"""
            for name, domain, people in (("first", DOMAIN, "ann : ben"), ("second", SHOP, "ann : clerk"))
        )
        + f"""\
more:
  driver      = redirect
  qualify_preserve_domain
  data        = ${{if eq{{$domain}}{{{SHOP}}}{{${{if eq{{$local_part}}{{postmaster}}{{clerk}}}}}}\\
                {{${{if eq{{$local_part}}{{info}}{{ben}}{{${{if eq{{$local_part}}{{postmaster}}{{ann}}}}}}}}}}}}
""",
    )
    .replace(
        "into_mailbox:\n  driver = appendfile\n  file   = /var/mail/virtual/$domain_data/$local_part_data\n",
        "into_first:\n  driver = appendfile\n  file   = /var/mail/$local_part_data\n"
        "into_second:\n  driver = appendfile\n  file   = /var/mail/shop/$local_part_data\n",
    )
)
QUERY = "${lookup sqlite,file=/etc/mail.db{SELECT %s FROM people WHERE domain='${quote_sqlite:$domain}'%s}%s}"
DATABASE = (
    SOLVED.replace("dsearch;/etc/virtual\n", QUERY % ("DISTINCT domain", "", "") + "\n")
    .replace(
        f"local_parts = {ACCEPT_ROUTER}",
        "address_data = " + QUERY % ("box", " AND name='${quote_sqlite:$local_part}'", "{$value}fail"),
    )
    .replace("$local_part_data", "$address_data")
)
MAILDIRS = SOLVED.replace("file   = /", "maildir_format\n  directory = /")


def fill_database(world: World) -> None:
    database = sqlite3.connect(world.mine.path("/etc/mail.db"))
    database.execute("CREATE TABLE people (domain, name, box)")
    for line in USERS.splitlines():
        address, box = re.split(r":\s+", line)
        database.execute(
            "INSERT INTO people VALUES (?, ?, ?)", [*reversed(address.split("@")), box.split("/")[1]]
        )
    database.commit()
    database.close()


RIGHT: dict[str, tuple[str, Tables]] = {
    "dsearch and lsearch": (SOLVED, BOTH),
    "Maildirs": (MAILDIRS, BOTH),
    "accounts": (
        ACCOUNTS,
        {DOMAIN: TABLE, SHOP: "ann: ann_shop\nclerk: clerk_shop\npostmaster: clerk_shop\n"},
    ),
    "one file": (ONE_FILE, {"/etc/virtual-users": USERS}),
    "a router for each": (EACH_ITS_ROUTER, {}),
    "a database": (DATABASE, {}),
}


@pytest.mark.parametrize("name", RIGHT)
def test_two_domains_in_many_ways(name: str) -> None:
    configuration, tables = RIGHT[name]

    async def steps(world: World) -> None:
        for account in ("ann_shop", "clerk_shop"):
            world.mine.add_account(account)
        if name == "a database":
            fill_database(world)
        await set_up(world, configuration, tables)
        view = await examine("two domains", world)
        assert view.progress is Progress.DONE, f"{view.text()}\n{world.mine.log()[-1500:]}"

    in_a_world(steps)


@ENGINES
def test_the_database_of_the_main_section(engine: str) -> None:
    """A query that names no file is for sqlite_dbfile, also as an item of a list."""
    query = "sqlite;SELECT %s FROM people WHERE domain='${quote_sqlite:$domain}'%s LIMIT 1"
    text = SOLVED.replace(
        DSEARCH, f"local_domains    = {query % ('domain', '')}\nsqlite_dbfile = /etc/mail.db\n"
    )
    text = text.replace(ACCEPT_ROUTER, query % ("box", " AND name='${quote_sqlite:$local_part}'"))

    async def steps(world: World) -> None:
        fill_database(world)
        await set_up(world, text, {})
        asked = [ANN, SHOP_ANN, f"zoe@{SHOP}", f"it's@{SHOP}", f"ann@a.{SHOP}"]
        assert await said(world, *asked) == [YES, YES, UNKNOWN, UNKNOWN, NO_RELAY]
        await stranger(world).send([f"info@{DOMAIN}", SHOP_ANN], "?", "?\n", host=world.mine.name)
        assert list(boxes(world.mine)) == [f"/var/mail/virtual/{SHOP}/ann", f"/var/mail/virtual/{DOMAIN}/ben"]

    in_a_world(steps, engine=engine)


@pytest.mark.needs("exim", "gcc")
def test_the_checks_judge_a_real_exim_as_well() -> None:
    async def steps(world: World) -> None:
        await set_up(world, BEGUN, BOTH)
        assert "one mailbox under two names" in (await examine("two domains", world)).verdict.words
        world.mine.write_configuration(SOLVED)
        assert "worked by a former" in (await examine("two domains", world)).verdict.words
        assert (await examine("two domains", world)).progress is Progress.DONE

    in_a_world(steps, engine="exim")


@pytest.mark.parametrize(
    "tables, configuration",
    [
        (WITH_STAR, CAUGHT),
        ({DOMAIN: TABLE, SHOP: f"{SHOPS}zoe: clerk\n*: clerk\n"}, CAUGHT),
        (
            BOTH,
            SOLVED.replace(
                "\nbegin transports",
                f"catcher:\n  driver = redirect\n  domains = {SHOP}\n  data = clerk@{SHOP}\n\nbegin transports",
            ),
        ),
    ],
    ids=["lsearch*", "with names", "a router of its own"],
)
def test_a_catch_all_in_many_ways(tables: Tables, configuration: str) -> None:
    async def steps(world: World) -> None:
        await set_up(world, configuration, tables)
        view = await examine("catch-all", world)
        assert view.progress is Progress.DONE, view.text()

    in_a_world(steps)


# --- exercises 2 and 3: what is wrong ---

DSEARCH = "local_domains    = dsearch;/etc/virtual\n"
LAST_ROUTER = "ours:\n  driver = accept\n  check_local_user\n  transport = into_mailbox\n"
CLERKS_ROUTER = LAST_ROUTER.replace("ours:", "also:").replace("check_local_user", "local_parts = clerk")
FIRST_OR_SHOP = f"/etc/virtual/${{if eq{{$domain_data}}{{{DOMAIN}}}{{{DOMAIN}}}{{{SHOP}}}}}"
ALIASES = "aliases:\n  driver = redirect\n  data = ${lookup{$local_part}lsearch{/etc/aliases}}\nvirtual:\n"
MISTAKES: dict[str, tuple[str, Tables, str]] = {  # configuration, tables, what the hint says
    "a star without the apex": (
        SOLVED.replace(DSEARCH, f"local_domains    = *.{DOMAIN}\n").replace("$domain_data", DOMAIN),
        BOTH,
        "a star and a dot want something",
    ),
    "a star without a dot": (
        SOLVED.replace(DSEARCH, f"local_domains    = *{DOMAIN}\n").replace("$domain_data", DOMAIN),
        BOTH,
        "anybody can register",
    ),
    "a star and the apex": (
        SOLVED.replace(DSEARCH, f"local_domains    = {DOMAIN} : *.{DOMAIN}\n").replace(
            "$domain_data", DOMAIN
        ),
        BOTH,
        "Nobody has made that domain",
    ),
    "a star alone": (
        SOLVED.replace(DSEARCH, "local_domains    = *\n").replace("$domain_data", DOMAIN),
        BOTH,
        "A star alone matches all",
    ),
    "a star and the tables": (
        SOLVED.replace(DSEARCH, "local_domains    = *\n"),
        BOTH,
        "every domain seems to be yours",
    ),
    "everybody may relay": (SOLVED.replace("= 198.51.100.11", "= *"), BOTH, "an open relay"),
    "upper case": (SOLVED, {DOMAIN: TABLE, "Shop.St11.Sne21.Test": SHOPS}, "The name of a table must be"),
    "a dot at the end": (SOLVED, {DOMAIN: TABLE, f"{SHOP}.": SHOPS}, "The name of a table must be"),
    "shop only": (SOLVED, {DOMAIN: TABLE, "shop": SHOPS}, "The name of a table must be"),
    "with an ending": (SOLVED, {DOMAIN: TABLE, f"{SHOP}.txt": SHOPS}, "The name of a table must be"),
    "in another folder": (
        SOLVED,
        {DOMAIN: TABLE, f"/etc/tables/{SHOP}": SHOPS},
        "does not count as yours. Where",
    ),
    "no table for the first": (SOLVED, {SHOP: SHOPS}, "Your first domain needs its table"),
    "an empty table": (SOLVED, {DOMAIN: TABLE, SHOP: ""}, "no router knows Ann there"),
    "no folder": (SOLVED.replace(DSEARCH, "local_domains    = dsearch;/etc/virtuell\n"), BOTH, "is missing"),
    "neither domain": (
        SOLVED.replace(DSEARCH, "local_domains    = dsearch;/etc/mail\n"),
        {**BOTH, "/etc/mail/x.test": ""},
        "neither domain is served",
    ),
    "the same mailbox": (SOLVED.replace("/virtual/$domain_data/", "/"), BOTH, "one mailbox under two names"),
    "the same account": (ACCOUNTS, BOTH, "one mailbox under two names"),
    "tainted table": (
        BEGUN.replace("$domain_data", "$domain"),
        BOTH,
        "whose name a stranger chose. $domain ",
    ),
    "tainted condition": (
        SOLVED.replace(ACCEPT_ROUTER, "lsearch;/etc/virtual/$domain"),
        BOTH,
        "whose name a stranger chose. $domain ",
    ),
    "tainted mailbox": (
        SOLVED.replace("$local_part_data\n", "$local_part\n"),
        BOTH,
        "whose name a stranger chose. $local_part ",
    ),
    "nothing verified": (SOLVED.replace("  require verify  = recipient\n", ""), BOTH, "that is backscatter"),
    "a catch-all": (CAUGHT, WITH_STAR, "(the catch-all comes next)"),
    "a catch-all in both": (
        CAUGHT,
        {DOMAIN: TABLE + "*: ann\n", SHOP: SHOPS + STAR},
        "(the catch-all comes next)",
    ),
    "aliases of the old domain": (SOLVED.replace("virtual:\n", ALIASES), BOTH, "answer for the new one"),
    "accounts of the old domain": (
        SOLVED.replace("\nbegin transports", f"{LAST_ROUTER}\nbegin transports"),
        BOTH,
        "answer for the new one",
    ),
    "one table for both": (
        SOLVED.replace("virtual:\n", f"{CLERKS_ROUTER}virtual:\n"),
        BOTH,
        "the clerk works in the shop only",
    ),
    "people lost": (
        SOLVED,
        {DOMAIN: "ann: ann\npostmaster: ann\n", SHOP: SHOPS},
        "Whoever had mail yesterday",
    ),
    "no clerk": (SOLVED, {DOMAIN: TABLE, SHOP: "ann: ann\npostmaster: ann\n"}, "The shop needs a clerk"),
    "no postmaster": (
        SOLVED,
        {DOMAIN: TABLE, SHOP: "ann: ann\nclerk: clerk\n"},
        "Every domain must take mail for postmaster",
    ),
    "postmaster without a domain": (
        SOLVED.replace(f"qualify_domain   = {DOMAIN}\n", ""),
        BOTH,
        "Without a domain, too",
    ),
    "postmaster is Ann": (
        SOLVED,
        {DOMAIN: TABLE, SHOP: SHOPS.replace("postmaster: clerk", "postmaster: ann")},
        "Let the clerk be the shop's postmaster",
    ),
    "info is Ann": (
        SOLVED,
        {DOMAIN: TABLE.replace("info:       ben", "info: ann"), SHOP: SHOPS},
        "Before, it came to Ben",
    ),
    "no such transport file": (
        SOLVED.replace("/var/mail/virtual/", "/etc/exim.conf/"),
        BOTH,
        "the letter is in no mailbox",
    ),
}
CATCHING_MISTAKES: dict[str, tuple[str, Tables, str]] = {
    "in both": (
        CAUGHT,
        {DOMAIN: TABLE + "*: ann\n", SHOP: SHOPS + STAR},
        "The star belongs into one table only",
    ),
    "in the wrong one": (CAUGHT, {DOMAIN: TABLE + "*: ann\n", SHOP: SHOPS}, "It belongs into the shop"),
    "a star that is not read": (SOLVED, WITH_STAR, "To lsearch the star is a name like any other"),
    "not verified": (
        SOLVED.replace("  require verify  = recipient\n", ""),
        BOTH,
        "no catch-all but a missing",
    ),
    "Ann is caught, too": (
        SOLVED.replace(ACCEPT_ROUTER, "nwildlsearch;/etc/virtual/$domain_data"),
        {DOMAIN: TABLE, SHOP: STAR + SHOPS},
        "keeps the mail",
    ),
    "Ann reads it": (CAUGHT, {DOMAIN: TABLE, SHOP: SHOPS + "*: ann\n"}, "Let the clerk read"),
    "all domains": (
        CAUGHT.replace(DSEARCH, f"local_domains    = {DOMAIN} : {SHOP} : *.{DOMAIN}\n").replace(
            "/etc/virtual/$domain_data", FIRST_OR_SHOP
        ),
        WITH_STAR,
        "takes all domains as well",
    ),
    "the first domain is gone": (CAUGHT, {SHOP: SHOPS + STAR}, "Both domains must be served"),
    "an open relay": (CAUGHT.replace("= 198.51.100.11", "= *"), WITH_STAR, "an open relay"),
    "postmaster is Ann": (
        CAUGHT,
        {DOMAIN: TABLE, SHOP: "ann: ann\nclerk: clerk\npostmaster: ann\n*: clerk\n"},
        "does not get postmaster's mail",
    ),
    "tainted": (
        CAUGHT.replace("lsearch*;/etc/virtual/$domain_data", "lsearch*;/etc/virtual/$domain"),
        WITH_STAR,
        "whose name a stranger chose. $domain ",
    ),
}


def judged(exercise: str, configuration: str, tables: Tables) -> CheckView:
    async def steps(world: World) -> CheckView:
        await set_up(world, configuration, tables)
        return await examine(exercise, world)

    view: CheckView = in_a_world(steps)
    return view


@pytest.mark.parametrize("name", MISTAKES)
def test_a_mistake_with_two_domains_has_its_hint(name: str) -> None:
    configuration, tables, words = MISTAKES[name]
    view = judged("two domains", configuration, tables)
    assert view.progress is Progress.NOT_YET, view.text()
    assert words in view.verdict.words


@pytest.mark.parametrize("name", CATCHING_MISTAKES)
def test_a_mistake_with_the_catch_all_has_its_hint(name: str) -> None:
    configuration, tables, words = CATCHING_MISTAKES[name]
    view = judged("catch-all", configuration, tables)
    assert view.progress is Progress.NOT_YET, view.text()
    assert words in view.verdict.words


def test_nothing_is_attempted_as_the_notebook_begins() -> None:
    assert judged("two domains", BEGUN, {DOMAIN: TABLE}).progress is Progress.NOT_ATTEMPTED
    assert judged("catch-all", SOLVED, BOTH).progress is Progress.NOT_ATTEMPTED


def test_the_hints_of_these_exercises_differ() -> None:
    """Different mistakes have different words; those that share words are one mistake in several dresses."""
    for mistakes, least in ((MISTAKES, 20), (CATCHING_MISTAKES, 11)):
        words = {wanted for _, _, wanted in mistakes.values()}
        assert len(words) >= least
        for one in words:
            assert not [other for other in words if other != one and (one in other or other in one)]


def test_what_was_done_elsewhere_or_not_told() -> None:
    async def steps(world: World) -> None:
        await set_up(world, BEGUN, {DOMAIN: TABLE})
        table = world.partner.path(f"/etc/virtual/{SHOP}")
        table.parent.mkdir()
        table.write_text(SHOPS)
        assert "your partner's host" in (await examine("two domains", world)).verdict.words
        put(world, BOTH)
        world.mine.write_configuration(SOLVED)
        await examine("two domains", world)
        assert (await examine("two domains", world)).progress is Progress.DONE
        put(world, WITH_STAR)
        world.mine.write_configuration(CAUGHT)
        assert "worked by a former exim.conf" in (await examine("catch-all", world)).verdict.words
        assert (await examine("catch-all", world)).progress is Progress.DONE
        world.mine.write_configuration("nonsense\n")
        assert "does not take the file" in (await examine("catch-all", world)).verdict.words
        await world.mine.stop()
        assert "stopped" in (await examine("two domains", world)).verdict.words

    in_a_world(steps)


# --- exercise 4: the truth table ---

WRONG: dict[str, tuple[dict[str, str], str]] = {  # other predictions, what the hint says
    "the laptop is asked": ({f"zoe@{DOMAIN}": "550 550 550"}, "let in by the first statement"),
    "the partner is a friend": ({f"zoe@{DOMAIN}": "550 250 250"}, "the partner is a stranger"),
    "the partner's own domain": ({BOB: "550 250 250"}, "that is relaying"),
    "look-alike": ({f"ann@evil{DOMAIN}": "250 250 250"}, "the partner is a stranger"),
    "look-alike, stranger": ({f"ann@evil{DOMAIN}": "250 550 250"}, "only ends like yours"),
    "below the shop": ({f"ann@a.{SHOP}": "250 550 250"}, "Subdomains inherit nothing"),
    "the host's name": ({f"ann@mx2.{DOMAIN}": "250 550 250"}, "The name of the host is a domain"),
    "capitals": ({SHOP_ANN.upper(): "550 250 250"}, "Capital letters"),
    "postmaster alone": ({"postmaster": "550 250 250"}, "taken without a domain"),
    "postmaster": ({f"postmaster@{SHOP}": "550 250 250"}, "postmaster stands in the table"),
    "caught": ({f"zoe@{SHOP}": "550 250 250"}, "there is no unknown name"),
    "unknown": ({f"zoe@{DOMAIN}": "250 550 250"}, "Who says so, and when"),
    "of the other domain": ({f"clerk@{DOMAIN}": "250 550 250"}, "Which table is asked"),
    "somebody": ({ANN: "550 250 250"}, "Look into the table of that domain"),
    "one is open": ({ANN: "? 250 250"}, "1 are still open"),
}


@pytest.fixture(scope="module")
def truths() -> dict[str, CheckView]:
    async def steps(world: World) -> dict[str, CheckView]:
        await set_up(world, CAUGHT, WITH_STAR)

        async def judge(predicted: Mapping[str, str]) -> CheckView:
            return check("truth table", await truth_table(world.mine, predicted))

        assert list(TRUTH) == questions(world)
        views = {name: await judge({**TRUTH, **changed}) for name, (changed, _) in WRONG.items()}
        views["right"] = await judge(TRUTH)
        views["nothing"] = await judge(dict.fromkeys(TRUTH, "? ? ?"))
        views["a line lost"] = await judge({name: codes for name, codes in TRUTH.items() if name != BOB})
        await set_up(world, SOLVED, BOTH)
        views["another host"] = await judge({**TRUTH, f"zoe@{SHOP}": "550 550 250"})
        views["no table"] = check("truth table", await truth_table(world.mine, list(TRUTH)))
        return views

    views: dict[str, CheckView] = in_a_world(steps)
    return views


@pytest.mark.parametrize("name", WRONG)
def test_a_wrong_prediction_has_its_hint(truths: dict[str, CheckView], name: str) -> None:
    assert truths[name].progress is Progress.NOT_YET, truths[name].text()
    assert WRONG[name][1] in truths[name].verdict.words


def test_all_predicted_and_what_is_no_answer(truths: dict[str, CheckView]) -> None:
    assert truths["right"].progress is Progress.DONE, truths["right"].text()
    assert truths["nothing"].progress is truths["no table"].progress is Progress.NOT_ATTEMPTED
    assert f"must ask for {BOB}" in truths["a line lost"].verdict.words
    assert "put the solution of part 6 in force" in truths["another host"].verdict.words


@pytest.mark.parametrize(
    "line, words", [("250 250", "3 replies are wanted"), ("250 yes 250", "is no reply code")]
)
def test_a_prediction_that_is_none(line: str, words: str) -> None:
    async def steps(world: World) -> None:
        with pytest.raises(ValueError, match=words):
            await truth_table(world.mine, {ANN: line})

    in_a_world(steps)


def test_the_table_shows_guesses_beside_replies() -> None:
    async def steps(world: World) -> None:
        table = await truth_table(world.mine, {ANN: "250 550 ?", BOB: "? ? ?"})
        text = table.text()
        assert "= 250 Accepted" in text
        assert "X 250 Accepted" in text
        assert "(you said 550)" in text
        assert "1 of 2 predictions are right (=), 4 not predicted yet (?)." in text
        assert "you said 550" in str(table.html())
        assert len(world.journal.where(host=world.mine.name, recipient=BOB)) == 0, "what is open is not asked"

    in_a_world(steps)
