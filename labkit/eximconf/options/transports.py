"""The options of transports.

STANDARDS  Exim specification, chapters "Generic options for transports", "The appendfile transport",
           "The autoreply transport", "The pipe transport", "The smtp transport"
READ NEXT  authenticators.py
"""

from __future__ import annotations

from labkit.eximconf.options import kinds
from labkit.eximconf.options.kinds import Kind
from labkit.eximconf.options.row import Option, Standing

DRIVERS = ("appendfile", "autoreply", "pipe", "smtp")
_CHAPTERS = {
    "transport": "Generic options for transports",
    "transport appendfile": "The appendfile transport",
    "transport autoreply": "The autoreply transport",
    "transport pipe": "The pipe transport",
    "transport smtp": "The smtp transport",
}


def _works(scope: str, name: str, kind: Kind, default: str | bool | None, effect: str) -> Option:
    return Option(scope, name, kind, default, _CHAPTERS[scope], effect)


def _moot(scope: str, name: str, kind: Kind, default: str | bool | None, why: str) -> Option:
    return Option(scope, name, kind, default, _CHAPTERS[scope], why, Standing.MOOT)


def _tested(scope: str, name: str, kind: Kind, default: str | bool | None, effect: str) -> Option:
    return Option(scope, name, kind, default, _CHAPTERS[scope], effect, Standing.TESTED)


_ANY = "transport"
_FILE = "transport appendfile"
_SMTP = "transport smtp"
_PIPE = "transport pipe"
_REPLY = "transport autoreply"
ROWS: tuple[Option, ...] = (
    # --- transport
    _works(_ANY, "driver", kinds.STRING, None, "which kind of transport this is"),
    _works(_ANY, "delivery_date_add", kinds.BOOLEAN, False, "add a Delivery-date field"),
    _works(_ANY, "envelope_to_add", kinds.BOOLEAN, False, "add an Envelope-to field"),
    _works(_ANY, "return_path_add", kinds.BOOLEAN, False, "add a Return-path field"),
    _moot(_ANY, "debug_print", kinds.EXPANSION, None, "words for exim -d"),
    _moot(_ANY, "disable_logging", kinds.BOOLEAN, False, "the journal has everything"),
    _moot(_ANY, "group", kinds.EXPANSION, None, "labkit runs as one ordinary user and becomes no other"),
    _moot(_ANY, "user", kinds.EXPANSION, None, "labkit runs as one ordinary user and becomes no other"),
    _moot(_ANY, "initgroups", kinds.BOOLEAN, False, "labkit runs as one ordinary user and becomes no other"),
    _moot(_ANY, "current_directory", kinds.EXPANSION, None, "labkit starts no programs"),
    _tested(_ANY, "body_only", kinds.BOOLEAN, False, "the body alone is delivered"),
    _tested(_ANY, "headers_only", kinds.BOOLEAN, False, "the header alone is delivered"),
    _tested(_ANY, "headers_add", kinds.EXPANSION, None, "fields added on the way"),
    _tested(_ANY, "headers_remove", kinds.EXPANSION, None, "fields removed on the way"),
    _tested(_ANY, "headers_rewrite", kinds.STRING, None, "addresses rewritten on the way"),
    _tested(_ANY, "home_directory", kinds.EXPANSION, None, "$home"),
    _tested(_ANY, "max_parallel", kinds.EXPANSION, None, "deliveries at a time"),
    _tested(_ANY, "message_size_limit", kinds.EXPANSION, None, "octets; a larger message fails"),
    _tested(_ANY, "rcpt_include_affixes", kinds.BOOLEAN, False, "RCPT has prefix and suffix"),
    _tested(_ANY, "retry_use_local_part", kinds.BOOLEAN, None, "whether retries look at the user"),
    _tested(_ANY, "return_path", kinds.EXPANSION, None, "another reverse-path"),
    _tested(_ANY, "shadow_condition", kinds.EXPANSION, None, "whether a copy is delivered, too"),
    _tested(_ANY, "shadow_transport", kinds.STRING, None, "who delivers the copy"),
    _tested(_ANY, "transport_filter", kinds.STRING, None, "a program that changes the message"),
    # --- transport appendfile
    _works(_FILE, "file", kinds.EXPANSION, None, "the mailbox file (mbox)"),
    _works(_FILE, "directory", kinds.EXPANSION, None, "the mailbox directory (Maildir)"),
    _works(_FILE, "maildir_format", kinds.BOOLEAN, False, "the directory is a Maildir"),
    _works(_FILE, "mode", kinds.MODE, "0600", "permissions of the mailbox file"),
    _works(_FILE, "create_directory", kinds.BOOLEAN, True, "a missing folder is made"),
    _moot(_FILE, "check_group", kinds.BOOLEAN, False, "files of the lab have one owner"),
    _moot(_FILE, "check_owner", kinds.BOOLEAN, True, "files of the lab have one owner"),
    _moot(_FILE, "notify_comsat", kinds.BOOLEAN, False, "nobody listens for it in the lab"),
    _moot(
        _FILE,
        "mode_fail_narrower",
        kinds.BOOLEAN,
        True,
        "labkit sets the mode of a file it makes, and leaves others as they are",
    ),
    _moot(_FILE, "lock_retries", kinds.INTEGER, "10", "nobody else writes to a mailbox of the lab"),
    _moot(_FILE, "lock_interval", kinds.TIME, "3s", "nobody else writes to a mailbox of the lab"),
    _moot(_FILE, "use_lockfile", kinds.BOOLEAN, None, "nobody else writes to a mailbox of the lab"),
    _moot(_FILE, "use_fcntl_lock", kinds.BOOLEAN, None, "nobody else writes to a mailbox of the lab"),
    _moot(_FILE, "directory_mode", kinds.MODE, "0700", "folders of the lab belong to one user"),
    _tested(_FILE, "allow_fifo", kinds.BOOLEAN, False, "the file may be a pipe"),
    _tested(_FILE, "allow_symlink", kinds.BOOLEAN, False, "the file may be a link"),
    _tested(_FILE, "check_string", kinds.STRING, "From ", "lines that begin so are quoted"),
    _tested(_FILE, "create_file", kinds.STRING, "anywhere", "where files may be made"),
    _tested(_FILE, "escape_string", kinds.STRING, ">From ", "how they are quoted"),
    _tested(_FILE, "file_must_exist", kinds.BOOLEAN, False, "no file is made"),
    _tested(_FILE, "message_prefix", kinds.EXPANSION, None, "what stands before a message"),
    _tested(_FILE, "message_suffix", kinds.EXPANSION, None, "what stands after it"),
    _tested(_FILE, "quota", kinds.EXPANSION, None, "how large a mailbox may become"),
    _tested(_FILE, "quota_warn_threshold", kinds.EXPANSION, None, "when the owner is warned"),
    _tested(_FILE, "quota_warn_message", kinds.EXPANSION, None, "how the owner is warned"),
    _tested(_FILE, "maildir_tag", kinds.EXPANSION, None, "what a file name ends with"),
    _tested(_FILE, "use_crlf", kinds.BOOLEAN, False, "line ends of the mailbox"),
    # --- transport smtp
    _works(_SMTP, "helo_data", kinds.EXPANSION, "$primary_hostname", "the name in EHLO"),
    _works(_SMTP, "port", kinds.PORT, "smtp", "the port to connect to"),
    _moot(_SMTP, "hosts_try_fastopen", kinds.HOSTS, None, "connections on one machine are fast"),
    _moot(_SMTP, "tls_resumption_hosts", kinds.EXPANSION, None, "labkit resumes no TLS sessions"),
    _moot(_SMTP, "hosts_try_prdr", kinds.HOSTS, "*", "labkit does not use PRDR"),
    _works(
        _SMTP, "hosts_try_chunking", kinds.HOSTS, "*", "hosts that get a message by BDAT, if they offer it"
    ),
    _moot(_SMTP, "hosts_pipe_connect", kinds.HOSTS, None, "labkit does not use PIPECONNECT"),
    _moot(_SMTP, "dnssec_request_domains", kinds.DOMAINS, "*", "there is no DNSSEC in the lab"),
    _moot(_SMTP, "hosts_try_dane", kinds.HOSTS, "*", "there is no DNSSEC in the lab"),
    _moot(_SMTP, "keepalive", kinds.BOOLEAN, True, "no host is further away than this machine"),
    _moot(_SMTP, "dns_qualify_single", kinds.BOOLEAN, True, "the lab's resolver adds no domain to a name"),
    _moot(_SMTP, "dns_search_parents", kinds.BOOLEAN, False, "the lab's resolver does not search"),
    _moot(_SMTP, "tls_dh_min_bits", kinds.INTEGER, "1024", "the TLS of today has no such parameters"),
    _moot(_SMTP, "hosts_request_ocsp", kinds.HOSTS, "*", "there is no OCSP in the lab"),
    _works(
        _SMTP,
        "delay_after_cutoff",
        kinds.BOOLEAN,
        True,
        "whether a host that is dead for too long is left alone until its time",
    ),
    _works(_SMTP, "address_retry_include_sender", kinds.BOOLEAN, True, "whether retries look at the sender"),
    _works(_SMTP, "allow_localhost", kinds.BOOLEAN, False, "we may connect to ourselves"),
    _works(_SMTP, "authenticated_sender", kinds.EXPANSION, None, "AUTH= on MAIL"),
    _works(_SMTP, "command_timeout", kinds.TIME, "5m", "patience with a command"),
    _works(_SMTP, "connect_timeout", kinds.TIME, "5m", "patience with a connection"),
    _works(_SMTP, "connection_max_messages", kinds.INTEGER, "500", "messages on one connection"),
    _works(_SMTP, "data_timeout", kinds.TIME, "5m", "patience while sending"),
    _tested(_SMTP, "dkim_canon", kinds.EXPANSION, None, "DKIM: canonicalisation"),
    _tested(_SMTP, "dkim_domain", kinds.EXPANSION, None, "DKIM: who signs"),
    _tested(_SMTP, "dkim_hash", kinds.EXPANSION, "sha256", "DKIM: the hash"),
    _tested(_SMTP, "dkim_identity", kinds.EXPANSION, None, "DKIM: for whom"),
    _tested(_SMTP, "dkim_private_key", kinds.EXPANSION, None, "DKIM: the key"),
    _tested(_SMTP, "dkim_selector", kinds.EXPANSION, None, "DKIM: where the key is published"),
    _tested(_SMTP, "dkim_sign_headers", kinds.EXPANSION, None, "DKIM: the fields that are signed"),
    _tested(_SMTP, "dkim_strict", kinds.EXPANSION, None, "DKIM: no key, no mail"),
    _tested(_SMTP, "dkim_timestamps", kinds.EXPANSION, None, "DKIM: when the signature ends"),
    _works(_SMTP, "fallback_hosts", kinds.STRINGS, None, "hosts to try when all others fail"),
    _works(_SMTP, "final_timeout", kinds.TIME, "10m", "patience after the message"),
    _moot(_SMTP, "gethostbyname", kinds.BOOLEAN, False, "the lab's names are those of its DNS"),
    _works(_SMTP, "hosts", kinds.EXPANSION, None, "hosts to try, if the router names none"),
    _works(_SMTP, "hosts_avoid_esmtp", kinds.HOSTS, None, "hosts that are greeted with HELO"),
    _works(_SMTP, "hosts_avoid_pipelining", kinds.HOSTS, None, "hosts that are not pipelined to"),
    _works(_SMTP, "hosts_avoid_tls", kinds.HOSTS, None, "hosts without TLS"),
    _works(_SMTP, "hosts_max_try", kinds.INTEGER, "5", "hosts to try"),
    _works(_SMTP, "hosts_override", kinds.BOOLEAN, False, "hosts of the transport win"),
    _moot(_SMTP, "hosts_randomize", kinds.BOOLEAN, False, "the order of the file: two runs do the same"),
    _works(_SMTP, "hosts_require_auth", kinds.HOSTS, None, "hosts that must take our AUTH"),
    _works(_SMTP, "hosts_require_tls", kinds.HOSTS, None, "hosts that must take our STARTTLS"),
    _works(_SMTP, "hosts_try_auth", kinds.HOSTS, None, "hosts that are offered our AUTH"),
    _works(_SMTP, "hosts_verify_avoid_tls", kinds.HOSTS, None, "hosts without TLS in callouts"),
    _works(_SMTP, "authenticated_sender_force", kinds.BOOLEAN, False, "AUTH= is said even without AUTH"),
    _works(_SMTP, "hosts_max_try_hardlimit", kinds.INTEGER, "50", "hosts to try, whatever their state"),
    _works(_SMTP, "interface", kinds.EXPANSION, None, "our own address"),
    _works(_SMTP, "max_rcpt", kinds.INTEGER, "100", "recipients of one message"),
    _works(_SMTP, "message_linelength_limit", kinds.INTEGER, "998", "longer lines fail"),
    _works(_SMTP, "multi_domain", kinds.BOOLEAN, True, "several domains in one go"),
    _works(_SMTP, "protocol", kinds.STRING, "smtp", "smtp, smtps or lmtp"),
    _works(_SMTP, "retry_include_ip_address", kinds.BOOLEAN, True, "whether retries look at the address"),
    _moot(_SMTP, "serialize_hosts", kinds.HOSTS, None, "a lab host delivers one message at a time"),
    _works(_SMTP, "size_addition", kinds.INTEGER, "1024", "added to SIZE"),
    _works(_SMTP, "tls_certificate", kinds.EXPANSION, None, "our certificate"),
    _works(_SMTP, "tls_privatekey", kinds.EXPANSION, None, "our key"),
    _works(_SMTP, "tls_require_ciphers", kinds.EXPANSION, None, "the ciphers that are allowed"),
    _works(_SMTP, "tls_sni", kinds.EXPANSION, None, "the name we ask for"),
    _works(_SMTP, "tls_tempfail_tryclear", kinds.BOOLEAN, True, "go on without TLS"),
    _works(_SMTP, "tls_try_verify_hosts", kinds.HOSTS, "*", "hosts whose certificates are looked at"),
    _works(
        _SMTP, "tls_verify_cert_hostnames", kinds.HOSTS, "*", "hosts whose names must be in the certificate"
    ),
    _works(_SMTP, "tls_verify_certificates", kinds.EXPANSION, "system", "who may vouch for certificates"),
    _works(_SMTP, "tls_verify_hosts", kinds.HOSTS, None, "hosts that must have a good certificate"),
    # --- transport pipe
    _tested(_PIPE, "allow_commands", kinds.EXPANSION, None, "commands that may run"),
    _tested(_PIPE, "command", kinds.EXPANSION, None, "the program"),
    _tested(_PIPE, "environment", kinds.EXPANSION, None, "its environment"),
    _tested(_PIPE, "ignore_status", kinds.BOOLEAN, False, "its exit status does not count"),
    _tested(_PIPE, "log_output", kinds.BOOLEAN, False, "its output goes into the log"),
    _tested(_PIPE, "message_prefix", kinds.EXPANSION, None, "what stands before a message"),
    _tested(_PIPE, "message_suffix", kinds.EXPANSION, None, "what stands after it"),
    _tested(_PIPE, "path", kinds.EXPANSION, "/bin:/usr/bin", "where programs are"),
    _tested(_PIPE, "return_fail_output", kinds.BOOLEAN, False, "its output goes back if it fails"),
    _tested(_PIPE, "return_output", kinds.BOOLEAN, False, "its output goes back"),
    _tested(_PIPE, "temp_errors", kinds.STRING, "75:73", "exit statuses that mean: later"),
    _tested(_PIPE, "timeout", kinds.TIME, "1h", "patience with it"),
    _tested(_PIPE, "umask", kinds.MODE, "0022", "permissions of what it makes"),
    _tested(_PIPE, "use_shell", kinds.BOOLEAN, False, "a shell runs it"),
    # --- transport autoreply
    _tested(_REPLY, "bcc", kinds.EXPANSION, None, "who else gets it"),
    _tested(_REPLY, "cc", kinds.EXPANSION, None, "who else gets it"),
    _tested(_REPLY, "file", kinds.EXPANSION, None, "a file with its words"),
    _tested(_REPLY, "file_expand", kinds.BOOLEAN, False, "the file is expanded"),
    _tested(_REPLY, "file_optional", kinds.BOOLEAN, False, "the file may be missing"),
    _tested(_REPLY, "from", kinds.EXPANSION, None, "From: of the answer"),
    _tested(_REPLY, "headers", kinds.EXPANSION, None, "more fields"),
    _tested(_REPLY, "log", kinds.EXPANSION, None, "a file to write it down"),
    _tested(_REPLY, "never_mail", kinds.ADDRESSES, None, "who gets no answer"),
    _tested(_REPLY, "once", kinds.EXPANSION, None, "who has had one"),
    _tested(_REPLY, "once_repeat", kinds.EXPANSION, "0s", "when they get another"),
    _tested(_REPLY, "reply_to", kinds.EXPANSION, None, "Reply-To:"),
    _tested(_REPLY, "return_message", kinds.BOOLEAN, False, "with the message"),
    _tested(_REPLY, "subject", kinds.EXPANSION, None, "Subject:"),
    _tested(_REPLY, "text", kinds.EXPANSION, None, "its words"),
    _tested(_REPLY, "to", kinds.EXPANSION, None, "who gets it"),
)
