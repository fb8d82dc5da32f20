"""The question stepper: what is asked, what is offered, what is told before its turn, and hostile answers."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Coroutine, Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from labkit.auth.steps import Step
from labkit.lab.engine import NotThisEngine
from labkit.lab.world import partners
from labkit.mail.asking import Asking, Question, ask
from labkit.mail.questions import AddressesOf, DnsAnswer, DnsOutcome, MxOf, MxRecord, OwnAddresses, TextOf
from labkit.teach.question_words import answer_words, kind_of, kinds, question_words
from labkit.teach.views.stepper import Stepper, stepper
from labkit.teach.views.stepper_choices import NOTHING_MORE
from labkit.teach.views.stepper_moments import About
from labkit.teach.views.stepper_ready import step_dmarc, step_route, step_spf
from labkit.teach.views.stepper_walk import MOST_QUESTIONS

ROUTE = """\
Routing bob@st2.sne21.test at mx2.st11.sne21.test, one question at a time
address: bob@st2.sne21.test

   question                       answer                 what was made of it
-  -----------------------------  ---------------------  ---------------------------------------
   (before the first question)                           router others: domain st2.sne21.test is
                                                         in ! +local_domains
1  MX records at st2.sne21.test?  10 mx2.st2.sne21.test  router others: MX of st2.sne21.test: 10
                                                         mx2.st2.sne21.test
2  A records (IPv4 addresses) at  203.0.113.2            router others: address of
   mx2.st2.sne21.test?                                   mx2.st2.sne21.test: 203.0.113.2
3  Which addresses has this host  203.0.113.11           router others took it
   itself?

After 3 questions: routed: bob@st2.sne21.test goes by the transport by_smtp to mx2.st2.sne21.test
[203.0.113.2] (MX 10)"""


@dataclass(frozen=True)
class Verdict:
    result: str
    reason: str
    steps: tuple[Step, ...]


def found(*records: Any) -> DnsAnswer[Any]:
    return DnsAnswer(DnsOutcome.FOUND, records)


ANSWERS: dict[Question[Any], Any] = {
    TextOf("a.test"): found("v=spf1 a:relay.b.test mx -all"),
    AddressesOf("relay.b.test"): found("192.0.2.1"),
    MxOf("a.test"): found(MxRecord(10, "mx.a.test")),
    AddressesOf("mx.a.test"): found("192.0.2.9"),
}


def decision() -> Asking[Verdict]:
    """As an evaluator of the auth room asks and tells."""
    steps = [Step("The sender's domain is a.test.", "RFC 7208 §2.4")]
    for question, words in (
        (TextOf("a.test"), "One SPF record."),
        (AddressesOf("relay.b.test"), "The term a: does not match."),
        (MxOf("a.test"), "One exchanger."),
        (AddressesOf("mx.a.test"), "The term mx matches."),
    ):
        yield from ask(question)
        steps.append(Step(words, question=question))
        steps.append(Step(f"(after {words})", depth=1))
    return Verdict("pass", "The term mx matches.", tuple(steps))


ABOUT = About("SPF", (("client", "192.0.2.9"),), "192.0.2.9", (TextOf("a.test"), MxOf("helo.test")))


def told(story: Coroutine[Any, Any, None]) -> None:
    asyncio.run(asyncio.wait_for(story, 60))


def walked(predict: bool | str = True, **answers: Any) -> Stepper:
    made: list[Stepper] = []

    async def run() -> None:
        made.append(await stepper(decision, answer_with=ANSWERS, predict=predict, about=ABOUT))

    asyncio.run(run())
    return made[0]


def states(view: Stepper) -> Iterator[dict[str, Any]]:
    """What the browser gets, from the beginning to the end."""
    yield view.state()
    while view.moment is not None:
        view.go_on()
        yield view.state()


# --- the whole ------------------------------------------------------------------------------------


def test_a_route_as_text() -> None:
    async def story() -> None:
        async with partners(network="memory") as world:
            view = await step_route(world.mine, "bob@st2.sne21.test")
            assert view.text() == ROUTE
            assert view.text() == repr(view) and "<table" in str(view.html())
            failed = await step_route(world.mine, "nobody@st11.sne21.test")
            assert [question_words(turn.question) for turn in failed.walk.turns] == [
                "Has this host an account nobody?"
            ]
            assert failed.walk.verdict == "failed" and "Unrouteable address" in failed.walk.reason

    told(story())


SPF_ZONE = """
st2 IN TXT "v=spf1 include:_spf.st11.sne21.test mx -all"
_spf.st11 IN TXT "v=spf1 exists:%{ir}.ok.sne21.test ?all"
"""


def test_spf_through_an_include() -> None:
    async def story() -> None:
        async with partners(network="memory") as world:
            world.write_zone("sne21.test", world.zone("sne21.test") + SPF_ZONE)
            client, path = world.partner.address, "bob@st2.sne21.test"
            view = await step_spf(client, world.partner.name, path, world)
            assert [question_words(turn.question) for turn in view.walk.turns] == [
                "TXT records at st2.sne21.test?",
                "TXT records at _spf.st11.sne21.test?",
                "A records (IPv4 addresses) at 2.113.0.203.ok.sne21.test?",
                "MX records at st2.sne21.test?",
                "A records (IPv4 addresses) at mx2.st2.sne21.test?",
            ]
            assert all(turn.made for turn in view.walk.turns) and view.walk.before
            assert {made.depth for made in view.walk.turns[2].made} == {0, 1}, "the include ends with it"
            last = view.moments[-3]
            assert (last.what, last.truth) == ("answer", "addresses, the client's own among them")
            assert view.walk.verdict == "pass" and f"permits {client}" in view.text()
            assert max(map(len, view.text().split("\n"))) <= 110
            later = await step_spf("203.0.113.77", "mx.evil.test", path, world, at=world.mine)
            assert later.walk.verdict == "fail"
            with pytest.raises(ValueError, match="no IP address"):
                await step_spf("nowhere", "", "", world)

    told(story())


def test_dmarc_walks_the_tree() -> None:
    async def story() -> None:
        async with partners(network="memory") as world:
            zone = world.zone("sne21.test")
            world.write_zone("sne21.test", f'{zone}\n_dmarc IN TXT "v=DMARC1; p=reject; sp=quarantine"\n')
            view = await step_dmarc("st2.sne21.test", ("pass", "mail.st2.sne21.test"), None, world)
            assert [question_words(turn.question) for turn in view.walk.turns] == [
                "TXT records at _dmarc.st2.sne21.test?",
                "TXT records at _dmarc.sne21.test?",
                "TXT records at _dmarc.test?",
                "TXT records at _dmarc.mail.st2.sne21.test?",
            ]
            assert view.walk.verdict == "pass" and all(turn.made for turn in view.walk.turns)
            assert "SPF: pass for mail.st2.sne21.test" in view.text() and "DKIM: nothing" in view.text()
            assert view.moments[-1].choices == ("pass", "fail", "none", "permerror", "temperror")
            assert max(map(len, view.text().split("\n"))) <= 110
            failed = await step_dmarc("st2.sne21.test", None, [("fail", "st2.sne21.test")], world)
            assert failed.walk.verdict == "fail"

    told(story())


def test_run_again_asks_anew() -> None:
    async def story() -> None:
        async with partners(network="memory") as world:
            view = await stepper(lambda: ask(TextOf("new.sne21.test")), answer_with=world.ask)
            assert "there is no such name" in view.text()
            zone = world.zone("sne21.test")
            world.write_zone("sne21.test", f'{zone}\nnew IN TXT "v=spf1 -all"\n')
            await view.hear({"ask": "all"})
            await view.hear({"ask": "again"})
            assert "v=spf1 -all" in view.text() and view.position == 0 and view.said == {}

    told(story())


def test_a_host_answers_from_its_cache_and_a_laptop_does_not() -> None:
    async def story() -> None:
        async with partners(network="memory") as world:
            question = TextOf("new.sne21.test")
            assert (await world.ask(question, at=world.mine)).outcome is DnsOutcome.NXDOMAIN
            world.write_zone("sne21.test", f'{world.zone("sne21.test")}\nnew IN TXT "x"\n')
            assert (await world.ask(question, at=world.mine)).outcome is DnsOutcome.NXDOMAIN, "remembered"
            assert (await world.ask(question)).records == ("x",)
            assert await world.ask(OwnAddresses(), at=world.mine) == (world.mine.address,)
            with pytest.raises(TypeError):
                await world.ask(OwnAddresses())

    told(story())


def test_a_silent_nameserver_costs_lab_time() -> None:
    async def story() -> None:
        async with partners(network="memory") as world:
            world.network.silence(world.scenario.nameserver)
            before = world.now()
            answer = await world.ask(TextOf("a.test"))
            assert answer.outcome is DnsOutcome.TIMEOUT and world.now() > before

    told(story())


@pytest.mark.needs("exim", "gcc")
def test_the_real_exim_asks_nobody_here() -> None:
    async def story() -> None:
        async with partners(network="loopback", engine="exim") as world:
            with pytest.raises(NotThisEngine):
                await step_route(world.mine, "bob@st2.sne21.test")
            assert (await world.ask(MxOf("st2.sne21.test"), at=world.mine)).records

    told(story())


# --- walking --------------------------------------------------------------------------------------


def test_each_step_belongs_to_its_question() -> None:
    view = walked()
    assert [step.words for step in view.walk.before] == ["The sender's domain is a.test."]
    assert [[made.words for made in turn.made] for turn in view.walk.turns] == [
        ["One SPF record.", "(after One SPF record.)"],
        ["The term a: does not match.", "(after The term a: does not match.)"],
        ["One exchanger.", "(after One exchanger.)"],
        ["The term mx matches.", "(after The term mx matches.)"],
    ]
    assert str(view.walk.turns[0].made[1]) == "  (after One SPF record.)"


@pytest.mark.parametrize("predict", [True, "questions", "answers", "words", False])
def test_the_truth_is_offered_once_and_not_told_before(predict: bool | str) -> None:
    view = walked(predict)
    secrets = ["relay.b.test", "mx.a.test", "One SPF record", "The term mx matches"]
    assert not any(secret in json.dumps(view.state()) for secret in secrets)
    seen = list(states(view))
    assert len(seen) == len(view.moments) + 1
    for moment, state in zip(view.moments, seen):
        if moment.choices:
            assert moment.choices.count(moment.truth) == 1, moment
            assert len(set(moment.choices)) == len(moment.choices)
        if moment.what == "next":
            assert len(state["turns"]) == moment.turn
            if moment.choices:
                assert moment.choices[-1] == NOTHING_MORE
                assert len(moment.choices) == 5, "as many at the end as before"
        if moment.what == "answer":
            last = state["turns"][-1]
            assert last["answer"] is None and last["made"] is None
        assert state["verdict"] is None
    assert seen[-1]["verdict"]["verdict"] == "pass"
    assert all(turn["made"] for turn in seen[-1]["turns"])


def test_what_is_offered_knows_no_name_that_has_not_come_up() -> None:
    view = walked()
    first, second = (moment.choices for moment in view.moments if moment.what == "next" and moment.turn < 2)
    assert not any("relay.b.test" in choice or "mx.a.test" in choice for choice in first)
    assert not any("mx.a.test" in choice for choice in second)
    assert any("relay.b.test" in choice for choice in second), "it stands in the record"


def test_where_the_truth_stands_is_arbitrary_and_the_same_each_time() -> None:
    places = [moment.choices.index(moment.truth) for moment in walked().moments if moment.what == "next"]
    assert len(set(places)) > 2
    assert places == [m.choices.index(m.truth) for m in walked().moments if m.what == "next"]


def test_sorts_of_answers_are_the_same_for_each_question_of_a_kind() -> None:
    view = walked()
    offered: dict[type, set[tuple[str, ...]]] = {}
    for moment in view.moments:
        if moment.what == "answer":
            offered.setdefault(type(view.walk.turns[moment.turn].question), set()).add(moment.choices)
    assert all(len(each) == 1 for each in offered.values()) and len(offered) == 3
    sorts = [moment.truth for moment in view.moments if moment.what == "answer"]
    assert sorts == [
        "an SPF record (v=spf1 …)",
        "addresses, but not the client's",
        "one host that takes its mail",
        "addresses, the client's own among them",
    ]


def test_predictions_are_counted() -> None:
    view = walked()
    wanted = right = 0
    while (moment := view.moment) is not None:
        at = moment.choices.index(moment.truth)
        view.choose(at if wanted % 3 else (at + 1) % len(moment.choices))
        right += bool(wanted % 3)
        wanted += 1
    assert view.score == (right, wanted)
    assert f"{right} of {wanted} predictions were right." in view.state()["score"]
    with pytest.raises(ValueError, match="no choice"):
        view.choose(0)


def test_in_ones_own_words() -> None:
    async def story() -> None:
        view = await stepper(decision, answer_with=ANSWERS, predict="words", about=ABOUT)
        assert view.state()["stop"]["words"] and view.state()["stop"]["choices"] == []
        await view.hear({"ask": "say", "text": "<b>its TXT record</b>"})
        (said,) = view.state()["turns"][0]["said"]
        assert said["right"] is None and view.score == (0, 0)
        await view.hear({"ask": "judge", "number": said["moment"], "right": True})
        assert view.score == (1, 1)

    told(story())


def test_messages_that_are_none() -> None:
    async def story() -> None:
        view = await stepper(decision, answer_with=ANSWERS)
        for message in ({}, {"ask": "choose"}, {"ask": "choose", "number": "1"}, {"ask": "steal"}):
            with pytest.raises(ValueError, match="does not know"):
                await view.hear(message)
        with pytest.raises(ValueError, match="no choice"):
            await view.hear({"ask": "choose", "number": -1})
        with pytest.raises(KeyError):
            await view.hear({"ask": "judge", "number": 77, "right": True})
        with pytest.raises(ValueError, match="predict"):
            await stepper(decision, answer_with=ANSWERS, predict="all")

    told(story())


def test_without_an_end() -> None:
    def endless() -> Asking[None]:
        while True:
            yield from ask(TextOf("a.test"))

    async def story() -> None:
        with pytest.raises(RuntimeError, match=f"{MOST_QUESTIONS:,}"):
            await stepper(endless, answer_with=lambda question: found("x"))
        with pytest.raises(KeyError):
            await stepper(decision, answer_with={})

    told(story())


# --- words ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "answer, words, kind",
    [
        (found("v=spf1 -all"), "v=spf1 -all", "an SPF record (v=spf1 …)"),
        (found("v=spf1 -all", "V=SPF1 +all"), "v=spf1 -all\nV=SPF1 +all", "two or more SPF records"),
        (found("x", "v=DMARC1; p=none"), "x\nv=DMARC1; p=none", "a DMARC record (v=DMARC1 …)"),
        (found("hello"), "hello", "text, but no SPF and no DMARC record"),
        (DnsAnswer(DnsOutcome.NODATA), "the name is there, but", "the name is there, but"),
        (DnsAnswer(DnsOutcome.NXDOMAIN), "there is no such name", "there is no such name"),
        (DnsAnswer(DnsOutcome.TIMEOUT), "nobody answered", "no answer, or a failure"),
        (DnsAnswer(DnsOutcome.FOUND, ("x",), "b.test"), "(a CNAME leads to b.test)\nx", "text, but"),
    ],
)
def test_answers_in_words(answer: DnsAnswer[str], words: str, kind: str) -> None:
    question = TextOf("a.test")
    assert answer_words(question, answer).startswith(words)
    assert kind_of(question, answer).startswith(kind)
    assert kind_of(question, answer) in kinds(question)


def test_hostile_answers_are_text() -> None:
    image, many = '<img src="x" onerror="y">\u202e\x1b[2J', "z" * 1_000_000

    def nasty() -> Asking[Verdict]:
        yield from ask(TextOf("a.test"))
        yield from ask(TextOf(image))
        return Verdict("pass", f"</script>{image}", (Step(image * 3, question=TextOf("a.test")), Step(many)))

    async def story() -> None:
        view = await stepper(nasty, answer_with=lambda question: found(image, many, *["r"] * 5000))
        await view.hear({"ask": "all"})
        state = json.dumps(view.state(), ensure_ascii=False)
        assert "\u202e" not in state and "\x1b" not in state and "u202e" in state
        assert len(state) < 60_000
        html = str(view.html())
        assert "<img" not in html and "<script" not in html and "&lt;img" in html
        assert "\u202e" not in view.text()
        assert max(map(len, view.text().split("\n"))) <= 110

    told(story())
