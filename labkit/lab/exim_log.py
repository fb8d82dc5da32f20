"""The main log of a host, in Exim's form, written from the journal.

STANDARDS  Exim specification, chapter "Log files"
READ NEXT  host.py
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

from labkit.mail.dates import log_date
from labkit.mail.event import EventKind, MailEvent

# Exim's error numbers: those of the system, and negative ones of its own
_ERRORS = (
    ("Connection refused", 111),
    ("Connection timed out", 110),
    ("the server closed the connection", -18),
    ("lost the connection", -18),
    ("SMTP error from remote mail server after RCPT TO", -44),
    ("SMTP error from remote mail server after end of data", -46),
    ("retry time not reached for any host", -54),
    ("retry time not reached", -52),
)


def main_log(events: Iterable[MailEvent]) -> Iterator[str]:
    """The lines of the main log for these events (of one host)."""
    for event in events:
        if (line := _LINES.get(event.kind)) is not None:
            ident = f"{event.queue_id} " if event.queue_id else ""
            yield printable(f"{log_date(event.at)} {ident}{line(event)}")


def printable(text: str) -> str:
    """Text with escapes for what would begin a new line or control a terminal: strangers write in this log too."""
    if text.isprintable():
        return text
    escaped = (c if c.isprintable() else c.encode("utf-8", "surrogateescape") for c in text)
    return "".join(c if isinstance(c, str) else "".join(f"\\{octet:03o}" for octet in c) for c in escaped)


def _received(event: MailEvent) -> str:
    host = f" H={_client(event)}" if event.remote_address else " U=exim"
    about = f" R={event.about}" if event.about else ""
    is_own = (event.message_id or "").startswith(
        f"<E{event.queue_id}@"
    )  # Exim leaves out what it made itself
    message_id = f" id={event.message_id.strip('<>')}" if event.message_id and not is_own else ""
    marks = f" {event.marks}" if event.marks else ""
    mark = "(=" if event.text else "<="  # the client was told that it is not taken
    return f"{mark} {event.sender or '<>'}{about}{host} P={event.protocol}{marks} S={event.size}{message_id}"


def _delivered(event: MailEvent) -> str:
    """A delivery here shows the local part, and the address as the sender named it beside it."""
    confirmation = f' C="{event.code} {event.text}"' if event.remote_host and event.code else ""
    local = None if event.remote_host else (event.recipient or "").partition("@")[0]
    return f"=> {_named(event, local)}{_way(event)}{confirmation}"


def _named(event: MailEvent, shown: str | None = None) -> str:
    shown = event.became or shown
    return event.recipient or "" if shown is None else f"{shown} <{event.recipient}>"


def _deferred(event: MailEvent) -> str:
    text = event.text or ""
    number = next((n for start, n in _ERRORS if text.startswith(start)), 0)
    return f"== {_named(event)}{_way(event)} defer ({number}): {text}"


def _failed(event: MailEvent) -> str:
    return f"** {_named(event)}{_way(event)}: {event.text}"


def _rejected(event: MailEvent) -> str:
    if event.line is not None:
        return event.line
    verb = "temporarily rejected" if event.code is not None and event.code < 500 else "rejected"
    why = f": {event.text}" if event.text else ""
    if event.command == "MAIL" and event.sender is None:  # before HELO
        return f"{verb} MAIL from [{event.remote_address}]{why}"
    if event.command is None:
        return f"{verb} from <{event.sender}> H={_client(event)}{why}"
    who = f" F=<{event.sender}>" if event.command in ("RCPT", "after DATA") else ""
    named = {"RCPT": f" <{event.recipient}>", "MAIL": f" <{event.sender}>"}.get(event.command, "")
    return f"H={_client(event)}{who} {verb} {event.command}{named}{why}"


def _client(event: MailEvent) -> str:
    """Name, (HELO name), [address]; a HELO name that is the name is not shown."""
    name, helo = event.remote_name, event.remote_host
    said = f"({helo})" if helo and helo != name else None
    return " ".join(filter(None, (name, said, f"[{event.remote_address}]")))


def _way(event: MailEvent) -> str:
    router = f" R={event.router}" if event.router else ""
    transport = f" T={event.transport}" if event.transport else ""
    host = f" H={event.remote_host} [{event.remote_address}]" if event.remote_host else ""
    return f"{router}{transport}{host}"


_LINES: dict[EventKind, Callable[[MailEvent], str]] = {
    EventKind.STARTED: lambda event: f"labkit daemon started: {event.text}",
    EventKind.STOPPED: lambda event: "labkit daemon stopped",
    EventKind.RECEIVED: _received,
    EventKind.DELIVERED: _delivered,
    EventKind.DEFERRED: _deferred,
    EventKind.FAILED: _failed,
    EventKind.REJECTED: _rejected,
    EventKind.PROBLEM: lambda event: f"internal problem: {event.text}",
    EventKind.LOGGED: lambda event: event.text or "",
    EventKind.FROZEN: lambda event: event.text or "Frozen",
    EventKind.COMPLETED: lambda event: "Completed",
}
