"""The first exercise of notebook 03b: a backup that takes mail for people, and for nobody else.

WHAT       `await probe_backup(world)` tries the backup as strangers do, first while the primary is down, then
           when it is back; `no backscatter` judges what came of that.
DECIDES    by replies to RCPT, mailboxes, and the reports that an innocent got. A list of users, a look-up, a
           callout for those who are not in the list: whatever comes to the same is right.
WHY A DAY  what a callout has learned, it remembers for a day: the trial waits until that is over.
STANDARDS  RFC 5321 §6.2 (do not send reports to forged senders), §4.5.1 (postmaster)
READ NEXT  backup_retry.py
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from labkit.lab.host import Host
from labkit.lab.laptop import Laptop
from labkit.lab.world import World
from labkit.mail.event import EventKind, MailEvent
from labkit.teach.checks import Seen, Verdict, done, exercise, hint, todo
from labkit.teach.views.probes_talk import ask_whom
from labkit.teach.views.ways import write

PEOPLE = ("ann", "dave", "postmaster")
NOBODY = ("qx7-nobody", "zoe")  # the second one is named in the notebook
DOWN, UP = "while the primary is down", "when the primary is up"
ELSEWHERE = "ann@elsewhere.test"


@dataclass(frozen=True, slots=True)
class Probed:
    """What was found out. `replies` by phase and recipient; `reports` are those that the innocent got."""

    world: World
    replies: Mapping[tuple[str, str], str]
    arrived: MailEvent | None  # the good letter of the trial
    reports: tuple[MailEvent, ...]
    is_changed: bool  # whether the backup's files are not those of the scenario any more

    def reply(self, phase: str, recipient: str) -> str:
        """The first digit decides."""
        return self.replies[phase, recipient].replace("\n", " ")

    def heard(self, phase: str, recipient: str) -> Seen:
        """As evidence."""
        said = f"RCPT TO:<{recipient}> {phase}: {self.reply(phase, recipient)}"
        return Seen(self.world.now(), self.world.partner.name, said)


async def probe_backup(world: World) -> Probed:
    """Try the backup: a day without the primary, then with it. The primary runs afterwards."""
    backup, primary, bigmail = world.partner, world.mine, world.host("mx.bigmail")
    caller = next(laptop for laptop in world.laptops.values() if laptop.role == "mallory")
    domain = domain_of(world)
    if primary.is_running:
        await primary.stop()
    await world.advance(hours=25)
    began, number = world.now(), len(world.journal)
    replies = await _ask(backup, caller, world, DOWN)
    await write(bigmail, "carol@bigmail.test", f"dave@{domain}", f"good letter of {began:%d %H %M}")
    await _forge(backup, caller, domain, number)
    await primary.start()
    await world.advance(hours=3)
    replies |= await _ask(backup, caller, world, UP)
    await _forge(backup, caller, domain, number)
    await world.advance(hours=1)
    since = [event for event in world.journal.facts() if event.number >= number]
    return Probed(world, replies, *_outcome(world, since), _is_changed(backup))


async def _ask(backup: Host, caller: Laptop, world: World, phase: str) -> dict[tuple[str, str], str]:
    asked = _asked(world)
    answers = await ask_whom(backup, caller, asked, "carol@bigmail.test")
    return {(phase, each): reply for each, reply in zip(asked, answers.replies)}


def _asked(world: World) -> list[str]:
    mine, theirs = domain_of(world), world.partner_laptop.owner.partition("@")[2]
    names = [f"{name}@{mine}" for name in (*PEOPLE, *NOBODY)]
    return [*names, ELSEWHERE, world.partner_laptop.owner, f"{NOBODY[0]}@{theirs}"]


async def _forge(backup: Host, caller: Laptop, domain: str, number: int) -> None:
    for name in NOBODY:
        await write(caller, "carol@bigmail.test", f"{name}@{domain}", f"spam {number} to {name}", host=backup)


def _outcome(world: World, since: list[MailEvent]) -> tuple[MailEvent | None, tuple[MailEvent, ...]]:
    """The delivery of the good letter, and the reports that reached the innocent."""
    wanted = f"dave@{domain_of(world)}"
    arrived = [
        event
        for event in since
        if event.kind is EventKind.DELIVERED
        and (event.host, event.recipient, event.remote_host) == (world.mine.name, wanted, None)
    ]
    bigmail = world.host("mx.bigmail").name
    reports = [
        event
        for event in since
        if (event.kind, event.host, event.sender) == (EventKind.RECEIVED, bigmail, "")
    ]
    return (arrived[-1] if arrived else None), tuple(reports)


def _is_changed(backup: Host) -> bool:
    plan = next(plan for plan in backup.world.scenario.hosts if plan.name == backup.name)
    return backup.configuration != plan.configuration


@exercise("no backscatter", "The backup takes mail for the primary's people, and for nobody else")
def no_backscatter(probed: Probed) -> Verdict:
    """Judge what the trial found."""
    if not isinstance(probed, Probed):
        return todo('Let the backup be tried: check("no backscatter", await probe_backup(world)).')
    return (
        _stumbles(probed)
        or _broken(probed)
        or _refuses_people(probed)
        or _takes_nobodies(probed)
        or _arrival(probed)
    )


def _stumbles(probed: Probed) -> Verdict | None:
    """Something cannot be read: that is neither yes nor no."""
    for name in PEOPLE:
        recipient = f"{name}@{domain_of(probed.world)}"
        if _is(probed, UP, recipient, "4"):
            return hint(
                f"Even when the primary is up, the backup answers with a 4 to {recipient}: it stumbles over "
                "something, such as a file that is not there. The list must be on the backup's own disk "
                "(world.partner.path). The end of its log says more: print(world.partner.log()[-500:]).",
                probed.heard(UP, recipient),
            )
    return None


def _broken(probed: Probed) -> Verdict | None:
    """What has nothing to do with the primary's people must go on as before."""
    bob = probed.world.partner_laptop.owner
    nobody = f"{NOBODY[0]}@{bob.partition('@')[2]}"
    if _is(probed, UP, ELSEWHERE, "2"):
        return hint(
            f"Your backup takes mail for {ELSEWHERE}, from a stranger: it is an open relay now. A "
            "statement that accepts a local part, wherever it is, must not stand above the one that looks "
            "at the domain.",
            probed.heard(UP, ELSEWHERE),
        )
    if not _is(probed, UP, bob, "2"):
        return hint(
            f"{bob} does not get mail any more. The backup also serves a domain of its own: for which "
            "domains is your new statement?",
            probed.heard(UP, bob),
        )
    if _is(probed, UP, nobody, "2"):
        return hint(
            f"The backup takes {nobody}, who does not exist in its own domain: it does not verify its own "
            "recipients any more.",
            probed.heard(UP, nobody),
        )
    return None


def _refuses_people(probed: Probed) -> Verdict | None:
    domain = domain_of(probed.world)
    people = [f"{name}@{domain}" for name in PEOPLE]
    if late := [each for each in people if _is(probed, DOWN, each, "4")]:
        return hint(
            "While the primary is down, which is when one needs a backup, yours says 451: the sender has "
            f"to keep the letter to {late[0]}. A callout cannot know more than the host that it calls. "
            "What does the backup know by itself?",
            probed.heard(DOWN, late[0]),
        )
    refused = [each for each in people if _is(probed, DOWN, each, "5")]
    if refused and "relay not permitted" in probed.reply(DOWN, refused[0]):
        return hint(
            f"The backup does not take mail for {domain} at all. relay_to_domains names the domain; whom "
            "it takes within it is another question.",
            probed.heard(DOWN, refused[0]),
        )
    if len(refused) == len(people):
        return hint(
            f"The backup refuses everybody at {domain}. What do you look up, and what stands in the list: "
            "$local_part is what stands before the @; is that in each line, at its beginning?",
            probed.heard(DOWN, refused[0]),
        )
    if refused == [people[-1]]:
        return hint(
            "ann and dave get their mail. postmaster does not, and every domain that takes mail has one "
            "(RFC 5321 §4.5.1): at the primary it is an alias, and no account.",
            probed.heard(DOWN, refused[0]),
        )
    if refused:
        return hint(
            f"The backup refuses {refused[0]}, whom the primary knows. Compare your list with the "
            "primary's accounts and aliases.",
            probed.heard(DOWN, refused[0]),
        )
    return None


def _takes_nobodies(probed: Probed) -> Verdict | None:
    domain = domain_of(probed.world)
    stranger, zoe = (f"{name}@{domain}" for name in NOBODY)
    takes_always = _is(probed, DOWN, stranger, "2") and _is(probed, UP, stranger, "2")
    if takes_always and not probed.is_changed:
        return todo(
            "The backup takes every name. Change the list check_rcpt of world.partner so that mail for "
            "people comes in and mail for nobody does not, be the primary up or down."
        )
    if takes_always:
        return hint(
            f"The backup still takes {stranger}, up or down. Has the daemon read the file (kill -HUP, await "
            "world.partner.reload())? And does a statement above the new one accept it already?",
            probed.heard(UP, stranger),
        )
    if _is(probed, DOWN, stranger, "2"):
        return hint(
            f"When the primary is up, {stranger} is refused. While it is down, the backup takes that name, "
            "too: nobody answers the callout, and defer_ok means to take it then. Spammers do not wait "
            "until you are up.",
            probed.heard(DOWN, stranger),
            *probed.reports[:1],
        )
    if _is(probed, DOWN, zoe, "2"):
        return hint(
            f"The backup refuses inventions, but it takes {zoe}, and the primary knows no zoe: the list "
            "names people who are not there. A list has to be kept the same in two places.",
            probed.heard(DOWN, zoe),
            *probed.reports[:1],
        )
    if probed.reports:
        return hint(
            "Nobody is taken at RCPT who should not be, and still Carol got a report about a letter that "
            "she never wrote.",
            *probed.reports[:2],
        )
    return None


def _arrival(probed: Probed) -> Verdict:
    world, domain = probed.world, domain_of(probed.world)
    if probed.arrived is None:
        return hint(
            "The backup took the good letter for dave while the primary was down, and it did not arrive "
            "in the three hours after. Where is it? world.partner.queue_listing() and the log of the "
            "backup say it."
        )
    return done(
        "Mail for people waits and arrives; mail for nobody is refused while the spammer is still on the "
        "line, so there is nothing to report, and Carol has peace.",
        [
            probed.heard(DOWN, f"ann@{domain}"),
            probed.heard(DOWN, f"{NOBODY[0]}@{domain}"),
            probed.arrived,
            Seen(world.now(), world.host("mx.bigmail").name, "no report came to carol in all this time"),
        ],
    )


def _is(probed: Probed, phase: str, recipient: str, digit: str) -> bool:
    return probed.reply(phase, recipient).startswith(digit)


def domain_of(world: World) -> str:
    """The student's domain."""
    return world.laptop.owner.partition("@")[2]
