"""The real Exim on a host of the lab.

DOES       gives Exim the host's own file (exim_configuration.py), its address, accounts, names and time (programs.py),
           starts and commands it, and reads its log for the journal.
TIME       Exim's daemon has no queue runner of its own here: its timer would run in real time. The agenda starts
           `exim -q` at the daemon's fixed times instead, those at which something can be due (exim_due.py).
STANDARDS  Exim specification, chapters "The Exim command line", "Log files"
READ NEXT  world.py
"""

from __future__ import annotations

import asyncio
import os
import re
import shutil
import signal
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from labkit.eximconf.lists import split_list
from labkit.eximconf.reader import ConfigurationError, Place
from labkit.lab.engine import (
    STARTS_A_DAEMON,
    CommandFailed,
    Engine,
    NoSuchMessage,
    NotThisEngine,
    Output,
    QueueRun,
)
from labkit.lab.exim_configuration import Change, copy_of, lab_settings, main_settings
from labkit.lab.exim_due import PutOff, cutoffs, read_hints, warnings
from labkit.lab.exim_facts import Fact, fact_in
from labkit.lab.exim_queue import queue_summary
from labkit.lab.exim_routes import routes_in
from labkit.lab.programs import Programs
from labkit.lab.whole_file import replace_file
from labkit.mail.envelope import Envelope
from labkit.mail.event import EventKind
from labkit.mta.server_tls import ONE_KEY_EACH, pairs
from labkit.mta.surroundings import Appointment
from labkit.net.network import PortTaken
from labkit.net.programs.exim_found import InstalledExim
from labkit.net.programs.supervised import Daemon
from labkit.net.spool_format import SpoolFormatError
from labkit.net.spool_reading import read_item, spool_pair, waiting
from labkit.net.tls_contexts import TlsUnusable
from labkit.queue.due import LONGEST, fixed_time, next_due
from labkit.queue.hints import Hint
from labkit.queue.item import QueueItem
from labkit.routing import Routed

if TYPE_CHECKING:
    from labkit.lab.host import Host

DAEMON = "exim"  # the account that runs the daemon
KEPT_COPIES = 2  # of a configuration: a process that runs may still read the former
MOST_INCLUDES = 200
LONGEST_FOLDER = 140  # characters: Exim's log_file_path may have 200
HEARS = 0.1  # seconds of real time within which a daemon that waits acts on a signal
START = 10.0  # seconds of real time within which a daemon listens; it takes a twentieth of one
SERVICES = {"smtp": 25, "smtps": 465, "submissions": 465, "ssmtp": 465, "submission": 587}
OF_TLS = ("tls_certificate", "tls_privatekey")
FOLDERS = ("etc", "home", "run", "tmp", "var/log/exim", "var/mail", "var/spool/exim")
_ANYWHERE = {"0.0.0.0", "::0", "::", "@[]"}
_OFTEN = 0.005  # seconds between two looks at a log that is about to say something
_ERROR = re.compile(
    r"Exim configuration error(?: in line (?P<line>\d+) of (?P<file>\S+))?:\n\s*(?P<words>.*)", re.DOTALL
)
_PLAIN = re.compile(r"[A-Za-z0-9_./+-]+")  # no blank, no colon: they end an item of a list
_DRIVER = re.compile(r"(?P<name>\w+) (?:router|transport|authenticator):")


class EximEngine(Engine):
    """A real Exim."""

    name = "exim"

    def __init__(self, host: Host, programs: Programs, queue_interval: timedelta | None) -> None:
        self._host = host
        self._programs = programs
        self._interval = queue_interval
        self.installed: InstalledExim | None = None  # known from the first start on
        self.changes: tuple[Change, ...] = ()  # where Exim reads something else than the host's file says
        self._binary = Path()
        self._shown: dict[str, str] = {}  # the copies of included files, and what they are copies of
        self._daemon: Daemon | None = None
        self._queue_only = False
        self._started = host.world.now()
        self._next_run: Appointment | None = None
        self._tried: set[str] = set()  # what was there in the last run
        self._put_off: dict[tuple[str, str], PutOff] = {}  # by queue id and recipient
        self._hints_then: frozenset[str] = frozenset()  # what that run knew of failures
        self._runs = 0
        self._last_run = self._next_run_at = self._started
        self._looked_at: tuple[object, ...] = ()
        self._ages: list[timedelta] = []
        self.gives_up_after: timedelta | None = None  # the longest age that a retry rule of the file names
        self._ports: tuple[int, ...] = (25,)
        self._log = host.folder / "var/log/exim/mainlog"
        self._heard = self._log_number = 0
        if self._log.is_file():  # what an earlier life wrote is in the journal already
            self._heard, self._log_number = self._log.stat().st_size, self._log.stat().st_ino

    # --- making it ready ----------------------------------------------------------------------

    @property
    def configuration(self) -> Path:
        """What Exim is started with: the lab's settings, and the host's file."""
        return self._host.folder / "run/exim.conf"

    @property
    def command_line(self) -> tuple[str, ...]:
        """How this host's Exim is called from a terminal."""
        user = self._programs.user
        become = (
            () if user is None else ("setpriv", f"--reuid={user[0]}", f"--regid={user[1]}", "--clear-groups")
        )
        return (*become, str(self._binary), "-C", str(self.configuration))

    async def expect_program(self) -> None:
        """Raise EximMissing if there is no such Exim."""
        await self._programs.exim(self._host.exim_program)

    async def _prepare(self) -> None:
        """Write what Exim reads. Raises ConfigurationError, EximMissing, ShimUnavailable."""
        host, folder = self._host, self._host.folder
        if not _PLAIN.fullmatch(str(folder)):
            raise ValueError(
                f"Exim's configuration cannot name the folder {folder}: give the world one whose path has only "
                "letters, digits and ._+-"
            )
        if len(str(folder)) > LONGEST_FOLDER:
            raise ValueError(f"Exim cannot use a path as long as {folder}: give the world a shorter folder")
        self.installed, self._binary = await self._programs.exim(host.exim_program)
        for name in (*FOLDERS, *(account.home.lstrip("/") for account in host.accounts.values())):
            (folder / name).mkdir(parents=True, exist_ok=True)
        self._write_accounts()
        self._labnet = self._programs.introduce(host.name, host.accounts, folder, ticks=True)
        self._environment = await self._env(DAEMON)
        draft, changes = self._write_copies()
        self._programs.hand_over(folder)
        flattened = await self._exim("-C", draft / "host.conf", "-bP", "config")
        self._expect(flattened)
        uid = self._programs.user or (os.getuid(), os.getgid())
        text = lab_settings(
            program=self._binary,
            uid=uid[0],
            gid=uid[1],
            folder=folder,
            is_set=main_settings(flattened.text),
            configuration=draft / "host.conf",
        )
        replace_file(draft / "exim.conf", text, 0o644)
        asked = await self._exim(
            "-C",
            draft / "exim.conf",
            "-bP",
            "local_interfaces",
            "daemon_smtp_ports",
            "delay_warning",
            *OF_TLS,
        )
        self._expect(asked)
        values = dict(line.partition(" = ")[::2] for line in asked.text.split("\n"))
        self._expect_own_address(values.get("local_interfaces", ""))
        self._expect_certificate(*(values.get(name, "") for name in OF_TLS))
        given_up = [
            age + timedelta(seconds=1) for age in cutoffs(flattened.text)
        ]  # older than the rule allows
        self.gives_up_after = max(given_up, default=timedelta(seconds=1)) - timedelta(seconds=1)
        self._ages = [
            *given_up,
            *warnings(values.get("delay_warning", ""), max(given_up, default=timedelta())),
        ]
        ports = split_list(values.get("daemon_smtp_ports") or "smtp")
        self._ports = tuple(
            SERVICES.get(port) or int(port) for port in ports if port in SERVICES or port.isdecimal()
        )
        replace_file(
            self.configuration, text, 0o644
        )  # only now, and in one step: Exim may read it at any moment
        self.changes = tuple(changes)
        for old in sorted(draft.parent.glob("[0-9]*"), key=lambda path: int(path.name))[:-KEPT_COPIES]:
            shutil.rmtree(old, ignore_errors=True)

    def _write_copies(self) -> tuple[Path, list[Change]]:
        """Copy the host's file, and what it includes, as Exim is to read them, into a new folder of run/."""
        host, changes = self._host, list[Change]()
        numbers = [int(path.name) for path in host.path("/run").glob("[0-9]*") if path.name.isdecimal()]
        draft = host.path("/run") / str(max(numbers, default=0) + 1)
        draft.mkdir()
        copies: dict[Path, Path] = {}

        def copied(source: Path, shown: str, target: Path) -> None:
            copies[source] = target
            with source.open(encoding="utf-8", errors="surrogateescape", newline="") as file:
                text, differing = copy_of(file.read(), shown, host.folder, included)
            changes.extend(differing)
            replace_file(target, text, 0o644)

        def included(name: str) -> str:
            """The name of the copy of a file on the host's disk; other names are Exim's to judge."""
            wanted = Path(name)
            if wanted.is_relative_to(host.folder) and wanted.is_file() and len(copies) < MOST_INCLUDES:
                if wanted not in copies:
                    copied(
                        wanted, f"/{wanted.relative_to(host.folder)}", draft / f"{len(copies)}-{wanted.name}"
                    )
                return str(copies[wanted])
            return name

        copied(host.configuration_file, host.configuration_file.name, draft / "host.conf")
        self._shown = {
            target.name: f"/{source.relative_to(host.folder)}" for source, target in copies.items()
        }
        return draft, changes

    def _write_accounts(self) -> None:
        """Where a configuration looks into /etc/passwd it finds the host's accounts."""
        lines = [
            f"{account.name}:x:1000:1000::{account.home}:/bin/sh\n"
            for account in self._host.accounts.values()
        ]
        replace_file(self._host.path("/etc/passwd"), "".join(lines), 0o644)

    def _expect_own_address(self, interfaces: str) -> None:
        for name in map(interface_address, filter(None, split_list(interfaces))):
            if name not in (self._host.address, *_ANYWHERE):
                raise ConfigurationError(
                    Place(self._host.configuration_file.name, self._line_of("local_interfaces")),
                    f"local_interfaces names {name}, which is not an address of {self._host.name}",
                    f"leave the setting out, or write {self._host.address}",
                )

    def _expect_certificate(self, certificate: str, key: str) -> None:
        """Exim itself starts with any files, and its first client hears 454. Raises ConfigurationError.

        What is named by an expansion is known when a client comes, and not before.
        """
        if not certificate or "$" in certificate + key:
            return
        from labkit.net.tls_checks import (
            Fault,
            faults,
        )  # loads cryptography: only where there is a certificate

        try:
            found = [
                fault
                for file, key_file in pairs(certificate, key)
                for fault in faults(
                    Path(file),
                    Path(key_file) if key_file else None,
                    self._shown_as(file),
                    self._shown_as(key_file),
                )
            ]
        except TlsUnusable as unusable:
            found = [Fault(str(unusable), ONE_KEY_EACH, is_about_key=True)]
        for fault in found:
            is_of_key = fault.is_about_key and bool(key)
            line = self._line_of("tls_privatekey" if is_of_key else "tls_certificate")
            raise ConfigurationError(
                Place(self._host.configuration_file.name, line), fault.problem, fault.remedy
            )

    def _shown_as(self, file: str) -> str:
        """As the host names it."""
        return file.removeprefix(str(self._host.folder))

    def _line_of(self, start: str) -> int:
        """The first line of the host's file that begins so."""
        lines = self._host.configuration.split("\n")
        return next((n for n, line in enumerate(lines, start=1) if line.strip().startswith(start)), 1)

    def _expect(self, output: Output) -> None:
        """Raise ConfigurationError if Exim found fault with the host's file."""
        if output.status == 0:
            return
        said = output.text.strip().replace(f"{self._host.folder}/", "/")
        found = _ERROR.search(said)
        words = " ".join((found["words"] if found else said).split())
        name, line = self._host.configuration_file.name, 1
        if found and found["line"]:
            line = int(found["line"])
            file = Path(found["file"]).name
            if file != "host.conf":  # in a file that it includes
                name = self._shown.get(file, found["file"])
        elif driver := _DRIVER.match(words):
            line = self._line_of(f"{driver['name']}:")
        raise ConfigurationError(
            Place(name, line), f"Exim says: {words}", "mend that line, and start or reload again"
        )

    # --- the daemon ---------------------------------------------------------------------------

    @property
    def is_running(self) -> bool:
        return self._daemon is not None and self._daemon.is_running

    @property
    def ports(self) -> tuple[int, ...]:
        return self._ports

    async def start(self, *, queue_only: bool = False) -> None:
        if self.is_running:
            return
        await self._prepare()
        mode = (
            ("-bdf", "-odq") if queue_only else ("-bdf",)
        )  # in the foreground: the supervisor keeps hold of it
        before = self._log_size()
        self._daemon = await self._programs.spawn(
            (self._binary, "-C", self.configuration, *mode), await self._env(DAEMON)
        )
        await self._until_it_listens(before)
        self._started = self._last_run = self._host.world.now()
        if self._interval is not None and waiting(self._spool):
            self._appoint(self._started)

    async def _until_it_listens(self, before: int) -> None:
        """Wait until the log says so. Raises PortTaken, CommandFailed."""
        assert self._daemon is not None
        loop = asyncio.get_running_loop()
        deadline = loop.time() + START
        while loop.time() < deadline:
            said = self._log_from(before)
            if "listening for SMTP" in said or "daemon started" in said:
                return
            if "Address already in use" in said:
                await self._end_daemon()
                network = self._programs.network
                raise PortTaken(network.claim(), *network.real_place(self._host.address, self._ports[0]))
            if not self._daemon.is_running:
                break
            await asyncio.sleep(_OFTEN)
        ended = await self._daemon.stop()
        self._daemon = None
        words = (ended.stdout + ended.stderr).decode("utf-8", "replace").strip() or self._log_from(
            before
        ).strip()
        raise CommandFailed(f"Exim does not start on {self._host.name}: {words or 'it does not say why'}")

    async def _log_says(self, words: str, before: int, patience: float) -> bool:
        for _ in range(int(patience / _OFTEN)):
            if words in self._log_from(before):
                return True
            await asyncio.sleep(_OFTEN)
        return False

    async def stop(self) -> None:
        self._appoint_nothing()
        if self._daemon is None:
            return
        await self._end_daemon()
        self._host.world.note(self._host.name, EventKind.STOPPED)

    async def _end_daemon(self) -> None:
        if self._daemon is not None:
            daemon, self._daemon = self._daemon, None
            await daemon.stop()

    async def reload(self) -> None:
        await self._prepare()
        if self._daemon is None:
            return
        before = self._log_size()
        for _ in range(
            int(START / HEARS)
        ):  # one that comes just before the daemon waits is only seen after it
            await self._daemon.signal(signal.SIGHUP)
            if await self._log_says("SIGHUP received", before, HEARS):
                break
        await self._until_it_listens(before)

    def close(self) -> None:
        self._appoint_nothing()
        self._daemon = None  # it ends with the supervisor

    # --- its queue runner ---------------------------------------------------------------------

    def look(self) -> None:
        """Something has happened, or a run has ended: appoint the next queue run that can find something to do."""
        if self._daemon is not None and not self._daemon.is_running:  # killed by somebody else than us
            self.close()
            self._host.world.note(self._host.name, EventKind.STOPPED, text="the daemon has ended by itself")
        if self._interval is None or not self.is_running:
            return
        now = self._host.world.now()
        if self._next_run is not None and self._next_run_at <= now:  # it is its turn, after what happens now
            return
        known = self._state_of_queue()
        if known == self._looked_at:
            return
        self._looked_at = known
        self._appoint_nothing()
        if waiting(self._spool):
            due = max(self._due(now), now + timedelta(microseconds=1))
            self._appoint(self._fixed_time(due))

    def _fixed_time(self, instant: datetime) -> datetime:
        """The first of the daemon's times that is not before."""
        assert self._interval is not None
        return fixed_time(self._started, self._interval, instant)

    def next_queue_run(self, instant: datetime) -> datetime | None:
        return None if self._interval is None or not self.is_running else self._fixed_time(instant)

    def _due(self, now: datetime) -> datetime:
        """When the next queue run is worth while."""
        items = self.queue
        is_tried = {item.queue_id for item in items} <= self._tried
        if not is_tried or any(item.frozen for item in items) or (hints := self.retry_hints()) is None:
            return now
        self._put_off = {key: each for key, each in self._put_off.items() if key[0] in self._tried}
        is_hint_gone = not self._hints_then <= hints.keys()
        if is_hint_gone or not all(each.is_kept_by(hints) for each in self._put_off.values()):
            return now
        retry_times = (hint.attempt.next_try for hint in hints.values())
        # a retry time reached since the last run is still to be looked at, whatever has happened meanwhile
        return min(next_due(items, retry_times, self._ages, self._last_run), now + LONGEST)

    def _state_of_queue(self) -> tuple[object, ...]:
        """Changes whenever anything in the spool does."""
        files = (path.stat() for path in (self._spool / "input", self._spool / "db/retry") if path.exists())
        stamps = tuple(stamp.st_mtime_ns for stamp in files)
        return (*stamps, tuple(waiting(self._spool)), self._runs)

    @property
    def queue_interval(self) -> timedelta | None:
        return self._interval

    def retry_hints(self) -> Mapping[str, Hint] | None:
        dumper = self.installed.companion("exim_dumpdb") if self.installed else None
        if dumper is None:
            return None
        environment = {"PATH": os.defpath, "TZ": "UTC"}
        return read_hints(self._programs.run_at_once((dumper, self._spool, "retry"), environment))

    def _appoint_nothing(self) -> None:
        if self._next_run is not None:
            self._next_run.cancel()
            self._next_run = None

    def _appoint(self, instant: datetime) -> None:
        async def run() -> None:
            self._next_run, self._last_run = None, instant
            if ids := waiting(self._spool):
                self._hints_then = frozenset(self.retry_hints() or ())
                output = await self.command(("-q",), b"", DAEMON)
                if output.status:
                    self._host.world.note(
                        self._host.name, EventKind.PROBLEM, text=f"exim -q: {output.text.strip()}"
                    )
                self._tried = set(ids)
                self._runs += 1

        self._next_run_at = instant
        self._next_run = self._host.world.at(instant, run, f"{self._host.name} runs its queue")

    # --- the command line ---------------------------------------------------------------------

    async def _env(self, login: str) -> dict[str, str]:
        host = self._host
        home = host.accounts[login].home if login in host.accounts else "/var/spool/exim"
        environment = await self._programs.environment(self._labnet, host.address, host.name, login)
        return {**environment, "HOME": str(host.folder / home.lstrip("/")), "LOGNAME": login, "USER": login}

    async def _exim(self, *arguments: str | Path, stdin: bytes = b"", login: str = DAEMON) -> Output:
        ended = await self._programs.run((self._binary, *arguments), await self._env(login), stdin)
        return Output(ended.status, (ended.stdout + ended.stderr).decode("utf-8", "replace"))

    async def command(self, arguments: Sequence[str], stdin: bytes, login: str) -> Output:
        if daemon := next((word for word in arguments if STARTS_A_DAEMON.fullmatch(word)), None):
            raise NotThisEngine(
                f"exim {daemon} would start a second daemon beside the lab's, in real time: "
                "use host.start(), host.stop() and host.reload(); the lab runs the queue at the daemon's times"
            )
        return await self._exim("-C", self.configuration, *arguments, stdin=stdin, login=login)

    async def submit(self, envelope: Envelope, content: bytes, login: str) -> str:
        before = self._log_size()
        recipients = [str(recipient) for recipient in envelope.forward_paths]
        arguments = ("-i", "-f", f"<{envelope.sender}>", "--", *recipients)
        output = await self.command(arguments, content.replace(b"\r\n", b"\n"), login)
        if found := re.search(r" (\S+) <= ", self._log_from(before)):
            return found[1]
        raise CommandFailed(f"exim {' '.join(arguments)}: {output.text.strip() or f'status {output.status}'}")

    # --- the queue ----------------------------------------------------------------------------

    @property
    def _spool(self) -> Path:
        return self._host.folder / "var/spool/exim"

    @property
    def queue(self) -> tuple[QueueItem, ...]:
        items = []
        for queue_id in waiting(self._spool):
            try:
                items.append(read_item(self._spool, queue_id))
            except FileNotFoundError:  # delivered while we looked
                continue
            except SpoolFormatError as problem:
                self._host.world.note(
                    self._host.name, EventKind.PROBLEM, queue_id=queue_id, text=str(problem)
                )
        return tuple(items)

    def queue_listing(self) -> str:
        return self._programs.run_at_once((self._binary, "-C", self.configuration, "-bp"), self._environment)

    def queue_summary(self) -> str:
        return queue_summary(self.queue_listing())

    async def run_queue(self, run: QueueRun) -> None:
        await self.command(run.command.split(" ", 1), b"", DAEMON)

    async def force(self, queue_id: str) -> None:
        if queue_id not in waiting(self._spool):
            raise NoSuchMessage(
                f"no message {queue_id} in the queue of {self._host.name}; see queue_listing()"
            )
        await self.command(("-M", queue_id), b"", DAEMON)

    def spool_files(self, queue_id: str) -> tuple[Path, Path] | None:
        return spool_pair(self._spool, queue_id)

    # --- looking ------------------------------------------------------------------------------

    async def route(self, address: str) -> Routed:
        return routes_in((await self.command(("-bt", address), b"", DAEMON)).text, address)

    def log(self) -> str:
        return self._log_from(0).rstrip("\n")

    def reject_log(self) -> str:
        path = self._log.with_name(self._log.name.replace("main", "reject"))
        return path.read_bytes().decode("utf-8", "replace").rstrip("\n") if path.is_file() else ""

    def _log_size(self) -> int:
        return self._log.stat().st_size if self._log.is_file() else 0

    def _log_from(self, place: int) -> str:
        if not self._log.is_file():
            return ""
        with self._log.open("rb") as file:
            file.seek(place)
            return file.read().decode("utf-8", "replace")

    def new_facts(self) -> list[Fact]:
        """What the log says since the last time; a line that is half written waits, a new log is read from 0."""
        try:
            with self._log.open("rb") as file:
                state = os.fstat(file.fileno())
                if (
                    state.st_ino != self._log_number or state.st_size < self._heard
                ):  # somebody cut or moved it away
                    self._log_number, self._heard = state.st_ino, 0
                if state.st_size == self._heard:
                    return []
                file.seek(self._heard)
                fresh = file.read()
        except OSError:
            return []
        complete = fresh[: fresh.rfind(b"\n") + 1]
        self._heard += len(complete)
        text = complete.decode("utf-8", "replace").replace(
            f"{self._host.folder}/", "/"
        )  # as the host names files
        facts = (fact_in(line) for line in text.split("\n"))
        found = [fact for fact in facts if fact is not None]
        for fact in found:
            if fact.kind is EventKind.DEFERRED:
                self._note_put_off(fact.details)
        return found

    def _note_put_off(self, details: Mapping[str, Any]) -> None:
        queue_id, recipient = details["queue_id"], details["recipient"]
        host, words = details.get("remote_host") or "", details.get("text") or ""
        at = self._host.world.now()
        self._put_off[queue_id, recipient] = PutOff(queue_id, recipient, host, details["errno"], words, at)


def interface_address(item: str) -> str:
    """The address in an item of local_interfaces: 203.0.113.11, 203.0.113.11.25 or [203.0.113.11]:25."""
    if item.startswith("["):
        return item[1:].partition("]")[0]
    return ".".join(item.split(".")[:4]) if item.count(".") == 4 else item
