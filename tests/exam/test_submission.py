"""The exam, tasks 2, 6 and 7: a relay with a password, encryption that is demanded, a greylist and a block list."""

from __future__ import annotations

import base64
import re
import smtplib
import ssl
import subprocess
from collections.abc import Callable

import pytest

from tests.differential.certificates import Authority

from .conftest import Open
from .world import Host, World, real, until

ZONE = {
    "st1.test": {"MX": ["10 mx.st1.test."]},
    "mx.st1.test": {"A": ["203.0.113.11"]},
    "plain.test": {"A": ["203.0.113.22"]},
    "spam.test": {"A": ["203.0.113.66"]},
    "relay.test": {"A": ["203.0.113.21"], "MX": ["10 relay.test."]},
    "66.113.0.203.bl.test": {"A": ["127.0.0.2"], "TXT": ['"a known spammer"']},
}


@pytest.fixture(scope="module")
def authority() -> Authority:
    return Authority()


@pytest.fixture(scope="module")
def lab(open_world: Open) -> World:
    return open_world(ZONE)


def certified(host: Host, authority: Authority, name: str) -> dict[str, str]:
    certificate, key = authority.certify(name)
    files = {"TLS_CERT": host.write("tls.crt", certificate), "TLS_KEY": host.write("tls.key", key)}
    identity = host.world.candidate.identity
    if "user" in identity:
        import os

        os.chown(files["TLS_KEY"], identity["user"], identity["group"])
    files["TLS_KEY"].chmod(0o600)
    return {name: str(file) for name, file in files.items()}


@pytest.fixture(scope="module")
def relay(lab: World, authority: Authority) -> Host:
    """A submission server: 25, 587 and 465, with passwords."""
    host = lab.host("relay.test", "relay.test", "203.0.113.21", PORTS="25:587:465", TLS_PORT="465")
    host.write("passwd", "st1: s3cret\nann: two words\n")
    host.configure(**certified(host, authority, "relay.test"), AUTH_SERVER="yes", REQUIRE_TLS="yes")
    host.start()
    return host


@pytest.fixture(scope="module")
def host(lab: World) -> Host:
    return lab.host("mx.st1.test", "st1.test", "203.0.113.11", RETRY="F,1h,5m")


@pytest.fixture
def trusting(authority: Authority) -> ssl.SSLContext:
    return authority.trusted()


def encrypted(lab: World, relay: Host, port: int = 587) -> smtplib.SMTP:
    client = lab.smtp(relay, port)
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    client.starttls(context=context)
    client.ehlo()
    return client


def test_the_offer_before_and_after_starttls(lab: World, relay: Host) -> None:
    with lab.smtp(relay, 587) as client:
        assert "starttls" in client.esmtp_features and "auth" not in client.esmtp_features
    with encrypted(lab, relay) as client:
        assert "starttls" not in client.esmtp_features
        assert client.esmtp_features["auth"].split() == ["PLAIN", "LOGIN"]


def test_plain_text_is_refused_on_the_submission_port_only(lab: World, relay: Host) -> None:
    said = lab.dialogue(relay, "EHLO c.test", "MAIL FROM:<x@far.test>", port=587)
    assert said[2] == "530 5.7.0 Must issue a STARTTLS command first"
    assert "rejected MAIL <x@far.test>" in relay.log()
    assert lab.dialogue(relay, "EHLO c.test", "MAIL FROM:<x@far.test>")[2] == "250 OK"


def test_what_was_said_in_clear_is_forgotten(lab: World, relay: Host) -> None:
    with lab.smtp(relay, 25) as client:
        client.mail("x@far.test")
        context = ssl.create_default_context()
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        client.docmd("STARTTLS")
        client.sock = context.wrap_socket(client.sock, server_hostname="relay.test")
        client.file = None
        assert client.rcpt("ann@relay.test")[0] == 503
        assert client.docmd("AUTH", "PLAIN")[0] in (503, 501)


def test_an_injected_command_is_not_obeyed(lab: World, relay: Host) -> None:
    """What comes in the clear after STARTTLS, in the same packet, is thrown away, or ends the session."""
    with lab.smtp(relay, 587) as client:
        client.send(b"STARTTLS\r\nMAIL FROM:<evil@far.test>\r\n")
        code = client.getreply()[0]
        if code == 554:
            with pytest.raises(smtplib.SMTPServerDisconnected):
                client.docmd("RSET")
        else:
            assert code == 220
            context = ssl.create_default_context()
            context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
            assert client.sock is not None
            client.sock = context.wrap_socket(client.sock, server_hostname="relay.test")
            client.file = None
            code, words = client.docmd("EHLO after.test")
            assert code == 250 and b"Hello after.test" in words
            assert client.docmd("RCPT TO:<ann@relay.test>")[0] == 503, "there is no sender"
    assert "<= evil" not in relay.log()


def test_implicit_tls(lab: World, relay: Host, trusting: ssl.SSLContext) -> None:
    context = trusting
    context.check_hostname = False
    with lab.smtp(relay, 465, tls=context) as client:
        assert "starttls" not in client.esmtp_features and "auth" in client.esmtp_features
        assert client.sock is not None and client.sock.version() in ("TLSv1.2", "TLSv1.3")


def test_a_plain_client_on_the_encrypted_port_hears_no_banner(lab: World, relay: Host) -> None:
    import socket

    from labkit.net.translation import real_address

    with socket.create_connection(
        real(relay.address, 465), 10, (real_address("203.0.113.77"), 0)
    ) as connection:
        connection.settimeout(10)
        connection.sendall(b"EHLO c.test\r\n")
        assert connection.recv(200)[:1] in (b"\x15", b"")


@pytest.mark.needs("openssl")
def test_openssl_verifies_it(lab: World, relay: Host, authority: Authority, tmp_path) -> None:  # type: ignore[no-untyped-def]
    file = tmp_path / "ca.crt"
    file.write_text(authority.pem)
    address, port = real(relay.address, 587)
    done = subprocess.run(
        ["openssl", "s_client", "-connect", f"{address}:{port}", "-bind", "127.0.113.77", "-starttls", "smtp",
         "-CAfile", str(file), "-verify_hostname", "relay.test", "-crlf"],
        input="QUIT\n", capture_output=True, text=True, timeout=30, check=False,
    )  # fmt: skip
    assert "Verify return code: 0 (ok)" in done.stdout, done.stdout + done.stderr


@pytest.mark.needs("openssl")
def test_a_certificate_by_openssl(lab: World, relay: Host, authority: Authority, tmp_path) -> None:  # type: ignore[no-untyped-def]
    """LAB.md 16a: the student's own commands; whoever trusts this certificate believes it, and nobody else does."""
    command = (
        "openssl req -x509 -newkey rsa:2048 -nodes -days 90 -keyout tls.key -out tls.crt -subj /CN=relay.test "
        "-addext subjectAltName=DNS:relay.test"
    )
    subprocess.run(command.split(), cwd=tmp_path, check=True, capture_output=True, timeout=30)
    files = {kind: (tmp_path / kind).read_text() for kind in ("tls.crt", "tls.key")}
    kept = {kind: (relay.folder / kind).read_text() for kind in files}
    try:
        for kind, text in files.items():
            (relay.folder / kind).write_text(text)  # owner and mode stay
        relay.stop()
        relay.start()
        for trusted, is_good in ((files["tls.crt"], True), (authority.pem, False)):
            context = ssl.create_default_context(cadata=trusted)
            with lab.smtp(relay, 587) as client:
                client._host = "relay.test"  # type: ignore[attr-defined]  # smtplib's name for SNI and the check
                if is_good:
                    assert client.starttls(context=context)[0] == 220
                    assert client.ehlo()[0] == 250 and "starttls" not in client.esmtp_features
                else:
                    with pytest.raises(ssl.SSLCertVerificationError):
                        client.starttls(context=context)
                    client.close()
    finally:
        for kind, text in kept.items():
            (relay.folder / kind).write_text(text)
        relay.stop()
        relay.start()


def plain(login: str, password: str) -> str:
    return base64.b64encode(f"\0{login}\0{password}".encode()).decode()


def test_passwords(lab: World, relay: Host) -> None:
    with encrypted(lab, relay) as client:
        assert client.docmd("AUTH PLAIN", plain("st1", "wrong")) == (535, b"Incorrect authentication data")
        assert client.docmd("AUTH PLAIN", plain("nobody", "s3cret"))[0] == 535
        assert client.docmd("AUTH FROB")[0] == 504
        assert client.docmd("AUTH PLAIN", "!!!") == (501, b"Invalid base64 data")
        assert client.docmd("AUTH PLAIN") == (334, b"")
        assert client.docmd(plain("st1", "s3cret")) == (235, b"Authentication succeeded")
        assert client.docmd("AUTH PLAIN", plain("st1", "s3cret")) == (503, b"already authenticated")
    assert re.search(
        r"plain_server authenticator failed for \(?[^)]*\)? ?\[203\.0\.113\.77\]: "
        r"535 Incorrect authentication data \(set_id=st1\)",
        relay.log(),
    )
    with encrypted(lab, relay) as client:
        assert client.docmd("AUTH LOGIN") == (334, base64.b64encode(b"Username:"))
        assert client.docmd(base64.b64encode(b"ann").decode()) == (334, base64.b64encode(b"Password:"))
        assert client.docmd(base64.b64encode(b"two words").decode())[0] == 235
    with encrypted(lab, relay) as client:
        client.docmd("AUTH LOGIN")
        assert client.docmd("*") == (501, b"Authentication cancelled")


def test_who_has_a_password_may_relay(lab: World, relay: Host, host: Host) -> None:
    host.start()
    try:
        with encrypted(lab, relay) as client:
            assert client.mail("st1@relay.test")[0] == 250
            assert client.rcpt("ann@st1.test") == (550, b"relay not permitted")
            client.rset()
            client.login("st1", "s3cret")
            client.sendmail(
                "st1@relay.test", ["ann@st1.test"], "From: st1@relay.test\r\nSubject: relayed\r\n\r\nx\r\n"
            )
        mail = until(lambda: "Subject: relayed" in host.mail("ann") and host.mail("ann"), "it arrives")
        assert re.search(r"by relay\.test with esmtpsa  \(TLS1\.[23]\) tls TLS_\w+\n", mail), mail
        assert re.search(
            r"<= st1@relay\.test H=\(client\.test\) \[203\.0\.113\.77\] P=esmtpsa X=TLS1\.[23]:\S+:\d+ CV=no "
            r"A=plain_server:st1 S=\d+",
            relay.log(),
        ), relay.log()
    finally:
        host.stop()


@pytest.mark.parametrize("mechanism", ["PLAIN", "LOGIN"])
def test_a_smarthost(lab: World, relay: Host, host: Host, mechanism: str) -> None:
    relay.write("users", "ann: ann\nbob: bob\n")
    extra = {"SMARTHOST_PLAIN": "yes"} if mechanism == "PLAIN" else {}
    host.configure(
        SMARTHOST_ADDR="relay.test", SMARTHOST_PORT="587", SMARTHOST_USER="st1", SMARTHOST_PASS="s3cret",
        SMARTHOST_MECH=mechanism, **extra,
    )  # fmt: skip
    try:
        done = host.exim(
            "-v", "-odf", "-f", "st1@relay.test", "bob@relay.test", stdin=f"Subject: {mechanism}\n\nx\n"
        )
        assert done.returncode == 0
        until(lambda: f"Subject: {mechanism}" in relay.mail("bob"), "the relay has it")
        assert done.stderr.count("EHLO mx.st1.test") == 2 and f"AUTH {mechanism}" in done.stderr
        assert "235 Authentication succeeded" in done.stderr
        assert re.search(
            r"=> bob@relay\.test R=smarthost T=smarthost_smtp H=relay\.test \[203\.0\.113\.21\] "
            r'X=TLS1\.[23]:\S+:\d+ CV=no A=smarthost_login C="250 OK id=',
            host.log(),
        ), host.log()
    finally:
        for name in list(host.macros):
            if name.startswith("SMARTHOST"):
                del host.macros[name]
        host.configure()


def test_a_wrong_password_waits(lab: World, relay: Host, host: Host) -> None:
    host.configure(
        SMARTHOST_ADDR="relay.test", SMARTHOST_PORT="587", SMARTHOST_USER="st1", SMARTHOST_PASS="wrong",
        SMARTHOST_MECH="LOGIN",
    )  # fmt: skip
    try:
        host.exim("-odf", "-f", "st1@relay.test", "bob@relay.test", stdin="Subject: no\n\nx\n")
        assert "smarthost_login authenticator failed H=relay.test [203.0.113.21] 535 Incorrect" in host.log()
        assert re.search(r"== bob@relay\.test .*defer \(-42\): authentication required but", host.log()), (
            host.log()
        )
        assert host.count() == 1
    finally:
        for queue_id in host.ids():
            host.exim("-Mrm", queue_id)
        for name in list(host.macros):
            if name.startswith("SMARTHOST"):
                del host.macros[name]
        for file in (host.folder / "spool" / "db").glob("*"):
            file.unlink()
        host.configure()


def test_encryption_that_is_demanded_and_not_offered(lab: World, host: Host) -> None:
    plain_relay = lab.host("plain.test", "plain.test", "203.0.113.22")
    plain_relay.start()
    host.configure(
        SMARTHOST_ADDR="plain.test", SMARTHOST_USER="st1", SMARTHOST_PASS="s3cret", SMARTHOST_MECH="LOGIN",
        SMARTHOST_PORT="25",
    )  # fmt: skip
    try:
        host.exim("-odf", "-f", "st1@st1.test", "bob@plain.test", stdin="Subject: no\n\nx\n")
        assert "a TLS session is required, but the server did not offer TLS support" in host.log()
        assert host.count() == 1 and "s3cret" not in plain_relay.log()
    finally:
        plain_relay.stop()
        for queue_id in host.ids():
            host.exim("-Mrm", queue_id)
        for name in list(host.macros):
            if name.startswith("SMARTHOST"):
                del host.macros[name]
        host.configure()


def test_two_servers_encrypt_by_themselves(lab: World, relay: Host, host: Host) -> None:
    host.exim("-odf", "-f", "ann@st1.test", "ann@relay.test", stdin="Subject: opportunity\n\nx\n")
    until(lambda: "Subject: opportunity" in relay.mail("ann"), "it arrives")
    assert re.search(
        r"=> ann@relay\.test R=dnslookup T=remote_smtp H=relay\.test \[203\.0\.113\.21\] X=TLS\S+ CV=no",
        host.log(),
    ), host.log()
    assert re.search(r"with esmtps  \(TLS1\.[23]\) tls TLS_\w+\n", relay.mail("ann"))


def test_a_block_list(lab: World, host: Host) -> None:
    host.configure(DNSBL="bl.test")
    host.start()
    try:
        lines = [
            "EHLO spam.test",
            "MAIL FROM:<a@b.test>",
            "RCPT TO:<ann@st1.test>",
            "RCPT TO:<postmaster@st1.test>",
        ]
        lab.addresses.append("203.0.113.66")
        lab._tell()
        host.stop()
        host.start()
        said = lab.dialogue(host, *lines, source="203.0.113.66")
        assert said[3] == (
            "550-rejected because 203.0.113.66 is in a black list at bl.test:\n550 a known spammer"
        )
        assert said[4] == "250 Accepted"
        assert lab.dialogue(host, *lines)[3] == "250 Accepted"
    finally:
        host.stop()
        del host.macros["DNSBL"]
        host.configure()


@pytest.mark.needs("swaks")
def test_swaks(lab: World, relay: Host) -> None:
    address, port = real(relay.address, 587)
    done = subprocess.run(
        ["swaks", "--server", f"{address}:{port}", "--local-interface", "127.0.113.77", "--to", "ann@relay.test",
         "--from", "x@far.test", "--helo", "client.test"],
        capture_output=True, text=True, timeout=30, check=False,
    )  # fmt: skip
    assert done.returncode == 23 and "530 5.7.0 Must issue a STARTTLS command first" in done.stdout


def test_a_greylist(lab: World, host: Host, require: Callable[[str], str]) -> None:
    import os
    import sqlite3

    database = host.folder / "grey.db"
    with sqlite3.connect(database) as connection:
        connection.execute("CREATE TABLE IF NOT EXISTS grey(k TEXT PRIMARY KEY, first INTEGER)")
    identity = lab.candidate.identity
    if "user" in identity:
        os.chown(database, identity["user"], identity["group"])
    host.configure(GREYLIST="1")
    host.start()
    try:
        lines = ["EHLO c.test", "MAIL FROM:<new@far.test>", "RCPT TO:<ann@st1.test>"]
        assert lab.dialogue(host, *lines)[3] == "451 Greylisted, please try again in 1 seconds"
        until(lambda: lab.dialogue(host, *lines)[3] == "250 Accepted", "a second later it is taken")
    finally:
        host.stop()
        del host.macros["GREYLIST"]
        host.configure()
