"""An exercise of notebook 02a: mail for others goes to the relay, and the password to nobody else.

WHAT       `await probe_relay(world)` sends a letter by the student's host, then lets Mallory pose as the relay in three
           ways, and sends one each time: without TLS, with a certificate that nobody vouches for, with a good one for
           another name. `smarthost` judges what the relay, the host and Mallory have heard. About two hours pass.
DECIDES    by what happened on the network. That the relay does not know the domain yet is no mistake here.
STANDARDS  RFC 3207 §6, RFC 4954 §4, RFC 8314 §3.3, RFC 9525 §6; Exim specification, "The smtp transport"
READ NEXT  relay_domain.py
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from labkit.lab.impostor_engine import OWN
from labkit.lab.lives import is_only_a_look
from labkit.lab.world import World
from labkit.mail.event import EventKind, MailEvent
from labkit.routing import RouteOutcome
from labkit.teach.checks import Seen, Verdict, done, exercise, hint, todo
from labkit.teach.tasks.relay_ready import domain_of, untouched

CAROL = "carol@bigmail.test"
OFFERED = ("PLAIN", "LOGIN")
STRIPPED, UNSIGNED, OTHER_NAME = "without TLS", "self-signed", "other name"
WAYS = ((STRIPPED, False, "self-signed"), (UNSIGNED, True, "self-signed"), (OTHER_NAME, True, OWN))
_ASIDE = 20  # minutes: longer than a DNS answer is kept, and than the first step of the usual retry rule
_ABOUT = (EventKind.REJECTED, EventKind.DEFERRED, EventKind.FAILED, EventKind.DELIVERED, EventKind.RECEIVED)


@dataclass(frozen=True, slots=True)
class ProbedRelay:
    """What the first letter met, where mail for the own domain goes, and in which of WAYS Mallory heard a "
    "password."""

    world: World
    touched: bool
    met: tuple[MailEvent, ...] = ()
    own_mail: str = ""
    told: Mapping[str, int] | None = None  # characters of the password, by way


async def probe_relay(world: World) -> ProbedRelay:
    """Try the daemon that is running. What waits afterwards leaves by itself."""
    if untouched(world):
        return ProbedRelay(world, False)
    world.impostor.relent()
    await world.advance(minutes=_ASIDE)  # for caches
    met = await _letter(world, "By the relay")
    routed = await world.mine.route(world.laptop.owner)
    hops = [hop.host for route in routed.routes for hop in route.next_hops]
    is_home = routed.outcome is RouteOutcome.ROUTED and not hops
    own_mail = "" if is_home else (", ".join(hops) or routed.first.words or "nowhere")
    told: dict[str, int] = {}
    if own_mail or not _logged_in(world, met):  # Mallory can wait
        return ProbedRelay(world, True, met, own_mail, told)
    try:
        for name, offers_tls, certificate in WAYS:
            before = len(world.impostor.heard)
            world.impostor.forge(offers_tls=offers_tls, certificate=certificate)
            await world.advance(minutes=_ASIDE)
            await _letter(world, f"Mallory is there {name}")
            heard = world.impostor.heard[before:]
            if heard:
                told[name] = heard[-1].characters
    finally:
        world.impostor.relent()
    await world.advance(minutes=2 * _ASIDE)
    return ProbedRelay(world, True, met, own_mail, told)


async def _letter(world: World, subject: str) -> tuple[MailEvent, ...]:
    """Send one to Carol; what the student's host and the relay made of it within six minutes."""
    before = len(world.journal)
    sent = await world.laptop.send(CAROL, subject, "Is it you?\n")
    await world.advance(minutes=6)  # who connects to nobody waits for five
    tried = world.journal.where(after=before, host=world.mine.name, queue_id=sent.queue_id)
    was_tried = any(event.kind is EventKind.DEFERRED and not is_only_a_look(event) for event in tried)
    waiting = [item.queue_id for item in world.mine.queue if item.queue_id == sent.queue_id]
    for queue_id in [] if was_tried else waiting:  # exim -M: what an earlier failure left does not count now
        await world.mine.force(queue_id)
        await world.advance(minutes=6)
    mine, relay = world.mine.name, world.relay.host.name
    return tuple(
        event
        for event in world.journal.where(after=before)
        if event.kind in _ABOUT
        and (
            (event.host == mine and event.queue_id == sent.queue_id)
            or (event.host == relay and event.remote_address == world.mine.address)
        )
    )


def _logged_in(world: World, met: Iterable[MailEvent]) -> bool:
    return any(event.host == world.relay.host.name and event.authenticator for event in met)


@exercise("smarthost", "Mail for others goes by the relay, and the password to nobody but the relay")
def smarthost(probed: ProbedRelay) -> Verdict:
    """Judge what the probe found."""
    if not isinstance(probed, ProbedRelay):
        return todo('Let it be tried: check("smarthost", await probe_relay(world)).')
    if not probed.touched:
        return todo(
            "exim.conf is still the careless one, or the notebook's own. Write yours, put it in place, reload, "
            "and run this cell again."
        )
    if not probed.world.mine.is_running:
        return hint("Your host is down: await world.mine.start().")
    if probed.own_mail:
        return hint(
            f"Mail for {probed.world.laptop.owner} is your own, and your host would give it away: "
            f"{probed.own_mail}. "
            "A smarthost is for other people's domains. Which line of the router says for whom it is?",
            Seen(
                probed.world.now(),
                probed.world.mine.name,
                f"exim -bt {probed.world.laptop.owner}: {probed.own_mail}",
            ),
        )
    return _not_at_the_relay(probed) or _told_mallory(probed) or _good(probed)


# -- Mallory ---------------------------------------------------------------------------------------------------


def _told_mallory(probed: ProbedRelay) -> Verdict | None:
    told = probed.told or {}
    now, who = probed.world.now(), probed.world.impostor.host.name
    if STRIPPED in told:
        return hint(
            "Mallory left STARTTLS out of his offer, and your host told him the password in the clear: "
            "everybody on "
            "the way could read it. What must be there before a password may be said, and who has to insist "
            "on it?",
            Seen(now, who, f"heard a password of {told[STRIPPED]} characters, without TLS"),
        )
    if UNSIGNED in told:
        return hint(
            "Mallory showed a certificate that he had made himself, and your host told him the password: "
            "encrypted, "
            "so that only Mallory could read it. By default a certificate is only *tried*; the log says "
            "CV=no and goes "
            "on. Which option makes it a condition?",
            Seen(
                now, who, f"heard a password of {told[UNSIGNED]} characters, after a self-signed certificate"
            ),
        )
    if OTHER_NAME in told:
        return hint(
            "Mallory showed a certificate of the authority that you believe, for his own name, and your "
            "host told him "
            "the password. A good certificate of somebody else is worth nothing: the name must be compared, "
            "too. "
            "(Which option turns that off, and is it in your transport?)",
            Seen(
                now, who, f"heard a password of {told[OTHER_NAME]} characters, with a certificate for {who}"
            ),
        )
    return None


# -- the relay itself ------------------------------------------------------------------------------------------


def _not_at_the_relay(probed: ProbedRelay) -> Verdict | None:
    """Why the first letter has not got as far as a logged-in session; None: it has."""
    world = probed.world
    relay, mine = world.relay.host.name, world.mine.name
    if _logged_in(world, probed.met):
        return None
    refused = [event for event in probed.met if event.host == relay and event.kind is EventKind.REJECTED]
    words = [event for event in probed.met if event.host == mine and event.kind is not EventKind.RECEIVED]
    text = " ".join(event.text or "" for event in words)
    if any(event.code == 535 for event in refused):
        return hint(
            "The relay says 535: the name or the password is wrong. Who puts a password into a file puts a "
            "line end "
            "behind it; and in client_send a ^ stands for the octet 0: ^name^password.",
            *refused[-1:],
        )
    if any("STARTTLS" in (event.text or "") for event in refused):
        return hint(
            "The relay says 530: STARTTLS first. Your host went on in the clear. Which option of the "
            "transport keeps "
            "it from encrypting?",
            *refused[-1:],
        )
    if any(event.code == 530 for event in refused) or "no common mechanisms" in text:
        return _no_password(probed, refused or words)
    return _not_even_tls(probed, words, text)


def _no_password(probed: ProbedRelay, seen: list[MailEvent]) -> Verdict:
    configuration = probed.world.mine.configuration
    authenticators = configuration.partition("begin authenticators")[2].partition("\nbegin ")[0]
    named = [name.upper() for name in re.findall(r"(?m)^\s*public_name\s*=\s*(\S+)", authenticators)]
    if named and not set(named) & set(OFFERED):
        return hint(
            f"The relay offers AUTH {' '.join(OFFERED)}; your authenticator is for {', '.join(named)}, so "
            f"it was never "
            "used. public_name is the word that the server's offer is searched for.",
            *seen[-1:],
        )
    if named and not re.search(r"(?m)^\s*(?:hide\s+)?client_send\s*=", authenticators):
        return hint(
            "There is an authenticator, and it has nothing to say as a client: server_… is for those who "
            "call you, "
            "client_… for those whom you call.",
            *seen[-1:],
        )
    if named:
        return hint(
            "The relay wants to know who you are, and your host did not say it. The authenticator is there; "
            "does the "
            "transport to the relay ask for authentication (hosts_require_auth)?",
            *seen[-1:],
        )
    return hint(
        "The relay says 530: Authentication required. Your host has no authenticator as a client: that is a "
        "section of "
        "its own, at the end of exim.conf.",
        *seen[-1:],
    )


def _not_even_tls(probed: ProbedRelay, words: list[MailEvent], text: str) -> Verdict:
    """The session did not get as far as AUTH, or there was none."""
    relay = probed.world.relay.host.name
    last = words[-1:]
    if any(event.router == "others" for event in words):
        return hint(
            "The letter went another way: the router `others` took it, asked for the MX of bigmail.test, "
            "and called "
            "port 25. Routers are asked in the order of the file.",
            *last,
        )
    if "failed to open" in text or "expansion of" in text:
        return hint(f"Your host could not even make the line for AUTH: {text}", *last)
    if "certificate verification failed" in text and "invalid" not in text:
        return hint(
            "This is the true relay, its certificate is good, and your host asked for another name than the "
            "one in it. "
            f"The relay's certificate is for {relay}: what does route_list call it?",
            *last,
        )
    if "TLS session" in text:
        return hint(
            "This is the true relay, and your host does not believe its certificate. Whom does it believe? "
            "The lab's "
            "authority is a file on your host's disk; tls_verify_certificates names it, letter by letter.",
            *last,
        )
    if "lookup of host" in text or "host lookup" in text:
        return hint(f"The name of the smarthost has no address: {text}. Ask the DNS: dig NAME A.", *last)
    if "initial connection" in text:
        return hint(
            "Somebody listens there and says nothing: on that port TLS comes first, before the banner. "
            "Either another "
            "port, or another protocol in the transport.",
            *last,
        )
    if "refused" in text:
        return hint("Nobody listens at that port of the relay. Its ports are 587, 465 and 2525.", *last)
    if "timed out" in text:
        return hint(
            "The call timed out. Look at the port: what your cloud does to 25 you have seen in part 1, and "
            "25 is where "
            "the smtp transport goes if nobody says another one.",
            *last,
        )
    return hint(
        f"The letter has not got as far as a login at the relay. Your host says: {text or 'nothing'}", *last
    )


def _good(probed: ProbedRelay) -> Verdict:
    world = probed.world
    at_relay = [event for event in probed.met if event.host == world.relay.host.name and event.authenticator]
    ours = [event for event in probed.met if event.host == world.mine.name and event.cipher]
    if not any(event.is_verified for event in ours):
        return hint(
            "The relay has let you in, and your log says CV=no for that session: nobody looked at its "
            "certificate. This "
            "time it was the right one.",
            *ours[-1:],
        )
    more = ""
    if any(event.code == 550 for event in at_relay):
        more = f" It does not send for {domain_of(world)} yet (550): that is the next part."
    silent = Seen(
        world.now(), world.impostor.host.name, "has heard no password in three disguises; the letters waited"
    )
    return done(
        f"Your host has logged in at the relay, over TLS, and with a certificate that it had checked "
        f"first.{more}",
        [at_relay[-1], ours[-1], silent],
    )
