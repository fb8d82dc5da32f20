"""Read the text of a look-up file: lsearch, wildlsearch, nwildlsearch, iplsearch.

WHAT       `entries` cuts a file into (key, data); `find_line` is lsearch. Who answers a FileLine brings the text only.
RULES      a key ends at a colon or a blank; in double quotes it may hold both; lines that begin with a blank go on,
           joined by one blank; a line with # in its first column is a comment, an indented one is data; of two equal
           keys the first counts; keys are compared without case.
STANDARDS  Exim specification, section "Single-key lookup types"
READ NEXT  looking.py
"""

from __future__ import annotations

import ipaddress
from functools import lru_cache

from labkit.eximconf.blanks import BLANKS
from labkit.eximconf.expansion import hosts
from labkit.eximconf.expansion.texts import lower
from labkit.eximconf.quoting import read_quoted


def entries(text: str) -> list[tuple[str, str]]:
    """Keys and data, in the order of the file."""
    found: list[tuple[str, list[str]]] = []
    for line in text.split("\n"):
        if line.startswith("#") or not line.strip(BLANKS):
            continue
        if line[0] in BLANKS:
            if found:
                found[-1][1].append(line.strip(BLANKS))
            continue
        key, rest = _key(line)
        rest = rest.strip(BLANKS)
        if rest.startswith(":"):
            rest = rest[1:].lstrip(BLANKS)
        found.append((key, [rest]))
    return [(key, " ".join(parts)) for key, parts in found]


def _key(line: str) -> tuple[str, str]:
    if not line.startswith('"'):
        end = next((at for at, char in enumerate(line) if char == ":" or char in BLANKS), len(line))
        return line[:end], line[end:]
    key, end = read_quoted(line, 0)
    return key, line[end:]


@lru_cache(maxsize=64)
def _index(text: str) -> dict[str, str]:
    index: dict[str, str] = {}
    for key, data in entries(text):
        index.setdefault(lower(key), data)
    return index


def find_line(text: str, key: str) -> str | None:
    """The data of a key, by lsearch. The same text is cut only once."""
    return _index(text).get(lower(key))


@lru_cache(maxsize=64)
def cut(text: str) -> tuple[tuple[str, str], ...]:
    """`entries`, remembered."""
    return tuple(entries(text))


def find_network(text: str, key: str) -> str | None:
    """iplsearch: the first address or network in the file that holds this address. None also for a key that is none."""
    wanted = hosts.without_mapping(hosts.read_with_scope(key))
    if wanted is None:
        return None
    for written, data in cut(text):
        try:
            network = ipaddress.ip_network(written, strict=False)
        except ValueError:
            continue
        if wanted in network:
            return data
    return None


def wanted_keys(key: str, partial: int | None, affix: str, star: str) -> list[str]:
    """The keys that are tried, in this order: the key, its parents with the affix, `*@domain`, `*`."""
    found = [key] if key else []
    if partial is not None and key:
        found += _parents(key, partial, affix)
    if star == "*@" and "@" in key:
        found.append("*" + key[key.rindex("@") :])
    if star:
        found.append("*")
    return list(dict.fromkeys(found))


def _parents(key: str, least: int, affix: str) -> list[str]:
    found = [affix + key] if affix else []
    rest = key
    while (dot := rest.find(".")) >= 0:
        rest = rest[dot + 1 :]
        if rest.count(".") + 1 < max(least, 1):
            return found
        found.append(affix + rest)
    if least == 0 and affix:
        found.append(affix.removesuffix(".") if len(affix) > 1 else affix)
    return found
