"""This machine as labkit-exim finds it: the configuration, who and where we are, and whom we can ask.

WHAT       `Machine.start(command)` reads the configuration; `answer` answers questions, `env` makes an Env.
DECIDES    in a terminal of the lab (LABNET, LABADDR, LABNAME) we are that host, with the lab's names and accounts;
           else we are this machine. Files are this machine's in both cases.
LIKE EXIM  a file that cannot be read is a `configuration error in line N of FILE`; the remedy below it is ours.
STANDARDS  Exim specification, chapters "The Exim command line" (-C, -D), "Main configuration" (keep_environment)
READ NEXT  printing.py
"""

from __future__ import annotations

import asyncio
import os
import re
import socket
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta, timezone
from functools import cached_property, partial
from pathlib import Path
from typing import Any

from labkit.cli.exim.command import Command
from labkit.cli.exim.files import CannotStart, first_file, octets_of, octets_of_file, shown_error
from labkit.cli.exim.main_settings import gid_of, login, uid_of
from labkit.eximconf.builtin_macros import BUILTIN
from labkit.eximconf.configuration import Configuration, reading
from labkit.eximconf.expansion import AclVerdict, Env, patterns
from labkit.eximconf.here import Here
from labkit.eximconf.macros import DEFINITION, Macros
from labkit.eximconf.reader import ConfigurationError, LogicalLine, reading_sections
from labkit.mail.asking import Asking, Question, answer_by, answer_later
from labkit.mail.lookups import FileText
from labkit.mail.questions import Account, VerifyRecipient, VerifySender
from labkit.mta.answers import Answers
from labkit.mta.callouts import expiry_of
from labkit.mta.compiled import Compiled, compile_configuration
from labkit.mta.rewriting import hook
from labkit.net.file_text import file_text
from labkit.net.programs.lab_time import LabTime
from labkit.net.programs.labnet_facts import Facts, read_facts
from labkit.net.resolver import Resolver
from labkit.net.this_machine import NAMESERVER, ThisMachine, interface_addresses
from labkit.smtp.acl import Phase, Scene

PROGRAMS = "LABKIT_PROGRAMS"  # yes: pipe transports may start programs


class Machine:
    """Everything that a command needs."""

    def __init__(
        self,
        file: str,
        configuration: Configuration,
        lines: list[LogicalLine],
        macros: dict[str, str],
        facts: Facts | None,
    ) -> None:
        self.file, self.configuration, self.lines = file, configuration, lines
        self.presets = macros
        self.user = login()
        main = configuration.main
        self.primary_hostname = main.text("primary_hostname") or _own_name(facts)
        self.qualify_domain = main.text("qualify_domain") or self.primary_hostname
        self.addresses = _own_addresses(main.values.get("local_interfaces"), facts)
        self.facts = facts
        self.now = LabTime(facts)
        self.network = ThisMachine(facts)
        self.resolver = Resolver(self.network, self.addresses[0], NAMESERVER, self.now, _at_once)
        self.accounts: Mapping[str, Account] | None = None
        if facts is not None:
            homes = facts.accounts.items()
            self.accounts = {name: Account(octets_of(name), octets_of(home)) for name, home in homes}
        self.answers = Answers(
            root=Path("/"),
            addresses=self.addresses,
            resolver=self.resolver,
            network=self.network,
            accounts=self.accounts,
            now=self.now,
            sleep=_sleep,
            callout_expiry=lambda: expiry_of(configuration.main),
            lock_timeout=lambda: main.number("sqlite_lock_timeout"),
        )

    @classmethod
    async def start(cls, command: Command) -> Machine:
        """Read the configuration. Raises CannotStart."""
        return cls.read(command)

    @classmethod
    def read(cls, command: Command) -> Machine:
        """As `start`, where nothing runs yet. Raises CannotStart."""
        facts = _facts()
        file = first_file(command.files)
        octets = octets_of_file(file)
        try:
            text = octets.decode("utf-8")
        except UnicodeDecodeError as problem:
            line = octets[: problem.start].count(b"\n") + 1
            raise CannotStart(
                f"Exim configuration error in line {line} of {file}:\n  an octet that is not UTF-8\n"
                "  labkit: write the file anew as UTF-8"
            ) from None
        try:
            configuration = answer_by(_included, reading(text, file, presets=command.macros))
            lines: list[LogicalLine] = []
            told = reading_sections(
                octets.decode("latin-1"), file, presets=command.macros, builtin=BUILTIN, seen=lines.append
            )
            answer_by(_included, told)
        except ConfigurationError as error:
            raise CannotStart(shown_error(error)) from None
        return cls(file, configuration, lines, command.macros, facts)

    def close(self) -> None:
        self.answers.close()

    @cached_property
    def compiled(self) -> Compiled:
        """The configuration, ready for -bt, -bv and -bh. Raises CannotStart."""
        try:
            return compile_configuration(
                self.configuration,
                self.primary_hostname,
                self.addresses,
                runs=False,
                signs_itself=True,
            )
        except ConfigurationError as error:
            raise CannotStart(shown_error(error)) from None

    @cached_property
    def running(self) -> Compiled:
        """The configuration, ready to move mail: what labkit cannot do is refused. Raises CannotStart."""
        try:
            return compile_configuration(
                self.configuration,
                self.primary_hostname,
                self.addresses,
                runs_programs=os.environ.get(PROGRAMS) == "yes",
                signs_itself=True,
            )
        except ConfigurationError as error:
            raise CannotStart(shown_error(error)) from None

    @property
    def is_admin(self) -> bool:
        """May the caller see what is hidden? Root may, and whom exim_user and exim_group name."""
        main = self.configuration.main
        if os.getuid() == 0:
            return True
        user, group = main.text("exim_user"), main.text("exim_group")
        return uid_of(user) == os.getuid() or gid_of(group) in (os.getgid(), *os.getgroups())

    def macros(self) -> Macros:
        """The macros that the file has defined at its end."""
        macros = Macros(self.presets, BUILTIN)
        for line in self.lines:
            if line.text[0].isupper() and DEFINITION.match(line.text):
                macros.define(line)
        return macros

    def env(self, variables: Mapping[str, str]) -> Env:
        """An Env with these variables, besides what is true of this host."""
        env = Env(
            dict(variables),
            here=Here(
                self.primary_hostname,
                self.addresses,
                self.configuration.main.text("sqlite_dbfile") or "",
            ),
            now=self.now(),
            environment=self._environment(),
            named=self.configuration.lists,
        )
        env.acl = partial(self._call_acl, env)
        env.rewrite = self._rewrite
        return env

    def _rewrite(self, env: Env, address: str, is_recipient: bool) -> Asking[str]:
        """An address of an envelope: the rules are compiled when an address is tested."""
        rewrite = hook(self.compiled.rewriting, lambda note: None)
        return address if rewrite is None else (yield from rewrite(env, address, is_recipient))

    def _call_acl(self, env: Env, name: str, arguments: Sequence[str]) -> Asking[AclVerdict]:
        """${acl{name}…}: the ACLs are compiled when a text calls one."""
        hook = self.compiled.acls.hook(Scene(Phase.NOT_SMTP, env))
        return (yield from hook(name, arguments))

    def _environment(self) -> dict[str, str]:
        """What keep_environment lets in, and add_environment adds."""
        kept = self.configuration.main.texts("keep_environment")
        found = {
            octets_of(name): octets_of(value)
            for name, value in os.environ.items()
            if any(_is_kept(octets_of(name), item) for item in kept)
        }
        for setting in self.configuration.main.texts("add_environment"):
            name, _, value = setting.partition("=")
            found[name] = value
        return found

    async def drive(self, asking: Asking[Any], env: Env) -> Any:
        """Run a decision that knows `env`, with answers of this machine."""

        async def answer(question: Question[Any]) -> Any:
            if isinstance(question, (VerifyRecipient, VerifySender)):
                return await self.drive(self.compiled.routers.verify(question, env), env)
            return await self.answers.answer(question)

        return await answer_later(answer, asking)


def now() -> datetime:
    return datetime.now(timezone.utc)


async def _sleep(span: timedelta) -> None:
    await asyncio.sleep(span.total_seconds())


async def _at_once(span: timedelta) -> None:
    """A nameserver that is silent has had our patience already."""


def _facts() -> Facts | None:
    path = os.environ.get("LABNET")
    if not path:
        return None
    try:
        return read_facts(Path(path))
    except OSError as problem:
        raise CannotStart(
            f"labkit-exim: LABNET names {path}, which cannot be read: {problem.strerror}"
        ) from None


def _included(question: Question[Any]) -> Any:
    assert isinstance(question, FileText), question
    return file_text(question, root=Path("/"), beside=Path.cwd())


def _own_name(facts: Facts | None) -> str:
    if facts is not None and os.environ.get("LABNAME"):
        return os.environ["LABNAME"]
    name = os.uname().nodename
    if "." in name:
        return name
    try:  # not getfqdn, which asks for the name of the address in turn
        return socket.gethostbyname_ex(name)[0]
    except OSError:
        return name


def _own_addresses(interfaces: object, facts: Facts | None) -> tuple[str, ...]:
    """The addresses that @[] means, and from which we call."""
    if facts is not None and os.environ.get("LABADDR"):
        return (os.environ["LABADDR"],)
    written = [_bare(str(item)) for item in interfaces] if isinstance(interfaces, tuple) else []
    named = tuple(address for address in written if address not in ("0.0.0.0", "::0", "::"))
    return named or interface_addresses()


def _bare(interface: str) -> str:
    """`[127.0.0.1]:25` and `127.0.0.1.25` without the port."""
    if found := re.match(r"\[([^]]*)\]", interface):
        return found[1]
    return ".".join(interface.split(".")[:4]) if ":" not in interface else interface


def _is_kept(name: str, item: str) -> bool:
    if item.startswith("^"):
        return patterns.match(name, item) is not None
    return item in (name, "*") or (item.startswith("*") and name.endswith(item[1:]))
