"""The second exercise of notebook 05: two domains on one host, and each has people of its own.

DECIDES    which mistake is told first: who may relay, which domains are served, whose mailbox, who is unknown.
           How the tables are made is nobody's business: dsearch and lsearch, one file, a database, a router for
           each domain. Only to find better words does a hint look at names of files, the log and the file itself.
STANDARDS  RFC 5321 §4.5.1 (postmaster in every domain), §3.6.1 (relay); Exim specification, "Tainted data"
READ NEXT  virtual_trial.py, virtual_catch_all.py
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from labkit.teach.checks import Seen, Verdict, done, exercise, hint, todo
from labkit.teach.tasks.exim_conf_trial import STUMBLES, Trial, examine, in_the_way, tries
from labkit.teach.tasks.virtual_trial import (
    People,
    falters,
    held_by,
    in_words,
    misnamed_tables,
    not_reloaded,
    routed,
    says_tainted,
    send_letters,
    stays_away,
    too_much,
    try_first,
    try_people,
)

__all__ = ["examine"]

NAME = "two domains"


@tries(NAME, try_first)
async def _try(trial: Trial) -> None:
    await try_people(trial)
    people = People(trial)
    letters = (
        people.ann,
        people.shop_ann,
        people.clerk,
        people.shop_postmaster,
        people.ben,
        people.info,
        people.postmaster,
    )
    await send_letters(trial, letters)


@exercise(NAME, "Two domains on one host: each has its own people, and nobody else gets in")
def two_domains(trial: Trial) -> Verdict:
    """The old domain as it was; a second Ann, a clerk and a postmaster in the shop; all others refused."""
    if (stop := in_the_way(trial, NAME)) is not None:
        return stop
    return next(filter(None, _judgements(trial)))


def _judgements(trial: Trial) -> Iterator[Verdict | None]:
    people = People(trial)
    yield _stumbles(trial, people)
    yield too_much(trial, people)
    yield _domains(trial, people)
    yield not_reloaded(trial)
    yield _former_people(trial, people)
    yield _any_name_below(trial, people)
    yield _separate(trial, people)
    yield _unknown(trial, people)
    yield _mixed(trial, people)
    yield _postmasters(trial, people)
    yield _done(trial, people)


def _stumbles(trial: Trial, people: People) -> Verdict | None:
    asked = people.ann, people.shop_ann
    if not falters(trial, *asked):
        return None
    show = [trial.heard("stranger", each) for each in asked]
    if words := says_tainted(trial):
        return hint(words, *show)
    if re.search(r"(?m)^\s*domainlist\b.*[=:]\s*\*\s*(?::|$)", trial.host.configuration):
        return hint(
            "A list of domains has a star as an item, so every domain seems to be yours, and of course most have no "
            "table: your host stumbles over that.",
            *show,
        )
    if "No such file or directory" in trial.host.log()[trial.logged :]:
        return hint(
            "Your host says: not now, because a file that your configuration names is missing. The end of "
            "the log has its name. Is it there, and is it spelt the same?",
            *show,
        )
    return hint(f"{STUMBLES} The last lines of the log say more.", *show)


def _domains(trial: Trial, people: People) -> Verdict | None:
    """Both domains are served?"""
    show = trial.heard("stranger", people.ann), trial.heard("stranger", people.shop_ann)
    if trial.takes("stranger", people.ann, people.shop_ann):
        return None
    if trial.takes("stranger", people.ann):
        return _no_shop(trial, people)
    if trial.takes("stranger", people.shop_ann):
        if trial.takes("stranger", people.deep) or trial.takes("stranger", people.nowhere):
            return hint(
                f"The shop is served, but {people.domain} itself is not any more: a star and a dot want "
                "something before the dot. And a star serves every name below, not only the shop.",
                *show,
            )
        return hint(
            f"The shop is served, but Ann of {people.domain} gets: {trial.said['stranger', people.ann]}. "
            "Your first domain needs its table, too, with everybody who was there before.",
            *show,
        )
    if stays := not_reloaded(trial):
        return stays
    return hint(
        "Now neither domain is served. Does the list name what it should, is the folder of the tables where "
        "the list looks for it, and does each router find its address in them?",
        *show,
    )


def _no_shop(trial: Trial, people: People) -> Verdict:
    heard = trial.heard("stranger", people.shop_ann)
    relay_denied = "relay" in trial.said["stranger", people.shop_ann]
    if misnamed := misnamed_tables(trial.host, people.shop):
        return hint(
            f"There is a file {misnamed}. The name of a table must be the domain to the letter, in small "
            f"letters and without a dot at its end: {people.shop}.",
            heard,
        )
    if astray := stays_away(trial, people):
        return hint(astray, heard)
    if not relay_denied:
        return hint(
            f"{people.shop} counts as yours, but no router knows Ann there. Has its table a line for ann, "
            f"and do the routers look into that table? exim -bt {people.shop_ann}",
            heard,
        )
    tables = [path for path in trial.host.path("/etc").rglob("*") if path.name == people.shop]
    if tables:
        return hint(
            f"There is a table {in_words(trial.host, tables[0])}, but {people.shop} does not count as yours. "
            "Where does local_domains look?",
            heard,
        )
    return todo(
        f"A stranger who writes to {people.shop_ann} hears: {trial.said['stranger', people.shop_ann]}. Give "
        "the shop a table, and let both domains have mailboxes of their own."
    )


def _former_people(trial: Trial, people: People) -> Verdict | None:
    for each in (people.ben, people.info):
        if not trial.takes("stranger", each):
            return hint(
                f"{each} worked before, and now gets: {trial.said['stranger', each]}. Whoever had mail "
                "yesterday must have it today.",
                trial.heard("stranger", each),
            )
    return None


def _any_name_below(trial: Trial, people: People) -> Verdict | None:
    for each in (people.nowhere, people.deep):
        if trial.takes("stranger", each):
            return hint(
                f"Your host also takes {each}. Nobody has made that domain: a star still serves every name "
                f"below {people.domain}. Serve the domains that have a table, and no others.",
                trial.heard("stranger", each),
            )
    return None


def _separate(trial: Trial, people: People) -> Verdict | None:
    """The letters to the two Anns: in which mailboxes?"""
    for each in (people.ann, people.shop_ann):
        if not held_by(trial, each):
            if words := says_tainted(trial):
                return hint(words, trial.heard("stranger", each))
            return hint(
                f"{each} is taken, but the letter is in no mailbox. Does it wait in the queue, or has it "
                "come back as a bounce? The last lines of the log say why.",
                trial.heard("stranger", each),
            )
    shared = set(held_by(trial, people.ann)) & set(held_by(trial, people.shop_ann))
    if shared:
        return hint(
            f"Both letters lie in {shared.pop()}: one mailbox under two names. The two Anns are different "
            "people. What must the name of the mailbox contain, or what must the tables say?",
            *_arrived(trial, people.ann, people.shop_ann),
        )
    return None


def _unknown(trial: Trial, people: People) -> Verdict | None:
    for each in (people.nobody, people.shop_nobody):
        if not trial.takes("stranger", each):
            continue
        if routed(trial, each):
            return hint(
                f"{each} is taken and delivered, and nobody has that name: a catch-all. In this exercise "
                "every unknown name is refused (the catch-all comes next).",
                trial.heard("stranger", each),
            )
        return hint(
            f"{each} is taken at RCPT, although no router knows a way: the sender hears of it by a bounce, "
            "and with a forged sender that is backscatter. Which statement of the ACL asks the routers?",
            trial.heard("stranger", each),
        )
    return None


def _mixed(trial: Trial, people: People) -> Verdict | None:
    """Names of one domain that answer in the other."""
    for each in (people.shop_info, people.shop_ben):
        if trial.takes("stranger", each):
            return hint(
                f"{each} is taken, and the shop has nobody of that name: the names of the old domain "
                "(accounts, or "
                "/etc/aliases) answer for the new one. Which router does not ask for the domain?",
                trial.heard("stranger", each),
            )
    if trial.takes("stranger", people.stray_clerk):
        return hint(
            f"{people.stray_clerk} is taken: the clerk works in the shop only. A router looks into the "
            "shop's table, or for an account, whatever the domain is.",
            trial.heard("stranger", people.stray_clerk),
        )
    return None


def _postmasters(trial: Trial, people: People) -> Verdict | None:
    if not trial.takes("stranger", people.clerk):
        return hint(
            f"{people.clerk} gets: {trial.said['stranger', people.clerk]}. The shop needs a clerk.",
            trial.heard("stranger", people.clerk),
        )
    for each in (people.shop_postmaster, people.postmaster, "postmaster"):
        if not trial.takes("stranger", each):
            where = (
                "Every domain must take mail for postmaster"
                if "@" in each
                else "Without a domain, too, it must be taken. Exim completes it by qualify_domain"
            )
            return hint(
                f"RCPT TO:<{each}> gets: {trial.said['stranger', each]}. {where} (RFC 5321 §4.5.1).",
                trial.heard("stranger", each),
            )
    if not set(held_by(trial, people.shop_postmaster)) & set(held_by(trial, people.clerk)):
        where_is = " and ".join(held_by(trial, people.shop_postmaster)) or "no mailbox"
        return hint(
            f"The letter for {people.shop_postmaster} lies in {where_is}, and the clerk's are elsewhere. Let "
            "the clerk be the shop's postmaster.",
            *_arrived(trial, people.shop_postmaster, people.clerk),
        )
    if not set(held_by(trial, people.info)) & set(held_by(trial, people.ben)):
        where_is = " and ".join(held_by(trial, people.info)) or "no mailbox"
        return hint(
            f"The letter for {people.info} lies in {where_is}. Before, it came to Ben.",
            *_arrived(trial, people.info, people.ben),
        )
    return None


def _done(trial: Trial, people: People) -> Verdict:
    refused = [trial.heard("stranger", each) for each in (people.shop_nobody, people.bob, people.evil)]
    return done(
        "Two domains, two Anns, and a stranger gets nowhere else.",
        [*_arrived(trial, people.ann, people.shop_ann, people.shop_postmaster), *refused],
    )


def _arrived(trial: Trial, *recipients: str) -> list[Seen]:
    """Where letters lie, as evidence."""
    return [
        Seen(trial.world.now(), name, f"the letter for {recipient}")
        for recipient in recipients
        for name in held_by(trial, recipient)
    ]
