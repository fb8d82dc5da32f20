"""aiosmtpd as a server in the lab, with the guards that it lacks.

WHAT       `GuardedSmtp` is aiosmtpd's protocol; `serve(...)` gives what Network.listen wants for one connection. Its
           owner answers the same decisions as the owner of labkit's own server machine (labkit/smtp/decisions.py).
GUARDS     commands end in CR LF alone (aiosmtpd_lines.py); STARTTLS once, AUTH outside of a transaction, both with
           labkit's TLS; addresses by RFC 5321's grammar; a name after EHLO that is one; limits for recipients, for
           commands that do nothing, and for passwords; no bare CR or LF in a message; HTTP is shown the door.
RULES      a password is in no log, in no dialogue, and not kept. Limits are an instance's: aiosmtpd shares its own.
STANDARDS  RFC 5321 §2.3.8, §4.1.2, §4.5.3.1; RFC 3207 §4.2; RFC 4954 §3, §4; RFC 4616 (PLAIN)
READ NEXT  tls_transport.py, labkit/lab/aiosmtpd_engine.py
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import collections
import logging
import re
import ssl
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NoReturn, Protocol

from aiosmtpd.smtp import SMTP

from labkit.mail.address import AddressSyntaxError, Mailbox, read_path
from labkit.mail.encryption import Encryption
from labkit.mail.envelope import Envelope
from labkit.mail.message import is_canonical
from labkit.mail.reply import LOCAL_PROBLEM, Reply
from labkit.net.aiosmtpd_lines import CommandLines
from labkit.net.network import Peer
from labkit.net.tls import TlsFailure
from labkit.net.tls_transport import Securable
from labkit.smtp.decisions import (
    Connected,
    DataBegins,
    Decision,
    Goodbye,
    Greeted,
    MailFrom,
    MessageReceived,
    RcptTo,
)
from labkit.smtp.states import State, Verb
from labkit.smtp.transcript import Line, readable, without_secret

logging.getLogger("mail.log").addHandler(logging.NullHandler())  # what there is to know is in the journal
MOST_TRIES = 3  # of passwords, in a session
_NAME = re.compile(r"[A-Za-z0-9_](?:[A-Za-z0-9_.-]{0,253}[A-Za-z0-9])?\.?|\[[0-9A-Za-z:.]{1,64}\]")
_CALLS = {"NOOP": 20, "RSET": 50, "VRFY": 10, "EXPN": 5, "HELP": 5, "EHLO": 10, "HELO": 10, "*": 2000}
_COMMAND_LINE = 2048  # octets; RFC 5321 §4.5.3.1.4 asks for 512


@dataclass(frozen=True, slots=True)
class Offer:
    """What a port offers. `context` None: no TLS; `at_once`: TLS from the start; `authenticates`: AUTH, inside TLS.

    `in_clear`: AUTH also without TLS, as only somebody offers it who wants the password. `keeps_plaintext`: what came
    behind STARTTLS in the clear is obeyed inside of TLS, as servers did before CVE-2011-0411 was known.
    """

    context: ssl.SSLContext | None = None
    at_once: bool = False
    authenticates: bool = False
    in_clear: bool = False
    keeps_plaintext: bool = False
    message_size: int = 10 * 1024 * 1024
    recipients: int = 100  # RFC 5321 §4.5.3.1.8 asks for at least so many
    timeout: float = 300.0  # seconds of real time, for clients from outside the lab


class HangUp(Exception):
    """An owner raises it: the connection ends without a reply."""


class Owner(Protocol):
    """Who decides in one session."""

    async def answer(self, decision: Decision) -> Reply | None:
        """None accepts; of Connected the answer is the banner, of MessageReceived it is always a reply."""

    async def authenticate(self, login: str, password: str) -> bool: ...

    def heard(self, line: Line) -> None: ...

    def ended(self) -> None: ...

    def went_wrong(self, problem: Exception) -> None: ...


@dataclass(slots=True)
class Known:
    """What is known of the client of a session so far."""

    helo_name: str = ""
    is_extended: bool = False
    login: str = ""  # as who it has proved itself
    mechanism: str = ""
    encryption: Encryption | None = None
    messages_accepted: int = 0
    reverse_path: Mailbox | None = None
    forward_paths: list[Mailbox] = field(default_factory=list)

    @property
    def envelope(self) -> Envelope:
        return Envelope(self.reverse_path, tuple(self.forward_paths))

    @property
    def protocol(self) -> str:
        """RFC 3848."""
        if not self.is_extended:
            return "smtp"
        return f"esmtp{'s' if self.encryption else ''}{'a' if self.login else ''}"


def serve(owner: Owner, peer: Peer, host_name: str, offer: Offer) -> tuple[GuardedSmtp, asyncio.Protocol]:
    """The server of one connection, and the protocol to give to the network."""
    smtp = GuardedSmtp(owner, peer, host_name, offer)
    smtp.below = Securable(smtp, offer.context if offer.at_once else None)
    return smtp, smtp.below


class GuardedSmtp(SMTP):
    """One session of aiosmtpd."""

    below: Securable

    def __init__(self, owner: Owner, peer: Peer, host_name: str, offer: Offer) -> None:
        self.command_size_limits = collections.defaultdict(
            lambda: _COMMAND_LINE
        )  # aiosmtpd's is of all servers
        self.owner, self.peer, self.offer = owner, peer, offer
        self.known = Known()
        self._lines: CommandLines
        self._is_open = self._in_content = self._in_auth = self._in_mail = False
        self._tries = 0
        self._path: Mailbox | None = None
        super().__init__(
            self,
            data_size_limit=offer.message_size,
            hostname=host_name,
            ident="",
            timeout=offer.timeout,
            command_call_limit=_CALLS,
            loop=asyncio.get_running_loop(),
        )

    command_size_limit = _COMMAND_LINE

    # --- the connection -----------------------------------------------------------------------

    def _cb_client_connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        super()._cb_client_connected(reader, writer)
        self._lines = CommandLines(reader, self._heard, self._hang_up)
        self._reader: Any = self._lines

    async def _handle_client(self) -> None:
        if self.below.layer is not None:
            self.known.encryption = self.below.layer.encryption
        try:
            banner = await self.owner.answer(Connected())
        except HangUp:
            await self._hang_up()
        except Exception as problem:
            self.owner.went_wrong(problem)
            banner = LOCAL_PROBLEM
        if banner is None or banner.code != 220:
            await self.push(_text(banner or LOCAL_PROBLEM))
            await self._hang_up()
        assert banner is not None
        self.hostname, _, self.__ident__ = banner.text.partition(" ")
        self._is_open = True
        await super()._handle_client()

    async def _hang_up(self) -> NoReturn:
        """End the session; this task is cancelled when the connection is gone."""
        if self.transport is not None:
            self.transport.close()
        await asyncio.Event().wait()
        raise AssertionError("nobody sets it")

    def eof_received(self) -> bool | None:
        """The client may still read; what it has said is answered. Then a read tells that nothing more comes."""
        return asyncio.StreamReaderProtocol.eof_received(self)

    def connection_lost(self, problem: Exception | None) -> None:
        super().connection_lost(problem)
        self.owner.ended()

    def close(self, last: Reply) -> None:
        """End it, as a server that stops does."""
        if self.transport is not None:
            if self._is_open and not self._in_content:
                self._write(last)
            self.transport.close()

    # --- what is said -------------------------------------------------------------------------

    @property
    def state(self) -> State:
        if self.transport is None or self.transport.is_closing():
            return State.CLOSED
        if not self._is_open:
            return State.CONNECTED
        if self._in_auth:
            return State.AUTH
        if self._in_content:
            return State.CONTENT
        if self.envelope is not None and self.envelope.mail_from:
            return State.RCPT if self.known.forward_paths else State.MAIL
        return State.READY if self.known.helo_name else State.GREETED

    def _heard(self, line: bytes) -> None:
        said = line.rstrip(b"\r\n")
        text = "*" * len(said) if self._in_auth else without_secret(readable(said))
        self.owner.heard(Line("C", text, self.state.value))

    async def push(self, status: str | bytes) -> None:
        text = status if isinstance(status, str) else status.decode("ascii", "replace")
        for line in text.split("\r\n"):
            self.owner.heard(Line("S", line, self.state.value))
        await super().push(text)

    def _write(self, reply: Reply) -> None:
        for line in _text(reply).split("\r\n"):
            self.owner.heard(Line("S", line, State.CLOSED.value))
        self.transport.write(bytes(reply))  # type: ignore[union-attr]

    async def handle_exception(self, error: Exception) -> str:
        if isinstance(error, HangUp):
            await self._hang_up()
        self.owner.went_wrong(error)
        return _text(LOCAL_PROBLEM)

    async def _refused(self, decision: Decision) -> bool:
        """Ask the owner; say its refusal."""
        answer = await self.owner.answer(decision)
        if answer is None or answer.is_positive:
            return False
        await self.push(_text(answer))
        if answer.code == 421:  # RFC 5321 §3.8
            await self._hang_up()
        return True

    # --- greeting -----------------------------------------------------------------------------

    async def smtp_EHLO(self, hostname: str) -> None:
        await self._greet(Verb.EHLO, hostname)

    async def smtp_HELO(self, hostname: str) -> None:
        await self._greet(Verb.HELO, hostname)

    async def _greet(self, verb: Verb, name: str | None) -> None:
        if not name or not _NAME.fullmatch(name):  # RFC 5321 §4.1.1.1
            await self.push(f"501 5.5.4 {verb.value} wants a host name, or an address in brackets")
            return
        if await self._refused(Greeted(verb, name)):
            return
        self._set_rset_state()
        assert self.session is not None
        self.session.host_name, self.session.extended_smtp = name, verb is Verb.EHLO
        self.known.helo_name, self.known.is_extended = name, verb is Verb.EHLO
        offered = [f"{self.hostname} Hello {name} [{self.peer.address}]"]
        if verb is Verb.EHLO:
            offered += [f"SIZE {self.offer.message_size}", "8BITMIME"]
            if self.offer.context is not None and self.known.encryption is None:
                offered.append("STARTTLS")
            if self.offer.authenticates and self._may_authenticate:
                offered.append("AUTH PLAIN LOGIN")
        await self.push(_text(Reply(250, tuple(offered))))

    # --- TLS ----------------------------------------------------------------------------------

    async def smtp_STARTTLS(self, arg: str) -> None:
        if arg:
            await self.push("501 5.5.4 STARTTLS takes no argument")
        elif self.known.encryption is not None:
            await self.push("503 5.5.1 TLS is there already")
        elif self.offer.context is None:
            await self.push("502 5.5.1 TLS is not offered")
        elif not self.known.is_extended:
            await self.push("503 5.5.1 send EHLO first")
        else:
            await self._start_tls(self.offer.context)

    async def _start_tls(self, context: ssl.SSLContext) -> None:
        words = "220 2.0.0 Ready to start TLS"
        self.owner.heard(Line("S", words, State.TLS.value))
        if not self.offer.keeps_plaintext:
            self._lines.forget()
        try:
            await self.below.start_tls(context, words.encode() + b"\r\n")
        except TlsFailure as failure:
            self.owner.heard(Line("S", f"(no TLS: {failure.words})", State.CLOSED.value))
            await self._hang_up()
        assert self.below.layer is not None and self.session is not None
        self.known = Known(encryption=self.below.layer.encryption)
        self.session.host_name, self.session.extended_smtp = None, False
        self._set_rset_state()

    @property
    def _may_authenticate(self) -> bool:
        return self.known.encryption is not None or self.offer.in_clear

    # --- AUTH ---------------------------------------------------------------------------------

    async def smtp_AUTH(self, arg: str | None) -> None:
        words = (arg or "").split()
        mechanism = words[0].upper() if words else ""
        if not self.offer.authenticates:
            await self.push("502 5.5.1 AUTH is not offered on this port")
        elif not self.known.is_extended:
            await self.push("503 5.5.1 send EHLO first")
        elif not self._may_authenticate:
            await self.push("538 5.7.11 Encryption required for requested authentication mechanism")
        elif self.known.login:
            await self.push("503 5.5.1 Already authenticated")
        elif self.envelope is not None and self.envelope.mail_from:
            await self.push("503 5.5.1 AUTH is not permitted during a mail transaction")  # RFC 4954 §3
        elif len(words) not in (1, 2):
            await self.push("501 5.5.4 AUTH wants a mechanism, and perhaps an initial response")
        elif mechanism not in _MECHANISMS:
            await self.push("504 5.5.4 Unrecognized authentication type: PLAIN and LOGIN are offered")
        else:
            self._in_auth = True
            try:
                await self._authenticate_by(mechanism, words[1:])
            finally:
                self._in_auth = False

    async def _authenticate_by(self, mechanism: str, initial: list[str]) -> None:
        try:
            answers = [_decoded(each.encode("ascii", "replace")) for each in initial]
            for prompt in _MECHANISMS[mechanism][len(answers) :]:
                await self.push("334 " + base64.b64encode(prompt).decode())
                line = (await self._lines.readline()).strip()
                if line == b"*":
                    raise ValueError("501 5.7.0 Authentication cancelled")
                answers.append(_decoded(line))
            login, password = _plain(answers[0]) if mechanism == "PLAIN" else (answers[0], answers[1])
            who, secret = login.decode("utf-8"), password.decode("utf-8")
        except UnicodeDecodeError:
            problem = "501 5.5.2 this is no UTF-8"
        except ValueError as told:
            problem = str(told)
        else:
            problem = "" if await self.owner.authenticate(who, secret) else "535 5.7.8 Authentication failed"
        self._in_auth = False
        if not problem:
            self.known.login, self.known.mechanism = who, mechanism
            await self.push("235 2.7.0 Authentication successful")
            return
        self._tries += 1
        if self._tries >= MOST_TRIES:
            await self.push("421 4.7.0 Too many failed authentications, goodbye")
            await self._hang_up()
        await self.push(problem)

    # --- a transaction ------------------------------------------------------------------------

    def _set_rset_state(self) -> None:
        super()._set_rset_state()  # type: ignore[no-untyped-call]
        self._forget_transaction()

    def _set_post_data_state(self) -> None:
        super()._set_post_data_state()  # type: ignore[no-untyped-call]
        self._forget_transaction()

    def _forget_transaction(self) -> None:
        self.known.reverse_path = None
        self.known.forward_paths = []

    def _getaddr(self, arg: str) -> tuple[str | None, str | None]:
        """By labkit's grammar. aiosmtpd's takes many texts that are no addresses."""
        try:
            self._path, rest = read_path(arg)
        except AddressSyntaxError:
            return None, None
        return ("<>" if self._path is None else str(self._path)), rest

    def _getparams(self, params: Any) -> dict[str, Any] | None:
        found: dict[str, Any] | None = super()._getparams(
            [each for each in params if not (self._in_mail and each.upper().startswith("AUTH="))]
        )  # RFC 4954 §5: whoever offers AUTH takes this parameter, and may disregard it
        return found

    async def smtp_MAIL(self, arg: str | None) -> None:
        self._in_mail = True
        try:
            await super().smtp_MAIL(arg)
        finally:
            self._in_mail = False

    async def handle_MAIL(self, *args: Any) -> str:
        _, _, envelope, address, options = args
        said = dict(option.partition("=")[::2] for option in options)
        size = said.get("SIZE", "")
        wanted = MailFrom(self._path, int(size) if size.isdigit() else None, said.get("BODY") or "7BIT")
        answer = await self.owner.answer(wanted)
        if answer is not None and not answer.is_positive:
            return await self._told(answer)
        envelope.mail_from = address
        self.known.reverse_path = self._path
        return "250 2.1.0 OK" if answer is None else _text(answer)

    async def handle_RCPT(self, *args: Any) -> str:
        _, _, envelope, address, _ = args
        if self._path is None:
            return "501 5.1.3 a recipient has an address"
        if len(self.known.forward_paths) >= self.offer.recipients:
            return "452 4.5.3 Too many recipients"  # RFC 5321 §4.5.3.1.10
        answer = await self.owner.answer(RcptTo(self.known.reverse_path, self._path))
        if answer is not None and not answer.is_positive:
            return await self._told(answer)
        envelope.rcpt_tos.append(address)
        self.known.forward_paths.append(self._path)
        return "250 2.1.5 OK" if answer is None else _text(answer)

    async def _told(self, answer: Reply) -> str:
        if answer.code == 421:
            await self.push(_text(answer))
            await self._hang_up()
        return _text(answer)

    async def smtp_DATA(self, arg: str) -> None:
        if self.known.helo_name and self.known.forward_paths and not arg:
            if await self._refused(DataBegins(self.known.envelope)):
                self._set_post_data_state()
                return
            self._in_content = True
        try:
            await super().smtp_DATA(arg)
        finally:
            self._in_content = False

    async def handle_DATA(self, *args: Any) -> str:
        content: bytes = args[2].original_content
        self.owner.heard(Line("C", f"({len(content)} octets of message, then a dot)", State.CONTENT.value))
        self._in_content = False
        if not is_canonical(content) or b"\0" in content:
            return "554 5.6.0 The message has a bare CR, a bare LF or a NUL (RFC 5321 section 2.3.8)"
        longest = max(map(len, content.split(b"\r\n")))
        known = self.known
        message = MessageReceived(known.envelope, content, longest, known.helo_name, known.protocol)
        answer = await self.owner.answer(message) or LOCAL_PROBLEM
        known.messages_accepted += answer.is_positive
        return await self._told(answer)

    async def handle_QUIT(self, *args: Any) -> str:
        answer = await self.owner.answer(Goodbye())
        return f"221 2.0.0 {self.hostname} closing connection" if answer is None else _text(answer)

    async def handle_VRFY(self, *args: Any) -> str:
        return "252 2.5.0 send some mail, and you will see"  # RFC 5321 §3.5.3

    async def _no_smtp(self, arg: str) -> None:
        """A program that believes us to be a web server: what it goes on to say may be anything."""
        await self.push("421 4.7.0 This is a mail server, goodbye")
        await self._hang_up()

    smtp_GET = smtp_POST = smtp_PUT = smtp_HEAD = smtp_CONNECT = smtp_OPTIONS = _no_smtp


_MECHANISMS: Mapping[str, tuple[bytes, ...]] = {"PLAIN": (b"",), "LOGIN": (b"Username:", b"Password:")}


def _decoded(line: bytes) -> bytes:
    """What the client said. Raises ValueError with the reply."""
    try:
        return b"" if line == b"=" else base64.b64decode(line, validate=True)  # RFC 4954 §4: "=" is empty
    except binascii.Error:
        raise ValueError("501 5.5.2 this is no base64") from None


def _plain(answer: bytes) -> tuple[bytes, bytes]:
    """RFC 4616: on whose behalf, who, password. Raises ValueError with the reply."""
    parts = answer.split(b"\0")
    if len(parts) != 3:
        raise ValueError("501 5.5.2 PLAIN wants three parts with NUL between them")
    if parts[0] not in (b"", parts[1]):
        raise ValueError("535 5.7.8 nobody may act for others here")
    return parts[1], parts[2]


def _text(reply: Reply) -> str:
    """As it is sent, without the last line end."""
    return bytes(reply).decode("utf-8", "replace").encode("ascii", "replace").decode().removesuffix("\r\n")
