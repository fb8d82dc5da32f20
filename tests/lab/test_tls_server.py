"""TLS and AUTH of a server on real sockets: who is served, and what a stranger can do to it."""

from __future__ import annotations

import asyncio
import base64
import socket
import ssl
import subprocess
import time
from collections.abc import Callable, Coroutine, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from labkit import partners
from labkit.cli.lint import lint
from labkit.eximconf.reader import ConfigurationError
from labkit.lab.authority import Authority
from labkit.lab.certificates import make_key
from labkit.lab.engine import DoubtfulConfiguration
from labkit.lab.world import World
from labkit.mail.event import EventKind

Run = Callable[[Coroutine[Any, Any, Any]], Any]
Calls = Callable[..., Coroutine[Any, Any, Any]]
ANN, EVE = "ann@st11.sne21.test", "eve@stranger.test"
DAY = timedelta(days=1)
TLS = "tls_certificate = /etc/tls.crt\ntls_privatekey = /etc/tls.key\n"
PORTS = "daemon_smtp_ports = smtp : smtps : submission\ntls_on_connect_ports = 465\n"
AUTHENTICATORS = """
begin authenticators
plain:
  driver = plaintext
  public_name = PLAIN
  server_prompts = :
  server_condition = ${if eq{$auth2/$auth3}{ann/secret}}
  server_set_id = $auth2
  server_advertise_condition = ${if def:tls_in_cipher}
"""
GOOD = base64.b64encode(b"\0ann\0secret").decode()
_CLIENTS = ThreadPoolExecutor(8, "client")


def certificate(
    folder: Path, name: str, file: str = "tls", begin: timedelta = -DAY, end: timedelta = DAY
) -> None:
    """A certificate that vouches for itself, with its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = datetime.now(timezone.utc)
    made = (
        x509.CertificateBuilder(subject, subject, key.public_key(), x509.random_serial_number())
        .not_valid_before(now + begin)
        .not_valid_after(now + end)
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{file}.crt").write_bytes(made.public_bytes(serialization.Encoding.PEM))
    secret = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    (folder / f"{file}.key").write_bytes(secret)
    (folder / f"{file}.key").chmod(0o600)


def lab(main: str = "", more: str = "", **dates: timedelta) -> World:
    """A world on sockets; the student's host has a certificate and these options on top of its configuration."""
    world = partners(network="loopback")
    plan = next(plan for plan in world.scenario.hosts if plan.role == "student")
    folder = world.folder / plan.name / "etc"
    certificate(folder, plan.name, **dates)
    (folder / "exim.conf").write_text(main + plan.configuration + more)
    return world


def trusting(world: World, file: str = "tls.crt") -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=str(world.folder / world.mine.name / "etc" / file))
    context.check_hostname = False
    return context


def _says(line: bytes, stream: Any) -> str:
    if line:
        stream.write(line)
        stream.flush()
    while (said := stream.readline()) and said[3:4] == b"-":
        pass
    return str(said.decode("latin-1").rstrip())


async def talk(
    world: World,
    *lines: str,
    port: int = 25,
    context: ssl.SSLContext | None = None,
    name: str | None = None,
    at_once: bool = False,
) -> tuple[list[str], Any]:
    """Say lines one by one; STARTTLS begins TLS. The replies, and the certificate of the server."""
    place, here = world.real(world.mine.address, port), (world.real(world.partner_laptop.address, 0)[0], 0)

    def speak() -> tuple[list[str], Any]:
        shown: Any = None
        said: list[str] = []
        connection: socket.socket = socket.create_connection(place, 20, here)
        try:
            if at_once and context is not None:
                connection = context.wrap_socket(connection, server_hostname=name)
                shown = connection.getpeercert()
            stream = connection.makefile("rwb")
            said.append(_says(b"", stream))
            for line in lines:
                said.append(_says(line.encode() + b"\r\n", stream))
                if line == "STARTTLS" and context is not None and said[-1].startswith("220"):
                    connection = context.wrap_socket(connection, server_hostname=name)
                    shown = connection.getpeercert()
                    stream = connection.makefile("rwb")
        finally:
            connection.close()
        return said, shown

    return await asyncio.get_running_loop().run_in_executor(_CLIENTS, speak)


MAIL, RCPT = f"MAIL FROM:<{EVE}>", f"RCPT TO:<{ANN}>"


def test_a_session_begins_anew(run: Run) -> None:
    """RFC 3207 §4.2: nothing that was said in the clear counts."""

    async def story() -> None:
        async with lab(TLS) as world:
            said, _ = await talk(
                world, "EHLO a.test", MAIL, "STARTTLS", RCPT, MAIL, "EHLO b.test", "STARTTLS", RCPT, MAIL, RCPT,
                context=trusting(world),
            )  # fmt: skip
            assert [line[:3] for line in said] == "220 250 250 220 503 503 250 503 503 250 250".split()
            assert said[7] == "503 STARTTLS command used when not advertised", "not twice"

    run(story())


def test_what_is_sent_before_the_handshake_is_forgotten(run: Run, greeted: Calls) -> None:
    """The injection: commands in the clear behind STARTTLS must not be obeyed inside TLS."""

    async def story() -> None:
        async with lab("smtp_enforce_sync = false\n" + TLS) as world:
            caller = await greeted(world)
            caller.say(b"STARTTLS\r\nEHLO evil.test\r\n" + MAIL.encode() + b"\r\n")
            assert await caller.hear() == "220 TLS go ahead"
            reader, writer = caller.reader, caller.writer
            await writer.start_tls(trusting(world))
            writer.write(RCPT.encode() + b"\r\n")
            assert (await reader.readline()).startswith(b"503 "), "no sender is known"
            caller.hang_up()
        async with lab(TLS) as world:
            caller = await greeted(world)
            assert await caller.ask("STARTTLS\r\nNOOP") == ["554 SMTP synchronization error"]

    run(story())


def test_auth_inside_tls_alone(run: Run) -> None:
    async def story() -> None:
        main = "log_selector = +all\n" + TLS + PORTS
        async with lab(main, AUTHENTICATORS) as world:
            clear, _ = await talk(world, "EHLO a.test", f"AUTH PLAIN {GOOD}")
            assert clear[2] == "503 AUTH command used when not advertised"
            for port in (587, 465):
                said, _ = await talk(
                    world,
                    *(["EHLO a.test", "STARTTLS"] if port == 587 else []),
                    "EHLO a.test", f"AUTH PLAIN {GOOD}", MAIL, "RCPT TO:<someone@elsewhere.test>", RCPT, "DATA",
                    "Subject: x\r\n\r\nx\r\n.",
                    port=port, context=trusting(world), at_once=port == 465,
                )  # fmt: skip
                assert "235 Authentication succeeded" in said
                assert said[-1].startswith("250 OK id=")
            await world.settle()
            for letter in world.mine.mailbox("ann"):
                trace = next(letter.all("Received")).value
                assert " with esmtpsa  (TLS1.3) tls TLS_AES_256_GCM_SHA384\t(labkit" in trace
            for fact in world.journal.where(EventKind.RECEIVED, host=world.mine.name):
                assert fact.authenticator == "plain:ann" and fact.is_verified is False
                assert fact.cipher == "TLS1.3:TLS_AES_256_GCM_SHA384:256"
            assert "secret" not in world.mine.log()

    run(story())


def test_nobody_reads_a_password_in_the_journal(run: Run) -> None:
    """What follows AUTH, and each answer to a challenge, is no more to see than in Exim's log."""

    def coded(text: str) -> str:
        return base64.b64encode(text.encode()).decode()

    login = "login:\n  driver = plaintext\n  public_name = LOGIN\n  server_prompts = User:: : Word::\n"
    login += "  server_condition = ${if eq{$auth1/$auth2}{ann/secret}}\n  server_set_id = $auth1\n"

    async def story() -> None:
        async with lab(TLS, AUTHENTICATORS + login) as world:
            said, _ = await talk(
                world,
                "EHLO a.test", "STARTTLS", "EHLO a.test",
                f"AUTH PLAIN {coded(chr(0) + 'ann' + chr(0) + 'guess')}", "AUTH LOGIN", coded("ann"), coded("guess"),
                f"auth  plain  {GOOD}", "QUIT",
                context=trusting(world),
            )  # fmt: skip
            assert [line[:3] for line in said[4:]] == ["535", "334", "334", "535", "235", "221"]
            lines = [event.text or "" for event in world.journal.where(EventKind.DIALOGUE)]
            shown = [line for line in lines if line[:4].upper() == "AUTH" or line.strip("*") == ""]
            assert shown == [
                "AUTH PLAIN " + "*" * 16,
                "AUTH LOGIN",
                "*" * 4,
                "*" * 8,
                "auth  plain  " + "*" * 16,
            ]
            assert not [line for line in lines if GOOD in line or coded("guess") in line]

    run(story())


def test_another_certificate_for_another_name(run: Run) -> None:
    async def story() -> None:
        main = TLS.replace("/tls.", "/${if eq{$tls_in_sni}{other.test}{other}{tls}}.")
        async with lab(main) as world:
            certificate(world.folder / world.mine.name / "etc", "other.test", "other")
            _, shown = await talk(
                world, "EHLO a.test", "STARTTLS", context=trusting(world), name=world.mine.name
            )
            assert shown["subjectAltName"] == (("DNS", world.mine.name),)
            _, shown = await talk(
                world, "EHLO a.test", "STARTTLS", context=trusting(world, "other.crt"), name="other.test"
            )
            assert shown["subjectAltName"] == (("DNS", "other.test"),)

    run(story())


def test_a_certificate_that_is_gone(run: Run) -> None:
    """What goes wrong later costs the client TLS, and not the session."""

    async def story() -> None:
        async with lab(TLS) as world:
            (world.folder / world.mine.name / "etc/tls.key").unlink()
            said, _ = await talk(world, "EHLO a.test", "STARTTLS", MAIL, RCPT)
            assert said[2:] == ["454 TLS currently unavailable", "250 OK", "250 Accepted"]
            assert "TLS error on connection from (a.test) [" in world.mine.log()
            assert "cert=/etc/tls.crt key=/etc/tls.key" in world.mine.log()

    run(story())


def test_who_must_show_a_certificate(run: Run) -> None:
    async def story() -> None:
        main = TLS + "tls_verify_hosts = *\ntls_verify_certificates = /etc/friends.crt\n"
        async with lab(main) as world:
            folder = world.folder / world.mine.name / "etc"
            certificate(folder, "friend.test", "friends")
            context = trusting(world)
            context.maximum_version = ssl.TLSVersion.TLSv1_2  # in 1.3 a client hears of it later
            with pytest.raises((ssl.SSLError, ConnectionError)):
                await talk(world, "EHLO a.test", "STARTTLS", "EHLO a.test", context=context)
            context.load_cert_chain(folder / "friends.crt", folder / "friends.key")
            said, _ = await talk(world, "EHLO a.test", "STARTTLS", "EHLO a.test", context=context)
            assert said[-1].startswith("250 ")
            assert "peer did not return a certificate" in world.mine.log()

    run(story())


def test_who_shows_a_bad_certificate(run: Run) -> None:
    """tls_try_verify_hosts: who shows none is taken, and who shows one that nobody vouches for is not."""

    async def story() -> None:
        main = TLS + "tls_try_verify_hosts = *\ntls_verify_certificates = /etc/friends.crt\n"
        async with lab(main) as world:
            folder = world.folder / world.mine.name / "etc"
            certificate(folder, "friend.test", "friends")
            certificate(folder, "enemy.test", "enemies")
            for name, is_taken in (("", True), ("friends", True), ("enemies", False)):
                context = trusting(world)
                context.maximum_version = ssl.TLSVersion.TLSv1_2  # in 1.3 a client hears of it later
                if name:
                    context.load_cert_chain(folder / f"{name}.crt", folder / f"{name}.key")
                talking = talk(world, "EHLO a.test", "STARTTLS", "EHLO a.test", context=context)
                if is_taken:
                    said, _ = await talking
                    assert said[-1].startswith("250 "), name
                else:
                    with pytest.raises((ssl.SSLError, ConnectionError)):
                        await talking

    run(story())


def test_a_plain_client_at_the_tls_port(run: Run, call: Calls) -> None:
    """No banner, then an alert: 15 03 03 00 02 02 0a, as Exim sends it."""

    async def story() -> None:
        async with lab(TLS + PORTS) as world:
            caller = await call(world, port=465, banner=False)
            with pytest.raises(asyncio.TimeoutError):
                await asyncio.wait_for(caller.reader.read(1), 0.3)
            caller.say(b"EHLO plain.test\r\n")
            assert (await caller.rest()).encode("latin-1") == bytes.fromhex("1503030002020a")
            assert "TLS error on connection from [" in world.mine.log()

    run(story())


GARBAGE = [
    b"\0" * 4000,
    b"GET / HTTP/1.1\r\n\r\n",
    b"\x16\x03\x01" + b"\xff" * 40000,
    b"\x16\x03\x01\x00\x04\x01\x00\x00\x00",
    b"\x16\x03\x01\x00\x06\x01\xff\xff\xff\x03\x03" * 300,
    b"\x80\x2e\x01\x00\x02" + b"\0" * 60,
    b"\x15\x03\x01\x00\x02\x02\x28",
    b"\x16" * 2_000_000,
]


@pytest.mark.parametrize("port", [25, 465])
def test_garbage(run: Run, call: Calls, greeted: Calls, port: int) -> None:
    """Whatever comes in place of a handshake ends the connection, and nobody else notices."""

    async def story() -> None:
        async with lab(TLS + PORTS) as world:
            for octets in GARBAGE:
                if port == 25:
                    caller = await greeted(world)
                    assert await caller.codes("STARTTLS") == [220]
                else:
                    caller = await call(world, port=465, banner=False)
                caller.say(octets)
                caller.writer.write_eof()
                with suppress(ConnectionError):
                    assert "250" not in await caller.rest()
                caller.hang_up()
            said, _ = await talk(world, "EHLO a.test", "STARTTLS", "EHLO a.test", context=trusting(world))
            assert said[-1].startswith("250 ")
            await world.settle()
            assert not list(world.journal.where(EventKind.PROBLEM))
            assert all(line.isprintable() for line in world.mine.log().split("\n"))

    run(story())


def test_a_slow_handshake_ends(run: Run, call: Calls) -> None:
    """A stranger who drips the handshake has as long as one who is silent, and no longer."""

    async def story() -> None:
        async with lab("smtp_receive_timeout = 1s\n" + TLS + PORTS) as world:
            callers = [await call(world, port=465, banner=False) for _ in range(2)]
            began = time.monotonic()
            with suppress(ConnectionError):
                while time.monotonic() < began + 5 and not callers[0].reader.at_eof():
                    callers[0].say(b"\x16\x03\x01\x02\x00"[:1])
                    await asyncio.sleep(0.1)
            assert time.monotonic() < began + 3
            assert await callers[1].rest() == ""
            assert "(SSL_accept): timed out" in world.mine.log()

    run(story())


def test_idle_clients_do_not_stop_others(run: Run, call: Calls) -> None:
    """100 in the middle of the handshake, and 100 that have it behind them."""

    async def story() -> None:
        async with lab(TLS + PORTS) as world:
            context = trusting(world)
            for _ in range(100):
                (await call(world, port=465, banner=False)).say(b"\x16\x03\x01\x02")
                caller = await call(world, port=465, banner=False)
                await caller.writer.start_tls(context)
                assert (await caller.hear()).startswith("220 ")
            said, _ = await talk(world, "EHLO a.test", MAIL, RCPT, port=465, context=context, at_once=True)
            assert said[-1] == "250 Accepted"

    run(story())


def test_no_renegotiation(run: Run, require: Callable[[str], str]) -> None:
    openssl = require("openssl")

    async def story() -> None:
        async with lab(TLS + PORTS) as world:
            address, port = world.real(world.mine.address, 465)
            here = world.real(world.partner_laptop.address, 0)[0]
            words = [openssl, "s_client", "-tls1_2", "-bind", f"{here}:0", "-connect", f"{address}:{port}"]
            process = await asyncio.create_subprocess_exec(
                *words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE
            )
            assert process.stdin and process.stdout and process.stderr
            said = b""
            while b"220 " not in said:
                said += await asyncio.wait_for(process.stdout.read(4096), 20)
            process.stdin.write(b"R\n")
            told = await asyncio.wait_for(process.stderr.read(), 20)
            await process.wait()
            assert b"no renegotiation" in told
            assert b"Cipher is ECDHE-ECDSA-AES256-GCM-SHA384" in said

    run(story())


def another_key(etc: Path) -> None:
    certificate(etc, "b.test", "other")
    (etc / "other.key").rename(etc / "tls.key")


def locked_key(etc: Path) -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    locked = serialization.BestAvailableEncryption(b"secret")
    octets = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, locked)
    (etc / "tls.key").write_bytes(octets)


def key_for_both(etc: Path) -> None:
    (etc / "tls.crt").write_bytes((etc / "tls.key").read_bytes())


def wrong_order(etc: Path) -> None:
    own = (etc / "tls.crt").read_bytes()
    certificate(etc, "b.test", "other")
    (etc / "tls.crt").write_bytes((etc / "other.crt").read_bytes() + own)


def weak(etc: Path) -> None:
    key = make_key("rsa", 1024)
    (etc / "tls.key").write_text(key.private_pem)
    (etc / "tls.crt").write_text(key.self_signed("b.test"))


BAD: list[tuple[str, str, Callable[[Path], object], str]] = [
    (TLS, "tls_certificate", lambda etc: (etc / "tls.crt").unlink(), "the certificate /etc/tls.crt cannot be read"),
    (TLS, "tls_privatekey", lambda etc: (etc / "tls.key").unlink(), "the key /etc/tls.key cannot be read"),
    (TLS, "tls_privatekey", lambda etc: (etc / "tls.key").chmod(0o644), "can be read by everybody"),
    (TLS, "tls_privatekey", lambda etc: (etc / "tls.key").write_text("x"), "holds no private key"),
    (TLS, "tls_certificate", lambda etc: (etc / "tls.crt").write_text("x"), "holds no certificate"),
    (TLS, "tls_privatekey", lambda etc: another_key(etc), "does not belong"),
    (TLS, "tls_certificate", lambda etc: certificate(etc, "b.test", end=-DAY / 2), "has expired"),
    (TLS, "tls_certificate", lambda etc: certificate(etc, "b.test", begin=DAY, end=2 * DAY), "is not yet valid"),
    ("tls_certificate = /etc/tls.crt\n", "tls_certificate", lambda etc: None, "holds no private key"),
    (TLS, "tls_privatekey", lambda etc: locked_key(etc), "is encrypted, and a server has nobody"),
    (TLS, "tls_certificate", lambda etc: key_for_both(etc), "but a private key"),
    (TLS, "tls_certificate", lambda etc: wrong_order(etc), "in the wrong order"),
    (TLS, "tls_certificate", lambda etc: weak(etc), "weak: RSA with 1024 bits"),
    ("tls_privatekey = /etc/tls.key\n", "tls_privatekey", lambda etc: None, "and no tls_certificate"),
    ("tls_require_ciphers = nothing\n", "tls_require_ciphers", lambda etc: None, "names no cipher"),
]  # fmt: skip


@pytest.mark.parametrize("main, option, spoil, words", BAD)
def test_said_when_the_configuration_is_read(
    run: Run, main: str, option: str, spoil: Callable[[Path], object], words: str
) -> None:
    async def story() -> None:
        async with lab() as world:
            etc = world.folder / world.mine.name / "etc"
            spoil(etc)
            text = main + (etc / "exim.conf").read_text()
            world.mine.write_configuration(text)
            with pytest.raises(ConfigurationError, match=words) as raised:
                await world.mine.reload()
            place, lines = raised.value.place, text.split("\n")
            assert lines[place.line - 1].startswith(option), place
            assert raised.value.remedy

    run(story())


SUBMISSIONS = "daemon_smtp_ports = 25 : 465\n"
DOUBTFUL: list[tuple[str, str, Callable[[Path], object], str]] = [
    (TLS + "tls_on_connect_ports = 465\n", "tls_on_connect_ports", lambda etc: None, "does not listen there"),
    (TLS + SUBMISSIONS, "daemon_smtp_ports", lambda etc: None, "both wait"),
    ("tls_advertise_hosts =\n" + TLS, "tls_certificate", lambda etc: None, "offered to nobody"),
    (TLS, "tls_certificate", lambda etc: certificate(etc, "b.test"), "is for b.test, and this host is"),
    (TLS, "tls_certificate", lambda etc: nameless(etc), "has no subjectAltName"),
    (TLS, "tls_certificate", lambda etc: a_gap(etc), "has not signed certificate 1"),
]


def nameless(etc: Path) -> None:
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "mx2.st11.sne21.test")])
    key = ec.generate_private_key(ec.SECP256R1())
    made = (
        x509.CertificateBuilder(name, name, key.public_key(), 1)
        .not_valid_before(datetime.now(timezone.utc) - DAY)
        .not_valid_after(datetime.now(timezone.utc) + DAY)
        .sign(key, hashes.SHA256())
    )
    (etc / "tls.crt").write_bytes(made.public_bytes(serialization.Encoding.PEM))
    secret = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    (etc / "tls.key").write_bytes(secret)


def a_gap(etc: Path) -> None:
    certificate(etc, "b.test", "other")
    (etc / "tls.crt").write_bytes((etc / "tls.crt").read_bytes() + (etc / "other.crt").read_bytes())


@pytest.mark.parametrize("main, option, spoil, words", DOUBTFUL)
def test_doubts(run: Run, main: str, option: str, spoil: Callable[[Path], object], words: str) -> None:
    """The host runs with it, and is told."""

    async def story() -> None:
        async with lab() as world:
            etc = world.folder / world.mine.name / "etc"
            spoil(etc)
            text = main + (etc / "exim.conf").read_text()
            world.mine.write_configuration(text)
            with pytest.warns(DoubtfulConfiguration, match=words) as told:
                await world.mine.reload()
            assert len(told) == 1
            assert text.split("\n")[told[0].lineno - 1].startswith(option)

    run(story())


def test_lint_says_more(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A chain of one: right under a root, wrong under an intermediate; who asks is told."""
    authority = Authority(tmp_path / "authority")
    pem = authority.certificate_for("mx.test").read_text()
    leaf, key = pem[: pem.index("-----END CERT") + 26], pem[pem.index("-----BEGIN PRIVATE") :]
    for name, text in (("tls.crt", leaf), ("tls.key", key)):
        (tmp_path / name).write_text(text)
        (tmp_path / name).chmod(0o600)
    file = tmp_path / "exim.conf"
    file.write_text(TLS.replace("/etc/", f"{tmp_path}/"))
    assert lint([str(file)]) == 0
    said = capsys.readouterr()
    assert (
        "has no certificate of who signed it: CN=labkit's lab authority" in said.err
        and "with doubts" in said.out
    )
    (tmp_path / "tls.crt").write_text(pem[: pem.index("-----BEGIN PRIVATE")])
    assert lint([str(file)]) == 0 and "doubts" not in capsys.readouterr().out


@pytest.fixture(autouse=True)
def _nothing_is_left(recwarn: pytest.WarningsRecorder) -> Iterator[None]:
    yield
    assert not [each for each in recwarn if issubclass(each.category, ResourceWarning)]
