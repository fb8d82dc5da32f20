"""Callouts that are remembered: which calls are saved, for how long, and which are not."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any, cast

import pytest

from labkit.mail.address import Mailbox
from labkit.mail.questions import CallOut, Callout, CalloutAnswer, Standing
from labkit.mta.callouts import CalloutExpiry, Callouts
from labkit.net.callout import Caller
from labkit.net.memory import Memory

ME, HOST = "203.0.113.1", "203.0.113.2"
MONDAY = datetime(2026, 11, 23, 9, 0, tzinfo=timezone.utc)
HOUR = 3600
GOOD, BAD = Standing.GOOD, Standing.BAD
FROM_ME = Callout(mail_from="me@me.test")
RANDOM = Callout(is_random=True)
POSTMASTER = Callout(postmaster="")


class Server(asyncio.Protocol):
    def __init__(self, rows: Mapping[str, str], heard: list[str]) -> None:
        self.rows, self.heard = rows, heard

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)
        self.transport.write(b"220 hello\r\n")
        self.heard.append("call")

    def data_received(self, data: bytes) -> None:
        for line in data.decode().splitlines():
            self.heard.append(line)
            said = next((answer for begin, answer in self.rows.items() if line.startswith(begin)), "250 OK")
            self.transport.write(said.encode() + b"\r\n")


def tell(
    rows: Mapping[str, str], *steps: Any, path: Path | None = None
) -> tuple[list[CalloutAnswer], list[str]]:
    """The answers, and what the server heard. A step is a Callout, (Callout, address), or seconds that pass."""
    heard: list[str] = []
    passed = timedelta()

    async def story() -> list[CalloutAnswer]:
        nonlocal passed
        network = Memory([ME, HOST])
        await network.listen(HOST, 25, lambda peer: Server(rows, heard))
        caller = Caller(network, ME, lambda: MONDAY + passed, cast(Any, None))
        callouts = Callouts(caller, CalloutExpiry, path)
        answers = []
        for step in steps:
            if isinstance(step, (int, float)):
                passed += timedelta(seconds=step)
                continue
            how, address = step if isinstance(step, tuple) else (step, "ann@b.test")
            question = CallOut((("mx", HOST, 25),), "me.test", Mailbox.parse(address), how)
            answers.append(await callouts.answer(question))
        callouts.store()
        await network.close()
        return answers

    return asyncio.run(story()), heard


NO_RCPT = {"RCPT": "550 no"}
NO_MAIL = {"MAIL FROM:<>": "550 none"}
NO_HELO = {"EHLO": "550 go", "HELO": "550 go"}
NO_POSTMASTER = {"RCPT TO:<postmaster": "550 no"}
NOBODY = {"RCPT TO:<me.test-": "550 nobody"}


@pytest.mark.parametrize(
    "rows, steps, calls, because",
    [
        ({}, (Callout(), Callout()), 1, "a good address is remembered"),
        ({}, (Callout(), (Callout(), "ann@B.TEST")), 1, "domains are without case"),
        ({}, (Callout(), (Callout(), "bob@b.test")), 2, "each address for itself"),
        ({}, (Callout(), 24 * HOUR, Callout()), 1, "for a day"),
        ({}, (Callout(), 24 * HOUR + 1, Callout()), 2, "and no longer"),
        (NO_RCPT, (Callout(), Callout()), 1, "a bad one, too"),
        (NO_RCPT, (Callout(), 2 * HOUR + 1, Callout()), 2, "for two hours"),
        ({"RCPT": "451 x"}, (Callout(), Callout()), 2, "but not what may pass"),
        ({}, (Callout(uses_cache=False), Callout()), 2, "no_cache keeps nothing"),
        ({}, (Callout(), Callout(uses_cache=False)), 2, "and looks nothing up"),
        ({}, (Callout(), FROM_ME, FROM_ME), 2, "another sender is another question"),
        (NO_HELO, (Callout(), (Callout(), "bob@b.test"), FROM_ME), 1, "nobody there speaks to us"),
        (NO_HELO, (Callout(), 3 * HOUR + 1, Callout()), 2, "for three hours"),
        (NO_MAIL, (Callout(), (Callout(), "bob@b.test")), 1, "nobody there takes reports"),
        (NO_MAIL, (Callout(), FROM_ME), 2, "but mail perhaps"),
        (NO_MAIL, (Callout(), FROM_ME, (Callout(), "bob@b.test")), 2, "which does not change the one"),
        ({}, (RANDOM, (RANDOM, "bob@b.test")), 1, "everybody is taken there"),
        ({}, (RANDOM, (Callout(), "bob@b.test")), 2, "who does not ask for it is not told"),
        ({}, (RANDOM, 7 * 24 * HOUR + 1, RANDOM), 2, "for a week"),
        (NO_POSTMASTER, (POSTMASTER, (POSTMASTER, "bob@b.test")), 1, "no postmaster, for nobody"),
        (NO_POSTMASTER, (POSTMASTER, Callout()), 1, "the address was good"),
        ({}, (Callout(), POSTMASTER), 2, "the postmaster was not asked for yet"),
    ],
)
def test_calls(rows: Mapping[str, str], steps: tuple[Any, ...], calls: int, because: str) -> None:
    _, heard = tell(rows, *steps)
    assert heard.count("call") == calls, because


@pytest.mark.parametrize(
    "rows, how, answer",
    [
        ({}, Callout(), CalloutAnswer(GOOD)),
        (
            NO_RCPT,
            Callout(),
            CalloutAnswer(BAD, "Previous (cached) callout verification failure", "recipient"),
        ),
        (NO_MAIL, Callout(), CalloutAnswer(BAD, "(result of an earlier callout reused).", "mail")),
        (NO_HELO, FROM_ME, CalloutAnswer(BAD, "(result of an earlier callout reused).", "mail")),
        ({}, RANDOM, CalloutAnswer(GOOD, failure="random")),
        (
            NO_POSTMASTER,
            POSTMASTER,
            CalloutAnswer(BAD, "(result of earlier verification reused).", "postmaster"),
        ),
    ],
)
def test_words_for_what_was_known(rows: Mapping[str, str], how: Callout, answer: CalloutAnswer) -> None:
    assert tell(rows, how, how)[0][1] == answer


def test_what_is_known_of_a_domain_is_not_asked_again() -> None:
    _, heard = tell(NOBODY, RANDOM, (RANDOM, "bob@b.test"))
    assert sum("me.test-" in line for line in heard) == 1
    _, heard = tell({}, POSTMASTER, (POSTMASTER, "bob@b.test"))
    assert heard.count("RCPT TO:<postmaster@b.test>") == 1


def test_it_is_stored(tmp_path: Path) -> None:
    path = tmp_path / "db/callouts"
    tell(NO_RCPT, Callout(), path=path)
    answers, heard = tell({}, Callout(), path=path)
    assert answers[0].standing is BAD and heard == []


@pytest.mark.parametrize(
    "text", ["", "{", "[]", '{"domains": {"b": {"x": 1}}}', '{"addresses": {"a": 5}}', "[" * 9999]
)
def test_damaged_records_are_dropped(tmp_path: Path, text: str) -> None:
    (tmp_path / "c").write_text(text)
    assert tell({}, Callout(), path=tmp_path / "c")[0] == [CalloutAnswer(GOOD)]
