"""Read Exim's command line.

WHAT       `read_command_line(words, program)` gives a Command: what to do, with which file, macros and arguments.
REFUSED    an option that Exim has and labkit has not, by name; an option that nobody has, in Exim's words.
IGNORED    only what Exim itself ignores (-Ac, -B, -E, -h, -m, -O, -om, -oo, -U, -x, -X), what makes Exim faster or
           slower only (-oB, -oY), and -G, which would suppress fixups that labkit does not make
STANDARDS  Exim specification, chapter "The Exim command line"
READ NEXT  command.py, queue_options.py, client.py
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterator, Sequence

from labkit.cli.exim.command import USAGE, Command, Mode, Refused, Usage
from labkit.cli.exim.queue_options import (
    MESSAGE_ID,
    add_interval,
    message_option,
    queue_option,
    seconds_of,
    selecting_option,
    settle_queue,
)
from labkit.eximconf.blanks import BLANKS

__all__ = ["USAGE", "Command", "Mode", "Refused", "Usage", "read_command_line", "split_host"]

_MODES = {
    "-brw": Mode.REWRITE,
    "-brt": Mode.RETRY,
    "-bP": Mode.PRINT,
    "-be": Mode.EXPAND,
    "-bt": Mode.TEST,
    "-bv": Mode.VERIFY,
    "-bvs": Mode.VERIFY_SENDER,
    "-bpc": Mode.COUNT,
    "-bm": Mode.MESSAGE,
    "-bs": Mode.SMTP,
    "-bS": Mode.BATCH,
    "-bi": Mode.BUILD,
}
_PROGRAMS = {  # the names under which other programs call a mail transfer agent
    "mailq": ("-bp",),
    "newaliases": ("-bi",),
    "rmail": ("-i", "-oee"),
    "rsmtp": ("-bS",),
    "runq": ("-q",),
}
_IGNORED = re.compile(r"-(?:A[cm]|B.+|E.*|G|h.+|m|O.+|om|oo|oY|oB[0-9]*|odd|U|x|X.+)")
_SELECTORS = frozenset(  # of -d
    """acl all auth deliver dns dnsbl exec expand filter hints_lookup host_lookup ident interface lists load local_scan
    lookup memory noutf8 pid process_info queue_run receive resolver retry rewrite route timestamp tls transport uid
    verify""".split()
)
_IGNORED_WITH_NEXT = ("-B", "-h", "-O", "-X")
_KNOWN = re.compile(  # what Exim 4.96 has besides
    r"""-(?:b(?:F|f[dlps]?|I:.*|malware|nq|w.*)|dropcr|L.*|M(?:C.*|G|N|R|Rm|a[dr]|arm|m|set|vr|nvh)|N
    |p.*|T.*|tls-on-connect|z.*)""",
    re.VERBOSE,
)
_TOLD = {
    "a": "address",
    "s": "host",
    "i": "interface",
    "r": "protocol",
    "t": "ident",
    "aa": "authenticator",
    "as": "authenticated_sender",
    "ai": "authenticated_id",
    "m": "about",
}


_NAMES = frozenset(("s", "r", "t", "aa", "as", "ai"))


def read_command_line(words: Sequence[str], program: str = "") -> Command:
    """`program` is the name we are called by. Raises Refused, Usage."""
    command = Command()
    modes: list[Mode] = []
    name = program.rpartition("/")[2]
    if name in _PROGRAMS:
        command.called_as = f"-{name}"
        for word in _PROGRAMS[name]:
            _option(word, iter(()), command, modes)
    left = _Words(words)
    for word in left:
        if not word.startswith("-") or word == "-":
            command.arguments += [word, *left]
        elif word == "--":
            command.arguments += list(left)
        elif word == "--help":
            raise Usage
        else:
            _option(word, left, command, modes)
    _settle(command, modes)
    return command


class _Words(Iterator[str]):
    """The words of a command line, with a look at the next one."""

    def __init__(self, words: Sequence[str]) -> None:
        self._words, self._at = words, 0

    def __next__(self) -> str:
        if self._at == len(self._words):
            raise StopIteration
        self._at += 1
        return self._words[self._at - 1]

    @property
    def following(self) -> str | None:
        return self._words[self._at] if self._at < len(self._words) else None


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
    elif word in ("-bd", "-bdf"):
        command.listens, command.in_foreground = True, word == "-bdf"
    elif re.fullmatch(r"-bpr?[au]?", word):
        modes.append(Mode.LIST)
        command.listing = word[3:]
    elif re.fullmatch(r"-q.*", word, re.DOTALL):
        queue_option(word, left, command)
    elif word.startswith(("-R", "-S")):
        selecting_option(word, left, command)
    elif message_option(word, left, command, modes):
        pass
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
    elif word[:2] == "-F":
        command.full_name = word[2:] or _next(word, left)
    elif word in ("-t", "-ti"):
        command.reads_recipients = True
        command.dot_ends = command.dot_ends and word == "-t"
    elif word in ("-i", "-oi", "-oitrue"):
        command.dot_ends = False
    elif re.fullmatch(r"-o?e[bempqw]", word):
        command.errors = word[-1]
    elif re.fullmatch(r"-od(?:b|f|i|q|qs)", word):
        command.delivery = "i" if word == "-odf" else word[3:]
    elif word.startswith("-oM"):
        _tell(word, left, command)
    elif word in ("-oP", "-oX"):
        setattr(command, "pid_file" if word == "-oP" else "interfaces", _next(word, left))
    elif word == "-oPX":
        command.removes_pid_file = True
    elif word[:3] in ("-or", "-os"):
        span = seconds_of(word[3:] or _next(word, left))
        setattr(command, "message_timeout" if word[2] == "r" else "smtp_timeout", span)
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


def _tell(word: str, left: Iterator[str], command: Command) -> None:
    name = word[3:]
    value = next(left, None)
    if value is None:
        raise Refused(f"exim: data expected after -oM{name}")
    if name not in _TOLD:
        raise malformed(word)
    if name == "r" and command.told.protocol is not None:
        raise Refused("received_protocol is set already")
    if name == "m" and not MESSAGE_ID.fullmatch(value):
        raise Refused("-oMm must be a valid message ID")
    if name in _NAMES and re.search(
        r"[\0-\x1f\x7f]", value
    ):  # a name of theirs goes into fields of the header
        raise Refused(f"labkit-exim: a control character in what follows {word}")
    setattr(command.told, _TOLD[name], value)


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
    kinds = {mode if mode is not Mode.VERIFY_SENDER else Mode.VERIFY for mode in modes} - {Mode.MESSAGE}
    checks = kinds - {Mode.PRINT, Mode.LIST, Mode.COUNT, Mode.BUILD, Mode.SMTP, Mode.BATCH, Mode.DELIVER}
    if (Mode.PRINT in kinds and checks) or {Mode.TEST, Mode.VERIFY} <= kinds:
        raise _incompatible()
    if command.reads_recipients and kinds & {Mode.TEST, Mode.VERIFY, Mode.PRINT, Mode.SMTP, Mode.BATCH}:
        raise _incompatible()
    if kinds & {Mode.SMTP, Mode.BATCH} and command.sender is not None and Mode.SMTP in kinds:
        raise _incompatible()
    if len(kinds) > 1:
        names = ", ".join(mode.value for mode in modes)
        raise Refused(f"labkit-exim: one thing at a time: {names}")
    if modes:
        command.mode = Mode.VERIFY_SENDER if Mode.VERIFY_SENDER in modes else (*kinds, Mode.MESSAGE)[0]
    settle_queue(command, _incompatible)
    add_interval(command)
    if command.mode is Mode.HOST and not _is_host(command.host):
        raise Refused(f'exim abandoned: "{command.host}" is not an IP address')
    if command.mode in (Mode.NOTHING, Mode.MESSAGE):
        if command.arguments or command.reads_recipients:
            command.mode = Mode.MESSAGE
        elif not command.shows_version and not command.removes_pid_file:
            raise Usage


def _incompatible() -> Refused:
    return Refused("exim: incompatible command-line options or arguments")


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
