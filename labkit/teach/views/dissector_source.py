"""Where a message to be dissected comes from: a value, a file, a paste, an upload, a mailbox of the lab.

DECIDES    a file or a paste with bare LF is a stored message: its lines are made CR LF, as they were on the wire.
           Upload and paste are read as octets by the kernel; nothing in them is run, opened or fetched.
LIMITS     LARGEST octets; of the mailboxes the newest MOST_PICKS messages are offered.
READ NEXT  dissector.py
"""

from __future__ import annotations

import base64
import binascii
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from labkit.lab.all_mailboxes import boxes
from labkit.lab.mail_files import messages_in
from labkit.lab.world import World
from labkit.mail.message import Message, is_canonical, with_crlf
from labkit.mail.plainly import SaidPlainly
from labkit.queue.item import QueueItem
from labkit.teach.markup import clip, visible

LARGEST = 10_000_000
LONGEST_PATH = 4096
MOST_PICKS = 100
LONGEST_LABEL = 90


class NoMessage(SaidPlainly, ValueError):
    """What was given cannot be dissected."""


@dataclass(frozen=True, slots=True)
class Pick:
    """A message that lies in a mailbox of the lab."""

    label: str
    content: bytes


def content_of(what: object) -> bytes:
    """The octets of a message, of whatever kind it comes. Raises NoMessage, OSError."""
    if isinstance(what, Message):
        return _fitting(bytes(what))
    if isinstance(what, QueueItem):
        return _fitting(what.content)
    if isinstance(what, (bytes, bytearray, memoryview)):
        return _as_on_the_wire(bytes(what))
    if isinstance(what, Path):
        return _from_file(what)
    if isinstance(what, str):
        return pasted(what) if "\n" in what or len(what) > LONGEST_PATH else _from_file(Path(what))
    raise NoMessage(
        f"a {type(what).__name__} is no message: give a message of a mailbox, bytes, or the path of a file"
    )


def pasted(text: str) -> bytes:
    """A message that was pasted as text: empty lines in front are the clipboard's. Raises NoMessage."""
    content = text.lstrip("\r\n").encode("utf-8", "replace")
    if not content.strip():
        raise NoMessage("there is nothing in it: paste the whole source of a message, header and body")
    return _as_on_the_wire(content)


def uploaded(encoded: str) -> bytes:
    """A file as the browser sends it, in base64. Raises NoMessage."""
    if len(encoded) > LARGEST * 4 // 3 + 4:
        raise NoMessage(f"the file is larger than {LARGEST:,} octets")
    try:
        content = base64.b64decode(encoded, validate=True)
    except (binascii.Error, ValueError):
        raise NoMessage("the file did not come through whole: try again") from None
    if not content:
        raise NoMessage("the file is empty")
    return _as_on_the_wire(content)


def of_a_file(name: str, content: bytes) -> list[Pick]:
    """The messages of an mbox file, without their From_ lines; any other content is one message."""
    found = [
        Pick(visible(clip(f"{source}: {_subject(octets)}", LONGEST_LABEL)), _as_on_the_wire(octets))
        for source, octets in islice(messages_in(content, name or "mbox"), MOST_PICKS)
    ]
    return found if content.startswith(b"From ") and found else [Pick(name, content)]


def _subject(octets: bytes) -> str:
    return Message.cut(octets).first("Subject") or "(no subject)"


def picks(world: World | None) -> list[Pick]:
    """What lies in the mailboxes of the lab; of each the newest first."""
    found: list[Pick] = []
    for host in () if world is None else world.hosts.values():
        for name, messages in boxes(host).items():
            for number, message in reversed(list(enumerate(messages, 1))):
                label = f"{host.name}: {name.rpartition('/')[2]} {number}: {_subject(bytes(message))}"
                found.append(Pick(visible(clip(label, LONGEST_LABEL)), bytes(message)))
    return found[:MOST_PICKS]


def _from_file(path: Path) -> bytes:
    if path.is_dir():
        raise NoMessage(f"{path} is a directory: give the path of a file that holds one message")
    if path.stat().st_size > LARGEST:
        raise NoMessage(f"{path} is larger than {LARGEST:,} octets")
    return _as_on_the_wire(path.read_bytes())


def _as_on_the_wire(content: bytes) -> bytes:
    """A file of this machine has LF alone. With CR LF in it, it is taken as it is."""
    if b"\r\n" not in content and not is_canonical(content):
        content = with_crlf(content)
    return _fitting(content)


def _fitting(content: bytes) -> bytes:
    if len(content) > LARGEST:
        raise NoMessage(f"the message has {len(content):,} octets: {LARGEST:,} is the most")
    return content
