"""Task 1 for real: Exim's sources found, their signature checked, the archive unpacked.

WHAT       `find_sources` (a folder that you have) or `fetch_sources` (Debian's source package, by the network, and
           only when you call it); `verify_sources`; `unpack`, with Debian's patches or without.
RULES      Where it came from and the SHA-256 of every file stand in SHA256SUMS beside them.
           Archives are unpacked file by file: nothing outside the folder, no links, no devices, no floods.
           A signature proves who made it, not that it is free of known holes: `known_holes`.
STANDARDS  Exim specification, chapter "Building and installing Exim"; RFC 5321 §2.3.8
READ NEXT  openpgp.py, exim_options.py, exim_build.py
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import subprocess
import tarfile
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path, PurePosixPath

from labkit.net.programs.openpgp import Verdict, verify

# Who signs Exim's releases, to be compared with what you know from elsewhere.
RELEASE_KEYS = {"A986F3A6BD6377D8730958DEBCE58C8CE41F32DF": "Jeremy Harris (Exim MTA Maintainer)"}
KEYS_IN_PACKAGING = ("debian/upstream/signing-key.asc", "debian/upstream/signing-key.pgp")
RECORD = "SHA256SUMS"
MOST_BYTES = 100_000_000  # Exim 4.96 unpacks to 8 million
MOST_FILES = 5_000  # and 426 files
PATIENCE = 1800.0  # seconds of real time for make, which takes about one minute; for apt-get, a few seconds


class SourcesMissing(RuntimeError):
    """No sources; the text says what was looked for, and what to do."""


class UnsafeArchive(ValueError):
    """The archive holds what no source archive needs; nothing of it should be used."""


class BuildFailed(RuntimeError):
    """Exim was not built; the text says what is missing, or which line of the log to read."""


# -- where it comes from -------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Sources:
    """An upstream archive with its signature, and Debian's part, where there is one."""

    version: str
    archive: Path
    signature: Path
    packaging: Path | None = None  # debian.tar.xz: upstream's keys and Debian's patches
    origin: str = "a folder that was here"
    digests: Mapping[str, str] = field(default_factory=dict)  # file name -> SHA-256
    changed: tuple[str, ...] = ()  # files that are not what the .dsc or our own record says of them

    def __str__(self) -> str:
        lines = [f"Exim {self.version} from {self.origin}"]
        lines += [f"  {digest}  {name}" for name, digest in self.digests.items()]
        return "\n".join(lines + [f"  CHANGED: {name}" for name in self.changed])


def find_sources(folder: Path, version: str | None = None) -> Sources:
    """The newest Exim in the folder (or that version), named as Debian or exim.org does. Raises SourcesMissing."""
    pattern = re.compile(r"(?:exim4_(\d.*)\.orig|exim-(\d.*?))\.tar\.(?:xz|bz2|gz)")
    names = sorted(file.name for file in folder.iterdir()) if folder.is_dir() else []
    found = {match[1] or match[2]: name for name in names if (match := pattern.fullmatch(name))}
    chosen = version or max(found, key=_in_order, default=None)
    if chosen is None or chosen not in found:
        wanted = chosen or "<version>"
        raise SourcesMissing(
            f"{folder} holds no exim4_{wanted}.orig.tar.xz and no exim-{wanted}.tar.xz. Put Debian's source package "
            "there (apt-get source --download-only exim4), or an archive from exim.org with its .asc."
        )
    archive = folder / found[chosen]
    signature = archive.with_name(f"{archive.name}.asc")
    if not signature.is_file():
        raise SourcesMissing(f"The signature is missing: {signature}")
    # The packaging belongs to this version: exim4_4.96-15.debian.tar.xz to 4.96
    packaging = [
        folder / name
        for name in names
        if re.fullmatch(rf"exim4_{re.escape(chosen)}-.*\.debian\.tar\.\w+", name)
    ]
    descriptions = [
        folder / name for name in names if re.fullmatch(rf"exim4_{re.escape(chosen)}-.*\.dsc", name)
    ]
    digests = {file.name: _sha256(file) for file in (archive, signature, *packaging[-1:], *descriptions[-1:])}
    origin, recorded = _read_record(folder / RECORD)
    for file in descriptions[-1:]:
        part = file.read_text("utf-8", "replace").partition("Checksums-Sha256:")[2]
        recorded.update(
            (name, digest) for digest, name in re.findall(r"^ ([0-9a-f]{64}) \d+ (\S+)$", part, re.MULTILINE)
        )
    return Sources(
        version=chosen,
        archive=archive,
        signature=signature,
        packaging=packaging[-1] if packaging else None,
        origin=origin or str(folder),
        digests=digests,
        changed=tuple(name for name, digest in digests.items() if recorded.get(name, digest) != digest),
    )


def record_sources(sources: Sources) -> Path:
    """Write origin and digests beside the sources; `sha256sum -c SHA256SUMS` checks them."""
    lines = [f"# from: {sources.origin}", *(f"{digest}  {name}" for name, digest in sources.digests.items())]
    file = sources.archive.with_name(RECORD)
    file.write_text("\n".join(lines) + "\n")
    return file


def fetch_sources(folder: Path, package: str = "exim4") -> Sources:
    """Download Debian's (or Ubuntu's) source package, from the repositories that this machine's apt knows.

    It uses the network. Needs no root and leaves the system's own lists alone: apt-get works in a folder of its own.
    `package` may name a release: exim4/bookworm. Raises SourcesMissing.
    """
    if shutil.which("apt-get") is None:
        raise SourcesMissing(
            "There is no apt-get here: put an archive from exim.org and its .asc into a folder."
        )
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="apt") as own:
        options = _own_apt(Path(own))
        updated = _apt(["apt-get", *options, "update"], folder)
        sourced = ["apt-get", *options, "--only-source", "source", "--download-only", package]
        addresses = re.findall(
            r"^'(\S+)/[^/\s]+' ", _apt([*sourced, "--print-uris"], folder).stdout, re.MULTILINE
        )
        ended = _apt(sourced, folder)
    if ended.returncode != 0:
        said = re.findall(r"^E: (.+)$", updated.stderr + ended.stderr, re.MULTILINE) or ["apt-get failed"]
        raise SourcesMissing(f"The source package {package} cannot be had: {said[0]}")
    found = find_sources(folder)
    origin = ", ".join(dict.fromkeys(addresses)) or found.origin
    record_sources(
        Sources(found.version, found.archive, found.signature, origin=origin, digests=found.digests)
    )
    return find_sources(folder, found.version)


def _own_apt(own: Path) -> list[str]:
    """Options that give apt-get lists and a cache of its own, with the system's repositories read as deb-src."""
    for name in ("lists/partial", "cache/archives/partial", "sources"):
        (own / name).mkdir(parents=True)
    asked = _apt(
        ["apt-config", "shell", "LIST", "Dir::Etc::SourceList/f", "PARTS", "Dir::Etc::SourceParts/d"], own
    )
    places = dict(re.findall(r"^(\w+)='(.*)'$", asked.stdout, re.MULTILINE))
    files = [Path(places.get("LIST", "")), *sorted(Path(places.get("PARTS", "")).glob("*"))]
    for number, file in enumerate(
        file for file in files if file.suffix in (".list", ".sources") and file.is_file()
    ):
        text = file.read_text("utf-8", "replace")
        text = re.sub(r"^Types:.*$", "Types: deb-src", text, flags=re.MULTILINE)
        text = re.sub(r"^\s*deb-src\s.*$", "", text, flags=re.MULTILINE)
        text = re.sub(r"^\s*deb\s", "deb-src ", text, flags=re.MULTILINE)
        (own / "sources" / f"{number:03}{file.suffix}").write_text(text)
    settings = {
        "Dir::Etc::SourceList": os.devnull,
        "Dir::Etc::SourceParts": own / "sources",
        "Dir::State::Lists": own / "lists",
        "Dir::Cache": own / "cache",
        "Acquire::Languages": "none",
    }
    if os.geteuid() == 0:
        settings["APT::Sandbox::User"] = "root"  # else apt's own user would have to see into our folders
    return [word for name, value in settings.items() for word in ("-o", f"{name}={value}")]


def _apt(command: Sequence[str], folder: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command,
        cwd=folder,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        encoding="utf-8",
        errors="replace",
        env={**os.environ, "LC_ALL": "C"},
        timeout=PATIENCE,
        check=False,
    )


def _read_record(file: Path) -> tuple[str | None, dict[str, str]]:
    text = file.read_text("utf-8", "replace") if file.is_file() else ""
    origin = re.match(r"# from: (.+)", text)
    return origin and origin[1], {
        name: digest for digest, name in re.findall(r"^([0-9a-f]{64})  (\S+)$", text, re.MULTILINE)
    }


def _sha256(file: Path) -> str:
    with file.open("rb") as content:
        summed = hashlib.sha256()
        while block := content.read(1 << 20):
            summed.update(block)
    return summed.hexdigest()


# -- may we trust it? ----------------------------------------------------------------------------------------


def upstream_keys(sources: Sources, into: Path) -> Path:
    """Upstream's public keys, as Debian's packaging carries them, written into a folder. Raises SourcesMissing."""
    if sources.packaging is not None:
        with tarfile.open(sources.packaging) as archive:
            for name in KEYS_IN_PACKAGING:
                try:
                    member = archive.getmember(name)
                except KeyError:
                    continue
                content = archive.extractfile(member) if member.isfile() and member.size < 1_000_000 else None
                if content is not None:
                    file = into / PurePosixPath(name).name
                    file.write_bytes(content.read())
                    return file
    raise SourcesMissing(
        "Upstream's keys are not at hand: Debian's *.debian.tar.xz has them. Or get the key yourself."
    )


def verify_sources(
    sources: Sources, fingerprint: str | None = None, keys: Path | None = None, *, at: datetime | None = None
) -> Verdict:
    """The verdict on upstream's signature. `fingerprint`: the one you compared; `keys`: else those of the packaging."""
    with tempfile.TemporaryDirectory(prefix="keys") as folder:
        at_hand = keys if keys is not None else upstream_keys(sources, Path(folder))
        return verify(sources.archive, sources.signature, at_hand, fingerprint, at=at)


@dataclass(frozen=True, slots=True)
class Hole:
    """A hole of Exim's that the lab can show. Upstream closed it in `closed_in`; a distribution may have before."""

    name: str
    closed_in: str
    what: str


HOLES = (
    Hole(
        "CVE-2023-51766",
        "4.97.1",
        # LF.CRLF; the second one by MAIL, RCPT and BDAT, with PIPELINING and CHUNKING: at DATA, 554 SMTP
        # synchronization error stops what comes in one piece
        "a dot between line ends that are not the standard's is taken for the end of the message: what follows it is "
        "read as commands, and so a second message is hidden in the first (RFC 5321 §2.3.8)",
    ),
)


def known_holes(version: str) -> tuple[Hole, ...]:
    """Which of HOLES upstream's release of this version still has, however good its signature is. It has others."""
    return tuple(hole for hole in HOLES if _in_order(version) < _in_order(hole.closed_in))


def _in_order(version: str) -> tuple[tuple[int, ...], bool]:
    """For comparing: 4.97 < 4.97.1 < 4.98~RC1 < 4.98."""
    numbers, tilde, _ = re.sub(r"[-_]?RC", "~RC", version).partition("~")
    return tuple(int(number) for number in re.findall(r"\d+", numbers)), not tilde


def unpack(sources: Sources, folder: Path, *, patched: bool = False) -> Path:
    """Unpack into the folder, which must not have it yet; the source tree. `patched`: with Debian's patches.

    Raises UnsafeArchive, FileExistsError, SourcesMissing (no patches), BuildFailed (a patch does not fit).
    """
    with tarfile.open(sources.archive) as archive:
        members = _checked(archive)
        tops = {PurePosixPath(member.name).parts[0] for member in members}
        if len(tops) != 1:
            raise UnsafeArchive(
                f"{sources.archive.name} is no source archive: it has no single folder at its top."
            )
        tree = folder / tops.pop()
        tree.mkdir(parents=True)  # FileExistsError: what is there may be somebody's work
        _write(archive, members, folder)
    if patched:
        _patch(sources, tree)
    return tree


def _checked(archive: tarfile.TarFile, below: str = "") -> list[tarfile.TarInfo]:
    """The archive's files and folders (below that folder). Raises UnsafeArchive."""
    members = []
    size = 0
    for member in archive:
        path = PurePosixPath(member.name)
        if path.is_absolute() or ".." in path.parts or not path.parts or "\\" in member.name:
            raise UnsafeArchive(f"The archive would write outside its folder: {member.name!r}")
        if below and not member.name.startswith(below):
            continue
        if not (member.isfile() or member.isdir()):
            raise UnsafeArchive(f"The archive holds a link or a device: {member.name!r}")
        members.append(member)
        size += member.size
        if size > MOST_BYTES or len(members) > MOST_FILES:
            raise UnsafeArchive(
                f"The archive is too large: more than {MOST_FILES} files or {MOST_BYTES} octets."
            )
    return members


def _write(archive: tarfile.TarFile, members: Sequence[tarfile.TarInfo], folder: Path) -> None:
    """Ours, with plain modes and the archive's times (make compares those); nobody else's owner or set-uid bit."""
    for member in members:
        target = folder / PurePosixPath(member.name)
        if member.isdir():
            target.mkdir(parents=True, exist_ok=True)
            continue
        content = archive.extractfile(member)
        assert content is not None  # it is a regular file
        target.parent.mkdir(parents=True, exist_ok=True)
        with content, target.open("xb") as file:  # x: a name that comes twice is an error
            shutil.copyfileobj(content, file)
        target.chmod(0o755 if member.mode & 0o100 else 0o644)
        os.utime(target, (member.mtime, member.mtime))


def _patch(sources: Sources, tree: Path) -> None:
    if sources.packaging is None:
        raise SourcesMissing("Debian's patches are in its *.debian.tar.xz, which is not here.")
    if shutil.which("patch") is None:
        raise BuildFailed("patch is missing. On Debian and Ubuntu: sudo apt-get install patch")
    with tempfile.TemporaryDirectory(prefix="patches") as own, tarfile.open(sources.packaging) as archive:
        _write(archive, _checked(archive, "debian/patches/"), Path(own))
        patches = Path(own) / "debian" / "patches"
        for line in (patches / "series").read_text("utf-8").splitlines():
            if not (name := line.partition("#")[0].strip()):
                continue
            text = (patches / name.split()[0]).read_bytes()
            if b"+++ b/scripts/exim_install" in text:
                continue  # it makes Debian's package: `make install` alone fails with it
            ended = subprocess.run(
                ["patch", "-p1", "--batch", "--forward", "--silent"],
                cwd=tree,
                input=text,
                capture_output=True,
                check=False,
            )
            if ended.returncode != 0:
                said = (ended.stdout + ended.stderr).decode("utf-8", "replace").strip()
                raise BuildFailed(f"Debian's patch {name} does not fit: {said}")
