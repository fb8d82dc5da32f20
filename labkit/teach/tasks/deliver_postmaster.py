"""The third exercise of notebook 01b: mail for postmaster comes to a person, by way of root.

WHAT       `await probe_postmaster(world)` tries the host from outside: what it answers to four recipients, where three
           names lead, and where a real message for postmaster ends. `postmaster` judges what came of that.
DECIDES    the first mistake that explains the others: the domain, <postmaster> without one, a catch-all, then the chain
           link by link.
STANDARDS  RFC 5321 §4.5.1 (postmaster, also without a domain), RFC 2142 §4 (abuse)
READ NEXT  ../views/route_tree.py
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from difflib import get_close_matches

from labkit.lab.host import Host
from labkit.lab.world import World
from labkit.routing import Route, Routed, RouteOutcome
from labkit.teach.checks import Seen, Verdict, done, exercise, hint, todo
from labkit.teach.tasks.deliver import NAME, domain_of, who_has
from labkit.teach.views.explained_diff_trial import replies_to

NOBODY = "nobody-of-that-name"


@dataclass(frozen=True, slots=True)
class Probed:
    """What a stranger found out: replies to RCPT, the routes of names, and in which mailboxes the message lies."""

    world: World
    replies: Mapping[str, str]
    routes: Mapping[str, Routed]
    owners: tuple[str, ...]

    def reply(self, name: str) -> str:
        """The reply to that name with the student's domain."""
        return self.replies[f"{name}@{domain_of(self.world)}"]


async def probe_postmaster(world: World) -> Probed:
    """Try the student's host as a stranger would; a message for postmaster is really sent, if it is taken."""
    host, stranger, domain = world.mine, world.partner_laptop, domain_of(world)
    names = ("postmaster", "abuse", NOBODY)
    asked = ["postmaster", *(f"{name}@{domain}" for name in names)]
    replies = await replies_to(host, stranger, stranger.owner, asked)
    routes = {name: await host.route(f"{name}@{domain}") for name in ("postmaster", "root", "abuse")}
    owners: tuple[str, ...] = ()
    if replies[f"postmaster@{domain}"].startswith("2"):
        sent = await stranger.send(f"postmaster@{domain}", "Is anybody there?", "A test.\n", host=host.name)
        owners = tuple(who_has(host, sent.mail_object.message.first("Message-ID") or ""))
    return Probed(world, replies, routes, owners)


@exercise("postmaster", "Mail for postmaster, with and without a domain, comes to olga by way of root")
def postmaster(probed: Probed) -> Verdict:
    """Judge what the probe found."""
    if not isinstance(probed, Probed):
        return todo('Let the host be tried from outside: check("postmaster", await probe_postmaster(world)).')
    return (
        _not_attempted(probed)
        or _refused(probed)
        or _broken(probed, probed.routes["postmaster"], "postmaster")
        or _wrong_way(probed)
        or _no_abuse(probed)
        or _done(probed)
    )


def _not_attempted(probed: Probed) -> Verdict | None:
    mine, other = probed.world.mine, probed.world.partner
    if _has_alias(mine, "postmaster"):
        return None
    if _has_alias(other, "postmaster"):
        return hint(
            f"The aliases stand on {other.name}, your partner's host. Yours is {mine.name}: "
            'world.mine.path("/etc/aliases").'
        )
    if probed.reply(NOBODY).startswith("2"):
        return None
    if NAME in probed.owners:
        return None
    return todo(
        f"Write aliases for postmaster, root and abuse into /etc/aliases of your host, so that {NAME} gets their mail."
    )


def _has_alias(host: Host, name: str) -> bool:
    """Whether the file of aliases on the host's disk has a line for that name."""
    path = host.path("/etc/aliases")
    lines = path.read_text(encoding="utf-8", errors="replace").lower().splitlines() if path.is_file() else []
    return any(line.replace('"', "").startswith((f"{name}:", f"{name} ")) for line in lines)


def _refused(probed: Probed) -> Verdict | None:
    """The host does not even take it; or it takes everything."""
    domain = domain_of(probed.world)
    with_domain, bare = probed.reply("postmaster"), probed.replies["postmaster"]
    if not with_domain.startswith("2"):
        return hint(
            f"Your host answers to RCPT TO:<postmaster@{domain}>: {with_domain}. Is your domain in local_domains, and "
            "did the daemon read the file since?",
            _seen(probed, f"postmaster@{domain}"),
        )
    if not bare.startswith("2"):
        return hint(
            f"With the domain it is taken; RCPT TO:<postmaster> alone gets: {bare}. Exim completes it with "
            "qualify_recipient, else qualify_domain, else primary_hostname. Is that one of local_domains?",
            _seen(probed, "postmaster"),
        )
    if probed.reply(NOBODY).startswith("2"):
        return hint(
            f"Your host also takes {NOBODY}@{domain}, and nobody has that name. A wildcard answers for postmaster, but "
            f"for every misspelt and every invented name as well: all that spam is {NAME}'s now, and no sender learns "
            "of his mistake. Name the aliases one by one.",
            _seen(probed, f"{NOBODY}@{domain}"),
        )
    return None


def _broken(probed: Probed, routed: Routed, name: str) -> Verdict | None:
    """The chain of aliases does not end at a mailbox: at which link?"""
    if routed.is_discarded:
        return hint(f"{name} leads into :blackhole:. The host says 250, and nobody ever reads it.")
    bad = next((route for route in routed.routes if route.outcome is not RouteOutcome.ROUTED), None)
    if bad is None:
        return None
    end = bad.text.removeprefix("mail to ") or str(bad.address)
    local_part, _, domain = end.lower().partition("@")
    seen = Seen(probed.world.now(), probed.world.mine.name, f"exim -bt: {end}: {bad.words or bad.reason}")
    if end.lower() in (parent.lower() for parent in bad.parents):
        return hint(
            f"The chain comes back to {end}, which it has passed already. Exim does not follow an alias to itself a "
            "second time; it goes on to the next routers, and they know no such account.",
            seen,
        )
    if local_part == name:
        return hint(
            f"There is no way for {end}: no alias, or one that Exim does not read so. Each line of /etc/aliases is a "
            "name, a colon, and what it becomes; no newaliases is needed.",
            seen,
        )
    if domain not in _own_domains(probed):
        return hint(
            f"The chain leads out of your host, to {end}, and ends there: {bad.words or bad.reason}.", seen
        )
    if local_part == "root":
        return hint(
            "The chain breaks at root: postmaster becomes root, and root has no alias and no mailbox. The second line "
            "is missing.",
            seen,
        )
    near = get_close_matches(local_part, probed.world.mine.accounts, n=1)
    meant = f" Did you mean {near[0]}?" if near else ""
    return hint(
        f"An alias leads to {local_part}, who has no account.{meant} Your host still says 250 to postmaster, because "
        "the list acl_check_rcpt asks nothing about postmaster; then the mail comes back to the sender.",
        seen,
    )


def _wrong_way(probed: Probed) -> Verdict | None:
    """It ends in a mailbox: of olga, and by way of root?"""
    if NAME not in probed.owners:
        where = " and ".join(probed.owners)
        return hint(
            f"The message for postmaster lies in the mailbox of {where}, not of {NAME}."
            if where
            else f"The message for postmaster reached no account's mailbox. Where does it go? Not to {NAME}."
        )
    parents = {parent.lower() for route in probed.routes["postmaster"].routes for parent in route.parents}
    if not any(parent.startswith("root@") for parent in parents):
        return hint(
            f"It comes to {NAME}, but not by way of root. root gets mail, too (from cron, for one), and no mail is "
            f"ever delivered as root: let postmaster be root, and root {NAME}."
        )
    return _broken(probed, probed.routes["root"], "root")


def _no_abuse(probed: Probed) -> Verdict | None:
    domain = domain_of(probed.world)
    if not probed.reply("abuse").startswith("2"):
        return hint(
            f"postmaster works. abuse@{domain} gets: {probed.reply('abuse')}. RFC 2142 wants it: that is where people "
            "complain about spam from your domain. One more line.",
            _seen(probed, f"abuse@{domain}"),
        )
    if broken := _broken(probed, probed.routes["abuse"], "abuse"):
        return broken
    ends = {_end_of(route) for route in probed.routes["abuse"].routes}
    return None if NAME in ends else hint(f"postmaster works. abuse@{domain} does not come to {NAME}.")


def _done(probed: Probed) -> Verdict:
    world, domain = probed.world, domain_of(probed.world)
    way = next(route for route in probed.routes["postmaster"].routes if _end_of(route) == NAME)
    chain = " -> ".join([*reversed(way.parents), way.text])
    return done(
        f"Everybody reaches a person at your domain, and {NAME} can go on holiday: one line changes.",
        [
            _seen(probed, "postmaster"),
            Seen(world.now(), world.mine.name, chain),
            Seen(world.now(), f"/var/mail/{NAME}", "the message for postmaster is there"),
            _seen(probed, f"{NOBODY}@{domain}"),
        ],
    )


def _seen(probed: Probed, recipient: str) -> Seen:
    return Seen(
        probed.world.now(), probed.world.mine.name, f"RCPT TO:<{recipient}> {probed.replies[recipient]}"
    )


def _end_of(route: Route) -> str:
    """The local part that a route ends at."""
    return (route.text or str(route.address)).lower().partition("@")[0]


def _own_domains(probed: Probed) -> tuple[str, ...]:
    return domain_of(probed.world), probed.world.mine.name
