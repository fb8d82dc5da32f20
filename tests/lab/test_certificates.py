"""Certificates that students make, by Python and by openssl, and the handshake that they then see."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Coroutine
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest

from labkit.lab.certificates import (
    CertificateMistake,
    NotSigned,
    challenge,
    have_signed,
    install,
    make_key,
    read_key,
    renew,
)
from labkit.lab.handshakes import handshakes_in, watch_handshake
from labkit.lab.world import World, partners

Run = Callable[[Coroutine[Any, Any, None]], None]
TLS = """\
tls_advertise_hosts = *
tls_certificate     = /etc/tls.crt
tls_privatekey      = /etc/tls.key
daemon_smtp_ports   = smtp : smtps : submission
tls_on_connect_ports = 465
"""


async def with_tls(world: World, pem: str, key: Any) -> None:
    install(world.mine, pem, key)
    text = world.mine.configuration_file.read_text()
    if "tls_certificate" not in text:
        world.mine.write_configuration(TLS + text)
    await world.mine.reload()
    await world.settle()


@pytest.mark.parametrize("network", ["memory", "loopback"])
def test_from_the_key_to_the_handshake(run: Run, network: str) -> None:
    async def story() -> None:
        async with partners(network=network) as world:
            name = world.mine.name
            key = make_key()
            await with_tls(world, key.self_signed(name), key)
            alone = await watch_handshake(world, world.partner_laptop, name, 587)
            assert alone.known is not None and not alone.known.is_verified
            assert alone.check is not None and "signed itself" in alone.check.reason
            issued = await have_signed(world.mine, key.request(name))
            assert issued.checked.is_good and issued.names == (name,)
            await with_tls(world, issued.pem, key)
            for port, newest in ((25, "TLS1.3"), (587, "TLS1.2"), (465, "TLS1.3")):
                shaken = await watch_handshake(
                    world, world.partner_laptop, name, port, newest=newest, insists=True
                )
                assert shaken.known is not None and shaken.known.version == newest, shaken.trouble
                assert shaken.known.is_verified and shaken.check is not None and shaken.check.is_good
                spoken = [line for _, line in shaken.lines_in_clear]
                assert ("STARTTLS" in spoken) is (port != 465)
                assert bool(spoken) is (port != 465), "on 465 nothing at all is said in the clear"
                assert any(text.startswith("EHLO") for who, text in shaken.inside if who == "C")
                in_clear = any(each.certificates for each in shaken.seen)
                assert in_clear is (newest == "TLS1.2")
                assert shaken.certificates[0].names == (name,) and shaken.certificates[1].is_authority
                sni = next(
                    dict(each.facts)["server name"] for each in shaken.seen if each.name == "ClientHello"
                )
                assert sni == name, "everybody reads it"
            found = handshakes_in(world.capture())
            assert [each.port for each in found] == [587, 25, 587, 465]

    run(story())


def test_who_insists_hangs_up(run: Run) -> None:
    async def story() -> None:
        async with partners(network="memory") as world:
            key = make_key()
            await with_tls(world, key.self_signed(world.mine.name), key)
            shaken = await watch_handshake(world, world.partner_laptop, world.mine.name, insists=True)
            assert shaken.known is None and "certificate" in shaken.trouble and not shaken.inside
            assert shaken.seen[-1].name in ("alert unknown_ca", "alert bad_certificate")

    run(story())


def test_no_tls_there(run: Run) -> None:
    async def story() -> None:
        async with partners(network="memory") as world:
            shaken = await watch_handshake(world, world.partner_laptop, world.mine.name, 25)
            assert not shaken.is_encrypted and shaken.known is None and shaken.check is None
            assert [line for who, line in shaken.lines_in_clear if who == "C"][-1] == "QUIT"

    run(story())


def test_the_authority_asks_first(run: Run) -> None:
    """Nobody gets a certificate for another's name; a star needs a record; the record may be anywhere it counts."""

    async def story() -> None:
        async with partners(network="memory") as world:
            key = make_key()
            with pytest.raises(NotSigned, match=r"who asks is 203\.0\.113\.11") as refused:
                await have_signed(world.mine, key.request(world.partner.name))
            assert [step.is_good for step in refused.value.checked.steps] == [True, True, False]
            domain = world.mine.name.partition(".")[2]
            star = key.request([world.mine.name, f"*.{domain}"])
            with pytest.raises(NotSigned, match="for a star there must be a TXT record _acme-challenge"):
                await have_signed(world.mine, star)
            zone = world.zone("sne21.test")
            world.write_zone("sne21.test", f'{zone}\n_acme-challenge.{domain}. IN TXT "{challenge(star)}"\n')
            issued = await have_signed(world.mine, star)
            assert issued.names == (world.mine.name, f"*.{domain}")
            with pytest.raises(NotSigned):  # the record is of another key
                await have_signed(world.mine, make_key().request(f"*.{domain}"))
            with pytest.raises(NotSigned, match="1024 bits"):
                await have_signed(world.mine, make_key("rsa", 1024).request(world.mine.name))

    run(story())


def test_modes_and_renewal(run: Run) -> None:
    async def story() -> None:
        async with partners(network="memory") as world:
            key = make_key("rsa")
            begin = datetime.now(timezone.utc) - timedelta(days=80)
            first = await have_signed(world.mine, key.request(world.mine.name), 90, begin=begin)
            certificate, secret = install(world.mine, first.pem, key)
            assert (certificate.stat().st_mode & 0o777, secret.stat().st_mode & 0o777) == (0o644, 0o600)
            await with_tls(world, first.pem, key)
            second = await renew(world.mine, key, world.mine.name)
            assert second.end > first.end and certificate.read_text() == second.pem
            shaken = await watch_handshake(world, world.laptop, world.mine.name)
            assert abs(shaken.certificates[0].end - second.end) < timedelta(seconds=2)  # without a reload
            assert read_key(secret.read_text()).bits == 2048

    run(story())


@pytest.mark.parametrize(
    "act, words",
    [
        (lambda: make_key("dsa"), "'ec' and 'rsa'"),
        (lambda: make_key("rsa", 512), "1024 to 8192"),
        (lambda: make_key().request([]), "one host name at least"),
        (lambda: make_key().request("a b.test"), "is no host name"),
        (lambda: make_key().request("x\n.test"), "is no host name"),
        (lambda: make_key().self_signed("a.test", 4000), "1 to 398"),
        (lambda: read_key("nothing"), "no private key"),
        (lambda: challenge("nothing"), "no signing request"),
    ],
)
def test_mistakes(act: Callable[[], object], words: str) -> None:
    with pytest.raises(CertificateMistake, match=words):
        act()


REQUEST = """\
openssl req -new -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout tls.key -out tls.csr \
-subj /CN={name} -addext subjectAltName=DNS:{name}"""
SELF_SIGNED = """\
openssl req -x509 -newkey rsa:2048 -nodes -days 90 -keyout tls.key -out tls.crt \
-subj /CN={name} -addext subjectAltName=DNS:{name}"""


def test_by_openssl(run: Run, require: Callable[[str], str], tmp_path: Path) -> None:
    """The commands of the notebook: a request that the authority signs, and a certificate of one's own."""
    require("openssl")

    def openssl(command: str) -> None:
        words = command.split()
        subprocess.run(words, cwd=tmp_path, check=True, capture_output=True, timeout=30)

    async def story() -> None:
        async with partners(network="memory") as world:
            name = world.mine.name
            openssl(REQUEST.format(name=name))
            issued = await have_signed(world.mine, (tmp_path / "tls.csr").read_text())
            await with_tls(world, issued.pem, (tmp_path / "tls.key").read_text())
            shaken = await watch_handshake(world, world.laptop, name, insists=True)
            assert shaken.check is not None and shaken.check.is_good
            openssl(SELF_SIGNED.format(name=name))
            install(world.mine, (tmp_path / "tls.crt").read_text(), (tmp_path / "tls.key").read_text())
            alone = await watch_handshake(world, world.laptop, name)
            assert alone.certificates[0].is_self_issued and alone.certificates[0].key == "RSA, 2048 bits"
            openssl(f"openssl req -new -newkey rsa:2048 -nodes -keyout b.key -out b.csr -subj /CN={name}")
            with pytest.raises(CertificateMistake, match="no subjectAltName"):
                await have_signed(world.mine, (tmp_path / "b.csr").read_text())
            openssl("openssl genpkey -algorithm RSA -aes-128-cbc -pass pass:x -out locked.key")
            with pytest.raises(CertificateMistake, match="encrypted"):
                read_key((tmp_path / "locked.key").read_text())

    run(story())
