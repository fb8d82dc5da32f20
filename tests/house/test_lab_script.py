"""./lab in a copy of the house with a made-up installer on PATH: every way a set-up can go, in a second each.

The installer is a shell script named uv; the environment it makes runs this Python and, in place of pytest and
tools/desk.py, tells how it was called. The real set-up is what CI does before it comes here.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PROGRAMS = "sh cat cksum date dirname grep mkdir readlink rm sleep touch".split()

UV = """#!/bin/sh
echo "$*" >>"$CALLS"
case "$1" in
    venv) mkdir -p .venv/bin && cp "$FAKE_PYTHON" .venv/bin/python ;;
    pip) [ -z "${SLEEPS:-}" ] || sleep 10
         [ -z "${FAILS:-}" ] || { echo "$FAILS" >&2; exit 2; } ;;
esac
"""
PYTHON = f"""#!/bin/sh
case "$*" in
    "-m pytest"* | tools/desk.py*) printf '<%s>' "$@"; echo ;;
    *) exec "{sys.executable}" "$@" ;;
esac
"""


class House:
    """A copy of what ./lab needs, in a folder whose name has a blank."""

    def __init__(self, folder: Path) -> None:
        self.root = folder / "the course"
        self.bin = folder / "bin"
        self.calls = folder / "calls"
        for made in (self.root, self.bin):
            made.mkdir()
        for name in ("lab", "pyproject.toml", "requirements.lock"):
            shutil.copy2(ROOT / name, self.root / name)
        for program in (*PROGRAMS, "cp"):
            (self.bin / program).symlink_to(str(shutil.which(program)))
        self.install("uv", UV)
        self.install("python3", PYTHON)

    def install(self, name: str, script: str) -> None:
        (self.bin / name).write_text(script)
        (self.bin / name).chmod(0o755)

    @property
    def environment(self) -> dict[str, str]:
        return {
            "CALLS": str(self.calls),
            "FAKE_PYTHON": str(self.bin / "python3"),
            "HOME": str(self.root.parent),
            "PATH": str(self.bin),
        }

    def lab(self, *arguments: str, door: str = "", **variables: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [door or str(self.root / "lab"), *arguments],
            cwd="/",
            env=self.environment | variables,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )

    def installed(self) -> int:
        """How often the installer was asked for an environment."""
        return self.calls.read_text().count("venv ") if self.calls.exists() else 0

    def updated(self) -> int:
        """How often the installer was asked for packages."""
        return self.calls.read_text().count("-r requirements.lock") if self.calls.exists() else 0

    def refuses(self, *arguments: str, **variables: str) -> str:
        """The one sentence a failing ./lab ends with."""
        done = self.lab(*arguments, **variables)
        assert done.returncode == 1, done
        assert done.stdout == ""
        assert "Traceback" not in done.stderr
        *steps, last = done.stderr.splitlines()
        assert all(line == "lab: setting up, once" or " ... " in line for line in steps), done.stderr
        assert last.startswith("lab: ")
        return last


@pytest.fixture
def house(tmp_path: Path) -> House:
    return House(tmp_path)


@pytest.mark.parametrize("word", ["help", "-h", "--help"])
def test_help(word: str, house: House) -> None:
    done = house.lab(word)
    assert (done.returncode, done.stderr, house.installed()) == (0, "", 0)
    assert "./lab test" in done.stdout


@pytest.mark.parametrize("arguments", [("tset",), ("reset",), ("reset", "1", "2")])
def test_a_slip_shows_the_usage(arguments: tuple[str, ...], house: House) -> None:
    done = house.lab(*arguments)
    assert (done.returncode, done.stdout, house.installed()) == (2, "", 0)
    assert done.stderr.startswith("usage: ./lab")


@pytest.mark.parametrize(
    "arguments, called",
    [
        ((), "<tools/desk.py><open>"),
        (("--port=9", "--no-browser"), "<tools/desk.py><open><--port=9><--no-browser>"),
        (("open", "a b.ipynb"), "<tools/desk.py><open><a b.ipynb>"),
        (("shell",), "<tools/desk.py><shell>"),
        (("reset", "03"), "<tools/desk.py><reset><03>"),
        (("test",), "<-m><pytest><-n><2>"),
        (("test", "-k", "a or b"), "<-m><pytest><-k><a or b>"),
    ],
)
def test_commands(arguments: tuple[str, ...], called: str, house: House) -> None:
    done = house.lab(*arguments)
    assert (done.returncode, done.stdout) == (0, called + "\n")


def test_sets_up_once(house: House) -> None:
    first = house.lab("test")
    for words in ("making .venv", "installing the packages", "installing labkit"):
        assert f"lab: {words} ... " in first.stderr
    assert " s\n" in first.stderr
    assert house.lab("test").stderr == ""
    assert house.installed() == 1


@pytest.mark.parametrize("changed", ["requirements.lock", "pyproject.toml"])
def test_follows_the_lock(changed: str, house: House) -> None:
    house.lab("test")
    with (house.root / changed).open("a") as file:
        file.write("# changed\n")
    assert "lab: bringing .venv up to date" in house.lab("test").stderr
    assert (house.installed(), house.updated()) == (1, 2)
    assert house.lab("test").stderr == ""


def test_a_broken_update_is_begun_anew(house: House) -> None:
    house.lab("test")
    (house.root / "pyproject.toml").write_text("# changed\n")
    assert house.lab("test", FAILS="something odd").returncode == 1
    assert house.lab("test").returncode == 0
    assert house.installed() == 2


def test_sets_up_again_in_a_moved_folder(house: House) -> None:
    house.lab("test")
    house.root = house.root.rename(house.root.with_name("moved"))
    assert house.lab("test").returncode == 0
    assert house.installed() == 2


def test_sets_up_again_for_another_python(house: House) -> None:
    house.lab("test")
    (house.root / ".venv" / "bin" / "python").write_text("#!/bin/sh\necho Python 3.99\n")
    house.lab("test")
    assert house.installed() == 2


def test_a_broken_set_up_is_begun_anew(house: House) -> None:
    assert house.lab("test", FAILS="something odd").returncode == 1
    assert house.lab("test").returncode == 0
    assert house.lab("test").stderr == ""
    assert house.installed() == 2


def test_an_interrupt_during_set_up(house: House) -> None:
    running = subprocess.Popen(
        [str(house.root / "lab"), "test"],
        env=house.environment | {"SLEEPS": "1"},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        preexec_fn=lambda: signal.signal(
            signal.SIGINT, signal.SIG_DFL
        ),  # whoever runs the tests may ignore it
    )
    until = time.monotonic() + 20
    while not (house.calls.exists() and "pip install" in house.calls.read_text()):
        assert time.monotonic() < until
        time.sleep(0.02)
    os.killpg(running.pid, signal.SIGINT)
    _, said = running.communicate(timeout=20)
    assert running.returncode == 130
    assert said.endswith("lab: broken off; run ./lab again and it starts over\n")
    assert house.lab("test").returncode == 0


@pytest.mark.parametrize(
    "said, answer",
    [
        ("error: Failed to fetch: `https://x`\n  Caused by: dns error", "network"),
        ("Temporary failure in name resolution", "network"),
        ("error: No space left on device (os error 28)", "disk is full"),
        ("error: hash mismatch", "build/setup.log says why"),
    ],
)
def test_an_installer_that_fails(said: str, answer: str, house: House) -> None:
    assert answer in house.refuses("test", FAILS=said)
    assert said in (house.root / "build" / "setup.log").read_text()


def test_no_python(house: House) -> None:
    for name in ("uv", "python3"):
        (house.bin / name).unlink()
    assert "there is no Python 3.10 or newer here; install one" in house.refuses()


def test_an_old_python(house: House) -> None:
    house.install("python3", "#!/bin/sh\nexit 1\n")
    (house.bin / "uv").unlink()
    assert "there is no Python 3.10 or newer here; install one" in house.refuses()


def test_an_old_python_asked_for_by_name(house: House) -> None:
    house.install("old", "#!/bin/sh\nexit 1\n")
    assert "PYTHON=old is no Python 3.10 or newer" in house.refuses("test", PYTHON="old")


def test_a_python_without_venv(house: House) -> None:
    house.install("python3", '#!/bin/sh\ncase "$2" in *ensurepip*) exit 1 ;; esac\n')
    (house.bin / "uv").unlink()
    assert "apt-get install python3-venv" in house.refuses()


def test_a_folder_in_which_nothing_can_be_made(house: House) -> None:
    (house.root / "build").touch()
    assert f"this folder cannot be written: {house.root}; move the course" in house.refuses()


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_of_somebody_else(house: House) -> None:
    house.root.chmod(0o500)
    try:
        assert f"this folder cannot be written: {house.root}; move the course" in house.refuses()
    finally:
        house.root.chmod(0o700)


def test_two_at_once(house: House) -> None:
    busy = house.root / "build" / "setup.pid"
    busy.parent.mkdir()
    busy.write_text(f"{os.getpid()}\n")
    assert f"another ./lab is setting up (process {os.getpid()})" in house.refuses()
    assert busy.exists()

    gone = subprocess.Popen(["true"])
    gone.wait()
    busy.write_text(f"{gone.pid}\n")
    assert house.lab("test").returncode == 0
    assert not busy.exists()


def test_by_a_link_from_elsewhere(house: House) -> None:
    door = house.root.parent / "door"
    door.symlink_to(house.root / "lab")
    assert house.lab("test", door=str(door)).stdout == "<-m><pytest><-n><2>\n"


def test_another_python_path_does_not_leak_in(house: House) -> None:
    house.install("python3", PYTHON.replace("printf", 'echo "[${PYTHONPATH-}${PYTHONHOME-}]"; printf'))
    assert house.lab("test", PYTHONPATH="/elsewhere").stdout.startswith("[]\n")
