"""The student's working copy: it follows the course, and nothing of the student's is lost."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import desk
import pytest

ROOT = Path(__file__).resolve().parents[2]


def write(path: Path, *sources: str, output: str = "") -> None:
    shown = [{"name": "stdout", "output_type": "stream", "text": [output]}] if output else []
    cells = [
        {
            "cell_type": "code",
            "execution_count": 1,
            "id": str(n),
            "metadata": {},
            "outputs": shown,
            "source": [source],
        }
        for n, source in enumerate(sources)
    ]
    path.write_text(json.dumps({"cells": cells, "metadata": {}, "nbformat": 4, "nbformat_minor": 5}))


def as_laid_out(course: desk.Desk, name: str) -> bytes:
    return desk.unrun(course.source / name)


@pytest.fixture
def course(tmp_path: Path) -> desk.Desk:
    here = desk.Desk(tmp_path / "the course")
    here.source.mkdir(parents=True)
    write(here.source / "00_tour.ipynb", "1")
    write(here.source / "03_queue.ipynb", "3")
    assert here.lay_out() == []
    return here


def test_first_day(course: desk.Desk) -> None:
    assert sorted(path.name for path in course.work.glob("*")) == [".lab", "00_tour.ipynb", "03_queue.ipynb"]
    assert (course.work / "03_queue.ipynb").read_bytes() == as_laid_out(course, "03_queue.ipynb")


def test_nothing_new_says_nothing_and_writes_nothing(course: desk.Desk) -> None:
    before = {path: path.stat().st_mtime_ns for path in course.work.rglob("*")}
    assert course.lay_out() == []
    assert {path: path.stat().st_mtime_ns for path in course.work.rglob("*")} == before


def test_an_untouched_notebook_follows_the_course(course: desk.Desk) -> None:
    write(course.source / "03_queue.ipynb", "three")
    (news,) = course.lay_out()
    assert news == "03_queue.ipynb was brought up to date"
    assert (course.work / "03_queue.ipynb").read_bytes() == as_laid_out(course, "03_queue.ipynb")
    assert course.lay_out() == []


def test_running_a_notebook_is_no_change(course: desk.Desk) -> None:
    write(course.work / "03_queue.ipynb", "3", output="seen")
    ran = (course.work / "03_queue.ipynb").read_bytes()
    assert course.lay_out() == []
    assert (course.work / "03_queue.ipynb").read_bytes() == ran

    write(course.source / "03_queue.ipynb", "three")
    assert course.lay_out() == ["03_queue.ipynb was brought up to date"]
    assert (course.work / ".lab" / "replaced" / "03_queue.ipynb").read_bytes() == ran


def test_a_changed_notebook_stays_and_the_student_is_told(course: desk.Desk) -> None:
    write(course.work / "03_queue.ipynb", "my own")
    mine = (course.work / "03_queue.ipynb").read_bytes()
    assert course.lay_out() == []

    write(course.source / "03_queue.ipynb", "three")
    for _ in range(2):
        (news,) = course.lay_out()
        assert "has your changes" in news
        assert "./lab reset 03" in news
        assert (course.work / "03_queue.ipynb").read_bytes() == mine

    course.reset("03")
    assert course.lay_out() == []


def test_without_its_record_nothing_is_overwritten(course: desk.Desk) -> None:
    write(course.work / "03_queue.ipynb", "my own")
    course.record.write_text("{ torn")
    (news,) = course.lay_out()
    assert "03_queue.ipynb has your changes" in news
    assert desk.digest(course.work / "03_queue.ipynb") != desk.digest(course.source / "03_queue.ipynb")


def test_a_deleted_notebook_comes_back(course: desk.Desk) -> None:
    (course.work / "00_tour.ipynb").unlink()
    course.lay_out()
    assert (course.work / "00_tour.ipynb").exists()


def test_a_notebook_that_left_the_course(course: desk.Desk) -> None:
    write(course.source / "04_loops.ipynb", "4")
    course.lay_out()
    write(course.work / "04_loops.ipynb", "my own")
    for name in ("03_queue.ipynb", "04_loops.ipynb"):
        (course.source / name).unlink()
    assert course.lay_out() == ["03_queue.ipynb is no longer part of the course and was put away"]
    assert not (course.work / "03_queue.ipynb").exists()
    assert (course.work / ".lab" / "replaced" / "03_queue.ipynb").exists()
    assert (course.work / "04_loops.ipynb").exists()


def test_a_file_that_is_no_notebook_any_more_is_a_change(course: desk.Desk) -> None:
    (course.work / "03_queue.ipynb").write_bytes(b"\xff not JSON")
    write(course.source / "03_queue.ipynb", "three")
    course.lay_out()
    assert (course.work / "03_queue.ipynb").read_bytes() == b"\xff not JSON"


def test_reset_keeps_every_version(course: desk.Desk) -> None:
    for number, words in enumerate(("first", "second"), start=1):
        write(course.work / "03_queue.ipynb", words)
        said = course.reset("3")
        assert said.endswith(f"yours is kept as 03_queue.mine-{number}.ipynb")
        assert (course.work / "03_queue.ipynb").read_bytes() == as_laid_out(course, "03_queue.ipynb")
    kept = sorted(course.work.glob("03_queue.mine-*.ipynb"))
    assert [json.loads(path.read_bytes())["cells"][0]["source"] for path in kept] == [["first"], ["second"]]
    assert course.reset("03") == "03_queue.ipynb is as the course has it"


@pytest.mark.parametrize("wanted", ["0", "00", "00_tour", "00_tour.ipynb"])
def test_reset_knows_a_notebook_by_many_names(wanted: str, course: desk.Desk) -> None:
    assert course.find(wanted).name == "00_tour.ipynb"


@pytest.mark.parametrize("wanted", ["7", "tour", "0_", "", "../x"])
def test_reset_names_the_choice(wanted: str, course: desk.Desk) -> None:
    with pytest.raises(SystemExit, match="There are: 00_tour, 03_queue"):
        course.reset(wanted)


def test_a_desk_that_cannot_be_written(tmp_path: Path) -> None:
    here = desk.Desk(tmp_path)
    here.source.mkdir()
    here.work.write_text("a file in the way")
    with pytest.raises(SystemExit, match=r"^lab: cannot write .*work.*: move it out of the way"):
        desk.main(["open"], here)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_desk_of_somebody_else(course: desk.Desk) -> None:
    write(course.source / "03_queue.ipynb", "three")
    course.work.chmod(0o500)
    try:
        with pytest.raises(
            SystemExit, match=r"^lab: cannot write .*: move the course to a folder of your own"
        ):
            desk.main(["reset", "03"], course)
    finally:
        course.work.chmod(0o700)


def test_jupyter_is_called_with_the_students_words_last(course: desk.Desk) -> None:
    *_, opens, port = desk.jupyter_arguments(course, ["--port=9"], root_user=False)
    assert (opens, port) == ("--LabApp.default_url=/lab/tree/00_tour.ipynb", "--port=9")
    assert "--allow-root" in desk.jupyter_arguments(course, [], root_user=True)


def test_no_free_port(course: desk.Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        monkeypatch.setattr(desk, "PORTS", range(taken.getsockname()[1], taken.getsockname()[1] + 1))
        assert not desk.a_port_is_free()
        with pytest.raises(SystemExit, match="in use; close other JupyterLabs, or choose a port"):
            desk.main(["open"], course)


@pytest.fixture
def running(tmp_path: Path) -> Iterator[dict[str, Any]]:
    """The real JupyterLab on a desk of its own, in a folder whose name has a blank, with an empty home."""
    root = tmp_path / "the course"
    for folder in ("tools", "labkit/jupyter/labconfig", "notebooks"):
        (root / folder).mkdir(parents=True)
    for name in (
        "tools/desk.py",
        *(str(p.relative_to(ROOT)) for p in (ROOT / "labkit/jupyter").rglob("*.json")),
    ):
        (root / name).write_bytes((ROOT / name).read_bytes())
    write(root / "notebooks" / "00_tour.ipynb", "1")
    home = tmp_path / "home"
    home.mkdir()
    environment = {name: value for name, value in os.environ.items() if not name.startswith("JUPYTER")}
    environment |= {"HOME": str(home), "JUPYTER_RUNTIME_DIR": str(tmp_path / "run")}
    environment["PYTHONDONTWRITEBYTECODE"] = "1"
    with (tmp_path / "log").open("wb") as log:
        server = subprocess.Popen(
            [
                sys.executable,
                "tools/desk.py",
                "open",
                "--no-browser",
                "--port=0",
                "--IdentityProvider.token=t",
            ],
            cwd=root,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
        )
    try:
        known = tmp_path / "run" / f"jpserver-{server.pid}.json"
        until = time.monotonic() + 60
        while not known.exists() or not known.read_text().endswith("}"):
            assert server.poll() is None, (tmp_path / "log").read_text()
            assert time.monotonic() < until, (tmp_path / "log").read_text()
            time.sleep(0.05)
        yield {**json.loads(known.read_text()), "home": home, "root": root}
    finally:
        server.terminate()
        try:
            server.wait(10)
        except subprocess.TimeoutExpired:  # told to stop amid a request, it may wait for a thread for ever
            server.kill()
            server.wait()


def test_jupyterlab_opens_quietly(running: dict[str, Any]) -> None:
    def get(path: str) -> Any:
        request = urllib.request.Request(running["url"] + path, headers={"Authorization": "token t"})
        with urllib.request.urlopen(request, timeout=20) as answer:
            return answer.url, answer.read()

    assert running["url"].startswith("http://127.0.0.1:"), "loopback only"
    assert running["root_dir"] == str(running["root"] / "work")
    landed, _ = get("")
    assert "/lab/tree/00_tour.ipynb" in landed
    settings = {}
    for plugin in ("apputils-extension:notification", "extensionmanager-extension:plugin"):
        _, answer = get(f"lab/api/settings/@jupyterlab/{plugin}")
        settings |= {key: of["default"] for key, of in json.loads(answer)["schema"]["properties"].items()}
    assert (settings["fetchNews"], settings["checkForUpdates"], settings["enabled"]) == (
        "false",
        False,
        False,
    )
    assert not (running["home"] / ".jupyter" / "lab").exists()


def test_views_whose_kernel_is_gone_are_taken_out(course: desk.Desk) -> None:
    mine = course.work / "03_queue.ipynb"
    notebook = json.loads(mine.read_bytes())
    data = {desk.LIVE_VIEW: {"model_id": "1"}, "text/html": "<p>café</p>", "text/plain": "cafe"}
    shown = [{"output_type": "execute_result", "data": data, "metadata": {}, "execution_count": 1}]
    notebook["cells"][0]["outputs"] = shown
    mine.write_text(json.dumps(notebook))
    said = desk.digest(mine)
    course.lay_out()
    (output,) = json.loads(mine.read_bytes())["cells"][0]["outputs"]
    assert output["data"] == {"text/html": "<p>café</p>", "text/plain": "cafe"}
    assert desk.digest(mine) == said, "that is no change of the student's"
    mine.write_text(f"not a notebook {desk.LIVE_VIEW}")
    course.lay_out()
    assert mine.read_text() == f"not a notebook {desk.LIVE_VIEW}", "what cannot be read is left alone"


def test_results_are_not_laid_out_but_the_glossary_is(course: desk.Desk) -> None:
    write(course.source / "05_virtual.ipynb", "1 + 1", output="the answer")
    (course.root / "docs").mkdir()
    (course.root / "docs" / "glossary.md").write_text("MTA")
    course.lay_out()
    (cell,) = json.loads((course.work / "05_virtual.ipynb").read_bytes())["cells"]
    assert (cell["outputs"], cell["execution_count"]) == ([], None), "the answers are for the student to find"
    assert (course.work / "glossary.md").read_text() == "MTA"
