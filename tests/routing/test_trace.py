"""The trace of a route: a tree of addresses, routers, what they looked at, and what was asked."""

from __future__ import annotations

from labkit.mail.questions import AccountNamed

from .host import Host, routed

ROUTERS = """\
aliases:
  driver = redirect
  data = ${lookup{$local_part}lsearch{/aliases}}
users:
  driver = accept
  domains = +here
  check_local_user
  condition = yes
  transport = box
others:
  driver = dnslookup
  domains = ! +here
  transport = smtp
"""


def test_nobody_watches() -> None:
    found = routed(ROUTERS, "bob", Host({"/aliases": ""}))
    assert found.trace is None and found.routes[0].steps == ()


def test_the_tree_in_lines() -> None:
    found = routed(ROUTERS, "team", Host({"/aliases": "team: bob, x@b.test\n"}), watched=True)
    assert found.trace is not None
    lines = found.trace.lines()
    assert lines[0] == "team@here.test: took it"
    assert "    x@b.test: took it" not in lines and "  x@b.test: took it" in lines, "children stand under it"
    assert "    users took it: domain bob" not in "\n".join(lines)
    assert [line.strip() for line in lines if line.strip().startswith("users took it")] == [
        "users took it: domain here.test is in +here; bob is an account of this host; the condition is true: yes"
    ]
    assert any("AccountNamed(name='bob') -> Account" in line for line in lines)
    assert any("users passed it on: domain b.test is not in +here" in line for line in lines)


def test_steps_of_a_route_begin_with_those_of_its_parents() -> None:
    found = routed(ROUTERS, "team", Host({"/aliases": "team: bob\n"}), watched=True)
    (route,) = found.routes
    assert [(step.router, step.took) for step in route.steps] == [
        ("aliases", True),
        ("aliases", False),
        ("users", True),
    ]
    asked = [asked.question for step in route.steps for look in step.looks for asked in look.asked]
    assert AccountNamed("bob") in asked


def test_no_more_is_said() -> None:
    text = "r:\n  driver = redirect\n  data =\n  no_more\nend:\n  driver = accept\n  transport = box\n"
    found = routed(text, "x", watched=True)
    (route,) = found.routes
    assert [step.because for step in route.steps] == ["it declined", "no_more: no other router is asked"]
    assert found.trace is not None and found.trace.addresses[0].outcome == "Unrouteable address"
