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
from zlib import crc32

from labkit.mail.address import Mailbox
from labkit.mail.dates import header_date
from labkit.mail.message import HeaderField, Message, with_crlf
from labkit.mail.reply import Reply
from labkit.queue.item import QueueItem

LONGEST_LINE = 900  # octets; RFC 5322 §2.1.1 allows 998
_MESSAGE_ID = re.compile(rf"<[!-;=?-~]{{1,{LONGEST_LINE}}}>")
MOST_IN_A_FIELD = 50  # addresses in one X-Failed-Recipients field
_CREATED = "This message was created automatically by mail delivery software.\n\n"
_TO_THE_SENDER = """\
A message that you sent could not be delivered to one or more of its
recipients. This is a permanent error. The following address(es) failed:
"""
_TO_ANOTHER = """\
A message sent by

  <{0}>

could not be delivered to one or more of its recipients. The following
address(es) failed:
"""


@dataclass(frozen=True, slots=True)
class FailedRecipient:
    """One recipient that failed: the words of the failure, and the other host's reply if that decided.

    `parent` is the recipient that the sender named, if an alias made this one of it; `is_far`: with others between.
    `target` is the |program or /file, if it is one; then `recipient` is the address whose alias names it.
    `is_hidden`: a report must not name it.
    """

    recipient: Mailbox
    reason: str
    remote_host: str | None = None
    reply: Reply | None = None
    parent: Mailbox | None = None
    is_far: bool = False
    target: str = ""
    is_hidden: bool = False


def failure_report(
    item: QueueItem,
    failures: Sequence[FailedRecipient],
    *,
    queue_id: str,
    host: str,
    qualify_domain: str,
    now: datetime,
    errors_to: Mailbox | None = None,
) -> bytes:
    """The content of a report about `item` (CR LF line ends), from `host`, under its own `queue_id`.

    It goes to the sender, or to `errors_to`, whom a router names. Raises ValueError if there is nobody to tell.
    """
    errors_to = errors_to or item.envelope.reverse_path
    if errors_to is None:
        raise ValueError("a report about a report is never sent")
    is_to_sender = str(errors_to).lower() == item.envelope.sender.lower()
    number = 10**9 + crc32(queue_id.encode()) % 10**9  # as long as Exim's, which is random
    boundary = f"{int(now.timestamp())}-eximdsn-{number}"
    original_id = _MESSAGE_ID.match(Message.parse(item.content).first("Message-ID") or "")
    fields = [
        *_failed_recipients(failures),
        HeaderField.make("Auto-Submitted", "auto-replied"),
        HeaderField.make("From", f"Mail Delivery System <Mailer-Daemon@{qualify_domain}>"),
        HeaderField.make("To", str(errors_to)),
        *([HeaderField.make("References", original_id[0])] if original_id else []),
        HeaderField.make(
            "Content-Type", f"multipart/report; report-type=delivery-status; boundary={boundary}"
        ),
        HeaderField.make("MIME-Version", "1.0"),
        HeaderField.make("Subject", f"Mail delivery failed{': returning message to sender' * is_to_sender}"),
        HeaderField.make("Message-Id", f"<E{queue_id}@{host}>"),
        HeaderField.make("Date", header_date(now)),
    ]
    opening = _CREATED + (_TO_THE_SENDER if is_to_sender else _TO_ANOTHER.format(item.envelope.sender)) + "\n"
    parts = (
        (
            b"text/plain; charset=us-ascii",
            with_crlf(opening.encode("ascii", "replace") + _human_part(failures).encode("ascii", "replace")),
        ),
        (b"message/delivery-status", with_crlf(_status_part(failures, host).encode("ascii", "replace"))),
        (b"message/rfc822", _returned(item)),
    )
    body = b"".join(
        b"--" + boundary.encode() + b"\r\nContent-type: " + kind + b"\r\n\r\n" + text + b"\r\n"
        for kind, text in parts
    )
    return bytes(Message(tuple(fields), b"\r\n", body + b"--" + boundary.encode() + b"--\r\n"))


def _returned(item: QueueItem) -> bytes:
    """The message as it goes back: with the reverse-path it had, RFC 5321 §4.4."""
    field = HeaderField.make("Return-path", f"<{item.envelope.sender}>")
    return bytes(Message.parse(item.content).prepend(field))


def _failed_recipients(failures: Sequence[FailedRecipient]) -> list[HeaderField]:
    """For programs of mailing lists."""
    names = [str(each.recipient) for each in failures if not each.is_hidden]
    fields = []
    for start in range(0, len(names), MOST_IN_A_FIELD):
        some = names[start : start + MOST_IN_A_FIELD]
        listed = [f"{name}," for name in some[:-1]] + some[-1:]
        fields.append(HeaderField.make("X-Failed-Recipients", *listed, fold="\r\n  "))
    return fields


def _human_part(failures: Sequence[FailedRecipient]) -> str:
    lines = []
    for each in failures:
        lines += _named(each)
        for line in each.reason.splitlines():
            lines += (f"    {part}" for part in _folded(line))
    return "\n".join(lines) + "\n"


def _named(failed: FailedRecipient) -> list[str]:
    """Who failed, and what it was made of."""
    name = str(failed.recipient)
    if failed.is_hidden and failed.parent is not None:
        lines = ["  an undisclosed address"]
    elif failed.target:
        verb = "pipe" if failed.target.startswith("|") else "save"
        lines = [f"  {verb} to {failed.target[:LONGEST_LINE]}", f"    generated by {name}"]
    else:
        lines = [f"  {name}"]
    if failed.parent is not None and (failed.is_hidden or str(failed.parent).lower() != name.lower()):
        lines.append(f"    ({'ultimately ' * failed.is_far}generated from {failed.parent})")
    return lines


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
    for each in reversed(failures):
        lines = [
            "Action: failed",
            f"Final-Recipient: rfc822;{each.parent or each.recipient}",
            "Status: 5.0.0",
        ]
        if each.remote_host and each.reply is not None:
            lines += [
                f"Remote-MTA: dns; {each.remote_host}",
                f"Diagnostic-Code: smtp; {_printable(each.reply)}",
            ]
        blocks.append("\n".join(lines) + "\n")
    return "\n".join(blocks)


def _printable(reply: Reply) -> str:
    return "".join(c if c.isprintable() else "?" for c in str(reply))[:LONGEST_LINE]
