"""Compile statements for one phase: every line becomes a Check, every message is tied to where it counts.

WHAT       `compile_statements`: a Phased ACL, ready to be walked.
HOW        a message counts if it stands before the line that decides; as lines are met in order, which message that
           is can be told beforehand: each Part carries the messages in force where it stands.
RULES      message, log_message and endpass are no parts: they only say what the parts after them carry.
STANDARDS  Exim specification, sections "Condition and modifier processing", "ACL verbs"
READ NEXT  walking.py
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from labkit.eximconf.configuration import AclStatement
from labkit.eximconf.expansion import Compiled, compile_text
from labkit.eximconf.lists import NamedLists
from labkit.eximconf.reader import Setting
from labkit.smtp.acl import (
    controls,
    dnslists,
    fields,
    listed,
    modifiers,
    nested,
    ratelimit,
    seen,
    signatures,
    simple,
    spam,
    spf,
    verify,
)
from labkit.smtp.acl.phases import Phase
from labkit.smtp.acl.reading import Line, checked
from labkit.smtp.acl.values import Asker, Check, Plain, negated, on_value, wrong


@dataclass(frozen=True, slots=True)
class Part:
    """A line that does something, and the messages that count if it decides."""

    plain: Plain | None
    asking: Asker | None
    written: Setting
    message: Compiled | None = None
    log_message: Compiled | None = None
    endpass: bool = False


@dataclass(frozen=True, slots=True)
class Statement:
    """`end` is no line: it carries what counts when all lines hold."""

    written: AclStatement
    verb: str
    parts: tuple[Part, ...]
    end: Part


@dataclass(frozen=True, slots=True)
class Phased:
    """An ACL for one phase. `name` is how Exim calls it."""

    name: str
    phase: Phase
    statements: tuple[Statement, ...]


@dataclass(frozen=True, slots=True)
class Context:
    """What the makers of checks may need to know."""

    verb: str
    phase: Phase | None  # None: the file is read, and the question is only whether it can be
    lists: NamedLists


def compile_statements(
    name: str, written: Sequence[AclStatement], phase: Phase | None, lists: NamedLists
) -> Phased:
    """Raises ConfigurationError for what is wrong whatever the phase, and for what labkit does not read."""
    statements = tuple([_statement(each, phase, lists) for each in written])
    return Phased(name, phase or Phase.RCPT, statements)


def _statement(written: AclStatement, phase: Phase | None, lists: NamedLists) -> Statement:
    context = Context(written.verb, phase, lists)
    parts: list[Part] = []
    message: Compiled | None = None
    log_message: Compiled | None = None
    endpass = False
    for setting in written.lines:
        line = checked(setting, written.verb)
        name = line.word.name
        if name == "message":
            message = compile_text(line.written.value or "", line.written.place)
        elif name == "log_message":
            log_message = compile_text(line.written.value or "", line.written.place)
        elif name == "endpass":
            endpass = True
        else:
            plain, asking = _check(line, context)
            parts.append(Part(plain, asking, setting, message, log_message, endpass))
    end_message = None if endpass else message  # for accept ... endpass it counts only if something fails
    end = Part(None, None, Setting("", None, written.place), end_message, log_message, endpass)
    return Statement(written, written.verb, tuple(parts), end)


def _check(line: Line, context: Context) -> Check:
    made = _MAKERS[line.word.name](line, context)
    if context.phase is None or context.phase in line.word.phases:
        return made
    return _misplaced(line, context.phase)


def _misplaced(line: Line, phase: Phase) -> Check:
    """A word where it cannot stand. Exim finds it out when it gets there."""
    word = line.word
    what = "use" if word.is_modifier else "test"
    log = f"cannot {what} {word.name} condition in {phase.called} ACL"
    if word.expands:
        return on_value(line.written, lambda scene, value: wrong(scene, log))
    return Check(lambda scene: wrong(scene, log))


def _turned(make: Callable[[Line, Context], Check]) -> Callable[[Line, Context], Check]:
    """For conditions that expand for themselves: a forced failure in a list is no match, and may be turned round."""

    def made(line: Line, context: Context) -> Check:
        check = make(line, context)
        return negated(check) if line.is_negated else check

    return made


def _list(line: Line, context: Context) -> Check:
    return listed.check(line.written, context.lists)


_MAKERS: dict[str, Callable[[Line, Context], Check]] = {
    # conditions
    "acl": _turned(lambda line, context: nested.check(line.written, context.verb)),
    "authenticated": _turned(lambda line, context: listed.authenticated(line.written, context.lists)),
    "condition": lambda line, context: simple.condition(line.written, line.is_negated),
    "dkim_signers": lambda line, context: signatures.check(line.written, line.is_negated, context.lists),
    "dkim_status": lambda line, context: signatures.check(line.written, line.is_negated, context.lists),
    "dnslists": lambda line, context: dnslists.check(line.written, line.is_negated),
    "domains": _turned(_list),
    "encrypted": _turned(lambda line, context: listed.encrypted(line.written, context.lists)),
    "hosts": _turned(_list),
    "local_parts": _turned(_list),
    "ratelimit": lambda line, context: ratelimit.check(line.written, line.is_negated),
    "recipients": _turned(_list),
    "seen": lambda line, context: seen.check(line.written, line.is_negated),
    "sender_domains": _turned(_list),
    "senders": _turned(_list),
    "spam": lambda line, context: spam.check(line.written, line.is_negated),
    "spf": lambda line, context: spf.check(line.written, line.is_negated, guesses=False),
    "spf_guess": lambda line, context: spf.check(line.written, line.is_negated, guesses=True),
    "verify": lambda line, context: verify.check(line.written, line.is_negated, context.verb),
    # modifiers
    "add_header": lambda line, context: fields.add(line.written),
    "continue": lambda line, context: modifiers.go_on(line.written),
    "control": lambda line, context: controls.check(line.written),
    "delay": lambda line, context: modifiers.delay(line.written),
    "log_reject_target": lambda line, context: modifiers.log_reject_target(line.written),
    "logwrite": lambda line, context: modifiers.logwrite(line.written),
    "remove_header": lambda line, context: fields.remove(line.written),
    "set": lambda line, context: modifiers.set_variable(line.written, line.variable),
}
