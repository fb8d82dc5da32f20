"""The network of a command: the lab it is in, this machine's loopback, a nameserver, and nobody else."""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import Callable, Coroutine
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any, cast

import pytest

from labkit.mail.lookups import DnsRecords
from labkit.mail.questions import AddressesOf, DnsOutcome, MxOf
from labkit.net import this_machine as module
from labkit.net.dns_server import DnsServer
from labkit.net.dns_zones import Zones, read_zone
from labkit.net.loopback import Loopback
from labkit.net.network import Peer
from labkit.net.port_base import claim_base
from labkit.net.programs.labnet_facts import Facts, read_facts
from labkit.net.resolver import Resolver
from labkit.net.this_machine import NAMESERVER, NotCalled, ThisMachine, interface_addresses

HERE, THERE, DNS = "203.0.113.7", "203.0.113.8", "203.0.113.53"
ZONE = (
    "$TTL 1h\n@ SOA ns h 1 1h 15m 1w 5m\n@ NS ns\n@ MX 10 mx\nns A 203.0.113.53\nmx A 203.0.113.8\n"
    + "".join(f'big TXT "{n:03} {"x" * 90}"\n' for n in range(40))
)


def run(story: Coroutine[Any, Any, None]) -> None:
    asyncio.run(asyncio.wait_for(story, 20))


class Greeter(asyncio.Protocol):
    """Tells who calls."""

    def __init__(self, heard: list[str]) -> None:
        self.heard = heard

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.heard.append(transport.get_extra_info("peername")[0])
        cast(asyncio.Transport, transport).close()


async def said(network: ThisMachine, source: str, address: str, port: int) -> None:
    """Call, and wait for the end of it."""
    ended = asyncio.get_running_loop().create_future()

    class Caller(asyncio.Protocol):
        def connection_lost(self, problem: Exception | None) -> None:
            ended.set_result(None)

    await network.connect(source, address, port, Caller)
    await ended


def resolver(network: ThisMachine) -> Resolver:
    async def at_once(span: timedelta) -> None:
        return None

    return Resolver(network, HERE, NAMESERVER, lambda: datetime.now(timezone.utc), at_once)


def test_it_speaks_with_a_world(require: Callable[[str], str]) -> None:
    """Names from its nameserver, by UDP and by TCP; calls come from our own address."""

    async def story() -> None:
        world = Loopback([HERE, THERE, DNS])
        server = DnsServer(Zones(read_zone(ZONE, "a.test")))
        await server.start(world, DNS)
        heard: list[str] = []
        await world.listen(THERE, 25, lambda peer: Greeter(heard))
        facts = Facts(world.claim(), [HERE, THERE, DNS], world.real_place(DNS, 53))
        network = ThisMachine(facts)
        asks = resolver(network)
        assert (await asks.answer(MxOf("a.test"))).records[0].exchange == "mx.a.test"
        assert (await asks.answer(AddressesOf("none.a.test"))).outcome is DnsOutcome.NXDOMAIN
        assert len((await asks.answer(DnsRecords("TXT", "big.a.test"))).records) == 40
        await said(network, HERE, THERE, 25)
        assert heard == ["127.0.113.7"]
        with pytest.raises(ConnectionRefusedError):
            await said(network, HERE, HERE, 25)
        await network.close()
        await world.close()

    run(story())


def test_loopback_is_this_machine() -> None:
    async def story() -> None:
        heard: list[str] = []
        server = await asyncio.get_running_loop().create_server(lambda: Greeter(heard), "127.0.0.5", 0)
        port = server.sockets[0].getsockname()[1]
        await said(ThisMachine(None), "192.0.2.1", "127.0.0.5", port)
        assert heard == ["127.0.0.1"]
        server.close()
        await server.wait_closed()

    run(story())


@pytest.mark.parametrize(
    "address", ["192.0.2.1", "8.8.8.8", "10.0.0.1", "0.0.0.0", "::2", "localhost", "128.0.0.1", ""]
)
def test_nobody_else_is_called(address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def never(*_: object) -> None:
        raise AssertionError("a call goes out")

    monkeypatch.setattr(socket.socket, "connect", never)

    async def story() -> None:
        with pytest.raises(NotCalled, match="calls nobody outside this machine"):
            await said(ThisMachine(None), "192.0.2.1", address, 25)

    run(story())


def test_a_silent_nameserver_costs_little(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "DNS_PATIENCE", 0.1)

    async def story() -> None:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as silent:
            silent.bind(("127.0.0.1", 0))
            network = ThisMachine(Facts(dns=silent.getsockname()))
            found = await resolver(network).answer(AddressesOf("a.test"))
            assert found.outcome is DnsOutcome.TIMEOUT

    begun = time.monotonic()
    run(story())
    assert time.monotonic() - begun < 2


def test_no_nameserver() -> None:
    async def story() -> None:
        found = await resolver(ThisMachine(Facts())).answer(AddressesOf("a.test"))
        assert found.outcome is DnsOutcome.TIMEOUT

    run(story())


class Telling(asyncio.Protocol):
    """Tells its caller who he is."""

    def __init__(self, peer: Peer) -> None:
        self.peer = peer

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        cast(asyncio.Transport, transport).write(f"{self.peer.address} {self.peer.is_foreign}".encode())
        transport.close()


def test_it_listens_in_the_lab_and_on_loopback_only() -> None:
    async def story() -> None:
        base = claim_base()
        machine = ThisMachine(Facts(base.number, [HERE, THERE]))
        door = await machine.listen(HERE, 25, Telling)
        for source, told in (("127.0.113.8", THERE), ("127.0.0.9", "127.0.0.9")):
            reader, writer = await asyncio.open_connection(
                "127.0.113.7", base.number + 25, local_addr=(source, 0)
            )
            assert await reader.read() == f"{told} True".encode()
            writer.close()
        door.close()
        base.close()
        with pytest.raises(NotCalled):
            await machine.listen("192.0.2.1", 2525, Telling)
        with pytest.raises(OSError, match="listens nowhere"):
            await machine.listen_datagrams("127.0.0.1", 53, cast(Any, None))
        assert machine.foreign_connections() == []

    run(story())


def test_facts(tmp_path: Path) -> None:
    path = tmp_path / "facts"
    path.write_text(
        "dns 127.2.0.53:4053\nbase 4000\nhost 203.0.113.7\nhost nonsense\nuser ann /home of ann\nunknown fact\n\n"
        "base x\nclock /page\n"
    )
    facts = read_facts(path)
    known = {"ann": "/home of ann"}
    assert facts == Facts(4000, ["203.0.113.7", "nonsense"], ("127.2.0.53", 4053), known, clock=Path("/page"))
    assert list(ThisMachine(facts).addresses) == ["203.0.113.7"]


def test_ports_as_the_shim_moves_them() -> None:
    network = ThisMachine(Facts(4000, ["203.0.113.7"]))
    assert network.real_place("203.0.113.7", 25) == ("127.0.113.7", 4025)
    assert network.real_place("203.0.113.7", 40000) == ("127.0.113.7", 40000)
    assert network.real_place("127.0.0.1", 25) == ("127.0.0.1", 25)


def test_interfaces() -> None:
    found = interface_addresses()
    assert found
    assert all(socket.inet_aton(address) for address in found)
