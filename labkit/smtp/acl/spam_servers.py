"""The servers of spamd_address: `host port options : /socket options`.

WHAT       `servers_of` reads the list; `most_wanted` are those that are asked first.
RULES      options: pri= (the highest is asked first), weight=, tmo= and retry= (times), time=, variant=rspamd
LIKE EXIM  an option that is not known, or cannot be read, is a line in the log and counts for nothing; the same is
           true of a server without a port. time= is read, and does not keep a server from being asked. 32 servers
           are the most.
STANDARDS  Exim specification, section "Scanning with SpamAssassin and Rspamd"
READ NEXT  spam_answer.py
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache

from labkit.eximconf.expansion.numbers import interval
from labkit.eximconf.expansion.splitting import split_list

MOST_SERVERS = 32
MOST_SECONDS = 2**31 - 1
_NUMBER = re.compile(r"(pri|weight)=[ \t]*([+-]?[0-9]{1,30})")
_WORD = re.compile("((?:[^ ]+|  )*) ?")  # two blanks are one inside a word, as with every separator
_TIME = re.compile(r"[ \t]*[+-]?[0-9]")


@dataclass(frozen=True, slots=True)
class SpamServer:
    """`place`: "host port", or the path of a Unix socket. Times are seconds."""

    place: str
    is_rspamd: bool = False
    weight: int = 1
    priority: int = 1
    timeout: int = 120
    retry: int = 0


@lru_cache(maxsize=64)
def servers_of(text: str) -> tuple[tuple[SpamServer, ...], tuple[str, ...]]:
    """The servers, and what is wrong with the list in Exim's words."""
    servers: list[SpamServer] = []
    complaints: list[str] = []
    for item in split_list(text):
        server = _server(item, complaints)
        if server is None:
            complaints.append(f"invalid spamd address: '{item}'")
            continue
        servers.append(server)
        if len(servers) == MOST_SERVERS:
            break
    return tuple(servers), tuple(complaints)


def most_wanted(servers: Sequence[SpamServer]) -> Sequence[SpamServer]:
    """Those of the highest priority."""
    highest = max(server.priority for server in servers)
    return [server for server in servers if server.priority == highest]


def _server(item: str, complaints: list[str]) -> SpamServer | None:
    words = tuple([found[1].replace("  ", " ") for found in _WORD.finditer(item) if found[1]])
    if not words or (len(words) < 2 and not words[0].startswith("/")):
        return None
    place, options = (words[0], words[1:]) if words[0].startswith("/") else (" ".join(words[:2]), words[2:])
    server = SpamServer(place)
    for option in options:
        server = _with(server, option, complaints)
    return server


def _with(server: SpamServer, option: str, complaints: list[str]) -> SpamServer:
    """The server with one option more."""
    if found := _NUMBER.match(option):
        number = int(found[2]) % 2**32
        return replace(server, priority=number) if found[1] == "pri" else replace(server, weight=number)
    name, equals, value = option.partition("=")
    if option == "variant=rspamd":
        return replace(server, is_rspamd=True)
    if equals and name == "time":
        start, dash, end = value.partition("-")
        if not dash or not _TIME.match(start) or not _TIME.match(end):
            complaints.append(f"invalid spamd time value: '{value}'")
        return server
    if equals and name in ("tmo", "retry"):
        seconds = interval(value)
        if seconds is None:
            called = "timeout" if name == "tmo" else name
            complaints.append(f"invalid spamd {called} value: '{value}'")
            return server
        seconds = min(seconds, MOST_SECONDS)
        return replace(server, timeout=seconds) if name == "tmo" else replace(server, retry=seconds)
    complaints.append(f"invalid spamd parameter: '{option}'")
    return server
