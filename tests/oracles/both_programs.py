"""Both programs, each in a folder of its own, with one configuration; and a server that notes what it hears.

READ NEXT  test_differences_delivered.py, test_differences_commands.py
"""

from __future__ import annotations

import os
import pwd
import socket
import ssl
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

from .real_exim import ENVIRONMENT, PATIENCE, RealExim

ADDRESS = "127.0.0.10"
CONFIGURATION = """\
exim_user = {user}
exim_group = {group}
deliver_drop_privilege = true
spool_directory = {folder}/spool
log_file_path = {folder}/spool/log/%slog
exim_path = {program}
primary_hostname = mx.here.test
keep_environment =
timezone = UTC
host_lookup =
{main}
acl_smtp_rcpt = accept
begin acl
logged:
  accept
    logwrite = verified=$tls_in_certificate_verified peer=$tls_in_peerdn
begin routers
far:
  driver = manualroute
  domains = far.test
  route_list = * 127.0.0.10::{port}
  self = send
  transport = far
answering:
  driver = accept
  local_parts = away
  transport = answering
{router}
people:
  driver = accept
  local_parts = ann : bob
  transport = boxes
begin transports
far:
  driver = smtp
  allow_localhost
  hosts_try_fastopen =
  hosts_try_chunking =
  {smtp}
answering:
  driver = autoreply
  to = $sender_address
  subject = away
  once = {folder}/spool/once
{transport}
boxes:
  driver = appendfile
  file = {folder}/spool/$local_part_data
  lock_retries = 1
  lock_interval = 1s
begin retry
* * F,1h,15m
begin authenticators
plain:
  driver = plaintext
  public_name = PLAIN
  client_send = ^me^secret
"""


class One:
    """One of the two programs, with its folder."""

    def __init__(
        self,
        folder: Path,
        program: str,
        account: pwd.struct_passwd,
        identity: Mapping[str, Any],
        run: Callable[..., Any],
    ) -> None:
        self.folder, self.program, self._run = folder, program, run
        self.account, self.identity = account, identity

    def configure(
        self, *, main: str = "", router: str = "", transport: str = "", smtp: str = "", port: int = 25
    ) -> None:
        text = CONFIGURATION
        values = {
            "main": main,
            "router": router,
            "transport": transport,
            "smtp": smtp,
            "port": str(port),
            "folder": str(self.folder),
            "program": self.program,
            "user": self.account.pw_name,
            "group": str(self.account.pw_gid),
        }
        for name, value in values.items():
            text = text.replace(f"{{{name}}}", value)
        self.file.write_text(text)
        self.file.chmod(0o644)

    @property
    def file(self) -> Path:
        return self.folder / "exim.conf"

    def run(self, *words: str, text: str = "Subject: x\n\nx\n") -> subprocess.CompletedProcess[str]:
        found: subprocess.CompletedProcess[str] = self._run("-C", self.file, *words, stdin=text)
        return found

    def send(self, *recipients: str) -> str:
        """A message, delivered before this returns; then what the log says."""
        said = self.run("-odi", "-f", "ann@here.test", *recipients)
        assert said.returncode == 0, said
        return (self.folder / "spool/log/mainlog").read_text()


Both = Mapping[str, One]


def both_programs(real_exim: RealExim, tmp_path: Path) -> Both:
    """Each in its folder."""

    def ours(*words: str | Path, stdin: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "labkit.cli.exim", *words],
            input=stdin,
            capture_output=True,
            encoding="latin-1",
            check=False,
            env={**ENVIRONMENT, "PYTHONPATH": str(Path(__file__).parents[2])},
            timeout=PATIENCE,
        )

    theirs = real_exim.make_folder(tmp_path.name)
    real_exim.make_folder(f"{tmp_path.name}/spool")
    (tmp_path / "spool").mkdir()
    program = str(real_exim.folder / "exim")
    return {
        "exim": One(theirs, program, real_exim.account, real_exim.identity, real_exim.run),
        "labkit": One(tmp_path, program, pwd.getpwuid(os.getuid()), {}, ours),
    }


@contextmanager
def server(*offered: str, tls: ssl.SSLContext | None = None) -> Iterator[tuple[int, list[str]]]:
    """Its port, and the lines it hears; whoever speaks TLS is noted as such. It takes every message."""
    heard: list[str] = []

    def serve(client: socket.socket, stack: ExitStack) -> None:
        client.settimeout(PATIENCE)
        client.sendall(b"220 far.test\r\n")
        lines = client.makefile("rb")
        while line := lines.readline().decode().rstrip():
            heard.append(line)
            verb = line.split()[0].upper()
            if verb == "STARTTLS" and tls is not None:
                client.sendall(b"220 go\r\n")
                client = stack.enter_context(tls.wrap_socket(client, server_side=True))
                lines = client.makefile("rb")
                heard.append("(TLS)")
            elif verb == "EHLO":
                words = ["far.test", *offered, "HELP"]
                client.sendall("".join(f"250{'-' if w != 'HELP' else ' '}{w}\r\n" for w in words).encode())
            elif verb == "DATA":
                client.sendall(b"354 go\r\n")
                while lines.readline() not in (b".\r\n", b""):
                    pass
                client.sendall(b"250 OK\r\n")
            else:
                client.sendall({"AUTH": b"235 OK\r\n", "QUIT": b"221 bye\r\n"}.get(verb, b"250 OK\r\n"))

    def accept() -> None:
        while True:
            client, _ = listener.accept()
            if ending.is_set():
                client.close()
                return
            with suppress(OSError), ExitStack() as stack:
                serve(stack.enter_context(client), stack)

    ending = threading.Event()
    with socket.create_server((ADDRESS, 0)) as listener:
        port = listener.getsockname()[1]
        thread = threading.Thread(target=accept, daemon=True)
        thread.start()
        try:
            yield port, heard
        finally:
            ending.set()
            socket.create_connection((ADDRESS, port)).close()
            thread.join(PATIENCE)
