"""The moments at which an ACL is run, and what each of them is like.

WHAT       Phase: one for each acl_smtp_… option, and acl_not_smtp. Exim's name of it stands in its error texts.
STANDARDS  Exim specification, section "Specifying when ACLs are used"
NOT YET    MIME, PRDR and the start of a message that does not come by SMTP
READ NEXT  vocabulary.py
"""

from __future__ import annotations

from enum import Enum


class Phase(Enum):
    """`called` is Exim's name, `refusal` the code of a refusal, `acceptance` the code of a message of accept."""

    called: str
    refusal: int
    acceptance: int | None
    is_of_a_message: bool

    CONNECT = "connect", "connection", 550, 220
    HELO = "helo", "EHLO or HELO", 550, 250
    MAIL = "mail", "MAIL", 550, 250
    RCPT = "rcpt", "RCPT", 550, 250
    PREDATA = "predata", "PREDATA", 550, 354
    DATA = "data", "DATA", 550, 250
    DKIM = "dkim", "DKIM", 550, None
    NOT_SMTP = "not_smtp", "non-SMTP", 550, None
    AUTH = "auth", "AUTH", 503, None
    ETRN = "etrn", "ETRN", 458, None
    EXPN = "expn", "EXPN", 550, None
    MAILAUTH = "mailauth", "MAILAUTH", 550, None
    QUIT = "quit", "QUIT", 550, 221
    NOTQUIT = "notquit", "not-QUIT", 550, 421
    STARTTLS = "starttls", "STARTTLS", 550, None
    VRFY = "vrfy", "VRFY", 252, None

    __hash__ = object.__hash__  # they are keys at every command: by what they are, not by their names

    def __new__(cls, value: str, called: str, refusal: int, acceptance: int | None) -> Phase:
        self = object.__new__(cls)
        self._value_ = value
        self.called = called
        self.refusal = refusal
        self.acceptance = acceptance
        self.is_of_a_message = value in ("mail", "rcpt", "predata", "data", "dkim", "not_smtp")
        return self


ALL = frozenset(Phase)
ENDINGS = frozenset((Phase.QUIT, Phase.NOTQUIT))  # these have words, but no say
OF_A_MESSAGE = frozenset(phase for phase in Phase if phase.is_of_a_message)
WITH_CONTENT = frozenset(
    (Phase.DATA, Phase.DKIM, Phase.NOT_SMTP, Phase.QUIT, Phase.NOTQUIT)
)  # Exim: "have data"


def but(*phases: Phase) -> frozenset[Phase]:
    """All but these."""
    return ALL.difference(phases)
