"""${authresults {name}}: the field Authentication-Results as Exim writes it.

WHAT       `hook(session)` is what the Env of a session calls.
LIKE EXIM  the words, the folds and `tmperror`; what was not looked at is not in it
STANDARDS  Exim specification, section "Expansion items"; RFC 8601 (the field)
READ NEXT  dkim_receiving.py
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

from labkit.auth import exim_dkim_verify as exim
from labkit.eximconf.expansion.env import AuthHook
from labkit.eximconf.expansion.outcomes import Tainted
from labkit.mail.asking import Asking
from labkit.mta.dkim_receiving import Signature
from labkit.smtp.auth.server import ServerAuthenticator

if TYPE_CHECKING:
    from labkit.mta.session import Session

_INVALID = {
    exim.UNAVAILABLE: "tmperror (pubkey unavailable)",
    exim.SYNTAX: "neutral (public key record import problem)",
    exim.IMPORT: "neutral (public key record import problem)",
    exim.TAG_MISSING: "neutral (signature tag missing or invalid)",
    exim.VERSION: "neutral (unsupported DKIM version)",
}
_FAIL = {
    exim.BODY: "fail (body hash mismatch; body probably modified in transit)",
    exim.MESSAGE: "fail (signature did not verify; headers probably modified in transit)",
}


def hook(session: Session) -> AuthHook:
    """What `env.authresults` is to be."""

    def written(name: str) -> Asking[str]:
        values = session.env.variables
        by = session.securing.auth.by
        results = [
            *_client(values),
            *_password(values, by),
            *_spf(values),
            *(_dkim(each, values) for each in session.dkim.signatures),
        ]
        return Tainted("".join([f"Authentication-Results: {name}", *(f";\n\t{each}" for each in results)]))
        yield

    return written


def _client(values: Mapping[str, str]) -> Iterator[str]:
    """Whether the client's name was looked for, and found."""
    name, address = values.get("sender_host_name"), values.get("sender_host_address")
    where = f" smtp.remote-ip={address}" if address else ""
    if name:
        yield f"iprev=pass ({name}){where}"
    elif values.get("host_lookup_deferred") == "1":
        yield f"iprev=temperror{where}"
    elif values.get("host_lookup_failed") == "1":
        yield f"iprev=fail{where}"


def _password(values: Mapping[str, str], by: ServerAuthenticator | None) -> Iterator[str]:
    """By which mechanism, and as whom, if server_set_id says it."""
    if by is None:
        return
    sender = values.get("authenticated_sender")
    whose = f" smtp.mailfrom={sender}" if sender else ""
    if by.driver.options.has("server_set_id"):
        yield f"auth=pass ({by.mechanism}) smtp.auth={values.get('authenticated_id', '')}{whose}"
    else:
        yield f"auth=pass ({by.mechanism}, no id saved){whose}"


def _spf(values: Mapping[str, str]) -> Iterator[str]:
    result = values.get("spf_result")
    if not result:
        return
    guessed = " (best guess record for domain)" if values.get("spf_result_guessed") == "yes" else ""
    domain, helo = values.get("sender_address_domain"), values.get("sender_helo_name")
    whose = f"smtp.mailfrom={domain}" if domain else f"smtp.helo={helo}" if helo else "smtp.mailfrom=<>"
    yield f"spf={result}{guessed} {whose}"


def _dkim(signature: Signature, values: Mapping[str, str]) -> str:
    judged, field = signature.judged, signature.field
    if signature.is_overridden:
        status, reason = values.get("dkim_verify_status", ""), values.get("dkim_verify_reason", "")
        words = f"policy ({status} - {reason})"
    elif judged.status in (exim.PASS, exim.NONE):
        words = judged.status
    elif judged.status == exim.INVALID:
        words = f"{_INVALID[judged.problem]}\n\t\t"
    elif judged.problem == exim.TOO_SHORT:
        words = f"fail (public key too short: {judged.bits} bits)\n\t\t"
    else:
        words = f"{_FAIL.get(judged.problem, 'fail (unspecified reason)')}\n\t\t"
    whose = {"d": field.domain, "i": field.identity, "s": field.selector, "a": field.algorithm}
    return f"dkim={words}" + "".join(f" header.{tag}={text}" for tag, text in whose.items() if text)
