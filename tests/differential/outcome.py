"""What a story saw, and what it means that two engines saw the same.

WHAT       an `Outcome` has named sections of lines: what each client heard, the facts of each host, queues, mailboxes.
           `compared` of two outcomes is what differs; nothing, if they are equal.
NORMALISED queue ids get names in order of their appearance; pids, dates, and boundaries that are made from time and pid
           lose their digits. Nothing else.
PERMITTED  two programs are not one: `PERMITTED` names every difference that may be, each with its reason. What is not
           in this table counts.
READ NEXT  test_comparison.py changes words and sees that it is noticed
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from labkit.mail.event import EventKind, MailEvent

if TYPE_CHECKING:
    from labkit.lab.world import World

SOFTWARE = {"exim": "Exim 4.96", "labkit": "labkit 0.1"}
Sections = dict[str, list[str]]

_DETAILS = (
    "queue_id", "sender", "recipient", "became", "command", "router", "transport", "remote_host", "remote_name",
    "remote_address", "protocol", "size", "about",
    "message_id", "code", "text",
)  # fmt: skip


@dataclass
class Outcome:
    """What was seen with one engine."""

    engine: str
    sections: Sections = field(default_factory=dict)

    def hear(self, who: str, replies: Iterable[Sequence[str]]) -> None:
        """What a client heard; every line of every reply."""
        calls = sum(name.startswith(who) for name in self.sections)
        self.sections[f"{who} ({calls + 1})"] = [line for reply in replies for line in reply]

    def note(self, what: str, lines: Sequence[str]) -> None:
        times = sum(name.startswith(f"{what} (") for name in self.sections)
        self.sections[f"{what} ({times + 1})"] = list(lines)

    def see(self, world: World) -> None:
        """The facts of every host, what waits there, and the mailboxes."""
        traces = received_fields(world.journal.facts())
        secured = received_fields(world.journal.facts(), "s")
        for host in world.hosts.values():
            facts = [fact for fact in world.journal.facts() if fact.host == host.name]
            for queue_id in dict.fromkeys(fact.queue_id for fact in facts):
                name = (
                    f"facts of {host.name}" if queue_id is None else f"facts of {host.name} about {queue_id}"
                )
                about = [fact for fact in facts if fact.queue_id == queue_id]
                self.note(name, [told(fact, traces, secured) for fact in about])
            self.note(f"the queue of {host.name} at the end", host.queue_listing().split("\n"))
            for account in host.accounts:
                self.note(f"the mailbox of {account} at {host.name}", stored(host.mailbox_file(account)))

    def texts(self) -> Sections:
        """The sections as they are compared: normalised, without the permitted differences."""
        sections = dict(self.sections)
        for permitted in PERMITTED:
            sections = permitted.without(sections, self.engine)
        return normalised(sections)


def stored(path: Path) -> list[str]:
    """The lines of a mailbox: a file, or the files of a Maildir, whose names are nobody's business."""
    files = sorted(path.glob("new/*"), key=lambda file: file.stat().st_mtime_ns) if path.is_dir() else [path]
    return [
        line
        for file in files
        if file.exists()
        for line in file.read_text("utf-8", "surrogateescape").split("\n")
    ]


def told(fact: MailEvent, traces: dict[str, int], secured: dict[str, int]) -> str:
    """A fact as one line, with the number of trace fields in the message, and of those that name a cipher."""
    details = {name: value for name in _DETAILS if (value := getattr(fact, name)) is not None}
    words = [f"{name}={value}" for name, value in details.items()]
    if fact.size is not None and secured.get(fact.queue_id or ""):
        words.append(f"secured={secured[fact.queue_id or '']}")
    if fact.size is not None:
        words.append(f"traces={traces.get(fact.queue_id or '', 1)}")
    return " | ".join([fact.kind.value, *words])


def received_fields(facts: Sequence[MailEvent], protocol: str = "") -> dict[str, int]:
    """How many Received fields of the lab's MTAs stand in each message when its size is noted, by queue id.

    With `protocol` "s" only those of messages that came by TLS.
    One more than at the host before; in a report one more than in the message that it returns.
    """
    before = {
        found[1]: fact.queue_id
        for fact in facts
        if fact.kind is EventKind.DELIVERED
        and fact.queue_id
        and (found := re.search(r"\bid=(\S+)$", fact.text or ""))
    }
    undelivered: dict[str, str] = {}  # by host: what failed or waited last
    for fact in facts:
        if fact.queue_id is None:
            continue
        if fact.kind in (EventKind.FAILED, EventKind.DEFERRED):
            undelivered[fact.host] = fact.queue_id
        is_report = fact.kind is EventKind.RECEIVED and fact.sender == "" and fact.protocol == "local"
        if is_report and fact.host in undelivered:
            before[fact.queue_id] = undelivered[fact.host]

    counted = {
        fact.queue_id
        for fact in facts
        if fact.kind is EventKind.RECEIVED
        and (not protocol or protocol in (fact.protocol or "").removeprefix("local").partition("mtp")[2])
    }

    def count(queue_id: str | None) -> int:
        return 0 if queue_id is None else (queue_id in counted) + count(before.get(queue_id))

    return {
        fact.queue_id: count(fact.queue_id)
        for fact in facts
        if fact.queue_id is not None and fact.kind is EventKind.RECEIVED
    }


# --- normalisation ----------------------------------------------------------------------------

_DAY, _MONTH = "(?:Mon|Tue|Wed|Thu|Fri|Sat|Sun)", "(?:Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec)"
_TIME = r"\d\d:\d\d:\d\d"
ID = re.compile(r"(?<![0-9A-Za-z])(E?)(1[0-9A-Za-z]{5}-[0-9A-Za-z]{6}-[0-9A-Za-z]{2})(?![0-9A-Za-z])")
DATES = (
    re.compile(rf"\b{_DAY}, \d\d {_MONTH} \d{{4}} {_TIME} \+0000"),  # RFC 5322
    re.compile(rf"\b{_DAY} {_MONTH} \d\d {_TIME} \d{{4}}\b"),  # the From line of a mailbox
    re.compile(rf"\b\d{{4}}-\d\d-\d\d {_TIME}\b"),  # logs
)
PID = re.compile(r"\bpid=\d+")
BOUNDARY = re.compile(rf"\b\d{{10}}-eximdsn-(?:{ID.pattern}|\d+\b)")


def normalised(sections: Sections) -> Sections:
    """Names for queue ids in order of appearance; no pids, dates, boundaries."""
    ids: dict[str, str] = {}
    boundaries: dict[str, str] = {}

    def name(found: re.Match[str]) -> str:
        return found[1] + ids.setdefault(found[2], f"<id {len(ids) + 1}>")

    def boundary(found: re.Match[str]) -> str:
        return boundaries.setdefault(found[0], f"<boundary {len(boundaries) + 1}>")

    def line(text: str) -> str:
        text = ID.sub(name, BOUNDARY.sub(boundary, text))
        for date in DATES:
            text = date.sub("<date>", text)
        return PID.sub("pid=<pid>", text)

    found = {line(what): [line(each) for each in lines] for what, lines in sections.items()}
    return {
        what: _in_order(lines) if what.startswith("the queue of ") else lines for what, lines in found.items()
    }


def _in_order(listing: list[str]) -> list[str]:
    """A queue listing by the names of the ids: within a second a real Exim's ids are in the order of its pids."""
    if "" not in listing[:-1]:  # no message, or not a whole listing
        return listing
    blocks = "\n".join(listing).split("\n\n")
    return "\n\n".join(sorted(blocks, key=lambda block: (not block.strip(), block.split()[2:]))).split("\n")


# --- permitted differences --------------------------------------------------------------------


@dataclass(frozen=True)
class Permitted:
    """A difference that may be: its name, why, and what takes it out of an outcome's sections."""

    name: str
    why: str
    without: Callable[[Sections, str], Sections]


def _each_line(change: Callable[[str, str], str | None]) -> Callable[[Sections, str], Sections]:
    """Change every line, or drop it (None). `change` is given the line and the engine."""

    def without(sections: Sections, engine: str) -> Sections:
        return {
            name: [new for line in lines if (new := change(line, engine)) is not None]
            for name, lines in sections.items()
        }

    return without


def _software(line: str, engine: str) -> str:
    name = re.escape(SOFTWARE[engine])
    line = re.sub(rf"^(220 \S+ ESMTP ){name} ", r"\1<software> ", line)
    return re.sub(rf"^((?:\t|Received: ).*)\({name}\)$", r"\1(<software>)", line)


def _extensions(line: str, engine: str) -> str | None:
    return None if re.fullmatch(r"250-(PIPECONNECT|PRDR|SMTPUTF8)", line) and engine == "exim" else line


_CIPHER = re.compile(r"(\) tls )TLS_(?:ECDHE_RSA_WITH_)?AES_256_GCM_SHA384$")


def _ciphers(sections: Sections, engine: str) -> Sections:
    """Take the cipher's name out of trace fields, and what Exim's has more octets out of each size."""
    more = len("ECDHE_RSA_WITH_") if engine == "exim" else 0
    secured: dict[str, int] = {}

    def fact(found: re.Match[str]) -> str:
        return f"size={int(found[1]) - more * int(found[3])}{found[2]}"

    def listed(found: re.Match[str]) -> str:
        less = more * secured.get(found[3], 0)
        return f"{found[1]} {int(found[2]) - less:5d} {found[3]}" if less else found[0]

    for lines in sections.values():
        for line in lines:
            if found := re.search(r"queue_id=(\S+) .*secured=(\d+) ", line):
                secured[found[1]] = int(found[2])
    changed: Sections = {}
    for what, lines in sections.items():
        lines = [_CIPHER.sub(r"\1<cipher>", line) for line in lines]
        lines = [re.sub(r"\bsize=(\d+)(.*) \| secured=(\d+)", fact, line) for line in lines]
        changed[what] = [re.sub(r"^( ?\d+[mhd]) +(\d+) (1\S+)(?= <)", listed, line) for line in lines]
    return changed


def _sizes(sections: Sections, engine: str) -> Sections:
    """Take the octets of the software's name out of each size, as often as it is in the message."""
    name = len(SOFTWARE[engine])
    traces: dict[str, int] = {}

    def fact(found: re.Match[str]) -> str:
        return f"size={int(found[1]) - name * int(found[3])}{found[2]}"

    def listed(found: re.Match[str]) -> str:
        less = name * traces.get(found[3], 0)
        return f"{found[1]} {int(found[2]) - less:5d} {found[3]}" if less else found[0]

    for lines in sections.values():
        for line in lines:
            if found := re.search(r"queue_id=(\S+) .*traces=(\d+)$", line):
                traces[found[1]] = int(found[2])
    changed: Sections = {}
    for what, lines in sections.items():
        lines = [re.sub(r"\bsize=(\d+)(.*) \| traces=(\d+)$", fact, line) for line in lines]
        changed[what] = [re.sub(r"^( ?\d+[mhd]) +(\d+) (1\S+)(?= <)", listed, line) for line in lines]
    return changed


def _idle_runs(line: str, engine: str) -> str | None:
    return (
        None
        if re.fullmatch(r"deferred \| .* \| text=retry time not reached(?: for any host for '\S+')?", line)
        else line
    )


def _reloads(sections: Sections, engine: str) -> Sections:
    """Leave out a start that follows a start: nothing has stopped between them."""
    changed: Sections = {}
    for what, lines in sections.items():
        state, kept = "", []
        for line in lines:
            kind = line.partition(" | ")[0]
            if not (kind == "started" == state):
                kept.append(line)
            if kind in ("started", "stopped"):
                state = kind
        changed[what] = kept
    return changed


def _place_of_deferral(line: str, engine: str) -> str:
    if not line.startswith("deferred | ") or engine == "exim":
        return line
    silent = r" \| remote_host=\S+ \| remote_address=\S+( \| text=Connection (?:refused|timed out))"
    return re.sub(silent, r"\1", line)


def _report(line: str, engine: str) -> str:
    return re.sub(r"(received \| queue_id=\S+ \| sender= \|.*?) \| size=\d+", r"\1", line)


def _own_message_id(line: str, engine: str) -> str:
    return re.sub(r"(received \| queue_id=(\S+ \d+>|\S+) \|.*) \| message_id=<E\2@[^>]+>", r"\1", line)


PERMITTED: tuple[Permitted, ...] = (
    Permitted("software", "each program says its own name and version", _each_line(_software)),
    Permitted("extensions", "labkit does not offer these yet (docs/differences.md)", _each_line(_extensions)),
    Permitted(
        "idle runs",
        "the lab leaves out those runs of a real Exim's queue that can change nothing",
        _each_line(_idle_runs),
    ),
    Permitted(
        "place of deferral",
        "Exim's line does not name the host to which there was no connection; the line before it does",
        _each_line(_place_of_deferral),
    ),
    Permitted("reloads", "a real Exim that is told to reload starts itself again, and says so", _reloads),
    Permitted(
        "report",
        "the size of a report changes with a random number in Exim's boundary",
        _each_line(_report),
    ),
    Permitted(
        "own Message-ID",
        "Exim's line does not name a Message-ID that it has made itself",
        _each_line(_own_message_id),
    ),
    Permitted(
        "names of ciphers",
        "the Exim here has GnuTLS, which gives the ciphers of TLS 1.3 names of TLS 1.2; labkit has OpenSSL's names",
        _ciphers,
    ),
    Permitted("sizes", "the name of the software stands in every Received field", _sizes),
)


# --- comparison -------------------------------------------------------------------------------


def compared(exim: Outcome, labkit: Outcome) -> str:
    """What differs, section by section; "" if nothing does."""
    return "\n".join(line for lines in differences(exim, labkit).values() for line in lines)


def differences(exim: Outcome, labkit: Outcome) -> Sections:
    """The same by the names of the sections that differ."""
    theirs, ours = exim.texts(), labkit.texts()
    found: Sections = {}
    for name in dict.fromkeys([*theirs, *ours]):
        if theirs.get(name) != ours.get(name):
            one, other = theirs.get(name, ["(no such section)"]), ours.get(name, ["(no such section)"])
            lines = difflib.unified_diff(one, other, "exim", "labkit", n=1, lineterm="")
            found[name] = [f"--- {name}", *list(lines)[2:]]
    return found
