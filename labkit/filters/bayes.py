"""A Bayesian filter: it learns which words stand in spam and which in ham (wanted mail), and says why.

WHAT       `Bayes()`; `train(content, is_spam=True)`; `score(content)` -> Score. `Bayes.trained(letters)` learns many.
           `to_bytes`, `from_bytes` and `merged` keep and share what was learned.
RULES      a filter that has learned nothing, or one kind only, does not judge: it says so (`why_not`).
           A filter is as good as what it was shown: it finds mail like the mail it knows.
HOW        combining.py has the formulas, tokens.py says what counts as a word.
SIMPLER    counts are kept for ever; a filter in service drops rare and old words now and then.
READ NEXT  combining.py
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from labkit.filters.combining import Settings, combined, log_odds, token_probability
from labkit.filters.score import Score, TokenEvidence, Verdict
from labkit.filters.tokens import tokens_of
from labkit.mail.plainly import SaidPlainly

FORMAT = "labkit-bayes-1"


class NeverTrained(SaidPlainly, ValueError):
    """A message shall be forgotten that was not learned."""


class NoTraining(SaidPlainly, ValueError):
    """What was read is not what a filter has written."""


class Letter(Protocol):
    """A message of which somebody has said what it is."""

    @property
    def content(self) -> bytes: ...
    @property
    def is_spam(self) -> bool: ...


@dataclass(slots=True)
class Bayes:
    """A filter and what it has learned: in how many messages of each kind each token stood."""

    settings: Settings = field(default_factory=Settings)
    hams: int = 0
    spams: int = 0
    in_ham: dict[str, int] = field(default_factory=dict)
    in_spam: dict[str, int] = field(default_factory=dict)

    @classmethod
    def trained(cls, letters: Iterable[Letter], settings: Settings | None = None) -> Bayes:
        """A filter that has learned these."""
        bayes = cls(settings or Settings())
        for letter in letters:
            bayes.train(letter.content, letter.is_spam)
        return bayes

    def train(self, content: bytes, is_spam: bool) -> None:
        """Learn one message."""
        counts = self.in_spam if is_spam else self.in_ham
        for token in tokens_of(content):
            counts[token] = counts.get(token, 0) + 1
        if is_spam:
            self.spams += 1
        else:
            self.hams += 1

    def forget(self, content: bytes, is_spam: bool) -> None:
        """Undo `train`, for a message that was called the wrong thing. NeverTrained changes nothing."""
        counts = self.in_spam if is_spam else self.in_ham
        tokens = tokens_of(content)
        if (self.spams if is_spam else self.hams) == 0 or not all(counts.get(token) for token in tokens):
            raise NeverTrained(f"this message was never learned as {'spam' if is_spam else 'ham'}")
        for token in tokens:
            counts[token] -= 1
            if not counts[token]:
                del counts[token]
        if is_spam:
            self.spams -= 1
        else:
            self.hams -= 1

    def score(self, content: bytes) -> Score:
        """How probably this is spam, and why."""
        return self.score_tokens(tokens_of(content))

    def score_tokens(self, tokens: Iterable[str]) -> Score:
        """The same for tokens: to see what a word more or less would do."""
        different = tuple(dict.fromkeys(tokens))
        why = self.why_not
        evidence = () if why else self._evidence(different)
        if not why and not evidence:
            why = "no word of this message tells anything: all are new, or as frequent in ham as in spam"
        found = combined([each.probability for each in evidence])
        verdict = Verdict.UNSURE if why else self._verdict(found.probability)
        return Score(
            found.probability,
            verdict,
            evidence,
            found,
            len(different),
            self.hams,
            self.spams,
            self.settings,
            why,
        )

    @property
    def why_not(self) -> str:
        """Why this filter cannot judge at all; empty if it can."""
        if self.hams and self.spams:
            return ""
        if not self.hams and not self.spams:
            return "this filter has learned nothing yet"
        known, count, other = ("spam", self.spams, "ham") if self.spams else ("ham", self.hams, "spam")
        return f"this filter has learned {count} {known} and no {other}: every word would look like {known}"

    def evidence_of(self, token: str) -> TokenEvidence:
        """What this token says by itself."""
        good, bad = self.in_ham.get(token, 0), self.in_spam.get(token, 0)
        probability = token_probability(good, bad, self.hams, self.spams, self.settings)
        return TokenEvidence(token, probability, good, bad, log_odds(probability))

    def _evidence(self, tokens: Iterable[str]) -> tuple[TokenEvidence, ...]:
        least = self.settings.min_deviation
        found = (self.evidence_of(token) for token in tokens)
        telling = [each for each in found if abs(each.probability - 0.5) >= least]
        telling.sort(key=lambda each: (-abs(each.probability - 0.5), each.token))
        return tuple(telling[: self.settings.most_tokens])

    def _verdict(self, probability: float) -> Verdict:
        if probability >= self.settings.spam_from:
            return Verdict.SPAM
        return Verdict.HAM if probability <= self.settings.ham_to else Verdict.UNSURE

    # --- to keep it -------------------------------------------------------------------------------

    def merged(self, other: Bayes) -> Bayes:
        """What both have learned together, with the settings of this one."""
        return Bayes(
            self.settings,
            self.hams + other.hams,
            self.spams + other.spams,
            _added(self.in_ham, other.in_ham),
            _added(self.in_spam, other.in_spam),
        )

    def to_bytes(self) -> bytes:
        """All that was learned, as JSON in UTF-8: a line for each token, in order."""
        tokens = sorted(self.in_ham.keys() | self.in_spam.keys())
        value = {
            "format": FORMAT,
            "hams": self.hams,
            "spams": self.spams,
            "tokens": {token: [self.in_ham.get(token, 0), self.in_spam.get(token, 0)] for token in tokens},
        }
        return json.dumps(value, ensure_ascii=False, indent=0).encode("utf-8", "backslashreplace")

    @classmethod
    def from_bytes(cls, written: bytes, settings: Settings | None = None) -> Bayes:
        """A filter as `to_bytes` wrote it. Raises NoTraining for anything else."""
        try:
            value = json.loads(written)
        except (ValueError, RecursionError) as problem:
            raise NoTraining(f"this is not what a filter has written: {str(problem)[:80]}") from None
        if not isinstance(value, dict) or value.get("format") != FORMAT:
            raise NoTraining(f"this is not what a filter has written: its format is not {FORMAT}")
        bayes = cls(settings or Settings(), _count(value, "hams"), _count(value, "spams"))
        tokens = value.get("tokens")
        if not isinstance(tokens, dict):
            raise NoTraining("this is not what a filter has written: it has no tokens")
        for token, counts in tokens.items():
            good, bad = bayes._counts(token, counts)
            if good:
                bayes.in_ham[token] = good
            if bad:
                bayes.in_spam[token] = bad
        return bayes

    def _counts(self, token: str, counts: Any) -> tuple[int, int]:
        if isinstance(counts, list) and len(counts) == 2 and all(type(each) is int for each in counts):
            good, bad = counts
            if 0 <= good <= self.hams and 0 <= bad <= self.spams:
                return good, bad
        raise NoTraining(
            f"token {token[:60]!r}: two counts are wanted, at most {self.hams} ham and {self.spams} spam"
        )


def _count(value: Mapping[str, Any], name: str) -> int:
    count = value.get(name)
    if type(count) is not int or count < 0:
        raise NoTraining(f"{name}: a count is wanted, not {str(count)[:40]}")
    return count


def _added(one: Mapping[str, int], other: Mapping[str, int]) -> dict[str, int]:
    both = dict(one)
    for token, count in other.items():
        both[token] = both.get(token, 0) + count
    return both
