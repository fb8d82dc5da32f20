"""What is installed without the source tree (Binder, conda) has its data files and its scripts for the browser."""

from __future__ import annotations

import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest


@pytest.fixture(scope="module")
def names(
    root: Path, tmp_path_factory: pytest.TempPathFactory, require_module: Callable[[str], None]
) -> set[str]:
    require_module("hatchling")
    folder = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)]
    done = subprocess.run(command, cwd=root, capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.fail(f"{done.stdout}{done.stderr}", pytrace=False)
    (wheel,) = folder.glob("*.whl")
    return set(zipfile.ZipFile(wheel).namelist())


@pytest.mark.parametrize("folder", ["data", "labkit/teach/static", "labkit/jupyter"])
def test_every_file_of_a_folder_is_in_the_wheel(root: Path, names: set[str], folder: str) -> None:
    files = [path for path in (root / folder).rglob("*") if path.is_file()]
    assert files
    for path in files:
        inside = path.relative_to(root).as_posix()
        assert (f"labkit/{inside}" if folder == "data" else inside) in names
