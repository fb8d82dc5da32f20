"""Task 1 for real: Exim's sources, their signature, an own build; and what a good signature does not promise.

WHEN       outside the usual run: LABKIT_SOURCE=1 fetches Debian's source package by apt-get; LABKIT_SOURCE=/folder
           takes the files that lie there. Otherwise skipped, in CI too. Takes about a minute.
ALWAYS     what needs no sources: options, the capability matrix, hostile archives.
WHO        never root builds or runs it: a test process of root names the user oracle or lab.
"""

from __future__ import annotations

import io
import os
import shutil
import socket
import subprocess
import tarfile
import tempfile
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

from labkit.net.programs import exim_source
from labkit.net.programs.exim_build import Built, build, missing_packages
from labkit.net.programs.exim_found import InstalledExim, find_exim
from labkit.net.programs.exim_options import (
    CAPABILITIES,
    capabilities,
    local_makefile,
    read_makefile,
    student_options,
    write_local_makefile,
)
from labkit.net.programs.exim_source import (
    RECORD,
    RELEASE_KEYS,
    BuildFailed,
    Sources,
    SourcesMissing,
    UnsafeArchive,
    fetch_sources,
    find_sources,
    known_holes,
    unpack,
    upstream_keys,
    verify_sources,
)
from labkit.net.programs.openpgp import Cause, Outcome, verify

from .real_exim import ordinary_user

ASKED = os.environ.get("LABKIT_SOURCE", "")
(UPSTREAM_KEY,) = RELEASE_KEYS
from_source = pytest.mark.skipif(
    not ASKED,
    reason="Exim's sources: set LABKIT_SOURCE=1 (fetch them) or LABKIT_SOURCE=/folder (they are there)",
)


# -- without sources -------------------------------------------------------------------------------------------

EDITME = """\
# A comment
BIN_DIRECTORY=/usr/exim/bin
CONFIGURE_FILE=/usr/exim/configure
EXIM_USER=
SPOOL_DIRECTORY=/var/spool/exim
# USE_OPENSSL=yes
# DISABLE_DKIM=yes
# SUPPORT_MAILDIR=yes
ROUTER_ACCEPT=yes
PCRE2_CONFIG=yes
"""


def tree_with(folder: Path) -> Path:
    """A source tree, as far as options are concerned."""
    (folder / "src").mkdir()
    (folder / "src" / "EDITME").write_text(EDITME)
    return folder


@pytest.mark.parametrize(
    "change, lost, because",
    [
        ({}, set(), "the student's own choice leaves nothing out"),
        (
            {"USE_OPENSSL": ""},
            {"5", "16", "6", "17"},
            "no TLS: no relay with a password, and Exim's DKIM needs it",
        ),
        ({"USE_OPENSSL": "", "USE_GNUTLS": "yes"}, set(), "either library will do"),
        ({"DISABLE_TLS": "yes"}, {"5", "16", "6", "17"}, "switched off, whatever library is named"),
        ({"DISABLE_DKIM": "no"}, {"6", "17"}, "set is set: Exim's build does not read the value"),
        ({"AUTH_PLAINTEXT": ""}, set(), "CRAM-MD5 is left"),
        ({"AUTH_PLAINTEXT": "", "AUTH_CRAM_MD5": ""}, {"5"}, "no way to log in at the relay"),
        ({"SUPPORT_SPF": ""}, {"6", "17"}, "a receiver that does not look at SPF"),
        ({"LOOKUP_DSEARCH": ""}, {"13"}, "virtual domains as files in a folder"),
        ({"WITH_CONTENT_SCAN": ""}, {"17"}, "no spam condition"),
        ({"SUPPORT_MAILDIR": ""}, {"3"}, "mailboxes are files only"),
        ({"EXIM_USER": ""}, {"all"}, "mandatory"),
    ],
)
def test_the_capability_matrix(tmp_path: Path, change: dict[str, str], lost: set[str], because: str) -> None:
    template = "ROUTER_ACCEPT ROUTER_REDIRECT ROUTER_DNSLOOKUP ROUTER_MANUALROUTE TRANSPORT_APPENDFILE TRANSPORT_SMTP"
    usual = {**dict.fromkeys([*template.split(), "PCRE2_CONFIG"], "yes"), **student_options(tmp_path, "ivan")}
    matrix = capabilities({**usual, **change})
    assert {point for row in matrix for point in row.lost} == lost, because
    assert all(row.is_there != bool(row.lost) for row in matrix)


def test_a_local_makefile_says_what_each_line_is_for(tmp_path: Path) -> None:
    tree = tree_with(tmp_path)
    text = local_makefile(
        tree, {"EXIM_USER": "ivan", "USE_OPENSSL": "yes", "BIN_DIRECTORY": "/home/ivan/exim/bin"}
    )
    assert read_makefile(text) == {
        "BIN_DIRECTORY": "/home/ivan/exim/bin",
        "CONFIGURE_FILE": "/usr/exim/configure",
        "EXIM_USER": "ivan",
        "SPOOL_DIRECTORY": "/var/spool/exim",
        "ROUTER_ACCEPT": "yes",
        "PCRE2_CONFIG": "yes",
        "USE_OPENSSL": "yes",
    }
    assert "# TLS: 5, 16\n# DKIM: 6, 17\nUSE_OPENSSL=yes\n" in text


@pytest.mark.parametrize(
    "options, said",
    [
        ({"USE_OPENSLL": "yes"}, "USE_OPENSLL is no option of this Exim"),
        ({"EXIM_USER": "$(shell id)"}, "make would act on this value"),
        ({"EXIM_USER": "ivan\nall: ; id"}, "make would act on this value"),
    ],
)
def test_options_that_are_refused(tmp_path: Path, options: dict[str, str], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        write_local_makefile(tree_with(tmp_path), options)


def test_makefiles_are_read_as_make_reads_them() -> None:
    text = "A=1\n# B=2\nLDFLAGS = -lidn \nLDFLAGS += -lspf2\nA=3\nLONG=a \\\n  b\nbuild:\n\techo\n"
    assert read_makefile(text) == {"A": "3", "LDFLAGS": "-lidn -lspf2", "LONG": "a    b"}


def test_a_folder_that_make_cannot_live_with() -> None:
    with pytest.raises(ValueError, match="blanks or odd characters"):
        student_options(Path("/home/ivan/My Documents"))


@pytest.mark.parametrize(
    "version, open_ones", [("4.96", 1), ("4.97", 1), ("4.97.1", 0), ("4.98~RC1", 0), ("4.99", 0)]
)
def test_known_holes(version: str, open_ones: int) -> None:
    assert len(known_holes(version)) == open_ones


def archive_of(file: Path, *members: tuple[str, dict[str, Any], bytes]) -> Path:
    with tarfile.open(file, "w:xz") as archive:
        for name, facts, content in members:
            member = tarfile.TarInfo(name)
            member.size = len(content)
            for fact, value in facts.items():
                setattr(member, fact, value)
            archive.addfile(member, io.BytesIO(content))
    return file


FOLDER = ("exim-9/", {"type": tarfile.DIRTYPE, "mode": 0o755}, b"")


@pytest.mark.parametrize(
    "member, because",
    [
        (("/etc/passwd", {}, b"x"), "outside its folder"),
        (("exim-9/../../x", {}, b"x"), "outside its folder"),
        (("exim-9/x", {"type": tarfile.SYMTYPE, "linkname": "/etc"}, b""), "link or a device"),
        (("exim-9/x", {"type": tarfile.LNKTYPE, "linkname": "/etc/passwd"}, b""), "link or a device"),
        (("exim-9/x", {"type": tarfile.CHRTYPE}, b""), "link or a device"),
        (("exim-9/x", {"type": tarfile.FIFOTYPE}, b""), "link or a device"),
        (("other/x", {}, b"x"), "no single folder"),
        (("exim-9/x", {}, b"x" * 2000), "too large"),
    ],
)
def test_hostile_archives(
    tmp_path: Path, member: tuple[str, dict[str, Any], bytes], because: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(exim_source, "MOST_BYTES", 1000)
    archive = archive_of(tmp_path / "exim-9.tar.xz", FOLDER, member)
    with pytest.raises(UnsafeArchive, match=because):
        unpack(Sources("9", archive, archive), tmp_path / "to")
    assert not (tmp_path / "to").exists()


def test_an_honest_archive(tmp_path: Path) -> None:
    script = ("exim-9/run", {"mode": 0o6755, "mtime": 1_000_000_000, "uid": 0}, b"#!")
    archive = archive_of(tmp_path / "exim-9.tar.xz", FOLDER, script)
    with pytest.raises(SourcesMissing, match="signature is missing"):
        find_sources(tmp_path)
    archive.with_name("exim-9.tar.xz.asc").write_text("a signature")
    sources = find_sources(tmp_path)
    assert (sources.version, sources.changed, len(sources.digests)) == ("9", (), 2)
    assert all(digest in str(sources) for digest in sources.digests.values())
    tree = unpack(sources, tmp_path / "to")
    found = (tree / "run").stat()
    assert (tree.name, found.st_mode & 0o7777, found.st_mtime) == ("exim-9", 0o755, 1_000_000_000)
    with pytest.raises(FileExistsError):
        unpack(sources, tmp_path / "to")
    with pytest.raises(SourcesMissing, match="Debian's patches"):
        unpack(sources, tmp_path / "again", patched=True)
    exim_source.record_sources(sources)
    archive.write_bytes(archive.read_bytes() + b"\0")
    assert find_sources(tmp_path).changed == ("exim-9.tar.xz",)


def test_the_newest_is_taken(tmp_path: Path) -> None:
    for version in ("4.96", "4.97.1", "4.98~RC1"):
        (tmp_path / f"exim4_{version}.orig.tar.xz").touch()
        (tmp_path / f"exim4_{version}.orig.tar.xz.asc").touch()
        (tmp_path / f"exim4_{version}-1.debian.tar.xz").touch()
    assert find_sources(tmp_path).version == "4.98~RC1"
    assert find_sources(tmp_path, "4.97.1").packaging == tmp_path / "exim4_4.97.1-1.debian.tar.xz"
    with pytest.raises(SourcesMissing, match=r"exim4_4\.95\.orig"):
        find_sources(tmp_path, "4.95")


def test_what_is_missing_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_local_makefile(tree_with(tmp_path), {"EXIM_USER": "ivan"})
    monkeypatch.setenv("PATH", str(tmp_path))
    assert missing_packages({})[:3] == ("make", "gcc", "pkg-config")
    assert "libssl-dev" in missing_packages({"USE_OPENSSL": "yes"})
    with pytest.raises(BuildFailed, match="sudo apt-get install make gcc pkg-config"):
        build(tmp_path, account=ordinary_account())
    with pytest.raises(SourcesMissing, match="no apt-get"):
        fetch_sources(tmp_path)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root is told so")
def test_root_does_not_build(tmp_path: Path) -> None:
    for account in (None, "root"):
        with pytest.raises(BuildFailed, match="by an ordinary user"):
            build(tmp_path, account=account)


# -- with sources ----------------------------------------------------------------------------------------------


def ordinary_account() -> str | None:
    """Who builds and runs Exim: None if we are an ordinary user ourselves."""
    account, identity = ordinary_user()
    return account.pw_name if identity else None


@pytest.fixture(scope="module")
def place() -> Iterator[Path]:
    """A folder with a short path that another user may enter."""
    folder = Path(tempfile.mkdtemp(prefix="exim"))
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder)


@pytest.fixture(scope="module")
def sources(place: Path) -> Sources:
    return fetch_sources(place / "sources") if ASKED == "1" else find_sources(Path(ASKED))


def built(sources: Sources, folder: Path, *, patched: bool) -> Built:
    account = ordinary_account()
    tree = unpack(sources, folder, patched=patched)
    made = build(tree, student_options(folder / "exim", account), account=account)
    print(f"built in {made.seconds:.0f} s: {made.exim}")
    return made


@pytest.fixture(scope="module")
def upstreams(sources: Sources, place: Path) -> Built:
    """As its authors signed it."""
    return built(sources, place / "upstream", patched=False)


@pytest.fixture(scope="module")
def debians(sources: Sources, place: Path) -> Built:
    """With Debian's patches."""
    if sources.packaging is None:
        pytest.skip("Debian's patches are not at hand")
    return built(sources, place / "debian", patched=True)


@from_source
def test_where_it_comes_from(sources: Sources) -> None:
    assert sources.changed == ()
    assert sources.archive.name in sources.digests
    if ASKED == "1":
        assert sources.origin.startswith("http")
        checked = subprocess.run(
            ["sha256sum", "--check", "--strict", RECORD],
            cwd=sources.archive.parent,
            capture_output=True,
            text=True,
            check=True,
        )
        assert checked.stdout.count(": OK") == len(sources.digests)


@from_source
@pytest.mark.needs("gpg")
def test_the_signature(sources: Sources, tmp_path: Path) -> None:
    verdict = verify_sources(sources, UPSTREAM_KEY)
    assert (verdict.outcome, verdict.cause) == (Outcome.ACCEPT, Cause.RIGHT_KEY), str(verdict)
    assert verify_sources(sources).cause is Cause.NOT_COMPARED
    assert verify_sources(sources, "0" * 40).cause is Cause.OTHER_KEY
    changed = tmp_path / sources.archive.name
    changed.write_bytes(sources.archive.read_bytes()[:-1] + b"\0")
    keys = upstream_keys(sources, tmp_path)
    assert verify(changed, sources.signature, keys, UPSTREAM_KEY).cause is Cause.TAMPERED
    assert verify(sources.signature, sources.archive, keys, UPSTREAM_KEY).cause is Cause.NO_SIGNATURE


@from_source
@pytest.mark.needs("make", "gcc")
def test_the_build_can_do_what_its_makefile_says(upstreams: Built, monkeypatch: pytest.MonkeyPatch) -> None:
    matrix = capabilities(read_makefile(upstreams.makefile.read_text()))
    assert [row.capability.name for row in matrix if row.is_there] == [
        capability.name for capability in CAPABILITIES if capability.is_in(upstreams.exim)
    ]
    assert all(row.is_there for row in matrix)
    assert upstreams.exim.path.stat().st_mode & 0o7000 == 0  # no set-uid, so the lab's shim works with it
    if os.geteuid() == 0:
        assert upstreams.exim.path.stat().st_uid != 0
    monkeypatch.setenv("EXIM_BIN", str(upstreams.exim.path))
    assert find_exim() == upstreams.exim
    command: list[str | Path] = [
        upstreams.exim.path,
        "-bP",
        "spool_directory",
    ]  # without -C: it reads its own CONFIGURE_FILE
    asked = subprocess.run(
        command, capture_output=True, text=True, check=False, timeout=20, **ordinary_user()[1]
    )
    assert asked.stdout == f"spool_directory = {upstreams.exim.path.parents[1]}/spool\n", asked.stderr


CONFIGURATION = """\
primary_hostname = mx.here.test
local_interfaces = 127.0.0.1
daemon_smtp_ports = {port}
disable_ipv6 = true
exim_path = {exim}
exim_user = {user}
exim_group = {group}
deliver_drop_privilege = true
spool_directory = {folder}/spool
log_file_path = {folder}/log/%slog
pid_file_path = {folder}/exim.pid
check_spool_space = 0
check_spool_inodes = 0
keep_environment =
tls_advertise_hosts =
host_lookup =
rfc1413_query_timeout = 0s
queue_only = true
acl_smtp_rcpt = accept
"""
ENVELOPE = [
    b"EHLO client.test\r\n",
    b"MAIL FROM:<ann@client.test>\r\n",
    b"RCPT TO:<bob@here.test>\r\n",
    b"DATA\r\n",
]
# BDAT, because Exim minds if the text comes before its answer to DATA (smtp_enforce_sync)
TEXT = b"Subject: smuggled\r\n\r\nPay at once.\r\n"
SMUGGLED = b"MAIL FROM:<boss@here.test>\r\nRCPT TO:<bob@here.test>\r\nBDAT %d LAST\r\n%s" % (len(TEXT), TEXT)
END = b"\r\n.\r\n"


@contextmanager
def daemon(exim: InstalledExim, folder: Path) -> Iterator[int]:
    """That Exim, listening on a high port of 127.0.0.1 as an ordinary user; the port."""
    who, become = ordinary_user()
    with closing(socket.socket()) as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    folder.mkdir()
    os.chown(folder, who.pw_uid, who.pw_gid)
    names = {"port": port, "exim": exim.path, "user": who.pw_name, "group": who.pw_gid, "folder": folder}
    (folder / "exim.conf").write_text(CONFIGURATION.format_map(names))
    with (folder / "said").open("wb") as said:
        running = subprocess.Popen(
            [exim.path, "-C", folder / "exim.conf", "-bdf"],
            cwd="/",
            env={"PATH": "/usr/bin:/bin", "TZ": "UTC"},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=said,
            **become,
        )
    try:
        for _ in range(100):
            with closing(socket.socket()) as caller:
                if caller.connect_ex(("127.0.0.1", port)) == 0:
                    break
            assert running.poll() is None, (folder / "said").read_text()
            time.sleep(0.05)
        yield port
    finally:
        running.terminate()
        running.wait(10)


def send(port: int, ending: bytes) -> list[str]:
    """The replies to a message that may end before its real end."""
    with (
        socket.create_connection(("127.0.0.1", port), timeout=20) as client,
        client.makefile("rb") as replies,
    ):

        def reply() -> str:
            while (line := replies.readline().decode())[3:4] == "-":
                pass
            return line.rstrip()

        said = [reply()]
        for command in ENVELOPE:
            client.sendall(command)
            said.append(reply())
        client.sendall(b"Subject: harmless\r\n\r\nGood morning" + ending + SMUGGLED + END)
        said.append(reply())
        with suppress(ConnectionError):  # who was smuggled to has hung up: 554 SMTP synchronization error
            client.sendall(b"QUIT\r\n")
            while line := reply():
                said.append(line)
    return said


@from_source
@pytest.mark.needs("make", "gcc")
@pytest.mark.parametrize(
    "ending, name, upstream_takes",
    [
        (b"\n.\r\n", "LF . CRLF", 2),
        (b"\n.\n", "LF . LF", 2),
        (b"\r\n.\n", "CRLF . LF", 2),
        (b"\r\n..\r\n", "CRLF .. CRLF: a dot of the text, doubled", 1),
    ],
)
def test_signed_but_vulnerable(
    sources: Sources,
    upstreams: Built,
    debians: Built,
    place: Path,
    ending: bytes,
    name: str,
    upstream_takes: int,
) -> None:
    """A good signature proves origin, not freshness: one message goes in, upstream's signed 4.96 sees two."""
    if not known_holes(sources.version):
        pytest.skip(f"upstream's {sources.version} has the hole closed")
    taken = {}
    for who, made in (("upstream", upstreams), ("debian", debians)):
        with daemon(made.exim, place / f"{who}-{ending.hex()}") as port:
            said = send(port, ending)
        assert said[0].startswith("220 mx.here.test ESMTP Exim")
        taken[who] = sum(line.startswith("250 OK id=") for line in said)
        print(who, name, *said[5:], sep="\n  ")
    assert taken == {"upstream": upstream_takes, "debian": 1}, name
