"""The ways that a letter of Ann's may take to Carol at the big provider, and what the provider finds at each one's end.

WHAT       in a world of the scenario `what_survives`: `await vouch_for(world)` makes Ann's host sign and the relay send
           for her; `await send_along(world, "mailing list")` sends one letter and returns the provider's verdict;
           `await find_out(world, "direct", "relay")` is a row of the matrix for each way: SPF, DKIM, DMARC, ARC.
RULES      a verdict is what a server found that got the letter; nothing here knows how it should end.
DKIM       of a letter with several signatures, the word is about the signature of Ann's domain: the author's.
READ NEXT  provider_verdict.py, list_message.py
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from labkit.lab.keys import KeyPair, make_pair
from labkit.lab.provider_verdict import Verdict
from labkit.lab.world import World
from labkit.mail.event import EventKind, MailEvent
from labkit.mail.plainly import SaidPlainly

SELECTOR = "k1"
CAROL = "carol@bigmail.test"
WANTED = ("ownership", "DKIM", "bounces")  # of the relay's records; SPF and DMARC have a line already
RELAYED = "X-Way: relay\n"  # what Ann's configuration sends by the relay
CHECKS = ("SPF", "DKIM", "DMARC", "ARC")


@dataclass(frozen=True, slots=True)
class Way:
    """One way: to whom Ann writes, and what is special about it."""

    to: str
    words: str
    field: str = ""
    is_primary_down: bool = False
    sender_host: str = ""  # "": Ann's own


WAYS: Mapping[str, Way] = MappingProxyType(
    {
        "direct": Way(CAROL, "Ann's host calls the provider"),
        "relay": Way(CAROL, "a commercial relay sends for Ann", RELAYED),
        "forwarder": Way("carol@forward.test", "Carol's old address sends everything on"),
        "forwarder with SRS": Way("carol@srs.test", "the same, under an envelope sender of its own"),
        "backup MX": Way(CAROL, "the provider is down, its backup takes the letter", is_primary_down=True),
        "mailing list": Way("mta@lists.test", "the list adds a prefix and a footer"),
        "spoofer": Way(CAROL, "Mallory writes as Ann, from his own host", sender_host="mx.spoof.test"),
        "list, own From:": Way("kind@lists.test", "the same, and From: becomes the list's"),
        "list, sealed": Way("sealed@lists.test", "prefix and footer, and an ARC seal"),
        "list, untouched": Way("still@lists.test", "nothing is changed but the envelope"),
    }
)
SEVEN = tuple(WAYS)[:7]


class NoSuchWay(SaidPlainly, KeyError):
    """A way that there is not."""


class NotArrived(SaidPlainly, RuntimeError):
    """The provider never saw the letter; the text says what the last host said about it."""


# --- before the first letter ------------------------------------------------------------------


async def vouch_for(world: World) -> None:
    """Make Ann's key and publish it, tell the relay's records to the DNS, and let the relay verify the domain.

    What notebooks 02a and 02b do step by step. A key that is there already stays. Raises NotArrived if the relay finds
    something missing.
    """
    domain = domain_of(world)
    lines = [publish_key(world, domain)]
    lines += [each.line for each in world.relay.records(domain) if each.purpose in WANTED]
    add_to_zone(world, *lines)
    await world.advance(minutes=10)  # resolvers forget that these names were not there
    report = await world.relay.verify_domain(domain)
    if not report.is_verified:
        raise NotArrived(f"the relay does not send for {domain}: {report}")
    await world.mine.reload()


def publish_key(world: World, domain: str) -> str:
    """Put a private key where Ann's host looks for it, unless one is there; the line for the zone."""
    path = world.mine.path(f"/etc/dkim/{SELECTOR}.pem")
    if path.exists():
        pair = KeyPair.read(path.read_bytes())
    else:
        pair = make_pair()
        path.parent.mkdir(parents=True, exist_ok=True)
        with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            file.write(pair.private_pem)
    return f"{SELECTOR}._domainkey.{domain}. IN TXT {_strings(pair.record)}"


def _strings(record: str) -> str:
    """A text as the strings of a TXT record, each of at most 255 octets."""
    return " ".join(f'"{record[at : at + 255]}"' for at in range(0, len(record), 255))


def add_to_zone(world: World, *lines: str) -> None:
    """Put lines below what the zone of the apex says; a line that is there already is not put in twice."""
    apex = domain_of(world).partition(".")[2]
    text = world.zone(apex)
    new = [line for line in lines if line not in text]
    if new:
        world.write_zone(apex, "\n".join([text.rstrip("\n"), *new, ""]))


def domain_of(world: World) -> str:
    """The student's domain: that of the laptop's owner."""
    return world.laptop.owner.rpartition("@")[2]


# --- a letter ---------------------------------------------------------------------------------


async def send_along(world: World, way: str, *, subject: str = "Lunch?", text: str = "At noon?\n") -> Verdict:
    """Send a letter of Ann's that way; what the provider found. Raises NoSuchWay, NotArrived."""
    if way not in WAYS:
        raise NoSuchWay(f"there is no way {way!r}; there are {', '.join(WAYS)}")
    along, ann = WAYS[way], world.laptop.owner
    number = sum(1 for _ in world.journal.where(EventKind.RECEIVED)) + 1
    message_id = f"<{way.replace(' ', '-').replace(',', '').replace(':', '')}.{number}@{domain_of(world)}>"
    letter = f"{along.field}From: Ann <{ann}>\nTo: {along.to}\nSubject: {subject}\nMessage-ID: {message_id}\n\n{text}"
    host = world.host(along.sender_host) if along.sender_host else world.mine
    primary = world.provider.host
    if along.is_primary_down:
        await primary.stop()
    try:
        await host.send(ann, along.to, letter)
    finally:
        if along.is_primary_down:
            await primary.start()
    if along.is_primary_down:
        await world.advance(hours=1)  # the backup's queue runs
    return verdict_on(world, message_id)


def verdict_on(world: World, message_id: str) -> Verdict:
    """The provider's last verdict on a letter. Raises NotArrived."""
    for verdict in reversed(world.provider.verdicts):
        if verdict.message_id == message_id:
            return verdict
    events = world.journey(message_id).events
    ends = [
        each for each in events if each.kind in (EventKind.FAILED, EventKind.DEFERRED, EventKind.DELIVERED)
    ]
    raise NotArrived(f"the provider never saw {message_id}{_last_words(ends)}")


def _last_words(ends: list[MailEvent]) -> str:
    if not ends:
        return ": no host has tried to deliver it"
    last = ends[-1]
    return (
        f": the last that is known of it: {last.host}, {last.recipient}, {last.kind.value}: {last.text or ''}"
    )


# --- the matrix -------------------------------------------------------------------------------


def results(verdict: Verdict, domain: str) -> dict[str, str]:
    """A row of the matrix: the word of each check. DKIM is about the signatures with d= `domain`."""
    own = [each.result for each in verdict.dkim if each.domain.lower() == domain.lower()]
    dkim = "pass" if "pass" in own else own[0] if own else "none"
    return dict(zip(CHECKS, (verdict.spf.result, dkim, verdict.dmarc.result, verdict.arc.result)))


async def find_out(world: World, *ways: str) -> dict[str, dict[str, str]]:
    """Send a letter along each of the ways; a row for each: {"direct": {"SPF": "pass", ...}}."""
    domain = domain_of(world)
    return {way: results(await send_along(world, way), domain) for way in ways or SEVEN}
