"""A filter of content for a stream: Bayes, behind the same door as SpamAssassin.

WHAT       `scored_by(scorer)` is what `measure(..., prepare=)` wants: the scorer answers the host's `spam =`, on
           labkit and on the real Exim. `bayes_scorer(letters)` trains labkit's filter on them and gives such a scorer.
RULES      what servers have written is left out, in training and in scoring: what Exim puts before a message when it
           asks (spamd_server.as_message), and the fields of its way, Exim's own Received among them.
READ NEXT  scorers.py, labkit/filters/bayes.py
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable
from typing import TYPE_CHECKING

from labkit.filters.bayes import Bayes
from labkit.lab.traffic_plan import LetterLike
from labkit.mail.message import Message
from labkit.mail.scored import Scored, Scorer
from labkit.net.spamd_server import as_message

if TYPE_CHECKING:
    from labkit.lab.world import World

TRACE = frozenset({"received", "return-path", "dkim-signature", "authentication-results", "received-spf"})
POINTS = 10.0  # for a probability of 1
THRESHOLD = 9.0  # points: a probability of 0.9


def scored_by(scorer: Scorer) -> Callable[[World], Awaitable[None]]:
    """Before the stream begins, the scorer is served at the host's 127.0.0.1 port 783."""

    async def prepare(world: World) -> None:
        await world.mine.serve_spamd(scorer)

    return prepare


def bayes_scorer(letters: Iterable[LetterLike], threshold: float = THRESHOLD) -> Scorer:
    """A filter that has learned these letters; its points are ten times the probability. Raises NoTraining."""
    bayes = Bayes()
    for letter in letters:
        bayes.train(without_trace(letter.content), letter.is_spam)

    def bayes_score(content: bytes) -> Scored:
        return Scored(POINTS * bayes.score(without_trace(content)).probability, threshold, "", ("BAYES",))

    return bayes_score


def without_trace(content: bytes) -> bytes:
    """The message without what its servers have added."""
    message = Message.parse(as_message(content))
    kept = tuple(field for field in message.header_fields if field.name.lower() not in TRACE)
    return bytes(Message(kept, message.separator, message.body))
