"""Ask the lab what decisions ask: the DNS as a host sees it, its accounts, its files.

WHAT       `ask(world, question, at=host)` answers one question; `routing(host, address)` is `exim -bt` as a decision
           that has not begun yet, so that somebody can walk through it.
DECIDES    without a host the nameserver is asked afresh, as `dig` on a laptop does; with one it is that host's own
           resolver, with its cache.
READ NEXT  ../mail/asking.py, ../mta/answers.py
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

from labkit.lab.labkit_engine import LabkitEngine
from labkit.lab.outside_engine import OutsideEngine
from labkit.mail.address import Mailbox
from labkit.mail.asking import Asking, Question
from labkit.mail.questions import PolicyAt
from labkit.net.resolver import Resolver
from labkit.routing import Mode, Routed

if TYPE_CHECKING:
    from labkit.lab.host import Host
    from labkit.lab.world import World

A = TypeVar("A")


async def ask(world: World, question: Question[A], at: Host | None = None) -> A:
    """The answer. If somebody has to be waited for, lab time passes. Raises TypeError for what cannot be answered."""
    if not isinstance(question, Question):
        raise TypeError(f"ask with a question, like TextOf('a.test'): {question!r:.80} is none")
    answers: list[Any] = []

    async def look() -> None:
        answers.append(await _answered(world, question, at))

    await world.do(look, f"somebody asks {question}")
    found: A = answers[0]
    return found


async def _answered(world: World, question: Question[Any], host: Host | None) -> Any:
    if isinstance(question, PolicyAt):
        from labkit.lab.policy_agent import fetch_policy

        return await fetch_policy(world, question, host)
    if host is not None and isinstance(host.engine, LabkitEngine):
        return await host.engine.mta.state.answer(question)
    if host is not None and isinstance(host.engine, OutsideEngine):
        return await host.engine.resolver.answer(question)
    return await fresh_resolver(world, host).answer(question)


def fresh_resolver(world: World, host: Host | None) -> Resolver:
    """A resolver that remembers nothing, at the host, at a laptop, or at whatever machine there is."""
    if host is not None:
        address = host.address
    else:
        laptops, hosts = world.laptops.values(), world.hosts.values()
        addresses = [*(each.address for each in laptops), *(each.address for each in hosts)]
        address = addresses[0] if addresses else world.scenario.nameserver
    return Resolver(world.network, address, world.scenario.nameserver, world.now, world.agenda.sleep)


def routing(host: Host, address: str) -> Asking[Routed]:
    """What `exim -bt ADDRESS` would ask and find, with its trace. Raises NotThisEngine, AddressSyntaxError."""
    state = host.mta.state
    domain = state.compiled.qualify_recipient
    mailbox = Mailbox.parse(address if "@" in address else f"{address}@{domain}")
    return state.compiled.routers.route(mailbox, state.env(), mode=Mode.TEST, watched=True)
