"""What a server machine refuses or sees by itself, in the words of Exim's log.

WHAT       `Incident`: a line of the log around the client, who is known to whoever runs the machine; and what is
           refused, where that is a fact about mail. `History` remembers the last commands, which some lines show.
LIKE EXIM  the words, and the log selector that some of them need
READ NEXT  server.py
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

from labkit.mail.envelope import Envelope
from labkit.mail.reply import Reply
from labkit.smtp.states import State, Verb

SYNTAX, PROTOCOL = "smtp_syntax_error", "smtp_protocol_error"  # log selectors, and kinds of errors
_REMEMBERED = 20  # as many as Exim does


@dataclass(frozen=True, slots=True)
class Refused:
    """A refusal that is a fact: the reply, what the log says of why, and of which command (None: of a message)."""

    reply: Reply
    why: str
    command: str | None = None
    sender: str | None = None
    of_message: bool = False  # the message itself is refused, which has a queue id already


@dataclass(frozen=True, slots=True)
class Incident:
    """`before`, the client and `after` are one line. `named`: "H=" stands before the client.

    `selector`: only where log_selector has this word. `rejects`: the reject log has the line, too.
    """

    before: str
    after: str = ""
    named: bool = True
    selector: str = ""
    rejects: bool = True
    refused: Refused | None = None


@dataclass(frozen=True, slots=True)
class Ending:
    """How a session was ended from outside: why ("": it was not), where it stood, and what was on the envelope."""

    reason: str = ""
    state: State = State.CONNECTED
    envelope: Envelope | None = None


class History:
    """The commands of a session, the last of them."""

    def __init__(self) -> None:
        self._had: deque[str] = deque(maxlen=_REMEMBERED + 1)

    def add(self, verb: Verb) -> None:
        self._had.append(verb.value)

    @property
    def text(self) -> str:
        """C=EHLO,MAIL, as Exim writes it."""
        had = list(self._had)
        dots = "...," if len(had) > _REMEMBERED else ""
        return f" C={dots}{','.join(had[-_REMEMBERED:])}" if had else ""
