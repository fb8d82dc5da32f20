"""Whatever stands in an ACL, reading it says what is wrong, and running it ends with a verdict."""

from __future__ import annotations

from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from labkit.eximconf.field_addresses import addresses_of
from labkit.eximconf.place import ConfigurationError
from labkit.mail.lookups import DnsRecords, FileText, Unopened
from labkit.mail.questions import (
    AddressesOf,
    DnsAnswer,
    DnsOutcome,
    NamesOf,
    Pause,
    RateOf,
    SeenBefore,
)
from labkit.smtp.acl import AclVerdict, Phase
from labkit.smtp.acl.controls import CONTROLS
from labkit.smtp.acl.vocabulary import VERBS, WORDS

PIECES = st.sampled_from(
    """/ = : , ; & ! * + - 1 0s 5m 1h -1 x bob here.test 127.0.0.2 203.0.113.9 ::1 sender recipient helo
    header_syntax header_sender not_blind reverse_host_lookup callout defer_ok per_rcpt per_byte strict
    readonly key= unique= count= $local_part ${lc:A} ${if fail $ \\n \\N " ' 550 451 4.7.1 \\r submission
    freeze queue /name= <; :at_start: X-A: +ours +include_unknown ^( é""".split()
)
VALUES = st.lists(PIECES, max_size=6).map(lambda pieces: " ".join(pieces))
TIGHT = st.lists(PIECES, max_size=6).map("".join)
NAMES = st.sampled_from([*WORDS, *(f"!{name}" for name in WORDS), "set acl_m_x", "set acl_c1", "nosuch"])
CONTROL = st.sampled_from(list(CONTROLS)).map(lambda name: f"control = {name}")
LINES = st.one_of(
    st.tuples(NAMES, st.one_of(VALUES, TIGHT)).map(lambda each: f"{each[0]} = {each[1]}"), CONTROL
)
STATEMENTS = st.tuples(st.sampled_from(VERBS), st.lists(LINES, max_size=3))
ACLS = st.lists(STATEMENTS, min_size=1, max_size=3).map(
    lambda found: "\n".join(f"{verb} " + "\n ".join(lines) for verb, lines in found)
)
SETTINGS = settings(
    max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


def answer_anything(stage: Any) -> None:
    usual = stage.answer
    nothing: DnsAnswer[str] = DnsAnswer(DnsOutcome.NXDOMAIN)

    def answer(question: Any) -> Any:
        if isinstance(question, (AddressesOf, NamesOf)):
            return nothing
        if isinstance(question, (DnsRecords, Pause, SeenBefore)):
            return None
        if isinstance(question, RateOf):
            return question.count
        if isinstance(question, FileText):
            return Unopened("No such file or directory")
        return usual(question)

    stage.answer = answer


@SETTINGS
@given(ACLS, st.sampled_from(list(Phase)), st.booleans())
def test_any_acl(stage: Any, text: str, phase: Phase, watched: bool) -> None:
    if "answer" not in vars(stage):
        answer_anything(stage)
    stage.scene.watched = watched
    try:
        verdict = stage.run(text, phase=phase)
    except ConfigurationError:  # it says what is wrong
        return
    assert isinstance(verdict, AclVerdict)
    assert verdict.is_accepted or phase in (Phase.QUIT, Phase.NOTQUIT) or verdict.reply is not None
    assert "\n" not in verdict.log_text


@SETTINGS
@given(st.text(alphabet='ab@.,:;<>()[]"\\ \n\x00é', max_size=30))
def test_any_field(body: str) -> None:
    """Each piece becomes an address or a problem."""
    for item in addresses_of(body):
        assert item.text == item.text.rstrip()
