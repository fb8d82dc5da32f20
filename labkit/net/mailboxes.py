"""Mailboxes with the form that everybody knows: an mbox with From_ lines, a Maildir.

WHAT       `append_to_mbox` and `deliver_to_maildir` write a message (CR LF line ends) as Exim's defaults do;
           `read_mbox` and `read_maildir` give the messages back. Both deliver once, whatever crashes in between.
STANDARDS  RFC 4155 (mbox); maildir(5); Exim specification, chapter "The appendfile transport"
READ NEXT  mbox.py
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from pathlib import Path

from labkit.mail.dates import mbox_date
from labkit.mail.mailbox_rules import MailboxRules
from labkit.mail.message import CRLF, with_crlf
from labkit.net.mailbox_places import MailboxRefused
from labkit.net.maildir import deliver
from labkit.net.mbox import append
from labkit.net.spool_format import check_queue_id

LF = b"\n"
NULL_SENDER = "MAILER-DAEMON"  # the null reverse-path in a separator line


def append_to_mbox(
    path: Path,
    content: bytes,
    sender: str,
    at: datetime,
    *,
    root: Path,
    delivery: str,
    mode: int = 0o600,
    stored: Callable[[], None] = lambda: None,
) -> bool:
    """Append a message to the mbox at `path`: mbox.append says how, and what it raises.

    `sender` is the reverse-path, "" the null one; `at` the lab time for the separator line.
    """
    separator = f"From {sender or NULL_SENDER} {mbox_date(at)}".encode("utf-8", "surrogateescape") + LF
    if LF in separator[:-1]:
        raise ValueError(f"a line end in the sender {sender!r}")
    text = content.replace(CRLF, LF)
    text = (LF + text).replace(b"\nFrom ", b"\n>From ")[1:]  # Exim: check_string, escape_string
    end = LF if text.endswith(LF) or not text else LF + LF
    octets = separator + text + end
    return append(path, octets, root=root, delivery=delivery, rules=MailboxRules(mode=mode), stored=stored)


def deliver_to_maildir(
    path: Path, content: bytes, *, root: Path, queue_id: str, recipient_index: int, mode: int = 0o600
) -> bool:
    """Put a message into the Maildir at `path`: maildir.deliver says how, and what it raises.

    The name is made of `queue_id` and `recipient_index`. Raises ValueError for a bad id.
    """
    name = f"{check_queue_id(queue_id)}.R{recipient_index}"
    octets = content.replace(CRLF, LF)
    return deliver(path, octets, root=root, name=name, rules=MailboxRules(mode=mode))


def read_mbox(path: Path) -> list[bytes]:
    """The messages of an mbox, without separator lines and with CR LF line ends; none if there is no such file.

    A message begins with a line `From ...` at the start or after a blank line. `>From ` at the start of a line
    becomes `From `, as that is what an escaped line looks like: one that was so from the first is changed.
    Raises OSError.
    """
    try:
        text = path.read_bytes()
    except FileNotFoundError:
        return []
    text = text[:-2] if text.endswith(LF + LF) else text.removesuffix(LF)
    messages = []
    for part in (LF + LF + text).split(b"\n\nFrom ")[1:]:  # what comes before the first is no message
        _, line_end, message = part.partition(LF)
        messages.append(with_crlf((line_end + message).replace(b"\n>From ", b"\nFrom ")[1:] + line_end))
    return messages


def read_maildir(path: Path) -> list[bytes]:
    """The messages of a Maildir, read or not, with CR LF line ends, as they came. Raises OSError."""
    files = [file for folder in ("new", "cur") for file in (path / folder).glob("[!.]*") if file.is_file()]
    return [with_crlf(file.read_bytes()) for file in sorted(files, key=_arrival)]


def _arrival(file: Path) -> tuple[int, int, str]:
    """By the second in the name; within one by the file's own time, because the number after it tells no order."""
    second = file.name.partition(".")[0]
    return int(second) if second.isdecimal() else 0, file.stat().st_mtime_ns, file.name


__all__ = ["MailboxRefused", "append_to_mbox", "deliver_to_maildir", "read_maildir", "read_mbox"]
