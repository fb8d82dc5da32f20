"""STARTTLS and AUTH: the commands after which a client is somebody else to us.

WHAT       one function for each, as in server_commands.py. STARTTLS ends in State.TLS, in which nothing is read; AUTH
           asks line by line, each answer a decision, until it is believed or not.
DECIDES    order: both only where they were offered; AUTH once in a session, and never inside a transaction.
STANDARDS  RFC 3207 §4 (STARTTLS), RFC 4954 §4 (AUTH); the order of the checks is Exim's
READ NEXT  auth/server.py
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from labkit.mail import reply
from labkit.mail.reply import Reply
from labkit.smtp.decisions import AuthAnswered, AuthBegins, AuthWanted, StartTls
from labkit.smtp.incidents import PROTOCOL
from labkit.smtp.states import State, Verb

if TYPE_CHECKING:
    from labkit.smtp.server import Server

_NAME = re.compile(r"[A-Za-z0-9_-]*")


def starttls(server: Server, verb: Verb, argument: str, following: State) -> None:
    if not (server.is_esmtp and server.extensions.starttls):
        server.refuse_error(reply.STARTTLS_NOT_OFFERED, PROTOCOL)
        return

    def then(answer: Reply | None) -> None:
        if answer is None or answer.is_positive:
            server.begin_tls(reply.TLS_GO_AHEAD)
        else:
            server.say(answer, server.state)

    server.stop_at(StartTls(), then)


def auth(server: Server, verb: Verb, argument: str, following: State) -> None:
    server.auth_failed = True  # until it is believed
    is_offered = server.is_esmtp and bool(server.extensions.mechanisms)
    if not is_offered and not server.known_mechanisms:
        server.refuse_error(reply.AUTH_NOT_OFFERED, PROTOCOL)
    elif server.is_authenticated:
        server.refuse_error(reply.ALREADY_AUTHENTICATED, PROTOCOL)
    elif server.envelope is not None:
        server.refuse_error(reply.AUTH_IN_TRANSACTION, PROTOCOL)
    else:
        server.stop_at(AuthWanted(), lambda answer: _permitted(server, argument, answer))


def _permitted(server: Server, argument: str, answer: Reply | None) -> None:
    if answer is not None and not answer.is_positive:
        server.say(answer, server.state)
        return
    word = re.split(r"[ \t]+", argument, maxsplit=1)
    mechanism, data = word[0], word[1] if len(word) > 1 else ""
    offered = server.extensions.mechanisms if server.is_esmtp else ()
    if not _NAME.fullmatch(mechanism):
        server.refuse_error(reply.BAD_MECHANISM)
    elif mechanism.upper() not in (*offered, *server.known_mechanisms):
        server.refuse_error(reply.unsupported_mechanism(mechanism), PROTOCOL)
    else:
        begun = server.state
        server.stop_at(AuthBegins(mechanism, data), lambda answer: _told(server, answer, begun))


def _told(server: Server, answer: Reply | None, begun: State) -> None:
    """The verdict, or one more question."""
    assert answer is not None
    if answer.code != 334:
        server.is_authenticated = answer.code == 235
        server.auth_failed = not server.is_authenticated
        server.say(answer, begun)
        return
    server.say(answer, State.AUTH)
    server.next_line_to(
        lambda line: server.stop_at(AuthAnswered(line), lambda found: _told(server, found, begun))
    )
