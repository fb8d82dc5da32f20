"""`labkit-exim -brw ADDRESS`: the address as it would be in each place, after rewriting.

LIKE EXIM  what would be in the log goes to the standard error
STANDARDS  Exim specification, chapter "The Exim command line" (-brw)
READ NEXT  host_test.py
"""

from __future__ import annotations

import sys

from labkit.cli.exim.command_line import Command
from labkit.cli.exim.expanding import say
from labkit.cli.exim.machine import Machine
from labkit.cli.exim.variables import of_caller
from labkit.eximconf.rewriting import shown_test

LONGEST = 256  # octets of an address


async def test_rewriting(machine: Machine, command: Command) -> int:
    """Show what becomes of the address. Returns the exit status. Raises CannotStart."""
    if not command.arguments:
        print("-brw needs an address argument")
        return 1
    address = command.arguments[0]
    if len(address) > LONGEST:
        print("exim: -brw is too long", file=sys.stderr)
        return 1
    env = machine.env(of_caller(machine))
    compiled = machine.compiled
    lines, notes = await machine.drive(
        shown_test(address, compiled.rewriting, env, compiled.qualify_recipient), env
    )
    for note in notes:
        if not note.selector:
            print(f"LOG: {note.text}", file=sys.stderr)
    for line in lines:
        say(line)
    return 0
