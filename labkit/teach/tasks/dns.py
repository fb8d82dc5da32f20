"""The exercises of notebook 00b: a subdomain that takes mail, an address with its name, a zone to repair.

WHAT       each looks at what the nameserver serves, never at the text that was typed: the same zone may be written in
           many ways. The evidence is the records.
DECIDES    which mistake is the first to mend; a name that is missing is looked for where slips of the pen put it.
STANDARDS  RFC 5321 §5.1 (MX), RFC 2181 §10.2, §10.3 (no alias behind PTR and MX), RFC 1912 §2.1 (PTR and A agree),
           RFC 7208 §4.5 (one SPF record), RFC 7505 (null MX)
READ NEXT  records.py, ../views/zone_answers.py
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from labkit.lab.world import World
from labkit.mail.questions import DnsOutcome
from labkit.teach.checks import Verdict, done, exercise, hint, todo
from labkit.teach.tasks.records import ADDRESS, exchangers, is_there, listed, quoted, seen, trouble_with
from labkit.teach.views.zone_answers import Answer, served

RENTED = ".rented.test."  # the names that the provider of exercise 2 gives to addresses
FRIEND = "shop.test"  # the zone of exercise 3
FRIENDS_NAMES = (FRIEND, f"news.{FRIEND}", f"sales.{FRIEND}")


# --- 1: a subdomain ---


@exercise("subdomain", "Mail for a new subdomain comes to your host first, to your partner's second")
def subdomain(world: World) -> Verdict:
    """lab.<domain> has two exchangers, and the better one is a new name of the student's own address."""
    domain = world.laptop.owner.partition("@")[2]
    name, first, second = f"lab.{domain}", f"mx.lab.{domain}.", f"{world.partner.name}."
    found = served(world, name, "MX")
    if found.outcome is not DnsOutcome.FOUND:
        return _no_subdomain(world, name, domain, found)
    preferences = exchangers(found)
    look_at = seen(world, found)
    for exchange in preferences:
        if trouble := trouble_with(world, name, exchange):
            return hint(trouble, *look_at)
    if first not in preferences:
        return hint(
            f"Mail for {name} now goes to {quoted(preferences)}. "
            f"Let the first MX name '{first}', a new name with an A record of its own.",
            *look_at,
        )
    address = served(world, first, "A")
    if address.data != (world.mine.address,):
        return hint(
            f"'{first}' has the address {listed(address.data)}. Your host is at {world.mine.address}: see the card.",
            *seen(world, address),
        )
    if second not in preferences:
        return hint(
            f"Your own host is named. Add a second MX, with a higher number, for your partner's host '{second}'.",
            *look_at,
        )
    if preferences[first] >= preferences[second]:
        return hint(
            f"'{first}' has preference {preferences[first]}, '{second}' has {preferences[second]}. "
            "The LOWEST number is tried first, so as it is your host does not come first.",
            *look_at,
        )
    if others := [exchange for exchange in preferences if exchange not in (first, second)]:
        return hint(f"There is one MX too many: {quoted(others)}. Who takes the mail there?", *look_at)
    return done(
        f"Whoever has mail for {name} is told: try '{first}' first, then '{second}'.{_remark_on_serial(world, domain)}",
        [*look_at, *seen(world, address), *seen(world, served(world, second, "A"))],
    )


def _no_subdomain(world: World, name: str, domain: str, found: Answer) -> Verdict:
    """There is no MX at `name`: say why, or that nothing was tried."""
    apex = domain.partition(".")[2]
    if astray := is_there(world, f"{name}.{apex}", f"{name}.{domain}", f"{name}.{name}"):
        return hint(
            f"There is a name '{astray.name}' now. A name without a dot at its end is completed with the origin: "
            f"write '{name}.' with a final dot, or only what stands before the origin.",
            *seen(world, astray),
        )
    if astray := is_there(world, f"lab.{apex}"):
        return hint(
            f"You made '{astray.name}'. The subdomain belongs below your own domain: {name}. "
            f"In the zone {apex} its short name has two parts.",
            *seen(world, astray),
        )
    if astray := is_there(world, *(laptop.name for laptop in world.laptops.values()), rdtypes=("MX",)):
        return hint(
            f"'{astray.name}' has an MX now. A line that begins with a blank belongs to the name of the line above it: "
            "write the name at the very beginning of your line.",
            *seen(world, astray),
        )
    if found.outcome is DnsOutcome.NODATA:
        address = served(world, name, "A")
        if address.data:
            return hint(
                f"{name} has an A record and no MX. Mail would be tried there (the implicit MX), but then "
                "there is no place for a second host. Add the two MX records.",
                *seen(world, address),
            )
        return hint(f"Names below {name} exist, but {name} itself has no MX record yet.")
    if found.outcome is not DnsOutcome.NXDOMAIN:
        return hint(f"The nameserver answers {found.rcode or 'nothing'} for {name}. Repair that first.")
    return todo(f"Add records to the zone so that {name} has two MX records, then run this cell again.")


def _remark_on_serial(world: World, domain: str) -> str:
    """A word on the serial number, if the zone was changed and it was not."""
    apex = domain.partition(".")[2]
    (soa,) = served(world, apex, "SOA").data
    serial = soa.split()[2]
    former = next((text for origin, text in world.scenario.zones if origin == apex), "")
    if not re.search(rf"\b{serial}\b", former):
        return ""
    return f" One thing more: the serial is still {serial}, so a secondary nameserver would not fetch the new zone."


# --- 2: the way back ---


@exercise("pointer", "Your address has the name of your host, and the name has the address")
def pointer(world: World) -> Verdict:
    """The PTR records of the student's address lead to its host's name, and the A record there leads back."""
    address, host = world.mine.address, f"{world.mine.name}."
    found = served(world, address, "PTR")
    strays = _stray_pointer(world, found.name)
    names = tuple(name.lower() for name in found.data)
    if found.outcome is not DnsOutcome.FOUND or all(name.endswith(RENTED) for name in names):
        if strays is not None:
            return strays
        if names:
            return todo(
                f"{address} still has the provider's name {quoted(names)}. Give it the name '{host}'."
            )
        return hint(
            f"{address} has no PTR record now: '{found.name}' is what is asked for.", *seen(world, found)
        )
    for name in names:
        if trouble := _unconfirmed(world, name):
            return hint(trouble, *seen(world, found))
    if host not in names:
        return hint(
            f"{quoted(names)} and {address} confirm each other. But your host says '{host}' when it greets (EHLO), "
            "and receivers compare that name, too.",
            *seen(world, found),
        )
    other = served(world, world.partner.address, "PTR")
    if other.data != (f"{world.partner.name}.",):
        return hint(
            f"Yours is right. But your partner's address {world.partner.address} had the name {world.partner.name} "
            "before. Put that line back.",
            *seen(world, other),
        )
    return done(
        f"{address} says '{host}' and '{host}' says {address}: the reverse name is forward-confirmed.",
        [*seen(world, found), *seen(world, served(world, host, "A"))],
    )


def _stray_pointer(world: World, reverse: str) -> Verdict | None:
    """A PTR record in a place where nobody looks for it."""
    address, last = world.mine.address, world.mine.address.rpartition(".")[2]
    apex = world.laptop.owner.partition("@")[2].partition(".")[2]
    zone = reverse.partition(".")[2]
    wrong = (
        (
            f"{address}.{zone}",
            "In the reverse zone the numbers stand backwards, and the origin has three of them",
        ),
        (f"{reverse}{zone}", "It lacks its final dot, so the origin was added to it"),
        *(
            (f"{name}.{apex}", f"It stands in the zone {apex}, but PTR records are asked for in {zone}")
            for name in (last, address, reverse.rstrip("."))
        ),
        (world.mine.name, f"It stands at the host's name, but PTR records are asked for in {zone}"),
    )
    for name, because in wrong:
        found = served(world, name, "PTR")
        if found.data:
            return hint(
                f"There is a PTR record at '{found.name}'. {because}. Asked for is '{reverse}'.",
                *seen(world, found),
            )
    return None


def _unconfirmed(world: World, name: str) -> str:
    """What keeps a PTR's name from confirming the student's address; nothing if it does."""
    address = world.mine.address
    if name.endswith(".in-addr.arpa."):
        return (
            f"The PTR record says '{name}'. Its name has no final dot in the file, so the origin was added."
        )
    if name.endswith(RENTED):
        return f"The provider's name '{name}' is still there beside yours, and it does not lead back to {address}."
    if ADDRESS.match(name):
        return f"The PTR record says '{name}'. It must give a name, not an address."
    forward = served(world, name, "A")
    if forward.is_alias:
        return f"The PTR record says '{name}', and that is an alias (CNAME). It must be the real name (RFC 2181 §10.2)."
    if not forward.data:
        return (
            f"The PTR record says '{name}'. But that name has no A record: nothing leads back to {address}."
        )
    if address not in forward.data:
        return f"The PTR record says '{name}', whose address is {listed(forward.data)}, not {address}."
    return ""


# --- 3: a zone to repair ---


@exercise("broken zone", "Mail for all three names of your friend's zone comes to your host")
def broken_zone(world: World) -> Verdict:
    """No mistake is left in the zone shop.test, and nothing of it was thrown away."""
    if FRIEND not in world.zones:
        return todo(
            f"The nameserver has no zone {FRIEND} yet: it did not take the file. Its words above name the "
            "line. Mend that, run the cell above again, then this one."
        )
    mistakes = list(_mistakes(world))
    if mistakes:
        left = "One mistake is" if len(mistakes) == 1 else f"{len(mistakes)} mistakes are"
        words, look_at = mistakes[0]
        return hint(f"{left} left. {words}", *seen(world, look_at))
    answers = [served(world, name, "MX") for name in FRIENDS_NAMES]
    hosts = {exchange: None for found in answers for exchange in exchangers(found)}
    sites = [served(world, f"{name}.{FRIEND}", "A") for name in ("news", "www")]
    addresses = [served(world, host, "A") for host in hosts]
    answers = [*answers, *addresses, *sites, served(world, FRIEND, "TXT")]
    return done(
        "Every name has an MX, every MX names a host, every host has your address, and there is one SPF record.",
        [each for answer in answers for each in seen(world, answer)],
    )


def _mistakes(world: World) -> Iterator[tuple[str, Answer]]:
    for name in FRIENDS_NAMES:
        found = served(world, name, "MX")
        if found.outcome is not DnsOutcome.FOUND:
            yield _no_exchanger(world, name, found), found
            continue
        for exchange in exchangers(found):
            if trouble := trouble_with(world, name, exchange):
                yield trouble, found
            elif world.mine.address not in (addresses := served(world, exchange, "A")).data:
                yield (
                    f"The MX of {name} leads to {listed(addresses.data)}; your host is at {world.mine.address}.",
                    found,
                )
    yield from _sites(world)
    texts = served(world, FRIEND, "TXT")
    policies = [text for text in texts.data if re.match(r'"v=spf1[ "]', text, re.IGNORECASE)]
    if not policies:
        yield f"{FRIEND} had a word on who may send its mail. One SPF record must stay.", texts
    elif not any(re.search(r" \+?(?:a|mx|ip4|include|exists)\b", text) for text in policies):
        yield f"The SPF record of {FRIEND} allows nobody to send its mail any more.", texts
    if len(policies) > 1:
        yield (
            f"{FRIEND} has {len(policies)} SPF records. With more than one, a receiver takes none: "
            "permerror (RFC 7208 §4.5). Join them into one.",
            texts,
        )


def _sites(world: World) -> Iterator[tuple[str, Answer]]:
    """The friend's two web sites: each name had an address, by itself or as an alias."""
    news, www = (served(world, name, "A") for name in (f"news.{FRIEND}", f"www.{FRIEND}"))
    if not news.data:
        yield f"news.{FRIEND} was a web site, too: it needs an address (A) beside its MX.", news
    if not www.data:
        yield (
            f"www.{FRIEND} had an address in your friend's file and has none now. Nothing may get lost.",
            www,
        )
    for found in (news, www):
        if found.data and world.mine.address not in found.data:
            yield (
                f"{found.name.rstrip('.')} leads to {listed(found.data)} now; it was at {world.mine.address}.",
                found,
            )


def _no_exchanger(world: World, name: str, found: Answer) -> str:
    if found.is_alias:
        return f"{name} is an alias, so whoever asks for its MX is sent to another name, which has none."
    if found.outcome is DnsOutcome.NXDOMAIN:
        return f"{name} does not exist any more. Repair its records, do not remove them."
    return f"{name} exists, but takes no mail any more: its MX record is missing."
