"""MAIL and RCPT: the commands that say what is on the envelope.

WHAT       one function for each: read the path and its parameters, refuse what is wrong, else stop at the decision.
DECIDES    syntax and limits; policy is never decided here.
STANDARDS  RFC 5321 §4.1.1.2, §4.1.1.3; RFC 1870 (SIZE); RFC 6152 (8BITMIME); RFC 3461 §4 (delivery reports)
READ NEXT  server_commands.py
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from labkit.mail import reply
from labkit.mail.address import AddressSyntaxError, Mailbox, read_path
from labkit.mail.reply import Reply
from labkit.smtp.commands import read_parameters
from labkit.smtp.decisions import MailFrom, RcptTo
from labkit.smtp.states import State, Verb

if TYPE_CHECKING:
    from labkit.smtp.server import Server


def mail(server: Server, verb: Verb, argument: str, following: State) -> None:
    server.mail_refused = True  # until it is accepted
    try:
        mailbox, rest = read_path(argument)
    except AddressSyntaxError as problem:
        server.refuse_error(reply.bad_address(argument, problem) if argument else reply.NO_ADDRESS)
        return
    if mailbox is not None and not mailbox.domain:
        server.say(reply.bad_address(argument, "sender address must contain a domain"), server.state)
        return
    size: int | None = None
    body = "7BIT"
    for name, value in read_parameters(rest, server.is_esmtp):
        if name == "SIZE":  # what is no number says nothing
            size = int(value[:20]) if value.isdigit() else None
        elif name == "BODY" and value.upper() in ("7BIT", "8BITMIME"):
            body = value.upper()
        elif name == "BODY" and value:
            server.refuse_error(reply.INVALID_BODY)
            return
        else:
            server.refuse_error(_may_not_follow(argument, name, rest))
            return
    if size is not None and size > server.limits.message_size:
        server.say(reply.MESSAGE_TOO_BIG, server.state)
        return

    def then(answer: Reply | None) -> None:
        if answer is None or answer.is_positive:
            server.mail_refused = False
            server.transaction.reverse_path = mailbox
            server.say(answer or reply.OK, following)
        else:
            server.say(answer, server.state)

    server.forget_transaction()
    server.stop_at(MailFrom(mailbox, size, body), then)


def rcpt(server: Server, verb: Verb, argument: str, following: State) -> None:
    transaction = server.transaction
    mailbox = _recipient(server, argument)
    if isinstance(mailbox, Reply):
        transaction.refused(bytes(mailbox))
        server.refuse_error(mailbox)
        return
    if not mailbox.domain:  # Exim does not count it as an error of syntax
        refusal = reply.bad_address(argument, "recipient address must contain a domain")
        transaction.refused(bytes(refusal))
        server.say(refusal, server.state)
        return
    if len(transaction.forward_paths) >= server.limits.recipients:
        transaction.refused(bytes(reply.TOO_MANY_RECIPIENTS), is_transient=True)
        server.say(reply.TOO_MANY_RECIPIENTS, server.state)
        return

    def then(answer: Reply | None) -> None:
        if answer is None or answer.is_positive:
            transaction.forward_paths.append(mailbox)
            server.say(answer or reply.ACCEPTED, following)
        else:
            # what an ACL says is noted without its code, which the lines of the next reply have anyway
            words = "\n".join(answer.lines).encode("utf-8", "surrogateescape")
            transaction.refused(words, is_transient=answer.is_transient)
            server.say(answer, server.state)

    server.stop_at(RcptTo(transaction.reverse_path, mailbox), then)


def _recipient(server: Server, argument: str) -> Mailbox | Reply:
    """The address of RCPT, or what is wrong with it."""
    try:
        mailbox, rest = read_path(argument)
    except AddressSyntaxError as problem:
        return reply.bad_address(argument, problem) if argument else reply.NO_RECIPIENT_ADDRESS
    if mailbox is None:
        return reply.bad_address(argument, "missing or malformed local part")
    if rest.strip():
        return _may_not_follow(argument, rest.strip(), rest)
    if not mailbox.domain and mailbox.local_part.lower() == "postmaster":  # RFC 5321 §4.5.1
        return Mailbox(mailbox.local_part, server.qualify_domain)
    return mailbox


def _may_not_follow(argument: str, name: str, rest: str) -> Reply:
    path = argument[: len(argument) - len(rest.rstrip(" \t"))] if rest.strip() else argument
    return reply.bad_address(argument, f"malformed address: {name} may not follow {path.strip()}")
