"""What became of a stream: one outcome for each message, and the figures of all of them together.

WHAT       `Outcome`: the truth, the kind of sender, the fate, the delay in lab minutes, and what it cost. `Measured`: a
           solution and its outcomes; `caught`, `wrongly_caught`, `delays`; `by_kind()` for tables; `facts()`.
RULES      made of what senders saw and of what lies in the mailboxes: so both engines tell the same.
READ NEXT  solutions.py
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

INBOX = "inbox"
MARKED = "marked as spam"
REFUSED = "refused"
PUT_OFF = "put off for ever"  # the sender does not come again
HUNG_UP = "sender hung up"
THROWN_AWAY = "taken and thrown away"  # 250, and it lies in no mailbox
FATES = (INBOX, MARKED, REFUSED, PUT_OFF, HUNG_UP, THROWN_AWAY)
SHORT = dict(zip(FATES, ("inbox", "marked", "refused", "put off", "hung up", "gone")))


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a message. `phase` and `reply` are those that decided, as the sender saw them.

    `minutes`: from the first attempt to the acceptance, None if there was none. `seconds`: how long its sender was
    held, and with it a connection slot, in all `attempts`. `octets`: what the host took. `wrong`: recipients that were
    refused or put off.
    """

    number: int
    kind: str
    is_spam: bool
    fate: str
    phase: str
    reply: str
    minutes: float | None
    attempts: int
    octets: int
    seconds: float
    wrong: int

    @property
    def is_caught(self) -> bool:
        return self.fate != INBOX


@dataclass(frozen=True, slots=True)
class KindRow:
    """One kind of sender: how many messages, what became of them, the middle delay of those accepted."""

    kind: str
    is_spam: bool
    messages: int
    fates: Mapping[str, int]
    median_minutes: float | None


@dataclass(frozen=True, slots=True, repr=False)
class Measured:
    """A stream against a solution. `questions`: what the nameserver was asked; `slots`: most connections at once."""

    solution: str
    engine: str
    seed: int
    outcomes: tuple[Outcome, ...]
    questions: int
    slots: int

    # --- right and wrong ------------------------------------------------------------------------

    @property
    def spam(self) -> tuple[Outcome, ...]:
        return tuple(each for each in self.outcomes if each.is_spam)

    @property
    def ham(self) -> tuple[Outcome, ...]:
        return tuple(each for each in self.outcomes if not each.is_spam)

    @property
    def caught(self) -> int:
        """Spam that did not reach the inbox."""
        return sum(each.is_caught for each in self.spam)

    @property
    def wrongly_caught(self) -> int:
        """Honest mail that did not reach the inbox."""
        return sum(each.is_caught for each in self.ham)

    # --- what it costs --------------------------------------------------------------------------

    @property
    def delays(self) -> tuple[float, ...]:
        """Of honest mail that arrived: minutes from the first attempt, in order of size."""
        return tuple(sorted(each.minutes for each in self.ham if each.minutes is not None))

    def delay(self, part: float = 0.5) -> float | None:
        """The delay that this part of honest mail does not exceed: the median; 0.95 for nearly all. None: no mail."""
        found = self.delays
        return found[min(len(found) - 1, int(part * len(found)))] if found else None

    @property
    def connections(self) -> int:
        return sum(each.attempts for each in self.outcomes)

    @property
    def octets(self) -> int:
        return sum(each.octets for each in self.outcomes)

    def held(self, is_spam: bool) -> float:
        """Seconds that senders of that class were kept connected, and a slot of the host with each."""
        return sum(each.seconds for each in self.outcomes if each.is_spam is is_spam)

    # --- views ----------------------------------------------------------------------------------

    def by_kind(self) -> tuple[KindRow, ...]:
        kinds: dict[tuple[str, bool], list[Outcome]] = {}
        for each in self.outcomes:
            kinds.setdefault((each.kind, each.is_spam), []).append(each)
        rows = []
        for (kind, is_spam), some in sorted(kinds.items(), key=lambda item: (item[0][1], item[0][0])):
            minutes = sorted(each.minutes for each in some if each.minutes is not None)
            middle = minutes[len(minutes) // 2] if minutes else None
            rows.append(KindRow(kind, is_spam, len(some), Counter(each.fate for each in some), middle))
        return tuple(rows)

    @property
    def fates(self) -> tuple[str, ...]:
        """Those that a table shows; that of mail thrown away only where there is any."""
        gone = any(each.fate == THROWN_AWAY for each in self.outcomes)
        return FATES if gone else FATES[:-1]

    def facts(self) -> tuple[tuple[object, ...], ...]:
        """What labkit and a real Exim must agree on: all but seconds and DNS questions."""
        return tuple(
            (
                each.number,
                each.kind,
                each.fate,
                each.phase,
                each.reply,
                each.minutes,
                each.attempts,
                each.wrong,
            )
            for each in self.outcomes
        )

    def __str__(self) -> str:
        """A line of figures, and one for each kind of sender."""
        lines = [
            repr(self),
            f"{'':<22}{'messages':>9}  " + "  ".join(f"{SHORT[fate]:>8}" for fate in self.fates) + "  delay",
        ]
        for row in self.by_kind():
            cells = "  ".join(f"{row.fates.get(fate, 0) or '-':>8}" for fate in self.fates)
            delay = "" if row.median_minutes is None else f"{row.median_minutes:g} min"
            lines.append(
                f"{'spam' if row.is_spam else 'ham':<5}{row.kind:<19}{row.messages:>7}  {cells}  {delay}"
            )
        return "\n".join(lines)

    def __repr__(self) -> str:
        half, most = self.delay(), self.delay(0.95)
        when = (
            "none arrived" if half is None else f"half arrived within {half:g} min, 95 % within {most:g} min"
        )
        return (
            f"<{self.solution}: {self.wrongly_caught} of {len(self.ham)} ham lost, {when}; "
            f"{self.caught} of {len(self.spam)} spam caught; {self.connections} connections>"
        )
