"""Stories of a forwarder: what becomes of SPF on the way, with the sender as it was and with one of its own (SRS).

The forwarders' configurations are those that scenarios name: data/scenarios/forward and forward_srs.
"""

from __future__ import annotations

import re

from labkit.lab.data import data_path, fill_in
from labkit.lab.scenarios import HostPlan

from .configurations import BY_SMTP, CHECK_RCPT, OTHERS, OURS, exim_conf
from .signing import pem, published, record, rsa_key
from .stage import BOB, MINE, PARTNER, RELAY, STRANGER, USUAL_MX, Lab, host, message
from .story import story

CAROL = "carol@relay.test"
ZONE = USUAL_MX + (
    'relay          IN MX  10 smtp.relay\nrelay          IN TXT "v=spf1 ip4:203.0.113.87 -all"\n'
    'st11.sne21     IN TXT "v=spf1 mx -all"\n'
)
CHECKING = "acl_smtp_data = check_data\nlog_selector = +dkim_verbose\n"
CHECKED = CHECK_RCPT.replace(
    "check_rcpt:\n",
    "check_rcpt:\n  warn    spf     = fail : softfail : none : neutral : pass : permerror : temperror\n",
).replace("  accept  hosts   = +relay_from_hosts\n", "") + (
    "check_data:\n  accept  add_header = :at_start:${authresults {$primary_hostname}}\n"
)
ALIASES = "aliases:\n  driver = redirect\n  data = ${lookup{$local_part}lsearch{/etc/aliases}}\n"
FILES = {
    f"{MINE}/etc/aliases": f"ann: {BOB}\nlater: far@st2.sne21.test\nlost: missing@st2.sne21.test\n",
    f"{PARTNER}/etc/aliases": "far: unknown@relay.test\n",
    f"{RELAY}/etc/dkim.key": pem(rsa_key()),
}
SIGNING = BY_SMTP + (
    "  dkim_domain = relay.test\n  dkim_selector = one\n  dkim_private_key = /etc/dkim.key\n"
    "  dkim_sign_headers = From : To : Subject : Message-ID\n"
)


def forwarder(name: str) -> HostPlan:
    text = data_path("scenarios", name, "host.conf").read_text(encoding="utf-8")
    values = {"host": MINE, "domain": "st11.sne21.test"}
    return host(MINE, fill_in(text, values), "ann")


def others() -> tuple[HostPlan, HostPlan]:
    """Bob's host looks at SPF and DKIM; Carol's signs."""
    checks = exim_conf(PARTNER, CHECKING, acl=CHECKED, routers=OTHERS + ALIASES + OURS)
    into_mailbox = exim_conf(RELAY).partition("into_mailbox:\n")[2].partition("\nbegin")[0]
    signs = exim_conf(RELAY, transports=f"{SIGNING}into_mailbox:\n{into_mailbox}\n")
    signs = signs.replace("hostlist   relay_from_hosts = ", f"hostlist   relay_from_hosts = {STRANGER}")
    return host(PARTNER, checks, "bob"), host(RELAY, signs, "carol")


ZONES = ZONE + record("one._domainkey.relay", f"v=DKIM1; p={published(rsa_key())}")


@story()
async def forwarded_plainly(lab: Lab) -> None:
    """The next host sees Carol's domain come from an address that is not hers: SPF fails. DKIM survives."""
    async with lab.world(forwarder("forward"), *others(), zone=ZONES, files=FILES) as world:
        carols = world.host(RELAY)
        letter = message("forwarded", sender=CAROL)
        await lab.submit(carols, "ann@st11.sne21.test", letter, sender=CAROL, source=STRANGER)
        await lab.submit(carols, BOB, message("directly", sender=CAROL), sender=CAROL, source=STRANGER)
        forwarded, directly = world.partner.mailbox("bob")
        assert forwarded.first("Return-path") == f"<{CAROL}>"
        assert "spf=fail smtp.mailfrom=relay.test" in (forwarded.first("Authentication-Results") or "")
        assert "spf=pass smtp.mailfrom=relay.test" in (directly.first("Authentication-Results") or "")
        for each in (forwarded, directly):
            assert "dkim=pass header.d=relay.test" in (each.first("Authentication-Results") or "")


@story()
async def forwarded_with_srs(lab: Lab) -> None:
    """The forwarder's domain vouches: SPF passes. A bounce from further on comes back, and reaches Carol."""
    async with lab.world(forwarder("forward_srs"), *others(), zone=ZONES, files=FILES) as world:
        carols = world.host(RELAY)
        for name in ("ann", "later", "lost"):
            recipient, letter = f"{name}@st11.sne21.test", message(name, sender=CAROL)
            await lab.submit(carols, recipient, letter, sender=CAROL, source=STRANGER)
        (forwarded,) = world.partner.mailbox("bob")
        sender = (forwarded.first("Return-path") or "").strip("<>")
        assert re.fullmatch(r"SRS0=[0-9a-f]{4}=[A-Za-z2-7]{2}=relay\.test=carol@st11\.sne21\.test", sender)
        results = forwarded.first("Authentication-Results") or ""
        assert "spf=pass smtp.mailfrom=st11.sne21.test" in results
        assert "dkim=pass header.d=relay.test" in results
        lost, later = sorted(world.host(RELAY).mailbox("carol"), key=lambda each: b"later" in bytes(each))
        assert "unknown@relay.test" in str(later), "the host behind the forwarder gave up"
        assert "missing@st2.sne21.test" in str(lost), "the forwarder gave up"
        assert world.mine.mailbox("ann") == []
        said = await lab.call(
            world.mine,
            "EHLO x.test",
            "MAIL FROM:<>",
            f"RCPT TO:<{sender}>",
            f"RCPT TO:<{sender.replace('carol', 'dave')}>",
            "RSET",
            "MAIL FROM:<eve@stranger.test>",
            f"RCPT TO:<{sender}>",
        )
        assert [line[:3] for line in said[3:8]] == ["250", "550", "250", "250", "550"]
        assert said[4] == "550 Invalid SRS recipient address"
