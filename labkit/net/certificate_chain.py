"""Who vouches for a certificate? The way from the server's own to an authority that is trusted, step by step.

WHAT       `check_chain(chain, authorities, now)`: a `Checked` with its steps, up to the first that fails.
DECIDES    as OpenSSL does in a handshake (which is what judges it in the tests): signatures, dates, who may sign, for
           what purpose, and for which names.
RULES      nothing is raised for what somebody else has put into a certificate. `now` is real time: no certificate knows
           of a lab's clock.
STANDARDS  RFC 5280 §4.2.1 (extensions), §6.1 (path validation)
SIMPLER    of what an authority may sign for, names and addresses of hosts alone are looked at
LIKE       openssl verify -purpose sslserver
READ NEXT  tls_trust.py
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Any

from cryptography import x509

from labkit.net.certificate_check import Checked, Step
from labkit.net.certificate_facts import (
    extension,
    general_names,
    is_authority,
    issuer_name,
    key_fits,
    key_of,
    purposes,
    serves,
    who,
)
from labkit.net.tls_trust import load

LONGEST_CHAIN = 10
MOST_LIMITED = 2**20  # names times limits of an authority: beyond that OpenSSL compares none
WEAK_BITS = 2048  # of an RSA key: OpenSSL's security level 2, Debian's, refuses fewer


def check_chain(chain: Sequence[bytes], authorities: Sequence[bytes], now: datetime) -> Checked:
    """The way from the first certificate of `chain` to one of `authorities` (all DER)."""
    if not chain:
        return Checked((Step("Has the server shown a certificate?", "no", False, "RFC 8446 §4.4.2"),))
    try:
        shown = [load(each) for each in chain[:LONGEST_CHAIN]]
    except ValueError:
        return Checked((Step("Can they be read?", "one is no certificate", False, "RFC 5280 §4.1"),))
    trusted = []
    for each in authorities:
        try:
            trusted.append(load(each))
        except ValueError:  # it vouches for nobody
            continue
    return _Way(shown, trusted, now).checked()


class _Way:
    """One walk from the server's certificate upwards."""

    def __init__(
        self, shown: Sequence[x509.Certificate], trusted: Sequence[x509.Certificate], now: datetime
    ) -> None:
        self.shown, self.trusted, self.now = list(shown), list(trusted), now
        self.steps: list[Step] = []

    def checked(self) -> Checked:
        for _ in self._walk():  # it ends at the first step that fails
            if not self.steps[-1].is_good:
                break
        return Checked(tuple(self.steps))

    def _say(self, question: str, found: str, is_good: bool, source: str) -> bool:
        self.steps.append(Step(question, found, is_good, source))
        return is_good

    def _walk(self) -> Iterator[bool]:
        owner = self.shown[0]
        way = [owner]
        yield self._say("Whose certificate comes first?", who(owner), True, "RFC 8446 §4.4.2")
        yield from self._not_understood(owner)
        while not self._is_anchor(way[-1]):
            issuer = self._issuer_of(way)
            if issuer is None:
                yield self._no_issuer(way[-1])
                return
            way.append(issuer)
            yield self._say(
                f"Who has signed it ({who(way[-2])})?", self._where(issuer), True, "RFC 5280 §6.1"
            )
            yield from self._not_understood(issuer)
            yield self._may_sign(issuer, len(way) - 2, way)
            yield self._has_signed(issuer, way[-2])
        yield self._say("Is the last one trusted?", f"yes: {who(way[-1])}", True, "RFC 5280 §6.1.1 (d)")
        yield self._for_servers(owner)
        yield self._names_allowed(way)
        for each in way:
            yield self._strong(each)
        for each in way:
            yield self._dates(each)

    def _not_understood(self, certificate: x509.Certificate) -> Iterator[bool]:
        """Said only of a certificate with an extension that must be understood, and that nobody here understands."""
        try:
            odd = [each.oid.dotted_string for each in certificate.extensions if _is_odd(each)]
        except Exception as problem:  # of many kinds
            words = f"no: its extensions cannot be read ({str(problem)[:60]})"
        else:
            if not odd:
                return
            words = f"no: {', '.join(odd[:5])} is critical, and nobody here knows what it says"
        yield self._say(f"Can all of {who(certificate)} be understood?", words, False, "RFC 5280 §4.2")

    def _is_anchor(self, certificate: x509.Certificate) -> bool:
        return certificate in self.trusted and certificate.subject == certificate.issuer

    def _issuer_of(self, way: list[x509.Certificate]) -> x509.Certificate | None:
        """Whose subject is the issuer's name, and whose key is the one that the certificate tells of."""
        if len(way) > LONGEST_CHAIN or way[-1].subject == way[-1].issuer:
            return None
        for each in (*self.trusted, *self.shown):
            if each.subject == way[-1].issuer and each not in way and key_fits(each, way[-1]):
                return each
        return None

    def _where(self, issuer: x509.Certificate) -> str:
        here = "among those that we trust" if issuer in self.trusted else "the server has sent it too"
        return f"{who(issuer)} ({here})"

    def _no_issuer(self, last: x509.Certificate) -> bool:
        if last.subject == last.issuer:
            alone = last is self.shown[0]
            words = (
                "it has signed itself, and nobody else vouches for it"
                if alone
                else "its end is not among those that we trust"
            )
            return self._say(f"Who vouches for {who(last)}?", words, False, "RFC 5280 §6.1.1 (d)")
        words = f"{issuer_name(last)}: neither sent by the server nor among those that we trust"
        return self._say(f"Who has signed it ({who(last)})?", words, False, "RFC 5280 §6.1; RFC 8446 §4.4.2")

    def _may_sign(self, issuer: x509.Certificate, below: int, way: list[x509.Certificate]) -> bool:
        """`below`: how many authorities are between it and the server."""
        question = f"May {who(issuer)} sign certificates?"
        if not is_authority(issuer):
            return self._say(question, "no: it is no authority (CA:FALSE)", False, "RFC 5280 §4.2.1.9")
        usage = extension(issuer, x509.KeyUsage)
        if usage is not None and not usage.key_cert_sign:
            return self._say(question, "no: its key is not for that (keyUsage)", False, "RFC 5280 §4.2.1.3")
        basic = extension(issuer, x509.BasicConstraints)
        limit = None if basic is None else basic.path_length
        between = sum(each.subject != each.issuer for each in way[1 : below + 1])
        if limit is not None and between > limit:
            words = f"no: {between} authorities below it, and it allows {limit}"
            return self._say(question, words, False, "RFC 5280 §4.2.1.9")
        if not serves(issuer):
            return self._say(question, "no: not for servers (extKeyUsage)", False, "RFC 5280 §4.2.1.12")
        return self._say(question, "yes (CA:TRUE)", True, "RFC 5280 §4.2.1.9")

    def _has_signed(self, issuer: x509.Certificate, owned: x509.Certificate) -> bool:
        question = "Is the signature right?"
        try:
            owned.verify_directly_issued_by(issuer)
        except Exception as problem:  # every kind of key and signature has its own kinds of error
            words = "no" if not str(problem) else f"no: {str(problem)[:100]}"
            return self._say(question, words, False, "RFC 5280 §6.1.3 (a)(1)")
        return self._say(question, "yes", True, "RFC 5280 §6.1.3 (a)(1)")

    def _for_servers(self, owner: x509.Certificate) -> bool:
        question = "Is it for a server?"
        usage = extension(owner, x509.KeyUsage)
        if not serves(owner):
            words = f"no: it is for {', '.join(purposes(owner))}"
            return self._say(question, words, False, "RFC 5280 §4.2.1.12")
        if usage is not None and not (
            usage.digital_signature or usage.key_encipherment or usage.key_agreement
        ):
            return self._say(
                question, "no: its key may not be used so (keyUsage)", False, "RFC 5280 §4.2.1.3"
            )
        said = "yes (serverAuth)" if purposes(owner) else "it does not say for what: for everything"
        return self._say(question, said, True, "RFC 5280 §4.2.1.12")

    def _names_allowed(self, way: list[x509.Certificate]) -> bool:
        """Authorities that may sign for some domains only."""
        question, limited = "Do its authorities allow these names?", False
        names = [each for each in general_names(way[0]) if isinstance(each, (x509.DNSName, x509.IPAddress))]
        for issuer in way[1:]:
            limits = extension(issuer, x509.NameConstraints)
            if limits is None:
                continue
            limited = True
            permitted, excluded = limits.permitted_subtrees or (), limits.excluded_subtrees or ()
            if len(names) * (len(permitted) + len(excluded)) > MOST_LIMITED:
                words = f"{len(names):,} names and so many limits are too much to compare"
                return self._say(question, words, False, "RFC 5280 §4.2.1.10")
            for name in names:
                if _is_barred(name, permitted, excluded):
                    words = f"no: {who(issuer)} may not sign for {name.value}"
                    return self._say(question, words, False, "RFC 5280 §4.2.1.10")
        said = "yes" if limited else "nobody limits them"
        return self._say(question, said, True, "RFC 5280 §4.2.1.10")

    def _strong(self, certificate: x509.Certificate) -> bool:
        kind, bits = key_of(certificate)
        weak = kind.startswith("RSA") and bits < WEAK_BITS
        words = f"no: {kind}" if weak else f"yes: {kind}"
        return self._say(f"Is the key of {who(certificate)} strong?", words, not weak, "RFC 9325 §4.5")

    def _dates(self, certificate: x509.Certificate) -> bool:
        begin, end = certificate.not_valid_before_utc, certificate.not_valid_after_utc
        question = f"Is {who(certificate)} valid now?"
        if self.now < begin:
            return self._say(question, f"not yet: from {begin:%Y-%m-%d}", False, "RFC 5280 §4.1.2.5")
        if self.now > end:
            return self._say(question, f"no more: until {end:%Y-%m-%d}", False, "RFC 5280 §4.1.2.5")
        return self._say(question, f"yes: {begin:%Y-%m-%d} to {end:%Y-%m-%d}", True, "RFC 5280 §4.1.2.5")


def _is_odd(extension: x509.Extension[x509.ExtensionType]) -> bool:
    return extension.critical and isinstance(extension.value, x509.UnrecognizedExtension)


def _is_barred(
    name: x509.GeneralName, permitted: Sequence[x509.GeneralName], excluded: Sequence[x509.GeneralName]
) -> bool:
    """Only limits of the name's own kind count."""
    kind = type(name)
    allowed = [each for each in permitted if type(each) is kind]
    if allowed and not any(_is_within(name.value, each.value) for each in allowed):
        return True
    return any(type(each) is kind and _is_within(name.value, each.value) for each in excluded)


def _is_within(name: Any, limit: Any) -> bool:
    """A limit is a network, or a domain; with a dot in front only what is below it."""
    if not isinstance(name, str):
        return bool(name.version == limit.version and name in limit)
    domain = str(limit).lower()
    if domain.startswith("."):
        return name.lower().endswith(domain)
    return not domain or name.lower() == domain or name.lower().endswith(f".{domain}")
