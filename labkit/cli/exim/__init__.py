"""`labkit-exim`: Exim's command line, spoken by labkit.

WHAT       `main(arguments)` runs one command and returns its exit status: -bV, -bP, -be, -bem, -bt, -bv, -bvs, -bh.
WHY        scripts that test a configuration with Exim test it with labkit by one changed word.
RULES      its own process, in real time, on this machine's files. What only Exim can do is refused by name.
LIKE EXIM  what is printed, where, and the exit status
STANDARDS  Exim specification, chapter "The Exim command line"
READ NEXT  command_line.py, machine.py, version.py, printing.py, expanding.py, addresses.py, host_test.py
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

from labkit.cli.exim.command_line import Command, Mode, Refused, Usage, read_command_line

if TYPE_CHECKING:
    from labkit.cli.exim.machine import Machine


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command. Returns its exit status."""
    if arguments is None:
        arguments = sys.argv[1:]
        signal.signal(
            signal.SIGINT, signal.SIG_DFL
        )  # asyncio would wait for the end of a line that is being read
    _open_what_is_closed()
    words = [_octets(word) for word in arguments]
    try:
        command = read_command_line(words)
    except (Refused, Usage) as problem:
        print(problem, file=sys.stderr)
        return 1
    try:
        return asyncio.run(_run(command))
    except BrokenPipeError:  # nobody reads on: `labkit-exim -bP | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except OSError as problem:  # what is left to print would fail once more, at the end
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        print(f"labkit-exim: {problem.filename or 'output'}: {problem.strerror}", file=sys.stderr)
        return 1


def _open_what_is_closed() -> None:
    """Python has no object for a stream that whoever called us has closed; Exim opens /dev/null there, too."""
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, mode, encoding="utf-8"))  # noqa: SIM115 - for the whole process


async def _run(command: Command) -> int:
    from labkit.cli.exim import version
    from labkit.cli.exim.machine import CannotStart, Machine

    if command.shows_version:
        version.show()
    try:
        machine = await Machine.start(command)
    except CannotStart as problem:
        print(problem, file=sys.stderr)
        return 1
    try:
        return await _run_on(machine, command)
    except CannotStart as problem:
        print(problem, file=sys.stderr)
        return 1
    finally:
        machine.close()


async def _run_on(machine: Machine, command: Command) -> int:
    if command.mode is Mode.PRINT:
        from labkit.cli.exim.printing import print_options

        return print_options(machine, command)
    if command.mode is Mode.REWRITE:
        from labkit.cli.exim.rewriting import test_rewriting

        return await test_rewriting(machine, command)
    if command.mode is Mode.EXPAND:
        from labkit.cli.exim.expanding import expand

        return await expand(machine, command)
    if command.mode in (Mode.TEST, Mode.VERIFY, Mode.VERIFY_SENDER):
        from labkit.cli.exim.addresses import test_addresses

        return await test_addresses(machine, command)
    if command.mode is Mode.HOST:
        from labkit.cli.exim.host_test import test_host

        return await test_host(machine, command)
    print(f"Configuration file is {machine.file}")
    return 0


def _octets(word: str) -> str:
    """An argument as the octets that it is, as latin-1."""
    return os.fsencode(word).decode("latin-1")
