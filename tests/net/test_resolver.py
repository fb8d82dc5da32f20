"""The resolver: answers, cache in lab time, and nameservers that do not behave."""

from __future__ import annotations

import asyncio
import gc
import time
from collections.abc import Callable, Coroutine
from datetime import datetime, timedelta, timezone
from typing import Any, cast

import dns.flags
import dns.message
import dns.rcode
import dns.rrset
import pytest
from dns.message import Message
from hypothesis import given, settings
from hypothesis import strategies as st

from labkit.mail.questions import (
    AccountNamed,
    AddressesOf,
    DnsAnswer,
    DnsOutcome,
    MxOf,
    MxRecord,
    NamesOf,
    TextOf,
    TlsaOf,
)
from labkit.net import resolver as resolver_module
from labkit.net.dns_server import DnsServer
from labkit.net.dns_zones import Zones, read_zone
from labkit.net.loopback import Loopback
from labkit.net.memory import Memory
from labkit.net.network import Network, Peer
from labkit.net.resolver import PATIENCE, TRIES, Cached, Resolver

NAMESERVER, ANN = "203.0.113.53", "203.0.113.11"
MONDAY = datetime(2026, 11, 23, 9, 0, tzinfo=timezone.utc)
QUICK = 0.5  # seconds of real time: what costs none is quicker than that
SOON = 4.0  # and everything else than that, on a busy machine too: no patience of five seconds was real

ZONE = """
$TTL 1h
@       SOA  ns hostmaster 1 1h 15m 1w 5m
        NS   ns
        MX   20 MX2
        MX   10 mx1
        MX   20 a.elsewhere.test.
        TXT  "v=spf1 " "mx -all"
        TXT  "second"
ns      A    203.0.113.53
mx1     A    203.0.113.1
        A    203.0.113.4
mx2     60 A 203.0.113.2
        AAAA 2001:db8::2
nomail  MX   0 .
www     30 CNAME mx1
far     CNAME other.b.test.
away    CNAME mx.elsewhere.test.
gone    CNAME nothing
bare    CNAME mx2
one     CNAME two
two     CNAME one
utf     TXT  "gr\\195\\188n"
latin   TXT  "gr\\252n"
sub     NS   ns.sub
zero    0 A  203.0.113.9
old     20d A 203.0.113.9
*.wild  A    203.0.113.8
"""
B = "$TTL 1h\n@ SOA ns.a.test. h.a.test. 1 1h 15m 1w 2d\n@ NS ns.a.test.\nother 90 A 203.0.113.7\n"
BACK = "$TTL 1h\n@ SOA ns.a.test. h.a.test. 1 1h 15m 1w 5m\n@ NS ns.a.test.\n1 PTR MX1.a.test.\n1 PTR www.a.test.\n"
BIG = "".join(f'big TXT "{n:03} {"x" * 90}"\n' for n in range(40))

FOUND, NODATA, NXDOMAIN = DnsOutcome.FOUND, DnsOutcome.NODATA, DnsOutcome.NXDOMAIN
SERVFAIL, TIMEOUT = DnsOutcome.SERVFAIL, DnsOutcome.TIMEOUT


class Lab:
    """A nameserver, a resolver and a clock that only moves when somebody waits."""

    def __init__(self, network: Network) -> None:
        self.network = network
        self.now = MONDAY
        self.asked: list[str] = []
        self.zones = Zones(
            read_zone(ZONE + BIG, "a.test"),
            read_zone(B, "b.test"),
            read_zone(BACK, "113.0.203.in-addr.arpa"),
        )
        self.nameserver = DnsServer(self.zones, lambda *what: self.asked.append(" ".join(what)))
        self.resolver = Resolver(network, ANN, NAMESERVER, lambda: self.now, self.sleep)

    async def sleep(self, wait: timedelta) -> None:
        self.now += wait

    def packets(self) -> int:
        """How many queries the nameserver saw since the last time."""
        count = len(self.asked)
        self.asked.clear()
        return count

    def tell(self, story: Coroutine[Any, Any, None], within: float = SOON) -> None:
        async def told() -> None:
            try:
                await self.nameserver.start(self.network, NAMESERVER)
                await asyncio.wait_for(story, 20)
            finally:
                await self.network.close()

        began = time.monotonic()
        asyncio.run(told())
        took = time.monotonic() - began
        gc.collect(1)  # an unclosed socket would warn now, in the test that left it
        assert took < within


@pytest.fixture(params=[Loopback, Memory], ids=lambda kind: kind.name)
def lab(request: pytest.FixtureRequest) -> Lab:
    return Lab(cast(Network, request.param([NAMESERVER, ANN])))


# --- answers ---


@pytest.mark.parametrize(
    "question, outcome, records, because",
    [
        (
            *(MxOf("a.test"), FOUND),
            (MxRecord(20, "mx2.a.test"), MxRecord(10, "mx1.a.test"), MxRecord(20, "a.elsewhere.test")),
            "in the order of the zone, in lower case",
        ),
        (MxOf("A.Test."), FOUND, None, "case and final dot do not matter"),
        (MxOf("nomail.a.test"), FOUND, (MxRecord(0, "."),), "a null MX (RFC 7505)"),
        (MxOf("mx1.a.test"), NODATA, (), "the name exists"),
        (MxOf("nothing.a.test"), NXDOMAIN, (), "the name does not"),
        (MxOf("www.a.test"), NODATA, (), "an alias for a name without MX"),
        (AddressesOf("mx1.a.test"), FOUND, ("203.0.113.1", "203.0.113.4"), "all of them"),
        (AddressesOf("mx2.a.test"), FOUND, ("203.0.113.2",), "IPv4 only"),
        (AddressesOf("www.a.test"), FOUND, ("203.0.113.1", "203.0.113.4"), "by an alias"),
        (AddressesOf("far.a.test"), FOUND, ("203.0.113.7",), "in another zone"),
        (AddressesOf("gone.a.test"), NXDOMAIN, (), "an alias for nothing"),
        (AddressesOf("one.a.test"), SERVFAIL, (), "aliases without end"),
        (AddressesOf("away.a.test"), SERVFAIL, (), "an alias for a name that nobody knows"),
        (AddressesOf("elsewhere.test"), SERVFAIL, (), "refused"),
        (AddressesOf("x.sub.a.test"), SERVFAIL, (), "a referral: this nameserver does not know"),
        (AddressesOf("x.wild.a.test"), FOUND, ("203.0.113.8",), "a wildcard"),
        (AddressesOf("203.0.113.1"), SERVFAIL, (), "an address is no name of ours"),
        (TextOf("a.test"), FOUND, ("v=spf1 mx -all", "second"), "strings joined, records apart"),
        (TextOf("utf.a.test"), FOUND, ("grün",), "UTF-8"),
        (TextOf("latin.a.test"), FOUND, ("grün",), "not UTF-8: each octet is kept"),
        (NamesOf("203.0.113.1"), FOUND, ("mx1.a.test", "www.a.test"), "PTR"),
        (NamesOf("203.0.113.2"), NXDOMAIN, (), "no PTR"),
    ],
)
def test_answers(
    question: Any, outcome: DnsOutcome, records: tuple[Any, ...] | None, because: str, lab: Lab
) -> None:
    async def story() -> None:
        answer = await lab.resolver.answer(question)
        assert answer.outcome is outcome, because
        if records is not None:
            assert answer.records == records, because
            end = {"www.a.test": "mx1.a.test", "far.a.test": "other.b.test", "bare.a.test": "mx2.a.test"}
            name = getattr(question, "host", "") or getattr(question, "domain", "")
            assert answer.canonical == (end.get(name, "") if records else ""), because
        assert lab.now == MONDAY

    lab.tell(story())


@pytest.mark.parametrize(
    "question",
    [
        MxOf(""),
        MxOf("."),
        MxOf("@"),
        MxOf("a..test"),
        MxOf(".a.test"),
        AddressesOf("x" * 64 + ".test"),
        AddressesOf(".".join(["x" * 60] * 5)),
        AddressesOf("a\\"),
        AddressesOf("a\\256.test"),
        TextOf("xn--\udcff.test"),
        TextOf("ü" * 64 + ".test"),
        NamesOf("mx1.a.test"),
        NamesOf("203.0.113"),
        NamesOf(""),
    ],
    ids=lambda question: repr(question)[:30],
)
def test_names_that_cannot_be(question: Any, lab: Lab) -> None:
    async def story() -> None:
        answer = await lab.resolver.answer(question)
        root = question == MxOf(".")  # is a name, and not ours
        assert answer.outcome is (SERVFAIL if root else NXDOMAIN)
        assert lab.packets() == root

    lab.tell(story())


def test_names_with_odd_octets(lab: Lab) -> None:
    async def story() -> None:
        for name in (
            "a b.a.test",
            "münchen.a.test",
            "x\\.y.a.test",
            "_dmarc.a.test",
            "*.a.test",
            "\t.a.test",
        ):
            assert (await lab.resolver.answer(AddressesOf(name))).outcome is NXDOMAIN

    lab.tell(story())


def test_other_questions(lab: Lab) -> None:
    async def story() -> None:
        with pytest.raises(TypeError, match="AccountNamed"):
            await lab.resolver.answer(cast(Any, AccountNamed("ann")))

    lab.tell(story())


def test_a_long_answer_comes_by_tcp(lab: Lab) -> None:
    async def story() -> None:
        answer = await lab.resolver.answer(TextOf("big.a.test"))
        assert len(answer.records) == 40
        assert lab.asked == ["big.a.test TXT NOERROR"] * 2

    lab.tell(story())


# --- the cache ---


@pytest.mark.parametrize(
    "question, seconds, because",
    [
        (AddressesOf("mx1.a.test"), 3600, "$TTL"),
        (AddressesOf("mx2.a.test"), 60, "a TTL of its own"),
        (AddressesOf("www.a.test"), 30, "the smallest on the way: the alias's"),
        (AddressesOf("bare.a.test"), 60, "the smallest on the way: the address's"),
        (MxOf("mx1.a.test"), 300, "no data: SOA's last field"),
        (MxOf("nothing.a.test"), 300, "no such name: SOA's last field"),
        (MxOf("nothing.b.test"), 3600, "no such name: SOA's TTL, if that is less"),
        (MxOf("bare.a.test"), 300, "an alias, then no data"),
        (AddressesOf("old.a.test"), 7 * 86400, "nobody keeps it longer than a week"),
    ],
)
def test_ttl_in_lab_time(question: Any, seconds: int, because: str, lab: Lab) -> None:
    async def story() -> None:
        first = await lab.resolver.answer(question)
        assert lab.packets() == 1
        lab.now += timedelta(seconds=seconds - 1)
        assert await lab.resolver.answer(question) == first, because
        assert lab.packets() == 0, because
        assert [entry.remaining for entry in lab.resolver.cached()] == [timedelta(seconds=1)]
        lab.now += timedelta(seconds=1)
        assert lab.resolver.cached() == []
        assert await lab.resolver.answer(question) == first
        assert lab.packets() == 1, because

    lab.tell(story())


def test_an_edit_is_seen_when_the_ttl_has_run_out(lab: Lab) -> None:
    async def story() -> None:
        assert (await lab.resolver.answer(AddressesOf("new.a.test"))).outcome is NXDOMAIN
        lab.zones.put(read_zone(ZONE + "new A 203.0.113.99\n", "a.test"))
        lab.now += timedelta(minutes=4)
        assert (await lab.resolver.answer(AddressesOf("new.a.test"))).outcome is NXDOMAIN
        lab.now += timedelta(minutes=1)
        assert (await lab.resolver.answer(AddressesOf("new.a.test"))).records == ("203.0.113.99",)
        lab.zones.put(read_zone(ZONE, "a.test"))
        assert (await lab.resolver.answer(AddressesOf("new.a.test"))).outcome is FOUND
        lab.resolver.flush()
        assert (await lab.resolver.answer(AddressesOf("new.a.test"))).outcome is NXDOMAIN

    lab.tell(story())


def test_what_is_not_kept(lab: Lab) -> None:
    async def story() -> None:
        for question in (
            AddressesOf("zero.a.test"),
            AddressesOf("elsewhere.test"),
            AddressesOf("one.a.test"),
        ):
            await lab.resolver.answer(question)
        lab.nameserver.servfail("a.test")
        assert (await lab.resolver.answer(MxOf("a.test"))).outcome is SERVFAIL
        lab.nameserver.servfail("a.test", on=False)
        assert (await lab.resolver.answer(MxOf("nomail.a.test"))).outcome is FOUND
        assert [entry.name for entry in lab.resolver.cached()] == ["nomail.a.test"]

    lab.tell(story())


def test_the_cache_can_be_seen(lab: Lab) -> None:
    async def story() -> None:
        await lab.resolver.answer(AddressesOf("MX2.a.test"))
        lab.now += timedelta(seconds=10)
        await lab.resolver.answer(MxOf("nothing.a.test"))
        assert lab.resolver.cached() == [
            Cached("mx2.a.test", "A", DnsAnswer(FOUND, ("203.0.113.2",)), timedelta(seconds=50)),
            Cached("nothing.a.test", "MX", DnsAnswer(NXDOMAIN), timedelta(seconds=300)),
        ]

    lab.tell(story())


def test_the_cache_is_bounded(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resolver_module, "MOST_ENTRIES", 3)

    async def story() -> None:
        for n in range(5):
            await lab.resolver.answer(AddressesOf(f"x{n}.wild.a.test"))
        assert [entry.name for entry in lab.resolver.cached()] == [f"x{n}.wild.a.test" for n in (2, 3, 4)]

    lab.tell(story())


# --- nameservers that do not behave ---


def test_silence_costs_lab_time_only(lab: Lab) -> None:
    async def story() -> None:
        lab.nameserver.silent("wild.a.test")
        assert await lab.resolver.answer(AddressesOf("x.wild.a.test")) == DnsAnswer(TIMEOUT)
        assert lab.now == MONDAY + TRIES * PATIENCE == MONDAY + timedelta(seconds=10)
        assert lab.asked == ["x.wild.a.test A SILENCE"] * 2
        lab.network.silence(NAMESERVER)
        assert await lab.resolver.answer(MxOf("a.test")) == DnsAnswer(TIMEOUT)
        lab.network.silence(NAMESERVER, on=False)
        lab.nameserver.close()
        assert await lab.resolver.answer(MxOf("a.test")) == DnsAnswer(TIMEOUT)
        assert lab.now == MONDAY + timedelta(seconds=30)
        await lab.nameserver.start(lab.network, NAMESERVER)
        assert (await lab.resolver.answer(MxOf("a.test"))).outcome is FOUND

    lab.tell(story(), within=QUICK)


def test_the_nameserver_speaks_again_while_we_wait(lab: Lab) -> None:
    async def story() -> None:
        async def repair(wait: timedelta) -> None:
            lab.nameserver.silent(on=False)

        resolver = Resolver(lab.network, ANN, NAMESERVER, lambda: lab.now, repair)
        lab.nameserver.silent()
        assert (await resolver.answer(MxOf("a.test"))).outcome is FOUND

    lab.tell(story())


def test_servfail_is_known_at_once(lab: Lab) -> None:
    async def story() -> None:
        lab.nameserver.servfail("a.test")
        assert await lab.resolver.answer(MxOf("a.test")) == DnsAnswer(SERVFAIL)
        assert lab.now == MONDAY
        assert lab.packets() == 1

    lab.tell(story(), within=QUICK)


@pytest.mark.parametrize("fault", ["nobody", "silent place", "ends", "garbage", "too short", "never ends"])
def test_tcp_fails(lab: Lab, fault: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The datagram says TC, and then TCP does not work."""
    monkeypatch.setattr(resolver_module, "STUCK", 0.05)
    says = {"garbage": b"\x00\x05hello", "too short": b"\x00\x20hello", "never ends": b""}

    class Fault(asyncio.Protocol):
        def connection_made(self, transport: asyncio.BaseTransport) -> None:
            stream = cast(asyncio.Transport, transport)
            stream.write(says.get(fault, b""))
            if fault in ("ends", "too short"):
                stream.close()

    async def story() -> None:
        lab.nameserver.close()
        await lab.network.listen_datagrams(NAMESERVER, 53, lab.nameserver.answer_datagram)
        if fault == "silent place":
            lab.network.silence(NAMESERVER, 53)  # the datagrams too: here that is the same
        elif fault != "nobody":
            await lab.network.listen(NAMESERVER, 53, lambda peer: Fault())
        assert await lab.resolver.answer(TextOf("big.a.test")) == DnsAnswer(TIMEOUT)
        assert lab.now == MONDAY + timedelta(seconds=10)

    lab.tell(story())


Reply = Callable[[Message], "Message | bytes | None"]


def other_id(query: Message) -> Message:
    answer = answering(query, "x.test. 60 IN A 203.0.113.66")
    answer.id = query.id ^ 1
    return answer


def other_question(query: Message) -> Message:
    asked = dns.message.make_query("y.test", "A", id=query.id)
    return answering(asked, "x.test. 60 IN A 203.0.113.66")


def not_a_response(query: Message) -> Message:
    answer = answering(query, "x.test. 60 IN A 203.0.113.66")
    answer.flags &= ~dns.flags.QR
    return answer


def answering(query: Message, *records: str, rcode: int = 0) -> Message:
    response = dns.message.make_response(query)
    response.set_rcode(dns.rcode.Rcode(rcode))
    for record in records:
        name, ttl, rdclass, rdtype, data = record.split(" ", 4)
        rrset = dns.rrset.from_text(name, int(ttl), rdclass, rdtype, data)
        (response.authority if rdtype in ("SOA", "NS") else response.answer).append(rrset)
    return response


CHAIN = [f"x{n}.test. 60 IN CNAME x{n + 1}.test." for n in range(100)]


@pytest.mark.parametrize(
    "reply, outcome, records, waits, because",
    [
        (other_id, TIMEOUT, (), 2, "not our id: not our answer"),
        (other_question, TIMEOUT, (), 2, "not our question"),
        (not_a_response, TIMEOUT, (), 2, "a query"),
        (lambda query: query, TIMEOUT, (), 2, "our own query back"),
        (lambda query: b"", TIMEOUT, (), 2, "an empty datagram"),
        (lambda query: b"\xff" * 60_000, TIMEOUT, (), 2, "much of nothing"),
        (
            lambda query: query.to_wire()[:2] + b"\x81\x80" + b"\xff" * 500,
            TIMEOUT,
            (),
            2,
            "garbage with our id",
        ),
        (lambda query: answering(query).to_wire() + b"x", TIMEOUT, (), 2, "something follows"),
        (lambda query: answering(query), SERVFAIL, (), 0, "an answer that says nothing"),
        (lambda query: answering(query, rcode=2), SERVFAIL, (), 0, "SERVFAIL"),
        (lambda query: answering(query, rcode=1), SERVFAIL, (), 0, "FORMERR"),
        (lambda query: answering(query, rcode=15), SERVFAIL, (), 0, "a code that means nothing here"),
        (lambda query: answering(query, rcode=3), NXDOMAIN, (), 0, "without SOA: so it is, but not for long"),
        (lambda query: answering(query, "x.test. 60 IN NS y.test."), SERVFAIL, (), 0, "a referral"),
        (lambda query: answering(query, "test. 60 IN SOA a. b. 1 2 3 4 5"), NODATA, (), 0, "no data"),
        (lambda query: answering(query, "y.test. 60 IN A 203.0.113.66"), SERVFAIL, (), 0, "of another name"),
        (lambda query: answering(query, "x.test. 60 IN MX 10 y.test."), SERVFAIL, (), 0, "of another type"),
        (lambda query: answering(query, "x.test. 60 CH TXT hello"), SERVFAIL, (), 0, "of another class"),
        (
            lambda query: answering(query, "x.test. 60 IN CNAME x.test."),
            *(SERVFAIL, (), 0, "an alias for itself"),
        ),
        (
            lambda query: answering(query, "x.test. 60 IN CNAME x0.test.", *CHAIN),
            *(SERVFAIL, (), 0, "a hundred aliases"),
        ),
        (
            lambda query: answering(query, "x.test. 60 IN CNAME y.test.", "y.test. 60 IN A 203.0.113.1"),
            *(FOUND, ("203.0.113.1",), 0, "an alias and what it stands for"),
        ),
        (
            lambda query: answering(query, "y.test. 60 IN A 203.0.113.1", "x.test. 60 IN CNAME y.test."),
            *(FOUND, ("203.0.113.1",), 0, "in another order"),
        ),
    ],
)
def test_hostile_answers(
    reply: Reply, outcome: DnsOutcome, records: tuple[str, ...], waits: int, because: str, lab: Lab
) -> None:
    def answer(payload: bytes, peer: Peer) -> bytes | None:
        said = reply(dns.message.from_wire(payload))
        return said.to_wire(max_size=65535) if isinstance(said, Message) else said

    async def story() -> None:
        lab.nameserver.close()
        await lab.network.listen_datagrams(NAMESERVER, 53, answer)
        found = await lab.resolver.answer(AddressesOf("x.test"))
        assert (found.outcome, found.records) == (outcome, records), because
        assert found.canonical == ("y.test" if records and "x." not in because else ""), because
        assert lab.now == MONDAY + waits * PATIENCE, because

    lab.tell(story())


@settings(deadline=None)
@given(st.binary(max_size=300), st.booleans(), st.integers(0, 65535))
def test_any_answer(junk: bytes, is_response: bool, flags: int) -> None:
    """Bytes after a header and question that fit, or after nothing: no error, and an outcome."""
    lab = Lab(Memory([NAMESERVER, ANN]))

    def answer(payload: bytes, peer: Peer) -> bytes:
        counts = b"\x00\x01\x00\x02\x00\x01\x00\x01"
        return payload[:2] + (flags | 0x8000).to_bytes(2, "big") + counts + junk if is_response else junk

    async def story() -> None:
        try:
            await lab.network.listen_datagrams(NAMESERVER, 53, answer)
            assert isinstance(await lab.resolver.answer(MxOf("x.test")), DnsAnswer)
            assert isinstance(await lab.resolver.answer(TextOf("x.test")), DnsAnswer)
        finally:
            await lab.network.close()

    asyncio.run(story())


def test_damaged_answers() -> None:
    """Single bits of a good answer turned, in every octet."""
    lab = Lab(Memory([NAMESERVER, ANN]))
    bit = 0

    def answer(payload: bytes, peer: Peer) -> bytes:
        good = lab.nameserver.answer_datagram(payload, peer)
        damaged = bytearray(good or b"")
        damaged[bit // 8 % len(damaged)] ^= 1 << bit % 8
        return bytes(damaged)

    async def story() -> None:
        nonlocal bit
        await lab.network.listen_datagrams(NAMESERVER, 53, answer)
        for next_bit in range(0, 8 * 250, 5):
            bit = next_bit
            lab.resolver.flush()
            assert isinstance(await lab.resolver.answer(MxOf("a.test")), DnsAnswer)
        await lab.network.close()

    asyncio.run(story())


@pytest.mark.alone
def test_many_at_once(lab: Lab) -> None:
    async def story() -> None:
        questions = [AddressesOf(f"n{n}.wild.a.test") for n in range(200)]
        answers = await asyncio.gather(*map(lab.resolver.answer, questions))
        assert answers == [DnsAnswer(FOUND, ("203.0.113.8",))] * 200

    lab.tell(story())


def test_what_is_signed_is_known(lab: Lab) -> None:
    lab.zones.sign("a.test")
    lab.zones.put(
        read_zone(
            ZONE + BIG + "_25._tcp.mx1 TLSA 3 1 0 ABCD ( EF01 )\n_25._tcp.mx2 CNAME _25._tcp.mx1\n"
            "_25._tcp.mx3 CNAME _25._tcp.other.b.test.\n",
            "a.test",
        )
    )
    lab.zones.put(read_zone(B + "_25._tcp.other TLSA 2 1 0 AB\n", "b.test"))

    async def story() -> None:
        answer = lab.resolver.answer
        assert (await answer(MxOf("a.test"))).is_secure
        assert (await answer(TlsaOf("_25._tcp.mx1.a.test"))) == DnsAnswer(
            FOUND, ("3 1 0 abcdef01",), is_secure=True
        )
        assert (await answer(TlsaOf("_25._tcp.mx2.a.test"))).is_secure
        assert (await answer(TlsaOf("_25._tcp.mx3.a.test"))) == DnsAnswer(
            FOUND, ("2 1 0 ab",), "_25._tcp.other.b.test"
        )
        assert (await answer(TlsaOf("_25._tcp.none.a.test"))) == DnsAnswer(NXDOMAIN, is_secure=True)
        assert not (await answer(AddressesOf("other.b.test"))).is_secure
        assert (await answer(TextOf("big.a.test"))).is_secure, "by TCP, too"
        lab.nameserver.servfail("_25._tcp.mx1.a.test")
        lab.resolver.flush()
        assert (await answer(TlsaOf("_25._tcp.mx1.a.test"))) == DnsAnswer(SERVFAIL)

    lab.tell(story())
