"""Rewrite a message that comes in: its envelope and its header, by the section `begin rewrite` of the configuration.

WHAT       `rewritten` for a message that is being received; `hook` for decisions that meet addresses later (verifying,
           aliases); `at_smtp_time` for the arguments of MAIL and RCPT.
ORDER      recipients, then the sender (unless verifying it has rewritten it already), then the header
STANDARDS  Exim specification, chapters "Address rewriting", "Message processing" (unqualified addresses)
READ NEXT  session.py, local_message.py
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import Any

from labkit.eximconf.expansion import Env
from labkit.eximconf.rewriting import Note, Qualifying, Rules, Where, rewritten_fields
from labkit.mail.address import AddressSyntaxError, Mailbox
from labkit.mail.asking import Asking, Question, answer_by
from labkit.mail.envelope import Envelope
from labkit.mail.message import Message
from labkit.mta.compiled import Compiled

Tell = Callable[[Note], None]


def qualifying(compiled: Compiled, *, senders: bool = True, recipients: bool = True) -> Qualifying:
    """What completes an address of a header field, if the client may send such."""
    return Qualifying(compiled.qualify_domain, compiled.qualify_recipient, senders, recipients)


def rewritten(
    compiled: Compiled,
    envelope: Envelope,
    message: Message,
    env: Env,
    tell: Tell,
    may_qualify: Qualifying,
    *,
    keeps_sender: bool = False,
) -> Asking[tuple[Envelope, Message]]:
    """The envelope and the message as rules and qualification make them."""
    rules = compiled.rewriting
    if rules:
        became: dict[Mailbox, Mailbox] = {}
        for each in envelope.forward_paths:
            became[each] = (yield from _mailbox(rules, each, Where.ENVELOPE_TO, env, tell)) or each
        sender = envelope.reverse_path
        if sender is not None and not keeps_sender:
            sender = yield from _mailbox(rules, sender, Where.ENVELOPE_FROM, env, tell)
        envelope = replace(
            envelope,
            reverse_path=sender,
            forward_paths=tuple(became[each] for each in envelope.forward_paths),
            wishes=tuple((became.get(each, each), wishes) for each, wishes in envelope.wishes),
        )
    fields, notes = yield from rewritten_fields(message.header_fields, rules, env, may_qualify)
    _tell_all(notes, tell)
    return envelope, replace(message, header_fields=fields)


def _mailbox(rules: Rules, mailbox: Mailbox, where: Where, env: Env, tell: Tell) -> Asking[Mailbox | None]:
    """The mailbox rewritten. None: it became the null path. What mail cannot carry leaves it as it was."""
    done = yield from rules.rewrite(str(mailbox), where, env)
    _tell_all(done.notes, tell)
    if not done.is_changed:
        return mailbox
    if not done.text:
        return None
    try:
        return Mailbox.parse(done.text)
    except AddressSyntaxError as problem:
        tell(Note(f"Rewrite of {mailbox} yielded unparseable address: {problem} in address {done.text}"))
        return mailbox


def at_smtp_time(rules: Rules, env: Env, tell: Tell) -> Callable[[str, bool], str] | None:
    """For the arguments of MAIL (True) and RCPT, before they are read (flag S). None: there are no such rules."""
    if Where.SMTP_SENDER not in rules.places:
        return None

    def rewrite(path: str, is_sender: bool) -> str:
        where = Where.SMTP_SENDER if is_sender else Where.SMTP_RECIPIENT
        done = answer_by(_nobody, rules.rewrite(path, where, env))
        _tell_all(done.notes, tell)
        if not done.text:
            return "<>"
        return done.text if done.text.startswith("<") or not done.is_changed else f"<{done.text}>"

    return rewrite


def _nobody(question: Question[Any]) -> Any:
    raise AssertionError(f"compile_configuration refuses such rules: {question}")


def _tell_all(notes: Iterable[Note], tell: Tell) -> None:
    for note in notes:
        tell(note)


def hook(rules: Rules, tell: Tell) -> Callable[[Env, str, bool], Asking[str]] | None:
    """For decisions: the address rewritten as one of an envelope. None: there are no rules."""
    if not rules.places & {Where.ENVELOPE_FROM, Where.ENVELOPE_TO}:
        return None

    def rewrite(env: Env, address: str, is_recipient: bool) -> Asking[str]:
        where = Where.ENVELOPE_TO if is_recipient else Where.ENVELOPE_FROM
        done = yield from rules.rewrite(address, where, env)
        _tell_all(done.notes, tell)
        return done.text

    return rewrite
