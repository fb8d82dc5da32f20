"""Stories of TLS and passwords: submission, implicit TLS, a smarthost that wants to know who we are."""

from __future__ import annotations

import re
import ssl

import pytest

from labkit.eximconf.place import ConfigurationError
from labkit.lab.host import Host
from labkit.lab.scenarios import HostPlan
from labkit.mail.event import EventKind

from .certificates import Authority
from .configurations import BY_SMTP, CHECK_RCPT, INTO_MAILBOX, OTHERS, OURS, exim_conf
from .stage import ANN, LAPTOP, MINE, RELAY, Lab, host, message
from .story import story

TLS = """\
tls_advertise_hosts = *
tls_certificate     = /etc/tls.crt
tls_privatekey      = /etc/tls.key
"""
SUBMISSION = f"""\
{TLS}daemon_smtp_ports   = smtp : submission
acl_smtp_mail       = check_mail
"""
CHECK_MAIL = """\
check_mail:
  deny    condition = ${if eq{$received_port}{587}}
          !encrypted = *
          message   = 530 5.7.0 Must issue a STARTTLS command first
  accept
"""


@story()
async def tls_required_on_587(lab: Lab) -> None:
    """On submission nothing is taken in the clear (RFC 3207 §4); on port 25 it is: who must not be locked out."""
    configuration = exim_conf(MINE, SUBMISSION, acl=CHECK_MAIL + CHECK_RCPT)
    async with lab.world(host(MINE, configuration, "ann"), files={f"{MINE}/etc/tls.crt": ""}) as world:
        plain = await lab.call(world.mine, "EHLO client.test", f"MAIL FROM:<{ANN}>", port=587, source=LAPTOP)
        assert plain[2] == "530 5.7.0 Must issue a STARTTLS command first"
        mail = ("EHLO client.test", f"MAIL FROM:<{ANN}>", f"RCPT TO:<{ANN}>", "DATA", message())
        secure = await lab.call(
            world.mine,
            "EHLO client.test",
            "STARTTLS",
            *mail,
            port=587,
            source=LAPTOP,
            tls=lab.authority.trusted(),
        )
        assert secure[2].startswith("220 ")
        assert secure[-2].startswith("250 OK id=")
        await world.settle()  # of two at once a real Exim delivers any one first
        assert (await lab.call(world.mine, *mail, source=LAPTOP))[-2].startswith("250 OK id=")
        await world.settle()
        over_tls, in_the_clear = world.mine.mailbox("ann")
        assert " with esmtps " in next(over_tls.all("Received")).value
        assert " with esmtp " in next(in_the_clear.all("Received")).value
        with pytest.raises(ssl.SSLCertVerificationError):
            await lab.call(
                world.mine, "EHLO c.test", "STARTTLS", port=587, source=LAPTOP, tls=Authority().trusted()
            )


@story()
async def implicit_tls_on_465(lab: Lab) -> None:
    """tls_on_connect_ports alone opens no port: daemon_smtp_ports does. Then the first octet is TLS (RFC 8314 §3.3)."""
    main = f"{TLS}tls_on_connect_ports = 465\n"
    async with lab.world(
        host(MINE, exim_conf(MINE, main), "ann"), files={f"{MINE}/etc/tls.crt": ""}
    ) as world:
        with pytest.raises(ConnectionRefusedError):
            await lab.call(world.mine, port=465, source=LAPTOP)
        world.mine.write_configuration(exim_conf(MINE, f"{main}daemon_smtp_ports = smtp : smtps\n"))
        await world.mine.reload()
        await world.settle()
        mail = ("EHLO client.test", f"MAIL FROM:<{ANN}>", f"RCPT TO:<{ANN}>", "DATA", message())
        trusted = lab.authority.trusted()
        said = await lab.call(world.mine, *mail, port=465, source=LAPTOP, tls=trusted, implicit=True)
        assert said[-2].startswith("250 OK id=")
        await world.settle()
        (letter,) = world.mine.mailbox("ann")
        assert " with esmtps " in next(letter.all("Received")).value


@story()
async def tls_files_that_became_bad(lab: Lab) -> None:
    """An error with file and line on both engines, and the old configuration goes on."""
    configuration = exim_conf(MINE, TLS)
    async with lab.world(host(MINE, configuration, "ann"), files={f"{MINE}/etc/tls.crt": ""}) as world:
        etc = world.mine.folder / "etc"
        good = (etc / "tls.key").read_text()
        await lab.call(
            world.mine, "EHLO c.test", "STARTTLS", "EHLO c.test", source=LAPTOP, tls=lab.authority.trusted()
        )
        offers = list(lab.outcome.sections.values())[-1]
        assert offers.count("250-STARTTLS") == 1, "before, and not after"
        (etc / "tls.key").write_text(lab.authority.certify(MINE)[1])
        with pytest.raises(ConfigurationError, match="does not belong to the certificate") as raised:
            await world.mine.reload()
        assert raised.value.remedy and raised.value.place.line > 1
        (etc / "tls.key").write_text(good)
        await world.mine.reload()
        await world.settle()
        said = await lab.call(
            world.mine, "EHLO c.test", "STARTTLS", "EHLO c.test", source=LAPTOP, tls=lab.authority.trusted()
        )
        assert said[2].startswith("220 ")


SERVER = f"""\
log_selector = +smtp_no_mail
{TLS}daemon_smtp_ports = smtp : smtps : submission
tls_on_connect_ports = 465
"""
SERVERS_AUTHENTICATORS = """\
plain_server:
  driver           = plaintext
  public_name      = PLAIN
  server_prompts   = :
  server_condition = ${if and{{eq{$auth2}{ann}}{eq{$auth3}{secret}}}}
  server_set_id    = $auth2
  server_advertise_condition = ${if def:tls_in_cipher}
login_server:
  driver           = plaintext
  public_name      = LOGIN
  server_prompts   = Username:: : Password::
  server_condition = ${if and{{eq{$auth1}{ann}}{eq{$auth2}{secret}}}}
  server_set_id    = $auth1
  server_advertise_condition = ${if def:tls_in_cipher}
"""
ONLY_KNOWN = """\
check_rcpt:
  accept  authenticated = *
  deny    message = authentication required
"""
CLIENTS_AUTHENTICATORS = {
    "LOGIN": """\
relay_login:
  driver      = plaintext
  public_name = LOGIN
  hide client_send = : ann : {password}
""",
    "PLAIN": """\
relay_plain:
  driver      = plaintext
  public_name = PLAIN
  hide client_send = ^ann^{password}
""",
}
SMARTHOST = """\
smarthost:
  driver     = manualroute
  domains    = ! +local_domains
  transport  = to_smarthost
  route_list = * smtp.relay.test
  no_more
"""
TO_SMARTHOST = """\
to_smarthost:
  driver   = smtp
  port     = {port}
  protocol = {protocol}
  hosts_require_auth = *
  hosts_require_tls  = *
  tls_verify_hosts   = *
  tls_verify_certificates = /etc/ca.crt
"""
BOTH_CERTIFIED = {f"{MINE}/etc/tls.crt": "", f"{RELAY}/etc/tls.crt": ""}


def client_of_relay(mechanism: str, port: int, password: str = "secret") -> str:
    """Ann's host, that sends everything through the relay."""
    return exim_conf(
        MINE,
        routers=SMARTHOST + OURS,
        transports=TO_SMARTHOST.format(port=port, protocol="smtps" if port == 465 else "smtp") + INTO_MAILBOX,
        authenticators=CLIENTS_AUTHENTICATORS[mechanism].format(password=password),
    )


def relay() -> HostPlan:
    """The relay; Bob has a mailbox there."""
    configuration = exim_conf(
        RELAY,
        SERVER,
        acl=ONLY_KNOWN,
        routers=OTHERS + OURS,
        transports=BY_SMTP + INTO_MAILBOX,
        authenticators=SERVERS_AUTHENTICATORS,
    )
    return host(RELAY, configuration, "bob")


async def change(server: Host, configuration: str) -> None:
    server.write_configuration(configuration)
    await server.reload()
    await server.world.settle()


@story()
async def smarthost_with_password(lab: Lab) -> None:
    """LOGIN and PLAIN, over STARTTLS on 587 and over TLS from the start on 465; the certificate is checked."""
    mine = host(MINE, client_of_relay("LOGIN", 587), "ann")
    async with lab.world(mine, relay(), files=BOTH_CERTIFIED) as world:
        ways = [("LOGIN", 587), ("PLAIN", 587), ("LOGIN", 465), ("PLAIN", 465)]
        for mechanism, port in ways:
            await change(world.mine, client_of_relay(mechanism, port))
            await lab.submit(world.mine, "bob@relay.test", message(f"{mechanism} {port}"))
        letters = world.host(RELAY).mailbox("bob")
        assert [letter.first("Subject") for letter in letters] == [
            f"{mechanism} {port}" for mechanism, port in ways
        ]
        assert all(" with esmtpsa " in next(letter.all("Received")).value for letter in letters)
        await lab.call(world.host(RELAY), "EHLO c.test", port=587)
        in_the_clear = list(lab.outcome.sections.values())[-1]
        assert "250-STARTTLS" in in_the_clear and not any("AUTH" in line for line in in_the_clear)


@story()
async def smarthost_with_wrong_password(lab: Lab) -> None:
    """The mail stays in the queue, and nobody gets a report; when the password is right, it goes."""
    mine = host(MINE, client_of_relay("LOGIN", 587, "guess"), "ann")
    async with lab.world(mine, relay(), files=BOTH_CERTIFIED) as world:
        await lab.submit(world.mine, "bob@relay.test", message())
        assert len(world.mine.queue) == 1
        assert world.mine.mailbox("ann") == []
        (deferred,) = world.journal.where(EventKind.DEFERRED)
        assert "authentication attempt(s) failed" in (deferred.text or "")
        assert "535 Incorrect authentication data" in world.host(RELAY).log()
        await change(world.mine, client_of_relay("LOGIN", 587))
        await world.mine.run_queue(forced=True)
        assert len(world.host(RELAY).mailbox("bob")) == 1


@story()
async def smarthost_with_wrong_certificate(lab: Lab) -> None:
    """Who cannot prove to be the relay never hears the password (tls_verify_hosts)."""
    mine = host(MINE, client_of_relay("PLAIN", 587), "ann")
    # before the start: Exim's daemon keeps what it has read of such files until it notices that they have changed
    files = {**BOTH_CERTIFIED, f"{MINE}/etc/ca.crt": Authority("somebody else").pem}
    async with lab.world(mine, relay(), files=files) as world:
        await lab.submit(world.mine, "bob@relay.test", message())
        assert len(world.mine.queue) == 1
        (deferred,) = world.journal.where(EventKind.DEFERRED)
        assert re.search("TLS|certificate", deferred.text or "")
        log = world.host(RELAY).log()
        assert "C=EHLO,STARTTLS" in log, "what the relay heard of a caller who sent no mail"
        assert "AUTH" not in log
        assert world.host(RELAY).mailbox("bob") == []
