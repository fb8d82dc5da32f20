"""A configuration made ready to run: every part read by the room it belongs to.

WHAT       `compile_configuration(configuration, name, addresses)`; whatever is wrong is said now, not at 3 a.m.
DECIDES    with `runs`, what labkit can read but not do yet is refused by name; without, it may be tested (exim -bt).
READ NEXT  variables.py
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

from labkit.delivery.generic import rewrite_rules
from labkit.delivery.transports import check_transport
from labkit.eximconf.configuration import Configuration, Driver, Options
from labkit.eximconf.here import Here
from labkit.eximconf.log_selector import read_log_selector
from labkit.eximconf.reader import ConfigurationError
from labkit.eximconf.rewriting import Rules, Where
from labkit.eximconf.rewriting import read_rules as read_rewrite_rules
from labkit.mta.tls_configuration import tls_problems
from labkit.mta.tls_doubts import file_doubts, port_doubts
from labkit.net.disk import Disk
from labkit.queue.due import Ages, warning_ages
from labkit.queue.schedule import RetryRule, read_rules
from labkit.routing import Routers, compile_routers
from labkit.smtp.acl import Acls, compile_acls
from labkit.smtp.auth.client import ClientAuthenticator, compile_clients
from labkit.smtp.auth.server import ServerAuthenticator, read_authenticators
from labkit.smtp.decisions import Limits

OFFERED = ("ETRN", "VRFY", "EXPN")  # each if there is an ACL for it


@dataclass(frozen=True, slots=True)
class Compiled:
    """What one host runs by.

    `offers` are keywords that EHLO tells besides the usual ones; `authenticators` those of its server,
    `client_authenticators` those of its client; `signs_itself`: it offers TLS even where the configuration names no
    certificate, as Exim does; `runs_programs`: pipe transports may start programs.
    """

    configuration: Configuration
    here: Here
    qualify_domain: str
    qualify_recipient: str
    limits: Limits
    acls: Acls
    routers: Routers
    retry_rules: tuple[RetryRule, ...]
    rewriting: Rules
    log_selector: frozenset[str]
    ages: Ages  # at which something happens to a message that waits
    routers_by_user: Mapping[str, bool]  # whether retries of what a router puts off look at the user
    offers: tuple[str, ...] = ()
    authenticators: tuple[ServerAuthenticator, ...] = ()
    client_authenticators: tuple[ClientAuthenticator, ...] = ()
    signs_itself: bool = False
    runs_programs: bool = False
    doubts: tuple[ConfigurationError, ...] = ()  # those of the configuration, and what is odd about its TLS


def compile_configuration(
    configuration: Configuration,
    name: str,
    addresses: tuple[str, ...],
    *,
    runs: bool = True,
    runs_programs: bool = False,
    signs_itself: bool = False,
    root: Path | None = None,
    thorough: bool = False,
) -> Compiled:
    """Compile for the host `name` at `addresses`, whose disk is below `root` (None: its files are not looked at).

    `thorough`: nobody runs it, somebody wants to know of every doubt, and `name` stands in for the host's.
    Raises ConfigurationError.
    """
    main = configuration.main
    primary_hostname = main.text("primary_hostname") or name
    qualify_domain = main.text("qualify_domain") or primary_hostname
    qualify_recipient = main.text("qualify_recipient") or qualify_domain
    for transport in configuration.transports.values():
        check_transport(transport)
        rewrite_rules(transport, configuration.lists)  # what is wrong with them
    rules = read_rules(configuration.retry, configuration.lists)
    if runs:
        for problem in _unfulfilled(configuration, runs_programs=runs_programs):
            raise problem
    if root is not None:
        for problem in tls_problems(configuration, Disk(root)):
            raise problem
    doubts = [*configuration.doubts, *port_doubts(main)]
    if root is not None:
        stands_in = thorough and not main.has("primary_hostname")  # labkit lint knows no host
        own = "" if stands_in else primary_hostname
        doubts += file_doubts(configuration, Disk(root), own, thorough=thorough)
    return Compiled(
        configuration,
        Here(primary_hostname, addresses, main.text("sqlite_dbfile") or ""),
        qualify_domain,
        qualify_recipient,
        Limits(
            message_size=_size(main.values["message_size_limit"]),
            header_size=main.number("header_maxsize"),
            header_line=main.number("header_line_maxsize"),
            rejects_excess=main.flag("recipients_max_reject"),
            recipients=main.number("recipients_max"),
            unknown_commands=main.number("smtp_max_unknown_commands"),
            errors=main.number("smtp_max_synprot_errors"),
            nonmail_commands=main.number("smtp_accept_max_nonmail"),
        ),
        compile_acls(configuration),
        compile_routers(configuration),
        rules,
        Rules(
            read_rewrite_rules(configuration.rewrite, configuration.lists),
            configuration.lists,
            qualify_recipient,
        ),
        read_log_selector(main.text("log_selector"), main.place_of("log_selector")),
        _ages(main, rules),
        {router.name: _looks_at_user(router) for router in configuration.routers},
        tuple(word for word in OFFERED if main.has(f"acl_smtp_{word.lower()}")),
        read_authenticators(configuration),
        compile_clients(configuration.authenticators),
        signs_itself,
        runs_programs,
        tuple(doubts),
    )


def _size(value: object) -> int:
    """The limit for all clients; one that depends on the client is found out when it connects."""
    return value if isinstance(value, int) else Limits().message_size


_OF_A_USER = (
    "local_parts",
    "condition",
    "local_part_prefix",
    "local_part_suffix",
    "senders",
    "require_files",
)


def _looks_at_user(router: Driver) -> bool:
    """`retry_use_local_part`; unset, it is so for routers that look at more than the domain."""
    options = router.options
    if (said := options.values.get("retry_use_local_part")) is not None:
        return bool(said)
    return bool(options.values.get("check_local_user")) or any(
        options.values.get(name) not in (None, ()) for name in _OF_A_USER
    )


def _ages(main: Options, rules: Sequence[RetryRule]) -> Ages:
    second = timedelta(seconds=1)  # a message is given up when it is older
    given_up = [step.until + second for rule in rules for step in rule.steps]
    warned = warning_ages(main.values.get("delay_warning") or (), max(given_up, default=timedelta()))
    times = ("auto_thaw", "timeout_frozen_after", "ignore_bounce_errors_after")
    return Ages((*given_up, *warned), *(timedelta(seconds=main.seconds(name)) for name in times))


def _unfulfilled(configuration: Configuration, *, runs_programs: bool) -> Iterable[ConfigurationError]:
    """What the file asks for and labkit cannot do when mail moves. A transport counts only if a router names it."""
    if problem := configuration.main.unfulfilled():
        yield problem
    for row, setting in configuration.main.written:
        if row.name == "queue_only_file" and any(
            item.strip().startswith("smtp") for item in (setting.value or "").split(":")
        ):
            yield ConfigurationError(
                setting.place,
                "queue_only_file: files that delay SMTP only (smtp/path) are not looked at by labkit yet",
                "name a file from its root: then no message is delivered at once while it is there",
            )
    named = set(_named_transports(configuration))
    for router in configuration.routers:
        if problem := router.options.unfulfilled():
            yield problem
    for transport in configuration.transports.values():
        if transport.name not in named:
            continue
        if problem := transport.options.unfulfilled():
            yield problem
        if transport.driver == "pipe" and not runs_programs:
            problem_text = f'the transport "{transport.name}" runs a program, which this host does not permit'
            remedy = "leave it out, or permit programs: runs_programs of the lab's host, LABKIT_PROGRAMS=yes"
            yield ConfigurationError(transport.place, problem_text, remedy)
    rules = read_rewrite_rules(configuration.rewrite, configuration.lists)
    for line, rule in zip(configuration.rewrite, rules):
        if Where.SMTP_SENDER in rule.places and rule.can_ask:
            problem_text = (
                f'the rewrite rule "{line.text}" is "real Exim only": with S, labkit looks nothing up'
            )
            yield ConfigurationError(line.place, problem_text, "leave out the flag S, or the look-up")


def _named_transports(configuration: Configuration) -> Sequence[str]:
    """The transports that routers name to send or to store mail; those for |program and /file are not among them."""
    texts = (router.options.expansion("transport") for router in configuration.routers)
    return [text.text for text in texts if text is not None]
