"""What the man in the middle understands of a conversation that he can read: who told a password, which letters pass.

SAFE       a password is not kept; of a letter no more than LARGEST octets are.
STANDARDS  RFC 5321 §3.3 (a transaction), RFC 4954 §4 (AUTH)
READ NEXT  middle_session.py
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from labkit.lab.followed_talk import RESPONSE, Answer, Command, Content
from labkit.lab.overheard import Confession, Heard, Letter
from labkit.mail.address import AddressSyntaxError, read_path
from labkit.mail.message import Message

if TYPE_CHECKING:
    from labkit.lab.middle_engine import MiddleEngine
    from labkit.lab.middle_session import MiddleSession

LARGEST = 1024 * 1024  # octets of a letter that are kept
MOST_RECIPIENTS = 100
MOST_ANSWERS = 10  # of one AUTH


class Reading:
    """Of one session."""

    def __init__(self, engine: MiddleEngine, session: MiddleSession) -> None:
        self._engine, self._session = engine, session
        self._confession: Confession | None = None
        self.forget()

    def forget(self) -> None:
        """The conversation begins anew."""
        self._sender, self._recipients = "", list[str]()
        self._content = bytearray()
        self._is_complete = False

    def command(self, command: Command) -> None:
        if command.verb == "AUTH":
            self._confession = Confession.begun(command.octets.decode("latin-1"))
        elif command.verb == RESPONSE and self._confession is not None:
            if len(self._confession.answers) < MOST_ANSWERS:
                self._confession.say(command.octets)
        elif command.verb == "MAIL":
            self.forget()
            self._sender = _path(command.octets)
        elif command.verb == "RCPT" and len(self._recipients) < MOST_RECIPIENTS:
            self._recipients.append(_path(command.octets))

    def content(self, piece: Content) -> None:
        room = LARGEST - len(self._content)
        self._content += piece.octets[: max(room, 0)]
        if piece.is_end:
            self._is_complete = True

    def answer(self, answer: Answer) -> None:
        if answer.verb == "AUTH" and answer.code != 334:
            self._judge(answer.code == 235)
        elif answer.verb in ("DATA.", "BDAT") and self._is_complete:
            self._letter(200 <= answer.code < 300)

    def ended(self) -> None:
        """The connection is gone: what was told was told all the same."""
        self._judge(False)
        if self._content:
            self._letter(False)

    def _judge(self, is_right: bool) -> None:
        told = self._confession.told if self._confession is not None else None
        self._confession = None
        if told is not None:
            self._engine.hear(Heard(self._engine.host.world.now(), *told, is_right))

    def _letter(self, is_taken: bool) -> None:
        content = bytes(self._content).removesuffix(b".\r\n")
        self._engine.read(
            Letter(
                self._engine.host.world.now(),
                self._sender,
                tuple(self._recipients),
                Message.parse(content),
                self._session.is_in_own_tls,
                is_taken,
            )
        )
        self.forget()


def _path(command: bytes) -> str:
    """The address in MAIL FROM:<…> or RCPT TO:<…>; "" for none, and for what is no address."""
    _, _, argument = command.decode("utf-8", "replace").strip().partition(":")
    try:
        mailbox, _ = read_path(argument.strip())
    except AddressSyntaxError:
        return ""
    return "" if mailbox is None else str(mailbox)
