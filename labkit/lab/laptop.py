"""A machine with a mail program on it: it writes messages and hands them to its owner's MTA.

WHAT       `Laptop.send` composes a message, speaks SMTP to the host, and returns what was said.
STANDARDS  RFC 5598 §2.1.1 (author, MUA), RFC 5322 §3.6 (fields), RFC 2047 (words outside ASCII)
READ NEXT  world.py
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from email.message import EmailMessage
from email.policy import SMTP
from typing import TYPE_CHECKING

from labkit.lab.conversations import Conversation, join_sides
from labkit.lab.scenarios import LaptopPlan
from labkit.mail.dates import header_date
from labkit.mail.envelope import Envelope
from labkit.mail.event import EventKind
from labkit.mail.message import HeaderField, Message, with_crlf
from labkit.net.smtp_client import hand_over
from labkit.smtp.client import Result
from labkit.smtp.transcript import Line

if TYPE_CHECKING:
    from labkit.lab.world import World

LONGEST_LINE = 78  # of a header field, RFC 5322 §2.1.1


@dataclass(frozen=True, slots=True)
class MailObject:
    """What SMTP transports: an envelope and content (RFC 5321 §2.3.1)."""

    envelope: Envelope
    message: Message


@dataclass(frozen=True, slots=True, repr=False)
class Sent:
    """What came of handing in a message: the mail object, the conversation, the replies."""

    mail_object: MailObject
    conversation: Conversation
    result: Result | None
    refusal: str

    @property
    def queue_id(self) -> str | None:
        """The id the server gave the message, None if it did not take it."""
        for verdict in self.result.verdicts if self.result else ():
            if verdict.reply.is_positive and "id=" in verdict.reply.text:
                return verdict.reply.text.partition("id=")[2]
        return None

    def __str__(self) -> str:
        lines = [
            f"{verdict.recipient}: {verdict.reply}"
            for verdict in (self.result.verdicts if self.result else ())
        ]
        if self.result is not None and self.result.broken:
            lines.append(f"the conversation broke: {self.result.broken}")
        return "\n".join(lines) or self.refusal

    def __repr__(self) -> str:
        return str(self)


class Laptop:
    """A mail program at an address of the lab. `owner` is the address of who sits there."""

    def __init__(self, world: World, plan: LaptopPlan) -> None:
        self.world = world
        self.role = plan.role
        self.name = plan.name
        self.address = plan.address
        self.owner = plan.owner
        self.mail_host = plan.mail_host
        self._messages = 0

    def __repr__(self) -> str:
        return f"<laptop {self.name} at {self.address}>"

    @property
    def source_address(self) -> tuple[str, int]:
        """Where programs on this laptop really call from: smtplib's `source_address`. Raises as World.real does."""
        return self.world.real(self.address, 25)[0], 0

    def compose(
        self,
        to: str,
        subject: str,
        text: str,
        *,
        header_to: str | None = None,
        header_from: str | None = None,
    ) -> Message:
        """Write a message. `header_to` and `header_from` are what stands in To: and From:, if that differs.

        Raises ValueError for a line end inside a field.
        """
        self._messages += 1
        fields = {
            "From": header_from or self.owner,
            "To": header_to or to,
            "Subject": subject,
            "Date": header_date(self.world.now()),
            "Message-ID": f"<{self.world.seed}.{self._messages}@{self.name}>",
        }
        if all(part.isascii() for part in (*fields.values(), text)):  # plain text needs no MIME
            header = tuple(_field(name, value) for name, value in fields.items())
            return Message(header, b"\r\n", with_crlf(text.encode("ascii")))
        draft = EmailMessage(policy=SMTP)
        for name, value in fields.items():
            draft[name] = value
        draft.set_content(text)
        return Message.parse(with_crlf(draft.as_bytes()))

    async def send(
        self,
        to: str | Sequence[str],
        subject: str = "",
        text: str = "",
        *,
        sender: str | None = None,
        header_to: str | None = None,
        header_from: str | None = None,
        message: Message | bytes | None = None,
        host: str | None = None,
        port: int = 25,
        settle: bool = True,
    ) -> Sent:
        """Hand in a message and let the lab deliver it.

        `to` and `sender` make the envelope; `header_to` and `header_from` the header; `message` is a ready one.
        `host` is the server to talk to (default: the owner's MTA). `settle=False` leaves the rest for later.
        Raises AddressSyntaxError, ConnectionRefusedError, HostSilent, KeyError (no such host).
        """
        recipients = [to] if isinstance(to, str) else list(to)
        envelope = Envelope.of(self.owner if sender is None else sender, *recipients)
        if message is None:
            message = self.compose(
                ", ".join(recipients), subject, text, header_to=header_to, header_from=header_from
            )
        elif isinstance(message, bytes):
            message = Message.parse(with_crlf(message))
        server = self.world.host(host or self.mail_host)
        lines: list[Line] = []
        before = len(self.world.journal)
        async with self.world.agenda.hold():
            client, result = await hand_over(
                self.world.network,
                self.address,
                server.address,
                port,
                self.name,
                envelope,
                bytes(message),
                pipelining=False,
                on_line=lines.append,
            )
        exchanges = join_sides(lines, self._server_states(server.name, before))
        if settle:
            await self.world.settle()
        refusal = client.broken or (str(client.refusal) if client.refusal else "")
        conversation = Conversation(self.name, server.name, exchanges)
        return Sent(MailObject(envelope, message), conversation, result, refusal)

    def _server_states(self, server: str, before: int) -> dict[str, list[str]]:
        """Where the server's session stood after each line that either side said since then."""
        states: dict[str, list[str]] = {"C": [], "S": []}
        said = self.world.journal.where(
            EventKind.DIALOGUE, after=before, host=server, remote_address=self.address
        )
        for event in said:
            if event.speaker is not None:
                states[event.speaker].append(event.state or "")
        return states


def _field(name: str, value: str) -> HeaderField:
    """A header field, folded at its blanks where a line would be longer than 78 characters (RFC 5322 §2.2.3)."""
    first, *words = value.split(" ")
    lines = [first]
    room = LONGEST_LINE - len(f"{name}: ")
    for word in words:
        if word and len(lines[-1]) + 1 + len(word) > room:
            lines.append(word)
            room = LONGEST_LINE - 1
        else:
            lines[-1] += f" {word}"
    return HeaderField.make(name, *lines, fold="\r\n ")
