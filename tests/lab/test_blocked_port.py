"""Port 25 blocked on the way out, as in a cloud: a time-out and no refusal, for every program on that host."""

from __future__ import annotations

import asyncio
import os
import smtplib
import ssl
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from labkit import World
from labkit.lab.faults import FaultError
from labkit.lab.world import partners
from labkit.mail.event import EventKind
from labkit.net.network import HostSilent
from tests.conftest import missing

from .outside_world import (
    ANN,
    BOB,
    CAROL,
    LETTER,
    MINE,
    NETWORKS,
    PASSWORD,
    WAYS,
    Run,
    opened,
    use_relay,
    verified,
)

HOST = f"mx2.{MINE}"


@pytest.fixture(autouse=True)
def own_doorplates(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """`labkit run` finds the world of this test, and none that runs beside it."""
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))


def deferrals(world: World) -> list[str]:
    return [event.text or "" for event in world.journal.where(EventKind.DEFERRED, host=HOST)]


@WAYS
def test_a_time_out_is_no_refusal(run: Run, network: str, engine: str) -> None:
    """The log tells them apart; other ports work, mail comes in, and the block may be lifted."""

    async def story() -> None:
        async with opened("relay", network, engine) as world:
            await world.mine.send(ANN, CAROL, LETTER.format(ANN, CAROL, "blocked"))
            await world.advance(minutes=10)  # five of them for each try
            assert "Connection timed out" in deferrals(world)[-1]
            await world.partner.send(BOB, ANN, LETTER.format(BOB, ANN, "in"))
            assert len(world.mine.mailbox("ann")) == 1, "what comes in is not blocked"
            world.faults.clear(HOST)
            await world.host("mx.bigmail.test").stop()
            await world.mine.run_queue(forced=True)
            assert "Connection refused" in deferrals(world)[-1]
            await world.host("mx.bigmail.test").start()
            await world.advance(hours=2)
            assert len(world.provider.spam("carol")) == 1, "no record vouches for it"
            world.faults.add("mx2.st11", "blocked")
            assert "blocked  port 25" in repr(world.faults)
            await use_relay(world)
            await verified(world)
            await world.mine.send(ANN, CAROL, LETTER.format(ANN, CAROL, "by-587"))
            assert len(world.provider.inbox("carol")) == 1, "the relay's records do"

    run(story())


@NETWORKS
def test_only_that_host_and_that_port(run: Run, network: str) -> None:
    async def story() -> None:
        async with opened("relay", network) as world:
            mine, relay = world.mine.address, world.relay.host.address
            for source, port, works in (
                (mine, 25, False),
                (mine, 587, True),
                (mine, 465, True),
                (mine, 2525, True),
                (world.partner.address, 25, True),
                (world.laptop.address, 25, True),
            ):
                try:
                    transport = await world.network.connect(source, relay, port, asyncio.Protocol)
                    transport.abort()
                    assert works, (source, port)
                except HostSilent:
                    assert not works, (source, port)
            to_itself = await world.network.connect(mine, mine, 25, asyncio.Protocol)
            to_itself.abort()
            world.faults.add(HOST, "blocked", port=587)
            with pytest.raises(HostSilent):
                await world.network.connect(mine, relay, 587, asyncio.Protocol)
            assert world.faults.clear(HOST) == 2
            (await world.network.connect(mine, relay, 25, asyncio.Protocol)).abort()
            with pytest.raises(FaultError, match="a port number"):
                world.faults.add(HOST, "blocked", port=0)

    run(story())


async def at(world: World, *command: str, stdin: str = "", patience: float = 40) -> tuple[int, str, float]:
    """A program that lives on the student's host: status, what it said, seconds it took."""
    began = time.monotonic()
    done = await asyncio.to_thread(
        subprocess.run,
        [sys.executable, "-m", "labkit.cli", "run", "--at", HOST, *command],
        input=stdin,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=patience,
        env=os.environ | {"LC_ALL": "C"},
    )
    return done.returncode, done.stdout, time.monotonic() - began


@pytest.mark.needs("nc", "gcc")
def test_nc_waits_in_vain(run: Run) -> None:
    """What a student tries first: nothing at 25, a banner at 587, and at once "refused" where nobody listens."""

    async def story() -> None:
        async with opened("relay", "loopback") as world:
            status, said, took = await at(world, "nc", "-v", "-w", "1", "smtp.relay.test", "25")
            assert status != 0 and took > 0.9, said
            assert "220" not in said
            assert "refused" not in said.lower()
            status, said, _ = await at(world, "nc", "-w", "5", "smtp.relay.test", "587", stdin="QUIT\r\n")
            assert said.startswith("220 smtp.relay.test"), said
            assert "221" in said
            status, said, took = await at(world, "nc", "-v", "-w", "5", "smtp.relay.test", "2526")
            assert status != 0 and "refused" in said.lower(), said
            assert world.is_running

    run(story())


SUBMISSION = pytest.mark.parametrize("port", [587, 465, 2525])


@SUBMISSION
def test_smtplib_submits(run: Run, port: int) -> None:
    """Another client than ours, with OpenSSL in real time: the certificate is checked, the password is sent."""

    def submit(place: tuple[str, int], here: tuple[str, int], authority: str) -> list[str]:
        context = ssl.create_default_context(cafile=authority)
        context.check_hostname = False  # it calls an address of this machine; the name is looked at below
        said = []
        for mechanism in ("PLAIN", "LOGIN"):
            options: Any = {"source_address": here, "local_hostname": HOST, "timeout": 20}
            at_once = smtplib.SMTP_SSL(*place, context=context, **options) if port == 465 else None
            with at_once or smtplib.SMTP(*place, **options) as client:
                if at_once is None:
                    assert not client.has_extn("auth")
                    client.starttls(context=context)
                client.ehlo()
                assert ("DNS", "smtp.relay.test") in client.sock.getpeercert()["subjectAltName"]
                client.user, client.password = "st11", "wrong"
                with pytest.raises(smtplib.SMTPAuthenticationError):
                    client.auth(mechanism, getattr(client, f"auth_{mechanism.lower()}"))
                client.password = PASSWORD
                client.auth(mechanism, getattr(client, f"auth_{mechanism.lower()}"))
                client.sendmail(ANN, [CAROL], LETTER.format(ANN, CAROL, mechanism))
                said.append(mechanism)
        return said

    async def story() -> None:
        async with opened("relay", "loopback") as world:
            await verified(world)
            place, here = world.real(world.relay.host.address, port), world.real(world.mine.address, 0)
            assert await asyncio.to_thread(submit, place, (here[0], 0), str(world.authority.ca)) == [
                "PLAIN",
                "LOGIN",
            ]
            await carol_has(world, 2)
            assert {
                event.remote_address
                for event in world.journal.where(EventKind.RECEIVED, authenticator="plain:st11")
            }

    run(story())


async def carol_has(world: World, count: int) -> None:
    for _ in range(1000):
        if len(world.host("mx.bigmail.test").mailbox("carol")) == count:
            return
        await asyncio.sleep(0.01)
    raise AssertionError("waited in vain")


@pytest.mark.needs("swaks", "perl", "gcc")
@SUBMISSION
def test_swaks_submits(run: Run, port: int, require: Callable[[str], str]) -> None:
    if subprocess.run(["perl", "-MNet::SSLeay", "-e", "1"], capture_output=True, check=False).returncode:
        missing("Net::SSLeay, without which swaks speaks no TLS,")

    async def story() -> None:
        async with opened("relay", "loopback") as world:
            await verified(world)
            tls = "--tls-on-connect" if port == 465 else "--tls"
            words = (require("swaks"), "--server", "smtp.relay.test", "--port", str(port), tls)
            words += ("--from", ANN, "--to", CAROL, "--helo", HOST, "--header", f"From: {ANN}")
            check = ("--tls-verify", "--tls-ca-path", str(world.authority.ca), "--auth-user", "st11")
            for mechanism in ("PLAIN", "LOGIN"):
                status, said, _ = await at(
                    world, *words, *check, "--auth", mechanism, "--auth-password", PASSWORD
                )
                assert status == 0 and "250 OK id=" in said, said
            status, said, _ = await at(world, *words, *check, "--auth", "PLAIN", "--auth-password", "wrong")
            assert status == 28 and "535 5.7.8" in said, said
            await carol_has(world, 2)

    run(story())


@pytest.mark.needs("swaks", "gcc")
def test_swaks_times_out_at_25(run: Run, require: Callable[[str], str]) -> None:
    async def story() -> None:
        async with opened("relay", "loopback") as world:
            swaks = require("swaks")
            words = ("--server", "mx.bigmail.test", "--from", ANN, "--to", CAROL, "--timeout", "3")
            status, said, _ = await at(world, swaks, *words)
            assert status == 2, said
            assert "timed out" in said.lower() or "timeout" in said.lower(), said

    run(story())


def test_a_world_without_relay_has_the_fault_too(run: Run) -> None:
    async def story() -> None:
        async with partners(network="memory", alongside=True) as world:
            world.faults.add(world.mine.name, "blocked")
            await world.mine.send(ANN, BOB, LETTER.format(ANN, BOB, "x"))
            await world.advance(minutes=10)
            assert "Connection timed out" in deferrals(world)[-1]

    run(story())
