"""Call one host: connect, encrypt, prove who we are; then messages can be sent.

DOES       `Caller.call` gives an open connection, or the HostTrouble that kept us from one.
DECIDES    STARTTLS where it is offered and not avoided; in the clear only where nothing forbids it: no option, and no
           TLSA record (DANE), which are asked for before the host is called.
UNLIKE     Exim says a password in the clear after a certificate that tls_verify_hosts wants to be good was not
LIKE EXIM  after a handshake that failed, a second connection without TLS (tls_tempfail_tryclear); the words
STANDARDS  RFC 3207, RFC 4954, RFC 7672; Exim specification, chapters "The smtp transport", "Encrypted SMTP
           connections using TLS/SSL", "SMTP authentication"
READ NEXT  sending.py
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from labkit.delivery.generic import Trouble
from labkit.delivery.smtp import (
    HostPlan,
    SmtpPlan,
    TlsPlan,
    Verify,
    authenticated_sender,
    plan_host,
    xtext,
)
from labkit.eximconf.configuration import Driver
from labkit.eximconf.expansion import Env
from labkit.mail.asking import Question, answer_later
from labkit.mail.event import EventKind
from labkit.mta.dane import Dane, dane_of
from labkit.mta.host_trouble import (
    AUTH_PROBLEM,
    CANNOT_ASSIGN,
    EXPANSION,
    HostTrouble,
    after,
    refused,
    trouble_of,
)
from labkit.net.network import HostSilent
from labkit.net.smtp_client import Patience, SmtpConnection
from labkit.net.tls_client import ClientTls
from labkit.queue import errors
from labkit.routing import NextHop
from labkit.smtp.auth.client import AuthOutcome, SayToServer, authenticating
from labkit.smtp.client import Manner
from labkit.smtp.states import Step
from labkit.smtp.transcript import Line

if TYPE_CHECKING:
    from labkit.mta.state import MtaState

NO_PASSWORD = "authentication required but the certificate was bad, and no password is said in the clear"


@dataclass(slots=True)
class Called:
    """An open connection, ready for MAIL. `manner` is how messages are to be sent; `details` are for their facts.

    `messages` were sent already; `env` is what expansions know of the connection, `known` what of it is true of other
    messages, too: $tls_out_….
    """

    transport: str
    hop: NextHop
    connection: SmtpConnection
    host: HostPlan
    manner: Manner
    env: Env
    messages: int = 0
    made_progress: bool = False  # the last of them got somewhere
    dane: Dane | None = None
    details: dict[str, Any] = field(default_factory=dict)
    known: dict[str, str] = field(default_factory=dict)

    @property
    def is_open(self) -> bool:
        return self.connection.machine.is_idle


class Caller:
    """Calls hosts for one message by one transport. `env` knows the route."""

    def __init__(
        self, state: MtaState, transport: Driver, plan: SmtpPlan, env: Env, queue_id: str, sender: str
    ) -> None:
        self.state = state
        self.transport = transport
        self.plan = plan
        self.env = env
        self.queue_id = queue_id
        self.sender = sender  # what came with the message after AUTH=

    async def plan_of(self, hop: NextHop) -> HostPlan | Trouble:
        """How to talk to this host."""
        env = self.env_of(hop)
        asking = plan_host(self.transport, env, hop.host, hop.address)
        return await answer_later(self.state.answerer(env), asking)

    def env_of(self, hop: NextHop) -> Env:
        """What expansions know of this host."""
        port = hop.port or self.plan.port
        known = {"host": hop.host, "host_address": hop.address, "host_port": str(port)}
        known["sending_ip_address"] = self.state.addresses[0]
        return replace(self.env, variables={**self.env.variables, **known})

    async def call(self, hop: NextHop, host: HostPlan) -> Called | HostTrouble:
        """Connect; if TLS fails and need not be, connect again without it."""
        asking = dane_of(hop, hop.port or self.plan.port, host, self._tell)
        dane = await answer_later(self.state.answerer(self.env_of(hop)), asking)
        if isinstance(dane, HostTrouble):
            return dane
        found = await self._connect(hop, host, dane)
        if isinstance(found, Called) or found.errno != errors.TLS_FAILURE:
            return found
        if dane is not None:
            words = found.words.removeprefix("TLS session: ")
            self._tell(f"DANE attempt failed; TLS connection to {hop.host} [{hop.address}]: {words}")
            return found
        if host.requires_tls or not self.plan.in_clear_if_tls_fails:
            return found
        where = f"H={hop.host} [{hop.address}]"
        self._tell(f"{found.words}: delivering unencrypted to {where} (not in hosts_require_tls)")
        return await self._connect(hop, host, None, in_clear=True)

    def _tell(self, text: str) -> None:
        self.state.note(EventKind.LOGGED, queue_id=self.queue_id, text=text)

    async def _connect(
        self, hop: NextHop, host: HostPlan, dane: Dane | None, *, in_clear: bool = False
    ) -> Called | HostTrouble:
        env = self.env_of(hop)
        opened = await self._open(hop, host, dane)
        if isinstance(opened, HostTrouble):
            return opened
        if opened.was_kept_waiting:
            await self.state.surroundings.sleep(timedelta(seconds=self.plan.timeouts.command))
        called = Called(self.transport.name, hop, opened, host, Manner(), env, dane=dane)
        try:
            trouble = await self._set_up(called, in_clear=in_clear)
        except BaseException:
            opened.abort()
            raise
        if trouble is not None:
            await self.leave(called)
            return trouble
        return called

    async def _open(self, hop: NextHop, host: HostPlan, dane: Dane | None) -> SmtpConnection | HostTrouble:
        timeouts = self.plan.timeouts
        is_real = self.state.has_real_clock
        try:
            return await SmtpConnection.open(
                self.state.network,
                host.interface or self.state.addresses[0],
                hop.address,
                hop.port or self.plan.port,
                host.helo_name,
                pipelining=host.pipelining,
                extended=host.extended,
                on_line=self._hear(hop),
                tls=self._tls(host.tls, dane) if self.plan.is_tls_from_the_start else None,
                patience=Patience(timeouts.command, timeouts.data, timeouts.final, is_real),
                connect_timeout=timeouts.connect if is_real else None,
            )
        except HostSilent:
            await self.state.surroundings.sleep(timedelta(seconds=timeouts.connect))
            return HostTrouble(errors.TIMED_OUT, more=errors.CONNECTING, names_host=False)
        except (TimeoutError, asyncio.TimeoutError):
            return HostTrouble(errors.TIMED_OUT, more=errors.CONNECTING, names_host=False)
        except ConnectionRefusedError:
            return HostTrouble(errors.REFUSED, names_host=False)
        except ValueError as problem:  # an interface that is no address of this host
            return HostTrouble(CANNOT_ASSIGN, f"Cannot assign requested address: {problem}", names_host=False)
        except OSError as problem:
            words = "" if errors.in_words(problem.errno or 0) else str(problem)
            return HostTrouble(problem.errno or 0, words, names_host=False)

    def _hear(self, hop: NextHop) -> Callable[[Line], None]:
        """Write the client's side of a conversation into the journal."""
        number = self.state.surroundings.next_process()

        def heard(line: Line) -> None:
            self.state.note(
                EventKind.DIALOGUE,
                queue_id=self.queue_id,
                session=number,
                remote_host=hop.host,
                remote_address=hop.address,
                speaker=line.speaker,
                text=line.text,
                state=line.state,
            )

        return heard

    async def _set_up(self, called: Called, *, in_clear: bool) -> HostTrouble | None:
        """From the banner to MAIL. What keeps us from it, or None."""
        connection, host = called.connection, called.host
        machine = connection.machine
        may_encrypt = machine.is_idle and not in_clear and not host.avoids_tls
        if may_encrypt and connection.encryption is None and machine.offers("STARTTLS"):
            await connection.start_tls(self._tls(host.tls, called.dane))
            refusal = machine.answer
            is_put_off = machine.is_idle and refusal is not None and refusal.is_transient
            if is_put_off and (called.dane is not None or not self.plan.in_clear_if_tls_fails):
                assert refusal is not None
                return HostTrouble(0, after("STARTTLS", refusal), refusal)
        if (trouble := refused(machine)) is not None:
            return trouble
        if machine.is_closed:
            return trouble_of(machine)
        if connection.encryption is None and (host.requires_tls or called.dane is not None):
            was_offered = machine.offers("STARTTLS")
            why = "an attempt to start TLS failed" if was_offered else "the server did not offer TLS support"
            return HostTrouble(errors.TLS_REQUIRED, f"a TLS session is required, but {why}")
        self._note_encryption(called)
        # nobody has shown a good certificate, and there had to be one: such a host hears no password
        is_impostor = in_clear and host.tls.verify is Verify.MUST
        if is_impostor and host.requires_auth:
            return HostTrouble(errors.AUTH_FAILED, NO_PASSWORD, names_host=False, is_told=True)
        if not is_impostor and (trouble := await self._authenticate(called)) is not None:
            return trouble
        return await self._manner(called)

    def _note_encryption(self, called: Called) -> None:
        """The variables $tls_out_…, and the details of facts."""
        encryption = called.connection.encryption
        if encryption is None:
            return
        dane = called.dane
        is_dane = dane is not None and dane.is_verified
        called.details |= {"cipher": encryption.shown, "is_verified": encryption.is_verified}
        called.details |= {"is_dane": True} if is_dane else {}
        called.known |= {
            "tls_out_cipher": encryption.shown,
            "tls_cipher": encryption.shown,
            "tls_out_cipher_std": encryption.cipher,
            "tls_out_ver": encryption.version,
            "tls_out_bits": str(encryption.bits),
            "tls_out_certificate_verified": "1" if encryption.is_verified else "0",
            "tls_out_peerdn": encryption.peer_name,
            "tls_out_sni": encryption.server_name,
            "tls_out_dane": "yes" if is_dane else "no",
            "tls_out_tlsa_usage": str(dane.usages if dane is not None else 0),
        }
        called.env.variables |= called.known

    async def _authenticate(self, called: Called) -> HostTrouble | None:
        host, machine = called.host, called.connection.machine
        if not (host.tries_auth or host.requires_auth):
            return None
        hop = called.hop
        offered = machine.extensions.get("AUTH") if host.extended else None
        asking = authenticating(
            self.state.compiled.client_authenticators, offered, called.env, f"H={hop.host} [{hop.address}]"
        )

        async def answer(question: Question[Any]) -> Any:
            if isinstance(question, SayToServer):
                return await called.connection.say(question.text, question.shown)
            return await self.state.answer(question, called.env)

        found = await answer_later(answer, asking)
        for line in found.said:
            self._tell(line)
        if found.outcome is AuthOutcome.DONE:
            name = found.authenticator
            called.details["authenticator"] = f"{name}:{found.identity}" if found.identity else name
            return None
        if found.outcome is AuthOutcome.UNUSABLE:
            return HostTrouble(AUTH_PROBLEM, found.words, names_host=False, stops=True)
        if found.outcome is AuthOutcome.LATER or machine.is_closed:
            if machine.is_closed or found.reply is None:
                return trouble_of(machine)
            return HostTrouble(0, after(machine.commands[Step.AUTH], found.reply), found.reply)
        if host.requires_auth:
            words = f"authentication required but {found.outcome.value}"
            return HostTrouble(errors.AUTH_FAILED, words, names_host=False, is_told=True)
        return None

    async def _manner(self, called: Called) -> HostTrouble | None:
        """How messages are to be sent over this connection."""
        options = self.transport.options
        asking = authenticated_sender(self.transport, called.env, self.sender)
        own = await answer_later(self.state.answerer(called.env), asking)
        if isinstance(own, Trouble):
            return HostTrouble(EXPANSION, own.words, names_host=False, stops=True)
        is_said = "authenticator" in called.details or options.flag("authenticated_sender_force")
        addition = self.plan.size_addition
        if addition is not None:
            addition -= 1  # Exim's count of lines leaves out the one between header and body
        called.manner = Manner(addition, xtext(own) if is_said else "", called.host.chunks)
        return None

    def _tls(self, plan: TlsPlan, dane: Dane | None) -> ClientTls:
        if dane is not None:
            plan = replace(plan, sni=dane.host)  # RFC 7672 §8.1
        is_system = plan.authorities in ("", "system")
        return ClientTls(
            must=plan.verify is Verify.MUST,
            should=plan.verify is Verify.TRY and bool(plan.authorities),
            name=plan.name,
            sni=plan.sni,
            authorities=None if is_system else self._path(plan.authorities),
            certificate=self._path(plan.certificate) if plan.certificate else None,
            key=self._path(plan.key) if plan.key else None,
            ciphers=plan.ciphers,
            judge=None if dane is None else dane.judge(self.state.surroundings.now()),
        )

    def _path(self, path: str) -> Path:
        return self.state.root / path.lstrip("/")

    async def leave(self, called: Called) -> None:
        """Say goodbye, if anybody is there to hear it."""
        machine = called.connection.machine
        try:
            if machine.is_idle:
                await called.connection.quit()
            elif not machine.is_closed:
                called.connection.abort()
        except OSError:
            called.connection.abort()
