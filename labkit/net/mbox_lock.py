"""The lock file of an mbox: `<mbox>.lock`, as mail programs agree on it, and what ours remembers of a crash.

DECIDES    who holds it keeps it open under flock, so that a left-over one is known for what it is
READ NEXT  maildir.py
"""

from __future__ import annotations

import errno
import fcntl
import os
import re
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from labkit.mail.mailbox_rules import MailboxRules
from labkit.net.durable import write_all
from labkit.net.mailbox_places import NOT_REGULAR, MailboxLocked, MailboxRefused

_NOTE = re.compile(rb"labkit (?P<delivery>[^\n]*)\n(?:(?P<start>[0-9]+) (?P<length>[0-9]+)\n)?")


@contextmanager
def lock_file(
    folder: int, name: str, mbox: int, delivery: str, rules: MailboxRules, shown: str
) -> Iterator[tuple[int, bool]]:
    """Make the lock file; gives it, open, and whether a run that crashed has made this very delivery.

    It is written under another name and linked, as by Exim ("hitching post"): it is complete when it appears.
    Who uses it removes it; what is left after a failure is for the next one to read.
    """
    lock = f"{name}.lock"
    post = f"{lock}.{threading.get_native_id()}"
    with suppress(FileNotFoundError):
        os.unlink(post, dir_fd=folder)
    file = _post(folder, post, rules, shown)
    is_there = False
    try:
        try:
            fcntl.flock(file, fcntl.LOCK_EX)
            write_all(file, b"labkit %b\n" % delivery.encode())
            while True:
                with suppress(FileExistsError):
                    os.link(post, lock, src_dir_fd=folder, dst_dir_fd=folder)
                    break
                with suppress(FileNotFoundError):  # its owner has just finished
                    is_there = _clear(folder, name, mbox, delivery, rules, shown) or is_there
            try:
                check_links(os.fstat(mbox), shown)  # now that nobody may replace it
            except MailboxRefused:
                os.unlink(lock, dir_fd=folder)
                raise
        finally:
            os.unlink(post, dir_fd=folder)
        yield file, is_there
    finally:
        os.close(file)


def _post(folder: int, post: str, rules: MailboxRules, shown: str) -> int:
    try:
        return os.open(post, os.O_WRONLY | os.O_CREAT | os.O_EXCL, rules.lock_file_mode, dir_fd=folder)
    except OSError as problem:
        number = problem.errno or errno.EIO
        words = f"creating lock file hitching post {shown}.lock.{post.rpartition('.')[2]} "
        words += f"(euid={os.geteuid()} egid={os.getegid()})"
        raise MailboxRefused(number, words if number != errno.ENOSPC else os.strerror(number)) from None


def check_links(found: os.stat_result, shown: str) -> None:
    if found.st_nlink == 0:
        raise MailboxRefused(errno.EAGAIN, f"mailbox {shown} was replaced by another program just now")
    if found.st_nlink > 1:  # perhaps somebody else's file, linked to by a user
        raise MailboxRefused(NOT_REGULAR, f"mailbox {shown} has too many links ({found.st_nlink})")


def _clear(folder: int, name: str, mbox: int, delivery: str, rules: MailboxRules, shown: str) -> bool:
    """Remove a left-over lock file, and what was left half done; whether this delivery was done wholly."""
    left_over = os.open(f"{name}.lock", os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK, dir_fd=folder)
    try:
        try:
            fcntl.flock(left_over, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise MailboxLocked(shown, "lock file") from None
        found = os.fstat(left_over)
        if found.st_nlink == 0:  # its owner has just finished
            return False
        text = os.pread(left_over, found.st_size, 0)
        note = _NOTE.match(text)
        lasts = rules.lock_file_lasts
        if note is None and not (lasts > 0 and time.time() - found.st_ctime > lasts):
            raise MailboxLocked(shown, "lock file")
        is_done = note is not None and _finish(mbox, note, text[note.end() :])
        os.unlink(f"{name}.lock", dir_fd=folder)
        return is_done and note is not None and note["delivery"] == delivery.encode()
    finally:
        os.close(left_over)


def _finish(mbox: int, note: re.Match[bytes], message: bytes) -> bool:
    """Whether the delivery of this note is in the mbox. What is there of a broken one, and nothing else, is cut off."""
    if not note["start"] or len(message) != int(note["length"]):
        return False  # it had not begun
    start = int(note["start"])
    there = os.pread(mbox, len(message), start)
    if there == message:
        os.fsync(mbox)
        return True
    if message.startswith(there) and os.fstat(mbox).st_size == start + len(there):
        os.ftruncate(mbox, start)
    return False
