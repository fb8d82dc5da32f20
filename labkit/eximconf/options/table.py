"""One row for each option that labkit knows; what has no row is refused.

WHAT       name, where it may stand, its kind, its default, Exim's chapter about it, and how far it works here.
RULES      three ways to stand in the table, and none of them is silence:
           WORKS   it takes effect;
           MOOT    there is nothing in labkit that it could change, and `effect` says why;
           TESTED  it is read and checked, and what decides (exim -be, -bt, -bv, -bh) is complete without it; a host
                   that is to run refuses it by name, because its effect is missing there.
READ NEXT  main.py, sessions.py, routers.py, transports.py, authenticators.py
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Any

from labkit.eximconf import exim_names
from labkit.eximconf.lists import NamedLists
from labkit.eximconf.options import authenticators, main, routers, sessions, transports
from labkit.eximconf.options.kinds import Kind, read_boolean
from labkit.eximconf.options.row import Option, Standing
from labkit.eximconf.place import ConfigurationError, Place
from labkit.eximconf.reader import Setting

TABLE: tuple[Option, ...] = (
    *main.ROWS,
    *sessions.ROWS,
    *routers.ROWS,
    *transports.ROWS,
    *authenticators.ROWS,
)
DRIVERS: Mapping[str, tuple[str, ...]] = {
    "router": routers.DRIVERS,
    "transport": transports.DRIVERS,
    "authenticator": authenticators.DRIVERS,
}
_ROWS = {(row.scope, row.name): row for row in TABLE}
_OF_SCOPE: dict[str, list[Option]] = {}
for _row in TABLE:
    _OF_SCOPE.setdefault(_row.scope, []).append(_row)
_NOWHERE = Place("labkit's defaults", 0)


def find(scope: str, name: str) -> Option | None:
    """The row for `name` in `scope` ("transport smtp" also finds the rows of "transport")."""
    return _ROWS.get((scope, name)) or _ROWS.get((scope.partition(" ")[0], name))


def rows(scope: str) -> list[Option]:
    """All rows that apply in a scope."""
    of_all = scope.partition(" ")[0]
    return [*_OF_SCOPE.get(of_all, ()), *(_OF_SCOPE.get(scope, ()) if scope != of_all else ())]


def read_setting(scope: str, written: Setting, named: NamedLists) -> tuple[Option, Any]:
    """The option and its value, read and compiled.

    Raises ConfigurationError for an option that labkit does not have, and for a value it cannot read.
    """
    name, value = written.name, written.value
    for prefix in ("no_", "not_"):
        stripped = find(scope, name.removeprefix(prefix)) if name.startswith(prefix) else None
        if stripped is not None and stripped.is_boolean and value is None:
            return stripped, False
    row = find(scope, name)
    if row is None:
        raise _no_such_option(scope, written)
    if row.kind.read is None or (row.is_boolean and not value):
        return row, read_boolean(name, value, written.place)
    if value is None:
        raise ConfigurationError(written.place, f"the option {name} needs a value", f"write: {name} = …")
    return row, row.kind.read(value, written.place, named)


def _no_such_option(scope: str, written: Setting) -> ConfigurationError:
    """A gap of ours, or a slip of the pen?"""
    name, of_driver = written.name, "" if scope == "main" else f" ({scope})"
    if exim_names.has(scope, name):
        problem = f'the option "{name}" is "real Exim only": labkit does not read it yet{of_driver}'
        return ConfigurationError(
            written.place, problem, "leave the line out, or run the host on a real Exim"
        )
    problem = f'{"main " if scope == "main" else ""}option "{name}" unknown{of_driver}'
    if similar := exim_names.similar(scope, name):
        return ConfigurationError(written.place, problem, f"did you mean {' or '.join(similar)}?")
    remedy = "Exim has none of that name; docs/exim-support.md lists what labkit has"
    return ConfigurationError(written.place, problem, remedy)


@cache
def defaults(scope: str) -> Mapping[str, Any]:
    """The values of all options of a scope that have a default."""
    return {row.name: _default(row.scope, row.name) for row in rows(scope) if row.default is not None}


@cache
def _default(scope: str, name: str) -> Any:
    """Read once, for all drivers that have the option."""
    row = _ROWS[scope, name]
    if isinstance(row.default, bool) or row.kind.read is None:
        return row.default
    assert row.default is not None
    return row.kind.read(row.default, _NOWHERE, {})


__all__ = ["DRIVERS", "TABLE", "Kind", "Option", "Standing", "defaults", "find", "read_setting", "rows"]
