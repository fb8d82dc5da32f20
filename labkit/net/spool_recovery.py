"""After a crash: what the journal and the files say, taken together.

WHAT       `replay` reads the journal: the messages that it knows, as they stand. `read_files` reads the pairs.
DECIDES    the journal is right where both speak: files may lag behind. It may be read twice with the same outcome.
           What cannot be read goes to spool/corrupt with a file that says why; nothing is thrown away in silence.
SWEEPS     what a crash left half done and nobody waits for: a draft of -H, a -D or -J without -H
READ NEXT  mailboxes.py
"""

from __future__ import annotations

import os
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from labkit.net.durable import remove_file
from labkit.net.spool_files import UNFINISHED, Report, SpoolFiles
from labkit.net.spool_format import SpoolFormatError, decode, decode_journal, encode
from labkit.net.spool_journal import Damage, Kind, Record, SpoolJournal
from labkit.queue.item import QueueItem


@dataclass(slots=True)
class Known:
    """A message as the journal leaves it. `segment`: the first that speaks of it; `has_files`: it began before that."""

    item: QueueItem
    segment: int
    has_files: bool = False


@dataclass(slots=True)
class Replayed:
    """What the journal says: the messages, those of the oldest segment first, and what could not be read."""

    messages: dict[str, Known] = field(default_factory=dict)
    troubles: dict[int, str] = field(default_factory=dict)  # by the number of the segment


def replay(journal: SpoolJournal, files: SpoolFiles) -> Replayed:
    """Go through the journal from its beginning. Raises OSError."""
    known = Replayed()
    for number, found in journal.read():
        if isinstance(found, Damage):
            known.troubles.setdefault(number, str(found))
            continue
        try:
            _apply(found, number, known.messages, files)
        except (SpoolFormatError, ValueError) as problem:
            words = f"the journal {journal.path(number)} cannot be read where it speaks of message {found.queue_id}"
            known.troubles.setdefault(number, f"{words}: {problem}")
    return known


def _apply(record: Record, number: int, messages: dict[str, Known], files: SpoolFiles) -> None:
    queue_id = record.queue_id
    if record.kind is Kind.REMOVED:
        messages.pop(queue_id, None)
        files.remove(queue_id)
        return
    if record.kind is Kind.ACCEPTED:
        length, _, texts = record.text.partition(b"\n")
        item = decode(texts[: int(length)], texts[int(length) :])
        messages[queue_id] = Known(item, number)
        return
    if queue_id not in messages:  # its files hold all that was said before this segment
        try:
            item = files.read(queue_id).with_finished(*files.finished(queue_id)[0])
            messages[queue_id] = Known(item, number, has_files=True)
        except FileNotFoundError:  # somebody took it away
            return
        except SpoolFormatError:  # it will be set aside, and this with it
            if record.kind is Kind.FINISHED:
                files.note_finished(queue_id, decode_journal(record.text)[0], synced=True)
            return
    message = messages[queue_id]
    if record.kind is Kind.FINISHED:
        message.item = message.item.with_finished(*decode_journal(record.text)[0])
    else:
        message.item = decode(record.text, encode(message.item)[1])


def read_files(files: SpoolFiles, known: set[str], report: Report) -> list[QueueItem]:
    """Every message that has a pair, but for those that are `known` better. Raises OSError."""
    found, others = files.names()
    for path in others:
        if path.name.startswith(UNFINISHED):
            _sweep(path, report)
        else:
            report(f"{path} belongs to no message: left as it is")
    items = []
    for queue_id, parts in found.items():
        if queue_id in known:
            continue
        if "H" not in parts:  # accepting broke off, or removing did: nobody waits for this
            for part in sorted(parts):
                _sweep(files.path(queue_id, part), report)
        elif item := _read(files, queue_id, report):
            items.append(item)
    return items


def _read(files: SpoolFiles, queue_id: str, report: Report) -> QueueItem | None:
    try:
        item = files.read(queue_id)
        delivered, troubles, length = files.finished(queue_id)
    except SpoolFormatError as problem:
        why = f"{queue_id}-D is missing" if str(problem).endswith("-D, line 1: missing") else str(problem)
        # -H goes last: were this to break off, an orphan -D would be removed
        files.set_aside(queue_id, "JDH", f"message {queue_id} cannot be read: {why}", report)
        return None
    except OSError as problem:
        report(f"message {queue_id} cannot be read now: {problem}; left where it is")
        return None
    if not delivered and not troubles:
        _sweep(files.path(queue_id, "J"), report)  # made, and not written to
        return item
    item = item.with_finished(*delivered)
    if troubles:
        words = f"the journal of message {queue_id} is damaged ({'; '.join(troubles)})"
        files.set_aside(queue_id, "J", f"{words}: somebody may get this message twice", report)
    try:
        files.merge(item)
    except (OSError, ValueError) as problem:
        report(f"the journal of message {queue_id} could not be added to its -H file: {problem}")
        with suppress(OSError):  # what a crash cut off must not run into the next line
            os.truncate(files.path(queue_id, "J"), length)
    return item


def _sweep(path: Path, report: Report) -> None:
    try:
        remove_file(path)
    except OSError as problem:
        report(f"{path}, a left-over of a crash, could not be removed: {problem}")
