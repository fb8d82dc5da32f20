"""Conditions and modifiers as closures of two colours: plain where nothing can be asked.

WHAT       Check is what a line of a statement becomes; `on_value` makes one of a text to be expanded and a function of
           its value; `negated` turns one round.
RULES      a forced failure: the line is ignored, whether negated or not; a failure is WRONG, a defer LATER.
STANDARDS  Exim specification, section "Condition and modifier processing"
READ NEXT  compiling.py
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from labkit.eximconf.expansion import Compiled, Defer, Failure, ForcedFailure, Value, compile_text
from labkit.eximconf.reader import Setting
from labkit.mail.asking import Asking
from labkit.smtp.acl.scene import Scene
from labkit.smtp.acl.verdicts import Found

Plain = Callable[[Scene], Found]
Asker = Callable[[Scene], Asking[Found]]
Decide = Callable[[Scene, str], Found]
AskingDecide = Callable[[Scene, str], Asking[Found]]
YES, NO = Found.YES, Found.NO


class Check(NamedTuple):
    """One of the two: plain, or asking where plain is None."""

    plain: Plain | None
    asking: Asker | None = None


def value_of(line: Setting) -> str:
    assert line.value is not None, "reading.py has seen to it"
    return line.value


def compiled(line: Setting) -> Compiled:
    return compile_text(value_of(line), line.place)


def turned(found: Found) -> Found:
    """What a negated condition finds."""
    if found is YES:
        return NO
    return YES if found in (NO, Found.DROP) else found


def negated(check: Check) -> Check:
    """The same check turned round."""
    plain, asking = check
    if plain is not None:
        once = plain
        return Check(lambda scene: turned(once(scene)))
    assert asking is not None

    def asked(scene: Scene) -> Asking[Found]:
        return turned((yield from asking(scene)))

    return Check(None, asked)


def on_value(line: Setting, decide: Decide, *, turns: bool = False) -> Check:
    """Expand the value of the line, and decide. What is constant is told once, not expanded each time."""
    text = compiled(line)
    decided: Decide = (lambda scene, value: turned(decide(scene, value))) if turns else decide
    if (constant := text.code.constant) is not None:
        return Check(lambda scene: decided(scene, constant))
    if text.can_ask:

        def asking(scene: Scene) -> Asking[Found]:
            outcome = yield from text.asking(scene.env)
            if isinstance(outcome, Value):
                return decided(scene, outcome.text)
            return not_expanded(scene, text.text, outcome)

        return Check(None, asking)

    def plain(scene: Scene) -> Found:
        outcome = text.expand(scene.env)
        if isinstance(outcome, Value):
            return decided(scene, outcome.text)
        return not_expanded(scene, text.text, outcome)

    return Check(plain)


def on_value_asking(line: Setting, decide: AskingDecide, *, turns: bool = False) -> Check:
    """The same for what asks something of its own."""
    text = compiled(line)

    def asking(scene: Scene) -> Asking[Found]:
        outcome = text.expand(scene.env) if not text.can_ask else (yield from text.asking(scene.env))
        if not isinstance(outcome, Value):
            return not_expanded(scene, text.text, outcome)
        found = yield from decide(scene, outcome.text)
        return turned(found) if turns else found

    return Check(None, asking)


def not_expanded(scene: Scene, text: str, outcome: ForcedFailure | Failure | Defer) -> Found:
    """What a line says whose value could not be expanded."""
    if isinstance(outcome, ForcedFailure):
        scene.because = "ignored: its value is a forced failure"
        return YES
    scene.log = f'failed to expand ACL string "{text}": {outcome.message}'
    scene.because = scene.log
    return Found.LATER if isinstance(outcome, Defer) else Found.WRONG


def wrong(scene: Scene, log: str) -> Found:
    """A mistake that only shows now: 451 for the client, the reason for the log."""
    scene.log = scene.because = log
    return Found.WRONG
