"""A small mail internet for a black-box exam: hosts that are folders, a nameserver, clients; no notebook, no kernel.

WHAT       `World` with hosts, each driven by Exim's command line alone: by the real Exim or by labkit-exim.
WHY        whatever drives an Exim must be able to drive labkit, so nothing here knows which of them it drives.
HOW        LABNET names the file of facts, LABADDR the address; the real Exim sees the lab through the shim.
READ NEXT  test_one_host.py, test_partners.py, test_submission.py
"""

from __future__ import annotations

import fcntl
import os
import signal
import smtplib
import socket
import ssl
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import dns.flags
import dns.message
import dns.rcode
import dns.rrset

from labkit.net.network import Peer
from labkit.net.port_base import PortBase, claim_base
from labkit.net.translation import real_address

BODY = Path(__file__).with_name("host.conf")
PATIENCE = 20.0  # seconds of real time for anything to happen
CLIENT = "203.0.113.77"
NAMESERVER = "203.0.113.53"
RELAYED = "203.0.113.99"  # whose mail every host relays


@dataclass(frozen=True)
class Candidate:
    """Who sits the exam: the program, what it needs in its environment, and as whom it runs."""

    name: str
    command: tuple[str, ...]
    environment: Mapping[str, str] = field(default_factory=dict)
    identity: Mapping[str, Any] = field(default_factory=dict)
    user: str = ""
    group: str = ""
    base_fact: str = "ports"  # how LABNET says where the ports are

    @property
    def exim_path(self) -> str:
        return self.command[0] if len(self.command) == 1 else "/usr/sbin/exim"


class Zones:
    """What the nameserver knows: {"st1.test": {"MX": ["10 mx.st1.test."]}}."""

    def __init__(self, records: Mapping[str, Mapping[str, Iterable[str]]]) -> None:
        self.records = {
            name: {kind: list(data) for kind, data in kinds.items()} for name, kinds in records.items()
        }

    def answer(self, query: bytes, sender: Peer) -> bytes | None:
        asked = dns.message.from_wire(query)
        reply = dns.message.make_response(asked)
        reply.flags |= dns.flags.AA | dns.flags.RA
        question = asked.question[0]
        name = question.name.to_text().rstrip(".").lower()
        known = self.records.get(name)
        if known is None:
            inside = any(each.endswith(f".{name}") for each in self.records)
            reply.set_rcode(dns.rcode.NOERROR if inside else dns.rcode.NXDOMAIN)
        else:
            kind = dns.rdatatype.to_text(question.rdtype)
            if data := known.get(kind):
                reply.answer.append(dns.rrset.from_text(question.name, 60, "IN", kind, *data))
        return reply.to_wire()


class Host:
    """One host: a folder with a configuration, a spool, mailboxes."""

    def __init__(self, world: World, name: str, domain: str, address: str, macros: Mapping[str, str]) -> None:
        self.world, self.name, self.domain, self.address = world, name, domain, address
        self.folder = world.folder / name
        self.configuration = self.folder / "exim.conf"
        for part in ("spool", "log", "mail", "Maildir", "virtual"):
            world.give(self.folder / part)
        self.macros = dict(macros)
        self.write("aliases", "postmaster: root\nroot: ann\n")
        self.write("users", "ann: ann\nbob: bob\n")
        self.configure()

    def configure(self, **macros: str) -> None:
        """Write the configuration; with these macros, too, from now on."""
        self.macros.update(macros)
        candidate = self.world.candidate
        usual = {
            "MYHOST": self.name,
            "MYDOMAIN": self.domain,
            "MYIP": self.address,
            "LABDIR": str(self.folder),
            "LABUSER": candidate.user,
            "LABGROUP": candidate.group,
            "PORTS": "25",
            "RELAY_FROM": RELAYED,
            "MAXSIZE": "1M",
            "LOCAL_TRANSPORT": "mbox",
        }
        block = "".join(f"{name} = {value}\n" for name, value in {**usual, **self.macros}.items())
        body = BODY.read_text().replace("EXIMBIN", candidate.exim_path)
        self.write("exim.conf", block + body)

    def write(self, name: str, text: str) -> Path:
        path = self.folder / name
        path.write_text(text)
        path.chmod(0o644)
        return path

    # --- the command line ---

    def exim(
        self, *words: str, stdin: str = "", check: bool = False, timeout: float = PATIENCE
    ) -> subprocess.CompletedProcess[str]:
        candidate = self.world.candidate
        done = subprocess.run(
            [*candidate.command, "-C", str(self.configuration), *words],
            input=stdin,
            capture_output=True,
            encoding="latin-1",
            check=False,
            cwd="/",
            env=self.environment,
            timeout=timeout,
            **candidate.identity,
        )
        if check:
            assert done.returncode == 0, (words, done.returncode, done.stdout, done.stderr)
        return done

    @property
    def environment(self) -> dict[str, str]:
        return {
            "PATH": "/usr/bin:/bin:/usr/sbin",
            "TZ": "UTC",
            "LABNET": str(self.world.facts),
            "LABADDR": self.address,
            **self.world.candidate.environment,
        }

    def start(self, *options: str) -> None:
        """Start the daemon and wait until it listens, and has said who it is: who stops it needs its number."""
        done = self.exim("-bd", *options)
        assert done.returncode == 0, done.stderr
        port = int(self.macros.get("PORTS", "25").split(":")[0])
        until(lambda: self.world.listens(self.address, port), f"{self.name} listens")
        until(lambda: self.pid is not None, f"{self.name} has written its exim.pid")

    @property
    def pid(self) -> int | None:
        file = self.folder / "exim.pid"
        text = file.read_text().strip() if file.exists() else ""
        return int(text) if text else None

    def stop(self) -> None:
        pid = self.pid
        if pid is None or not _lives(pid):
            return
        os.kill(pid, signal.SIGTERM)
        until(lambda: not _lives(pid), f"the daemon of {self.name} ends")
        with suppress(FileNotFoundError):
            (self.folder / "exim.pid").unlink()

    def hang_up(self) -> None:
        """SIGHUP: read the configuration again."""
        before = self.log().count("daemon started")
        assert self.pid is not None
        os.kill(self.pid, signal.SIGHUP)
        until(lambda: self.log().count("daemon started") > before, "the daemon has started again")
        until(lambda: self.world.listens(self.address, 25), f"{self.name} listens again")

    # --- what can be seen ---

    def log(self, which: str = "main") -> str:
        file = self.folder / "log" / f"{which}log"
        return file.read_text(encoding="latin-1") if file.exists() else ""

    def mail(self, name: str) -> str:
        file = self.folder / "mail" / name
        return file.read_text(encoding="latin-1") if file.exists() else ""

    def count(self) -> int:
        return int(self.exim("-bpc").stdout)

    def ids(self) -> list[str]:
        return [line.split()[2] for line in self.exim("-bp").stdout.splitlines() if "<" in line]

    def is_at_work(self) -> bool:
        """Whether a process still has the lock of a message that waits: a command for it would find no work."""
        for path in (self.folder / "spool" / "input").rglob("*-D"):
            try:
                with open(path, "rb+") as file:
                    fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except FileNotFoundError:
                continue  # it has just gone
            except BlockingIOError:
                return True
        return False


class World:
    """The lab: its nameserver runs in a thread of the exam."""

    def __init__(self, folder: Path, candidate: Candidate, zones: Zones, place: tuple[str, int]) -> None:
        self.folder, self.candidate, self.zones, self.place = folder, candidate, zones, place
        self.hosts: list[Host] = []
        named = [
            each for kinds in zones.records.values() for each in kinds.get("A", []) if each[:4] != "127."
        ]
        self.addresses = list(dict.fromkeys([CLIENT, NAMESERVER, RELAYED, *named]))
        self.facts = folder / "labnet"
        self._tell()

    def _tell(self) -> None:
        lines = [f"dns {self.place[0]}:{self.place[1]}", f"{self.candidate.base_fact} {base()}"]
        lines += [f"host {address}" for address in self.addresses]
        lines += [f"caller {self.candidate.identity['user']}"] if "user" in self.candidate.identity else []
        lines += [f"caller {os.geteuid()}"]
        self.facts.write_text("".join(f"{line}\n" for line in lines))
        self.facts.chmod(0o644)

    def give(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        identity = self.candidate.identity
        if "user" in identity:
            for each in (folder, folder.parent):
                os.chown(each, identity["user"], identity["group"])

    def host(self, name: str, domain: str, address: str, **macros: str) -> Host:
        assert address in self.addresses, (
            "a host's address is in the zone, so that all others know it from the start"
        )
        host = Host(self, name, domain, address, macros)
        self.hosts.append(host)
        return host

    def close(self) -> None:
        """End all daemons."""
        for host in self.hosts:
            host.stop()

    # --- clients ---

    def listens(self, address: str, port: int) -> bool:
        try:
            with socket.create_connection(
                real(address, port), timeout=1, source_address=(real_address(CLIENT), 0)
            ):
                return True
        except OSError:
            return False

    def smtp(
        self, host: Host, port: int = 25, source: str = CLIENT, tls: ssl.SSLContext | None = None
    ) -> smtplib.SMTP:
        """A client that has connected and said EHLO."""
        place = real(host.address, port)
        options: dict[str, Any] = {
            "local_hostname": "client.test", "timeout": PATIENCE, "source_address": (real_address(source), 0)
        }  # fmt: skip
        client = smtplib.SMTP_SSL(*place, context=tls, **options) if tls else smtplib.SMTP(*place, **options)
        client.ehlo()
        return client

    def dialogue(self, host: Host, *lines: str | bytes, port: int = 25, source: str = CLIENT) -> list[str]:
        """Say these lines one by one; the answers, the banner first."""
        said = []
        with socket.create_connection(
            real(host.address, port), PATIENCE, (real_address(source), 0)
        ) as connection:
            stream = connection.makefile("rwb")
            said.append(_answer(stream))
            for line in lines:
                octets = line if isinstance(line, bytes) else line.encode("latin-1") + b"\r\n"
                stream.write(octets)
                stream.flush()
                said.append(_answer(stream))
        return said


@cache
def _claim() -> PortBase:
    return claim_base(21000)  # far from the worlds of other tests


def base() -> int:
    """What is added to the ports of this exam, claimed as long as this process lives."""
    return _claim().number


def real(address: str, port: int) -> tuple[str, int]:
    """Where a lab address and port really are."""
    return real_address(address), port + base() if port < 1024 else port


def until(what: Callable[[], Any], words: str, patience: float = PATIENCE) -> Any:
    """Wait until it is true. Fails with the words."""
    deadline = time.monotonic() + patience
    while not (found := what()):
        assert time.monotonic() < deadline, f"waited in vain: {words}"
        time.sleep(0.05)
    return found


def _answer(stream: Any) -> str:
    lines = []
    while line := stream.readline():
        lines.append(line.decode("latin-1").rstrip("\r\n"))
        if line[3:4] != b"-":
            break
    return "\n".join(lines)


def _lives(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    try:  # a zombie has ended
        return "\nState:\tZ" not in Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return False


LABKIT = (sys.executable, "-m", "labkit.cli.exim")
