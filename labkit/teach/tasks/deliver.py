"""The exercises of notebook 01b: an account that gets mail, and what its envelope was.

WHAT       `account`       a world: mail from outside came to a new account, and a name that is no account was refused
           `written down`  a dict: who the envelope of a delivered message named, and who handed it over
DECIDES    by facts of the journal, bytes of mailboxes and the bytes of the message; each mistake gets its own hint.
STANDARDS  RFC 5321 §4.4 (Return-path and Received), RFC 5321 §2.3.1 (the envelope is not the header)
READ NEXT  deliver_postmaster.py
"""

from __future__ import annotations

import re
import stat
from collections.abc import Mapping, Sequence

from labkit.lab.host import Host
from labkit.lab.world import World
from labkit.mail.event import EventKind, MailEvent
from labkit.mail.message import Message
from labkit.teach.checks import Seen, Verdict, done, exercise, hint, todo

NAME = "olga"  # the account of the exercises

# -- an account ------------------------------------------------------------------------------------------------


@exercise("account", "A new account gets mail from outside, and a name that is no account gets none")
def account(world: World) -> Verdict:
    """Judge by what happened to mail for olga, and for somebody who does not exist."""
    host, domain = world.mine, domain_of(world)
    wanted = f"{NAME}@{domain}"
    arrived = [event for event in _here(world, EventKind.DELIVERED) if _is(event, wanted)]
    if not arrived:
        return _nothing_arrived(world, wanted)
    newest = arrived[-1]
    owners = who_has(host, _message_id(world, newest))
    if NAME not in owners:
        where = (
            f"It lies in the mailbox of {' and '.join(owners)}" if owners else "It lies in nobody's mailbox"
        )
        return hint(
            f"Mail for {wanted} was delivered, but not to {NAME}. {where}: an alias or a .forward file takes the name "
            f"before the router localuser sees it. What does show(await world.mine.route(...)) say?",
            newest,
        )
    received = world.journal.where(EventKind.RECEIVED, host=host.name, queue_id=newest.queue_id)
    if any(event.remote_address in (None, world.laptop.address) for event in received):
        return hint(
            "It arrived, but it came from inside: your own laptop may send anywhere, so this does not show that "
            f"strangers reach {NAME}. Let Bob write: world.partner_laptop.send(...).",
            *received,
        )
    refused = [
        event
        for event in _here(world, EventKind.REJECTED)
        if _is_nobody(event, host, domain) and event.code is not None and event.code >= 500
    ]
    caught = [event for event in _here(world, EventKind.DELIVERED) if _is_nobody(event, host, domain)]
    if caught:
        return hint(
            f"Mail for {caught[-1].recipient} was delivered, too, and that is nobody: your host takes every name. Then "
            f"{NAME} is not found because she has an account. Which router takes names without asking "
            "check_local_user?",
            caught[-1],
        )
    if not refused:
        return hint(
            f"{NAME} has mail. Now show that she got it because of her account: let Bob also write to a name that has "
            f"none, zoe@{domain}.",
            newest,
        )
    return done(
        f"{NAME} has an account and gets mail; whoever has none is refused before the message is even sent.",
        [newest, seen_mailbox(world, NAME), refused[-1]],
    )


def _nothing_arrived(world: World, wanted: str) -> Verdict:
    """Mail for olga did not arrive: say where it stopped, or that there was none."""
    host, domain = world.mine, wanted.partition("@")[2]
    has_account = NAME in host.accounts
    about = [event for event in _about_mail(world) if event.host == host.name and _is(event, wanted)]
    if not about:
        return _no_mail(world, wanted)
    last, text = about[-1], about[-1].text or ""
    if "relay not permitted" in text:
        return hint(
            f"Your host does not take mail for {domain}: relay not permitted. Is the domain in local_domains, and has "
            "the daemon read the file since (kill -HUP, await world.mine.reload())?",
            last,
        )
    if last.code is not None and last.code < 500:
        return hint(
            f"Your host said: not now. The log says why: {text}. A file that is named in the configuration and is "
            "missing is such a reason.",
            last,
        )
    if last.kind is EventKind.DEFERRED:
        return hint(f"It waits in the queue of your host: {text}.", last)
    if not has_account:
        other = world.partner
        where = f" {other.name} has such an account; yours is {host.name}." if NAME in other.accounts else ""
        return hint(
            f"Your host refused {wanted}: {text}. {NAME} has no account there: adduser {NAME}, in the notebook "
            f'world.mine.add_account("{NAME}").{where}',
            last,
        )
    return hint(
        f"Your host refused {wanted}: {text}. {NAME} has an account now, so send the message again (and look at the "
        "route if it is refused once more).",
        last,
    )


def _no_mail(world: World, wanted: str) -> Verdict:
    """Nobody named the address at this host."""
    host = world.mine
    astray = [
        event
        for event in _about_mail(world)
        if (event.recipient or "").lower().startswith(f"{NAME}@") and not _is(event, wanted)
    ]
    if astray:
        return hint(
            f"Your message was for {astray[-1].recipient}. {NAME}'s address in this exercise is {wanted}: her name "
            "and your domain, not the name of a host or the domain of somebody else.",
            astray[-1],
        )
    if NAME in world.partner.accounts and NAME not in host.accounts:
        return hint(
            f"{world.partner.name} has an account {NAME}. Give it to your own host: world.mine is {host.name}."
        )
    if NAME in host.accounts:
        return hint(f"{NAME} has an account. Now let Bob write to {wanted}, from his laptop.")
    return todo(
        f"Give your host an account {NAME}, let Bob write to {wanted} and to zoe@{wanted.partition('@')[2]}, and run "
        "this cell again."
    )


# -- written down ----------------------------------------------------------------------------------------------

ASKED = ("envelope recipient", "reverse-path", "handed over by")


@exercise("written down", "The envelope of a message, read from what its last MTA wrote down")
def written_down(answers: Mapping[str, object]) -> Verdict:
    """Compare what the student read with the trace fields of the very message."""
    message = answers.get("message") if isinstance(answers, Mapping) else None
    if not isinstance(message, Message):
        return todo('Put the message itself under "message": answers = {"message": letter, ...}.')
    recipient, reverse_path = message.first("Envelope-to"), message.first("Return-path")
    clients = _clients(message.first("Received") or "")
    if recipient is None or reverse_path is None or not clients:
        return hint(
            "This message was not delivered yet: it has no Return-path or no Envelope-to. Take it out of the mailbox: "
            'world.mine.mailbox("ivan")[-1].'
        )
    given = {name: _plain(answers.get(name)) for name in ASKED}
    if not any(given.values()):
        return todo(f"Read the header and fill in: {', '.join(ASKED)}.")
    if empty := [name for name in ASKED if not given[name]]:
        return hint(f"There is no answer yet for: {', '.join(empty)}.")
    return (
        _wrong_recipient(given["envelope recipient"], recipient.strip(), message)
        or _wrong_sender(given["reverse-path"], _plain(reverse_path), message)
        or _wrong_host(_hosts(answers["handed over by"]), message)
        or done(
            "The last MTA wrote the envelope down, because nothing else of it is left. To: and From: were never asked.",
            [
                Seen(None, "Envelope-to", recipient.strip()),
                Seen(None, "Return-path", reverse_path.strip()),
                Seen(None, "Received, the uppermost", f"from {', '.join(clients)}"),
            ],
        )
    )


def _wrong_recipient(given: str, truth: str, message: Message) -> Verdict | None:
    if given == truth.lower():
        return None
    if given and given in _addresses(message, "To", "Cc"):
        return hint(
            f"{given} stands in To:. That is the header, which the author wrote, and no MTA delivers by it. For whom "
            "was it in RCPT TO? The last MTA wrote it down."
        )
    if given in _addresses(message, "Return-path", "From"):
        return hint(f"{given} is a sender. The envelope's recipient stands in another field of the last MTA.")
    return hint(f"{given} is not what RCPT TO said. Which field do the last MTAs write the recipient into?")


def _wrong_sender(given: str, truth: str, message: Message) -> Verdict | None:
    if given == truth:
        return None
    if given in _addresses(message, "From", "Sender", "Reply-To"):
        return hint(
            f"{given} stands in From:, which anybody may write. The reverse-path is what MAIL FROM said: who hears "
            "of a failure."
        )
    return hint(f"{given} is not what MAIL FROM said. The last MTA wrote it into the very first field.")


def _wrong_host(named: Sequence[str], message: Message) -> Verdict | None:
    """What is wrong with the first name or address that is not the client's."""
    top, *older = [field.value for field in message.all("Received")]
    given = next((each for each in named if each not in _clients(top)), None)
    if given is None:
        return None
    by = re.search(r"\bby (\S+)", top)
    if by and given == by[1].lower():
        return hint(
            f"{given} is your own host: the one that wrote this field, after the word by. Who called it stands after "
            "the word from."
        )
    if any(given in _clients(field) for field in older):
        return hint(
            f"{given} handed it over, but earlier: to another MTA. Each MTA puts its field on top, so the last hop is "
            "the uppermost."
        )
    return hint(f"{given} did not hand it over to your host. Read the uppermost Received: from whom?")


def _hosts(answer: object) -> list[str]:
    """The names and addresses in an answer; also as a log or a Received field writes them: H=(name) [address]."""
    words = re.split(r"[\s,;()]+", answer.lower()) if isinstance(answer, str) else []
    bare = [re.sub(r"^(?:h|helo)=", "", word).strip("[].") for word in words]
    return [word for word in bare if word not in ("", "from", "and")] or [_plain(answer)]


def _clients(received: str) -> list[str]:
    """What a Received field says of the client: its address first, then its names."""
    clause = re.split(r"\sby\s", received.strip().lower())[0]
    addresses = re.findall(r"\[([0-9a-f.:]+)\]", clause)
    names = re.findall(r"from ([^\s\[(]+)", clause) + re.findall(r"helo=([^\s)]+)", clause)
    return [*addresses, *names]


def _addresses(message: Message, *names: str) -> set[str]:
    """All that looks like an address in these fields."""
    values = " ".join(field.value for name in names for field in message.all(name))
    return {found.lower() for found in re.findall(r"[\w.+-]+@[\w.-]+", values)}


def _plain(value: object) -> str:
    """An answer without the decoration that people copy along."""
    return value.strip().strip("<>[]().;").lower() if isinstance(value, str) else ""


# -- what both, and the next file, look at ----------------------------------------------------------------------


def domain_of(world: World) -> str:
    """The student's domain."""
    return world.laptop.owner.partition("@")[2]


def who_has(host: Host, message_id: str) -> list[str]:
    """The accounts of a host in whose mailbox the message with that Message-ID is."""
    return [
        name
        for name in host.accounts
        if message_id and any(message.first("Message-ID") == message_id for message in host.mailbox(name))
    ]


def seen_mailbox(world: World, name: str) -> Seen:
    """A mailbox file as evidence: its mode and size."""
    state = world.mine.mailbox_file(name).stat()
    return Seen(world.now(), f"/var/mail/{name}", f"{stat.filemode(state.st_mode)}, {state.st_size} octets")


_ABOUT_MAIL = (EventKind.DELIVERED, EventKind.REJECTED, EventKind.DEFERRED, EventKind.FAILED)


def _about_mail(world: World) -> list[MailEvent]:
    return [event for event in world.journal.facts() if event.kind in _ABOUT_MAIL]


def _here(world: World, kind: EventKind) -> list[MailEvent]:
    """The facts of that kind at the student's host, of its own deliveries only."""
    events = world.journal.where(kind, host=world.mine.name)
    return [event for event in events if kind is not EventKind.DELIVERED or event.remote_host is None]


def _is(event: MailEvent, address: str) -> bool:
    return (event.recipient or "").lower() == address.lower()


def _is_nobody(event: MailEvent, host: Host, domain: str) -> bool:
    """Whether the event is about a name in the domain for which the host has neither an account nor a duty."""
    name, _, at = (event.recipient or "").lower().partition("@")
    return at == domain and name not in (*host.accounts, "postmaster", "root", "abuse")


def _message_id(world: World, delivered: MailEvent) -> str:
    received = world.journal.where(EventKind.RECEIVED, host=delivered.host, queue_id=delivered.queue_id)
    return next((event.message_id for event in received if event.message_id), "")
