"""The first exercise of notebook 07: a block list in the ACL that cannot be turned against its user.

WHAT       `await probe_blocklist(world)` lets two listed machines write, one of which the student does not know, and
           one that is not listed; lists the student's own laptop; writes to postmaster; lets the list die in both
           ways. `blocklist` judges what was heard.
DECIDES    which mistake is told first: nobody is refused; everybody is; the form of the refusal; then what
           goes wrong on the day on which the list goes wrong.
STANDARDS  RFC 5782 §2.1, §5 (test entries), RFC 5321 §4.5.1 (postmaster), RFC 6471 §3.4 (lists that end)
READ NEXT  spam_greylist.py
"""

from __future__ import annotations

from collections.abc import Iterator

from labkit.lab.blocklist import Blocklist, entry
from labkit.lab.world import World
from labkit.teach.checks import Verdict, done, exercise, hint
from labkit.teach.tasks.spam_trial import BOT, FIRM, HOME, Trial, in_the_way, says, trial_of

NAME = "block list"
REASON, FRESH_REASON = "infected machine", "open proxy, seen this morning"
_LATER = 11  # minutes: longer than any answer of the list is kept
LISTED, HONEST, OWN = (
    "a listed machine writes to ann",
    "a firm writes to ann",
    "your laptop, listed, writes to tom",
)
POSTMASTER, RELAY = (
    "the listed machine writes to postmaster",
    "the listed machine writes to postmaster elsewhere",
)
FRESH = "a machine that was listed today writes to ann"
DEAD, SILENT = "the firm writes while the list lists everybody", "the firm writes while the list is silent"


async def probe_blocklist(world: World) -> Trial:
    """Try the student's exim.conf in a lab of its own."""
    async with trial_of(world) as trial:
        if not trial.untouched and not trial.refusal:
            await _try(trial)
    return trial


async def _try(trial: Trial) -> None:
    blocklist = Blocklist(
        trial.world, entries=[entry(BOT.address, REASON), entry(HOME.address, FRESH_REASON)]
    )
    blocklist.list(trial.laptop.address, "an address of somebody's home")
    await trial.write(LISTED, BOT, "prize@winner.test", "ann")
    await trial.write(FRESH, HOME, "someone@reading.test", "ann")
    await trial.write(HONEST, FIRM, "bert@bakery.test", "ann")
    await trial.write(OWN, trial.laptop, trial.world.laptop.owner, "tom")
    await trial.write(POSTMASTER, BOT, "prize@winner.test", "postmaster")
    await trial.write(RELAY, BOT, "prize@winner.test", "postmaster@cloudpost.test")
    blocklist.shut_down()
    await trial.world.advance(minutes=_LATER)
    await trial.write(DEAD, FIRM, "bert@bakery.test", "ann")
    blocklist.shut_down(False)
    blocklist.fall_silent()
    await trial.world.advance(minutes=_LATER)
    await trial.write(SILENT, FIRM, "bert@bakery.test", "ann")


@exercise(NAME, "A block list refuses with its reason, and cannot be turned against you")
def blocklist(trial: Trial) -> Verdict:
    """Judge what the probe has heard."""
    if (stop := in_the_way(trial, NAME, "probe_blocklist")) is not None:
        return stop
    return next(filter(None, _judgements(trial)))


def _judgements(trial: Trial) -> Iterator[Verdict | None]:
    yield _first(trial)
    yield _form(trial)
    yield _people(trial)
    yield _bad_days(trial)
    yield done(
        "Who is listed hears why, your own people and postmaster stay reachable, and the day on which the "
        "list dies "
        "will be an ordinary day.",
        trial.seen(LISTED, POSTMASTER, OWN, DEAD, SILENT),
    )


def _first(trial: Trial) -> Verdict | None:
    listed, honest = trial.let_in(LISTED), trial.let_in(HONEST)
    if trial.let_in(RELAY):
        return hint(
            "Your host takes mail for a domain that is not yours: an accept stands before 'relay not "
            "permitted'. "
            "Let postmaster in for your own domains only.",
            *trial.seen(RELAY),
        )
    if listed and not honest:
        return hint(
            "The other way round: who is on the list gets in, and who is not is refused. What does the ! "
            "before a "
            "condition say?",
            *trial.seen(LISTED, HONEST),
        )
    if listed and says(
        trial, r"(?m)^\s*warn\b(?:(?!^\s*(?:deny|defer|drop|accept|require)\b)[\s\S])*dnslists"
    ):
        return hint(
            "The listed machine gets in. Your statement is a warn: it writes something down and goes on. "
            "Which verb "
            "refuses?",
            *trial.seen(LISTED),
        )
    if listed and says(trial, r"(?m)^\s*discard\b"):
        return hint(
            "The listed machine hears 250, and its letter is thrown away: nobody ever learns of it, not even "
            "who is listed by mistake. Which verb says no to the client?",
            *trial.seen(LISTED),
        )
    if listed and says(trial, r"dnslists\s*=[^\n]*\bbl\.test\s*/\s*127\.0\.0\.[12]\b"):
        return hint(
            "The listed machine gets in, on an ordinary day. Your statement asks for a test entry as well, and "
            "is not true then. Of a list that lives: is 127.0.0.1 on it, is 127.0.0.2? And all conditions of a "
            "statement must hold.",
            *trial.seen(LISTED),
        )
    if listed:
        return hint(
            "The listed machine gets in. Is the list asked (the lab's is bl.test), and before the line that "
            "accepts?",
            *trial.seen(LISTED),
        )
    if not honest:
        return hint(
            "A firm that is on no list does not get in: what refuses it has nothing to do with the list.",
            *trial.seen(HONEST),
        )
    return None


def _form(trial: Trial) -> Verdict | None:
    if trial.let_in(FRESH):
        return hint(
            "The bot is refused, and another machine that came on the list this morning gets in. So it is not "
            "the list that decides: your lines name the bot. Tomorrow it has another address; the list will "
            "know.",
            *trial.seen(LISTED, FRESH),
        )
    if trial.heard[LISTED].is_put_off:
        return hint(
            "The listed machine is put off, not refused: an honest host that is listed by mistake would try "
            "for "
            "days before its owner hears of it. Refuse with a 5yz.",
            *trial.seen(LISTED),
        )
    if REASON not in trial.reply(LISTED):
        return hint(
            "Refused, but without the list's reason. Who is listed by mistake must read whom to ask. The "
            "list has a "
            "TXT record for it, and a condition that matched leaves its text in a variable.",
            *trial.seen(LISTED),
        )
    if FRESH_REASON not in trial.reply(FRESH):
        return hint(
            "Each entry of the list has its own reason, and yours is written into the file: another machine "
            "reads why the bot was listed. What the list has said stands in a variable.",
            *trial.seen(LISTED, FRESH),
        )
    return None


def _people(trial: Trial) -> Verdict | None:
    if not trial.let_in(OWN):
        where = (
            "At connection or HELO nobody knows yet who it is, so ask at RCPT. "
            if trial.heard[OWN].phase in ("connect", "helo", "mail")
            else ""
        )
        return hint(
            "Your own laptop stood on the list (addresses of homes often do), and Ann cannot send any more. "
            f"{where}Your own clients come first.",
            *trial.seen(OWN),
        )
    if not trial.let_in(POSTMASTER):
        return hint(
            "Who is listed by mistake cannot even tell you: postmaster refuses him too. RFC 5321 (section "
            "4.5.1) wants "
            "that address reachable. Which statement lets it in before the list is asked?",
            *trial.seen(POSTMASTER),
        )
    return None


def _bad_days(trial: Trial) -> Verdict | None:
    if not trial.let_in(DEAD):
        return hint(
            "The list was given up and answered every question with yes: all your mail was refused. RFC "
            "5782 has an "
            "address that no living list lists. Ask for it as well.",
            *trial.seen(DEAD),
        )
    if not trial.let_in(SILENT):
        how = "put off" if trial.heard[SILENT].is_put_off else "refused"
        return hint(
            f"The list's nameserver was silent, and honest mail was {how}. No answer is no listing: "
            "+include_unknown "
            "and +defer_unknown take it for one.",
            *trial.seen(SILENT),
        )
    return None
