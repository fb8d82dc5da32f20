"""The policy for each mail exchanger, the attacks, and MTA-STS one question at a time: both forms of each."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from labkit import World
from labkit.auth.mta_sts import discover
from labkit.lab.mta_sts_trials import DOMAIN, attack, play_all
from labkit.lab.policy_agent import PolicyAgent
from labkit.mail.asking import Question, answer_by
from labkit.mail.questions import DnsAnswer, DnsOutcome, PageFetched, PolicyAt
from labkit.teach.views.policy_table import PolicyTable, attacks_table, policy_table
from labkit.teach.views.stepper_ready import step_mta_sts


def opened() -> World:
    return World.open("mta_sts", network="memory", engine="labkit", alongside=True)


def test_policy_for_each_exchanger() -> None:
    async def story() -> None:
        async with opened() as world:
            agent = PolicyAgent(world.mine)
            shown = await policy_table(world, DOMAIN)
            assert "no policy binds the sender" in shown.text()
            await world.publish_policy(DOMAIN)
            await agent.refresh(DOMAIN)
            attack(world, "forges the MX record")
            shown = await policy_table(world, DOMAIN, agent)
            text, html = shown.text(), str(shown.html())
            for part in (
                "mx.mallory.test",
                "no: it waits, and it is reported",
                "the policy does not name it",
            ):
                assert part in text.replace("\n", " ") or part in html
                assert part in html
            assert all(len(line) <= 110 for line in text.splitlines())

    asyncio.run(story())


def test_a_policy_is_text_of_others() -> None:
    async def story() -> None:
        async with opened() as world:
            zone = world.zone(DOMAIN)
            world.write_zone(DOMAIN, zone + '_mta-sts IN TXT "v=STSv1; id=<img>"\n')
            shown = await policy_table(world, DOMAIN)
            assert "<img>" not in str(shown.html())
            stepper = await step_mta_sts(world, DOMAIN, predict=False)
            assert "<img>" not in str(stepper.html())

    asyncio.run(story())


def test_attacks() -> None:
    shown = attacks_table(
        asyncio.run(play_all(["no policy, stripped", "enforce, stripped"], network="memory", engine="labkit"))
    )
    assert "2 cases: 1 letters stolen, none lost" in shown.text()
    assert "it waited, then went to Carol" in " ".join(shown.text().split())
    assert "stolen, in clear" in str(shown.html())
    assert all(len(line) <= 110 for line in shown.text().splitlines())


def test_stepper() -> None:
    async def story() -> None:
        async with opened() as world:
            await world.publish_policy(DOMAIN)
            stepper = await step_mta_sts(world, DOMAIN)
            truths = []
            while (moment := stepper.moment) is not None:
                assert moment.choices.count(moment.truth) == 1
                truths.append(moment.truth)
                stepper.choose(moment.choices.index(moment.truth))
            assert truths == [
                f"TXT records at _mta-sts.{DOMAIN}?",
                "an MTA-STS record (v=STSv1 …)",
                f"GET https://mta-sts.{DOMAIN}/.well-known/mta-sts.txt?",
                "a file (200)",
                "Nothing more: it is decided.",
                "fresh",
            ]
            assert "mode: enforce" in stepper.text()
            agent = PolicyAgent(world.mine)
            await agent.refresh(DOMAIN)
            again = await step_mta_sts(world, DOMAIN, agent, predict=False)
            assert again.walk.verdict == "cached" and len(again.walk.turns) == 1

    asyncio.run(story())


@pytest.mark.parametrize(
    "page",
    [
        PageFetched(200, "text/\x9b2J<script>\u202e", b""),
        PageFetched(problem="\x1b[2J</td>\u2028\u202e\0"),
        PageFetched(200, "text/plain", b"version: STSv1\nmode: \x1b[2J<script>\nmx: a.test\nmax_age: 1"),
    ],
)
def test_what_a_web_server_says_hides_nothing(page: PageFetched) -> None:
    """In the view, in its text twin, and in the result as print() writes it."""

    def answer(question: Question[Any]) -> object:
        if isinstance(question, PolicyAt):
            return page
        return DnsAnswer(DnsOutcome.FOUND, ("v=STSv1; id=1;",))

    found = answer_by(answer, discover("far.test", 0))
    view = PolicyTable(found, ["mx.far.test\x1b"])
    for text in (view.text(), str(view.html()), str(found), *map(str, found.steps)):
        assert not set(text) & set("\x9b\x1b\u202e\u2028\0"), ascii(text)
    assert "<script>" not in str(view.html()) and "</td>\\u" not in str(view.html())
