"""The matrix of verdicts: what is not predicted stays hidden, what is wrong is marked, and a mistake is said."""

from __future__ import annotations

import pytest

from labkit.teach.plots.verdict_matrix import WrongPrediction, verdict_matrix

FOUND = {
    "direct": {"SPF": "pass", "DKIM": "pass"},
    "forwarder": {"SPF": "softfail", "DKIM": "pass"},
}


def test_all_of_it_without_predictions() -> None:
    assert verdict_matrix(FOUND).text().splitlines()[1:] == [
        "way        SPF       DKIM",
        "---------  --------  ----",
        "direct     pass      pass",
        "forwarder  softfail  pass",
    ]


def test_it_grows_with_predictions() -> None:
    shown = verdict_matrix(FOUND, {"direct": "pass fail"})
    assert shown.text().splitlines()[3:] == [
        "direct     = pass  X pass, not fail",
        "forwarder  ?       ?",
        "1 of 2 predictions are right (=), 2 not predicted yet (?).",
    ]
    assert "softfail" not in shown.svg()
    assert "(you: fail)" in shown.svg()
    assert (shown.right, shown.asked) == (1, 2)


def test_nothing_predicted() -> None:
    assert verdict_matrix(FOUND, {}).text().endswith("Nothing predicted, 4 not predicted yet (?).")


def test_hostile_names_stay_text() -> None:
    shown = verdict_matrix({"<script>\u202e": {"<b>": "<i>pass"}})
    assert "<script>" not in str(shown.html())
    assert "\u202e" not in shown.text()


@pytest.mark.parametrize(
    "predicted, words",
    [
        ({"relay": "pass pass"}, "no way 'relay'"),
        ({"direct": "pass"}, "2 words are wanted"),
        ({"direct": "pass yes"}, "'yes' is no result"),
        ({"direct": ["pass", "pass"]}, "write one text"),
    ],
)
def test_mistakes_are_said(predicted: dict[str, str], words: str) -> None:
    with pytest.raises(WrongPrediction, match=words):
        verdict_matrix(FOUND, predicted)


@pytest.mark.parametrize("found", [{}, {"direct": "pass"}, 3])
def test_nothing_to_draw_is_said(found: object) -> None:
    with pytest.raises(WrongPrediction):
        verdict_matrix(found)  # type: ignore[arg-type]


def test_two_runs_give_the_same_bytes() -> None:
    assert (
        verdict_matrix(FOUND, {"direct": "pass ?"}).svg() == verdict_matrix(FOUND, {"direct": "pass ?"}).svg()
    )
