"""Captures: what is recorded, and how the records of several programs become one."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import random
import socket
import ssl
import struct
from collections.abc import Coroutine
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any, cast

import pytest

from labkit.net import wire as wire_module
from labkit.net.listeners import RecordedSocket
from labkit.net.loopback import Loopback
from labkit.net.memory import Memory
from labkit.net.network import Network, Peer
from labkit.net.talk import Place, Talk
from labkit.net.translation import real_address
from labkit.net.wire import ACCEPTED, CLOSED, CONNECTED, ENDED, RECEIVED, SENT, TCP, UDP, Wire, read_records

ANN, BOB = "203.0.113.11", "198.51.100.2"
CLIENT, SERVER = (ANN, 40000), (BOB, 25)
MONDAY = datetime(2026, 9, 7, 9, 0, tzinfo=timezone.utc)
MONDAY_NS = int(MONDAY.timestamp()) * 10**9
SECOND = 10**9


def monday() -> datetime:
    return MONDAY


# --- the file of the programs under the shim ---


def record_of_a_program(
    kind: str,
    own: Place,
    peer: Place,
    payload: bytes = b"",
    *,
    real_ns: int = 0,
    lab_ns: int = MONDAY_NS,
    protocol: int = TCP,
) -> bytes:
    """As the shim writes it, field by field."""
    return b"".join(
        [
            b"LW1\n",
            struct.pack("=I", len(payload)),
            kind.encode(),
            struct.pack("=B", protocol),
            struct.pack("=H", own[1]),
            struct.pack("=H", peer[1]),
            struct.pack("=H", 0),
            socket.inet_aton(own[0]),
            socket.inet_aton(peer[0]),
            struct.pack("=q", real_ns),
            struct.pack("=q", lab_ns),
            payload,
        ]
    )


def test_a_record() -> None:
    octets = record_of_a_program(SENT, CLIENT, SERVER, b"HELO", real_ns=7, lab_ns=MONDAY_NS + 1_500)
    assert len(octets) == 40 + 4
    (record,) = read_records(octets)
    assert record == (7, MONDAY + timedelta(microseconds=1), SENT, TCP, CLIENT, SERVER, b"HELO")


HELO = record_of_a_program(SENT, CLIENT, SERVER, b"HELO")
QUIT = record_of_a_program(SENT, CLIENT, SERVER, b"QUIT")
ABOUT = record_of_a_program(SENT, CLIENT, SERVER, b"about LW1\n, in mail")
INSIDE = record_of_a_program(SENT, CLIENT, SERVER, b"a capture: " + HELO + b", and more")


def changed(at: int, octets: bytes) -> bytes:
    return HELO[:at] + octets + HELO[at + len(octets) :]


@pytest.mark.parametrize(
    "content, payloads, because",
    [
        (b"", [], "nobody has written"),
        (HELO + QUIT, [b"HELO", b"QUIT"], "two records"),
        (HELO + QUIT[:-1], [b"HELO"], "the last is not all there yet"),
        (HELO + QUIT[:39], [b"HELO"], "nor is its header"),
        (HELO[:-2] + QUIT, [b"QUIT"], "one was cut off: the disk was full"),
        (HELO[:20] + QUIT + HELO, [b"QUIT", b"HELO"], "in its header"),
        (b"rubbish" + HELO + b"LW1\nrubbish" + QUIT + b"LW", [b"HELO", b"QUIT"], "another's octets"),
        (ABOUT + HELO, [b"about LW1\n, in mail", b"HELO"], "a mail may name the magic"),
        (ABOUT + b"rubbish", [b"about LW1\n, in mail"], "also before rubbish"),
        (INSIDE + HELO, [b"a capture: " + HELO + b", and more", b"HELO"], "and have a capture attached"),
        (changed(4, b"\xff\xff\xff\x7f") + QUIT, [b"QUIT"], "an impossible length"),
        (changed(8, b"?") + QUIT, [b"QUIT"], "a kind that nobody knows"),
        (changed(8, b"e") + QUIT, [b"QUIT"], "a kind that only labkit uses"),
        (changed(9, b"\x01") + QUIT, [b"QUIT"], "neither TCP nor UDP"),
        (changed(32, b"\xff" * 7 + b"\x7f") + QUIT, [b"HELO", b"QUIT"], "the year 2262 is in reach"),
        (changed(32, b"\0" * 7 + b"\x80") + QUIT, [b"HELO", b"QUIT"], "and so is 1677"),
    ],
)
def test_what_is_no_record_is_passed_over(content: bytes, payloads: list[bytes], because: str) -> None:
    assert [record.payload for record in read_records(content)] == payloads, because


def test_no_octets_make_the_reader_fail(tmp_path: Path) -> None:
    dice = random.Random(5321)
    whole = HELO + ABOUT + QUIT + record_of_a_program(RECEIVED, SERVER, CLIENT, b"\x16\x03\x01\0\x05a")
    path = tmp_path / "wire"
    for _ in range(300):
        octets = bytearray(whole)
        for _ in range(dice.randrange(1, 12)):
            octets[dice.randrange(len(octets))] = dice.randrange(256)
        del octets[dice.randrange(len(octets)) :]
        path.write_bytes(octets)
        for talk in Wire(path).conversations():
            assert talk.text()


@pytest.mark.parametrize("path", [None, Path("/nowhere/wire"), Path("/")])
def test_no_file(path: Path | None) -> None:
    assert Wire(path).segments() == []


# --- the records of both ends become one ---

# A story is who noted what when, a line for each: "time-in-seconds end kind payload". Ends: C and S.
STORIES = [
    ("the sender's record counts", "0 C c, 1 S s hi, 2 C r hi", "open C | S hi"),
    ("also where it is noted later", "0 C c, 1 C r hi, 2 S s hi", "open C | S hi"),
    (
        "a caller outside the shim",
        "0 S a, 1 S r helo, 2 S s 250, 3 S e, 4 S x",
        "open C | C helo | S 250 | close C | close S",
    ),
    ("one call, noted by both", "0 S a, 0.1 C c, 1 S s hi, 1.1 C r hi", "open C | S hi"),
    ("the banner was quicker than the caller's note", "0 S s hi, 0.1 C c, 1 C s ho", "open C | S hi | C ho"),
    ("one end notes only some of what it sends", "0 C c, 1 C s a, 2 S r a, 3 S r bc", "open C | C a | C bc"),
    ("both hang up", "0 C c, 1 C x, 2 S x", "open C | close C | close S"),
    ("its end is what was last heard of it", "0 C c, 1 C x, 2 S e", "open C | close C"),
    (
        "the forked parent closes its copy",
        "0 C c, 1 S x, 2 S s hi, 3 C r hi, 4 S x",
        "open C | S hi | close S",
    ),
    ("and only the child's end is heard", "0 C c, 1 S x, 2 S s hi, 4 C e", "open C | S hi | close S"),
    (
        "last words cross with the end",
        "0 C c, 1 C x, 2 S x, 2.1 S r bye",
        "open C | close S | C bye | close C",
    ),
    ("half closed", "0 C c, 1 C s q, 2 C x, 3 S s a, 4 S x", "open C | C q | close C | S a | close S"),
    ("idle for an hour", "0 C c, 1 S s hi, 3600 C s ho", "open C | S hi | C ho"),
    (
        "the ports are used again",
        "0 C c, 1 C s a, 2 C x, 2 S x, 60 C c, 61 C s b, 62 S r b",
        "open C | C a | close C | close S || open C | C b",
    ),
    ("again, and nobody noted the end", "0 C c, 1 S s a, 60 C c, 61 S s b", "open C | S a || open C | S b"),
    (
        "again, after a caller outside the shim",
        "0 S a, 1 S r a, 60 C c, 61 C s b",
        "open C | C a || open C | C b",
    ),
    (
        "again, by callers outside the shim",
        "0 S a, 1 S r a, 60 S a, 61 S r b",
        "open C | C a || open C | C b",
    ),
    (
        "again, and nobody noted the call",
        "0 S s a, 1 S x, 1.1 S e, 60 S s b",
        "S a | close S | close C || S b",
    ),
    ("who called is not known: the higher port", "0 S s hi, 1 S r ho", "S hi | C ho"),
    ("an end alone is no conversation", "0 C x, 1 S e", ""),
    ("nothing was said", "0 C c", "open C"),
]


@pytest.mark.parametrize("because, story, told", STORIES, ids=[story[0] for story in STORIES])
@pytest.mark.parametrize("in_file", ["", "C", "CS"])
def test_both_ends_notes(because: str, story: str, told: str, in_file: str, tmp_path: Path) -> None:
    """Whoever noted it where: `in_file` are the ends that wrote to the file; the others are our own."""
    ours, file = Wire(tmp_path / "wire", now=monday), b""
    places = {"C": CLIENT, "S": SERVER}
    for line in story.split(", "):
        seconds, end, kind, payload = (*line.split(" "), "")[:4]
        own, peer = places[end], places["S" if end == "C" else "C"]
        stamp, octets = int(float(seconds) * SECOND), payload.encode()
        if end in in_file and kind not in (ACCEPTED, ENDED):
            file += record_of_a_program(kind, own, peer, octets, real_ns=stamp)
        else:
            ours.record(kind, own, peer, octets, real_ns=stamp)
    (tmp_path / "wire").write_bytes(file)
    talks = ours.conversations()
    assert " || ".join(map(as_story, talks)) == told, because
    assert all((talk.client, talk.server) == (CLIENT, SERVER) for talk in talks)
    assert [s for talk in talks for s in talk.segments] == ours.segments()
    assert {segment.at for segment in ours.segments()} <= {MONDAY}


def as_story(talk: Talk) -> str:
    ends = {CLIENT: "C", SERVER: "S"}
    return " | ".join(
        f"{ends[s.source]} {s.payload.decode()}" if s.kind == "data" else f"{s.kind} {ends[s.source]}"
        for s in talk.segments
    )


def test_connections_at_the_same_time_are_told_apart_and_put_in_order() -> None:
    wire = Wire(now=monday)
    other = (ANN, 40001)
    for stamp, (kind, own, peer) in enumerate(
        [
            (CONNECTED, CLIENT, SERVER),
            (CONNECTED, other, SERVER),
            (SENT, CLIENT, SERVER),
            (SENT, other, SERVER),
        ]
    ):
        wire.record(kind, own, peer, b"x" if kind == SENT else b"", real_ns=stamp)
    assert [segment.real_ns for segment in wire.segments()] == [0, 1, 2, 3]
    assert [talk.client for talk in wire.conversations()] == [CLIENT, other]


def test_datagrams_of_both_ends(tmp_path: Path) -> None:
    asker, server, outside = (ANN, 40000), (BOB, 53), ("127.0.0.1", 40000)
    wire = Wire(tmp_path / "wire", now=monday)
    file = record_of_a_program(SENT, asker, server, b"01q", real_ns=1, protocol=UDP)
    wire.record(RECEIVED, server, asker, b"01q", protocol=UDP, real_ns=2)
    wire.record(SENT, server, asker, b"01a", protocol=UDP, real_ns=3)
    file += record_of_a_program(RECEIVED, asker, server, b"01a", real_ns=4, protocol=UDP)
    wire.record(RECEIVED, server, outside, b"02Q", protocol=UDP, real_ns=5)
    (tmp_path / "wire").write_bytes(file)
    sent = [(s.source, s.destination, s.payload) for s in wire.segments()]
    assert sent == [(asker, server, b"01q"), (server, asker, b"01a"), (outside, server, b"02Q")]
    assert wire.conversations() == []
    assert [len(talk.segments) for talk in wire.conversations(UDP)] == [2, 1]


# --- recording harms nobody ---


def test_memory_is_bounded() -> None:
    wire = Wire(now=monday, memory=100_000)
    for number in range(1000):
        wire.record(SENT, CLIENT, SERVER, b"%03d" % number * 300)
    kept = [segment.payload[:3] for segment in wire.segments()]
    assert kept == [b"%03d" % number for number in range(1000 - len(kept), 1000)]
    assert 80 <= len(kept) <= 100


def test_a_failure_ends_the_recording() -> None:
    def broken() -> datetime:
        raise ZeroDivisionError("a bug")

    wire = Wire(now=broken)
    wire.record(SENT, CLIENT, SERVER, b"x")
    assert not wire.is_recording
    assert isinstance(wire.problem, ZeroDivisionError)
    wire.record(SENT, CLIENT, SERVER, b"x")
    assert wire.segments() == []


def test_a_coarse_clock_keeps_the_order(monkeypatch: pytest.MonkeyPatch) -> None:
    """In a browser the clock moves in steps, and what happens within one has an order too."""
    monkeypatch.setattr(wire_module.time, "time_ns", lambda: 7)
    wire = Wire(now=monday)
    for own, peer, said in [(SERVER, CLIENT, b"220"), (CLIENT, SERVER, b"QUIT"), (SERVER, CLIENT, b"221")]:
        wire.record(SENT, own, peer, said)
    assert [segment.payload for segment in wire.segments()] == [b"220", b"QUIT", b"221"]


# --- how it reads: test_talk.py ---


def test_text_of_what_was_recorded() -> None:
    wire = Wire(now=monday)
    wire.record(CONNECTED, CLIENT, SERVER)
    wire.record(SENT, (ANN, 40000), (BOB, 9), b"\x1b", protocol=UDP)
    (talk,), (exchange,) = wire.conversations(), wire.conversations(UDP)
    assert talk.text() == "203.0.113.11 port 40000 to 198.51.100.2 port 25, 2026-09-07 09:00:00 UTC"
    assert exchange.text().splitlines() == [
        "203.0.113.11 port 40000 to 198.51.100.2 port 9, UDP, 2026-09-07 09:00:00 UTC",
        "C: (1 octets) \\x1b",
    ]


# --- the lab's own networks record ---


@pytest.fixture(params=[Loopback, Memory], ids=lambda kind: kind.name)
def network(request: pytest.FixtureRequest) -> Network:
    made = cast(Network, request.param([ANN, BOB]))
    made.wire = Wire(now=monday)
    return made


def run(network: Network, story: Coroutine[Any, Any, None]) -> Wire:
    """Tell a story, close the network; its capture."""

    async def tell() -> None:
        try:
            await asyncio.wait_for(story, 20)
        finally:
            await network.close()

    asyncio.run(tell())
    gc.collect(1)  # an unclosed socket would warn now
    assert network.wire is not None
    return network.wire


class Echo(asyncio.Protocol):
    """Greets as a server, answers each line in capitals, hangs up at "quit"; "starttls" may go on."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)
        self.transport.write(b"220 hello\r\n")

    def data_received(self, data: bytes) -> None:
        self.transport.write(b"220 go\r\n" if data == b"starttls\r\n" else data.upper())
        if data == b"quit\r\n":
            self.transport.close()


class Caller(asyncio.Protocol):
    """Says its lines, one after each answer."""

    def __init__(self, *lines: bytes) -> None:
        self.lines = list(lines)
        self.lost: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        if self.lines:
            self.transport.write(self.lines.pop(0))

    def connection_lost(self, problem: Exception | None) -> None:
        self.lost.set_result(None)


DIALOGUE = ["S: 220 hello", "C: helo", "S: HELO", "C: quit", "S: QUIT"]


async def talk_to_bob(network: Network) -> None:
    await network.listen(BOB, 25, lambda peer: Echo())
    caller = Caller(b"helo\r\n", b"quit\r\n")
    await network.connect(ANN, BOB, 25, lambda: caller)
    await caller.lost


def test_a_connection_is_recorded(network: Network) -> None:
    wire = run(network, talk_to_bob(network))
    (talk,) = wire.conversations()
    assert (talk.client, talk.server, talk.opened_at) == ((ANN, 49152), (BOB, 25), MONDAY)
    assert talk.text().splitlines()[1:] == DIALOGUE
    kinds = [(segment.kind, segment.source) for segment in talk.segments if segment.kind != "data"]
    assert kinds == [("open", talk.client), ("close", talk.server), ("close", talk.client)]


def test_a_refused_call_is_no_conversation(network: Network) -> None:
    async def story() -> None:
        with pytest.raises(ConnectionRefusedError):
            await network.connect(ANN, BOB, 25, asyncio.Protocol)

    assert run(network, story()).conversations() == []


def test_much_is_recorded_whole(network: Network) -> None:
    content = bytes(range(256)) * 4_000

    async def story() -> None:
        heard = bytearray()
        done = asyncio.Event()

        class Sink(asyncio.BufferedProtocol):
            def get_buffer(self, sizehint: int) -> bytearray:
                self.buffer = bytearray(30_000)
                return self.buffer

            def buffer_updated(self, octets: int) -> None:
                heard.extend(self.buffer[:octets])
                if len(heard) == len(content):
                    done.set()

        await network.listen(BOB, 25, lambda peer: Sink())
        transport = await network.connect(ANN, BOB, 25, asyncio.Protocol)
        for start in range(0, len(content), 70_000):
            transport.write(memoryview(content)[start : start + 70_000])
        await done.wait()
        assert heard == content

    assert b"".join(segment.payload for segment in run(network, story()).segments()) == content


def test_a_recording_that_fails_breaks_nothing(network: Network) -> None:
    calls = 0

    def soon_broken() -> datetime:
        nonlocal calls
        calls += 1
        return MONDAY if calls < 3 else cast(datetime, 1 / 0)

    network.wire = Wire(now=soon_broken)
    wire = run(network, talk_to_bob(network))
    assert isinstance(wire.problem, ZeroDivisionError)
    assert len(wire.segments()) == 2


def test_datagrams_are_recorded(network: Network) -> None:
    async def story() -> None:
        await network.listen_datagrams(BOB, 53, lambda payload, peer: payload.upper())
        assert await network.exchange_datagram(ANN, BOB, 53, b"q") == b"Q"
        network.silence(BOB)
        assert await network.exchange_datagram(ANN, BOB, 53, b"anybody?") is None

    wire = run(network, story())
    here, there = (ANN, 49152), (BOB, 53)
    sent = [(s.source, s.destination, s.payload) for s in wire.segments()]
    assert sent == [(here, there, b"q"), (there, here, b"Q"), (here, there, b"anybody?")]


def test_datagrams_that_nobody_can_send_are_not_recorded(network: Network) -> None:
    async def story() -> None:
        await network.listen_datagrams(BOB, 53, lambda payload, peer: b"x" * 70_000)
        assert await network.exchange_datagram(ANN, BOB, 53, b"q") is None

    assert [segment.payload for segment in run(network, story()).segments()] == [b"q"]


def test_tls_is_recorded_as_it_is_on_the_wire(network: Network, certificate: Path) -> None:
    server_side = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server_side.load_cert_chain(certificate)
    client_side = ssl.create_default_context(cafile=str(certificate))

    async def story() -> None:
        loop = asyncio.get_running_loop()
        servers: list[Echo] = []
        await network.listen(BOB, 25, lambda peer: servers.append(Echo()) or servers[-1])  # type: ignore[func-returns-value]
        caller = Caller(b"starttls\r\n")
        transport = await network.connect(ANN, BOB, 25, lambda: caller)
        while not servers or caller.lines:
            await asyncio.sleep(0.001)
        await asyncio.sleep(0.01)  # the answer is underway
        secured = await asyncio.gather(
            loop.start_tls(servers[0].transport, servers[0], server_side, server_side=True),
            loop.start_tls(transport, caller, client_side, server_hostname="bob.test"),
        )
        servers[0].transport, client = cast("list[asyncio.Transport]", secured)
        client.write(b"quit\r\n")
        await caller.lost
        client.close()  # Python 3.10 wants to be told

    wire = run(network, story())
    (talk,) = wire.conversations()
    lines = talk.text().splitlines()[1:]
    assert lines[:3] == ["S: 220 hello", "C: starttls", "S: 220 go"]
    assert all("(TLS: " in line for line in lines[3:])
    assert {line[:2] for line in lines[3:]} == {"C:", "S:"}
    assert "application_data" in lines[-1]
    assert b"quit" not in b"".join(segment.payload for segment in talk.segments)


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A certificate of bob.test's own issue, with its key in the same file."""
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "bob.test")])
    start = datetime(2000, 1, 1, tzinfo=timezone.utc)
    builder = x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
    builder = builder.not_valid_before(start).not_valid_after(start + timedelta(days=36_500))
    builder = builder.add_extension(x509.SubjectAlternativeName([x509.DNSName("bob.test")]), critical=False)
    path = tmp_path_factory.mktemp("tls") / "bob.test.pem"
    plain = serialization.NoEncryption()
    path.write_bytes(
        builder.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)
        + key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, plain)
    )
    return path


# --- other programs on loopback ---


@pytest.fixture
def loopback(tmp_path: Path) -> Loopback:
    made = Loopback([ANN, BOB])
    made.wire = Wire(tmp_path / "wire", now=monday)
    return made


@pytest.mark.parametrize("notes", [False, True], ids=["outside the shim", "under the shim"])
def test_another_program_calls(loopback: Loopback, notes: bool, tmp_path: Path) -> None:
    """It calls from Ann's address; under the shim it notes what it does. The capture is the same."""

    def note(kind: str, payload: bytes = b"") -> None:
        if notes:
            with (tmp_path / "wire").open("ab") as file:
                stamp = loopback.wire.stamp() if loopback.wire else 0
                file.write(record_of_a_program(kind, (ANN, port), SERVER, payload, real_ns=stamp))

    port = 0

    async def story() -> None:
        nonlocal port
        loop = asyncio.get_running_loop()
        await loopback.listen(BOB, 25, lambda peer: Echo())
        with socket.socket() as caller:
            caller.setblocking(False)
            caller.bind((real_address(ANN), 0))
            await loop.sock_connect(caller, loopback.real_place(BOB, 25))
            port = caller.getsockname()[1]
            note(CONNECTED)
            note(RECEIVED, await loop.sock_recv(caller, 100))
            for line in (b"helo\r\n", b"quit\r\n"):
                note(SENT, line)
                await loop.sock_sendall(caller, line)
                note(RECEIVED, await loop.sock_recv(caller, 100))
            assert await loop.sock_recv(caller, 100) == b""
            note(CLOSED)

    (talk,) = run(loopback, story()).conversations()
    assert (talk.client, talk.server) == ((ANN, port), SERVER)
    assert talk.text().splitlines()[1:] == DIALOGUE
    assert [segment.kind for segment in talk.segments].count("open") == 1
    assert {s.source for s in talk.segments if s.kind == "close"} == {talk.client, talk.server}


def test_we_call_another_program(loopback: Loopback) -> None:
    """A real Exim at the lab's port 25: it knows our port as the kernel's, and so does the capture."""

    async def story() -> None:
        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            callers.append(writer.get_extra_info("peername"))
            for line in DIALOGUE:
                if line.startswith("S"):
                    writer.write(line[3:].encode() + b"\r\n")
                else:
                    await reader.readline()
            writer.close()

        callers: list[Place] = []
        program = await asyncio.start_server(serve, *loopback.real_place(BOB, 25))
        async with program:
            caller = Caller(b"helo\r\n", b"quit\r\n")
            await loopback.connect(ANN, BOB, 25, lambda: caller)
            await caller.lost
        ports.extend(port for _, port in callers)

    ports: list[int] = []
    (talk,) = run(loopback, story()).conversations()
    assert talk.text().splitlines()[1:] == DIALOGUE
    assert [talk.client] == [(ANN, port) for port in ports]


def test_another_programs_datagrams(loopback: Loopback) -> None:
    async def story() -> None:
        await loopback.listen_datagrams(BOB, 53, lambda payload, peer: payload.upper())
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as caller:
            caller.setblocking(False)
            caller.bind((real_address(ANN), 0))
            caller.connect(loopback.real_place(BOB, 53))
            caller.send(b"01q")
            assert await asyncio.get_running_loop().sock_recv(caller, 100) == b"01Q"

    (talk,) = run(loopback, story()).conversations(UDP)
    assert talk.client[0] == ANN
    assert [segment.payload for segment in talk.segments] == [b"01q", b"01Q"]


def test_no_wire_no_recorded_socket(loopback: Loopback, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a capture the sockets are plain ones: recording costs nothing where nobody wants it."""
    made: list[str] = []
    begin = RecordedSocket.__init__

    def noted(self: RecordedSocket, *rest: Any) -> None:
        made.append("one")
        begin(self, *rest)

    monkeypatch.setattr(RecordedSocket, "__init__", noted)

    async def story() -> None:
        recording, loopback.wire = loopback.wire, None
        await talk_to_bob(loopback)
        assert made == []
        loopback.wire = recording
        await loopback.connect(ANN, BOB, 25, lambda: Caller(b"quit\r\n"))

    run(loopback, story())
    assert made == ["one", "one"]


def test_buffers_sent_at_once() -> None:
    """asyncio from Python 3.12 on sends many buffers at once, and the kernel may take a part."""
    wire = Wire(now=monday)
    one, other = socket.socketpair()
    with RecordedSocket(one, wire, CLIENT, SERVER) as ours, other:
        ours.connected(hears=True)
        assert ours.sendmsg([b"MAIL", b"", memoryview(b" FROM")]) == 9
        numbers = b"".join(b"%07d," % number for number in range(100_000))
        assert ours.sendmsg([numbers[:3], numbers[3:500], numbers[500:]]) < len(numbers), "a part"
        other.setblocking(False)
        heard = b""
        with contextlib.suppress(BlockingIOError):
            while True:
                heard += other.recv(1_000_000)
    assert b"".join(segment.payload for segment in wire.segments()) == heard


def test_peer_is_what_the_server_is_told(network: Network) -> None:
    """The capture and the server know the caller by the same address and port."""
    peers: list[Peer] = []

    async def story() -> None:
        await network.listen(BOB, 25, lambda peer: peers.append(peer) or Echo())  # type: ignore[func-returns-value]
        caller = Caller(b"quit\r\n")
        await network.connect(ANN, BOB, 25, lambda: caller)
        await caller.lost

    (talk,) = run(network, story()).conversations()
    assert [talk.client] == [(peer.address, peer.port) for peer in peers]
