"""docs/exim-support.md says what the code says."""

from __future__ import annotations

from pathlib import Path

import pytest
import support_table

from labkit.eximconf import exim_names, options
from labkit.eximconf.lists import ListKind, compile_list
from labkit.eximconf.place import Place


def test_the_file_is_what_the_tool_makes(root: Path) -> None:
    written = (root / support_table.FILE).read_text(encoding="utf-8")
    assert written == support_table.document(), "run: python tools/support_table.py"


def test_every_option_stands_in_it() -> None:
    lines = support_table.document().splitlines()
    rows = [line for line in lines if line.startswith("| `") and line.count(" | ") == 4]
    assert len(rows) == len(options.TABLE)


def test_every_name_of_exim_stands_in_it() -> None:
    text = support_table.document()
    own = {scope for scope in exim_names.OPTIONS if " " not in scope} | {row.scope for row in options.TABLE}
    missing = [name for scope in own for name in exim_names.OPTIONS.get(scope, ()) if f"`{name}`" not in text]
    assert missing == []


@pytest.mark.parametrize("kind", ListKind)
def test_the_items_can_be_read(kind: ListKind) -> None:
    place = Place("exim.conf", 1)
    items = [item for item, _ in support_table.LIST_ITEMS[kind]]
    assert "" in items or kind in (ListKind.DOMAIN, ListKind.LOCAL_PART)
    for item in items:
        compile_list(kind, f"<; {item} ; x.test", place, {})
