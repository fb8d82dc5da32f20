"""The log files of an Exim that is its own process: main log, reject log, panic log, and one log for each message.

WHAT       `Logs` writes events as lines of Exim's logs; `log_paths` finds the files that log_file_path names.
RULES      a file is opened for each line, so that somebody may rename it meanwhile; the folder is made if it is not
           there. What cannot be written goes to the standard error, once.
LIKE EXIM  log_file_path is a list; syslog is not written, and said so. Unset: spool_directory/log/%slog.
STANDARDS  Exim specification, chapter "Log files"
READ NEXT  real_time.py
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable
from contextlib import suppress
from datetime import datetime
from pathlib import Path

from labkit.lab.exim_log import MAIN, PANIC, REJECT, Style, log_lines, printable
from labkit.mail.event import EventKind, MailEvent

FILE_MODE, FOLDER_MODE = 0o640, 0o750  # as Exim's


def log_paths(written: Iterable[str], spool: Path) -> dict[str, Path]:
    """The file of each log. `written` are the items of log_file_path."""
    items = [item.strip() for item in written if item.strip() not in ("", "syslog")]
    pattern = items[0] if items else f"{spool}/log/%slog"
    return {name: Path(pattern.replace("%s", name).replace("%D", "")) for name in (MAIN, REJECT, PANIC)}


class Logs:
    """The logs of one Exim. `message_logs`: whether each message has one of its own (exim -Mvl)."""

    def __init__(
        self, paths: dict[str, Path], spool: Path, style: Style, *, message_logs: bool, reject_log: bool
    ) -> None:
        self.paths = paths
        self.style = style
        self.folder = spool / "msglog"
        self.message_logs = message_logs
        self.reject_log = reject_log
        self._complained = False

    def note(self, event: MailEvent) -> list[str]:
        """Write what the logs say of an event. Returns the lines of the main log, without date."""
        shown = []
        stamp = f"{self.style.stamp(event.at)} "
        for each in log_lines(event, self.style):
            for name in each.logs:
                if name != REJECT or self.reject_log:
                    self.write(name, each.text + (f"\n{each.below}".rstrip("\n") if name == REJECT else ""))
            if MAIN in each.logs:
                shown.append(each.text.removeprefix(stamp))
        if event.queue_id and self.message_logs:
            self._about_message(event, event.queue_id, stamp, shown)
        return shown

    def line(self, at: datetime, words: str, *names: str) -> None:
        """A line about no message, in the main log and in others that are named."""
        for name in (MAIN, *names):
            self.write(name, f"{self.style.stamp(at)} {printable(words)}")

    def write(self, name: str, line: str) -> None:
        self._append(self.paths[name], line)

    def _about_message(self, event: MailEvent, queue_id: str, stamp: str, lines: list[str]) -> None:
        path = self.folder / queue_id
        if event.kind is EventKind.COMPLETED:
            with suppress(OSError):
                path.unlink()
            return
        if event.kind is not EventKind.RECEIVED and not path.exists():
            return  # no message of ours
        for line in lines:
            text = line.removeprefix(f"{queue_id} ")
            if event.kind is EventKind.RECEIVED:
                text = f"Received from {text.partition(' ')[2]}"
            self._append(path, stamp + text)

    def _append(self, path: Path, line: str) -> None:
        octets = f"{line}\n".encode("utf-8", "surrogateescape")
        try:
            try:
                self._write(path, octets)
            except FileNotFoundError:
                path.parent.mkdir(mode=FOLDER_MODE, parents=True, exist_ok=True)
                self._write(path, octets)
        except OSError as problem:
            if not self._complained:
                self._complained = True
                print(f"exim: could not write the log {path}: {problem.strerror}", file=sys.stderr)

    @staticmethod
    def _write(path: Path, octets: bytes) -> None:
        flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
        descriptor = os.open(path, flags, FILE_MODE)
        try:
            os.write(descriptor, octets)  # one call, so that lines of two processes do not mix
        finally:
            os.close(descriptor)
