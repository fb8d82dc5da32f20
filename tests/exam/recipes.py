"""Recipes of administrators: exim.conf in the many ways in which people write encryption and filters.

WHAT       RECIPES: what stands above the ACLs, the ACLs, and dialogues: who calls which port, what is said, how
           each answer begins. `>tls` begins TLS after STARTTLS, `>sleep` waits, `>banner` is the first word.
HOW        the real Exim sits the same exam, so an expectation is Exim's own answer.
READ NEXT  test_recipes.py
"""

from __future__ import annotations

from dataclasses import dataclass

CLIENT, OTHER, LISTED, NAMELESS = "203.0.113.77", "203.0.113.78", "203.0.113.66", "203.0.113.88"
GTUBE = "XJS*C4JDBQADN1.NSBN3*2IDNEN*GTUBE-STANDARD-ANTI-UBE-TEST-EMAIL*C.34X"
ZONE = {
    "st1.test": {"MX": ["10 mx.st1.test."]},
    "mx.st1.test": {"A": ["203.0.113.11"]},
    "client.test": {"A": [CLIENT]},
    "77.113.0.203.in-addr.arpa": {"PTR": ["client.test."]},
    "other.test": {"A": [OTHER]},
    "78.113.0.203.in-addr.arpa": {"PTR": ["liar.test."]},
    "listed.test": {"A": [LISTED]},
    "nameless.test": {"A": [NAMELESS]},
    "66.113.0.203.bl.test": {"A": ["127.0.0.2", "127.0.0.6"], "TXT": ['"a known spammer"']},
    "78.113.0.203.bl.test": {"A": ["127.0.0.8"], "TXT": ['"a dynamic address"']},
    "2.0.0.127.bl.test": {"A": ["127.0.0.2"]},
    "bad.test.dbl.test": {"A": ["127.0.1.2"], "TXT": ['"bad.test is bad"']},
    "bad.test": {"A": [LISTED], "MX": ["10 listed.test."]},
    "good.test": {"A": [CLIENT], "MX": ["10 client.test."]},
    "66.113.0.203.broken.test": {"A": ["192.0.2.1"]},
}

SHELL = """\
primary_hostname = mx.st1.test
domainlist local_domains = st1.test
hostlist relay_from_hosts = <; 203.0.113.99
host_lookup =
daemon_smtp_ports = 25 : 465 : 587
tls_on_connect_ports = 465
tls_certificate = LABDIR/tls.crt
tls_privatekey = LABDIR/tls.key
tls_dhparam = none
acl_smtp_connect = acl_connect
acl_smtp_helo = acl_helo
acl_smtp_mail = acl_mail
acl_smtp_rcpt = acl_rcpt
acl_smtp_predata = acl_predata
acl_smtp_data = acl_data
"""
END = """
begin routers
localuser:
  driver = accept
  domains = +local_domains
  local_parts = ann : bob
  transport = mbox
begin transports
mbox:
  driver = appendfile
  file = LABDIR/mail/$local_part_data
begin retry
* * F,1h,15m
begin authenticators
plain_server:
  driver = plaintext
  public_name = PLAIN
  server_prompts = :
  server_condition = ${if and{{eq{$auth2}{ann}}{eq{$auth3}{secret}}}}
  server_set_id = $auth2
"""
PHASES = ("connect", "helo", "mail", "rcpt", "predata", "data")


@dataclass(frozen=True)
class Talk:
    """One connection: from where to which port, and each line with how its answer begins."""

    said: tuple[tuple[str, str], ...]
    port: int = 25
    source: str = CLIENT


@dataclass(frozen=True)
class Recipe:
    """A configuration and what it must do; `logged` are patterns of the log, `mail` what is in Ann's "
    "mailbox."""

    talks: tuple[Talk, ...]
    main: str = ""
    acls: tuple[tuple[str, str], ...] = ()
    more: str = ""
    logged: tuple[str, ...] = ()
    mail: tuple[str, ...] = ()

    @property
    def text(self) -> str:
        bodies = dict(self.acls)
        acls = "".join(f"acl_{phase}:\n{bodies.get(phase, '')}  accept\n" for phase in PHASES)
        return f"{SHELL}{self.main}\nbegin acl\n{acls}{self.more}{END}"


def talk(*said: tuple[str, str], port: int = 25, source: str = CLIENT) -> Talk:
    return Talk(said, port, source)


EHLO = ("EHLO client.test", "250")
MAIL = ("MAIL FROM:<x@good.test>", "250")
RCPT = ("RCPT TO:<ann@st1.test>", "250")
QUIT = ("QUIT", "221")
STARTTLS = (("STARTTLS", "220"), (">tls", ""), EHLO)
AUTH = ("AUTH PLAIN AGFubgBzZWNyZXQ=", "235")
SENT = (
    EHLO,
    MAIL,
    RCPT,
    ("DATA", "354"),
    ("From: x@good.test\r\nSubject: {n}\r\n\r\nhello\r\n.", "250 OK id="),
)

RECIPES: dict[str, Recipe] = {
    # --- encryption that is demanded -----------------------------------------------------------
    "encrypted-by-port": Recipe(
        main="tls_advertise_hosts = *\nauth_advertise_hosts = ${if eq{$tls_in_cipher}{}{}{*}}\n",
        acls=(
            ("mail", "  deny    condition = ${if eq{$interface_port}{587}}\n          !encrypted = *\n"
                     "          message = 530 5.7.0 Must issue a STARTTLS command first\n"),
            ("rcpt", "  deny    condition = ${if ={$received_port}{587}}\n          !authenticated = *\n"
                     "          message = 550 5.7.1 Authentication required\n"),
        ),
        talks=(
            talk(EHLO, ("AUTH PLAIN AGFubgBzZWNyZXQ=", "503 AUTH command used when not advertised"),
                 ("MAIL FROM:<x@good.test>", "530 5.7.0 Must issue a STARTTLS command "
                        "first"), QUIT, port=587),
            talk(EHLO, *STARTTLS, MAIL, ("RCPT TO:<ann@st1.test>", "550 5.7.1 Authentication "
                   "required"), port=587),
            talk(EHLO, *STARTTLS, AUTH, MAIL, RCPT, port=587),
            talk(EHLO, AUTH, MAIL, RCPT, port=465),
            talk(EHLO, MAIL, RCPT),
        ),
        logged=(
            r"H=\(client\.test\) \[203\.0\.113\.77\] rejected MAIL <x@good\.test>: 530 5\.7\.0 Must issue "
            r"a STARTTLS command first",
            r"H=\(client\.test\) \[203\.0\.113\.77\] X=TLS1\.3:\S+ CV=no F=<x@good\.test> rejected RCPT "
            r"<ann@st1\.test>: "
            r"550 5\.7\.1 Authentication required",
        ),
    ),
    "require-encrypted-in-rcpt": Recipe(
        main="tls_advertise_hosts = *\nauth_advertise_hosts = *\n",
        acls=(("rcpt", "  accept  hosts = +relay_from_hosts\n  require message = encryption required\n"
                       "          encrypted = ${if eq{$received_port}{25}{*}{TLS_AES_256_GCM_SHA384 : "
                       "*}}\n"),),
        talks=(
            talk(EHLO, MAIL, ("RCPT TO:<ann@st1.test>", "550 encryption required")),
            talk(EHLO, *STARTTLS, MAIL, RCPT),
        ),
    ),
    "tls-advertise-to-some": Recipe(
        main="tls_advertise_hosts = ! 203.0.113.78 : *\nauth_advertise_hosts = ${if def:tls_in_cipher{*}}\n",
        talks=(
            talk(("EHLO other.test", "250"), ("STARTTLS", "503 STARTTLS command used when not advertised"),
                 source=OTHER),
            talk(EHLO, ("STARTTLS now", "501"), *STARTTLS,
                 ("STARTTLS", "503 STARTTLS command used when not advertised"), AUTH),
        ),
    ),
    "auth-only-in-tls-by-hosts": Recipe(
        main="tls_advertise_hosts = *\nauth_advertise_hosts = <; ${if !eq{$tls_in_cipher}{}{0.0.0.0/0}}\n",
        acls=(("mail", "  accept  hosts = 203.0.113.99\n  defer   ! encrypted = *\n          ! hosts = "
               "203.0.113.78\n"
                       "          message = come back with TLS\n"),),
        talks=(
            talk(EHLO, ("MAIL FROM:<x@good.test>", "451 come back with TLS")),
            talk(("EHLO other.test", "250"), MAIL, RCPT, source=OTHER),
            talk(EHLO, *STARTTLS, AUTH, MAIL, RCPT),
        ),
    ),
    "submission": Recipe(
        main="tls_advertise_hosts = *\nauth_advertise_hosts = ${if eq{$tls_in_cipher}{}{}{*}}\n",
        acls=(("rcpt", "  accept  authenticated = *\n          control = "
               "submission/domain=st1.test/name=Ann A.\n"
                       "  require message = relay not permitted\n          domains = +local_domains\n"),),
        talks=(
            talk(EHLO, *STARTTLS, AUTH, ("MAIL FROM:<ann@st1.test>", "250"), RCPT, ("DATA", "354"),
                 ("From: Boss <boss@st1.test>\r\nSubject: forged\r\n\r\nx\r\n.", "250 OK id="), port=587),
            talk(EHLO, MAIL, ("RCPT TO:<x@far.test>", "550 relay not permitted")),
        ),
        mail=("Sender: \"Ann A.\" <ann@st1.test>", "From: Boss <boss@st1.test>", "Message-Id: <E", "Date: "),
    ),
    "facts-of-tls": Recipe(
        main="tls_advertise_hosts = *\n",
        acls=(("rcpt", "  warn    encrypted = *\n          add_header = X-TLS: $tls_in_ver ${if "
               ">{$tls_in_bits}{127}{strong}{weak}} <$tls_in_sni> "
                       "$tls_in_certificate_verified\n"),),
        talks=(talk(EHLO, *STARTTLS, *SENT[1:]),),
        mail=("X-TLS: TLS1.3 strong <mx.st1.test> 0",),
    ),
    # --- block lists ---------------------------------------------------------------------------
    "dnslists": Recipe(
        acls=(("rcpt", "  deny    dnslists = bl.test=127.0.0.2,127.0.0.3\n"
                       "          message = $sender_host_address is listed in $dnslist_domain: "
                       "$dnslist_text\n"
                       "          log_message = found in $dnslist_domain=$dnslist_matched\n"
                       "  warn    dnslists = bl.test&0.0.0.8\n"
                       "          add_header = X-Listed: $dnslist_domain $dnslist_value $dnslist_text\n"),),
        talks=(
            talk(("EHLO listed.test", "250"), MAIL,
                 ("RCPT TO:<ann@st1.test>",
                  "550 203.0.113.66 is listed in bl.test: a known spammer"), source=LISTED),
            talk(("EHLO other.test", "250"), *SENT[1:], source=OTHER),
            talk(*SENT),
        ),
        logged=(r"H=\(listed\.test\) \[203\.0\.113\.66\] F=<x@good\.test> rejected RCPT <ann@st1\.test>: "
                r"found in bl\.test=203\.0\.113\.66",),
        mail=("X-Listed: bl.test 127.0.0.8 a dynamic address",),
    ),
    "dnslists-not": Recipe(
        acls=(("rcpt", "  deny    dnslists = bl.test!=127.0.0.8\n          message = not 8: $dnslist_domain\n"
                       "  deny    dnslists = bl.test!&0.0.0.2\n          message = no bit 2: "
                       "$dnslist_value\n"),),
        talks=(
            talk(("EHLO listed.test", "250"), MAIL,
                 ("RCPT TO:<ann@st1.test>", "550 not 8: bl.test"), source=LISTED),
            talk(("EHLO other.test", "250"), MAIL,
                 ("RCPT TO:<ann@st1.test>", "550 no bit 2: 127.0.0.8"), source=OTHER),
            talk(EHLO, MAIL, RCPT),
        ),
    ),
    "dnslists-all-of": Recipe(
        acls=(("rcpt", "  deny    dnslists = bl.test==127.0.0.2\n          message = all of them are 2\n"
                       "  deny    dnslists = bl.test=&0.0.0.2\n          message = all have the bit: "
                       "$dnslist_domain\n"
                       "  warn    dnslists = no.test : bl.test\n          add_header = X-By: "
                       "$dnslist_domain\n"),),
        talks=(
            talk(("EHLO listed.test", "250"), MAIL,
                 ("RCPT TO:<ann@st1.test>", "550 all have the bit: bl.test"), source=LISTED),
            talk(("EHLO other.test", "250"), *SENT[1:], source=OTHER),
        ),
        mail=("X-By: bl.test",),
    ),
    "dnslists-keyed": Recipe(
        acls=(("rcpt", "  deny    dnslists = dbl.test/$sender_address_domain\n"
                       "          message = $sender_address_domain is listed in $dnslist_domain: "
                       "$dnslist_text\n"
                       "  deny    dnslists = dbl.test/<;x.test;$sender_helo_name\n          message = "
                       "HELO $dnslist_matched\n"
                       "  deny    condition = yes\n          dnslists = broken.test\n          message = "
                       "outside 127/8\n"),),
        talks=(
            talk(EHLO, ("MAIL FROM:<x@bad.test>", "250"),
                 ("RCPT TO:<ann@st1.test>", "550 bad.test is listed in dbl.test: bad.test is bad")),
            talk(("EHLO bad.test", "250"), MAIL, ("RCPT TO:<ann@st1.test>", "550 HELO bad.test")),
            talk(EHLO, MAIL, RCPT),
            talk(("EHLO listed.test", "250"), MAIL, RCPT, source=LISTED),
        ),
    ),
    # --- reverse checks, HELO -------------------------------------------------------------------
    "reverse": Recipe(
        acls=(("connect", "  drop    hosts = 203.0.113.66\n          message = 554 no service for you\n"),
              ("rcpt", "  deny    ! verify = reverse_host_lookup\n"
                       "          message = no reverse name: ${if "
                       "def:sender_host_name{$sender_host_name}{none}}\n"),),
        talks=(
            talk((">banner", "554 no service for you"), source=LISTED),
            talk(EHLO, MAIL, RCPT),
            talk(("EHLO other.test", "250"), MAIL, ("RCPT TO:<ann@st1.test>", "550 no reverse name: none"),
                 source=OTHER),
            talk(("EHLO nameless.test", "250"), MAIL, ("RCPT TO:<ann@st1.test>", "550 no reverse name: none"),
                 source=NAMELESS),
        ),
        logged=(r"H=\[203\.0\.113\.66\] rejected connection in \"connect\" ACL: 554 no service for you",),
    ),
    "helo": Recipe(
        main="helo_try_verify_hosts = *\n",
        acls=(("helo", "  drop    condition = ${if match{$sender_helo_name}{\\N^\\[\\N}{no}{${if "
               "eq{$sender_helo_name}{$primary_hostname}}}}\n"
                       "          message = 550 you are not me\n"
                       "  deny    condition = ${if isip{$sender_helo_name}}\n          message = 550 bare "
                       "address in HELO\n"
                       "  deny    condition = ${if !match{$sender_helo_name}{\\\\.}}\n          message = "
                       "HELO must be a FQDN\n"),
              ("mail", "  deny    ! verify = helo\n          message = HELO $sender_helo_name is not "
                     "yours\n"),),
        talks=(
            talk(("HELO mx.st1.test", "550 you are not me")),
            talk(("EHLO 203.0.113.77", "550 bare address in HELO"), EHLO, MAIL),
            talk(("HELO pc", "550 HELO must be a FQDN"), ("MAIL FROM:<x@good.test>", "503 HELO or EHLO "
                   "required")),
            talk(("EHLO good.test", "250"), ("MAIL FROM:<x@good.test>", "250")),
            talk(("EHLO bad.test", "250"), ("MAIL FROM:<x@good.test>", "550 HELO bad.test is not yours")),
        ),
        logged=(r"rejected EHLO or HELO mx\.st1\.test: 550 you are not me",),
    ),
    # --- greylists -----------------------------------------------------------------------------
    "grey-seen": Recipe(
        acls=(("rcpt", "  defer   message = greylisted\n          !seen = -1s / "
               "key=${sg{${mask:$sender_host_address/24}}{/}{-}}_${sender_address}_$local_part@$domain\n"),),
        talks=(
            talk(EHLO, MAIL, ("RCPT TO:<ann@st1.test>", "451 greylisted"), ("RCPT "
                   "TO:<bob@st1.test>", "451 greylisted")),
            talk((">sleep", ""), EHLO, MAIL, RCPT, ("RCPT TO:<bob@st1.test>", "250")),
            talk(("EHLO other.test", "250"), MAIL, RCPT, source=OTHER),
        ),
        logged=(r"H=\(client\.test\) \[203\.0\.113\.77\] F=<x@good\.test> temporarily rejected RCPT "
               r"<ann@st1\.test>: greylisted",),
    ),
    "grey-sqlite": Recipe(
        acls=(("rcpt",
               "  warn    set acl_m_made = ${lookup sqlite,file=LABDIR/spool/grey.db {CREATE TABLE IF NOT "
               "EXISTS grey (k TEXT PRIMARY KEY, "
               "t INTEGER)}}\n"
               "          set acl_m_k = ${quote_sqlite:${mask:$sender_host_address/24} $sender_address "
               "$local_part@$domain}\n"
               "          set acl_m_t = ${lookup sqlite,file=LABDIR/spool/grey.db {SELECT t FROM grey "
               "WHERE k='$acl_m_k'}{$value}}\n"
               "  defer   condition = ${if eq{$acl_m_t}{}}\n"
               "          set acl_m_x = ${lookup sqlite,file=LABDIR/spool/grey.db {INSERT INTO grey "
               "VALUES ('$acl_m_k', $tod_epoch)}}\n"
               "          message = 451 4.7.1 Greylisting in action\n"
               "  defer   condition = ${if <{${eval:$tod_epoch - $acl_m_t}}{1}}\n"
               "          message = 451 4.7.1 too early\n"),),
        talks=(
            talk(EHLO, ("MAIL FROM:<o'x@good.test>", "250"), ("RCPT TO:<ann@st1.test>", "451 4.7.1 "
                   "Greylisting in action")),
            talk((">sleep", ""), EHLO, ("MAIL FROM:<o'x@good.test>", "250"), RCPT),
            talk(EHLO, MAIL, ("RCPT TO:<ann@st1.test>", "451 4.7.1 Greylisting in action")),
        ),
    ),
    # --- rates, delays, order ---------------------------------------------------------------------
    "rates": Recipe(
        acls=(("rcpt", "  defer   ratelimit = 2 / 1h / per_rcpt / strict / $sender_host_address\n"
                       "          message = too fast: ${sg{$sender_rate}{\\\\..*}{}} of "
                       "$sender_rate_limit per $sender_rate_period\n"),
              ("mail", "  warn    ratelimit = 0 / 1h / per_conn / strict / conns-$sender_host_address\n"
                       "          set acl_c_n = ${sg{$sender_rate}{\\\\..*}{}}\n"
                       "  deny    condition = ${if >{$acl_c_n}{2}}\n          message = connection number "
                       "$acl_c_n\n"),),
        talks=(
            talk(EHLO, MAIL, RCPT, ("RCPT TO:<bob@st1.test>", "250"),
                 ("RCPT TO:<ann@st1.test>", "451 too fast: 3 of 2 per 1h")),
            talk(EHLO, MAIL, ("RCPT TO:<ann@st1.test>", "451 too fast: 4 of 2 per 1h")),
            talk(EHLO, ("MAIL FROM:<x@good.test>", "550 connection number 3")),
            talk(("EHLO other.test", "250"), MAIL, RCPT, source=OTHER),
        ),
    ),
    "rates-of-addresses": Recipe(
        acls=(("rcpt", "  deny    ratelimit = 2 / 1h / per_addr / strict\n          message = more than "
               "two people\n"),),
        talks=(
            talk(EHLO, MAIL, RCPT, RCPT, ("RCPT TO:<bob@st1.test>", "250"),
                 ("RCPT TO:<carol@st1.test>", "550 more than two people")),
        ),
    ),
    "delay-and-predata": Recipe(
        acls=(("rcpt", "  warn    delay = 1s\n          condition = ${if >{$rcpt_count}{1}}\n"
                       "  drop    condition = ${if >={$rcpt_fail_count}{2}}\n          message = too many "
                       "unknown people\n"
                       "  require message = unknown user\n          verify = recipient\n"),
              ("predata", "  deny    condition = ${if >{$recipients_count}{1}}\n          senders = :\n"
                          "          message = a bounce has one recipient\n"),),
        talks=(
            talk(EHLO, ("MAIL FROM:<>", "250"), RCPT, ("RCPT TO:<bob@st1.test>", "250"), ("DATA", "550 a "
                   "bounce has one")),
            talk(EHLO, MAIL, ("RCPT TO:<q@st1.test>", "550 unknown user"), ("RCPT TO:<r@st1.test>", "550 "
                   "unknown user"),
                 ("RCPT TO:<ann@st1.test>", "550 too many unknown people")),
        ),
        logged=(r"rejected DATA", r"rejected RCPT <ann@st1\.test>: too many "
               r"unknown people"),
    ),
    # --- content ---------------------------------------------------------------------------------
    "spam": Recipe(
        main="spamd_address = SPAMD\n",
        acls=(("data", "  accept  condition = ${if >{$message_size}{100k}}\n"
                       "  warn    spam = nobody:true/defer_ok\n"
                       "          add_header = X-Spam-Score: $spam_score ($spam_bar)\\n\\\n"
                       "              X-Spam-Report: ${sg{$spam_report}{\\\\n.*}{}}\n"
                       "  deny    condition = ${if >{$spam_score_int}{50}}\n"
                       "          message = 550 5.7.1 This message scored $spam_score spam points.\n"),),
        talks=(
            talk(*SENT[:4], (f"From: x@good.test\r\nSubject: {{n}}\r\n\r\n{GTUBE}\r\n.", "550 5.7.1 This "
                   "message scored 999.0 spam points.")),
            talk(*SENT),
        ),
        logged=(r"rejected after DATA: 550 5\.7\.1 This message scored 999\.0 spam points\.",),
        mail=("X-Spam-Score: -1.0 (-)", "X-Spam-Report: because"),
    ),
    "spam-by-user": Recipe(
        main="spamd_address = SPAMD\n",
        acls=(("data", "  deny    spam = ${if eq{$sender_host_address}{203.0.113.78}{false}{nobody}}\n"
                       "          message = spam\n"
                       "  warn    add_header = :after_received:X-Said: $spam_score_int $spam_action\n"),),
        talks=(
            talk(*SENT[:4], (f"From: x@good.test\r\nSubject: {{n}}\r\n\r\n{GTUBE}\r\n.", "550 spam")),
            talk(("EHLO other.test", "250"), *SENT[1:4],
                 (f"From: x@good.test\r\nSubject: {{n}}\r\n\r\n{GTUBE}\r\n.", "250 OK id="), source=OTHER),
        ),
    ),
    "spam-nobody-there": Recipe(
        main="spamd_address = 127.0.0.1 NOBODY\n",
        acls=(("data", "  deny    spam = nobody/defer_ok\n          message = spam\n"
                       "  warn    condition = ${if def:spam_score}\n          add_header = X-Score: yes\n"
                       "  deny    hosts = 203.0.113.78\n          spam = nobody\n"),),
        talks=(talk(*SENT), talk(("EHLO other.test", "250"), *SENT[1:4], ("Subject: "
               "x\r\n\r\nx\r\n.", "451"), source=OTHER)),
    ),
}  # fmt: skip
