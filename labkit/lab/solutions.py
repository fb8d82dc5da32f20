"""Defences against spam as pieces of an exim.conf, and the whole exim.conf that they are put into.

WHAT       `solution("dnsbl")` reads a shipped piece; `Solution("mine", text)` is your own; `+` puts two together, the
           left one first. `shipped()` names those that there are. `await defend(world, "dnsbl")` puts it to work.
PIECES     text for check_rcpt, behind `verify = recipient`. A line `# --- data` begins what goes elsewhere: main
           (options), connect, helo, mail, first (check_rcpt, before the recipient is looked at), rcpt, dkim, data.
RULES      the same text runs on labkit and on the real Exim.
READ NEXT  traffic.py, data/solutions
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from labkit.lab.data import data_path, fill_in

if TYPE_CHECKING:
    from labkit.lab.world import World

PLACES = ("main", "connect", "helo", "mail", "first", "rcpt", "dkim", "data")
_PLACE = re.compile(r"#[ \t]*---[ \t]*(?P<name>[a-z_]+)[ \t]*$")
LONGEST = 100_000


class SolutionMistake(ValueError):
    """A piece that goes nowhere, or one that is not there. The words say what to write."""


@dataclass(frozen=True, slots=True)
class Solution:
    """A name, and the text of what is to stand in the ACLs."""

    name: str
    text: str

    def __post_init__(self) -> None:
        if len(self.text) > LONGEST:
            raise SolutionMistake(f"{self.name}: at most {LONGEST:,} characters")
        self.pieces()

    def __add__(self, other: Solution) -> Solution:
        """Both, this one first."""
        return Solution(f"{self.name} + {other.name}", f"{self.text.rstrip()}\n# --- rcpt\n{other.text}")

    def pieces(self) -> Mapping[str, str]:
        """The text for each place. Raises SolutionMistake."""
        found: dict[str, list[str]] = {}
        place = "rcpt"
        for number, line in enumerate(self.text.splitlines(), start=1):
            if named := _PLACE.match(line.strip()):
                place = named["name"]
                if place not in PLACES:
                    raise SolutionMistake(
                        f"{self.name}, line {number}: no piece goes to {place!r}; there are {', '.join(PLACES)}"
                    )
            else:
                found.setdefault(place, []).append(line)
        return {place: "\n".join(lines).strip("\n") for place, lines in found.items()}

    @property
    def about(self) -> str:
        """What the comments at its top say."""
        lines = []
        for line in self.text.splitlines():
            if not line.startswith("#") or _PLACE.match(line):
                break
            lines.append(line.lstrip("# "))
        return " ".join(lines)


def solution(name: str) -> Solution:
    """A shipped one. Raises SolutionMistake naming those there are."""
    if name not in shipped():
        raise SolutionMistake(f"no solution is called {name!r}; there are {', '.join(shipped())}")
    return Solution(name, data_path("solutions", f"{name}.conf").read_text(encoding="utf-8"))


def shipped() -> tuple[str, ...]:
    return tuple(sorted(path.stem for path in Path(data_path("solutions")).glob("*.conf")))


async def defend(world: World, wanted: Solution | str | None) -> str:
    """Let the student's host of a world run with a solution from now on: its exim.conf is written, and read again.

    Returns the file. What greylists remember stays. Raises SolutionMistake, ConfigurationError.
    """
    host, chosen = world.mine, solution(wanted) if isinstance(wanted, str) else wanted
    text = configuration(
        chosen, host=host.name, domain=host.name.partition(".")[2], laptop=world.laptop.address
    )
    former = host.configuration
    host.write_configuration(text)
    try:
        await host.reload()
    except Exception:
        host.write_configuration(former)
        raise
    return text


def configuration(wanted: Solution | None, *, host: str, domain: str, laptop: str) -> str:
    """The exim.conf of `host` with the pieces at their places."""
    pieces = {} if wanted is None else wanted.pieces()
    template = data_path("scenarios", "spam", "host.conf").read_text(encoding="utf-8")
    text = fill_in(template, {place: pieces.get(place, "") for place in PLACES})
    return fill_in(text, {"host": host, "domain": domain, "laptop": laptop})
