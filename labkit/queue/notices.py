"""Other messages about a message: it takes long, it has arrived, it is frozen.

WHAT       `delay_warning`, `success_report` (RFC 3461 NOTIFY=SUCCESS), `freezing_notice`, with Exim's words.
STANDARDS  RFC 3464 (Action: delayed, delivered); RFC 3461 §5.2.3, §6.2; Exim specification, "Delay warnings" and
           options delay_warning, warn_message_file, freeze_tell
READ NEXT  item.py
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from labkit.mail.address import Mailbox
from labkit.mail.message import HeaderField, Message, with_crlf
from labkit.queue.item import QueueItem
from labkit.queue.report import FailedRecipient, told_of, told_to_machines
from labkit.queue.report_parts import (
    CREATED,
    LONGEST_LINE,
    USUAL_STYLE,
    DeliveryReport,
    ReportStyle,
    envelope_identifier,
    only_header,
    status_block,
)

_NO_ACTION = """\
No action is required on your part. Delivery attempts will continue for
some time, and this warning may be repeated at intervals if the message
remains undelivered. Eventually the mail delivery software will give up,
and when that happens, the message will be returned to you.
"""
_HEADERS = b"text/rfc822-headers"


def warnings_due(times: Sequence[timedelta], age: timedelta) -> tuple[int, timedelta]:
    """How many warnings there should have been at this age, and the time that the last of them names.

    Behind the last time of the list it goes on with the last gap.
    """
    count = sum(1 for time in times if time <= age)
    if not count:
        return 0, timedelta()
    shown = times[count - 1]
    if count == len(times):
        gap = shown - (times[count - 2] if count > 1 else timedelta())
        more = (age - shown) // gap
        return count + more, shown + gap * more
    return count, shown


def delay_in_words(age: timedelta, shown: timedelta) -> str:
    """Exim counts in minutes as long as the message is younger than two hours."""
    seconds = int(shown.total_seconds())
    return f"{seconds // 60} minutes" if age < timedelta(hours=2) else f"{seconds // 3600} hours"


@dataclass(frozen=True, slots=True)
class NoticeAbout:
    """Whom a notice is about, who writes it, and when."""

    item: QueueItem
    queue_id: str
    host: str
    qualify_domain: str
    now: datetime
    style: ReportStyle = USUAL_STYLE

    @property
    def report(self) -> DeliveryReport:
        return DeliveryReport(self.item, self.host, self.qualify_domain, self.queue_id, self.now, self.style)


def delay_warning(
    about: NoticeAbout, waiting: Sequence[FailedRecipient], recipients: Sequence[Mailbox], delay: str
) -> bytes:
    """It still waits; `delay` says for how long: "24 hours"."""
    item, style, report = about.item, about.style, about.report
    to = ",".join(map(str, recipients))
    fields = [
        *report.fields("auto-replied", to),
        *report.mime_fields(),
        *report.subject(style.paragraph(0), f"Warning: message {item.queue_id} delayed {delay}"),
    ]
    lines = [line for each in waiting for line in told_of(each, "Delay reason: ")]
    ending = style.paragraph(2) if style.has_file else _NO_ACTION
    opening = style.paragraph(1) or _still_waiting(about, to, delay, len(waiting))
    text = f"{opening}\n" + "\n".join(lines) + f"\n\n{ending}"
    status = [f"Reporting-MTA: dns; {about.host}\n" + envelope_identifier(item)]
    status += (told_to_machines(each, "delayed", "4.0.0") for each in waiting)
    return report.content(fields, text, "\n".join(status), _HEADERS, only_header(item))


def _still_waiting(about: NoticeAbout, to: str, delay: str, count: int) -> str:
    sender, item = about.item.envelope.sender, about.item
    if to == sender:
        text = "A message that you sent has not yet been delivered to one or more of its\nrecipients after more than "
    else:
        text = (
            f"A message sent by\n\n  <{sender}>\n\n"
            "has not yet been delivered to one or more of its recipients after more than \n"
        )
    text = f"{CREATED}{text}{delay} on the queue on {about.host}.\n\n"
    text += f"The message identifier is:     {item.queue_id}\n"
    for field in Message.parse(item.content).header_fields:
        named = {"subject": "The subject of the message is: ", "date": "The date of the message is:    "}
        if words := named.get(field.name.lower()):
            body = field.raw.decode("latin-1").replace("\r\n", "\n").partition(":")[2][1:]
            text += words + "".join(f"{line[:LONGEST_LINE]}\n" for line in body.rstrip("\n").split("\n"))
    many, are = ("", "is") if count == 1 else ("es", "are")
    return f"{text}\nThe address{many} to which the message has not yet been delivered {are}:\n"


@dataclass(frozen=True, slots=True)
class DeliveredRecipient:
    """Somebody who has got the message, or whose next host has. `original`: ORCPT, as the sender gave it."""

    recipient: Mailbox
    host: str | None = None  # which says nothing to senders by itself; None: it was a mailbox here
    parent: Mailbox | None = None
    original: str = ""


def success_report(about: NoticeAbout, delivered: Sequence[DeliveredRecipient]) -> bytes:
    """RFC 3461 NOTIFY=SUCCESS, with Exim's words."""
    item, report = about.item, about.report
    *reply_to, submitted, sender, to = report.fields("auto-generated", item.envelope.sender)
    fields = [
        *(*reply_to, sender, submitted, to),
        HeaderField.make("Subject", "Delivery Status Notification"),
        *report.mime_fields(),
    ]
    text = CREATED + " ----- The following addresses had successful delivery notifications -----\n"
    status = [f"Reporting-MTA: dns; {about.host}\n" + envelope_identifier(item)]
    for each in delivered:
        how = "to non-DSN-aware mailer" if each.host else 'via non "Remote SMTP" router'
        text += f"<{each.recipient}> (relayed {how})\n\n"
        more = (
            [f"Remote-MTA: dns; {each.host}", "Diagnostic-Code: smtp; 250 Ok"]
            if each.host
            else ["Diagnostic-Code: X-Exim; relayed via non SMTP router"]
        )
        status.append(status_block(each.parent or each.recipient, "delivered", "2.0.0", each.original, more))
    text, last = text.removesuffix("\n"), "\n".join(status)
    return report.content(fields, text, last, _HEADERS, only_header(item))


def freezing_notice(about: NoticeAbout, to: str, why: str, waiting: Sequence[tuple[str, str]]) -> bytes:
    """A message is frozen; `waiting` are the addresses it is still for, each with what the log says of it."""
    item, report = about.item, about.report
    text = f"Message {item.queue_id} has been frozen{why}.\nThe sender is <{item.envelope.sender}>.\n"
    if waiting:
        text += "\nThe following address(es) have yet to be delivered:\n"
    for address, words in waiting:
        text += f"  {address}{': ' * bool(words)}{words}"[:LONGEST_LINE] + "\n"
    fields = [
        *report.fields("auto-replied", to),
        *report.references(),
        HeaderField.make("Subject", "Message frozen"),
    ]
    return report.message(fields, with_crlf(text.encode("ascii", "replace")))
