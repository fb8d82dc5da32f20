"""Programs that know nothing of labkit: smtplib, swaks and dig reach the lab as they would reach any host."""

from __future__ import annotations

import asyncio
import smtplib
import subprocess
from collections.abc import Callable, Coroutine
from email.message import EmailMessage
from typing import Any

import pytest

from labkit import partners
from labkit.lab.world import World
from labkit.mail.event import EventKind
from labkit.net.dns_zones import read_zone
from labkit.net.network import Peer

Run = Callable[[Coroutine[Any, Any, Any]], Any]
Require = Callable[[str], str]
ANN, BOB = "ann@st11.sne21.test", "bob@st2.sne21.test"


async def program(*command: str, stdin: str = "") -> tuple[int, str]:
    """Run a program while the world goes on; its exit status and all it said."""
    done = await asyncio.to_thread(
        subprocess.run,
        command,
        input=stdin,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=30,
    )
    return done.returncode, done.stdout


async def until(condition: Callable[[], bool]) -> None:
    for _ in range(5000):
        if condition():
            return
        await asyncio.sleep(0.002)
    raise AssertionError("waited in vain")


def a_letter(subject: str, text: str = "Привет\n.\n..dots\nFrom here\n") -> EmailMessage:
    letter = EmailMessage()
    letter["From"], letter["To"], letter["Subject"] = ANN, BOB, subject
    letter.set_content(text)
    return letter


# --- smtplib ---


def test_smtplib_sends_as_to_any_server(run: Run) -> None:
    async def story() -> None:
        async with partners(network="loopback") as world:
            place = world.real(world.mine.address, 25)
            here = (world.real(world.laptop.address, 0)[0], 0)

            def send() -> dict[str, tuple[int, bytes]]:
                with smtplib.SMTP(*place, source_address=here, local_hostname="a.test", timeout=20) as client:
                    refused: dict[str, tuple[int, bytes]] = {}
                    for number in range(3):
                        refused |= client.send_message(a_letter(f"letter {number}"))
                    assert client.ehlo_resp is not None
                    assert b"PIPELINING" in client.ehlo_resp
                    assert client.verify(BOB) == (252, b"Administrative prohibition")
                    return refused

            assert await asyncio.to_thread(send) == {}
            await world.settle()
            letters = world.partner.mailbox("bob")
            assert [letter.first("Subject") for letter in letters] == ["letter 0", "letter 1", "letter 2"]
            assert letters[0].body == "Привет\r\n.\r\n..dots\r\nFrom here\r\n".encode()
            received = world.journal.where(EventKind.RECEIVED, host=world.mine.name)
            assert {event.remote_address for event in received} == {world.laptop.address}
            assert all(event.remote_port for event in received)

    run(story())


def test_mail_is_delivered_without_anybody_settling(run: Run) -> None:
    """A foreign client sends; the world goes on by itself while the notebook does something else."""

    async def story() -> None:
        async with partners(network="loopback") as world:
            place = world.real(world.mine.address, 25)
            here = (world.real(world.laptop.address, 0)[0], 0)

            def send() -> None:
                with smtplib.SMTP(*place, source_address=here, local_hostname="a.test", timeout=20) as client:
                    client.send_message(a_letter("by itself"))

            await asyncio.to_thread(send)
            await until(lambda: len(world.partner.mailbox("bob")) == 1)

    run(story())


def test_a_stranger_may_not_relay(run: Run) -> None:
    async def story() -> None:
        async with partners(network="loopback") as world:
            place = world.real(world.mine.address, 25)
            here = (world.real(world.partner_laptop.address, 0)[0], 0)

            def send() -> None:
                with smtplib.SMTP(*place, source_address=here, local_hostname="s.test", timeout=20) as client:
                    with pytest.raises(smtplib.SMTPRecipientsRefused) as caught:
                        client.send_message(a_letter("relay"))
                    assert caught.value.recipients == {BOB: (550, b"relay not permitted")}
                    client.sendmail("eve@s.test", [ANN], b"Subject: to you\r\n\r\nthis is yours\r\n")

            await asyncio.to_thread(send)
            await world.settle()
            assert [letter.first("Subject") for letter in world.mine.mailbox("ann")] == ["to you"]
            assert world.partner.mailbox("bob") == []

    run(story())


def test_plain_localhost_is_sent_away_with_an_explanation(run: Run) -> None:
    async def story() -> None:
        async with partners(network="loopback") as world:
            place = world.real(world.mine.address, 25)

            def send() -> tuple[int, str]:
                with pytest.raises(smtplib.SMTPConnectError) as caught:
                    smtplib.SMTP(*place, local_hostname="a.test", timeout=20)
                problem = caught.value.smtp_error
                return caught.value.smtp_code, (problem if isinstance(problem, str) else problem.decode())

            code, words = await asyncio.to_thread(send)
            assert code == 554
            for part in ("127.0.0.1", "no host of this lab", "source_address", "--local-interface"):
                assert part in words
            await until(lambda: not world.network.foreign_connections())
            await world.advance(hours=1)

    run(story())


def test_an_address_that_no_host_has_is_plain_localhost(run: Run) -> None:
    async def story() -> None:
        async with partners(network="loopback") as world:
            place = world.real(world.mine.address, 25)
            reader, writer = await asyncio.open_connection(*place, local_addr=("127.9.9.9", 0))
            assert (await reader.read()).startswith(b"554-")
            writer.close()
            await writer.wait_closed()

    run(story())


def test_lab_time_stands_still_while_a_program_is_connected(run: Run, greeted: Any) -> None:
    async def story() -> None:
        async with partners(network="loopback") as world:
            first = await greeted(world, source=world.laptop.address)
            second = await greeted(world)
            with pytest.raises(RuntimeError, match="still connected") as caught:
                await world.advance(days=1)
            for peer, client in ((world.laptop, first), (world.partner_laptop, second)):
                port = client.writer.get_extra_info("sockname")[1]
                assert f"{peer.address} port {port}" in str(caught.value)
            assert (await first.ask("QUIT"))[0].startswith("221 ")
            second.hang_up()
            await until(lambda: not world.network.foreign_connections())
            await world.advance(days=1)

    run(story())


def test_a_program_outside_never_waits_for_lab_time(run: Run, greeted: Any) -> None:
    """Its RCPT needs the nameserver, which is silent, while a delivery is under way: that is not its business."""

    async def story() -> None:
        async with partners(network="loopback") as world:
            conf = world.mine.configuration.replace(
                "  accept  hosts", "  require verify = recipient\n  accept hosts"
            )
            world.mine.write_configuration(conf)
            await world.mine.reload()
            await world.partner.stop()
            connections: list[asyncio.BaseProtocol] = []

            def accept(peer: Peer) -> asyncio.BaseProtocol:
                connections.append(asyncio.Protocol())  # says nothing: the delivery takes real time
                return connections[-1]

            listener = await world.network.listen(world.partner.address, 25, accept)
            await world.laptop.send(BOB, "under way", settle=False)
            await until(lambda: bool(connections))
            world.nameserver.silent()
            world.mine.mta.state.resolver.flush()
            client = await greeted(world, source=world.laptop.address)
            codes = await asyncio.wait_for(client.codes(f"MAIL FROM:<{ANN}>", f"RCPT TO:<{BOB}>"), 5)
            assert codes == [250, 451]
            listener.close()

    run(story())


# --- swaks ---


def test_swaks(run: Run, require: Require) -> None:
    swaks = require("swaks")

    async def story() -> None:
        async with partners(network="loopback") as world:
            address, port = world.real(world.mine.address, 25)
            here = world.real(world.laptop.address, 0)[0]
            common = (swaks, "--server", address, "--port", str(port), "--from", ANN, "--helo", "swaks.test")
            status, said = await program(
                *common,
                "--local-interface",
                here,
                "--to",
                BOB,
                "--header",
                "Subject: from swaks",
                "--body",
                "a\n.\n",
            )
            assert status == 0, said
            assert "250 OK id=" in said
            await world.settle()
            (letter,) = world.partner.mailbox("bob")
            assert letter.first("Subject") == "from swaks"
            assert "(helo=swaks.test)" in list(letter.all("Received"))[1].value

            stranger = world.real(world.partner_laptop.address, 0)[0]
            status, said = await program(*common, "--local-interface", stranger, "--to", BOB)
            assert status == 24, said  # swaks: no recipient was accepted
            assert "550 relay not permitted" in said

            status, said = await program(*common, "--to", BOB)
            assert status == 21, said  # swaks: no good banner
            assert "you call from 127.0.0.1" in said
            await until(lambda: not world.network.foreign_connections())
            await world.advance(minutes=1)

    run(story())


def test_swaks_pipelines(run: Run, require: Require) -> None:
    swaks = require("swaks")

    async def story() -> None:
        async with partners(network="loopback") as world:
            address, port = world.real(world.mine.address, 25)
            here = world.real(world.laptop.address, 0)[0]
            where = ("--server", address, "--port", str(port), "--local-interface", here)
            status, said = await program(
                swaks, *where, "--pipeline", "--from", ANN, "--to", f"{BOB},{ANN}", "--helo", "swaks.test"
            )
            assert status == 0, said
            await world.settle()
            assert len(world.partner.mailbox("bob")) == len(world.mine.mailbox("ann")) == 1

    run(story())


# --- dig ---


async def dig(world: World, path: str, *question: str) -> str:
    address, port = world.real(world.scenario.nameserver, 53)
    status, said = await program(path, f"@{address}", "-p", str(port), "+time=5", "+tries=1", *question)
    assert status == 0, said
    return said


@pytest.mark.parametrize("by", ["+notcp", "+tcp"])
def test_dig(run: Run, require: Require, by: str) -> None:
    path = require("dig")

    async def story() -> None:
        async with partners(network="loopback") as world:
            text = world.zones["sne21.test"].text + 'st11 IN TXT "v=spf1 mx" " -all"\n'
            world.zones.put(read_zone(text, "sne21.test"))
            for question, answer in [
                (("mx2.st11.sne21.test", "A"), "203.0.113.11"),
                (("st11.sne21.test", "MX"), "10 mx2.st11.sne21.test."),
                (("st11.sne21.test", "TXT"), '"v=spf1 mx" " -all"'),
                (("-x", "203.0.113.2"), "mx2.st2.sne21.test."),
                (("sne21.test", "NS"), "ns.sne21.test."),
            ]:
                said = await dig(world, path, by, *question)
                assert "status: NOERROR" in said
                assert "flags: qr aa" in said
                assert answer in said, said
            said = await dig(world, path, by, "no.such.sne21.test", "A")
            assert "status: NXDOMAIN" in said
            assert "SOA" in said
            assert "status: NXDOMAIN" in await dig(world, path, by, "example.com", "A"), (
                "nobody is asked outside"
            )
            await world.advance(minutes=1)

    run(story())
