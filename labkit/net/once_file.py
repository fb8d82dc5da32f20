"""The files of an autoreply transport: who has had an answer, and a log.

WHAT       `OnceFile` remembers addresses with the time of the last answer; `write_log` adds to a text file.
DECIDES    the file is a text, a line `seconds address` for each; what is too old for its size goes. It is written anew
           beside itself and renamed, so a crash leaves the old or the new one. Exim keeps a database of its own form
           there, and cannot read ours.
SAFE       only below the host's root; no symbolic link
READ NEXT  program_run.py
"""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

from labkit.mail.mailbox_rules import MailboxRules
from labkit.net.durable import sync_folder, write_all
from labkit.net.mailbox_places import open_folder

LARGEST = 16_000_000


class OnceFile:
    """The file at `path`. `size`: no more octets than that; 0: no limit."""

    def __init__(self, path: Path, root: Path, mode: int, size: int = 0) -> None:
        self.path, self.root, self.mode = path, root, mode
        self.size = size or LARGEST

    def last(self, address: str) -> float | None:
        """When this address had an answer. Raises OSError if the file cannot be read."""
        return self._read().get(_line(address))

    def note(self, address: str, at: float) -> None:
        """It has one now; returns when that is on disk. Raises OSError."""
        known = self._read()
        if _line(address) not in known:
            new = len(self._text({_line(address): at}))
            while known and len(self._text(known)) + new > self.size:
                del known[next(iter(known))]
        known[_line(address)] = at
        with open_folder(self.path, self.root, MailboxRules(creates_folders=False)) as (folder, name):
            file = os.open(f"{name}.new", _WRITE | os.O_TRUNC, self.mode, dir_fd=folder)
            try:
                write_all(file, self._text(known))
                os.fsync(file)
            finally:
                os.close(file)
            os.rename(f"{name}.new", name, src_dir_fd=folder, dst_dir_fd=folder)
            sync_folder(folder)

    def _read(self) -> dict[str, float]:
        known: dict[str, float] = {}
        with open_folder(self.path, self.root, MailboxRules(creates_folders=False)) as (folder, name):
            try:
                file = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK, dir_fd=folder)
            except FileNotFoundError:
                return known
            with open(file, "rb") as opened:
                text = opened.read(LARGEST)
        for line in text.decode("latin-1").split("\n"):
            seconds, _, address = line.partition(" ")
            with suppress(ValueError):
                known[address] = float(seconds)
        return known

    @staticmethod
    def _text(known: dict[str, float]) -> bytes:
        return "".join(f"{at:.0f} {address}\n" for address, at in known.items()).encode("latin-1", "replace")


_WRITE = os.O_WRONLY | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK


def _line(address: str) -> str:
    return " ".join(address.split())


def write_log(path: Path, root: Path, text: str, mode: int) -> None:
    """Add to a log. What goes wrong there keeps no mail back."""
    with (
        suppress(OSError),
        open_folder(path, root, MailboxRules(creates_folders=False)) as (folder, name),
    ):
        file = os.open(name, _WRITE | os.O_APPEND, mode, dir_fd=folder)
        try:
            write_all(file, text.encode("latin-1", "replace"))
        finally:
            os.close(file)
