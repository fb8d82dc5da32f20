"""Worlds: their arguments, their clock, what they keep, and what an administrator does in them."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from collections.abc import Callable, Coroutine
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from labkit import partners
from labkit.eximconf.reader import ConfigurationError
from labkit.lab.clock import FIRST_MORNING
from labkit.lab.journal import read_journal
from labkit.lab.scenario_file import read_scenario
from labkit.lab.scenarios import partners_scenario
from labkit.lab.world import World, _engines
from labkit.mail.event import EventKind
from labkit.mail.message import Message
from labkit.net.loopback import Loopback
from labkit.net.network import LoopbackUnavailable
from labkit.routing.routers import RouteOutcome
from labkit.teach.show import show
from tests.audit import writing

Run = Callable[[Coroutine[Any, Any, Any]], Any]
ANN, BOB = "ann@st11.sne21.test", "bob@st2.sne21.test"


@pytest.fixture(params=["loopback", "memory"])
def network(request: pytest.FixtureRequest) -> str:
    return str(request.param)


# --- arguments ---


@pytest.mark.parametrize(
    "arguments, words",
    [
        ({"st": 0}, "student number 0"),
        ({"st": 255}, "student number 255"),
        ({"partner": -1}, "student number -1"),
        ({"st": 2}, "your own partner"),
        ({"apex": "test"}, "apex 'test'"),
        ({"apex": "SNE21.test"}, "small letters"),
        ({"apex": "sne 21.test"}, "apex"),
        ({"apex": ""}, "apex"),
        ({"apex": "-sne21.test"}, "apex"),
        ({"apex": f"{'a' * 64}.test"}, "apex"),
        ({"apex": ".".join(["abcdefgh"] * 40)}, "apex"),
        ({"address": "3.135.210"}, "no IPv4 address"),
        ({"address": "mx2.st11.sne21.test"}, "no IPv4 address"),
        ({"address": "127.0.0.1"}, "cannot be a lab host's"),
        ({"address": "0.0.0.0"}, "cannot be a lab host's"),
        ({"address": "203.0.113.2"}, "203.0.113.2"),  # the partner's
        ({"address": "198.51.100.11"}, "198.51.100.11"),  # the laptop's
        ({"address": "192.0.2.53"}, "192.0.2.53"),  # the nameserver's
        ({"address": "8.51.100.11"}, "cannot be in one lab"),
        ({"network": "wifi"}, "auto, loopback or memory"),
    ],
)
def test_arguments_that_cannot_be(arguments: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        partners(**arguments)


@pytest.mark.parametrize("arguments", [{"st": "11"}, {"st": 11.5}, {"partner": None}])
def test_numbers_are_whole_numbers(arguments: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="whole number"):
        partners(**arguments)


def test_a_refused_world_leaves_nothing(tmp_path: Path, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))

    async def story() -> None:
        with pytest.raises(ValueError, match="cannot be in one lab"):
            partners(address="8.51.100.11")
        with pytest.raises(ValueError, match="cannot be in one lab"):
            partners(address="8.51.100.11", folder=tmp_path / "mine")

    run(story())
    assert list(tmp_path.iterdir()) == []


def test_another_apex_and_real_addresses(network: str, run: Run) -> None:
    """A student's own zone, with the addresses that stand in it."""

    async def story() -> None:
        async with partners(
            st=7,
            partner=9,
            apex="sne21.ru",
            address="3.135.210.50",
            partner_address="18.189.171.89",
            network=network,
        ) as world:
            await world.laptop.send("bob@st9.sne21.ru", "far away", "text\n")
            await world.partner.send("bob@st9.sne21.ru", "ann@st7.sne21.ru", "Subject: back\n\ntext\n")
            (there,) = world.partner.mailbox("bob")
            (back,) = world.mine.mailbox("ann")
            received = [field.value for field in there.all("Received")]
            assert received[0].startswith("from [3.135.210.50] (helo=mx2.st7.sne21.ru)\tby mx2.st9.sne21.ru")
            assert received[1].startswith("from [198.51.100.7] (helo=laptop.st7.sne21.ru)\tby mx2.st7.sne21")
            assert "from [18.189.171.89] (helo=mx2.st9.sne21.ru)" in next(back.all("Received")).value
            assert "H=mx2.st9.sne21.ru [18.189.171.89]" in world.mine.log()
            assert "127." not in world.mine.log() + world.partner.log()

    run(story())


def test_eight_bits_in_subject_and_text(network: str, run: Run) -> None:
    async def story() -> None:
        async with partners(network=network) as world:
            sent = await world.laptop.send(BOB, "Grüße aus Иннополис", "Привет\n")
            assert sent.queue_id
            (letter,) = world.partner.mailbox("bob")
            assert letter.first(
                "Subject",
            ) == sent.mail_object.message.first("Subject")
            assert "Привет".encode() in letter.body

    run(story())


@pytest.mark.parametrize("size", [1, 2, 3, 40, 1000])
def test_a_header_with_many_addresses(run: Run, size: int) -> None:
    """Folded where RFC 5322 §2.1.1 wants it: else no host would take the line."""

    async def story() -> None:
        async with partners(network="memory") as world:
            everybody = [f"reader{number}@st2.sne21.test" for number in range(size)]
            subject = "word " * size + "end  of subject"
            letter = world.laptop.compose(", ".join(everybody), subject, "text\n")
            assert letter.first("To") == ", ".join(everybody)
            assert letter.first("Subject") == subject
            assert max(map(len, bytes(letter).split(b"\r\n"))) <= 78
            assert b"\r\n \r\n" not in bytes(letter)
            if size == 40:
                world.partner.add_account("reader39")
                await world.laptop.send(everybody, subject, "text\n")
                assert len(world.partner.mailbox("reader39")) == 1

    run(story())


# --- the clock ---


def test_advance_goes_exactly_so_far(network: str, run: Run) -> None:
    async def story() -> None:
        async with partners(network=network) as world:
            assert world.now() == FIRST_MORNING
            for span in ({"days": 5}, {"hours": 1.5}, {"minutes": 0}, {"weeks": 1, "seconds": 1}):
                before = world.now()
                await world.advance(**span)
                assert world.now() - before == timedelta(**span)
            with pytest.raises(ValueError, match="cannot go back"):
                await world.advance(hours=-1)
            with pytest.raises(TypeError):
                await world.advance(fortnights=1)
            spoken = [event.text for event in world.journal.where(EventKind.CLOCK)]
            assert spoken[:2] == ["5 days passed", "1 hour 30 minutes passed"]

    run(story())


def test_five_days_in_a_moment(network: str, run: Run) -> None:
    """Everything on the way happens at its instant, in order."""

    async def story() -> None:
        async with partners(network=network) as world:
            await world.partner.stop()
            await world.laptop.send(BOB, "in vain")
            await world.advance(days=5)
            events = list(world.journal)
            assert [event.at for event in events] == sorted(event.at for event in events)
            assert len({event.at for event in events if event.kind is EventKind.DEFERRED}) > 30
            assert world.mine.queue == ()
            *warnings, report = world.mine.mailbox("ann")
            assert report.first("Subject") == "Mail delivery failed: returning message to sender"
            delayed = [(letter.first("Subject") or "").split()[-2:] for letter in warnings]
            assert delayed == [["24", "hours"], ["48", "hours"], ["72", "hours"]], "delay_warning is 24h"

    run(story())


def test_without_a_queue_runner_deferred_mail_waits(network: str, run: Run) -> None:
    async def story() -> None:
        async with partners(network=network, queue_interval=None) as world:
            await world.partner.stop()
            await world.laptop.send(BOB, "waits")
            await world.partner.start()
            await world.advance(days=2)
            assert len(world.mine.queue) == 1
            assert world.partner.mailbox("bob") == []
            await world.mine.run_queue()
            assert world.mine.queue == ()
            assert len(world.partner.mailbox("bob")) == 1

    run(story())


def test_a_queue_run_before_the_retry_time_tries_nothing(run: Run) -> None:
    """Two clocks must agree: the retry time and the queue run. exim -qff asks neither."""

    async def story() -> None:
        async with partners(network="memory", queue_interval=None) as world:
            await world.partner.stop()
            sent = await world.laptop.send(BOB, "waits")
            await world.partner.start()
            await world.advance(minutes=14)
            await world.mine.run_queue()
            assert len(world.mine.queue) == 1
            await world.mine.force(sent.queue_id or "")
            assert world.mine.queue == ()
            with pytest.raises(KeyError, match="no message"):
                await world.mine.force(sent.queue_id or "")

    run(story())


def test_an_administrator_waits_for_the_answer(network: str, run: Run) -> None:
    """`exim -bt` and `exim -q` return when they are done, even if the network lets them wait."""

    async def story() -> None:
        async with partners(network=network) as world:
            world.nameserver.silent()
            found = await world.mine.route(BOB)
            assert found.outcome is RouteOutcome.DEFERRED
            assert world.now() - FIRST_MORNING == timedelta(seconds=10)
            world.nameserver.silent(on=False)
            world.network.silence(world.partner.address)
            sent = await world.laptop.send(BOB, "to a silent host")
            before = world.now()
            await world.mine.force(sent.queue_id or "")  # the first attempt still waits: nothing to do
            await world.advance(minutes=5)
            await world.mine.force(sent.queue_id or "")
            assert world.now() - before == timedelta(minutes=10)
            assert len(world.mine.queue) == 1

    run(story())


# --- starting and stopping ---


def test_stop_and_start_a_host(network: str, run: Run) -> None:
    async def story() -> None:
        async with partners(network=network) as world:
            host = world.partner
            await host.stop()
            await host.stop()
            assert not host.is_running
            with pytest.raises(ConnectionRefusedError):
                await world.laptop.send(BOB, host=host.name)
            with pytest.raises(ConnectionRefusedError):
                host.open_session(world.laptop)
            await host.start()
            await host.start()
            assert (await world.laptop.send(BOB, host=host.name)).queue_id
            assert len(host.mailbox("bob")) == 1
            kinds = [event.kind for event in world.journal if event.host == host.name]
            assert kinds.count(EventKind.STARTED) == 2
            assert kinds.count(EventKind.STOPPED) == 1

    run(story())


def test_a_host_handed_mail_while_stopped_sends_it_later(network: str, run: Run) -> None:
    async def story() -> None:
        async with partners(network=network) as world:
            await world.mine.stop()
            await world.mine.send(ANN, BOB, "Subject: from the command line\n\ntext\n")
            assert len(world.mine.queue) == 1
            await world.mine.start()
            await world.settle()
            assert len(world.partner.mailbox("bob")) == 1

    run(story())


def test_a_world_can_be_stopped_at_any_time(network: str, run: Run) -> None:
    """Also twice, also before it started, also while something waits."""

    async def story() -> None:
        never_started = partners(network=network)
        await never_started.stop()
        world = await partners(network=network).start()
        world.network.silence(world.partner.address)
        world.nameserver.silent()
        await world.laptop.send(BOB, "waits for an answer")
        typed = world.mine.open_session(world.laptop)
        await typed.type("EHLO x")
        await world.stop()
        await world.stop()
        assert not world.is_running
        assert not world.folder.exists()
        assert len(world.journal.where(EventKind.RECEIVED)) == 1
        assert "stopped" in repr(world)
        with pytest.raises(KeyError, match="is it started"):
            world.host("mx2.st11.sne21.test")
        for over in (world, never_started):
            with pytest.raises(RuntimeError, match="make a new one"):
                await over.start()

    run(story())


def test_names_that_do_not_exist(run: Run) -> None:
    async def story() -> None:
        async with partners(network="memory") as world:
            with pytest.raises(KeyError, match=r"there are mx2\.st11\.sne21\.test"):
                world.host("mx9")
            with pytest.raises(RuntimeError, match="no sockets"):
                world.real(world.mine.address, 25)

    run(story())


# --- resuming ---


def test_resume(network: str, run: Run, tmp_path: Path) -> None:
    async def first() -> tuple[Any, ...]:
        async with partners(network=network, folder=tmp_path) as world:
            await world.laptop.send(BOB, "delivered")
            await world.partner.stop()
            await world.laptop.send(BOB, "waits")
            world.mine.write_configuration(world.mine.configuration + "\n# edited\n")
            await world.advance(minutes=20)
            return world.mine.queue, world.now(), list(world.journal)

    async def second(queue: tuple[Any, ...], now: Any, journal: list[Any]) -> None:
        async with partners(network=network, folder=tmp_path) as world:
            assert list(world.journal)[: len(journal)] == journal
            assert world.now() == now
            assert world.mine.configuration.endswith("# edited\n")
            assert world.mine.log().count("daemon started") == 2
            assert [item.queue_id for item in world.mine.queue] == [item.queue_id for item in queue]
            assert len(world.partner.mailbox("bob")) == 1
            await world.advance(hours=1)  # the hints were kept: tried again when its time came
            assert len(world.partner.mailbox("bob")) == 2
            sent = await world.laptop.send(BOB, "one more")
            ids = [event.queue_id for event in world.journal.where(EventKind.RECEIVED)]
            assert len(set(ids)) == len(ids)
            assert sent.queue_id
            numbers = [event.number for event in world.journal]
            assert numbers == list(range(1, len(numbers) + 1))

    run(second(*run(first())))
    assert (tmp_path / "journal").exists()


def test_a_folder_has_one_world_at_a_time(run: Run, tmp_path: Path) -> None:
    async def story() -> None:
        async with partners(network="memory", folder=tmp_path):
            second = partners(network="memory", folder=tmp_path)
            with pytest.raises(OSError, match="belongs to process"):
                await second.start()
            await second.stop()
        async with partners(network="memory", folder=tmp_path) as world:
            await world.laptop.send(BOB)

    run(story())


def test_a_torn_journal_is_mended(run: Run, tmp_path: Path) -> None:
    async def life() -> int:
        async with partners(network="memory", folder=tmp_path) as world:
            await world.laptop.send(BOB)
        return len(world.journal)

    before = run(life())
    with (tmp_path / "journal").open("ab") as file:
        file.write(b'{"number": 999, "at": "2026-')
    assert len(read_journal(tmp_path / "journal")) == before, "a reader gets what is complete"
    assert run(life()) > before
    events = read_journal(tmp_path / "journal")
    assert [event.number for event in events] == list(range(1, len(events) + 1))


def test_the_journal_is_read_by_another_process_meanwhile(run: Run, tmp_path: Path) -> None:
    reader = (
        "import sys; from pathlib import Path; from labkit.lab.journal import read_journal\n"
        "events = read_journal(Path(sys.argv[1]))\n"
        "print(len(events), sum(e.kind.value == 'delivered' for e in events))"
    )

    async def read() -> list[int]:
        command = [sys.executable, "-c", reader, str(tmp_path / "journal")]
        said = await asyncio.to_thread(subprocess.run, command, capture_output=True, text=True, timeout=20)
        assert said.returncode == 0, said.stderr
        return [int(word) for word in said.stdout.split()]

    async def story() -> None:
        async with partners(network="memory", folder=tmp_path) as world:
            await world.laptop.send(BOB)
            assert await read() == [len(world.journal), 2]
            typed = world.mine.open_session(world.laptop)  # nothing settles here: it is on disk all the same
            await typed.banner()
            assert await read() == [len(world.journal), 2]

    run(story())


# --- configuration ---


def test_a_broken_configuration_is_refused(network: str, run: Run) -> None:
    async def story() -> None:
        async with partners(network=network) as world:
            good = world.mine.configuration
            for old, new, words in [
                ("driver    = dnslookup", "driver    = dnslooku", "dnslookup"),
                ("check_local_user", "check_locl_user", "check_local_user"),
                ("domainlist local_domains", "domainlst local_domains", "option"),
                ("begin retry", "begin retries", "retry"),
                ("F,2h,15m", "F,2h,15x", "15m"),
            ]:
                assert old in good
                line = 1 + good[: good.index(old)].count("\n")
                world.mine.write_configuration(good.replace(old, new, 1))
                with pytest.raises(ConfigurationError, match=words) as caught:
                    await world.mine.reload()
                assert str(caught.value).startswith(f"exim.conf, line {line}: "), str(caught.value)
                assert (await world.laptop.send(BOB)).queue_id, "the old one stays"
            await world.mine.stop()
            with pytest.raises(ConfigurationError):
                await world.mine.start()
            assert not world.mine.is_running
            world.mine.write_configuration(good)
            await world.mine.start()
            assert (await world.laptop.send(BOB)).queue_id
            assert len(world.partner.mailbox("bob")) == 6

    run(story())


def test_new_sessions_see_the_new_configuration(network: str, run: Run) -> None:
    async def story() -> None:
        async with partners(network=network) as world:
            await world.laptop.send("eve@st11.sne21.test", "before")
            text = world.mine.configuration
            text = text.replace("accept  hosts   = +relay_from_hosts", "deny message = closed today")
            world.mine.write_configuration(text)
            assert (await world.laptop.send(BOB)).queue_id, "not read yet"
            await world.mine.reload()
            assert str(await world.laptop.send(BOB)) == f"{BOB}: 550 closed today"

    run(story())


def test_accounts(run: Run) -> None:
    async def story() -> None:
        async with partners(network="memory") as world:
            for name in ("../etc", "Ann", "a b", "", "root/x", "ann\n"):
                with pytest.raises(ValueError, match="account name"):
                    world.mine.add_account(name)
            world.mine.add_account("ivan")
            await world.laptop.send("ivan@st11.sne21.test", "welcome")
            assert len(world.mine.mailbox("ivan")) == 1
            assert world.mine.mailbox("ann") == []
            with pytest.raises(LookupError, match="nobody"):
                world.mine.mailbox("nobody")

    run(story())


def test_a_maildir(network: str, run: Run) -> None:
    async def story() -> None:
        async with partners(network=network) as world:
            text = world.partner.configuration.replace(
                "file   = /var/mail/$local_part_data",
                "directory = /var/mail/$local_part_data\n  maildir_format",
            )
            world.partner.write_configuration(text)
            await world.partner.reload()
            for number in range(3):
                await world.laptop.send(BOB, f"number {number}")
            letters = world.partner.mailbox("bob")
            assert [letter.first("Subject") for letter in letters] == ["number 0", "number 1", "number 2"]
            assert world.partner.queue == ()

    run(story())


# --- what goes wrong inside ---


def test_a_mistake_in_one_delivery_stops_no_other(
    network: str, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A message on which labkit itself fails stays in the queue; the queue runner goes on with the others."""
    from labkit.mta.delivery_run import DeliveryRun

    carry_out = DeliveryRun.carry_out

    async def fail(run: DeliveryRun) -> None:
        if b"poison" in run.item.content:
            raise ZeroDivisionError("a mistake of ours")
        await carry_out(run)

    monkeypatch.setattr(DeliveryRun, "carry_out", fail)

    async def story() -> None:
        async with partners(network=network) as world:
            await world.partner.stop()
            for subject in ("poison", "good 1", "poison", "good 2"):
                await world.laptop.send(BOB, subject)
            await world.partner.start()
            await world.advance(hours=1)
            subjects = [letter.first("Subject") for letter in world.partner.mailbox("bob")]
            assert subjects == ["good 1", "good 2"]
            assert len(world.mine.queue) == 2
            troubles = world.journal.where(EventKind.PROBLEM, host=world.mine.name)
            assert {event.text for event in troubles} == {"ZeroDivisionError('a mistake of ours')"}
            assert {event.queue_id for event in troubles} <= {item.queue_id for item in world.mine.queue}
            assert "internal problem: ZeroDivisionError" in world.mine.log()
            monkeypatch.undo()
            await world.advance(hours=1)
            assert len(world.partner.mailbox("bob")) == 4

    run(story())


def test_a_run_that_breaks_off_delivers_nothing_twice(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """Bob has it; then the report about nobody cannot be written. The next run must not serve Bob again."""
    from labkit.net.spool import Spool

    accept = Spool.accept

    def full(spool: Spool, item: Any, on_durable: Callable[[OSError | None], None]) -> None:
        if item.is_report:
            on_durable(OSError(28, "No space left on device"))
        else:
            accept(spool, item, on_durable)

    async def story() -> None:
        async with partners(network="memory") as world:
            monkeypatch.setattr(Spool, "accept", full)
            await world.laptop.send([BOB, "nobody@st2.sne21.test"], "to both")
            assert len(world.partner.mailbox("bob")) == 1
            assert len(world.mine.queue) == 1
            await world.advance(hours=1)
            monkeypatch.undo()
            assert world.mine.mailbox("ann") == []
            await world.advance(hours=1)
            assert len(world.mine.mailbox("ann")) == 1, "the report is sent when there is room"
            assert len(world.partner.mailbox("bob")) == 1, "and Bob has it once"
            assert world.mine.queue == ()

    run(story())


def test_a_message_that_cannot_be_sent_leaves_no_session(network: str, run: Run) -> None:
    async def story() -> None:
        async with partners(network=network) as world:
            with pytest.raises(ValueError, match="bare CR or LF"):
                await world.laptop.send(BOB, message=Message((), b"", b"a\nb\r\n"))
            for _ in range(10):
                await asyncio.sleep(0.001)
            assert world.mine.mta.intake.sessions == set()
            assert (await world.laptop.send(BOB)).queue_id

    run(story())


# --- typing SMTP by hand ---


async def typed(world: World, *lines: str) -> list[str]:
    session = world.mine.open_session(world.laptop)
    said = [exchange.text for exchange in await session.banner()]
    for line in lines:
        said += [exchange.text for exchange in await session.type(line) if exchange.speaker == "S"]
    return said


def test_typing_a_message(network: str, run: Run) -> None:
    async def story() -> None:
        async with partners(network=network) as world:
            said = await typed(
                world,
                "EHLO laptop.st11.sne21.test",
                f"MAIL FROM:<{ANN}>",
                f"RCPT TO:<{BOB}>",
                "DATA",
                "Subject: by hand",
                "",
                ".hidden dot? no: one is eaten",
                "..",
                ".",
                "QUIT",
            )
            assert said[0].startswith("220 mx2.st11.sne21.test ESMTP")
            codes = [line[:3] for line in said if line[3] == " "]
            assert codes == ["220", "250", "250", "250", "354", "250", "221"]
            (letter,) = world.partner.mailbox("bob")
            assert letter.body == b"hidden dot? no: one is eaten\r\n.\r\n"
            assert letter.first("Subject") == "by hand"

    run(story())


def test_typing_what_is_wrong(run: Run) -> None:
    async def story() -> None:
        async with partners(network="memory") as world:
            session = world.mine.open_session(world.laptop)
            for line in ("NOOP\r\nQUIT", "NOOP\n", "a\rb"):
                with pytest.raises(ValueError, match="one line at a time"):
                    await session.type(line)
            (client, server) = await session.type("HELLO?")
            assert (client.speaker, client.text) == ("C", "HELLO?")
            assert server.text == "500 unrecognized command"
            assert (await session.type("MAIL FROM:<ä@b.test>"))[1].text[:3] in ("503", "501")
            assert (await session.type("\x00"))[1].text.startswith("501 NUL")
            last = await session.type("QUIT")
            assert last[-1].text.startswith("221 ")
            assert session.is_over
            assert await session.type("NOOP") == ()

    run(story())


def test_a_reload_listens_on_the_new_ports(network: str, run: Run) -> None:
    async def story() -> None:
        async with partners(network=network) as world:
            text = world.partner.configuration.replace(
                "acl_smtp_rcpt", "daemon_smtp_ports = 587\nacl_smtp_rcpt"
            )
            world.partner.write_configuration(text)
            await world.partner.reload()
            await world.settle()
            with pytest.raises(ConnectionRefusedError):
                await world.laptop.send("bob@st2.sne21.test", host=world.partner.name)
            sent = await world.laptop.send("bob@st2.sne21.test", host=world.partner.name, port=587)
            assert sent.queue_id
            assert len(world.partner.mailbox("bob")) == 1

    run(story())


def test_what_a_stopped_lab_says(network: str, run: Run) -> None:
    async def story() -> None:
        world = partners(network=network)
        with pytest.raises(RuntimeError, match=r"await world\.start"):
            world.laptop  # noqa: B018
        await world.start()
        session = world.partner.open_session(world.laptop)
        await session.type("EHLO laptop")
        await world.stop()
        assert session.is_over, "a session typed by hand ends with its host"
        with pytest.raises(ConnectionRefusedError, match="start it first"):
            session.again()
        with pytest.raises(RuntimeError, match="not running: make a new one") as caught:
            world.mine  # noqa: B018
        (shown,) = caught.value._render_traceback_()
        assert shown.startswith("LabStopped: the lab is not running"), "one sentence, no traceback"

    run(story())


def test_without_loopback_the_lab_is_in_memory_and_says_so(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    def nowhere(*_: object) -> int:
        raise LoopbackUnavailable("This machine has no loopback address 127.0.113.11.")

    monkeypatch.setattr(Loopback, "claim", nowhere)

    async def story() -> None:
        async with partners() as world:
            assert world.network.name == "memory"
            assert "no loopback address" in world.why_memory
            assert (await world.laptop.send(BOB)).queue_id
            assert "in memory, so other programs cannot take part" in str(show(world))
            with pytest.raises(RuntimeError, match="no sockets"):
                world.partner.endpoint()
        with pytest.raises(LoopbackUnavailable):
            await partners(network="loopback").start()

    run(story())


def test_the_queue_listing_is_exims(run: Run) -> None:
    async def story() -> None:
        async with partners(network="memory") as world:
            await world.partner.stop()
            sent = await world.laptop.send([BOB, "ann@st11.sne21.test"], "waits", "x" * 70 + "\n")
            (item,) = world.mine.queue
            assert world.mine.queue_listing() == (
                f" 0m   {item.size} {sent.queue_id} <ann@st11.sne21.test>\n"
                f"          {BOB}\n        D ann@st11.sne21.test\n\n"
            )
            await world.advance(hours=30)
            assert world.mine.queue_listing().startswith("30h ")

    run(story())


def test_a_configuration_has_macros_and_included_files(run: Run) -> None:
    async def story() -> None:
        async with partners(network="memory") as world:
            mine = world.mine
            mine.path("/etc/exim").mkdir()
            mine.path("/etc/exim/lists").write_text("domainlist more_domains = MINE : *.MINE\n")
            text = mine.configuration.replace("+local_domains", "+more_domains")
            mine.write_configuration(f"MINE = st11.sne21.test\n.include /etc/exim/lists\n{text}")
            await mine.reload()
            await world.laptop.send(ANN, "to myself")
            assert len(mine.mailbox("ann")) == 1
            mine.write_configuration(f".include /etc/exim/none\n{text}")
            with pytest.raises(ConfigurationError, match="No such file"):
                await mine.reload()
            mine.write_configuration(f".include /etc/../../secret\n{text}")
            with pytest.raises(ConfigurationError, match="leaves the host's disk"):
                await mine.reload()

    run(story())


def test_names_that_do_not_exist_are_named(run: Run) -> None:
    async def story() -> None:
        async with partners(network="memory") as world:
            assert world.host("mx2.st2") is world.partner
            with pytest.raises(KeyError, match=r"there are mx2\.st11"):
                world.host("mx2")
            with pytest.raises(ValueError, match=r"no machine of this lab has the address 10\.0\.0\.1"):
                world.capture("10.0.0.1")
            with pytest.raises(ValueError, match=r"without \.\."):
                world.mine.path("../../x")
            await world.laptop.send(BOB, "Hello", "Does this arrive?")
            (letter,) = world.partner.mailbox("bob")
            assert "\r" not in str(letter) and str(letter).endswith("\n\nDoes this arrive?\n")
            assert "C: MAIL FROM:<ann@st11.sne21.test>" in world.capture(world.laptop, world.mine).text()

    run(story())


def test_which_engine_by_a_switch(monkeypatch: pytest.MonkeyPatch) -> None:
    two, with_an_outsider = partners_scenario(), read_scenario("backup_mx", {})
    monkeypatch.setenv("LABKIT_ENGINE", "exim")
    assert set(_engines(None, two).values()) == {"exim"}
    assert list(_engines({"student": "labkit"}, two).values()) == ["labkit", "exim"]
    assert _engines(None, with_an_outsider)["mx.bigmail.test"] == "outside", "nobody's Exim stays that"
    monkeypatch.setenv("LABKIT_ENGINE", "postfix")
    with pytest.raises(ValueError, match=r"LABKIT_ENGINE='postfix': it is labkit or exim"):
        _engines(None, two)


ROUTER_TO_FILES = """begin routers
files:
  driver              = redirect
  domains             = +local_domains
  data                = ${lookup{$local_part}lsearch{/etc/aliases}}
  file_transport      = to_file
  directory_transport = to_folder

"""
TRANSPORTS_TO_FILES = """begin transports
to_file:
  driver      = appendfile
  create_file = anywhere
to_folder:
  driver      = appendfile
  create_file = anywhere
  maildir_format

"""


def test_a_world_writes_in_its_own_folder_and_nowhere_else(run: Run, tmp_path: Path, network: str) -> None:
    """Whatever an administrator or a stranger names: `..`, links that lead out, paths of this machine."""
    tmp_path = tmp_path.resolve()
    outside, inside = tmp_path / "outside", tmp_path / "world"
    outside.mkdir()

    async def story() -> list[str]:
        async with partners(network=network, folder=inside, alongside=True) as world:
            mine = world.mine
            (mine.folder / "var/mail").mkdir(parents=True, exist_ok=True)
            (mine.folder / "var/mail/link").symlink_to(outside)
            names = (
                f"/../../../../..{outside}/box",
                f"/var/mail/../../../../../..{outside}/box",
                "/var/mail/link/box",
                "/var/mail/link/maildir/",
                f"{outside}/box",
                "/var/mail/honest",
            )
            lines = [f"n{number}: {name}" for number, name in enumerate(names)]
            mine.path("/etc/aliases").write_text("\n".join(["postmaster: ann", *lines, ""]), encoding="utf-8")
            text = mine.configuration.replace("begin routers\n", ROUTER_TO_FILES, 1)
            mine.write_configuration(text.replace("begin transports\n", TRANSPORTS_TO_FILES, 1))
            await mine.reload()
            for number in range(len(names)):
                await world.partner_laptop.send(f"n{number}@st11.sne21.test", "x", "y\n")
            for local_part in ("../../x", f"..{outside}/y", "ann/../../z", "ann"):
                await world.partner_laptop.send(f"{local_part}@st11.sne21.test", "x", "y\n")
            await world.advance(hours=1)
            with pytest.raises(ValueError, match=r"\.\."):
                mine.path(f"/../../..{outside}/file")
            return [line for line in mine.log().splitlines() if " => " in line]

    with writing() as places:
        delivered = run(story())
    assert sum("<n5@" in line or "<ann@" in line for line in delivered) >= 2, delivered
    made = {
        os.path.join(os.path.realpath(os.path.dirname(place)), os.path.basename(place))
        for place in places
        if os.path.isabs(place) and place != os.devnull  # what is named from an open folder is below that
    }
    sign = f"/labkit-of-{os.geteuid()}"  # where `labkit run` finds the worlds of a user: doorplate.py
    strange = {
        place
        for place in made
        if not Path(place).is_relative_to(inside) and "__pycache__" not in place and sign not in place
    }
    assert len(made) > 20, "it did write, and was seen"
    assert strange - {str(inside)} == set()
    assert {path.name for path in tmp_path.iterdir()} == {"outside", "world"}
    assert list(outside.iterdir()) == []
