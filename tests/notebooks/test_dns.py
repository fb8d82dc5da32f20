"""The twin of notebook 00b: the facts it teaches, its model answers, and each wrong answer with its own hint."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable

import pytest

from labkit.lab.engine import NotThisEngine
from labkit.lab.world import World, partners
from labkit.mail.questions import DnsOutcome
from labkit.routing.routers import RouteOutcome
from labkit.teach.checks import CheckView, Progress, check
from labkit.teach.show import show
from labkit.teach.views.probes_talk import ask_whom
from labkit.teach.views.zone import ask, dig, publish, remembered, zone_table
from labkit.teach.views.zone_answers import served

from .committed import Committed, run_cells

NOTEBOOK = Committed("00b_dns")
CELLS = NOTEBOOK.sources
APEX, REVERSE = "sne21.test", "113.0.203.in-addr.arpa"
BOB = "bob@st2.sne21.test"
OLD_SERIAL, NEW_SERIAL = "2026090701", "2026090702"

Steps = Callable[[World], Awaitable[None]]
Tour = Callable[[Steps], None]


@pytest.fixture(params=["loopback", "memory"])
def lab(request: pytest.FixtureRequest) -> Tour:
    def run(steps: Steps) -> None:
        async def go() -> None:
            async with partners(network=request.param, alongside=True) as world:
                await steps(world)

        asyncio.run(go())

    return run


def in_memory(steps: Callable[[World], Awaitable[CheckView]], **cast: object) -> CheckView:
    """The verdict that these steps come to."""

    async def go() -> CheckView:
        async with partners(network="memory", alongside=True, **cast) as world:  # type: ignore[arg-type]
            return await steps(world)

    return asyncio.run(go())


def zone_in(cell: str) -> str:
    """The zone text that a cell of the notebook holds."""
    found = re.search(r'"""\n(.*?)"""', CELLS[cell], re.DOTALL)
    assert found is not None
    return found[1]


def add(world: World, text: str) -> None:
    world.write_zone(APEX, world.zone(APEX) + text)


# --- the facts: core ---


def test_a_question_and_its_answer(lab: Tour) -> None:
    async def steps(world: World) -> None:
        answer = await ask(world, "st2.sne21.test", "MX")
        assert [str(record) for record in answer.answer] == [
            "st2.sne21.test. 3600 IN MX 10 mx2.st2.sne21.test."
        ]
        assert [str(record) for record in answer.additional] == ["mx2.st2.sne21.test. 3600 IN A 203.0.113.2"]
        assert answer.rcode == "NOERROR"
        (loud,) = (await ask(world, "ST2.sne21.test.", "mx")).data
        assert (loud.lower(),) == answer.data, "case does not matter"
        assert answer.data == served(world, "st2.sne21.test", "MX").data

    lab(steps)


def test_the_zone_file_says_what_the_prose_says(lab: Tour) -> None:
    async def steps(world: World) -> None:
        text = world.zone(APEX)
        assert "mx2.st2.sne21.test" not in text, "the origin completes it"
        for part in (
            "$ORIGIN sne21.test.",
            "$TTL 3600",
            "@ ",
            " IN SOA ",
            f"{OLD_SERIAL}  ; serial",
            "300 )",
        ):
            assert part in text
        assert re.search(r"^ +IN NS +ns$", text, re.MULTILINE), "the name of the line above holds on"
        rows = zone_table(world, APEX).rows
        assert [row[2] for row in rows] == ["SOA", "NS", "A", "MX", "A", "A", "MX", "A", "A"]
        assert ("mx2.st2.sne21.test.", "3600", "A", "203.0.113.2") in [row[:4] for row in rows]
        assert ("sne21.test.", "3600", "NS", "ns.sne21.test.") in [row[:4] for row in rows]
        assert rows[0][3] == f"serial {OLD_SERIAL}, no = 300 s", "the two numbers that matter"
        assert {row[1] for row in rows} == {"3600"}

    lab(steps)


def test_a_zone_that_was_published_shows_what_is_new_first() -> None:
    async def go() -> None:
        async with partners(network="memory", alongside=True) as world:
            the_zone = world.zone(APEX)
            same = publish(world, APEX, the_zone.replace(OLD_SERIAL, NEW_SERIAL))
            assert "new" not in same.text(), "another serial is no new record"
            for _ in range(2):  # the second time, too
                view = publish(world, APEX, the_zone.replace(OLD_SERIAL, NEW_SERIAL) + MODEL)
                assert "has 12 records; 3 are new and shown first" in view.text()
                lines = view.text().splitlines()
                assert [line.split()[2:5] for line in lines[3:6]] == [
                    ["MX", "10", "mx.lab.st11.sne21.test."],
                    ["MX", "20", "mx2.st2.sne21.test."],
                    ["A", "203.0.113.11", "the"],
                ]
                assert max(map(len, lines)) <= 110
            assert "shown first" not in publish(world, "shop.test", REPAIRED).text(), (
                "the lab has no such zone"
            )

    asyncio.run(go())


def test_the_smaller_number_says_how_long_no_is_believed() -> None:
    """RFC 2308 §5: the last number of the SOA and the SOA's own TTL; the answer says it in its TTL."""

    async def go() -> None:
        async with partners(network="memory", alongside=True) as world:
            the_zone = world.zone(APEX)
            for ttl, last in ((3600, 300), (120, 300)):
                world.write_zone(APEX, the_zone.replace("@         IN SOA", f"@ {ttl}    IN SOA"))
                (soa,) = (await ask(world, "nobody.sne21.test", "MX")).authority
                assert soa.ttl == min(ttl, last)
                name = f"x{ttl}.sne21.test"
                await world.mine.route(f"bob@{name}")
                lives = {row[0]: row[3] for row in remembered(world.mine).rows}
                assert lives[name] == f"{min(ttl, last)} s"

    asyncio.run(go())


def test_three_ways_to_say_no(lab: Tour) -> None:
    async def steps(world: World) -> None:
        nobody, nothing = await ask(world, "nobody.sne21.test", "MX"), await ask(world, "ns.sne21.test", "MX")
        assert (nobody.outcome, nobody.rcode) == (DnsOutcome.NXDOMAIN, "NXDOMAIN")
        assert (nothing.outcome, nothing.rcode, nothing.answer) == (DnsOutcome.NODATA, "NOERROR", ())
        assert "NODATA" in repr(nothing)

        assert (await world.mine.route("bob@nobody.sne21.test")).outcome is RouteOutcome.FAILED
        assert (
            "MX of nobody.sne21.test: no such name"
            in show(await world.mine.route("x@nobody.sne21.test")).text()
        )
        implicit = await world.mine.route("bob@ns.sne21.test")
        assert [(hop.host, hop.preference) for hop in implicit.next_hops] == [("ns.sne21.test", None)]
        add(world, 'words IN TXT "no MX and no address"\n')
        assert (await world.mine.route("bob@words.sne21.test")).outcome is RouteOutcome.FAILED

        world.nameserver.servfail("st2.sne21.test")
        failed = await ask(world, "st2.sne21.test", "MX")
        assert (failed.outcome, failed.rcode) == (DnsOutcome.SERVFAIL, "SERVFAIL")
        deferred = await world.mine.route(BOB)
        assert deferred.outcome is RouteOutcome.DEFERRED
        assert "put it off" in show(deferred).text(), "no router took it"
        world.nameserver.servfail("st2.sne21.test", on=False)
        assert (await world.mine.route(BOB)).outcome is RouteOutcome.ROUTED

        world.nameserver.silent()
        assert (await ask(world, "st2.sne21.test", "MX")).outcome is DnsOutcome.TIMEOUT

    lab(steps)


def test_what_becomes_of_the_mail() -> None:
    """The last column of the table in part 4: returned, or waiting."""

    async def go() -> None:
        async with partners(network="memory", alongside=True) as world:
            world.nameserver.servfail("late.sne21.test")
            await world.laptop.send("bob@nobody.sne21.test", "1", "x\n")
            assert world.mine.queue == ()
            assert len(world.mine.mailbox("ann")) == 1, "returned to Ann at once"
            unknown = await ask_whom(world.mine, world.partner_laptop, ["zoe@st11.sne21.test"])
            assert unknown.replies[0].startswith("550"), "a client hears it, where the recipient is verified"
            await world.laptop.send("bob@late.sne21.test", "2", "x\n")
            assert len(world.mine.queue) == 1, "it waits"
            assert len(world.mine.mailbox("ann")) == 1

    asyncio.run(go())


def test_an_answer_is_believed_for_its_ttl(lab: Tour) -> None:
    async def steps(world: World) -> None:
        async def goes_to() -> list[str]:
            return [hop.address for hop in (await world.mine.route(BOB)).next_hops]

        the_zone = world.zone(APEX)
        assert await goes_to() == ["203.0.113.2"]
        await world.mine.route("bob@nobody.sne21.test")
        lives = {(name, rdtype): life for name, rdtype, _, life in remembered(world.mine).rows}
        assert lives[("mx2.st2.sne21.test", "A")] == "3600 s"
        assert lives[("nobody.sne21.test", "MX")] == "300 s"

        moved = the_zone.replace(" 203.0.113.2\n", " 203.0.113.22\n").replace(OLD_SERIAL, NEW_SERIAL)
        world.write_zone(APEX, moved)
        assert (await ask(world, "mx2.st2.sne21.test")).data == ("203.0.113.22",)
        assert await goes_to() == ["203.0.113.2"]
        await world.advance(minutes=59)
        assert await goes_to() == ["203.0.113.2"]
        assert {row[3] for row in remembered(world.mine).rows} == {"60 s"}, "and no such name is forgotten"
        await world.advance(minutes=1)
        assert await goes_to() == ["203.0.113.22"]

        world.nameserver.servfail("broken.sne21.test")
        await world.mine.route("bob@broken.sne21.test")
        assert "broken.sne21.test" not in [row[0] for row in remembered(world.mine).rows]

    lab(steps)


def test_the_dot_at_the_end(lab: Tour) -> None:
    async def steps(world: World) -> None:
        the_zone = world.zone(APEX)
        for line, exchange in (
            ("shop   IN MX  10 mx2.st11.sne21.test\n", "mx2.st11.sne21.test.sne21.test."),
            ("shop   IN MX  10 mx2.st11.sne21.test.\n", "mx2.st11.sne21.test."),
            ("shop   IN MX  10 mx2.st11\n", "mx2.st11.sne21.test."),
        ):
            world.write_zone(APEX, the_zone + line)
            assert (await ask(world, "shop.sne21.test", "MX")).data == (f"10 {exchange}",)
            found = await world.partner.route("info@shop.sne21.test")
            assert (found.outcome is RouteOutcome.ROUTED) == (exchange == "mx2.st11.sne21.test.")
            await world.advance(hours=1)

    lab(steps)


def test_only_a_better_exchanger_is_given_the_mail(lab: Tour) -> None:
    async def steps(world: World) -> None:
        add(world, MODEL)
        found = await world.partner.route("info@lab.st11.sne21.test")
        assert [hop.host for hop in found.next_hops] == ["mx.lab.st11.sne21.test"], "it leaves itself out"
        await world.partner_laptop.send("info@lab.st11.sne21.test", "Hello", "x\n")
        assert "550 relay not permitted" in world.partner.log()

    lab(steps)


# --- the facts: more and deep ---


def test_the_way_back(lab: Tour) -> None:
    async def steps(world: World) -> None:
        back = await ask(world, "203.0.113.2", "PTR")
        assert back.name == "2.113.0.203.in-addr.arpa."
        assert back.data == ("mx2.st2.sne21.test.",)
        assert (await ask(world, back.data[0], "A")).data == ("203.0.113.2",)

    lab(steps)


def test_an_mx_to_an_address_and_one_to_an_alias(lab: Tour) -> None:
    async def steps(world: World) -> None:
        add(world, zone_in("c9"))
        www = await ask(world, "www.sne21.test", "A")
        assert [record.rdtype for record in www.answer] == ["CNAME", "A"]
        assert www.is_alias
        assert (await ask(world, "number.sne21.test", "MX")).data == ("10 203.0.113.11.sne21.test.",)
        assert (await world.partner.route("info@number.sne21.test")).outcome is RouteOutcome.FAILED
        followed = await world.partner.route("info@alias.sne21.test")
        assert [hop.address for hop in followed.next_hops] == ["203.0.113.11"]
        assert (await ask(world, "st11.sne21.test", "TXT")).data == ('"v=spf1 mx -all"',)

    lab(steps)


def test_a_null_mx_comes_back_at_once(lab: Tour) -> None:
    async def steps(world: World) -> None:
        add(world, zone_in("c11"))
        found = await world.partner.route("info@nomail.sne21.test")
        assert found.outcome is RouteOutcome.FAILED
        assert "no SMTP service" in found.reason
        assert (await ask(world, "nomail.sne21.test", "A")).data, "though it has an address"

    lab(steps)


def test_no_is_remembered_too(lab: Tour) -> None:
    async def steps(world: World) -> None:
        outcomes = [(await world.mine.route("bob@late.sne21.test")).outcome]
        add(world, "late   IN MX  10 mx2.st2\n")
        assert (await ask(world, "late.sne21.test", "MX")).outcome is DnsOutcome.FOUND
        outcomes.append((await world.mine.route("bob@late.sne21.test")).outcome)
        await world.advance(minutes=5)
        outcomes.append((await world.mine.route("bob@late.sne21.test")).outcome)
        assert outcomes == [RouteOutcome.FAILED, RouteOutcome.FAILED, RouteOutcome.ROUTED]

    lab(steps)


def test_the_words_of_the_soa(lab: Tour) -> None:
    async def steps(world: World) -> None:
        (soa,) = (await ask(world, APEX, "SOA")).data
        assert soa.split() == [
            *("ns.sne21.test.", "hostmaster.sne21.test.", OLD_SERIAL, "7200", "900", "1209600", "300")
        ]

    lab(steps)


# --- the program dig, and labkit in its place ---


@pytest.mark.needs("dig", "gcc")
def test_dig_says_the_same(lab: Tour) -> None:
    async def steps(world: World) -> None:
        if world.network.name == "memory":
            shown = (await dig(world, "st2.sne21.test MX")).text()
            assert "no sockets" in shown
            assert "10 mx2.st2.sne21.test." in shown
            return
        mx = (await dig(world, "st2.sne21.test MX")).text()
        assert "status: NOERROR" in mx
        assert re.search(
            r"^st2\.sne21\.test\.\s+3600\s+IN\s+MX\s+10 mx2\.st2\.sne21\.test\.$", mx, re.MULTILINE
        )
        assert re.search(r"^mx2\.st2\.sne21\.test\.\s+3600\s+IN\s+A\s+203\.0\.113\.2$", mx, re.MULTILINE)
        assert "recursion requested but not available" in mx
        back = (await dig(world, "-x 203.0.113.2 +short")).printed
        assert back == "mx2.st2.sne21.test."
        for question, words in (
            ("nobody.sne21.test MX", "status: NXDOMAIN"),
            ("ns.sne21.test MX", "ANSWER: 0"),
        ):
            assert words in (await dig(world, question)).printed

    lab(steps)


def test_without_dig_labkit_answers(lab: Tour, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")

    async def steps(world: World) -> None:
        for words, data in (
            ("st2.sne21.test MX", "10 mx2.st2.sne21.test."),
            ("-x 203.0.113.2", "mx2.st2.sne21.test."),
            ("+short mx2.st2.sne21.test", "203.0.113.2"),
        ):
            shown = (await dig(world, words)).text()
            assert "dig is not installed" in shown
            assert data in shown
        with pytest.raises(ValueError, match="without the program"):
            await dig(world, "-t MX st2.sne21.test @203.0.113.53")

    lab(steps)


def test_a_question_that_is_none() -> None:
    async def go() -> None:
        async with partners(network="memory", alongside=True) as world:
            for name, rdtype, words in (
                ("a..b", "A", "no domain name"),
                ("st2.sne21.test", "MAIL-X", "no type"),
            ):
                with pytest.raises(ValueError, match=words):
                    await ask(world, name, rdtype)
            with pytest.raises(KeyError, match="there are"):
                zone_table(world, "nowhere.test")

    asyncio.run(go())


def test_what_a_zone_says_is_shown_inert() -> None:
    async def go() -> str:
        async with partners(network="memory", alongside=True) as world:
            add(world, 'evil IN TXT "<script>alert(1)</script>"\n     IN MX 10 <img>.evil\n')
            await world.mine.route("x@evil.sne21.test")
            pages = [
                zone_table(world, APEX),
                show(await ask(world, "evil.sne21.test", "TXT")),
                show(await ask(world, "evil.sne21.test", "MX")),
                await dig(world, "evil.sne21.test TXT"),
                remembered(world.mine),
                publish(world, APEX, world.zone(APEX) + "<script> IN MX <img>\n"),
            ]
            return "".join(str(page.html()) for page in pages)

    shown = asyncio.run(go())
    assert shown.count("&lt;script&gt;alert(1)") >= 3
    assert "<script" not in shown
    assert "<img" not in shown


# --- exercise 1 ---

MODEL = """
lab.st11     IN MX 10 mx.lab.st11
lab.st11     IN MX 20 mx2.st2
mx.lab.st11  IN A  203.0.113.11
"""


def subdomain_after(records: str, serial: str = NEW_SERIAL) -> CheckView:
    """The cell of part 7 with these records in it."""

    async def steps(world: World) -> CheckView:
        taken = publish(world, APEX, world.zone(APEX).replace(OLD_SERIAL, serial) + records)
        assert "did not take" not in taken.text()
        await world.advance(hours=1)
        return check("subdomain", world)

    return in_memory(steps)


@pytest.mark.parametrize(
    "records",
    [
        MODEL,
        MODEL.replace("mx.lab.st11\n", "mx.lab.st11.sne21.test.\n").replace(
            "mx2.st2\n", "mx2.st2.sne21.test.\n"
        ),
        MODEL.replace("MX 10", "MX 5").replace("MX 20", "MX 15"),
        "$ORIGIN st11.sne21.test.\nlab MX 10 mx.lab\n MX 20 mx2.st2.sne21.test.\n$ORIGIN lab\nMX 60 A 203.0.113.11\n",
    ],
    ids=["as one would", "in full", "other numbers", "with $ORIGIN"],
)
def test_the_subdomain_is_done(records: str) -> None:
    view = subdomain_after(records)
    assert view.progress is Progress.DONE, view.text()
    shown = view.text()
    assert "mx.lab.st11.sne21.test." in shown
    assert re.search(r"A 203\.0\.113\.11\b", shown)
    assert "serial" not in shown


@pytest.mark.parametrize(
    "records, progress, words",
    [
        ("\n\n", Progress.NOT_ATTEMPTED, "two MX records"),
        (
            MODEL.replace("MX 10 mx.lab.st11", "MX 10 mx.lab.st11.sne21.test"),
            Progress.NOT_YET,
            "final dot is missing",
        ),
        (
            MODEL.replace("lab.st11     IN MX", "lab.st11.sne21.test IN MX"),
            Progress.NOT_YET,
            "completed with the origin",
        ),
        (MODEL.replace("lab.st11     IN MX", "lab     IN MX"), Progress.NOT_YET, "below your own domain"),
        (MODEL.replace("lab.st11     IN MX", "   IN MX"), Progress.NOT_YET, "begins with a blank"),
        (MODEL.replace("10 mx.lab.st11", "10 203.0.113.11"), Progress.NOT_YET, "An MX must name a host"),
        (MODEL.replace("10 mx.lab.st11", "10 203.0.113.11."), Progress.NOT_YET, "An MX must name a host"),
        (MODEL.replace("MX 10", "MX 30"), Progress.NOT_YET, "LOWEST"),
        (MODEL.replace("MX 10", "MX 20"), Progress.NOT_YET, "LOWEST"),
        (MODEL.replace("mx.lab.st11  IN A  203.0.113.11", ""), Progress.NOT_YET, "does not exist"),
        (MODEL.replace("A  203.0.113.11", 'TXT "x"'), Progress.NOT_YET, "has no A record"),
        (MODEL.replace("A  203.0.113.11", "CNAME mx2.st11"), Progress.NOT_YET, "alias (CNAME)"),
        (MODEL.replace("203.0.113.11", "203.0.113.12"), Progress.NOT_YET, "has the address 203.0.113.12"),
        (MODEL.replace("lab.st11     IN MX 20 mx2.st2", ""), Progress.NOT_YET, "Add a second MX"),
        (MODEL.replace("10 mx.lab.st11", "10 mx2.st11"), Progress.NOT_YET, "a new name"),
        (MODEL + "lab.st11 IN MX 30 ns\n", Progress.NOT_YET, "one MX too many: 'ns.sne21.test.'."),
        (MODEL + "lab.st11 IN MX 0 .\n", Progress.NOT_YET, "null MX"),
        ("lab.st11 IN A 203.0.113.11\n", Progress.NOT_YET, "implicit MX"),
        ("mx.lab.st11 IN A 203.0.113.11\n", Progress.NOT_YET, "itself has no MX"),
    ],
)
def test_what_goes_wrong_with_the_subdomain(records: str, progress: Progress, words: str) -> None:
    view = subdomain_after(records)
    assert view.progress is progress, view.text()
    assert words in view.verdict.words
    assert ".." not in view.verdict.words, "a name's dot is not the sentence's"


def test_a_serial_that_stayed_is_mentioned() -> None:
    view = subdomain_after(MODEL, OLD_SERIAL)
    assert view.progress is Progress.DONE
    assert f"serial is still {OLD_SERIAL}" in view.verdict.words


def test_other_students_have_other_names() -> None:
    async def steps(world: World) -> CheckView:
        world.write_zone(
            "sne.example",
            world.zone("sne.example")
            + "lab.st7 MX 1 mx.lab.st7\nlab.st7 MX 2 mx2.st9\nmx.lab.st7 A 203.0.113.7\n",
        )
        return check("subdomain", world)

    assert in_memory(steps, st=7, partner=9, apex="sne.example").progress is Progress.DONE


# --- exercise 2 ---

LINE = "11   IN PTR host-11.rented.test."
RIGHT = "11   IN PTR mx2.st11.sne21.test."


def pointer_after(line: str, elsewhere: str = "") -> CheckView:
    """The cell of part 8 with another line for the student's address, and more records in the zone of names."""

    async def steps(world: World) -> CheckView:
        assert LINE in zone_in("c8d")
        add(world, elsewhere)
        publish(world, REVERSE, zone_in("c8d").replace(LINE, line))
        return check("pointer", world)

    return in_memory(steps)


@pytest.mark.parametrize("line", [RIGHT, f"{RIGHT.replace('11   ', '11.113.0.203.in-addr.arpa. ')}"])
def test_the_pointer_is_done(line: str) -> None:
    view = pointer_after(line)
    assert view.progress is Progress.DONE, view.text()
    assert "PTR mx2.st11.sne21.test." in view.text()
    assert "A 203.0.113.11" in view.text()


@pytest.mark.parametrize(
    "line, elsewhere, progress, words",
    [
        (LINE, "", Progress.NOT_ATTEMPTED, "provider's name 'host-11.rented.test.'. Give"),
        (RIGHT[:-1], "", Progress.NOT_YET, "no final dot in the file"),
        (LINE, "11 IN PTR mx2.st11\n", Progress.NOT_YET, "stands in the zone sne21.test"),
        (LINE, "203.0.113.11 IN PTR mx2.st11\n", Progress.NOT_YET, "stands in the zone sne21.test"),
        (LINE, "mx2.st11 IN PTR mx2.st11\n", Progress.NOT_YET, "stands at the host's name"),
        (RIGHT.replace("11 ", "203.0.113.11 ", 1), "", Progress.NOT_YET, "numbers stand backwards"),
        (RIGHT.replace("11 ", "11.113.0.203.in-addr.arpa ", 1), "", Progress.NOT_YET, "lacks its final dot"),
        (RIGHT.replace("11 ", "12 ", 1), "", Progress.NOT_YET, "has no PTR record now"),
        (RIGHT.replace("mx2.st11", "st11"), "", Progress.NOT_YET, "no A record"),
        (RIGHT.replace("mx2.st11", "mx2.st2"), "", Progress.NOT_YET, "whose address is 203.0.113.2, not"),
        (RIGHT.replace("mx2.st11", "www"), "www IN CNAME mx2.st11\n", Progress.NOT_YET, "alias (CNAME)"),
        (
            RIGHT.replace("mx2.st11.sne21.test", "203.0.113.11"),
            "",
            Progress.NOT_YET,
            "a name, not an address",
        ),
        (f"{LINE}\n{RIGHT}", "", Progress.NOT_YET, "still there beside yours"),
        (RIGHT.replace("mx2.st11", "mx.lab.st11"), MODEL, Progress.NOT_YET, "when it greets"),
        (f"{RIGHT}\n2 IN PTR mx2.st11.sne21.test.", "", Progress.NOT_YET, "Put that line back"),
    ],
)
def test_what_goes_wrong_with_the_pointer(line: str, elsewhere: str, progress: Progress, words: str) -> None:
    view = pointer_after(line, elsewhere)
    assert view.progress is progress, view.text()
    assert words in view.verdict.words


# --- exercise 3 ---

REPAIRED = """\
$TTL 3600
@      IN SOA   ns.sne21.test. hostmaster.shop.test. ( 2026090702 7200 900 1209600 300 )
       IN NS    ns.sne21.test.
       IN MX    10 mx.shop.test.
       IN TXT   "v=spf1 mx ip4:203.0.113.11 -all"
mx     IN A     203.0.113.11
www    IN CNAME mx
news   IN A     203.0.113.11
news   IN MX    10 mx
sales  IN MX    10 mx
"""


def friends_zone_after(text: str) -> CheckView:
    async def steps(world: World) -> CheckView:
        world.write_zone("shop.test", text)
        return check("broken zone", world)

    return in_memory(steps)


def test_the_friends_zone_is_not_taken_as_it_is() -> None:
    async def steps(world: World) -> CheckView:
        refusal = publish(world, "shop.test", f"\n{zone_in('c10')}")
        for shown in (refusal.text(), str(refusal.html())):
            assert "did not take the zone shop.test" in shown
            assert re.search(r"shop\.test\.zone:10: .*CNAME", shown)
            assert ">  10  news   IN MX    10 mx\n" in shown.replace("&gt;", ">"), "the line is marked"
        assert "shop.test" not in world.zones
        return check("broken zone", world)

    view = in_memory(steps)
    assert view.progress is Progress.NOT_ATTEMPTED
    assert "did not take the file" in view.verdict.words


def test_four_more_mistakes_are_in_it() -> None:
    """Five in all, as the notebook says: the one that the nameserver finds, and those of the check."""
    without_alias = zone_in("c10").replace("news   IN CNAME mx\n", "news   IN A 203.0.113.11\n")
    view = friends_zone_after(without_alias)
    assert view.progress is Progress.NOT_YET
    assert view.verdict.words.startswith(
        "4 mistakes are left. The MX of shop.test names 'mx.shop.test.shop.test.'."
    )


@pytest.mark.parametrize(
    "text",
    [
        REPAIRED,
        REPAIRED.replace("news   IN MX    10 mx\n", "news IN MX 5 mx\n MX 9 news\n"),
        REPAIRED.replace("www    IN CNAME mx", "WWW A 203.0.113.11"),
    ],
)
def test_the_friends_zone_is_repaired(text: str) -> None:
    view = friends_zone_after(text)
    assert view.progress is Progress.DONE, view.text()
    assert "v=spf1 mx ip4" in view.text()


@pytest.mark.parametrize(
    "right, wrong, words",
    [
        ("mx.shop.test.\n", "mx.shop.test\n", "final dot is missing"),
        ('ip4:203.0.113.11 -all"\n', '-all"\n IN TXT "v=spf1 ip4:203.0.113.11 -all"\n', "2 SPF records"),
        ("sales  IN MX    10 mx", "sales  IN MX    10 www", "alias (CNAME)"),
        ("news   IN MX    10 mx", "news   IN MX    10 203.0.113.11", "An MX must name a host"),
        ("news   IN MX    10 mx\n", "", "its MX record is missing"),
        ("news   IN A     203.0.113.11\n", "", "was a web site"),
        ("news   IN A     203.0.113.11\nnews   IN MX    10 mx\n", "news IN CNAME mx\n", "is an alias"),
        ("sales  IN MX    10 mx\n", "", "does not exist any more"),
        ("sales  IN MX    10 mx", "sales  IN MX    0 .", "null MX"),
        ("sales  IN MX    10 mx", "sales  IN MX    10 mx2.st2.sne21.test.", "leads to 203.0.113.2"),
        ("mx     IN A     203.0.113.11", "mail   IN A     203.0.113.11", "does not exist"),
        ('       IN TXT   "v=spf1 mx ip4:203.0.113.11 -all"\n', "", "One SPF record must stay"),
        ("mx ip4:203.0.113.11 -all", "-all", "allows nobody"),
        ("www    IN CNAME mx\n", "", "www.shop.test had an address"),
        ("www    IN CNAME mx\n", "www IN TXT gone\n", "www.shop.test had an address"),
        ("www    IN CNAME mx\n", "www IN A 203.0.113.2\n", "www.shop.test leads to 203.0.113.2 now"),
        (
            "news   IN A     203.0.113.11",
            "news   IN A     203.0.113.2",
            "news.shop.test leads to 203.0.113.2 now",
        ),
    ],
)
def test_what_is_still_wrong_with_the_friends_zone(right: str, wrong: str, words: str) -> None:
    assert right in REPAIRED
    view = friends_zone_after(REPAIRED.replace(right, wrong))
    assert view.progress is Progress.NOT_YET, view.text()
    assert words in view.verdict.words


# --- what is committed ---


def test_who_solves_everything_gets_three_times_done() -> None:
    """The whole notebook with the model answers in it, from top to bottom."""
    sources = NOTEBOOK.code()
    sources["c7"] = sources["c7"].replace('"""\n\n"""', f'"""{MODEL}"""')
    sources["c8d"] = sources["c8d"].replace(LINE, RIGHT)
    sources["c10"] = sources["c10"].replace(zone_in("c10"), REPAIRED)
    shown = asyncio.run(run_cells(sources, {}))
    for cell in ("c7check", "c8check", "c10b"):
        view = shown[cell]
        assert isinstance(view, CheckView)
        assert view.progress is Progress.DONE, view.text()
    assert "mx.lab.st11.sne21.test [203.0.113.11]" in str(shown["c7b"]), "and mail finds its way"


def test_the_notebook_is_shown_before_anything_was_tried() -> None:
    """The cells of the exercises are committed unsolved, and the checks say so."""
    for cell, words in (("c7check", "subdomain"), ("c8check", "pointer"), ("c10b", "broken zone")):
        assert f'check("{words}", world)' in CELLS[cell]
    assert zone_in("c7").strip() == ""


@pytest.mark.needs("exim", "gcc")
def test_the_real_exim_says_the_same() -> None:
    """What the notebook says of mail, on the judge."""

    async def go() -> None:
        async with partners(network="loopback", alongside=True, engine={"partner": "exim"}) as world:
            add(world, zone_in("c9") + zone_in("c11") + "shop IN MX 10 mx2.st11.sne21.test\n")
            world.nameserver.servfail("broken.sne21.test")
            for address, words in (
                ("x@nobody.sne21.test", "Unrouteable address"),
                ("x@ns.sne21.test", "[192.0.2.53]"),
                ("x@broken.sne21.test", "cannot be resolved at this time"),
                ("x@shop.sne21.test", "all relevant MX records point to non-existent hosts"),
                ("x@number.sne21.test", "all relevant MX records point to non-existent hosts"),
                ("x@alias.sne21.test", "mx2.st11.sne21.test [203.0.113.11]"),  # the real name, not the alias
                ("x@nomail.sne21.test", "no SMTP service"),
            ):
                assert words in str(await world.partner.exim("-bt", address)), address


@pytest.mark.needs("exim", "gcc")
def test_a_real_exim_in_the_lab_sees_a_change_at_once() -> None:
    async def go() -> None:
        async with partners(network="loopback", alongside=True, engine={"student": "exim"}) as world:
            assert "[203.0.113.2]" in str(await world.mine.exim("-bt", BOB))
            world.write_zone(APEX, world.zone(APEX).replace(" 203.0.113.2\n", " 203.0.113.22\n"))
            assert "[203.0.113.22]" in str(await world.mine.exim("-bt", BOB))
            with pytest.raises(NotThisEngine):
                remembered(world.mine)

    asyncio.run(go())
