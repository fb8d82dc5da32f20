"""Decisions of the lab, ready to be walked through: a route, SPF, DMARC, MTA-STS.

WHAT       `await step_route(world.mine, "bob@st2.sne21.test")`: `exim -bt`, one question at a time.
           `await step_spf("203.0.113.2", "mx2.st2.sne21.test", "bob@st2.sne21.test", world)`: may this client use it?
           `await step_dmarc("st2.sne21.test", ("pass", "st2.sne21.test"), None, world)`: does it belong to the author?
           `await step_mta_sts(world, "bigmail.test")`: which policy applies to mail for that domain?
RULES      the answers are the lab's: its nameserver, the host's accounts and files.
READ NEXT  stepper.py
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from labkit.lab.asking import routing
from labkit.lab.host import Host
from labkit.lab.policy_agent import PolicyAgent
from labkit.lab.world import World
from labkit.mail.lookups import FileLine
from labkit.mail.questions import AccountNamed, AddressesOf, MxOf, NamesOf, PolicyAt, TextOf
from labkit.teach.given import expect
from labkit.teach.views.stepper import Stepper, stepper
from labkit.teach.views.stepper_choices import RFC_WORDS
from labkit.teach.views.stepper_moments import About


async def step_route(host: Host, address: str, *, predict: bool | str = True) -> Stepper:
    """Where mail for the address would go, router by router. Raises NotThisEngine for a host without labkit's MTA."""
    expect(host, Host, 'step_route(world.mine, "bob@st2.sne21.test")')
    expect(address, str, 'step_route(world.mine, "bob@st2.sne21.test")')
    local, _, domain = address.rpartition("@")
    others = (
        AccountNamed(local or domain),
        MxOf(domain),
        AddressesOf(domain),
        FileLine("/etc/aliases", local or domain),
        TextOf(domain),
    )
    about = About(
        f"Routing {address} at {host.name}, one question at a time", (("address", address),), others=others
    )
    return await stepper(
        partial(routing, host, address),
        answer_with=partial(host.world.ask, at=host),
        predict=predict,
        about=about,
    )


async def step_spf(
    client_ip: str,
    helo: str,
    reverse_path: str,
    world: World,
    *,
    at: Host | None = None,
    predict: bool | str = True,
) -> Stepper:
    """May the client at this address use the domain of MAIL FROM (or, if that is empty, of HELO)?

    The nameserver is asked afresh, or as the host `at` sees it, with its cache. Raises ValueError if `client_ip` is no
    address.
    """
    from labkit.auth.spf import check_host, client_address

    expect(world, World, "step_spf(client_ip, helo, reverse_path, world)")
    client = str(client_address(client_ip))
    domain = reverse_path.strip("<> ").rpartition("@")[2]
    others = (TextOf(domain or helo), TextOf(helo), NamesOf(client), MxOf(domain or helo), AddressesOf(helo))
    about = About(
        "SPF, one question at a time",
        (("client", client), ("HELO", helo), ("MAIL FROM", f"<{reverse_path.strip('<> ')}>")),
        client,
        others,
        RFC_WORDS,
    )
    return await stepper(
        partial(check_host, client_ip, helo, reverse_path, now=world.now().timestamp()),
        answer_with=partial(world.ask, at=at),
        predict=predict,
        about=about,
    )


Pair = tuple[str, str]  # (result, domain)


async def step_dmarc(
    author_domain: str,
    spf: Pair | None,
    dkim: Pair | Sequence[Pair] | None,
    world: World,
    *,
    at: Host | None = None,
    predict: bool | str = True,
) -> Stepper:
    """Does what SPF or DKIM has proved belong to the author's domain, and which policy applies if not?

    `spf` and `dkim` are what these found, as (result, domain): ("pass", "a.test"). Who is asked: as in step_spf.
    """
    from labkit.auth.dmarc import evaluate, pairs_of

    expect(world, World, "step_dmarc(author_domain, spf, dkim, world)")
    expect(author_domain, str, "step_dmarc(author_domain, spf, dkim, world)")
    names = [author_domain, *(domain for _, domain in (*pairs_of(spf), *pairs_of(dkim)))]
    parents = [name.partition(".")[2] for name in names if name.count(".") > 1]
    domains = list(dict.fromkeys([*names, *parents]))
    others = [TextOf(f"_dmarc.{name}") for name in domains]
    about = About(
        "DMARC, one question at a time",
        (("From", author_domain), ("SPF", _pairs(pairs_of(spf))), ("DKIM", _pairs(pairs_of(dkim)))),
        others=(*others, TextOf(author_domain), AddressesOf(author_domain)),
        verdicts=("pass", "fail", "none", "permerror", "temperror"),
    )
    return await stepper(
        partial(evaluate, author_domain, spf, dkim),
        answer_with=partial(world.ask, at=at),
        predict=predict,
        about=about,
    )


async def step_mta_sts(
    world: World,
    domain: str,
    agent: PolicyAgent | None = None,
    *,
    at: Host | None = None,
    predict: bool | str = True,
) -> Stepper:
    """Which MTA-STS policy applies to mail for the domain? `agent`: with what it remembers.

    Who is asked: as in step_spf; the policy file is fetched from the policy host.
    """
    from labkit.auth.mta_sts import discover

    expect(world, World, 'step_mta_sts(world, "bigmail.test")')
    expect(domain, str, 'step_mta_sts(world, "bigmail.test")')
    name = domain.lower().rstrip(".")
    cached = None if agent is None else agent.cache.get(name)
    kept = "nothing" if cached is None else f"mode {cached.policy.mode}, id {cached.id}"
    about = About(
        "MTA-STS, one question at a time",
        (("mail for", name), ("remembered", kept)),
        others=(
            TextOf(f"_mta-sts.{name}"),
            PolicyAt(name),
            TextOf(name),
            MxOf(name),
            AddressesOf(f"mta-sts.{name}"),
        ),
        verdicts=("fresh", "cached", "none"),
    )
    return await stepper(
        partial(discover, name, world.now().timestamp(), cached),
        answer_with=partial(world.ask, at=at),
        predict=predict,
        about=about,
    )


def _pairs(pairs: Sequence[Pair]) -> str:
    return ", ".join(f"{result} for {domain}" for result, domain in pairs) or "nothing"
