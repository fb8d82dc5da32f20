"""The first exercise of notebook 05: a record, so that the world knows where mail for the shop goes.

WHAT       `shop in the zone` looks at what the nameserver serves: one zone, or a delegated one, however written.
DECIDES    which mistake is told first: the old domain, the alias, then what the MX names, then a star.
STANDARDS  RFC 5321 §5.1 (MX, implicit MX), RFC 1034 §3.6.2 (an alias stands alone), RFC 4592 (stars)
READ NEXT  records.py, virtual.py
"""

from __future__ import annotations

from labkit.lab.world import World
from labkit.mail.questions import DnsOutcome
from labkit.teach.checks import Verdict, done, exercise, hint, todo
from labkit.teach.tasks.records import exchangers, is_there, listed, quoted, seen, trouble_with
from labkit.teach.views.zone_answers import Answer, served

NOBODYS = "no-such-name"


def domains_of(world: World) -> tuple[str, str]:
    """The student's domain, and the shop below it."""
    own = world.laptop.owner.partition("@")[2]
    return own, f"shop.{own}"


@exercise("shop in the zone", "The DNS says that mail for the shop goes to your host")
def shop_in_the_zone(world: World) -> Verdict:
    """The shop has an MX of its own that leads to the student's host, and the old domain still has its."""
    domain, shop = domains_of(world)
    found, former = served(world, shop, "MX"), served(world, domain, "MX")
    if f"{world.mine.name}." not in exchangers(former):
        return hint(
            f"{domain} itself has lost its MX to '{world.mine.name}.': mail for your first domain does not "
            "come any more. The new record is one more, beside the old one.",
            *seen(world, former),
        )
    if is_alias(world, shop):
        return hint(
            f"{shop} is an alias (CNAME). Mail would come, but such a name has no other records (RFC 1034 "
            "§3.6.2): the shop could never have an SPF record or a second MX, and some MTAs then put the "
            "other name into the address. Give it an MX.",
            *seen(world, served(world, shop, "CNAME")),
        )
    if found.outcome is not DnsOutcome.FOUND:
        return _none(world, found)
    for exchange in exchangers(found):
        if trouble := trouble_with(world, shop, exchange):
            return hint(trouble, *seen(world, found))
        if world.mine.address not in (address := served(world, exchange, "A")).data:
            return hint(
                f"An MX of {shop} names '{exchange}' at {listed(address.data)}. That host does not know your "
                f"shop, and would refuse its mail. Yours is {world.mine.name} at {world.mine.address}.",
                *seen(world, found),
                *seen(world, address),
            )
    if stray := is_there(world, f"{NOBODYS}.{domain}", rdtypes=("MX",)):
        return hint(
            f"'{stray.name}' has an MX, too: a star in the zone answers for every name below {domain} that "
            "does not exist. Then mail for a misspelt name comes to you as well. Write the one name.",
            *seen(world, stray),
        )
    if doubled := [name for name in (f"{shop}.{domain}", f"{shop}.{_apex(domain)}") if _has_mx(world, name)]:
        return hint(
            f"The shop has its MX. But there is a name {quoted(f'{name}.' for name in doubled)} as well, to "
            "which the origin was added. Take that line out."
        )
    best = next(iter(exchangers(found)))
    return done(
        f"Whoever has mail for {shop} now asks the DNS, and is sent to your host.",
        [*seen(world, found), *seen(world, served(world, best, "A"))],
    )


def _none(world: World, found: Answer) -> Verdict:
    """The shop has no MX: what is there in its place?"""
    domain, shop = domains_of(world)
    apex = _apex(domain)
    address = served(world, shop, "A")
    if address.data and world.mine.address in address.data:
        return hint(
            f"{shop} has an A record and no MX. Senders then take the name itself for its mail host (the "
            "implicit MX, RFC 5321 §5.1), so mail would even come. But when the shop's web site moves "
            "elsewhere, its mail moves along. Say it by an MX.",
            *seen(world, address),
        )
    if address.data:
        return hint(
            f"{shop} has an A record, {listed(address.data)}, and no MX: mail is tried there (the implicit "
            f"MX), and that is not your host, which is at {world.mine.address}. Say it by an MX.",
            *seen(world, address),
        )
    if astray := is_there(world, f"{shop}.{apex}", f"{shop}.{domain}", f"{shop}.{shop}"):
        return hint(
            f"There is a name '{astray.name}' now. A name without a dot at its end is completed with the "
            f"origin: write '{shop}.' with a final dot, or only what stands before the origin.",
            *seen(world, astray),
        )
    if astray := is_there(world, f"shop.{apex}"):
        return hint(
            f"You made '{astray.name}'. The shop belongs below your own domain: {shop}. In the zone {apex} "
            "its short name has two parts.",
            *seen(world, astray),
        )
    if astray := is_there(world, *_machines(world), rdtypes=("MX",)):
        return hint(
            f"'{astray.name}' has an MX now. A line that begins with a blank belongs to the name of the line "
            "above it: write the name at the very beginning of your line.",
            *seen(world, astray),
        )
    if found.outcome is DnsOutcome.NXDOMAIN:
        return todo(f"The DNS does not know {shop}. Write one more line into the zone: an MX for it.")
    if found.outcome is DnsOutcome.NODATA:
        return hint(f"{shop} exists now, but it has neither an MX nor an address.")
    return hint(
        f"The nameserver answers {found.rcode or 'nothing'} for {shop}. If you have delegated it by an NS "
        "record, there must be a zone of that name, too: publish(world, ...)."
    )


def is_alias(world: World, name: str) -> bool:
    return bool(served(world, name, "CNAME").data)


def _has_mx(world: World, name: str) -> bool:
    return bool(served(world, name, "MX").data)


def _apex(domain: str) -> str:
    return domain.partition(".")[2]


def _machines(world: World) -> list[str]:
    return [*world.laptops, *world.hosts]
