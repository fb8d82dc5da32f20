"""The command line: what it says, what it returns, and that its terminal reaches a running lab."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from labkit.cli import main
from labkit.cli.run import CannotRun, find_program
from labkit.lab.doorplate import Door, Machine, plate_folders, read_doorplates, write_doorplate
from labkit.lab.scenarios import partners_scenario
from labkit.lab.world import partners
from labkit.mail.event import EventKind

DOORS = [Door("mx.a.test", "203.0.113.11", 25, "127.0.113.11", 4025)]
LAPTOP = Machine("laptop.a.test", "student", "198.51.100.11", "127.51.100.11", "/somewhere", "ann")


@pytest.mark.parametrize(
    "words, status", [(["help"], 0), (["--help"], 0), ([], 2), (["dance"], 2), (["lint"], 2)]
)
def test_usage(words: list[str], status: int, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(words) == status
    said = capsys.readouterr()
    assert "usage: labkit shell" in (said.err if status else said.out)


def test_lint_takes_the_tours_configuration(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "exim.conf"
    file.write_text(partners_scenario().hosts[0].configuration)
    assert main(["lint", str(file)]) == 0
    assert capsys.readouterr().out == f"{file}: labkit can run it\n"


@pytest.mark.parametrize(
    "content, words",
    [
        (b"primary_hostname = a.test\nperl_startup = /x\n", "line 2: the option"),
        (b"\xff\xfe", "codec can't decode"),
        (b"primary_hostname = a.test\n# caf\xe9\n", "bad.conf, line 2: "),
        (None, "No such file"),
    ],
)
def test_lint_says_what_is_wrong_and_goes_on(
    content: bytes | None, words: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bad, good = tmp_path / "bad.conf", tmp_path / "good.conf"
    if content is not None:
        bad.write_bytes(content)
    good.write_text("primary_hostname = a.test\n")
    assert main(["lint", str(bad), str(good)]) == 1
    said = capsys.readouterr()
    assert words in said.err
    assert said.err.startswith(str(bad)), "of several files"
    assert "good.conf: labkit can run it" in said.out


def test_lint_includes_what_stands_beside_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "sub/deep").mkdir(parents=True)
    (tmp_path / "sub/x.conf").write_text(".include names\n.include deep/more\n")
    (tmp_path / "sub/names").write_text("primary_hostname = a.test\n")
    (tmp_path / "sub/deep/more").write_text("received_headers_max = 20\n")
    monkeypatch.chdir(tmp_path)
    for name in ("sub/x.conf", "./sub/x.conf", str(tmp_path / "sub/x.conf")):
        assert main(["lint", name]) == 0, capsys.readouterr().err
    monkeypatch.chdir(tmp_path / "sub")
    assert main(["lint", "x.conf"]) == 0, capsys.readouterr().err
    assert main(["lint", "../sub/x.conf"]) == 0, capsys.readouterr().err


def test_doorplates_of_dead_kernels_are_taken_down(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / ".lab").mkdir()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))  # worlds of other programs are not seen
    alive = write_doorplate("a lab", DOORS, [LAPTOP])
    assert write_doorplate("another", DOORS, [LAPTOP]) != alive, "each world of a kernel has its own"
    gone = subprocess.run(
        [sys.executable, "-c", "import os; print(os.getpid())"], capture_output=True, check=True
    )
    known = json.loads(alive.read_text()) | {"pid": int(gone.stdout)}
    alive.parent.joinpath(f"world-{os.getpid()}-2.json").unlink()
    dead = alive.parent / "world-1-1.json"
    dead.write_text(json.dumps(known))
    (alive.parent / "world-2-1.json").write_text("{torn")
    (plate,) = read_doorplates(*plate_folders())
    assert (plate.pid, plate.doors, plate.machines) == (os.getpid(), tuple(DOORS), (LAPTOP,))
    assert not dead.exists()


async def terminal(*words: str, typed: str = "", **environment: str) -> tuple[int, str]:
    """Run a command of labkit; its exit status and all it said."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "labkit.cli", *words),
        env={**os.environ, "SHELL": "/bin/sh", **environment},
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    said, _ = await process.communicate(typed.encode())
    assert process.returncode is not None
    return process.returncode, said.decode()


@pytest.mark.needs("gcc", "swaks", "dig")
def test_a_terminal_inside_the_lab(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / ".lab").mkdir()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))  # worlds of other programs are not seen

    async def story() -> None:
        async with partners(network="loopback", alongside=True) as world:
            status, said = await terminal(
                "shell", typed="dig +short st2.sne21.test MX; hostname; id -un; date +%F; exiwhat; exit 7"
            )
            assert status == 7, "the shell's own status"
            assert "You are on laptop.st11.sne21.test [198.51.100.11]" in said
            assert "mx2.st2.sne21.test [203.0.113.2] port 25" in said
            assert said.endswith(
                "10 mx2.st2.sne21.test.\nlaptop.st11.sne21.test\nann\n2026-09-07\n"
                "exiwhat: not in the lab: it would signal every Exim process of this machine. "
                "In the lab: await host.exim('-bp'), or host.log()\n"
            )
            letter = ("--from", "ann@st11.sne21.test", "--to", "bob@st2.sne21.test")
            status, said = await terminal("run", "swaks", "--server", "mx2.st2.sne21.test", *letter)
            assert status == 0, said
            assert "=== Connected to mx2.st2.sne21.test." in said
            assert "Hello laptop.st11.sne21.test [198.51.100.11]" in said
            await world.settle()
            (received,) = world.journal.where(EventKind.RECEIVED, host=world.partner.name)
            assert received.remote_address == "198.51.100.11"
            calls = "import socket; s = socket.create_connection(('mx2.st2.sne21.test', 25)); print(s.getsockname()[0])"
            status, said = await terminal("run", "--at", "mx2.st11", sys.executable, "-c", calls)
            assert (status, said) == (0, "203.0.113.11\n"), "a host calls from its own address"
            status, said = await terminal(
                "run", "--at", "mx2.st11", "sh", "-c", "pwd; cat etc/exim.conf; id -un"
            )
            assert said.startswith(f"{world.mine.folder}\n# exim.conf of mx2.st11"), (
                "it is in the host's folder"
            )
            assert said.endswith("\nann\n")
            status, said = await terminal("run", "--at", "nowhere", "true")
            assert status == 1
            assert "there are laptop.st11.sne21.test" in said
        status, said = await terminal("run", "true")
        assert (status, said.count("No world runs")) == (1, 1)
        assert "No world runs" in (await terminal("shell"))[1]

    asyncio.run(story())


def test_a_terminal_without_a_compiler_says_where_everything_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / ".lab").mkdir()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))  # worlds of other programs are not seen
    bare = {"XDG_CACHE_HOME": str(tmp_path), "TMPDIR": str(tmp_path), "PATH": str(tmp_path)}

    async def story() -> None:
        async with partners(network="loopback", alongside=True) as world:
            status, said = await terminal("shell", typed="exit 7\n", **bare)
            assert status == 7
            assert "compile" in said.partition("\n")[0], "the reason comes first"
            address, port = world.partner.endpoint(25)
            assert f"mx2.st2.sne21.test [203.0.113.2] port 25   is really {address} port {port}" in said
            assert f"laptop.st11.sne21.test is really {world.laptop.source_address[0]}" in said

    asyncio.run(story())


@pytest.mark.needs("gcc", "exim")
def test_exim_in_the_terminal_of_a_host_that_has_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / ".lab").mkdir()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))

    async def story() -> None:
        async with partners(network="loopback", alongside=True, engine={"student": "exim"}) as world:
            status, said = await terminal("run", "--at", "mx2.st11", "exim", "-bt", "bob@st2.sne21.test")
            assert (status, "host mx2.st2.sne21.test [203.0.113.2] MX=10" in said) == (0, True), said
            for words in (("-bd", "-q15m"), ("-q15m",)):
                status, said = await terminal("run", "--at", "mx2.st11", "exim", *words)
                assert (status, "host.start()" in said) == (1, True), (
                    "a second daemon would outlive the world"
                )
            status, said = await terminal("run", "mailq")
            assert (status, "choose a host that has one with --at" in said) == (1, True)
            assert (await terminal("run", "--at", world.partner.name, "exim", "-bp"))[0] == 1

    asyncio.run(story())


def test_a_plate_that_is_not_ours_is_passed_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / ".lab").mkdir(mode=0o700)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    plate = write_doorplate("a lab", DOORS, [LAPTOP])
    assert len(read_doorplates(plate.parent)) == 1
    (plate.parent / "world-1-1.json").symlink_to("/dev/zero")
    (plate.parent / "world-1-2.json").write_bytes(b" " * 2_000_000)
    assert len(read_doorplates(plate.parent)) == 1, "a link, and more than a plate can be"
    plate.parent.chmod(0o777)
    assert read_doorplates(plate.parent) == [], "anybody could have put it there"
    with pytest.raises(PermissionError, match="somebody else"):
        write_doorplate("a lab", DOORS, [LAPTOP])
    plate.parent.chmod(0o700)
    known = json.loads(plate.read_text())
    plate.write_text(json.dumps(known | {"began": "0"}))
    assert read_doorplates(plate.parent) == [], "another process was given the number of that kernel"


def test_doctor_names_what_is_missing_and_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("EXIM_BIN", "/no/such/exim")
    assert main(["doctor"]) == 1
    said = capsys.readouterr().out
    for package in ("swaks", "bind9-dnsutils", "libnet-ssleay-perl", "gnupg"):
        assert f"apt-get install {package}\n" in said
    assert "/no/such/exim cannot be run" in said


def test_what_cannot_be_run_in_the_lab(tmp_path: Path) -> None:
    static = tmp_path / "static"
    head = b"\x7fELF\x02\x01\x01".ljust(32, b"\0") + (64).to_bytes(8, "little") + bytes(14)
    static.write_bytes(head + (56).to_bytes(2, "little") + (1).to_bytes(2, "little") + bytes(64))
    setuid = tmp_path / "setuid"
    setuid.write_text("#!/bin/sh\n")
    for program in (static, setuid):
        program.chmod(0o755)
    setuid.chmod(0o4755)
    with pytest.raises(CannotRun, match="linked statically"):
        find_program("static", str(tmp_path))
    with pytest.raises(CannotRun, match="setuid"):
        find_program("setuid", str(tmp_path))
    assert find_program("sh", os.environ["PATH"]).endswith("/sh")


def test_a_shell_that_cannot_be_started(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("SHELL", "/no/such/shell")
    assert main(["shell"]) == 1
    assert "cannot start /no/such/shell" in capsys.readouterr().err
