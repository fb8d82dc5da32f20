"""`labkit-exim -be` and -bem: expand texts from the command line, or line by line from the standard input.

LIKE EXIM  a line that ends in a backslash goes on in the next; macros of the file are replaced, for those who may see
           them; a line that begins with a capital defines a macro; `> ` stands before each line that is read.
STANDARDS  Exim specification, chapter "The Exim command line" (-be, -bem)
READ NEXT  addresses.py
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path

from labkit.cli.exim.command_line import Command
from labkit.cli.exim.files import shown_error
from labkit.cli.exim.machine import Machine
from labkit.cli.exim.variables import of_caller, of_message
from labkit.eximconf.blanks import BLANKS
from labkit.eximconf.expansion import Env, Value, compile_text
from labkit.eximconf.macros import DEFINITION, Macros
from labkit.eximconf.place import ConfigurationError, LogicalLine, Place

LONGEST = 256  # characters of an argument, as for an address


async def expand(machine: Machine, command: Command) -> int:
    """Expand what was asked for. Returns the exit status, which is 0 whatever the texts are."""
    env = machine.env(of_caller(machine, command.sender))
    if command.message is not None:
        try:
            octets = Path(os.fsdecode(command.message.encode("latin-1"))).read_bytes()
        except OSError as problem:
            print(f"exim: failed to open {command.message}: {problem.strerror}", file=sys.stderr)
            return 1
        of_message(machine, env, octets)
    macros = machine.macros() if machine.is_admin else Macros()
    for number, text in enumerate(command.arguments or lines_of_input(), start=1):
        if command.arguments and len(text) > LONGEST:
            print("exim: recipient is too long", file=sys.stderr)
            return 1
        await _line(machine, env, macros, text, number)
    return 0


async def _line(machine: Machine, env: Env, macros: Macros, text: str, number: int) -> None:
    place = Place("-be", number)
    try:
        text, _ = macros.substitute(text, starts=True, file="-be", line=number)
        if "A" <= text[:1] <= "Z":
            macros.define(LogicalLine(text, place))
            found = DEFINITION.match(text)
            say(f"Defined macro '{found[1] if found else text}'")
            return
    except ConfigurationError as error:
        print(shown_error(ConfigurationError(Place("", 0), error.problem, error.remedy)), file=sys.stderr)
        return
    try:
        outcome = await machine.drive(compile_text(text, place).asking(env), env)
    except ConfigurationError as error:
        say(f"Failed: {error.problem}")
        return
    say(outcome.text if isinstance(outcome, Value) else f"Failed: {outcome.message}")


def say(octets: str) -> None:
    """Print a line of octets, and at once: the next prompt comes after it."""
    sys.stdout.flush()
    sys.stdout.buffer.write(octets.encode("latin-1", "replace") + b"\n")
    sys.stdout.buffer.flush()


def lines_of_input() -> Iterator[str]:
    """The logical lines of the standard input, each asked for with a prompt."""
    while True:
        sys.stdout.write("> ")
        sys.stdout.flush()
        pieces: list[str] = []
        while piece := sys.stdin.buffer.readline():
            text = piece.decode("latin-1").rstrip(BLANKS)
            pieces.append(text.lstrip(BLANKS) if pieces else text)
            if not pieces[-1].endswith("\\"):
                break
            pieces[-1] = pieces[-1][:-1]
        if not pieces:
            say("")
            return
        yield "".join(pieces)
