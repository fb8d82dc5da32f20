"""The preload shim: what a program under it sees, call by call; and whole programs, unmodified.

The calls are made by shim_programs/probe.c, one for each word of a row. What a row expects is what a program on a
machine of its own would be told.
"""

from __future__ import annotations

import asyncio
import os
import re
import shutil
import socket
import struct
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, replace
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from labkit.net.dns_server import DnsServer
from labkit.net.dns_zones import Zones, read_zone
from labkit.net.listeners import SilentPort
from labkit.net.loopback import Loopback
from labkit.net.network import Peer
from labkit.net.programs import shim
from labkit.net.programs.labnet import ClockPage, LabNet, lab_environment
from labkit.net.programs.shim import ShimUnavailable, build_shim

pytestmark = [
    pytest.mark.needs("gcc"),
    pytest.mark.skipif(not sys.platform.startswith("linux"), reason="the shim is for Linux"),
]

NAMESERVER, MX, LAPTOP, STRANGER = "203.0.113.53", "203.0.113.11", "203.0.113.12", "198.51.100.1"
NOON = datetime(2026, 3, 1, 12, tzinfo=timezone.utc)
TICKS = 20
NOBODY = 65534
USER: dict[str, Any] = {"user": NOBODY, "group": NOBODY, "extra_groups": []} if os.geteuid() == 0 else {}

ZONE = """
$TTL 1h
@     SOA ns hostmaster 1 1h 15m 1w 5m
      NS  ns
      MX  10 mx
ns    A   203.0.113.53
mx    A   203.0.113.11
      AAAA 2001:db8::1
other A   203.0.113.12
"""
REVERSE = """
$TTL 1h
@  SOA ns.st.test. h.st.test. 1 1h 1h 1w 1h
   NS  ns.st.test.
11 PTR mx.st.test.
12 PTR other.st.test.
"""


class Completed(NamedTuple):
    status: int | None
    stdout: str
    stderr: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Lab:
    """A lab with a nameserver, a server that greets at LAPTOP port 25, and one that answers datagrams at 2525."""

    network: Loopback
    folder: Path
    shim: Path
    facts: LabNet
    page: ClockPage
    nameserver: DnsServer

    def environment(self, address: str, name: str, login: str, facts: LabNet | None = None) -> dict[str, str]:
        labnet = self.folder / f"labnet-{address}"
        (facts or self.facts).write(labnet)
        inside = lab_environment(labnet=labnet, shim=self.shim, address=address, name=name, login=login)
        return {"PATH": os.environ.get("PATH", os.defpath), "HOME": str(self.folder), **inside}

    async def start(
        self,
        *argv: str | Path,
        address: str = MX,
        name: str = "mx.st.test",
        login: str = "",
        facts: LabNet | None = None,
        **more: Any,
    ) -> asyncio.subprocess.Process:
        pipes: dict[str, Any] = dict.fromkeys(("stdin", "stdout", "stderr"), subprocess.PIPE)
        environment = self.environment(address, name, login, facts)
        words = map(str, argv)
        return await asyncio.create_subprocess_exec(
            *words, env=environment, cwd="/", **{**pipes, **USER, **more}
        )

    async def run(self, *argv: str | Path, given: bytes = b"", **more: Any) -> Completed:
        process = await self.start(*argv, **more)
        stdout, stderr = await asyncio.wait_for(process.communicate(given), 20)
        return Completed(process.returncode, stdout.decode(), stderr.decode())


class Greeter(asyncio.Protocol):
    """Says hello, with the caller's address, and takes whatever comes; or hangs up, at port 587."""

    hangs_up = False

    def __init__(self, peer: Peer) -> None:
        self.greeting = f"hello-{peer.address}".encode()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        transport.write(self.greeting)
        if self.hangs_up:
            transport.close()


class Curt(Greeter):
    hangs_up = True


@asynccontextmanager
async def started(folder: Path, library: Path, **changes: Any) -> AsyncIterator[Lab]:
    network = Loopback([NAMESERVER, MX, LAPTOP], users=[NOBODY])
    nameserver = DnsServer(Zones(read_zone(ZONE, "st.test"), read_zone(REVERSE, "113.0.203.in-addr.arpa")))
    try:
        await nameserver.start(network, NAMESERVER)
        await network.listen(LAPTOP, 25, Greeter)
        await network.listen(LAPTOP, 587, Curt)
        await network.listen_datagrams(
            LAPTOP, 2525, lambda payload, peer: f"{peer.address}/".encode() + payload
        )
        (folder / "resolv.conf").write_text(f"nameserver {NAMESERVER}\n")
        (folder / "home of ann").mkdir(exist_ok=True)
        page = ClockPage(folder / "clock", TICKS)
        page.set(NOON)
        for path in folder.iterdir():
            if USER:
                os.chown(path, NOBODY, NOBODY)
        facts = LabNet(
            base=network.claim(),
            addresses=list(network.addresses),
            dns=network.real_place(NAMESERVER, 53),
            accounts={"ann": folder / "home of ann"},
            files={"/etc/resolv.conf": folder / "resolv.conf"},
            clock=folder / "clock",
            ticks=TICKS,
            wire=None,
            patience=None,
            callers=[NOBODY],
        )
        yield Lab(
            network=network,
            folder=folder,
            shim=library,
            facts=replace(facts, **changes),
            page=page,
            nameserver=nameserver,
        )
        page.close()
    finally:
        nameserver.close()
        await network.close()


@pytest.fixture(scope="module")
def library() -> Path:
    return build_shim()


@pytest.fixture(scope="module")
def probe(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="probe-") as folder:
        os.chmod(folder, 0o755)
        program = Path(folder, "probe")
        source = Path(__file__).with_name("shim_programs") / "probe.c"
        words = ["gcc", "-std=gnu11", "-O0", "-pthread", "-o", str(program), str(source)]
        subprocess.run(words, check=True)
        yield program


@contextmanager
def short_folder() -> Iterator[Path]:
    """A folder that another user may enter."""
    with tempfile.TemporaryDirectory(prefix="shim-") as name:
        if USER:
            os.chown(name, NOBODY, NOBODY)
        os.chmod(name, 0o755)
        yield Path(name)


@pytest.fixture
def folder() -> Iterator[Path]:
    with short_folder() as path:
        yield path


InLab = Callable[..., Any]


@pytest.fixture
def in_lab(folder: Path, library: Path) -> InLab:
    """`in_lab(scenario, fact=…)` runs a coroutine function with a lab."""

    def run(scenario: Callable[[Lab], Awaitable[Any]], **changes: Any) -> Any:
        async def whole() -> Any:
            async with started(folder, library, **changes) as lab:
                return await scenario(lab)

        return asyncio.run(whole())

    return run


# --- call by call ---

HELLO = f"hello-{MX}"
REALLY = "127.0.113.11"
EXECUTED = f"labnet {MX} mx.st.test one ended"
SEEN = [
    ("tcp bind=0.0.0.0:25 name", f"ok ok {MX}:25", "any address of this machine is its own one"),
    ("tcp bind=127.0.0.1:25 name", f"ok ok {MX}:25", "localhost is this host"),
    (f"tcp bind={MX}:587 name", f"ok ok {MX}:587", "its own address, as the configuration names it"),
    ("tcp bind=0.0.0.0:0 name", f"ok ok {MX}:any", "a port that the kernel chooses is shown as it is"),
    (f"tcp bind={LAPTOP}:25", "ok EADDRNOTAVAIL", "that is another host"),
    (f"tcp bind={STRANGER}:25", "ok EADDRNOTAVAIL", "that is nobody in the lab"),
    ("tcp listen name", f"ok ok {MX}:any", "who did not bind would listen at all of the machine"),
    (f"tcp connect={LAPTOP}:25 recv", f"ok ok {HELLO}", "a call comes from the host's own address"),
    (f"tcp connect={LAPTOP}:25 name peer", f"ok ok {MX}:any {LAPTOP}:25", "both ends in the lab's words"),
    (f"tcp connect={LAPTOP}:26", "ok ECONNREFUSED", "nobody listens there"),
    (f"tcp connect={STRANGER}:25", "ok ENETUNREACH", "nothing leaves the machine"),
    (f"tcp hurry connect={LAPTOP}:25 outcome", "ok ok EINPROGRESS ok", "a program may wait by itself"),
    (
        "tcp bind=0.0.0.0:2525 listen tcp connect=127.0.0.1:2525 peer",
        f"ok ok ok ok ok {MX}:2525",
        "localhost, called",
    ),
    (f"tcp fastopen={LAPTOP}:25", "ok EOPNOTSUPP", "TCP Fast Open calls without connect()"),
    ("tcp fastopen_connect", "ok ENOPROTOOPT", "and in this way too"),
    ("tcp6", "EAFNOSUPPORT", "a machine without IPv6"),
    ("unix pair netlink", "ok ok ok", "what stays on the machine is none of our business"),
    ("packet vsock", "EAFNOSUPPORT EAFNOSUPPORT", "neither to the wire below IP nor to a virtual machine's host"),
    ("old_packet sctp mptcp", "ESOCKTNOSUPPORT EPROTONOSUPPORT EPROTONOSUPPORT", "none that calls in ways of its own"),
    ("raw", "EPERM", "also as root: a raw datagram has whatever addresses it likes"),
    ("tcp bind_unspec=0.0.0.0:25 really name", f"ok ok {REALLY} {MX}:25",
     "Linux takes no family for IPv4 here"),
    ("udp bind_unspec=0.0.0.0:0 really", f"ok ok {REALLY}", "of datagrams too"),
    ("tcp bind_unspec=127.0.0.1:25", "ok EAFNOSUPPORT", "only with this address; others Linux refuses"),
    ("tcp listen really", f"ok ok {REALLY}", "really too"),
    (f"udp sendto_unspec={STRANGER}:53", "ok ENETUNREACH", "nor does a datagram without a family leave"),
    (f"udp sendmsg_unspec={STRANGER}:53", "ok ENETUNREACH", "nor by sendmsg"),
    (f"udp sendmmsg_unspec={STRANGER}:53", "ok ENETUNREACH", "nor many"),
    (f"udp sendto_unspec={LAPTOP}:2525 recvfrom", f"ok ok {MX}/hello@{LAPTOP}:2525", "but inside it arrives"),
    (f"udp connect={LAPTOP}:2525 connect_unspec=0.0.0.0:0 send=x", "ok ok ok EDESTADDRREQ",
     "in connect() no family means: no longer"),
    *((f"udp {how} really", f"ok {errno} {REALLY}", "the kernel binds it to all addresses as it fails")
      for how, errno in (("send=x", "EDESTADDRREQ"), ("write=x", "EDESTADDRREQ"), ("writev", "EDESTADDRREQ"),
                         ("sendmsg", "EDESTADDRREQ"), (f"sendto={STRANGER}:53", "ENETUNREACH"))),
    *((f"udp {how}=239.1.2.3:0", "ok ENODEV", "the kernel would tell the neighbours")
      for how in ("join", "join_source", "join_group", "join_source_group")),
    (f"udp route={STRANGER}:0 no_route", "ok EPERM ok", "a source route goes by way of a stranger"),
    ("udp interface interface_number", "ok EPERM EPERM", "no other interface"),
    (f"udp pktinfo={LAPTOP}:2525 recvfrom", f"ok ok {MX}/onetwo@{LAPTOP}:2525", "its own source is the host's address"),
    (f"udp retopts={LAPTOP}:2525", "ok EPERM", "and it has no route of its own"),
    (f"udp sendto={LAPTOP}:2525 name recvfrom", f"ok ok {MX}:any {MX}/hello@{LAPTOP}:2525", "datagrams too"),
    (f"udp sendmsg={LAPTOP}:2525 recvmsg", f"ok ok {MX}/onetwo@{LAPTOP}:2525", "sendmsg"),
    (f"udp sendmmsg={LAPTOP}:2525 recvmmsg", f"ok ok {MX}/onetwo@{LAPTOP}:2525", "many at once"),
    (f"udp connect={LAPTOP}:2525 send=x recv", f"ok ok ok {MX}/x", "a connected socket"),
    (f"udp sendto={STRANGER}:53", "ok ENETUNREACH", "nor does a datagram leave"),
    (f"udp sendmsg={STRANGER}:53", "ok ENETUNREACH", "nor by sendmsg"),
    (f"udp connect={STRANGER}:53", "ok ENETUNREACH", "nor connected"),
    ("interfaces", f"lo=127.0.0.1,eth0={MX}", "what Exim asks to know its own addresses"),
    ("udp ifconf", f"ok lo=127.0.0.1*,eth0={MX}", "the older way to ask"),
    ("uname gethostname", "mx.st.test mx.st.test", "the host's own name"),
    ("getaddrinfo=mx.st.test", MX, "names are the lab's; no AAAA where there is no IPv6"),
    ("getaddrinfo6=mx.st.test", "2001:db8::1", "unless it is what the program wants"),
    ("getaddrinfo=::1", "::1", "an address needs no nameserver"),
    ("getaddrinfo=localhost", "127.0.0.1", "/etc/hosts comes first"),
    ("getnameinfo=203.0.113.12:0", "other.st.test", "backwards"),
    ("getaddrinfo_a=mx.st.test getaddrinfo_a_later=mx.st.test", f"{MX} {MX}", "glibc's thread asks the real DNS"),
    ("getaddrinfo_a_told=mx.st.test", "ENOSYS", "we have no thread to tell it"),
    ("gethostbyname=mx.st.test gethostbyname2=mx.st.test", f"{MX} {MX}", "the old functions"),
    ("gethostbyname_r=mx.st.test gethostbyname2_r=mx.st.test", f"{MX} {MX}", "those for threads"),
    (f"gethostbyaddr={LAPTOP}:0 gethostbyaddr_r={LAPTOP}:0", "other.st.test other.st.test", "backwards, old"),
    ("res_search=st.test", "1-answers", "Exim asks like this, without res_init"),
    ("res_init res_query=st.test", "ok 1-answers", "a new start forgets everything but the lab"),
    ("res_nquery=st.test res_nsearch=st.test", "1-answers 1-answers", "with a state of its own (libspf2)"),
    *((f"foreign_{how}=st.test", "1-answers", "nor may the program choose another nameserver")
      for how in ("query", "send", "nquery", "nsearch", "nsend")),
    (f"rcmd={STRANGER} rresvport", "ENETUNREACH ENETUNREACH", "they call and listen inside the C library"),
    ("thread getaddrinfo=mx.st.test", MX, "each thread has a resolver state of its own"),
    ("thread res_search=st.test", "1-answers", "each thread, whatever it calls"),
    ("spf", "no", "libspf2 must not take the lab's hosts for localhost"),
    ("getpwnam=root", None, "the machine's accounts stay"),
    ("narrow=ann", "ERANGE", "a buffer that is too small is not overrun"),
    *((f"run={how}", EXECUTED, "Exim clears its environment and calls itself: the lab stays") for how in
      "execve execveat execv execvp execvpe fexecve execl execlp execle posix_spawn posix_spawnp system popen".split()),
    ("run=own_preload", "labnet 203.0.113.99 mx.st.test both ended", "what the program chose itself is left"),
    ("open=/etc/resolv.conf fopen=/etc/resolv.conf", f"nameserver {NAMESERVER} nameserver {NAMESERVER}",
     "dig and dnspython read the file themselves"),
    *((f"{how}=/etc/resolv.conf", f"nameserver {NAMESERVER}", "by any function")
      for how in "fopen64 open64 openat openat64".split()),
]  # fmt: skip


@pytest.fixture(scope="module")
def outcomes(library: Path, probe: Path) -> dict[str, Completed]:
    """What each row of SEEN gave: one lab for all."""

    async def scenario(place: Path) -> dict[str, Completed]:
        async with started(place, library) as lab:
            return {words: await lab.run(probe, *words.split()) for words, _, _ in SEEN}

    with short_folder() as place:
        return asyncio.run(scenario(place))


@pytest.mark.parametrize("words, expected, because", SEEN, ids=[row[0] for row in SEEN])
def test_call(words: str, expected: str | None, because: str, outcomes: dict[str, Completed]) -> None:
    done = outcomes[words]
    assert done.status == 0 and done.stderr == ""
    if expected is None:
        name, _, home, shell = done.stdout.strip().split(":")
        assert (name, home) == ("root", "/root") and shell
    else:
        assert " ".join(done.stdout.split()) == expected, because


ACCOUNTS = [
    ("getpwnam=ann getpwnam_r=ann", "", "{ann} {ann}", "a lab account has the uid of who runs the lab"),
    ("getpwuid getpwuid_r getlogin getlogin_r", "ann", "{ann} {ann} ann ann", "LABUSER runs the program"),
    ("getpwuid getpwnam=lee", "lee", "lee:own:/:/bin/sh lee:own:/:/bin/sh", "one whom no passwd file knows"),
    ("getpwuid_of=0", "ann", "root:other:/root:{shell}", "others stay who they are"),
]


@pytest.mark.parametrize("words, login, expected, because", ACCOUNTS, ids=[row[0] for row in ACCOUNTS])
def test_accounts(words: str, login: str, expected: str, because: str, in_lab: InLab, probe: Path) -> None:
    unknown = {"user": 54321, "group": 54321, "extra_groups": []} if USER else {}
    if login == "lee" and not USER:
        pytest.skip("only root can run a program as a user whom nobody knows")
    if "getpwuid_of" in words and not USER:
        pytest.skip("only root can run it as somebody else")
    # the clock page belongs to another user there; without it time is real
    more = {**unknown, "facts": None} if login == "lee" else {}
    done = in_lab(lambda lab: lab.run(probe, *words.split(), login=login, **more), clock=None)
    ann = "ann:own:" + re.sub(r".*ann:own:(.*?):/bin/sh.*", r"\1", done.stdout, flags=re.S) + ":/bin/sh"
    shell = done.stdout.strip().rpartition(":")[2]
    if "{ann}" in expected:
        assert ann.endswith("/home of ann:/bin/sh"), "a path may have blanks"
    lines = "\n".join(expected.split(" ")).format(ann=ann, shell=shell)
    assert done.stdout.strip() == lines, because


# --- time ---


def test_time_stands_still_between_jumps_but_for_looks(in_lab: InLab, probe: Path) -> None:
    """Both clocks jump together: Exim keeps their difference for its whole life."""

    async def scenario(lab: Lab) -> list[int]:
        words = "time gettimeofday timespec_get clock=0 clock=1 stdin clock=1 clock=0 clock=5 clock=7 clock=3"
        process = await lab.start(probe, *words.split())
        assert process.stdin and process.stdout
        first = [int(await process.stdout.readline()) for _ in range(5)]
        await asyncio.sleep(0.05)
        lab.page.set(NOON + timedelta(days=4))
        rest, _ = await process.communicate(b"go on\n")
        assert rest.split()[0] == b"ok"
        looks = (lab.page.now() - NOON - timedelta(days=4)) // timedelta(microseconds=TICKS)
        assert looks == 4, "clock 3 is processor time, and the looks before the jump are in it"
        return first + [int(word) for word in rest.split()[1:5]]

    seen = in_lab(scenario)
    noon = int(NOON.timestamp())
    tick, days = TICKS * 1000, 4 * 86400 * 10**9
    assert seen[:3] == [noon] * 3
    assert seen[3] == noon * 10**9 + 4 * tick, "each look moves it"
    real, up = seen[3], seen[4]
    assert seen[6] - real == days - 4 * tick + 2 * tick, (
        "after the jump it is the instant, and the looks since"
    )
    assert seen[6] - tick - seen[5] == real + tick - up, "the difference stays"
    assert seen[7] == seen[6] + tick and seen[8] > up, "coarse clocks are the same clock"


def test_a_short_timer_moves_the_clock(in_lab: InLab, probe: Path) -> None:
    """Exim waits like this until its clock has moved on: with looks alone it would try 200 times."""
    done = in_lab(lambda lab: lab.run(probe, "clock=0", "short_timer=500", "clock=0"))
    before, _, after = done.stdout.split()
    assert int(after) - int(before) == 500_000 + TICKS * 1000


def test_time_runs_on_in_a_terminal(in_lab: InLab, probe: Path) -> None:
    done = in_lab(
        lambda lab: lab.run(probe, "clock=0", "clock=1", "nap=20000", "clock=0", "clock=1"), ticks=None
    )
    real, up, _, real_later, up_later = done.stdout.split()
    start = int(NOON.timestamp()) * 10**9
    assert start <= int(real) < start + 10**10
    assert 20_000_000 <= int(real_later) - int(real) < 10**10
    assert abs(int(up_later) - int(up) - (int(real_later) - int(real))) < 10**7, (
        "the other clock is the kernel's"
    )
    assert abs(int(up) - start) > 10**12


def test_no_clock_is_real_time(in_lab: InLab, probe: Path) -> None:
    done = in_lab(lambda lab: lab.run(probe, "time"), clock=None)
    assert abs(int(done.stdout) - datetime.now().timestamp()) < 10


# --- who may call ---


async def called(
    lab: Lab, probe: Path, words: str, *calls: Callable[[Lab], Awaitable[Any]]
) -> tuple[list[str], list[Any]]:
    """Run `words`, and make the calls as soon as it has said that it listens."""
    process = await lab.start(probe, *words.split())
    assert process.stdout
    for _ in range(words.split().index("listen") + 1):
        assert await process.stdout.readline() == b"ok\n"
    told, seen = [], b""
    for call in calls:
        told.append(await call(lab))
        if "wait" in words:  # it waits and accepts for each
            seen += await process.stdout.readline() + await process.stdout.readline()
    rest = await asyncio.wait_for(process.stdout.read(), 10)
    await process.wait()
    return (seen + rest).decode().split(), told


async def from_lab(lab: Lab) -> None:
    transport = await lab.network.connect(LAPTOP, MX, 25, asyncio.Protocol)
    await asyncio.sleep(0.02)
    transport.close()


async def from_plain(lab: Lab, port: int = 25) -> bytes:
    reader, writer = await asyncio.open_connection(
        *lab.network.real_place(MX, port), local_addr=("127.0.0.1", 0)
    )
    told = await reader.read()
    writer.close()
    return told


NO_HOST = b"554 mx.st.test: you call from 127.0.0.1, which is no host of this lab: use labkit run or ./lab shell\r\n"
CALLS = [
    ("tcp bind=0.0.0.0:25 listen accept peer", (from_plain, from_lab), f"{LAPTOP}:any {LAPTOP}:any",
     "who only waits in accept() goes on waiting"),
    ("tcp bind=0.0.0.0:25 listen wait accept wait accept", (from_plain, from_lab), f"ok EINTR ok {LAPTOP}:any",
     "who was woken for that caller must not hang in accept()"),
    ("tcp bind=0.0.0.0:25 hurry listen wait accept wait accept", (from_plain, from_lab),
     f"ok EAGAIN ok {LAPTOP}:any", "as if nobody had called"),
]  # fmt: skip


@pytest.mark.parametrize("words, calls, expected, because", CALLS, ids=["accept", "poll", "non-blocking"])
def test_a_caller_from_outside_is_sent_away(
    words: str, calls: tuple[Any, ...], expected: str, because: str, in_lab: InLab, probe: Path
) -> None:
    seen, told = in_lab(lambda lab: called(lab, probe, words, *calls))
    assert " ".join(seen) == expected, because
    assert told == [NO_HOST, None]


def test_where_nobody_speaks_smtp_nothing_is_said(in_lab: InLab, probe: Path) -> None:
    async def plain(lab: Lab) -> bytes:
        return await from_plain(lab, 465)

    async def inside(lab: Lab) -> None:
        call = await lab.network.connect(LAPTOP, MX, 465, asyncio.Protocol)
        await asyncio.sleep(0.2)  # who has hung up before he is looked at is nobody
        call.close()

    _, told = in_lab(lambda lab: called(lab, probe, "tcp bind=0.0.0.0:465 listen accept", plain, inside))
    assert told[0] == b""


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can be several users")
@pytest.mark.parametrize("user, is_let_in", [(0, True), (NOBODY, True), (54322, False), (54323, True)])
def test_other_users_of_the_machine_stay_outside(
    user: int, is_let_in: bool, in_lab: InLab, probe: Path
) -> None:
    async def caller(lab: Lab) -> Completed:
        words = ("tcp", f"connect={MX}:25", "read")
        return await lab.run(probe, *words, address=LAPTOP, user=user, group=user)

    async def scenario(lab: Lab) -> tuple[list[str], list[Any]]:
        words = "tcp bind=0.0.0.0:25 listen wait accept write=welcome"
        return await called(lab, probe, words, caller)

    seen, told = in_lab(scenario, clock=None, callers=[54323])
    assert seen[:2] == (["ok", f"{LAPTOP}:any"] if is_let_in else ["ok", "EINTR"])
    assert told[0].stdout.split()[2:] == (["welcome"] if is_let_in else [])


# --- patience, and a lab that is gone ---


def test_silence_ends(in_lab: InLab, probe: Path) -> None:
    """Also where a program waits by itself. The kernel looks a second after the call at the soonest."""
    calls = {
        f"tcp connect={LAPTOP}:25": "ok ETIMEDOUT",
        f"tcp hurry connect={LAPTOP}:25 outcome": "ok ok EINPROGRESS ETIMEDOUT",
    }

    async def scenario(lab: Lab) -> list[Completed]:
        lab.network.silence(LAPTOP)
        return await asyncio.wait_for(asyncio.gather(*(lab.run(probe, *words.split()) for words in calls)), 5)

    seen = [" ".join(done.stdout.split()) for done in in_lab(scenario, patience=0.2)]
    assert seen == list(calls.values())


def test_a_place_that_is_known_to_be_silent_costs_no_time(in_lab: InLab, probe: Path) -> None:
    """One who would wait in connect() hears it at once; one who waits by himself waits as behind a firewall."""
    calls = f"tcp connect={LAPTOP}:25", f"tcp hurry connect={LAPTOP}:25", f"tcp connect={LAPTOP}:587"

    async def scenario(lab: Lab) -> list[str]:
        nowhere = SilentPort((lab.network.real_place(NAMESERVER, 0)[0], 0))
        try:
            lab.page.silence(nowhere.place, [(LAPTOP, 25)])
            seen = [
                (await asyncio.wait_for(lab.run(probe, *words.split()), 5)).stdout.split() for words in calls
            ]
            lab.page.silence(nowhere.place, [])
            return [*map(" ".join, seen), *(await lab.run(probe, *calls[0].split())).stdout.split()]
        finally:
            nowhere.close()

    seen = in_lab(scenario, patience=30)
    assert seen == ["ok ETIMEDOUT", "ok ok EINPROGRESS", "ok ok", "ok", "ok"]


@pytest.mark.parametrize(
    "word", ["res_search", "res_nquery", "getaddrinfo", "gethostbyname", "gethostbyaddr"]
)
def test_a_lab_with_too_much_to_do_is_not_silent(word: str, in_lab: InLab, probe: Path) -> None:
    """A question that nobody has read yet is put again; one that was read and not answered is silence."""
    what = LAPTOP if word == "gethostbyaddr" else "other.st.test"

    async def scenario(lab: Lab) -> tuple[Completed, Completed, float]:
        process = await lab.start(probe, f"{word}={what}")
        time.sleep(2.5)  # nothing of the lab does anything meanwhile
        stdout, stderr = await asyncio.wait_for(process.communicate(), 20)
        answered = Completed(process.returncode, stdout.decode(), stderr.decode())
        lab.nameserver.silent()
        began = time.monotonic()
        silent = await lab.run(probe, f"{word}={what}")
        return answered, silent, time.monotonic() - began

    async def at_once(lab: Lab) -> Completed:
        return await lab.run(probe, f"{word}={what}")

    answered, silent, seconds = in_lab(scenario)
    assert answered.stdout == in_lab(at_once).stdout
    assert silent.stdout != answered.stdout
    assert seconds < 2.4, "one question, one second; more would be lost in each lesson about silence"


def test_a_lab_that_is_gone_is_a_machine_without_network(in_lab: InLab, probe: Path) -> None:
    async def scenario(lab: Lab) -> Completed:
        environment = lab.environment(MX, "mx.st.test", "") | {"LABNET": str(lab.folder / "nothing")}
        words = (
            f"tcp connect={LAPTOP}:25 bind=0.0.0.0:25 listen udp sendto={LAPTOP}:53 getaddrinfo=mx.st.test"
        )
        return await lab.run(
            "env", *(f"{name}={value}" for name, value in environment.items()), probe, *words.split()
        )

    done = in_lab(scenario)
    assert done.stdout.split("\n")[:6] == ["ok", "ENETDOWN", "EADDRNOTAVAIL", "ENETDOWN", "ok", "ENETDOWN"]
    assert "203.0.113" not in done.stdout


def test_without_labnet_it_does_nothing(library: Path, probe: Path) -> None:
    words = "tcp bind=0.0.0.0:0 name tcp6 gethostname getpwuid time".split()
    plain = subprocess.run([probe, *words], capture_output=True, text=True, check=True)
    under = subprocess.run(
        [probe, *words], env={"LD_PRELOAD": str(library)}, capture_output=True, text=True, check=True
    )
    assert under.stdout.split("\n")[:-2] == plain.stdout.split("\n")[:-2]


# --- the wire ---

HEAD = struct.Struct("=4sIcBHHH4s4sqq")


class Record(NamedTuple):
    kind: str
    protocol: int
    own: tuple[str, int]
    peer: tuple[str, int]
    real_ns: int
    lab_ns: int
    payload: bytes


def records_in(path: Path) -> list[Record]:
    content, found = path.read_bytes(), []
    while content:
        magic, length, kind, protocol, own_port, peer_port, zero, own, peer, real_ns, lab_ns = (
            HEAD.unpack_from(content)
        )
        assert (magic, zero) == (b"LW1\n", 0)
        ends = (socket.inet_ntoa(own), own_port), (socket.inet_ntoa(peer), peer_port)
        payload = content[HEAD.size : HEAD.size + length]
        found.append(Record(kind.decode(), protocol, *ends, real_ns, lab_ns, payload))
        content = content[HEAD.size + length :]
    return found


def said(records: list[Record], kind: str) -> list[bytes]:
    return [record.payload for record in records if record.kind == kind]


CALLED = f"tcp connect={LAPTOP}:25 "
WIRE = [
    (CALLED + "write=one", ["c", "s"], [b"one"], "write"),
    (CALLED + "writev", ["c", "s"], [b"onetwo"], "writev"),
    (CALLED + "send=one close", ["c", "s", "x"], [b"one"], "send, and the end of it"),
    (CALLED + "send=one shutdown close", ["c", "s", "x"], [b"one"], "it ends once"),
    (CALLED + "sendmsg", ["c", "s"], [b"onetwo"], "sendmsg"),
    (CALLED + "sendmmsg", ["c", "s"], [b"onetwo"], "sendmmsg"),
    (CALLED + "sendfile=FOLDER/resolv.conf", ["c", "s"], [b"meserv"], "the kernel sends it from a file"),
    (CALLED + "stdio=one", ["c", "s", "s", "x"], [b"one-two", b"-three"], "stdio: when it is flushed"),
    (CALLED + "forked_stdio=one", ["c", "s", "x"], [b"one"], "what a fork copied into a buffer is said once"),
    (CALLED + "big", ["c", "s", "s"], [b"x" * 60000, b"x" * 5000], "long ones are split"),
    (CALLED + "peek read", ["c", "r"], [HELLO.encode()], "a look ahead is no receiving"),
    *((CALLED + how, ["c", "r"], [HELLO.encode()], how) for how in "read recv readv recvfrom recvmsg recvmmsg".split()),
    (CALLED + "shutdown gets", ["c", "x", "r", "x"], None, "stdio, reading"),
    (f"tcp hurry connect={LAPTOP}:25 outcome send=one", ["c", "s"], [b"one"], "a call that is waited for"),
    (f"tcp hurry connect={LAPTOP}:25 outcome connect={LAPTOP}:25 send=one", ["c", "s"], [b"one"],
     "perl asks by a second connect()"),
    (f"tcp connect={LAPTOP}:26", [], [], "no connection, no record"),
    (f"udp sendto={LAPTOP}:2525 recvfrom", ["s", "r"], [b"hello", f"{MX}/hello".encode()], "datagrams"),
    (f"udp sendto={LAPTOP}:2525 recv", ["s", "r"], [b"hello", f"{MX}/hello".encode()], "whose source is not asked"),
    (f"udp connect={LAPTOP}:2525 send=one recv", ["s", "r"], [b"one", f"{MX}/one".encode()], "connected"),
    (f"udp sendmmsg={LAPTOP}:2525 recvmmsg", ["s", "r"], [b"onetwo", f"{MX}/onetwo".encode()], "many at once"),
    ("run=execve", [], [], "pipes and files are no wire"),
]  # fmt: skip


@pytest.fixture(scope="module")
def captures(library: Path, probe: Path) -> dict[str, list[Record]]:
    """What each row of WIRE recorded: one lab for all."""

    async def captured(lab: Lab, words: str) -> list[Record]:
        capture = lab.folder / "wire"
        capture.write_bytes(b"")
        os.chmod(capture, 0o666)
        calls = words.replace("FOLDER", str(lab.folder)).split()
        done = await lab.run(probe, *calls, facts=replace(lab.facts, wire=capture))
        assert done.status == 0, done
        return records_in(capture)

    async def scenario(place: Path) -> dict[str, list[Record]]:
        async with started(place, library) as lab:
            return {words: await captured(lab, words) for words, _, _, _ in WIRE}

    with short_folder() as place:
        return asyncio.run(scenario(place))


@pytest.mark.parametrize("words, kinds, payloads, because", WIRE, ids=[row[0] for row in WIRE])
def test_wire(
    words: str,
    kinds: list[str],
    payloads: list[bytes] | None,
    because: str,
    captures: dict[str, list[Record]],
) -> None:
    records = captures[words]
    assert [record.kind for record in records] == kinds, because
    if payloads is not None:
        assert [record.payload for record in records if record.kind in "sr"] == payloads, because
    for record in records:
        assert record.protocol == (17 if words.startswith("udp") else 6)
        assert record.own[0] == MX and record.own[1] > 32767
        assert record.peer == (LAPTOP, 2525 if words.startswith("udp") else 25)
        assert abs(record.real_ns - datetime.now().timestamp() * 1e9) < 600e9
        assert 0 <= record.lab_ns - NOON.timestamp() * 1e9 < 1e9


# --- whole programs ---


def python() -> list[str]:
    """An interpreter that any user may run."""
    program = shutil.which("python3", path="/usr/local/bin:/usr/bin") if USER else sys.executable
    if program is None:
        pytest.skip("there is no python3 for users besides root")
    return [program, "-I", "-S", "-c"]


def test_programs_see_the_lab(in_lab: InLab, require: Callable[[str], str]) -> None:
    """Unmodified tools, by host names and ordinary ports; a terminal's time runs on."""
    dig, nc = require("dig"), require("nc")
    smtp = (
        "import socket, smtplib, threading\n"
        "def call():\n"
        "    with socket.create_connection(('other.st.test', 25)) as s:\n"
        "        print(s.getpeername()[0], s.getsockname()[0], s.recv(99).decode(), socket.getfqdn())\n"
        "t = threading.Thread(target=call); t.start(); t.join()\n"
    )

    async def scenario(lab: Lab) -> list[Completed]:
        runs = [
            lab.run(dig, "+short", "st.test", "MX"),
            lab.run(dig, "+short", "+tcp", "-x", LAPTOP),
            lab.run(nc, "-w", "1", "other.st.test", "587"),
            lab.run(*python(), smtp),
            lab.run("date", "-u", "+%F %H:%M"),
        ]
        return [await run for run in runs]

    seen = [done.stdout.strip() for done in in_lab(scenario, ticks=None)]
    assert seen == [
        "10 mx.st.test.",
        "other.st.test.",
        HELLO,
        f"{LAPTOP} {MX} {HELLO} mx.st.test",
        "2026-03-01 12:00",
    ]


EXIM_CONF = """
exim_path = FOLDER/exim
exim_user = UID
exim_group = GID
deliver_drop_privilege = true
keep_environment =
spool_directory = FOLDER/spool
log_file_path = FOLDER/%slog
pid_file_path = FOLDER/pid
primary_hostname = mx.st.test
domainlist local_domains = st.test
acl_smtp_rcpt = ${if eq{$local_part}{unknown}{deny}{accept}}
daemon_smtp_ports = 25 : 587
disable_ipv6
tls_dhparam = none
begin routers
users:
  driver = accept
  domains = +local_domains
  check_local_user
  transport = file
begin transports
file:
  driver = appendfile
  file = FOLDER/mail-$local_part_data
begin retry
* * F,4d,1h
"""


@dataclass(frozen=True, slots=True)
class Exim:
    """A real Exim's daemon on MX, in the foreground."""

    lab: Lab
    program: Path
    process: asyncio.subprocess.Process

    def log(self) -> str:
        path = self.lab.folder / "mainlog"
        return path.read_text() if path.exists() else ""

    async def logged(self, words: str, times: int = 1) -> str:
        for _ in range(500):
            if self.log().count(words) >= times:
                return self.log()
            await asyncio.sleep(0.01)
        raise AssertionError(f"{words!r} is not in the log:\n{self.log()}")

    def listens_at(self) -> set[str]:
        """The real places where the daemon listens, as the kernel has them."""
        found = set()
        links = [os.readlink(link) for link in Path(f"/proc/{self.process.pid}/fd").iterdir()]
        for table in ("tcp", "tcp6"):
            for line in Path(f"/proc/net/{table}").read_text().splitlines()[1:]:
                columns = line.split()
                if columns[3] == "0A" and f"socket:[{columns[9]}]" in links:
                    address, _, port = columns[1].partition(":")
                    number = int(address, 16).to_bytes(len(address) // 2, sys.byteorder)
                    found.add(f"{socket.inet_ntoa(number) if len(number) == 4 else address}:{int(port, 16)}")
        return found


@asynccontextmanager
async def exim_daemon(lab: Lab, program: str) -> AsyncIterator[Exim]:
    copy, conf = lab.folder / "exim", lab.folder / "exim.conf"
    shutil.copyfile(program, copy)  # without its setuid bit, for which the loader would ignore the shim
    copy.chmod(0o755)
    uid, gid = (NOBODY, NOBODY) if USER else (os.getuid(), os.getgid())
    text = EXIM_CONF.replace("FOLDER", str(lab.folder)).replace("UID", str(uid)).replace("GID", str(gid))
    conf.write_text(text)
    (lab.folder / "spool").mkdir()
    if USER:
        os.chown(lab.folder / "spool", uid, gid)
    process = await lab.start(copy, "-C", conf, "-bdf", "-q1h", stdout=subprocess.DEVNULL)
    exim = Exim(lab, copy, process)
    try:
        await exim.logged("listening for SMTP")
        yield exim
    finally:
        process.terminate()
        await process.wait()


async def swaks(lab: Lab, program: str, *words: str) -> Completed:
    terminal = replace(lab.facts, ticks=None)
    mail = ("--from", "ann@st.test", "--to", "ann@st.test", "--server", "mx.st.test")
    return await lab.run(program, *mail, *words, address=LAPTOP, name="other.st.test", facts=terminal)


def test_exim_lives_in_the_lab(in_lab: InLab, require: Callable[[str], str]) -> None:
    """A daemon with Exim's default local_interfaces, an old message, a jump, a caller from outside."""
    program, tool = require("exim"), require("swaks")

    async def scenario(lab: Lab) -> None:
        async with exim_daemon(lab, program) as exim:
            base = lab.facts.base
            assert exim.listens_at() == {f"127.0.113.11:{base + 25}", f"127.0.113.11:{base + 587}"}
            first = await swaks(lab, tool)
            assert first.status == 0, first
            await exim.logged("Completed")
            lab.page.set(NOON + timedelta(days=4, hours=12))
            assert await from_plain(lab) == NO_HOST
            second = await swaks(lab, tool)
            assert second.status == 0, second
            log = await exim.logged("Completed", times=2)
            batch = "".join(
                "MAIL FROM:<a@b.test>\nRCPT TO:<ann@st.test>\nDATA\nSubject: x\n\nx\n.\n" for _ in range(5)
            )
            sent = await lab.run(
                exim.program, "-C", lab.folder / "exim.conf", "-odq", "-bS", given=batch.encode()
            )
            assert sent.status == 0, sent
        mail = (lab.folder / "mail-ann").read_text()
        assert re.findall(r"\tfor ann@st.test;\n\t(.*)", mail) == [
            "Sun, 01 Mar 2026 12:00:00 +0000",
            "Fri, 06 Mar 2026 00:00:00 +0000",
        ]
        assert f"from [{LAPTOP}] (helo=other.st.test)" in mail
        ids = re.findall(r"^(\S+ \S+) (\S+) <= ", log, flags=re.M)
        assert [stamp for stamp, _ in ids] == ["2026-03-01 12:00:00", "2026-03-06 00:00:00"]
        digits = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
        times = [sum(digits.index(c) * 62**i for i, c in enumerate(reversed(name[:6]))) for _, name in ids]
        assert times == [int(NOON.timestamp()), int((NOON + timedelta(days=4, hours=12)).timestamp())]
        known = ("daemon started", "queue run", " <= ", " => ", "Completed", "selfsigned", "Suggested action")
        assert [line for line in log.splitlines() if not any(words in line for words in known)] == []
        assert not (lab.folder / "paniclog").exists() or "selfsigned" in (lab.folder / "paniclog").read_text()

    in_lab(scenario)


def test_the_wire_has_each_of_exims_replies_once(
    in_lab: InLab, require: Callable[[str], str], folder: Path
) -> None:
    """Exim's server writes through stdio and its child has a copy of the buffer; over TLS, GnuTLS writes."""
    program, tool = require("exim"), require("openssl")
    capture = folder / "wire"
    client = (
        "import smtplib, threading\n"
        "def call():\n"
        "    with smtplib.SMTP('mx.st.test', 25) as s:\n"
        "        s.set_debuglevel(0)\n"
        "        s.sendmail('ann@st.test', ['ann@st.test', 'unknown@st.test'], 'Subject: x\\n\\nx\\n')\n"
        "t = threading.Thread(target=call); t.start(); t.join()\n"
    )

    async def scenario(lab: Lab) -> None:
        terminal = replace(lab.facts, ticks=None)
        where: dict[str, Any] = {"address": LAPTOP, "name": "other.st.test", "facts": terminal}
        async with exim_daemon(lab, program) as exim:
            sent = await lab.run(*python(), client, **where)
            assert sent.stderr == ""
            await exim.logged("Completed")
            plain = records_in(capture)
            words = ("s_client", "-starttls", "smtp", "-connect", "mx.st.test:587", "-quiet", "-ign_eof")
            secret = await lab.run(tool, *words, given=b"QUIT\r\n", **where)
            assert "221 mx.st.test closing connection" in secret.stdout
            later = records_in(capture)[len(plain) :]
        check_plain(plain)
        check_secret(later)

    def check_plain(records: list[Record]) -> None:
        for own, kind in ((MX, "s"), (LAPTOP, "r")):
            stream = b"".join(
                r.payload for r in records if r.own[0] == own and r.kind == kind and r.protocol == 6
            )
            replies = [line[:4] for line in stream.decode().splitlines()]
            codes = [reply[:3] for reply in replies if reply[3:] == " "]
            assert codes == "220 250 250 250 550 354 250 221".split(), (own, stream)
            assert len(re.findall(rb"250 OK id=", stream)) == 1
        for own, kind in ((LAPTOP, "s"), (MX, "r")):
            stream = b"".join(
                r.payload for r in records if r.own[0] == own and r.kind == kind and r.protocol == 6
            )
            assert stream.startswith(
                b"ehlo other.st.test\r\nmail FROM:<ann@st.test>"
            ) and stream.lower().endswith(b"quit\r\n")
        assert [r.kind for r in records if r.kind == "c"] == ["c"]

    def check_secret(records: list[Record]) -> None:
        server = b"".join(said([r for r in records if r.own[0] == MX], "s"))
        client = b"".join(said([r for r in records if r.own[0] == LAPTOP], "r"))
        assert server == client
        clear, _, ciphertext = server.partition(b"220 TLS go ahead\r\n")
        assert clear.startswith(b"220 mx.st.test") and b"221" not in clear
        assert ciphertext[:2] == b"\x16\x03" and b"closing" not in ciphertext

    in_lab(scenario, wire=capture)


# --- building it ---


def test_it_is_compiled_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, library: Path) -> None:
    tmp_path.chmod(0o755)
    monkeypatch.setattr(shim, "_folders", lambda: [tmp_path / "cache"])
    monkeypatch.setattr(shim, "SOURCE", tmp_path / "small.c")  # the real one takes a second
    (tmp_path / "small.c").write_text("int lab;\n")
    first = build_shim()
    assert first.parent == tmp_path / "cache" and first.name != library.name
    assert [path.name for path in first.parent.iterdir()] == [first.name], "no draft is left"
    monkeypatch.setenv("PATH", "/nowhere")
    assert build_shim() == first, "found, without a compiler"


UNAVAILABLE: list[tuple[Mapping[str, Any], str]] = [
    ({"platform": "darwin"}, "Linux"),
    ({"libc": None}, "glibc"),
    ({"compilers": ("no-such-compiler",)}, "install gcc"),
    ({"source": "int x = ;\n"}, "does not compile"),
    ({"folders": [Path("/proc/labkit")]}, "XDG_CACHE_HOME"),
]


@pytest.mark.parametrize("change, remedy", UNAVAILABLE, ids=[row[1] for row in UNAVAILABLE])
def test_what_is_missing_is_said_in_one_sentence(
    change: Mapping[str, Any], remedy: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shim, "_folders", lambda: change.get("folders", [tmp_path / "cache"]))
    if "platform" in change:
        monkeypatch.setattr(sys, "platform", change["platform"])
    if "libc" in change:
        monkeypatch.setattr(os, "confstr", lambda _: change["libc"])
    monkeypatch.setattr(shim, "COMPILERS", change.get("compilers", shim.COMPILERS))
    if "source" in change:
        (tmp_path / "broken.c").write_text(change["source"])
        monkeypatch.setattr(shim, "SOURCE", tmp_path / "broken.c")
    with pytest.raises(ShimUnavailable, match=remedy) as caught:
        build_shim()
    text = str(caught.value)
    assert text.endswith(".") and "\n" not in text
    assert not list((tmp_path / "cache").glob("*")), "no draft is left"


FOLDERS = [
    ({"XDG_CACHE_HOME": "{0}"}, "{0}/labkit", "the user's wish"),
    ({"XDG_CACHE_HOME": "relative", "HOME": "{0}"}, "{0}/.cache/labkit", "a relative path counts as none"),
    ({"HOME": "{0}"}, "{0}/.cache/labkit", "the usual place"),
]


@pytest.mark.parametrize("variables, expected, because", FOLDERS)
def test_where_it_is_kept(
    variables: dict[str, str], expected: str, because: str, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value.format(folder))
    assert shim._folders()[0] == Path(expected.format(folder)), because
    if os.geteuid() == 0:
        folder.chmod(0o700)
        assert Path(expected.format(folder)) not in shim._folders(), (
            "what its programs cannot read is no use to root"
        )
