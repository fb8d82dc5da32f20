"""Is there a mail server on this very computer? A look at the real machine, not at the lab.

WHAT       `look_around()` finds packages that are an MTA (dpkg), programs by the names MTAs have, and who listens on
           the mail ports. `brings_an_mta("mutt")` reads what installing a package may bring along.
RULES      it only reads: the package list, folders of programs, /proc/net/tcp. It connects to nothing.
           What cannot be looked at here (no dpkg, no /proc) is said by name, never taken for "there is none".
LIKE       dpkg-query -W, ls -l /usr/sbin/sendmail, dpkg -S, ss -ltn, apt-cache depends
READ NEXT  downloads.py
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address
from pathlib import Path

MAIL_PORTS = {25: "SMTP", 465: "submission, TLS from the start", 587: "submission"}
NAMES = ("sendmail", "exim4", "exim", "postfix", "smtpd", "nullmailer-send", "msmtp", "dma")
FOLDERS = ("/usr/sbin", "/usr/local/sbin", "/usr/lib", "/usr/exim/bin", "/sbin")
PROVIDED = "mail-transport-agent"  # the name that every MTA's package of Debian and Ubuntu provides
LISTENS = "0A"  # the state of a listening socket in /proc/net/tcp
PATIENCE = 20.0  # seconds for dpkg and apt-cache, which take a tenth of one


@dataclass(frozen=True, slots=True)
class Trace:
    """One thing that was found: a package, a program, a listener, or something that could not be looked at."""

    kind: str
    name: str
    detail: str


@dataclass(frozen=True, slots=True)
class Machine:
    """What was found, and what could not be looked at."""

    traces: tuple[Trace, ...]

    def of(self, kind: str) -> tuple[Trace, ...]:
        """The traces of a kind: "package", "program", "listener" or "not looked"."""
        return tuple(trace for trace in self.traces if trace.kind == kind)

    @property
    def has_mta(self) -> bool:
        """A package or a program is there."""
        return bool(self.of("package") or self.of("program"))

    @property
    def listens(self) -> bool:
        """Somebody listens on a mail port."""
        return bool(self.of("listener"))


@dataclass(frozen=True, slots=True)
class Companion:
    """What a package would bring along: how strongly it asks for it, and what."""

    package: str
    how: str
    what: str


def look_around() -> Machine:
    """Look at this computer: packages, programs, listeners."""
    return Machine((*_packages(), *_programs(), *_listeners()))


def brings_an_mta(packages: Sequence[str]) -> tuple[Companion, ...]:
    """For each of these packages: whether it depends on an MTA, recommends or only suggests one. By apt-cache."""
    said = _said(["apt-cache", "depends", *packages])
    if said is None:
        return tuple(Companion(name, "not looked", "there is no apt-cache here") for name in packages)
    parts = {part.partition("\n")[0]: part for part in re.split(r"^(?=\S)", said, flags=re.MULTILINE)}
    return tuple(
        Companion(name, *_asked_for(parts[name]))
        if name in parts
        else Companion(name, "not known", "to the package lists of this computer")
        for name in packages
    )


def _asked_for(said: str) -> tuple[str, str]:
    """The strongest wish for an MTA in the words of `apt-cache depends`; in a group, "|" marks all but the last."""
    wishes = re.findall(r"^ [ |]([A-Z][A-Za-z]+): <?([^\s<>]+)>?$", said, re.MULTILINE)
    for how in ("PreDepends", "Depends", "Recommends", "Suggests"):
        names = [name for kind, name in wishes if kind == how and name in ("default-mta", PROVIDED)]
        if names:
            return how.lower(), " or ".join(dict.fromkeys(names))
    return "nothing", "no MTA"


def _packages() -> list[Trace]:
    form = "${db:Status-Abbrev}\t${Package}\t${Version}\t${Provides}\n"
    said = _said(["dpkg-query", "--show", f"--showformat={form}"])
    if said is None:
        return [
            Trace("not looked", "packages", "there is no dpkg here: ask this system's own package manager")
        ]
    rows = [line.split("\t") for line in said.splitlines()]
    return [
        Trace("package", row[1], row[2])
        for row in rows
        if len(row) == 4 and row[0].startswith("ii") and PROVIDED in re.split(r"[\s,]+", row[3])
    ]


def _programs() -> list[Trace]:
    path = os.pathsep.join([os.environ.get("PATH", os.defpath), *FOLDERS])
    files = [Path(found) for name in NAMES if (found := shutil.which(name, path=path))]
    return [Trace("program", str(file), _whose(file)) for file in files]


def _whose(file: Path) -> str:
    """Where a link leads, and which package put the file there."""
    real = file.resolve()
    said = _said(["dpkg", "--search", str(file)]) or _said(["dpkg", "--search", str(real)]) or ""
    package = said.partition(":")[0]
    words = [f"leads to {real.name}"] if real.name != file.name else []
    return ", ".join([*words, f"of the package {package}" if package else "of no package: put there by hand"])


def _listeners() -> list[Trace]:
    tables = [Path("/proc/net/tcp"), Path("/proc/net/tcp6")]
    if not tables[0].exists():
        return [
            Trace("not looked", "listeners", "there is no /proc/net/tcp here: try ss -ltn or netstat -an")
        ]
    lines = [line for table in tables if table.exists() for line in table.read_text("ascii").splitlines()]
    places = sorted({place for line in lines if (place := listening_place(line)) is not None})
    return [
        Trace("listener", f"port {port}", f"{MAIL_PORTS[port]}, at {address}")
        for port, address in places
        if port in MAIL_PORTS
    ]


def listening_place(line: str) -> tuple[int, str] | None:
    """Port and address of a line of /proc/net/tcp or tcp6, if somebody listens there."""
    words = line.split()
    if (
        len(words) < 4
        or words[3] != LISTENS
        or not re.fullmatch(r"([0-9A-F]{8}|[0-9A-F]{32}):[0-9A-F]{4}", words[1])
    ):
        return None
    address, port = words[1].split(":")
    # groups of four octets, each written as a number of this machine's byte order
    octets = b"".join(_little(address[at : at + 8]) for at in range(0, len(address), 8))
    return int(port, 16), str(IPv4Address(octets) if len(octets) == 4 else IPv6Address(octets))


def _little(group: str) -> bytes:
    return int(group, 16).to_bytes(4, sys.byteorder)


def _said(command: Sequence[str]) -> str | None:
    """What a program prints; None if there is no such program."""
    try:
        return subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            encoding="utf-8",
            errors="replace",
            env={"PATH": os.environ.get("PATH", os.defpath), "LC_ALL": "C"},
            timeout=PATIENCE,
            check=False,
        ).stdout
    except (OSError, subprocess.TimeoutExpired):
        return None
