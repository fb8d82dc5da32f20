"""Notebook 06: the facts it teaches, its exercises with the model answers, and each typical mistake with its hint."""

from __future__ import annotations

import asyncio
import warnings
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace
from datetime import datetime, timezone
from functools import lru_cache
from typing import Any

import pytest

from labkit.lab.certificates import TlsKey, have_signed, install, make_key
from labkit.lab.handshakes import watch_handshake
from labkit.lab.port_calls import call
from labkit.lab.tls_matrix import TlsMatrix, run_matrix
from labkit.lab.world import World
from labkit.teach.checks import CheckView, Progress, check
from labkit.teach.tasks.tls_client import probe_client
from labkit.teach.tasks.tls_offer import probe_offer
from labkit.teach.tasks.tls_policy import probe_policy
from labkit.teach.tasks.tls_question import CHOICES
from labkit.teach.tasks.tls_ready import (
    OF_TLS,
    ann_at_home,
    careless,
    first_configuration,
    with_careless_ann,
    with_submission,
    with_tls,
    with_users,
)
from labkit.teach.tasks.tls_submission import probe_submission

from .committed import Committed

NAME, MINE = "mx2.st11.sne21.test", "st11.sne21.test"
WAYS = pytest.mark.parametrize(
    "network, engine",
    [
        ("memory", "labkit"),
        ("loopback", "labkit"),
        pytest.param("loopback", "exim", marks=pytest.mark.needs("exim", "gcc")),
    ],
)
NOTEBOOK = Committed("06_tls")
SHOWN = {
    "c4c": [
        "clear ('MAIL FROM:<bob@st2.sne21.test>', 530,",
        "encrypted ('MAIL FROM:<bob@st2.sne21.test>', 250,",
    ],
    "c6b": [
        "25 opportunistic encrypted clear read encrypted",
        "25 verified encrypted refused refused encrypted",
    ],
    "c6d": ["587 plain refused stolen refused refused", "587 required encrypted refused stolen encrypted"],
    "c6g": [
        "465 opportunistic encrypted encrypted stolen encrypted",
        "465 plain refused refused refused refused",
    ],
    "c7b": ["first contact hidden stolen", "enforce, stripped it waited, then went to Carol"],
    "c9b": [
        "not signed, stripped stolen, in clear",
        "signed, stripped it waited, then went to Carol a TLS session is required",
        "signed, no attacker to Carol, encrypted, checked",
        "old record it still waits",
    ],
}
EVERYWHERE = (
    ("acl_smtp_rcpt =", "acl_smtp_mail = check_mail\nacl_smtp_rcpt ="),
    (
        "begin acl\n",
        "begin acl\ncheck_mail:\n  deny !encrypted = *\n  message = 530 5.7.0 Encrypt\n  accept\n",
    ),
)
LONG_AGO = datetime(2021, 1, 1, tzinfo=timezone.utc)
Steps = Callable[[World], Awaitable[Any]]
Change = tuple[str, str]


def run(steps: Steps, network: str = "memory", engine: str = "labkit", **more: Any) -> Any:
    found: list[Any] = []

    async def go() -> None:
        opened = World.open("tls", alongside=True, network=network, engine=engine, **more)
        async with opened as world:
            found.append(await steps(world))

    with warnings.catch_warnings():
        warnings.simplefilter(
            "ignore"
        )  # doubts about a configuration: the student is told, and the probe goes on
        asyncio.run(go())
    return found[0]


def changed(text: str, *changes: Change) -> str:
    for old, new in changes:
        assert old in text, old
        text = text.replace(old, new)
    return text


@lru_cache
def a_key() -> TlsKey:
    return make_key()


# --- the facts ---------------------------------------------------------------------------------


@WAYS
def test_tls_for_everybody_keeps_a_plain_partner_out(network: str, engine: str) -> None:
    """Part 4, as the committed cells have it; and part 1: who offers STARTTLS."""

    async def steps(world: World) -> None:
        offers = [
            (await watch_handshake(world, world.laptop, host.name, 25)).is_encrypted
            for host in (world.mine, world.partner)
        ]
        assert offers == [False, True]
        await with_users(world)
        world.mine.write_configuration(changed(world.mine.configuration, *EVERYWHERE))
        await world.mine.reload()
        lines = ("MAIL FROM:<bob@st2.sne21.test>", f"RCPT TO:<ann@{MINE}>")
        heard = [await call(world, world.partner, 25, *lines, encrypts=way) for way in (False, True)]
        assert [each.code("MAIL") for each in heard] == [530, 250]

    run(steps, network, engine)


@pytest.mark.parametrize("cell", list(SHOWN))
def test_what_is_committed(cell: str) -> None:
    """Running the notebook anew cannot bless a mistake."""
    found = next(each for each in NOTEBOOK.cells if each["id"] == cell)
    (output,) = found["outputs"]
    text = "".join(output.get("text") or output["data"]["text/plain"])
    for line in SHOWN[cell]:
        assert line in " ".join(text.split()), text


def test_a_port_that_began_with_tls_can_begin_in_the_clear_again() -> None:
    """After a reload the first call meets the new manner, also where nobody has called in between."""

    async def steps(world: World) -> None:
        await with_users(world)
        right = world.mine.configuration
        at_once = changed(right, ("tls_on_connect_ports = 465", "tls_on_connect_ports = 465 : 587"))
        met = []
        for text in (at_once, right, at_once):
            world.mine.write_configuration(text)
            await world.mine.reload()
            met.append((await call(world, world.laptop, 587, encrypts=False)).outcome)
        assert met == ["silent", "clear", "silent"]

    run(steps)


# --- exercise 1 -------------------------------------------------------------------------------


async def good(world: World) -> None:
    issued = await have_signed(world.mine, a_key().request(NAME))
    install(world.mine, issued.pem, a_key())


async def self_signed(world: World) -> None:
    install(world.mine, a_key().self_signed(NAME), a_key())


async def other_key(world: World) -> None:
    issued = await have_signed(world.mine, a_key().request(NAME))
    install(world.mine, issued.pem, make_key())


async def for_all(world: World) -> None:
    await good(world)
    world.mine.path("/etc/tls.key").chmod(0o644)


async def other_name(world: World) -> None:
    world.write_zone("sne21.test", world.zone("sne21.test") + "mail.st11 IN A 203.0.113.11\n")
    issued = await have_signed(world.mine, a_key().request("mail.st11.sne21.test"))
    install(world.mine, issued.pem, a_key())


async def expired(world: World) -> None:
    issued = await have_signed(world.mine, a_key().request(NAME), begin=LONG_AGO)
    install(world.mine, issued.pem, a_key())


async def no_files(world: World) -> None:
    pass


async def two_names(world: World) -> None:
    world.write_zone("sne21.test", world.zone("sne21.test") + "mail.st11 IN A 203.0.113.11\n")
    key = make_key("rsa")
    issued = await have_signed(world.mine, key.request([NAME, "mail.st11.sne21.test"]))
    install(world.mine, issued.pem + key.private_pem, key, certificate_file="/etc/both.pem")
    world.mine.path("/etc/both.pem").chmod(0o640)


TLS_LINES = tuple(OF_TLS.splitlines())
FILES = TLS_LINES[3:]
OFFERED: dict[str, tuple[Steps, tuple[str, ...]]] = {
    "all lines": (good, TLS_LINES),
    "names of ports, no tls_advertise_hosts": (
        good,
        ("daemon_smtp_ports = smtp : smtps : submission", "tls_on_connect_ports = 465", *FILES),
    ),
}
OFFER_MISTAKES: dict[str, tuple[Steps, tuple[str, ...], str]] = {
    "465 is not listened on": (good, ("tls_on_connect_ports = 465", *FILES), "opens none"),
    "587 is not listened on": (
        good,
        ("daemon_smtp_ports = 25 : 465", "tls_on_connect_ports = 465", *FILES),
        "Nobody listens at port 587",
    ),
    "25 is lost": (
        good,
        ("daemon_smtp_ports = 465 : 587", "tls_on_connect_ports = 465", *FILES),
        "lost the way",
    ),
    "465 begins in the clear": (good, ("daemon_smtp_ports = 25 : 465 : 587", *FILES), "greets in the clear"),
    "587 begins with TLS": (
        good,
        ("daemon_smtp_ports = 25 : 465 : 587", "tls_on_connect_ports = 465 : 587", *FILES),
        "hears nothing",
    ),
    "no certificate": (
        no_files,
        ("daemon_smtp_ports = 25 : 465 : 587", "tls_advertise_hosts ="),
        "greets in the clear",
    ),
    "advertised to nobody": (good, (*TLS_LINES[:2], "tls_advertise_hosts =", *FILES), "an empty list"),
    "advertised to some": (
        good,
        (*TLS_LINES[:2], "tls_advertise_hosts = 198.51.100.11", *FILES),
        "offered to some",
    ),
    "the files are not there": (no_files, TLS_LINES, "does not find"),
    "the key of another": (other_key, TLS_LINES, "no pair"),
    "a key for all": (for_all, TLS_LINES, "Everybody on the machine"),
    "expired": (expired, TLS_LINES, "time is not now"),
    "no certificate is named": (good, TLS_LINES[:3], "You have named no certificate"),
    "self-signed": (self_signed, TLS_LINES, "signed itself"),
    "another name": (other_name, TLS_LINES, "for another name"),
}


async def offer(world: World, prepare: Steps, lines: tuple[str, ...]) -> CheckView:
    await prepare(world)
    text = "".join(f"{line}\n" for line in lines) + first_configuration(world.mine)
    world.mine.write_configuration(text)
    return check("offer tls", await probe_offer(world))


@WAYS
def test_offer_tls(network: str, engine: str) -> None:
    async def steps(world: World) -> None:
        assert check("offer tls", await probe_offer(world)).progress is Progress.NOT_ATTEMPTED
        for name, (prepare, lines) in OFFERED.items():
            verdict = await offer(world, prepare, lines)
            assert verdict.progress is Progress.DONE, (name, verdict.text())
        lines = (*TLS_LINES[:3], "tls_certificate = /etc/both.pem")
        verdict = await offer(world, two_names, lines)
        assert verdict.progress is Progress.DONE, verdict.text()
        await with_tls(world)
        verdict = check("offer tls", await probe_offer(world))
        assert verdict.progress is Progress.DONE, verdict.text()

    run(steps, network, engine)


def test_offer_tls_mistakes() -> None:
    told: dict[str, str] = {}

    async def steps(world: World) -> None:
        for name, (prepare, lines, words) in OFFER_MISTAKES.items():
            world.mine.path("/etc/tls.key").unlink(missing_ok=True)
            world.mine.path("/etc/tls.crt").unlink(missing_ok=True)
            verdict = await offer(world, prepare, lines)
            assert verdict.progress is Progress.NOT_YET, (name, verdict.text())
            assert words in verdict.verdict.words, (name, verdict.text())
            told[name] = verdict.verdict.words
        below = f"{first_configuration(world.mine)}\n{OF_TLS}"
        world.mine.write_configuration(below)
        verdict = check("offer tls", await probe_offer(world))
        assert "below the first `begin`" in verdict.verdict.words, verdict.text()

    run(steps)
    told.pop("no certificate")
    assert len(set(told.values())) == len(told)


@pytest.mark.needs("exim", "gcc")
def test_offer_tls_mistakes_on_exim() -> None:
    """Those that are seen by who connects: the same hints."""
    seen = ("465 is not listened on", "465 begins in the clear", "587 begins with TLS", "self-signed")

    async def steps(world: World) -> None:
        for name in (*seen, "another name", "a key for all", "the key of another"):
            prepare, lines, words = OFFER_MISTAKES[name]
            verdict = await offer(world, prepare, lines)
            assert verdict.progress is Progress.NOT_YET, (name, verdict.text())
            assert words in verdict.verdict.words, (name, verdict.text())

    run(steps, "loopback", "exim")


# --- exercise 2 -------------------------------------------------------------------------------

BEGIN = "begin acl\n"
ASKED_AT_MAIL = ("acl_smtp_rcpt =", "acl_smtp_mail = check_mail\nacl_smtp_rcpt =")


def at_mail(*lines: str) -> tuple[Change, ...]:
    body = "".join(f"  {line}\n" for line in lines)
    return (ASKED_AT_MAIL, (BEGIN, f"{BEGIN}check_mail:\n{body}"))


SAYS_530 = "message = 530 5.7.0 Must issue a STARTTLS command first"
FORCED: dict[str, tuple[Change, ...]] = {
    "port 25 is accepted first": at_mail(
        "accept condition = ${if eq{$received_port}{25}}", f"deny !encrypted = *\n{SAYS_530}", "accept"
    ),
    "the condition names the ports": at_mail(
        "deny condition = ${if match{$received_port}{^(465|587)\\$}}", "!encrypted = *", SAYS_530, "accept"
    ),
    "require": at_mail(
        "accept condition = ${if eq{$received_port}{25}}",
        SAYS_530.join(("require ", "")),
        "encrypted = *",
        "accept",
    ),
    "and authenticated": at_mail(
        "accept condition = ${if eq{$received_port}{25}}",
        "deny !encrypted = *",
        SAYS_530,
        "deny !authenticated = *",
        "message = 530 5.7.0 Authentication required",
        "accept",
    ),
    "who is encrypted comes first": at_mail(
        "accept encrypted = *", "deny condition = ${if eq{$received_port}{587}}", SAYS_530, "accept"
    ),
    "the list of ports": at_mail(
        "deny condition = ${if inlist{$received_port}{465:587}}", "!encrypted = *", SAYS_530, "accept"
    ),
    "drop": at_mail(
        "accept condition = ${if eq{$received_port}{25}}", f"drop !encrypted = *\n{SAYS_530}", "accept"
    ),
    "by a variable of the cipher": at_mail(
        "deny condition = ${if and{{eq{$received_port}{587}}{!def:tls_in_cipher}}}", SAYS_530, "accept"
    ),
}
FORCE_MISTAKES: dict[str, tuple[tuple[Change, ...], str]] = {
    "on every port": (at_mail("deny !encrypted = *", SAYS_530, "accept"), "public MX must not"),
    "550": (
        at_mail(
            "accept condition = ${if eq{$received_port}{25}}",
            "deny !encrypted = *",
            "message = encrypt!",
            "accept",
        ),
        "in the clear, with 550",
    ),
    "on the wrong port": (
        at_mail("deny condition = ${if eq{$received_port}{25}}", "!encrypted = *", SAYS_530, "accept"),
        "public MX must not",
    ),
    "on 465 alone": (
        at_mail("deny condition = ${if eq{$received_port}{465}}", "!encrypted = *", SAYS_530, "accept"),
        "MAIL is still taken in the clear",
    ),
    "at RCPT": (
        (
            (
                "  accept  authenticated = *\n",
                "  deny condition = ${if eq{$received_port}{587}}\n  !encrypted = *\n  "
                f"{SAYS_530}\n  accept  authenticated = *\n",
            ),
        ),
        "530 comes at RCPT",
    ),
    "only who has logged in may": (
        (
            (
                "  accept  authenticated = *\n",
                "  accept  authenticated = *\n  deny condition = ${if eq{$received_port}{587}}\n",
            ),
        ),
        "MAIL is still taken in the clear",
    ),
    "authentication on port 25": (
        at_mail("deny !authenticated = *", SAYS_530, "accept"),
        "with TLS or without",
    ),
    "everybody at 587 is refused": (
        at_mail("deny condition = ${if eq{$received_port}{587}}", SAYS_530, "accept"),
        "refused all the same",
    ),
    "451": (
        at_mail("accept condition = ${if eq{$received_port}{25}}", "defer !encrypted = *", "accept"),
        "451 says that it may try the same again",
    ),
    "538": (
        at_mail(
            "accept condition = ${if eq{$received_port}{25}}",
            "deny !encrypted = *",
            "message = 538 5.7.11 Encryption required",
            "accept",
        ),
        "538 is not the one",
    ),
    "no accept at the end": (
        at_mail("accept condition = ${if eq{$received_port}{25}}", "deny !encrypted = *", SAYS_530),
        "at its end an ACL refuses",
    ),
    "an ACL that is not there": ((ASKED_AT_MAIL,), "asks an ACL that is not there"),
    "an ACL that nobody asks": (
        ((BEGIN, f"{BEGIN}check_mail:\n  deny !encrypted = *\n  {SAYS_530}\n  accept\n"),),
        "which option of the main section",
    ),
    "port 25 for the partner alone": (
        at_mail("accept hosts = 203.0.113.2", "deny !encrypted = *", SAYS_530, "accept"),
        "another machine may not",
    ),
    "no STARTTLS at 25": (
        (
            *at_mail(
                "accept condition = ${if eq{$received_port}{25}}", "deny !encrypted = *", SAYS_530, "accept"
            ),
            ("tls_advertise_hosts  = *", "tls_advertise_hosts = ${if eq{$received_port}{25}{}{*}}"),
        ),
        "would encrypt, and STARTTLS is not offered there",
    ),
    "587 is closed": (
        (
            *at_mail(
                "accept condition = ${if eq{$received_port}{25}}", "deny !encrypted = *", SAYS_530, "accept"
            ),
            ("daemon_smtp_ports    = 25 : 465 : 587", "daemon_smtp_ports = 25 : 465"),
        ),
        "not to close a door",
    ),
    "587 begins with TLS": (
        (("tls_on_connect_ports = 465", "tls_on_connect_ports = 465 : 587"),),
        "Ann hears nothing",
    ),
    "every password is right": (
        (
            *at_mail(
                "accept condition = ${if eq{$received_port}{25}}", "deny !encrypted = *", SAYS_530, "accept"
            ),
            ("${if eq{$auth2:$auth3}{ann:dummy-for-the-lab}}", "yes"),
        ),
        "with a wrong password",
    ),
    "EHLO is refused": (
        (
            ("acl_smtp_rcpt =", "acl_smtp_helo = check_helo\nacl_smtp_rcpt ="),
            (
                BEGIN,
                f"{BEGIN}check_helo:\n  deny condition = ${{if eq{{$received_port}}{{587}}}}\n"
                f"  !encrypted = *\n  {SAYS_530}\n  accept\n",
            ),
        ),
        "EHLO and STARTTLS before anything else",
    ),
    "a relay inside TLS": (
        (("  accept  authenticated = *\n", "  accept  encrypted = *\n"),),
        "An open relay inside TLS",
    ),
    "a relay for all": ((("  accept  authenticated = *\n", "  accept\n"),), "An open relay: a stranger"),
    "AUTH in the clear": (
        (
            *at_mail(
                "accept condition = ${if eq{$received_port}{25}}", "deny !encrypted = *", SAYS_530, "accept"
            ),
            ("  server_advertise_condition = ${if def:tls_in_cipher}\n", ""),
        ),
        "AUTH is offered at 587 before",
    ),
    "no AUTH any more": (
        (
            *at_mail(
                "accept condition = ${if eq{$received_port}{25}}", "deny !encrypted = *", SAYS_530, "accept"
            ),
            (
                "  server_advertise_condition = ${if def:tls_in_cipher}\n",
                "  server_advertise_condition = no\n",
            ),
        ),
        "cannot log in",
    ),
}


async def force(world: World, changes: tuple[Change, ...]) -> CheckView:
    await with_users(world)
    world.mine.write_configuration(changed(world.mine.configuration, *changes))
    return check("force tls", await probe_submission(world))


@WAYS
def test_force_tls(network: str, engine: str) -> None:
    async def steps(world: World) -> None:
        await with_users(world)
        assert check("force tls", await probe_submission(world)).progress is Progress.NOT_ATTEMPTED
        names = list(FORCED) if engine == "labkit" else list(FORCED)[:3]
        for name in names:
            verdict = await force(world, FORCED[name])
            assert verdict.progress is Progress.DONE, (name, verdict.text())
        await with_submission(world)
        verdict = check("force tls", await probe_submission(world))
        assert verdict.progress is Progress.DONE, verdict.text()

    run(steps, network, engine)


def test_force_tls_mistakes() -> None:
    told: dict[str, str] = {}

    async def steps(world: World) -> None:
        for name, (changes, words) in FORCE_MISTAKES.items():
            verdict = await force(world, changes)
            assert verdict.progress is Progress.NOT_YET, (name, verdict.text())
            assert words in verdict.verdict.words, (name, verdict.text())
            told[name] = verdict.verdict.words

    run(steps)
    told.pop("an ACL that nobody asks")  # and this
    told.pop("no accept at the end")  # the same as "everybody at 587 is refused"
    told.pop("on 465 alone")  # the same as "only who has logged in may"
    told.pop("on the wrong port")  # the same as "on every port": what the partner meets
    assert len(set(told.values())) == len(told)


@pytest.mark.needs("exim", "gcc")
def test_force_tls_mistakes_on_exim() -> None:
    async def steps(world: World) -> None:
        for name in ("on every port", "550", "at RCPT", "a relay inside TLS", "EHLO is refused"):
            changes, words = FORCE_MISTAKES[name]
            verdict = await force(world, changes)
            assert words in verdict.verdict.words, (name, verdict.text())

    run(steps, "loopback", "exim")


# --- exercise 3 -------------------------------------------------------------------------------

CA = "tls_verify_certificates = /etc/ssl/lab-authority.pem"
CAREFUL_587 = ("port = 587", "hosts_require_auth = *", "hosts_require_tls = *", "tls_verify_hosts = *", CA)
CAREFUL_465 = ("port = 465", "protocol = smtps", "hosts_require_auth = *", "tls_verify_hosts = *", CA)
CAREFUL: dict[str, tuple[str, ...]] = {
    "587": CAREFUL_587,
    "465": CAREFUL_465,
    "465, as the protocol says": CAREFUL_465[1:],
    "names of hosts": (
        "port = submission",
        "hosts_try_auth = *",
        f"hosts_require_tls = {NAME}",
        f"tls_verify_hosts = {NAME}",
        CA,
    ),
    "TLS is implied by what is verified and required": (*CAREFUL_587, "tls_verify_cert_hostnames = *"),
}
CLIENT_MISTAKES: dict[str, tuple[tuple[str, ...], str]] = {
    "a certificate is only tried": ((*CAREFUL_587[:3], CA), "only *tried*"),
    "tried by name": (
        (*CAREFUL_587[:3], "tls_try_verify_hosts = *", CA),
        "only *tried*",
    ),
    "TLS is not required": ((*CAREFUL_587[:2], "tls_verify_hosts = *", CA), "in the clear"),
    "465, and nothing verified": (CAREFUL_465[:3], "only *tried*"),
    "names switched off": ((*CAREFUL_587, "tls_verify_cert_hostnames ="), "for his own name"),
    "the system's authorities": ((*CAREFUL_587[:4],), "does not believe"),
    "a file that is not there": ((*CAREFUL_587[:4], CA.replace("lab-", "")), "cannot open"),
    "465, and a banner": (("port = 465", *CAREFUL_587[1:]), "says nothing"),
    "587, and TLS at once": (("port = 587", "protocol = smtps", *CAREFUL_587[1:]), "port and protocol"),
    "no TLS at all": (("port = 587", CAREFUL_587[1], "hosts_avoid_tls = *"), "keeps it from TLS"),
    "its own certificate": (
        (*CAREFUL_587[:4], "tls_certificate = /etc/ssl/lab-authority.pem"),
        "what Ann's host shows of itself",
    ),
    "verified, by nobody": (("port = 587", CAREFUL_587[1], "tls_verify_hosts = *"), "does not believe"),
    "TLS required of an address": (
        (
            "port = 587",
            CAREFUL_587[1],
            "hosts_require_tls = 203.0.113.11",
            "tls_verify_hosts = 203.0.113.11",
            CA,
        ),
        "Whom does hosts_require_tls name",
    ),
    "another host verified": (
        (*CAREFUL_587[:3], f"tls_verify_hosts = {MINE}", CA),
        "Whom does tls_verify_hosts name",
    ),
    "a port without a listener": (("port = 2525", *CAREFUL_587[1:]), "Nobody listens"),
    "no login": (("port = 25", *CAREFUL_587[2:], "hosts_try_auth ="), "has not logged in"),
}


async def hand_in(world: World, lines: tuple[str, ...], *changes: Change) -> CheckView:
    client = ann_at_home(world)
    text = changed(careless(world), *changes)
    head, _, tail = text.partition("  driver   = smtp\n")
    _, _, rest = tail.partition("\n\n")
    body = "".join(f"  {line}\n" for line in lines)
    client.write_configuration(f"{head}  driver   = smtp\n{body}\n{rest}")
    return check("careful client", await probe_client(world))


@WAYS
def test_careful_client(network: str, engine: str) -> None:
    async def steps(world: World) -> None:
        await with_submission(world)
        assert check("careful client", await probe_client(world)).progress is Progress.NOT_ATTEMPTED
        await with_careless_ann(world)
        assert check("careful client", await probe_client(world)).progress is Progress.NOT_ATTEMPTED
        names = list(CAREFUL) if engine == "labkit" else list(CAREFUL)[:2]
        for name in names:
            verdict = await hand_in(world, CAREFUL[name])
            assert verdict.progress is Progress.DONE, (name, verdict.text())

    run(steps, network, engine)


def test_careful_client_mistakes() -> None:
    told: dict[str, str] = {}

    async def steps(world: World) -> None:
        await with_submission(world)
        for name, (lines, words) in CLIENT_MISTAKES.items():
            verdict = await hand_in(world, lines)
            assert verdict.progress is Progress.NOT_YET, (name, verdict.text())
            assert words in verdict.verdict.words, (name, verdict.text())
            told[name] = verdict.verdict.words
        world.write_zone("sne21.test", world.zone("sne21.test") + "mail.st11 IN A 203.0.113.11\n")
        verdict = await hand_in(world, CAREFUL_587, (f"* {NAME}", f"* mail.{MINE}"))
        assert "another name" in verdict.verdict.words, verdict.text()

    run(steps)
    for twin in ("tried by name", "465, and nothing verified", "verified, by nobody"):
        told.pop(twin)
    assert len(set(told.values())) == len(told)


def test_what_is_told_of_commands_put_in() -> None:
    """No client here is caught by this alone; should one be, this is what the student reads."""

    async def steps(world: World) -> None:
        await with_careless_ann(world)
        verdict = await hand_in(world, CAREFUL_465)
        assert verdict.progress is Progress.DONE
        probed = await probe_client(world)
        caught = replace(probed, told={"injects": 17}, read={})
        verdict = check("careful client", caught)
        assert "behind STARTTLS, before the handshake" in verdict.verdict.words, verdict.text()
        assert "17 characters (injects)" in verdict.text()

    run(steps)


@pytest.mark.needs("exim", "gcc")
def test_careful_client_mistakes_on_exim() -> None:
    async def steps(world: World) -> None:
        await with_submission(world)
        for name in ("TLS is not required", "a certificate is only tried", "the system's authorities"):
            lines, words = CLIENT_MISTAKES[name]
            verdict = await hand_in(world, lines)
            assert words in verdict.verdict.words, (name, verdict.text())

    run(steps, "loopback", "exim")


# --- the question -----------------------------------------------------------------------------


@pytest.fixture(scope="module")
def matrix() -> TlsMatrix:
    return asyncio.run(run_matrix(network="memory", engine="labkit"))


ANSWERS = {
    "after the handshake": "the same",
    "stripping works": "at 587 and 25",
    "with TLS required and verified": "the same",
    "for submission": "465",
    "between MTAs": "25",
    "and there TLS is": "opportunistic",
    "stripping seen": "587 opportunistic strips",
    "verified seen": "587 verified own certificate",
}
ALSO_RIGHT = (
    {"stripping seen": "25 opportunistic, strips"},
    {"verified seen": "465 verified: own certificate"},
    {"between MTAs": 25, "for submission": 465},
)
WRONG = {
    "465 encrypts better": {"after the handshake": "465 is stronger"},
    "587 encrypts better, by another word": {"after the handshake": "587 is better"},
    "stripped at 465": {"stripping works": "at 465"},
    "the cell shows another attacker": {"stripping seen": "587 opportunistic own certificate"},
    "the cell shows that it did not work": {"stripping seen": "587 required strips"},
    "nobody stripped that": {"stripping seen": "587 plain strips"},
    "no cell": {"stripping seen": "all of them"},
    "no cell of verified": {"verified seen": "?"},
    "not a verified one": {"verified seen": "587 required own certificate"},
    "nobody was there": {"verified seen": "587 verified none"},
    "465 is safer": {"with TLS required and verified": "465 is safer"},
    "users at 25": {"for submission": "25"},
    "587 preferred": {"for submission": "587"},
    "MTAs at 465": {"between MTAs": "465"},
    "MTAs from the start": {"and there TLS is": "from the start"},
    "MTAs required": {"and there TLS is": "required"},
    "one is open": {"for submission": "?"},
}


def test_the_question(matrix: TlsMatrix) -> None:
    assert check("which tls", {}).progress is Progress.NOT_ATTEMPTED
    untouched = {"matrix": matrix} | dict.fromkeys((*CHOICES, "stripping seen", "verified seen"), "?")
    assert check("which tls", untouched).progress is Progress.NOT_ATTEMPTED
    for more in ({}, *ALSO_RIGHT):
        answers: Mapping[str, object] = {"matrix": matrix, **ANSWERS, **more}
        assert check("which tls", answers).progress is Progress.DONE, check("which tls", answers).text()


def test_the_question_wrongly(matrix: TlsMatrix) -> None:
    told = {}
    for name, wrong in WRONG.items():
        verdict = check("which tls", {"matrix": matrix, **ANSWERS, **wrong})
        assert verdict.progress is Progress.NOT_YET, (name, verdict.text())
        told[name] = verdict.verdict.words
    assert len(set(told.values())) == len(told)


# --- exercise 4 -------------------------------------------------------------------------------

MONTH = 30 * 86_400
POLICIES: tuple[dict[str, Any], ...] = (
    {"mode": "enforce", "mx": "mx.bigmail.test", "max_age": MONTH},
    {"mode": "enforce", "mx": ["*.bigmail.test"], "max_age": 31_557_600},
)
POLICY_MISTAKES: dict[str, tuple[dict[str, Any], str]] = {
    "testing": ({"mode": "testing", "mx": "mx.bigmail.test", "max_age": MONTH}, "only reports"),
    "the domain for the host": (
        {"mode": "enforce", "mx": "bigmail.test", "max_age": MONTH},
        "true mail exchanger",
    ),
    "short": ({"mode": "enforce", "mx": "mx.bigmail.test", "max_age": 86_400}, "max_age is how long"),
    "everybody": ({"mode": "enforce", "mx": "*.test", "max_age": MONTH}, "true mail exchanger"),
    "Mallory by a star": (
        {"mode": "enforce", "mx": ["mx.bigmail.test", "*.mallory.test"], "max_age": MONTH},
        "his own host fits your policy",
    ),
    "no mx": ({"mode": "enforce", "mx": [], "max_age": MONTH}, "it names no host"),
    "no names": ({"mode": "enforce", "mx": 3, "max_age": MONTH}, "a list of names"),
    "no time": ({"mode": "enforce", "mx": "mx.bigmail.test", "max_age": 0}, "as soon as it was fetched"),
    "no mode": ({"mode": "strict", "mx": "mx.bigmail.test", "max_age": MONTH}, "no policy"),
}


def test_publish_policy() -> None:
    async def steps() -> None:
        view = check("publish policy", await probe_policy())
        assert view.progress is Progress.NOT_ATTEMPTED
        for policy in POLICIES:
            view = check("publish policy", await probe_policy(**policy, network="memory"))
            assert view.progress is Progress.DONE, view.text()
        for name, (policy, words) in POLICY_MISTAKES.items():
            view = check("publish policy", await probe_policy(**policy, network="memory"))
            assert view.progress is Progress.NOT_YET, (name, view.text())
            assert words in view.verdict.words, (name, view.text())

    asyncio.run(steps())
