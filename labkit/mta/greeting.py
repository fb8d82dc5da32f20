"""HELO and EHLO: who the client says it is, whether that is so, and what it is offered.

DOES       looks the client's name up where helo_lookup_domains or a check of the name needs it; helo_verify_hosts
           refuses a name that is not the client's
LIKE EXIM  a name that was refused is forgotten; $helo_verified counts for the last greeting
STANDARDS  RFC 5321 §4.1.4; RFC 1870, 6152, 2920, 3030, 3461 (what is offered)
READ NEXT  session_log.py
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from labkit.eximconf.client_name import name_client
from labkit.eximconf.expansion import Value
from labkit.mail.asking import Asking
from labkit.mail.reply import Reply
from labkit.mta import variables
from labkit.mta.connecting import matches
from labkit.smtp.acl import Phase, Wish, client_name, verify_helo
from labkit.smtp.acl.verdicts import Found
from labkit.smtp.decisions import Answer, Greeted
from labkit.smtp.states import Verb

if TYPE_CHECKING:
    from labkit.mta.session import Session


def greeted(session: Session, decision: Greeted) -> Asking[Answer]:
    """The answer to HELO or EHLO."""
    values = session.env.variables
    variables.greeted(values, decision.name, values["received_protocol"])
    yield from _looked_up(session, decision.name)
    refused = yield from _verified(session, decision)
    if refused is not None:
        return refused
    verdict = yield from session.judge(Phase.HELO)
    found = session.answer_of(verdict)
    if found.reply is not None and not found.reply.is_positive:
        variables.greeted(values, "", values["received_protocol"])
        return found
    values["received_protocol"] = session.machine.protocol(is_esmtp=decision.verb is Verb.EHLO)
    yield from _offer(session)
    if found.reply is not None:
        return found
    name = values.get("sender_host_name") or decision.name
    return Answer(Reply(250, (f"{session.machine.host_name} Hello {name} [{session.peer.address}]",)))


def _looked_up(session: Session, name: str) -> Asking[None]:
    """A client that calls itself by a name of ours is looked up, or the log would be confusing."""
    wanted = session.main.patterns("helo_lookup_domains")
    if session.env.variables.get("sender_host_name") or wanted is None:
        return
    match = yield from wanted.asking(name.lower(), session.env)
    if getattr(match, "found", False):
        yield from client_name(session.scene, session.peer.address)
        name_client(session.env.variables)


def _verified(session: Session, decision: Greeted) -> Asking[Answer | None]:
    """helo_verify_hosts, helo_try_verify_hosts: an Answer refuses."""
    values, scene = session.env.variables, session.scene
    values.pop("helo_verified", None)
    scene.memory.helo = None
    if not (session.must_verify_helo or session.tries_helo):
        return None
    is_good = (yield from verify_helo(scene, Wish("helo"))) is Found.YES
    name_client(values)
    if is_good or session.tries_helo:
        return None
    is_unknown = scene.memory.client is not None and scene.memory.client.found is None
    word = decision.verb.value
    refusal = Reply(451 if is_unknown else 550, (f"{word} argument does not match calling host",))
    temporarily = "temporarily " if is_unknown else ""
    line = f'{temporarily}rejected "{word} {decision.name}" from {session.log.client}'
    session.log.refuse(refusal, line, refusal.text, word)
    return Answer(refusal)


def _offer(session: Session) -> Asking[None]:
    """What the answer to EHLO offers this client."""
    main, machine = session.main, session.machine
    offered = machine.extensions
    offered.eight_bit = main.flag("accept_8bitmime")
    offered.dsn = yield from matches(session, "dsn_advertise_hosts", if_unknown=True)
    offered.pipelining = session.scene.session.offers_pipelining and (
        yield from matches(session, "pipelining_advertise_hosts")
    )
    offered.chunking = offered.chunking or (
        yield from matches(session, "chunking_advertise_hosts", if_unknown=True)
    )
    yield from session.securing.offer()
    text = main.expansion("smtp_accept_max_per_connection")
    outcome = (yield from text.asking(session.env)) if text is not None else None
    found = re.match(r"[0-9]{1,9}", outcome.text) if isinstance(outcome, Value) else None
    session.set_limits(messages=int(found[0]) if found else 0)
