"""Notebook 01a: the facts it teaches, its exercises with the model answers, and each typical mistake with its hint."""

from __future__ import annotations

import io
import json
import os
import pwd
import re
import shutil
import subprocess
import tarfile
import tempfile
from pathlib import Path

import pytest

from labkit.lab import machine
from labkit.lab.downloads import (
    Cause,
    Downloads,
    Outcome,
    as_fingerprint,
    card,
    downloads,
    known_holes,
    to_record,
    tool,
)
from labkit.lab.machine import brings_an_mta, listening_place, look_around
from labkit.lab.own_exim import ABOUT, POINTS, build_exim, explain, matrix, points_of
from labkit.net.programs.exim_options import CAPABILITIES, capabilities, read_makefile
from labkit.net.programs.exim_source import RELEASE_KEYS
from labkit.teach.checks import Progress, check
from labkit.teach.show import show

NOTEBOOK = Path(__file__).resolve().parents[2] / "notebooks" / "01a_install_and_trust.ipynb"
CELLS = {cell["id"]: cell for cell in json.loads(NOTEBOOK.read_text("utf-8"))["cells"]}
PETRA, ROSA, OTTO = card().values()
PAPER = [PETRA, ROSA, OTTO]


def source(cell: str) -> str:
    return "".join(CELLS[cell]["source"])


# -- 1a: the real machine -------------------------------------------------------------------------------------


def test_the_look_at_this_computer_has_the_shape_that_is_explained() -> None:
    found = look_around()
    assert {trace.kind for trace in found.traces} <= {"package", "program", "listener", "not looked"}
    assert all(trace.name and trace.detail for trace in found.traces)
    for trace in found.of("program"):
        assert Path(trace.name).exists()
    for trace in found.of("listener"):
        assert int(trace.name.removeprefix("port ")) in machine.MAIL_PORTS
    text = show(found).text()
    assert ("An MTA is installed" in text) is found.has_mta
    assert ("somebody listens" in text) is found.listens


def test_what_dpkg_installed_names_its_package() -> None:
    if shutil.which("dpkg") is None or not (found := look_around().of("package")):
        pytest.skip("no MTA is installed here as a package")
    owners = {trace.detail for trace in look_around().of("program")}
    assert any(f"of the package {package.name}" in detail for package in found for detail in owners)


@pytest.mark.parametrize(
    "line, place",
    [
        ("0: 00000000:0019 00000000:0000 0A 0 0", (25, "0.0.0.0")),
        ("0: 0100007F:0019 00000000:0000 0A 0 0", (25, "127.0.0.1")),
        ("0: 0100007F:0019 0100007F:C000 01 0 0", None),
        ("0: 00000000000000000000000001000000:024B 00000000000000000000000000000000:0000 0A", (587, "::1")),
        ("  sl  local_address rem_address   st tx_queue", None),
        ("", None),
    ],
)
@pytest.mark.skipif(
    machine.sys.byteorder != "little", reason="the lines are those of a little-endian machine"
)
def test_who_listens_is_read_from_the_kernels_table(line: str, place: tuple[int, str] | None) -> None:
    assert listening_place(line) == place


def test_a_listener_is_found_without_being_called() -> None:
    if not Path("/proc/net/tcp").exists():
        pytest.skip("/proc/net/tcp is not there on this system")
    import socket

    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        lines = Path("/proc/net/tcp").read_text().splitlines()
        assert (port, "127.0.0.1") in [listening_place(line) for line in lines]
        server.setblocking(False)
        with pytest.raises(BlockingIOError):
            server.accept()


DEPENDS = """\
bsd-mailx
 |Depends: <default-mta>
    exim4-daemon-light
  Depends: <mail-transport-agent>
    postfix
  Depends: libc6
mutt
  Depends: libc6
  Recommends: libsasl2-modules
 |Suggests: <default-mta>
  Suggests: <mail-transport-agent>
quiet
  Depends: libc6
  Conflicts: <mail-transport-agent>
"""


def test_what_a_mail_reader_brings_along(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine, "_said", lambda command: DEPENDS)
    found = brings_an_mta(["bsd-mailx", "mutt", "quiet", "nosuch"])
    assert [each.how for each in found] == ["depends", "suggests", "nothing", "not known"]
    assert found[0].what == "default-mta or mail-transport-agent"
    monkeypatch.setattr(machine, "_said", lambda command: None)
    assert brings_an_mta(["mutt"])[0].how == "not looked"
    assert {trace.name for trace in look_around().of("not looked")} >= {"packages"}


# -- 1b, 1c: the seven downloads ------------------------------------------------------------------------------

TRUTH = {
    1: (Outcome.REFUSE, Cause.OTHER_KEY, 0),
    2: (Outcome.REFUSE, Cause.OTHER_KEY, 0),
    3: (Outcome.UNDECIDED, Cause.EXPIRED_KEY, 0),
    4: (Outcome.REFUSE, Cause.TAMPERED, 1),
    5: (Outcome.ACCEPT, Cause.RIGHT_KEY, 0),
    6: (Outcome.REFUSE, Cause.REVOKED_KEY, 0),
    7: (Outcome.UNDECIDED, Cause.NO_KEY, 2),
}


@pytest.fixture
def recorded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No gpg: what it said is read from the record, which another test compares with gpg itself. It is quicker."""
    without_gpg(monkeypatch, tmp_path)


def without_gpg(monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
    monkeypatch.setenv("PATH", str(folder))
    monkeypatch.delenv("GPG_BIN", raising=False)


def the_seven(of: Downloads) -> dict[int, tuple[Outcome, Cause, int | None]]:
    judged = {each.number: of.verify(each.number, PAPER).verdict for each in of.all}
    return {number: (each.outcome, each.cause, each.exit_code) for number, each in judged.items()}


@pytest.mark.needs("gpg")
def test_gpg_judges_the_seven_as_the_notebook_teaches() -> None:
    seven = downloads()
    assert the_seven(seven) == TRUTH
    assert [exit_code for _, _, exit_code in TRUTH.values()].count(0) == 5, "five of them end with 0"
    assert seven.verify(5).verdict.cause is Cause.NOT_COMPARED
    assert seven.verify(5, PETRA).verdict.outcome is Outcome.ACCEPT
    assert seven.verify(2).verdict.user_id == seven.verify(5).verdict.user_id, "the impostor has her name"
    for number in TRUTH:
        assert seven.verify(number, PAPER, swapped=True).verdict.cause is Cause.NO_SIGNATURE
    expired = seven.verify(3, PAPER).verdict
    assert expired.was_valid_when_signed
    seven.refresh()
    assert seven.verify(3, PAPER).verdict.outcome is Outcome.ACCEPT, "the owner had prolonged it"
    assert seven.verify(6, PAPER).verdict.cause is Cause.REVOKED_KEY, "nothing brings that one back"


def test_without_gpg_the_recorded_lines_give_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    without_gpg(monkeypatch, tmp_path)
    seven = downloads()
    assert the_seven(seven) == TRUTH
    assert "gpg is not installed here" in tool()
    assert "apt-get install gnupg" in tool()
    assert check("seven downloads", RIGHT).progress is Progress.DONE


@pytest.mark.needs("gpg")
def test_what_was_recorded_is_what_gpg_says() -> None:
    seven = downloads()
    recorded = json.loads((seven.folder / "gpg.json").read_text("utf-8"))
    now = to_record(seven)
    assert re.match(r"gpg \(GnuPG\) \d", recorded["gpg"])
    for state in ("at first", "refreshed"):
        assert now[state]["keys"] == recorded[state]["keys"]
        for ours, theirs in zip(recorded[state]["heard"], now[state]["heard"]):
            assert _telling(ours) == _telling(theirs)


def _telling(heard: dict[str, object]) -> list[object]:
    """The lines that the notebook shows, and the exit code; the rest may differ between versions of gpg."""
    words = "GOODSIG BADSIG EXPKEYSIG REVKEYSIG VALIDSIG KEYEXPIRED NO_PUBKEY NODATA".split()
    lines = [line for line in heard["status"] if line.split(" ")[0] in words]  # type: ignore[attr-defined]
    return [heard["download"], heard["swapped"], heard["exit code"], *dict.fromkeys(lines)]


@pytest.mark.needs("gpg")
def test_no_secret_key_is_shipped(tmp_path: Path) -> None:
    tmp_path.chmod(0o700)
    files = [file for file in downloads().folder.rglob("*") if file.name == "KEYS" or file.suffix == ".asc"]
    keys = [file for file in files if b"PUBLIC KEY" in file.read_bytes()]
    assert len(keys) == 8
    for file in files:
        assert b"PRIVATE" not in file.read_bytes()
    for file in keys:
        listed = subprocess.run(
            ["gpg", "--homedir", tmp_path, "--batch", "--list-packets", file],
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        assert ":public key packet:" in listed
        assert ":secret" not in listed


def test_digests_say_which_bytes_are_the_same_and_nothing_else() -> None:
    seven = downloads()
    assert all(each.digest == each.digest_offered for each in seven.all), "every server's own digest fits"
    digests = {each.number: each.digest for each in seven.all}
    assert digests[3] == digests[5] == digests[6] == digests[7]
    assert digests[2] == digests[4]
    assert len(set(digests.values())) == 3
    assert {len(source_of(seven, n)) - len(source_of(seven, 5)) for n in (2, 4)} == {12}


def source_of(seven: Downloads, number: int) -> bytes:
    with tarfile.open(fileobj=io.BytesIO(seven[number].archive.read_bytes())) as archive:
        member = archive.extractfile("pigeon-1.4/pigeon.py")
        assert member is not None
        return member.read()


def test_the_paper_in_the_notebook_is_the_paper_of_the_check() -> None:
    printed = [
        as_fingerprint(digits) for digits in re.findall(r"`((?:[0-9A-F]{4} +){9}[0-9A-F]{4})`", source("s3c"))
    ]
    typed = [as_fingerprint(digits) for digits in re.findall(r'"([0-9A-F ]{50})"', source("c3c"))]
    assert printed == typed == PAPER
    impostor = downloads().verify(2).verdict.fingerprint
    assert impostor is not None
    assert impostor != PETRA
    assert impostor[-6:] == PETRA[-6:]


def test_a_signature_says_nothing_about_freshness() -> None:
    assert [hole.name for hole in known_holes("4.96")] == ["CVE-2023-51766"]
    assert known_holes("4.99") == ()
    text = show(known_holes("4.96")).text()
    assert text.startswith("One of its holes: the one that this lab can show\n"), (
        "nobody shall think it is the only one"
    )
    assert "There are more" in source("s6c")
    assert not {"BDAT", "CHUNKING", "LF.CRLF"} & set(re.findall(r"[A-Z.]+", text)), (
        "nobody has explained these yet"
    )


@pytest.mark.parametrize("refreshed", [False, True])
@pytest.mark.parametrize("swapped", [False, True])
@pytest.mark.usefixtures("recorded")
def test_no_line_about_a_signature_is_too_long_to_read(swapped: bool, refreshed: bool) -> None:
    seven = downloads()
    if refreshed:
        seven.refresh()
    for number in TRUTH:
        for compared in (None, PETRA, PAPER):
            checked = seven.verify(number, compared, swapped=swapped)
            text = show(checked).text()
            assert max(map(len, text.splitlines())) <= 110, text
            for line in checked.verdict.status:  # shortened, but the name and the key are there
                words = line.split(" ")
                if words[0] == "GOODSIG":
                    assert all(part in text for part in (words[1], " ".join(words[2:])))


@pytest.mark.parametrize(
    "number, compared, words",
    [
        (5, None, "compared with  nothing yet"),
        (5, [PETRA], "compared with  12F1 1381 CE32 8877 3FFD  A961 69D2 B46B BAAA 60A4\n"),
        (2, [PETRA], "compared with  12F1 1381 CE32 8877 3FFD  A961 69D2 B46B BAAA 60A4\n"),
        (5, PAPER, "BAAA 60A4 (number 1 of 3 keys)"),
        (3, PAPER, "31EE C141 (number 3 of 3 keys)"),
        (1, PAPER, "compared with  3 keys, and none of them fits"),
    ],
)
@pytest.mark.usefixtures("recorded")
def test_what_was_compared_is_shown(number: int, compared: list[str] | None, words: str) -> None:
    shown = show(downloads().verify(number, compared))
    assert words in shown.text() + "\n"
    assert words.strip() in str(shown.html())


RIGHT: dict[object, object] = {
    "compared": "12F1 1381 CE32 8877 3FFD  A961 69D2 B46B BAAA 60A4",
    1: "refuse, other key",
    2: "refuse, impostor",
    3: "undecided, expired key",
    4: "refuse: tampered",
    5: "accept, right key",
    6: "Refuse, revoked key",
    7: "undecided, no key",
}
ALL_RIGHT = "accept, right key"
IMPOSTOR = "620C38CA65E6ACCD81C1D41A6E1FFBEA20AA60A4"


def but(**changes: str) -> dict[object, object]:
    """The model answer, changed: but(d3="accept, right key")."""
    named = {int(name[1:]) if re.fullmatch(r"d\d", name) else name: value for name, value in changes.items()}
    return {**RIGHT, **named}


@pytest.mark.parametrize(
    "answers, words",
    [
        (but(d7=""), "no decision yet for 7"),
        (but(d7="maybe, no key"), 'Download 7: "maybe, no key" is not understood'),
        (but(d7="undecided"), 'Download 7: "undecided" is not understood'),
        (but(d7="undecided (perhaps)"), 'Download 7: "undecided (perhaps)" is not understood'),
        (but(d5="undecided, no signature"), "the two files the wrong way round"),
        (
            but(d1=ALL_RIGHT, d2=ALL_RIGHT, d3=ALL_RIGHT, d6=ALL_RIGHT),
            "exactly those for which gpg ends with exit code 0",
        ),
        (but(d1=ALL_RIGHT, d2=ALL_RIGHT), "all for which gpg says GOODSIG"),
        (but(compared=""), "with which fingerprint did you compare"),
        (but(compared="AA60A4"), "no whole fingerprint"),
        (but(compared="69D2B46BBAAA60A4"), "no whole fingerprint"),
        (but(compared=IMPOSTOR), "comes from where the archive came from"),
        (
            but(compared=IMPOSTOR, d2=ALL_RIGHT, d5="refuse, other key"),
            "comes from where the archive came from",
        ),
        (but(compared=ROSA), "did not sign the download that can be accepted"),
        (but(compared=PETRA[:-1] + "5"), "Is a digit wrong?"),
        (but(d2=ALL_RIGHT), "Download 2: the name and the address are right, the key is not"),
        (but(d1=ALL_RIGHT), "Download 1: The signature is good, but by a stranger's key"),
        (but(d1="undecided, other key"), "What more do you wait for?"),
        (but(d3=ALL_RIGHT), "Download 3: EXPKEYSIG: the key has expired (gpg's exit code is 0"),
        (but(d3="refuse, expired key"), "Expired is not broken"),
        (but(d4=ALL_RIGHT), "Download 4: gpg says BADSIG"),
        (but(d4="undecided, tampered"), "BADSIG is a clear answer"),
        (but(d5="refuse, other key"), "Did the words [unknown] or WARNING frighten you?"),
        (but(d5="undecided, no key"), "compare the one of VALIDSIG with it"),
        (but(d6=ALL_RIGHT), "the owner has taken this key back"),
        (but(d6="undecided, revoked key"), "A revocation is final"),
        (but(d7=ALL_RIGHT), "nothing speaks for it"),
        (but(d7="refuse, no key"), "nothing speaks against it either"),
        (but(d4="refuse, other key"), "refuse is right, but other key is not the reason. gpg says BADSIG"),
        (but(d3="undecided, no key"), "but no key is not the reason. gpg says EXPKEYSIG"),
    ],
)
@pytest.mark.usefixtures("recorded")
def test_mistakes_with_the_seven(answers: dict[object, object], words: str) -> None:
    verdict = check("seven downloads", answers).verdict
    assert (verdict.progress, words in verdict.words) == (Progress.NOT_YET, True), verdict.words


def test_the_model_answer_to_the_seven() -> None:
    verdict = check("seven downloads", RIGHT).verdict
    assert verdict.progress is Progress.DONE, verdict.words
    assert len(verdict.evidence) == 7
    assert check("seven downloads", {}).progress is Progress.NOT_ATTEMPTED
    assert check("seven downloads", None).progress is Progress.NOT_ATTEMPTED


@pytest.mark.usefixtures("recorded")
def test_a_verdict_may_be_copied_as_it_is_shown() -> None:
    seven = downloads()
    for form in ("{} ({})", "{}, ({})", "{} {}", "=> {} ({})", "{}:{}."):
        copied: dict[object, object] = {"compared": PETRA}
        for number in TRUTH:
            verdict = seven.verify(number, PAPER).verdict
            copied[number] = form.format(verdict.outcome.value, verdict.cause.value)
        assert check("seven downloads", copied).progress is Progress.DONE, form


def test_each_reason_stands_in_the_table_of_outcomes() -> None:
    table = source("s4f")
    for outcome, cause, _ in TRUTH.values():
        (row,) = (line for line in table.splitlines() if line.startswith(f"| **{outcome.value}**"))
        assert f"*{cause.value}*" in row


# -- the record -----------------------------------------------------------------------------------------------

ORIGIN = "https://www.pigeon.test/releases/"
NAME = "pigeon-1.4.tar.gz"


def a_record(origin: str = ORIGIN, digest: str = "", between: str = "  ", name: str = NAME) -> str:
    return f"# from: {origin}\n{digest or downloads()[5].digest}{between}{name}\n"


def test_the_model_record_is_one_that_sha256sum_checks(tmp_path: Path) -> None:
    verdict = check("record", a_record()).verdict
    assert verdict.progress is Progress.DONE, verdict.words
    assert check("record", a_record(digest=downloads()[5].digest.upper())).progress is Progress.DONE
    assert check("record", "\n").progress is Progress.NOT_ATTEMPTED
    for origin in (f"{ORIGIN}{NAME}", ORIGIN.rstrip("/"), f"<{ORIGIN}{NAME}>"):
        assert check("record", a_record(origin)).progress is Progress.DONE, origin
    if (program := shutil.which("sha256sum")) is None:
        pytest.skip("sha256sum is not installed here")
    shutil.copy(downloads()[5].archive, tmp_path)
    (tmp_path / "SHA256SUMS").write_text(a_record())
    checked = subprocess.run(
        [program, "--check", "--strict", "SHA256SUMS"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
    )
    assert checked.stdout == f"{NAME}: OK\n"


@pytest.mark.parametrize(
    "text, words",
    [
        (a_record().splitlines()[1], "The origin is missing"),
        (a_record(origin=""), "The origin is missing"),
        (a_record(origin="https://mirror.uni.test/pigeon/"), "where download 4 came from"),
        (a_record(origin="the internet"), "None of the seven came from there"),
        (a_record(origin="https://mirror.uni.test/pigeon"), "where download 4 came from"),
        (a_record(origin=f"https://mirror.uni.test/pigeon/{NAME}"), "where download 4 came from"),
        (a_record(origin=f"{ORIGIN}{NAME}.asc"), f"{NAME}.asc is another file of that folder"),
        (a_record(origin=f"{ORIGIN}old/{NAME}"), "None of the seven came from there"),
        (f"# from: {ORIGIN}", "The digest is missing"),
        (a_record(digest="not hexadecimal"), "has three parts"),
        (a_record(digest=PETRA), "the fingerprint of a key"),
        (a_record(digest="0" * 32), "as long as MD5"),
        (a_record(digest="0" * 40), "as long as SHA-1"),
        (a_record(digest="0" * 63), "It has 63 digits"),
        (a_record(digest="0" * 64), "No archive has this digest"),
        (a_record(digest=downloads()[4].digest), "the digest of download 2"),
        (a_record(digest=downloads()[1].digest), "the digest of download 1"),
        (a_record(between=" "), "Keep its form"),
        (a_record(between="\t"), "Keep its form"),
        (a_record(name="downloads/pigeon-1.4.tar.gz"), "The name is that of the file"),
    ],
)
@pytest.mark.usefixtures("recorded")
def test_mistakes_in_the_record(text: str, words: str) -> None:
    verdict = check("record", text).verdict
    assert (verdict.progress, words in verdict.words) == (Progress.NOT_YET, True), verdict.words


# -- 1d: the Local/Makefile -----------------------------------------------------------------------------------

STARTER = source("c7").split('"""')[1]
MODEL = STARTER.replace("EXIM_USER=", "EXIM_USER=ivan") + "\n".join(
    """AUTH_PLAINTEXT=yes LDFLAGS=-lspf2 LOOKUP_DSEARCH=yes SUPPORT_MAILDIR=yes SUPPORT_SPF=yes USE_OPENSSL=yes
    USE_OPENSSL_PC=openssl WITH_CONTENT_SCAN=yes""".split()
)


def lacking(name: str) -> str:
    """The model answer without an option, in a comment either."""
    return "\n".join(line for line in MODEL.splitlines() if not line.lstrip("# ").startswith(f"{name}="))


def test_the_starter_and_the_model() -> None:
    assert source("c7c").split('"""')[1] == STARTER
    assert matrix(STARTER).lost == POINTS, "one empty line, and nothing is possible"
    assert matrix(STARTER.replace("EXIM_USER=", "EXIM_USER=ivan")).lost == ("3", "5", "6", "13", "16", "17")
    assert check("local makefile", STARTER).progress is Progress.NOT_ATTEMPTED
    verdict = check("local makefile", MODEL).verdict
    assert verdict.progress is Progress.DONE, verdict.words
    assert len(verdict.evidence) == len(CAPABILITIES)
    gnutls = MODEL.replace("OPENSSL", "GNUTLS").replace("=openssl", "=gnutls")
    assert check("local makefile", gnutls).progress is Progress.DONE
    assert check(
        "local makefile", MODEL.replace("USE_OPENSSL_PC=openssl", "TLS_LIBS=-lssl -lcrypto")
    ).progress is (Progress.DONE)


@pytest.mark.parametrize(
    "text, words",
    [
        (lacking("EXIM_USER"), "EXIM_USER is not set"),
        (lacking("EXIM_USER"), "Whom shall Exim become when it needs no root?"),
        (MODEL.replace("=ivan", "=root"), "EXIM_USER may not be root"),
        (MODEL.replace("=ivan", "=1000"), "then EXIM_GROUP must be set too"),
        (lacking("USE_OPENSSL"), "No TLS library is set"),
        (MODEL + "\nDISABLE_TLS=yes", "DISABLE_TLS is set"),
        (MODEL + "\nDISABLE_TLS=no", "DISABLE_TLS is set, and it does not matter to what"),
        (MODEL + "\nDISABLE_DKIM=yes", "DISABLE_DKIM is set"),
        (lacking("AUTH_PLAINTEXT"), "No authenticator is set"),
        (lacking("LOOKUP_DSEARCH"), "LOOKUP_DSEARCH is not set"),
        (lacking("WITH_CONTENT_SCAN"), "WITH_CONTENT_SCAN is not set"),
        (lacking("SUPPORT_MAILDIR"), "SUPPORT_MAILDIR is not set"),
        (lacking("SUPPORT_SPF"), "SUPPORT_SPF is not set"),
        (lacking("ROUTER_REDIRECT"), "ROUTER_REDIRECT is not set: without it there is no aliases"),
        (lacking("SUPPORT_MAILDIR") + "\n# SUPPORT_MAILDIR=yes", "SUPPORT_MAILDIR stands in a comment"),
        (lacking("LOOKUP_DSEARCH") + "\n#LOOKUP_DSEARCH=yes", "LOOKUP_DSEARCH stands in a comment"),
        (lacking("USE_OPENSSL") + "\nUSE_OPENSLL=yes", "Did you mean USE_OPENSSL?"),
        (MODEL.replace("MAILDIR=yes", "MAILDIR=no"), "SUPPORT_MAILDIR=no does not switch it off"),
        (lacking("LDFLAGS"), "SUPPORT_SPF is set, but no line names its library"),
        (lacking("USE_OPENSSL_PC"), "Add USE_OPENSSL_PC=openssl"),
        (MODEL + "\nLOOKUP_SQLITE=yes", "Add LOOKUP_SQLITE_PC=sqlite3"),
    ],
)
def test_mistakes_in_the_makefile(text: str, words: str) -> None:
    verdict = check("local makefile", text).verdict
    assert (verdict.progress, words in verdict.words) == (Progress.NOT_YET, True), verdict.words


def test_comments_at_the_end_of_a_line_are_comments() -> None:
    assert read_makefile("EXIM_USER=ivan # that is me\n#A=1\n") == {"EXIM_USER": "ivan"}


def test_the_matrix_and_its_columns_agree() -> None:
    for capability in CAPABILITIES:
        assert set(points_of(capability)) <= set(POINTS)
    named = {name: points_of(row) for row in CAPABILITIES for name in [row.name]}
    assert named["mailbox files"] == ("3", "12", "13", "14")
    assert named["an Exim at all"] == POINTS
    rows = matrix(MODEL).findings
    assert rows == capabilities(read_makefile(MODEL))
    text = show(matrix(lacking("WITH_CONTENT_SCAN"))).text()
    assert "✗ Impossible with this Exim: 17." in text
    page = str(show(matrix(lacking("WITH_CONTENT_SCAN"))).html())
    assert page.count(">✗<") == 2, "the capability, and the point"
    assert "Of 15 capabilities, 14 are there and have no row here." in page
    assert "looking into content" in page
    assert "mailbox files" not in page, "only what is missing has a row"


def test_the_matrix_can_be_read() -> None:
    """Its lines are as wide as a page, and it says what its columns are."""
    for text in (STARTER, lacking("AUTH_PLAINTEXT"), MODEL):
        shown = show(matrix(text))
        assert max(map(len, shown.text().splitlines())) <= 110, shown.text()
        for words in ABOUT.values():
            assert words in " ".join(shown.text().split())
            assert words.replace("'", "&#x27;") in str(shown.html())
    assert tuple(ABOUT) == POINTS
    assert "AUTH_PLAINTEXT or another AUTH_… is not set" in str(show(matrix(STARTER)).html())
    complete = show(matrix(MODEL)).text()
    assert "All 15 capabilities are there, so none has a row." in complete
    assert complete.endswith("✓ All points from 3 to 17 are possible.")


def test_the_commands_that_build_it_by_hand() -> None:
    """What must not be missing: the key, its fingerprint, Debian's patches, the folder Local."""
    words = source("s10")
    (fingerprint,) = RELEASE_KEYS
    printed = re.search(r"^ +((?:[0-9A-F]{4} +){9}[0-9A-F]{4})$", words, re.MULTILINE)
    assert printed is not None
    assert as_fingerprint(printed[1]) == fingerprint
    steps = [
        *("apt-get source --download-only", "gpg --import", "gpg --verify", printed[1]),
        *("dpkg-source -x", "mkdir -p Local", "make install"),
    ]
    assert [words.index(step) for step in steps] == sorted(words.index(step) for step in steps)
    assert "deb-src" in words


def test_the_lines_are_explained() -> None:
    file = explain(MODEL)
    assert [line.name for line in file.lines] == list(dict.fromkeys(line.name for line in file.lines))
    meaning = {line.name: (line.meaning, line.points) for line in file.lines}
    assert meaning["SUPPORT_SPF"] == ("SPF as receiver", ("6", "17"))
    assert all("not known" not in words for words, _ in meaning.values())
    assert "is it USE_OPENSSL?" in show(explain("USE_OPENSLL=yes")).text()


ASKED = os.environ.get("LABKIT_SOURCE", "")


@pytest.mark.skipif(
    not ASKED, reason="Exim's sources: set LABKIT_SOURCE=1 (fetch them) or LABKIT_SOURCE=/folder"
)
@pytest.mark.needs("gpg", "make", "gcc", "patch")
def test_the_model_makefile_builds_an_exim_that_can_do_it_all() -> None:
    account = None
    if os.geteuid() == 0:
        names = {entry.pw_name for entry in pwd.getpwall()} & {"oracle", "lab"}
        if not names:
            pytest.skip("a test run of root needs a user called oracle or lab")
        account = min(names)
    folder = Path(tempfile.mkdtemp(prefix="exim"))
    try:
        folder.chmod(0o755)
        said: list[str] = []
        sources = None if ASKED == "1" else Path(ASKED)
        built = build_exim(MODEL, folder, sources=sources, account=account, say=said.append)
        assert all(capability.is_in(built.exim) for capability in CAPABILITIES)
        assert any(line.startswith("accept (right key)") for line in said)
    finally:
        shutil.rmtree(folder)


# -- what is shown ---------------------------------------------------------------------------------------------


def test_what_comes_from_files_and_programs_is_shown_inert() -> None:
    evil = "<script>alert(1)</script>"
    pages = [
        show(explain(f"EXIM_USER={evil}")),
        show(matrix(f"DISABLE_TLS={evil}")),
        check("seven downloads", but(d1=evil)),
        check("record", a_record(origin=evil)),
        check("local makefile", f"{evil}\nEXIM_USER={evil}"),
        show(machine.Machine((machine.Trace("program", evil, evil),))),
    ]
    shown = "".join(str(page.html()) for page in pages)
    assert "<script" not in shown
    assert "&lt;script&gt;" in shown


def test_a_name_in_a_key_is_shown_inert(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "signed"
    shutil.copytree(downloads().folder, folder)
    record = folder / "gpg.json"
    record.write_text(record.read_text().replace("Rosa Lind", "<img src=x>"))
    without_gpg(monkeypatch, tmp_path)
    forged = Downloads(folder)
    shown = str(show(forged.verify(6)).html()) + str(show(forged.keyring()).html())
    assert "&lt;img src=x&gt;" in shown
    assert "<img" not in shown
