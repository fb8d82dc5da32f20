"""The student's desk: `work/`, a copy of the notebooks that may be changed and run at will.

    desk.py open [JupyterLab options]   lay the notebooks out, then become JupyterLab
    desk.py shell                       lay them out, then become a terminal inside the lab
    desk.py reset NN                    take notebook NN afresh; the student's version stays beside it

DECIDES    a notebook that is not there is laid out. One whose cells still read as they were laid out follows the
           course when that changes (running it is no change). One that the student has edited is theirs.
KEEPS      work/.lab/laid_out.json: for each notebook, the digest of the version last laid out;
           work/.lab/replaced/: what an update took off the desk.
RULES      nothing of the student's is ever lost. Standard library only, and little of it: `./lab` waits for this.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
import socket
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

# `python -m jupyterlab`, a third faster, without two modules that are taken only if they are there: a grammar of
# international addresses (rfc3987_syntax), slow to build, and httpx's own command line. Nothing here uses them.
JUPYTERLAB = (
    "import sys; sys.modules.update({'rfc3987_syntax': None, 'httpx._main': None}); "
    "from jupyterlab.labapp import main; sys.exit(main())"
)

ROOT = Path(__file__).resolve().parents[1]
FIRST = "00_tour.ipynb"
GLOSSARY = "glossary.md"
LIVE_VIEW = "application/vnd.jupyter.widget-view+json"
PORTS = range(8888, 8888 + 51)  # JupyterLab tries the first and then, at random, its neighbours


def say(words: str) -> None:
    print(f"lab: {words}", file=sys.stderr)


def digest(path: Path) -> str:
    """What the cells of a notebook say, whatever running it has put below them."""
    content = path.read_bytes()
    try:
        cells = json.loads(content)["cells"]
        said = json.dumps([(cell["cell_type"], "".join(cell["source"])) for cell in cells]).encode()
    except (KeyError, TypeError, ValueError):  # no notebook any more: then every byte counts
        said = content
    return hashlib.sha256(said).hexdigest()


def same(one: Path, other: Path) -> bool:
    return other.exists() and one.read_bytes() == other.read_bytes()


def replace(path: Path, content: bytes) -> None:
    """Write a file so that a reader, or a crash, sees all of it or nothing."""
    fresh = path.with_name(f".{path.name}.new")
    fresh.write_bytes(content)
    os.replace(fresh, path)


def unrun(path: Path) -> bytes:
    """A notebook of the course as a student should first see it: no results yet, since they answer the questions.

    What cannot be read as a notebook is laid out as it is.
    """
    content = path.read_bytes()
    try:
        notebook = json.loads(content)
        for cell in notebook["cells"]:
            if cell["cell_type"] == "code":
                cell.update(outputs=[], execution_count=None)
    except (AttributeError, KeyError, TypeError, ValueError):
        return content
    return (json.dumps(notebook, indent=1, ensure_ascii=False) + "\n").encode()


def drop_dead_views(path: Path) -> None:
    """Take live views out of a saved notebook: without their kernel JupyterLab shows an error in their place.

    Each has a static form beside it, which is shown then. What cannot be read as a notebook is left alone.
    """
    content = path.read_bytes()
    if LIVE_VIEW.encode() not in content:
        return
    try:
        notebook = json.loads(content)
        outputs = [output for cell in notebook["cells"] for output in cell.get("outputs", ())]
        for output in outputs:
            if len(output.get("data", ())) > 1:
                output["data"].pop(LIVE_VIEW, None)
    except (AttributeError, KeyError, TypeError, ValueError):
        return
    replace(path, (json.dumps(notebook, indent=1, ensure_ascii=False) + "\n").encode())


@dataclass(frozen=True)
class Desk:
    """The working copy of one checkout."""

    root: Path

    @property
    def source(self) -> Path:
        return self.root / "notebooks"

    @property
    def work(self) -> Path:
        return self.root / "work"

    @property
    def record(self) -> Path:
        return self.work / ".lab" / "laid_out.json"

    def laid_out(self) -> dict[str, str]:
        """For each notebook the digest of the version last laid out; empty when there is no readable record."""
        try:
            known = json.loads(self.record.read_bytes())
        except (FileNotFoundError, ValueError):
            return {}
        return {str(name): str(said) for name, said in known.items()} if isinstance(known, dict) else {}

    def lay_out(self) -> list[str]:
        """Bring the desk up to date; says what the student should know, one line each."""
        self.record.parent.mkdir(parents=True, exist_ok=True)
        before = self.laid_out()
        now: dict[str, str] = {}
        news: list[str] = []
        for course in sorted(self.source.glob("*.ipynb")):
            name, mine, fresh = course.name, self.work / course.name, digest(course)
            if not mine.exists():
                replace(mine, unrun(course))
            elif before.get(name) != fresh and (own := digest(mine)) != fresh:
                if own != before.get(name):
                    now[name] = before.get(name, "")
                    news.append(
                        f"{name} has your changes and is left alone; the course has a newer one: "
                        f"./lab reset {name[:2]} takes it and keeps yours beside it"
                    )
                    continue
                self.put_away(mine)
                replace(mine, unrun(course))
                news.append(f"{name} was brought up to date")
            now[name] = fresh
        for name in sorted(before.keys() - now.keys()):
            if (gone := self.work / name).exists() and digest(gone) == before[name]:
                self.put_away(gone)
                gone.unlink()
                news.append(f"{name} is no longer part of the course and was put away")
        if now != before:
            self.remember(now)
        for mine in self.work.glob("*.ipynb"):
            drop_dead_views(mine)
        glossary = self.root / "docs" / GLOSSARY  # the notebooks point to it
        if glossary.exists() and not same(glossary, self.work / GLOSSARY):
            replace(self.work / GLOSSARY, glossary.read_bytes())
        return news

    def remember(self, laid_out: Mapping[str, str]) -> None:
        replace(self.record, (json.dumps(laid_out, indent=1, sort_keys=True) + "\n").encode())

    def put_away(self, mine: Path) -> None:
        away = self.work / ".lab" / "replaced" / mine.name
        away.parent.mkdir(parents=True, exist_ok=True)
        replace(away, mine.read_bytes())

    def reset(self, wanted: str) -> str:
        """Lay one notebook out afresh; says what was done."""
        course = self.find(wanted)
        self.lay_out()
        mine = self.work / course.name
        if mine.read_bytes() == unrun(course):
            return f"{course.name} is as the course has it"
        number = 1
        while (aside := self.work / f"{mine.stem}.mine-{number}.ipynb").exists():
            number += 1
        os.replace(mine, aside)
        replace(mine, unrun(course))
        self.remember({**self.laid_out(), course.name: digest(course)})
        return f"{course.name} is fresh again; yours is kept as {aside.name}"

    def find(self, wanted: str) -> Path:
        """The notebook that `3`, `03`, `03_queue` or `03_queue.ipynb` means."""
        every = sorted(self.source.glob("*.ipynb"))
        start = f"{int(wanted):02}_" if wanted.isdecimal() else wanted
        if start and len(found := [path for path in every if path.name.startswith(start)]) == 1:
            return found[0]
        names = ", ".join(path.stem for path in every)
        raise SystemExit(f"lab: which notebook is {wanted!r}? There are: {names}")


def environment(desk: Desk, outer: Mapping[str, str]) -> dict[str, str]:
    """The course's JupyterLab: set up from labkit/jupyter besides ~/.jupyter, its open tabs kept on the desk."""
    ours = str(desk.root / "labkit" / "jupyter")
    return {
        **outer,
        "JUPYTER_CONFIG_PATH": os.pathsep.join(filter(None, [outer.get("JUPYTER_CONFIG_PATH"), ours])),
        "JUPYTERLAB_WORKSPACES_DIR": str(desk.work / ".lab" / "workspaces"),
    }


def jupyter_arguments(desk: Desk, options: list[str], *, root_user: bool) -> list[str]:
    """What to call JupyterLab with; the student's own options come last and win."""
    first = [f"--LabApp.default_url=/lab/tree/{FIRST}"] if (desk.work / FIRST).exists() else []
    return ["-c", JUPYTERLAB, *(["--allow-root"] if root_user else []), *first, *options]


def a_port_is_free() -> bool:
    """Whether JupyterLab will find a port; one free port is enough to know."""
    for port in PORTS:
        with socket.socket() as trial:
            trial.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                trial.bind(("127.0.0.1", port))
            except OSError:
                continue
            return True
    return False


def open_lab(desk: Desk, options: list[str]) -> None:
    """Become JupyterLab on the desk."""
    for news in desk.lay_out():
        say(news)
    if not any("port" in option for option in options) and not a_port_is_free():
        raise SystemExit(
            f"lab: ports {PORTS[0]} to {PORTS[-1]} are all in use; close other JupyterLabs, "
            "or choose a port: ./lab --port=9999"
        )
    os.chdir(desk.work)
    arguments = jupyter_arguments(desk, options, root_user=os.geteuid() == 0)
    os.execve(sys.executable, [sys.executable, *arguments], environment(desk, os.environ))


def open_shell(desk: Desk, options: list[str]) -> None:
    """Become a terminal inside the lab, on the desk."""
    desk.lay_out()
    os.chdir(desk.work)
    programs = os.path.dirname(sys.executable)
    path = os.pathsep.join([programs, os.environ.get("PATH", os.defpath)])
    outer = {**os.environ, "PATH": path, "VIRTUAL_ENV": os.path.dirname(programs)}
    os.execve(sys.executable, [sys.executable, "-m", "labkit.cli", "shell", *options], outer)


def main(arguments: list[str], desk: Desk) -> None:
    try:
        match arguments:
            case ["open", *options]:
                open_lab(desk, options)
            case ["shell", *options]:
                open_shell(desk, options)
            case ["reset", wanted]:
                say(desk.reset(wanted))
            case _:
                raise SystemExit("usage: desk.py open [options] | shell [options] | reset NN")
    except OSError as problem:
        where = problem.filename or desk.work
        if problem.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
            cure = "move the course to a folder of your own and start again there"
        elif problem.errno in (errno.ENOSPC, errno.EDQUOT):
            cure = "free some space and start again"
        else:
            cure = "move it out of the way and start again"
        raise SystemExit(f"lab: cannot write {where} ({problem.strerror}): {cure}") from None


if __name__ == "__main__":
    main(sys.argv[1:], Desk(ROOT))
