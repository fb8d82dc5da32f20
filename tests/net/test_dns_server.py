"""The nameserver: what it says, to whom, and what it bears."""

from __future__ import annotations

import asyncio
import gc
import random
import struct
import time
from collections.abc import Callable, Coroutine
from typing import Any, cast

import dns.edns
import dns.flags
import dns.message
import dns.name
import dns.rcode
import dns.rdatatype
import pytest
from dns.message import Message
from hypothesis import given, settings
from hypothesis import strategies as st

from labkit.net import dns_server
from labkit.net.dns_server import DnsServer, take_message
from labkit.net.dns_zones import Zones, read_zone
from labkit.net.loopback import Loopback
from labkit.net.memory import Memory
from labkit.net.network import Network, Peer

NAMESERVER, ANN = "203.0.113.53", "203.0.113.11"
PEER = Peer(ANN, 50000)

APEX = """
$TTL 1h
@       SOA  ns hostmaster 7 1h 15m 1w 5m
        NS   ns
        NS   ns.b.test.
        MX   20 mx2
        MX   10 mx1
        MX   15 mx.elsewhere.test.
ns      A    203.0.113.53
mx1     A    203.0.113.1
        AAAA 2001:db8::1
mx2     A    203.0.113.2
        A    203.0.113.3
        TXT  "two" "strings"
www     CNAME mx1
away    CNAME mx.b.test.
far     CNAME mx.elsewhere.test.
gone    CNAME nothing
one     CNAME two
two     CNAME one
deep.down.here A 203.0.113.4
*.wild  MX   10 mx1
        TXT  "any"
a.b.wild A   203.0.113.5
*.alias CNAME mx1
sub     NS   ns.sub
        NS   ns.elsewhere.test.
ns.sub  A    203.0.113.6
_smtp._tcp SRV 0 0 25 mx1
"""
B = "$TTL 1h\n@ SOA ns hostmaster 1 1h 15m 1w 1h\n@ NS ns\nns A 203.0.113.54\nmx A 203.0.113.7\n"
BIG = "\n".join(f'big TXT "{n:03} {"x" * 90}"' for n in range(40))


def server() -> DnsServer:
    return DnsServer(Zones(read_zone(APEX + BIG, "a.test"), read_zone(B, "b.test")))


@pytest.fixture
def nameserver() -> DnsServer:
    return server()


@pytest.fixture(params=[Loopback, Memory], ids=lambda kind: kind.name)
def network(request: pytest.FixtureRequest) -> Network:
    return cast(Network, request.param([NAMESERVER, ANN]))


def run(network: Network, story: Coroutine[Any, Any, None]) -> None:
    async def tell() -> None:
        try:
            await asyncio.wait_for(story, 20)
        finally:
            await network.close()

    asyncio.run(tell())
    gc.collect(1)  # an unclosed socket would warn now, in the test that left it


def query(name: str, rdtype: str = "A", **options: Any) -> Message:
    return dns.message.make_query(name, rdtype, **{"use_edns": False, **options})


def ask(nameserver: DnsServer, name: str, rdtype: str = "A", **options: Any) -> Message:
    asked = query(name, rdtype, **options)
    octets = nameserver.answer_datagram(asked.to_wire(), PEER)
    assert octets is not None
    response = dns.message.from_wire(octets)
    assert asked.is_response(response)
    return response


def lines(section: list[Any]) -> list[str]:
    """Records as short text: owner, type, data; a.test is left out."""
    text = "\n".join(rrset.to_text() for rrset in section)
    split = [line.split(" ", 4) for line in text.splitlines()]
    return [f"{owner} {rdtype} {data}".replace(".a.test.", "") for owner, _, _, rdtype, data in split]


SOA = "a.test. SOA ns hostmaster 7 3600 900 604800 300"
SOA_B = "b.test. SOA ns.b.test. hostmaster.b.test. 1 3600 900 604800 3600"


# --- what it says ---


@pytest.mark.parametrize(
    "name, rdtype, rcode, answer, authority, additional, because",
    [
        ("mx2.a.test", "A", "AA NOERROR", "mx2 A 203.0.113.2|mx2 A 203.0.113.3", "", "", "in file order"),
        ("MX1.A.Test", "AAAA", "AA NOERROR", "MX1.A.Test. AAAA 2001:db8::1", "", "", "case as asked"),
        ("mx2.a.test", "TXT", "AA NOERROR", 'mx2 TXT "two" "strings"', "", "", "strings stay apart"),
        (
            *("a.test", "MX", "AA NOERROR"),
            "a.test. MX 20 mx2|a.test. MX 10 mx1|a.test. MX 15 mx.elsewhere.test.",
            *("", "mx2 A 203.0.113.2|mx2 A 203.0.113.3|mx1 A 203.0.113.1|mx1 AAAA 2001:db8::1"),
            "the hosts' addresses as well, as far as we know them",
        ),
        (
            *("a.test", "NS", "AA NOERROR", "a.test. NS ns|a.test. NS ns.b.test.", ""),
            *("ns A 203.0.113.53|ns.b.test. A 203.0.113.54", "also from another zone of ours"),
        ),
        (
            *("_smtp._tcp.a.test", "SRV", "AA NOERROR", "_smtp._tcp SRV 0 0 25 mx1", ""),
            *("mx1 A 203.0.113.1|mx1 AAAA 2001:db8::1", "SRV names a host too"),
        ),
        ("mx1.a.test", "TXT", "AA NOERROR", "", SOA, "", "no data: the name exists"),
        ("nothing.a.test", "A", "AA NXDOMAIN", "", SOA, "", "no such name"),
        ("x.mx1.a.test", "A", "AA NXDOMAIN", "", SOA, "", "nothing below a host"),
        ("down.here.a.test", "A", "AA NOERROR", "", SOA, "", "has only something below it: exists"),
        ("here.a.test", "MX", "AA NOERROR", "", SOA, "", "so does this"),
        ("www.a.test", "A", "AA NOERROR", "www CNAME mx1|mx1 A 203.0.113.1", "", "", "an alias followed"),
        ("www.a.test", "CNAME", "AA NOERROR", "www CNAME mx1", "", "", "who asks for the alias gets it"),
        ("www.a.test", "MX", "AA NOERROR", "www CNAME mx1", SOA, "", "no data at its target"),
        ("gone.a.test", "A", "AA NXDOMAIN", "gone CNAME nothing", SOA, "", "RFC 6604: the last name counts"),
        (
            *("away.a.test", "A", "AA NOERROR", "away CNAME mx.b.test.|mx.b.test. A 203.0.113.7"),
            *("", "", "into another zone of ours"),
        ),
        ("away.a.test", "MX", "AA NOERROR", "away CNAME mx.b.test.", SOA_B, "", "its SOA says how long"),
        ("far.a.test", "A", "AA NOERROR", "far CNAME mx.elsewhere.test.", "", "", "and no further than that"),
        ("one.a.test", "A", "AA NOERROR", "|".join(["one CNAME two", "two CNAME one"]), "", "", "a loop"),
        (
            "x.wild.a.test",
            "MX",
            "AA NOERROR",
            "x.wild MX 10 mx1",
            "",
            None,
            "the wildcard, under the name asked",
        ),
        ("x.y.wild.a.test", "TXT", "AA NOERROR", 'x.y.wild TXT "any"', "", "", "at any depth"),
        ("x.wild.a.test", "A", "AA NOERROR", "", SOA, "", "the wildcard has no such data"),
        ("wild.a.test", "MX", "AA NOERROR", "", SOA, "", "is not below itself"),
        (
            "b.wild.a.test",
            "MX",
            "AA NOERROR",
            "",
            SOA,
            "",
            "exists, if only for what is below it: no wildcard",
        ),
        ("x.b.wild.a.test", "MX", "AA NXDOMAIN", "", SOA, "", "the nearest name that exists has no wildcard"),
        ("*.wild.a.test", "TXT", "AA NOERROR", '*.wild TXT "any"', "", "", "asked for by its own name"),
        ("x.alias.a.test", "A", "AA NOERROR", "x.alias CNAME mx1|mx1 A 203.0.113.1", "", "", "a wild alias"),
        ("sub.a.test", "NS", "NOERROR", "", "sub NS ns.sub|sub NS ns.elsewhere.test.", None, "a zone cut"),
        (
            *("x.y.sub.a.test", "A", "NOERROR", "", "sub NS ns.sub|sub NS ns.elsewhere.test."),
            *("ns.sub A 203.0.113.6", "below a cut: ask them, and this is where one of them is"),
        ),
        (
            "ns.sub.a.test",
            "A",
            "NOERROR",
            "",
            "sub NS ns.sub|sub NS ns.elsewhere.test.",
            None,
            "glue is no answer",
        ),
        ("sub.a.test", "DS", "AA NOERROR", "", SOA, "", "the one record of a cut that is the upper zone's"),
        ("a.test", "ANY", "AA NOERROR", SOA, "", "", "RFC 8482: one set of them"),
        ("elsewhere.test", "A", "REFUSED", "", "", "", "not our zone"),
        (".", "NS", "REFUSED", "", "", "", "the root is not ours either"),
        ("a.test", "AXFR", "REFUSED", "", "", "", "no transfers"),
        ("a.test", "IXFR", "REFUSED", "", "", "", "no transfers"),
        ("a.test", "TYPE65280", "AA NOERROR", "", SOA, "", "a type nobody knows"),
        ("a.test", "MAILB", "NOTIMP", "", "", "", "a question that is no type of data"),
    ],
)
def test_answers(
    nameserver: DnsServer,
    name: str,
    rdtype: str,
    rcode: str,
    answer: str,
    authority: str,
    additional: str | None,
    because: str,
) -> None:
    response = ask(nameserver, name, rdtype)
    aa = "AA " if response.flags & dns.flags.AA else ""
    assert aa + dns.rcode.to_text(response.rcode()) == rcode, because
    assert lines(response.answer) == answer.split("|") * bool(answer), because
    assert lines(response.authority) == authority.split("|") * bool(authority), because
    if additional is not None:
        assert lines(response.additional) == additional.split("|") * bool(additional), because


def test_negative_ttl(nameserver: DnsServer) -> None:
    """RFC 2308 §3: the smaller of the SOA's TTL and its last field."""
    assert ask(nameserver, "nothing.a.test").authority[0].ttl == 300
    assert ask(nameserver, "nothing.b.test").authority[0].ttl == 3600


def test_flags(nameserver: DnsServer) -> None:
    for flags in (0, dns.flags.RD, dns.flags.RD | dns.flags.AD | dns.flags.CD):
        response = ask(nameserver, "mx1.a.test", flags=flags)
        assert response.flags == dns.flags.QR | dns.flags.AA | (flags & dns.flags.RD)


def test_other_classes(nameserver: DnsServer) -> None:
    assert ask(nameserver, "version.bind", "TXT", rdclass="CH").rcode() == dns.rcode.REFUSED
    assert ask(nameserver, "a.test", "A", rdclass="ANY").rcode() == dns.rcode.REFUSED


def test_an_edit_is_seen_at_once(nameserver: DnsServer) -> None:
    assert ask(nameserver, "new.b.test").rcode() == dns.rcode.NXDOMAIN
    nameserver.zones.put(read_zone(B + "new A 203.0.113.8\n", "b.test"))
    assert lines(ask(nameserver, "new.b.test").answer) == ["new.b.test. A 203.0.113.8"]
    nameserver.zones.remove("b.test")
    assert ask(nameserver, "new.b.test").rcode() == dns.rcode.REFUSED


def test_order_is_the_same_every_time(nameserver: DnsServer) -> None:
    asked = query("a.test", "MX").to_wire()
    assert len({nameserver.answer_datagram(asked, PEER) for _ in range(50)}) == 1


# --- EDNS and size ---


@pytest.mark.parametrize(
    "payload, full, because",
    [
        (None, False, "512 octets without EDNS"),
        (100, False, "less than 512 cannot be meant (RFC 6891 §6.2.3)"),
        (1232, False, "still too small"),
        (4000, False, "too small by a little"),
        (4096, True, "as much as we send"),
        (65535, True, "a client may take more than that"),
    ],
)
def test_truncation(nameserver: DnsServer, payload: int | None, full: bool, because: str) -> None:
    zone = APEX + "\n".join(f'big TXT "{n:03} {"x" * 83}"' for n in range(40))  # 4039 octets in all
    nameserver.zones.put(read_zone(zone, "a.test"))
    options: dict[str, Any] = {} if payload is None else {"use_edns": 0, "payload": payload}
    response = ask(nameserver, "big.a.test", "TXT", **options)
    assert bool(response.flags & dns.flags.TC) is not full, because
    assert len(response.answer) == full
    assert response.edns == (-1 if payload is None else 0)
    octets = nameserver.answer_stream(query("big.a.test", "TXT", **options).to_wire())
    assert octets is not None
    assert len(dns.message.from_wire(octets).answer[0]) == 40


def test_additional_records_give_way_first(nameserver: DnsServer) -> None:
    """An answer without them is whole: no TC."""
    hosts = "".join(f"@ MX 10 h{n}\nh{n} A 203.0.113.{n}\n" for n in range(1, 21))
    nameserver.zones.put(read_zone(B + hosts, "b.test"))
    response = ask(nameserver, "b.test", "MX")
    assert not response.flags & dns.flags.TC
    assert len(response.answer[0]) == 20
    assert not response.additional
    assert len(ask(nameserver, "b.test", "MX", use_edns=0, payload=4096).additional) == 20


def test_edns(nameserver: DnsServer) -> None:
    cookie = dns.edns.GenericOption(dns.edns.OptionType.COOKIE, b"12345678")
    response = ask(nameserver, "mx1.a.test", use_edns=0, options=[cookie])
    assert (response.edns, response.payload, response.options) == (0, 4096, ())
    response = ask(nameserver, "mx1.a.test", use_edns=1)
    assert (response.rcode(), response.edns, response.answer) == (dns.rcode.BADVERS, 0, [])
    assert ask(nameserver, "mx1.a.test").edns == -1, "who does not speak it is not spoken to in it"


# --- faults and hooks ---


def test_servfail(nameserver: DnsServer) -> None:
    nameserver.servfail("wild.a.test")
    assert ask(nameserver, "x.wild.a.test", "MX").rcode() == dns.rcode.SERVFAIL
    assert ask(nameserver, "WILD.a.test", "MX").rcode() == dns.rcode.SERVFAIL
    assert ask(nameserver, "mx1.a.test").rcode() == dns.rcode.NOERROR
    nameserver.servfail("wild.a.test", on=False)
    assert ask(nameserver, "x.wild.a.test", "MX").rcode() == dns.rcode.NOERROR


def test_silent(nameserver: DnsServer) -> None:
    asked, other = query("x.wild.a.test", "MX").to_wire(), query("mx1.a.test").to_wire()
    nameserver.silent("wild.a.test.")
    assert nameserver.answer_datagram(asked, PEER) is None
    assert nameserver.answer_stream(asked) is None
    assert nameserver.answer_datagram(other, PEER)
    nameserver.silent()
    assert nameserver.answer_datagram(other, PEER) is None
    nameserver.silent(on=False)
    assert nameserver.answer_datagram(other, PEER)
    assert nameserver.answer_datagram(asked, PEER) is None
    with pytest.raises(ValueError, match="no domain name"):
        nameserver.silent("a..test")


def test_on_query(nameserver: DnsServer) -> None:
    heard: list[tuple[str, str, str]] = []
    nameserver.on_query = lambda *what: heard.append(what)
    ask(nameserver, "WWW.a.test", "MX")
    ask(nameserver, "nothing.a.test")
    ask(nameserver, ".", "TYPE65280")
    ask(nameserver, "a.test", use_edns=7)
    nameserver.servfail("a.test")
    ask(nameserver, "mx1.a.test", "TXT")
    nameserver.silent()
    nameserver.answer_datagram(query("mx1.a.test").to_wire(), PEER)
    assert heard == [
        ("www.a.test", "MX", "NOERROR"),
        ("nothing.a.test", "A", "NXDOMAIN"),
        (".", "TYPE65280", "REFUSED"),
        ("a.test", "A", "BADVERS"),
        ("mx1.a.test", "TXT", "SERVFAIL"),
        ("mx1.a.test", "A", "SILENCE"),
    ]


# --- what it bears ---

HEADER = b"\x12\x34\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00"  # id, RD, one question
NAME = b"\x03mx1\x01a\x04test\x00"
ASKED = NAME + b"\x00\x01\x00\x01"
POINTER_LOOP = b"\xc0\x0c\x00\x01\x00\x01"
FORMERR = b"\x12\x34\x81\x01" + bytes(8)


@pytest.mark.parametrize(
    "payload, reply, because",
    [
        (b"", None, "nothing"),
        (HEADER[:11], None, "not even a header"),
        (
            b"\x12\x34\x81" + HEADER[3:] + ASKED,
            None,
            "a response: never answered, or two servers talk for ever",
        ),
        (HEADER, FORMERR, "no question where one is promised"),
        (HEADER + ASKED[:-1], FORMERR, "cut off"),
        (HEADER + ASKED + b"x", FORMERR, "something follows"),
        (HEADER + POINTER_LOOP, FORMERR, "a name that points to itself"),
        (HEADER + b"\xc0\x0e\xc0\x0c\x00\x01\x00\x01", FORMERR, "two that point to each other"),
        (HEADER + b"\xff" * 40, FORMERR, "a pointer to outside"),
        (HEADER + b"\x40" + ASKED, FORMERR, "a label type that nobody uses"),
        (HEADER + b"\x3f" + b"x" * 63, FORMERR, "a name without end"),
        (HEADER + (b"\x3f" + b"x" * 63) * 5 + b"\x00\x00\x01\x00\x01", FORMERR, "a name of 320 octets"),
        (HEADER[:4] + b"\x00\x00" + bytes(6), FORMERR, "no question"),
        (HEADER[:4] + b"\x00\x02" + bytes(6) + ASKED * 2, FORMERR, "two questions"),
        (HEADER[:4] + b"\xff\xff" * 4 + ASKED, FORMERR, "65535 of everything"),
        (
            HEADER[:10] + b"\x00\x02" + ASKED + b"\x00\x00\x29\x10\x00\x00\x00\x00\x00\x00\x00" * 2,
            FORMERR,
            "two OPT",
        ),
        (
            HEADER[:2] + b"\x29" + HEADER[3:] + ASKED,
            b"\x12\x34\xa9\x04" + bytes(8),
            "UPDATE: not implemented",
        ),
        (HEADER[:2] + b"\x21" + HEADER[3:] + b"??", b"\x12\x34\xa1\x04" + bytes(8), "NOTIFY, and unreadable"),
        (HEADER[:2] + b"\x79" + HEADER[3:], b"\x12\x34\xf9\x04" + bytes(8), "an operation without a name"),
    ],
)
def test_hostile(nameserver: DnsServer, payload: bytes, reply: bytes | None, because: str) -> None:
    assert nameserver.answer_datagram(payload, PEER) == reply, because
    assert nameserver.answer_stream(payload) == reply, because


def bears(nameserver: DnsServer, payload: bytes) -> None:
    for reply in (nameserver.answer_datagram(payload, PEER), nameserver.answer_stream(payload)):
        if reply is not None:
            assert reply[:2] == payload[:2]
            assert reply[2] & 0x80
            dns.message.from_wire(reply)


SERVER = server()


@settings(deadline=None)
@given(st.binary(max_size=600))
def test_any_bytes(payload: bytes) -> None:
    bears(SERVER, payload)
    bears(SERVER, HEADER + payload)
    bears(SERVER, HEADER + ASKED + payload)


@settings(deadline=None)
@given(st.binary(max_size=255), st.integers(0, 65535), st.integers(0, 65535), st.integers(0, 3))
def test_any_question(label: bytes, rdtype: int, rdclass: int, edns: int) -> None:
    labels = b"".join(bytes([len(part)]) + part for part in label.split(b".") if 0 < len(part) < 64)
    question = labels + b"\x01a\x04test\x00" + struct.pack("!HH", rdtype, rdclass)
    opt = b"\x00\x00\x29" + struct.pack("!HBBHH", 4096, 0, edns, 0, 0)
    bears(SERVER, HEADER + question)
    bears(SERVER, HEADER[:11] + b"\x01" + question + opt)


def test_damaged_queries() -> None:
    """Every bit of a good query turned, and pieces of it thrown together."""
    good = query("x.wild.a.test", "MX", use_edns=0).to_wire()
    for bit in range(len(good) * 8):
        damaged = bytearray(good)
        damaged[bit // 8] ^= 1 << bit % 8
        bears(SERVER, bytes(damaged))
    chance = random.Random(35)
    for _ in range(2000):
        pieces = [good[(cut := chance.randrange(len(good))) : cut + chance.randrange(20)] for _ in range(4)]
        bears(SERVER, good[:12] + b"".join(pieces))


# --- over the network ---


class Client(asyncio.Protocol):
    """Says something on a TCP connection and collects the messages that come back."""

    def __init__(self, says: bytes) -> None:
        self.says = says
        self.received = bytearray()
        self.messages: list[bytes] = []
        self.lost: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)
        self.transport.write(self.says)

    def data_received(self, data: bytes) -> None:
        self.received += data
        while (message := take_message(self.received)) is not None:
            self.messages.append(message)

    def connection_lost(self, problem: Exception | None) -> None:
        self.lost.set_result(None)


def framed(*queries: Message) -> bytes:
    return b"".join(asked.to_wire(prepend_length=True) for asked in queries)


async def until(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < end, "waited in vain"
        await asyncio.sleep(0.001)


def test_udp_and_tcp(network: Network, nameserver: DnsServer) -> None:
    async def story() -> None:
        await nameserver.start(network, NAMESERVER)
        asked = query("www.a.test")
        reply = await network.exchange_datagram(ANN, NAMESERVER, 53, asked.to_wire())
        assert reply is not None
        assert lines(dns.message.from_wire(reply).answer) == ["www CNAME mx1", "mx1 A 203.0.113.1"]

        many = [query(f"n{n}.wild.a.test", "TXT", id=n) for n in range(100)]
        client = Client(framed(*many, query("big.a.test", "TXT", id=100)))
        await network.connect(ANN, NAMESERVER, 53, lambda: client)
        await until(lambda: len(client.messages) == 101)
        answers = [dns.message.from_wire(message) for message in client.messages]
        assert [answer.id for answer in answers] == list(range(101))
        assert len(answers[100].answer[0]) == 40
        for octet in framed(query("mx1.a.test", id=101)):  # one at a time
            client.transport.write(bytes([octet]))
            await asyncio.sleep(0.0001)
        await until(lambda: len(client.messages) == 102)

        client.transport.write(framed(query("ns.a.test", id=102), query("ns.b.test", id=103)))
        client.transport.write_eof()
        await client.lost
        assert len(client.messages) == 104, "what was asked before the end is answered"

        nameserver.close()
        assert await network.exchange_datagram(ANN, NAMESERVER, 53, asked.to_wire()) is None
        with pytest.raises(ConnectionRefusedError):
            await network.connect(ANN, NAMESERVER, 53, lambda: Client(b""))

    run(network, story())


@pytest.mark.parametrize(
    "says, because",
    [
        (b"\x00\x00", "a message of no octets"),
        (b"\x00\x05hello", "shorter than a header"),
        (framed(query("x.wild.a.test", "MX")), "silence: for a host of the lab the connection ends at once"),
    ],
    ids=["empty", "short", "silent"],  # a query has a random number
)
def test_tcp_that_ends(network: Network, nameserver: DnsServer, says: bytes, because: str) -> None:
    async def story() -> None:
        nameserver.silent("wild.a.test")
        await nameserver.start(network, NAMESERVER)
        client = Client(framed(query("mx1.a.test")) + says + framed(query("mx1.a.test")))
        await network.connect(ANN, NAMESERVER, 53, lambda: client)
        await client.lost
        assert len(client.messages) == 1, because

    run(network, story())


def test_a_client_that_does_not_read(network: Network, nameserver: DnsServer) -> None:
    """A million octets of queries would be a hundred times as much of answers: they wait."""

    async def story() -> None:
        written: list[int] = []
        answer = nameserver.answer_stream

        def counted(payload: bytes) -> bytes | None:
            reply = answer(payload)
            written.append(len(reply or b""))
            return reply

        nameserver.answer_stream = counted  # type: ignore[method-assign]
        await nameserver.start(network, NAMESERVER)
        client = Client(b"")
        await network.connect(ANN, NAMESERVER, 53, lambda: client)
        client.transport.pause_reading()
        client.transport.write(framed(query("big.a.test", "TXT")) * 5000)
        held = -1
        while held != len(written):
            held = len(written)
            await asyncio.sleep(0.2)
        assert sum(written) < 12_000_000  # the kernel's buffers take some
        client.transport.resume_reading()
        await until(lambda: len(client.messages) > held)
        client.transport.abort()

    run(network, story())


def test_an_idle_stranger(nameserver: DnsServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """Only another program's patience is real time; and for it silence is silence."""
    monkeypatch.setattr(dns_server, "IDLE_TIMEOUT", 0.1)
    network = Loopback([NAMESERVER, ANN])

    async def story() -> None:
        nameserver.silent("wild.a.test")
        await nameserver.start(network, NAMESERVER)
        ours = Client(b"")
        await network.connect(ANN, NAMESERVER, 53, lambda: ours)
        reader, writer = await asyncio.open_connection(*network.real_place(NAMESERVER, 53))
        writer.write(framed(query("x.wild.a.test", "MX")))
        assert await reader.read() == b""
        writer.close()
        await writer.wait_closed()
        assert not ours.lost.done()

    run(network, story())


def test_start_is_whole_or_not_at_all(network: Network, nameserver: DnsServer) -> None:
    async def story() -> None:
        taken = await network.listen(NAMESERVER, 53, lambda peer: Client(b""))
        with pytest.raises(OSError, match="already"):
            await nameserver.start(network, NAMESERVER)
        taken.close()
        await nameserver.start(network, NAMESERVER)

    run(network, story())


# --- dig, an independent judge ---


@pytest.mark.parametrize("tcp", ["+notcp", "+tcp"])
@pytest.mark.parametrize(
    "asked, seen",
    [
        ("a.test MX", ["status: NOERROR", "flags: qr aa rd;", "EDNS: version: 0", "MX\t20 mx2.a.test."]),
        ("nothing.a.test", ["status: NXDOMAIN", "IN\tSOA\tns.a.test."]),
        ("www.a.test +noedns", ["CNAME\tmx1.a.test.", "203.0.113.1"]),
        ("big.a.test TXT", ["ANSWER: 40,", '"039 ']),
        ("big.a.test TXT +ignore +bufsize=512", []),
        ("elsewhere.test", ["status: REFUSED"]),
        ("a.test +edns=3 +noednsneg", ["status: BADVERS"]),
        ("a.test +opcode=5", ["status: NOTIMP"]),
        ("a.test AXFR", ["Transfer failed."]),
        ("-x 203.0.113.1", ["status: REFUSED"]),
        ("version.bind TXT CH", ["status: REFUSED"]),
    ],
)
def test_dig(
    asked: str, seen: list[str], tcp: str, nameserver: DnsServer, require: Callable[[str], str]
) -> None:
    dig = require("dig")
    network = Loopback([NAMESERVER])

    async def story() -> None:
        await nameserver.start(network, NAMESERVER)
        address, port = network.real_place(NAMESERVER, 53)
        program = await asyncio.create_subprocess_exec(
            *(dig, f"@{address}", "-p", str(port), "+tries=1", "+time=5", tcp, *asked.split()),
            stdout=asyncio.subprocess.PIPE,
        )
        said = (await program.communicate())[0].decode()
        for words in seen:
            assert words in said, said
        assert "Warning" not in said, said
        assert not [line for line in said.splitlines() if "malformed" in line.lower()]
        if "+ignore" in asked:
            assert (" tc " in said.replace(";", " ")) == (tcp == "+notcp"), said

    run(network, story())


def test_dig_waits_for_the_silent(nameserver: DnsServer, require: Callable[[str], str]) -> None:
    dig = require("dig")
    network = Loopback([NAMESERVER])

    async def story() -> None:
        nameserver.silent()
        await nameserver.start(network, NAMESERVER)
        address, port = network.real_place(NAMESERVER, 53)
        program = await asyncio.create_subprocess_exec(
            *(dig, f"@{address}", "-p", str(port), "+tries=1", "+time=1", "a.test"),
            stdout=asyncio.subprocess.PIPE,
        )
        said = (await program.communicate())[0].decode()
        assert "timed out" in said or "no servers could be reached" in said

    run(network, story())


# --- DNSSEC, as a validating resolver on this machine has it ------------------------------------

SIGNED = "@ 60 SOA ns.a.test. h 1 1h 15m 1w 60\n  60 NS ns.a.test.\n"


def _resolver() -> DnsServer:
    zones = Zones(
        read_zone(SIGNED + "mx 60 A 203.0.113.1\nto 60 CNAME mx.b.test.\nhere 60 CNAME mx\n", "a.test"),
        read_zone(SIGNED + "mx 60 A 203.0.113.2\nback 60 CNAME mx.a.test.\n", "b.test"),
    )
    zones.sign("a.test")
    return DnsServer(zones)


def _asked(
    server: DnsServer, name: str, rdtype: str = "A", flags: int = dns.flags.AD
) -> tuple[str, bool, str]:
    """Response code, AD, and the last data."""
    query = dns.message.make_query(name, rdtype)
    query.flags |= flags
    answer = server.answer_datagram(query.to_wire(), PEER)
    assert answer is not None
    found = dns.message.from_wire(answer)
    data = found.answer[-1][0].to_text() if found.answer else ""
    return dns.rcode.to_text(found.rcode()), bool(found.flags & dns.flags.AD), data


@pytest.mark.parametrize(
    "name, rdtype, code, is_secure, because",
    [
        ("mx.a.test", "A", "NOERROR", True, "a signed zone"),
        ("here.a.test", "A", "NOERROR", True, "and a CNAME in it"),
        ("nowhere.a.test", "A", "NXDOMAIN", True, "that there is nothing is signed, too"),
        ("mx.a.test", "MX", "NOERROR", True, "and that there is no such record"),
        ("mx.b.test", "A", "NOERROR", False, "not a signed zone"),
        ("to.a.test", "A", "NOERROR", False, "a CNAME that leads out of it"),
        ("back.b.test", "A", "NOERROR", False, "a CNAME that leads into it"),
        ("c.test", "A", "REFUSED", False, "no zone"),
    ],
)
def test_what_is_secure(name: str, rdtype: str, code: str, is_secure: bool, because: str) -> None:
    assert _asked(_resolver(), name, rdtype)[:2] == (code, is_secure), because


def test_who_does_not_ask_is_not_told() -> None:
    server = _resolver()
    assert _asked(server, "mx.a.test", flags=0) == ("NOERROR", False, "203.0.113.1")
    query = dns.message.make_query("mx.a.test", "A", want_dnssec=True)
    answer = server.answer_datagram(query.to_wire(), PEER)
    assert answer is not None and dns.message.from_wire(answer).flags & dns.flags.AD, "DO is asking, too"


def test_a_lie_in_a_signed_zone_is_found_out() -> None:
    server = _resolver()
    zones = server.zones
    for origin in ("a.test", "b.test"):
        zones.forge(read_zone(zones[origin].text.replace("203.0.113.", "203.0.113.6"), origin))
    assert _asked(server, "mx.a.test") == ("SERVFAIL", False, "")
    assert _asked(server, "here.a.test")[0] == _asked(server, "back.b.test")[0] == "SERVFAIL", (
        "on the way, too"
    )
    assert _asked(server, "nowhere.a.test") == ("NXDOMAIN", True, ""), "what is true stays"
    assert _asked(server, "mx.a.test", flags=dns.flags.CD) == ("NOERROR", False, "203.0.113.61"), "unchecked"
    assert _asked(server, "mx.b.test") == ("NOERROR", False, "203.0.113.62"), "nobody knows better"
    zones.put(read_zone(zones["a.test"].text + "new 60 A 203.0.113.9\n", "a.test"))
    assert _asked(server, "new.a.test")[0] == "SERVFAIL", "the attacker hides it"
    zones.relent("a.test")
    assert _asked(server, "mx.a.test") == ("NOERROR", True, "203.0.113.1")
    assert _asked(server, "new.a.test") == ("NOERROR", True, "203.0.113.9"), "its owner signs what he writes"
    zones.sign("a.test", on=False)
    assert not _asked(server, "mx.a.test")[1]
    with pytest.raises(KeyError):
        zones.sign("c.test")
    with pytest.raises(KeyError):
        zones.forge(read_zone(SIGNED, "c.test"))
