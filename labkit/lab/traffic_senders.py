"""Senders of a stream of mail: who they are to a receiver, and how they behave when he makes them wait.

WHAT       a `Sender` is one machine, or one organisation with several: addresses, PTR, HELO, a domain with its records.
           A `Manner` is its patience: how long it waits, whether and when it comes again, and from where.
WHY        every defence but the filters of content judges nothing else than these.
STANDARDS  RFC 5321 §4.5.4.1 (retries: at least 30 minutes apart is the wish, real hosts begin sooner), §4.5.3.2 (300 s)
READ NEXT  traffic_cast.py
"""

from __future__ import annotations

from dataclasses import dataclass, field

PATIENT = 300.0  # seconds: RFC 5321 §4.5.3.2
QUARTERS = tuple(float(minutes) for minutes in range(15, 24 * 60, 15))  # every 15 minutes of a day
NEVER: tuple[float, ...] = ()


@dataclass(frozen=True, slots=True)
class Manner:
    """`retries`: minutes from the first attempt at which a message that was put off is tried again, () for never.

    `patience`: lab seconds of silence after which it hangs up. `moves`: each try comes from its next address.
    `talks_first`: it greets before the server has said a word. `pipelines`: it uses PIPELINING where that is offered.
    """

    retries: tuple[float, ...] = QUARTERS
    patience: float = PATIENT
    moves: bool = False
    talks_first: bool = False
    pipelines: bool = False


@dataclass(frozen=True, slots=True)
class Sender:
    """Who sends. `kind` tells the behaviour in a word, `is_spam` the truth, which no message carries.

    `helo` and `names` (the PTR of each address; "" for none) may contain {address} and {dashed}: 198-18-60-7.
    `forward`: the PTR's name leads back to the address. `domain` is what stands in From; `bounces` the domain of the
    envelope sender, if that is another one. `signs`: the domain of its DKIM signatures, "" for none. `listed_after`:
    minutes after which it is on the block list, None for never.
    """

    kind: str
    is_spam: bool
    addresses: tuple[str, ...]
    domain: str
    helo: str
    names: str = ""
    forward: bool = True
    bounces: str = ""
    people: tuple[str, ...] = ("info",)
    manner: Manner = field(default_factory=Manner)
    signs: str = ""
    breaks_signatures: bool = False  # it changes the body after somebody else has signed
    listed_after: float | None = None
    reason: str = ""  # what the block list says
    has_message_id: bool = True
    recipients: int = 1  # of each message
    unknown: bool = False  # it guesses most of them
    burst_at: float | None = None  # minutes from the beginning: all its mail goes out then

    def name(self, pattern: str, address: str) -> str:
        """`helo` or `names` for one of the addresses."""
        return pattern.replace("{address}", address).replace("{dashed}", address.replace(".", "-"))
