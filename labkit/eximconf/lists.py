"""Match a domain, a host address or a local part against a list.

WHAT       a list is compiled once; `matches` walks its items from left to right, and the first that matches decides.
STANDARDS  Exim specification, chapter "Domain, host, address, and local part lists"
LIKE EXIM  `!item` says no; when the last item is negated and nothing matched, the answer is yes; `::` is a
           colon inside an item, `<;` at the start changes the separator; an empty list matches nothing;
           what matches vouches for the item as written, not for what was looked for ($domain_data is `*.test`)
NOT YET    look-ups, files, regular expressions, host names and address lists: refused by name
READ NEXT  options.py
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import Enum

from labkit.eximconf.reader import ConfigurationError, Place


class ListKind(Enum):
    """What the items of a list mean."""

    DOMAIN = "domainlist"
    HOST = "hostlist"
    LOCAL_PART = "localpartlist"


@dataclass(frozen=True, slots=True)
class Here:
    """What `@` and `@[]` stand for: the name and the addresses of this host."""

    primary_hostname: str
    addresses: tuple[str, ...] = ()


Matcher = Callable[[str, Here], "str | None"]  # None: no match; else what the match vouches for


@dataclass(frozen=True, slots=True)
class Item:
    """One item: what was written, whether it is negated, and how it matches."""

    text: str
    negated: bool
    matches: Matcher


@dataclass(frozen=True, slots=True)
class Match:
    """The answer of a list, and the item that decided (None: the end of the list did).

    `data` is what $domain_data and $local_part_data then stand for: the pattern, from our own file.
    """

    found: bool
    item: str | None
    data: str = ""


@dataclass(frozen=True, slots=True)
class PatternList:
    """A compiled list."""

    kind: ListKind
    text: str
    items: tuple[Item, ...]
    depth: int = 1  # how many lists stand one inside the other

    def look(self, subject: str, here: Here) -> Match:
        """Find the item that decides about `subject` (compared without case)."""
        lowered = subject.lower()
        for item in self.items:
            if (data := item.matches(lowered, here)) is not None:
                return Match(not item.negated, item.text, data)
        return Match(bool(self.items) and self.items[-1].negated, None)

    def matches(self, subject: str, here: Here) -> bool:
        return self.look(subject, here).found


NamedLists = Mapping[tuple[ListKind, str], PatternList]


DEEPEST = 50  # lists one inside the other
_BLANKS = " \t\n\v\f\r"  # what C calls space
_CHANGE = re.compile(r"<([!-/:-@\[-`{-~])")


def split_list(text: str) -> list[str]:
    """Cut a list at its separator (a colon, or what `<` names); a doubled separator stands for itself."""
    separator, body = ":", text.strip(_BLANKS)
    if change := _CHANGE.match(body):
        separator, body = change[1], body[change.end() :].lstrip(_BLANKS)
    one = re.escape(separator)
    item = re.compile(f"((?:[^{one}]+|{one}{one})*){one}?")
    items: list[str] = []
    position = 0
    while position < len(body):  # a separator at the end starts no item
        found = item.match(body, position)
        assert found is not None, "every text begins with an item"
        items.append(found[1].strip(_BLANKS).replace(separator * 2, separator))
        position = found.end()
    return items


def compile_list(kind: ListKind, text: str, place: Place, named: NamedLists) -> PatternList:
    """Compile a list. Raises ConfigurationError for an item that labkit does not read."""
    items, depth = [], 1
    for written in split_list(text):
        negated = written.startswith("!")
        pattern = written[1:].strip() if negated else written
        items.append(Item(written, negated, _matcher(kind, pattern, place, named)))
        if pattern.startswith("+"):
            depth = max(depth, named[kind, pattern[1:]].depth + 1)
    if depth > DEEPEST:
        raise ConfigurationError(place, f"{depth} lists one inside the other", "write some of them out")
    return PatternList(kind, text, tuple(items), depth)


_SPECIAL = ("+caseful", "+include_unknown", "+ignore_unknown", "+include_defer", "+ignore_defer")


def _matcher(kind: ListKind, pattern: str, place: Place, named: NamedLists) -> Matcher:
    if "$" in pattern:
        raise _not_read(f"an expansion in a list ({pattern})", place)
    if pattern in _SPECIAL:
        raise _not_read(f"{pattern} in a list", place)
    if pattern.startswith("+"):
        return _named(kind, pattern[1:], place, named)
    if pattern.startswith("^"):
        raise _not_read(f"the regular expression {pattern}", place)
    if pattern.startswith("/"):
        raise _not_read(f"a list in a file ({pattern})", place)
    if ";" in pattern:
        raise _not_read(f"the look-up {pattern}", place)
    if pattern == "*":
        return lambda subject, here: pattern
    return _HOW[kind](pattern, place)


def _named(kind: ListKind, name: str, place: Place, named: NamedLists) -> Matcher:
    if (kind, name) not in named:
        raise ConfigurationError(
            place,
            f'unknown named {_CALLED[kind]} list "+{name}"',
            f"define it above, in the main section: {kind.value} {name} = …",
        )
    inner = named[kind, name]

    def matches(subject: str, here: Here) -> str | None:
        match = inner.look(subject, here)
        return match.data if match.found else None

    return matches


_CALLED = {ListKind.DOMAIN: "domain", ListKind.HOST: "host", ListKind.LOCAL_PART: "local part"}


def _pattern(pattern: str) -> Matcher:
    """`*end` or the whole text, compared without case."""
    lowered = pattern.lower()
    if pattern.startswith("*"):
        end = lowered[1:]
        return lambda subject, here: pattern if subject.endswith(end) else None
    return lambda subject, here: pattern if subject == lowered else None


def _domain(pattern: str, place: Place) -> Matcher:
    if pattern == "@":
        return lambda subject, here: (
            here.primary_hostname if subject == here.primary_hostname.lower() else None
        )
    if pattern.startswith("@"):
        raise _not_read(f"{pattern} in a domain list", place)
    return _pattern(pattern)


def _local_part(pattern: str, place: Place) -> Matcher:
    return _pattern(pattern)


def _host(pattern: str, place: Place) -> Matcher:
    if not pattern:  # an empty item is a message from this host itself, without a connection
        return lambda subject, here: None if subject else pattern
    if pattern == "@[]":
        return lambda subject, here: pattern if subject in here.addresses else None
    if not re.fullmatch(r"[0-9A-Fa-f.:]+(?:/[0-9]{1,3})?", pattern):
        raise _not_read(f"the host name {pattern} in a host list", place)
    try:
        network = ipaddress.ip_network(pattern, strict=False)
    except ValueError:
        raise ConfigurationError(
            place,
            f"malformed IP address or address mask: {pattern}",
            "write it like 192.0.2.1 or 192.0.2.0/24; in an IPv6 address double each colon",
        ) from None

    def matches(subject: str, here: Here) -> str | None:
        try:
            return pattern if ipaddress.ip_address(subject) in network else None
        except ValueError:
            return None

    return matches


_HOW: dict[ListKind, Callable[[str, Place], Matcher]] = {
    ListKind.DOMAIN: _domain,
    ListKind.HOST: _host,
    ListKind.LOCAL_PART: _local_part,
}


def _not_read(what: str, place: Place) -> ConfigurationError:
    return ConfigurationError(place, f"{what} is not read by labkit yet", "a real Exim can run it")
