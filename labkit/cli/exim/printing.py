"""`labkit-exim -bP`: what the configuration says, and what its defaults are.

WHAT       `-bP` alone prints every main option that labkit knows; `-bP NAME…` these; `-bP config` the file as it was
           read; `-bP routers`, `router NAME`, `router_list` and the same for transports, authenticators and macros;
           `-bP +LIST` a named list; with -n only the values.
LIKE EXIM  the form, and the exit status: of several names the last one decides. What stands behind `hide`, and the
           macros, only an administrator may see: root, or whom exim_user and exim_group name; a hidden list nobody.
STANDARDS  Exim specification, chapter "The Exim command line" (-bP)
READ NEXT  expanding.py
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator, Mapping, Sequence

from labkit.cli.exim.command_line import Command
from labkit.cli.exim.expanding import say
from labkit.cli.exim.machine import Machine
from labkit.cli.exim.values import line_of
from labkit.cli.exim.version import LANGUAGE
from labkit.eximconf import exim_names, options
from labkit.eximconf.builtin_macros import BUILTIN
from labkit.eximconf.configuration import Driver, Options
from labkit.eximconf.lists import ListKind
from labkit.eximconf.macros import DEFINITION
from labkit.eximconf.options import Option

HIDDEN = "<value not displayable>"
KINDS = ("router", "transport", "authenticator")
_PLURALS = {f"{kind}s": kind for kind in KINDS}
_NAME_LISTS = {f"{kind}_list": kind for kind in KINDS}
_SYNONYMS = ("fail_verify", "verify")  # of two others each, which are printed
_HIDE = re.compile(r"hide\s")
_HIDDEN_LIST = re.compile(r"hide\s+([a-z]+list)\s+([A-Za-z0-9_]+)\s*=")
_LISTS = (ListKind.ADDRESS, ListKind.DOMAIN, ListKind.HOST, ListKind.LOCAL_PART)  # in this order


def print_options(machine: Machine, command: Command) -> int:
    """Print what was asked for. Returns the exit status."""
    printer = _Printer(machine, values_only=command.values_only)
    if not command.arguments:
        printer.one("all")
        return 0
    is_well = True
    names = iter(command.arguments)
    left = len(command.arguments)
    for name in names:
        left -= 1
        if left and name in (*KINDS, "macro", "environment"):
            is_well = printer.named(name, next(names)) and is_well
            left -= 1
        else:
            is_well = printer.one(name)
    return 0 if is_well else 1


class _Printer:
    """Prints; each method says whether there was such a thing."""

    def __init__(self, machine: Machine, *, values_only: bool) -> None:
        self.machine, self.configuration, self.values_only = machine, machine.configuration, values_only
        hidden = [line for line in machine.lines if _HIDE.match(line.text)]
        self.hidden_places = set() if machine.is_admin else {line.place for line in hidden}
        # a named list is hidden from everybody
        self.hidden_lists = {found.groups() for line in hidden if (found := _HIDDEN_LIST.match(line.text))}

    def one(self, name: str) -> bool:
        if name.startswith("+"):
            return self.list(name[1:])
        if name in ("configure_file", "config_file"):
            say(self.machine.file)
        elif name == "all":
            self.options("main", self.main())
        elif name == "config":
            self.config()
        elif name == "local_scan":
            say("local_scan() options are not supported")
            return False
        elif name in ("macros", "macro_list"):
            return self.macros(None, names_only=name == "macro_list")
        elif name == "environment":
            for variable, value in sorted(self.machine.env({}).environment.items()):
                say(variable if self.values_only else f"{variable}={value}")
        elif name in _PLURALS:
            for driver in self.drivers(_PLURALS[name]):
                say(f"\n{driver.name} {_PLURALS[name]}:")
                self.driver(_PLURALS[name], driver)
        elif name in _NAME_LISTS:
            for driver in self.drivers(_NAME_LISTS[name]):
                say(driver.name)
        else:
            return self.option(name)
        return True

    def named(self, kind: str, name: str) -> bool:
        """One router, transport, authenticator or macro."""
        if kind in ("macro", "environment"):
            return self.macros(name) if kind == "macro" else self.one(kind)
        for driver in self.drivers(kind):
            if driver.name == name:
                self.driver(kind, driver)
                return True
        say(f"{kind} {name} not found")
        return False

    # --- options ------------------------------------------------------------------------------

    def main(self) -> Options:
        """The main options; the names of this host are filled in, as Exim fills them in when it starts."""
        main, machine = self.configuration.main, self.machine
        names = {
            "primary_hostname": machine.primary_hostname,
            "qualify_domain": machine.qualify_domain,
            "qualify_recipient": main.text("qualify_recipient") or machine.qualify_domain,
        }
        return Options({**main.values, **names}, main.written)

    def option(self, name: str) -> bool:
        row = options.find("main", name)
        if row is None:
            if exim_names.has("main", name):
                problem = f'labkit-exim: the option "{name}" is "real Exim only": labkit does not read it yet'
                print(problem, file=sys.stderr)
            else:
                say(f"{name} is not a known option")
            return False
        self.print_row(row, self.main())
        return True

    def options(self, scope: str, values: Options) -> None:
        for row in sorted(options.rows(scope), key=lambda row: (row.scope, row.name)):
            if row.name not in _SYNONYMS:
                self.print_row(row, values)

    def print_row(self, row: Option, values: Options) -> None:
        if any(
            each.name == row.name and setting.place in self.hidden_places for each, setting in values.written
        ):
            say(HIDDEN if self.values_only else f"{row.name} = {HIDDEN}")
            return
        is_ours = row.scope == "main" and row.name in (
            "primary_hostname",
            "qualify_domain",
            "qualify_recipient",
        )
        if is_ours and (text := values.text(row.name)) is not None:
            say(text if self.values_only else f"{row.name} = {text}")
            return
        say(line_of(row, values, values_only=self.values_only))

    # --- drivers ------------------------------------------------------------------------------

    def drivers(self, kind: str) -> Sequence[Driver]:
        configuration = self.configuration
        if kind == "router":
            return configuration.routers
        table = configuration.transports if kind == "transport" else configuration.authenticators
        return tuple(table.values())

    def driver(self, kind: str, driver: Driver) -> None:
        self.options(f"{kind} {driver.driver}", driver.options)

    # --- the rest -----------------------------------------------------------------------------

    def list(self, name: str) -> bool:
        found = False
        for kind in _LISTS:
            written = self.configuration.lists.get((kind, name))
            if written is not None:
                found = True
                text = HIDDEN if (kind.value, name) in self.hidden_lists else written.text
                say(text if self.values_only else f"{kind.value} {name} = {text}")
        if not found:
            say(f'no address, domain, host, or local part list called "{name}" exists')
        return found

    def macros(self, name: str | None, *, names_only: bool = False) -> bool:
        if not self.machine.is_admin:
            print("exim: permission denied", file=sys.stderr)
            return False
        for each, value in macros_of(self.machine).items():
            if name in (None, each):
                say(each if names_only else value if self.values_only else f"{each}={value}")
        if name is not None and name not in macros_of(self.machine):
            say(f"macro {name} not found")
            return False
        return True

    def config(self) -> None:
        say(f"# Exim Configuration ({LANGUAGE})")
        for line in _config_lines(self.machine, shows_hidden=self.machine.is_admin, terse=self.values_only):
            say(line)


def macros_of(machine: Machine) -> Mapping[str, str]:
    """All macros with their values, the builtin ones first."""
    own = dict(machine.presets)
    for line in machine.lines:
        found = DEFINITION.match(line.text)
        if found is not None and found[1] not in machine.presets:
            own[found[1]] = line.text[found.end() :]
    return {**BUILTIN, **own}


def _config_lines(machine: Machine, *, shows_hidden: bool, terse: bool) -> Iterator[str]:
    """The file as Exim lays it out: blanks collapsed, sections and their parts indented."""
    step = 0 if terse else 2
    indent, file = 0, ""
    for line in machine.lines:
        if line.place.file != file:
            yield f'# {1 if not file else line.place.line} "{line.place.file}"'
            file = line.place.file
        text = collapsed(line.text)
        if re.match(r"begin\s", text):
            yield from ([] if terse else [""])
            yield text
            indent = step
        elif text.endswith(":") and "=" not in text:
            yield from ([] if terse else [""])
            yield f"{' ' * step}{text}"
            indent = 2 * step
        elif not shows_hidden and ("A" <= text[0] <= "Z" or _HIDE.match(text)):
            name, sign, _ = text.partition("=")
            yield f"{' ' * indent}{name}= {HIDDEN}" if sign else f"{HIDDEN:>{indent}}"
        else:
            yield f"{' ' * indent}{text}"


def collapsed(text: str) -> str:
    """Each run of blanks as one, up to a quote or a dollar sign, after which somebody may have meant it."""
    found = re.match(r"""(?:\S+|\s+(?!["'$\s]))*""", text)
    end = found.end() if found else 0
    return re.sub(r"\s+", " ", text[:end]) + re.sub(r"^\s+", " ", text[end:])
