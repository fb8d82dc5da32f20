"""What each command does to a server's session, once it may be given there.

WHAT       one function for each verb: read the argument, refuse what is wrong with it, else stop at the decision and
           say what follows from the answer. `COMMANDS` is the table of them.
DECIDES    syntax and limits. Order is in states.py; policy is never decided here.
STANDARDS  RFC 5321 §4.1.1 (commands), §3.3 (mail transactions)
READ NEXT  server.py
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from labkit.mail import reply
from labkit.mail.reply import Reply
from labkit.smtp import envelope_commands
from labkit.smtp.commands import is_helo_name
from labkit.smtp.decisions import DataBegins, Expand, Goodbye, Greeted, TurnQueue, Verify
from labkit.smtp.states import State, Verb

if TYPE_CHECKING:
    from labkit.smtp.server import Server


def _helo(server: Server, verb: Verb, argument: str, following: State) -> None:
    if not is_helo_name(argument):  # at the last one the session ends, without a word about it
        is_last = server.counting.error()
        server.say(reply.bad_greeting(verb.value), State.CLOSED if is_last else server.state)
        return

    def then(answer: Reply | None) -> None:
        if answer is not None and not answer.is_positive:
            server.say(answer, server.state)
            return
        server.helo_name = argument
        server.is_esmtp = verb is Verb.EHLO
        server.forget_transaction()
        server.say(_hello(server, answer), following)

    server.stop_at(Greeted(verb, argument), then)


def _hello(server: Server, answer: Reply | None) -> Reply:
    """Our answer to HELO or EHLO: its first line may be somebody else's, the extensions are ours."""
    code, greeting = 250, f"{server.host_name} Hello {server.helo_name} [{server.client_address}]"
    if answer is not None:
        code, greeting = answer.code, answer.lines[0]
    if not server.is_esmtp:
        return Reply(code, (greeting,))
    return Reply(code, (greeting, *server.extensions.keywords(server.limits.message_size)))


def _data(server: Server, verb: Verb, argument: str, following: State) -> None:
    def then(answer: Reply | None) -> None:
        if answer is not None and not answer.is_positive:
            server.say(answer, server.state)
        elif server.is_out_of_step():  # the message came before we asked for it
            server.say(reply.SYNCHRONIZATION_ERROR, State.CLOSED)
        else:
            server.say(reply.ENTER_MESSAGE, following)
            server.begin_content()

    server.stop_at(DataBegins(server.transaction.envelope), then)


def _rset(server: Server, verb: Verb, argument: str, following: State) -> None:
    server.forget_transaction()
    server.say(reply.RESET_OK, following)


def _noop(server: Server, verb: Verb, argument: str, following: State) -> None:
    server.say(reply.OK, following)


def _help(server: Server, verb: Verb, argument: str, following: State) -> None:
    server.say(reply.commands_supported(server.extensions.commands), following)


def _vrfy(server: Server, verb: Verb, argument: str, following: State) -> None:
    if not argument:
        server.refuse_error(reply.EMPTY_ADDRESS)
        return
    server.stop_at(Verify(argument), lambda answer: server.say(answer or reply.CANNOT_VERIFY, following))


def _etrn(server: Server, verb: Verb, argument: str, following: State) -> None:
    server.stop_at(TurnQueue(argument), lambda answer: server.say(answer or reply.CANNOT_ETRN, following))


def _expn(server: Server, verb: Verb, argument: str, following: State) -> None:
    server.stop_at(Expand(argument), lambda answer: server.say(answer or reply.CANNOT_EXPAND, following))


def _quit(server: Server, verb: Verb, argument: str, following: State) -> None:
    server.stop_at(
        Goodbye(), lambda answer: server.say(answer or reply.closing(server.host_name), State.CLOSED)
    )


Command = Callable[["Server", Verb, str, State], None]

COMMANDS: dict[Verb, Command] = {
    Verb.HELO: _helo,
    Verb.EHLO: _helo,
    Verb.MAIL: envelope_commands.mail,
    Verb.RCPT: envelope_commands.rcpt,
    Verb.DATA: _data,
    Verb.RSET: _rset,
    Verb.NOOP: _noop,
    Verb.HELP: _help,
    Verb.VRFY: _vrfy,
    Verb.EXPN: _expn,
    Verb.ETRN: _etrn,
    Verb.QUIT: _quit,
}
