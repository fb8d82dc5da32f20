"""The queue listing, as `exim -bp` prints it.

STANDARDS  Exim specification, chapter "The Exim command line" (-bp)
READ NEXT  conversations.py
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta

from labkit.queue.item import QueueItem


def queue_listing(items: Iterable[QueueItem], now: datetime) -> str:
    """A block for each message: age, size, id, sender; then the recipients, those that are finished with a D."""
    blocks = []
    for item in items:
        frozen = " *** frozen ***" if item.frozen else ""
        lines = [
            f"{_age(now - item.received_at)} {_size(item.size):>5} "
            f"{item.queue_id} <{item.envelope.sender}>{frozen}"
        ]
        for recipient in dict.fromkeys(item.envelope.forward_paths):
            mark = "D" if recipient in item.finished else " "
            lines.append(f"        {mark} {recipient}")
        blocks.append("\n".join(lines) + "\n")
    return "\n".join(blocks)


def _age(span: timedelta) -> str:
    minutes = int(span.total_seconds()) // 60
    if minutes < 90:
        return f"{minutes:2d}m"
    hours = (minutes + 30) // 60
    return f"{hours:2d}h" if hours <= 72 else f"{(hours + 12) // 24:2d}d"


def _size(octets: int) -> str:
    if octets < 1024:
        return str(octets)
    if octets < 10 * 1024:
        return f"{octets / 1024:.1f}K"
    if octets < 1024 * 1024:
        return f"{(octets + 512) // 1024}K"
    return f"{octets / 1024 / 1024:.1f}M"
