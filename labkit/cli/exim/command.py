"""What a command line says, as a value.

WHAT       `Command`; `Mode` is what it does. `Refused` and `Usage` say why nothing is done.
READ NEXT  command_line.py
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from enum import Enum
from typing import Any

from labkit.mail.plainly import SaidPlainly

USAGE = """\
Exim is a Mail Transfer Agent. It is normally called by Mail User Agents,
not directly from a shell command line. Options and/or arguments control
what it does when called. For a list of options, see the Exim documentation."""


class Mode(Enum):
    """What a command does."""

    NOTHING = ""
    REWRITE = "-brw"
    RETRY = "-brt"
    PRINT = "-bP"
    EXPAND = "-be"
    TEST = "-bt"
    VERIFY = "-bv"
    VERIFY_SENDER = "-bvs"
    HOST = "-bh"
    LIST = "-bp"
    COUNT = "-bpc"
    SHOW = "-Mv"
    DAEMON = "-bd"
    RUN_QUEUE = "-q"
    DELIVER = "-M"
    ACT = "-Mf"
    MESSAGE = "-bm"
    SMTP = "-bs"
    BATCH = "-bS"
    BUILD = "-bi"


class Refused(SaidPlainly, ValueError):
    """A command line that cannot be carried out; the text says why."""


class Usage(Refused):
    """Nothing was asked for."""

    def __init__(self) -> None:
        super().__init__(USAGE)


@dataclass(slots=True)
class Selection:
    """Which messages a queue run is for (-q…, -R, -S), and how they are tried."""

    two_stages: bool = False  # -qq
    first_only: bool = False  # -qi
    forced: bool = False  # -qf
    thaws: bool = False  # -qff
    local_only: bool = False  # -ql
    part: str | None = None  # -R
    sender_part: str | None = None  # -S
    part_is_regex: bool = False
    sender_is_regex: bool = False
    first_id: str = ""
    last_id: str = ""

    @property
    def letters(self) -> str:
        """As Exim's log shows them."""
        given = zip("qiffl", (self.two_stages, self.first_only, self.forced, self.thaws, self.local_only))
        return "".join(letter for letter, is_on in given if is_on)

    @property
    def shown(self) -> str:
        words = [f"-q{self.letters}"] if self.letters else []
        if self.part is not None:
            words.append(f"-R{'r' * self.part_is_regex} {self.part}")
        if self.sender_part is not None:
            words.append(f"-S{'r' * self.sender_is_regex} {self.sender_part}")
        return " ".join(words)


@dataclass(slots=True)
class Told:
    """What a trusted caller tells about a message (-oM…)."""

    address: str | None = None  # -oMa
    port: int | None = None  # behind it
    host: str | None = None  # -oMs
    interface: str | None = None  # -oMi
    protocol: str | None = None  # -oMr
    ident: str | None = None  # -oMt
    authenticator: str | None = None  # -oMaa
    authenticated_sender: str | None = None  # -oMas
    authenticated_id: str | None = None  # -oMai
    about: str | None = None  # -oMm


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
    # --- a message that is handed in
    full_name: str | None = None  # -F
    reads_recipients: bool = False  # -t
    dot_ends: bool = True  # not with -i
    errors: str = "m"  # -oe…: m(ail), e, p(rint), q(uiet), w
    delivery: str = ""  # -od…: b, i, q, qs
    told: Told = field(default_factory=Told)
    called_as: str = ""
    # --- the queue
    listing: str = ""  # of -bp: r, u, a, ru, ra
    action: str = ""  # of -M: "", c, g, f, t, rm, ar, es, md, mad, vh, vb, vl, vc
    ids: list[str] = field(default_factory=list)
    selection: Selection | None = None
    # --- the daemon
    listens: bool = False  # -bd
    in_foreground: bool = False  # -bdf
    interval: int | None = None  # seconds; 0: a single run
    pid_file: str | None = None  # -oP
    interfaces: str | None = None  # -oX
    removes_pid_file: bool = False  # -oPX
    smtp_timeout: int | None = None  # -os
    message_timeout: int | None = None  # -or

    def to_json(self) -> dict[str, Any]:
        """For another process of the same user."""
        values = asdict(self)
        values["mode"] = self.mode.value
        return values

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> Command:
        """Raises ValueError for what `to_json` did not make."""
        try:
            selection = values.get("selection")
            return cls(
                **{
                    **values,
                    "mode": Mode(values["mode"]),
                    "selection": None if selection is None else Selection(**selection),
                    "told": Told(**values["told"]),
                }
            )
        except (KeyError, TypeError) as problem:
            raise ValueError(f"not a command: {problem}") from problem
