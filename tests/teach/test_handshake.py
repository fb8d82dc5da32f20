"""The handshake player, the offer before and after, certificates and their checks: from a lab, and from garbage."""

from __future__ import annotations

import asyncio
import ssl
from dataclasses import replace

import pytest

from labkit.lab.certificates import CertificateMistake, TlsKey, have_signed, install, make_key
from labkit.lab.handshakes import Handshake, Seen, handshakes_in, watch_handshake
from labkit.lab.world import partners
from labkit.net.certificate_check import Checked, Step
from labkit.teach.show import show
from labkit.teach.views.certificate import certificate, check
from labkit.teach.views.handshake import HandshakeView, before_and_after

TLS = """\
tls_advertise_hosts = *
tls_certificate     = /etc/tls.crt
tls_privatekey      = /etc/tls.key
daemon_smtp_ports   = smtp : smtps : submission
tls_on_connect_ports = 465
"""


async def _watched() -> tuple[list[Handshake], str, TlsKey]:
    async with partners(network="memory", alongside=True) as world:
        key, name = make_key(), world.mine.name
        issued = await have_signed(world.mine, key.request(name))
        install(world.mine, issued.pem, key)
        world.mine.write_configuration(TLS + world.mine.configuration_file.read_text())
        await world.mine.reload()
        kinds = ((587, "TLS1.3"), (587, "TLS1.2"), (465, "TLS1.3"))
        found = [
            await watch_handshake(world, world.partner_laptop, name, port, newest=newest)
            for port, newest in kinds
        ]
        found.append(handshakes_in(world.capture())[0])
        return found, issued.pem, key


@pytest.fixture(scope="module")
def watched() -> tuple[list[Handshake], str, TlsKey]:
    return asyncio.run(_watched())


def test_what_is_shown(watched: tuple[list[Handshake], str, TlsKey]) -> None:
    for shaken in watched[0]:
        text = show(shaken).text()
        assert max(map(len, text.split("\n"))) <= 110
        assert "ClientHello" in text and "server name: mx2.st11.sne21.test" in text
    new, old, implicit, outside = (show(shaken).text() for shaken in watched[0])
    wire = [line[:58] for line in new.split("\n")]
    assert not any("lab authority" in line for line in wire), "nobody on the way reads the certificate"
    assert any("lab authority" in line[:58] for line in old.split("\n")), "in TLS 1.2 everybody does"
    assert "chain and name: good" in new and "STARTTLS" not in implicit
    assert "chain and name" not in outside and "250-SIZE" in outside


def test_two_runs_show_the_same(watched: tuple[list[Handshake], str, TlsKey]) -> None:
    again, _, _ = asyncio.run(_watched())
    for one, other in zip(watched[0], again):
        assert show(one).text() == show(other).text()
        assert str(show(one).html()) == str(show(other).html())


def test_predictions(watched: tuple[list[Handshake], str, TlsKey]) -> None:
    view = show(watched[0][0])
    assert isinstance(view, HandshakeView)
    asked = [step.question for step in view.steps() if step.question]
    assert [each.choices[each.truth] for each in asked] == [
        "all of it, even the name of the server it wants",
        "only the client",
        "that octets went by: how many, and when",
    ]
    state = view.state()
    assert len(state["steps"]) == len(view.steps()) and state["ending"]
    assert not any(step.question for step in HandshakeView(watched[0][0], predict=False).steps())


def test_before_and_after(watched: tuple[list[Handshake], str, TlsKey]) -> None:
    view = before_and_after(watched[0][0])
    assert "STARTTLS" in view.before and "STARTTLS" not in view.after and "SIZE" in view.after
    assert "gone: it is begun already" in view.text()


def test_a_certificate_and_its_check(watched: tuple[list[Handshake], str, TlsKey]) -> None:
    shaken, pem, key = watched[0][0], watched[1], watched[2]
    name, ca = shaken.name, ssl.DER_cert_to_PEM_cert(shaken.chain[-1])
    shown = certificate(pem).text()
    assert name in shown and "may sign others" in shown and "SHA-256" not in shown
    assert show(shaken.certificates).text() == shown
    assert "SHA-256" in certificate(pem, details=True).text()
    assert "It is who it should be." in check(pem, ca, name).text()
    assert "another name" in check(pem, ca, "mx.other.test").text()
    alone = check(key.self_signed(name), ca, name)
    assert "signed itself" in alone.text() and str(alone.html()).count("<tr>") == 3
    for view in (check(pem, ca, name), certificate(pem), alone):
        assert max(map(len, view.text().split("\n"))) <= 110
    with pytest.raises(CertificateMistake):
        certificate("nothing")


def test_what_strangers_say_is_text(watched: tuple[list[Handshake], str, TlsKey]) -> None:
    evil = "<script>alert(1)</script>\u202e"
    seen = (Seen("S", "line", f"220 {evil}"), Seen("C", "clear", "ClientHello", (("server name", evil),)))
    shaken = replace(watched[0][0], seen=seen, server=evil, trouble=evil)
    for view in (show(shaken), before_and_after(shaken)):
        assert "<script>" not in str(view.html()) and "\u202e" not in str(view.html()) + view.text()
    for text in (evil, evil * 1000):
        facts = replace(
            watched[0][0].certificates[0],
            subject=text,
            issuer=text,
            common_name=text,
            names=(text,),
            purposes=(text,),
        )
        steps = Checked((Step(text, text, True, "RFC 5280 §6"), Step(text, text, False, "RFC 5280 §6")))
        authority = replace(facts, is_authority=True)
        for view in (show(facts), show((facts, authority)), show(steps)):
            page, plain = str(view.html()), view.text()
            assert "<script>" not in page and "\u202e" not in page + plain
            assert len(page) < 20_000 and len(plain) < 20_000
            assert max(map(len, plain.split("\n"))) <= 110
    many = replace(shaken, seen=seen * 1000)
    assert len(show(many).text().split("\n")) < 400
