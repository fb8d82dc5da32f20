"""Final delivery: a file of its own for each message, in a Maildir or in a plain folder.

WHAT       `deliver` puts a file into a Maildir; `deliver_to_folder` into a folder.
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
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from zlib import crc32

from labkit.mail.mailbox_rules import MailboxRules
from labkit.net.mailbox_places import MailboxRefused, exists, open_folder
from labkit.net.spool import sync_folder, write_all
from labkit.net.spool_format import check_queue_id

_DIGITS = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
_ID = re.compile(r"([0-9A-Za-z]{6})-([0-9A-Za-z]{6,11})-([0-9A-Za-z]{2,4})")
_TAG = re.compile(r"[!-.0-~]")  # what may be shown, without the slash
LONGEST_NAME = 255
Named = Callable[[int], str]  # by the number of the new file (its inode): the name


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


def deliver(
    path: Path, octets: bytes, *, root: Path, name: str, rules: MailboxRules, tag: str = "", shown: str = ""
) -> bool:
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
        _write(tmp, name, octets, rules, f"tmp/{name}")
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
    if exists(name, new) or exists(name + tag, new):
        return True
    names = (name, name + tag.partition(":")[0])
    return any(there.partition(":")[0] in names for there in os.listdir(cur))


def make_maildirfolder(path: Path, root: Path, rules: MailboxRules) -> None:
    """Say that this Maildir is a folder of another one (Maildir++)."""
    with open_folder(path / "maildirfolder", root, rules) as (folder, name), suppress(FileExistsError):
        os.close(os.open(name, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600, dir_fd=folder))


def deliver_to_folder(
    path: Path, octets: bytes, *, root: Path, rules: MailboxRules, named: Named, temporary: str, shown: str
) -> None:
    """Put `octets` into a new file of the folder at `path`, under the name that `named` gives it. Raises OSError."""
    with open_folder(path / "any", root, rules) as (folder, _):
        inode = _write(folder, temporary, octets, rules, f"{shown}/{temporary}")
        try:
            name = named(inode)
            if not name or "/" in name or name in (".", "..") or "\0" in name or len(name) > LONGEST_NAME:
                raise MailboxRefused(errno.EINVAL, f"while renaming {shown}/{temporary} as {shown}/{name}")
            try:
                os.link(temporary, name, src_dir_fd=folder, dst_dir_fd=folder, follow_symlinks=False)
            except OSError as problem:
                words = f"while renaming {shown}/{temporary} as {shown}/{name}"
                raise MailboxRefused(problem.errno or errno.EIO, words) from None
        finally:
            os.unlink(temporary, dir_fd=folder)
        sync_folder(folder)


def _write(folder: int, name: str, octets: bytes, rules: MailboxRules, shown: str) -> int:
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
