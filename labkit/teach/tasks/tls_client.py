"""An exercise of notebook 06: Ann's own host hands in mail, and tells its password to nobody but the right server.

WHAT       `await probe_client(world)` sends a letter, then lets Mallory stand before the server in four
           ways, and sends
           one each time. `careful client` judges what arrived and what Mallory heard.
DECIDES    by what happened. It does not matter whether the client uses 465 or 587.
STANDARDS  RFC 3207 §6; RFC 8314 §3, §5; RFC 9525 §6; Exim specification, "The smtp transport"
READ NEXT  tls_policy.py
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from labkit.eximconf.reader import ConfigurationError
from labkit.lab.host import Host
from labkit.lab.middle_engine import OWN
from labkit.lab.world import World
from labkit.mail.event import EventKind, MailEvent
from labkit.teach.checks import Seen, Verdict, done, exercise, hint, todo
from labkit.teach.tasks.tls_ready import ann_at_home, careless, is_as, is_first

STRIPPED, INJECTED, UNSIGNED, OTHER_NAME = "strips", "injects", "self-signed", "other name"
WAYS = (
    (STRIPPED, "strips", "self-signed"),
    (UNSIGNED, "own certificate", "self-signed"),
    (OTHER_NAME, "own certificate", OWN),
    (INJECTED, "injects", "self-signed"),
)
_TOLD = (EventKind.DEFERRED, EventKind.FAILED, EventKind.FROZEN)  # why a letter has not left
_REST = 10  # minutes: longer than the DNS remembers, and than a retry


@dataclass(frozen=True, slots=True)
class ProbedClient:
    """`met`: what the first letter met at both ends. `told`: the password's length, by way. `read`: letters, by way."""

    world: World
    touched: bool
    problem: str = ""
    met: tuple[MailEvent, ...] = ()
    told: Mapping[str, int] | None = None
    read: Mapping[str, int] | None = None

    @property
    def client(self) -> Host:
        return ann_at_home(self.world)


async def probe_client(world: World) -> ProbedClient:
    """Try it. What waits afterwards leaves by itself."""
    client, middle = ann_at_home(world), world.middle
    if is_first(client) or is_as(client, careless(world)):
        return ProbedClient(world, False)
    try:
        await client.reload()
    except ConfigurationError as problem:
        return ProbedClient(world, True, str(problem))
    middle.relent()
    await world.advance(minutes=_REST)
    met = await _letter(world, client, "To the right one")
    told: dict[str, int] = {}
    read: dict[str, int] = {}
    if not _taken(world, met):
        before = len(world.journal)
        await world.advance(minutes=_REST)  # who waits for a banner gives up after five minutes
        return ProbedClient(world, True, "", met + _noted(world, client, before), told, read)
    try:
        for name, attack, certificate in WAYS:
            middle.forge(attack, certificate=certificate)
            await world.advance(minutes=_REST)
            middle.forget()
            await _letter(world, client, f"Mallory: {name}")
            if middle.heard:
                told[name] = middle.heard[-1].characters
            if middle.letters:
                read[name] = len(middle.letters)
    finally:
        middle.relent()
    await world.advance(minutes=2 * _REST)
    return ProbedClient(world, True, "", met, told, read)


async def _letter(world: World, client: Host, subject: str) -> tuple[MailEvent, ...]:
    """Ann writes to Bob; what both ends note about it within a minute."""
    before = len(world.journal)
    owner, bob = world.laptop.owner, world.partner_laptop.owner
    text = f"From: {owner}\nTo: {bob}\nSubject: {subject}\n\nIs it you?\n"
    await client.send(owner, bob, text)
    await world.advance(seconds=20)
    return _noted(world, client, before)


def _noted(world: World, client: Host, before: int) -> tuple[MailEvent, ...]:
    hosts = (client.name, world.mine.name)
    return tuple(event for event in world.journal.where(after=before) if event.host in hosts)


def _taken(world: World, met: tuple[MailEvent, ...]) -> MailEvent | None:
    """The student's server has taken it from somebody who had logged in."""
    of_server = (event for event in met if event.host == world.mine.name)
    return next((e for e in of_server if e.kind is EventKind.RECEIVED and e.authenticator), None)


@exercise("careful client", "Ann's mail goes to her server, and her password to nobody else")
def careful_client(probed: ProbedClient) -> Verdict:
    """Judge what the probe found."""
    if not isinstance(probed, ProbedClient):
        return todo('Let it be tried: check("careful client", await probe_client(world)).')
    if not probed.touched:
        return todo(
            "The exim.conf of Ann's own host is as it was, and that one tells its password to anybody. "
            "Write yours, and "
            "run this cell again."
        )
    if probed.problem:
        seen = Seen(probed.world.now(), probed.client.name, " ".join(probed.problem.split())[:300])
        return hint("Ann's host cannot read this exim.conf and goes on with the old one.", seen)
    return _not_arrived(probed) or _told(probed) or _good(probed)


def _not_arrived(probed: ProbedClient) -> Verdict | None:
    """With nobody in between the letter must get through."""
    world = probed.world
    if _taken(world, probed.met):
        return None
    words = [e for e in probed.met if e.host == probed.client.name and e.text and e.kind in _TOLD]
    words = [e for e in words if not (e.text or "").startswith("retry time")] or words  # that is no reason
    text, last = " ".join(event.text or "" for event in words), words[:1]
    if "no certificate and key" in text or "cert/key setup" in text:
        return hint(
            "tls_certificate of a transport is what Ann's host shows of itself, and nobody has asked for that. "
            "Whom it believes is another option: tls_verify_certificates.",
            *last,
        )
    if "did not advertise AUTH" in text:
        return hint(
            "Your server offers AUTH only inside of TLS, and Ann's host was not inside. Either something in its "
            "transport keeps it from TLS, or it has not believed the certificate and went on in the clear. Its log "
            "says which: print(home.log()).",
            *last,
        )
    if "cannot be read" in text or "reading file" in text.lower() or "failed to open" in text:
        return hint("Ann's host cannot open the file of those whom it believes. Is the name right?", *last)
    if "TLS session" in text and "certificate" not in text:
        return hint(
            "TLS came to nothing, before any certificate was shown: at port 465 TLS comes before the banner, at "
            "587 after STARTTLS. Do port and protocol of the transport go together?",
            *last,
        )
    if "certificate verification failed" in text and "invalid" not in text:
        return hint(
            "This is the right server with a good certificate, and Ann's host looks for another name in it. "
            "The name "
            f"that is compared is the one the mail goes to: {world.mine.name} is in the certificate; what "
            "does "
            "route_list say?",
            *last,
        )
    if "TLS session" in text or "certificate was bad" in text:
        return hint(
            "This is the right server, and Ann's host does not believe its certificate. Whom does it "
            "believe? The "
            "system's list of authorities does not know the lab's; /etc/ssl/lab-authority.pem is the lab's, "
            "and "
            "tls_verify_certificates names it.",
            *last,
        )
    if "initial connection" in text or "timed out" in text:
        return hint(
            "Somebody listens there and says nothing: at port 465 TLS comes before the banner, and Ann's "
            "host waits for "
            "the banner. The transport's protocol says how it begins.",
            *last,
        )
    if "refused" in text and "530" not in text:
        return hint("Nobody listens at that port of your server. It has 25, 465 and 587.", *last)
    if "530" in text or "relay not permitted" in text or "550" in text or "no common mechanisms" in text:
        return hint(
            "Your server does not know who is there and refuses: Ann's host has not logged in. It must, and "
            "may only "
            "inside of TLS.",
            *last,
        )
    return hint(f"The letter has not arrived at your server. Ann's host says: {_why(words)}", *last)


def _why(words: Sequence[MailEvent]) -> str:
    """The first reason, or that there is none."""
    if not words:
        return "nothing; it has gone another way, or nowhere"
    return (words[0].text or "")[:200]


def _told(probed: ProbedClient) -> Verdict | None:
    told, read = probed.told or {}, probed.read or {}
    for name, judge in (
        (STRIPPED, _in_clear),
        (UNSIGNED, _unsigned),
        (OTHER_NAME, _other_name),
        (INJECTED, _injected),
    ):
        if name in told:
            words = f"heard a password of {told[name]} characters"
        elif name in read:
            words = "read a letter of Ann's"
        else:
            continue
        seen = Seen(probed.world.now(), probed.world.middle.host.name, f"{words} ({name})")
        return judge(seen, _transport(probed.client))
    return None


def _transport(client: Host) -> str:
    """The section of the transports, without comments."""
    section = client.configuration.partition("begin transports")[2].partition("\nbegin ")[0]
    return "\n".join(line for line in section.splitlines() if not line.lstrip().startswith("#"))


def _in_clear(seen: Seen, transport: str) -> Verdict:
    if "hosts_require_tls" in transport:
        return hint(
            "Mallory took STARTTLS out of the offer, and Ann's host went on in the clear. It demands TLS of some "
            "hosts, and where it thought to be was none of them: the attacker chooses at which address he stands. "
            "Whom does hosts_require_tls name?",
            seen,
        )
    return hint(
        "Mallory took STARTTLS out of the offer, and Ann's host went on in the clear: everybody on the way "
        "could read along. A certificate that nobody asks for cannot be checked. What makes TLS a condition, or "
        "begins with it?",
        seen,
    )


def _unsigned(seen: Seen, transport: str) -> Verdict:
    if "tls_verify_hosts" in transport.replace("tls_try_verify_hosts", ""):
        return hint(
            "Mallory showed a certificate of his own making, and Ann's host went on: encrypted, for Mallory. It "
            "verifies some hosts, and where it thought to be was none of them: the attacker chooses at which "
            "address he stands. Whom does tls_verify_hosts name?",
            seen,
        )
    return hint(
        "Mallory showed a certificate of his own making, and Ann's host went on: encrypted, for Mallory. By "
        "default a certificate is only *tried*: it is looked at, the log says CV=no, and nothing follows. Which "
        "option makes it a condition?",
        seen,
    )


def _other_name(seen: Seen, transport: str) -> Verdict:
    return hint(
        "Mallory showed a good certificate of the lab's authority, for his own name, and Ann's host went "
        "on. It has "
        "looked who signed, and not for whom: the names are compared only if nobody switches that off "
        "(tls_verify_cert_hostnames).",
        seen,
    )


def _injected(seen: Seen, transport: str) -> Verdict:
    return hint(
        "Mallory put commands in behind STARTTLS, before the handshake, and Ann's host went on with answers to "
        "what it had not asked. Where TLS comes first there is nothing to put in: which port is that?",
        seen,
    )


def _good(probed: ProbedClient) -> Verdict:
    world = probed.world
    taken = _taken(world, probed.met)
    assert taken is not None
    silent = Seen(
        world.now(),
        world.middle.host.name,
        "stood before the server in four ways, heard no password, read no letter",
    )
    return done(
        "The letter arrived; Mallory has heard nothing, and what he kept back waited and arrived.",
        [taken, silent],
    )
