"""The twin of notebook 00c: the facts it teaches, its model answers, and each wrong answer with its own hint."""

from __future__ import annotations

import asyncio
import contextlib
import io
import re
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from labkit.cli import main as labkit
from labkit.lab.engine import NotThisEngine
from labkit.lab.world import World, partners
from labkit.routing import RouteOutcome
from labkit.teach.checks import CheckView, Progress, check
from labkit.teach.tasks.exim_conf import examine
from labkit.teach.views.probes import configure, expand, probe, what_changed
from labkit.teach.views.probes_expand import ExpansionView
from labkit.teach.views.probes_table import ChangeView, Probes
from labkit.teach.views.probes_talk import ask_as

from .committed import Committed, run_cells

NOTEBOOK = Committed("00c_an_exim_conf")
CELLS = NOTEBOOK.sources
ANN, ZOE, BOB = "ann@st11.sne21.test", "zoe@st11.sne21.test", "bob@st2.sne21.test"
PEOPLE = [ANN, ZOE, BOB]
NO, YES = "550 Administrative prohibition", "250 Accepted"
UNKNOWN, NO_RELAY = "550 Unrouteable address", "550 relay not permitted"
STRANGER, LAPTOP = "a stranger", "your laptop"


MAIN, ACL = NOTEBOOK.text("c9", "main"), NOTEBOOK.text("c9", "acl")
ROUTERS, TRANSPORTS = NOTEBOOK.text("c13", "routers"), NOTEBOOK.text("c6", "transports")
RETRY = NOTEBOOK.text("c9b", "retry")
WHOLE = MAIN + ACL + ROUTERS + TRANSPORTS + RETRY
LOCAL = "local_domains = st11.sne21.test\n"
HOSTS = "hostlist relay_from_hosts = 198.51.100.11\n"
ACCEPT_HOSTS = "  accept hosts = +relay_from_hosts\n"
NEEDS_DOMAIN = "  require message = relay not permitted\n          domains = +local_domains\n"


def in_memory(steps: Callable[[World], Awaitable[Any]], **cast: Any) -> Any:
    async def go() -> Any:
        async with partners(network="memory", alongside=True, **cast) as world:
            return await steps(world)

    return asyncio.run(go())


async def asked(world: World, text: str, people: Sequence[str] = PEOPLE) -> Probes:
    """What the student's host says when it works by that text."""
    taken = await configure(world.mine, text)
    assert taken.taken, taken.text()
    return await probe(world.mine, people)


def said_to(seen: Probes, caller: str) -> list[str]:
    return [seen.heard[recipient, caller] for recipient in seen.recipients]


# --- the notebook from top to bottom ---


@pytest.fixture(scope="module")
def notebook() -> tuple[dict[str, Any], dict[str, Any]]:
    """What the cells have shown, and the names they have left; with the model answers in them."""
    sources = NOTEBOOK.code(
        "c15", "c17d"
    )  # the real Exim, and a command for a shell: they have tests of their own
    sources["c8b"] = sources["c8b"].replace("acl_smtp", HOSTS + "acl_smtp")
    sources["c8b"] = sources["c8b"].replace("check_rcpt:\n", f"check_rcpt:\n{ACCEPT_HOSTS}")
    sources["c11"] = sources["c11"].replace("*st11.sne21.test", "st11.sne21.test : *.st11.sne21.test")
    sources["c13"] = sources["c13"].replace("# name: where it leads\n", CHAIN)
    sources["c13"] = (
        sources["c13"].replace("primary_", f"{QUALIFY}primary_").replace("ours:", f"{ALIASES}ours:")
    )
    names: dict[str, Any] = {}
    shown = asyncio.run(run_cells(sources, names))
    return shown, names


CHAIN = "postmaster: root\nroot: ann\n"
QUALIFY = "qualify_domain = st11.sne21.test\n"
ALIASES = """\
aliases:
  driver = redirect
  domains = +local_domains
  data = ${lookup{$local_part}lsearch{/etc/aliases}}
"""

Ran = tuple[dict[str, Any], dict[str, Any]]


def test_who_solves_everything_gets_three_times_done(notebook: Ran) -> None:
    shown, _ = notebook
    for cell in ("c8check", "c11check", "c13check"):
        view = shown[cell]
        assert isinstance(view, CheckView)
        assert view.progress is Progress.DONE, view.text()
    assert "ann@st11.sne21.test goes by the transport into_mailbox" in shown["c13b"].text()


def test_each_line_changes_what_the_prose_says(notebook: Ran) -> None:
    _, names = notebook
    seen = {number: names[f"seen{number}"] for number in range(1, 13)}
    expected: dict[int, tuple[list[str], list[str]]] = {
        1: ([NO] * 3, [NO] * 3),
        2: ([NO] * 3, [NO] * 3),
        3: ([NO] * 3, [NO] * 3),
        4: ([YES] * 3, [YES] * 3),
        5: ([NO_RELAY] * 3, [NO_RELAY] * 3),
        6: ([YES, YES, NO_RELAY],) * 2,
        7: ([YES, YES, NO_RELAY],) * 2,
        8: ([YES, UNKNOWN, NO_RELAY],) * 2,
        9: ([YES, UNKNOWN, NO_RELAY],) * 2,
        10: ([YES, UNKNOWN, NO_RELAY], [YES] * 3),
        11: ([YES, UNKNOWN, NO_RELAY], [YES] * 3),
        12: ([YES, UNKNOWN, NO_RELAY], [YES] * 3),
    }
    for number, (stranger, laptop) in expected.items():
        assert said_to(seen[number], STRANGER) == stranger, number
        assert said_to(seen[number], LAPTOP) == laptop, number
        assert seen[number].greets_as == "mx2.st11.sne21.test"
    # part 12 leaves the routers as they are: only the macro is new
    assert seen[10].configuration + RETRY == seen[11].configuration == WHOLE


def test_the_whole_file_is_the_tours(notebook: Ran) -> None:
    shown, _ = notebook
    change = shown["c10b"]
    assert isinstance(change, ChangeView)
    assert not change.rows
    assert [line.split()[2:] for sign, line in change.lines if sign == "-"] == []
    added = [line.split()[-1] for sign, line in change.lines if sign == "+"]
    assert added == ["mx2.st11.sne21.test", "return_path_add", "envelope_to_add", "delivery_date_add"]


def test_the_notebook_is_shown_before_anything_was_tried() -> None:
    """The cells of the exercises are committed unsolved."""
    assert "hostlist" not in CELLS["c8b"]
    assert "*st11.sne21.test" in CELLS["c11"]
    assert "redirect" not in CELLS["c13"]
    for cell, name in (("c8check", "relay"), ("c11check", "names below"), ("c13check", "alias chain")):
        assert f'examine("{name}", world)' in CELLS[cell]


# --- the facts ---


def test_a_name_with_a_star_is_refused() -> None:
    async def steps(world: World) -> None:
        view = await configure(world.mine, "primary_hostname = *.st11.sne21.test\n")
        assert not view.taken
        assert "exim.conf, line 1" in view.text()
        assert "is no host name" in view.text()
        assert (await probe(world.mine, PEOPLE)).greets_as == "mx2.st11.sne21.test", "the former file counts"

    in_memory(steps)


def test_an_acl_ends_with_deny() -> None:
    async def steps(world: World) -> None:
        text = f"domainlist {LOCAL}acl_smtp_rcpt = c\nbegin acl\nc:\n  accept domains = +local_domains\n"
        assert said_to(await asked(world, text), STRANGER) == [YES, YES, NO]

    in_memory(steps)


def test_a_tainted_name_is_doubtful_and_stumbles_when_mail_comes() -> None:
    async def steps(world: World) -> None:
        tainted = WHOLE.replace("$local_part_data", "$local_part")
        view = await configure(world.mine, tainted)
        assert view.taken
        assert "Tainted name for a file: $local_part" in view.text()
        assert "use $local_part_data" in view.text()
        await world.partner_laptop.send(ANN, "Hello", "x\n", host=world.mine.name)
        assert "Tainted '/var/mail/ann'" in world.mine.log().splitlines()[-1]
        assert len(world.mine.queue) == 1
        await configure(world.mine, WHOLE)
        await world.mine.run_queue(forced=True)
        assert len(world.mine.mailbox("ann")) == 1, "it only came late"

    in_memory(steps)


def test_without_verify_a_report_goes_to_whoever_was_named() -> None:
    async def steps(world: World) -> None:
        text = WHOLE.replace("  require verify = recipient\n", "")
        await asked(world, text)
        await world.partner_laptop.send(ZOE, "Hello", "x\n", host=world.mine.name)
        (report,) = world.partner.mailbox("bob")
        assert "Mailer-Daemon@mx2.st11.sne21.test" in (report.first("From") or "")

    in_memory(steps)


def test_without_a_retry_rule_trouble_is_failure() -> None:
    async def steps(world: World) -> None:
        await world.partner.stop()
        await configure(world.mine, WHOLE.replace(RETRY, ""))
        await world.laptop.send(BOB, "1", "x\n")
        assert world.mine.queue == ()
        assert "retry timeout exceeded" in world.mine.log()
        assert len(world.mine.mailbox("ann")) == 1, "returned"
        await configure(world.mine, WHOLE)
        await world.laptop.send(BOB, "2", "x\n")
        assert len(world.mine.queue) == 1, "it waits"
        await world.advance(minutes=5)
        await world.partner.start()
        assert world.partner.mailbox("bob") == []
        await world.advance(minutes=10)
        assert len(world.partner.mailbox("bob")) == 1

    in_memory(steps)


def test_the_order_of_statements_and_of_routers(notebook: Ran) -> None:
    async def steps(world: World) -> None:
        late = WHOLE.replace(ACCEPT_HOSTS, "").replace("recipient\n", f"recipient\n{ACCEPT_HOSTS}")
        assert said_to(await asked(world, late), LAPTOP) == [YES, UNKNOWN, NO_RELAY]

    in_memory(steps)
    shown, _ = notebook
    for cell in ("c12", "c12b"):
        (route,) = shown[cell].routed.routes
        assert (route.outcome, route.router) == (RouteOutcome.ROUTED, "ours")


def test_nowhere_is_no_address_of_ours_with_no_more() -> None:
    async def steps(world: World) -> None:
        await configure(world.mine, WHOLE)
        assert (await world.mine.route("ann@nowhere.test")).outcome is RouteOutcome.FAILED

    in_memory(steps)


def test_no_more_keeps_only_whom_the_conditions_let_in() -> None:
    """An address that a condition keeps out goes on to the next router; one that finds no way does not."""

    async def steps(world: World) -> None:
        await configure(world.mine, WHOLE)
        ann = (await world.mine.route(ANN)).first
        assert [(step.router, step.took) for step in ann.steps] == [("others", False), ("ours", True)]
        nowhere = (await world.mine.route("ann@nowhere.test")).first
        assert {step.router for step in nowhere.steps} == {"others"}

    in_memory(steps)


def test_nobody_is_called_like_a_path() -> None:
    async def steps(world: World) -> None:
        path = "../../etc/passwd@st11.sne21.test"
        await configure(world.mine, WHOLE.replace("$local_part_data", "$local_part"))
        assert (await world.mine.route(path)).outcome is RouteOutcome.FAILED
        assert said_to(await probe(world.mine, [path]), STRANGER) == [UNKNOWN]

    in_memory(steps)


def test_the_report_names_the_message_that_it_is_about() -> None:
    async def steps(world: World) -> None:
        await asked(world, WHOLE.replace("  require verify = recipient\n", ""))
        await world.partner_laptop.send(ZOE, "Hello", "x\n", host=world.mine.name)
        log = world.mine.log()
        (about,) = re.findall(r"(\S+) \*\* zoe@", log)
        assert f"<= <> R={about} " in log

    in_memory(steps)


def test_a_letter_waits_for_the_queue_runner() -> None:
    """A retry time says only "not before": without anybody who comes by, nothing is tried."""

    async def steps(world: World) -> None:
        await configure(world.mine, WHOLE)
        await world.partner.stop()
        await world.laptop.send(BOB, "1", "x\n")
        await world.partner.start()
        await world.advance(hours=6)
        assert world.partner.mailbox("bob") == []
        await world.mine.run_queue()
        assert len(world.partner.mailbox("bob")) == 1

    in_memory(steps, queue_interval=None)


def test_expansions(notebook: Ran) -> None:
    shown, _ = notebook
    results = {cell: view.result for cell, view in shown.items() if isinstance(view, ExpansionView)}
    assert results["c16"] == "for somebody else"
    assert results["c16b"] == "zoe@st2.sne21.test"
    assert results["c16c"] == "root"
    assert results["c16d"].startswith("Failed: curly-bracket problem")
    for shape in (shown["c16"].text(), str(shown["c16"].html())):
        assert "(where $local_part = zoe)" in shape, "exim -be itself has none"


def test_an_error_and_a_doubt_and_lint_says_the_same(notebook: Ran, tmp_path: Path) -> None:
    shown, _ = notebook
    assert not shown["c17"].taken
    assert "exim.conf, line 7" in shown["c17"].text()
    assert 'perhaps you mean "domains"' in shown["c17"].text()
    assert shown["c17b"].taken
    assert "exim.conf, line 3: acl_smtp_rcpt names the ACL" in shown["c17b"].text()
    assert "exim.conf, line 20: Tainted name for a file" in shown["c5"].text()
    assert set(shown["c17c"].heard.values()) == {"451 Temporary local problem - please try later"}
    for cell, status in (("c17", 1), ("c17b", 0)):
        file = tmp_path / "exim.conf"
        file.write_text(re.findall(r'"""\n(.*?)"""', CELLS[cell], re.DOTALL)[0])
        said = io.StringIO()
        with contextlib.redirect_stderr(said):
            assert labkit(["lint", str(file)]) == status
        assert shown[cell].words[0].partition("\n")[0].removeprefix("exim.conf") in said.getvalue()


# --- the views ---


def test_what_a_probe_shows_is_inert() -> None:
    async def steps(world: World) -> str:
        evil = "<script>alert(1)</script>"
        before = await asked(world, "")
        text = f"# {evil}\nacl_smtp_rcpt = c\nbegin acl\nc:\n  deny message = {evil}\n"
        after = await asked(world, text, [f"{evil}@x.test", ANN])
        refused = await configure(world.mine, f"{evil} = 1\n")
        expanded = await expand(world.mine, f"${{lc:{evil}}}")
        return "".join(str(v.html()) for v in (after, what_changed(before, after), refused, expanded))

    shown = in_memory(steps)
    assert shown.count("&lt;script&gt;") >= 5
    assert "<script" not in shown


def test_a_probe_leaves_nothing_behind() -> None:
    async def steps(world: World) -> None:
        await probe(world.mine, PEOPLE)
        assert world.mine.queue == ()
        assert world.mine.mailbox("ann") == []
        with pytest.raises(ValueError, match="no line end"):
            await probe(world.mine, ["a@b.test>\r\nDATA"])

    in_memory(steps)


def test_a_host_that_is_stopped_or_silent_or_unwelcoming() -> None:
    async def steps(world: World) -> None:
        text = "acl_smtp_mail = c\nbegin acl\nc:\n  deny message = not you\n"
        assert set((await asked(world, text)).heard.values()) == {"550 not you"}
        text = "acl_smtp_connect = c\nbegin acl\nc:\n  drop message = go away\n"
        seen = await asked(world, text)
        assert set(seen.heard.values()) == {"550 go away"}
        await world.mine.stop()
        assert set((await probe(world.mine, PEOPLE)).heard.values()) == {"nobody listens there"}

    in_memory(steps)


def test_new_questions_are_changes_too() -> None:
    async def steps(world: World) -> str:
        before = await probe(world.mine, [ANN])
        return what_changed(before, await probe(world.mine, PEOPLE)).text()

    shown = in_memory(steps)
    assert "exim.conf is the same." in shown
    assert re.search(r"<bob@st2.sne21.test>\s+a stranger\s+\(not asked\)\s+550 relay not permitted", shown)
    assert "2 other replies are the same." in shown


def test_other_students_have_other_names() -> None:
    async def steps(world: World) -> Any:
        text = world.mine.configuration.replace("= st7.sne.example", "= st7.sne.example : *.st7.sne.example")
        await configure(world.mine, text)
        return await examine("names below", world)

    assert in_memory(steps, st=7, partner=9, apex="sne.example").progress is Progress.DONE


# --- the exercises ---


def examined(name: str, text: str, prepare: Callable[[World], None] | None = None) -> CheckView:
    """The verdict on a host that was given that text."""

    async def steps(world: World) -> CheckView:
        if prepare is not None:
            prepare(world)
        await configure(world.mine, text)
        return await examine(name, world)

    view = in_memory(steps)
    assert isinstance(view, CheckView)
    return view


@pytest.mark.parametrize("name", ["relay", "names below", "alias chain"])
def test_a_check_of_the_world_alone_says_how_to_examine(name: str) -> None:
    async def steps(world: World) -> None:
        assert f'await examine("{name}", world)' in check(name, world).verdict.words
        await world.mine.stop()
        assert "is stopped" in (await examine(name, world)).verdict.words
        with pytest.raises(KeyError, match="there are"):
            await examine("nothing", world)

    in_memory(steps)


@pytest.mark.parametrize("name", ["relay", "names below", "alias chain"])
def test_a_file_that_is_not_taken_is_told(name: str) -> None:
    view = examined(name, WHOLE.replace("accept hosts", "accept host"))
    assert view.progress is Progress.NOT_YET
    assert "does not take the file" in view.verdict.words
    assert 'perhaps you mean "hosts"' in view.verdict.words


RELAY = WHOLE.replace(HOSTS, "").replace(ACCEPT_HOSTS, "")


def relaying(hosts: str = HOSTS, statement: str = ACCEPT_HOSTS) -> str:
    return WHOLE.replace(HOSTS, hosts).replace(ACCEPT_HOSTS, statement)


@pytest.mark.parametrize(
    "text",
    [
        WHOLE,
        relaying(HOSTS.replace("relay_from_hosts", "mine"), "  accept hosts = +mine\n"),
        relaying("", "  accept hosts = 198.51.100.11\n"),
        relaying(HOSTS.replace("198.51.100.11", "laptop.st11.sne21.test")),
        relaying(HOSTS.replace("198.51.100.11", "<; 198.51.100.11 ; 192.0.2.1")),
        relaying("", "").replace(NEEDS_DOMAIN, f"  accept hosts = 198.51.100.11\n{NEEDS_DOMAIN}"),
        RELAY.replace("begin acl", f"{HOSTS}begin acl").replace(
            NEEDS_DOMAIN,
            "  deny message = no\n    ! hosts = +relay_from_hosts\n    domains = ! +local_domains\n",
        ),
    ],
    ids=["as one would", "another name", "in place", "by name", "two hosts", "elsewhere", "as a deny"],
)
def test_the_laptop_may_relay(text: str) -> None:
    view = examined("relay", text)
    assert view.progress is Progress.DONE, view.text()
    assert "550" in view.text()
    assert "put into the mailbox" in view.text()


@pytest.mark.parametrize(
    "text, progress, words",
    [
        (RELAY, Progress.NOT_ATTEMPTED, "still treated as a stranger"),
        (relaying(HOSTS.replace("198.51.100.11", "0.0.0.0")), Progress.NOT_YET, "does not mean everybody"),
        (relaying(HOSTS.replace("198.51.100.11", "*")), Progress.NOT_YET, "Everybody may relay now"),
        (relaying(HOSTS.replace("198.51.100.11", "0.0.0.0/0")), Progress.NOT_YET, "Everybody may relay now"),
        (relaying("", "  accept\n"), Progress.NOT_YET, "Everybody may relay now"),
        (relaying(HOSTS.replace("198.51.100.11", "localhost")), Progress.NOT_YET, "localhost is your host itself"),
        (relaying(HOSTS.replace("198.51.100.11", "127.0.0.1")), Progress.NOT_YET, "localhost is your host itself"),
        (relaying(HOSTS.replace("198.51.100.11", "203.0.113.11")), Progress.NOT_YET, "your host's own address"),
        (relaying(HOSTS.replace("198.51.100.11", "198.51.100.2")), Progress.NOT_YET, "The wrong laptop"),
        (relaying(HOSTS.replace("198.51.100.11", "198.51.100.0/24")), Progress.NOT_YET, "the network is too wide"),
        (relaying(HOSTS.replace("hostlist", "domainlist")), Progress.NOT_YET, "asks for a hostlist"),
        (relaying(HOSTS, ACCEPT_HOSTS.replace("relay_from", "relay_form")), Progress.NOT_YET, "spelt the same"),
        (relaying(HOSTS, ACCEPT_HOSTS.replace("hosts =", "domains =")), Progress.NOT_YET, "asks for a hostlist"),
        (relaying(HOSTS, ACCEPT_HOSTS.replace("+", "")), Progress.NOT_YET, "without + that is the name of one host"),
        (relaying(HOSTS, ""), Progress.NOT_YET, "no statement asks for it"),
        (relaying(HOSTS.replace("100.11", "100.12")), Progress.NOT_YET, "198.51.100.11 is not among the hosts"),
        (relaying("", "  accept hosts = 198.51.100.12\n"), Progress.NOT_YET, "198.51.100.11 is not among the hosts"),
        (
            relaying(HOSTS, f"{ACCEPT_HOSTS}         domains = +local_domains\n"),
            Progress.NOT_YET,
            "a second condition, domains",
        ),
        (
            relaying(HOSTS, "").replace("verify = recipient\n", f"verify = recipient\n{ACCEPT_HOSTS}"),
            Progress.NOT_YET,
            "below a require that has refused the laptop already",
        ),
        (
            relaying(HOSTS, "")
            .replace(NEEDS_DOMAIN, "  deny message = no\n    domains = ! +local_domains\n")
            .replace("verify = recipient\n", f"verify = recipient\n{ACCEPT_HOSTS}"),
            Progress.NOT_YET,
            "below a deny that has refused the laptop already",
        ),
        (
            relaying(HOSTS, "").replace("recipient\n  accept\n", f"recipient\n  deny message = no\n{ACCEPT_HOSTS}"),
            Progress.NOT_YET,
            "Strangers cannot write to ann@st11.sne21.test",
        ),
        (
            relaying(HOSTS.replace("100.11", "100.12"), f"  require verify = sender\n{ACCEPT_HOSTS}"),
            Progress.NOT_YET,
            "198.51.100.11 is not among the hosts",
        ),
        (
            relaying(HOSTS, f"  deny message = no\n       domains = {BOB.partition('@')[2]}\n{ACCEPT_HOSTS}"),
            Progress.NOT_YET,
            "below a deny that has refused the laptop already",
        ),
        (
            relaying(HOSTS, "").replace(NEEDS_DOMAIN, f"{NEEDS_DOMAIN}{ACCEPT_HOSTS}"),
            Progress.NOT_YET,
            "from top to bottom, and the first decision counts",
        ),
        (
            relaying("", "").replace(
                NEEDS_DOMAIN,
                f"{NEEDS_DOMAIN}  accept condition = ${{if eq{{$sender_host_address}}{{198.51.100.11}}}}\n",
            ),
            Progress.NOT_YET,
            "Your host knows your laptop, but too late",
        ),
        (
            RELAY.replace("begin acl", f"{HOSTS.replace('100.11', '100.12')}begin acl").replace(
                NEEDS_DOMAIN,
                "  deny message = no\n    ! hosts = +relay_from_hosts\n    domains = ! +local_domains\n",
            ),
            Progress.NOT_YET,
            "Your 'deny hosts' does not know your laptop",
        ),
        (relaying(HOSTS, ACCEPT_HOSTS.replace("accept", "require")), Progress.NOT_YET, "lets some in"),
        (relaying("", "  accept senders = *@st11.sne21.test\n"), Progress.NOT_YET, "the sender is only text"),
        (
            WHOLE.replace("  require verify = recipient\n", ""),
            Progress.NOT_YET,
            "people who do not exist",
        ),
        (WHOLE.replace("others:\n  driver = dnslookup\n", "others:\n  driver = dnslookup\n  senders = :\n"),
            Progress.NOT_YET, "it did not arrive there"),
    ],
)  # fmt: skip
def test_what_goes_wrong_with_the_relay(text: str, progress: Progress, words: str) -> None:
    view = examined("relay", text)
    assert words in view.verdict.words, view.text()
    assert view.progress is progress


@pytest.mark.parametrize(
    "domains",
    [
        "st11.sne21.test : *.st11.sne21.test",
        "*.st11.sne21.test : st11.sne21.test",
        r"^(.*\\.)?st11\\.sne21\\.test\$",
    ],
    ids=["as one would", "the other way round", "a regular expression"],
)
def test_every_name_below_is_yours(domains: str) -> None:
    view = examined("names below", WHOLE.replace(LOCAL, f"local_domains = {domains}\n"))
    assert view.progress is Progress.DONE, view.text()
    assert "RCPT TO:<ann@lab.st11.sne21.test> by a stranger: 250 Accepted" in view.text()


@pytest.mark.parametrize(
    "right, wrong, progress, words",
    [
        (LOCAL, LOCAL, Progress.NOT_ATTEMPTED, "is not yours yet"),
        (LOCAL, "local_domains = *st11.sne21.test\n", Progress.NOT_YET, "the dot after the star matters"),
        (LOCAL, "local_domains = *.st11.sne21.test\n", Progress.NOT_YET, "wants something before the dot"),
        (LOCAL, "local_domains = *\n", Progress.NOT_YET, "A star alone"),
        (LOCAL, "local_domains = st11.sne21.test, *.st11.sne21.test\n", Progress.NOT_YET, "separated by colons"),
        (LOCAL, "local_domains = *.st11.sne21.test st11.sne21.test\n", Progress.NOT_YET, "separated by colons"),
        (LOCAL, "local_domains = st11.sne21.test : lab.st11.sne21.test\n", Progress.NOT_YET, "one by one"),
        (LOCAL, "local_domains = st11.sne21.test : .st11.sne21.test\n", Progress.NOT_YET, "a leading dot"),
        (LOCAL, "local_domains = .st11.sne21.test\n", Progress.NOT_YET, "a leading dot means nothing"),
        ("domains = +local_domains\n", "domains = +local_domains : *.st11.sne21.test\n", Progress.NOT_YET,
            "change the list and not the ACL"),
        (LOCAL, "lokal_domains = st11.sne21.test : *.st11.sne21.test\n", Progress.NOT_YET, "stumbled"),
        (f"{LOCAL}", "local_domains = st11.sne21.test : *.st11.sne21.test\n", Progress.NOT_YET, "is missing"),
    ],
)  # fmt: skip
def test_what_goes_wrong_with_the_names(right: str, wrong: str, progress: Progress, words: str) -> None:
    text = WHOLE.replace("  require verify = recipient\n", "") if words == "is missing" else WHOLE
    assert right in text
    view = examined("names below", text.replace(right, wrong))
    assert words in view.verdict.words, view.text()
    assert view.progress is progress


def test_a_letter_that_is_taken_but_does_not_arrive() -> None:
    text = WHOLE.replace(LOCAL, "local_domains = st11.sne21.test : *.st11.sne21.test\n")
    view = examined("names below", text.replace("$local_part_data", "$local_part"))
    assert "does not lie in ann's mailbox" in view.verdict.words


ALIASED = QUALIFY + WHOLE.replace("ours:", f"{ALIASES}ours:")


def aliased(text: str, file: str | None) -> CheckView:
    def write(world: World) -> None:
        path = world.mine.path("/etc/aliases")
        path.parent.mkdir(exist_ok=True)
        if file is not None:
            path.write_text(file)

    return examined("alias chain", text, write)


@pytest.mark.parametrize(
    "text, file",
    [
        (ALIASED, CHAIN),
        (ALIASED.replace("qualify_domain", "qualify_recipient"), CHAIN),
        (ALIASED.replace(QUALIFY, "").replace(LOCAL, "local_domains = st11.sne21.test : @\n"), CHAIN),
        (ALIASED, "postmaster: root@st11.sne21.test\nroot: ann@st11.sne21.test\n"),
    ],
    ids=["as one would", "qualify_recipient", "the host's name is ours", "in full"],
)
def test_the_postmaster_is_reached(text: str, file: str) -> None:
    view = aliased(text, file)
    assert view.progress is Progress.DONE, view.text()
    assert view.text().count("put into the mailbox") == 3


@pytest.mark.parametrize(
    "text, file, progress, words",
    [
        (QUALIFY + WHOLE, CHAIN, Progress.NOT_ATTEMPTED, "still unknown"),
        (ALIASED, "# name: where it leads\n", Progress.NOT_ATTEMPTED, "still unknown"),
        (ALIASED, None, Progress.NOT_YET, "Is the file there"),
        (ALIASED.replace(QUALIFY, ""), CHAIN, Progress.NOT_YET, "gets the one in 'qualify_domain'"),
        (
            ALIASED.replace(QUALIFY, ""),
            "postmaster: root@st11.sne21.test\nroot: ann@st11.sne21.test\n",
            Progress.NOT_YET,
            "must take <postmaster> without a domain",
        ),
        (ALIASED, "postmaster: root\n", Progress.NOT_YET, "root leads to nobody"),
        (
            QUALIFY + WHOLE.replace("begin transports", f"{ALIASES}begin transports"),
            CHAIN,
            Progress.NOT_YET,
            "before anybody looks at the aliases",
        ),
        (ALIASED, "postmaster: root\nroot: anne\n", Progress.NOT_YET, "leads to anne@st11.sne21.test"),
        (ALIASED, "postmaster: root\nroot: postmaster\n", Progress.NOT_YET, "in a circle"),
        (ALIASED, "postmaster: ann\n", Progress.NOT_YET, "has a shortcut"),
        (ALIASED, f"{CHAIN}*: ann\n", Progress.NOT_ATTEMPTED, ""),
        (ALIASED.replace("lsearch{", "lsearch*{"), f"{CHAIN}*: ann\n", Progress.NOT_YET, "everybody exists"),
        (ALIASED, f"{CHAIN}ann: nobody\n", Progress.NOT_YET, "is not reached any more"),
        (
            QUALIFY + WHOLE.replace("others:", f"{ALIASES.replace('  domains = +local_domains', '')}others:"),
            CHAIN,
            Progress.NOT_YET,
            "that is not your domain",
        ),
        (ALIASED, "postmaster: /var/mail/ann\nroot: ann\n", Progress.NOT_YET, "Where does it go?"),
    ],
)
def test_what_goes_wrong_with_the_aliases(
    text: str, file: str | None, progress: Progress, words: str
) -> None:
    view = aliased(text, file)
    if not words:  # a star is nothing special to lsearch: the chain is right
        assert view.progress is Progress.DONE, view.text()
        return
    assert words in view.verdict.words, view.text()
    assert view.progress is progress


# --- on the judge ---


@pytest.mark.needs("exim", "gcc")
def test_the_real_exim_says_the_same_to_every_step(notebook: Ran) -> None:
    """The notebook's own configurations, one after the other, and its words about what Exim does."""
    _, names = notebook
    steps = [names[f"seen{number}"] for number in range(1, 13)]

    async def go() -> None:
        async with partners(network="loopback", alongside=True, engine={"student": "exim"}) as world:
            host = world.mine
            host.path("/etc/aliases").write_text(CHAIN)
            for number, seen in enumerate(steps, start=1):
                host.write_configuration(seen.configuration)
                await host.reload()
                now = await probe(host, PEOPLE)
                assert now.heard == seen.heard, f"seen{number}"
                assert now.greets_as == seen.greets_as
                assert now.engine == "exim"
            said = await ask_as(host, "0.0.0.0", [BOB])
            assert said.replies == (NO_RELAY,)

    asyncio.run(go())


@pytest.mark.needs("exim", "gcc")
def test_what_the_notebook_says_of_the_real_exim() -> None:
    async def go() -> None:
        async with partners(network="loopback", alongside=True, engine={"student": "exim"}) as world:
            host = world.mine
            assert str(await host.exim("-bV")).startswith("Exim version ")
            view = await configure(host, "primary_hostname = *.st11.sne21.test\n")
            assert view.taken
            assert (await probe(host, [ANN])).greets_as == "*.st11.sne21.test"
            view = await configure(host, WHOLE.replace("accept hosts", "accept host"))
            assert not view.taken
            assert "exim.conf, line 8" in view.text()
            assert "unknown ACL condition" in view.text()
            view = await configure(host, WHOLE.replace("$local_part_data", "$local_part"))
            assert view.taken
            await world.partner_laptop.send(ANN, "Hello", "x\n", host=host.name)
            assert re.search(r"Tainted '.*/var/mail/ann' .* not permitted", host.log())
            with pytest.raises(NotThisEngine):
                await expand(host, "$local_part")
            assert str(await host.exim("-be", "${lc:ABC}")).strip() == "abc"
            view = await configure(host, WHOLE)
            assert (await examine("relay", world)).progress is Progress.DONE
            await configure(host, relaying(HOSTS.replace("198.51.100.11", "0.0.0.0")))
            assert "does not mean everybody" in (await examine("relay", world)).verdict.words
            await configure(host, relaying(HOSTS, ACCEPT_HOSTS.replace("+", "")))
            assert "without + that is the name" in (await examine("relay", world)).verdict.words
            await configure(host, WHOLE.replace(LOCAL, f"{LOCAL.strip()} : .st11.sne21.test\n"))
            assert "a leading dot means nothing" in (await examine("names below", world)).verdict.words
            assert str(await host.exim("-be", "[$local_part]")).strip() == "[]", "no message, no router"

    asyncio.run(go())
