"""Stories of final delivery: mailboxes, their form and their limits, answers, programs, and what transports change."""

from __future__ import annotations

from labkit.mail.event import EventKind

from .configurations import BY_SMTP, INTO_MAILBOX, OTHERS, OURS, exim_conf
from .outcome import stored
from .stage import ANN, BOB, LAPTOP, MINE, PARTNER, Lab, host, message
from .story import story

CARL = "carl@st11.sne21.test"
TRACE = "  return_path_add\n  envelope_to_add\n  delivery_date_add\n"
ALIASES = """\
system_aliases:
  driver = redirect
  data = ${lookup{$local_part}lsearch{/etc/aliases}}
  file_transport = address_file
  pipe_transport = address_pipe
  directory_transport = address_directory
"""


def into(options: str) -> str:
    """The transport of the accounts' mailboxes, with other options."""
    return f"into_mailbox:\n  driver = appendfile\n{options}"


def mine(
    transports: str, *accounts: str, routers: str = OTHERS + OURS, retry: str | None = None, main: str = ""
):
    """Ann's host with these transports."""
    named = {} if retry is None else {"retry": retry}
    configuration = exim_conf(MINE, main, routers=routers, transports=BY_SMTP + transports, **named)
    return host(MINE, configuration, "ann", *accounts)


@story()
async def mailbox_lines_that_begin_with_from(lab: Lab) -> None:
    """A line "From " of the body is escaped; one in the header cannot be there, and >From stays as it is."""
    text = "From the start\n>From before\n From\nFrom: me\nfrom here\n\nFrom last\n"
    async with lab.world(mine(INTO_MAILBOX)) as world:
        await lab.submit(world.mine, ANN, message("one", text))
        await lab.submit(world.mine, ANN, message("two", ".\n..\n"))
        text = world.mine.mailbox_file("ann").read_text()
        assert "\n>From the start\n>From before\n From\nFrom: me\nfrom here\n\n>From last\n\nFrom " in text
        assert len(world.mine.mailbox("ann")) == 2


@story()
async def mailbox_of_another_form(lab: Lab) -> None:
    """What stands before and after a message, and how lines are escaped, is the transport's business."""
    form = '  message_prefix = "=== $local_part $return_path\\n"\n  message_suffix = "=== end\\n"\n'
    form += '  check_string = "==="\n  escape_string = " ==="\n'
    transports = into("  file = /var/mail/$local_part_data\n" + form + TRACE)
    async with lab.world(mine(transports)) as world:
        await lab.submit(world.mine, ANN, message("one", "=== end\nFrom me\nx === y\n"))
        text = world.mine.mailbox_file("ann").read_text()
        assert text.startswith(f"=== ann {ANN}\nReturn-path: <{ANN}>\n")
        assert text.endswith("\n === end\nFrom me\nx === y\n=== end\n")


@story()
async def mailbox_with_crlf(lab: Lab) -> None:
    """use_crlf: lines end in CR LF; what stands before and after does not change."""
    async with lab.world(mine(into("  file = /var/mail/$local_part_data\n  use_crlf\n"))) as world:
        await lab.submit(world.mine, ANN, message("one", "a\nFrom b\n"))
        octets = world.mine.mailbox_file("ann").read_bytes()
        lab.note("the octets", octets.count(b"\r\n"), octets.count(b"\n") - octets.count(b"\r\n"))
        assert octets.endswith(b"\r\na\r\n>From b\r\n\n")


@story()
async def mailbox_as_batch_smtp(lab: Lab) -> None:
    """use_bsmtp: the message with its envelope, dots doubled."""
    async with lab.world(mine(into("  file = /var/mail/$local_part_data\n  use_bsmtp\n"))) as world:
        await lab.submit(world.mine, ANN, message("one", "..hidden\nFrom b\n"))
        text = world.mine.mailbox_file("ann").read_text()
        assert text.startswith(f"MAIL FROM:<{ANN}>\nRCPT TO:<{ANN}>\nDATA\nReceived: ")
        assert text.endswith("\n..hidden\nFrom b\n.\n")


@story()
async def mailbox_header_or_body_alone(lab: Lab) -> None:
    """headers_only and body_only; of a body alone there are no trace fields either."""
    routers = OTHERS + OURS.replace(
        "transport = into_mailbox", "transport = ${if eq{$local_part}{ann}{a}{b}}"
    )
    transports = "a:\n  driver = appendfile\n  file = /var/mail/$local_part_data\n  headers_only\n" + TRACE
    transports += "b:\n  driver = appendfile\n  file = /var/mail/$local_part_data\n  body_only\n" + TRACE
    async with lab.world(mine(transports, "carl", routers=routers)) as world:
        await lab.submit(world.mine, ANN, message("one", "text\n"))
        await lab.submit(world.mine, CARL, message("two", "text\n"))
        assert "text" not in world.mine.mailbox_file("ann").read_text()
        assert world.mine.mailbox_file("carl").read_text().splitlines()[1:] == ["text", ""]


@story()
async def fields_that_a_transport_changes(lab: Lab) -> None:
    """headers_remove and headers_add, of the router and of the transport: the transport takes nothing that is new."""
    routers = OTHERS + OURS.replace(
        "  transport = into_mailbox\n",
        "  transport = into_mailbox\n  headers_remove = X-One : message-id\n"
        "  headers_add = X-New: by router of $local_part\n",
    )
    transports = INTO_MAILBOX + (
        "  headers_remove = X-New : X-T* : ${if eq{$domain}{x.test}{Subject}fail}\n"
        "  headers_add = X-Last: $sender_address\\nX-Very-Last: two\n  headers_add = ${if eq{1}{2}{X: y}fail}\n"
    )
    content = b"X-One: 1\r\nX-Two: 2\r\nX-Three: 3\r\n folded\r\nX-Keep: 4\r\n" + message("one")
    async with lab.world(mine(transports, routers=routers)) as world:
        await lab.submit(world.mine, ANN, content)
        (letter,) = world.mine.mailbox("ann")
        names = [field.name for field in letter.header_fields][4:]
        assert names == ["X-Keep", "From", "To", "Subject", "X-New", "X-Last", "X-Very-Last"]


@story()
async def addresses_that_a_transport_rewrites(lab: Lab) -> None:
    """headers_rewrite: only fields that came with the message, and no envelope."""
    transports = INTO_MAILBOX + (
        "  headers_rewrite = *@st11.sne21.test $1@shop.test fs : carl@* someone@else.test h\n"
        "  headers_add = Reply-To: dora@st11.sne21.test\n"
    )
    content = b"Sender: emma@st11.sne21.test\r\nCc: Carl <carl@x.test>, bob@y.test\r\n" + message()
    async with lab.world(mine(transports)) as world:
        await lab.submit(world.mine, ANN, content)
        (letter,) = world.mine.mailbox("ann")
        assert letter.first("From") == "ann@shop.test" and letter.first("Sender") == "emma@shop.test"
        assert letter.first("Cc") == "Carl <someone@else.test>, bob@y.test"
        assert (
            letter.first("Reply-To") == "dora@st11.sne21.test" and letter.first("Return-path") == f"<{ANN}>"
        )


@story()
async def another_return_path(lab: Lab) -> None:
    """return_path: in Return-path and in the From_ line, and in MAIL FROM to another host; empty is the null one."""
    own = "  return_path = ${if eq{$local_part}{ann}{bounces+${local_part}@lists.test}{}}\n"
    smtp = "by_smtp:\n  driver = smtp\n  return_path = verp-$local_part@st11.sne21.test\n"
    configuration = exim_conf(MINE, transports=smtp + INTO_MAILBOX + own)
    hosts = host(MINE, configuration, "ann", "carl"), host(PARTNER, exim_conf(PARTNER), "bob")
    async with lab.world(*hosts) as world:
        for recipient in (ANN, CARL, BOB):
            await lab.submit(world.mine, recipient, message())
        (letter,) = world.mine.mailbox("ann")
        assert letter.first("Return-path") == "<bounces+ann@lists.test>"
        assert world.mine.mailbox_file("ann").read_text().startswith("From bounces+ann@lists.test ")
        assert world.mine.mailbox_file("carl").read_text().startswith("From MAILER-DAEMON ")
        (letter,) = world.partner.mailbox("bob")
        assert letter.first("Return-path") == "<verp-bob@st11.sne21.test>"


@story()
async def message_too_large_for_a_transport(lab: Lab) -> None:
    """message_size_limit of a transport: the recipient fails, and the sender is told."""
    transports = INTO_MAILBOX + "  message_size_limit = ${if eq{$local_part}{ann}{1K}{0}}\n"
    async with lab.world(mine(transports, "carl")) as world:
        await lab.submit(world.mine, ANN, message("large", "x" * 70 + "\n" + "y\n" * 800), sender=CARL)
        await lab.submit(world.mine, CARL, message("large", "y\n" * 800), sender=CARL)
        (failed,) = [fact for fact in world.journal.facts() if fact.kind is EventKind.FAILED]
        assert failed.text == "message is too big (transport limit = 1024)"
        assert len(world.mine.mailbox("carl")) == 2


@story()
async def mailbox_quota(lab: Lab) -> None:
    """A mailbox that is full: the message waits, and comes in when there is room."""
    transports = INTO_MAILBOX + "  quota = 1500\n"
    async with lab.world(mine(transports), queue_interval=None) as world:
        await lab.submit(world.mine, ANN, message("one", "x" * 60 + "\n"))
        await lab.submit(world.mine, ANN, message("two", ("x" * 60 + "\n") * 20))
        (waits,) = [fact for fact in world.journal.facts() if fact.kind is EventKind.DEFERRED]
        assert waits.text is not None and waits.text.startswith(
            "mailbox is full (MTA-imposed quota exceeded while"
        )
        lab.listing(world.mine)
        world.mine.mailbox_file("ann").write_bytes(b"")
        await world.mine.run_queue(forced=True)
        assert "two" in world.mine.mailbox_file("ann").read_text() or lab.listing(world.mine)


@story()
async def mailbox_quota_is_over(lab: Lab) -> None:
    """Without a rule for it, a mailbox that is full fails at once; the report says what, and no path."""
    transports = INTO_MAILBOX + "  quota = ${if eq{$local_part}{ann}{1K}{}}\n"
    async with lab.world(mine(transports, "carl", retry="* data_4xx F,1h,10m\n")) as world:
        await lab.submit(world.mine, ANN, message("two", "x\n" * 800), sender=CARL)
        (report,) = world.mine.mailbox("carl")
        assert b"mailbox is full: retry timeout exceeded" in report.body
        assert b"/var/mail" not in report.body


@story()
async def mailbox_quota_warning(lab: Lab) -> None:
    """The owner hears that a mailbox is nearly full when a message makes it pass the threshold."""
    transports = INTO_MAILBOX + "  quota = 10K\n  quota_warn_threshold = 10%\n"
    async with lab.world(mine(transports)) as world:
        await lab.submit(world.mine, ANN, message("one", "x\n" * 500))
        letters = world.mine.mailbox("ann")
        assert [letter.first("Subject") for letter in letters] == ["one", "Your mailbox"]
        assert letters[1].first("Auto-Submitted") == "auto-replied"


@story()
async def mailbox_is_locked(lab: Lab) -> None:
    """Another program has made the lock file: the message waits, and is delivered when it is gone."""
    transports = INTO_MAILBOX + "  lock_retries = 1\n  lock_interval = 1s\n"
    async with lab.world(mine(transports), queue_interval=None) as world:
        lock = world.mine.path("/var/mail/ann.lock")
        lock.parent.mkdir(parents=True, exist_ok=True)
        lock.parent.chmod(0o1777)
        lock.touch()
        await lab.submit(world.mine, ANN, message())
        await world.advance(minutes=1)
        (waits,) = [fact for fact in world.journal.facts() if fact.kind is EventKind.DEFERRED]
        assert waits.text is not None and waits.text.endswith("(lock file)")
        assert lock.exists()
        lock.unlink()
        await world.mine.run_queue(forced=True)
        assert len(world.mine.mailbox("ann")) == 1


@story()
async def mailbox_must_exist(lab: Lab) -> None:
    """file_must_exist, and where files may be made: belowhome and inhome."""
    routers = OTHERS + OURS.replace("transport = into_mailbox", "transport = $local_part_data")
    transports = (
        "ann:\n  driver = appendfile\n  file = /var/mail/ann\n  file_must_exist\n"
        "carl:\n  driver = appendfile\n  file = /var/mail/carl\n  create_file = belowhome\n"
        "dora:\n  driver = appendfile\n  file = $home/in/mail\n  create_file = belowhome\n"
        "emma:\n  driver = appendfile\n  file = $home/mail\n  create_file = inhome\n"
    )
    people = ("ann", "carl", "dora", "emma")
    async with lab.world(mine(transports, *people[1:], routers=routers), queue_interval=None) as world:
        world.mine.path("/var/mail").mkdir(parents=True, exist_ok=True)
        world.mine.path("/var/mail").chmod(0o1777)
        for name in people:
            world.mine.path(f"/home/{name}").chmod(0o777)
        recipients = (f"RCPT TO:<{name}@st11.sne21.test>" for name in people)
        await lab.call(
            world.mine, "EHLO c.test", f"MAIL FROM:<{ANN}>", *recipients, "DATA", message(), source=LAPTOP
        )
        await world.settle()
        waits = {
            fact.recipient: fact.text or ""
            for fact in world.journal.facts()
            if fact.kind is EventKind.DEFERRED
        }
        assert len(waits) == 2 and waits[ANN].endswith("does not exist, but file_must_exist is set")
        assert waits[CARL].endswith("creation outside the home directory is not permitted")
        lab.note("dora", *stored(world.mine.path("/home/dora/in/mail")))
        lab.note("emma", *stored(world.mine.path("/home/emma/mail")))


@story()
async def mailbox_modes(lab: Lab) -> None:
    """mode and directory_mode; a mailbox that has fewer permissions is refused, one that has more loses them."""
    file = "/var/mail/$local_part_data/$local_part_data"
    transports = into(f"  file = {file}\n  mode = 0640\n  directory_mode = 0711\n")
    async with lab.world(mine(transports), queue_interval=None) as world:
        await lab.submit(world.mine, ANN, message("one"))
        box = world.mine.path("/var/mail/ann/ann")
        lab.note("made", oct(box.stat().st_mode), oct(box.parent.stat().st_mode))
        box.chmod(0o400)
        await lab.submit(world.mine, ANN, message("two"))
        (waits,) = [fact for fact in world.journal.facts() if fact.kind is EventKind.DEFERRED]
        assert (waits.text or "").endswith("has the wrong mode 400 (640 expected)")
        box.chmod(0o666)
        await world.mine.run_queue(forced=True)
        lab.note("narrowed", oct(box.stat().st_mode))


@story()
async def mailbox_in_a_folder(lab: Lab) -> None:
    """A Maildir with a tag, and files of a plain folder."""
    routers = OTHERS + OURS.replace("transport = into_mailbox", "transport = $local_part_data")
    transports = (
        "ann:\n  driver = appendfile\n  directory = $home/Maildir\n  maildir_format\n"
        "  maildir_tag = ,S=$message_size\n" + TRACE + "carl:\n  driver = appendfile\n"
        "  directory = /var/spool/carl\n  directory_file = m-$local_part-${length_1:$inode}\n" + TRACE
    )
    async with lab.world(mine(transports, "carl", routers=routers)) as world:
        for recipient in (ANN, CARL):
            await lab.submit(world.mine, recipient, message())
        (file,) = world.mine.path("/home/ann/Maildir/new").iterdir()
        time, number, name = file.name.split(".", 2)
        assert time.isdigit() and number.startswith("M") and "P" in number
        assert name == f"{MINE},S={file.stat().st_size}"
        lab.note("ann", *(line for line in file.read_text().splitlines() if "date" not in line.lower()))
        (file,) = world.mine.path("/var/spool/carl").iterdir()
        assert file.name[:-1] == "m-carl-"


@story()
async def mailboxes_that_aliases_name(lab: Lab) -> None:
    """A file, a folder and /dev/null in an alias."""
    aliases = "extra: {0}/extra, {0}/null, ann\nnothing: /dev/null\nfolder: {0}/folder/\n"
    transports = INTO_MAILBOX + (
        "address_file:\n  driver = appendfile\n"
        + TRACE
        + "address_directory:\n  driver = appendfile\n"
        + TRACE
    )
    routers = OTHERS + ALIASES.replace("  pipe_transport = address_pipe\n", "") + OURS
    named = "${sg{${lookup{$local_part}lsearch{/etc/aliases}}}{BOX}{/var/mail}}"
    routers = routers.replace("${lookup{$local_part}lsearch{/etc/aliases}}", named)
    plan = mine(transports, routers=routers)
    files = {f"{MINE}/etc/aliases": aliases.format("BOX")}
    async with lab.world(plan, files=files) as world:
        for name in ("extra", "nothing", "folder"):
            await lab.submit(world.mine, f"{name}@st11.sne21.test", message(name))
        assert len(world.mine.mailbox("ann")) == 1
        assert (world.mine.path("/var/mail/extra")).exists()
        (file,) = world.mine.path("/var/mail/folder").iterdir()
        assert file.name.startswith("q")


@story()
async def shadow_of_a_mailbox(lab: Lab) -> None:
    """Each message goes to a second transport, too, if its condition is true."""
    transports = (
        INTO_MAILBOX + "  shadow_transport = copy\n  shadow_condition = ${if !eq{$h_subject:}{secret}}\n"
    )
    transports += (
        "copy:\n  driver = appendfile\n  file = /var/mail/copies\n  headers_add = X-Copy: yes\n" + TRACE
    )
    async with lab.world(mine(transports)) as world:
        for subject in ("one", "secret"):
            await lab.submit(world.mine, ANN, message(subject))
        assert len(world.mine.mailbox("ann")) == 2
        lab.note("copies", *stored(world.mine.path("/var/mail/copies")))
        assert "secret" not in world.mine.path("/var/mail/copies").read_text()
        assert " ST=copy\n" in world.mine.log()


VACATION = """\
vacation:
  driver = accept
  domains = +local_domains
  condition = ${if exists{/home/$local_part_data/vacation.txt}}
  senders = ! ^.*-request@ : ! :
  check_local_user
  transport = vacation_reply
  unseen
"""
REPLY = """\
vacation_reply:
  driver = autoreply
  from = $local_part@$domain
  to = $sender_address
  subject = "Re: $h_subject:"
  text = "I am away.\\n"
  file = /home/$local_part_data/vacation.txt
  file_expand
"""


@story()
async def vacation(lab: Lab) -> None:
    """An answer under the null reverse-path, with RFC 3834's fields; the message itself is delivered, too."""
    transports = INTO_MAILBOX + REPLY
    hosts = (
        mine(transports, routers=OTHERS + VACATION + OURS),
        host(PARTNER, exim_conf(PARTNER), "bob"),
    )
    files = {f"{MINE}/home/ann/vacation.txt": "Back on Monday, $sender_address.\nTill ${nothing\nthen.\n"}
    async with lab.world(*hosts, files=files) as world:
        content = b"References: <a@b> <c@d>\r\n" + message("hello", sender=BOB)
        await lab.submit(world.partner, ANN, content, sender=BOB, source="198.51.100.2")
        (letter,) = world.partner.mailbox("bob")
        assert letter.first("Return-path") == "<>"
        assert letter.first("Auto-Submitted") == "auto-replied"
        assert letter.first("In-Reply-To") == "<hello@client.test>"
        assert letter.first("References") == "<a@b> <c@d> <hello@client.test>"
        assert letter.first("Subject") == "Re: hello"
        assert len(world.mine.mailbox("ann")) == 1
        await lab.submit(world.partner, ANN, message("report"), sender="", source="198.51.100.2")
        assert len(world.mine.mailbox("ann")) == 2 and len(world.partner.mailbox("bob")) == 1


@story()
async def vacation_once(lab: Lab) -> None:
    """`once`: everybody has one answer, and another when once_repeat has passed."""
    once = (
        "  once = /home/$local_part_data/once\n  once_repeat = 2d\n  log = /home/$local_part_data/answers\n"
    )
    plan = mine(INTO_MAILBOX + REPLY + once, "carl", routers=OTHERS + VACATION + OURS)
    files = {f"{MINE}/home/ann/vacation.txt": "Back on Monday.\n"}
    async with lab.world(plan, files=files) as world:
        world.mine.path("/home/ann").chmod(0o777)
        for subject in ("one", "two"):
            await lab.submit(world.mine, ANN, message(subject, sender=CARL), sender=CARL)
        assert [letter.first("Subject") for letter in world.mine.mailbox("carl")] == ["Re: one"]
        await world.advance(days=3)
        await lab.submit(world.mine, ANN, message("three", sender=CARL), sender=CARL)
        subjects = [letter.first("Subject") for letter in world.mine.mailbox("carl")]
        assert subjects == ["Re: one", "Re: three"]
        log = world.mine.path("/home/ann/answers").read_text()
        lab.note("the log", *log.splitlines())
        assert log.count("\n  previously sent to carl@") == 1


@story()
async def vacation_with_the_message(lab: Lab) -> None:
    """return_message, cc, reply_to, headers, never_mail: the answer has them."""
    more = (
        "  return_message\n  cc = dora@st11.sne21.test, ann@st11.sne21.test\n  reply_to = ann+list@$domain\n"
    )
    more += '  headers = "X-Away: yes\\nX-Until: Monday"\n  never_mail = ann@*\n'
    reply = REPLY.replace("  file_expand\n", "")
    plan = mine(INTO_MAILBOX + reply + more, "carl", "dora", routers=OTHERS + VACATION + OURS)
    files = {f"{MINE}/home/ann/vacation.txt": "Back on $tod_full.\n"}
    async with lab.world(plan, files=files) as world:
        await lab.submit(world.mine, ANN, message("one", sender=CARL), sender=CARL)
        (letter,) = world.mine.mailbox("carl")
        assert letter.first("Cc") == "dora@st11.sne21.test" and letter.first("X-Until") == "Monday"
        assert b"Back on $tod_full." in letter.body and b"\r\nSubject: one\r\n" in letter.body
        assert len(world.mine.mailbox("ann")) == 1 and len(world.mine.mailbox("dora")) == 1


@story()
async def two_on_vacation(lab: Lab) -> None:
    """Two people who are away do not answer each other's answers: these have the null reverse-path."""
    reply = REPLY.replace("  file_expand\n", "")
    hosts, files = [], {}
    for name, account in ((MINE, "ann"), (PARTNER, "bob")):
        configuration = exim_conf(
            name, routers=OTHERS + VACATION + OURS, transports=BY_SMTP + INTO_MAILBOX + reply
        )
        hosts.append(host(name, configuration, account))
        files[f"{name}/home/{account}/vacation.txt"] = "away\n"
    async with lab.world(*hosts, files=files) as world:
        await lab.submit(world.mine, BOB, message("hello"))
        assert len(world.partner.mailbox("bob")) == 1
        (answer,) = world.mine.mailbox("ann")
        assert answer.first("Subject") == "Re: hello" and answer.first("Return-path") == "<>"


PROGRAM = """\
program:
  driver = pipe
  command = /bin/sh -c "cat > program; env | sort > /var/spool/environment"
  path = /usr/bin:/bin
  environment = EXTRA=$local_part_data : MORE=1
  return_path_add
"""


@story()
async def a_program_reads(lab: Lab) -> None:
    """A program reads the message; what it knows of it is in its environment."""
    routers = OTHERS + OURS.replace("into_mailbox", "program\n  transport_current_directory = /var/spool")
    plan = host(
        MINE, exim_conf(MINE, routers=routers, transports=BY_SMTP + PROGRAM), "ann", runs_programs=True
    )
    async with lab.world(plan) as world:
        spool = world.mine.path("/var/spool")
        spool.mkdir(parents=True, exist_ok=True)
        spool.chmod(0o777)
        await lab.submit(world.mine, ANN, message("hello", "From me\n"))
        text = (spool / "program").read_text()
        assert text.startswith(f"From {ANN} ") and f"\nReturn-path: <{ANN}>\n" in text
        assert text.endswith("\n\nFrom me\n\n")
        known = dict(line.split("=", 1) for line in (spool / "environment").read_text().splitlines())
        for name in ("PWD", "SHLVL", "_", "MESSAGE_ID", "HOME", "OLDPWD", "TZ", "LD_PRELOAD"):
            known.pop(name, None)
        known = {name: value for name, value in known.items() if not name.startswith("LAB")}
        lab.note("the environment", *(f"{name}={value}" for name, value in sorted(known.items())))
        assert known["LOCAL_PART"] == "ann" and known["EXTRA"] == "ann" and known["SENDER"] == ANN


@story()
async def programs_that_fail(lab: Lab) -> None:
    """An exit status is a failure, or means later; what the program says goes back to the sender."""
    routers = OTHERS + OURS.replace("into_mailbox", "${if eq{$local_part}{carl}{into_mailbox}{program}}")
    program = (
        "program:\n  driver = pipe\n  return_fail_output\n  log_output\n  timeout = 2s\n"
        "  command = /bin/sh -c \"case '$local_part_data' in ann) echo no; exit 3;; dora) exit 75;;"
        " emma) kill -9 \\\\$\\\\$;;"
        ' fred) sleep 30;; esac"\n'
    )
    conf = exim_conf(MINE, routers=routers, transports=BY_SMTP + INTO_MAILBOX + program)
    people = ("ann", "carl", "dora", "emma", "fred")
    async with lab.world(host(MINE, conf, *people, runs_programs=True), queue_interval=None) as world:
        for name in ("ann", "dora", "emma", "fred"):
            await lab.submit(world.mine, f"{name}@st11.sne21.test", message(name), sender=CARL)
        reports = world.mine.mailbox("carl")
        assert len(reports) == 3
        assert b"The following text was generated during the delivery attempt:" in reports[0].body
        assert b"\r\nno\r\n" in reports[0].body and b"local delivery failed" in reports[0].body
        (waits,) = [fact for fact in world.journal.facts() if fact.kind is EventKind.DEFERRED]
        assert (waits.text or "").startswith(
            "Child process of program transport returned 75 (could mean temporary"
        )


@story()
async def a_program_that_an_alias_names(lab: Lab) -> None:
    """|program: its words are taken as they are; where it may not run, the recipient fails."""
    aliases = "one: \"|/bin/sh -c 'cat > $HOME/one'\"\ntwo: |/bin/cat /etc/passwd\n"
    routers = OTHERS + ALIASES.replace("  file_transport = address_file\n", "")
    routers = (
        routers.replace("  directory_transport = address_directory\n", "  home_directory = /var/spool\n")
        + OURS
    )
    routers = routers.replace("  home_directory = /var/spool\n", "")
    transports = INTO_MAILBOX + (
        "address_pipe:\n  driver = pipe\n  home_directory = /var/spool\n  allow_commands = /bin/sh\n"
    )
    conf = exim_conf(MINE, routers=routers, transports=BY_SMTP + transports)
    plan = host(MINE, conf, "carl", runs_programs=True)
    async with lab.world(plan, files={f"{MINE}/etc/aliases": aliases}) as world:
        spool = world.mine.path("/var/spool")
        spool.mkdir(parents=True, exist_ok=True)
        spool.chmod(0o777)
        for name in ("one", "two"):
            await lab.submit(world.mine, f"{name}@st11.sne21.test", message(name), sender=CARL)
        assert "\nSubject: one\n" in (spool / "one").read_text()
        (failed,) = [fact for fact in world.journal.facts() if fact.kind is EventKind.FAILED]
        assert failed.text == '"/bin/cat" command not permitted by address_pipe transport'


@story()
async def fields_of_an_earlier_delivery(lab: Lab) -> None:
    """Return-path, Envelope-to and Delivery-date of an earlier delivery are taken out when a message comes in."""
    old = b"Return-path: <old@x.test>\r\nEnvelope-to: old@x.test\r\nDelivery-date: long ago\r\n"
    async with lab.world(mine(INTO_MAILBOX)) as world:
        await lab.submit(world.mine, ANN, old + message())
        (letter,) = world.mine.mailbox("ann")
        assert letter.first("Return-path") == f"<{ANN}>"
        assert b"old@x.test" not in bytes(letter) and b"long ago" not in bytes(letter)
