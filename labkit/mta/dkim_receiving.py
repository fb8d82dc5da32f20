"""DKIM of what comes in: signatures are verified, acl_smtp_dkim is run for each of them, and the log is told.

DOES       `DkimReceiving.judge` does all of it between the end of a message and acl_smtp_data; then $dkim_… variables
           and ${authresults} know what came of it.
DECIDES    for whom the ACL is run (dkim_verify_signers): once for each signature of that domain or identity, once if
           there is none; what is not accepted ends it.
LIKE EXIM  an ACL may set dkim_verify_status and dkim_verify_reason: the log and ${authresults} show that then. Behind
           the ACL $dkim_verify_status holds all results, with colons between. Without an ACL only the log is told
STANDARDS  Exim specification, chapter "DKIM, SPF, SRS and DMARC"
READ NEXT  auth/exim_dkim_verify.py, authentication_results.py
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from labkit.auth import exim_dkim_verify as exim
from labkit.auth.exim_dkim import SignatureField
from labkit.auth.exim_dkim_verify import Judged, Rules, verify_as_exim
from labkit.eximconf.configuration import Options
from labkit.eximconf.expansion import Value
from labkit.eximconf.expansion.outcomes import Tainted
from labkit.eximconf.expansion.splitting import split_list
from labkit.mail.asking import Asking
from labkit.mta.variables import DKIM_AT_REST
from labkit.smtp.acl import AclVerdict, Phase, Result

if TYPE_CHECKING:
    from labkit.mta.session import Session

_OF_SIGNATURES = (
    *("dkim_algo", "dkim_canon_body", "dkim_canon_headers", "dkim_copiedheaders", "dkim_cur_signer"),
    *("dkim_domain", "dkim_headernames", "dkim_identity", "dkim_key_notes", "dkim_selector", "dkim_signers"),
    *("dkim_verify_reason", "dkim_verify_status"),
)
_REASONS = {
    exim.BODY: "bodyhash_mismatch",
    exim.MESSAGE: "signature_incorrect",
    exim.UNAVAILABLE: "pubkey_unavailable",
    exim.SYNTAX: "pubkey_dns_syntax",
    exim.IMPORT: "pubkey_der_syntax",
    exim.TOO_SHORT: "pubkey_too_short",
}
_IN_LOG = {
    exim.BODY: "body hash mismatch (body probably modified in transit)",
    exim.MESSAGE: "signature did not verify (headers probably modified in transit)",
    exim.TOO_SHORT: "signature invalid (key too short)",
    exim.UNAVAILABLE: "public key record (currently?) unavailable",
    exim.SYNTAX: "syntax error in public key record",
    exim.IMPORT: "syntax error in public key record",
    exim.TAG_MISSING: "signature tag missing or invalid",
    exim.VERSION: "unsupported DKIM version",
}
_SIZE = re.compile(r'([A-Za-z0-9]+)\s*=\s*"?([0-9]{1,9})')


class _Ours(str):
    """A result that no ACL has put there: `set` leaves another object, even with the same words."""


@dataclass(slots=True)
class Signature:
    """A signature, and whether an ACL has put its own result in the place of ours."""

    judged: Judged
    is_overridden: bool = False

    @property
    def field(self) -> SignatureField:
        return self.judged.field

    @property
    def passes(self) -> bool:
        return self.judged.status == exim.PASS and not self.is_overridden

    @property
    def status(self) -> str:
        return exim.NONE if self.is_overridden else self.judged.status

    @property
    def reason(self) -> str:
        return "" if self.is_overridden else _REASONS.get(self.judged.problem, "")


class DkimReceiving:
    """The signatures of the message that one session is receiving."""

    def __init__(self, session: Session) -> None:
        self.session = session
        self.signatures: list[Signature] = []
        self.passed_for = ""  # DKIM= of the log

    def forget(self) -> None:
        """The message is over."""
        self.signatures, self.passed_for = [], ""
        values = self.session.env.variables
        for name in _OF_SIGNATURES:
            values.pop(name, None)
        values |= DKIM_AT_REST

    def judge(self, content: bytes) -> Asking[AclVerdict | None]:
        """Verify, and run the ACL. None: nothing was decided, or all of it is accepted."""
        session = self.session
        if not session.scene.effects.verifies_dkim:
            return None
        found = yield from verify_as_exim(content, rules_of(session.main))
        for line in found.log:
            is_early = found.error == exim.EXCESS_SIGNATURES and line is found.log[0]
            session.log.tell(line, has_id=not is_early)
        self.signatures = [Signature(each) for each in found.signatures]
        values = session.env.variables
        named = [
            name for each in self.signatures for name in (each.field.domain, each.field.identity) if name
        ]
        values["dkim_signers"] = _listed(named)
        signers = session.main.expansion("dkim_verify_signers")
        if not session.main.has("acl_smtp_dkim") or signers is None or not signers.text:
            for signature in self.signatures:
                self._tell(signature)
            return None
        outcome = yield from signers.asking(session.env)
        if not isinstance(outcome, Value):
            words = f"expansion of dkim_verify_signers option failed: {outcome.message}"
            session.log.tell(words, ("main", "panic"))
            return None
        return (yield from self._ask_acl(split_list(outcome.text), bool(found.error)))

    def _ask_acl(self, signers: tuple[str, ...], is_off: bool) -> Asking[AclVerdict | None]:
        """`is_off`: nothing could be verified, and nobody is asked."""
        values = self.session.env.variables
        results: list[str] = []
        verdict: AclVerdict | None = None
        for signer in dict.fromkeys(filter(None, signers)):
            values["dkim_cur_signer"] = signer
            values["dkim_verify_status"], values["dkim_verify_reason"] = _Ours(exim.NONE), _Ours()
            if is_off:
                continue
            of_them = [each for each in self.signatures if _is_by(each.field, signer)]
            for signature in of_them or (None,):
                self._set_variables(signature)
                verdict = yield from self.session.judge(Phase.DKIM)
                if signature is not None:
                    self._tell(signature)
                results.append(values["dkim_verify_status"])
                if verdict is not None and verdict.result is not Result.ACCEPT:
                    values["dkim_verify_status"] = _listed(results)
                    return verdict
        values["dkim_verify_status"] = _listed(results)
        return None

    def _set_variables(self, signature: Signature | None) -> None:
        """Without a signature domain, selector and length stay what they were."""
        values = self.session.env.variables
        for name in _OF_SIGNATURES:
            if name not in ("dkim_cur_signer", "dkim_domain", "dkim_selector", "dkim_signers"):
                values.pop(name, None)
        values |= {name: text for name, text in DKIM_AT_REST.items() if name != "dkim_key_length"}
        if signature is None:
            values["dkim_verify_status"], values["dkim_verify_reason"] = _Ours(exim.NONE), _Ours()
            return
        values |= _of_field(signature.field) | _of_key(signature.judged)
        values["dkim_verify_status"] = _Ours(signature.status)
        values["dkim_verify_reason"] = _Ours(signature.reason)

    def _tell(self, signature: Signature) -> None:
        """One line for the log; what an ACL has set counts from here on."""
        values = self.session.env.variables
        status, reason = values.get("dkim_verify_status"), values.get("dkim_verify_reason", "")
        by_acl = not self.passed_for and status is not None
        if status == exim.PASS if by_acl else signature.passes:
            self.passed_for = signature.field.domain or ""
        if status is not None and not (isinstance(status, _Ours) and isinstance(reason, _Ours)):
            signature.is_overridden = True
        result = f"{status} - {reason}" if signature.is_overridden else _result(signature.judged)
        self.session.log.tell(f"DKIM: {_described(signature.field)} [{result}]", selector="dkim_verbose")


def rules_of(main: Options) -> Rules:
    """What the configuration says of signatures."""
    sizes = [(name, int(bits)) for name, bits in _SIZE.findall(main.text("dkim_verify_min_keysizes") or "")]
    return Rules(
        main.texts("dkim_verify_hashes"),
        main.texts("dkim_verify_keytypes"),
        tuple(sizes),
        main.flag("dkim_verify_minimal"),
    )


def _is_by(field: SignatureField, signer: str) -> bool:
    name = field.identity if "@" in signer else field.domain
    return name is not None and name.lower() == signer.lower()


def _listed(items: list[str]) -> str:
    return ":".join(item.replace(":", "::") for item in items)


def _of_field(field: SignatureField) -> dict[str, str]:
    known = {
        "dkim_domain": Tainted(field.domain or ""),
        "dkim_selector": Tainted(field.selector or ""),
        "dkim_identity": field.identity or "",
        "dkim_algo": field.algorithm,
        "dkim_canon_body": field.canon_body,
        "dkim_canon_headers": field.canon_header,
        "dkim_copiedheaders": field.copied or "",
        "dkim_headernames": field.names or "",
    }
    if field.body_length >= 0:
        known["dkim_bodylength"] = str(field.body_length)
    if field.created:
        known["dkim_created"] = str(field.created)
    if field.expires:
        known["dkim_expires"] = str(field.expires)
    return known


def _of_key(judged: Judged) -> dict[str, str]:
    known = {"dkim_key_length": str(judged.bits)}
    if (key := judged.key) is not None:
        known |= {
            "dkim_key_granularity": key.granularity,
            "dkim_key_srvtype": key.services,
            "dkim_key_notes": key.notes or "",
            "dkim_key_testing": str(int(key.is_testing)),
            "dkim_key_nosubdomains": str(int(key.forbids_subdomains)),
        }
    return known


def _described(field: SignatureField) -> str:
    unset = "<UNSET>"
    words = (
        f"d={field.domain or unset} s={field.selector or unset} c={field.canon_header}/{field.canon_body}"
        f" a={field.algorithm} b={len(field.signature or b'') * 8}"
    )
    words += f" i={field.identity}" if field.identity is not None else ""
    words += f" t={field.created}" if field.created else ""
    words += f" x={field.expires}" if field.expires else ""
    return words + (f" l={field.body_length}" if field.body_length >= 0 else "")


def _result(judged: Judged) -> str:
    if judged.status == exim.PASS:
        return "verification succeeded"
    if judged.status == exim.NONE:
        return "not verified"
    if judged.status == exim.INVALID:
        return f"invalid - {_IN_LOG[judged.problem]}"
    return f"verification failed - {_IN_LOG.get(judged.problem, 'unspecified reason')}"
