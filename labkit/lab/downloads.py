"""Seven downloads of one small program, some of them traps: their signatures, keys, digests and origins.

WHAT       `downloads()` gives the course's seven. `verify(n)` asks gpg and judges; `keyring()` is `gpg --list-keys`;
           `card()` is what stands on the paper that came by another way.
RULES      gpg does the checking. Where it is missing, its status lines for these very files are read from
           gpg.json, where they were recorded (a test compares them with gpg's own); the verdict is made from
           them in the same way. `tool` says by name which of the two it was.
           Verdicts are not stored anywhere: each is made from gpg's lines and the fingerprints you compared.
STANDARDS  RFC 9580 §5.2 (signatures), §5.5.4 (fingerprints)
READ NEXT  own_exim.py
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Any

from labkit.lab.data import data_path
from labkit.net.programs.exim_source import Hole, known_holes
from labkit.net.programs.openpgp import (
    Cause,
    GpgMissing,
    Key,
    KeyRing,
    Outcome,
    Verdict,
    as_fingerprint,
    in_groups,
    judge,
)

__all__ = [
    "Cause",
    "Checked",
    "Download",
    "Downloads",
    "GpgMissing",
    "Hole",
    "Key",
    "Outcome",
    "Verdict",
    "as_fingerprint",
    "card",
    "downloads",
    "in_groups",
    "known_holes",
    "tool",
]

ARCHIVE = "pigeon-1.4.tar.gz"
SIGNATURE = f"{ARCHIVE}.asc"
SAID = "gpg.json"


@dataclass(frozen=True, slots=True)
class Download:
    """One folder of what a server offered: the archive, its signature, its digest, perhaps a file of keys."""

    number: int
    folder: Path

    @property
    def archive(self) -> Path:
        return self.folder / ARCHIVE

    @property
    def signature(self) -> Path:
        return self.folder / SIGNATURE

    @property
    def origin(self) -> str:
        """The address it was taken from."""
        return (self.folder / "ORIGIN").read_text("utf-8").strip()

    @property
    def keys_offered(self) -> Path | None:
        """The file of keys that the same server offers beside the archive."""
        file = self.folder / "KEYS"
        return file if file.exists() else None

    @property
    def digest(self) -> str:
        """What `sha256sum` prints for the archive."""
        return hashlib.sha256(self.archive.read_bytes()).hexdigest()

    @property
    def digest_offered(self) -> str:
        """What the server's own SHA256SUMS says of it."""
        return (self.folder / "SHA256SUMS").read_text("ascii").split()[0]


@dataclass(frozen=True, slots=True)
class Checked:
    """A signature that gpg was asked about: its words, and the verdict made from them."""

    download: Download
    command: str
    verdict: Verdict
    compared: tuple[str, ...] = ()  # the fingerprints it was judged by


@dataclass(frozen=True, slots=True)
class _Said:
    """What gpg said: its exit code, its status lines, its words for people."""

    exit_code: int
    status: tuple[str, ...]
    words: str


class Downloads:
    """The seven, with the keys of a keyserver, to which anybody may send any key."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.all = tuple(
            Download(int(place.name), place)
            for place in sorted((folder / "downloads").iterdir(), key=lambda place: int(place.name))
        )
        self._keys = [folder / "keyserver.asc"]
        self._heard: dict[str, dict[tuple[int, bool], _Said]] = {}
        self._rings: dict[str, tuple[Key, ...]] = {}

    def __getitem__(self, number: int) -> Download:
        for each in self.all:
            if each.number == number:
                return each
        raise KeyError(f"there is no download {number}; there are 1 to {len(self.all)}")

    def refresh(self) -> None:
        """Fetch the keys as they are now on the keyserver: gpg --refresh-keys."""
        newer = self.folder / "keyserver-refreshed.asc"
        if newer not in self._keys:
            self._keys.append(newer)

    def keyring(self) -> tuple[Key, ...]:
        """The keys at hand: gpg --list-keys. Each says of itself whose it is."""
        self._ask()
        return self._rings[self._state]

    def verify(
        self, number: int, compared: str | Iterable[str] | None = None, *, swapped: bool = False
    ) -> Checked:
        """gpg --verify SIGNATURE ARCHIVE, and the verdict. `compared`: the fingerprint (or several) you compared.

        `swapped` gives gpg the two files the wrong way round. Raises ValueError for a short key id.
        """
        download = self[number]
        heard = self._ask()[number, swapped]
        verdict = judge(heard.status, None)
        several = [compared] if isinstance(compared, str) else compared or ()
        known = tuple(as_fingerprint(each) for each in several)
        if known:  # of several, the one that belongs to the signer counts
            verdict = judge(heard.status, verdict.fingerprint if verdict.fingerprint in known else known[0])
        files = (ARCHIVE, SIGNATURE) if swapped else (SIGNATURE, ARCHIVE)
        verdict = replace(
            verdict, exit_code=heard.exit_code, said=heard.words, command=("gpg", "--verify", *files)
        )
        return Checked(download, " ".join(verdict.command), verdict, known)

    @property
    def _state(self) -> str:
        return "refreshed" if len(self._keys) > 1 else "at first"

    def _ask(self) -> Mapping[tuple[int, bool], _Said]:
        """All that gpg says of the seven with the present keys, asked once; or what it said when it was recorded."""
        state = self._state
        if state not in self._heard:
            try:
                self._heard[state], self._rings[state] = self._from_gpg()
            except GpgMissing:
                self._heard[state], self._rings[state] = self._from_record(state)
        return self._heard[state]

    def _from_gpg(self) -> tuple[dict[tuple[int, bool], _Said], tuple[Key, ...]]:
        heard = {}
        with KeyRing(self._keys) as ring:
            for each in self.all:
                for swapped in (False, True):
                    files = (each.signature, each.archive) if swapped else (each.archive, each.signature)
                    found = ring.verify(*files)
                    heard[each.number, swapped] = _Said(found.exit_code or 0, found.status, found.said)
            return heard, ring.keys()

    def _from_record(self, state: str) -> tuple[dict[tuple[int, bool], _Said], tuple[Key, ...]]:
        part = _record(self.folder)[state]
        heard = {
            (one["download"], one["swapped"]): _Said(one["exit code"], tuple(one["status"]), one["words"])
            for one in part["heard"]
        }
        return heard, tuple(_key(one) for one in part["keys"])


def downloads() -> Downloads:
    """The course's seven downloads, with the keys that a keyserver had of their makers."""
    return Downloads(data_path("signed"))


def card() -> dict[str, str]:
    """Name -> fingerprint, as printed on the paper that your teacher gave you by hand."""
    lines = data_path("signed", "card.txt").read_text("utf-8").splitlines()
    return {name: digits for digits, name in (line.split("  ", 1) for line in lines)}


def tool() -> str:
    """Which gpg does the checking here; or that none does, and what is used instead."""
    try:
        with KeyRing():
            pass
    except GpgMissing as problem:
        recorded = _record(data_path("signed"))["gpg"]
        return (
            f"{problem} Until then you see what {recorded} said of these very files when the course was made; "
            "the verdicts are made from its status lines in the same way."
        )
    program = os.environ.get("GPG_BIN") or shutil.which("gpg") or "gpg"
    said = subprocess.run([program, "--version"], capture_output=True, text=True, check=False).stdout
    return said.partition("\n")[0]


def _record(folder: Path) -> dict[str, Any]:
    record: dict[str, Any] = json.loads((folder / SAID).read_text("utf-8"))
    return record


def _key(one: Mapping[str, Any]) -> Key:
    days = {name: one[name] and datetime.fromisoformat(one[name]) for name in ("created", "expires")}
    return Key(one["fingerprint"], tuple(one["names"]), days["created"], days["expires"], one["revoked"])


def to_record(of: Downloads) -> dict[str, Any]:
    """What gpg says now of the downloads, in the form of gpg.json. Raises GpgMissing."""
    record: dict[str, Any] = {}
    for state, keys in (
        ("at first", [of.folder / "keyserver.asc"]),
        ("refreshed", [of.folder / "keyserver.asc", of.folder / "keyserver-refreshed.asc"]),
    ):
        fresh = Downloads(of.folder)
        fresh._keys = keys
        heard, ring = fresh._from_gpg()
        record[state] = {
            "heard": [
                {
                    "download": number,
                    "swapped": swapped,
                    "exit code": said.exit_code,
                    "status": list(said.status),
                    "words": said.words,
                }
                for (number, swapped), said in heard.items()
            ],
            "keys": [
                {
                    "fingerprint": key.fingerprint,
                    "names": list(key.user_ids),
                    "created": key.created_at and key.created_at.isoformat(),
                    "expires": key.expires_at and key.expires_at.isoformat(),
                    "revoked": key.is_revoked,
                }
                for key in ring
            ],
        }
    return {"gpg": tool(), **record}
