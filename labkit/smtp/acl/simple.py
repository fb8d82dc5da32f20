"""condition = text: what counts as true.

LIKE EXIM  digits (with a minus in front, too) are true unless they are 0; yes and true, no and false; nothing at all is
           false; anything else cannot be understood, which is a 451. The number is C's int: 4294967296 is 0.
STANDARDS  Exim specification, section "ACL conditions" (condition)
READ NEXT  listed.py
"""

from __future__ import annotations

import re

from labkit.eximconf.reader import Setting
from labkit.smtp.acl.scene import Scene
from labkit.smtp.acl.values import NO, YES, Check, on_value
from labkit.smtp.acl.verdicts import Found

_WORDS = {"yes": YES, "true": YES, "no": NO, "false": NO, "": NO}
_NUMBER = re.compile("-?[0-9]*")


def condition(line: Setting, is_negated: bool) -> Check:
    return on_value(line, _truth, turns=is_negated)


def _truth(scene: Scene, text: str) -> Found:
    if scene.watched:
        scene.because = f"the condition is {text!r}"
    found = _WORDS.get(text) or _WORDS.get(text.lower())
    if found is not None:
        return found
    if _NUMBER.fullmatch(text):
        return NO if _as_int(text) == 0 else YES
    scene.log = f'invalid "condition" value "{text}"'
    return Found.LATER


def _as_int(text: str) -> int:
    digits = text.lstrip("-")[:40] or "0"
    return min(int(digits), 2**63 - 1) & 0xFFFFFFFF
