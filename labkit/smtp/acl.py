"""Access control lists: who may send what to whom.

WHAT       `compile_acl` turns the statements of the file into an Acl; `Acl.decide` walks them and answers.
DECIDES    the reply to a command. Whatever it has to find out (is this recipient good?) it asks.
STANDARDS  Exim specification, chapter "Access control lists"
LIKE EXIM  statements in order; all conditions of one must hold; at the end of the list: deny; a message counts
           only if it stands before the condition that fails; what cannot be found out is put off with 451
NOT YET    verbs, conditions and modifiers outside the tables below: refused by name
READ NEXT  trace_fields.py
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

from labkit.eximconf.configuration import AclStatement, Configuration
from labkit.eximconf.expand import compile_expansion
from labkit.eximconf.lists import Here, ListKind, compile_list
from labkit.eximconf.reader import ConfigurationError, Setting
from labkit.mail import reply
from labkit.mail.address import Mailbox
from labkit.mail.asking import Asking, ask
from labkit.mail.questions import Verification, VerifyRecipient
from labkit.mail.reply import Reply


@dataclass(frozen=True, slots=True)
class Subject:
    """What an ACL looks at: the client, the envelope so far, and the recipient at hand."""

    client_address: str
    helo_name: str
    reverse_path: Mailbox | None
    recipient: Mailbox


@dataclass(frozen=True, slots=True)
class AclStep:
    """One statement looked at: what decided in it, and whether the statement applied."""

    statement: AclStatement
    applied: bool
    because: str


@dataclass(frozen=True, slots=True)
class AclVerdict:
    """The answer (None accepts) and the steps that led to it; `acceptance` is what an accepting message says."""

    refusal: Reply | None
    steps: tuple[AclStep, ...]
    acceptance: Reply | None = None


@dataclass(frozen=True, slots=True)
class _Found:
    """Whether a condition holds (None: it cannot be found out now), and the words it brings along if it does not."""

    holds: bool | None
    text: str
    words: str = ""


_Check: TypeAlias = Callable[[Subject, Here], Asking[_Found]]
_Condition: TypeAlias = Callable[[Setting, Configuration], _Check]


@dataclass(frozen=True, slots=True)
class _Statement:
    written: AclStatement
    parts: tuple[_Check | str, ...]  # conditions and messages, in order


@dataclass(frozen=True, slots=True)
class Acl:
    """A compiled access control list."""

    name: str
    statements: tuple[_Statement, ...]

    def decide(self, subject: Subject, here: Here) -> Asking[AclVerdict]:
        """Walk the statements until one decides. Asks VerifyRecipient where a condition needs it."""
        steps: list[AclStep] = []
        words = ""
        for statement in self.statements:
            found = yield from _look(statement, subject, here)
            verb, words = statement.written.verb, found.words
            steps.append(AclStep(statement.written, bool(found.holds), found.text))
            if verb == "warn":
                words = ""
            elif found.holds is None:
                return AclVerdict(reply.LOCAL_PROBLEM, tuple(steps))
            elif verb == "accept" and found.holds:
                return AclVerdict(None, tuple(steps), reply.worded(250, words) if words else None)
            elif (verb, found.holds) in (("deny", True), ("require", False)):
                break
            elif verb == "defer" and found.holds:
                return AclVerdict(reply.worded(451, words or reply.LOCAL_PROBLEM.text), tuple(steps))
        # one of them denied, or the end of the list does
        return AclVerdict(reply.worded(550, words or reply.ADMINISTRATIVE_PROHIBITION.text), tuple(steps))


def compile_acl(configuration: Configuration, name: str) -> Acl:
    """Compile the ACL of that name. Raises ConfigurationError for what labkit does not read."""
    return Acl(
        name,
        tuple(
            _Statement(written, tuple(_part(line, written.verb, configuration) for line in written.lines))
            for written in configuration.acls[name]
        ),
    )


def _look(statement: _Statement, subject: Subject, here: Here) -> Asking[_Found]:
    """Look at the conditions in order; the first that does not hold ends it."""
    texts: list[str] = []
    message = words = ""
    holds: bool | None = True
    for part in statement.parts:
        if isinstance(part, str):
            message = part
            continue
        found = yield from part(subject, here)
        texts.append(found.text)
        words = found.words or words
        holds = found.holds
        if not holds:
            break
    verb = statement.written.verb
    if verb == "accept" and holds:
        words = ""
    if (verb, holds) in _MESSAGE_COUNTS:
        words = message or words
    text = ", ".join(texts) if holds else texts[-1]
    return _Found(holds, text or "no condition", words)


_MESSAGE_COUNTS = frozenset(
    {("accept", True), ("accept", False), ("deny", True), ("defer", True), ("require", False)}
)


def _part(line: Setting, verb: str, configuration: Configuration) -> _Check | str:
    name = line.name.removeprefix("!")
    if line.value is None:
        raise ConfigurationError(
            line.place, f'"=" missing after ACL "{name}" in {line.name!r}', f"write: {line.name} = …"
        )
    if name == "message":
        return _message(line, line.value, verb)
    return _check(line, configuration)


def _check(line: Setting, configuration: Configuration) -> _Check:
    negated = line.name.startswith("!")
    name = line.name.removeprefix("!")
    if name not in _CONDITIONS:
        raise ConfigurationError(
            line.place,
            f'the ACL condition or modifier "{name}" is not known to labkit',
            f"labkit has: message, {', '.join(_CONDITIONS)}; for others run the host on a real Exim",
        )
    check = _CONDITIONS[name](line, configuration)

    def negation(subject: Subject, here: Here) -> Asking[_Found]:
        found = yield from check(subject, here)
        holds = None if found.holds is None else not found.holds
        return _Found(holds, f"not ({found.text})", found.words)

    return negation if negated else check


def _list_condition(kind: ListKind, of: Callable[[Subject], str], what: str) -> _Condition:
    def compile_condition(line: Setting, configuration: Configuration) -> _Check:
        patterns = compile_list(kind, line.value or "", line.place, configuration.lists)

        def check(subject: Subject, here: Here) -> Asking[_Found]:
            match = patterns.look(of(subject), here)
            item = f" by {match.item}" if match.item else ""
            verdict = "is" if match.found else "is not"
            return _Found(match.found, f"{what} {of(subject) or 'nobody'} {verdict} in {patterns.text}{item}")
            yield  # a list asks nothing yet; look-ups will

        return check

    return compile_condition


def _verify(line: Setting, configuration: Configuration) -> _Check:
    if line.value != "recipient":
        raise ConfigurationError(
            line.place, f"verify = {line.value} is not known to labkit", "labkit has: verify = recipient"
        )

    def check(subject: Subject, here: Here) -> Asking[_Found]:
        verification: Verification = yield from ask(VerifyRecipient(subject.recipient))
        refusal = verification.refusal
        if refusal is None:
            return _Found(True, f"{subject.recipient} is deliverable")
        holds = None if refusal.is_transient else False
        text = f"{subject.recipient} is not deliverable ({refusal})"
        return _Found(holds, text, "\n".join(refusal.lines))

    return check


_CONDITIONS: dict[str, _Condition] = {
    "domains": _list_condition(ListKind.DOMAIN, lambda s: s.recipient.domain, "domain"),
    "hosts": _list_condition(ListKind.HOST, lambda s: s.client_address, "client"),
    "local_parts": _list_condition(ListKind.LOCAL_PART, lambda s: s.recipient.local_part, "local part"),
    "verify": _verify,
}


def _message(line: Setting, value: str, verb: str) -> str:
    if line.name.startswith("!"):
        raise ConfigurationError(
            line.place, 'ACL error: negation is not allowed with "message"', "write: message = …"
        )
    if verb == "warn":
        problem = "a message in a warn statement (Exim makes a header field of it) is not read by labkit yet"
        raise ConfigurationError(line.place, problem, "a real Exim can run it")
    expansion = compile_expansion(value, line.place)
    if any(not isinstance(part, str) for part in expansion.parts):
        raise ConfigurationError(
            line.place, "an expansion in a message is not read by labkit yet", "write plain words"
        )
    text = expansion.expand({})
    if "\r" in text:
        raise ConfigurationError(line.place, "a CR in a message", "write \\n where a new line is meant")
    return text
