"""The option log_selector: which lines the main log has, and what a line shows.

WHAT       `read_log_selector(text, place)` gives the set of names that are on.
RULES      items begin with + or -, blanks may follow them; `all` is every one; what is on without a word is DEFAULT.
STANDARDS  Exim specification, chapter "Log files", section "Reducing or increasing what is logged"
READ NEXT  labkit/lab/exim_log.py writes by it
"""

from __future__ import annotations

import re

from labkit.eximconf.place import ConfigurationError, Place

DEFAULT = frozenset(
    """acl_warn_skipped connection_reject delay_delivery dkim dnslist_defer etrn host_lookup_failed
    lost_incoming_connection msg_id outgoing_interface queue_run queue_time_exclusive rejected_header retry_defer
    sender_verify_fail size_reject skip_delivery smtp_confirmation tls_certificate_verified tls_cipher""".split()
)
NAMES = DEFAULT | frozenset(
    """8bitmime address_rewrite all_parents arguments deliver_time delivery_size dkim_verbose dnssec ident_timeout
    incoming_interface incoming_port millisec msg_id_created outgoing_port pid pipelining protocol_detail proxy
    queue_time queue_time_overall receive_time received_recipients received_sender return_path_on_delivery
    sender_on_delivery smtp_connection smtp_incomplete_transaction smtp_mailauth smtp_no_mail smtp_protocol_error
    smtp_syntax_error subject tls_peerdn tls_resumption tls_sni unknown_in_list""".split()
)
_OTHER_NAMES = {"rejected_headers": "rejected_header"}
_ITEM = re.compile(r"([+-])([A-Za-z0-9_]*)\s*")


def read_log_selector(text: str | None, place: Place) -> frozenset[str]:
    """The names that are on. Raises ConfigurationError."""
    chosen = set(DEFAULT)
    text, at = (text or "").strip(), 0
    while at < len(text):
        found = _ITEM.match(text, at)
        if found is None:
            problem = f'malformed log_selector setting: + or - expected but found "{text[at:]}"'
            raise ConfigurationError(place, problem, "write: log_selector = +name -name")
        name = _OTHER_NAMES.get(found[2], found[2])
        if name == "all":
            chosen = set(NAMES) if found[1] == "+" else set()
        elif name not in NAMES:
            problem = f"unknown log_selector setting: {found[1]}{found[2]}"
            raise ConfigurationError(place, problem, f"one of: {', '.join(sorted(NAMES))}")
        elif found[1] == "+":
            chosen.add(name)
        else:
            chosen.discard(name)
        at = found.end()
    return frozenset(chosen)
