"""A lab of labkit-exims for tests: each its own process, with LABNET, LABADDR and a nameserver, and no world.

WHAT       `EximLab` has the names and the port base; `EximHost` runs commands as one host of it.
READ NEXT  test_exim_daemon.py
"""

from __future__ import annotations

import os
import signal
import smtplib
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from labkit.net.dns_server import DnsServer
from labkit.net.dns_zones import Zones, read_zone
from labkit.net.network import Peer
from labkit.net.port_base import claim_base
from labkit.net.programs.labnet import LabNet
from labkit.net.translation import real_address

ONE, TWO, LAPTOP = "203.0.113.11", "203.0.113.12", "203.0.113.77"
ZONE = """\
$TTL 1h
@ SOA ns h 1 1h 15m 1w 5m
@ NS ns
ns A 203.0.113.53
one MX 10 mx.one
one MX 20 mx.two
two MX 10 mx.two
mx.one A 203.0.113.11
mx.two A 203.0.113.12
"""
CONFIGURATION = """\
primary_hostname = mx.{name}.test
qualify_domain = {name}.test
spool_directory = {folder}/spool
log_file_path = {folder}/log/%slog
pid_file_path = {folder}/exim.pid
local_interfaces = <; {address}
daemon_smtp_ports = 25 : 587
domainlist local_domains = {name}.test
domainlist relay_to_domains = {relays}
host_lookup =
tls_advertise_hosts =
acl_smtp_rcpt = rcpt
begin acl
rcpt:
  accept hosts = :
  require message = relay not permitted
          domains = +local_domains : +relay_to_domains
  accept
begin routers
far:
  driver = dnslookup
  domains = ! +local_domains
  transport = remote
  no_more
people:
  driver = accept
  local_parts = ann : bob
  transport = boxes
  cannot_route_message = Unknown user
begin transports
remote:
  driver = smtp
boxes:
  driver = appendfile
  file = {folder}/mail/$local_part_data
begin retry
* * F,2h,15m
"""
PATIENCE = 30.0  # seconds


class EximHost:
    """One host: a folder, an address, and labkit-exim."""

    def __init__(
        self, folder: Path, name: str, address: str, labnet: Path, base: int, relays: str = ""
    ) -> None:
        self.folder, self.name, self.address, self.base = folder, name, address, base
        folder.mkdir()
        (folder / "mail").mkdir()
        self.file = folder / "exim.conf"
        self.file.write_text(
            CONFIGURATION.format(folder=folder, name=name, address=address, relays=relays), "utf-8"
        )
        known = ("LABNAME", "LABUSER", "LD_PRELOAD")
        self.environment = {name: value for name, value in os.environ.items() if name not in known}
        self.environment |= {"LABNET": str(labnet), "LABADDR": address, "LABUSER": "ann"}

    def run(self, *words: str, text: str = "", file: Path | None = None) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "labkit.cli.exim", "-C", str(file or self.file), *words]
        return subprocess.run(
            command,
            input=text,
            capture_output=True,
            encoding="utf-8",
            check=False,
            env=self.environment,
            cwd=Path(__file__).parents[2],
            timeout=60,
        )

    @contextmanager
    def daemon(self, *words: str) -> Iterator[int]:
        """The daemon's pid, as long as it is wanted."""
        done = self.run("-bd", *words)
        assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
        pid = self.pid
        try:
            yield pid
        finally:
            end(pid)

    @property
    def pid(self) -> int:
        return int((self.folder / "exim.pid").read_text())

    @property
    def log(self) -> str:
        return (self.folder / "log/mainlog").read_text()

    def mail(self, login: str) -> str:
        try:
            return (self.folder / "mail" / login).read_text()
        except FileNotFoundError:
            return ""

    def place(self, port: int = 25) -> tuple[str, int]:
        return real_address(self.address), port + self.base

    def send(self, recipient: str, sender: str = "eve@elsewhere.test", subject: str = "hi") -> None:
        """As a client at the laptop's address, over SMTP."""
        with smtplib.SMTP(*self.place(), source_address=(real_address(LAPTOP), 0), timeout=20) as client:
            client.sendmail(sender, [recipient], f"Subject: {subject}\r\n\r\nbody\r\n")

    def queue_id(self) -> str:
        """Of the only message that waits."""
        (found,) = [path.name[:-2] for path in (self.folder / "spool/input").glob("*-H")]
        return found


def end(pid: int, number: int = signal.SIGTERM) -> None:
    """End a process that is no child of ours, and wait until it is gone."""
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        return
    eventually(lambda: not is_alive(pid))


def is_alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def eventually(holds: object) -> None:
    """Wait until it holds."""
    until = time.monotonic() + PATIENCE
    while not holds():  # type: ignore[operator]
        assert time.monotonic() < until, "it never came true"
        time.sleep(0.02)


@contextmanager
def exim_lab(folder: Path) -> Iterator[tuple[EximHost, EximHost]]:
    """Two hosts; the second is the backup of the first."""
    base = claim_base()
    nameserver = DnsServer(Zones(read_zone(ZONE, "test", "test.zone")))
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as server:
        server.bind(("127.0.0.1", 0))
        place: tuple[str, int] = server.getsockname()

        def serve() -> None:
            while True:
                query, sender = server.recvfrom(4096)
                if not query:
                    return
                if (reply := nameserver.answer_datagram(query, Peer(*sender))) is not None:
                    server.sendto(reply, sender)

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        labnet = folder / "labnet"
        LabNet(
            base=base.number, addresses=[ONE, TWO, LAPTOP, "203.0.113.53"], dns=place, accounts={}, files={},
            clock=None, ticks=None, wire=None, patience=5, callers=[],
        ).write(labnet)  # fmt: skip
        try:
            yield (
                EximHost(folder / "one", "one", ONE, labnet, base.number),
                EximHost(folder / "two", "two", TWO, labnet, base.number, relays="one.test"),
            )
        finally:
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as ending:
                ending.sendto(b"", place)
            thread.join()
            base.close()
