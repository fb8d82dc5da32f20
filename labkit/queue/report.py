"""The delivery report: telling the sender that a message did not arrive.

WHAT       one report for all recipients that failed in one run, with Exim's words and structure.
RULES      a report has a null reverse-path and is never sent about a report (RFC 5321 §4.5.5, §6.1).
STANDARDS  RFC 3462 (multipart/report), RFC 3464 (delivery status), RFC 3834 (Auto-Submitted)
SAFE       what another host said may be long, and anything but text: no line of a report gets too long by it
READ NEXT  the room net
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from labkit.mail.address import Mailbox
from labkit.mail.dates import header_date
from labkit.mail.message import HeaderField, Message, with_crlf
from labkit.mail.reply import Reply
from labkit.queue.item import QueueItem

LONGEST_LINE = 900  # octets; RFC 5322 §2.1.1 allows 998
_MESSAGE_ID = re.compile(rf"<[!-;=?-~]{{1,{LONGEST_LINE}}}>")
_OPENING = """\
This message was created automatically by mail delivery software.

A message that you sent could not be delivered to one or more of its
recipients. This is a permanent error. The following address(es) failed:
"""


@dataclass(frozen=True, slots=True)
class FailedRecipient:
    """One recipient that failed: the words of the failure, and the other host's reply if that decided."""

    recipient: Mailbox
    reason: str
    remote_host: str | None = None
    reply: Reply | None = None


def failure_report(
    item: QueueItem,
    failures: Sequence[FailedRecipient],
    *,
    queue_id: str,
    host: str,
    qualify_domain: str,
    now: datetime,
) -> bytes:
    """The content of a report about `item` (CR LF line ends), from `host`, under its own `queue_id`.

    Raises ValueError for an item without a sender to tell.
    """
    if item.envelope.reverse_path is None:
        raise ValueError("a report about a report is never sent")
    boundary = f"{int(now.timestamp())}-eximdsn-{queue_id}"
    original_id = _MESSAGE_ID.match(Message.parse(item.content).first("Message-ID") or "")
    fields = [
        HeaderField.make("X-Failed-Recipients", *_listed(failures), fold="\r\n  "),
        HeaderField.make("Auto-Submitted", "auto-replied"),
        HeaderField.make("From", f"Mail Delivery System <Mailer-Daemon@{qualify_domain}>"),
        HeaderField.make("To", item.envelope.sender),
        *([HeaderField.make("References", original_id[0])] if original_id else []),
        HeaderField.make(
            "Content-Type", f'multipart/report; report-type=delivery-status; boundary="{boundary}"'
        ),
        HeaderField.make("MIME-Version", "1.0"),
        HeaderField.make("Subject", "Mail delivery failed: returning message to sender"),
        HeaderField.make("Message-Id", f"<E{queue_id}@{host}>"),
        HeaderField.make("Date", header_date(now)),
    ]
    parts = (
        (b"text/plain; charset=us-ascii", with_crlf(_human_part(failures).encode("ascii", "replace"))),
        (b"message/delivery-status", with_crlf(_status_part(failures, host).encode("ascii", "replace"))),
        (b"message/rfc822", item.content),
    )
    body = b"".join(
        b"--" + boundary.encode() + b"\r\nContent-type: " + kind + b"\r\n\r\n" + text + b"\r\n"
        for kind, text in parts
    )
    return bytes(Message(tuple(fields), b"\r\n", body + b"--" + boundary.encode() + b"--\r\n"))


def _listed(failures: Sequence[FailedRecipient]) -> list[str]:
    names = [str(each.recipient) for each in failures]
    return [f"{name}," for name in names[:-1]] + names[-1:]


def _human_part(failures: Sequence[FailedRecipient]) -> str:
    lines = [_OPENING]
    for each in failures:
        lines.append(f"  {each.recipient}")
        for line in each.reason.splitlines():
            lines += (f"    {part}" for part in _folded(line))
    return "\n".join(lines) + "\n"


def _folded(line: str) -> list[str]:
    """As Exim folds it: behind a colon, once there are 45 octets."""
    first, *others = line.split(": ")
    parts = [first]
    for piece in others:
        if len(parts[-1]) >= 45:
            parts[-1] += ":"
            parts.append(piece)
        else:
            parts[-1] += f": {piece}"
    return [part[i : i + LONGEST_LINE] for part in parts for i in range(0, len(part), LONGEST_LINE)]


def _status_part(failures: Sequence[FailedRecipient], host: str) -> str:
    blocks = [f"Reporting-MTA: dns; {host}\n"]
    for each in failures:
        lines = ["Action: failed", f"Final-Recipient: rfc822;{each.recipient}", "Status: 5.0.0"]
        if each.remote_host and each.reply is not None:
            lines += [
                f"Remote-MTA: dns; {each.remote_host}",
                f"Diagnostic-Code: smtp; {_printable(each.reply)}",
            ]
        blocks.append("\n".join(lines) + "\n")
    return "\n".join(blocks)


def _printable(reply: Reply) -> str:
    return "".join(c if c.isprintable() else "?" for c in str(reply))[:LONGEST_LINE]
