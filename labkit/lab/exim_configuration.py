"""Prepare a host's exim.conf for the real Exim: what it must read differently here, and nothing else.

WHAT       `copy_of` gives the host's file as Exim reads it, line for line: absolute paths lead to the host's own
           folder, and the few settings that only the lab can make are commented out. `Change` names each line that
           differs. `lab_settings` is the file around it: those settings, and defaults for what the host leaves open.
WHY        a line keeps its number, so what Exim says of line 12 is true of the host's line 12.
STANDARDS  Exim specification, chapter "The Exim run time configuration file" (comments, continuation, .include)
READ NEXT  exim_engine.py
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from pathlib import Path

from labkit.net.program_run import OWN_PATH

# What only the lab can know. Exim refuses an option that is set twice, so the host's own lines step aside.
FORCED = (
    "exim_path", "exim_user", "exim_group", "deliver_drop_privilege", "spool_directory", "log_file_path",
    "pid_file_path",
)  # fmt: skip
_FORCED = re.compile(rf"\s*(?:hide\s+)?(?:{'|'.join(FORCED)})\s*=")
_FLAG = re.compile(r"\s*(?:no_|not_)?deliver_drop_privilege\s*$")
_INCLUDE = re.compile(r'\s*\.include(?:_if_exists)?\s+"?(?P<path>[^\s"]+)')
_SETTING = re.compile(r"(?:hide\s+)?(?:no_|not_)?([a-z][a-z0-9_]*)\s*(?:=|$)")
_CONTINUED = re.compile(r"\\[ \t]*$")


@dataclass(frozen=True, slots=True)
class Change:
    """One line that Exim reads differently: its number, what stands in the host's file, and what Exim reads."""

    file: str
    line: int
    written: str
    read: str

    def __str__(self) -> str:
        return f"{self.file}, line {self.line}\n- {self.written}\n+ {self.read}"


def copy_of(
    text: str, file: str, folder: Path, include: Callable[[str], str] = lambda name: name
) -> tuple[str, list[Change]]:
    """The host's configuration `file` as Exim reads it, and the lines that differ.

    `folder` is the host's disk; `include` gives, for a file there, the one to be read in its place.
    """
    lines, changes = [], []
    for number, (written, is_forced) in enumerate(_marked(text), start=1):
        if written.lstrip().startswith("#"):
            read = written
        elif is_forced:
            read = f"# the lab sets this: {written}".replace(
                "\\", "/"
            )  # a comment is never continued, but looks so
        else:
            read = OWN_PATH.sub(f"{folder}/", written)
            if found := _INCLUDE.match(read):
                read = read[: found.start("path")] + include(found["path"]) + read[found.end("path") :]
        if read != written:
            changes.append(Change(file, number, written, read))
        lines.append(read)
    return "\n".join(lines), changes


def _marked(text: str) -> Iterator[tuple[str, bool]]:
    """Each physical line, and whether it belongs to a setting that the lab makes."""
    is_continued = is_forced = False
    for line in text.split("\n"):
        if not is_continued:
            is_forced = bool(_FORCED.match(line) or _FLAG.match(line))
        yield line, is_forced
        is_comment = line.lstrip().startswith("#")
        is_continued = is_continued if is_comment else bool(_CONTINUED.search(line))


def main_settings(flattened: str) -> frozenset[str]:
    """The names of the main options that are set, from what `exim -bP config` prints."""
    names = set()
    for line in flattened.split("\n"):
        if line.startswith("begin "):
            break
        if found := _SETTING.match(line.strip()):
            names.add(found[1])
    return frozenset(names)


def lab_settings(
    *, program: Path, uid: int, gid: int, folder: Path, is_set: Collection[str], configuration: Path
) -> str:
    """The file that Exim is started with; it includes the host's. `is_set` are the main options that the host sets."""
    forced = {
        "exim_path": program,  # to run itself again: Exim does so for bounces and when it is told to reload
        "exim_user": uid,  # who starts Exim is its administrator then
        "exim_group": gid,
        "deliver_drop_privilege": "true",  # never tries to become another user
        "spool_directory": folder / "var/spool/exim",
        "log_file_path": folder / "var/log/exim/%slog",
        "pid_file_path": folder / "var/spool/exim/exim-daemon.pid",
    }
    defaults = {
        "keep_environment": "",
        "disable_ipv6": "true",  # hosts of the lab have IPv4
        "timezone": "UTC",  # as in all logs of the lab
        "check_spool_space": 0,  # the disk is this machine's, not the host's
        "check_spool_inodes": 0,
    }
    if "tls_certificate" not in is_set:  # else Exim makes a certificate for each connection, which takes long
        defaults["tls_advertise_hosts"] = ""
    if not any(name.startswith("tls_") for name in is_set):
        # nobody is offered TLS, yet it would make one when it starts, unless the name has to be expanded first
        defaults["tls_certificate"] = "$tls_in_sni"
    lines = ["# What the lab sets:", *(f"{name} = {value}" for name, value in forced.items())]
    lines += ["# and where the host's file says nothing:"]
    lines += (f"{name} = {value}".rstrip() for name, value in defaults.items() if name not in is_set)
    return "\n".join(
        [*lines, "# The host's own file, with the lines that must differ:", f".include {configuration}", ""]
    )
