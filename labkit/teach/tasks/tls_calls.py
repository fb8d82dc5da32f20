"""What a client met at a port of the student's host, as evidence of an exercise.

READ NEXT  tls_offer.py, tls_submission.py
"""

from __future__ import annotations

from labkit.lab.port_calls import Called
from labkit.lab.world import World
from labkit.teach.checks import Seen


def seen(called: Called, world: World) -> Seen:
    """One call, at this moment."""
    return Seen(world.now(), world.mine.name, called.told())
