"""How full a mailbox may become, and when its owner is warned.

WHAT       `Quota`, the expanded settings; `quota_of` reads them for one delivery.
DECIDES    `excess` says whether a mailbox of this size takes one more message, `warns` whether its owner hears of it.
STANDARDS  Exim specification, chapter "The appendfile transport", options quota…
READ NEXT  appendfile.py
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from labkit.delivery.generic import UNKNOWN_ERROR, Stuck, Trouble, expanded
from labkit.eximconf.configuration import Driver
from labkit.eximconf.expansion import Env
from labkit.mail.asking import Asking

OVER_QUOTA = -22  # Exim: ERRNO_EXIMQUOTA
_VALUE = re.compile(r"\s*([0-9]{0,15}(?:\.[0-9]{0,9})?)([kmg]?)(%?)(/no_check)?\s*", re.IGNORECASE)
_UNITS = {"": 1, "k": 1024, "m": 1024**2, "g": 1024**3}
WARNING = """\
To: $local_part@$domain
Subject: Your mailbox

This message is automatically created by mail delivery software (Exim).

The size of your mailbox has exceeded a warning threshold that is
set by the system administrator.
"""


@dataclass(frozen=True, slots=True)
class Quota:
    """Octets and files. 0: no limit. `size` and `count` are known from elsewhere; None: look."""

    limit: int = 0
    is_checked: bool = True
    file_limit: int = 0
    files_are_checked: bool = True
    threshold: int = 0
    is_percent: bool = False
    size: int | None = None
    count: int | None = None
    is_inclusive: bool = True

    @property
    def matters(self) -> bool:
        """Must anybody look how large the mailbox is?"""
        return self.limit > 0 or self._warns

    @property
    def _warns(self) -> bool:
        return self.threshold > 0 and (not self.is_percent or self.limit > 0)

    def excess(self, size: int, count: int, message_size: int) -> str | None:
        """None: there is room. Else the word that Exim puts into its message: "" or " filecount"."""
        if self.limit <= 0:
            return None
        more = message_size if self.is_inclusive else 0
        one = 1 if self.is_inclusive else 0
        if self.file_limit > 0 and self.files_are_checked and count + one > self.file_limit:
            return " filecount"
        return "" if self.is_checked and size + more > self.limit else None

    def warns(self, size: int, written: int) -> bool:
        """Does a mailbox of `size` pass the threshold by the octets that were written?"""
        if not self._warns:
            return False
        threshold = self.limit * self.threshold // 100 if self.is_percent else self.threshold
        return size <= threshold < size + written


def quota_of(transport: Driver, env: Env) -> Asking[Quota | Trouble]:
    """The settings for one delivery."""
    values: dict[str, tuple[int, bool, bool]] = {}
    for name in ("quota", "quota_filecount", "quota_warn_threshold", "mailbox_size", "mailbox_filecount"):
        value = yield from _value(transport, name, env)
        if isinstance(value, Trouble):
            return value
        values[name] = value
    limit, _, unchecked = values["quota"]
    threshold, is_percent, _ = values["quota_warn_threshold"]
    if is_percent and not 0 <= threshold <= 100:
        words = f"Invalid quota_warn_threshold percentage ({threshold}) for {transport.name} transport"
        return Trouble(words, UNKNOWN_ERROR)
    has = transport.options.has
    return Quota(
        limit,
        not unchecked,
        values["quota_filecount"][0],
        not values["quota_filecount"][2],
        threshold,
        is_percent,
        values["mailbox_size"][0] if has("mailbox_size") else None,
        values["mailbox_filecount"][0] if has("mailbox_filecount") else None,
        transport.options.flag("quota_is_inclusive"),
    )


def _value(transport: Driver, name: str, env: Env) -> Asking[tuple[int, bool, bool] | Trouble]:
    """The number, whether it is a percentage, and whether nobody checks it."""
    text = transport.options.expansion(name)
    if text is None:
        return 0, False, False
    try:
        value = yield from expanded(text, env)
    except Stuck as stuck:
        value, why = None, stuck.trouble.words
    else:
        why = "forced fail"
    if value is None:
        words = f'Expansion of "{text.text}" in {transport.name} transport failed: {why}'
        return Trouble(words, UNKNOWN_ERROR)
    found = _VALUE.fullmatch(value)
    is_allowed = found is not None and (
        (not found[3] or name == "quota_warn_threshold")
        and (not found[4] or name in ("quota", "quota_filecount"))
    )
    if found is None or not is_allowed:
        words = f'Malformed value "{value}" (expansion of "{text.text}") in {transport.name} transport'
        return Trouble(words, UNKNOWN_ERROR)
    number = float(found[1]) if found[1] not in ("", ".") else 0.0
    return int(number * _UNITS[found[2].lower()]), bool(found[3]), bool(found[4])
