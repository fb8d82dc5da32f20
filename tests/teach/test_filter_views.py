"""Pictures and tables of filters: the figures in the text twin, what-if, and letters that want to do harm."""

from __future__ import annotations

import asyncio
import json
from dataclasses import replace

import pytest

from labkit.filters.bayes import Bayes
from labkit.filters.measures import Confusion
from labkit.lab.traffic_outcomes import INBOX, REFUSED, THROWN_AWAY, Measured, Outcome
from labkit.teach.plots import precision_recall, roc
from labkit.teach.plots.filter_curves import NoJudgements
from labkit.teach.views.measured import NothingMeasured, kinds_table, measured_table
from labkit.teach.views.why_spam import WhySpam, why_spam

JUDGED = [(0.95, 1), (0.9, 1), (0.8, 0), (0.7, 1), (0.6, 1), (0.5, 0), (0.4, 1), (0.3, 0), (0.1, 0), (0.1, 0)]
YES_OR_NO = [(1, 1), (1, 1), (0, 1), (0, 0), (1, 0), (0, 0)]


def letter(*words: str) -> bytes:
    return f"From: ann@a.test\r\nSubject: hi\r\n\r\n{' '.join(words)}\r\n".encode()


def taught() -> Bayes:
    bayes = Bayes()
    for _ in range(4):
        bayes.train(letter("dinner", "meeting", "both"), False)
        bayes.train(letter("casino", "pills", "both"), True)
    return bayes


def is_narrow(text: str) -> bool:
    return all(len(line) <= 110 for line in text.split("\n"))


# --- pictures ---------------------------------------------------------------------------------------------


def test_roc() -> None:
    picture = roc({"Bayes": JUDGED, "greylist": YES_OR_NO}, thresholds={"Bayes": 0.6})
    lines = picture.text().split("\n")
    assert "20.0 % (4 to 62)  80.0 % (38 to 96)  0.6" in lines[3] and lines[3].endswith("0.840")
    assert lines[4].endswith("one point") and "66.7 % (21 to 94)" in lines[4]
    assert is_narrow(picture.text()) and "Bayes" in picture.svg() and picture.png()[:4] == b"\x89PNG"
    assert str(picture.html()) == str(
        roc({"Bayes": JUDGED, "greylist": YES_OR_NO}, thresholds={"Bayes": 0.6}).html()
    )


def test_precision_recall() -> None:
    picture = precision_recall(
        {"Bayes": JUDGED, "nothing caught": [(0, 1), (0, 0)]}, thresholds={"Bayes": 0.6}
    )
    assert "80.0 % (38 to 96)  80.0 % (38 to 96)" in picture.text() and "0.853" in picture.text()
    assert "Bayes 50 %" in picture.text() and is_narrow(picture.text()) and picture.png()


def test_cost_moves_the_threshold() -> None:
    dear, cheap = roc({"f": JUDGED}, ham_costs=10), roc({"f": JUDGED}, ham_costs=1)
    assert dear.judges[0].chosen.threshold == 0.9 and cheap.judges[0].chosen.threshold == 0.6


@pytest.mark.parametrize(
    "filters, words",
    [
        ({}, "give 1 to 6"),
        ({str(n): JUDGED for n in range(7)}, "give 1 to 6"),
        ({"f": []}, "at least one spam and one ham"),
        ({"f": [(0.5, 1)]}, "at least one spam and one ham"),
        ({"f": [(float("nan"), 1)]}, "no number"),
        ({"f": ["ab"]}, "f: "),
        ([JUDGED], "give 1 to 6"),
    ],
)
def test_not_to_be_drawn(filters: object, words: str) -> None:
    for draw in (roc, precision_recall):
        with pytest.raises(NoJudgements, match=words):
            draw(filters)  # type: ignore[operator]


def test_unknown_threshold_and_strange_name() -> None:
    with pytest.raises(NoJudgements, match="no filter 'B'"):
        roc({"A": JUDGED}, thresholds={"B": 1})
    assert "<script>" not in str(roc({"<script>$x$": JUDGED}).html())


# --- the table --------------------------------------------------------------------------------------------


def outcome(number: int, is_spam: bool, fate: str, minutes: float | None) -> Outcome:
    return Outcome(number, "someone", is_spam, fate, "RCPT", "250 OK", minutes, 1, 100, 2.0, 0)


def test_measured_table() -> None:
    outcomes = tuple(
        [outcome(n, False, INBOX, 30.0) for n in range(9)]
        + [outcome(9, False, REFUSED, None)]
        + [outcome(n, True, REFUSED, None) for n in range(10, 16)]
        + [outcome(n, True, INBOX, 0.0) for n in range(16, 20)]
    )
    grey = Measured("greylist", "labkit", 1, outcomes, 0, 1)
    view = measured_table(grey, ("Bayes", Confusion(9, 1, 0, 10)), ham_costs=10)
    lines = view.text().split("\n")
    assert lines[1].split("  ")[0] == "solution" and lines[1].index("delay") < lines[1].index("ham lost")
    assert lines[1].index("ham lost") < lines[1].index("spam caught")
    assert (
        "30.0 min" in lines[3] and "1/10 (2-40 %)" in lines[3] and "6/10" in lines[3] and "20 s" in lines[3]
    )
    assert lines[3].endswith(" 14") and lines[4].endswith("1 *") and view.cheapest == ("Bayes",)
    assert is_narrow(view.text()) and "greylist" in str(view.html())


def test_kinds_table() -> None:
    outcomes = [
        outcome(1, False, INBOX, 30.0),
        outcome(2, False, THROWN_AWAY, None),
        outcome(3, True, REFUSED, None),
    ]
    evil = Measured("</table><b>grey\x1b[31m", "labkit", 1, tuple(outcomes), 0, 1)
    view = kinds_table(evil)
    html = str(view.html())
    assert "<b>grey" not in html and "&lt;b&gt;grey" in html and "\x1b" not in html + view.text()
    assert html.count("<tr>") == 3 and ">gone<" in html and html == str(kinds_table(evil).html())
    summary = view.text().split("\n")[0]
    order = ("1 of 2 ham lost", "half arrived within 30 min, 95 % within 30 min", "1 of 1 spam caught")
    assert [summary.index(words) for words in order] == sorted(summary.index(words) for words in order)
    assert all(words in html for words in order)
    assert ">gone<" not in str(kinds_table(replace(evil, outcomes=evil.outcomes[:1])).html())
    with pytest.raises(NothingMeasured, match="one measurement is wanted"):
        kinds_table([evil])  # type: ignore[arg-type]


def test_a_list_will_do_and_nothing_will_not() -> None:
    assert (
        measured_table([("a", Confusion(1, 0, 0, 0)), ("b", Confusion(0, 0, 0, 0))])
        .rows[1]
        .confusion.spam_missed
        == 0
    )  # type: ignore[arg-type]
    for wrong in ((), ([],), ("text",), (("a", 1),)):
        with pytest.raises(NothingMeasured):
            measured_table(*wrong)  # type: ignore[arg-type]


def test_hostile_names_in_the_table() -> None:
    view = measured_table(("<b>x</b>\u202e" + "y" * 500, Confusion(1, 1, 1, 1)))
    assert "<b>" not in str(view.html()) and "\u202e" not in view.text() and is_narrow(view.text())


# --- why ----------------------------------------------------------------------------------------------------


def test_why_spam() -> None:
    view = why_spam(taught(), letter("casino", "dinner", "pills", "both"))
    lines = view.text().split("\n")
    assert lines[0].startswith("unsure: ") or lines[0].startswith("spam: ")
    casino = next(line for line in lines if line.startswith("casino"))
    dinner = next(line for line in lines if line.startswith("dinner"))
    assert "|###" in casino and "###|" in dinner and casino.split()[-4:-2] == ["0", "4"]
    assert not any(line.startswith("both") for line in lines), "it tells nothing"
    assert any("S = " in line for line in lines) and is_narrow(view.text())
    json.dumps(view.state())


def test_what_if() -> None:
    view = why_spam(taught(), letter("casino", "pills"))
    assert view.score.verdict.value == "spam"
    tamed = view.without("casino", "pills").adding("dinner meeting")
    assert tamed.score.verdict.value == "ham" and tamed.before == view.score
    assert "(casino)" in tamed.text() and "As it came it was spam" in tamed.text() and is_narrow(tamed.text())
    with pytest.raises(ValueError, match="not in this letter"):
        view.without("dinner")
    with pytest.raises(ValueError, match="3 to 40"):
        view.adding("a b")
    assert "subject:casino" in view.adding("Subject:Casino").added


def test_clicks() -> None:
    async def clicked(view: WhySpam, *messages: dict[str, object]) -> None:
        for message in messages:
            await view.hear(message)

    view = why_spam(taught(), letter("casino", "pills"))
    first = view.score.evidence[0].token
    asyncio.run(clicked(view, {"ask": "toggle", "number": 0}))
    assert view.removed == {first} and view.state()["rows"][-1]["removed"]
    asyncio.run(clicked(view, {"ask": "toggle", "number": len(view.state()["rows"]) - 1}))
    assert not view.removed
    asyncio.run(
        clicked(view, {"ask": "add", "text": "dinner"}, {"ask": "toggle", "number": 1}, {"ask": "again"})
    )
    assert not view.removed and not view.added
    for wrong in (
        {"ask": "toggle", "number": 99},
        {"ask": "toggle", "number": True},
        {"ask": "x"},
        {"ask": "add"},
    ):
        with pytest.raises(ValueError, match=r"word|asked"):
            asyncio.run(clicked(view, wrong))


def test_untrained_says_so() -> None:
    view = why_spam(Bayes(), letter("casino"))
    assert "learned nothing yet" in view.text() and "learned nothing yet" in str(view.html())
    assert view.state()["steps"] == []


def test_letters_that_want_to_do_harm() -> None:
    bayes = taught()
    evil = (
        b'From: <script>alert(1)</script>@x.test\r\nSubject: =?utf-8?b?4oCuY2FzaW5v?= "onx=1\r\n\r\n'
        + b"w" * 40
        + b" casino"
    )
    bayes.train(evil, True)
    view = why_spam(bayes, evil)
    assert "<script" not in str(view.html()) and "\u202e" not in view.text() and is_narrow(view.text())


def test_words_in_the_page_hide_nothing() -> None:
    """What the script of the view is given, too: it puts each word into the page as it is."""
    bayes = taught()
    hidden = "cas\u2067ino", "pil\x1bls"
    for _ in range(3):
        bayes.train(letter("meeting"), False)
    bayes.in_spam |= dict.fromkeys(hidden, 4)
    view = WhySpam(bayes, (*hidden, "casino"))
    for shown in (view, view.without(hidden[0])):
        told = repr(shown.state()) + shown.text() + str(shown.html())
        listed = [row["token"] for row in shown.state()["rows"]]
        assert len(listed) == 3 and "\u2067" not in "".join(listed) and "\x1b" not in "".join(listed)
        assert "Taken out" not in told or "\u2067" not in shown.state()["changes"]
    wide = WhySpam(bayes, ("casino", "x" * 200), added=("y" * 200,))
    bayes.in_spam |= {"x" * 200: 4, "y" * 200: 4}
    assert max(len(row["token"]) for row in wide.state()["rows"]) <= 36


def test_wrong_kinds() -> None:
    with pytest.raises(TypeError, match="wants a Bayes"):
        why_spam(b"x", letter())  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="bytes"):
        why_spam(taught(), "text")  # type: ignore[arg-type]
