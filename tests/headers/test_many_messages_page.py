"""docs/many_messages.md: its code runs, as far as it needs nothing that labkit has not."""

from __future__ import annotations

import functools
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

from labkit.headers.fast import survey
from labkit.headers.totals import Totals, survey_all
from labkit.lab.synthetic_headers import synthetic_headers


def code(root: Path) -> list[str]:
    return re.findall(r"```python\n(.*?)```", (root / "docs/many_messages.md").read_text(), re.DOTALL)


def corpus(folder: Path) -> list[Path]:
    paths = []
    for number in range(3):
        path = folder / f"part{number}.mbox"
        line = b"From ann@a.test Tue Mar 12 10:00:00 2024\n"
        path.write_bytes(b"".join(line + message + b"\r\n" for message in synthetic_headers(30, seed=number)))
        paths.append(path)
    return paths


def test_all_cores(root: Path, tmp_path: Path) -> None:
    """As a program: the workers import it."""
    paths = corpus(tmp_path)
    main = f"\nif __name__ == '__main__':\n    print(survey_files({list(map(str, paths))!r}))\n"
    (tmp_path / "program.py").write_text(code(root)[1] + main)
    done = subprocess.run(
        [sys.executable, "program.py"], cwd=tmp_path, capture_output=True, text=True, check=False,
        env={"PYTHONPATH": str(root)},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    together = Totals()
    for number in range(3):
        together.merge(survey_all(synthetic_headers(30, seed=number)))
    assert done.stdout.strip() == str(together)


def test_what_dask_and_spark_call(root: Path) -> None:
    """`added` and `merged`, folded as both do it."""
    names: dict[str, Any] = {}
    exec(code(root)[-1], names)
    surveys = [survey(message) for message in synthetic_headers(40)]
    halves = [functools.reduce(names["added"], part, Totals()) for part in (surveys[:15], surveys[15:])]
    assert functools.reduce(names["merged"], halves, Totals()) == survey_all(synthetic_headers(40))
