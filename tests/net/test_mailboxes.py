"""Final delivery, read back by us and by Python's mailbox module. Crashes: test_spool_crash.py."""

from __future__ import annotations

import errno
import fcntl
import mailbox
import os
import pwd
import re
import shutil
import stat
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from labkit.mail.message import is_canonical, with_crlf
from labkit.net.mailboxes import (
    MailboxRefused,
    append_to_mbox,
    deliver_to_maildir,
    read_maildir,
    read_mbox,
)

NOON = datetime(2026, 11, 22, 12, 0, 5, tzinfo=timezone.utc)
MAIL = b"Return-path: <ann@a.test>\r\nSubject: hello\r\n\r\nHello\r\nFrom me\r\n"

lines = st.sampled_from(
    [b"", b"From x", b">From x", b" From x", b"from x", b"A: 1", b".", b"\0", b"\xff", b"From"]
)
mails = st.lists(lines | st.binary(max_size=8), max_size=9).map(lambda some: with_crlf(b"\n".join(some)))


def append(path: Path, content: bytes = MAIL, delivery: str = "1x/0", **named: Any) -> bool:
    return append_to_mbox(path, content, "ann@a.test", NOON, root=path.parent, delivery=delivery, **named)


# mbox


def test_as_exim_writes(tmp_path: Path) -> None:
    box = tmp_path / "box"
    assert append(box)
    assert append_to_mbox(box, b"\r\nlast\r\n", "", NOON, root=tmp_path, delivery="1y/0")
    assert box.read_bytes() == (
        b"From ann@a.test Sun Nov 22 12:00:05 2026\n"
        b"Return-path: <ann@a.test>\nSubject: hello\n\nHello\n>From me\n\n"
        b"From MAILER-DAEMON Sun Nov 22 12:00:05 2026\n"
        b"\nlast\n\n"
    )
    assert stat.S_IMODE(box.stat().st_mode) == 0o600
    assert read_mbox(box) == [MAIL, b"\r\nlast\r\n"]
    assert os.listdir(tmp_path) == ["box"]


@given(st.lists(mails, max_size=5))
@example([b"", b"", b"\r\n", b"\r\n\r\n"])
def test_mbox_round_trip(some: list[bytes]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        box = Path(folder, "box")
        for number, content in enumerate(some):
            assert append(box, content, f"1x/{number}")
        unescaped = [content.replace(b"\r\n>From ", b"\r\nFrom ") for content in some]
        assert read_mbox(box) == [re.sub(rb"\A>From ", b"From ", content) for content in unescaped]
        judge = mailbox.mbox(box)
        found = [judge.get_bytes(key) for key in judge.keys()]  # noqa: SIM118  (it is no dict)
        judge.close()
        # the judge leaves `>From ` as it is and takes one line end of a blank body for the separating line
        escaped = [
            re.sub(rb"^From ", b">From ", content.replace(b"\r\n", b"\n"), flags=re.M) for content in some
        ]
        assert [each.rstrip(b"\n") for each in found] == [each.rstrip(b"\n") for each in escaped]


@given(st.binary())
def test_any_file_can_be_read(text: bytes) -> None:
    with tempfile.TemporaryDirectory() as folder:
        box = Path(folder, "box")
        box.write_bytes(text)
        assert all(map(is_canonical, read_mbox(box)))


@pytest.mark.parametrize(
    "tail, because",
    [
        (b"From x Sun Nov 22 12:00:05 2026\nA: 1\n\nbody\n\n", "a whole message"),
        (b"From x Sun Nov 22 12:00:05 2026\nA: 1\n\nbody\n", "no blank line after it"),
        (b"From x Sun Nov 22 12:00:05 2026\nA: 1\n\nbo", "cut off in a line"),
        (b"From x", "cut off in the separator"),
        (b"\n", "a line end only"),
    ],
)
def test_nothing_is_glued_to_what_was_there(tmp_path: Path, tail: bytes, because: str) -> None:
    box = tmp_path / "box"
    box.write_bytes(tail)
    box.chmod(0o600)
    append(box)
    assert box.read_bytes().startswith(tail), because
    assert read_mbox(box)[-1] == MAIL, because
    judge = mailbox.mbox(box)
    assert list(judge)[-1]["Return-path"] == "<ann@a.test>", because
    judge.close()


def test_no_file() -> None:
    assert read_mbox(Path("/nonexistent/box")) == []


def test_time_is_linear(tmp_path: Path) -> None:
    box = tmp_path / "box"
    for line in (b"From \r\n", b"\r\n", b">From x\r\n", b"x" * 99 + b"\r\n"):
        content = line * (2_000_000 // len(line))
        append(box, content, str(len(line)))
        assert len(read_mbox(box)[-1]) >= len(content) - len(content) // len(line)


@pytest.mark.parametrize("half", [True, False], ids=["half written", "not written"])
@pytest.mark.parametrize("function, call", [("write", 1), ("write", 2), ("fsync", 1)])
def test_full_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, function: str, call: int, half: bool
) -> None:
    """Calls of write: the note in the lock file's first line, what is being appended, the mbox itself."""
    box = tmp_path / "box"
    append(box, MAIL, "1x/0")
    before = box.read_bytes()
    real, calls = getattr(os, function), 0

    def fail(descriptor: int, *text: bytes) -> Any:
        nonlocal calls
        calls += 1
        if calls <= call:
            return real(descriptor, *text)
        if half and text:
            real(descriptor, bytes(text[0])[: len(text[0]) // 2])
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(
            os, function, fail if function == "write" else lambda _: fail(-1) if calls else failed()
        )

        def failed() -> None:
            raise OSError(errno.ENOSPC, "No space left on device")

        with pytest.raises(OSError, match="No space"):
            append(box, MAIL, "1y/0")
    assert box.read_bytes() == before
    assert os.listdir(tmp_path) == ["box"]
    assert append(box, MAIL, "1y/0")
    assert read_mbox(box) == [MAIL, MAIL]


# Locks


def hold(path: Path, how: str) -> subprocess.Popen[bytes]:
    """Another program that locks the mbox: by fcntl, by its lock file, or as labkit does."""
    script = {
        "fcntl": "f = open(path, 'a'); fcntl.lockf(f, fcntl.LOCK_EX)",
        "lock file": "open(path + '.lock', 'x')",
        "labkit": "f = open(path + '.lock', 'x'); fcntl.flock(f, fcntl.LOCK_EX); f.write('labkit 1z/0\\n'); f.flush()",
    }[how]
    script = (
        f"import fcntl, sys, time; path = sys.argv[1]; {script}; print('locked', flush=True); time.sleep(60)"
    )
    program = subprocess.Popen([sys.executable, "-c", script, str(path)], stdout=subprocess.PIPE)
    assert program.stdout is not None and program.stdout.readline() == b"locked\n"
    return program


@pytest.mark.parametrize("how", ["fcntl", "lock file", "labkit"])
def test_locked(tmp_path: Path, how: str) -> None:
    box = tmp_path / "box"
    append(box)
    before = sorted(os.listdir(tmp_path))
    with hold(box, how) as program:
        locked = sorted(os.listdir(tmp_path))
        with pytest.raises(MailboxRefused, match=r"^mailbox box is locked by another program$"):
            append(box, MAIL, "1y/0")
        assert sorted(os.listdir(tmp_path)) == locked
        program.kill()
    if how == "lock file":  # who made it did not say who it is: only its age tells
        os.unlink(tmp_path / "box.lock")
    assert append(box, MAIL, "1y/0")
    assert sorted(os.listdir(tmp_path)) == before


def test_old_foreign_lock_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "box.lock").touch()
    now = time.time()
    monkeypatch.setattr(time, "time", lambda: now + 31 * 60)
    assert append(tmp_path / "box")
    assert os.listdir(tmp_path) == ["box"]


def test_exim_can_lock_after_us_and_we_are_locked_while_we_write(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Both locks are there while the mbox grows: seen by another program at the moment of fsync."""
    box, seen = tmp_path / "box", []
    other = """
        import fcntl, os, sys
        try:
            fcntl.lockf(os.open(sys.argv[1], os.O_RDWR), fcntl.LOCK_EX | fcntl.LOCK_NB)
            print("free")
        except BlockingIOError:
            print("locked", os.path.exists(sys.argv[1] + ".lock"))
    """.replace("\n        ", "\n")

    def look() -> bytes:
        return subprocess.run([sys.executable, "-c", other, str(box)], capture_output=True, check=True).stdout

    append(box, stored=lambda: seen.append(look()))
    assert seen == [b"locked True\n"]
    assert look() == b"free\n"


def test_two_threads(tmp_path: Path) -> None:
    """fcntl locks do not part threads; the lock file does. Each delivery comes through, or is told to come again."""
    box = tmp_path / "box"

    def deliver(name: str) -> None:
        for number in range(20):
            while True:
                try:
                    append(box, b"Subject: %d\r\n\r\n" % number, f"{name}/{number}")
                    break
                except OSError:
                    time.sleep(0.001)

    threads = [threading.Thread(target=deliver, args=(name,)) for name in "ab"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(read_mbox(box)) == sorted(
        b"Subject: %d\r\n\r\n" % number for number in range(20) for _ in "ab"
    )
    assert os.listdir(tmp_path) == ["box"]


# What a crash left


def note(path: Path, delivery: str, start: int, message: bytes) -> None:
    Path(f"{path}.lock").write_bytes(
        b"labkit %b\n%d %d\n" % (delivery.encode(), start, len(message)) + message
    )


MESSAGE = b"From ann@a.test Sun Nov 22 12:00:05 2026\nSubject: 1\n\nbody\n\n"
OLD = b"From eve@e.test Sun Nov 22 11:00:00 2026\nSubject: 0\n\nold\n\n"


@pytest.mark.parametrize(
    "box, delivery, expected, because",
    [
        (OLD, "1x/0", [b"0", b"new"], "it had not begun"),
        (OLD + MESSAGE[:9], "1x/0", [b"0", b"new"], "half a separator is cut off"),
        (OLD + MESSAGE[:-1], "1x/0", [b"0", b"new"], "nearly all: cut off, too"),
        (OLD + MESSAGE[:-9], "other/0", [b"0", b"new"], "another's half is cut off as well"),
        (OLD + MESSAGE, "1x/0", [b"0", b"1"], "it was complete: not delivered again"),
        (OLD + MESSAGE, "other/0", [b"0", b"1", b"new"], "another's complete message stays"),
        (OLD + MESSAGE + OLD, "1x/0", [b"0", b"1", b"0"], "complete, and somebody went on after it"),
        (OLD + MESSAGE[:-6] + OLD, "1x/0", [b"0", b"1", b"0", b"new"], "somebody went on after half of it: all stays"),
        (OLD[5:], "1x/0", [b"0", b"new"], "somebody rewrote the mbox: nothing is cut off"),
        (b"", "1x/0", [b"new"], "somebody emptied it"),
    ],
)  # fmt: skip
def test_left_over_note(
    tmp_path: Path, box: bytes, delivery: str, expected: list[bytes], because: str
) -> None:
    path = tmp_path / "box"
    path.write_bytes(box)
    path.chmod(0o600)
    note(path, delivery, len(OLD), MESSAGE)
    called: list[int] = []
    appended = append(path, b"Subject: new\r\n\r\n", "1x/0", stored=lambda: called.append(1))
    assert appended == (b"new" in expected), because
    assert called == [1], "the queue is told in any case"
    assert re.findall(rb"Subject: (\w+)", path.read_bytes()) == expected, because
    assert os.listdir(tmp_path) == ["box"]


@pytest.mark.parametrize("text", [b"labkit 1x/0\n", b"labkit 1x/0\n99", b"labkit 1x/0\n59 99\nFrom a"])
def test_note_that_was_not_finished(tmp_path: Path, text: bytes) -> None:
    """Then the mbox had not been touched."""
    path = tmp_path / "box"
    path.write_bytes(OLD + MESSAGE)
    path.chmod(0o600)
    Path(f"{path}.lock").write_bytes(text)
    assert append(path)
    assert path.read_bytes().startswith(OLD + MESSAGE) and len(read_mbox(path)) == 3


def test_queue_cannot_note_it(tmp_path: Path) -> None:
    """The message is there, the queue does not know: the lock file remembers."""

    def fail() -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    box = tmp_path / "box"
    with pytest.raises(OSError, match="No space"):
        append(box, stored=fail)
    assert sorted(os.listdir(tmp_path)) == ["box", "box.lock"]
    assert append(box) is False
    assert read_mbox(box) == [MAIL]
    assert os.listdir(tmp_path) == ["box"]


# What is refused


def symlink(box: Path) -> None:
    (box.parent / "target").touch()
    box.symlink_to(box.parent / "target")


def hard_link(box: Path) -> None:
    (box.parent / "target").touch(0o600)
    os.link(box.parent / "target", box)


@pytest.mark.parametrize(
    "make, words",
    [
        (symlink, "mailbox box is not a regular file"),
        (hard_link, "mailbox box has too many links"),
        (lambda box: box.mkdir(), "mailbox box is not a regular file"),
        (lambda box: os.mkfifo(box), "mailbox box is not a regular file"),
        (lambda box: box.touch(0o400), "mailbox box has the wrong mode 400 (600 expected)"),
    ],
)
def test_refused_files(tmp_path: Path, make: Callable[[Path], None], words: str) -> None:
    make(tmp_path / "box")
    with pytest.raises(OSError, match=re.escape(words)):
        append(tmp_path / "box")
    assert not [name for name in os.listdir(tmp_path) if "lock" in name]


def test_owner(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "box").touch(0o600)
    monkeypatch.setattr(os, "geteuid", lambda: 12345)
    with pytest.raises(MailboxRefused, match=r"mailbox box has wrong uid \(\d+ != 12345\)"):
        append(tmp_path / "box")


def test_wider_mode_is_narrowed(tmp_path: Path) -> None:
    (tmp_path / "box").touch()
    (tmp_path / "box").chmod(0o664)
    append(tmp_path / "box")
    assert stat.S_IMODE((tmp_path / "box").stat().st_mode) == 0o600


@pytest.mark.parametrize(
    "path, words",
    [
        ("../outside", "may not have '..'"),
        ("a/../../outside", "may not have '..'"),
        ("/etc/outside", "is not below"),
        (".", "is not below"),
        ("link/box", "link in the mailbox .* is a symbolic link or no folder"),
        ("file/box", "file in the mailbox .* is a symbolic link or no folder"),
        ("a\0b", "may not have '..' or NUL"),
    ],
)
def test_outside_the_root(tmp_path: Path, path: str, words: str) -> None:
    root = tmp_path / "root"
    root.mkdir()
    (root / "file").touch()
    (root / "link").symlink_to(tmp_path)
    for place in (Path(path), root / path):
        with pytest.raises(MailboxRefused, match=words):
            append_to_mbox(place, MAIL, "", NOON, root=root, delivery="1x/0")
        with pytest.raises(MailboxRefused, match=r"is not below|may not|symbolic link"):
            deliver_to_maildir(place / "x" / "..", MAIL, root=root, queue_id="1x", recipient_index=0)
    assert sorted(os.listdir(tmp_path)) == ["root"]


def test_folders_are_made(tmp_path: Path) -> None:
    box = tmp_path / "a" / "b" / "box"
    append_to_mbox(box, MAIL, "", NOON, root=tmp_path, delivery="1x/0")
    append_to_mbox(Path("a/b/box"), MAIL, "", NOON, root=tmp_path, delivery="1y/0")
    assert len(read_mbox(box)) == 2
    assert stat.S_IMODE(box.parent.stat().st_mode) == 0o700


@pytest.mark.parametrize("sender, delivery", [("a\nFrom b", "1x"), ("a", "1x\n2 3")])
def test_line_ends_in_names(tmp_path: Path, sender: str, delivery: str) -> None:
    with pytest.raises(ValueError, match="a line end"):
        append_to_mbox(tmp_path / "box", MAIL, sender, NOON, root=tmp_path, delivery=delivery)


# Maildir


def deliver(path: Path, content: bytes = MAIL, index: int = 0) -> bool:
    return deliver_to_maildir(
        path, content, root=path.parent, queue_id="1xVGdp-0000LT-0M", recipient_index=index
    )


def test_maildir(tmp_path: Path) -> None:
    box = tmp_path / "box"
    assert deliver(box) and deliver(box, b"Subject: 1\r\n\r\n", 1)
    assert sorted(os.listdir(box / "new")) == ["1xVGdp-0000LT-0M.R0", "1xVGdp-0000LT-0M.R1"]
    assert (box / "new" / "1xVGdp-0000LT-0M.R0").read_bytes() == MAIL.replace(b"\r\n", b"\n")
    assert stat.S_IMODE((box / "new" / "1xVGdp-0000LT-0M.R0").stat().st_mode) == 0o600
    assert read_maildir(box) == [MAIL, b"Subject: 1\r\n\r\n"]
    judge = mailbox.Maildir(box)
    assert sorted(message["Subject"] for message in judge) == ["1", "hello"]
    assert {judge.get_bytes(key) for key in judge.keys()} == {  # noqa: SIM118  (it is no dict)
        MAIL.replace(b"\r\n", b"\n"),
        b"Subject: 1\n\n",
    }


@pytest.mark.parametrize("seen_as", ["new/{}", "cur/{}", "cur/{}:2,", "cur/{}:2,FRS"])
def test_maildir_delivers_once(tmp_path: Path, seen_as: str) -> None:
    box = tmp_path / "box"
    deliver(box)
    name = "1xVGdp-0000LT-0M.R0"
    (box / "new" / name).rename(box / seen_as.format(name))
    assert deliver(box) is False
    assert read_maildir(box) == [MAIL]
    assert deliver(box, index=1), "1 is no 10"
    assert deliver(box, index=10)


@pytest.mark.parametrize("function", ["open", "write", "fsync", "rename"])
def test_maildir_on_a_full_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, function: str) -> None:
    box = tmp_path / "box"
    deliver(box, index=1)
    real = getattr(os, function)

    def fail(*arguments: Any, **named: Any) -> Any:
        if function == "open" and not arguments[1] & os.O_CREAT:
            return real(*arguments, **named)
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, function, fail)
        with pytest.raises(OSError, match="No space"):
            deliver(box)
    assert read_maildir(box) == [MAIL] and not os.listdir(box / "tmp")
    assert deliver(box)


def test_maildir_rests_of_a_crash(tmp_path: Path) -> None:
    box = tmp_path / "box"
    deliver(box, index=1)
    (box / "tmp" / "1xVGdp-0000LT-0M.R0").write_bytes(b"half of i")
    assert deliver(box)
    assert read_maildir(box) == [MAIL, MAIL] and not os.listdir(box / "tmp")


def test_maildir_bad_id(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="not a queue id"):
        deliver_to_maildir(tmp_path / "box", MAIL, root=tmp_path, queue_id="../x", recipient_index=0)


# The judge


def test_exim_and_we_share_a_mailbox(require: Callable[[str], str]) -> None:
    """A real Exim appends before and after us: same form, and nobody waits for the other's lock."""
    exim = require("exim")
    account = pwd.getpwnam("nobody") if os.geteuid() == 0 else pwd.getpwuid(os.geteuid())
    folder = Path(tempfile.mkdtemp(prefix="labkit-exim-"))  # pytest's own folder is closed to other users
    box = folder / "box"
    script = f"""
import sys
from datetime import datetime, timezone
from pathlib import Path
from labkit.net.mailboxes import append_to_mbox
append_to_mbox(Path({str(box)!r}), sys.stdin.buffer.read(), "ann@a.test", datetime.now(timezone.utc),
               root=Path({str(folder)!r}), delivery="1x/0")
"""
    try:
        (folder / "exim.conf").write_text(
            f"exim_user = {account.pw_uid}\nexim_group = {account.pw_gid}\ndeliver_drop_privilege = true\n"
            f"keep_environment =\ntrusted_users = {account.pw_name}\n"
            f"spool_directory = {folder}/spool\nlog_file_path = {folder}/%slog\nprimary_hostname = a.test\n"
            "received_header_text = X: 1\n"
            "begin routers\nall:\n  driver = accept\n  transport = box\n"
            f"begin transports\nbox:\n  driver = appendfile\n  file = {box}\n  headers_remove = message-id:date:x\n"
        )
        for path in (folder, folder / "exim.conf"):
            path.chmod(0o755)
            if os.geteuid() == 0:
                os.chown(path, account.pw_uid, account.pw_gid)

        def run(*command: str, text: bytes) -> None:
            as_root = os.geteuid() == 0
            with subprocess.Popen(
                command,
                stdin=subprocess.PIPE,
                cwd=folder,
                user=account.pw_uid if as_root and command[0] == exim else None,
                group=account.pw_gid if as_root and command[0] == exim else None,
                extra_groups=[] if as_root and command[0] == exim else None,
            ) as program:
                program.communicate(text, timeout=60)
                assert program.returncode == 0

        content = b"From: ann@a.test\r\nSubject: same\r\n\r\n..\r\nFrom me\r\n\r\n"
        unix = content.replace(b"\r\n", b"\n")
        send = (exim, "-C", f"{folder}/exim.conf", "-i", "-odf", "-f", "ann@a.test", "bob@a.test")
        run(*send, text=unix)
        if os.geteuid() == 0:
            os.chown(box, 0, 0)  # who delivers must own it
        run(sys.executable, "-c", script, text=content)
        if os.geteuid() == 0:
            os.chown(box, account.pw_uid, account.pw_gid)
        run(*send, text=unix)
        text = re.sub(
            rb"(?m)^(From ann@a.test \w{3} \w{3} [\d ]\d \d\d:\d\d:\d\d \d{4})$",
            b"SEPARATOR",
            box.read_bytes(),
        )
        assert text == (b"SEPARATOR\n" + unix.replace(b"\nFrom ", b"\n>From ") + b"\n") * 3
        assert read_mbox(box) == [content] * 3
    finally:
        shutil.rmtree(folder)


def test_flock_and_fcntl_are_two_locks(tmp_path: Path) -> None:
    """Else a lock file that a crash left could not be told from one that is held."""
    with open(tmp_path / "a", "w") as one, open(tmp_path / "a", "w") as two:
        fcntl.lockf(one, fcntl.LOCK_EX)
        fcntl.flock(two, fcntl.LOCK_EX | fcntl.LOCK_NB)
        with pytest.raises(BlockingIOError):
            fcntl.flock(one, fcntl.LOCK_EX | fcntl.LOCK_NB)
