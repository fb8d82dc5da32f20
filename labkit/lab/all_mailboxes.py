"""Every mailbox of a host, wherever its configuration puts them: found by what the files are.

WHAT       `boxes(host)` gives {name of the file: its messages}; `who_holds(host, message)` in which of them it lies.
DECIDES    a file that begins with `From ` is an mbox; what is in `new` and `cur` belongs to a Maildir. The spool,
           the logs and the configuration are no mail.
READ NEXT  ../net/mailboxes.py
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from labkit.lab.host import Host
from labkit.mail.message import Message
from labkit.net.mailboxes import read_maildir, read_mbox

_NO_MAIL = ("etc", "var/spool", "var/log")  # folders of a host that hold none
_OF_A_MAILDIR = ("new", "cur")


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
