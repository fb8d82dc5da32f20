"""The one form in which notebooks are committed: executed, and the same bytes on every machine.

WHAT       `canonical(notebook)` brings a notebook into that form; `problems(text)` says what is wrong with a file.
WHY        strict nbval compares stored outputs: what is not stored is not tested, what differs from run to run fails.
KEPT       source, ids, tags, outputs. Dropped: widget state and widget views (pages shown without a kernel would be
           blank; the text and HTML beside them stay), timings, editor metadata, paths in tracebacks.
READ NEXT  refresh.py
"""

from __future__ import annotations

import hashlib
import io
import json
import re
import tokenize
from collections.abc import Iterator
from pathlib import Path
from typing import Any

WIDGET_VIEW = "application/vnd.jupyter.widget-view+json"
KERNEL = {"display_name": "Python 3 (ipykernel)", "language": "python", "name": "python3"}
CELL_METADATA = ("jupyter", "labkit", "nbgrader", "slideshow", "tags")

SKIP = "nbval-skip"
RAISES = frozenset({"raises-exception", "nbval-raises-exception"})
FACT = "fact"  # what the cell shows is the same when LABKIT_ENGINE=exim: tests/notebooks/test_on_exim.py
KNOWN_TAGS = RAISES | {SKIP, FACT, "nbval-ignore-output", "nbval-check-output"}

ADDRESS_IN_REPR = re.compile(r"\bat 0x[0-9a-f]{6,}")
MACHINE_PATH = re.compile(
    r"/(?:root|tmp|private|Users|var/folders|home/(?:codespace|jovyan|lab|runner|ubuntu|vscode))/"
    r"|/site-packages/|\bipykernel_\d+|[A-Z]:\\\\?Users\\"
)
OUTSIDE = re.compile(
    r"""<(?:audio|iframe|img|link|script|source|video)\b[^>]*\b(?:href|src)\s*=\s*["']?(?:https?:)?//"""
    r"""|\burl\(\s*["']?(?:https?:)?//|\bimport\b[^;\n]*["']https?://|@import\s+["']https?://"""
    r"""|\b(?:cdn\.|cdnjs\.|unpkg\.com|jsdelivr\.net|fonts\.googleapis\.com)""",
    re.IGNORECASE,
)

Notebook = dict[str, Any]
Cell = dict[str, Any]
Output = dict[str, Any]


def load(path: Path) -> Notebook:
    """Read a notebook as it stands, without the repairs that nbformat would make."""
    notebook: Notebook = json.loads(path.read_text(encoding="utf-8"))
    return notebook


def dump(notebook: Notebook) -> str:
    """The text of a notebook file, written as Jupyter writes it."""
    return json.dumps(notebook, ensure_ascii=False, indent=1, sort_keys=True) + "\n"


def canonical(notebook: Notebook) -> Notebook:
    """The same notebook in the committed form. `canonical(canonical(n)) == canonical(n)`."""
    metadata = {"kernelspec": KERNEL, "language_info": {"name": "python"}}
    if "labkit" in notebook["metadata"]:
        metadata["labkit"] = notebook["metadata"]["labkit"]
    cells: list[Cell] = []
    taken: set[str] = set()
    runs = 0
    for cell in notebook["cells"]:
        runs += cell.get("execution_count") is not None
        cells.append(_canonical_cell(cell, runs, taken))
    return {"cells": cells, "metadata": metadata, "nbformat": 4, "nbformat_minor": 5}


def _canonical_cell(cell: Cell, run: int, taken: set[str]) -> Cell:
    metadata = {key: cell["metadata"][key] for key in CELL_METADATA if cell["metadata"].get(key)}
    source = text_of(cell)
    clean: Cell = {
        "cell_type": cell["cell_type"],
        "id": _own_id(cell, source, taken),
        "metadata": metadata,
        "source": source.splitlines(keepends=True),
    }
    if cell.get("attachments"):
        clean["attachments"] = cell["attachments"]
    if cell["cell_type"] == "code":
        clean["execution_count"] = None if cell.get("execution_count") is None else run
        clean["outputs"] = list(_canonical_outputs(cell.get("outputs", []), run))
    return clean


def _own_id(cell: Cell, source: str, taken: set[str]) -> str:
    """A cell keeps its id for life; one that has none, or another's, gets one made of its text."""
    own = str(cell.get("id", ""))
    salt = 0
    while not own or own in taken:
        own = hashlib.sha256(f"{salt}{source}".encode()).hexdigest()[:8]
        salt += 1
    taken.add(own)
    return own


def _canonical_outputs(outputs: list[Output], run: int) -> Iterator[Output]:
    stream: Output | None = None
    for output in outputs:
        kind = output["output_type"]
        if kind == "stream":  # how the kernel cuts a stream into pieces is chance: join them
            text = _joined(output["text"])
            if stream is not None and stream["name"] == output["name"]:
                stream["text"] = (_joined(stream["text"]) + text).splitlines(keepends=True)
                continue
            stream = {"name": output["name"], "output_type": kind, "text": text.splitlines(keepends=True)}
            yield stream
            continue
        stream = None
        if kind == "error":  # file names and line numbers of one machine: the last line says enough
            words = {key: output[key] for key in ("ename", "evalue")}
            yield {**words, "output_type": kind, "traceback": [f"{words['ename']}: {words['evalue']}"]}
            continue
        data = {
            mime: value if _is_json(mime) else _joined(value).splitlines(keepends=True)
            for mime, value in output["data"].items()
            if mime != WIDGET_VIEW
        }
        if not data:
            continue
        shown: Output = {"data": data, "metadata": output.get("metadata", {}), "output_type": kind}
        if kind == "execute_result":
            shown["execution_count"] = run
        yield shown


def problems(path: Path) -> list[str]:
    """What keeps this file from being committed, one line each: `03_x.ipynb [cell id]: words`."""
    try:
        notebook = load(path)
        clean = dump(canonical(notebook))
    except (KeyError, TypeError, UnicodeDecodeError, ValueError) as problem:
        return [f"{path.name}: not a notebook of format 4 ({problem!r})"]
    found = [f"{path.name} [{cell}]: {words}" for cell, words in _cell_problems(notebook)]
    found += [f"{path.name}: {words}" for words in _file_problems(notebook)]
    if not found and path.read_text(encoding="utf-8") != clean:
        found.append(f"{path.name}: not in the committed form; run tools/refresh.py --form")
    return found


def _file_problems(notebook: Notebook) -> Iterator[str]:
    if (notebook.get("nbformat"), notebook.get("nbformat_minor")) != (4, 5):
        yield "not of notebook format 4.5"
    if notebook["metadata"].get("kernelspec") != KERNEL:
        yield f"the kernel is not {KERNEL['display_name']}"
    if "widgets" in notebook["metadata"]:
        yield "widget state is stored"
    if not any(cell["cell_type"] == "markdown" for cell in notebook["cells"]):
        yield "no explanation at all: not one markdown cell"
    ids = [cell.get("id") for cell in notebook["cells"]]
    if not all(ids) or len(set(ids)) != len(ids):
        yield "cells without an id of their own"


def _cell_problems(notebook: Notebook) -> Iterator[tuple[str, str]]:
    for cell in notebook["cells"]:
        if cell["cell_type"] == "code":
            name = str(cell.get("id", "no id"))
            yield from ((name, words) for words in _code_problems(cell))


def _code_problems(cell: Cell) -> Iterator[str]:
    tags = set(cell["metadata"].get("tags", []))
    source = text_of(cell)
    if not source.strip():
        yield "empty code cell"
    for tag in sorted(tags - KNOWN_TAGS):
        if "nbval" in tag or "raise" in tag:
            yield f"nbval knows no tag {tag!r}"
    if ends_with_semicolon(source):
        yield "ends with ';', which silences a value in JupyterLab but not under nbval"
    if cell.get("execution_count") is None and SKIP not in tags and source.strip():
        yield "not run, so nbval would compare nothing"
    overlooked = {"an address in memory"} if "nbval-ignore-output" in tags else set()
    for output in cell.get("outputs", []):
        if output["output_type"] == "error" and not tags & RAISES:
            yield f"an error is stored ({output['ename']}) and no tag raises-exception announces it"
        if WIDGET_VIEW in output.get("data", {}):
            yield "a widget view is stored"
        for what, pattern in (
            ("the path of one machine", MACHINE_PATH),
            ("an address in memory", ADDRESS_IN_REPR),
            ("something fetched from outside", OUTSIDE),
        ):
            if what in overlooked:
                continue
            if hits := [hit for text in _texts(output) if (hit := pattern.search(text))]:
                yield f"{what} in the output: {hits[0][0]!r}"


def ends_with_semicolon(source: str) -> bool:
    """Whether the last statement of a cell ends with `;` (comments after it do not count)."""
    try:
        tokens = [
            token.string
            for token in tokenize.generate_tokens(io.StringIO(source).readline)
            if token.type in (tokenize.NAME, tokenize.NUMBER, tokenize.OP, tokenize.STRING)
        ]
    except (SyntaxError, tokenize.TokenError):  # a cell magic or a shell line
        return source.rstrip().endswith(";")
    return tokens[-1:] == [";"]


def text_of(cell: Cell) -> str:
    """The source of a cell as one string."""
    return _joined(cell["source"])


def _texts(output: Output) -> Iterator[str]:
    if output["output_type"] == "stream":
        yield _joined(output["text"])
    for mime, value in output.get("data", {}).items():
        if mime == "image/svg+xml" or not mime.startswith("image/"):
            yield json.dumps(value) if _is_json(mime) else _joined(value)


def _joined(text: str | list[str]) -> str:
    return text if isinstance(text, str) else "".join(text)


def _is_json(mime: str) -> bool:
    return mime == "application/json" or mime.endswith("+json")
