"""The fifth exercise of notebook 04: a loop that doubles, kept small by a rate limit.

WHAT       `contain the bomb`  a world: the bomb was let off, most of it was refused at the door, and honest mail passed
DECIDES    by how many messages came, how many were refused, and what became of a letter that came afterwards
STANDARDS  RFC 5321 §6.3
READ NEXT  loops_turns.py
"""

from __future__ import annotations

from labkit.lab.world import World
from labkit.mail.event import EventKind, MailEvent
from labkit.teach.checks import Seen, Verdict, done, exercise, hint, todo
from labkit.teach.tasks.loops_turns import Turn, limit_on_disk, turns_of

AT_MOST = 3  # of so many messages, no more than one may come
NAMES = ("p@", "q@")


@exercise("contain the bomb", "A loop that doubles is kept small, and honest mail passes")
def contain_the_bomb(world: World) -> Verdict:
    """Judge the newest bomb, and what came after it."""
    turns = turns_of(world)
    bombs = [turn for turn in turns if turn.recipient.startswith(NAMES)]
    if not bombs:
        return todo(
            "Write a rate limit into the list check_rcpt, and let the bomb off: a message to p@ your domain."
        )
    bomb = bombs[-1]
    refused = _refused(world, bomb)
    limit = limit_on_disk(world.mine)
    planned = _planned(world)
    if limit is None or limit < planned:
        return hint(
            f"The counter is lower now than it was ({planned}). That makes this bomb smaller, and refuses honest mail "
            "that has come a long way. Put it back, and limit how many may come in an hour.",
            bomb.came[-1],
        )
    if not refused:
        return _unlimited(world, bomb, planned)
    size = 2 ** (planned + 1) - 1
    if len(bomb.hops) * AT_MOST > size:
        return hint(
            f"{len(bomb.hops)} of {size} messages came in all the same. Your limit allows too many in an hour.",
            bomb.came[-1],
        )
    return _honest_mail(world, turns, bomb, refused)


def _planned(world: World) -> int:
    """The limit that the scenario has given both hosts."""
    for plan in world.scenario.hosts:
        for line in plan.configuration.splitlines():
            if line.startswith("received_headers_max"):
                return int(line.partition("=")[2])
    return 30


def _refused(world: World, bomb: Turn) -> list[MailEvent]:
    after = bomb.came[0].number
    return [
        event
        for event in world.journal.where(EventKind.REJECTED, after=after)
        if (event.recipient or "").startswith(NAMES) and event.code is not None
    ]


def _unlimited(world: World, bomb: Turn, planned: int) -> Verdict:
    says = "ratelimit" in world.mine.configuration
    if not says and "ratelimit" in world.partner.configuration:
        return hint(
            f"The rate limit stands on {world.partner.name}, and has refused nothing. Yours is {world.mine.name}.",
            bomb.came[-1],
        )
    if not says and len(bomb.hops) <= 2 * planned:
        return hint(
            f"Only {len(bomb.hops)} messages, and none was refused: it is no bomb any more. Leave max_rcpt and the "
            "aliases as they are; other people's hosts are not yours to change.",
            bomb.came[-1],
        )
    if not says:
        return todo(
            f"The bomb went off: {len(bomb.hops)} messages. Write a condition ratelimit into check_rcpt of your host, "
            "and try again."
        )
    return hint(
        f"{len(bomb.hops)} messages came, and none was refused, although your file has a ratelimit. Does it stand "
        "above the statement that accepts them? Has the daemon read the file since (kill -HUP)? Is the number below "
        "what comes in an hour?",
        bomb.came[-1],
    )


def _honest_mail(world: World, turns: list[Turn], bomb: Turn, refused: list[MailEvent]) -> Verdict:
    """A letter of somebody else, for somebody who is no alias of the bomb."""
    before = bomb.came[-1].number
    owner = world.partner_laptop.owner.lower()
    letters = [
        turn for turn in turns if turn.came[0].number > before and not turn.recipient.startswith(NAMES)
    ]
    letters = [turn for turn in letters if (turn.came[0].sender or "").lower() == owner]
    if not letters:
        return hint(
            f"{len(bomb.hops)} messages came and {len(refused)} were refused. But who else was? Let {owner} write to "
            f"{world.laptop.owner} now, from his laptop.",
            refused[-1],
        )
    letter = letters[-1]
    ids = {event.queue_id for event in letter.came}
    arrived = [
        event
        for event in world.journal.where(EventKind.DELIVERED, host=world.mine.name)
        if event.queue_id in ids and event.remote_address is None
    ]
    if not arrived:
        return hint(
            f"{owner} wrote an honest letter, and it was kept out with the rest. What does your limit count by? "
            "Without a key it is the calling host, and the bomb comes from there, too.",
            letter.came[-1],
        )
    waiting = sum(
        recipient.local_part in ("p", "q")
        for host in (world.mine, world.partner)
        for item in host.queue
        for recipient in item.remaining
    )
    words = f"Contained: {len(bomb.hops)} messages instead of {2 ** (_planned(world) + 1) - 1}, and honest mail passes."
    if waiting:
        words += (
            f" But {waiting} wait in the queues, because they were told to come again (4..), and they will, for days. "
            "A deny would have ended it."
        )
    return done(
        words,
        [
            bomb.came[0],
            refused[0],
            Seen(refused[-1].at, world.mine.name, f"{len(refused)} times refused"),
            arrived[-1],
        ],
    )
