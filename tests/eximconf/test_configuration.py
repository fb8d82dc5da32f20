"""A whole configuration file: read, refused with file, line and remedy, and never anything in between."""

from __future__ import annotations

import re
import string
import time
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from labkit.eximconf import exim_names, options
from labkit.eximconf.builtin_macros import BUILTIN
from labkit.eximconf.configuration import Configuration, read, reading
from labkit.eximconf.expansion import Env
from labkit.eximconf.here import Here
from labkit.eximconf.lists import ListKind
from labkit.eximconf.reader import ConfigurationError, Place, Setting
from labkit.mail.asking import answer_from
from labkit.mail.lookups import FileText, Unopened
from labkit.mta.compiled import Compiled, compile_configuration

HERE = Env(here=Here("mx2.st11.test", ("203.0.113.11",)))
MAIN = """\
primary_hostname = mx2.st11.test
domainlist local_domains = st11.test : *.st11.test
hostlist relay_from_hosts = <; 203.0.113.77
acl_smtp_rcpt = check_rcpt
"""
REST = """
begin acl
check_rcpt:
  accept  hosts = +relay_from_hosts
  require message = relay not permitted
          domains = +local_domains
  require verify = recipient
  accept

begin routers
others:
  driver = dnslookup
  domains = ! +local_domains
  transport = by_smtp
ours:
  driver = accept
  check_local_user
  transport = into_mailbox

begin transports
by_smtp:
  driver = smtp
into_mailbox:
  driver = appendfile
  file = /var/mail/$local_part_data

begin retry
*  *  F,2h,15m; G,16h,1h,1.5; F,4d,6h
"""


def test_a_usual_file() -> None:
    found = read(MAIN + REST)
    assert found.main.text("primary_hostname") == "mx2.st11.test"
    assert found.main.number("received_headers_max") == 30, "a default"
    assert found.lists[ListKind.DOMAIN, "local_domains"].look("a.st11.test", HERE).found
    assert [(s.verb, [(line.name, line.value) for line in s.lines]) for s in found.acls["check_rcpt"]] == [
        ("accept", [("hosts", "+relay_from_hosts")]),
        ("require", [("message", "relay not permitted"), ("domains", "+local_domains")]),
        ("require", [("verify", "recipient")]),
        ("accept", []),
    ]
    assert [
        (router.name, router.driver, router.options.expansion("transport").text) for router in found.routers
    ] == [
        ("others", "dnslookup", "by_smtp"),
        ("ours", "accept", "into_mailbox"),
    ]
    assert found.routers[0].place == Place("exim.conf", 15)
    assert found.transports["into_mailbox"].options.flag("return_path_add") is False
    assert [line.text for line in found.retry] == ["*  *  F,2h,15m; G,16h,1h,1.5; F,4d,6h"]


def test_an_empty_file_is_a_configuration() -> None:
    found = read("")
    assert (found.acls, found.routers, found.transports, found.retry) == ({}, (), {}, ())
    assert found.main.text("acl_smtp_rcpt") is None, "so every recipient is refused"


@pytest.mark.parametrize(
    "lines, because",
    [
        ("ours :\n driver=accept\n transport=t", "a blank before the colon"),
        ("ours:\n transport = t\n driver = accept", "the driver last"),
        ("ours:\n driver = accept\n hide transport = t", "hidden from exim -bP"),
    ],
)
def test_ways_to_write_a_router(lines: str, because: str) -> None:
    found = read(f"begin routers\n{lines}\nbegin transports\nt:\n driver = smtp\n")
    assert [(r.name, r.driver, r.options.expansion("transport").text) for r in found.routers] == [
        ("ours", "accept", "t")
    ], because


@pytest.mark.parametrize(
    "lines, expected, because",
    [
        ("accept", [("accept", [])], "a verb alone"),
        (
            "accept domains = a\n hosts = *",
            [("accept", ["domains=a", "hosts=*"])],
            "conditions on lines of their own",
        ),
        ("accept\n domains = a", [("accept", ["domains=a"])], "or only there"),
        (
            "accept\tdomains = a\ndeny\thosts = *",
            [("accept", ["domains=a"]), ("deny", ["hosts=*"])],
            "a tab is a blank",
        ),
        ("deny ! domains = a", [("deny", ["!domains=a"])], "a blank after the exclamation mark"),
        ("deny !\tdomains=a", [("deny", ["!domains=a"])], "or a tab"),
        ("deny message = a = b", [("deny", ["message=a = b"])], "only the first = counts"),
        ('deny message = "a"', [("deny", ['message="a"'])], "quotes are kept: these are no option strings"),
        ("deny domains =", [("deny", ["domains="])], "an empty value is a value"),
    ],
)
def test_ways_to_write_an_acl(lines: str, expected: list[tuple[str, list[str]]], because: str) -> None:
    found = read(f"begin acl\nx:\n{lines}\n").acls["x"]
    assert [(s.verb, [f"{line.name}={line.value}" for line in s.lines]) for s in found] == expected, because


def test_a_verb_beside_the_name_of_the_acl() -> None:
    """Exim reads the name, and goes on with the next line; what it leaves out is told."""
    found = read("begin acl\nx: deny domains = a\n accept hosts = *\nA = c\ny:\n accept domains = A\n")
    assert [(s.verb, [line.value for line in s.lines]) for s in found.acls["x"]] == [("accept", ["*"])]
    assert [(s.verb, [line.value for line in s.lines]) for s in found.acls["y"]] == [("accept", ["c"])]
    assert [(d.place.line, d.problem.partition(":")[2]) for d in found.doubts] == [(2, " deny domains = a")]


def test_presets_and_files() -> None:
    text = "primary_hostname = NAME.test\n.include ports\n.include_if_exists /etc/nothing\nA = 1"
    found = read(
        text, "etc/exim.conf", presets={"NAME": "mx"}, files={"etc/ports": "daemon_smtp_ports = 26\n"}
    )
    assert found.main.text("primary_hostname") == "mx.test"
    assert found.main.ports("daemon_smtp_ports") == (26,)
    asking = reading(text, "etc/exim.conf", presets={"NAME": "mx"})
    answers = {FileText("etc/ports"): "daemon_smtp_ports = 26\n", FileText("/etc/nothing"): Unopened("none")}
    assert answer_from(answers, asking) == found


def test_what_builtin_macros_say() -> None:
    """The same question to both engines; each answers for itself."""
    text = (
        ".ifdef _OPT_MAIN_RECIPIENTS_MAX\nrecipients_max = 7\n.endif\n"
        ".ifdef _OPT_MAIN_PERL_STARTUP\nperl_startup = x\n.endif\n"
    )
    assert read(text).main.number("recipients_max") == 7
    assert {"_DRIVER_ROUTER_ACCEPT", "_OPT_ROUTERS_DOMAINS", "_OPT_TRANSPORT_SMTP_PORT"} <= BUILTIN.keys()
    assert all(re.fullmatch("_[A-Z0-9_]+", name) for name in BUILTIN)


@pytest.mark.parametrize(
    "scope, name, problem, remedy, because",
    [
        ("main", "perl_startup", "real Exim only", "on a real Exim", "Exim has it"),
        ("main", "no_queue_run_in_order", "real Exim only", "on a real Exim", "negated"),
        ("main", "qualify_domian", "unknown", "did you mean qualify_domain", "letters exchanged"),
        ("main", "zzz", "unknown", "docs/exim-support.md", "nothing like it"),
        ("transport smtp", "xyzzy", "unknown (transport smtp)", "docs/exim-support.md", "of no transport"),
        ("transport smtp", "socks_proxy", "real Exim only", "on a real Exim", "of this transport"),
        ("router accept", "mx_domains", "unknown (router accept)", "did you mean domains", "of another"),
    ],
)
def test_a_gap_or_a_slip_of_the_pen(scope: str, name: str, problem: str, remedy: str, because: str) -> None:
    place = Place("exim.conf", 1)
    with pytest.raises(ConfigurationError) as caught:
        options.read_setting(scope, Setting(name, "x", place), {})
    assert problem in caught.value.problem, because
    assert remedy in caught.value.remedy, because


def test_every_option_of_ours_is_one_of_exims() -> None:
    """An option that Exim has not would make a file that only labkit can read."""
    for row in options.TABLE:
        assert exim_names.has(row.scope, row.name), row.name
    for kind, drivers in options.DRIVERS.items():
        assert set(drivers) <= set(exim_names.DRIVERS[kind])


def test_a_list_may_be_quoted() -> None:
    found = read(
        'domainlist d = "a.test : \\\n b.test"\nhide hostlist h = "<; ::1"\nlocalpartlist l = bob\n'
    ).lists
    assert found[ListKind.DOMAIN, "d"].look("b.test", HERE).found
    assert found[ListKind.HOST, "h"].look("::1", HERE).found
    assert found[ListKind.LOCAL_PART, "l"].look("Bob", HERE).found


ROUTER = "begin routers\nr:\n driver = accept\n transport = t\n"
TRANSPORT = "begin transports\nt:\n driver = smtp\n"
REFUSED = [
    ("nosuch = 1", 1, 'main option "nosuch" unknown', "an unknown option"),
    ("perl_startup = x", 1, 'the option "perl_startup" is "real Exim only"', "one that Exim has"),
    ("recipients_max = 1\nrecipients_max = 2", 2, "set for the second time", "Exim's words"),
    ("no_smtp_enforce_sync\nsmtp_enforce_sync", 2, "set for the second time", "under another name"),
    ("domainlist a = x\ndomainlist a = y", 2, "the domainlist a is defined a second time", "a list"),
    ("domainlist = x", 1, 'main option "domainlist" unknown', "a list without name"),
    ('domainlist a = "x', 1, "missing quote at end", "a quote too few"),
    ("begin acl\naccept", 2, "ACL name missing", "no name"),
    ("begin acl\nx:\nx:", 3, 'there are two ACLs called "x"', "twice"),
    ("begin acl\nx:\nhosts = *", 3, "unknown ACL verb", "no verb"),
    ("begin acl\nx:\nacept hosts = *", 3, "unknown ACL verb", "a misspelt verb"),
    ("begin acl\nx:\naccept\nacept hosts = *", 4, "unknown ACL condition or modifier", "further down"),
    ("begin acl\nx:\naccept\n = x", 4, "unknown ACL condition or modifier", "no name"),
    ("begin acl\nx:\n accept\nA = 1\n deny", 5, "ACL name missing", "a macro ends an ACL"),
    ("begin routers\n driver = accept", 2, "router name missing", "no name"),
    ("begin routers\nr: driver = accept", 2, "extra characters follow driver name r", "Exim's words"),
    (ROUTER + "A = 1\n more", 6, "router name missing", "a macro ends a router"),
    (ROUTER + "r:\n driver = accept\n" + TRANSPORT, 5, 'there are two routers called "r"', "twice"),
    ("begin routers\nr:\n transport = t\n" + TRANSPORT, 2, "no driver given for router r", "no driver"),
    ("begin routers\nr:\n driver\n" + TRANSPORT, 2, "no driver given for router r", "a driver without name"),
    (
        "begin routers\nr:\n driver = queryprogram\n",
        3,
        'the router driver "queryprogram" is not known to labkit yet ("real Exim only")',
        "not yet",
    ),
    (
        "begin routers\nr:\n driver = redirekt\n",
        3,
        'the router driver "redirekt" is not known to Exim',
        "misspelt",
    ),
    ("begin routers\nr:\n driver = accept\n", 2, "the router r has no transport", "nothing to do"),
    (
        "begin routers\nr:\n driver = redirect\n transport = t\n",
        2,
        "may not have a transport",
        "two things at once",
    ),
    ("begin transports\nt:\n driver = lmtp\n", 3, 'the transport driver "lmtp" is not known', "not yet"),
    (
        "begin transports\nt:\n driver = smtp\n port = 1\n port = 2",
        5,
        "set for the second time",
        "in a transport",
    ),
    ("begin transports\nt:\n driver = smtp\n file = /x", 4, "(transport smtp)", "another driver's option"),
    ("begin transports\nt:\n port = 1\n driver = smtp", 3, '"driver" must be specified before', "too early"),
    ("begin routers\nr:\nr2 x", 3, "missing or misplaced '='", "no option"),
]


@pytest.mark.parametrize("text, line, problem, because", REFUSED)
def test_what_is_refused(text: str, line: int, problem: str, because: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        read(text, "student.conf")
    assert problem in caught.value.problem, because
    assert caught.value.place == Place("student.conf", line), because
    assert caught.value.remedy, "it says what to do about it"


DOUBTED = [
    ("\nacl_smtp_rcpt = x", 2, 'acl_smtp_rcpt names the ACL "x"', "an ACL that is not there"),
    (ROUTER, 4, 'the router r names the transport "t", which is not defined', "nobody to do it"),
    (
        "begin transports\nt:\n driver = appendfile\n file = /m/$local_part",
        4,
        "Tainted name for a file: $local_part is chosen",
        "a stranger's choice",
    ),
    (
        "begin routers\nr:\n driver = redirect\n local_parts = a : lsearch*;/v/$domain\n data = x\n",
        4,
        "Tainted name for a file: $domain is chosen",
        "a table that a stranger names",
    ),
    (
        "domainlist ours = a.test\nbegin routers\nr:\n driver = redirect\n domains = ! +hours\n data = x\n",
        5,
        'the list "+hours" is not defined',
        "a misspelt list of a router",
    ),
    ("domainlist ours = a.test : +their", 1, 'the list "+their" is not defined', "of another list"),
    (
        "domainlist ours = a.test\nbegin acl\na:\n deny ! domains = +our\n accept\n",
        4,
        'the list "+our" is not defined',
        "of an ACL",
    ),
]


@pytest.mark.parametrize("text, line, problem, because", DOUBTED)
def test_what_exim_finds_out_only_when_it_gets_there(
    text: str, line: int, problem: str, because: str
) -> None:
    (doubt,) = read(text, "student.conf").doubts
    assert problem in doubt.problem, because
    assert doubt.place == Place("student.conf", line)
    assert doubt.remedy


def test_octets() -> None:
    """Inside, a text has the length that it has on the wire; what people read is readable."""
    found = read("qualify_domain = a.test\nsmtp_banner = Grüße\n")
    assert found.main.expansion("smtp_banner").text == "Gr\xc3\xbc\xc3\x9fe"
    with pytest.raises(ConfigurationError, match="Grüße"):
        read("primary_hostname = Grüße\n")


def test_what_cannot_be_done_yet_is_refused_when_it_should_run() -> None:
    asked = read("tls_ocsp_file = /x\n", "student.conf").main.unfulfilled()
    assert asked is not None and asked.place == Place("student.conf", 1)
    assert read("tls_advertise_hosts =\nqueue_only = no\n").main.unfulfilled() is None, "asks for nothing"
    assert read("never_users = root\n").main.unfulfilled() is None, "nothing to change here"


LATER = [
    (
        "begin acl\nx:\n accept colour = red",
        3,
        'unknown ACL condition/modifier in "colour = red"',
        "no such condition",
    ),
    ("begin acl\nx:\n accept malware = *", 3, "malware", "not yet"),
    ("begin acl\nx:\n deny domains", 3, '"=" missing after ACL "domains"', "no value"),
    ("begin acl\nx:\n deny message", 3, '"=" missing after ACL "message"', "no value"),
    ("begin acl\nx:\n deny !message = no", 3, "negation is not allowed", "a message holds no truth"),
    (
        "begin transports\nt:\n driver = appendfile\n file = /a\n directory = /b",
        2,
        "has both file and directory",
        "two places",
    ),
    (
        "begin routers\nr:\n driver = accept\n transport = t\n"
        "begin transports\nt:\n driver = pipe\n command = /bin/true",
        6,
        "runs a program, which this host does not permit",
        "not without permission",
    ),
    (
        "begin transports\nt:\n driver = appendfile\n file = /a\n maildir_format",
        2,
        "directory goes with",
        "not a folder",
    ),
    ("begin retry\n*", 2, "", "no condition"),
    ("begin retry\n* nonsense F,1h,1m", 2, "nonsense", "no such condition"),
]


def compiled(text: str) -> Compiled:
    return compile_configuration(read(text, "student.conf"), "mx2.st11.test", ("203.0.113.11",))


@pytest.mark.parametrize("text, line, problem, because", LATER)
def test_what_the_other_rooms_refuse(text: str, line: int, problem: str, because: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        compiled(text)
    assert problem in caught.value.problem, because
    assert caught.value.place == Place("student.conf", line), because
    assert caught.value.remedy


def test_what_the_scenario_gives_to_students(root: Path) -> None:
    template = (root / "data/scenarios/partners/host.conf").read_text(encoding="utf-8")
    names = {name for _, name, _, _ in string.Formatter().parse(template) if name}
    text = template.format(**dict.fromkeys(names - {"laptop"}, "st11.test"), laptop="203.0.113.77")
    assert compiled(text).configuration.main.text("primary_hostname") == "st11.test"


words = st.sampled_from(
    """begin acl routers transports retry x: y: t: driver = accept dnslookup smtp appendfile transport = t file = /x
    domains = +d a.test : ! domainlist d = hosts = * message = no deny require warn verify = recipient
    check_local_user acl_smtp_rcpt = x port = 25 F,1h,1m; * \\\\ \\n "quoted" $domain no_more # .ifdef FOO .endif
    .else FOO = FOO == _DRIVER_ROUTER_ACCEPT""".split(" ")
)
texts = st.lists(
    st.tuples(words | st.text(max_size=3), st.sampled_from([" ", "\n", "\n  ", "\\\n", ""]))
).map(lambda pairs: "".join(a + b for a, b in pairs))


@settings(deadline=None, max_examples=150)
@given(texts | st.text())
def test_nothing_but_a_configuration_error(text: str) -> None:
    try:
        found = compiled(text)
    except ConfigurationError as error:
        assert 1 <= error.place.line <= text.count("\n") + 1, error  # noqa: PT017 - either is right
        return
    assert isinstance(found.configuration, Configuration)


@settings(deadline=None, max_examples=150)
@given(st.data())
def test_a_damaged_file(data: st.DataObject) -> None:
    text = MAIN + REST
    start = data.draw(st.integers(0, len(text)))
    end = data.draw(st.integers(start, min(len(text), start + 40)))
    damaged = text[:start] + data.draw(st.text(max_size=4)) + text[end:]
    try:
        compiled(damaged)
    except ConfigurationError as error:
        assert str(error).startswith("student.conf, line ")  # noqa: PT017 - either is right


@pytest.mark.parametrize(
    "text",
    [
        "begin routers\n"
        + "".join(f"r{i}:\n driver = accept\n transport = t\n" for i in range(8_000))
        + TRANSPORT,
        "begin acl\nx:\n" + " accept domains = a.test\n" * 8_000,
        "".join(f"domainlist d{i} = a.test\n" for i in range(10_000)),
        "begin acl\n" + "".join(f"x{i}:\n" for i in range(30_000)),
        "begin retry\n" + "* * F,2h,15m\n" * 10_000,
        "begin retry\n* *  " + "F,2h,15m;" * 30_000,
        "domainlist" + " " * 1_000_000,
        "begin acl\nx:\n accept" + " " * 1_000_000 + "!",
    ],
    ids=lambda text: text[:24],
)
def test_a_long_file_in_no_time(text: str) -> None:
    began = time.process_time()
    try:
        compiled(text)
    except ConfigurationError as error:
        assert error.remedy  # noqa: PT017 - the last two are wrong, but quickly so
    assert time.process_time() - began < 2
