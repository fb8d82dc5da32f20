"""The two files of a message that waits, line by line, each with what it says.

WHAT       `explained(entry)`: pairs of a line and words on it, for <id>-H and <id>-D. The words are "" where the line
           goes on with what the one before began.
STANDARDS  Exim specification, chapter "Format of spool files"
READ NEXT  views/queue.py
"""

from __future__ import annotations

import re

from labkit.lab.host import SpoolEntry
from labkit.teach.markup import clip, visible

MOST_LINES = 80
LONGEST_LINE = 300
Line = tuple[str, str]

_TOP = (
    "the name of this file: a queue id and -H",
    "who called the MTA: account, its numbers (uid, gid)",
    "the envelope's sender: who is told if it fails (<>: nobody, this is a report)",
    "when it was received, in seconds since 1970; then how many warnings of delay the sender got",
)
_OPTIONS = {
    "received_time_usec": "the time of receipt, the part below a second",
    "received_time_complete": "the time of receipt with that part",
    "helo_name": "what the client said after HELO or EHLO",
    "host_name": "the client's name, if it was looked up",
    "host_address": "the client's address and port",
    "interface_address": "our own address and port in that conversation",
    "ident": "the account that handed it in",
    "received_protocol": "how it came: smtp, esmtp, local and so on",
    "body_linecount": "lines of the body",
    "max_received_linelength": "its longest line",
    "body_zerocount": "octets in the body that are zero",
    "frozen": "frozen, and since when: no queue run touches it",
    "manual_thaw": "somebody has thawed it by hand",
    "deliver_firsttime": "nothing was tried for it yet",
    "local": "it was handed in on this host",
    "localerror": "this host made it: a report",
    "allow_unqualified_recipient": "recipients without a domain are allowed",
    "allow_unqualified_sender": "a sender without a domain is allowed",
    "spool_file_wireformat": "-D holds the lines as they were on the wire (CR LF)",
    "dsn_ret": "how much a report is to return: 1 the header, 2 all",
    "dsn_envid": "the sender's own name for this message",
    "tls_cipher": "it came encrypted: how",
    "auth_sender": "what the client said after AUTH=",
    "auth_id": "who the client proved to be",
}
_OPTION = re.compile(r"--?(?:\(\w+\))?(\w+)")
_FIELD = re.compile(r"\d{3,9}(?P<letter>[A-Z* ]) ")
_TREE = re.compile(r"[YN][YN] ")
_LETTERS = {"*": "a header field that was taken out (rewritten)", "P": "a Received field: one hop"}


def explained(entry: SpoolEntry) -> list[tuple[str, list[Line]]]:
    """Both files: a title and the lines of each."""
    return [
        (
            f"{entry.queue_id}-H: the envelope, where it came from, and the header",
            _of_header(entry.envelope_file),
        ),
        (f"{entry.queue_id}-D: the body", _of_body(entry.body_file)),
    ]


def _of_header(text: str) -> list[Line]:
    found: list[Line] = []
    recipients, place = -1, "top"
    for number, line in enumerate(_lines(text)):
        words = ""
        if number < len(_TOP):
            words = _TOP[number]
        elif place == "top" and line.startswith("-"):
            option = _OPTION.match(line)
            words = _OPTIONS.get(option[1] if option else "", "an option: see the format of spool files")
        elif place == "top" and (line == "XX" or _TREE.match(line)):
            words = "no recipient is finished yet" if line == "XX" else "finished: delivered or given up"
        elif place == "top" and line.isdecimal() and recipients < 0:
            recipients, place = int(line), "recipients"
            words = "how many recipients the envelope names; they follow"
        elif place == "recipients":
            if line:
                words = "a recipient"
            else:
                place, words = "header", "an empty line; the header follows"
        elif place == "header" and (counted := _FIELD.match(line)):
            words = _LETTERS.get(counted["letter"], "a header field: its length and a letter stand before it")
        found.append((line, words))
    return _shown(found)


def _of_body(text: str) -> list[Line]:
    name, *body = _lines(text)
    return _shown([(name, "the name of this file: a queue id and -D"), *((line, "") for line in body)])


def _lines(text: str) -> list[str]:
    return text.removesuffix("\n").split("\n")


def _shown(lines: list[Line]) -> list[Line]:
    shown = [(visible(clip(line, LONGEST_LINE)), words) for line, words in lines[:MOST_LINES]]
    if len(lines) > MOST_LINES:
        shown.append((f"[and {len(lines) - MOST_LINES:,} more lines]", ""))
    return shown
