"""Who sits the exam, and the worlds it is sat in.

NEEDS      the real Exim, and a compiler for its shim; labkit-exim needs nothing.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from labkit.net.programs.shim import ShimUnavailable, build_shim
from tests.conftest import is_ci
from tests.oracles.real_exim import _nameserver, ordinary_user

from .world import LABKIT, Candidate, World, Zones

Open = Callable[..., World]


@pytest.fixture(scope="module", params=["exim", "labkit"])
def candidate(request: pytest.FixtureRequest, require: Callable[[str], str]) -> Iterator[Candidate]:
    """The real Exim first: what it does not pass is no fair question."""
    if request.param == "labkit":
        name = _login()
        group = str(os.getegid())
        yield Candidate("labkit", LABKIT, {"PYTHONPATH": os.environ.get("PYTHONPATH", "")}, {}, name, group)
        return
    installed = require("exim")
    try:
        shim = build_shim()
    except ShimUnavailable as problem:
        if is_ci():
            pytest.fail(str(problem), pytrace=False)
        pytest.skip(str(problem))
    account, identity = ordinary_user()
    folder = Path(tempfile.mkdtemp(prefix="labkit-exam-"))
    try:
        folder.chmod(0o755)
        for source, target in ((Path(installed), "exim"), (shim, "shim.so")):
            shutil.copyfile(source, folder / target)
            (folder / target).chmod(0o755)
        environment = {"LD_PRELOAD": str(folder / "shim.so")}
        yield Candidate(
            "exim", (str(folder / "exim"),), environment, identity, str(account.pw_uid), str(account.pw_gid), "base"
        )  # fmt: skip
    finally:
        shutil.rmtree(folder)


def _login() -> str:
    return str(os.geteuid())


@pytest.fixture(scope="module")
def open_world(candidate: Candidate) -> Iterator[Open]:
    """`open_world({"st1.test": {"MX": ["10 mx.st1.test."]}})`: a world without hosts; closed at the end of the file."""
    with ExitStack() as stack:

        def make(records: dict[str, dict[str, list[str]]]) -> World:
            folder = Path(tempfile.mkdtemp(prefix="labkit-exam-"))
            stack.callback(shutil.rmtree, folder, ignore_errors=True)
            folder.chmod(0o755)
            zones = Zones(records)
            place = stack.enter_context(_nameserver(zones.answer))
            world = World(folder, candidate, zones, place)
            stack.callback(world.close)
            return world

        yield make
