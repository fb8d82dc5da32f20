"""Tell a program under the shim which lab it lives in: a file of facts, an environment, and a clock page.

WHAT       `LabNet` writes the file that LABNET names; `lab_environment` the variables; `ClockPage` is lab time.
DOES       the page is a file that all programs of a lab map: between two jumps lab time stands still, and each
           look of a program at the clock moves it by `ticks` microseconds, as labshim.c explains.
RULES      lab time never goes back. What cannot be written in one line raises ValueError, naming the fact.
READ NEXT  labshim.c
"""

from __future__ import annotations

import contextlib
import mmap
import os
import socket
import struct
import tempfile
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from pathlib import Path

PAGE = 4096  # octets; struct clock_page of labshim.c lies at its start
_EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)
MOST_SILENT = 500
_SILENCE = 64  # where in the page it begins
_FIELDS = struct.Struct("@qQq")  # lab_ns, looks, standing_ns
_NUMBER = struct.Struct("@q")  # in the machine's own form: stored at once, so that nobody sees half of it


@dataclass(frozen=True, slots=True, kw_only=True)
class LabNet:
    """What a program under the shim is told: labshim.c says what each fact means."""

    base: int
    addresses: Sequence[str]
    dns: tuple[str, int] | None  # the nameserver's real place
    accounts: Mapping[str, Path]
    files: Mapping[str, Path]
    clock: Path | None
    ticks: int | None  # microseconds
    wire: Path | None
    patience: float | None  # seconds
    callers: Sequence[int] = ()

    def write(self, path: Path) -> None:
        """Write the file, in one step. Raises ValueError for a fact that one line cannot hold, OSError."""
        text = "".join(f"{line}\n" for line in self._lines())
        handle, draft = tempfile.mkstemp(prefix=f".{path.name}-", dir=path.parent)
        try:
            with open(handle, "wb") as file:
                file.write(os.fsencode(text))
            os.chmod(draft, 0o644)
            os.replace(draft, path)
        except BaseException:
            with contextlib.suppress(OSError):
                os.unlink(draft)
            raise

    def _lines(self) -> Iterator[str]:
        if self.dns is not None:
            yield _fact("dns", f"{self.dns[0]}:{self.dns[1]}")
        yield _fact("base", str(self.base))
        for address in self.addresses:
            yield _fact("host", address)
        for name, home in self.accounts.items():
            yield _fact("user", name, rest=str(home))
        for asked, given in self.files.items():
            yield _fact("file", asked, rest=str(given))
        if self.clock is not None:
            yield _fact("clock", rest=str(self.clock))
        if self.ticks is not None:
            yield _fact("ticks", str(self.ticks))
        if self.wire is not None:
            yield _fact("wire", rest=str(self.wire))
        if self.patience is not None:
            yield _fact("patience", f"{self.patience:.3f}")
        for uid in self.callers:
            yield _fact("caller", str(uid))


def _fact(name: str, *words: str, rest: str | None = None) -> str:
    """One line: words without blanks, and a last one that may have some."""
    for word in words:
        if not word or any(c.isspace() or c == "\0" for c in word):
            raise ValueError(f"the fact `{name}` cannot be written with {word!r}: it has blanks or is empty")
    if rest is not None and (not rest or any(c in rest for c in "\n\0")):
        raise ValueError(f"the fact `{name}` cannot be written with {rest!r}: it has a line end or is empty")
    return " ".join((name, *words, *([] if rest is None else [rest])))


def lab_environment(*, labnet: Path, shim: Path, address: str, name: str, login: str = "") -> dict[str, str]:
    """The variables that put a program into the lab, at `address`, as `login`. Raises ValueError."""
    if any(c in " :" for c in str(shim)):  # ld.so(8): both separate the names in LD_PRELOAD
        raise ValueError(f"the loader cannot read the path {shim}: it has a blank or a colon")
    variables = {"LABNET": str(labnet), "LABADDR": address, "LABNAME": name, "LD_PRELOAD": str(shim)}
    return variables | ({"LABUSER": login} if login else {})


class ClockPage:
    """Lab time as programs under the shim see it. Made if it is not there; `close` leaves the file.

    `ticks`: microseconds that a look takes, as in LabNet; None or 0 if looks do not count.
    """

    def __init__(self, path: Path, ticks: int | None = None) -> None:
        self.path = path
        self.ticks = ticks or 0
        handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            if os.fstat(handle).st_size < PAGE:
                os.ftruncate(handle, PAGE)
            self._page = mmap.mmap(handle, PAGE)
        finally:
            os.close(handle)

    def set(self, instant: datetime) -> None:
        """Move lab time to `instant`, or leave it where the looks have moved it if that is later.

        The looks are never taken back: a program that looks meanwhile finds the time before or after, no other.
        """
        lab_ns, looks, standing_ns = _FIELDS.unpack_from(self._page)
        looked = looks * self.ticks * 1000
        wanted = max(_nanoseconds(instant), lab_ns, standing_ns + looked)
        _NUMBER.pack_into(self._page, 0, wanted)
        _NUMBER.pack_into(self._page, 16, wanted - looked)

    def silence(
        self,
        nowhere: tuple[str, int],
        places: Collection[tuple[str, int | None]],
        blocked: Collection[tuple[str, int]] = (),
    ) -> None:
        """The places (None: every port) that do not answer, for calls from now on; who calls one is sent to `nowhere`.

        `blocked`: whose calls to which port of others go there, too. Raises ValueError for more than 500.
        """
        count = len(places) + len(blocked)
        if count > MOST_SILENT:
            raise ValueError(f"{count} silent places: the page has room for {MOST_SILENT}")
        rows = [*((*place, 0) for place in places), *((*place, 1) for place in blocked)]
        entries = b"".join(
            socket.inet_aton(address) + struct.pack("!HH", port or 0, is_caller)
            for address, port, is_caller in rows
        )
        head = socket.inet_aton(nowhere[0]) + struct.pack("!H", nowhere[1])
        struct.pack_into("=H", self._page, _SILENCE + len(head), 0)  # nobody reads half of it
        self._page[_SILENCE : _SILENCE + len(head)] = head
        self._page[_SILENCE + 8 : _SILENCE + 8 + len(entries)] = entries
        struct.pack_into("=H", self._page, _SILENCE + len(head), count)

    def now(self) -> datetime:
        """Lab time, without taking a look at it."""
        _, looks, standing_ns = _FIELDS.unpack_from(self._page)
        return _EPOCH + timedelta(microseconds=standing_ns // 1000 + looks * self.ticks)

    def close(self) -> None:
        self._page.close()


def _nanoseconds(instant: datetime) -> int:
    """Raises TypeError for an instant without a time zone."""
    return (instant - _EPOCH) // timedelta(microseconds=1) * 1000
