"""What routing costs: an address of Exim's example configuration, delivered on this host."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import pytest

from labkit.eximconf.configuration import read
from labkit.eximconf.expansion import Env
from labkit.eximconf.here import Here
from labkit.mail.address import Mailbox
from labkit.mail.asking import Asking, answer_from
from labkit.mail.lookups import Exists, FileLine, FileText, Unopened
from labkit.mail.questions import Account, AccountNamed
from labkit.routing import compile_routers

pytestmark = pytest.mark.alone  # time is measured

# The routers of Exim's example configuration, without its comments
EXAMPLE = """\
domainlist local_domains = here.test
begin routers
dnslookup:
  driver = dnslookup
  domains = ! +local_domains
  transport = remote_smtp
  ignore_target_hosts = 0.0.0.0 : 127.0.0.0/8
  no_more
system_aliases:
  driver = redirect
  allow_fail
  allow_defer
  data = ${lookup{$local_part}lsearch{/etc/aliases}}
  file_transport = address_file
  pipe_transport = address_pipe
userforward:
  driver = redirect
  check_local_user
  file = $home/.forward
  no_verify
  no_expn
  check_ancestor
  file_transport = address_file
  pipe_transport = address_pipe
  reply_transport = address_reply
localuser:
  driver = accept
  check_local_user
  transport = local_delivery
  cannot_route_message = Unknown user
begin transports
remote_smtp:
  driver = smtp
local_delivery:
  driver = appendfile
  file = /var/mail/$local_part_data
address_pipe:
  driver = pipe
address_file:
  driver = appendfile
address_reply:
  driver = autoreply
"""
ANSWERS: dict[Any, Any] = {
    FileLine("/etc/aliases", "bob"): None,
    AccountNamed("bob"): Account("bob", "/home/bob"),
    FileText("/home/bob/.forward"): Unopened("No such file or directory"),
    Exists("/home/bob/."): True,
}
AT_MOST = 45  # times what it costs to ask these four questions and do nothing else; 22 were measured (26 us)
ROUNDS, REPEATS = 30, 150


def asking_alone() -> Asking[None]:
    alias, account, forward, folder = ANSWERS
    yield alias
    yield account
    yield forward
    yield folder


def one_round(run: Callable[[], object]) -> float:
    """Seconds for one."""
    begin = time.process_time()
    for _ in range(ROUNDS):
        run()
    return (time.process_time() - begin) / ROUNDS


def test_an_address_of_the_example_configuration() -> None:
    """The fastest rounds count: the rest is what other programs cost. Both take turns, so that both meet them."""
    routers = compile_routers(read(EXAMPLE))
    env = Env({"qualify_domain": "here.test", "sender_address": "ann@b.test"}, Here("here.test", ()))
    bob = Mailbox("bob", "here.test")
    routed = answer_from(ANSWERS, routers.route(bob, env))
    assert [(route.router, route.transport) for route in routed.routes] == [("localuser", "local_delivery")]

    def routing() -> object:
        return answer_from(ANSWERS, routers.route(bob, env))

    def asking() -> object:
        return answer_from(ANSWERS, asking_alone())

    rounds = [(one_round(routing), one_round(asking)) for _ in range(REPEATS)]
    taken, alone = (min(times) for times in zip(*rounds))
    assert taken < AT_MOST * alone, (
        f"{taken * 1e6:.1f} us for an address, {alone * 1e6:.1f} us for its questions"
    )
