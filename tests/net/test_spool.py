"""The spool on a healthy disk, on a full one, and after a crash left odd files. Crashes: test_spool_crash.py."""

from __future__ import annotations

import asyncio
import errno
import os
import shutil
import stat
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime, timezone
from pathlib import Path
from textwrap import dedent
from typing import Any

import pytest

from labkit.mail.address import Mailbox
from labkit.mail.envelope import Envelope
from labkit.net import spool_journal as journal_module
from labkit.net.spool import LARGEST_BATCH, Spool, SpoolBusy
from labkit.net.spool_format import decode
from labkit.queue.item import Origin, QueueItem

BOB, EVE = Mailbox("bob", "st1.sne21.test"), Mailbox("eve", "st1.sne21.test")
FULL = OSError(errno.ENOSPC, "No space left on device")


def item(number: int = 0, body: bytes = b"Hello\r\n") -> QueueItem:
    return QueueItem(
        f"1xVGdp-0000LT-{number:02d}",
        Envelope(Mailbox("ann", "a.test"), (BOB, EVE)),
        b"Received: from x\r\n\r\n" + body,
        datetime(2026, 11, 22, 12, 0, number % 60, 1, timezone.utc),
        Origin("203.0.113.77", 4321, "client.test", "esmtp"),
    )


ITEM = item()
ID = ITEM.queue_id


@pytest.fixture
def spool(tmp_path: Path) -> Iterator[Spool]:
    with Spool(tmp_path / "spool", threaded=False) as spool:
        yield spool


def store(spool: Spool, *items: QueueItem) -> None:
    answers: list[OSError | None] = []
    for each in items:
        spool.accept(each, answers.append)
    assert answers == [None] * len(items)
    spool.checkpoint()


def take(spool: Spool, *items: QueueItem) -> None:
    """The same, and it stays in the journal."""
    for each in items:
        spool.accept(each, lambda problem: pytest.fail(str(problem)) if problem else None)


def after_a_crash(spool: Spool) -> list[QueueItem]:
    """What another process would find, were this one killed now. It has nothing to report."""
    copy = Path(tempfile.mkdtemp(dir=spool.folder.parent)) / "copy"
    shutil.copytree(spool.folder, copy)
    with Spool(copy, threaded=False) as other:
        found = other.recover(pytest.fail)
        assert other.recover(pytest.fail) == found
    assert os.listdir(copy / "corrupt") == []
    return found


def names(spool: Spool, folder: str = "input") -> list[str]:
    return sorted(os.listdir(spool.folder / folder))


def fail(monkeypatch: pytest.MonkeyPatch, function: str, at_call: int, half: bool = False) -> None:
    """Let the n-th call of an os function fail as on a full disk, `half` after writing half of it."""
    real, calls = getattr(os, function), 0

    def perhaps(*arguments: Any, **named: Any) -> Any:
        nonlocal calls
        calls += 1
        if calls == at_call:
            if half:
                return real(arguments[0], arguments[1][: len(arguments[1]) // 2], *arguments[2:])
            raise OSError(FULL.errno, FULL.strerror)
        if half and calls == at_call + 1:
            raise OSError(FULL.errno, FULL.strerror)
        return real(*arguments, **named)

    monkeypatch.setattr(os, function, perhaps)


# Accepting


def test_inline_accept_is_durable_on_return(spool: Spool) -> None:
    store(spool, ITEM)
    files = spool.files(ID)
    assert files is not None
    assert decode(*(file.read_bytes() for file in files)) == ITEM
    assert names(spool) == [f"{ID}-D", f"{ID}-H"]
    assert [stat.S_IMODE(file.stat().st_mode) for file in files] == [0o640, 0o640]
    assert stat.S_IMODE((spool.folder / "input").stat().st_mode) == 0o750


@pytest.fixture
def order(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What is asked of the disk, in order."""
    if not os.path.isdir("/proc/self/fd"):
        pytest.skip("descriptors get their names back from /proc")
    order: list[str] = []

    def watch(function: str) -> None:
        real = getattr(os, function)

        def call(*arguments: Any, **named: Any) -> Any:
            of = arguments[0]
            path = os.readlink(f"/proc/self/fd/{of}") if isinstance(of, int) else str(of)
            order.append(f"{function} {Path(path).name}")
            return real(*arguments, **named)

        monkeypatch.setattr(os, function, call)

    for function in ("write", "pwrite", "fsync", "fdatasync", "rename", "unlink"):
        watch(function)
    return order


def test_order_in_the_journal(spool: Spool, order: list[str]) -> None:
    """What a power cut may interrupt: the head of a segment is on disk before it has a number, a record before 250."""
    spool.accept(item(1), lambda problem: order.append("durable"))
    assert order[0] == "unlink draft" and set(order[1:17]) == {"pwrite draft"}
    assert order[17:] == [
        "fsync draft",
        "pwrite draft",
        "fdatasync draft",
        "rename draft",
        "fsync journal",
        "pwrite 00000001",
        "fdatasync 00000001",
        "durable",
    ]
    for promise in (
        lambda: spool.accept(ITEM, lambda problem: None),
        lambda: spool.finished(ID, [BOB]),
        lambda: spool.remove(ID),
    ):
        order.clear()
        promise()
        assert order == ["pwrite 00000001", "fdatasync 00000001"]


def test_order_in_the_files(spool: Spool, order: list[str]) -> None:
    """-D is complete before -H has its name; a segment goes only when all is synced."""
    spool.accept(ITEM, lambda problem: None)
    order.clear()
    spool.show(ID)
    assert [step for step in order if "unlink" not in step] == [
        f"write {ID}-D",
        f"write hdr.{ID}",
        f"rename hdr.{ID}",
    ]
    order.clear()
    spool.finished(ID, [BOB])
    assert order == ["pwrite 00000001", "fdatasync 00000001", f"write {ID}-J"]
    order.clear()
    spool.update(ITEM)
    assert [step for step in order if "unlink hdr" not in step] == [
        "pwrite 00000001",
        "fdatasync 00000001",
        f"write hdr.{ID}",
        f"rename hdr.{ID}",
        f"unlink {ID}-J",
    ]
    order.clear()
    spool.checkpoint()
    assert order == [f"fsync {ID}-D", f"fsync {ID}-H", "fsync input", "rename 00000001", "fsync journal"]
    order.clear()
    spool.remove(ID)
    assert order == [
        "rename spare-0",
        "pwrite draft",
        "fdatasync draft",
        "rename draft",
        "fsync journal",
        "pwrite 00000002",
        "fdatasync 00000002",
        f"unlink {ID}-H",
        f"unlink {ID}-J",
        f"unlink {ID}-D",
    ]


@pytest.mark.parametrize(
    "function, at_call, half, because",
    [
        ("open", 1, False, "no segment can be made"),
        ("fchmod", 1, False, "permissions"),
        ("pwrite", 1, False, "nothing of it"),
        ("pwrite", 7, True, "half of it"),
        ("fsync", 1, False, "its zeros cannot be synced"),
        ("open", 2, False, "it cannot be opened again"),
        ("pwrite", 17, False, "no head"),
        ("pwrite", 17, True, "half a head"),
        ("fdatasync", 1, False, "the head cannot be synced"),
        ("rename", 1, False, "it cannot get its number"),
        ("fsync", 2, False, "the folder cannot be synced"),
        ("pwrite", 18, False, "nothing of the record"),
        ("pwrite", 18, True, "half of the record"),
        ("fdatasync", 2, False, "the record cannot be synced"),
    ],
)
def test_full_disk(
    spool: Spool, monkeypatch: pytest.MonkeyPatch, function: str, at_call: int, half: bool, because: str
) -> None:
    descriptors = os.listdir("/proc/self/fd") if sys.platform == "linux" else []
    answers: list[OSError | None] = []
    with monkeypatch.context() as patch:
        fail(patch, function, at_call, half)
        spool.accept(ITEM, answers.append)
    assert answers[0] is not None and answers[0].errno == errno.ENOSPC, because
    assert names(spool) == [], because
    if descriptors:
        more = 1 if spool._journal._file is not None else 0
        assert len(os.listdir("/proc/self/fd")) == len(descriptors) + more, because
    assert after_a_crash(spool) == [], because
    store(spool, item(1))
    assert after_a_crash(spool) == [item(1)]
    store(spool, ITEM)
    assert spool.recover() == [ITEM, item(1)]


@pytest.mark.parametrize("half", [True, False])
@pytest.mark.parametrize("calls", [1, 2, 3])
def test_full_disk_in_a_segment(
    spool: Spool, monkeypatch: pytest.MonkeyPatch, half: bool, calls: int
) -> None:
    """The disk fails once, or when the record is to be wiped out, too, or when that is synced."""
    take(spool, item(1))
    answers: list[OSError | None] = []
    real, count = os.pwrite, 0

    def perhaps(descriptor: int, text: bytes, position: int) -> int:
        nonlocal count
        count += 1
        if half and count == 1:
            return real(descriptor, text[: len(text) // 2], position)
        if count <= calls + half:
            raise OSError(errno.EIO, "Input/output error")
        return real(descriptor, text, position)

    with monkeypatch.context() as patch:
        patch.setattr(os, "pwrite", perhaps)
        spool.accept(ITEM, answers.append)
        assert answers[0] is not None and answers[0].errno == errno.EIO
        count = 99
    take(spool, item(2))
    assert after_a_crash(spool) == [item(1), item(2)]
    assert spool.recover() == [item(1), item(2)]


def test_refused_and_not_to_be_wiped_out(spool: Spool, monkeypatch: pytest.MonkeyPatch) -> None:
    """A record that reached the disk although the disk said no: the next segment takes it back."""
    take(spool, *map(item, range(1, 6)))
    answers: list[OSError | None] = []
    real, wrote = os.pwrite, False

    def once(descriptor: int, text: bytes, position: int) -> int:
        nonlocal wrote
        if wrote:
            raise OSError(errno.EIO, "Input/output error")
        wrote = True
        return real(descriptor, text, position)

    with monkeypatch.context() as patch:
        patch.setattr(os, "pwrite", once)
        fail(patch, "fdatasync", 1)
        spool.accept(ITEM, answers.append)
    assert answers[0] is not None
    take(spool, item(6))
    assert spool._journal.live == [1, 2]
    assert after_a_crash(spool) == [*map(item, range(1, 7))]


def test_same_id_twice(spool: Spool) -> None:
    store(spool, ITEM)
    answers: list[OSError | None] = []
    spool.accept(replace(ITEM, content=b"other"), answers.append)
    assert isinstance(answers[0], FileExistsError)
    assert spool.recover() == [ITEM]


def test_what_no_file_can_hold(spool: Spool) -> None:
    with pytest.raises(ValueError, match="not a queue id"):
        spool.accept(replace(ITEM, queue_id="../escape"), lambda problem: None)
    assert names(spool) == []


async def accept_all(spool: Spool, items: list[QueueItem]) -> list[OSError | None]:
    loop = asyncio.get_running_loop()
    answers: list[asyncio.Future[OSError | None]] = []
    for each in items:
        answer = loop.create_future()
        spool.accept(
            each, answer.set_result
        )  # set_result tells if it is called outside the loop's thread: debug
        answers.append(answer)
    return await asyncio.gather(*answers)


def test_group_commit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What comes while the disk is busy is one batch: one sync of the journal, one wake-up of the loop."""
    items = [item(number) for number in range(30)]
    syncs, wake_ups = [], []
    first_is_in, go_on = threading.Event(), threading.Event()

    def sync(descriptor: int) -> None:
        syncs.append(descriptor)
        if len(syncs) == 2:  # the first is that of the segment's head
            first_is_in.set()
        assert len(syncs) < 2 or go_on.wait(10)

    async def scene() -> list[OSError | None]:
        loop = asyncio.get_running_loop()
        real = loop.call_soon_threadsafe

        def call(*arguments: Any) -> Any:
            wake_ups.append(arguments)
            return real(*arguments)

        monkeypatch.setattr(loop, "call_soon_threadsafe", call)
        with Spool(tmp_path, threaded=True) as spool:
            first = asyncio.ensure_future(accept_all(spool, items[:1]))
            await asyncio.sleep(0)
            assert first_is_in.wait(10)
            rest = asyncio.ensure_future(accept_all(spool, items[1:]))
            await asyncio.sleep(0)
            go_on.set()
            return await first + await rest

    monkeypatch.setattr(journal_module, "sync_data", sync)
    assert asyncio.run(scene(), debug=True) == [None] * 30
    assert len(syncs) == 3
    assert len(wake_ups) == 2
    with Spool(tmp_path, threaded=True) as spool:
        assert spool.recover() == items


def test_more_than_a_batch(tmp_path: Path) -> None:
    items = [item(number) for number in range(LARGEST_BATCH * 2 + 1)]

    async def scene() -> None:
        with Spool(tmp_path, threaded=True) as spool:
            assert await accept_all(spool, items) == [None] * len(items)

    asyncio.run(scene())
    with Spool(tmp_path, threaded=False) as spool:
        assert {each.queue_id for each in spool.recover()} == {each.queue_id for each in items}


def test_one_of_a_batch_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A disk error is that message's alone, and the writer lives on."""
    real = os.pwrite

    def write(descriptor: int, text: bytes, position: int) -> int:
        if b"poison" in bytes(text):
            raise OSError(errno.EIO, "Input/output error")
        if b"mistake" in bytes(text):
            raise TypeError("a mistake of ours")
        return real(descriptor, text, position)

    monkeypatch.setattr(os, "pwrite", write)
    items = [item(1), item(2, b"poison"), item(3), item(4, b"mistake"), item(5)]

    async def scene() -> None:
        with Spool(tmp_path, threaded=True) as spool:
            problems = await accept_all(spool, items)
            assert [problem and problem.errno for problem in problems] == [
                None,
                errno.EIO,
                None,
                errno.EIO,
                None,
            ]
            assert await accept_all(spool, [ITEM]) == [None]
            assert spool.recover() == [ITEM, items[0], items[2], items[4]]
            assert len(names(spool)) == 8

    asyncio.run(scene())


def test_a_mistake_in_a_callback_is_not_the_others_problem(tmp_path: Path) -> None:
    heard: list[object] = []
    reported: list[dict[str, Any]] = []

    async def scene() -> None:
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(lambda loop, context: reported.append(context))
        done = loop.create_future()
        with Spool(tmp_path, threaded=True) as spool:
            spool.accept(item(1), lambda problem: heard.append(1 / 0))
            spool.accept(item(2), done.set_result)
            assert await done is None

    asyncio.run(scene())
    assert isinstance(reported[0]["exception"], ZeroDivisionError)


def test_close_waits_for_the_writer(tmp_path: Path) -> None:
    heard: list[OSError | None] = []

    async def scene() -> None:
        spool = Spool(tmp_path, threaded=True)
        for number in range(20):
            spool.accept(item(number), heard.append)
        spool.close()
        spool.close()
        assert len(names(spool)) == 40
        with pytest.raises(RuntimeError, match="closed"):
            spool.accept(ITEM, heard.append)
        await asyncio.sleep(0)

    asyncio.run(scene())
    assert heard == [None] * 20
    assert "spool writer" not in {thread.name for thread in threading.enumerate()}


def test_loop_that_has_gone(tmp_path: Path) -> None:
    """A loop that ends while the disk is busy: the message is stored, and the writer serves the next loop."""
    spool = Spool(tmp_path, threaded=True)

    async def leave() -> None:
        spool.accept(ITEM, lambda problem: None)

    with spool._disk:  # the disk is busy
        asyncio.run(leave())

    async def scene() -> None:
        assert await accept_all(spool, [item(1)]) == [None]

    asyncio.run(scene())
    assert spool.recover() == [ITEM, item(1)]
    spool.close()


# Finished, updated, removed


def test_finished_survives(spool: Spool) -> None:
    store(spool, ITEM)
    spool.finished(ID, [BOB])
    assert (spool.folder / "input" / f"{ID}-J").read_text() == "bob@st1.sne21.test\n"
    assert spool.recover() == [ITEM.with_finished(BOB)]
    assert names(spool) == [f"{ID}-D", f"{ID}-H"], "the journal is part of -H now"
    spool.finished(ID, iter([EVE]))
    assert spool.recover() == [ITEM.with_finished(BOB, EVE)] == spool.recover()


def test_update(spool: Spool) -> None:
    store(spool, ITEM)
    spool.finished(ID, [BOB])
    changed = replace(ITEM.with_finished(BOB), frozen=True)
    spool.update(changed)
    assert names(spool) == [f"{ID}-D", f"{ID}-H"]
    assert spool.recover() == [changed]
    with pytest.raises(ValueError, match="not what was accepted"):
        spool.update(replace(changed, content=changed.content + b"more\r\n"))
    assert spool.recover() == [changed]


def test_remove(spool: Spool) -> None:
    store(spool, ITEM, item(1))
    spool.finished(ID, [BOB])
    spool.remove(ID)
    spool.remove(ID)
    assert spool.files(ID) is None
    assert spool.recover() == [item(1)]


@pytest.mark.parametrize("function, half", [("pwrite", True), ("pwrite", False), ("fdatasync", False)])
def test_update_on_a_full_disk(
    spool: Spool, monkeypatch: pytest.MonkeyPatch, function: str, half: bool
) -> None:
    store(spool, ITEM)
    spool.finished(ID, [BOB])
    with monkeypatch.context() as patch:
        fail(patch, function, 1, half)
        with pytest.raises(OSError, match="No space"):
            spool.update(ITEM.with_finished(BOB, EVE))
    assert names(spool) == [f"{ID}-D", f"{ID}-H", f"{ID}-J"]
    assert spool.recover() == [ITEM.with_finished(BOB)]


@pytest.mark.parametrize("function, at_call", [("write", 1), ("rename", 1), ("open", 1)])
def test_files_on_a_full_disk(
    spool: Spool, monkeypatch: pytest.MonkeyPatch, function: str, at_call: int
) -> None:
    """What the journal has is durable without them; they are written as soon as they can be."""
    store(spool, ITEM)
    spool.finished(ID, [BOB])
    changed = replace(ITEM.with_finished(BOB, EVE), frozen=True)
    with monkeypatch.context() as patch:
        fail(patch, function, at_call)
        spool.update(changed)
    take(spool, item(1))
    with monkeypatch.context() as patch:
        fail(patch, function, at_call)
        with pytest.raises(OSError, match="No space"):
            spool.show(item(1).queue_id)
    assert names(spool) == [f"{ID}-D", f"{ID}-H", f"{ID}-J"]
    assert after_a_crash(spool) == [changed, item(1)]
    files = spool.files(ID)
    assert files is not None and decode(*(file.read_bytes() for file in files)) == changed
    assert spool.recover() == [changed, item(1)]


@pytest.mark.parametrize("function, half", [("pwrite", True), ("pwrite", False), ("fdatasync", False)])
def test_finished_on_a_full_disk(
    spool: Spool, monkeypatch: pytest.MonkeyPatch, function: str, half: bool
) -> None:
    store(spool, ITEM)
    spool.finished(ID, [BOB])
    with monkeypatch.context() as patch:
        fail(patch, function, 1, half)
        with pytest.raises(OSError, match="No space"):
            spool.finished(ID, [EVE])
    assert spool.recover() == [ITEM.with_finished(BOB)]


def test_unknown_messages(spool: Spool) -> None:
    with pytest.raises(FileNotFoundError, match=f"the spool has no message {ID}"):
        spool.update(ITEM)
    with pytest.raises(FileNotFoundError, match=f"the spool has no message {ID}"):
        spool.finished(ID, [BOB])
    assert spool.files(ID) is None
    assert names(spool) == []


@pytest.mark.parametrize("queue_id", ["../escape", "a/b", "", ".", "a\0", "x" * 100])
def test_no_path_is_built_from_a_bad_id(spool: Spool, queue_id: str) -> None:
    for method in (spool.remove, spool.files, lambda queue_id: spool.finished(queue_id, [])):
        with pytest.raises(ValueError, match="not a queue id"):
            method(queue_id)


# Recovering


def test_recover_sweeps_up(spool: Spool) -> None:
    store(spool, item(2), item(1))
    folder = spool.folder / "input"
    (folder / "1orphan-D").write_text("of an accept that broke off")
    (folder / "1removed-D").write_text("of a remove that broke off")
    (folder / "1removed-J").write_text("likewise")
    (folder / f"hdr.{ID}").write_text("half a -H")
    (folder / "notes.txt").write_text("not ours")
    said: list[str] = []
    assert spool.recover(said.append) == [item(1), item(2)] == spool.recover()
    assert len(names(spool)) == 5
    assert said == [f"{folder}/notes.txt belongs to no message: left as it is"]


def spoil(spool: Spool, how: str) -> None:
    header, data = (spool.folder / "input" / f"{ID}-{part}" for part in "HD")
    if how == "no -D":
        data.unlink()
    elif how == "-D cut off":
        data.write_bytes(data.read_bytes()[:-3])
    elif how == "-H cut off":
        header.write_bytes(header.read_bytes()[:-3])
    elif how == "-H empty":
        header.write_bytes(b"")
    elif how == "-H is zeros":
        header.write_bytes(bytes(len(header.read_bytes())))
    elif how == "another's files":
        for file in (header, data):
            file.write_bytes(file.read_bytes().replace(ID.encode(), b"1xVGdp-0000LT-zz"))
    elif how == "-H is a link":
        header.rename(spool.folder / "elsewhere")
        header.symlink_to(spool.folder / "elsewhere")
    elif how == "-D is a folder":
        data.unlink()
        data.mkdir()
    elif how == "-H is a pipe":
        header.unlink()
        os.mkfifo(header)


@pytest.mark.parametrize(
    "how, word",
    [
        ("no -D", f"{ID}-D is missing"),
        ("-D cut off", f"{ID}-D, line 1: 1 lines expected, 0 found: cut off or edited"),
        ("-H cut off", f"{ID}-H, line 17: a header field after its length expected"),
        ("-H empty", "the -H file, line 1: the file ends"),
        ("-H is zeros", "the -H file, line 1: the file ends"),
        ("another's files", f"{ID}-H, line 1: this is the file of 1xVGdp-0000LT-zz"),
        ("-H is a link", f"{ID}-H, line 1: not a regular file"),
        ("-D is a folder", f"{ID}-D, line 1: not a regular file"),
        ("-H is a pipe", f"{ID}-H, line 1: not a regular file"),
    ],
)
def test_unreadable_pairs_are_set_aside(spool: Spool, how: str, word: str) -> None:
    for again in ("", ".2"):
        store(spool, ITEM)
        (spool.folder / "input" / f"{ID}-J").write_text("bob@st1.sne21.test\n")
        if not again:
            store(spool, item(1))
        moved = {name for name in names(spool) if name.startswith(ID)} - (
            {f"{ID}-D"} if how == "no -D" else set()
        )
        spoil(spool, how)
        said: list[str] = []
        assert spool.recover(said.append) == [item(1)]
        assert names(spool) == [f"{item(1).queue_id}-D", f"{item(1).queue_id}-H"]
        assert {f"{name}{again}" for name in (*moved, f"{ID}-why")} <= set(names(spool, "corrupt"))
        why = (spool.folder / "corrupt" / f"{ID}-why{again}").read_text()
        assert said == [f"{why.strip()}; put into {spool.folder}/corrupt"]
        assert why.startswith(f"message {ID} cannot be read: {word}")
        assert spool.recover(said.append) == [item(1)] and len(said) == 1


def test_damaged_journal(spool: Spool) -> None:
    store(spool, ITEM)
    journal = spool.folder / "input" / f"{ID}-J"
    journal.write_text("bob@st1.sne21.test\n\0\0\0\neve@st1.sne21.test")  # the last line is not whole
    said: list[str] = []
    assert spool.recover(said.append) == [ITEM.with_finished(BOB)]
    assert said[0].startswith(f"the journal of message {ID} is damaged (the -J file, line 2: NUL")
    assert names(spool, "corrupt") == [f"{ID}-J", f"{ID}-why"]
    assert spool.recover(said.append) == [ITEM.with_finished(BOB)] and len(said) == 1


def test_recover_on_a_full_disk(spool: Spool, monkeypatch: pytest.MonkeyPatch) -> None:
    """The journal stays, without the line that a crash cut off: the next one must not run into it."""
    store(spool, ITEM)
    (spool.folder / "input" / f"{ID}-J").write_text("bob@st1.sne21.test\neve@st1.sne21")
    said: list[str] = []
    with monkeypatch.context() as patch:
        fail(patch, "write", 1)
        assert spool.recover(said.append) == [ITEM.with_finished(BOB)]
    assert "could not be added to its -H file" in said[0]
    spool.finished(ID, [EVE])
    assert spool.recover() == [ITEM.with_finished(BOB, EVE)]


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_no_permission(spool: Spool) -> None:
    store(spool, ITEM, item(1))
    (spool.folder / "input" / f"{ID}-H").chmod(0)
    said: list[str] = []
    assert spool.recover(said.append) == [item(1)]
    assert "cannot be read now" in said[0] and len(names(spool)) == 4


def test_recover_while_sessions_go_on(tmp_path: Path) -> None:
    """It never takes a -D that is being written for a left-over."""

    async def scene() -> None:
        with Spool(tmp_path, threaded=True) as spool:
            accepted = asyncio.ensure_future(accept_all(spool, [item(number) for number in range(60)]))
            while not accepted.done():
                spool.recover()
                await asyncio.sleep(0)
            assert await accepted == [None] * 60
            assert len(spool.recover()) == 60

    asyncio.run(scene())


# Hints, the lock, other processes


def test_hints(spool: Spool, monkeypatch: pytest.MonkeyPatch) -> None:
    assert spool.read_hints() == ""
    spool.write_hints("T:mx.a.test é\r\n\n")
    assert spool.read_hints() == "T:mx.a.test é\r\n\n"
    for call in ("write", "rename"):
        with monkeypatch.context() as patch:
            fail(patch, call, 1)
            with pytest.raises(OSError, match="No space"):
                spool.write_hints("new")
    assert spool.read_hints() == "T:mx.a.test é\r\n\n"
    assert names(spool, "db") == ["labkit-retry"]


def test_one_owner(spool: Spool) -> None:
    with pytest.raises(SpoolBusy, match=f"belongs to process {os.getpid()}: close that Spool first"):
        Spool(spool.folder, threaded=False)
    assert (spool.folder / "lock").read_text() == f"{os.getpid()}\n"  # reading it does not lose the lock
    words = in_another_process(spool.folder, "Spool(folder, threaded=False)")
    assert f"belongs to process {os.getpid()}: stop it (kill {os.getpid()}) first" in words
    spool.close()
    assert in_another_process(spool.folder, "Spool(folder, threaded=False); print('mine')") == "mine\n"
    with Spool(spool.folder, threaded=False):  # that process ended without close
        pass


def test_fork(spool: Spool) -> None:
    """A forked process has no spool: it neither accepts, nor closes its parent's, nor keeps the lock."""
    spool.close()
    words = in_another_process(
        spool.folder,
        """
        import signal, subprocess
        take = "import sys; from pathlib import Path; from labkit.net.spool import Spool;"
        take += "Spool(Path(sys.argv[1]), threaded=False)"
        def try_to_take():
            return subprocess.run([sys.executable, "-c", take, folder], capture_output=True).returncode
        spool = Spool(folder, threaded=False)
        child = os.fork()
        if not child:
            try:
                spool.accept(None, print)
            except RuntimeError as problem:
                print("child:", problem, flush=True)
            spool.close()
            signal.pause()
        print("while open:", try_to_take(), flush=True)
        spool.close()
        print("closed:", try_to_take(), flush=True)
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        """,
    )
    assert sorted(words.splitlines()) == [
        f"child: the spool {spool.folder} is closed",
        "closed: 0",
        "while open: 1",
    ]


def test_import_is_light(tmp_path: Path) -> None:
    assert in_another_process(tmp_path, "print('asyncio' in sys.modules)") == "False\n"


def in_another_process(folder: Path, script: str) -> str:
    head = "import os, sys\nfrom pathlib import Path\nfrom labkit.net.spool import Spool\nfolder = Path(sys.argv[1])\n"
    done = subprocess.run(
        [sys.executable, "-c", head + dedent(script), str(folder)],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    return done.stdout + done.stderr
