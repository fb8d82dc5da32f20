"""Modifiers of ACLs: set, delay, logwrite, header fields, controls."""

from __future__ import annotations

from typing import Any

import pytest

from labkit.mail.questions import Pause
from labkit.smtp.acl import AddedField, FakeAnswer, LogLine, Phase, Submission

NO = "550 Administrative prohibition"
LATER = "451 Temporary local problem - please try later"
YES = "accepted"


def test_set(stage: Any) -> None:
    """A16, A17: what is set stays set; acl_m until the message is over, acl_c until the client goes."""
    acl = (
        "accept set acl_m_n = ${eval:$acl_m_n+1}\n set acl_c0 = ${eval:$acl_c0+1}\n domains = x\n"
        "deny message = $acl_m_n $acl_c0"
    )
    assert [stage.said(acl), stage.said(acl)] == ["550 1 1", "550 2 2"]
    stage.scene.begin_message()
    assert stage.said(acl) == "550 1 3"
    assert stage.said("deny set acl_m_x = ${if eq{a}{b}{1}fail}\n message = [$acl_m_x]") == "550 []"
    assert stage.said("deny set acl_m_x = ${nosuch}") == LATER


def test_delay(stage: Any) -> None:
    stage.answers[Pause(90)] = None
    assert stage.said("accept delay = 1m30s") == YES
    assert stage.asked == [Pause(90)]
    assert stage.said("accept delay = 0s") == YES and len(stage.asked) == 1
    for wrong in ("zz", "90", "-1s", ""):
        verdict = stage.run(f"accept delay = {wrong}")
        assert str(verdict.reply) == LATER
        assert "is not a time value" in verdict.log_text


@pytest.mark.parametrize(
    "value, line",
    [
        ("text $local_part", LogLine("text bob")),
        (":main,reject: both", LogLine("both", ("main", "reject"))),
        (":panic:  only", LogLine("only", ("panic",))),
        ("one\\ntwo", LogLine("one\\ntwo")),
        (
            ":nosuch: x",
            LogLine('unknown log name in ":nosuch: x" in "logwrite" in RCPT ACL', ("main", "panic")),
        ),
    ],
)
def test_logwrite(stage: Any, value: str, line: LogLine) -> None:
    stage.run(f"accept logwrite = {value}")
    assert stage.scene.logged == [line]


def test_log_reject_target(stage: Any) -> None:
    stage.run("deny")
    assert stage.scene.reject_logs == ("main", "reject")
    stage.run("deny log_reject_target = panic : main")
    assert stage.scene.reject_logs == ("panic", "main")
    stage.run("deny log_reject_target =")
    assert stage.scene.reject_logs == ()
    stage.run("deny log_reject_target = nosuch")
    assert stage.scene.reject_logs == ("main", "reject")
    assert stage.logged == ['unknown log name "nosuch" in "log_reject_target" in RCPT ACL']


@pytest.mark.parametrize(
    "value, added",
    [
        ("X-A: b", [("at_end", "X-A: b")]),
        (":at_start:X-A: b", [("at_start", "X-A: b")]),
        (":at_start_rfc: X-A: b", [("at_start_rfc", "X-A: b")]),
        (":after_received:X-A: b", [("after_received", "X-A: b")]),
        (":AT_END:X-A: b", [("at_end", "X-A: b")]),
        ("X-A: b\\nX-B: c", [("at_end", "X-A: b"), ("at_end", "X-B: c")]),
        ("X-A: b\\n  more\\n:at_start:X-B: c\\n", [("at_end", "X-A: b\n  more"), ("at_start", "X-B: c")]),
        ("no name", [("at_end", "X-ACL-Warn: no name")]),
        ("", []),
        ("\\n\\n", []),
        ("X-A: b\\nX-A: b", [("at_end", "X-A: b")]),
        ("${if eq{a}{b}{X: y}fail}", []),
    ],
)
def test_add_header(stage: Any, value: str, added: list[tuple[str, str]]) -> None:
    assert stage.said(f"accept add_header = {value}") == YES
    assert stage.scene.effects.added == [AddedField(*each) for each in added]


def test_header_changes_come_at_once(stage: Any) -> None:
    """They are done when they are met, whatever comes of the statement; $headers_added tells them."""
    acl = (
        "accept add_header = X-A: 1\n remove_header = x-b : x-c\n domains = x\n"
        "deny add_header = X-A: 2\n message = $headers_added"
    )
    assert stage.said(acl) == "550-X-A: 1|550 X-A: 2"
    stage.run("accept remove_header = x-d\n remove_header =")
    assert stage.scene.effects.removed == "x-b : x-c : x-d"
    stage.scene.begin_message()
    assert stage.scene.effects.added == [] and stage.scene.effects.removed == ""
    assert "headers_added" not in stage.variables


def test_controls_of_the_message(stage: Any) -> None:
    def effects(*controls: str, phase: Phase = Phase.RCPT) -> Any:
        stage.scene.begin_message()
        assert (
            stage.said("accept " + "\n ".join(f"control = {each}" for each in controls), phase=phase) == YES
        )
        return stage.scene.effects

    assert effects("submission").submission == Submission()
    assert effects("submission/sender_retain").submission == Submission(retains_sender=True)
    both = effects("submission/domain=x.test/name=A/B").submission
    assert both == Submission(False, "x.test", "A/B")
    assert effects("submission/domain=").submission == Submission(domain="")
    assert effects("submission/sender_retain", "submission").submission == Submission(retains_sender=True)
    assert not effects("dkim_disable_verify").verifies_dkim
    assert effects("queue").queues == effects("queue_only").queues == effects("queue/only").queues == "only"
    assert effects("queue/first_pass_route").queues == "first_pass_route"
    frozen = effects("freeze")
    assert frozen.is_frozen and frozen.tells_of_freezing
    assert not effects("freeze/no_tell").tells_of_freezing
    assert effects("fakereject/not today").fake == FakeAnswer(550, "not today")
    assert effects("fakedefer").fake.code == 450 and "kept for evaluation" in effects("fakedefer").fake.text
    assert not effects("suppress_local_fixups").local_fixups
    assert effects("freeze", phase=Phase.NOT_SMTP).is_frozen


def test_controls_of_the_connection(stage: Any) -> None:
    session = stage.scene.session
    assert session.enforces_sync is None
    for control, name, value in [
        ("enforce_sync", "enforces_sync", True),
        ("no_enforce_sync", "enforces_sync", False),
        ("no_pipelining", "offers_pipelining", False),
        ("no_multiline_responses", "multiline", False),
        ("no_delay_flush", "flushes_before_delay", False),
        ("no_callout_flush", "flushes_before_callout", False),
        ("allow_auth_unadvertised", "auth_unadvertised", True),
    ]:
        assert stage.said(f"accept control = {control}", phase=Phase.CONNECT) == YES
        assert getattr(session, name) is value
    stage.scene.begin_message()
    assert stage.scene.session is session, "they stay"


def test_no_multiline_responses(stage: Any) -> None:
    acl = "warn control = no_multiline_responses\ndeny message = one\\ntwo"
    assert stage.said(acl) == "550 one"
    assert stage.said("require verify = sender=gone@x.test") == "550 Sender verify failed"


def test_case_of_local_parts(stage: Any) -> None:
    acl = (
        "warn control = caseful_local_part\n set acl_m_a = $local_part\n control = caselower_local_part\n"
        "deny message = $acl_m_a $local_part"
    )
    assert stage.said(acl, recipient="BoB@HERE.test") == "550 BoB bob"


@pytest.mark.parametrize(
    "control, phase, log",
    [
        ("nosuch", Phase.RCPT, 'syntax error in "control=nosuch"'),
        ("freezer", Phase.RCPT, 'syntax error in "control=freezer"'),
        ("freeze/now", Phase.RCPT, 'syntax error in "control=freeze/now"'),
        ("submission/x", Phase.RCPT, 'syntax error in "control=submission/x"'),
        ("enforce_sync/x", Phase.RCPT, 'syntax error in "control=enforce_sync/x"'),
        ("", Phase.RCPT, 'syntax error in "control="'),
        ("submission", Phase.DATA, 'cannot use "control=submission" in DATA ACL'),
        ("caseful_local_part", Phase.MAIL, 'cannot use "control=caseful_local_part" in MAIL ACL'),
        ("allow_auth_unadvertised", Phase.MAIL, 'cannot use "control=allow_auth_unadvertised" in MAIL ACL'),
        ("dkim_disable_verify", Phase.DATA, 'cannot use "control=dkim_disable_verify" in DATA ACL'),
        ("freeze", Phase.CONNECT, 'cannot use "control=freeze" in connection ACL'),
        ("no_pipelining", Phase.NOT_SMTP, 'cannot use "control=no_pipelining" in non-SMTP ACL'),
        ("${if eq{a}{a}{debug}}", Phase.RCPT, "control=debug is not read by labkit yet"),
    ],
)
def test_wrong_controls(stage: Any, control: str, phase: Phase, log: str) -> None:
    """A22: they are found out when the ACL runs."""
    verdict = stage.run(f"deny control = {control}", phase=phase)
    assert (str(verdict.reply), verdict.log_text) == (LATER, log)
