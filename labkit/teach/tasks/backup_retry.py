"""Two exercises of notebook 03b about waiting: retry rules that do what was asked for, and a day read off a
           queue.

WHAT       `await probe_retry(rules)` gives a host of a lab of its own that retry section, takes both
           destinations down for six days, and sends one letter to each; `retry rules` judges when they were
           tried and given up. `bad day` judges what somebody read off the queue of the scenario a_bad_day.
DECIDES    by what the host did, not by the text: any rules that come to the same are right.
STANDARDS  RFC 5321 §4.5.4.1
READ NEXT  labkit/queue/schedule.py
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import pairwise

from labkit.eximconf.place import ConfigurationError
from labkit.lab.lives import Stay, is_only_a_look, life_of
from labkit.lab.world import World
from labkit.mail.dates import in_words
from labkit.mail.event import EventKind, MailEvent
from labkit.teach.checks import Seen, Verdict, done, exercise, hint, todo
from labkit.teach.views.ways import write

HOUR = timedelta(hours=1)
LATE = timedelta(minutes=20)  # a queue run every 15 minutes makes everything later by so much at most
USUAL = "*  *  F,2h,15m; G,16h,1h,1.5; F,4d,6h"
BOB, CODES = "bob@st2.sne21.test", "carol@bigmail.test"

# -- retry rules ---------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Tried:
    """What became of one letter: spans since it came. `given_up` None: it still waits after six days."""

    recipient: str
    times: tuple[timedelta, ...]
    given_up: timedelta | None
    events: tuple[MailEvent, ...]

    @property
    def early(self) -> int:
        """Tries in the first hour, the first one included."""
        return sum(at < HOUR for at in self.times)

    def gaps(self, begin: timedelta) -> list[tuple[timedelta, timedelta]]:
        """Each wait that began at that age or later, and how long it was; without the one that ends it."""
        times = [at for at in self.times if self.given_up is None or at < self.given_up]
        return [(one, other - one) for one, other in pairwise(times) if one >= begin]


@dataclass(frozen=True, slots=True)
class Probed:
    """`mail` and `codes` are the two letters; `refusal`: why the host does not take the section."""

    rules: str
    mail: Tried | None = None
    codes: Tried | None = None
    refusal: str = ""


async def probe_retry(rules: str) -> Probed:
    """Let a host of a lab of its own work by these retry rules, for six days in which nobody answers it."""
    async with World.open("backup_mx", alongside=True) as world:
        host = world.mine
        before, _, _ = host.configuration.partition("begin retry")
        host.write_configuration(f"{before}begin retry\n{rules.strip()}\n")
        try:
            await host.reload()
        except ConfigurationError as problem:
            return Probed(rules, refusal=f"{problem.problem} ({problem.remedy})")
        for other in (world.partner, world.host("mx.bigmail")):
            await other.stop()
        ids = [await write(host, f"ann@{_domain(world)}", to, f"for {to}") for to in (BOB, CODES)]
        await world.advance(days=6)
        mail, codes = (
            _tried(life_of(world.journal, each).stays[0], to) for each, to in zip(ids, (BOB, CODES))
        )
        return Probed(rules, mail, codes)


def _domain(world: World) -> str:
    return world.laptop.owner.partition("@")[2]


def _tried(stay: Stay, recipient: str) -> Tried:
    times = tuple(sorted({event.at - stay.began for event in stay.tries}))
    failed = stay.of(EventKind.FAILED)
    given_up = failed[-1].at - stay.began if failed else None
    return Tried(recipient, times, given_up, stay.events)


@exercise("retry rules", "Retry rules that do what was asked for")
def retry_rules(probed: Probed) -> Verdict:
    """Judge what the host did."""
    if not isinstance(probed, Probed):
        return todo('Let a host work by your rules: check("retry rules", await probe_retry(my_rules)).')
    if probed.refusal:
        return hint(f"The host does not take these rules: {probed.refusal}.")
    assert probed.mail is not None
    assert probed.codes is not None
    if probed.rules.split() == USUAL.split():
        return todo("These are the rules that the host had before. Write your own.")
    return _at_once(probed) or _for_mail(probed.mail) or _for_codes(probed.codes) or _both(probed)


def _at_once(probed: Probed) -> Verdict | None:
    for tried in (probed.mail, probed.codes):
        if tried is not None and tried.given_up == timedelta():
            return hint(
                f"The letter to {tried.recipient} was given up in the very second it came: no rule is for "
                "it. An address without a rule is never tried again.",
                *_last(tried),
            )
    return None


def _for_mail(tried: Tried) -> Verdict | None:
    """Mail as RFC 5321 wants it."""
    if tried.early < 2:
        return hint(
            f"To {tried.recipient}: {tried.early} try in the first hour, and at least two are asked for. "
            "The first step of the rule decides that.",
            _seen(tried),
        )
    if tried.early > 4:
        return hint(
            f"To {tried.recipient}: {tried.early} tries in the first hour; four are the most. Somebody who "
            "is down is not helped by your calls.",
            _seen(tried),
        )
    gaps = tried.gaps(2 * HOUR)
    if tried.given_up is not None and tried.given_up <= 4 * 24 * HOUR:
        return hint(
            f"The letter to {tried.recipient} is given up after {in_words(tried.given_up)}. A host may be "
            "down over a long weekend: more than four days. Which number in a step says how long it lasts?",
            *_last(tried),
        )
    if tried.given_up is None or tried.given_up > 5 * 24 * HOUR + HOUR:
        return hint(
            f"The letter to {tried.recipient} still waits after five days. Its sender believes for all "
            "that time that it has arrived.",
            _seen(tried),
        )
    if shortest := [(at, gap) for at, gap in gaps if gap < 2 * HOUR]:
        at, gap = shortest[0]
        return hint(
            f"At the age of {in_words(at)} the letter to {tried.recipient} waits only {in_words(gap)} for "
            "its next try. After two hours it is to be two hours at least: until when does the quick step "
            "last?",
            _seen(tried),
        )
    if longest := [(at, gap) for at, gap in gaps if gap > 3 * HOUR + LATE]:
        at, gap = longest[0]
        return hint(
            f"At the age of {in_words(at)} the letter to {tried.recipient} waits {in_words(gap)} for its "
            "next try; three hours are the most. A step G makes each wait longer than the one before.",
            _seen(tried),
        )
    return None


def _for_codes(tried: Tried) -> Verdict | None:
    """One-time codes: nobody wants them after an hour or two."""
    if tried.given_up is None or tried.given_up > 24 * HOUR:
        return hint(
            f"The code for {tried.recipient} is tried for days, as all other mail: the first rule that "
            "fits is used, and * fits everybody. Which one stands above?",
            _seen(tried),
        )
    if tried.given_up > 2 * HOUR + LATE:
        return hint(
            f"The code for {tried.recipient} is given up after {in_words(tried.given_up)}; it should be "
            "two hours at most, so that the person can ask for another one.",
            *_last(tried),
        )
    if tried.given_up < HOUR:
        return hint(
            f"The code for {tried.recipient} is given up after {in_words(tried.given_up)} already; one "
            "hour is asked for.",
            *_last(tried),
        )
    if tried.early < 4:
        return hint(
            f"The code for {tried.recipient} is tried {tried.early} times in its first hour. It is urgent: "
            "four times, which is all that queue runs every 15 minutes allow.",
            _seen(tried),
        )
    return None


def _both(probed: Probed) -> Verdict:
    assert probed.mail is not None
    assert probed.codes is not None
    return done(
        "The host does what was asked for, for both kinds of mail.",
        [_seen(probed.mail), *_last(probed.mail), _seen(probed.codes), *_last(probed.codes)],
    )


def _seen(tried: Tried) -> Seen:
    shown = ", ".join(in_words(at) for at in tried.times[1:5])
    more = f" ... {len(tried.times)} tries in all" if len(tried.times) > 5 else ""
    came = tried.events[0]
    return Seen(
        came.at, came.host, f"{tried.recipient}: tried at once" + (f", after {shown}{more}" if shown else "")
    )


def _last(tried: Tried) -> list[MailEvent]:
    return [event for event in tried.events if event.kind is EventKind.FAILED][-1:]


# -- a bad day -----------------------------------------------------------------------------------------------

ASKED = ("destination", "down since", "arrived at", "own network")
_CLOCK = re.compile(r"^(\d{1,2})[:.h]?(\d{2})?$")
NEAR = timedelta(minutes=31)


@exercise("bad day", "What happened to mx2, read off its queue")
def bad_day(answers: Mapping[str, object]) -> Verdict:
    """Compare what somebody read with what the host noted."""
    world = answers.get("world") if isinstance(answers, Mapping) else None
    if not isinstance(world, World):
        return todo('Put the world itself into the answers: {"world": day, ...}.')
    given = {name: str(answers.get(name) or "").strip().lower() for name in ASKED}
    if not any(given.values()):
        return todo(f"Look at the picture or its table, and fill in: {', '.join(ASKED)}.")
    if empty := [name for name in ASKED if not given[name]]:
        return hint(f"There is no answer yet for: {', '.join(empty)}.")
    mine = world.scenario.hosts[0].name  # the lab may be over by now; its journal stays
    tries = [e for e in world.journal.where(EventKind.DEFERRED, host=mine) if not is_only_a_look(e)]
    alone = [event for event in tries if "lookup" not in (event.text or "")]
    own = [event for event in tries if "lookup" in (event.text or "")]
    if not alone or not own:
        return todo("This day is not over yet: await day.advance(hours=10), in a fresh world.")
    delivered = [
        event
        for event in world.journal.where(EventKind.DELIVERED, host=mine)
        if _domain_of(event) == _domain_of(alone[0]) and event.at > alone[-1].at
    ]
    return (
        _which(given["destination"], alone, world)
        or _since(given["down since"], alone)
        or _arrived(given["arrived at"], alone, delivered)
        or _own(given["own network"], own, alone)
        or done(
            "You have read it all off the queue: one destination alone is its own trouble; all of them at "
            "once are yours.",
            [alone[0], delivered[0], own[0], own[-1]],
        )
    )


def _domain_of(event: MailEvent) -> str:
    return (event.recipient or "").rpartition("@")[2]


def _which(given: str, alone: Sequence[MailEvent], world: World) -> Verdict | None:
    truth = _domain_of(alone[0])
    given = given.strip("<>.").rpartition("@")[2]
    if given == truth:
        return None
    if given in {host.name for host in world.scenario.hosts}:
        return hint(f"{given} is a host. The queue is told by destination: the domain behind the @.")
    return hint(
        f"{given} was not the one that was down by itself: in the morning, which column of the table is "
        "not 0, when the two others are?"
    )


def _since(given: str, alone: Sequence[MailEvent]) -> Verdict | None:
    truth = alone[0].at
    at = _clock(given, truth)
    if at is None:
        return hint(f"down since: {given!r} is no time; write it like 10:30.")
    if abs(at - truth) <= NEAR:
        return None
    if at < truth:
        return hint(
            f"At {given} no letter to {_domain_of(alone[0])} waited yet. When does the first one begin to?"
        )
    return hint(
        f"At {given} letters had been waiting for a while already: look for the beginning, not for the "
        "longest queue."
    )


def _arrived(given: str, alone: Sequence[MailEvent], delivered: Sequence[MailEvent]) -> Verdict | None:
    truth = delivered[0].at
    at = _clock(given, truth)
    if at is None:
        return hint(f"arrived at: {given!r} is no time; write it like 10:30.")
    if abs(at - truth) <= timedelta(minutes=16):
        return None
    if at < truth:
        return hint(
            f"At {given} the letters still waited. Perhaps the host was back; but they leave when the "
            "retry time is over and a queue run comes by. When does the column go down to 0?",
            alone[-1],
        )
    return hint(
        f"At {given} none of those letters waited any more. When does the column go down to 0? The table has "
        "full hours only; the log of your host has every minute."
    )


def _own(given: str, own: Sequence[MailEvent], alone: Sequence[MailEvent]) -> Verdict | None:
    at = _clock(given, own[0].at)
    if at is None:
        return hint(f"own network: {given!r} is no time; write any at which it was gone, like 10:30.")
    if own[0].at - timedelta(minutes=10) <= at <= own[-1].at + timedelta(minutes=15):
        return None
    if alone[0].at <= at <= alone[-1].at:
        return hint(f"At {given} two destinations got their mail: so your own network was well.")
    return hint(f"At {given} mail went out. When do letters to all three destinations wait?")


def _clock(text: str, day: datetime) -> datetime | None:
    found = _CLOCK.match(text.split()[-1] if text.split() else "")
    if found is None or int(found[1]) > 23 or int(found[2] or 0) > 59:
        return None
    return day.replace(hour=int(found[1]), minute=int(found[2] or 0), second=0, microsecond=0)
