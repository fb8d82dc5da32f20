"""A configuration made ready to run: every part read by the room it belongs to.

WHAT       `compile_configuration(configuration, name, addresses)`; whatever is wrong is said now, not at 3 a.m.
READ NEXT  state.py
"""

from __future__ import annotations

from dataclasses import dataclass

from labkit.delivery.transports import check_transport
from labkit.eximconf.configuration import Configuration
from labkit.eximconf.lists import Here
from labkit.queue.schedule import RetryRule, read_rules
from labkit.smtp.acl import Acl, compile_acl
from labkit.smtp.decisions import Limits


@dataclass(frozen=True, slots=True)
class Compiled:
    """What one host runs by."""

    configuration: Configuration
    here: Here
    qualify_domain: str
    limits: Limits
    acl_rcpt: Acl | None
    retry_rules: tuple[RetryRule, ...]


def compile_configuration(configuration: Configuration, name: str, addresses: tuple[str, ...]) -> Compiled:
    """Compile for the host `name` at `addresses`. Raises ConfigurationError."""
    main = configuration.main
    primary_hostname = main.text("primary_hostname") or name
    for transport in configuration.transports.values():
        check_transport(transport)
    acls = {acl: compile_acl(configuration, acl) for acl in configuration.acls}
    return Compiled(
        configuration,
        Here(primary_hostname, addresses),
        main.text("qualify_domain") or primary_hostname,
        Limits(
            message_size=main.number("message_size_limit"),
            recipients=main.number("recipients_max"),
            unknown_commands=main.number("smtp_max_unknown_commands"),
            errors=main.number("smtp_max_synprot_errors"),
            nonmail_commands=main.number("smtp_accept_max_nonmail"),
        ),
        acls[acl] if (acl := main.text("acl_smtp_rcpt")) else None,
        read_rules(configuration.retry),
    )
