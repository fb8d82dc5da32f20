"""Read Exim's command line.

WHAT       `read_command_line(words)` gives a Command: what to do, with which file, macros and arguments.
REFUSED    an option that Exim has and labkit has not, by name; an option that nobody has, in Exim's words.
IGNORED    only what Exim itself ignores (-Ac, -B, -h, -m, -O, -om, -oo, -U, -x, -X)
STANDARDS  Exim specification, chapter "The Exim command line"
READ NEXT  machine.py
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from enum import Enum

from labkit.eximconf.blanks import BLANKS
from labkit.mail.plainly import SaidPlainly

USAGE = """\
Exim is a Mail Transfer Agent. It is normally called by Mail User Agents,
not directly from a shell command line. Options and/or arguments control
what it does when called. For a list of options, see the Exim documentation."""


class Mode(Enum):
    """What a command does."""

    NOTHING = ""
    REWRITE = "-brw"
    PRINT = "-bP"
    EXPAND = "-be"
    TEST = "-bt"
    VERIFY = "-bv"
    VERIFY_SENDER = "-bvs"
    HOST = "-bh"


class Refused(SaidPlainly, ValueError):
    """A command line that cannot be carried out; the text says why."""


class Usage(Refused):
    """Nothing was asked for."""

    def __init__(self) -> None:
        super().__init__(USAGE)


@dataclass(slots=True)
class Command:
    """What a command line says. All texts are octets, as latin-1."""

    mode: Mode = Mode.NOTHING
    files: str | None = None  # what -C names, a list with colons
    macros: dict[str, str] = field(default_factory=dict)
    arguments: list[str] = field(default_factory=list)
    message: str | None = None  # the file of -bem
    host: str = ""  # of -bh
    callouts: bool = False  # -bhc
    sender: str | None = None  # of -f
    values_only: bool = False  # -n
    traces: bool = False  # -d
    is_verbose: bool = False  # -v
    shows_version: bool = False


_MODES = {
    "-brw": Mode.REWRITE,
    "-bP": Mode.PRINT,
    "-be": Mode.EXPAND,
    "-bt": Mode.TEST,
    "-bv": Mode.VERIFY,
    "-bvs": Mode.VERIFY_SENDER,
}
_IGNORED = re.compile(r"-(?:A[cm]|B.+|h.+|m|O.+|om|oo|U|x.*|X.+)")
_SELECTORS = frozenset(  # of -d
    """acl all auth deliver dns dnsbl exec expand filter hints_lookup host_lookup ident interface lists load local_scan
    lookup memory noutf8 pid process_info queue_run receive resolver retry rewrite route timestamp tls transport uid
    verify""".split()
)
_IGNORED_WITH_NEXT = ("-B", "-h", "-O", "-X")
_KNOWN = re.compile(  # what Exim 4.96 has besides
    r"""-(?:b(?:d|df|F|f[dlps]?|i|I:.*|m|malware|nq|p(?:c|r?[au]?)|rt|rw|S|s|w.*)|C.*|E.*|e[bempqw].*|F.*|G|i|L.*
    |M(?:C.*|G|N|R|Rm|S|a[dr]|arm|c|es|f|g|m|mad|rm|set|t|v[bhlr]|nvh)?|N|o(?:A.*|B.*|d.*|e.*|i|itrue|M.*|P.*|r.*|s.*
    |X.*|Y)|p.*|q.*|R.*|S.*|T.*|t|ti|tls-on-connect|z.*)""",
    re.VERBOSE,
)


def read_command_line(words: Sequence[str]) -> Command:
    """Raises Refused, Usage."""
    command = Command()
    modes: list[Mode] = []
    left = iter(words)
    for word in left:
        if not word.startswith("-") or word == "-":
            command.arguments = [word, *left]
        elif word == "--":
            command.arguments = list(left)
        elif word == "--help":
            raise Usage
        else:
            _option(word, left, command, modes)
    _settle(command, modes)
    return command


def _option(word: str, left: Iterator[str], command: Command, modes: list[Mode]) -> None:
    if word in _MODES:
        modes.append(_MODES[word])
    elif word in ("-bV", "--version"):
        command.shows_version = True
    elif word == "-bem":
        modes.append(Mode.EXPAND)
        command.message = _next(word, left)
    elif word in ("-bh", "-bhc"):
        modes.append(Mode.HOST)
        command.host, command.callouts = _next(word, left), word == "-bhc"
    elif word.startswith("-C"):
        command.files = word[2:] or _next(word, left)
    elif word.startswith("-D"):
        _macro(word[2:], command)
    elif word == "-n":
        command.values_only = True
    elif word in ("-v", "-ov"):
        command.is_verbose = True
    elif re.fullmatch(r"-dd?(?:[-+].*)?", word):
        command.traces = _debugs_routing(word[1:].lstrip("d"))
    elif word[:2] in ("-f", "-r"):
        command.sender = word[2:] or _next(word, left)
    elif word in _IGNORED_WITH_NEXT:
        next(left, "")
    elif _IGNORED.fullmatch(word):
        pass
    elif _KNOWN.fullmatch(word):
        raise Refused(f"labkit-exim: {word} is not read by labkit yet; a real Exim can do it")
    else:
        raise malformed(word)


def _debugs_routing(selectors: str) -> bool:
    """Whether what follows -d leaves the routers' part on. Raises Refused."""
    is_on = True
    for sign, name in re.findall(r"([-+])([^-+]*)", selectors):
        if name not in _SELECTORS:
            raise Refused(f"exim: unknown debug_selector setting: {sign}{name}")
        if name in ("all", "route"):
            is_on = sign == "+"
    return is_on


def malformed(word: str) -> Refused:
    return Refused(f"exim abandoned: unknown, malformed, or incomplete option {word}")


def _next(word: str, left: Iterator[str]) -> str:
    found = next(left, None)
    if found is None:
        raise malformed(word)
    return found


def _macro(text: str, command: Command) -> None:
    found = re.match(r"([A-Z][A-Za-z0-9_]*)\s*", text)
    if found is None:
        raise Refused("exim: macro name set by -D must start with an upper case letter")
    name, rest = found[1], text[found.end() :]
    if rest and not rest.startswith("="):
        raise malformed(f"-D{text}")
    if name in command.macros:
        raise Refused("exim: duplicated -D in command line")
    command.macros[name] = rest[1:].lstrip(BLANKS)


def _settle(command: Command, modes: list[Mode]) -> None:
    """Whether what was asked for goes together."""
    kinds = {mode if mode is not Mode.VERIFY_SENDER else Mode.VERIFY for mode in modes}
    checks = kinds - {Mode.PRINT}
    if (Mode.PRINT in kinds and checks) or {Mode.TEST, Mode.VERIFY} <= kinds:
        raise Refused("exim: incompatible command-line options or arguments")
    if len(kinds) > 1:
        names = ", ".join(mode.value for mode in modes)
        raise Refused(f"labkit-exim: one thing at a time: {names}")
    if modes:
        command.mode = Mode.VERIFY_SENDER if Mode.VERIFY_SENDER in modes else modes[0]
    if command.mode is Mode.HOST and not _is_host(command.host):
        raise Refused(f'exim abandoned: "{command.host}" is not an IP address')
    if command.mode is Mode.NOTHING:
        if command.arguments:
            raise Refused("labkit-exim: sending a message is not read by labkit yet; a real Exim can do it")
        if not command.shows_version:
            raise Usage


def split_host(text: str) -> tuple[str, int]:
    """The address and port of -bh: 192.0.2.1, 192.0.2.1.1234, [192.0.2.1]:1234, 2001:db8::1.1234. Raises ValueError."""
    found = re.fullmatch(r"\[([^]]*)\](?::([0-9]{1,5}))?", text)
    if found is None:
        found = re.fullmatch(
            r"((?:[0-9]{1,3}\.){3}[0-9]{1,3}|[0-9A-Fa-f:]*:[0-9A-Fa-f:]*)(?:\.([0-9]{1,5}))?", text
        )
    if found is None:
        raise ValueError(text)
    return ipaddress.ip_address(found[1]).exploded, int(found[2] or 0)


def _is_host(text: str) -> bool:
    try:
        split_host(text)
    except ValueError:
        return False
    return True
