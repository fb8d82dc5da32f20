"""The spool's journal: cut off or spoiled at every octet, used again, and a long life told at random."""

from __future__ import annotations

import os
import random
import shutil
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import datetime, timezone
from pathlib import Path

import pytest

from labkit.mail.address import Mailbox
from labkit.mail.envelope import Envelope
from labkit.net import spool_journal as journal_module
from labkit.net.spool import Spool
from labkit.net.spool_files import SpoolFiles
from labkit.net.spool_journal import SpoolJournal
from labkit.net.spool_recovery import replay
from labkit.queue.item import Origin, QueueItem

BOB, EVE = Mailbox("bob", "st1.sne21.test"), Mailbox("eve", "st1.sne21.test")
State = dict[str, QueueItem]
Step = Callable[[Spool, State], None]


def item(number: int, body: bytes = b"Hello\r\n") -> QueueItem:
    return QueueItem(
        f"1xVGdp-{number:06d}-00",
        Envelope(Mailbox("ann", "a.test"), (BOB, EVE)),
        b"Received: from x\r\n\r\n" + body,
        datetime(2026, 11, 22, 12, 0, number % 60, 1, timezone.utc),
        Origin("203.0.113.77", 4321, "client.test", "esmtp"),
    )


# Steps: what the spool is asked to do, and what should be true afterwards


def accept(number: int, body: bytes = b"Hello\r\n") -> Step:
    def step(spool: Spool, state: State) -> None:
        spool.accept(item(number, body), lambda problem: pytest.fail(str(problem)) if problem else None)
        state[item(number).queue_id] = item(number, body)

    return step


def finish(number: int, *recipients: Mailbox) -> Step:
    def step(spool: Spool, state: State) -> None:
        spool.finished(item(number).queue_id, recipients)
        if item(number).queue_id in state:
            state[item(number).queue_id] = state[item(number).queue_id].with_finished(*recipients)

    return step


def freeze(number: int) -> Step:
    def step(spool: Spool, state: State) -> None:
        if changed := state.get(item(number).queue_id):
            state[item(number).queue_id] = replace(changed, frozen=True)
            spool.update(state[item(number).queue_id])

    return step


def remove(number: int) -> Step:
    def step(spool: Spool, state: State) -> None:
        spool.remove(item(number).queue_id)
        state.pop(item(number).queue_id, None)

    return step


STEPS = (accept(1), accept(2), finish(1, BOB), freeze(2), accept(3), remove(1), finish(2, EVE))


class Silent(Spool):
    """A spool that is asked for nothing: only the state counts."""

    def __init__(self) -> None: ...

    def accept(self, *_: object) -> None: ...

    finished = update = remove = accept  # type: ignore[assignment]


def expected(*missing: int) -> State:
    """What should be known if the records of these steps are missing."""
    state: State = {}
    for number, step in enumerate(STEPS):
        if number not in missing:
            step(Silent(), state)
    return state


def read(folder: Path) -> tuple[State, list[str]]:
    """What the journal says, and what is wrong with it."""
    found = replay(SpoolJournal(folder / "journal"), SpoolFiles(folder))
    return {queue_id: known.item for queue_id, known in found.messages.items()}, [*found.troubles.values()]


@pytest.fixture
def played(tmp_path: Path) -> Iterator[tuple[Path, list[int]]]:
    """A spool in which all steps were done, and where the record of each ends in its only segment."""
    state: State = {}
    ends = []
    spool = Spool(tmp_path / "spool", threaded=False)
    for step in STEPS:
        step(spool, state)
        ends.append(spool._journal._position)
    copy = tmp_path / "copy"
    shutil.copytree(spool.folder, copy)
    for path in (copy / "input").iterdir():  # they are not synced: a power cut may take them
        path.unlink()
    yield copy, ends
    spool.close()


@pytest.mark.parametrize("rest", ["nothing", "zeros", "chance"])
def test_cut_off_at_every_octet(played: tuple[Path, list[int]], rest: str) -> None:
    """Whatever was whole is there, and nothing else; that the rest is not is no damage: nobody was told of it."""
    folder, ends = played
    segment = folder / "journal/00000001"
    whole = segment.read_bytes()
    states = [expected(*range(number, len(STEPS))) for number in range(len(STEPS) + 1)]
    start = journal_module._HEAD.size
    for cut in range(start, ends[-1] + 1):
        length = ends[-1] + 50 - cut
        tail = {"nothing": b"", "zeros": bytes(length), "chance": random.Random(cut).randbytes(length)}[rest]
        segment.write_bytes(whole[:cut] + tail)
        done = sum(end <= cut for end in ends)
        assert read(folder) == (states[done], []), cut


def test_spoiled_at_every_octet(played: tuple[Path, list[int]]) -> None:
    """One record is lost; those that follow are not, and it is said that there is damage."""
    folder, ends = played
    segment = folder / "journal/00000001"
    whole = bytearray(segment.read_bytes()[: ends[-1] + 100])
    start = journal_module._HEAD.size
    for place in range(ends[-1]):
        spoiled = whole.copy()
        spoiled[place] ^= 1 << place % 8
        segment.write_bytes(spoiled)
        found, troubles = read(folder)
        if place < start:
            assert (found, troubles) == ({}, [f"the journal {segment} is damaged at octet 0"]), place
            continue
        lost = sum(end <= place for end in ends)
        assert found == expected(lost), place
        assert len(troubles) == (lost < len(STEPS) - 1), place


def test_damage_is_told_and_kept(played: tuple[Path, list[int]]) -> None:
    folder, ends = played
    segment = folder / "journal/00000001"
    spoiled = bytearray(segment.read_bytes())
    spoiled[ends[0] + 40] ^= 1
    segment.write_bytes(spoiled)
    said: list[str] = []
    with Spool(folder, threaded=False) as spool:
        assert {each.queue_id: each for each in spool.recover(said.append)} == expected(1)
    assert len(said) == 1
    assert said[0].endswith(f"damaged at octet {ends[1]}; a copy is in {folder / 'corrupt'}")
    assert (folder / "corrupt/journal-00000001").read_bytes() == spoiled
    assert sorted(path.name for path in (folder / "journal").iterdir()) == ["spare-0"]


def test_old_records_are_none(tmp_path: Path) -> None:
    """A segment that is used again is full of what was true once; and a message may look like a record of then."""
    with Spool(tmp_path / "spool", threaded=False) as spool:
        state: State = {}
        for number in range(5):
            accept(number)(spool, state)
        old = (spool.folder / "journal/00000001").read_bytes()[:2000]
        spool.checkpoint()
        for number in range(5):
            remove(number)(spool, state)
        spool.checkpoint()
        assert sorted(path.name for path in (spool.folder / "journal").iterdir()) == ["spare-0"]
        accept(7, old.replace(b"\r", b"").replace(b"\n", b"") + b"\r\n")(spool, state)
        end = spool._journal._position
        shutil.copytree(spool.folder, tmp_path / "copy")
        assert read(tmp_path / "copy") == (state, [])
        segment = tmp_path / "copy/journal/00000003"
        octets = segment.read_bytes()
        for place in range(journal_module._HEAD.size, end, 61):  # now the message is damaged
            segment.write_bytes(octets[:place] + bytes([octets[place] ^ 1]) + octets[place + 1 :])
            assert read(tmp_path / "copy")[0] == {}


def test_a_message_larger_than_a_segment(tmp_path: Path) -> None:
    with Spool(tmp_path / "spool", threaded=False) as spool:
        state: State = {}
        accept(1)(spool, state)
        accept(2, b"x" * 2_000_000 + b"\r\n")(spool, state)
        accept(3)(spool, state)
        shutil.copytree(spool.folder, tmp_path / "copy")
        assert read(tmp_path / "copy") == (
            {k: v for k, v in state.items() if k in read(tmp_path / "copy")[0]},
            [],
        )
        remove(2)(spool, state)
        spool.checkpoint()
        sizes = [path.stat().st_size for path in (spool.folder / "journal").iterdir()]
        assert sizes and set(sizes) == {journal_module.SEGMENT}, "it is not kept"
        assert {each.queue_id: each for each in spool.recover(pytest.fail)} == state


@pytest.mark.parametrize("seed", range(int(os.environ.get("LABKIT_LIVES", "3"))))
def test_a_long_life(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, seed: int) -> None:
    """Small segments, which fill up and are used again; looked at after crashes, some in the middle of a record."""
    monkeypatch.setattr(journal_module, "SEGMENT", 4096)
    dice = random.Random(seed)
    state: State = {}
    spool = Spool(tmp_path / "0", threaded=False)
    lives = segments = 0
    for number in range(150):
        accept(number, b"line\r\n" * dice.choice((0, 1, 20, 400)))(spool, state)
        for _ in range(dice.randrange(4)):
            other = int(dice.choice(sorted(state))[7:13]) if state else number
            if item(other).queue_id not in state:
                continue
            what = dice.randrange(6)
            if what == 0:
                spool.show(item(other).queue_id)
            elif what == 1:
                finish(other, dice.choice((BOB, EVE)))(spool, state)
            elif what == 2:
                freeze(other)(spool, state)
            elif what == 3 and not dice.randrange(8):
                spool.checkpoint()
            else:
                remove(other)(spool, state)
        segments = max(segments, spool._journal._last)
        if (
            dice.randrange(12) == 0
        ):  # kill -9: the folder as it is, the last segment perhaps with half a record
            lives += 1
            copy = tmp_path / str(lives)
            shutil.copytree(spool.folder, copy)
            if spool._journal._file is not None and dice.randrange(2):
                with (copy / f"journal/{spool._journal._last:08}").open("r+b") as file:
                    file.seek(spool._journal._position)
                    file.write(spool._journal._salt + os.urandom(dice.randrange(60)))
            spool.close()
            shutil.rmtree(spool.folder)
            spool = Spool(copy, threaded=False)
            if dice.randrange(3):
                assert {each.queue_id: each for each in spool.recover(pytest.fail)} == state
    assert {each.queue_id: each for each in spool.recover(pytest.fail)} == state
    files = sorted(path.name for path in (spool.folder / "input").iterdir())
    assert files == sorted(f"{queue_id}-{part}" for queue_id in state for part in "DH")
    assert not os.listdir(spool.folder / "corrupt")
    spool.close()
    assert lives > 3
    assert segments > 10
