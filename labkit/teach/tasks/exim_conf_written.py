"""What the student's exim.conf says, for the mistakes of notebook 00c that no caller can hear.

WHAT       `why_not_let_in`: why a statement about hosts does not help the laptop; `leading_dot`: an item of a list of
           domains that is written as other programs want it.
DECIDES    nothing about right or wrong: the calls have done that (exim_conf.py). This only finds the better words.
STANDARDS  Exim specification, "Domain, host, address, and local part lists", "Access control lists"
READ NEXT  exim_conf.py
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from labkit.eximconf.configuration import AclStatement, Configuration, read
from labkit.eximconf.lists import ListKind, split_list
from labkit.eximconf.reader import ConfigurationError, Setting
from labkit.teach.tasks.exim_conf_trial import Trial

# what may stand beside `hosts` and is no second condition
_HARMLESS = ("hosts", "message", "log_message", "logwrite", "set", "control", "endpass")


def why_not_let_in(trial: Trial) -> str:
    """Why the hosts that the file names do not include the laptop; nothing if it names none."""
    configuration = _written(trial)
    if configuration is None:
        return ""
    named = [name for kind, name in configuration.lists if kind is ListKind.HOST]
    named_acl = {option.name: written.value for option, written in configuration.main.written}
    statements = configuration.acls.get(named_acl.get("acl_smtp_rcpt") or "", ())
    for name in (item for statement in statements for item in _hosts(statement)):
        if name in named:
            return (
                f"'hosts = {name}': without + that is the name of one host, not of your list. "
                f"Write: hosts = +{name}"
            )
    about = [at for at, each in enumerate(statements) if any(_hosts(each))]
    if not about:
        return _unused(configuration, named)
    accepting = next((at for at in about if statements[at].verb == "accept"), None)
    if accepting is not None and (because := _in_its_way(statements, accepting)):
        return because
    return (
        f"Your '{statements[about[0]].verb} hosts' does not know your laptop: {trial.world.laptop.address} is not "
        "among the hosts that it names. See the card."
    )


def _unused(configuration: Configuration, named: list[str]) -> str:
    for name in named:
        if f"+{name}" not in configuration.text:
            return f"There is a hostlist {name}, but no statement asks for it. Add: accept hosts = +{name}"
    return ""


def _in_its_way(statements: Sequence[AclStatement], at: int) -> str:
    """Why an `accept hosts` has no effect even for a host that is in its list."""
    if above := next((each.verb for each in statements[:at] if _refuses(each)), ""):
        return (
            f"Your 'accept hosts' stands below a {above} that has refused the laptop already: statements are asked "
            "from top to bottom, and the first decision counts. Where must it stand?"
        )
    if others := [_name(line) for line in statements[at].lines if _name(line) not in _HARMLESS]:
        return f"Your 'accept hosts' has a second condition, {others[0]}. It accepts only if all its conditions hold."
    return ""


def leading_dot(trial: Trial) -> str:
    """The first item of a list of domains that begins with a dot; nothing if there is none."""
    configuration = _written(trial)
    if configuration is None:
        return ""
    lists = [items.text for (kind, _), items in configuration.lists.items() if kind is ListKind.DOMAIN]
    return next((item for text in lists for item in split_list(text) if item.startswith(".")), "")


def _refuses(statement: AclStatement) -> bool:
    """Whether it may turn the laptop away: it asks about the domain, or it asks nothing."""
    names = [_name(line) for line in statement.lines]
    if statement.verb in ("deny", "drop") and set(names) <= {*_HARMLESS} - {"hosts"}:
        return True
    return statement.verb in ("require", "deny", "drop") and "domains" in names


def _name(line: Setting) -> str:
    """The bare name of a condition or modifier; that of `set acl_m_x` is set."""
    return line.name.lstrip("! ").partition(" ")[0]


def _hosts(statement: AclStatement) -> Iterator[str]:
    """The items of a statement's conditions `hosts`."""
    for line in statement.lines:
        if _name(line) == "hosts" and line.value:
            yield from split_list(line.value)


def _written(trial: Trial) -> Configuration | None:
    """The file, if labkit can read it: a host that runs the real Exim may have one that it cannot."""
    try:
        return read(trial.host.configuration)
    except ConfigurationError:
        return None
