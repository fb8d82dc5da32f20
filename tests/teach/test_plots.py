"""Pictures: what they say is what the journal says, twice the same bytes, and nothing gets out of them."""

from __future__ import annotations

import asyncio
import re
import subprocess
import sys
from collections.abc import Callable
from configparser import ConfigParser
from datetime import datetime, timedelta
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

from labkit.lab.lives import is_only_a_look, life_of, waits_of
from labkit.lab.world import World, neighbours, partners
from labkit.mail.event import EventKind
from labkit.queue.plan import plan_of
from labkit.teach.plots import (
    beside_real_mail,
    header_growth,
    loop_graph,
    message_life,
    predict_life,
    predict_schedule,
    queue_over_time,
    retry_schedule,
    scale,
    why_waiting,
)
from labkit.teach.plots.message_life import FAILED, LOOK, NEXT, PUT_OFF, REPORT, RUN, WARNING
from labkit.teach.plots.picture import Picture, label
from labkit.teach.plots.retry_schedule import span_of
from labkit.teach.plots.time_axis import span
from labkit.teach.plots.typed_rule import LONGEST_RULE, WrongRule, typed_rule
from labkit.teach.view import View

ANN, BOB = "ann@st11.sne21.test", "bob@st2.sne21.test"
USUAL = "*  *  F,2h,15m; G,16h,1h,1.5; F,4d,6h"
HOSTILE = '--></svg><script>alert("$x$")</script>\u202egnp'


async def an_outage(world: World, count: int = 3) -> list[str]:
    """Messages at 09:00, 09:07, … for a partner that is down."""
    await world.partner.stop()
    ids = []
    for number in range(count):
        text = f"Subject: number {number}\nMessage-ID: <m{number}@test>\n\nhello\n"
        ids.append(await world.mine.send(ANN, BOB, text))
        await world.advance(minutes=7)
    return ids


def story(tell: Callable[[World], Any], **options: Any) -> Any:
    async def all_of_it() -> Any:
        async with partners(network="memory", alongside=True, **options) as world:
            return await tell(world)

    return asyncio.run(all_of_it())


class Elements(HTMLParser):
    """The names of all elements, and every attribute that begins with on or points somewhere."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.names: set[str] = set()
        self.suspect: list[tuple[str, str | None]] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.names.add(tag)
        for name, value in attributes:
            is_link = name in ("src", "href", "xlink:href") and not (value or "").startswith("#p")
            if name.startswith("on") or is_link or ("http" in (value or "") and name != "xmlns"):
                self.suspect.append((name, value))


def assert_harmless(view: View) -> None:
    html = str(view.html())
    found = Elements(html)
    assert not found.names & {
        "script",
        "style",
        "img",
        "a",
        "iframe",
        "foreignobject",
        "image",
        "object",
        "metadata",
    }
    assert not found.suspect
    assert "\u202e" not in html and "\u202e" not in view.text()
    if isinstance(view, Picture):
        ElementTree.fromstring(view.svg())


# --- the life of one message ---


def test_the_life_of_a_message_is_what_the_journal_says() -> None:
    async def tell(world: World) -> None:
        first, second, _ = await an_outage(world)
        await world.advance(days=5)
        life = message_life(world, first)
        facts = [e for e in world.journal.facts() if e.queue_id == first]
        put_off = [e for e in facts if e.kind is EventKind.DEFERRED and not is_only_a_look(e)]
        assert [m.at for m in life.marks if m.what == PUT_OFF] == [e.at for e in put_off]
        assert [m.at for m in life.marks if m.what == LOOK] == [e.at for e in facts if is_only_a_look(e)]
        failed = [e for e in facts if e.kind is EventKind.FAILED]
        assert [m.at for m in life.marks if m.what == FAILED] == [e.at for e in failed]
        assert len(failed) == 1
        reports = [e for e in world.journal.facts() if e.about == first]
        told = [m.event for m in life.marks if m.what in (WARNING, REPORT)]
        assert told == reports
        assert [m.what for m in life.marks if m.what in (WARNING, REPORT)] == [WARNING] * 3 + [REPORT]
        text = life.text()
        assert f"{len(put_off)} tries, gone after 4 days 15 minutes" in text
        assert "Connection refused" in text and "Mail delivery failed" in text
        assert message_life(world, "<m0@test>").marks == life.marks
        assert "0 tries, gone after 4 days 8 minutes" in message_life(world, second).text(), (
            "it was only looked at"
        )

    story(tell)


def test_the_plan_of_the_rule_is_what_the_lab_does() -> None:
    async def tell(world: World) -> None:
        (first,) = await an_outage(world, 1)
        await world.advance(days=5)
        (stay,) = life_of(world.journal, first).stays
        really = tuple(event.at - stay.began for event in stay.tries)
        assert really == plan_of(typed_rule(USUAL), timedelta(minutes=15)).times

    story(tell)


def test_a_message_that_waits_shows_what_is_to_come() -> None:
    async def tell(world: World) -> None:
        first, *_ = await an_outage(world)
        await world.advance(hours=3)
        life = message_life(world, first)
        (hint,) = world.mine.mta.state.hints.rows.values()
        assert [m.at for m in life.marks if m.what == NEXT] == [hint.attempt.next_try]
        (run,) = [m.at for m in life.marks if m.what == RUN]
        tried = len([e for e in world.journal.where(EventKind.DEFERRED, queue_id=first) if e.errno == 111])
        await world.advance(seconds=(run - world.now()).total_seconds() - 1)
        again = [e for e in world.journal.where(EventKind.DEFERRED, queue_id=first) if e.errno == 111]
        assert len(again) == tried, "not before"
        await world.advance(seconds=1)
        again = [e for e in world.journal.where(EventKind.DEFERRED, queue_id=first) if e.errno == 111]
        assert len(again) == tried + 1, "but then"
        assert again[-1].at == run

    story(tell)


def test_two_hosts_are_two_lanes() -> None:
    async def tell(world: World) -> None:
        (first,) = await an_outage(world, 1)
        await world.partner.start()
        await world.advance(hours=1)
        life = message_life(world, first)
        assert life.lanes == (world.mine.name, world.partner.name)
        there = life.life.stays[1]
        assert there.came_from == world.mine.name
        text = " ".join(life.text().split())
        assert world.partner.name in text and f"as {there.queue_id}" in text

    story(tell)


def test_who_never_came() -> None:
    async def tell(world: World) -> None:
        with pytest.raises(LookupError, match=r"no message 'x' ever came; the last ones are none"):
            message_life(world, "x")
        await an_outage(world, 1)
        with pytest.raises(LookupError, match="the last ones are 1"):
            header_growth(world, "1x3VCq-000000-00")

    story(tell)


# --- the queue ---


def test_the_queue_over_time_is_what_the_listing_was() -> None:
    async def tell(world: World) -> None:
        await an_outage(world)
        seen: list[tuple[datetime, int]] = []
        for _ in range(30):
            await world.advance(minutes=211)
            seen.append((world.now(), len(world.mine.queue)))
        await world.partner.start()
        await world.advance(hours=7)
        seen.append((world.now(), len(world.mine.queue)))
        picture = queue_over_time(world, "mx2.st11")
        assert [(at, picture.count(at)) for at, _ in seen] == seen
        assert picture.longest[1] == 3
        assert sum(map(sum, picture.by_age(seen[5][0]).values())) == seen[5][1]
        assert "At most 3" in picture.text() and "nobody waits" in picture.text()

    story(tell)


def test_ages_are_those_of_qshape() -> None:
    async def tell(world: World) -> None:
        await an_outage(world)  # they are 21, 14 and 7 minutes old now
        picture = queue_over_time(world, world.mine)
        assert picture.by_age(world.now()) == {"st2.sne21.test": [0, 1, 1, 1, 0, 0, 0, 0, 0, 0]}
        assert "T  5  10  20  40  80  160  320  640  1280  1280+" in picture.text()
        assert all(each.until is None for each in waits_of(world.journal, world.mine.name))

    story(tell)


def test_a_host_without_a_queue() -> None:
    async def tell(world: World) -> None:
        picture = queue_over_time(world, world.partner)
        assert "Nobody has waited here yet." in picture.text()
        assert "nobody has waited here yet" in picture.svg()
        with pytest.raises(KeyError, match="no host nowhere"):
            queue_over_time(world, "nowhere")

    story(tell)


# --- why it waits ---


def test_why_it_waits_names_both_clocks() -> None:
    async def tell(world: World) -> None:
        _, second, _ = await an_outage(world)
        await world.advance(hours=2)
        text = why_waiting(world.mine, second).text()
        (hint,) = world.mine.mta.state.hints.rows.values()
        assert f"First clock, the retry time: Mon 07 Sep {hint.attempt.next_try:%H:%M}" in text
        assert "retry time not reached" in text and "T:mx2.st2.sne21.test" in text
        assert "every 15m" in text and "exim -qf" in text and "Fri 11 Sep 09:07" in text
        await world.mine.stop()
        assert "the daemon is stopped" in why_waiting(world.mine, second).text()
        with pytest.raises(KeyError, match="no message x waits"):
            why_waiting(world.mine, "x")

    story(tell)


def test_why_it_waits_for_a_host_that_is_dead_for_too_long() -> None:
    """A message of a new day, when the hint has run out, is not held by it: it is given up."""

    async def tell(world: World) -> None:
        await an_outage(world, 1)
        await world.advance(days=4, hours=1)
        assert not world.mine.queue
        await world.mine.stop()
        await world.mine.start(queue_only=True)
        queue_id = await world.mine.send(ANN, BOB, "Subject: late\n\nhello\n")
        text = " ".join(why_waiting(world.mine, queue_id).text().split())
        assert "longer than its rule allows: the next queue run gives the message up" in text
        await world.advance(minutes=15)
        assert world.journal.where(EventKind.FAILED, queue_id=queue_id)

    story(tell)


def test_why_it_waits_for_an_address_that_is_put_off() -> None:
    async def tell(world: World) -> None:
        partner = world.partner
        partner.write_configuration(
            partner.configuration.replace("check_rcpt:\n", "check_rcpt:\n  defer message = later\n", 1)
        )
        await partner.reload()
        queue_id = await world.mine.send(ANN, BOB, "Subject: x\n\nhello\n")
        text = why_waiting(world.mine, queue_id).text()
        assert (
            f"R:{BOB}:<{ANN}>" in text and "for the address or domain" in text and "Mon 07 Sep 09:15" in text
        )

    story(tell)


def test_why_it_waits_where_nobody_runs_the_queue() -> None:
    async def tell(world: World) -> None:
        first, *_ = await an_outage(world)
        assert "this daemon runs no queue" in why_waiting(world.mine, first).text()
        await world.mine.exim("-Mf", first)
        assert "It is frozen" in why_waiting(world.mine, first).text()

    story(tell, queue_interval=None)


def test_why_it_waits_before_the_first_try() -> None:
    async def tell(world: World) -> None:
        await world.mine.stop()
        await world.mine.start(queue_only=True)
        queue_id = await world.mine.send(ANN, BOB, "Subject: x\n\nhello\n")
        text = why_waiting(world.mine, queue_id).text()
        assert "Nothing was tried for it yet" in text and "No retry time holds it" in text
        assert "?" not in message_life(world, queue_id).text()
        assert queue_over_time(world, world.mine).domains == ["st2.sne21.test"]

    story(tell)


@pytest.mark.needs("exim", "gcc")
def test_why_it_waits_at_the_real_exim() -> None:
    async def all_of_it() -> None:
        async with partners(network="loopback", alongside=True, engine={"student": "exim"}) as world:
            _, second, _ = await an_outage(world)
            await world.advance(hours=2)
            text = why_waiting(world.mine, second).text()
            assert (
                "T:mx2.st2.sne21.test:203.0.113.2" in text
                and "First clock, the retry time: Mon 07 Sep 1" in text
            )
            life = message_life(world, second)
            (run,) = [m.at for m in life.marks if m.what == RUN]
            assert "its time is over" in life.text()
            await world.partner.start()
            await world.advance(seconds=(run - world.now()).total_seconds() - 60)
            assert len(world.mine.queue) == 3, "not before"
            await world.advance(minutes=2)
            assert len(world.mine.queue) == 0, "but then"
            assert queue_over_time(world, world.mine).longest[1] == 3

    asyncio.run(all_of_it())


# --- loops ---


def test_a_loop_is_counted() -> None:
    async def all_of_it() -> None:
        async with neighbours("a.test", "b.test", network="memory", alongside=True) as world:
            for host, other in ((world.mine, "b.test"), (world.partner, "a.test")):
                loop = f"loop:\n  driver = redirect\n  local_parts = loop\n  data = loop@{other}\nours:\n"
                host.write_configuration(host.configuration.replace("ours:\n", loop))
                await host.reload()
            await world.mine.send("user@a.test", "loop@a.test", "Subject: x\nMessage-ID: <l@test>\n\nhello\n")
            graph, growth = loop_graph(world, "<l@test>"), header_growth(world, "<l@test>")
            came = [
                e
                for e in world.journal.facts()
                if e.kind is EventKind.RECEIVED and e.message_id == "<l@test>"
            ]
            counts = {(a.came_from, a.host): a.count for a in graph.arrows}
            for here, there in (("mx.a.test", "mx.b.test"), ("mx.b.test", "mx.a.test")):
                assert counts[here, there] == len(
                    [e for e in came if e.host == there and e.remote_host == here]
                )
            assert graph.cycles == [("mx.a.test", "mx.b.test")]
            assert "circle: mx.a.test -> mx.b.test -> mx.a.test" in graph.text()
            assert 'Too many "Received" headers' in graph.text()
            assert [hop.size for hop in growth.hops] == [e.size for e in came]
            assert [hop.stamps for hop in growth.hops] == list(range(1, len(came) + 1))
            assert max(map(len, growth.text().splitlines())) <= 100, (
                "no row is folded in a window of usual width"
            )
            assert f"the last arrival, number {len(came)}: given up: Too many" in growth.text()
            report = bytes(world.mine.mailbox("user")[-1])
            assert report.count(b"Received: ") == len(came) + 1, "the report has one of its own"
            assert loop_graph(world).arrows == graph.arrows, "the report is not counted"
            assert graph.svg() == loop_graph(world, "<l@test>").svg()
            assert_harmless(graph)
            assert_harmless(growth)

    asyncio.run(all_of_it())


# --- rules ---


@pytest.mark.parametrize(
    "text, position, words",
    [
        ("", 1, "there is no rule"),
        ("  F,2h,15m", 3, "where the rule begins"),
        ("*", 2, "missing error type"),
        ("* foo F,2h,15m", 3, 'unknown or malformed retry error "foo"'),
        ("* * F,2h 15m", 5, "comma expected"),
        ("* * F,2h,15m; Q,4d,6h", 15, "unknown retry rule letter"),
        ("* * F,2h,15m; G,16h,1h,0.5; F,4d,6h", 15, "bad parameters"),
        ("* * F,2h,15m F,4d,6h", 5, "semicolon expected"),
        ("* * F,2x,15m", 5, "invalid time value"),
        ("* * F,2h,15m; G,16h,1h", 15, "comma expected"),
        ("* rcpt_5xx F,1h,1m", 3, "unknown or malformed retry error"),
        ("* * senders=a.test F,0s,1m", 20, "bad parameters"),
        ("x" * (LONGEST_RULE + 1), 1, "are enough"),
    ],
)
def test_a_wrong_rule_says_where(text: str, position: int, words: str) -> None:
    with pytest.raises(WrongRule, match="at character") as problem:
        typed_rule(text)
    assert problem.value.position == position
    assert words in str(problem.value)
    assert "Traceback" not in str(problem.value)


def test_a_wrong_rule_shows_nothing_hidden() -> None:
    with pytest.raises(WrongRule) as problem:
        typed_rule("* * F,2h,15m; \u202eQ,1h")
    assert "\u202e" not in str(problem.value)


def test_the_schedule_in_words() -> None:
    text = retry_schedule(USUAL, "* * F,1h,30m; F,5d,2h", every="20m").text()
    assert "2    15m         5m                   20m" in text
    assert "with queue runs: 27 tries, given up after 4 days 20 minutes" in text
    assert "the rule alone: 29 tries, given up after 4 days 1 second" in text
    assert "quicker than RFC 5321 suggests: 15 minutes" in text
    assert "as RFC 5321 suggests: 30 minutes or more" in text


@pytest.mark.parametrize("wrong", ["", "soon", "15", "-5m", "400d", "15m 20x"])
def test_a_span_that_is_none(wrong: str) -> None:
    with pytest.raises(ValueError, match="span"):
        span_of(wrong)


def test_how_many_rules() -> None:
    with pytest.raises(ValueError, match="from 1 to 6"):
        retry_schedule()
    with pytest.raises(TypeError, match="a retry rule is a text"):
        retry_schedule(5)  # type: ignore[arg-type]


def test_spans_are_read_as_they_are_shown() -> None:
    for seconds in (0, 1, 59, 60, 3600, 5025, 86400, 349204):
        assert span_of(span(timedelta(seconds=seconds))) == timedelta(seconds=seconds)


# --- predictions ---


def test_a_right_prediction() -> None:
    found = predict_schedule("* * F,1h,15m", "0s 15m 30m 45m 1h 1h15m")
    assert found.right == 6 and "All of it is right." in found.text()


def test_a_prediction_that_differs() -> None:
    text = predict_schedule("* * F,1h,15m; F,4h,1h", ["0s", "15m", "30m", "50m", "2h", "3h", "9h"]).text()
    assert "50m         45m         it comes 5m earlier" in text
    assert "2h          2h15m       it comes 15m later" in text
    assert "-           1h          you did not expect this one" in text
    assert "3 of 9 tries as you expect; 4 at another time, 2 not expected, 0 that do not happen" in text


def test_a_prediction_of_too_much_and_of_nothing() -> None:
    assert "nothing happens here" in predict_schedule("* *", ["0s", "15m"]).text()
    nothing = predict_schedule("* * F,1h,30m", [])
    assert nothing.right == 0 and len(nothing.pairs) == 4
    with pytest.raises(ValueError, match="300 are enough"):
        predict_schedule("* * F,1h,30m", ["1m"] * 301)
    with pytest.raises(ValueError, match='"soon" is no span'):
        predict_schedule("* * F,1h,30m", ["soon"])


def test_a_prediction_of_what_a_message_does() -> None:
    async def tell(world: World) -> None:
        first, *_ = await an_outage(world)
        await world.advance(minutes=30)
        found = predict_life(world, first, "0s 15m 30m 50m")
        assert found.times == tuple(timedelta(minutes=m) for m in (0, 15, 30, 45))
        assert "50m         45m         it comes 5m earlier" in found.text()
        assert found.right == 3

    story(tell)


# --- a million ---


def test_a_million_in_words() -> None:
    text = scale(messages=1_000_000).text()
    assert "1,000,000 messages behind an outage of 4d22h" in text
    assert "All messages for one host share its hint" in text and "Left out" in text
    own = scale(messages=1000, hints="address").text()
    assert "a schedule of its own" in own


def test_both_curves_in_one_plot() -> None:
    both = asyncio.run(
        beside_real_mail("* * F,1h,10m; F,5h,40m", messages=40, down=("30m", "4h"), until="9h")
    )
    assert both.real is not None and both.differences == 0
    assert "every message left at the very second that the model says" in both.text()
    assert "the model" in both.svg() and "the mail itself" in both.svg()
    assert_harmless(both)
    with pytest.raises(ValueError, match="nothing was measured"):
        _ = scale(messages=10).differences


@pytest.mark.parametrize(
    "wrong, words",
    [
        ({"down": ("5h", "2h")}, "ends before it begins"),
        ({"down": ("5h",)}, "two spans"),
        ({"messages": -1}, "messages"),
        ({"messages": 10**9}, "messages"),
        ({"per_hour": 0}, "more than none"),
        ({"hints": "mine"}, "hints"),
        ({"every": "0s"}, "at least one second"),
        ({"rule": "* * F"}, "comma expected"),
    ],
)
def test_a_scale_that_cannot_be(wrong: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        scale(**{"messages": 100, **wrong})


# --- what all have in common ---


def test_two_runs_give_the_same_bytes() -> None:
    async def tell(world: World) -> list[Any]:
        first, *_ = await an_outage(world)
        await world.advance(hours=5)
        pictures: list[Picture] = [
            message_life(world, first), queue_over_time(world, world.mine), retry_schedule(USUAL), loop_graph(world),
            predict_schedule(USUAL, "0s 1h"), header_growth(world, first), scale(messages=500),
        ]  # fmt: skip
        for each in pictures:
            assert_harmless(each)
        return [(str(each.html()), each.png()) for each in pictures]

    assert story(tell) == story(tell)


def test_the_style_of_a_notebook_changes_nothing() -> None:
    import matplotlib

    before = retry_schedule(USUAL).svg()
    with matplotlib.rc_context():
        matplotlib.rcParams.update({"font.size": 30, "svg.fonttype": "path", "lines.linewidth": 9})
        assert retry_schedule(USUAL).svg() == before
        assert matplotlib.rcParams["font.size"] == 30, "and the other way round"


def test_hostile_words_stay_words() -> None:
    async def tell(world: World) -> None:
        partner = world.partner
        nasty = 'check_rcpt:\n  defer message = --></svg><script>alert("$""x$")</script>\n'
        partner.write_configuration(
            partner.configuration.replace("check_rcpt:\n", nasty.replace('$""x$', "\\$x\\$"), 1)
        )
        await partner.reload()
        queue_id = await world.mine.send(ANN, BOB, f"Subject: {HOSTILE}\nMessage-ID: <{HOSTILE}>\n\nhello\n")
        views: list[View] = [
            message_life(world, queue_id), queue_over_time(world, world.mine), loop_graph(world, queue_id),
            header_growth(world, queue_id), why_waiting(world.mine, queue_id),
        ]  # fmt: skip
        assert "<script>" in views[0].text()
        for each in views:
            assert_harmless(each)

    story(tell)


@pytest.mark.parametrize(
    "words", [HOSTILE, "a\0b", "\ud800", "$\\frac{$", "&amp;<b>", "x" * 5000, "\x1b[31m", "]]>"]
)
def test_a_picture_of_hostile_words(words: str) -> None:
    def draw(figure: Any) -> None:
        axes = figure.add_axes((0.1, 0.1, 0.8, 0.8))
        axes.set_title(label(words))
        axes.plot([0, 1], [0, 1], label=label(words))
        axes.legend()

    picture = Picture(label(words), draw, words)
    assert_harmless(picture)
    assert len(picture.svg()) < 50_000
    assert label(words)[:3] in "".join(ElementTree.fromstring(picture.svg()).itertext())


def test_a_drawing_is_one_line_that_nbval_can_leave_out() -> None:
    settings = ConfigParser(interpolation=None)
    settings.read(Path(__file__).parents[1] / "nbval.cfg", encoding="utf-8")
    view = retry_schedule(USUAL)
    html = str(view.html())
    compared = re.sub(settings["drawing"]["regex"], settings["drawing"]["replace"], html)
    assert "<svg/>" in compared and "<path" not in compared
    assert f"with queue runs: {len(view.plans[0].tries)} tries" in compared


def test_names_in_a_page_do_not_meet() -> None:
    """Several drawings stand in one page: what one points to must not be in another."""
    one, two = retry_schedule(USUAL).svg(), retry_schedule("* * F,1h,30m").svg()
    names = [
        {e.attrib["id"] for e in ElementTree.fromstring(svg).iter() if "id" in e.attrib} for svg in (one, two)
    ]
    assert all(names) and not names[0] & names[1]


def test_nothing_heavy_is_imported_early() -> None:
    program = (
        "import sys, labkit.teach.plots; print([m for m in ('matplotlib', 'numpy') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
