"""Sockets: what a server says, and that nothing outside is reached."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast

import pytest

from labkit.mail.lookups import RandomNumber, ReadSocket, Unanswered, Unopened
from labkit.net import socket_lookup as module
from labkit.net.disk import Disk
from labkit.net.memory import Memory
from labkit.net.socket_lookup import Numbers, Sockets

ME, HOST = "203.0.113.1", "203.0.113.2"


class Echo(asyncio.Protocol):
    """Says what it heard when the client has ended; `endless` never stops, `mute` says nothing."""

    def __init__(self, manner: str = "") -> None:
        self.manner, self.heard = manner, b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)
        if self.manner == "endless":
            self.transport.write(b"x" * 30_000_000)

    def data_received(self, data: bytes) -> None:
        self.heard += data
        if self.manner == "line" and b"\n" in self.heard:
            self.transport.write(b"line " + self.heard)
            self.transport.close()

    def eof_received(self) -> bool:
        if self.manner != "mute":
            self.transport.write(b"heard " + self.heard)
            self.transport.close()
        return True


def ask(root: Path, question: ReadSocket, manner: str = "", at: str = "s", names: Sequence[str] = ()) -> Any:
    async def story() -> Any:
        network = Memory([ME, HOST])
        loop = asyncio.get_running_loop()
        calls: list[Echo] = []

        def echo() -> Echo:
            calls.append(Echo(manner))
            return calls[-1]

        server = await loop.create_unix_server(echo, root / at)
        await network.listen(HOST, 783, lambda peer: Echo(manner))
        await network.listen(ME, 783, lambda peer: Echo(manner))

        async def resolve(name: str) -> Sequence[str]:
            return [HOST] if name in names else []

        try:
            return await Sockets(Disk(root), network, ME, resolve).read(question)
        finally:
            server.close()
            for call in calls:
                call.transport.abort()
            await network.close()

    return asyncio.run(story())


@pytest.mark.parametrize(
    "where, expected, because",
    [
        ("/s", "heard hi\xff\n", "a Unix socket of the host"),
        (f"inet:{HOST}:783", "heard hi\xff\n", "another host"),
        ("inet:spam.test:783", "heard hi\xff\n", "by its name"),
        (f"inet:[{HOST}]:783", "heard hi\xff\n", "in brackets"),
        ("inet:127.0.0.1:783", "heard hi\xff\n", "this host itself"),
        ("/none", Unopened("No such file or directory"), "not there"),
        ("/plain", Unopened("Connection refused", is_missing=False), "a file"),
        ("/../s", None, "another disk"),
        ("/out", None, "a link to another disk"),
        ("bad", Unopened("No such file or directory"), "neither"),
        (f"inet:{HOST}:784", Unopened("Connection refused", is_missing=False), "nobody listens"),
        ("inet:192.0.2.1:783", Unopened("Connection refused", is_missing=False), "no host of the lab"),
        ("inet:8.8.8.8:53", Unopened("Connection refused", is_missing=False), "outside"),
        ("inet:nosuch.test:783", Unopened("no IP address found for host nosuch.test"), "no such name"),
        (
            "inet:spam.test",
            Unopened("missing port for readsocket inet:spam.test", is_missing=False),
            "no port",
        ),
        ("inet:spam.test:smtpx", Unopened('unknown service "smtpx"', is_missing=False), "no service"),
        ("inet:spam.test:99999", Unopened('unknown service "99999"', is_missing=False), "no port either"),
    ],
)
def test_who_answers(tmp_path: Path, where: str, expected: Any, because: str) -> None:
    root = tmp_path / "host"
    root.mkdir()
    (root / "plain").write_text("")
    (root / "out").symlink_to(tmp_path / "elsewhere")
    answer = ask(root, ReadSocket(where, "hi\xff\n"), names=("spam.test",))
    if expected is None:
        assert isinstance(answer, Unopened), because
        assert not answer.is_missing
    else:
        assert answer == expected, because


def test_without_shutting_down(tmp_path: Path) -> None:
    assert ask(tmp_path, ReadSocket("/s", "hi\n", shuts_down=False), "line") == "line hi\n"


def test_a_server_that_says_nothing(tmp_path: Path) -> None:
    begun = time.monotonic()
    assert ask(tmp_path, ReadSocket("/s", "hi", timeout=1), "mute") == Unanswered("socket read timed out")
    assert time.monotonic() - begun < 3


def test_a_server_that_says_too_much(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MOST_OCTETS", 1000)
    assert ask(tmp_path, ReadSocket("/s", "hi"), "endless") == "x" * 1000


def test_a_long_path(tmp_path: Path) -> None:
    folder = tmp_path / ("x" * 90)
    folder.mkdir()
    (tmp_path / "t").symlink_to(folder)

    async def story() -> Any:
        server = await asyncio.get_running_loop().create_unix_server(Echo, tmp_path / "t/s")
        try:
            sockets = Sockets(Disk(folder), Memory([ME]), ME, cast(Any, None))
            return await sockets.read(ReadSocket("/s", "hi"))
        finally:
            server.close()

    assert asyncio.run(story()) == "heard hi"


def test_numbers() -> None:
    def some(seed: str | None) -> list[int]:
        numbers = Numbers(seed)
        return [numbers.number(RandomNumber(1000)) for _ in range(20)]

    assert some("a") == some("a") != some("b")
    assert some(None) != some(None)
    assert all(0 <= number < 1000 for number in some("a"))
    assert Numbers("a").number(RandomNumber(0)) == 0
    assert Numbers("a").number(RandomNumber(-5)) == 0
    assert Numbers("a").number(RandomNumber(1)) == 0
