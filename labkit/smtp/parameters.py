"""The parameters that follow an address in MAIL and RCPT.

WHAT       `last_parameter` takes one off the end of the text; `MailParameters` and `wishes_in` read those that may be.
LIKE EXIM  they are read from the right, so the last mistake is the one that is told; what an extension brings that
           was not offered is passed over in MAIL, and is no part of the address in RCPT
SAFE       ENVID, ORCPT and AUTH go on into files, reports and other servers' command lines: they are printable ASCII
STANDARDS  RFC 5321 §4.1.2 (syntax); RFC 1870 (SIZE); RFC 6152 (BODY); RFC 4954 §5 (AUTH);
           RFC 3461 §4 (RET, ENVID, NOTIFY, ORCPT)
READ NEXT  envelope_commands.py
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import NamedTuple

from labkit.mail import reply
from labkit.mail.envelope import Wishes
from labkit.mail.reply import Reply
from labkit.smtp.auth.coding import undo_xtext
from labkit.smtp.extensions import Extensions

LARGEST = 2**31 - 1  # a SIZE beyond it counts as this
LONGEST_VALUE = 1000  # octets of ENVID or ORCPT that are kept; RFC 3461 §4.2, §4.4 ask for 500 and 100
_NOTIFICATIONS = frozenset(("SUCCESS", "FAILURE", "DELAY"))
_NEED_A_VALUE = frozenset(("SIZE", "BODY", "AUTH", "RET", "ENVID"))


class Parameter(NamedTuple):
    """`before` is the text without it."""

    before: str
    name: str
    value: str


def last_parameter(text: str) -> Parameter | None:
    """The NAME=value, or the word, at the end of the text after a blank; None if there is none."""
    text = text.rstrip(" \t")
    at = len(text) - 1
    while at > 0 and text[at] not in "= \t":
        if text[at] == '"':  # a quoted local part may have blanks in it
            at = text.rfind('"', 0, at)
            if at <= 0:
                return None
        at -= 1
    if at <= 0:
        return None
    if text[at] != "=":
        return Parameter(text[:at], text[at + 1 :].upper(), text[at + 1 :])
    found = re.search(r"[ \t]([A-Za-z]*)$", text[:at])
    return Parameter(text[: found.start()], found[1].upper(), text[at + 1 :]) if found else None


@dataclass
class MailParameters:
    """What MAIL says besides the sender. `read` says what is left: the address, and what is no parameter."""

    size: int | None = None
    body: str = "7BIT"
    returns: str = ""
    identifier: str | None = None
    auth: str | None = None

    def read(self, text: str, offered: Extensions) -> str | Reply:
        """Take the parameters off the end; a Reply refuses one of them."""
        while (found := last_parameter(text)) is not None:
            if found.name not in _NEED_A_VALUE and found.name != "SMTPUTF8":
                return text
            text = found.before
            if found.name in _NEED_A_VALUE and not found.value:
                break
            goes_on = self._take(found.name, found.value, offered)
            if isinstance(goes_on, Reply):
                return goes_on
            if not goes_on:
                break
        return text

    def _take(self, name: str, value: str, offered: Extensions) -> bool | Reply:
        """False: nothing more is read."""
        if name == "SIZE":
            if not value.isdigit() or not value.isascii():  # what is no number says nothing
                return False
            self.size = min(int(value[:20]), LARGEST)
        elif name == "BODY":
            return self._take_body(value.upper(), offered)
        elif name == "RET" and offered.dsn:
            return self._take_returns(value.upper())
        elif name == "ENVID" and offered.dsn:
            if self.identifier is not None:
                return reply.ENVID_TWICE
            if not _is_plain(value):
                return reply.INVALID_ENVID
            self.identifier = value[:LONGEST_VALUE]
        elif name == "AUTH":
            if value != "<>" and not (undo_xtext(value) or "\n").isprintable():
                return reply.INVALID_AUTH
            self.auth = value
        elif name == "SMTPUTF8":
            return reply.SMTPUTF8_NOT_OFFERED
        return True

    def _take_body(self, value: str, offered: Extensions) -> bool | Reply:
        if not offered.eight_bit:
            return False
        if value not in ("7BIT", "8BITMIME"):
            return reply.INVALID_BODY
        self.body = value
        return True

    def _take_returns(self, value: str) -> bool | Reply:
        if self.returns:
            return reply.RET_TWICE
        if value not in ("HDRS", "FULL"):
            return reply.INVALID_RET
        self.returns = value
        return True


def wishes_in(text: str, offered: Extensions) -> tuple[str, Wishes] | Reply:
    """Take NOTIFY and ORCPT off the end of what RCPT says; a Reply refuses one of them."""
    notify: frozenset[str] | None = None
    original: str | None = None
    while offered.dsn and (found := last_parameter(text)) is not None:
        if found.name == "ORCPT":
            if original is not None:
                return reply.ORCPT_TWICE
            if not _is_plain(found.value):
                return reply.INVALID_ORCPT
            original = found.value[:LONGEST_VALUE]
        elif found.name == "NOTIFY":
            if notify:
                return reply.NOTIFY_TWICE
            notify = _notify(found.value.upper())
            if notify is None:
                return reply.INVALID_NOTIFY
        else:
            break
        text = found.before
    return text, Wishes(notify or None, original or "")


def _is_plain(value: str) -> bool:
    """Octets that xtext may consist of; a quoted string could bring blanks, and so parameters of its own."""
    return value.isascii() and value.isprintable() and " " not in value


def _notify(value: str) -> frozenset[str] | None:
    """Which reports are wanted; None if one is unknown. NEVER stands alone."""
    if value == "NEVER":
        return frozenset(("NEVER",))
    wanted = value.removesuffix(",").split(",") if value else []
    return frozenset(wanted) if _NOTIFICATIONS.issuperset(wanted) else None
