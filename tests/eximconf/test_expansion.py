r"""What Exim makes of a text: every row was seen on Exim 4.96 (tests/oracles/test_expansion_agrees.py sees most again).

NAMES      E…, T…, H… are the traps that a plain reading of the specification falls into; the last column says why.
SHOWN      a value as it is; `Failed: …`, `Forced: …`, `Defer: …` for the other three outcomes.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from labkit.eximconf.expansion import (
    AclVerdict,
    Defer,
    Env,
    Failure,
    ForcedFailure,
    Tainted,
    Value,
    compile_text,
)
from labkit.eximconf.lists import ListKind, compile_list
from labkit.eximconf.place import ConfigurationError, Place
from labkit.mail.asking import Asking, Question, answer_from
from labkit.mail.lookups import (
    Exists,
    FileLine,
    FileText,
    FolderEntry,
    ReadSocket,
    SqliteRows,
    Unanswered,
    Unopened,
)

PLACE = Place("exim.conf", 3)
VARIABLES = {
    "acl_m_q": "",
    "domain": "b.test",
    "home": "/home/ann",
    "local_part": "ann",
    "primary_hostname": "mx.b.test",
    "sender_address": "eve@evil.test",
    "sender_address_domain": "evil.test",
    "tod_epoch": "1795412668",
}
HEADERS = [
    ("Subject", " hello\n"), ("X-Multi", " one\n"), ("X-Multi", " two\n"), ("To", " a@b.test, c@d.test\n"),
    ("From", " =?utf-8?Q?J=C3=BCrg?= <j@b.test>\n"), ("X-Colon", " a:b\n"), ("X-Empty", "\n"),
]  # fmt: skip
ANSWERS: dict[Question[Any], Any] = {
    FileLine("/F", "ann"): "bob",
    FileLine("/F", "a.b"): "the data",
    FileLine("/F", "empty"): "",
    FileLine("/F", "zz"): None,
    FileLine("/F", "*"): "any",
    FileLine("/missing", "a"): Unopened("No such file or directory"),
    FolderEntry("/D", "al"): True,
    FolderEntry("/D", ".."): True,
    FolderEntry("/D", ".hid"): True,
    FolderEntry("/D", "no"): False,
    SqliteRows("/db", "one"): ((("v", "a"),), (("v", "b"),)),
    SqliteRows("/db", "two"): ((("v", "x y"), ("w", "1")), (("v", ""), ("w", 'q"'))),
    SqliteRows("/db", "blank"): ((("v", "x y"),),),
    SqliteRows("/db", "nothing"): (),
    SqliteRows("/db", "empty"): ((("v", ""),),),
    SqliteRows("/db", "wrong"): Unanswered("sqlite: no such table"),
    FileText("/text"): "a\nb\n",
    FileText("/missing"): Unopened("No such file or directory"),
    Exists("/etc/passwd"): True,
    Exists("/eve@evil.test"): False,
    ReadSocket("/s", "hi"): "hello\nyou\n",
    ReadSocket("/gone", "hi", 2): Unopened("No such file or directory"),
}  # fmt: skip


def call_acl(name: str, arguments: Any) -> Asking[AclVerdict]:
    return {
        "yes": AclVerdict(True, " ".join(arguments)),
        "no": AclVerdict(False, "because"),
        "later": AclVerdict(None),
    }[name]
    yield


def world() -> Env:
    return Env(
        VARIABLES,
        headers=HEADERS,
        environment={"FOO": "bar"},
        named={
            (ListKind.DOMAIN, "local_domains"): compile_list(ListKind.DOMAIN, "b.test : *.b.test", PLACE, {})
        },
        acl=call_acl,
    )


def outcome(text: str, answers: Mapping[Question[Any], Any] = ANSWERS, env: Env | None = None) -> Any:
    return answer_from(answers, compile_text(text, PLACE).asking(env or world()))


def said(text: str) -> str:
    found = outcome(text)
    if isinstance(found, Value):
        return found.text
    words = {Failure: "Failed", ForcedFailure: "Forced", Defer: "Defer"}
    return f"{words[type(found)]}: {found.message}"


UNKNOWN = 'Failed: unknown variable name "nosuch"'
CURLY = "Failed: curly-bracket problem in conditional yes/no parsing: "
ROWS: list[tuple[str, str, str, str]] = [
    ("E1", "${lc:A{B}C}", "a{bC}", "a brace in text is not counted, the first } ends"),
    ("E2", "${if match{abc}{^.{2}}{y}{n}}", "{y}{n}}", "the } of a quantifier ends the pattern"),
    ("E2", r"${if match{abc}{\N^.{2}\N}{y}{n}}", "y", r"between two \N it does not"),
    ("E3", "${if match_domain{a.b}{${lc:A.B}}{y}{n}}", "true{y}{n}}", "the list is not expanded"),
    ("E3", "${if match_domain{evil.test}{$sender_address_domain}{y}{n}}", "n", "nor is a variable in it"),
    ("E3", "${if inlist{a}{${lc:A}}{y}{n}}", "y", "that of inlist is"),
    ("E4", r"${if match{a.b}{^a\\.b$}{y}{n}}", "Failed: $ not followed by letter, digit, or {", "a dollar before }"),
    ("E5", "${if bool{true}{a}{$nosuch}}", UNKNOWN, "branches not taken are still read"),
    ("E5", "${if or{{eq{a}{a}}{eq{$nosuch}{}}}{y}{n}}", f'{UNKNOWN} inside "or{{...}}" condition', "members too"),
    ("E6", "${if bool{false}{a}fail}$nosuch", 'Forced: "if" failed and "fail" requested', "what comes first, wins"),
    ("E7", "${if eq{a}{a}}", "true", "no branches: the word true"),
    ("E7", "${if eq{a}{b}}", "", "or nothing"),
    ("E8", "${if bool{false}fail{x}}", f"{CURLY}'yes' part did not start with '{{'\n remaining string is 'fail{{x}}}}'",
     "fail only as the second part"),
    ("E8", "${extract{z}{a=1}fail}", f"{CURLY}'yes' part did not start with '{{'\n remaining string is 'fail}}'",
     "here"),
    ("E9", "${if eq{a}{y}{n}}", "", "{n} is the yes part"),
    ("E10", "${if and{}{y}{n}}", "y", "nothing is wrong"),
    ("E10", "${if or{}{y}{n}}", "n", "nothing is right"),
    ("E10", "${if forany{}{eq{$item}{a}}{y}{n}}", "n", "no item"),
    ("E10", "${if forall{}{eq{$item}{a}}{y}{n}}", "n", "not what logic says"),
    ("E11", "${if not{eq{a}{b}}{y}{n}}", 'Failed: unknown condition "not"', "there is no not"),
    ("E11", "${if !!eq{a}{a}{y}{n}}${if ! eq{a}{b}{y}{n}}", "yy", "there is !"),
    ("E12", "${if bool{y}{y}{n}}", 'Failed: unrecognised boolean value "y"', "four words and numbers"),
    ("E12", "${if bool{on}{y}{n}}", 'Failed: unrecognised boolean value "on"', "on is none"),
    ("E12", "${if bool{00}{y}{n}}${if bool{-1}{y}{n}}${if bool{}{y}{n}}", "nyn", "numbers by their value"),
    ("E13", "${if bool_lax{on}{y}{n}}${if bool_lax{00}{y}{n}}", "yy", "only 0 alone is false"),
    ("E13", "${if bool_lax{0}{y}{n}}${if bool_lax{ no }{y}{n}}", "nn", "and no and false"),
    ("E14", "${if ={010}{8}{y}{n}}${if ={}{0}{y}{n}}${if ={1k }{1024}{y}{n}}", "nyy", "decimal; empty is 0; K"),
    ("E14", "${if ={0x10}{16}{y}{n}}", 'Failed: invalid integer "0x10"', "no hexadecimal"),
    ("E14", "${if ={+3}{3}{y}{n}}", "y", "a sign"),
    ("E15", "${eval:010} ${eval10:010} ${eval:0x}", "8 10 0", "octal and hexadecimal in eval only"),
    ("E15", "${eval:08}", 'Failed: error in expression evaluation: expecting operator (after processing "0")',
     "octal 0"),
    ("E15", "${eval:}", "Failed: error in expression evaluation: expecting number or opening parenthesis "
     '(after processing "")', "nothing is no number"),
    ("E16", "${eval:-7/2} ${eval:-7%3}", "-3 -1", "rounded towards zero, as in C"),
    ("E17", "${eval:9223372036854775807+1}", "Failed: error in expression evaluation: overflow in sum "
     '(after processing "9223372036854775807+1")', "64 bits"),
    ("E18", "${if gt {10}{9}{y}{n}}${if >{10}{9}{y}{n}}", "ny", "gt compares texts"),
    ("E19", "${if def:sender_address{y}{n}}${if def:received_for{y}{n}}", "yn", "def: not empty"),
    ("E20", "${if def:h_subject{y}{n}}", "Failed: missing or misplaced { or } - could be header name not terminated by"
     " colon", "the name runs to a colon or a blank"),
    ("E20", "${lc:$h_foo}", "Failed: missing } at end of string - could be header name not terminated by colon", "too"),
    ("E20", "$h_nosuch: x", " x", "the colon belongs to the name"),
    ("E21", "${h_subject:}", 'Failed: non-digit after underscore in "h_subject"', "h_ is the operator hash"),
    ("E21", "${header_subject:}", 'Failed: unknown expansion operator "header_subject"', "no header in braces"),
    ("E22", "<$12><$1>cost $5", "<><>cost ", "all digits are read"),
    ("E23", "<$acl_m_qx><$acl_m_q.x>", "<><.x>", "a variable that nobody set"),
    ("E23", "$acl_x", 'Failed: unknown variable name "acl_x" (user-defined ACL variables must start acl_c or acl_m)',
     "c m"),
    ("E23", "${if def:acl_mx{y}{n}}", 'Failed: unknown variable "acl_mx" after "def:" '
     "(6th character of a user-defined ACL variable must be a digit or underscore)", "then a digit or _"),
    ("E24", "${lookup{zz}lsearch{/F}}.${lookup{ann}lsearch{/F}}.", ".bob.", "without branches: the data or nothing"),
    ("E25", "${lookup{}lsearch*{/F}{y}{n}}${lookup{}lsearch{/F}{y}{n}}${lookup{}dsearch{/D}{y}{n}}", "ynn",
     "empty key"),
    ("E26", "${lookup{empty}lsearch{/F}{y<$value>}{n}}", "y<>", "found is found"),
    ("E26", "${lookup sqlite,file=/db{empty}{y<$value>}{n}}", "y<>", "a row is a row"),
    ("E30", "${lookup{root}passwd{}}",
     'Failed: a single key was given for lookup type "passwd", which is not a single-key'
     " lookup type", "it is a query"),
    ("E31", "${lookup{../al}dsearch{/D}{y}{n}}",
     'Defer: lookup of "../al" gave DEFER: key for dsearch lookup contains a'
     " slash: ../al", "no way out of the folder"),
    ("E31", "${lookup{..}dsearch{/D}{y}{n}}${lookup{.hid}dsearch{/D}{y}{n}}${lookup{no}dsearch{/D}{y}{n}}", "yyn",
     "dots"),
    ("E32", "${lookup sqlite,file=/db{one}}", "a\nb", "one column: lines"),
    ("E32", "${lookup sqlite{/db two}}", 'v="x y" w=1 \nv="" w=q" ', "two columns: names, quoted, a blank behind"),
    ("E32", "${lookup sqlite,file=/db{blank}}", "x y", "one column is never quoted"),
    ("E32", "${lookup sqlite,file=/db{nothing}{y}{n}}", "n", "no rows: no"),
    ("E32", "${lookup sqlite,file=/db{wrong}{y}{n}}", 'Defer: lookup of "wrong" gave DEFER: sqlite: no such table',
     "error"),
    ("E35", "${substr_-2:abcdef} ${substr_-2_1:abcdef} ${substr_-9_5:abcdef} <${substr_-9:abcdef}>", "abcd e ab <>",
     "without a length: what stands before"),
    ("E36", "${sg{abcabc}{b}{[$0]}} ${sg{abcabc}{b}{[\\$0]}}", "a[]ca[]c a[b]ca[b]c", "expanded before, and again"),
    ("E37", "${sg{aaa}{a*}{x}} ${sg{abc}{}{-}}", "xx -a-b-c-", "empty matches count"),
    ("E38", "${tr{abcd}{bc}{}} ${tr{a-b}{a-c}{xyz}}", "abcd xyb", "no deletion, no ranges"),
    ("E39", "${uc:é} ${strlen:é} ${length_1:é}", "Ã© 2 Ã".replace("Ã©", "\xc3\xa9"), "octets, not letters"),
    ("E39", "${if eqi{ÄB}{äb}{y}{n}}", "n", "only ASCII has case"),
    ("E40", "${map{<, a,b,c}{$item:x}} ${map{a:b}{$item:$item}}", "a:x,b:x,c:x a::a:b::b", "the input's separator"),
    ("E41", "${map{a: :b}{[$item]}} ${map{a:b:}{[$item]}} ${map{:a:b}{[$item]}} ${map{a::b:c}{[$item]}}",
     "[a]:[]:[b] [a]:[b] []:[a]:[b] [a::b]:[c]", "empty items, doubled separators"),
    ("E42", "${listcount:}${listcount: }${listcount::}${listcount: : : }${listcount:a:}", "00121",
     "no item at the end"),
    ("E43", "${map{<a a:b}{[$item]}} ${map{< a:b}{[$item]}}", "[<a a]:[b] [< a]:[b]", "no letter as separator"),
    ("E44", '${listcount:"a:b":c} ${listcount:a\\\\:b:c}', "3 3", "neither quotes nor backslashes protect"),
    ("E45", "${extract{0}{:}{a:b}} ${extract{-1}{:}{a:b}} <${extract{3}{:}{a:b}}> ${extract{ 2 }{:}{a:b}}",
     "a:b b <> b", "all, from behind, none, blanks"),
    ("E45", "${extract{}{a=1}}", 'Failed: first argument of "extract" must not be empty', "an empty key"),
    ("E46", "${extract{b}{a = 1 b = 2}} <${extract{b}{a=1,b=2}}> ${extract{y}{x=1 y=}{found}{n}}", "2 <> found",
     "blanks"),
    ("E47", '${extract{a}{a="x\\"y"}}', "x", "the expansion eats the backslash first"),
    ("E48", "${filter{a:b}{match{$item}{(a)}}}$1", "aa", "filter leaks $1"),
    ("E48", "${if match{abc}{(b)}}$1", "true", "if does not"),
    ("E48", "${if match{abc}{b}{${if match{xyz}{(y)}{$1}}$0}}$0.", "yb.", "nested"),
    ("E49", "${if inlist{a}{a:b}{$value}}", "a", "inlist sets $value"),
    ("E49", "${if match_domain{a.b}{lsearch;/F}{$value}}<$domain_data>", "the data<>", "match_domain too, and no more"),
    ("E50", "${if !match{abc}{(b)}{y}{n$1}}", "nb", "numbers are set although negated"),
    ("E51", "${if or{{match{abc}{(b)}}{eq{a}{b}}}{$1}}", "b", "numbers come out of or"),
    ("E51", "${if and{{match{abc}{(b)}}{eq{$1}{b}}}{y}{n}}", "y", "later members see them"),
    ("E52", "${time_interval:-5}", 'Failed: string "-5" is not a positive number in "time_interval" operator',
     "a sign"),
    ("E52", "${time_eval:5}", 'Failed: string "5" is not an Exim time interval in "time_eval" operator', "no unit"),
    ("E53", "${base62:0} <${base32:0}> ${base64d:aGVs bG8=}", "000000 <> hello",
     "six digits; none; blanks are skipped"),
    ("E54", "${reverse_ip:::ffff:1.2.3.4}", "4.3.2.1", "a mapped address"),
    ("E54", "${mask:3ffe:ffff::8a2e:7334/99}", "3ffe.ffff.0000.0000.0000.0000.8000.0000/99", "dots: it may be a key"),
    ("E55", "${if isip{1.2.3.4/24}{y}{n}}${if isip{01.2.3.4}{y}{n}}${if isip{ 1.2.3.4}{y}{n}}${if isip6{::1%lo}{y}{n}}",
     "nnny", "an address alone; a scope is allowed"),
    ("E56", "${escape:a\tb} ${escape8bit:é} ${quote:a@b} ${quote:}", 'a\tb \\303\\251 "a@b" ""', "a tab stays"),
    ("E57", '${local_part:abc} <${domain:abc}> ${local_part:"a b"@c}', 'abc <> "a b"', "quotes stay"),
    ("E57", "<${address:a@b, c@d}> <${local_part:a@b@c}> ${domain:a@B.C}", "<> <> B.C",
     "two are none; no small letters"),
    ("E58", r"\N$x\n", r"$x\n", "without its end it goes to the end"),
    ("E58", r"\18x\x4\q", "\x018x\x04q", "octal and hexadecimal"),
    ("E58", r"a\0b", "a", "a NUL ends the text"),
    ("E59", "${ lc:A}", "Failed: letter or digit expected after ${", "a blank before the name"),
    ("E59", "${lc :A}", 'Failed: "${lc" is not a known operator (or a } is missing in a variable reference)', "behind"),
    ("E59", "${lc: A}", " a", "in the argument it counts"),
    ("E59", "${lc:A", "Failed: missing } at end of string", "no end"),
    ("E60", "${reduce{a:b}{x:y}{$value,$item}}", "x:y,a,b", "the start is no list"),
    ("E60", "${if crypteq{abc}{abc}{y}{n}}", "n", "plain text is no hash"),
    ("E61", "$tod_epoch_x", 'Failed: unknown variable name "tod_epoch_x"', "the longest name"),
    ("E61", "$sender_host_addressx", 'Failed: unknown variable name "sender_host_addressx"', "no prefix counts"),
    ("T1", "${lookup{a}lsearch{/$local_part}}", "Failed: Tainted filename for search: '/ann'",
     "a stranger names no file"),
    ("T1", "${lookup sqlite{/$local_part select 1}}", "Failed: Tainted filename for search: '/ann'", "nor a database"),
    ("T2", "${readfile{/$local_part}}", "Failed: failed to open /ann: Permission denied", "no word of taint"),
    ("T2", "${if exists{/$sender_address}{y}{n}}", "n", "looking is allowed"),
    ("T4", "${expand:$local_part}", 'Failed: internal expansion of "ann" failed: attempt to expand tainted string'
     " 'ann'", "a stranger writes no expansions"),
    ("H1", "$h_x-multi:", "one\ntwo", "fields of one name"),
    ("H1", "<$rh_subject:><$bh_subject:><$h_nosuch:>", "< hello\n><hello><>", "raw keeps the blank and the newline"),
    ("H1", "$bh_from:", "J\xc3\xbcrg <j@b.test>", "encoded words, as UTF-8"),
    ("H1", "$lh_x-colon:", " a::b", "a list of fields"),
    ("H1", "${if def:h_x-empty:{y}{n}}", "y", "an empty field is there"),
    ("H2", "$h_to:", "a@b.test, c@d.test", "as it is"),
]  # fmt: skip


@pytest.mark.parametrize(
    "row, text, expected, because", ROWS, ids=[f"{row[0]} {row[1][:30]}" for row in ROWS]
)
def test_trap(row: str, text: str, expected: str, because: str) -> None:
    octets = text.encode("utf-8").decode("latin-1")  # as a configuration file is held
    assert said(octets) == expected, f"{row}: {because}"


@pytest.mark.parametrize(
    "row, text, tainted, because",
    [
        ("T5", "/x/${lc:$local_part}", True, "an operator keeps it"),
        ("T5", "${hash_3:$sender_address}", True, "so does hash"),
        ("T5", "${base64:$local_part}", True, "and base64"),
        ("T5", "${extract{1}{@}{$sender_address}}", True, "and extract"),
        ("T5", "${quote_local_part:$local_part}", True, "and quoting"),
        ("T5", "${if match{$local_part}{^(a)}{$1}}", True, "and a part of a match"),
        ("T5", "${sg{$local_part}{a}{b}}", True, "and sg"),
        ("T5", "${map{a}{$local_part}}", True, "and map"),
        ("T6", "${strlen:$local_part}", False, "a number is clean"),
        ("T6", "${md5:$local_part}", False, "so is a digest"),
        ("T6", "${eval:0x${md5:$local_part}&1}", False, "so is a result"),
        ("T7", "/etc/${length_0:$local_part}passwd", False, "an empty piece taints nothing"),
        ("T8", "${if eq{$local_part}{ann}{/etc/passwd}}", False, "a condition taints nothing"),
        ("T8", "${if inlist{$local_part}{ann:bob}{$value}}", False, "$value is ours, from the list"),
        ("T9", "${lookup{$local_part}lsearch{/F}}", False, "data of a file are clean"),
        ("T9", "${lookup{$local_part}lsearch,ret=key{/F}}", False, "and the key that was found"),
        (
            "T10",
            "${lookup sqlite,file=/db{on${length_1:${sg{e$local_part}{ann}{}}}}}",
            False,
            "a query may be tainted",
        ),
        ("T11", "../$local_part", True, "the sender names the file"),
        ("H1", "$h_subject:", True, "headers come from outside"),
        ("T12", "$local_part_data$domain_data", False, "vouched for, and empty here"),
        ("", "$home/x", False, "ours"),
    ],
)
def test_taint(row: str, text: str, tainted: bool, because: str) -> None:
    found = outcome(text)
    assert isinstance(found, Value), found
    assert found.is_tainted == tainted, because
    assert tainted <= compile_text(text, PLACE).may_be_tainted


@pytest.mark.parametrize(
    "inner",
    [
        "${extract{1}{:}{$local_part}{${readfile{/$value}}}}",
        "${listextract{1}{$local_part}{${readfile{/$value}}}}",
        "${map{$local_part}{${readfile{/$item}}}}",
        "${reduce{a}{$local_part}{${readfile{/$value}}}}",
        "${reduce{a:b}{}{${if def:value{${readfile{/$value}}}{$local_part}}}}",
        "${filter{$local_part}{eq{${readfile{/$item}}}{}}}",
        "${sort{$local_part}{lt}{${readfile{/$item}}}}",
        "${if forany{$local_part}{eq{${readfile{/$item}}}{}}}",
        "${if inlist{ann}{$local_part}{${readfile{/$value}}}}",
        "${if match{$local_part}{(.*)}{${readfile{/$1}}}}",
        "${sg{$local_part}{(.+)}{\\${readfile{/\\$1\\}\\}}}",
    ],
)
def test_taint_reaches_a_file_name_inside_what_ignores_it(inner: str) -> None:
    """A comparison does not look at taint, but a file may be named below it."""
    for text in (f"${{if eq{{{inner}}}{{}}{{y}}{{n}}}}", f"${{strlen:{inner}}}", f"${{md5:{inner}}}"):
        assert "failed to open /ann: Permission denied" in said(text)


def test_what_is_set_by_hand_keeps_its_taint() -> None:
    env = Env({"acl_m_x": Tainted("a"), "acl_m_y": "a"})
    assert outcome("<$acl_m_x>", env=env).is_tainted
    assert not outcome("<$acl_m_y>", env=env).is_tainted


@pytest.mark.parametrize(
    "text, expected",
    [
        ("${readfile{/text}}|${readfile{/text}{,}}", "a\nb\n|a,b,"),
        ("${readfile{/missing}}", "Failed: failed to open /missing: No such file or directory"),
        ("${readsocket{/s}{hi}{5s}{, }}", "hello, you, "),
        ("${readsocket{/gone}{hi}{2s}{}{fallback}}", "fallback"),
        (
            "${readsocket{/gone}{hi}{2s}}",
            "Failed: failed to connect to socket /gone: No such file or directory",
        ),
        ("${acl{yes}{a}{b}}|${acl{no}}", "a b|because"),
        ("${acl{later}}", 'Forced: DEFER from acl "later"'),
        ("${if acl{{yes}{a}}{<$value>}{n}}${if acl{{no}}{y}{n}}", "<a>n"),
        ("${if acl{{later}}{y}{n}}", 'Defer: DEFER from acl "later"'),
        ("${authresults{mx}}", "Authentication-Results: mx"),
        ("${env{FOO}}|${env{NO}{y}{n}}", "bar|n"),
        ("${listnamed:local_domains}|${listnamed_d:local_domains}", "b.test : *.b.test|b.test : *.b.test"),
        (
            "${lookup{a}lsearch{/missing}}",
            "Failed: failed to open /missing for linear search: No such file or directory",
        ),
        ("${expand:\\$home}", "/home/ann"),
        ("${if first_delivery{y}{n}}", "n"),
    ],
)
def test_what_others_answer(text: str, expected: str) -> None:
    assert said(text) == expected


@pytest.mark.parametrize(
    "text, what",
    [
        ("${run{/bin/true}}", "${run{"), ("${perl{x}}", "${perl{"), ("${dlfunc{x}{y}}", "${dlfunc{"),
        ("${prvs{a@b}{k}}", "${prvs{"), ("${prvscheck{a}{k}}", "${prvscheck{"), ("${certextract{a}{b}}",
     "${certextract{"),
        ("${imapfolder{a}}", "${imapfolder{"), ("${extract json{a}{b}}", "${extract json"), ("${stat:/x}", "${stat:"),
        ("${utf8_domain_to_alabel:x}", "${utf8_domain_to_alabel:"), ("${lookup{a}cdb{/F}}", "the look-up cdb"),
        ("${lookup ldap{x}}", "the look-up ldap"), ("${quote_mysql:x}", "${quote_mysql:"),
        ("${if pam{a:b}}", "the condition pam"), ("${if ldapauth{a}}", "the condition ldapauth"),
        ("${if saslauthd{{a}{b}}}", "the condition saslauthd"), ("${if forany_json{[]}{eq{a}{b}}}",
     "the condition forany_json"),
    ],
)  # fmt: skip
def test_refused_by_name(text: str, what: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        compile_text(text, PLACE)
    assert caught.value.problem == f"{what} is not read by labkit yet"
    assert caught.value.place == PLACE


@pytest.mark.parametrize(
    "text, asks",
    [
        ("$local_part@$domain", False),
        (
            "${if and{{match{$domain}{b}}{forany{a:b}{eq{$item}{a}}}}{${map{a:b}{${extract{1}{:}{$item}}}}}}",
            False,
        ),
        ("${sg{$domain}{b}{\\$0}}", False),
        ("${sg{$domain}{b}{\\${lookup{x\\}lsearch{/F\\}\\}}}", True),
        ("${lc:${lookup{a}lsearch{/F}}}", True),
        ("${if exists{/x}}", True),
        ("${if bool{true}{a}{${readfile{/x}}}}", True),
        ("${expand:a}", True),
    ],
)
def test_colour(text: str, asks: bool) -> None:
    compiled = compile_text(text, PLACE)
    assert compiled.can_ask == asks
    if asks:
        with pytest.raises(TypeError, match="use asking"):
            compiled.expand(world())
    else:
        assert compiled.expand(world()) == outcome(text)


def test_what_is_not_needed_is_not_asked() -> None:
    assert outcome("${if bool{true}{a}{${lookup{a}lsearch{/unasked}}}}", {}) == Value("a")
    assert outcome("${if or{{eq{a}{a}}{exists{/unasked}}}{a}}", {}) == Value("a")


def test_an_env_is_left_as_it_was() -> None:
    env = world()
    outcome("${lookup{ann}lsearch{/F}{$value$nosuch}}", env=env)
    outcome("${map{a:b}{${if eq{$item}{b}{x}fail}}}", env=env)
    assert (env.value, env.item, env.depth) == ("", "", 0)


def test_explain() -> None:
    text = "${if eq{${lc:$domain}}{b.test}{${lookup{$local_part}lsearch{/F}}}{none}}!"
    found, step = answer_from(ANSWERS, compile_text(text, PLACE).explain(world()))
    assert found == Value("bob!")
    assert step.lines() == [
        f"{text} → 'bob!'",
        "  ${if eq{${lc:$domain}}{b.test}{${lookup{$local_part}lsearch{/F}}}{none}} → 'bob'",
        "    ${lc:$domain} → 'b.test'",
        "      $domain → 'b.test'",
        "    ${lookup{$local_part}lsearch{/F}} → 'bob'",
        "      $local_part → 'ann'",
    ]
    failure, step = answer_from({}, compile_text("a${lc:$nosuch}}", PLACE).explain(world()))
    assert isinstance(failure, Failure)
    assert step.lines()[-1] == '  ${lc:$nosuch}} → (unknown variable name "nosuch")'
