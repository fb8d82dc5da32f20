"""The plan of a stream: which sender writes what to whom, and when.

WHAT       `planned(letters, own, host, seed, size)` gives the postings of a lab day in order. A `Posting` carries the
           truth beside the message, never in it.
DOES       bodies and subjects are those of the letters; From, To, Date and Message-ID are written to fit the sender,
           and who signs with DKIM does it, by labkit's signer.
RULES      the same arguments give the same plan, but for the octets of keys and signatures.
READ NEXT  traffic_client.py
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import lru_cache
from random import Random
from typing import Protocol

from labkit.auth.dkim_sign import Signer, SigningError
from labkit.lab.clock import FIRST_MORNING
from labkit.lab.keys import make_pair
from labkit.lab.traffic_cast import SELECTOR, cast
from labkit.lab.traffic_senders import Sender
from labkit.mail.dates import header_date
from labkit.mail.message import HeaderField, Message, with_crlf

PEOPLE = ("ann", "office", "tom")  # who has a mailbox at the student's host
DAY = 20 * 60.0  # minutes over which the stream is spread
OVERSIGNED = ("from", "subject", "to", "date", "message-id")  # another one breaks the signature
LARGEST_SIZE = 50
REPLACED = frozenset({
    "from", "to", "cc", "bcc", "date", "message-id", "return-path", "received", "sender", "delivered-to",
    "dkim-signature", "envelope-to", "delivery-date", "reply-to", "x-spam-flag", "x-spam-status", "x-spam-score",
})  # fmt: skip
# Messages of each kind in a stream of size 1.
SHARES = {
    "small firm": 24, "provider, one /24": 16, "provider, anywhere": 14, "newsletter": 8, "no PTR": 6,
    "wrong HELO": 6, "shop, no retry": 6, "forwarder": 6, "mailing list": 8, "listed by mistake": 5,
    "bot: own name": 30, "bot: bare address": 20, "bot: talks first": 14, "retrying bot": 16, "snowshoe": 25,
    "stolen account": 8, "spoofs the bank": 8, "spoofs us": 8, "guesser": 6,
}  # fmt: skip


class LetterLike(Protocol):
    """What a letter of a corpus has (labkit/lab/corpus.py)."""

    @property
    def content(self) -> bytes: ...

    @property
    def is_spam(self) -> bool: ...


@dataclass(frozen=True, slots=True)
class Posting:
    """A message that somebody wants to get rid of. `first` is the number of the address it comes from first."""

    number: int
    at: datetime
    sender: Sender
    first: int
    mail_from: str
    recipients: tuple[str, ...]
    content: bytes


@lru_cache(maxsize=1)
def stream_key() -> tuple[bytes, str]:
    """The private key of everybody who signs, and its record. One is enough, and they take long to make."""
    pair = make_pair()
    return pair.private_pem, pair.record


def planned(
    letters: Sequence[LetterLike],
    own: str,
    host: str,
    *,
    seed: int = 1,
    size: float = 1.0,
    kinds: Sequence[str] | None = None,
) -> tuple[Posting, ...]:
    """The postings, in order. `size` multiplies how many there are; `kinds`: only of these senders.

    Raises ValueError for letters of one class only, a size or a kind that cannot be.
    """
    ham, spam = ([each for each in letters if each.is_spam is truth] for truth in (False, True))
    if not ham or not spam:
        raise ValueError("a stream needs letters of both classes: ham and spam")
    if not 0 < size <= LARGEST_SIZE:
        raise ValueError(f"size {size}: more than 0, at most {LARGEST_SIZE}")
    wanted = tuple(SHARES) if kinds is None else tuple(kinds)
    if strange := [kind for kind in wanted if kind not in SHARES]:
        raise ValueError(f"no sender is of the kind {strange[0]!r}; there are {', '.join(SHARES)}")
    random = Random(f"stream {seed}")
    drafts = []
    by_kind: dict[str, list[Sender]] = {}
    for sender in cast(own, host):
        by_kind.setdefault(sender.kind, []).append(sender)
    for kind in SHARES:
        for number in range(max(1, round(SHARES[kind] * size))):
            sender = by_kind[kind][number % len(by_kind[kind])]
            letter = random.choice(spam if sender.is_spam else ham)
            minutes = round(random.uniform(0, DAY), 2)
            if sender.burst_at is not None:
                minutes = sender.burst_at + number / 4
            drafts.append((minutes, number, sender, letter, random.random()))
    drafts = [draft for draft in drafts if draft[2].kind in wanted]  # the same ones, whatever else is wanted
    drafts.sort(key=lambda draft: (draft[0], draft[2].kind, draft[1]))
    return tuple(_posting(number, draft, own) for number, draft in enumerate(drafts, start=1))


def _posting(number: int, draft: tuple[float, int, Sender, LetterLike, float], own: str) -> Posting:
    minutes, turn, sender, letter, chance = draft
    random = Random(f"{chance}")
    at = FIRST_MORNING + timedelta(seconds=round(minutes * 60))
    person = random.choice(sender.people)
    author = f"{person}@{sender.domain}"
    mail_from = f"bounce-{number}@{sender.bounces}" if sender.bounces else author
    recipients = [f"{random.choice(PEOPLE)}@{own}"]
    if sender.unknown:
        guesses = random.sample(range(100, 1000), sender.recipients - 1)
        recipients = [*(f"user{guess}@{own}" for guess in guesses), *recipients]
    content = _written(letter, sender, author, recipients[-1], at, number)
    return Posting(number, at, sender, turn % len(sender.addresses), mail_from, tuple(recipients), content)


@lru_cache(maxsize=2000)
def _signed(content: bytes, domain: str, at: datetime) -> bytes:
    """With a DKIM signature on top; remembered, as the next solution is tried on the same messages."""
    try:
        return _signer(domain).sign(content, at.timestamp()) + content
    except SigningError:  # a letter of somebody's own may be such that nobody can sign it
        return content


@lru_cache(maxsize=64)
def _signer(domain: str) -> Signer:
    return Signer(domain, SELECTOR, stream_key()[0], oversign=OVERSIGNED)


def _written(
    letter: LetterLike, sender: Sender, author: str, recipient: str, at: datetime, number: int
) -> bytes:
    """The letter as this sender sends it."""
    message = Message.parse(with_crlf(letter.content))
    kept = [field for field in message.header_fields if field.name.lower() not in REPLACED]
    own = [("From", author), ("To", recipient), ("Date", header_date(at))]
    if sender.has_message_id:
        own.append(("Message-ID", f"<{at:%Y%m%d%H%M%S}.{number}@{sender.domain}>"))
    fields = [HeaderField.make(name, value) for name, value in own]
    message = Message((*fields, *kept), message.separator or b"\r\n", message.body)
    if sender.signs:
        message = Message.parse(_signed(bytes(message), sender.signs, at))
    if sender.breaks_signatures:
        footer = b"-- \r\nclub mailing list, to leave it write to leave@lists.club.test\r\n"
        listed = HeaderField.make("List-Id", "<club.lists.club.test>")
        message = Message((listed, *message.header_fields), message.separator, message.body + footer)
    return bytes(message)
