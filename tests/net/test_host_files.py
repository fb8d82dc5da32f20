"""Files of a host: found below its folder, read once, and nothing hostile hurts."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from labkit.eximconf.expansion.files import find_line
from labkit.mail.lookups import Exists, FileLine, FileText, FolderEntry, Unopened
from labkit.net import disk as disk_module
from labkit.net import host_files as module
from labkit.net.disk import Disk
from labkit.net.file_text import file_text
from labkit.net.host_files import HostFiles

NOT_THERE = Unopened("No such file or directory")


@pytest.fixture
def root(tmp_path: Path) -> Path:
    folder = tmp_path / "host"
    (folder / "etc").mkdir(parents=True)
    (folder / "etc/aliases").write_text("ann: bob\nLong: a\n  b\n")
    (tmp_path / "secret").write_text("key: stolen\n")
    return folder


@pytest.fixture
def files(root: Path) -> HostFiles:
    return HostFiles(Disk(root), find_line)


def age(path: Path, seconds: float = 10) -> None:
    """As if it had been written before."""
    then = time.time() - seconds
    os.utime(path, (then, then))


@contextmanager
def as_nobody() -> Iterator[None]:
    """Root may read everything; be somebody else for a moment."""
    if os.geteuid() != 0:
        yield
        return
    os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(0)


@pytest.mark.parametrize(
    "key, data",
    [("ann", "bob"), ("ANN", "bob"), ("long", "a b"), ("nobody", None), ("a\0b", None), ("", None)],
)
def test_a_line(files: HostFiles, key: str, data: str | None) -> None:
    assert files.line(FileLine("/etc/aliases", key)) == data


def test_a_file_is_read_once_and_again_when_it_changes(
    files: HostFiles, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    age(root / "etc/aliases")
    read = 0
    really = files.disk.read

    def counting(path: str) -> tuple[str, os.stat_result]:
        nonlocal read
        read += 1
        return really(path)

    monkeypatch.setattr(files.disk, "read", counting)
    for _ in range(5):
        assert files.line(FileLine("/etc/aliases", "ann")) == "bob"
    assert read == 1
    (root / "etc/aliases").write_text("ann: eve\nLong: a\n  b\n")  # of the same length
    assert files.line(FileLine("/etc/aliases", "ann")) == "eve"
    (root / "etc/aliases").write_text("ann: joe\nLong: a\n  b\n")  # perhaps within one tick of the clock
    assert files.line(FileLine("/etc/aliases", "ann")) == "joe"
    os.replace(root / "etc/aliases", root / "etc/old")
    assert files.line(FileLine("/etc/aliases", "ann")) == NOT_THERE
    assert files.line(FileLine("/etc/old", "ann")) == "joe"


def test_not_more_files_than_are_allowed_stay_in_memory(files: HostFiles, root: Path) -> None:
    for number in range(module.MOST_FILES + 5):
        (root / f"f{number}").write_text(f"k: {number}")
        age(root / f"f{number}")
        assert files.line(FileLine(f"/f{number}", "k")) == str(number)
    assert len(files._texts) == module.MOST_FILES
    assert "/f0" not in files._texts


def test_octets_stay_octets(files: HostFiles, root: Path) -> None:
    (root / "b\udcff").write_bytes(b"gr\xc3\xbcn: \xff\0x\n")
    assert files.text(FileText("/b\xff")) == "gr\xc3\xbcn: \xff\0x\n"
    assert files.line(FileLine("/b\xff", "gr\xc3\xbcn")) == "\xff\0x"
    assert file_text(FileText("/b\xff"), root=root, beside=root) == "gr\xc3\xbcn: \xff\0x\n"


@pytest.mark.parametrize(
    "path, is_missing, because",
    [
        ("/../secret", False, "up and out"),
        ("/etc/../../secret", False, "up and out, later"),
        ("/etc/../etc/aliases", False, "it would stay inside, but who writes so means something"),
        ("/link", False, "a link out"),
        ("/folder/secret", False, "a folder that is a link out"),
        ("/passwd", False, "a link to a path of the machine"),
        ("/none", True, "not there"),
        ("/etc/aliases/x", True, "below a file"),
        ("/etc/al\0iases", True, "no path has a NUL"),
        ("", True, "no path at all"),
        ("etc/aliases", True, "a relative path, where nothing is relative to"),
        ("/" + "x" * 5000, False, "longer than the system takes"),
        ("/loop", False, "a link to itself"),
    ],
)
def test_what_is_not_this_hosts(
    files: HostFiles, root: Path, tmp_path: Path, path: str, is_missing: bool, because: str
) -> None:
    (root / "link").symlink_to(tmp_path / "secret")
    (root / "folder").symlink_to(tmp_path)
    (root / "passwd").symlink_to("/etc/passwd")
    (root / "loop").symlink_to("loop")
    found = files.line(FileLine(path, "key"))
    assert isinstance(found, Unopened), because
    assert found.is_missing == is_missing, because
    there = files.exists(Exists(path))
    assert there is (False if is_absent(path) else there) and there is not True, because
    if not is_absent(path):
        assert isinstance(there, Unopened) and not there.is_missing and there.reason, because


def is_absent(path: str) -> bool:
    """What cannot be a path is not there; below a file nobody can look."""
    return path in ("/none", "/etc/al\0iases", "", "etc/aliases")


def test_a_link_inside_is_followed(files: HostFiles, root: Path) -> None:
    (root / "etc/more").symlink_to("aliases")
    assert files.line(FileLine("/etc/more", "ann")) == "bob"


def test_a_link_that_is_turned_outwards_later(files: HostFiles, root: Path, tmp_path: Path) -> None:
    age(root / "etc/aliases")
    (root / "l").symlink_to("etc/aliases")
    assert files.line(FileLine("/l", "ann")) == "bob"
    (root / "l").unlink()
    (root / "l").symlink_to(tmp_path / "secret")
    assert isinstance(files.line(FileLine("/l", "key")), Unopened)


def test_relative_paths_begin_where_they_may(root: Path) -> None:
    files = HostFiles(Disk(root, root / "etc"), find_line)
    assert files.line(FileLine("aliases", "ann")) == "bob"
    assert isinstance(files.text(FileText("../etc/aliases")), Unopened)


def test_the_whole_machine(root: Path) -> None:
    files = HostFiles(Disk(Path("/")), find_line)
    assert files.line(FileLine(f"{root}/etc/aliases", "ann")) == "bob"
    assert files.line(FileLine(f"{root}/etc/../etc/aliases", "ann")) == "bob"


@pytest.mark.parametrize("kind", ["folder", "fifo", "device"])
def test_what_is_no_regular_file_hangs_nobody(files: HostFiles, root: Path, kind: str) -> None:
    place = root / "odd"
    if kind == "folder":
        place.mkdir()
    elif kind == "fifo":
        os.mkfifo(place)
    else:
        place = Path("/dev/tty")
        files = HostFiles(Disk(Path("/")), find_line)
    begun = time.monotonic()
    found = files.line(FileLine("/odd" if kind != "device" else "/dev/null", "k"))
    assert found == Unopened("not a regular file", is_missing=False)
    assert time.monotonic() - begun < 1


def test_permission_denied(files: HostFiles, root: Path, let_others_in: Callable[[Path], None]) -> None:
    let_others_in(root)
    (root / "etc/aliases").chmod(0)
    with as_nobody():
        found = files.line(FileLine("/etc/aliases", "ann"))
        words = f"Permission denied (euid={os.geteuid()} egid={os.getegid()})"
    assert found == Unopened(words, is_missing=False)


def test_a_line_of_a_gigabyte(files: HostFiles, root: Path) -> None:
    with (root / "huge").open("wb") as file:
        file.truncate(1_000_000_000)
    begun = time.monotonic()
    assert files.line(FileLine("/huge", "k")) == Unopened("File too large", is_missing=False)
    assert time.monotonic() - begun < 1


def test_a_file_that_does_not_tell_its_size(monkeypatch: pytest.MonkeyPatch) -> None:
    """The files of /proc are of length 0 and endless in principle."""
    files = HostFiles(Disk(Path("/")), find_line)
    assert "processor" in str(files.text(FileText("/proc/cpuinfo")))
    monkeypatch.setattr(disk_module, "LARGEST", 10)
    assert files.text(FileText("/proc/cpuinfo")) == Unopened("File too large", is_missing=False)


@pytest.mark.parametrize(
    "name, wanted, expected, because",
    [
        ("aliases", "any", True, "a file"),
        ("aliases", "file", True, "a file"),
        ("aliases", "dir", False, "no folder"),
        ("d", "dir", True, "a folder"),
        ("d", "subdir", True, "a folder"),
        ("..", "any", True, "an entry of each folder"),
        ("..", "dir", True, "and a folder"),
        ("..", "subdir", False, "but not below"),
        ("dangling", "any", True, "a link that leads nowhere is an entry"),
        ("link", "file", False, "a link is no file"),
        ("none", "any", False, "not there"),
        ("ali", "any", False, "not the whole name"),
        ("a\0b", "any", False, "no name"),
        ("../etc", "any", False, "no name either"),
        ("", "any", False, "nor is this"),
        ("x" * 300, "any", False, "too long"),
    ],
)
def test_entries(files: HostFiles, root: Path, name: str, wanted: str, expected: bool, because: str) -> None:
    (root / "etc/d").mkdir()
    (root / "etc/dangling").symlink_to("nowhere")
    (root / "etc/link").symlink_to("aliases")
    assert files.entry(FolderEntry("/etc", name, wanted)) is expected, because


def test_no_folder(files: HostFiles) -> None:
    assert files.entry(FolderEntry("/none", "x")) == NOT_THERE
    assert files.entry(FolderEntry("/etc/aliases", "x")) == Unopened("Not a directory")
    assert isinstance(files.entry(FolderEntry("/etc/..", "x")), Unopened)


def test_exists(files: HostFiles, root: Path) -> None:
    (root / "dangling").symlink_to("nowhere")
    assert files.exists(Exists("/etc/aliases"))
    assert files.exists(Exists("/etc"))
    assert not files.exists(Exists("/dangling"))


def test_a_remembered_line_costs_little(files: HostFiles, root: Path) -> None:
    (root / "big").write_text("".join(f"user{n}: box{n}\n" for n in range(50_000)))
    age(root / "big")
    files.line(FileLine("/big", "user1"))
    begun = time.process_time()
    for number in range(2000):
        assert files.line(FileLine("/big", f"user{number}")) == f"box{number}"
    assert (time.process_time() - begun) / 2000 < 0.000_2  # ten microseconds here
