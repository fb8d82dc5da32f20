"""The daemon: -bd, -bdf, -q15m.

DOES       owns the spool, listens, runs the queue at its interval, serves commands at the control socket. SIGHUP:
           reads the configuration again; SIGTERM and SIGINT: ends.
DECIDES    where to listen (places.py). In the background it lets go of the terminal; the command returns when the
           doors are open, or when that has to be tried again.
LIKE EXIM  the lines in the log, the pid file and when it is written, a port that is taken is tried again
           (daemon_startup_retries), a configuration that cannot be read at SIGHUP ends the daemon. Sessions: one
           process has them all, so at the end each hears 421.
STANDARDS  Exim specification, chapters "The Exim command line" (-bd, -q), "Starting the daemon"
READ NEXT  places.py
"""

from __future__ import annotations

import asyncio
import errno
import os
import signal
import sys
import time
from collections.abc import Coroutine
from contextlib import suppress
from datetime import timedelta
from pathlib import Path
from typing import Any

from labkit.cli.exim.actions import run_queue
from labkit.cli.exim.client import PATIENCE, let_go_of_the_terminal
from labkit.cli.exim.command import Command, Selection
from labkit.cli.exim.files import CannotStart
from labkit.cli.exim.main_settings import Settings, read_settings
from labkit.cli.exim.owner import Owner
from labkit.cli.exim.places import Place, listening_places, shown_places
from labkit.cli.exim.real_time import RealTime
from labkit.cli.exim.version import LANGUAGE
from labkit.cli.exim.views import View
from labkit.eximconf.options.kinds import shown_time
from labkit.lab.exim_log import MAIN, PANIC
from labkit.net.spool import SpoolBusy

LAST_WORK = 10.0  # seconds for deliveries under way, at the end
_PAUSE = 0.05


def start_daemon(command: Command, settings: Settings) -> int:
    """Returns the exit status: at once in the background, at its end in the foreground. Raises CannotStart."""
    if not settings.is_admin:
        raise CannotStart("exim: permission denied")
    spool = settings.spool
    spool.mkdir(mode=0o750, parents=True, exist_ok=True)
    view = View.read(command, settings.fingerprint, spool)
    places = _places(command, view)
    if command.in_foreground or command.is_verbose or command.traces:
        return _live(command, view, places, spool, None)
    hears, tells = os.pipe()
    sys.stdout.flush()
    sys.stderr.flush()
    if os.fork():
        os.close(tells)
        with os.fdopen(hears, "rb") as ready:
            ready.read(1)  # the doors are open, or the daemon has ended and the log says why
        return 0
    status = 1
    try:
        os.close(hears)
        os.setsid()
        let_go_of_the_terminal()
        status = _live(command, view, places, spool, tells)
    except Exception as problem:  # nobody sees our standard error any more
        view.logs.line(view.machine.now(), str(problem).replace("\n", " "), PANIC)
    finally:
        os._exit(status)


def _places(command: Command, view: View) -> list[Place]:
    return listening_places(view.machine, command.interfaces) if command.listens else []


def _live(command: Command, view: View, places: list[Place], spool: Path, tells: int | None) -> int:
    daemon = _take(command, view, places, spool)
    return asyncio.run(daemon.live(tells))


def _take(command: Command, view: View, places: list[Place], spool: Path) -> Daemon:
    """A command that works on the spool is waited for; another daemon is not. Raises CannotStart."""
    until = time.monotonic() + PATIENCE
    while True:
        try:
            return Daemon(command, view, places, spool)
        except SpoolBusy as problem:
            if time.monotonic() > until:
                raise CannotStart(f"labkit-exim: {problem}") from None
            time.sleep(_PAUSE)


class Daemon:
    """One daemon."""

    def __init__(self, command: Command, view: View, places: list[Place], spool: Path) -> None:
        self.command, self.view, self.places, self.spool = command, view, places, spool
        self.owner = Owner(view, spool)
        self.mta = self.owner.views.mta
        self._ends = asyncio.Event()
        self._runs: set[asyncio.Task[None]] = set()
        self._pid_file: Path | None = None

    async def live(self, tells: int | None) -> int:
        """Until a signal ends it. `tells`: where to say that the daemon is ready."""
        loop = asyncio.get_running_loop()
        self._reloads: asyncio.Event = asyncio.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._ends.set)
        loop.add_signal_handler(signal.SIGHUP, self._reloads.set)
        status = 0
        try:
            await self.owner.open()
            opening: asyncio.Task[None] | None = loop.create_task(self._open(tells))
            while not self._ends.is_set():
                signals = [loop.create_task(each.wait()) for each in (self._ends, self._reloads)]
                waiting: list[asyncio.Task[Any]] = [*signals, *([opening] if opening is not None else [])]
                await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
                for task in signals:
                    task.cancel()
                if opening is not None and opening.done():
                    opening.result()
                    opening = None
                if self._reloads.is_set() and not self._ends.is_set():
                    self._reloads.clear()
                    await self._reload()
        except CannotStart as problem:
            self._log(str(problem), PANIC)
            status = 1
        finally:
            await self._end()
        return status

    # --- the doors ----------------------------------------------------------------------------

    async def _open(self, tells: int | None) -> None:
        """Open all doors; one that is taken is tried again, as long as the configuration says."""
        main = self.view.machine.configuration.main
        retries = main.number("daemon_startup_retries")
        try:
            while True:
                try:
                    await self.mta.start(
                        queue_only={"": None, "q": True}.get(self.command.delivery, False), places=self.places
                    )
                    break
                except OSError as problem:
                    place = self.places[0] if self.places else ("", 0)
                    why = problem.strerror or problem  # outside loopback: the network says so itself
                    words = f"socket bind() to port {place[1]} for address {place[0]} failed: {why}"
                    if problem.errno != errno.EADDRINUSE or retries <= 0:
                        raise CannotStart(f"{words}: daemon abandoned") from None
                    tries = "try" if retries == 1 else "tries"
                    self._log(f"{words}: waiting 30s before trying again ({retries} more {tries})")
                    retries -= 1
                    self._ready(tells)
                    tells = None
                    await asyncio.sleep(30)
            self._write_pid_file()
            self._say_started()
            self._run_queue_at_intervals()
        finally:
            self._ready(tells)

    @staticmethod
    def _ready(tells: int | None) -> None:
        if tells is not None:
            with suppress(OSError):
                os.write(tells, b"+")
                os.close(tells)

    def _say_started(self) -> None:
        interval = self.command.interval
        runs = f"-q{shown_time(timedelta(seconds=interval))}" if interval else "no queue runs"
        listening = "not listening for SMTP"
        if self.places:
            tls = self.view.machine.configuration.main.values.get("tls_on_connect_ports") or ()
            listening = f"listening for {shown_places(self.places, tls)}"
        self._log(f"labkit-exim {LANGUAGE} daemon started: pid={os.getpid()}, {runs}, {listening}")

    def _write_pid_file(self) -> None:
        """Not with -oX or without -bd, unless -oP names one."""
        command = self.command
        if command.pid_file is None and (command.interfaces is not None or not command.listens):
            return
        named = command.pid_file or self.view.machine.configuration.main.text("pid_file_path")
        path = Path(named.replace("%s", "") if named else self.spool / "exim-daemon.pid")
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(f"{os.getpid()}\n", "ascii")
        except OSError as problem:
            self._log(f"could not write the pid file {path}: {problem.strerror}", PANIC)
            return
        self._pid_file = path

    def _remove_pid_file(self) -> None:
        if self._pid_file is not None:
            with suppress(OSError):
                if self._pid_file.read_text("ascii").strip() == str(os.getpid()):
                    self._pid_file.unlink()

    # --- the queue ----------------------------------------------------------------------------

    def _run_queue_at_intervals(self) -> None:
        interval = self.command.interval
        if not interval:
            return

        async def at_intervals() -> None:
            while True:
                most = self._most_runs()
                if not most or len(self._runs) <= most:  # this task is one of them
                    self._begin(self._run_queue())
                await asyncio.sleep(interval)

        self._begin(at_intervals())

    def _most_runs(self) -> int:
        value = self.view.machine.configuration.main.expansion("queue_run_max")
        return int(value.text) if value is not None and value.text.isdecimal() else 5

    def _begin(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._runs.add(task)
        task.add_done_callback(self._runs.discard)

    async def _run_queue(self) -> None:
        machine = self.view.machine
        views = self.owner.views
        run = RealTime(machine.now, self.view.logs, parent=views.time)
        mta = views.mta.beside(machine.primary_hostname, machine.addresses, machine.running, run)
        pid = views.time.next_process()
        await run_queue(mta, self.command.selection or Selection(), pid)
        await run.idle()

    # --- signals ------------------------------------------------------------------------------

    async def _reload(self) -> None:
        """SIGHUP. Raises CannotStart for a configuration that cannot be read."""
        self._log(f"pid {os.getpid()}: SIGHUP received: re-exec daemon")
        settings = read_settings(self.command)
        if settings.spool != self.spool:
            raise CannotStart(
                f"spool_directory is {settings.spool} now, and was {self.spool}: stop the daemon and start it"
            )
        self.view = View.read(self.command, settings.fingerprint, self.spool)
        self.places = _places(self.command, self.view)
        self.owner.views.reload(self.view)
        for task in tuple(self._runs):
            task.cancel()
        try:
            await self.mta.listen_again(self.places)
        except OSError as problem:
            raise CannotStart(f"cannot listen: {problem.strerror}: daemon abandoned") from None
        self._say_started()
        self._run_queue_at_intervals()

    async def _end(self) -> None:
        self._remove_pid_file()
        for task in tuple(self._runs):
            task.cancel()
        self.mta.stop()
        await self.owner.close(LAST_WORK)

    def _log(self, words: str, *names: str) -> None:
        self.view.logs.line(self.view.machine.now(), words.replace("\n", " "), *names)
        if (self.command.is_verbose or self.command.traces) and MAIN not in names:
            print(f"LOG: MAIN\n  {words}", file=sys.stderr)
