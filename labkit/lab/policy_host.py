"""Where a domain publishes its MTA-STS policy: https://mta-sts.DOMAIN/.well-known/mta-sts.txt, and the TXT record.

WHAT       `await world.publish_policy("bigmail.test", mode="enforce")` puts both records into the domain's zone and
           serves the file on port 443 of the host that takes the domain's mail (or of `at`). Said again, the policy is
           another one, with another id. `fault` is one of FAULTS: what can be wrong with a policy host.
           `await world.withdraw_policy(domain)` takes all of it away, as who forgets §8.3 does.
RULES      the certificate is the lab authority's for mta-sts.DOMAIN. Several domains may share an address: SNI tells.
STANDARDS  RFC 8461 §3 (publishing), §8.3 (how to end a policy: mode none first, and wait)
READ NEXT  policy_agent.py
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from labkit.auth.mta_sts_policy import write_policy
from labkit.lab.authority import KINDS
from labkit.lab.outside_plans import PolicyPlan
from labkit.mail.questions import PolicyAt

if TYPE_CHECKING:
    from labkit.lab.host import Host
    from labkit.lab.world import World
    from labkit.net.https import Page, Site

PATH = "/.well-known/mta-sts.txt"
FAULTS = {
    "": "none",
    **{kind: f"the certificate: {words}" for kind, words in KINDS.items() if kind != "good"},
    "404": "there is no such file",
    "redirect": "the file is elsewhere, says a 302; senders follow none",
    "html": "the file is said to be text/html",
    "broken": "the file is no policy",
    "silent": "nobody answers at port 443",
}


@dataclass(frozen=True, slots=True)
class Published:
    """A policy as it is served now."""

    domain: str
    text: str
    id: str
    address: str
    fault: str = ""

    @property
    def url(self) -> str:
        return PolicyAt(self.domain).url

    def __str__(self) -> str:
        wrong = f"  (fault: {FAULTS[self.fault]})" if self.fault else ""
        record = f'_mta-sts.{self.domain}. IN TXT "v=STSv1; id={self.id};"'
        return f"{record}\n{self.url}{wrong}\n{self.text.replace(chr(13), '')}"


class PolicyHosts:
    """All policy hosts of a world."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._published: dict[str, Published] = {}
        self._sites: dict[str, Site] = {}  # by address
        self._count = 0

    def __getitem__(self, domain: str) -> Published:
        """What a domain publishes. Raises KeyError."""
        return self._published[domain.lower()]

    def __iter__(self) -> Iterator[str]:
        """The domains that publish one."""
        return iter(self._published)

    async def publish(self, domain: str, plan: PolicyPlan, at: Host | None = None) -> Published:
        """Raises ValueError (NotAPolicy) for a policy that is none or an unknown fault, KeyError without a zone."""
        domain = domain.lower()
        if plan.fault not in FAULTS:
            raise ValueError(f"fault {plan.fault!r}: it is one of {', '.join(map(repr, FAULTS))}")
        exchanges, address = await self._mail_hosts(domain)
        text = write_policy(plan.mode, plan.mx or exchanges, plan.max_age)
        address = at.address if at is not None else address
        if not address:
            raise ValueError(f"{domain} has no mail exchanger in this lab: say at=world.host(…)")
        if domain in self._published:
            self._world.network.silence(self._published[domain].address, 443, on=False)
        self._count += 1
        identity = f"{self._world.now():%Y%m%d%H%M%S}Z{self._count}"
        found = Published(domain, text, identity, address, plan.fault)
        await self._serve(found)
        self._write_records(found)
        self._published[domain] = found
        return found

    async def withdraw(self, domain: str) -> None:
        """Take the file and both records away. Raises KeyError."""
        gone = self._published.pop(domain.lower(), None)
        if gone is None:
            known = ", ".join(self._published) or "none"
            raise KeyError(f"{domain!r} publishes no policy; those that do: {known}")
        self._world.network.silence(gone.address, 443, on=False)
        self._write_records(gone, is_there=False)

    def close(self) -> None:
        for site in self._sites.values():
            site.close()
        self._sites.clear()
        self._published.clear()

    async def _mail_hosts(self, domain: str) -> tuple[tuple[str, ...], str]:
        """The domain's mail exchangers, and the address of the first that is a host of this lab."""
        import dns.name
        import dns.rdatatype

        from labkit.net.dns_lookup import look_up

        found = look_up(self._world.zones, dns.name.from_text(domain), dns.rdatatype.MX)
        records = sorted(
            (record.preference, record.exchange.to_text(omit_final_dot=True).lower())
            for rrset in found.answer
            if rrset.rdtype == dns.rdatatype.MX
            for record in rrset
        )
        names = tuple(name for _, name in records)
        hosts = self._world.hosts
        return names, next((hosts[name].address for name in names if name in hosts), "")

    async def _serve(self, found: Published) -> None:
        from labkit.net.https import Site

        world, name = self._world, PolicyAt(found.domain).host
        kind = found.fault if found.fault in KINDS else "good"
        site = self._sites.get(found.address)
        if site is None:
            site = Site(self._page)
            await site.listen(world.network, found.address)
            self._sites[found.address] = site
        site.show(name, world.authority.certificate_for(name, kind))
        if found.fault == "silent":
            world.network.silence(found.address, 443)

    def _page(self, host: str, path: str) -> Page:
        from labkit.net.https import Page

        found = self._published.get(host.removeprefix("mta-sts."))
        if found is None or not host.startswith("mta-sts.") or path != PATH or found.fault == "404":
            return Page(404, b"there is no such file\n")
        if found.fault == "redirect":
            return Page(302, b"it is elsewhere\n", location=f"https://{host}/elsewhere.txt")
        if found.fault == "broken":
            return Page(200, b"mode = enforce\n")
        kind = "text/html" if found.fault == "html" else "text/plain"
        return Page(200, found.text.encode("ascii"), kind)

    def _write_records(self, found: Published, *, is_there: bool = True) -> None:
        """Put the two records at the end of the domain's zone, in place of those that were there."""
        world, name = self._world, f"{found.domain}."
        origin = self._origin(found.domain)
        ours = re.compile(rf"(?m)^(?:_mta-sts|mta-sts)\.{re.escape(name)} .*\n")
        text = ours.sub("", world.zone(origin).rstrip("\n") + "\n")
        if is_there:
            text += f'_mta-sts.{name} 300 IN TXT "v=STSv1; id={found.id};"\n'
            text += f"mta-sts.{name} 300 IN A {found.address}\n"
        world.write_zone(origin, text)

    def _origin(self, domain: str) -> str:
        """The zone that a domain is in. Raises KeyError naming those there are."""
        origins = {zone.origin.to_text(omit_final_dot=True) for zone in self._world.zones}
        labels = domain.split(".")
        for start in range(len(labels)):
            if (origin := ".".join(labels[start:])) in origins:
                return origin
        raise KeyError(f"no zone has {domain}; there are {', '.join(sorted(origins))}")


def plan_of(mode: str, mx: str | Sequence[str], max_age: int, fault: str) -> PolicyPlan:
    return PolicyPlan(mode, (mx,) if isinstance(mx, str) and mx else tuple(mx), max_age, fault)
