"""The spool: where messages wait, and survive whatever happens to this process.

WHAT       `accept` makes a message durable, and only then is 250 said; `recover` finds the messages again.
HOW        everything that is promised (accepted, finished, changed, removed) is first a record in the journal
           (spool_journal.py). What is delivered at once never becomes files; what waits does: `show` gives a message
           Exim's pair of files in spool/input, where students and other programs see it.
DOES       one writer thread makes durable everything that came while it was busy (group commit): many sessions share
           the waiting for the disk. In memory worlds the same is done inline.
ORDER      the journal is true at once, the files soon. A segment of the journal is let go when what it says of each
           message stands in synced files, or the message is gone: one message at a time in quiet moments, all of them
           at a `checkpoint`. So the journal of a spool that was closed is empty, and an Exim may go on with it.
LIKE EXIM  spool/input with its modes; `<id>-J`, the deliveries since -H was written; spool/db for hints
STANDARDS  RFC 5321 §4.2.5, §6.1 (responsibility); Exim specification, chapter "Format of spool files"
READ NEXT  spool_files.py
"""

from __future__ import annotations

import errno
import os
import threading
import weakref
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING

from labkit.mail.address import Mailbox
from labkit.net.durable import (
    SpoolBusy,
    make_folder,
    read_regular,
    release_lock,
    replace_file,
    sync_folder,
    take_lock,
    write_all,
)
from labkit.net.spool_files import SpoolFiles
from labkit.net.spool_format import address_line, check_queue_id, encode
from labkit.net.spool_journal import Kind, Record, SpoolJournal
from labkit.net.spool_recovery import read_files, replay
from labkit.queue.item import QueueItem

if TYPE_CHECKING:
    from asyncio import AbstractEventLoop

__all__ = ["LARGEST_BATCH", "OnDurable", "Spool", "SpoolBusy", "sync_folder", "write_all"]

OnDurable = Callable[["OSError | None"], None]
HINTS = "labkit-retry"  # a name of our own: db/retry is a database of the real Exim's, who may work here, too
LARGEST_BATCH = 100
MOST_LIVE = 16  # segments of the journal: while fewer are full, files are synced in quiet moments only


@dataclass(slots=True)
class _Waiting:
    """A message of this host's: as it stands, and where that is written.

    `segment`: the oldest one of the journal that is still needed for it; None: its files say it all, and are synced.
    `has_files`: its -D is complete. `is_stale`: its -H is not, or not without -J.
    """

    item: QueueItem
    segment: int | None = None
    has_files: bool = False
    is_stale: bool = False
    texts: tuple[bytes, bytes] | None = None  # of -H and -D, as long as they are at hand


@dataclass(slots=True, eq=False)
class _Arrival:
    """A message on its way into the journal."""

    item: QueueItem
    texts: tuple[bytes, bytes]
    record: Record
    on_durable: OnDurable
    loop: AbstractEventLoop | None = None
    problem: OSError | None = None


class Spool:
    """A spool folder, owned by this object until `close`. Call it from one thread (the event loop's)."""

    def __init__(self, folder: Path, *, threaded: bool) -> None:
        """Make the folder if need be and take it.

        `threaded`: the disk work of `accept` is done by a thread, for a running event loop; else inline.
        Raises SpoolBusy, OSError.
        """
        self.folder = Path(folder)
        self._db = self.folder / "db"
        for path in (self.folder, self.folder / "input", self.folder / "corrupt", self._db):
            make_folder(path)
        self._lock_file = take_lock(self.folder / "lock")
        try:
            self._files = SpoolFiles(self.folder)
            self._journal = SpoolJournal(self.folder / "journal")
            replayed = replay(self._journal, self._files)
        except BaseException:
            release_lock(self._lock_file)
            raise
        self._troubles = replayed.troubles
        self._known = {
            each.item.queue_id: _Waiting(each.item, each.segment, each.has_files, is_stale=True)
            for each in replayed.messages.values()
        }
        self._unsettled = dict.fromkeys(self._known)  # who needs the journal, the oldest segment first
        self._threaded = threaded
        self._arrived: SimpleQueue[_Arrival | None] = SimpleQueue()
        self._writer: threading.Thread | None = None
        self._disk = (
            threading.RLock()
        )  # who holds it works on the journal, the files, and what is known of them
        self._is_closed = False
        _OPEN_SPOOLS.add(self)

    # --- taking responsibility ----------------------------------------------------------------

    def accept(self, item: QueueItem, on_durable: OnDurable) -> None:
        """Take responsibility for a message: `on_durable(None)` says that it will survive a crash.

        `on_durable` gets the OSError if it could not be stored; then nothing is left of it. It is called in the
        running event loop, with one wake-up for all messages of a batch; if not `threaded`, before this returns.
        Raises ValueError for an item that no spool file can hold, RuntimeError after `close`.
        """
        if self._is_closed:
            raise RuntimeError(f"the spool {self.folder} is closed")
        header, data = encode(item)
        record = Record(Kind.ACCEPTED, item.queue_id, b"%d\n%b%b" % (len(header), header, data))
        arrival = _Arrival(item, (header, data), record, on_durable)
        if not self._threaded:
            self._store([arrival])
            on_durable(arrival.problem)
            self._settle(2)
            return
        from asyncio import get_running_loop  # here, because a world in memory starts without asyncio

        arrival.loop = get_running_loop()
        if self._writer is None:
            self._writer = threading.Thread(target=self._write_batches, name="spool writer", daemon=True)
            self._writer.start()
        self._arrived.put(arrival)

    def finished(self, queue_id: str, recipients: Iterable[Mailbox]) -> None:
        """Note, durably, recipients for whom nothing is left to do, so that no crash lets them get it twice.

        Raises OSError (FileNotFoundError for an unknown id), ValueError.
        """
        recipients = tuple(recipients)
        text = "".join(f"{address_line(recipient)}\n" for recipient in recipients).encode()
        with self._disk:
            waiting = self._find(queue_id)
            self._promise(waiting, Record(Kind.FINISHED, queue_id, text))
            waiting.item, waiting.texts = waiting.item.with_finished(*recipients), None
            if waiting.has_files:
                waiting.is_stale = True
                with suppress(OSError):  # the journal has it
                    self._files.note_finished(queue_id, recipients)

    def update(self, item: QueueItem) -> None:
        """Envelope and status may change, durably; the content may not. The message has files afterwards.

        Raises OSError (FileNotFoundError for an unknown id), and ValueError for another content or as `accept`.
        """
        with self._disk:
            waiting = self._find(item.queue_id)
            if item.content != waiting.item.content:
                raise ValueError(f"the content of message {item.queue_id} is not what was accepted")
            if item != waiting.item:
                self._promise(waiting, Record(Kind.UPDATED, item.queue_id, encode(item)[0]))
                waiting.item, waiting.is_stale, waiting.texts = item, True, None
            with suppress(OSError):  # the journal has it
                self._show(waiting)

    def remove(self, queue_id: str) -> None:
        """Forget a message. Harmless if there is none. Raises OSError, ValueError."""
        with self._disk:
            try:
                waiting = self._find(queue_id)
            except FileNotFoundError:
                return
            self._promise(waiting, Record(Kind.REMOVED, queue_id))
            del self._known[queue_id]
            self._unsettled.pop(queue_id, None)
            if waiting.has_files:
                with suppress(OSError):  # the next start does it
                    self._files.remove(queue_id)

    # --- looking ------------------------------------------------------------------------------

    def show(self, queue_id: str) -> None:
        """This message waits: let it have its files, where everybody sees it. Harmless if there is none.

        Raises OSError: then it waits without, as durable as before. Raises ValueError.
        """
        check_queue_id(queue_id)
        with self._disk:
            if waiting := self._known.get(queue_id):
                self._show(waiting)

    def files(self, queue_id: str) -> tuple[Path, Path] | None:
        """The files -H and -D of a message, to look at; None if there is none. Raises OSError, ValueError."""
        self.show(queue_id)
        return self._files.pair(queue_id)

    def recover(self, report: Callable[[str], None] = lambda words: None) -> list[QueueItem]:
        """Every message this host is responsible for, sorted by queue id. For the start; may be repeated.

        What the journal says goes into the files first. Left-overs of a crash (temporary files, -D and -J without
        -H) are removed. A pair that cannot be read goes to spool/corrupt, with a file `<id>-why`, and a damaged
        journal is copied there; that, and whatever could not be done, is told to `report` in one sentence each.
        Raises OSError only if spool/input itself cannot be read.
        """
        with self._disk:
            for number, words in self._troubles.items():
                self._files.keep_copy(self._journal.path(number), words, report)
            self._troubles = {}
            try:
                self.checkpoint()
            except OSError as problem:
                report(f"the journal could not be brought into files: {problem}")
            self._known = {queue_id: self._known[queue_id] for queue_id in self._unsettled}
            for item in read_files(self._files, {*self._known}, report):
                self._known[item.queue_id] = _Waiting(item, has_files=True)
            return [waiting.item for _, waiting in sorted(self._known.items())]

    # --- hints --------------------------------------------------------------------------------

    def write_hints(self, text: str) -> None:
        """Store the retry hints; a crash leaves the old ones or the new ones. Raises OSError.

        After a power cut they may be gone: what is lost is found out anew.
        """
        octets = text.encode("utf-8", "surrogateescape")
        replace_file(self._db / HINTS, octets, self._db / f"{HINTS}.new", synced=False)

    def has_hints(self) -> bool:
        """Whether the file is there: an administrator may take it away, so that all is tried again."""
        return (self._db / HINTS).exists()

    def read_hints(self) -> str:
        """What was stored last, or "". Raises OSError."""
        try:
            return read_regular(self._db / HINTS).decode("utf-8", "surrogateescape")
        except FileNotFoundError:
            return ""

    # --- the end ------------------------------------------------------------------------------

    def close(self) -> None:
        """Wait until everything accepted is stored, bring it into files, and let go of the folder.

        May be called again. If the disk is full, the journal stays for the next start.
        """
        if not self._is_closed:
            self._is_closed = True
            if self._writer is not None:
                self._arrived.put(None)
                self._writer.join()
            with suppress(OSError):
                self.checkpoint()
            self._journal.close()
            release_lock(self._lock_file)

    def __enter__(self) -> Spool:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # --- the journal --------------------------------------------------------------------------

    def _find(self, queue_id: str) -> _Waiting:
        """What is known of a message. Raises FileNotFoundError, and what reading its files raises."""
        if queue_id not in self._known:
            try:
                item = self._files.read(queue_id)
            except FileNotFoundError:
                raise FileNotFoundError(errno.ENOENT, f"the spool has no message {queue_id}") from None
            item = item.with_finished(*self._files.finished(queue_id)[0])
            self._known[queue_id] = _Waiting(item, has_files=True)
        return self._known[queue_id]

    def _promise(self, waiting: _Waiting, record: Record) -> None:
        """Say something about a message, durably. Raises OSError, and nothing was said."""
        self._note_need(waiting, self._journal.append([record]))
        self._settle(1)

    def _note_need(self, waiting: _Waiting, segment: int) -> None:
        if waiting.segment is None:
            waiting.segment = segment
            self._unsettled[waiting.item.queue_id] = None

    def _store(self, arrivals: Sequence[_Arrival]) -> None:
        """Bring a batch into the journal; what cannot be stored keeps the problem and leaves no trace."""
        with self._disk:
            fresh: dict[str, _Arrival] = {}
            for arrival in arrivals:
                queue_id = arrival.item.queue_id
                if queue_id in self._known or queue_id in fresh or self._files.pair(queue_id):
                    arrival.problem = FileExistsError(
                        errno.EEXIST, "there is a message with this id", queue_id
                    )
                else:
                    fresh[queue_id] = arrival
            if fresh and not self._try_to_store(list(fresh.values())) and len(fresh) > 1:
                for (
                    arrival
                ) in fresh.values():  # what the disk will not take of one, it may take of the others
                    self._try_to_store([arrival])

    def _try_to_store(self, arrivals: Sequence[_Arrival]) -> bool:
        problem: OSError | None = None
        try:
            segment = self._journal.append([arrival.record for arrival in arrivals])
        except OSError as refused:
            problem = refused
        except Exception as mistake:  # the writer must live on, and these sessions must hear of it
            problem = OSError(errno.EIO, f"{type(mistake).__name__}: {mistake}")
        for arrival in arrivals:
            arrival.problem = problem
            if problem is None:
                waiting = _Waiting(arrival.item, texts=arrival.texts)
                self._known[arrival.item.queue_id] = waiting
                self._note_need(waiting, segment)
        return problem is None

    def _write_batches(self) -> None:
        """The writer thread: whatever has come in the meantime is one batch."""
        is_open = True
        while is_open:
            batch = [self._arrived.get()]
            with suppress(Empty):
                while len(batch) < LARGEST_BATCH:
                    batch.append(self._arrived.get_nowait())
            is_open = None not in batch
            arrivals = [arrival for arrival in batch if arrival is not None]
            self._store(arrivals)
            for loop in {arrival.loop for arrival in arrivals if arrival.loop is not None}:
                with suppress(RuntimeError):  # that loop is closed: nobody waits any more
                    loop.call_soon_threadsafe(_tell, loop, [each for each in arrivals if each.loop is loop])
            while self._arrived.empty() and self._settle(1):
                pass
            if len(self._journal.live) > MOST_LIVE:
                self._settle(len(arrivals) + 1)

    # --- the files ----------------------------------------------------------------------------

    def _show(self, waiting: _Waiting) -> None:
        if not waiting.has_files:
            self._files.write(waiting.item.queue_id, *(waiting.texts or encode(waiting.item)))
        elif waiting.is_stale:
            self._files.write_header(waiting.item)
        waiting.has_files, waiting.is_stale, waiting.texts = True, False, None

    def _settle(self, most: int) -> bool:
        """Let go of all segments but the last, doing the work for so many messages; a full disk puts it off.

        Returns whether there is more to do.
        """
        with suppress(OSError):
            while len(self._journal.live) > 1:
                with self._disk:
                    needed = next(iter(self._unsettled), None)
                    if needed is None or (self._known[needed].segment or 0) > self._journal.live[0]:
                        self._files.sync_names()
                        self._journal.release()
                    elif most:
                        self._sync(needed)
                        most -= 1
                    else:
                        return True
        return False

    def _sync(self, queue_id: str) -> None:
        """From now on the files say all that the journal says of this message."""
        waiting = self._known[queue_id]
        self._show(waiting)
        self._files.sync(queue_id)
        waiting.segment = None
        del self._unsettled[queue_id]

    def checkpoint(self) -> None:
        """Bring everything into synced files; the journal is empty then. Raises OSError."""
        with self._disk:
            for queue_id in tuple(self._unsettled):
                self._sync(queue_id)
            self._files.sync_names()
            while self._journal.live:
                self._journal.release()


def _tell(loop: AbstractEventLoop, arrivals: Sequence[_Arrival]) -> None:
    for arrival in arrivals:
        try:
            arrival.on_durable(arrival.problem)
        except Exception as mistake:  # the others of the batch must hear all the same
            words = f"mistake in what was to follow when message {arrival.item.queue_id} was durable"
            loop.call_exception_handler({"message": words, "exception": mistake})


_OPEN_SPOOLS: weakref.WeakSet[Spool] = weakref.WeakSet()


def _forget_in_child() -> None:
    """A forked process has neither the writer nor the spool, and does not keep the lock for its parent."""
    for spool in list(_OPEN_SPOOLS):
        if not spool._is_closed:
            spool._is_closed = True
            spool._journal.close()
            os.close(spool._lock_file)


os.register_at_fork(after_in_child=_forget_in_child)
