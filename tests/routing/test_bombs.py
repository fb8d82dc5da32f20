"""Aliases that double: however deep, routing ends, and nothing is lost."""

from __future__ import annotations

import time

from labkit.eximconf.configuration import read
from labkit.eximconf.expansion import Env
from labkit.mail.asking import answer_by
from labkit.mail.lookups import FileLine
from labkit.routing import RouteOutcome, compile_routers
from labkit.routing.way import MOST_ADDRESSES

ROUTERS = """\
begin routers
aliases:
  driver = redirect
  data = ${lookup{$local_part}lsearch{/etc/aliases}}
begin transports
"""


def test_an_alias_bomb_ends() -> None:
    """Two to the power of forty addresses: those that are too many wait, and the sender loses nothing."""

    def answer(question: object) -> str:
        assert isinstance(question, FileLine)
        level = int(question.key[1:].partition("x")[0])
        return f"a{level + 1}x{question.key}, b{level + 1}x{question.key}" if level < 40 else ""

    routers = compile_routers(read(ROUTERS))
    env = Env({"primary_hostname": "mx.test", "qualify_domain": "mx.test"})
    began = time.process_time()
    routed = answer_by(answer, routers.route("a0", env))
    assert time.process_time() - began < 20
    assert routed.outcome is RouteOutcome.DEFERRED
    assert f"more than {MOST_ADDRESSES} addresses came of one" in {route.reason for route in routed.routes}
