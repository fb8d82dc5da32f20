"""Rewrite one address by rules, in their order.

WHAT       `Rules.rewrite(address, where, env)` -> Rewritten: the new text, and what the log says of it.
RULES      each rule sees what the one before made. $0 is the address, $1 and on what stars and brackets matched,
           $local_part and $domain its parts. A replacement `*` ends the rewriting; a forced failure passes the rule
           over (with the flag q it ends the rewriting); what is no address, or has no domain, ends it, and is told.
LIKE EXIM  the domain is looked at in small letters, and a pattern with a capital in its domain never matches
STANDARDS  Exim specification, chapter "Address rewriting"
READ NEXT  fields.py
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from labkit.eximconf.expansion import Env, Failure, ForcedFailure, Value
from labkit.eximconf.expansion.outcomes import Stop
from labkit.eximconf.expansion.texts import lower
from labkit.eximconf.lists import ListKind, Match, NamedLists
from labkit.eximconf.lists.items import read_item
from labkit.eximconf.lists.kinds import Context, Subject
from labkit.eximconf.lists.patterns import string_pattern
from labkit.eximconf.lists.walking import run
from labkit.eximconf.mailbox_text import MailboxText, NoMailbox, qualified, read_mailbox
from labkit.eximconf.place import Place
from labkit.eximconf.rewriting.phrases import fixed_phrase
from labkit.eximconf.rewriting.rules import Rule, Where, places_of
from labkit.mail.asking import Asking

_MOST_REPEATS = 10
_HERE = Place("rewriting", 0)


@dataclass(frozen=True, slots=True)
class Note:
    """A line for the log. `selector`: the item of log_selector that it needs; "" is for a line that is always told."""

    text: str
    selector: str = ""


@dataclass(slots=True)
class Rewritten:
    """What became of an address. `whole`: in a header, the text with the name around the address."""

    text: str
    is_whole: bool = False
    is_changed: bool = False  # a rule has been applied, though perhaps it made the same text
    notes: list[Note] = field(default_factory=list)


@dataclass(slots=True)
class _Work:
    """An address between two rules. `shown` is it, or (`is_whole`) it with a name; there it stands at start:end."""

    subject: str
    shown: str
    is_whole: bool = False
    is_changed: bool = False
    start: int = 0
    end: int = 0


class Rules:
    """Rules ready to be used. `domain`: what completes an address without one (qualify_recipient)."""

    def __init__(self, rules: Sequence[Rule] = (), named: NamedLists | None = None, domain: str = "") -> None:
        self.rules = tuple(rules)
        self.places = places_of(self.rules)
        self._context = Context(ListKind.DOMAIN, _HERE, named or {}, read_item)
        self._domain = domain

    def __bool__(self) -> bool:
        return bool(self.rules)

    def rewrite(self, address: str, where: Where, env: Env) -> Asking[Rewritten]:
        """Rewrite an address; except for the arguments of SMTP commands it has a domain."""
        done = Rewritten(address)
        if where not in self.places:
            return done
        work = _Work(address, address)
        numbers = env.numbers
        try:
            yield from self._by_all(work, where, env, done.notes)
        finally:
            env.numbers = numbers
        done.text, done.is_whole, done.is_changed = work.shown, work.is_whole, work.is_changed
        return done

    def _by_all(self, work: _Work, where: Where, env: Env, notes: list[Note]) -> Asking[None]:
        for number, rule in enumerate(self.rules, 1):
            if where not in rule.places:
                continue
            repeats = 0
            while (yield from self._matches(rule, work.subject, where, env, notes)):
                goes_on = yield from self._by(rule, number, work, where, env, notes)
                if goes_on is False:
                    return
                if goes_on is None or not rule.repeats:
                    break
                repeats += 1
                if repeats > _MOST_REPEATS:
                    notes.append(Note("rewrite rule repeat ignored after 10 times"))
                    break
            else:
                if rule.quits and repeats:
                    return
                continue
            if rule.quits and goes_on:
                return

    def _matches(self, rule: Rule, subject: str, where: Where, env: Env, notes: list[Note]) -> Asking[bool]:
        """Does the pattern fit? Then $0, $1 and so on are set."""
        if where.is_smtp:
            return (yield from self._fits(rule, subject, env, notes))
        assert rule.addresses is not None, "it has a place besides SMTP"
        local_part, at, domain = subject.rpartition("@")
        found = yield from rule.addresses.asking(
            f"{local_part}{at}{lower(domain)}", env, caseful=True, is_numbered=True
        )
        if not isinstance(found, Match) or not found.found:
            return False
        env.numbers = (subject, *found.numbers[1:]) if found.numbers else ()
        return True

    def _fits(self, rule: Rule, subject: str, env: Env, notes: list[Note]) -> Asking[bool]:
        """The pattern of an S rule, whatever the subject looks like."""
        outcome = yield from rule.pattern.asking(env)
        if not isinstance(outcome, Value):
            if not isinstance(outcome, ForcedFailure):
                text = f'failed to expand "{rule.pattern.text}" while checking for SMTP rewriting: {outcome.message}'
                notes.append(Note(text))
            return False
        pattern = string_pattern(str(outcome.text), self._context, specials=False)
        try:
            hit = yield from run(pattern, Subject(subject, env, numbered=True, caseful=True))
        except Stop:
            return False
        if hit is None:
            return False
        env.numbers = hit.numbers
        return True

    def _by(
        self, rule: Rule, number: int, work: _Work, where: Where, env: Env, notes: list[Note]
    ) -> Asking[bool | None]:
        """Replace by a rule that fits. False: that was all; None: this rule is passed over."""
        if rule.replacement.text == "*" and not where.is_smtp:
            return False
        outcome = yield from _expanded(rule, work.subject, where, env)
        if isinstance(outcome, ForcedFailure):
            return False if rule.quits else None
        if not isinstance(outcome, Value):
            text = f"Expansion of {rule.replacement.text} failed while rewriting: {outcome.message}"
            notes.append(Note(text))
            return False
        new = str(outcome.text)
        try:
            found = read_mailbox(new, may_be_null=where.may_be_null)
        except NoMailbox as problem:
            text = f"Rewrite of {work.subject} yielded unparseable address: {problem} in address {new}"
            notes.append(Note(text))
            return False
        if not found.has_domain and not (where.may_be_null and not found.text):
            if not rule.qualifies:
                notes.append(Note(f'Rewrite of {work.subject} yielded unqualified address "{new}"'))
                return False
            new, found = self._qualified(new, found)
        told = f'"{work.shown}" from {where.value} rewritten as "{new}" by rule {number}'
        notes.append(Note(told, "address_rewrite"))
        _take(work, rule, where, new, found)
        return True

    def _qualified(self, new: str, found: MailboxText) -> tuple[str, MailboxText]:
        text = qualified(found.text, self._domain)
        new = f"{new[: found.start]}{text}{new[found.end :]}"
        return new, MailboxText(text, len(found.text) + 1, found.start, found.start + len(text))


def _expanded(rule: Rule, subject: str, where: Where, env: Env) -> Asking[Value | ForcedFailure | Failure]:
    """The replacement; $local_part and $domain are parts of the address meanwhile."""
    variables = env.variables
    before = {name: variables.get(name) for name in ("local_part", "domain")}
    if not where.is_smtp:
        variables["local_part"], _, variables["domain"] = subject.rpartition("@")
    try:
        outcome = yield from rule.replacement.asking(env)
    finally:
        for name, value in before.items():
            if value is None:
                variables.pop(name, None)
            else:
                variables[name] = value
    return outcome if isinstance(outcome, (Value, ForcedFailure, Failure)) else Failure(outcome.message)


def _take(work: _Work, rule: Rule, where: Where, new: str, found: MailboxText) -> None:
    """The replacement is the address now; with the flag w, in a header, the whole text is."""
    work.subject, work.is_changed = found.text, True
    if where.is_header and rule.is_whole:
        work.shown, work.start, work.end = _with_phrases(new, found)
        work.is_whole = True
    elif where.is_header and work.is_whole:  # a rule before has made the rest
        head, tail = work.shown[: work.start], work.shown[work.end :]
        work.shown, work.end = f"{head}{found.text}{tail}", work.start + len(found.text)
    else:
        work.shown = found.text


def _with_phrases(new: str, found: MailboxText) -> tuple[str, int, int]:
    """The text with valid phrases around `<address>`, and where the address stands."""
    start, end = found.start, found.end
    if new[start - 1 : start] != "<":
        return new, start, end
    opening, closing = start - 1, end + 1
    while opening > 0 and new[opening - 1] == " ":
        opening -= 1
    while new[closing : closing + 1] == " ":
        closing += 1
    before, after = fixed_phrase(new[:opening]), fixed_phrase(new[closing:])
    start = len(before) + start - opening
    return f"{before}{new[opening:closing]}{after}", start, start + len(found.text)
