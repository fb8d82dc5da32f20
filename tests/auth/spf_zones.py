"""Zones of the openspf suite, and of tests written like it, as a `lookup` function.

FORM       {"a.test": [{"A": "192.0.2.1"}, {"MX": [10, "mx.a.test"]}, "TIMEOUT"]}. Names fold case. A TXT value may be
           a list of strings. An SPF entry counts as TXT too, unless the name has a TXT entry; TXT NONE says: none.
           TIMEOUT: what is not found at this name times out.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import labkit

MOST_ALIASES = 8


def lookup_in(zone: Mapping[str, Sequence[Any]]) -> Callable[[str, str], list[str]]:
    """A lookup of the plain door that knows this zone."""
    names = {name.lower(): entries for name, entries in zone.items()}
    nodes = {name[i:] for name in names for i in range(len(name)) if i == 0 or name[i - 1] == "."}

    def lookup(name: str, rdtype: str, aliases: int = 0) -> list[str]:
        name = name.lower()
        if name not in names:
            if name in nodes:
                return []
            raise labkit.NoSuchName(name)
        entries = names[name]
        typed = [entry for entry in entries if isinstance(entry, dict)]
        if rdtype == "TXT" and not any("TXT" in entry for entry in typed):
            typed = [{"TXT": entry["SPF"]} if "SPF" in entry else entry for entry in typed]
        values = [entry[rdtype] for entry in typed if rdtype in entry and entry[rdtype] != "NONE"]
        if values:
            return [_as_text(value, rdtype) for value in values]
        if "TIMEOUT" in entries:
            raise labkit.LookupTimedOut(name)
        alias = next((entry["CNAME"] for entry in typed if "CNAME" in entry), None)
        if alias is not None:
            if aliases >= MOST_ALIASES:
                raise labkit.LookupTimedOut(name)
            return lookup(alias.removesuffix("."), rdtype, aliases + 1)
        return []

    return lookup


def _as_text(value: Any, rdtype: str) -> str:
    if rdtype == "MX":
        return f"{value[0]} {value[1] or '.'}"
    return "".join(value) if isinstance(value, list) else str(value)
