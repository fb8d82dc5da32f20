"""Messages from files: one, an mbox, a folder, a Maildir; and what cannot be read is named."""

from __future__ import annotations

import os
import tracemalloc
from pathlib import Path

import pytest

from labkit.lab import mail_files
from labkit.lab.mail_files import UnreadableMail, read_messages

ONE, TWO = b"From: a@a.test\n\none\n", b"From: b@b.test\n\ntwo\n"
LINE = b"From ann@a.test Tue Mar 12 10:00:00 2024\n"


def read(path: Path) -> tuple[list[tuple[str, bytes]], list[str]]:
    problems: list[str] = []
    return list(read_messages(path, problems.append)), problems


def test_one_message(tmp_path: Path) -> None:
    (tmp_path / "a.eml").write_bytes(ONE.replace(b"\n", b"\r\n"))
    assert read(tmp_path / "a.eml") == ([("a.eml", ONE.replace(b"\n", b"\r\n"))], [])


@pytest.mark.parametrize(
    "octets, messages, because",
    [
        (
            LINE + ONE + b"\n" + LINE + TWO + b"\n",
            [ONE, TWO],
            "the empty line between them belongs to nobody",
        ),
        (LINE + ONE + b"\n" + LINE + TWO, [ONE, TWO], "the last one without it"),
        (LINE + ONE + LINE + TWO, [ONE + LINE + TWO], "no empty line, no new message"),
        (LINE + b"A: 1\n\nFrom now on\n", [b"A: 1\n\nFrom now on\n"], "a sentence is no From_ line"),
        (LINE + b"A: 1\n\n\nFrom now on\n", [b"A: 1\n\n\nFrom now on\n"], "not after an empty line either"),
        (LINE + b"A: 1\n\n>From x\n", [b"A: 1\n\nFrom x\n"], "one > was put there"),
        (LINE + b"A: 1\n\n>>From x\n>>y\n", [b"A: 1\n\n>From x\n>>y\n"], "mboxrd: one of several"),
        (LINE + ONE + b"\n" + b"From - Tue Mar 12 10:00:00 2024\n" + TWO, [ONE, TWO], "Thunderbird's"),
        (
            LINE + ONE + b"\n" + b"From MAILER-DAEMON Tue Mar 12 10:00:00 2024 +0100\n" + TWO,
            [ONE, TWO],
            "a zone",
        ),
        ((LINE + ONE + b"\n" + LINE + TWO).replace(b"\n", b"\r\n"), [ONE, TWO], "lines that end in CR LF"),
        (b"From whoever\n" + ONE, [ONE], "the first line is one, whatever it says"),
        (LINE, [b""], "an empty message"),
        (b"", [b""], "an empty file is an empty message"),
        (LINE[:-1] + b"x" * 3_000_000 + b"\n" + ONE, [ONE], "a From_ line of three megabytes"),
        (
            LINE + b"A: " + b"x" * 3_000_000 + b"\n\ny\n",
            [b"A: " + b"x" * 3_000_000 + b"\n\ny\n"],
            "a long line",
        ),
    ],
)
def test_mbox(tmp_path: Path, octets: bytes, messages: list[bytes], because: str) -> None:
    (tmp_path / "inbox").write_bytes(octets)
    found, problems = read(tmp_path / "inbox")
    assert [content.replace(b"\r\n", b"\n") for _, content in found] == messages, because
    assert not problems
    if octets.startswith(b"From "):
        assert [source for source, _ in found] == [f"inbox:{n}" for n in range(1, len(messages) + 1)]


def test_maildir(tmp_path: Path) -> None:
    for part in ("new", "cur", "tmp"):
        (tmp_path / part).mkdir()
    (tmp_path / "new/2.host").write_bytes(TWO)
    (tmp_path / "cur/1.host:2,S").write_bytes(ONE)
    (tmp_path / "tmp/3.host").write_bytes(b"not yet")
    assert read(tmp_path) == ([("new/2.host", TWO), ("cur/1.host:2,S", ONE)], [])


def test_folder(tmp_path: Path) -> None:
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep/b.EML").write_bytes(TWO)
    (tmp_path / "a.eml").write_bytes(ONE)
    (tmp_path / "c.mbox").write_bytes(LINE + ONE)
    (tmp_path / "Junk").write_bytes(LINE + TWO)
    (tmp_path / "Junk.msf").write_bytes(LINE + b"an index of it")
    (tmp_path / "notes.txt").write_bytes(b"no mail")
    (tmp_path / "NOTES").write_bytes(b"no mail")
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "link").symlink_to(tmp_path / "Junk")
    found, problems = read(tmp_path)
    assert [source for source, _ in found] == ["Junk:1", "a.eml", "c.mbox:1", "deep/b.EML"] and not problems


def test_what_cannot_be_read_is_named_and_reading_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    os.mkfifo(tmp_path / "a.eml")
    (tmp_path / "b.eml").symlink_to(tmp_path / "nowhere")
    (tmp_path / "c.eml").write_bytes(b"x" * 2000)
    (tmp_path / "d.mbox").write_bytes(LINE + b"y" * 2000 + b"\n\n" + LINE + TWO)
    (tmp_path / "e.eml").write_bytes(ONE)
    monkeypatch.setattr(mail_files, "LARGEST", 1000)
    found, problems = read(tmp_path)
    assert found == [("d.mbox:2", TWO), ("e.eml", ONE)]
    assert [problem.partition(":")[0] for problem in problems] == ["a.eml", "b.eml", "c.eml", "d.mbox"]
    assert "not a regular file" in problems[0] and "the limit is 1,000" in problems[2]


def test_without_a_listener_it_warns(tmp_path: Path) -> None:
    with pytest.warns(UnreadableMail, match="no message in this folder"):
        assert list(read_messages(tmp_path)) == []
    with pytest.raises(FileNotFoundError, match="nowhere: there is no such file or folder"):
        next(read_messages(tmp_path / "nowhere"))


def test_an_mbox_is_a_stream(tmp_path: Path) -> None:
    with open(tmp_path / "inbox", "wb") as file:
        for _ in range(20_000):
            file.write(LINE + ONE + b"x" * 400 + b"\n\n")
    tracemalloc.start()
    assert sum(1 for _ in read_messages(tmp_path / "inbox")) == 20_000
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 3_000_000


def test_no_link_inside_a_folder_is_followed(tmp_path: Path) -> None:
    """A folder that somebody else packed must not read this machine's files, through a file or a Maildir."""
    secret = tmp_path / "secret"
    secret.mkdir()
    (secret / "passwd").write_bytes(b"root: not for you\n")
    (secret / "d.eml").write_bytes(TWO)
    folder = tmp_path / "mail"
    (folder / "box/new").mkdir(parents=True)
    (folder / "box/cur").symlink_to(secret)
    (folder / "good/cur").mkdir(parents=True)
    (folder / "good/new").mkdir()
    (folder / "good/cur/1").symlink_to(secret / "passwd")
    (folder / "good/cur/2").write_bytes(ONE)
    (folder / "a.eml").symlink_to(secret / "passwd")
    (folder / "deep").symlink_to(secret)
    found, problems = read(folder)
    assert found == [("good/cur/2", ONE)]
    assert sorted(problems) == [
        "a.eml: a link, and none is followed",
        "good/cur/1: a link, and none is followed",
    ]
    linked = tmp_path / "mine.eml"
    linked.symlink_to(folder / "good/cur/2")
    assert read(linked)[0] == [("mine.eml", ONE)], "a link that the caller names himself is followed"


def test_an_mbox_without_an_end_is_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A sparse file of terabytes is no mailbox: nobody waits for its end."""
    monkeypatch.setattr(mail_files, "LARGEST", 1000)
    monkeypatch.setattr(mail_files, "HOPELESS", 10_000)
    file, told = tmp_path / "a.mbox", list[str]()
    with open(file, "wb") as stream:
        stream.write(b"From a@b Mon Jan  1 00:00:00 2024\n\nx\n\nFrom a@b Mon Jan  1 00:00:00 2024\n\n")
        stream.truncate(1 << 42)
    assert [octets for _, octets in read_messages(tmp_path, told.append)] == [b"\nx\n"]
    assert told == ["a.mbox:2: more than 10,000 octets without an end; reading ends here"]
