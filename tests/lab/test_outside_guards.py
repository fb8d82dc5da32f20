"""Hostile clients at the servers outside: what aiosmtpd alone lets through does not get through here."""

from __future__ import annotations

import asyncio
import ssl
import time
import tracemalloc
from collections.abc import Callable
from typing import Any

import pytest

from labkit import World
from labkit.lab.clock import FIRST_MORNING
from labkit.mail.event import EventKind

from .outside_world import ANN, CAROL, LETTER, NETWORKS, Run, Typing, log_in, opened, plain, submission

BIGMAIL, RELAY = "mx.bigmail.test", "smtp.relay.test"
GREETING = "EHLO laptop.st11.sne21.test"
ENDS = [b"\n.\n", b"\r.\r", b"\n.\r\n", b"\r\n.\n", b"\r\n.\r", b"\r\n\0.\r\n"]


async def call(world: World, host: str, port: int = 25) -> Typing:
    return await Typing.call(world.network, world.laptop.address, world.host(host).address, port)


async def served(world: World, host: str) -> None:
    """Everybody else is still served."""
    other = await call(world, host)
    assert await other.codes(GREETING, "QUIT") == [250, 221]


COMMANDS = [  # what a client says after EHLO, the codes, why
    (["MAIL FROM:<a@b.test>\nRCPT TO:<carol@bigmail.test>"], [500], "a bare LF ends no command"),
    (["MAIL FROM:<a@b.test>\rRSET"], [500], "nor does a bare CR"),
    (["NOOP\0"], [500], "NUL"),
    (
        ["EHLO a b", "EHLO -x", "EHLO ..", "EHLO [203.0.113.9]", "HELO x_y"],
        [501, 501, 501, 250, 250],
        "names",
    ),
    (
        ["MAIL FROM:<a@b.test>", "MAIL FROM:<c@d.test>", "RSET", "MAIL FROM:<>"],
        [250, 503, 250, 250],
        "nested",
    ),
    (["RCPT TO:<carol@bigmail.test>", "DATA"], [503, 503], "out of order"),
    (["MAIL FROM:<a@b.test>", "RCPT TO:<>"], [250, 501], "no recipient"),
    (["MAIL FROM:<a@b.test>", "RCPT TO:<x@other.test>"], [250, 550], "no relay"),
    (["MAIL FROM:<a@b.test>", "RCPT TO:<carol%other.test@bigmail.test>"], [250, 550], "percent hack"),
    (
        ["MAIL FROM:<a@b.test>", "RCPT TO:<@x.test:carol@bigmail.test>"],
        [250, 250],
        "a source route is dropped",
    ),
    (["MAIL FROM:<\u00e4@b.test>", "MAIL FROM:<a\u00ff@b.test>"], [500, 500], "beyond ASCII"),
    (["MAIL FROM:<a@b.test> SIZE=99999999999"], [552], "too large"),
    (["MAIL FROM:<a@b.test> X=1", "MAIL FROM:<a@b.test> BODY=9BIT"], [555, 501], "parameters"),
    (
        ["MAIL FROM:<a@b@c.test>", "MAIL FROM:<a b@c.test>", "MAIL FROM:<a@-c.test>"],
        [553, 553, 553],
        "no addresses",
    ),
    (
        ["NOOP " + "x" * 3000, "NOOP " + "x" * 200_000, "NOOP"],
        [500, 500, 250],
        "long lines, in step afterwards",
    ),
    (["GET / HTTP/1.1", ""], [421, 0], "a web browser"),
    (["AUTH PLAIN " + plain()], [502], "no password on port 25"),
    (["DATA x", "QUIT x", "RSET x", "STARTTLS x"], [503, 501, 501, 501], "arguments"),
    (["VRFY carol", "EXPN list", "HELP"], [252, 502, 250], "nothing is told"),
    (["BDAT 5 LAST", "XYZZY", "ETRN x"], [500, 500, 500], "unknown commands"),
]


@NETWORKS
def test_commands(run: Run, network: str) -> None:
    async def story() -> None:
        async with opened("vouching", network) as world:
            for commands, expected, why in COMMANDS:
                client = await call(world, BIGMAIL)
                await client.ask(GREETING)
                octets = [each.encode("utf-8") for each in commands]
                assert await client.codes(*octets) == expected, why
                client.transport.close()
            await served(world, BIGMAIL)
            assert not world.journal.where(EventKind.PROBLEM)
            assert not world.journal.where(EventKind.RECEIVED)

    run(story())


@NETWORKS
def test_nothing_is_smuggled(run: Run, network: str) -> None:
    """Only CRLF.CRLF ends a message; one with a bare CR, LF or NUL is refused as a whole."""

    async def story() -> None:
        async with opened("vouching", network) as world:
            client = await call(world, BIGMAIL)
            await client.ask(GREETING)
            for end in ENDS:
                assert await client.codes(f"MAIL FROM:<{ANN}>", f"RCPT TO:<{CAROL}>", "DATA") == [
                    250,
                    250,
                    354,
                ]
                smuggled = b"MAIL FROM:<x@y.test>\r\nRCPT TO:<carol@bigmail.test>\r\nDATA\r\n"
                assert await client.codes(b"Subject: a\r\n\r\na" + end + smuggled + b"b\r\n.") == [554], end
            assert await client.codes("NOOP", "QUIT") == [250, 221]
            assert not world.journal.where(EventKind.RECEIVED)

    run(story())


@NETWORKS
def test_limits(run: Run, network: str) -> None:
    async def story() -> None:
        async with opened("vouching", network) as world:
            client = await call(world, BIGMAIL)
            await client.ask(GREETING, f"MAIL FROM:<{ANN}>")
            codes = await client.codes(*[f"RCPT TO:<{CAROL}>"] * 101)
            assert codes == [250] * 100 + [452]
            hops = b"".join(b"Received: from a by b; Mon, 7 Sep 2026 09:00:00 +0000\r\n" for _ in range(101))
            assert await client.codes("DATA", hops + b"\r\n.") == [354, 554]
            assert await client.codes(f"MAIL FROM:<{ANN}>", f"RCPT TO:<{CAROL}>", "DATA") == [250, 250, 354]
            folded = b"Subject: x" + b"\r\n " * 100_000 + b"x\r\n\r\n."
            assert await client.codes(folded) == [552], "a header has its limit"
            assert await client.codes(f"MAIL FROM:<{ANN}>", f"RCPT TO:<{CAROL}>", "DATA") == [250, 250, 354]
            assert await client.codes(b"x" * 5000 + b"\r\n.") == [500], "a line has 998 characters"
            idle = await call(world, BIGMAIL)
            await idle.ask(GREETING)
            assert await idle.codes(*["NOOP"] * 21) == [250] * 20 + [421]
            bad = await call(world, BIGMAIL)
            assert await bad.codes(*[b"x\ny"] * 10) == [500] * 9 + [0]
            many = [await Typing.call(world.network, world.laptop.address, world.provider.host.address, 25)
                    for _ in range(18)]  # fmt: skip
            crowd = Typing()
            await world.network.connect(world.laptop.address, world.provider.host.address, 25, lambda: crowd)
            answers = [await crowd.reply()]
            assert len(many) == 18 and answers[0].startswith(("421", "220"))
            more = Typing()
            await world.network.connect(world.laptop.address, world.provider.host.address, 25, lambda: more)
            assert (await more.reply()).startswith("421 4.7.0 Too many connections")
            from_elsewhere = await Typing.call(
                world.network, world.partner_laptop.address, world.provider.host.address, 25
            )
            assert await from_elsewhere.codes(GREETING) == [250]

    run(story())


@NETWORKS
def test_tls_begins_once_and_clean(run: Run, network: str) -> None:
    """What comes along with STARTTLS is thrown away; nonsense instead of a handshake ends the session."""

    async def story() -> None:
        async with opened("relay", network) as world:
            client = await call(world, RELAY, 587)
            assert await client.codes("STARTTLS", GREETING, "AUTH PLAIN " + plain()) == [503, 250, 538]
            assert (await client.ask(f"MAIL FROM:<{ANN}>"))[0].startswith("530 5.7.0 Must issue a STARTTLS")
            assert await client.codes("STARTTLS\r\nNOOP") == [220]
            client.transport.write(b"NOOP\r\n" * 50)
            await asyncio.wait_for(_over(client), 20)
            at_once = Typing()
            await world.network.connect(world.laptop.address, world.relay.host.address, 465, lambda: at_once)
            at_once.transport.write(b"EHLO x\r\n")
            await asyncio.wait_for(_over(at_once), 20)
            assert b"220" not in at_once.heard
            secured = await submission(world, 587)
            assert str(await secured.say("STARTTLS", "STARTTLS")).startswith("503")
            assert (await log_in(secured, "nobody")).startswith("535")
            await secured.quit()
            await served(world, RELAY)
            assert not world.journal.where(EventKind.PROBLEM)

    run(story())


@NETWORKS
def test_what_was_said_in_the_clear_is_forgotten(run: Run, network: str) -> None:
    """RFC 3207 §4.2: commands that came along with STARTTLS, and the EHLO before it, do not count within TLS."""

    async def story() -> None:
        async with opened("relay", network) as world:
            client = await call(world, RELAY, 587)
            assert await client.codes(GREETING, "STARTTLS\r\nEHLO mallory.test\r\nNOOP") == [250, 220]
            layer = await _handshake(client)
            said = [f"AUTH PLAIN {plain()}", f"MAIL FROM:<{ANN}>", GREETING, f"MAIL FROM:<{ANN}>"]
            heard = [await _say(client, layer, each) for each in said]
            assert [each[:3] for each in heard] == ["503", "503", "250", "530"], heard

    run(story())


def test_no_auth_within_a_transaction(run: Run) -> None:
    """RFC 4954 §3. The relay takes no MAIL before AUTH; the impostor does."""

    async def story() -> None:
        async with opened("relay") as world:
            world.impostor.forge(offers_tls=False)
            client = await call(world, world.impostor.host.name, 587)
            said = await client.codes(GREETING, f"MAIL FROM:<{ANN}>", f"AUTH PLAIN {plain()}", "RSET")
            assert said == [250, 250, 503, 250]
            assert world.impostor.heard == ()
            assert await client.codes(f"AUTH PLAIN {plain()}") == [235]

    run(story())


async def _handshake(client: Typing) -> tuple[ssl.SSLObject, ssl.MemoryBIO, ssl.MemoryBIO]:
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    layer = context.wrap_bio(incoming, outgoing), incoming, outgoing
    await _until_done(client, layer, layer[0].do_handshake)
    return layer


async def _say(
    client: Typing, layer: tuple[ssl.SSLObject, ssl.MemoryBIO, ssl.MemoryBIO], command: str
) -> str:
    layer[0].write(f"{command}\r\n".encode())
    return str((await _until_done(client, layer, layer[0].read)).decode())


async def _until_done(
    client: Typing, layer: tuple[ssl.SSLObject, ssl.MemoryBIO, ssl.MemoryBIO], step: Callable[[], Any]
) -> Any:
    _, incoming, outgoing = layer
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        incoming.write(client.heard)
        client.heard = b""
        try:
            return step()
        except ssl.SSLWantReadError:
            await asyncio.sleep(0.001)
        finally:
            if outgoing.pending:
                client.transport.write(outgoing.read())
    raise TimeoutError


async def _over(client: Typing) -> None:
    while not client.is_over:
        await asyncio.sleep(0.005)


@NETWORKS
def test_passwords_cannot_be_guessed(run: Run, network: str) -> None:
    """Three tries a session; and an account at which somebody guesses has a rest, right password or not."""

    async def story() -> None:
        async with opened("relay", network) as world:
            for _ in range(7):
                client = await submission(world, 587)
                answers = [await log_in(client, password=f"guess {n}") for n in range(3)]
                assert [answer[:3] for answer in answers] == ["535", "535", "421"]
            client = await submission(world, 587)
            assert (await log_in(client)).startswith("535"), "twenty wrong ones"
            await world.advance(minutes=16)
            late = await submission(world, 587)
            assert (await log_in(late)).startswith("235")
            odd = await submission(world, 465)
            assert str(await odd.say("AUTH PLAIN ====", "*")).startswith("501")
            assert str(await odd.say("AUTH CRAM-MD5", "*")).startswith("504")
            assert str(await odd.say("AUTH PLAIN " + plain(behalf="carol"), "*")).startswith("535")
            await odd.quit()

    run(story())


@NETWORKS
def test_auth_stays_out_of_a_transaction(run: Run, network: str) -> None:
    async def story() -> None:
        async with opened("relay", network) as world:
            client = await submission(world, 587)
            await log_in(client)
            assert (await log_in(client)).startswith("503")
            long_line = await submission(world, 587)
            assert str(await long_line.say("AUTH PLAIN", "*")).startswith("334")
            assert str(await long_line.say("A" * 12_288, "*")).startswith("501")
            assert str(await long_line.say("NOOP", "NOOP")).startswith("250"), "in step afterwards"

    run(story())


@NETWORKS
def test_memory_does_not_grow_with_what_is_sent(run: Run, network: str) -> None:
    """Thirty megabytes in one line, or in one message, are not kept."""

    async def story() -> None:
        async with opened("vouching", network) as world:
            client = await call(world, BIGMAIL)
            await client.ask(GREETING, f"MAIL FROM:<{ANN}>", f"RCPT TO:<{CAROL}>", "DATA")
            tracemalloc.start()
            for _ in range(120):
                client.transport.write(b"x" * 98 + b"\r\n" + b"y" * 250_000 + b"\r\n")
                while client.transport.get_write_buffer_size() > 500_000:
                    await asyncio.sleep(0)
            assert await client.codes("\r\n.") == [500]
            _, peak = tracemalloc.get_traced_memory()
            tracemalloc.stop()
            assert peak < 20_000_000, peak
            assert await client.codes("NOOP") == [250]

    run(story())


@pytest.mark.parametrize("host, port", [(BIGMAIL, 25), (RELAY, 25), (RELAY, 587)])
def test_a_session_is_seen_and_dated(run: Run, host: str, port: int) -> None:
    """The dialogue is in the journal, with the states; the banner has the lab's date."""

    async def story() -> None:
        async with opened("vouching" if host == BIGMAIL else "relay") as world:
            client = await call(world, host, port)
            await client.ask(GREETING, "QUIT")
            talk = world.host(host).last_conversation()
            said = [exchange.text for exchange in talk.exchanges]
            assert f"{FIRST_MORNING:%a, %d %b %Y %H:%M:%S} +0000" in said[0]
            assert GREETING in said and said[-2] == "QUIT"
            states = [exchange.server for exchange in talk.exchanges]
            assert states[0] == "banner sent, the client has not said who it is"
            assert "ready for a mail transaction" in states

    run(story())


def test_the_server_stops_politely(run: Run) -> None:
    async def story() -> None:
        async with opened("vouching") as world:
            client = await call(world, BIGMAIL)
            await client.ask(GREETING)
            await world.provider.stop()
            assert (await client.reply()).startswith("421")
            with pytest.raises(ConnectionRefusedError):
                await call(world, BIGMAIL)
            await world.provider.start()
            await served(world, BIGMAIL)

    run(story())


@NETWORKS
def test_faults_and_wishes_count(run: Run, network: str) -> None:
    """The table of faults works on these servers as on others; x-452@ is for the provider to refuse."""

    async def story() -> None:
        async with opened("vouching", network) as world:
            client = await call(world, BIGMAIL)
            await client.ask(GREETING, f"MAIL FROM:<{ANN}>")
            assert await client.codes("RCPT TO:<x-452@bigmail.test>", f"RCPT TO:<{CAROL}>") == [452, 250]
            world.faults.add(BIGMAIL, "drops", at="data")
            assert await client.codes("DATA", "Subject: x\r\n\r\n.") == [354, 0]
            world.faults.clear(BIGMAIL)
            world.faults.add(BIGMAIL, "busy", after=0)
            client = await call(world, BIGMAIL)
            assert await client.codes(GREETING, f"MAIL FROM:<{ANN}>", "NOOP") == [250, 421, 0]
            world.faults.clear(BIGMAIL)
            world.faults.add(BIGMAIL, "slow", seconds=90)
            before = world.now()
            await world.mine.send(ANN, CAROL, LETTER.format(ANN, CAROL, "slow"))
            await world.settle()
            while not world.provider.verdicts:
                await world.advance(minutes=1)
            assert (world.now() - before).total_seconds() >= 90
            world.faults.clear()
            world.faults.add(BIGMAIL, "refuses")
            with pytest.raises(ConnectionRefusedError):
                await call(world, BIGMAIL)

    run(story())
