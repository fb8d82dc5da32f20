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


def _works(
    scope: str, name: str, kind: Kind, default: str | bool | None, effect: str, *, repeats: bool = False
) -> Option:
    return Option(scope, name, kind, default, _CHAPTERS[scope], effect, repeats=repeats)


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
    _works(_ANY, "body_only", kinds.BOOLEAN, False, "the body alone is delivered"),
    _works(_ANY, "current_directory", kinds.EXPANSION, None, "where a program runs"),
    _works(_ANY, "delivery_date_add", kinds.BOOLEAN, False, "add a Delivery-date field"),
    _works(_ANY, "envelope_to_add", kinds.BOOLEAN, False, "add an Envelope-to field"),
    _works(_ANY, "headers_add", kinds.EXPANSION, None, "fields added on the way", repeats=True),
    _works(_ANY, "headers_only", kinds.BOOLEAN, False, "the header alone is delivered"),
    _works(_ANY, "headers_remove", kinds.EXPANSION, None, "fields removed on the way", repeats=True),
    _works(_ANY, "home_directory", kinds.EXPANSION, None, "$home"),
    _works(_ANY, "message_size_limit", kinds.EXPANSION, None, "octets; a larger message fails"),
    _works(_ANY, "rcpt_include_affixes", kinds.BOOLEAN, False, "RCPT has prefix and suffix"),
    _works(_ANY, "return_path", kinds.EXPANSION, None, "another reverse-path"),
    _works(_ANY, "return_path_add", kinds.BOOLEAN, False, "add a Return-path field"),
    _works(_ANY, "shadow_condition", kinds.EXPANSION, None, "whether a copy is delivered, too"),
    _works(_ANY, "shadow_transport", kinds.STRING, None, "who delivers the copy"),
    _moot(_ANY, "debug_print", kinds.EXPANSION, None, "words for exim -d"),
    _moot(_ANY, "disable_logging", kinds.BOOLEAN, False, "the journal has everything"),
    _moot(_ANY, "group", kinds.EXPANSION, None, "labkit runs as one ordinary user and becomes no other"),
    _moot(_ANY, "user", kinds.EXPANSION, None, "labkit runs as one ordinary user and becomes no other"),
    _moot(_ANY, "initgroups", kinds.BOOLEAN, False, "labkit runs as one ordinary user and becomes no other"),
    _moot(_ANY, "max_parallel", kinds.EXPANSION, None, "labkit delivers one message after the other"),
    _tested(_ANY, "event_action", kinds.EXPANSION, None, "what happens at a delivery"),
    _works(_ANY, "headers_rewrite", kinds.STRINGS, None, "addresses rewritten on the way"),
    _tested(_ANY, "retry_use_local_part", kinds.BOOLEAN, None, "whether retries look at the user"),
    _tested(_ANY, "transport_filter", kinds.STRING, None, "a program that changes the message"),
    _tested(_ANY, "transport_filter_timeout", kinds.TIME, "5m", "patience with it"),
    # --- transport appendfile
    _works(_FILE, "allow_fifo", kinds.BOOLEAN, False, "the file may be a pipe that somebody reads"),
    _works(_FILE, "allow_symlink", kinds.BOOLEAN, False, "the file may be a link to a file of this host"),
    _works(_FILE, "check_group", kinds.BOOLEAN, False, "a file of another group is refused"),
    _works(_FILE, "check_owner", kinds.BOOLEAN, True, "a file of another user is refused"),
    _works(_FILE, "check_string", kinds.STRING, None, "lines that begin so are quoted"),
    _works(_FILE, "create_directory", kinds.BOOLEAN, True, "a missing folder is made"),
    _works(_FILE, "create_file", kinds.STRING, "anywhere", "where files may be made"),
    _works(_FILE, "directory", kinds.EXPANSION, None, "the mailbox directory (Maildir)"),
    _works(
        _FILE,
        "directory_file",
        kinds.EXPANSION,
        "q${base62:$tod_epoch}-$inode",
        "the name of a new file in a directory",
    ),
    _works(_FILE, "directory_mode", kinds.MODE, "0700", "permissions of a folder that is made"),
    _works(_FILE, "escape_string", kinds.STRING, None, "how lines are quoted"),
    _works(_FILE, "file", kinds.EXPANSION, None, "the mailbox file (mbox)"),
    _works(_FILE, "file_must_exist", kinds.BOOLEAN, False, "no file is made"),
    _works(_FILE, "lock_interval", kinds.TIME, "3s", "how long to wait for a lock each time"),
    _works(_FILE, "lock_retries", kinds.INTEGER, "10", "how often to try to lock a mailbox"),
    _works(_FILE, "lockfile_mode", kinds.MODE, "0600", "permissions of the lock file"),
    _works(_FILE, "lockfile_timeout", kinds.TIME, "30m", "when a lock file is a left-over"),
    _works(_FILE, "mailbox_filecount", kinds.EXPANSION, None, "how many files a mailbox has"),
    _works(_FILE, "mailbox_size", kinds.EXPANSION, None, "how large a mailbox is"),
    _works(_FILE, "maildir_format", kinds.BOOLEAN, False, "the directory is a Maildir"),
    _works(
        _FILE,
        "maildir_quota_directory_regex",
        kinds.STRING,
        r"^(?:cur|new|\..*)$",
        "folders of a Maildir that count",
    ),
    _works(_FILE, "maildir_tag", kinds.EXPANSION, None, "what a file name ends with"),
    _works(_FILE, "maildir_use_size_file", kinds.TRUTH, False, "keep a file maildirsize"),
    _works(_FILE, "maildirfolder_create_regex", kinds.STRING, None, "Maildirs that are folders of another"),
    _works(_FILE, "message_prefix", kinds.EXPANSION, None, "what stands before a message"),
    _works(_FILE, "message_suffix", kinds.EXPANSION, None, "what stands after it"),
    _works(_FILE, "mode", kinds.MODE, "0600", "permissions of the mailbox file"),
    _works(_FILE, "mode_fail_narrower", kinds.BOOLEAN, True, "a file with fewer permissions is refused"),
    _works(_FILE, "quota", kinds.EXPANSION, None, "how large a mailbox may become"),
    _works(_FILE, "quota_directory", kinds.EXPANSION, None, "the folder whose size counts"),
    _works(_FILE, "quota_filecount", kinds.EXPANSION, None, "how many messages a directory may have"),
    _works(_FILE, "quota_is_inclusive", kinds.BOOLEAN, True, "the new message counts, too"),
    _works(_FILE, "quota_size_regex", kinds.STRING, None, "the size of a message in the name of its file"),
    _works(_FILE, "quota_warn_message", kinds.EXPANSION, None, "how the owner is warned"),
    _works(_FILE, "quota_warn_threshold", kinds.EXPANSION, None, "when the owner is warned"),
    _works(_FILE, "use_bsmtp", kinds.BOOLEAN, False, "the message is written as batch SMTP"),
    _works(_FILE, "use_crlf", kinds.BOOLEAN, False, "line ends of the mailbox"),
    _works(_FILE, "use_fcntl_lock", kinds.BOOLEAN, None, "the mailbox is locked by fcntl"),
    _works(_FILE, "use_flock_lock", kinds.BOOLEAN, None, "the mailbox is locked by flock"),
    _works(_FILE, "use_lockfile", kinds.BOOLEAN, None, "the mailbox is locked by a file .lock"),
    _moot(_FILE, "lock_fcntl_timeout", kinds.TIME, "0s", "labkit tries again instead of standing still"),
    _moot(_FILE, "lock_flock_timeout", kinds.TIME, "0s", "labkit tries again instead of standing still"),
    _moot(_FILE, "maildir_retries", kinds.INTEGER, "10", "the name of a new file is nobody else's"),
    _moot(_FILE, "notify_comsat", kinds.BOOLEAN, False, "nobody listens for it in the lab"),
    _tested(_FILE, "batch_id", kinds.EXPANSION, None, "who may share a copy"),
    _tested(_FILE, "batch_max", kinds.INTEGER, "1", "how many recipients share a copy"),
    _tested(_FILE, "file_format", kinds.STRING, None, "another transport for a file of another form"),
    _tested(_FILE, "mailstore_format", kinds.BOOLEAN, False, "two files for each message"),
    _tested(_FILE, "mailstore_prefix", kinds.EXPANSION, None, "what the first one begins with"),
    _tested(_FILE, "mailstore_suffix", kinds.EXPANSION, None, "what the first one ends with"),
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
    _moot(_SMTP, "data_timeout", kinds.TIME, "5m", "the time for sending counts with final_timeout"),
    _works(_SMTP, "dkim_canon", kinds.EXPANSION, None, "DKIM: canonicalisation"),
    _works(_SMTP, "dkim_domain", kinds.EXPANSION, None, "DKIM: who signs"),
    _works(_SMTP, "dkim_hash", kinds.EXPANSION, "sha256", "DKIM: the hash"),
    _works(_SMTP, "dkim_identity", kinds.EXPANSION, None, "DKIM: for whom"),
    _works(_SMTP, "dkim_private_key", kinds.EXPANSION, None, "DKIM: the key"),
    _works(_SMTP, "dkim_selector", kinds.EXPANSION, None, "DKIM: where the key is published"),
    _works(_SMTP, "dkim_sign_headers", kinds.EXPANSION, None, "DKIM: the fields that are signed"),
    _works(_SMTP, "dkim_strict", kinds.EXPANSION, None, "DKIM: no key, no mail"),
    _works(_SMTP, "dkim_timestamps", kinds.EXPANSION, None, "DKIM: when the signature ends"),
    _works(
        _SMTP,
        "dnssec_request_domains",
        kinds.DOMAINS,
        "*",
        "of hosts: those for which it matters what is signed",
    ),
    _works(
        _SMTP, "dnssec_require_domains", kinds.DOMAINS, None, "of hosts: those that must be in signed zones"
    ),
    _works(_SMTP, "fallback_hosts", kinds.STRINGS, None, "hosts to try when all others fail"),
    _works(_SMTP, "final_timeout", kinds.TIME, "10m", "patience after the message"),
    _works(_SMTP, "gethostbyname", kinds.BOOLEAN, False, "of hosts: what is signed is not known (no DANE)"),
    _works(_SMTP, "hosts", kinds.EXPANSION, None, "hosts to try, if the router names none"),
    _works(_SMTP, "hosts_avoid_esmtp", kinds.HOSTS, None, "hosts that are greeted with HELO"),
    _works(_SMTP, "hosts_avoid_pipelining", kinds.HOSTS, None, "hosts that are not pipelined to"),
    _works(_SMTP, "hosts_avoid_tls", kinds.HOSTS, None, "hosts without TLS"),
    _works(_SMTP, "hosts_max_try", kinds.INTEGER, "5", "hosts to try"),
    _works(_SMTP, "hosts_override", kinds.BOOLEAN, False, "hosts of the transport win"),
    _moot(_SMTP, "hosts_randomize", kinds.BOOLEAN, False, "the order of the file: two runs do the same"),
    _works(_SMTP, "hosts_require_auth", kinds.HOSTS, None, "hosts that must take our AUTH"),
    _works(_SMTP, "hosts_require_dane", kinds.HOSTS, None, "hosts that must have signed TLSA records (DANE)"),
    _works(_SMTP, "hosts_require_tls", kinds.HOSTS, None, "hosts that must take our STARTTLS"),
    _works(_SMTP, "hosts_try_auth", kinds.HOSTS, None, "hosts that are offered our AUTH"),
    _works(_SMTP, "hosts_try_dane", kinds.HOSTS, "*", "hosts whose signed TLSA records are obeyed (DANE)"),
    _moot(_SMTP, "hosts_verify_avoid_tls", kinds.HOSTS, None, "labkit's callouts use no TLS"),
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
    _works(_PIPE, "allow_commands", kinds.EXPANSION, None, "commands that may run"),
    _works(_PIPE, "check_string", kinds.STRING, None, "lines that begin so are quoted"),
    _works(_PIPE, "command", kinds.EXPANSION, None, "the program"),
    _works(_PIPE, "environment", kinds.EXPANSION, None, "its environment"),
    _works(_PIPE, "escape_string", kinds.STRING, None, "how lines are quoted"),
    _works(
        _PIPE, "force_command", kinds.BOOLEAN, False, "command counts also for programs that aliases name"
    ),
    _works(
        _PIPE, "freeze_exec_fail", kinds.BOOLEAN, False, "a program that is not there freezes the message"
    ),
    _works(_PIPE, "freeze_signal", kinds.BOOLEAN, False, "a program that is killed freezes the message"),
    _works(_PIPE, "ignore_status", kinds.BOOLEAN, False, "its exit status does not count"),
    _works(
        _PIPE, "log_defer_output", kinds.BOOLEAN, False, "its output goes into the log if it is for later"
    ),
    _works(_PIPE, "log_fail_output", kinds.BOOLEAN, False, "its output goes into the log if it fails"),
    _works(_PIPE, "log_output", kinds.BOOLEAN, False, "its output goes into the log"),
    _works(_PIPE, "max_output", kinds.INTEGER, "20K", "a program that says more is killed"),
    _works(_PIPE, "message_prefix", kinds.EXPANSION, None, "what stands before a message"),
    _works(_PIPE, "message_suffix", kinds.EXPANSION, None, "what stands after it"),
    _works(_PIPE, "path", kinds.EXPANSION, "/bin:/usr/bin", "where programs are"),
    _works(_PIPE, "restrict_to_path", kinds.BOOLEAN, False, "no programs from elsewhere"),
    _works(_PIPE, "return_fail_output", kinds.BOOLEAN, False, "its output goes back if it fails"),
    _works(_PIPE, "return_output", kinds.BOOLEAN, False, "its output goes back"),
    _works(_PIPE, "temp_errors", kinds.STRING, "75:73", "exit statuses that mean: later"),
    _works(_PIPE, "timeout", kinds.TIME, "1h", "patience with it"),
    _works(_PIPE, "timeout_defer", kinds.BOOLEAN, False, "then try again later"),
    _works(_PIPE, "umask", kinds.MODE, "022", "permissions of what it makes"),
    _works(_PIPE, "use_bsmtp", kinds.BOOLEAN, False, "the message is written as batch SMTP"),
    _works(_PIPE, "use_crlf", kinds.BOOLEAN, False, "line ends of what it reads"),
    _works(_PIPE, "use_shell", kinds.BOOLEAN, False, "a shell runs it"),
    _moot(_PIPE, "permit_coredump", kinds.BOOLEAN, False, "labkit changes no limits of the system"),
    _moot(_PIPE, "pipe_as_creator", kinds.BOOLEAN, False, "labkit runs as one ordinary user"),
    _tested(_PIPE, "batch_id", kinds.EXPANSION, None, "who may share a run"),
    _tested(_PIPE, "batch_max", kinds.INTEGER, "1", "how many recipients share a run"),
    # --- transport autoreply
    _works(_REPLY, "bcc", kinds.EXPANSION, None, "who else gets it"),
    _works(_REPLY, "cc", kinds.EXPANSION, None, "who else gets it"),
    _works(_REPLY, "file", kinds.EXPANSION, None, "a file with its words"),
    _works(_REPLY, "file_expand", kinds.BOOLEAN, False, "the file is expanded"),
    _works(_REPLY, "file_optional", kinds.BOOLEAN, False, "the file may be missing"),
    _works(_REPLY, "from", kinds.EXPANSION, None, "From: of the answer"),
    _works(_REPLY, "headers", kinds.EXPANSION, None, "more fields"),
    _works(_REPLY, "log", kinds.EXPANSION, None, "a file to write it down"),
    _works(_REPLY, "mode", kinds.MODE, "0600", "permissions of the files log and once"),
    _works(_REPLY, "never_mail", kinds.ADDRESSES, None, "who gets no answer"),
    _works(_REPLY, "once", kinds.EXPANSION, None, "who has had one"),
    _works(_REPLY, "once_file_size", kinds.INTEGER, "0", "octets; then the oldest are forgotten"),
    _works(_REPLY, "once_repeat", kinds.EXPANSION, None, "when they get another"),
    _works(_REPLY, "reply_to", kinds.EXPANSION, None, "Reply-To:"),
    _works(_REPLY, "return_message", kinds.BOOLEAN, False, "with the message"),
    _works(_REPLY, "subject", kinds.EXPANSION, None, "Subject:"),
    _works(_REPLY, "text", kinds.EXPANSION, None, "its words"),
    _works(_REPLY, "to", kinds.EXPANSION, None, "who gets it"),
)
