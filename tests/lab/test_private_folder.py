"""The folder of a world that nobody keeps."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from labkit.lab import private_folder
from labkit.lab.lifetime import began
from labkit.lab.private_folder import OWNER, PREFIX, FolderInUse, FolderLock, PrivateFolder


def test_it_goes_with_its_world_or_with_the_next_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    gone = subprocess.run(
        [sys.executable, "-c", "import os; print(os.getpid())"], capture_output=True, check=True
    )
    for name, owner in {
        "dead": gone.stdout.decode(),
        "strange": "x",
        "living": f"1 {began(1)}",
        "number given out again": "1 0",
    }.items():
        (tmp_path / f"{PREFIX}{name}").mkdir()
        (tmp_path / f"{PREFIX}{name}" / OWNER).write_text(owner)
    (tmp_path / "of-others").mkdir()
    one = PrivateFolder()
    left = {path.name.removeprefix(PREFIX) for path in tmp_path.iterdir()} - {
        one.path.name.removeprefix(PREFIX)
    }
    assert left == {"strange", "living", "of-others"}
    two = PrivateFolder()
    assert one.path.is_dir(), "its process is alive"
    one.remove()
    one.remove()
    two.remove()
    assert not one.path.exists()


def test_a_folder_serves_one_world_at_a_time(tmp_path: Path) -> None:
    one = FolderLock(tmp_path)
    with pytest.raises(FolderInUse, match=f"belongs to process {os.getpid()}"):
        FolderLock(tmp_path)
    one.close()
    FolderLock(tmp_path).close()


def test_in_memory_where_there_is_plenty_of_room(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(private_folder, "MEMORY", tmp_path)
    assert private_folder.in_memory(1) == tmp_path
    assert private_folder.in_memory(1 << 60) is None
    one = PrivateFolder(tmp_path)
    assert one.path.parent == tmp_path
    one.remove()
    monkeypatch.setattr(private_folder, "MEMORY", tmp_path / "is-not-there")
    assert private_folder.in_memory(1) is None
