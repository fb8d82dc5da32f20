"""The first exercises of notebook 00c: who may relay, and every name below a domain.

DECIDES    which mistake is told first. What a caller from an impossible address would hear (`exim -bh`) tells a list
           that means nobody from one that was never written; where all callers hear the same, the file itself tells.
STANDARDS  Exim specification, "Domain, host, address, and local part lists", "Access control lists"
READ NEXT  exim_conf_written.py, exim_conf_aliases.py
"""

from __future__ import annotations

from labkit.lab.world import World
from labkit.teach.checks import Seen, Verdict, done, exercise, hint, todo
from labkit.teach.tasks.exim_conf_trial import STUMBLES, Trial, examine, in_the_way, tries
from labkit.teach.tasks.exim_conf_written import leading_dot, why_not_let_in

__all__ = ["examine"]

STRANGERS_NETWORK = "192.0.2.200"  # RFC 5737: an address that no machine of the lab has
NO_ADDRESS, THIS_MACHINE = "0.0.0.0", "127.0.0.1"


# --- 1: every name below ---


@tries("names below")
async def _try_names(trial: Trial) -> None:
    world, domain = trial.world, trial.domain
    ann, zoe = world.laptop.owner.partition("@")[0], "zoe"
    asked = [f"{ann}@{domain}", *(f"{ann}@{name}" for name in _below(domain))]
    asked += [f"{zoe}@lab.{domain}", f"{ann}@evil{domain}", *_at_the_partner(world)]
    await trial.ask("stranger", world.partner_laptop, asked)
    if trial.takes("stranger", *asked[1:2]):
        await trial.write(world.partner_laptop, asked[1])


def _below(domain: str) -> tuple[str, str]:
    return f"lab.{domain}", f"deep.lab.{domain}"


def _at_the_partner(world: World) -> tuple[str, str]:
    """The partner, and our own person's name in the partner's domain."""
    theirs = world.partner_laptop.owner
    return theirs, f"{world.laptop.owner.partition('@')[0]}@{theirs.partition('@')[2]}"


@exercise("names below", "Mail for your domain and for every name below it is yours, and no other")
def names_below(trial: Trial) -> Verdict:
    """The domain itself, two names below it, one that only looks like it, and the partner's."""
    if (stop := in_the_way(trial, "names below")) is not None:
        return stop
    domain, person = trial.domain, trial.world.laptop.owner.partition("@")[0]
    own, (lab, deep) = f"{person}@{domain}", (f"{person}@{name}" for name in _below(trial.domain))
    evil, partners = f"{person}@evil{domain}", _at_the_partner(trial.world)
    show = trial.heard("stranger", own), trial.heard("stranger", lab)
    if trial.stumbles(own, lab):
        return hint(STUMBLES, *show)
    for theirs in partners:
        if trial.takes("stranger", theirs):
            return hint(
                f"A stranger may now send mail for {theirs} through your host, and that domain is your partner's. "
                "A star alone matches every domain there is.",
                trial.heard("stranger", theirs),
            )
    if not trial.takes("stranger", lab) and (dotted := leading_dot(trial)):
        return hint(
            f"'{dotted}' begins with a dot, and a leading dot means nothing here: it is only a name that nobody has. "
            "In Exim a star stands for what comes before the dot.",
            *show,
        )
    if not trial.takes("stranger", own):
        if trial.takes("stranger", lab):
            return hint(
                f"The names below are yours now, but {domain} itself is not any more: "
                f"'*.{domain}' wants something before the dot. A list may have two items.",
                *show,
            )
        return hint(
            "Now no name is yours any more. The items of a list are separated by colons: with a comma or a blank "
            "between them, Exim takes everything for one long name.",
            *show,
        )
    if trial.takes("stranger", evil):
        return hint(
            f"evil{domain} counts as yours now, and anybody can register such a name. "
            f"'*{domain}' only compares how the name ends: the dot after the star matters.",
            trial.heard("stranger", evil),
        )
    if not trial.takes("stranger", lab):
        if "Unrouteable" in trial.said["stranger", lab]:
            return hint(
                f"The ACL lets lab.{domain} in, but no router takes it there: the routers ask the list, too. "
                "So change the list and not the ACL.",
                trial.heard("stranger", lab),
            )
        return todo(
            f"lab.{domain} is not yours yet. Change the list local_domains, so that {domain} and all names "
            "below it are in it. In Exim a star stands for anything at the beginning of a name."
        )
    if not trial.takes("stranger", deep):
        return hint(
            f"lab.{domain} is yours, deep.lab.{domain} is not. Do not list the names one by one: "
            "a star stands for any number of them.",
            trial.heard("stranger", deep),
        )
    if trial.takes("stranger", f"zoe@lab.{domain}"):
        return hint(
            "Your host now takes mail for people who do not exist: 'require verify = recipient' is missing.",
            trial.heard("stranger", f"zoe@lab.{domain}"),
        )
    arrived = trial.arrivals(lab)
    if not trial.is_in_mailbox(lab, trial.host, person):
        return hint(
            f"{lab} is taken, but the letter does not lie in {person}'s mailbox. "
            "Look at the last lines of the log: what do the routers and the transport say?",
            trial.heard("stranger", lab),
        )
    seen = [trial.heard("stranger", each) for each in (own, lab, deep, evil)]
    return done(f"{domain} and everything below it is yours; evil{domain} is not.", [*seen, *arrived])


# --- 2: who may relay ---


@tries("relay")
async def _try_relay(trial: Trial) -> None:
    world = trial.world
    ann, bob = world.laptop.owner, world.partner_laptop.owner
    asked = [bob, ann, f"zoe@{trial.domain}"]
    await trial.ask("stranger", world.partner_laptop, asked)
    await trial.ask("laptop", world.laptop, asked)
    await trial.ask("liar", world.partner_laptop, [bob], sender=ann)
    await trial.ask_from(STRANGERS_NETWORK, bob)
    if trial.takes("laptop", bob) and not trial.takes("stranger", bob):
        await trial.write(world.laptop, bob)
    elif not trial.takes("laptop", bob):
        for address in (NO_ADDRESS, THIS_MACHINE, trial.host.address):
            await trial.ask_from(address, bob)


@exercise("relay", "Your laptop may send mail anywhere through your host, and no stranger may")
def relay(trial: Trial) -> Verdict:
    """The laptop is let through to the partner; a stranger, near or far or lying, is not."""
    if (stop := in_the_way(trial, "relay")) is not None:
        return stop
    world = trial.world
    ann, bob, zoe = world.laptop.owner, world.partner_laptop.owner, f"zoe@{trial.domain}"
    show = trial.heard("stranger", bob), trial.heard("laptop", bob)
    if trial.stumbles(ann, bob):
        return hint(STUMBLES, *show)
    if not trial.takes("stranger", ann):
        return hint(
            f"Strangers cannot write to {ann} any more. 'require hosts' turns everybody else away; "
            "'accept hosts' lets some in and passes the others on to the next statement.",
            trial.heard("stranger", ann),
        )
    if trial.takes("stranger", bob):
        return _too_open(trial, bob)
    if trial.takes("liar", bob):
        return hint(
            f"A stranger who says MAIL FROM:<{ann}> may relay: the sender is only text, and anybody can write it. "
            "Decide by the address of the host that calls.",
            Seen(world.now(), trial.host.name, f"MAIL FROM:<{ann}> by a stranger, RCPT TO:<{bob}>: accepted"),
        )
    if not trial.takes("laptop", bob):
        return _still_closed(trial, bob, zoe)
    if trial.takes("stranger", zoe):
        return hint(
            "Strangers may write to people who do not exist: 'require verify = recipient' is missing.",
            trial.heard("stranger", zoe),
        )
    arrived = trial.arrivals(bob)
    if not arrived:
        return hint(
            f"Your host takes your laptop's letter for {bob}, but it did not arrive there. "
            "Does it wait in the queue? The log says why.",
            *show,
        )
    return done("Your laptop may relay, strangers may not, whatever they say.", [*show, *arrived])


def _too_open(trial: Trial, bob: str) -> Verdict:
    show = trial.heard("stranger", bob), trial.heard("laptop", bob)
    if not trial.takes("laptop", bob):
        laptop = trial.world.laptop.address
        return hint(f"The wrong laptop may relay. Yours has the address {laptop}: see the card.", *show)
    if trial.takes(STRANGERS_NETWORK, bob):
        return hint(
            "Everybody may relay now: your host is an open relay, and spammers look for those. "
            "Which line accepts without asking who calls?",
            *show,
        )
    return hint(
        "Your laptop may relay, and so may its neighbours: the network is too wide. The partner's laptop is in it. "
        "Name the one address.",
        *show,
    )


def _still_closed(trial: Trial, bob: str, zoe: str) -> Verdict:
    show = trial.heard("laptop", bob)
    laptop = trial.world.laptop.address
    if trial.takes(NO_ADDRESS, bob):
        return hint(
            f"0.0.0.0 does not mean everybody: it is one address, and nobody calls from it. "
            f"Name the address of your laptop, {laptop}.",
            show,
        )
    if trial.takes(THIS_MACHINE, bob):
        return hint(
            "localhost is your host itself, and your laptop is another machine: it is not let through. Worse, behind "
            "NAT or a container bridge everybody may look like localhost. Name the address of your laptop.",
            show,
        )
    if trial.takes(trial.host.address, bob):
        return hint(
            f"{trial.host.address} is your host's own address. Who calls it is your laptop, {laptop}.", show
        )
    if because := why_not_let_in(trial):
        return hint(because, show, trial.heard("laptop", zoe))
    if trial.takes("laptop", zoe):
        return hint(
            "Your host knows your laptop, but too late: the statements are asked from top to bottom, and "
            "'require domains' has refused before. Where must the new line stand?",
            show,
            trial.heard("laptop", zoe),
        )
    return todo(
        "Your laptop is still treated as a stranger. It needs two lines: a hostlist with its address, and an "
        "'accept hosts = +' with the name of that list, in the right place."
    )
