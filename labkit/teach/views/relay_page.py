"""The relay's page, the three logs, and what a provider wrote of a message: tables of notebook 02a.

WHAT       `relay_page(world, domain)`: which records the relay wants, and which of them it finds now.
           `three_logs(world, message_id)`: what my host, the relay and the recipient's host did with one message, each
           with its own queue id and the one that the next host gave. `read_results(letter)`: its
           Authentication-Results, a line for each result. `three_names(letter)`: envelope, From: and HELO.
RULES      facts of the journal only; what came from a message is shown, never interpreted.
STANDARDS  RFC 8601 §2.2; RFC 5321 §4.4 (Received, Return-path)
READ NEXT  labkit/lab/relay_events.py
"""

from __future__ import annotations

import re
from textwrap import fill

from labkit.auth import parse_authentication_results
from labkit.lab.relay_domains import DomainReport
from labkit.lab.world import World
from labkit.mail.event import EventKind, MailEvent
from labkit.mail.message import Message
from labkit.teach.given import expect
from labkit.teach.views.waiting_room import TableView

_ID = re.compile(r"\bid=([0-9A-Za-z]{6}-[0-9A-Za-z]{6,11}-[0-9A-Za-z]{2,4})\b")
WIDTH, LONGEST = 72, 600
_RANDOM = ("b", "a")  # properties of a signature that are another each time
_TOLD = {
    EventKind.RECEIVED: "takes it",
    EventKind.DELIVERED: "delivered",
    EventKind.DEFERRED: "waits",
    EventKind.FAILED: "given up",
    EventKind.REJECTED: "refused",
    EventKind.COMPLETED: "Completed",
}


def relay_page(report: DomainReport, *, explained: bool = False) -> TableView:
    """A report of `await world.relay.verify_domain(domain)`. `explained`: with what is wrong, in the "
    "relay's words."""
    expect(report, DomainReport, "relay_page(await world.relay.verify_domain(domain))")
    state = "verified" if report.is_verified else "not verified yet"
    title, rows = f"The relay's page for {report.domain}: {state}", []
    for check in report.checks:
        record = check.record
        value = f"{record.value}." if record.type == "CNAME" else f'"{record.value}"'
        need = check.state if record.is_needed else f"{check.state} (advised)"
        more = (fill(check.words, WIDTH),) if explained else (f"{record.name}.", record.type, value)
        rows.append((record.purpose, *more, need))
    head = ("for", "in words") if explained else ("for", "name", "type", "data")
    return TableView(title, (*head, "the DNS says"), rows, longest=LONGEST)


def three_logs(world: World, message_id: str) -> TableView:
    """Every host that had the message, in the order of time."""
    expect(world, World, "three_logs(world, message_id)")
    ids = {
        (event.host, event.queue_id)
        for event in world.journal.where(EventKind.RECEIVED)
        if event.message_id == message_id and event.queue_id
    }
    rows = [
        (f"{event.at:%d %b %H:%M}", event.host, event.queue_id or "", _what(event), _words(event))
        for event in world.journal.facts()
        if (event.host, event.queue_id) in ids and event.kind in _TOLD
    ]
    head = ("lab time", "log of", "its queue id", "what", "words")
    return TableView(
        f"Message {message_id}", head, rows, f"No host has ever had {message_id}.", whole=(0, 1, 2)
    )


def _what(event: MailEvent) -> str:
    return f"{_TOLD[event.kind]} {event.recipient}" if event.recipient else _TOLD[event.kind]


def _words(event: MailEvent) -> str:
    if event.kind is EventKind.RECEIVED:
        return f"from {event.remote_host or event.login or 'here'}"
    if event.kind is EventKind.DELIVERED and event.remote_host:
        found = _ID.search(event.text or "")
        return f"there it is {found[1]}" if found else f"to {event.remote_host}"
    if event.kind is EventKind.DELIVERED:
        return f"into the mailbox of {(event.became or event.recipient or '').partition('@')[0]}"
    return event.text or ""


def read_results(letter: Message) -> TableView:
    """The uppermost Authentication-Results of a message, result by result."""
    expect(letter, Message, "read_results(letter)")
    value = letter.first("Authentication-Results")
    if value is None:
        return TableView("", (), (), "There is no Authentication-Results in it.")
    found = parse_authentication_results(_steady(value))
    rows = []
    for each in found.results:
        about = "\n".join(f"{one.name}={one.value}" for one in each.properties if one.property not in _RANDOM)
        rows.append((each.method, each.result, about, fill(" ".join(each.comments), 50)))
    title = f"{found.authserv_id} says"
    return TableView(title, ("asked", "result", "about", "in words"), rows, longest=LONGEST)


def shown_fields(letter: Message, *names: str) -> TableView:
    """Some fields of a header, from the top; of Received who called and who took it."""
    expect(letter, Message, 'shown_fields(letter, "Received", "From")')
    wanted = {name.lower() for name in names}
    rows = []
    for field in letter.header_fields:
        if field.name.lower() in wanted:
            value = " ".join(_steady(field.value).split())
            rows.append((field.name, value.partition(" with ")[0] if field.name == "Received" else value))
    return TableView("From its header", ("field", "value"), rows)


def _steady(value: str) -> str:
    """What a relay has made up for this one letter, in its address for reports, left out."""
    return re.sub(r"\bb\+[0-9A-Za-z.-]+@", "b+...@", value)


def three_names(letter: Message) -> TableView:
    """Who is named by the envelope, by the author, and by the host that called."""
    expect(letter, Message, "three_names(letter)")
    top = letter.first("Received") or ""
    helo = re.search(r"helo=([^\s)]+)", top) or re.search(r"from ([^\s\[(]+)", top)
    address = re.search(r"\[([0-9a-f.:]+)\]", top)
    caller = f"{helo[1] if helo else '?'} [{address[1] if address else '?'}]"
    rows = [
        ("From:", letter.first("From") or "", "the author", "what Carol sees"),
        ("MAIL FROM (Return-path)", letter.first("Return-path") or "", "who sends", "who hears of a failure"),
        ("EHLO (uppermost Received)", caller, "the host that calls", "readers of headers"),
    ]
    return TableView("Three names", ("where", "name", "who says it", "who sees it"), rows)
