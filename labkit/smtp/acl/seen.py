"""seen = -5m / key=… : was this met before (with a minus: longer ago than that)?

ASKS       SeenBefore, which also writes down that it was met
LIKE EXIM  without a record the answer is no, whichever way the question goes
STANDARDS  Exim specification, section "Previously seen user and hosts"
READ NEXT  rates.py
"""

from __future__ import annotations

from labkit.eximconf.expansion.numbers import interval as read_interval
from labkit.eximconf.expansion.splitting import split_at
from labkit.eximconf.reader import Setting
from labkit.mail.asking import Asking, ask
from labkit.mail.questions import SeenBefore
from labkit.smtp.acl.scene import Scene
from labkit.smtp.acl.values import NO, YES, Check, on_value_asking, wrong
from labkit.smtp.acl.verdicts import Found

_TEN_DAYS = 10 * 86_400


def check(line: Setting, is_negated: bool) -> Check:
    return on_value_asking(line, _seen, turns=is_negated)


def _seen(scene: Scene, text: str) -> Asking[Found]:
    words = split_at(text, "/")
    first = words[0] if words else ""
    is_before = first.startswith("-")
    interval = read_interval(first.removeprefix("-"))
    if interval is None:
        return wrong(scene, f"failed to parse '{text}'")
    key, mode, refresh = scene.env.variables.get("sender_host_address", ""), "", _TEN_DAYS
    for word in words[1:]:
        if word.startswith("key="):
            key = word[len("key=") :]
        elif word in ("readonly", "write"):
            mode = word
        elif word.startswith("refresh="):
            found = read_interval(word[len("refresh=") :])
            if found is None:
                return wrong(scene, f"failed to parse '{text}'")
            refresh = found
        else:
            return wrong(scene, f"unrecognised option '{word}' in '{text}'")
    age = yield from ask(SeenBefore(key, interval, is_before, mode, refresh))
    if age is None:
        scene.because = f"{key} was never seen"
        return NO
    scene.because = f"{key} was seen {age:g} seconds ago"
    return YES if (age >= interval) == is_before else NO
