"""How much a client has done wrong, or without carrying mail, in one session.

WHAT       `Counting`: each method counts one thing and says whether the limit is passed.
LIKE EXIM  an unknown command counts as an error of syntax, too; the first RSET, HELO, EHLO and STARTTLS of each message
           are free, and the first AUTH of the session; when TLS has begun, one more EHLO and AUTH
READ NEXT  transaction.py
"""

from __future__ import annotations

from labkit.smtp.decisions import Limits
from labkit.smtp.states import Verb

_FREE_ONCE = (Verb.RSET, Verb.HELO, Verb.EHLO, Verb.STARTTLS, Verb.AUTH)


class Counting:
    """The counts of one session."""

    def __init__(self, limits: Limits) -> None:
        self.limits = limits
        self.commands_read = 0
        self.messages_accepted = 0
        self.mails = 0  # MAIL commands, taken or not
        self._unknown = self._errors = self._nonmail = 0
        self._free_once: set[Verb] = set()

    def unknown(self) -> bool:
        """One more unknown command. True: one too many."""
        self._unknown += 1
        return self._unknown > self.limits.unknown_commands

    def error(self) -> bool:
        """One more error of syntax or protocol. True: one too many."""
        self._errors += 1
        return self._errors > self.limits.errors

    def nonmail(self, verb: Verb) -> bool:
        """One more command that carries no mail. True: one too many."""
        if verb in _FREE_ONCE and verb not in self._free_once:
            self._free_once.add(verb)
            return False
        self._nonmail += 1
        return self._nonmail > self.limits.nonmail_commands

    def end_message(self, *, is_accepted: bool) -> None:
        """A message is over."""
        self._free_once &= {Verb.AUTH}
        self.messages_accepted += is_accepted

    def secure(self) -> None:
        """TLS has begun."""
        self._free_once -= {Verb.EHLO, Verb.AUTH}
