"""One session: what each result of an ACL means to the client, the message, the journal and the counters."""

from __future__ import annotations

import pytest

from labkit.lab.world import World
from labkit.mail.event import EventKind

from .typed import ACCEPT_ALL, ANN, exim_conf, facts, letter, run, typed

NAMES = """\
  accept  {subject} = ok
  deny    {subject} = deny
          message = no, $sender_address
          log_message = logged
  defer   {subject} = defer
          message = later
  drop    {subject} = drop
  warn    {subject} = warn
  accept  {subject} = said
          message = 250 2.0.0 fine
  accept
"""
MAIL, TO, DATA = "MAIL FROM:<a@b.test>", f"RCPT TO:<{ANN}>", ("DATA", "Subject: x", "", "x", ".")


@pytest.mark.parametrize(
    "name, reply, goes_on, noted, because",
    [
        ("ok", "250 OK", True, None, "accept without words"),
        ("said", "250 2.0.0 fine", True, None, "accept with a message"),
        ("warn", "250 OK", True, None, "warn decides nothing"),
        ("deny", "550 no, deny@b.test", True, (550, "logged"), "deny"),
        ("defer", "451 later", True, (451, "later"), "defer"),
        ("drop", "550 Administrative prohibition", False, (550, ""), "drop hangs up; Exim logs no words"),
    ],
)
def test_mail(name: str, reply: str, goes_on: bool, noted: tuple[int, str] | None, because: str) -> None:
    acl = f"on_mail:\n{NAMES.format(subject='senders').replace(' = ok', ' = ok@*')}"
    for each in ("deny", "defer", "drop", "warn", "said"):
        acl = acl.replace(f"senders = {each}\n", f"senders = {each}@*\n")

    async def story(world: World) -> None:
        said = await typed(world, "EHLO c.test", f"MAIL FROM:<{name}@b.test>", "NOOP")
        assert said[2] == reply, because
        assert (said[3:] == ["250 OK"]) == goes_on
        refusals = facts(world, EventKind.REJECTED)
        assert [(each.code, each.text) for each in refusals] == ([noted] if noted else [])
        assert all(each.command == "MAIL" and each.sender == f"{name}@b.test" for each in refusals)

    run(exim_conf("acl_smtp_mail = on_mail\n", acl + "\n" + ACCEPT_ALL), story)


@pytest.mark.parametrize(
    "main, acl, lines, replies, because",
    [
        ("connect", "deny message = away", (), ["550 away"], "a refused connection is closed"),
        ("connect", "accept message = hello", ("NOOP",), ["220 hello", "250 OK"], "an accept is the banner"),
        (
            "helo",
            "accept message = 250 welcome\\nmore",
            ("HELO c.test",),
            [None, "250 welcome"],
            "its first line",
        ),
        (
            "helo",
            "deny",
            ("HELO c.test", "MAIL FROM:<a@b.test>"),
            [None, "550 Administrative prohibition", "503 HELO or EHLO required"],
            "who was refused has not greeted",
        ),
        (
            "predata",
            "deny message = none",
            ("HELO c.test", MAIL, TO, "DATA", "RSET"),
            [None, None, None, None, "550 none", "250 Reset OK"],
            "no message is read",
        ),
        (
            "predata",
            "defer",
            ("HELO c.test", MAIL, TO, "DATA"),
            [None, None, None, None, "451 Temporary local problem - please try later"],
            "a defer keeps its reasons",
        ),
        (
            "data",
            "drop message = 554 5.6.0 bad",
            ("HELO c.test", MAIL, TO, *DATA, "NOOP"),
            [None] * 5 + ["", "", "", "554 5.6.0 bad", ""],
            "drop after the message",
        ),
        (
            "vrfy",
            "accept",
            (f"VRFY {ANN}", "VRFY noone@st11.sne21.test", "VRFY ann"),
            [
                None,
                f"250 <{ANN}> is deliverable",
                "550 <noone@st11.sne21.test> Unknown user",
                "501 ann: recipient address must contain a domain",
            ],
            "VRFY",
        ),
        (
            "vrfy",
            "deny",
            ("VRFY <a@b", f"VRFY {ANN}"),
            [None, None, "252 Administrative prohibition"],
            "a refusal tells nothing",
        ),
        ("expn", "deny", (f"EXPN {ANN}",), [None, "550 Administrative prohibition"], "EXPN"),
        (
            "etrn",
            "accept",
            ("ETRN #st2", "ETRN st2"),
            [None, "250 OK", "501 argument must begin with #"],
            "ETRN",
        ),
        ("etrn", "deny", ("ETRN #st2",), [None, "458 Administrative prohibition"], "ETRN"),
        ("quit", "accept message = bye bye", ("QUIT",), [None, "221 bye bye"], "QUIT cannot be refused"),
        ("quit", "deny message = stay", ("QUIT",), [None, "221 stay"], "not even by deny"),
    ],
)
def test_each_moment(
    main: str, acl: str, lines: tuple[str, ...], replies: list[str | None], because: str
) -> None:
    async def story(world: World) -> None:
        said = await typed(world, *lines)
        assert [one for one, wanted in zip(said, replies) if wanted is not None] == [
            each for each in replies if each is not None
        ], because

    run(exim_conf(f"acl_smtp_{main} = this_one\n", f"this_one:\n  {acl}\n\n{ACCEPT_ALL}"), story)


def test_ehlo_offers_what_there_is_an_acl_for() -> None:
    async def story(world: World) -> None:
        _, offers = await typed(world, "EHLO c.test")
        words = [line[4:] for line in offers.split("|")][1:]
        assert words == ["SIZE 2000", "8BITMIME", "ETRN", "VRFY", "PIPELINING", "CHUNKING", "HELP"]

    main = "acl_smtp_vrfy = accept\nacl_smtp_etrn = accept\nmessage_size_limit = 2000\n"
    run(exim_conf(main), story)


@pytest.mark.parametrize("where", ["mail", "rcpt", "data"])
def test_discard(where: str) -> None:
    """The client hears that all is well, and nobody gets the message."""

    async def story(world: World) -> None:
        assert (await letter(world, ANN)).startswith("250 OK id=")
        assert world.mine.mailbox("ann") == [] and world.mine.queue == ()
        (received,) = facts(world, EventKind.RECEIVED)
        assert [e.queue_id for e in facts(world, EventKind.COMPLETED)] == [received.queue_id]

    acl = "this_one:\n  discard\n\n" + ("" if where == "rcpt" else ACCEPT_ALL)
    name = "acl_smtp_rcpt = check_rcpt\n" if where == "rcpt" else ""
    configuration = exim_conf(f"acl_smtp_{where} = this_one\n", acl)
    run(configuration.replace(name, "", 1) if name else configuration, story)


def test_who_is_discarded_at_mail_is_no_matter_for_the_rcpt_acl() -> None:
    async def story(world: World) -> None:
        assert (await letter(world, ANN)).startswith("250 OK id=")

    run(exim_conf("acl_smtp_mail = on_mail\n", "on_mail:\n  discard\n\ncheck_rcpt:\n  deny\n"), story)


def test_fakereject_keeps_what_it_refuses() -> None:
    async def story(world: World) -> None:
        assert await letter(world, ANN) == "550 550 not wanted"
        assert len(world.mine.mailbox("ann")) == 1
        (received,) = facts(world, EventKind.RECEIVED)
        assert received.text == "taken, but the client was told that it is not"
        assert f" (= {ANN} " in world.mine.log()

    acl = "on_data:\n  accept control = fakereject/550 not wanted\n\n" + ACCEPT_ALL
    run(exim_conf("acl_smtp_data = on_data\n", acl), story)


def test_frozen_by_an_acl() -> None:
    async def story(world: World) -> None:
        await letter(world, ANN)
        (item,) = world.mine.queue
        assert item.frozen and facts(world, EventKind.FROZEN)[0].text == "frozen by ACL"

    run(exim_conf(acl="check_rcpt:\n  accept control = freeze\n"), story)


COUNTERS = """\
check_rcpt:
  warn    logwrite = $local_part: $rcpt_count $recipients_count $rcpt_fail_count $rcpt_defer_count
  deny    local_parts = deny
  defer   local_parts = defer
  discard local_parts = discard
  accept
"""


def test_counters() -> None:
    """A wrong address counts, too; a discarded one has failed."""

    async def story(world: World) -> None:
        names = ("ann", "deny", "defer", "discard", "x")
        to = [f"RCPT TO:<{name}@st11.sne21.test>" for name in names]
        await typed(world, "EHLO c.test", MAIL, *to[:2], "RCPT TO:<ann>", *to[2:], MAIL, "RSET", MAIL, to[0])
        assert [each.text for each in world.journal.where(EventKind.LOGGED) if ": discarded" not in str(each.text)] == [
            "ann: 1 0 0 0", "deny: 2 1 0 0", "defer: 4 1 2 0", "discard: 5 1 2 1", "x: 6 1 3 1", "ann: 1 0 0 0",
        ]  # fmt: skip

    run(exim_conf(acl=COUNTERS), story)


LIVES = """\
on_mail:
  accept  set acl_c_number = ${eval:$acl_c_number+1}
          set acl_m_number = ${eval:$acl_m_number+1}

check_rcpt:
  accept  logwrite = $acl_c_number $acl_m_number

on_vrfy:
  accept  logwrite = $acl_c_number <$acl_m_number> <$sender_address>
"""


def test_how_long_variables_live() -> None:
    async def story(world: World) -> None:
        await typed(
            world, "EHLO c.test", MAIL, TO, f"VRFY {ANN}", "RSET", f"VRFY {ANN}", MAIL, TO, *DATA, f"VRFY {ANN}",
            "EHLO d.test", MAIL, TO,
        )  # fmt: skip
        await typed(world, "EHLO c.test", MAIL, TO)
        texts = [each.text for each in world.journal.where(EventKind.LOGGED)]
        assert texts == ["1 1", "1 <1> <a@b.test>", "1 <> <>", "2 1", "2 <> <>", "3 1", "1 1"]

    run(exim_conf("acl_smtp_mail = on_mail\nacl_smtp_vrfy = on_vrfy\n", LIVES), story)


def test_acl_variables_go_with_the_message() -> None:
    """Routers see them, also after a restart of the host."""

    async def story(world: World) -> None:
        await world.mine.stop()
        await world.mine.start(queue_only=True)
        await letter(world, ANN)
        await world.mine.stop()
        await world.mine.run_on("labkit")  # another life: all it knows is in the spool
        await world.mine.start()
        await world.mine.run_queue()
        (mail,) = world.mine.mailbox("ann")
        assert mail.first("X-Mark") == "two lines: c.test"

    router = """\
ours:
  driver = accept
  check_local_user
  transport = into_mailbox
  headers_add = X-Mark: ${sg{$acl_m_mark}{\\n}{ }}: $acl_c_helo
"""
    acl = "check_rcpt:\n  accept set acl_m_mark = two\\nlines\n    set acl_c_helo = $sender_helo_name\n"
    run(exim_conf(acl=acl, routers=router), story)


def test_what_all_recipients_were_refused_with() -> None:
    async def story(world: World) -> None:
        said = await typed(world, "EHLO c.test", MAIL, TO, TO, "DATA")
        assert said[-1] == (
            "503-All RCPT commands were rejected with this error:|503-none of you"
            "|503 Valid RCPT command must precede DATA"
        )
        said = await typed(world, "EHLO c.test", MAIL, TO, "RCPT TO:<x>", "DATA")
        assert said[-1] == "503 Valid RCPT command must precede DATA"
        said = await typed(world, "EHLO c.test", MAIL, TO, "NOOP", "DATA")
        assert said[-1].endswith("|503 valid RCPT command must precede DATA"), "a mistake of the client's"

    run(exim_conf(acl="check_rcpt:\n  deny message = none of you\n"), story)


def test_after_a_refused_sender_recipients_are_no_mistakes() -> None:
    async def story(world: World) -> None:
        said = await typed(world, "EHLO c.test", MAIL, *[TO] * 6, "NOOP")
        assert said[3:] == ["503 sender not yet given"] * 6 + ["250 OK"]
        said = await typed(world, "HELO c.test", MAIL, *[TO] * 4)
        assert said[-1] == "503-sender not yet given|503 Too many syntax or protocol errors"

    run(exim_conf("acl_smtp_mail = deny\n"), story)


def test_a_mistake_of_ours_is_a_temporary_problem(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever goes wrong in an answer: the client hears 451, and the journal says what it was."""
    from labkit.mta.session import Session

    def broken(session: Session, verdict: object) -> object:
        raise KeyError("a fault")

    async def story(world: World) -> None:
        monkeypatch.setattr(Session, "answer_of", broken)
        said = await typed(world, "EHLO c.test", "NOOP")
        assert said[1:] == ["451 Temporary local problem - please try later", "250 OK"]
        assert "a fault" in (facts(world, EventKind.PROBLEM)[0].text or "")

    run(exim_conf(), story)


def test_more_than_ten_messages_in_a_session_wait() -> None:
    async def story(world: World) -> None:
        message = (MAIL, TO, *DATA)
        await typed(world, "EHLO c.test", *message, *message, *message)
        await world.settle()
        assert len(world.mine.mailbox("ann")) == 2 and len(world.mine.queue) == 1

    run(exim_conf("smtp_accept_queue_per_connection = 2\n"), story)


@pytest.mark.parametrize("control, is_offered", [("no_pipelining", False), ("no_delay_flush", True)])
def test_whether_pipelining_is_offered(control: str, is_offered: bool) -> None:
    async def story(world: World) -> None:
        assert ("PIPELINING" in (await typed(world, "EHLO c.test"))[1]) is is_offered

    run(exim_conf("acl_smtp_connect = c\n", f"c:\n  accept control = {control}\n{ACCEPT_ALL}"), story)


@pytest.mark.parametrize("line", ["verify = reverse_host_lookup", "! hosts = *.nowhere.test"])
def test_a_name_that_an_acl_looked_up_stands_in_received(line: str) -> None:
    async def story(world: World) -> None:
        await typed(world, "EHLO c.test", MAIL, TO, *DATA)
        await world.settle()
        trace = world.mine.mailbox("ann")[-1].first("Received")
        assert trace is not None and trace.startswith("from "), trace
        name = trace.split()[1]
        assert name.endswith(".test") and "helo=c.test)" in trace, trace

    run(exim_conf("acl_smtp_mail = m\n", f"m:\n  accept {line}\n{ACCEPT_ALL}"), story)


@pytest.mark.parametrize(
    "text, begins, because",
    [
        (
            "Received: by $primary_hostname\\n\\tfor $received_for",
            "by mx2.st11.sne21.test\tfor ann@st11",
            "words of its own",
        ),
        ("Received: $received_protocol", "esmtp;\t", "the date follows"),
        ("", "from [", "where nothing is said, the usual ones"),
    ],
)  # fmt: skip
def test_received_in_words_of_its_own(text: str, begins: str, because: str) -> None:
    async def story(world: World) -> None:
        assert (await letter(world, ANN)).startswith("250 OK id=")
        (mail,) = world.mine.mailbox("ann")
        assert next(mail.all("Received")).value.startswith(begins), because
        assert next(mail.all("Received")).value.endswith("+0000")

    run(exim_conf(f"received_header_text = {text}\n" if text else ""), story)
