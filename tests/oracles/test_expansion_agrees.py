"""The real Exim as judge of expansions: each item, operator and condition in at least four texts, in one run of it.

HOW        `exim -be` reads the texts from its input, as an ordinary user (never as root), with files of a folder.
NOT HERE   what needs a server: acl, dnsdb, readsocket's answers, randint (tests/eximconf holds these to rows that
           were seen). EXPLAINED lists where we differ on purpose, and both sides of each difference are tested.
"""

from __future__ import annotations

import os
import pwd
import random
import re
import sqlite3
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import pytest

from labkit.eximconf.expansion import Env, Value, compile_text
from labkit.eximconf.expansion.files import find_line
from labkit.eximconf.expansion.syntax import CONDITIONS, ITEMS, OPERATORS, QUERIES, REFUSED_ITEMS, SINGLE_KEY
from labkit.eximconf.expansion.variables import KNOWN
from labkit.eximconf.lists import ListKind, PatternList, compile_list
from labkit.eximconf.place import ConfigurationError, Place
from labkit.mail.asking import Question, answer_by
from labkit.mail.lookups import (
    Exists,
    FileLine,
    FileText,
    FolderEntry,
    PasswdLine,
    SqliteRows,
    Unanswered,
    Unopened,
)

from .real_exim import RealExim

CONFIGURATION = """\
exim_user = {user}
exim_group = {group}
spool_directory = {folder}/spool
log_file_path = {folder}/spool/%slog
primary_hostname = mx.here.test
domainlist local_domains = here.test : *.here.test
hostlist relay_from_hosts = 198.51.100.0/24
localpartlist people = ann : bob
addresslist others = a@b : c@d
local_interfaces = <; [203.0.113.1]
keep_environment = FOO
check_spool_space = 0
host_lookup =
"""
VARIABLES = {"primary_hostname": "mx.here.test", "qualify_domain": "mx.here.test"}
PLACE = Place("exim.conf", 1)
LISTS: dict[tuple[ListKind, str], PatternList] = {}
for kind, name, text in (
    (ListKind.DOMAIN, "local_domains", "here.test : *.here.test"),
    (ListKind.HOST, "relay_from_hosts", "198.51.100.0/24"),
    (ListKind.LOCAL_PART, "people", "ann : bob"),
    (ListKind.ADDRESS, "others", "a@b : c@d"),
):
    LISTS[kind, name] = compile_list(kind, text, PLACE, LISTS)
FILES = {
    "F": "# c\nann: bob\nempty:\nann: second\nlong: a\n  b\n # c\n"
    '"quo ted:x": yes\nbare\n*.dom.test: wild\nsub.dom.test: sub\n*@x.test: anybody\n*: any\n',
    "G": "ann: bob\n*.test: star\n*.b.test: deeper\nz.other: z\n",
    "W": "*.end: by end\n^y\\\\d+\\$: by y\n^z(\\\\d)\\$: by z\nplain: exactly\n",
    "N": "*.end: by end\n^y\\d+$: by y\nplain: exactly\n*: rest\n",
    "I": '10.0.0.0/8: ten\n192.0.2.1: one\n"2001:db8::/32": six\n',
}
TEXTS: dict[str, str] = {}  # name -> texts, one a line

# --- items ------------------------------------------------------------------------------------
TEXTS["if"] = r"""
${if eq{a}{a}{y}{n}}
${if eq{a}{b}}|${if eq{a}{a}}|${if eq{a}{y}{n}}
${if eq {a} {a} {y} {n} }
${if eq{a}{b}{y}fail}
${if eq{a}{b}{y}{n}x}
${if eq{a}{b}x}
${if eq{a}{b}{c}{d}{e}}
${if eq{a}{a}{c}x}
${if}
${if {a}{b}}
${if eq{a}{a}{}{n}}.
${if bool{false}{a}fail}$nosuch
${if bool{true}{a}{$nosuch}}
${if bool{false}fail{x}}
${if eq{${if eq{a}{a}{y}fail}}{y}{Y}{N}}
${if eq{a}{a}{${if eq{a}{b}{y}fail}}{n}}
${if eq{a}{b}{c}
${if eq{a}{a}{y}{n}
${if eq{1}{1}{a}{b}}}
"""
TEXTS["extract"] = r"""
${extract{2}{:}{a:b:c}}|${extract{-1}{:}{a:b}}|${extract{0}{:}{a:b}}|${extract{ 2 }{:}{a:b}}|${extract{9}{:}{a}{y}{n}}
${extract{b}{a = 1 b = 2}}|${extract{B}{a=1 b=2}}|${extract{b}{a=1,b=2}}|${extract{y}{x=1 y=}{found}{n}}
${extract{2}{:,}{a,b:c}}|${extract{2}{:}{a::c}{y}{n}}|${extract{1}{:}{}{y}{n}}|${extract{99999999999}{:}{a:b}}
${extract{a}{a=\"x y\" z}}|${extract{a}{b=\"a=1\" a=2}}|${extract{a}{a="x\"y"}}|${extract{a}{a "1"}}
${extract{b}{a=1}{x$value}fail}
${extract{a}{a=1}{x$value}fail}
${extract{}{a=1}}
${extract}
${extract{a}}
${extract{1}{a=1}}
${extract{a}{a=b}{y}x}
${extract{a}{a=b}{y}{n}x}
${extract{z}{a=1}fail}
${extract{2x}{:}{a:b}}
"""
TEXTS["listextract"] = r"""
${listextract{2}{a:b:c}}|${listextract{-1}{a:b:c}}|${listextract{0}{a:b:c}}|${listextract{ 2 }{a:b}}
${listextract{2}{<, a,b,c}{[$value]}}
${listextract{7}{a:b:c}{y}{n}}
${listextract{x}{a:b:c}}
${listextract{}{a:b:c}}
${listextract{1}}
${listextract}
"""
TEXTS["env"] = r"""
${env{FOO}}
${env{NOSUCH}{y}{n}}
${env{FOO}{[$value]}}
${env{NOSUCH}{y}fail}
${env{NOSUCH}}|${env{}}|
"""
TEXTS["sg"] = r"""
${sg{abcabc}{b}{[$0]}}|${sg{abcabc}{b}{[\$0]}}|${sg {abc} {b} {x} }
${sg{aaa}{a*}{x}}|${sg{abc}{}{-}}|${sg{abab}{^a}{x}}|${sg{abc}{\Nb|$\N}{x}}
${sg{abcdef}{^(...)(...)\$}{\$2\$1}}|${sg{foo bar}{(\\w+) (\\w+)}{\$2 \$1}}|${sg{aXbX}{(?i)x}{-}}
${sg{a.b.c}{\N\.\N}{:}}
${sg{a}{b}}
${sg{a}{(}{c}}
${sg{a}{b}{c}{d}}
${sg{abc}{b}{x}x}
${sg{abc}{b}{\$nosuch}}
"""
TEXTS["tr"] = r"""
${tr{abcdea}{ac}{13}}
${tr{abcdea}{ace}{13}}
${tr{abcd}{bc}{}}|${tr{a-b}{a-c}{xyz}}
${tr{aab}{aa}{xy}}
${tr{a}{b}}
"""
TEXTS["map"] = r"""
${map{<, a,b,c}{$item:x}}|${map{a:b}{$item:$item}}
${map{a: :b}{[$item]}}|${map{a:b:}{[$item]}}|${map{:a:b}{[$item]}}|${map{a::b:c}{[$item]}}
${map{<a a:b}{[$item]}}|${map{< a:b}{[$item]}}
${map{a:b}{}}|${map{a}{x:y}}|${map{a:b}{:}}|${map{}{x}}
${map{<\n a:b}{$item,}}|${map{<; a;b}{$item}}
${map{a:b}{${if eq{$item}{a}{x}fail}}}
${map{a:b}{$nosuch}}
${map}
${map{a}}
${map{a:b}{$item}x}
"""
TEXTS["filter"] = r"""
${filter{a:b:c}{!eq{$item}{b}}}
${filter{<, a,b,a}{eq{$item}{a}}}
${filter{:a}{eq{}{}}}
${filter{a:b}{nosuch{x}}}
${filter{a:b:c}{eq{$item}{b}}x}
${filter{a}}
${filter{a:b}{eq{$item}{b}{y}}}
"""
TEXTS["reduce"] = r"""
${reduce{1:2:3}{0}{${eval:$value+$item}}}
${reduce {a:b} {x} {$value-$item}}|${reduce{a:b}{x:y}{$value,$item}}
${reduce{}{x}{y}}|${reduce{<, a,b}{}{$value$item.}}
${reduce{a:b}{x}}
${reduce}
"""
TEXTS["sort"] = r"""
${sort{3:2:1}{<}{$item}}|${sort{3:1:2}{>=}{$item}}|${sort{3:x:1}{<}{$item}}|${sort{<, c,a,b}{lt}{$item}}
${sort{c:B:a}{lti}{$item}}|${sort{b:a:c}{gt}{$item}}|${sort{b:b:a}{le}{$item}}|${sort{}{<}{$item}}|${sort{a}{<}{$item}}
${sort{b2:a3:c1}{<}{${substr_1:$item}}}|${sort{ab:aa:b}{lt}{${substr{0}{1}{$item}}}}
${sort{3:1:2}{==}{$item}}
${sort{b:a}{nosuch}{$item}}
${sort{b:a}{lt}}
${sort}
"""
TEXTS["hash"] = r"""
${hash{3}{62}{abcdef}}|${hash{3}{abcdef}}|${hash{0}{hello}}
${hash{3}{999}{abcdef}}
${hash_3:abcdef}|${hash_1_1:abcdef}|${hash_2_26:abcdef}|${hash_26:abcdef}|${hash_10:hello world this is}
${hash_5_64:monty}
${hash_3_:abcdef}
${hash_x:abcdef}
${hash:abcdef}
${h_3:abcdef}|${h_2_62:qrstuvw}|${hash_5:zyxwvutsrqponm}
${hash{x}{abc}}
${h_foo:}
"""
TEXTS["nhash"] = r"""
${nhash{8}{64}{supercalifragilisticexpialidocious}}|${nhash{100}{supercalifragilisticexpialidocious}}
${nhash_8_64:supercalifragilisticexpialidocious}|${nh_10:abc}|${nhash_1:abc}|${nhash_10_20:abc}|${nhash_10:}
${nhash{3}{5}{hello}}|${nhash_1000000:aaaa}
${nhash{x}{abc}}
${nhash{5}{x}{abc}}
${nhash_5_6_7:abc}
"""
TEXTS["length"] = r"""
${length{3}{abc def}}|${length_3:abcdef}|${length_0:abc}|${l_3:abcdef}|${length_2:${lc:ABC}}|${length_:abc}
${length{x}{abc def}}
${length{-1}{abc}}
${length:abcdef}
${length_1_2:abc}
${l:abc}
"""
TEXTS["substr"] = r"""
${substr{1}{2}{abcdef}}|${substr{-1}{2}{abcdef}}|${substr{1}{abcdef}}|${substr{-2}{abc}}|${substr{-2}{0}{abc}}
${substr_-2:abcdef}|${substr_-2_1:abcdef}|${substr_-9_5:abcdef}|${substr_-9:abcdef}|${s_1_2:abcdef}|${substr_9:abc}
${substr{x}{abcdef}}
${substr{1}{-1}{abc}}
${substr_2_:abc}
${substr_1_2_3:abcdef}
"""
TEXTS["hmac"] = r"""
${hmac{md5}{key}{data}}
${hmac{sha1}{key}{data}}
${hmac{sha256}{key}{data}}
${hmac{md5}{key}}
"""
TEXTS["readfile"] = r"""
${readfile{/folder/G}}
${readfile{/folder/G}{|}}
${readfile{/folder/G}{}}
${readfile{/folder/nosuch}{|}}
${readfile{/folder/G}{a}{b}}
"""
TEXTS["readsocket"] = r"""
${readsocket{/folder/nosuch}{x}}
${readsocket{/folder/nosuch}{x}{2s}{\n}{fallback}}
${readsocket{bad}{x}}
${readsocket}
"""
TEXTS["acl"] = r"""
${acl{nosuch}{a}}
${acl}
${acl{nosuch}x}
${if acl{{nosuch}{a}}{y}{n}}
"""
TEXTS["authresults"] = r"""
${authresults{x}}
${authresults{$primary_hostname}}
${authresults}
${authresults{x}{y}}
"""
TEXTS["srs_encode"] = r"""
${srs_encode {secret} {user@orig.test} {dom.test}}
${srs_encode {secret} {} {dom.test}}|${srs_encode{s}{User@O.test}{Dom.test}}|${srs_encode {secret} {user} {dom.test}}
${srs_encode{s}{SRS0=a=b=c=d@O.test}{dom.test}}
${srs_encode{s}{a}}
"""
TEXTS["lookup"] = r"""
${lookup{zy}lsearch{/folder/G}{$value}fail}
${lookup{ann}lsearch{/folder/G}{a}{b}{c}}
${lookup{ann}lsearch{/folder/G}{a}{b}x}
${lookup{a} lsearch {/folder/G} {a} {b} }
${lookup}
${lookup{a}}
${lookup{a}nosuch{b}}
${lookup{a}lsearch}
${lookup lsearch{a}}
${lookup{a}lsearch x}
${lookup nosuch{x}}
${lookup{a}lsearch{/folder/nosuch}}
${lookup{zz}partial-nosuch{/folder/G}}
${lookup{z.other}partial(z.)lsearch{/folder/G}}
${lookup{z.other}partialx-lsearch{/folder/G}}
"""
# --- look-ups ---------------------------------------------------------------------------------
TEXTS["lsearch"] = r"""
${lookup{ann}lsearch{/folder/F}}|${lookup{ANN}lsearch,ret=key{/folder/F}}|${lookup{long}lsearch{/folder/F}}
${lookup{quo ted:x}lsearch{/folder/F}}|${lookup{bare}lsearch{/folder/F}{<$value>}{n}}
${lookup{empty}lsearch{/folder/F}{y}{n}}
${lookup{zz}lsearch{/folder/F}{y}{n}}|${lookup{zz}lsearch*{/folder/F}}
${lookup{}lsearch*{/folder/F}}|${lookup{}lsearch{/folder/F}{y}{n}}
${lookup{a@x.test}lsearch*@{/folder/F}}|${lookup{a@x.test}lsearch*{/folder/F}}
${lookup{a.dom.test}partial-lsearch{/folder/F}}
${lookup{dom.test}partial-lsearch{/folder/F}}|${lookup{sub.dom.test}partial-lsearch{/folder/F}}
${lookup{z.test}partial-lsearch{/folder/G}{$value}{n}}
${lookup{z.test}partial1-lsearch{/folder/G}}|${lookup{b.a.test}partial0-lsearch{/folder/G}}
${lookup{a}partial0-lsearch{/folder/F}}|${lookup{b.test}partial-lsearch{/folder/G}}
${lookup{a.dom.test}partial(*.)lsearch{/folder/F}}
"""
TEXTS["wildlsearch"] = r"""
${lookup{a.end}wildlsearch{/folder/W}}|${lookup{y12}wildlsearch{/folder/W}}|${lookup{A.END}wildlsearch{/folder/W}}
${lookup{z5}wildlsearch{/folder/W}{$value $1}}
${lookup{Plain}wildlsearch{/folder/W}{y}{n}}|${lookup{no}wildlsearch{/folder/W}{y}{n}}
${lookup{Y12}wildlsearch{/folder/W}{y}{n}}
"""
TEXTS["nwildlsearch"] = r"""
${lookup{a.end}nwildlsearch{/folder/N}}
${lookup{y12}nwildlsearch{/folder/N}}
${lookup{plain}nwildlsearch{/folder/N}}
${lookup{other}nwildlsearch{/folder/N}}
"""
TEXTS["scopes"] = r"""
${if isip{fe80::1%}{y}{n}}|${if isip{fe80::1%a%b}{y}{n}}|${if isip{fe80::1%a b}{y}{n}}|${if isip{fe80::1%a/64}{y}{n}}
${if isip{fe80::1%\xe9}{y}{n}}|${if isip6{fe80::1%eth0}{y}{n}}|${if isip{fe80:%eth0}{y}{n}}|${if isip{%:}{y}{n}}
${if isip{1.2.3.4%a:b}{y}{n}}|${if isip{fe80::1%a:b}{y}{n}}|${if isip{::ffff:1.2.3.4%e}{y}{n}}
${lookup{2001:db8::5%}iplsearch{/folder/I}{y}{n}}|${lookup{2001:db8::5%a%b}iplsearch{/folder/I}{y}{n}}
${lookup{2001:db8::5%a b}iplsearch{/folder/I}{y}{n}}
${if match_ip{fe80::1%}{*}{y}{n}}|${if match_ip{fe80::1%a%b}{<; fe80::/10}{y}{n}}
${if match_ip{fe80::1%a b}{*}{y}{n}}
${if match_ip{fe80::1%eth0}{<; fe80::/10}{y}{n}}|${if match_ip{fe80::1}{<; fe80::1%eth0}{y}{n}}
${if match_ip{fe80::1}{<; fe80::1%eth0/64}{y}{n}}
${reverse_ip:fe80::1%eth0}
${mask:fe80::1%eth0/64}
${ipv6denorm:fe80::1%eth0}
${ipv6norm:fe80::1%eth0}
"""
TEXTS["iplsearch"] = r"""
${lookup{10.1.2.3}iplsearch{/folder/I}}
${lookup{192.0.2.1}iplsearch{/folder/I}}|${lookup{192.0.2.2}iplsearch{/folder/I}{y}{n}}
${lookup{2001:db8::5}iplsearch{/folder/I}}
${lookup{a}iplsearch{/folder/I}}
${lookup{10.0.0.0/8}iplsearch{/folder/I}}
${lookup{10.1.2.3/32}iplsearch{/folder/I}}
${lookup{2001:db8::/32}iplsearch{/folder/I}}
${lookup{::ffff:10.1.2.3}iplsearch{/folder/I}}
${lookup{2001:db8::5%eth0}iplsearch{/folder/I}}|${lookup{10.1.2.3%eth0}iplsearch{/folder/I}}
${lookup{10.1}iplsearch{/folder/I}}|${lookup{010.1.2.3}iplsearch{/folder/I}}
"""
TEXTS["dsearch"] = r"""
${lookup{F}dsearch{/folder}}|${lookup{F}dsearch,ret=full{/folder}}
${lookup{F}dsearch,filter=dir{/folder}{y}{n}}|${lookup{F}dsearch,filter=file{/folder}{y}{n}}
${lookup{..}dsearch{/folder}{y}{n}}|${lookup{no}dsearch{/folder}{y}{n}}|${lookup{}dsearch{/folder}{y}{n}}
${lookup{a/b}dsearch{/folder}}
${lookup{f}dsearch{/folder/nosuch}}
"""
TEXTS["sqlite"] = r"""
${lookup sqlite,file=/folder/db{select v from t where n=1}}
${lookup sqlite,file=/folder/db{select v from t order by n}}
${lookup sqlite,file=/folder/db{select n,v from t order by n}}
${lookup sqlite{/folder/db select v from t where n=9}{y}{n}}
${lookup sqlite{/folder/db select v from t where n=3}{y<$value>}{n}}
"""
TEXTS["passwd"] = r"""
${lookup passwd{root}}
${lookup passwd{nosuchuser}{y}{n}}
${lookup{root}passwd{}}
${extract{5}{:}{${lookup passwd{root}}}}
"""
# --- operators --------------------------------------------------------------------------------
TEXTS["address"] = r"""
${address:Ann <a@b>}|${address:a@b (x)}|${address:"Q, x" <q@w>}|${address:bad@@x}|${address:local}|${address:}
${address:a@b, c@d}
${address:<a@b>}
${address:a@b@c}
"""
TEXTS["addresses"] = r"""
${addresses:Ann <a@b>, c@d}
${addresses:>, Ann <a@b>, c@d}
${addresses:>& local@x, Ann <a@b>}
${addresses:a@b, "x y"@z (comment), Group: c@d, e@f;}
${addresses:}
"""
TEXTS["mailboxes"] = r"""
${address:<a@[1.2.3.4]>}|${address:a@[1.2.3.4]}|${address:a@[IPv6:::1]}|${address:a@[x y]}|${address:a@[x^y]}
${addresses:a@b; }|${addresses:x: a@b;}|${addresses:x: a@b; c@d}|${addresses:x: ;, c@d}|${addresses:a@b;, c@d}
${address:a\\,b@c}|${address:a\\@b@c}|${address:a\\}|${address:a@é}|${address:é@a}|${address:"é b"@a}
${address:a@b.}|${address:a@.b}|${address:a@-b}|${address:a@b-}|${address:a@b_c}|${address:a..b@c}|${address:.a@c}
${address:@a,@b:c@d}|${address:@a:c@d}|${address:<@a:c@d>}|${address:<@a:c>}|${address:@a:c}|${address:@a}
${addresses:@a,@b:c@d, e@f}|${addresses: @a,@b:c@d, e@f}|${addresses:<@a,@b:c@d>, e@f}|${addresses:x,,y}
${address:a.n.other <a@b>}|${address:a b c@d}|${address:a <b@c> d}|${address:a <b@c> (d)}|${address:<<a@b>>}
${address:(x) a (y) @ (z) b (w) . c (v)}|${address:"a" . "b"@c}|${address:a@b (unclosed}|${address:(a\\)b) c@d}
${address:<>}|${address:}|${address:"a}|${address:a"b"@c}|${address:"a"b@c}|${address:a b}|${address:a;}
${addresses:"a, b" <c@d>, e (f, g)@h, "i}|${addresses: > a@b}|${addresses:>}|${addresses:>;a@b,;c@d}
${local_part:<a@[1.2.3.4]>}|${domain:a@[1.2.3.4]}|${domain:<@x:a@b>}|${local_part:"a@b"@c}|${domain:a\\@b}
"""
TEXTS["local_part"] = r"""
${local_part:abc}|${local_part:"a b"@c}|${local_part:a@b@c}|${local_part:<a@b>}|${local_part:@x:a@b}
${local_part:a\@b@c}
${local_part:}
${local_part:a@b}
"""
TEXTS["domain"] = r"""
${domain:abc}|${domain:a@B.C}|${domain:"a@b"@c}|${domain:a@[1.2.3.4]}
${domain:a@b@c}
${domain:a@b}
${domain_1:a@b}
"""
TEXTS["base64"] = "${base64:hello}\n${base64:}|${base64:a}\n${base64_1:a}\n${base64:\\xff\\x01}"
TEXTS["str2b64"] = "${str2b64:hello}\n${str2b64:}|\n${str2b64:\\xe9}\n${str2b64:a b}"
TEXTS["base64d"] = (
    "${base64d:aGVsbG8=}\n${base64d:aGVs bG8=}|${base64d:}|${base64d:YQ==}\n"
    "${base64d:aGVsbG8}\n${base64d:a!}\n${base64d:Y}"
)
TEXTS["base62"] = "${base62:0}\n${base62:1000}\n${base62:x}\n${base62:4294967295}"
TEXTS["base62d"] = "${base62d:00000A}\n${base62d:}\n${base62d:a!}\n${base62d:zzzz}"
TEXTS["base32"] = "${base32:0}|\n${base32:35}\n${base32:x}\n${base32:18446744073709551615}"
TEXTS["base32d"] = "${base32d:bd}\n${base32d:}\n${base32d:!}\n${base32d:zzzz}"
TEXTS["hex2b64"] = "${hex2b64:414243}\n${hex2b64:4142zz}\n${hex2b64:414}\n${hex2b64:}|${hex2b64:fF}"
TEXTS["hexquote"] = "${hexquote:ab}\n${hexquote:a b}\n${hexquote:\\xe9\\x01}\n${hexquote:}|${hexquote:~!}"
TEXTS["escape"] = (
    "${escape:a\tb}\n${escape:\\r\\n\\b\\f\\v}\n${escape:\\xe9\\x01}\n${escape:\\\\}\n${escape:\\x7f}"
)
TEXTS["escape8bit"] = (
    "${escape8bit:\\xe9}\n${escape8bit:a\\x01}\n${escape8bit:\\\\}\n${escape8bit:\\x7f}|${escape8bit:abc}"
)
TEXTS["eval"] = r"""
${eval:1+2*3}|${eval:(1+2)*3}|${eval:-7/2}
${eval:-7%3}|${eval:2<<3}|${eval:2>>1}|${eval:~5}|${eval:5&3|8^1}|${eval:-(-3)}
${eval:--3}|${eval:+3}|${eval:1K}|${eval:1M+1k}|${eval:1G}|${eval:0x1F}|${eval:010}|${eval:0x}|${eval:00}|${eval:1k+1}
${eval:10/3*3}|${eval:2+3*4-5%3}|${eval:1|2^3&4}|${eval:1+2<<3}|${eval: 1 + 2 }|${eval_x:1}|${eval:((((1))))}
${eval:9223372036854775808}|${eval:-9223372036854775807-1}|${eval:9223372036854775807*2}|${eval:1<<64}|${eval:1<<-1}
${eval:9223372036854775807+1}
${eval:-9223372036854775807-2}|${eval:(-9223372036854775807-1)/-1}
${eval:1 + }
${eval:1 2}
${eval:1/0}
${eval:5%0}
${eval:(1}
${eval:1)}
${eval:08}
${eval:}
${eval:4*/2}
${eval:a}
"""
TEXTS["eval10"] = "${eval10:010}|${eval10:077}\n${eval10:1k}\n${eval10:0x1F}\n${eval10:1+08}"
TEXTS["expand"] = (
    "${expand:\\$primary_hostname}\n${expand:\\$nosuch}\n${expand:a}\n${expand:${expand:\\\\\\$primary_hostname}}"
)
TEXTS["from_utf8"] = (
    "${from_utf8:a}\n${from_utf8:\\xc3\\xa9}\n${from_utf8:\\xe2\\x82\\xac}\n${from_utf8:\\xe9}"
)
TEXTS["utf8clean"] = "${utf8clean:a}\n${utf8clean:\\xc3\\xa9b}\n${utf8clean:b\\xff}\n${utf8clean:\\xe9}"
TEXTS["ipv6norm"] = r"""
${ipv6norm:2001:db8::1}
${ipv6norm:2001:0:0:1:0:0:0:1}
${ipv6norm:1:0:2:3:4:5:6:7}
${ipv6norm:::1}
${ipv6norm:1::}
${ipv6norm:1.2.3.4}
${ipv6norm:x}
${ipv6norm:::ffff:1.2.3.4}
${ipv6norm:2001:db8:0:0:1:0:0:1}
"""
TEXTS["ipv6denorm"] = (
    "${ipv6denorm:2001:db8::1}\n${ipv6denorm:1.2.3.4}\n${ipv6denorm:::ffff:1.2.3.4}\n${ipv6denorm:x}"
)
TEXTS["lc"] = "${lc:ABC}\n${lc:A{B}C}\n${lc:\\xc4}\n${lc: A}\n${lc:A\n${lc :A}\n${lc}\n${lc_x:A}\n${ lc:A}"
TEXTS["uc"] = "${uc:abc}\n${uc:\\xe9}\n${uc:a${lc:B}c}\n${uc:}|"
TEXTS["strlen"] = "${strlen:abc}\n${strlen:}\n${strlen:\\xc3\\xa9}\n${strlen:a\\0b}"
TEXTS["listcount"] = (
    "${listcount:}|${listcount: }|${listcount::}|${listcount: : : }|${listcount:a:}\n${listcount:a:b:c}\n"
    '${listcount:<;a;b}|${listcount:a::b}|${listcount:<, a,b,,c}\n${listcount: a : b }\n${listcount:"a:b":c}'
)
TEXTS["listnamed"] = r"""
${listnamed:local_domains}
${listnamed_h:relay_from_hosts}|${listnamed_l:people}|${listnamed_a:others}|${listnamed:people}
${listnamed_d:relay_from_hosts}
${listnamed:nosuch}
${listnamed_x:nosuch}
"""
TEXTS["mask"] = (
    "${mask:10.2.3.4/8}\n${mask:10.2.3.4}\n${mask:10.2.3.4/33}\n${mask:x/8}\n${mask:1.2.3.4/x}\n${mask:2001:db8::1/64}"
)
TEXTS["reverse_ip"] = (
    "${reverse_ip:1.2.3.4}\n${reverse_ip:2001:db8::c42:1}\n${reverse_ip:x}\n${reverse_ip:::ffff:1.2.3.4}"
)
TEXTS["md5"] = "${md5:abc}\n${md5:}\n${md5:\\xe9}\n${md5_x:abc}\n${md5{a}}"
TEXTS["sha1"] = "${sha1:abc}\n${sha1:}\n${sha1:\\xe9}\n${sha1:a b}"
TEXTS["sha256"] = "${sha256:abc}\n${sha256:}\n${sha256:\\xe9}\n${sha256_512:abc}"
TEXTS["sha2"] = "${sha2:abc}\n${sha2_512:abc}\n${sha2_384:abc}\n${sha2_256:}\n${sha2_13:abc}"
TEXTS["sha3"] = "${sha3:abc}\n${sha3_224:abc}\n${sha3_256:abc}\n${sha3_384:abc}\n${sha3_512:abc}"
TEXTS["quote"] = r"""
${quote:abc}|${quote:a b}|${quote:a"b\\c}|${quote:a\nb\rc}|${quote:}|${quote:a_b-c.d}|${quote:a@b}
${quote_sqlite:O'Neil}|${quote_lsearch:a"b}|${quote_dnsdb:a b}|${quote_passwd:a}|${quote:\xe9}
${quote_nosuch:a}
${quote_sqlite_x:a}
${quote:	}
"""
TEXTS["quote_local_part"] = r"""
${quote_local_part:a b}|${quote_local_part:a.b}|${quote_local_part:.a}|${quote_local_part:a@b}|${quote_local_part:}
${quote_local_part:a..b}|${quote_local_part:a"b}|${quote_local_part:a!#b}|${quote_local_part:a.}
${quote_local_part:\xe9}
${quote_local_part_x:a}
"""
TEXTS["rfc2047"] = r"""
${rfc2047:abc}|${rfc2047:a b_c?\xe9=}|${rfc2047:a\nb}|${rfc2047:"x" (y) <z>}|${rfc2047:a@b}|${rfc2047:=?x?=}
${rfc2047:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\xe9}
${rfc2047:\xe9}
${rfc2047:}|
"""
TEXTS["rfc2047d"] = r"""
${rfc2047d:=?iso-8859-8?Q?=F8=EF=ED?=}
${rfc2047d:=?utf-8?Q?=C3=A9?=}
${rfc2047d:=?utf-8?B?w6k=?= =?utf-8?Q?x_y?= z}
${rfc2047d:plain}
"""
TEXTS["rxquote"] = "${rxquote:a.b*c d}\n${rxquote:\\xe9a_b-c}\n${rxquote:}|\n${rxquote:[a]}"
TEXTS["time_eval"] = (
    "${time_eval:1d4h5m}\n${time_eval:1w2d3h4m5s}|${time_eval:1m1h}\n${time_eval:5}\n${time_eval:}\n${time_eval:x}"
)
TEXTS["time_interval"] = (
    "${time_interval:90061}\n${time_interval:0}|${time_interval:60}|${time_interval:604800}\n${time_interval:-5}\n"
    "${time_interval: 5}\n${time_interval:99999999999999}"
)
# --- conditions -------------------------------------------------------------------------------
for order in ("eq", "lt", "le", "gt", "ge"):
    for name in (order, f"{order}i"):
        TEXTS[name] = (
            f"${{if {name}{{a}}{{B}}{{y}}{{n}}}}${{if {name}{{b}}{{B}}{{y}}{{n}}}}${{if {name}{{c}}{{B}}{{y}}{{n}}}}\n"
            f"${{if {name}{{10}}{{9}}{{y}}{{n}}}}${{if {name}{{}}{{}}{{y}}{{n}}}}\n"
            f"${{if {name}{{\\xc4}}{{\\xe4}}{{y}}{{n}}}}${{if {name}{{\\xe9}}{{z}}{{y}}{{n}}}}\n${{if {name}{{a}}}}"
        )
for name in ("=", "==", "<", "<=", ">", ">="):
    TEXTS[name] = (
        f"${{if {name}{{1}}{{2}}{{y}}{{n}}}}${{if {name}{{010}}{{10}}{{y}}{{n}}}}${{if {name}{{3}}{{-2}}{{y}}{{n}}}}\n"
        f"${{if {name}{{}}{{0}}{{y}}{{n}}}}"
        f"${{if {name}{{1k }}{{1024}}{{y}}{{n}}}}${{if {name}{{1M}}{{1G}}{{y}}{{n}}}}\n"
        f"${{if {name}{{a}}{{1}}{{y}}{{n}}}}\n${{if {name}{{1T}}{{1}}{{y}}{{n}}}}\n"
        f"${{if {name}{{99999999999999999999}}{{1}}{{y}}{{n}}}}\n${{if {name}{{0x5}}{{1.5}}{{y}}{{n}}}}"
    )
TEXTS["bool"] = r"""
${if bool{true}{y}{n}}${if bool{NO}{y}{n}}
${if bool{ yes }{y}{n}}${if bool{00}{y}{n}}${if bool{-1}{y}{n}}${if bool{}{y}{n}}
${if bool{y}{a}{b}}
${if bool{on}{y}{n}}
${if bool{+1}{y}{n}}
${if bool{ maybe }{y}{n}}
"""
TEXTS["bool_lax"] = r"""
${if bool_lax{on}{y}{n}}${if bool_lax{00}{y}{n}}${if bool_lax{0}{y}{n}}
${if bool_lax{ no }{y}{n}}${if bool_lax{}{y}{n}}
${if bool_lax{false }{y}{n}}
${if bool_lax{FALSE}{y}{n}}${if bool_lax{-0}{y}{n}}
"""
TEXTS["exists"] = r"""
${if exists{/folder/F}{y}{n}}
${if exists{/folder/nosuch}{y}{n}}
${if exists{relative}{y}{n}}
${if exists{}{y}{n}}
"""
for name in ("isip", "isip4", "isip6"):
    TEXTS[name] = (
        f"${{if {name}{{1.2.3.4}}{{y}}{{n}}}}"
        f"${{if {name}{{::1}}{{y}}{{n}}}}${{if {name}{{::ffff:1.2.3.4}}{{y}}{{n}}}}\n"
        f"${{if {name}{{1.2.3.4/24}}{{y}}{{n}}}}"
        f"${{if {name}{{01.2.3.4}}{{y}}{{n}}}}${{if {name}{{ 1.2.3.4}}{{y}}{{n}}}}\n"
        f"${{if {name}{{1::2::3}}{{y}}{{n}}}}${{if {name}{{1.2.3.256}}{{y}}{{n}}}}${{if {name}{{1.2.3}}{{y}}{{n}}}}\n"
        f"${{if {name}{{::1%lo}}{{y}}{{n}}}}${{if {name}{{}}{{y}}{{n}}}}"
    )
TEXTS["match"] = r"""
${if match{abc}{b}}|${if match{abc}{^.{2}}{y}{n}}|${if match{abc}{}{y}{n}}|${if match{aXb}{a(?<n>.)b}{$1}}
${if match{abc}{\N^a(x)?(b)(c)?\N}{<$1><$2><$3><$4>}}
${if match{abc}{b}{${if match{xyz}{(y)}{$1}}$0}}
${if match{aaa}{^(a+)+\$}{<$1>}{n}}|${if match{ab12}{(?i)^[A-Z]+(\\d{2})\$}{$1}{n}}|${if match{a.b}{a\\.b}{y}{n}}
${if match{foobar}{(?<=foo)bar}{$0}{n}}|${if match{foobar}{foo(?!bar)}{$0}{n}}|${if match{abab}{^(ab)\\1\$}{y}{n}}
${if match{a.b}{a\\Q.\\Eb}{y}{n}}|${if match{a]}{[]a]+}{$0}{n}}|${if match{x-y}{[\\w-]+}{$0}{n}}
${if match{a}{[[:alpha:]]}{y}{n}}|${if match{5}{[[:^alpha:]]}{y}{n}}
${if match{aab}{a*+b}{y}{n}}|${if match{aab}{(?>a*)ab}{y}{n}}
${if match{a\nb}{a.b}{y}{n}}|${if match{a\nb}{(?s)a.b}{y}{n}}
${if match{a\nb}{(?m)^b}{y}{n}}|${if match{b\n}{b\$}{y}{n}}
${if match{abcabc}{(?P<n>abc)(?P=n)}{y}{n}}|${if match{abc}{(?<n>b)\\k<n>?}{$1}{n}}
${if match{a}{[b-a]}{y}{n}}
${if match{a}{*}{y}{n}}
${if match{a}{a)}{y}{n}}
${if match{a}{[a}{y}{n}}
${if match{a}{a\\}{y}{n}}
${if match{a}{\\1}{y}{n}}
${if match{a}{\\y}{y}{n}}
${if match{abc}{(}{y}{n}}
${if match{a.b}{^a\\.b$}{y}{n}}
${if match{a}}
"""
TEXTS["inlist"] = r"""
${if inlist{a}{b:a}{y$value}{n}}
${if inlist{}{}{y}{n}}${if inlist{}{:}{y}{n}}${if inlist{}{a: :b}{y}{n}}${if inlist{a b}{<, x,a b}{y}{n}}
${if inlist{A}{b:a}{y}{n}}
${if inlist{a}{b:${lc:A}}}
"""
TEXTS["inlisti"] = TEXTS["inlist"].replace("inlist{", "inlisti{")
TEXTS["forany"] = r"""
${if forany{a:b}{eq{$item}{b}}{y$item}{n}}
${if forany{}{eq{$item}{b}}{y}{n}}
${if forany{<, a,b}{match{$item}{(b)}}{$1}{n}}
${if forany}
${if forany{a}}
${if forany{a}{nosuch}}
${if forany{a:b}{eq{$item}{b}{y}{n}}
"""
TEXTS["forall"] = r"""
${if forall{a:b}{eq{$item}{b}}{y}{n}}
${if forall{}{eq{$item}{b}}{y}{n}}
${if forall{b:b}{eq{$item}{b}}{y}{n}}
${if forall{a}{nosuch}}
"""
TEXTS["and"] = r"""
${if and{{eq{a}{a}}{eq{b}{b}}}{y}{n}}|${if and {{eq{a}{a}} {eq{b}{c}} }{y}{n}}|${if and{}{y}{n}}
${if and{{match{abc}{(b)}}{eq{$1}{b}}}{y}{n}}
${if and{eq{a}{a}}{y}{n}}
${if and{{eq{a}{a}}{y}{n}}
${if and{{eq{a}{a}{y}{n}}
${if and{{eq{a}{a}}x}{y}{n}}
${if and{{eq{a}{a}}{bool{maybe}}}{y}{n}}
"""
TEXTS["or"] = r"""
${if or{{eq{a}{b}}{eq{b}{b}}}{y}{n}}|${if or{}{y}{n}}|${if or{{match{abc}{(b)}}{eq{a}{b}}}{$1}}
${if or{{eq{a}{a}}{eq{$nosuch}{}}}{y}{n}}
${if or{{eq{a}{a}}{={a}{1}}}{y}{n}}
${if or{{eq{a}{a}}{bool{maybe}}}{y}{n}}
${if or{{eq{a}{a}}{nosuch{maybe}}}{y}{n}}
${if or}
"""
TEXTS["def"] = r"""
${if def:primary_hostname{y}{n}}${if def:sender_host_address{y}{n}}${if def:acl_m_x{y}{n}}${if ! def:r_x{y}{n}}
${if def:h_foo:{y}{n}}|${if def:header_foo:{y}{n}}|${if def:h_subject {y}{n}}
${if def:h_subject{y}{n}}
${if def:nosuch{y}{n}}
${if def:acl_mx{y}{n}}
${if def{y}{n}}
${if def:1{y}{n}}
"""
TEXTS["crypteq"] = r"""
${if crypteq{abc}{\{md5\}900150983cd24fb0d6963f7d28e17f72}{y}{n}}
${if crypteq{abc}{\{md5\}kAFQmDzST7DWlj99KOF/cg==}{y}{n}}
${if crypteq{abc}{\{sha1\}a9993e364706816aba3e25717850c26c9cd0d89d}{y}{n}}
${if crypteq{x}{\{sha1\}qZk+NkcGgWq6PiVxeFDCbJzQ2J0=}{y}{n}}
${if crypteq{abc}{\$5\$saltstring\$tDHA0KPsYQ8V.LDB1/fgW7cvROod5ZajSrx1tZU2JG9}{y}{n}}

${if crypteq{abc}{\$6\$rounds=1000\$x\$4AGO16ClnsTUd.XUOISrgWPE9IVXAFjKGE0mYz2bRe.FfxKlQrmXMAZ8odFAz6ebKERsZxqB9WoXYENetyi//0}{y}{n}}
${if crypteq{abc}{abc}{y}{n}}${if crypteq{abc}{}{y}{n}}${if crypteq{abc}{\{md5\}kAFQ}{y}{n}}
${if crypteq{abc}{\{nosuch\}abc}{y}{n}}
"""  # noqa: E501
TEXTS["inbound_srs"] = r"""
${if inbound_srs {SRS0=518c=jm=orig.test=user}{}{y}{n}}
${if inbound_srs {SRS0=ffff=jm=orig.test=user}{secret}{y}{n}}
${if inbound_srs {SRS0=x@y}{y}{a}{b}}
${if inbound_srs {user}{secret}{a}{b}}
${if inbound_srs {${local_part:${srs_encode{s}{User@O.test}{d.test}}}}{s}{<$srs_recipient>}{n}}
"""
TEXTS["first_delivery"] = (
    "${if first_delivery{y}{n}}\n${if !first_delivery{y}{n}}\n${if first_delivery}|\n${if !first_delivery}"
)
TEXTS["queue_running"] = (
    "${if queue_running{y}{n}}\n${if !queue_running{y}{n}}\n${if queue_running}|\n${if !queue_running}"
)
TEXTS["radius"] = (
    "${if radius{a:b}{y}{n}}\n${if !radius{a:b}{y}{n}}\n${if or{{radius{a}}}}\n${if bool{true}{a}{${if radius{a}}}}"
)
TEXTS["pwcheck"] = TEXTS["radius"].replace("radius", "pwcheck")
# --- the language itself ----------------------------------------------------------------------
TEXTS["texts"] = r"""
$
$ a
$nosuch
${nosuch}
${nosuch:a}
${nosuch{a}{b}}
${}
${1
${1x}
${1}|${11}|
$12|cost $5|
a}b{c
$primary_hostname}|${primary_hostname}x
${primary_hostname x}
\t\n.\x41\101\e\q\\.
\Nabc$x\N.$primary_hostname
\N$x\n
\18x\x4\q
a\0b
$h_foo: x|$h_foo x
${lc:$h_foo}
${lc:$h_foo:}
${h_subject}
${header_foo:}
$acl_m_x|$acl_c0|$acl_m1|$acl_m|$r_|$auth4|$regex9
$acl_x
$acl_mx
$acl_cx
$auth9
$n0
$tod_epoch_x
${if not{eq{a}{b}}{y}{n}}
${if =>{1}{2}{y}{n}}
${if ! !eq{a}{a}{y}{n}}${if !!eq{a}{a}{y}{n}}
"""
WITH_THE_LISTS = {"match_address", "match_domain", "match_ip", "match_local_part"}  # test_lists_agree.py
ASKED_ELSEWHERE = {"dnsdb", "randint", "spf"}  # spf: test_spf_exim_agrees.py

# text -> what Exim says, what we say
EXPLAINED: dict[str, tuple[str, str]] = {
    "${if crypteq{test}{\\$1\\$abc\\$x}{y}{n}}": (
        "n",
        "Failed: crypteq with $1$ is not read by labkit: use $5$ or $6$ (SHA)",
    ),
    "${if bool{true}{a}{${sg{a}{(}{b}}}}": (
        'Failed: regular expression error in "(": missing closing parenthesis at offset 1',
        "a",  # Exim compiles the pattern even in a branch not taken
    ),
    "${if bool{true}{a}{${substr{x}{a}}}}": ('Failed: "x" is not a number (in "substr" expansion)', "a"),
    "${if bool{true}{a}{${perl{x}}}}": ("a", "Refused: ${perl{ is not read by labkit yet"),
    "${ipv6norm:::}.": (":", ":."),  # Exim writes a NUL behind it
}


class Judge:
    """The real one in a folder with the files, and ours."""

    def __init__(self, real: RealExim) -> None:
        self.real = real

    def expanded(self, texts: list[str]) -> list[str]:
        mark = "=====\n"
        stdin = mark.join(f"{self.real.here(text)}\n" for text in texts) + mark
        file = self.real.folder / "exim.conf"
        done = self.real.run("-C", file, "-be", stdin=stdin, environment={"FOO": "bar"})
        found = re.split(r"(?m)^(?:> )?=====\n", done.stdout)
        assert len(found) == len(texts) + 1, done.stdout[-2000:] + done.stderr
        return [text.removeprefix("> ").removesuffix("\n") for text in found[:-1]]

    def ours(self, text: str) -> str:
        """What labkit says, in the form in which -be says it."""
        env = Env(
            {**VARIABLES, "tod_epoch": str(int(datetime.now(timezone.utc).timestamp()))},
            environment={"FOO": "bar"},
            named=LISTS,
        )
        try:
            compiled = compile_text(self.real.here(text), PLACE)
        except ConfigurationError as refusal:
            return f"Refused: {refusal.problem}"
        found = answer_by(self.answer, compiled.asking(env))
        return found.text if isinstance(found, Value) else f"Failed: {found.message}"

    def answer(self, question: Question[Any]) -> Any:
        if isinstance(question, FileText):
            return self.text(question.path)
        if isinstance(question, FileLine):
            text = self.text(question.file)
            return find_line(text, question.key) if isinstance(text, str) else text
        if isinstance(question, Exists):
            return os.path.exists(question.path)
        if isinstance(question, FolderEntry):
            path = Path(question.folder) / question.name
            if not path.parent.is_dir():
                return Unopened("No such file or directory")
            kinds = {"any": path.exists(), "file": path.is_file(), "dir": path.is_dir()}
            return kinds[question.wanted]
        if isinstance(question, PasswdLine):
            entry = {each.pw_name: each for each in pwd.getpwall()}.get(question.name)
            return entry and (entry.pw_uid, entry.pw_gid, entry.pw_gecos, entry.pw_dir, entry.pw_shell)
        if isinstance(question, SqliteRows):
            base = sqlite3.connect(question.file)
            cursor = base.execute(question.query)
            names = [column[0] for column in cursor.description]
            rows = tuple(tuple(zip(names, map(str, row))) for row in cursor)
            base.close()
            return rows
        return Unopened("No such file or directory")

    def text(self, path: str) -> str | Unopened | Unanswered:
        try:
            return Path(path).read_text(encoding="latin-1")
        except OSError as problem:
            return Unopened(problem.strerror or "")


@pytest.fixture(scope="module")
def judge(real_exim: RealExim) -> Judge:
    folder = real_exim.folder
    real_exim.write("exim.conf", real_exim.configured(CONFIGURATION))
    for name, text in FILES.items():
        real_exim.write(name, text)
    base = sqlite3.connect(folder / "db")
    base.execute("create table t(n, v)")
    base.executemany("insert into t values(?, ?)", [(1, "x y"), (2, 'q"u'), (3, ""), (4, "plain")])
    base.commit()
    base.close()
    real_exim.give(folder, folder / "db")  # SQLite writes its journal beside it
    return Judge(real_exim)


def lines(name: str) -> list[str]:
    return [line for line in TEXTS[name].split("\n") if line]


@pytest.fixture(scope="module")
def said(judge: Judge) -> dict[str, str]:
    """What Exim makes of everything here, in one run."""
    texts = list(dict.fromkeys([*EXPLAINED, *(line for name in TEXTS for line in lines(name))]))
    return dict(zip(texts, judge.expanded(texts)))


@pytest.mark.parametrize("name", TEXTS)
def test_agrees(judge: Judge, said: dict[str, str], name: str) -> None:
    assert {text: judge.ours(text) for text in lines(name)} == {text: said[text] for text in lines(name)}


@pytest.mark.parametrize("text", EXPLAINED)
def test_explained(judge: Judge, said: dict[str, str], text: str) -> None:
    assert (said[text], judge.ours(text)) == EXPLAINED[text]


def test_lists_are_cut_alike(judge: Judge) -> None:
    """Whatever characters stand in a list, and whatever cuts it."""
    rng = random.Random(1)
    pieces = [
        "a",
        "b",
        " ",
        " ",
        ":",
        ":",
        "::",
        ";",
        "<",
        ",",
        "!",
        "\\\\",
        "\\\\ ",
        "\\n",
        "\\t",
        "\\x01",
        "\\x7f",
    ]
    lists = ["".join(rng.choice(pieces) for _ in range(rng.randrange(9))) for _ in range(250)]
    chosen = [f"<{rng.choice(pieces)}{each}" for each in lists[:120]]
    given = [
        *lists,
        *chosen,
        "a\\\\ : b",
        "<\\n a\\nb",
        "<\\n a\\n\\nb",
        "<\\x7fa\\x7f\\x7fb",
        "a:::b",
        "<_a__b",
    ]
    # behind a lone `<` Exim takes the end of the string for a separator
    given = [text for text in given if re.sub(r"\\[nt]", "", text).strip() != "<"]
    texts = [form.format(text) for text in given for form in CUTTING]
    theirs = judge.expanded(texts)
    assert {text: judge.ours(text) for text in texts} == dict(zip(texts, theirs))


CUTTING = (  # a text with a list
    "${{reduce{{{0}}}{{}}{{$value<$item>}}}}",
    "${{map{{{0}}}{{-$item}}}}",
    "${{filter{{{0}}}{{!eq{{$item}}{{a}}}}}}",
    "${{listcount:{0}}}",
    "${{listextract{{1}}{{{0}}}{{<$value>}}{{none}}}}",
    "${{if forany{{{0}}}{{eq{{$item}}{{a}}}}{{y}}{{n}}}}|${{if inlist{{b}}{{{0}}}{{y}}{{n}}}}",
)


def test_everything_supported_is_here() -> None:
    supported = {*ITEMS, *OPERATORS, *CONDITIONS, *SINGLE_KEY, *QUERIES} - REFUSED_ITEMS
    assert supported - WITH_THE_LISTS - ASKED_ELSEWHERE - set(TEXTS) == set()
    assert {name: len(lines(name)) for name in TEXTS if len(lines(name)) < 4} == {}


def test_variables(judge: Judge) -> None:
    """Exim knows each variable that we know, and the other way round for those of its own list."""
    names = sorted(KNOWN)
    unknown = [
        name for name, text in zip(names, judge.expanded([f"${each}" for each in names])) if "unknown" in text
    ]
    assert unknown == []
