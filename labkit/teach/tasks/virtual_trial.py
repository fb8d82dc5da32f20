"""Trying out a host that serves two domains: whom it is asked about, where letters end, what goes wrong.

RULES      letters and questions come from a stranger. A letter is looked for in all mailboxes of the host.
READ NEXT  virtual.py, exim_conf_trial.py
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from labkit.lab.all_mailboxes import who_holds
from labkit.lab.host import Host
from labkit.routing import RouteOutcome
from labkit.teach.checks import Verdict, hint
from labkit.teach.tasks.exim_conf_trial import Trial
from labkit.teach.tasks.virtual_zone import domains_of
from labkit.teach.views.probes_talk import hand_in
from labkit.teach.views.truth_table import stranger

# letters put into the names of tables, as other programs or a hasty hand do
_ENDINGS = re.compile(r"\.(?:txt|conf|table|db|domain|zone|aliases|users|virtual)$")


class People:
    """The addresses that a trial asks about."""

    def __init__(self, trial: Trial) -> None:
        self.domain, self.shop = domains_of(trial.world)
        self.ann, self.ben, self.info, self.postmaster, self.nobody, self.stray_clerk = (
            f"{name}@{self.domain}" for name in ("ann", "ben", "info", "postmaster", "zoe", "clerk")
        )
        self.shop_ann, self.clerk, self.shop_postmaster, self.shop_nobody, self.shop_ben, self.shop_info = (
            f"{name}@{self.shop}" for name in ("ann", "clerk", "postmaster", "zoe", "ben", "info")
        )
        self.nowhere, self.deep = f"ann@nowhere.{self.domain}", f"ann@a.{self.shop}"
        self.evil = f"ann@evil{self.domain}"
        self.foreign = f"ann@{stranger(trial.world).owner.partition('@')[2]}"
        self.bob = trial.world.partner_laptop.owner

    @property
    def asked(self) -> list[str]:
        return ["postmaster", *(value for value in vars(self).values() if "@" in value)]


async def try_first(trial: Trial) -> None:
    """What a stranger hears before the host reads its file again."""
    people = People(trial)
    await trial.ask("stranger", stranger(trial.world), people.asked)


async def try_people(trial: Trial) -> None:
    people = People(trial)
    await trial.ask("stranger", stranger(trial.world), people.asked)
    for each in (people.nobody, people.shop_nobody):
        if trial.takes("stranger", each):
            trial.routes[each] = await trial.host.route(each)


async def send_letters(trial: Trial, recipients: Sequence[str]) -> None:
    """A letter to each who is taken. Nothing is sent through a host that would relay it."""
    if trial.takes("stranger", People(trial).bob):
        return
    someone = stranger(trial.world)
    for each in recipients:
        if trial.takes("stranger", each):
            trial.letters[each] = someone.compose(f"<{each}>", "A letter of the check", "Does this arrive?\n")
            await hand_in(trial.host, someone, each, trial.letters[each])
    if trial.host.queue:
        await trial.host.run_queue(forced=True)


def falters(trial: Trial, *recipients: str) -> bool:
    """Whether one of them was put off, or the host broke off the conversation."""
    return any(not trial.said[("stranger", each)].startswith(("2", "5")) for each in recipients)


def held_by(trial: Trial, recipient: str) -> list[str]:
    """The mailboxes of the host in which the letter to that recipient lies."""
    return who_holds(trial.host, trial.letters[recipient]) if recipient in trial.letters else []


def routed(trial: Trial, recipient: str) -> bool:
    """Whether the routers know a way for it."""
    return any(route.outcome is RouteOutcome.ROUTED for route in trial.routes[recipient].routes)


def too_much(trial: Trial, people: People) -> Verdict | None:
    """Who gets in that should not: through the host, or under a name that only looks like the domain."""
    if trial.takes("stranger", people.bob):
        return hint(
            f"A stranger may send mail for {people.bob} through your host: an open relay. Which line makes "
            "every domain yours, or lets everybody in?",
            trial.heard("stranger", people.bob),
        )
    if trial.takes("stranger", people.foreign):
        return hint(
            f"{people.foreign} is taken, and that domain is somebody else's: every domain there is counts as yours. "
            "A star alone matches all names.",
            trial.heard("stranger", people.foreign),
        )
    if trial.takes("stranger", people.evil):
        return hint(
            f"{people.evil} is taken, and anybody can register that domain. A star without a dot behind it "
            "only compares how the name ends.",
            trial.heard("stranger", people.evil),
        )
    return None


def not_reloaded(trial: Trial) -> Verdict | None:
    """The check has made the host read its file again, and now it answers otherwise."""
    for key, before in trial.before.items():
        if trial.said.get(key) not in (None, before):
            return hint(
                f"Before this check, your host answered to RCPT TO:<{key[1]}>: {before}. It worked by a "
                "former exim.conf: after a change it must be told, by kill -HUP (await "
                "world.mine.reload()). The check has just done that; run it again.",
                trial.heard(*key),
            )
    return None


def says_tainted(trial: Trial) -> str:
    """Words for a file name that a stranger chose; nothing if that is not the trouble."""
    names = re.findall(r"/\$\{?(domain|local_part)\b(?!_)", trial.host.configuration)
    if not names and "Tainted" not in trial.host.log()[trial.logged :]:
        return ""
    variable = f"${names[0]}" if names else "A variable in it"
    return (
        f"Your host does not open a file whose name a stranger chose. {variable} is what stood in RCPT TO, "
        "and so it is tainted. Which variable holds the same name as your own disk has it?"
    )


def misnamed_tables(host: Host, domain: str) -> str:
    """Files that are meant as the table of that domain and are not called so."""
    wrong = [
        path
        for path in sorted(host.path("/etc").rglob("*"))
        if path.is_file() and path.name != domain and _meant(path.name) in (domain, domain.partition(".")[0])
    ]
    return " and ".join(in_words(host, path) for path in wrong)


def _meant(name: str) -> str:
    return _ENDINGS.sub("", name.lower().strip(". @"))


def stays_away(trial: Trial, people: People) -> str:
    """Words for tables that were made on the partner's host; nothing if there are none."""
    theirs, mine = trial.world.partner, trial.host
    astray = [path for path in theirs.path("/etc").rglob("*") if people.shop in path.name.lower()]
    if not astray:
        return ""
    return (
        f"There is a table {in_words(theirs, astray[0])} on {theirs.name}, your partner's host. Yours is "
        f"{mine.name}: world.mine."
    )


def in_words(host: Host, path: Path) -> str:
    """The name of a file as the host's administrator sees it."""
    return f"'/{path.relative_to(host.folder).as_posix()}'"
