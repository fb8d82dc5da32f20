"""MAIL and RCPT: the commands that say what is on the envelope.

WHAT       one function for each: read the path and its parameters, refuse what is wrong, else stop at the decision.
DECIDES    syntax and limits; policy is never decided here.
STANDARDS  RFC 5321 §4.1.1.2, §4.1.1.3; RFC 1870 (SIZE)
READ NEXT  server_commands.py
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from labkit.mail import reply
from labkit.mail.address import AddressSyntaxError, Mailbox, read_path
from labkit.mail.envelope import NO_WISHES, Wishes
from labkit.mail.reply import Reply
from labkit.smtp.decisions import MailFrom, RcptTo
from labkit.smtp.incidents import PROTOCOL, SYNTAX, Incident, Refused
from labkit.smtp.parameters import LARGEST, MailParameters, wishes_in
from labkit.smtp.states import State, Verb

if TYPE_CHECKING:
    from labkit.smtp.server import Server

SHOWN = 32  # characters of what may not follow an address that Exim shows


def mail(server: Server, verb: Verb, argument: str, following: State) -> None:
    server.mail_refused = True  # until it is accepted
    if not argument:
        server.refuse_error(reply.NO_ADDRESS, PROTOCOL)
        return
    if 0 < server.limits.messages < server.counting.mails:
        server.report(
            Incident(
                "rejected MAIL command",
                ": too many messages in one connection",
                refused=Refused(reply.TOO_MANY_MESSAGES, "too many messages in one connection", "MAIL"),
            )
        )
        server.say(reply.TOO_MANY_MESSAGES, server.state, stays=True)  # Exim waits for the client to go
        return
    said = MailParameters()
    text = said.read(argument, server.extensions) if server.is_esmtp else argument
    if isinstance(text, Reply):
        server.refuse_error(text)
        return
    mailbox = _path(server, text)
    if isinstance(mailbox, Reply):
        return
    if not _fits(server, mailbox, said.size):
        return
    if mailbox is not None and not mailbox.domain:
        if not server.allowances.unqualified_sender:
            _refuse_unqualified(server, "sender", mailbox, text)
            return
        mailbox = Mailbox(mailbox.local_part, server.qualify_sender)
    server.forget_transaction()
    transaction = server.transaction

    def then(answer: Reply | None) -> None:
        if answer is None or answer.is_positive:
            server.mail_refused = False
            transaction.reverse_path = mailbox
            transaction.returns, transaction.identifier = said.returns, said.identifier or ""
            server.say(answer or reply.OK, following)
        else:
            server.say(answer, server.state)

    decision = MailFrom(mailbox, said.size, said.body, said.returns, said.identifier or "", said.auth)
    server.stop_at(decision, then)


def rcpt(server: Server, verb: Verb, argument: str, following: State) -> None:
    transaction = server.transaction
    read = _recipient(server, argument)
    if read is None:
        return
    mailbox, wishes = read
    if transaction.rcpt_count > server.limits.recipients:
        _refuse_excess(server)
        return

    def then(answer: Reply | None) -> None:
        if answer is None or answer.is_positive:
            transaction.accept(mailbox, wishes)
            server.say(answer or reply.ACCEPTED, following)
        else:
            # what an ACL says is noted without its code, which the lines of the next reply have anyway
            words = "\n".join(answer.lines).encode("utf-8", "surrogateescape")
            transaction.refused(words, is_transient=answer.is_transient)
            server.say(answer, server.state)

    server.stop_at(RcptTo(transaction.reverse_path, mailbox, wishes), then)


def _recipient(server: Server, argument: str) -> tuple[Mailbox, Wishes] | None:
    """The address of RCPT and what is wished for it; None if it was refused."""
    refused = server.transaction.refused
    if not argument:
        refused(bytes(reply.NO_RECIPIENT_ADDRESS))
        server.refuse_error(reply.NO_RECIPIENT_ADDRESS)
        return None
    read = wishes_in(argument, server.extensions) if server.is_esmtp else (argument, NO_WISHES)
    if isinstance(read, Reply):
        refused(bytes(read))
        server.refuse_error(read)
        return None
    text, wishes = read
    mailbox = _path(server, text, on_refused=lambda refusal: refused(bytes(refusal)), may_be_null=False)
    if isinstance(mailbox, Reply) or mailbox is None:
        return None
    if not mailbox.domain:
        is_postmaster = mailbox.local_part.lower() == "postmaster"  # RFC 5321 §4.5.1
        if not (is_postmaster or server.allowances.unqualified_recipient):
            refused(bytes(_refuse_unqualified(server, "recipient", mailbox, text)))
            return None
        mailbox = Mailbox(mailbox.local_part, server.qualify_domain)
    return mailbox, wishes


def _path(
    server: Server,
    text: str,
    *,
    on_refused: Callable[[Reply], None] | None = None,
    may_be_null: bool = True,
) -> Mailbox | Reply | None:
    """The path; a Reply if it was refused with that. None is the null path."""
    try:
        path = server.rewritten(text, is_sender=may_be_null)
        mailbox, rest = read_path(path)
        if mailbox is None and not may_be_null:
            raise AddressSyntaxError("missing or malformed local part")
        if rest.strip(" \t"):
            path = text[: len(text) - len(rest.lstrip(" \t"))]
            shown = rest.strip(" \t")[:SHOWN]
            raise AddressSyntaxError(f"malformed address: {shown} may not follow {path}")
    except AddressSyntaxError as problem:
        refusal = reply.bad_address(text, problem)
        if on_refused is not None:
            on_refused(refusal)
        server.refuse_error(refusal, SYNTAX, str(problem))
        return refusal
    return mailbox


def _fits(server: Server, sender: Mailbox | None, size: int | None) -> bool:
    """Whether the size that MAIL tells may be; else it is refused."""
    limit = server.limits.message_size
    if size is None or size <= limit:
        return True
    why = f"message too big: size{'>' if size == LARGEST else ''}={size} max={limit}"
    shown = "" if sender is None else str(sender)
    server.report(
        Incident(
            f"rejected MAIL FROM:<{shown}>",
            f": {why}",
            selector="size_reject",
            refused=Refused(reply.MESSAGE_TOO_BIG, why, None, shown),
        )
    )
    server.say(reply.MESSAGE_TOO_BIG, server.state)
    return False


def _refuse_unqualified(server: Server, what: str, mailbox: Mailbox, text: str) -> Reply:
    """Exim does not count it as an error of syntax."""
    refusal = reply.bad_address(text, f"{what} address must contain a domain")
    server.report(Incident(f"unqualified {what} rejected: <{mailbox}>", selector=SYNTAX))
    server.say(refusal, server.state)
    return refusal


def _refuse_excess(server: Server) -> None:
    """One recipient too many; the log hears of the first."""
    transaction = server.transaction
    is_final = server.limits.rejects_excess
    if not transaction.has_too_many:
        sender = "" if transaction.reverse_path is None else transaction.reverse_path
        what = "message rejected" if is_final else "excess temporarily rejected"
        server.report(Incident(f"too many recipients: {what}: sender=<{sender}>"))
    transaction.has_too_many = True
    refusal = reply.TOO_MANY_RECIPIENTS_EVER if is_final else reply.TOO_MANY_RECIPIENTS
    transaction.refused(bytes(refusal), is_transient=not is_final)
    server.say(refusal, server.state)
