"""The configurations and addresses of test_routing_agrees.py."""

from __future__ import annotations

import re
from collections.abc import Mapping

PRELUDE = """\
exim_path = {folder}/exim
exim_user = {uid}
exim_group = {group}
deliver_drop_privilege = true
local_interfaces = <; [203.0.113.1]
check_spool_space = 0
check_spool_inodes = 0
"""
OURS = """\
primary_hostname = mx.here.test
qualify_domain = here.test
spool_directory = {folder}/spool
log_file_path = {folder}/spool/%slog
keep_environment =
never_users =
domainlist here = here.test : mx.here.test
hostlist bad = 203.0.113.66
"""
TRANSPORTS = """\
begin transports
smtp:
  driver = smtp
smtp_odd:
  driver = smtp
  hosts = mx.b.test
  hosts_override
box:
  driver = appendfile
  file = /dev/null
program:
  driver = pipe
folder:
  driver = appendfile
  maildir_format
lmtp:
  driver = appendfile
  file = /dev/null
"""
FILES = {
    "aliases": """\
postmaster: root
root: bob
team: bob, eve@b.test, carol@here.test, bob
team2: team, bob@here.test
self: self
ping: pong
pong: ping
self2: self2, \\bob
gone: :fail: 550 5.7.1 gone away
gone2: :fail:
later: :defer: come back: it is late
lost: :blackhole:
nouser: :unknown:
empty:
mixed: bob, :fail: and gone
pipe: |/bin/cat -a
quotedpipe: "|/bin/echo \\"a b\\" c"
file: /var/mail/x
folder: /var/mail/dir/
null: /dev/null
both: /var/mail/x, |/bin/cat, bob
out: someone@b.test
nodom: outside
wrong: b # c
wrong2: b@x c@x
wrong3: a b
odd: "quoted name"@b.test, Ann Smith <ann@b.test> (comment), <@x,@y:z@b.test>
unqual: <bob>
include: :include:/folder/included, last@b.test
missing: :include:/folder/nothere
relative: :include:nothere
includefail: bob, :include:/folder/failing
grow: grow-x
empty2: ,,
lit: a@[1.2.3.4]
black: bob, :blackhole:
star*: x
""",
    "included": "# a comment\nfirst@b.test, second@b.test # no comment\n",
    "failing": "x@b.test\n:fail: from inside\n",
    "good": "# comment\n\none@b.test,\n  two@b.test\n",
    "filter": "# Exim filter\ndeliver bob\n",
    "vdomains": "v.test: yes\n",
    "v.test": "info: bob@here.test\n*: catch@b.test\n",
    "routes": "route.test: mx.b.test\nroute2.test: mx.b.test:mx.c.test byname\n"
    "many.test: mx.b.test::2525:[203.0.113.9]::26\n",
    "users": "bob: bob\n",
}
RECORDS: Mapping[str, Mapping[str, list[str]]] = {
    "b.test": {"MX": ["10 mx.b.test", "20 mx.c.test"]},
    "mx.b.test": {"A": ["203.0.113.9"]},
    "mx.c.test": {"A": ["203.0.113.10"]},
    "long-name.of.a.host.test": {"A": ["203.0.113.111"]},
    "cols.test": {"MX": ["5 mx.b.test", "10 long-name.of.a.host.test", "15 nowhere.test"]},
    "onlya.test": {"A": ["203.0.113.20"]},
    "null.test": {"MX": ["0 ."]},
    "nothing.test": {"TXT": ["x"]},
    "gone.test": {"MX": ["10 nowhere.test"]},
    "gone2.test": {"MX": ["10 nowhere.test", "20 mx.b.test"]},
    "ip.test": {"MX": ["10 203.0.113.9"]},
    "me.test": {"MX": ["10 mx.here.test", "20 mx.b.test"]},
    "me2.test": {"MX": ["10 mx.b.test", "20 mx.here.test", "30 mx.c.test"]},
    "mea.test": {"A": ["203.0.113.1"]},
    "mx.here.test": {"A": ["203.0.113.1"]},
    "alias.test": {"CNAME": ["b.test"]},
    "cn.test": {"MX": ["10 www.test"]},
    "www.test": {"CNAME": ["mx.b.test"]},
    "bad.test": {"MX": ["10 bad1.test"]},
    "bad1.test": {"A": ["203.0.113.66"]},
    "bad2.test": {"MX": ["10 bad1.test", "20 mx.b.test"]},
    "bada.test": {"A": ["203.0.113.66"]},
    "twin.test": {"MX": ["10 mx.b.test", "20 twin1.test"]},
    "twin1.test": {"A": ["203.0.113.9"]},
    "failing.test": {"MX": ["10 servfail.test"]},
    "half.test": {"MX": ["10 servfail.test", "20 mx.b.test"]},
    "_smtp._tcp.srv.test": {"SRV": ["20 0 25 mx.c.test", "10 5 2525 mx.b.test"]},
    "srv.test": {"MX": ["10 mx.c.test"]},
    "_smtp._tcp.nosrv.test": {"SRV": ["0 0 0 ."]},
    "nope.test.wide.test": {"MX": ["10 mx.b.test"]},
    "onlya.test.wide.test": {"MX": ["10 mx.b.test"]},
    "gone.test.wide.test": {"MX": ["10 mx.b.test"]},
}
SERVFAIL = ("servfail.test", "fail.test")
ACCOUNTS = ("ann", "bob", "carol", "dave", "frank", "gina")
FORWARDS = {  # the .forward of an account
    "carol": "carol@b.test\n",
    "dave": "",
    "frank": "\\frank, frank@b.test\n",
    "gina": "# Sieve filter\nkeep;\n",
}


ALIASES = """\
begin routers
skipped:
  driver = accept
  no_address_test
  transport = box
  domains = skipped.test
onlyverify:
  driver = accept
  verify_only
  domains = vonly.test
notrecipient:
  driver = accept
  domains = norcpt.test
  no_verify_recipient
  transport = box
failsender:
  driver = accept
  domains = failv.test
  fail_verify_sender
  transport = box
failrecipient:
  driver = accept
  domains = failr.test
  fail_verify_recipient
  transport = box
senders:
  driver = accept
  domains = sender.test
  senders = good@sender.test : :
  transport = box
virtual:
  driver = redirect
  domains = lsearch;/folder/vdomains
  data = ${lookup{$local_part}lsearch*{/folder/$domain}}
  no_more
vdata:
  driver = redirect
  domains = dsearch;/folder
  data = ${lookup{$local_part}lsearch*{/folder/$domain_data}}
growing:
  driver = redirect
  domains = grow.test
  data = x$local_part@grow.test
unseencopy:
  driver = redirect
  domains = unseen.test
  data = archive@b.test
  unseen
unseenaccept:
  driver = accept
  domains = unseen.test
  unseen
  transport = box
last:
  driver = accept
  domains = unseen.test
  transport = program
tainted:
  driver = redirect
  domains = tainted.test
  file = /folder/$local_part
tainteduser:
  driver = redirect
  domains = taintuser.test
  check_local_user
  file = /folder/$local_part
  allow_filter
filey:
  driver = redirect
  domains = ^(good|filter|nofile)\\\\.file\\\\.test\\$
  file = /folder/$1
  file_transport = box
nodir:
  driver = redirect
  domains = nodir.test
  file = /folder/nowhere/x
relfile:
  driver = redirect
  domains = rel.test
  file = x
isdir:
  driver = redirect
  domains = isdir.test
  file = /folder/
noenotdir:
  driver = redirect
  domains = enotdir.test
  file = /folder/aliases/x
enotdir:
  driver = redirect
  domains = ienotdir.test
  file = /folder/aliases/x
  ignore_enotdir
forced:
  driver = redirect
  domains = forced.test
  data = ${if eq{a}{b}{x}fail}
wrongexp:
  driver = redirect
  domains = wrong.test
  data = ${if
missinglookup:
  driver = redirect
  domains = nolook.test
  data = ${lookup{x}lsearch{/folder/nothere}}
strict:
  driver = redirect
  domains = strict.test
  data = ${lookup{$local_part}lsearch{/folder/aliases}}
  forbid_blackhole
  forbid_file
  forbid_pipe
  forbid_include
  file_transport = box
lenient:
  driver = redirect
  domains = lenient.test
  data = ${lookup{$local_part}lsearch{/folder/aliases}}
  skip_syntax_errors
  allow_fail
  forbid_smtp_code
  qualify_preserve_domain
  include_directory = /folder/in
  file_transport = $local_part
  pipe_transport = nothere
  directory_transport = ${if eq{a}{b}{x}fail}
norepeat:
  driver = redirect
  domains = norepeat.test
  data = ${if eq{$local_part}{a}{b@norepeat.test}{a@norepeat.test}}
  no_repeat_use
caseful:
  driver = redirect
  domains = case.test
  caseful_local_part
  local_parts = +caseful : Bob
  data = $local_part@b.test
afterwards:
  driver = redirect
  domains = after.test
  data = $local_part@here.test
  redirect_router = dnsafter
qualified:
  driver = redirect
  domains = qual.test
  data = someone, \\\\other
  qualify_domain = b.test
conditions:
  driver = redirect
  domains = cond.test
  condition = ${lookup{$local_part}lsearch{/folder/users}}
  condition = ${if eq{$local_part}{bob}}
  data = $local_part@b.test
vars:
  driver = redirect
  domains = vars.test
  set = r_a = $local_part ; r_b = x
  set = r_c = $r_a-$r_b
  address_data = data of $local_part
  data = ${sg{$r_c}{x}{z}}@b.test, ${extract{1}{ }{$address_data}}@c.test
varforced:
  driver = accept
  domains = varforced.test
  address_data = ${if eq{a}{b}{x}fail}
  no_more
  transport = box
varwrong:
  driver = accept
  domains = varwrong.test
  address_data = ${if eq{a}}
  transport = box
notransport:
  driver = accept
  domains = notransport.test
  transport = nowhere
exptransport:
  driver = accept
  domains = exptransport.test
  transport = ${if eq{$local_part}{bob}{box}{nowhere}}
tainttransport:
  driver = accept
  domains = tainttransport.test
  transport = $local_part
wrongtransport:
  driver = accept
  domains = wrongtransport.test
  transport = ${nosuch:x}
wrongmore:
  driver = redirect
  domains = wrongmore.test
  data =
  more = ${if eq{$local_part}{a}{maybe}{${nosuch}}}
morefalse:
  driver = redirect
  domains = morefalse.test
  data =
  more = ${if eq{$local_part}{a}{yes}{no}}
  cannot_route_message = no more for $local_part
errorsto:
  driver = redirect
  domains = errors.test
  data = $local_part@b.test
  errors_to = ${local_part}@here.test
headers:
  driver = accept
  domains = headers.test
  headers_add = X-A: ${if eq{$local_part}{a}{${nosuch}}{b}}
  transport = box
headersr:
  driver = accept
  domains = headersr.test
  headers_remove = x : ${if eq{$local_part}{a}{${nosuch}}{b}}
  transport = box
files:
  driver = accept
  domains = files.test
  require_files = /folder/$local_part : !/folder/nothere
  transport = box
files2:
  driver = accept
  domains = files2.test
  require_files = bob : /folder/aliases
  transport = box
files3:
  driver = accept
  domains = files3.test
  require_files = nosuchuser : /folder/aliases
  transport = box
files4:
  driver = accept
  domains = files4.test
  require_files = relative/x
  transport = box
files5:
  driver = accept
  domains = files5.test
  require_files = /folder/aliases/x
  transport = box
affix:
  driver = accept
  domains = affix.test
  local_part_prefix = real- : *=
  local_part_suffix = -* : +x
  local_part_suffix_optional
  local_parts = bob : c : a
  transport = box
affix2:
  driver = redirect
  domains = affix.test
  local_part_prefix = *-
  local_part_suffix = -request : +*
  local_part_prefix_optional
  data = ${local_part}.${local_part_prefix}.${local_part_suffix}.${local_part_prefix_v}.${local_part_suffix_v}@b.test
  cannot_route_message = never
homed:
  driver = redirect
  domains = home.test
  router_home_directory = /folder/h
  data = ${sg{$home}{.*/}{}}@b.test
homewrong:
  driver = redirect
  domains = homewrong.test
  router_home_directory = ${nosuch}
  data = x@b.test
badlist:
  driver = accept
  domains = badlist.test
  local_parts = ${if eq{$local_part}{a}{${nosuch}}{x}}
  transport = box
condwrong:
  driver = accept
  domains = condwrong.test
  condition = ${if eq{$local_part}{a}{${nosuch}}{1}}
  transport = box
conddefer:
  driver = accept
  domains = conddefer.test
  condition = ${lookup{x}lsearch{/folder/nothere}}
  transport = box
condzero:
  driver = accept
  domains = condzero.test
  condition = ${sg{$local_part}{x}{}}
  transport = box
system_aliases:
  driver = redirect
  domains = +here
  allow_fail
  allow_defer
  data = ${lookup{$local_part}lsearch{/folder/aliases}}
  file_transport = box
  pipe_transport = program
  directory_transport = folder
forward:
  driver = redirect
  domains = +here
  check_local_user
  file = $home/.forward
  check_ancestor
  no_verify
users:
  driver = accept
  domains = +here
  check_local_user
  transport = box
  cannot_route_message = Unknown user $local_part
dnsafter:
  driver = dnslookup
  domains = ! +here
  transport = smtp
"""
ALIASES_BT = """\
bob bob@here.test Bob@Here.TEST eve postmaster team team2 self ping self2 gone gone2 later lost nouser empty
mixed pipe quotedpipe file folder null both out nodom wrong wrong2 wrong3 odd unqual include missing
relative includefail empty2 lit black carol dave frank gina ann,bob <bob@here.test> a@b@c @x ""
a..b@here.test x@[1.2.3.4] bob@ "b\\ob"@here.test x@skipped.test x@vonly.test x@norcpt.test x@failv.test
x@failr.test x@sender.test info@v.test other@v.test x@vdata.test x@grow.test x@unseen.test good@tainted.test
nofile@tainted.test bob@taintuser.test x@good.file.test x@filter.file.test x@nofile.file.test x@nodir.test
x@rel.test x@isdir.test x@enotdir.test x@ienotdir.test x@forced.test x@wrong.test x@nolook.test
lost@strict.test file@strict.test pipe@strict.test include@strict.test gone@strict.test later@strict.test
wrong@lenient.test wrong3@lenient.test gone@lenient.test file@lenient.test pipe@lenient.test
folder@lenient.test include@lenient.test nodom@lenient.test a@norepeat.test Bob@case.test bob@case.test
bob@after.test x@after.test x@qual.test bob@cond.test eve@cond.test q@vars.test x@varforced.test
x@varwrong.test x@notransport.test bob@exptransport.test x@exptransport.test x@tainttransport.test
x@wrongtransport.test a@wrongmore.test b@wrongmore.test a@morefalse.test b@morefalse.test bob@errors.test
nouser@errors.test a@headers.test b@headers.test a@headersr.test b@headersr.test aliases@files.test
nothere@files.test x@files2.test x@files3.test x@files4.test x@files5.test real-bob@affix.test
x=c@affix.test real-a-b-c@affix.test a-b-c@affix.test a-b-request@affix.test a+x+y@affix.test
REAL-Bob-Q@affix.test bob@affix.test x@home.test x@homewrong.test a@badlist.test b@badlist.test
a@condwrong.test b@condwrong.test a@conddefer.test 00@condzero.test 0@condzero.test No@condzero.test
x0@condzero.test y@condzero.test a-@b.test x@-b.test a@b_c.test x@y.nothere.test
"""
SHOWS = (
    ":fail: r=$router_name l=$local_part d=$domain ol=$original_local_part od=$original_domain pl=$parent_local_part "
    "pd=$parent_domain p=$local_part_prefix/$local_part_prefix_v s=$local_part_suffix/$local_part_suffix_v "
    "a=$address_data ld=$local_part_data dd=$domain_data sd=$sender_data h=$home 0=$0 1=$1 v=$value ra=$r_a rb=$r_b "
    "sh=$self_hostname rp=$return_path m=$verify_mode ho=$host"
)
VARIABLES = """\
begin routers
setforced:
  driver = redirect
  domains = setforced.test
  set = r_a = ${if eq{a}{b}{x}fail}
  data = x@b.test
setforcedno:
  driver = redirect
  domains = setforcedmore.test
  set = r_a = ${if eq{a}{b}{x}fail}
  more = $local_part
  data = x@b.test
setwrong:
  driver = accept
  domains = setwrong.test
  set = r_a = x ; r_b = ${nosuch}
  transport = box
negative:
  driver = redirect
  domains = numbers.test
  local_parts = ! y
  senders = ! x@y : *@here.test
  allow_fail
  data = SHOWS
first:
  driver = redirect
  domains = vars.test
  local_part_prefix = pre-*
  local_part_suffix = *+suf
  local_part_prefix_optional
  local_part_suffix_optional
  caseful_local_part
  set = r_a = [$local_part]
  address_data = data of $local_part
  data = ${if eq{$local_part}{none}{}{Child.Of-$local_part@sub.vars.test}}
second:
  driver = redirect
  domains = ^(.*)\\\\.vars\\\\.test\\$
  local_parts = ^child\\\\.(.*)-
  set = r_b = $1
  allow_fail
  data = SHOWS
third:
  driver = redirect
  domains = lsearch;/folder/vdomains
  router_home_directory = /h/$local_part
  senders = ^(.*)@here
  allow_fail
  data = SHOWS
pickone:
  driver = redirect
  domains = pick.test
  check_local_user
  allow_fail
  data = SHOWS
passed:
  driver = dnslookup
  domains = me.test
  self = pass
  pass_router = aftermath
  transport = smtp
never:
  driver = redirect
  domains = me.test : vars.test : leak.test
  condition = ${if match{$local_part}{^(..)}}
  data =
aftermath:
  driver = redirect
  domains = me.test : vars.test : leak.test
  allow_fail
  data = SHOWS
unseens:
  driver = redirect
  domains = unseen.test
  unseen = ${if eq{$local_part}{no}{no}{${if eq{$local_part}{wrong}{maybe}{yes}}}}
  set = r_a = unseen
  address_data = kept
  errors_to = bob@here.test
  data = ${if eq{$local_part}{gone}{:blackhole:}{copy@pick.test, other@unseen2.test}}
unseens2:
  driver = redirect
  domains = unseen.test : unseen2.test
  allow_fail
  data = SHOWS
errors:
  driver = redirect
  domains = errors.test
  errors_to = ${if eq{$local_part}{none}{}{${if eq{$local_part}{forced}{x}fail}}}
  data = x@errors2.test
errors2:
  driver = redirect
  domains = errors2.test
  allow_fail
  data = SHOWS
rerouted:
  driver = dnslookup
  domains = mea.test
  local_part_prefix = x-
  local_part_prefix_optional
  address_data = before
  set = r_a = before
  self = reroute:rewrite: errors2.test
  transport = smtp
ancestors:
  driver = redirect
  domains = anc.test
  check_ancestor
  data = ${if eq{$local_part}{a}{B@anc.test}{A@anc.test}}
ancestors2:
  driver = redirect
  domains = anc2.test
  data = ${if eq{$local_part}{a}{B@anc2.test}{A@anc2.test}}
ancend:
  driver = redirect
  domains = anc.test : anc2.test
  allow_fail
  data = SHOWS
people:
  driver = accept
  domains = +here
  check_local_user
  transport = box
deferring:
  driver = redirect
  domains = late.test
  allow_defer
  forbid_smtp_code
  data = :defer: 451 4.3.0  later for $local_part
failing:
  driver = redirect
  domains = code.test
  allow_fail
  forbid_smtp_code
  data = :fail: 550 no $local_part
hidden:
  driver = redirect
  domains = hide.test
  hide_child_in_errmsg
  one_time
  data = nowhere@nowhere.test
whole:
  driver = accept
  domains = dashed.test
  local_part_suffix = -x : *
  transport = box
emptycond:
  driver = accept
  domains = cond.test
  condition =
  transport = box
zero:
  driver = accept
  domains = cond.test
  condition = $local_part
  condition = ${if eq{$local_part}{00}{00}{yes}}
  transport = box
mx:
  driver = dnslookup
  domains = b.test : nowhere.test
  condition = ${if eq{$local_part}{skip}{no}{yes}}
  transport = smtp
  more = ${if eq{$local_part}{stop}{false}{true}}
  cannot_route_message = mx cannot
words:
  driver = accept
  domains = nothing.here
  transport = box
  cannot_route_message = ${if eq{$local_part}{w}{${nosuch}}{${if eq{$local_part}{f}{x}fail}}}
""".replace("SHOWS", SHOWS)
VARIABLES_BT = """\
x@setforced.test x@setwrong.test x@numbers.test q@numbers.test yes@setforcedmore.test no@setforcedmore.test
bob@vars.test BOB@vars.test pre-q-Bob@vars.test pre-Bob+suf@vars.test none@vars.test
pre-aa-none+x+suf@vars.test info@v.test bob@pick.test ann@pick.test eve@pick.test x@me.test y@me.test
abc@leak.test x@leak.test x@unseen.test no@unseen.test wrong@unseen.test gone@unseen.test copy@unseen2.test
none@errors.test forced@errors.test x@errors.test x@mea.test x-y@mea.test a@anc.test B@anc.test a@anc2.test
b@anc2.test bob carol x@late.test x@code.test x@hide.test ab-x@dashed.test abc@dashed.test q-x@dashed.test
00@cond.test 0@cond.test no@cond.test yes@cond.test skip@b.test stop@nowhere.test go@nowhere.test
w@nowhere.test f@nowhere.test x@b.test
"""
DNS = """\
begin routers
mustmx:
  driver = dnslookup
  domains = *.mustmx.test : onlya.test
  local_parts = mx
  mx_domains = *
  transport = smtp
  no_more
secondary:
  driver = dnslookup
  local_parts = sec
  check_secondary_mx
  transport = smtp
  no_more
faildefer:
  driver = dnslookup
  local_parts = fd
  fail_defer_domains = gone.test : nothing.test
  transport = smtp
  no_more
mxfail:
  driver = dnslookup
  local_parts = mf
  mx_fail_domains = fail.test
  transport = smtp
  no_more
passtimeout:
  driver = dnslookup
  local_parts = pt
  pass_on_timeout
  transport = smtp
  no_more
selfpass:
  driver = dnslookup
  local_parts = pass
  self = pass
  pass_router = taken
  transport = smtp
  no_more
selfsend:
  driver = dnslookup
  local_parts = send
  self = send
  transport = smtp
selffail:
  driver = dnslookup
  local_parts = fail
  self = fail
  transport = smtp
selfdefer:
  driver = dnslookup
  local_parts = defer
  self = defer
  transport = smtp
selfreroute:
  driver = dnslookup
  local_parts = reroute
  self = reroute: b.test
  transport = smtp
srv:
  driver = dnslookup
  local_parts = srv
  check_srv = ${if eq{$domain}{b.test}{${nosuch}}{smtp}}
  transport = smtp
  no_more
srvforced:
  driver = dnslookup
  local_parts = srvforced
  check_srv = ${if eq{a}{b}{x}fail}
  transport = smtp
  no_more
srvfail:
  driver = dnslookup
  local_parts = srvfail
  check_srv = smtp
  srv_fail_domains = fail.test
  transport = smtp
  no_more
wide:
  driver = dnslookup
  local_parts = wide
  widen_domains = no.test : wide.test
  mx_domains = onlya.test
  transport = smtp
  no_more
widely:
  driver = dnslookup
  local_parts = widely
  widen_domains = no.test : wide.test
  no_rewrite_headers
  transport = smtp
  no_more
signed:
  driver = dnslookup
  local_parts = signed
  dnssec_require_domains = *
  mx_fail_domains = cols.test
  transport = smtp
  no_more
over:
  driver = dnslookup
  local_parts = over
  transport = smtp_odd
locally:
  driver = dnslookup
  local_parts = local
  transport = box
ignoring:
  driver = dnslookup
  local_parts = ign
  ignore_target_hosts = +bad
  transport = smtp
  cannot_route_message = nothing left of $domain
failed:
  driver = dnslookup
  local_parts = verifyfail
  fail_verify
  transport = smtp
plain:
  driver = dnslookup
  domains = ! +here
  local_parts = ! taken
  transport = smtp
  same_domain_copy_routing
  cannot_route_message = cannot route $domain
taken:
  driver = accept
  local_parts = pass : pt
  transport = box
"""
DNS_BT = """\
x@b.test x@cols.test x@onlya.test x@null.test x@nothing.test x@nowhere.test x@gone.test x@gone2.test
x@ip.test x@me.test x@me2.test x@mea.test x@alias.test x@cn.test x@bad.test x@twin.test x@failing.test
x@half.test x@fail.test X@B.TEST mx@onlya.test mx@x.mustmx.test sec@b.test sec@me2.test sec@me.test
fd@gone.test fd@nothing.test fd@nowhere.test mf@fail.test mf@servfail.test pt@fail.test pass@me.test
pass@mea.test send@me.test send@mea.test fail@me.test defer@mea.test reroute@me.test reroute@mea.test
over@b.test local@b.test ign@bad.test ign@bad2.test ign@bada.test verifyfail@b.test srv@srv.test
srv@nosrv.test srv@b.test srv@onlya.test srv@servfail.test srv@fail.test srvforced@srv.test
srvfail@fail.test srvfail@srv.test wide@nope.test wide@onlya.test wide@gone.test wide@b.test
wide@nowhere.test widely@nope.test signed@b.test signed@onlya.test signed@nowhere.test signed@nothing.test
signed@cols.test x@here.test x@a-.test taken@b.test
"""
MANUAL = """\
begin routers
list:
  driver = manualroute
  domains = list.test : *.list.test : +here
  route_list = !+here mx.b.test ; bad quotes ; \\
    +here "mx.b.test : mx.c.test" no_randomize ; ; * nothere
  transport = smtp
regex:
  driver = manualroute
  domains = *.re.test
  route_list = ^(.*)\\\\.re\\\\.test\\$ $1.b.test:mx.c.test
  transport = smtp
wrongrule:
  driver = manualroute
  domains = wrongrule.test
  route_list = * mx.b.test : mx.c.test
  transport = smtp
bang:
  driver = manualroute
  domains = bang.test
  route_list = ! r.test mx.b.test
  transport = smtp
other:
  driver = manualroute
  domains = other.test
  route_list = * mx.b.test smtp_odd
lookups:
  driver = manualroute
  domains = lookup.test : lookup2.test
  route_list = lsearch;/folder/lk $value byname
  transport = smtp
data:
  driver = manualroute
  domains = route.test : route2.test : many.test : nodata.test
  route_data = ${lookup{$domain}lsearch{/folder/routes}}
  transport = smtp
forced:
  driver = manualroute
  domains = forced.test
  route_data = ${if eq{a}{b}{x}fail}
  transport = smtp
wrongdata:
  driver = manualroute
  domains = wrongdata.test
  route_data = ${nosuch}
  transport = smtp
wronghost:
  driver = manualroute
  domains = wronghost.test
  route_list = * ${nosuch}
  transport = smtp
forcedhost:
  driver = manualroute
  domains = forcedhost.test
  route_list = * "${if eq{a}{b}{x}fail}"
  transport = smtp
freeze:
  driver = manualroute
  domains = freeze.test
  route_list = * nowhere.test
  transport = smtp
hdefer:
  driver = manualroute
  domains = hdefer.test
  route_list = * nowhere.test:mx.b.test
  host_find_failed = defer
  transport = smtp
hfail:
  driver = manualroute
  domains = hfail.test
  route_list = * nowhere.test
  host_find_failed = fail
  transport = smtp
hpass:
  driver = manualroute
  domains = hpass.test
  route_list = * nowhere.test
  host_find_failed = pass
  transport = smtp
  no_more
hdecline:
  driver = manualroute
  domains = hdecline.test
  route_list = * nowhere.test
  host_find_failed = decline
  transport = smtp
hignore:
  driver = manualroute
  domains = hignore.test
  route_list = * nowhere.test:mx.b.test:nowhere.test
  host_find_failed = ignore
  transport = smtp
hai:
  driver = manualroute
  domains = hai.test
  route_list = * nowhere.test
  host_find_failed = ignore
  transport = smtp
haif:
  driver = manualroute
  domains = haif.test
  route_list = * nowhere.test
  host_find_failed = ignore
  host_all_ignored = fail
  transport = smtp
haip:
  driver = manualroute
  domains = haip.test
  route_list = * nowhere.test
  host_find_failed = ignore
  host_all_ignored = pass
  transport = smtp
haid:
  driver = manualroute
  domains = haid.test
  route_list = * nowhere.test
  host_find_failed = ignore
  host_all_ignored = decline
  transport = smtp
  no_more
haifr:
  driver = manualroute
  domains = haifr.test
  route_list = * nowhere.test
  host_find_failed = ignore
  host_all_ignored = freeze
  transport = smtp
hostmx:
  driver = manualroute
  domains = hostmx.test
  route_list = * b.test/mx
  transport = smtp
hostmx2:
  driver = manualroute
  domains = hostmx2.test
  route_list = * onlya.test/MX
  transport = smtp
hostmx3:
  driver = manualroute
  domains = hostmx3.test
  route_list = * me2.test/mx::2525
  transport = smtp
ports:
  driver = manualroute
  domains = ports.test
  route_list = * mx.b.test::2525:+:[203.0.113.10]::26:203.0.113.11
  transport = smtp
semi:
  driver = manualroute
  domains = semi.test
  route_list = <| * "<; mx.b.test ; [203.0.113.10]:26"
  transport = smtp
locally:
  driver = manualroute
  domains = local.test
  route_list = * a:b.test
  transport = box
nohosts:
  driver = manualroute
  domains = nohosts.test
  route_list = *
  transport = smtp
nohostslocal:
  driver = manualroute
  domains = nohostslocal.test
  route_list = *
  transport = box
self:
  driver = manualroute
  domains = self.test
  route_list = * mx.here.test
  transport = smtp
self2:
  driver = manualroute
  domains = self2.test
  route_list = * mx.b.test:mx.here.test:mx.c.test
  transport = smtp
selfsend:
  driver = manualroute
  domains = selfsend.test
  route_list = * mx.here.test:mx.b.test:203.0.113.1
  self = send
  transport = smtp
selfpass:
  driver = manualroute
  domains = selfpass.test
  route_list = * 203.0.113.1
  self = pass
  transport = smtp
fails:
  driver = manualroute
  domains = fails.test
  route_list = * servfail.test
  transport = smtp
failspass:
  driver = manualroute
  domains = failspass.test
  route_list = * servfail.test
  pass_on_timeout
  transport = smtp
  no_more
ignored:
  driver = manualroute
  domains = ignored.test
  route_list = * bad1.test:mx.b.test
  ignore_target_hosts = +bad
  transport = smtp
badname:
  driver = manualroute
  domains = badname.test
  route_list = * a-.test
  transport = smtp
badname2:
  driver = manualroute
  domains = badname2.test
  route_list = * a-.test bydns
  transport = smtp
short:
  driver = manualroute
  domains = short.test
  route_list = * mx.b.test byn sm
unknownoption:
  driver = manualroute
  domains = unknown.test
  route_list = * mx.b.test byname nothing here
  transport = smtp
cname:
  driver = manualroute
  domains = cname.test
  route_list = * www.test
  transport = smtp
signed:
  driver = manualroute
  domains = signed.test
  dnssec_require_domains = mx.b.test
  route_list = * mx.c.test:mx.b.test
  transport = smtp
notransport:
  driver = manualroute
  domains = notransport.test
  route_list = * mx.b.test
last:
  driver = accept
  local_parts = last
  transport = box
"""
MANUAL_BT = """\
x@list.test x@a.list.test x@here.test x@mx.re.test x@q.re.test x@wrongrule.test x@bang.test x@other.test x@lookup.test
x@lookup2.test x@route.test x@route2.test x@many.test x@nodata.test last@nodata.test x@forced.test
x@wrongdata.test x@wronghost.test x@forcedhost.test x@freeze.test x@hdefer.test x@hfail.test x@hpass.test
last@hpass.test x@hdecline.test x@hignore.test x@hai.test x@haif.test last@haip.test last@haid.test
x@haifr.test x@hostmx.test x@hostmx2.test x@hostmx3.test x@ports.test x@semi.test x@local.test
x@nohosts.test x@nohostslocal.test x@self.test x@self2.test x@selfsend.test last@selfpass.test x@fails.test
last@failspass.test x@ignored.test x@badname.test x@badname2.test x@short.test x@unknown.test x@cname.test
x@signed.test x@notransport.test
"""

_ROUTERS = """\
{name}:
  driver = {driver}
  domains = {name}.test
  {option}
  {more}
"""
_IN_THE_WAY = {  # what the system says about a path
    "below": "/folder/aliases/x", "loop": "/folder/loop", "none": "/folder/none", "deep": "/folder/none/x",
    "there": "/folder/aliases", "folder": "/folder/home", "long": "/folder/" + "x" * 300,
}  # fmt: skip
PATHS = "begin routers\n"
PATHS_BT = "constant-chosen any-chosen chosen+any chosen=fix any=chosen chosen=any"
for _name, _path in _IN_THE_WAY.items():
    for _mark, _sign in (("", ""), ("not", "!"), ("may", "+"), ("maynot", "+!")):
        PATHS += _ROUTERS.format(
            name=f"{_name}{_mark}",
            driver="accept",
            option=f"require_files = {_sign}{_path}",
            more="transport = box",
        )
        PATHS_BT += f" x@{_name}{_mark}.test"
    for _mark, _more in (("file", ""), ("filemay", "ignore_enotdir")):
        PATHS += _ROUTERS.format(
            name=f"{_name}{_mark}", driver="redirect", option=f"file = {_path}", more=_more
        )
        PATHS_BT += f" x@{_name}{_mark}.test"
    PATHS += _ROUTERS.format(
        name=f"{_name}if",
        driver="accept",
        option=f"condition = ${{if exists{{{_path}}}}}",
        more="transport = box",
    )
    PATHS_BT += f" x@{_name}if.test"
# a constant affix is the file's own word, the part of a star a stranger's
PATHS += """\
constant:
  driver = accept
  local_parts = chosen
  local_part_prefix = constant-
  address_data = ${lookup{a}lsearch{/folder/$local_part_prefix}}
  transport = box
prefixed:
  driver = accept
  local_parts = chosen
  local_part_prefix = *-
  address_data = ${lookup{a}lsearch{/folder/$local_part_prefix}}
  transport = box
suffixed:
  driver = accept
  local_parts = chosen
  local_part_suffix = +*
  address_data = ${lookup{a}lsearch{/folder/$local_part_suffix}}
  transport = box
fixed:
  driver = accept
  local_parts = chosen
  local_part_suffix = =fix
  address_data = ${lookup{a}lsearch{/folder/$local_part_suffix}}
  transport = box
nothing:
  driver = accept
  local_parts = chosen
  local_part_prefix = *any=
  address_data = ${lookup{a}lsearch{/folder/$local_part_prefix}}
  transport = box
nothing_behind:
  driver = accept
  local_parts = chosen
  local_part_suffix = =any*
  address_data = ${lookup{a}lsearch{/folder/$local_part_suffix}}
  transport = box
"""
FILES["lk"] = "lookup.test: mx.c.test\nlookup2.test: nowhere.test\n"
EXAMPLE_BT = """\
bob bob@mx.here.test eve postmaster team team2 self ping gone later lost pipe file null wrong carol dave
frank x@b.test x@onlya.test x@null.test x@me.test x@nowhere.test x@fail.test x@mea.test include
"""
DEBIAN_BT = """\
bob bob@here.test eve postmaster root team self gone later lost pipe file wrong carol dave frank gina
real-bob real-eve x@b.test x@onlya.test x@null.test x@me.test x@nowhere.test x@fail.test x@hub.test hal
"""


def shipped(text: str) -> str:
    """Exim's example configuration. What only root can do is left out, and files come from the folder."""
    text = text.replace("{", "{{").replace("}", "}}")
    text = text.replace("/etc/aliases", "{folder}/aliases")
    text = text.replace("# primary_hostname =", "primary_hostname = mx.here.test")
    main = "log_file_path = {folder}/spool/%slog\nspool_directory = {folder}/spool\n"
    return "{prelude}" + main + text


def debians(text: str) -> str:
    """Debian's configuration, as a host on the internet."""
    text = text.replace("{", "{{").replace("}", "}}")
    text = re.sub(r"(?m)^(spool_directory|log_file_path|exim_path|local_interfaces)\b.*\n", "", text)
    text = text.replace("/etc/aliases", "{folder}/aliases").replace("/etc/exim4", "{folder}")
    text = text.replace("DCconfig_local", "DCconfig_internet")
    text = re.sub(r"(?m)^(MAIN_LOCAL_DOMAINS)=.*", r"\1=@:here.test", text)
    text = re.sub(r"(?m)^(ETC_MAILNAME)=.*", r"\1=here.test", text)
    main = "log_file_path = {folder}/spool/%slog\nspool_directory = {folder}/spool\n"
    return "{prelude}primary_hostname = mx.here.test\n" + main + text
