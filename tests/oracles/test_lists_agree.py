"""The real Exim as judge of lists: match_… by `exim -be`, lists of ACLs by `exim -bh` dialogues.

HOW        an Exim without setuid, as an ordinary user, in a folder with the files. For the dialogues it lives under the
           lab's shim, so that its resolver asks the nameserver of this test; RCPT TO:<c7@…> reaches the statement of
           list 7, and its reply tells whether the list matched and what it found.
DYING      what ends a process of Exim (a missing file, a wrong regular expression) has one of its own.
"""

from __future__ import annotations

import pwd
import random
import re
import sqlite3
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from labkit.eximconf.expansion import Env, Failure, Value, compile_text
from labkit.eximconf.expansion.files import find_line
from labkit.eximconf.here import Here
from labkit.eximconf.lists import ListKind, Match, PatternList, compile_list
from labkit.eximconf.place import ConfigurationError, Place
from labkit.mail.asking import Question, answer_by
from labkit.mail.lookups import FileLine, FileText, FolderEntry, PasswdLine, SqliteRows, Unopened
from labkit.mail.questions import AddressesOf, DnsAnswer, DnsOutcome, MxOf, MxRecord, NamesOf
from labkit.net.dns_server import DnsServer
from labkit.net.dns_zones import Zones, read_zone

from .real_exim import RealExim

PLACE = Place("exim.conf", 1)
HERE = Here("mx.here.test", ("203.0.113.1",))
CONFIGURATION = """\
exim_user = {uid}
exim_group = {group}
spool_directory = {folder}/spool
log_file_path = {folder}/spool/%slog
primary_hostname = mx.here.test
local_interfaces = <; [203.0.113.1]
keep_environment =
check_spool_space = 0
host_lookup =
rfc1413_query_timeout = 0s
smtp_enforce_sync = false
smtp_accept_max_nonmail = 100000
tls_advertise_hosts =
recipients_max = 0
acl_smtp_rcpt = rcpt
acl_smtp_helo = accept
acl_smtp_mail = accept
{lists}
begin acl
accept:
  accept
rcpt:
{statements}
begin routers
all:
  driver = accept
  transport = box
begin transports
box:
  driver = appendfile
  file = /dev/null
"""
FILES = {
    "F": "ann: bob\nempty:\n*.dom.test: wild\na.b: adata\n*@x.test: anybody\n*: any\n10.1.2.3: ipdata\n"
    "192.0.2.0/24: netdata\n2001.0db8.0000.0000.0000.0000.0000.0001: six\nann@b.test: full\nann@b: short\n"
    "b.test: !c : ann : *x\nchain.test: z : > b.test\nloop.test: z : > loop.test\nclient.dom.test: by name\n"
    "one.test: lsearch;/folder/G\n",
    "G": "ann: bob\n*.dom.test: wild\na.b: adata\n*.b.c: deeper\nsub.x: own\nann@b: short\ncx@b: one\n",
    "D": "a.b\n# c\n!c.d # comment\n *.e.f\n^g\\.h$\nlsearch;/folder/G\n+local\n",
    "H": "10.0.0.0/8\n!192.0.2.7#comment\n192.0.2.0/24\n\n2001:db8::/32\n",
    "A": "ann@a.b # x\nlo#cal@a.b\n!bob@a.b\n*@a.b\n",
    "P": "ann#x\n# y\nbob # z\n!c1\n^c\\d+$\n",
    "E": "# nothing\n\n",
    "N": "!a.b\n",
    "W": "*.end: by end\n^y\\\\d+\\$: by y\nplain: exactly\n",
    "NW": "*.end: by end\n^y\\d+$: by y\nplain: exactly\n",
    "I": '10.0.0.0/8: ten\n192.0.2.1: one\n"2001:db8::/32": six\n',
}
NAMED = {
    (ListKind.DOMAIN, "local"): "here.test : *.here.test",
    (ListKind.DOMAIN, "neg"): "!a.b : *.b",
    (ListKind.DOMAIN, "onlyneg"): "!a.b",
    (ListKind.DOMAIN, "outer"): "+later : +neg : q.r",
    (ListKind.DOMAIN, "later"): "later.test : +local",
    (ListKind.DOMAIN, "dollar"): "${if eq{$domain}{a.b}{a.b}{zz}}",
    (ListKind.DOMAIN, "looked"): "partial-lsearch;/folder/G",
    (ListKind.DOMAIN, "filed"): "/folder/D",
    (ListKind.DOMAIN, "fails"): "${if eq{a}{b}{x}fail}",
    (ListKind.HOST, "near"): "10.0.0.0/8 : !192.0.2.9 : 192.0.2.0/24 : ::::1",
    (ListKind.HOST, "named"): "*.dom.test",
    (ListKind.HOST, "unknown"): "+include_unknown : *.dom.test",
    (ListKind.LOCAL_PART, "people"): "ann : bob",
    (ListKind.LOCAL_PART, "case"): "+caseful : Bob",
    (ListKind.ADDRESS, "others"): "a@b : *@c.d",
    (ListKind.ADDRESS, "case"): "+caseful : Ann@b",
}
LISTS: dict[tuple[ListKind, str], PatternList] = {}

# --- match_…: one text a line --------------------------------------------------------------------
DOMAIN_LISTS = """\
a.b|A.B|x.b|here.test|q.r|a.b : x.b|A.B : *|*|*.b|*b|a.*|!a.b|!a.b : *.b|!a.b : c.d|b.c : !a.b|:|: a.b|@|@[]
*.|!*|+local|+neg|+onlyneg|+outer|+later|!+neg : *|!+outer|+neg : a.b|+filed|+filed : a.b|!+filed|+looked|^A
^a\\.b\\$|^(.)\\.(.)\\$|^A(?-i)\\.B|^(?!a)|\\N^a\\.b$\\N|lsearch;/folder/F|lsearch*;/folder/F
lsearch;/folder/G|lsearch*@;/folder/G|partial-lsearch;/folder/G|partial1-lsearch;/folder/G
partial0-lsearch;/folder/G|nwildlsearch;/folder/NW|/folder/D|/folder/N|/folder/E|!/folder/N|!/folder/E
/folder/E : a.b|<; a.b;x.b|<_a__b_a.b|lsearch,ret=key;/folder/G|partial-lsearch,ret=key;/folder/G
partial(.)lsearch;/folder/G|partial()lsearch;/folder/G|dsearch;/folder
sqlite,file=/folder/db;select v from t where n='one'|sqlite;/folder/db select v from t where n='two'
sqlite,file=/folder/db;select v from t where n='no'|a.b : +nosuch|passwd;root|passwd;nosuchuser
"""
DOMAIN_SUBJECTS = (
    "a.b A.B x.dom.test dom.test sub.x y.b.c c.d e.f x.e.f here.test x.here.test q.r later.test mx.here.test F x "
    "[203.0.113.1]"
).split()
LOCAL_LISTS = """\
ann|ANN|+caseful : Ann|Ann : +caseful : BOB|^a|+caseful : ^A|*n|+caseful : *N|@|+people|+case|!ann
lsearch;/folder/F|+caseful : lsearch;/folder/F|/folder/P|+case : BOB|BOB : +case|+case : ann|^c(.)\\$|an*
"""
LOCAL_SUBJECTS = "ann Ann ANN bob BOB Bob c1 c2 ann#x @".split()
ADDRESS_LISTS = """\
a@b|A@B|*@b|*a@b|b|*b|a@*|*|*@*|^a@|^A@b\\$|:|!a@b|+others|+case|+case : *@B|+caseful : a@b|+caseful : A@b
+caseful : *@B|@|@b|a@|lsearch;/folder/F|partial-lsearch;/folder/G|lsearch*@;/folder/F|*@+local|*@+neg|*@!b
*@lsearch;/folder/F|@@lsearch;/folder/F|*@partial-lsearch;/folder/G|ann@@|ann@@[]|@@x|@@*|/folder/A
*@/folder/D|lsearch,ret=key;/folder/F|partial(*.)lsearch;/folder/F|^|*@^b|lsearch*@,ret=key;/folder/F|a b@c
*@|sqlite,file=/folder/db;select v from t where n='one'|*@+nosuch|+nosuch
"""
ADDRESS_SUBJECTS = (
    "a@b A@B Ann@b ann@b x@c.d ann@here.test ann@mx.here.test ann@[203.0.113.1] z@x.test ann@b.test c@b.test x@x @b "
    "longname@b.test qx@b.test qx@chain.test ann@x.dom.test lo#cal@a.b bob@a.b al@a.b a@b@b ann@one.test"
).split()
IP_LISTS = """\
10.1.2.3|10.0.0.0/8|0.0.0.0|0.0.0.0/0|10.1|10.1 : *|*|192.0.2.77/24|1.2.3.4/33|::1|::::1|<; ::1 ; 10.1.2.3
<; 2001:db8::/32|!10.0.0.0/8|+near|!+near|+near : *|/folder/H|@|@[]|@ : *|+include_unknown : @
+ignore_unknown : @ : *|mx.test : *|*.test|+include_unknown : *.test|lsearch;/folder/F|net-lsearch;/folder/F
net24-lsearch;/folder/F|iplsearch;/folder/I|net-iplsearch;/folder/I|net16-lsearch;/folder/F|:|01.2.3.4 : *
1.2.3.4/ : *|1.2.3/24 : *|10.0.0.0/255.0.0.0 : *|+ignore_unknown : 10.1 : *|$primary_hostname : *
<; ::ffff:10.1.2.3|net-sqlite;/folder/db select v from t where n='one'
sqlite;/folder/db select v from t where n='no'|!10.1|<; fe80::1%eth0|<; ::ffff:0:0/96|10.1.2.3/8/8 : *
10.1.2.3/ 8|10.1.2.300 : *|^10|net8-iplsearch;/folder/I|+include_unknown : !10.1 : x|+nosuch : *
"""
IP_SUBJECTS = "10.1.2.3 192.0.2.7 192.0.2.9 ::1 2001:db8::1 ::ffff:10.1.2.3 203.0.113.1 fe80::1".split()
DYING = {  # condition -> lists, one bar between them
    "match_domain": "^(|^(?:aORb|/folder/missing|lsearch;/folder/missing|nosuch;/x|a;b"
    "|partial*lsearch;/folder/F|partial(x.)lsearch;/folder/F",
    "match_address": "*@nosuch;x|^(|@@nosuch;/x",
    "match_ip": "net-nosuch;/x|net-lsearch*;/folder/F|partial-lsearch;/folder/F|iplsearch*;/folder/I",
}
SPECIAL = r"""
${if match_domain{a.b}{${lc:A.B}}{y}{n}}
${lookup{ann}lsearch{/folder/F}{${if match_domain{a}{b}{}{[$value]}}}}
${lookup{ann}lsearch{/folder/F}{${if match_domain{a}{a}{[$value]}}}$value}
${lookup{ann}lsearch{/folder/F}{${if match_ip{1.2.3.4}{1.2.3.4}{[$value]}}}}
${lookup{ann}lsearch{/folder/F}{${if match_ip{1.2.3.4}{1.2.3.5}{}{[$value]}}}}
${lookup{ann}lsearch{/folder/F}{${if match_address{a@b}{^a}{[$value]}}}}
${lookup{ann}lsearch{/folder/F}{${if match_address{a@b}{x@b}{}{[$value]}}}}
${if match{abc}{(b)}{${if match_domain{a}{b}{}{[$1]}}}}
${if match{abc}{(b)}{${if match_domain{a}{*}{[$0$1]}}$1}}
${if match{abc}{(b)}{${if match_ip{1.2.3.4}{*}{[$1]}}}}
${if match_domain{a.b.c.d}{*.c.d}{[$0][$1][$2]}}
${if match_domain{A.B}{^(A)\\.(.)\$}{[$0][$1][$2][$3]}}
${if match_domain{x.y.b.c}{partial-lsearch;/folder/G}{[$0][$1][$2][$3]$value}}
${if match_domain{b.c}{partial-lsearch;/folder/G}{[$0][$1][$2][$3]$value}}
${if match_domain{sub.x}{partial-lsearch;/folder/G}{[$0][$1][$2][$3]$value}}
${if match_domain{zz}{partial0-lsearch*;/folder/F}{[$0][$1][$2][$3]$value}}
${if match_domain{zz.y}{lsearch*;/folder/F}{[$0][$1][$2][$3]$value}}
${if match_local_part{Ann}{*n}{[$0][$1]$value}}
${if match_local_part{lists-ann}{^(.*)-(.*)}{[$1][$2]$value}}
${if match_domain{y12}{wildlsearch;/folder/W}{$value}{n}}|${if match_domain{x.end}{wildlsearch;/folder/W}{$value}{n}}
${if match_domain{}{}{y}{n}}${if match_domain{}{:}{y}{n}}${if match_domain{}{*}{y}{n}}${if match_domain{}{!a}{y}{n}}
${if match_address{}{}{y}{n}}${if match_address{}{:}{y}{n}}${if match_address{}{*}{y}{n}}${if match_address{}{^}{y}{n}}
${if match_address{}{*@*}{y}{n}}${if match_address{}{!a@b}{y}{n}}${if match_address{}{lsearch*;/folder/F}{y}{n}}
${if match_address{ann}{ann}{y}{n}}${if match_address{ann}{*}{y}{n}}${if match_address{ann}{!x}{y}{n}}
${if match_ip{}{}{y}{n}}${if match_ip{}{:}{y}{n}}${if match_ip{}{*}{y}{n}}${if match_ip{}{!1.2.3.4}{y}{n}}
${if match_ip{}{10.1}{y}{n}}
${if match_ip{}{@[] : @ : x.y : lsearch;/folder/F}{y}{n}}
${if match_ip{1.2.3}{*}{y}{n}}
${if match_domain{a.b}{+dollar}{y}{n}}|${if match_domain{c.d}{+dollar}{y}{n}}
${if match_domain{a.b}{+fails}{y}{n}}|${if match_domain{a.b}{!+fails}{y}{n}}
${if match_domain{a.b}{a.b : \$nosuch}{y}{n}}
${if match_domain{a.b}{\x61.b}{y}{n}}
${if match_address{a@b}{ a@b : c@d}{$value}}
${if match_local_part{a;b}{a}{y}{n}}
${if match_domain{a}{dsearch;/folder}{y}{n}}|${if match_domain{G}{dsearch;/folder}{$value}{n}}
${if match_local_part{G}{+caseful : dsearch;/folder}{$value}{n}}
${if match_domain{a/b}{dsearch;/folder}{y}{n}}
${if match_ip{10.1.2.3}{iplsearch;/folder/I}{$value}{n}}
"""


def cut(lists: str) -> list[str]:
    """Lists in one text: one bar, or a line end, stands between them."""
    return [each.replace("OR", "|") for line in lists.splitlines() for each in line.split("|")]


def crossed() -> list[str]:
    """Each list with each subject."""
    texts = [line for line in SPECIAL.split("\n") if line]
    for condition, lists, subjects in (
        ("domain", DOMAIN_LISTS, DOMAIN_SUBJECTS),
        ("local_part", LOCAL_LISTS, LOCAL_SUBJECTS),
        ("ip", IP_LISTS, IP_SUBJECTS),
        (
            "address",
            ADDRESS_LISTS,
            ADDRESS_SUBJECTS,
        ),  # last: behind an error in one Exim does not reset $value
    ):
        for line in lists.splitlines():
            for each in cut(line):
                texts += [
                    f"${{if match_{condition}{{{one}}}{{{each}}}{{y<$value><$0><$1>}}{{n}}}}"
                    for one in subjects
                ]
    return texts


# --- dialogues: what the nameserver knows, and lists of ACLs --------------------------------------
RECORDS: dict[str, dict[str, list[str]]] = {
    "mx.here.test": {"A": ["203.0.113.1"]},
    "client.dom.test": {"A": ["203.0.113.8", "203.0.113.9"]},
    "alias.other.test": {"A": ["203.0.113.9"]},
    "liar.test": {"A": ["203.0.113.99"]},
    "two.test": {"A": ["203.0.113.9", "203.0.113.20"]},
    "no-address.test": {"MX": ["10 mx.here.test"]},
    "remote.test": {"A": ["203.0.113.77"]},
    "second.test": {"A": ["203.0.113.78"]},
    "here-too.test": {"A": ["203.0.113.1"]},
    "lo.test": {"A": ["127.0.0.1"]},
    "prim.test": {"MX": ["10 mx.here.test", "20 remote.test"]},
    "same.test": {"MX": ["10 remote.test", "10 here-too.test"]},
    "secn.test": {"MX": ["20 mx.here.test", "10 remote.test"]},
    "foreign.test": {"MX": ["10 remote.test", "20 second.test"]},
    "broken.test": {"MX": ["5 nx.test", "10 mx.here.test"]},
    "nobody.test": {"MX": ["5 nx.test", "10 nx2.test"]},
    "soft-first.test": {"MX": ["5 soft.test", "10 mx.here.test"]},
    "soft-last.test": {"MX": ["5 remote.test", "10 mx.here.test", "20 soft.test"]},
    "soft-only.test": {"MX": ["5 soft.test"]},
    "soft-remote.test": {"MX": ["5 soft.test", "10 remote.test"]},
    "soft-here.test": {"MX": ["5 mx.here.test", "10 soft.test"]},
    "loop.test": {"MX": ["5 lo.test", "10 mx.here.test"]},
    "null.test": {"MX": ["0 ."]},
    "9.113.0.203.in-addr.arpa": {"PTR": ["Client.dom.test", "alias.other.test", "liar.test"]},
    "40.113.0.203.in-addr.arpa": {"PTR": ["liar.test"]},
    "50.113.0.203.in-addr.arpa": {"PTR": ["soft.test"]},
}
SERVFAIL = ("soft.test", "30.113.0.203.in-addr.arpa")
MX_LISTS = """\
@mx_any|@mx_primary|@mx_secondary|@mx_any/ignore=203.0.113.1|@mx_primary/ignore=127.0.0.1|@MX_ANY|@mx_other
!@mx_any|@mx_secondary/ignore=203.0.113.77|<; @mx_any/ignore=203.0.113.77 : 127.0.0.1|@mx_any : *
@mx_primary/ignore=/folder/E
"""
MX_SUBJECTS = [name for name in RECORDS if name.endswith(".test")] + ["nx.test", "soft.test"]
HOST_LISTS = """\
*.dom.test|*.dom.test : *|* : *.dom.test|!*.dom.test|!*.dom.test : *|*.other.test|*.OTHER.test|liar.test
*liar.test|^client|^CLIENT|^alias\\\\.|client.dom.test|two.test|nx.test : *|!nx.test : *
+ignore_unknown : nx.test : *|+include_unknown : nx.test|no-address.test : *|soft.test : *|!soft.test : *
+include_defer : soft.test|+include_defer : !soft.test|+ignore_defer : soft.test : *
+include_unknown : *.dom.test|+include_unknown : !*.dom.test|+ignore_unknown : *.dom.test : *
+include_unknown : +ignore_unknown : *.x : !*|+ignore_unknown : *.dom.test|@ : !*|@[] : *.dom.test
lsearch;/folder/F|lsearch;/folder/F : *|net-lsearch;/folder/F|net24-lsearch;/folder/F
partial-lsearch;/folder/F|sqlite,file=/folder/db;select v from t where n='one'|+near : *|+named|+named : *
!+named|+unknown|+unknown : *|!+unknown|+nosuch : *|203.0.113.0/24|/folder/HN|/folder/HN : *|10.1 : *
+include_unknown : 10.1|:|*|client.DOM.test|client.dom.test.|$sender_host_address
${if eq{$host_address}{203.0.113.9}{*}{!*}}|${if eq{a}{b}{*}fail}|${if eq{a}{b}{*}fail} : *|$nosuch : *
^.*(aORi)s|<; 10.0.0.0/8 ; 203.0.113.9|@mx_any|mx.here.test|iplsearch;/folder/I|net-iplsearch;/folder/I
passwd;root|203.0.113.9 : soft.test|+include_defer : +named : soft.test|+ignore_defer : +soft : *
+include_defer : +soft|+soft
"""
CLIENTS = (
    "203.0.113.9",
    "203.0.113.20",
    "203.0.113.30",
    "203.0.113.40",
    "203.0.113.50",
    "203.0.113.1",
    "10.1.2.3",
    "2001:db8::1",
    "::ffff:10.1.2.3",
)
RCPT_LISTS = """\
a.b : *.x|*.dom.test|^(.*)\\.test\\$|^(.*)\\\\.test\\$|+local|!+local|+looked|+filed|lsearch;/folder/F
partial-lsearch;/folder/F|@|$domain|${if eq{$domain}{a.b}{*}fail}|!${if eq{$domain}{a.b}{*}fail}|+dollar
+cached|${lookup{$domain}lsearch{/folder/F}{$value}}|/folder/D : *|!lsearch;/folder/F|+nosuch|$nosuch
${lookup{$local_part}dsearch{/nosuchfolder}}|\\N^a.b$\\N|*
"""
RCPT_SUBJECTS = "a.b A.B x.dom.test here.test y.here.test one.test nothing.test G".split()
SENDER_LISTS = """\
a@b|*@b|b|*|*@*|:|! : *|!a@b|^|+others|+case|lsearch;/folder/F|*@+local|@@lsearch;/folder/F
*@partial-lsearch;/folder/G|$sender_address|*@$sender_address_domain|/folder/A
"""
SENDERS = ["a@b", "A@B", "", "ann@here.test", "c@b.test", "longname@x.dom.test", "bob@a.b", "Ann@b"]
NAMED |= {
    (ListKind.DOMAIN, "cached"): "${if eq{$domain}{a.b}{a.b}{zz}}",
    (ListKind.HOST, "soft"): "soft.test : *",
}
FILES["HN"] = "10.0.0.0/8\n# x\n!203.0.113.20\n*.dom.test\n203.0.113.30\n"


class Judge:
    """The real one in a folder with the files, maybe in the lab, and ours."""

    def __init__(self, real: RealExim, inside: dict[str, str]) -> None:
        self.real = real
        self.inside = inside  # the variables that put it into the lab

    def here(self, text: str) -> str:
        return self.real.here(text)

    def run(self, statements: Sequence[str], *arguments: str, stdin: str, lab: bool = False) -> str:
        """What Exim prints."""
        lists = "\n".join(
            f"{kind.value}{'_cache' if name == 'cached' else ''} {name} = {text}"
            for (kind, name), text in NAMED.items()
        )
        told = CONFIGURATION.format(
            **self.real.names, lists=lists, statements="\n".join(statements) or "  accept"
        )
        file = self.real.write("exim.conf", told)
        environment = self.inside if lab else {}
        return self.real.run("-C", file, *arguments, stdin=self.here(stdin), environment=environment).stdout

    def expanded(self, texts: list[str]) -> list[str]:
        mark = "=====\n"
        out = self.run((), "-be", stdin=mark.join(f"{line}\n" for line in texts) + mark)
        found = re.split(r"(?m)^(?:> )?=====\n", out)
        assert len(found) == len(texts) + 1, f"Exim died of {texts[len(found) - 1]}"
        return [text.removeprefix("> ").removesuffix("\n") for text in found[:-1]]

    def dialogue(self, client: str, option: str, shows: str, lists: list[str], lines: list[str]) -> list[str]:
        """The replies to RCPT lines; statement number n is for recipients whose name begins with c<n>."""
        statements = []
        for number, each in enumerate(lists):
            chosen = (
                f"  local_parts = c{number}\n" if option != "local_parts" else f"  domains = c{number}.test\n"
            )
            statements.append(
                f"  accept\n{chosen}  set acl_m_0 = $1\n  {option} = {each}\n  message = y <{shows}>\n"
                f"  deny\n{chosen}  message = n\n"
            )
        statements.append("  deny message = lost")
        stdin = "".join(f"{line}\r\n" for line in ["HELO x", *lines, "QUIT"])
        out = self.run(statements, "-bh", client, stdin=stdin, lab=True)
        return re.findall(r"(?m)^(?:250|550|451) (.*)$", out)

    # --- our side
    def ours(self, text: str) -> str:
        env = Env({"primary_hostname": "mx.here.test"}, here=HERE, named=LISTS)
        try:
            compiled = compile_text(self.here(text), PLACE)
        except ConfigurationError as refusal:
            return f"Refused: {refusal.problem}"
        found = answer_by(self.answer, compiled.asking(env))
        return found.text if isinstance(found, Value) else f"Failed: {found.message}"

    def listed(self, kind: ListKind, text: str, subject: str, env: Env) -> str:
        patterns = compile_list(kind, self.here(text), PLACE, LISTS)
        match = answer_by(self.answer, patterns.asking(subject, env))
        if not isinstance(match, Match):
            return "Temporary local problem - please try later"
        return f"y <{match.data}>" if match.found else "n"

    def answer(self, question: Question[Any]) -> Any:
        if isinstance(question, (MxOf, AddressesOf, NamesOf)):
            return resolved(question)
        if isinstance(question, FileText):
            return self.text(question.path)
        if isinstance(question, FileLine):
            text = self.text(question.file)
            return find_line(text, question.key) if isinstance(text, str) else text
        if isinstance(question, FolderEntry):
            folder = Path(question.folder)
            return (
                (folder / question.name).exists()
                if folder.is_dir()
                else Unopened("No such file or directory")
            )
        if isinstance(question, PasswdLine):
            entry = {each.pw_name: each for each in pwd.getpwall()}.get(question.name)
            return entry and (entry.pw_uid, entry.pw_gid, entry.pw_gecos, entry.pw_dir, entry.pw_shell)
        assert isinstance(question, SqliteRows), question
        base = sqlite3.connect(question.file)
        cursor = base.execute(question.query)
        names = [column[0] for column in cursor.description]
        rows = tuple(tuple(zip(names, map(str, row))) for row in cursor)
        base.close()
        return rows

    def text(self, path: str) -> str | Unopened:
        try:
            return Path(path).read_text(encoding="latin-1")
        except OSError as problem:
            return Unopened(problem.strerror or "")


def resolved(question: MxOf | AddressesOf | NamesOf) -> DnsAnswer[Any]:
    """The same as the nameserver says."""
    if isinstance(question, MxOf):
        name, type_ = question.domain, "MX"
    elif isinstance(question, AddressesOf):
        name, type_ = question.host, "A"
    else:
        parts = question.address.split(".")
        name, type_ = ".".join(reversed(parts)) + ".in-addr.arpa", "PTR"
    name = name.lower().removesuffix(".")
    if name in SERVFAIL:
        return DnsAnswer(DnsOutcome.SERVFAIL)
    if name not in RECORDS:
        return DnsAnswer(DnsOutcome.NXDOMAIN)
    records: list[Any] = RECORDS[name].get(type_, [])
    if type_ == "MX":
        records = [MxRecord(int(each.split()[0]), each.split()[1].removesuffix(".")) for each in records]
    return DnsAnswer(DnsOutcome.FOUND if records else DnsOutcome.NODATA, tuple(records))


def nameserver() -> DnsServer:
    zones = {"test": "", "in-addr.arpa": "", "arpa": ""}
    for name, records in RECORDS.items():
        origin = "test" if name.endswith(".test") else "in-addr.arpa"
        for type_, values in records.items():
            for value in values:
                dot = "" if type_ == "A" or value.endswith(".") else "."
                zones[origin] += f"{name}. {type_} {value}{dot}\n"
    begin = "$TTL 60\n@ SOA ns.test. h.test. 1 1 1 1 60\n@ NS ns.test.\n"
    server = DnsServer(Zones(*[read_zone(begin + text, origin) for origin, text in zones.items()]))
    for name in SERVFAIL:
        server.servfail(name)
    return server


@pytest.fixture(scope="module")
def judge(real_exim: RealExim, shim: Path) -> Iterator[Judge]:
    folder = real_exim.folder
    for name, text in FILES.items():
        real_exim.write(name, text)
    base = sqlite3.connect(folder / "db")
    base.execute("create table t(n, v)")
    base.executemany("insert into t values(?, ?)", [("one", "x y"), ("two", 'q"u'), ("empty", "")])
    base.commit()
    base.close()
    real_exim.give(folder, folder / "db")  # SQLite writes its journal beside it
    LISTS.clear()
    for (kind, name), text in NAMED.items():
        LISTS[kind, name] = compile_list(
            kind, real_exim.here(text), PLACE, LISTS, forces_cache=name == "cached"
        )
    with real_exim.in_lab(shim, nameserver().answer_datagram) as inside:
        yield Judge(real_exim, inside)


def differences(
    texts: Sequence[Any], theirs: Sequence[str], ours: Sequence[str]
) -> dict[Any, tuple[str, str]]:
    assert len(texts) == len(theirs) == len(ours)
    return {text: (a, b) for text, a, b in zip(texts, theirs, ours) if a != b}


def test_conditions(judge: Judge) -> None:
    texts = crossed()
    said = [re.sub("^Failed: .*", "Failed", each) for each in judge.expanded(texts)]
    ours = [re.sub("^Failed: .*", "Failed", judge.ours(each)) for each in texts]
    assert differences(texts, said, ours) == {}


RANDOM = {  # condition -> items, subjects
    "domain": (
        cut(
            "a.b|A.B|*.b|*|! a.b|!*.b|+local|!+local|+neg|!+neg|+onlyneg|!+onlyneg|+outer|!+outer|+filed|!+filed||!|^a"
        )
        + cut(
            "/folder/D|!/folder/D|!/folder/N|lsearch;/folder/G|!partial-lsearch;/folder/G|!^a|@|@[]|+looked|!+looked"
        )
        + cut(
            "+dollar|*.dom.test|!lsearch*@;/folder/F|partial(.)lsearch;/folder/G|partial0()lsearch;/folder/G"
        ),
        [*DOMAIN_SUBJECTS, "a", "zz", "p.end"],
    ),
    "local_part": (
        cut(
            "ann|*n|!ann|+caseful|+people|!+people|+case|!+case|!Bob|^b|!^B|/folder/P|!/folder/P|lsearch;/folder/F||!|*"
        ),
        LOCAL_SUBJECTS,
    ),
    "ip": (
        cut(
            "10.1.2.3|!10.0.0.0/8|192.0.2.0/24|+near|!+near|/folder/H|!/folder/H|@[]|@|10.1|!10.1|mx.test|*|!*||!"
        )
        + cut(
            "+include_unknown|+ignore_unknown|lsearch;/folder/F|!net24-lsearch;/folder/F|net-iplsearch;/folder/I"
        ),
        IP_SUBJECTS,
    ),
    "address": (
        cut(
            "a@b|!*@b|b|*.test|+others|!+others|+caseful|+case|*@+local|!*@+local|*@+neg|*@!b|lsearch;/folder/F|@@a.b|!"
        )
        + cut(
            "@@lsearch;/folder/F|!@@lsearch;/folder/F|*@partial-lsearch;/folder/G|/folder/A|!/folder/A|^a|!^A||*n@*"
        ),
        ADDRESS_SUBJECTS,
    ),
}


def test_random_lists(judge: Judge) -> None:
    """Up to five items: where they decide for or against, and what of $value a domain or a local part finds."""
    chance, texts = random.Random(4), []
    for condition, (items, subjects) in RANDOM.items():
        shows = "<$value>" if condition in ("domain", "local_part") else ""
        for _ in range(400):
            text = " : ".join(chance.choice(items) for _ in range(chance.randint(1, 5)))
            subject = chance.choice(subjects)
            texts.append(f"${{if match_{condition}{{{subject}}}{{{text}}}{{y{shows}}}{{n{shows}}}}}")
    said = judge.expanded(texts)
    assert differences(texts, said, [judge.ours(each) for each in texts]) == {}


def asked(
    judge: Judge, client: str, option: str, shows: str, lists: list[str], cases: Sequence[Sequence[str]]
) -> list[str]:
    """`cases`: the lines of a dialogue that lead to one RCPT, the last of them."""
    replies = iter(
        judge.dialogue(client, option, shows, lists, [line for each in cases for line in each])[1:]
    )
    return [[next(replies, "the process died") for _ in each][-1] for each in cases]


@pytest.mark.parametrize("client", CLIENTS)
def test_hosts(judge: Judge, client: str) -> None:
    lists = cut(HOST_LISTS)
    cases = [["RSET", "MAIL FROM:<a@b>", f"RCPT TO:<c{n}@x.test>"] for n in range(len(lists))]
    said = asked(judge, client, "hosts", "$host_data", lists, cases)
    env = Env({"sender_host_address": client, "domain": "x.test"}, here=HERE, named=LISTS)
    ours = [judge.listed(ListKind.HOST, each, client, env) for each in lists]
    assert differences(lists, said, ours) == {}


@pytest.mark.parametrize(
    "lists, subjects", [(MX_LISTS, MX_SUBJECTS), (RCPT_LISTS, RCPT_SUBJECTS)], ids=["mx", "others"]
)
def test_domains(judge: Judge, lists: str, subjects: list[str]) -> None:
    each_list = cut(lists)
    pairs = [(n, subject) for n in range(len(each_list)) for subject in subjects]
    cases = [["RSET", "MAIL FROM:<a@b>", f"RCPT TO:<c{n}@{subject}>"] for n, subject in pairs]
    said = asked(judge, "203.0.113.9", "domains", "$domain_data", each_list, cases)
    ours = [
        judge.listed(
            ListKind.DOMAIN,
            each_list[n],
            subject.lower(),  # as the server has it
            Env({"domain": subject.lower(), "local_part": f"c{n}"}, here=HERE, named=LISTS),
        )
        for n, subject in pairs
    ]
    assert differences([(each_list[n], subject) for n, subject in pairs], said, ours) == {}


def test_local_parts(judge: Judge) -> None:
    lists = cut(LOCAL_LISTS)
    subjects = [each for each in LOCAL_SUBJECTS if each != "@"]
    pairs = [(n, subject) for n in range(len(lists)) for subject in subjects]
    cases = [["RSET", "MAIL FROM:<a@b>", f"RCPT TO:<{subject}@c{n}.test>"] for n, subject in pairs]
    said = asked(judge, "203.0.113.9", "local_parts", "$local_part_data", lists, cases)
    ours = [
        judge.listed(ListKind.LOCAL_PART, lists[n], subject, Env({}, here=HERE, named=LISTS))
        for n, subject in pairs
    ]
    assert differences([(lists[n], subject) for n, subject in pairs], said, ours) == {}


def test_senders(judge: Judge) -> None:
    lists = cut(SENDER_LISTS)
    pairs = [(n, sender) for n in range(len(lists)) for sender in SENDERS]
    cases = [["RSET", f"MAIL FROM:<{sender}>", f"RCPT TO:<c{n}@x.test>"] for n, sender in pairs]
    said = asked(judge, "203.0.113.9", "senders", "$sender_data", lists, cases)
    ours = []
    for n, sender in pairs:
        domain = sender.rpartition("@")[2]
        env = Env({"sender_address": sender, "sender_address_domain": domain}, here=HERE, named=LISTS)
        ours.append(judge.listed(ListKind.ADDRESS, lists[n], sender, env))
    assert differences([(lists[n], sender) for n, sender in pairs], said, ours) == {}


TAINTED = {  # list -> does the process die?
    "lsearch;/folder/$domain": True,
    "/folder/$domain": True,
    "lsearch;/folder/F : $domain": True,  # the whole text has become a stranger's
    "dsearch;/folder/$domain": True,
    "sqlite,file=/folder/db;select v from t where n='$domain'": True,
    "passwd;$domain": False,
    "^$domain": False,
    "!$domain": False,
}


def test_tainted_lists(judge: Judge) -> None:
    for text, dies in TAINTED.items():
        replies = judge.dialogue(
            "203.0.113.9", "domains", "", [text], ["MAIL FROM:<a@b>", "RCPT TO:<c0@g.h>"]
        )
        assert (len(replies) == 2) is dies, text
        patterns = compile_list(ListKind.DOMAIN, judge.here(text), PLACE, LISTS)
        match = answer_by(judge.answer, patterns.asking("g.h", Env({"domain": "g.h"}, here=HERE)))
        assert isinstance(match, Failure) is dies, text


@pytest.mark.parametrize("condition", DYING)
def test_dying(judge: Judge, condition: str) -> None:
    """What ends the process in Exim is a failure here."""
    subject = {"match_domain": "a.b", "match_address": "a@b", "match_ip": "10.1.2.3"}[condition]
    for text in cut(DYING[condition]):
        whole = f"${{if {condition}{{{subject}}}{{\\N{text}\\N}}{{y}}{{n}}}}"
        out = judge.run((), "-be", stdin=f"{whole}\nstill there\n")
        assert "still there" not in out, text
        assert judge.ours(whole).startswith("Failed: unable to complete match"), text
