"""What the exercises of notebook 06 begin with: a host with TLS, and one with users that have passwords.

WHAT       `await with_tls(world)` gives the student's host a key, a certificate of the lab's authority and the
           lines for ports 25, 465 and 587; `await with_users(world)` also lets Ann log in, and relay, inside TLS;
           `await with_submission(world)` also refuses plain text on 465 and 587; `await with_careless_ann(world)`
           lets Ann's own host hand in mail there, with as little care as many a page tells.
READ NEXT  tls_offer.py, tls_submission.py, tls_client.py
"""

from __future__ import annotations

from labkit.lab.certificates import have_signed, install, make_key
from labkit.lab.host import Host
from labkit.lab.world import World

OF_TLS = """\
daemon_smtp_ports    = 25 : 465 : 587
tls_on_connect_ports = 465
tls_advertise_hosts  = *
tls_certificate      = /etc/tls.crt
tls_privatekey       = /etc/tls.key
"""
USERS = """

begin authenticators
plain:
  driver           = plaintext
  public_name      = PLAIN
  server_prompts   = :
  server_condition = ${if eq{$auth2:$auth3}{ann:dummy-for-the-lab}}
  server_set_id    = $auth2
  server_advertise_condition = ${if def:tls_in_cipher}
"""
_RELAY = "accept  hosts   = +relay_from_hosts\n"
_MAIL = """\
begin acl
check_mail:
  accept  condition = ${if eq{$received_port}{25}}
  deny    !encrypted = *
          message   = 530 5.7.0 Must issue a STARTTLS command first
  accept
"""


def first_configuration(host: Host) -> str:
    """What the scenario gave that host."""
    plans = host.world.scenario.hosts
    return next(plan.configuration for plan in plans if plan.name == host.name)


def is_first(host: Host) -> bool:
    """Whether its exim.conf says what it said in the beginning."""
    return is_as(host, first_configuration(host))


def is_as(host: Host, text: str) -> bool:
    """Whether its exim.conf says the same as that text."""
    return _plain(host.configuration) == _plain(text)


def offering(text: str) -> str:
    """An exim.conf with TLS on 25, 465 and 587."""
    return text.replace("acl_smtp_rcpt = check_rcpt\n", f"acl_smtp_rcpt = check_rcpt\n{OF_TLS}")


def knowing_users(text: str) -> str:
    """Who has logged in may relay; who has not, not even inside TLS."""
    return text.rstrip("\n").replace(_RELAY, f"{_RELAY}  accept  authenticated = *\n") + USERS


def refusing(text: str) -> str:
    """Submission refuses plain text, port 25 does not."""
    text = text.replace("acl_smtp_rcpt =", "acl_smtp_mail = check_mail\nacl_smtp_rcpt =", 1)
    return text.replace("begin acl\n", _MAIL, 1)


async def certified(world: World) -> None:
    """A key and a certificate for the student's host, in /etc/tls.key and /etc/tls.crt."""
    key = make_key()
    issued = await have_signed(world.mine, key.request(world.mine.name))
    install(world.mine, issued.pem, key)


async def with_tls(world: World) -> World:
    await certified(world)
    return await _with(world, offering(first_configuration(world.mine)))


async def with_users(world: World) -> World:
    await certified(world)
    return await _with(world, knowing_users(offering(first_configuration(world.mine))))


async def with_submission(world: World) -> World:
    await certified(world)
    return await _with(world, refusing(knowing_users(offering(first_configuration(world.mine)))))


async def _with(world: World, text: str) -> World:
    world.mine.write_configuration(text)
    await world.mine.reload()
    return world


def ann_at_home(world: World) -> Host:
    """Ann's own machine, a host with an exim.conf."""
    return next(host for host in world.hosts.values() if host.role == "client")


def careless(world: World) -> str:
    """The exim.conf of Ann's own machine as many a page has it: it logs in, at 587, with whomever."""
    from labkit.lab.tls_cell import client_configuration

    return client_configuration("opportunistic", 587, host=ann_at_home(world).name, server=world.mine.name)


async def with_careless_ann(world: World) -> World:
    """Submission as it should be, and a client as it should not."""
    await with_submission(world)
    client = ann_at_home(world)
    client.write_configuration(careless(world))
    await client.reload()
    return world


def _plain(text: str) -> list[str]:
    return [" ".join(line.split()) for line in text.splitlines() if line.strip() and line.strip()[0] != "#"]
