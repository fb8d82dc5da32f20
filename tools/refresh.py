"""Run the notebooks and store them in their committed form.

    tools/refresh.py            run all notebooks from the top, each in a fresh kernel, and store what they show
    tools/refresh.py 03 07      only these
    tools/refresh.py --form     run nothing: only bring the files into the committed form
    tools/refresh.py --check    change nothing: say what is wrong; exit status 1 if anything is

DOES       a notebook whose cell fails is left as it was (a cell tagged raises-exception is meant to fail).
           Cells tagged nbval-skip are not run. What this stores is what strict nbval compares: read the diff.
READ NEXT  notebook_form.py
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import notebook_form

NOTEBOOKS = Path(__file__).resolve().parents[1] / "notebooks"
CELL_TIMEOUT = 120


def chosen(folder: Path, wanted: list[str]) -> list[Path]:
    """The notebooks whose names begin with one of `wanted`; all of them when nothing is wanted."""
    every = sorted(folder.glob("*.ipynb"))
    for start in wanted:
        if not any(path.name.startswith(start) for path in every):
            raise SystemExit(f"refresh: there is no notebook {start} in {folder.name}/")
    return [path for path in every if not wanted or path.name.startswith(tuple(wanted))]


def run(path: Path) -> None:
    """Execute a notebook where it lies and store it. Raises nbclient's CellExecutionError and stores nothing."""
    import nbformat
    from nbclient import NotebookClient

    text = notebook_form.dump(notebook_form.canonical(notebook_form.load(path)))
    notebook = nbformat.reads(text, as_version=4)  # type: ignore[no-untyped-call]
    client = NotebookClient(
        notebook,
        kernel_name=notebook_form.KERNEL["name"],
        record_timing=False,
        resources={"metadata": {"path": str(path.parent)}},
        skip_cells_with_tag=notebook_form.SKIP,
        store_widget_state=False,
        timeout=CELL_TIMEOUT,
    )
    os.environ.pop("MPLBACKEND", None)  # else the kernel would not draw inline
    client.execute()
    store(path, notebook)


def store(path: Path, notebook: notebook_form.Notebook) -> None:
    """Write a notebook in the committed form; an unchanged file is not touched."""
    text = notebook_form.dump(notebook_form.canonical(notebook))
    if path.read_text(encoding="utf-8") != text:
        path.write_text(text, encoding="utf-8")


def refresh(paths: list[Path]) -> Iterator[str]:
    """Run each notebook; yields what went wrong: an exception in a cell, a time-out, a kernel that died."""
    for path in paths:
        began = time.monotonic()
        print(f"{path.name} ... ", end="", flush=True)
        try:
            run(path)
        except Exception as problem:
            print("failed")
            yield f"{path.name}: not stored: {problem}"
        else:
            print(f"{time.monotonic() - began:.1f} s")


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="tools/refresh.py", description="Run and store the notebooks.")
    parser.add_argument(
        "notebooks", nargs="*", metavar="NN", help="how the names begin, as 03 (default: all)"
    )
    how = parser.add_mutually_exclusive_group()
    how.add_argument("--form", action="store_true", help="run nothing, only store the committed form")
    how.add_argument("--check", action="store_true", help="change nothing, only say what is wrong")
    options = parser.parse_args(arguments)

    paths = chosen(NOTEBOOKS, options.notebooks)
    wrong: list[str] = []
    if options.form:
        for path in paths:
            store(path, notebook_form.load(path))
    elif not options.check:
        wrong += refresh(paths)
    wrong += [line for path in paths for line in notebook_form.problems(path)]
    print("\n".join(wrong) or f"{len(paths)} notebooks, all in the committed form")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
