"""The seam: the same stories on loopback and in memory; then what only sockets have."""

from __future__ import annotations

import asyncio
import errno
import gc
import os
import resource
import signal
import socket
import ssl
import subprocess
import sys
import time
from collections.abc import Callable, Coroutine
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any, cast

import pytest

from labkit.net import callers, listeners, port_base
from labkit.net import loopback as loopback_module
from labkit.net.callers import GONE, owner_of_caller
from labkit.net.listeners import on_loopback, open_socket
from labkit.net.loopback import Loopback
from labkit.net.memory import Memory
from labkit.net.memory_transport import joined
from labkit.net.network import HostSilent, LoopbackUnavailable, Network, Peer, PortTaken
from labkit.net.port_base import BASES, STEP, PortBase, claim_base
from labkit.net.translation import LAB_PORTS, AddressTable, real_address, real_port
from tests.audit import Outside, going_out

ANN, BOB = "203.0.113.11", "198.51.100.2"
QUICK = 0.5  # seconds of real time: what costs none is quicker than that
UP_THERE = BASES[25 + os.getpid() % 20]  # a base where another run of the tests does not look
SOON = 5.0  # and everything else than that, on a busy machine too


@pytest.fixture(params=[Loopback, Memory], ids=lambda kind: kind.name)
def network(request: pytest.FixtureRequest) -> Network:
    return cast(Network, request.param([ANN, BOB]))


def run(network: Network, story: Coroutine[Any, Any, None], within: float = SOON) -> None:
    """Tell a story, close the network, and see how long it took."""

    async def tell() -> None:
        try:
            await asyncio.wait_for(story, 20)
        finally:
            await network.close()

    began = time.monotonic()
    asyncio.run(tell())
    took = time.monotonic() - began
    gc.collect(1)  # an unclosed socket would warn now, in the test that left it
    assert took < within


class Talker(asyncio.Protocol):
    """Notes all that happens to it. `says` is written at once."""

    def __init__(self, says: bytes = b"", stays: bool = False) -> None:
        self.says, self.stays = says, stays
        self.heard = b""
        self.events: list[str] = []
        self.peer: Peer | None = None
        self.lost: asyncio.Future[Exception | None] = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)
        self.events.append("made")
        if self.says:
            self.transport.write(self.says)

    def data_received(self, data: bytes) -> None:
        self.heard += data

    def eof_received(self) -> bool:
        self.events.append("eof")
        return self.stays

    def pause_writing(self) -> None:
        self.events.append("pause")

    def resume_writing(self) -> None:
        self.events.append("resume")

    def connection_lost(self, problem: Exception | None) -> None:
        self.events.append("lost")
        self.lost.set_result(problem)

    async def hear(self, octets: int) -> bytes:
        await until(lambda: len(self.heard) >= octets)
        return self.heard


class House:
    """Listens at BOB port 25 and keeps the servers' sides of all calls."""

    def __init__(self, network: Network, says: bytes = b"", stays: bool = False) -> None:
        self.network, self.says, self.stays = network, says, stays
        self.talkers: list[Talker] = []

    def accept(self, peer: Peer) -> Talker:
        talker = Talker(self.says, self.stays)
        talker.peer = peer
        self.talkers.append(talker)
        return talker

    async def call(self, talker: Talker) -> Talker:
        """Make a call from ANN; the server's side of it."""
        known = len(self.talkers)
        await self.network.connect(ANN, BOB, 25, lambda: talker)
        await until(lambda: len(self.talkers) > known and bool(self.talkers[known].events))
        return self.talkers[known]


async def until(condition: Callable[[], bool], patience: float = 10) -> None:
    """Turn the loop until something is so."""
    end = time.monotonic() + patience
    while not condition():
        assert time.monotonic() < end, "waited in vain"
        await asyncio.sleep(0.001)


# --- addresses and ports ---


@pytest.mark.parametrize(
    "lab, real",
    [("203.0.113.11", "127.0.113.11"), ("3.135.210.50", "127.135.210.50"), ("10.0.0.2", "127.0.0.2")],
)
def test_real_address(lab: str, real: str) -> None:
    assert real_address(lab) == real
    assert AddressTable([lab]).lab_address(real) == lab


@pytest.mark.parametrize(
    "address, because",
    [
        ("10.0.0.1", "would be the machine's own localhost"),
        ("127.0.0.1", "is localhost"),
        ("127.0.113.11", "loopback addresses mean something else to every MTA"),
        ("10.0.0.0", "no host address"),
        ("10.255.255.255", "broadcast"),
        ("0.0.0.0", "any"),
        ("224.0.0.5", "multicast"),
        ("2001:db8::1", "IPv6"),
        ("203.0.113.011", "octal or decimal?"),
        ("mx.test", "a name"),
        ("", "nothing"),
    ],
)
def test_no_lab_address(address: str, because: str) -> None:
    with pytest.raises(ValueError, match=r"cannot be|is no IPv4"):
        AddressTable([address])


def test_two_addresses_that_are_one() -> None:
    with pytest.raises(ValueError, match=r"203\.0\.113\.11 and 8\.0\.113\.11"):
        AddressTable(["203.0.113.11", "8.0.113.11"])


def test_a_table_grows_and_shrinks() -> None:
    table = AddressTable([ANN])
    table.add(BOB)
    table.add(BOB)
    table.discard(ANN)
    table.discard("192.0.2.1")
    assert list(table) == [BOB]
    assert len(table) == 1
    assert ANN not in table
    assert table.lab_address(real_address(ANN)) is None


def test_ports_of_two_worlds_never_meet() -> None:
    """Also not with the listener that holds a base."""
    used = [base + port for base in BASES for port in (0, *LAB_PORTS)]
    assert len(used) == len(set(used))
    assert min(used) == 4000
    assert max(used) < 32768
    assert len(BASES) > 50


def test_real_port() -> None:
    assert real_port(4000, 25) == 4025
    for port in (0, -1, 61536):
        with pytest.raises(ValueError, match="no lab port"):
            real_port(4000, port)


# --- the same on both networks ---


def test_a_conversation(network: Network) -> None:
    async def story() -> None:
        house = House(network, says=b"220 bob\r\n")
        await network.listen(BOB, 25, house.accept)
        ann = Talker(b"EHLO ann\r\n")
        bob = await house.call(ann)
        assert await ann.hear(9) == b"220 bob\r\n"
        assert await bob.hear(10) == b"EHLO ann\r\n"
        assert bob.peer is not None
        assert (bob.peer.address, bob.peer.is_foreign) == (ANN, False)
        assert bob.peer.port >= 1024
        assert network.foreign_connections() == []
        bob.transport.writelines([b"221 ", b"bye\r\n"])
        bob.transport.close()
        assert await bob.lost is None
        assert await ann.lost is None
        assert ann.heard == b"220 bob\r\n221 bye\r\n"
        assert ann.events == ["made", "eof", "lost"]
        assert bob.events == ["made", "lost"]

    run(network, story())


def test_refused(network: Network) -> None:
    async def story() -> None:
        for address in (BOB, "8.8.8.8", "127.0.0.1"):  # nobody listens; no host of the lab; outside of it
            with pytest.raises(ConnectionRefusedError):
                await network.connect(ANN, address, 25, Talker)
        with pytest.raises(ValueError, match=r"192\.0\.2\.1"):
            await network.connect("192.0.2.1", BOB, 25, Talker)
        with pytest.raises(ValueError, match=r"0\.0\.0\.0"):
            await network.listen("0.0.0.0", 25, lambda peer: Talker())
        listener = await network.listen(BOB, 25, lambda peer: Talker())
        listener.close()
        listener.close()
        with pytest.raises(ConnectionRefusedError):
            await network.connect(ANN, BOB, 25, Talker)

    run(network, story(), within=QUICK)


def test_one_listener_at_a_place(network: Network) -> None:
    async def story() -> None:
        first = await network.listen(BOB, 25, lambda peer: Talker())
        with pytest.raises(OSError, match="already") as caught:
            await network.listen(BOB, 25, lambda peer: Talker())
        assert caught.value.errno == errno.EADDRINUSE
        assert not isinstance(caught.value, PortTaken)
        await network.listen(ANN, 25, lambda peer: Talker())
        first.close()
        second = await network.listen(BOB, 25, lambda peer: Talker())
        first.close()  # again: is not the second's business
        await network.connect(ANN, BOB, 25, Talker)
        second.close()

    run(network, story())


def test_silence(network: Network) -> None:
    async def story() -> None:
        house = House(network)
        await network.listen(BOB, 25, house.accept)
        before = Talker()
        other_end = await house.call(before)
        network.silence(BOB)
        with pytest.raises(HostSilent):
            await network.connect(ANN, BOB, 25, Talker)
        with pytest.raises(TimeoutError):
            await network.connect(ANN, BOB, 587, Talker)
        before.transport.write(b"still here")
        assert await other_end.hear(10) == b"still here"
        network.silence(BOB, on=False)
        await house.call(Talker())
        network.silence(BOB, 25)
        with pytest.raises(HostSilent):
            await network.connect(ANN, BOB, 25, Talker)
        with pytest.raises(ConnectionRefusedError):
            await network.connect(ANN, BOB, 587, Talker)
        network.silence(BOB, 25, on=False)
        await house.call(Talker())
        with pytest.raises(ValueError, match=r"8\.8\.8\.8"):
            network.silence("8.8.8.8")

    run(network, story(), within=QUICK)


def test_a_listener_in_a_silent_place(network: Network) -> None:
    async def story() -> None:
        house = House(network)
        network.silence(BOB, 25)
        await network.listen(BOB, 25, house.accept)
        with pytest.raises(HostSilent):
            await network.connect(ANN, BOB, 25, Talker)
        network.silence(BOB, 25, on=False)
        await house.call(Talker())

    run(network, story(), within=QUICK)


def test_much_is_sent_in_order(network: Network) -> None:
    content = bytes(range(256)) * 20_000  # 5 MB

    async def story() -> None:
        house = House(network)
        await network.listen(BOB, 25, house.accept)
        ann = Talker()
        bob = await house.call(ann)
        bob.transport.pause_reading()
        for start in range(0, len(content), 100_000):
            ann.transport.write(memoryview(content)[start : start + 100_000])
        assert "pause" in ann.events
        await asyncio.sleep(0.01)
        assert "resume" not in ann.events
        heard = len(bob.heard)
        await asyncio.sleep(0.01)
        assert len(bob.heard) == heard
        bob.transport.resume_reading()
        await bob.hear(len(content))
        assert bob.heard == content
        assert ann.events == ["made", "pause", "resume"]

    run(network, story())


def test_half_closed(network: Network) -> None:
    """A client that has said all it has to say may still listen."""

    async def story() -> None:
        house = House(network, stays=True)
        await network.listen(BOB, 25, house.accept)
        ann = Talker(b"question")
        bob = await house.call(ann)
        assert ann.transport.can_write_eof()
        ann.transport.write_eof()
        with pytest.raises(RuntimeError):
            ann.transport.write(b"one more")
        await until(lambda: "eof" in bob.events)
        assert bob.heard == b"question"
        bob.transport.write(b"answer")
        bob.transport.close()
        assert await ann.lost is None
        assert ann.heard == b"answer"

    run(network, story())


def test_abort(network: Network) -> None:
    async def story() -> None:
        house = House(network)
        await network.listen(BOB, 25, house.accept)
        ann = Talker()
        bob = await house.call(ann)
        ann.transport.abort()
        ann.transport.abort()
        assert ann.transport.is_closing()
        assert await ann.lost is None
        await bob.lost
        assert bob.transport.is_closing()
        bob.transport.write(b"to nobody")

    run(network, story())


def test_writing_to_one_who_left(network: Network) -> None:
    async def story() -> None:
        house = House(network, stays=True)
        await network.listen(BOB, 25, house.accept)
        bob = await house.call(ann := Talker())
        ann.transport.close()
        await until(lambda: "eof" in bob.events)
        assert not bob.transport.is_closing()
        for _ in range(3):
            bob.transport.write(b"are you there?")
            await asyncio.sleep(0.001)
        assert isinstance(await bob.lost, ConnectionError)

    run(network, story())


def test_a_server_that_fails(network: Network) -> None:
    """The caller is cut off, the fault is reported, and the next caller is served."""

    async def story() -> None:
        reports: list[dict[str, Any]] = []
        asyncio.get_running_loop().set_exception_handler(lambda _, context: reports.append(context))
        servers: list[Talker] = []

        def accept(peer: Peer) -> Talker:
            if not reports:
                raise ZeroDivisionError("a bug")
            servers.append(Talker())
            return servers[-1]

        await network.listen(BOB, 25, accept)
        ann = Talker()
        await network.connect(ANN, BOB, 25, lambda: ann)
        await ann.lost
        assert isinstance(reports[0]["exception"], ZeroDivisionError)
        await network.connect(ANN, BOB, 25, Talker)
        await until(lambda: len(servers) == 1)

    run(network, story())


def test_a_client_that_fails(network: Network) -> None:
    async def story() -> None:
        await network.listen(BOB, 25, House(network).accept)

        def make() -> Talker:
            raise ZeroDivisionError("a bug")

        with pytest.raises(ZeroDivisionError):
            await network.connect(ANN, BOB, 25, make)

    run(network, story())


def test_datagrams(network: Network) -> None:
    async def story() -> None:
        peers: list[Peer] = []

        def answer(payload: bytes, peer: Peer) -> bytes | None:
            peers.append(peer)
            return payload.upper() if payload.isalpha() else None

        listener = await network.listen_datagrams(BOB, 53, answer)
        assert await network.exchange_datagram(ANN, BOB, 53, b"question") == b"QUESTION"
        assert (peers[0].address, peers[0].is_foreign) == (ANN, False)
        assert await network.exchange_datagram(ANN, BOB, 53, b"??") is None
        assert await network.exchange_datagram(ANN, ANN, 53, b"nobody") is None
        assert await network.exchange_datagram(ANN, "8.8.8.8", 53, b"nobody") is None
        largest = b"x" * 65507
        assert await network.exchange_datagram(ANN, BOB, 53, largest) == largest.upper()
        with pytest.raises(ValueError, match="do not fit"):
            await network.exchange_datagram(ANN, BOB, 53, largest + b"x")
        asked = [network.exchange_datagram(ANN, BOB, 53, bytes([97 + n]) * 1000) for n in range(26)]
        assert await asyncio.gather(*asked) == [bytes([65 + n]) * 1000 for n in range(26)]
        network.silence(BOB, 53)
        assert await network.exchange_datagram(ANN, BOB, 53, b"question") is None
        network.silence(BOB, 53, on=False)
        with pytest.raises(OSError, match="already"):
            await network.listen_datagrams(BOB, 53, answer)
        listener.close()
        assert await network.exchange_datagram(ANN, BOB, 53, b"question") is None

    run(network, story(), within=QUICK)


@pytest.mark.parametrize("reply", [b"x" * 70_000, None], ids=["too long", "a bug"])
def test_a_datagram_server_that_fails(network: Network, reply: bytes | None) -> None:
    async def story() -> None:
        reports: list[dict[str, Any]] = []
        asyncio.get_running_loop().set_exception_handler(lambda _, context: reports.append(context))

        def answer(payload: bytes, peer: Peer) -> bytes | None:
            if reply is None:
                raise ZeroDivisionError("a bug")
            return reply

        await network.listen_datagrams(BOB, 53, answer)
        assert await network.exchange_datagram(ANN, BOB, 53, b"question") is None
        assert len(reports) == (reply is None)

    run(network, story())


def test_close(network: Network) -> None:
    async def story() -> None:
        house = House(network)
        await network.listen(BOB, 25, house.accept)
        await network.listen_datagrams(BOB, 53, lambda payload, peer: payload)
        bob = await house.call(ann := Talker())
        await network.close()
        assert ann.lost.done()
        assert bob.lost.done()
        await network.close()
        for use in (
            network.connect(ANN, BOB, 25, Talker),
            network.listen(BOB, 25, house.accept),
            network.exchange_datagram(ANN, BOB, 53, b""),
            network.listen_datagrams(BOB, 53, lambda payload, peer: payload),
        ):
            with pytest.raises(RuntimeError, match="closed"):
                await use

    run(network, story())


def test_tls_on_top(network: Network, tmp_path: Path) -> None:
    """What STARTTLS needs: `loop.start_tls` takes the transport over."""
    server_context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server_context.load_cert_chain(certificate_for("bob.test", tmp_path))
    client_context = ssl.create_default_context(cafile=str(tmp_path / "bob.test.pem"))

    async def story() -> None:
        loop = asyncio.get_running_loop()
        house = House(network)
        await network.listen(BOB, 25, house.accept)
        bob = await house.call(ann := Talker())
        secured = await asyncio.gather(
            loop.start_tls(bob.transport, bob, server_context, server_side=True),
            loop.start_tls(ann.transport, ann, client_context, server_hostname="bob.test"),
        )
        bob_tls, ann_tls = cast("list[asyncio.Transport]", secured)
        ann_tls.write(b"secret " * 50_000)
        await bob.hear(350_000)
        bob_tls.write(b"heard")
        await ann.hear(5)
        assert ann_tls.get_extra_info("cipher")
        ann_tls.close()
        assert await ann.lost is None
        await bob.lost
        bob_tls.close()  # Python 3.10 wants to be told

    run(network, story())


def certificate_for(name: str, folder: Path) -> Path:
    """A certificate of its own issue, with its key in the same file."""
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
    start = datetime(2000, 1, 1, tzinfo=timezone.utc)
    certificate = (
        x509.CertificateBuilder(subject, subject, key.public_key(), x509.random_serial_number())
        .not_valid_before(start)
        .not_valid_after(start + timedelta(days=36_500))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
        .sign(key, hashes.SHA256())
    )
    path = folder / f"{name}.pem"
    path.write_bytes(
        certificate.public_bytes(serialization.Encoding.PEM)
        + key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
    )
    return path


# --- memory ---


def test_memory_runs_the_same_twice() -> None:
    def once() -> list[str]:
        network = Memory([ANN, BOB])
        seen: list[str] = []

        async def story() -> None:
            house = House(network, says=b"hello")
            await network.listen(BOB, 25, house.accept)
            guests = [Talker(bytes([65 + n])) for n in range(20)]
            servers = [await house.call(guest) for guest in guests]
            for n, guest in enumerate(guests):
                servers[n].transport.close()
                guests[n - 1].transport.close()
                await guest.lost
                seen.append(f"{n} {guest.heard!r} {guest.events}")
            await network.close()
            seen.extend(f"{server.peer} {server.heard!r} {server.events}" for server in servers)

        run(network, story())
        return seen

    first = once()
    assert first == once()
    assert first[20].startswith("203.0.113.11 port 49152 b'A'")


def test_memory_buffered_protocol() -> None:
    class Buffered(asyncio.BufferedProtocol):
        def __init__(self) -> None:
            self.buffer, self.heard = bytearray(7), b""

        def get_buffer(self, sizehint: int) -> bytearray:
            return self.buffer

        def buffer_updated(self, nbytes: int) -> None:
            self.heard += self.buffer[:nbytes]

    async def story() -> None:
        loop = asyncio.get_running_loop()
        one, other = joined(loop, (ANN, 1), (BOB, 25))
        buffered = Buffered()
        one.open(Talker(b"a longer text than seven octets"))
        other.open(buffered)
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        assert buffered.heard == b"a longer text than seven octets"
        assert one.get_extra_info("peername") == other.get_extra_info("sockname") == (BOB, 25)
        one.close()
        await asyncio.sleep(0)
        with pytest.raises(RuntimeError):
            one.get_protocol()

    asyncio.run(story())


def test_memory_a_protocol_that_fails() -> None:
    async def story() -> None:
        reports: list[dict[str, Any]] = []
        asyncio.get_running_loop().set_exception_handler(lambda _, context: reports.append(context))

        class Failing(Talker):
            def data_received(self, data: bytes) -> None:
                raise ZeroDivisionError("a bug")

        one, other = joined(asyncio.get_running_loop(), (ANN, 1), (BOB, 25))
        ann, bob = Talker(b"x"), Failing()
        one.open(ann)
        other.open(bob)
        assert isinstance(await bob.lost, ZeroDivisionError)
        await ann.lost
        assert len(reports) == 1

    asyncio.run(story())


def test_memory_write_buffer_limits() -> None:
    async def story() -> None:
        one, other = joined(asyncio.get_running_loop(), (ANN, 1), (BOB, 25))
        one.open(ann := Talker())
        other.open(Talker())
        one.set_write_buffer_limits(high=10)
        assert one.get_write_buffer_limits() == (2, 10)
        await asyncio.sleep(0)
        other.pause_reading()
        one.write(b"x" * 11)
        assert one.get_write_buffer_size() == 11
        assert not other.is_reading()
        other.resume_reading()
        await asyncio.sleep(0)
        assert ann.events == ["made", "pause", "resume"]
        with pytest.raises(ValueError, match="must be"):
            one.set_write_buffer_limits(high=1, low=2)
        with pytest.raises(TypeError):
            one.write("text")  # type: ignore[arg-type]
        one.abort()
        await ann.lost

    asyncio.run(story())


# --- loopback: bases ---


def test_eight_networks_at_once() -> None:
    async def story() -> None:
        networks = [Loopback([ANN, BOB], first_base=UP_THERE - 10 * STEP) for _ in range(8)]
        for network in networks:
            await network.listen(BOB, 25, lambda peer: Talker())
            await network.listen_datagrams(BOB, 53, lambda payload, peer: payload)
        bases = [network.claim() for network in networks]
        assert len(set(bases)) == 8
        await networks[3].close()
        again = Loopback([ANN, BOB], first_base=bases[3])
        assert again.claim() == bases[3], "released"
        for network in (*networks, again):
            await network.close()

    asyncio.run(story())


def test_no_base_before_the_first_socket(monkeypatch: pytest.MonkeyPatch) -> None:
    claimed: list[int] = []

    def claim(first: int, skip: tuple[int, ...]) -> PortBase:
        claimed.append(first)
        return claim_base(first, skip)

    monkeypatch.setattr(loopback_module, "claim_base", claim)

    async def story() -> None:
        network = Loopback([ANN, BOB])
        network.silence(BOB)
        assert await network.exchange_datagram(ANN, BOB, 53, b"") is None
        with pytest.raises(HostSilent):
            await network.connect(ANN, BOB, 25, Talker)
        assert claimed == []
        assert network.claim() == network.claim()
        assert claimed == [4000]
        await network.close()

    asyncio.run(story())


HOLD_A_BASE = """
import sys, time
from labkit.net.port_base import claim_base
base = claim_base(int(sys.argv[1]))
print(base.number, flush=True)
time.sleep(60)
"""


def test_a_base_is_free_when_its_process_is_killed(root: Path) -> None:
    first = UP_THERE
    held = [first]
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLD_A_BASE, str(first)], stdout=subprocess.PIPE, text=True, cwd=root
    )
    try:
        assert holder.stdout is not None
        held = [int(holder.stdout.readline())]
        ours = claim_base(held[0])
        assert ours.number > held[0], "it is held by the other process"
        ours.close()
        with pytest.raises(OSError, match="in use"):  # SO_REUSEADDR does not get past a listener
            open_socket(socket.SOCK_STREAM, ("127.0.0.1", held[0]), reuse=True)
    finally:
        os.kill(holder.pid, signal.SIGKILL)
        holder.communicate()
    ours = claim_base(held[0])
    assert ours.number == held[0]
    ours.close()


def test_another_program_has_the_port() -> None:
    async def story() -> None:
        network = Loopback([ANN, BOB])
        base = network.claim()
        with going_out():  # at every address of this machine, as other programs do
            taken = socket.create_server(("", base + 25))
        with taken:
            with pytest.raises(PortTaken) as caught:
                await network.listen(BOB, 25, lambda peer: Talker())
            assert caught.value.base == base
            assert str(base + 25) in str(caught.value)
            await network.close()
            second = Loopback([ANN, BOB], skip={base})
            await second.listen(BOB, 25, lambda peer: Talker())
            assert second.claim() != base
            await second.close()
        third = Loopback([ANN, BOB], first_base=base)
        await third.listen(BOB, 25, lambda peer: Talker())
        await third.close()

    asyncio.run(story())


def test_another_program_has_the_udp_port() -> None:
    async def story() -> None:
        network = Loopback([ANN, BOB])
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as other:
            other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            other.bind(("127.51.100.2", network.claim() + 53))
            with pytest.raises(PortTaken):
                await network.listen_datagrams(BOB, 53, lambda payload, peer: payload)
        await network.close()

    asyncio.run(story())


def test_no_base_is_left() -> None:
    with pytest.raises(LoopbackUnavailable, match="No base"):
        claim_base(skip=BASES)
    with pytest.raises(LoopbackUnavailable):
        Loopback([ANN], first_base=32000).claim()


def test_a_machine_without_aliases(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(port_base, "_AN_ALIAS", "192.0.2.1")
    with going_out(), pytest.raises(LoopbackUnavailable, match=r"no loopback address 192\.0\.2\.1"):
        Loopback([ANN]).claim()


# --- loopback: sockets ---


@pytest.mark.parametrize("address", ["0.0.0.0", "", "192.0.2.1", "128.0.0.1"])
def test_the_tests_see_whoever_leaves_the_machine(address: str) -> None:
    """Were there a way round `open_socket`, the test that takes it would fail."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as opened:
        for leave in (
            lambda: opened.bind((address, 0)),
            lambda: opened.connect((address, 9)),
            lambda: opened.sendto(b"x", (address, 9)),
        ):
            with pytest.raises(Outside):
                leave()
    with pytest.raises(Outside):
        socket.getaddrinfo("mx.example.com", 25)


@pytest.mark.parametrize("address", ["0.0.0.0", "", "192.0.2.1", "127.1", "localhost", "128.0.0.1"])
def test_nothing_outside_loopback(address: str) -> None:
    with pytest.raises(ValueError, match="not on loopback"):
        open_socket(socket.SOCK_STREAM, (address, 0))
    with pytest.raises(ValueError, match="not on loopback"):
        on_loopback((address, 25))


@pytest.fixture
def loopback() -> Loopback:
    return Loopback([ANN, BOB])


def test_no_delay(loopback: Loopback) -> None:
    async def story() -> None:
        house = House(loopback)
        await loopback.listen(BOB, 25, house.accept)
        bob = await house.call(ann := Talker())
        for talker in (ann, bob):
            sock = talker.transport.get_extra_info("socket")
            assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
            assert sock.getsockname()[0].startswith("127.")
        assert ann.transport.get_extra_info("sockname")[0] == real_address(ANN)

    run(loopback, story())


async def call_from_outside(loopback: Loopback, source: str) -> tuple[socket.socket, int]:
    """Call BOB's port 25 as another program does; the socket and its port."""
    caller = socket.socket()
    caller.setblocking(False)
    caller.bind((source, 0))
    await asyncio.get_running_loop().sock_connect(caller, loopback.real_place(BOB, 25))
    return caller, caller.getsockname()[1]


@pytest.mark.parametrize(
    "source, shown, because",
    [
        ("127.0.113.11", ANN, "a program at a lab address (by the shim)"),
        ("127.0.0.1", "127.0.0.1", "a program that knows nothing of the lab"),
        ("127.9.9.9", "127.0.0.1", "an address of no lab host"),
    ],
)
def test_a_foreign_connection(loopback: Loopback, source: str, shown: str, because: str) -> None:
    async def story() -> None:
        house = House(loopback, says=b"220")
        await loopback.listen(BOB, 25, house.accept)
        caller, port = await call_from_outside(loopback, source)
        await until(lambda: bool(house.talkers) and bool(house.talkers[0].events))
        peer = Peer(shown, port, is_foreign=True)
        assert house.talkers[0].peer == peer, because
        assert loopback.foreign_connections() == [peer]
        assert await asyncio.get_running_loop().sock_recv(caller, 10) == b"220"
        await house.call(Talker())
        assert loopback.foreign_connections() == [peer]
        caller.close()
        await house.talkers[0].lost
        assert loopback.foreign_connections() == []

    run(loopback, story())


def test_a_foreign_datagram(loopback: Loopback) -> None:
    async def story() -> None:
        peers: list[Peer] = []

        def answer(payload: bytes, peer: Peer) -> bytes | None:
            peers.append(peer)
            return payload.upper()

        await loopback.listen_datagrams(BOB, 53, answer)
        for source in ("127.0.0.1", "127.0.113.11"):
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as caller:
                caller.setblocking(False)
                caller.bind((source, 0))
                caller.connect(loopback.real_place(BOB, 53))
                caller.send(b"question")
                assert await asyncio.get_running_loop().sock_recv(caller, 100) == b"QUESTION"
        assert [(peer.address, peer.is_foreign) for peer in peers] == [("127.0.0.1", True), (ANN, True)]

    run(loopback, story())


def test_another_programs_listener(loopback: Loopback) -> None:
    """As a real Exim: it listens at a lab address, and our hosts call it."""

    async def story() -> None:
        with socket.create_server(loopback.real_place(BOB, 25)) as server:
            server.setblocking(False)
            ann = Talker(b"hello")
            await loopback.connect(ANN, BOB, 25, lambda: ann)
            accepted, address = await asyncio.get_running_loop().sock_accept(server)
            assert address[0] == real_address(ANN)
            assert await asyncio.get_running_loop().sock_recv(accepted, 10) == b"hello"
            accepted.close()
            await ann.lost

    run(loopback, story())


def test_foreign_programs_meet_silence(loopback: Loopback) -> None:
    """They wait for a SYN-ACK that never comes, as behind a firewall that drops; also where nobody listened."""

    async def reaches(port: int, patience: float) -> bool:
        with socket.socket() as caller:
            caller.setblocking(False)
            calling = asyncio.get_running_loop().sock_connect(caller, loopback.real_place(BOB, port))
            await asyncio.wait_for(calling, patience)
        return True

    async def story() -> None:
        house = House(loopback)
        await loopback.listen(BOB, 25, house.accept)
        assert await reaches(25, 1)
        loopback.silence(BOB)
        for port in (25, 587):
            with pytest.raises(asyncio.TimeoutError):
                await reaches(port, 0.2)
        loopback.silence(BOB, on=False)
        assert await reaches(25, 1)
        with pytest.raises(ConnectionRefusedError):
            await reaches(587, 1)
        loopback.silence(BOB, 587)
        assert await reaches(25, 1)
        with pytest.raises(asyncio.TimeoutError):
            await reaches(587, 0.2)
        await until(lambda: len(house.talkers) == 3)

    run(loopback, story())


def test_callers_in_the_queue_of_a_closing_listener(loopback: Loopback) -> None:
    async def story() -> None:
        listener = await loopback.listen(BOB, 25, House(loopback).accept)
        ann = Talker()
        calling = asyncio.ensure_future(loopback.connect(ANN, BOB, 25, lambda: ann))
        await asyncio.sleep(0)  # it has called, and nobody has accepted
        listener.close()
        try:
            await calling
        except ConnectionRefusedError:
            pass
        else:
            await ann.lost

    run(loopback, story())


def test_no_descriptors_left(loopback: Loopback, monkeypatch: pytest.MonkeyPatch) -> None:
    """The accept loop neither spins nor dies."""
    monkeypatch.setattr(listeners, "ACCEPT_RETRY", 0.02)
    rests: list[float] = []
    rest = listeners.TcpListener._rest

    def counted(listener: listeners.TcpListener) -> None:
        rests.append(time.monotonic())
        rest(listener)

    monkeypatch.setattr(listeners.TcpListener, "_rest", counted)

    async def story() -> None:
        house = House(loopback, says=b"220")
        await loopback.listen(BOB, 25, house.accept)
        caller = socket.create_connection(loopback.real_place(BOB, 25))  # waits in the kernel's queue
        limits = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (3, limits[1]))
        try:
            await asyncio.sleep(0.1)
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, limits)
        assert 1 <= len(rests) <= 6
        assert not house.talkers
        await until(lambda: bool(house.talkers))
        caller.close()

    run(loopback, story())


# --- loopback: whose call is it? ---

TABLE = """\
  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
   0: 0264337F:0FB9 00000000:0000 0A 00000000:00000000 00:00000000 00000000  1000        0 555 1 0 100 0 0 10 0
   1: 0264337F:0FB9 0B71007F:9C40 01 00000000:00000000 00:00000000 00000000  1000        0 556 1 0 20 4 30 10 -1
   2: 0B71007F:9C40 0264337F:0FB9 01 00000000:00000000 00:00000000 00000000  1007        0 557 1 0 20 4 30 10 -1
   3: 0264337F:0FB9 0B71007F:9C41 01 00000000:00000000 00:00000000 00000000  1000        0 558 1 0 20 4 30 10 -1
   4: 0B71007F:9C41 0264337F:0FB9 04 00000000:00000000 00:00000000 00000000     0        0 0 1 0 20 4 30 10 -1
   5: 0264337F:0FB9 0B71007F:9C42 01 00000000:00000000 00:00000000 00000000  1000        0 559 1 0 20 4 30 10 -1
   6: 0264337F:0FB9 0B71007F:9C43 01 00000000:00000000 00:00000000 00000000  1000        0 560 1 0 20 4 30 10 -1
"""
TABLE_6 = f"""\
  sl  local_address                         remote_address                        st tx_queue
   0: {"0" * 16}FFFF00000B71007F:9C43 {"0" * 16}FFFF00000264337F:0FB9 01 0:0 00:0 0  1008        0 561 1
   broken line
"""


@pytest.mark.skipif(sys.byteorder != "little", reason="the sample was written by a little-endian machine")
@pytest.mark.parametrize(
    "port, owner, because",
    [
        (40000, 1007, "the caller's line, not ours"),
        (40001, GONE, "closed: belongs to no process, shown as root's"),
        (40002, GONE, "only our line is left"),
        (40003, 1008, "an IPv6 socket that speaks IPv4"),
        (40004, None, "the table knows neither end: it is good for nothing"),
    ],
)
def test_owner_of_caller(port: int, owner: int | None, because: str) -> None:
    ends = ("127.0.113.11", port), ("127.51.100.2", 4025)
    assert owner_of_caller(*ends, [TABLE, TABLE_6]) == owner, because


def test_no_tables(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(callers, "TABLES", (Path("/nowhere/tcp"),))
    assert callers.may_call(("127.0.0.1", 1), ("127.0.0.1", 2))


@pytest.mark.parametrize("family", [socket.AF_INET, socket.AF_INET6], ids=["IPv4", "IPv6"])
def test_we_are_the_caller(family: socket.AddressFamily) -> None:
    mapped = "::ffff:" if family == socket.AF_INET6 else ""
    with socket.create_server(("127.0.0.1", 0)) as server:
        try:
            caller = socket.socket(family)
        except OSError:
            pytest.skip("this machine has no IPv6")
        with caller:
            caller.connect((mapped + "127.0.0.1", server.getsockname()[1]))
            accepted, place = server.accept()
            with accepted:
                tables = [path.read_text() for path in callers.TABLES if path.exists()]
                assert owner_of_caller(place, accepted.getsockname(), tables) == os.geteuid()


CALL_AS_NOBODY = """
import encodings.idna, os, socket, sys
os.setgid(65534), os.setuid(65534)
caller = socket.create_connection((sys.argv[1], int(sys.argv[2])), 10, (sys.argv[3], 0))
try:
    print(caller.recv(10).decode() or "cut off")
except ConnectionError:
    print("cut off")
"""


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can call as somebody else")
@pytest.mark.parametrize(
    "users, heard, because",
    [
        ((), "cut off", "another user"),
        ((65534,), "220", "another user who may, as a real Exim in a container"),
    ],
)
def test_another_user_calls(users: tuple[int, ...], heard: str, because: str) -> None:
    network = Loopback([ANN, BOB], users=users)

    async def story() -> None:
        house = House(network, says=b"220")
        await network.listen(BOB, 25, house.accept)
        address, port = network.real_place(BOB, 25)
        program = await asyncio.create_subprocess_exec(
            *(sys.executable, "-c", CALL_AS_NOBODY, address, str(port), real_address(ANN)),
            stdout=asyncio.subprocess.PIPE,
        )
        assert (await program.communicate())[0].decode().strip() == heard, because
        assert len(house.talkers) == len(users)

    run(network, story())


def test_the_seam_is_light(root: Path) -> None:
    """A lab in memory without names needs neither dnspython nor real sockets' modules of ours."""
    code = (
        "import sys, labkit.net.network, labkit.net.memory, labkit.net.loopback; print('dns' in sys.modules)"
    )
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=root)
    assert said.stdout.strip() == "False"
