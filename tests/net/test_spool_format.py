"""Exim's spool files: written and read by us, and judged by a real Exim."""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import datetime, timedelta, timezone
from pathlib import Path

import pytest
from hypothesis import HealthCheck, Phase, example, given, settings
from hypothesis import strategies as st

from labkit.mail.address import Mailbox
from labkit.mail.encryption import Encryption
from labkit.mail.envelope import Envelope, Wishes
from labkit.net.mailboxes import read_mbox
from labkit.net.spool_format import (
    SpoolFormatError,
    address_line,
    check_queue_id,
    decode,
    decode_journal,
    encode,
)
from labkit.queue.item import Origin, QueueItem

NOON = datetime(2026, 11, 22, 12, 0, 0, 250000, timezone.utc)
ANN, BOB, EVE = (Mailbox(name, "st1.sne21.test") for name in ("ann", "bob", "eve"))
ITEM = QueueItem(
    "1xVGdp-0000LT-0M",
    Envelope(ANN, (BOB, Mailbox("a b", "c.test"))),
    b"Received: from x\r\n\tby y\r\nFrom: ann\r\nX-Any: 1\r\n\r\nHello\r\nFrom me\r\n",
    NOON,
    Origin("203.0.113.77", 4321, "client.test", "esmtp"),
)

local_parts = st.text(st.characters(min_codepoint=32, max_codepoint=126), min_size=1, max_size=20)
domains = st.from_regex(r"[a-zA-Z0-9_]([a-z0-9-]{0,5}[a-z0-9])?(\.[a-z0-9]{1,5}){0,2}", fullmatch=True)
mailboxes = st.builds(Mailbox, local_parts, st.just("") | domains)
odd_lines = [
    b"",
    b" folded",
    b"From x",
    b".",
    b"X : 1",
    b":",
    b"no field",
    b"A: \0",
    b"\xff\0",
    b"B: \xe9",
    b"To: \rx",
    b"c: \nd",
]
contents = st.lists(
    st.sampled_from([b"Subject: x", b"\tmore", *odd_lines]) | st.binary(max_size=9), max_size=9
).flatmap(
    lambda lines: st.sampled_from([b"\r\n".join(lines), b"\r\n".join([*lines, b""]), b"\n".join(lines)])
)
names = st.text(st.characters(exclude_characters="\n\0", exclude_categories=["Cs"]), max_size=9)
origins = st.builds(
    Origin, st.from_regex(r"[0-9a-f:.]{1,9}", fullmatch=True), st.integers(0, 65535), names, names, names
) | st.builds(Origin, helo_name=names, protocol=names, login=names)
items = st.builds(
    QueueItem,
    st.from_regex(r"[0-9A-Za-z]{1,20}(-[0-9A-Za-z]{1,20}){0,2}", fullmatch=True),
    st.builds(Envelope, st.none() | mailboxes, st.lists(mailboxes, max_size=9).map(tuple)),
    contents,
    st.datetimes(timezones=st.just(timezone.utc)),
    origins,
    st.frozensets(mailboxes, max_size=9),
    st.booleans(),
)


@given(items)
@example(replace(ITEM, envelope=Envelope(None, (Mailbox("|:0", ""), Mailbox("/a:b", "")))))  # no deliveries
@example(replace(ITEM, content=b""))
@example(replace(ITEM, content=b"\r\n"))
@example(replace(ITEM, content=b"Subject: only a header\r\n"))
@example(replace(ITEM, content=b"Subject: no line end"))
@example(replace(ITEM, content=b"A: 1\r\n\r\nbare\nand\rbare\r"))
@example(replace(ITEM, finished=frozenset(Mailbox(f"u{n}", "x.test") for n in range(1000))))
def test_round_trip(item: QueueItem) -> None:
    header, data = encode(item)
    assert decode(header, data) == item
    assert encode(decode(header, data)) == (header, data)


def test_what_a_student_sees() -> None:
    finished = frozenset((BOB, Mailbox("c", "d.test"), Mailbox("a", "b.test")))
    header, data = encode(replace(ITEM, finished=finished, frozen=True))
    assert header.decode() == (
        "1xVGdp-0000LT-0M-H\n"
        "labkit 65534 65534\n"
        "<ann@st1.sne21.test>\n"
        "1795348800 0\n"
        "-received_time_usec .250000\n"
        "-received_time_complete 1795348800.250000\n"
        "--helo_name client.test\n"
        "-host_address [203.0.113.77]:4321\n"
        "-received_protocol esmtp\n"
        "-body_linecount 2\n"
        "-max_received_linelength 16\n"
        "-frozen 1795348800\n"
        "YY bob@st1.sne21.test\n"
        "NN a@b.test\n"
        "NN c@d.test\n"
        "2\n"
        "bob@st1.sne21.test\n"
        '"a b"@c.test\n'
        "\n"
        "023P Received: from x\n\tby y\n"
        "010F From: ann\n"
        "009  X-Any: 1\n"
    )
    assert data == b"1xVGdp-0000LT-0M-D\nHello\nFrom me\n"


def test_reads_what_only_exim_writes() -> None:
    header = (
        b"1xVGdp-0000LT-0M-H\nst1 1000 -1\n<>\n1795348800 2\n"
        b"--aclm x 7\n-a\nXX\n\n\n"  # the value of $acl_m_x is seven characters, line ends among them
        b"-aclc 0 4\n-x\ny\n--(lsearch)active_hostname h.test\n-tls_resumption A\n-deliver_firsttime\n-N\n"
        b"-received_protocol esmtps\n-body_linecount 1\nXX\n4\n"
        b"bob@st1.sne21.test rfc822;bob@x 12,2  0,-1#3\nann@st1.sne21.test  0,0#1\neve@st1.sne21.test 0\n"
        b'"a 1"@c.test 1,2,3\n\n020* From: x rewritten !\n010F From: ann\n'
    )
    item = decode(header, b"1xVGdp-0000LT-0M-D\nx\n")
    wishes = ((BOB, Wishes(frozenset({"NEVER"}), "rfc822;bob@x")),)
    assert item.envelope == Envelope(None, (BOB, ANN, EVE, Mailbox("a 1", "c.test")), wishes=wishes)
    assert item.warnings == 2 and item.is_untried
    assert item.content == b"From: ann\r\n\r\nx\r\n"
    assert item.received_at == NOON.replace(microsecond=0)


@pytest.mark.parametrize(
    "old, new, where, because",
    [
        ("1xVGdp-0000LT-0M-H", "1xVGdp-0000LT-0M-D", "the -H file, line 1", "the other file's name"),
        ("1xVGdp-0000LT-0M-H", "../../etc/passwd-H", "the -H file, line 1", "no queue id"),
        ("labkit 65534 65534", "labkit", "1xVGdp-0000LT-0M-H, line 2", "no uid"),
        ("<ann@st1.sne21.test>", "ann@st1.sne21.test", "1xVGdp-0000LT-0M-H, line 3", "no brackets"),
        ("<ann@st1.sne21.test>", "<ann st1.sne21.test>", "1xVGdp-0000LT-0M-H, line 3", "no address"),
        ("1795348800 0", "1795348800", "1xVGdp-0000LT-0M-H, line 4", "no number of warnings"),
        ("1795348800 0", "999999999999 0", "1xVGdp-0000LT-0M-H, line 4", "no such year"),
        ("usec .250000", "usec .25", "1xVGdp-0000LT-0M-H, line 5", "not six digits"),
        ("]:4321", "]:99999", "1xVGdp-0000LT-0M-H", "no such port"),
        ("XX\n", "YN bob@st1.sne21.test\n", "1xVGdp-0000LT-0M-H, line 13", "a branch is missing"),
        ("XX\n", "", "1xVGdp-0000LT-0M-H, line 12", "the tree is missing"),
        ("\n2\n", "\n3\n", "1xVGdp-0000LT-0M-H, line 16", "a recipient is missing"),
        ("\n2\n", "\n1\n", "1xVGdp-0000LT-0M-H, line 15", "a recipient too many"),
        ("\n2\n", "\nmany\n", "1xVGdp-0000LT-0M-H, line 13", "no number"),
        ("023P", "022P", "1xVGdp-0000LT-0M-H, line 17", "a length that does not end a line"),
        ("010F", "010F\0", "1xVGdp-0000LT-0M-H, line 19", "NUL"),
        ("009  X-Any: 1\n", "009  X-A", "1xVGdp-0000LT-0M-H, line 20", "cut off"),
        ("bob@st1.sne21.test\n", "bob@st1.\0", "1xVGdp-0000LT-0M-H, line 14", "what a power cut may leave"),
    ],
)  # fmt: skip
def test_broken_header_file(old: str, new: str, where: str, because: str) -> None:
    header, data = encode(ITEM)
    assert header.count(old.encode()) == 1
    with pytest.raises(SpoolFormatError) as caught:
        decode(header.replace(old.encode(), new.encode()), data)
    assert str(caught.value).startswith(where), because


@pytest.mark.parametrize(
    "data, where, because",
    [
        (b"", "line 1", "empty"),
        (b"1xVGdp-0000LT-0M-D", "line 1", "no line"),
        (b"1xVGdp-0000LT-0N-D\nHello\nFrom me\n", "line 1", "another message's file"),
        (b"1xVGdp-0000LT-0M-D\nHello\nFro", "line 2", "cut off"),
    ],
)
def test_broken_data_file(data: bytes, where: str, because: str) -> None:
    with pytest.raises(SpoolFormatError) as caught:
        decode(encode(ITEM)[0], data)
    assert str(caught.value).startswith(f"1xVGdp-0000LT-0M-D, {where}: "), because


@given(
    items,
    st.lists(
        st.tuples(st.integers(0, 2000), st.integers(0, 40), st.binary(max_size=6)), min_size=1, max_size=3
    ),
)
def test_damage_raises_nothing_else(item: QueueItem, damages: list[tuple[int, int, bytes]]) -> None:
    header, data = encode(item)
    for start, length, new in damages:
        header = header[: start % len(header)] + new + header[start % len(header) + length :]
    try:
        read = decode(header, data)
    except SpoolFormatError:
        return
    encode(read)  # whatever is read can be written again


@given(st.binary(), st.binary())
def test_noise_raises_nothing_else(header: bytes, data: bytes) -> None:
    with pytest.raises(SpoolFormatError):
        decode(header, data)
    decode_journal(header)


@pytest.mark.parametrize(
    "item, because",
    [
        (replace(ITEM, queue_id="../x"), "an id is part of a file name"),
        (replace(ITEM, queue_id=""), "no id"),
        (replace(ITEM, queue_id="x" * 65), "too long for a name"),
        (replace(ITEM, received_at=datetime(2026, 1, 1)), "no time zone"),
        (replace(ITEM, envelope=Envelope(Mailbox("a\nb", "c"), ())), "a line end in the sender"),
        (replace(ITEM, envelope=Envelope(None, (Mailbox("é", "c"),))), "not ASCII"),
        (replace(ITEM, envelope=Envelope(None, (Mailbox("a", "b c"),))), "no domain"),
        (replace(ITEM, origin=Origin("1.2.3.4", 25, "a\nb")), "a line end in HELO"),
        (replace(ITEM, origin=Origin("", 25)), "a port of no host"),
        (replace(ITEM, origin=Origin("1.2.3.4", 65536)), "no such port"),
    ],
)
def test_cannot_be_written(item: QueueItem, because: str) -> None:
    try:
        encode(item)
    except ValueError:
        return
    pytest.fail(because)


@pytest.mark.parametrize("queue_id", ["1xVGdp-0000LT-0M", "1xVGdp-0000000LT-0M0a", "0"])
def test_queue_ids(queue_id: str) -> None:
    assert check_queue_id(queue_id) == queue_id


@pytest.mark.parametrize("queue_id", ["", "-", "a--b", "a-", "a/b", "..", "a.b", "a\n", "a\0", "é", "a" * 65])
def test_no_queue_ids(queue_id: str) -> None:
    with pytest.raises(ValueError, match="not a queue id"):
        check_queue_id(queue_id)


def test_journal_keeps_whole_lines_only() -> None:
    assert decode_journal(b"") == ([], [])
    mailboxes, troubles = decode_journal(
        b"bob@st1.sne21.test\nno address\n\0\0\nann@st1.sne21.test\neve@st1.sne21.te"
    )
    assert mailboxes == [BOB, ANN]
    assert [trouble.partition(":")[0] for trouble in troubles] == [
        "the -J file, line 2",
        "the -J file, line 3",
    ]


def test_time_is_linear() -> None:
    """A megabyte of lines, and of header fields, of any kind."""
    for line in (b"x\r\n", b"\r\n", b"A: b\r\n", b"\n", b" \r\n"):
        content = b"A: b\r\n" + line * (1_000_000 // len(line))
        assert decode(*encode(replace(ITEM, content=content))).content == content


# The judge: a real Exim, run by an ordinary user


class RealExim:
    """Runs Exim's programs in a folder of its own; root (a container's) becomes `nobody` for that."""

    def __init__(self, program: str, exipick: str, folder: Path) -> None:
        self.program, self.exipick, self.folder = program, exipick, folder
        self.account = pwd.getpwnam("nobody") if os.geteuid() == 0 else pwd.getpwuid(os.geteuid())
        self.input = folder / "spool" / "input"
        self.input.mkdir(parents=True)
        self.box = folder / "box"
        (folder / "exim.conf").write_text(
            f"exim_user = {self.account.pw_uid}\nexim_group = {self.account.pw_gid}\n"
            "deliver_drop_privilege = true\nkeep_environment =\n"
            f"trusted_users = {self.account.pw_name}\n"
            f"spool_directory = {folder}/spool\nlog_file_path = {folder}/%slog\n"
            "primary_hostname = mx.st1.sne21.test\nqueue_only = true\ntls_advertise_hosts =\n"
            "dsn_advertise_hosts = *\nsmtp_enforce_sync = false\nacl_smtp_rcpt = accept\nacl_smtp_data = accept\n"
            "begin routers\nall:\n  driver = accept\n  transport = box\n"
            f"begin transports\nbox:\n  driver = appendfile\n  file = {folder}/box\n"
        )
        self.give_away()

    def give_away(self) -> None:
        if os.geteuid() == 0:
            for path in (self.folder, *self.folder.rglob("*")):
                os.chown(path, self.account.pw_uid, self.account.pw_gid)

    def empty(self) -> None:
        for path in self.input.iterdir():
            path.unlink()

    def store(self, item: QueueItem) -> None:
        header, data = encode(item)
        (self.input / f"{item.queue_id}-D").write_bytes(data)
        (self.input / f"{item.queue_id}-H").write_bytes(header)
        self.give_away()

    def read(self, queue_id: str) -> QueueItem:
        return decode(*((self.input / f"{queue_id}-{part}").read_bytes() for part in "HD"))

    def run(self, *arguments: str, text: bytes = b"") -> str:
        is_exim = arguments[0] != self.exipick
        command = (self.program, "-C", f"{self.folder}/exim.conf", *arguments) if is_exim else arguments
        with subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            cwd=self.folder,
            user=self.account.pw_uid if os.geteuid() == 0 else None,
            group=self.account.pw_gid if os.geteuid() == 0 else None,
            extra_groups=[] if os.geteuid() == 0 else None,
        ) as program:
            said, complaints = program.communicate(text, timeout=60)
        assert program.returncode == 0 and not complaints, complaints
        return said.decode("latin-1")


@pytest.fixture
def real_exim(require: Callable[[str], str]) -> Iterator[RealExim]:
    folder = Path(tempfile.mkdtemp(prefix="labkit-exim-"))  # pytest's own folder is closed to other users
    folder.chmod(0o755)
    try:
        yield RealExim(require("exim"), require("exipick"), folder)
    finally:
        shutil.rmtree(folder)


def test_exim_lists_what_we_write(real_exim: RealExim) -> None:
    odd = (Mailbox('c"d\\#1', "x.test"), Mailbox("a#1", ""), Mailbox("12", ""), Mailbox("e f", "1"))
    finished = frozenset((BOB, odd[0], EVE))
    now = datetime.now(timezone.utc)
    item = replace(
        ITEM, received_at=now, envelope=Envelope(None, (BOB, *odd)), finished=finished, frozen=True
    )
    real_exim.store(item)
    expected = [
        "1xVGdp-0000LT-0M <> *** frozen ***",
        "D bob@st1.sne21.test",
        'D "c\\"d\\\\#1"@x.test',
        '"a#1"',
        '"12"',
        '"e f"@1',
    ]
    listed = [line.strip() for line in real_exim.run("-bp").splitlines() if line.strip()]
    assert listed[0].endswith(expected[0])
    assert listed[1:] == expected[1:]
    picked = [
        line.strip()
        for line in real_exim.run(real_exim.exipick, "-spool", f"{real_exim.folder}/spool").splitlines()
    ]
    assert picked[0].endswith(expected[0])
    assert sorted(filter(None, picked[1:])) == sorted(expected[1:])
    header, data = encode(item)
    assert real_exim.run("-Mvh", item.queue_id).encode("latin-1") == header
    assert real_exim.run("-Mvb", item.queue_id).encode("latin-1") == data
    assert real_exim.run("-bpc").strip() == "1"


def test_exim_changes_and_we_read(real_exim: RealExim) -> None:
    """Exim writes -H anew; what only labkit knows (no empty line) is lost, and nothing else."""
    item = replace(ITEM, finished=frozenset((EVE,)))
    real_exim.store(item)
    assert real_exim.run("-Mf", item.queue_id) == f"Message {item.queue_id} is now frozen\n"
    frozen = real_exim.read(item.queue_id)
    assert frozen == replace(item, frozen=True, frozen_at=frozen.frozen_at)
    real_exim.run("-Mt", item.queue_id)
    assert real_exim.read(item.queue_id) == replace(item, is_thawed_by_hand=True)
    real_exim.run("-Mmad", item.queue_id)
    assert not real_exim.read(item.queue_id).remaining


def test_exim_delivers_what_we_write(real_exim: RealExim) -> None:
    contents = {
        ITEM.content: ITEM.content,
        b"A: 1\r\n\r\n.\r\n..\r\nFrom x\r\nno line end": b"A: 1\r\n\r\n.\r\n..\r\nFrom x\r\nno line end\r\n",
        b"A: 1\r\nno field": b"A: 1\r\n\r\nno field\r\n",
        b"A: 1\r\n": b"A: 1\r\n\r\n",
        b"A: 1\r\nB: \0\r\n\r\n\0\xff\r\n": b"A: 1\r\n\r\nB: \0\r\n\r\n\0\xff\r\n",
        b"": b"\r\n",
    }
    for number, content in enumerate(contents):
        item = replace(
            ITEM, queue_id=f"1xVGdp-0000LT-{number:02d}", content=content, finished=frozenset((BOB,))
        )
        real_exim.store(item)
        real_exim.run("-M", item.queue_id)
    assert read_mbox(real_exim.box) == list(contents.values())
    assert not list(real_exim.input.iterdir())


@settings(max_examples=5, deadline=None, phases=[Phase.generate], suppress_health_check=list(HealthCheck))
@given(st.lists(items, min_size=10, max_size=30))
def test_exim_reads_any_item(real_exim: RealExim, some: list[QueueItem]) -> None:
    """Checked by listings: `exim -bp` reads envelopes, exipick header fields too."""
    real_exim.empty()
    past = datetime.now(timezone.utc) - timedelta(minutes=1)
    ids = [f"1xVGdp-0000LT-{number:02d}" for number in range(len(some))]
    for queue_id, item in zip(ids, some):
        envelope = replace(item.envelope, forward_paths=item.envelope.forward_paths or (BOB,))
        real_exim.store(replace(item, queue_id=queue_id, received_at=past, envelope=envelope))
    listed = real_exim.run("-bp")
    assert "*** spool" not in listed and all(queue_id in listed for queue_id in ids)
    picked = real_exim.run(real_exim.exipick, "-spool", f"{real_exim.folder}/spool", "-i").split()
    assert sorted(picked) == ids


def test_we_read_what_exim_receives(real_exim: RealExim) -> None:
    dialogue = (
        "EHLO client.test\nMAIL FROM:<ivan@gmail.test> BODY=8BITMIME\nRCPT TO:<bob@st1.sne21.test> NOTIFY=NEVER\n"
        "RCPT TO:<eve@st1.sne21.test>\nDATA\nFrom: ivan\nSubject: h\xe9\n\nbody\n..\n\n.\n"
        "MAIL FROM:<>\nRCPT TO:<bob@st1.sne21.test>\nDATA\n.\nQUIT\n"
    )
    said = real_exim.run(
        "-bs", "-oMa", "203.0.113.77.4321", text=dialogue.replace("\n", "\r\n").encode("latin-1")
    )
    first, second = (line.rpartition("id=")[2] for line in said.splitlines() if "id=" in line)
    item = real_exim.read(first)
    people = Envelope.of("ivan@gmail.test", "bob@st1.sne21.test", "eve@st1.sne21.test")
    assert item.envelope == replace(people, wishes=((BOB, Wishes(frozenset({"NEVER"}))),))
    assert item.content.endswith(b"\r\nFrom: ivan\r\nSubject: h\xe9\r\n\r\nbody\r\n.\r\n\r\n")
    assert item.content.startswith(b"Received: from [203.0.113.77] (helo=client.test")
    assert (item.origin.client_address, item.origin.client_port) == ("203.0.113.77", 4321)
    assert (item.origin.helo_name, item.origin.protocol) == ("client.test", "esmtp")
    assert abs(item.received_at - datetime.now(timezone.utc)) < timedelta(minutes=1)
    assert real_exim.read(second).is_report and real_exim.read(second).content.endswith(b"\r\n\r\n")


def test_a_delivery_by_one_transport_is_not_the_end_of_an_address() -> None:
    """After an `unseen` router Exim writes ADDRESS/TRANSPORT among the non-recipients."""
    header = (
        b"1xVGdp-0000LT-0M-H\nexim 1 1\n<a@b.test>\n1789050600 0\n-received_time_usec .000000\n"
        b"YN c@d.test/into_mailbox\nNN e@f.test\n2\nc@d.test\ne@f.test\n\n"
    )
    item = decode(header, b"1xVGdp-0000LT-0M-D\nx\n")
    assert [str(left) for left in item.remaining] == ["c@d.test"]


RICH = replace(
    ITEM,
    envelope=Envelope(
        ANN,
        (BOB, EVE),
        "HDRS",
        "QQ314159",
        (
            (BOB, Wishes(frozenset({"SUCCESS", "DELAY"}), "rfc822;bob+40x@y.test")),
            (EVE, Wishes(frozenset({"NEVER"}))),
        ),
    ),
    origin=replace(
        ITEM.origin,
        encryption=Encryption("TLS1.3", "TLS_AES_256_GCM_SHA384", 256, True, "/CN=client.test", "mx.test"),
        authenticator="plain",
        authenticated_id="ann",
        authenticated_sender="ann@a.test",
    ),
    frozen=True,
    frozen_at=ITEM.received_at.replace(microsecond=0) + timedelta(hours=2),
    is_untried=True,
    warnings=3,
)


def test_all_that_can_be_known_of_a_message() -> None:
    header, data = encode(RICH)
    for line in (
        "bob@st1.sne21.test rfc822;bob+40x@y.test 21,20  0,-1#3", "eve@st1.sne21.test  0,2  0,-1#3", "-dsn_ret 2",
        "-dsn_envid QQ314159", "--tls_cipher TLS1.3:TLS_AES_256_GCM_SHA384:256", "-tls_certificate_verified",
        "--auth_id ann", "--auth_sender ann@a.test", "--host_auth plain", "-deliver_firsttime",
    ):  # fmt: skip
        assert f"\n{line}\n".encode() in header, header.decode()
    assert decode(header, data) == RICH
    by_hand = RICH.thaw(by_hand=True)
    assert decode(*encode(by_hand)) == by_hand and b"\n-manual_thaw\n" in encode(by_hand)[0]


def test_exim_reads_all_of_it(real_exim: RealExim) -> None:
    """Frozen by us, thawed by Exim, with every other line as it was."""
    real_exim.store(RICH)
    assert f"{RICH.queue_id} <{ANN}> *** frozen ***" in real_exim.run("-bp")
    assert "is no longer frozen" in real_exim.run("-Mt", RICH.queue_id)
    assert real_exim.read(RICH.queue_id) == RICH.thaw(by_hand=True)


KEYS = (
    Mailbox("/var/mail/list:list@st1.sne21.test", ""),
    Mailbox("|/bin/cat -u:list@st1.sne21.test", ""),
    Mailbox("list@st1.sne21.test/into_mailbox", ""),
    Mailbox("\\0\\list@st1.sne21.test", ""),
    Mailbox("/home/\xc3\xa9/box:list@st1.sne21.test", ""),
)


@pytest.mark.parametrize("key", KEYS, ids=str)
def test_a_finished_delivery_that_is_no_address(key: Mailbox) -> None:
    """A file, a program, an address that became itself: as Exim writes them, in the tree and in the journal."""
    line = address_line(key)
    header, data = encode(ITEM.with_finished(key, BOB))
    assert f" {line}\n".encode("utf-8", "surrogateescape") in header
    assert decode(header, data).finished == {key, BOB}
    assert decode_journal(f"{line}\n{BOB}\n".encode("utf-8", "surrogateescape")) == ([key, BOB], [])


def test_a_line_end_in_the_name_of_a_file_is_no_line_of_the_journal() -> None:
    line = address_line(Mailbox("/a\nb\0c:list@st1.sne21.test", ""))
    assert line == "/a b c:list@st1.sne21.test"


def test_variables_of_acls_and_the_name_of_the_client() -> None:
    variables = (("acl_c_text", "two\nlines\n"), ("acl_m0", ""), ("acl_m_\x65", "\xe9"))
    item = replace(ITEM, acl_variables=variables, origin=replace(ITEM.origin, client_name="client.test"))
    header, data = encode(item)
    assert b"--aclc _text 10\ntwo\nlines\n\n--aclm 0 0\n\n--aclm _e 1\n\xe9\n" in header
    assert b"--host_name client.test\n" in header
    assert decode(header, data) == item
