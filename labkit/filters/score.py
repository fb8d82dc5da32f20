"""What the Bayesian filter says of one message, with all its reasons.

WHAT       `Score`: probability, verdict, and the evidence of each token that counted; `explain()` in words.
RULES      a filter that has no ground to judge says so in `why`; then the probability is 1/2 and the verdict unsure.
SAFE       tokens come from strangers: `explain` makes visible what hides or turns letters.
READ NEXT  bayes.py
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum

from labkit.filters.combining import Combined, Settings
from labkit.mail.visible import visible


class Verdict(Enum):
    """What the filter says of a message. Unsure is an answer, too."""

    HAM = "ham"
    UNSURE = "unsure"
    SPAM = "spam"


@dataclass(frozen=True, slots=True)
class TokenEvidence:
    """What one token says: f(w), in how many ham and spam messages it stood, its log odds (spam is above 0)."""

    token: str
    probability: float
    in_ham: int
    in_spam: int
    weight: float


@dataclass(frozen=True, slots=True)
class Score:
    """The result for one message. `evidence` are the tokens that counted, the strongest first.

    `combined` is how they were put together, `tokens` how many different ones the message has, `hams` and `spams` what
    the filter had learned by then. `why`: why there is no ground to judge; empty if there is.
    """

    probability: float
    verdict: Verdict
    evidence: tuple[TokenEvidence, ...]
    combined: Combined
    tokens: int
    hams: int
    spams: int
    settings: Settings
    why: str = ""

    def explain(self, most: int = 20) -> str:
        """The way to the result, line by line; at most so many tokens."""
        return "\n".join(self._lines(most))

    def _lines(self, most: int) -> Iterator[str]:
        yield f"{self.verdict.value}: {self.probability:.4f}"
        if self.why:
            yield f"It cannot say: {self.why}."
            return
        yield f"Learned from {self.hams} ham and {self.spams} spam messages."
        yield f"{len(self.evidence)} of {self.tokens} different tokens tell something; the strongest:"
        yield f"{'token':<40}  {'in ham':>6}  {'in spam':>7}  {'f(w)':>6}  {'log odds':>8}"
        for each in self.evidence[:most]:
            token = visible(each.token).replace("\n", " ")[:40]
            figures = f"{each.in_ham:>6}  {each.in_spam:>7}  {each.probability:>6.3f}  {each.weight:>+8.2f}"
            yield f"{token:<40}  {figures}"
        if len(self.evidence) > most:
            yield f"and {len(self.evidence) - most} more"
        yield from self.steps()

    def steps(self) -> Iterator[str]:
        """How the tokens are combined, a line for each step."""
        found = self.combined
        freedom = f"{2 * found.tokens} degrees of freedom"
        yield f"for ham:  -2·Σ ln f     = {found.ham_sum:9.2f}, {freedom}: H = {found.hamminess:.4f}"
        yield f"for spam: -2·Σ ln(1-f)  = {found.spam_sum:9.2f}, {freedom}: S = {found.spamminess:.4f}"
        yield f"probability = (1 + S - H) / 2 = {found.probability:.4f}"
        yield f"spam from {self.settings.spam_from:g} on, ham up to {self.settings.ham_to:g}: {self.verdict.value}"
