"""How an ACL ends, and how it came to that.

WHAT       Found is what a condition, a statement or a list says inside; Result and AclVerdict are what the outside
           hears; AclStep and Look are the trace: one step for each statement, one look for each line of it.
RULES      DROP is a NO that also ends the connection. LATER and WRONG both become 451: what cannot be found out now,
           and what can never be (a mistake in the configuration). BROKEN is a mistake of which Exim's process dies:
           421, and nothing more for this client.
READ NEXT  scene.py
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum
from typing import NamedTuple

from labkit.eximconf.configuration import AclStatement
from labkit.eximconf.reader import Setting
from labkit.mail.reply import Reply


class Found(Enum):
    """Exim's OK, FAIL, FAIL_DROP, DISCARD, DEFER, ERROR, and the end of its process."""

    YES = "holds"
    NO = "does not hold"
    DROP = "does not hold; the connection ends"
    DISCARD = "discards"
    LATER = "cannot be found out now"
    WRONG = "cannot be done"
    BROKEN = "is broken"


class Result(Enum):
    """What an ACL decides."""

    ACCEPT = "accept"
    DENY = "deny"
    DEFER = "defer"
    DROP = "drop"
    DISCARD = "discard"


class Look(NamedTuple):
    """One line of a statement: what came of it and why. `inside` are the steps of an ACL that it ran."""

    written: Setting
    found: Found
    because: str
    inside: tuple[AclStep, ...] = ()


class AclStep(NamedTuple):
    """One statement looked at: whether all in it held, what decided, and each line that was reached."""

    statement: AclStatement
    applied: bool
    because: str
    looks: tuple[Look, ...] = ()


@dataclass(frozen=True, slots=True)
class AclVerdict:
    """The answer.

    `reply` None: the usual words of acceptance. `text` is the message as written, before it was shaped to a reply
    (a banner, a HELO answer). `log_text` is what stands behind "rejected RCPT <x>: " in Exim's log.
    """

    result: Result
    reply: Reply | None = None
    log_text: str = ""
    text: str | None = None
    steps: tuple[AclStep, ...] = field(default=())

    @property
    def is_accepted(self) -> bool:
        """Whether the command goes on: accepted, or accepted and thrown away."""
        return self.result in (Result.ACCEPT, Result.DISCARD)

    @property
    def refusal(self) -> Reply | None:
        return None if self.is_accepted else self.reply

    @property
    def closes(self) -> bool:
        """Whether the connection ends after the reply (drop, or something is broken)."""
        return self.result is Result.DROP
