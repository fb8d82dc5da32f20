"""What keeps a host from taking a message, in Exim's words and with its numbers.

WHAT       `HostTrouble`, and `trouble_of` what the client's machine says of a session that ended early.
LIKE EXIM  the numbers of macros.h: those of the system, and negative ones of its own; "pipelined" where several
           commands were under way; a reply of several lines with \\n between them
READ NEXT  calling.py
"""

from __future__ import annotations

from dataclasses import dataclass

from labkit.mail.reply import Reply
from labkit.queue import errors
from labkit.smtp.client import Client, Ended, Ending
from labkit.smtp.states import Step

MALFORMED, EXPANSION, AUTH_PROBLEM, IS_LOCAL, CANNOT_ASSIGN = (
    -19,
    -27,
    -48,
    -50,
    99,
)  # the rest: queue/errors.py
_OF_REPLY = {Step.MAIL: errors.MAIL_4XX, Step.DATA: errors.DATA_4XX, Step.CONTENT: errors.DATA_4XX}
_SETTING_UP = (Step.BANNER, Step.EHLO, Step.HELO, Step.STARTTLS, Step.AUTH, Step.IDLE)


@dataclass(frozen=True, slots=True)
class HostTrouble:
    """`words` without those of the number; `more` is the second number (queue/errors.py).

    `is_of_message`: the host may well take other messages; `is_of_address`: it may take this one for others.
    `names_host`: the log line of the recipient names it. `is_told`: no line of its own. `stops`: no other host would
    do better. `fails`: the recipients fail at once, although no reply said so.
    """

    errno: int
    words: str = ""
    reply: Reply | None = None
    more: int = 0
    is_of_message: bool = False
    is_of_address: bool = False
    names_host: bool = True
    is_told: bool = False
    stops: bool = False
    fails: bool = False

    @property
    def is_permanent(self) -> bool:
        return self.reply is not None and self.reply.is_permanent

    @property
    def shown(self) -> str:
        """The words with those of the number, as the line of a recipient has them."""
        return ": ".join(filter(None, (errors.in_words(self.errno), self.words)))

    @property
    def of_host(self) -> str:
        """The same as the line of the host has them: those of the system come last."""
        return ": ".join(filter(None, (self.words, errors.in_words(self.errno))))


def shown(reply: Reply) -> str:
    """A reply as Exim's log has it: 550-one\\n550 two."""
    last = len(reply.lines) - 1
    return "\\n".join(
        f"{reply.code}{'-' if number < last else ' '}{line}" for number, line in enumerate(reply.lines)
    )


def after(command: str, reply: Reply) -> str:
    return f"SMTP error from remote mail server after {command}: {shown(reply)}"


def refused(client: Client) -> HostTrouble | None:
    """The greeting was not the one that was hoped for."""
    if client.refusal is None:
        return None
    return HostTrouble(0, after(client.refused_at, client.refusal), client.refusal)


def said_in(client: Client, step: Step, command: str) -> str:
    """The command with Exim's word for one that was not alone."""
    if not client.pipelines or step not in (Step.MAIL, Step.DATA, Step.CONTENT):
        return command
    if client.chunks_at_once and step in (Step.MAIL, Step.CONTENT):
        return f"pipelined {client.chunks_at_once}"  # what was said last, when the answers were read
    return command if step is Step.CONTENT else f"pipelined {command}"


def trouble_of(client: Client) -> HostTrouble:
    """Why the session is over."""
    ended = client.ended
    assert ended is not None, "it is over"
    command = said_in(client, ended.step, ended.command)
    is_of_message = ended.step is Step.CONTENT
    if ended.how is Ending.REPLY:
        return _of_reply(ended, command)
    if ended.step is Step.RCPT and client.pipelines and not client.chunks_at_once:
        command = f"pipelined {command}"
    if ended.how is Ending.SILENCE:
        words = f"SMTP timeout after {command}"
        return HostTrouble(errors.TIMED_OUT, words, is_of_message=is_of_message or ended.step is Step.MAIL)
    if ended.how is Ending.MALFORMED:
        words = f"Malformed SMTP reply in response to {command}: {ended.said or client.broken}"
        return HostTrouble(MALFORMED, words)
    if ended.how is Ending.TLS:
        return HostTrouble(errors.TLS_FAILURE, f"TLS session: {ended.said}", is_told=True)
    words = f"Remote host closed connection in response to {command}"
    if ended.step is Step.HELO and client.refused_ehlo is not None:
        words += f" (EHLO response was: {shown(client.refused_ehlo)})"
    return HostTrouble(errors.LOST_CONNECTION, words, is_of_message=is_of_message)


def _of_reply(ended: Ended, command: str) -> HostTrouble:
    reply = ended.reply
    assert reply is not None
    if not command:
        return HostTrouble(MALFORMED, f"Malformed SMTP reply: nothing was asked, and it said {shown(reply)}")
    is_of_message = ended.step not in _SETTING_UP
    errno = _OF_REPLY.get(ended.step, 0) if reply.is_transient else 0
    return HostTrouble(errno, after(command, reply), reply, errors.of_reply(reply.code), is_of_message)
