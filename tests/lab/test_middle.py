"""The man in the middle himself: what he must not break, whoever speaks, and a server that lets itself be injected."""

from __future__ import annotations

import asyncio
import base64
import re
import smtplib
import ssl
import time
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any, cast

import pytest

from labkit.lab.followed_talk import Answer, Blind, Command, Content, FollowedTalk
from labkit.lab.middle_engine import ATTACKS, NoSuchAttack
from labkit.lab.middle_session import CLEAR, LEFT_OUT, OWN_TLS, PUT_IN, UNREADABLE
from labkit.lab.overheard import Confession
from labkit.lab.scenario_file import scenario_of
from labkit.lab.scenarios import Scenario
from labkit.lab.tls_cell import client_configuration
from labkit.lab.world import World
from labkit.lab.yaml_nodes import FileErrors
from labkit.mail.event import EventKind

Run = Callable[[Coroutine[Any, Any, Any]], Any]
Calls = Callable[..., Coroutine[Any, Any, Any]]
CAROL, VICTIM = "carol@bigmail.test", "mx.bigmail.test"


def opened(network: str = "memory", scenario: str = "tls_matrix", **more: Any) -> World:
    return World.open(scenario, network=network, alongside=True, queue_interval=None, **more)


# --- following a talk -------------------------------------------------------------------------


@pytest.mark.parametrize("step", [1, 2, 7, 1000])
def test_all_octets_come_out_again(step: int) -> None:
    """However they are cut into pieces."""
    client = b"EHLO a\r\nMAIL FROM:<a@b>\r\nBDAT 10 LAST\r\nEHLO\r\nXX\r\nDATA\r\n"
    talk = FollowedTalk(greets=False)
    pieces = [p for at in range(0, len(client), step) for p in talk.client_said(client[at : at + step])]
    assert b"".join(piece.octets for piece in pieces) == client
    verbs = [piece.verb for piece in pieces if isinstance(piece, Command)]
    assert verbs == ["EHLO", "MAIL", "BDAT", "DATA"], "the content of a chunk is no command"
    assert b"".join(p.octets for p in pieces if isinstance(p, Content)) == b"EHLO\r\nXX\r\n"
    server = b"250-a\r\n250 b\r\n250 c\r\n250 d\r\n354 go\r\n"
    answers = [p for at in range(0, len(server), step) for p in talk.server_said(server[at : at + step])]
    assert [(p.verb, p.code) for p in answers if isinstance(p, Answer)] == [
        ("EHLO", 250), ("MAIL", 250), ("BDAT", 250), ("DATA", 354),
    ]  # fmt: skip
    content = list(talk.client_said(b"QUIT\r\n.\r\nQUIT\r\n"))
    assert [type(piece) for piece in content] == [Content, Content, Command]


def test_lines_without_an_end_pass_unread() -> None:
    talk = FollowedTalk()
    passed = sum(len(p.octets) for _ in range(100) for p in talk.client_said(b"x" * 10_000))
    assert passed == 1_000_000 and talk.is_blind
    silent = FollowedTalk()
    assert b"".join(p.octets for p in silent.server_said(b"SSH-2.0-hello\r\n")) == b"SSH-2.0-hello\r\n"
    endless = FollowedTalk()
    said = [p for _ in range(100) for p in endless.server_said(b"250-" + b"x" * 9996)]
    assert all(isinstance(piece, Blind) for piece in said) and endless.is_blind


def test_a_reply_line_by_line_is_read_once() -> None:
    """A server that says 250- for ever, in many segments, costs no time that grows with the square."""
    talk = FollowedTalk()
    begin = time.process_time()
    for _ in range(20_000):
        assert not list(talk.server_said(b"250-\n"))
    (answer,) = talk.server_said(b"250 x\n")
    assert time.process_time() - begin < 5, "20,000 lines from the beginning each time are 90 seconds"
    assert isinstance(answer, Answer) and len(answer.lines) == 20_001
    (following,) = talk.server_said(b"250 y\n")
    assert following.octets == b"250 y\n", "the next reply begins anew"


@pytest.mark.parametrize(
    "said, heard, verbs, because",
    [
        ("AUTH LOGIN\r\nYW5u\r\nc2VjcmV0\r\nQUIT\r\n", [334, 334, 235, 221],
         "AUTH (response) (response) QUIT", "all at once, before it is asked"),
        ("AUTH PLAIN\r\nAGFubgBzZWNyZXQ=\r\nMAIL FROM:<a@b>\r\n", [334, 235, 250],
         "AUTH (response) MAIL", "one response"),
        ("AUTH LOGIN\r\nYW5u\r\nc2VjcmV0\r\nRSET\r\n", [504, 500, 500, 250],
         "AUTH (response) (response) RSET", "refused: yet passwords they are"),
        ("AUTH PLAIN AGFubgBzZWNyZXQ=\r\nMAIL FROM:<a@b>\r\n", [235, 250], "AUTH MAIL", "no response"),
    ],
)  # fmt: skip
def test_passwords_that_are_said_too_early(said: str, heard: list[int], verbs: str, because: str) -> None:
    talk = FollowedTalk(greets=False)
    commands = [each for each in talk.client_said(said.encode()) if isinstance(each, Command)]
    assert " ".join(each.verb for each in commands) == verbs, because
    answers = [p for code in heard for p in talk.server_said(b"%d x\r\n" % code)]
    assert [each.code for each in answers if isinstance(each, Answer)] == heard
    last = answers[-1]
    assert isinstance(last, Answer) and last.verb == verbs.split()[-1], "replies and commands keep in step"
    assert talk.awaits_nothing
    assert [type(p) for p in talk.client_said(b"NOOP\r\n")] == [Command]
    (reply,) = talk.server_said(b"250 x\r\n")
    assert isinstance(reply, Answer) and reply.verb == "NOOP"


@pytest.mark.parametrize(
    "command, answers, told, because",
    [
        ("AUTH PLAIN AGFubgBzZWNyZXQ=", [], ("ann", 6), "an initial response"),
        ("AUTH PLAIN", [b"AGFubgBzZWNyZXQ=\r\n"], ("ann", 6), "after 334"),
        ("auth login", [b"YW5u\r\n", b"c2VjcmV0\r\n"], ("ann", 6), "two answers"),
        ("AUTH LOGIN YW5u", [], None, "the password is still to come"),
        ("AUTH CRAM-MD5", [b"YW5uIDEyMzQ=\r\n"], None, "a digest is no password"),
        ("AUTH PLAIN ====", [], None, "no base64"),
        ("AUTH", [b"*\r\n"], None, "nothing"),
    ],
)
def test_what_a_password_is(command: str, answers: list[bytes], told: object, because: str) -> None:
    confession = Confession.begun(command)
    for answer in answers:
        confession.say(answer)
    assert confession.told == told, because


# --- on the way -------------------------------------------------------------------------------


def test_nobody_is_there_unless_the_name_is_forged(run: Run) -> None:
    async def story() -> None:
        async with opened() as world:
            middle, mine = world.middle, world.mine
            zone = world.zone("sne21.test")
            middle.forge("strips")
            own = world.zones["sne21.test"]
            assert world.zones.seen(own).text != zone == world.zone("sne21.test"), "the owner's stays"
            middle.relent()
            middle.relent()
            assert world.zones.seen(own) is own
            await mine.send("ann@st11.sne21.test", "bob@st2.sne21.test", "Subject: x\n\nx\n")
            assert len(world.partner.mailbox("bob")) == 1
            assert middle.host.conversations() == []
            with pytest.raises(
                NoSuchAttack, match="there are none, strips, own certificate, injects, answers"
            ):
                middle.forge("begs")
            with pytest.raises(NoSuchAttack, match="it can have: own, self-signed, expired, wrong name"):
                middle.forge("own certificate", certificate="good")

    run(story())


def test_he_knows_the_length_of_a_password_alone(run: Run) -> None:
    async def story() -> None:
        async with opened() as world:
            mine, middle = world.mine, world.middle
            text = client_configuration("plain", 587, host=mine.name, server=world.partner.name)
            mine.write_configuration(text)
            await mine.reload()
            middle.forge("strips")
            await mine.send("ann@st11.sne21.test", "bob@st2.sne21.test", "Subject: x\n\nx\n")
            (heard,) = middle.heard
            assert (heard.login, heard.characters, heard.is_right) == ("ann", 17, True)
            said = "\n".join(str(each) for each in middle.host.conversations())
            assert "AUTH PLAIN ****" in said
            assert "dummy" not in said and "dummy" not in repr(heard)

    run(story())


def test_hostile_clients(run: Run, call: Calls) -> None:
    """Endless lines, half-closed connections, clients that vanish: he goes on, and keeps nothing open."""

    async def story() -> None:
        async with opened("loopback") as world:
            middle = world.middle
            for attack in ("none", "strips", "own certificate", "injects", "answers"):
                middle.forge(attack)
                endless = await call(world, host=middle.host.name, source=world.mine.address)
                endless.say(b"x" * 2_000_000)
                endless.say(b"\r\n")
                assert (await endless.hear()).startswith("500 ")
                endless.hang_up()
                half = await call(world, host=middle.host.name, source=world.mine.address)
                half.say(b"EHLO a.test\r\nSTARTTLS\r\n")
                half.writer.write_eof()
                await half.rest()
                half.hang_up()
                gone = await call(world, host=middle.host.name, source=world.mine.address)
                gone.say(b"EHLO a.test\r\nSTARTTLS\r\n\x16\x03\x01\x40\x00rubbish")
                gone.hang_up()
                no_tls = await call(
                    world, host=middle.host.name, source=world.mine.address, port=465, banner=False
                )
                no_tls.say(b"EHLO a.test\r\n" * 100)
                await no_tls.rest()
                no_tls.hang_up()  # else it is half open, and may be for five minutes
            for _ in range(100):
                if not middle.open_connections:
                    break
                await asyncio.sleep(0.02)
            assert middle.open_connections == 0
            polite = await call(world, host=middle.host.name, source=world.mine.address)
            assert await polite.codes("EHLO a.test", "QUIT") == [250, 221]

    run(story())


def test_a_password_that_is_said_too_early_is_not_kept(run: Run, call: Calls) -> None:
    """However the line is written, and though nobody has asked for it yet."""
    secret = base64.b64encode(b"\0ann\0secret").decode()

    async def story() -> None:
        async with opened("loopback") as world:
            world.middle.forge()
            for ways in (
                f"AUTH LOGIN\r\nYW5u\r\n{secret}",
                f"AUTH\tPLAIN\t{secret}",
                f" AUTH PLAIN {secret}",
            ):
                eve = await call(world, host=world.middle.host.name, source=world.mine.address)
                eve.say(f"EHLO a.test\r\n{ways}\r\nQUIT\r\n".encode())
                await eve.rest()
                eve.hang_up()
            said = [each.to_json() for each in world.journal if each.host == world.middle.host.name]
            assert any("AUTH LOGIN" in each for each in said)
            assert not [each for each in said if secret in each]

    run(story())


@pytest.mark.parametrize(
    "reply", [b"250 STARTTLS\r\n", b"250-STARTTLS\r\n250 STARTTLS\r\n", b"250-\r\n250 \r\n"]
)
def test_an_offer_of_starttls_alone(reply: bytes, run: Run, call: Calls) -> None:
    """The first line of the answer names the server, whatever stands there: it cannot be left out."""

    async def story() -> None:
        async with opened("loopback") as world:
            await world.partner.stop()

            class Odd(asyncio.Protocol):
                def connection_made(self, transport: asyncio.BaseTransport) -> None:
                    self.transport = cast(asyncio.Transport, transport)
                    self.transport.write(b"220 x\r\n")

                def data_received(self, data: bytes) -> None:
                    self.transport.write(reply)

            odd = await world.network.listen(world.partner.address, 25, lambda peer: Odd())
            try:
                world.middle.forge("strips")
                caller = await call(world, host=world.middle.host.name, source=world.mine.address)
                caller.say(b"EHLO a.test\r\n")
                assert (await caller.hear()).startswith("250")
                caller.hang_up()
            finally:
                odd.close()

    run(story())


def test_a_server_that_is_down(run: Run, call: Calls) -> None:
    async def story() -> None:
        async with opened("loopback") as world:
            world.middle.forge()
            await world.partner.stop()
            caller = await call(world, host=world.middle.host.name, source=world.mine.address, banner=False)
            assert await caller.rest() == ""
            assert world.middle.open_connections == 0

    run(story())


def test_stopping_hangs_up(run: Run, call: Calls) -> None:
    async def story() -> None:
        async with opened("loopback") as world:
            world.middle.forge()
            caller = await call(world, host=world.middle.host.name, source=world.mine.address)
            await world.middle.host.stop()
            assert await caller.rest() == ""

    run(story())


def test_who_says_starttls_though_it_was_stripped(run: Run, call: Calls) -> None:
    async def story() -> None:
        async with opened("loopback") as world:
            world.middle.forge("strips")
            caller = await call(world, host=world.middle.host.name, source=world.mine.address)
            (offer,) = await caller.ask("EHLO a.test")
            assert "STARTTLS" not in offer and offer.rpartition("/")[2].startswith("250 ")
            assert await caller.codes("STARTTLS", "NOOP", "QUIT") == [500, 250, 221]

    run(story())


# --- a server that obeys what was said before the handshake -----------------------------------


@pytest.mark.parametrize("keeps, gets_it", [("no", "carol"), ("yes", "mallory")])
def test_injection(keeps: str, gets_it: str, run: Run) -> None:
    """CVE-2011-0411: the certificate is right, the client is content, and its letter goes to somebody else.

    Python's smtplib is the client: it believes each reply to be for what it said last.
    """

    async def story() -> None:
        async with opened("loopback", "tls", keeps_plaintext=keeps) as world:
            world.middle.forge("injects", before=VICTIM)
            place = world.real(world.middle.host.address, 25)
            here = world.real(world.host("laptop").address, 0)[0], 0
            context = ssl.create_default_context(cafile=str(world.authority.prepare()))

            def speak() -> dict[str, Any]:
                with smtplib.SMTP(*place, "a.test", 20, here) as client:
                    client._host = VICTIM  # type: ignore[attr-defined]  # the name that it checks
                    client.starttls(context=context)
                    letter = (
                        f"From: ann@st11.sne21.test\r\nTo: {CAROL}\r\nSubject: The key\r\n\r\nFlower pot\r\n"
                    )
                    return client.sendmail("ann@st11.sne21.test", [CAROL], letter)

            refused = await asyncio.get_running_loop().run_in_executor(None, speak)
            await world.settle()
            assert refused == {}, "it believes that all went well"
            folder = world.host(VICTIM).folder / "var/mail"
            (box,) = (path for path in folder.iterdir() if not path.name.endswith(".lock"))
            assert box.name.partition(".")[0] == gets_it
            assert ("rcpt TO:<carol@bigmail.test>" in box.read_text()) == (gets_it == "mallory")

    run(story())


def test_our_client_notices_replies_that_nobody_asked_for(run: Run) -> None:
    """The server obeys the injection, and our client does not go on: the letter waits."""

    async def story() -> None:
        async with opened(scenario="tls", keeps_plaintext="yes") as world:
            laptop = world.host("laptop")
            laptop.write_configuration(client_configuration("verified", 25, host=laptop.name, server=VICTIM))
            await laptop.reload()
            world.middle.forge("injects", before=VICTIM)
            await laptop.send("ann@st11.sne21.test", CAROL, "Subject: x\n\nx\n")
            assert "nothing was asked" in laptop.log()
            assert len(laptop.queue) == 1
            assert world.host(VICTIM).mailbox("mallory") == []

    run(story())


# --- what docs/scenarios.md says of him -------------------------------------------------------

ROOT = Path(__file__).resolve().parents[2]
PAGE = "docs/scenarios.md"
SEEN = {  # attack -> (was the letter readable, had the client encrypted it, how he saw its content)
    "none": (False, True, "cannot be read"),
    "strips": (True, False, "in the clear"),
    "own certificate": (True, True, "in the middle's own TLS"),
    "injects": (False, True, "cannot be read"),
    "answers": (True, False, "in the clear"),
}


def example() -> Scenario:
    text = (ROOT / PAGE).read_text(encoding="utf-8")
    (found,) = (
        each for each in re.findall(r"```yaml\n(.*?)```", text, re.DOTALL) if "engine: middle" in each
    )
    return scenario_of(found, ROOT / "example.yaml")


def test_the_page_has_every_attack() -> None:
    text = (ROOT / PAGE).read_text(encoding="utf-8")
    assert set(SEEN) == set(ATTACKS)
    assert all(f"| `{attack}` |" in text for attack in ATTACKS)
    for state in (CLEAR, OWN_TLS, LEFT_OUT, PUT_IN, UNREADABLE):
        assert f"`{state}`" in text, state


@pytest.mark.parametrize("attack", SEEN)
def test_the_example_of_the_page(attack: str, run: Run) -> None:
    async def story() -> None:
        async with World(example(), network="memory", alongside=True) as world:
            assert world.host("mx.b").path("/etc/ssl/host.pem").exists()
            assert "mode: testing" in world.policies["b.test"].text
            world.middle.forge(attack)
            await world.advance(minutes=1)
            await world.host("mx.a").send(
                "ann@a.test", "bob@b.test", "Subject: prices\n\nThey are a secret.\n"
            )
            await world.advance(minutes=1)
            is_read, is_encrypted, state = SEEN[attack]
            (sent,) = world.journal.where(EventKind.DELIVERED, host="mx.a.test")
            assert (bool(world.middle.letters), sent.cipher is not None) == (is_read, is_encrypted)
            talk = world.journal.where(EventKind.DIALOGUE, host=world.middle.host.name)
            last = [line.state for line in talk if line.state != PUT_IN][-1]
            assert last == state
            assert (LEFT_OUT in {line.state for line in talk}) is (attack == "strips")
            assert (PUT_IN in {line.state for line in talk}) is (attack in ("injects", "answers"))
            assert len(world.host("mx.b").mailbox("bob")) == 1

    run(story())


def test_the_defect_of_the_page(run: Run) -> None:
    """keeps_plaintext, and a client that notices."""

    async def story() -> None:
        async with World(example(), network="memory", alongside=True) as world:
            world.middle.forge("injects", before="mx.bigmail.test")
            await world.advance(minutes=1)
            await world.host("mx.a").send("ann@a.test", CAROL, "Subject: prices\n\nThey are a secret.\n")
            await world.advance(minutes=1)
            (deferred,) = world.journal.where(EventKind.DEFERRED, host="mx.a.test")
            assert "nothing was asked" in (deferred.text or "")
            assert not world.provider.inbox("carol") and not world.provider.inbox("mallory")

    run(story())


def test_the_certificate_of_the_scenario(run: Run) -> None:
    """It is shown unless forge() says another; a good one is a mistake of the file."""
    text = (ROOT / PAGE).read_text(encoding="utf-8")
    (found,) = (
        each for each in re.findall(r"```yaml\n(.*?)```", text, re.DOTALL) if "engine: middle" in each
    )
    expired = found.replace("certificate: self-signed", "certificate: expired")
    assert expired != found

    async def story() -> None:
        async with World(scenario_of(expired, ROOT / "x.yaml"), network="memory", alongside=True) as world:
            for said, shown in ((None, "expired"), ("wrong name", "wrong name"), (None, "expired")):
                world.middle.forge("own certificate", certificate=said)
                assert world.middle.certificate == shown

    run(story())
    with pytest.raises(FileErrors, match="a middle cannot have a good one"):
        scenario_of(found.replace("certificate: self-signed", "certificate: good"), ROOT / "x.yaml")
