"""Final delivery: append to an mbox file.

WHAT       `append` writes octets at the end of a file as Exim's appendfile does.
DECIDES    the locks that the rules name: fcntl or flock on the mbox, and the file `<mbox>.lock`. Nobody is kept waiting
           here: a mailbox that is locked refuses (MailboxLocked), and who called tries again.
           Our lock file holds what is being appended, and where: if that breaks off (a crash, a full disk), the mbox
           is cut back to its length, at once or by the next delivery; and what was complete is not delivered twice.
           Messages cannot run into one another: a blank line is put between them whatever the file ends in.
SAFE       no symbolic link, no file that is another's or has two names, unless the rules allow it
SIMPLER    no NFS, no comsat
STANDARDS  RFC 4155 (mbox); Exim specification, chapter "The appendfile transport"
READ NEXT  mbox_lock.py
"""

from __future__ import annotations

import errno
import fcntl
import os
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from labkit.mail.mailbox_rules import MailboxRules
from labkit.net.disk import is_below
from labkit.net.durable import sync_folder, write_all
from labkit.net.mailbox_places import (
    BAD_CREATE,
    BAD_MODE,
    BAD_OWNER,
    NOT_REGULAR,
    MailboxLocked,
    MailboxRefused,
    NotMade,
    exists,
    open_folder,
)
from labkit.net.mbox_lock import check_links, lock_file

LF = b"\n"
Permits = Callable[[int, int], None]  # octets, files: raises MailboxRefused if there is no room


def append(
    path: Path,
    octets: bytes,
    *,
    root: Path,
    delivery: str,
    rules: MailboxRules,
    shown: str = "",
    permits: Permits = lambda size, count: None,
    stored: Callable[[], None] = lambda: None,
) -> bool:
    """Append `octets` to the mbox at `path`, made if need be; durable on return.

    `delivery` names this delivery (queue id and recipient): if a run that crashed has made it already, nothing is
    written and False is returned. `stored` is called while the lock file still knows of this delivery: if the queue
    notes there that the recipient is finished, a crash in between does no harm. `shown` is the path as messages
    name it; `permits` is asked under the locks.
    Raises OSError; one of these is MailboxRefused, for a place outside `root`, a symbolic link, what is no regular
    file, another owner, a mode narrower than wanted, and a locked mailbox (MailboxLocked).
    """
    if "\n" in delivery:
        raise ValueError(f"a line end in the name of the delivery {delivery!r}")
    with (
        open_folder(path, root, rules) as (folder, name),
        _opened(folder, name, rules, shown or name, root) as (mbox, found),
    ):
        if not stat.S_ISREG(found.st_mode):  # a pipe keeps nothing
            write_all(mbox, octets)
            stored()
            return True
        permits(found.st_size, 0)
        if not rules.uses_lock_file:
            try:
                _write(mbox, _gap(mbox, found.st_size, rules) + octets, found)
            except OSError:
                os.ftruncate(mbox, found.st_size)
                raise
            stored()
            return True
        with lock_file(folder, name, mbox, delivery, rules, shown or name) as (lock, is_there):
            start = os.fstat(mbox).st_size
            if not is_there:
                message = _gap(mbox, start, rules) + octets
                try:
                    write_all(lock, b"%d %d\n" % (start, len(message)) + message)
                    _write(mbox, message, found)
                except OSError:
                    # if this fails, too, the lock file stays for the next one to read
                    os.ftruncate(mbox, start)
                    os.unlink(f"{name}.lock", dir_fd=folder)
                    raise
            stored()
            os.unlink(f"{name}.lock", dir_fd=folder)
    return not is_there


def _write(mbox: int, message: bytes, found: os.stat_result) -> None:
    write_all(mbox, message)
    os.fsync(mbox)
    with suppress(OSError):  # nobody has read it: a mail program looks at that
        os.utime(mbox, ns=(found.st_atime_ns, os.fstat(mbox).st_mtime_ns))


@contextmanager
def _opened(
    folder: int, name: str, rules: MailboxRules, shown: str, root: Path
) -> Iterator[tuple[int, os.stat_result]]:
    """Open an mbox as Exim would, and take the locks that are on the file itself."""
    is_new = not exists(name, folder)
    if is_new:
        _check_creation(rules, shown)
    mbox = _open(folder, name, rules, shown, root, is_new=is_new)
    try:
        if is_new:
            os.fchmod(mbox, rules.mode)  # whatever the umask
            sync_folder(folder)
        found = os.fstat(mbox)
        _check_kind(found, rules, shown)
        if stat.S_ISREG(found.st_mode):
            _take_locks(mbox, rules, shown)
        found = os.fstat(mbox)
        check_links(found, shown)
        _check_owner(found, rules, shown)
        _fit_mode(mbox, found, rules, shown)
        yield mbox, found
    finally:
        os.close(mbox)


def _check_creation(rules: MailboxRules, shown: str) -> None:
    if rules.must_exist:
        words = f"mailbox {shown} does not exist, but file_must_exist is set"
        raise MailboxRefused(errno.ENOENT, words)
    if not rules.creates:
        words = f"mailbox {shown} does not exist, but creation outside the home directory is not permitted"
        raise MailboxRefused(BAD_CREATE, words)


def _open(folder: int, name: str, rules: MailboxRules, shown: str, root: Path, *, is_new: bool) -> int:
    flags = os.O_RDWR | os.O_APPEND | os.O_NONBLOCK
    if rules.follows_links and not is_new:
        _check_link(folder, name, rules, shown, root)
    else:
        flags |= os.O_NOFOLLOW
    if is_new:
        flags |= os.O_CREAT | os.O_EXCL
    elif rules.takes_fifo and stat.S_ISFIFO(os.stat(name, dir_fd=folder).st_mode):
        flags = os.O_WRONLY | os.O_NONBLOCK | os.O_NOFOLLOW
    try:
        return os.open(name, flags, rules.mode, dir_fd=folder)
    except OSError as problem:
        number = problem.errno or errno.EIO
        if number == errno.EACCES and not is_new:  # the words about the mode say more
            _check_mode(os.stat(name, dir_fd=folder), rules, shown)
        if number == errno.ENXIO and rules.takes_fifo:
            words = f"while opening named pipe {shown} (could mean no process is reading it)"
            raise MailboxRefused(number, words) from None
        if number in (errno.ELOOP, errno.EISDIR, errno.ENXIO):
            raise _not_regular(rules, shown) from None
        if is_new:
            raise NotMade(number, f"while creating mailbox {shown}") from None
        raise MailboxRefused(number, f"while opening mailbox {shown}: {os.strerror(number)}") from None


def _check_link(folder: int, name: str, rules: MailboxRules, shown: str, root: Path) -> None:
    """A symbolic link must be ours, and lead to a file of this host."""
    found = os.stat(name, dir_fd=folder, follow_symlinks=False)
    if not stat.S_ISLNK(found.st_mode):
        return
    _check_owner(found, rules, f"{shown} (symlink)")
    here = os.readlink(f"/proc/self/fd/{folder}") if os.path.isdir("/proc/self/fd") else str(root)
    target = os.path.realpath(os.path.join(here, name))
    if not is_below(target, os.path.realpath(root)):
        raise MailboxRefused(errno.EPERM, f"mailbox {shown} is a link that leaves the host's disk")


def _not_regular(rules: MailboxRules, shown: str) -> MailboxRefused:
    other = " or named pipe" if rules.takes_fifo else ""
    return MailboxRefused(NOT_REGULAR, f"mailbox {shown} is not a regular file{other}")


def _check_kind(found: os.stat_result, rules: MailboxRules, shown: str) -> None:
    if not (stat.S_ISREG(found.st_mode) or (rules.takes_fifo and stat.S_ISFIFO(found.st_mode))):
        raise _not_regular(rules, shown)


def _take_locks(mbox: int, rules: MailboxRules, shown: str) -> None:
    """Closing the file gives them back."""
    try:
        if rules.uses_fcntl:
            fcntl.lockf(mbox, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if rules.uses_flock:
            fcntl.flock(mbox, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except (BlockingIOError, PermissionError):
        raise MailboxLocked(shown, "fcntl/flock") from None


def _check_owner(found: os.stat_result, rules: MailboxRules, shown: str) -> None:
    user, group = os.geteuid(), os.getegid()
    if rules.checks_owner and found.st_uid != user:
        raise MailboxRefused(BAD_OWNER, f"mailbox {shown} has wrong uid ({found.st_uid} != {user})")
    if rules.checks_group and found.st_gid != group:
        raise MailboxRefused(BAD_OWNER, f"mailbox {shown} has wrong gid ({found.st_gid} != {group})")


def _fit_mode(mbox: int, found: os.stat_result, rules: MailboxRules, shown: str) -> None:
    """Permissions are taken away, never given."""
    _check_mode(found, rules, shown)
    has = stat.S_IMODE(found.st_mode)
    if not rules.mode & ~has and has != rules.mode:
        os.fchmod(mbox, rules.mode)


def _check_mode(found: os.stat_result, rules: MailboxRules, shown: str) -> None:
    has = stat.S_IMODE(found.st_mode)
    if rules.mode & ~has and rules.refuses_narrower:
        words = f"mailbox {shown} has the wrong mode {has:o} ({rules.mode:o} expected)"
        raise MailboxRefused(BAD_MODE, words)


def _gap(mbox: int, length: int, rules: MailboxRules) -> bytes:
    """What is missing at the end of an mbox to the blank line that parts messages."""
    if not length or not rules.fills_gap:
        return b""
    end = os.pread(mbox, 2, max(length - 2, 0))
    return b"" if end == LF + LF else LF if end.endswith(LF) else LF + LF
