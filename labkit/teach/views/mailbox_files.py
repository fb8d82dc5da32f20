"""Who has the mail: a table of all mailboxes of a host, and what is in them.

WHAT       `mailboxes(world.mine)`, or `mailboxes(world.mine, "a subject", …)` for messages with these subjects only.
READ NEXT  ../../lab/all_mailboxes.py
"""

from __future__ import annotations

from collections.abc import Sequence

from labkit.lab.all_mailboxes import boxes
from labkit.lab.host import Host
from labkit.teach.given import expect
from labkit.teach.markup import Markup, clip, tag
from labkit.teach.tables import table, text_table
from labkit.teach.view import View

LONGEST = 60
MOST_MESSAGES = 200


def mailboxes(host: Host, *subjects: str) -> MailboxesView:
    """All mailboxes of a host with their messages; only those with one of these subjects, if any is given."""
    expect(host, Host, "mailboxes(world.mine)")
    return MailboxesView(host, subjects)


class MailboxesView(View):
    """The table: a message a row."""

    _HEAD = ("mailbox", "for (RCPT TO)", "from (MAIL FROM)", "subject")

    def __init__(self, host: Host, subjects: Sequence[str] = ()) -> None:
        rows = [
            (
                name,
                *(
                    clip(message.first(field) or "?", LONGEST)
                    for field in ("Envelope-to", "Return-path", "Subject")
                ),
            )
            for name, held in boxes(host).items()
            for message in held
            if not subjects or message.first("Subject") in subjects
        ]
        self.rows = rows[-MOST_MESSAGES:]
        self.title = f"The mailboxes of {host.name}"
        if not rows:
            self.title += ": nothing there" if subjects else " are empty"
        elif len(rows) > MOST_MESSAGES:
            self.title += f" (the last {MOST_MESSAGES} of {len(rows)} messages)"

    def html(self) -> Markup:
        if not self.rows:
            return tag("p", self.title)
        return table(self._HEAD, self.rows, self.title, code=[0, 1, 2], whole=[0])

    def text(self) -> str:
        return text_table(self._HEAD, self.rows, self.title) if self.rows else self.title
