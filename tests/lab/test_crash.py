"""Kill -9: whatever got "250 OK id=" is still there, wherever the axe falls.

A nursery process has everything imported and forks the hosts, so that a kill point costs milliseconds. The test
keeps the clients' ledger: what was promised, under which queue id.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
import signal
import subprocess
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from labkit.mail.message import Message
from labkit.net.mailboxes import read_maildir, read_mbox
from labkit.net.spool import Spool

KILLS = int(os.environ.get("LABKIT_KILLS", "104"))  # 300 and more take some minutes
RECEIVER_POINTS, WORLD_POINTS = KILLS * 40 // 104, KILLS * 12 // 104  # of each of the two tests of a kind
SESSIONS = 5
ANN, BOB = "ann@st11.sne21.test", "bob@st2.sne21.test"
MINE, PARTNER = "mx2.st11.sne21.test", "mx2.st2.sne21.test"

NURSERY = """
import asyncio, gc, itertools, os, sys, traceback
from datetime import datetime, timezone
from pathlib import Path
from labkit import partners
from labkit.eximconf.configuration import read
from labkit.mta.compiled import compile_configuration
from labkit.mta.intake import Intake
from labkit.mta.state import MtaState
from labkit.net.loopback import Loopback
from labkit.net.spool import Spool

HOST, CLIENT = "203.0.113.11", "198.51.100.11"
EXIM_CONF = "acl_smtp_rcpt = all\\nbegin acl\\nall:\\n  accept\\nbegin routers\\nbegin transports\\n"

class Surroundings:
    def __init__(self, life): self.process = itertools.count(life * 100_000)
    def now(self): return datetime(2026, 9, 7, 9, tzinfo=timezone.utc)
    async def sleep(self, span): pass
    def next_process(self): return next(self.process)
    def note(self, *event, **details): pass

def ready(*words):
    os.write(1, (" ".join(map(str, words)) + "\\n").encode())

async def receiver(folder, life):
    network = Loopback([HOST, CLIENT])
    compiled = compile_configuration(read(EXIM_CONF, "exim.conf"), "mx.test", (HOST,))
    spool = Spool(folder, threaded=True)
    state = MtaState("mx.test", (HOST,), compiled, network, None, {}, folder, spool, Surroundings(life))
    await network.listen(HOST, 25, Intake(state, lambda *taken: None, print).accept)
    ready(os.getpid(), *network.real_place(HOST, 25), network.real_place(CLIENT, 0)[0])
    await asyncio.Event().wait()

async def world(folder, life):
    async with partners(network="loopback", folder=folder) as world:
        ready(os.getpid(), *world.real(world.mine.address, 25), world.real(world.laptop.address, 0)[0])
        await asyncio.Event().wait()

async def settled(folder, life):
    async with partners(network="loopback", folder=folder) as world:
        await world.advance(hours=8)
        ready(os.getpid(), len(world.mine.queue) + len(world.partner.queue), world.seed, world.seed)

gc.freeze()
for line in sys.stdin:
    kind, folder, life = line.split()
    pid = os.fork()
    if not pid:
        status = 1
        try:
            asyncio.run(globals()[kind](Path(folder), int(life)))
            status = 0
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(status)
    status = os.waitpid(pid, 0)[1]
    ready("gone", os.waitstatus_to_exitcode(status), 0, 0)
"""


class Nursery:
    """Starts hosts one after another, and tells when one is gone."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = process
        self.life = 0
        self.pid = 0

    def read(self) -> list[str]:
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        assert line, "the nursery is gone"
        return line.split()

    def start(self, kind: str, folder: Path) -> tuple[str, int, str]:
        """Start a host; the place it listens at, and an address to call from."""
        self.life += 1
        assert self.process.stdin is not None
        self.process.stdin.write(f"{kind} {folder} {self.life}\n")
        self.process.stdin.flush()
        pid, address, port, source = self.read()
        self.pid = int(pid)
        return address, int(port), source

    def kill(self) -> None:
        os.kill(self.pid, signal.SIGKILL)

    def wait(self) -> int:
        return int(self.read()[1])


@pytest.fixture
def nursery(child: Callable[..., subprocess.Popen[str]]) -> Iterator[Nursery]:
    yield Nursery(child(NURSERY))  # noqa: PT022 - the fixture `child` ends it, with all it has forked


class Axe:
    """Decides by the seed when the host is killed: at or after so many promises, or while a message is under way."""

    def __init__(self, nursery: Nursery, dice: random.Random) -> None:
        self.nursery = nursery
        self.watches = dice.choice(["promise", "promise", "dot", "connection"])
        self.countdown = dice.randint(1, SESSIONS if self.watches == "connection" else 16)
        self.delay = dice.choice([0, 0, dice.uniform(0, 0.002), dice.uniform(0, 0.02)])
        self.has_fallen = asyncio.Event()

    def hear(self, what: str) -> None:
        if what == self.watches:
            self.countdown -= 1
            if not self.countdown:
                asyncio.get_running_loop().call_later(self.delay, self.fall)

    def fall(self) -> None:
        self.nursery.kill()
        self.has_fallen.set()


class Client:
    """Keeps sending from one session until the host is dead."""

    def __init__(
        self, place: tuple[str, int, str], ledger: dict[str, str], axe: Axe, dice: random.Random
    ) -> None:
        self.place, self.ledger, self.axe, self.dice = place, ledger, axe, dice

    async def send(self, name: str, *recipients: str) -> None:
        """Tokens are `name` and a number; each that was promised goes into the ledger."""
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
            reader, writer = await asyncio.open_connection(*self.place[:2], local_addr=(self.place[2], 0))
            try:
                self.axe.hear("connection")
                await reader.readuntil(b"\r\n")
                writer.write(b"EHLO a.test\r\n")
                await reader.readuntil(b"250 HELP\r\n")
                number = 0
                while True:
                    number += 1
                    await self.one(reader, writer, f"<{name}-{number}>", self.dice.choice(recipients))
            finally:
                writer.transport.abort()

    async def one(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, token: str, recipient: str
    ) -> None:
        writer.write(f"MAIL FROM:<{ANN}>\r\nRCPT TO:<{recipient}>\r\nDATA\r\n".encode())
        for _ in range(3):
            answer = await reader.readuntil(b"\r\n")
        assert answer.startswith(b"354 "), answer
        text = "a line of text\r\n" * self.dice.choice([1, 20, 20, 300])
        writer.write(f"Message-ID: {token}\r\n\r\n{text}end of {token}\r\n.\r\n".encode())
        self.axe.hear("dot")
        answer = await reader.readuntil(b"\r\n")
        assert answer.startswith(b"250 OK id="), answer
        self.ledger[token] = answer.decode()[10:].strip()
        self.axe.hear("promise")


async def live_and_die(
    nursery: Nursery, kind: str, folder: Path, dice: random.Random, *recipients: str
) -> dict[str, str]:
    """One life of a host under load, to its sudden end; the ledger of what it has promised."""
    place = nursery.start(kind, folder)
    ledger: dict[str, str] = {}
    axe = Axe(nursery, dice)
    clients = [
        asyncio.create_task(
            Client(place, ledger, axe, dice).send(f"{nursery.life}.{n}@axe.test", *recipients)
        )
        for n in range(SESSIONS)
    ]
    await asyncio.wait_for(axe.has_fallen.wait(), 30)
    await asyncio.wait_for(asyncio.gather(*clients), 30)
    assert await asyncio.to_thread(nursery.wait) == -signal.SIGKILL
    return ledger


def token_of(content: bytes) -> str | None:
    """The token of a message that is complete, else None."""
    token = Message.parse(content).first("Message-ID") or ""
    return token if content.endswith(f"end of {token}\r\n".encode()) else None


def in_spool(folder: Path) -> dict[str, str]:
    """Token -> queue id of what waits in a spool. Everything there is complete."""
    with Spool(folder, threaded=False) as spool:
        found = {token_of(item.content): item.queue_id for item in spool.recover(pytest.fail)}
    assert None not in found
    return {token or "": queue_id for token, queue_id in found.items()}


@pytest.mark.parametrize("seed", [1, 2])
def test_a_receiver_keeps_what_it_promised(tmp_path: Path, nursery: Nursery, seed: int) -> None:
    dice = random.Random(seed)
    ledger: dict[str, str] = {}

    async def story() -> None:
        for _ in range(RECEIVER_POINTS):
            promised = await live_and_die(nursery, "receiver", tmp_path, dice, BOB)
            assert not ledger.keys() & promised.keys()
            ledger.update(promised)
            kept = in_spool(tmp_path)
            assert {token: kept.get(token) for token in ledger} == ledger
            assert len(set(kept.values())) == len(kept)
            with Spool(
                tmp_path, threaded=False
            ) as spool:  # half of it is delivered, the rest must survive again
                for token in dice.sample(sorted(kept), len(kept) // 2):
                    spool.remove(kept[token])
                    ledger.pop(token, None)

    asyncio.run(story())
    print(f"\n{RECEIVER_POINTS} kill points of a receiver, seed {seed}")


@pytest.mark.parametrize("mailboxes", ["mbox", "Maildir"])
def test_two_hosts_lose_nothing_between_them(tmp_path: Path, nursery: Nursery, mailboxes: str) -> None:
    dice = random.Random(mailboxes)
    ledger: dict[str, str] = {}

    def prepare() -> None:
        assert nursery.start("settled", tmp_path)[0] == "0"
        assert nursery.wait() == 0
        for host in (MINE, PARTNER) if mailboxes == "Maildir" else ():
            conf = tmp_path / host / "etc/exim.conf"
            old, new = (
                "file   = /var/mail/$local_part_data",
                "directory = /var/mail/$local_part_data\n  maildir_format",
            )
            text = conf.read_text()
            assert old in text
            conf.write_text(text.replace(old, new))

    def in_mailbox(host: str, account: str) -> Counter[str]:
        path = tmp_path / host / "var/mail" / account
        contents = read_mbox(path) if mailboxes == "mbox" else read_maildir(path)
        return Counter(filter(None, map(token_of, contents)))

    def everywhere() -> set[str]:
        """Every token that waits or has arrived, on either host."""
        spools = (in_spool(tmp_path / host / "var/spool/exim") for host in (MINE, PARTNER))
        boxes = (in_mailbox(MINE, "ann"), in_mailbox(PARTNER, "bob"))
        return set().union(*(set(place) for place in (*spools, *boxes)))

    async def story() -> None:
        for _ in range(WORLD_POINTS):
            ledger.update(await live_and_die(nursery, "world", tmp_path, dice, ANN, BOB))
            assert not set(ledger) - everywhere()

    prepare()
    asyncio.run(story())
    assert nursery.start("settled", tmp_path)[0] == "0", "nothing waits any more"
    assert nursery.wait() == 0
    local, remote = in_mailbox(MINE, "ann"), in_mailbox(PARTNER, "bob")
    assert not set(ledger) - set(local) - set(remote)
    assert not set(local) & set(remote)
    assert set(local.values()) <= {1}, "within one host nothing is doubled"
    twice = sum(remote.values()) - len(remote)
    assert twice <= WORLD_POINTS * 2, "only what was under way at a kill point may come twice"
    print(
        f"\n{WORLD_POINTS} kill points of two hosts with {mailboxes}: {len(ledger)} promised, "
        f"{len(local) + len(remote)} arrived, {twice} of them twice (between the hosts)"
    )
