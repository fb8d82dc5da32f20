"""The commercial relay: who may send, what it signs, what its console knows; with labkit's and Exim's client."""

from __future__ import annotations

import logging
import re
from typing import Any

import dkim
import pytest

from labkit import World
from labkit.auth import verify_dkim
from labkit.lab.clock import FIRST_MORNING
from labkit.lab.relay_bounces import failed_for_good
from labkit.mail.event import EventKind

from .outside_world import (
    ANN,
    BOB,
    CAROL,
    LETTER,
    MINE,
    NETWORKS,
    PASSWORD,
    WAYS,
    Run,
    hand_in,
    log_in,
    opened,
    plain,
    publish,
    submission,
    use_relay,
    verified,
)

FROM_ANN = LETTER.format(ANN, CAROL, "one")


def bigmail(world: World) -> Any:
    return world.host("mx.bigmail.test")


def lookup_in(world: World) -> Any:
    """The plain look-up of labkit's evaluators, in the zones of a world."""
    import dns.name
    import dns.rdatatype

    from labkit import NoSuchName
    from labkit.net.dns_lookup import look_up

    def lookup(name: str, rdtype: str) -> list[str]:
        found = look_up(world.zones, dns.name.from_text(name), dns.rdatatype.from_text(rdtype))
        records = [
            r for rrset in found.answer if rrset.rdtype == dns.rdatatype.from_text(rdtype) for r in rrset
        ]
        if not records and found.rcode == 3:
            raise NoSuchName(name)
        if rdtype == "TXT":
            return [b"".join(record.strings).decode() for record in records]
        return [record.to_text() for record in records]

    return lookup


# --- from the student's host to Carol -------------------------------------------------------------


@WAYS
@pytest.mark.parametrize("port", [587, 465, 2525])
def test_by_the_relay(run: Run, network: str, engine: str, port: int) -> None:
    """Port 25 is blocked; the relay wants TLS, a password and a verified domain; then Carol has signed mail."""

    async def story() -> None:
        async with opened("relay", network, engine) as world:
            await use_relay(world, port)
            await world.mine.send(ANN, CAROL, LETTER.format(ANN, CAROL, "early"))
            (failed,) = world.journal.where(EventKind.FAILED, host=world.mine.name)
            assert "550 5.7.1 The sender domain st11.sne21.test is not verified" in (failed.text or "")
            assert not bigmail(world).mailbox("carol")
            await verified(world)
            await world.mine.send(ANN, CAROL, FROM_ANN)
            (letter,) = bigmail(world).mailbox("carol")
            (result,) = verify_dkim(bytes(letter), lookup_in(world), world.now())
            assert (result.result, result.domain) == ("pass", MINE)
            assert f"t={int(FIRST_MORNING.timestamp())};" in str(letter), "the lab's clock"
            assert dkim.verify(
                bytes(letter),
                dnsfunc=lambda name, timeout=5: lookup_in(world)(name.decode(), "TXT")[0].encode(),
            )
            trace = [field.value for field in letter.all("Received")]
            assert "by smtp.relay.test with esmtpsa" in trace[1]
            assert "(TLS1.3)" in trace[1]

    run(story())


@WAYS
def test_three_logs_are_joined(run: Run, network: str, engine: str) -> None:
    """Mine says Completed, the relay says what it did with it, the recipient has another queue id."""

    async def story() -> None:
        async with opened("relay", network, engine) as world:
            await use_relay(world)
            await verified(world)
            await world.mine.send(ANN, BOB, LETTER.format(ANN, BOB, "joined"))
            mine = world.journal.where(EventKind.DELIVERED, host=world.mine.name)[-1]
            accepted, delivered = world.relay.events
            assert (accepted.what, delivered.what) == ("accepted", "delivered")
            assert f"id={accepted.queue_id}" in (mine.text or "")
            assert accepted.message_id == delivered.message_id == "<joined@test>"
            assert accepted.customer == delivered.customer == "st11"
            theirs = world.journal.where(EventKind.RECEIVED, host=world.partner.name)[-1]
            assert theirs.queue_id == delivered.remote_id
            assert theirs.message_id == "<joined@test>"
            assert re.search(
                rf"{accepted.queue_id} => {BOB} .*C=\"250 OK id={theirs.queue_id}\"", world.relay.log()
            )

    run(story())


# --- sessions -------------------------------------------------------------------------------------


@NETWORKS
@pytest.mark.parametrize("port", [587, 465, 2525])
def test_what_a_port_asks_for(run: Run, network: str, port: int) -> None:
    async def story() -> None:
        async with opened("relay", network) as world:
            await verified(world)
            client = await submission(world, port)
            assert client.encryption is not None and client.encryption.is_verified
            assert client.machine.extensions["AUTH"] == "PLAIN LOGIN"
            assert "STARTTLS" not in client.machine.extensions
            assert (await hand_in(client, ANN, CAROL, FROM_ANN)).startswith(
                "530 5.7.0 Authentication required"
            )
            assert (await log_in(client, password="guess")).startswith("535 5.7.8")
            assert (await log_in(client, login="st12")).startswith("535 5.7.8")
            assert (await log_in(client)).startswith("235 2.7.0")
            assert (await log_in(client)).startswith("503 5.5.1")
            for sender, what in (
                (BOB, "550 5.7.1"),
                ("ann@evil-st11.sne21.test", "550 5.7.1"),
                ("x@sne21.test", "550"),
            ):
                assert (await hand_in(client, sender, CAROL, FROM_ANN)).startswith(what), sender
            forged = LETTER.format(BOB, CAROL, "forged")
            assert (await hand_in(client, ANN, CAROL, forged)).startswith("550 5.7.1 The From: domain")
            two = FROM_ANN.replace("To:", "From: bob@st2.sne21.test\nTo:", 1)
            assert (await hand_in(client, ANN, CAROL, two)).startswith("550 5.7.1")
            below = LETTER.format(f"root@mx2.{MINE}", CAROL, "below")
            assert (await hand_in(client, f"root@mx2.{MINE}", CAROL, below)).startswith("250 OK id=")
            assert (await hand_in(client, "", CAROL, below)).startswith("250 OK id="), (
                "a report of a customer's"
            )
            await client.quit()
            await world.settle()
            assert len(bigmail(world).mailbox("carol")) == 2

    run(story())


@NETWORKS
def test_login_asks_twice(run: Run, network: str) -> None:
    async def story() -> None:
        async with opened("relay", network) as world:
            client = await submission(world, 587)
            assert str(await client.say("AUTH LOGIN", "AUTH LOGIN")) == "334 VXNlcm5hbWU6"
            assert str(await client.say("c3QxMQ==", "*")) == "334 UGFzc3dvcmQ6", "without a NUL at its end"
            assert str(await client.say("*", "*")).startswith("501 5.7.0")
            assert str(await client.say("AUTH LOGIN c3QxMQ==", "*")) == "334 UGFzc3dvcmQ6"
            assert str(await client.say("!", "*")).startswith("501 5.5.2")
            assert str(await client.say("auth plain", "*")).startswith("334")
            assert str(await client.say(plain(), "*")).startswith("235")
            await client.quit()

    run(story())


@pytest.mark.parametrize(
    "certificate, words",
    [("self-signed", "certificate"), ("expired", "certificate"), ("wrong name", "certificate")],
)
@WAYS
def test_no_password_for_who_shows_a_bad_certificate(
    run: Run, network: str, engine: str, certificate: str, words: str
) -> None:
    async def story() -> None:
        async with opened("relay", network, engine, certificate=certificate) as world:
            await use_relay(world)
            await verified(world)
            await world.mine.send(ANN, CAROL, FROM_ANN)
            (deferred,) = world.journal.where(EventKind.DEFERRED, host=world.mine.name)
            assert words in (deferred.text or "") or "TLS" in (deferred.text or ""), deferred.text
            said = [e.text for e in world.journal.where(EventKind.DIALOGUE, host=world.relay.host.name)]
            assert not any("AUTH PLAIN" in (text or "") and "250" not in (text or "") for text in said)
            assert not bigmail(world).mailbox("carol")

    run(story())


# --- the quota, the suppression list, bounces ---


@NETWORKS
def test_the_quota_is_of_a_day(run: Run, network: str) -> None:
    async def story() -> None:
        async with opened("relay", network, quota=2) as world:
            await verified(world)
            client = await submission(world, 587)
            await log_in(client)
            answers = [await hand_in(client, ANN, CAROL, FROM_ANN) for _ in range(3)]
            assert [answer[:3] for answer in answers] == ["250", "250", "454"]
            assert "quota exceeded" in answers[2]
            assert (world.relay.quota("st11").used, world.relay.quota("st11").limit) == (2, 2)
            await client.quit()
            await world.advance(hours=24)
            again = await submission(world, 465)
            await log_in(again)
            assert (await hand_in(again, ANN, CAROL, FROM_ANN)).startswith("250")
            await again.quit()
            assert [e.what for e in world.relay.events if e.what == "refused"] == ["refused"]

    run(story())


@WAYS
def test_who_refused_once_is_suppressed(run: Run, network: str, engine: str) -> None:
    """250 from the relay, Completed in my log, and nothing sent: only the relay's log tells."""

    async def story() -> None:
        async with opened("relay", network, engine) as world:
            await use_relay(world)
            await verified(world)
            gone = "x-550@bigmail.test"
            await world.mine.send(ANN, gone, LETTER.format(ANN, gone, "first"))
            (entry,) = world.relay.suppressions
            assert (entry.customer, entry.address) == ("st11", gone)
            assert "550" in entry.why
            report = world.mine.mailbox("ann")[-1]
            assert report.first("Subject") == "Mail delivery failed: returning message to sender"
            calls = len(world.journal.where(EventKind.REJECTED, host=bigmail(world).name))
            await world.mine.send(ANN, gone.upper(), LETTER.format(ANN, gone, "second"))
            assert len(world.journal.where(EventKind.REJECTED, host=bigmail(world).name)) == calls
            mine = world.journal.where(EventKind.DELIVERED, host=world.mine.name, recipient=gone.upper())
            assert len(mine) == 1 and mine[0].code == 250
            assert [e.what for e in world.relay.events if e.message_id == "<second@test>"] == [
                "accepted",
                "suppressed",
            ]
            assert len(world.mine.mailbox("ann")) == 1
            assert world.relay.unsuppress(gone)
            await world.mine.send(ANN, gone, LETTER.format(ANN, gone, "third"))
            assert [e.what for e in world.relay.events if e.message_id == "<third@test>"] == [
                "accepted",
                "bounced",
            ]

    run(story())


@pytest.mark.parametrize(
    "bounces_to, domain", [("subdomain", f"bounce.{MINE}"), ("relay", "bounces.relay.test")]
)
@WAYS
def test_reports_come_back_to_the_relay(
    run: Run, network: str, engine: str, bounces_to: str, domain: str
) -> None:
    """The partner takes the mail and finds out later: its report tells the relay by the address it goes to."""

    async def story() -> None:
        async with opened("relay", network, engine, bounces_to=bounces_to) as world:
            await use_relay(world)
            await verified(world)
            partner = world.partner
            partner.path("/etc/aliases").write_text("gone: x-550@bigmail.test\n")
            router = "aliases:\n  driver = redirect\n  data = ${lookup{$local_part}lsearch{/etc/aliases}}\n"
            partner.write_configuration(
                partner.configuration.replace("begin routers\n", f"begin routers\n{router}")
            )
            await partner.reload()
            to = "gone@st2.sne21.test"
            await world.mine.send(ANN, to, LETTER.format(ANN, to, "late"))
            received = world.journal.where(EventKind.RECEIVED, host=partner.name)[0]
            assert (received.sender or "").endswith(f"@{domain}")
            (entry,) = world.relay.suppressions
            assert (entry.address, entry.why) == (to, "a delivery report came back")
            assert [e.what for e in world.relay.events if e.message_id == "<late@test>"] == [
                "accepted",
                "delivered",
                "bounced",
            ]
            assert not world.mine.mailbox("ann"), "the customer looks at the console"

    run(story())


@pytest.mark.parametrize(
    "report, expected",
    [
        ("Action: failed\nStatus: 5.1.1", True),
        ("Action: delayed\nStatus: 4.4.1", False),
        ("Action: failed\nStatus: 4.4.7", False),
        ("Action: relayed\nStatus: 5.0.0", False),
        ("Subject: Action: failed\nStatus: 5.1.1", False),
    ],
)
def test_what_a_report_says(report: str, expected: bool) -> None:
    """Whether nothing more is sent there."""
    assert failed_for_good(report.encode()) is expected


def test_nobody_else_can_suppress(run: Run) -> None:
    """Port 25 takes reports for addresses that the relay has made, and nothing else."""

    async def story() -> None:
        async with opened("relay", bounces_to="relay") as world:
            relay = world.relay.host.name
            for to in (
                CAROL,
                "b+1x3VCq-000B02-00.0.0123456789abcdef@bounces.relay.test",
                "x@bounces.relay.test",
            ):
                sent = await world.partner_laptop.send(to, "no", sender=BOB, host=relay)
                assert "550" in str(sent), to
            sent = await world.partner_laptop.send("postmaster@relay.test", "hello", sender=BOB, host=relay)
            assert sent.queue_id
            assert not world.relay.suppressions
            assert len(world.relay.host.mailbox("postmaster")) == 1

    run(story())


@NETWORKS
def test_it_waits_and_tries_again(run: Run, network: str, tmp_path: Any) -> None:
    """A 4yz or a silent host is deferred; a world that is resumed still has the message, and who is verified."""

    async def story() -> None:
        async with opened("relay", network, folder=tmp_path) as world:
            await verified(world)
            world.faults.add("mx.bigmail.test", "answers", code=451, text="busy", at="rcpt")
            client = await submission(world, 587)
            await log_in(client)
            assert (await hand_in(client, ANN, CAROL, FROM_ANN)).startswith("250")
            await client.quit()
            await world.settle()
            (item,) = world.relay.queue
            assert [e.what for e in world.relay.events] == ["accepted", "deferred"]
            assert world.relay.host.spool_files(item.queue_id)
            await world.advance(minutes=35)
            assert [e.what for e in world.relay.events].count("deferred") == 4
        async with opened("relay", network, folder=tmp_path) as world:
            (same,) = world.relay.queue or (item,)
            assert same.queue_id == item.queue_id
            await world.settle()
            assert not world.relay.queue
            arrived = [*world.provider.inbox("carol"), *world.provider.spam("carol")]
            assert len(arrived) == 1, "wherever: this world's zone has no records of the former's"
            client = await submission(world, 587)
            await log_in(client)
            assert (await hand_in(client, ANN, CAROL, FROM_ANN)).startswith("250"), "still verified"
            await client.quit()

    run(story())


def test_it_gives_up_after_three_days(run: Run) -> None:
    async def story() -> None:
        async with opened("relay") as world:
            await verified(world)
            await bigmail(world).stop()
            client = await submission(world, 587)
            await log_in(client)
            await hand_in(client, ANN, CAROL, FROM_ANN)
            await client.quit()
            await world.advance(days=3, hours=2)
            assert not world.relay.queue
            assert world.relay.events[-1].what in ("bounced", "accepted", "delivered")
            bounced = [event for event in world.relay.events if event.what == "bounced"]
            assert len(bounced) == 1 and "retry timeout exceeded" in bounced[0].words
            assert not world.relay.suppressions, "nobody has refused it"
            assert len(world.mine.mailbox("ann")) == 1

    run(story())


# --- the domain's records ---

SLIPS = [  # lines of the zone, record, state, a word of the advice, why
    ([], "ownership", "missing", "add _relay-verify", "nothing is there"),
    (
        ['_relay-verify.st11 IN TXT "relay-verify=0"'],
        "ownership",
        "wrong",
        "another one",
        "somebody else's token",
    ),
    (['_relay-verify.st11.sne21.test IN TXT "{token}"'], "ownership", "missing", "dot at its end", "no dot"),
    (['st11 IN TXT "v=spf1 -all"'], "SPF", "wrong", "include:spf.relay.test is missing", "no include"),
    (['st11 IN TXT "v=spf1 -all include:spf.relay.test"'], "SPF", "wrong", "behind -all", "after all"),
    (['st11 IN TXT "v=spf1 include:spf.relay.test +all"'], "SPF", "wrong", "everybody in the world", "+all"),
    (['st11 IN TXT "v=spf1 -include:spf.relay.test ~all"'], "SPF", "wrong", "gives no pass", "a sign"),
    (
        ['st11 IN TXT "v=spf1 include:spf.relay.test ~all"', 'st11 IN TXT "v=spf1 mx -all"'],
        "SPF",
        "wrong",
        "2 SPF records",
        "two records",
    ),
    (['st11 IN TXT "google-site-verification=x"'], "SPF", "missing", "no SPF record", "another TXT record"),
    (['st11 IN TXT "v=spf1 mx INCLUDE:spf.relay.test -all"'], "SPF", "found", "", "case does not count"),
    (
        ["r1._domainkey.st11 IN CNAME r1.st11.sne21.test.dkim.relay.test"],
        "DKIM",
        "missing",
        "leads to",
        "no dot",
    ),
    (['r1._domainkey.st11 IN TXT "v=DKIM1; k=rsa; p={cut}"'], "DKIM", "wrong", "cut off", "half a key"),
    (['r1._domainkey.st11 IN TXT "v=DKIM1; k=rsa; p="'], "DKIM", "wrong", "revokes", "an empty key"),
    (
        ['r1._domainkey.st11 IN TXT "v=DKIM1; k=rsa; p={other}"'],
        "DKIM",
        "wrong",
        "another one",
        "not this key",
    ),
    (['r1._domainkey.st11 IN TXT "hello"'], "DKIM", "wrong", "no p=", "no key"),
    (['r1._domainkey.st11 IN TXT "v=DKIM1; p={key}"'], "DKIM", "found", "", "the key itself"),
    (["r1._domainkey.st11 IN CNAME r1.st11.sne21.test.dkim.relay.test."], "DKIM", "found", "", "the alias"),
    (['_dmarc.st11 IN TXT "v=DMARC1; p=none"'] * 1, "DMARC", "found", "", "a record"),
    (
        ['_dmarc.st11 IN TXT "v=DMARC1; p=none"', '_dmarc.st11 IN TXT "v=DMARC1; p=reject"'],
        "DMARC",
        "wrong",
        "2 DMARC records",
        "two of them",
    ),
]


def test_the_page_says_what_is_missing(run: Run) -> None:
    async def story() -> None:
        async with opened("relay") as world:
            before = world.zone("sne21.test")
            token = world.relay.records(MINE)[0].value
            key = world.relay.public_key_record(MINE).value.partition("p=")[2]
            values = {"token": token, "key": '" "'.join((key[:200], key[200:])), "cut": key[:200]}
            values["other"] = '" "'.join((key[200:], key[:200]))
            for lines, purpose, state, words, why in SLIPS:
                world.write_zone("sne21.test", before)
                await publish(world, *(line.format(**values) for line in lines))
                report = await world.relay.verify_domain(MINE)
                check = next(each for each in report.checks if each.record.purpose == purpose)
                assert (check.state, words in check.words) == (state, True), (why, check)
                assert not report.is_verified
            world.faults.add("st11.sne21.test", "servfail")
            report = await world.relay.verify_domain(MINE)
            assert {check.state for check in report.checks} == {"unknown"}
            assert "try again" in str(report)
            with pytest.raises(LookupError, match="no customer has the domain st9"):
                await world.relay.verify_domain("st9.sne21.test")

    run(story())


# --- secrets ---


@NETWORKS
def test_the_password_is_nowhere(run: Run, network: str, tmp_path: Any, caplog: Any) -> None:
    async def story() -> None:
        async with opened("relay", network, folder=tmp_path) as world:
            with caplog.at_level(logging.DEBUG):
                await verified(world)
                client = await submission(world, 587)
                await log_in(client)
                await hand_in(client, ANN, CAROL, FROM_ANN)
                await client.quit()
                again = await submission(world, 2525)
                await again.say("AUTH LOGIN", "*")
                await again.say("c3QxMQ==", "*")
                await again.say("ZHVtbXktMTEtZm9yLXRoZS1sYWI=", "*")
                await again.quit()
            secrets = (PASSWORD, plain(), "ZHVtbXktMTEtZm9yLXRoZS1sYWI=")
            texts = [repr(world.scenario), repr(world.relay), repr(world.relay.customers), caplog.text]
            texts += [repr(event) for event in world.journal] + [world.relay.log()]
            texts += [
                path.read_bytes().decode("latin-1")
                for path in tmp_path.rglob("*")
                if path.is_file() and path.name != "relay.password"
            ]
            for secret in secrets:
                assert not any(secret in text for text in texts)
            assert any("AUTH PLAIN ****" in (event.text or "") for event in world.journal)
            assert world.relay.customer("st11").password == PASSWORD
            modes = {path.name: path.stat().st_mode & 0o077 for path in tmp_path.rglob("*.key")}
            assert modes and not any(modes.values()), "keys are for this user alone"

    run(story())
