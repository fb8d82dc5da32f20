"""The real Exim as judge of callouts: both call the same server, and say the same of it.

HOW        `exim -bhc` verifies the sender of a typed session; what it logs is what net/callout.py gives as words. The
           server of a test says what the test wants. As an ordinary user (never as root).
"""

from __future__ import annotations

import asyncio
import re
import socketserver
import threading
from collections.abc import Iterator
from contextlib import suppress
from datetime import datetime, timedelta, timezone
from typing import Any

import pytest

from labkit.mail.address import Mailbox
from labkit.mail.questions import CallOut, Callout, CalloutAnswer, Standing
from labkit.net.callout import Caller, call_out
from labkit.net.this_machine import ThisMachine

from .real_exim import RealExim

ADDRESS = "127.0.0.9"
CONFIGURATION = """\
exim_user = {user}
exim_group = {group}
spool_directory = {folder}/spool
log_file_path = {folder}/spool/%slog
primary_hostname = mx.here.test
local_interfaces = <; [203.0.113.1]
keep_environment =
host_lookup =
acl_smtp_mail = mail
begin acl
mail:
  accept verify = sender/callout=5s,no_cache{options}
begin routers
all:
  driver = manualroute
  route_list = * 127.0.0.9::{port}
  transport = remote
begin transports
remote:
  driver = smtp
  hosts_try_fastopen =
"""
STANDING = {"fail": Standing.BAD, "defer": Standing.UNDECIDED}


class Server:
    """A server that answers by a table: the beginning of a command, the answer (None: it hangs up)."""

    def __init__(self) -> None:
        self.banner, self.rows = "220 hi", dict[str, "str | None"]()
        self.heard: list[str] = []
        outer = self

        class Handler(socketserver.StreamRequestHandler):
            def handle(self) -> None:
                self.wfile.write(outer.banner.encode() + b"\r\n")
                for line in self.rfile:
                    command = line.decode("latin-1").strip()
                    outer.heard.append(command)
                    said = next((s for begin, s in outer.rows.items() if command.startswith(begin)), "250 OK")
                    if said is None:
                        return
                    self.wfile.write(said.encode("latin-1") + b"\r\n")
                    if command == "QUIT":
                        return

            def finish(self) -> None:
                with suppress(OSError):  # the client has hung up
                    super().finish()

        self._server = socketserver.ThreadingTCPServer((ADDRESS, 0), Handler)
        self._server.daemon_threads = True
        self.port: int = self._server.server_address[1]
        threading.Thread(
            target=self._server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True
        ).start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    server = Server()
    yield server
    server.close()


def theirs(real_exim: RealExim, port: int, options: str) -> tuple[Standing, str]:
    """What Exim logs of the sender."""
    told = real_exim.configured(CONFIGURATION).replace("{port}", str(port)).replace("{options}", options)
    file = real_exim.write("exim.conf", told)
    dialogue = "EHLO client.test\nMAIL FROM:<ann@b.test>\nQUIT\n"
    done = real_exim.run("-C", file, "-bhc", "192.0.2.9", stdin=dialogue)
    found = re.search(r"sender verify (fail|defer) for <ann@b.test>: (.*)", done.stderr)
    if found is None:
        assert "250 OK" in done.stdout, done.stdout + done.stderr
        return Standing.GOOD, ""
    words = found[2].removeprefix("Could not complete sender verify callout: ")
    return STANDING[found[1]], words.replace("\\n", "\n")


def ours(port: int, how: Callout) -> CalloutAnswer:
    async def sleep(span: timedelta) -> None:
        return None

    async def story() -> CalloutAnswer:
        caller = Caller(ThisMachine(None), "192.0.2.1", lambda: datetime.now(timezone.utc), sleep)
        question = CallOut(((ADDRESS, ADDRESS, port),), "mx.here.test", Mailbox("ann", "b.test"), how)
        return await call_out(question, caller)

    return asyncio.run(story())


PLAIN: dict[str, Any] = {}
RANDOM = {"options": ",random", "is_random": True}
POSTMASTER = {"options": ",postmaster", "postmaster": ""}
FULL = {"options": ",fullpostmaster", "postmaster": "", "full_postmaster": True}


@pytest.mark.parametrize(
    "how, banner, rows, because",
    [
        (PLAIN, "220 hi", {}, "taken"),
        (PLAIN, "220 hi", {"RCPT": "550 no"}, "refused"),
        (PLAIN, "220 hi", {"RCPT": "550-a\r\n550 b"}, "in two lines"),
        (PLAIN, "220 hi", {"RCPT": "451 later"}, "put off"),
        (PLAIN, "220 hi", {"MAIL": "550 none"}, "the null sender is refused"),
        (PLAIN, "220 hi", {"EHLO": "502 what"}, "HELO will do"),
        (PLAIN, "220 hi", {"EHLO": "421 what"}, "also then"),
        (PLAIN, "220 hi", {"EHLO": "502 no", "HELO": "550 go"}, "neither"),
        (PLAIN, "554 go away", {}, "at once"),
        (PLAIN, "421 busy", {}, "not now"),
        (PLAIN, "nonsense", {}, "no SMTP"),
        (PLAIN, "220 hi", {"RCPT": None}, "hung up"),
        (RANDOM, "220 hi", {}, "everybody is taken"),
        (RANDOM, "220 hi", {"RCPT TO:<mx.here.test-": "550 nobody"}, "nobody is refused, ann is taken"),
        (RANDOM, "220 hi", {"RCPT": "550 no"}, "both are refused"),
        (POSTMASTER, "220 hi", {}, "a postmaster, too"),
        (POSTMASTER, "220 hi", {"RCPT TO:<postmaster": "550 no"}, "no postmaster"),
        (FULL, "220 hi", {"RCPT TO:<postmaster@": "550 no"}, "a postmaster without domain"),
    ],
)
def test_agrees(
    real_exim: RealExim,
    server: Server,
    how: dict[str, Any],
    banner: str,
    rows: dict[str, str | None],
    because: str,
) -> None:
    server.banner, server.rows = banner, rows
    server.heard.clear()
    judged = theirs(real_exim, server.port, how.get("options", ""))
    conversation = [re.sub(r"-[0-9]+-", "-TIME-", line) for line in server.heard]
    server.heard.clear()
    answer = ours(server.port, Callout(timeout=5, **{k: v for k, v in how.items() if k != "options"}))
    assert (answer.standing, answer.words) == judged, because
    heard = [re.sub(r"-[0-9]+-", "-TIME-", line) for line in server.heard]
    server.heard.clear()
    assert [line for line in heard if line != "QUIT"] == [line for line in conversation if line != "QUIT"], (
        because
    )
