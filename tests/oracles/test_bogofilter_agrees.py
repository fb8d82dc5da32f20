"""bogofilter judges the Bayesian filter: the same counts and the same numbers s, x and deviation give the same figures.

DIFFERS    the numbers chosen (here: bogofilter's own), how many tokens count (here: all), and what a word is: so these
           letters are made of small English words, which both read alike. bogofilter prints six digits.
"""

from __future__ import annotations

import random
import re
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from labkit.filters.bayes import Bayes
from labkit.filters.combining import Settings

THEIRS = Settings(
    strength=0.0178, unknown=0.52, min_deviation=0.375, most_tokens=10_000, spam_from=0.99, ham_to=0.45
)
ROUNDED = 6e-7  # half of the sixth digit, and a little
_TOKEN = re.compile(r'^ *"([a-z]+)" +\d+ +\S+ +\S+ +(\d\.\d+) ([+-])$', re.MULTILINE)
_SPAMICITY = re.compile(r"spamicity=(\d\.\d+)")


@pytest.fixture(scope="module")
def run(require: Callable[[str], str]) -> Callable[..., str]:
    bogofilter, bogoutil = require("bogofilter"), require("bogoutil")

    def call(name: str, *options: str, given: bytes = b"") -> str:
        program = {"bogofilter": bogofilter, "bogoutil": bogoutil}[name]
        done = subprocess.run([program, *options], input=given, capture_output=True, timeout=60, check=False)
        assert done.returncode in (0, 1, 2), done.stderr  # spam, ham, unsure
        return done.stdout.decode()

    return call


def words_of(dice: random.Random, count: int) -> list[str]:
    words = {
        "".join(dice.choices("abcdefghijklmnopqrstuvwxyz", k=dice.randrange(4, 13))) for _ in range(2 * count)
    }
    return sorted(words)[:count]


def letter(words: list[str]) -> bytes:
    return b"Subject: qqq\n\n" + " ".join(words).encode() + b"\n"


@pytest.mark.needs("bogofilter", "bogoutil")
@pytest.mark.parametrize("seed, hams, spams", [(1, 80, 100), (2, 1000, 12), (3, 3, 500)])
def test_same_counts_same_figures(
    run: Callable[..., str], tmp_path: Path, seed: int, hams: int, spams: int
) -> None:
    dice = random.Random(seed)
    words = words_of(dice, 120)
    in_ham = {word: dice.randrange(hams + 1) for word in words if dice.random() < 0.6}
    in_spam = {word: dice.randrange(spams + 1) for word in words if dice.random() < 0.6}
    bayes = Bayes(
        THEIRS,
        hams,
        spams,
        {word: count for word, count in in_ham.items() if count},
        {word: count for word, count in in_spam.items() if count},
    )
    counts = [f"{word} {in_spam.get(word, 0)} {in_ham.get(word, 0)} 20260101" for word in words]
    written = "\n".join([f".MSG_COUNT {spams} {hams} 20260101", *counts, ""])
    run("bogoutil", "-l", str(tmp_path / "wordlist.db"), given=written.encode())
    compared = 0
    for size in (1, 1, 1, 1, 2, 3, 5, 8, 20, 60, 120):
        chosen = dice.sample(words, size)
        theirs = run("bogofilter", "-C", "-d", str(tmp_path), "-vvv", given=letter(chosen))
        ours = bayes.score(letter(chosen))
        for token, probability, sign in _TOKEN.findall(theirs):
            if token not in in_ham and token not in in_spam:
                continue
            assert bayes.evidence_of(token).probability == pytest.approx(float(probability), abs=ROUNDED), (
                token
            )
            assert (token in {each.token for each in ours.evidence}) == (sign == "+"), token
            compared += 1
        spamicity = _SPAMICITY.search(theirs)
        assert spamicity is not None, theirs
        if ours.evidence:  # without any telling word bogofilter says x, we say that there is no ground
            assert ours.combined.probability == pytest.approx(float(spamicity[1]), abs=ROUNDED), theirs
        else:
            assert float(spamicity[1]) == pytest.approx(THEIRS.unknown) and ours.why
    assert compared > 100


@pytest.mark.needs("bogofilter", "bogoutil")
def test_learns_alike(run: Callable[..., str], tmp_path: Path) -> None:
    """Trained on the same letters, both have counted the same, a word twice in a letter once."""
    dice = random.Random(5)
    words = words_of(dice, 30)
    bayes = Bayes(THEIRS)
    for number in range(12):
        content = letter(dice.choices(words, k=15))
        is_spam = number % 3 == 0
        bayes.train(content, is_spam)
        run("bogofilter", "-C", "-d", str(tmp_path), "-s" if is_spam else "-n", given=content)
    theirs = dict[str, tuple[int, int]]()
    for line in run("bogoutil", "-d", str(tmp_path / "wordlist.db")).splitlines():
        token, spam, ham = line.split()[:3]
        theirs[token] = int(ham), int(spam)
    assert theirs[".MSG_COUNT"] == (bayes.hams, bayes.spams)
    for word in words:
        assert theirs.get(word, (0, 0)) == (bayes.in_ham.get(word, 0), bayes.in_spam.get(word, 0)), word
    content = letter(words)
    spamicity = _SPAMICITY.search(run("bogofilter", "-C", "-d", str(tmp_path), "-vvv", given=content))
    ours = bayes.score_tokens([*words])
    assert spamicity is not None and ours.combined.probability == pytest.approx(
        float(spamicity[1]), abs=ROUNDED
    )
