"""The value of an option, written as `exim -bP` writes it.

WHAT       `lines_of(row, options, …)`: one line for each option, with its own value, or its default.
LIKE EXIM  a number with a unit only where Exim counts in units; repeated settings are joined in the form in which
           Exim keeps them; accounts by their names; what is not printable is escaped.
STANDARDS  Exim specification, chapter "The Exim command line" (-bP)
READ NEXT  printing.py
"""

from __future__ import annotations

import grp
import pwd
from typing import Any

from labkit.eximconf.configuration import Options
from labkit.eximconf.options import Option
from labkit.eximconf.options import kinds as kinds_module
from labkit.eximconf.place import Place
from labkit.smtp.transcript import printed

IN_KILOBYTES = ("check_log_space", "check_spool_space")
IN_UNITS = ("bounce_return_linesize_limit", "bounce_return_size_limit", "max_output", "message_body_visible")
USERS = ("never_users", "trusted_users", "owners")
GROUPS = ("admin_groups", "trusted_groups", "owngroups")
LOADS = ("deliver_queue_load_max", "queue_only_load", "smtp_load_reserve")
LOCAL_TRANSPORTS = ("appendfile", "autoreply", "lmtp", "pipe")
OF_LOCAL_PARTS = (  # a router with one of these retries local parts one by one
    "check_local_user", "condition", "local_part_prefix", "local_part_suffix", "local_parts", "require_files",
    "senders",
)  # fmt: skip


def line_of(row: Option, options: Options, *, values_only: bool = False) -> str:
    """`name = value`, `name` or `no_name`."""
    if row.is_boolean and not hasattr(options.values.get(row.name), "text"):
        return row.name if _is_on(row, options) else f"no_{row.name}"
    text = text_of(row, options)
    if values_only:
        return text
    if row.name in (*USERS, *GROUPS, *LOADS):
        return f"{row.name} = {text}" if text else f"{row.name} ="
    return f"{row.name} = {text}"


def _is_on(row: Option, options: Options) -> bool:
    """Whether a boolean is on; some follow others."""
    name = row.name
    if name.removesuffix("_recipient").removesuffix("_sender") in ("verify", "fail_verify"):
        synonym = name.rpartition("_")[0]
        set_last = [each.name for each, _ in options.written if each.name in (name, synonym)]
        return bool(options.values.get(set_last[-1] if set_last else name))
    if name == "retry_use_local_part" and not any(each.name == name for each, _ in options.written):
        if row.scope == "transport":
            return options.text("driver") in LOCAL_TRANSPORTS
        return any(options.values.get(each) for each in OF_LOCAL_PARTS)
    if name == "log_as_local" and not any(each.name == name for each, _ in options.written):
        return options.text("driver") == "accept"
    return bool(options.values.get(name))


def text_of(row: Option, options: Options) -> str:
    """The value of an option that is no boolean."""
    written = [setting.value or "" for each, setting in options.written if each.name == row.name]
    if row.repeats:
        return printed(_joined(row.name, written))
    text = written[-1] if written else _default(row)
    if row.name == "group" and not text:
        return _group_of(_last(options, "user"))
    if row.name in (*USERS, *GROUPS):
        find = _user if row.name in USERS else _group
        return ":".join(find(item) for item in map(str.strip, text.split(":")) if item)
    if row.name in ("user", "exim_user", "group", "exim_group") and "$" not in text:
        return _user(text) if row.name.endswith("user") else _group(text)
    if not text:
        return ""
    return _shown(row, text)


def _last(options: Options, name: str) -> str:
    return next((setting.value or "" for row, setting in reversed(options.written) if row.name == name), "")


def _default(row: Option) -> str:
    return row.default if isinstance(row.default, str) else ""


def _shown(row: Option, text: str) -> str:
    """A text as the value that it makes."""
    kind = row.kind
    if kind in (
        kinds_module.INTEGER,
        kinds_module.LIMIT,
        kinds_module.MODE,
        kinds_module.TIME,
        kinds_module.SPAN,
        kinds_module.WARNINGS,
    ):
        assert kind.read is not None
        value = kind.read(text, Place(row.name, 0), {})
        if kind is kinds_module.WARNINGS:
            assert kind.shown is not None
            return kind.shown(value)
        if kind is kinds_module.MODE:
            return f"0{value:o}" if value else "0"
        if kind in (kinds_module.TIME, kinds_module.SPAN):
            return kinds_module.shown_time(value)
        return _number(row.name, value)
    return printed(text)


def _number(name: str, value: int) -> str:
    if name in IN_KILOBYTES:
        for unit, size in (("T", 2**40), ("G", 2**30), ("M", 2**20)):
            if value and value % size == 0:
                return f"{value // size}{unit}"
        return f"{value // 1024}K" if value else "0"
    if name in IN_UNITS and value and value % 1024 == 0:
        return f"{value // 2**20}M" if value % 2**20 == 0 else f"{value // 1024}K"
    return str(value)


def _joined(name: str, values: list[str]) -> str:
    if not values:
        return ""
    if name == "condition":
        text = values[0]
        for value in values[1:]:
            text = f"${{if and{{{{bool_lax{{{text}}}}}{{bool_lax{{{value}}}}}}}}}"
        return text
    between = {"headers_add": "\n", "set": ";"}.get(name, ":")
    items = [item.strip() for value in values for item in value.split(between)]
    return between.join(item for item in items if item)


def _user(name: str) -> str:
    try:
        return pwd.getpwuid(int(name)).pw_name if name.isdecimal() else name
    except KeyError:
        return name


def _group(name: str) -> str:
    try:
        return grp.getgrgid(int(name)).gr_name if name.isdecimal() else name
    except KeyError:
        return name


def _group_of(user: Any) -> str:
    """A user that is named without a group brings the own one along."""
    try:
        return _group(str(pwd.getpwnam(_user(user)).pw_gid)) if user else ""
    except (KeyError, ValueError):
        return ""
