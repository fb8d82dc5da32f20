"""The two tables: complete, without dead ends, and what RFC 5321 §4.1.4 says about order."""

from __future__ import annotations

import pytest

from labkit.mail.reply import Reply, Severity
from labkit.smtp.server_commands import COMMANDS
from labkit.smtp.states import (
    CLIENT_TABLE,
    MAIL_COMMANDS,
    SERVER_TABLE,
    SYNCHRONIZED,
    SYNCHRONIZED_WITHOUT_PIPELINING,
    TAKES_NO_ARGUMENT,
    State,
    Step,
    Verb,
)

USUAL = {State.GREETED, State.READY, State.MAIL, State.RCPT}
READS_COMMANDS = USUAL | {State.CHUNKS, State.STUCK}


def test_every_verb_has_an_answer_in_every_state() -> None:
    assert set(SERVER_TABLE) == set(Verb)
    for verb, row in SERVER_TABLE.items():
        assert set(row) == READS_COMMANDS, verb


def test_every_verb_that_is_not_always_refused_is_carried_out() -> None:
    carried_out = {
        verb for verb, row in SERVER_TABLE.items() if not all(isinstance(x, Reply) for x in row.values())
    }
    assert set(COMMANDS) == carried_out


def test_every_state_can_be_reached_and_left() -> None:
    reached = {state for row in SERVER_TABLE.values() for state in row.values() if isinstance(state, State)}
    assert reached | {State.CONNECTED, State.STUCK} == set(State), "what is out of order leads to STUCK"
    for state in READS_COMMANDS:
        assert SERVER_TABLE[Verb.QUIT][state] is State.CLOSED
        assert SERVER_TABLE[Verb.RSET][state] in (State.GREETED, State.READY), "RSET forgets the transaction"


@pytest.mark.parametrize(
    "verb, allowed",
    [
        (Verb.MAIL, {State.READY}),
        (Verb.RCPT, {State.MAIL, State.RCPT}),
        (Verb.DATA, {State.RCPT}),
        (Verb.NOOP, USUAL | {State.CHUNKS}),
        (Verb.EHLO, USUAL),
        (Verb.BDAT, {State.RCPT, State.CHUNKS}),
        (Verb.QUIT, READS_COMMANDS),
        (Verb.RSET, READS_COMMANDS),
        (Verb.STARTTLS, USUAL),
    ],
)
def test_order(verb: Verb, allowed: set[State]) -> None:
    assert {state for state, then in SERVER_TABLE[verb].items() if not isinstance(then, Reply)} == allowed


def test_refusals_of_the_table_are_permanent_or_transient() -> None:
    for row in SERVER_TABLE.values():
        for then in row.values():
            assert not isinstance(then, Reply) or then.code in (458, 503, 550)


def test_synchronisation() -> None:
    assert SYNCHRONIZED < SYNCHRONIZED_WITHOUT_PIPELINING
    assert Verb.RCPT not in SYNCHRONIZED
    assert Verb.DATA in SYNCHRONIZED, "RFC 2920 §3.1: the last of a group"
    assert {Verb.MAIL, Verb.RCPT, Verb.DATA} <= MAIL_COMMANDS
    assert Verb.NOOP not in MAIL_COMMANDS
    assert Verb.NOOP not in TAKES_NO_ARGUMENT, "RFC 5321 §4.1.1.9"


def test_a_client_knows_what_follows_every_answer() -> None:
    for step in set(Step) - {Step.IDLE, Step.CLOSED}:
        for severity in (Severity.TRANSIENT, Severity.PERMANENT):
            assert (step, severity) in CLIENT_TABLE, "a refusal is always understood"
        expected = Severity.INTERMEDIATE if step is Step.DATA else Severity.POSITIVE
        other = Severity.POSITIVE if step is Step.DATA else Severity.INTERMEDIATE
        assert (step, expected) in CLIENT_TABLE
        assert (step, other) not in CLIENT_TABLE, "a 354 to MAIL, a 250 to DATA: no SMTP"


def test_a_client_always_comes_to_an_end() -> None:
    """From every step, whatever is answered, IDLE or CLOSED is reached without a loop."""

    def leads_on(step: Step, seen: frozenset[Step]) -> None:
        assert step not in seen, f"a loop through {step}"
        if step in (Step.IDLE, Step.CLOSED):
            return
        for (before, _), after in CLIENT_TABLE.items():
            if before is step:
                leads_on(after, seen | {step})

    for step in Step:
        leads_on(step, frozenset())


def test_names_say_what_they_mean() -> None:
    assert len({state.value for state in State}) == len(State)
    assert len({step.value for step in Step}) == len(Step)
    assert all(verb.value == verb.name for verb in Verb)
