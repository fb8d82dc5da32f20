"""What the tests of whole worlds share: a runner, a caller from outside, and children that do not outlive a test."""

from __future__ import annotations

import asyncio
import gc
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Coroutine, Iterator
from contextlib import suppress
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from labkit.lab import signing_keys
from labkit.lab.keys import KeyPair, make_pair
from labkit.lab.world import World

PATIENCE = 60  # seconds for one story, on a machine that does other things too
LISTENING = "0A"  # the state of a socket in /proc/net/tcp
CALLERS: list[Caller] = []  # of the test that runs

_keys: list[KeyPair] = []


@pytest.fixture(autouse=True)
def few_keys(monkeypatch: pytest.MonkeyPatch) -> None:
    """Servers outside make keys; all worlds of these tests share six of them, because each takes its time."""
    taken = count()

    def next_key() -> KeyPair:
        number = next(taken) % 6
        if number == len(_keys):
            _keys.append(make_pair())
        return _keys[number]

    monkeypatch.setattr(signing_keys, "make_pair", next_key)


class Caller:
    """A program outside the lab: says bytes on a real socket, hears replies."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer
        self.heard = b""
        CALLERS.append(self)

    def say(self, octets: bytes) -> None:
        self.writer.write(octets)

    async def hear(self) -> str:
        """The next reply, its lines joined by a slash; "" when the server has hung up."""
        lines = []
        while True:
            try:
                line = await asyncio.wait_for(self.reader.readline(), 20)
            except ConnectionResetError:
                line = b""
            self.heard += line
            lines.append(line.decode("latin-1").rstrip("\r\n"))
            if line[3:4] != b"-":
                return "/".join(filter(None, lines))

    async def ask(self, *commands: bytes | str) -> list[str]:
        """Say commands one by one (CR LF is added), each after the answer to the one before."""
        answers = []
        for command in commands:
            self.say((command.encode("latin-1") if isinstance(command, str) else command) + b"\r\n")
            answers.append(await self.hear())
        return answers

    async def codes(self, *commands: bytes | str) -> list[int]:
        return [int(answer[:3] or 0) for answer in await self.ask(*commands)]

    async def rest(self, seconds: float = 20) -> str:
        """All that is still said, until the server hangs up."""
        said = b""
        try:
            while piece := await asyncio.wait_for(self.reader.read(65536), seconds):
                said += piece
        except ConnectionResetError:
            pass
        return said.decode("latin-1")

    async def begin(self, sender: str, *recipients: str) -> list[int]:
        """Everything before the message; the last code is 354 if it may come."""
        return await self.codes(
            f"MAIL FROM:<{sender}>", *(f"RCPT TO:<{recipient}>" for recipient in recipients), "DATA"
        )

    async def finish(self, content: bytes) -> str:
        """The content and the dot; returns the verdict."""
        self.say(content + b"\r\n.\r\n")
        return await self.hear()

    def hang_up(self) -> None:
        self.writer.transport.abort()


async def call(
    world: World, host: str | None = None, port: int = 25, source: str | None = None, banner: bool = True
) -> Caller:
    """Call a host (the student's) from the lab address `source` (the partner's laptop, a stranger there)."""
    address = world.host(host).address if host else world.mine.address
    place = world.real(address, port)
    here = world.real(source or world.partner_laptop.address, 0)
    caller = Caller(*await asyncio.open_connection(*place, local_addr=here))
    if banner:
        assert (await caller.hear()).startswith("220 ")
    return caller


async def greeted(world: World, **where: Any) -> Caller:
    caller = await call(world, **where)
    assert (await caller.ask("EHLO stranger.test"))[0].startswith("250-")
    return caller


def listening_ports(ours: bool = False) -> set[tuple[str, int]]:
    """All places at which this machine listens with IPv4 and TCP: (address, port). `ours`: this process alone."""
    held = set()
    for number in os.listdir("/proc/self/fd"):
        with suppress(FileNotFoundError):  # the one that was listing the others
            held.add(os.readlink(f"/proc/self/fd/{number}"))
    found = set()
    for line in Path("/proc/net/tcp").read_text("ascii").splitlines()[1:]:
        columns = line.split()
        address, _, port = columns[1].partition(":")
        if columns[3] == LISTENING and (not ours or f"socket:[{columns[9]}]" in held):
            numbers = int(address, 16).to_bytes(4, sys.byteorder)
            found.add((".".join(map(str, numbers)), int(port, 16)))
    return found


@pytest.fixture(name="call")
def _call() -> Callable[..., Coroutine[Any, Any, Caller]]:
    return call


@pytest.fixture(name="greeted")
def _greeted() -> Callable[..., Coroutine[Any, Any, Caller]]:
    return greeted


@pytest.fixture(name="listening_ports")
def _listening_ports() -> Callable[..., set[tuple[str, int]]]:
    return listening_ports


@pytest.fixture(scope="module")
def _quick_collections() -> Iterator[None]:
    """Leave what pytest has loaded out of the collector's rounds: one takes a millisecond then, not a hundred."""
    gc.collect()
    gc.freeze()
    yield
    gc.unfreeze()


@pytest.fixture
def run(_quick_collections: None) -> Callable[[Coroutine[Any, Any, Any]], Any]:
    """Tell a story, and see that it leaves nothing open."""

    async def to_its_end(story: Coroutine[Any, Any, Any]) -> Any:
        try:
            return await asyncio.wait_for(story, PATIENCE)
        finally:
            while CALLERS:
                CALLERS.pop().hang_up()
            for _ in range(3):
                await asyncio.sleep(0)

    def tell(story: Coroutine[Any, Any, Any]) -> Any:
        told = asyncio.run(to_its_end(story))
        gc.collect()  # an unclosed socket or file would warn now, in the test that left it
        return told

    return tell


@pytest.fixture
def child(tmp_path: Path) -> Iterator[Callable[..., subprocess.Popen[str]]]:
    """`child(program, *arguments)` starts Python on a text; whoever still runs after the test is killed."""
    started: list[subprocess.Popen[str]] = []

    def start(program: str, *arguments: object) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [sys.executable, "-c", program, *map(str, arguments)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=tmp_path,
            env={**os.environ, "PYTHONUNBUFFERED": "1"},
            start_new_session=True,
        )
        started.append(process)
        return process

    yield start
    for process in started:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)  # with whatever it has forked
        process.wait(10)
        for pipe in (process.stdin, process.stdout):
            if pipe is not None:
                pipe.close()
