"""A notebook by the other engine: run on the real Exim, its cells that are tagged `fact` show the same.

DOES       runs each notebook that has such cells with LABKIT_ENGINE=exim, from the top, in a kernel of its own. No cell
           may fail, and what a `fact` cell shows is, to the letter, what the committed notebook shows.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import nbformat
import notebook_form
import pytest
from nbclient import NotebookClient

NOTEBOOKS = Path(__file__).resolve().parents[2] / "notebooks"
PATIENCE = 300  # s for a cell: the real Exim starts a process for each delivery


def facts(notebook: Any) -> dict[str, str]:
    """What the cells tagged `fact` show, as text: {id of the cell: text}."""
    shown = {}
    for cell in notebook["cells"]:
        if notebook_form.FACT in cell["metadata"].get("tags", ()):
            texts = (
                output.get("text") or output.get("data", {}).get("text/plain", "")
                for output in cell["outputs"]
            )
            shown[cell["id"]] = "".join("".join(text) for text in texts)
    return shown


WITH_FACTS = [path for path in sorted(NOTEBOOKS.glob("*.ipynb")) if facts(notebook_form.load(path))]


@pytest.mark.needs("exim", "gcc")
@pytest.mark.parametrize("path", WITH_FACTS, ids=lambda path: path.stem)
def test_the_facts_are_the_same(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LABKIT_ENGINE", "exim")
    monkeypatch.delenv("MPLBACKEND", raising=False)
    notebook = nbformat.read(path, as_version=4)  # type: ignore[no-untyped-call]
    for cell in notebook.cells:  # what stands there was said by labkit
        if cell.cell_type == "code":
            cell.outputs = []
    client = NotebookClient(
        notebook,
        kernel_name=notebook_form.KERNEL["name"],
        resources={"metadata": {"path": str(path.parent)}},
        skip_cells_with_tag=notebook_form.SKIP,
        store_widget_state=False,
        timeout=PATIENCE,
    )
    client.execute()
    told = facts(notebook)
    assert all(told.values()), "a cell that shows nothing is no fact"
    assert told == facts(notebook_form.load(path))


def test_there_are_notebooks_with_facts() -> None:
    """Else the test above is for none."""
    assert {path.stem for path in WITH_FACTS} >= {
        "02a_relay",
        "02b_who_vouches",
        "02c_what_survives",
        "03_backup_mx",
        "04_loops",
        "05_virtual_domains",
        "07_spam",
    }
