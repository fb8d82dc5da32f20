"""The pipe transport: a program that reads the message.

WHAT       `PipePlan`: what is run, with which words, environment and input; `verdict` says what its end means.
DECIDES    which commands may run (allow_commands, restrict_to_path); which exit status is a failure, which is for later
SAFE       no shell, unless the configuration wants one; a command that a stranger chose is refused
STANDARDS  Exim specification, chapter "The pipe transport"
READ NEXT  transports.py
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from labkit.delivery.command import argument_list
from labkit.delivery.generic import Stuck, Trouble, current_directory, expanded, with_trace
from labkit.delivery.written import Form, written
from labkit.eximconf.configuration import Driver
from labkit.eximconf.expansion import Compiled, Env, Tainted, compile_text
from labkit.eximconf.lists import split_list
from labkit.eximconf.place import Place
from labkit.eximconf.reader import ConfigurationError
from labkit.mail.address import Mailbox
from labkit.mail.asking import Asking
from labkit.mail.message import Message

NO_EXEC = 127  # the exit status of who could not start the program
MOST_SETTINGS = 49
TOLD = "local delivery failed"  # a report names no command
_PIPE_ADDRESSES = re.compile(r"\$(?:pipe_addresses|\{pipe_addresses\})")
_SIGNALS = {
    1: "Hangup", 2: "Interrupt", 3: "Quit", 4: "Illegal instruction", 5: "Trace/breakpoint trap", 6: "Aborted",
    7: "Bus error", 8: "Floating point exception", 9: "Killed", 10: "User defined signal 1",
    11: "Segmentation fault", 12: "User defined signal 2", 13: "Broken pipe", 14: "Alarm clock", 15: "Terminated",
}  # fmt: skip
_STATUSES = {
    64: "usage or syntax error", 65: "error in input data", 66: "input data missing", 67: "user nonexistent",
    68: "host nonexistent", 69: "service or program unavailable", 70: "internal software error",
    71: "internal operating system error", 72: "system file missing", 73: "can't create output file",
    74: "input/output error", 75: "temporary error", 76: "protocol error", 77: "permission denied",
    78: "configuration error", 127: "unable to exec or command does not exist",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class PipePlan:
    """Run `words` with `environment` in `directory`; it reads `octets`. `path` is where a bare name is looked for.

    `command` is what messages call it. Times are seconds (0: without end), `most_output` octets.
    """

    name: str
    command: str
    words: tuple[str, ...]
    path: tuple[str, ...]
    environment: tuple[tuple[str, str], ...]
    octets: bytes
    directory: str
    umask: int
    timeout: float
    most_output: int
    temporary: str
    ignores_status: bool = False
    defers_timeout: bool = False
    freezes_signal: bool = False
    freezes_exec: bool = False


@dataclass(frozen=True, slots=True)
class Ended:
    """How a program ended: its exit status, or minus the signal; None: its time was over. `output` is what it said."""

    status: int | None
    output: bytes = b""
    broke: bool = False  # it did not read all in time


def check_pipe(transport: Driver) -> None:
    """Look at the options when the configuration is read, as Exim does. Raises ConfigurationError."""
    options = transport.options
    temporary = (options.text("temp_errors") or "").strip()
    if temporary != "*" and not re.fullmatch("[0-9: ]*", temporary):
        problem = "temp_errors must be a list of numbers or an asterisk"
        raise _wrong(transport, problem, "write numbers with colons, or *")
    for one, other in (
        ("return_output", "return_fail_output"),
        ("log_output", "log_fail_output"),
        ("restrict_to_path", "use_shell"),
    ):
        if options.flag(one) and options.flag(other):
            raise _wrong(transport, f"both {one} and {other} set", "leave one of them out")
    if options.has("allow_commands") and options.flag("use_shell"):
        raise _wrong(transport, "both allow_commands and use_shell set", "leave one of them out")


def _wrong(transport: Driver, problem: str, remedy: str) -> ConfigurationError:
    return ConfigurationError(transport.place, f"the transport {transport.name}: {problem}", remedy)


# --- the plan ---------------------------------------------------------------------------------------


def plan_pipe(
    transport: Driver,
    message: Message,
    reverse_path: Mailbox | None,
    recipients: Sequence[Mailbox],
    env: Env,
    now: datetime,
    target: str = "",
) -> Asking[PipePlan | Trouble]:
    """What to run. `target` is the |program that an alias names; else the transport's own command is run."""
    options = transport.options
    try:
        directory = yield from current_directory(transport, env)
        if isinstance(directory, Trouble):
            return directory
        command, words, path = yield from _words(transport, recipients, env, target)
        environment = yield from _environment(transport, env, path)
    except Stuck as stuck:
        return stuck.trouble
    form = Form.of(transport, is_mbox=True, escapes=False)
    traced = with_trace(transport, message, reverse_path, recipients, now)
    octets = yield from written(transport, form, traced, reverse_path, recipients, env)
    if isinstance(octets, Trouble):
        return octets
    return PipePlan(
        transport.name,
        command,
        tuple(words),
        tuple(split_list(path)),
        tuple(environment),
        octets,
        directory,
        options.number("umask"),
        options.seconds("timeout"),
        options.number("max_output"),
        (options.text("temp_errors") or "").strip(),
        options.flag("ignore_status"),
        options.flag("timeout_defer"),
        options.flag("freeze_signal"),
        options.flag("freeze_exec_fail"),
    )


def _words(
    transport: Driver, recipients: Sequence[Mailbox], env: Env, target: str
) -> Asking[tuple[str, list[str], str]]:
    """The command, its words and where programs are. Raises Stuck."""
    options, what = transport.options, f"{transport.name[:50]} transport"
    is_forced = options.flag("force_command") or not target
    text = options.expansion("command")
    command = (text.text if text is not None else "") if is_forced else target[1:].lstrip()
    if not command:
        raise Stuck(Trouble(f"no command specified for {transport.name} transport"))
    if not is_forced and isinstance(target, Tainted):
        raise Stuck(Trouble(f"Tainted '{command}' (command for {transport.name} transport) not permitted"))
    addresses = [str(each) for each in recipients]
    path = yield from _value(transport, "path", env)
    if options.flag("use_shell"):
        line = (yield from _shell(transport, command, addresses, env)) if is_forced else command
        return command, ["/bin/sh", "-c", line], path
    words = yield from argument_list(
        command, env, addresses, what, expands=is_forced, target=target if is_forced else ""
    )
    if isinstance(words, Trouble):
        raise Stuck(words)
    if not words:
        raise Stuck(Trouble(f"no command specified for {transport.name} transport"))
    yield from _permit(transport, command, words[0], env)
    return command, words, path


def _shell(transport: Driver, command: str, addresses: Sequence[str], env: Env) -> Asking[str]:
    """The line for a shell. Exim looks at no taint here: who writes use_shell must quote. Raises Stuck."""
    line = _PIPE_ADDRESSES.sub(lambda found: " ".join(addresses), command, count=1)
    try:
        value = yield from expanded(compile_text(line, Place("a command", 0)), env)
        why = '"fail" requested'
    except Stuck as stuck:
        value, why = None, stuck.trouble.words
    if value is None:
        words = f'Expansion of command "{line}" in {transport.name} transport failed: {why}'
        raise Stuck(Trouble(words))
    return str(value)


def _permit(transport: Driver, command: str, program: str, env: Env) -> Asking[None]:
    """May this program run? Raises Stuck."""
    options, name = transport.options, transport.name
    allowed = options.expansion("allow_commands")
    if allowed is not None and program in split_list((yield from _value(transport, "allow_commands", env))):
        return
    if options.flag("restrict_to_path"):
        if "/" in program:
            words = f'"/" found in "{command}" (command for {name} transport) - failed for security reasons'
            raise Stuck(Trouble(words, fails=True))
    elif allowed is not None:
        words = f'"{program}" command not permitted by {name} transport'
        raise Stuck(Trouble(words, fails=True))


def _environment(transport: Driver, env: Env, path: str) -> Asking[list[tuple[str, str]]]:
    """Exim's list of variables, and what the option adds. Raises Stuck."""
    values, local = env.variables, env.variables.get("local_part", "")
    prefix, suffix = values.get("local_part_prefix", ""), values.get("local_part_suffix", "")
    domain = values.get("domain", "")
    found = [
        ("LOCAL_PART", local),
        ("LOGNAME", local),
        ("USER", local),
        ("LOCAL_PART_PREFIX", prefix),
        ("LOCAL_PART_SUFFIX", suffix),
        ("DOMAIN", domain),
        ("HOME", values.get("home", "")),
        ("MESSAGE_ID", values.get("message_exim_id", "")),
        ("PATH", path),
        ("RECIPIENT", f"{prefix}{local}{suffix}@{domain}"),
        ("QUALIFY_DOMAIN", values.get("qualify_domain", "")),
        ("SENDER", values.get("sender_address", "")),
        ("SHELL", "/bin/sh"),
    ]
    if values.get("host"):
        found.append(("HOST", values["host"]))
    if transport.options.has("environment"):
        for item in split_list((yield from _value(transport, "environment", env))):
            name, _, value = item.partition("=")
            found.append((name, value))
    if len(found) > MOST_SETTINGS:
        raise Stuck(Trouble(f"too many environment settings for {transport.name} transport", 7))
    return found


def _value(transport: Driver, name: str, env: Env) -> Asking[str]:
    """An option, expanded. Raises Stuck."""
    text = transport.options.expansion(name)
    assert isinstance(text, Compiled), name
    try:
        value = yield from expanded(text, env)
        why = '"fail" requested'
    except Stuck as stuck:
        value, why = None, stuck.trouble.words
    if value is None:
        words = f'failed to expand string "{text.text}" for {transport.name} transport: {why}'
        raise Stuck(Trouble(words))
    return str(value)


# --- the end ----------------------------------------------------------------------------------------


def not_found(plan: PipePlan) -> Trouble:
    """The program is nowhere on the path."""
    words = f'"{plan.words[0]}" command not found for {plan.name} transport'
    return Trouble(words, fails=True)


def verdict(plan: PipePlan, ended: Ended) -> Trouble | None:
    """What it means that the program ended so; None: it has the message."""
    before = " (preceded by timeout while writing to pipe)" if ended.broke else ""
    status = ended.status
    if status is None:
        words = f"pipe delivery process timed out{before}"
        return Trouble(words, fails=not plan.defers_timeout, told=TOLD)
    if status == 0:
        if ended.broke:
            return Trouble("timeout while writing to pipe", fails=not plan.defers_timeout, told=TOLD)
        return None
    if status < 0:
        signal = f"{-status} ({_SIGNALS.get(-status, 'unrecognized signal number')})"
        words = f'Child process of {plan.name} transport (running command "{plan.command}") '
        words += f"was terminated by signal {signal}{before}"
        if plan.freezes_signal:
            return Trouble(words, freezes=True, told=TOLD)
        return None if plan.ignores_status else Trouble(words, fails=True, told=TOLD)
    if plan.freezes_exec and status == NO_EXEC:
        return Trouble(f'pipe process failed to exec "{plan.command}"{before}', freezes=True, told=TOLD)
    if plan.ignores_status:
        return None
    return Trouble(_failure(plan, status) + before, fails=not _is_temporary(plan, status), told=TOLD)


def _is_temporary(plan: PipePlan, status: int) -> bool:
    if plan.temporary.startswith("*"):
        return True
    return status in [int(item) for item in plan.temporary.split(":") if item.strip().isdecimal()]


def _failure(plan: PipePlan, status: int) -> str:
    meaning = f" (could mean {_STATUSES[status]})" if status in _STATUSES else ""
    if status > 128:
        signal = _SIGNALS.get(status - 128, f"Unknown signal {status - 128}")
        meaning = f" (could mean shell command ended by signal {status - 128} ({signal}))"
    word = plan.words[0]  # Exim 4.96 shows no more of them
    shown = f'"{word}"' if " " in word or "\t" in word else word
    return f"Child process of {plan.name} transport returned {status}{meaning} from command: {shown}"
