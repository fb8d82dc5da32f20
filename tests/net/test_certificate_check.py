"""The check of a certificate in steps: OpenSSL is the judge, in a handshake, on chains of every kind."""

from __future__ import annotations

import ipaddress
import os
import ssl
import tempfile
import time
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime, timedelta, timezone
from functools import cache, lru_cache
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID
from hypothesis import given, settings
from hypothesis import strategies as st

from labkit.net.certificate_chain import check_chain
from labkit.net.certificate_check import Checked, check_name
from labkit.net.certificate_facts import read_certificate
from labkit.net.tls_trust import Trust

NOW = datetime.now(timezone.utc)
DAY = timedelta(days=1)
HOST = "mx.st11.test"
MANY = tuple(f"n{number}.st11.test" for number in range(300))
CASES = 2500 if os.environ.get("LABKIT_THOROUGH") else 150
PEM = serialization.Encoding.PEM


@dataclass(frozen=True)
class Plan:
    """A server's certificate, one authority between, and a root."""

    names: tuple[str, ...] = (HOST,)
    common: str = HOST
    asked: str = HOST
    begin: int = -1  # days from now
    end: int = 1
    self_signed: bool = False
    sends_middle: bool = True
    middle_ca: bool | None = True  # None: no basic constraints
    middle_usage: bool = True
    middle_end: int = 1
    root_length: int | None = None
    trusts: str = "root"  # root, middle, leaf, stranger
    purpose: str = "server"  # server, client, ""
    permitted: str | tuple[str, ...] = ""
    odd: str = ""  # who has an extension that nobody knows, and critical: leaf, middle
    wrong_signature: bool = False
    weak: bool = False


@cache
def key(which: str) -> ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey:
    return (
        rsa.generate_private_key(65537, 1024) if which == "weak" else ec.generate_private_key(ec.SECP256R1())
    )


def named(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)] if text else [])


def made(
    subject: str,
    own: str,
    issuer: str,
    signer: str,
    begin: int,
    end: int,
    *extensions: tuple[x509.ExtensionType, bool],
) -> x509.Certificate:
    builder = (
        x509.CertificateBuilder(
            named(issuer), named(subject), key(own).public_key(), x509.random_serial_number()
        )
        .not_valid_before(NOW + begin * DAY)
        .not_valid_after(NOW + end * DAY)
    )
    for extension, critical in extensions:
        builder = builder.add_extension(extension, critical=critical)
    return builder.sign(key(signer), hashes.SHA256())


def limit_of(text: str) -> x509.GeneralName:
    """A domain, or a network."""
    return x509.IPAddress(ipaddress.ip_network(text)) if "/" in text else x509.DNSName(text)


def usage(*, signs: bool) -> x509.KeyUsage:
    return x509.KeyUsage(not signs, False, False, False, False, signs, signs, False, False)


def chain_of(plan: Plan) -> tuple[list[x509.Certificate], list[x509.Certificate]]:
    """What the server sends, and what the client trusts."""
    root = made(
        "root", "root", "root", "root", -1, 1,
        (x509.BasicConstraints(True, plan.root_length), True), (usage(signs=True), True),
    )  # fmt: skip
    stranger = made(
        "stranger", "other", "stranger", "other", -1, 1, (x509.BasicConstraints(True, None), True)
    )
    of_middle: list[tuple[x509.ExtensionType, bool]] = [(usage(signs=plan.middle_usage), True)]
    if plan.middle_ca is not None:
        of_middle.append((x509.BasicConstraints(plan.middle_ca, None), True))
    if plan.permitted:
        limits = (plan.permitted,) if isinstance(plan.permitted, str) else plan.permitted
        of_middle.append((x509.NameConstraints([limit_of(each) for each in limits], None), True))
    unknown = x509.UnrecognizedExtension(x509.ObjectIdentifier("1.3.6.1.4.1.55555.1"), b"\x05\x00"), True
    if plan.odd == "middle":
        of_middle.append(unknown)
    middle = made("middle", "middle", "root", "root", -1, plan.middle_end, *of_middle)
    of_leaf: list[tuple[x509.ExtensionType, bool]] = [(x509.BasicConstraints(False, None), True)]
    if plan.odd == "leaf":
        of_leaf.append(unknown)
    alternative: list[x509.GeneralName] = []
    for name in plan.names:
        try:
            alternative.append(x509.IPAddress(ipaddress.ip_address(name)))
        except ValueError:
            alternative.append(x509.DNSName(name))
    if alternative:
        of_leaf.append((x509.SubjectAlternativeName(alternative), False))
    if plan.purpose:
        which = (
            ExtendedKeyUsageOID.SERVER_AUTH if plan.purpose == "server" else ExtendedKeyUsageOID.CLIENT_AUTH
        )
        of_leaf.append((x509.ExtendedKeyUsage([which]), False))
    own = "weak" if plan.weak else "leaf"
    issuer, signer = (plan.common, own) if plan.self_signed else ("middle", "middle")
    if plan.wrong_signature and not plan.self_signed:
        signer = "other"
    leaf = made(plan.common, own, issuer, signer, plan.begin, plan.end, *of_leaf)
    trusted = {"root": [root], "middle": [middle], "leaf": [leaf], "stranger": [stranger]}[plan.trusts]
    return [leaf, *([middle] if plan.sends_middle and not plan.self_signed else [])], trusted


def openssl_says(plan: Plan, sent: list[x509.Certificate], trusted: list[x509.Certificate]) -> str:
    """What OpenSSL has against it, "" for nothing."""
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.set_ciphers("DEFAULT:@SECLEVEL=0")
    server.minimum_version = ssl.TLSVersion.TLSv1_2
    server.maximum_version = ssl.TLSVersion.TLSv1_2  # its handshake needs one round less
    with tempfile.TemporaryDirectory() as folder:
        own = key("weak" if plan.weak else "leaf")
        secret = own.private_bytes(PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
        file = Path(folder, "own.pem")
        file.write_bytes(b"".join(each.public_bytes(PEM) for each in sent) + secret)
        server.load_cert_chain(file)
    client = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    client.set_ciphers("DEFAULT:@SECLEVEL=2")
    client.hostname_checks_common_name = False  # RFC 9525
    client.load_verify_locations(cadata="".join(each.public_bytes(PEM).decode() for each in trusted))
    there, back = ssl.MemoryBIO(), ssl.MemoryBIO()
    ours = client.wrap_bio(back, there, server_hostname=plan.asked)
    theirs = server.wrap_bio(there, back, server_side=True)
    for _ in range(4):
        for end in (ours, theirs):
            try:
                end.do_handshake()
            except ssl.SSLWantReadError:
                pass
            except ssl.SSLCertVerificationError as problem:
                return str(problem.verify_message)
    assert ours.version() == "TLSv1.2"
    return ""


def ours_says(plan: Plan, sent: list[x509.Certificate], trusted: list[x509.Certificate]) -> Checked:
    der = serialization.Encoding.DER
    octets = [each.public_bytes(der) for each in sent]
    return check_chain(octets, [each.public_bytes(der) for each in trusted], NOW) + check_name(
        octets[0], plan.asked
    )


@pytest.mark.parametrize(
    "change, words, because",
    [
        ({}, "", "all is well"),
        ({"end": 0, "begin": -2}, "no more", "expired"),
        ({"begin": 1, "end": 2}, "not yet", "not yet valid"),
        ({"asked": "mx.other.test"}, "another name", "wrong name"),
        ({"names": (), "common": HOST}, "its common name", "the common name is none"),
        ({"names": ("*.st11.test",)}, "", "a star for the first label"),
        ({"names": ("*.st11.test",), "asked": "a.mx.st11.test"}, "one label only", "two labels"),
        ({"names": ("*.st11.test",), "asked": "st11.test"}, "one label", "none"),
        ({"names": ("m*.st11.test",)}, "whole first label", "part of a label"),
        ({"names": ("*.test",), "asked": "st11.test"}, "top-level", "a whole top-level domain"),
        ({"names": ("203.0.113.11",), "asked": "203.0.113.11"}, "", "an address"),
        ({"names": ("203.0.113.12",), "asked": "203.0.113.11"}, "203.0.113.12", "another address"),
        ({"names": ("2001:db8::1",), "asked": "2001:db8:0::1"}, "", "an IPv6 address, written otherwise"),
        ({"self_signed": True}, "signed itself", "nobody vouches"),
        ({"self_signed": True, "trusts": "leaf"}, "", "trusted as it is"),
        ({"sends_middle": False}, "neither sent", "an intermediate is missing"),
        ({"sends_middle": False, "trusts": "middle"}, "neither sent", "no root behind it"),
        ({"trusts": "stranger"}, "neither sent", "another authority"),
        ({"middle_ca": False}, "no authority", "CA:FALSE as issuer"),
        ({"middle_ca": None}, "no authority", "no basic constraints"),
        ({"middle_usage": False}, "keyUsage", "its key may not sign certificates"),
        ({"middle_end": 0}, "no more", "the authority between has expired"),
        ({"root_length": 0}, "allows 0", "the way is too long"),
        ({"purpose": "client"}, "clientAuth", "for a client"),
        ({"purpose": ""}, "", "for everything"),
        ({"permitted": "st11.test"}, "", "the authority may sign for this domain"),
        ({"permitted": "st2.test"}, "may not sign for", "and not for that"),
        ({"permitted": ".st11.test"}, "", "below that domain"),
        ({"permitted": f".{HOST}"}, "may not sign for", "below the name itself, and it is not below"),
        ({"permitted": "10.0.0.0/8"}, "", "a limit for addresses, and it has none"),
        ({"permitted": "10.0.0.0/8", "names": (HOST, "203.0.113.11")}, "may not sign for", "an address"),
        ({"permitted": ("10.0.0.0/8", "203.0.113.0/24"), "names": (HOST, "203.0.113.11")}, "", "within one"),
        ({"permitted": "st11.test", "names": (*MANY, HOST, "x.st2.test")}, "may not sign for", "the last of many"),
        ({"permitted": tuple(f"d{n}.test" for n in range(3_500)), "names": (*MANY, HOST)}, "too much", "a bomb"),
        ({"names": (*MANY, HOST)}, "", "the last of many names"),
        ({"names": MANY, "asked": "n299.st11.test"}, "", "all of them count"),
        ({"odd": "leaf"}, "nobody here knows", "a critical extension that nobody understands"),
        ({"odd": "middle"}, "nobody here knows", "the same of the authority between"),
        ({"wrong_signature": True}, "no", "somebody else's signature"),
        ({"weak": True}, "RSA, 1024 bits", "a short key"),
    ],
)  # fmt: skip
def test_kinds(change: dict[str, object], words: str, because: str) -> None:
    plan = replace(Plan(), **change)  # type: ignore[arg-type]
    sent, trusted = chain_of(plan)
    checked = ours_says(plan, sent, trusted)
    said = openssl_says(plan, sent, trusted)
    assert checked.is_good is (not said), (because, said, checked)
    assert words in checked.reason and bool(words) is bool(checked.reason), (because, checked.reason)


PLANS = st.builds(
    Plan,
    names=st.lists(
        st.sampled_from([HOST, "*.st11.test", "*.test", "m*.st11.test", "*.*.test",
                         "203.0.113.11", "st11.test", "MX.st11.TEST"]),
        max_size=3, unique=True,
    ).map(tuple),
    common=st.sampled_from([HOST, "somebody"]),
    asked=st.sampled_from([HOST, HOST, "st11.test", "a.mx.st11.test", "203.0.113.11", "203.0.113.12", "Mx.St11.test"]),
    begin=st.sampled_from([-3, -3, -3, -3, 1]),
    end=st.sampled_from([2, 2, 2, 2, -1]),
    self_signed=st.sampled_from([False, False, False, True]),
    sends_middle=st.sampled_from([True, True, True, False]),
    middle_ca=st.sampled_from([True, True, True, False, None]),
    middle_usage=st.sampled_from([True, True, True, False]),
    middle_end=st.sampled_from([1, 1, 1, 0]),
    root_length=st.sampled_from([None, None, 0, 1]),
    trusts=st.sampled_from(["root", "root", "root", "root", "middle", "leaf", "stranger"]),
    purpose=st.sampled_from(["server", "server", "", "client"]),
    permitted=st.sampled_from(["", "", "", "st11.test", "st2.test", ".st11.test", "203.0.113.0/28", "10.0.0.0/8"]),
    odd=st.sampled_from(["", "", "", "", "leaf", "middle"]),
    wrong_signature=st.sampled_from([False, False, False, True]),
    weak=st.sampled_from([False, False, False, True]),
)  # fmt: skip


@settings(max_examples=CASES, deadline=None)
@given(PLANS)
def test_openssl_agrees(plan: Plan) -> None:
    if plan.begin >= plan.end:
        plan = replace(plan, begin=-3)
    sent, trusted = chain_of(plan)
    said = openssl_says(plan, sent, trusted)
    assert ours_says(plan, sent, trusted).is_good is (not said), said


def test_what_stands_in_one() -> None:
    sent, _ = chain_of(Plan(names=(HOST, "203.0.113.11")))
    facts = read_certificate(sent[0].public_bytes(serialization.Encoding.DER))
    assert facts.names == (HOST,) and facts.addresses == ("203.0.113.11",)
    assert facts.subject == f"CN={HOST}" and facts.issuer == "CN=middle"
    assert (
        facts.key == "EC secp256r1, 256 bits" and not facts.is_authority and facts.purposes == ("serverAuth",)
    )


@settings(max_examples=CASES, deadline=None)
@given(st.data())
def test_a_spoilt_certificate_raises_nothing(data: st.DataObject) -> None:
    sent, trusted = _kept()
    octets = bytearray(sent[0])
    for _ in range(data.draw(st.integers(1, 3))):
        octets[data.draw(st.integers(0, len(octets) - 1))] = data.draw(st.integers(0, 255))
    spoilt = bytes(octets)
    assert check_chain([spoilt, *sent[1:]], trusted, NOW).steps
    assert check_name(spoilt, HOST).steps
    with suppress(ValueError):
        read_certificate(spoilt)
    Trust(ssl.DER_cert_to_PEM_cert(trusted[0]).encode()).judge([spoilt, *sent[1:]], [HOST])


@lru_cache(maxsize=1)
def _kept() -> tuple[list[bytes], list[bytes]]:
    sent, trusted = chain_of(Plan())
    der = serialization.Encoding.DER
    return [each.public_bytes(der) for each in sent], [each.public_bytes(der) for each in trusted]


def test_thousands_of_names_are_counted() -> None:
    """All of them are compared, a hundred are shown, and it takes no time."""
    names = tuple(f"n{number}.st11.test" for number in range(10_000))
    sent, _ = chain_of(Plan(names=names))
    octets = sent[0].public_bytes(serialization.Encoding.DER)
    assert len(read_certificate(octets).names) == 100
    begin = time.process_time()
    good, bad = check_name(octets, "n9999.st11.test"), check_name(octets, HOST)
    assert time.process_time() - begin < 5
    assert good.is_good and not bad.is_good
    assert good.steps[0].found.endswith(", n99.st11.test and 9,900 more")
    assert max(len(step.found) for step in (*good.steps, *bad.steps)) < 3_000


def test_nothing_shown() -> None:
    assert not check_chain([], [], NOW).is_good
    assert not check_chain([b"nothing"], [], NOW).is_good
    assert not check_name(b"", HOST).is_good
