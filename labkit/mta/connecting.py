"""A client connects: may it, and what may it do?

WHAT       `connecting`: how many there are, who is never served, what of the configuration depends on this client.
           An Answer sends the client away; None goes on to the ACL and the banner.
LIKE EXIM  the order of the checks, the replies, the lines of the log
STANDARDS  RFC 5321 §3.1 (554), §3.8 (421); Exim specification, chapter "Main configuration"
READ NEXT  greeting.py
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from typing import TYPE_CHECKING

from labkit.eximconf.client_name import name_client
from labkit.eximconf.expansion import Compiled, ForcedFailure, Value
from labkit.mail import reply
from labkit.mail.asking import Asking
from labkit.mail.reply import Reply
from labkit.smtp.acl import client_name
from labkit.smtp.decisions import Allowances, Answer

if TYPE_CHECKING:
    from labkit.mta.session import Session

LARGEST_MESSAGE = 256 * 1024 * 1024  # octets, where message_size_limit turns out to be 0: no limit
_SIZE = re.compile(r"[ \t]*([0-9]{1,12})([KMGkmg]?)[ \t]*")
_UNITS = {"": 1, "K": 2**10, "M": 2**20, "G": 2**30}
_REFUSED = "connection_reject"  # the log selector


def connecting(session: Session) -> Asking[Answer | None]:
    """What is decided before the ACL for connections is asked."""
    refused = yield from _counted(session)
    if refused is not None:
        return refused
    refused = yield from _host_name(session)
    if refused is not None:
        return refused
    refused = yield from _message_size(session)
    if refused is not None:
        return refused
    if (yield from matches(session, "host_lookup")):
        yield from client_name(session.scene, session.peer.address)
        name_client(session.env.variables)
    if (yield from matches(session, "host_reject_connection")):
        line = f"refused connection from {session.log.client} (host_reject_connection)"
        session.log.refuse(reply.NO_SERVICE, line, "host_reject_connection", "connection", _REFUSED)
        return Answer(reply.NO_SERVICE, closes=True)
    refused = yield from _reserved(session)
    if refused is not None:
        return refused
    yield from _allowed(session)
    return None


def matches(session: Session, option: str, *, if_unknown: bool = False) -> Asking[bool]:
    """Whether the client is in this host list; `if_unknown`: what counts when that cannot be found out."""
    wanted = session.main.patterns(option)
    if wanted is None or not wanted.text.strip():
        return False
    if wanted.text.strip() == "*":
        return True
    match = yield from wanted.asking(session.peer.address, session.env)
    return bool(getattr(match, "found", if_unknown))


def _counted(session: Session) -> Asking[Answer | None]:
    """How many connections there are: all of them, and those of this client."""
    main, address = session.main, session.peer.address
    count = len(session.intake.sessions)  # with this one
    if count > main.number("smtp_accept_max"):
        return _refuse(session, reply.TOO_MANY_CONNECTIONS, "too many connections")
    limit = main.expansion("smtp_accept_max_per_host")
    if limit is not None:
        most = yield from _number(session, limit, "smtp_accept_max_per_host")
        if 0 < most < sum(shell.peer.address == address for shell in session.intake.sessions):
            return _refuse(session, reply.TOO_MANY_OF_ONE_HOST, "too many connections from that IP address")
    if not (yield from matches(session, "hosts_connection_nolog")):
        counted = f" (TCP/IP connection count = {count})" if count else ""  # none: somebody types
        session.log.tell(f"SMTP connection from [{address}]{counted}", selector="smtp_connection")
    return None


def _refuse(session: Session, refusal: Reply, why: str) -> Answer:
    text = f"Connection from [{session.peer.address}] refused: {why}"
    session.log.tell(text, selector=_REFUSED)
    return Answer(refusal, closes=True)


def _number(session: Session, text: Compiled, name: str) -> Asking[int]:
    """The digits that an option expands to; 0 if it fails, which the log hears of."""
    outcome = yield from text.asking(session.env)
    if isinstance(outcome, ForcedFailure):
        return 0
    where = f"expansion of {name}"
    if not isinstance(outcome, Value):
        problem = f"{where} failed for [{session.peer.address}]: {outcome.message}"
        session.log.tell(problem, ("main", "panic"))
        return 0
    found = re.match("[0-9]{0,9}", outcome.text)
    assert found is not None
    if found.end() < len(outcome.text):
        problem = f"{where} for [{session.peer.address}] contains non-digit: {outcome.text}"
        session.log.tell(problem, ("main", "panic"))
    return int(found[0] or 0)


def _host_name(session: Session) -> Asking[Answer | None]:
    """smtp_active_hostname: who we are to this client."""
    text = session.main.expansion("smtp_active_hostname")
    if text is None:
        return None
    outcome = yield from text.asking(session.env)
    if isinstance(outcome, Value):
        if outcome.text:
            session.machine.host_name = session.env.variables["smtp_active_hostname"] = outcome.text
    elif not isinstance(outcome, ForcedFailure):
        problem = f'failed to expand "{text.text}" (smtp_active_hostname): {outcome.message}'
        session.log.tell(problem, ("main", "panic"))
        return Answer(reply.NO_CONFIGURATION, closes=True)
    return None


def _message_size(session: Session) -> Asking[Answer | None]:
    """message_size_limit, where it is not the same for all."""
    value = session.main.values["message_size_limit"]
    if not isinstance(value, Compiled):
        return None
    outcome = yield from value.asking(session.env)
    found = _SIZE.fullmatch(outcome.text) if isinstance(outcome, Value) else None
    if found is None:
        shown = (
            f'integer expected but "{outcome.text}" found' if isinstance(outcome, Value) else outcome.message
        )
        what = (
            "invalid message_size_limit"
            if isinstance(outcome, Value)
            else "unable to expand message_size_limit"
        )
        session.log.tell(f"{what}: {shown}", ("main", "panic"))
        return Answer(Reply(421, reply.LOCAL_PROBLEM.lines), closes=True)
    size = int(found[1]) * _UNITS[found[2].upper()]
    machine = session.machine
    machine.limits = replace(machine.limits, message_size=size or LARGEST_MESSAGE)
    return None


def _reserved(session: Session) -> Asking[Answer | None]:
    """smtp_accept_reserve: the last connections are for some clients only."""
    main, count = session.main, len(session.intake.sessions)
    most, reserve = main.number("smtp_accept_max"), main.number("smtp_accept_reserve")
    if count <= most - reserve or (yield from matches(session, "smtp_reserve_hosts")):
        return None
    line = (
        f"temporarily refused connection from {session.log.client}: not in reserve list: "
        f"connected={count - 1} max={most} reserve={reserve}"
    )
    session.log.tell(line, selector=_REFUSED)
    name = session.machine.host_name
    words = f"{name}: Too many concurrent SMTP connections; please try again later"
    return Answer(Reply(421, (words,)), closes=True)


def _allowed(session: Session) -> Asking[None]:
    """What this client may do that others may not."""
    main, machine = session.main, session.machine
    senders = yield from matches(session, "sender_unqualified_hosts")
    recipients = yield from matches(session, "recipient_unqualified_hosts")
    must = yield from matches(session, "helo_verify_hosts")
    machine.allowances = Allowances(
        helo_characters=main.text("helo_allow_chars") or "",
        junk_helo=(yield from matches(session, "helo_accept_junk_hosts")),
        no_helo=not must and not (yield from matches(session, "hosts_require_helo")),
        many_nonmail=not (yield from matches(session, "smtp_accept_max_nonmail_hosts", if_unknown=True)),
        unqualified_sender=senders,
        unqualified_recipient=recipients,
    )
    session.scene.takes_unqualified = (senders, recipients)
    session.must_verify_helo = must
    session.tries_helo = not must and (yield from matches(session, "helo_try_verify_hosts"))


def lines_about(session: Session) -> Iterator[str]:
    """Why a message is not tried at once, although nobody asked for that."""
    main, count = session.main, len(session.intake.sessions)
    most = main.number("smtp_accept_queue")
    if 0 < most < count:
        yield f"no immediate delivery: too many connections ({count}, max {most})"
    limit = main.number("smtp_accept_queue_per_connection")
    if 0 < limit <= session.machine.messages_accepted:
        yield f"no immediate delivery: more than {limit} messages received in one connection"
