"""The appendfile transport: which file, and what is written into it.

WHAT       `AppendPlan`; `check_appendfile` looks at the options when the file is read.
SAFE       a name that a stranger chose is no file name of ours: Exim calls it tainted, and so do we.
STANDARDS  Exim specification, chapter "The appendfile transport"
READ NEXT  smtp.py
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from labkit.delivery.generic import Trouble, with_trace
from labkit.eximconf.configuration import Driver
from labkit.eximconf.expansion import Env, Value
from labkit.eximconf.reader import ConfigurationError
from labkit.mail.address import Mailbox
from labkit.mail.asking import Asking
from labkit.mail.message import Message


@dataclass(frozen=True, slots=True)
class AppendPlan:
    """Final delivery: append `content` (CR LF line ends) to the mailbox at `path` (as the host names it)."""

    path: str
    is_maildir: bool
    mode: int
    content: bytes
    sender: str


def check_appendfile(transport: Driver) -> None:
    """Look at the options when the configuration is read. Raises ConfigurationError."""
    options = transport.options
    targets = [name for name in ("file", "directory") if options.has(name)]
    if len(targets) > 1:
        raise ConfigurationError(
            transport.place,
            f"the transport {transport.name} has both file and directory",
            "leave out one: file for mbox, directory for Maildir",
        )
    if targets and (targets == ["directory"]) != options.flag("maildir_format"):
        raise ConfigurationError(
            transport.place,
            f"the transport {transport.name}: directory goes with maildir_format, file without it",
            "labkit writes mbox files and Maildir directories",
        )


def plan_append(
    transport: Driver,
    message: Message,
    reverse_path: Mailbox | None,
    recipients: Sequence[Mailbox],
    env: Env,
    now: datetime,
    path: str = "",
) -> Asking[AppendPlan | Trouble]:
    """What to append where. `path` is a file that a redirection names; else the transport's own option does."""
    options = transport.options
    named = path or (yield from _mailbox(transport, env))
    if isinstance(named, Trouble):
        return named
    if not named.startswith("/"):
        return Trouble(f'appendfile: file or directory name "{named}" is not absolute')
    content = with_trace(transport, message, reverse_path, recipients, now)
    sender = "" if reverse_path is None else str(reverse_path)
    return AppendPlan(named, options.flag("maildir_format"), options.number("mode"), bytes(content), sender)


def _mailbox(transport: Driver, env: Env) -> Asking[str | Trouble]:
    """The path that the transport's own option names."""
    option = "directory" if transport.options.flag("maildir_format") else "file"
    text = transport.options.expansion(option)
    if text is None:
        return Trouble(f"Mandatory file or directory option missing from {transport.name} transport")
    outcome = yield from text.asking(env)
    if not isinstance(outcome, Value):
        what = "file or directory name"
        return Trouble(
            f'Expansion of "{text.text}" ({what} for {transport.name} transport) failed: {outcome.message}'
        )
    if outcome.is_tainted:
        return Trouble(
            f"Tainted '{outcome.text}' (file or directory name for {transport.name} transport) not permitted"
        )
    return outcome.text
