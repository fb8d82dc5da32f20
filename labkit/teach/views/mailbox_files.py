"""Who has the mail: every mailbox file of a host, wherever its configuration puts them, and what is in it.

WHAT       `mailboxes(world.mine)` shows a table; `boxes(host)` gives {name of the file: its messages}, and
           `who_holds(host, message)` in which of them a message lies.
DECIDES    a file that begins with `From ` is an mbox; what is in `new` and `cur` belongs to a Maildir. The spool,
           the logs and the configuration are no mail.
READ NEXT  ../tasks/virtual_trial.py
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from labkit.lab.host import Host
from labkit.mail.message import Message
from labkit.net.mailboxes import read_maildir, read_mbox
from labkit.teach.markup import Markup, clip, tag
from labkit.teach.tables import table, text_table
from labkit.teach.view import View

LONGEST = 60
MOST_MESSAGES = 200
_NO_MAIL = ("etc", "var/spool", "var/log")  # folders of a host that hold none
_OF_A_MAILDIR = ("new", "cur")


def mailboxes(host: Host, *subjects: str) -> MailboxesView:
    """All mailboxes of a host with their messages; only those with one of these subjects, if any is given."""
    return MailboxesView(host, subjects)


def boxes(host: Host) -> dict[str, list[Message]]:
    """The mailboxes of a host, by the name of their file or folder there; only those that hold a message."""
    return {
        f"/{path.relative_to(host.folder).as_posix()}": [Message.parse(content) for content in contents]
        for path in sorted(set(_mailboxes(host)))
        if (contents := read_maildir(path) if path.is_dir() else read_mbox(path))
    }


def who_holds(host: Host, message: Message) -> list[str]:
    """The mailboxes in which a message lies, by its Message-ID."""
    wanted = message.first("Message-ID")
    return [name for name, held in boxes(host).items() if wanted in [m.first("Message-ID") for m in held]]


def _mailboxes(host: Host) -> Iterator[Path]:
    for path in host.folder.rglob("*"):
        inside = path.relative_to(host.folder).as_posix()
        if inside.startswith(tuple(f"{folder}/" for folder in _NO_MAIL)) or not path.is_file():
            continue
        if path.parent.name in _OF_A_MAILDIR:
            yield path.parent.parent
        else:
            with path.open("rb") as file:
                if file.read(5) == b"From ":
                    yield path


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
