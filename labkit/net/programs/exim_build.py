"""Build Exim from its unpacked sources.

WHAT       `missing_packages` says what make needs; `build` makes and installs, and gives the finished program.
RULES      Exim is built by an ordinary user and installed into a folder of that user: root must name one.
           Set it in EXIM_BIN (or give its path to `host.run_on`) and the lab runs it.
STANDARDS  Exim specification, chapter "Building and installing Exim"
READ NEXT  exim_found.py
"""

from __future__ import annotations

import os
import re
import shlex
import shutil
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from labkit.net.programs.exim_found import InstalledExim, find_exim
from labkit.net.programs.exim_options import (
    EVERYTHING,
    HEADERS,
    PROGRAMS,
    capabilities,
    read_makefile,
    write_local_makefile,
)
from labkit.net.programs.exim_source import PATIENCE, BuildFailed


@dataclass(frozen=True, slots=True)
class Built:
    """A finished Exim. `exim.path` is for EXIM_BIN."""

    exim: InstalledExim
    makefile: Path
    log: Path
    seconds: float


def missing_packages(options: Mapping[str, str]) -> tuple[str, ...]:
    """Debian's names of what must be installed before make can work."""
    missing = [package for program, package in PROGRAMS.items() if shutil.which(program) is None]
    if "gcc" in missing:
        return (
            *missing,
            *(package for _, package, asked in HEADERS if not asked or any(map(options.get, asked))),
        )
    wanted = {
        header: package for header, package, asked in HEADERS if not asked or any(map(options.get, asked))
    }
    lines = [
        f"#if !__has_include(<{header}>)\nmissing {package}\n#endif\n" for header, package in wanted.items()
    ]
    seen = subprocess.run(
        ["gcc", "-E", "-P", "-x", "c", "-"],
        input="".join(lines),
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    ).stdout
    return (*missing, *re.findall(r"missing (\S+)", seen))


def build(
    tree: Path,
    options: Mapping[str, str] | None = None,
    *,
    jobs: int | None = None,
    account: str | None = None,
    patience: float = PATIENCE,
) -> Built:
    """Build and install the Exim of this source tree; takes about a minute. Its words are in build.log in the tree.

    Without `options`, Local/Makefile must be there. Root must name the `account` who builds and will run it, and who
    is given the tree, and the folder above BIN_DIRECTORY if it is new. Raises BuildFailed.
    """
    who = _ids(account)
    if (who[0] if who else os.geteuid()) == 0:
        raise BuildFailed("Exim is built and run by an ordinary user, not by root: name one (account=…).")
    makefile = write_local_makefile(tree, options) if options is not None else tree / "Local" / "Makefile"
    if not makefile.is_file():
        raise BuildFailed("There is no Local/Makefile: choose your options first (write_local_makefile).")
    settings = read_makefile(makefile.read_text())
    if missing := missing_packages(settings):
        raise BuildFailed(
            f"Not everything is here. On Debian and Ubuntu: sudo apt-get install {' '.join(missing)}"
        )
    if lacking := [
        row.because for row in capabilities(settings) if not row.is_there and row.lost == EVERYTHING
    ]:
        raise BuildFailed(f"Local/Makefile is not complete: {lacking[0]}.")
    programs = Path(settings["BIN_DIRECTORY"])
    places = (
        [tree] if programs.parent.exists() else [tree, programs.parent]
    )  # nobody else's folder changes hands
    programs.mkdir(parents=True, exist_ok=True)
    if who is not None:
        _hand_over(places, *who)
    log = tree / "build.log"
    log.unlink(missing_ok=True)
    started = time.monotonic()
    for goal in ([f"-j{jobs or os.cpu_count() or 1}"], ["install", "INSTALL_ARG=-no_chown"]):
        _make(tree, goal, log, who, patience)
    if not (other := programs / "exim4").exists():
        other.symlink_to("exim")  # with Debian's patches Exim calls itself by that name
    took = time.monotonic() - started
    # The name with the version in it: another build is another path
    return Built(find_exim((programs / "exim").resolve()), makefile, log, took)


def _ids(account: str | None) -> tuple[int, int] | None:
    """User and group of the account that we, being root, become; None: we stay who we are."""
    if account is None or os.geteuid() != 0:
        return None
    import pwd

    try:
        entry = pwd.getpwnam(account)
    except KeyError:
        raise BuildFailed(f"There is no account {account} on this machine.") from None
    return entry.pw_uid, entry.pw_gid


def _hand_over(places: Sequence[Path], user: int, group: int) -> None:
    for place in places:
        for file in (place, *place.rglob("*")):
            os.chown(file, user, group, follow_symlinks=False)


def _make(tree: Path, goal: Sequence[str], log: Path, who: tuple[int, int] | None, patience: float) -> None:
    """make, in a process group of its own, so that all of it ends if we do."""
    command = ["make", *goal]
    with log.open("ab") as output:
        output.write(f"$ {shlex.join(command)}\n".encode())
        output.flush()
        try:
            making = subprocess.Popen(
                command,
                cwd=tree,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env={"PATH": os.environ.get("PATH", os.defpath), "LC_ALL": "C", "HOME": str(tree)},
                start_new_session=True,
                user=who[0] if who else None,
                group=who[1] if who else None,
                extra_groups=[] if who else None,
            )
        except PermissionError as problem:
            raise BuildFailed(f"Who builds Exim may not look into {tree}.") from problem
        try:
            status = making.wait(patience)
        except subprocess.TimeoutExpired as problem:
            raise BuildFailed(f"make has not finished within {patience:.0f} s. See {log}") from problem
        finally:
            if making.poll() is None:
                os.killpg(making.pid, signal.SIGKILL)
                making.wait()
    if status != 0:
        text = log.read_text("utf-8", "replace")
        said = re.search(r"^.*(?:\berror:|fatal error|\*\*\* \S).*$", text, re.MULTILINE)
        raise BuildFailed(f"make failed: {said[0].strip() if said else 'it does not say why'}. See {log}")
