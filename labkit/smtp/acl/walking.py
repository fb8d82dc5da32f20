"""Walk the statements of an ACL until one decides.

DECIDES    what each verb makes of its lines (accept, defer, deny, discard, drop, require, warn), which message counts,
           and that the end of the list denies.
LIKE EXIM  what a failed accept or require had to say is still there at the end of the list; warn leaves nothing; a
           verb other than accept and warn for QUIT is a mistake
STANDARDS  Exim specification, sections "ACL verbs", "ACL modifiers"
READ NEXT  acls.py
"""

from __future__ import annotations

from labkit.eximconf.expansion import Compiled, ForcedFailure, Value
from labkit.mail.asking import Asking
from labkit.smtp.acl.compiling import Part, Phased, Statement
from labkit.smtp.acl.fields import add_fields
from labkit.smtp.acl.phases import ENDINGS
from labkit.smtp.acl.scene import LogLine, Scene
from labkit.smtp.acl.texts import host_and_ident, printed
from labkit.smtp.acl.verdicts import AclStep, Found, Look

YES, NO, DROP, DISCARD = Found.YES, Found.NO, Found.DROP, Found.DISCARD
LATER, WRONG, BROKEN = Found.LATER, Found.WRONG, Found.BROKEN
# For which outcomes message and log_message count. Of accept and discard the failures count, too: their words stay
# until the next statement begins, and the end of the list says them.
_COUNTS = {
    "accept": (YES, NO, DROP),
    "defer": (YES,),
    "deny": (YES,),
    "discard": (YES, NO, DROP),
    "drop": (YES,),
    "require": (NO, DROP),
    "warn": (YES,),
}
_QUIET = {"deny": NO, "warn": NO, "defer": NO, "drop": NO, "require": YES}  # with which nothing has happened
_WHEN_ALL_HOLD = {"accept": YES, "defer": LATER, "deny": NO, "discard": DISCARD, "drop": DROP}


def walk(acl: Phased, scene: Scene) -> Asking[Found]:
    """Walk them. What the client would hear is then in scene.words, what the log would say in scene.log."""
    for statement in acl.statements:
        scene.words = scene.log = None
        scene.tells = scene.was_callout = False
        found, last = YES, statement.end
        if scene.watched:
            found, last = yield from _watched(statement, scene)
        else:
            for part in statement.parts:
                plain = part.plain
                if plain is not None:
                    found = plain(scene)
                elif part.asking is not None:
                    found = yield from part.asking(scene)
                if found is not YES:
                    last = part
                    break
        verb = statement.verb
        if "acl_verify_message" in scene.env.variables:
            del scene.env.variables["acl_verify_message"]
        if found is _QUIET.get(verb):
            if verb == "warn":
                scene.words = scene.log = None
            continue
        if found in _COUNTS[verb]:
            if last.message is not None or last.log_message is not None:
                yield from _say(verb, found, last, scene)
            elif verb == "warn" or (found is YES and verb in ("accept", "discard")):
                scene.words = scene.log = None
            elif scene.log is None:
                scene.log = scene.words
        decided = _decided(verb, found, last, scene)
        if decided is not None:
            if scene.level == 0 and acl.phase in ENDINGS and verb not in ("accept", "warn"):
                scene.log = f"QUIT or not-QUIT toplevel ACL may not fail ('{verb}' verb used incorrectly)"
                return WRONG
            return decided
    return NO


def _decided(verb: str, found: Found, last: Part, scene: Scene) -> Found | None:
    """What the statement decides; None: the next one is asked."""
    if found is YES:
        if verb == "warn":
            _warn(scene)
        elif verb == "defer":
            scene.tells = True
        return _WHEN_ALL_HOLD.get(verb)
    if found is WRONG or found is BROKEN:
        return found
    if found is LATER:
        scene.tells = scene.tells or scene.was_callout or scene.gives_details
        if verb != "warn":
            return LATER
        log_skipped(scene)
    elif verb == "require" or (verb in ("accept", "discard") and (found is DISCARD or last.endpass)):
        return found
    if verb == "warn":
        scene.words = scene.log = None
    return None


def _say(verb: str, found: Found, last: Part, scene: Scene) -> Asking[None]:
    """Put the words of message and log_message in place of, or before, what the conditions had to say."""
    words, log = scene.words, scene.log if scene.log is not None else scene.words
    if verb == "warn" or (found is YES and verb in ("accept", "discard")):
        scene.words = scene.log = None
    if last.message is not None:
        text = yield from _expanded(last.message, words, scene)
        scene.words = text or scene.words
    if last.log_message is not None:
        text = yield from _expanded(last.log_message, log, scene)
        if text:
            scene.log = text if scene.log is None else f"{text}: {scene.log}"
    if scene.log is None:
        scene.log = scene.words
    scene.env.variables.pop("acl_verify_message", None)


def _expanded(message: Compiled, before: str | None, scene: Scene) -> Asking[str]:
    """The text of a message; an empty one counts as none, and so does one that cannot be expanded."""
    if (constant := message.code.constant) is not None:
        return constant
    scene.env.variables["acl_verify_message"] = before or ""
    outcome = yield from message.asking(scene.env)
    if isinstance(outcome, Value):
        return outcome.text
    if not isinstance(outcome, ForcedFailure):
        text = f'failed to expand ACL message "{message.text}": {outcome.message}'
        scene.logged.append(LogLine(text, ("main", "panic")))
    return ""


def _warn(scene: Scene) -> None:
    """A warn whose conditions hold: a line for the log, once for a message; its message is a header field."""
    words, log = scene.words, scene.log
    if log is not None and log is not words:
        text = f"{host_and_ident(scene.env)} Warning: {printed(log)}"
        failed = scene.failed_sender
        if failed is not None and failed.verification is not None and log.lower() == "sender verify failed":
            text += f": {failed.verification.reason or failed.verification.words}"
        if text not in scene.memory.warned:
            scene.memory.warned.add(text)
            scene.logged.append(LogLine(text))
    if words is not None:
        if scene.phase.is_of_a_message:
            add_fields(scene, words)
        else:
            text = (
                f'ACL "warn" with "message" setting found in a non-message ({scene.phase.called}) ACL: '
                "cannot specify header lines here: message ignored"
            )
            scene.logged.append(LogLine(text, ("main", "panic")))
    scene.words = scene.log = None


def log_skipped(scene: Scene) -> None:
    """A warn that could not find something out goes on, and says so in the log."""
    why = f": {scene.log}" if scene.log else ""
    text = f'{host_and_ident(scene.env)} Warning: ACL "warn" statement skipped: condition test deferred{why}'
    scene.logged.append(LogLine(text))


def _watched(statement: Statement, scene: Scene) -> Asking[tuple[Found, Part]]:
    """Look at the lines as above, and write down what each of them found."""
    found, last = YES, statement.end
    looks: list[Look] = []
    around = scene.steps
    for part in statement.parts:
        scene.because = ""
        scene.steps = []
        if part.plain is not None:
            found = part.plain(scene)
        elif part.asking is not None:
            found = yield from part.asking(scene)
        name = part.written.name
        because = scene.because or f"{name} = {part.written.value}"
        if name[0] == "!":
            because = f"not ({because})"
        looks.append(Look(part.written, found, because, tuple(scene.steps)))
        if found is not YES:
            last = part
            break
    scene.steps = around
    because = ", ".join([look.because for look in looks]) if found is YES else looks[-1].because
    around.append(AclStep(statement.written, found is YES, because or "no condition", tuple(looks)))
    return found, last
