"""A real Exim lives in the lab: addresses, accounts, time, queue and journal are the lab's."""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import smtplib
import socket
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import pytest

from labkit import neighbours, partners
from labkit.eximconf.reader import ConfigurationError
from labkit.lab import exim_engine
from labkit.lab.engine import NoSuchMessage, NotThisEngine
from labkit.lab.exim_engine import EximEngine
from labkit.lab.world import World
from labkit.mail.event import EventKind, MailEvent
from labkit.net.programs.exim_found import EximMissing, find_exim
from labkit.routing.routers import RouteOutcome

pytestmark = pytest.mark.needs("exim", "gcc")

Run = Callable[[Coroutine[Any, Any, Any]], Any]
ANN, BOB = "ann@st11.sne21.test", "bob@st2.sne21.test"


def a_world(**options: Any) -> World:
    return partners(network="loopback", alongside=True, **{"engine": "exim", **options})


def facts(world: World, **details: Any) -> list[MailEvent]:
    return [e for e in world.journal.where(**details) if e.kind.is_fact]


def living(folder: Path) -> list[str]:
    """The command lines of processes that know this folder: by their environment or their arguments."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if int(process.name) == os.getpid():
                continue
            known = (process / "cmdline").read_bytes() + (process / "environ").read_bytes()
            if str(folder).encode() in known:
                found.append((process / "cmdline").read_bytes().replace(b"\0", b" ").decode())
    return found


# --- a message travels ---


def test_a_message_travels_and_both_logs_tell_it(run: Run) -> None:
    async def story() -> None:
        async with a_world() as world:
            sent = await world.laptop.send(BOB, "Hello", "Does this arrive?")
            assert sent.queue_id is not None
            assert re.search(
                rf"{sent.queue_id} <= {ANN} H=\(laptop\S+\) \[198.51.100.11\] P=esmtp", world.mine.log()
            )
            (letter,) = world.partner.mailbox("bob")
            assert letter.first("Delivery-date") == "Mon, 07 Sep 2026 09:00:00 +0000", (
                "lab time, to the second"
            )
            received = [str(field.value) for field in letter.all("Received")]
            assert [("203.0.113.11" in one, "198.51.100.11" in one) for one in received] == [
                (True, False),
                (False, True),
            ]
            told = [(e.host.split(".")[1], e.kind.value) for e in world.journal.facts()]
            assert told[2:] == [
                ("st11", "received"),
                ("st2", "received"),
                ("st11", "delivered"),
                ("st11", "completed"),
                ("st2", "delivered"),
                ("st2", "completed"),
            ]
            delivered = world.journal.where(EventKind.DELIVERED)
            assert [(e.recipient, e.router, e.transport) for e in delivered] == [
                (BOB, "others", "by_smtp"),
                (BOB, "ours", "into_mailbox"),
            ]
            assert {e.at for e in world.journal.facts()} == {world.now()}
            journey = world.journey(sent.mail_object.message)
            assert {e.host for e in journey.events} == {world.mine.name, world.partner.name}

    run(story())


@pytest.mark.parametrize("exim", ["student", "partner"])
def test_a_mixed_world_has_one_time_and_one_order(run: Run, exim: str) -> None:
    async def told(engine: dict[str, str]) -> list[tuple[str, ...]]:
        async with a_world(engine=engine) as world:
            await world.laptop.send(BOB, "Hello", "x")
            await world.partner.stop()
            await world.laptop.send(BOB, "Again", "y")
            await world.advance(hours=1)
            await world.partner.start()
            await world.advance(hours=1)
            assert len(world.partner.mailbox("bob")) == 2
            dates = [letter.first("Delivery-date") for letter in world.partner.mailbox("bob")]
            assert dates == ["Mon, 07 Sep 2026 09:00:00 +0000", "Mon, 07 Sep 2026 10:15:00 +0000"]
            events = [
                e for e in world.journal.facts() if e.kind not in (EventKind.STARTED, EventKind.STOPPED)
            ]
            once = [e for e in events if "retry time not reached" not in (e.text or "")]
            # what two machines do at one time has no order: Exim's processes run side by side
            return sorted((e.at.isoformat(), e.host, e.kind.value, e.recipient or "") for e in once)

    mixed = run(told({exim: "exim"}))
    pure = run(told({}))
    assert mixed == pure


def test_the_commands_are_the_same_on_both_engines(run: Run) -> None:
    async def story(engine: str) -> list[Any]:
        async with a_world(engine=engine) as world:
            said: list[Any] = []
            route = await world.mine.route(BOB)
            first = route.first
            said.append((route.outcome, first.router, first.transport, first.next_hops))
            said.append((await world.mine.route("x@nowhere.invalid")).outcome)
            said.append((await world.mine.route("nobody9@st11.sne21.test")).outcome)
            said.append(str(await world.mine.exim("-bt", BOB)))
            await world.partner.stop()
            sent = await world.laptop.send(BOB, "Later", "You are down.")
            assert sent.queue_id is not None
            hide = re.compile(r"\d[0-9A-Za-z]{5}-[0-9A-Za-z]{6}-[0-9A-Za-z]{2}")
            listing = hide.sub("ID", world.mine.queue_listing())
            said.append(re.sub(r"^( \d\w) +\S+", r"\1 SIZE", listing))
            said.append(re.sub(r"^ +1 +\d+", "    1 SIZE", world.mine.queue_summary(), flags=re.MULTILINE))
            said.append((await world.mine.exim("-bpc")).text)
            (item,) = world.mine.queue
            said.append((item.envelope, item.remaining, item.origin.helo_name, item.origin.protocol))
            entry = world.mine.spool_entry(sent.queue_id)
            assert entry.envelope_file.startswith(f"{sent.queue_id}-H\n")
            said.append(entry.body_file.partition("\n")[2])
            await world.partner.start()
            await world.mine.run_queue()
            said.append(len(world.partner.mailbox("bob")))
            await world.mine.run_queue(domain="elsewhere.test")
            said.append(len(world.partner.mailbox("bob")))
            await world.mine.run_queue(domain="st2.sne21")
            said.append(len(world.partner.mailbox("bob")))
            with pytest.raises(NoSuchMessage, match="see queue_listing"):
                await world.mine.force(sent.queue_id)
            await world.partner.stop()
            for way in ("force", "-qf"):
                await world.partner.stop()
                again = await world.laptop.send(BOB, way, "x")
                await world.partner.start()
                if way == "force":
                    assert again.queue_id is not None
                    await world.mine.force(again.queue_id)
                else:
                    await world.mine.run_queue(forced=True)
                said.append(len(world.partner.mailbox("bob")))
            queue_id = await world.mine.send("ann@st11.sne21.test", BOB, "Subject: local\n\nx\n")
            assert queue_id in world.mine.log()
            (letter,) = world.partner.mailbox("bob")[-1:]
            said.append(" ".join([*letter.all("Received")][-1].value.split()[:2]))
            return said

    on_exim, on_labkit = run(story("exim")), run(story("labkit"))
    assert on_exim == on_labkit
    assert on_exim[-7:] == [0, 0, 1, 2, 3, "from ann"] or on_exim[-6:] == [0, 0, 1, 2, 3, "from ann"]


def test_the_queue_summary_is_exiqsumms(run: Run, require: Callable[[str], str]) -> None:
    program = require("exiqsumm")

    async def story() -> None:
        async with a_world(engine={"student": "exim"}) as world:
            await world.partner.stop()
            for recipients in ([BOB], ["carl@st2.sne21.test", BOB], ["x@a.st2.sne21.test"]):
                await world.laptop.send(recipients, "x", "text " * 3000)
                await world.advance(hours=7)
            listing = world.mine.queue_listing()
            wanted = subprocess.run(
                [program], input=listing, capture_output=True, text=True, check=True
            ).stdout
            assert world.mine.queue_summary() == wanted

    run(story())


# --- time ---


@pytest.mark.alone
def test_days_pass_with_warnings_and_the_bounce(run: Run) -> None:
    async def story() -> None:
        async with a_world() as world:
            await world.partner.stop()
            sent = await world.laptop.send(BOB, "Later", "You are down.")
            began = time.monotonic()
            await world.advance(days=5)
            took = time.monotonic() - began
            print(f"five days: {took:.1f} s")
            assert took < 15
            subjects = [letter.first("Subject") for letter in world.mine.mailbox("ann")]
            delayed = f"Warning: message {sent.queue_id} delayed"
            assert subjects == [f"{delayed} {h} hours" for h in (24, 48, 72)] + [
                "Mail delivery failed: returning message to sender"
            ]
            (failed,) = world.journal.where(EventKind.FAILED)
            assert failed.text == "retry timeout exceeded"
            assert (failed.at - facts(world)[0].at).days == 4
            assert world.mine.queue == ()

    run(story())


def test_runs_that_find_nothing_are_left_out_and_nothing_changes(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same story with every run of the daemon, and with those that may find something: the same mail and times."""

    async def told() -> tuple[list[Any], int]:
        async with a_world() as world:
            await world.partner.stop()
            await world.laptop.send(BOB, "one", "x")
            await world.advance(minutes=50)
            await world.laptop.send(BOB, "two", "x")
            await world.advance(hours=2, minutes=30)
            await world.partner.start()
            await world.advance(hours=1, minutes=30)
            events = [e for e in world.journal.facts() if "retry time not reached" not in (e.text or "")]
            told = sorted(
                (e.at, e.host, e.kind.value, e.text or "" if e.kind is EventKind.DEFERRED else "")
                for e in events
            )
            return told, world.mine.log().count("Start queue run")

    few, count = run(told())
    monkeypatch.setattr(exim_engine.EximEngine, "_due", lambda self, now: now)  # type: ignore[misc]
    all_of_them, full_count = run(told())
    assert few == all_of_them
    assert count < full_count


def test_a_queue_run_is_not_lost_when_something_else_happens_before_it(run: Run) -> None:
    """Between the retry time and the run, or at the very instant of the run."""

    async def story() -> None:
        async with a_world(engine={"student": "exim"}) as world:
            host = world.mine
            await world.partner.stop()
            await world.advance(minutes=5)
            await host.send(ANN, BOB, "Subject: waits\n\nhello\n")  # tried again from 09:20 on
            for minutes in (20, 20):  # 09:25, 09:45
                await world.advance(minutes=minutes)
                await host.send(BOB, ANN, "Subject: does not\n\nhello\n")
            await world.advance(minutes=10)
            tries = [e for e in facts(world, host=host.name, kind=EventKind.DEFERRED) if e.errno == 111]
            assert [f"{e.at:%H:%M}" for e in tries] == ["09:05", "09:30", "09:45"]

    run(story())


def test_time_does_not_go_on_while_somebody_outside_talks_to_an_exim(run: Run) -> None:
    async def story() -> None:
        async with a_world() as world:
            with socket.create_connection(
                world.mine.endpoint(25), source_address=world.laptop.source_address
            ) as caller:
                assert (await asyncio.to_thread(caller.recv, 1000)).startswith(
                    b"220 mx2.st11.sne21.test ESMTP Exim"
                )
                with pytest.raises(
                    RuntimeError, match=r"laptop\S+ \[198\.51\.100\.11 port \d+\]\): let it say QUIT"
                ):
                    await world.advance(hours=1)
                caller.sendall(b"QUIT\r\n")
                await asyncio.to_thread(caller.recv, 1000)
            await world.settle()
            await world.advance(hours=1)

    run(story())


@pytest.mark.alone
def test_silence_is_a_timeout_for_an_exim_too(run: Run) -> None:
    async def story() -> None:
        async with a_world() as world:
            world.network.silence(world.partner.address, 25)
            began = time.monotonic()
            await world.laptop.send(BOB, "Later", "x")
            assert time.monotonic() - began < 6, "patience is short, and real"
            (deferred,) = world.journal.where(EventKind.DEFERRED)
            assert deferred.text == "Connection timed out"
            world.network.silence(world.partner.address, 25, on=False)
            await world.mine.run_queue(forced=True)
            assert len(world.partner.mailbox("bob")) == 1

    run(story())


# --- what comes from outside ---


def test_a_program_outside_sends_and_the_journal_hears_of_it(run: Run) -> None:
    def deliver(place: tuple[str, int], source: tuple[str, int]) -> None:
        with smtplib.SMTP(*place, source_address=source) as smtp:
            smtp.sendmail(ANN, [BOB], "Subject: by smtplib\n\nHello\n")

    async def story() -> None:
        async with a_world() as world:
            await asyncio.to_thread(deliver, world.partner.endpoint(25), world.laptop.source_address)
            for _ in range(300):  # without a settle
                if world.journal.where(EventKind.DELIVERED):
                    break
                await asyncio.sleep(0.02)
            (letter,) = world.partner.mailbox("bob")
            assert letter.first("Subject") == "by smtplib"
            (received,) = world.journal.where(EventKind.RECEIVED)
            assert received.remote_address == "198.51.100.11"

    run(story())


def test_plain_localhost_is_sent_away_with_an_explanation(run: Run) -> None:
    async def story() -> None:
        async with a_world() as world:
            with socket.create_connection(world.mine.endpoint(25)) as caller:
                said = await asyncio.to_thread(caller.recv, 1000)
            assert said.startswith(
                b"554 mx2.st11.sne21.test: you call from 127.0.0.1, which is no host of this lab"
            )
            await world.settle()
            assert "accept" not in world.mine.log(), "Exim never heard of it"

    run(story())


def test_what_was_said_to_an_exim_can_be_read_and_saved(run: Run, tmp_path: Path) -> None:
    async def story() -> None:
        async with a_world() as world:
            await world.laptop.send(BOB, "Hello", "x")
            talk = world.partner.last_conversation()
            assert (talk.client_name, talk.server_name) == (world.mine.name, world.partner.name)
            lines = [(e.speaker, e.text) for e in talk.exchanges]
            assert lines[0][0] == "S" and lines[0][1].startswith("220 mx2.st2.sne21.test ESMTP Exim")
            assert any(who == "C" and text.startswith(f"MAIL FROM:<{ANN}>") for who, text in lines)
            assert lines[-1] in (("C", "QUIT"), ("S", "221 mx2.st2.sne21.test closing connection"))
            both = world.capture(world.mine, world.partner)
            assert "C: EHLO mx2.st11.sne21.test" in both.text()
            assert both.save(tmp_path / "talk.pcap").read_bytes()[:4] == b"\xd4\xc3\xb2\xa1"
            assert "EHLO" in both.save(tmp_path / "talk.txt").read_text()
            with pytest.raises(ValueError, match=r"\.pcap or \.txt"):
                both.save(tmp_path / "talk.doc")

    run(story())


# --- configurations ---


def test_the_lines_that_must_differ_are_shown(run: Run) -> None:
    async def story() -> None:
        async with a_world() as world:
            (change,) = world.mine.changes
            assert change.written == "  file   = /var/mail/$local_part_data"
            assert change.read == f"  file   = {world.mine.folder}/var/mail/$local_part_data"
            lines = world.mine.configuration.split("\n")
            assert lines[change.line - 1] == change.written
            own = "spool_directory = /var/spool/mine\nkeep_environment = HOME\nexim_user = \\\n  mail\n"
            world.mine.write_configuration(own + world.mine.configuration)
            await world.mine.reload()
            assert [c.line for c in world.mine.changes] == [1, 3, 4, change.line + 4]
            await world.laptop.send(BOB, "works", "x")
            assert len(world.partner.mailbox("bob")) == 1

    run(story())


@pytest.mark.parametrize(
    "text, line, words",
    [
        ("primary_hostname = x.test\nno_such_option = 1\n", 2, "no_such_option"),
        ("local_interfaces = 10.1.2.3\n", 1, "not an address of mx2.st11"),
        ("begin routers\nr:\n  driver = nonsense\n", 3, "nonsense"),
        ("begin acl\nx:\n  accept hosts\n", 3, "missing after ACL"),
    ],
)
def test_what_is_wrong_is_named_with_its_line(run: Run, text: str, line: int, words: str) -> None:
    async def story() -> None:
        async with a_world(engine={"student": "exim"}) as world:
            before = world.mine.configuration
            world.mine.write_configuration(text)
            with pytest.raises(ConfigurationError, match=words) as problem:
                await world.mine.reload()
            assert (problem.value.place.file, problem.value.place.line) == ("exim.conf", line)
            world.mine.write_configuration(before)
            await world.laptop.send(BOB, "the old one stays", "x")
            assert len(world.partner.mailbox("bob")) == 1

    run(story())


def test_a_file_that_is_refused_changes_nothing_for_what_runs(run: Run) -> None:
    """Queue runs and bounces are new processes, which read the configuration again."""

    async def story() -> None:
        async with a_world() as world:
            await world.partner.stop()
            await world.laptop.send(BOB, "waits", "x")
            changes = world.mine.changes
            world.mine.write_configuration("no_such_option\n" + world.mine.configuration)
            with pytest.raises(ConfigurationError):
                await world.mine.reload()
            assert world.mine.changes == changes
            assert BOB in world.mine.queue_listing()
            await world.partner.start()
            await world.advance(hours=1)
            assert len(world.partner.mailbox("bob")) == 1

    run(story())


def test_includes_that_include_each_other_end(run: Run) -> None:
    async def story() -> None:
        async with a_world(engine={"student": "exim"}) as world:
            mine = world.mine
            for name, other in (("a", "b"), ("b", "a")):
                mine.path(f"/etc/{name}.conf").write_text(f".include /etc/{other}.conf\n" * 2)
            mine.path("/etc/lists").write_text("domainlist partners = st2.sne21.test\n")
            mine.write_configuration(f'.include "/etc/lists"\n# /etc/lists_of\n{mine.configuration}')
            await mine.reload()
            assert mine.changes[0].written == '.include "/etc/lists"'
            mine.write_configuration(f".include /etc/a.conf\n{mine.configuration}")
            with pytest.raises(ConfigurationError):
                await mine.reload()

    run(story())


def test_a_second_daemon_is_refused_with_what_to_do_instead(run: Run) -> None:
    async def story() -> None:
        async with a_world(engine={"student": "exim"}) as world:
            for words in (("-bd", "-q15m"), ("-bdf",), ("-q15m",), ("-bw",)):
                with pytest.raises(NotThisEngine, match=r"host\.start"):
                    await world.mine.exim(*words)
            assert (await world.mine.exim("-qff")).status == 0

    run(story())


def test_an_engine_that_cannot_start_leaves_the_former_one_at_work(run: Run) -> None:
    async def story() -> None:
        async with a_world(engine="labkit") as world:
            with pytest.raises(EximMissing):
                await world.partner.run_on("exim", "/bin/true")
            assert repr(world.partner).endswith("labkit, running>")
            await world.laptop.send(BOB, "still there", "x")
            assert len(world.partner.mailbox("bob")) == 1
            await world.partner.stop()
            with pytest.raises(EximMissing):
                await world.partner.run_on("exim", "/no/such")
            assert repr(world.partner).endswith("labkit, stopped>")

    run(story())


def test_a_log_that_is_cut_or_moved_away_is_read_on(run: Run) -> None:
    async def story() -> None:
        async with a_world(engine={"partner": "exim"}) as world:
            log = world.partner.path("/var/log/exim/mainlog")
            for number, do in enumerate(
                (lambda: os.truncate(log, 0), lambda: log.rename(f"{log}.1")), start=1
            ):
                await world.laptop.send(BOB, "one", "x" * 500)
                do()
                await world.laptop.send(BOB, "two", "x")
                assert len(world.journal.where(EventKind.DELIVERED, host=world.partner.name)) == 2 * number

    run(story())


@pytest.mark.skipif(os.geteuid() != 0, reason="only root runs Exim as somebody else")
def test_under_root_exims_user_cannot_lead_us_elsewhere(run: Run, tmp_path: Path) -> None:
    precious = tmp_path / "precious"
    precious.write_text("mine")

    async def story() -> None:
        async with a_world(engine={"student": "exim"}) as world:
            assert world.programs.user is not None
            as_exim: Any = {
                "user": world.programs.user[0],
                "group": world.programs.user[1],
                "extra_groups": [],
            }
            for name in ("run/exim.conf", "etc/exim.conf", "etc/passwd", "etc/aliases"):
                link = ["ln", "-sf", str(precious), str(world.mine.folder / name)]
                assert subprocess.run(link, capture_output=True, check=False, **as_exim).returncode != 0, name
            await world.mine.reload()
            assert precious.read_text() == "mine"
            look = ["ls", str(world.folder)]
            stranger: Any = {"user": 65534, "group": 65534, "extra_groups": []}
            assert subprocess.run(look, capture_output=True, check=False, **stranger).returncode != 0

    run(story())


def test_a_zone_is_edited_and_the_next_question_sees_it(run: Run) -> None:
    async def story() -> None:
        async with a_world() as world:
            before = await world.mine.route("x@new.sne21.test")
            assert before.outcome is RouteOutcome.FAILED
            world.write_zone("sne21.test", world.zone("sne21.test") + "new IN MX 10 mx2.st2\n")
            (hop,) = (await world.mine.route("x@new.sne21.test")).first.next_hops
            assert (hop.host, hop.preference) == ("mx2.st2.sne21.test", 10)
            with pytest.raises(KeyError, match="there are"):
                world.zone("nowhere.test")
            with pytest.raises(ValueError, match=r"sne21\.test\.zone"):
                world.write_zone("sne21.test", "nonsense")

    run(story())


def test_files_accounts_and_includes_are_the_hosts_own(run: Run) -> None:
    async def story() -> None:
        async with a_world() as world:
            mine = world.mine
            mine.path("/etc/exim").mkdir(parents=True)
            mine.path("/etc/aliases").write_text("postmaster: root\nroot: ann\n")
            mine.path("/etc/exim/aliases.conf").write_text(
                "system_aliases:\n  driver = redirect\n  data = ${lookup{$local_part}lsearch{/etc/aliases}}\n"
            )
            text = mine.configuration.replace("ours:\n", ".include /etc/exim/aliases.conf\nours:\n")
            mine.write_configuration(f"qualify_domain = st11.sne21.test\n{text}")
            await mine.reload()
            mine.add_account("zoe")
            await mine.reload()
            sent = await world.partner_laptop.send(
                ["postmaster@st11.sne21.test", "zoe@st11.sne21.test", "nobody9@st11.sne21.test"],
                "x",
                "y",
                host=mine.name,
            )
            assert sent.result is not None
            assert sorted(verdict.reply.code for verdict in sent.result.verdicts) == [250, 250, 550]
            assert len(mine.mailbox("ann")) == len(mine.mailbox("zoe")) == 1

    run(story())


def test_a_host_changes_its_engine_and_keeps_what_waits(run: Run) -> None:
    async def story() -> None:
        async with a_world(engine="labkit") as world:
            await world.partner.stop()
            await world.laptop.send(BOB, "one", "by labkit")
            (before,) = world.mine.queue
            await world.mine.run_on("exim")
            (item,) = world.mine.queue
            assert (item.queue_id, item.envelope) == (before.queue_id, before.envelope)
            with pytest.raises(NotThisEngine):
                world.mine.mta  # noqa: B018
            await world.laptop.send(BOB, "two", "by exim")
            await world.mine.run_on("labkit")
            assert len(world.mine.queue) == 2
            await world.partner.run_on("exim")
            await world.partner.start()
            await world.mine.run_queue(forced=True)
            assert {m.first("Subject") for m in world.partner.mailbox("bob")} == {"one", "two"}

    run(story())


def test_an_exim_is_asked_without_a_question_to_the_dns(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Exim looks up the name of this machine, on the network, where its configuration names none."""
    program = tmp_path / "exim"
    program.write_text('#!/bin/sh\ngrep -q "^primary_hostname = " "$2" && echo "Exim version 4.96 #1"\n')
    program.chmod(0o755)
    monkeypatch.setenv("EXIM_BIN", str(program))
    assert find_exim().version == "4.96"


def test_engines_that_do_not_exist(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ValueError, match="labkit or exim"):
        partners(engine="sendmail")
    with pytest.raises(ValueError, match=r"mx2\.st11"):
        partners(engine={"nobody": "exim"})
    monkeypatch.setenv("EXIM_BIN", "/bin/true")
    with pytest.raises(EximMissing, match="is no Exim"):
        find_exim()
    monkeypatch.setenv("EXIM_BIN", "/no/such")
    with pytest.raises(EximMissing, match="cannot be run"):
        find_exim()
    monkeypatch.delenv("EXIM_BIN")
    monkeypatch.setattr("labkit.net.programs.exim_found.NAMES", ("no-such-program",))
    with pytest.raises(EximMissing, match="exim4-daemon-heavy"):
        find_exim()

    async def story() -> None:
        async with partners(network="memory", alongside=True) as world:
            with pytest.raises(RuntimeError, match="no sockets"):
                await world.mine.run_on("exim")
        with pytest.raises(EximMissing):
            await a_world().start()

    run(story())


# --- many, and none left ---


@pytest.mark.alone
def test_four_exims_start_in_three_seconds(run: Run) -> None:
    async def story() -> None:
        began = time.monotonic()
        async with neighbours(
            *"a.test b.test c.test d.test".split(), engine="exim", network="loopback", alongside=True
        ) as world:
            took = time.monotonic() - began
            print(f"four hosts: {took:.2f} s")
            assert took < 3
            for name in "bcd":
                await world.laptop.send(f"user@{name}.test", name, "x")
            assert [len(world.host(f"mx.{name}.test").mailbox("user")) for name in "bcd"] == [1, 1, 1]

    run(story())


@pytest.mark.alone
def test_nothing_is_left_of_hosts_and_worlds(run: Run) -> None:
    async def story() -> None:
        async with a_world() as world, a_world() as other:
            folder, ports = world.folder, [host.endpoint(25) for host in world.hosts.values()]
            for _ in range(4):
                await world.mine.stop()
                await world.mine.start()
                await world.mine.reload()
            daemons = [line for line in living(folder) if "-bdf" in line]
            assert len(daemons) == 2, "one for each host, however often it was started"
            await other.laptop.send(BOB, "another world", "x")
            assert len(other.partner.mailbox("bob")) == 1
            assert world.partner.mailbox("bob") == []
        assert living(folder) == []
        for place in ports:
            with pytest.raises(ConnectionRefusedError):
                socket.create_connection(place, timeout=1)

    run(story())


KILLED = """
import asyncio, sys
from labkit import partners
async def main():
    world = await partners(network="loopback", engine="exim", alongside=True, folder=sys.argv[1]).start()
    await world.partner.stop()
    await world.laptop.send("bob@st2.sne21.test", "x", "y")
    print("ready", flush=True)
    await asyncio.sleep(60)
asyncio.run(main())
"""


def test_nothing_outlives_a_kernel_that_is_killed_and_its_world_goes_on(
    run: Run, tmp_path: Path, let_others_in: Callable[[Path], None]
) -> None:
    folder = tmp_path / "world"
    let_others_in(tmp_path)
    kernel = subprocess.Popen([sys.executable, "-c", KILLED, str(folder)], stdout=subprocess.PIPE, text=True)
    assert kernel.stdout is not None
    assert kernel.stdout.readline() == "ready\n"
    assert any("-bdf" in line for line in living(folder))
    kernel.kill()
    kernel.wait()
    kernel.stdout.close()
    deadline = time.monotonic() + 2
    while living(folder) and time.monotonic() < deadline:
        time.sleep(0.02)
    assert living(folder) == []

    async def story() -> None:
        async with a_world(folder=folder) as world:  # what waited is still there, and goes on
            await world.advance(hours=1)
            assert len(world.partner.mailbox("bob")) == 1
            kinds = Counter(e.kind for e in world.journal.facts())
            assert kinds[EventKind.COMPLETED] == 2

    run(story())


def test_what_was_found_is_said() -> None:
    found = find_exim()
    assert found.version.startswith("4.")
    assert found.has("dnslookup")
    assert not found.has("no such thing")
    assert str(found).startswith(f"Exim {found.version} at {found.path}\n  Support for: ")


def test_bt_is_read_as_a_route(run: Run) -> None:
    async def story() -> None:
        async with a_world() as world:
            unknown = await world.mine.route("nobody9@st11.sne21.test")
            assert (unknown.outcome, unknown.first.reason) == (RouteOutcome.FAILED, "Unrouteable address")
            world.nameserver.servfail("elsewhere.test")
            broken = await world.mine.route("x@elsewhere.test")
            assert broken.outcome is RouteOutcome.DEFERRED
            assert "host lookup did not complete" in broken.first.reason
            assert isinstance(world.mine.engine, EximEngine)

    run(story())
