"""The options of the main section.

STANDARDS  Exim specification, chapter "Main configuration"
READ NEXT  sessions.py
"""

from __future__ import annotations

from labkit.eximconf.options import kinds
from labkit.eximconf.options.kinds import Kind
from labkit.eximconf.options.row import Option, Standing

_CHAPTER = "Main configuration"


def _works(name: str, kind: Kind, default: str | bool | None, effect: str) -> Option:
    return Option("main", name, kind, default, _CHAPTER, effect)


def _moot(name: str, kind: Kind, default: str | bool | None, why: str) -> Option:
    return Option("main", name, kind, default, _CHAPTER, why, Standing.MOOT)


def _tested(name: str, kind: Kind, default: str | bool | None, effect: str) -> Option:
    return Option("main", name, kind, default, _CHAPTER, effect, Standing.TESTED)


_NEVER_ROOT = "labkit runs as one ordinary user and becomes no other"
_OPENSSL = "labkit's TLS is OpenSSL's"
_NO_PROGRAMS = "a program gets the variables of its transport, and no others"
_NO_IDENT = "labkit never asks an ident server"
_SAYS_ALWAYS = "the lab's nameserver says what is signed, asked or not"
_NO_DISK_CHECK = "labkit writes 452 when the disk is full, and does not look before"

_RECEIVED = (
    "Received: ${if def:sender_rcvhost {from $sender_rcvhost\\n\\t}"
    "{${if def:sender_ident {from ${quote_local_part:$sender_ident} }}"
    "${if def:sender_helo_name {(helo=$sender_helo_name)\\n\\t}}}}"
    "by $primary_hostname ${if def:received_protocol {with $received_protocol }}"
    "${if def:tls_in_ver        { ($tls_in_ver)}}${if def:tls_in_cipher_std { tls $tls_in_cipher_std\\n\\t}}"
    "(Exim $version_number)\\n\\t${if def:sender_address {(envelope-from <$sender_address>)\\n\\t}}"
    "id $message_exim_id${if def:received_for {\\n\\tfor $received_for}}"
)

ROWS: tuple[Option, ...] = (
    # --- access control
    _works("acl_not_smtp", kinds.EXPANSION, None, "the ACL for messages that do not come by SMTP"),
    _works("acl_smtp_auth", kinds.EXPANSION, None, "the ACL for AUTH, where AUTH is offered"),
    _works("acl_smtp_connect", kinds.EXPANSION, None, "the ACL for a new connection"),
    _works("acl_smtp_data", kinds.EXPANSION, None, "the ACL for a message that has been received"),
    _works("acl_smtp_dkim", kinds.EXPANSION, None, "the ACL for each DKIM signature"),
    _works("acl_smtp_etrn", kinds.EXPANSION, None, "the ACL for ETRN; unset: refused"),
    _works("acl_smtp_expn", kinds.EXPANSION, None, "the ACL for EXPN; unset: refused"),
    _works("acl_smtp_helo", kinds.EXPANSION, None, "the ACL for HELO and EHLO"),
    _works("acl_smtp_mail", kinds.EXPANSION, None, "the ACL for MAIL"),
    _works("acl_smtp_notquit", kinds.EXPANSION, None, "the ACL for sessions that end without QUIT"),
    _works("acl_smtp_predata", kinds.EXPANSION, None, "the ACL for DATA, before the message comes"),
    _works("acl_smtp_quit", kinds.EXPANSION, None, "the ACL for QUIT; it cannot refuse"),
    _works("acl_smtp_rcpt", kinds.EXPANSION, None, "the ACL for RCPT; unset: all are refused"),
    _works("acl_smtp_starttls", kinds.EXPANSION, None, "the ACL for STARTTLS, where it is offered"),
    _works("acl_smtp_vrfy", kinds.EXPANSION, None, "the ACL for VRFY; unset: refused"),
    # --- what an earlier delivery wrote
    _works("delivery_date_remove", kinds.BOOLEAN, True, "Delivery-date is taken out of what comes in"),
    _works("envelope_to_remove", kinds.BOOLEAN, True, "Envelope-to is taken out of what comes in"),
    _works("return_path_remove", kinds.BOOLEAN, True, "Return-path is taken out of what comes in"),
    # --- who we are
    _works("primary_hostname", kinds.HOST_NAME, None, "the name of this host; unset: as the lab calls it"),
    _works("qualify_domain", kinds.HOST_NAME, None, "added to local parts; unset: primary_hostname"),
    _works("qualify_recipient", kinds.HOST_NAME, None, "added to recipients; unset: qualify_domain"),
    _works(
        "local_interfaces", kinds.STRINGS, None, "the addresses we listen at; only the host's own are there"
    ),
    _works("daemon_smtp_ports", kinds.PORTS, "smtp", "the ports the daemon listens on"),
    _works(
        "spool_directory",
        kinds.STRING,
        None,
        "$spool_directory; in the lab the spool is var/spool/exim of the host",
    ),
    _works("local_sender_retain", kinds.BOOLEAN, False, "keep a Sender: field that a local user wrote"),
    # --- limits
    _works("received_header_text", kinds.EXPANSION, _RECEIVED, "the words of our Received field"),
    _works("received_headers_max", kinds.INTEGER, "30", "more Received fields than this: a mail loop"),
    # --- TLS and AUTH
    _works(
        "acl_smtp_mailauth", kinds.EXPANSION, None, "the ACL for AUTH= on MAIL; unset: who has authenticated"
    ),
    _works("auth_advertise_hosts", kinds.HOSTS, "*", "clients that are offered AUTH"),
    _works(
        "tls_advertise_hosts",
        kinds.HOSTS,
        "*",
        "clients that are offered STARTTLS; a lab host whose file says nothing about TLS offers none",
    ),
    _works(
        "tls_certificate",
        kinds.EXPANSION,
        None,
        "the files of our certificates, a list; unset: a self-signed one",
    ),
    _works("tls_on_connect_ports", kinds.SOME_PORTS, None, "ports where TLS begins at once"),
    _works(
        "tls_privatekey",
        kinds.EXPANSION,
        None,
        "the files of their private keys, a list; unset: those of the certificates",
    ),
    _works("tls_remember_esmtp", kinds.BOOLEAN, False, "a client need not say EHLO again when TLS has begun"),
    _works(
        "tls_require_ciphers",
        kinds.EXPANSION,
        None,
        "the ciphers of TLS 1.2 that are allowed, as OpenSSL reads them; of GnuTLS priorities the versions count",
    ),
    _works(
        "tls_try_verify_hosts",
        kinds.HOSTS,
        None,
        "clients that are asked for a certificate; who shows a bad one is refused, who has none is not",
    ),
    _works("tls_verify_certificates", kinds.EXPANSION, "system", "who may vouch for clients"),
    _works("tls_verify_hosts", kinds.HOSTS, None, "clients that must show a good certificate"),
    # --- SPF
    _works(
        "spf_guess", kinds.STRING, "v=spf1 a/24 mx/24 ptr ?all", "the record of domains that publish none"
    ),
    _works(
        "spf_smtp_comment_template",
        kinds.EXPANSION,
        "Please%_see%_http://www.open-spf.org/Why",
        "how $spf_smtp_comment begins; SPF's own macros are in it, not Exim's alone",
    ),
    # --- DKIM
    _works(
        "dkim_verify_hashes",
        kinds.STRINGS,
        "sha256:sha512",
        "hashes of signatures that count, the best first",
    ),
    _works(
        "dkim_verify_keytypes", kinds.STRINGS, "ed25519:rsa", "keys of signatures that count, the best first"
    ),
    _works(
        "dkim_verify_min_keysizes",
        kinds.STRING,
        "rsa=1024 ed25519=250",
        "the least bits of keys that count",
    ),
    _works(
        "dkim_verify_minimal", kinds.BOOLEAN, False, "nothing is verified behind the first good signature"
    ),
    _works(
        "dkim_verify_signers",
        kinds.EXPANSION,
        "$dkim_signers",
        "the domains and identities for which acl_smtp_dkim is run",
    ),
    # --- look-ups
    _works(
        "callout_domain_negative_expire", kinds.TIME, "3h", "how long a domain's bad callout is remembered"
    ),
    _works(
        "callout_domain_positive_expire", kinds.TIME, "7d", "how long a domain's good callout is remembered"
    ),
    _works("callout_negative_expire", kinds.TIME, "2h", "how long an address's bad callout is remembered"),
    _works("callout_positive_expire", kinds.TIME, "24h", "how long an address's good callout is remembered"),
    _works("sqlite_dbfile", kinds.STRING, None, "the file of sqlite look-ups that name none"),
    _works("sqlite_lock_timeout", kinds.INTEGER, "5", "seconds that a query waits for a locked database"),
    # --- nothing to change here
    _moot("add_environment", kinds.STRINGS, None, _NO_PROGRAMS),
    _moot("keep_environment", kinds.STRINGS, None, _NO_PROGRAMS),
    _moot("bi_command", kinds.STRING, None, "an lsearch file is read as it is: nothing is to be built"),
    _moot("check_log_inodes", kinds.INTEGER, "100", _NO_DISK_CHECK),
    _moot("check_log_space", kinds.INTEGER, "10M", _NO_DISK_CHECK),
    _moot("check_spool_inodes", kinds.INTEGER, "100", _NO_DISK_CHECK),
    _moot("check_spool_space", kinds.INTEGER, "10M", _NO_DISK_CHECK),
    _works(
        "daemon_startup_retries", kinds.INTEGER, "9", "labkit-exim -bd: tries, 30 seconds apart, for a port"
    ),
    _moot("deliver_drop_privilege", kinds.BOOLEAN, False, _NEVER_ROOT),
    _moot("disable_ipv6", kinds.BOOLEAN, False, "hosts of the lab have IPv4 addresses"),
    _moot("dns_csa_search_limit", kinds.INTEGER, "5", "labkit has no verify = csa"),
    _moot("dns_dnssec_ok", kinds.INTEGER, "-1", _SAYS_ALWAYS),
    _moot("dns_retrans", kinds.TIME, "0s", "labkit's resolver has patience of its own"),
    _moot("dns_retry", kinds.INTEGER, "0", "labkit's resolver has patience of its own"),
    _works("exim_group", kinds.STRING, None, "labkit-exim: who may administer it; it becomes no other user"),
    _moot("exim_path", kinds.STRING, None, "labkit does not start itself again"),
    _works("exim_user", kinds.STRING, None, "labkit-exim: who may administer it; it becomes no other user"),
    _moot("gecos_name", kinds.STRING, None, "accounts of the lab have no full names"),
    _moot("gecos_pattern", kinds.STRING, None, "accounts of the lab have no full names"),
    _works(
        "local_from_check",
        kinds.BOOLEAN,
        True,
        "labkit-exim: a From: that is not the caller's gets a Sender:",
    ),
    _works("log_file_path", kinds.STRINGS, None, "the logs of labkit-exim; a lab host's is the journal"),
    _moot("gnutls_allow_auto_pkcs11", kinds.BOOLEAN, False, _OPENSSL),
    _moot("gnutls_compat_mode", kinds.BOOLEAN, False, _OPENSSL),
    _moot(
        "openssl_options", kinds.STRING, None, "TLS is 1.2 or 1.3, and nothing that is known to be weak is on"
    ),
    _works("log_selector", kinds.STRING, None, "which lines the log has, and what they show"),
    _works("log_timezone", kinds.BOOLEAN, False, "lines of the log have the time zone"),
    _works(
        "message_logs", kinds.BOOLEAN, True, "labkit-exim keeps a log for each message; a lab has the journal"
    ),
    _moot("never_users", kinds.STRINGS, None, _NEVER_ROOT),
    _works("pid_file_path", kinds.STRING, None, "of labkit-exim -bd; a lab host has no process of its own"),
    _moot("rfc1413_hosts", kinds.HOSTS, None, _NO_IDENT),
    _moot("rfc1413_query_timeout", kinds.TIME, "0s", _NO_IDENT),
    _moot("split_spool_directory", kinds.BOOLEAN, False, "the spool of a lab host is small"),
    _moot("syslog_timestamp", kinds.BOOLEAN, True, "labkit writes no system log"),
    _moot("tcp_nodelay", kinds.BOOLEAN, True, "labkit always sends at once"),
    _moot("timezone", kinds.STRING, None, "lab time is UTC"),
    _moot("tls_dh_max_bits", kinds.INTEGER, "2236", "the TLS of today has no such parameters"),
    _moot("tls_eccurve", kinds.EXPANSION, "auto", "OpenSSL chooses the curve"),
    _moot("tls_dhparam", kinds.STRING, None, "the TLS of today has no such parameters"),
    _moot("tls_resumption_hosts", kinds.EXPANSION, None, "labkit resumes no TLS sessions"),
    _works("admin_groups", kinds.STRINGS, None, "labkit-exim: groups whose members may administer it"),
    _works(
        "extract_addresses_remove_arguments",
        kinds.BOOLEAN,
        True,
        "labkit-exim -t: arguments are left out, not added",
    ),
    _works("prod_requires_admin", kinds.BOOLEAN, True, "labkit-exim -q and -M are for its administrators"),
    _works("trusted_groups", kinds.STRINGS, None, "of labkit-exim: groups that may name any sender"),
    _works("trusted_users", kinds.STRINGS, None, "of labkit-exim: users who may name any sender"),
    _works("untrusted_set_sender", kinds.ADDRESSES, None, "senders that others may name with labkit-exim -f"),
    _works("write_rejectlog", kinds.BOOLEAN, True, "labkit-exim writes a reject log; a lab has the journal"),
    # --- what waits, and what is told of it
    _works(
        "auto_thaw",
        kinds.TIME,
        "0s",
        "a frozen message (no report) is tried again after this time; 0s: never",
    ),
    _works("bounce_message_file", kinds.EXPANSION, None, "a file with the words of a delivery report"),
    _works("bounce_message_text", kinds.STRING, None, "more words in a delivery report"),
    _works("bounce_return_body", kinds.BOOLEAN, True, "a report has the body of the message"),
    _works(
        "bounce_return_linesize_limit",
        kinds.INTEGER,
        "998",
        "a message with a longer line comes back without its body",
    ),
    _works(
        "bounce_return_size_limit",
        kinds.INTEGER,
        "100K",
        "a message with a larger body comes back without it",
    ),
    _works(
        "bounce_sender_authentication",
        kinds.STRING,
        None,
        "who stands as the authenticated sender of reports",
    ),
    _works("delay_warning", kinds.WARNINGS, "1d", "when to tell the sender that a message is still waiting"),
    _works(
        "delay_warning_condition",
        kinds.EXPANSION,
        "${if or {{ !eq{$h_list-id:$h_list-post:$h_list-subscribe:}{} }{ match{$h_precedence:}{(?i)bulk|list|junk} }"
        "{ match{$h_auto-submitted:}{(?i)auto-generated|auto-replied} }} {no}{yes}}",
        "whether to tell the sender",
    ),
    _works(
        "dsn_from",
        kinds.STRING,
        None,
        "From: of delivery reports; unset: Mail Delivery System <Mailer-Daemon@$qualify_domain>",
    ),
    _works("errors_copy", kinds.STRINGS, None, "who gets a copy of delivery reports: pattern and address"),
    _works("errors_reply_to", kinds.STRING, None, "Reply-To: of delivery reports"),
    _works("freeze_tell", kinds.STRING, None, "who is told about a frozen message"),
    _works("hold_domains", kinds.DOMAINS, None, "domains that are not delivered to, unless it is forced"),
    _works(
        "ignore_bounce_errors_after", kinds.TIME, "10w", "when a report that cannot be delivered is dropped"
    ),
    _works("queue_domains", kinds.DOMAINS, None, "domains that wait for a queue run"),
    _works("queue_only", kinds.BOOLEAN, False, "no message is delivered at once"),
    _works(
        "queue_only_file", kinds.STRING, None, "files; while one is there, no message is delivered at once"
    ),
    _works(
        "queue_only_override", kinds.BOOLEAN, True, "the command line may say -odb where queue_only is set"
    ),
    _works("queue_smtp_domains", kinds.DOMAINS, None, "domains that wait for a queue run, but are routed"),
    _works("retry_data_expire", kinds.TIME, "7d", "when a retry hint is forgotten"),
    _works("retry_interval_max", kinds.TIME, "1d", "the longest time between two attempts"),
    _works("spamd_address", kinds.STRING, "127.0.0.1 783", "where the content filter of `spam =` listens"),
    _works("timeout_frozen_after", kinds.TIME, "0s", "when a frozen message is given up; 0s: never"),
    _works("warn_message_file", kinds.EXPANSION, None, "a file with the words of a delay warning"),
    _moot("bounce_return_message", kinds.BOOLEAN, True, "Exim 4.96 returns the message whatever it says"),
    _moot(
        "keep_malformed",
        kinds.TIME,
        "4d",
        "labkit puts a damaged message into spool/corrupt, and it stays there",
    ),
    _moot("preserve_message_logs", kinds.BOOLEAN, False, "the journal has the log of each message"),
    _moot("print_topbitchars", kinds.BOOLEAN, False, "the journal is UTF-8"),
    _moot("queue_fast_ramp", kinds.BOOLEAN, False, "a queue run of labkit is one process"),
    _works("queue_list_requires_admin", kinds.BOOLEAN, True, "labkit-exim -bp is for its administrators"),
    _moot("queue_run_in_order", kinds.BOOLEAN, False, "labkit always begins with the oldest message"),
    _moot("queue_run_max", kinds.EXPANSION, "5", "labkit has one queue run at a time"),
    _works(
        "remote_max_parallel",
        kinds.INTEGER,
        "4",
        "in how many parts max_rcpt may divide the recipients of a message; they are sent one after the other",
    ),
    _moot("remote_sort_domains", kinds.DOMAINS, None, "labkit sends in the order of routing"),
    # --- delivery, reports, TLS, AUTH: read and checked; a host that runs must do without
    _tested("tls_crl", kinds.EXPANSION, None, "certificates that are no longer good"),
    _tested("tls_ocsp_file", kinds.EXPANSION, None, "a proof that our certificate is still good"),
    _tested("unknown_login", kinds.EXPANSION, None, "the name of a caller without an account"),
)
