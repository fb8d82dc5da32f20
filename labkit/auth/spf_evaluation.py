"""One run of check_host: what it knows of the client, what it has asked so far, and when it must stop.

WHAT       `Evaluation` asks the DNS, counts, expands macros, and writes down every step.
LIMITS     10 terms that ask, 2 of them in vain, 10 names of a client; a term too many ends the evaluation: permerror.
DECIDES    which names can be asked for at all; what stands behind each macro letter.
SAFE       values from the client are cut to a length that no domain name needs, names to 253 characters.
STANDARDS  RFC 7208 §4.6.4 (limits), §4.8 and §7.3 (names), §5.5 (validated names), RFC 8616 §4 (non-ASCII local parts)
READ NEXT  spf_mechanisms.py
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import Any, TypeVar

from labkit.auth.spf_macros import AS_THEY_STAND, BadTerm, MacroString, transformed
from labkit.auth.steps import Step
from labkit.mail.asking import Asking, Question, ask
from labkit.mail.questions import AddressesOf, DnsAnswer, NamesOf, V6AddressesOf

R = TypeVar("R")
Address = IPv4Address | IPv6Address

MOST_TERMS = 10  # that ask the DNS, RFC 7208 §4.6.4
MOST_VOID = 2
MOST_NAMES = 10  # of an mx, a ptr, a %{p}
LONGEST_NAME = 253
LONGEST_VALUE = 512  # of a local part or HELO name in a macro; RFC 5321 §4.5.3.1 allows them 64 and 255
LONGEST_EXPLANATION = 2048


@dataclass(frozen=True, slots=True)
class SpfStep(Step):
    """A step of SPF: `term` is what it is about, `domain` whose record, and the two counts as they stand after it."""

    term: str = ""
    domain: str = ""
    lookups: int = 0
    void_lookups: int = 0


class Stop(Exception):
    """The evaluation ends here, whatever the other terms say: with temperror if the DNS failed, else with permerror."""

    def __init__(self, kind: str, words: str, source: str) -> None:
        super().__init__(words)
        self.kind, self.source = kind, source
        self.result = "temperror" if kind == "dns" else "permerror"


@dataclass(slots=True)
class Evaluation:
    """What is known, asked and found so far. `domain` is the one whose record is being read, `term` the term."""

    client: Address
    helo: str
    local_part: str
    sender_domain: str
    receiver: str
    now: float
    most_void: int = MOST_VOID
    domain: str = ""
    term: str = ""
    depth: int = 0
    lookups: int = 0
    void_lookups: int = 0
    term_is_void: bool = False
    steps: list[Step] = field(default_factory=list)
    validated: tuple[str, ...] | None = None

    # --- steps and limits ---

    def note(self, words: str, source: str, *, data: str = "", question: Question[Any] | None = None) -> None:
        """Write a step down, with the counts as they are now."""
        counts = self.lookups, self.void_lookups
        self.steps.append(SpfStep(words, source, self.depth, data, question, self.term, self.domain, *counts))

    def count_term(self) -> None:
        """One more term asks the DNS. Raises Stop for the eleventh."""
        self.lookups += 1
        self.term_is_void = False
        if self.lookups > MOST_TERMS:
            raise Stop("lookups", f"more than {MOST_TERMS} terms ask the DNS", "RFC 7208 §4.6.4")

    def count_void(self) -> None:
        """The term asked for what is not there. A term counts once. Raises Stop for one too many."""
        if self.term_is_void:
            return
        self.term_is_void = True
        self.void_lookups += 1
        if self.void_lookups > self.most_void:
            raise Stop("void-lookups", f"more than {self.most_void} terms ask in vain", "RFC 7208 §4.6.4")

    # --- asking ---

    def records(
        self, question: Question[DnsAnswer[R]], name: str, *, counts: bool = True
    ) -> Asking[tuple[R, ...]]:
        """The records that answer a question. `counts`: none of them is a void look-up. Raises Stop if nobody knows."""
        answer = yield from self.answer(question, name)
        if answer.outcome.is_temporary:
            words = f"the DNS does not answer for {name}: {answer.outcome.value}"
            raise Stop("dns", words, "RFC 7208 §5")
        if not answer.records and counts:
            self.count_void()
        return answer.records

    def answer(
        self, question: Question[DnsAnswer[R]], name: str, source: str = "RFC 7208 §4.6.4"
    ) -> Asking[DnsAnswer[R]]:
        """Ask, and write down what was asked and how it ended."""
        answer = yield from ask(question)
        found = f"{len(answer.records)} found" if answer.records else answer.outcome.value
        what = _RECORD_TYPES.get(type(question).__name__, "")
        self.note(f"{what} of {name}: {found}", source, data=_listed(answer.records), question=question)
        return answer

    def addresses(self, name: str, *, counts: bool = True) -> Asking[tuple[Address, ...]]:
        """The addresses of a host, of the client's family."""
        question: Question[DnsAnswer[str]] = (
            AddressesOf(name) if self.client.version == 4 else V6AddressesOf(name)
        )
        found = yield from self.records(question, name, counts=counts)
        return _addresses(found)

    def validated_names(self, *, counts: bool = False) -> Asking[tuple[str, ...]]:
        """The names of the client that lead back to it, in the DNS's order (§5.5). A failure means: no names."""
        if self.validated is None:
            answer = yield from self.answer(NamesOf(str(self.client)), str(self.client))
            if not answer.records and not answer.outcome.is_temporary and counts:
                self.count_void()
            self.validated = yield from self._leading_back(answer.records[:MOST_NAMES])
        return self.validated

    def _leading_back(self, names: Sequence[str]) -> Asking[tuple[str, ...]]:
        good = []
        for name in map(askable, names):
            if name is None:
                continue
            try:
                found = yield from self.addresses(name, counts=False)
            except Stop:  # §5.5: that name is skipped
                continue
            if self.client in found:
                good.append(name)
        return tuple(good)

    # --- macros ---

    def target(self, spec: MacroString | None) -> Asking[str | None]:
        """The name that a domain-spec means here, ready to be asked for; None if there can be no such name."""
        if spec is None:
            return askable(self.domain)
        text = yield from self._expanded(spec, LONGEST_NAME + 2)
        if text is None:
            return None
        text = text.removesuffix(".")
        if len(text) > LONGEST_NAME:  # §7.3: labels are taken away from the left
            text = text[-LONGEST_NAME - 1 :].partition(".")[2]
        return askable(text)

    def explanation(self, spec: MacroString) -> Asking[str]:
        """An explanation text expanded. Raises BadTerm where a client's words make it unfit for a reply (§6.2)."""
        text = yield from self._expanded(spec, LONGEST_EXPLANATION + 1)
        if text is None or not (text.isascii() and text.isprintable()):
            raise BadTerm("the explanation is not printable US-ASCII", "RFC 7208 §6.2")
        if len(text) > LONGEST_EXPLANATION:
            raise BadTerm(f"the explanation is longer than {LONGEST_EXPLANATION} characters", "RFC 7208 §6.2")
        return text

    def _expanded(self, spec: MacroString, enough: int) -> Asking[str | None]:
        """The text, or as much of its end as is `enough`. None if it has a local part that no DNS name can have."""
        parts: list[str] = []
        length = 0
        for part in reversed(spec):
            if isinstance(part, str):
                text = part
            elif part.letter in AS_THEY_STAND:
                text = AS_THEY_STAND[part.letter]
            elif part.letter in "sl" and not self.local_part.isascii():
                return None  # RFC 8616 §4
            else:
                value = yield from self._value(part.letter)
                text = transformed(value, part)
            parts.append(text)
            length += len(text)
            if length >= enough:
                break
        return "".join(reversed(parts))

    def _value(self, letter: str) -> Asking[str]:
        """What stands behind a macro letter (§7.2)."""
        if letter == "p":
            name = yield from self._client_name()
            return name
        return _VALUES[letter](self)

    def _client_name(self) -> Asking[str]:
        """%{p}: the domain itself, else a name below it, else any validated name, else "unknown"."""
        names = yield from self.validated_names()
        domain = self.domain.lower().removesuffix(".")
        ranked = sorted(names, key=lambda name: (name != domain, not name.endswith(f".{domain}")))
        return ranked[0] if ranked else "unknown"


def askable(name: str) -> str | None:
    """A name as it is asked for; None if no DNS name can be like that (RFC 1035 §2.3.4)."""
    name = name.removesuffix(".").lower()
    labels = name.split(".")
    is_fit = len(name) <= LONGEST_NAME and all(0 < len(label) <= 63 for label in labels)
    is_plain = name.isascii() and name.isprintable() and "\\" not in name
    return name if is_fit and is_plain else None


def dotted(address: Address) -> str:
    """%{i}: 192.0.2.3, or the 32 nibbles of an IPv6 address with dots between them."""
    return str(address) if address.version == 4 else ".".join(f"{int(address):032X}")


def _addresses(texts: Sequence[str]) -> tuple[Address, ...]:
    found = []
    for text in texts:
        try:
            found.append(ip_address(text))
        except ValueError:  # no address, whatever the lookup says
            continue
    return tuple(found)


def _listed(records: Sequence[object], most: int = 20) -> str:
    shown = [str(getattr(record, "exchange", record)) for record in records[:most]]
    return "\n".join([*shown, f"and {len(records) - most} more"] if len(records) > most else shown)


_RECORD_TYPES = {
    "TextOf": "TXT",
    "AddressesOf": "A",
    "V6AddressesOf": "AAAA",
    "MxOf": "MX",
    "NamesOf": "PTR",
}
_VALUES: dict[str, Callable[[Evaluation], str]] = {
    "s": lambda run: f"{run.local_part}@{run.sender_domain}",
    "l": lambda run: run.local_part,
    "o": lambda run: run.sender_domain,
    "d": lambda run: run.domain,
    "i": lambda run: dotted(run.client),
    "v": lambda run: "in-addr" if run.client.version == 4 else "ip6",
    "h": lambda run: run.helo,
    "c": lambda run: str(run.client),
    "r": lambda run: run.receiver,
    "t": lambda run: str(int(run.now)),
}
