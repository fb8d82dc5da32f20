"""Two labkit-exims in one lab, each its own process: daemons, queues, signals, crashes."""

from __future__ import annotations

import os
import re
import shutil
import signal
import smtplib
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from .exim_lab import EximHost, end, eventually, exim_lab, is_alive

MESSAGE = "Subject: hello\n\nbody\n"


@pytest.fixture
def hosts(tmp_path: Path) -> Iterator[tuple[EximHost, EximHost]]:
    with exim_lab(tmp_path) as found:
        yield found


def test_a_backup_keeps_the_mail_until_it_is_forced(hosts: tuple[EximHost, EximHost]) -> None:
    one, two = hosts
    with two.daemon("-q1h"):
        two.send("ann@one.test", subject="for the backup")
        eventually(lambda: "Connection refused" in two.log)
        listing = two.run("-bp").stdout
        queue_id = two.queue_id()
        assert re.fullmatch(
            rf" 0m +[0-9]+ {queue_id} <eve@elsewhere\.test>\n          ann@one\.test\n\n", listing
        )
        assert two.run("-bpc").stdout == "1\n"
        assert "Subject: for the backup" in two.run("-Mvh", queue_id).stdout
        assert two.run("-Mvb", queue_id).stdout.endswith("\nbody\n")
        with one.daemon():
            two.run("-q")
            assert "retry time not reached" in two.log
            assert two.run("-qff").returncode == 0
            eventually(lambda: "for the backup" in one.mail("ann"))
            assert two.run("-bp").stdout == ""
            assert "for ann@one.test" in one.mail("ann")


def test_one_message_is_forced_by_its_id(hosts: tuple[EximHost, EximHost]) -> None:
    one, two = hosts
    two.run("-odi", "-f", "bob@two.test", "ann@one.test", text=MESSAGE)
    queue_id = two.queue_id()
    with one.daemon():
        done = two.run("-v", "-M", queue_id)
        assert "delivering " + queue_id in done.stderr and "Completed" in done.stderr
        assert "hello" in one.mail("ann")


def test_the_log_says_where_the_daemon_listens(hosts: tuple[EximHost, EximHost]) -> None:
    one, _ = hosts
    with one.daemon("-q15m") as pid:
        assert f"daemon started: pid={pid}, -q15m, listening for SMTP on [203.0.113.11]:{{25,587}}" in one.log
        eventually(lambda: "End queue run: pid=" in one.log)
        for port in (25, 587):
            with socket.create_connection(one.place(port), timeout=10) as client:
                assert client.recv(100).startswith(b"220 mx.one.test ESMTP ")
    assert not (one.folder / "exim.pid").exists()
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(one.place(), timeout=10)


def test_sighup_reads_the_configuration_again(hosts: tuple[EximHost, EximHost]) -> None:
    one, _ = hosts
    with one.daemon() as pid:
        with pytest.raises(smtplib.SMTPRecipientsRefused):
            one.send("x@new.test")
        text = one.file.read_text().replace("local_domains = one.test", "local_domains = one.test : new.test")
        one.file.write_text(text.replace("25 : 587", "25 : 465"))
        os.kill(pid, signal.SIGHUP)
        eventually(lambda: one.log.count("daemon started") == 2)
        assert f"pid {pid}: SIGHUP received: re-exec daemon" in one.log
        one.send("ann@new.test")
        eventually(lambda: "hi" in one.mail("ann"))
        socket.create_connection(one.place(465), timeout=10).close()
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(one.place(587), timeout=10)


def test_a_configuration_that_is_broken_at_sighup_ends_the_daemon(
    hosts: tuple[EximHost, EximHost],
) -> None:
    one, _ = hosts
    with one.daemon() as pid:
        one.file.write_text(one.file.read_text() + "\nnonsense here\n")
        os.kill(pid, signal.SIGHUP)
        eventually(lambda: not is_alive(pid))
        assert "Exim configuration error" in (one.folder / "log/paniclog").read_text()


def test_at_the_end_a_session_hears_421(hosts: tuple[EximHost, EximHost]) -> None:
    one, _ = hosts
    with one.daemon() as pid, socket.create_connection(one.place(), timeout=20) as client:
        assert client.recv(1000).startswith(b"220 ")
        os.kill(pid, signal.SIGTERM)
        assert client.recv(1000).startswith(b"421 mx.one.test")


def test_what_was_accepted_survives_kill_9(hosts: tuple[EximHost, EximHost]) -> None:
    one, two = hosts
    with two.daemon() as pid:
        two.send("ann@one.test", subject="first")
        end(pid, signal.SIGKILL)
    with one.daemon():
        assert two.run("-bpc").stdout == "1\n"
        two.run("-qff")
        eventually(lambda: "first" in one.mail("ann"))


def test_commands_ask_the_daemon(hosts: tuple[EximHost, EximHost]) -> None:
    _, two = hosts
    with two.daemon():
        assert two.run("ann@one.test", text=MESSAGE).returncode == 0
        queue_id = two.queue_id()
        assert two.run("-Mf", queue_id).stdout == f"Message {queue_id} is now frozen\n"
        assert "*** frozen ***" in two.run("-bp").stdout
        assert two.run("-Mrm", queue_id).stdout == f"Message {queue_id} has been removed\n"
        assert two.run("-bpc").stdout == "0\n"


def test_a_command_has_the_configuration_that_it_names(hosts: tuple[EximHost, EximHost]) -> None:
    """The daemon has not been told; as with Exim, each command reads the file."""
    _, two = hosts
    other = two.folder / "other.conf"
    other.write_text(two.file.read_text().replace("domains = two.test", "domains = two.test : here.test"))
    with two.daemon():
        done = two.run("-odi", "bob@here.test", text=MESSAGE, file=other)
        assert done.returncode == 0
        assert "hello" in two.mail("bob")


def test_a_second_daemon_finds_the_ports_taken(hosts: tuple[EximHost, EximHost], tmp_path: Path) -> None:
    one, _ = hosts
    third = one.file.read_text().replace(f"{one.folder}/spool", f"{tmp_path}/spool3")
    third = third.replace(f"{one.folder}/log", f"{tmp_path}/log3").replace("exim.pid", "third.pid")
    (tmp_path / "third.conf").write_text(f"daemon_startup_retries = 0\n{third}")
    with one.daemon():
        assert one.run("-bd", file=tmp_path / "third.conf").returncode == 0
        log = tmp_path / "log3/paniclog"
        eventually(lambda: log.exists() and "Address already in use: daemon abandoned" in log.read_text())


def test_the_real_exim_lists_our_queue(hosts: tuple[EximHost, EximHost]) -> None:
    exim = shutil.which("exim4", path="/usr/sbin:/usr/bin") or shutil.which("exim", path="/usr/sbin:/usr/bin")
    exipick = shutil.which("exipick", path="/usr/sbin:/usr/bin")
    if exim is None or exipick is None:
        pytest.skip("there is no exim4, or no exipick")
    _, two = hosts
    two.run("-odq", "ann@one.test", "ann@two.test", text=MESSAGE)
    queue_id = two.queue_id()
    picked = subprocess.run(
        [exipick, "-spool", str(two.folder / "spool"), "-i"], capture_output=True, text=True, check=True
    )
    assert picked.stdout.strip() == queue_id
    listing = two.run("-bp").stdout
    assert two.run("-bpru").stdout == listing
    assert two.run("-bp", queue_id).stdout == listing


@pytest.mark.parametrize(
    "octets",
    [
        b"",
        b"R\xff\xff\xff\xff",
        b"\0" * 100,
        b"R\0\0\0\2{}",
        b'R\0\0\0\x18{"command":1,"caller":2}',
        b"I\0\0\0\1x",
    ],
)
def test_nonsense_at_the_control_socket_hurts_nobody(hosts: tuple[EximHost, EximHost], octets: bytes) -> None:
    one, _ = hosts
    with one.daemon() as pid:
        with socket.socket(socket.AF_UNIX) as client:
            client.settimeout(10)
            client.connect(str(one.folder / "spool/control"))
            client.sendall(octets)
            client.shutdown(socket.SHUT_WR)
            assert client.recv(100) == b""
        assert is_alive(pid)
        assert one.run("-odi", "ann@one.test", text=MESSAGE).returncode == 0
        assert "hello" in one.mail("ann")
