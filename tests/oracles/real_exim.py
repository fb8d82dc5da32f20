"""The real Exim as the oracles run it: a copy in a temporary folder, as an ordinary user, maybe inside a lab.

WHAT       `RealExim` is the folder and who lives in it; `run` starts one process of Exim. `open_real_exim` makes the
           folder and removes it; the fixture real_exim (conftest.py) does so for each file of tests.
WHO        never root: a test process of root runs Exim as the user oracle or lab, or skips.
HOW        the copy has no setuid bit, the environment is a fixed one, the spool belongs to that user. A configuration
           says {folder}, {user} or {uid}, and {group}; elsewhere /folder means that folder.
LAB        `in_lab` gives the variables that put a process under the lab's shim at OWN: its resolver asks a nameserver
           that each file of tests brings along, because their zones contradict each other (liar.test, alias.test).
READ NEXT  conftest.py, labkit/net/programs/labnet.py
"""

from __future__ import annotations

import os
import pwd
import shutil
import socket
import subprocess
import tempfile
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from labkit.net.network import Peer
from labkit.net.programs.labnet import LabNet, lab_environment

OWN = "203.0.113.1"  # where Exim lives in the lab
NAMESERVER = "203.0.113.53"
ENVIRONMENT = {"PATH": "/usr/bin:/bin", "TZ": "UTC"}
PATIENCE = 60  # seconds of real time for a process; the longest takes about two
IN_LAB = """\
exim_path = {folder}/exim
exim_user = {uid}
exim_group = {group}
deliver_drop_privilege = true
spool_directory = {folder}/spool
log_file_path = {folder}/spool/%slog
primary_hostname = mx.here.test
local_interfaces = <; [203.0.113.1]
keep_environment = LD_PRELOAD : LABNET : LABADDR
tls_advertise_hosts =
host_lookup =
rfc1413_query_timeout = 0s
dns_dnssec_ok = 0
smtp_accept_max_nonmail = 100000
smtp_enforce_sync = false
"""  # how a configuration begins for one call of -bh inside a lab

Answering = Callable[[bytes, Peer], "bytes | None"]  # a DNS message and who sent it -> the reply, or none


class RealExim:
    """A copy of Exim without setuid, in its folder, and the user who runs it."""

    def __init__(self, folder: Path, account: pwd.struct_passwd, identity: Mapping[str, Any]) -> None:
        self.folder = folder
        self.account = account
        self.identity = identity  # what subprocess needs to become that user
        self.names = {  # in the lab, where only its own accounts are known, a user is a number
            "folder": str(folder), "user": account.pw_name, "uid": str(account.pw_uid), "group": str(account.pw_gid)
        }  # fmt: skip

    def run(
        self,
        *words: str | Path,
        stdin: str = "",
        environment: Mapping[str, str] | None = None,
        cwd: str | Path = "/",
        timeout: float = PATIENCE,
    ) -> subprocess.CompletedProcess[str]:
        """One process of Exim; `environment` is added to the usual one."""
        return subprocess.run(
            [self.folder / "exim", *words],
            input=stdin,
            capture_output=True,
            encoding="latin-1",
            check=False,
            cwd=cwd,
            env={**ENVIRONMENT, **(environment or {})},
            timeout=timeout,
            **self.identity,
        )

    def here(self, text: str) -> str:
        """The text, with this folder for /folder."""
        return text.replace("/folder", str(self.folder))

    def plain(self, text: str) -> str:
        """The other way round."""
        return text.replace(str(self.folder), "/folder")

    def configured(self, text: str) -> str:
        """The text, with what {folder}, {user}, {uid} and {group} stand for; all other braces are Exim's own."""
        for name, value in self.names.items():
            text = text.replace(f"{{{name}}}", value)
        return text

    def write(self, name: str, text: str) -> Path:
        """A file for Exim to read, with this folder for /folder."""
        path = self.folder / name
        path.write_text(self.here(text))
        path.chmod(0o644)
        return path

    def make_folder(self, name: str) -> Path:
        """A folder in which Exim may write."""
        path = self.folder / name
        path.mkdir(parents=True)
        self.give(path)
        return path

    def give(self, *paths: Path) -> None:
        """Make them the user's."""
        for path in paths:
            os.chown(path, self.account.pw_uid, self.account.pw_gid, follow_symlinks=False)

    @contextmanager
    def in_lab(
        self, shim: Path, answering: Answering, accounts: Mapping[str, Path] | None = None
    ) -> Iterator[dict[str, str]]:
        """The variables of a process that lives in the lab, as long as its nameserver answers."""
        _copy(shim, self.folder / "shim.so")  # where that user may read it
        resolver = self.write("resolv.conf", f"nameserver {NAMESERVER}\n")
        facts = self.folder / "labnet"
        with _nameserver(answering) as place:
            LabNet(
                base=20000, addresses=[OWN, NAMESERVER], dns=place, accounts=accounts or {},
                files={"/etc/resolv.conf": resolver}, clock=None, ticks=None, wire=None, patience=5,
                callers=[self.account.pw_uid],
            ).write(facts)  # fmt: skip
            yield lab_environment(
                labnet=facts, shim=self.folder / "shim.so", address=OWN, name="mx.here.test"
            )


@contextmanager
def open_real_exim(installed: str) -> Iterator[RealExim]:
    """A folder that the ordinary user may enter, with a copy of the installed Exim and an empty spool."""
    account, identity = ordinary_user()
    folder = Path(tempfile.mkdtemp(prefix="labkit-exim-"))
    try:
        folder.chmod(0o755)
        _copy(Path(installed), folder / "exim")
        found = RealExim(folder, account, identity)
        found.make_folder("spool")
        yield found
    finally:
        shutil.rmtree(folder)


def ordinary_user() -> tuple[pwd.struct_passwd, dict[str, Any]]:
    """Who runs Exim, and what subprocess needs to become that user."""
    if os.geteuid() != 0:
        return pwd.getpwuid(os.geteuid()), {}
    known = {entry.pw_name: entry for entry in pwd.getpwall()}
    chosen = next((known[name] for name in ("oracle", "lab") if name in known), None)
    if chosen is None:
        pytest.skip("Exim is never run by root here, and there is no user oracle or lab to run it as")
    return chosen, {"user": chosen.pw_uid, "group": chosen.pw_gid, "extra_groups": []}


def _copy(source: Path, target: Path) -> None:
    shutil.copyfile(source, target)  # without its setuid bit
    target.chmod(0o755)


@contextmanager
def _nameserver(answering: Answering) -> Iterator[tuple[str, int]]:
    """Where `answering` is asked over UDP, in a thread. An empty datagram ends it."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as server:
        server.bind(("127.0.0.1", 0))
        place: tuple[str, int] = server.getsockname()

        def serve() -> None:
            while True:
                query, sender = server.recvfrom(4096)
                if not query:
                    return
                reply = answering(query, Peer(*sender))
                if reply is not None:
                    server.sendto(reply, sender)

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        try:
            yield place
        finally:
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as ending:
                ending.sendto(b"", place)
            thread.join()
