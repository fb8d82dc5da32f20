"""Two exercises of notebook 03: what a spool file says, and the minute in which a message will arrive.

WHAT       `spool file`: answers read from the envelope file of a message that waits. `which minute`: when it arrives.
DECIDES    by the very file, and by the journal: the minute of the delivery; each wrong answer is told what it is.
STANDARDS  Exim specification, "Format of spool files"; RFC 5321 §4.5.4.1
READ NEXT  backup_wait.py
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import datetime, timedelta, timezone

from labkit.lab.host import SpoolEntry
from labkit.lab.lives import is_only_a_look
from labkit.lab.world import World
from labkit.mail.event import EventKind, MailEvent
from labkit.teach.checks import Seen, Verdict, done, exercise, hint, todo

ASKED = ("reverse-path", "waits for", "has it already", "handed over by", "came in at")
_ADDRESS = re.compile(r"[\w.+-]+@[\w.-]+")
_CLOCK = re.compile(r"(?:^|\s)(\d{1,2}):(\d{2})(?::\d{2})?\s*$")


@exercise("spool file", "The envelope of a message that waits, read from its spool file")
def spool_file(answers: Mapping[str, object]) -> Verdict:
    """Compare what the student read with the file."""
    entry = answers.get("file") if isinstance(answers, Mapping) else None
    if not isinstance(entry, SpoolEntry):
        return todo('Put the spool entry itself under "file": world.partner.spool_entry(queue_id).')
    given = {name: str(answers.get(name) or "").strip().strip("<>[]") for name in ASKED}
    if not any(given.values()):
        return todo(f"Read the file and fill in: {', '.join(ASKED)}.")
    if empty := [name for name in ASKED if not given[name]]:
        return hint(f"There is no answer yet for: {', '.join(empty)}.")
    return _judged(given, entry)


def _judged(given: Mapping[str, str], entry: SpoolEntry) -> Verdict:
    lines = entry.envelope_file.splitlines()
    sender = lines[2].strip("<> ").lower()
    came = datetime.fromtimestamp(int(lines[3].split()[0]), timezone.utc)
    finished = {m[1].lower() for line in lines if (m := re.fullmatch(r"[YN][YN] (\S+@\S+)", line))}
    top = entry.envelope_file.partition("\n\n")[0].splitlines()
    recipients = [line.split()[0].lower() for line in top if re.match(r"\S+@\S+$|\S+@\S+ ", line)]
    everybody = [each for each in recipients if not each.startswith(("<", "-"))]
    left = [each for each in everybody if each not in finished]
    client = next((m[1] for line in lines if (m := re.match(r"--?host_address \[([^\]]+)\]", line))), "")
    header = entry.envelope_file.partition("\n\n")[2].lower()
    plain = {name: value.lower() for name, value in given.items()}
    if plain["reverse-path"] != sender:
        if plain["reverse-path"] in _ADDRESS.findall(header):
            return hint(
                f"{given['reverse-path']} stands below, in the header. The sender of the envelope stands in "
                "the third line of the file, in angle brackets: whom a report goes to."
            )
        return hint("The sender of the envelope stands in the third line of the file, in angle brackets.")
    if plain["waits for"] not in left:
        if plain["waits for"] in finished:
            return hint(
                f"{given['waits for']} stands in the list of those who are finished (a line that begins with "
                "two letters Y or N). Who is in the list of recipients and not in that one?"
            )
        return hint("The recipients stand after the line that is only a number: that many of them follow.")
    if plain["has it already"] not in finished:
        return hint(
            "Who is finished stands before the number, in lines that begin with two letters, Y or N. (XX "
            "would be: nobody.)"
        )
    if client not in re.split(r"[\s\[\]():,]+", plain["handed over by"]):
        names = {m[1].lower() for line in lines if (m := re.match(r"--?helo_name (\S+)", line))}
        if plain["handed over by"] in names:
            return hint(
                f"{given['handed over by']} is only what the client said after HELO. What did the host "
                "itself see? An address, in another line."
            )
        return hint("Who called stands in the line host_address; behind it is the port.")
    if (minute := _minute(given["came in at"])) is None:
        return hint(
            "Write the time like 10:07. The file counts seconds since 1970: datetime.fromtimestamp(..., "
            "timezone.utc)."
        )
    if minute != (came.hour, came.minute):
        return hint(
            "The fourth line begins with the seconds since 1970, in UTC. Compute with these, or compare "
            "with the upper Received field."
        )
    return done(
        "All that the queue knows of a message is in this file; whoever has it can go on where the host "
        "stopped.",
        [
            Seen(came, entry.queue_id, f"from <{sender}>, handed over by {client}"),
            Seen(
                came, entry.queue_id, f"for {', '.join(everybody)}; finished: {', '.join(sorted(finished))}"
            ),
        ],
    )


@exercise("which minute", "The minute in which a message arrives, foretold")
def which_minute(answers: Mapping[str, object]) -> Verdict:
    """Compare with the delivery; say what the minute that was named really is."""
    world = answers.get("world") if isinstance(answers, Mapping) else None
    if not isinstance(world, World):
        return todo('Put the world itself under "world".')
    subject, said = (str(answers.get(name) or "").strip() for name in ("subject", "arrives at"))
    if not said:
        return todo('Write down the minute that you expect under "arrives at", like 12:30.')
    minute = _minute(said)
    if minute is None:
        return hint(f"{said} is no minute: write it like 12:30.")
    life = _of_message(world, subject)
    delivered = next((e for e in reversed(life) if e.kind is EventKind.DELIVERED and e.remote_host), None)
    if delivered is None:
        return hint("It has not arrived yet: run the cell that lets time pass, then this one.", *life[-1:])
    if minute == (delivered.at.hour, delivered.at.minute):
        return done(
            "Right. The retry time says: not before. Then the next queue run has to come.",
            [*[e for e in life if e.kind is EventKind.DEFERRED][-1:], delivered],
        )
    return _what_it_is(world, life, delivered, minute)


def _what_it_is(
    world: World, life: list[MailEvent], delivered: MailEvent, minute: tuple[int, int]
) -> Verdict:
    """The minute named is not that of the delivery: which one is it?"""
    at = delivered.at.replace(hour=minute[0], minute=minute[1], second=0, microsecond=0)
    tries = [e for e in life if e.kind is EventKind.DEFERRED and not is_only_a_look(e)]
    back = [
        e.at
        for e in world.journal.where(EventKind.STARTED, host=delivered.remote_host)
        if e.at <= delivered.at
    ]
    named = f"{at:%H:%M}"
    if back and _same(back[-1], at):
        return hint(
            f"At {named} your host came back. Nobody tells the backup: it learns of it when it tries the "
            "next time."
        )
    if any(_same(each.at, at) for each in tries):
        return hint(
            f"At {named} it was tried, and your host was still down.", *[e for e in tries if _same(e.at, at)]
        )
    every = world.partner.engine.queue_interval or timedelta(minutes=15)
    if at > delivered.at:
        return hint(
            f"{named} is too late: a queue run before that finds the retry time reached. When was the last "
            "try in vain, and how long does the rule wait after it?",
            *tries[-1:],
        )
    if back and at < back[-1]:
        return hint(f"At {named} your host was still down.")
    start = world.journal.where(EventKind.STARTED, host=delivered.host)[-1].at
    if (at - start) % every < timedelta(seconds=5):
        return hint(
            f"At {named} a queue run looks at it, and lets it be: the retry time is not reached. How old "
            "is the failure "
            "then, and which step of the rule counts: the first two hours, or what comes after them?",
            *tries[-1:],
        )
    return hint(
        f"At {named} no queue run comes. The daemon looks at fixed times, every {every.seconds // 60} "
        "minutes since it was started: the first of these that is not before the retry time.",
        *tries[-1:],
    )


def _of_message(world: World, subject: str) -> list[MailEvent]:
    """What happened at the partner's host to the newest message with that Message-ID's word or subject."""
    host = world.partner.name
    came = [
        event
        for event in world.journal.where(EventKind.RECEIVED, host=host)
        if subject and subject in (event.message_id or "")
    ]
    return world.journal.where(host=host, queue_id=came[-1].queue_id) if came else []


def _same(one: datetime, other: datetime) -> bool:
    return (one.hour, one.minute) == (other.hour, other.minute) and one.date() == other.date()


def _minute(text: str) -> tuple[int, int] | None:
    found = _CLOCK.search(text)
    return (int(found[1]), int(found[2])) if found and int(found[1]) < 24 and int(found[2]) < 60 else None
