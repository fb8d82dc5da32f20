"""Content filters of a host: both engines ask them by `spam =`; and what they say outside of SMTP."""

from __future__ import annotations

import asyncio
import re
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from labkit.lab.bogofilter import Bogofilter
from labkit.lab.host import Host
from labkit.lab.scorers import FilterFailed, Scored
from labkit.lab.solutions import Solution, defend
from labkit.lab.spamassassin import QUIET, _quietly, find_spamd
from labkit.lab.world import World, partners
from labkit.teach.views.visits import visit

GTUBE = "XJS*C4JDBQADN1.NSBN3*2IDNEN*GTUBE-STANDARD-ANTI-UBE-TEST-EMAIL*C.34X"
ACL = """
content:
  deny spam = nobody
    message = This message scored $spam_score spam points.
  accept add_header = X-Spam: $spam_score ($spam_bar) $spam_action
"""
TELLS = "# --- data\n  warn  spam = nobody:true\n        add_header = X-Report: ${sg{$spam_report}{\\n}{ }}\n"
HAM = "Date: Mon, 07 Sep 2026 09:00:00 +0000\nTo: bob\nFrom: ann@st11.sne21.test\nSubject: tea\n\nShall we have tea?\n"


def told(message: bytes) -> Scored:
    """A scorer of ours."""
    return Scored(9.0 if GTUBE.encode() in message else -1.0, 5.0, "because\nit is so", ("OURS",))


def filtering(host: Host) -> None:
    text = host.configuration
    host.write_configuration(text.replace("begin acl\n", f"acl_smtp_data = content\nbegin acl\n{ACL}", 1))


async def judged(world: World, text: str) -> str:
    """Send it from host to host: what the sender's log says of it."""
    before = len(world.mine.log())
    await world.mine.send("ann@st11.sne21.test", "bob@st2.sne21.test", text)
    await world.settle()
    return world.mine.log()[before:]


async def refuses_gtube(world: World, scorer: Callable[[bytes], Scored] | None, points: str) -> None:
    filtering(world.partner)
    await world.partner.reload()
    served = await world.partner.serve_spamd(scorer)
    assert "=> bob" in await judged(world, HAM)
    assert world.partner.mailbox("bob")[-1].first("X-Spam") is not None
    said = await judged(world, HAM.replace("tea", "y") + GTUBE + "\n")
    assert f"550 This message scored {points} spam points." in said
    await served.stop()
    assert "451 Temporary local problem" in await judged(world, HAM)
    assert "all spamd servers failed" in world.partner.log()


@pytest.mark.parametrize("network", ["memory", "loopback"])
def test_a_scorer_of_ours(network: str) -> None:
    async def story() -> None:
        async with partners(st=11, partner=2, network=network, alongside=True) as world:
            await refuses_gtube(world, told, "9.0")

    asyncio.run(story())


@pytest.mark.needs("exim")
def test_a_scorer_of_ours_and_the_real_exim() -> None:
    async def story() -> None:
        async with partners(st=11, partner=2, engine="exim", alongside=True) as world:
            await refuses_gtube(world, told, "9.0")

    asyncio.run(story())


@pytest.mark.needs("spamd")
@pytest.mark.parametrize("engine", ["labkit", pytest.param("exim", marks=pytest.mark.needs("exim"))])
def test_spamassassin(engine: str) -> None:
    async def story() -> list[Scored]:
        words: list[str] = []
        async with partners(st=11, partner=2, engine=engine, alongside=True) as world:
            filtering(world.partner)
            await world.partner.reload()
            served = await world.partner.serve_spamd(tell=words.append)
            assert served.started_in > 0
            assert words[-1].startswith("spamd answers after")
            assert "=> bob" in await judged(world, HAM)
            said = await judged(world, HAM + GTUBE + "\n")
            assert "550 This message scored 1" in said
            steps: list[int] = []
            letters = [HAM.encode(), (HAM + GTUBE + "\n").encode()] * 5
            found = await served.score_all(letters, lambda done, total: steps.append(done))
            assert steps == list(range(1, 11))
            assert "GTUBE" in await served.report(letters[1])
            return found

    found = asyncio.run(story())
    assert [each.is_spam for each in found] == [False, True] * 5
    assert "GTUBE" in found[1].symbols


@pytest.mark.needs("spamd")
@pytest.mark.parametrize("engine", ["labkit", pytest.param("exim", marks=pytest.mark.needs("exim", "gcc"))])
def test_spamassassin_asks_the_block_list_of_the_lab_and_nothing_else(engine: str) -> None:
    points: dict[str, str] = {}

    async def story() -> None:
        async with World.open("spam", alongside=True, network="loopback", engine=engine) as world:
            asked: list[str] = []
            world.nameserver.on_query = lambda name, rdtype, rcode: asked.append(name)
            with pytest.raises(FilterFailed, match="no name of a block list"):
                await world.mine.serve_spamd(blocklist="bl.test\nscore X 1")
            await world.mine.serve_spamd(blocklist="bl.test")
            await defend(world, Solution("told", TELLS))
            before = len(asked)
            for name in ("bot.winner.test", "mail.watches.test"):
                await visit(world, name, content=HAM.replace("\n", "\r\n").encode())
                points[name] = world.mine.mailbox("ann")[-1].first("X-Report") or ""
            about = {name for name in asked[before:] if not name.startswith(("bot.", "mail.", "st11."))}
            assert {name.rstrip(".") for name in about if name.rstrip(".").endswith(".bl.test")} == {
                "61.100.18.198.bl.test", "1.64.18.198.bl.test",
            }  # fmt: skip
            assert not [name for name in about if "spamhaus" in name or "bl.test" not in name], about

    asyncio.run(story())
    assert "bl.test" in points["bot.winner.test"] and "bl.test" not in points["mail.watches.test"]
    assert all("mx2.st11.sne21.test" in report for report in points.values()), "not the name of this machine"


@pytest.mark.needs("spamd")
def test_spamd_is_run_so_that_it_asks_no_resolver_who_calls(tmp_path: Path) -> None:
    (tmp_path / "LabkitQuiet.pm").write_text(QUIET)
    words = _quietly(find_spamd(), tmp_path)
    assert Path(words[0]).name == "perl" and words[-2:] == ["-MLabkitQuiet", str(find_spamd())]
    program = """
        my $server = IO::Socket::IP->new(Listen => 1, LocalHost => "127.0.0.1", Proto => "tcp") or die $@;
        my $client = IO::Socket::IP->new(PeerHost => "127.0.0.1", PeerPort => $server->sockport) or die $@;
        my $called = $server->accept;
        my ($problem, $host) = Socket::getnameinfo($called->peername, Socket::NI_NAMEREQD(), Socket::NIx_NOSERV());
        print join " ", $called->peerhostname, $host, gethostbyaddr(Socket::inet_aton("127.0.0.1"), 2) // "nobody";
    """
    words[-1:] = ["-MIO::Socket::IP", "-e", program]
    done = subprocess.run(words, capture_output=True, text=True, check=False, timeout=60)
    assert (done.stdout, done.stderr) == ("127.0.0.1 127.0.0.1 nobody", "")


def test_spamd_needs_sockets() -> None:
    async def story() -> None:
        async with partners(st=11, partner=2, network="memory", alongside=True) as world:
            with pytest.raises((RuntimeError, FilterFailed)):
                await world.partner.serve_spamd()

    asyncio.run(story())


def test_spamd_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    async def story() -> None:
        async with partners(st=11, partner=2, network="memory", alongside=True) as world:
            with pytest.raises(FilterFailed, match="apt install"):
                await world.partner.serve_spamd()

    monkeypatch.setattr("labkit.lab.spamassassin.PLACES", ())
    monkeypatch.setattr("shutil.which", lambda name: None)
    asyncio.run(story())


@pytest.mark.needs("bogofilter")
def test_bogofilter(tmp_path: Path) -> None:
    filter = Bogofilter(tmp_path / "words")
    with pytest.raises(FilterFailed, match="train"):
        filter.score(b"Subject: x\n\ny\n")
    ham = [f"Subject: meeting {n}\n\nDear Ann, the minutes of our lecture\n".encode() for n in range(20)]
    spam = [
        f"Subject: win {n}\n\ncheap pills, casino bonus, act now\nFrom here\n".encode() for n in range(20)
    ]
    filter.train(ham, spam)
    found = filter.score_all(
        [b"Subject: win\n\ncasino pills bonus cheap\n", b"Subject: minutes\n\nlecture Ann\n"]
    )
    assert [each.is_spam for each in found] == [True, False]
    assert found[0].report.startswith("bogofilter: spam")

    async def story() -> None:
        async with partners(st=11, partner=2, network="memory", alongside=True) as world:
            served = await world.partner.serve_spamd(filter)
            assert [await served.score(spam[0])] == [Scored(1.0, 0.99, "", ("BOGOFILTER_SPAM",))]

    asyncio.run(story())


def test_what_is_no_scorer_ends_nothing() -> None:
    async def story() -> None:
        async with partners(network="memory", alongside=True) as world:
            served = await world.mine.serve_spamd(lambda message: Scored(1.0, 5.0, "", ()))
            with pytest.raises(
                TypeError, match="a scorer is a function from a message to Scored, not 'spamd'"
            ):
                await world.mine.serve_spamd("spamd")  # type: ignore[arg-type]
            assert served.is_running and (await served.score(HAM.encode())).score == 1.0

    asyncio.run(story())


def test_a_scorer_that_fails_is_no_refusal() -> None:
    def broken(message: bytes) -> Scored:
        raise ValueError("no")

    async def story() -> str:
        async with partners(st=11, partner=2, network="memory", alongside=True) as world:
            asyncio.get_running_loop().set_exception_handler(lambda loop, context: None)
            filtering(world.partner)
            await world.partner.reload()
            await world.partner.serve_spamd(broken)
            return await judged(world, HAM)

    assert "451 Temporary local problem" in asyncio.run(story())


@pytest.mark.parametrize("way", ["at once", "after a word", "reset"])
def test_a_spamd_that_hangs_up_disturbs_nobody(way: str) -> None:
    """The message waits, and no traceback is printed: hanging up may be faster than our saying that we are done."""

    class HangsUp(asyncio.Protocol):
        def connection_made(self, transport: asyncio.BaseTransport) -> None:
            assert isinstance(transport, asyncio.Transport)
            transport.write(b"SPAMD/1.1 0 EX_OK\r\n" if way == "after a word" else b"")
            (transport.abort if way == "reset" else transport.close)()

    async def story() -> list[dict[str, Any]]:
        trouble: list[dict[str, Any]] = []
        async with partners(st=11, partner=2, network="loopback", alongside=True) as world:
            asyncio.get_running_loop().set_exception_handler(lambda loop, context: trouble.append(context))
            filtering(world.partner)
            await world.partner.reload()
            listener = await world.network.listen(world.partner.address, 783, lambda peer: HangsUp())
            try:
                assert "451 Temporary local problem" in await judged(world, HAM)
            finally:
                listener.close()
        return trouble

    assert asyncio.run(story()) == []


@pytest.mark.needs("exim")
def test_both_engines_send_the_same_octets() -> None:
    """But for dates, ids, and the name of the program in Received:."""

    async def heard_by(engine: str) -> list[str]:
        heard: list[str] = []

        def recording(message: bytes) -> Scored:
            heard.append(message.decode("latin-1"))
            return Scored(1.0)

        async with partners(st=11, partner=2, engine={"partner": engine}, alongside=True) as world:
            filtering(world.partner)
            await world.partner.reload()
            await world.partner.serve_spamd(recording)
            for text in (HAM, HAM + "..\n.dot\nFrom here\n", HAM.replace("tea?\n", "t\u00e9a")):
                assert "=> bob" in await judged(world, text)
        return [_without_accidents(each) for each in heard]

    ours, theirs = asyncio.run(heard_by("labkit")), asyncio.run(heard_by("exim"))
    assert len(ours) == 3
    assert ours == theirs


def _without_accidents(text: str) -> str:
    text = re.sub(r"(?m)^(From \S+ ).*$", r"\1DATE", text, count=1)
    text = re.sub(r"\((?:Exim|labkit) [0-9.]+\)", "(MTA)", text)
    text = re.sub(r"(?m)[0-9]{2}:[0-9]{2}:[0-9]{2}", "TIME", text)
    return re.sub(r"\bE?[0-9A-Za-z]{6}-[0-9A-Za-z]{6}-[0-9A-Za-z]{2}\b", "ID", text)


def test_a_scorer_is_asked_outside_of_smtp() -> None:
    """Answers stand in the order of the questions; who asks hears how far it is; what ended says so."""

    async def story() -> None:
        async with partners(st=11, partner=2, network="memory", alongside=True) as world:
            served = await world.partner.serve_spamd(told)
            assert repr(served) == f"<told at 127.0.0.1 port 783 of {world.partner.name}, running>"
            assert served.started_in == 0
            letters = [f"Subject: {n}\n\n{GTUBE if n % 3 == 0 else 'tea'}\n".encode() for n in range(10)]
            heard: list[tuple[int, int]] = []
            found = await served.score_all(letters, lambda done, total: heard.append((done, total)))
            assert [each.score for each in found] == [9.0 if n % 3 == 0 else -1.0 for n in range(10)]
            assert heard == [(n, 10) for n in range(1, 11)]
            assert (await served.score(letters[0])).symbols == ("OURS",)
            assert await served.report(letters[0]) == "because\nit is so"
            await served.stop()
            await served.stop()
            assert not served.is_running and "stopped" in repr(served)
            with pytest.raises(FilterFailed, match="told does not answer"):
                await served.score(letters[0])

    asyncio.run(story())


def test_a_scorer_that_is_an_object_has_its_own_name() -> None:
    class Judge:
        name = "the judge"

        def __call__(self, message: bytes) -> Scored:
            return Scored(1.0, 5.0, "", ())

    async def story() -> None:
        async with partners(st=11, partner=2, network="memory", alongside=True) as world:
            assert (await world.partner.serve_spamd(Judge())).name == "the judge"
            del Judge.name
            assert (await world.partner.serve_spamd(Judge())).name == "Judge"

    asyncio.run(story())
