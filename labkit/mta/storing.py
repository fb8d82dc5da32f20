"""Final delivery: a message goes into a mailbox of this host.

READ NEXT  sending.py
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from labkit.delivery.transports import AppendPlan
from labkit.mta.legs import Leg
from labkit.net.mailboxes import append_to_mbox, deliver_to_maildir

if TYPE_CHECKING:
    from labkit.mta.delivery_run import DeliveryRun


def store(run: DeliveryRun, made: AppendPlan, leg: Leg) -> None:
    """Carry out a plan of appendfile."""
    now = run.state.surroundings.now()
    path = run.state.root / made.path.lstrip("/")
    delivery = f"{run.item.queue_id} {leg.route.unique or leg.address}"
    try:
        if made.is_maildir:
            index = run.item.envelope.forward_paths.index(leg.recipient)
            deliver_to_maildir(
                path,
                made.content,
                root=run.state.root,
                queue_id=run.item.queue_id,
                recipient_index=index,
                mode=made.mode,
            )
            run.outcomes.write_down(leg.key)
        else:
            append_to_mbox(
                path,
                made.content,
                made.sender,
                now,
                root=run.state.root,
                delivery=delivery,
                mode=made.mode,
                stored=lambda: run.outcomes.write_down(leg.key),
            )
    except OSError as problem:
        run.outcomes.put_off(leg, f"{made.path}: {problem.strerror or problem}")
    else:
        run.outcomes.delivered(leg, None, None)
