"""Is this the server it claims to be? The answer in steps, each with what was asked and what was found.

WHAT       `check_name(certificate, name)`, `check_chain(chain, authorities, now)`: a `Checked` with its steps.
           `read_certificate(der)`: what stands in a certificate, as values.
DECIDES    as OpenSSL does in a handshake (which is what judges it in the tests): the way from the server's certificate
           to an authority that is trusted; signatures, dates, who may sign, for what purpose; then the name. The common
           name is no name of a host any more (RFC 9525); a star is the whole first label and stands for one label.
RULES      nothing is raised for what somebody else has put into a certificate. `now` is real time: no certificate knows
           of a lab's clock.
STANDARDS  RFC 5280 §4.2.1 (extensions), §6.1 (path validation); RFC 9525 §6.3 (names), §6.5 (what is not looked at)
SIMPLER    of what an authority may sign for, names and addresses of hosts alone are looked at
LIKE       openssl verify -purpose sslserver -verify_hostname NAME; but OpenSSL, and Exim too, still takes the common
           name of a certificate that has no other, which RFC 9525 §2 forbids
READ NEXT  tls_trust.py
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, TypeVar

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from labkit.net.tls_trust import load

LONGEST_CHAIN = 10
MOST_NAMES = 100  # that are shown; all are compared
MOST_LIMITED = 2**20  # names times limits of an authority: beyond that OpenSSL compares none
WEAK_BITS = 2048  # of an RSA key: OpenSSL's security level 2, Debian's, refuses fewer
E = TypeVar("E", bound=x509.ExtensionType)


@dataclass(frozen=True, slots=True)
class Step:
    """One question of the check: what was found, and whether that is good. `source` is where the rule stands."""

    question: str
    found: str
    is_good: bool
    source: str


@dataclass(frozen=True, slots=True)
class Checked:
    """The steps of a check, up to the first that fails."""

    steps: tuple[Step, ...]

    @property
    def is_good(self) -> bool:
        return bool(self.steps) and all(step.is_good for step in self.steps)

    @property
    def reason(self) -> str:
        """What is wrong; "" if nothing is."""
        return next((step.found for step in self.steps if not step.is_good), "")

    def __add__(self, other: Checked) -> Checked:
        return Checked((*self.steps, *other.steps))


@dataclass(frozen=True, slots=True)
class CertificateFacts:
    """What stands in a certificate. `key` is like "EC secp256r1, 256 bits"; `fingerprint` is SHA-256."""

    subject: str
    issuer: str
    common_name: str
    names: tuple[str, ...]
    addresses: tuple[str, ...]
    begin: datetime
    end: datetime
    key: str
    bits: int
    is_authority: bool
    purposes: tuple[str, ...]
    signature: str
    serial: str
    fingerprint: str

    @property
    def is_self_issued(self) -> bool:
        return self.subject == self.issuer


def read_certificate(der: bytes) -> CertificateFacts:
    """Raises ValueError for what is no certificate."""
    found = load(der)
    names, addresses = (each[:MOST_NAMES] for each in _alternative(found))
    kind, bits = _key(found)
    return CertificateFacts(
        subject=_subject(found),
        issuer=_issuer(found),
        common_name=_common_name(found),
        names=names,
        addresses=addresses,
        begin=found.not_valid_before_utc,
        end=found.not_valid_after_utc,
        key=kind,
        bits=bits,
        is_authority=_is_authority(found),
        purposes=_purposes(found),
        signature=_signature(found),
        serial=f"{found.serial_number:x}",
        fingerprint=found.fingerprint(hashes.SHA256()).hex(),
    )


# --- the name ---------------------------------------------------------------------------------


def check_name(der: bytes, name: str) -> Checked:
    """Whether a certificate is for that host name or address."""
    try:
        certificate = load(der)
    except ValueError:
        return Checked((Step("Can it be read?", "it is no certificate", False, "RFC 5280 §4.1"),))
    wanted = name.lower().rstrip(".")
    names, addresses = _alternative(certificate)
    try:
        address = ipaddress.ip_address(wanted)
    except ValueError:
        return Checked(tuple(_name_steps(certificate, names, wanted)))
    is_there = str(address) in addresses
    found = f"it has {_some(addresses)}" if addresses else "it has none"
    words = f"{wanted} is an address: is it among the addresses (iPAddress)?"
    return Checked((Step(words, found, is_there, "RFC 9525 §6.4"),))


def _name_steps(certificate: x509.Certificate, names: tuple[str, ...], wanted: str) -> Iterator[Step]:
    common = _common_name(certificate)
    if not names:
        passed = f'; its common name "{common}" counts for nothing' if common else ""
        yield Step(
            "Which host names has it (subjectAltName, dNSName)?", f"none{passed}", False, "RFC 9525 §6.3, §2"
        )
        return
    yield Step("Which host names has it (subjectAltName, dNSName)?", _some(names), True, "RFC 9525 §6.3")
    for each in names:
        verdict, why = _matches(each.lower(), wanted)
        if verdict:
            yield Step(f"Is {wanted} one of them?", f"{each}: {why}", True, "RFC 9525 §6.3")
            return
    reasons = "; ".join(f"{each}: {_matches(each.lower(), wanted)[1]}" for each in names[:5])
    yield Step(f"Is {wanted} one of them?", f"no: {reasons}", False, "RFC 9525 §6.3")


def _matches(pattern: str, name: str) -> tuple[bool, str]:
    """Whether a presented name is that of the host, and why."""
    if "*" not in pattern:
        return (True, "the same name") if pattern == name and name else (False, "another name")
    first, _, rest = pattern.partition(".")
    if first != "*" or "*" in rest:
        return False, "a star must be the whole first label, and there is only one"
    if "." not in rest:
        return False, "a star over a whole top-level domain is not accepted"
    label, _, above = name.partition(".")
    if above == rest and label:
        return True, f'the star stands for "{label}"'
    if name == rest:
        return False, f"a star stands for one label, and {name} has none there"
    if name.endswith(f".{rest}"):
        return False, "a star stands for one label only"
    return False, "another domain"


# --- the chain --------------------------------------------------------------------------------


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
        yield self._say("Whose certificate comes first?", _who(owner), True, "RFC 8446 §4.4.2")
        yield from self._not_understood(owner)
        while not self._is_anchor(way[-1]):
            issuer = self._issuer_of(way)
            if issuer is None:
                yield self._no_issuer(way[-1])
                return
            way.append(issuer)
            yield self._say(
                f"Who has signed it ({_who(way[-2])})?", self._where(issuer), True, "RFC 5280 §6.1"
            )
            yield from self._not_understood(issuer)
            yield self._may_sign(issuer, len(way) - 2, way)
            yield self._has_signed(issuer, way[-2])
        yield self._say("Is the last one trusted?", f"yes: {_who(way[-1])}", True, "RFC 5280 §6.1.1 (d)")
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
        yield self._say(f"Can all of {_who(certificate)} be understood?", words, False, "RFC 5280 §4.2")

    def _is_anchor(self, certificate: x509.Certificate) -> bool:
        return certificate in self.trusted and certificate.subject == certificate.issuer

    def _issuer_of(self, way: list[x509.Certificate]) -> x509.Certificate | None:
        """Whose subject is the issuer's name, and whose key is the one that the certificate tells of."""
        if len(way) > LONGEST_CHAIN or way[-1].subject == way[-1].issuer:
            return None
        for each in (*self.trusted, *self.shown):
            if each.subject == way[-1].issuer and each not in way and _key_fits(each, way[-1]):
                return each
        return None

    def _where(self, issuer: x509.Certificate) -> str:
        here = "among those that we trust" if issuer in self.trusted else "the server has sent it too"
        return f"{_who(issuer)} ({here})"

    def _no_issuer(self, last: x509.Certificate) -> bool:
        if last.subject == last.issuer:
            alone = last is self.shown[0]
            words = (
                "it has signed itself, and nobody else vouches for it"
                if alone
                else "its end is not among those that we trust"
            )
            return self._say(f"Who vouches for {_who(last)}?", words, False, "RFC 5280 §6.1.1 (d)")
        words = f"{_issuer(last)}: neither sent by the server nor among those that we trust"
        return self._say(f"Who has signed it ({_who(last)})?", words, False, "RFC 5280 §6.1; RFC 8446 §4.4.2")

    def _may_sign(self, issuer: x509.Certificate, below: int, way: list[x509.Certificate]) -> bool:
        """`below`: how many authorities are between it and the server."""
        question = f"May {_who(issuer)} sign certificates?"
        if not _is_authority(issuer):
            return self._say(question, "no: it is no authority (CA:FALSE)", False, "RFC 5280 §4.2.1.9")
        usage = _extension(issuer, x509.KeyUsage)
        if usage is not None and not usage.key_cert_sign:
            return self._say(question, "no: its key is not for that (keyUsage)", False, "RFC 5280 §4.2.1.3")
        basic = _extension(issuer, x509.BasicConstraints)
        limit = None if basic is None else basic.path_length
        between = sum(each.subject != each.issuer for each in way[1 : below + 1])
        if limit is not None and between > limit:
            words = f"no: {between} authorities below it, and it allows {limit}"
            return self._say(question, words, False, "RFC 5280 §4.2.1.9")
        if not _serves(issuer):
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
        usage = _extension(owner, x509.KeyUsage)
        if not _serves(owner):
            words = f"no: it is for {', '.join(_purposes(owner))}"
            return self._say(question, words, False, "RFC 5280 §4.2.1.12")
        if usage is not None and not (
            usage.digital_signature or usage.key_encipherment or usage.key_agreement
        ):
            return self._say(
                question, "no: its key may not be used so (keyUsage)", False, "RFC 5280 §4.2.1.3"
            )
        said = "yes (serverAuth)" if _purposes(owner) else "it does not say for what: for everything"
        return self._say(question, said, True, "RFC 5280 §4.2.1.12")

    def _names_allowed(self, way: list[x509.Certificate]) -> bool:
        """Authorities that may sign for some domains only."""
        question, limited = "Do its authorities allow these names?", False
        names = [each for each in _general_names(way[0]) if isinstance(each, (x509.DNSName, x509.IPAddress))]
        for issuer in way[1:]:
            limits = _extension(issuer, x509.NameConstraints)
            if limits is None:
                continue
            limited = True
            permitted, excluded = limits.permitted_subtrees or (), limits.excluded_subtrees or ()
            if len(names) * (len(permitted) + len(excluded)) > MOST_LIMITED:
                words = f"{len(names):,} names and so many limits are too much to compare"
                return self._say(question, words, False, "RFC 5280 §4.2.1.10")
            for name in names:
                if _is_barred(name, permitted, excluded):
                    words = f"no: {_who(issuer)} may not sign for {name.value}"
                    return self._say(question, words, False, "RFC 5280 §4.2.1.10")
        said = "yes" if limited else "nobody limits them"
        return self._say(question, said, True, "RFC 5280 §4.2.1.10")

    def _strong(self, certificate: x509.Certificate) -> bool:
        kind, bits = _key(certificate)
        weak = kind.startswith("RSA") and bits < WEAK_BITS
        words = f"no: {kind}" if weak else f"yes: {kind}"
        return self._say(f"Is the key of {_who(certificate)} strong?", words, not weak, "RFC 9325 §4.5")

    def _dates(self, certificate: x509.Certificate) -> bool:
        begin, end = certificate.not_valid_before_utc, certificate.not_valid_after_utc
        question = f"Is {_who(certificate)} valid now?"
        if self.now < begin:
            return self._say(question, f"not yet: from {begin:%Y-%m-%d}", False, "RFC 5280 §4.1.2.5")
        if self.now > end:
            return self._say(question, f"no more: until {end:%Y-%m-%d}", False, "RFC 5280 §4.1.2.5")
        return self._say(question, f"yes: {begin:%Y-%m-%d} to {end:%Y-%m-%d}", True, "RFC 5280 §4.1.2.5")


# --- what stands in a certificate -------------------------------------------------------------


def _extension(certificate: x509.Certificate, kind: type[E]) -> E | None:
    """None too where the extensions cannot be read: `_Way` refuses such a certificate."""
    try:
        return certificate.extensions.get_extension_for_class(kind).value
    except Exception:  # ExtensionNotFound, or one of many kinds of broken ones
        return None


def _general_names(certificate: x509.Certificate) -> Sequence[x509.GeneralName]:
    found = _extension(certificate, x509.SubjectAlternativeName)
    return () if found is None else tuple(found)


def _alternative(certificate: x509.Certificate) -> tuple[tuple[str, ...], tuple[str, ...]]:
    found = _extension(certificate, x509.SubjectAlternativeName)
    if found is None:
        return (), ()
    names = found.get_values_for_type(x509.DNSName)
    addresses = found.get_values_for_type(x509.IPAddress)
    return tuple(names), tuple(str(each) for each in addresses)


def _serves(certificate: x509.Certificate) -> bool:
    found = _extension(certificate, x509.ExtendedKeyUsage)
    return found is None or ExtendedKeyUsageOID.SERVER_AUTH in found


def _purposes(certificate: x509.Certificate) -> tuple[str, ...]:
    found = _extension(certificate, x509.ExtendedKeyUsage)
    return () if found is None else tuple(getattr(each, "_name", each.dotted_string) for each in found)


def _is_authority(certificate: x509.Certificate) -> bool:
    basic = _extension(certificate, x509.BasicConstraints)
    return basic is not None and basic.ca


def _key_fits(issuer: x509.Certificate, owned: x509.Certificate) -> bool:
    """Where both tell which key it is, it must be the same (RFC 5280 §4.2.1.1)."""
    wanted = _extension(owned, x509.AuthorityKeyIdentifier)
    own = _extension(issuer, x509.SubjectKeyIdentifier)
    if wanted is None or own is None or wanted.key_identifier is None:
        return True
    return wanted.key_identifier == own.digest


def _key(certificate: x509.Certificate) -> tuple[str, int]:
    try:
        key = certificate.public_key()
    except Exception:  # a kind that this library does not know
        return "a key of an unknown kind", 0
    if isinstance(key, rsa.RSAPublicKey):
        return f"RSA, {key.key_size} bits", key.key_size
    if isinstance(key, ec.EllipticCurvePublicKey):
        return f"EC {key.curve.name}, {key.key_size} bits", key.key_size
    return type(key).__name__.strip("_").removesuffix("PublicKey"), 0


def _signature(certificate: x509.Certificate) -> str:
    return str(getattr(certificate.signature_algorithm_oid, "_name", "unknown"))


def _common_name(certificate: x509.Certificate) -> str:
    try:
        found = certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
    except ValueError:
        return ""
    return str(found[0].value) if found else ""


def _subject(certificate: x509.Certificate) -> str:
    try:
        return certificate.subject.rfc4514_string()
    except ValueError:
        return "(a name that cannot be read)"


def _issuer(certificate: x509.Certificate) -> str:
    try:
        return certificate.issuer.rfc4514_string()
    except ValueError:
        return "(a name that cannot be read)"


def _who(certificate: x509.Certificate) -> str:
    return _subject(certificate) or "a certificate without a subject"


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


def _is_odd(extension: x509.Extension[x509.ExtensionType]) -> bool:
    return extension.critical and isinstance(extension.value, x509.UnrecognizedExtension)


def _some(names: Sequence[str]) -> str:
    more = f" and {len(names) - MOST_NAMES:,} more" if len(names) > MOST_NAMES else ""
    return ", ".join(names[:MOST_NAMES]) + more
