"""The big mailbox provider: what it finds out, what it writes, what it refuses and in which words; the mailing list."""

from __future__ import annotations

import re
from typing import Any

import pytest

from labkit import World
from labkit.auth import parse_authentication_results
from labkit.lab.provider_engine import SELECTOR
from labkit.lab.signing_keys import SigningKeys, sign
from labkit.mail.event import EventKind
from labkit.mail.message import Message, with_crlf

from .outside_world import ANN, BOB, CAROL, LETTER, MINE, NETWORKS, WAYS, Run, opened, publish

SPOOFER, BIGMAIL = "mx.spoof.test", "mx.bigmail.test"
MALLORY = "mallory@spoof.test"


def results(message: Message) -> dict[str, str]:
    """The topmost verdict, by method."""
    found = parse_authentication_results(message.first("Authentication-Results") or "")
    assert found.authserv_id == BIGMAIL
    return {each.method: each.result for each in found.results}


def signed(world: World, text: str, domain: str, folder: Any) -> tuple[str, str]:
    """The text with a signature of dkimpy's, and the line for the zone."""
    keys = SigningKeys(folder)
    text = f"Date: Mon, 7 Sep 2026 09:00:00 +0000\n{text}"  # all that is signed is there before
    content = with_crlf(text.encode())
    field = sign(content, domain, "k1", keys.key(domain, "k1"), world.now())
    assert field is not None
    record = keys.record(domain, "k1")
    line = f'k1._domainkey.{domain}. IN TXT "{record[:200]}" "{record[200:]}"'
    return field.raw.decode().replace("\r\n", "\n") + text, line


@WAYS
def test_who_vouches(run: Run, network: str, engine: str, tmp_path: Any) -> None:
    """Myself, the partner under the shared apex, and Mallory, who may pass SPF and never aligns."""

    async def story() -> None:
        async with opened("vouching", network, engine) as world:
            text, line = signed(world, LETTER.format(ANN, CAROL, "signed"), MINE, tmp_path)
            await publish(world, line)
            spoofer = world.host(SPOOFER)
            await world.mine.send(ANN, CAROL, text)
            await world.mine.send(ANN, CAROL, LETTER.format(ANN, CAROL, "plain"))
            await world.partner.send(BOB, CAROL, LETTER.format(ANN, CAROL, "partner"))
            await spoofer.send(MALLORY, CAROL, LETTER.format(ANN, CAROL, "own-envelope"))
            await spoofer.send(ANN, CAROL, LETTER.format(ANN, CAROL, "my-envelope"))
            await spoofer.send(MALLORY, CAROL, LETTER.format("dan@bigmail.test", CAROL, "rejected"))
            inbox = {m.first("Subject"): results(m) for m in world.provider.inbox("carol")}
            assert inbox == {
                "signed": {"dkim": "pass", "spf": "pass", "dmarc": "pass"},
                "plain": {"spf": "pass", "dmarc": "pass"},
                "partner": {"spf": "pass", "dmarc": "pass"},
                "own-envelope": {"spf": "pass", "dmarc": "fail"},
            }, "relaxed alignment lets the partner be me: p=none of the apex"
            (spam,) = world.provider.spam("carol")
            assert results(spam) == {"spf": "fail", "dmarc": "fail"}
            refused = world.provider.verdicts[-1]
            assert str(refused.reply).startswith("550 5.7.26 Unauthenticated email from bigmail.test")
            assert refused.disposition == "refused"
            (rejected,) = world.journal.where(EventKind.REJECTED, host=BIGMAIL)
            assert (rejected.code, rejected.command) == (550, "after DATA")
            await publish(world, f'_dmarc.{MINE}. IN TXT "v=DMARC1; p=reject; adkim=s; aspf=s"')
            await world.advance(minutes=6)  # the provider has cached that there is none
            await world.partner.send(BOB, CAROL, LETTER.format(ANN, CAROL, "strict"))
            assert str(world.provider.verdicts[-1].reply).startswith("550 5.7.26")
            await world.mine.send(ANN, CAROL, LETTER.format(ANN, CAROL, "strict-own"))
            assert results(world.provider.inbox("carol")[-1])["dmarc"] == "pass"

    run(story())


@NETWORKS
def test_the_fields_have_a_providers_shape(run: Run, network: str, tmp_path: Any) -> None:
    async def story() -> None:
        async with opened("vouching", network) as world:
            text, line = signed(world, LETTER.format(ANN, CAROL, "signed"), MINE, tmp_path)
            await publish(world, line)
            await world.mine.send(ANN, CAROL, text)
            (letter,) = world.provider.inbox("carol")
            shape = (
                rf"mx\.bigmail\.test; +dkim=pass header\.i=@{MINE} header\.s=k1 header\.b=\"?[\w+/]{{8}}\"?; +"
                rf"spf=pass \(bigmail\.test: domain of {ANN} designates 203\.0\.113\.11 as permitted sender\) "
                rf"smtp\.mailfrom={ANN}; +dmarc=pass \(p=NONE sp=NONE dis=NONE\) header\.from={MINE}"
            )
            assert re.fullmatch(shape, letter.first("Authentication-Results") or ""), letter
            names = [field.name for field in letter.header_fields[2:6]]
            assert names == ["Received-SPF", "Authentication-Results", "Received", "Received"]
            assert (letter.first("Received-SPF") or "").startswith("pass (bigmail.test: domain of")
            verdict = world.provider.verdicts[0]
            assert verdict.client_name == f"mx2.{MINE}" and verdict.is_encrypted
            assert verdict.message_id == "<signed@test>"
            assert verdict.spf.steps and verdict.dmarc.steps and verdict.dkim[0].steps
            assert verdict.dmarc.policy_domain == "sne21.test"
            assert verdict.line in world.provider.log()

    run(story())


@pytest.mark.parametrize(
    "forged, stays",
    [
        ("mx.bigmail.test; dmarc=pass header.from=st11.sne21.test", False),
        ("MX.BIGMAIL.TEST 1; spf=pass smtp.mailfrom=x", False),
        ("(hello) mx.bigmail.test (really); none", False),
        ("\n mx.bigmail.test; dkim=pass header.d=st11.sne21.test", False),
        ('"mx.bigmail.test"; dkim=pass header.d=st11.sne21.test', False),
        ("mx.bigmail.test; broken ((((", False),
        ("((x) y) mx.bigmail.test; dkim=pass header.d=st11.sne21.test", False),
        ('"mx.big\\mail.test"; dkim=pass header.d=st11.sne21.test', False),
        ("mx.bigmail.test.evil.test; dkim=pass header.d=st11.sne21.test", True),
        ("mx.other.test; dkim=pass header.d=st11.sne21.test", True),
    ],
)
def test_forged_verdicts_are_taken_out(run: Run, forged: str, stays: bool) -> None:
    """RFC 8601 §5: nobody but the provider itself writes what bears its name."""

    async def story() -> None:
        async with opened("vouching") as world:
            text = f"Authentication-Results: {forged}\n" + LETTER.format(ANN, CAROL, "forged")
            await world.host(SPOOFER).send(MALLORY, CAROL, text)
            (letter,) = world.provider.inbox("carol")
            assert len(list(letter.all("Authentication-Results"))) == 1 + stays

    run(story())


REFUSALS = [  # demands, what is wrong, the reply, why
    ((), "no ptr", "250", "without the switch nobody asks"),
    (("ptr",), "", "250", "all is well"),
    (("ptr",), "no ptr", "550 5.7.25", "no PTR record"),
    (("ptr",), "other ptr", "550 5.7.25", "a name that leads elsewhere"),
    (("tls",), "", "250", "an encrypted connection"),
    (("tls",), "plain", "550 5.7.29", "no TLS"),
    ((), "no spf", "250", "it goes into the spam folder"),
    (("authentication",), "no spf", "550 5.7.26 This mail has been blocked", "neither SPF nor DKIM"),
    (("authentication",), "", "250", "SPF passes"),
    (("alignment",), "partner", "550 5.7.32", "it passes, and for somebody else"),
    (("alignment",), "", "250", "it is aligned"),
]


@NETWORKS
def test_refusals_by_switch(run: Run, network: str) -> None:
    async def story() -> None:
        for demands, wrong, expected, why in REFUSALS:
            async with opened("vouching", network) as world:
                world.provider.demands.update(demands)
                origin = "113.0.203.in-addr.arpa"
                pointer = {"no ptr": "", "other ptr": "mx.spoof.test."}.get(wrong)
                if pointer is not None:
                    zone = re.sub(
                        r"(?m)^11 .*$", f"11 IN PTR {pointer}" if pointer else "", world.zone(origin)
                    )
                    world.write_zone(origin, zone)
                if wrong == "no spf":
                    world.write_zone("sne21.test", re.sub(r"(?m)^.*v=spf1.*$", "", world.zone("sne21.test")))
                if wrong == "plain":
                    conf = world.mine.configuration
                    world.mine.write_configuration(
                        re.sub(r"driver += smtp", "driver = smtp\n  hosts_avoid_tls = *", conf)
                    )
                    await world.mine.reload()
                author = "eve@elsewhere.test" if wrong == "partner" else ANN
                await world.mine.send(ANN, CAROL, LETTER.format(author, CAROL, "x"))
                events = world.journal.where(host=world.mine.name)
                said = [e.text or "" for e in events if e.kind in (EventKind.DELIVERED, EventKind.FAILED)]
                code, said = expected.split()[0], [each.replace("550-", "550 ") for each in said]
                assert (expected in said[0]) if code != "250" else "OK id=" in said[0], (why, said)

    run(story())


@WAYS
def test_a_good_name_is_put_off_where_a_stranger_is_refused(run: Run, network: str, engine: str) -> None:
    """4.7.x and not 5.7.x: the sender's queue has time to find the mistake, and the mail arrives at last."""

    async def story() -> None:
        async with opened("vouching", network, engine) as world:
            for number in range(5):
                await world.mine.send(ANN, CAROL, LETTER.format(ANN, CAROL, f"good{number}"))
            origin = "113.0.203.in-addr.arpa"
            before = world.zone(origin)
            world.provider.demands.add("ptr")
            world.write_zone(origin, re.sub(r"(?m)^11 .*$", "", before))
            await world.advance(hours=2)  # the cache
            await world.mine.send(ANN, CAROL, LETTER.format(ANN, CAROL, "late"))
            (deferred,) = world.journal.where(EventKind.DEFERRED, host=world.mine.name)
            assert "421" in (deferred.text or "") and "4.7.23" in (deferred.text or ""), deferred.text
            world.write_zone(origin, before)
            await world.advance(hours=2)
            assert world.provider.inbox("carol")[-1].first("Subject") == "late"

    run(story())


@NETWORKS
def test_a_bad_name_and_too_much(run: Run, network: str) -> None:
    async def story() -> None:
        async with opened("vouching", network) as world:
            spoofer = world.host(SPOOFER)
            for number in range(3):
                await spoofer.send(ANN, CAROL, LETTER.format(ANN, CAROL, f"bad{number}"))
            await spoofer.send(MALLORY, CAROL, LETTER.format(MALLORY, CAROL, "honest"))
            assert world.provider.verdicts[-1].why.endswith("has a bad name: 3 bad messages in a day")
            assert len(world.provider.spam("carol")) == 4
            await world.advance(hours=25)
            await spoofer.send(MALLORY, CAROL, LETTER.format(MALLORY, CAROL, "forgiven"))
            assert world.provider.inbox("carol")[-1].first("Subject") == "forgiven"
            world.provider.rate = 2
            for number in range(3):
                await world.mine.send(ANN, CAROL, LETTER.format(ANN, CAROL, f"much{number}"))
            (deferred,) = world.journal.where(EventKind.DEFERRED, host=world.mine.name)
            assert "4.7.28" in (deferred.text or "")
            await world.advance(hours=2)
            assert world.provider.inbox("carol")[-1].first("Subject") == "much2"

    run(story())


@NETWORKS
def test_dns_is_cached_by_its_ttl(run: Run, network: str) -> None:
    """A corrected record counts when the old one has expired; a silent nameserver is a temporary error."""

    async def story() -> None:
        async with opened("vouching", network) as world:
            world.provider.demands.add("authentication")
            good = world.zone("sne21.test")
            world.write_zone("sne21.test", good.replace("ip4:203.0.113.11 ", ""))
            await world.mine.send(ANN, CAROL, LETTER.format(ANN, CAROL, "one"))
            assert str(world.provider.verdicts[-1].reply).startswith("550 5.7.26")
            world.write_zone("sne21.test", good)
            await world.advance(minutes=4)
            await world.mine.send(ANN, CAROL, LETTER.format(ANN, CAROL, "two"))
            assert world.provider.verdicts[-1].spf.result == "fail", "the TTL is 300 seconds"
            await world.advance(minutes=2)
            await world.mine.send(ANN, CAROL, LETTER.format(ANN, CAROL, "three"))
            assert world.provider.verdicts[-1].spf.result == "pass"
            await world.advance(minutes=10)
            world.faults.add(MINE, "servfail")
            await world.host(SPOOFER).send(ANN, CAROL, LETTER.format(ANN, CAROL, "four"))
            assert str(world.provider.verdicts[-1].reply).startswith("451 4.7.0")

    run(story())


@NETWORKS
def test_its_users_write_and_hear_of_failures(run: Run, network: str) -> None:
    async def story() -> None:
        async with opened("vouching", network) as world:
            host = world.provider.host
            await host.send(CAROL, ANN, LETTER.format(CAROL, ANN, "hello"))
            (letter,) = world.mine.mailbox("ann")
            assert f"s={SELECTOR};" in str(letter) and "d=bigmail.test;" in str(letter)
            await host.send(CAROL, "nobody@st11.sne21.test", LETTER.format(CAROL, ANN, "in-vain"))
            (report,) = world.provider.inbox("carol")
            assert report.first("Subject") == "Mail delivery failed: returning message to sender"
            await host.send(CAROL, CAROL, LETTER.format(CAROL, CAROL, "to-myself"))
            assert len(world.provider.inbox("carol")) == 2

    run(story())


ODD = [
    ("From: a@b.test, c@d.test\nSubject: x\n\nx\n", "550 5.7.1", "two domains"),
    ("Subject: x\nFrom:\n\nx\n", "550 5.7.1", "nobody"),
    ("From: a@b.test\nFrom: c@d.test\n\nx\n", "550 5.7.1", "two fields"),
    (
        "DKIM-Signature: " + "v=1;\n " * 2000 + "\n" + LETTER.format(MALLORY, CAROL, "x"),
        "250",
        "a field like no other",
    ),
    (
        "DKIM-Signature: v=1; d=\u00e9; s=(((; b=\n" * 300 + LETTER.format(MALLORY, CAROL, "x"),
        "250",
        "300 of them",
    ),
    (
        "Authentication-Results: " + "((((\n " * 1000 + "x" + "\n" + LETTER.format(MALLORY, CAROL, "x"),
        "250",
        "open comments",
    ),
]


@pytest.mark.parametrize("text, code, why", ODD)
def test_odd_messages_get_an_answer(run: Run, text: str, code: str, why: str) -> None:
    async def story() -> None:
        async with opened("vouching") as world:
            await world.host(SPOOFER).send(MALLORY, CAROL, text)
            assert str(world.provider.verdicts[-1].reply).startswith(code), why
            assert not world.journal.where(EventKind.PROBLEM)

    run(story())
