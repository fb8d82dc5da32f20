"""Make a list of its text, and say which named lists it lacks.

READ NEXT  items.py
"""

from __future__ import annotations

from collections.abc import Iterator

from labkit.eximconf.lists.kinds import ListKind, NamedLists
from labkit.eximconf.lists.pattern_list import PatternList
from labkit.eximconf.reader import Place


def compile_list(
    kind: ListKind,
    text: str,
    place: Place,
    named: NamedLists,
    *,
    expands: bool = True,
    forces_cache: bool = False,
    is_one: bool = False,
) -> PatternList:
    """Compile a list. Raises ConfigurationError for what Exim can do and labkit cannot.

    `expands`: False for a text that must not be expanded. `forces_cache`: it was defined with _cache. `is_one`: the
    text is one item, whatever stands in it.
    """
    return PatternList(kind, text, place, named, expands=expands, forces_cache=forces_cache, is_one=is_one)


def check_names(patterns: PatternList, named: NamedLists) -> Iterator[str]:
    """The named lists that it needs and that are not there. What only an expansion would tell is not seen."""
    for kind, name in dict.fromkeys(patterns.names()):
        if (kind, name) not in named:
            yield name
