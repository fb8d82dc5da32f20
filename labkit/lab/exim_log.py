"""The logs of a host, in Exim's form, written from events: main log, reject log, panic log.

WHAT       `log_lines(event, style)` gives the lines for one event, and the logs that each belongs to; `main_log` and
           `reject_log` go through many events. The lab shows them, and the daemon labkit-exim writes them into files.
RULES      what log_selector leaves out is left out here and nowhere else: events have everything. A line that
           somebody else's words could continue is escaped.
LIKE EXIM  each field, its order and its selector; the number behind `defer`
STANDARDS  Exim specification, chapter "Log files"
READ NEXT  host.py, labkit/eximconf/log_selector.py
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime, timezone, tzinfo

from labkit.eximconf.expansion.numbers import shown_interval
from labkit.eximconf.log_selector import DEFAULT
from labkit.mail.encryption import in_log
from labkit.mail.event import EventKind, MailEvent
from labkit.mta.queue_id import received_at
from labkit.queue.errors import in_words

MAIN, REJECT, PANIC = "main", "reject", "panic"
# Exim's error numbers by words, for an event that has none
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
SMTP_PORT = 25
_LONGEST_SUBJECT = 100
_LONGEST_CONFIRMATION = 1024
_SHORT_SPAN = 5  # seconds; longer ones are told without milliseconds


@dataclass(frozen=True, slots=True)
class Style:
    """What log_selector, log_timezone and timezone say. `pid` is for +pid."""

    selectors: frozenset[str] = DEFAULT
    shows_zone: bool = False
    zone: tzinfo = timezone.utc
    pid: int = 0

    def stamp(self, at: datetime) -> str:
        """The date of a line."""
        at = at.astimezone(self.zone)
        fraction = f".{at.microsecond // 1000:03d}" if "millisec" in self.selectors else ""
        return f"{at:%Y-%m-%d %H:%M:%S}{fraction}{f' {at:%z}' if self.shows_zone else ''}"

    def span(self, seconds: float) -> str:
        """A span of time as the log has it: 0s, 1h30m; with +millisec short ones are 0.123s."""
        if "millisec" in self.selectors and seconds < _SHORT_SPAN:
            return f"{int(seconds)}.{int(seconds * 1000) % 1000:03d}s"
        return shown_interval(int(seconds))


USUAL = Style()


@dataclass(frozen=True, slots=True)
class LogText:
    """A line without line end, the logs it belongs to, and what the reject log has below it."""

    text: str
    logs: tuple[str, ...] = (MAIN,)
    below: str = ""


def log_lines(event: MailEvent, style: Style = USUAL) -> Iterator[LogText]:
    """What the logs say of an event."""
    line = _LINES.get(event.kind)
    if line is None or (event.selector is not None and event.selector not in style.selectors):
        return
    pid = f"[{style.pid}] " if "pid" in style.selectors else ""
    ident = f"{event.queue_id} " if event.queue_id else ""
    text = printable(f"{style.stamp(event.at)} {pid}{ident}{line(event, style)}")
    below = ""
    if event.header and "rejected_header" in style.selectors:
        below = "".join(f"{printable(each)}\n" for each in event.header.rstrip("\n").split("\n"))
    yield LogText(text, _logs_of(event), below)


def _logs_of(event: MailEvent) -> tuple[str, ...]:
    if event.logs is not None:
        return tuple(event.logs.split(","))
    if event.kind is EventKind.REJECTED:
        return (MAIN, REJECT)
    return (MAIN, PANIC) if event.kind is EventKind.PROBLEM else (MAIN,)


def main_log(events: Iterable[MailEvent], style: Style = USUAL) -> Iterator[str]:
    """The lines of the main log for these events (of one host)."""
    return (each.text for event in events for each in log_lines(event, style) if MAIN in each.logs)


def reject_log(events: Iterable[MailEvent], style: Style = USUAL) -> Iterator[str]:
    """The lines of the reject log, with headers of what was refused after DATA."""
    for event in events:
        for each in log_lines(event, style):
            if REJECT in each.logs:
                yield each.text
                yield from each.below.splitlines()


def printable(text: str) -> str:
    """Text with escapes for what would begin a new line or control a terminal: strangers write in this log too."""
    if text.isprintable():
        return text
    escaped = (c if c.isprintable() else c.encode("utf-8", "surrogateescape") for c in text)
    return "".join(c if isinstance(c, str) else "".join(f"\\{octet:03o}" for octet in c) for c in escaped)


# --- a message comes in ---------------------------------------------------------------------------


def _received(event: MailEvent, style: Style) -> str:
    on = style.selectors
    mark = "(=" if event.text else "<="  # the client was told that it is not taken
    line = f"{mark} {event.sender or '<>'}"
    line += f" R={event.about}" if event.about else ""
    if event.remote_address:
        line += f" H={_client(event, style)}"
    login = event.login or (None if event.remote_address else "exim")
    line += f" U={login}" if login else ""
    line += f" P={event.protocol}{_encryption(event, style)}{_authenticated(event)}"
    line += f"{' K' if event.is_chunked else ''} S={event.size}"
    line += f" M8S={event.body_type or 0}" if "8bitmime" in on else ""
    line += f" DKIM={event.dkim}" if event.dkim and "dkim" in on else ""
    if event.took is not None and "receive_time" in on:
        line += f" RT={style.span(event.took)}"
    line += _message_id(event, on)
    if event.subject is not None and "subject" in on:
        line += f" T={_quoted(event.subject[:_LONGEST_SUBJECT])}"
    if event.raw_sender is not None and "received_sender" in on:
        line += f" from <{event.raw_sender}>"
    if event.raw_recipients and "received_recipients" in on:
        line += f" for {event.raw_recipients}"
    return line


def _message_id(event: MailEvent, on: frozenset[str]) -> str:
    if not event.message_id or "msg_id" not in on:
        return ""
    is_own = event.message_id.startswith(f"<E{event.queue_id}@")  # Exim has made it
    if is_own and "msg_id_created" not in on:
        return ""
    return f" id{'*' if is_own else ''}={event.message_id.strip('<>')}"


def _client(event: MailEvent, style: Style) -> str:
    """Name, (HELO name), [address]; a HELO name that is the name is not shown."""
    name, helo = event.remote_name, event.remote_host
    said = f"({helo})" if helo and helo != name else None
    port = f":{event.remote_port}" if event.remote_port and "incoming_port" in style.selectors else ""
    who = " ".join(filter(None, (name, said, f"[{event.remote_address}]{port}")))
    if event.own_address and "incoming_interface" in style.selectors:
        who += f" I=[{event.own_address}]:{event.own_port}"
    return who


def _encryption(event: MailEvent, style: Style) -> str:
    return in_log(
        event.cipher, event.is_verified, event.peer_name, event.server_name, style.selectors, event.is_dane
    )


def _authenticated(event: MailEvent) -> str:
    return f" A={event.authenticator}" if event.authenticator else ""


def _quoted(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


# --- a message goes out ---------------------------------------------------------------------------


def _delivered(event: MailEvent, style: Style) -> str:
    """A delivery here shows the local part, and the address as the sender named it beside it."""
    on = style.selectors
    local = None if event.remote_host else (event.recipient or "").partition("@")[0]
    line = f"{event.mark or '=>'} {_named(event, style, local)}{_envelope(event, style)}{_way(event)}"
    line += f" S={event.size}" if event.size is not None and "delivery_size" in on else ""
    line += f"{_host(event, style)}{_encryption(event, style)}{_authenticated(event)}"
    line += f" ST={event.shadow}" if event.shadow else ""
    line += " K" if event.is_chunked else ""
    if event.remote_host and event.code and "smtp_confirmation" in on:
        said = f"{event.preamble}\\n" if event.preamble else ""
        line += f" C={_quoted(f'{said}{event.code} {event.text}'[:_LONGEST_CONFIRMATION])}"
    if "queue_time" in on and event.queue_id and (came := received_at(event.queue_id)):
        line += f" QT={style.span(max(0.0, (event.at - came).total_seconds()))}"
    return line + _time_of_delivery(event, style)


def _time_of_delivery(event: MailEvent, style: Style) -> str:
    return f" DT={style.span(event.took or 0.0)}" if "deliver_time" in style.selectors else ""


def _named(event: MailEvent, style: Style, shown: str | None = None) -> str:
    """The address, its parents (with +all_parents, or of a program or a file), and the one that the sender named."""
    shown = event.became or shown
    if shown is None:
        return event.recipient or ""
    parents = (event.parents or "").split(", ") if event.parents else []
    if "all_parents" not in style.selectors:
        parents = parents[:1] if shown.startswith(("/", "|")) else []
    between = f" ({', '.join(parents)})" if parents else ""
    return f"{shown}{between} <{event.recipient}>"


def _envelope(event: MailEvent, style: Style) -> str:
    """The sender, and under which path the message went."""
    on = style.selectors
    sender = f" F=<{event.origin}>" if event.origin is not None and "sender_on_delivery" in on else ""
    is_told = event.return_path is not None and "return_path_on_delivery" in on
    return sender + (f" P=<{event.return_path}>" if is_told else "")


def _way(event: MailEvent) -> str:
    router = f" R={event.router}" if event.router else ""
    return router + (f" T={event.transport}" if event.transport else "")


def _host(event: MailEvent, style: Style) -> str:
    if not event.remote_host:
        return ""
    on = style.selectors
    port = f":{event.remote_port or SMTP_PORT}" if "outgoing_port" in on else ""
    signed = " DS" if event.is_secure and "dnssec" in on else ""
    shown = f" H={event.remote_host}{signed} [{event.remote_address}]{port}"
    shown += "*" if getattr(event, "is_continued", None) else ""
    if event.own_address and {"incoming_interface", "outgoing_interface"} <= on:
        own_port = f":{event.own_port}" if event.own_port and "outgoing_port" in on else ""
        shown += f" I=[{event.own_address}]{own_port}"
    return shown


def _deferred(event: MailEvent, style: Style) -> str:
    text = event.text or ""
    number = event.errno
    if number is None:
        number = next((n for start, n in _ERRORS if text.startswith(start)), 0)
    way = _way(event) or (" routing" if number else "")
    host, system = _host(event, style), in_words(number)
    if host and system and text.startswith(f"{system}: "):  # its words come first, then the host
        host, text = f": {system}{host}", text[len(system) + 2 :]
    line = f"== {_named(event, style)}{way} defer ({number}){host}"
    line += _time_of_delivery(event, style)
    return f"{line}: {text}" if text else line


def _failed(event: MailEvent, style: Style) -> str:
    line = f"** {_named(event, style)}{_envelope(event, style)}{_way(event)}{_host(event, style)}"
    return f"{line}{_encryption(event, style)}: {event.text}{_time_of_delivery(event, style)}"


def _completed(event: MailEvent, style: Style) -> str:
    if "queue_time_overall" in style.selectors and event.queue_id and (came := received_at(event.queue_id)):
        return f"Completed QT={style.span(max(0.0, (event.at - came).total_seconds()))}"
    return "Completed"


# --- refusals -------------------------------------------------------------------------------------


def _rejected(event: MailEvent, style: Style) -> str:
    line: str | None = getattr(event, "line", None)
    if line is not None:
        return line
    verb = "temporarily rejected" if event.code is not None and event.code < 500 else "rejected"
    why = f": {event.text}" if event.text else ""
    client = _client(event, style)
    if event.command == "MAIL" and event.sender is None:  # before HELO
        return f"{verb} MAIL from [{event.remote_address}]{why}"
    if event.command is None:
        return f"{verb} from <{event.sender}> H={client}{why}"
    who = f" F=<{event.sender}>" if event.command in ("RCPT", "after DATA") else ""
    named = {"RCPT": f" <{event.recipient}>", "MAIL": f" <{event.sender}>"}.get(event.command, "")
    return f"H={client}{_encryption(event, style)}{who} {verb} {event.command}{named}{why}"


_LINES: dict[EventKind, Callable[[MailEvent, Style], str]] = {
    EventKind.STARTED: lambda event, style: f"labkit daemon started: {event.text}",
    EventKind.STOPPED: lambda event, style: "labkit daemon stopped",
    EventKind.RECEIVED: _received,
    EventKind.DELIVERED: _delivered,
    EventKind.DEFERRED: _deferred,
    EventKind.FAILED: _failed,
    EventKind.REJECTED: _rejected,
    EventKind.PROBLEM: lambda event, style: f"internal problem: {event.text}",
    EventKind.LOGGED: lambda event, style: event.text or "",
    EventKind.FROZEN: lambda event, style: event.text or "Frozen",
    EventKind.COMPLETED: _completed,
}
