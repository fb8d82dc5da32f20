"""How many messages a second does the spool make durable? python benchmarks/spool.py [FOLDER] [BYTES] [ROUNDS]

WHAT       accepted messages a second, and the wait for one, with 1, 10 and 50 messages under way at once.
HOW        alternating rounds, medians with the lowest and the highest; FOLDER (default: the system's for temporary
           files) decides which disk. Only figures of one run compare. No SMTP, no socket: the spool alone.
"""

from __future__ import annotations

import asyncio
import sys
import tempfile
import time
from datetime import datetime, timezone
from pathlib import Path
from statistics import median

from labkit.mail.envelope import Envelope
from labkit.net.spool import Spool
from labkit.queue.item import Origin, QueueItem

NOW = datetime(2026, 11, 22, tzinfo=timezone.utc)
HEADER = (
    b"Received: from client.test ([203.0.113.77])\r\n\tby mx.st1.test with esmtp (labkit)\r\n\tid 1xVGdp-0000LT-0M;\r\n"
    b"\tSun, 22 Nov 2026 23:06:37 +0000\r\nFrom: ann@a.test\r\nTo: bob@b.test\r\nSubject: x\r\n\r\n"
)
ENVELOPE = Envelope.of("ann@a.test", "bob@b.test")
ORIGIN = Origin("203.0.113.77", 4321, "client.test", "esmtp")
CASES = ((1, False, 300), (1, True, 300), (10, True, 800), (50, True, 1500))  # under way, threaded, messages


async def measure(
    folder: Path, under_way: int, threaded: bool, messages: int, content: bytes
) -> tuple[float, list[float]]:
    """Messages a second, and the seconds that each waited, sorted."""
    loop = asyncio.get_running_loop()
    numbers, waits = iter(range(messages)), []

    async def session(spool: Spool) -> None:
        for number in numbers:
            answer = loop.create_future()
            began = time.perf_counter()
            spool.accept(
                QueueItem(f"{number:06}-000000-00", ENVELOPE, content, NOW, ORIGIN), answer.set_result
            )
            if (problem := await answer) is not None:
                raise problem
            waits.append(time.perf_counter() - began)

    with Spool(folder, threaded=threaded) as spool:
        began = time.perf_counter()
        await asyncio.gather(*(session(spool) for _ in range(under_way)))
        return messages / (time.perf_counter() - began), sorted(waits)


def main(folder: str | None = None, size: str = "1024", rounds: str = "5") -> None:
    content = HEADER + (b"x" * 70 + b"\r\n") * ((int(size) - len(HEADER)) // 72)
    rates: dict[tuple[int, bool], list[float]] = {}
    waits: dict[tuple[int, bool], list[float]] = {}
    for _ in range(int(rounds)):
        for under_way, threaded, messages in CASES:
            with tempfile.TemporaryDirectory(dir=folder) as place:
                rate, each = asyncio.run(
                    measure(Path(place, "spool"), under_way, threaded, messages, content)
                )
            rates.setdefault((under_way, threaded), []).append(rate)
            waits.setdefault((under_way, threaded), []).extend(each)
    print(f"{len(content)} octets each, in {folder or tempfile.gettempdir()}")
    for case, some in rates.items():
        each = sorted(waits[case])
        p50, p99 = (each[len(each) * part // 100] * 1000 for part in (50, 99))
        print(
            f"{case[0]:3} under way, {'writer thread' if case[1] else 'inline':13}: {median(some):6.0f} messages/s "
            f"({min(some):.0f} to {max(some):.0f}), p50 {p50:.2f} ms, p99 {p99:.2f} ms"
        )


if __name__ == "__main__":
    main(*sys.argv[1:])
