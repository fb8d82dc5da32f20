"""The stage of the differential tests: who is in the lab, and a client that writes down what it hears.

WHAT       a story is `async def story(lab: Lab)`. It opens a world with `lab.world(hosts…)`, calls its hosts with
           `lab.call`, and asserts what must be true. `lab.outcome` collects what it saw; at its end a world adds
           its facts, queues and mailboxes by itself. The same story runs on labkit's MTA and on the real Exim.
CAST       Ann's host and laptop, Bob's host and laptop, and a stranger; other hosts as a story needs them.
READ NEXT  outcome.py, configurations.py, the stories
"""

from __future__ import annotations

import asyncio
import socket
import ssl
import tempfile
from collections.abc import AsyncIterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

from labkit.lab.host import Host
from labkit.lab.scenarios import NAMESERVER, HostPlan, LaptopPlan, Scenario
from labkit.lab.world import World

from .certificates import Authority
from .outcome import Outcome

ANN, BOB = "ann@st11.sne21.test", "bob@st2.sne21.test"
MINE, PARTNER, RELAY = "mx2.st11.sne21.test", "mx2.st2.sne21.test", "smtp.relay.test"
ADDRESSES = {MINE: "203.0.113.11", PARTNER: "203.0.113.2", RELAY: "203.0.113.87"}
LAPTOP, PARTNERS_LAPTOP, STRANGER = "198.51.100.11", "198.51.100.2", "198.51.100.66"
PATIENCE = 20  # seconds of real time for a reply
_CLIENTS = ThreadPoolExecutor(32, "client")  # their own threads: labkit's spool needs those of the loop

ROOT_ZONE = """\
$TTL 3600
@  IN SOA ns.root. hostmaster.root. ( 1 7200 900 1209600 300 )
   IN NS  ns.root.
ns.root. IN A 192.0.2.53
"""
ZONE = """\
$ORIGIN test.
$TTL 3600
@           IN SOA ns hostmaster ( 1 7200 900 1209600 300 )
            IN NS  ns
ns          IN A   192.0.2.53
mx2.st11.sne21  IN A   203.0.113.11
mx2.st2.sne21   IN A   203.0.113.2
smtp.relay      IN A   203.0.113.87
stranger        IN A   198.51.100.66
"""
USUAL_MX = """\
st11.sne21  IN MX  10 mx2.st11.sne21
st2.sne21   IN MX  10 mx2.st2.sne21
"""


def host(name: str, configuration: str, *accounts: str, runs_programs: bool = False) -> HostPlan:
    """A host of the cast with this exim.conf and these accounts."""
    role = {MINE: "student", PARTNER: "partner"}.get(name, name)
    return HostPlan(role, name, ADDRESSES[name], accounts, configuration, runs_programs)


def message(subject: str = "hello", text: str = "hello\n", sender: str = ANN) -> bytes:
    """A message as a client sends it."""
    fields = {
        "From": sender,
        "To": "a list of people",
        "Subject": subject,
        "Message-ID": f"<{subject.replace(' ', '.')}@client.test>",
    }
    header = "".join(f"{name}: {value}\n" for name, value in fields.items())
    return f"{header}\n{text}".replace("\n", "\r\n").encode()


@dataclass(frozen=True)
class Way:
    """How a story is told: the engine of the first host, that of all others, and the network."""

    first: str
    others: str
    network: str = "loopback"

    @property
    def is_mixed(self) -> bool:
        return self.first != self.others


WAYS = {
    "exim": Way("exim", "exim"),
    "labkit": Way("labkit", "labkit"),
    "in memory": Way("labkit", "labkit", "memory"),
    "labkit, then exim": Way("labkit", "exim"),
    "exim, then labkit": Way("exim", "labkit"),
}


class NotThisWay(Exception):
    """A story that makes no sense in this way; the text says why."""


class Lab:
    """What a story is given: a way to tell it, and a place to write down what was seen."""

    def __init__(self, way: str, authority: Authority) -> None:
        self.way = WAYS[way]
        self.engine = self.way.first
        self.authority = authority
        self.outcome = Outcome(self.engine)

    def expect_programs(self) -> None:
        """The story needs other people's programs. Raises NotThisWay where none can take part."""
        if self.way.network == "memory":
            raise NotThisWay("other programs need sockets")

    @asynccontextmanager
    async def world(
        self,
        *hosts: HostPlan,
        zone: str = USUAL_MX,
        zones: Sequence[tuple[str, str]] = (),
        files: Mapping[str, str] = {},
        queue_interval: timedelta | None = timedelta(minutes=15),
    ) -> AsyncIterator[World]:
        """A world of these hosts.

        `zone` are records of the zone test., `zones` are others: (origin, master file). `files` are on the disks
        when the hosts start: {"mx2.st11.sne21.test/etc/aliases": "postmaster: root"}; a host's /etc/tls.crt is
        made by the authority, whatever the text, with tls.key and ca.crt; also if its configuration names it.
        """
        laptops = {
            "student": (LAPTOP, ANN),
            "partner": (PARTNERS_LAPTOP, BOB),
            "stranger": (STRANGER, "eve@stranger.test"),
        }
        scenario = Scenario(
            name="differential",
            title="differential",
            student_number=11,
            nameserver=NAMESERVER,
            hosts=hosts,
            laptops=tuple(
                LaptopPlan(role, f"laptop.{role}.test", address, owner, hosts[0].name)
                for role, (address, owner) in laptops.items()
            ),
            zones=((".", ROOT_ZONE), ("test", ZONE + zone), *zones),
        )
        if self.way.is_mixed and len(hosts) < 2:
            raise NotThisWay("one host alone is not mixed")
        first, *others = (plan.name for plan in hosts)
        with tempfile.TemporaryDirectory(prefix="labkit-") as name:
            folder = Path(name)
            folder.chmod(0o711)  # under root Exim runs as another user, who must get in
            equipped = {f"{plan.name}/etc/tls.crt" for plan in hosts if "/etc/tls.crt" in plan.configuration}
            for path, text in {**dict.fromkeys(sorted(equipped), ""), **files}.items():
                (folder / path).parent.mkdir(parents=True, exist_ok=True)
                if path.endswith("/etc/tls.crt"):
                    self.authority.equip((folder / path).parent, path.partition("/")[0])
                else:
                    (folder / path).write_text(text, encoding="utf-8")
                    if path.endswith(".key"):
                        (folder / path).chmod(0o600)
            world = World(
                scenario,
                folder=folder,
                network=self.way.network,
                queue_interval=queue_interval,
                alongside=True,
                engine={first: self.way.first} | dict.fromkeys(others, self.way.others),
            )
            async with world:
                yield world
                await world.settle()
                self.outcome.see(world)

    async def call(
        self,
        server: Host,
        *commands: str | bytes,
        port: int = 25,
        source: str = STRANGER,
        tls: ssl.SSLContext | None = None,
        implicit: bool = False,
    ) -> list[str]:
        """Speak SMTP with a host; returns the replies, of several lines each the last.

        Commands are said one by one, each after the reply to the one before; one of type bytes is a message, to
        be said after DATA. After STARTTLS, or at once (`implicit`), the client speaks TLS with the context `tls`.
        The first reply is the banner. The client says QUIT by itself, and hangs up at once.
        """
        world = server.world
        if self.way.network == "memory":
            if tls is not None:
                raise NotThisWay("this client speaks TLS over sockets only")
            said = await _dialogue_in_memory(world, (server.address, port), source, commands)
            self.outcome.hear(f"{source} called {server.name} port {port}", said)
            return [lines[-1] for lines in said]
        place, here = world.real(server.address, port), (world.real(source, 0)[0], 0)
        loop = asyncio.get_running_loop()
        said = await loop.run_in_executor(
            _CLIENTS, _dialogue, place, here, server.name, commands, tls, implicit
        )
        self.outcome.hear(f"{source} called {server.name} port {port}", said)
        return [lines[-1] for lines in said]

    async def submit(
        self, server: Host, recipient: str, content: bytes, *, sender: str = ANN, source: str = LAPTOP
    ) -> str:
        """Hand in a message, as a laptop does, and let the lab deliver it. Returns the verdict: 250."""
        commands = ("EHLO client.test", f"MAIL FROM:<{sender}>", f"RCPT TO:<{recipient}>", "DATA", content)
        *_, verdict, _ = replies = await self.call(server, *commands, source=source)
        assert verdict.startswith("250 OK id="), replies
        await server.world.settle()
        return verdict

    def listing(self, of: Host) -> str:
        """`exim -bp`, written down."""
        text = of.queue_listing()
        self.outcome.note(f"the queue of {of.name}", text.split("\n"))
        return text

    def note(self, what: str, *lines: object) -> None:
        """Anything else that both engines must have alike."""
        self.outcome.note(what, [str(line) for line in lines])


class _Client(asyncio.Protocol):
    """A client in memory: collects replies."""

    def __init__(self) -> None:
        self.replies: asyncio.Queue[list[str]] = asyncio.Queue()
        self._unread, self._lines = b"", list[str]()

    def data_received(self, data: bytes) -> None:
        *lines, self._unread = (self._unread + data).split(b"\n")
        for line in lines:
            self._lines.append(line.decode("latin-1").rstrip("\r"))
            if line[3:4] != b"-":
                self.replies.put_nowait(self._lines)
                self._lines = []

    def connection_lost(self, problem: Exception | None) -> None:
        self.replies.put_nowait([])


async def _dialogue_in_memory(
    world: World, place: tuple[str, int], source: str, commands: Sequence[str | bytes]
) -> list[list[str]]:
    """As _dialogue, without sockets."""
    client = _Client()
    connection = await world.network.connect(source, *place, lambda: client)
    said = [await asyncio.wait_for(client.replies.get(), PATIENCE)]
    for command in (*commands, "QUIT"):
        connection.write(command + b".\r\n" if isinstance(command, bytes) else command.encode() + b"\r\n")
        reply = await asyncio.wait_for(client.replies.get(), PATIENCE)
        if not reply:
            break
        said.append(reply)
    connection.close()
    return said


def _dialogue(
    place: tuple[str, int],
    here: tuple[str, int],
    name: str,
    commands: Sequence[str | bytes],
    tls: ssl.SSLContext | None,
    implicit: bool,
) -> list[list[str]]:
    """All replies, each a list of lines. A server that hangs up ends it with what it said until then."""
    said: list[list[str]] = []
    connection = socket.create_connection(place, PATIENCE, here)
    try:
        if implicit and tls is not None:
            connection = tls.wrap_socket(connection, server_hostname=name)
        said.append(_reply(connection))
        for command in commands:
            octets = command + b".\r\n" if isinstance(command, bytes) else command.encode() + b"\r\n"
            connection.sendall(octets)
            said.append(_reply(connection))
            if not said[-1]:
                return said[:-1]
            if command == "STARTTLS" and tls is not None and said[-1][-1].startswith("220"):
                connection = tls.wrap_socket(connection, server_hostname=name)
        connection.sendall(b"QUIT\r\n")
        if not isinstance(connection, ssl.SSLSocket):
            with suppress(OSError):  # it may have hung up first
                connection.shutdown(socket.SHUT_WR)  # Exim waits for this after QUIT
        if last := _reply(connection):
            said.append(last)
        return said
    finally:
        connection.close()


def _reply(connection: socket.socket) -> list[str]:
    """The lines of the next reply, octet by octet, so that nothing of a TLS handshake is read; [] when it is over."""
    lines: list[str] = []
    line = b""
    while True:
        try:
            octet = connection.recv(1)
        except (ConnectionResetError, ssl.SSLEOFError, ssl.SSLZeroReturnError):
            octet = b""
        if not octet:
            return lines
        line += octet
        if octet == b"\n":
            lines.append(line.decode("latin-1").rstrip("\r\n"))
            if line[3:4] != b"-":
                return lines
            line = b""
