"""Look into a spool that another program works on: a real Exim's.

WHAT       `waiting` names the messages, `read_item` reads one.
RULES      writes nothing. A message may be gone between two calls.
STANDARDS  Exim specification, chapter "Format of spool files"
READ NEXT  mailboxes.py
"""

from __future__ import annotations

from pathlib import Path

from labkit.net.durable import read_regular
from labkit.net.spool_format import decode, decode_journal
from labkit.queue.item import QueueItem


def waiting(spool: Path) -> list[str]:
    """The ids of the messages in a spool folder, oldest first."""
    return sorted(path.name.removesuffix("-H") for path in _headers(spool))


def spool_pair(spool: Path, queue_id: str) -> tuple[Path, Path] | None:
    """The files ID-H and ID-D of a message, None if it does not wait."""
    for header in _headers(spool):
        if header.name == f"{queue_id}-H":
            return header, header.with_name(f"{queue_id}-D")
    return None


def _headers(spool: Path) -> list[Path]:
    """In spool/input, or (`split_spool_directory`) in its subfolders of one character."""
    folder = spool / "input"
    return [*folder.glob("*-H"), *folder.glob("?/*-H")]


def read_item(spool: Path, queue_id: str) -> QueueItem:
    """The message with that id. Raises FileNotFoundError if it is gone, another OSError, SpoolFormatError."""
    pair = spool_pair(spool, queue_id)
    if pair is None:
        raise FileNotFoundError(f"{queue_id} does not wait in {spool}")
    header, body = pair
    item = decode(read_regular(header), read_regular(body))
    journal = header.with_name(f"{queue_id}-J")
    if journal.exists():
        item = item.with_finished(*decode_journal(read_regular(journal))[0])
    return item
