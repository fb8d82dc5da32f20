"""The options of the main section that shape a session: who is served, what is offered, how much is taken.

STANDARDS  Exim specification, chapter "Main configuration"
READ NEXT  routers.py
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


_NO_LOAD = "a lab host has no load"
_NO_CHECK = "labkit says 451 when the disk is full, and does not look before"

ROWS: tuple[Option, ...] = (
    # --- who is served
    _works("host_lookup", kinds.HOSTS, None, "clients whose names are looked up when they connect"),
    _works("host_reject_connection", kinds.HOSTS, None, "clients that are sent away at once with 554"),
    _works("hosts_connection_nolog", kinds.HOSTS, None, "clients whose connections are not in the log"),
    _works("smtp_accept_max", kinds.LIMIT, "1000", "sessions at once; beyond it: 421"),
    _works("smtp_accept_max_per_host", kinds.EXPANSION, None, "sessions of one client at once"),
    _works("smtp_accept_reserve", kinds.INTEGER, "0", "of these sessions so many are for smtp_reserve_hosts"),
    _works("smtp_reserve_hosts", kinds.HOSTS, None, "clients that get the reserved sessions, too"),
    _moot("smtp_accept_keepalive", kinds.BOOLEAN, True, "no client is further away than this machine"),
    _moot("smtp_backlog_monitor", kinds.INTEGER, "0", "labkit accepts connections as they come"),
    _moot("smtp_connect_backlog", kinds.INTEGER, "20", "labkit accepts connections as they come"),
    _moot("deliver_queue_load_max", kinds.FIXED_POINT, None, _NO_LOAD),
    _moot("queue_only_load", kinds.FIXED_POINT, None, _NO_LOAD),
    _moot("queue_only_load_latch", kinds.BOOLEAN, True, _NO_LOAD),
    _moot("smtp_load_reserve", kinds.FIXED_POINT, None, _NO_LOAD),
    # --- who we are to them
    _works(
        "smtp_active_hostname", kinds.EXPANSION, None, "our name in this session; unset: primary_hostname"
    ),
    _works("smtp_banner", kinds.EXPANSION, None, "the words after 220"),
    # --- who they say they are
    _works("helo_accept_junk_hosts", kinds.HOSTS, None, "clients that may say anything after HELO"),
    _works("helo_allow_chars", kinds.STRING, None, "more characters that a HELO name may have"),
    _works("helo_lookup_domains", kinds.DOMAINS, "@ : @[]", "who uses such a HELO name is looked up"),
    _works("helo_try_verify_hosts", kinds.HOSTS, None, "clients whose HELO name is checked and not refused"),
    _works("helo_verify_hosts", kinds.HOSTS, None, "clients whose HELO name must be theirs"),
    _works("hosts_require_helo", kinds.HOSTS, "*", "clients that must say HELO or EHLO before MAIL"),
    _works("sender_unqualified_hosts", kinds.HOSTS, None, "clients whose senders need no domain"),
    _works("recipient_unqualified_hosts", kinds.HOSTS, None, "clients whose recipients need no domain"),
    # --- what they are offered
    _works("accept_8bitmime", kinds.BOOLEAN, True, "8BITMIME is offered"),
    _works("chunking_advertise_hosts", kinds.HOSTS, "*", "clients that are offered CHUNKING (BDAT)"),
    _works("dsn_advertise_hosts", kinds.HOSTS, None, "clients that are offered DSN"),
    _works("pipelining_advertise_hosts", kinds.HOSTS, "*", "clients that are offered PIPELINING"),
    _moot("acl_smtp_data_prdr", kinds.EXPANSION, "accept", "labkit does not offer PRDR"),
    _moot("pipelining_connect_advertise_hosts", kinds.HOSTS, "*", "labkit does not offer PIPECONNECT"),
    _moot("prdr_enable", kinds.BOOLEAN, False, "labkit does not offer PRDR"),
    _moot("smtputf8_advertise_hosts", kinds.HOSTS, None, "labkit does not offer SMTPUTF8"),
    # --- how much is taken
    _works("header_line_maxsize", kinds.INTEGER, "0", "octets of one header field; beyond it: 552 (0: any)"),
    _works("header_maxsize", kinds.LIMIT, "1M", "octets of the whole header; beyond it: 552"),
    _works("message_size_limit", kinds.SIZE_EXPANDED, "50M", "octets; a larger message is refused with 552"),
    _works("recipients_max", kinds.LIMIT, "1000", "recipients beyond it get 452"),
    _works("recipients_max_reject", kinds.BOOLEAN, False, "too many recipients get 552, and the message 554"),
    _works(
        "smtp_accept_max_per_connection",
        kinds.EXPANSION,
        "1000",
        "MAIL commands of a session; beyond it: 421",
    ),
    _works("smtp_accept_max_nonmail", kinds.INTEGER, "10", "commands that carry no mail, per session"),
    _works("smtp_accept_max_nonmail_hosts", kinds.HOSTS, "*", "clients whose other commands are counted"),
    _works(
        "smtp_accept_queue", kinds.INTEGER, "0", "sessions; the mail of those beyond it waits (0: none does)"
    ),
    _works(
        "smtp_accept_queue_per_connection",
        kinds.INTEGER,
        "10",
        "messages of one session; those beyond it wait for a queue run (0: none do)",
    ),
    _works("smtp_enforce_sync", kinds.BOOLEAN, True, "refuse clients that do not wait for answers"),
    _works("smtp_max_synprot_errors", kinds.INTEGER, "3", "errors before the session is closed"),
    _works("smtp_max_unknown_commands", kinds.INTEGER, "3", "unknown commands before it is closed"),
    _works("smtp_ratelimit_hosts", kinds.HOSTS, None, "clients that wait longer with each command"),
    _works("smtp_ratelimit_mail", kinds.PACE, None, "MAIL commands before they wait, and how long"),
    _works("smtp_ratelimit_rcpt", kinds.PACE, None, "RCPT commands before they wait, and how long"),
    _works("smtp_receive_timeout", kinds.SPAN, "5m", "real time a foreign client may stay silent"),
    _works("smtp_return_error_details", kinds.BOOLEAN, False, "a 451 tells why a sender cannot be verified"),
    _moot("smtp_check_spool_space", kinds.BOOLEAN, True, _NO_CHECK),
    _moot("smtp_etrn_serialize", kinds.BOOLEAN, True, "queue runs of a lab host never overlap"),
)
