"""An Exim of one's own: a Local/Makefile read line by line, what it makes possible, and the real build.

WHAT       `explain(text)` says what each line is for; `matrix(text)` what this Exim will be able to do, and which
           points of the lab become impossible; `build_exim(text, folder)` fetches, verifies, unpacks and builds.
DECIDES    nothing about options: labkit/net/programs/exim_options.py does. Here lines get their numbers and meanings.
RULES      make's own traps are named: a commented line sets nothing, X=no sets X, a misspelt option is silently none.
STANDARDS  Exim specification, chapter "Building and installing Exim"
READ NEXT  ../net/programs/exim_options.py
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from labkit.net.programs.exim_build import Built, build
from labkit.net.programs.exim_options import (
    CAPABILITIES,
    EVERYTHING,
    MEANINGS,
    Capability,
    Finding,
    capabilities,
    read_makefile,
    student_options,
)
from labkit.net.programs.exim_source import (
    RELEASE_KEYS,
    BuildFailed,
    SourcesMissing,
    fetch_sources,
    find_sources,
    unpack,
    verify_sources,
)
from labkit.net.programs.openpgp import Outcome

__all__ = [
    "ABOUT",
    "EVERYTHING",
    "POINTS",
    "BuildFailed",
    "Built",
    "Capability",
    "Finding",
    "Line",
    "Makefile",
    "Matrix",
    "SourcesMissing",
    "build_exim",
    "explain",
    "matrix",
    "read_makefile",
]

POINTS = tuple(str(number) for number in range(3, 18))  # of the lab: the columns of the matrix
ABOUT = {  # what the points are about; neighbours with the same words are told together
    "3": "a mailbox, aliases",
    "4": "SPF and DKIM compared",
    "5": "the relay, with a password",
    "6": "a big provider's judgement",
    **dict.fromkeys(("7", "8"), "a backup, and being one"),
    **dict.fromkeys(("9", "10", "11"), "loops"),
    **dict.fromkeys(("12", "13", "14"), "virtual domains"),
    **dict.fromkeys(("15", "16"), "TLS"),
    "17": "against spam",
}
WHAT_FOR = {  # besides MEANINGS: lines of Exim's own template that no point of the lab hangs on
    "LOOKUP_DBM": "tables in DBM files, which are faster when they are large",
    "LOOKUP_DNSDB": "DNS records in a configuration",
    "ROUTER_IPLITERAL": "addresses such as bob@[203.0.113.2]",
    "ROUTER_QUERYPROGRAM": "a program of one's own decides where an address goes",
    "SUPPORT_DANE": "certificates checked against the DNS (RFC 7672)",
    "TLS_LIBS": "the TLS library that the linker adds",
    "TRANSPORT_AUTOREPLY": "answers that Exim writes itself",
    "TRANSPORT_PIPE": "delivery into a program",
}
# what the linker must find for an option that uses a library: any of these
LIBRARIES = {
    "USE_OPENSSL": (r"\bUSE_OPENSSL_PC=.", r"\bTLS_LIBS=.*-lssl"),
    "USE_GNUTLS": (r"\bUSE_GNUTLS_PC=.", r"\bTLS_LIBS=.*-lgnutls"),
    "SUPPORT_SPF": (r"-lspf2",),
    "LOOKUP_SQLITE": (r"\bLOOKUP_SQLITE_PC=.", r"-lsqlite3"),
}
_SETTING = re.compile(r"\s*([A-Z][A-Z0-9_]*)\s*\+?=\s*(.*?)\s*$")
_IN_A_COMMENT = re.compile(r"\s*#+\s*([A-Z][A-Z0-9_]*)\s*=\s*\S")


@dataclass(frozen=True, slots=True)
class Line:
    """A line of a Local/Makefile that sets something: what it is for, and which points hang on it."""

    number: int
    text: str
    name: str
    meaning: str
    points: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Makefile:
    """A Local/Makefile, explained."""

    text: str
    lines: tuple[Line, ...]

    @property
    def options(self) -> dict[str, str]:
        """Name -> value, as make takes them."""
        return read_makefile(self.text)

    @property
    def commented(self) -> tuple[str, ...]:
        """Options that stand in a comment, and are not set elsewhere."""
        named = [found[1] for line in self.text.splitlines() if (found := _IN_A_COMMENT.match(line))]
        return tuple(dict.fromkeys(name for name in named if name not in self.options))

    @property
    def misspelt(self) -> dict[str, str]:
        """Name -> the known option that it nearly is. make takes any name and says nothing."""
        known = _known()
        nearly = {
            name: difflib.get_close_matches(name, known, n=1, cutoff=0.85)
            for name in self.options
            if name not in known
        }
        return {name: found[0] for name, found in nearly.items() if found}

    @property
    def unlinked(self) -> tuple[str, ...]:
        """Options whose library nothing in the file names: the compiler is content, the linker is not."""
        set_here = "\n".join(f"{name}={value}" for name, value in self.options.items())
        return tuple(
            name
            for name, ways in LIBRARIES.items()
            if self.options.get(name) and not any(re.search(way, set_here) for way in ways)
        )


@dataclass(frozen=True, slots=True)
class Matrix:
    """What this Exim will be able to do (rows), and what that means for each point of the lab (columns)."""

    findings: tuple[Finding, ...]

    @property
    def lost(self) -> tuple[str, ...]:
        """The points that are impossible, in order."""
        gone = {point for row in self.findings if not row.is_there for point in points_of(row.capability)}
        return tuple(point for point in POINTS if point in gone)


def explain(text: str) -> Makefile:
    """Each line that sets something, with what it is for."""
    lines = []
    for number, line in enumerate(text.splitlines(), 1):
        if found := _SETTING.match(line):
            name = found[1]
            using = [row for row in CAPABILITIES if _concerns(name, row)]
            points = tuple(point for point in POINTS if any(point in points_of(row) for row in using))
            lines.append(Line(number, line.strip(), name, _meaning(name, using), points))
    return Makefile(text, tuple(lines))


def matrix(text: str) -> Matrix:
    """The capability matrix of a Local/Makefile."""
    return Matrix(capabilities(read_makefile(text)))


def points_of(capability: Capability) -> tuple[str, ...]:
    """The numbered points of the lab that need it: "12–14" is 12, 13, 14; "3a" is part of 3; "all" is all."""
    found: list[str] = []
    for point in capability.points:
        first, _, last = re.sub(r"[a-z]", "", point).partition("–")
        found += [str(number) for number in range(int(first), int(last or first) + 1)] if first else POINTS
    return tuple(dict.fromkeys(found))


def _concerns(name: str, capability: Capability) -> bool:
    return name in capability.without or any(name in group for group in capability.needs)


def _meaning(name: str, using: list[Capability]) -> str:
    if name in MEANINGS or name in WHAT_FOR:
        return MEANINGS.get(name) or WHAT_FOR[name]
    if using:
        stops = "without: " if any(name in row.without for row in using) else ""
        return stops + ", ".join(row.name for row in using)
    near = difflib.get_close_matches(name, _known(), n=1, cutoff=0.85)
    return f"not known here; is it {near[0]}?" if near else "not known here: src/EDITME explains it"


def _known() -> tuple[str, ...]:
    named = [name for row in CAPABILITIES for group in (*row.needs, row.without) for name in group]
    return tuple(dict.fromkeys([*named, *MEANINGS, *WHAT_FOR]))


def build_exim(
    text: str,
    folder: Path,
    *,
    sources: Path | None = None,
    account: str | None = None,
    say: Callable[[str], None] = print,
) -> Built:
    """Build Exim with these options in a folder, all its places inside it. About a minute; uses the network.

    `sources`: a folder that has them already, and then no network is used. Root must name the `account` who builds
    and runs it. Raises SourcesMissing, BuildFailed (also for a signature that is not accepted).
    """
    own = {**read_makefile(text), **_places(folder, account)}
    found = find_sources(sources) if sources is not None else fetch_sources(folder / "sources")
    say(str(found))
    (fingerprint,) = RELEASE_KEYS
    verdict = verify_sources(found, fingerprint)
    say(str(verdict))
    if verdict.outcome is not Outcome.ACCEPT:
        raise BuildFailed(
            f"The sources are not built, because their signature is not accepted: {verdict.reason}"
        )
    tree = unpack(found, folder / "tree", patched=found.packaging is not None)
    made = build(tree, own, account=account)
    say(f"built in {made.seconds:.0f} s: {made.exim.path.name}, Exim {made.exim.version}")
    return made


def _places(folder: Path, account: str | None) -> dict[str, str]:
    """Whose it is and where everything goes: inside the folder, whatever the text says."""
    wanted = ("_DIRECTORY", "_FILE", "_PATH", "EXIM_USER", "EXIM_GROUP", "CONFIGURE_OWNER")
    options = student_options(folder / "exim", account)
    return {name: value for name, value in options.items() if name.endswith(wanted)}
