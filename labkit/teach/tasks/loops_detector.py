"""The fourth exercise of notebook 04: a loop that is recognised, and not counted, by Delivered-To.

WHAT       `recognise the loop`  a world: a loop was ended because the message had been there before, and honest mail
                                 for an alias arrives with its mark
DECIDES    by the hops, the words of the failure, and the fields of the message that a bounce brought back
STANDARDS  RFC 9228 (Delivered-To); RFC 5321 §6.3 (other ways than counting)
READ NEXT  loops_bomb.py
"""

from __future__ import annotations

import re

from labkit.lab.world import World
from labkit.mail.event import EventKind
from labkit.mail.message import Message
from labkit.teach.checks import Seen, Verdict, done, exercise, hint, todo
from labkit.teach.tasks.loops_turns import Turn, turns_of

_MARK = re.compile(r"^Delivered-To:[ \t]*(\S+)", re.MULTILINE | re.IGNORECASE)


@exercise(
    "recognise the loop",
    "A loop that ends because the message has been here before; honest mail still passes",
)
def recognise_the_loop(world: World) -> Verdict:
    """Judge by the newest message that came back to a host, and by mail for an alias that leads home."""
    turns = turns_of(world)
    loops = [turn for turn in turns if turn.is_loop]
    says = "delivered-to" in world.mine.configuration.lower()
    if not loops:
        refused = [turn for turn in turns if turn.failed]
        if says and refused:
            return hint(
                "A message was refused that had never been here: your condition is true for mail that is no loop. "
                "Whom does it compare with whom?",
                refused[-1].failed[-1],
            )
        return todo("Let a message turn first: send one to round@ your domain.")
    newest = loops[-1]
    if not says and "delivered-to" in world.partner.configuration.lower():
        return hint(
            f"The routers stand on {world.partner.name}, your partner's host. Yours is {world.mine.name}.",
            newest.came[-1],
        )
    if newest.was_counted_out is not None:
        return _counted_out(world, newest, says=says)
    if not newest.failed:
        return hint(
            "The newest message came back and was not refused. Where is it now? A message that is thrown away "
            "(:blackhole:) tells nobody; and if it waits in the queue, the log says what the router lacks.",
            newest.came[-1],
        )
    return _recognised(world, newest, turns)


def _counted_out(world: World, newest: Turn, *, says: bool) -> Verdict:
    """The limit ended it: what is missing?"""
    marks = _marks(world, newest)
    failed = newest.was_counted_out
    assert failed is not None
    if not says:
        return todo(
            "The counter ended the loop, not you. Let the router `aliases` add a field Delivered-To, and write a "
            "router above it that looks for it."
        )
    if not marks:
        return hint(
            f"The counter ended it after {len(newest.hops)} arrivals, and the returned message has no Delivered-To at "
            "all: nobody adds it. Which router must (headers_add), and has the daemon read the file since (kill -HUP)?",
            failed,
        )
    return hint(
        f"The counter ended it after {len(newest.hops)} arrivals, although the message has {len(marks)} fields "
        "Delivered-To. So they are added, and nobody finds them. Does the router that looks stand above `aliases`, and "
        "does it compare the address of this moment with every one of the fields?",
        failed,
        Seen(failed.at, "the returned message", f"Delivered-To: {marks[-1]}"),
    )


def _recognised(world: World, newest: Turn, turns: list[Turn]) -> Verdict:
    failed, marks = newest.failed[-1], _marks(world, newest)
    if not marks:
        return hint(
            "The loop ended, and the message that came back has no Delivered-To. What ended it, then? Is the alias "
            "still there?",
            failed,
        )
    after = failed.number
    honest = [
        turn for turn in turns if turn.recipient.startswith("postmaster@") and turn.came[0].number > after
    ]
    if not honest:
        return hint(
            f"The loop ended after {len(newest.hops)} arrivals. Now show that honest mail for an alias still arrives: "
            "a message for postmaster at your domain, and let it carry a mark that is not yours.",
            failed,
        )
    if refused := [turn for turn in honest if turn.failed]:
        return hint(
            "Mail for postmaster does not arrive any more. It was never here before: your router refuses too much. A "
            "field Delivered-To alone is no loop; whose address stands in it?",
            refused[-1].failed[-1],
        )
    letters = [letter for letter in _mailbox(world) if letter.first("Delivered-To")]
    arrived = [
        event
        for event in world.journal.where(EventKind.DELIVERED, host=world.mine.name)
        if (event.recipient or "").startswith("postmaster@") and event.number > after
    ]
    if not arrived or not letters:
        return hint("The message for postmaster has not arrived, or came without a Delivered-To.", failed)
    return done(
        f"{len(newest.hops)} arrivals, whatever the limit is: the message itself says where it has been.",
        [
            newest.came[-1],
            failed,
            arrived[-1],
            Seen(failed.at, "the returned message", f"Delivered-To: {marks[-1]}"),
        ],
    )


def _mailbox(world: World) -> list[Message]:
    account = next(iter(world.mine.accounts))
    return world.mine.mailbox(account)


def _marks(world: World, turn: Turn) -> list[str]:
    """The Delivered-To fields of a message, as a bounce has brought it back."""
    for letter in reversed(_mailbox(world)):
        body = bytes(letter.body).decode("utf-8", "replace").replace("\r\n", "\n")
        _, inner, returned = body.partition("Content-type: message/rfc822\n")
        header = returned.lstrip("\n").partition("\n\n")[0]
        if inner and turn.message_id.strip("<>") in header:
            return _MARK.findall(header)
    return []
