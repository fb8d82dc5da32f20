"""Why a Bayesian filter says of one letter what it says: each word as a bar, and what a word less or more would do.

WHAT       `why_spam(bayes, content)`: the words that counted, the strongest first; to the left what speaks for ham,
           to the right what speaks for spam; then how they are combined, step by step. In JupyterLab a click takes a
           word out, or puts one in; `view.without("casino")` and `view.adding("meeting")` give such another view.
DECIDES    the length of a bar is the word's log odds: how far it pulls.
SAFE       words come from a stranger's letter: they are shown as text, cut, and what hides or turns letters is visible.
READ NEXT  ../../filters/bayes.py, ../static/why_spam.js
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from labkit.filters.bayes import Bayes, Letter
from labkit.filters.score import Score, TokenEvidence
from labkit.filters.tokens import tokens_of, words
from labkit.mail.message import octets_of
from labkit.teach.given import expect
from labkit.teach.markup import Markup, clip, join, tag, visible
from labkit.teach.tables import table, text_table
from labkit.teach.view import LiveView

MOST_ROWS = 30
MOST_ADDED = 50
LONGEST_TOKEN = 36
HALF = 10  # of a bar, in letters of the text twin
LONGEST_WEIGHT = 5.0  # log odds of about 0.993: a bar is not longer
_HEAD = ("word", "ham <" + " " * (2 * HALF - 10) + "> spam", "in ham", "in spam", "f(w)", "log odds")
_HAM, _SPAM = "#0072b2", "#d55e00"


class WhySpam(LiveView):
    """The view. `score` is the result with the words taken out and put in; `before` that of the letter as it came."""

    script = "why_spam.js"

    def __init__(
        self,
        bayes: Bayes,
        tokens: tuple[str, ...],
        removed: frozenset[str] = frozenset(),
        added: tuple[str, ...] = (),
    ) -> None:
        super().__init__()
        self.bayes = bayes
        self.tokens = tokens
        self.removed = removed
        self.added = added
        self.before = bayes.score_tokens(tokens)

    @property
    def score(self) -> Score:
        kept = (token for token in (*self.tokens, *self.added) if token not in self.removed)
        return self.bayes.score_tokens(kept)

    # --- what if ------------------------------------------------------------------------------------

    def without(self, *taken: str) -> WhySpam:
        """The same letter without these words. Raises ValueError for a word that it has not."""
        for token in taken:
            if token not in self.tokens and token not in self.added:
                raise ValueError(f"{visible(clip(token, 40))!r} is not in this letter")
        return WhySpam(self.bayes, self.tokens, self.removed | set(taken), self.added)

    def adding(self, text: str) -> WhySpam:
        """The same letter with the words of this text besides. Raises ValueError for a text without a word."""
        return WhySpam(self.bayes, self.tokens, self.removed, self._with(text))

    def _with(self, text: str) -> tuple[str, ...]:
        given = [text.strip().lower()] if ":" in text and " " not in text.strip() else list(words(text))
        if not given:
            raise ValueError("a word has 3 to 40 letters: write meeting, or subject:meeting")
        return tuple(dict.fromkeys((*self.added, *given)))[:MOST_ADDED]

    async def hear(self, message: Mapping[str, Any]) -> None:
        what = message.get("ask")
        if what == "toggle":
            self._toggle(message.get("number"))
        elif what == "add":
            self.added = self._with(str(message.get("text", ""))[:500])
        elif what == "again":
            self.removed, self.added = frozenset(), ()
        else:
            raise ValueError("this view is asked to toggle, to add, or to begin again")
        self.refresh()

    def _toggle(self, number: object) -> None:
        listed = self._listed()
        if type(number) is not int or not 0 <= number < len(listed):
            raise ValueError("there is no such word in the list")
        self.removed ^= {listed[number].token}

    def _listed(self) -> tuple[TokenEvidence, ...]:
        """What is shown: the evidence, and below it the words that were taken out."""
        gone = [
            self.bayes.evidence_of(token) for token in (*self.tokens, *self.added) if token in self.removed
        ]
        return (*self.score.evidence[:MOST_ROWS], *gone[:MOST_ROWS])

    # --- words --------------------------------------------------------------------------------------

    @property
    def title(self) -> str:
        score = self.score
        return f"{score.verdict.value}: {score.probability:.4f}"

    def _notes(self) -> list[str]:
        score = self.score
        if score.why:
            return [f"It cannot say: {score.why}."]
        learned = f"It has learned from {score.hams} ham and {score.spams} spam letters."
        counted = f"{len(score.evidence)} of {score.tokens} different words tell something."
        more = len(score.evidence) - MOST_ROWS
        return [learned, counted + (f" The {more} weakest are not shown." if more > 0 else "")]

    def _changes(self) -> str:
        if not self.removed and not self.added:
            return ""
        before = f"As it came it was {self.before.verdict.value}, {self.before.probability:.4f}."
        parts = [
            f"{name} {', '.join(_shown(token) for token in sorted(those)[:10])}."
            for name, those in (("Taken out:", self.removed), ("Put in:", set(self.added)))
            if those
        ]
        return " ".join([*parts, before])

    def _steps(self) -> list[str]:
        return [] if self.score.why else list(self.score.steps())

    def _name(self, each: TokenEvidence) -> str:
        return f"({_shown(each.token)})" if each.token in self.removed else _shown(each.token)

    # --- forms --------------------------------------------------------------------------------------

    def state(self) -> dict[str, Any]:
        rows = [
            {
                "token": _shown(each.token),
                "removed": each.token in self.removed,
                "bar": round(_part(each), 3),
                "ham": each.in_ham,
                "spam": each.in_spam,
                "f": f"{each.probability:.3f}",
                "weight": f"{each.weight:+.2f}",
            }
            for each in self._listed()
        ]
        score = self.score
        return {
            "verdict": score.verdict.value,
            "probability": f"{score.probability:.4f}",
            "at": round(score.probability, 4),
            "ham_to": score.settings.ham_to,
            "spam_from": score.settings.spam_from,
            "rows": rows,
            "notes": self._notes(),
            "changes": self._changes(),
            "steps": self._steps(),
        }

    def html(self) -> Markup:
        head = ("word", "ham | spam", *_HEAD[2:])
        style = "text-align:left; padding:2px 12px 2px 0; font-family:var(--jp-code-font-family, monospace)"
        rows = []
        for each in self._listed():
            cells: list[Markup | str] = [self._name(each), _bar(each), *_figures(each)]
            rows.append(tag("tr", *(tag("td", cell, style=style) for cell in cells)))
        names = tag("tr", *(tag("th", name, scope="col", style="text-align:left") for name in head))
        notes = [tag("p", note) for note in (*self._notes(), self._changes()) if note]
        body = tag("table", tag("thead", names), tag("tbody", *rows)) if rows else None
        steps = table(("how it is put together",), [(line,) for line in self._steps()], code=[0])
        return join(tag("p", tag("b", self.title)), *notes, body, steps if self._steps() else None)

    def text(self) -> str:
        rows = [(self._name(each), _text_bar(each), *_figures(each)) for each in self._listed()]
        lines = [self.title, *self._notes(), *([text_table(_HEAD, rows)] if rows else [])]
        return "\n".join([*lines, *self._steps(), *([self._changes()] if self._changes() else [])])


def _shown(token: str) -> str:
    shown = visible(token)
    return shown if len(shown) <= LONGEST_TOKEN else f"{shown[: LONGEST_TOKEN - 1]}…"


def _figures(each: TokenEvidence) -> tuple[str, ...]:
    return str(each.in_ham), str(each.in_spam), f"{each.probability:.3f}", f"{each.weight:+.2f}"


def _part(each: TokenEvidence) -> float:
    """How much of half a bar: -1 all for ham, 1 all for spam."""
    return max(-1.0, min(1.0, each.weight / LONGEST_WEIGHT))


def _text_bar(each: TokenEvidence) -> str:
    letters = round(abs(_part(each)) * HALF)
    left, right = ("#" * letters, "") if each.weight < 0 else ("", "#" * letters)
    return f"{left:>{HALF}}|{right:<{HALF}}"


def _bar(each: TokenEvidence) -> Markup:
    wide = round(abs(_part(each)) * 80)
    box = "display:inline-block; height:0.8em; vertical-align:middle"
    bar = tag("span", style=f"{box}; width:{wide}px; background:{_HAM if each.weight < 0 else _SPAM}")
    room, none = tag("span", style=f"{box}; width:{80 - wide}px"), tag("span", style=f"{box}; width:80px")
    middle = tag("span", style=f"{box}; width:1px; background:#707070")
    return join(room, bar, middle, none) if each.weight < 0 else join(none, middle, bar, room)


def why_spam(bayes: Bayes, content: bytes | Letter) -> WhySpam:
    """Why this filter calls this letter what it calls it. `content`: the message, or a letter of the corpus."""
    expect(bayes, Bayes, "why_spam(bayes, letter.content)")
    octets: Any = getattr(content, "content", content)
    return WhySpam(bayes, tokens_of(octets_of(octets)))
