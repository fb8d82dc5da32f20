"""The first exercises of notebook 04: a loop between two domains that really turns, and its bounce, read.

WHAT       `close the loop`   a world: a message went round between the two hosts until one of them gave up
           `read the bounce`  a dict: who was told, who wrote it, how many Received fields the returned message has
DECIDES    by the hops in the journal. Where there is no loop, by where the newest message stopped; the alias files
           only help to say why.
STANDARDS  RFC 5321 §6.3 (loops), RFC 3464 §2 (reports)
READ NEXT  loops_turns.py, loops_limit.py
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from difflib import get_close_matches

from labkit.lab.host import Host
from labkit.lab.world import World
from labkit.mail.event import EventKind, MailEvent
from labkit.mail.message import Message
from labkit.teach.checks import Seen, Verdict, done, exercise, hint, todo
from labkit.teach.tasks.loops_turns import Turn, aliases_of, domain_of, reports_about, turns_of

# -- close the loop --------------------------------------------------------------------------------------------


@exercise("close the loop", "A message goes round between two domains, until a host gives up")
def close_the_loop(world: World) -> Verdict:
    """Judge by the hops of the messages that were sent."""
    turns = turns_of(world)
    for turn in reversed(turns):
        if turn.visits(world.mine) > 1 and turn.visits(world.partner) > 1:
            return _it_turned(world, turn)
    if not turns:
        return _nothing_sent(world)
    return _why_not(world, turns[-1])


def _it_turned(world: World, turn: Turn) -> Verdict:
    first, newest = turn.came[0], turn.came[-1]
    evidence: list[MailEvent | Seen] = [first, newest]
    evidence += [event for event in (turn.was_counted_out, *reports_about(world, turn)[:1]) if event]
    evidence.append(
        Seen(
            newest.at,
            "both hosts",
            f"{turn.visits(world.mine)} times at yours, {turn.visits(world.partner)} times at your partner's",
        )
    )
    return done(f"The circle is closed: one message, {len(turn.hops)} arrivals.", evidence)


def _nothing_sent(world: World) -> Verdict:
    """No message came: how far are the files?"""
    mine, theirs = aliases_of(world.mine), aliases_of(world.partner)
    here, there = _new(mine), _new(theirs)
    if not here and not there:
        return todo(
            "Write an alias into /etc/aliases of your host that leads to your partner's domain, and one there that "
            "leads back. Then send a message to yours."
        )
    if here and there:
        name = next(iter(here))
        return hint(
            f"Both files have an alias. Now somebody must write: a message to {name}@{domain_of(world.mine)}."
        )
    missing = world.partner if here else world.mine
    return hint(
        f"There is an alias on one host and none on {missing.name}. A circle needs both halves: what comes in must "
        "lead out again at each host."
    )


def _new(aliases: Mapping[str, list[str]]) -> list[str]:
    return [name for name in aliases if name != "postmaster"]


def _why_not(world: World, turn: Turn) -> Verdict:
    """The newest message was no loop: where did it stop?"""
    if turn.failed:
        return _it_failed(world, turn, turn.failed[-1])
    waits = [
        event
        for event in world.journal.where(EventKind.DEFERRED)
        if event.queue_id in {came.queue_id for came in turn.came}
    ]
    delivered = _final(world, turn)
    if delivered is not None:
        return _it_arrived(world, turn, delivered)
    if waits:
        event = waits[-1]
        return hint(
            f"The message waits at {event.host}: {event.text}. If that is about redirect data, a line of the alias "
            "file cannot be read: it is a name, a colon, and an address.",
            event,
        )
    return hint("The message is still under way: let the lab move (await world.settle()).", turn.came[-1])


def _final(world: World, turn: Turn) -> MailEvent | None:
    ids = {event.queue_id for event in turn.came}
    found = [
        event
        for event in world.journal.where(EventKind.DELIVERED)
        if event.queue_id in ids and event.remote_address is None
    ]
    return found[-1] if found else None


def _it_arrived(world: World, turn: Turn, delivered: MailEvent) -> Verdict:
    """It came to an end in a mailbox."""
    who = (delivered.became or delivered.recipient or "somebody").partition("@")[0]
    if len(turn.hops) == 1:
        return hint(
            f"The message was for {turn.recipient}, and there it arrived: no alias at {delivered.host} has that name. "
            "Send one to the name that your alias has.",
            delivered,
        )
    return hint(
        f"The message went to {delivered.host} and ended there, in the mailbox of {who}. Your half works. What comes "
        "in there has to lead back to your domain.",
        delivered,
    )


def _it_failed(world: World, turn: Turn, failed: MailEvent) -> Verdict:
    """A bounce came instead of a loop (the most frequent mistake in reports of this lab)."""
    text = failed.text or ""
    wanted = _wanted(failed)
    local_part, _, domain = wanted.partition("@")
    hosts = {domain_of(host): host for host in (world.mine, world.partner)}
    where = hosts.get(domain)
    here = world.host(failed.host)
    if "relay not permitted" in text:
        return hint(
            f"{failed.remote_host} does not take mail for {domain}: relay not permitted. That is not the domain whose "
            f"mail it serves (its local_domains). Which name stands behind the @ in {_other(world, where)}?",
            failed,
        )
    if where is None:
        return hint(
            f"Instead of a loop there was a bounce: nobody knows the way to {wanted}. Compare the domain in the alias "
            f"at {here.name}, letter by letter, with {' and '.join(hosts)}.",
            failed,
        )
    known = aliases_of(where)
    if wanted in known.get(local_part, []) or local_part in known.get(local_part, []):
        return _to_itself(world, where, local_part, failed)
    other = _the_other(world, where)
    if near := get_close_matches(local_part, _new(known), n=1, cutoff=0.5):
        return hint(
            f"Instead of a loop there was a bounce: an alias leads to {wanted}, and {where.name} knows no such name. "
            f"It has one called {near[0]}. One letter decides; exim -bt on each alias shows it before.",
            failed,
        )
    led_there = any(wanted in becomes for becomes in aliases_of(other).values())
    if led_there and any(
        target.endswith(f"@{domain_of(other)}")
        for name, becomes in aliases_of(other).items()
        if name != "postmaster"
        for target in becomes
    ):
        return hint(
            f"Both aliases stand in the file of {other.name}. {where.name} reads a file of its own, and {local_part} "
            "is not in it: the half that leads back belongs there.",
            failed,
        )
    if led_there:
        return hint(
            f"{where.name} has no alias {local_part}, so the message that came there went back as a bounce. The half "
            "that leads back is missing.",
            failed,
        )
    if local_part in aliases_of(other):
        return hint(
            f"{wanted} is an address of {where.name}, but the alias {local_part} stands on {other.name}. Each host "
            "looks into its own file only.",
            failed,
        )
    return hint(
        f"{where.name} knows no {local_part}: no alias and no account. Write to a name that its alias file has; a "
        "line is a name, a colon, and an address (no newaliases is needed).",
        failed,
    )


def _to_itself(world: World, where: Host, local_part: str, failed: MailEvent) -> Verdict:
    other = _the_other(world, where)
    itself = f"{local_part}@{domain_of(other)}"
    if itself in aliases_of(other).get(local_part, []):
        return hint(
            f"On each host {local_part} leads to itself: the two files have changed places. The file of {where.name} "
            f"must lead away, to {domain_of(other)}.",
            failed,
        )
    return hint(
        f"The alias {local_part} of {where.name} leads to itself. Exim notices that on its own host at once and does "
        "not follow it again; a loop needs two hosts, neither of which sees the whole. It must lead to the other "
        "domain.",
        failed,
    )


def _wanted(failed: MailEvent) -> str:
    """The address for which there was no way."""
    found = re.search(r"RCPT TO:<([^<>]+)>", failed.text or "")
    return (found[1] if found else failed.became or failed.recipient or "").lower()


def _the_other(world: World, host: Host) -> Host:
    return world.partner if host is world.mine else world.mine


def _other(world: World, where: Host | None) -> str:
    return "your alias" if where is None else f"the alias at {_the_other(world, where).name}"


# -- read the bounce -------------------------------------------------------------------------------------------

ASKED = ("told", "written by", "gave up on", "Received inside")


@exercise("read the bounce", "A bounce, read: who was told, by whom, and what had happened")
def read_the_bounce(answers: Mapping[str, object]) -> Verdict:
    """Compare what the student read with the very report."""
    bounce = answers.get("bounce") if isinstance(answers, Mapping) else None
    if not isinstance(bounce, Message):
        return todo('Put the bounce itself under "bounce": world.mine.mailbox("ann")[-1].')
    facts = _facts_of(bounce)
    if facts is None:
        return hint(
            "This message is no bounce about a loop: its null reverse-path or the message that it brings back is "
            "missing. Take the one whose subject says that mail delivery failed."
        )
    given = {name: _plain(answers.get(name)) for name in ASKED}
    if not any(given.values()):
        return todo(f"Read the bounce and fill in: {', '.join(ASKED)}.")
    if empty := [name for name in ASKED if not given[name]]:
        return hint(f"There is no answer yet for: {', '.join(empty)}.")
    return (
        _wrong_reader(given["told"], facts)
        or _wrong_writer(given["written by"], facts, bounce)
        or _wrong_address(given["gave up on"], facts)
        or _wrong_count(given["Received inside"], facts, bounce)
        or done(
            "That is all a sender ever learns of a loop: one report, by the host that counted one too many.",
            [Seen(None, name, facts[name]) for name in ASKED],
        )
    )


def _facts_of(bounce: Message) -> dict[str, str] | None:
    body = bytes(bounce.body).decode("utf-8", "replace").replace("\r\n", "\n")
    writer = re.search(r"^Reporting-MTA: *dns; *(\S+)", body, re.MULTILINE | re.IGNORECASE)
    address = re.search(r"^Final-Recipient: *rfc822; *(\S+)", body, re.MULTILINE | re.IGNORECASE)
    _, inner, returned = body.partition("Content-type: message/rfc822\n")
    if not (writer and address and inner):
        return None
    header = returned.lstrip("\n").partition("\n\n")[0]
    return {
        "told": (bounce.first("Envelope-to") or bounce.first("To") or "").strip().lower(),
        "written by": writer[1].lower(),
        "gave up on": address[1].lower(),
        "Received inside": str(len(re.findall(r"^Received:", header, re.MULTILINE | re.IGNORECASE))),
        "to": (re.findall(r"^To: *(\S+)", header, re.MULTILINE) or [""])[0].lower(),
    }


def _plain(answer: object) -> str:
    return "" if answer is None else str(answer).strip().strip("<>").rstrip(".").lower()


def _wrong_reader(given: str, facts: Mapping[str, str]) -> Verdict | None:
    if given == facts["told"]:
        return None
    if given in (facts["gave up on"], facts["to"]):
        return hint(
            f"{given} is an alias: nobody reads there. A bounce goes to the reverse-path of the message."
        )
    if given == facts["told"].partition("@")[0]:
        return hint(
            f"{given} is an account of one host. Outside nobody knows it so: write the whole address."
        )
    return hint(
        f"{given} was not told. In whose mailbox did you find the bounce? It went to whoever MAIL FROM had named."
    )


def _wrong_writer(given: str, facts: Mapping[str, str], bounce: Message) -> Verdict | None:
    if facts["written by"] in given.split():
        return None
    if given.startswith("mailer-daemon"):
        return hint(
            "Mailer-Daemon is no person and no host. Which host wrote in its name? The part for programs says it "
            "(Reporting-MTA), and so does the lowest Received of the bounce itself."
        )
    if given in (bounce.first("Received") or "").lower():
        return hint(
            f"{given} handed the bounce on, or took it in the end. The host that made it stands in the lowest "
            "Received of the bounce itself, and in Reporting-MTA."
        )
    return hint(
        f"{given} did not write it. Look for Reporting-MTA in the part of the bounce that is for programs."
    )


def _wrong_address(given: str, facts: Mapping[str, str]) -> Verdict | None:
    if given == facts["gave up on"]:
        return None
    if given == facts["to"]:
        return hint(
            f"{given} is what the sender wrote. The host that gave up had another address before it: which one failed?"
        )
    return hint(f"{given} is not the address that failed. It stands in X-Failed-Recipients, and in the text.")


def _wrong_count(given: str, facts: Mapping[str, str], bounce: Message) -> Verdict | None:
    truth = int(facts["Received inside"])
    if given == str(truth):
        return None
    outer = len(list(bounce.all("Received")))
    if given == str(truth + outer):
        return hint(
            f"{given} is one count of two things: {outer} of these fields are the bounce's own, on its way to you. "
            "Count only those of the message inside."
        )
    if given == str(outer):
        return hint(
            "These are the Received fields of the bounce. The message that it brings back has its own."
        )
    if given == str(truth - 1):
        return hint(
            f"{given} are still allowed. The host gives up when there are more: what did it count, its own included?"
        )
    return hint(
        f"{given} is not the number of Received fields in the returned message: count their first lines."
    )
