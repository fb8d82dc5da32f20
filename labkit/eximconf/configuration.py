"""The whole configuration of a host, read and compiled.

WHAT       `read(text, file)`: main options, named lists, ACLs, routers, transports, authenticators, retry rules.
ASKS       FileText for each file that is included: `reading` asks, `read` takes the texts from a mapping.
DECIDES    what can be read. What is read but fits nowhere (a router that names a transport that is not there) is a
           doubt, as Exim finds it out only when it gets there; `labkit lint` tells it at once.
OCTETS     inside, a text is octets, as latin-1: its length is what it is on the wire. What people read is UTF-8.
STANDARDS  Exim specification, chapter "The Exim run time configuration file"
READ NEXT  the rooms smtp (acl), routing, delivery and queue give the parts their meaning
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from labkit.eximconf import exim_names, options
from labkit.eximconf.builtin_macros import BUILTIN
from labkit.eximconf.expansion import Compiled
from labkit.eximconf.lists import ListKind, NamedLists, PatternList, check_names, compile_list
from labkit.eximconf.options import Option, Standing
from labkit.eximconf.place import readable
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
    r"(?:hide\s+)?(domainlist|hostlist|localpartlist|addresslist)(_cache)?\s+([A-Za-z0-9_]+)\s*=\s*(.*)",
    re.DOTALL,
)
_NAME = re.compile(r"([A-Za-z0-9_]+)\s*:\s*(.*)", re.DOTALL)
_ACL_NAME = re.compile(r"([A-Za-z][A-Za-z0-9_]*)\s*:\s*(.*)", re.DOTALL)
_WORD = re.compile(r"[A-Za-z0-9_]+")
# an item of a list that looks into a table whose file a stranger names: lsearch;/etc/virtual/$domain
_STRANGERS_TABLE = re.compile(r"\w[\w*@(),]*;\s*/[^:]*\$\{?(?P<variable>domain|local_part)\b")
_CONDITION = re.compile(r"(!?)\s*(set\s+[^\s=]+|[A-Za-z0-9_]+)\s*(?:=\s*(.*))?", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Options:
    """Values of options by name, defaults filled in. The methods give them a type.

    `written` are the settings of the file itself, by the option's name, in file order.
    """

    values: Mapping[str, Any]
    written: tuple[tuple[Option, Setting], ...] = ()

    def has(self, name: str) -> bool:
        """Whether it has a value, its own or a default."""
        return self.values.get(name) is not None

    def text(self, name: str) -> str | None:
        value = self.values.get(name)
        assert value is None or isinstance(value, str), name
        return value

    def texts(self, name: str) -> tuple[str, ...]:
        """The items of a string list."""
        value = self.values.get(name) or ()
        assert isinstance(value, tuple), name
        return value

    def number(self, name: str) -> int:
        value = self.values[name]
        assert isinstance(value, int), name
        return value

    def flag(self, name: str) -> bool:
        return bool(self.values[name])

    def truth(self, name: str) -> bool | Compiled:
        """A boolean that may be a text to be expanded."""
        value = self.values[name]
        assert isinstance(value, (bool, Compiled)), name
        return value

    def expansion(self, name: str) -> Compiled | None:
        value = self.values.get(name)
        assert value is None or isinstance(value, Compiled), name
        return value

    def patterns(self, name: str) -> PatternList | None:
        value = self.values.get(name)
        assert value is None or isinstance(value, PatternList), name
        return value

    def several(self, name: str) -> tuple[Any, ...]:
        """The values of an option that may be set more than once, in file order."""
        value = self.values.get(name, ())
        assert isinstance(value, tuple), name
        return value

    def seconds(self, name: str) -> float:
        value = self.values[name]
        assert isinstance(value, timedelta), name
        return value.total_seconds()

    def ports(self, name: str) -> tuple[int, ...]:
        value = self.values[name]
        assert isinstance(value, tuple), name
        return value

    def place_of(self, name: str) -> Place:
        """Where the file sets it; line 0 if it does not."""
        return next((setting.place for row, setting in self.written if row.name == name), Place("", 0))

    def unfulfilled(self) -> ConfigurationError | None:
        """The first setting that asks for something that labkit can only test, not do."""
        for row, written in self.written:
            if row.standing is Standing.TESTED and not _is_off(self.values[row.name]):
                problem = f'the option "{row.name}" is "real Exim only" when mail moves: {row.effect}'
                remedy = "leave the line out, or run the host on a real Exim"
                return ConfigurationError(written.place, problem, remedy)
        return None


def _is_off(value: Any) -> bool:
    """Whether a setting asks for nothing: `tls_advertise_hosts =`."""
    if isinstance(value, (PatternList, Compiled)):
        return not value.text.strip()
    return not value


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
    authenticators: dict[str, Driver] = field(default_factory=dict)
    retry: tuple[LogicalLine, ...] = ()
    rewrite: tuple[LogicalLine, ...] = ()
    doubts: tuple[ConfigurationError, ...] = ()  # what Exim would find out only when it gets there


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
    try:
        octets = text.encode("utf-8").decode("latin-1")
        cut = yield from reading_sections(octets, file, presets=presets, builtin=BUILTIN)
        return _compiled(text, file, {section.name: section for section in cut})
    except ConfigurationError as error:
        place = Place(readable(error.place.file), error.place.line)
        raise type(error)(place, readable(error.problem), readable(error.remedy)) from None


def _compiled(text: str, file: str, parts: Mapping[str, Section]) -> Configuration:
    main, lists = _read_main(parts["main"])
    if "local_scan" in parts and parts["local_scan"].lines:
        line = parts["local_scan"].lines[0]
        problem = f"the local_scan section is not read by labkit yet: {line.text}"
        raise ConfigurationError(line.place, problem, "leave the section empty, or use a real Exim")
    transports = {t.name: t for t in _read_drivers(parts.get("transports"), "transport", lists)}
    routers = tuple(_read_drivers(parts.get("routers"), "router", lists))
    authenticators = {a.name: a for a in _read_drivers(parts.get("authenticators"), "authenticator", lists)}
    doubts: list[ConfigurationError] = []
    acls = _read_acls(parts.get("acl"), doubts)
    retry = tuple(parts["retry"].lines) if "retry" in parts else ()
    rewrite = tuple(parts["rewrite"].lines) if "rewrite" in parts else ()
    doubts += _doubts(main, acls, routers, transports)
    doubts += _missing_lists(
        lists, (main, *(each.options for each in (*routers, *transports.values()))), acls
    )
    return Configuration(
        file, text, main, lists, acls, routers, transports, authenticators, retry, rewrite, tuple(doubts)
    )


def _read_main(section: Section) -> tuple[Options, NamedLists]:
    lists: dict[tuple[ListKind, str], PatternList] = {}
    settings: list[Setting] = []
    for line in section.lines:
        found = _LIST.fullmatch(line.text)
        if found is None:
            settings.append(setting(line))
            continue
        kind = ListKind(found[1])
        if (kind, found[3]) in lists:
            problem = f"the {found[1]} {found[3]} is defined a second time"
            raise ConfigurationError(line.place, problem, "keep one of the two, or rename one")
        value = unquote(found[4], line.place)
        lists[kind, found[3]] = compile_list(
            kind, value, line.place, lists, forces_cache=found[2] is not None
        )
    return _options("main", settings, lists), lists


def _options(scope: str, settings: Iterable[Setting], lists: NamedLists) -> Options:
    """Read the settings of a scope on top of its defaults."""
    values: dict[str, Any] = {}
    rows: list[tuple[Option, Setting]] = []
    for written in settings:
        row, value = options.read_setting(scope, written, lists)
        if row.repeats:
            value = (*values.get(row.name, ()), value)
        elif row.name in values:
            raise ConfigurationError(
                written.place, f'"{row.name}" option set for the second time', "keep one of the two lines"
            )
        values[row.name] = value
        rows.append((row, written))
    return Options({**options.defaults(scope), **values}, tuple(rows))


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
    private = exim_names.private(own_scope)
    for written in settings[: settings.index(kinds[0])]:
        if written.name in private:
            problem = (
                f'option "{written.name}" unknown ("driver" must be specified before any private options)'
            )
            raise ConfigurationError(written.place, problem, f"write driver = {kind} above it")
    found = Driver(name, kind, _options(own_scope, settings, lists), place)
    if scope == "router":
        _check_transport(found)
    return found


def _check_transport(router: Driver) -> None:
    """What delivers must name who delivers; what only redirects must not."""
    named = router.options.has("transport")
    if router.driver in ("accept", "dnslookup") and not named and not router.options.flag("verify_only"):
        problem = f"the router {router.name} has no transport"
        raise ConfigurationError(router.place, problem, "add: transport = name")
    if router.driver == "redirect" and named:
        problem = (
            f"the router {router.name} may not have a transport: a redirect router only makes new addresses"
        )
        raise ConfigurationError(router.place, problem, "leave the line out")


ACL_VERBS = ("accept", "defer", "deny", "discard", "drop", "require", "warn")


def _read_acls(
    section: Section | None, doubts: list[ConfigurationError]
) -> dict[str, tuple[AclStatement, ...]]:
    acls: dict[str, list[tuple[str, Place, list[Setting]]]] = {}
    current: list[tuple[str, Place, list[Setting]]] | None = None
    for line in section.lines if section else ():
        if found := _ACL_NAME.fullmatch(line.text):
            if found[1] in acls:
                problem = f'there are two ACLs called "{found[1]}"'
                raise ConfigurationError(line.place, problem, "rename one of them")
            current = acls[found[1]] = []
            if found[2]:
                problem = f"Exim does not read what stands behind the name of an ACL: {found[2]}"
                doubts.append(ConfigurationError(line.place, problem, "begin a new line after the colon"))
            continue
        if line.after_macro:  # it ended the one before
            current = None
        if current is None:
            raise ConfigurationError(line.place, "ACL name missing", "begin each ACL with: name:")
        verb = line.text.split(None, 1)[0]
        if verb in ACL_VERBS:
            current.append((verb, line.place, []))
            if not (rest := line.text[len(verb) :].strip()):
                continue
            line = LogicalLine(rest, line.place)
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
    return Setting(found[1] + " ".join(found[2].split()), value, line.place)


_LISTS_OF_ACLS = {
    "domains": ListKind.DOMAIN,
    "hosts": ListKind.HOST,
    "local_parts": ListKind.LOCAL_PART,
    "recipients": ListKind.ADDRESS,
    "senders": ListKind.ADDRESS,
    "sender_domains": ListKind.DOMAIN,
}


def _missing_lists(
    lists: NamedLists, scopes: Iterable[Options], acls: Mapping[str, Iterable[AclStatement]]
) -> Iterable[ConfigurationError]:
    """Each +name that no list has. Exim defers, or answers 451, when it gets there."""
    used = [
        (value, written.place)
        for scope in scopes
        for row, written in scope.written
        if isinstance(value := scope.values[row.name], PatternList)
    ]
    for statement in (each for statements in acls.values() for each in statements):
        for line in statement.lines:
            kind = _LISTS_OF_ACLS.get(line.name.lstrip("! "))
            if kind is not None and line.value and "+" in line.value:
                with suppress(ConfigurationError):  # that is said when the ACLs are compiled
                    used.append((compile_list(kind, line.value, line.place, lists), line.place))
    used += [(patterns, patterns.place) for patterns in lists.values()]
    for patterns, place in used:
        for name in check_names(patterns, lists):
            known = ", ".join(dict.fromkeys(each for kind, each in lists if kind is patterns.kind))
            problem = f'the list "+{name}" is not defined'
            yield ConfigurationError(
                place, problem, f"the {patterns.kind.called} lists are: {known or 'none'}"
            )


def _doubts(
    main: Options,
    acls: Mapping[str, object],
    routers: Iterable[Driver],
    transports: Mapping[str, Driver],
) -> Iterable[ConfigurationError]:
    """Names that point to nothing. Exim loads such a file, and stumbles when it gets there."""
    for row, written in main.written:
        value = (written.value or "").strip()
        if row.name.startswith("acl_") and _WORD.fullmatch(value) and value not in acls:
            if value in ACL_VERBS:  # an ACL written out in place
                continue
            problem = f'{row.name} names the ACL "{value}", which is not defined'
            yield ConfigurationError(written.place, problem, f"add to the acl section: {value}:")
    for router in routers:
        for row, written in router.options.written:
            name = written.value or ""
            if row.name.endswith("transport") and "$" not in name and name not in transports:
                problem = f'the router {router.name} names the transport "{name}", which is not defined'
                remedy = f"the transports are: {', '.join(transports) or 'none'}"
                yield ConfigurationError(written.place, problem, remedy)
            if row.name in ("domains", "local_parts", "senders") and (found := _STRANGERS_TABLE.search(name)):
                yield _tainted(written.place, found["variable"])
    for transport in transports.values():
        for row, written in transport.options.written:
            value = transport.options.values[row.name]
            if row.name in ("file", "directory") and isinstance(value, Compiled) and value.strangers:
                yield _tainted(written.place, value.strangers[0])


def _tainted(place: Place, variable: str) -> ConfigurationError:
    vouched = "domain_data" if variable == "domain" else "local_part_data"
    problem = f"Tainted name for a file: ${variable} is chosen by the sender"
    remedy = f"a stranger must not name our files: use ${vouched}, which a check vouches for"
    return ConfigurationError(place, problem, remedy)
