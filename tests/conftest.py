"""What all tests share: programs that may be missing, and folders outside the repository.

NEEDS      `@pytest.mark.needs("swaks")` or the fixture `require("swaks")`: without the program the test is skipped
           by name; where CI=true it fails, because there every program is promised and nothing may go unseen.
WORKERS    `./lab test` runs two (pytest-xdist). The tests of a file stay together: they share what they have set up.
           `@pytest.mark.alone`: nothing else runs meanwhile, as for a test that measures time.
WITNESS    in every test: a socket of this process that is bound or connected outside loopback, or a name that would be
           asked for outside, is an error there and then (audit.py); what a world may write, `writing` tells.
FOLDERS    `root` is the checkout; `suites` the folder with the public conformance suites (LABKIT_SUITES, else
           shared/suites beside the checkout), under the same rule.
"""

from __future__ import annotations

import contextlib
import fcntl
import importlib.util
import os
import shutil
import signal
import stat
import tempfile
from collections.abc import Callable, Generator, Iterator
from pathlib import Path
from typing import Any

import pytest

from .audit import audit

ROOT = Path(__file__).resolve().parents[1]
LONG = ("tests/notebooks/test_on_exim.py",)  # each of its tests may run where there is room
SHARING = ("tests/browser", "tests/differential")  # one JupyterLab for all; each story told once
RUN = pytest.StashKey[str]()  # the name of a run with workers, where these were started
SYSTEM_FOLDERS = ("/usr/local/sbin", "/usr/sbin", "/sbin")  # where daemons live; a user's PATH may lack them
OTHER_NAMES = {
    "chromium": ("chromium-browser", "google-chrome", "chrome"),
    "exim": ("exim4",),
}
OPTIONAL = ("rspamd",)  # not promised in CI either


def is_ci() -> bool:
    return os.environ.get("CI", "").lower() in ("1", "true")


def find(program: str) -> str | None:
    """The path of a program under any of its names; NAME_BIN, as CHROMIUM_BIN, overrules the search."""
    if chosen := os.environ.get(f"{program.upper().replace('-', '_')}_BIN"):
        return chosen
    path = os.pathsep.join([os.environ.get("PATH", os.defpath), *SYSTEM_FOLDERS])
    names = (program, *OTHER_NAMES.get(program, ()))
    return next((found for name in names if (found := shutil.which(name, path=path))), None)


def missing(what: str) -> None:
    """Skip the test, or fail it where nothing may be missing."""
    if is_ci() and what not in OPTIONAL:
        pytest.fail(f"{what} is missing, and CI promises to have it", pytrace=False)
    pytest.skip(f"{what} is not installed here")


def require_program(program: str) -> str:
    found = find(program)
    if found is None:
        missing(program)
    assert found is not None
    return found


def pytest_configure() -> None:
    """End in an orderly way when told to: fixtures stop the servers that they started. And look on from now on."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    audit()


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> object:
    from xdist.scheduler import LoadScopeScheduling

    class ByFile(LoadScopeScheduling):
        """What has been set up for one test of a file, or of a folder in SHARING, is there for the others."""

        def _split_scope(self, nodeid: str) -> str:
            path = nodeid.partition("::")[0]
            folder = path.rpartition("/")[0]
            return nodeid if path in LONG else folder if folder in SHARING else path

    config.option.loadscopereorder = False  # by the number of their tests the longest files would come last
    return ByFile(config, log)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, object, object]:
    with _place(item.get_closest_marker("alone") is not None):
        return (yield)


@contextlib.contextmanager
def _place(is_alone: bool) -> Iterator[None]:
    """A place among the workers of this run. Who wants to be alone stands in the door until the others have left."""
    run = os.environ.get("PYTEST_XDIST_TESTRUNUID")
    if run is None:
        yield
        return
    path = os.path.join(tempfile.gettempdir(), f"labkit-tests-{run}")
    with open(f"{path}.room", "w") as room, open(f"{path}.door", "w") as door:
        fcntl.flock(door, fcntl.LOCK_EX)
        fcntl.flock(room, fcntl.LOCK_EX if is_alone else fcntl.LOCK_SH)
        fcntl.flock(door, fcntl.LOCK_UN)
        try:
            yield
        finally:
            fcntl.flock(room, fcntl.LOCK_UN)  # also for a child that was forked meanwhile and lives on


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node: Any) -> None:
    node.config.stash[RUN] = node.workerinput["testrunuid"]


def pytest_sessionfinish(session: pytest.Session) -> None:
    """When all workers have ended: if one of them did it, those left would not find each other."""
    run = session.config.stash.get(RUN, None)
    for what in ("room", "door") if run else ():
        with contextlib.suppress(FileNotFoundError):
            os.remove(os.path.join(tempfile.gettempdir(), f"labkit-tests-{run}.{what}"))


def pytest_runtest_setup(item: pytest.Item) -> None:
    for mark in item.iter_markers("needs"):
        for program in mark.args:
            require_program(program)


@pytest.fixture(scope="session")
def require() -> Callable[[str], str]:
    """`require("exim")` gives the path of a program, or ends the test: see NEEDS above."""
    return require_program


@pytest.fixture(scope="session")
def require_module() -> Callable[[str], None]:
    """`require_module("mypy")` ends the test where a Python package is missing; ./lab test has them all."""

    def look(module: str) -> None:
        if importlib.util.find_spec(module) is None:
            missing(f"the Python package {module}")

    return look


@pytest.fixture(scope="session")
def let_others_in() -> Callable[[Path], None]:
    """`let_others_in(folder)` lets every user pass through it and what is above it, and changes nothing else."""

    def open_way(folder: Path) -> None:
        for part in (folder, *folder.parents):
            mode = stat.S_IMODE(part.stat().st_mode)
            if (
                mode & 0o011 != 0o011
            ):  # /tmp and / are open, and a suite run by root must leave them as they are
                with contextlib.suppress(PermissionError):  # another user's: then it is his to decide
                    part.chmod(mode | 0o011)

    return open_way


@pytest.fixture(scope="session")
def root() -> Path:
    """The checkout."""
    return ROOT


@pytest.fixture(scope="session")
def suites() -> Path:
    """The folder of the public conformance suites (spf, dkim, dmarc, arc)."""
    folder = Path(os.environ.get("LABKIT_SUITES") or ROOT.parent / "shared" / "suites")
    if not folder.is_dir():
        missing(f"the folder {folder} of conformance suites")
    return folder
