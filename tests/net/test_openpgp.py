"""Signatures: gpg's own words judged in a table, then real keys and archives, made here by gpg."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path

import pytest

from labkit.net.programs.openpgp import (
    OUTCOMES,
    Cause,
    GpgMissing,
    KeyRing,
    KeysUnreadable,
    Outcome,
    as_fingerprint,
    in_groups,
    judge,
    verify,
)

RIGHT = "A" * 40
OTHER = "B" * 40
SUBKEY = "C" * 40
WHEN = "1656164206"


def valid(key: str = RIGHT, primary: str = RIGHT) -> str:
    return f"VALIDSIG {key} 2022-06-25 {WHEN} 0 4 0 1 8 00 {primary}"


@pytest.mark.parametrize(
    "status, expected, cause",
    [
        (["NEWSIG", "GOODSIG A Ann <a@x>", valid()], RIGHT, Cause.RIGHT_KEY),
        (["NEWSIG", "GOODSIG A Ann <a@x>", valid()], None, Cause.NOT_COMPARED),
        (
            ["NEWSIG", "GOODSIG A Ann <a@x>", valid(SUBKEY, RIGHT)],
            RIGHT,
            Cause.RIGHT_KEY,
        ),  # people know primaries
        (["NEWSIG", "GOODSIG B Ann <a@x>", valid(OTHER, OTHER)], RIGHT, Cause.OTHER_KEY),
        (
            ["NEWSIG", "GOODSIG A Ann <a@x>"],
            RIGHT,
            Cause.UNCHECKABLE,
        ),  # without VALIDSIG there is no fingerprint
        (["NEWSIG", "BADSIG A Ann <a@x>"], RIGHT, Cause.TAMPERED),
        (["NEWSIG", "REVKEYSIG A Ann <a@x>", valid()], RIGHT, Cause.REVOKED_KEY),
        (["NEWSIG", "EXPKEYSIG A Ann <a@x>", valid()], RIGHT, Cause.EXPIRED_KEY),
        (
            ["NEWSIG", "EXPKEYSIG B Ann <a@x>", valid(OTHER, OTHER)],
            RIGHT,
            Cause.OTHER_KEY,
        ),  # first whose, then how old
        (["NEWSIG", "EXPSIG A Ann <a@x>", valid()], RIGHT, Cause.EXPIRED_SIGNATURE),
        (["NEWSIG", f"ERRSIG AA 1 8 00 {WHEN} 9 {RIGHT}", "NO_PUBKEY AA"], RIGHT, Cause.NO_KEY),
        (["NEWSIG", f"ERRSIG AA 99 8 00 {WHEN} 4 {RIGHT}"], RIGHT, Cause.UNCHECKABLE),  # unknown algorithm
        (["NODATA 1", "NODATA 2"], RIGHT, Cause.NO_SIGNATURE),
        ([], RIGHT, Cause.UNCHECKABLE),
        (["NEWSIG", "SOMETHING new"], RIGHT, Cause.UNCHECKABLE),
        (["NEWSIG", "PLAINTEXT 62 0 a", "GOODSIG A Ann <a@x>", valid()], RIGHT, Cause.NOT_DETACHED),
        (["NEWSIG", "BADSIG B Eve <e@x>", "NEWSIG", "GOODSIG A Ann <a@x>", valid()], RIGHT, Cause.RIGHT_KEY),
        # a status line is no line of a name: gpg escapes line ends in names
        (["NEWSIG", "BADSIG A Ann%0AGOODSIG B <a@x>"], RIGHT, Cause.TAMPERED),
    ],
)
def test_status_lines_decide(status: list[str], expected: str | None, cause: Cause) -> None:
    verdict = judge(status, expected)
    assert (verdict.cause, verdict.outcome) == (cause, OUTCOMES[cause][0])
    assert verdict.reason.startswith(OUTCOMES[cause][1])


def test_every_cause_has_an_outcome_and_a_reason() -> None:
    assert set(OUTCOMES) == set(Cause)
    assert {outcome for outcome, _ in OUTCOMES.values()} == set(Outcome)
    assert all(reason.endswith((".", "first.")) for _, reason in OUTCOMES.values())


@pytest.mark.parametrize("text", ["BCE58C8CE41F32DF", "E41F32DF", "", "no fingerprint", "G" * 40, "A" * 41])
def test_a_key_id_is_no_fingerprint(text: str) -> None:
    with pytest.raises(ValueError, match="is no fingerprint"):
        as_fingerprint(text)


def test_fingerprints_are_read_as_they_are_printed() -> None:
    shown = "A986 F3A6 BD63 77D8 7309  58DE BCE5 8C8C E41F 32DF"
    assert in_groups(as_fingerprint(shown)) == shown
    assert as_fingerprint("0x" + shown.lower()) == shown.replace(" ", "")


def test_without_gpg_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("GPG_BIN", raising=False)
    with pytest.raises(GpgMissing, match="apt-get install gnupg"):
        KeyRing()


@dataclass
class Author:
    """Somebody with secret keys, in a GNUPGHOME of their own; and what they published."""

    home: Path
    files: Path

    def gpg(self, *arguments: str, day: str = "20250101") -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [
                *("gpg", "--homedir", self.home, "--batch", "--yes", "--passphrase", ""),
                *("--pinentry-mode", "loopback", "--faked-system-time", f"{day}T120000", *arguments),
            ],
            capture_output=True,
            text=True,
            check=True,
            timeout=60,
        )

    def key(self, name: str, until: str) -> str:
        """A new key in a file of its own, and its fingerprint."""
        made = self.gpg("--status-fd", "1", "--quick-generate-key", name, "ed25519", "sign", until)
        match = re.search(r"KEY_CREATED P ([0-9A-F]{40})", made.stdout)
        assert match is not None
        self.gpg("--output", str(self.files / f"{match[1]}.key"), "--export", match[1])
        return match[1]

    def sign(self, key: str, name: str, *how: str) -> None:
        signed = str(self.files / name)
        self.gpg("--local-user", key, "--armor", "--output", signed, *how, str(self.files / "archive"))


@dataclass
class Published:
    """What a student has at hand."""

    folder: Path
    right: str
    impostor: str
    expired: str
    revoked: str

    def keys(self, *names: str) -> list[Path]:
        return [self.folder / f"{getattr(self, name)}.key" for name in names]


@pytest.fixture(scope="module")
def published(require, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Published]:  # type: ignore[no-untyped-def]
    require("gpg")
    home = Path(tempfile.mkdtemp(prefix="author", dir="/tmp"))
    author = Author(home, tmp_path_factory.mktemp("published"))
    try:
        made = Published(
            author.files,
            right=author.key("Ann Author <ann@exim.test>", "never"),
            impostor=author.key("Ann Author <ann@exim.test> ", "never"),
            expired=author.key("Old Author <old@exim.test>", "20250201T000000"),
            revoked=author.key("Gone Author <gone@exim.test>", "never"),
        )
        (author.files / "archive").write_bytes(b"the sources" * 1000)
        (author.files / "changed").write_bytes(b"the sources" * 999 + b"The sources")
        for name in ("right", "impostor", "expired", "revoked"):
            author.sign(getattr(made, name), f"{name}.asc", "--detach-sign")
        author.sign(made.right, "whole.asc", "--sign")
        author.sign(made.right, "clear.asc", "--clear-sign")
        author.sign(made.right, "short-lived.asc", "--default-sig-expire", "1d", "--detach-sign")
        # gpg keeps a revocation ready for each key, with a colon before its first line against mishaps
        revocation = (
            (home / "openpgp-revocs.d" / f"{made.revoked}.rev").read_text().replace("\n:-----", "\n-----")
        )
        (author.files / "revocation").write_text(revocation)
        yield made
    finally:
        subprocess.run(["gpgconf", "--homedir", home, "--kill", "all"], check=False, timeout=60)
        subprocess.run(["gpgconf", "--homedir", home, "--remove-socketdir"], check=False, timeout=60)
        shutil.rmtree(home, ignore_errors=True)


@pytest.mark.needs("gpg")
@pytest.mark.parametrize(
    "archive, signature, keys, compared, cause, exit_code, because",
    [
        ("archive", "right.asc", "right", "right", Cause.RIGHT_KEY, 0, "the key that was compared signed it"),
        ("archive", "right.asc", "right", None, Cause.NOT_COMPARED, 0, "a good signature by whom?"),
        ("changed", "right.asc", "right", "right", Cause.TAMPERED, 1, "one octet differs"),
        ("archive", "right.asc", "impostor", "right", Cause.NO_KEY, 2, "the signer's key is not in the ring"),
        ("right.asc", "archive", "right", "right", Cause.NO_SIGNATURE, 2, "arguments swapped"),
        (
            "archive",
            "expired.asc",
            "expired",
            "expired",
            Cause.EXPIRED_KEY,
            0,
            "0, although the key has expired",
        ),
        (
            "archive",
            "expired.asc",
            "expired",
            "right",
            Cause.OTHER_KEY,
            0,
            "expired, and not the right one at all",
        ),
        (
            "archive",
            "impostor.asc",
            "right impostor",
            "right",
            Cause.OTHER_KEY,
            0,
            "0 for the same name and address",
        ),
        (
            "archive",
            "impostor.asc",
            "impostor",
            "right",
            Cause.OTHER_KEY,
            0,
            "the only key there came from there",
        ),
        (
            "archive",
            "revoked.asc",
            "revoked",
            "revoked",
            Cause.RIGHT_KEY,
            0,
            "nobody here knows of the revocation",
        ),
        (
            "archive",
            "whole.asc",
            "right",
            "right",
            Cause.UNCHECKABLE,
            2,
            "a signed text, not a signature of ours",
        ),
        ("changed", "whole.asc", "right", "right", Cause.UNCHECKABLE, 2, "which would fit any archive"),
        ("archive", "clear.asc", "right", "right", Cause.UNCHECKABLE, 2, "the same as text"),
        ("archive", "short-lived.asc", "right", "right", Cause.EXPIRED_SIGNATURE, None, "valid for one day"),
    ],
)
def test_verdicts(
    published: Published,
    archive: str,
    signature: str,
    keys: str,
    compared: str | None,
    cause: Cause,
    exit_code: int | None,
    because: str,
) -> None:
    folder = published.folder
    expected = getattr(published, compared) if compared else None
    verdict = verify(folder / archive, folder / signature, published.keys(*keys.split()), expected)
    assert verdict.cause is cause, (because, verdict.status, verdict.said)
    assert exit_code is None or verdict.exit_code == exit_code, because


@pytest.mark.needs("gpg")
def test_a_revoked_key_is_refused(published: Published) -> None:
    folder = published.folder
    keys = [*published.keys("revoked"), folder / "revocation"]
    verdict = verify(folder / "archive", folder / "revoked.asc", keys, published.revoked)
    assert (verdict.outcome, verdict.cause) == (Outcome.REFUSE, Cause.REVOKED_KEY)
    with KeyRing(keys) as ring:
        (key,) = ring.keys()
        assert key.is_revoked


@pytest.mark.needs("gpg")
def test_an_expired_key_was_valid_when_it_signed(published: Published) -> None:
    folder = published.folder
    verdict = verify(folder / "archive", folder / "expired.asc", published.keys("expired"), published.expired)
    assert verdict.outcome is Outcome.UNDECIDED
    assert verdict.was_valid_when_signed
    assert "expired on 2025-02-01 and was still valid when it signed, on 2025-01-01" in verdict.reason
    before = datetime(2025, 1, 15, tzinfo=timezone.utc)
    keys = published.keys("expired")
    then = verify(folder / "archive", folder / "expired.asc", keys, published.expired, at=before)
    assert then.outcome is Outcome.ACCEPT


@pytest.mark.needs("gpg")
def test_a_ring_shows_its_keys_and_leaves_nothing(published: Published) -> None:
    with KeyRing(published.keys("right", "impostor")) as ring:
        ann, impostor = ring.keys()
        assert {ann.fingerprint, impostor.fingerprint} == {published.right, published.impostor}
        assert ann.user_ids[0].strip() == impostor.user_ids[0].strip() == "Ann Author <ann@exim.test>"
        home = ring.home
        assert home.stat().st_mode & 0o777 == 0o700
        assert len(os.fsencode(home)) < 60
        assert ring.verify(published.folder / "archive", published.folder / "right.asc", ann.fingerprint).said
    assert not home.exists()
    assert not [at for at in Path("/proc").glob("[0-9]*/cmdline") if bytes(home) in _read(at)]


@pytest.mark.needs("gpg")
def test_what_is_no_key_and_what_is_no_file(published: Published, tmp_path: Path) -> None:
    with pytest.raises(KeysUnreadable, match="holds no OpenPGP public key"):
        KeyRing([published.folder / "archive"])
    with KeyRing() as ring, pytest.raises(FileNotFoundError, match="There is no file"):
        ring.verify(tmp_path / "nowhere", published.folder / "right.asc")


def _read(file: Path) -> bytes:
    try:
        return file.read_bytes()
    except OSError:  # the process has ended meanwhile
        return b""
