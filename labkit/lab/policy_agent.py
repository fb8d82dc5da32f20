"""The agent beside a sending MTA that knows MTA-STS for it: it fetches policies and writes what the MTA reads.

WHY        Exim knows nothing of MTA-STS. What it can do is read a file for each delivery; the real world does it with
           such agents, too (beside Postfix: a socketmap server).
WHAT       `agent = PolicyAgent(host)`; `await agent.refresh("bigmail.test")` finds out which policy applies and writes
           /etc/mta-sts on the host's disk: a line for each domain, by which the exim.conf of
           data/scenarios/sts/host.conf decides. `await agent.look_after()` does so for all domains it knows.
RULES      the file is replaced as a whole. A line says until when it counts, and the exim.conf looks at the clock:
           an agent that has died lets nothing go on for longer than max_age. After a fetch that failed, the domain's
           file is not asked for again for five minutes, whatever the record's id (RFC 8461 §3.3 counts them by id).
           What a mode `none` or a forgotten policy leaves is no line.
STANDARDS  RFC 8461 §5.1 (control flow)
READ NEXT  ../auth/mta_sts.py, policy_host.py
"""

from __future__ import annotations

import re
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from labkit.auth.mta_sts import (
    RETRY_FETCH,
    CachedPolicy,
    ExchangeVerdict,
    Shown,
    StsResult,
    discover,
    judge_exchange,
    page_problem,
)
from labkit.lab.authority import ON_HOSTS
from labkit.lab.whole_file import replace_file
from labkit.mail.asking import Question, answer_later
from labkit.mail.questions import AddressesOf, PageFetched, PolicyAt

if TYPE_CHECKING:
    from labkit.lab.host import Host
    from labkit.lab.world import World

FILE = "/etc/mta-sts"  # on the host
HEADING = (
    "# written by the MTA-STS agent: domain: mode, until when (seconds since 1970), the mail exchangers\n"
)


class PolicyAgent:
    """The agent of one host, with its cache."""

    def __init__(self, host: Host) -> None:
        self.host = host
        self.cache: dict[str, CachedPolicy] = {}
        self.found: dict[str, StsResult] = {}  # the last look at each domain
        self._failed: dict[str, tuple[float, PageFetched]] = {}  # when, and what came instead of a policy
        self._write()
        trusted = host.path(ON_HOSTS)  # whom the MTA's tls_verify_certificates believes
        if not trusted.exists():
            trusted.parent.mkdir(parents=True, exist_ok=True)
            trusted.write_bytes(host.world.authority.prepare().read_bytes())

    def __repr__(self) -> str:
        return f"<MTA-STS agent of {self.host.name}: {', '.join(self.cache) or 'nothing cached'}>"

    async def refresh(self, *domains: str) -> StsResult:
        """Look at these domains now, and let the MTA know. Returns what the last one brought."""
        if not domains:
            raise ValueError("refresh what? Name a domain")
        for domain in domains:
            result = await self._look(domain)
        self._write()
        return result

    async def look_after(self) -> None:
        """Look at every domain that is known again, as a timer would."""
        if self.found:
            await self.refresh(*self.found)

    def judge(self, domain: str, exchange: str, shown: Shown | None = None) -> ExchangeVerdict:
        """What the policy of the last look says of a mail exchanger. Raises KeyError for a domain never looked at."""
        return judge_exchange(self.found[domain.lower()], exchange, shown)

    @property
    def file_text(self) -> str:
        """What the MTA reads."""
        return self.host.path(FILE).read_text(encoding="ascii")

    async def _look(self, domain: str) -> StsResult:
        world, name = self.host.world, domain.lower().rstrip(".")
        results: list[StsResult] = []

        async def look() -> None:
            now = world.now().timestamp()
            asking = discover(name, now, self.cache.get(name))
            results.append(await answer_later(self._answer, asking))

        await world.do(look, f"{self.host.name} looks for the MTA-STS policy of {name}")
        (result,) = results
        if result.remember is None:
            self.cache.pop(name, None)
        else:
            self.cache[name] = result.remember
        self.found[name] = result
        return result

    async def _answer(self, question: Question[Any]) -> Any:
        if not isinstance(question, PolicyAt):
            from labkit.lab.asking import fresh_resolver

            return await fresh_resolver(self.host.world, self.host).answer(question)
        return await self._fetch(question)

    async def _fetch(self, question: PolicyAt) -> PageFetched:
        now = self.host.world.now().timestamp()
        at, failed = self._failed.pop(question.domain, (now - RETRY_FETCH, PageFetched()))
        if now - at < RETRY_FETCH:
            self._failed[question.domain] = at, failed
            words = f"a fetch has failed less than five minutes ago: {page_problem(failed)}"
            return replace(failed, problem=words)
        page = await fetch_policy(self.host.world, question, self.host)
        if page.status != 200:
            self._failed[question.domain] = now, page
        return page

    def _write(self) -> None:
        """Replace the file: a reader sees the old one or the new one."""
        lines = [_line(domain, kept) for domain, kept in sorted(self.cache.items())]
        path = self.host.path(FILE)
        path.parent.mkdir(parents=True, exist_ok=True)
        replace_file(path, HEADING + "".join(lines), 0o644)


def _line(domain: str, kept: CachedPolicy) -> str:
    """A policy for lsearch. The patterns become one regular expression, as Exim's host lists compare names by one."""
    if kept.policy.mode == "none":
        return ""
    names = "|".join(
        (r"[^.]+" if pattern[:1] == "*" else "") + re.escape(pattern.removeprefix("*")).replace("\\-", "-")
        for pattern in kept.policy.mx
    )
    return f"{domain}: mode={kept.policy.mode} until={kept.until:.0f} id={kept.id} mx=^({names})$\n"


async def fetch_policy(world: World, question: PolicyAt, source: Host | None = None) -> PageFetched:
    """GET the policy file as a machine of the lab does; whoever has the authority's certificate believes the server."""
    from labkit.lab.asking import fresh_resolver
    from labkit.lab.policy_host import PATH
    from labkit.net.https import get

    found = await fresh_resolver(world, source).answer(AddressesOf(question.host))
    if not found.records:
        return PageFetched(problem=f"{question.host} has no address ({found.outcome.value})")
    own = source.address if source is not None else next(iter(world.scenario.addresses))
    authorities = world.authority.prepare()
    return await get(world.network, own, found.records[0], question.host, PATH, authorities=authorities)
