"""Seven ways from Ann to Carol, and what her provider finds at the end of each: made by running."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from labkit import World
from labkit.lab.signing_keys import SigningKeys
from labkit.mail.event import EventKind

from .outside_world import ANN, CAROL, LETTER, MINE, WAYS, Run, opened, publish

BIGMAIL, LISTS = "mx.bigmail.test", "mx.lists.test"
BEHIND = [  # the way, then SPF, DKIM of st11, DMARC, ARC
    ("direct", "pass", "pass", "pass", "none"),
    ("relay", "pass", "pass", "pass", "none"),
    ("forward", "fail", "pass", "pass", "none"),
    ("srs", "pass", "pass", "pass", "none"),
    ("backup", "fail", "pass", "pass", "none"),
    ("still", "pass", "pass", "pass", "none"),
    ("mta", "pass", "fail", "fail", "none"),
    ("kind", "pass", "fail", "pass", "none"),
    ("sealed", "pass", "fail", "fail", "pass"),
    ("spoof", "fail", "", "fail", "none"),
]


async def ready(world: World, folder: Path) -> None:
    """Ann's key is there and published; the relay has verified her domain."""
    keys = SigningKeys(folder)
    target = world.mine.path("/etc/dkim/k1.pem")
    target.parent.mkdir(exist_ok=True)
    target.write_bytes(keys.key(MINE, "k1"))
    record = keys.record(MINE, "k1")
    lines = [f'k1._domainkey.{MINE}. IN TXT "{record[:200]}" "{record[200:]}"']
    lines += [
        each.line for each in world.relay.records(MINE) if each.purpose in ("ownership", "DKIM", "bounces")
    ]
    await publish(world, *lines)
    report = await world.relay.verify_domain(MINE)
    assert report.is_verified, str(report)
    await world.mine.reload()


async def send(world: World, way: str) -> None:
    to = {"forward": "carol@forward.test", "srs": "carol@srs.test"}.get(way, CAROL)
    if way in ("mta", "kind", "sealed", "still"):
        to = f"{way}@lists.test"
    text = LETTER.format(ANN, to, way)
    if way == "relay":
        text = "X-Way: relay\n" + text
    if way == "spoof":
        await world.host("mx.spoof.test").send(ANN, to, text)
        return
    if way == "backup":
        world.faults.add(BIGMAIL, "refuses")
    await world.mine.send(ANN, to, text)
    if way == "backup":
        world.faults.clear(BIGMAIL)
        await world.advance(hours=1)


@WAYS
def test_the_matrix(run: Run, network: str, engine: str, tmp_path: Path) -> None:
    async def story() -> None:
        async with opened("what_survives", network, engine) as world:
            await ready(world, tmp_path)
            found: list[Any] = []
            for way, *_ in BEHIND:
                await send(world, way)
                verdicts = [v for v in world.provider.verdicts if v.message_id == f"<{way}@test>"]
                assert len(verdicts) == 1, (way, world.mine.log())
                (v,) = verdicts
                own = [each.result for each in v.dkim if each.domain == MINE]
                found.append((way, v.spf.result, "".join(own[:1]), v.dmarc.result, v.arc.result))
            assert found == BEHIND
            by_way = {v.message_id: v for v in world.provider.verdicts}
            assert by_way["<srs@test>"].sender.startswith("SRS0=")
            assert by_way["<srs@test>"].sender.endswith(f"={MINE}=ann@srs.test")
            assert by_way["<mta@test>"].sender == "mta-bounces@lists.test"
            assert by_way["<direct@test>"].dkim[0].domain == MINE
            assert by_way["<kind@test>"].findings.author.domain == "lists.test"
            (by_relay,) = by_way["<relay@test>"].dkim
            assert (by_relay.domain, by_relay.selector) == (MINE, "r1"), (
                "with the key that only the relay has"
            )
            assert not world.journal.where(EventKind.PROBLEM)

    run(story())


@pytest.mark.parametrize("policy, mta", [("reject", "refused"), ("quarantine", "spam"), ("none", "inbox")])
def test_policies_decide_what_becomes_of_a_list(run: Run, policy: str, mta: str, tmp_path: Path) -> None:
    """With p=reject a footer costs the mail, a seal of a trusted list saves it, and the spoofer gets nothing in."""

    async def story() -> None:
        async with opened("what_survives", policy=policy) as world:
            await ready(world, tmp_path)
            for way in ("mta", "sealed", "kind", "spoof"):
                await send(world, way)
            by_way = {v.message_id: v for v in world.provider.verdicts}
            assert by_way["<mta@test>"].disposition == mta
            assert by_way["<sealed@test>"].disposition == "inbox"
            assert by_way["<kind@test>"].disposition == "inbox"
            assert by_way["<spoof@test>"].disposition == ("spam" if policy == "none" else mta)
            world.provider.trusts.clear()
            await send(world, "sealed")
            assert world.provider.verdicts[-1].disposition == mta, (
                "ARC alone says nothing about whom to believe"
            )

    run(story())


def test_a_seal_does_not_make_a_spoofed_letter_good(run: Run, tmp_path: Path) -> None:
    """A trusted list that saw DMARC fail says so in its seal, and nobody is vouched for."""

    async def story() -> None:
        async with opened("what_survives", policy="reject") as world:
            await ready(world, tmp_path)
            text = LETTER.format(ANN, "sealed@lists.test", "forged")
            await world.host("mx.spoof.test").send(ANN, "sealed@lists.test", text)
            (verdict,) = world.provider.verdicts
            assert verdict.arc.result == "pass" and set(verdict.findings.sealers) <= world.provider.trusts
            assert verdict.disposition == "refused"

    run(story())


@WAYS
def test_reports_find_their_way_back_through_srs(run: Run, network: str, engine: str, tmp_path: Path) -> None:
    async def story() -> None:
        async with opened("what_survives", network, engine) as world:
            await world.mine.send(ANN, "gone@srs.test", LETTER.format(ANN, "gone@srs.test", "lost"))
            (report,) = world.mine.mailbox("ann")
            assert report.first("Subject") == "Mail delivery failed: returning message to sender"
            assert "nobody@bigmail.test" in str(report)
            forger = world.host("mx.spoof.test")
            await world.mine.send(ANN, "carol@srs.test", LETTER.format(ANN, "carol@srs.test", "good"))
            good = world.provider.verdicts[-1].sender
            _, code, rest = good.split("=", 2)
            forged = f"SRS0={'1' if code[0] == '0' else '0'}{code[1:]}={rest}"
            for to in ("SRS0=AAAA=AA=st11.sne21.test=ann@srs.test", forged):
                await forger.send("", to, LETTER.format("x@y.test", ANN, "x"))
            assert len(world.mine.mailbox("ann")) == 1, "only what it has written itself"

    run(story())


# --- the mailing list ---


@WAYS
def test_what_a_list_changes(run: Run, network: str, engine: str) -> None:
    async def story() -> None:
        async with opened("what_survives", network, engine) as world:
            for name in ("mta", "kind", "still"):
                await world.mine.send(
                    ANN, f"{name}@lists.test", LETTER.format(ANN, f"{name}@lists.test", name)
                )
            mta, kind, still = world.mine.mailbox("ann")
            assert mta.first("Subject") == "[mta] mta"
            assert mta.body.endswith(b"_\r\nThe list about mail servers\r\n")
            assert mta.first("List-Id") == "<mta.lists.test>"
            assert mta.first("List-Post") == "<mailto:mta@lists.test>"
            assert mta.first("Return-path") == "<mta-bounces@lists.test>"
            assert mta.first("From") == ANN
            assert kind.first("From") == '"ann via kind" <kind@lists.test>'
            assert kind.first("Reply-To") == ANN
            assert (still.first("Subject"), still.body) == ("still", b"hello\r\n")

    run(story())


@pytest.mark.parametrize(
    "sender, author, to, said",
    [
        ("mallory@spoof.test", "mallory@spoof.test", "mta@lists.test", "550 5.7.1 only members may post"),
        ("mallory@spoof.test", "mallory@spoof.test", "other@lists.test", "550 5.1.1"),
        ("mallory@spoof.test", "mallory@spoof.test", CAROL.replace("bigmail", "forward") + ".x", "550"),
        ("", ANN, "mta@lists.test", "550 5.7.1 a list takes no mail from <>"),
        ("", ANN, "mta-bounces@lists.test", ""),
        ("mallory@spoof.test", ANN, "mta-request@lists.test", ""),
    ],
)
def test_who_may_post(run: Run, sender: str, author: str, to: str, said: str) -> None:
    async def story() -> None:
        async with opened("what_survives") as world:
            if not to.endswith("lists.test"):
                to_ask = f"{to}@elsewhere.test".replace("@forward.test.x", "")
                sent = await world.laptop.send(to_ask, "x", sender=sender, host=LISTS)
            else:
                sent = await world.laptop.send(to, "x", sender=sender, header_from=author, host=LISTS)
            if said:
                assert said in str(sent)
            else:
                assert sent.queue_id
            assert not world.provider.verdicts

    run(story())


def test_a_list_does_not_send_in_circles(run: Run) -> None:
    """What has come from it is refused when it comes back, whoever sends it."""

    async def story() -> None:
        async with opened("what_survives") as world:
            text = "List-Id: the list <mta.lists.test>\n" + LETTER.format(ANN, "mta@lists.test", "again")
            await world.mine.send(ANN, "mta@lists.test", text)
            (failed,) = world.journal.where(EventKind.FAILED, host=world.mine.name)
            assert "554" in (failed.text or "")

    run(story())
