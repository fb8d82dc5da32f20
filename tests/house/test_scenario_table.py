"""docs/scenarios.md says what the code says, and its examples are scenarios."""

from __future__ import annotations

import re
from pathlib import Path

import scenario_table

from labkit.lab.faults import KINDS
from labkit.lab.happening import ACTIONS
from labkit.lab.scenario_fields import FIELDS
from labkit.lab.scenario_file import scenario_of


def test_the_tables_are_what_the_tool_makes(root: Path) -> None:
    written = (root / scenario_table.FILE).read_text(encoding="utf-8")
    assert written == scenario_table.document(written), "run: python tools/scenario_table.py"


def test_everything_stands_in_it(root: Path) -> None:
    text = (root / scenario_table.FILE).read_text(encoding="utf-8")
    for name in (*KINDS, *ACTIONS, *(row.name for row in FIELDS)):
        assert f"| `{name}` |" in text, name


def test_the_example_is_a_scenario(root: Path) -> None:
    text = (root / scenario_table.FILE).read_text(encoding="utf-8")
    examples = re.findall(r"```yaml\n(.*?)```", text, re.DOTALL)
    assert examples
    for example in examples:
        assert scenario_of(example, root / "example.yaml").hosts
