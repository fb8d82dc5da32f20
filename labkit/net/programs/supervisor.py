"""The program that looks after other programs, so that nothing is ever left behind. A script: see __main__ below.

WHAT       the parent of every program of a world. It takes orders and answers as JSON lines on stdin and stdout;
           supervised.py speaks with it.
DOES       spawn, signal, kill, idle, forget, watch; keeps output, reaps, and ends everything when stdin ends,
           when its parent is gone or on a signal: SIGTERM, 0.7 seconds, SIGKILL until nobody is left.
RULES      two processes, both child subreapers (prctl(2)): orphans of double-forking daemons come back to the
           *inner* one, which does the work; and if that one is killed, to the *guard*, which ends them. So one
           `kill -9` of anything leaves nothing, and stdout is open exactly as long as anything lives.
           It starts in no time: standard library only, and little of it.
STANDARDS  prctl(2) PR_SET_CHILD_SUBREAPER, PR_SET_PDEATHSIG; proc(5) /proc/pid/stat; wait(2) ECHILD
READ NEXT  supervised.py
"""

from __future__ import annotations

import ctypes
import json
import os
import selectors
import signal
import sys
import time
import warnings  # noqa: F401 - os.execvpe imports it, and after setuid there may be no right to read it
from binascii import a2b_base64, b2a_base64
from contextlib import suppress
from functools import cache

TYPE_CHECKING = False  # importing typing takes milliseconds that every world would wait for
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any, NoReturn

POLITE = 0.7  # seconds between SIGTERM and SIGKILL
PATIENCE = 1.2  # seconds of SIGKILL: what has not ended then is not ours to end (a setuid program's)
LINGER = 0.2  # seconds that the output of an ended program is waited for: a grandchild may hold the pipe
NAP = 0.002  # seconds between two looks for somebody who waits for silence
WATCH = 0.1  # seconds between two looks for somebody who just wants to be told
OUTPUT_OF_RUN, OUTPUT_OF_DAEMON = 8 << 20, 64 << 10  # octets kept: the first ones; the last ones
CHUNK = 256 << 10

_SET_PDEATHSIG, _SET_CHILD_SUBREAPER = 1, 36  # linux/prctl.h


@cache
def libc() -> ctypes.CDLL:
    return ctypes.CDLL(None, use_errno=True)


def prctl(option: int, value: int) -> None:
    if libc().prctl(option, value, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), f"prctl {option}: {os.strerror(ctypes.get_errno())}")


def handled_signals() -> tuple[signal.Signals, ...]:
    return signal.SIGTERM, signal.SIGHUP, signal.SIGINT


class Census:
    """Everybody alive who descends from this process, read from /proc.

    A process that is no descendant never becomes one, so strangers are read once; only a thorough look reads
    them all again, since a number may have a new owner.
    """

    def __init__(self) -> None:
        self.alive: dict[int, int] = {}  # process to process group
        self.is_sure = False  # nobody has ended just now
        self._zombies: set[int] = set()
        self._strangers: set[int] = set()

    def look(self, thorough: bool) -> None:
        listed = {int(name) for name in os.listdir("/proc") if name.isdecimal()}
        strangers = self._strangers & listed
        found: dict[int, tuple[bool, int, int]] = {}
        self.is_sure = True
        for pid in [*sorted(listed - strangers), *(strangers if thorough else ())]:  # the new ones quickly
            line = read_process(pid)
            if line is not None:
                found[pid] = line
        descends = {0: False, 1: False, os.getpid(): True}
        if not thorough:
            descends.update(dict.fromkeys(strangers, False))
        for pid in list(found):
            self._follow(pid, found, descends)
        ours = [pid for pid in found if descends[pid] and pid != os.getpid()]
        zombies = {pid for pid in ours if not found[pid][0]}
        self.is_sure &= zombies <= self._zombies  # a new zombie may have forked as well
        self._zombies = zombies
        self._strangers = {pid for pid in listed if descends.get(pid) is False}
        self.alive = {pid: found[pid][2] for pid in ours if pid not in zombies}

    def _follow(self, pid: int, found: dict[int, tuple[bool, int, int]], descends: dict[int, bool]) -> None:
        """Walk up from `pid` until somebody is known."""
        trail: list[int] = []
        while pid not in descends and pid not in trail:
            trail.append(pid)
            if pid not in found:  # the parent ended meanwhile: if it was one of ours, `has_lived` will tell
                for child in trail[:-1]:
                    del found[child]
                return
            pid = found[pid][1]
        descends.update(dict.fromkeys(trail, descends.get(pid, False)))


def children_ended(pid: int) -> int:
    """A number that grows with every child that a process has waited for: the memory faults of those (proc(5))."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            line = file.read()
    except OSError:
        return -1
    return int(line[line.rfind(b")") + 2 :].split()[8])


def read_process(pid: int) -> tuple[bool, int, int] | None:
    """Is it alive (not a zombie), its parent, its group; None if there is no such process."""
    try:
        opened = os.open(f"/proc/{pid}/stat", os.O_RDONLY)
    except OSError:
        return None
    try:
        line = os.read(opened, 4096)
    except OSError:
        return None
    finally:
        os.close(opened)
    fields = line[line.rfind(b")") + 2 :].split()  # the name before it may hold anything
    has_threads = int(fields[17]) > 1  # whose first thread has ended: that looks like a zombie too
    return fields[0] not in (b"Z", b"X") or has_threads, int(fields[1]), int(fields[2])


def send_signal(pid: int, number: int) -> bool:
    """`pid` may be minus a process group."""
    try:
        os.kill(pid, number)
    except OSError:
        return False
    return True


def reap_next() -> tuple[int, int] | None:
    """A process that has ended and its status; None if all are alive. Raises ChildProcessError: nobody is left.

    To a subreaper "no children" is "no descendants": an orphan is its child before its parent can be reaped.
    """
    pid, status = os.waitpid(-1, os.WNOHANG)
    return (pid, os.waitstatus_to_exitcode(status)) if pid else None


def end_everybody(reap: Callable[[], bool], polite: float) -> None:
    """End all descendants. `reap` is True when none is left. Whoever forks meanwhile is found by a next look."""
    census, told = Census(), set()
    start = time.monotonic()
    is_quiet = True
    while not reap():
        waited = time.monotonic() - start
        census.look(thorough=is_quiet)
        is_quiet = not census.alive
        for pid, group in census.alive.items():
            if waited >= polite:
                # a group is killed at once: between two of its processes none can be born
                send_signal(-group if group not in (0, os.getpgrp()) else pid, signal.SIGKILL)
            elif pid not in told:
                told.add(pid)
                send_signal(pid, signal.SIGTERM)
        if waited > polite + PATIENCE:
            return
        time.sleep(0.002 if waited < polite else 0.0005)


class Job:
    """One program that was started here."""

    def __init__(self, number: int, pid: int, keeps_running: bool) -> None:
        self.number, self.pid, self.keeps_running = number, pid, keeps_running
        self.output: tuple[bytearray, bytearray] | None = (bytearray(), bytearray())  # None: told
        self.pipes: dict[int, int] = {}  # those that are open yet, and which output each is
        self.status: int | None = None
        self.ended_at = 0.0

    def keep(self, which: int, data: bytes) -> None:
        if self.output is None:
            return
        kept = self.output[which]
        if self.keeps_running:
            kept += data
            del kept[:-OUTPUT_OF_DAEMON]
        else:
            kept += data[: max(0, OUTPUT_OF_RUN - len(kept))]


class Supervisor:
    """The inner process."""

    def __init__(self, parent: int | None) -> None:
        self.selector = selectors.PollSelector()
        self.is_over = False
        self.inbox, self.outbox = bytearray(), bytearray()
        self.jobs: dict[int, Job] = {}  # by process: alive
        self.ended: list[Job] = []  # reaped, and not yet told
        self.census = Census()
        self.calm = 0  # looks in a row that saw nobody; two are silence
        self.buried = 0
        self.ended_before: tuple[int, ...] = ()
        self.next_look = 0.0
        self.waiting: list[int] = []  # who asked for silence
        self.is_watched = self.is_told_busy = False
        self.writer = -1
        wake, self.waker = os.pipe()
        for opened in (0, 1, wake, self.waker):
            os.set_blocking(opened, False)
        signal.set_wakeup_fd(self.waker, warn_on_full_buffer=False)
        self.selector.register(wake, selectors.EVENT_READ, lambda: os.read(wake, 4096))
        self.selector.register(0, selectors.EVENT_READ, self.read_orders)
        if parent is not None:  # stdin may stay open in some forked child of it
            self.selector.register(parent, selectors.EVENT_READ, self.stop)

    def stop(self, *_: object) -> None:
        self.is_over = True

    def serve(self) -> None:
        for number in handled_signals():
            signal.signal(number, self.stop)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.pthread_sigmask(signal.SIG_SETMASK, ())
        self.tell({"id": 0, "pid": os.getpid()})  # ready
        while not self.is_over:
            for key, _ in self.selector.select(self.pause()):
                key.data()
            self.reap()
            self.tell_ended(time.monotonic() - LINGER)
            self.look_around()
        end_everybody(self.reap, POLITE)
        self.tell_ended(time.monotonic())
        deadline = time.monotonic() + LINGER
        while self.outbox and not self.write() and time.monotonic() < deadline:
            time.sleep(0.001)

    def pause(self) -> float | None:
        """How long nothing needs to be done."""
        pauses = []
        if self.ended:
            pauses.append(self.ended[0].ended_at + LINGER - time.monotonic())
        if self.waiting or self.is_watched:
            pauses.append(self.next_look - time.monotonic())
        return max(0.0, min(pauses)) if pauses else None

    # --- orders and answers ---

    def read_orders(self) -> None:
        try:
            data = os.read(0, CHUNK)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            self.selector.unregister(0)
            self.stop()
        start = len(self.inbox)
        self.inbox += data
        while (end := self.inbox.find(b"\n", start)) >= 0:
            line = bytes(self.inbox[:end])
            del self.inbox[: end + 1]
            start = 0
            self.obey(json.loads(line))

    def obey(self, order: dict[str, Any]) -> None:
        number, do = order.get("id"), order["do"]
        if do == "spawn":
            self.spawn(order)
        elif do == "signal":
            self.tell({"id": number, "ok": self.signal(order["pid"], order["signal"])})
        elif do == "kill":  # the order that spawned it, and whoever is in its process group still
            for job in self.jobs.values():
                if job.number == number:
                    send_signal(-job.pid, signal.SIGKILL) or send_signal(job.pid, signal.SIGKILL)
        elif do == "idle":
            self.waiting.append(order["id"])
            self.calm = 0
            self.next_look = 0.0
        elif do == "forget":
            self.waiting = [other for other in self.waiting if other != number]
        elif do == "watch":
            self.is_watched = order["on"]
        else:
            self.tell({"id": number, "error": f"ValueError: no such order: {do}"})

    def tell(self, answer: dict[str, Any]) -> None:
        is_waiting = bool(self.outbox)
        self.outbox += json.dumps(answer).encode() + b"\n"
        if not is_waiting and not self.write():
            self._await_room(True)

    def write(self) -> bool:
        """Write what can be written; True when all is."""
        try:
            while self.outbox:
                del self.outbox[: os.write(1, self.outbox[:CHUNK])]
        except BlockingIOError:
            return False
        except OSError:  # nobody reads
            self.outbox.clear()
            self.stop()
        return True

    def _await_room(self, on: bool) -> None:
        if on:
            self.writer = os.dup(
                1
            )  # stdin and stdout may be one socket: no selector takes it twice by one name
            self.selector.register(self.writer, selectors.EVENT_WRITE, self._write_more)
        else:
            self.selector.unregister(self.writer)
            os.close(self.writer)

    def _write_more(self) -> None:
        if self.write():
            self._await_room(False)

    # --- programs ---

    def spawn(self, order: dict[str, Any]) -> None:
        theirs: list[int] = []  # stdin, stdout, stderr, and where the child tells why it could not start
        ours: list[int] = []
        try:
            theirs.append(given_bytes(a2b_base64(order.get("stdin") or "")))
            for _ in range(3):
                reader, writer = os.pipe()
                ours.append(reader)
                theirs.append(writer)
            pid = os.fork()
            if pid == 0:
                become(order, theirs)
        except (OSError, ValueError) as problem:
            self.tell({"id": order["id"], **described(problem)})
            for opened in ours:
                os.close(opened)
            return
        finally:
            for opened in theirs:
                os.close(opened)
        failure = b""
        while data := os.read(ours[2], 4096):  # ends when exec closes it
            failure += data
        os.close(ours.pop())
        if failure:
            for opened in ours:
                os.close(opened)
            os.waitpid(pid, 0)
            self.tell({"id": order["id"], **json.loads(failure)})
            return
        job = self.jobs[pid] = Job(order["id"], pid, order.get("keeps_running", False))
        for which, pipe in enumerate(ours):
            os.set_blocking(pipe, False)
            job.pipes[pipe] = which
            self.selector.register(pipe, selectors.EVENT_READ, self._reader(job, pipe))
        self.tell({"id": job.number, "pid": pid})

    def _reader(self, job: Job, pipe: int) -> Callable[[], object]:
        return lambda: self.read_output(job, pipe)

    def read_output(self, job: Job, pipe: int) -> bool:
        """Read once; True if there may be more."""
        try:
            data = os.read(pipe, CHUNK)
        except BlockingIOError:
            return False
        if data:  # also long after the job was told: a closed pipe would kill a grandchild that still writes
            job.keep(job.pipes[pipe], data)
            return True
        self.selector.unregister(pipe)
        os.close(pipe)
        del job.pipes[pipe]
        return False

    def signal(self, pid: int, number: int) -> bool:
        if pid not in self.jobs:
            self.census.look(thorough=True)
            if pid not in self.census.alive:
                return False
        return send_signal(pid, number)

    def reap(self) -> bool:
        """Bury the dead. True: nobody is left, for sure."""
        try:
            while found := reap_next():
                self.buried += 1
                if job := self.jobs.pop(found[0], None):
                    job.status, job.ended_at = found[1], time.monotonic()
                    self.ended.append(job)
        except ChildProcessError:
            return True
        return False

    def tell_ended(self, lingered: float) -> None:
        """Tell of those whose output is complete, and of those that ended at `lingered` or before."""
        for job in list(self.ended):
            if job.pipes and not job.keeps_running and job.ended_at > lingered:
                continue
            self.ended.remove(job)
            for pipe in list(job.pipes):
                for _ in range(OUTPUT_OF_RUN // CHUNK):  # what a pipe holds, and not for ever
                    if not self.read_output(job, pipe):
                        break
            stdout, stderr = (b2a_base64(kept, newline=False).decode() for kept in job.output or ())
            self.tell({"id": job.number, "exit": job.status, "stdout": stdout, "stderr": stderr})
            job.output = None

    # --- silence ---

    def look_around(self) -> None:
        """Look whether anybody is at work, if somebody wants to know and it is time; tell whom it concerns."""
        now = time.monotonic()
        if not (self.waiting or self.is_watched) or now < self.next_look:
            return
        is_busy = self.is_busy()
        done = time.monotonic()
        pause = NAP if self.waiting or is_busy is None else WATCH
        self.next_look = done + max(pause, 2 * (done - now))  # looking never takes all of the time
        if is_busy is None:
            return
        if self.is_watched and is_busy is not self.is_told_busy:
            self.is_told_busy = is_busy
            self.tell({"busy": is_busy})
        if not is_busy:
            for number in self.waiting:
                self.tell({"id": number, "idle": True})
            self.waiting.clear()

    def is_busy(self) -> bool | None:
        """Is any descendant at work besides the daemons? None: another look is needed to be sure."""
        if any(not job.keeps_running for job in [*self.jobs.values(), *self.ended]):
            self.calm = 0
            return True
        if not self.jobs:  # no daemons: then the kernel knows
            try:
                is_busy = os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT) is None
            except ChildProcessError:
                return False
            if is_busy:
                return True
        self.census.look(thorough=self.calm > 0)
        self.reap()
        if self.census.alive.keys() - self.jobs.keys():
            self.calm = 0
            return True
        # A look takes time, and a message may wander meanwhile from one daemon's child, which ends, to another's, which
        # was not there yet. So two looks must find nobody, and nobody may have ended from the one to the other.
        ended = (self.buried, *map(children_ended, self.jobs))
        if ended != self.ended_before or not self.census.is_sure:
            self.calm = 0
        self.ended_before = ended
        self.calm += 1
        return False if self.calm > 1 else None


def given_bytes(data: bytes) -> int:
    """A descriptor to read them from. A file in memory needs nobody to write into it, as a pipe would."""
    if not data:
        return os.open(os.devnull, os.O_RDONLY)
    opened = os.memfd_create("stdin")
    with open(opened, "wb", closefd=False) as file:
        file.write(data)
    os.lseek(opened, 0, os.SEEK_SET)
    return opened


def described(problem: BaseException, about: str = "") -> dict[str, Any]:
    words = f"{about}: {problem.strerror}" if isinstance(problem, OSError) and about else str(problem)
    return {"error": f"{type(problem).__name__}: {words}", "errno": getattr(problem, "errno", None)}


def become(order: dict[str, Any], opened: list[int]) -> NoReturn:
    """In the forked child: become the program."""
    about = ""
    try:
        parent = os.getppid()
        signal.set_wakeup_fd(-1)
        for number in (*handled_signals(), signal.SIGCHLD, signal.SIGPIPE):
            signal.signal(number, signal.SIG_DFL)
        if order.get("session", True):
            os.setsid()
        for target, source in enumerate(opened[:3]):
            os.dup2(source, target)
        os.umask(order.get("umask", 0o022))
        if order.get("user") and os.geteuid() == 0:
            uid, gid = order["user"]
            os.setgroups([])
            os.setgid(gid)
            os.setuid(uid)
        prctl(_SET_PDEATHSIG, signal.SIGKILL)  # after setuid, which clears it
        if os.getppid() != parent:
            os._exit(1)
        about = order.get("cwd", "/")
        os.chdir(about)
        about = order["argv"][0]
        os.execvpe(about, order["argv"], order["env"])
    except BaseException as problem:
        os.write(opened[3], json.dumps(described(problem, about)).encode())
    finally:
        os._exit(127)


def guard(inner: int) -> None:
    """The outer process: wait for the inner one, then end whoever is left and would be an orphan."""
    for number in handled_signals():
        signal.signal(number, lambda *_: send_signal(inner, signal.SIGTERM))
    signal.pthread_sigmask(signal.SIG_SETMASK, ())
    while os.waitpid(-1, 0)[0] != inner:
        pass

    def reap() -> bool:
        try:
            while reap_next():
                pass
        except ChildProcessError:
            return True
        return False

    end_everybody(reap, polite=0)


def main(expected_parent: int | None) -> None:
    """`expected_parent`: all ends when that process, which must be the parent, is gone."""
    os.setsid()  # a Ctrl-C in the terminal is not for us
    prctl(_SET_CHILD_SUBREAPER, 1)
    for number in signal.valid_signals() - {signal.SIGKILL, signal.SIGSTOP}:
        signal.signal(number, signal.SIG_DFL)  # our parent may ignore some, and programs would inherit that
    signal.signal(signal.SIGPIPE, signal.SIG_IGN)
    os.closerange(3, 1 + max(map(int, os.listdir("/proc/self/fd"))))  # what our parent forgot would stay open
    parent = None
    if expected_parent is not None:
        if os.getppid() != expected_parent:
            return
        with suppress(OSError):  # ENOSYS before Linux 5.3: then the end of stdin must do
            parent = os.pidfd_open(expected_parent)
    itself = os.getpid()
    if inner := os.fork():
        guard(inner)
    else:
        prctl(_SET_CHILD_SUBREAPER, 1)
        prctl(_SET_PDEATHSIG, signal.SIGTERM)
        if os.getppid() == itself:
            Supervisor(parent).serve()
    os._exit(0)  # an interpreter that tidies up takes longer than we did


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else None)
