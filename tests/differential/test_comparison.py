"""The comparison itself is tried: whatever is changed in an outcome is noticed, ids, pids and times excepted.

MUTATIONS  one word of one line, in every section of outcomes that both engines had; one line less; one more.
PERMITTED  each permitted difference by an example of its own: equal with it, and not without.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from copy import deepcopy
from typing import Any

import pytest

from . import outcome
from .outcome import PERMITTED, Outcome, Sections, compared
from .test_differential import NEEDED, engines

Saw = Callable[[str, str], Outcome]
TRIED = ("unknown_user", "backup_mx", "frozen_bounce")


def is_normalised(line: str, word: re.Match[str]) -> bool:
    """Whether a word of a line belongs to an id, a time, a pid or a boundary."""
    patterns = (outcome.ID, *outcome.DATES, outcome.PID, outcome.BOUNDARY)
    return any(
        found.start() < word.end() and word.start() < found.end()
        for each in patterns
        for found in each.finditer(line)
    )


@NEEDED
@engines("exim", "labkit")
@pytest.mark.parametrize("name", TRIED)
def test_a_changed_word_is_noticed(name: str, saw: Saw) -> None:
    """Each word of each line of what the real Exim did gets another letter."""
    exim, labkit = saw(name, "exim"), saw(name, "labkit")
    assert compared(exim, labkit) == ""
    for section, lines in exim.sections.items():
        for number, line in enumerate(lines):
            for word in re.finditer(r"\S+", line):
                if is_normalised(line, word) or is_left_out(line):
                    continue
                new = f"{line[: word.start()]}{_another(word[0])}{line[word.end() :]}"
                changed = Outcome(
                    "exim", {**exim.sections, section: [*lines[:number], new, *lines[number + 1 :]]}
                )
                said = compared(changed, labkit)
                assert f"--- {section_name(changed, section)}" in said.split("\n"), (section, new)


def section_name(outcome: Outcome, section: str) -> str:
    """What a section is called after its normalisation."""
    return list(outcome.texts())[list(outcome.sections).index(section)]


def _another(word: str) -> str:
    """The word with another letter or digit at its first place that has one."""
    found = re.search(r"[A-Za-z0-9]", word)
    if found is None:
        return f"{word}x"
    letter = "7" if found[0] != "7" and found[0].isdigit() else "q" if found[0] != "q" else "z"
    return f"{word[: found.start()]}{letter}{word[found.end() :]}"


def is_left_out(line: str) -> bool:
    """Whether a permitted difference takes the line out altogether."""
    return Outcome("exim", {"": [line]}).texts() == {"": []}


@NEEDED
@engines("exim", "labkit")
@pytest.mark.parametrize("section", ["called", "facts of", "the queue of", "the mailbox of"])
def test_the_place_is_named(section: str, saw: Saw) -> None:
    """A reply, a fact, a line of a listing, a line of a mailbox."""
    exim, labkit = saw("unknown_user", "exim"), deepcopy(saw("unknown_user", "labkit"))
    assert compared(exim, labkit) == ""
    name = next(name for name in labkit.sections if section in name)
    lines = labkit.sections[name]
    lines[-1] = f"{lines[-1]} changed"
    said = compared(exim, labkit)
    assert f"--- {name}" in said.split("\n")
    assert " changed" in said


@NEEDED
@engines("exim", "labkit")
def test_a_line_more_or_less_and_a_section_more_or_less(saw: Saw) -> None:
    exim = saw("unknown_user", "exim")
    for name, lines in exim.sections.items():
        for number in range(len(lines)):
            if is_left_out(lines[number]) or lines[number].startswith("started"):
                continue
            less, more = deepcopy(exim), deepcopy(exim)
            del less.sections[name][number]
            more.sections[name].insert(number, lines[number])
            assert less.texts() != exim.texts() != more.texts(), (name, lines[number])
        less = deepcopy(exim)
        del less.sections[name]
        assert compared(exim, less)


@NEEDED
@engines("exim", "labkit")
@pytest.mark.parametrize("name", TRIED)
def test_other_ids_pids_and_times_are_no_difference(name: str, saw: Saw) -> None:
    exim = saw(name, "exim")

    def later(text: str) -> str:
        text = re.sub(r"\b(E?1)(\w{4})(\w-\w{6}-\w)\w\b", r"\1zzz7\3z", text)
        text = (
            re.sub(r"\d\d:\d\d:\d\d", "23:59:58", text)
            .replace("07 Sep", "31 Dec")
            .replace("Sep 07", "Dec 31")
        )
        return re.sub(r"pid=\d+", "pid=77", re.sub(r"\d{10}-eximdsn-\d+", "1888888888-eximdsn-1", text))

    moved = Outcome(
        "exim", {later(what): [later(line) for line in lines] for what, lines in exim.sections.items()}
    )
    assert moved.sections != exim.sections
    assert compared(exim, moved) == ""


def test_two_ids_are_not_one() -> None:
    """Ids have names in order of appearance: which line is about which message still counts."""
    one, other = "1x3VCq-0001NL-0b", "1x3VCq-0001NU-0c"
    assert (
        compared(Outcome("exim", {"s": [one, other, one]}), Outcome("labkit", {"s": [other, one, other]}))
        == ""
    )
    assert compared(Outcome("exim", {"s": [one, other, one]}), Outcome("labkit", {"s": [one, other, other]}))


BOUNCE = "received | queue_id=1x3VCq-0001NL-0b | sender= | protocol=local | size="
LOCAL = "received | queue_id=1x3VCq-0001NL-0b | sender=ann@a.test | protocol=local"
DEFERRED = "deferred | queue_id=1x3VCq-0001NL-0b | recipient=a@b.test"
AES, SECURED = "AES_256_GCM_SHA384", "\tby mx with esmtps  (TLS1.3) tls TLS_"
RECEIVED = "received | queue_id=1x3VCq-0001NL-0b"
EHLO = ["250-SIZE 1", "250 HELP"]
EXAMPLES: dict[str, list[tuple[list[str], list[str], bool]]] = {
    # what the real Exim, and what labkit has; whether that may be
    "software": [
        (["220 mx.test ESMTP Exim 4.96 now"], ["220 mx.test ESMTP labkit 0.1 now"], True),
        (["\tby mx.test with esmtp (Exim 4.96)"], ["\tby mx.test with esmtp (labkit 0.1)"], True),
        (["220 mx.test ESMTP Exim 4.97 now"], ["220 mx.test ESMTP labkit 0.1 now"], False),
        (["Exim 4.96 says hello"], ["labkit 0.1 says hello"], False),
    ],
    "extensions": [
        (["250-SIZE 1", "250-PIPECONNECT", "250-SMTPUTF8", "250 HELP"], EHLO, True),
        (EHLO, ["250-SIZE 1", "250-CHUNKING", "250 HELP"], False),
        (["250-SIZE 1", "250-CHUNKING", "250 HELP"], EHLO, False),
        (["250-STARTTLS", "250 HELP"], ["250 HELP"], False),
    ],
    "idle runs": [
        ([f"{DEFERRED} | text=retry time not reached for any host for 'b.test'"], [], True),
        ([f"{DEFERRED} | text=Connection refused"], [], False),
    ],
    "place of deferral": [
        (
            [f"{DEFERRED} | text=Connection refused"],
            [f"{DEFERRED} | remote_host=mx.test | remote_address=1.2.3.4 | text=Connection refused"],
            True,
        ),
        (
            [f"{DEFERRED} | text=SMTP error"],
            [f"{DEFERRED} | remote_host=mx.test | remote_address=1.2.3.4 | text=SMTP error"],
            False,
        ),
    ],
    "reloads": [
        (["started | text=listening on 25"] * 2, ["started | text=listening on 25"], True),
        (["started | x", "stopped", "started | x"], ["started | x", "stopped"], False),
    ],
    "report": [
        ([f"{BOUNCE}1532 | traces=2"], [f"{BOUNCE}1535 | traces=2"], True),
        ([f"{RECEIVED} | size=1532"], [f"{RECEIVED} | size=1535"], False),
    ],
    "own Message-ID": [
        ([f"{LOCAL} | size=9"], [f"{LOCAL} | size=9 | message_id=<E1x3VCq-0001NL-0b@mx.test>"], True),
        ([f"{LOCAL} | size=9"], [f"{LOCAL} | size=9 | message_id=<E1x3VCq-0001NL-0c@mx.test>"], False),
        ([f"{LOCAL} | size=9"], [f"{LOCAL} | size=9 | message_id=<x@mx.test>"], False),
    ],
    "names of ciphers": [
        ([f"{SECURED}ECDHE_RSA_WITH_{AES}"], [f"{SECURED}{AES}"], True),
        ([f"{SECURED}ECDHE_RSA_WITH_{AES}"], [f"{SECURED}CHACHA20_POLY1305_SHA256"], False),
        ([f"\tby mx with esmtps  (TLS1.2) tls TLS_{AES}"], [f"{SECURED}{AES}"], False),
        (
            [f"{RECEIVED} | size=330 | secured=2 | traces=3"],
            [f"{RECEIVED} | size=303 | secured=2 | traces=3"],
            True,
        ),
        (
            [f"{RECEIVED} | size=315 | secured=2 | traces=3"],
            [f"{RECEIVED} | size=303 | secured=2 | traces=3"],
            False,
        ),
    ],
    "sizes": [
        ([f"{RECEIVED} | size=300 | traces=3"], [f"{RECEIVED} | size=303 | traces=3"], True),
        ([f"{RECEIVED} | size=300 | traces=3"], [f"{RECEIVED} | size=302 | traces=3"], False),
        ([f"{RECEIVED} | size=300 | traces=3"], [f"{RECEIVED} | size=302 | traces=2"], False),
    ],
}  # fmt: skip


@pytest.mark.parametrize("name", EXAMPLES)
def test_a_permitted_difference(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """It permits what it says, and no more; and without it that would be a difference."""
    for theirs, ours, may_be in EXAMPLES[name]:
        assert (compared(_one(theirs, "exim"), _one(ours, "labkit")) == "") is may_be, (theirs, ours)
    monkeypatch.setattr(outcome, "PERMITTED", tuple(row for row in PERMITTED if row.name != name))
    for theirs, ours, may_be in EXAMPLES[name]:
        assert not may_be or compared(_one(theirs, "exim"), _one(ours, "labkit"))


def _one(lines: list[str], engine: str) -> Outcome:
    sections: Sections = {"section": lines}
    return Outcome(engine, sections)


def test_every_permitted_difference_has_examples() -> None:
    assert [row.name for row in PERMITTED] == list(EXAMPLES)
    assert all(row.why for row in PERMITTED)


@NEEDED
@engines("exim", "labkit")
@pytest.mark.parametrize("name", ["local_delivery", "two_hosts", "retries_and_bounce"])
def test_sizes_are_explained(name: str, saw: Saw) -> None:
    """Without the octets of the software's name, sizes are equal; they are not left out."""
    sizes: dict[str, Any] = {}
    for engine in ("exim", "labkit"):
        lines = [line for part in saw(name, engine).texts().values() for line in part]
        sizes[engine] = [found[0] for line in lines if (found := re.search(r"\bsize=\d+", line))]
    assert sizes["exim"] == sizes["labkit"] != []
