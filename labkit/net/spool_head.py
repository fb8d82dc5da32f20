"""What the queue listing shows of a message: the head of its -H file, and nothing more.

WHY        a listing of many messages need not read their contents; and it starts quickly.
RULES      reads only. A file that another program is about to write anew may be gone: FileNotFoundError.
LIKE EXIM  4.96, and its own files
STANDARDS  Exim specification, chapter "Format of spool files"
READ NEXT  spool_format.py
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from datetime import datetime, timezone
from pathlib import Path

from labkit.net.durable import read_regular

_ACL_VARIABLE = re.compile(rb"--?(?:\(\w+\))?acl[cm]? \w+ ([0-9]{1,9})")
_COUNTED = re.compile(rb"([0-9]{1,9})([^\n]) ")
_AFTER_RECIPIENT = re.compile(r" .*#[0-9]+| [0-9]+(?:,[0-9]+,[0-9]+)?")


class BrokenHead(ValueError):
    """A -H file that is none; `size` are its octets."""

    def __init__(self, size: int) -> None:
        super().__init__(f"{size} octets that are no head of a message")
        self.size = size


@dataclass(slots=True)
class Head:
    """Who sent it, when it came, who is to get it."""

    queue_id: str
    login: str
    sender: str
    received_at: datetime
    size: int = 0
    is_frozen: bool = False
    sender_is_untrusted: bool = False
    finished: list[str] = field(default_factory=list)
    recipients: list[str] = field(default_factory=list)


def read_head(folder: Path, queue_id: str) -> Head:
    """Of a message in spool/input. Raises OSError, BrokenHead."""
    for place in (folder, folder / queue_id[5]):
        path = place / f"{queue_id}-H"
        try:
            octets = read_regular(path)
        except FileNotFoundError:
            if place is folder:
                continue
            raise
        try:
            return _read(octets, path, queue_id)
        except (ValueError, OverflowError) as problem:
            raise BrokenHead(len(octets)) from problem
    raise AssertionError("one of the two places was read")


def _read(octets: bytes, path: Path, queue_id: str) -> Head:
    lines = _Lines(octets)
    if lines.next() != f"{queue_id}-H":
        raise ValueError("the file of another message")
    login = lines.next().split(" ")[0]
    sender = lines.next().removeprefix("<").removesuffix(">")
    seconds = int(lines.next().split(" ")[0])
    head = Head(queue_id, login, sender, datetime.fromtimestamp(seconds, timezone.utc))
    line = lines.options(head)
    head.finished = lines.tree(line)
    count = int(lines.next())
    if count < 0:
        raise ValueError("fewer recipients than none")
    for _ in range(count):
        head.recipients.append(_AFTER_RECIPIENT.sub("", lines.next()))
    lines.next()
    head.size = lines.header_size()
    body = path.with_name(f"{queue_id}-D")
    try:
        head.size += body.stat().st_size - len(f"{queue_id}-D\n") + 1
    except FileNotFoundError:
        head.size = 0
    try:
        journal = read_regular(path.with_name(f"{queue_id}-J")).decode("utf-8", "surrogateescape")
    except FileNotFoundError:
        return head
    head.finished += [each for each in journal.splitlines() if each not in head.finished]
    return head


class _Lines:
    """Goes through the file."""

    def __init__(self, octets: bytes) -> None:
        self._octets = octets
        self._at = 0

    def next(self) -> str:
        end = self._octets.find(b"\n", self._at)
        if end < 0:
            raise ValueError("the file ends too early")
        line = self._octets[self._at : end].decode("utf-8", "surrogateescape")
        self._at = end + 1
        return line

    def options(self, head: Head) -> str:
        """Take in the lines that begin with a hyphen. Returns the first that does not."""
        while True:
            if found := _ACL_VARIABLE.match(self._octets, self._at):
                self.next()
                self._at += int(found[1]) + 1
                continue
            line = self.next()
            if not line.startswith("-"):
                return line
            name = line.lstrip("-").partition(" ")[0]
            head.is_frozen = head.is_frozen or name == "frozen"
            head.sender_is_untrusted = head.sender_is_untrusted or name == "sender_set_untrusted"

    def tree(self, line: str) -> list[str]:
        """The addresses of a tree, which begins with this line: whether there is a left and a right branch."""
        if line == "XX":
            return []
        found, open_branches = [], [line]
        while open_branches:
            branches, _, address = open_branches.pop().partition(" ")
            if len(branches) != 2 or set(branches) - set("YN"):
                raise ValueError("a tree that is none")
            found.append(address)
            if len(found) > 100_000:
                raise ValueError("a tree without an end")
            open_branches += ["?"] * branches.count("Y")
            if open_branches:
                open_branches[-1] = self.next()
        return found

    def header_size(self) -> int:
        """Octets of the header fields that are not taken out."""
        size = 0
        while self._at < len(self._octets):
            found = _COUNTED.match(self._octets, self._at)
            if found is None:
                raise ValueError("a header field without its length")
            length = int(found[1])
            size += length if found[2] != b"*" else 0
            self._at = found.end() + length
        return size
