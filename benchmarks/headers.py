"""How fast are headers read, by labkit and by Python's email package? python benchmarks/headers.py [N]

WHAT       parsed: BytesParser(policy=email.policy.default).parsebytes, nothing looked at.
           read: the same, and then what a Survey holds is asked of it (From, Return-Path, Received, Date, Message-ID,
           DKIM-Signature, List-Id), the dates by email.utils.
           survey, dissect: labkit's, on the same octets.
HOW        one process, alternating rounds, the fastest of three; then N headers (100,000) go through `survey_all`, with
           the memory that it took. The headers are invented: labkit/lab/synthetic_headers.py.
FAIR       all get bytes with a short body. Python's parser may do more than is asked; that is what one pays there.
"""

from __future__ import annotations

import email.policy
import resource
import sys
import time
from collections.abc import Callable, Sequence
from email.parser import BytesParser
from email.utils import parsedate_to_datetime

from labkit.headers import dissect
from labkit.headers.fast import survey
from labkit.headers.totals import survey_all
from labkit.lab.synthetic_headers import synthetic_headers

SAMPLE, ROUNDS = 300, 3
MANY = 100_000


def parsed(message: bytes) -> object:
    return BytesParser(policy=email.policy.default).parsebytes(message, headersonly=True)


def read(message: bytes) -> object:
    found = BytesParser(policy=email.policy.default).parsebytes(message, headersonly=True)
    domains = [address.domain for address in found["from"].addresses] if found["from"] else []
    instants: list[float | None] = []
    for value in found.get_all("received", []):
        try:
            instants.append(parsedate_to_datetime(str(value).rpartition(";")[2].strip()).timestamp())
        except (ValueError, TypeError):
            instants.append(None)
    names = ("return-path", "date", "message-id", "list-id")
    return domains, instants, [found[name] for name in names], found.get_all("dkim-signature")


READERS: tuple[tuple[str, Callable[[bytes], object]], ...] = (
    ("policy.default, parsed", parsed),
    ("policy.default, read", read),
    ("labkit survey", survey),
    ("labkit dissect", dissect),
)


def rates(messages: Sequence[bytes], rounds: int = ROUNDS) -> dict[str, float]:
    """Headers a second of each reader: the fastest of several rounds, which alternate."""
    best = dict.fromkeys([name for name, _ in READERS], float("inf"))
    for _ in range(rounds):
        for name, reader in READERS:
            begin = time.process_time()
            for message in messages:
                reader(message)
            best[name] = min(best[name], time.process_time() - begin)
    return {name: len(messages) / seconds for name, seconds in best.items()}


def table(found: dict[str, float]) -> str:
    slow = found["policy.default, read"]
    lines = [f"{'reader':<24}{'headers/s':>12}{'times as fast':>16}"]
    lines += [f"{name:<24}{rate:>12,.0f}{rate / slow:>16.1f}" for name, rate in found.items()]
    return "\n".join(lines)


def main(many: int = MANY) -> None:
    messages = list(synthetic_headers(SAMPLE))
    octets = sum(map(len, messages)) / len(messages)
    print(
        f"{SAMPLE} invented headers, {octets:,.0f} octets each on average, Python {sys.version.split()[0]}\n"
    )
    print(table(rates(messages)))
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    corpus = (messages[number % SAMPLE] for number in range(many))
    begin = time.process_time()
    totals = survey_all(corpus, lambda count: print(f"\r{count:,}", end="", file=sys.stderr))
    seconds = time.process_time() - begin
    more = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    print(
        f"\n{totals.messages:,} headers surveyed in {seconds:.1f} s; {more / 1024:.1f} MB more memory at the peak"
    )


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else MANY)
