"""What other people's programs need to live in a world: its clock, names, accounts and addresses as files.

WHAT       `Programs` keeps the folder `programs` of a world: the clock page, one LABNET file for each host and laptop,
           and, as soon as a real Exim is wanted, a copy of it and the supervisor of its processes.
DOES       waits until all of them have done their work (`quiet`), so that lab time can go on.
AS ROOT    Exim runs as the unprivileged user `UID`, which owns var, home and tmp of each host: it will not deliver as
           root. Nobody else may enter a world's folder.
READ NEXT  exim_engine.py
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import stat
import subprocess
from collections.abc import Callable, Collection, Mapping, Sequence
from datetime import datetime
from pathlib import Path

from labkit.mail.questions import Account
from labkit.net.listeners import SilentPort
from labkit.net.loopback import Loopback
from labkit.net.programs.exim_found import InstalledExim, find_exim
from labkit.net.programs.labnet import ClockPage, LabNet, lab_environment
from labkit.net.programs.shim import build_shim
from labkit.net.programs.supervised import Completed, Daemon, Supervisor

UID = 61021  # for Exim under root: nobody's number, below the 65536 that a container may have
TICK = 20  # microseconds of lab time for each look at the clock: Exim waits until its clock has moved
OWN, READ = (
    ("home", "tmp", "var"),
    ("etc", "run"),
)  # of a host's disk: what is Exim's user's, and what he reads
PATIENCE = 2.0  # seconds of real time for a call that nobody answers; then it is a time-out
QUIET = 60.0  # seconds of real time for the programs of the lab to end what they do
ASIDE = 0.3  # the same while somebody from outside the lab has a session open


class Programs:
    """The programs of one world. Nothing runs and nothing is built before it is needed."""

    def __init__(self, network: Loopback, nameserver: str, folder: Path, now: datetime) -> None:
        self.network = network
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        self.wire = folder / "wire"
        self.page = ClockPage(folder / "clock", TICK)
        self.page.set(now)
        self.wire.touch()
        if self.user is not None:
            for path in (self.wire, self.page.path):
                os.chown(path, *self.user)
        self.resolv_conf = folder / "resolv.conf"
        self.resolv_conf.write_text(f"nameserver {nameserver}\n", encoding="ascii")
        self._nameserver = nameserver
        self._nowhere: SilentPort | None = None
        network.on_silence = self.silence
        self._supervisor: Supervisor | None = None
        self._exims: dict[Path, Path] = {}

    def silence(self, places: Collection[tuple[str, int | None]]) -> None:
        """Let programs find silence where the lab has it, though a real Exim listens there."""
        if self._nowhere is None:
            self._nowhere = SilentPort((self.network.real_place(self._nameserver, 0)[0], 0))
        self.page.silence(self._nowhere.place, places, self.network.blocked)

    # --- LABNET -------------------------------------------------------------------------------

    def introduce(
        self, name: str, accounts: Mapping[str, Account], disk: Path | None, *, ticks: bool
    ) -> Path:
        """Write the LABNET file of a machine; `disk` is the folder with its homes. Returns the file."""
        homes = (
            {}
            if disk is None
            else {account.name: disk / account.home.lstrip("/") for account in accounts.values()}
        )
        path = self.folder / f"{name}.labnet"
        LabNet(
            base=self.network.claim(),
            addresses=tuple(self.network.addresses),
            dns=self.network.real_place(self._nameserver, 53),
            accounts=homes,
            files={"/etc/resolv.conf": self.resolv_conf},
            clock=self.page.path,
            ticks=TICK if ticks else None,
            wire=self.wire,
            patience=PATIENCE,
            callers=tuple(self.network.users),
        ).write(path)
        return path

    async def environment(self, labnet: Path, address: str, name: str, login: str) -> dict[str, str]:
        """The environment in which a program lives on that machine. Raises ShimUnavailable."""
        return {
            "PATH": os.environ.get("PATH", os.defpath),
            "TZ": "UTC",
            **lab_environment(
                labnet=labnet,
                shim=await asyncio.to_thread(build_shim),
                address=address,
                name=name,
                login=login,
            ),
        }

    # --- Exim ---------------------------------------------------------------------------------

    async def exim(self, path: Path | None = None) -> tuple[InstalledExim, Path]:
        """The Exim of this machine, and this world's copy of it: with a setuid one the loader would ignore the shim.

        Raises EximMissing.
        """
        found = await asyncio.to_thread(find_exim, path)
        if found.path not in self._exims:
            folder = self.folder / ("bin" if not self._exims else f"bin{len(self._exims)}")
            folder.mkdir(exist_ok=True)
            self._exims[found.path] = _copied(found.path, folder / "exim")
        return found, self._exims[found.path]

    @property
    def user(self) -> tuple[int, int] | None:
        """As whom Exim is to run: None for ourselves."""
        return (UID, UID) if os.geteuid() == 0 else None

    def hand_over(self, disk: Path) -> None:
        """Let Exim's user have a host's disk: var, home and tmp are his, of etc and run he may read.

        What he could change he could make a link of, and root would write where it leads. Raises PermissionError if he
        cannot get there.
        """
        if self.user is None:
            return
        for folder in self.folder.parent.parents:
            if not folder.stat().st_mode & 0o001:
                raise PermissionError(
                    f"Exim runs as user {UID} here, because root may not; it cannot enter {folder}. "
                    f"Take another folder for the world, or: chmod o+x {folder}"
                )
        for folder, mode in ((self.folder.parent, 0o710), (self.folder, 0o750), (disk, 0o750)):
            _let_group(folder, mode)
        for name in OWN:
            _change(disk / name, UID)
        for name in READ:
            _change(disk / name, None)

    # --- processes ----------------------------------------------------------------------------

    async def supervisor(self) -> Supervisor:
        if self._supervisor is None:
            supervisor = Supervisor()
            await supervisor.start()
            self._supervisor = supervisor
        return self._supervisor

    async def run(self, argv: Sequence[str | Path], env: Mapping[str, str], stdin: bytes = b"") -> Completed:
        """Run a program of a host to its end."""
        supervisor = await self.supervisor()
        return await supervisor.run([str(word) for word in argv], env=dict(env), stdin=stdin, user=self.user)

    def run_at_once(self, argv: Sequence[str | Path], env: Mapping[str, str]) -> str:
        """Run a program that asks nobody in the lab (`exim -bp`), while the lab waits. Returns what it printed."""
        uid, gid = self.user or (None, None)
        groups: list[int] | None = None if uid is None else []
        ended = subprocess.run(
            [str(word) for word in argv],
            env=dict(env),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=QUIET,
            cwd="/",
            user=uid,
            group=gid,
            extra_groups=groups,
            check=False,
        )
        return ended.stdout.decode("utf-8", "replace")

    async def spawn(self, argv: Sequence[str | Path], env: Mapping[str, str]) -> Daemon:
        """Start a daemon of a host."""
        supervisor = await self.supervisor()
        return await supervisor.spawn([str(word) for word in argv], env=dict(env), user=self.user)

    async def quiet(self, is_outsider_there: Callable[[], bool]) -> bool:
        """Wait until no program of the lab does anything any more. False if somebody outside keeps one busy."""
        if self._supervisor is None:
            return True
        waited = 0.0
        while True:
            try:
                await self._supervisor.idle(timeout=ASIDE)
                return True
            except (TimeoutError, asyncio.TimeoutError):
                waited += ASIDE
                if is_outsider_there() or waited >= QUIET:
                    return False

    async def close(self) -> None:
        """End all processes and let go of the files."""
        if self._supervisor is not None:
            await self._supervisor.close()
            self._supervisor = None
        if self._nowhere is not None:
            self._nowhere.close()
        self.network.on_silence = lambda places: None
        self.page.close()


def _copied(source: Path, target: Path) -> Path:
    """A copy that everybody may run. A new file, never a changed one: a running program has the old one mapped."""
    fresh = target.with_name(f".{target.name}.new")
    shutil.copyfile(source, fresh)
    fresh.chmod(0o755)
    os.replace(fresh, target)
    return target


def _let_group(folder: Path, mode: int) -> None:
    os.chown(folder, -1, UID)
    folder.chmod(mode)


def _change(top: Path, owner: int | None) -> None:
    """Give all below `top` to that user; with None, let him read it. Never by a path that he could turn into a link."""
    for _, folders, files, here in os.fwalk(top, follow_symlinks=False):
        _change_one(".", here, owner)
        for name in (*folders, *files):
            _change_one(name, here, owner)


def _change_one(name: str, folder: int, owner: int | None) -> None:
    with contextlib.suppress(FileNotFoundError):  # a delivery takes files away meanwhile
        found = os.stat(name, dir_fd=folder, follow_symlinks=False)
        if owner is not None and found.st_uid != owner:
            os.chown(name, owner, UID, dir_fd=folder, follow_symlinks=False)
        elif owner is None and not stat.S_ISLNK(found.st_mode):
            os.chown(name, -1, UID, dir_fd=folder, follow_symlinks=False)
            os.chmod(name, found.st_mode | (0o050 if stat.S_ISDIR(found.st_mode) else 0o040), dir_fd=folder)
