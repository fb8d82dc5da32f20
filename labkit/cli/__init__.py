"""The command line: `labkit shell`, `labkit run`, `labkit doctor` and `labkit lint`.

WHAT       `main(arguments)` runs one command and returns its exit status.
READ NEXT  run.py, shell.py, doctor.py, lint.py
"""

from __future__ import annotations

import sys
from collections.abc import Sequence

USAGE = """\
usage: labkit shell [--at MACHINE]            a terminal inside the world that runs
       labkit run [--at MACHINE] COMMAND...   one program inside the world that runs
       labkit doctor                          what this machine has for the lab, and what to install
       labkit lint FILE...                    read configuration files and say what is wrong with them
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command of labkit. Returns 0, or 1 for a failure, or 2 for a command that does not exist."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    if words[:1] == ["shell"]:
        from labkit.cli.shell import shell

        return shell(words[1:])
    if words[:1] == ["run"]:
        from labkit.cli.run import run

        return run(words[1:])
    if words == ["doctor"]:
        from labkit.cli.doctor import doctor

        return doctor()
    if words[:1] == ["lint"] and len(words) > 1:
        from labkit.cli.lint import lint

        return lint(words[1:])
    wants_help = words in (["--help"], ["-h"], ["help"])
    print(USAGE, end="", file=sys.stdout if wants_help else sys.stderr)
    return 0 if wants_help else 2
