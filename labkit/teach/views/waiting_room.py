"""Who waits at a host, and what it remembers of those that did not answer: without queue ids.

WHAT       `who_waits(host)`: since when, from whom, for whom, and about what. `remembers(host)`: its retry hints, as
           exim_dumpdb prints them. `host_says(host, caller, commands)`: a short conversation, as a table.
           `outside_writes(world, sender, to, subject)`: a host outside sends a message, and what became of it.
RULES      the same on labkit's MTA and on the real Exim; nothing in them that two runs would number differently.
READ NEXT  queue.py has the live view, ../plots/why_waiting.py the sentences
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from labkit.lab.host import Host
from labkit.lab.laptop import Laptop
from labkit.lab.world import World
from labkit.mail.event import EventKind
from labkit.mail.message import Message
from labkit.teach.given import expect
from labkit.teach.markup import Markup, clip, tag, visible
from labkit.teach.tables import table, text_table
from labkit.teach.view import View
from labkit.teach.views.probes_talk import say

LONGEST = 60
MOST_ROWS = 40


class TableView(View):
    """A table, or words in its place when there is nothing. The columns in `whole` are never broken."""

    def __init__(
        self,
        title: str,
        head: Sequence[str],
        rows: Sequence[Sequence[str]],
        nothing: str = "",
        *,
        longest: int = LONGEST * 2,
        whole: Sequence[int] = (),
    ) -> None:
        self.title, self.head, self.nothing, self.whole = title, head, nothing, whole
        self.rows = [tuple(visible(clip(cell, longest)) for cell in row) for row in rows[:MOST_ROWS]]
        self.more = f"and {len(rows) - MOST_ROWS} more" if len(rows) > MOST_ROWS else ""

    def html(self) -> Markup:
        if not self.rows:
            return tag("p", self.nothing)
        caption = f"{self.title} ({self.more})" if self.more else self.title
        return table(self.head, self.rows, caption, code=range(len(self.head)), whole=self.whole)

    def text(self) -> str:
        if not self.rows:
            return self.nothing
        return "\n".join([text_table(self.head, self.rows, self.title), *([self.more] if self.more else [])])


def who_waits(host: Host) -> TableView:
    """The queue of a host: exim -bp, without ids and sizes."""
    expect(host, Host, "who_waits(world.mine)")
    rows = sorted(
        (
            _short(item.received_at),
            item.envelope.sender or "<> (a report)",
            ", ".join(str(each) for each in item.remaining),
            _subject(host, item.queue_id),
            "frozen" if item.frozen else "waits",
        )
        for item in host.queue
    )
    head = ("since", "from", "for", "subject", "state")
    return TableView(f"Waiting at {host.name}", head, rows, f"Nobody waits at {host.name}.")


def _subject(host: Host, queue_id: str) -> str:
    """Read from the spool file, as exim -Mvh prints it."""
    files = host.spool_files(queue_id)
    if files is None:
        return ""
    header = files[0].read_bytes().partition(b"\n\n")[2]
    lines = [line.partition(b" ")[2] if line[:3].isdigit() else line for line in header.splitlines()]
    found = next((line for line in lines if line.lower().strip().startswith(b"subject:")), b"")
    return Message.parse(found.strip() + b"\r\n\r\n").first("Subject") or "" if found else ""


def remembers(host: Host) -> TableView:
    """What a host remembers of hosts and addresses that failed: exim_dumpdb /var/spool/exim retry."""
    expect(host, Host, "remembers(world.mine)")
    hints = host.engine.retry_hints()
    if hints is None:
        return TableView("", (), (), "exim_dumpdb is not installed beside this Exim.")
    rows = [
        (
            key,
            _short(hint.attempt.first_failed),
            _short(hint.attempt.last_try),
            _short(hint.attempt.next_try),
            hint.text,
        )
        for key, hint in sorted(hints.items())
    ]
    head = ("who", "fails since", "last try", "not before", "what was said")
    return TableView(f"What {host.name} remembers", head, rows, f"{host.name} remembers no failure.")


async def host_says(host: Host, caller: Laptop | Host, commands: str | Sequence[str]) -> TableView:
    """Connect from that machine and say these commands one by one; of a reply of many lines only the code is shown."""
    expect(host, Host, "host_says(world.mine, world.laptop, [...])")
    commands = [commands] if isinstance(commands, str) else commands
    heard = await say(host, caller, commands)
    replies = [reply if "\n" not in reply else f"{reply[:3]} ... (many lines)" for reply in heard[1:]]
    replies += heard[-1:] * (len(commands) - len(replies))  # who hung up says so
    rows = list(zip(commands, replies))
    return TableView(f"{caller.name} talks to {host.name}", ("says", "hears"), rows)


def _short(at: datetime) -> str:
    return f"{at:%a %d %b %H:%M}"


async def outside_writes(
    world: World, sender: str, to: str, subject: str, text: str = "Hello!\n", host: str = ""
) -> str:
    """Somebody at a host outside sends a message; what became of it there, in words without ids.

    `host`: which host outside, else the first there is. Its Message-ID is made of the subject.
    """
    outside = (
        world.host(host) if host else next(h for h in world.hosts.values() if h.engine.name == "outside")
    )
    message_id = f"<{'-'.join(subject.lower().split())}@{outside.name.partition('.')[2]}>"
    header = {"From": sender, "To": to, "Subject": subject, "Message-ID": message_id}
    content = "".join(f"{name}: {value}\n" for name, value in header.items())
    queue_id = await outside.send(sender, to, f"{content}\n{text}")
    ends = [
        f"{event.at:%H:%M} {event.remote_host} took it: {event.code}"
        if event.kind is EventKind.DELIVERED
        else f"{event.at:%H:%M} failed: {event.text}"
        for event in world.journal.where(host=outside.name, queue_id=queue_id)
        if event.kind in (EventKind.DELIVERED, EventKind.FAILED)
    ]
    return "\n".join(ends)
