"""The matrix of TLS: what each cell must be, by hand from the RFCs, and what labkit and the real Exim make of it.

EXPECTED   RFC 3207 §4: a public MX takes mail in the clear, submission may refuse it; §6: who lets STARTTLS be stripped
           goes on in the clear. RFC 7435: opportunistic means any certificate. RFC 8314 §3: with TLS from the start
           nothing can be stripped or put in. Verification alone keeps a password from whoever ends the TLS himself.
THOROUGH   LABKIT_THOROUGH=1 runs all 48 cells on the real Exim, too.
"""

from __future__ import annotations

import asyncio
import os
import smtplib
import time
import warnings
from collections.abc import Callable, Coroutine
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from labkit.lab.authority import Authority
from labkit.lab.data import data_path
from labkit.lab.tls_cell import ATTACKERS, CLIENTS, OUTCOMES, PORTS
from labkit.lab.tls_matrix import REST, NoSuchCell, TlsMatrix, run_cell, run_matrix, secrets_of
from labkit.lab.world import World
from labkit.mail.event import EventKind
from labkit.net.tls_checks import Fault, name_doubt
from labkit.net.tls_contexts import Wants, client_context

Run = Callable[[Coroutine[Any, Any, Any]], Any]
THOROUGH = os.environ.get("LABKIT_THOROUGH") == "1"

# port, client: what becomes of the letter with nobody, stripping, own certificate, injection in between; because
EXPECTED = [
    (25, "plain", "clear clear clear clear", "an MX takes what comes, and nothing hides it"),
    (25, "opportunistic", "encrypted clear read encrypted", "it takes what it gets, and any certificate"),
    (25, "required", "encrypted refused read encrypted", "it insists on TLS, with whomever"),
    (25, "verified", "encrypted refused refused encrypted", "with the right one, or with nobody"),
    (465, "plain", "refused refused refused refused", "it waits for a banner, the server for TLS"),
    (465, "opportunistic", "encrypted encrypted stolen encrypted", "TLS there is, and any certificate"),
    (465, "required", "encrypted encrypted stolen encrypted", "the same: TLS is there anyway"),
    (465, "verified", "encrypted encrypted refused encrypted", "nobody can pose as the server"),
    (587, "plain", "refused stolen refused refused", "it tells its password to who offers AUTH"),
    (587, "opportunistic", "encrypted stolen stolen encrypted", "stripped, it goes on in the clear"),
    (587, "required", "encrypted refused stolen encrypted", "it insists on TLS, with whomever"),
    (587, "verified", "encrypted refused refused encrypted", "with the right one, or with nobody"),
]
ROWS = {f"{port} {client}": dict(zip(ATTACKERS, said.split())) for port, client, said, _ in EXPECTED}


def test_the_expectation_is_whole() -> None:
    assert set(ROWS) == {f"{port} {client}" for port in PORTS for client in CLIENTS}
    assert all(set(row) == set(ATTACKERS) and set(row.values()) <= set(OUTCOMES) for row in ROWS.values())


def no_password_leaves(matrix: TlsMatrix) -> None:
    """The invariant, asked of the evidence and not of the outcome's name."""
    asked = 0
    for (_, client, _), cell in matrix.cells.items():
        if client == "verified":
            asked += 1
            assert cell.told == () and cell.letters == () and cell.on_wire == (), cell
            assert cell.outcome in ("encrypted", "refused") and cell.fate in ("delivered", "waits"), cell
        if cell.outcome == "stolen":
            assert [(told.login, told.is_right) for told in cell.told] == [("ann", True)], cell
        if cell.outcome == "refused":
            assert cell.fate == "waits", "nothing is lost"
        if cell.outcome in ("clear", "read", "encrypted"):
            assert cell.fate == "delivered"
    assert asked


@pytest.mark.alone
@pytest.mark.parametrize("network", ["memory", "loopback"])
def test_on_labkit(network: str, run: Run) -> None:
    began = time.process_time()
    matrix = run(run_matrix(network=network, engine="labkit"))
    assert matrix.rows() == ROWS
    no_password_leaves(matrix)
    assert time.process_time() - began < 6, "the notebook has no more for all 48 cells"


@pytest.mark.needs("exim", "gcc")
def test_on_the_real_exim(run: Run) -> None:
    """All attackers at submission, where the passwords are; the rest where there is time."""
    ports = tuple(PORTS) if THOROUGH else (587,)
    matrix = run(run_matrix(network="loopback", engine="exim", ports=ports))
    assert matrix.rows() == {row: said for row, said in ROWS.items() if int(row.split()[0]) in ports}
    no_password_leaves(matrix)


@pytest.mark.needs("exim", "gcc")
@pytest.mark.parametrize(
    "port, client, attacker, outcome",
    [
        (25, "plain", "none", "clear"),
        (25, "verified", "own certificate", "refused"),
        (465, "plain", "none", "refused"),
        (465, "verified", "own certificate", "refused"),
    ],
)
def test_some_more_on_the_real_exim(port: int, client: str, attacker: str, outcome: str, run: Run) -> None:
    matrix = run(
        run_matrix(engine="exim", network="loopback", ports=[port], clients=[client], attackers=[attacker])
    )
    assert matrix.why(port=port, client=client, attacker=attacker).outcome == outcome


@pytest.mark.parametrize(
    "engine, network, patience, waits",
    [
        ("labkit", "memory", "9s", "in lab time"),
        pytest.param("exim", "loopback", "2s", "in real time", marks=pytest.mark.needs("exim", "gcc")),
    ],
)
def test_who_waits_for_a_banner_at_465(
    engine: str, network: str, patience: str, waits: str, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The server waits for TLS, the client for a banner (docs/differences.md, `silent-465`)."""
    monkeypatch.setattr("labkit.lab.tls_cell.BANNER_PATIENCE", patience)

    async def story() -> tuple[float, timedelta]:
        async with World.open(
            "tls_matrix", engine=engine, network=network, alongside=True, queue_interval=None
        ) as world:
            began = time.monotonic()
            cell = await run_cell(world, 465, "plain", "none")
            took = time.monotonic() - began
            assert cell.outcome == "refused"
            (received,) = world.journal.where(EventKind.RECEIVED, host=world.mine.name)
            (deferred,) = world.journal.where(EventKind.DEFERRED, host=world.mine.name)
            return took, deferred.at - received.at

    took, lab_time = run(story())
    if waits == "in lab time":
        assert lab_time == timedelta(seconds=9) > timedelta(seconds=took)
    else:
        assert lab_time < timedelta(seconds=2) <= timedelta(seconds=took)


@pytest.mark.parametrize("certificate", ["own", "expired", "wrong name", "self-signed"])
def test_every_bad_certificate_is_refused_by_who_verifies(certificate: str, run: Run) -> None:
    """A certificate that is good for another name is as bad as one that nobody vouches for (RFC 9525 §6)."""

    async def story() -> None:
        async with World.open("tls_matrix", network="memory", alongside=True, queue_interval=None) as world:
            for port in (465, 587):
                cell = await run_cell(world, port, "verified", "own certificate", certificate=certificate)
                assert (cell.outcome, cell.told) == ("refused", ()), cell
            taken = await run_cell(world, 587, "required", "own certificate", certificate=certificate)
            assert taken.outcome == "stolen"

    run(story())


def test_words_before_the_handshake(run: Run) -> None:
    """What is put behind the server's 220 must not be taken for the answer to EHLO inside of TLS."""

    async def story() -> None:
        async with World.open("tls_matrix", network="memory", alongside=True, queue_interval=None) as world:
            cell = await run_cell(world, 587, "verified", "answers")
            assert (cell.outcome, cell.fate) == ("refused", "waits")
            assert "synch error" in "\n".join(cell.client_log)

    run(story())


BOB = "bob@st2.sne21.test"  # whom these tests make the attacker's own address


@pytest.mark.parametrize(
    "sender, text, outcome",
    [
        (BOB, "EHLO mx2.st11.sne21.test", "injected"),
        (BOB, "AUTH PLAIN {secret}", "stolen"),
        ("carl@else.test", "AUTH PLAIN {secret}", "encrypted"),
    ],
)
def test_a_server_that_takes_injected_commands(sender: str, text: str, outcome: str, run: Run) -> None:
    """None of ours does; what it would bring the attacker is put there by hand while the cell is run, inside of TLS."""

    async def story() -> None:
        async with World.open("tls_matrix", network="loopback", alongside=True, queue_interval=None) as world:
            world.middle.plan = replace(world.middle.plan, address=BOB)
            (secret, *_) = secrets_of(world)["password"]
            body = text.format(secret=secret.decode())
            place, here = world.real("203.0.113.2", 25), (world.real(world.middle.host.address, 0)[0], 0)

            def put_in() -> None:
                with smtplib.SMTP(*place, timeout=20, source_address=here) as client:
                    client.starttls(context=client_context(wants=Wants.NOTHING))
                    letter = f"From: {sender}\r\nSubject: what the client said\r\n\r\n{body}\r\n"
                    client.sendmail(sender, BOB, letter)

            in_between = world.now() + timedelta(seconds=REST + 1)
            world.at(in_between, lambda: asyncio.to_thread(put_in), "it is put in")
            cell = await run_cell(world, 587, "required", "none")
            assert (cell.outcome, cell.fate) == (outcome, "delivered")
            assert cell.told == () and cell.letters == () and cell.on_wire == (), (
                "by the injected letter alone"
            )

    run(story())


OWN = "in the middle's own TLS"
INJECTED = [
    "EHLO mx.mallory.test",
    "MAIL FROM:<mallory@mallory.test>",
    "RCPT TO:<mallory@mallory.test>",
    "DATA",
]


@pytest.mark.parametrize(
    "port, client, attacker, seen",
    [
        (25, "required", "none", [("C", "(TLS begins: from here on nothing can be read)", "cannot be read")]),
        (25, "required", "strips", [("S", "250-STARTTLS", "left out")]),
        (587, "required", "strips", [("S", "250-STARTTLS", "left out"), ("C", "STARTTLS", "put in")]),
        (
            25,
            "required",
            "injects",
            [
                *(("C", line, "put in") for line in INJECTED),
                ("C", "From: mallory@mallory.test", "put in"),
                ("C", "Subject: what the client said", "put in"),
                ("C", "", "put in"),
                ("C", "(TLS begins: from here on nothing can be read)", "cannot be read"),
            ],
        ),
        (
            587,
            "required",
            "answers",
            [
                ("S", "250-mx2.st2.sne21.test Hello", "put in"),
                ("S", "250 AUTH PLAIN LOGIN", "put in"),
                ("C", "(TLS begins: from here on nothing can be read)", "cannot be read"),
            ],
        ),
        (25, "required", "own certificate", [("C", "(TLS with the client ends here)", OWN)]),
        (465, "required", "own certificate", [("C", "(TLS with the client ends here)", OWN)]),
        (465, "verified", "own certificate", [("C", "(no TLS: tlsv1 alert unknown ca)", OWN)]),
        (587, "verified", "own certificate", [("C", "(no TLS: tlsv1 alert unknown ca)", OWN)]),
    ],
)
def test_whatever_he_does_is_seen(
    port: int, client: str, attacker: str, seen: list[tuple[str, str, str]], run: Run
) -> None:
    """Each line that he leaves out or puts in, and where TLS ends, stands in the dialogue of the cell."""
    matrix = run(run_matrix(network="memory", ports=[port], clients=[client], attackers=[attacker]))
    dialogue = matrix.why(port=port, client=client, attacker=attacker).dialogue
    meddled = [each for each in dialogue if each[2] not in ("in the clear", OWN)]
    ends = [each for each in dialogue if each[1].startswith("(")]
    assert [each for each in dialogue if each in meddled or each in ends] == seen
    is_read = any(each[1].startswith("MAIL FROM:<ann@") for each in dialogue)
    assert is_read == (attacker == "own certificate" and client == "required"), "and what he reads as well"


def test_silence_costs_lab_time_alone(run: Run) -> None:
    """A client that waits for a banner at 465 waits by the lab's clock, however long its patience is."""

    async def story() -> None:
        async with World.open("tls_matrix", network="loopback", alongside=True, queue_interval=None) as world:
            mine = world.mine
            mine.write_configuration(mine.configuration.replace("port     = 25", "port = 465"))
            await mine.reload()
            before, began = world.now(), time.monotonic()
            await mine.send("ann@st11.sne21.test", "bob@st2.sne21.test", "Subject: x\n\nx\n")
            await world.advance(minutes=6)
            assert time.monotonic() - began < 5
            deferred = next(line for line in mine.log().splitlines() if " == " in line)
            assert "SMTP timeout after initial connection" in deferred
            assert deferred.startswith(f"{before + timedelta(minutes=5):%Y-%m-%d %H:%M:%S}")

    run(story())


def test_a_server_of_your_own(run: Run) -> None:
    """A server that offers AUTH in the clear: then nobody has to meddle, looking is enough."""
    text = data_path("scenarios", "tls_server", "host.conf").read_text(encoding="utf-8")
    text = text.replace("{host}", "mx2.st2.sne21.test").replace("{domain}", "st2.sne21.test")
    careless = text.replace("  server_advertise_condition = ${if def:tls_in_cipher}\n", "")
    assert careless != text
    matrix = run(
        run_matrix(server=careless, network="memory", ports=[587], clients=["plain"], attackers=["none"])
    )
    cell = matrix.why(port=587, client="plain", attacker="none")
    assert cell.outcome == "stolen" and "password" in cell.on_wire
    assert cell.fate == "gone", "the server wants TLS before MAIL and says 530, but the password is out"


def test_cells_that_there_are_not(run: Run) -> None:
    with pytest.raises(NoSuchCell, match="there is no 26; there are 25, 465, 587"):
        run(run_matrix(ports=[26]))
    matrix = run(run_matrix(network="memory", ports=[25], clients=["plain"], attackers=["none"]))
    with pytest.raises(NoSuchCell, match="was not run"):
        matrix.why(port=25, client="plain", attacker="strips")


@pytest.mark.parametrize(
    "engine, network",
    [("labkit", "memory"), pytest.param("exim", "loopback", marks=pytest.mark.needs("exim", "gcc"))],
)
def test_a_certificate_that_has_a_common_name_alone(engine: str, network: str, run: Run) -> None:
    """RFC 9525 §2 forbids to go by it. Both clients do all the same, which is why a doubt says "some"."""

    async def story() -> None:
        async with World.open(
            "tls_matrix", engine=engine, network=network, alongside=True, queue_interval=None
        ) as world:
            file = world.partner.path("/etc/ssl/host.pem")
            assert not doubts(file, world.partner.name)
            file.write_bytes(named_by_its_subject(world.authority, world.partner.name))
            (doubt,) = doubts(file, world.partner.name)
            assert "no subjectAltName" in doubt.problem and "some (Exim 4.96) do" in doubt.remedy
            with warnings.catch_warnings(record=True):
                warnings.simplefilter("always")
                await world.partner.reload()
            cell = await run_cell(world, 465, "verified", "none")
            assert (cell.outcome, cell.fate) == ("encrypted", "delivered")
            (sent,) = world.journal.where(EventKind.DELIVERED, host=world.mine.name)
            assert sent.is_verified

    run(story())


def doubts(file: Path, host: str) -> list[Fault]:
    return name_doubt(file, "host.pem", host)


def named_by_its_subject(authority: Authority, name: str) -> bytes:
    """A certificate of the lab's authority without alternative names, and its key."""
    own = x509.load_pem_x509_certificate(authority.prepare().read_bytes())
    signer = serialization.load_pem_private_key((authority.folder / "ca.key").read_bytes(), None)
    assert isinstance(signer, ec.EllipticCurvePrivateKey)
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    usage = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH])
    builder = x509.CertificateBuilder(own.subject, subject, key.public_key(), x509.random_serial_number())
    builder = builder.not_valid_before(datetime(2021, 1, 1)).not_valid_after(datetime(2049, 1, 1))
    signed = builder.add_extension(usage, critical=False).sign(signer, hashes.SHA256())
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    return signed.public_bytes(serialization.Encoding.PEM) + private
