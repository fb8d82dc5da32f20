"""The linters are tests like others: pytest runs them all and shows what they said."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

ROOT = Path(__file__).resolve().parents[2]
PYPROJECT = ROOT / "pyproject.toml"
CONTRACTS: list[dict[str, Any]] = tomllib.loads(PYPROJECT.read_text())["tool"]["importlinter"]["contracts"]
ROOMS = "mail eximconf smtp routing delivery queue auth headers filters net mta lab teach cli".split()
LINT_IMPORTS = ("-c", "from importlinter.cli import lint_imports_command as lint; lint()", "--no-cache")

Require = Callable[[str], object]


def python(*arguments: str, where: Path = ROOT) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *arguments],
        cwd=where,
        env={**os.environ, "NO_COLOR": "1", "TERM": "dumb", "COLUMNS": "120"},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )


def must_pass(done: subprocess.CompletedProcess[str]) -> None:
    if done.returncode:
        pytest.fail(f"{done.stdout}{done.stderr}", pytrace=False)


def test_ruff_check(require_module: Require) -> None:
    require_module("ruff")
    must_pass(python("-m", "ruff", "check", "--quiet", "--output-format=concise"))


def test_ruff_format(require_module: Require) -> None:
    require_module("ruff")
    must_pass(python("-m", "ruff", "format", "--diff", "--quiet"))


def test_mypy_strict(require_module: Require) -> None:
    require_module("mypy")
    must_pass(python("-m", "mypy", "--strict"))


@pytest.mark.parametrize("contract", CONTRACTS, ids=lambda contract: contract["id"])
def test_imports(contract: dict[str, Any], require_module: Require) -> None:
    require_module("importlinter")
    for room in contract.get("source_modules", []) + contract.get("forbidden_modules", []):
        if not (ROOT / room.replace(".", "/") / "__init__.py").exists():
            pytest.skip(f"{room} is not written yet")
    must_pass(python(*LINT_IMPORTS, "--contract", contract["id"]))


def toy(folder: Path, imports: dict[str, str]) -> subprocess.CompletedProcess[str]:
    """Judge an empty house in which only these rooms import something, by the contracts of pyproject.toml."""
    for room in {*ROOMS, *imports}:
        (folder / "labkit" / room).mkdir(parents=True)
        lines = [f"import labkit.{other}\n" for other in imports.get(room, "").split()]
        (folder / "labkit" / room / "__init__.py").write_text("".join(lines))
    (folder / "labkit" / "__init__.py").touch()
    (folder / "pyproject.toml").write_bytes(PYPROJECT.read_bytes())
    return python(*LINT_IMPORTS, where=folder)


def test_contracts_allow_the_plan(tmp_path: Path, require_module: Require) -> None:
    require_module("importlinter")
    plan = {
        "eximconf": "mail",
        **dict.fromkeys(
            ("smtp", "routing", "delivery", "queue", "auth", "headers", "filters"), "eximconf mail"
        ),
        "net": "mail smtp queue",
        "mta": "net smtp routing delivery queue auth headers filters eximconf mail",
        "lab": "mta net",
        "teach": "lab mta smtp mail",
        "cli": "lab mta net",
    }
    must_pass(toy(tmp_path, plan))


@pytest.mark.parametrize(
    "room, other, because",
    [
        ("mail", "eximconf", "an arrow goes down or not at all"),
        ("smtp", "queue", "the decision rooms are blind to one another"),
        ("auth", "filters", "these too"),
        ("net", "eximconf", "net does not read configurations"),
        ("net", "routing", "net decides nothing"),
        ("net", "mta", "mta drives net"),
        ("teach", "net", "teach sees no sockets"),
        ("teach", "cli", "the two ends do not know each other"),
        ("cli", "teach", "labkit-exim runs without Jupyter"),
        ("attic", "", "a room that nobody planned"),
    ],
)
def test_contracts_forbid(
    room: str, other: str, because: str, tmp_path: Path, require_module: Require
) -> None:
    require_module("importlinter")
    judged = toy(tmp_path, {room: other})
    assert judged.returncode == 1, because
    assert f"labkit.{room}" in judged.stdout, judged.stdout + judged.stderr
