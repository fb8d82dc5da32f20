"""The words of an ACL: verbs, conditions, modifiers; what each of them is, and in which phases it may stand.

WHAT       WORDS[name]: condition or modifier, whether its value is expanded before anything else, its phases.
DECIDES    what is unknown (a slip of the pen) and what only a real Exim can do (REFUSED): different words for each.
LIKE EXIM  a word in a phase that it does not belong to is found out when the ACL runs: 451
STANDARDS  Exim specification, sections "ACL conditions", "ACL modifiers"
READ NEXT  reading.py
"""

from __future__ import annotations

from dataclasses import dataclass
from difflib import get_close_matches

from labkit.eximconf.place import ConfigurationError, Place
from labkit.smtp.acl.phases import ALL, ENDINGS, Phase, but

VERBS = ("accept", "defer", "deny", "discard", "drop", "require", "warn")
_OF_RCPT = frozenset((Phase.RCPT, Phase.VRFY))
_BEFORE_MAIL = (
    Phase.CONNECT,
    Phase.HELO,
    Phase.AUTH,
    Phase.ETRN,
    Phase.EXPN,
    Phase.MAILAUTH,
    Phase.STARTTLS,
    Phase.VRFY,
)
_WITH_SENDER = but(*_BEFORE_MAIL, *ENDINGS)
_OF_A_SENDER = but(*_BEFORE_MAIL, Phase.NOT_SMTP)  # of one with a HELO
_WITH_HEADERS = frozenset((Phase.MAIL, Phase.RCPT, Phase.PREDATA, Phase.DATA, Phase.DKIM, Phase.NOT_SMTP))
_WITH_BODY = frozenset((Phase.DATA, Phase.NOT_SMTP))


@dataclass(frozen=True, slots=True)
class Word:
    """A condition or a modifier. `expands`: Exim expands the value before it asks whether the word may stand here."""

    name: str
    is_modifier: bool
    expands: bool = True
    phases: frozenset[Phase] = ALL


def _conditions(*words: tuple[str, bool, frozenset[Phase]]) -> list[Word]:
    return [Word(name, False, expands, phases) for name, expands, phases in words]


def _modifiers(*words: tuple[str, frozenset[Phase]]) -> list[Word]:
    return [Word(name, True, True, phases) for name, phases in words]


WORDS: dict[str, Word] = {
    word.name: word
    for word in (
        *_conditions(
            ("acl", False, ALL),
            ("authenticated", False, but(Phase.NOT_SMTP, Phase.CONNECT, Phase.HELO)),
            ("condition", True, ALL),
            ("dkim_signers", True, frozenset((Phase.DKIM,))),
            ("dkim_status", True, frozenset((Phase.DKIM,))),
            ("dnslists", True, ALL),
            ("domains", False, _OF_RCPT),
            ("encrypted", False, but(Phase.NOT_SMTP, Phase.HELO)),
            ("hosts", False, but(Phase.NOT_SMTP)),
            ("local_parts", False, _OF_RCPT),
            ("ratelimit", True, ALL),
            ("recipients", False, frozenset((Phase.RCPT,))),
            ("seen", True, ALL),
            ("sender_domains", False, _WITH_SENDER),
            ("senders", False, _WITH_SENDER),
            ("spam", True, _WITH_BODY),
            ("spf", True, _OF_A_SENDER),
            ("spf_guess", True, _OF_A_SENDER),
            ("verify", True, ALL),
        ),
        *_modifiers(
            ("add_header", _WITH_HEADERS),
            ("continue", ALL),
            ("control", ALL),
            ("delay", ALL),
            ("endpass", ALL),
            ("log_message", ALL),
            ("log_reject_target", ALL),
            ("logwrite", ALL),
            ("message", ALL),
            ("remove_header", _WITH_HEADERS - {Phase.DKIM}),
            ("set", ALL),
        ),
    )
}

REFUSED = {
    **dict.fromkeys(
        "decode dmarc_status malware mime_regex regex".split(),
        "condition",
    ),
    **dict.fromkeys("queue udpsend".split(), "modifier"),
}


def word_of(name: str, written: str, place: Place) -> Word:
    """The word of that name. Raises ConfigurationError."""
    if (word := WORDS.get(name)) is not None:
        return word
    if (kind := REFUSED.get(name)) is not None:
        raise not_read(f'the ACL {kind} "{name}"', place)
    near = get_close_matches(name, [*WORDS, *VERBS], 1)
    remedy = f'perhaps you mean "{near[0]}"' if near else f"labkit has: {', '.join(sorted(WORDS))}"
    raise ConfigurationError(place, f'unknown ACL condition/modifier in "{written}"', remedy)


def not_read(what: str, place: Place) -> ConfigurationError:
    """What Exim can do and labkit cannot."""
    return ConfigurationError(place, f"{what} is not read by labkit yet", "a real Exim can run it")
