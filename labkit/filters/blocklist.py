"""DNS block lists: is an address or a domain listed, and is the list itself alive?

WHAT       `query_name(address or domain, zone)`; `listed(..., zone)` asks for one entry; `check_list(zone)` asks for
           the test entries that each list must have, before it is trusted.
RULES      an A record within 127.0.0.0/8 lists; its value says why, as the list explains it. An answer outside is no
           listing: whoever bought the domain of a dead list may answer everything with the address of a web server.
           No answer is not "not listed": it is unknown.
ASKS       AddressesOf the name; TextOf it for the reason, if it is listed
STANDARDS  RFC 5782 §2.1 (IPv4), §2.4 (IPv6), §3 (domains), §5 (test entries); RFC 6471 (how lists should be run)
SAFE       names that no DNS name can be like are not asked for. At most 20 records are shown, 200 characters each,
           and nothing in them hides.
READ NEXT  reverse.py
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from ipaddress import ip_address

from labkit.filters.steps import Step
from labkit.mail.asking import Asking, ask
from labkit.mail.plainly import SaidPlainly
from labkit.mail.questions import AddressesOf, TextOf
from labkit.mail.visible import visible

TEST_ENTRY, NEVER_LISTED = "127.0.0.2", "127.0.0.1"
TEST_ENTRY_V6, NEVER_LISTED_V6 = "::ffff:127.0.0.2", "::ffff:127.0.0.1"
TEST_DOMAIN, NEVER_LISTED_DOMAIN = "test", "invalid"
MOST_RECORDS, LONGEST_REASON = 20, 200
LONGEST_NAME = 253
_LABEL = re.compile(r"[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?", re.IGNORECASE | re.ASCII)


class NotAskable(SaidPlainly, ValueError):
    """What is neither an address nor a domain, or a zone that is no name."""


@dataclass(frozen=True, slots=True)
class Listed:
    """What a list says. `codes`: its answers within 127.0.0.0/8; `strange`: those outside; `reason`: its TXT record.

    `is_known` is False if nobody answered: then nothing is known, either way.
    """

    name: str
    codes: tuple[str, ...] = ()
    reason: str = ""
    strange: tuple[str, ...] = ()
    is_known: bool = True

    @property
    def is_listed(self) -> bool:
        return bool(self.codes)

    @property
    def words(self) -> str:
        if not self.is_known:
            return f"{self.name}: no answer"
        if self.codes:
            reason = f": {self.reason}" if self.reason else ""
            return f"{self.name}: listed as {', '.join(self.codes)}{reason}"
        if self.strange:
            return f"{self.name}: answered {', '.join(self.strange)}, which lists nobody"
        return f"{self.name}: not listed"


@dataclass(frozen=True, slots=True)
class ListFindings:
    """What the test entries of a list tell. `is_fit`: whether one may use it; None if it did not answer."""

    zone: str
    steps: tuple[Step, ...]
    is_fit: bool | None
    words: str

    def __str__(self) -> str:
        return "\n".join([f"{self.zone}: {self.words}", *map(str, self.steps)])


def query_name(what: str, zone: str) -> str:
    """Under which name a list has an address (turned round: RFC 5782 §2.1, §2.4) or domain (§3). Raises NotAskable."""
    zone = zone.strip().removesuffix(".").lower()
    try:
        address = ip_address("" if "%" in what else what)  # fe80::1%eth0 is of one machine alone
    except ValueError:
        front = what.strip().removesuffix(".").lower()
        if re.fullmatch(r"[\d.]*|.*[:/%].*", front, re.DOTALL):
            raise NotAskable(f"{what[:60]!r} is no address: write 203.0.113.9 or 2001:db8::9") from None
    else:
        front = (
            _reversed(address.exploded.replace(":", "")) if address.version == 6 else _turned(str(address))
        )
    name = f"{front}.{zone}"
    if not is_name(name):
        raise NotAskable(f"{name[:80]!r} cannot be a DNS name: a list is written like bl.test")
    return name


def _turned(address: str) -> str:
    return ".".join(reversed(address.split(".")))


def _reversed(nibbles: str) -> str:
    return ".".join(reversed(nibbles))


def is_name(name: str) -> bool:
    """Whether this can stand in the DNS as the name of a host or of an entry (RFC 1035 §2.3.4)."""
    return len(name) <= LONGEST_NAME and all(_LABEL.fullmatch(label) for label in name.split("."))


def listed(what: str, zone: str) -> Asking[Listed]:
    """Ask a list for an address or a domain. Raises NotAskable."""
    name = query_name(what, zone)
    answer = yield from ask(AddressesOf(name))
    if answer.outcome.is_temporary:
        return Listed(name, is_known=False)
    records = [_shown(each) for each in answer.records[:MOST_RECORDS]]
    codes = tuple(each for each in records if is_code(each))
    strange = tuple(each for each in records if not is_code(each))
    if not codes:
        return Listed(name, strange=strange)
    texts = yield from ask(TextOf(name))
    reason = _shown(texts.records[0]) if texts.records else ""
    return Listed(name, codes, reason, strange)


def _shown(record: object) -> str:
    """What a list says, on one line: it is text of others."""
    return visible(str(record)[:LONGEST_REASON]).replace("\n", "\\n").replace("\t", "\\t")


def is_code(record: str) -> bool:
    """Whether an answer lists: an IPv4 address within 127.0.0.0/8 (RFC 5782 §2.1)."""
    try:
        address = ip_address(record)
    except ValueError:
        return False
    return address.version == 4 and address.is_loopback


def check_list(zone: str, kind: str = "ipv4") -> Asking[ListFindings]:
    """Does this list live, and does it tell one from the other? `kind`: ipv4, ipv6 or domain. Raises NotAskable.

    Do it before the list is used, and now and then: a dead list lists nobody, or everybody.
    """
    entries = {
        "ipv4": (TEST_ENTRY, NEVER_LISTED),
        "ipv6": (TEST_ENTRY_V6, NEVER_LISTED_V6),
        "domain": (TEST_DOMAIN, NEVER_LISTED_DOMAIN),
    }
    if kind not in entries:
        raise NotAskable(f"a list is of kind ipv4, ipv6 or domain, not {kind[:20]!r}")
    always, never = entries[kind]
    present = yield from listed(always, zone)
    absent = yield from listed(never, zone)
    is_fit, words = _judged(present, absent)
    return ListFindings(zone, tuple(_steps(always, present, never, absent)), is_fit, words)


def _judged(present: Listed, absent: Listed) -> tuple[bool | None, str]:
    if not present.is_known or not absent.is_known:
        return None, "it does not answer: each message would wait for it. Try again, or take it out"
    if absent.is_listed and present.is_listed:
        return False, "it lists everybody: every message would be refused"
    if present.strange or absent.strange:
        return False, "its answers are no listings: perhaps its domain has another owner. Take it out"
    if not present.is_listed:
        return False, "its test entry is missing: it is dead and lists nobody, or it is no list"
    return True, "it lives and tells one from the other"


def _steps(always: str, present: Listed, never: str, absent: Listed) -> Iterator[Step]:
    good = present.is_listed if present.is_known else None
    yield Step(
        f"{always} must be listed. {present.words}", good, "RFC 5782 §5", question=AddressesOf(present.name)
    )
    good = not absent.is_listed and not absent.strange if absent.is_known else None
    yield Step(f"{never} must not be. {absent.words}", good, "RFC 5782 §5", question=AddressesOf(absent.name))
