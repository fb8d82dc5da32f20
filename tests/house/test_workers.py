"""The places of tests among the workers of a run (tests/conftest.py): who is alone, and who does not come back."""

from __future__ import annotations

import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.conftest import _place

ROOT = Path(__file__).resolve().parents[2]
PATIENCE = 20
A_WHILE = 0.2  # in which somebody who is let in would be in
OTHER = """
import os, sys
from tests.conftest import _place
with _place(True):
    is_child = sys.argv[1] == "forks" and os.fork() == 0
    if sys.argv[1] == "stays":
        print("in", flush=True)
    if is_child or sys.argv[1] == "stays":
        sys.stdin.read()
        os._exit(0)
print("out", flush=True)
"""


@pytest.fixture(autouse=True)
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A run of its own."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.setenv("PYTEST_XDIST_TESTRUNUID", "of-its-own")
    monkeypatch.setenv("TMPDIR", str(tmp_path))


class Test:
    """Somebody who wants a place."""

    __test__ = False

    def __init__(self, is_alone: bool) -> None:
        self._is_in, self._may_go = threading.Event(), threading.Event()
        self._thread = threading.Thread(target=self._take_place, args=(is_alone,), daemon=True)
        self._thread.start()

    def _take_place(self, is_alone: bool) -> None:
        with _place(is_alone):
            self._is_in.set()
            self._may_go.wait(PATIENCE)

    def is_in(self, within: float = PATIENCE) -> bool:
        return self._is_in.wait(within)

    def goes(self) -> None:
        self._may_go.set()
        self._thread.join(PATIENCE)


@contextmanager
def other_process(what: str) -> Iterator[subprocess.Popen[str]]:
    words = [sys.executable, "-c", OTHER, what]
    with subprocess.Popen(words, cwd=ROOT, stdin=-1, stdout=-1, text=True) as process:
        try:
            yield process
        finally:
            process.kill()


def test_who_is_alone_waits_for_all_and_all_wait_for_him() -> None:
    first, second = Test(False), Test(False)
    assert first.is_in() and second.is_in()
    alone = Test(True)
    assert not alone.is_in(A_WHILE)
    late = Test(False)
    assert not late.is_in(A_WHILE), "who comes later does not go before"
    first.goes()
    assert not alone.is_in(A_WHILE)
    second.goes()
    assert alone.is_in() and not late.is_in(A_WHILE)
    alone.goes()
    assert late.is_in()
    late.goes()


def test_a_worker_that_crashes_holds_nobody_up() -> None:
    with other_process("stays") as process:
        assert process.stdout is not None and process.stdout.readline() == "in\n"
        waiting = Test(False)
        assert not waiting.is_in(A_WHILE)
        process.kill()
        assert waiting.is_in()
        waiting.goes()


def test_a_forked_child_that_lives_on_holds_nobody_up() -> None:
    with other_process("forks") as process:
        assert process.stdout is not None and process.stdout.readline() == "out\n"
        waiting = Test(True)
        assert waiting.is_in(PATIENCE)
        waiting.goes()


def test_without_workers_there_is_nothing_to_wait_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("PYTEST_XDIST_TESTRUNUID")
    with _place(True), _place(True):
        assert not list(tmp_path.glob("labkit-tests-*"))
