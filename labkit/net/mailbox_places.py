"""Where mailboxes lie: folders opened one below the other, and what a mailbox refuses.

SAFE       only below `root`: no `..`, no symbolic link on the way. The command line has the root "/": nothing can leave
           it, and links are followed there, as by every program.
READ NEXT  mbox.py
"""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from labkit.mail.mailbox_rules import MailboxRules
from labkit.net.disk import is_below
from labkit.net.durable import sync_folder

# Exim's numbers (macros.h)
NOT_REGULAR, BAD_OWNER, BAD_MODE, LOCK_FAILED, BAD_CREATE = -4, -6, -7, -9, -34


class MailboxRefused(OSError):
    """Nothing may be written there, or not now; the text says why, the number is the system's or Exim's."""

    def __str__(self) -> str:
        return str(self.strerror)


class MailboxLocked(MailboxRefused):
    """Another program has it locked; `by` a lock file, or by fcntl or flock."""

    def __init__(self, name: str, by: str) -> None:
        super().__init__(errno.EAGAIN, f"mailbox {name} is locked by another program")
        self.by = by


class NoFolder(MailboxRefused, FileNotFoundError):
    """There is no folder for it, and none may be made."""


class NotMade(MailboxRefused):
    """The file could not be made."""


@contextmanager
def open_folder(path: Path, root: Path, rules: MailboxRules) -> Iterator[tuple[int, str]]:
    """Open the folder of `path`, going down from `root` by names that are folders, and made if need be."""
    try:
        *parents, name = (root / path).relative_to(root).parts
    except ValueError:
        raise MailboxRefused(errno.EPERM, f"the mailbox {path} is not below {root}") from None
    if ".." in (*parents, name) or "\0" in str(path):
        raise MailboxRefused(errno.EPERM, f"the mailbox {path} may not have '..' or NUL in its name")
    links = 0 if root == Path("/") else os.O_NOFOLLOW
    folder = os.open(root, os.O_RDONLY | os.O_DIRECTORY)
    try:
        for parent in parents:
            if rules.creates_folders and rules.creates:
                with suppress(FileExistsError, PermissionError):  # then the next step says so
                    os.mkdir(parent, rules.directory_mode, dir_fd=folder)
                    sync_folder(folder)
            try:
                below = os.open(parent, os.O_RDONLY | os.O_DIRECTORY | links, dir_fd=folder)
            except FileNotFoundError:
                raise NoFolder(errno.ENOENT, f"no folder {parent} for the mailbox {path}") from None
            except OSError as problem:
                if problem.errno not in (errno.ELOOP, errno.ENOTDIR):
                    raise
                words = f"{parent} in the mailbox {path} is a symbolic link or no folder"
                raise MailboxRefused(problem.errno, words) from None
            os.close(folder)
            folder = below
        _check_below(folder, root, rules, path)
        yield folder, name
    finally:
        os.close(folder)


def _check_below(folder: int, root: Path, rules: MailboxRules, path: Path) -> None:
    """Whatever links there are: is the folder really below that where files may be made? (Exim: belowhome)"""
    if not rules.below or not rules.creates:
        return
    here = os.readlink(f"/proc/self/fd/{folder}") if os.path.isdir("/proc/self/fd") else str(path.parent)
    if not is_below(here, os.path.realpath(f"{root}/{rules.below.lstrip('/')}")):
        words = f"mailbox {path} does not exist, but creation outside the home directory is not permitted"
        raise MailboxRefused(BAD_CREATE, words)


def exists(name: str, folder: int) -> bool:
    try:
        os.stat(name, dir_fd=folder, follow_symlinks=False)
    except FileNotFoundError:
        return False
    return True
