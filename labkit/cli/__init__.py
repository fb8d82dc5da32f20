"""The command line: `labkit shell` and `labkit lint`.

WHAT       `main(arguments)` runs one command and returns its exit status.
READ NEXT  shell.py, lint.py
"""

from __future__ import annotations

import sys
from collections.abc import Sequence

USAGE = """\
usage: labkit shell          a terminal, with the addresses of the world that runs
       labkit lint FILE...   read configuration files and say what is wrong with them
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command of labkit. Returns 0, or 1 for a failure, or 2 for a command that does not exist."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    if words[:1] == ["shell"] and len(words) == 1:
        from labkit.cli.shell import shell

        return shell()
    if words[:1] == ["lint"] and len(words) > 1:
        from labkit.cli.lint import lint

        return lint(words[1:])
    wants_help = words in (["--help"], ["-h"], ["help"])
    print(USAGE, end="", file=sys.stdout if wants_help else sys.stderr)
    return 0 if wants_help else 2
