"""labkit-exim and what nobody should write: broken files in the spool, odd words, junk at the control socket."""

from __future__ import annotations

import os
import socket
import struct
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

CONFIGURATION = """\
spool_directory = {folder}/spool
log_file_path = {folder}/spool/log/%slog
primary_hostname = mx.here.test
trusted_users = nobody
acl_smtp_rcpt = accept
begin routers
far:
  driver = manualroute
  domains = far.test
  route_list = * {address}
  transport = far
begin transports
far:
  driver = smtp
"""
PATIENCE = 60


class Host:
    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.configure()

    def configure(self, address: str = "127.0.0.10::1") -> None:
        text = CONFIGURATION.replace("{folder}", str(self.folder)).replace("{address}", address)
        self.file.write_text(text)

    @property
    def file(self) -> Path:
        return self.folder / "exim.conf"

    @property
    def log(self) -> str:
        return (self.folder / "spool/log/mainlog").read_text()

    def words(self, *words: str | Path, file: Path | None = None) -> list[str | Path]:
        return [sys.executable, "-m", "labkit.cli.exim", "-C", file or self.file, *words]

    def run(self, *words: str | Path, file: Path | None = None) -> subprocess.CompletedProcess[str]:
        """Within seconds, and never a traceback."""
        done = subprocess.run(
            self.words(*words, file=file), input="Subject: x\n\nx\n", capture_output=True, check=False,
            encoding="utf-8", errors="surrogateescape", timeout=PATIENCE,
        )  # fmt: skip
        assert "Traceback" not in done.stderr and "internal problem" not in done.stderr, done.stderr
        return done

    def queue(self, *words: str) -> Path:
        """A message waits; its -H file."""
        assert self.run("-odq", *words, "bob@far.test").returncode == 0
        assert self.run("-bpc").stdout == "1\n"
        (found,) = (self.folder / "spool/input").glob("*-H")
        return found


@pytest.fixture
def host(tmp_path: Path) -> Host:
    return Host(tmp_path)


# --- the spool --------------------------------------------------------------------------------


@pytest.mark.parametrize("time", [b"9" * 20, b"-" + b"9" * 14])
def test_a_listing_of_a_message_from_no_time(host: Host, time: bytes) -> None:
    header = host.queue()
    lines = header.read_bytes().split(b"\n")
    header.write_bytes(b"\n".join([*lines[:3], time + b" 0", *lines[4:]]))
    said = host.run("-bp")
    assert said.returncode == 0 and "*** spool format error: size=" in said.stdout, said


@pytest.mark.parametrize("count", [b"-1", b"9999999999"])
def test_a_listing_of_recipients_without_number(host: Host, count: bytes) -> None:
    header = host.queue()
    before, _, after = header.read_bytes().partition(b"\nXX\n1\n")
    header.write_bytes(before + b"\nXX\n" + count + b"\n" + after)
    assert "*** spool format error: size=" in host.run("-bp").stdout


@pytest.mark.parametrize("what", ["link", "folder", "pipe"])
def test_a_message_that_is_no_file(host: Host, what: str) -> None:
    """Nobody is shown what a link leads to, nobody waits for a pipe; the others are listed."""
    header = host.queue()
    queue_id, kept = header.name.removesuffix("-H"), header.read_bytes()
    secret = host.folder / "secret"
    secret.write_bytes(kept)
    header.unlink()
    {"link": lambda: header.symlink_to(secret), "folder": header.mkdir, "pipe": lambda: os.mkfifo(header)}[
        what
    ]()
    assert f"{queue_id}\n    *** spool read error: not a regular file ***" in host.run("-bp").stdout
    for option in ("-Mvh", "-Mvc"):
        said = host.run(option, queue_id)
        assert said.returncode == 1 and "Subject" not in said.stdout, said
    host.run("-qff")  # whoever owns the spool is not stopped by it
    assert secret.read_bytes() == kept


def test_data_that_is_a_link(host: Host) -> None:
    data = host.queue().with_name
    header = next((host.folder / "spool/input").glob("*-H"))
    secret = host.folder / "secret"
    secret.write_text(f"{header.name[:-2]}-D\nsecret\n")
    data(header.name.replace("-H", "-D")).unlink()
    data(header.name.replace("-H", "-D")).symlink_to(secret)
    for option in ("-Mvb", "-Mvc"):
        assert "secret" not in host.run(option, header.name[:-2]).stdout
    host.run("-q")
    assert secret.exists()


def test_what_is_no_message_id(host: Host) -> None:
    names = ["abc", "", "../../etc/passwd", "/etc/passwd", "x" * 5000, "1xVVDa-0002bn-0F/"]
    for option, name in zip(("-M", "-Mvh", "-Mvb", "-Mvc", "-Mvl", "-Mrm", "-Mes"), names * 2):
        said = host.run(option, name)
        assert said.returncode == 1 and "malformed message id" in said.stderr, (option, said)
    assert host.run("-bp", *names).stdout.count("*** spool read error: No such file or directory ***") == 6


# --- words ------------------------------------------------------------------------------------


@pytest.mark.parametrize("option", ["-oMs", "-oMr", "-oMaa"])
def test_no_lines_are_added_to_the_header(host: Host, option: str) -> None:
    said = host.run(option, "x\nX-Evil: yes", "-odq", "bob@far.test")
    assert said.returncode == 1 and "a control character" in said.stderr
    assert host.run("-bpc").stdout == "0\n"


def test_a_name_of_several_lines_is_encoded(host: Host) -> None:
    header = host.queue("-F", "x\nX-Evil: yé")
    assert " From: =?UTF-8?Q?x=0AX-Evil=3A_y=C3=A9?= <" in header.read_text()


@pytest.mark.parametrize("option", ["-oMa", "-oMi"])
@pytest.mark.parametrize("text", ["1.2.3.4\nX-Evil: y", "1.2.3.4.5.6"])
def test_an_address_that_is_none(host: Host, option: str, text: str) -> None:
    said = host.run(option, text, "-odq", "bob@far.test")
    assert said.returncode == 1 and f'exim abandoned: "{text}" is not an IP address' in said.stderr


@pytest.mark.parametrize("text", ["1.2.3.4.25", "[1.2.3.4]:25", "1.2.3.4"])
def test_an_address_with_its_port(host: Host, text: str) -> None:
    header = host.queue("-oMa", text).read_text()
    assert f"-host_address [1.2.3.4]:{25 if '25' in text else 0}\n" in header


def test_the_message_that_a_report_is_about(host: Host) -> None:
    said = host.run("-oMm", "x\ny", "-odq", "bob@far.test")
    assert said.returncode == 1 and said.stderr == "-oMm must be a valid message ID\n"


@pytest.mark.parametrize("kind", ["pipe", "endless", "huge", "binary", "folder"])
def test_configurations_that_are_none(host: Host, kind: str) -> None:
    file = host.folder / "odd.conf"
    if kind == "pipe":
        os.mkfifo(file)
    elif kind == "endless":
        file = Path("/dev/zero")
    elif kind == "folder":
        file.mkdir()
    elif kind == "binary":
        file.write_bytes(bytes(range(256)) * 1000)
    else:
        with file.open("wb") as opened:
            opened.truncate(1 << 40)
    for words in (["-bV"], ["-bp"], ["-odq", "bob@far.test"]):
        said = host.run(*words, file=file)
        assert said.returncode == 1 and str(file) in said.stderr, said


# --- the network ------------------------------------------------------------------------------


@pytest.mark.parametrize("place", ["[192.0.2.2]:2625", "198.51.100.1.2625"])
def test_a_daemon_listens_on_this_machine_only(host: Host, place: str) -> None:
    said = subprocess.run(
        host.words("-bdf", "-oX", place), capture_output=True, text=True, timeout=PATIENCE, check=False
    )
    assert said.returncode == 1
    assert "labkit-exim" in said.stderr + host.log and "None" not in host.log, (said.stderr, host.log)


def test_nobody_outside_is_called(host: Host) -> None:
    host.configure("8.8.8.8")
    host.run("-odi", "bob@far.test")
    assert "labkit-exim calls nobody outside this machine and its lab, so not 8.8.8.8" in host.log


# --- the control socket -----------------------------------------------------------------------


@pytest.fixture
def daemon(host: Host) -> Iterator[Host]:
    pid = host.folder / "spool/pid"
    with socket.create_server(("127.0.0.10", 0)) as free:
        place = f"[127.0.0.10]:{free.getsockname()[1]}"
    with subprocess.Popen(host.words("-bdf", "-oX", place, "-oP", pid)) as running:
        try:
            until = time.monotonic() + PATIENCE
            while not (host.folder / "spool/control").exists():
                assert running.poll() is None and time.monotonic() < until
                time.sleep(0.05)
            yield host
            assert running.poll() is None, "nothing ends the daemon"
        finally:
            running.terminate()


def _connected(host: Host) -> socket.socket:
    made = socket.socket(socket.AF_UNIX)
    made.settimeout(PATIENCE)
    made.connect(str(host.folder / "spool/control"))
    return made


@pytest.mark.parametrize(
    "octets",
    [
        b"GET / HTTP/1.0\r\n\r\n",
        struct.pack("!cI", b"R", 0xFFFFFFFF),
        struct.pack("!cI", b"I", 10) + b"x" * 10,
        *(
            struct.pack("!cI", b"R", len(text)) + text
            for text in (b"", b"[]", b"{}", b"\xff", b"[" * 100_000, b'{"command": {}, "caller": {}}')
        ),
    ],
)
def test_junk_at_the_control_socket(daemon: Host, octets: bytes) -> None:
    """It is hung up on, and the next one is served."""
    with _connected(daemon) as caller:
        caller.sendall(octets)
        assert caller.recv(100) == b""
    assert daemon.run("-odq", "bob@far.test").returncode == 0


def test_a_storm_at_the_control_socket(daemon: Host) -> None:
    """Silent callers, some with half a frame; when they have gone, work is done."""
    callers = []
    for number in range(500):
        made = socket.socket(socket.AF_UNIX)
        made.setblocking(False)
        try:
            made.connect(str(daemon.folder / "spool/control"))
            made.send(b"R\0" if number % 2 else b"R")
        except OSError:  # the door is full
            pass
        callers.append(made)
    for made in callers:
        made.close()
    assert daemon.run("-odq", "bob@far.test").returncode == 0
    assert daemon.run("-bpc").stdout == "1\n"
