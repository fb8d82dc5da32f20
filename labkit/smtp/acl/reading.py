"""Statements as written: an ACL that is a text or a file, and what is wrong with a statement before it ever runs.

WHAT       `statements_of` reads the text of an ACL (the configuration has read those of its acl section);
           `checked` tells the word of a line, whether it is negated, and the name of the variable that it sets.
LIKE EXIM  these are load errors: an unknown word, "=" missing, a negated modifier, endpass outside accept and discard,
           a variable that does not begin with acl_c or acl_m. Everything else shows when the ACL runs.
STANDARDS  Exim specification, sections "Format of an ACL", "ACL variables"
READ NEXT  compiling.py
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from labkit.eximconf.blanks import BLANKS
from labkit.eximconf.configuration import AclStatement
from labkit.eximconf.reader import ConfigurationError, Place, Setting
from labkit.smtp.acl.vocabulary import VERBS, Word, word_of

_START = re.compile(r"[ \t]*(!?)[ \t]*([A-Za-z][A-Za-z0-9_]*|)[ \t]*(.*)", re.DOTALL)
_VARIABLE = re.compile(
    r"(acl_[cm][0-9_][A-Za-z0-9_]*|dkim_verify_(?:status|reason))(?=[\s=]|$)\s*(=?)\s*(.*)", re.DOTALL
)


@dataclass(frozen=True, slots=True)
class Line:
    """A line of a statement, understood. `written.name` is the bare word; `variable` is what `set` sets."""

    word: Word
    is_negated: bool
    written: Setting
    variable: str = ""


def checked(setting: Setting, verb: str) -> Line:
    """Understand one line. Raises ConfigurationError."""
    bare = setting.name.lstrip("!").strip()
    is_negated = setting.name.startswith("!")
    name, _, rest = bare.partition(" ")
    word = word_of(name, _shown(setting), setting.place)
    if is_negated and word.is_modifier:
        raise ConfigurationError(
            setting.place, f'ACL error: negation is not allowed with "{name}"', f"write: {name} = …"
        )
    if name == "endpass":
        if verb not in ("accept", "discard"):
            problem = f'ACL error: "endpass" is not allowed with "{verb}"'
            raise ConfigurationError(setting.place, problem, "only accept and discard have it")
        return Line(word, False, Setting(name, "", setting.place))
    if name == "set":
        return _set(word, rest, setting)
    if setting.value is None:
        kind = "modifier" if word.is_modifier else "condition"
        problem = f'"=" missing after ACL "{name}" {kind}'
        raise ConfigurationError(setting.place, problem, f"write: {name} = …")
    return Line(word, is_negated, Setting(name, setting.value, setting.place))


def _set(word: Word, rest: str, setting: Setting) -> Line:
    """`set acl_m_x = value`; the variable stands in the name of the setting, or at the beginning of its value."""
    value = "" if setting.value is None else setting.value
    whole = value
    if rest.strip():
        whole = rest.strip() if setting.value is None else f"{rest.strip()} = {value}"
    found = _VARIABLE.fullmatch(whole)
    if found is None:
        raise ConfigurationError(setting.place, _bad_variable(whole), "write it like: set acl_m_name = value")
    if not found[2]:
        problem = '"=" missing after ACL "set" modifier'
        raise ConfigurationError(setting.place, problem, f"write: set {found[1]} = …")
    return Line(word, False, Setting("set", found[3], setting.place), found[1])


def _bad_variable(whole: str) -> str:
    quoted = f'in ACL modifier "set {whole}"'
    if not whole.startswith(("acl_c", "acl_m")):
        return f'invalid variable name after "set" {quoted} (must start "acl_c" or "acl_m")'
    if not re.match("[0-9_]", whole[5:]):
        return f'invalid variable name after "set" {quoted} (digit or underscore must follow acl_c or acl_m)'
    odd = re.search(r"[^A-Za-z0-9_\s=]", whole)
    return f'invalid character "{odd[0] if odd else ""}" in variable name {quoted}'


def _shown(setting: Setting) -> str:
    return setting.name if setting.value is None else f"{setting.name} = {setting.value}"


def statements_of(text: str, place: Place) -> tuple[AclStatement, ...]:
    """Read the text of an ACL: verbs, conditions, modifiers, one to a line. Raises ConfigurationError."""
    found: list[tuple[str, list[Setting]]] = []
    for line in _logical_lines(text):
        negation, name, rest = _cut(line)
        if name in VERBS:
            if negation:
                raise ConfigurationError(place, f'malformed ACL line "{line}"', "a verb is not negated")
            found.append((name, []))
            if not rest:
                continue
            negation, name, rest = _cut(rest)
        elif not found:
            if rest.startswith(":"):
                break  # Exim takes it for the beginning of another ACL
            problem = f'unknown ACL verb "{name}" in "{line}"'
            raise ConfigurationError(place, problem, f"one of: {', '.join(VERBS)}")
        found[-1][1].append(_setting(negation, name, rest, place))
    return tuple([AclStatement(verb, tuple(lines), place) for verb, lines in found])


def _cut(line: str) -> tuple[str, str, str]:
    found = _START.fullmatch(line)
    assert found is not None, "it matches every text"
    return found[1], found[2], found[3]


def _setting(negation: str, name: str, rest: str, place: Place) -> Setting:
    if name == "set":
        variable, equals, told = rest.partition("=")
        return Setting(f"{negation}set {variable.strip()}", told.lstrip(BLANKS) if equals else None, place)
    value = rest[1:].lstrip(BLANKS) if rest.startswith("=") else None
    return Setting(negation + name, value, place)


def _logical_lines(text: str) -> list[str]:
    """Lines as in a configuration: comments and blank lines go, a backslash at the end joins."""
    lines: list[str] = []
    joining = ""
    for physical in text.split("\n"):
        written = physical.strip(BLANKS)
        if written.startswith("#"):
            continue
        if written.endswith("\\"):
            joining += written[:-1]
            continue
        if joining or written:
            lines.append(joining + written)
        joining = ""
    return [*lines, joining] if joining else lines
