"""Run a program that reads a message.

WHAT       `run` gives it octets and a time; it comes back with the exit status and what the program said.
DECIDES    it is the leader of a process group of its own: when its time is over, or it says too much, that group is
           killed, and nobody else. It inherits nothing but the variables it is given.
LAB        a host of the lab has a folder for a disk: words that are paths below /etc, /home, /var … lead there. Other
           paths are this machine's, as its programs are.
SAFE       only for hosts that permit programs: who asks has looked
READ NEXT  the room mta
"""

from __future__ import annotations

import asyncio
import os
import re
import signal
import stat
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

DISK = ("etc", "home", "opt", "root", "run", "srv", "tmp", "var")  # absolute paths there are the host's own
OWN_PATH = re.compile(
    rf"(?<![\w.$}}/^])/(?=(?:{'|'.join(DISK)})(?:/|[\s:;,)}}\"']|$))"
)  # a regex begins with ^
NO_EXEC = 127
TOO_MUCH = b"\n\n*** Too much output - remainder discarded ***\n"


def on_disk(text: str, root: Path) -> str:
    """The same text, where paths of the host lead to its folder."""
    return text if root == Path("/") else OWN_PATH.sub(lambda found: f"{root}/", text)


def find(program: str, path: Sequence[str], root: Path) -> str | None:
    """Where a program is: an absolute path is taken as it is, another name is looked for on the path."""
    if program.startswith("/"):
        return on_disk(program, root)
    for folder in path:
        place = on_disk(f"{folder}/{program}", root)
        with suppress(OSError, ValueError):
            if stat.S_ISREG(os.stat(place).st_mode):
                return place
    return None


async def run(
    program: str,
    words: Sequence[str],
    octets: bytes,
    *,
    environment: Mapping[str, str],
    directory: str,
    root: Path,
    umask: int,
    timeout: float,
    most_output: int,
) -> tuple[int | None, bytes, bool]:
    """Run `program`, called `words`. Raises OSError if no process can be made.

    Returns its exit status (minus the signal that ended it; None: its time was over), its output, and whether it did
    not read everything in time.
    """
    place = on_disk(directory, root)
    values = {name: on_disk(value, root) if name == "HOME" else value for name, value in environment.items()}
    try:
        process = await asyncio.create_subprocess_exec(
            words[0],
            *(on_disk(word, root) for word in words[1:]),
            executable=program,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
            env=values,
            cwd=place if os.path.isdir(place) else str(root),
            umask=umask,
            start_new_session=True,
        )
    except (FileNotFoundError, PermissionError, NotADirectoryError, ValueError):
        return NO_EXEC, b"", False
    except OSError as problem:
        if problem.errno is not None and os.strerror(problem.errno).startswith("Exec format"):
            return NO_EXEC, b"", False
        raise
    output = asyncio.ensure_future(_heard(process, most_output))
    writing = asyncio.ensure_future(_written(process, octets))
    try:
        limit = timeout if timeout > 0 else None
        await asyncio.wait_for(process.wait(), limit)
        await asyncio.wait_for(asyncio.shield(output), 10)
        status, said = process.returncode, output.result()
    except (TimeoutError, asyncio.TimeoutError):
        _kill(process)
        status, said = (process.returncode, b"") if process.returncode is not None else (None, b"")
    except BaseException:
        _kill(process)
        raise
    finally:
        was_written = writing.done()
        for task in (writing, output):
            task.cancel()
        await asyncio.gather(writing, output, return_exceptions=True)
        with suppress(ProcessLookupError, asyncio.TimeoutError):
            await asyncio.wait_for(process.wait(), 10)
        _close(process)
    return status, said, status is None and not was_written


async def _written(process: asyncio.subprocess.Process, octets: bytes) -> None:
    """Who does not want to read all of it need not."""
    assert process.stdin is not None
    with suppress(BrokenPipeError, ConnectionResetError):
        process.stdin.write(octets)
        await process.stdin.drain()
        process.stdin.close()
        await process.stdin.wait_closed()


async def _heard(process: asyncio.subprocess.Process, most: int) -> bytes:
    assert process.stdout is not None
    said = b""
    while piece := await process.stdout.read(65536):
        said += piece
        if len(said) > most:
            _kill(process)
            return said + TOO_MUCH
    return said


def _close(process: asyncio.subprocess.Process) -> None:
    """Its pipes, which a program may have handed on to another: asyncio itself waits until the last holder is gone."""
    process._transport.close()  # type: ignore[attr-defined]  # there is no public way


def _kill(process: asyncio.subprocess.Process) -> None:
    """The program and what it has started."""
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)
