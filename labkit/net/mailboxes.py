"""Final delivery: append to an mbox file, or put a file into a Maildir.

WHAT       `append_to_mbox` and `deliver_to_maildir` write as Exim's appendfile does; `read_mbox` and `read_maildir`
           give the messages back, with the CR LF line ends of mail.
DECIDES    both locks of Exim's defaults: fcntl on the mbox, and the file `<mbox>.lock`. Nobody is kept waiting: a
           mailbox that is locked refuses, and the queue tries again. Our lock file holds what is being appended,
           and where: if that breaks off (a crash, a full disk), the mbox is cut back to its length, at once or by
           the next delivery; and what was complete is not delivered twice. Messages cannot run into one another:
           a blank line is put between them whatever the file ends in.
           A Maildir needs no lock: the file's name is the delivery's, and appears when the file is complete.
SAFE       only below `root`: no `..`, no symbolic link on the way, no file that is another's or has two names
SIMPLER    no NFS, no quota, no comsat; Exim would wait half a minute for a lock
STANDARDS  RFC 4155 (mbox); maildir(5); Exim specification, chapter "The appendfile transport"
READ NEXT  the room mta
"""

from __future__ import annotations

import errno
import fcntl
import os
import re
import stat
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import datetime
from pathlib import Path

from labkit.mail.dates import mbox_date
from labkit.mail.message import CRLF, with_crlf
from labkit.net.durable import sync_folder, write_all
from labkit.net.spool_format import check_queue_id

LF = b"\n"
NULL_SENDER = "MAILER-DAEMON"  # the null reverse-path in a separator line
FOLDER_MODE = 0o700  # Exim: directory_mode
FOREIGN_LOCK_LASTS = 30 * 60  # real seconds; Exim: lockfile_timeout. Its owner has crashed, then
_NOTE = re.compile(rb"labkit (?P<delivery>[^\n]*)\n(?:(?P<start>[0-9]+) (?P<length>[0-9]+)\n)?")


class MailboxRefused(OSError):
    """Nothing may be written there, or not now; the text says why."""

    def __str__(self) -> str:
        return str(self.strerror)


def append_to_mbox(
    path: Path,
    content: bytes,
    sender: str,
    at: datetime,
    *,
    root: Path,
    delivery: str,
    mode: int = 0o600,
    stored: Callable[[], None] = lambda: None,
) -> bool:
    """Append a message (CR LF line ends) to the mbox at `path`, made if need be; durable on return.

    `sender` is the reverse-path, "" the null one; `at` the lab time for the separator line. `delivery` names this
    delivery (queue id and recipient): if a run that crashed has made it already, nothing is written and False is
    returned. `stored` is called while the lock file still knows of this delivery: if the queue notes there that
    the recipient is finished, a crash in between does no harm.
    Raises OSError; one of these is MailboxRefused, for a place outside `root`, a symbolic link, what is no regular
    file, another owner, a mode narrower than `mode`, and a locked mailbox.
    """
    separator = f"From {sender or NULL_SENDER} {mbox_date(at)}".encode("utf-8", "surrogateescape") + LF
    if LF in separator[:-1] or "\n" in delivery:
        raise ValueError(f"a line end in the sender {sender!r} or the name of the delivery {delivery!r}")
    text = content.replace(CRLF, LF)
    text = (LF + text).replace(b"\nFrom ", b"\n>From ")[1:]  # Exim: check_string, escape_string
    end = LF if text.endswith(LF) or not text else LF + LF
    with _folder(path, root) as (folder, name), _mbox(folder, name, mode) as mbox:
        lock, is_there = _lock(folder, name, mbox, delivery)
        try:
            if not is_there:
                start = os.fstat(mbox).st_size
                message = _gap(mbox, start) + separator + text + end
                try:
                    write_all(lock, b"%d %d\n" % (start, len(message)) + message)
                    write_all(mbox, message)
                    os.fsync(mbox)
                except OSError:
                    # if this fails, too, the lock file stays for the next one to read
                    os.ftruncate(mbox, start)
                    os.unlink(f"{name}.lock", dir_fd=folder)
                    raise
            stored()
            os.unlink(f"{name}.lock", dir_fd=folder)
        finally:
            os.close(lock)
    return not is_there


def deliver_to_maildir(
    path: Path, content: bytes, *, root: Path, queue_id: str, recipient_index: int, mode: int = 0o600
) -> bool:
    """Put a message (CR LF line ends) into the Maildir at `path`, made if need be; durable on return.

    The name is made of `queue_id` and `recipient_index`: if the message is there already, in new or, with flags,
    in cur, nothing is written and False is returned. Raises OSError, MailboxRefused, ValueError for a bad id.
    """
    name = f"{check_queue_id(queue_id)}.R{recipient_index}"
    with (
        _folder(path / "cur" / name, root) as (cur, _),
        _folder(path / "new" / name, root) as (new, _),
        _folder(path / "tmp" / name, root) as (tmp, _),
    ):
        if _exists(name, new) or any(there.partition(":")[0] == name for there in os.listdir(cur)):
            sync_folder(new)
            return False
        with suppress(FileNotFoundError):  # of a run that crashed
            os.unlink(name, dir_fd=tmp)
        try:
            file = os.open(name, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode, dir_fd=tmp)
            try:
                os.fchmod(file, mode)
                write_all(file, content.replace(CRLF, LF))
                os.fsync(file)
            finally:
                os.close(file)
            os.rename(name, name, src_dir_fd=tmp, dst_dir_fd=new)
        except OSError:
            with suppress(OSError):
                os.unlink(name, dir_fd=tmp)
            raise
        sync_folder(new)
    return True


def read_mbox(path: Path) -> list[bytes]:
    """The messages of an mbox, without separator lines and with CR LF line ends; none if there is no such file.

    A message begins with a line `From ...` at the start or after a blank line. `>From ` at the start of a line
    becomes `From `, as that is what an escaped line looks like: one that was so from the first is changed.
    Raises OSError.
    """
    try:
        text = path.read_bytes()
    except FileNotFoundError:
        return []
    text = text[:-2] if text.endswith(LF + LF) else text.removesuffix(LF)
    messages = []
    for part in (LF + LF + text).split(b"\n\nFrom ")[1:]:  # what comes before the first is no message
        _, line_end, message = part.partition(LF)
        messages.append(with_crlf((line_end + message).replace(b"\n>From ", b"\nFrom ")[1:] + line_end))
    return messages


def read_maildir(path: Path) -> list[bytes]:
    """The messages of a Maildir, read or not, sorted by name, with CR LF line ends. Raises OSError."""
    files = [file for folder in ("new", "cur") for file in (path / folder).glob("[!.]*") if file.is_file()]
    return [with_crlf(file.read_bytes()) for file in sorted(files, key=lambda file: file.name.partition(":"))]


# Places


@contextmanager
def _folder(path: Path, root: Path) -> Iterator[tuple[int, str]]:
    """Open the folder of `path`, going down from `root` by names that are folders, and made if need be."""
    try:
        *parents, name = (root / path).relative_to(root).parts
    except ValueError:
        raise MailboxRefused(errno.EPERM, f"the mailbox {path} is not below {root}") from None
    if ".." in (*parents, name) or "\0" in str(path):
        raise MailboxRefused(errno.EPERM, f"the mailbox {path} may not have '..' or NUL in its name")
    folder = os.open(root, os.O_RDONLY | os.O_DIRECTORY)
    try:
        for parent in parents:
            with suppress(FileExistsError):
                os.mkdir(parent, FOLDER_MODE, dir_fd=folder)
                sync_folder(folder)
            try:
                below = os.open(parent, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW, dir_fd=folder)
            except OSError as problem:
                if problem.errno not in (errno.ELOOP, errno.ENOTDIR):
                    raise
                words = f"{parent} in the mailbox {path} is a symbolic link or no folder"
                raise MailboxRefused(problem.errno, words) from None
            os.close(folder)
            folder = below
        yield folder, name
    finally:
        os.close(folder)


@contextmanager
def _mbox(folder: int, name: str, mode: int) -> Iterator[int]:
    """Open an mbox as Exim would, and take the fcntl lock."""
    flags = os.O_RDWR | os.O_APPEND | os.O_NOFOLLOW | os.O_NONBLOCK
    is_new = not _exists(name, folder)
    try:
        mbox = os.open(name, flags | (os.O_CREAT | os.O_EXCL if is_new else 0), mode, dir_fd=folder)
    except OSError as problem:
        if problem.errno not in (errno.ELOOP, errno.EISDIR, errno.ENXIO):
            raise
        raise MailboxRefused(problem.errno, f"mailbox {name} is not a regular file") from None
    try:
        if is_new:
            os.fchmod(mbox, mode)  # whatever the umask
            sync_folder(folder)
        if not stat.S_ISREG(os.fstat(mbox).st_mode):
            raise MailboxRefused(errno.EPERM, f"mailbox {name} is not a regular file")
        try:
            fcntl.lockf(mbox, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except (BlockingIOError, PermissionError):
            raise _locked(name) from None
        found = os.fstat(mbox)
        _check_links(found, name)
        if found.st_uid != os.geteuid():
            words = f"mailbox {name} has wrong uid ({found.st_uid} != {os.geteuid()})"
            raise MailboxRefused(errno.EPERM, words)
        has = stat.S_IMODE(found.st_mode)
        if mode & ~has:
            raise MailboxRefused(
                errno.EPERM, f"mailbox {name} has the wrong mode {has:03o} ({mode:03o} expected)"
            )
        if has != mode:
            os.fchmod(mbox, mode)
        yield mbox
    finally:
        os.close(mbox)


def _check_links(found: os.stat_result, name: str) -> None:
    if found.st_nlink == 0:
        raise MailboxRefused(errno.EAGAIN, f"mailbox {name} was replaced by another program just now")
    if found.st_nlink > 1:  # perhaps somebody else's file, linked to by a user
        raise MailboxRefused(errno.EPERM, f"mailbox {name} has too many links ({found.st_nlink})")


def _exists(name: str, folder: int) -> bool:
    try:
        os.stat(name, dir_fd=folder, follow_symlinks=False)
    except FileNotFoundError:
        return False
    return True


# The lock file: who holds it keeps it open under flock, so that a left-over one is known for what it is


def _lock(folder: int, name: str, mbox: int, delivery: str) -> tuple[int, bool]:
    """Make the lock file; returns it, open, and whether a run that crashed has made this very delivery.

    It is written under another name and linked, as by Exim ("hitching post"): it is complete when it appears.
    """
    lock = f"{name}.lock"
    post = f"{lock}.{threading.get_native_id()}"
    with suppress(FileNotFoundError):
        os.unlink(post, dir_fd=folder)
    file = os.open(post, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600, dir_fd=folder)
    is_there = False
    try:
        fcntl.flock(file, fcntl.LOCK_EX)
        write_all(file, b"labkit %b\n" % delivery.encode())
        while True:
            with suppress(FileExistsError):
                os.link(post, lock, src_dir_fd=folder, dst_dir_fd=folder)
                break
            with suppress(FileNotFoundError):  # its owner has just finished
                is_there = _clear(folder, name, mbox, delivery) or is_there
        try:
            _check_links(os.fstat(mbox), name)  # now that nobody may replace it
        except MailboxRefused:
            os.unlink(lock, dir_fd=folder)
            raise
        return file, is_there
    except BaseException:
        os.close(file)
        raise
    finally:
        os.unlink(post, dir_fd=folder)


def _clear(folder: int, name: str, mbox: int, delivery: str) -> bool:
    """Remove a left-over lock file, and what was left half done; whether this delivery was done wholly."""
    left_over = os.open(f"{name}.lock", os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK, dir_fd=folder)
    try:
        try:
            fcntl.flock(left_over, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise _locked(name) from None
        found = os.fstat(left_over)
        if found.st_nlink == 0:  # its owner has just finished
            return False
        text = os.pread(left_over, found.st_size, 0)
        note = _NOTE.match(text)
        if note is None and time.time() - found.st_ctime < FOREIGN_LOCK_LASTS:
            raise _locked(name)
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


def _gap(mbox: int, length: int) -> bytes:
    """What is missing at the end of an mbox to the blank line that parts messages."""
    end = os.pread(mbox, 2, max(length - 2, 0))
    return b"" if not length or end == LF + LF else LF if end.endswith(LF) else LF + LF


def _locked(name: str) -> MailboxRefused:
    return MailboxRefused(errno.EAGAIN, f"mailbox {name} is locked by another program")
