"""The auth room: who vouches for a message. SPF, DKIM, DMARC, ARC, and the field that reports them.

Each evaluator asks its DNS questions by yielding, and returns a result with `.result` in the RFC's words and `.steps`.
The functions here are the plain door for other programs: they take a `lookup(name, rdtype)`, which door.py describes.
An argument of a wrong type raises TypeError with words for what to give, and so does what a lookup should not return.
Each imports its evaluator when it is called: who asks for SPF alone loads no cryptography.

READ NEXT  steps.py, door.py
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from labkit.auth.door import (
    Instant,
    Lookup,
    LookupTimedOut,
    NoSuchName,
    answer_with,
    as_sent,
    seconds,
    text_of,
)

if TYPE_CHECKING:
    from labkit.auth.arc import ArcResult
    from labkit.auth.authentication_results import AuthenticationResults
    from labkit.auth.dkim_result import DkimResult
    from labkit.auth.dmarc import DmarcResult
    from labkit.auth.spf import SpfResult

__all__ = [
    "LookupTimedOut",
    "NoSuchName",
    "check_spf",
    "evaluate_dmarc",
    "parse_authentication_results",
    "validate_arc",
    "verify_dkim",
]


def check_spf(client_ip: str, helo: str, reverse_path: str, lookup: Lookup) -> SpfResult:
    """SPF (RFC 7208) for MAIL FROM, or for HELO where `reverse_path` is "". `.result` is one of pass, fail, softfail,
    neutral, none, temperror, permerror. Raises ValueError if `client_ip` is no address, and what `lookup` raises.
    """
    from labkit.auth.spf import check_host

    given = text_of(client_ip, "client_ip"), text_of(helo, "helo"), text_of(reverse_path, "reverse_path")
    return answer_with(lookup, check_host(*given))


def verify_dkim(message: bytes, lookup: Lookup, now: Instant) -> tuple[DkimResult, ...]:
    """Verify every DKIM signature of a message: one result for each, top to bottom; none: an empty tuple.

    `.result` is one of pass, fail, neutral, policy, permerror, temperror; `.reason` one sentence; `.domain` (d=),
    `.selector`, `.identity` (i=), `.algorithm`; `.broken` says what does not fit ("body", "header", "key" …);
    `.steps` tells all in order. `now` is an aware datetime, or seconds since 1970: signatures expire. A message whose
    lines all end in LF is taken for a stored file. Whatever the message or the DNS says, nothing is raised but what
    `lookup` raises other than its two errors.
    """
    from labkit.auth.dkim_verify import verify

    return answer_with(lookup, verify(as_sent(message), seconds(now)))


def evaluate_dmarc(author_domain: str, spf: Any, dkim: Any, lookup: Lookup) -> DmarcResult:
    """DMARC by RFC 9989 for the domain of From:.

    `spf` and `dkim` are what these found, as (result, domain): one pair, several, or None. For SPF the domain is that
    of MAIL FROM, for DKIM the d= of a signature. The result has `.result` (pass, fail, none, temperror, permerror),
    `.policy` (none, quarantine, reject; None where no record applies), `.policy_domain`, `.aligned_spf`,
    `.aligned_dkim` and `.steps`.
    """
    from labkit.auth.dmarc import evaluate

    return answer_with(lookup, evaluate(text_of(author_domain, "author_domain"), spf, dkim))


def validate_arc(message: bytes, lookup: Lookup, now: Instant) -> ArcResult:
    """Validate the ARC chain of a message (RFC 8617). `.result` is none, pass or fail; `.reason` one sentence; `.sets`
    has each set with its seal and what its server saw; `.oldest_pass`; `.steps`. `now` and the message's line ends are
    as for verify_dkim. Whatever the message or the DNS says, nothing is raised but what `lookup` raises.
    """
    from labkit.auth.arc import validate

    return answer_with(lookup, validate(as_sent(message), seconds(now)))


def parse_authentication_results(value: str | bytes) -> AuthenticationResults:
    """Read the body of an Authentication-Results field (RFC 8601).

    The result has `.authserv_id`, `.version` and `.results`; each of these has `.method`, `.result`, `.reason`,
    `.comments` and `.properties`: (ptype, property, value), found by name too: `.properties["smtp.mailfrom"]`.
    Raises NotAuthenticationResults, a ValueError, for what cannot be read.
    """
    from labkit.auth.authentication_results import parse

    if isinstance(value, bytes | bytearray):
        value = value.decode("utf-8", "replace")
    return parse(text_of(value, "value"))
