"""What no commit may carry: addresses of package registries, paths of one machine, things that are made."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
HERE = Path(__file__).resolve().relative_to(ROOT).as_posix()

FORBIDDEN = {
    "the address of a package registry": re.compile(
        rb"index[-]url|find-links|\b(?:files\.pythonhosted|pypi|test\.pypi)\.org|\bregistry\.npmjs|\bregistry\.yarnpkg"
        rb"|\b(?:conda|repo)\.anaconda\.(?:com|org)|\b(?:deb|ftp|security)\.debian\.org|\barchive\.ubuntu\.com"
    ),
    "the path of one machine": re.compile(
        rb"(?<![\w.$})])/(?:root|Users/\w+|home/(?:codespace|jovyan|lab|runner|ubuntu|vscode))/"
        rb"|(?<![\w.$})/-])/(?:work/(?:main|shared)|opt/wheels|opt/pypi)\b|(?<![\w.])\.pyenv/"
    ),
}
MADE = re.compile(
    r"(^|/)(\.venv|\.hypothesis|__pycache__|\.ipynb_checkpoints|build|dist|work)/|\.pyc$|\.egg-info"
)
LARGEST = 1_000_000


def files() -> list[str]:
    """What is, or would be, committed."""
    if not shutil.which("git") or not (ROOT / ".git").exists():
        pytest.skip("not a git checkout")
    listed = subprocess.run(
        [
            "git",
            "-c",
            f"safe.directory={ROOT}",
            "ls-files",
            "-z",
            "--cached",
            "--others",
            "--exclude-standard",
        ],
        cwd=ROOT,
        capture_output=True,
        check=True,
        text=True,
    )
    return sorted({name for name in listed.stdout.split("\0") if name and (ROOT / name).is_file()})


@pytest.mark.parametrize("what", FORBIDDEN)
def test_nothing_of_one_machine_is_committed(what: str) -> None:
    found = [
        f"{name}: {hit[0].decode()}"
        for name in files()
        if name != HERE and (hit := FORBIDDEN[what].search((ROOT / name).read_bytes()))
    ]
    assert not found, "\n".join([what, *found])


@pytest.mark.parametrize(
    "what, text",
    [
        ("the address of a package registry", b"--index%surl x" % b"-"),
        ("the address of a package registry", b"https:%sfiles.pythonhosted.org/packages/aa" % b"//"),
        ("the address of a package registry", b"deb http:%sdeb.debian.org/debian" % b"//"),
        ("the path of one machine", b"File /root/.local/x"),
        ("the path of one machine", b"'/home/runner/work'"),
        ("the path of one machine", b"cd /work%smain\n" % b"/"),
        ("the path of one machine", b"~/.pyenv/shims"),
    ],
)
def test_the_search_finds(what: str, text: bytes) -> None:
    assert FORBIDDEN[what].search(text)


@pytest.mark.parametrize(
    "text", [b"/home/ivan/Maildir", b"$HOME%swork/x" % b"/", b"work%s.lab/" % b"/", b"$(dirname x)/root/y"]
)
def test_the_search_lets_pass(text: bytes) -> None:
    assert not any(pattern.search(text) for pattern in FORBIDDEN.values())


def test_nothing_made_is_committed() -> None:
    assert [name for name in files() if MADE.search(name)] == []


def test_nothing_heavy_is_committed() -> None:
    assert [name for name in files() if (ROOT / name).stat().st_size > LARGEST] == []


def test_what_is_ignored() -> None:
    """A student's answers, and what tools make, never show up in git."""
    files()
    paths = ["work/03_queue.ipynb", ".venv/bin/python", "build/setup.log", "labkit/__pycache__/x.pyc"]
    ignored = subprocess.run(
        ["git", "-c", f"safe.directory={ROOT}", "check-ignore", "--no-index", *paths],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert ignored.stdout.split() == paths
