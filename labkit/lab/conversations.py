"""What was said to a host and what became of a message, put together from the journal.

WHAT       `conversations` gives the SMTP sessions of a host; `journey` follows one message through all hosts.
READ NEXT  host.py
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from labkit.mail.event import EventKind, MailEvent
from labkit.smtp.pair import Exchange
from labkit.smtp.states import Step
from labkit.smtp.transcript import Line


@dataclass(frozen=True, slots=True)
class Conversation:
    """One SMTP session: who spoke with whom, and every line with the states of both sides.

    A client outside the lab tells nobody its state: it is "" then.
    """

    client_name: str
    server_name: str
    exchanges: tuple[Exchange, ...]


@dataclass(frozen=True, slots=True)
class Journey:
    """The facts about one message, on all hosts, in order."""

    message_id: str
    events: tuple[MailEvent, ...]


def conversations(events: Iterable[MailEvent], server: str) -> list[Conversation]:
    """The sessions that the host `server` had, oldest first."""
    sessions: dict[int, list[MailEvent]] = {}
    lines = [event for event in events if event.kind is EventKind.DIALOGUE]
    for event in lines:
        if event.host == server and event.session is not None and event.state is not None:
            sessions.setdefault(event.session, []).append(event)
    return [_conversation(said, lines, server) for said in sessions.values()]


def _conversation(said: list[MailEvent], lines: list[MailEvent], server: str) -> Conversation:
    """Join both sides' records: the lines in the client's order, as they were on the wire, with both states.

    The k-th line of a speaker is the k-th on both sides, however pipelining has grouped them.
    """
    first, last = said[0].number, said[-1].number
    heard = [e for e in lines if e.remote_host == server and e.host != server and e.number > first]
    if not heard or heard[0].number > last:  # nobody recorded the client's side
        exchanges = tuple(Exchange(e.speaker or "", e.text or "", "", e.state or "") for e in said)
        return Conversation(said[0].remote_address or "?", server, exchanges)
    client = [e for e in heard if (e.host, e.session) == (heard[0].host, heard[0].session)]
    at_server = {speaker: [e.state or "" for e in said if e.speaker == speaker] for speaker in "CS"}
    wire = [Line(e.speaker or "", e.text or "", e.state or "") for e in client]
    return Conversation(heard[0].host, server, join_sides(wire, at_server))


def join_sides(wire: Sequence[Line], at_server: Mapping[str, Sequence[str]]) -> tuple[Exchange, ...]:
    """The client's lines with the states of both sides once each line has arrived.

    `at_server` has the server's state after each line, by speaker. What an answer makes of the client shows in
    the command that follows it.
    """
    counts = {"C": 0, "S": 0}
    exchanges = []
    for line, following in zip(wire, (*wire[1:], None)):
        states, index = at_server[line.speaker], counts[line.speaker]
        counts[line.speaker] += 1
        server = states[index] if index < len(states) else ""
        if following is None:
            client = Step.CLOSED.value
        else:
            client = following.state if following.speaker == "C" else line.state
        exchanges.append(Exchange(line.speaker, line.text, client, server))
    return tuple(exchanges)


def journey(events: Iterable[MailEvent], message_id: str) -> Journey:
    """Follow a message by its Message-ID: from host to host, from queue id to queue id."""
    facts = [event for event in events if event.kind.is_fact and event.queue_id is not None]
    ours = {(event.host, event.queue_id) for event in facts if event.message_id == message_id}
    return Journey(message_id, tuple(event for event in facts if (event.host, event.queue_id) in ours))
