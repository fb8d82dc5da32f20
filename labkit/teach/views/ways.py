"""What became of each message: by which hosts it went and when, and where it is now.

WHAT       `write(by, sender, to, name)` hands in a short letter whose Message-ID is its name; `ways(world)`
           is a table of all messages that came: the hosts that took each, and in whose mailbox it is, who
           keeps it and why, or why it was given up. A report stands below the message that it is about.
RULES      facts only, so that a real Exim's are told in the same words.
READ NEXT  mail_map.py, labkit/lab/hops.py
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from datetime import datetime
from textwrap import wrap

from labkit.lab.host import Host
from labkit.lab.laptop import Laptop
from labkit.lab.lives import Stay, is_only_a_look
from labkit.lab.world import World
from labkit.mail.event import EventKind, MailEvent
from labkit.teach.given import expect
from labkit.teach.markup import Markup, clip
from labkit.teach.tables import table, text_table
from labkit.teach.view import View

MOST_MESSAGES = 60
MOST_HOSTS = 8  # of one message
NAME_WIDTH, WAY_WIDTH, WIDTH = 22, 46, 106
HEAD = ("message", "which hosts took it, and when", "now")
_SMTP_ERROR = re.compile(r"^SMTP error from remote mail server after .*?: (?=\d{3})")
_ID = re.compile(r"\bid=([0-9A-Za-z-]{16,23})\b")
_BY_PROGRAM = re.compile(r"E?\w{6}-(?:\w{6}-\w{2}|\w{11}-\w{4})$|\d+\.\d+$")
_UNSAFE = re.compile(r"[^A-Za-z0-9.-]+")


async def write(by: Host | Laptop, sender: str, to: str, name: str, *, host: Host | None = None) -> str:
    """Hand in a letter; its subject is the name. Returns the queue id, or the words of a refusal.

    At a host it is `exim -f SENDER TO`; a laptop says it to `host`, as anybody may who speaks SMTP.
    """
    here = sender.rpartition("@")[2] or by.name
    fields = {"From": sender, "To": to, "Subject": name, "Message-ID": f"<{_UNSAFE.sub('-', name)}@{here}>"}
    text = "".join(f"{field}: {value}\n" for field, value in fields.items())
    text += f"\nThis is about: {name}.\n"
    if isinstance(by, Host):
        return await by.send(sender, to, text)
    sent = await by.send(to, sender=sender, message=text.encode(), host=host.name if host else None)
    return sent.queue_id or str(sent)


class Ways(View):
    """The table; `rows` are its cells."""

    def __init__(self, world: World, since: datetime | None = None) -> None:
        self._world = world
        self._first_day = min((event.at for event in world.journal), default=world.now()).date()
        self.rows = list(self._rows(since))
        left_out = len(self.rows) - MOST_MESSAGES
        self._ending = f"and {left_out} more messages" if left_out > 0 else ""

    def html(self) -> Markup:
        return table(HEAD, [*self.rows[:MOST_MESSAGES], *([(self._ending, "", "")] if self._ending else [])])

    def text(self) -> str:
        if not self.rows:
            return "No message has come yet."
        rows = self.rows[:MOST_MESSAGES]
        widths = [
            min(most, max(len(row[at]) for row in rows)) for at, most in enumerate((NAME_WIDTH, WAY_WIDTH))
        ]
        widths.append(WIDTH - sum(widths))
        shown = [
            tuple("\n".join(wrap(cell, width)) or "-" for cell, width in zip(row, widths)) for row in rows
        ]
        return "\n".join(filter(None, (text_table(HEAD, shown), self._ending)))

    # --- what is told -------------------------------------------------------------------------

    def _rows(self, since: datetime | None) -> Iterator[tuple[str, str, str]]:
        """A row for each message that nobody of the lab has handed over, in the order of coming."""
        stays = _stays(self._world)
        after = {
            (stay.host, stay.queue_id): [
                found[1] for event in stay.of(EventKind.DELIVERED) if (found := _ID.search(event.text or ""))
            ]
            for stay in stays
        }
        by_id = {stay.queue_id: stay for stay in stays}
        handed_over = {queue_id for ids in after.values() for queue_id in ids}
        names: dict[tuple[str, str], str] = {}
        for stay in stays:
            if stay.queue_id in handed_over:
                continue
            way = [stay]
            for each in way:  # which grows meanwhile
                following = (by_id.get(queue_id) for queue_id in after[each.host, each.queue_id])
                way += [one for one in following if one is not None and one not in way]
            came = stay.events[0]
            about = names.get((stay.host, came.about or ""), came.about)
            name = f"report about {about}" if about else _shown(way)
            names |= {(each.host, each.queue_id): name for each in way}
            if since is None or stay.began >= since:
                yield self._row(name, way)

    def _row(self, name: str, stays: Sequence[Stay]) -> tuple[str, str, str]:
        way = [f"{self._brief(stay.host)} {self._time(stay.began)}" for stay in stays[:MOST_HOSTS]]
        if len(stays) > MOST_HOSTS:
            way.append(f"and {len(stays) - MOST_HOSTS} more")
        ends = list(dict.fromkeys(end for stay in stays for end in self._ends(stay)))
        return name, ", ".join(way), "; ".join(ends)

    def _ends(self, stay: Stay) -> list[str]:
        host, ends = self._brief(stay.host), []
        for event in stay.of(EventKind.DELIVERED):
            if event.remote_host is None:
                whose = (event.recipient or "").partition("@")[0]
                ends.append(f"in {whose}'s mailbox at {host}, {self._time(event.at)}")
        ends += [f"given up by {host}: {_reason(event)}" for event in stay.of(EventKind.FAILED)]
        if stay.ended is None:
            tried = self._tried(stay)
            ends.append(f"waits at {host}" + (f": {_reason(tried)}" if tried else ""))
        return ends

    def _tried(self, stay: Stay) -> MailEvent | None:
        """What holds it up: its own last try, or that of another letter to the same domain."""
        domains = {(event.recipient or "").rpartition("@")[2] for event in stay.of(EventKind.DEFERRED)}
        tries = [
            event
            for event in self._world.journal.where(EventKind.DEFERRED, host=stay.host)
            if not is_only_a_look(event) and (event.recipient or "").rpartition("@")[2] in domains
        ]
        own = [event for event in tries if event.queue_id == stay.queue_id]
        return next(reversed(own or tries), None)

    def _brief(self, host: str) -> str:
        return ".".join(host.split(".")[:2])

    def _time(self, instant: datetime) -> str:
        return f"{instant:%H:%M}" if instant.date() == self._first_day else f"{instant:%a %H:%M}"


def ways(world: World, since: datetime | None = None) -> Ways:
    """What became of each message of this world, or only of those that came at `since` or later."""
    expect(world, World, "ways(world)")
    return Ways(world, since)


def _stays(world: World) -> list[Stay]:
    """Each arrival at each host, with what happened to it there."""
    found: dict[tuple[str, str], list[MailEvent]] = {}
    for event in world.journal.facts():
        if event.queue_id is None:
            continue
        key = (event.host, event.queue_id)
        if event.kind is EventKind.RECEIVED or key in found:
            found.setdefault(key, []).append(event)
    return [Stay(host, queue_id, tuple(events)) for (host, queue_id), events in found.items()]


def _shown(way: Sequence[Stay]) -> str:
    """The name of a letter; one that a program has named is "carol to ann"."""
    came = way[0].events[0]
    name = (came.message_id or "").strip("<>").partition("@")[0]
    if name and not _BY_PROGRAM.match(name):
        return clip(name.replace("-", " "), 60)
    sender = (came.sender or "nobody").partition("@")[0]
    whom = [event.recipient.partition("@")[0] for event in way[0].events if event.recipient]
    return clip(f"{sender} to {whom[0] if whom else 'somebody'}", 60)


def _reason(event: MailEvent) -> str:
    """The words of a failure: what the other host said, if it said anything."""
    return clip(_SMTP_ERROR.sub("", event.text or "it was not said why"), 120)
