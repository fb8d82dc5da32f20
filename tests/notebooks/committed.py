"""A committed notebook, as its twin test reads it: its cells, what they give to a name, what they do in a kernel."""

from __future__ import annotations

import ast
import json
import re
from pathlib import Path
from types import FunctionType
from typing import Any

NOTEBOOKS = Path(__file__).resolve().parents[2] / "notebooks"


class Committed:
    """The notebook whose name begins with `name`: Committed("04_loops"). `sources` are its cells' texts, by id."""

    def __init__(self, name: str) -> None:
        (path,) = NOTEBOOKS.glob(f"{name}*.ipynb")
        self.cells: list[dict[str, Any]] = json.loads(path.read_text(encoding="utf-8"))["cells"]
        self.sources: dict[str, str] = {cell["id"]: "".join(cell["source"]) for cell in self.cells}

    def code(self, *without: str) -> dict[str, str]:
        """The cells that are run, but for these."""
        return {
            cell["id"]: self.sources[cell["id"]]
            for cell in self.cells
            if cell["cell_type"] == "code" and cell["id"] not in without
        }

    def text(self, cell: str, name: str) -> str:
        """The text in triple quotes that a cell gives to that name."""
        found = re.search(rf'^{name} = """(?:\\\n)?(.*?)"""', self.sources[cell], re.DOTALL | re.MULTILINE)
        assert found is not None, (cell, name)
        return found[1]

    def values(self, cell: str, name: str) -> list[Any]:
        """The literals that a cell gives to that name, or adds to it, in order."""
        found = []
        for node in ast.parse(re.sub(r"\bawait ", "", self.sources[cell])).body:
            if isinstance(node, (ast.Assign, ast.AugAssign)):
                target = node.targets[0] if isinstance(node, ast.Assign) else node.target
                if isinstance(target, ast.Name) and target.id == name:
                    found.append(ast.literal_eval(node.value))
        assert found, (cell, name)
        return found


async def run_cells(sources: dict[str, str], names: dict[str, Any]) -> dict[str, Any]:
    """Run the cells as a kernel does; what each one's last line came to."""
    shown: dict[str, Any] = {}
    for cell, source in sources.items():
        body = ast.parse(source).body
        if isinstance(body[-1], ast.Expr):
            target = ast.Name("_", ast.Store())
            body[-1] = ast.copy_location(ast.Assign([target], body[-1].value), body[-1])
        module = ast.fix_missing_locations(ast.Module(body, []))
        running = FunctionType(compile(module, cell, "exec", ast.PyCF_ALLOW_TOP_LEVEL_AWAIT), names)()
        if running is not None:
            await running
        shown[cell] = names.pop("_", None)
    return shown
