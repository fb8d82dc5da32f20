"""A configuration made ready to run: every part read by the room it belongs to.

WHAT       `compile_configuration(configuration, name, addresses)`; whatever is wrong is said now, not at 3 a.m.
DECIDES    with `runs`, what labkit can read but not do yet is refused by name; without, it may be tested (exim -bt).
READ NEXT  variables.py
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from labkit.delivery.transports import check_transport
from labkit.eximconf.configuration import Configuration
from labkit.eximconf.here import Here
from labkit.eximconf.log_selector import read_log_selector
from labkit.eximconf.reader import ConfigurationError
from labkit.eximconf.rewriting import Rules, Where, read_rules
from labkit.queue.schedule import RetryRule
from labkit.queue.schedule import read_rules as read_retry_rules
from labkit.routing import Routers, compile_routers
from labkit.smtp.acl import Acls, compile_acls
from labkit.smtp.decisions import Limits

OFFERED = ("ETRN", "VRFY", "EXPN")  # each if there is an ACL for it


@dataclass(frozen=True, slots=True)
class Compiled:
    """What one host runs by. `offers` are keywords that EHLO tells besides the usual ones."""

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
    offers: tuple[str, ...] = ()


def compile_configuration(
    configuration: Configuration, name: str, addresses: tuple[str, ...], *, runs: bool = True
) -> Compiled:
    """Compile for the host `name` at `addresses`. Raises ConfigurationError."""
    main = configuration.main
    primary_hostname = main.text("primary_hostname") or name
    qualify_domain = main.text("qualify_domain") or primary_hostname
    qualify_recipient = main.text("qualify_recipient") or qualify_domain
    for transport in configuration.transports.values():
        check_transport(transport)
    if runs:
        for problem in _unfulfilled(configuration):
            raise problem
    return Compiled(
        configuration,
        Here(primary_hostname, addresses),
        qualify_domain,
        qualify_recipient,
        Limits(
            message_size=main.number("message_size_limit"),
            recipients=main.number("recipients_max"),
            unknown_commands=main.number("smtp_max_unknown_commands"),
            errors=main.number("smtp_max_synprot_errors"),
            nonmail_commands=main.number("smtp_accept_max_nonmail"),
        ),
        compile_acls(configuration),
        compile_routers(configuration),
        read_retry_rules(configuration.retry),
        Rules(read_rules(configuration.rewrite, configuration.lists), configuration.lists, qualify_recipient),
        read_log_selector(main.text("log_selector"), main.place_of("log_selector")),
        tuple(word for word in OFFERED if main.has(f"acl_smtp_{word.lower()}")),
    )


def _unfulfilled(configuration: Configuration) -> Iterable[ConfigurationError]:
    """What the file asks for and labkit cannot do when mail moves. A transport counts only if a router names it."""
    if problem := configuration.main.unfulfilled():
        yield problem
    named = set(_named_transports(configuration))
    for router in configuration.routers:
        if problem := router.options.unfulfilled():
            yield problem
    for transport in configuration.transports.values():
        if transport.name in named and (problem := transport.options.unfulfilled()):
            yield problem
    for line, rule in zip(configuration.rewrite, read_rules(configuration.rewrite, configuration.lists)):
        if Where.SMTP_SENDER in rule.places and rule.can_ask:
            problem_text = (
                f'the rewrite rule "{line.text}" is "real Exim only": with S, labkit looks nothing up'
            )
            yield ConfigurationError(line.place, problem_text, "leave out the flag S, or the look-up")
    for authenticator in configuration.authenticators.values():
        problem_text = f'the authenticator "{authenticator.name}" is "real Exim only" when mail moves'
        remedy = "leave it out, or run the host on a real Exim"
        yield ConfigurationError(authenticator.place, problem_text, remedy)


def _named_transports(configuration: Configuration) -> Sequence[str]:
    """The transports that routers name to send or to store mail; those for |program and /file are not among them."""
    texts = (router.options.expansion("transport") for router in configuration.routers)
    return [text.text for text in texts if text is not None]
