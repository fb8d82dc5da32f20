"""How many messages a second do labkit's MTA and the real Exim take, side by side? python benchmarks/rates.py [ROUNDS]

WHAT       accepted: one host takes messages and only queues them (-odq), with 1, 10 and 50 sessions.
           through: 10 sessions; each message goes through two hosts into a mailbox, all hosts of the same MTA.
HOW        alternating rounds, medians with the lowest and the highest, and the ratio. The generator is a process of
           its own that drives labkit's client machine, many messages a connection, 1 KB each. Only figures of one run
           compare. The folder for temporary files (TMPDIR) decides which disk.
FAIR       both live in a lab: Exim under the shim that gives it the lab's time, labkit with the journal of its world.
           Without -odq Exim starts a process for each delivery; that is its design, and is measured as it is.
"""

from __future__ import annotations

import asyncio
import sys
import time
from statistics import median

from labkit import partners
from labkit.lab.world import World
from labkit.mail.envelope import Envelope
from labkit.smtp.client import Client

ENGINES = ("labkit", "exim")
SESSIONS = (1, 10, 50)
MESSAGES, THROUGH = 600, 200  # in each round
ANN, BOB = "ann@st11.sne21.test", "bob@st2.sne21.test"
CONTENT = b"Subject: a message of a thousand octets\r\n\r\n" + b"0123456789" * 7 + b"\r\n"
CONTENT += CONTENT[-72:] * 12
OPTIONS = """smtp_accept_queue_per_connection = 0
smtp_accept_max = 200
"""


# The generator


class Session(asyncio.Protocol):
    """Sends from the common store until it is empty, over one connection."""

    def __init__(self, left: list[int]) -> None:
        self.client, self._left = Client("load.test"), left
        self.ended = asyncio.get_running_loop().create_future()
        self._transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self.client.receive(data)
        while self.client.is_idle:
            result = self.client.result
            if result is not None and not result.delivered:
                self.ended.set_exception(RuntimeError(str(result)))
                return
            if not self._left:
                self._transport.write(b"QUIT\r\n")
                self._transport.close()
                self.ended.set_result(None)
                return
            self._left.pop()
            self.client.send(Envelope.of(ANN, BOB), CONTENT)
        self._transport.write(self.client.bytes_to_send())

    def connection_lost(self, problem: Exception | None) -> None:
        if not self.ended.done():
            self.ended.set_exception(ConnectionError(f"the server hung up: {problem} {self.client.broken}"))


async def generate(host: str, port: str, source: str, sessions: str, messages: str) -> None:
    """Print how many seconds it took until the last message was accepted."""
    loop, left = asyncio.get_running_loop(), list(range(int(messages)))
    began = time.perf_counter()
    made = [
        await loop.create_connection(lambda: Session(left), host, int(port), local_addr=(source, 0))
        for _ in range(int(sessions))
    ]
    await asyncio.gather(*(session.ended for _, session in made))
    print(time.perf_counter() - began)


async def generated(world: World, sessions: int, messages: int) -> float:
    """Let another process send; the seconds until the last message was accepted."""
    where = (*world.real(world.mine.address, 25), world.real(world.laptop.address, 0)[0])
    command = [sys.executable, __file__, "generate", *map(str, (*where, sessions, messages))]
    process = await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.PIPE)
    printed, _ = await process.communicate()
    assert process.returncode == 0, "the generator failed"
    return float(printed)


# The rounds


async def accepted(engine: str, sessions: int) -> float:
    """Messages a second that one host takes and queues."""
    async with partners(network="loopback", alongside=True, engine=engine) as world:
        await prepare(world, queue_only=True)
        seconds = await generated(world, sessions, MESSAGES)
        await world.settle()
        assert len(world.mine.queue) == MESSAGES, len(world.mine.queue)
    return MESSAGES / seconds


async def through(engine: str) -> float:
    """Messages a second from a client, through two hosts, into a mailbox."""
    async with partners(network="loopback", alongside=True, engine=engine) as world:
        await prepare(world)
        began = time.perf_counter()
        await generated(world, 10, THROUGH)
        file = world.partner.mailbox_file("bob")
        while True:  # Exim may put some off while its mailbox is locked
            await world.settle()
            if file.exists() and file.read_bytes().count(b"\nSubject: a message") == THROUGH:
                return THROUGH / (time.perf_counter() - began)
            await world.mine.run_queue(forced=True)
            await world.partner.run_queue(forced=True)


async def prepare(world: World, *, queue_only: bool = False) -> None:
    for host in (world.mine, world.partner):
        await host.stop()
        host.write_configuration(OPTIONS + host.configuration)
        await host.start(queue_only=queue_only)


async def main(rounds: str = "5") -> None:
    rates: dict[tuple[str, str], list[float]] = {}
    cases = [(f"accepted, {sessions} sessions", sessions) for sessions in SESSIONS] + [
        ("through two hosts", 0)
    ]
    for _ in range(int(rounds)):
        for case, sessions in cases:
            for engine in ENGINES:
                rate = await (accepted(engine, sessions) if sessions else through(engine))
                rates.setdefault((case, engine), []).append(rate)
    print(f"{len(CONTENT)} octets each, messages a second, {rounds} rounds")
    for case, _ in cases:
        said = [
            f"{engine} {median(some):5.0f} ({min(some):.0f} to {max(some):.0f})"
            for engine in ENGINES
            if (some := rates[case, engine])
        ]
        ratios = [ours / its for ours, its in zip(rates[case, "labkit"], rates[case, "exim"])]
        print(
            f"{case:22} {'   '.join(said)}   ratio {median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f})"
        )


if __name__ == "__main__":
    if sys.argv[1:2] == ["generate"]:
        asyncio.run(generate(*sys.argv[2:]))
    else:
        asyncio.run(main(*sys.argv[1:]))
