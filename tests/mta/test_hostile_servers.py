"""Servers that do not behave: the delivering host defers or fails cleanly, and others go on.

The partner is stopped, and one of these listens at its address. On both networks.
"""

from __future__ import annotations

import asyncio
import gc
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from labkit import partners
from labkit.lab.world import World
from labkit.mail.event import EventKind
from labkit.net import smtp_client
from labkit.net.network import Peer

ANN, BOB = "ann@st11.sne21.test", "bob@st2.sne21.test"
SECURE = b"250-rude.test\r\n250 STARTTLS\r\n"
HELLO = b"250-rude.test\r\n250-PIPELINING\r\n250-SIZE 99999999\r\n250 8BITMIME\r\n"


@dataclass
class Rude:
    """What a server says to each kind of line. None: it hangs up; "": it says nothing; a callable: it does that."""

    banner: Any = b"220 rude.test\r\n"
    ehlo: Any = HELLO
    mail: Any = b"250 OK\r\n"
    rcpt: Any = b"250 OK\r\n"
    data: Any = b"354 go on\r\n"
    content: Any = b"250 OK\r\n"
    rset: Any = b"250 OK\r\n"
    quit: Any = b"221 bye\r\n"
    helo: Any = b"250 rude.test\r\n"
    star: Any = b"454 not now\r\n"  # to STARTTLS


class RudeServer(asyncio.Protocol):
    """Follows its manners, and hangs up where they say None."""

    def __init__(self, manners: Rude) -> None:
        self.manners = manners
        self.octets = b""
        self.is_content = False
        self.is_absent = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport: Any = transport
        self.answer(self.manners.banner)

    def data_received(self, data: bytes) -> None:
        self.octets += data
        while not self.transport.is_closing() and not self.is_absent:
            line, end, rest = self.octets.partition(b"\r\n.\r\n" if self.is_content else b"\r\n")
            if line.startswith(b"BDAT "):
                size = int(line.split()[1])
                if len(rest) < size:
                    return
                self.octets = rest[size:]
                self.answer(self.manners.content)
                continue
            if not end:
                return
            self.octets = rest
            what = "content" if self.is_content else line[:4].decode().lower()
            self.is_content = what == "data" and (self.manners.data or b"").startswith(b"354")
            if self.is_content:
                self.octets = b"\r\n" + self.octets
            self.answer(getattr(self.manners, what))

    def answer(self, reply: Any) -> None:
        self.is_absent = not reply or callable(reply)
        if reply is None:
            self.transport.close()
        elif callable(reply):
            reply(self.transport)
        else:
            self.transport.write(reply)


def endlessly(octets: bytes, pause: float = 0.0) -> Callable[[Any], None]:
    """Say this for ever, in the turns of the loop."""

    def say(transport: Any) -> None:
        if not transport.is_closing():
            transport.write(octets)
            asyncio.get_running_loop().call_later(pause, say, transport)

    return say


def deaf(transport: Any) -> None:
    """Take nothing more in."""
    transport.write(b"354 go on\r\n")
    transport.pause_reading()


def cut(transport: Any) -> None:
    """Hang up without a word."""
    transport.abort()


def says_after_220(octets: bytes, pause: float = 0.01) -> Callable[[Any], None]:
    """Agree to TLS, and then say this instead of a handshake."""

    def say(transport: Any) -> None:
        transport.write(b"220 go ahead\r\n")
        asyncio.get_running_loop().call_later(
            pause, lambda: transport.is_closing() or transport.write(octets)
        )

    return say


def endless_tls(transport: Any) -> None:
    """A handshake record that never becomes whole, octet by octet."""
    transport.write(b"220 go ahead\r\n")
    asyncio.get_running_loop().call_later(0.02, endlessly(b"\x16\x03\x03\x40\x00\x02", 0.05), transport)


def cut_after_220(transport: Any) -> None:
    transport.write(b"220 go ahead\r\n")
    asyncio.get_running_loop().call_later(0.01, transport.close)


deaf.startswith = lambda prefix: True  # type: ignore[attr-defined]
DEFERRED, FAILED, DELIVERED = EventKind.DEFERRED, EventKind.FAILED, EventKind.DELIVERED

MANNERS = [
    (Rude(), DELIVERED, "", "well-behaved, to begin with"),
    (Rude(banner=b"220 rude.test\n", ehlo=b"250 rude.test\n"), DELIVERED, "", "bare LF: it is understood"),
    (Rude(ehlo=b"500 what?\r\n"), DELIVERED, "", "an old server: HELO"),
    (Rude(banner=None), DEFERRED, "Remote host closed connection", "hangs up at once"),
    (Rude(banner=cut), DEFERRED, "connection", "the same, abruptly"),
    (Rude(ehlo=None), DEFERRED, "Remote host closed connection", "hangs up at EHLO"),
    (Rude(mail=None), DEFERRED, "Remote host closed connection", "at MAIL"),
    (Rude(rcpt=None), DEFERRED, "Remote host closed connection", "at RCPT"),
    (Rude(data=None), DEFERRED, "Remote host closed connection", "at DATA"),
    (Rude(data=cut), DEFERRED, "connection", "abruptly at DATA"),
    (Rude(content=None), DEFERRED, "Remote host closed connection", "instead of the verdict: nobody knows, so again"),
    (Rude(quit=None), DELIVERED, "", "at QUIT: the message is taken"),
    (Rude(quit=cut), DELIVERED, "", "abruptly at QUIT"),
    (Rude(quit=b"500 no\r\n"), DELIVERED, "", "will not let us go"),
    (Rude(banner=b"554 go away\r\n"), FAILED, "554 go away", "wants nobody"),
    (Rude(banner=b"421 not now\r\n"), DEFERRED, "421 not now", "wants nobody today"),
    (Rude(banner=b"HTTP/1.1 400 Bad Request\r\n"), DEFERRED, "Malformed SMTP reply", "a web server"),
    (Rude(banner=b"SSH-2.0-OpenSSH_9.6\r\n"), DEFERRED, "Malformed SMTP reply", "SSH"),
    (Rude(banner=b"\x15\x03\x01\x00\x02\x02\x46\n"), DEFERRED, "Malformed SMTP reply", "a TLS alert"),
    (Rude(banner=b"\0" * 100_000), DEFERRED, "without end", "NUL, and no line"),
    (Rude(banner=b"\r\n"), DEFERRED, "Malformed SMTP reply", "an empty line"),
    (Rude(banner=b"199 x\r\n"), DEFERRED, "Malformed SMTP reply", "no such code"),
    (Rude(banner=b"600 x\r\n"), DEFERRED, "Malformed SMTP reply", "no such code either"),
    (Rude(banner=b"22 x\r\n"), DEFERRED, "Malformed SMTP reply", "too short"),
    (Rude(banner=b"354 x\r\n"), DEFERRED, "SMTP error from remote mail server", "the wrong kind of code"),
    (Rude(ehlo=b"354 x\r\n"), DEFERRED, "SMTP error from remote mail server", "the same"),
    (Rude(ehlo=b"500 x\r\n", helo=b"550 nor HELO\r\n"), FAILED, "550 nor HELO", "refuses every name"),
    (Rude(mail=b"354 go on\r\n"), DEFERRED, "SMTP error from remote mail server", "the same at MAIL"),
    (Rude(data=b"250 OK\r\n"), DEFERRED, "SMTP error from remote mail server", "accepts before the message came"),
    (Rude(content=b"354 more\r\n"), DEFERRED, "SMTP error from remote mail server", "wants more"),
    (Rude(mail=b"250 OK\r\n" * 50), DEFERRED, "", "answers what nobody has asked"),
    (Rude(banner=b"220 a\r\n220 b\r\n"), DEFERRED, "", "two banners"),
    (Rude(mail=b"451 later\r\n"), DEFERRED, "451 later", "puts off the sender"),
    (Rude(mail=b"550 no\r\n"), FAILED, "550 no", "refuses the sender"),
    (Rude(rcpt=b"452 full\r\n"), DEFERRED, "452 full", "puts off the recipient"),
    (Rude(data=b"451 later\r\n"), DEFERRED, "451 later", "puts off the message"),
    (Rude(content=b"552 too big\r\n"), FAILED, "552 too big", "refuses the message"),
    (Rude(rcpt=b"421 closing\r\n"), DEFERRED, "421 closing", "closes down in the middle"),
    (Rude(content=b"421 closing\r\n"), DEFERRED, "421 closing", "and at the end"),
    (Rude(ehlo=endlessly(b"250-x\r\n" * 50)), DEFERRED, "without end", "an endless reply"),
    (Rude(rcpt=endlessly(b"250-x\r\n" * 50)), DEFERRED, "without end", "an endless reply later"),
    (Rude(banner=endlessly(b"220" + b"x" * 1000)), DEFERRED, "without end", "an endless line"),
    (Rude(content=b"250 " + b"x" * 100_000 + b"\r\n"), DEFERRED, "without end", "a huge line"),
    (Rude(banner=b""), DEFERRED, "SMTP timeout after", "says nothing"),
    (Rude(rcpt=b""), DEFERRED, "SMTP timeout after", "stops in the middle"),
    (Rude(content=b""), DEFERRED, "SMTP timeout after", "gives no verdict"),
    (Rude(data=deaf), DEFERRED, "SMTP timeout after", "takes nothing in"),
    (Rude(quit=b""), DELIVERED, "", "does not say goodbye"),
    (Rude(banner=endlessly(b"2", 0.05)), DEFERRED, "SMTP timeout after", "an octet now and then"),
    (Rude(ehlo=endlessly(b"250-x\r\n", 0.05)), DEFERRED, "SMTP timeout after", "a line now and then"),
    (Rude(rcpt=b"550 \xff\xfe\0\x1b[2J\x0b evil\rx\r\n"), FAILED, "evil", "odd octets in the words"),
    (Rude(ehlo=SECURE), DELIVERED, "", "puts STARTTLS off: in the clear"),
    (Rude(ehlo=SECURE, star=b"501 never\r\n"), DELIVERED, "", "refuses it: the same"),
    (Rude(ehlo=SECURE, star=None), DEFERRED, "in response to STARTTLS", "hangs up at STARTTLS"),
    (Rude(ehlo=SECURE, star=b"220 a\r\n250 b\r\n"), DELIVERED, "", "speaks before the handshake: in the clear"),
    (Rude(ehlo=SECURE, star=says_after_220(b"250 OK\r\n")), DELIVERED, "", "no handshake, but SMTP"),
    (Rude(ehlo=SECURE, star=says_after_220(b"\x15\x03\x03\x00\x02\x02\x28")), DELIVERED, "", "an alert"),
    (Rude(ehlo=SECURE, star=says_after_220(b"\x16\x03\x03\xff\xff" + b"x" * 70_000)), DELIVERED, "", "a huge record"),
    (Rude(ehlo=SECURE, star=says_after_220(b"\0" * 100_000)), DELIVERED, "", "NUL"),
    (Rude(ehlo=SECURE, star=says_after_220(b"", 60)), DELIVERED, "", "220, then nothing"),
    (Rude(ehlo=SECURE, star=endless_tls), DELIVERED, "", "a handshake without end"),
    (Rude(ehlo=SECURE, star=cut_after_220), DELIVERED, "", "220, and gone"),
    (Rude(ehlo=b"250-rude.test\r\n250 AUTH PLAIN LOGIN\r\n"), DELIVERED, "", "wants AUTH, and we have none"),
    (Rude(ehlo=b"250-rude.test\r\n250 CHUNKING\r\n"), DELIVERED, "", "takes chunks"),
    (Rude(rcpt=b"550-one\r\n550-two\r\n550 three\r\n"), FAILED, r"550-one\n550-two\n550 three", "many lines"),
]  # fmt: skip


async def trial(
    world: World, manners: Rude, kind: EventKind, words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One letter to the rude server, and one to somebody else behind it in the queue."""
    servers: list[RudeServer] = []

    def accept(peer: Peer) -> RudeServer:
        servers.append(RudeServer(manners))
        return servers[-1]

    await world.partner.stop()
    await world.mine.stop()
    await world.mine.start(queue_only=True)
    listener = await world.network.listen(world.partner.address, 25, accept)
    content = b"Subject: to the rude one\r\n\r\n" + b"a line of text to fill the buffers with\r\n" * 100_000
    small = b"Subject: to the rude one\r\n\r\nx\r\n"
    message = content if manners.data is deaf else small
    sent = await world.laptop.send(BOB, message=message)
    await world.laptop.send(ANN, "to ann", "others go on\n")
    began = time.perf_counter()
    monkeypatch.setattr(smtp_client, "PATIENCE", 0.3)
    await world.mine.run_queue()
    monkeypatch.undo()
    assert time.perf_counter() - began < 10
    if kind is FAILED:
        await world.mine.run_queue()  # the report

    outcome = [e for e in world.journal if e.kind in (DEFERRED, FAILED, DELIVERED) and e.recipient == BOB]
    assert [(event.queue_id, event.kind) for event in outcome] == [(sent.queue_id, kind)], world.mine.log()
    assert words in (outcome[0].text or ""), outcome[0].text
    subjects = [letter.first("Subject") for letter in world.mine.mailbox("ann")]
    assert "to ann" in subjects
    assert subjects.count("Mail delivery failed: returning message to sender") == (kind is FAILED)
    assert len(world.mine.queue) == (kind is DEFERRED)
    assert "internal problem" not in world.mine.log()
    assert world.mine.log().replace("\n", "").isprintable()

    listener.close()
    for server in servers:
        server.transport.abort()
    await world.partner.start()
    await world.advance(hours=1)
    assert world.mine.queue == ()
    assert len(world.partner.mailbox("bob")) == (kind is DEFERRED), "it gets there in the end"


@pytest.fixture(scope="module")
def _quick_collections() -> Iterator[None]:
    """Leave what pytest has loaded out of the collector's rounds: one takes a millisecond then, not a hundred."""
    gc.collect()
    gc.freeze()
    yield
    gc.unfreeze()


CASES = [("loopback", number) for number in range(len(MANNERS))] + [
    ("memory", number)
    for number, (manners, *_) in enumerate(MANNERS)
    if any(not reply or callable(reply) for reply in vars(manners).values())  # what only a transport can do
]


@pytest.mark.usefixtures("_quick_collections")
@pytest.mark.parametrize(
    "network, number", CASES, ids=[f"{MANNERS[n][3]}, {network}" for network, n in CASES]
)
def test_rude_servers(network: str, number: int, monkeypatch: pytest.MonkeyPatch) -> None:
    manners, kind, words, _ = MANNERS[number]

    async def story() -> None:
        async with partners(network=network) as world:
            await asyncio.wait_for(trial(world, manners, kind, words, monkeypatch), 30)

    asyncio.run(story())
    gc.collect()  # whatever was left open would warn now


@pytest.mark.parametrize("network", ["loopback", "memory"])
@pytest.mark.alone
def test_one_recipient_is_not_the_other(network: str) -> None:
    """Each gets the verdict that was meant for it, and nothing is sent twice."""

    class Picky(RudeServer):
        def answer(self, reply: Any) -> None:
            if reply == "pick":
                self.count = getattr(self, "count", 0) + 1
                reply = (b"250 OK\r\n", b"550 no\r\n", b"451 later\r\n")[(self.count - 1) % 3]
            super().answer(reply)

    async def story() -> None:
        async with partners(network=network) as world:
            await world.partner.stop()
            heard: list[Peer] = []

            def accept(peer: Peer) -> Picky:
                heard.append(peer)
                return Picky(Rude(rcpt="pick"))

            listener = await world.network.listen(world.partner.address, 25, accept)
            names = [f"{name}@st2.sne21.test" for name in ("one", "two", "three")]
            await world.laptop.send(names, "to three")
            kinds = {e.recipient: e.kind for e in world.journal if e.kind in (DELIVERED, FAILED, DEFERRED)}
            assert [kinds[name] for name in names] == [DELIVERED, FAILED, DEFERRED]
            (item,) = world.mine.queue
            assert [str(recipient) for recipient in item.remaining] == [names[2]]
            (report,) = world.mine.mailbox("ann")
            assert report.first("X-Failed-Recipients") == names[1]
            assert names[0] not in report.body.partition(b"message/rfc822")[0].decode()
            await world.advance(minutes=15)
            assert world.mine.queue == ()
            assert len(heard) == 2
            listener.close()

    asyncio.run(asyncio.wait_for(story(), 20))
