"""The last exercise of notebook 00c: an alias chain.

WHAT       postmaster leads to root, root to the student; <postmaster> needs no domain; nothing else is caught.
STANDARDS  RFC 5321 §4.5.1 (postmaster), §3.9.1 (aliases); Exim specification, "The redirect router"
READ NEXT  ../views/probes.py
"""

from __future__ import annotations

from labkit.routing import RouteOutcome
from labkit.teach.checks import Seen, Verdict, done, exercise, hint, todo
from labkit.teach.tasks.exim_conf_trial import Trial, in_the_way, tries


@tries("alias chain")
async def _try_postmaster(trial: Trial) -> None:
    world, domain = trial.world, trial.domain
    names = _postmasters(domain)
    await trial.ask("stranger", world.partner_laptop, [*names, f"zoe@{domain}", world.laptop.owner])
    theirs = f"postmaster@{world.partner_laptop.owner.partition('@')[2]}"
    for address in (*names[1:], theirs):
        trial.routes[address] = await world.mine.route(address)
    for name in names:
        if trial.takes("stranger", name):
            await trial.write(world.partner_laptop, name)


def _postmasters(domain: str) -> tuple[str, str, str]:
    return "postmaster", f"postmaster@{domain}", f"root@{domain}"


@exercise("alias chain", "postmaster leads to root, root to you, and <postmaster> needs no domain")
def alias_chain(trial: Trial) -> Verdict:
    """Three names, one mailbox; and nothing else is caught by the aliases."""
    if (stop := in_the_way(trial, "alias chain")) is not None:
        return stop
    world, domain, person = trial.world, trial.domain, trial.world.laptop.owner.partition("@")[0]
    bare, full, root = _postmasters(domain)
    show = tuple(trial.heard("stranger", name) for name in (bare, full, root))
    if trial.takes("stranger", f"zoe@{domain}"):
        return hint(
            "Now everybody exists, zoe, too. Only the names in the alias file may be taken.",
            trial.heard("stranger", f"zoe@{domain}"),
        )
    if not trial.takes("stranger", f"{person}@{domain}") and not trial.stumbles(full):
        return hint(
            f"{person}@{domain} is not reached any more: the aliases must let pass what they do not know.",
            trial.heard("stranger", f"{person}@{domain}"),
        )
    if not trial.takes("stranger", full):
        return _leads_nowhere(trial, full, root, person)
    if not trial.takes("stranger", root):
        return hint(
            f"{full} is taken, but {root} is not: the chain has a shortcut. Let postmaster lead to root, "
            "and root to a person.",
            *show,
        )
    theirs = next(address for address in trial.routes if not address.endswith(f"@{domain}"))
    if not any(route.hosts for route in trial.routes[theirs].routes):
        return hint(
            f"Your aliases catch {theirs}, too, and that is not your domain. The redirect router needs "
            "'domains = +local_domains', as not every address that it sees is yours.",
            Seen(world.now(), trial.host.name, f"{theirs} does not go to {world.partner.name}"),
        )
    if not trial.takes("stranger", bare):
        return hint(
            f"Every host must take <postmaster> without a domain (RFC 5321 §4.5.1). Exim adds the name in "
            f"'qualify_domain'. It is the host's name, {trial.host.name}, unless you say otherwise, and that name is "
            "not in local_domains.",
            trial.heard("stranger", bare),
        )
    if trial.is_in_mailbox(root, trial.host, "root"):
        return _is_for_root(trial, full, root, person)
    for name in (full, root, bare):
        if not trial.is_in_mailbox(name, trial.host, person):
            return hint(
                f"{name} is taken, but the letter does not lie in {person}'s mailbox. "
                f"Where does it go? exim -bt {name}",
                trial.heard("stranger", name),
            )
    arrived = [event for name in (bare, full, root) for event in trial.arrivals(name)]
    return done(f"Three names, one mailbox: {person} is the postmaster.", [*show, *arrived])


def _is_for_root(trial: Trial, full: str, root: str, person: str) -> Verdict:
    """Every machine has an account root, so somebody takes its mail, and nobody reads it."""
    show = (trial.heard("stranger", full), trial.heard("stranger", root))
    where = "root is an account of every machine, and nobody reads /var/mail/root"
    if trial.is_in_mailbox(full, trial.host, person):
        return hint(
            f"postmaster reaches {person}, but {root} does not: the chain has a shortcut ({where}). "
            "Let postmaster lead to root, and root to a person.",
            *show,
        )
    asked = [step.router for step in trial.routes[root].first.steps]
    makes_aliases = next((step.router for step in trial.routes[full].first.steps if step.took), None)
    if makes_aliases in asked[:-1]:
        return hint(
            f"postmaster leads to root, and root leads to nobody: the chain lacks its second line ({where}).",
            *show,
        )
    return hint(
        f"{root} is taken before anybody looks at the aliases: {where}. A router that makes aliases stands before "
        "the one that finds accounts.",
        *show,
    )


def _leads_nowhere(trial: Trial, full: str, root: str, person: str) -> Verdict:
    """postmaster@ is refused or put off: where does the chain end?"""
    routed = trial.routes[full]
    ends = [str(route.address) for route in routed.routes]
    strangers = [end for end in ends if not end.endswith(f"@{trial.domain}")]
    show = trial.heard("stranger", full)
    if strangers:
        return hint(
            f"postmaster leads to {strangers[0]}. A name without a domain in an alias file gets the one in "
            f"'qualify_domain', and that is the host's name unless you say otherwise.",
            show,
        )
    if routed.outcome is RouteOutcome.DEFERRED:
        return hint(
            "Your host answers 451: the redirect router stumbles. Is the file there, at the path that the "
            "router names, and is every line of the form 'name: address'?",
            show,
        )
    if ends and ends[-1] == root:
        return hint(
            "postmaster leads to root, and root leads to nobody: the chain lacks its second line.", show
        )
    if ends and ends[-1] != full:
        return hint(
            f"postmaster leads to {ends[-1]}, and nobody has that name here. Is {person} spelt right?", show
        )
    if any(step.took for route in routed.routes for step in route.steps):
        return hint(
            "The aliases go round in a circle: postmaster leads back to postmaster. Exim asks no alias twice.",
            show,
        )
    return todo(
        "postmaster is still unknown. Write the alias file, and a redirect router that looks the local part up in it."
    )
