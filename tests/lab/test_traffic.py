"""The stream of mail: the same in every run, each sender in its manner, each defence with its effect."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

import pytest

from labkit.lab.solutions import PLACES, Solution, SolutionMistake, configuration, shipped, solution
from labkit.lab.traffic import Stream, compare, measure, stream_scenario
from labkit.lab.traffic_cast import HONEST_KINDS, SPAM_KINDS, cast
from labkit.lab.traffic_content import bayes_scorer, scored_by, without_trace
from labkit.lab.traffic_outcomes import HUNG_UP, INBOX, MARKED, PUT_OFF, REFUSED, THROWN_AWAY, Measured
from labkit.lab.traffic_plan import PEOPLE, SHARES, planned
from labkit.lab.world import World

OWN, HOST = "st11.sne21.test", "mx2.st11.sne21.test"


@dataclass(frozen=True)
class Letter:
    content: bytes
    is_spam: bool


LETTERS = tuple(
    Letter(
        f"Subject: {'offer' if is_spam else 'report'} {number}\r\n\r\nNumber {number}\r\n".encode(), is_spam
    )
    for is_spam in (False, True)
    for number in range(5)
)
SLOW = ("tarpit", "greet_pause", "tarpit_guessers")  # their pauses are real time on a real Exim


@cache
def seen(name: str, kinds: tuple[str, ...] | None = None, size: float = 0.2) -> Measured:
    return asyncio.run(measure(name, LETTERS, size=size, kinds=kinds))


def fates(measured: Measured, kind: str) -> set[str]:
    return {each.fate for each in measured.outcomes if each.kind == kind}


# --- the plan -----------------------------------------------------------------------------------


def test_two_plans_are_the_same() -> None:
    assert planned(LETTERS, OWN, HOST) == planned(LETTERS, OWN, HOST)
    other = planned(LETTERS, OWN, HOST, seed=2)
    assert [each.at for each in other] != [each.at for each in planned(LETTERS, OWN, HOST)]


def test_all_kinds_write_and_the_truth_is_in_no_message() -> None:
    postings = planned(LETTERS, OWN, HOST)
    assert {each.sender.kind for each in postings} == {*HONEST_KINDS, *SPAM_KINDS} == set(SHARES)
    assert 200 <= len(postings) <= 400
    assert {each.sender.is_spam for each in postings if each.sender.kind in HONEST_KINDS} == {False}
    for each in postings:
        head = each.content.partition(b"\r\n\r\n")[0].lower()
        assert b"spam" not in head
        assert (b"subject: offer" in head) is each.sender.is_spam, "a letter of its class"
        assert {r.partition("@")[2] for r in each.recipients} == {OWN}
        if not each.sender.unknown:
            assert {r.partition("@")[0] for r in each.recipients} <= set(PEOPLE)


def test_some_kinds_alone_write_the_same_as_among_others() -> None:
    alone = planned(LETTERS, OWN, HOST, kinds=["newsletter"])
    among = [each for each in planned(LETTERS, OWN, HOST) if each.sender.kind == "newsletter"]
    assert [(each.at, each.mail_from, each.recipients) for each in alone] == [
        (each.at, each.mail_from, each.recipients) for each in among
    ]


@pytest.mark.parametrize(
    "wrong, words",
    [
        ({"letters": LETTERS[:5]}, "both classes"),
        ({"size": 0}, "size 0"),
        ({"size": 1000}, "size 1000"),
        ({"kinds": ["nobody"]}, "no sender is of the kind 'nobody'"),
    ],
)
def test_what_cannot_be_planned(wrong: dict[str, object], words: str) -> None:
    given: dict[str, object] = {"letters": LETTERS, **wrong}
    chosen = given.pop("letters")
    with pytest.raises(ValueError, match=words):
        planned(chosen, OWN, HOST, **given)  # type: ignore[arg-type]


def test_a_message_from_a_hostile_letter_is_still_one_message() -> None:
    hostile = Letter(b"From: a\nFrom: b\r\nX: \xff\n\n.\r.\nMAIL FROM:<x@y.test>\r\n.\r\n", True)
    (posting, *_) = planned([hostile, LETTERS[0]], OWN, HOST, kinds=["bot: own name"], size=0.01)
    assert posting.content.count(b"From: ") == 1
    found = asyncio.run(measure("nothing", [hostile, LETTERS[0]], size=0.05))
    assert {each.fate for each in found.outcomes} == {INBOX}


# --- measuring ----------------------------------------------------------------------------------


def test_two_runs_are_the_same() -> None:
    first, second = asyncio.run(compare("greylist_network", "greylist_network", corpus=LETTERS, size=0.05))
    assert first == second


def test_without_a_defence_everything_arrives() -> None:
    found = seen("nothing")
    assert {each.fate for each in found.outcomes} == {INBOX}
    assert found.caught == found.wrongly_caught == 0
    assert set(found.delays) == {0.0}
    assert found.connections == len(found.outcomes)
    assert found.octets > 100 * len(found.outcomes)
    assert found.held(True) == found.held(False) == 0
    assert "0 of" in repr(found)
    assert all(kind in str(found) for kind in SHARES)


def test_marked_mail_is_told_from_the_rest() -> None:
    mark = Solution(
        "mark",
        "# --- data\n  warn  condition = ${if match{$h_subject:}{offer}}\n        add_header = X-Spam-Flag: YES\n",
    )
    found = asyncio.run(measure(mark, LETTERS, size=0.1))
    assert {each.fate for each in found.spam} == {MARKED}
    assert {each.fate for each in found.ham} == {INBOX}


# --- each manner --------------------------------------------------------------------------------


def test_greylisting_stops_who_never_returns_and_delays_who_does() -> None:
    for name in ("greylist_seen", "greylist_sqlite"):
        found = seen(name, size=0.25)
        for kind in ("bot: own name", "bot: bare address", "shop, no retry", "spoofs us"):
            assert PUT_OFF in fates(found, kind), kind
        for kind in ("small firm", "retrying bot", "snowshoe", "no PTR", "wrong HELO"):
            assert fates(found, kind) == {INBOX}, kind
        firm = [each for each in found.outcomes if each.kind == "small firm"]
        assert {(each.minutes, each.attempts) for each in firm if each.minutes} == {(15.0, 2)}
        bots = [each for each in found.outcomes if each.kind == "retrying bot"]
        assert max(each.minutes or 0 for each in bots) == 10.0
        assert {each.reply for each in found.outcomes if each.fate == PUT_OFF} == {
            "451 greylisted: try again in five minutes"
        }
    assert seen("greylist_seen", size=0.25).facts() == seen("greylist_sqlite", size=0.25).facts()


def test_a_provider_with_many_addresses_waits_long_unless_its_network_counts() -> None:
    def longest(name: str, kind: str) -> float:
        found = seen(name, (kind,), 1.0)
        assert fates(found, kind) <= {INBOX, PUT_OFF}
        return max(each.minutes or 0.0 for each in found.outcomes)

    one, anywhere = "provider, one /24", "provider, anywhere"
    assert longest("greylist_network", one) == 7.0
    assert longest("greylist_sqlite", one) > 7.0
    assert longest("greylist_network", anywhere) > 7.0
    allowed = asyncio.run(
        measure(solution("allow_providers") + solution("greylist_network"), LETTERS, kinds=(one, anywhere))
    )
    assert set(allowed.delays) == {0.0}


def test_a_bot_hangs_up_in_the_tarpit_and_others_wait() -> None:
    found = seen("tarpit")
    for kind in ("bot: own name", "bot: bare address", "bot: talks first", "spoofs us"):
        assert fates(found, kind) <= {HUNG_UP, REFUSED}, kind
    assert fates(found, "bot: own name") == {HUNG_UP}
    for kind in (*HONEST_KINDS, "retrying bot", "snowshoe", "stolen account"):
        assert fates(found, kind) == {INBOX}, kind
    hung = next(each for each in found.outcomes if each.fate == HUNG_UP)
    assert (hung.seconds, hung.minutes, hung.phase) == (10.0, None, "connect")
    assert {each.seconds for each in found.ham} == {15.0}
    assert set(found.delays) == {0.25}


def test_what_is_taken_and_thrown_away_has_not_arrived() -> None:
    found = asyncio.run(
        measure(
            Solution("gone", "  discard dnslists = bl.test\n"),
            LETTERS,
            kinds=["listed by mistake", "small firm"],
        )
    )
    assert {(each.kind, each.fate, each.reply) for each in found.outcomes} == {
        ("listed by mistake", THROWN_AWAY, "250 OK"),
        ("small firm", INBOX, "250 OK"),
    }
    assert found.wrongly_caught == 5 and "gone" in str(found) and "gone" not in str(seen("nothing"))


def test_connection_slots_are_counted() -> None:
    pits = Solution("pits", "# --- connect\n  warn  delay = 4m\n")
    found = asyncio.run(measure(pits, LETTERS, kinds=["newsletter"]))
    assert found.slots == 8, "all eight of the burst hold a slot at the same time"


def test_who_talks_first_is_refused_where_the_banner_is_late() -> None:
    found = seen("greet_pause")
    assert fates(found, "bot: talks first") == {REFUSED}
    assert fates(found, "small firm") == {INBOX}
    (reply,) = {each.reply for each in found.outcomes if each.kind == "bot: talks first"}
    assert reply == "554 SMTP synchronization error"


def test_who_guesses_pays_with_time() -> None:
    found = seen("tarpit_guessers", ("guesser", "small firm"))
    guessers = [each for each in found.outcomes if each.kind == "guesser"]
    assert {each.fate for each in guessers} == {REFUSED}
    assert {each.seconds for each in guessers} == {60.0}
    assert fates(found, "small firm") == {INBOX}
    assert seen("nothing", ("guesser", "small firm")).held(True) == 0


def test_a_burst_meets_the_rate_limit() -> None:
    found = seen("ratelimit", size=1.0)
    assert PUT_OFF in fates(found, "guesser")
    letters = [each for each in found.outcomes if each.kind == "newsletter"]
    assert any((each.minutes or 0) >= 30 for each in letters)
    assert fates(found, "small firm") == {INBOX}


@pytest.mark.parametrize(
    "name, stopped, passing",
    [
        ("white_list", ("no PTR", "mailing list", "bot: own name"), ("newsletter", "stolen account")),
        ("white_list_senders", ("mailing list", "bot: own name"), ("spoofs us", "spoofs the bank")),
        ("black_list", ("bot: own name", "bot: bare address"), ("snowshoe", "small firm")),
        (
            "dnsbl",
            ("bot: own name", "listed by mistake"),
            ("small firm", "stolen account", "bot: talks first"),
        ),
        (
            "ptr",
            ("bot: own name", "bot: bare address", "no PTR", "spoofs the bank"),
            ("snowshoe", "wrong HELO"),
        ),
        ("helo", ("bot: own name", "bot: bare address"), ("wrong HELO", "retrying bot")),
        ("helo_verified", ("wrong HELO", "no PTR", "bot: own name"), ("small firm", "snowshoe")),
        ("spf", ("spoofs the bank", "spoofs us", "forwarder"), ("mailing list", "snowshoe")),
        ("dkim", ("mailing list",), ("spoofs the bank", "forwarder", "snowshoe")),
        (
            "dmarc",
            ("spoofs the bank", "spoofs us", "mailing list"),
            ("forwarder", "snowshoe", "stolen account"),
        ),
    ],
)
def test_each_check_stops_some_and_lets_others_pass(
    name: str, stopped: Sequence[str], passing: Sequence[str]
) -> None:
    found = seen(name)
    for kind in stopped:
        assert fates(found, kind) == {REFUSED}, kind
    for kind in passing:
        assert fates(found, kind) == {INBOX}, kind


def test_a_list_tells_its_reason_and_learns_late() -> None:
    found = seen("dnsbl", ("bot: own name", "snowshoe"), 1.0)
    assert {each.reply for each in found.outcomes if each.kind == "bot: own name"} == {
        f"550 {address} is listed at bl.test: infected machine"
        for address in {a for s in cast(OWN, HOST) if s.kind == "bot: own name" for a in s.addresses}
    }
    assert fates(found, "snowshoe") == {INBOX, REFUSED}, "in its first hour nobody knew it"


def test_a_list_that_lists_everybody_is_found_out() -> None:
    async def story(name: str) -> Measured:
        chosen = solution(name)
        async with World(
            stream_scenario(chosen), network="memory", queue_interval=None, alongside=True
        ) as world:
            stream = Stream(world, planned(LETTERS, OWN, HOST, size=0.1))
            stream.start()
            stream.blocklist.shut_down()
            await world.advance(days=2)
            return stream.measured(name)

    assert {each.fate for each in asyncio.run(story("dnsbl")).outcomes} == {REFUSED}
    assert {each.fate for each in asyncio.run(story("dnsbl_checked")).outcomes} == {INBOX}


# --- the texts ----------------------------------------------------------------------------------


def test_pieces_go_to_their_places() -> None:
    both = solution("tarpit") + solution("dnsbl")
    assert both.name == "tarpit + dnsbl"
    assert set(both.pieces()) == {"connect", "rcpt"}
    text = configuration(both, host=HOST, domain=OWN, laptop="198.51.100.11")
    assert text.index("delay   = 15s") < text.index("check_helo:") < text.index("dnslists = bl.test")
    assert "{" not in text.replace("${", "")
    assert set(PLACES) >= {place for name in shipped() for place in solution(name).pieces()}


def test_each_says_what_it_is() -> None:
    for name in shipped():
        assert len(solution(name).about) > 30, name


@pytest.mark.parametrize(
    "make, words",
    [
        (lambda: solution("magic"), "no solution is called 'magic'; there are allow_providers"),
        (lambda: Solution("mine", "# --- recpt\n deny\n"), "mine, line 1: no piece goes to 'recpt'"),
        (lambda: Solution("mine", "x" * 200_000), "at most"),
    ],
)
def test_what_is_no_solution(make: object, words: str) -> None:
    with pytest.raises(SolutionMistake, match=words):
        make()  # type: ignore[operator]


# --- content ---------------------------------------------------------------------------------------


def test_what_servers_wrote_is_not_judged() -> None:
    letter = b"Received: from x\r\n\tby y\r\nSubject: hi\r\nDKIM-Signature: v=1\r\n\r\nReceived: body\r\n"
    as_exim_asks = b"From MAILER-DAEMON Mon Sep 07\nX-Envelope-From: <a@b.test>\n" + letter.replace(
        b"\r\n", b"\n"
    )
    assert without_trace(as_exim_asks) == without_trace(letter)
    assert without_trace(letter) == b"Subject: hi\r\n\r\nReceived: body\r\n"


@pytest.mark.parametrize("engine", ["labkit", pytest.param("exim", marks=pytest.mark.needs("exim", "gcc"))])
def test_content_is_judged_by_a_filter_that_has_learned(engine: str) -> None:
    """Only content knows the stolen account; the filter is asked by `spam =`, whatever the engine."""
    scorer = bayes_scorer(LETTERS, threshold=6.0)
    kinds = ("stolen account", "small firm")
    found = asyncio.run(
        measure("content", LETTERS, size=0.15, kinds=kinds, engine=engine, prepare=scored_by(scorer))
    )
    assert fates(found, "stolen account") == {REFUSED}
    assert fates(found, "small firm") == {INBOX}
    assert all(each.phase == "content" for each in found.spam)


# --- the real Exim ------------------------------------------------------------------------------


@pytest.mark.needs("exim", "gcc")
@pytest.mark.parametrize(
    "name", [name for name in shipped() if name not in (*SLOW, "content", "nothing", "allow_providers")]
)
def test_the_real_exim_tells_the_same(name: str) -> None:
    """The very same text and the very same stream: what every sender saw, how often it tried, when it was let in."""
    real = asyncio.run(measure(name, LETTERS, size=0.08, engine="exim"))
    assert real.engine == "exim"
    assert seen(name, None, 0.08).facts() == real.facts()


@pytest.mark.needs("exim", "gcc")
def test_a_pause_of_the_real_exim_is_real_and_does_the_same() -> None:
    kinds = ("bot: talks first",)
    real = asyncio.run(measure("greet_pause", LETTERS, size=0.05, kinds=kinds, engine="exim"))
    assert seen("greet_pause", kinds, 0.05).facts() == real.facts()
