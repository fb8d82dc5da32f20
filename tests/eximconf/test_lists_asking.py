"""Lists that ask: look-ups, files, names of hosts, mail exchangers, `$`, and what is remembered.

Every row was seen on Exim 4.96; tests/oracles/test_lists_agree.py sees them again.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from labkit.eximconf.expansion import Defer, Env, Failure, Value, compile_text
from labkit.eximconf.here import Here
from labkit.eximconf.lists import ListKind, Match, PatternList, compile_list
from labkit.eximconf.reader import ConfigurationError, Place
from labkit.mail.asking import Question, answer_by, answer_from
from labkit.mail.lookups import FileLine, FileText, PasswdLine, SqliteRows, Unanswered, Unopened
from labkit.mail.questions import AddressesOf, DnsAnswer, DnsOutcome, MxOf, MxRecord, NamesOf

PLACE = Place("exim.conf", 3)
HERE = Here("mx.here.test", ("203.0.113.1",))
D, H, L, A = ListKind.DOMAIN, ListKind.HOST, ListKind.LOCAL_PART, ListKind.ADDRESS
CLIENT = "203.0.113.9"
MISSING, NONE = "Failure: failed to open /missing", "No such file or directory"
NO_KEY = 'Defer: "10.1.0.0/16" is not a valid iplsearch key: use net-iplsearch'


def found(*records: Any) -> DnsAnswer[Any]:
    return DnsAnswer(DnsOutcome.FOUND, records)


SOFT: DnsAnswer[Any] = DnsAnswer(DnsOutcome.SERVFAIL)
NOTHING: DnsAnswer[Any] = DnsAnswer(DnsOutcome.NXDOMAIN)
ANSWERS: dict[Question[Any], Any] = {
    FileLine("/f", "a.b"): "data",
    FileLine("/f", "client.dom.test"): "a client",
    FileLine("/f", "192.0.2.0/24"): "a network",
    FileLine("/f", "192.0.2.7"): "an address",
    FileLine("/f", "2001.0db8.0000.0000.0000.0000.0000.0001"): "six",
    FileLine("/f", "ann@b"): "whole",
    FileLine("/f", "*@b"): "anybody",
    FileLine("/f", "b"): "!c : ann : *x",
    FileLine("/f", "chain"): "z : > b",
    FileLine("/f", "loop"): "z : > loop",
    FileLine("/missing", "a.b"): Unopened("No such file or directory"),
    FileLine("/later", "a.b"): Unanswered("try again"),
    FileText("/d"): "a.b\n# c\n!c.d # x\n *.e.f\n+local\nldap;x\n",
    FileText("/h"): "10.0.0.0/8\n*.dom.test\n192.0.2.7\n",
    FileText("/p"): "ann#x\nbob # c\n# d\n",
    FileText("/e"): "\n",
    FileText("/n"): "!x\n",
    PasswdLine(""): None,
    FileText("/missing"): Unopened("No such file or directory"),
    SqliteRows("/db", "select 1"): ((("1", "one"),),),
    NamesOf(CLIENT): found("Client.dom.test.", "alias.other.test", "liar.test"),
    AddressesOf("client.dom.test"): found("203.0.113.8", CLIENT),
    AddressesOf("alias.other.test"): found(CLIENT),
    AddressesOf("liar.test"): found("203.0.113.99"),
    AddressesOf("two.test"): found("203.0.113.8", CLIENT),
    AddressesOf("nx.test"): NOTHING,
    AddressesOf("soft.test"): SOFT,
    AddressesOf("mx.here.test"): found("203.0.113.1"),
    AddressesOf("remote.test"): found("203.0.113.77"),
    NamesOf("203.0.113.20"): NOTHING,
    NamesOf("203.0.113.30"): SOFT,
    NamesOf("203.0.113.40"): found("liar.test"),
    NamesOf("203.0.113.50"): found("soft.test"),
    MxOf("prim.test"): found(MxRecord(20, "remote.test"), MxRecord(10, "mx.here.test")),
    MxOf("secn.test"): found(MxRecord(10, "remote.test"), MxRecord(20, "mx.here.test")),
    MxOf("same.test"): found(MxRecord(10, "remote.test"), MxRecord(10, "mx.here.test")),
    MxOf("foreign.test"): found(MxRecord(10, "remote.test")),
    MxOf("broken.test"): found(MxRecord(5, "nx.test"), MxRecord(10, "mx.here.test")),
    MxOf("soft-first.test"): found(MxRecord(5, "soft.test"), MxRecord(10, "mx.here.test")),
    MxOf("soft-remote.test"): found(MxRecord(5, "soft.test"), MxRecord(10, "remote.test")),
    MxOf("soft.test"): SOFT,
    MxOf("none.test"): NOTHING,
}
NAMED: dict[tuple[ListKind, str], PatternList] = {}
for key, text in {
    (D, "local"): "here.test : *.here.test",
    (D, "looked"): "lsearch;/f",
    (D, "dollar"): "${if eq{$domain}{a.b}{a.b}{zz}}",
    (D, "outer"): "+looked : +dollar",
    (H, "named"): "*.dom.test",
    (H, "unknown"): "+include_unknown : *.dom.test",
    (H, "soft"): "soft.test",
}.items():
    NAMED[key] = compile_list(*key[:1], text, PLACE, NAMED)


def asked(
    kind: ListKind, text: str, subject: str, env: Env | None = None, **how: Any
) -> tuple[Match | Failure | Defer, list[Question[Any]]]:
    questions: list[Question[Any]] = []

    def answer(question: Question[Any]) -> Any:
        questions.append(question)
        if isinstance(question, FileLine):
            return ANSWERS.get(question)
        return ANSWERS[question]

    patterns = compile_list(kind, text, PLACE, NAMED)
    env = env or Env(here=HERE, named=NAMED)
    return answer_by(answer, patterns.asking(subject, env, **how)), questions


def said(kind: ListKind, text: str, subject: str, **how: Any) -> str:
    match = asked(kind, text, subject, **how)[0]
    if not isinstance(match, Match):
        return f"{type(match).__name__}: {match.message}"
    return f"yes <{match.data}>" if match.found else "no"


@pytest.mark.parametrize(
    "kind, text, subject, expected, because",
    [
        (D, "lsearch;/f", "A.B", "yes <data>", "the data of the domain, in small letters"),
        (D, "!lsearch;/f : *", "a.b", "no", "negated"),
        (D, "lsearch,ret=key;/f", "a.b", "yes <a.b>", "the key instead"),
        (D, "lsearch;/missing", "a.b", f"{MISSING} for linear search: {NONE}", "no file"),
        (D, "lsearch;/later", "a.b", 'Defer: lookup of "a.b" gave DEFER: try again', "another time"),
        (D, "sqlite,file=/db;select 1", "x", "yes <one>", "a query names its own key"),
        (D, "sqlite;/db select 1", "x", "yes <one>", "the old way to name the file"),
        (D, "/d", "a.b", "yes <a.b>", "a line of a file is an item"),
        (D, "/d", "x.e.f", "yes <*.e.f>", "with blanks in front"),
        (D, "/d", "c.d", "no", "negated in the file"),
        (D, "/d : *", "here.test", "Failure: the look-up ldap is not read by labkit yet", "a named list is none there"),
        (D, "!/d : *", "c.d", "yes <c.d>", "twice negated"),
        (D, "/n", "a", "yes <>", "the last line is negated"),
        (D, "!/n", "a", "no", "and the item, too"),
        (D, "!/e", "a", "yes <>", "an empty file counts as its item does"),
        (D, "/missing : a", "a", f"{MISSING} when checking a list: {NONE}", "no file"),
        (L, "/p", "ann#x", "yes <ann#x>", "# belongs to a local part"),
        (L, "/p", "bob", "yes <bob>", "unless a blank is in front of it"),
        (A, "lsearch;/f", "Ann@B", "yes <whole>", "the whole address is the key"),
        (A, "lsearch*@;/f", "zoe@b", "yes <anybody>", "or anybody of that domain"),
        (A, "*@lsearch;/f", "zoe@b", "yes <*@l@!c : ann : *x>", "the domain is the key; Exim's odd local part"),
        (A, "@@lsearch;/f", "ann@b", "yes <ann>", "a list of local parts, found by the domain"),
        (A, "@@lsearch;/f", "c@b", "no", "negated in it"),
        (A, "@@lsearch;/f", "fox@b", "yes <*x>", "the end of a local part"),
        (A, "@@lsearch;/f", "fox@chain", "yes <*x>", "another key at its end"),
        (A, "@@lsearch;/f", "a@loop", "Failure: Loop detected in lookup of local part of a@loop in @@lsearch;/f", ""),
        (A, "@@lsearch;/f", "", "no", "not for the null sender"),
    ],
)  # fmt: skip
def test_look_ups_and_files(kind: ListKind, text: str, subject: str, expected: str, because: str) -> None:
    assert said(kind, text, subject) == expected, because


@pytest.mark.parametrize(
    "text, subject, expected, because",
    [
        ("*.dom.test", CLIENT, "yes <*.dom.test>", "its name, found and confirmed"),
        ("*.other.test", CLIENT, "yes <*.other.test>", "its second name counts, too"),
        ("*liar.test", CLIENT, "no", "a name that leads elsewhere does not"),
        ("^CLIENT", CLIENT, "yes <^CLIENT>", "names have no case"),
        ("lsearch;/f", CLIENT, "yes <a client>", "a look-up by name"),
        ("two.test", CLIENT, "yes <>", "a whole name: one of its addresses"),
        ("two.test", "", "no", "nobody is connected"),
        ("*.dom.test : *", "203.0.113.20", "no", "no name: the list ends (L10)"),
        ("* : *.dom.test", "203.0.113.20", "yes <>", "if it is come to"),
        ("!*.dom.test", "203.0.113.20", "no", "even negated"),
        ("*.dom.test : *", "203.0.113.30", "no", "an answer that may come later: no name either"),
        ("*.dom.test : *", "203.0.113.40", "no", "only a liar's"),
        ("*.dom.test : *", "203.0.113.50", "no", "a name whose addresses nobody tells"),
        ("+include_unknown : *.dom.test", "203.0.113.20", "yes <>", "the word says yes"),
        ("+include_unknown : !*.dom.test", "203.0.113.20", "yes <>", "also where it is negated"),
        ("+ignore_unknown : *.dom.test : *", "203.0.113.20", "yes <>", "or go on"),
        ("+include_unknown : +ignore_unknown : *.dom.test", "203.0.113.20", "no", "the last word counts"),
        ("+named : *", "203.0.113.20", "yes <>", "only the list within ends"),
        ("+unknown", "203.0.113.20", "yes <>", "its words are its own"),
        ("+include_unknown : +named", "203.0.113.20", "no", "and not those around it"),
        ("nx.test : *", CLIENT, "no", "a name without address ends the list (L8)"),
        ("+ignore_unknown : nx.test : *", CLIENT, "yes <>", "unless the word says go on"),
        ("soft.test : *", CLIENT, 'Defer: DNS lookup of "soft.test" deferred', "try later (L9)"),
        ("+include_defer : !soft.test", CLIENT, "yes <>", "the word says yes"),
        ("+ignore_defer : soft.test : *", CLIENT, "yes <>", "or go on"),
        ("+ignore_defer : +soft : *", CLIENT, 'Defer: DNS lookup of "soft.test" deferred', "not for a list within"),
        ("@", "203.0.113.1", "yes <>", "our own name's address"),
        ("net-lsearch;/f", "192.0.2.7", "yes <an address>", "a look-up by address"),
        ("net24-lsearch;/f", "192.0.2.99", "yes <a network>", "or by network"),
        ("<; net-lsearch;;/f", "2001:db8::1", "yes <six>", "IPv6 with dots"),
        ("/h", "10.9.9.9", "yes <10.0.0.0/8>", "a line of a file vouches for itself"),
        ("/h : *", "203.0.113.20", "no", "a name in a file ends the list around it, too"),
        ("net16-iplsearch;/f", "10.1.2.3", NO_KEY, "a network is no key (L16)"),
    ],
)  # fmt: skip
def test_hosts(text: str, subject: str, expected: str, because: str) -> None:
    assert said(H, text, subject) == expected, because


def test_a_name_that_is_known() -> None:
    assert said(H, "*.x.test", CLIENT, name="a.x.test") == "yes <*.x.test>"
    assert said(H, "*.dom.test", CLIENT, name="a.x.test") == "no"
    assert said(H, "lsearch;/f", CLIENT, name="client.dom.test") == "yes <a client>"
    env = Env({"sender_host_address": CLIENT, "sender_host_name": "a.x.test"}, here=HERE)
    assert asked(H, "*.x.test", CLIENT, env) == (
        Match(True, "*.x.test", "*.x.test", (), f"host {CLIENT} is in *.x.test by *.x.test"), [],
    )  # fmt: skip


def test_a_name_is_looked_for_once() -> None:
    env = Env({"sender_host_address": CLIENT}, here=HERE)
    assert len(asked(H, "*.a : *.dom.test", CLIENT, env)[1]) == 4
    assert env.variables["sender_host_name"] == "client.dom.test"
    assert asked(H, "*.other.test", CLIENT, env)[1] == []
    nameless = Env({"sender_host_address": "203.0.113.20"}, here=HERE)
    assert [len(asked(H, "*.a", "203.0.113.20", nameless)[1]) for _ in range(2)] == [1, 0]
    assert nameless.variables["host_lookup_failed"] == "1"
    soft = Env({"sender_host_address": "203.0.113.30"}, here=HERE)
    assert [len(asked(H, "*.a", "203.0.113.30", soft)[1]) for _ in range(2)] == [1, 1]
    assert soft.variables["host_lookup_deferred"] == "1"


@pytest.mark.parametrize(
    "domain, any_, primary, secondary",
    [
        ("prim.test", "yes", "yes", "no"),
        ("secn.test", "yes", "no", "yes"),
        ("same.test", "yes", "yes", "no"),
        ("foreign.test", "no", "no", "no"),
        ("broken.test", "yes", "no", "yes"),
        ("soft-first.test", "Defer", "Defer", "Defer"),
        ("soft-remote.test", "no", "no", "no"),
        ("soft.test", "Defer", "Defer", "Defer"),
        ("none.test", "no", "no", "no"),
    ],
)
def test_exchangers(domain: str, any_: str, primary: str, secondary: str) -> None:
    lists = ("@mx_any", "@mx_primary", "@MX_secondary")
    answers = [said(D, each, domain).partition(":")[0].partition(" ")[0] for each in lists]
    assert answers == [any_, primary, secondary]


def test_ignored_exchangers() -> None:
    assert said(D, "@mx_any/ignore=203.0.113.1", "prim.test") == "no"
    assert said(D, "@mx_primary/ignore=203.0.113.0/26", "secn.test") == "no"
    assert said(D, "@mx_primary/ignore=203.0.113.77", "secn.test") == "yes <@mx_primary/ignore=203.0.113.77>"
    assert said(D, "@mx_other", "prim.test") == "no"


@pytest.mark.parametrize(
    "kind, text, subject, variables, expected, because",
    [
        (D, "$acl_m_0", "b", {"acl_m_0": "a : b"}, "yes <b>", "expanded, then cut"),
        (D, "${if eq{$domain}{a.b}{a.b}}", "A.B", {}, "yes <a.b>", "$domain is what is looked for"),
        (D, "${if eq{$domain}{a.b}{a.b}}", "a.b", {"domain": "c"}, "no", "unless it is something else"),
        (H, "${if eq{$host_address}{1.2.3.4}{*}}", "1.2.3.4", {}, "yes <>", "$host_address, too"),
        (D, "a.b : ${if eq{a}{b}{x}fail}", "a.b", {}, "no", "a forced failure: nothing is in it"),
        (D, "!${if eq{a}{b}{x}fail}", "a.b", {}, "no", "also negated"),
        (D, "${lookup{a.b}lsearch{/later}}", "a", {}, "Defer", "a look-up in the text"),
        (D, "ldap;$domain", "a", {}, "Failure", "what labkit cannot do shows when it is used"),
        (D, "lsearch;/f/$local_part", "a", {"local_part": "x"}, "Failure", "a stranger names no file (T11)"),
        (D, "lsearch;/f : $local_part", "a", {"local_part": "x"}, "Failure", "the whole text became a stranger's"),
        (D, "/d : $local_part", "a", {"local_part": "x"}, "Failure", "as a file of items"),
        (D, "sqlite,file=/db;$local_part", "a", {"local_part": "x"}, "Failure", "or of a database"),
        (D, "passwd;$local_part : a", "a", {"local_part": ""}, "yes <a>", "nothing taints nothing"),
        (D, r"\N^a\.b$\N", "a.b", {}, r"yes <^a\.b$>", "without $ it is expanded once"),
    ],
)  # fmt: skip
def test_expanded(
    kind: ListKind, text: str, subject: str, variables: Mapping[str, str], expected: str, because: str
) -> None:
    env = Env(dict(variables), here=HERE)
    match = answer_from(ANSWERS, compile_list(kind, text, PLACE, NAMED).asking(subject, env))
    if isinstance(match, Match):
        assert (f"yes <{match.data}>" if match.found else "no") == expected, because
    else:
        assert type(match).__name__ == expected, because
    assert env.variables == variables


def test_an_expansion_in_an_expansion_has_an_end() -> None:
    named: dict[tuple[ListKind, str], PatternList] = {}
    named[D, "x"] = compile_list(D, "${if match_domain{a}{+x}{a}{b}}", PLACE, named)
    env = Env(named=named)
    match = answer_from({}, named[D, "x"].asking("a", env))
    assert isinstance(match, Failure)
    assert "too many expansions" in match.message
    assert env.depth == 0


def test_named_lists_are_remembered() -> None:
    env = Env(here=HERE, named=NAMED)
    assert [len(asked(D, "+looked", "a.b", env)[1]) for _ in range(3)] == [1, 0, 0]
    assert len(asked(D, "+looked", "c.d", env)[1]) == 1  # another domain
    assert len(asked(D, "+looked : +looked", "x.y", Env(here=HERE), remembers=False)[1]) == 2
    assert [len(asked(D, "lsearch;/f", "a.b", env)[1]) for _ in range(2)] == [1, 1]
    env.memo.clear()
    assert len(asked(D, "+looked", "a.b", env)[1]) == 1


def test_a_list_with_a_dollar_is_not_remembered_unless_it_says_so() -> None:
    for forces_cache, expected in ((False, ["no", "yes"]), (True, ["no", "no"])):
        named: dict[tuple[ListKind, str], PatternList] = {}
        named[D, "x"] = compile_list(D, "$acl_m_0", PLACE, named, forces_cache=forces_cache)
        env = Env(named=named)
        answers = []
        for value in ("b", "a"):
            env.variables["acl_m_0"] = value
            match = answer_from({}, compile_list(D, "+x", PLACE, named).asking("a", env))
            assert isinstance(match, Match)
            answers.append("yes" if match.found else "no")
        assert answers == expected


def test_conditions() -> None:
    env = Env({"domain": "a.b"}, here=HERE, named=NAMED)
    for text, expected in {
        "${if match_domain{a.b}{+looked}{$value}}<$domain_data>": Value("data<>"),
        "${if match_domain{x.here.test}{+local}{$value $1}}$1": Value("*.here.test x"),
        "${if match_ip{10.1.2.3}{<; 10.0.0.0/8 ; $domain}{y}{n}}": Value("y"),
        "${if match_ip{1.2.3.4}{*.x : *}{y}{n}}": Value("n"),
        "${if match_address{a@here.test}{*@+local}{$value}}": Value("*@here.test"),
        "${if match_domain{a.b}{+nosuch}}": Failure(
            'unable to complete match against "+nosuch": unknown named domain list "+nosuch"'
        ),
        "${if match_domain{a.b}{lsearch;/later}}": Defer(
            'unable to complete match against "lsearch;/later": lookup of "a.b" gave DEFER: try again'
        ),
    }.items():
        assert answer_from(ANSWERS, compile_text(text, PLACE).asking(env)) == expected, text
    with pytest.raises(ConfigurationError, match="the look-up ldap is not read"):
        compile_text("${if match_domain{a}{ldap;x}}", PLACE)
