"""The Bayesian filter: the figures of its formulas, what it refuses to say, and what it keeps."""

from __future__ import annotations

from dataclasses import dataclass
from math import comb, exp, factorial, log

import pytest

from labkit.filters.bayes import Bayes, NeverTrained, NoTraining
from labkit.filters.combining import Settings, chi_square_tail, combined, token_probability
from labkit.filters.score import Verdict

from .letters_for_tests import HAM, SPAM, letter


@dataclass(frozen=True)
class Known:
    content: bytes
    is_spam: bool


def taught(times: int = 5) -> Bayes:
    letters = [Known(letter(*HAM, "hello"), False), Known(letter(*SPAM, "hello"), True)]
    return Bayes.trained(letters * times)


@pytest.mark.parametrize(
    "counts, probability, because",
    [
        ((0, 0, 10, 10), 0.5, "never seen: what is believed beforehand"),
        ((0, 1, 10, 10), (0.45 * 0.5 + 1) / 1.45, "seen once, in spam"),
        ((1, 0, 10, 10), 0.45 * 0.5 / 1.45, "seen once, in ham"),
        ((3, 3, 10, 10), 0.5, "as often in both"),
        ((3, 3, 10, 100), (0.225 + 6 * (0.03 / 0.33)) / 6.45, "there is more spam: rates count, not numbers"),
        ((10, 5, 10, 10), (0.225 + 15 / 3) / 15.45, "in all ham and half of the spam"),
    ],
)
def test_token_probability(counts: tuple[int, int, int, int], probability: float, because: str) -> None:
    assert token_probability(*counts, Settings()) == pytest.approx(probability, abs=1e-12), because


@pytest.mark.parametrize("degrees", [2, 4, 10, 60])
@pytest.mark.parametrize("value", [0.01, 1.0, 9.5, 80.0])
def test_chi_square_tail(value: float, degrees: int) -> None:
    """It is the chance that a Poisson variable of mean value/2 is below degrees/2: summed here in another way."""
    half = value / 2
    below = sum(half**i / factorial(i) for i in range(degrees // 2)) * exp(-half)
    assert chi_square_tail(value, degrees) == pytest.approx(below, rel=1e-12)


def test_chi_square_tail_of_a_table() -> None:
    """The 5 % points that every table has."""
    for degrees, value in ((2, 5.991), (4, 9.488), (10, 18.307), (30, 43.773)):
        assert chi_square_tail(value, degrees) == pytest.approx(0.05, abs=2e-5)


def test_chi_square_tail_far_out() -> None:
    """Where e^-m is 0 for the machine: 1 - tail would be no number otherwise."""
    assert chi_square_tail(4000.0, 4000) == pytest.approx(0.5, abs=0.01)
    assert chi_square_tail(0.0, 2) == 1.0
    assert chi_square_tail(1e9, 300) == 0.0


def test_combined_by_hand() -> None:
    """Two tokens, 4 degrees of freedom: the tail is e^-m (1 + m)."""
    m_ham, m_spam = -log(0.9 * 0.8), -log(0.1 * 0.2)
    found = combined([0.9, 0.8])
    assert found.hamminess == pytest.approx(1 - exp(-m_ham) * (1 + m_ham))
    assert found.spamminess == pytest.approx(1 - exp(-m_spam) * (1 + m_spam))
    assert found.probability == pytest.approx((1 + found.spamminess - found.hamminess) / 2)
    assert combined([]).probability == 0.5
    assert (combined([]).hamminess, combined([]).spamminess) == (0, 0)


def test_two_sums_differ_by_the_log_odds() -> None:
    values = [0.99, 0.7, 0.2, 0.03]
    found = combined(values)
    assert found.spam_sum - found.ham_sum == pytest.approx(2 * sum(log(p / (1 - p)) for p in values))


def test_tells_ham_from_spam() -> None:
    bayes = taught()
    assert bayes.score(letter("the", "dinner", "library", "report")).verdict is Verdict.HAM
    assert bayes.score(letter("the", "casino", "lottery", "pills")).verdict is Verdict.SPAM
    both = bayes.score(letter(*HAM, *SPAM))
    assert both.verdict is Verdict.UNSURE and both.probability == pytest.approx(0.5)


def test_evidence() -> None:
    score = taught().score(letter("casino", "casino", "hello", "neverseen"))
    assert [each.token for each in score.evidence] == ["casino"], "hello is in both, and once is enough"
    (only,) = score.evidence
    assert (only.in_ham, only.in_spam) == (0, 5) and only.probability > 0.9 and only.weight > 2
    assert score.explain().splitlines() == [
        "spam: 0.9587",
        "Learned from 5 ham and 5 spam messages.",
        "1 of 6 different tokens tell something; the strongest:",
        f"{'token':<40}  in ham  in spam    f(w)  log odds",
        f"{'casino':<40}       0        5   0.959     +3.15",
        f"for ham:  -2·Σ ln f     = {only_sum(only.probability)}, 2 degrees of freedom: H = 0.0413",
        f"for spam: -2·Σ ln(1-f)  = {only_sum(1 - only.probability)}, 2 degrees of freedom: S = 0.9587",
        "probability = (1 + S - H) / 2 = 0.9587",
        "spam from 0.9 on, ham up to 0.2: spam",
    ]


def only_sum(probability: float) -> str:
    return f"{-2 * log(probability):9.2f}"


def test_the_strongest_come_first() -> None:
    """Which way they point does not matter; equal ones stand in the order of the alphabet."""
    bayes = Bayes()
    for words, is_spam in (
        (("weaker", "strong", "alike"), True),
        (("strong", "other"), True),
        (("weaker", "good"), False),
        (("good", "weaker"), False),
        (("good",), False),
    ):
        bayes.train(letter(*words), is_spam)
    found = bayes.score_tokens(["weaker", "other", "good", "strong", "alike"])
    assert [each.token for each in found.evidence] == ["good", "strong", "alike", "other"], (
        "weaker is in both"
    )
    shown = found.explain(most=2).splitlines()
    assert [line.split()[0] for line in shown[4:6]] == ["good", "strong"] and shown[6] == "and 2 more"
    assert "more" not in found.explain(most=4)


def test_strongest_tokens_only() -> None:
    bayes = Bayes(Settings(most_tokens=2))
    for words, is_spam in ((("one", "two", "six"), True), (("one", "two"), True), (("ten",), False)):
        bayes.train(letter(*words), is_spam)
    assert [each.token for each in bayes.score(letter("one", "two", "six")).evidence] == ["one", "two"]


@pytest.mark.parametrize(
    "known, words",
    [
        ((), "this filter has learned nothing yet"),
        ((True,), "this filter has learned 1 spam and no ham: every word would look like spam"),
        ((False, False), "this filter has learned 2 ham and no spam: every word would look like ham"),
    ],
)
def test_refuses_to_judge(known: tuple[bool, ...], words: str) -> None:
    bayes = Bayes()
    for is_spam in known:
        bayes.train(letter("casino"), is_spam)
    score = bayes.score(letter("casino"))
    assert score.probability == 0.5 and score.verdict is Verdict.UNSURE and not score.evidence
    assert words in score.why and words in score.explain()


def test_nothing_known_is_no_verdict() -> None:
    score = taught().score(letter("zyzzyva"))
    assert score.verdict is Verdict.UNSURE and "all are new" in score.why
    assert taught().score(b"").verdict is Verdict.UNSURE


def test_forget_undoes_train() -> None:
    bayes, before = taught(), taught()
    bayes.train(letter("casino", "dinner"), True)
    assert bayes != before
    bayes.forget(letter("casino", "dinner"), True)
    assert bayes == before
    bayes.train(letter("dinner"), False)
    bayes.forget(letter("dinner"), False)
    assert bayes == before
    with pytest.raises(NeverTrained, match="as ham"):
        bayes.forget(letter("casino", "dinner"), False)
    assert bayes == before, "what fails changes nothing"
    with pytest.raises(NeverTrained, match="as spam"):
        Bayes().forget(b"", True)
    one_kind = Bayes()
    one_kind.train(b"", True)  # a message without a word is learned, too
    with pytest.raises(NeverTrained):
        one_kind.forget(b"", False)
    assert (one_kind.hams, one_kind.spams) == (0, 1)
    one_kind.forget(b"", True)
    assert one_kind == Bayes()


def test_kept_and_merged() -> None:
    bayes = taught()
    bayes.train(letter("straße", "日本語", "\u202eevil", "\ud800".encode("utf-8", "replace").decode()), False)
    assert Bayes.from_bytes(bayes.to_bytes()) == bayes
    both = bayes.merged(taught(2))
    assert (both.hams, both.spams, both.in_spam["casino"], both.in_ham["dinner"]) == (8, 7, 7, 7)
    assert bayes.to_bytes() == bayes.merged(Bayes()).to_bytes() == Bayes().merged(bayes).to_bytes()
    assert "日本".encode() in bayes.to_bytes(), "to be read by people, too"
    one, other = Bayes(), Bayes()
    one.train(b"\r\nonly", True)
    other.train(b"\r\nthen", True)
    assert one.merged(other).in_spam == {"kind:text/plain": 2, "only": 1, "then": 1}
    assert Bayes.from_bytes(Bayes().to_bytes()) == Bayes()
    least = Settings(min_deviation=0.4)
    assert Bayes.trained([Known(b"\r\nonly", True)], least).settings == least


@pytest.mark.parametrize(
    "written",
    [
        b"", b"\xff", b"[]", b"{}", b'{"format": "other"}', b"[" * 100_000,
        b'{"format": "labkit-bayes-1", "hams": -1, "spams": 0}',
        b'{"format": "labkit-bayes-1", "hams": true, "spams": 0}',
        b'{"format": "labkit-bayes-1", "hams": 1, "spams": 0, "tokens": {"a": [2, 0]}}',
        b'{"format": "labkit-bayes-1", "hams": 1, "spams": 0, "tokens": {"a": [0.5, 0]}}',
        b'{"format": "labkit-bayes-1", "hams": 1, "spams": 0, "tokens": {"a": [0, 1]}}',
        b'{"format": "labkit-bayes-1", "hams": 1, "spams": 0, "tokens": {"a": [0, 0, 0]}}',
        b'{"format": "labkit-bayes-1", "hams": 1, "spams": 0, "tokens": {"a": "x"}}',
        b'{"format": "labkit-bayes-1", "hams": 1, "spams": 0, "tokens": {"a": 5}}',
        b'{"format": "labkit-bayes-1", "hams": 1, "spams": 0, "tokens": ["a"]}',
        b'{"format": "labkit-bayes-1", "hams": 1, "spams": 0}',
    ],
)  # fmt: skip
def test_reads_only_what_it_wrote(written: bytes) -> None:
    with pytest.raises(NoTraining):
        Bayes.from_bytes(written)


@pytest.mark.parametrize(
    "wrong", [{"strength": 0}, {"unknown": 1}, {"min_deviation": 0.5}, {"most_tokens": 0}, {"spam_from": 0.1}]
)
def test_settings_that_make_no_sense(wrong: dict[str, float]) -> None:
    with pytest.raises(ValueError, match=r"between 0 and 1|at least 1"):
        Settings(**wrong)  # type: ignore[arg-type]


def test_wants_bytes() -> None:
    with pytest.raises(TypeError, match="bytes"):
        Bayes().train("text", True)  # type: ignore[arg-type]


def test_chance_alone_is_unsure() -> None:
    """With words that come equally often in both, hardly any letter is called anything."""
    words = [f"word{chr(97 + i)}{chr(97 + j)}" for i in range(8) for j in range(8)]
    bayes = Bayes()
    for i in range(40):
        chosen = [word for at, word in enumerate(words) if (comb(at + i, 2) * 7 + i * at) % 3 == 0]
        bayes.train(letter(*chosen), i % 2 == 0)
    verdicts = [
        bayes.score(letter(*[w for at, w in enumerate(words) if (at * 11 + i * i) % 5 == 0])).verdict
        for i in range(30)
    ]
    assert verdicts.count(Verdict.UNSURE) >= 20
