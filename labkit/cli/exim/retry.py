"""`labkit-exim -brt ADDRESS [DOMAIN] [FAILURE]`: the retry rule that is used for an address, or a host.

STANDARDS  Exim specification, chapter "The Exim command line" (-brt)
READ NEXT  host_test.py
"""

from __future__ import annotations

import sys

from labkit.cli.exim.command import Command
from labkit.cli.exim.machine import Machine
from labkit.cli.exim.variables import of_caller
from labkit.queue.retry_test import shown_retry


async def test_retry(machine: Machine, command: Command) -> int:
    """Show the rule. Returns the exit status. Raises CannotStart."""
    env = machine.env(of_caller(machine))
    asking = shown_retry(machine.compiled.retry_rules, command.arguments, env)
    status, text = await machine.drive(asking, env)
    sys.stdout.write(text)
    return int(status)
