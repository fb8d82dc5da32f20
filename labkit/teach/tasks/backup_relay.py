"""An exercise of notebook 03: the student's host takes mail for the partner's domain, and for nobody else's.

WHAT       `await probe_backup(world)` calls the student's host from the network, as a stranger and from the student's
           laptop, and asks where three addresses would go. `backup relay` judges what came of that.
DECIDES    the worst first: an open relay; then what keeps the mail out, or sends it the wrong way.
STANDARDS  RFC 5321 §5.1 (only to lower preferences), §7.9 (open relays); Exim specification, "Domain lists"
READ NEXT  backup_wait.py
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from labkit.lab.host import Host
from labkit.lab.laptop import Laptop
from labkit.lab.world import World
from labkit.routing import Routed, RouteOutcome
from labkit.teach.checks import Seen, Verdict, done, exercise, hint, todo
from labkit.teach.tasks.backup_zone import partner_domain
from labkit.teach.views.probes_talk import say

ELSEWHERE = "somebody@elsewhere.test"


@dataclass(frozen=True, slots=True)
class Probed:
    """The replies to RCPT that a stranger and the student's laptop heard, by recipient; the routes; who "
    "was asked."""

    world: World
    stranger: Mapping[str, str]
    laptop: Mapping[str, str]
    routed: Routed

    def told(self, recipient: str) -> str:
        return self.stranger[recipient]


async def probe_backup(world: World) -> Probed:
    """Ask the student's host from outside, over the network: what the daemon that is running says."""
    host, caller = world.mine, _somebody_outside(world)
    bob, ann = world.partner_laptop.owner, world.laptop.owner
    asked = [bob, f"x@below.{partner_domain(world)}", ann, ELSEWHERE]
    return Probed(
        world,
        await _replies(host, caller, "stranger@bigmail.test", asked),
        await _replies(host, world.laptop, ann, [ELSEWHERE, bob]),
        await host.route(bob),
    )


def _somebody_outside(world: World) -> Host:
    """A host that nobody has a reason to trust: one outside, else the partner's."""
    outside = [host for host in world.hosts.values() if host.engine.name == "outside"]
    return outside[0] if outside else world.partner


async def _replies(host: Host, caller: Host | Laptop, sender: str, asked: list[str]) -> dict[str, str]:
    commands = [f"EHLO {caller.name}", f"MAIL FROM:<{sender}>", *(f"RCPT TO:<{each}>" for each in asked)]
    heard = list(await say(host, caller, commands))
    heard += [heard[-1]] * (len(commands) + 1 - len(heard))
    return dict(zip(asked, (reply.splitlines()[-1] for reply in heard[3:])))


@exercise(
    "backup relay", "Your host takes mail for your partner's domain from everybody, and relays nothing else"
)
def backup_relay(probed: Probed) -> Verdict:
    """Judge what the probe found."""
    if not isinstance(probed, Probed):
        return todo('Let the host be asked from outside: check("backup relay", await probe_backup(world)).')
    world, bob, ann = probed.world, probed.world.partner_laptop.owner, probed.world.laptop.owner
    return (
        _open_relay(probed)
        or (None if _ok(probed.told(bob)) else _bob_is_refused(probed, bob))
        or _wrong_way(probed, bob)
        or _own_mail(probed, ann)
        or done(
            f"Strangers may leave mail for {partner_domain(world)} here, and for your own domain; nothing "
            "else.",
            [_seen(probed, bob), _seen(probed, ann), _seen(probed, ELSEWHERE), _route(probed)],
        )
    )


def _open_relay(probed: Probed) -> Verdict | None:
    host = probed.world.mine
    if not probed.told(ELSEWHERE).startswith(("2", "4")) and "relay" in probed.told(ELSEWHERE):
        return None
    if probed.told(ELSEWHERE).startswith("5") and not _ok(probed.told(probed.world.partner_laptop.owner)):
        return None
    hosts = _list_of(host, "relay_from_hosts")
    if hosts is not None and hosts != _list_in(_plan(probed.world, host), "relay_from_hosts"):
        return hint(
            "A stranger may now send to anybody through your host: an open relay. relay_from_hosts says WHO "
            "may send anywhere, and that is still only your laptop. A backup says FOR WHOM everybody may "
            "leave mail: another list.",
            _seen(probed, ELSEWHERE),
        )
    return hint(
        "A stranger may now send to anybody through your host: an open relay. Which statement of your list "
        "check_rcpt lets every domain in? The list of domains must name one domain.",
        _seen(probed, ELSEWHERE),
    )


def _bob_is_refused(probed: Probed, bob: str) -> Verdict:
    """Somebody outside cannot leave mail for the partner: why?"""
    world, host, domain = probed.world, probed.world.mine, partner_domain(probed.world)
    said, plan = probed.told(bob), _plan(world, host)
    seen = _seen(probed, bob)
    if not host.is_running:
        return hint("Your host is down: nobody is there to take anything. await world.mine.start().")
    if "relay not permitted" not in said:
        if domain in re.split(r"[\s:]+", _list_of(host, "local_domains") or ""):
            return hint(
                f"Your host believes that {domain} is its own, and looks for an account: {said}. "
                "local_domains are those whose mail ends here. Bob's ends at Bob's host; here it only waits.",
                seen,
            )
        return hint(f"A stranger who has mail for {bob} hears: {said}. What does exim -bt {bob} say?", seen)
    if host.configuration == plan:
        if world.partner.configuration != _plan(world, world.partner) and domain in (
            _list_of(world.partner, "relay_to_domains") or ""
        ):
            return hint(
                f"You changed {world.partner.name}, which is Bob's. The host that is to keep his mail is "
                f"yours: {host.name}.",
                seen,
            )
        return todo(f"Change exim.conf of {host.name} so that strangers may leave mail for {domain} there.")
    if "relay not permitted" not in probed.told(f"x@below.{domain}"):
        return hint(
            f"x@below.{domain} would be taken, {bob} is not: the item *.{domain} matches every name BELOW "
            "the domain, and not the domain itself.",
            _seen(probed, f"x@below.{domain}"),
            seen,
        )
    return _relay_refused(probed, _list_of(host, "relay_to_domains"), seen)


def _relay_refused(probed: Probed, listed: str | None, seen: Seen) -> Verdict:
    """`relay not permitted`, although the file was changed."""
    world, host = probed.world, probed.world.mine
    domain, own = partner_domain(world), world.laptop.owner.partition("@")[2]
    hosts = _list_of(host, "relay_from_hosts") or ""
    if listed is None and hosts != _list_in(_plan(world, host), "relay_from_hosts"):
        return hint(
            "relay_from_hosts names hosts that may send anywhere. Carol's host is not there and must not "
            f"be. What is missing is a list of domains: for {domain} everybody may leave mail.",
            seen,
        )
    items = re.split(r"[\s:]+", listed or "")
    if listed is not None and domain not in items:
        if own in items:
            return hint(
                f"relay_to_domains names {own}: that is your own domain, and its mail ends here. Whose "
                "mail is to wait?",
                seen,
            )
        return hint(f"relay_to_domains is now '{listed}'. Is that, letter by letter, {domain}?", seen)
    acl = host.configuration.partition("begin acl")[2].partition("\nbegin ")[0]
    if listed is not None and "+relay_to_domains" not in acl:
        return hint(
            "The list relay_to_domains is there, but nobody reads it: no statement of check_rcpt names it. "
            "A list of "
            "domains permits nothing by itself; with a + before its name it can stand beside +local_domains.",
            seen,
        )
    return hint(
        "The file on the disk is another one, and the daemon still says: relay not permitted. A daemon "
        "reads its configuration at the start and when it gets HUP. (If you did that: which statement "
        "refuses, and what stands above it?)",
        seen,
    )


def _wrong_way(probed: Probed, bob: str) -> Verdict | None:
    """It is taken; would it go to the partner's host, found by MX?"""
    theirs = probed.world.partner
    routed = probed.routed
    if routed.outcome is not RouteOutcome.ROUTED:
        return hint(f"Your host takes mail for {bob} and has no way for it: {_end(routed)}.", _route(probed))
    first = routed.first
    hops = [hop.host.rstrip(".").lower() for hop in first.next_hops]
    if not hops:
        return hint(
            f"Mail for {bob} would end here, by the transport {first.transport}: nobody at Bob's sees it "
            "again. local_domains are the domains whose mail ends at this host.",
            _route(probed),
        )
    if hops[0] != theirs.name:
        return hint(
            f"Mail for {bob} would go to {hops[0]}: a router takes every foreign domain there, before the "
            "one that asks for MX records sees it. That host looks up the MX itself, and may well hand it "
            "back to you: a loop. Mail that you keep for others goes by MX.",
            _route(probed),
        )
    return None


def _own_mail(probed: Probed, ann: str) -> Verdict | None:
    if not _ok(probed.told(ann)):
        return hint(
            f"Now your own domain is refused: a stranger who writes to {ann} hears {probed.told(ann)}. Both "
            "lists must stand in that statement, with a colon between them.",
            _seen(probed, ann),
        )
    if probed.laptop[ELSEWHERE].startswith("550 relay"):
        return hint(
            f"Your own laptop cannot send any more: {probed.laptop[ELSEWHERE]}. The first statement of "
            "check_rcpt was for it.",
            Seen(
                probed.world.now(),
                probed.world.mine.name,
                f"RCPT TO:<{ELSEWHERE}> {probed.laptop[ELSEWHERE]}",
            ),
        )
    return None


def _ok(reply: str) -> bool:
    return reply.startswith("2")


def _end(routed: Routed) -> str:
    return routed.first.words or routed.first.reason or routed.outcome.value


def _route(probed: Probed) -> Seen:
    bob, first = probed.world.partner_laptop.owner, probed.routed.first
    hops = ", then ".join(f"{hop.host} [{hop.address}]" for hop in first.next_hops) or _end(probed.routed)
    return Seen(probed.world.now(), probed.world.mine.name, f"exim -bt {bob}: {hops}")


def _seen(probed: Probed, recipient: str) -> Seen:
    return Seen(probed.world.now(), probed.world.mine.name, f"RCPT TO:<{recipient}> {probed.told(recipient)}")


def _plan(world: World, host: Host) -> str:
    """The configuration that the scenario gave the host."""
    return next(plan.configuration for plan in world.scenario.hosts if plan.name == host.name)


def _list_of(host: Host, name: str) -> str | None:
    """The items of a named list as they stand in the host's file; None: it has no such list."""
    return _list_in(host.configuration, name)


def _list_in(text: str, name: str) -> str | None:
    found = re.search(rf"(?m)^\s*\w+list\s+{name}\s*=[ \t]*(.*)$", text)
    return found[1].strip() if found else None
