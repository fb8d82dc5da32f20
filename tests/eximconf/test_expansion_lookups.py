"""Look-ups: the files' syntax, the keys that are tried, the records of the DNS. All rows seen on Exim 4.96."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from labkit.eximconf.expansion import Defer, Env, Failure, Value, compile_text
from labkit.eximconf.expansion.files import entries, find_line, find_network, wanted_keys
from labkit.eximconf.place import Place
from labkit.mail.asking import Question, answer_by, answer_from
from labkit.mail.lookups import (
    DnsRecords,
    Exists,
    FileLine,
    FileText,
    PasswdLine,
    Unanswered,
    Unopened,
)

PLACE = Place("exim.conf", 1)
FILE = """\
# a comment
ann:   bob
first: one
first: two
bare
Long: a
   b
\t c
  # d
"quo ted:x":  yes
"qu\\"o": also
tab\tdata
blank data more
colon : data
"""


def outcome(text: str, answers: Mapping[Question[Any], Any]) -> Any:
    return answer_from(answers, compile_text(text, PLACE).asking(Env({"domain": "b.test"})))


@pytest.mark.parametrize(
    "key, data, because",
    [
        ("ann", "bob", "key: data"),
        ("ANN", "bob", "without case"),
        ("first", "one", "the first of two"),
        ("bare", "", "a key alone"),
        ("long", "a b c # d", "continued lines, one blank; an indented comment is data"),
        ("quo ted:x", "yes", "quotes hold blanks and colons"),
        ('qu"o', "also", "and escapes"),
        ("tab", "data", "a tab ends a key"),
        ("blank", "data more", "so does a blank"),
        ("colon", "data", "a colon after blanks"),
        ("#", None, "a comment is no key"),
        ("nobody", None, ""),
    ],
)
def test_lsearch(key: str, data: str | None, because: str) -> None:
    assert find_line(FILE, key) == data, because


def test_an_empty_file() -> None:
    assert entries("") == []
    assert entries("  only a continuation\n") == []


@pytest.mark.parametrize(
    "kind, key, tried, because",
    [
        ("lsearch", "a", "a", "the key"),
        ("lsearch", "", "", "no key: nothing is tried"),
        ("lsearch*", "", "*", "but the default"),
        ("lsearch*", "a@b", "a@b *", "one star"),
        ("lsearch*@", "a@b", "a@b *@b *", "a star for the local part first"),
        ("lsearch*@", "a", "a *", "without one"),
        ("partial-lsearch", "z.test", "z.test *.z.test", "two parts must stay"),
        ("partial-lsearch", "b.a.test", "b.a.test *.b.a.test *.a.test", "the whole key with the affix, too"),
        ("partial1-lsearch", "z.test", "z.test *.z.test *.test", "one must stay"),
        ("partial0-lsearch", "z.test", "z.test *.z.test *.test *", "and at last the affix alone"),
        ("partial(.)lsearch", "b.a.test", "b.a.test .b.a.test .a.test", "another affix"),
        ("partial0(.)lsearch", "a", "a .a .", "of one character"),
        ("partial()lsearch", "c.b.a", "c.b.a b.a", "none"),
        ("partial-lsearch*", "b.a", "b.a *.b.a *", "the default comes last"),
    ],
)
def test_keys_that_are_tried(kind: str, key: str, tried: str, because: str) -> None:
    asked = []

    def nothing(question: Question[Any]) -> None:
        assert isinstance(question, FileLine)
        asked.append(question.key)

    text = f"${{lookup{{{key}}}{kind}{{/F}}}}"
    assert answer_by(nothing, compile_text(text, PLACE).asking(Env())) == Value("")
    assert asked == tried.split(), because


def test_a_key_is_tried_once() -> None:
    assert wanted_keys("*", 0, "*.", "*") == ["*", "*.*"]


WILD = r"""\
*.end: by its end
^x\d+$: never
^y\\d+\$: by y
^z(\\d)\$: by $1
"plain": exactly
*: the rest
""".replace("\\\n", "", 1)


@pytest.mark.parametrize(
    "kind, key, expected, because",
    [
        ("nwildlsearch", "x12", "never", "keys are patterns as they are written"),
        ("nwildlsearch", "y12", "the rest", r"\\d is a backslash and a d"),
        ("nwildlsearch", "A.END", "by its end", "without case"),
        ("nwildlsearch", "Plain", "exactly", "without case"),
        ("wildlsearch", "a.end", "by its end", "before anything has to be expanded"),
        ("wildlsearch", "y12", 'Defer lookup of "y12" gave DEFER: failed to expand "^x\\d+$": '
         "$ not followed by letter, digit, or {", "E27: keys are expanded, and a dollar must be hidden"),
    ],
)  # fmt: skip
def test_wildlsearch(kind: str, key: str, expected: str, because: str) -> None:
    found = outcome(f"${{lookup{{{key}}}{kind}{{/W}}}}", {FileText("/W"): WILD})
    assert (f"Defer {found.message}" if isinstance(found, Defer) else found.text) == expected, because


def test_wildlsearch_with_hidden_dollars() -> None:
    text = WILD.replace("^x\\d+$: never\n", "")
    assert outcome("${lookup{y12}wildlsearch{/W}}", {FileText("/W"): text}) == Value("by y")
    assert outcome("${lookup{z5}wildlsearch{/W}{$value $1}}", {FileText("/W"): text}) == Value("by $1 ")


def test_iplsearch() -> None:
    text = '10.0.0.0/8: ten\n"192.0.2.1": one\n"2001:db8::/32": six\nrubbish: x\n'
    for key, data in {"10.1.2.3": "ten", "192.0.2.1": "one", "2001:db8::1": "six", "192.0.2.2": None}.items():
        assert find_network(text, key) == data
    found = outcome("${lookup{a}iplsearch{/N}}", {FileText("/N"): text})
    assert isinstance(found, Defer)
    assert "use net-iplsearch" in found.message


def test_a_file_that_cannot_be_read() -> None:
    for kind in ("wildlsearch", "iplsearch"):
        found = outcome(
            f"${{lookup{{10.0.0.1}}{kind}{{/no}}}}", {FileText("/no"): Unopened("Permission denied")}
        )
        assert found == Failure("failed to open /no for linear search: Permission denied")


def test_passwd() -> None:
    answers = {PasswdLine("ann"): (1000, 100, "Ann", "/home/ann", "/bin/sh"), PasswdLine("no"): None}
    assert outcome("${lookup passwd{ann}}", answers) == Value("*:1000:100:Ann:/home/ann:/bin/sh")
    assert outcome("${extract{5}{:}{${lookup passwd{ann}}}}", answers) == Value("/home/ann")
    assert outcome("${lookup passwd{no}{y}{n}}", answers) == Value("n")


def test_what_we_may_not_look_at_does_not_exist() -> None:
    for answer, text in ((True, "y"), (False, "n"), (Unopened("Permission denied", is_missing=False), "n")):
        assert outcome("${if exists{/x}{y}{n}}", {Exists("/x"): answer}) == Value(text)
    found = outcome("${if exists{/x}{y}{n}}", {Exists("/x"): Unanswered("the disk sleeps")})
    assert found == Defer("the disk sleeps")


def test_passwd_that_nobody_can_tell_now() -> None:
    found = outcome("${lookup passwd{ann}{y}{n}}", {PasswdLine("ann"): Unanswered("no server")})
    assert found == Defer('lookup of "ann" gave DEFER: no server')


ZONE: dict[Question[Any], Any] = {
    DnsRecords("A", "a.test"): ("192.0.2.1", "192.0.2.2"),
    DnsRecords("AAAA", "a.test"): ("2001:db8::1",),
    DnsRecords("MX", "a.test"): ("10 mx.a.test.", "20 mx2.a.test."),
    DnsRecords("TXT", "a.test"): ("first",),
    DnsRecords("TXT", "no.test"): None,
    DnsRecords("A", "no.test"): None,
    DnsRecords("A", "bad.test"): Unanswered("SERVFAIL"),
    DnsRecords("PTR", "1.9.0.127.in-addr.arpa"): ("host.a.test.",),
    DnsRecords("PTR", "x.test"): ("y.test.",),
    DnsRecords("NS", "sub.host.lab.test"): None,
    DnsRecords("NS", "host.lab.test"): None,
    DnsRecords("NS", "lab.test"): ("ns.lab.test.",),
}


@pytest.mark.parametrize(
    "query, expected, because",
    [
        ("a=a.test", "192.0.2.1\n192.0.2.2", "a newline between records"),
        (">, a=a.test", "192.0.2.1,192.0.2.2", "another separator"),
        (">:,; txt=a.test", "first", "and one for the strings"),
        ("a.test", "first", "TXT is what is meant without a type"),
        ("a=no.test:a.test", "192.0.2.1\n192.0.2.2", "several names"),
        ("mx=a.test", "10 mx.a.test\n20 mx2.a.test", "preference and name"),
        ("mxh=a.test", "mx.a.test\nmx2.a.test", "names only"),
        ("a+=a.test", "2001:db8::1\n192.0.2.1\n192.0.2.2", "both kinds of addresses"),
        ("ptr=127.0.9.1", "host.a.test", "the address itself"),
        ("ptr=x.test", "y.test", "or a name"),
        ("zns=sub.host.lab.test", "ns.lab.test", "climbs to the zone"),
        ("a=no.test", "(none)", "no such name"),
        ("a=bad.test", 'Defer: lookup of "a=bad.test" gave DEFER: ', "nobody could say"),
        ("defer_never,a=bad.test", "(none)", "then there is none"),
        ("a=bad.test:a.test", "192.0.2.1\n192.0.2.2", "lax: another name gave something"),
        (
            "defer_strict,a=bad.test:a.test",
            'Defer: lookup of "defer_strict,a=bad.test:a.test" gave DEFER: ',
            "strict",
        ),
        (
            "nosuch=a.test",
            'Defer: lookup of "nosuch=a.test" gave DEFER: unsupported DNS record type',
            "a type",
        ),
    ],
)
def test_dnsdb(query: str, expected: str, because: str) -> None:
    found = outcome(f"${{lookup dnsdb{{{query}}}{{$value}}{{(none)}}}}", ZONE)
    assert (f"Defer: {found.message}" if isinstance(found, Defer) else found.text) == expected, because
