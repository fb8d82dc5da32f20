"""Final delivery: a file of its own for each message, in a Maildir or in a plain folder.

WHAT       `deliver` puts a file into a Maildir; `NewFile` is one in a folder.
DECIDES    a Maildir needs no lock: the file's name is the delivery's, and appears when the file is complete. The same
           delivery gets the same name in every run, so a run that crashed does not make it twice; read or not.
LIKE EXIM  the form of the name, seconds.M<number>P<number>.host; here the numbers come of the delivery
STANDARDS  maildir(5); Exim specification, chapter "The appendfile transport"
READ NEXT  maildir_size.py
"""

from __future__ import annotations

import errno
import os
import re
from contextlib import ExitStack, suppress
from pathlib import Path
from zlib import crc32

from labkit.mail.mailbox_rules import MailboxRules
from labkit.net.durable import sync_folder, write_all
from labkit.net.mailbox_places import MailboxRefused, exists, open_folder
from labkit.net.spool_format import check_queue_id

_DIGITS = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
_ID = re.compile(r"([0-9A-Za-z]{6})-([0-9A-Za-z]{6,11})-([0-9A-Za-z]{2,4})")
_TAG = re.compile(r"[!-.0-~]")  # what may be shown, without the slash
LONGEST_NAME = 255


def file_name(queue_id: str, delivery: str, host: str) -> str:
    """The name of a delivery in Exim's form. Raises ValueError for what is no queue id."""
    found = _ID.fullmatch(check_queue_id(queue_id))
    seconds, process = (_number(found[1]), _number(found[2])) if found else (0, crc32(queue_id.encode()))
    number = crc32(f"{queue_id} {delivery}".encode("utf-8", "surrogateescape")) % 1_000_000
    return f"{seconds}.M{number}P{process}.{host.replace('/', '_')}"


def _number(digits: str) -> int:
    number = 0
    for digit in digits:
        number = number * 62 + _DIGITS.index(digit)
    return number


def tag_of(text: str) -> str:
    """What maildir_tag adds to a name: a colon comes before a letter or digit that begins it."""
    tag = "".join(_TAG.findall(text))
    return f":{tag}" if tag[:1].isalnum() else tag


def deliver(path: Path, octets: bytes, *, root: Path, name: str, rules: MailboxRules, tag: str = "") -> bool:
    """Put `octets` into the Maildir at `path`, made if need be; durable on return.

    If a file of that name is there already, in new or, with flags, in cur, nothing is written and False is returned.
    Raises OSError, MailboxRefused.
    """
    with (
        open_folder(path / "cur" / name, root, rules) as (cur, _),
        open_folder(path / "new" / name, root, rules) as (new, _),
        open_folder(path / "tmp" / name, root, rules) as (tmp, _),
    ):
        if _is_known(name, tag, new, cur):
            sync_folder(new)
            return False
        _write(tmp, name, octets, rules)
        try:
            try:
                os.rename(name, name + tag, src_dir_fd=tmp, dst_dir_fd=new)
            except OSError as problem:
                if problem.errno != errno.ENAMETOOLONG or not tag:
                    raise
                os.rename(name, name, src_dir_fd=tmp, dst_dir_fd=new)
        except OSError:
            with suppress(OSError):
                os.unlink(name, dir_fd=tmp)
            raise
        sync_folder(new)
    return True


def _is_known(name: str, tag: str, new: int, cur: int) -> bool:
    tag = tag if len(name + tag) <= LONGEST_NAME else ""
    if exists(name, new) or exists(name + tag, new):
        return True
    names = (name, name + tag.partition(":")[0])
    return any(there.partition(":")[0] in names for there in os.listdir(cur))


def make_maildirfolder(path: Path, root: Path, rules: MailboxRules) -> None:
    """Say that this Maildir is a folder of another one (Maildir++)."""
    with open_folder(path / "maildirfolder", root, rules) as (folder, name), suppress(FileExistsError):
        os.close(os.open(name, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600, dir_fd=folder))


class NewFile:
    """A new file of a folder, under a temporary name until it is called otherwise: `with NewFile(…) as inode`."""

    def __init__(
        self, path: Path, octets: bytes, root: Path, rules: MailboxRules, temporary: str, shown: str
    ) -> None:
        self.path, self.octets, self.root, self.rules = path, octets, root, rules
        self.temporary, self.shown = temporary, shown
        self._stack = ExitStack()

    def __enter__(self) -> int:
        """Write it. Returns its number. Raises OSError."""
        with ExitStack() as stack:
            self.folder, _ = stack.enter_context(open_folder(self.path / "any", self.root, self.rules))
            inode = _write(self.folder, self.temporary, self.octets, self.rules)
            stack.callback(os.unlink, self.temporary, dir_fd=self.folder)
            self._stack = stack.pop_all()
        return inode

    def __exit__(self, *problem: object) -> None:
        self._stack.close()

    def call(self, name: str) -> None:
        """Give it its name, which nobody else may have. Raises OSError."""
        words = f"while renaming {self.shown}/{self.temporary} as {self.shown}/{name}"
        if not name or "/" in name or name in (".", "..") or "\0" in name or len(name) > LONGEST_NAME:
            raise MailboxRefused(errno.EINVAL, words)
        folder = self.folder
        try:
            os.link(self.temporary, name, src_dir_fd=folder, dst_dir_fd=folder, follow_symlinks=False)
        except OSError as problem:
            raise MailboxRefused(problem.errno or errno.EIO, words) from None
        sync_folder(folder)


def _write(folder: int, name: str, octets: bytes, rules: MailboxRules) -> int:
    """A new file with these octets, on disk; returns its number."""
    with suppress(FileNotFoundError):  # of a run that crashed
        os.unlink(name, dir_fd=folder)
    try:
        file = os.open(name, os.O_WRONLY | os.O_CREAT | os.O_EXCL, rules.mode, dir_fd=folder)
        try:
            os.fchmod(file, rules.mode)
            write_all(file, octets)
            os.fsync(file)
            return os.fstat(file).st_ino
        finally:
            os.close(file)
    except OSError:
        with suppress(OSError):
            os.unlink(name, dir_fd=folder)
        raise
