"""Find the Exim of this machine, and say what it can do.

WHAT       `find_exim` gives its path, version and what it was built with; or the one sentence that helps.
DECIDES    the path in EXIM_BIN, else `exim4` or `exim` on PATH or where daemons live.
STANDARDS  Exim specification, chapter "The Exim command line" (-bV)
READ NEXT  shim.py
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path

NAMES = ("exim4", "exim")
DAEMON_FOLDERS = ("/usr/sbin", "/usr/local/sbin", "/usr/exim/bin", "/sbin")  # a user's PATH may lack them
PACKAGE = "exim4-daemon-heavy"
PATIENCE = 10.0  # seconds for -bV, which answers in a hundredth of one


class EximMissing(RuntimeError):
    """No Exim that can be used; the text says why and what to do."""


@dataclass(frozen=True, slots=True)
class InstalledExim:
    """An Exim program. `support` has the lists of -bV by their titles: "Support for", "Lookups", "Routers" …"""

    path: Path
    version: str
    support: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    def has(self, feature: str) -> bool:
        """True if any list names it: `has("SPF")`, `has("sqlite")`, `has("appendfile/maildir")`."""
        words = feature.lower()
        return any(
            words in (item.lower(), *item.lower().split("/"))
            for items in self.support.values()
            for item in items
        )

    def companion(self, name: str) -> Path | None:
        """Another program of the same Exim, such as exim_dumpdb, which stands beside it; None if it does not."""
        path = self.path.resolve().with_name(name)
        return path if path.exists() else None

    def __str__(self) -> str:
        lists = "\n".join(f"  {title}: {' '.join(items)}" for title, items in self.support.items())
        return f"Exim {self.version} at {self.path}\n{lists}"


def find_exim(path: str | Path | None = None) -> InstalledExim:
    """The Exim at `path`, else the one of this machine. Raises EximMissing.

    A path may also come from the environment: EXIM_BIN, for one that was built from source.
    """
    chosen = path or os.environ.get("EXIM_BIN")
    found = str(chosen) if chosen else _on_path()
    if found is None:
        raise EximMissing(
            f"No Exim is installed here. On Debian and Ubuntu: sudo apt-get install {PACKAGE}; "
            "or build one (task 1) and name it in EXIM_BIN. Everything else works without."
        )
    path = Path(found).absolute()
    return _asked(path, path.stat().st_mtime_ns if path.exists() else 0)


def _on_path() -> str | None:
    folders = os.pathsep.join([os.environ.get("PATH", os.defpath), *DAEMON_FOLDERS])
    return next((found for name in NAMES if (found := shutil.which(name, path=folders))), None)


@lru_cache(maxsize=8)
def _asked(path: Path, written: int) -> InstalledExim:
    """What the program, written at that time, says of itself. It may complain of the system's configuration."""
    try:
        with tempfile.NamedTemporaryFile("w", prefix="labkit-", suffix=".conf") as named:
            # without a name in its file Exim asks the DNS for this machine's
            named.write("primary_hostname = localhost\n")
            named.flush()
            said = subprocess.run(
                [path, "-C", named.name, "-bV"],
                stdin=subprocess.DEVNULL,
                capture_output=True,
                encoding="utf-8",
                errors="replace",
                timeout=PATIENCE,
                check=False,
            ).stdout
    except (OSError, subprocess.TimeoutExpired) as problem:
        raise EximMissing(f"{path} cannot be run: {problem}. Name another Exim in EXIM_BIN.") from problem
    version = re.match(r"Exim version (\S+)", said)
    if version is None:
        raise EximMissing(f"{path} is no Exim: it does not answer -bV as one. Name another in EXIM_BIN.")
    lists = re.findall(r"^([A-Z][A-Za-z -]*?)(?: \(built-in\))?: (.+)$", said, re.MULTILINE)
    wanted = ("Support for", "Lookups", "Authenticators", "Routers", "Transports", "Malware")
    return InstalledExim(
        path, version[1], {title: tuple(items.split()) for title, items in lists if title in wanted}
    )
