"""What the oracles share: the real Exim in a folder of its own, and the library that puts it into a lab.

NEEDS      without Exim, or without a compiler for the shim, a test is skipped by name and reason; in CI it fails.
READ NEXT  real_exim.py
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from labkit.net.programs.shim import ShimUnavailable, build_shim
from tests.conftest import is_ci

from .both_programs import Both, both_programs
from .real_exim import RealExim, open_real_exim


@pytest.fixture(scope="module")
def real_exim(require: Callable[[str], str]) -> Iterator[RealExim]:
    """One for each file of tests: what a file leaves in the folder, no other finds."""
    with open_real_exim(require("exim")) as found:
        yield found


@pytest.fixture
def both(real_exim: RealExim, tmp_path: Path) -> Both:
    """By name: exim, labkit."""
    return both_programs(real_exim, tmp_path)


@pytest.fixture(scope="session")
def shim() -> Path:
    """For `RealExim.in_lab`; compiled if it was not yet."""
    try:
        return build_shim()
    except ShimUnavailable as problem:
        if is_ci():
            pytest.fail(str(problem), pytrace=False)
        pytest.skip(str(problem))
