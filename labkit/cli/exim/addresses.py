"""`labkit-exim -bt`, -bv and -bvs: where mail for an address would go, or whether it is good.

LIKE EXIM  addresses from the command line, or line by line from the standard input; exit status 0 all good, 1 some
           cannot be decided now, 2 some fail
MORE       with -d+route, on the standard error: which router looked at what, and what came of it
STANDARDS  Exim specification, chapter "The Exim command line" (-bt, -bv, -bvs)
READ NEXT  host_test.py
"""

from __future__ import annotations

import sys

from labkit.cli.exim.command_line import Command, Mode
from labkit.cli.exim.expanding import lines_of_input, say
from labkit.cli.exim.machine import Machine
from labkit.cli.exim.variables import of_caller
from labkit.routing import Mode as RoutingMode
from labkit.routing import Trace

_MODES = {
    Mode.TEST: RoutingMode.TEST,
    Mode.VERIFY: RoutingMode.VERIFY_RECIPIENT,
    Mode.VERIFY_SENDER: RoutingMode.VERIFY_SENDER,
}
LONGEST = 1024  # characters of an argument


async def test_addresses(machine: Machine, command: Command) -> int:
    """Test the addresses. Returns the exit status. Raises CannotStart."""
    env = machine.env(of_caller(machine, command.sender))
    trace = Trace() if command.traces else None
    tester = machine.compiled.routers.tester(
        env, _MODES[command.mode], is_full=command.is_verbose, trace=trace
    )
    # an argument may hold several addresses, a line of the input is one
    test = tester.test if command.arguments else tester.test_address
    told = noted = shown = 0
    for argument in command.arguments or lines_of_input():
        if len(argument) > LONGEST:
            print("exim: address verification is too long", file=sys.stderr)
            return 1
        await machine.drive(test(argument), env)
        for line in tester.lines[told:]:
            say(line)
        for remark in tester.remarks[noted:]:
            print(f"LOG: {remark}", file=sys.stderr)
        told, noted = len(tester.lines), len(tester.remarks)
        if trace is not None:
            for line in trace.lines()[shown:]:
                print(f">>> {line}", file=sys.stderr)
            shown = len(trace.lines())
    return tester.status
