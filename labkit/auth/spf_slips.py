"""Slips of the pen in SPF records: what somebody wrote, and what was meant.

WHAT       `slip_of` knows the well-known mistakes in a term that breaks the grammar.
READ NEXT  steps.py
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from labkit.auth.spf_macros import shown
from labkit.auth.spf_record import is_top_label

MEANT = {
    "ipv4": "ip4:",
    "ip": "ip4:",
    "ip4v": "ip4:",
    "ipv6": "ip6:",
    "includes": "include:",
    "incude": "include:",
    "inlcude": "include:",
    "spf": "include:",
    "txt": "include:",
    "exist": "exists:",
    "host": "a:",
    "aaaa": "a:",
    "redirect": "redirect=",
    "exp": "exp=",
}

LONGEST = 300  # who writes more into one term did not slip

_ADDRESS = re.compile(r"[0-9]+(?:\.[0-9]+){3}(?:/[0-9]+)?")


@dataclass(frozen=True, slots=True)
class Slip:
    """A mistake of the kind `code`, in words, and the term that was meant. `takes_two`: the next word belongs to it."""

    code: str
    words: str
    right: str
    takes_two: bool = False


def slip_of(term: str, following: str) -> Slip | None:
    """The mistake in `term`, which `following` stands behind; None if it is not one of the known ones."""
    if len(term) + len(following) > LONGEST:
        return None
    bare = term.lstrip("+-~?")
    qualifier = term[: len(term) - len(bare)]
    name, colon, value = bare.partition(":")
    if bare.endswith((",", ";")):
        return Slip(
            "comma", f"{shown(term)} ends in {term[-1]!r}; spaces alone separate terms.", term.rstrip(",;")
        )
    if following and not bare:
        return Slip("space", f"There is a space behind {shown(term)}.", term + following, takes_two=True)
    if following and colon and not value:
        return Slip("space", f"There is a space behind {shown(term)}.", term + following, takes_two=True)
    if name.lower() == "include" and not colon:
        if "." in following and following[0] not in "+-~?":
            right = f"{term}:{following.lstrip(':')}"
            return Slip("include", "'include' names no domain.", right, takes_two=True)
        return Slip("include", "'include' names no domain.", f"{term}:DOMAIN")
    if following.startswith(":"):
        return Slip("space", f"There is a space behind {shown(term)}.", term + following, takes_two=True)
    if bare.startswith(":"):
        return Slip("space", f"There is a space before {shown(term)}.", f"a{term}")
    if colon and name.lower() in MEANT:
        right = f"{qualifier}{MEANT[name.lower()]}{value}"
        return Slip("misspelt", f"There is no mechanism {shown(name)}.", right)
    if name.lower() in ("a", "mx") and _ADDRESS.fullmatch(value):
        words = f"{shown(term)} names an address where a host name belongs."
        return Slip("address-in-a", words, f"{qualifier}ip4:{value}")
    return _bare(term, qualifier, bare)


def _bare(term: str, qualifier: str, bare: str) -> Slip | None:
    """An address or a name that stands alone."""
    if _ADDRESS.fullmatch(bare):
        return Slip(
            "no-mechanism", f"{shown(term)} is an address without a mechanism.", f"{qualifier}ip4:{bare}"
        )
    labels = bare.removesuffix(".").split(".")
    if len(labels) > 1 and all(label and is_top_label(f"a{label}") for label in labels):
        return Slip(
            "no-mechanism", f"{shown(term)} is a name without a mechanism.", f"{qualifier}include:{bare}"
        )
    return None
