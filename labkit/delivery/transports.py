"""Turn a transport of the configuration into a plan for one message.

WHAT       `check_transport` looks at the options once, when the file is read; `planning` fills them in for a message.
DECIDES    which driver's room decides: which file or which hosts, or why this cannot be (Trouble).
READ NEXT  the room queue
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import TypeAlias

from labkit.delivery.appendfile import AppendPlan, check_appendfile, plan_append
from labkit.delivery.generic import Trouble
from labkit.delivery.smtp import SmtpPlan, check_smtp, plan_smtp
from labkit.eximconf.configuration import Driver
from labkit.eximconf.expansion import Env
from labkit.mail.address import Mailbox
from labkit.mail.asking import Asking
from labkit.mail.message import Message

Plan: TypeAlias = AppendPlan | SmtpPlan | Trouble


def check_transport(transport: Driver) -> None:
    """Look at a transport when the configuration is read. Raises ConfigurationError."""
    if transport.driver == "appendfile":
        check_appendfile(transport)
    elif transport.driver == "smtp":
        check_smtp(transport)


def planning(
    transport: Driver,
    message: Message,
    reverse_path: Mailbox | None,
    recipients: Sequence[Mailbox],
    env: Env,
    now: datetime,
    path: str = "",
) -> Asking[Plan]:
    """What to do for these recipients; `env` knows the route's variables, `now` dates the delivery.

    `path` is a file that a redirection names; else the transport's own option does.
    """
    if transport.driver == "smtp":
        return (yield from plan_smtp(transport, env))
    if transport.driver == "appendfile":
        return (yield from plan_append(transport, message, reverse_path, recipients, env, now, path))
    return Trouble(
        f"{transport.name}: labkit runs no programs and writes no answers (driver {transport.driver})"
    )


__all__ = ["AppendPlan", "Plan", "SmtpPlan", "Trouble", "check_transport", "planning"]
