"""The corpus that comes with labkit is what its generator writes; a folder of one's own is read, whatever is in it."""

from __future__ import annotations

import os
import time
from collections import Counter
from email import message_from_bytes, policy
from email.message import EmailMessage
from pathlib import Path

import make_corpus
import pytest

from labkit.lab import corpus as room
from labkit.lab.corpus import Corpus, Letter, NoCorpus, read_corpus

HELD_STYLES = {
    False: {"asks_about_spam", "club", "sign_in", "travel"},
    True: {"boss", "dating", "hashbuster", "image_only", "loan", "obfuscated", "prize", "seo"},
}


@pytest.fixture(scope="module")
def shipped() -> Corpus:
    return read_corpus()


@pytest.fixture(scope="module")
def parsed(shipped: Corpus) -> list[tuple[Letter, EmailMessage]]:
    return [(letter, message_from_bytes(letter.content, policy=policy.default)) for letter in shipped]


def test_the_generator_writes_what_is_committed(root: Path) -> None:
    folder = root / "data" / "corpus"
    made = make_corpus.corpus_files()
    committed = {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*.mbox")}
    assert committed.keys() == made.keys(), "run: python tools/make_corpus.py"
    assert [name for name in made if committed[name] != made[name]] == [], "run: python tools/make_corpus.py"


def test_reading_gives_back_the_octets_that_were_made(shipped: Corpus) -> None:
    made = Counter(
        make_corpus.letter_of(style, number).content
        for style in make_corpus.styles()
        for number in range(int(style["count"]))
    )
    assert Counter(letter.content for letter in shipped) == made
    assert shipped.left_out == ()


def test_mbox_quotes_a_line_that_begins_with_from(tmp_path: Path) -> None:
    (style, *_) = make_corpus.styles()
    letter = make_corpus.letter_of(style, 0)
    hard = letter.content + b"\r\nFrom me to you\r\n>From her\r\n>>From all\r\n"
    for kind in ("ham", "spam"):
        (tmp_path / kind).mkdir()
    written = make_corpus.as_mbox(make_corpus.Made(letter.sent, letter.sender, hard))
    (tmp_path / "ham/x.mbox").write_bytes(written + make_corpus.as_mbox(letter))
    (tmp_path / "spam/y.eml").write_bytes(b"A: b\n\nc\n")
    found = {each.content for each in read_corpus(tmp_path) if not each.is_spam}
    assert found == {hard, letter.content}


def test_every_letter_is_clean_mail(parsed: list[tuple[Letter, EmailMessage]]) -> None:
    for letter, message in parsed:
        assert b"\n" not in letter.content.replace(b"\r\n", b""), letter
        assert max(map(len, letter.content.split(b"\r\n"))) <= 998, letter
        assert {"From", "To", "Subject", "Date", "Message-ID"} <= set(message.keys()), letter
        for part in message.walk():
            defects = [*part.defects, *(defect for value in part.values() for defect in value.defects)]
            assert not defects, (letter, defects)
            if part.get_content_maintype() == "text":
                assert not set(part.get_content()) & set("{}"), letter
        assert not set(str(message["Subject"])) & set("{}|"), letter


def test_every_name_is_reserved(parsed: list[tuple[Letter, EmailMessage]]) -> None:
    for letter, message in parsed:
        for field in ("From", "To"):
            for mailbox in message[field].addresses:
                assert mailbox.domain.endswith((".test", ".example")), letter
        for part in message.walk():
            if part.get_content_maintype() == "text":
                for rest in part.get_content().split("://")[1:]:
                    host = rest.split("/")[0].split('"')[0].split()[0].rstrip(">").rstrip(".")
                    assert host.endswith((".test", ".example")), (letter, host)


def test_languages_and_styles_are_those_promised(shipped: Corpus) -> None:
    assert 600 <= len(shipped) <= 900
    assert {letter.language for letter in shipped.training} == {"en", "de"}
    assert {letter.language for letter in shipped.held_out} == {"en", "de", "fr"}
    for is_spam, held_styles in HELD_STYLES.items():
        assert not held_styles & {letter.style for letter in shipped.training}
        held = {x.style for x in shipped.held_out if x.language != "fr" and x.is_spam == is_spam}
        assert held == held_styles
        for language in ("en", "de"):
            count = len(shipped.of(is_spam=is_spam, language=language).training)
            assert count >= 80, (is_spam, language)
        assert len(shipped.of(is_spam=is_spam, language="fr").held_out) >= 40


def test_the_shipped_corpus_is_small_and_quick(root: Path) -> None:
    folder = root / "data" / "corpus"
    assert sum(path.stat().st_size for path in folder.rglob("*") if path.is_file()) < 1_500_000
    room._shipped.cache_clear()
    start = time.process_time()
    read_corpus()
    assert time.process_time() - start < 0.3


def test_a_part_of_it(shipped: Corpus) -> None:
    casino = shipped.of(style="casino", language="en")
    assert casino.training and not casino.held_out
    assert all(letter.is_spam for letter in casino)
    assert len(shipped.of(is_spam=True)) + len(shipped.of(is_spam=False)) == len(shipped)
    with pytest.raises(ValueError, match="'poker'; there are advance_fee, asks"):
        shipped.of(style="poker")
    with pytest.raises(ValueError, match="there are de, en, fr"):
        shipped.of(language="la")


def test_it_prints_as_the_same_table_in_text_and_html(shipped: Corpus) -> None:
    text, html = repr(shipped), shipped._repr_html_()
    count = len(shipped.of(style="casino", language="de"))
    assert f"{len(shipped)} letters" in text and f"{len(shipped)} letters" in html
    (row,) = [line.split() for line in text.splitlines() if " casino " in line and "train" in line]
    assert row == ["to", "train", "on", "spam", "casino", str(len(casino_en(shipped))), str(count), "-"]
    assert html.count("<tr>") == len(text.splitlines()) - 1
    assert max(map(len, text.splitlines())) <= 110


def casino_en(corpus: Corpus) -> Corpus:
    return corpus.of(style="casino", language="en")


# --- a folder of one's own ---------------------------------------------------------------------------


def folder_of(place: Path, files: dict[str, bytes]) -> Path:
    for name, content in files.items():
        (place / name).parent.mkdir(parents=True, exist_ok=True)
        (place / name).write_bytes(content)
    return place


def letter(number: int) -> bytes:
    return f"From: a@a.test\nSubject: {number}\n\nwords {number}\n".encode()


LINE = b"From ann@a.test Tue Mar 12 10:00:00 2024\n"


def test_eml_mbox_and_maildir_with_their_names(tmp_path: Path) -> None:
    folder_of(
        tmp_path,
        {
            "ham/one.eml": letter(1),
            "ham/en/work.mbox": LINE + letter(2) + b"\n" + LINE + letter(3),
            "ham/friends/de/x.eml": letter(4).replace(b"\n", b"\r\n"),
            "spam/cur/7.host:2,S": letter(5),
            "spam/new/8.host": letter(6),
        },
    )
    found = {each.content: each for each in read_corpus(tmp_path)}
    named = {
        content.split(b"words ")[1].strip(): (x.is_spam, x.style, x.language) for content, x in found.items()
    }
    assert named == {
        b"1": (False, "unsorted", "unknown"),
        b"2": (False, "work", "en"),
        b"3": (False, "work", "en"),
        b"4": (False, "friends", "de"),
        b"5": (True, "unsorted", "unknown"),
        b"6": (True, "unsorted", "unknown"),
    }
    assert all(b"\n" not in content.replace(b"\r\n", b"") for content in found)
    assert found[letter(2).replace(b"\n", b"\r\n")].name == "ham/en/work.mbox:1"


@pytest.mark.parametrize("suffix", ["", ".mbox"])
def test_two_mbox_files_and_a_home_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, suffix: str
) -> None:
    folder_of(
        tmp_path,
        {
            f"mail/ham{suffix}": LINE + letter(1) + b"\n" + LINE + letter(2),
            f"mail/spam{suffix}": LINE + letter(3),
        },
    )
    monkeypatch.setenv("HOME", str(tmp_path))
    found = read_corpus("~/mail")
    assert [(each.name, each.is_spam, each.style, each.language) for each in sorted(found, key=lambda e: e.name)] == [
        (f"ham{suffix}:1", False, "unsorted", "unknown"),
        (f"ham{suffix}:2", False, "unsorted", "unknown"),
        (f"spam{suffix}:1", True, "unsorted", "unknown"),
    ]  # fmt: skip


def test_whole_styles_are_held_out_where_there_are_some(tmp_path: Path) -> None:
    names = ("office", "family", "shops", "lists")
    files = {f"ham/{name}/{n}.eml": letter(100 * k + n) for k, name in enumerate(names) for n in range(5)}
    files |= {f"spam/{n}.eml": letter(1000 + n) for n in range(80)}
    mine = read_corpus(folder_of(tmp_path, files))
    trained, held = ({x.style for x in part if not x.is_spam} for part in (mine.training, mine.held_out))
    assert trained and held and not trained & held
    held_spam = [x for x in mine.held_out if x.is_spam]
    assert 5 <= len(held_spam) <= 40, "about every fourth letter, by its content"
    assert [x.name for x in read_corpus(tmp_path)] == [x.name for x in mine]
    folder_of(tmp_path, {"ham/office/new.eml": letter(5000), "spam/new.eml": letter(5001)})
    after = read_corpus(tmp_path)
    assert {x.name for x in mine.held_out} <= {x.name for x in after.held_out}


def test_the_folder_may_say_what_is_held_out(tmp_path: Path) -> None:
    files = {
        "training/ham/a.eml": letter(1),
        "training/spam/b.eml": letter(2),
        "held_out/spam/c.eml": letter(3),
    }
    mine = read_corpus(folder_of(tmp_path, files))
    assert [x.name for x in mine.training] == ["training/ham/a.eml", "training/spam/b.eml"]
    assert [x.name for x in mine.held_out] == ["held_out/spam/c.eml"]


@pytest.mark.parametrize(
    "files, said",
    [
        ({}, "no letter in ham.*put .eml files, an mbox or a Maildir into .*ham"),
        ({"ham/a.eml": letter(1)}, "no letter in spam.*a filter learns from both"),
        (
            {"ham/a.txt": letter(1), "spam/b.eml": letter(2)},
            r"no letter in ham \(1 left out; the first: ham: ",
        ),
    ],
)
def test_a_folder_without_a_class_says_what_to_do(tmp_path: Path, files: dict[str, bytes], said: str) -> None:
    with pytest.raises(NoCorpus, match=said):
        read_corpus(folder_of(tmp_path, files))


def test_no_folder_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(NoCorpus, match=r"nowhere: there is no such folder; make it, with two folders"):
        read_corpus(tmp_path / "nowhere")
    (tmp_path / "file").write_bytes(b"x")
    with pytest.raises(NoCorpus, match="no such folder"):
        read_corpus(tmp_path / "file")


def test_what_cannot_be_read_is_named_and_the_rest_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(room, "LARGEST", 1000)
    files = {
        "ham/good.eml": letter(1),
        "ham/empty.eml": b"\r\n",
        "ham/huge.eml": letter(2) + b"x" * 1000,
        "ham/twice.eml": letter(1),
        "ham/both.eml": letter(3),
        "spam/both.eml": letter(3),
        "spam/noise.eml": bytes(range(256)),
        "spam/good.eml": letter(4),
    }
    os.mkfifo(folder_of(tmp_path, files) / "ham/pipe.eml")
    mine = read_corpus(tmp_path)
    assert {x.name for x in mine} == {"ham/good.eml", "spam/noise.eml", "spam/good.eml"}
    told = "\n".join(mine.left_out)
    for words in (
        "ham: empty.eml: no message is in it",
        "ham: huge.eml: 1,0",
        "ham: pipe.eml: not a regular file",
        "ham/twice.eml: the same letter is ham/good.eml; it counts once",
        "spam/both.eml: the same letter is ham/both.eml; ham and spam: neither counts",
    ):
        assert words in told, told
    assert len(mine.left_out) == 5
    assert "left out: 5" in repr(mine) and "left out: 5" in mine._repr_html_()


def test_there_is_an_end_to_reading(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(room, "MOST_LETTERS", 10)
    files = {
        f"{kind}/{n:02}.eml": letter(n + at) for kind, at in (("ham", 0), ("spam", 500)) for n in range(30)
    }
    mine = read_corpus(folder_of(tmp_path, files))
    assert Counter(x.is_spam for x in mine) == {False: 10, True: 10}
    assert (
        mine.left_out[0] == "ham: reading ends at 10.eml; more than 10 letters or 400,000,000 octets of ham"
    )


def test_names_from_a_folder_are_escaped(tmp_path: Path) -> None:
    bad = "<img src=x onerror=1>"
    files = {
        f"ham/{bad}/a.eml": letter(1),
        "spam/b\x1b[2J\n/b.eml": letter(2),
        f"spam/{'y' * 200}/c.eml": letter(3),
    }
    mine = read_corpus(folder_of(tmp_path, files))
    assert "<img" not in mine._repr_html_() and "&lt;img" in mine._repr_html_()
    assert "\x1b" not in repr(mine) and max(map(len, repr(mine).splitlines())) < 90


def test_a_letter_says_what_it_is_and_nothing_that_moves_a_terminal() -> None:
    odd = Letter(b"A: b\r\nsubject: \x1b[2Jhello \xe4\r\n\r\nSubject: no\r\n", True, "s", "en", "n")
    assert "\x1b" not in repr(odd) and "hello" in repr(odd) and "Subject: no" not in repr(odd)
    assert "''" in repr(Letter(b"", False, "s", "en", "n"))


def test_a_maildir_with_styles_as_subfolders(tmp_path: Path) -> None:
    mine = read_corpus(
        folder_of(
            tmp_path,
            {
                "ham/.Work/cur/1": letter(1),
                "ham/.Work/new/.keep": b"",
                "spam/bad/cur/.keep": b"",
                "spam/bad/new/2": letter(2),
            },
        )
    )
    assert {x.style for x in mine} == {"Work", "bad"}


def test_names_of_files_are_shown_on_one_line_and_obeyed_by_no_terminal(tmp_path: Path) -> None:
    """A name may hold all octets but a slash; what says it can be printed, and sent to a page."""
    bad = "a\nb\x1b[31m\u202e\udcff"
    shown = r"a\nb\x1b[31m\u202e\udcff"
    for folder in (tmp_path / bad, tmp_path / "mine/ham" / bad, tmp_path / "mine/spam"):
        folder.mkdir(parents=True)
    with pytest.raises(NoCorpus) as caught:
        read_corpus(tmp_path / bad)
    assert f"{shown}: no letter in ham; put" in str(caught.value)
    with pytest.raises(NoCorpus) as caught:
        read_corpus(tmp_path / bad / bad)
    assert f"{shown}/{shown}: there is no such folder" in str(caught.value)
    for name, octets in (("1", b"Subject: a\n\nx"), ("2", b"Subject: a\n\nx"), ("3", b"")):
        (tmp_path / "mine/ham" / bad / f"{name}{bad}.eml").write_bytes(octets)
    (tmp_path / "mine/spam/x.eml").write_bytes(b"Subject: b\n\ny")
    mine = read_corpus(tmp_path / "mine")
    with pytest.raises(ValueError, match="no letter has the style 'nosuch'") as unknown:
        mine.of(style="nosuch")
    said = [repr(mine), mine._repr_html_(), *map(repr, mine), *mine.left_out, str(unknown.value)]
    assert len(mine.left_out) == 2 and all(shown in each for each in mine.left_out)
    (ham,) = (letter for letter in mine if not letter.is_spam)
    assert repr(ham) == f"<Letter ham/{shown}/1{shown}.eml: ham, {shown}, unknown, 'a'>"
    assert all(character.isprintable() or character == "\n" for character in "".join(said))
    assert all("\n" not in each for each in said[2:])
