"""An optional exercise of notebook 06: a policy (MTA-STS) that keeps mail for bigmail.test out of Mallory's hands.

WHAT       `await probe_policy(mode=..., mx=..., max_age=...)` lets bigmail.test publish that policy and
           plays: nobody
           attacks; STARTTLS is stripped; another certificate; a forged MX record; the policy hidden two
           weeks later.
           `publish policy` judges who has the letters.
STANDARDS  RFC 8461 §3.2, §4.1, §5, §10
READ NEXT  ../../lab/mta_sts_trials.py
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from labkit.auth.mta_sts_policy import NotAPolicy
from labkit.lab.mta_sts_trials import DOMAIN, FORGES_MX, NOTHING, OWN_CERTIFICATE, STRIPS, attack, hide
from labkit.lab.policy_agent import PolicyAgent
from labkit.lab.world import World
from labkit.teach.checks import Seen, Verdict, done, exercise, hint, todo

CAROL = f"carol@{DOMAIN}"
HIDDEN = "hides the policy, two weeks later, and strips STARTTLS"
ATTACKS = (NOTHING, STRIPS, OWN_CERTIFICATE, FORGES_MX, HIDDEN)
DAYS_LATER = 14
MALLORY, WAITS, ENCRYPTED = "Mallory has it", "it waits", "Carol has it"


@dataclass(frozen=True, slots=True)
class ProbedPolicy:
    """`fates`: who has the letter while Mallory does that. `problem`: why it is no policy."""

    touched: bool
    problem: str = ""
    fates: Mapping[str, str] | None = None
    text: str = ""


async def probe_policy(
    *,
    mode: str = "",
    mx: str | Sequence[str] = (),
    max_age: int = 0,
    network: str = "auto",
    engine: str | None = None,
) -> ProbedPolicy:
    """Publish it, and let Mallory try."""
    if not mode and not mx and not max_age:
        return ProbedPolicy(False)
    names = [mx] if isinstance(mx, str) else list(mx) if isinstance(mx, (list, tuple, set)) else None
    if names is None or not all(isinstance(name, str) for name in names):
        return ProbedPolicy(True, "mx is the name of a host, or a list of names")
    if mode != "none" and not any(names):  # RFC 8461 §3.2
        return ProbedPolicy(True, "no mx: it names no host that may take the mail")
    fates: dict[str, str] = {}
    text = ""
    for how in ATTACKS:
        async with World.open("mta_sts", alongside=True, network=network, engine=engine) as world:
            try:
                published = await world.publish_policy(DOMAIN, mode, names, max_age)
            except (NotAPolicy, ValueError, TypeError) as problem:
                return ProbedPolicy(True, str(problem))
            text = str(published)
            fates[how] = await _fate(world, how)
    return ProbedPolicy(True, "", fates, text)


async def _fate(world: World, how: str) -> str:
    agent = PolicyAgent(world.mine)
    await agent.refresh(DOMAIN)
    if how == HIDDEN:
        hide(world)
        await world.advance(days=DAYS_LATER)
        await agent.refresh(DOMAIN)
    attack(world, STRIPS if how == HIDDEN else how)
    await world.laptop.send(CAROL, "our prices", "They are a secret.")
    await world.advance(minutes=5)
    if world.impostor.letters:
        return MALLORY
    return ENCRYPTED if world.provider.inbox("carol") or world.provider.spam("carol") else WAITS


@exercise("publish policy", "Mail for bigmail.test arrives, and never at Mallory's")
def publish_policy(probed: ProbedPolicy) -> Verdict:
    """Judge who has the letters."""
    if not isinstance(probed, ProbedPolicy):
        return todo('Let it be tried: check("publish policy", await probe_policy(mode=…, mx=…, max_age=…)).')
    if not probed.touched:
        return todo("No policy is published. Fill in mode, mx and max_age.")
    if probed.problem:
        return hint(f"This is no policy, and senders ignore it: {probed.problem}")
    fates = probed.fates or {}
    if fates[STRIPS] != WAITS and _lines(probed.text, "mode: enforce"):
        return hint(
            "The mode is right, and Mallory got Ann's letter at once: the policy was forgotten as soon as it "
            "was fetched. max_age is how long it is remembered, in seconds.",
            Seen(None, "the policy", ", ".join(_lines(probed.text, "max_age:"))),
        )
    if fates[NOTHING] != ENCRYPTED:
        return hint(
            "With nobody in between Ann's letter waits: the policy forbids the true mail exchanger. Which "
            "host does the "
            "MX record of bigmail.test name, and which does the policy?",
            Seen(None, "the policy", ", ".join(_lines(probed.text, "mx:"))[:100]),
        )
    for how, judge in (
        (STRIPS, _stripped),
        (OWN_CERTIFICATE, _stripped),
        (FORGES_MX, _forged),
        (HIDDEN, _forgotten),
    ):
        if fates[how] != WAITS:
            return judge(Seen(None, "while Mallory", f"{how}: {fates[how]}"))
    return done(
        "Carol's mail arrives when nobody is there, and waits while Mallory is, in four ways.",
        [Seen(None, "while Mallory", f"{how}: {fate}") for how, fate in fates.items()],
    )


def _lines(text: str, begin: str) -> list[str]:
    return [line for line in text.splitlines() if line.startswith(begin)]


def _stripped(seen: Seen) -> Verdict:
    return hint(
        "Mallory got Ann's letter: her host knew the policy and went on all the same. One of the modes only "
        "reports, one "
        "says that there is no policy, and one is obeyed.",
        seen,
    )


def _forged(seen: Seen) -> Verdict:
    return hint(
        "Mallory forged the MX record, and the name of his own host fits your policy: whoever fits a line of mx "
        "may take Carol's mail. Which hosts are hers?",
        seen,
    )


def _forgotten(seen: Seen) -> Verdict:
    return hint(
        "Mallory hid the policy, waited for two weeks, and won: Ann's host had forgotten it. max_age is how "
        "long it is "
        "remembered, in seconds; the RFC suggests weeks, and a year at most.",
        seen,
    )
