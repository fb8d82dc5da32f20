"""The second exercise of notebook 07: greylisting that lets in who comes again, and no more than that.

WHAT       `await probe_greylist(world)` plays an hour: a firm that comes again, a provider whose retries come
           from other networks, a callout, postmaster, the student's laptop; and those who must not get in at
           once: a bot that takes the provider's names, before and after the provider has passed, or a known
           sender's; a stranger after somebody else has passed; a spammer with a valid SPF record.
DECIDES    which mistake is told first: nobody waits; nobody ever gets in; who waits and should not; who does
           not wait.
STANDARDS  RFC 6647 §5 (the triplet, the windows), §4.2 (callouts); RFC 5321 §4.5.1, §4.5.4.1 (retries)
READ NEXT  spam_bayes.py
"""

from __future__ import annotations

from collections.abc import Iterator

from labkit.lab.world import World
from labkit.teach.checks import Seen, Verdict, done, exercise, hint
from labkit.teach.tasks.spam_trial import (
    BOT,
    FIRM,
    HOME,
    OTHER_FIRM,
    PROVIDER,
    SNOWSHOE,
    Client,
    Trial,
    in_the_way,
    says,
    trial_of,
)

NAME = "greylist"
BERT, GRACE = "bert@bakery.test", "grace@cloudpost.test"
FIRST, HASTY, AGAIN = "a firm writes", "the firm again after 20 s", "the firm again after 17 min"
LATE, NEXT = "the firm again after 6 h", "the firm's next letter"
OWN, POSTMASTER, CALLOUT = (
    "your laptop writes",
    "a stranger writes to postmaster",
    "a callout (null sender) asks",
)
BIG, BIG_AGAIN = "the provider writes", "the provider again after 17 min, other network"
FORGED, BORROWED = (
    "a bot says it is the provider's grace, in HELO and in MAIL FROM",
    "a bot takes the firm's sender, after the firm has passed",
)
FORGED_LATE = "another bot takes grace's address, after grace has passed"
STRANGER = "a bot, after the firm has passed"
VALID = "a spammer with SPF pass writes for the first time"
# what has another value in each connection
_NEW_EACH_TIME = (
    r"\$\{?(?:sender_host_port|message_exim_id|message_id|pid|sender_rcvhost)\b|key\s*=.*\$\{?tod_"
)


async def probe_greylist(world: World) -> Trial:
    """Try the student's exim.conf in a lab of its own. Some hours pass there."""
    async with trial_of(world) as trial:
        if not trial.untouched and not trial.refusal:
            await _try(trial)
    return trial


async def _try(trial: Trial) -> None:
    async def pass_by(**span: float) -> None:
        await trial.world.advance(**span)

    await trial.write(FIRST, FIRM, BERT, "ann")
    await trial.write(BIG, PROVIDER[0], GRACE, "ann")
    await trial.write(OWN, trial.laptop, trial.world.laptop.owner, "tom")
    await trial.write(POSTMASTER, OTHER_FIRM, "info@printer.test", "postmaster")
    await trial.write(CALLOUT, Client("203.0.113.2", trial.world.partner.name), "", "ann")
    await trial.write(FORGED, Client(HOME.address, "out9.cloudpost.test"), GRACE, "tom")
    await trial.write(VALID, SNOWSHOE, "best@deals.test", "ann")
    await pass_by(seconds=20)
    await trial.write(HASTY, FIRM, BERT, "ann")
    await pass_by(minutes=16, seconds=40)
    await trial.write(AGAIN, FIRM, BERT, "ann")
    await trial.write(BIG_AGAIN, PROVIDER[1], GRACE, "ann")
    await pass_by(minutes=20)
    await trial.write(BORROWED, BOT, BERT, "ann")
    await trial.write(FORGED_LATE, BOT, GRACE, "ann")
    await trial.write(STRANGER, Client("198.18.64.1", "mail.watches.test"), "sales@watches.test", "ann")
    await pass_by(hours=5, minutes=23)
    await trial.write(LATE, FIRM, BERT, "ann")
    await trial.write(NEXT, FIRM, BERT, "ann")


@exercise(NAME, "Who comes again is let in, the big provider too, and a bot has to wait")
def greylist(trial: Trial) -> Verdict:
    """Judge what the probe has heard."""
    if (stop := in_the_way(trial, NAME, "probe_greylist")) is not None:
        return stop
    return next(filter(None, _judgements(trial)))


def _judgements(trial: Trial) -> Iterator[Verdict | None]:
    yield _form(trial)
    yield _retry(trial)
    yield _waits_for_nothing(trial)
    yield _gets_in(trial)
    yield done(
        "The firm and the provider came again and were let in; whom you know does not wait; and a borrowed "
        "name or "
        "somebody else's patience helps no bot.",
        trial.seen(FIRST, AGAIN, NEXT, BIG_AGAIN, CALLOUT, BORROWED),
    )


def _form(trial: Trial) -> Verdict | None:
    if why := trial.stumbled(FIRST) or trial.stumbled(AGAIN):
        log = Seen(trial.heard[FIRST].at, trial.host, f"main log: {why}")
        if "unrecognised option" in why:
            return hint(
                "Your host cannot read your `seen`, and says 'Temporary local problem' instead of your message. In "
                "`seen` a slash begins the next option, and your key brings one along (a network written "
                "with /24 has one). The shipped greylist_seen shows how to double it.",
                *trial.seen(FIRST, AGAIN),
                log,
            )
        return hint(
            "Your host stumbles itself: the reply is not your message but 'Temporary local problem'. A text "
            "cannot be worked out (a folder that is not there, SQL with a mistake, a look-up that finds no "
            "row). Its main log says which.",
            *trial.seen(FIRST, AGAIN),
            log,
        )
    if trial.let_in(FIRST) and not trial.let_in(AGAIN):
        return hint(
            "The first attempt gets in, and later ones do not: the condition is the other way round. Look "
            "at the ! "
            "and at the minus sign.",
            *trial.seen(FIRST, NEXT),
        )
    if trial.let_in(FIRST):
        return hint(
            "The firm's first attempt is let in at once, so nobody waits at all. Is the statement a defer, "
            "and does it "
            "stand before the line that accepts?",
            *trial.seen(FIRST),
        )
    if trial.heard[FIRST].reply is None or trial.heard[FIRST].hung_up:
        return hint(
            "The firm heard nothing for five minutes, and hung up: a delay keeps the caller on the line. "
            "Greylisting answers at once, and says: come again.",
            *trial.seen(FIRST),
        )
    if not trial.heard[FIRST].is_put_off:
        return hint(
            "The first attempt hears a 5yz: that is a refusal for ever, and the letter goes back to its "
            "author. "
            "Greylisting says 4yz: come again.",
            *trial.seen(FIRST),
        )
    return None


def _retry(trial: Trial) -> Verdict | None:
    if trial.let_in(HASTY) and says(trial, r"seen\s*=\s*[0-9]"):
        return hint(
            "A second attempt after 20 seconds is let in. `seen = 5m` asks whether it was here within the "
            "last five "
            "minutes; whether it was here longer ago than that is written with a minus sign.",
            *trial.seen(FIRST, HASTY),
        )
    if trial.let_in(HASTY):
        return hint(
            "A second attempt after 20 seconds is let in. Bots try twice in a row; RFC 6647 (section 5) would "
            "count a retry from one minute on, and five are usual.",
            *trial.seen(FIRST, HASTY),
        )
    if trial.let_in(AGAIN):
        return None
    if not trial.heard[AGAIN].is_put_off:
        return hint("Who comes again is refused for ever.", *trial.seen(FIRST, AGAIN))
    if trial.let_in(LATE):
        return hint(
            "After 17 minutes the firm is still put off, after six hours it gets in. Nobody wants to wait "
            "so long for a "
            "password by mail: five minutes do.",
            *trial.seen(AGAIN, LATE),
        )
    if says(trial, _NEW_EACH_TIME):
        return hint(
            "The firm never gets in. In your key stands something that is new in each connection (a port, a "
            "time, an id): "
            "so it is a stranger each time.",
            *trial.seen(FIRST, AGAIN, LATE),
        )
    if says(trial, r"(?i)insert\s+or\s+replace|replace\s+into"):
        return hint(
            "The firm never gets in. Each attempt writes the row anew, and so `first` is always now: a row "
            "that is there "
            "must keep its beginning.",
            *trial.seen(FIRST, AGAIN, LATE),
        )
    return hint(
        "The firm never gets in, whenever it comes. Look at the table (triplets_view) or at your condition: "
        "is the first "
        "visit written down, is it found again, and is the age compared the right way round?",
        *trial.seen(FIRST, AGAIN, LATE),
    )


def _waits_for_nothing(trial: Trial) -> Verdict | None:
    if not trial.let_in(OWN):
        return hint(
            "Your own laptop is put off. A mail program is no server: it shows an error and does not try "
            "again. Ask only "
            "those who come from outside, at RCPT, behind the line for your own clients.",
            *trial.seen(OWN),
        )
    if not trial.let_in(POSTMASTER):
        return hint(
            "A stranger who has trouble with your host writes to postmaster, and waits. Let that recipient "
            "in at once.",
            *trial.seen(POSTMASTER),
        )
    if not trial.let_in(CALLOUT):
        return hint(
            "Your partner's host wanted to know whether ann's address exists before it took her letter: "
            "MAIL FROM:<>, "
            "RCPT, QUIT. It heard 4yz, so ann's letter is put off over there. A null sender is in a hurry.",
            *trial.seen(CALLOUT),
        )
    if not trial.let_in(NEXT):
        return hint(
            "The firm has passed, and its next letter is put off again: it is not remembered who has passed.",
            *trial.seen(AGAIN, LATE, NEXT),
        )
    return None


def _gets_in(trial: Trial) -> Verdict | None:
    if trial.let_in(STRANGER):
        return hint(
            "A bot got in at its first attempt, when the firm had waited before it. Either your key does not "
            "say who writes (what are the three parts of a triplet?), or not every stranger is asked.",
            *trial.seen(AGAIN, STRANGER),
        )
    if trial.let_in(BORROWED):
        return hint(
            "A bot took the firm's address as its sender and got in at once: the client's address (or its "
            "network) is "
            "missing in your key, and anybody can write a MAIL FROM.",
            *trial.seen(AGAIN, BORROWED),
        )
    if trial.let_in(FORGED):
        return hint(
            "A bot said HELO out9.cloudpost.test and MAIL FROM grace@cloudpost.test, and did not wait. "
            "Anybody can write these names; something the provider publishes says whether it is really the "
            "provider.",
            *trial.seen(FORGED),
        )
    if trial.let_in(FORGED_LATE):
        return hint(
            "Once grace had passed, a bot that took her address got in at once. You remember a name that "
            "anybody can write, without asking whether it is really her provider who says it.",
            *trial.seen(BIG_AGAIN, FORGED_LATE),
        )
    if trial.let_in(VALID):
        return hint(
            "A spammer with an SPF record for his own domain did not wait. SPF says who it is, not that he "
            "is honest: "
            "which domains do you know?",
            *trial.seen(VALID),
        )
    if not trial.let_in(BIG) and not trial.let_in(BIG_AGAIN):
        return hint(
            "The big provider came again from another address, in another network, and began anew. Its "
            "letters may wait "
            "for hours. You know this provider: let it in at the first attempt, if it is really the "
            "provider.",
            *trial.seen(BIG, BIG_AGAIN),
        )
    return None
