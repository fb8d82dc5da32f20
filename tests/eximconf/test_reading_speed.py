"""What it costs to read Exim's example configuration and to make it ready to run.

Cold is the first time in a process of its own, after all imports; warm is every time after that. The aim is that of a
quiet machine; the limit leaves room for a busy one.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.alone  # time is measured

EXAMPLE = Path(__file__).parents[2] / "data/configurations/example.conf"
AIM = 5.0  # milliseconds
ROOM = 5
PROCESSES, TIMES = 5, 10
MEASURING = f"""
import sys, time
from labkit.eximconf.configuration import read
from labkit.mta.compiled import compile_configuration

text = open(sys.argv[1], encoding="utf-8").read()
for _ in range({TIMES}):
    begin = time.process_time()
    compile_configuration(read(text), "mx.here.test", ("203.0.113.1",), runs=False)
    print((time.process_time() - begin) * 1e3)
"""


def milliseconds() -> list[float]:
    """Each time in one fresh process."""
    done = subprocess.run(
        [sys.executable, "-c", MEASURING, EXAMPLE],
        capture_output=True,
        encoding="ascii",
        check=True,
        cwd=Path(__file__).parents[2],
    )
    return [float(line) for line in done.stdout.split()]


def test_speed(capsys: pytest.CaptureFixture[str]) -> None:
    """The fastest of several processes: the rest is what other programs cost."""
    runs = [milliseconds() for _ in range(PROCESSES)]
    cold, warm = min(run[0] for run in runs), min(min(run[1:]) for run in runs)
    with capsys.disabled():
        print(f"\n  example configuration: {cold:.1f} ms cold, {warm:.1f} ms warm", end="")
    assert cold < ROOM * AIM
    assert warm < ROOM * AIM
