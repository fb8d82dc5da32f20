"""A thousand messages through two hosts, on real sockets and a real disk; another process counts what arrived."""

from __future__ import annotations

import asyncio
import mailbox
import subprocess
import sys
import time
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import pytest

from labkit import partners
from labkit.mail.event import EventKind

pytestmark = pytest.mark.alone  # time is measured
Run = Callable[[Coroutine[Any, Any, Any]], Any]
MESSAGES, SESSIONS = 1000, 10
FLOOR = 30  # messages a second, also on a slow disk; where nobody else needs it, it is several times that
ANN, BOB = "ann@st11.sne21.test", "bob@st2.sne21.test"

SENDER = """
import socket, sys, threading
host, port, source, count, sessions = sys.argv[1], int(sys.argv[2]), sys.argv[3], int(sys.argv[4]), int(sys.argv[5])
BODY = b"".join(b"line %02d of a message of a thousand octets\\r\\n" % n for n in range(22))

def reply(stream):
    while (line := stream.readline())[3:4] == b"-":
        pass
    return line

def session(first):
    with socket.create_connection((host, port), 60, (source, 0)) as connection, connection.makefile("rb") as stream:
        assert reply(stream).startswith(b"220"), "banner"
        connection.sendall(b"EHLO load.test\\r\\n")
        assert reply(stream).startswith(b"250")
        for number in range(first, count, sessions):
            connection.sendall(b"MAIL FROM:<%b>\\r\\nRCPT TO:<%b>\\r\\nDATA\\r\\n" % (b"{ann}", b"{bob}"))
            answers = [reply(stream) for _ in range(3)]
            assert answers[2].startswith(b"354"), answers
            connection.sendall(b"Subject: message %d\\r\\n\\r\\n%b.\\r\\n" % (number, BODY))
            assert (answer := reply(stream)).startswith(b"250 OK id="), answer
        connection.sendall(b"QUIT\\r\\n")
        reply(stream)

threads = [threading.Thread(target=session, args=(n,)) for n in range(sessions)]
for thread in threads: thread.start()
for thread in threads: thread.join()
""".replace("{ann}", ANN).replace("{bob}", BOB)  # fmt: skip

COUNTER = """
import mailbox, sys
subjects = [letter["Subject"] for letter in mailbox.mbox(sys.argv[1], create=False)]
print(len(subjects), len(set(subjects)))
"""


async def python(program: str, *arguments: object) -> str:
    command = [sys.executable, "-c", program, *map(str, arguments)]
    done = await asyncio.to_thread(subprocess.run, command, capture_output=True, text=True, timeout=90)
    assert done.returncode == 0, done.stderr
    assert not done.stderr
    return done.stdout


def test_a_thousand_messages_through_two_hosts(run: Run, tmp_path: Path) -> None:
    async def story() -> None:
        async with partners(network="loopback", folder=tmp_path) as world:
            at_once = (
                "smtp_accept_queue_per_connection = 0\n"  # else the eleventh message waits for a queue run
            )
            for host in (world.mine, world.partner):
                host.write_configuration(at_once + host.configuration)
                await host.reload()
            place = world.real(world.mine.address, 25)
            source = world.real(world.laptop.address, 0)[0]
            file = world.partner.mailbox_file("bob")
            began = time.perf_counter()
            await python(SENDER, *place, source, MESSAGES, SESSIONS)
            accepted = time.perf_counter() - began
            await world.settle()
            took = time.perf_counter() - began
            assert await python(COUNTER, file) == f"{MESSAGES} {MESSAGES}\n"
            assert world.mine.queue == world.partner.queue == ()
            assert len(world.journal.where(EventKind.COMPLETED)) == 2 * MESSAGES
            assert list((tmp_path / world.mine.name / "var/spool/exim/input").iterdir()) == []
            print(
                f"\n{MESSAGES / took:.0f} messages a second through two hosts, "
                f"the last was accepted after {accepted:.1f} s, the last was stored after {took:.1f} s"
            )
            assert MESSAGES / took > FLOOR

    run(story())
    letters = mailbox.mbox(tmp_path / "mx2.st2.sne21.test/var/mail/bob")
    assert all(len(letter.get_all("Received", [])) == 2 for letter in letters)
    letters.close()
