"""The steps of an ACL as a value: every statement and every line that was looked at, with the reason."""

from __future__ import annotations

from typing import Any

from labkit.smtp.acl import Phase, rejected
from labkit.smtp.acl.verdicts import Found

USUAL = """\
accept  hosts   = +near
require message = relay not permitted
        domains = +ours
require verify  = recipient
accept
"""


def test_every_statement_looked_at_says_why(stage: Any) -> None:
    stage.scene.watched = True
    steps = stage.run(USUAL, recipient="gone@here.test").steps
    assert [(step.statement.verb, step.applied) for step in steps] == [
        ("accept", False),
        ("require", True),
        ("require", False),
    ]
    assert steps[0].because == "client 203.0.113.9 is not in +near"
    assert steps[1].because == "domain here.test is in +ours by +ours"
    assert steps[2].because == "gone@here.test is not deliverable (Unrouteable address)"


def test_nothing_is_kept_if_nobody_looks(stage: Any) -> None:
    assert stage.run(USUAL, recipient="gone@here.test").steps == ()


def test_each_line_has_a_look(stage: Any) -> None:
    stage.scene.watched = True
    acl = (
        "deny !domains = other.test\n set acl_m_x = 5\n condition = ${if eq{$acl_m_x}{5}}\n"
        " control = submission\n logwrite = l\n add_header = X: y\n acl = sub\n message = no"
    )
    (step,) = stage.run(acl, others={"sub": "accept local_parts = bob"}).steps
    assert [(look.written.name, look.found) for look in step.looks] == [
        ("!domains", Found.YES),
        ("set acl_m_x", Found.YES),
        ("condition", Found.YES),
        ("control", Found.YES),
        ("logwrite", Found.YES),
        ("add_header", Found.YES),
        ("acl", Found.YES),
    ]
    assert step.looks[0].because == "not (domain here.test is not in other.test)"
    assert step.looks[1].because == "acl_m_x is set to '5'"
    assert step.looks[2].because == "the condition is 'true'"
    assert step.looks[-1].because == "the ACL sub accepts"
    (inner,) = step.looks[-1].inside
    assert inner.because == "local part bob is in bob by bob"


def test_what_is_wrong_is_told(stage: Any) -> None:
    stage.scene.watched = True
    (step,) = stage.run("deny condition = ${nosuch}").steps
    assert (step.applied, step.looks[0].found) == (False, Found.WRONG)
    assert "unknown variable" in step.because
    steps = stage.run("warn condition = maybe\nwarn\naccept").steps
    assert [step.applied for step in steps] == [False, True, True]
    assert steps[1].because == "no condition"


def test_the_answer_is_the_same(stage: Any) -> None:
    for recipient in ("bob", "gone", "later", "said"):
        stage.scene.watched = False
        plain = stage.said(USUAL, recipient=f"{recipient}@here.test")
        stage.scene.watched = True
        assert stage.said(USUAL, recipient=f"{recipient}@here.test") == plain


def test_the_log_line_of_a_refusal(stage: Any) -> None:
    client = "H=(client.test) [203.0.113.9]"
    for phase, acl, argument, line in [
        (Phase.RCPT, "deny message = no", "<b@c>", f"{client} F=<ann@a.test> rejected RCPT <b@c>: no"),
        (Phase.RCPT, "defer", "<b@c>", f"{client} F=<ann@a.test> temporarily rejected RCPT <b@c>"),
        (Phase.MAIL, "deny", "<b@c>", f"{client} rejected MAIL <b@c>"),
        (Phase.DATA, "deny", "", f"{client} F=<ann@a.test> rejected after DATA"),
        (Phase.PREDATA, "deny", "", f"{client} rejected DATA"),
        (Phase.HELO, "deny", "x", f"{client} rejected EHLO or HELO x"),
        (Phase.CONNECT, "deny", "", f'{client} rejected connection in "connect" ACL'),
    ]:
        assert rejected(stage.run(acl, phase=phase), stage.scene, argument) == line
    stage.variables |= {
        "sender_host_authenticated": "PLAIN",
        "authenticated_id": "ann",
        "sender_ident": "root",
    }
    line = rejected(stage.run("deny"), stage.scene, "<b@c>")
    assert line == f"{client} U=root F=<ann@a.test> A=PLAIN:ann rejected RCPT <b@c>"
