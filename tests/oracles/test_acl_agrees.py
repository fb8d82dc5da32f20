"""The real Exim as judge of access control lists: the same ACLs, the same commands, the same replies and log lines.

HOW        `exim -bh` plays a server for one address, as an ordinary user. MAIL FROM:<case@a.test> chooses the ACLs of a
           case, so that one process of Exim answers for all cases; what ends a connection has a process of its own.
OURS       `Talk` plays the phases of a session and asks labkit's ACLs; verifications are answered as the routers below
           would. EXPLAINED lists where we differ on purpose, and both sides of each difference are tested.
"""

from __future__ import annotations

import random
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pytest

from labkit.eximconf.expansion import Env
from labkit.eximconf.here import Here
from labkit.eximconf.lists import ListKind, compile_list
from labkit.eximconf.place import ConfigurationError, Place
from labkit.mail import reply
from labkit.mail.address import Mailbox
from labkit.mail.asking import Question, answer_by
from labkit.mail.lookups import Exists, FileLine, FileText, Unopened
from labkit.mail.questions import (
    Pause,
    RateOf,
    SeenBefore,
    Standing,
    Verification,
    VerifyRecipient,
    VerifySender,
)
from labkit.mail.reply import Reply
from labkit.smtp.acl import (
    Acls,
    AclVerdict,
    Phase,
    Rate,
    Result,
    Scene,
    age_afterwards,
    counted,
    rejected,
)
from labkit.smtp.acl.reading import statements_of

from .real_exim import RealExim

CLIENT = "203.0.113.9"
PLACE = Place("exim.conf", 1)
DOMAINS = "here.test : *.here.test"
NEAR = "198.51.100.0/24 : 203.0.113.9"

CONFIGURATION = """\
exim_path = {folder}/exim
exim_user = {user}
exim_group = {group}
deliver_drop_privilege = true
spool_directory = {folder}/spool
log_file_path = {folder}/spool/%slog
primary_hostname = mx.here.test
local_interfaces = <; [203.0.113.1]
keep_environment =
check_spool_space = 0
check_spool_inodes = 0
tls_advertise_hosts =
chunking_advertise_hosts =
dsn_advertise_hosts =
host_lookup =
rfc1413_query_timeout = 0s
smtp_accept_max_nonmail = 100000
smtp_max_synprot_errors = 100000
smtp_enforce_sync = false
domainlist local_domains = {domains}
hostlist near = {near}
.ifdef _HAVE_PRDR
prdr_enable = false
.endif
.ifdef _HAVE_I18N
smtputf8_advertise_hosts =
.endif
.ifdef _HAVE_PIPE_CONNECT
pipelining_connect_advertise_hosts =
.endif
acl_smtp_mail = ${{lookup{{mail_$sender_address_local_part}}lsearch{{{folder}/acls}}{{$value}}{{usual_mail}}}}
acl_smtp_rcpt = ${{lookup{{rcpt_$acl_c_case}}lsearch{{{folder}/acls}}{{$value}}{{usual}}}}
acl_smtp_predata = ${{lookup{{predata_$acl_c_case}}lsearch{{{folder}/acls}}{{$value}}{{usual}}}}
acl_smtp_data = ${{lookup{{data_$acl_c_case}}lsearch{{{folder}/acls}}{{$value}}{{usual}}}}
acl_smtp_vrfy = ${{lookup{{vrfy_$local_part}}lsearch{{{folder}/acls}}{{$value}}{{usual}}}}
acl_smtp_expn = ${{lookup{{expn_${{extract{{2}}{{ }}{{$smtp_command}}}}}}lsearch{{{folder}/acls}}{{$value}}{{usual}}}}
acl_smtp_etrn = ${{lookup{{etrn_$smtp_command_argument}}lsearch{{{folder}/acls}}{{$value}}{{usual}}}}
acl_smtp_helo = ${{lookup{{helo_$sender_helo_name}}lsearch{{{folder}/acls}}{{$value}}{{usual}}}}
{options}
begin acl
usual:
  accept
usual_mail:
  accept set acl_c_case = $sender_address_local_part
{acls}
begin routers
later:
  driver = redirect
  domains = later.test
  data = ${{lookup{{x}}lsearch{{/missing}}}}
said:
  driver = redirect
  local_parts = said
  allow_fail
  allow_defer
  data = :fail: 550 5.1.6 moved away
said_later:
  driver = redirect
  local_parts = saidlater
  allow_fail
  allow_defer
  data = :defer: come again
good:
  driver = accept
  domains = !nx.test
  local_parts = !gone
  address_data = data of $local_part
  transport = box
begin transports
box:
  driver = appendfile
  file = /dev/null
"""


MISSING = "failed to open /missing for linear search: No such file or directory"
WHY = f'failed to expand "${{lookup{{x}}lsearch{{/missing}}}}": {MISSING}'


def their_verification(address: Mailbox) -> Verification:
    """What the routers above say."""
    if address.domain == "later.test":
        return Verification(Standing.UNDECIDED, reason=WHY, failure="route")
    if address.local_part == "said":
        return Verification(Standing.BAD, "550 5.1.6 moved away", "550 5.1.6 moved away", "route")
    if address.local_part == "saidlater":
        return Verification(Standing.UNDECIDED, "come again", "come again", "route")
    if address.domain == "nx.test" or address.local_part == "gone":
        return Verification(Standing.BAD, "Unrouteable address", "Unrouteable address", "route")
    return Verification(Standing.GOOD, address_data=f"data of {address.local_part.lower()}")


# --- the cases --------------------------------------------------------------------------------

# ACLs for RCPT: name -> the text, and the recipients if bob@here.test is not enough.
RCPT: dict[str, tuple[str, ...]] = {
    # verbs
    "a1": ("deny",),
    "a1b": ("warn",),
    "accept1": ("accept",),
    "accept2": ("accept domains = other.test",),
    "accept3": ("accept message = welcome",),
    "accept4": ("accept message = hello\n domains = other.test",),
    "accept5": ("accept message = hello\n domains = other.test\ndeny",),
    "accept6": (
        "accept message = one\n domains = +local_domains\n endpass\n message = two\n local_parts = eve\naccept",
    ),
    "accept7": ("accept domains = +local_domains\n endpass\n local_parts = eve\naccept",),
    "accept8": ("accept domains = other.test\n endpass\n local_parts = eve\naccept message = other",),
    "accept9": ("accept message = said\n endpass\n domains = here.test",),
    "accept10": ("accept message = 251 2.1.5 will forward",),
    "accept11": ("accept message = 550 no such class",),
    "accept12": ("accept log_message = logged only\n domains = other.test",),
    "defer1": ("defer",),
    "defer2": ("defer message = later please",),
    "defer3": ("defer message = 450 4.2.0 Greylisted",),
    "defer4": ("defer domains = other.test\naccept",),
    "deny1": ("deny domains = other.test\naccept",),
    "deny2": ("deny message = 550 5.7.1 no",),
    "deny3": ("deny domains = +local_domains\n message = at the end",),
    "require1": ("require message = relay not permitted\n domains = other.test\naccept",),
    "require2": ("require domains = other.test\n message = relay not permitted\naccept",),
    "require3": (
        "require message = one\n domains = here.test\n message = two\n local_parts = eve\n message = three",
    ),
    "require4": ("require domains = here.test\naccept message = passed",),
    "discard1": ("discard",),
    "discard2": ("discard message = thrown away\n log_message = why",),
    "discard3": ("discard domains = other.test\naccept",),
    "discard4": ("discard domains = here.test\n endpass\n local_parts = eve\naccept",),
    "warn1": ("warn log_message = careful $local_part\naccept",),
    "warn2": ("warn log_message = twice\nwarn log_message = twice\naccept",),
    "warn3": ("warn domains = other.test\n log_message = never\naccept",),
    "warn4": ("warn verify = recipient\n message = X-Y: z\naccept", "gone@here.test"),
    "warn5": (
        "warn !verify = recipient\n log_message = failed: $acl_verify_message\naccept",
        "gone@here.test",
    ),
    "warn6": ("warn verify = recipient\n log_message = not reached\naccept", "bob@later.test"),
    "warn7": ("warn !verify = sender\n log_message = sender verify failed\naccept",),
    # messages
    "a3": ("deny message = one\n message = two",),
    "a7a": ("deny message = 451 4.7.1 later",),
    "a7b": ("defer message = 550 no",),
    "a7c": ("deny message = 250 ok",),
    "a8": ('deny message = "quoted \\"x\\""',),
    "a9": ("deny message = one\\ntwo",),
    "a9b": ("deny message = one\\n\\n  two\\nthree\\n",),
    "a9c": ("deny message = 554 5.7.1 one\\ntwo",),
    "a9d": (
        "deny message = rejected because $sender_host_address is in a black list at bl.test: see "
        "https://bl.test/lookup/of/the/address for the details of this listing, and ask your provider",
    ),
    "a9e": ("deny message = " + "x" * 80 + " y " + "z" * 90 + " end",),
    "a9f": ("deny message = 550 5.7.1 short line\\n" + "word " * 30 + "end",),
    "a10a": ("deny message =",),
    "a10b": ("deny message = ${if eq{a}{b}{x}fail}",),
    "a10c": ("deny message = ${nosuch}",),
    "a10d": ("deny log_message = only for the log",),
    "a10e": ("deny message = for the client\n log_message = for the log",),
    "a10f": ("deny log_message = ${if eq{a}{b}{x}fail}\n message = m",),
    "a10g": ("deny message = 550 5.7.1 a\\tb \\\\ \\x41 \\N$5\\N",),
    "a10h": ("deny message = verified: $acl_verify_message\n !verify = recipient", "gone@here.test"),
    "a10i": ("deny log_message = logged: $acl_verify_message\n !verify = recipient", "gone@here.test"),
    # condition
    "a11a": ("deny condition = \naccept",),
    "a11b": ("deny condition = 0\naccept",),
    "a11c": ("deny condition = 00\naccept",),
    "a11d": ("deny condition = no\naccept",),
    "a11e": ("deny condition = False\naccept",),
    "a11f": ("deny condition =   no   \naccept",),
    "a11g": ("deny condition = ${if eq{a}{a}{ no }}\naccept",),
    "a12a": ("deny condition = 1\naccept",),
    "a12b": ("deny condition = -1\naccept",),
    "a12c": ("deny condition = YES\naccept",),
    "a12d": ("deny condition = true\naccept",),
    "a12e": ("deny condition = 4294967296\naccept",),
    "a12f": ("deny condition = 99999999999999999999\naccept",),
    "a12g": ("deny condition = -\naccept",),
    "a13a": ("deny condition = y\naccept",),
    "a13b": ("deny condition = 0.5\naccept",),
    "a13c": ("deny condition = 1x\naccept",),
    "a13d": ("deny condition = ${nosuch}\naccept",),
    "a13e": ("deny condition = ${lookup{x}lsearch{/folder/missing}}\naccept",),
    "a13f": ("warn condition = maybe\naccept",),
    "a13g": ("warn condition = ${nosuch}\naccept",),
    "a13h": ("deny !condition = maybe\naccept",),
    "a14a": ("deny condition = ${if eq{a}{b}{1}fail}\n message = forced",),
    "a14b": ("deny !condition = ${if eq{a}{b}{1}fail}\n message = forced",),
    "a14c": ("deny !condition = 0\n message = turned",),
    "a15a": ("deny domains = ${if eq{a}{b}{1}fail}\naccept",),
    "a15b": ("deny !domains = ${if eq{a}{b}{1}fail}\naccept",),
    "a15c": ("deny domains = ${nosuch}\naccept",),
    # set and variables
    "a16": ("deny set acl_m_x = ${if eq{a}{b}{1}fail}\n message = [$acl_m_x]",),
    "a16b": ("deny set acl_m_x = ${nosuch}",),
    "a17": (
        "accept set acl_m_x = set\n set acl_m_n = ${eval:$acl_m_n+1}\n set acl_c_n = ${eval:$acl_c_n+1}\n"
        " domains = other.test\n"
        "deny message = $acl_m_x $acl_m_n",
        "bob@here.test",
        "bob@here.test",
    ),
    "set0": ("deny set acl_c0=zero\n set acl_m9 = nine\n message = $acl_c0 $acl_m9 $acl_c_none.",),
    "vars1": (
        "deny message = $local_part $domain $domain_data $local_part_data\n domains = +local_domains\n"
        " local_parts = bob",
    ),
    "vars2": ("deny message = [$domain_data]\n domains = *.here.test : here.test\n !domains = other.test",),
    "vars3": (
        "deny message = $local_part_data $recipient_data\n local_parts = ^b : x\n recipients = *@here.test",
    ),
    "vars4": ("deny message = $address_data.$sender_address_data\n verify = recipient\n verify = sender",),
    "vars5": ("deny message = [$host_data] $sender_data\n hosts = 203.0.113.0/24\n senders = *@a.test",),
    "vars6": ("deny message = $recipient_verify_failure\n !verify = recipient", "gone@here.test"),
    "vars7": (
        "deny message = $smtp_command_argument|$sender_address_domain|$sender_helo_name|$sender_host_address",
    ),
    "case1": ("deny message = $local_part", "BoB@HERE.test"),
    "case2": ("deny control = caseful_local_part\n message = $local_part", "BoB@HERE.test"),
    "case3": (
        "warn control = caseful_local_part\ndeny control = caselower_local_part\n message = $local_part",
        "BoB@HERE.test",
    ),
    "case4": ("accept local_parts = bob", "BoB@HERE.test"),
    "case5": ("accept local_parts = +caseful : bob", "BoB@HERE.test"),
    # lists
    "list1": ("accept hosts = +near",),
    "list2": ("accept hosts = !+near : *",),
    "list3": ("deny !hosts = +near\naccept",),
    "list4": ("accept hosts = :",),
    "list5": ("accept hosts =",),
    "list7": ("accept sender_domains = a.test",),
    "list8": ("accept sender_domains = b.test",),
    "list9": ("accept recipients = bob@here.test : eve@here.test",),
    "list10": ("accept ! recipients = bob@here.test",),
    "list11": ("accept authenticated = *",),
    "list12": ("deny !authenticated = *\n message = who are you",),
    "list13": ("deny !encrypted = *\n message = 530 5.7.0 Must issue a STARTTLS command first",),
    "list14": ("accept hosts = +nosuch",),
    "list15": ("accept domains = +nosuch",),
    "list16": ("accept domains = @ : @[]",),
    "list17": ("accept senders = ${if exists{/folder/missing}{/folder/missing}{}}\ndeny message = no file",),
    # sub-ACLs
    "a20a": ("accept acl = sub_deny\ndeny message = after",),
    "a20b": ("require acl = sub_deny\naccept",),
    "a20c": ("accept acl = sub_accept",),
    "a20d": ("deny acl = sub_accept\n message = it accepts",),
    "a20e": ("deny !acl = sub_deny\naccept",),
    "a20f": ("deny acl = sub_defer\naccept",),
    "a20g": ("warn acl = sub_defer\n log_message = not reached\naccept",),
    "a20h": ("accept acl = sub_discard",),
    "a20i": ("deny acl = sub_discard",),
    "a20j": ("accept acl = sub_args one two\ndeny message = [$acl_arg1$acl_narg]",),
    "a20k": ('deny acl = sub_args "a b" $local_part ${lc:C}\naccept',),
    "a20l": ("deny acl = sub_loop",),
    "a20m": ("deny acl = nosuch",),
    "a20n": ("deny acl = accept\n message = inline",),
    "a20o": ('deny acl = "deny message = x\\n local_parts = eve\\naccept"\n message = inline lines',),
    "a20p": ("deny acl = ${if eq{a}{b}{x}fail}\n message = forced",),
    "a20q": ("deny acl = ${nosuch}",),
    "a20r": ("deny acl = /folder/aclfile\n message = from a file\naccept",),
    "a20s": ("deny acl = /folder/missing",),
    "a20t": ("accept acl = sub_empty\ndeny message = it was empty",),
    "a20u": ("accept acl = sub_drop\naccept message = no drop here",),
    "a20v": ("deny message = outer\n !acl = sub_deny",),
    "a20w": ("deny condition = ${if acl{{sub_args}{x}{y}}}\n message = [$value]",),
    "a20x": ("deny message = <${acl{sub_deny}}>",),
    "a20y": ("deny condition = ${if acl{{sub_defer}}}\naccept",),
    "a20z": ("require acl = $acl_c_case\naccept",),
    # run-time mistakes
    "a21": ("accept acl = deny_if_only",),
    "a22a": ("deny control = nosuch",),
    "a22b": ("deny delay = zz",),
    "a22c": ("deny control = freeze/now",),
    "a22d": ("deny control = submission/x",),
    "a22e": ("deny control = queue/x\n message = passed over",),
    "a22f": (
        "deny control = queue_only/first_pass_route\n control = fakereject/x y\n"
        " control = freeze/no_tell\n message = ok",
    ),
    "a22g": ("deny control = allow_auth_unadvertised",),
    "a22h": ("deny control = submission/sender_retain/domain=x.test/name=A/B\n message = ok",),
    "a22i": ("deny control = caseful_local_partx",),
    "a22j": (
        "deny control = suppress_local_fixups\n control = enforce_sync\n control = no_enforce_sync\n message = ok",
    ),
    "a22k": ("deny delay = 0s\n message = no time",),
    "a22l": ("deny verify = nosuch",),
    "a22m": ("deny verify = sender/nosuch",),
    "a22n": ("deny verify = helo/x",),
    "a22o": ("deny verify = header_syntax",),
    "a22p": ("deny verify = recipient/callout=zz",),
    "a22q": ("deny verify = sender/callout=use_sender",),
    "a22r": ("deny verify = senderx",),
    "a22s": ("deny verify = recipient/callout=use_sender,use_postmaster",),
    "a22t": ("deny log_reject_target = nosuch\n message = x",),
    "a22u": ("deny log_reject_target =\n message = unlogged",),
    "a22v": ("deny control = ${if eq{a}{a}{no}}such",),
    # verify
    "a23a": ("require verify = recipient\naccept", "bob@later.test", "gone@here.test", "bob@here.test"),
    "a23b": ("require verify = recipient/defer_ok\naccept message = deferred", "bob@later.test"),
    "a23c": ("deny !verify = sender\naccept",),
    "a23d": ("accept verify = recipient", "gone@here.test"),
    "a23e": ("deny message = no such user\n !verify = recipient", "gone@here.test"),
    "a23f": ("defer !verify = recipient", "gone@here.test"),
    "a23g": ("require verify = recipient", "said@here.test"),
    "a23h": ("require verify = recipient", "saidlater@here.test"),
    "a23i": ("require message = in other words\n verify = recipient", "saidlater@here.test"),
    "a24ok": ("require verify = sender\naccept",),
    "a24ok2": ("require verify = sender=bob@here.test\naccept",),
    "a24other": ("require verify = sender=x@nx.test\naccept",),
    "a24details": ("require verify = sender=x@nx.test/no_details\naccept",),
    "a24message": ("deny message = 551 5.1.8 not from you\n !verify = sender=x@nx.test",),
    "a24twice": ("require verify = sender=x@nx.test\naccept", "bob@here.test", "eve@here.test"),
    "a24later": ("require verify = sender=x@later.test\naccept",),
    "a24laterok": ("require verify = sender=x@later.test/defer_ok\naccept",),
    "a24said": ("require verify = sender=said@here.test\naccept",),
    # words about lines
    "a28a": ("deny ! domains = other.test\n message = one",),
    "a28b": ("deny\n  domains = here.test\n\n  # a comment\n  message = two \\\n    lines",),
    # headers, logs, others
    "head1": (
        "accept add_header = X-A: b\n add_header = :at_start:X-B: c\\nX-C: d\n message = $headers_added",
    ),
    "head2": (
        "accept add_header = X-A: b\n add_header = X-A: b\n add_header = no name here\n message = $headers_added",
    ),
    "head3": ("accept remove_header = x-a : x-b\n message = ok",),
    "log1": ("accept logwrite = into the log $local_part",),
    "log2": ("accept logwrite = :main,reject: both",),
    "log3": ("accept logwrite = :nosuch: odd",),
    "log4": ("accept logwrite = two\\nlines",),
    "cont1": ("accept continue = ${if eq{a}{b}{x}fail}\n continue = $local_part\n message = ok",),
    "rate1": (
        "deny ratelimit = 0 / 1h / strict / per_cmd / r1\n"
        " message = $sender_rate $sender_rate_limit $sender_rate_period",
    ),
    "rate2": ("deny ratelimit = 5 / 1h / r2\naccept message = $sender_rate",),
    "rate3": ("deny ratelimit = x / 1h",),
    "rate4": ("deny ratelimit = 1 / 0s",),
    "rate5": ("deny ratelimit = 1 / 1h / strict / leaky",),
    "rate6": ("deny ratelimit = 1 / 1h / per_mail / per_cmd",),
    "rate7": (
        "deny ratelimit = 2k / 1h / per_conn / readonly / r7 / r8\naccept message = $sender_rate $sender_rate_limit",
    ),
    "rate8": ("deny ratelimit = 1 / 1h / count=2.5 / strict / r8\n message = $sender_rate",),
    "rate9": ("deny ratelimit = 1 / 1h / count=x / r9",),
    "rate10": ("deny ratelimit = 3",),
    "rate11": ("deny ratelimit =",),
    "rate12": ("deny !ratelimit = 2 / 1h / r12\n message = under",),
    "seen1": ("deny !seen = 5m / key=s1 / readonly\n message = never seen",),
    "seen2": ("deny seen = x",),
    "seen3": ("deny seen = 5m / nosuch",),
    "seen4": ("deny seen = -5m / refresh=x",),
    "seen5": ("deny seen = -5m / key=s5\naccept message = not old enough",),
    "phase1": ("deny verify = not_blind",),
    "phase2": ("deny verify = header_names_ascii",),
    "phase3": ("deny control = dkim_disable_verify\n message = ok",),
}
SUB_ACLS = {
    "sub_deny": "deny message = inner words\n log_message = inner log",
    "sub_accept": "accept message = inner welcome",
    "sub_defer": "defer message = inner later",
    "sub_discard": "discard",
    "sub_drop": "drop message = inner drop",
    "sub_args": "accept condition = ${if eq{$acl_arg1}{a b}}\n message = never said\n"
    "deny message = $acl_narg $acl_arg1 $acl_arg2 $acl_arg3.",
    "sub_loop": "deny acl = sub_loop",
    "sub_empty": "",
}
# A sender that is not a case: its RCPT ACL is the last of the name.
SENDERS = {"a23c": "a23c@later.test", "warn7": "warn7@nx.test"}
FILES = {"aclfile": "# a comment\ndeny local_parts = eve\n\naccept \\\n  domains = here.test\n"}


@dataclass(frozen=True)
class Case:
    """ACLs by phase, and what the client says after MAIL (or instead of it)."""

    acls: Mapping[str, str]
    commands: tuple[str, ...]


TO_BOB = "RCPT TO:<bob@here.test>"
PHASES: dict[str, Case] = {
    "m1": Case({"mail": "deny message = not you"}, ()),
    "m2": Case({"mail": "accept message = hello $sender_address"}, ()),
    "m3": Case({"mail": "discard message = swallowed"}, ()),
    "m4": Case({"mail": "deny domains = here.test"}, ()),
    "m5": Case({"mail": "deny recipients = here.test"}, ()),
    "m6": Case({"mail": "deny verify = recipient"}, ()),
    "m7": Case({"mail": "require verify = sender=x@nx.test\naccept"}, ()),
    "m8": Case({"mail": "deny control = caseful_local_part"}, ()),
    "m9": Case({"mail": "defer"}, ()),
    "m10": Case({"mail": "deny ratelimit = 5 / 1h / per_rcpt / strict"}, ()),
    "m11": Case({"mail": "deny ratelimit = 5 / 1h / per_rcpt\naccept message = $sender_rate"}, ()),
    "p1": Case({"predata": "deny message = no data"}, (TO_BOB, "DATA")),
    "p2": Case({"predata": "accept message = 354 go on"}, (TO_BOB, "DATA", "x: y\r\n.")),
    "p3": Case({"predata": "discard"}, (TO_BOB, "DATA")),
    "p4": Case({"predata": "deny local_parts = bob"}, (TO_BOB, "DATA")),
    "d1": Case(
        {"data": "deny message = bad content: $h_subject:"}, (TO_BOB, "DATA", "Subject: spam\r\n\r\nx\r\n.")
    ),
    "d2": Case({"data": "defer"}, (TO_BOB, "DATA", "Subject: x\r\n\r\nx\r\n.")),
    "d3": Case({"data": "accept message = taken"}, (TO_BOB, "DATA", "Subject: x\r\n\r\nx\r\n.")),
    "d4": Case({"data": "deny domains = here.test"}, (TO_BOB, "DATA", "Subject: x\r\n\r\nx\r\n.")),
    "d5": Case({"data": "deny control = submission"}, (TO_BOB, "DATA", "Subject: x\r\n\r\nx\r\n.")),
    "d6": Case({"data": "deny control = dkim_disable_verify"}, (TO_BOB, "DATA", "Subject: x\r\n\r\nx\r\n.")),
    "d7": Case({"data": "accept control = fakereject"}, (TO_BOB, "DATA", "Subject: x\r\n\r\nx\r\n.")),
    "d8": Case(
        {"data": "accept control = fakedefer/in a while"}, (TO_BOB, "DATA", "Subject: x\r\n\r\nx\r\n.")
    ),
    "d9": Case(
        {"data": "require verify = header_sender\naccept"}, (TO_BOB, "DATA", "Subject: x\r\n\r\nx\r\n.")
    ),
    "d10": Case(
        {"data": "require verify = header_sender\naccept"},
        (TO_BOB, "DATA", "From: A <a@b.test>\r\n\r\nx\r\n."),
    ),
    "d11": Case(
        {"data": "require verify = header_sender\naccept"},
        (TO_BOB, "DATA", "From: A <a@nx.test>\r\n\r\nx\r\n."),
    ),
    "d12": Case(
        {"data": "require verify = header_sender\naccept"},
        (TO_BOB, "DATA", "From: a@later.test\r\n\r\nx\r\n."),
    ),
    "d13": Case(
        {"data": "require verify = header_sender\naccept"}, (TO_BOB, "DATA", "From: a b@c\r\n\r\nx\r\n.")
    ),
    "d14": Case(
        {"data": "require verify = not_blind\naccept"}, (TO_BOB, "DATA", "To: eve@here.test\r\n\r\nx\r\n.")
    ),
    "d15": Case(
        {"data": "require verify = not_blind\naccept message = seen"},
        (TO_BOB, "DATA", "To: x:eve@here.test,Bob <bob@HERE.test>;\r\n\r\nx\r\n."),
    ),
    "d16": Case(
        {"data": "require verify = not_blind\naccept message = seen"},
        (TO_BOB, "DATA", "Cc: BOB@here.test\r\n\r\nx\r\n."),
    ),
    "d17": Case(
        {"data": "require verify = not_blind/case_insensitive\naccept message = seen"},
        (TO_BOB, "DATA", "Cc: BOB@here.test\r\n\r\nx\r\n."),
    ),
    "d18": Case(
        {"data": "require verify = header_names_ascii\naccept"}, (TO_BOB, "DATA", "X-\xe9: y\r\n\r\nx\r\n.")
    ),
    "d19": Case(
        {"data": "deny add_header = X: y\n remove_header = z\n message = ok"}, (TO_BOB, "DATA", "a: b\r\n.")
    ),
    "d20": Case(
        {
            "data": "deny !verify = header_syntax\n message = header syntax\n"
            " log_message = header syntax ($acl_verify_message)\naccept"
        },
        (TO_BOB, "DATA", "To: @\r\n\r\nx\r\n."),
    ),
    "d21": Case(
        {"data": "accept control = no_multiline_responses\n control = freeze"}, (TO_BOB, "DATA", "a: b\r\n.")
    ),
    "v1": Case({"vrfy": "deny"}, ("VRFY v1@here.test",)),
    "v2": Case({"vrfy": "deny message = 550 5.7.1 not here"}, ("VRFY v2@here.test",)),
    "v3": Case(
        {"vrfy": "deny message = who knows\n domains = +local_domains\n local_parts = v3"},
        ("VRFY v3@here.test",),
    ),
    "v4": Case({"vrfy": "defer"}, ("VRFY v4@here.test",)),
    "v5": Case({"vrfy": "deny senders = a@b"}, ("VRFY v5@here.test",)),
    "e1": Case({"expn": "deny"}, ("EXPN e1",)),
    "e2": Case({"expn": "deny message = no lists"}, ("EXPN e2",)),
    "t1": Case({"etrn": "deny"}, ("ETRN t1",)),
    "t2": Case({"etrn": "deny message = 458 4.0.0 no"}, ("ETRN t2",)),
    "t3": Case({"etrn": "deny message = 550 no"}, ("ETRN t3",)),
    "h1": Case({"helo": "deny message = who"}, ("HELO h1",)),
    "h2": Case({"helo": "deny encrypted = *"}, ("HELO h2",)),
    "h3": Case({"helo": "deny authenticated = *"}, ("HELO h3",)),
    "h4": Case({"helo": "accept message = one line\\ntwo"}, ("HELO h4",)),
    "h5": Case(
        {"helo": "deny message = $sender_helo_name $sender_host_address\n hosts = +near"}, ("HELO h5",)
    ),
    "h6": Case({"helo": "deny control = submission"}, ("HELO h6",)),
    "h7": Case({"helo": "deny add_header = X: y"}, ("HELO h7",)),
    "h8": Case({"helo": "deny ratelimit = 5 / 1h / per_mail / strict"}, ("HELO h8",)),
    "h9": Case({"helo": "discard"}, ("HELO h9",)),
    "h10": Case({"helo": "warn message = X: y\naccept"}, ("HELO h10",)),
}
SYNTAX = [
    "a@b.test", "A B <a@b.test>", "a", "A <a>", "<a@b.test", "a@b@c", "a b@c", "@", "a@", '"a b"@c.test',
    '"a@b.test', "a@b.test, c@d.test", "a@b.test,, c@d.test", "x: a@b.test, c@d.test;", "x:;", "x: a;",
    "a@[1.2.3.4]", "a@[x", "a@[x y]", "A <a@[1.2.3.4]>", "A <a@[x>", "(c) a@b.test (d)",
    "<@x.test:a@b.test>", "@x.test:a@b.test", "<@x.test>", "a..b@c.test", ".a@c.test", "a.@c.test",
    "a@b_c.test", "a@-b.test", "a@b..test", "a@b.test>", "A <a@b.test> B", "A. B. C <a@b.test>",
    "a@b.test;", "<>", "", "A <>", "a\\@b@c.test", "a@b .test", "A, B <a@b.test>", "<<a@b.test>>",
    "a@b.test c@d.test", '"A, B" <a@b.test>', "a:b@c.test", "undisclosed-recipients:;",
    "=?utf-8?q?=C3=A9?= <a@b.test>", "é <a@b.test>", "a@b.test (x", "(x", "a!b@c.test", "a;b@c.test",
    "A <a@b.test>, c",
]  # fmt: skip


# --- Exim -------------------------------------------------------------------------------------


@dataclass
class Exim:
    real: RealExim
    complaint: str = ""  # what it wrote to stderr last

    def talk(self, acls: Mapping[str, str], stdin: str, options: str = "") -> tuple[list[str], list[str]]:
        """The replies and the log lines of one session."""
        text = "".join(f"{name}:\n{self.real.here(body)}\n" for name, body in acls.items())
        self.real.write("acls", "".join(f'"{name}": {name}\n' for name in acls))
        file = self.real.folder / "exim.conf"
        file.write_text(
            CONFIGURATION.format(**self.real.names, domains=DOMAINS, near=NEAR, acls=text, options=options),
            encoding="latin-1",
        )
        done = self.real.run("-C", file, "-bh", CLIENT, stdin=stdin)
        self.complaint = done.stderr
        said = [line for line in done.stdout.splitlines() if line and not line.startswith("****")]
        logged = [line.removeprefix("LOG: ") for line in done.stderr.splitlines() if line.startswith("LOG: ")]
        return said, [self.real.plain(line) for line in logged]


@pytest.fixture(scope="module")
def exim(real_exim: RealExim) -> Exim:
    for name, text in FILES.items():
        real_exim.write(name, text)
    return Exim(real_exim)


# --- our side ---------------------------------------------------------------------------------


class Talk:
    """A session that asks our ACLs, and says by itself only what the phases need around them."""

    def __init__(self, acls: Mapping[str, str]) -> None:
        lists = {
            (ListKind.DOMAIN, "local_domains"): compile_list(ListKind.DOMAIN, DOMAINS, PLACE, {}),
            (ListKind.HOST, "near"): compile_list(ListKind.HOST, NEAR, PLACE, {}),
        }
        written = {name: statements_of(text, PLACE) for name, text in acls.items()}
        written["usual"] = statements_of("accept", PLACE)
        written["usual_mail"] = statements_of("accept set acl_c_case = $sender_address_local_part", PLACE)
        self.acls = Acls(written, lists)
        variables = {"sender_host_address": CLIENT, "primary_hostname": "mx.here.test"}
        self.env = Env(variables=variables, here=Here("mx.here.test", ("203.0.113.1",)), named=lists)
        self.scene = Scene(Phase.HELO, self.env)
        self.env.acl = self.acls.hook(self.scene)
        self.names = set(acls)
        self.case = ""
        self.rates: dict[str, Rate] = {}
        self.seen: dict[str, float] = {}
        self.recipients: list[Mailbox] = []
        self.logged: list[str] = []
        self.ended = False

    def answer(self, question: Question[Any]) -> Any:
        if isinstance(question, VerifyRecipient):
            return their_verification(question.recipient)
        if isinstance(question, VerifySender):
            return their_verification(question.sender)
        if isinstance(question, FileText):
            name = question.path.removeprefix("/folder/")
            return FILES.get(name, Unopened("No such file or directory"))
        if isinstance(question, FileLine):
            return Unopened("No such file or directory")
        if isinstance(question, Exists):
            return question.path.removeprefix("/folder/") in FILES
        if isinstance(question, RateOf):
            rate, record = counted(question, self.rates.get(question.key), 0.0)
            if record is not None:
                self.rates[question.key] = record
            return rate
        if isinstance(question, SeenBefore):
            age = None if question.key not in self.seen else 0.0
            if age_afterwards(question, age) is not None:
                self.seen[question.key] = 0.0
            return age
        assert isinstance(question, Pause), question
        return None

    def run(self, phase: Phase, argument: str = "", recipient: Mailbox | None = None) -> AclVerdict:
        scene = self.scene
        scene.phase, scene.recipient = phase, recipient
        which = f"{phase.value}_{self.case}"
        if which not in self.names:
            which = "usual_mail" if phase is Phase.MAIL else "usual"
        verdict = answer_by(self.answer, self.acls.run(which, scene))
        self.ended = verdict.closes
        if scene.reject_logs and not verdict.is_accepted and phase is not Phase.QUIT:
            line = rejected(verdict, scene, argument)
            self.note(scene, line)
        else:
            self.note(scene)
        return verdict

    def note(self, scene: Scene, *more: str) -> None:
        self.logged += [line.text for line in scene.logged]
        self.logged += more
        scene.logged.clear()

    def say(self, command: str) -> list[str]:
        """The lines of the reply."""
        answer = self.reply_to(command)
        return bytes(answer).decode("latin-1").splitlines()

    def reply_to(self, command: str) -> Reply:
        verb, _, rest = command.partition(" ")
        variables = self.env.variables
        argument = rest.partition(":")[2] or rest
        variables["smtp_command"], variables["smtp_command_argument"] = command, argument
        if verb == "RSET":
            self.begin()
            return reply.RESET_OK
        if verb == "HELO":
            self.begin()
            variables["sender_helo_name"], self.case = rest, rest
            verdict = self.run(Phase.HELO, rest)
            self.case = ""
            if not verdict.is_accepted:
                variables["sender_helo_name"] = ""
            hello = Reply(250, (f"mx.here.test Hello {rest} [{CLIENT}]",))
            if verdict.reply is not None and verdict.is_accepted:
                hello = Reply(verdict.reply.code, verdict.reply.lines[:1])
            return verdict.refusal or hello
        if verb == "MAIL":
            address = re.sub(r".*<(.*)>.*", r"\1", rest)
            self.begin()
            variables["sender_address"] = address
            variables["sender_address_local_part"], _, variables["sender_address_domain"] = address.partition(
                "@"
            )
            self.case = address.partition("@")[0]
            verdict = self.run(Phase.MAIL, argument)
            return verdict.reply or reply.OK
        if verb == "RCPT":
            mailbox = Mailbox.parse(re.sub(r".*<(.*)>.*", r"\1", rest))
            verdict = self.run(Phase.RCPT, argument, mailbox)
            if verdict.result is Result.DISCARD:
                why = f": {verdict.log_text}" if verdict.log_text else ""
                sender = variables["sender_address"]
                line = f"H=(x) [{CLIENT}] F=<{sender}> RCPT {argument}: discarded by RCPT ACL{why}"
                self.logged.append(line)
            elif verdict.is_accepted:
                self.recipients.append(mailbox)
            return verdict.reply or reply.ACCEPTED
        if verb == "DATA":
            self.scene.recipients = tuple(self.recipients)
            verdict = self.run(Phase.PREDATA)
            return verdict.reply or reply.ENTER_MESSAGE
        if verb in ("VRFY", "EXPN", "ETRN"):
            self.case = rest.partition("@")[0].lstrip("#")
            phase = Phase[verb]
            verdict = self.run(phase, rest, Mailbox.parse(rest) if verb == "VRFY" else None)
            self.case = ""
            assert verdict.reply is not None
            return verdict.reply
        return self.content(command)

    def content(self, text: str) -> Reply:
        headers, _, _ = text.partition("\r\n\r\n")
        fields = [line.partition(":") for line in headers.split("\r\n") if line != "."]
        self.env.headers = [(name, f"{value}\n") for name, _, value in fields]
        verdict = self.run(Phase.DATA)
        fake, case = self.scene.effects.fake, verdict.reply
        self.begin()
        if verdict.is_accepted and fake is not None:
            return fake.reply
        return case or Reply(250, ("OK id=...",))

    def begin(self) -> None:
        self.scene.begin_message()
        self.recipients.clear()
        self.env.headers = ()


def sessions() -> tuple[dict[str, str], list[str], dict[str, list[int]]]:
    """The ACLs of all cases, all commands, and which of the commands belong to a case."""
    acls = dict(SUB_ACLS)
    commands = ["HELO x"]
    of: dict[str, list[int]] = {}
    for name, (text, *recipients) in RCPT.items():
        acls[f"rcpt_{name}"] = text
        sender = SENDERS.get(name, f"{name}@a.test")
        begin = len(commands)
        commands += ["RSET", f"MAIL FROM:<{sender}>"]
        commands += [f"RCPT TO:<{each}>" for each in recipients or ["bob@here.test"]]
        of[name] = list(range(begin, len(commands)))
    for name, case in PHASES.items():
        acls |= {f"{phase}_{name}": text for phase, text in case.acls.items()}
        begin = len(commands)
        commands += ["RSET"]
        if name[0] in "mpd":
            commands += [f"MAIL FROM:<{name}@a.test>"]
        commands += case.commands
        if name[0] == "h":
            commands += ["HELO x"]
        of[name] = list(range(begin, len(commands)))
    return acls, commands, of


# --- the judgement ----------------------------------------------------------------------------


def replies_of(lines: list[str]) -> list[list[str]]:
    """Cut what was said into replies."""
    found: list[list[str]] = [[]]
    for line in lines:
        found[-1].append(re.sub(r"OK id=\S+", "OK id=...", line))
        if line[3:4] == " ":
            found.append([])
    return found[:-1] if not found[-1] else found


def lines_of(logged: list[str]) -> list[str]:
    """Without message ids, and without what is not about ACLs."""
    bare = [re.sub(r"^\w{6}-\w{6}-\w\w ", "", line) for line in logged]
    return [line for line in bare if not re.match(r"[<(]= |frozen by|ETRN \S+ received", line)]


# Into the log line of a refusal Exim writes the last error of a look-up, whoever made it; we write the reason.
EXPLAINED_LINES = {
    f"<{who}>{what}: {ours}": MISSING
    for who, what, ours in (
        ("a23a@a.test", " temporarily rejected RCPT <bob@later.test>", WHY),
        ("a23c@later.test", " temporarily rejected RCPT <bob@here.test>", "Could not complete sender verify"),
        ("a24later@a.test", " temporarily rejected RCPT <bob@here.test>", "Could not complete sender verify"),
        (
            "d12@a.test",
            " temporarily rejected after DATA",
            "all attempts to verify a sender in a header line deferred",
        ),
    )
} | {f"condition test deferred: {WHY}": MISSING}


@dataclass
class Both:
    """One long session on each side."""

    commands: list[str]
    cases: dict[str, list[int]]
    theirs: list[list[str]]
    ours: list[list[str]]
    their_lines: list[str]
    our_lines: list[str]


@pytest.fixture(scope="module")
def both(exim: Exim) -> Both:
    acls, commands, cases = sessions()
    said, logged = exim.talk(acls, "".join(f"{command}\r\n" for command in [*commands, "QUIT"]))
    talk = Talk(acls)
    ours = [talk.say(command) for command in commands]
    return Both(commands, cases, replies_of(said)[1:-1], ours, lines_of(logged), talk.logged)


def test_both_have_said_something(both: Both) -> None:
    assert len(both.theirs) == len(both.commands) == len(both.ours)
    assert len(both.cases) > 200


@pytest.mark.parametrize("name", [*RCPT, *PHASES])
def test_replies(both: Both, name: str) -> None:
    indices = both.cases[name]
    ours = {both.commands[i]: both.ours[i] for i in indices}
    theirs = {both.commands[i]: both.theirs[i] for i in indices}
    assert ours == theirs


def test_log_lines(both: Both) -> None:
    """Every line about an ACL is the same, octet for octet."""
    ours = []
    for line in both.our_lines:
        explained = next((each for each in EXPLAINED_LINES if line.endswith(each)), None)
        if explained is not None:
            begin = line.removesuffix(explained) + explained.partition(": ")[0]
            line = f"{begin}: {EXPLAINED_LINES[explained]}"
        ours.append(line)
    assert ours == both.their_lines
    assert all(any(line.endswith(each) for line in both.our_lines) for each in EXPLAINED_LINES)


def test_the_syntax_of_addresses_in_fields(exim: Exim) -> None:
    """verify = header_syntax, for From: (which must be qualified) and for To:, with the problem in the log."""
    acls = {f"data_{name}": "require verify = header_syntax\naccept" for name in ("from", "to")}
    commands, expected = ["HELO x"], 0
    for body in SYNTAX:
        for name in ("From", "To"):
            commands += [
                "RSET",
                f"MAIL FROM:<{name.lower()}@a.test>",
                TO_BOB,
                "DATA",
                f"{name}: {body}\r\n\r\nx\r\n.",
            ]
            expected += 1
    said, logged = exim.talk(acls, "".join(f"{command}\r\n" for command in [*commands, "QUIT"]))
    theirs = replies_of(said)[1:-1]
    talk = Talk(acls)
    ours = [talk.say(command) for command in commands]
    judged = [i for i, command in enumerate(commands) if command.endswith("\r\n.")]
    assert len(judged) == expected
    assert {commands[i]: ours[i] for i in judged} == {commands[i]: theirs[i] for i in judged}
    assert talk.logged == lines_of(logged)


# What ends a session: the ACL for RCPT, and what is said from then on.
ENDS = {
    "drop": ("drop message = bye", {}),
    "drop in lines": ("drop message = 550 5.7.1 bye\\nnow", {}),
    "a nested drop that is required": ("require acl = sub", {"sub": "drop message = inner"}),
    "a missing file in a list": ("deny domains = lsearch;/folder/missing\naccept", {}),
    "a list that is a missing file": ("deny senders = /folder/missing\naccept", {}),
    "a wrong regular expression": ("deny domains = ^(a\naccept", {}),
}


@pytest.mark.parametrize("name", ENDS)
def test_ends(exim: Exim, name: str) -> None:
    text, others = ENDS[name]
    acls = {"rcpt_c": text, **others}
    commands = ["HELO x", "MAIL FROM:<c@a.test>", TO_BOB, "NOOP", "QUIT"]
    said, _ = exim.talk(acls, "".join(f"{command}\r\n" for command in commands))
    theirs = replies_of(said)[1:]
    talk = Talk(acls)
    ours = [talk.say(command) for command in commands[:3]]
    assert talk.ended
    if ours[-1][0].startswith("421"):  # the real one with a connection says it, too; exim -bh just dies
        ours.pop()
    assert ours == theirs


CONNECT = {
    "deny": "550 Administrative prohibition",
    "deny message = go away": "550 go away",
    "drop message = go": "550 go",
    "defer": "451 Temporary local problem - please try later",
    "accept message = hello\\nthere": "220-hello|220 there",
    "accept message = 220 5.0.0 x": "220 5.0.0 x",
    "deny sender_domains = x": "451 Temporary local problem - please try later",
    "deny control = freeze": "451 Temporary local problem - please try later",
    "discard": "451 Temporary local problem - please try later",
    "require verify = sender\naccept": "451 Temporary local problem - please try later",
    "warn log_message = x\naccept control = no_pipelining\n control = allow_auth_unadvertised": None,
}
QUIT = {
    "deny": None,
    "accept message = bye bye": "221 bye bye",
    "accept message = 250 x": "221 250 x",
    "drop message = x": "221 x",
    "require condition = no": None,
    "require condition = yes\naccept": None,
    "accept condition = no": None,
    "warn log_message = $sender_helo_name\naccept": None,
}


@pytest.mark.parametrize("text", CONNECT)
def test_connect(exim: Exim, text: str) -> None:
    said, logged = exim.talk({"c": text}, "QUIT\r\n", "acl_smtp_connect = c\n")
    talk = Talk({"connect_": text})
    verdict = talk.run(Phase.CONNECT)
    ours = None if verdict.reply is None else "|".join(bytes(verdict.reply).decode().splitlines())
    theirs = "|".join(replies_of(said)[0])
    assert ours == CONNECT[text]
    assert theirs.startswith("220 mx.here.test ESMTP") if ours is None else theirs == ours
    assert talk.logged == lines_of(logged)


@pytest.mark.parametrize("text", QUIT)
def test_quit(exim: Exim, text: str) -> None:
    said, logged = exim.talk({"c": text}, "HELO x\r\nQUIT\r\n", "acl_smtp_quit = c\n")
    talk = Talk({"quit_": text})
    talk.say("HELO x")
    verdict = talk.run(Phase.QUIT)
    ours = None if verdict.reply is None else str(verdict.reply)
    assert ours == QUIT[text]
    assert (ours or "221 mx.here.test closing connection") == replies_of(said)[-1][0]
    assert talk.logged == lines_of(logged)


# What Exim finds wrong when it reads the file, and what it takes.
LOADS = {
    "deny nosuch = x": "unknown ACL condition/modifier in",
    "deny\n nosuch": "unknown ACL condition/modifier in",
    "forbid": 'unknown ACL verb "forbid" in "forbid"',
    "deny domains": '"=" missing after ACL "domains" condition',
    "deny message": '"=" missing after ACL "message" modifier',
    "deny !message = x": 'ACL error: negation is not allowed with "message"',
    "deny ! set acl_m_x = y": 'ACL error: negation is not allowed with "set"',
    "deny !control = x": 'ACL error: negation is not allowed with "control"',
    "deny !endpass": 'ACL error: negation is not allowed with "endpass"',
    "deny endpass": 'ACL error: "endpass" is not allowed with "deny"',
    "warn endpass": 'ACL error: "endpass" is not allowed with "warn"',
    "deny set x = y": 'invalid variable name after "set" in ACL modifier "set x = y" (must start "acl_c" or "acl_m")',
    "deny set acl_mfoo = y": "(digit or underscore must follow acl_c or acl_m)",
    "deny set acl_m_a.b = y": 'invalid character "." in variable name in ACL modifier "set acl_m_a.b = y"',
    "deny set acl_m_x": '"=" missing after ACL "set" modifier',
    "accept endpass": None,
    "discard endpass": None,
    "deny set acl_c0 = y": None,
    "deny set acl_m_ = y": None,
    "deny ! domains = x": None,
    "deny control = nosuch": None,
    "deny delay = zz": None,
    "deny verify = nosuch": None,
    "deny condition = ${nosuch}": None,
    "deny hosts = +nosuch": None,
    "deny acl = nosuch": None,
    "deny ratelimit = x": None,
    "deny domains=x": None,
    "deny\n": None,
}


@pytest.mark.parametrize("text", LOADS)
def test_load(exim: Exim, text: str) -> None:
    said, _ = exim.talk({"x": text}, "QUIT\r\n")
    problem = None
    try:
        Acls({"x": statements_of(text, PLACE)}, {})
    except ConfigurationError as error:
        problem = error.problem
    wanted = LOADS[text]
    assert (not said) == (wanted is not None), said
    assert (problem is None) == (wanted is None), problem
    if wanted is not None:
        assert wanted in (problem or "")
        assert wanted in exim.complaint


# Where Exim forgets, or does not forget, what its routers and its mistakes have left in its variables.
EXPLAINED = {
    "routing for a verification changes $domain_data, which then tells of the last router": (
        "discard !domains = +local_domains\naccept logwrite = never\n message = [$domain_data]\n verify = recipient",
        "gone@here.test",
        (["550 []", "550 []"], ["550 [here.test]", "550 [here.test]"]),
    ),
    "a mistake leaves $acl_verify_message for the next command": (
        "warn set acl_m_was = $acl_verify_message\ndeny condition = $acl_m_again\n message = [$acl_m_was]\n"
        "deny set acl_m_again = 1\n !verify = sender=x@nx.test/no_details\n delay = x",
        "bob@here.test",
        (
            ["451 Temporary local problem - please try later", "550 [Sender verify failed]"],
            ["451 Temporary local problem - please try later", "550 []"],
        ),
    ),
}


@pytest.mark.parametrize("because", EXPLAINED)
def test_explained(exim: Exim, because: str) -> None:
    """Both sides of each difference."""
    text, recipient, (theirs, ours) = EXPLAINED[because]
    commands = ["HELO x", "MAIL FROM:<c@a.test>", *[f"RCPT TO:<{recipient}>"] * 2]
    said, _ = exim.talk({"rcpt_c": text}, "".join(f"{command}\r\n" for command in [*commands, "QUIT"]))
    talk = Talk({"rcpt_c": text})
    found = [talk.say(command)[-1] for command in commands]
    assert [reply[-1] for reply in replies_of(said)[3:-1]] == theirs, because
    assert found[2:] == ours, because


# --- ACLs by chance ---------------------------------------------------------------------------

CONDITIONS = """\
domains = here.test|domains = x.test|!domains = +local_domains|local_parts = bob|local_parts = eve|hosts = +near
!hosts = +near|hosts = 10.0.0.0/8|senders = *@a.test|senders = :|sender_domains = a.test
recipients = bob@here.test|condition = 1|condition = 0|condition = |condition = maybe|condition = ${nosuch}
condition = ${if eq{a}{b}{1}fail}|!condition = no|!condition = yes|condition = ${if eq{$acl_m_v}{1}}
verify = recipient|!verify = recipient|verify = sender|!verify = sender=x@nx.test|verify = sender=x@nx.test
verify = sender=x@nx.test/no_details|verify = sender=x@later.test|!verify = sender=x@later.test/defer_ok
verify = recipient/defer_ok|acl = sub_accept|acl = sub_deny|!acl = sub_deny|acl = sub_defer|acl = sub_discard
acl = sub_args a b|acl = sub_empty|acl = nosuch|authenticated = *|encrypted = *|domains = ${if eq{a}{b}{x}fail}
domains = ${nosuch}|acl = sub_mixed|!acl = sub_mixed|acl = sub_verify
""".replace("\n", "|").split("|")[:-1]
MODIFIERS = """\
message = one|message = two $acl_verify_message|message = 550 5.7.1 three|message = 451 four|message = 250 five
message = |message = ${nosuch}|message = ${if eq{a}{b}{1}fail}|message = [$acl_m_v]|message = l1\\nl2|log_message = log1
log_message = log2 $acl_verify_message|log_message =|set acl_m_v = 1|set acl_m_v = $acl_verify_message
set acl_m_v = ${if eq{a}{b}{1}fail}|control = freeze|control = nosuch|delay = 0s|delay = x|endpass|continue = x
logwrite = w $acl_verify_message|add_header = X: y|message = $address_data,$sender_address_data
log_reject_target = main|log_reject_target =|control = caseful_local_part|message = $acl_narg$acl_arg1
message = $recipient_verify_failure $sender_verify_failure
""".replace("\n", "|").split("|")[:-1]
MORE_SUB_ACLS = {
    "sub_mixed": "accept condition = 0\n message = mixed\n"
    "require message = mixed2\n log_message = ml\n local_parts = eve",
    "sub_verify": "accept verify = recipient\ndeny message = sv $acl_verify_message",
}
VERBS = ("accept", "accept", "deny", "deny", "defer", "discard", "require", "require", "warn", "warn")


def acl_by_chance(chance: random.Random) -> str:
    statements = []
    for _ in range(chance.randint(1, 4)):
        verb = chance.choice(VERBS)
        lines = [
            chance.choice(CONDITIONS if chance.random() < 0.55 else MODIFIERS)
            for _ in range(chance.randint(0, 4))
        ]
        kept = [line for line in lines if line != "endpass" or verb in ("accept", "discard")]
        statements.append(f"{verb} " + "\n ".join(kept))
    return "\n".join(statements)


@pytest.mark.parametrize("seed", [1, 2])
def test_acls_by_chance(exim: Exim, seed: int) -> None:
    """500 ACLs with everything in them that ends no session: replies and log lines."""
    chance = random.Random(seed)
    acls, commands = SUB_ACLS | MORE_SUB_ACLS, ["HELO x"]
    for number in range(500):
        acls[f"rcpt_f{number}"] = acl_by_chance(chance)
        commands += [
            "RSET",
            f"MAIL FROM:<f{number}@{chance.choice(['a.test', 'a.test', 'nx.test', 'later.test'])}>",
        ]
        for _ in range(chance.randint(1, 2)):
            name = chance.choice(["bob", "Bob", "gone", "said", "saidlater", "eve"])
            commands.append(f"RCPT TO:<{name}@{chance.choice(['here.test', 'here.test', 'later.test'])}>")
    said, logged = exim.talk(acls, "".join(f"{command}\r\n" for command in [*commands, "QUIT"]))
    theirs = replies_of(said)[1:-1]
    talk = Talk(acls)
    ours = [talk.say(command) for command in commands]
    assert len(ours) == len(theirs)
    mail = ""
    for command, our, their in zip(commands, ours, theirs):
        mail = command if command.startswith("MAIL") else mail
        assert our == their, acls[f"rcpt_{mail[11:].partition('@')[0]}"]
    their_lines = lines_of(logged)
    assert len(talk.logged) == len(their_lines)
    assert [pair for pair in zip(talk.logged, their_lines) if not is_same(*pair)] == []


def is_same(ours: str, theirs: str) -> bool:
    """The same line; or theirs ends with the last error of a look-up, in place of our reason (EXPLAINED_LINES)."""
    return ours == theirs or (theirs.endswith(MISSING) and ours.startswith(theirs.removesuffix(MISSING)))
