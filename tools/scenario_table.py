"""Writes the tables of docs/scenarios.md from those of the code: python tools/scenario_table.py

WHAT       the fields of a scenario file, the actions of its agenda, the faults, the phases, the addresses that ask for
           trouble, and the scenarios that come with labkit.
RULES      what stands between two marks `<!-- NAME -->` and `<!-- end -->` is written anew; the text around is by hand.
           tests/house/test_scenario_table.py compares the file with this tool.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from labkit.lab.faults import DETAILS, KINDS
from labkit.lab.happening import ACTIONS
from labkit.lab.scenario_fields import FIELDS
from labkit.lab.scenario_file import read_scenario
from labkit.smtp.misbehaviour import PHASES, WISHES

ROOT = Path(__file__).resolve().parents[1]
FILE = Path("docs/scenarios.md")
_PART = re.compile(r"<!-- (?P<name>[a-z]+) -->\n.*?<!-- end -->", re.DOTALL)
_SECTIONS = {
    "scenario": "at the top",
    "host": "hosts",
    "laptop": "laptops",
    "zone": "zones",
    "fault": "faults",
    "line": "agenda",
    "letter": "agenda, send",
    "customer": "customers of a relay",
    "list": "lists of a list host",
}


def document(text: str) -> str:
    """The same text with its tables written anew. Raises KeyError for a mark that names no table."""
    return _PART.sub(
        lambda found: f"<!-- {found['name']} -->\n{_TABLES[found['name']]()}\n<!-- end -->", text
    )


def _fields() -> str:
    rows = [
        (_SECTIONS[row.section], _code(row.name), row.kind, "yes" if row.needed else "", row.effect)
        for row in FIELDS
    ]
    return _table(("where", "field", "kind", "needed", "what it says"), rows)


def _faults() -> str:
    rows = []
    for name, kind in KINDS.items():
        details = [*map(_code, kind.needs), *(f"maybe {_code(each)}" for each in kind.takes)]
        engines = "the nameserver" if kind.is_of_name else ", ".join(kind.engines)
        rows.append((_code(name), kind.effect, ", ".join(details), engines))
    return _table(("fault", "what happens", "details", "where it works"), rows)


def _scenarios() -> str:
    rows = []
    for path in sorted((ROOT / "data/scenarios").glob("*.yaml")):
        about = " ".join(read_scenario(path).about.split())
        rows.append((_code(path.stem), f"{about.partition('. ')[0].rstrip('.')}."))
    return _table(("name", "what it shows"), rows)


_TABLES: dict[str, Callable[[], str]] = {
    "fields": _fields,
    "faults": _faults,
    "scenarios": _scenarios,
    "details": lambda: _table(("detail", "what it is"), [(_code(n), words) for n, words in DETAILS.items()]),
    "phases": lambda: _table(("phase", "when"), [(_code(n), words) for n, words in PHASES.items()]),
    "addresses": lambda: _table(
        ("address", "what happens"), [(_code(n), words) for n, words in WISHES.items()]
    ),
    "actions": lambda: _table(
        ("action", "what happens"), [(_code(n), words) for n, words in ACTIONS.items()]
    ),
}


def _table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [f"| {' | '.join(heads)} |", f"|{'|'.join(' --- ' for _ in heads)}|"]
    return "\n".join([*lines, *(f"| {' | '.join(row)} |" for row in rows)])


def _code(text: str) -> str:
    return f"`{text}`"


def main() -> int:
    """Write the file; returns 0."""
    path = ROOT / FILE
    path.write_text(document(path.read_text(encoding="utf-8")), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
