"""Task 1 for real: Exim's sources found, their signature checked, the options chosen, Exim built.

WHAT       `find_sources` (a folder that you have) or `fetch_sources` (Debian's source package, by the network, and
           only when you call it); `verify_sources`; `unpack`, with Debian's patches or without;
           `student_options`, `capabilities`, `write_local_makefile`; `build`.
DECIDES    which later points of the lab an option is needed for: the table CAPABILITIES.
RULES      Where it came from and the SHA-256 of every file stand in SHA256SUMS beside them.
           Archives are unpacked file by file: nothing outside the folder, no links, no devices, no floods.
           Exim is built by an ordinary user and installed into a folder of that user: root must name one.
           A signature proves who made it, not that it is free of known holes: `known_holes`.
           Set an Exim that was built in EXIM_BIN (or give its path to `find_exim`) and the lab runs it.
STANDARDS  Exim specification, chapter "Building and installing Exim"; RFC 5321 §2.3.8
READ NEXT  openpgp.py, exim_found.py
"""

from __future__ import annotations

import hashlib
import os
import re
import shlex
import shutil
import signal
import subprocess
import tarfile
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path, PurePosixPath

from labkit.net.programs.exim_found import InstalledExim, find_exim
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
        "LF.CRLF ends a message, so a second one can be smuggled in behind it (RFC 5321 §2.3.8): its MAIL, RCPT and "
        "BDAT by PIPELINING and CHUNKING; at DATA, 554 SMTP synchronization error stops what comes in one piece",
    ),
)


def known_holes(version: str) -> tuple[Hole, ...]:
    """What upstream's release of this version still has, however good its signature is."""
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


# -- what it shall be ----------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Capability:
    """What Exim can do if it was built so. Of each group in `needs` one option must be set, of `without` none."""

    name: str
    needs: tuple[tuple[str, ...], ...]
    points: tuple[str, ...]  # of the lab, which become impossible without it
    shown: tuple[str, ...] = ()  # how `exim -bV` says it: one of these
    without: tuple[str, ...] = ()

    def is_in(self, exim: InstalledExim) -> bool:
        """What the finished program says of itself."""
        return not self.shown or any(exim.has(word) for word in self.shown)


AUTHENTICATORS = (
    "AUTH_PLAINTEXT",
    "AUTH_CRAM_MD5",
    "AUTH_SPA",
    "AUTH_DOVECOT",
    "AUTH_GSASL",
    "AUTH_CYRUS_SASL",
)
TLS = ("USE_OPENSSL", "USE_GNUTLS")
EVERYTHING = ("all",)
CAPABILITIES = (
    Capability(
        "an Exim at all",
        (
            ("BIN_DIRECTORY",),
            ("CONFIGURE_FILE",),
            ("EXIM_USER",),
            ("SPOOL_DIRECTORY",),
            ("PCRE2_CONFIG", "PCRE_LIBS"),
        ),
        EVERYTHING,
    ),
    Capability("take mail for an account", (("ROUTER_ACCEPT",),), ("3a", "12–14"), ("accept",)),
    Capability("mailbox files", (("TRANSPORT_APPENDFILE",),), ("3a", "3b", "12–14"), ("appendfile",)),
    Capability("mailboxes as folders (Maildir)", (("SUPPORT_MAILDIR",),), ("3",), ("appendfile/maildir",)),
    Capability("aliases", (("ROUTER_REDIRECT",),), ("3c", "9–11"), ("redirect",)),
    Capability("tables in files", (("LOOKUP_LSEARCH",),), ("3c", "5", "9–11"), ("lsearch",)),
    Capability("mail to other hosts", (("TRANSPORT_SMTP",),), ("4–11",), ("smtp",)),
    Capability("finding hosts by MX records", (("ROUTER_DNSLOOKUP",),), ("7–11",), ("dnslookup",)),
    Capability("a smarthost", (("ROUTER_MANUALROUTE",),), ("5",), ("manualroute",)),
    Capability("TLS", (TLS,), ("5", "16"), ("OpenSSL", "GnuTLS"), ("DISABLE_TLS",)),
    Capability(
        "logging in (AUTH)", (AUTHENTICATORS,), ("5",), ("plaintext", "cram_md5", "spa", "dovecot", "gsasl")
    ),
    Capability("DKIM", (TLS,), ("6", "17"), ("DKIM",), ("DISABLE_DKIM", "DISABLE_TLS")),
    Capability("SPF as receiver", (("SUPPORT_SPF",),), ("6", "17"), ("SPF",)),
    Capability("a file for each domain", (("LOOKUP_DSEARCH",),), ("13",), ("dsearch",)),
    Capability("looking into content", (("WITH_CONTENT_SCAN",),), ("17",), ("Content_Scanning",)),
)

# what a line of Local/Makefile is for, where CAPABILITIES does not say it
MEANINGS = {
    "BIN_DIRECTORY": "where `make install` puts the programs",
    "CONFIGURE_FILE": "the configuration that Exim reads without -C",
    "SPOOL_DIRECTORY": "the queue",
    "LOG_FILE_PATH": "the logs; %s becomes main, reject, panic",
    "PID_FILE_PATH": "the daemon's process id",
    "SYSTEM_ALIASES_FILE": "the aliases of the example configuration",
    "EXIM_USER": "mandatory: who Exim is when it is not root; whoever that is may start a daemon",
    "EXIM_GROUP": "mandatory where EXIM_USER is a number",
    "CONFIGURE_OWNER": "who, besides root, may own CONFIGURE_FILE: else Exim refuses it",
    "FIXED_NEVER_USERS": "no delivery ever runs as one of these",
    "USE_OPENSSL_PC": "the name under which pkg-config knows OpenSSL",
    "USE_GNUTLS_PC": "the name under which pkg-config knows GnuTLS",
    "LOOKUP_SQLITE": "tables in SQLite: a greylist could live there",
    "LOOKUP_SQLITE_PC": "the name under which pkg-config knows SQLite",
    "LDFLAGS": "libraries that the linker adds",
    "PCRE2_CONFIG": "regular expressions: found by pcre2-config",
}

# A header that must be there, the package that has it, and the options that ask for it (none: always).
HEADERS = (
    ("stdio.h", "libc6-dev", ()),
    ("pcre2.h", "libpcre2-dev", ()),
    ("db.h", "libdb-dev", ()),
    ("openssl/ssl.h", "libssl-dev", ("USE_OPENSSL",)),
    ("gnutls/gnutls.h", "libgnutls28-dev", ("USE_GNUTLS",)),
    ("spf2/spf.h", "libspf2-dev", ("SUPPORT_SPF",)),
    ("sqlite3.h", "libsqlite3-dev", ("LOOKUP_SQLITE",)),
)
PROGRAMS = {"make": "make", "gcc": "gcc", "pkg-config": "pkg-config"}
_MAKE_KNOWS = (
    "CC",
    "CFLAGS",
    "INCLUDE",
    "LDFLAGS",
    "LFLAGS",
    "EXTRALIBS",
    "EXTRALIBS_EXIM",
    "DBMLIB",
    "USE_DB",
)


@dataclass(frozen=True, slots=True)
class Finding:
    """A row of the capability matrix."""

    capability: Capability
    is_there: bool
    because: str
    lost: tuple[str, ...]

    def __str__(self) -> str:
        lost = f"; impossible without it: {', '.join(self.lost)}" if self.lost else ""
        return f"{'yes' if self.is_there else 'NO '}  {self.capability.name:32} {self.because}{lost}"


def capabilities(options: Mapping[str, str]) -> tuple[Finding, ...]:
    """The capability matrix of a Local/Makefile: what this Exim will be able to do, and which points are lost."""
    return tuple(_finding(capability, options) for capability in CAPABILITIES)


def _finding(capability: Capability, options: Mapping[str, str]) -> Finding:
    # DISABLE_TLS=no disables TLS all the same: Exim's build looks whether it is set, not to what
    stops = [name for name in capability.without if name in options]
    lacking = [
        " or ".join(group) for group in capability.needs if not any(options.get(name) for name in group)
    ]
    given = [name for group in capability.needs for name in group if options.get(name)]
    if stops:
        return Finding(capability, False, f"{stops[0]} is set", capability.points)
    if lacking:
        return Finding(capability, False, f"{lacking[0]} is not set", capability.points)
    return Finding(capability, True, ", ".join(given), ())


def read_makefile(text: str) -> dict[str, str]:
    """The settings of a Local/Makefile or of src/EDITME; the last one of a name counts, += adds."""
    options: dict[str, str] = {}
    for line in re.sub(r"\\\n", " ", text).splitlines():
        if match := re.match(r"\s*([A-Z][A-Z0-9_]*)\s*(\+?)=\s*(.*?)\s*$", line):
            name, adds, value = match.groups()
            options[name] = f"{options[name]} {value}" if adds and options.get(name) else value
    return options


def student_options(folder: Path, account: str | None = None) -> dict[str, str]:
    """A good choice for the lab: all that its points need, everything inside the folder, run by the account (yours)."""
    place = str(folder.absolute())
    if re.search(r"[^\w./+@-]", place):
        raise ValueError(f"make cannot live with blanks or odd characters in a path: {place!r}")
    return {
        "BIN_DIRECTORY": f"{place}/bin",
        "CONFIGURE_FILE": f"{place}/exim.conf",
        "SPOOL_DIRECTORY": f"{place}/spool",
        "LOG_FILE_PATH": f"{place}/log/%slog",
        "PID_FILE_PATH": f"{place}/exim.pid",
        "SYSTEM_ALIASES_FILE": f"{place}/aliases",
        **_who(account),
        "USE_OPENSSL": "yes",
        "USE_OPENSSL_PC": "openssl",
        "AUTH_PLAINTEXT": "yes",
        "AUTH_CRAM_MD5": "yes",
        "LOOKUP_LSEARCH": "yes",
        "LOOKUP_DSEARCH": "yes",
        "LOOKUP_SQLITE": "yes",
        "LOOKUP_SQLITE_PC": "sqlite3",
        "SUPPORT_MAILDIR": "yes",
        "SUPPORT_SPF": "yes",
        "LDFLAGS": "-lspf2",
        "WITH_CONTENT_SCAN": "yes",
    }


def _who(account: str | None) -> dict[str, str]:
    """Who Exim is, and whose configuration it believes: by name, or by number where we have none (some containers)."""
    if account is not None:
        return {"EXIM_USER": account, "CONFIGURE_OWNER": account}
    import pwd  # not on every system that may import this module

    try:
        name = pwd.getpwuid(os.geteuid()).pw_name
    except KeyError:
        number = str(os.geteuid())
        return {"EXIM_USER": number, "EXIM_GROUP": str(os.getegid()), "CONFIGURE_OWNER": number}
    return {"EXIM_USER": name, "CONFIGURE_OWNER": name}


def local_makefile(tree: Path, options: Mapping[str, str]) -> str:
    """The text of Local/Makefile: what src/EDITME sets, with these options on top; a comment says what each is for.

    Raises ValueError for an option that this Exim has never heard of, and for a value that make would act on.
    """
    template = (tree / "src" / "EDITME").read_text("utf-8", "replace")
    known = set(re.findall(r"^#?\s*([A-Z][A-Z0-9_]*)\s*\+?=", template, re.MULTILINE)) | set(_MAKE_KNOWS)
    for name, value in options.items():
        if name not in known:
            raise ValueError(f"{name} is no option of this Exim: src/EDITME does not have it.")
        if re.search(r"[\n\r\0]|\$\(|`", value):
            raise ValueError(f"{name}: make would act on this value instead of taking it as it is: {value!r}")
    # DISABLE_MAL_AVE and the like are EDITME's own; an option with an empty value is left out
    settings = {name: value for name, value in {**read_makefile(template), **options}.items() if value}
    lines = [
        "# Local/Makefile: how this Exim is built. Made from src/EDITME, whose comments explain every option."
    ]
    for name, value in settings.items():
        meaning = [MEANINGS[name]] if name in MEANINGS else []
        for capability in CAPABILITIES:
            if any(name in group for group in capability.needs) and capability.points != EVERYTHING:
                meaning.append(f"{capability.name}: {', '.join(capability.points)}")
        lines += ["", *(f"# {text}" for text in meaning)] if meaning else []
        lines.append(f"{name}={value}")
    return "\n".join(lines) + "\n"


def write_local_makefile(tree: Path, options: Mapping[str, str]) -> Path:
    """Write it where make looks for it."""
    text = local_makefile(tree, options)
    file = tree / "Local" / "Makefile"
    file.parent.mkdir(exist_ok=True)
    file.write_text(text)
    return file


# -- make ----------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Built:
    """A finished Exim. `exim.path` is for EXIM_BIN."""

    exim: InstalledExim
    makefile: Path
    log: Path
    seconds: float


def missing_packages(options: Mapping[str, str]) -> tuple[str, ...]:
    """Debian's names of what must be installed before make can work."""
    missing = [package for program, package in PROGRAMS.items() if shutil.which(program) is None]
    if "gcc" in missing:
        return (
            *missing,
            *(package for _, package, asked in HEADERS if not asked or any(map(options.get, asked))),
        )
    wanted = {
        header: package for header, package, asked in HEADERS if not asked or any(map(options.get, asked))
    }
    lines = [
        f"#if !__has_include(<{header}>)\nmissing {package}\n#endif\n" for header, package in wanted.items()
    ]
    seen = subprocess.run(
        ["gcc", "-E", "-P", "-x", "c", "-"],
        input="".join(lines),
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    ).stdout
    return (*missing, *re.findall(r"missing (\S+)", seen))


def build(
    tree: Path,
    options: Mapping[str, str] | None = None,
    *,
    jobs: int | None = None,
    account: str | None = None,
    patience: float = PATIENCE,
) -> Built:
    """Build and install the Exim of this source tree; takes about a minute. Its words are in build.log in the tree.

    Without `options`, Local/Makefile must be there. Root must name the `account` who builds and will run it, and who
    is given the tree, and the folder above BIN_DIRECTORY if it is new. Raises BuildFailed.
    """
    who = _ids(account)
    if (who[0] if who else os.geteuid()) == 0:
        raise BuildFailed("Exim is built and run by an ordinary user, not by root: name one (account=…).")
    makefile = write_local_makefile(tree, options) if options is not None else tree / "Local" / "Makefile"
    if not makefile.is_file():
        raise BuildFailed("There is no Local/Makefile: choose your options first (write_local_makefile).")
    settings = read_makefile(makefile.read_text())
    if missing := missing_packages(settings):
        raise BuildFailed(
            f"Not everything is here. On Debian and Ubuntu: sudo apt-get install {' '.join(missing)}"
        )
    if lacking := [
        row.because for row in capabilities(settings) if not row.is_there and row.lost == EVERYTHING
    ]:
        raise BuildFailed(f"Local/Makefile is not complete: {lacking[0]}.")
    programs = Path(settings["BIN_DIRECTORY"])
    places = (
        [tree] if programs.parent.exists() else [tree, programs.parent]
    )  # nobody else's folder changes hands
    programs.mkdir(parents=True, exist_ok=True)
    if who is not None:
        _hand_over(places, *who)
    log = tree / "build.log"
    log.unlink(missing_ok=True)
    started = time.monotonic()
    for goal in ([f"-j{jobs or os.cpu_count() or 1}"], ["install", "INSTALL_ARG=-no_chown"]):
        _make(tree, goal, log, who, patience)
    if not (other := programs / "exim4").exists():
        other.symlink_to("exim")  # with Debian's patches Exim calls itself by that name
    took = time.monotonic() - started
    # The name with the version in it: another build is another path
    return Built(find_exim((programs / "exim").resolve()), makefile, log, took)


def _ids(account: str | None) -> tuple[int, int] | None:
    """User and group of the account that we, being root, become; None: we stay who we are."""
    if account is None or os.geteuid() != 0:
        return None
    import pwd

    try:
        entry = pwd.getpwnam(account)
    except KeyError:
        raise BuildFailed(f"There is no account {account} on this machine.") from None
    return entry.pw_uid, entry.pw_gid


def _hand_over(places: Sequence[Path], user: int, group: int) -> None:
    for place in places:
        for file in (place, *place.rglob("*")):
            os.chown(file, user, group, follow_symlinks=False)


def _make(tree: Path, goal: Sequence[str], log: Path, who: tuple[int, int] | None, patience: float) -> None:
    """make, in a process group of its own, so that all of it ends if we do."""
    command = ["make", *goal]
    with log.open("ab") as output:
        output.write(f"$ {shlex.join(command)}\n".encode())
        output.flush()
        try:
            making = subprocess.Popen(
                command,
                cwd=tree,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env={"PATH": os.environ.get("PATH", os.defpath), "LC_ALL": "C", "HOME": str(tree)},
                start_new_session=True,
                user=who[0] if who else None,
                group=who[1] if who else None,
                extra_groups=[] if who else None,
            )
        except PermissionError as problem:
            raise BuildFailed(f"Who builds Exim may not look into {tree}.") from problem
        try:
            status = making.wait(patience)
        except subprocess.TimeoutExpired as problem:
            raise BuildFailed(f"make has not finished within {patience:.0f} s. See {log}") from problem
        finally:
            if making.poll() is None:
                os.killpg(making.pid, signal.SIGKILL)
                making.wait()
    if status != 0:
        text = log.read_text("utf-8", "replace")
        said = re.search(r"^.*(?:\berror:|fatal error|\*\*\* \S).*$", text, re.MULTILINE)
        raise BuildFailed(f"make failed: {said[0].strip() if said else 'it does not say why'}. See {log}")
