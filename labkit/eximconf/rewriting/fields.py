"""Qualify and rewrite the addresses in a header, field by field.

WHAT       `rewritten_fields(fields, rules, env, may_qualify)` -> the fields, and what the log says.
RULES      From, Sender, Reply-To, To, Cc and Bcc (Resent- ones, too, but for Reply-To). An address without domain gets
           one if the client may send such; else it stays, and no rule sees it. Groups, comments and names stay as they
           are. Only an address that changes is written anew; a field that grows is folded behind it.
SAFE       a name that rules make has no line end; a field remains one field
LIKE EXIM  what cannot be read stays as it is, and the log says so if there are rules; a line is folded behind an
           address that grew and ends more than 40 octets behind the last fold
STANDARDS  Exim specification, chapter "Address rewriting", section "When does rewriting happen?"
READ NEXT  testing.py
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from labkit.eximconf.blanks import BLANKS
from labkit.eximconf.expansion import Env
from labkit.eximconf.mailbox_text import (
    EMPTY_ADDRESS,
    USUAL,
    Grammar,
    Groups,
    MailboxText,
    NoMailbox,
    end_of_mailbox,
    qualified,
    read_mailbox,
)
from labkit.eximconf.rewriting.rewriter import Note, Rules
from labkit.eximconf.rewriting.rules import Where
from labkit.mail.asking import Asking
from labkit.mail.message import HeaderField

_WHERE = {
    "from": Where.FROM,
    "sender": Where.SENDER,
    "to": Where.TO,
    "cc": Where.CC,
    "bcc": Where.BCC,
    "reply-to": Where.REPLY_TO,
}
_NO_RESENT = (Where.REPLY_TO,)
_LONG = 40  # where a fold is worth while
_LINE_END = re.compile(r"\r?\n")


@dataclass(frozen=True, slots=True)
class Qualifying:
    """Which addresses without domain may be completed, and by what (qualify_domain, qualify_recipient)."""

    sender_domain: str
    recipient_domain: str
    senders: bool = True
    recipients: bool = True
    grammar: Grammar = USUAL

    def of(self, where: Where) -> tuple[str, bool]:
        if where.is_recipient:
            return self.recipient_domain, self.recipients
        return self.sender_domain, self.senders


def where_of(field: HeaderField) -> Where | None:
    """Which place its addresses stand in, if it is a field of addresses."""
    name = field.name.strip(" \t").lower()
    bare = name.removeprefix("resent-")
    where = _WHERE.get(bare)
    return None if bare != name and where in _NO_RESENT else where


def rewritten_fields(
    fields: Sequence[HeaderField], rules: Rules, env: Env, may_qualify: Qualifying
) -> Asking[tuple[tuple[HeaderField, ...], list[Note]]]:
    """All fields, those with addresses qualified and rewritten."""
    done, notes = list(fields), []
    for number, field in enumerate(fields):
        where = where_of(field)
        if where is None or not _needs_work(field, where, rules):
            continue
        text = _LINE_END.sub("\n", field.raw.decode("latin-1"))
        work = _Field(text, where, rules, env, may_qualify)
        yield from work.rewrite()
        notes += work.notes
        if work.text != text:
            done[number] = HeaderField(work.text.replace("\n", "\r\n").encode("latin-1", "replace"))
    return tuple(done), notes


def _needs_work(field: HeaderField, where: Where, rules: Rules) -> bool:
    """A field with one address that is complete is the usual case; most configurations have no rules."""
    return bool(rules) or not _COMPLETE.fullmatch(field.raw)


_COMPLETE = re.compile(rb"[^:]*:[ \t]*(?:[A-Za-z ]*<)?[A-Za-z0-9._+=-]+@[A-Za-z0-9.-]+>?\r\n")


class _Field:
    """One field while it is rewritten; `text` with bare line feeds."""

    def __init__(self, text: str, where: Where, rules: Rules, env: Env, may_qualify: Qualifying) -> None:
        self.text = text
        self.where = where
        self.rules = rules
        self.env = env
        self.may_qualify = may_qualify
        self.notes: list[Note] = []
        self.groups = Groups(may_begin=True)
        self.folded_at = 0

    def rewrite(self) -> Asking[None]:
        at = self._skip(self.text.index(":") + 1)
        while at < len(self.text):
            end = end_of_mailbox(self.text, at, line_ends=False)
            following = self._skip(end + 1) if end < len(self.text) else end
            try:
                mailbox = read_mailbox(self.text[at:end], self.groups, grammar=self.may_qualify.grammar)
            except NoMailbox as problem:
                if self.rules and str(problem) != EMPTY_ADDRESS:
                    self.notes.append(Note(f"rewrite: {problem}"))
            else:
                following = yield from self._one(mailbox, at, end, following)
            at = following

    def _skip(self, at: int) -> int:
        while at < len(self.text) and self.text[at] in BLANKS:
            at += 1
        return at

    def _one(self, mailbox: MailboxText, at: int, end: int, following: int) -> Asking[int]:
        """Rewrite the address of the piece at:end. Returns where the next piece is then."""
        domain, is_allowed = self.may_qualify.of(self.where)
        address = qualified(mailbox.text, domain)
        if address != mailbox.text and not is_allowed:
            return following
        start, stop = at + mailbox.start, at + mailbox.end
        done = yield from self.rules.rewrite(address, self.where, self.env)
        self.notes += done.notes
        if not done.is_changed and address == mailbox.text:
            return following
        if done.is_whole:
            start, stop = at, end - (self.text[end - 1] == "\n")
        return self._replaced(start, stop, done.text.replace("\n", " ").replace("\r", " "), following)

    def _replaced(self, start: int, stop: int, new: str, following: int) -> int:
        text = self.text
        grows = len(new) - (stop - start)
        head = f"{text[:start]}{new}{text[stop:following]}"
        fold = ""
        if grows > 0 and len(head) - self.folded_at > _LONG and not _ends_line(text[:following]):
            self.folded_at = len(head)
            fold = "\n\t"
        self.text = f"{head}{fold}{text[following:]}"
        return len(head)


def _ends_line(text: str) -> bool:
    return text.rstrip(" \t").endswith("\n")
