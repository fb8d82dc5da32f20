"""bogofilter with a word list of its own: trained by the student, asked like any other scorer.

WHAT       `Bogofilter(folder)`: `train(ham, spam)`, `score(message)`; as a scorer: `host.serve_spamd(Bogofilter(f))`.
RULES      the score is bogofilter's spamicity (0 to 1), the threshold its cutoff (0.99 by default; above 0.45 it is
           not sure). The word list is in `folder`, nothing of the machine's or the user's is read or written.
READ NEXT  scorers.py
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Iterable
from pathlib import Path

from labkit.lab.scorers import FilterFailed
from labkit.mail.scored import Scored

PATIENCE = 60.0  # seconds of real time
THRESHOLD = 0.99
HOW_TO_INSTALL = "bogofilter is not installed: apt install bogofilter"
_SAID = re.compile(r"^([SHU])\s+([0-9.eE+-]+)\s*$")
_FROM = re.compile(rb"(?m)^(>*From )")


class BogofilterMissing(FilterFailed):
    """There is no bogofilter on this machine; the text says how to get it."""


def find_bogofilter() -> Path:
    """Raises BogofilterMissing."""
    found = shutil.which("bogofilter")
    if found is None:
        raise BogofilterMissing(HOW_TO_INSTALL)
    return Path(found)


class Bogofilter:
    """The installed program, with its word list in `folder`. Raises BogofilterMissing."""

    name = "bogofilter"

    def __init__(self, folder: str | Path, threshold: float = THRESHOLD) -> None:
        self.program = find_bogofilter()
        self.folder = Path(folder)
        self.folder.mkdir(parents=True, exist_ok=True)
        self.threshold = threshold

    def __repr__(self) -> str:
        return f"<bogofilter, {'trained' if self.is_trained else 'not trained'}>"

    @property
    def is_trained(self) -> bool:
        return any(self.folder.glob("wordlist.*"))

    def train(self, ham: Iterable[bytes] = (), spam: Iterable[bytes] = ()) -> None:
        """Let it learn from these messages. Raises FilterFailed."""
        for flag, messages in (("-n", ham), ("-s", spam)):
            box = b"".join(_boxed(message) for message in messages)
            if box:
                self._run(["-M", flag], box, {0})

    def score(self, message: bytes) -> Scored:
        """What it says of one message. Raises FilterFailed."""
        return self.score_all([message])[0]

    __call__ = score

    def score_all(self, messages: Iterable[bytes]) -> list[Scored]:
        """The same for many, with one run of the program."""
        several = list(messages)
        if not several:
            return []
        if not self.is_trained:
            raise FilterFailed("bogofilter has learned nothing yet: call train(ham, spam) first")
        said = self._run(["-M", "-T"], b"".join(map(_boxed, several)), {0, 1, 2}).splitlines()
        found = [match for match in map(_SAID.match, said) if match is not None]
        if len(found) != len(several):
            raise FilterFailed(f"bogofilter judged {len(found)} of {len(several)} messages")
        return [self._scored(match[1], float(match[2])) for match in found]

    def _scored(self, verdict: str, spamicity: float) -> Scored:
        word = {"S": "spam", "H": "ham"}.get(verdict, "unsure")
        report = f"bogofilter: {word}, spamicity {spamicity:.6f}\n"
        return Scored(spamicity, self.threshold, report, (f"BOGOFILTER_{word.upper()}",))

    def _run(self, words: list[str], stdin: bytes, good: set[int]) -> str:
        command = [
            str(self.program),
            "-C",
            "-d",
            str(self.folder),
            "-y",
            "0",
            "-o",
            f"{self.threshold:g},0.45",
            *words,
        ]
        environment = {"PATH": os.environ.get("PATH", os.defpath), "HOME": str(self.folder), "LC_ALL": "C"}
        try:
            done = subprocess.run(
                command, input=stdin, capture_output=True, env=environment, timeout=PATIENCE, check=False
            )
        except (OSError, subprocess.TimeoutExpired) as problem:
            raise FilterFailed(f"bogofilter does not run: {problem}") from problem
        if done.returncode not in good:
            raise FilterFailed(f"bogofilter fails: {done.stderr.decode('utf-8', 'replace').strip()[-300:]}")
        return done.stdout.decode("latin-1")


def _boxed(message: bytes) -> bytes:
    """As one message of a mbox."""
    text = _FROM.sub(rb">\1", message.replace(b"\r\n", b"\n"))
    return b"From MAILER-DAEMON Thu Jan 01 00:00:00 1970\n" + text.rstrip(b"\n") + b"\n\n"
