"""Callouts: each answer that a server can give, and servers that do not behave."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from datetime import datetime, timedelta, timezone
from typing import Any, cast

import pytest

from labkit.mail.address import Mailbox
from labkit.mail.questions import CallOut, Callout, CalloutAnswer, Standing
from labkit.net import callout as module
from labkit.net.callout import Caller, call_out
from labkit.net.memory import Memory
from labkit.net.network import Network

ME, HOST, OTHER = "203.0.113.1", "203.0.113.2", "203.0.113.3"
MONDAY = datetime(2026, 11, 23, 9, 0, tzinfo=timezone.utc)
GOOD, BAD, UNDECIDED = Standing.GOOD, Standing.BAD, Standing.UNDECIDED
Says = Callable[[str], "bytes | None"]  # None: hang up


class Server(asyncio.Protocol):
    """Says what it is told to say."""

    def __init__(self, banner: bytes, says: Says, heard: list[str]) -> None:
        self.banner, self.says, self.heard = banner, says, heard
        self.waiting = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)
        self.transport.write(self.banner)

    def data_received(self, data: bytes) -> None:
        self.waiting += data
        while b"\r\n" in self.waiting:
            line, _, self.waiting = self.waiting.partition(b"\r\n")
            self.heard.append(line.decode("latin-1"))
            answer = self.says(line.decode("latin-1"))
            if answer is None:
                self.transport.close()
                return
            self.transport.write(answer)


def table(**rows: str | None) -> Says:
    """By the beginning of the command; blanks are written as underscores."""

    def says(command: str) -> bytes | None:
        for key, answer in rows.items():
            if command.startswith(key.replace("_", " ")):
                return None if answer is None else answer.encode() + b"\r\n"
        return b"250 OK\r\n"

    return says


def ask(
    how: Callout, *servers: Says, banner: bytes = b"220 hello\r\n"
) -> tuple[CalloutAnswer, list[str], float]:
    """The answer, what the servers heard, and the seconds of lab time that it took."""
    heard: list[str] = []
    spent = timedelta()

    async def sleep(span: timedelta) -> None:
        nonlocal spent
        spent += span

    async def story() -> CalloutAnswer:
        network: Network = Memory([ME, HOST, OTHER])
        addresses = (HOST, OTHER)[: max(len(servers), 1)]
        for address, says in zip(addresses, servers):
            await network.listen(address, 25, lambda peer, says=says: Server(banner, says, heard))  # type: ignore[misc]
        if not servers:
            network.silence(HOST)
        hosts = tuple((f"mx{n}.b.test", address, 25) for n, address in enumerate(addresses))
        question = CallOut(hosts, "me.test", Mailbox("ann", "b.test"), how)
        answer = await call_out(question, Caller(network, ME, lambda: MONDAY + spent, sleep))
        await network.close()
        return answer

    return asyncio.run(story()), heard, spent.total_seconds()


PLAIN = Callout()


RCPT = "SMTP error from remote mail server after RCPT TO:<ann@b.test>: "
MAIL = 'response to "MAIL FROM:<>" was: '
MX = "mx0.b.test [203.0.113.2] : "
ERROR = "SMTP error from remote mail server after "
POSTMASTER = ERROR + "RCPT TO:<postmaster@b.test>: "


@pytest.mark.parametrize(
    "how, rows, expected, because",
    [
        (PLAIN, {}, (GOOD, "", ""), "taken"),
        (PLAIN, {"RCPT": "550 no"}, (BAD, RCPT + "550 no", "recipient"), "refused"),
        (PLAIN, {"RCPT": "550-a\r\n550 b"}, (BAD, RCPT + "550-a\n550 b", "recipient"), "in two lines"),
        (PLAIN, {"RCPT": "451 later"}, (UNDECIDED, RCPT + "451 later", "recipient"), "put off"),
        (PLAIN, {"MAIL": "550 none"}, (BAD, MAIL + "550 none", "mail"), "the sender is refused"),
        (PLAIN, {"MAIL": "421 busy"}, (UNDECIDED, MAIL + "421 busy", "mail"), "the sender is put off"),
        (PLAIN, {"EHLO": "502 what"}, (GOOD, "", ""), "HELO will do"),
        (PLAIN, {"EHLO": "421 what"}, (GOOD, "", ""), "also then"),
        (PLAIN, {"EHLO": "5", "HELO": "550 go"}, (UNDECIDED, None, "recipient"), "nonsense"),
        (PLAIN, {"EHLO": "502 what", "HELO": "550 go"}, (BAD, ERROR + "HELO me.test: 550 go", ""), "neither"),
        (PLAIN, {"RCPT": "550 \x01\xe9"}, (BAD, RCPT + "550 (truncated)", "recipient"), "unprintable"),
        (
            Callout(mail_from="a@c"),
            {"MAIL_FROM:<a@c>": "550 no"},
            (BAD, 'response to "MAIL FROM:<a@c>" was: 550 no', "mail"),
            "another sender",
        ),
        (Callout(is_random=True), {}, (GOOD, "", "random"), "it takes everybody"),
        (
            Callout(is_random=True),
            {"RCPT_TO:<me.test-": "550 nobody"},
            (GOOD, "", ""),
            "nobody is refused, ann is taken",
        ),
        (
            Callout(is_random=True),
            {"RCPT": "550 no"},
            (BAD, RCPT + "550 no", "recipient"),
            "both are refused",
        ),
        (Callout(is_random=True), {"RCPT": "450 grey"}, (UNDECIDED, None, "recipient"), "nothing is known"),
        (Callout(postmaster=""), {}, (GOOD, "", ""), "a postmaster, too"),
        (
            Callout(postmaster=""),
            {"RCPT_TO:<postmaster": "550 no"},
            (BAD, POSTMASTER + "550 no", "postmaster"),
            "no postmaster",
        ),
        (
            Callout(postmaster="", full_postmaster=True),
            {"RCPT_TO:<postmaster@": "550 no"},
            (GOOD, "", ""),
            "a postmaster without domain",
        ),
        (
            Callout(postmaster="x@y"),
            {"MAIL_FROM:<x@y>": "550 who"},
            (BAD, 'response to "MAIL FROM:<x@y>" was: 550 who', "postmaster"),
            "the sender of the second test",
        ),
    ],
)
def test_answers(
    how: Callout, rows: dict[str, str], expected: tuple[Standing, str | None, str], because: str
) -> None:
    answer, heard, spent = ask(how, table(**rows))
    standing, words, failure = expected
    assert (answer.standing, answer.failure) == (standing, failure), because
    if words is not None:
        assert answer.words == (MX + words if words else ""), because
    assert heard[-1] == "QUIT"
    assert not any(command.startswith("DATA") for command in heard)
    assert spent == 0


def test_the_conversation() -> None:
    _, heard, _ = ask(Callout(is_random=True, postmaster=""), table(**{"RCPT_TO:<me.test-": "550 nobody"}))
    nobody = f"me.test-{int(MONDAY.timestamp())}-testing"
    assert heard == [
        "EHLO me.test",
        "MAIL FROM:<>",
        f"RCPT TO:<{nobody}@b.test>",
        "RSET",
        "MAIL FROM:<>",
        "RCPT TO:<ann@b.test>",
        "RSET",
        "MAIL FROM:<>",
        "RCPT TO:<postmaster@b.test>",
        "QUIT",
    ]


def test_the_next_host_is_asked() -> None:
    answer, _, _ = ask(PLAIN, table(RCPT="451 later"), table(RCPT="550 no"))
    assert answer == CalloutAnswer(BAD, f"mx1.b.test [203.0.113.3] : {RCPT}550 no", "recipient")
    answer, _, _ = ask(PLAIN, table(MAIL=None), table())
    assert answer == CalloutAnswer(GOOD)


def test_the_connection_is_dropped() -> None:
    answer, _, _ = ask(PLAIN, table(RCPT=None))
    words = MX + 'response to "RCPT TO:<ann@b.test>" was: connection dropped'
    assert answer == CalloutAnswer(UNDECIDED, words, "recipient")


def test_nobody_listens_and_nobody_is_there() -> None:
    answer, _, spent = ask(PLAIN)
    assert answer == CalloutAnswer(UNDECIDED, MX + "Connection timed out", "recipient")
    assert spent == 30
    hosts = (("gone.test", OTHER, 25),)

    async def story() -> CalloutAnswer:
        caller = Caller(Memory([ME]), ME, lambda: MONDAY, cast(Any, None))
        return await call_out(CallOut(hosts, "me", Mailbox("a", "b"), PLAIN), caller)

    assert asyncio.run(story()).words == "gone.test [203.0.113.3] : Connection refused"


def test_no_host() -> None:
    async def story() -> CalloutAnswer:
        return await call_out(
            CallOut((), "me", Mailbox("a", "b"), PLAIN),
            Caller(Memory([ME]), ME, lambda: MONDAY, cast(Any, None)),
        )

    assert asyncio.run(story()) == CalloutAnswer(UNDECIDED, "no host to ask", "recipient")


@pytest.mark.parametrize(
    "banner, words",
    [
        (b"hello\r\n", "Malformed SMTP reply in response to initial connection: hello"),
        (b"220-" + b"x" * 20_000, "SMTP reply without end"),
        (b"220-x\r\n" * 3000, "SMTP reply without end"),
        (b"", "SMTP timeout after initial connection"),
        (b"220", "SMTP timeout after initial connection"),
    ],
)
def test_servers_that_do_not_behave(banner: bytes, words: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "PATIENCE", 0.2)
    begun = time.monotonic()
    answer, _, _ = ask(PLAIN, table(), banner=banner)
    assert (answer.standing, answer.words) == (UNDECIDED, MX + words)
    assert time.monotonic() - begun < 3


def test_a_server_that_drips(monkeypatch: pytest.MonkeyPatch) -> None:
    """Octets alone are no reply."""
    monkeypatch.setattr(module, "PATIENCE", 0.3)

    class Dripping(Server):
        def connection_made(self, transport: asyncio.BaseTransport) -> None:
            super().connection_made(transport)
            self.task = asyncio.get_running_loop().create_task(self.drip())

        async def drip(self) -> None:
            while not self.transport.is_closing():
                self.transport.write(b"2")
                await asyncio.sleep(0.05)

    async def story() -> CalloutAnswer:
        network = Memory([ME, HOST])
        await network.listen(HOST, 25, lambda peer: Dripping(b"", table(), []))
        question = CallOut((("mx", HOST, 25),), "me", Mailbox("a", "b"), PLAIN)
        answer = await call_out(question, Caller(network, ME, lambda: MONDAY, cast(Any, None)))
        await network.close()
        return answer

    assert asyncio.run(story()).words == "mx [203.0.113.2] : SMTP timeout after initial connection"


def test_the_first_reply_is_a_refusal() -> None:
    answer, _, _ = ask(PLAIN, table(), banner=b"554 go away\r\n")
    assert answer == CalloutAnswer(BAD, f"{MX}{ERROR}initial connection: 554 go away")
    answer, _, _ = ask(PLAIN, table(), banner=b"421 busy\r\n")
    assert answer == CalloutAnswer(UNDECIDED, f"{MX}{ERROR}initial connection: 421 busy", "recipient")
