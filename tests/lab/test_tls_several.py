"""Several certificates of one server: tls_certificate and tls_privatekey are lists (RSA for old clients)."""

from __future__ import annotations

import asyncio
import re
import smtplib
import ssl
from functools import cache

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePublicKey

from labkit.eximconf.reader import ConfigurationError
from labkit.lab.certificates import EC, RSA, TlsKey, install, make_key
from labkit.lab.engine import DoubtfulConfiguration
from labkit.lab.world import World

MX, MAIL, STAR = "mx2.st11.sne21.test", "mail.st11.sne21.test", "*.st11.sne21.test"
LAPTOP = "198.51.100.11"
ENGINES = pytest.mark.parametrize(
    "engine", ["labkit", pytest.param("exim", marks=pytest.mark.needs("exim", "gcc"))]
)
OLD = "ECDHE-RSA-AES128-GCM-SHA256"  # a client that can use RSA certificates alone


@cache
def key_of(kind: str, file: str) -> TlsKey:
    """The same in all tests: an RSA key takes long to make."""
    return make_key(kind)


def named(option: str, *files: str) -> str:
    return f"{option} = {' : '.join(f'/etc/{file}' for file in files)}\n"


def listed(*names: str) -> str:
    """The two options, for files of these names."""
    certificates = named("tls_certificate", *(f"{name}.crt" for name in names))
    return certificates + named("tls_privatekey", *(f"{name}.key" for name in names))


async def configured(world: World, main: str) -> None:
    """The host has five certificates on its disk, and these options."""
    made = {
        "ec": (EC, MX),
        "rsa": (RSA, MX),
        "mail": (RSA, MAIL),
        "star": (EC, STAR),
        "other": (EC, "a.test"),
    }
    for file, (kind, name) in made.items():
        key = key_of(kind, file)
        pem = key.self_signed(name)
        install(world.mine, pem, key, certificate_file=f"/etc/{file}.crt", key_file=f"/etc/{file}.key")
        both = pem + key.private_pem
        install(world.mine, pem, both, certificate_file="/etc/unused.crt", key_file=f"/etc/{file}.pem")
    before = re.sub("^tls_.*\n", "", world.mine.configuration, flags=re.MULTILINE)
    world.mine.write_configuration(main + before)
    await world.mine.reload()


def shown_to(world: World, name: str | None, ciphers: str = "") -> str:
    """Which certificate a client gets: the kind of its key, and its first name."""
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    if ciphers:
        context.maximum_version = ssl.TLSVersion.TLSv1_2
        context.set_ciphers(ciphers)
    here = (world.real(LAPTOP, 0)[0], 0)
    with smtplib.SMTP(*world.real(world.mine.address, 25), timeout=20, source_address=here) as client:
        client.ehlo("c.test")
        assert client.docmd("STARTTLS")[0] == 220
        with context.wrap_socket(client.sock, server_hostname=name) as secure:
            client.sock = None
            found = x509.load_der_x509_certificate(secure.getpeercert(True) or b"")
    alternative = found.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    kind = "EC" if isinstance(found.public_key(), EllipticCurvePublicKey) else "RSA"
    return f"{kind} {alternative.get_values_for_type(x509.DNSName)[0]}"


def told(engine: str, main: str, *clients: tuple[str | None, str]) -> list[str]:
    async def story() -> list[str]:
        async with World.open("tls", engine=engine, network="loopback", alongside=True) as world:
            await configured(world, main)
            return [await asyncio.to_thread(shown_to, world, *client) for client in clients]

    return asyncio.run(asyncio.wait_for(story(), 60))


@ENGINES
def test_each_client_gets_one_that_it_can_use(engine: str) -> None:
    main = listed("ec", "rsa")
    assert told(engine, main, (MX, ""), (None, ""), (MX, OLD)) == [f"EC {MX}", f"EC {MX}", f"RSA {MX}"]


@ENGINES
def test_the_name_that_is_wanted_decides(engine: str) -> None:
    """By SNI; a star is no very name; who wants a name that there is not, or none, gets the first."""
    main = listed("ec", "star", "mail")
    wanted: tuple[tuple[str | None, str], ...] = ((MX, ""), (MAIL, ""), ("x.test", ""), (None, ""))
    assert told(engine, main, *wanted) == [f"EC {MX}", f"RSA {MAIL}", f"EC {MX}", f"EC {MX}"]
    assert told(engine, listed("star", "ec"), (None, ""), (MX, "")) == [f"EC {STAR}", f"EC {MX}"]


@ENGINES
def test_keys_with_their_certificates(engine: str) -> None:
    """Without tls_privatekey each key is in the file of its certificate."""
    main = named("tls_certificate", "ec.pem", "rsa.pem")
    assert told(engine, main, (MX, ""), (MX, OLD)) == [f"EC {MX}", f"RSA {MX}"]


@pytest.mark.parametrize(
    "engine, shown",
    [("labkit", f"EC {MX}"), pytest.param("exim", f"RSA {MX}", marks=pytest.mark.needs("exim", "gcc"))],
)
def test_who_can_use_both(engine: str, shown: str) -> None:
    """docs/differences.md, `two-certificates`: the client's own order, or that of the list."""
    assert told(engine, listed("rsa", "ec"), (MX, "")) == [shown]


@ENGINES
@pytest.mark.parametrize(
    "main, line, words",
    [
        (
            named("tls_certificate", "ec.crt", "rsa.crt") + named("tls_privatekey", "ec.key"),
            2,
            "out of keys: there are 2 certificates and 1 keys",
        ),
        (
            named("tls_certificate", "ec.crt", "rsa.crt") + named("tls_privatekey", "ec.key", "mail.key"),
            2,
            "the key in /etc/mail.key does not belong to the certificate in /etc/rsa.crt",
        ),
        (listed("ec", "none"), 1, "the certificate /etc/none.crt cannot be read"),
    ],
)
def test_a_list_that_is_wrong(main: str, line: int, words: str, engine: str) -> None:
    """Said when the file is read, with the file that it is about, and without the lab's own folder."""
    with pytest.raises(ConfigurationError, match=f"^exim.conf, line {line}: {words}") as problem:
        told(engine, main)
    assert "labkit-world" not in str(problem.value)


def test_one_of_several_may_be_for_another_name(recwarn: pytest.WarningsRecorder) -> None:
    def doubts() -> list[str]:
        return [str(each.message) for each in recwarn if each.category is DoubtfulConfiguration]

    told("labkit", listed("other", "ec"))
    assert doubts() == []
    told("labkit", listed("other", "mail"))
    assert any("is for a.test, and this host is" in each for each in doubts())
