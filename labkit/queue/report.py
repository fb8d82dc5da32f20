"""The delivery report: telling the sender that a message did not arrive.

WHAT       one report for all recipients that failed in one run, with Exim's words and structure.
RULES      a report has a null reverse-path and is never sent about a report (RFC 5321 §4.5.5, §6.1).
STANDARDS  RFC 3462 (multipart/report), RFC 3464 (delivery status), RFC 3461 §6 (what a sender asked for),
           RFC 3834 (Auto-Submitted)
SAFE       what another host said may be long, and anything but text: no line of a report gets too long by it
READ NEXT  notices.py
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from labkit.mail.address import Mailbox
from labkit.mail.message import HeaderField
from labkit.mail.reply import Reply
from labkit.queue.item import QueueItem
from labkit.queue.report_parts import (
    CREATED,
    LONGEST_LINE,
    USUAL_STYLE,
    DeliveryReport,
    ReportStyle,
    envelope_identifier,
    folded,
    printable,
    returned,
    status_block,
)

MOST_IN_A_FIELD = 50  # addresses in one X-Failed-Recipients field
_TO_THE_SENDER = """
A message that you sent could not be delivered to one or more of its
recipients. This is a permanent error. The following address(es) failed:
"""
_TO_ANOTHER = """
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
    `is_hidden`: a report must not name it. `original`: ORCPT, as the sender gave it.
    """

    recipient: Mailbox
    reason: str
    remote_host: str | None = None
    reply: Reply | None = None
    parent: Mailbox | None = None
    is_far: bool = False
    target: str = ""
    is_hidden: bool = False
    original: str = ""
    more: str = ""  # Exim's own words behind the reply: ": retry timeout exceeded"
    output: bytes = b""  # what a program has said


def failure_report(
    item: QueueItem,
    failures: Sequence[FailedRecipient],
    *,
    queue_id: str,
    host: str,
    qualify_domain: str,
    now: datetime,
    errors_to: Mailbox | None = None,
    style: ReportStyle = USUAL_STYLE,
) -> bytes:
    """The content of a report about `item` (CR LF line ends), from `host`, under its own `queue_id`.

    It goes to the sender, or to `errors_to`, whom a router names. Raises ValueError if there is nobody to tell.
    """
    errors_to = errors_to or item.envelope.reverse_path
    if errors_to is None:
        raise ValueError("a report about a report is never sent")
    is_to_sender = str(errors_to).lower() == item.envelope.sender.lower()
    opening = (
        CREATED + style.text + (_TO_THE_SENDER if is_to_sender else _TO_ANOTHER.format(item.envelope.sender))
    )
    kind, enclosed = returned(item, style)
    report = DeliveryReport(item, host, qualify_domain, queue_id, now, style)
    fields = [
        *_failed_recipients(failures),
        *report.fields("auto-replied", str(errors_to)),
        *report.mime_fields(),
        *report.subject(
            style.paragraph(0), f"Mail delivery failed{': returning message to sender' * is_to_sender}"
        ),
    ]
    text = (style.paragraph(1) or opening) + "\n" + _human_part(failures)
    return report.content(fields, text, _status_part(item, failures, host), kind, enclosed)


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
        lines += told_of(each)
    return "\n".join(lines) + "\n" + _outputs(failures)


def _outputs(failures: Sequence[FailedRecipient]) -> str:
    """What programs have said while they were given the message."""
    talkers = [each for each in failures if each.output]
    if not talkers:
        return ""
    text = f"\nThe following text was generated during the delivery attempt{'s' * (len(talkers) > 1)}:\n"
    for each in talkers:
        name = "\n       ".join(line.strip() for line in _named(each))
        text += f"\n------ {name} ------\n\n{each.output.decode('ascii', 'replace')}"
    return text


def told_of(failed: FailedRecipient, why: str = "") -> list[str]:
    """Who failed, and what it was made of; then the reason, behind `why`."""
    lines = _named(failed)
    for number, line in enumerate(failed.reason.splitlines()):
        is_reason = bool(why) and (number or not line.startswith("host "))
        lines += (f"    {part}" for part in folded(line, why if is_reason else ""))
        why = "" if is_reason else why
    return lines


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


def _status_part(item: QueueItem, failures: Sequence[FailedRecipient], host: str) -> str:
    blocks = [f"Reporting-MTA: dns; {host}\n" + envelope_identifier(item)]
    blocks += (told_to_machines(each, "failed", "5.0.0") for each in reversed(failures))
    return "\n".join(blocks)


def told_to_machines(failed: FailedRecipient, action: str, status: str) -> str:
    """RFC 3464 §2.3: the fields about one recipient."""
    more = []
    if failed.remote_host:
        more.append(f"Remote-MTA: dns; {failed.remote_host}")
        if failed.reply is not None:
            more.append(f"Diagnostic-Code: smtp; {printable(str(failed.reply) + failed.more)}")
    return status_block(failed.parent or failed.recipient, action, status, failed.original, more)
