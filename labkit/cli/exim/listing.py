"""The queue as its files show it: -bp…, -bpc, and the texts of one message: -Mvh, -Mvb, -Mvl, -Mvc.

RULES      reads only. What an owner of the spool has accepted may be in its journal alone (net/spool_journal.py); then
           he is asked to write files first, and after a crash there is a new one who does.
LIKE EXIM  the layout, the order, the words when a file is not there, and the exit status
STANDARDS  Exim specification, chapter "The Exim command line"
READ NEXT  client.py
"""

from __future__ import annotations

import errno
import os
import sys
from collections.abc import Iterator
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from typing import Any

from labkit.cli.exim.command import Command, Mode
from labkit.cli.exim.files import CannotStart, text_of
from labkit.cli.exim.main_settings import Settings
from labkit.cli.exim.queue_options import MESSAGE_ID
from labkit.lab.exim_queue import age_shown, size_shown
from labkit.net.durable import read_regular
from labkit.net.spool_head import BrokenHead, Head, read_head

_FOLDERS = {"vh": ("input", "-H"), "vb": ("input", "-D"), "vl": ("msglog", "")}


def bring_up_to_date(command: Command, settings: Settings) -> None:
    """Let the files of the spool say all of it. Raises CannotStart."""
    try:
        has_more = any(len(name) == 8 and name.isdecimal() for name in os.listdir(settings.spool / "journal"))
    except OSError:
        return
    if has_more and settings.runs_here:
        from labkit.cli.exim.client import ask

        ask(Command(Mode.LIST, files=command.files, macros=command.macros), settings)


def remove_pid_file(command: Command, settings: Settings) -> int:
    """-oPX: what a daemon calls at its end, and a script may."""
    path = command.pid_file or settings.values.get("pid_file_path") or f"{settings.spool}/exim-daemon.pid"
    with suppress(OSError):
        os.unlink(text_of(path.replace("%s", "")))
    return 0


def _now() -> datetime:
    from labkit.net.programs.lab_time import LabTime
    from labkit.net.programs.labnet_facts import read_facts

    path = os.environ.get("LABNET")
    try:
        return LabTime(read_facts(Path(path)) if path else None)()
    except OSError as problem:
        raise CannotStart(
            f"labkit-exim: LABNET names {path}, which cannot be read: {problem.strerror}"
        ) from None


def list_queue(command: Command, settings: Settings) -> int:
    """-bp and what belongs to it."""
    if not settings.is_admin and settings.is_on("queue_list_requires_admin", True):
        print("exim: permission denied", file=sys.stderr)
        return 1
    bring_up_to_date(command, settings)
    folder = settings.spool / "input"
    if command.mode is Mode.COUNT:
        print(sum(1 for _ in _ids(folder)))
        return 0
    now = _now()
    is_unordered = command.listing.startswith("r")
    ids: list[str] = command.arguments or (list(_ids(folder)) if is_unordered else sorted(_ids(folder)))
    for queue_id in ids:
        text = block(folder, queue_id, command.listing.lstrip("r"), now, is_named=bool(command.arguments))
        sys.stdout.buffer.write(text.encode("utf-8", "surrogateescape"))
    sys.stdout.flush()
    return 0


def _ids(folder: Path) -> Iterator[str]:
    """Of the messages in a spool; `split_spool_directory` puts them into subfolders of one character."""
    try:
        names = [entry.name for entry in os.scandir(folder)]
    except FileNotFoundError:
        return
    for name in names:
        if len(name) == 1:
            yield from _ids(folder / name)
        elif name.endswith("-H") and len(name) == 18:
            yield name[:-2]


def block(folder: Path, queue_id: str, which: str, now: datetime, *, is_named: bool) -> str:
    """A message of the listing. `which`: "u" leaves out who is finished, "a" shows addresses that came of aliases."""
    try:
        if not MESSAGE_ID.fullmatch(queue_id):
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT))
        head = read_head(folder, queue_id)
    except OSError as problem:
        if isinstance(problem, FileNotFoundError) and not is_named:
            return ""
        return f"{'':>5} {queue_id}\n    *** spool read error: {problem.strerror} ***\n\n"
    except BrokenHead as problem:
        return f"{'':>5} {queue_id}\n    *** spool format error: size={problem.size} ***\n\n"
    lines = [f"{age_shown(now - head.received_at)} {size_shown(head.size):>5} {queue_id} {_sender(head)}"]
    for recipient in head.recipients:
        is_finished = recipient in head.finished
        if not (is_finished and which == "u"):
            lines.append(f"        {'D' if is_finished else ' '} {recipient}")
    if which == "a":
        extra = [address for address in head.finished if address not in head.recipients]
        lines += [f"       +D {address}" for address in extra]
    return "\n".join([*lines, "", ""])


def _sender(head: Head) -> str:
    login = f" ({head.login})" if head.sender_is_untrusted else ""
    return f"<{head.sender}>{login}{' *** frozen ***' if head.is_frozen else ''}"


def show(command: Command, settings: Settings) -> int:
    """-Mvh, -Mvb, -Mvl: the file as it is. -Mvc: the message as it would be sent."""
    if not settings.is_admin:
        print("Permission denied")
        return 1
    if command.arguments:
        print("*** Only one message can be listed at once")
        return 1
    queue_id = command.ids[0]
    bring_up_to_date(command, settings)
    if command.action == "vc":
        return _copy(settings.spool, queue_id)
    name, suffix = _FOLDERS[command.action]
    for folder in (settings.spool / name, settings.spool / name / queue_id[5]):
        try:
            sys.stdout.buffer.write(read_regular(folder / f"{queue_id}{suffix}"))
            return 0
        except FileNotFoundError as missing:
            problem: Any = missing
        except OSError as other:
            problem = other
            break
    print(f"Failed to open {name} file for {queue_id}{suffix}: {problem.strerror}")
    if command.action == "vl" and not settings.is_on("message_logs", True):
        print("(No message logs are being created because the message_logs option is false.)")
    return 1


def _copy(spool: Path, queue_id: str) -> int:
    from labkit.net.spool_reading import read_item

    try:
        item = read_item(spool, queue_id)
    except FileNotFoundError:
        print(f"Spool data file for {queue_id} does not exist")
        return 1
    except OSError as problem:
        print(f"Failed to open input file for {queue_id}-H: {problem.strerror}")
        return 1
    except ValueError:
        print(f"Spool format error for {queue_id}-H")
        return 1
    sys.stdout.buffer.write(item.content.replace(b"\r\n", b"\n"))
    return 0
