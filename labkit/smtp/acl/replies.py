"""Shape what an ACL had to say into the reply for the client and the text for the log.

WHAT       `refusal`, `acceptance`: the reply, with the lines that go before it when a sender could not be verified;
           `rejected`: Exim's log line.
LIKE EXIM  a code at the beginning of a message counts if it is of the right class, and goes in any case; a 451 keeps
           its reasons to itself unless defer, a callout or smtp_return_error_details says them
STANDARDS  RFC 5321 §4.2; Exim specification, section "ACL modifiers" (message)
READ NEXT  acls.py
"""

from __future__ import annotations

import re

from labkit.mail.reply import LOCAL_PROBLEM, Reply, code_of, folded, shaped
from labkit.smtp.acl.phases import ENDINGS, Phase
from labkit.smtp.acl.scene import Checked, LogLine, Scene
from labkit.smtp.acl.texts import host_and_ident, printed
from labkit.smtp.acl.verdicts import AclVerdict, Found, Result

_PROHIBITED = "Administrative prohibition"
_POSTMASTER = (
    "Postmaster verification failed while checking <{0}>\n{1}\n"
    "Several RFCs state that you are required to have a postmaster\n"
    "mailbox for each mail domain. This host does not accept mail\n"
    "from domains whose servers reject the postmaster address."
)
_CALLBACK = (
    "Callback setup failed while verifying <{0}>\n{1}\n"
    "The initial connection, or a HELO or MAIL FROM:<> command was\n"
    "rejected. Refusing MAIL FROM:<> does not help fight spam, disregards\n"
    "RFC requirements, and stops you from receiving standard bounce\n"
    "messages. This host does not accept mail from domains whose servers\n"
    "refuse bounces."
)
_SENDER = {"postmaster": _POSTMASTER, "mail": _CALLBACK}


def acceptance(phase: Phase, words: str, scene: Scene, *, folds: bool = True) -> Reply | None:
    """The message of an accept as a reply; None where Exim has no use for one. That of discard is not folded."""
    if phase.acceptance is None:
        return None
    words = folded(words) if folds else words
    if phase in ENDINGS:  # always 221, or what the end is; a code is a word like others
        return shaped(phase.acceptance, "", words, multiline=scene.session.multiline)
    code, enhanced, text = _code(phase.acceptance, words, scene, checks=True)
    if phase is Phase.HELO:
        text = _one_line(f"{code} {enhanced}", text, scene)
    elif phase is Phase.CONNECT:
        text = text.rstrip()
    return shaped(code, enhanced, text, multiline=scene.session.multiline)


def _one_line(code: str, text: str, scene: Scene) -> str:
    """The answer to HELO has one line; those after it are the extensions of EHLO."""
    first = re.split("[\r\n]", text, maxsplit=1)[0]
    if first != text:
        problem = f"EHLO/HELO response must not contain newlines: message truncated: {printed(code + text)}"
        scene.logged.append(LogLine(problem, ("main", "panic")))
    return first


def refusal(found: Found, scene: Scene) -> tuple[Reply, str]:
    """The reply of a refusal, and the first line of what the log says."""
    is_denied = found in (Found.NO, Found.DROP)
    default = scene.phase.refusal if is_denied else 451
    log = scene.log or ""
    text: str | None = None
    code, enhanced = default, ""
    if scene.words is not None:
        words = folded(scene.words)
        code, enhanced, text = _code(default, words, scene, checks=scene.phase is not Phase.VRFY)
        if _is_wrong(words, code) and scene.log is scene.words and words is scene.words:
            log = f"{default} {text}"
    before: list[str] = []
    if (failed := scene.failed_sender) is not None and not failed.told:
        failed.told = True
        before = _details(failed, is_denied, scene)
    if is_denied:
        text = _PROHIBITED if text is None else text
    elif scene.tells and text is not None:
        if scene.gives_details and failed is not None and failed.verification is not None:
            before = [failed.verification.reason or failed.verification.words]
    else:
        text, before = LOCAL_PROBLEM.text, []
    multiline = scene.session.multiline
    reply = shaped(code, enhanced, text, before=before if multiline else (), multiline=multiline)
    return reply, log.partition("\n")[0]


def _code(default: int, words: str, scene: Scene, *, checks: bool) -> tuple[int, str, str]:
    """Take the code from the beginning of a message; `checks`: only one of the same class counts."""
    found = code_of(words)
    if found is None:
        return default, "", words
    code, enhanced, text = found
    if not checks and 200 <= code <= 599:
        return code, enhanced, text
    if code // 100 != default // 100:
        problem = (
            f'configured error code starts with incorrect digit (expected {default // 100}) in "{words}"'
        )
        scene.logged.append(LogLine(problem, ("main", "panic")))
        return default, "", text
    return code, enhanced, text


def _is_wrong(words: str, code: int) -> bool:
    """Whether the words begin with a code that does not count."""
    found = code_of(words)
    return found is not None and found[0] != code


def _details(failed: Checked, is_denied: bool, scene: Scene) -> list[str]:
    """Log why the sender could not be verified, and tell it a client that is refused, once."""
    verification = failed.verification
    assert verification is not None, "the null sender never fails"
    why = verification.reason or verification.words
    verb = "fail" if verification.is_bad else "defer"
    line = (
        f"{host_and_ident(scene.env)} sender verify {verb} for <{failed.address}>{f': {why}' if why else ''}"
    )
    scene.logged.append(LogLine(line, ("main", "reject")))
    if not is_denied or not verification.words:
        return []
    text = _SENDER.get(verification.failure, "Verification failed for <{0}>\n{1}")
    return [text.format(failed.address, verification.words)]


def rejected(verdict: AclVerdict, scene: Scene, argument: str, encryption: str = "") -> str:
    """What Exim's log says of a refusal: `H=… F=<s> rejected RCPT <r>: why`.

    `argument` is that of the command, `encryption` what the log has of that: ` X=… CV=no`.
    """
    variables, phase = scene.env.variables, scene.phase
    words = [host_and_ident(scene.env) + encryption]
    if phase in (Phase.RCPT, Phase.DATA):
        words.append(f"F=<{variables.get('sender_address', '')}>")
        if mechanism := variables.get("sender_host_authenticated", ""):
            login = variables.get("authenticated_id", "")
            words.append(f"A={mechanism}{f':{login}' if login else ''}")
    if verdict.result is Result.DEFER:
        words.append("temporarily")
    if phase is Phase.PREDATA:
        what = "DATA"
    elif phase is Phase.DATA:
        what = "after DATA"
    elif phase is Phase.CONNECT:
        what = 'connection in "connect" ACL'
    elif phase is Phase.DKIM:
        what = f"DKIM {argument[:100]}"
    else:
        what = f"{phase.called} {argument[:100]}".rstrip()
    text = f"{' '.join(filter(None, words))} rejected {what}"
    return f"{text}: {verdict.log_text}" if verdict.log_text else text
