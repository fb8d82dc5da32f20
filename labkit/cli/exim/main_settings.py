"""The few settings that a command needs to find the spool, read without the rest of the file being understood.

WHAT       `read_settings(command)`: where the spool is, who may do what, and a fingerprint of the files read.
WHY        a script calls `-bp` and `-M` many times; reading a whole configuration takes longer than the work.
LIKE EXIM  for these commands Exim, too, looks at the main section only. A line that cannot be read is an error here;
           an option that nobody knows is found by the process that works with the whole file.
READ NEXT  client.py
"""

from __future__ import annotations

import grp
import hashlib
import os
import pwd
import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from labkit.cli.exim.command import Command
from labkit.cli.exim.files import CannotStart, first_file, octets_of, octets_of_file, shown_error, text_of
from labkit.eximconf.place import Place
from labkit.eximconf.reader import ConfigurationError, reading_sections
from labkit.mail.asking import Question, answer_by
from labkit.mail.lookups import FileText
from labkit.net.file_text import file_text

if TYPE_CHECKING:
    from labkit.mail.lookups import Unopened

_WANTED = re.compile(r"(?:hide\s+)?(\w+)\s*(?:=\s*(.*))?", re.DOTALL)
_ASKS_WHAT_WE_CAN = re.compile(rb"_[A-Z]")  # a macro like _HAVE_TLS, or what looks like one
NO_SPOOL = """\
labkit-exim: spool_directory is not set in {file}
  labkit: write `spool_directory = /a/folder/of/yours`; labkit has none built in, as an Exim has"""


@dataclass(frozen=True, slots=True)
class Settings:
    """What the main section says, as it is written."""

    file: str
    values: dict[str, str]
    fingerprint: str

    @property
    def spool(self) -> Path:
        """Raises CannotStart."""
        written = self.values.get("spool_directory", "")
        if not written:
            raise CannotStart(NO_SPOOL.format(file=self.file))
        return Path(text_of(written))

    @property
    def is_plain(self) -> bool:
        """Whether nothing in them has to be expanded."""
        return "$" not in self.values.get("spool_directory", "")

    def is_on(self, name: str, default: bool = False) -> bool:
        if f"no_{name}" in self.values or f"not_{name}" in self.values:
            return False
        written = self.values.get(name)
        return default if written is None else written.lower() in ("", "yes", "true", "1")

    # --- who the caller is --------------------------------------------------------------------

    @property
    def runs_here(self) -> bool:
        """Whether the caller is the user as whom this Exim runs; a file that names none belongs to the caller."""
        user = self.values.get("exim_user")
        return os.getuid() == 0 or not user or uid_of(user) == os.getuid()

    @property
    def is_admin(self) -> bool:
        groups = [self.values.get("exim_group", ""), *_items(self.values.get("admin_groups", ""))]
        return self.runs_here or _is_member(groups)

    @property
    def is_trusted(self) -> bool:
        """Who may say who sends a message."""
        users = _items(self.values.get("trusted_users", ""))
        groups = _items(self.values.get("trusted_groups", ""))
        return self.runs_here or any(uid_of(name) == os.getuid() for name in users) or _is_member(groups)


def read_settings(command: Command) -> Settings:
    """Raises CannotStart."""
    file = first_file(command.files)
    seen = hashlib.sha256(repr(sorted(command.macros.items())).encode())
    asks_what_we_can = False

    def read(question: Question[Any]) -> str | Unopened:
        nonlocal asks_what_we_can
        assert isinstance(question, FileText), question
        found = file_text(question, root=Path("/"), beside=Path.cwd())
        octets = found.encode("utf-8", "surrogateescape") if isinstance(found, str) else b"?"
        seen.update(repr(question).encode() + octets)
        asks_what_we_can = asks_what_we_can or _ASKS_WHAT_WE_CAN.search(octets) is not None
        return found

    octets = octets_of_file(file)
    seen.update(octets)
    fingerprint = seen.copy()
    builtin: dict[str, str] = {}
    for _ in range(2):
        asks_what_we_can = not builtin and _ASKS_WHAT_WE_CAN.search(octets) is not None
        if asks_what_we_can:
            builtin = _builtin()
        seen = fingerprint.copy()
        try:
            sections = answer_by(
                read,
                reading_sections(octets.decode("latin-1"), file, presets=command.macros, builtin=builtin),
            )
        except ConfigurationError as error:
            raise CannotStart(shown_error(error)) from None
        lines = [line.text for line in sections[0].lines]
        if builtin or not asks_what_we_can:
            break
        builtin = _builtin()  # an included file asks
    values: dict[str, str] = {}
    for line in lines:
        if found := _WANTED.fullmatch(line):
            values.setdefault(found[1], _unquoted(found[2] or ""))
    return Settings(file, values, seen.hexdigest())


def _builtin() -> dict[str, str]:
    from labkit.eximconf.builtin_macros import BUILTIN

    return dict(BUILTIN)


def _unquoted(text: str) -> str:
    text = text.strip()
    if text.startswith('"'):
        from labkit.eximconf.quoting import unquote

        return unquote(text, Place("", 0))
    return text


def _items(text: str) -> list[str]:
    return [item.strip() for item in text.split(":") if item.strip()]


def _is_member(groups: list[str]) -> bool:
    mine = {os.getgid(), *os.getgroups()}
    return any(gid_of(name) in mine for name in groups if name)


def uid_of(name: str | None) -> int | None:
    if not name:
        return None
    try:
        return int(name) if name.isdecimal() else pwd.getpwnam(name).pw_uid
    except KeyError:
        return None


def gid_of(name: str | None) -> int | None:
    if not name:
        return None
    try:
        return int(name) if name.isdecimal() else grp.getgrnam(name).gr_gid
    except KeyError:
        return None


def login() -> str:
    """Whom the caller is, in the lab's words if he is in one."""
    if named := os.environ.get("LABUSER"):
        return octets_of(named)
    try:
        return octets_of(pwd.getpwuid(os.getuid()).pw_name)
    except KeyError:
        return str(os.getuid())
