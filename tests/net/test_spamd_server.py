"""spamd's protocol as labkit serves it: commands, and callers who do not keep to it."""

from __future__ import annotations

import asyncio
from typing import cast

import pytest

from labkit.mail.scored import Scored
from labkit.net import spamd_server as module
from labkit.net.memory import Memory
from labkit.net.spamd_server import SpamdServer

ME = "203.0.113.1"
MESSAGE = b"Subject: x\r\n\r\nbuy\r\n"


def scorer(message: bytes) -> Scored:
    if b"raise" in message:
        raise ValueError("no")
    if b"a number" in message:
        return cast(Scored, 7)
    return Scored(7.25 if b"buy" in message else 0.0, 5.0, "why\nso\r\n\x00", ("A\r\nB", "C"))


class Caller(asyncio.Protocol):
    def __init__(self) -> None:
        self.said = bytearray()
        self.ended: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()

    def data_received(self, data: bytes) -> None:
        self.said += data

    def connection_lost(self, problem: Exception | None) -> None:
        if not self.ended.done():
            self.ended.set_result(bytes(self.said))


def call(*pieces: bytes, ends: bool = True) -> bytes:
    async def story() -> bytes:
        asyncio.get_running_loop().set_exception_handler(lambda loop, context: None)
        network = Memory([ME])
        await network.listen(ME, 783, lambda peer: SpamdServer(scorer))
        caller = Caller()
        transport = await network.connect(ME, ME, 783, lambda: caller)
        for piece in pieces:
            transport.write(piece)
            await asyncio.sleep(0)
        if ends:
            cast(asyncio.Transport, transport).write_eof()
        said = await asyncio.wait_for(caller.ended, 5)
        await network.close()
        return said

    return asyncio.run(story())


def request(command: str, message: bytes = MESSAGE, version: str = "1.2") -> bytes:
    return (
        f"{command} SPAMC/{version}\r\nUser: x\r\nContent-length: {len(message)}\r\n\r\n".encode() + message
    )


@pytest.mark.parametrize(
    "command, expected",
    [
        ("CHECK", "Spam: True ; 7.25 / 5.0\r\n\r\n"),
        ("SYMBOLS", "Spam: True ; 7.25 / 5.0\r\n\r\nAB,C\r\n"),
        ("REPORT", "Spam: True ; 7.25 / 5.0\r\n\r\nwhy\r\nso\r\n"),
        ("REPORT_IFSPAM", "Spam: True ; 7.25 / 5.0\r\n\r\nwhy\r\nso\r\n"),
        ("PROCESS", "buy\r\n"),
        ("HEADERS", "Subject: x\r\n\r\n"),
    ],
)
@pytest.mark.parametrize("ends", [True, False])
def test_commands(command: str, expected: str, ends: bool) -> None:
    said = call(request(command), ends=ends).decode()
    assert said.startswith("SPAMD/1.1 0 EX_OK\r\n")
    assert said.endswith(expected)


def test_a_report_only_of_spam() -> None:
    said = call(request("REPORT_IFSPAM", b"Subject: hello\r\n\r\n"))
    assert said == b"SPAMD/1.1 0 EX_OK\r\nSpam: False ; 0.0 / 5.0\r\n\r\n"


def test_newer_clients_hear_a_length() -> None:
    assert b"Content-length: 9\r\nSpam: " in call(request("REPORT", version="1.5"))


def test_ping_and_skip() -> None:
    assert call(b"PING SPAMC/1.2\r\n\r\n") == b"SPAMD/1.1 0 PONG\r\n"
    assert call(b"PING SPAMC/1.2\r\n", ends=False) == b"SPAMD/1.1 0 PONG\r\n"
    assert call(b"SKIP SPAMC/1.2\r\n\r\n") == b""


def test_octet_by_octet() -> None:
    whole = request("CHECK")
    assert call(*(whole[n : n + 1] for n in range(len(whole)))) == call(whole)


@pytest.mark.parametrize(
    "octets, code",
    [
        (b"", 76),
        (b"hello\r\n\r\n", 76),
        (b"NONSENSE SPAMC/1.2\r\n\r\n", 76),
        (b"CHECK SPAMC/9999.1\r\n\r\n", 76),
        (b"CHECK SPAMC/1.2\r\nContent-length: 9\r\n\r\nabc", 76),
        (b"CHECK SPAMC/1.2\r\n" + b"x" * 20_000, 76),
        (b"CHECK SPAMC/1.2\r\n" + b"X: y\r\n" * 4_000 + b"\r\n", 76),
        (request("CHECK", b"raise"), 70),
        (request("CHECK", b"a number"), 70),
    ],
    ids=lambda value: repr(value)[:40],
)
def test_bad_callers(octets: bytes, code: int) -> None:
    assert call(octets).startswith(f"SPAMD/1.1 {code} EX_".encode())


def test_too_long_a_message(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MOST_CONTENT", 1000)
    assert call(request("CHECK", b"x" * 2000)).startswith(b"SPAMD/1.1 74 EX_IOERR")


def test_too_slow_a_caller(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "PATIENCE", 0.05)
    assert call(b"CHECK SPAMC/1.2\r\n", ends=False) == b""


@pytest.mark.parametrize(
    "sent, heard",
    [
        (
            b"From a@b.test Mon Sep 07 08:00:00 2026\nX-Envelope-From: <a@b.test>\n"
            b"X-Envelope-To: c@d.test,\n e@d.test\nSubject: hi\n\nFrom me\nX-Envelope-To: in the body\n",
            b"Subject: hi\r\n\r\nFrom me\r\nX-Envelope-To: in the body\r\n",
        ),
        (b"Subject: hi\r\n\r\nbody\r\n", b"Subject: hi\r\n\r\nbody\r\n"),
        (b"X-Envelope-From", b"X-Envelope-From\r\n"),  # no field, but a line
        (b"From without an end", b""),
        (b"", b""),
    ],
)
def test_a_scorer_gets_the_message_as_it_was_before_exim_handed_it_over(
    sent: bytes, heard: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    got: list[bytes] = []

    def hears(content: bytes) -> Scored:
        got.append(content)
        return Scored(1.0)

    monkeypatch.setitem(globals(), "scorer", hears)
    assert call(request("CHECK", sent)).startswith(b"SPAMD/1.1 0 EX_OK\r\n")
    assert call(request("PROCESS", sent)).endswith(sent), "what was sent, unchanged"
    assert got == [heard, heard]
