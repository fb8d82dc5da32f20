"""The pairs of files of messages that wait: spool/input as Exim has it.

WHAT       writes, reads, changes and removes `<id>-H`, `<id>-D` and `<id>-J`.
RULES      what is not asked to be synced is seen by every program at once, and after a power cut perhaps not: until
           `sync` the journal knows better. A -H file appears when its -D is complete.
READ NEXT  spool_recovery.py
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path

from labkit.mail.address import Mailbox
from labkit.net.durable import (
    NotRegular,
    open_new,
    read_regular,
    remove_file,
    replace_file,
    sync_file,
    sync_folder,
    write_all,
)
from labkit.net.spool_format import (
    SpoolFormatError,
    address_line,
    check_queue_id,
    decode,
    decode_journal,
    encode,
)
from labkit.queue.item import QueueItem

UNFINISHED = "hdr."  # a -H file before it gets its name; no queue id has a point in it
Report = Callable[[str], None]


class SpoolFiles:
    """The folders input and corrupt of one spool."""

    def __init__(self, folder: Path) -> None:
        self.input, self.corrupt = folder / "input", folder / "corrupt"
        self._is_synced = True  # the folder: its names

    def path(self, queue_id: str, part: str) -> Path:
        """Of the part H, D or J. Raises ValueError."""
        return self.input / f"{check_queue_id(queue_id)}-{part}"

    def pair(self, queue_id: str) -> tuple[Path, Path] | None:
        """-H and -D, if they are there. Raises ValueError."""
        header, data = self.path(queue_id, "H"), self.path(queue_id, "D")
        return (header, data) if header.exists() else None

    # --- writing ------------------------------------------------------------------------------

    def write(self, queue_id: str, header: bytes, data: bytes) -> None:
        """Give a message its pair. Raises OSError."""
        try:
            self._write_new(self.path(queue_id, "D"), data)
            self._replace_header(queue_id, header)
            remove_file(self.path(queue_id, "J"))  # of before a crash
        except OSError:
            with suppress(OSError):
                remove_file(self.path(queue_id, "D"))
            raise

    def _write_new(self, path: Path, text: bytes) -> None:
        self._is_synced = False
        descriptor = open_new(path, os.O_TRUNC)
        try:
            write_all(descriptor, text)
        finally:
            os.close(descriptor)

    def write_header(self, item: QueueItem) -> None:
        """Write -H anew, in one step: -J is part of it then. Raises OSError."""
        self._replace_header(item.queue_id, encode(item)[0])
        remove_file(self.path(item.queue_id, "J"))

    def merge(self, item: QueueItem) -> None:
        """The same, of a message that the journal knows nothing of. Raises OSError."""
        self._replace_header(item.queue_id, encode(item)[0], synced=True)
        self.sync_names()  # else, after a power cut, the old -H could be back without its -J
        remove_file(self.path(item.queue_id, "J"))

    def _replace_header(self, queue_id: str, text: bytes, synced: bool = False) -> None:
        self._is_synced = False
        draft = self.input / f"{UNFINISHED}{queue_id}"
        replace_file(self.path(queue_id, "H"), text, draft, synced=synced)

    def note_finished(self, queue_id: str, recipients: Iterable[Mailbox], *, synced: bool = False) -> None:
        """Add to -J, as Exim does while it delivers. Raises OSError, ValueError."""
        lines = "".join(f"{address_line(recipient)}\n" for recipient in recipients).encode()
        self._is_synced = False
        journal = open_new(self.path(queue_id, "J"), os.O_APPEND)
        try:
            write_all(journal, lines)
            if synced:
                os.fsync(journal)
        finally:
            os.close(journal)

    def remove(self, queue_id: str) -> None:
        """Take away -H first: a -D alone means nothing. Harmless if there is none. Raises OSError, ValueError."""
        self._is_synced = False
        for part in "HJD":
            remove_file(self.path(queue_id, part))

    def sync(self, queue_id: str) -> None:
        """Bring a pair to disk; `sync_names` must follow. Raises OSError."""
        for part in "DH":
            sync_file(self.path(queue_id, part))

    def sync_names(self) -> None:
        """Make durable which files there are. Raises OSError."""
        if not self._is_synced:
            sync_folder(self.input)
            self._is_synced = True

    # --- reading ------------------------------------------------------------------------------

    def names(self) -> tuple[dict[str, set[str]], list[Path]]:
        """The parts there are of each message, and what belongs to none. Raises OSError."""
        found: dict[str, set[str]] = {}
        others = []
        for name in sorted(os.listdir(self.input)):
            if (split := _split(name)) is None:
                others.append(self.input / name)
            else:
                found.setdefault(split[0], set()).add(split[1])
        return dict(sorted(found.items())), others

    def read(self, queue_id: str) -> QueueItem:
        """What stands in -H and -D. Raises OSError, and SpoolFormatError for what cannot be read."""
        try:
            item = decode(self.read_part(queue_id, "H"), self.read_part(queue_id, "D"))
        except FileNotFoundError as problem:
            if self.path(queue_id, "H").exists():
                raise SpoolFormatError(f"{queue_id}-D", 1, "missing") from problem
            raise
        if item.queue_id != queue_id:
            raise SpoolFormatError(f"{queue_id}-H", 1, f"this is the file of {item.queue_id}")
        return item

    def read_part(self, queue_id: str, part: str) -> bytes:
        path = self.path(queue_id, part)
        try:
            return read_regular(path)
        except NotRegular:
            raise SpoolFormatError(path.name, 1, "not a regular file") from None

    def finished(self, queue_id: str) -> tuple[list[Mailbox], list[str], int]:
        """What -J says: deliveries, a word about each line that is none, and its octets without a torn last line."""
        try:
            text = self.read_part(queue_id, "J")
        except FileNotFoundError:
            return [], [], 0
        delivered, troubles = decode_journal(text)
        return delivered, troubles, text.rfind(b"\n") + 1

    # --- setting aside ------------------------------------------------------------------------

    def set_aside(self, queue_id: str, parts: str, words: str, report: Report) -> None:
        """Move files to spool/corrupt, under names that are free there; -J alone is still needed: link it."""
        move = os.link if parts == "J" else os.rename
        again = ""
        while any((self.corrupt / f"{queue_id}-{part}{again}").exists() for part in ("H", "D", "J", "why")):
            again = f".{int(again[1:] or 1) + 1}"
        self._is_synced = False
        try:
            (self.corrupt / f"{queue_id}-why{again}").write_text(f"{words}\n", "utf-8", "backslashreplace")
            for part in parts:
                with suppress(FileNotFoundError):
                    move(self.path(queue_id, part), self.corrupt / f"{queue_id}-{part}{again}")
            report(f"{words}; put into {self.corrupt}")
        except OSError as problem:
            report(f"{words}; and could not be put into {self.corrupt}: {problem}")

    def keep_copy(self, path: Path, words: str, report: Report) -> None:
        """Copy a damaged segment of the journal to spool/corrupt, with a word on why."""
        name, again = f"journal-{path.name}", ""
        while (self.corrupt / f"{name}{again}").exists():
            again = f".{int(again[1:] or 1) + 1}"
        try:
            (self.corrupt / f"{name}{again}").write_bytes(path.read_bytes())
            (self.corrupt / f"{name}-why{again}").write_text(f"{words}\n", "utf-8", "backslashreplace")
            report(f"{words}; a copy is in {self.corrupt}")
        except OSError as problem:
            report(f"{words}; and could not be copied to {self.corrupt}: {problem}")


def _split(name: str) -> tuple[str, str] | None:
    """Queue id and H, D or J, from the name of a file."""
    found = re.fullmatch(r"(.+)-([HDJ])", name)
    with suppress(ValueError):
        return (check_queue_id(found[1]), found[2]) if found else None
    return None
