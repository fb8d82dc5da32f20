"""The smtp transport: which hosts, how to talk to each of them, and for how long to wait.

WHAT       `plan_smtp` makes an SmtpPlan for a message and its recipients; `plan_host` a HostPlan for one host of it,
           when its turn comes: $host, $host_address and $host_port are known then.
DECIDES    by the option's lists of hosts whether to use EHLO, PIPELINING, TLS, AUTH and BDAT; whether a certificate
           must be good, should be good, or does not matter, and for which name.
LIKE EXIM  tls_try_verify_hosts that is empty, without tls_verify_hosts: a certificate must be good. SNI is said only if
           tls_sni names it. What cannot be expanded puts the message off
SIMPLER    hosts_randomize changes nothing: two runs do the same
STANDARDS  Exim specification, chapter "The smtp transport"; RFC 5321 §4.5.3.2 (timeouts)
READ NEXT  transports.py
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum

from labkit.delivery.generic import Trouble
from labkit.eximconf.configuration import Driver, Options
from labkit.eximconf.expansion import Env, ForcedFailure, Value
from labkit.eximconf.lists import Match
from labkit.eximconf.reader import ConfigurationError
from labkit.mail.asking import Asking
from labkit.mail.message import Message

SMTPS_PORT = 465
UNLIMITED = 999_999


@dataclass(frozen=True, slots=True)
class Timeouts:
    """Seconds to wait for a connection, for a reply, while sending, and for the verdict on a message."""

    connect: float = 300
    command: float = 300
    data: float = 300
    final: float = 600


@dataclass(frozen=True, slots=True)
class SmtpPlan:
    """Hand the message to another host: what to say in EHLO, and which port.

    `hosts` are those of the transport, to be used instead of the router's; None: the router's.
    `fallback_hosts` are tried when these have all put it off. `longest_line`: no message may have a longer one.
    """

    helo_name: str
    port: int
    is_tls_from_the_start: bool = False
    hosts: str | None = None
    fallback_hosts: tuple[str, ...] = ()
    most_hosts: int = 5
    most_hosts_at_all: int = 50
    most_recipients: int = 100  # of one MAIL
    most_messages: int = 500  # on one connection
    longest_line: int = 998
    size_addition: int | None = 1024
    allows_ourselves: bool = False
    in_clear_if_tls_fails: bool = True
    remembers_sender: bool = True  # an address is put off for this sender alone
    remembers_address: bool = True  # a host is put off at this address alone
    delays_after_cutoff: bool = True
    timeouts: Timeouts = Timeouts()


class Verify(Enum):
    """What is to be done about a server's certificate."""

    NO = "nothing"
    TRY = "look at it, and go on"
    MUST = "no good certificate, no mail"


@dataclass(frozen=True, slots=True)
class TlsPlan:
    """How to encrypt. `name` must be in the certificate, "" for any; paths are the host's, "" for none.

    `authorities`: "system", a file or a folder.
    """

    verify: Verify = Verify.TRY
    name: str = ""
    sni: str = ""
    authorities: str = "system"
    ciphers: str = ""
    certificate: str = ""
    key: str = ""


@dataclass(frozen=True, slots=True)
class HostPlan:
    """How to talk to one host. `interface` is our own address, "" for the usual one."""

    helo_name: str
    interface: str = ""
    extended: bool = True
    pipelining: bool = True
    avoids_tls: bool = False
    requires_tls: bool = False
    tries_auth: bool = False
    requires_auth: bool = False
    chunks: bool = True
    tries_dane: bool = True
    requires_dane: bool = False
    tls: TlsPlan = TlsPlan()


def check_smtp(transport: Driver) -> None:
    """Look at the options when the file is read. Raises ConfigurationError."""
    options = transport.options
    protocol = (options.text("protocol") or "smtp").lower()
    if protocol not in ("smtp", "smtps"):
        known = "lmtp" if protocol == "lmtp" else f'"{protocol}"'
        problem = f"the transport {transport.name}: the protocol {known} is not spoken by labkit"
        raise ConfigurationError(transport.place, problem, "write smtp or smtps")
    for name in ("command_timeout", "data_timeout", "final_timeout"):
        if not options.seconds(name):
            problem = f"command, data, or final timeout value is zero for {transport.name} transport"
            raise ConfigurationError(transport.place, problem, "write a time such as 5m")


def plan_smtp(transport: Driver, env: Env, message: Message | None = None) -> Asking[SmtpPlan | Trouble]:
    """What is the same for all hosts; `env` knows the route's variables."""
    options = transport.options
    helo_name = yield from _text(options, "helo_data", env)
    if isinstance(helo_name, Trouble):
        return Trouble(f"failed to expand transport's helo_data: {helo_name.words}")
    hosts = yield from _text(options, "hosts", env)
    if isinstance(hosts, Trouble):
        written = options.expansion("hosts")
        text = written.text if written is not None else ""
        words = f'failed to expand list of hosts "{text}" in {transport.name} transport: {hosts.words}'
        return Trouble(words)
    is_smtps = (options.text("protocol") or "").lower() == "smtps"
    has_port = any(row.name == "port" for row, _ in options.written)
    addition = options.number("size_addition")
    return SmtpPlan(
        helo_name,
        SMTPS_PORT if is_smtps and not has_port else options.number("port"),
        is_tls_from_the_start=is_smtps,
        hosts=hosts or None,
        fallback_hosts=options.texts("fallback_hosts"),
        most_hosts=options.number("hosts_max_try"),
        most_hosts_at_all=options.number("hosts_max_try_hardlimit"),
        most_recipients=options.number("max_rcpt") or UNLIMITED,
        most_messages=options.number("connection_max_messages") or UNLIMITED,
        longest_line=options.number("message_linelength_limit"),
        size_addition=None if addition < 0 else addition,
        allows_ourselves=options.flag("allow_localhost"),
        in_clear_if_tls_fails=options.flag("tls_tempfail_tryclear") and not is_smtps,
        remembers_sender=options.flag("address_retry_include_sender"),
        remembers_address=options.flag("retry_include_ip_address"),
        delays_after_cutoff=options.flag("delay_after_cutoff"),
        timeouts=Timeouts(
            *(options.seconds(f"{what}_timeout") for what in ("connect", "command", "data", "final"))
        ),
    )


def uses_own_hosts(transport: Driver, routed: Sequence[object]) -> bool:
    """Whether the transport's hosts count, and not those that a router found."""
    return not routed or (transport.options.flag("hosts_override") and transport.options.has("hosts"))


def plan_host(transport: Driver, env: Env, name: str, address: str) -> Asking[HostPlan | Trouble]:
    """How to talk to this host; `env` knows it as $host, $host_address and $host_port."""
    options = transport.options
    listed: dict[str, bool] = {}
    for option in _LISTS:
        found = yield from _is_listed(options, option, env, name, address)
        if isinstance(found, Trouble):
            return found
        listed[option] = found
    texts: dict[str, str] = {}
    for option in _TEXTS:
        text = yield from _text(options, option, env)
        if isinstance(text, Trouble):
            return Trouble(f"failed to expand {option}: {text.words}")
        texts[option] = text
    is_old = listed["hosts_avoid_esmtp"]
    return HostPlan(
        texts["helo_data"],
        _interface(texts["interface"]),
        extended=not is_old,
        pipelining=not is_old and not listed["hosts_avoid_pipelining"],
        avoids_tls=listed["hosts_avoid_tls"],
        requires_tls=listed["hosts_require_tls"],
        tries_auth=listed["hosts_try_auth"],
        requires_auth=listed["hosts_require_auth"],
        chunks=listed["hosts_try_chunking"],
        tries_dane=listed["hosts_try_dane"],
        requires_dane=listed["hosts_require_dane"],
        tls=TlsPlan(
            _verify(options, listed),
            name if listed["tls_verify_cert_hostnames"] else "",
            texts["tls_sni"],
            texts["tls_verify_certificates"],
            texts["tls_require_ciphers"],
            texts["tls_certificate"],
            texts["tls_privatekey"],
        ),
    )


def authenticated_sender(transport: Driver, env: Env, own: str) -> Asking[str | Trouble]:
    """What MAIL says after AUTH=, in plain text; `own` is what came with the message."""
    text = transport.options.expansion("authenticated_sender")
    if text is None:
        return own
    outcome = yield from text.asking(env)
    if isinstance(outcome, Value):
        return outcome.text or own
    if isinstance(outcome, ForcedFailure):
        return own
    return Trouble(f"failed to expand authenticated_sender: {outcome.message}")


def xtext(text: str) -> str:
    """RFC 3461 §4: what is not printable, + and = stand as hexadecimal numbers."""
    octets = text.encode("utf-8", "surrogateescape")
    return "".join(chr(c) if 33 <= c <= 126 and c not in b"+=" else f"+{c:02X}" for c in octets)


_LISTS = (
    "hosts_avoid_esmtp",
    "hosts_avoid_pipelining",
    "hosts_avoid_tls",
    "hosts_require_tls",
    "hosts_require_auth",
    "hosts_try_auth",
    "hosts_try_chunking",
    "hosts_require_dane",
    "hosts_try_dane",
    "tls_verify_hosts",
    "tls_try_verify_hosts",
    "tls_verify_cert_hostnames",
)
_TEXTS = (
    "helo_data",
    "interface",
    "tls_sni",
    "tls_verify_certificates",
    "tls_require_ciphers",
    "tls_certificate",
    "tls_privatekey",
)


def _verify(options: Options, listed: dict[str, bool]) -> Verify:
    must, should = options.patterns("tls_verify_hosts"), options.patterns("tls_try_verify_hosts")
    nothing_is_said = (must is None or not must.text) and (should is None or not should.text.strip())
    if listed["tls_verify_hosts"] or nothing_is_said:
        return Verify.MUST
    return Verify.TRY if listed["tls_try_verify_hosts"] else Verify.NO


def _interface(text: str) -> str:
    """The first address of a list; a lab has no other family."""
    return next(
        (item for item in (part.strip(" []") for part in text.split(":")) if item.count(".") == 3), ""
    )


def _is_listed(options: Options, option: str, env: Env, name: str, address: str) -> Asking[bool | Trouble]:
    """Is the host in this list? A list that cannot be looked at puts the message off: it may be one that protects."""
    patterns = options.patterns(option)
    if patterns is None:
        return False
    found = yield from patterns.asking(address, env, name=name)
    if isinstance(found, Match):
        return found.found
    return Trouble(f"{option}: {found.message}")


def _text(options: Options, option: str, env: Env) -> Asking[str | Trouble]:
    text = options.expansion(option)
    if text is None:
        return ""
    outcome = yield from text.asking(env)
    if isinstance(outcome, Value):
        return outcome.text
    return "" if isinstance(outcome, ForcedFailure) and option != "helo_data" else Trouble(outcome.message)
