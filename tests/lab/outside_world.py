"""What the tests of the servers outside share: a client that types, configurations, ways to run a world."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from labkit import World
from labkit.lab.data import data_path
from labkit.mail.envelope import Envelope
from labkit.net.network import Network
from labkit.net.smtp_client import SmtpConnection
from labkit.net.tls_client import ClientTls

Run = Callable[[Coroutine[Any, Any, Any]], Any]
MINE, THEIRS = "st11.sne21.test", "st2.sne21.test"
ANN, BOB, CAROL = f"ann@{MINE}", f"bob@{THEIRS}", "carol@bigmail.test"
PASSWORD = "dummy-11-for-the-lab"
NETWORKS = pytest.mark.parametrize("network", ["memory", "loopback"])
WAYS = pytest.mark.parametrize(
    "network, engine",
    [
        ("memory", "labkit"),
        ("loopback", "labkit"),
        pytest.param("loopback", "exim", marks=pytest.mark.needs("exim", "gcc")),
    ],
)
LETTER = "From: {0}\nTo: {1}\nSubject: {2}\nMessage-ID: <{2}@test>\n\nhello\n"
SMARTHOST = """
smart:
  driver     = manualroute
  domains    = ! +local_domains
  route_list = * smtp.relay.test
  transport  = by_relay
"""
BY_RELAY = """
by_relay:
  driver                  = smtp
  port                    = {port}
  {protocol}
  hosts_require_auth      = *
  tls_verify_hosts        = *
  tls_verify_certificates = /etc/ssl/lab-authority.pem
"""
LOGIN = """
begin authenticators
plain:
  driver      = plaintext
  public_name = PLAIN
  client_send = ^st11^dummy-11-for-the-lab
"""


def opened(name: str, network: str = "memory", engine: str = "labkit", **more: Any) -> World:
    return World.open(name, network=network, engine=engine, alongside=True, **more)


def smarthost(configuration: str, port: int = 587) -> str:
    """The configuration of a student's host, with the relay as its smarthost."""
    protocol = "protocol = smtps" if port == 465 else "hosts_require_tls = *"
    routers, transports = "begin routers\n", "begin transports\n"
    by_relay = BY_RELAY.format(port=port, protocol=protocol)
    configuration = configuration.replace(routers, routers + SMARTHOST)
    return configuration.replace(transports, transports + by_relay) + LOGIN


def conf(name: str) -> str:
    return data_path("scenarios", name, "host.conf").read_text(encoding="utf-8")


async def publish(world: World, *lines: str, origin: str = "sne21.test") -> None:
    """Put lines into a zone; its caches are not asked any more."""
    world.write_zone(origin, "\n".join([world.zone(origin), *lines, ""]))


async def verified(world: World) -> None:
    """Publish what the relay wants, and have it look."""
    await publish(world, *(record.line for record in world.relay.records(MINE)))
    report = await world.relay.verify_domain(MINE)
    assert report.is_verified, str(report)


async def use_relay(world: World, port: int = 587) -> None:
    world.mine.write_configuration(smarthost(world.mine.configuration, port))
    await world.mine.reload()


class Typing(asyncio.Protocol):
    """A client that sends what it is told, octet for octet."""

    def __init__(self) -> None:
        self.heard = b""
        self.transport: Any = None
        self.is_over = False
        self._news = asyncio.Event()

    @classmethod
    async def call(cls, network: Network, source: str, address: str, port: int) -> Typing:
        typing = cls()
        await network.connect(source, address, port, lambda: typing)
        assert (await typing.reply()).startswith("220")
        return typing

    def connection_made(self, transport: Any) -> None:
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        self.heard += data
        self._news.set()

    def connection_lost(self, problem: Exception | None) -> None:
        self.is_over = True
        self._news.set()

    async def reply(self) -> str:
        """The next reply, its lines joined by a slash; "" when the server has hung up."""
        lines = []
        while True:
            while b"\r\n" not in self.heard and not self.is_over:
                self._news.clear()
                await asyncio.wait_for(self._news.wait(), 20)
            line, _, self.heard = self.heard.partition(b"\r\n")
            lines.append(line.decode("latin-1"))
            if line[3:4] != b"-":
                return "/".join(filter(None, lines))

    async def ask(self, *commands: bytes | str) -> list[str]:
        answers = []
        for command in commands:
            octets = command.encode("latin-1") if isinstance(command, str) else command
            self.transport.write(octets + b"\r\n")
            answers.append(await self.reply())
        return answers

    async def codes(self, *commands: bytes | str) -> list[int]:
        return [int(answer[:3] or 0) for answer in await self.ask(*commands)]


async def submission(
    world: World, port: int, *, authorities: Any = None, name: str = "smtp.relay.test"
) -> SmtpConnection:
    """A client of the relay from the student's laptop, which believes only the lab's authority."""
    tls = ClientTls(must=True, name=name, authorities=authorities or world.authority.ca)
    host = world.relay.host
    at_once = tls if port == 465 else None
    here = world.laptop
    connection = await SmtpConnection.open(
        world.network, here.address, host.address, port, here.name, tls=at_once
    )
    if at_once is None and connection.machine.is_idle:
        await connection.start_tls(tls)
    return connection


def plain(login: str = "st11", password: str = PASSWORD, behalf: str = "") -> str:
    return base64.b64encode(f"{behalf}\0{login}\0{password}".encode()).decode()


async def log_in(connection: SmtpConnection, login: str = "st11", password: str = PASSWORD) -> str:
    return str(await connection.say(f"AUTH PLAIN {plain(login, password)}", "AUTH PLAIN *"))


async def hand_in(connection: SmtpConnection, sender: str, recipient: str, text: str) -> str:
    """Send a message; what was said to it."""
    envelope = Envelope.of(sender, recipient)
    result = await connection.send(envelope, text.replace("\n", "\r\n").encode())
    return str(result.verdicts[0].reply) if result.verdicts else str(connection.machine.refusal)
