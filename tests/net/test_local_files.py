"""Rules of mailboxes, Maildir names and sizes, the files of answers, and programs."""

from __future__ import annotations

import asyncio
import errno
import fcntl
import os
import stat
import sys
import time
from datetime import datetime, timezone
from pathlib import Path

import pytest

from labkit.mail.mailbox_rules import MailboxRules
from labkit.mta.queue_id import queue_id
from labkit.net import maildir, program_run
from labkit.net.mailbox_places import MailboxLocked, MailboxRefused
from labkit.net.maildir_size import SizeFile, folder_size, maildir_size
from labkit.net.mbox import append
from labkit.net.once_file import OnceFile, write_log

TEXT = b"From a Sun Nov 22 12:00:05 2026\nA: 1\n\nx\n\n"


def put(path: Path, rules: MailboxRules, octets: bytes = TEXT) -> bool:
    return append(path, octets, root=path.parent, delivery="1x/0", rules=rules, shown="/mail/box")


# --- the rules of an mbox ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    "rules, number, words",
    [
        (
            MailboxRules(must_exist=True),
            errno.ENOENT,
            "mailbox /mail/box does not exist, but file_must_exist is set",
        ),
        (MailboxRules(creates=False), -34, "mailbox /mail/box does not exist, but creation outside the home"),
    ],
)
def test_may_not_be_made(tmp_path: Path, rules: MailboxRules, number: int, words: str) -> None:
    with pytest.raises(MailboxRefused) as caught:
        put(tmp_path / "box", rules)
    assert caught.value.errno == number and str(caught.value).startswith(words)
    (tmp_path / "box").touch(0o600)
    (tmp_path / "box").chmod(0o600)
    assert put(tmp_path / "box", rules)


def test_narrower_mode_may_be_allowed(tmp_path: Path) -> None:
    box = tmp_path / "box"
    box.touch(0o600)
    box.chmod(0o600)
    with pytest.raises(MailboxRefused, match=r"mailbox /mail/box has the wrong mode 600 \(660 expected\)"):
        put(box, MailboxRules(mode=0o660))
    assert put(box, MailboxRules(mode=0o660, refuses_narrower=False))
    assert stat.S_IMODE(box.stat().st_mode) == 0o600


def test_link_to_a_file_of_this_host(tmp_path: Path) -> None:
    root = tmp_path / "root"
    root.mkdir()
    (root / "real").touch(0o600)
    (root / "real").chmod(0o600)
    (root / "box").symlink_to("real")
    assert put(root / "box", MailboxRules(follows_links=True))
    assert (root / "real").read_bytes() == TEXT
    (root / "box").unlink()
    (root / "box").symlink_to(tmp_path / "outside")
    (tmp_path / "outside").touch(0o600)
    with pytest.raises(MailboxRefused, match="leaves the host's disk"):
        put(root / "box", MailboxRules(follows_links=True))


def test_named_pipe(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "box", 0o600)
    with pytest.raises(MailboxRefused, match="could mean no process is reading it"):
        put(tmp_path / "box", MailboxRules(takes_fifo=True))
    reader = os.open(tmp_path / "box", os.O_RDONLY | os.O_NONBLOCK)
    try:
        assert put(tmp_path / "box", MailboxRules(takes_fifo=True))
        assert os.read(reader, 999) == TEXT
    finally:
        os.close(reader)


def test_flock_instead_of_a_lock_file(tmp_path: Path) -> None:
    box, rules = tmp_path / "box", MailboxRules(uses_lock_file=False, uses_fcntl=False, uses_flock=True)
    (tmp_path / "box.lock").touch()
    assert put(box, rules)
    with box.open("rb") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        with pytest.raises(MailboxLocked) as caught:
            put(box, rules)
        assert caught.value.by == "fcntl/flock"
    assert put(box, rules) and box.read_bytes() == TEXT * 2


def test_nobody_has_read_it(tmp_path: Path) -> None:
    box = tmp_path / "box"
    put(box, MailboxRules())
    os.utime(box, (1_000_000, 1_000_000))
    append(box, TEXT, root=tmp_path, delivery="1y/0", rules=MailboxRules())
    assert box.stat().st_atime == 1_000_000 and box.stat().st_mtime > time.time() - 60


def test_permission_is_asked_under_the_lock(tmp_path: Path) -> None:
    def permits(size: int, count: int) -> None:
        raise MailboxRefused(-22, f"full at {size}")

    with pytest.raises(MailboxRefused, match="full at 0"):
        append(tmp_path / "box", TEXT, root=tmp_path, delivery="1x", rules=MailboxRules(), permits=permits)
    assert os.listdir(tmp_path) == ["box"] and not (tmp_path / "box").stat().st_size


# --- folders ----------------------------------------------------------------------------------------


def test_names_in_a_maildir() -> None:
    name = maildir.file_name("1xVGdp-0000LT-0M", "ann@a.test", "mx.a.test")
    seconds, numbers, host = name.split(".", 2)
    assert seconds == "1795388797" and host == "mx.a.test"
    sent = datetime.fromtimestamp(int(seconds), timezone.utc)
    assert queue_id(sent, 1331).startswith("1xVGdp-0000LT-")
    assert numbers.startswith("M") and numbers.partition("P")[2] == "1331"
    assert name == maildir.file_name("1xVGdp-0000LT-0M", "ann@a.test", "mx.a.test")
    others = {maildir.file_name("1xVGdp-0000LT-0M", f"{n}@a.test", "mx.a.test") for n in range(50)}
    assert len(others) == 50
    with pytest.raises(ValueError, match="not a queue id"):
        maildir.file_name("../x", "", "")


@pytest.mark.parametrize(
    "text, tag", [(",S=12", ",S=12"), ("S", ":S"), ("a/b \n\tc", ":abc"), ("", ""), (":2,", ":2,")]
)
def test_tags(text: str, tag: str) -> None:
    assert maildir.tag_of(text) == tag


def test_name_with_a_tag_is_known_again(tmp_path: Path) -> None:
    box = tmp_path / "box"
    for _ in range(2):
        maildir.deliver(box, b"x\n", root=tmp_path, name="1.M1P1.h", rules=MailboxRules(), tag=",S=2")
    assert os.listdir(box / "new") == ["1.M1P1.h,S=2"]
    (box / "new" / "1.M1P1.h,S=2").rename(box / "cur" / "1.M1P1.h,S=2:2,S")
    again = maildir.deliver(box, b"x\n", root=tmp_path, name="1.M1P1.h", rules=MailboxRules(), tag=",S=2")
    assert not again and not os.listdir(box / "new")
    maildir.deliver(box, b"x\n", root=tmp_path, name="1.M2P1.h", rules=MailboxRules(), tag="," + "x" * 300)
    assert os.listdir(box / "new") == ["1.M2P1.h"]


def test_new_file_of_a_folder(tmp_path: Path) -> None:
    for name in ("../out", "", "x" * 300, ".."):
        new = maildir.NewFile(tmp_path / "f", b"x\n", tmp_path, MailboxRules(), "temp.1", "/f")
        with pytest.raises(MailboxRefused, match="while renaming"), new:
            new.call(name)
    new = maildir.NewFile(tmp_path / "f", b"x\n", tmp_path, MailboxRules(), "temp.1", "/f")
    with new as inode:
        new.call(f"q-{inode}")
    assert os.listdir(tmp_path / "f") == [f"q-{inode}"]


def test_sizes(tmp_path: Path) -> None:
    for folder, size in (("cur", 5), ("new", 7), ("tmp", 11), (".Sent/cur", 13), ("other", 17)):
        (tmp_path / folder).mkdir(parents=True)
        (tmp_path / folder / f"a,S={size + 100}").write_bytes(b"x" * size)
    (tmp_path / "cur" / "link").symlink_to("/etc/passwd")
    assert folder_size(tmp_path) == (53, 5)

    def counted(name: str) -> bool:
        return name in ("cur", "new") or name.startswith(".")

    assert maildir_size(tmp_path, lambda name: None, counted) == (25, 3)
    assert maildir_size(tmp_path, lambda name: int(name.partition("=")[2] or 0), counted) == (325, 3)


def test_size_file(tmp_path: Path) -> None:
    (tmp_path / "tmp").mkdir()
    measured = []

    def measure() -> tuple[int, int]:
        measured.append(1)
        return 100, 2

    sizes = SizeFile(tmp_path, 1000, 0, measure)
    assert sizes.sizes(lambda size, count: False) == (100, 2)
    sizes.add(50)
    assert sizes.sizes(lambda size, count: False) == (150, 3) and len(measured) == 1
    assert (tmp_path / "maildirsize").read_bytes() == b"1000S,0C\n100 2\n50 1\n"
    assert sizes.sizes(lambda size, count: size > 120) == (100, 2), "full: look again"
    assert SizeFile(tmp_path, 2000, 0, measure).sizes(lambda size, count: False) == (100, 2)
    assert (tmp_path / "maildirsize").read_bytes().startswith(b"2000S,0C\n"), "another limit"
    for text in (b"junk\n", b"2000S,0C\n5 five\n", b"2000S,0C\n-5 1\n", b"2000S,0C\n" + b"1 1\n" * 2000, b""):
        (tmp_path / "maildirsize").write_bytes(text)
        assert SizeFile(tmp_path, 2000, 0, measure).sizes(lambda size, count: False) == (100, 2)


# --- the files of an answer -------------------------------------------------------------------------


def test_once(tmp_path: Path) -> None:
    file = OnceFile(tmp_path / "once", tmp_path, 0o600)
    assert file.last("a@b") is None
    file.note("a@b", 1000.0)
    file.note("Joe <c@d>", 2000.0)
    assert (file.last("a@b"), file.last("Joe <c@d>"), file.last("c@d")) == (1000, 2000, None)
    file.note("a@b", 3000.0)
    again = OnceFile(tmp_path / "once", tmp_path, 0o600)
    assert again.last("a@b") == 3000 and stat.S_IMODE((tmp_path / "once").stat().st_mode) == 0o600
    assert os.listdir(tmp_path) == ["once"]
    with pytest.raises(FileNotFoundError):
        OnceFile(tmp_path / "no" / "once", tmp_path, 0o600).note("a@b", 1.0)


def test_once_forgets_the_oldest(tmp_path: Path) -> None:
    file = OnceFile(tmp_path / "once", tmp_path, 0o600, size=40)
    for number in range(9):
        file.note(f"{number}@b", 1000.0 + number)
    assert file.last("8@b") == 1008 and file.last("0@b") is None
    assert (tmp_path / "once").stat().st_size <= 40


@pytest.mark.parametrize("text", [b"", b"\0\xff\n", b"x\n\n 5\nlong ago a@b\n1e999 a@b\n"])
def test_once_with_anything_in_it(tmp_path: Path, text: bytes) -> None:
    (tmp_path / "once").write_bytes(text)
    file = OnceFile(tmp_path / "once", tmp_path, 0o600)
    file.note("c@d", 5.0)
    assert file.last("c@d") == 5


def test_log(tmp_path: Path) -> None:
    for _ in range(2):
        write_log(tmp_path / "log", tmp_path, "line\n", 0o640)
    assert (tmp_path / "log").read_text() == "line\n" * 2
    write_log(tmp_path / "no" / "log", tmp_path, "line\n", 0o640)
    (tmp_path / "link").symlink_to("log")
    write_log(tmp_path / "link", tmp_path, "line\n", 0o640)
    assert (tmp_path / "log").read_text() == "line\n" * 2


# --- programs ---------------------------------------------------------------------------------------


def run(
    script: str, root: Path, octets: bytes = b"hello\n", timeout: float = 20, most: int = 20000
) -> tuple[int | None, bytes, bool]:
    return asyncio.run(
        program_run.run(
            sys.executable,
            ("python", "-c", script),
            octets,
            environment={"A": "1", "HOME": "/home/ann"},
            directory="/home/ann",
            root=root,
            umask=0o027,
            timeout=timeout,
            most_output=most,
        )
    )


def test_program(tmp_path: Path) -> None:
    (tmp_path / "home/ann").mkdir(parents=True)
    script = "import os, sys; print(sys.stdin.read(), os.environ['HOME'], os.getcwd(), os.getpgrp() == os.getpid())"
    script += "; print(oct(os.umask(0)), file=sys.stderr); open('/home/ann/x', 'w').close(); sys.exit(3)"
    status, said, broke = run(script, tmp_path)
    place = f"{tmp_path}/home/ann"
    assert (status, broke) == (3, False)
    assert said.decode().split() == ["0o27", "hello", place, place, "True"] or said.decode().split() == [
        "hello", place, place, "True", "0o27"
    ]  # fmt: skip
    assert (tmp_path / "home/ann/x").exists()


def test_program_that_reads_nothing(tmp_path: Path) -> None:
    assert run("pass", tmp_path, b"x" * 5_000_000)[0] == 0


def test_program_that_is_killed(tmp_path: Path) -> None:
    assert run("import os; os.kill(os.getpid(), 9)", tmp_path)[0] == -9


def test_program_that_hangs_is_ended_with_its_children(tmp_path: Path) -> None:
    script = "import subprocess, time; c = subprocess.Popen(['sleep', '60']); open('/tmp/pid', 'w').write(str(c.pid))"
    (tmp_path / "tmp").mkdir()
    begun = time.monotonic()
    status, _, broke = run(f"{script}; time.sleep(60)", tmp_path, b"x" * 5_000_000, timeout=2)
    assert status is None and broke and time.monotonic() - begun < 20
    child = int((tmp_path / "tmp/pid").read_text())
    for _ in range(50):
        state = Path(f"/proc/{child}/stat")
        if not state.exists() or state.read_text().rpartition(")")[2].split()[0] == "Z":
            break
        time.sleep(0.1)
    else:
        pytest.fail("a child is left")


def test_program_that_says_too_much(tmp_path: Path) -> None:
    status, said, _ = run("while True: print('x' * 999)", tmp_path, most=5000)
    assert status == -9 and said.endswith(program_run.TOO_MUCH) and len(said) < 200_000


def test_where_programs_are(tmp_path: Path) -> None:
    (tmp_path / "opt").mkdir()
    (tmp_path / "opt" / "tool").touch()
    assert program_run.find("tool", ("/nowhere", "/opt"), tmp_path) == f"{tmp_path}/opt/tool"
    assert program_run.find("no-such-tool", ("/opt", "/bin"), tmp_path) is None
    assert program_run.find("/bin/sh", (), tmp_path) == "/bin/sh"


def test_program_that_is_not_there(tmp_path: Path) -> None:
    ended = asyncio.run(
        program_run.run(
            "/no/such",
            ("x",),
            b"",
            environment={},
            directory="/",
            root=tmp_path,
            umask=0,
            timeout=5,
            most_output=9,
        )
    )
    assert ended == (127, b"", False)
