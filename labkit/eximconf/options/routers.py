"""The options of routers.

STANDARDS  Exim specification, chapters "Generic options for routers", "The accept router", "The dnslookup router",
           "The manualroute router", "The redirect router"
READ NEXT  transports.py
"""

from __future__ import annotations

from labkit.eximconf.options import kinds
from labkit.eximconf.options.kinds import Kind
from labkit.eximconf.options.row import Option, Standing

DRIVERS = ("accept", "dnslookup", "manualroute", "redirect")
_GENERIC = "Generic options for routers"
_DNS = "The dnslookup router"
_MANUAL = "The manualroute router"
_REDIRECT = "The redirect router"
_NEVER_ROOT = "labkit runs as one ordinary user and becomes no other"


def _generic(
    name: str,
    kind: Kind,
    default: str | bool | None,
    effect: str,
    standing: Standing = Standing.WORKS,
    *,
    repeats: bool = False,
) -> Option:
    return Option("router", name, kind, default, _GENERIC, effect, standing, repeats)


def _dns(
    name: str, kind: Kind, default: str | bool | None, effect: str, standing: Standing = Standing.WORKS
) -> Option:
    return Option("router dnslookup", name, kind, default, _DNS, effect, standing)


def _manual(
    name: str, kind: Kind, default: str | bool | None, effect: str, standing: Standing = Standing.WORKS
) -> Option:
    return Option("router manualroute", name, kind, default, _MANUAL, effect, standing)


def _redirect(
    name: str, kind: Kind, default: str | bool | None, effect: str, standing: Standing = Standing.WORKS
) -> Option:
    return Option("router redirect", name, kind, default, _REDIRECT, effect, standing)


ROWS: tuple[Option, ...] = (
    # --- which router, and when
    _generic("driver", kinds.STRING, None, "which kind of router this is"),
    _generic("address_test", kinds.BOOLEAN, True, "no_address_test: passed over by exim -bt"),
    _generic("caseful_local_part", kinds.BOOLEAN, False, "local parts keep their case here"),
    _generic("check_local_user", kinds.BOOLEAN, False, "only for local parts that are accounts here"),
    _generic("condition", kinds.EXPANSION, None, "only if this comes out true", repeats=True),
    _generic("domains", kinds.DOMAINS, None, "only for these domains"),
    _generic("expn", kinds.BOOLEAN, True, "no_expn: passed over by EXPN"),
    _generic("local_part_prefix", kinds.STRINGS, None, "what a local part may begin with"),
    _generic("local_part_prefix_optional", kinds.BOOLEAN, False, "the prefix may be missing"),
    _generic("local_part_suffix", kinds.STRINGS, None, "what a local part may end with"),
    _generic("local_part_suffix_optional", kinds.BOOLEAN, False, "the suffix may be missing"),
    _generic("local_parts", kinds.LOCAL_PARTS, None, "only for these local parts"),
    _generic("require_files", kinds.EXPANSION, None, "only if these files are there"),
    _generic("senders", kinds.ADDRESSES, None, "only for messages of these senders"),
    _generic("verify", kinds.BOOLEAN, True, "no_verify: passed over when an address is verified"),
    _generic("verify_only", kinds.BOOLEAN, False, "only when an address is verified"),
    _generic("verify_recipient", kinds.BOOLEAN, True, "no_verify_recipient: passed over for recipients"),
    _generic("verify_sender", kinds.BOOLEAN, True, "no_verify_sender: passed over for senders"),
    # --- what happens to the address
    _generic("address_data", kinds.EXPANSION, None, "$address_data for routers and transports that follow"),
    _generic("cannot_route_message", kinds.EXPANSION, None, "the words for an address nobody takes"),
    _generic("errors_to", kinds.EXPANSION, None, "who hears of a failure"),
    _generic("fail_verify", kinds.BOOLEAN, False, "an address it takes fails verification"),
    _generic("fail_verify_recipient", kinds.BOOLEAN, False, "a recipient it takes fails verification"),
    _generic("fail_verify_sender", kinds.BOOLEAN, False, "a sender it takes fails verification"),
    _generic("headers_add", kinds.EXPANSION, None, "fields added for what it takes", repeats=True),
    _generic(
        "dnssec_request_domains", kinds.DOMAINS, "*", "domains for whose hosts it matters what is signed"
    ),
    _generic(
        "dnssec_require_domains", kinds.DOMAINS, None, "domains that wait if their zones are not signed"
    ),
    _generic("headers_remove", kinds.EXPANSION, None, "fields removed from what it takes", repeats=True),
    _generic("ignore_target_hosts", kinds.HOSTS, None, "addresses never delivered to"),
    _generic("more", kinds.TRUTH, True, "no_more: if this router declines, the address fails"),
    _generic("pass_on_timeout", kinds.BOOLEAN, False, "go on with the next router instead of deferring"),
    _generic("pass_router", kinds.STRING, None, "the router that is next if this one passes"),
    _generic("redirect_router", kinds.STRING, None, "where routing of new addresses begins"),
    _generic("router_home_directory", kinds.EXPANSION, None, "$home while this router runs"),
    _generic("self", kinds.STRING, "freeze", "what to do when the way leads to this host"),
    _generic("set", kinds.SETTING, None, "$r_… for routers and transports that follow", repeats=True),
    _generic("transport", kinds.EXPANSION, None, "who delivers what this router takes"),
    _generic("unseen", kinds.TRUTH, False, "a copy of the address goes on to the next router"),
    # --- nothing to change here
    _generic("debug_print", kinds.EXPANSION, None, "words for exim -d", Standing.MOOT),
    _generic("disable_logging", kinds.BOOLEAN, False, "the journal has everything", Standing.MOOT),
    _generic("dsn_lasthop", kinds.BOOLEAN, False, "labkit sends no reports of success", Standing.MOOT),
    _generic("group", kinds.EXPANSION, None, _NEVER_ROOT, Standing.MOOT),
    _generic("initgroups", kinds.BOOLEAN, False, _NEVER_ROOT, Standing.MOOT),
    _generic("log_as_local", kinds.BOOLEAN, False, "the journal knows router and transport", Standing.MOOT),
    _generic("transport_current_directory", kinds.EXPANSION, None, "where a pipe transport's program runs"),
    _generic("user", kinds.EXPANSION, None, _NEVER_ROOT, Standing.MOOT),
    # --- delivery
    _generic("fallback_hosts", kinds.STRINGS, None, "hosts to try when all others have put it off"),
    _generic(
        "retry_use_local_part", kinds.BOOLEAN, None, "whether retries look at the user", Standing.TESTED
    ),
    _generic("transport_home_directory", kinds.EXPANSION, None, "$home in the transport", Standing.WORKS),
    # --- dnslookup
    _dns("check_secondary_mx", kinds.BOOLEAN, False, "decline, unless this host is a secondary MX"),
    _dns("check_srv", kinds.EXPANSION, None, "a service whose SRV records come before MX records"),
    _dns("fail_defer_domains", kinds.DOMAINS, None, "domains whose failing look-ups are put off"),
    _dns("ipv4_only", kinds.EXPANSION, None, "the lab has IPv4 addresses only", Standing.MOOT),
    _dns("ipv4_prefer", kinds.EXPANSION, None, "the lab has IPv4 addresses only", Standing.MOOT),
    _dns("mx_domains", kinds.DOMAINS, None, "domains that must have an MX"),
    _dns("mx_fail_domains", kinds.DOMAINS, None, "domains whose failing MX look-up means that there is none"),
    _dns("qualify_single", kinds.BOOLEAN, True, "the lab's resolver adds no domain to a name", Standing.MOOT),
    _dns("rewrite_headers", kinds.BOOLEAN, True, "the domain of a sender is widened only without it"),
    _dns("same_domain_copy_routing", kinds.BOOLEAN, False, "addresses of one domain are routed once"),
    _dns("search_parents", kinds.BOOLEAN, False, "the lab's resolver does not search", Standing.MOOT),
    _dns(
        "srv_fail_domains", kinds.DOMAINS, None, "domains whose failing SRV look-up means that there is none"
    ),
    _dns(
        "widen_domains",
        kinds.STRINGS,
        None,
        "what is put behind a domain without hosts; no header field is rewritten",
        Standing.TESTED,
    ),
    # --- manualroute
    _manual("host_all_ignored", kinds.STRING, "defer", "what to do when every host is ignored"),
    _manual("host_find_failed", kinds.STRING, "freeze", "what to do when a host is not found"),
    _manual(
        "hosts_randomize",
        kinds.BOOLEAN,
        False,
        "hosts in random order: in the lab always in that of the list, so that two runs do the same",
        Standing.MOOT,
    ),
    _manual("route_data", kinds.EXPANSION, None, "hosts and options"),
    _manual("route_list", kinds.STRING, None, "rules: domains, hosts, options; a semicolon between two"),
    _manual("same_domain_copy_routing", kinds.BOOLEAN, False, "addresses of one domain are routed once"),
    # --- redirect
    _redirect("allow_defer", kinds.BOOLEAN, False, ":defer: is allowed"),
    _redirect("allow_fail", kinds.BOOLEAN, False, ":fail: is allowed"),
    _redirect(
        "allow_filter", kinds.BOOLEAN, False, "a filter file is allowed; labkit reads none, and defers"
    ),
    _redirect("allow_freeze", kinds.BOOLEAN, False, "for filter files", Standing.MOOT),
    _redirect("check_ancestor", kinds.BOOLEAN, False, "an address that leads back is this address"),
    _redirect("check_group", kinds.BOOLEAN, None, "files of the lab have one owner", Standing.MOOT),
    _redirect("check_owner", kinds.BOOLEAN, None, "files of the lab have one owner", Standing.MOOT),
    _redirect("data", kinds.EXPANSION, None, "the new addresses"),
    _redirect("directory_transport", kinds.EXPANSION, None, "who delivers to /a/folder/"),
    _redirect("file", kinds.EXPANSION, None, "a file with the new addresses"),
    _redirect("file_transport", kinds.EXPANSION, None, "who delivers to /a/file"),
    _redirect("forbid_blackhole", kinds.BOOLEAN, False, ":blackhole: is not allowed"),
    _redirect("forbid_exim_filter", kinds.BOOLEAN, False, "for filter files", Standing.MOOT),
    _redirect("forbid_file", kinds.BOOLEAN, False, "/a/file is not allowed"),
    _redirect("forbid_filter_run", kinds.BOOLEAN, False, "for filter files", Standing.MOOT),
    _redirect("forbid_include", kinds.BOOLEAN, False, ":include: is not allowed"),
    _redirect("forbid_pipe", kinds.BOOLEAN, False, "|program is not allowed"),
    _redirect("forbid_sieve_filter", kinds.BOOLEAN, False, "for filter files", Standing.MOOT),
    _redirect("forbid_smtp_code", kinds.BOOLEAN, False, ":fail: 550 … keeps its code as text"),
    *(
        _redirect(f"forbid_filter_{what}", kinds.BOOLEAN, False, "for filter files", Standing.MOOT)
        for what in ("dlfunc", "existstest", "logwrite", "lookup", "perl", "readfile", "readsocket", "reply")
    ),
    *(
        _redirect(f"sieve_{what}", kinds.EXPANSION, None, "for filter files", Standing.MOOT)
        for what in ("enotify_mailto_owner", "subaddress", "useraddress", "vacation_directory")
    ),
    _redirect("filter_prepend_home", kinds.BOOLEAN, True, "for filter files", Standing.MOOT),
    _redirect("hide_child_in_errmsg", kinds.BOOLEAN, False, "a report names no new address"),
    _redirect("ignore_eacces", kinds.BOOLEAN, False, "a file we may not read: decline"),
    _redirect("ignore_enotdir", kinds.BOOLEAN, False, "a path through a file: decline"),
    _redirect("include_directory", kinds.STRING, None, "where :include: files must be"),
    _redirect("modemask", kinds.MODE, "022", "files of the lab have one owner", Standing.MOOT),
    _redirect(
        "one_time", kinds.BOOLEAN, False, "the new addresses replace the old for good", Standing.TESTED
    ),
    _redirect("owners", kinds.STRINGS, None, "files of the lab have one owner", Standing.MOOT),
    _redirect("owngroups", kinds.STRINGS, None, "files of the lab have one owner", Standing.MOOT),
    _redirect("pipe_transport", kinds.EXPANSION, None, "who delivers to |program"),
    _redirect("qualify_domain", kinds.EXPANSION, None, "added to new addresses without a domain"),
    _redirect("qualify_preserve_domain", kinds.BOOLEAN, False, "new addresses get the old one's domain"),
    _redirect("repeat_use", kinds.BOOLEAN, True, "no_repeat_use: not for what it made itself"),
    _redirect("reply_transport", kinds.EXPANSION, None, "for filter files", Standing.MOOT),
    _redirect(
        "rewrite", kinds.BOOLEAN, True, "new addresses are rewritten by the rules of the configuration"
    ),
    _redirect("skip_syntax_errors", kinds.BOOLEAN, False, "leave out what is no address"),
    _redirect("syntax_errors_text", kinds.EXPANSION, None, "words about it", Standing.TESTED),
    _redirect("syntax_errors_to", kinds.STRING, None, "who is told of it", Standing.TESTED),
)
