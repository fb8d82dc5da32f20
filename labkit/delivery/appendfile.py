"""The appendfile transport: which file, and what is written into it.

WHAT       `AppendPlan`; `check_appendfile` looks at the options when the file is read.
DECIDES    mbox, Maildir, or one file for each message in a folder; where files may be made; the name of the new file.
SAFE       a name that a stranger chose is no file name of ours: Exim calls it tainted, and so do we.
STANDARDS  Exim specification, chapter "The appendfile transport"; RFC 4155 (mbox)
READ NEXT  smtp.py
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime

from labkit.delivery.generic import NOT_ABSOLUTE, UNKNOWN_ERROR, Stuck, Trouble, expanded, with_trace
from labkit.delivery.quota import Quota, quota_of
from labkit.delivery.written import Form, written
from labkit.eximconf.configuration import Driver, Options
from labkit.eximconf.expansion import Compiled, Env, Tainted, Value
from labkit.eximconf.reader import ConfigurationError
from labkit.mail.address import Mailbox
from labkit.mail.asking import Asking
from labkit.mail.mailbox_rules import MailboxRules
from labkit.mail.message import Message

BAD_CREATE = -34  # Exim: ERRNO_BADCREATE


@dataclass(frozen=True, slots=True)
class AppendPlan:
    """Final delivery: write `octets` to the mailbox at `path` (as the host names it).

    `content` is the message alone (CR LF line ends). `name` makes the name of a new file in a folder, `tag` what
    comes after it in a Maildir; they may ask for its size and number. `size` is that of the message in the queue.
    """

    path: str
    is_maildir: bool
    mode: int
    content: bytes
    sender: str
    octets: bytes = b""
    is_folder: bool = False
    rules: MailboxRules = field(default_factory=MailboxRules)
    quota: Quota = field(default_factory=Quota)
    name: Compiled | None = None
    tag: Compiled | None = None
    folder_pattern: str = ""  # of those Maildirs that get a file maildirfolder
    size_pattern: str = ""  # the size of a message in the name of its file
    quota_folder: str = ""  # where it is counted, if not in `path`
    keeps_size_file: bool = False
    counted_pattern: str = ""  # folders of a Maildir whose messages count


def check_appendfile(transport: Driver) -> None:
    """Look at the options when the configuration is read, as Exim does. Raises ConfigurationError."""
    options = transport.options
    wrong = _wrong_with(options)
    if wrong is not None:
        problem, remedy = wrong
        raise ConfigurationError(transport.place, f"the transport {transport.name}: {problem}", remedy)


def _wrong_with(options: Options) -> tuple[str, str] | None:
    """What cannot be together, and what to do about it."""
    has_file, has_folder = options.has("file"), options.has("directory")
    if has_file and has_folder:
        return (
            "has both file and directory",
            "leave out one: file for mbox, directory for Maildir",
        )
    if has_file and options.flag("maildir_format"):
        return "directory goes with maildir_format, not file", "write directory = … instead of file = …"
    for name in ("quota_filecount", "quota_directory"):
        if has_file and options.has(name):
            return f'{name} must not be set without "directory"', "leave the line out"
        if has_folder and options.has(name) and not options.has("quota"):
            return f"quota must be set if {name} is set", "add: quota = …"
    locks = _locks(options)
    if not any(locks):
        return "no locking configured", "leave one of use_lockfile and use_fcntl_lock on"
    where = options.text("create_file") or ""
    if where not in ("anywhere", "belowhome", "inhome", "") and not where.startswith("/"):
        return f"invalid value given for create_file: {where}", "anywhere, belowhome, inhome or a folder"
    return None


def _locks(options: Options) -> tuple[bool, bool, bool]:
    """use_lockfile, use_fcntl_lock, use_flock_lock: flock is instead of fcntl if nothing else is said."""
    file, fcntl, flock = (
        options.values.get(f"use_{name}") for name in ("lockfile", "fcntl_lock", "flock_lock")
    )
    if fcntl is None:
        fcntl = not flock
    return file is not False, bool(fcntl), bool(flock)


def plan_append(
    transport: Driver,
    message: Message,
    reverse_path: Mailbox | None,
    recipients: Sequence[Mailbox],
    env: Env,
    now: datetime,
    path: str = "",
) -> Asking[AppendPlan | Trouble]:
    """What to write where. `path` is a file that a redirection names; it counts if the transport names none."""
    options = transport.options
    named = yield from _mailbox(transport, env, path)
    if isinstance(named, Trouble):
        return named
    place, is_folder = named
    quota = yield from quota_of(transport, env)
    if isinstance(quota, Trouble):
        return quota
    form = Form.of(transport, is_mbox=not (options.has("directory") or options.flag("maildir_format")))
    traced = with_trace(transport, message, reverse_path, recipients, now)
    octets = yield from written(transport, form, traced, reverse_path, recipients, env)
    if isinstance(octets, Trouble):
        return octets
    more = yield from _folders(transport, env)
    if isinstance(more, Trouble):
        return more
    quota_folder, size_file = more
    return AppendPlan(
        place,
        options.flag("maildir_format"),
        options.number("mode"),
        bytes(traced),
        "" if reverse_path is None else str(reverse_path),
        octets,
        is_folder,
        _rules(options, place, is_folder, env, fills_gap=form.is_usual),
        quota,
        options.expansion("directory_file"),
        options.expansion("maildir_tag"),
        options.text("maildirfolder_create_regex") or "",
        options.text("quota_size_regex") or "",
        quota_folder,
        size_file,
        options.text("maildir_quota_directory_regex") or "",
    )


def _mailbox(transport: Driver, env: Env, target: str) -> Asking[tuple[str, bool] | Trouble]:
    """The path, and whether it is a folder: the transport's own options, else the `target` of a redirection."""
    options = transport.options
    text = options.expansion("file") or options.expansion("directory")
    if text is None and not target:
        words = f"Mandatory file or directory option missing from {transport.name} transport"
        return Trouble(words, UNKNOWN_ERROR)
    path, is_tainted = target, False
    is_folder = options.has("directory") or (text is None and target.endswith("/"))
    is_folder = is_folder or (text is None and options.flag("maildir_format"))
    if text is not None:
        outcome = yield from text.asking(env)
        if not isinstance(outcome, Value):
            what = "file or directory name"
            words = f'Expansion of "{text.text}" ({what} for {transport.name} transport) failed: {outcome.message}'
            return Trouble(words, UNKNOWN_ERROR)
        path, is_tainted = str(outcome.text), isinstance(outcome.text, Tainted)
    if not path.startswith("/"):
        return Trouble(f'appendfile: file or directory name "{path}" is not absolute', NOT_ABSOLUTE)
    may_create = _may_create(options, path + "/any" if is_folder else path, env)
    if is_folder and not may_create:
        words = (
            f"tried to create file in {path}, but file creation outside the home directory is not permitted"
        )
        return Trouble(words, BAD_CREATE)
    if is_tainted and not (may_create and _is_below_home(options)):
        words = f"Tainted '{path}' (file or directory name for {transport.name} transport) not permitted"
        return Trouble(words, UNKNOWN_ERROR)
    return path, is_folder


def _is_below_home(options: Options) -> bool:
    """create_file = belowhome, or a folder: then what is below it is ours, whoever named it."""
    where = options.text("create_file") or ""
    return where == "belowhome" or where.startswith("/")


def _home(options: Options, env: Env) -> str:
    where = options.text("create_file") or ""
    return where if where.startswith("/") else env.variables.get("home", "")


def _may_create(options: Options, path: str, env: Env) -> bool:
    """May a file be made here, as far as its name tells?"""
    where, home = options.text("create_file") or "anywhere", _home(options, env)
    if where == "anywhere" or not home:
        return True
    while path.startswith("//"):
        path = path[1:]
    if not path.startswith(home + "/"):
        return False
    rest = path[len(home) :]
    if "/" not in rest[2:]:
        return True
    return _is_below_home(options) and "/../" not in rest


def _rules(options: Options, path: str, is_folder: bool, env: Env, *, fills_gap: bool) -> MailboxRules:
    uses_file, uses_fcntl, uses_flock = _locks(options)
    return MailboxRules(
        mode=options.number("mode"),
        directory_mode=options.number("directory_mode"),
        creates_folders=options.flag("create_directory"),
        creates=_may_create(options, path + "/any" if is_folder else path, env),
        below=_home(options, env) if _is_below_home(options) else "",
        must_exist=options.flag("file_must_exist"),
        refuses_narrower=options.flag("mode_fail_narrower"),
        checks_owner=options.flag("check_owner"),
        checks_group=options.flag("check_group"),
        follows_links=options.flag("allow_symlink"),
        takes_fifo=options.flag("allow_fifo"),
        uses_lock_file=uses_file,
        uses_fcntl=uses_fcntl,
        uses_flock=uses_flock,
        lock_file_mode=options.number("lockfile_mode"),
        lock_file_lasts=options.seconds("lockfile_timeout"),
        lock_retries=max(options.number("lock_retries"), 1),
        lock_interval=options.seconds("lock_interval"),
        fills_gap=fills_gap,
    )


def _folders(transport: Driver, env: Env) -> Asking[tuple[str, bool] | Trouble]:
    """Where a mailbox is counted, and whether there is a file maildirsize."""
    options, folder = transport.options, ""
    try:
        if (text := options.expansion("quota_directory")) is not None:
            folder = (yield from expanded(text, env)) or ""
            if not folder.startswith("/"):
                words = f'appendfile: quota_directory name "{folder}" is not absolute'
                return Trouble(words, NOT_ABSOLUTE)
        keeps = options.truth("maildir_use_size_file")
        if isinstance(keeps, Compiled):
            value = ((yield from expanded(keeps, env)) or "").strip().lower()
            keeps = value in ("true", "yes") or (value.lstrip("-").isdecimal() and int(value) != 0)
    except Stuck as stuck:
        return Trouble(f"Expansion of an option of {transport.name} transport failed: {stuck.trouble.words}")
    return folder, keeps
