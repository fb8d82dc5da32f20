"""Turn a transport of the configuration into a plan for one message.

WHAT       `check_transport` looks at the options once, when the file is read; `preparing` and `planning` fill them in
           for a message: first what all transports share, then what the driver does.
DECIDES    which driver's room decides: which file, which hosts, which answer, which program; or why not (Trouble).
READ NEXT  the room queue
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import TypeAlias

from labkit.delivery.appendfile import AppendPlan, check_appendfile, plan_append
from labkit.delivery.autoreply import ReplyPlan, plan_reply
from labkit.delivery.generic import Trouble, home, reverse_path, shaped, too_large
from labkit.delivery.pipe import PipePlan, check_pipe, plan_pipe
from labkit.delivery.smtp import SmtpPlan, check_smtp, plan_smtp
from labkit.delivery.written import check_form
from labkit.eximconf.configuration import Driver
from labkit.eximconf.expansion import Env
from labkit.mail.address import Mailbox
from labkit.mail.asking import Asking
from labkit.mail.message import HeaderField, Message

Plan: TypeAlias = AppendPlan | PipePlan | ReplyPlan | SmtpPlan | Trouble


def check_transport(transport: Driver) -> None:
    """Look at a transport when the configuration is read. Raises ConfigurationError."""
    check_form(transport)
    if transport.driver == "appendfile":
        check_appendfile(transport)
    elif transport.driver == "pipe":
        check_pipe(transport)
    elif transport.driver == "smtp":
        check_smtp(transport)


@dataclass(frozen=True, slots=True)
class Prepared:
    """The message as the transport delivers it, and under which reverse-path. For smtp: as it came to the transport."""

    message: Message
    reverse_path: Mailbox | None


def preparing(
    transport: Driver, message: Message, added: Iterable[HeaderField], usual: Mailbox | None, env: Env
) -> Asking[Prepared | Trouble]:
    """What all transports share. `env` is this delivery's own: $return_path and $home are set in it.

    `message` is without what routers remove, `added` are the fields that they add; `usual` is the reverse-path if the
    transport names no other. $message_size tells how large the message is in the queue.
    """
    env.variables["transport_name"] = transport.name
    env.variables["return_path"] = _octets(usual)
    trouble = yield from too_large(transport, int(env.variables.get("message_size") or 0), env)
    if trouble is not None:
        return trouble
    sender = yield from reverse_path(transport, usual, env)
    if isinstance(sender, Trouble):
        return sender
    env.variables["return_path"] = _octets(sender)
    trouble = yield from home(transport, env)
    if trouble is not None:
        return trouble
    if transport.driver == "smtp":  # it shapes the message for each host, when that is known, and TLS
        return Prepared(message, sender)
    changed = yield from shaped(transport, message, added, env)
    return changed if isinstance(changed, Trouble) else Prepared(changed, sender)


def _octets(sender: Mailbox | None) -> str:
    return "" if sender is None else str(sender).encode("utf-8", "surrogateescape").decode("latin-1")


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

    `path` is the /file or |program that a redirection names; else the transport's own option does.
    """
    values = {**env.variables, "return_path": _octets(reverse_path)}
    env = replace(env, variables=values, now=now)
    if transport.driver == "smtp":
        return (yield from plan_smtp(transport, env))
    if transport.driver == "appendfile":
        return (yield from plan_append(transport, message, reverse_path, recipients, env, now, path))
    if transport.driver == "autoreply":
        return (yield from plan_reply(transport, message, reverse_path, recipients, env, now))
    return (yield from plan_pipe(transport, message, reverse_path, recipients, env, now, path))


__all__ = [
    "AppendPlan",
    "PipePlan",
    "Plan",
    "Prepared",
    "ReplyPlan",
    "SmtpPlan",
    "Trouble",
    "check_transport",
    "planning",
    "preparing",
]
