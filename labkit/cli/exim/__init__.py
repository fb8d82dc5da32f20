"""`labkit-exim`: Exim's command line, spoken by labkit.

WHAT       `main(arguments)` runs one command and returns its exit status: tests of a configuration (-bV, -bP, -be,
           -bt, -bv, -bh), the daemon (-bd, -q15m), messages handed in (-bm, -t, -bs, -bS), the queue (-bp, -q, -M…).
WHY        scripts that drive an Exim drive labkit by one changed word.
RULES      its own process, in real time, on this machine's files. What only Exim can do is refused by name.
LIKE EXIM  what is printed, where, and the exit status; the names mailq, newaliases, rmail, rsmtp, runq, sendmail
FAST       each kind of command loads what it needs and no more.
STANDARDS  Exim specification, chapter "The Exim command line"
READ NEXT  command_line.py, main_settings.py, listing.py, client.py, owner.py, daemon.py; machine.py, printing.py,
           expanding.py, addresses.py, host_test.py
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

from labkit.cli.exim.command_line import Command, Mode, Refused, Usage, read_command_line

if TYPE_CHECKING:
    from labkit.cli.exim.machine import Machine

_ON_FILES = (Mode.LIST, Mode.COUNT, Mode.SHOW)
_ON_THE_SPOOL = (Mode.MESSAGE, Mode.SMTP, Mode.BATCH, Mode.DELIVER, Mode.ACT, Mode.RUN_QUEUE)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command. Returns its exit status."""
    program = ""
    if arguments is None:
        program, arguments = sys.argv[0], sys.argv[1:]
        signal.signal(
            signal.SIGINT, signal.SIG_DFL
        )  # asyncio would wait for the end of a line that is being read
    _open_what_is_closed()
    words = [_octets(word) for word in arguments]
    try:
        command = read_command_line(words, program)
    except (Refused, Usage) as problem:
        print(problem, file=sys.stderr)
        return 1
    try:
        return _run(command)
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


def _run(command: Command) -> int:
    from labkit.cli.exim.files import CannotStart

    if command.shows_version:
        from labkit.cli.exim import version

        version.show()
    try:
        if command.mode in (*_ON_FILES, *_ON_THE_SPOOL, Mode.DAEMON) or command.removes_pid_file:
            return _run_on_spool(command)
        return _run_on_machine(command)
    except CannotStart as problem:
        print(problem, file=sys.stderr)
        return 1


def _run_on_spool(command: Command) -> int:
    """Raises CannotStart."""
    from labkit.cli.exim.main_settings import read_settings

    settings = read_settings(command)
    if command.removes_pid_file:
        from labkit.cli.exim.listing import remove_pid_file

        return remove_pid_file(command, settings)
    if command.mode in (Mode.LIST, Mode.COUNT):
        from labkit.cli.exim.listing import list_queue

        return list_queue(command, settings)
    if command.mode is Mode.SHOW:
        from labkit.cli.exim.listing import show

        return show(command, settings)
    if command.mode is Mode.DAEMON:
        from labkit.cli.exim.daemon import start_daemon

        return start_daemon(command, settings)
    from labkit.cli.exim.client import ask
    from labkit.cli.exim.told import check_told

    check_told(command.told, is_trusted=settings.is_trusted)
    if command.mode in (Mode.DELIVER, Mode.RUN_QUEUE) and not settings.is_admin:
        may = command.action != "g" and not settings.is_on("prod_requires_admin", True)
        if not may:
            print("exim: permission denied", file=sys.stderr)
            return 1
    return ask(command, settings)


def _run_on_machine(command: Command) -> int:
    """Raises CannotStart."""
    import asyncio

    async def run() -> int:
        from labkit.cli.exim.machine import Machine

        machine = await Machine.start(command)
        try:
            return await _run_on(machine, command)
        finally:
            machine.close()

    return asyncio.run(run())


async def _run_on(machine: Machine, command: Command) -> int:
    if command.mode is Mode.PRINT:
        from labkit.cli.exim.printing import print_options

        return print_options(machine, command)
    if command.mode is Mode.RETRY:
        from labkit.cli.exim.retry import test_retry

        return await test_retry(machine, command)
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
    if command.mode is Mode.BUILD:  # nothing is to be built: an lsearch file is read as it is
        if machine.configuration.main.text("bi_command"):
            print("labkit-exim: bi_command is set, and labkit starts no programs", file=sys.stderr)
            return 1
        return 0
    print(f"Configuration file is {machine.file}")
    return 0


def _octets(word: str) -> str:
    """An argument as the octets that it is, as latin-1."""
    return os.fsencode(word).decode("latin-1")
