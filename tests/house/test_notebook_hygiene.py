"""The notebooks are committed in the one form that tests them; and the lint that says so can see."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import notebook_form
import pytest
import refresh

ROOT = Path(__file__).resolve().parents[2]
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))


@pytest.mark.parametrize("notebook", NOTEBOOKS, ids=lambda path: path.stem)
def test_notebook_is_clean(notebook: Path) -> None:
    found = notebook_form.problems(notebook)
    assert not found, "\n".join(found)


def code(
    source: str, *outputs: dict[str, Any], count: int | None = 1, tags: tuple[str, ...] = ()
) -> dict[str, Any]:
    return {
        "cell_type": "code",
        "execution_count": count,
        "id": "code",
        "metadata": {"tags": list(tags)} if tags else {},
        "outputs": list(outputs),
        "source": source,
    }


def shows(text: str, mime: str = "text/plain") -> dict[str, Any]:
    return {"data": {mime: text}, "execution_count": 1, "metadata": {}, "output_type": "execute_result"}


def prints(text: str) -> dict[str, Any]:
    return {"name": "stdout", "output_type": "stream", "text": text}


def fails() -> dict[str, Any]:
    return {
        "ename": "ValueError",
        "evalue": "no",
        "output_type": "error",
        "traceback": ["File /usr/lib/site-packages/x.py:3"],
    }


def notebook(*cells: dict[str, Any]) -> dict[str, Any]:
    words = {"cell_type": "markdown", "id": "words", "metadata": {}, "source": "# A notebook"}
    metadata = {"kernelspec": notebook_form.KERNEL, "language_info": {"name": "python"}}
    return {"cells": [words, *cells], "metadata": metadata, "nbformat": 4, "nbformat_minor": 5}


@pytest.fixture
def problems(tmp_path: Path):
    """Lint this notebook, brought into the committed form first, as far as that goes."""

    def lint(given: dict[str, Any], *, as_it_is: bool = False) -> list[str]:
        path = tmp_path / "toy.ipynb"
        path.write_text(notebook_form.dump(given if as_it_is else notebook_form.canonical(given)))
        return notebook_form.problems(path)

    return lint


@pytest.mark.parametrize(
    "cell, said",
    [
        (code("1", count=None), "not run"),
        (code("1", shows("1"), count=None), "not run"),
        (code("  "), "empty"),
        (code("1;"), "';'"),
        (code("f(1);  # draws"), "';'"),
        (code("%timeit 1;"), "';'"),
        (code("1", tags=("nbval-ignore-outputs",)), "no tag 'nbval-ignore-outputs'"),
        (code("1", tags=("raise-exception",)), "no tag 'raise-exception'"),
        (code("1/0", fails()), "error is stored"),
        (code("w", shows("<W object at 0x7f1234567890>")), "in memory"),
        (code("p", prints("saved to /tmp/x1y2/out\n")), "path of one machine"),
        (code("p", prints("/tmp/ipykernel_71/3.py:1: UserWarning")), "path of one machine"),
        (code("p", shows("PosixPath('/private/var/x')")), "path of one machine"),
        (code("h", shows('<script src="https://unpkg.com/x.js"></script>', "text/html")), "outside"),
        (code("h", shows("<img alt='' src=//cdn.example/x.png>", "text/html")), "outside"),
        (code("h", shows("<style>@import url(http://a.example/x)</style>", "text/html")), "outside"),
        (
            code("h", shows('<svg><image style="fill:url(https://a.example)"/></svg>', "image/svg+xml")),
            "outside",
        ),
    ],
)
def test_lint_sees(cell: dict[str, Any], said: str, problems: Any) -> None:
    (found,) = problems(notebook(cell))
    assert said in found
    assert "[code]" in found


@pytest.mark.parametrize(
    "cell",
    [
        code("1", shows("1")),
        code("1", count=None, tags=("nbval-skip",)),
        code("1/0", fails(), tags=("raises-exception",)),
        code("x = 'a;'  # not a ;"),
        code("h", shows('<a href="https://www.rfc-editor.org/rfc/rfc5321">RFC</a>', "text/html")),
        code("p", prints("/var/spool/exim/input /home/ivan/Maildir\n")),
        code("w", shows("<W object at 0x7f1234567890>"), tags=("nbval-ignore-output",)),
        code("i", shows("iVBORw0KGgo=", "image/png")),
    ],
)
def test_lint_lets_pass(cell: dict[str, Any], problems: Any) -> None:
    assert problems(notebook(cell)) == []


def test_lint_reads_the_file_as_a_whole(problems: Any) -> None:
    clean = notebook_form.canonical(notebook(code("1", shows("1"))))
    assert problems(clean, as_it_is=True) == []

    for spoil, said in (
        (lambda n: n["metadata"].update(widgets={}), "widget state"),
        (lambda n: n["metadata"].update(kernelspec={"name": "conda-env"}), "kernel"),
        (lambda n: n["cells"].pop(0), "no explanation"),
        (lambda n: n["cells"][1].update(id="words"), "id of their own"),
        (lambda n: n["cells"][1].pop("id"), "id of their own"),
        (lambda n: n.update(nbformat_minor=4), "4.5"),
        (
            lambda n: n["cells"][1]["outputs"][0]["data"].update({notebook_form.WIDGET_VIEW: {}}),
            "widget view",
        ),
        (lambda n: n["cells"][1].update(execution_count=7), "committed form"),
        (lambda n: n["cells"][1]["metadata"].update(execution={}), "committed form"),
        (lambda n: n.pop("cells"), "not a notebook"),
    ):
        spoiled = copy.deepcopy(clean)
        spoil(spoiled)
        found = problems(spoiled, as_it_is=True)
        assert len(found) == 1, (said, found)
        assert said in found[0]


def test_form_keeps_what_counts() -> None:
    widget = {
        "data": {
            "text/plain": "Queue",
            "text/html": "<p>\nQ</p>",
            notebook_form.WIDGET_VIEW: {"model_id": "1"},
        },
        "metadata": {},
        "output_type": "display_data",
    }
    alone = {"data": {notebook_form.WIDGET_VIEW: {}}, "metadata": {}, "output_type": "display_data"}
    given = notebook(
        code("w", prints("a"), prints("b\nc"), widget, alone, count=12), code("1/0", fails(), count=9)
    )
    given["cells"][1]["metadata"] = {"tags": [], "execution": {"iopub": 1}, "labkit": {"exercise": "hops"}}
    form = notebook_form.canonical(given)
    first, second = form["cells"][1:]
    assert [first["id"], first["execution_count"], second["execution_count"]] == ["code", 1, 2]
    assert first["metadata"] == {"labkit": {"exercise": "hops"}}
    assert first["outputs"] == [
        {"name": "stdout", "output_type": "stream", "text": ["ab\n", "c"]},
        {
            "data": {"text/plain": ["Queue"], "text/html": ["<p>\n", "Q</p>"]},
            "metadata": {},
            "output_type": "display_data",
        },
    ]
    assert second["outputs"][0]["traceback"] == ["ValueError: no"]
    assert second["id"] not in ("", "code")
    assert notebook_form.canonical(form) == form


def test_refresh_runs_and_stores(tmp_path: Path) -> None:
    path = tmp_path / "00_toy.ipynb"
    skipped = {**code("raise SystemExit", count=None, tags=("nbval-skip",)), "id": "skipped"}
    raising = {**code("1/0", count=None, tags=("raises-exception",)), "id": "raising"}
    shown = {**code("import os; print(os.getcwd() != '/'); 6 * 7", count=None), "id": "shown"}
    path.write_text(notebook_form.dump(notebook(skipped, raising, shown)))
    refresh.run(path)
    stored = path.read_bytes()
    assert notebook_form.problems(path) == []
    cells = {cell["id"]: cell for cell in notebook_form.load(path)["cells"]}
    assert cells["skipped"]["execution_count"] is None
    assert cells["raising"]["outputs"][0]["ename"] == "ZeroDivisionError"
    assert [output.get("text") or output["data"]["text/plain"] for output in cells["shown"]["outputs"]] == [
        ["True\n"],
        ["42"],
    ]
    refresh.run(path)
    assert path.read_bytes() == stored


def test_refresh_leaves_a_failing_notebook_alone(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "00_toy.ipynb"
    path.write_text(notebook_form.dump(notebook(code("1/0", count=None))))
    before = path.read_bytes()
    (said,) = refresh.refresh([path])
    assert "ZeroDivisionError" in said
    assert path.read_bytes() == before


def test_refresh_chooses_by_number() -> None:
    with pytest.raises(SystemExit, match="no notebook 99"):
        refresh.chosen(ROOT / "notebooks", ["99"])
