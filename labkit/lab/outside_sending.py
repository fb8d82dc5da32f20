"""What an outside host sends: one attempt, no queue.

WHAT       `send_once` finds the exchangers of each recipient's domain and tries them in order; whoever is left has
           failed. So a sender outside shows what a host that never tries again makes of a 4yz reply.
STANDARDS  RFC 5321 §5.1 (exchangers in order)
READ NEXT  outside_engine.py
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from labkit.mail.address import Mailbox
from labkit.mail.asking import Question, answer_later
from labkit.mail.envelope import Envelope
from labkit.mail.event import EventKind
from labkit.mail.questions import OwnAddresses
from labkit.net.network import HostSilent
from labkit.net.smtp_client import hand_over
from labkit.queue.item import QueueItem
from labkit.routing.mx import MxOutcome, NextHop, exchangers_of
from labkit.smtp.client import Client, Result
from labkit.smtp.transcript import Line

if TYPE_CHECKING:
    from labkit.lab.outside_engine import OutsideEngine

CONNECT_TIMEOUT = timedelta(minutes=5)  # of lab time


async def send_once(engine: OutsideEngine, item: QueueItem) -> None:
    """Try everything once, and note what came of it."""
    by_domain: dict[str, list[Mailbox]] = {}
    for recipient in item.envelope.forward_paths:
        by_domain.setdefault(recipient.domain.lower(), []).append(recipient)
    for domain, recipients in by_domain.items():
        left = dict.fromkeys(recipients, "no host to try")
        found = await answer_later(_answerer(engine), exchangers_of(domain))
        if not found.next_hops:
            why = found.outcome if found.outcome is not MxOutcome.FOUND else MxOutcome.NO_ADDRESSES
            left = dict.fromkeys(recipients, why.value)
        for hop in found.next_hops:
            if left:
                left = await _try(engine, item, hop, tuple(left))
        for recipient, words in left.items():
            text = f"{words} (an outside host tries only once)"
            _note(engine, item, EventKind.FAILED, recipient, text=text)
    engine.host.world.note(engine.host.name, EventKind.COMPLETED, queue_id=item.queue_id)


def _answerer(engine: OutsideEngine) -> Callable[[Question[Any]], Any]:
    async def answer(question: Question[Any]) -> Any:
        if isinstance(question, OwnAddresses):
            return (engine.host.address,)
        return await engine.resolver.answer(question)

    return answer


async def _try(
    engine: OutsideEngine, item: QueueItem, hop: NextHop, recipients: tuple[Mailbox, ...]
) -> dict[Mailbox, str]:
    """One host. Returns those for whom another is to be tried, and why."""
    host, world = engine.host, engine.host.world
    envelope = Envelope(item.envelope.reverse_path, recipients)
    number = world.next_process()

    def heard(line: Line) -> None:
        world.note(
            host.name,
            EventKind.DIALOGUE,
            queue_id=item.queue_id,
            session=number,
            remote_host=hop.host,
            remote_address=hop.address,
            speaker=line.speaker,
            text=line.text,
            state=line.state,
        )

    try:
        client, result = await hand_over(
            world.network, host.address, hop.address, 25, host.name, envelope, item.content, on_line=heard
        )
    except HostSilent:
        await world.sleep(CONNECT_TIMEOUT)
        return dict.fromkeys(recipients, f"{hop.host}: Connection timed out")
    except OSError as problem:
        return dict.fromkeys(recipients, f"{hop.host}: {problem.strerror or problem}")
    return _settle(engine, item, hop, recipients, client, result)


def _settle(
    engine: OutsideEngine,
    item: QueueItem,
    hop: NextHop,
    recipients: tuple[Mailbox, ...],
    client: Client,
    result: Result | None,
) -> dict[Mailbox, str]:
    left: dict[Mailbox, str] = {}
    verdicts = {v.recipient: v.reply for v in result.verdicts} if result is not None else {}
    for recipient in recipients:
        reply = verdicts.get(recipient) or client.refusal
        if reply is None:
            left[recipient] = f"{hop.host}: {client.broken or 'no answer'}"
        elif reply.is_positive:
            details = {"remote_host": hop.host, "remote_address": hop.address, "code": reply.code}
            _note(engine, item, EventKind.DELIVERED, recipient, text=reply.lines[-1], more=details)
        elif reply.is_transient:
            left[recipient] = f"{hop.host}: {reply}"
        else:
            details = {"remote_host": hop.host, "remote_address": hop.address, "code": reply.code}
            _note(engine, item, EventKind.FAILED, recipient, text=str(reply), more=details)
    return left


def _note(
    engine: OutsideEngine,
    item: QueueItem,
    kind: EventKind,
    recipient: Mailbox,
    *,
    text: str,
    more: Mapping[str, Any] = {},
) -> None:
    engine.host.world.note(
        engine.host.name,
        kind,
        queue_id=item.queue_id,
        recipient=str(recipient),
        router="outside",
        transport="smtp",
        origin=item.envelope.sender,
        return_path=item.envelope.sender,
        text=text,
        **more,
    )
