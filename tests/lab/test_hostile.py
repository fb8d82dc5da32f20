"""The hostile mail sender: on real sockets, against a world that goes on serving everybody else.

In the order of the categories: end-of-data smuggling, command injection, state, size, bytes, availability, loops,
relaying, hostile content and addresses, injection through our own interface.
"""

from __future__ import annotations

import asyncio
import mailbox
import os
import re
import socket
import time
import tracemalloc
from collections.abc import Callable, Coroutine
from contextlib import suppress
from itertools import product
from pathlib import Path
from typing import Any

import pytest

from labkit import partners
from labkit.lab.clock import FIRST_MORNING
from labkit.lab.world import World
from labkit.mail.event import EventKind
from labkit.mail.message import is_canonical
from labkit.mail.reply import Reply, received
from labkit.net import smtp_server
from labkit.net.mailboxes import append_to_mbox, deliver_to_maildir
from labkit.net.network import Peer
from labkit.smtp.decisions import Connected, Limits, MessageReceived, RcptTo
from labkit.smtp.server import Server

Run = Callable[[Coroutine[Any, Any, Any]], Any]
Calls = Callable[..., Coroutine[Any, Any, Any]]  # the fixtures `call` and `greeted`: see conftest.py
ANN, BOB, EVE = "ann@st11.sne21.test", "bob@st2.sne21.test", "eve@stranger.test"
MEGABYTE = 1024 * 1024


def lab(main_options: str = "", **arguments: Any) -> World:
    """A world on sockets; `main_options` go on top of the student's configuration."""
    world = partners(network="loopback", **arguments)
    if main_options:
        plan = next(plan for plan in world.scenario.hosts if plan.role == "student")
        file = world.folder / plan.name / "etc/exim.conf"
        file.parent.mkdir(parents=True)
        file.write_text(main_options + plan.configuration)
    return world


async def until(condition: Callable[[], bool], patience: float = 20) -> None:
    end = time.monotonic() + patience
    while not condition():
        assert time.monotonic() < end, "waited in vain"
        await asyncio.sleep(0.002)


async def expect_service(world: World, greeted: Calls) -> None:
    """Everybody else is still served."""
    before = len(world.mine.mailbox("ann"))
    other = await greeted(world)
    assert await other.begin(EVE, ANN) == [250, 250, 354]
    assert (await other.finish(b"Subject: served\r\n\r\nall the same")).startswith("250 OK id=")
    assert await other.codes("QUIT") == [221]
    await world.settle()
    assert len(world.mine.mailbox("ann")) == before + 1
    other.hang_up()


def resident() -> int:
    """Octets of real memory this process has."""
    return int(Path("/proc/self/statm").read_text("ascii").split()[1]) * 4096


# --- end-of-data smuggling: RFC 5321 §2.3.8, §4.1.1.4 ---

ENDS = [b"\n", b"\r", b"\0", b"\r\n", b"\n\r", b"\r\r\n", b"\r\0\n", b"\0\r\n", b"\r\n\0", b"\n\n"]
NEARLY = [
    b"%b.%b" % (one, other) for one, other in product(ENDS, ENDS) if b"\r\n.\r\n" not in one + b"." + other
]
SMUGGLED = (
    b"MAIL FROM:<smuggler@evil.test>\r\nRCPT TO:<ann@st11.sne21.test>\r\nDATA\r\nSubject: smuggled\r\n\r\n"
)


class Recorder(asyncio.Protocol):
    """A next hop that believes everything, and writes down the octets of each message, with the dot at its end."""

    def __init__(self, peer: Peer, heard: list[bytes]) -> None:
        self.heard, self.octets, self.is_content = heard, b"", False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport: Any = transport
        self.transport.write(b"220 next hop\r\n")

    def data_received(self, data: bytes) -> None:
        self.octets += data
        while (end := self.octets.find(b"\r\n.\r\n" if self.is_content else b"\r\n")) >= 0:
            end += 5 if self.is_content else 2
            said, self.octets = self.octets[:end], self.octets[end:]
            if self.is_content:
                self.heard.append(said)
            self.is_content = said == b"DATA\r\n"
            self.transport.write(b"354 go on\r\n" if self.is_content else b"250 yes\r\n")
            if said == b"QUIT\r\n":
                self.transport.close()


def test_only_crlf_dot_crlf_ends_a_message(run: Run, greeted: Calls) -> None:
    """All nearly-ends in one session; each message stays one message, and what follows it stays content."""
    assert len(NEARLY) > 80

    async def story() -> None:
        async with lab() as world:
            caller = await greeted(world)
            for nearly in NEARLY:
                assert await caller.begin(EVE, ANN) == [250, 250, 354]
                content = b"Subject: honest\r\n\r\nbefore" + nearly + SMUGGLED + b"after"
                answer = await caller.finish(content)
                assert answer.startswith("250 OK id="), (nearly, answer)
            assert await caller.codes("QUIT") == [221]
            await world.settle()
            await world.mine.run_queue()  # more than ten messages of one session wait for it
            letters = world.mine.mailbox("ann")
            assert len(letters) == len(NEARLY)
            for nearly, letter in zip(NEARLY, letters):
                assert letter.first("Subject") == "honest", nearly
                assert letter.body.endswith(b"after\r\n"), nearly
                assert b"smuggler@evil.test" in letter.body, nearly
            senders = {event.sender for event in world.journal.where(EventKind.RECEIVED)}
            assert senders == {EVE}

    run(story())


def test_what_is_relayed_smuggles_nothing(run: Run, greeted: Calls) -> None:
    """The next hop may be careless: it gets no bare CR or LF, and one end of data for each message."""

    async def story() -> None:
        async with lab() as world:
            await world.partner.stop()
            heard: list[bytes] = []
            await world.network.listen(world.partner.address, 25, lambda peer: Recorder(peer, heard))
            caller = await greeted(world, source=world.laptop.address)
            for nearly in NEARLY:
                assert await caller.begin(ANN, BOB) == [250, 250, 354]
                await caller.finish(b"Subject: honest\r\n\r\nbefore" + nearly + SMUGGLED + b"after")
            await caller.codes("QUIT")
            await world.settle()
            await world.mine.run_queue()  # more than ten messages of one session wait for it
            assert len(heard) == len(NEARLY)
            for nearly, octets in zip(NEARLY, heard):
                assert is_canonical(octets), nearly
                assert octets.count(b"\r\n.\r\n") == 1, nearly
                assert len(re.findall(rb"(?:\r\n|\r|\n)\.(?=[\r\n])", octets)) == 1, nearly

    run(story())


def test_the_end_of_data_may_come_in_pieces(run: Run, greeted: Calls) -> None:
    async def story() -> None:
        async with lab() as world:
            caller = await greeted(world)
            for cut in range(1, 5):
                assert await caller.begin(EVE, ANN) == [250, 250, 354]
                content = b"Subject: x\r\n\r\n..\r\n.hidden\r\n.\r\n"
                caller.say(content[:-cut])
                await asyncio.sleep(0.01)
                caller.say(content[-cut:])
                assert (await caller.hear()).startswith("250 OK id=")
            await world.settle()
            assert {letter.body for letter in world.mine.mailbox("ann")} == {b".\r\nhidden\r\n"}

    run(story())


def test_what_follows_the_end_at_once_is_the_next_command(run: Run, greeted: Calls) -> None:
    """RFC 2920: after the dot a client may go on; that is pipelining, and it is the same client that speaks."""

    async def story() -> None:
        async with lab() as world:
            caller = await greeted(world)
            await caller.begin(EVE, ANN)
            caller.say(b"one\r\n.\r\nMAIL FROM:<>\r\nRCPT TO:<%b>\r\n" % BOB.encode())
            assert [(await caller.hear())[:3] for _ in range(3)] == ["250", "250", "550"]

    run(story())


# --- command injection ---


INJECTIONS = [
    (b"MAIL FROM:<eve@x.test>\nRCPT TO:<ann@st11.sne21.test>", "500 a command ends in CR LF", "a bare LF"),
    (b"MAIL FROM:<eve@x.test>\rRCPT TO:<ann@st11.sne21.test>", "500 a command ends in CR LF", "a bare CR"),
    (b"MAIL FROM:<eve\0@x.test>", "501 NUL", "NUL in an address"),
    (b"MAIL FROM:<eve@x.test>\0\r\nRCPT TO:<ann@st11.sne21.test>", "501 NUL", "NUL before the line end"),
    (b"\0MAIL FROM:<eve@x.test>", "501 NUL", "NUL first"),
    (b'MAIL FROM:<"eve\r"@x.test>', "500 a command ends in CR LF", "in a quoted string"),
    (b'MAIL FROM:<"eve\\\n"@x.test>', "500 a command ends in CR LF", "escaped"),
    (b"NOOP\nQUIT", "500 a command ends in CR LF", "nothing of the line is executed"),
    (b"EHLO x\nMAIL FROM:<eve@x.test>", "500 a command ends in CR LF", "in a greeting"),
    (b"EHLO x\ty", "501 Syntactically invalid EHLO", "no name"),
    (b"EHLO (evil\tcomment)", "501 Syntactically invalid EHLO", "it would stand in the Received field"),
    (b"EHLO a]\tby [b", "501 Syntactically invalid EHLO", "the same"),
    (b"EHLO " + b"a" * 256, "501 Syntactically invalid EHLO", "longer than a name can be: 5321 4.5.3.1.2"),
    (b"EHLO [" + b"1" * 9000 + b"]", "501 Syntactically invalid EHLO", "the same as a literal"),
    (b"VRFY ann\nRSET", "500 a command ends in CR LF", "in an argument"),
    (b"STARTTLS\nMAIL FROM:<eve@x.test>", "500 a command ends in CR LF", "RFC 3207 4.2"),
]


def test_command_injection(run: Run, greeted: Calls) -> None:
    async def story() -> None:
        async with lab() as world:
            for line, answer, because in INJECTIONS:
                caller = await greeted(world)
                (said,) = await caller.ask(line)
                assert said.startswith(answer), (line, because, said)
                if b"\r\nRCPT" in line:
                    assert (await caller.hear()).startswith("503 sender not yet given"), line
                assert await caller.codes(f"RCPT TO:<{ANN}>", "MAIL FROM:<>") == [503, 250], (
                    "no sender was set"
                )
                assert await caller.codes("QUIT") == [221]

    run(story())


def test_commands_before_tls_are_no_commands_after_it(run: Run, greeted: Calls) -> None:
    """Nothing is negotiated here; what comes after STARTTLS without waiting ends the session (RFC 3207 §4.2)."""

    async def story() -> None:
        async with lab() as world:
            caller = await greeted(world)
            caller.say(b"STARTTLS\r\nMAIL FROM:<eve@x.test>\r\nRCPT TO:<ann@st11.sne21.test>\r\n")
            assert await caller.rest() == "554 SMTP synchronization error\r\n"

    run(story())


def test_a_long_name_cannot_spoil_the_trace(run: Run, greeted: Calls) -> None:
    """The longest name and the longest addresses still make lines that the next host takes."""

    async def story() -> None:
        async with lab() as world:
            caller = await greeted(world, source=world.laptop.address)
            name = ".".join(["a" * 49] * 5)
            longest = f'"{"q" * 200}"@{"d" * 40}.test'
            assert (await caller.codes(f"EHLO {name}", f"MAIL FROM:<{longest}>")) == [250, 250]
            assert await caller.codes(f"RCPT TO:<{BOB}>", "DATA") == [250, 354]
            assert (await caller.finish(b"Subject: x\r\n\r\ny")).startswith("250 OK id=")
            await world.settle()
            (letter,) = world.partner.mailbox("bob")
            assert max(map(len, bytes(letter).split(b"\r\n"))) <= 998

    run(story())


# --- state ---


def test_state(run: Run, greeted: Calls) -> None:
    async def story() -> None:
        async with lab() as world:
            mail, rcpt = f"MAIL FROM:<{EVE}>", f"RCPT TO:<{ANN}>"
            for dialogue in [
                [("DATA", 503), (rcpt, 503), (mail, 250), (mail, 503)],
                [(mail, 250), ("DATA", 503), (rcpt, 250), ("RSET", 250), ("DATA", 503), (rcpt, 503)],
                [(mail, 250), (rcpt, 250), ("EHLO again", 250), ("DATA", 503), (rcpt, 503)],
                [(mail, 250), (rcpt, 250), ("HELO again", 250), (rcpt, 503)],
                [("STARTTLS", 503), ("STARTTLS", 503), (mail, 250)],
                [(mail, 250), ("AUTH PLAIN AGEAYg==", 503), (rcpt, 250)],
                [("AUTH PLAIN AGEAYg==", 503), ("AUTH LOGIN", 503), ("AUTH", 503), ("AUTH X", 503)],
                [("BDAT 0 LAST", 503), (mail, 250), ("BDAT 0 LAST", 503)],
            ]:
                caller = await greeted(world)
                codes = await caller.codes(*(command for command, _ in dialogue))
                assert codes == [code for _, code in dialogue], dialogue
                caller.hang_up()
            await expect_service(world, greeted)

    run(story())


def test_whoever_speaks_before_the_banner_is_sent_away(run: Run) -> None:
    async def story() -> None:
        async with lab() as world:
            session = world.mine.mta.open_session(Peer(world.laptop.address, 1))
            session.machine.receive(b"EHLO early\r\n")
            session.answer(Connected(), session.machine.decide)
            assert session.machine.bytes_to_send() == b"554 SMTP synchronization error\r\n"

    run(story())


# --- size ---


def test_command_lines_have_a_limit(run: Run, greeted: Calls) -> None:
    async def story() -> None:
        async with lab() as world:
            caller = await greeted(world)
            limit = Limits().command_line
            assert await caller.codes("NOOP " + "x" * (limit - 7)) == [250], "exactly so long"
            assert await caller.codes("NOOP " + "x" * (limit - 6)) == [500], "one octet longer"
            assert await caller.codes("NOOP") == [250], "in step"
            caller.say(b"MAIL FROM:<" + b"x" * 3 * limit)
            assert (await caller.hear()).startswith("500 "), "refused before it ends"
            caller.say(b"y" * 3 * limit + b"@x.test>\r\n")
            assert await caller.codes("NOOP", f"RCPT TO:<{ANN}>") == [250, 503], "in step"
            await expect_service(world, greeted)

    run(story())


def test_a_line_without_end_takes_no_memory(run: Run, greeted: Calls) -> None:
    async def story() -> None:
        async with lab() as world:
            caller = await greeted(world)
            before = resident()
            for _ in range(64):
                caller.say(b"x" * MEGABYTE)
                await caller.writer.drain()
            caller.say(b"\r\nNOOP\r\n")
            assert [(await caller.hear())[:3] for _ in range(2)] == ["500", "250"]
            assert resident() - before < 20 * MEGABYTE

    run(story())


def test_a_message_over_the_limit(run: Run, greeted: Calls) -> None:
    """It is read to its end and thrown away: the session stays in step, and nothing is kept."""

    async def story() -> None:
        async with lab("message_size_limit = 100K\n") as world:
            caller = await greeted(world)
            assert "SIZE 102400" in (await caller.ask("EHLO again"))[0]
            assert await caller.codes(f"MAIL FROM:<{EVE}> SIZE=102401") == [552]
            assert await caller.codes(f"MAIL FROM:<{EVE}> SIZE=99999999999999999999999999999") == [552]
            # as on Exim's disk, a line end counts once
            for size, code in [(102_400, "250"), (103_500, "552"), (1, "250")]:
                await caller.begin(EVE, ANN)
                line = b"x" * 98 + b"\r\n"
                content = line * (size // 100) + b"y" * (size % 100)
                assert (await caller.finish(content[:-2]))[:3] == code, size
            await caller.begin(EVE, ANN)
            before = resident()
            for _ in range(64):
                caller.say(b"\r\n.." * (MEGABYTE // 4))
                await caller.writer.drain()
            assert (await caller.finish(b"")).startswith("552 Message size exceeds")
            assert resident() - before < 20 * MEGABYTE
            assert await caller.codes("NOOP") == [250]
            await world.settle()
            assert len(world.mine.mailbox("ann")) == 2

    run(story())


def test_text_lines_have_a_limit(run: Run, greeted: Calls) -> None:
    async def story() -> None:
        async with lab() as world:
            caller = await greeted(world)
            for content, code in [
                (b"Subject: x\r\n\r\n" + b"x" * 998, "250"),
                (b"Subject: x\r\n\r\n" + b"x" * 999 + b"\r\nshort", "550"),
                (b"Subject: " + b"x" * 2000 + b"\r\n\r\nshort", "550"),
                (b"Subject: x\r\n\r\n." + b"." + b"x" * 997, "250"),  # the dot that is undone does not count
                (b"short", "250"),
            ]:
                assert await caller.begin(EVE, ANN) == [250, 250, 354]
                assert (await caller.finish(content))[:3] == code, content[:20]

    run(story())


def a_session(limits: Limits, refuse: Reply | None = None) -> tuple[Server, list[MessageReceived]]:
    """A machine in its transaction, and the messages it takes."""
    machine, taken = Server("mx.test", "198.51.100.2", limits), []
    machine.decide(Reply(220, ("mx.test",)))
    feed(machine, b"EHLO x\r\n", taken, refuse)
    feed(machine, b"MAIL FROM:<a@b.test>\r\n", taken, refuse)
    return machine, taken


def feed(machine: Server, octets: bytes, taken: list[MessageReceived], refuse: Reply | None = None) -> bytes:
    machine.receive(octets)
    while (decision := machine.pending) is not None:
        answer = refuse if isinstance(decision, RcptTo) else None
        if isinstance(decision, MessageReceived):
            taken.append(decision)
            answer = received("1xTEST-000001-00")
        machine.decide(answer)
    return machine.bytes_to_send()


@pytest.mark.parametrize("line", [b"\r\n", b"ab\r\n", b"..\r\n", b"\r", b"a\n\r"])
@pytest.mark.alone
def test_a_message_of_tiny_lines_takes_no_multiple_of_its_size(line: bytes) -> None:
    machine, taken = a_session(Limits())
    content = b"\r\n" + line * (2 * MEGABYTE // len(line))
    feed(machine, b"RCPT TO:<bob@here.test>\r\nDATA\r\n", taken)
    tracemalloc.start()
    try:
        began = time.perf_counter()
        assert feed(machine, content + b"\r\n.\r\n", taken).startswith(b"250 OK id=")
        took = time.perf_counter() - began
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 6 * len(content), f"{peak / len(content):.1f} times"
    assert took < 4
    (message,) = taken
    assert is_canonical(message.content)


@pytest.mark.parametrize("line", [b"\n", b"\r", b"\n\r", b"\r\n"])
@pytest.mark.parametrize("command", [b"DATA", b"BDAT 1000000 LAST"])
def test_line_ends_alone_cannot_fill_our_memory(command: bytes, line: bytes) -> None:
    """Of a CR LF one octet counts, as on Exim's disk; a bare LF counts as itself."""
    machine, taken = a_session(Limits(message_size=10_000))
    machine.extensions.chunking = True
    feed(machine, b"RCPT TO:<bob@here.test>\r\n" + command + b"\r\n", taken)
    tracemalloc.start()
    try:
        for _ in range(1000):
            feed(machine, line * (1000 // len(line)), taken)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 100_000
    said = feed(machine, b"\r\n.\r\n" if command == b"DATA" else b"", taken)
    assert (said or machine.bytes_to_send())[:3] in (b"552", b"") and not taken


@pytest.mark.alone
def test_a_header_without_end_is_refused(run: Run, greeted: Calls) -> None:
    """Exim's header_maxsize: each field costs more than its octets wherever it is looked at."""

    async def story() -> None:
        async with lab() as world:
            caller = await greeted(world)
            await caller.begin(EVE, ANN)
            before, began = resident(), time.perf_counter()
            answer = await caller.finish(b"a:\r\n" * MEGABYTE + b"\r\nbody")
            assert answer.startswith("552 ")
            assert resident() - before < 60 * MEGABYTE
            assert time.perf_counter() - began < 3
            assert await caller.begin(EVE, ANN) == [250, 250, 354]
            assert (await caller.finish(b"a:\r\n" * 10_000 + b"\r\nbody")).startswith("250 OK id=")
            assert await caller.begin(EVE, ANN) == [250, 250, 354]
            answer = await caller.finish(b"Subject: x\r\n\r\n" + b"a:\r\n" * (MEGABYTE // 2))
            assert answer.startswith("250 OK id="), "in the body anything may stand"
            await expect_service(world, greeted)

    run(story())


def test_recipients_have_a_limit(run: Run, greeted: Calls) -> None:
    async def story() -> None:
        async with lab("recipients_max = 5\n") as world:
            world.mine.add_account("ivan")
            caller = await greeted(world)
            commands = [f"RCPT TO:<{ANN}>", "RCPT TO:<ivan@st11.sne21.test>"] * 3
            assert await caller.codes(f"MAIL FROM:<{EVE}>", *commands) == [250, 250, 250, 250, 250, 250, 452]
            assert await caller.codes("DATA") == [354]
            await caller.finish(b"x")
            await world.settle()
            assert len(world.mine.mailbox("ann")) == len(world.mine.mailbox("ivan")) == 1, "each once"

    run(story())


def test_refused_recipients_take_no_memory() -> None:
    refusal = Reply(550, ("Unrouteable address",))
    machine, taken = a_session(Limits(), refusal)
    feed(machine, b"RCPT TO:<nobody@here.test>\r\n" * 100, taken, refusal)
    tracemalloc.start()
    try:
        for number in range(50):
            refusal = Reply(550, (f"Unrouteable address {number}",))
            feed(machine, b"RCPT TO:<nobody@here.test>\r\n" * 100, taken, refusal)
        grown = tracemalloc.get_traced_memory()[0]
    finally:
        tracemalloc.stop()
    assert grown < 50_000
    assert feed(machine, b"DATA\r\n", taken).startswith(b"503 Valid RCPT command must")


def test_commands_that_carry_no_mail_have_a_limit(run: Run, greeted: Calls) -> None:
    async def story() -> None:
        async with lab() as world:
            for command, most in [
                ("NOOP", 10),
                ("RSET", 11),
                ("HELP", 10),
                (f"VRFY {ANN}", 10),
                ("EHLO x", 10),
            ]:
                caller = await greeted(world)
                answers = await caller.codes(*[command] * most)
                assert all(code < 300 for code in answers), command
                assert (await caller.ask(command))[0] == "554 Too many nonmail commands"
                assert await caller.rest() == ""
            for command in ("HELLO", "", "X" * 500, "😀".encode().decode("latin-1")):
                caller = await greeted(world)
                assert await caller.codes(*[command] * 4) == [500] * 4
                assert await caller.rest() == "", "the fourth was one too many"
            for command in ("RCPT TO:<ann", "MAIL FROM:<>x", "RSET x", "DATA"):
                caller = await greeted(world)
                answers = await caller.ask(*[command] * 4)
                assert "Too many syntax or protocol errors" in answers[-1]
                assert await caller.rest() == ""

    run(story())


# --- bytes ---


def test_any_octet_may_stand_in_a_message(run: Run, greeted: Calls) -> None:
    async def story() -> None:
        async with lab() as world:
            caller = await greeted(world, source=world.laptop.address)
            odd = bytes(octet for octet in range(256) if octet not in b"\r\n")
            for recipient in (ANN, BOB):
                await caller.begin(EVE, recipient)
                answer = await caller.finish(b"Subject: " + odd + b"\r\nX-\xff: \xfe\r\n\r\n" + odd)
                assert answer.startswith("250 OK id=")
            await world.settle()
            for letter in (*world.mine.mailbox("ann"), *world.partner.mailbox("bob")):
                assert bytes(letter).endswith(b"\r\n\r\n" + odd + b"\r\n")
                assert b"Subject: " + odd + b"\r\n" in bytes(letter)
            assert len(world.partner.mailbox("bob")) == 1
            assert all(character.isprintable() or character == "\n" for character in world.mine.log())

    run(story())


def test_a_log_has_one_line_for_one_event(run: Run, greeted: Calls) -> None:
    """What a stranger writes cannot make a line of its own in the log, nor control a terminal."""

    async def story() -> None:
        async with lab() as world:
            caller = await greeted(world)
            evil = b"<x\x0b2026-09-07 09:00:00 forged\x85\xe2\x80\xa8\x1b[2J\x0c\x1c@evil.test>"
            await caller.begin(EVE, ANN)
            await caller.finish(b"Message-ID: " + evil + b"\r\n folded\r\n\r\nx")
            await world.settle()
            log = world.mine.log()
            assert "evil.test" in log
            assert log.splitlines() == log.split("\n")
            assert log.replace("\n", "").isprintable()

    run(story())


@pytest.mark.parametrize(
    "address",
    [
        b"<\xc3\xa4nn@st11.sne21.test>",
        b"<ann@st\xc3\xa411.sne21.test>",
        b"<\xff\xfe@st11.sne21.test>",
        b'<"\xc3\xa4"@st11.sne21.test>',
        b"<\xd0\xb0nn@st11.sne21.test>",
        b"<ann@st11.sne21.test> SMTPUTF8",
    ],
)
def test_addresses_are_ascii(run: Run, greeted: Calls, address: bytes) -> None:
    async def story() -> None:
        async with lab() as world:
            caller = await greeted(world)
            assert await caller.codes(b"MAIL FROM:" + address) == [501]
            assert await caller.codes(b"MAIL FROM:<>", b"RCPT TO:" + address) == [250, 501]
            assert await caller.codes(f"RCPT TO:<{ANN}>") == [250]

    run(story())


TLS_HELLO = (
    bytes.fromhex("16030100c8010000c40303")
    + bytes(range(256))[:32]
    + b"\x20"
    + b"\r\n" * 16
    + b"\x00\x3e"
    + b"\n" * 120
)
HTTP = (
    b"POST / HTTP/1.1\r\nHost: mx\r\n\r\nEHLO x\r\nMAIL FROM:<eve@x.test>\r\n"
    b"RCPT TO:<ann@st11.sne21.test>\r\nDATA\r\nsmuggled\r\n.\r\nQUIT\r\n"
)


OTHERS = {
    "TLS": TLS_HELLO,
    "HTTP POST": HTTP,
    "HTTP POST to somebody greeted": HTTP.replace(b"EHLO x\r\n", b""),
    "HTTP GET": b"GET / HTTP/1.1\r\nHost: x\r\nAccept: */*\r\nUser-Agent: x\r\n\r\n",
    "empty lines": b"\r\n" * 100,
    "NUL": b"\0" * 100_000 + b"\r\n",
    "SSH": b"SSH-2.0-OpenSSH_9.6\r\n" * 5,
    "noise": bytes(range(256)) * 100,
}


def test_other_protocols(run: Run, call: Calls, greeted: Calls) -> None:
    """Nobody's request becomes a message, and the connection does not stay."""

    async def story() -> None:
        async with lab() as world:
            for (name, octets), how in product(OTHERS.items(), (call, greeted)):
                caller = await how(world)
                caller.say(octets)
                caller.writer.write_eof()
                said = await caller.rest(5)
                assert not re.search(r"^(354|250 OK id)", said, re.MULTILINE), name
            await until(lambda: not world.mine.mta.intake.sessions)
            assert world.journal.where(EventKind.RECEIVED) == []
            await expect_service(world, greeted)

    run(story())


# --- availability ---


@pytest.mark.alone
def test_hundreds_who_say_nothing(run: Run, call: Calls, greeted: Calls) -> None:
    async def story() -> None:
        async with lab() as world:
            before = resident()
            idle = [await call(world) for _ in range(300)]
            assert len(world.mine.mta.intake.sessions) == 300
            began = time.perf_counter()
            await expect_service(world, greeted)
            assert time.perf_counter() - began < 2
            assert resident() - before < 60 * MEGABYTE
            with pytest.raises(RuntimeError, match="still connected"):
                await world.advance(hours=1)
            for caller in idle:
                caller.hang_up()
            await until(lambda: not world.mine.mta.intake.sessions)
            await world.advance(hours=1)

    run(story())


def test_more_sessions_than_allowed(run: Run, call: Calls, greeted: Calls) -> None:
    async def story() -> None:
        async with lab("smtp_accept_max = 20\n") as world:
            first = [await call(world) for _ in range(20)]
            for _ in range(3):
                late = await call(world, banner=False)
                assert (await late.rest()).startswith("421 Too many concurrent SMTP connections")
            first[0].hang_up()
            await until(lambda: len(world.mine.mta.intake.sessions) < 20)
            await expect_service(world, greeted)

    run(story())


def test_who_stays_silent_is_sent_away(run: Run, call: Calls, greeted: Calls) -> None:
    async def story() -> None:
        async with lab("smtp_receive_timeout = 1s\n") as world:
            idle, in_content = await call(world), await greeted(world)
            await in_content.begin(EVE, ANN)
            in_content.say(b"half a message")
            words = {idle: ": SMTP command timeout", in_content: " SMTP incoming data timeout"}  # Exim's
            for caller, said in words.items():
                assert (await caller.rest(5)).startswith(f"421 mx2.st11.sne21.test{said}")
            await until(lambda: not world.mine.mta.intake.sessions)
            assert world.journal.where(EventKind.RECEIVED) == []

    run(story())


@pytest.mark.alone
def test_one_octet_at_a_time(run: Run, call: Calls, greeted: Calls, monkeypatch: pytest.MonkeyPatch) -> None:
    """Slow is allowed, up to a point: one command, one message may not take for ever."""

    async def drip(caller: Any, octets: bytes, pause: float) -> None:
        for octet in octets:
            if caller.writer.is_closing():
                return
            caller.say(bytes([octet]))
            await asyncio.sleep(pause)

    async def story() -> None:
        async with lab() as world:
            slow = await call(world)
            await drip(slow, b"EHLO slow.test\r\n", 0.001)
            assert (await slow.hear()).startswith("250-")
            assert await slow.begin(EVE, ANN) == [250, 250, 354]
            await drip(slow, b"Subject: slow\r\n\r\n..\r\n.\r\n", 0.001)
            assert (await slow.hear()).startswith("250 OK id=")
            slow.hang_up()

            monkeypatch.setattr(smtp_server, "LONGEST_COMMAND", 0.4)
            monkeypatch.setattr(smtp_server, "LONGEST_CONTENT", 0.8)
            in_command, in_content = await call(world), await greeted(world)
            await in_content.begin(EVE, ANN)
            began = time.perf_counter()
            dripping = [
                asyncio.create_task(drip(each, b"x" * 1000, 0.02)) for each in (in_command, in_content)
            ]
            await expect_service(world, greeted)
            assert (await in_command.rest(5)).startswith("421 ")
            assert (await in_content.rest(5)).startswith("421 ")
            assert 0.7 < time.perf_counter() - began < 5
            for task in dripping:
                task.cancel()
            await asyncio.gather(*dripping, return_exceptions=True)
            await until(lambda: not world.mine.mta.intake.sessions)

    run(story())


def test_hanging_up_at_every_step(run: Run, call: Calls, greeted: Calls) -> None:
    """Properly, abruptly, and with half a line: no session stays, nothing is received."""
    steps = [
        b"",
        b"EHLO x\r\n",
        b"MAIL FROM:<eve@x.test>\r\n",
        b"RCPT TO:<ann@st11.sne21.test>\r\n",
        b"DATA\r\n",
        b"x\r\n",
    ]

    async def story() -> None:
        async with lab() as world:
            for last in range(1, len(steps) + 1):
                for how in ("close", "abort", "half"):
                    caller = await call(world)
                    for step in steps[1:last]:
                        caller.say(step)
                        if step != b"x\r\n":
                            await caller.hear()
                    if how == "half":
                        caller.say(b"RCPT TO:<half")
                    if how == "abort":
                        caller.hang_up()
                    else:
                        caller.writer.write_eof()
                        await caller.rest()
            await until(lambda: not world.mine.mta.intake.sessions)
            assert world.journal.where(EventKind.RECEIVED) == []
            await expect_service(world, greeted)

    run(story())


def test_the_world_stops_in_the_middle_of_it_all(run: Run, greeted: Calls) -> None:
    """Fifty clients at every step of a session: they are cut off, and nothing is left open or reported."""
    problems: list[dict[str, Any]] = []

    async def story() -> None:
        asyncio.get_running_loop().set_exception_handler(lambda loop, context: problems.append(context))
        for how in ("world", "host"):
            async with lab() as world:
                callers = [await greeted(world) for _ in range(50)]
                for number, caller in enumerate(callers):
                    caller.say(b"MAIL FROM:<eve@x.test>\r\n" * (number % 5 > 0))
                    caller.say(b"RCPT TO:<ann@st11.sne21.test>\r\n" * (number % 5 > 1))
                    caller.say(b"DATA\r\n" * (number % 5 > 2))
                    await asyncio.sleep(0.002)
                    caller.say(b"x\r\n.\r\n" * (number % 5 > 3))
                if how == "host":
                    await asyncio.sleep(
                        0.1
                    )  # who still has something unread at the end gets a reset, no reply
                    await world.mine.stop()
                    said = [await caller.rest() for caller in callers]
                    assert all("421 mx2.st11.sne21.test: SMTP service closing" in each for each in said)
                    assert not world.mine.mta.intake.sessions
            for caller in callers:
                await caller.rest()
        assert problems == []

    run(story())


def test_hanging_up_while_the_message_is_stored(run: Run, greeted: Calls) -> None:
    """The client does not hear our 250: the message is ours all the same, once."""

    async def story() -> None:
        async with lab() as world:
            for number in range(10):
                caller = await greeted(world)
                await caller.begin(EVE, ANN)
                caller.say(b"Subject: %d\r\n\r\nx\r\n.\r\n" % number)
                await asyncio.sleep(0.001 * (number % 3))
                caller.hang_up()
            await until(lambda: not world.mine.mta.intake.sessions)
            await world.settle()
            subjects = [letter.first("Subject") for letter in world.mine.mailbox("ann")]
            assert len(set(subjects)) == len(subjects)
            assert len(world.journal.where(EventKind.RECEIVED)) == len(subjects)
            await expect_service(world, greeted)

    run(story())


async def deaf(world: World, stop: Callable[[], bool]) -> socket.socket:
    """A client that asks and never reads, until it has no session any more or `stop()`."""
    loop = asyncio.get_running_loop()
    client = socket.socket()
    client.setblocking(False)
    client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    client.bind((world.real(world.partner_laptop.address, 0)[0], 0))
    await loop.sock_connect(client, world.real(world.mine.address, 25))
    await asyncio.sleep(0.05)
    await loop.sock_sendall(client, b"EHLO x\r\n")
    await asyncio.sleep(0.05)
    await loop.sock_sendall(client, b"MAIL FROM:<eve@x.test>\r\n")
    await asyncio.sleep(0.05)
    while not stop() and world.mine.mta.intake.sessions:
        with suppress(ConnectionError, asyncio.TimeoutError):
            await asyncio.wait_for(loop.sock_sendall(client, b"RCPT TO:<nobody@elsewhere.test>\r\n"), 0.5)
        await asyncio.sleep(0.002)
    return client


def unsent(world: World) -> int:
    """Octets of answers that not even the kernel takes any more."""
    transports = [shell._transport for shell in world.mine.mta.intake.sessions]
    return sum(transport.get_write_buffer_size() for transport in transports if transport is not None)


@pytest.mark.parametrize("stays", [False, True], ids=["goes on asking", "just stays"])
def test_a_client_that_never_reads(
    run: Run, greeted: Calls, monkeypatch: pytest.MonkeyPatch, stays: bool
) -> None:
    """It is cut off: by the limit on what it leaves unread, or some time after its session is over."""
    monkeypatch.setattr(smtp_server, "LINGER", 0.5)
    before = resident()

    async def story() -> None:
        async with lab("smtp_receive_timeout = 1s\n") as world:
            configuration = world.mine.configuration
            world.mine.write_configuration(configuration.replace("relay not permitted", "no " * 5000))
            await world.mine.reload()
            client = await deaf(world, lambda: stays and unsent(world) > 0)
            assert bool(unsent(world)) == stays
            await until(lambda: not world.mine.mta.intake.sessions)
            client.close()
            world.mine.write_configuration(configuration)
            await world.mine.reload()
            await expect_service(world, greeted)
            assert resident() - before < 100 * MEGABYTE

    run(story())


# --- loops ---


@pytest.mark.parametrize("sender", [ANN, ""])
def test_a_hundred_and_twenty_hops_are_a_loop(run: Run, greeted: Calls, sender: str) -> None:
    async def story() -> None:
        async with lab() as world:
            caller = await greeted(world, source=world.laptop.address)
            hop = b"Received: from a.test by b.test; Mon, 07 Sep 2026 09:00:00 +0000\r\n"
            for hops, recipient in [(120, BOB), (29, BOB), (120, ANN)]:
                await caller.begin(sender, recipient)
                await caller.finish(hop * hops + b"Subject: round and round\r\n\r\nx")
            await caller.codes("QUIT")
            await until(lambda: not world.network.foreign_connections())
            await world.settle()
            failed = world.journal.where(EventKind.FAILED)
            assert {event.text for event in failed} == {'Too many "Received" headers - suspected mail loop'}
            assert len(failed) == 3, "29 and ours are 30; with the partner's own they are too many there"
            expected = {event.host for event in failed}
            assert expected == {world.mine.name, world.partner.name}
            frozen = world.journal.where(EventKind.FROZEN)
            if sender:
                assert len(world.mine.mailbox("ann")) == 3
                assert frozen == []
            else:
                assert len(frozen) == 3, "nobody can be told"
            await world.advance(days=1)
            assert len(world.journal.where(EventKind.FAILED)) == 3

    run(story())


# --- relaying ---


RECIPIENTS = [
    ("bob@st2.sne21.test", 550, "a domain that is not ours"),
    ("bob@ST2.SNE21.TEST", 550, "in capitals"),
    ("bob%st2.sne21.test@st11.sne21.test", 550, "the percent hack"),
    ("bob%st2.sne21.test@mx2.st11.sne21.test", 550, "to the host's name"),
    ("@st11.sne21.test:bob@st2.sne21.test", 550, "a source route through us"),
    ("@st11.sne21.test,@st2.sne21.test:bob@st2.sne21.test", 550, "a longer one"),
    ('"bob@st2.sne21.test"@st11.sne21.test', 550, "a quoted local part with a domain in it"),
    ('"bob%st2.sne21.test"@st11.sne21.test', 550, "quoted percent"),
    ('"@st2.sne21.test:bob"@st11.sne21.test', 550, "a quoted route"),
    ("st2.sne21.test!bob@st11.sne21.test", 550, "a bang path"),
    ("st2.sne21.test!bob", 501, "a bang path without a domain"),
    ("bob@st2.sne21.test@st11.sne21.test", 501, "two at signs"),
    ("bob@st11.sne21.test@st2.sne21.test", 501, "the other way round"),
    ("bob@st11.sne21.test.st2.sne21.test", 550, "our name as a prefix"),
    ("bob@notst11.sne21.test", 550, "our name as a suffix"),
    ("bob@st11.sne21.test.", 501, "a final dot"),
    ("bob@[203.0.113.2]", 501, "an address literal"),
    ("bob@203.0.113.2", 550, "numbers as a name"),
    ("bob@localhost", 550, "localhost is not us"),
    ("bob@", 501, "no domain"),
    ("bob", 501, "no domain"),
    ("ann@mx2.st11.sne21.test", 550, "only the domains of the list are ours"),
    ("eve@st11.sne21.test", 550, "unknown here"),
    ("root@st11.sne21.test", 250, "whom every machine has"),
    ("ann@st11.sne21.test", 250, "really ours"),
    ("ann@ST11.sne21.TEST", 250, "domains have no case"),
    ('"ann"@st11.sne21.test', 250, "the quotes are not part of it"),
    ("@a.test,@b.test:ann@st11.sne21.test", 250, "the route is ignored, the target is ours"),
]


def test_no_open_relay(run: Run, greeted: Calls) -> None:
    async def story() -> None:
        async with lab() as world:
            for sender, (address, code, because) in product((EVE, ANN, "", "root@localhost"), RECIPIENTS):
                caller = await greeted(world)
                name = world.laptop.name if sender else "localhost"
                assert await caller.codes(f"EHLO {name}", f"MAIL FROM:<{sender}>") == [250, 250]
                assert await caller.codes(f"RCPT TO:<{address}>") == [code], (address, because)
                assert await caller.codes("DATA") == [354 if code == 250 else 503]
                if code == 250:
                    assert (await caller.finish(b"x")).startswith("250 ")
                caller.hang_up()
            await world.settle()
            expected = 4 * [code for _, code, _ in RECIPIENTS].count(250)
            assert len(world.mine.mailbox("ann")) + len(world.mine.mailbox("root")) == expected
            assert world.journal.where(host=world.partner.name, kind=EventKind.RECEIVED) == []

    run(story())


# --- hostile content and addresses ---

FROM_LINES = [
    b"From eve@x.test Mon Sep  7 09:00:00 2026\r\nSubject: first line\r\n\r\nx",
    b"Subject: in the body\r\n\r\nFrom eve@x.test Mon Sep  7 09:00:00 2026\r\nFrom: eve\r\n\r\nx",
    b"Subject: after an empty line\r\n\r\n\r\n\r\nFrom eve Mon Sep  7 09:00:00 2026\r\n\r\nFrom \r\n\r\n",
    b"Subject: last line\r\n\r\nx\r\n\r\nFrom eve@x.test Mon Sep  7 09:00:00 2026",
    b"Subject: escaped before\r\n\r\n>From eve\r\n\r\n>>From eve\r\n\r\n> From eve\r\n",
    b"Subject: bare line ends\r\n\r\nx\n\nFrom eve Mon Sep  7 09:00:00 2026\r\n\r\rFrom eve Mon Sep  7 2026\r\n",
    b"Subject: folded\r\n From eve Mon Sep  7 09:00:00 2026\r\n\r\nx",
    b"From eve",
    b"\r\n\r\n\r\n",
    b"",
]


def test_what_looks_like_the_next_message_is_not_one(run: Run, greeted: Calls) -> None:
    async def story() -> Path:
        async with lab() as world:
            caller = await greeted(world)
            for content in FROM_LINES:
                assert await caller.begin("From@x.test", ANN) == [250, 250, 354]
                assert (await caller.finish(content)).startswith("250 OK id=")
            await world.settle()
            letters = world.mine.mailbox("ann")
            file = world.mine.mailbox_file("ann")
            assert len(letters) == len(FROM_LINES)
            ids = {event.queue_id for event in world.journal.where(EventKind.RECEIVED)}
            for letter, content in zip(letters, FROM_LINES):
                assert (letter.first("Return-path"), letter.first("Envelope-to")) == ("<From@x.test>", ANN)
                assert any(queue_id in (letter.first("Received") or "") for queue_id in ids)
                if b"\r\n>From " not in content and is_canonical(content) and content.startswith(b"Subject"):
                    assert letter.body.rstrip() == content.partition(b"\r\n\r\n")[2].rstrip()
            others = mailbox.mbox(file, create=False)
            assert len(others) == len(FROM_LINES), "Python's mailbox module sees the same"
            others.close()
            return file

    run(story())


TRAVERSALS = [
    "../../etc/x",
    "../../../x",
    "/etc/x",
    "/",
    ".",
    "..",
    "a/b",
    "a/../../../x",
    "ann/../../etc/exim.conf",
    "x" * 180,
    "a b",
    'a\\\\"b',
    "$local_part",
    "${run{/bin/sh}}",
    "|/bin/sh",
    "*",
]


def test_addresses_never_choose_a_file_outside(run: Run, greeted: Calls, tmp_path: Path) -> None:
    """Even where an administrator lets local parts name the files."""

    def tree() -> dict[Path, bytes | None]:
        return {
            path: path.read_bytes() if path.is_file() else None
            for path in sorted(tmp_path.rglob("*"))
            if mail not in (path, *path.parents) and not {"spool", "programs", "journal"} & {*path.parts}
        }

    folder = tmp_path / "lab"
    mail = folder / "mx2.st11.sne21.test/var/mail"

    async def story() -> None:
        async with lab(folder=folder) as world:
            configuration = world.mine.configuration
            world.mine.write_configuration(configuration.replace("check_local_user", "local_parts = *"))
            await world.mine.reload()
            mail.mkdir(parents=True, exist_ok=True)
            (tmp_path / "x").write_bytes(b"precious")
            before = tree()
            for local_part in TRAVERSALS:
                caller = await greeted(world)
                codes = await caller.begin(EVE, f'"{local_part}"@st11.sne21.test')
                if codes[-1] == 354:
                    await caller.finish(b"Subject: traversal\r\n\r\nx")
                caller.hang_up()
            await until(lambda: not world.mine.mta.intake.sessions)
            await world.settle()
            await world.advance(hours=1)
            assert tree() == before
            assert (tmp_path / "x").read_bytes() == b"precious"
            world.mine.write_configuration(configuration)
            await world.mine.reload()
            await expect_service(world, greeted)

    run(story())


@pytest.mark.parametrize("local_part", [*TRAVERSALS, "x\0y", "link/x", "link", "fifo", ""])
def test_mailboxes_stay_below_the_host(tmp_path: Path, local_part: str) -> None:
    """Even if everything before them had failed."""
    (tmp_path / "x").write_bytes(b"precious")
    root = tmp_path / "host"
    mail = root / "var/mail"
    mail.mkdir(parents=True)
    (mail / "link").symlink_to(tmp_path)
    os.mkfifo(mail / "fifo")
    path, content = mail / local_part, b"Subject: x\r\n\r\nx\r\n"
    with suppress(OSError, ValueError):
        append_to_mbox(path, content, EVE, FIRST_MORNING, root=root, delivery="1xTEST-000001-00 x")
    with suppress(OSError, ValueError):
        deliver_to_maildir(path, content, root=root, queue_id="1xTEST-000001-00", recipient_index=0)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["host", "x"]
    assert (tmp_path / "x").read_bytes() == b"precious"
    assert {path.name for path in root.iterdir()} == {"var"}
    assert {path.name for path in (root / "var").iterdir()} == {"mail"}


# --- injection through our own interface ---


@pytest.mark.parametrize(
    "evil", ["x\r\nBcc: eve@x.test", "x\nBcc: eve@x.test", "x\rBcc: eve@x.test", "x\0y", "ä\r\nBcc: eve"]
)
def test_header_injection(run: Run, evil: str) -> None:
    async def story() -> None:
        async with partners(network="memory") as world:
            for fields in ({"subject": evil}, {"header_to": evil}, {"header_from": evil}):
                arguments: dict[str, Any] = {"subject": "s", **fields}
                with pytest.raises(ValueError, match=r"line end|linefeed|NUL|control"):
                    world.laptop.compose(BOB, text="t", **arguments)
                with pytest.raises(ValueError, match=r"line end|linefeed|NUL|control"):
                    await world.laptop.send(BOB, text="t", **arguments)
            assert world.journal.where(EventKind.RECEIVED) == []

    run(story())


@pytest.mark.parametrize(
    "address",
    [
        "bob@st2.sne21.test>\r\nRCPT TO:<eve@x.test",
        "bob@st2.sne21.test\r\nDATA",
        "bob@st2.sne21.test\nDATA",
        "bob\r@st2.sne21.test",
        "bob@st2.sne21.test SIZE=1",
        "bob@st2.sne21.test\0",
        '"bob\r\n"@st2.sne21.test',
        "",
        "bob",
        "<>",
    ],
)
def test_address_injection(run: Run, address: str) -> None:
    async def story() -> None:
        async with partners(network="memory") as world:
            with pytest.raises(ValueError, match=r"."):
                await world.laptop.send(address, "s", "t")
            with pytest.raises(ValueError, match=r"."):
                await world.mine.send(ANN, address, "Subject: s\n\nt\n")
            if address:
                with pytest.raises(ValueError, match=r"."):
                    await world.laptop.send(BOB, "s", "t", sender=address)
                with pytest.raises(ValueError, match=r"."):
                    await world.mine.send(address, BOB, "Subject: s\n\nt\n")
            if address != "bob":  # somebody of this host, to exim -bt
                with pytest.raises(ValueError, match=r"."):
                    await world.mine.route(address)
            assert world.journal.where(EventKind.RECEIVED) == []

    run(story())


def test_texts_of_our_own_cannot_end_the_message(run: Run) -> None:
    async def story() -> None:
        async with partners(network="memory") as world:
            text = "one\r\n.\r\nQUIT\r\n\n.\nMAIL FROM:<>\r.\rtwo"
            await world.laptop.send(BOB, "dots", text)
            await world.mine.send(ANN, BOB, f"Subject: dots\n\n{text}")
            for letter in world.partner.mailbox("bob"):
                assert letter.body == b"one\r\n.\r\nQUIT\r\n\r\n.\r\nMAIL FROM:<>\r\n.\r\ntwo\r\n"

    run(story())
