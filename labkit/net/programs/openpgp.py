"""Is this archive what its author signed? gpg as the tool, and a verdict with its reason.

WHAT       `verify` checks a detached signature with the keys of a file, in a keyring of its own that is gone
           afterwards. `KeyRing` is the same for several questions; `judge` reads gpg's status lines (pure).
DECIDES    accept      good, by the key whose fingerprint you compared out of band (on paper, by voice, in a book)
           refuse      the archive was changed; another key signed, perhaps one with the same name; a revoked key;
                       no detached signature at all
           undecided   the key or the signature has expired: refresh it (was it valid when it signed?); the key is
                       not at hand; nobody compared a fingerprint; nothing was checked
RULES      The exit code decides nothing: gpg ends with 0 for an expired key and for an impostor in the keyring.
           Only gpg's status lines count (doc/DETAILS of GnuPG), read from a file of their own.
           A good signature proves who made the archive, not that it is the newest: see exim_source.py.
           gpg is told to use no network; the agent it may start is ended with the keyring.
STANDARDS  RFC 9580 §5.2 (signatures), §5.5.4 (fingerprints)
READ NEXT  exim_source.py
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timezone
from enum import Enum
from pathlib import Path
from types import TracebackType

PATIENCE = 60.0  # seconds for one call of gpg, which takes a hundredth of one
FINGERPRINT_LENGTHS = (40, 64)  # version 4 keys; version 6 keys


class GpgMissing(RuntimeError):
    """No gpg here; the text says what to install."""


class KeysUnreadable(ValueError):
    """The file holds no OpenPGP public key."""


class Outcome(Enum):
    ACCEPT = "accept"
    REFUSE = "refuse"
    UNDECIDED = "undecided"


class Cause(Enum):
    RIGHT_KEY = "right key"
    TAMPERED = "tampered"
    OTHER_KEY = "other key"
    REVOKED_KEY = "revoked key"
    NOT_DETACHED = "not detached"
    EXPIRED_KEY = "expired key"
    EXPIRED_SIGNATURE = "expired signature"
    NO_KEY = "no key"
    NOT_COMPARED = "not compared"
    NO_SIGNATURE = "no signature"
    UNCHECKABLE = "uncheckable"


OUTCOMES = {
    Cause.RIGHT_KEY: (Outcome.ACCEPT, "The archive is what the owner of the key you compared has signed."),
    Cause.TAMPERED: (Outcome.REFUSE, "The signature does not fit: these are not the bytes that were signed."),
    Cause.OTHER_KEY: (
        Outcome.REFUSE,
        "Another key signed this. A name and an address in a key can be anybody's.",
    ),
    Cause.REVOKED_KEY: (Outcome.REFUSE, "The owner has revoked the key that signed this."),
    Cause.NOT_DETACHED: (
        Outcome.REFUSE,
        "The signature file brings its own text: it says nothing about the archive.",
    ),
    Cause.EXPIRED_KEY: (
        Outcome.UNDECIDED,
        "The key that signed this has expired: refresh the key and look again.",
    ),
    Cause.EXPIRED_SIGNATURE: (
        Outcome.UNDECIDED,
        "The signature itself has expired: look for a newer release.",
    ),
    Cause.NO_KEY: (
        Outcome.UNDECIDED,
        "The key that signed this is not in the keyring: get it, then compare it.",
    ),
    Cause.NOT_COMPARED: (
        Outcome.UNDECIDED,
        "Somebody who has this key signed exactly this archive. Whose key is it? Compare its fingerprint.",
    ),
    Cause.NO_SIGNATURE: (
        Outcome.UNDECIDED,
        "Nothing was checked: this file is no signature. Are the two swapped? The signature comes first.",
    ),
    Cause.UNCHECKABLE: (
        Outcome.UNDECIDED,
        "Nothing was checked: gpg cannot read this as a detached signature.",
    ),
}
_BEST_FIRST = (Outcome.ACCEPT, Outcome.REFUSE, Outcome.UNDECIDED)
# what gpg says of a signature that it could compare with the archive, and what that means
_SAID = {
    "BADSIG": Cause.TAMPERED,
    "GOODSIG": Cause.RIGHT_KEY,
    "REVKEYSIG": Cause.REVOKED_KEY,
    "EXPKEYSIG": Cause.EXPIRED_KEY,
    "EXPSIG": Cause.EXPIRED_SIGNATURE,
}


@dataclass(frozen=True, slots=True)
class Verdict:
    """What to think of the archive, why, and what gpg said. `fingerprint` is the signer's primary key's."""

    outcome: Outcome
    cause: Cause
    reason: str
    fingerprint: str | None = None
    user_id: str | None = None
    signed_at: datetime | None = None  # by the signer's own word
    expired_at: datetime | None = None  # the key, if it has
    status: tuple[str, ...] = ()  # gpg's status lines, which decided
    said: str = ""  # gpg's words for people, which did not
    exit_code: int | None = None  # nor did this
    command: tuple[str, ...] = ()

    @property
    def was_valid_when_signed(self) -> bool | None:
        """Of an expired key: was it alive on the date that the signature gives? None if that is not known."""
        if self.signed_at is None or self.expired_at is None:
            return None
        return self.signed_at <= self.expired_at

    def __str__(self) -> str:
        lines = [f"{self.outcome.value} ({self.cause.value}): {self.reason}"]
        if self.fingerprint:
            lines.append(f"  key    {in_groups(self.fingerprint)}")
        if self.user_id:
            lines.append(f"  name   {self.user_id}")
        if self.signed_at:
            lines.append(f"  signed {self.signed_at:%Y-%m-%d}")
        return "\n".join(lines)


@dataclass(frozen=True, slots=True)
class Key:
    """A public key of a keyring, as it says of itself."""

    fingerprint: str
    user_ids: tuple[str, ...]
    created_at: datetime | None
    expires_at: datetime | None
    is_revoked: bool

    def __str__(self) -> str:
        ends = (
            " (revoked)"
            if self.is_revoked
            else f" (until {self.expires_at:%Y-%m-%d})"
            if self.expires_at
            else ""
        )
        return f"{in_groups(self.fingerprint)}{ends}\n" + "\n".join(f"  {name}" for name in self.user_ids)


def as_fingerprint(text: str) -> str:
    """A whole fingerprint in capitals without blanks. Raises ValueError: a short key id is no proof."""
    digits = re.sub(r"[\s:]", "", text).upper().removeprefix("0X")
    if not re.fullmatch(r"[0-9A-F]+", digits) or len(digits) not in FINGERPRINT_LENGTHS:
        raise ValueError(
            f"{text!r} is no fingerprint: it has 40 hexadecimal digits (or 64). The 8 or 16 digits of a key id "
            "prove nothing, because anybody can make a key whose id ends like that."
        )
    return digits


def in_groups(fingerprint: str) -> str:
    """As gpg prints it, to be compared by eye: ten groups of four, a gap in the middle."""
    groups = re.findall(r".{1,4}", fingerprint)
    middle = len(groups) // 2
    return " ".join(groups[:middle]) + "  " + " ".join(groups[middle:])


def verify(
    archive: Path,
    signature: Path,
    keys: Path | Iterable[Path],
    fingerprint: str | None = None,
    *,
    at: datetime | None = None,
    gpg: str | None = None,
) -> Verdict:
    """Check one detached signature with the public keys of a file (or files, revocations among them).

    `fingerprint` is the one you have compared; `at` is the day that gpg takes for today. Raises GpgMissing,
    KeysUnreadable, FileNotFoundError.
    """
    with KeyRing([keys] if isinstance(keys, Path) else keys, at=at, gpg=gpg) as ring:
        return ring.verify(archive, signature, fingerprint)


class KeyRing:
    """Public keys in a private GNUPGHOME, which is gone after the `with`."""

    def __init__(
        self, files: Iterable[Path] = (), *, at: datetime | None = None, gpg: str | None = None
    ) -> None:
        self._gpg = gpg or _find_gpg()
        self._time: tuple[str, ...] = ()
        if at is not None:  # "!": the clock that gpg is given stands still
            self._time = ("--faked-system-time", f"{at.astimezone(timezone.utc):%Y%m%dT%H%M%S}!")
        # Short, because gpg's sockets are in it, and a socket's path has room for 107 octets.
        short = Path("/tmp")
        self.home = Path(
            tempfile.mkdtemp(prefix="gpg", dir=short if os.access(short, os.W_OK | os.X_OK) else None)
        )
        try:
            for file in files:
                self.add(file)
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> KeyRing:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, problem: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def add(self, file: Path) -> None:
        """Import the public keys, or revocations of them, of a file. Raises KeysUnreadable."""
        status = self._run("--import", str(_existing(file)))[0]
        if not any(re.match("IMPORT_RES [1-9]", line) for line in status):  # the number of keys looked at
            raise KeysUnreadable(f"{file} holds no OpenPGP public key that gpg can read.")

    def keys(self) -> tuple[Key, ...]:
        """The keys of the ring: what to compare with a fingerprint from elsewhere."""
        return _read_keys(self._run("--with-colons", "--fixed-list-mode", "--list-keys")[1].stdout)

    def verify(self, archive: Path, signature: Path, fingerprint: str | None = None) -> Verdict:
        """Check a detached signature; see the table at the top."""
        expected = as_fingerprint(fingerprint) if fingerprint is not None else None
        files = (str(_existing(signature)), str(_existing(archive)))
        status, ended = self._run("--verify", *files)
        return replace(
            judge(status, expected),
            said=ended.stderr,
            exit_code=ended.returncode,
            command=("gpg", "--verify", *files),
        )

    def close(self) -> None:
        """End whatever gpg has started for this keyring, and delete it."""
        if (gpgconf := _beside(self._gpg, "gpgconf")) is not None and self.home.exists():
            for what in (("--kill", "all"), ("--remove-socketdir",)):
                subprocess.run(
                    [gpgconf, "--homedir", str(self.home), *what],
                    stdin=subprocess.DEVNULL,
                    capture_output=True,
                    timeout=PATIENCE,
                    check=False,
                )
        shutil.rmtree(self.home, ignore_errors=True)

    def _run(self, *arguments: str) -> tuple[tuple[str, ...], subprocess.CompletedProcess[str]]:
        """One call of gpg: its status lines, and how it ended."""
        lines = self.home / "status"
        lines.unlink(missing_ok=True)  # nobody's old words
        command = [self._gpg, "--homedir", str(self.home), "--no-options", "--batch", "--no-tty"]
        command += ["--no-auto-key-retrieve", "--disable-dirmngr", *self._time, "--status-file", str(lines)]
        ended = subprocess.run(
            [*command, *arguments],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            encoding="utf-8",
            errors="replace",
            env={
                "PATH": os.environ.get("PATH", os.defpath),
                "LC_ALL": "C",
                "TZ": "UTC",
                "HOME": str(self.home),
            },
            timeout=PATIENCE,
            check=False,
        )
        said = lines.read_text("utf-8", "replace").split("\n") if lines.exists() else []
        return tuple(line.removeprefix("[GNUPG:] ") for line in said if line.startswith("[GNUPG:] ")), ended


def judge(status: Sequence[str], expected: str | None) -> Verdict:
    """The verdict on gpg's status lines. With several signatures, one good one of the right key is enough."""
    if any(line.split(" ")[0] == "PLAINTEXT" for line in status):
        # gpg has opened a signed message and looked at the text inside it; today's gpg does not even start
        return _verdict(Cause.NOT_DETACHED, status)
    signatures: list[list[list[str]]] = []
    for line in status:
        words = line.split(" ")
        if words[0] == "NEWSIG":
            signatures.append([])
        elif signatures:
            signatures[-1].append(words)
    verdicts = [_judge_one(lines, expected, status) for lines in signatures]
    if not verdicts:
        nothing = any(line.split(" ")[0] == "NODATA" for line in status)
        return _verdict(Cause.NO_SIGNATURE if nothing else Cause.UNCHECKABLE, status)
    return min(verdicts, key=lambda verdict: _BEST_FIRST.index(verdict.outcome))


def _judge_one(lines: Sequence[Sequence[str]], expected: str | None, status: Sequence[str]) -> Verdict:
    """One signature. Whose key it is comes before how old it is: an expired stranger is a stranger."""
    said = {words[0]: words for words in reversed(lines)}  # of two lines of a kind the first counts
    if "ERRSIG" in said:
        names = said[
            "ERRSIG"
        ]  # … key id, algorithm, hash, class, time, code, fingerprint: code 9 is a missing key
        cause = Cause.NO_KEY if "NO_PUBKEY" in said or names[6:7] == ["9"] else Cause.UNCHECKABLE
        signer = names[7] if len(names) > 7 and names[7] != "-" else names[1] if len(names) > 1 else None
        return _verdict(
            cause, status, fingerprint=signer, signed_at=_instant(names[5]) if len(names) > 5 else None
        )
    kind = next((kind for kind in _SAID if kind in said), None)
    if kind is None:
        return _verdict(Cause.UNCHECKABLE, status)
    user_id = _unescaped(" ".join(said[kind][2:])) or None
    if kind == "BADSIG":
        return _verdict(Cause.TAMPERED, status, user_id=user_id)
    valid = said.get("VALIDSIG", [])
    if len(valid) < 4:
        return _verdict(Cause.UNCHECKABLE, status, user_id=user_id)
    signer = (
        valid[10] if len(valid) > 10 else valid[1]
    )  # a subkey may have signed; people compare the primary
    expiries = [
        when for words in lines if words[0] == "KEYEXPIRED" and (when := _instant(words[-1])) is not None
    ]
    expired_at = min(expiries, default=None) if kind == "EXPKEYSIG" else None
    signed_at = _instant(valid[3])
    cause = _SAID[kind]
    if expected is not None and signer != expected:
        cause = Cause.OTHER_KEY
    elif expected is None and cause is Cause.RIGHT_KEY:
        cause = Cause.NOT_COMPARED
    return _verdict(
        cause, status, fingerprint=signer, user_id=user_id, signed_at=signed_at, expired_at=expired_at
    )


def _verdict(
    cause: Cause,
    status: Sequence[str],
    *,
    fingerprint: str | None = None,
    user_id: str | None = None,
    signed_at: datetime | None = None,
    expired_at: datetime | None = None,
) -> Verdict:
    outcome, reason = OUTCOMES[cause]
    found = Verdict(outcome, cause, reason, fingerprint, user_id, signed_at, expired_at, tuple(status))
    if cause is Cause.EXPIRED_KEY and signed_at and expired_at:
        alive = "was still valid" if found.was_valid_when_signed else "had already expired"
        ended = f"It expired on {expired_at:%Y-%m-%d} and {alive} when it signed, on {signed_at:%Y-%m-%d}"
        found = replace(found, reason=f"{reason} {ended} by the signature's own word.")
    return found


def _instant(text: str) -> datetime | None:
    """A time of a status line: seconds since 1970, or 20260131T120000. 0 and nothing are None."""
    if re.fullmatch(r"\d{8}T\d{6}", text):
        return datetime.strptime(text, "%Y%m%dT%H%M%S").replace(tzinfo=timezone.utc)
    if not re.fullmatch(r"[1-9]\d{0,10}", text):
        return None
    return datetime.fromtimestamp(int(text), timezone.utc)


def _unescaped(text: str) -> str:
    """Status lines write odd octets as %XX; what cannot be printed stays so."""
    plain = re.sub(r"(?:%[0-9A-Fa-f]{2})+", lambda found: _octets(found[0]), text)
    return plain if plain.isprintable() else text


def _octets(escaped: str) -> str:
    return bytes.fromhex(escaped.replace("%", "")).decode("utf-8", "replace")


def _read_keys(colons: str) -> tuple[Key, ...]:
    """The lines of --with-colons: pub, then its fpr, then its uids; subkeys are left out."""
    keys: list[Key] = []
    in_primary = False
    for line in colons.splitlines():
        fields = line.split(":")
        if fields[0] in ("pub", "sub"):
            in_primary = fields[0] == "pub"
            if in_primary:
                keys.append(Key("", (), _instant(fields[5]), _instant(fields[6]), fields[1] == "r"))
        elif fields[0] == "fpr" and in_primary and not keys[-1].fingerprint:
            keys[-1] = replace(keys[-1], fingerprint=fields[9])
        elif fields[0] == "uid" and keys:
            name = re.sub(r"\\x([0-9a-f]{2})", lambda found: chr(int(found[1], 16)), fields[9])
            keys[-1] = replace(keys[-1], user_ids=(*keys[-1].user_ids, name))
    return tuple(keys)


def _find_gpg() -> str:
    found = os.environ.get("GPG_BIN") or shutil.which("gpg")
    if found is None:
        raise GpgMissing("gpg is not installed here. On Debian and Ubuntu: sudo apt-get install gnupg")
    return found


def _beside(gpg: str, name: str) -> str | None:
    """gpg's companion: from its own folder, else from PATH."""
    return shutil.which(name, path=os.path.dirname(gpg) or None) or shutil.which(name)


def _existing(file: Path) -> Path:
    if not file.is_file():
        raise FileNotFoundError(f"There is no file {file}.")
    return file.absolute()  # and so never taken for an option
