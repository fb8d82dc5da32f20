"""Reverse checks: has the client a name that leads back to it, and does its HELO name too?

WHAT       `check_reverse(address)`: PTR, and forward-confirmed reverse DNS; `check_helo(helo, address)`. Both give
           steps, each a fact or a policy.
FACTS      the PTR record's name is what the owner of the address likes to write: anybody may write bank.test there.
           Only if that name leads back to the address have both owners agreed ("forward-confirmed", FCrDNS).
POLICY     RFC 5321 §4.1.4: a server MUST NOT refuse a message only because the HELO name does not lead to the client's
           address. Large receivers refuse clients without a confirmed name all the same, so give your own server one.
ASKS       NamesOf, AddressesOf, V6AddressesOf
STANDARDS  RFC 1035 §3.5 (in-addr.arpa), RFC 5321 §4.1.4, §2.3.5 (HELO), §4.1.3 (literals); RFC 8601 §2.7.3 (iprev);
           RFC 7208 §2.3 (HELO names may have an SPF record: that is a check by which mail may be refused)
SAFE       the first ten names are looked at (as in SPF, RFC 7208 §4.6.4).
READ NEXT  ../auth/spf.py
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address, ip_address

from labkit.filters.blocklist import LONGEST_NAME, NotAskable, is_name
from labkit.filters.steps import Step
from labkit.mail.asking import Asking, Question, ask
from labkit.mail.questions import AddressesOf, DnsAnswer, NamesOf, V6AddressesOf
from labkit.mail.visible import visible

MOST_NAMES = 10
Address = IPv4Address | IPv6Address


@dataclass(frozen=True, slots=True)
class ReverseFindings:
    """`result`: pass, fail, permerror or temperror, the words of iprev (RFC 8601 §2.7.3).

    `names` are the PTR records, `confirmed` those that lead back.
    """

    address: str
    result: str
    names: tuple[str, ...]
    confirmed: tuple[str, ...]
    steps: tuple[Step, ...]

    def __str__(self) -> str:
        return "\n".join([f"{self.address}: {self.result}", *map(str, self.steps)])


@dataclass(frozen=True, slots=True)
class HeloFindings:
    """`is_valid`: a name or literal as the RFC wants it; `leads_here`: None if it could not be found out."""

    helo: str
    is_valid: bool
    leads_here: bool | None
    steps: tuple[Step, ...]

    def __str__(self) -> str:
        return "\n".join([f"HELO {visible(self.helo[:LONGEST_NAME])}", *map(str, self.steps)])


def check_reverse(address: str) -> Asking[ReverseFindings]:
    """Look for names of the address, and whether they lead back. Raises NotAskable for what is no address."""
    client = _read(address)
    if client is None:
        raise NotAskable(f"{address[:60]!r} is no address: write 203.0.113.9 or 2001:db8::9")
    question = NamesOf(str(client))
    answer = yield from ask(question)
    if answer.outcome.is_temporary:
        step = Step(
            "its names could not be asked for; later perhaps", None, "RFC 1035 §3.5", question=question
        )
        return ReverseFindings(str(client), "temperror", (), (), (step,))
    names = tuple(str(each).removesuffix(".").lower()[: LONGEST_NAME + 1] for each in answer.records)
    if not names:
        step = Step("it has no name (no PTR record)", False, "RFC 1035 §3.5", question=question)
        return ReverseFindings(str(client), "permerror", (), (), (step, _POLICY))
    steps = [Step(f"it is called {', '.join(names[:MOST_NAMES])}", True, "RFC 1035 §3.5", question=question)]
    confirmed: list[str] = []
    is_known = True
    for name in names[:MOST_NAMES]:
        leads, step = yield from _leads_to(name, client)
        steps.append(step)
        is_known = is_known and leads is not None
        if leads:
            confirmed.append(name)
    if len(names) > MOST_NAMES:
        steps.append(Step(f"{len(names) - MOST_NAMES} more names are not looked at", None, "RFC 7208 §4.6.4"))
    result = "pass" if confirmed else "fail" if is_known else "temperror"
    if result == "fail":
        steps.append(_POLICY)
    return ReverseFindings(str(client), result, names, tuple(confirmed), tuple(steps))


_POLICY = Step(
    "many receivers refuse or suspect such a client; the RFCs do not ask for it", None, is_policy=True
)
_HELO_POLICY = Step(
    "a server must not refuse mail only because HELO does not lead to the client; it may count it with other signs",
    None,
    "RFC 5321 §4.1.4",
    is_policy=True,
)


def _leads_to(name: str, client: Address) -> Asking[tuple[bool | None, Step]]:
    """Whether the addresses of a name have the client among them; None if nobody could say."""
    if not is_name(name):
        return False, Step(f"{name[:80]} is no name that can be asked for", False)
    question: Question[DnsAnswer[str]] = AddressesOf(name) if client.version == 4 else V6AddressesOf(name)
    answer = yield from ask(question)
    if answer.outcome.is_temporary:
        return None, Step(f"{name}: its addresses could not be asked for", None, question=question)
    if client in _addresses(answer.records):
        return True, Step(
            f"{name} leads back to {client}: confirmed", True, "RFC 8601 §2.7.3", question=question
        )
    found = ", ".join(str(each)[:60] for each in answer.records[:MOST_NAMES]) or "no address"
    return False, Step(
        f"{name} leads to {found}, not to {client}", False, "RFC 8601 §2.7.3", question=question
    )


def check_helo(helo: str, address: str) -> Asking[HeloFindings]:
    """Is this a name as HELO should have, and does it lead to the client? Raises NotAskable for a wrong address."""
    client = _read(address)
    if client is None:
        raise NotAskable(f"{address[:60]!r} is no address: write 203.0.113.9 or 2001:db8::9")
    if helo.startswith("[") and helo.endswith("]"):
        literal = _read(helo[1:-1].removeprefix("IPv6:"))
        if literal is None:
            step = Step(f"{helo[:80]} is no address literal", False, "RFC 5321 §4.1.3")
            return HeloFindings(helo, False, False, (step, _HELO_POLICY))
        is_same = literal == client
        words = f"the literal is {'' if is_same else 'not '}the client's own address"
        return HeloFindings(helo, True, is_same, (Step(words, is_same, "RFC 5321 §4.1.3"),))
    name = helo.removesuffix(".").lower()
    if not is_name(name) or "." not in name or _read(name) is not None:
        words = f"{helo[:80]} is no full domain name"
        return HeloFindings(helo, False, False, (Step(words, False, "RFC 5321 §2.3.5"), _HELO_POLICY))
    first = Step("it is a full domain name", True, "RFC 5321 §2.3.5")
    leads, step = yield from _leads_to(name, client)
    spf = Step("whether its owner lets this client use it, SPF of the HELO name tells", None, "RFC 7208 §2.3")
    steps = (first, step, spf) if leads else (first, step, _HELO_POLICY, spf)
    return HeloFindings(helo, True, leads, steps)


def _read(text: str) -> Address | None:
    try:
        return None if "%" in text else ip_address(text)
    except ValueError:
        return None


def _addresses(texts: Sequence[object]) -> set[Address]:
    return {found for each in texts if (found := _read(str(each))) is not None}
