"""environment.yml (conda, Binder), pyproject.toml and requirements.lock name the same packages and versions.

That conda-forge has these versions cannot be seen from here: pins stay at minor level, as conda-forge lags.
"""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from packaging.markers import Marker
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name
from packaging.version import Version

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

ROOT = Path(__file__).resolve().parents[2]
PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
ENVIRONMENT = ROOT / "environment.yml"
NAME_ON_REGISTRY = {"matplotlib-base": "matplotlib"}
CONDA_OWN = {"python", "pip"}


def conda_pins() -> dict[str, str]:
    """Every package of environment.yml with its pin, under the name it has on the Python registry."""
    pins: dict[str, str] = {}
    for entry in yaml.safe_load(ENVIRONMENT.read_text())["dependencies"]:
        for line in entry["pip"] if isinstance(entry, dict) else [entry]:
            name, _, pin = re.fullmatch(r"([\w.-]+)(==?)?([\w.]*)", line).groups()  # type: ignore[union-attr]
            pins[canonicalize_name(NAME_ON_REGISTRY.get(name, name))] = pin
    return pins


def locked() -> dict[str, list[tuple[Version, Marker | None]]]:
    """Every package of requirements.lock with its versions and for which Python each is."""
    versions: dict[str, list[tuple[Version, Marker | None]]] = {}
    for line in (ROOT / "requirements.lock").read_text().splitlines():
        if line and not line.startswith((" ", "#")):
            requirement = Requirement(line.rstrip("\\ "))
            (exact,) = requirement.specifier
            assert exact.operator == "=="
            versions.setdefault(canonicalize_name(requirement.name), []).append(
                (Version(exact.version), requirement.marker)
            )
    return versions


def declared(*groups: str) -> dict[str, Requirement]:
    """What pyproject.toml asks for: the dependencies, and those of these groups."""
    lines: list[str] = list(PYPROJECT["project"]["dependencies"])
    for group in groups:
        lines += [line for line in PYPROJECT["dependency-groups"][group] if isinstance(line, str)]
    return {canonicalize_name(asked.name): asked for asked in map(Requirement, lines)}


def applies(marker: Marker | None, python: str) -> bool:
    return marker is None or marker.evaluate({"python_version": python, "python_full_version": f"{python}.0"})


def test_conda_has_what_a_notebook_test_needs() -> None:
    python = conda_pins()["python"]
    asked = {name for name, wish in declared("test").items() if applies(wish.marker, python)}
    assert conda_pins().keys() - CONDA_OWN == asked


@pytest.mark.parametrize("name", sorted(conda_pins().keys() - CONDA_OWN))
def test_conda_pin_is_the_locked_version(name: str) -> None:
    python, pin = conda_pins()["python"], conda_pins()[name]
    assert pin, f"{name} has no pin in environment.yml"
    (version,) = [version for version, marker in locked()[name] if applies(marker, python)]
    assert f"{version}.".startswith(f"{pin}."), f"environment.yml has {name}={pin}, the lock {version}"


@pytest.mark.parametrize("name", sorted(declared("test", "dev")))
def test_lock_keeps_what_pyproject_asks(name: str) -> None:
    asked = declared("test", "dev")[name]
    assert locked()[name], f"{name} is not locked"
    assert all(version in asked.specifier for version, _ in locked()[name])


def test_conda_python_is_allowed() -> None:
    assert f"{conda_pins()['python']}.0" in SpecifierSet(PYPROJECT["project"]["requires-python"])


def test_every_locked_package_has_a_digest() -> None:
    entries = re.split(r"\n(?=\S)", (ROOT / "requirements.lock").read_text())
    assert len(entries) > 100
    assert [entry.split()[0] for entry in entries if "--hash=sha256:" not in entry] == []


def test_binder_has_the_same_environment() -> None:
    """repo2docker ignores the root's file once binder/ exists."""
    assert (ROOT / "binder" / "environment.yml").read_bytes() == ENVIRONMENT.read_bytes()


def test_binder_can_cache_the_environment() -> None:
    """A path in the pip section (-e ., -r, .) would make Binder build everything anew for each commit."""
    (pip,) = [
        entry["pip"]
        for entry in yaml.safe_load(ENVIRONMENT.read_text())["dependencies"]
        if type(entry) is dict
    ]
    assert [line for line in pip if not re.match(r"[a-z]", line)] == []


@pytest.mark.parametrize("script", ["lab", "binder/postBuild", ".ci/run"])
def test_scripts_are_executable_and_parse(script: str) -> None:
    path = ROOT / script
    assert path.stat().st_mode & 0o100
    shell = "bash" if "bash" in path.read_text().splitlines()[0] else "sh"
    subprocess.run([shell, "-n", str(path)], check=True)
