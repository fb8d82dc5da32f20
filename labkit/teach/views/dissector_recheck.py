"""Check again who vouches for a message: SPF, DKIM, DMARC and ARC, with what the lab's DNS says now.

WHAT       `await recheck(content, dissection, world)` -> Recheck; `what_broke(before, after, …)` says which verdicts
           are other ones than before, and what each signature says to the change.
DECIDES    SPF is about the client that handed the message over at the trust boundary, and the envelope's sender as
           final delivery or that hop wrote it down. DMARC gets what SPF and DKIM found, and the one domain of From.
RULES      the verdicts are the auth room's. The signatures' time is the lab's.
STANDARDS  RFC 7208 §2.4, RFC 6376 §6, RFC 9989 §5.3
READ NEXT  dissector_panels.py
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

from labkit.headers import Dissection, Hop
from labkit.lab.host import Host
from labkit.lab.world import World
from labkit.mail.asking import Asking, Question, answer_later

if TYPE_CHECKING:
    from labkit.auth.arc import ArcResult
    from labkit.auth.dkim_result import DkimResult
    from labkit.auth.dmarc import DmarcResult
    from labkit.auth.spf import SpfResult

T = TypeVar("T")
MOST_EXPLAINED = 3  # signatures whose failure is looked into


@dataclass(frozen=True, slots=True)
class Recheck:
    """What SPF, DKIM and DMARC say. `no_spf`, `no_dmarc`: why there is no such result. `about`: what SPF was asked."""

    spf: SpfResult | None
    no_spf: str
    about: str
    dkim: tuple[DkimResult, ...]
    dmarc: DmarcResult | None
    no_dmarc: str
    arc: ArcResult
    why: tuple[tuple[str, ...], ...]  # for each signature: what may have happened to the message on its way


async def recheck(content: bytes, dissection: Dissection, world: World, at: Host | None = None) -> Recheck:
    """Check now. The nameserver is asked afresh, or as the host `at` sees it."""
    from labkit.auth.arc import validate
    from labkit.auth.author import author_of
    from labkit.auth.dkim_verify import verify
    from labkit.auth.dmarc import evaluate

    async def answer(question: Question[Any]) -> Any:
        return await world.ask(question, at=at)

    async def asked(asking: Asking[T]) -> T:
        return await answer_later(answer, asking)

    now = world.now().timestamp()
    spf, no_spf, about = None, "", ""
    facts = envelope_of(dissection)
    if isinstance(facts, str):
        no_spf = facts
    else:
        spf, about = await asked(_spf(facts, now)), str(facts)
    dkim = await asked(verify(content, now))
    arc = await asked(validate(content, now))
    why = tuple(_why(result) if number < MOST_EXPLAINED else () for number, result in enumerate(dkim))
    author = author_of(content)
    if not author.domain:
        return Recheck(spf, no_spf, about, dkim, None, author.problem, arc, why)
    found = None if spf is None else (spf.result, spf.domain)
    dmarc = await asked(evaluate(author.domain, found, [(each.result, each.domain) for each in dkim]))
    return Recheck(spf, no_spf, about, dkim, dmarc, "", arc, why)


def _why(result: DkimResult) -> tuple[str, ...]:
    """What makes the hashes of a signature fit again that failed."""
    from labkit.auth.why_broken import why_broken

    if result.result != "fail":
        return ()
    return tuple(f"{each.part}: {each.words}" for each in why_broken(result).explanations)


# --- what SPF is asked --------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Facts:
    """The client at the trust boundary, and what it said."""

    client: str
    helo: str
    reverse_path: str

    def __str__(self) -> str:
        return f"client {self.client}, HELO {self.helo or '(not known)'}, MAIL FROM <{self.reverse_path}>"


def envelope_of(dissection: Dissection) -> Facts | str:
    """What SPF needs to know, or why it is not known."""
    hop = _at_the_boundary(dissection)
    if hop is None:
        return "no Received field is believed: nobody knows which client brought the message"
    received = hop.received
    if received.is_authenticated:
        return (
            f"{received.by or 'the server'} got it from a user who had logged in: that is not SPF's business"
        )
    if not received.address:
        return "the last Received field that is believed names no address of a client"
    return Facts(received.address, received.helo, _reverse_path(dissection, hop))


def _at_the_boundary(dissection: Dissection) -> Hop | None:
    """The hop in which the message came in from outside: the lowest of those that are believed."""
    level = dissection.trust.level
    return dissection.hops[len(dissection.hops) - level] if level else None


def _reverse_path(dissection: Dissection, hop: Hop) -> str:
    written = dissection.first("Return-Path")
    if written is not None and not dissection.trust.could_be_forged(written.index):
        return written.value.strip().strip("<>")
    return hop.received.envelope_from


def _spf(facts: Facts, now: float) -> Asking[SpfResult]:
    from labkit.auth.spf import check_host

    return check_host(facts.client, facts.helo, facts.reverse_path, now=now)


# --- what an edit broke -------------------------------------------------------------------------------


def what_broke(before: Recheck, after: Recheck, original: bytes, content: bytes) -> Iterator[str]:
    """Each verdict that is another one than before, with the reason; what signatures forgive, or do not cover."""
    from labkit.auth.what_changed import what_changed

    yield from _changed("SPF", before.spf, after.spf, after.no_spf)
    for number, (was, is_now) in enumerate(_paired(before.dkim, after.dkim), 1):
        either = is_now or was
        name = f"DKIM signature {number}"
        if either is not None and either.domain:
            name += f" ({either.domain}, selector {either.selector})"
        yield from _changed(name, was, is_now, "the signature is gone")
        if was is not None and was.signature is not None and is_now is not None and was.result == "pass":
            said = str(what_changed(original, content, was.signature))
            yield from (f"{name}: {line}" for line in said.split("\n"))
    yield from _changed("ARC", before.arc, after.arc, "")
    yield from _changed("DMARC", before.dmarc, after.dmarc, after.no_dmarc)


def _changed(name: str, before: Any, after: Any, otherwise: str) -> Iterator[str]:
    was = "nothing" if before is None else before.result
    is_now = "nothing" if after is None else after.result
    reason = otherwise if after is None else after.reason
    if was != is_now:
        yield f"{name} said {was} and says {is_now} now: {reason}"
    elif before is not None and after is not None and is_now != "pass" and before.reason != after.reason:
        yield f"{name} still says {is_now}, for another reason: {reason}"


def _paired(
    before: tuple[DkimResult, ...], after: tuple[DkimResult, ...]
) -> list[tuple[DkimResult | None, DkimResult | None]]:
    """The signatures before and after: those whose fields are the same belong together, the others as they stand."""
    rest = list(after)
    pairs: list[tuple[DkimResult | None, DkimResult | None]] = []
    for each in before:
        same = next((found for found in rest if found.field == each.field), None)
        if same is not None:
            rest.remove(same)
        pairs.append((each, same))
    filled = [(was, now if now is not None else (rest.pop(0) if rest else None)) for was, now in pairs]
    return [*filled, *((None, each) for each in rest)]
