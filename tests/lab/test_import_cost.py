"""`import labkit` costs next to nothing, and brings along nothing heavy: a notebook's first cell is quick."""

from __future__ import annotations

import statistics
import subprocess
import sys
import time

import pytest

pytestmark = pytest.mark.alone  # time is measured

HEAVY = (
    "IPython aiosmtpd anywidget asyncio cryptography dkim dns email.policy http ipywidgets jupyter_client "
    "matplotlib numpy ssl traitlets zmq"
).split()
PAIRS = 7
MOST = 0.080  # seconds over bare Python


def seconds(program: str) -> float:
    began = time.perf_counter()
    subprocess.run([sys.executable, "-c", program], check=True)
    return time.perf_counter() - began


def test_import_labkit_is_cheap() -> None:
    """The median of what it costs more than an empty program that runs right beside it."""
    seconds("import labkit")  # writes the .pyc files, if they may be written
    costs = [-seconds("pass") + seconds("import labkit") for _ in range(PAIRS)]
    print(f"\nimport labkit: {statistics.median(costs) * 1000:.0f} ms over bare Python")
    assert statistics.median(costs) <= MOST, costs


def loaded(program: str) -> set[str]:
    report = f"{program}\nimport sys; print(' '.join(sys.modules))"
    done = subprocess.run([sys.executable, "-c", report], check=True, capture_output=True, text=True)
    return set(done.stdout.split())


def test_import_labkit_brings_nothing_heavy() -> None:
    modules = loaded("import labkit") - loaded("pass")
    assert modules.isdisjoint(HEAVY)
    assert {name for name in modules if name.startswith("labkit")} == {"labkit"}


def test_a_world_brings_no_pictures() -> None:
    """Worlds are for the command line too."""
    modules = loaded("from labkit import partners; partners(network='memory')")
    assert modules.isdisjoint(
        {"IPython", "anywidget", "ipywidgets", "matplotlib", "numpy", "aiosmtpd", "traitlets"}
    )


def test_the_public_names_are_there() -> None:
    fetch = "for name in labkit.__all__: getattr(labkit, name)"
    loaded(f"import labkit\n{fetch}\nassert set(labkit.__all__) <= set(dir(labkit))")
