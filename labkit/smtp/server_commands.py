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
from labkit.smtp import chunk_commands, envelope_commands, security_commands
from labkit.smtp.commands import LONGEST_HELO_NAME, is_helo_name
from labkit.smtp.decisions import DataBegins, Expand, Goodbye, Greeted, TurnQueue, Verify
from labkit.smtp.incidents import PROTOCOL, Incident, Refused
from labkit.smtp.states import State, Verb
from labkit.smtp.transcript import printed

if TYPE_CHECKING:
    from labkit.smtp.server import Server


def _helo(server: Server, verb: Verb, argument: str, following: State) -> None:
    allowed = server.allowances
    is_junk = allowed.junk_helo and len(argument) <= LONGEST_HELO_NAME
    if not (is_junk or is_helo_name(argument, allowed.helo_characters)):
        _refuse_greeting(server, verb, argument)
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


def _refuse_greeting(server: Server, verb: Verb, argument: str) -> None:
    """At the last one the session ends, without a word about it."""
    refusal, shown = reply.bad_greeting(verb.value), printed(argument) or "(no argument given)"
    why = f"syntactically invalid argument(s): {shown}"
    server.report(
        Incident(
            f"rejected {verb.value} from",
            f": {why}",
            named=False,
            refused=Refused(refusal, why, verb.value),
        )
    )
    is_last = server.counting.error()
    if is_last:
        server.report_last_straw()
    server.say(refusal, State.CLOSED if is_last else server.state)


def _hello(server: Server, answer: Reply | None) -> Reply:
    """Our answer to HELO or EHLO: its first line may be somebody else's, the extensions are ours."""
    code, greeting = 250, f"{server.host_name} Hello {server.helo_name} [{server.client_address}]"
    if answer is not None:
        code, greeting = answer.code, answer.lines[0]
    if not server.is_esmtp:
        return Reply(code, (greeting,))
    return Reply(code, (greeting, *server.extensions.keywords(server.limits.message_size)))


def _data(server: Server, verb: Verb, argument: str, following: State) -> None:
    if server.transaction.has_too_many and server.limits.rejects_excess:
        server.forget_transaction()
        server.say(reply.MESSAGE_WITH_TOO_MANY_RECIPIENTS, State.READY)
        return

    def then(answer: Reply | None) -> None:
        if answer is not None and not answer.is_positive:
            server.say(answer, server.state)
        elif server.is_out_of_step():  # the message came before we asked for it
            server.refuse_sync()
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
    offered = server.extensions
    server.say(reply.commands_supported(offered.commands, starttls=offered.starttls), following)


def _vrfy(server: Server, verb: Verb, argument: str, following: State) -> None:
    if not argument:
        server.refuse_error(reply.EMPTY_ADDRESS)
        return
    server.stop_at(Verify(argument), lambda answer: server.say(answer or reply.CANNOT_VERIFY, following))


def _etrn(server: Server, verb: Verb, argument: str, following: State) -> None:
    if server.envelope is not None:
        server.refuse_error(reply.ETRN_IN_TRANSACTION, PROTOCOL)
        return
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
    Verb.BDAT: chunk_commands.bdat,
    Verb.RSET: _rset,
    Verb.NOOP: _noop,
    Verb.HELP: _help,
    Verb.VRFY: _vrfy,
    Verb.EXPN: _expn,
    Verb.ETRN: _etrn,
    Verb.STARTTLS: security_commands.starttls,
    Verb.AUTH: security_commands.auth,
    Verb.QUIT: _quit,
}
