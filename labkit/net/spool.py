"""The spool: the folder in which messages wait, and survive whatever happens to this process.

WHAT       `accept` makes a message durable, and only then is 250 said; `recover` finds the messages again.
DOES       one writer thread stores everything that came while it was busy, then syncs it (group commit): many
           sessions share the waiting for the disk. In memory worlds the same is done inline.
ORDER      `<id>-D` is complete on disk before `<id>-H` gets its name: a -H file exists exactly if this host is
           responsible. `remove` takes away -H first, for the same reason: a -D alone means nothing and is swept up.
           Exim begins with -D, on which its processes hold their locks; a crash after that leaves it a -H without
           a body, which is never delivered twice, but never leaves the queue by itself either.
LIKE EXIM  spool/input with its modes; the journal `<id>-J` of deliveries since -H was written; spool/db for hints
STANDARDS  RFC 5321 §4.2.5, §6.1 (responsibility); Exim specification, chapter "Format of spool files"
READ NEXT  mailboxes.py
"""

from __future__ import annotations

import errno
import fcntl
import os
import re
import stat
import threading
import weakref
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING

from labkit.mail.address import Mailbox
from labkit.net.spool_format import (
    SpoolFormatError,
    address_line,
    check_queue_id,
    decode,
    decode_journal,
    encode,
)
from labkit.queue.item import QueueItem

if TYPE_CHECKING:
    from asyncio import AbstractEventLoop

OnDurable = Callable[["OSError | None"], None]
FILE_MODE, FOLDER_MODE = 0o640, 0o750  # as Exim's
HINTS = "labkit-retry"  # a name of our own: db/retry is a database of the real Exim's, who may work here, too
LARGEST_BATCH = 100  # each message has two files open for a while
_UNFINISHED = "hdr."  # a -H file before it gets its name; no queue id has a point in it


class SpoolBusy(OSError):
    """Another process owns this spool; the text names it and says what can be done."""

    def __str__(self) -> str:
        return str(self.strerror)


class Spool:
    """A spool folder, owned by this object until `close`. Call it from one thread (the event loop's)."""

    def __init__(self, folder: Path, *, threaded: bool) -> None:
        """Make the folder if need be and take it.

        `threaded`: the disk work of `accept` is done by a thread, for a running event loop; else inline.
        Raises SpoolBusy, OSError.
        """
        self.folder = Path(folder)
        self._input, self._corrupt, self._db = (self.folder / name for name in ("input", "corrupt", "db"))
        for path in (self.folder, self._input, self._corrupt, self._db):
            if not path.is_dir():
                path.mkdir(parents=True)
                path.chmod(FOLDER_MODE)
        self._lock_file = _take(self.folder / "lock")
        self._threaded = threaded
        self._waiting: SimpleQueue[_Pair | None] = SimpleQueue()
        self._writer: threading.Thread | None = None
        self._disk = threading.Lock()  # held while a batch is half on disk
        self._is_closed = False
        _OPEN_SPOOLS.add(self)

    def accept(self, item: QueueItem, on_durable: OnDurable) -> None:
        """Take responsibility for a message: `on_durable(None)` says that it will survive a crash.

        `on_durable` gets the OSError if it could not be stored; then nothing is left of it. It is called in the
        running event loop, with one wake-up for all messages of a batch; if not `threaded`, before this returns.
        Raises ValueError for an item that no spool file can hold, RuntimeError after `close`.
        """
        if self._is_closed:
            raise RuntimeError(f"the spool {self.folder} is closed")
        pair = _Pair(self._input, item.queue_id, *encode(item), on_durable)
        if not self._threaded:
            self._store([pair])
            on_durable(pair.problem)
            return
        from asyncio import get_running_loop  # here, because a world in memory starts without asyncio

        pair.loop = get_running_loop()
        if self._writer is None:
            self._writer = threading.Thread(target=self._write_batches, name="spool writer", daemon=True)
            self._writer.start()
        self._waiting.put(pair)

    def recover(self, report: Callable[[str], None] = lambda words: None) -> list[QueueItem]:
        """Every message this host is responsible for, sorted by queue id. For the start; may be repeated.

        Deliveries in a journal are added to the item and to its -H. Left-overs of a crash (temporary files, -D
        and -J without -H) are removed. A pair that cannot be read goes to spool/corrupt, with a file `<id>-why`;
        that, and whatever could not be done, is told to `report` in one sentence each.
        Raises OSError only if spool/input itself cannot be read.
        """
        with self._disk:
            found: dict[str, set[str]] = {}
            for name in sorted(os.listdir(self._input)):
                if name.startswith(_UNFINISHED):
                    _sweep(self._input / name, report)
                elif (split := _split(name)) is None:
                    report(f"{self._input / name} belongs to no message: left as it is")
                else:
                    found.setdefault(split[0], set()).add(split[1])
            items = []
            for queue_id, parts in sorted(found.items()):
                if "H" not in parts:  # accepting broke off, or removing did: nobody waits for this
                    for part in sorted(parts):
                        _sweep(self._path(queue_id, part), report)
                elif item := self._recover_item(queue_id, report):
                    items.append(item)
            return items

    def finished(self, queue_id: str, recipients: Iterable[Mailbox]) -> None:
        """Note, durably, recipients for whom nothing is left to do, so that no crash lets them get it twice.

        Raises OSError (FileNotFoundError for an unknown id), ValueError.
        """
        lines = "".join(f"{address_line(recipient)}\n" for recipient in recipients).encode()
        self._expect(queue_id)
        journal = _open_new(self._path(queue_id, "J"), os.O_APPEND)
        try:
            length = os.fstat(journal).st_size
            try:
                _fill(journal, lines)
                os.fsync(journal)
            except OSError:
                with suppress(OSError):
                    os.ftruncate(journal, length)
                raise
        finally:
            os.close(journal)
        if not length:
            sync_folder(self._input)

    def update(self, item: QueueItem) -> None:
        """Write -H anew, in one step, and drop the journal. Envelope and status may change; the content may not.

        Raises OSError (FileNotFoundError for an unknown id), and ValueError for another content or as `accept`.
        """
        header, data = encode(item)
        self._expect(item.queue_id)
        if self._path(item.queue_id, "D").stat().st_size != len(data):
            raise ValueError(f"the content of message {item.queue_id} is not what was accepted")
        _replace(self._path(item.queue_id, "H"), header, self._input / f"{_UNFINISHED}{item.queue_id}")
        sync_folder(self._input)
        _unlink(self._path(item.queue_id, "J"))

    def remove(self, queue_id: str) -> None:
        """Forget a message. Harmless if there is none. Raises OSError, ValueError."""
        with suppress(FileNotFoundError):
            os.unlink(self._path(queue_id, "H"))
            sync_folder(self._input)  # else, after a power cut, -H could come back without its journal
        for part in "JD":
            _unlink(self._path(queue_id, part))

    def files(self, queue_id: str) -> tuple[Path, Path] | None:
        """The files -H and -D of a message, to look at; None if there is no such message. Raises ValueError."""
        header, data = self._path(queue_id, "H"), self._path(queue_id, "D")
        return (header, data) if header.exists() else None

    def write_hints(self, text: str) -> None:
        """Store the retry hints; a crash leaves the old ones or the new ones. Raises OSError."""
        _replace(self._db / HINTS, text.encode("utf-8", "surrogateescape"), self._db / f"{HINTS}.new")

    def read_hints(self) -> str:
        """What was stored last, or "". Raises OSError."""
        return _read(self._db / HINTS, or_else=b"").decode("utf-8", "surrogateescape")

    def close(self) -> None:
        """Wait until everything accepted is stored, and let go of the folder. May be called again."""
        if not self._is_closed:
            self._is_closed = True
            if self._writer is not None:
                self._waiting.put(None)
                self._writer.join()
            fcntl.flock(self._lock_file, fcntl.LOCK_UN)
            os.close(self._lock_file)

    def __enter__(self) -> Spool:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _path(self, queue_id: str, part: str) -> Path:
        return self._input / f"{check_queue_id(queue_id)}-{part}"

    def _expect(self, queue_id: str) -> None:
        if not self._path(queue_id, "H").exists():
            raise FileNotFoundError(errno.ENOENT, f"the spool has no message {queue_id}")

    def _write_batches(self) -> None:
        """The writer thread: whatever has come in the meantime is one batch."""
        is_open = True
        while is_open:
            batch = [self._waiting.get()]
            with suppress(Empty):
                while len(batch) < LARGEST_BATCH:
                    batch.append(self._waiting.get_nowait())
            is_open = None not in batch
            pairs = [pair for pair in batch if pair is not None]
            self._store(pairs)
            for loop in {pair.loop for pair in pairs if pair.loop is not None}:
                with suppress(RuntimeError):  # that loop is closed: nobody waits any more
                    loop.call_soon_threadsafe(_tell, loop, [pair for pair in pairs if pair.loop is loop])

    def _store(self, pairs: list[_Pair]) -> None:
        """Bring a batch to disk, step by step; a pair whose step fails keeps the problem and leaves no trace."""
        with self._disk:
            for step in (_Pair.write, _Pair.sync, _Pair.publish):
                for pair in pairs:
                    pair.attempt(step)
            if any(pair.problem is None for pair in pairs):
                try:
                    sync_folder(self._input)
                except OSError as problem:
                    for pair in pairs:
                        pair.problem = pair.problem or problem
            for pair in pairs:
                if pair.problem is not None:
                    pair.undo()

    def _recover_item(self, queue_id: str, report: Callable[[str], None]) -> QueueItem | None:
        try:
            item = decode(_read(self._path(queue_id, "H")), _read(self._path(queue_id, "D")))
            if item.queue_id != queue_id:
                raise SpoolFormatError(f"{queue_id}-H", 1, f"this is the file of {item.queue_id}")
            journal = _read(self._path(queue_id, "J"), or_else=b"")
        except (SpoolFormatError, FileNotFoundError) as problem:
            why = f"{queue_id}-D is missing" if isinstance(problem, FileNotFoundError) else str(problem)
            # -H goes last: were this to break off, an orphan -D would be removed
            self._set_aside(queue_id, "JDH", f"message {queue_id} cannot be read: {why}", report)
            return None
        except OSError as problem:
            report(f"message {queue_id} cannot be read now: {problem}; left where it is")
            return None
        if not journal:
            _sweep(self._path(queue_id, "J"), report)  # made, and not written to
            return item
        delivered, troubles = decode_journal(journal)
        item = item.with_finished(*delivered)
        if troubles:
            words = f"the journal of message {queue_id} is damaged ({'; '.join(troubles)})"
            self._set_aside(queue_id, "J", f"{words}: somebody may get this message twice", report)
        try:
            self.update(item)
        except (OSError, ValueError) as problem:
            report(f"the journal of message {queue_id} could not be added to its -H file: {problem}")
            with suppress(OSError):  # what a crash cut off must not run into the next line
                os.truncate(self._path(queue_id, "J"), journal.rfind(b"\n") + 1)
        return item

    def _set_aside(self, queue_id: str, parts: str, words: str, report: Callable[[str], None]) -> None:
        """Move files to spool/corrupt, under names that are free there; a journal alone is still needed: link it."""
        move = os.link if parts == "J" else os.rename
        again = ""
        while any((self._corrupt / f"{queue_id}-{part}{again}").exists() for part in ("H", "D", "J", "why")):
            again = f".{int(again[1:] or 1) + 1}"
        try:
            (self._corrupt / f"{queue_id}-why{again}").write_text(f"{words}\n", "utf-8", "backslashreplace")
            for part in parts:
                with suppress(FileNotFoundError):
                    move(self._path(queue_id, part), self._corrupt / f"{queue_id}-{part}{again}")
            report(f"{words}; put into {self._corrupt}")
        except OSError as problem:
            report(f"{words}; and could not be put into {self._corrupt}: {problem}")


@dataclass(slots=True, eq=False)
class _Pair:
    """A message on its way to disk."""

    folder: Path
    queue_id: str
    header: bytes
    data: bytes
    on_durable: OnDurable
    loop: AbstractEventLoop | None = None
    problem: OSError | None = None
    made: list[Path] = field(default_factory=list)
    descriptors: list[int] = field(default_factory=list)

    def attempt(self, step: Callable[[_Pair], None]) -> None:
        if self.problem is None:
            try:
                step(self)
            except OSError as problem:
                self.problem = problem
            except Exception as mistake:  # the writer must live on, and this session must hear of it
                self.problem = OSError(errno.EIO, f"{type(mistake).__name__}: {mistake}")

    def write(self) -> None:
        for name, text in ((f"{self.queue_id}-D", self.data), (f"{_UNFINISHED}{self.queue_id}", self.header)):
            path = self.folder / name
            self.descriptors.append(_open_new(path, os.O_EXCL))
            self.made.append(path)
            _fill(self.descriptors[-1], text)

    def sync(self) -> None:
        while self.descriptors:
            os.fsync(self.descriptors[-1])
            os.close(self.descriptors.pop())

    def publish(self) -> None:
        """From here on this host is responsible, as soon as the folder is synced."""
        header = self.folder / f"{self.queue_id}-H"
        os.rename(self.made[-1], header)
        self.made[-1] = header

    def undo(self) -> None:
        for descriptor in self.descriptors:
            os.close(descriptor)
        for path in reversed(self.made):
            with suppress(OSError):
                os.unlink(path)


def _tell(loop: AbstractEventLoop, pairs: list[_Pair]) -> None:
    for pair in pairs:
        try:
            pair.on_durable(pair.problem)
        except Exception as mistake:  # the others of the batch must hear all the same
            words = f"mistake in what was to follow when message {pair.queue_id} was durable"
            loop.call_exception_handler({"message": words, "exception": mistake})


# Files


def write_all(descriptor: int, text: bytes) -> None:
    rest = memoryview(text)
    while rest:
        rest = rest[os.write(descriptor, rest) :]


def sync_folder(folder: Path | int) -> None:
    """Make new names, and names taken away, durable: syncing a file does not do that. Raises OSError."""
    descriptor = folder if isinstance(folder, int) else os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        if descriptor is not folder:
            os.close(descriptor)


def _open_new(path: Path, flags: int) -> int:
    return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_NOFOLLOW | flags, FILE_MODE)


def _fill(descriptor: int, text: bytes) -> None:
    os.fchmod(descriptor, FILE_MODE)  # whatever the umask
    write_all(descriptor, text)


def _read(path: Path, or_else: bytes | None = None) -> bytes:
    """The content of a file; `or_else` if there is none. Raises OSError, and SpoolFormatError for what is no file."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    except FileNotFoundError:
        if or_else is None:
            raise
        return or_else
    except OSError as problem:
        if problem.errno in (errno.ELOOP, errno.ENXIO):  # a symbolic link, a socket
            raise SpoolFormatError(path.name, 1, "not a regular file") from None
        raise
    try:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise SpoolFormatError(path.name, 1, "not a regular file")
        with open(descriptor, "rb", closefd=False) as file:
            return file.read()
    finally:
        os.close(descriptor)


def _unlink(path: Path) -> None:
    with suppress(FileNotFoundError):
        os.unlink(path)


def _replace(path: Path, text: bytes, temporary: Path) -> None:
    """Give a file a new content, in one step: a crash leaves the old one or the new one."""
    _unlink(temporary)
    try:
        descriptor = _open_new(temporary, os.O_EXCL)
        try:
            _fill(descriptor, text)
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        os.rename(temporary, path)
    except OSError:
        with suppress(OSError):
            os.unlink(temporary)
        raise


def _split(name: str) -> tuple[str, str] | None:
    """Queue id and H, D or J, from the name of a file."""
    found = re.fullmatch(r"(.+)-([HDJ])", name)
    with suppress(ValueError):
        return (check_queue_id(found[1]), found[2]) if found else None
    return None


def _sweep(path: Path, report: Callable[[str], None]) -> None:
    try:
        _unlink(path)
    except OSError as problem:
        report(f"{path}, a left-over of a crash, could not be removed: {problem}")


# One process owns a spool


def _take(path: Path) -> int:
    """Lock the spool by flock: unlike a POSIX lock, it is not lost when somebody here reads the file and closes it."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, FILE_MODE)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = os.pread(descriptor, 20, 0).decode("ascii", "replace").strip() or "unknown"
            remedy = "close that Spool" if holder == str(os.getpid()) else f"stop it (kill {holder})"
            words = (
                f"the spool {path.parent} belongs to process {holder}: {remedy} first, or use another folder"
            )
            raise SpoolBusy(errno.EAGAIN, words) from None
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, f"{os.getpid()}\n".encode(), 0)
    except OSError:
        os.close(descriptor)
        raise
    return descriptor


_OPEN_SPOOLS: weakref.WeakSet[Spool] = weakref.WeakSet()


def _forget_in_child() -> None:
    """A forked process has neither the writer nor the spool, and does not keep the lock for its parent."""
    for spool in list(_OPEN_SPOOLS):
        if not spool._is_closed:
            spool._is_closed = True
            os.close(spool._lock_file)


os.register_at_fork(after_in_child=_forget_in_child)
