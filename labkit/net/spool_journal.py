"""The spool's journal: what was promised, in the order it was promised, in files made beforehand.

WHAT       `append` makes records durable: one write and one fdatasync for all of a batch. `read` gives back, after a
           crash, every record that was whole.
WHY        a file that grows costs the disk twice (its octets, and its length). A segment is full of zeros before it
           is used, and is used again when nobody needs what is in it.
FORM       spool/journal/00000007 is segment 7: a head (number, and sixteen octets by chance, its salt), then records
           without gaps: salt, length, kind, checksum, text. Zeros, or records with the salt of an earlier use, are
           the end. Nobody who sends mail knows the salt, so no message can look like a record.
RULES      a number is given only to a segment whose head is on disk: it is renamed from `spare`. Segments are let go
           of oldest first. What could not be made durable is wiped out again: a refused message never comes back.
DAMAGE     a last record that is not whole was never promised. One that others follow is damage: they are read
           nevertheless, and `read` tells.
READ NEXT  spool.py
"""

from __future__ import annotations

import os
import struct
import zlib
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from enum import IntEnum
from pathlib import Path

from labkit.net.durable import make_folder, open_new, remove_file, sync_data, sync_folder, write_all_at

SEGMENT = 1 << 20  # octets; a message that is larger gets a segment of its own measure
MOST_SPARE = 2
_MAGIC = b"labkit journal 1"
_HEAD = struct.Struct("<16sQ16sI")  # magic, number, salt, checksum
_RECORD = struct.Struct("<16sIII")  # salt, length, kind, checksum
_ZEROS = bytes(1 << 16)


class Kind(IntEnum):
    """What a record says of its message."""

    ACCEPTED = 1  # the texts of -H and -D, after the length of the first
    FINISHED = 2  # recipients, one a line
    UPDATED = 3  # another -H
    REMOVED = 4


@dataclass(frozen=True, slots=True)
class Record:
    """One thing that was promised about one message."""

    kind: Kind
    queue_id: str
    text: bytes = b""

    @property
    def size(self) -> int:
        return _RECORD.size + len(self.queue_id) + 1 + len(self.text)

    def packed(self, salt: bytes) -> bytes:
        text = b"%b\n%b" % (self.queue_id.encode("ascii"), self.text)
        return _RECORD.pack(salt, len(text), self.kind, _checksum(salt, len(text), self.kind, text)) + text


@dataclass(frozen=True, slots=True)
class Damage:
    """A place in a segment where a record should be."""

    path: Path
    position: int

    def __str__(self) -> str:
        return f"the journal {self.path} is damaged at octet {self.position}"


class SpoolJournal:
    """The segments of one spool. Its owner sees to it that only one thread at a time is in here."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        make_folder(folder)
        names = [name for name in os.listdir(folder) if len(name) == 8 and name.isdecimal()]
        self.live = sorted(map(int, names))  # the numbers of the segments that are still needed
        self._last = self.live[-1] if self.live else 0
        self._file: int | None = None  # of the segment that is written to, the last one
        self._salt = b""
        self._position = self._end = 0
        self._is_clean = True  # what failed last has left no trace
        self._ghosts: list[Record] = []  # against what has left one

    def path(self, number: int) -> Path:
        return self.folder / f"{number:08}"

    # --- writing ------------------------------------------------------------------------------

    def append(self, records: Iterable[Record]) -> int:
        """Make records durable, all or none; returns the number of their segment. Raises OSError."""
        records = (*self._ghosts, *records)
        needed = sum(record.size for record in records)
        if self._file is None or not self._is_clean or self._position + needed > self._end:
            self._begin(max(SEGMENT, _HEAD.size + needed))
        assert self._file is not None
        try:
            write_all_at(self._file, b"".join([each.packed(self._salt) for each in records]), self._position)
            sync_data(self._file)
        except Exception:
            self._wipe(needed, records)
            raise
        self._ghosts = []
        self._position += needed
        return self._last

    def _begin(self, size: int) -> None:
        """Go on in a new segment, or in one that was used before."""
        number, salt = self._last + 1, os.urandom(16)
        draft = self._spare(size)
        file = os.open(draft, os.O_WRONLY | os.O_NOFOLLOW)
        try:
            write_all_at(file, _head(number, salt), 0)
            sync_data(file)
            os.rename(draft, self.path(number))
            sync_folder(self.folder)
        except OSError:
            os.close(file)
            raise
        self._let_go_of_file()
        self._file, self._salt, self._last = file, salt, number
        self._position, self._end, self._is_clean = _HEAD.size, size, True
        self.live.append(number)

    def _spare(self, size: int) -> Path:
        """A segment to write a head into: a spare one if that is large enough."""
        draft = self.folder / "draft"
        if size == SEGMENT:
            for path in self._spares():
                os.rename(path, draft)
                return draft
        remove_file(draft)
        try:
            file = open_new(draft)
            try:
                for start in range(0, size, len(_ZEROS)):
                    write_all_at(file, _ZEROS[: size - start], start)
                os.fsync(file)
            finally:
                os.close(file)
        except OSError:
            with suppress(OSError):
                os.unlink(draft)
            raise
        return draft

    def _spares(self) -> list[Path]:
        return [path for number in range(MOST_SPARE) if (path := self.folder / f"spare-{number}").exists()]

    def _wipe(self, length: int, records: Iterable[Record]) -> None:
        """The disk refused a batch: nothing of it may be read later on. If even that fails, go on elsewhere."""
        assert self._file is not None
        try:
            write_all_at(self._file, bytes(length), self._position)
            sync_data(self._file)
        except OSError:
            self._is_clean = False
            refused = [each.queue_id for each in records if each.kind is Kind.ACCEPTED]
            self._ghosts += [Record(Kind.REMOVED, queue_id) for queue_id in refused]

    def _let_go_of_file(self) -> None:
        if self._file is not None:
            os.close(self._file)
            self._file = None

    # --- letting go ---------------------------------------------------------------------------

    def release(self) -> None:
        """Nobody needs the oldest segment any more: keep it as a spare one. Raises OSError."""
        number = self.live[0]
        if number == self._last:
            self._let_go_of_file()
        spare = next(
            (free for n in range(MOST_SPARE) if not (free := self.folder / f"spare-{n}").exists()), None
        )
        path = self.path(number)
        if spare is not None and path.stat().st_size == SEGMENT:
            os.rename(path, spare)
        else:
            os.unlink(path)
        sync_folder(self.folder)
        self.live.pop(0)

    def close(self) -> None:
        self._let_go_of_file()

    # --- reading ------------------------------------------------------------------------------

    def read(self) -> Iterator[tuple[int, Record | Damage]]:
        """What the segments hold, in the order it was promised, each with its segment's number. Raises OSError."""
        for number in tuple(self.live):
            path = self.path(number)
            octets = path.read_bytes()
            salt = _salt(octets, number)
            if salt is None:
                yield number, Damage(path, 0)
                continue
            for position, found in _records(octets, salt):
                yield number, found or Damage(path, position)


def _records(octets: bytes, salt: bytes) -> Iterator[tuple[int, Record | None]]:
    """The records of a segment, and None where one is missing that others follow."""
    position, is_torn = _HEAD.size, False
    while True:
        record, end = _record(octets, salt, position)
        if record is not None:
            if is_torn:
                yield position, None
            yield position, record
            position, is_torn = end, False
            continue
        is_torn = True
        position = octets.find(salt, position + 1)
        if position < 0:
            return


def _record(octets: bytes, salt: bytes, position: int) -> tuple[Record | None, int]:
    """The record at `position`, if a whole one is there, and where it ends."""
    start = position + _RECORD.size
    if start > len(octets) or not octets.startswith(salt, position):
        return None, 0
    _, length, kind, checksum = _RECORD.unpack_from(octets, position)
    text = octets[start : start + length]
    if len(text) != length or checksum != _checksum(salt, length, kind, text):
        return None, 0
    queue_id, _, rest = text.partition(b"\n")
    with suppress(ValueError):  # a kind that only a later labkit knows
        return Record(Kind(kind), queue_id.decode("ascii"), rest), start + length
    return None, 0


def _checksum(salt: bytes, length: int, kind: int, text: bytes) -> int:
    return zlib.crc32(text, zlib.crc32(salt + struct.pack("<II", length, kind)))


def _head(number: int, salt: bytes) -> bytes:
    head = _HEAD.pack(_MAGIC, number, salt, 0)
    return head[:-4] + struct.pack("<I", zlib.crc32(head[:-4]))


def _salt(octets: bytes, number: int) -> bytes | None:
    """The salt of a segment; None if its head is not what it was."""
    head = octets[: _HEAD.size]
    if len(head) < _HEAD.size:
        return None
    _, written, salt, _ = _HEAD.unpack(head)
    return bytes(salt) if head == _head(written, salt) and written == number else None
