"""acl = name argument …: run an ACL as a condition.

RULES      the name and each argument are words, or stand in double quotes; each is expanded for itself. What the inner
           ACL had to say stays as the words of this line.
LIKE EXIM  discard is only understood by accept and discard
STANDARDS  Exim specification, section "ACL conditions" (acl)
READ NEXT  simple.py
"""

from __future__ import annotations

from labkit.eximconf.blanks import BLANKS
from labkit.eximconf.expansion import Compiled, Defer, ForcedFailure, Value, compile_text
from labkit.eximconf.quoting import first_word
from labkit.eximconf.reader import Setting
from labkit.mail.asking import Asking
from labkit.smtp.acl.scene import Scene
from labkit.smtp.acl.values import Check, value_of, wrong
from labkit.smtp.acl.verdicts import Found


def check(line: Setting, verb: str) -> Check:
    texts = [compile_text(word, line.place) for word in words_of(value_of(line))[:10]]

    def asking(scene: Scene) -> Asking[Found]:
        told: list[str] = []
        for text in texts:
            outcome = yield from text.asking(scene.env)
            if not isinstance(outcome, Value):
                return _not_expanded(texts[0] if told else text, outcome, scene)
            told.append(outcome.text)
        assert scene.acls is not None, "Acls.run has set it"
        name = told[0] if told else ""
        found = yield from scene.acls.called(name, told[1:], scene)
        if found is Found.DISCARD and verb not in ("accept", "discard"):
            return wrong(
                scene,
                f'nested ACL returned "discard" for "{verb}" command (only allowed with "accept" or "discard")',
            )
        scene.because = f"the ACL {name.partition(chr(10))[0]} {_SAID[found]}"
        return found

    return Check(None, asking)


_SAID = {
    Found.YES: "accepts",
    Found.NO: "denies",
    Found.DROP: "denies and would drop the connection",
    Found.DISCARD: "discards",
    Found.LATER: "defers",
    Found.WRONG: "fails",
    Found.BROKEN: "is broken",
}


def _not_expanded(text: Compiled, outcome: object, scene: Scene) -> Found:
    if isinstance(outcome, ForcedFailure):
        scene.because = "its value is a forced failure"
        return Found.WRONG
    message = getattr(outcome, "message", "")
    wrong(scene, f'failed to expand ACL string "{text.text}": {message}')
    return Found.LATER if isinstance(outcome, Defer) else Found.WRONG


def words_of(text: str) -> list[str]:
    """Cut into words; one in double quotes may have blanks, and escapes like \\n."""
    found: list[str] = []
    rest = text.lstrip(BLANKS)
    while rest:
        word, rest = first_word(rest)
        found.append(word)
    return found or [""]
