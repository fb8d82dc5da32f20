"""Kill -9 at any moment: what was promised is there, whole; nothing is delivered by halves or glued together.

HOW        this file is also a program (see `serve`): it forks one life after another; each plays a scene, and says on
           its standard output what it holds for durable. The test kills it, or it kills itself before (in a write:
           in the middle of) its n-th call to the system; then the test looks at the folder.
"""

from __future__ import annotations

import asyncio
import json
import mailbox
import os
import random
import signal
import subprocess
import sys
import time
import traceback
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import replace
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import IO, Any

import pytest

from labkit.mail.address import Mailbox
from labkit.mail.envelope import Envelope
from labkit.net.mailboxes import append_to_mbox, deliver_to_maildir, read_maildir, read_mbox
from labkit.net.spool import Spool
from labkit.queue.item import Origin, QueueItem

NOON = datetime(2026, 11, 22, 12, tzinfo=timezone.utc)
LIVES = int(os.environ.get("LABKIT_KILLS", "110"))  # 300 and more take a minute
SESSIONS = 6


def item(number: int) -> QueueItem:
    """Item `number`, the same in the life that stored it and in the test."""
    chance = random.Random(number)
    recipients = tuple(Mailbox(f"u{n}", "st1.sne21.test") for n in range(chance.randint(1, 4)))
    body = b"".join(b"line %d\r\n" % n for n in range(chance.choice((0, 1, 30, 3000))))
    return QueueItem(
        f"1xVGdp-{number:06d}-00",
        Envelope(Mailbox("ann", "a.test"), recipients),
        b"Received: from x\r\nSubject: %d\r\n\r\n" % number + body,
        NOON + timedelta(seconds=number),
        Origin("203.0.113.77", 4321, "client.test", "esmtp"),
    )


# Scenes: one life each. `tell` says a line that the test will believe


Tell = Callable[[str], None]


async def sessions(folder: Path, tell: Tell) -> None:
    """Six sessions at once: each accepts, and does with some messages what a queue does later."""
    loop = asyncio.get_running_loop()
    numbers = iter(range(300))

    async def session(spool: Spool) -> None:
        for number in numbers:
            this, answer = item(number), loop.create_future()
            spool.accept(this, answer.set_result)
            assert await answer is None
            tell(f"accepted {number}")
            if number % 2:
                spool.show(this.queue_id)
            for index, recipient in enumerate(this.envelope.forward_paths if number % 3 else ()):
                tell(f"finishing {number} {index}")
                spool.finished(this.queue_id, [recipient])
                this = this.with_finished(recipient)
                tell(f"finished {number} {index}")
            if number % 4 == 1:
                spool.update(replace(this, frozen=True))
                tell(f"frozen {number}")
            if number % 5 == 1:
                tell(f"removing {number}")
                spool.remove(this.queue_id)
                tell(f"removed {number}")

    with Spool(folder, threaded=True) as spool:
        await asyncio.gather(*(session(spool) for _ in range(SESSIONS)))


def steps(folder: Path, tell: Tell) -> None:
    """The life of a message, one call after another."""
    with Spool(folder, threaded=False) as spool:
        spool.recover()
        for number in (1, 2):
            spool.accept(item(number), lambda problem: None)
            tell(f"accepted {number}")
        spool.show(item(2).queue_id)
        first = item(1)
        for index, recipient in enumerate(first.envelope.forward_paths):
            tell(f"finishing 1 {index}")
            spool.finished(first.queue_id, [recipient])
            first = first.with_finished(recipient)
            tell(f"finished 1 {index}")
            if not index:
                spool.update(replace(first, frozen=True))
                tell("frozen 1")
        spool.write_hints("new")
        tell("removing 1")
        spool.remove(first.queue_id)
        tell("removed 1")
        spool.recover()
        tell("finishing 2 0")
        spool.finished(item(2).queue_id, [item(2).envelope.forward_paths[0]])  # in a segment used before
        tell("finished 2 0")


def mail(number: int) -> bytes:
    return b"Subject: %d\r\n\r\n" % number + b"From here\r\n\r\nline\r\n" * (number % 5)


def deliver_mbox(folder: Path, tell: Tell) -> None:
    """Deliver what the queue, a file here, does not know to be finished."""
    done = folder / "done"
    finished = set(done.read_text().split()) if done.exists() else set()
    for number in range(4):
        if str(number) not in finished:

            def note(number: int = number) -> None:
                os.rename(copy(done, f"{number}\n"), done)

            append_to_mbox(
                folder / "box",
                mail(number),
                "ann@a.test",
                NOON,
                root=folder,
                delivery=f"id/{number}",
                stored=note,
            )
            tell(f"delivered {number}")


def deliver_maildir(folder: Path, tell: Tell) -> None:
    for number in range(2):
        deliver_to_maildir(folder / "box", mail(number), root=folder, queue_id="1x", recipient_index=number)
        tell(f"delivered {number}")


def copy(path: Path, more: str) -> Path:
    new = path.with_suffix(".new")
    new.write_text((path.read_text() if path.exists() else "") + more)
    return new


# The program


def die_at(call_number: int) -> None:
    """Let this process be killed at its n-th call of these, in the middle if it is a write."""
    calls = 0

    def wrap(name: str, real: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any, **named: Any) -> Any:
            nonlocal calls
            calls += 1
            if calls == call_number:
                if name in ("write", "pwrite"):
                    real(arguments[0], bytes(arguments[1])[: len(arguments[1]) // 2], *arguments[2:])
                os.kill(os.getpid(), signal.SIGKILL)
            return real(*arguments, **named)

        return call

    for name in (
        "open",
        "write",
        "pwrite",
        "fsync",
        "fdatasync",
        "rename",
        "link",
        "unlink",
        "ftruncate",
        "mkdir",
    ):
        setattr(os, name, wrap(name, getattr(os, name)))


def serve() -> None:
    """Read one order a line: scene, folder, and perhaps the call at which to die. Say `pid`, what it tells, `end`."""
    write = os.write
    for line in sys.stdin:
        order = json.loads(line)
        child = os.fork()
        if child:
            _, status = os.waitpid(child, 0)
            write(1, f"end {status}\n".encode())
            continue
        write(1, f"pid {os.getpid()}\n".encode())
        try:
            if order["die_at"]:
                die_at(order["die_at"])
            scene = globals()[order["scene"]]
            played = scene(Path(order["folder"]), lambda words: write(1, f"{words}\n".encode()))
            if asyncio.iscoroutine(played):
                asyncio.run(played)
        except BaseException:
            write(1, f"mistake {traceback.format_exc()!r}\n".encode())
        os._exit(0)


if __name__ == "__main__":
    serve()


# The tests


class Lives:
    def __init__(self, program: subprocess.Popen[str]) -> None:
        self.input: IO[str] = program.stdin or sys.stdin
        self.output: IO[str] = program.stdout or sys.stdin

    def play(
        self, scene: str, folder: Path, die_at: int = 0, kill_after: int = -1, delay: float = 0
    ) -> tuple[list[str], bool]:
        """What one life told, and whether it was killed: by itself, or `delay` seconds after so many lines."""
        folder.mkdir(exist_ok=True)
        self.input.write(json.dumps({"scene": scene, "folder": str(folder), "die_at": die_at}) + "\n")
        self.input.flush()
        told: list[str] = []
        process = 0
        for line in self.output:
            word, _, rest = line.strip().partition(" ")
            assert word != "mistake", rest.replace("\\n", "\n")
            if word == "end":
                return told, rest == str(int(signal.SIGKILL))
            if word == "pid":
                process = int(rest)
            else:
                told.append(line.strip())
            if len(told) == kill_after:
                time.sleep(delay)
                with suppress(ProcessLookupError):  # it has just come to its end
                    os.kill(process, signal.SIGKILL)
                kill_after = -1
        raise AssertionError("the program has ended")


@pytest.fixture(scope="module")
def lives() -> Iterator[Lives]:
    with subprocess.Popen(
        [sys.executable, __file__], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1
    ) as program:
        yield Lives(program)
        assert program.stdin is not None
        program.stdin.close()
        assert program.wait(30) == 0


def numbers(told: Iterable[str], word: str) -> set[int]:
    return {int(line.split()[1]) for line in told if line.startswith(f"{word} ")}


def judge(folder: Path, told: list[str]) -> int:
    """Compare what is in the spool with what was told. Returns how many messages there are."""
    said: list[str] = []
    with Spool(folder, threaded=False) as spool:
        recovered = spool.recover(said.append)
        assert spool.recover(said.append) == recovered
    assert said == []
    there = {int(each.queue_id[7:13]): each for each in recovered}
    files = sorted(path.name for path in (folder / "input").iterdir())
    assert files == sorted(f"{each.queue_id}-{part}" for each in recovered for part in "DH")
    assert not list((folder / "corrupt").iterdir())
    assert not there.keys() & numbers(told, "removed")
    assert there.keys() >= numbers(told, "accepted") - numbers(told, "removing")
    for number, each in there.items():
        wanted = item(number)
        paths = wanted.envelope.forward_paths
        begun, done = (
            {paths[index] for index in indices(told, word, number)} for word in ("finishing", "finished")
        )
        assert done <= each.finished <= begun
        assert each.frozen or number not in numbers(told, "frozen")
        assert replace(each, finished=frozenset(), frozen=False) == wanted
    return len(there)


def indices(told: Iterable[str], word: str, number: int) -> set[int]:
    return {int(line.split()[2]) for line in told if line.startswith(f"{word} {number} ")}


def test_killed_under_load(lives: Lives, tmp_path: Path) -> None:
    chance = random.Random(20261122)
    kills = messages = 0
    for life in range(LIVES):
        folder = tmp_path / str(life)
        told, killed = lives.play(
            "sessions",
            folder,
            kill_after=chance.randrange(45),
            delay=chance.choice((0, chance.uniform(0, 0.003))),
        )
        kills += killed
        if (folder / "lock").exists():  # else it was killed before it began
            messages += judge(folder, told)
    assert kills >= 100
    assert messages > LIVES


def test_killed_at_every_step(lives: Lives, tmp_path: Path) -> None:
    """Of accept, finished, update, write_hints, remove and recover."""
    call, was_killed = 0, True
    hints = set()
    while was_killed:
        call += 1
        folder = tmp_path / str(call)
        with Spool(folder, threaded=False) as spool:
            spool.write_hints("old")
        told, was_killed = lives.play("steps", folder, die_at=call)
        judge(folder, told)
        with Spool(folder, threaded=False) as spool:
            hints.add(spool.read_hints())
    assert call > 45
    assert hints == {"old", "new"}


def test_mbox_killed_at_every_step(lives: Lives, tmp_path: Path) -> None:
    """Each message is there once, however often it broke off; what was there before stays."""
    call, was_killed = 0, True
    while was_killed:
        call += 1
        folder = tmp_path / str(call)
        folder.mkdir()
        before = b"From eve@e.test Sun Nov 22 12:00:00 2026\nSubject: old\n\nbody\n"
        (folder / "box").write_bytes(before)
        (folder / "box").chmod(0o600)
        _, was_killed = lives.play("deliver_mbox", folder, die_at=call)
        lives.play("deliver_mbox", folder, die_at=call % 7)  # half of them break off once more
        lives.play("deliver_mbox", folder)
        assert (folder / "box").read_bytes().startswith(before)
        assert read_mbox(folder / "box") == [b"Subject: old\r\n\r\nbody\r\n", *map(mail, range(4))], call
        judge_of_box = mailbox.mbox(folder / "box")
        assert [message["Subject"] for message in judge_of_box] == ["old", "0", "1", "2", "3"]
        judge_of_box.close()
        append_to_mbox(folder / "box", b"", "", NOON, root=folder, delivery="next")
        assert not (folder / "box.lock").exists(), "a lock that a crash left lasts until the next delivery"
    assert call > 40


def test_maildir_killed_at_every_step(lives: Lives, tmp_path: Path) -> None:
    call, was_killed = 0, True
    while was_killed:
        call += 1
        folder = tmp_path / str(call)
        _, was_killed = lives.play("deliver_maildir", folder, die_at=call)
        lives.play("deliver_maildir", folder, die_at=call % 7)
        lives.play("deliver_maildir", folder)
        assert read_maildir(folder / "box") == list(map(mail, range(2))), call
        assert not list((folder / "box" / "tmp").iterdir())
    assert call > 20
