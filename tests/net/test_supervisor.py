"""Other people's programs: what they did comes back, and nothing of them is ever left behind.

The tests find processes by a word in their environment, so they see also those that no parent knows any more.
"""

from __future__ import annotations

import asyncio
import gc
import json
import os
import pwd
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, TypeVar

import pytest

from labkit.net.programs.supervised import SCRIPT, Completed, Supervisor, SupervisorGone

Answer = TypeVar("Answer")

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="a supervisor needs Linux")

PATH = {"PATH": os.environ.get("PATH", os.defpath)}
ORPHANS = "(sleep 60 &) & exec sleep 60"  # a daemon, and a grandchild that is nobody's child
CHAIN = """
import os
while True:  # each lives for a moment, in a session of its own
    if os.fork():
        os._exit(0)
    os.setsid()
"""
BOMB = [sys.executable, "-I", "-S", "-c", CHAIN]
STUBBORN = "trap '' TERM HUP INT; while :; do sleep 60; done"


@pytest.fixture
def marked(request: pytest.FixtureRequest) -> Iterator[dict[str, str]]:
    """An environment that tells the processes of this test; whoever is left at the end is killed, and a failure."""
    environment = {**PATH, "LABKIT_TEST": f"{os.getpid()}-{time.monotonic_ns()}"}
    yield environment
    left = alive(environment)
    for pid in left:
        os.kill(pid, signal.SIGKILL)
    assert not left


def alive(environment: dict[str, str]) -> list[int]:
    word = f"LABKIT_TEST={environment['LABKIT_TEST']}".encode()
    found = []
    for name in os.listdir("/proc"):
        try:
            if name.isdecimal() and word in Path("/proc", name, "environ").read_bytes().split(b"\0"):
                found.append(int(name))
        except OSError:  # it has ended, or is somebody else's
            continue
    return found


def within(seconds: float, become: Callable[[], bool]) -> bool:
    end = time.monotonic() + seconds
    while not (is_so := become()) and time.monotonic() < end:
        time.sleep(0.01)
    return is_so


class LoopAndSupervisor:
    """One supervisor for many tests, in a loop that runs when needed."""

    def __init__(self) -> None:
        self.loop = asyncio.new_event_loop()
        self.supervisor = Supervisor()
        self.wait(self.supervisor.start())

    def wait(self, thing: Awaitable[Answer]) -> Answer:
        return self.loop.run_until_complete(asyncio.wait_for(thing, 10))

    def run(self, argv: Sequence[str], **named: Any) -> Completed:
        return self.wait(self.supervisor.run(argv, **{"env": PATH, **named}))


@pytest.fixture(scope="module")
def supervisor() -> Iterator[LoopAndSupervisor]:
    shared = LoopAndSupervisor()
    yield shared
    shared.wait(shared.supervisor.close())
    shared.loop.close()


@pytest.mark.parametrize(
    "argv, stdin, status, stdout, stderr",
    [
        (["true"], b"", 0, b"", b""),
        (["false"], b"", 1, b"", b""),
        (["sh", "-c", "cat; echo no >&2; exit 3"], b"words\n", 3, b"words\n", b"no\n"),
        (["cat"], b"", 0, b"", b""),  # no stdin is an empty one
        (["sh", "-c", "kill -9 $$"], b"", -9, b"", b""),
        (["sh", "-c", "exec >&- 2>&-; sleep 0.01; exit 4"], b"", 4, b"", b""),  # it closes its pipes first
        (["sh", "-c", "exec <&-; exit 5"], bytes(100_000), 5, b"", b""),  # it does not read what it is given
        (["sh", "-c", "pwd; umask; echo $0 $1", "a b", "ü"], b"", 0, "/\n0022\na b ü\n".encode(), b""),
        (["sh", "-c", "kill -PIPE $$; echo alive"], b"", -13, b"", b""),  # no signal is ignored
        (
            ["sh", "-c", "echo /proc/self/fd/*"],
            b"",
            0,
            b"/proc/self/fd/0 /proc/self/fd/1 /proc/self/fd/2 ",
            b"",
        ),
        (["sh", "-c", "ps -o sid= -p $$ | grep -qw $$"], b"", 0, b"", b""),  # a session of its own
    ],
)
def test_run(
    argv: list[str], stdin: bytes, status: int, stdout: bytes, stderr: bytes, supervisor: LoopAndSupervisor
) -> None:
    done = supervisor.run(argv, stdin=stdin)
    if b"/fd/" in stdout:  # the shell reads the folder itself with one more
        assert done.stdout.startswith(stdout) and done.stdout.count(b"/fd/") <= 4
    else:
        assert done == Completed(status, stdout, stderr, tuple(argv))


@pytest.mark.parametrize(
    "argv, cwd, problem, words",
    [
        (["no-such-program"], "/", FileNotFoundError, "no-such-program: No such file"),
        (["/"], "/", PermissionError, "/: Permission denied"),
        (["true"], "/no/such/folder", FileNotFoundError, "/no/such/folder: No such file"),
        (["true", "a\0b"], "/", ValueError, "null byte"),
        (["true", "x" * 200_000], "/", OSError, "true: Argument list too long"),
        ([], "/", ValueError, "needs a name"),
    ],
)
@pytest.mark.parametrize("how", ["run", "spawn"])
def test_a_program_that_cannot_start_is_an_error_that_says_why(
    argv: list[str], cwd: str, problem: type[Exception], words: str, how: str, supervisor: LoopAndSupervisor
) -> None:
    with pytest.raises(problem, match=words):
        supervisor.wait(getattr(supervisor.supervisor, how)(argv, env=PATH, cwd=cwd))
    assert supervisor.run(["true"]).status == 0


def test_much_goes_in_and_comes_out(supervisor: LoopAndSupervisor) -> None:
    octets = os.urandom(1 << 20) * 5
    assert supervisor.run(["cat"], stdin=octets).stdout == octets


def test_output_without_end_is_cut_at_8_megabytes(supervisor: LoopAndSupervisor) -> None:
    done = supervisor.run(["head", "-c", "10000000", "/dev/zero"])
    assert done.status == 0 and len(done.stdout) == 8 << 20


def test_many_at_once(supervisor: LoopAndSupervisor) -> None:
    async def together() -> list[Completed]:
        runs = [
            supervisor.supervisor.run(["sh", "-c", f"cat; exit {n}"], env=PATH, stdin=b"%d" % n)
            for n in range(30)
        ]
        return await asyncio.gather(*runs)

    assert [(done.status, done.stdout) for done in supervisor.wait(together())] == [
        (n, b"%d" % n) for n in range(30)
    ]


def test_timeout_kills_the_whole_group(marked: dict[str, str], supervisor: LoopAndSupervisor) -> None:
    with pytest.raises(TimeoutError, match=r"sh did not end within 0\.05 seconds"):
        supervisor.run(["sh", "-c", f"sleep 60 & {STUBBORN}"], env=marked, timeout=0.05)
    assert within(1, lambda: not alive(marked))


def test_a_cancelled_run_is_killed(marked: dict[str, str], supervisor: LoopAndSupervisor) -> None:
    async def cancelled() -> None:
        task = asyncio.ensure_future(supervisor.supervisor.run(["sleep", "60"], env=marked))
        await asyncio.sleep(0.02)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    supervisor.wait(cancelled())
    assert within(1, lambda: not alive(marked))


def test_a_grandchild_that_holds_the_pipe_is_not_waited_for_and_not_harmed(
    tmp_path: Path, supervisor: LoopAndSupervisor
) -> None:
    script = f"(sleep 0.4; echo late; echo written > {tmp_path}/late) & echo early"
    assert supervisor.run(["sh", "-c", script]).stdout == b"early\n"
    assert not (tmp_path / "late").exists()
    supervisor.wait(supervisor.supervisor.idle(2))
    assert (tmp_path / "late").read_text() == "written\n"


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody else")
def test_user(supervisor: LoopAndSupervisor) -> None:
    nobody = pwd.getpwnam("nobody")
    done = supervisor.run(["sh", "-c", "id -u; id -g; id -G"], user=(nobody.pw_uid, nobody.pw_gid))
    assert done.stdout.decode().split() == [str(nobody.pw_uid), str(nobody.pw_gid), str(nobody.pw_gid)]


# --- idle ---


@pytest.mark.parametrize(
    "script, because",
    [
        ("sleep 0.1 &", "an orphan"),
        ("(sleep 0.1 &) &", "double fork"),
        ("setsid sh -c '(sleep 0.1 &) &' &", "in a session of its own"),
        ("(exec >&- 2>&- <&-; sleep 0.05; (sleep 0.05 &) &) &", "forks again later, without any pipe"),
    ],
)
@pytest.mark.alone
def test_idle_knows_double_forked_orphans(script: str, because: str, supervisor: LoopAndSupervisor) -> None:
    async def elapsed() -> float:
        daemon = await supervisor.supervisor.spawn(["sleep", "60"], env=PATH)
        start = time.monotonic()
        await supervisor.supervisor.run(["sh", "-c", f"({script}) >/dev/null 2>&1"], env=PATH)
        await supervisor.supervisor.idle(5)
        passed = time.monotonic() - start
        await daemon.stop()
        return passed

    assert 0.1 <= supervisor.wait(elapsed()) < 1, because


FORKS_ON_USR1 = """
import os, signal, sys, time
folder = sys.argv[1] + "/"
def fork(*_):
    if os.fork():
        return
    if os.fork():
        os._exit(0)
    open(folder + "at work", "w").close()
    while not os.path.exists(folder + "go"):
        time.sleep(0.002)
    open(folder + "done", "w").close()
    os._exit(0)
signal.signal(signal.SIGUSR1, fork)
if not os.fork():
    os._exit(0)
open(folder + "ready", "w").close()
while True:
    time.sleep(60)
"""


async def exists(path: Path) -> None:
    while not path.exists():
        await asyncio.sleep(0.002)


def test_idle_knows_children_of_a_daemon_but_not_the_daemon(
    tmp_path: Path, supervisor: LoopAndSupervisor
) -> None:
    async def main() -> None:
        argv = [sys.executable, "-I", "-S", "-c", FORKS_ON_USR1, str(tmp_path)]
        daemon = await supervisor.supervisor.spawn(argv, env=PATH)
        await exists(tmp_path / "ready")
        await supervisor.supervisor.idle(2)  # though it has a zombie
        assert await daemon.signal(signal.SIGUSR1)
        await exists(tmp_path / "at work")
        with pytest.raises(TimeoutError, match=r"still at work after 0\.05 seconds"):
            await supervisor.supervisor.idle(0.05)
        (tmp_path / "go").touch()
        await supervisor.supervisor.idle(2)
        assert (tmp_path / "done").exists()
        assert daemon.is_running and daemon.outcome is None
        assert (await daemon.stop()).status == -signal.SIGTERM
        assert not daemon.is_running and not await daemon.signal(signal.SIGTERM)

    supervisor.wait(main())


def test_idle_never_says_so_too_early(tmp_path: Path, supervisor: LoopAndSupervisor) -> None:
    """A chain of processes, each of which forks the next and ends; the last one writes a file."""
    chain = textwrap.dedent(
        """
        import os, sys
        os.close(1); os.close(2)
        for _ in range(40):
            if os.fork():
                os._exit(0)
            os.setsid()
        open(sys.argv[1], "w").close()
        """
    )

    async def main() -> None:
        daemon = await supervisor.supervisor.spawn(["sleep", "60"], env=PATH)
        for number in range(3):
            argv = [sys.executable, "-I", "-S", "-c", chain, str(tmp_path / str(number))]
            await supervisor.supervisor.run(argv, env=PATH)
            await supervisor.supervisor.idle(5)
            assert (tmp_path / str(number)).exists()
        await daemon.stop()

    supervisor.wait(main())


def test_watch(supervisor: LoopAndSupervisor) -> None:
    heard: list[bool] = []

    async def main() -> None:
        daemon = await supervisor.supervisor.spawn(["sleep", "60"], env=PATH)
        supervisor.supervisor.watch(heard.append)
        await supervisor.supervisor.run(["sh", "-c", "(sleep 0.1 &) & sleep 0.1"], env=PATH)
        end = time.monotonic() + 2
        while heard[-1:] != [False] and time.monotonic() < end:
            await asyncio.sleep(0.01)
        supervisor.supervisor.watch(None)
        await daemon.stop()

    supervisor.wait(main())
    assert heard == [True, False]


def test_only_its_own_get_signals(supervisor: LoopAndSupervisor) -> None:
    asked = supervisor.supervisor
    with subprocess.Popen(["sleep", "60"]) as stranger:
        for pid in (stranger.pid, os.getpid(), 1, *asked.pids):
            assert not supervisor.wait(asked.signal(pid, signal.SIGCONT))
        stranger.kill()
    orphan = int(supervisor.run(["sh", "-c", "sleep 60 >/dev/null 2>&1 & echo $!"]).stdout)
    assert supervisor.wait(asked.signal(orphan, signal.SIGKILL))
    supervisor.wait(asked.idle(2))
    assert not supervisor.wait(asked.signal(orphan, signal.SIGKILL))


def test_a_daemon_that_ends_by_itself_has_an_outcome(supervisor: LoopAndSupervisor) -> None:
    script = "head -c 100000 /dev/zero | tr '\\0' x; echo end; exit 7"
    daemon = supervisor.wait(supervisor.supervisor.spawn(["sh", "-c", script], env=PATH))
    outcome = supervisor.wait(daemon.wait())
    assert daemon.outcome is outcome and outcome.status == 7
    assert len(outcome.stdout) == 64 << 10 and outcome.stdout.endswith(b"xend\n")


# --- the end ---


async def fill(supervisor: Supervisor, environment: dict[str, str]) -> None:
    """Start what is hard to end."""
    for argv in (["sh", "-c", ORPHANS], ["setsid", "sh", "-c", f"setsid sleep 60 & {ORPHANS}"], BOMB):
        await supervisor.spawn(argv, env=environment)
    await asyncio.sleep(0.03)


@pytest.mark.alone
def test_close_ends_everybody(marked: dict[str, str]) -> None:
    async def main() -> None:
        async with Supervisor() as supervisor:
            daemon = await supervisor.spawn(["sh", "-c", STUBBORN], env=marked)
            await fill(supervisor, marked)
            assert within(2, lambda: len(alive(marked)) > 5)
            start = time.monotonic()
            await asyncio.gather(supervisor.close(), supervisor.close())
            assert not alive(marked) and not any(Path(f"/proc/{pid}").exists() for pid in supervisor.pids)
            assert time.monotonic() - start < 2
            assert (await daemon.wait()).status == -signal.SIGKILL  # it had ignored SIGTERM
            await supervisor.close()
            with pytest.raises(SupervisorGone):
                await supervisor.run(["true"], env=PATH)

    asyncio.run(main())


@pytest.mark.parametrize("victim", [0, 1], ids=["guard", "inner"])
def test_kill_the_supervisor_itself(marked: dict[str, str], victim: int) -> None:
    async def main() -> None:
        async with Supervisor() as supervisor:
            await fill(supervisor, marked)
            daemon = await supervisor.spawn(["sleep", "60"], env=marked)
            waiting = asyncio.ensure_future(supervisor.idle())
            await asyncio.sleep(0.01)
            os.kill(supervisor.pids[victim], signal.SIGKILL)
            with pytest.raises(SupervisorGone):
                await asyncio.wait_for(waiting, 3)
            assert not alive(marked)  # who is told that the supervisor is gone knows that all are
            assert not daemon.is_running and supervisor.is_gone
            with pytest.raises(SupervisorGone):
                await supervisor.spawn(["true"], env=PATH)

    asyncio.run(main())


PARENT = """
import asyncio, os, sys, time
sys.path.insert(0, sys.argv[1])
from labkit.net.programs.supervised import Supervisor

async def main():
    supervisor = Supervisor()
    await supervisor.start()
    await supervisor.spawn(["sh", "-c", sys.argv[2]], env={**os.environ, "LABKIT_TEST": sys.argv[3]})
    child = 0
    HOW
    return supervisor

kept = asyncio.run(main())
print("after", flush=True)
time.sleep(60)
"""
ENDS = [
    ("print(0, flush=True); time.sleep(60)", "kill -9"),
    (
        "child = os.fork(); print(child, flush=True) if child else None; time.sleep(5 - 4 * bool(child)); os._exit(0)",
        "a forked child of it holds a copy of the socket",
    ),
    ("pass", "its loop is closed without close(), and somebody has the object"),
]


def test_nothing_outlives_the_parent(root: Path, marked: dict[str, str]) -> None:
    parents = []
    for how, _ in ENDS:
        words = ["-W", "error", "-c", PARENT.replace("HOW", how), str(root)]
        words += [ORPHANS, marked["LABKIT_TEST"] + how[:9]]
        opened = subprocess.Popen([sys.executable, *words], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        parents.append((opened, {**marked, "LABKIT_TEST": words[-1]}))
    try:
        said = [parent.stdout.readline().strip() for parent, _ in parents]
        started = [len(alive(environment)) for _, environment in parents[:2]]
        for parent, _ in parents[:2]:
            parent.kill()
        left = [within(2, lambda: not alive(environment)) for _, environment in parents]  # noqa: B023 - called here
        parents[2][0].kill()
        os.kill(int(said[1]), signal.SIGKILL)
    finally:
        heard = []
        for parent, _ in parents:
            parent.kill()
            heard.append(parent.communicate()[1])
    assert said[0] == b"0" and said[2] == b"after" and all(started)
    assert heard == [b""] * 3  # no warning, no traceback
    assert left == [True] * 3, ENDS


def test_garbage_ends_everybody(marked: dict[str, str]) -> None:
    async def main() -> None:
        supervisor = Supervisor()
        await supervisor.start()
        await supervisor.spawn(["sh", "-c", ORPHANS], env=marked)
        assert alive(marked)
        del supervisor
        gc.collect()
        end = time.monotonic() + 2
        while alive(marked) and time.monotonic() < end:
            await asyncio.sleep(0.01)
        assert not alive(marked)

    asyncio.run(main())


def test_starts_and_stops_leave_nothing(marked: dict[str, str]) -> None:
    """Nor does one that is closed while it starts; nor one that was never started."""

    async def main() -> None:
        descriptors = os.listdir("/proc/self/fd")
        pids: list[int] = []
        for number in range(4):
            supervisor = Supervisor()
            start = asyncio.ensure_future(supervisor.start())
            if number % 3:
                await start
                await supervisor.run(["sh", "-c", "sleep 60 >/dev/null 2>&1 &"], env=marked)
            else:
                await asyncio.sleep(0)
            await supervisor.close()
            if not number % 3:
                with pytest.raises(SupervisorGone):
                    await start
            pids += supervisor.pids
        await Supervisor().close()
        assert os.listdir("/proc/self/fd") == descriptors
        assert not [pid for pid in pids if Path(f"/proc/{pid}").exists()]

    asyncio.run(main())


def test_programs_leave_no_descriptor(supervisor: LoopAndSupervisor) -> None:
    inner = Path(f"/proc/{supervisor.supervisor.pids[1]}/fd")
    supervisor.wait(supervisor.supervisor.idle(2))

    async def main() -> None:
        for _ in range(17):  # 34 programs that start, 17 that do not
            daemon = await supervisor.supervisor.spawn(["sleep", "60"], env=PATH)
            await supervisor.supervisor.run(["sh", "-c", "(true &) &"], env=PATH)
            await daemon.stop()
            with pytest.raises(FileNotFoundError):
                await supervisor.supervisor.run(["/no/program"], env=PATH)

    before = len(list(inner.iterdir()))
    supervisor.wait(main())
    supervisor.wait(supervisor.supervisor.idle(2))
    assert len(list(inner.iterdir())) <= before


def test_the_script_speaks_plain_lines() -> None:
    """stdin and stdout may also be two pipes, as from a terminal; orders it does not know are answered."""
    orders = [
        {"do": "dance", "id": 1},
        {"do": "signal", "id": 2, "pid": 1, "signal": 0},
        {"do": "idle", "id": 3},
    ]
    script = [sys.executable, "-I", "-S", "-E", str(SCRIPT)]
    with subprocess.Popen(script, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as spoken:
        assert spoken.stdin is not None and spoken.stdout is not None
        spoken.stdin.write(b"".join(json.dumps(order).encode() + b"\n" for order in orders))
        spoken.stdin.flush()
        answers = [json.loads(spoken.stdout.readline()) for _ in range(4)]
        spoken.stdin.close()
        assert answers[1:] == [
            {"id": 1, "error": "ValueError: no such order: dance"},
            {"id": 2, "ok": False},
            {"id": 3, "idle": True},
        ]
        assert spoken.wait(2) == 0
