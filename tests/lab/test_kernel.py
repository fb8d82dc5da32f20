"""A world in a real Jupyter kernel: run a cell again, stop a cell, restart the kernel; nothing is left behind."""

from __future__ import annotations

import json
import os
import re
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

CELL = """
import os
from labkit import partners
world = await partners(network="loopback").start()
print(world.network.claim(), world.folder)
"""
SEND = """
sent = await world.laptop.send("bob@st2.sne21.test", "Hello", "Does this arrive?")
print(sent.queue_id is not None, len(world.partner.mailbox("bob")))
"""
PATIENCE = 60
INTERRUPT = 1.5  # seconds from the stop button to the end of the cell


class Notebook:
    """A kernel and the cells that are run in it."""

    def __init__(self, manager: Any, client: Any) -> None:
        self.manager, self.client = manager, client

    def run(self, cell: str) -> str:
        """Run a cell; what it printed. A failure fails the test."""
        printed = []

        def hear(message: dict[str, Any]) -> None:
            if message["msg_type"] == "stream":
                printed.append(message["content"]["text"])

        end = time.monotonic() + PATIENCE
        reply = {"status": "aborted"}
        while (
            reply["status"] == "aborted" and time.monotonic() < end
        ):  # what comes right behind a stopped cell
            reply = self.client.execute_interactive(cell, timeout=PATIENCE, output_hook=hear)["content"]
        assert reply["status"] == "ok", "\n".join(reply.get("traceback", ()))
        return "".join(printed)

    def interrupt(self, cell: str) -> tuple[float, str]:
        """Start a cell that waits, press stop; how long it took to end, and how it ended."""
        asked = self.client.execute(cell)
        self.until_heard(lambda m: m["msg_type"] == "stream" and "waiting" in m["content"]["text"], asked)
        time.sleep(0.3)
        pressed = time.monotonic()
        self.manager.interrupt_kernel()
        reply = self.client.get_shell_msg(timeout=PATIENCE)
        took = time.monotonic() - pressed
        assert reply["parent_header"]["msg_id"] == asked
        return took, reply["content"].get("ename", reply["content"]["status"])

    def until_heard(self, wanted: Any, asked: str) -> None:
        end = time.monotonic() + PATIENCE
        while time.monotonic() < end:
            message = self.client.get_iopub_msg(timeout=PATIENCE)
            if message["parent_header"].get("msg_id") == asked and wanted(message):
                return
        raise AssertionError("the cell never began to wait")

    @property
    def pid(self) -> int:
        return int(self.run("print(os.getpid())"))


@pytest.fixture(scope="module")
def notebook(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Notebook]:
    from jupyter_client.manager import KernelManager

    home = tmp_path_factory.mktemp("jupyter")
    manager = KernelManager(kernel_name="python3", connection_file=str(home / "kernel.json"))
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("JUPYTER", "PYTEST"))}
    manager.start_kernel(
        cwd=str(home),
        env={**clean, "IPYTHONDIR": str(home), "JUPYTER_CONFIG_DIR": str(home), "TMPDIR": str(home)},
    )
    client = manager.client()
    client.start_channels()
    try:
        client.wait_for_ready(timeout=PATIENCE)
        yield Notebook(manager, client)
    finally:
        client.stop_channels()
        manager.shutdown_kernel(now=True)
        manager.cleanup_resources()


def sockets(pid: int) -> dict[str, str]:
    """The sockets of IPv4 that a process holds in the kernel's tables: inode -> "udp 127.0.0.1:4000"."""
    mine = set()
    for file in Path(f"/proc/{pid}/fd").iterdir():
        try:
            mine.add(os.readlink(file))
        except FileNotFoundError:
            continue
    return {inode: place for inode, place in all_sockets().items() if f"socket:[{inode}]" in mine}


def all_sockets() -> dict[str, str]:
    found = {}
    for table in ("tcp", "udp"):
        for line in Path(f"/proc/net/{table}").read_text("ascii").splitlines()[1:]:
            columns = line.split()
            numbers = reversed(re.findall("..", columns[1][:8]))
            address = ".".join(str(int(number, 16)) for number in numbers)
            found[columns[9]] = f"{table} {address}:{int(columns[1][9:], 16)}"
    return found


def lab_places(pid: int) -> list[str]:
    """Where the lab of this kernel listens; not the kernel's own five ports, which are on plain 127.0.0.1."""
    return sorted(place for place in sockets(pid).values() if re.match(r"\w+ 127\.(?!0\.0\.1:)", place))


def bases(pid: int) -> list[int]:
    """The bases that are held: listeners on 127.0.0.1 below the ports that systems hand out."""
    ports = [
        int(place.rpartition(":")[2]) for place in sockets(pid).values() if place.startswith("tcp 127.0.0.1:")
    ]
    return [port for port in ports if 4000 <= port < 32768 and (port - 4000) % 509 == 0]


def children(pid: int) -> list[int]:
    return [int(word) for word in Path(f"/proc/{pid}/task/{pid}/children").read_text("ascii").split()]


def test_running_the_cell_again_ends_the_former_world(notebook: Notebook) -> None:
    first_base, first_folder = notebook.run(CELL).split()
    pid = notebook.pid
    assert bases(pid) == [int(first_base)]
    places = lab_places(pid)
    assert len(places) == 4, "two hosts, and the nameserver by TCP and UDP"
    assert notebook.run(SEND) == "True 1\n"
    notebook.run("first = world")
    base, folder = notebook.run(CELL).split()
    assert bases(pid) == [int(base)], "one base is held"
    assert len(lab_places(pid)) == 4
    assert notebook.run("print(first.is_running, world.is_running, first is world)") == "False True False\n"
    assert not Path(first_folder).exists()
    assert Path(folder).exists()
    assert notebook.run(SEND) == "True 1\n", "a fresh world"
    assert notebook.run("print(len(first.journal) > 0)") == "True\n", "the former one can still be read"
    notebook.run("await world.stop()")
    assert (bases(pid), lab_places(pid)) == ([], [])
    assert not Path(folder).exists()
    assert notebook.run("import gc; gc.collect(); print('quiet')") == "quiet\n", (
        "nothing is reported as unclosed"
    )


def test_worlds_alongside_stay(notebook: Notebook) -> None:
    notebook.run(CELL)
    notebook.run("other = await partners(network='loopback', alongside=True).start()")
    pid = notebook.pid
    assert len(bases(pid)) == 2
    assert notebook.run("print(world.is_running, other.is_running)") == "True True\n"
    assert notebook.run(SEND) == "True 1\n"
    notebook.run(CELL)
    assert notebook.run("print(world.is_running, other.is_running)") == "True True\n"
    notebook.run("await other.stop(); await world.stop()")
    assert bases(pid) == []


@pytest.mark.parametrize(
    "waiting, because",
    [
        ("await asyncio.sleep(40)", "the loop itself has nothing to do"),
        ("await asyncio.Event().wait()", "for ever"),
        (
            "await world.laptop.send('bob@st2.sne21.test', host='silent')",
            "a server outside that says nothing",
        ),
        ("await world.laptop.send('bob@st2.sne21.test')", "our host waits for such a server"),
    ],
)
@pytest.mark.alone
def test_the_stop_button(notebook: Notebook, waiting: str, because: str) -> None:
    notebook.run(CELL + "import asyncio, labkit.net.smtp_client as client; client.PATIENCE = 2.0")
    notebook.run(
        "class Mute(asyncio.Protocol): pass\n"
        "await world.partner.stop()\n"
        "listener = await world.network.listen(world.partner.address, 25, lambda peer: Mute())\n"
        "world.hosts['silent'] = world.partner"
    )
    took, how = notebook.interrupt(f"print('waiting', flush=True)\n{waiting}")
    assert how in ("CancelledError", "KeyboardInterrupt"), because
    print(f"\nstopped {took * 1000:.0f} ms after the button: {because}")
    assert took <= INTERRUPT
    notebook.run("listener.close(); del world.hosts['silent']; await world.partner.start()")
    assert notebook.run(SEND).startswith("True"), "the world goes on"
    assert notebook.run("await world.advance(days=1); print(world.mine.queue)") == "()\n"
    notebook.run("await world.stop(); client.PATIENCE = 30.0")


@pytest.mark.parametrize("now", [False, True], ids=["restart", "kill"])
def test_restarting_the_kernel(notebook: Notebook, now: bool) -> None:
    folder = notebook.run(CELL).split()[1]
    assert notebook.run(SEND) == "True 1\n"
    pid = notebook.pid
    held = set(sockets(pid))
    offspring = children(pid)
    assert len(bases(pid)) == 1
    notebook.manager.restart_kernel(now=now)
    notebook.client.wait_for_ready(timeout=PATIENCE)
    assert not Path(f"/proc/{pid}").exists()
    assert not [each for each in offspring if Path(f"/proc/{each}").exists()]
    assert not held & set(all_sockets()), "all ports are free again"
    if not now:  # a killed process cannot tidy up
        assert not Path(folder).exists()
    assert notebook.run(CELL).split()[1] != folder
    assert notebook.run(SEND) == "True 1\n"
    notebook.run("await world.stop()")


def test_a_journal_in_the_working_copy_outlives_the_kernel(notebook: Notebook) -> None:
    """What the report notebook reads: .lab/ beside the notebooks. A fresh world begins a fresh journal."""
    notebook.run("import os; os.makedirs('.lab', exist_ok=True)")
    home = Path(notebook.run("print(os.getcwd())").strip())
    notebook.run(CELL)
    notebook.run(SEND)
    notebook.run("await world.stop()")
    (journal,) = (home / ".lab").glob("*.journal")
    kinds = [json.loads(line)["kind"] for line in journal.read_text().splitlines()]
    assert kinds.count("delivered") == 2
    assert list((home / ".lab").iterdir()) == [journal], "the doorplate is gone"
    notebook.run(CELL)
    notebook.run("await world.stop()")
    assert "delivered" not in journal.read_text()
    journal.unlink()
    (home / ".lab").rmdir()
