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
from labkit.lab.doorplate import Door, read_doorplates, write_doorplate
from labkit.lab.scenarios import partners_scenario
from labkit.lab.world import partners

DOORS = [Door("mx.a.test", "203.0.113.11", 25, "127.0.113.11", 4025)]


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
        (b"primary_hostname = a.test\nspool_directory = /x\n", "line 2: the option"),
        (b"\xff\xfe", "codec can't decode"),
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
    assert "good.conf: labkit can run it" in said.out


def test_doorplates_of_dead_kernels_are_taken_down(tmp_path: Path) -> None:
    alive = write_doorplate(tmp_path, "a lab", DOORS, {"laptop": "127.51.100.11"})
    gone = subprocess.run(
        [sys.executable, "-c", "import os; print(os.getpid())"], capture_output=True, check=True
    )
    known = json.loads(alive.read_text()) | {"pid": int(gone.stdout)}
    dead = tmp_path / "world-1.json"
    dead.write_text(json.dumps(known))
    (tmp_path / "world-2.json").write_text("{torn")
    (plate,) = read_doorplates(tmp_path)
    assert (plate.pid, plate.doors) == (os.getpid(), tuple(DOORS))
    assert not dead.exists()


def test_shell_shows_the_running_lab_and_starts_the_users_shell(tmp_path: Path) -> None:
    (tmp_path / ".lab").mkdir()

    async def in_the_shell() -> str:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "labkit.cli", "shell"),
            cwd=tmp_path,
            env={**os.environ, "SHELL": "/bin/sh"},
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
        )
        said, _ = await process.communicate(b"command -v python\nexit 7\n")
        assert process.returncode == 7, "the shell's own status"
        return said.decode()

    async def story() -> None:
        here = Path.cwd()
        os.chdir(tmp_path)
        try:
            async with partners(network="loopback", alongside=True) as world:
                said = await in_the_shell()
                address, port = world.partner.endpoint(25)
                assert f"mx2.st2.sne21.test [203.0.113.2] port 25   is really {address} port {port}" in said
                assert f"laptop.st11.sne21.test is really {world.laptop.source_address[0]}" in said
                assert str(Path(sys.executable).parent) in said, "labkit's own programs come first"
            assert "No world runs in this folder" in await in_the_shell()
        finally:
            os.chdir(here)

    asyncio.run(story())


def test_a_shell_that_cannot_be_started(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("SHELL", "/no/such/shell")
    assert main(["shell"]) == 1
    assert "cannot start /no/such/shell" in capsys.readouterr().err
