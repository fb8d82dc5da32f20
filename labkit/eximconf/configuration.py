"""The whole configuration of a host, read and compiled.

WHAT       `read(text, file)`: main options, named lists, ACLs, routers, transports and retry rules.
ASKS       FileText for each file that is included: `reading` asks, `read` takes the texts from a mapping.
DECIDES    what fits together: names that are used must be defined, drivers must be known.
STANDARDS  Exim specification, chapter "The Exim run time configuration file"
READ NEXT  the rooms smtp (acl.py), routing, delivery and queue give the parts their meaning
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from labkit.eximconf import exim_names, options
from labkit.eximconf.builtin_macros import BUILTIN
from labkit.eximconf.expand import Expansion
from labkit.eximconf.lists import ListKind, NamedLists, PatternList, compile_list
from labkit.eximconf.reader import (
    ConfigurationError,
    LogicalLine,
    Place,
    Section,
    Setting,
    answer_files,
    reading_sections,
    setting,
    unquote,
)
from labkit.mail.asking import Asking, answer_by

_LIST = re.compile(
    r"(?:hide\s+)?(domainlist|hostlist|localpartlist|addresslist)\s+([A-Za-z0-9_]+)\s*=\s*(.*)", re.DOTALL
)
_NAME = re.compile(r"([A-Za-z0-9_]+)\s*:\s*(.*)", re.DOTALL)
_ACL_NAME = re.compile(r"([A-Za-z][A-Za-z0-9_]*)\s*:\s*(.*)", re.DOTALL)
_CONDITION = re.compile(r"(!?)\s*([A-Za-z0-9_]+)\s*(?:=\s*(.*))?", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Options:
    """Values of options by name, defaults filled in. The methods give them a type."""

    values: dict[str, Any]

    def text(self, name: str) -> str | None:
        value = self.values.get(name)
        assert value is None or isinstance(value, str), name
        return value

    def number(self, name: str) -> int:
        value = self.values[name]
        assert isinstance(value, int), name
        return value

    def flag(self, name: str) -> bool:
        return bool(self.values[name])

    def expansion(self, name: str) -> Expansion | None:
        value = self.values.get(name)
        assert value is None or isinstance(value, Expansion), name
        return value

    def patterns(self, name: str) -> PatternList | None:
        value = self.values.get(name)
        assert value is None or isinstance(value, PatternList), name
        return value

    def seconds(self, name: str) -> float:
        value = self.values[name]
        assert isinstance(value, timedelta), name
        return value.total_seconds()

    def ports(self, name: str) -> tuple[int, ...]:
        value = self.values[name]
        assert isinstance(value, tuple), name
        return value


@dataclass(frozen=True, slots=True)
class Driver:
    """One router or transport: its name in the file, its driver and its options."""

    name: str
    driver: str
    options: Options
    place: Place


@dataclass(frozen=True, slots=True)
class AclStatement:
    """One ACL statement as written: the verb, then modifiers and conditions in order."""

    verb: str
    lines: tuple[Setting, ...]
    place: Place


@dataclass(frozen=True, slots=True)
class Configuration:
    """A configuration file, read. `text` is the file as it was given."""

    file: str
    text: str
    main: Options
    lists: NamedLists
    acls: dict[str, tuple[AclStatement, ...]] = field(default_factory=dict)
    routers: tuple[Driver, ...] = ()
    transports: dict[str, Driver] = field(default_factory=dict)
    retry: tuple[LogicalLine, ...] = ()


def read(
    text: str,
    file: str = "exim.conf",
    *,
    presets: Mapping[str, str] | None = None,
    files: Mapping[str, str] | None = None,
) -> Configuration:
    """Read a configuration file.

    `presets`: macros as the option -D sets them. `files`: the texts of the files that may be included, by path;
    without it an inclusion is refused. Raises ConfigurationError, which names the file, the line, what is wrong and
    what to do about it.
    """
    return answer_by(answer_files(files), reading(text, file, presets=presets))


def reading(
    text: str, file: str = "exim.conf", *, presets: Mapping[str, str] | None = None
) -> Asking[Configuration]:
    """`read`, but it asks for the files that are included."""
    cut = yield from reading_sections(text, file, presets=presets, builtin=BUILTIN)
    return _compiled(text, file, {section.name: section for section in cut})


def _compiled(text: str, file: str, parts: Mapping[str, Section]) -> Configuration:
    main, lists = _read_main(parts["main"])
    for name in ("rewrite", "authenticators", "local_scan"):
        if name in parts and parts[name].lines:
            line = parts[name].lines[0]
            problem = f"the {name} section is not read by labkit yet: {line.text}"
            raise ConfigurationError(line.place, problem, "leave the section empty, or use a real Exim")
    transports = {t.name: t for t in _read_drivers(parts.get("transports"), "transport", lists)}
    routers = tuple(_read_drivers(parts.get("routers"), "router", lists))
    acls = _read_acls(parts.get("acl"))
    retry = tuple(parts["retry"].lines) if "retry" in parts else ()
    found = Configuration(file, text, main, lists, acls, routers, transports, retry)
    _check_names(found, parts["main"])
    return found


def _read_main(section: Section) -> tuple[Options, NamedLists]:
    lists: dict[tuple[ListKind, str], PatternList] = {}
    written: dict[str, Any] = {}
    for line in section.lines:
        if found := _LIST.fullmatch(line.text):
            if found[1] == "addresslist":
                raise ConfigurationError(
                    line.place, "address lists are not read by labkit yet", "a real Exim can run it"
                )
            kind = ListKind(found[1])
            if (kind, found[2]) in lists:
                problem = f"the {found[1]} {found[2]} is defined a second time"
                raise ConfigurationError(line.place, problem, "keep one of the two, or rename one")
            lists[kind, found[2]] = compile_list(kind, unquote(found[3], line.place), line.place, lists)
            continue
        _set_once(written, setting(line), "main", lists)
    return Options(options.defaults("main") | written), lists


def _set_once(values: dict[str, Any], written: Setting, scope: str, lists: NamedLists) -> None:
    name, value = options.read_setting(scope, written, lists)
    if name in values:
        raise ConfigurationError(
            written.place, f'"{name}" option set for the second time', "keep one of the two lines"
        )
    values[name] = value


def _read_drivers(section: Section | None, scope: str, lists: NamedLists) -> Iterable[Driver]:
    """Cut a section of named instances, each `name:` and then its options."""
    instances: dict[str, tuple[Place, list[Setting]]] = {}
    settings: list[Setting] | None = None
    for line in section.lines if section else ():
        if found := _NAME.fullmatch(line.text):
            if found[1] in instances:
                problem = f'there are two {scope}s called "{found[1]}"'
                raise ConfigurationError(line.place, problem, "rename one of them")
            if found[2]:
                problem = f"extra characters follow driver name {found[1]}: {found[2]}"
                raise ConfigurationError(line.place, problem, "begin a new line after the colon")
            settings = []
            instances[found[1]] = (line.place, settings)
            continue
        if line.after_macro:  # it ended the one before
            settings = None
        if settings is None:
            raise ConfigurationError(line.place, f"{scope} name missing", f"begin each {scope} with: name:")
        settings.append(setting(line))
    for name, (place, written) in instances.items():
        yield _driver(name, place, written, scope, lists)


def _driver(name: str, place: Place, settings: list[Setting], scope: str, lists: NamedLists) -> Driver:
    kinds = [s for s in settings if s.name == "driver"]
    known = options.DRIVERS[scope]
    if not kinds or kinds[0].value is None:
        raise ConfigurationError(place, f"no driver given for {scope} {name}", f"one of: {', '.join(known)}")
    kind = kinds[0].value
    if kind not in known:
        known_to = 'labkit yet ("real Exim only")' if kind in exim_names.DRIVERS[scope] else "Exim"
        problem = f'the {scope} driver "{kind}" is not known to {known_to}'
        raise ConfigurationError(kinds[0].place, problem, f"labkit has: {', '.join(known)}")
    own_scope = f"{scope} {kind}"
    values: dict[str, Any] = {}
    for written in settings:
        if "driver" not in values and written.name in exim_names.private(own_scope):
            problem = (
                f'option "{written.name}" unknown ("driver" must be specified before any private options)'
            )
            raise ConfigurationError(written.place, problem, f"write driver = {kind} above it")
        _set_once(values, written, own_scope, lists)
    return Driver(name, kind, Options(options.defaults(own_scope) | values), place)


ACL_VERBS = ("accept", "defer", "deny", "require", "warn")


def _read_acls(section: Section | None) -> dict[str, tuple[AclStatement, ...]]:
    acls: dict[str, list[tuple[str, Place, list[Setting]]]] = {}
    current: list[tuple[str, Place, list[Setting]]] | None = None
    for line in section.lines if section else ():
        if found := _ACL_NAME.fullmatch(line.text):
            if found[1] in acls:
                problem = f'there are two ACLs called "{found[1]}"'
                raise ConfigurationError(line.place, problem, "rename one of them")
            current = acls[found[1]] = []
            if not found[2]:
                continue
            line = LogicalLine(found[2], line.place)
        elif line.after_macro:  # it ended the one before
            current = None
        if current is None:
            raise ConfigurationError(line.place, "ACL name missing", "begin each ACL with: name:")
        verb = line.text.split(None, 1)[0]
        if verb in ACL_VERBS:
            current.append((verb, line.place, []))
            if not (rest := line.text[len(verb) :].strip()):
                continue
            line = LogicalLine(rest, line.place)
        elif verb in ("discard", "drop"):
            raise ConfigurationError(
                line.place, f"the ACL verb {verb} is not read by labkit yet", "deny is the nearest that is"
            )
        if not current:
            raise ConfigurationError(
                line.place, f"unknown ACL verb in {line.text!r}", f"one of: {', '.join(ACL_VERBS)}"
            )
        current[-1][2].append(_condition(line))
    return {
        name: tuple(AclStatement(verb, tuple(lines), place) for verb, place, lines in statements)
        for name, statements in acls.items()
    }


def _condition(line: LogicalLine) -> Setting:
    found = _CONDITION.fullmatch(line.text)
    if found is None:
        raise ConfigurationError(
            line.place,
            f"unknown ACL condition or modifier in {line.text!r}",
            "a condition is written: name = value, or ! name = value",
        )
    value = found[3].strip() if found[3] is not None else None
    return Setting(found[1] + found[2], value, line.place)


def _check_names(found: Configuration, main: Section) -> None:
    """Whatever a name points to must be there."""
    acl = found.main.text("acl_smtp_rcpt")
    if acl is not None and acl not in found.acls:
        place = next(line.place for line in main.lines if "acl_smtp_rcpt" in line.text)
        problem = f'acl_smtp_rcpt names the ACL "{acl}", which is not defined'
        raise ConfigurationError(place, problem, f"add to the acl section: {acl}:")
    for router in found.routers:
        transport = router.options.text("transport")
        if transport is None:
            raise ConfigurationError(
                router.place, f"the router {router.name} has no transport", "add: transport = name"
            )
        if transport not in found.transports:
            raise ConfigurationError(
                router.place,
                f'the router {router.name} names the transport "{transport}", which is not defined',
                f"the transports are: {', '.join(found.transports) or 'none'}",
            )
