"""add_header and remove_header: which header fields the message will get and lose.

LIKE EXIM  several fields in one text, each at a place of its own (:at_start: and so on); a line without the name of a
           field becomes X-ACL-Warn:; the same line is added once; names to be removed are gathered, colons between
STANDARDS  Exim specification, sections "Adding header lines in ACLs", "Removing header lines in ACLs"
READ NEXT  controls.py
"""

from __future__ import annotations

import re

from labkit.eximconf.reader import Setting
from labkit.smtp.acl.scene import AddedField, Scene
from labkit.smtp.acl.values import YES, Check, on_value
from labkit.smtp.acl.verdicts import Found

_FIELD_END = re.compile(r"\n(?![ \t])")
_PLACE = re.compile(r":(after_received|at_start_rfc|at_start|at_end):", re.IGNORECASE)
_NAME = re.compile(r"[!-9;-~]*:")


def add(line: Setting) -> Check:
    def decide(scene: Scene, value: str) -> Found:
        add_fields(scene, value)
        scene.because = f"added: {value}"
        return YES

    return on_value(line, decide)


def remove(line: Setting) -> Check:
    def decide(scene: Scene, value: str) -> Found:
        effects = scene.effects
        if value:
            effects.removed = f"{effects.removed} : {value}" if effects.removed else value
        scene.because = f"to be removed: {value}"
        return YES

    return on_value(line, decide)


def add_fields(scene: Scene, text: str) -> None:
    """Add the fields of a text to the message."""
    body = text.strip("\n")
    if not body:
        return
    added = scene.effects.added
    for field in _FIELD_END.split(body):
        place = "at_end"
        if found := _PLACE.match(field):
            place, field = found[1].lower(), field[found.end() :]
        if field.startswith(":") or found:
            field = field.lstrip(" \t")
        if _NAME.match(field) is None:
            field = f"X-ACL-Warn: {field}"
        if all(not f"{each.text}\n".startswith(f"{field}\n") for each in added):
            added.append(AddedField(place, field))
    scene.env.variables["headers_added"] = "\n".join(each.text for each in added)
