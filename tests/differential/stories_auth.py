"""Stories of a server that wants to know who somebody is: passwords, certificates, and what must not be believed."""

from __future__ import annotations

import base64
import ssl

import pytest

from labkit.lab.scenarios import HostPlan

from .configurations import CHECK_RCPT, exim_conf
from .stage import ANN, LAPTOP, MINE, Lab, host, message
from .story import story

TLS = "tls_certificate = /etc/tls.crt\ntls_privatekey = /etc/tls.key\n"
CERTIFIED = {f"{MINE}/etc/tls.crt": ""}
AUTHENTICATORS = """\
plain:
  driver           = plaintext
  public_name      = PLAIN
  server_prompts   = :
  server_condition = ${if eq{$auth2/$auth3}{ann/secret}}
  server_set_id    = $auth2
  server_advertise_condition = ${if def:tls_in_cipher}
login:
  driver           = plaintext
  public_name      = LOGIN
  server_prompts   = Username:: : Password::
  server_condition = ${if eq{$auth1/$auth2}{ann/secret}}
  server_set_id    = $auth1
"""
MAY_RELAY = """\
check_rcpt:
  accept  authenticated = *
          control       = submission/domain=
          logwrite      = $authenticated_id by $sender_host_authenticated for $authenticated_sender
  accept  domains       = +local_domains
  deny    message       = authentication required ($received_protocol)
"""


def coded(*texts: str) -> str:
    return base64.b64encode("\0".join(texts).encode()).decode()


def mine(main: str = "", acl: str = MAY_RELAY, authenticators: str = AUTHENTICATORS) -> HostPlan:
    return host(MINE, exim_conf(MINE, TLS + main, acl=acl, authenticators=authenticators), "ann")


RCPT = "RCPT TO:<someone@elsewhere.test>"


@story()
async def who_may_relay(lab: Lab) -> None:
    """A wrong password, a right one, and one that must not be said in the clear."""
    async with lab.world(mine(), files=CERTIFIED) as world:
        said = await lab.call(
            world.mine,
            "EHLO c.test",
            f"AUTH PLAIN {coded('', 'ann', 'secret')}",
            f"AUTH LOGIN {coded('ann')}",
            coded("guess"),
            "MAIL FROM:<eve@stranger.test> AUTH=ann@st11.sne21.test",
            RCPT,
        )
        assert said[2].startswith("504 PLAIN authentication mechanism not supported")
        assert said[4] == "535 Incorrect authentication data"
        assert said[6] == "550 authentication required (esmtp)"
        said = await lab.call(
            world.mine,
            "EHLO c.test",
            "STARTTLS",
            "EHLO c.test",
            f"AUTH PLAIN {coded('', 'ann', 'secret')}",
            f"AUTH PLAIN {coded('', 'ann', 'secret')}",
            f"MAIL FROM:<{ANN}> AUTH=ann+2Bx@st11.sne21.test",
            f"RCPT TO:<{ANN}>",
            "DATA",
            message(),
            tls=lab.authority.trusted(),
        )
        assert said[4] == "235 Authentication succeeded"
        assert said[5] == "503 already authenticated"
        assert said[-2].startswith("250 OK id=")
        await world.settle()
        (letter,) = world.mine.mailbox("ann")
        assert " with esmtpsa " in next(letter.all("Received")).value


@story()
async def nothing_before_tls_counts(lab: Lab) -> None:
    """Not the name, not the envelope, not AUTH (RFC 3207 §4.2); STARTTLS is offered once."""
    async with lab.world(mine(), files=CERTIFIED) as world:
        said = await lab.call(
            world.mine,
            "EHLO c.test",
            f"AUTH LOGIN {coded('ann', 'secret')}",
            f"MAIL FROM:<{ANN}>",
            "STARTTLS now",
            "STARTTLS",
            RCPT,
            f"MAIL FROM:<{ANN}>",
            "EHLO d.test",
            "STARTTLS",
            f"MAIL FROM:<{ANN}>",
            RCPT,
            tls=lab.authority.trusted(),
        )
        assert [line[:3] for line in said] == "220 250 235 250 501 220 503 503 250 503 250 550 221".split()


@story()
async def a_certificate_for_each_name(lab: Lab) -> None:
    """$tls_in_sni chooses; who asks for no name of ours gets the usual one."""
    main = TLS.replace("/tls.", "/${if eq{$tls_in_sni}{mail.st11.sne21.test}{mail}{tls}}.")
    plan = host(MINE, exim_conf(MINE, main), "ann")
    async with lab.world(plan, files=CERTIFIED) as world:
        certificate, key = lab.authority.certify("mail.st11.sne21.test")
        for name, text in (("mail.crt", certificate), ("mail.key", key)):
            (world.folder / MINE / "etc" / name).write_text(text, encoding="ascii")
            (world.folder / MINE / "etc" / name).chmod(0o644)
        for name in (MINE, "mail.st11.sne21.test"):
            context = _Named(lab.authority.trusted(), name)
            said = await lab.call(world.mine, "EHLO c.test", "STARTTLS", "EHLO c.test", tls=context)  # type: ignore[arg-type]
            assert said[2].startswith("220 ") and said[3].startswith("250 ")


class _Named:
    """A context that asks for another name, and wants it in the certificate."""

    def __init__(self, context: ssl.SSLContext, name: str) -> None:
        self.context, self.name = context, name

    def wrap_socket(self, connection: object, server_hostname: str) -> ssl.SSLSocket:
        return self.context.wrap_socket(connection, server_hostname=self.name)  # type: ignore[arg-type]


@story()
async def clients_must_show_a_certificate(lab: Lab) -> None:
    """tls_verify_hosts: without a good one there is no session; in the clear nobody asks."""
    main = "tls_verify_hosts = *\ntls_verify_certificates = /etc/ca.crt\n"
    acl = "check_rcpt:\n  accept  encrypted = *\n          condition = $tls_in_certificate_verified\n  deny\n"
    async with lab.world(mine(main, acl), files=CERTIFIED) as world:
        context = lab.authority.trusted()
        context.maximum_version = ssl.TLSVersion.TLSv1_2  # in 1.3 the client hears of it only later
        mail = ("EHLO c.test", f"MAIL FROM:<{ANN}>", f"RCPT TO:<{ANN}>")
        with pytest.raises((ssl.SSLError, ConnectionError)):
            await lab.call(world.mine, "EHLO c.test", "STARTTLS", *mail, tls=context)
        folder = world.folder / MINE / "etc"
        context.load_cert_chain(folder / "tls.crt", folder / "tls.key")
        said = await lab.call(world.mine, "EHLO c.test", "STARTTLS", *mail, tls=context)
        assert said[-2] == "250 Accepted"
        assert (await lab.call(world.mine, *mail))[-2].startswith("550 ")


@story()
async def submission_for_our_own_people(lab: Lab) -> None:
    """On 587: TLS first, then a password; the message is completed, and its sender is known."""
    main = "daemon_smtp_ports = smtp : submission\nacl_smtp_mail = check_mail\n"
    acl = """\
check_mail:
  accept  condition = ${if !eq{$received_port}{587}}
  deny    !encrypted = *
          message = 530 5.7.0 Must issue a STARTTLS command first
  deny    !authenticated = plain : login
          message = 530 5.7.0 Authentication required
  accept
""" + MAY_RELAY.replace("/domain=", "")
    async with lab.world(
        mine(main, acl + CHECK_RCPT.replace("check_rcpt", "unused")), files=CERTIFIED
    ) as world:
        mail = (f"MAIL FROM:<{ANN}>", f"RCPT TO:<{ANN}>", "DATA")
        content = b"From: ann@st11.sne21.test\r\nSubject: short\r\nMessage-ID: <a@c.test>\r\n\r\nhello\r\n"
        trusted = lab.authority.trusted()
        said = await lab.call(world.mine, "EHLO c.test", mail[0], port=587, source=LAPTOP)
        assert said[2] == "530 5.7.0 Must issue a STARTTLS command first"
        said = await lab.call(
            world.mine, "EHLO c.test", "STARTTLS", "EHLO c.test", mail[0], f"AUTH PLAIN {coded('', 'ann', 'secret')}",
            *mail, content, port=587, source=LAPTOP, tls=trusted,
        )  # fmt: skip
        assert said[4] == "530 5.7.0 Authentication required"
        assert said[-2].startswith("250 OK id=")
        await world.settle()
        (letter,) = world.mine.mailbox("ann")
        assert letter.first("Date") is not None
