"""Run other people's programs so that none of them outlives the lab.

WHAT       `Supervisor`: `run` a program to its end, `spawn` a daemon, wait until all is `idle`; `close` ends all.
DOES       speaks with one child process (supervisor.py), which is the parent of every program of a world.
RULES      one a world, in the running loop, no threads. Nothing is left when `close` returns; and nothing is left
           a moment later if it is never called: all ends when our end of the socket closes, and that is when the
           process is gone (however it ended), the loop is closed, or the Supervisor is garbage.
STANDARDS  posix_spawn(3), unix(7), wait(2)
READ NEXT  supervisor.py
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import sys
import weakref
from base64 import b64decode, b64encode
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

SCRIPT = Path(__file__).with_name("supervisor.py")
START_PATIENCE = 20.0  # seconds for the supervisor to start; it needs 0.03
_CLOSE_PATIENCE = 5.0
_CHUNK = 1 << 18
_GONE = "the supervisor of the lab's programs has ended, and they with it"
_unburied: set[int] = set()  # our supervisors that may be zombies


class SupervisorGone(RuntimeError):
    """The supervisor has ended, and so has every program."""


@dataclass(frozen=True, slots=True)
class Completed:
    """How a program ended. A negative status is the signal that ended it."""

    status: int
    stdout: bytes
    stderr: bytes
    argv: tuple[str, ...]


class Daemon:
    """A program that keeps running. The last 64 KB of its output are kept for `outcome`."""

    def __init__(self, supervisor: Supervisor, pid: int, argv: tuple[str, ...], order: _Order) -> None:
        self.pid = pid
        self.argv = argv
        self._supervisor = supervisor
        self._order = order

    def __repr__(self) -> str:
        return f"<{Path(self.argv[0]).name}, {'running' if self.is_running else 'ended'}>"

    @property
    def is_running(self) -> bool:
        return not self._order.ended.done() and not self._supervisor.is_gone

    @property
    def outcome(self) -> Completed | None:
        """How it ended; None while it runs, and if the supervisor was gone before."""
        ended = self._order.ended
        return ended.result() if ended.done() and ended.exception() is None else None

    async def wait(self) -> Completed:
        """Raises SupervisorGone."""
        return await asyncio.shield(self._order.ended)

    async def signal(self, number: int) -> bool:
        """Send a signal; False if it has ended. Raises SupervisorGone."""
        return not self._order.ended.done() and await self._supervisor.signal(self.pid, number)

    async def stop(self, patience: float = 1.0) -> Completed:
        """SIGTERM, and SIGKILL after `patience` seconds. Its children live on. Raises SupervisorGone."""
        if await self.signal(signal.SIGTERM):
            await asyncio.wait({self._order.ended}, timeout=patience)
            await self.signal(signal.SIGKILL)
        return await self.wait()


class Supervisor:
    """The parent of a world's programs."""

    def __init__(self) -> None:
        self.pids: tuple[int, ...] = ()  # its own two processes
        self._is_gone = self._is_closed = False
        self._orders: dict[int, _Order] = {}
        self._orders_given = 0
        self._line: weakref.ref[_Line] | None = None  # the loop keeps it: when the loop is closed, it closes
        self._end: asyncio.Future[None] | None = None
        self._on_busy: Callable[[bool], None] | None = None

    @property
    def is_gone(self) -> bool:
        """It was started and has ended, with all programs."""
        return self._is_gone or (self._line is not None and self._line() is None)

    async def start(self) -> None:
        """Raises SupervisorGone if it cannot start, RuntimeError where there is no Linux."""
        if sys.platform != "linux":
            raise RuntimeError("Other programs can take part in the lab on Linux only.")
        if self._line is not None or self._is_closed:
            raise RuntimeError("a supervisor is started once")
        _bury()
        loop = asyncio.get_running_loop()
        self._end = loop.create_future()
        ours, theirs = socket.socketpair()
        try:
            pid = os.posix_spawn(
                sys.executable,
                [sys.executable, "-I", "-S", "-E", str(SCRIPT), str(os.getpid())],
                {name: value for name, value in os.environ.items() if name != "LD_PRELOAD"},
                file_actions=[(os.POSIX_SPAWN_DUP2, theirs.fileno(), to) for to in (0, 1)],
                setsigmask=(signal.SIGINT, signal.SIGTERM, signal.SIGHUP),  # until it can handle them
            )
        except OSError as problem:
            ours.close()
            raise SupervisorGone(f"the supervisor of the lab's programs cannot start: {problem}") from problem
        finally:
            theirs.close()
        _unburied.add(pid)
        self.pids = (pid,)
        self._line = weakref.ref(_Line(loop, ours, self))
        weakref.finalize(self, _hang_up, ours)
        ready = self._order(0)
        await asyncio.wait({ready.started}, timeout=START_PATIENCE)
        if not ready.started.done():
            await self.close()
        self.pids = (pid, (await ready.started)["pid"])
        if self._is_closed:
            raise SupervisorGone(_GONE)

    async def run(
        self,
        argv: Sequence[str | Path],
        *,
        env: Mapping[str, str],
        cwd: str | Path = "/",
        stdin: bytes = b"",
        user: tuple[int, int] | None = None,
        timeout: float | None = None,
        umask: int = 0o022,
    ) -> Completed:
        """Run a program to its end. Its output is the first 8 MB.

        After `timeout` seconds, or when the caller is cancelled, it is killed with its process group.
        Raises OSError as `exec` does, ValueError, TimeoutError, SupervisorGone.
        """
        words = _words(argv)
        order = self._spawn(words, env, cwd, user, umask, stdin, keeps_running=False)
        try:
            await asyncio.wait({order.ended}, timeout=timeout)
            if not order.ended.done():
                self._tell({"do": "kill", "id": order.number})
                await asyncio.wait({order.ended}, timeout=1)
                raise TimeoutError(f"{Path(words[0]).name} did not end within {timeout:g} seconds")
        except asyncio.CancelledError:
            with suppress(SupervisorGone):
                self._tell({"do": "kill", "id": order.number})
            raise
        return order.ended.result()

    async def spawn(
        self,
        argv: Sequence[str | Path],
        *,
        env: Mapping[str, str],
        cwd: str | Path = "/",
        user: tuple[int, int] | None = None,
        umask: int = 0o022,
    ) -> Daemon:
        """Start a daemon: a program that may stay. Raises OSError as `exec` does, ValueError, SupervisorGone."""
        words = _words(argv)
        order = self._spawn(words, env, cwd, user, umask, b"", keeps_running=True)
        try:
            answer = await order.started
        except asyncio.CancelledError:
            with suppress(SupervisorGone):
                self._tell({"do": "kill", "id": order.number})
            raise
        return Daemon(self, answer["pid"], words, order)

    async def signal(self, pid: int, number: int) -> bool:
        """Send a signal to one of our programs or to a descendant of one; False if it is none."""
        answer = await self._ask({"do": "signal", "pid": pid, "signal": int(number)})
        return bool(answer["ok"])

    async def idle(self, timeout: float | None = None) -> None:
        """Wait until no program is left except the daemons: none of their children, no orphan of anybody.

        Raises TimeoutError, SupervisorGone.
        """
        order = self._order()
        self._tell({"do": "idle", "id": order.number})
        try:
            await asyncio.wait({order.started}, timeout=timeout)
            if not order.started.done():
                raise TimeoutError(f"programs of the lab are still at work after {timeout:g} seconds")
        finally:
            if not order.started.done():
                self._orders.pop(order.number, None)
                with suppress(SupervisorGone):
                    self._tell({"do": "forget", "id": order.number})
        order.started.result()

    def watch(self, on_busy: Callable[[bool], None] | None) -> None:
        """Call it with True when programs other than the daemons appear, with False when they are gone."""
        self._tell({"do": "watch", "on": on_busy is not None})
        self._on_busy = on_busy

    async def close(self) -> None:
        """End all programs; when it returns none is left. Daemons get to know their outcome."""
        self._is_closed = True
        line = self._line() if self._line is not None else None
        if line is not None and self._end is not None:
            line.end()
            for pid in reversed(self.pids):  # it needs two seconds at most, unless somebody has stopped it
                await asyncio.wait({self._end}, timeout=_CLOSE_PATIENCE)
                if not self._end.done():
                    with suppress(ProcessLookupError):
                        os.kill(pid, signal.SIGKILL)
            await asyncio.shield(self._end)
        while self.pids and self.pids[0] in _unburied:
            _bury()
            await asyncio.sleep(0.001)

    async def __aenter__(self) -> Supervisor:
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, problem: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    # --- the line ---

    def _spawn(
        self,
        argv: tuple[str, ...],
        env: Mapping[str, str],
        cwd: str | Path,
        user: tuple[int, int] | None,
        umask: int,
        stdin: bytes,
        keeps_running: bool,
    ) -> _Order:
        order = self._order(argv=argv)
        self._tell(
            {
                "do": "spawn",
                "id": order.number,
                "argv": argv,
                "env": dict(env),
                "cwd": os.fspath(cwd),
                "stdin": b64encode(stdin).decode(),
                "user": user,
                "keeps_running": keeps_running,
                "umask": umask,
            }
        )
        return order

    async def _ask(self, message: dict[str, Any]) -> dict[str, Any]:
        order = self._order()
        self._tell({**message, "id": order.number})
        return await order.started

    def _order(self, number: int | None = None, argv: tuple[str, ...] = ()) -> _Order:
        if number is None:
            self._orders_given += 1
            number = self._orders_given
        order = self._orders[number] = _Order(number, argv)
        return order

    def _tell(self, message: dict[str, Any]) -> None:
        line = self._line() if self._line is not None else None
        if line is None or self._is_gone or self._is_closed:
            self._orders.pop(message.get("id", 0), None)
            raise SupervisorGone(
                _GONE if self.pids else "the supervisor of the lab's programs was never started"
            )
        line.write(json.dumps(message).encode() + b"\n")

    def hear(self, message: dict[str, Any]) -> None:
        """One answer has come in."""
        if "busy" in message:
            if self._on_busy is not None:
                self._on_busy(message["busy"])
            return
        order = self._orders.get(message["id"])
        if order is not None and order.answer(message):
            del self._orders[order.number]

    def hear_end(self) -> None:
        """The supervisor is gone, and all programs with it."""
        self._is_gone = True
        for order in self._orders.values():
            order.fail(SupervisorGone(_GONE))
        self._orders.clear()
        if self._end is not None and not self._end.done():
            self._end.set_result(None)
        _bury()


class _Order:
    """What was asked for: an answer, and for a program also its end."""

    def __init__(self, number: int, argv: tuple[str, ...]) -> None:
        loop = asyncio.get_running_loop()
        self.number = number
        self.argv = argv
        self.started: asyncio.Future[dict[str, Any]] = loop.create_future()
        self.ended: asyncio.Future[Completed] = loop.create_future()

    def answer(self, message: dict[str, Any]) -> bool:
        """True: that was the last answer."""
        if "error" in message:
            self.fail(_problem(message))
        elif "exit" in message:
            outputs = (b64decode(message["stdout"]), b64decode(message["stderr"]))
            if not self.ended.done():
                self.ended.set_result(Completed(message["exit"], *outputs, self.argv))
        else:
            if not self.started.done():
                self.started.set_result(message)
            return not self.argv
        return True

    def fail(self, problem: Exception) -> None:
        for future in (self.started, self.ended):
            if not future.done():
                future.set_exception(problem)
                future.exception()  # nobody has to ask for it


class _Line:
    """Our end of the socket. Only the loop holds it: a loop that is closed lets go of it, and so it closes."""

    def __init__(self, loop: asyncio.AbstractEventLoop, wire: socket.socket, owner: Supervisor) -> None:
        wire.setblocking(False)
        self._loop, self._wire = loop, wire
        self._owner = weakref.ref(owner)
        self._inbox, self._outbox = bytearray(), bytearray()
        loop.add_reader(wire, self.read)

    def __del__(self) -> None:
        self._wire.close()

    def read(self) -> None:
        try:
            data = self._wire.recv(_CHUNK)
        except BlockingIOError:
            return
        except OSError:  # reset: it ended with our words unread
            data = b""
        start = len(self._inbox)
        self._inbox += data
        owner = self._owner()
        while (end := self._inbox.find(b"\n", start)) >= 0:
            message = json.loads(self._inbox[:end])
            del self._inbox[: end + 1]
            start = 0
            if owner is not None:
                owner.hear(message)
        if not data:
            self._loop.remove_reader(self._wire)
            self._loop.remove_writer(self._wire)
            self._wire.close()
            if owner is not None:
                owner.hear_end()

    def write(self, data: bytes) -> None:
        is_waiting = bool(self._outbox)
        self._outbox += data
        if not is_waiting:
            self._write_more()
            if self._outbox:
                self._loop.add_writer(self._wire, self._write_more)

    def _write_more(self) -> None:
        try:
            while self._outbox:
                del self._outbox[: self._wire.send(self._outbox[:_CHUNK])]
        except BlockingIOError:
            return
        except OSError:  # it is gone: reading tells
            self._outbox.clear()
        self._loop.remove_writer(self._wire)

    def end(self) -> None:
        """Say that this was all: the supervisor ends everything, and hangs up when that is done."""
        self._outbox.clear()
        self._loop.remove_writer(self._wire)
        _shutdown(self._wire, socket.SHUT_WR)


def _shutdown(wire: socket.socket, how: int) -> None:
    with suppress(OSError):  # closed already, or nobody at the other end
        wire.shutdown(how)


def _hang_up(wire: socket.socket) -> None:
    """When the Supervisor is garbage, in any thread: the loop, if it runs, then reads the end and closes."""
    _shutdown(wire, socket.SHUT_RDWR)


def _bury() -> None:
    """Take our ended supervisors out of the process table."""
    for pid in list(_unburied):
        with suppress(ChildProcessError):  # somebody in this process waits for all children
            if os.waitpid(pid, os.WNOHANG)[0] == 0:
                continue
        _unburied.discard(pid)


def _words(argv: Sequence[str | Path]) -> tuple[str, ...]:
    if not argv:
        raise ValueError("a program needs a name")
    return tuple(os.fspath(word) for word in argv)


def _problem(message: dict[str, Any]) -> Exception:
    kind, _, words = message["error"].partition(": ")
    if message.get("errno") is not None:
        return OSError(message["errno"], words)  # becomes FileNotFoundError and the like by its number
    return ValueError(f"{kind}: {words}" if kind != "ValueError" else words)
