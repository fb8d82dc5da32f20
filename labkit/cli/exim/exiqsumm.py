"""`labkit-exiqsumm`: a queue listing on the standard input, its summary on the standard output.

LIKE EXIM  exiqsumm 4.96 and its options: -a sorts by the age of the oldest message, -c by the number of messages
           (else by domain); -f marks frozen messages, -b reports, -s names the sender's domain. It ignores others;
           here they are refused by name.
READ NEXT  listing.py
"""

from __future__ import annotations

import sys
from collections.abc import Sequence

from labkit.lab.exim_queue import queue_summary

USAGE = "usage: labkit-exim -bp | labkit-exiqsumm [-a | -c] [-b] [-f] [-s]"
OPTIONS = ("-a", "-b", "-c", "-f", "-s")


def main(arguments: Sequence[str] | None = None) -> int:
    """Returns the exit status."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    if unknown := [word for word in words if word not in OPTIONS]:
        print(f"labkit-exiqsumm: {' '.join(unknown)} is not read by labkit\n{USAGE}", file=sys.stderr)
        return 1
    listing = sys.stdin.buffer.read().decode("utf-8", "surrogateescape")
    summary = queue_summary(listing, "".join(word[1:] for word in words))
    sys.stdout.buffer.write(summary.encode("utf-8", "surrogateescape"))
    sys.stdout.flush()
    return 0
