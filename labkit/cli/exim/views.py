"""One spool under several configurations: what a daemon runs by, and what each command names with -C and -D.

WHAT       `View` is a configuration ready to move mail; `Views.work` gives a command's own Mta on the shared queue.
DECIDES    the same files with the same content are the same view; a file that has changed since the daemon read it
           counts as it is now, for the command that names it: as with Exim, where each process reads the file.
READ NEXT  performing.py
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from labkit.cli.exim.command import Command
from labkit.cli.exim.console import Console
from labkit.cli.exim.logs import Logs, log_paths
from labkit.cli.exim.machine import Machine
from labkit.cli.exim.real_time import RealTime
from labkit.lab.exim_log import Style
from labkit.mta.mta import Mta

MOST_KEPT = 8  # configurations in mind


@dataclass(frozen=True, slots=True)
class Caller:
    """Who runs a command."""

    login: str
    pid: int
    folder: str
    fingerprint: str  # of the configuration that he has read
    is_trusted: bool
    is_admin: bool


@dataclass(slots=True)
class View:
    """A configuration that mail moves by."""

    machine: Machine
    logs: Logs
    fingerprint: str

    @classmethod
    def read(cls, command: Command, fingerprint: str, spool: Path) -> View:
        """Raises CannotStart."""
        machine = Machine.read(command)
        machine.running  # noqa: B018 - what is wrong is said now
        return cls(machine, logs_of(machine, spool), fingerprint)


def logs_of(machine: Machine, spool: Path) -> Logs:
    main = machine.configuration.main
    return Logs(
        log_paths(main.texts("log_file_path"), spool),
        spool,
        Style(machine.running.log_selector, main.flag("log_timezone"), pid=os.getpid()),
        message_logs=main.flag("message_logs"),
        reject_log=main.flag("write_rejectlog"),
    )


def build_mta(view: View, surroundings: RealTime, spool: Path) -> Mta:
    """The MTA of a machine, in real time. Raises SpoolBusy, OSError."""
    machine = view.machine
    mta = Mta(
        name=machine.primary_hostname,
        addresses=machine.addresses,
        compiled=machine.running,
        network=machine.network,
        resolver=machine.resolver,
        accounts=machine.accounts,
        root=Path("/"),
        surroundings=surroundings,
        queue_interval=None,
        spool=spool,
    )
    mta.state.has_real_clock = True
    mta.state.takes_localhost = True  # as with an Exim; a lab's own hosts have addresses of their own
    return mta


@dataclass(slots=True)
class Work:
    """What one command does: who asks, by which configuration, on the shared queue."""

    command: Command
    caller: Caller
    console: Console
    machine: Machine
    mta: Mta
    time: RealTime

    async def idle(self) -> None:
        """Return when everything that this command has set going is done."""
        await self.time.idle()


class Views:
    """The configurations of one owner."""

    def __init__(self, view: View, spool: Path) -> None:
        self.view = view
        self.spool = spool
        self.time = RealTime(view.machine.now, view.logs)
        self.mta = build_mta(view, self.time, spool)
        self._others: dict[str, View] = {}
        self._works: set[int] = set()

    @property
    def is_busy(self) -> bool:
        return self.time.is_busy or bool(self.mta.state.busy)

    def work(self, command: Command, caller: Caller, console: Console) -> Work:
        """Raises CannotStart."""
        view = self._view(command, caller)
        time = RealTime(view.machine.now, view.logs, console, self.time)
        machine = view.machine
        mta = self.mta.beside(machine.primary_hostname, machine.addresses, machine.running, time)
        return Work(command, caller, console, machine, mta, time)

    def reload(self, view: View) -> None:
        """The daemon goes on with another configuration."""
        self.view, self._others = view, {}
        self.time.logs = view.logs
        machine = view.machine
        self.mta.state.addresses = machine.addresses
        self.mta.reconfigure(machine.running)

    def _view(self, command: Command, caller: Caller) -> View:
        if caller.fingerprint == self.view.fingerprint:
            return self.view
        found = self._others.get(caller.fingerprint)
        if found is None:
            before = os.getcwd()
            os.chdir(caller.folder)  # a relative name is the caller's
            try:
                found = View.read(command, caller.fingerprint, self.spool)
            finally:
                os.chdir(before)
            while len(self._others) >= MOST_KEPT:
                del self._others[next(iter(self._others))]
            self._others[caller.fingerprint] = found
        return found
