"""The twin of notebook 02c: the facts it teaches, on labkit and on the real Exim; its model answers; each mistake."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable
from functools import lru_cache
from typing import Any

import pytest

from labkit import World
from labkit.auth.aggregate_report import AggregateReport
from labkit.lab import signing_keys, ways_to_carol
from labkit.lab.keys import make_pair
from labkit.lab.ways_to_carol import find_out, send_along, vouch_for
from labkit.mail.message import Message
from labkit.teach.checks import CheckView, Progress, check
from labkit.teach.tasks.survive_list import probe_list
from labkit.teach.tasks.survive_report import Reading, a_day, last_report
from labkit.teach.tasks.survive_srs import probe_forwarder
from labkit.teach.views.changed import NoSignature, changed
from labkit.teach.views.report_table import report_table
from labkit.teach.views.verdict import NoSuchCheck, verdict_table

from .committed import Committed

KEYS = lru_cache(maxsize=1)(make_pair)  # RSA keys are made once: the tests are not about them


@pytest.fixture(autouse=True)
def old_keys(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(signing_keys, "make_pair", KEYS)
    monkeypatch.setattr(ways_to_carol, "make_pair", KEYS)


NOTEBOOK = Committed("02c_what_survives")
ENGINES = pytest.mark.parametrize(
    "engine", ["labkit", pytest.param("exim", marks=pytest.mark.needs("exim", "gcc"))]
)
ANN, LISTS = "ann@st11.sne21.test", "mx.lists.test"
Steps = Callable[[World], Awaitable[Any]]


def in_a_world(steps: Steps, engine: str = "labkit", **parameters: Any) -> Any:
    async def go() -> Any:
        network = "memory" if engine == "labkit" else "loopback"
        async with World.open(
            "what_survives", network=network, engine=engine, alongside=True, **parameters
        ) as world:
            await vouch_for(world)
            return await steps(world)

    return asyncio.run(go())


# --- the facts --------------------------------------------------------------------------------


@ENGINES
def test_spf_dies_with_another_host_and_dkim_with_another_letter(engine: str) -> None:
    async def steps(world: World) -> None:
        found = await find_out(world, "forwarder", "forwarder with SRS", "spoofer", "mailing list")
        assert [row["SPF"] for row in found.values()] == ["fail", "pass", "fail", "pass"]
        assert [row["DKIM"] for row in found.values()] == ["pass", "pass", "none", "fail"]
        assert [row["DMARC"] for row in found.values()] == ["pass", "pass", "fail", "fail"]
        forwarded, rewritten, *_ = world.provider.verdicts
        assert (forwarded.sender, forwarded.spf.domain) == (ANN, "st11.sne21.test")
        assert rewritten.spf.domain == "srs.test"
        assert not rewritten.dmarc.aligned_spf and rewritten.dmarc.aligned_dkim, "SRS mends no alignment"

    in_a_world(steps, engine)


@ENGINES
def test_a_strict_policy_costs_the_list_as_well(engine: str) -> None:
    async def steps(world: World) -> None:
        done = []
        for way in (
            "direct",
            "mailing list",
            "spoofer",
            "list, own From:",
            "list, sealed",
            "list, untouched",
        ):
            verdict = await send_along(world, way)
            done.append((verdict.disposition, verdict.dmarc.result))
        assert done == [
            ("inbox", "pass"),
            ("refused", "fail"),
            ("refused", "fail"),
            ("inbox", "pass"),
            ("inbox", "fail"),
            ("inbox", "pass"),
        ]
        subjects = [message.first("Subject") or "" for message in world.mine.mailbox("ann")]
        assert subjects and not any("failed" in subject for subject in subjects), "Ann does not hear of it"
        world.provider.trusts.discard("lists.test")
        verdict = await send_along(world, "list, sealed")
        assert (verdict.arc.result, verdict.disposition) == ("pass", "refused")

    in_a_world(steps, engine, policy="reject")


@ENGINES
def test_what_the_list_changed(engine: str) -> None:
    async def steps(world: World) -> None:
        await world.laptop.send(
            ["carol@bigmail.test", "mta@lists.test"], "Two copies", "Which one is whole?\n"
        )
        boxes = {
            v.client: box for v, box in zip(world.provider.verdicts[-2:], world.provider.inbox("carol")[-2:])
        }
        straight, listed = boxes[world.mine.address], boxes[world.host(LISTS).address]
        view = changed(straight, listed)
        broken = [line.split(": ")[1] for line in view.lines if line.startswith("breaks the signature")]
        assert {"subject", "list-id", "list-post"} <= set(broken)
        assert any(line.startswith("breaks the signature: body, octet 21, line 2") for line in view.lines)
        assert changed(straight, straight).lines == ["nothing changed that this signature covers"]
        with pytest.raises(NoSignature, match="DKIM-Signature"):
            changed(Message.parse(b"Subject: bare\r\n\r\nno signature\r\n"), listed)

    in_a_world(steps, engine)


@ENGINES
def test_a_replayed_letter_passes(engine: str) -> None:
    async def steps(world: World) -> None:
        mallory = world.host("mx.spoof.test")
        await world.laptop.send("mallory@spoof.test", "Offer", "I sell my bicycle for 100.\n")
        letter = bytes(mallory.mailbox("mallory")[-1]).decode()
        letter = letter[letter.index("DKIM-Signature:") :]
        await mallory.send("mallory@spoof.test", "carol@bigmail.test", letter)
        verdict = world.provider.verdicts[-1]
        assert (verdict.client, verdict.spf.domain) == (mallory.address, "spoof.test")
        assert (verdict.dkim[0].result, verdict.dmarc.result, verdict.disposition) == (
            "pass",
            "pass",
            "inbox",
        )
        await mallory.send("mallory@spoof.test", "carol@bigmail.test", letter.replace("100.", "900."))
        assert world.provider.verdicts[-1].disposition == "refused", "changed, it is Ann's no more"

    in_a_world(steps, engine, policy="reject")


@pytest.mark.parametrize(
    "record, applied, disposition",
    [
        ("p=none", "none", "spam"),
        ("p=quarantine", "quarantine", "spam"),
        ("p=reject; t=y", "quarantine", "spam"),
        ("p=reject", "reject", "refused"),
    ],
)
def test_the_slow_way(record: str, applied: str, disposition: str) -> None:
    async def go() -> None:
        async with World.open("what_survives", network="memory", alongside=True) as world:
            world.write_zone("sne21.test", world.zone("sne21.test").replace("p=none", record))
            verdict = await send_along(world, "spoofer")
            assert (verdict.dmarc.policy, verdict.disposition) == (applied, disposition)

    asyncio.run(go())


def test_the_tables_show_what_was_found() -> None:
    async def steps(world: World) -> None:
        verdict = await send_along(world, "list, sealed")
        text = verdict_table(verdict, steps="arc").text()
        for part in (
            "SPF    pass  lists.test",
            "DKIM   fail  st11.sne21.test",
            "DMARC  fail",
            "ARC    pass  lists.test",
        ):
            assert part in text
        assert "=> inbox: DMARC fails; lists.test saw it pass" in text
        assert re.search(r"^ 4 pass: 1 set", text, re.MULTILINE)
        assert max(map(len, text.splitlines())) <= 110
        with pytest.raises(NoSuchCheck, match="SPF, DKIM, DMARC, ARC"):
            verdict_table(verdict, steps="PGP")
        await world.mine.send("", "carol@bigmail.test", "From: x@<b>.test\nSubject: \x1b[31m\n\nhello\n")
        html = str(verdict_table(world.provider.verdicts[-1]).html())
        assert "<b>" not in html and "\x1b" not in html

    in_a_world(steps)


# --- exercise 1: the forwarder ----------------------------------------------------------------

SECRET = "SRS_SECRET = a-dummy-of-mine\n"
RETURN_PATH = "${srs_encode{SRS_SECRET}{$return_path}{$original_domain}}"
BACK = """back:
  driver    = redirect
  senders   = :
  condition = ${if inbound_srs{$local_part}{SRS_SECRET}}
  data      = $srs_recipient
"""
TAKEN_APART = r"${sg{$local_part}{\N^srs0=[^=]*=[^=]*=([^=]*)=(.*)$\N}{\$2@\$1}}"
ANYBODY = BACK.replace("{SRS_SECRET}}", "{}}").replace("$srs_recipient", TAKEN_APART)


def srs(text: str, *, return_path: str = RETURN_PATH, back: str = BACK) -> str:
    """The forwarder's configuration with SRS: a rewritten sender, and a way back."""
    text = text.replace("primary_hostname", SECRET + "primary_hostname", 1)
    text = text.replace("aliases:\n", back + "aliases:\n", 1)
    return text.replace(
        "by_smtp:\n  driver = smtp\n",
        f"by_smtp:\n  driver = smtp\n  max_rcpt = 1\n  return_path = {return_path}\n",
    )


def two_transports(text: str) -> str:
    """The same with a router and a transport of its own for what was forwarded."""
    text = text.replace("primary_hostname", SECRET + "primary_hostname", 1)
    forwarded = """forwarded:
  driver    = dnslookup
  domains   = ! +local_domains
  condition = ${if !eq{$local_part@$domain}{$original_local_part@$original_domain}}
  transport = by_srs
  no_more
"""
    text = text.replace("begin routers\n", "begin routers\n" + forwarded + BACK)
    return text.replace(
        "begin transports\n", f"begin transports\nby_srs:\n  driver = smtp\n  return_path = {RETURN_PATH}\n"
    )


def fixed_secret(text: str) -> str:
    """The secret written out, and the domain as a name."""
    text = srs(text, return_path="${srs_encode{abc}{$return_path}{forward.test}}")
    return text.replace("{SRS_SECRET}", "{abc}")


FORWARDERS: dict[str, tuple[Callable[[str], str], str]] = {
    "only a comment": (lambda text: text + "# nothing\n", "Ann's own address"),
    "a return path that nobody uses": (
        lambda text: text.replace(
            "begin transports\n",
            f"begin transports\nby_srs:\n  driver = smtp\n  return_path = {RETURN_PATH}\n",
        ).replace("primary_hostname", SECRET + "primary_hostname", 1),
        "Ann's own address",
    ),
    "null": (lambda text: srs(text, return_path='""'), "null reverse-path"),
    "the wrong domain": (
        lambda text: srs(text, return_path=RETURN_PATH.replace("original_", "")),
        "not the forwarder's",
    ),
    "one sender for all": (
        lambda text: srs(text, return_path="carol@forward.test"),
        "the same for everybody",
    ),
    "no way back": (lambda text: srs(text, back=""), "takes an SRS address apart"),
    "another secret": (
        lambda text: srs(text, back=BACK.replace("SRS_SECRET", "other")),
        "takes an SRS address apart",
    ),
    "any code will do": (lambda text: srs(text, back=ANYBODY), "relays for anybody"),
    "the header, too": (
        lambda text: srs(text).replace("  max_rcpt = 1\n", "  max_rcpt = 1\n  headers_remove = Subject\n"),
        "does not hold any more",
    ),
    "nobody is forwarded": (
        lambda text: text.replace("lsearch{/etc/aliases}", "lsearch{/etc/nothing}"),
        "does not reach Carol",
    ),
}


def try_forwarder(change: Callable[[str], str] | None, engine: str = "labkit") -> CheckView:
    async def steps(world: World) -> CheckView:
        host = world.host("mx.forward.test")
        if change is not None:
            host.path("/etc/nothing").write_text("nobody: nobody@bigmail.test\n")
            host.write_configuration(change(host.configuration))
            await host.reload()
        return check("srs forwarder", await probe_forwarder(world))

    view: CheckView = in_a_world(steps, engine)
    return view


@pytest.mark.parametrize(
    "change, engine",
    [
        (srs, "labkit"),
        (two_transports, "labkit"),
        (fixed_secret, "labkit"),
        pytest.param(srs, "exim", marks=pytest.mark.needs("exim", "gcc")),
    ],
)
def test_right_forwarders(change: Callable[[str], str], engine: str) -> None:
    view = try_forwarder(change, engine)
    assert view.progress is Progress.DONE, view.text()
    assert len(view.verdict.evidence) == 3, view.text()


def test_the_shipped_srs_forwarder_is_right() -> None:
    from labkit.lab.data import data_path

    text = data_path("scenarios", "forward_srs", "host.conf").read_text(encoding="utf-8")
    names = {"{host}": "mx.forward.test", "{domain}": "forward.test"}
    view = try_forwarder(lambda _: re.sub("|".join(map(re.escape, names)), lambda m: names[m[0]], text))
    assert view.progress is Progress.DONE, view.text()


@pytest.mark.parametrize("name", FORWARDERS)
def test_forwarders_that_are_not_right(name: str) -> None:
    change, words = FORWARDERS[name]
    view = try_forwarder(change)
    assert view.progress is Progress.NOT_YET, view.text()
    assert words in view.verdict.words, view.text()
    assert "srs_encode{" not in view.verdict.words, "that would be the answer"


def test_the_forwarder_untouched() -> None:
    assert try_forwarder(None).progress is Progress.NOT_ATTEMPTED
    assert check("srs forwarder", None).progress is Progress.NOT_ATTEMPTED


# --- exercise 2: the list ---------------------------------------------------------------------


def set_list(**changes: Any) -> Callable[[World], None]:
    def change(world: World) -> None:
        world.host(LISTS).engine.change("mta", **changes)  # type: ignore[attr-defined]

    return change


def edit_zone(old: str, new: str) -> Callable[[World], None]:
    def change(world: World) -> None:
        zone = world.zone("sne21.test")
        assert old in zone
        world.write_zone("sne21.test", zone.replace(old, new))

    return change


LISTED: dict[str, tuple[Callable[[World], None], str]] = {
    "no footer": (set_list(footer=""), "The body is whole again"),
    "another footer": (set_list(footer="Short."), "DMARC still fails: SPF passes for lists.test"),
    "sealed": (set_list(mode="arc"), "needs nobody's trust"),
    "without Carol": (set_list(members=(ANN,)), "never saw"),
    "without Ann": (set_list(members=("carol@bigmail.test",)), "only members may post"),
    "a weaker policy": (edit_zone("p=reject", "p=none"), "lets the list through, and Mallory"),
    "in test": (edit_zone("p=reject", "p=reject; t=y"), "lets the list through, and Mallory"),
    "the list in SPF": (
        edit_zone("include:spf.relay.test", "include:spf.relay.test ip4:203.0.113.208"),
        "into your own zone",
    ),
}


def try_list(change: Callable[[World], None] | None) -> CheckView:
    async def steps(world: World) -> CheckView:
        if change is not None:
            change(world)
        return check("list keeps dmarc", await probe_list(world))

    view: CheckView = in_a_world(steps, policy="reject")
    return view


@pytest.mark.parametrize(
    "changes", [{"mode": "munge"}, {"mode": "munge", "footer": ""}, {"mode": "untouched"}]
)
def test_right_lists(changes: dict[str, str]) -> None:
    view = try_list(set_list(**changes))
    assert view.progress is Progress.DONE, view.text()


@pytest.mark.parametrize("name", LISTED)
def test_lists_that_are_not_right(name: str) -> None:
    change, words = LISTED[name]
    view = try_list(change)
    assert view.progress is Progress.NOT_YET, view.text()
    assert words in view.verdict.words, view.text()


def test_the_list_untouched() -> None:
    assert try_list(None).progress is Progress.NOT_ATTEMPTED
    assert check("list keeps dmarc", None).progress is Progress.NOT_ATTEMPTED


# --- exercise 3: the report -------------------------------------------------------------------

IN_ALL = "203.0.113."
WHO = {
    "11": "me",
    "205": "relay",
    "206": "forwarder",
    "207": "forwarder",
    "201": "backup",
    "208": "list",
    "66": "spoofer",
}
LOST = {"203.0.113.208"}


def reading(world: World, lost: Any = LOST, **who: str) -> Reading:
    changed = {**WHO, **{address.strip("_"): word for address, word in who.items()}}
    return Reading(world, {IN_ALL + address: word for address, word in changed.items() if word}, lost)


READINGS: dict[str, tuple[dict[str, Any], str]] = {
    "one is missing": ({"_66": ""}, "203.0.113.66 still has no word"),
    "one is open": ({"_206": "?"}, "203.0.113.206 still has no word"),
    "a word of one's own": ({"_66": "eve"}, "'eve' is no word"),
    "an address too many": ({"_99": "me"}, "203.0.113.99 is not in the report"),
    "relay and me": ({"_11": "relay", "_205": "me"}, "comes by include"),
    "a forwarder for a liar": ({"_206": "spoofer"}, "Who sends on what you wrote"),
    "a backup for a liar": ({"_201": "spoofer"}, "when her provider is down"),
    "a liar for a forwarder": ({"_66": "forwarder"}, "sends your signature with it"),
    "a liar for a list": ({"_66": "list"}, "Is it so here?"),
    "a list for a liar": ({"_208": "spoofer"}, "means well"),
    "a list for a forwarder": ({"_208": "forwarder"}, "Does it here?"),
    "a forwarder for a list": ({"_207": "list"}, "leave letters alone"),
    "a backup for a forwarder": ({"_201": "forwarder"}, "which hosts are the mail exchangers"),
    "a forwarder for a backup": ({"_206": "backup"}, "which address has the second mail exchanger"),
    "something else": ({"_66": "relay"}, "for whom does SPF pass"),
    "no second answer": ({"lost": None}, "the second question"),
    "nothing is lost": ({"lost": set()}, "One honest sender is missing"),
    "a loss that nobody has seen": ({"lost": LOST | {"mx.lists.test"}}, "'mx.lists.test' is none"),
    "Mallory is a loss": ({"lost": LOST | {"203.0.113.66"}}, "no loss"),
    "SPF alone is a loss": ({"lost": LOST | {"203.0.113.206"}}, "one of them is enough"),
}


def read(*what: dict[str, Any]) -> list[CheckView]:
    """A day, and what the check says of each reading of its report."""

    async def steps(world: World) -> list[CheckView]:
        assert check("read the report", reading(world)).progress is Progress.NOT_ATTEMPTED, "no report yet"
        await a_day(world)
        blank = {"_" + address: "?" for address in WHO}
        assert check("read the report", reading(world, None, **blank)).progress is Progress.NOT_ATTEMPTED
        return [check("read the report", reading(world, **each)) for each in what]

    views: list[CheckView] = in_a_world(steps)
    return views


def test_the_report_read() -> None:
    for view in read({}, {"lost": "203.0.113.208"}):
        assert view.progress is Progress.DONE, view.text()
        assert len(view.verdict.evidence) == len(WHO)


def test_reports_misread() -> None:
    views = read(*(changes for changes, _ in READINGS.values()))
    for (name, (_, words)), view in zip(READINGS.items(), views):
        assert view.progress is Progress.NOT_YET, (name, view.text())
        assert words in view.verdict.words, (name, view.text())
    assert len({view.verdict.words for view in views}) == len(views), "each mistake has a hint of its own"


@ENGINES
def test_what_the_report_says(engine: str) -> None:
    async def steps(world: World) -> None:
        await a_day(world)
        report = last_report(world)
        assert isinstance(report, AggregateReport) and report.count == 15
        table = report_table(world.mine.mailbox("postmaster")[-1])
        aligned = {row[0]: row[4] for row in table.rows}
        both, one, no = "SPF and DKIM", "DKIM", "nothing"
        assert aligned == {
            IN_ALL + address: word for address, word in zip(WHO, (both, both, one, one, one, no, no))
        }
        assert max(map(len, table.text().splitlines())) <= 110
        assert "203.0.113.66" in str(table.html())

    in_a_world(steps, engine)


def test_hostile_words_in_a_report_are_shown_as_text() -> None:
    from dataclasses import replace

    async def steps(world: World) -> None:
        await a_day(world)
        report = last_report(world)
        assert report is not None
        evil = replace(report, org_name="<script>\x1b[31m", rows=report.rows * 20)
        view = report_table(evil)
        assert "<script>" not in str(view.html()) and "\x1b" not in str(view.html()) + view.text()
        assert f"and {len(report.rows) * 20 - 60} more rows" in view.text()

    in_a_world(steps)


# --- the notebook -----------------------------------------------------------------------------


def test_the_exercises_are_open_and_nothing_is_predicted() -> None:
    """The committed cells hold no answer."""
    for cell in ("x1c", "x2c", "x3c"):
        (output,) = next(each for each in NOTEBOOK.cells if each["id"] == cell)["outputs"]
        assert "".join(output["data"]["text/plain"]).startswith("[not attempted]"), cell
    for cell in ("c2", "c3", "c4", "c5", "c5f"):
        rows = re.findall(r'^    "[^"]+": +"([^"]+)"', NOTEBOOK.sources[cell], re.MULTILINE)
        assert rows and set(" ".join(rows).split()) == {"?"}
