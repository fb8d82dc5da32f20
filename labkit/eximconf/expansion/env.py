"""What an expansion may know: variables, header fields, and what is set while it goes on.

WHAT       one Env for an address or a command. $value, $item and $0 to $9 are fields that the few constructs that set
           them save and restore; nothing is copied.
HOOKS      ACLs and Authentication-Results belong to other modules: they come in as callables.
READ NEXT  variables.py
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any

from labkit.eximconf.here import Here
from labkit.mail.asking import Asking

if TYPE_CHECKING:
    from labkit.eximconf.lists import NamedLists  # lists know the Env


@dataclass(frozen=True, slots=True)
class AclVerdict:
    """What an ACL said; `accepted` None: it deferred."""

    accepted: bool | None
    message: str = ""


AclHook = Callable[[str, Sequence[str]], Asking["AclVerdict"]]  # name, arguments
AuthHook = Callable[[str], Asking[str]]
RewriteHook = Callable[["Env", str, bool], Asking[str]]  # an address; is it a recipient's?


@dataclass(slots=True)
class Env:
    """`variables` holds Exim's names without the dollar sign; those of them that a stranger chooses are
    treated as tainted whatever their type (variables.py). `headers` are (name, raw body) from top to bottom."""

    variables: dict[str, str] = field(default_factory=dict)
    here: Here = field(default_factory=lambda: Here(""))
    now: datetime | None = None  # what the $tod_… variables tell; whoever makes the Env knows the time
    memo: dict[Any, Any] = field(default_factory=dict)  # what lists and verifications remember for a message
    headers: Sequence[tuple[str, str]] = ()
    environment: Mapping[str, str] = field(default_factory=dict)
    named: NamedLists = field(default_factory=dict)
    true: frozenset[str] = frozenset()  # conditions without argument: first_delivery, queue_running
    acl: AclHook | None = None
    authresults: AuthHook | None = None
    rewrite: RewriteHook | None = None  # None: there are no rules for addresses of envelopes
    value: str = ""
    item: str = ""
    numbers: tuple[str, ...] = ()
    srs_recipient: str = ""
    depth: int = 0  # how many `${expand:` and keys of files stand around this
    steps: list[Step] | None = None  # where `explain` writes; None: nobody looks


@dataclass(slots=True)
class Step:
    """One expression inside a text, what it became, and the expressions inside it."""

    source: str
    result: str | bool = ""
    failure: str = ""
    steps: list[Step] = field(default_factory=list)

    def lines(self, indent: str = "") -> list[str]:
        """The tree as text."""
        shown = f"({self.failure})" if self.failure else repr(self.result)
        return [
            f"{indent}{self.source} → {shown}",
            *(line for s in self.steps for line in s.lines(indent + "  ")),
        ]
