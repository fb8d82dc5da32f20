"""Prefixes and suffixes of local parts: `owner-*`, `*-request`, `+*`.

WHAT       prefix_of and suffix_of give the affix and the part of it that the star stands for.
LIKE EXIM  the first in the list that fits counts, compared without case; a star takes as much as it can; an affix
           may be the whole local part, except a suffix without a star
TAINT      where the star stands for something, a stranger has chosen the affix
STANDARDS  Exim specification, chapter "Generic options for routers", options local_part_prefix, local_part_suffix
READ NEXT  walk.py
"""

from __future__ import annotations

from collections.abc import Sequence

from labkit.eximconf.expansion import Tainted


def prefix_of(local_part: str, prefixes: Sequence[str]) -> tuple[str, str] | None:
    """The prefix and its variable part, or None. An empty one is none."""
    lowered = local_part.lower()
    for written in prefixes:
        wanted = written.lower()
        if wanted.startswith("*"):
            at = lowered.rfind(wanted[1:])
            if at >= 0:
                end = at + len(wanted) - 1
                return _chosen(local_part[:end], local_part[:at]) if end else None
        elif lowered.startswith(wanted):
            return (local_part[: len(wanted)], "") if wanted else None
    return None


def suffix_of(local_part: str, suffixes: Sequence[str]) -> tuple[str, str] | None:
    """The suffix and its variable part, or None. An empty one is none."""
    lowered = local_part.lower()
    for written in suffixes:
        wanted = written.lower()
        if wanted.endswith("*"):
            at = lowered.find(wanted[:-1])
            if at >= 0:
                found = local_part[at:]
                return _chosen(found, found[len(wanted) - 1 :]) if found else None
        elif len(lowered) > len(wanted) and lowered.endswith(wanted):
            return (local_part[len(lowered) - len(wanted) :], "") if wanted else None
    return None


def _chosen(affix: str, variable: str) -> tuple[str, str]:
    return (Tainted(affix), variable) if variable else (affix, "")
