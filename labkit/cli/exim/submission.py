"""A message on the standard input: -bm, -t, or recipients alone.

WHAT       `submit` reads it, completes it, hands it to the MTA and sees to its delivery as -od… wants it.
DECIDES    who the sender is: the caller at qualify_domain, unless he is trusted and says another (-f, a line From_).
LIKE EXIM  a dot alone on a line ends the message, unless -i is given; -t takes the recipients out of To, Cc and Bcc,
           and arguments are left out then; From, Date, Message-Id and Sender are added. Nobody waits for the
           delivery, but with -odi.
SIMPLER    an error in a recipient is told on the standard error (as with -oep), and not sent by mail
STANDARDS  Exim specification, chapters "The Exim command line", "Message processing"
READ NEXT  local_session.py
"""

from __future__ import annotations

import pwd
import re
from dataclasses import dataclass, field, replace

from labkit.cli.exim.command import Told
from labkit.cli.exim.files import octets_of
from labkit.cli.exim.views import Work
from labkit.eximconf.field_addresses import Readable, addresses_of
from labkit.eximconf.mailbox_text import NoMailbox, read_mailbox
from labkit.lab.exim_log import MAIN, PANIC
from labkit.mail.address import AddressSyntaxError, Mailbox
from labkit.mail.dates import log_date
from labkit.mail.envelope import Envelope
from labkit.mail.fields import without
from labkit.mail.message import HeaderField, Message, with_crlf
from labkit.mta.fixups import completed
from labkit.mta.local_message import NotTaken
from labkit.queue.item import Origin

_FROM_LINE = re.compile(rb"From +(\S+) +[A-Z][a-z]{2},? ")
_RECIPIENTS = ("to", "cc", "bcc")


class NotSubmitted(ValueError):
    """A message that is not taken; the text is what the caller is told, `log` what the logs are, if anything."""

    def __init__(self, words: str, log: str = "") -> None:
        super().__init__(words)
        self.log = log


@dataclass(slots=True)
class Submission:
    """What was read: the message, who sends it, and to whom."""

    message: Message
    sender: Mailbox | None
    recipients: list[Mailbox] = field(default_factory=list)
    has_named_sender: bool = False  # by a trusted caller


async def submit(work: Work) -> None:
    queue_id = ""
    try:
        recipients = _arguments(work) if not work.command.reads_recipients else []
        text = await _read(work)
        queue_id = work.mta.state.new_queue_id()
        await _take(work, await _submission(work, text, recipients), queue_id)
    except (NotSubmitted, NotTaken) as problem:
        if isinstance(problem, NotSubmitted) and problem.log:
            _log(work, queue_id, problem.log)
        work.console.complain(f"exim: {problem}")
        work.console.end(0 if work.command.errors == "e" else 1)
        return
    except OSError as problem:
        work.console.complain(f"exim: the spool cannot be written: {problem.strerror}")
        work.console.end(1)
        return
    if work.command.delivery == "i":
        await work.idle()
    work.console.end(0)


def _log(work: Work, queue_id: str, words: str) -> None:
    """In the main log and the panic log; and what the panic log is told, the caller sees."""
    line = f"{log_date(work.time.now())} {queue_id} {queue_id} {words}"
    for name in (MAIN, PANIC):
        work.time.logs.write(name, line)
    work.console.complain(line)


async def _read(work: Work) -> bytes:
    """The message, with the line ends of this machine."""
    limit = work.mta.state.compiled.limits.message_size
    dots = work.command.dot_ends
    lines: list[bytes] = []
    size = 0
    async for line in work.console.lines():
        line = line[:-2] + b"\n" if line.endswith(b"\r\n") else line
        if dots and line in (b".\n", b"."):
            break
        size += len(line)
        if limit and size > limit:
            raise NotSubmitted("message is too big")
        lines.append(line)
    return b"".join(lines)


def _arguments(work: Work) -> list[Mailbox]:
    """The recipients that the command line names, each maybe a list with commas. Raises NotSubmitted."""
    found = []
    for argument in work.command.arguments:
        for piece in addresses_of(argument):
            if not isinstance(piece, Readable):
                raise NotSubmitted(f'bad recipient address "{argument}": {piece.problem}')
            found.append(_mailbox(work, piece.address, argument))
    limit = work.mta.state.compiled.limits.recipients
    if limit and len(found) > limit:
        raise NotSubmitted("too many recipients")
    return found


def _mailbox(work: Work, address: str, argument: str) -> Mailbox:
    domain = work.mta.state.compiled.qualify_recipient
    try:
        return Mailbox.parse(address if "@" in address else f"{address}@{domain}")
    except AddressSyntaxError as problem:
        raise NotSubmitted(f'bad recipient address "{argument}": {problem}') from None


async def _submission(work: Work, text: bytes, recipients: list[Mailbox]) -> Submission:
    from_line = _FROM_LINE.match(text)
    if from_line is not None:
        text = text.partition(b"\n")[2]
    message = _parsed(text)
    named = work.command.sender
    if named is None and from_line is not None:
        named = from_line[1].decode("latin-1")
    sender: Mailbox | None = Mailbox(work.caller.login, work.mta.state.compiled.qualify_domain)
    has_named = False
    if named is not None and await _may_name(work, named):
        sender, has_named = _sender(work, named), work.caller.is_trusted
    if work.command.reads_recipients:
        message, recipients = _taken_out(work, message)
    return Submission(message, sender, recipients, has_named)


def _parsed(text: bytes) -> Message:
    """What begins with no header field is all body, as Exim sees it."""
    if not re.match(rb"[!-9;-~]+[ \t]*:|\n|\Z", text):
        text = b"\n" + text
    return Message.parse(with_crlf(text))


async def _may_name(work: Work, named: str) -> bool:
    """Who is not trusted may name the null sender, and whom untrusted_set_sender allows."""
    if work.caller.is_trusted or named.strip() in ("", "<>"):
        return True
    allowed = work.machine.configuration.main.patterns("untrusted_set_sender")
    if allowed is None:
        return False
    env = work.mta.state.env()
    may: bool = await work.machine.drive(allowed.contains(named, env), env)
    return may


def _sender(work: Work, named: str) -> Mailbox | None:
    """Raises NotSubmitted."""
    if named.strip() in ("", "<>"):
        return None
    try:
        found = read_mailbox(named, may_be_null=True)
        address = found.text if found.has_domain else f"{found.text}@{work.mta.state.compiled.qualify_domain}"
        return Mailbox.parse(address) if found.text else None
    except (NoMailbox, AddressSyntaxError) as problem:
        raise NotSubmitted(f'bad -f address "{named}": {problem}') from None


def _taken_out(work: Work, message: Message) -> tuple[Message, list[Mailbox]]:
    """-t: the recipients that the header names, without those of the command line; Bcc goes. Raises NotSubmitted."""
    is_resent = any(field.name.lower().startswith("resent-") for field in message.header_fields)
    names = [f"resent-{name}" if is_resent else name for name in _RECIPIENTS]
    left_out = set()
    if work.command.arguments and work.machine.configuration.main.flag("extract_addresses_remove_arguments"):
        left_out = {address.key for address in _arguments(work)}
    found: dict[tuple[str, str], Mailbox] = {}
    problems = []
    for each in message.header_fields:
        if each.name.lower() not in names:
            continue
        body = each.raw.decode("latin-1").partition(":")[2].replace("\r\n", "\n").rstrip("\n")
        for piece in addresses_of(body, skips_blanks=False):
            if isinstance(piece, Readable):
                address = _mailbox(work, piece.address, piece.text)
                found.setdefault(address.key, address)
            elif piece.problem != "empty address":
                problems.append(f"invalid address: {piece.text}: {piece.problem}")
    if problems:
        raise NotSubmitted("\n".join(problems), "bad addresses found in headers")
    if not found:
        raise NotSubmitted("no recipients in message", "no recipients found in headers")
    recipients = [address for key, address in found.items() if key not in left_out]
    return without(message, [names[2]]), recipients


async def _take(work: Work, made: Submission, queue_id: str) -> None:
    """Raises NotTaken, NotSubmitted, OSError."""
    if not made.recipients:
        raise NotSubmitted("no recipients in message")
    state, told = work.mta.state, work.command.told if work.caller.is_trusted else Told()
    main = work.machine.configuration.main
    keeps = work.caller.is_trusted or main.flag("local_sender_retain")
    message = made.message
    if told.address is None:  # as another host's, it stays as it is
        message = completed(
            message,
            queue_id=queue_id,
            host=state.primary_hostname,
            sender=str(made.sender) if made.sender is not None else "",
            now=state.surroundings.now(),
            name=_full_name(work, made),
            keeps_sender=keeps,
        )
        if not keeps and main.flag("local_from_check"):
            message = _with_sender(message, str(made.sender or ""))
    runner = work.mta.runner
    runner.queue_only = {"": None, "q": True}.get(work.command.delivery, False)
    await work.mta.intake.take_local(
        Envelope(made.sender, tuple(dict.fromkeys(made.recipients))),
        bytes(message),
        work.caller.login,
        queue_id,
        about=told.about,
        origin=_origin(work, told, names_sender=made.has_named_sender),
    )


def _origin(work: Work, told: Told, *, names_sender: bool) -> Origin:
    return Origin(
        client_address=told.address or "",
        client_port=told.port or 0,
        client_name=told.host or "",
        protocol=told.protocol or f"local{work.command.called_as}",
        login=told.ident or work.caller.login,
        authenticator=told.authenticator or "",
        authenticated_id=told.authenticated_id or "",
        authenticated_sender=told.authenticated_sender or "",
        names_sender=names_sender,
    )


def _full_name(work: Work, made: Submission) -> str:
    """-F, or the name of the account; of somebody else's address we know no name."""
    if work.command.full_name is not None:
        return work.command.full_name
    if made.has_named_sender or work.machine.accounts is not None:
        return ""
    try:
        name = octets_of(pwd.getpwnam(work.caller.login).pw_gecos)
    except KeyError:
        return ""
    return name.replace("&", work.caller.login.capitalize())


def _with_sender(message: Message, sender: str) -> Message:
    """local_from_check: a From that is not the caller's own is no secret."""
    body = message.first("From")
    own = {piece.address.lower() for piece in addresses_of(body or "") if isinstance(piece, Readable)}
    if body is None or not sender or own == {sender.lower()} or message.first("Sender") is not None:
        return message
    return replace(message, header_fields=(*message.header_fields, HeaderField.make("Sender", sender)))
