"""The third exercise of notebook 05: a catch-all in the shop, and only there.

DECIDES    which mistake is told first: both domains, the wrong one, a star that is not read, or takes all.
READ NEXT  virtual_trial.py, virtual_truth.py
"""

from __future__ import annotations

from collections.abc import Iterator

from labkit.teach.checks import Seen, Verdict, done, exercise, hint, todo
from labkit.teach.tasks.exim_conf_trial import STUMBLES, Trial, in_the_way, tries
from labkit.teach.tasks.virtual_trial import (
    People,
    falters,
    held_by,
    not_reloaded,
    routed,
    says_tainted,
    send_letters,
    too_much,
    try_first,
    try_people,
)

NAME = "catch-all"


@tries(NAME, try_first)
async def _try(trial: Trial) -> None:
    await try_people(trial)
    people = People(trial)
    await send_letters(
        trial, (people.ann, people.shop_ann, people.clerk, people.shop_nobody, people.shop_postmaster)
    )


@exercise(NAME, "The shop takes every name, and your first domain only those it has")
def catch_all(trial: Trial) -> Verdict:
    """Whoever writes to an unknown name in the shop reaches the clerk; Ann there still has her own mail."""
    if (stop := in_the_way(trial, NAME)) is not None:
        return stop
    return next(filter(None, _judgements(trial)))


def _judgements(trial: Trial) -> Iterator[Verdict | None]:
    people = People(trial)
    yield _stumbles(trial, people)
    yield too_much(trial, people)
    yield _served(trial, people)
    yield _where(trial, people)
    yield not_reloaded(trial)
    yield _whose(trial, people)
    yield done(
        f"Nothing that is sent to {people.shop} gets lost, and nothing is refused: not the typing mistakes, "
        f"and not the spam. In {people.domain} a wrong name is still told at once.",
        [
            *(Seen(trial.world.now(), name, f"the letter for {each}") for each, name in _lie(trial, people)),
            trial.heard("stranger", people.nobody),
        ],
    )


def _lie(trial: Trial, people: People) -> list[tuple[str, str]]:
    return [(each, name) for each in (people.shop_nobody, people.shop_ann) for name in held_by(trial, each)]


def _stumbles(trial: Trial, people: People) -> Verdict | None:
    asked = people.ann, people.shop_ann, people.shop_nobody
    if not falters(trial, *asked):
        return None
    return hint(
        says_tainted(trial) or f"{STUMBLES} The last lines of the log say more.",
        trial.heard("stranger", asked[1]),
    )


def _served(trial: Trial, people: People) -> Verdict | None:
    for each in (people.ann, people.shop_ann):
        if not trial.takes("stranger", each):
            return hint(
                f"{each} gets: {trial.said['stranger', each]}. Both domains must be served before one of "
                "them takes everything. Begin with the solution above.",
                trial.heard("stranger", each),
            )
    for each in (people.nowhere, people.deep):
        if trial.takes("stranger", each):
            return hint(
                f"{each} is taken, too. A catch-all is for all names before the @; this one takes all "
                "domains as well.",
                trial.heard("stranger", each),
            )
    return None


def _where(trial: Trial, people: People) -> Verdict | None:
    """Which of the domains takes names that nobody has?"""
    own, shop = (trial.takes("stranger", each) for each in (people.nobody, people.shop_nobody))
    for each in (people.nobody, people.shop_nobody):
        if trial.takes("stranger", each) and not routed(trial, each):
            return hint(
                f"{each} is taken at RCPT, but no router knows a way for it: that is no catch-all but a "
                "missing 'verify = recipient', and it makes bounces.",
                trial.heard("stranger", each),
            )
    if own and shop:
        return hint(
            f"Now both domains take every name. In {people.domain} somebody who writes to zoe by mistake "
            "must hear that there is no zoe. The star belongs into one table only.",
            trial.heard("stranger", people.nobody),
        )
    if own:
        return hint(
            f"The catch-all is in {people.domain}. It belongs into the shop.",
            trial.heard("stranger", people.nobody),
        )
    if shop:
        return None
    if stays := not_reloaded(trial):
        return stays
    if _has_star(trial, people):
        return hint(
            "There is a line with a star in the shop's table, but a stranger's unknown name is still "
            "refused. To lsearch the star is a name like any other, which nobody has; one of its relatives "
            "looks for a star when it has found nothing else.",
            trial.heard("stranger", people.shop_nobody),
        )
    return todo(
        f"A stranger who writes to {people.shop_nobody} hears: {trial.said['stranger', people.shop_nobody]}. "
        "Let the shop take every name."
    )


def _has_star(trial: Trial, people: People) -> bool:
    tables = [path for path in trial.host.path("/etc").rglob(people.shop) if path.is_file()]
    lines = [
        line for path in tables for line in path.read_text(encoding="utf-8", errors="replace").splitlines()
    ]
    return any(line.lstrip("'\" ").startswith("*") for line in lines)


def _whose(trial: Trial, people: People) -> Verdict | None:
    caught, clerks = held_by(trial, people.shop_nobody), set(held_by(trial, people.clerk))
    show = [Seen(trial.world.now(), name, f"the letter for {each}") for each, name in _lie(trial, people)]
    if set(held_by(trial, people.shop_ann)) & clerks:
        return hint(
            "The clerk now gets Ann's mail as well. A catch-all comes last: who is named in the table "
            "keeps the mail.",
            *show,
        )
    if not caught:
        return hint(
            f"{people.shop_nobody} is taken, but the letter is in no mailbox. The last lines of the log say "
            "why.",
            trial.heard("stranger", people.shop_nobody),
        )
    if not set(caught) & clerks:
        return hint(
            f"The letter for {people.shop_nobody} lies in {' and '.join(caught)}. Let the clerk read what "
            "is for nobody.",
            *show,
        )
    if not set(held_by(trial, people.shop_postmaster)) & clerks:
        return hint(
            "The clerk does not get postmaster's mail any more.",
            trial.heard("stranger", people.shop_postmaster),
        )
    return None
