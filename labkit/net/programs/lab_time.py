"""Lab time for a program of ours that is its own process: the clock that LABNET names, else this machine's.

WHAT       `LabTime(facts)`; calling it gives the instant, in UTC.
DECIDES    a clock is a page that a world moves (labnet.py, ClockPage): with `ticks` the time of the world, without it
           a time that runs on from there; or a text file with the seconds by which the lab is ahead.
READ NEXT  ../this_machine.py
"""

from __future__ import annotations

import mmap
import os
import struct
import time
from datetime import datetime, timedelta, timezone
from pathlib import Path

from labkit.net.programs.labnet_facts import Facts

PAGE = 4096
_EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)
_FIELDS = struct.Struct("@qQq")  # lab_ns, looks, standing_ns, as in labnet.py


class LabTime:
    """Time as a host of the lab has it. `facts` None: no lab."""

    def __init__(self, facts: Facts | None) -> None:
        self._facts = facts or Facts()
        self._page = _page(self._facts.clock) if self._facts.clock is not None else None
        self._began = time.monotonic_ns()

    def __call__(self) -> datetime:
        if self._page is not None:
            lab_ns, looks, standing_ns = _FIELDS.unpack_from(self._page)
            if self._facts.ticks:
                struct.pack_into("@Q", self._page, 8, looks + 1)
                ns = standing_ns + (looks + 1) * self._facts.ticks * 1000
            else:
                ns = lab_ns + time.monotonic_ns() - self._began
            return _EPOCH + timedelta(microseconds=ns // 1000)
        return datetime.now(timezone.utc) + timedelta(seconds=self._facts.seconds_ahead())


def _page(file: Path) -> mmap.mmap | None:
    """The page of a world's clock; None for a text file, or none."""
    try:
        with open(file, "r+b") as opened:
            if os.fstat(opened.fileno()).st_size < PAGE:
                return None
            return mmap.mmap(opened.fileno(), PAGE)
    except (OSError, ValueError):
        return None
