"""Each option of routers that takes effect, with it and without it."""

from __future__ import annotations

import pytest

from labkit.eximconf.options import TABLE, Standing
from labkit.eximconf.place import ConfigurationError
from labkit.routing import Mode

from .host import Host, bt, compiled, routed

END = "end:\n  driver = accept\n  transport = other\n"
TAKES = "r:\n  driver = accept\n  transport = box\n"
MAKES = "r:\n  driver = redirect\n  file_transport = box\n"
LOOKS = "r:\n  driver = dnslookup\n  transport = smtp\n"
GOES = "r:\n  driver = manualroute\n  transport = smtp\n"
SHOWS = "  allow_fail\n  data = :fail: "
TEST, DELIVERY = Mode.TEST, Mode.DELIVERY
RECIPIENT, SENDER = Mode.VERIFY_RECIPIENT, Mode.VERIFY_SENDER
FILES = {"/aliases": "x: y\n", "/home/bob/.forward": "z@b.test\n", "/in/list": "y@b.test\n"}

# option, how it is asked, the router, the setting, the address, what is in the answer with it, and without it
CASES: list[tuple[str, Mode, str, str, str, str, str]] = [
    ("driver", TEST, "", "r:\n  driver = accept\n  transport = box", "x", "router = r", "router = end"),
    ("address_test", TEST, TAKES, "no_address_test", "x", "router = end", "router = r"),
    ("address_test", RECIPIENT, TAKES, "no_address_test\n  fail_verify", "x", "r router forced", "verified"),
    ("address_test", Mode.EXPN, TAKES, "no_address_test", "x", "end other", "r box"),
    ("caseful_local_part", TEST, MAKES + SHOWS + "$local_part\n", "caseful_local_part", "X", ": X", ": x"),
    ("check_local_user", TEST, TAKES, "check_local_user", "x", "router = end", "router = r"),
    ("condition", TEST, TAKES, "condition = no", "x", "router = end", "router = r"),
    ("domains", TEST, TAKES, "domains = a.test", "x", "router = end", "router = r"),
    ("expn", Mode.EXPN, TAKES, "no_expn", "x", "end other", "r box"),
    ("local_part_prefix", TEST, TAKES, "local_part_prefix = p-", "x", "router = end", "router = r"),
    ("local_part_prefix_optional", TEST, TAKES + "  local_part_prefix = p-\n", "local_part_prefix_optional", "x",
     "router = r", "router = end"),
    ("local_part_suffix", TEST, TAKES, "local_part_suffix = -p", "x", "router = end", "router = r"),
    ("local_part_suffix_optional", TEST, TAKES + "  local_part_suffix = -p\n", "local_part_suffix_optional", "x",
     "router = r", "router = end"),
    ("local_parts", TEST, TAKES, "local_parts = y", "x", "router = end", "router = r"),
    ("require_files", TEST, TAKES, "require_files = /no", "x", "router = end", "router = r"),
    ("senders", TEST, TAKES, "senders = a@a.test", "x", "router = end", "router = r"),
    ("verify", RECIPIENT, TAKES + "  fail_verify\n", "no_verify", "x", "verified", "forced"),
    ("verify", SENDER, TAKES + "  fail_verify\n", "no_verify", "x", "verified", "forced"),
    ("verify_only", TEST, TAKES, "verify_only", "x", "router = end", "router = r"),
    ("verify_recipient", RECIPIENT, TAKES + "  fail_verify\n", "no_verify_recipient", "x", "verified", "forced"),
    ("verify_recipient", SENDER, TAKES + "  fail_verify\n", "no_verify_recipient", "x", "forced", "forced"),
    ("verify_sender", SENDER, TAKES + "  fail_verify\n", "no_verify_sender", "x", "verified", "forced"),
    ("address_data", TEST, MAKES + SHOWS + "[$address_data]\n", "address_data = d", "x", "[d]", "[]"),
    ("cannot_route_message", TEST, "", "r:\n  driver = accept\n  transport = box\n  condition = no\n"
     "  cannot_route_message = mine\nend:\n  driver = accept\n  transport = box\n  condition = no", "x",
     "Unrouteable", "router = end"),
    ("errors_to", DELIVERY, TAKES, "errors_to =", "x", "errors_to=''", "errors_to=None"),
    ("fail_verify", RECIPIENT, TAKES, "fail_verify", "x", "r router forced verify failure", "verified"),
    ("fail_verify_recipient", RECIPIENT, TAKES, "fail_verify_recipient", "x", "forced", "verified"),
    ("fail_verify_sender", SENDER, TAKES, "fail_verify_sender", "x", "forced", "verified"),
    ("fail_verify_sender", RECIPIENT, TAKES, "fail_verify_sender", "x", "verified", "verified"),
    ("headers_add", DELIVERY, TAKES, "headers_add = X: ${local_part}", "x", "('X: x',)", "headers_add=()"),
    ("headers_remove", DELIVERY, TAKES, "headers_remove = X : Y", "x", "('X', 'Y')", "headers_remove=()"),
    ("ignore_target_hosts", TEST, LOOKS, "ignore_target_hosts = 203.0.113.9", "x@b.test", "mx.c.test", "mx.b.test"),
    ("more", TEST, MAKES + "  data =\n", "no_more", "x", "Unrouteable", "router = end"),
    ("pass_on_timeout", TEST, LOOKS, "pass_on_timeout", "x@fail.test", "router = end", "did not complete"),
    ("pass_router", TEST, LOOKS + "  self = pass\n", "pass_router = end", "x@me.test", "router = end", "router = mid"),
    ("redirect_router", TEST, MAKES + "  data = y\n", "redirect_router = end", "x", "router = end", "router = mid"),
    ("router_home_directory", TEST, MAKES + SHOWS + "[$home]\n", "router_home_directory = /h", "x", "[/h]", "[]"),
    ("self", TEST, LOOKS, "self = fail", "x@me.test", "is undeliverable", "cannot be resolved"),
    ("set", TEST, MAKES + SHOWS + "[$r_x]\n", "set = r_x = v", "x", "[v]", "[]"),
    ("transport", TEST, "r:\n  driver = accept\n", "transport = box", "x", "transport = box", ""),
    ("unseen", TEST, TAKES, "unseen", "x", "router = end", "router = r"),
    ("transport_home_directory", DELIVERY, TAKES, "transport_home_directory = /h", "x", "'home': '/h'", "'home': ''"),
    ("dnssec_require_domains", TEST, LOOKS, "dnssec_require_domains = *", "x@b.test", "insecurely", "router = r"),
    ("dnssec_require_domains", DELIVERY, LOOKS, "dnssec_require_domains = *", "x@signed.test",
     "NextHop(host='mx.b.test', address='',", "address='203.0.113.9', preference=20, port=None, is_secure=False"),
    ("dnssec_require_domains", DELIVERY, GOES, "dnssec_require_domains = *\n  route_list = * mx.b.test", "x@c.test",
     "insecurely", ""),
    ("dnssec_request_domains", DELIVERY, LOOKS, "dnssec_request_domains = !signed.test : *", "x@signed.test",
     "port=None, is_secure=False", "address='203.0.113.12', preference=10, port=None, is_secure=True"),
    ("dnssec_request_domains", DELIVERY, GOES, "dnssec_request_domains =\n  route_list = * mx.signed.test", "x@c.test",
     "is_secure=False", ""),
    ("check_secondary_mx", TEST, LOOKS, "check_secondary_mx", "x@b.test", "router = end", "router = r"),
    ("check_secondary_mx", TEST, LOOKS, "check_secondary_mx", "x@second.test", "router = r", "router = r"),
    ("check_srv", TEST, LOOKS, "check_srv = smtp", "x@b.test", "port=2525", "mx.b.test"),
    ("srv_fail_domains", TEST, LOOKS + "  check_srv = smtp\n  mx_fail_domains = *\n", "srv_fail_domains = *",
     "x@half.test", "host half.test [203.0.113.30]", "did not complete"),
    ("fail_defer_domains", TEST, LOOKS, "fail_defer_domains = *", "x@nowhere.test", "defer requested", "router = end"),
    ("mx_domains", TEST, LOOKS, "mx_domains = *", "x@a.test", "router = end", "router = r"),
    ("mx_fail_domains", TEST, LOOKS, "mx_fail_domains = *", "x@half.test", "[203.0.113.30]", "did not complete"),
    ("rewrite_headers", SENDER, LOOKS + "  widen_domains = b.test\n  no_more\n", "no_rewrite_headers", "x@wide",
     "verified", "failed"),
    ("widen_domains", TEST, LOOKS, "widen_domains = b.test", "x@wide", "x@wide.b.test", "router = end"),
    ("same_domain_copy_routing", DELIVERY, LOOKS, "same_domain_copy_routing", "x@b.test", "smtp", "smtp"),
    ("host_all_ignored", TEST, GOES + "  route_list = * no.test\n  host_find_failed = ignore\n",
     "host_all_ignored = pass", "x", "router = end", "host_all_ignored=defer"),
    ("host_find_failed", TEST, GOES + "  route_list = * no.test\n", "host_find_failed = pass", "x", "router = end",
     "lookup of host"),
    ("route_data", TEST, GOES, "route_data = mx.b.test", "x", "mx.b.test", ""),
    ("route_list", TEST, GOES, "route_list = * mx.b.test", "x", "mx.b.test", ""),
    ("allow_defer", TEST, MAKES + "  data = :defer: w\n", "allow_defer", "x", "this time: w", "not permitted"),
    ("allow_fail", TEST, MAKES + "  data = :fail: w\n", "allow_fail", "x", "undeliverable: w", "not permitted"),
    ("allow_filter", TEST, MAKES + "  user = u\n  data = # Exim filter\n", "allow_filter", "x", "not read by labkit",
     "filtering not enabled"),
    ("check_ancestor", TEST, "first:\n  driver = redirect\n  local_parts = x\n  data = y@here.test\n"
     + MAKES + "  local_parts = y\n  data = x@here.test\n", "check_ancestor", "x", "0 y@here.test", "0 x@here.test"),
    ("data", TEST, "r:\n  driver = redirect\n", "data = y", "x", "y@here.test", ""),
    ("directory_transport", TEST, MAKES + "  data = /a/\n", "directory_transport = other", "x", "transport = other",
     "directory_transport unset"),
    ("file", TEST, "r:\n  driver = redirect\n", "file = /in/list", "x", "y@b.test", ""),
    ("file_transport", TEST, "r:\n  driver = redirect\n  data = /a\n", "file_transport = box", "x",
     "transport = box", "file_transport unset"),
    ("forbid_blackhole", TEST, MAKES + "  data = :blackhole:\n", "forbid_blackhole", "x", "not permitted",
     "discarded"),
    ("forbid_file", TEST, MAKES + "  data = /a\n", "forbid_file", "x", "*** forbidden ***", "transport = box"),
    ("forbid_include", TEST, MAKES + "  data = :include:/in/list\n", "forbid_include", "x", "not permitted",
     "y@b.test"),
    ("forbid_pipe", TEST, MAKES + "  data = |/a\n  pipe_transport = program\n", "forbid_pipe", "x", "*** forbidden",
     "transport = program"),
    ("forbid_smtp_code", TEST, MAKES + SHOWS + "550 5.7.1 no\n", "forbid_smtp_code", "x", ": no", ": 550 5.7.1 no"),
    ("hide_child_in_errmsg", DELIVERY, MAKES + "  data = y@here.test\n", "hide_child_in_errmsg", "x",
     "hides_child=True", "hides_child=False"),
    ("ignore_eacces", TEST, MAKES + "  file = /secret\n", "ignore_eacces", "x", "router = end", "Permission denied"),
    ("ignore_enotdir", TEST, MAKES + "  file = /no/way\n", "ignore_enotdir", "x", "router = end", "failed to stat"),
    ("include_directory", TEST, MAKES + "  data = :include:/in/list\n", "include_directory = /x", "x",
     "is not in directory /x", "y@b.test"),
    ("pipe_transport", TEST, MAKES + "  data = |/a\n", "pipe_transport = program", "x", "transport = program",
     "pipe_transport unset"),
    ("qualify_domain", TEST, MAKES + "  data = y\n", "qualify_domain = b.test", "x", "y@b.test", "y@here.test"),
    ("qualify_preserve_domain", TEST, MAKES + "  data = y\n", "qualify_preserve_domain", "x@a.test", "y@a.test",
     "y@here.test"),
    ("repeat_use", TEST, MAKES + "  data = ${if eq{$local_part}{x}{y}{z}}\n", "no_repeat_use", "x", "0 y@here.test",
     "0 z@here.test"),
    ("skip_syntax_errors", TEST, MAKES + "  data = a b, y\n", "skip_syntax_errors", "x", "y@here.test",
     "error in redirect data"),
]  # fmt: skip
MID = "mid:\n  driver = accept\n  transport = other\n"
BETWEEN = ("pass_router", "redirect_router")


def said(text: str, address: str, mode: Mode) -> str:
    host = Host(dict(FILES), refused={"/secret": "Permission denied"})
    host.services = {"_smtp._tcp.b.test": ("10 0 2525 mx.b.test",)}
    if mode is DELIVERY:
        return " ".join(map(repr, routed(text, address, host).routes))
    if mode is Mode.EXPN:
        (route,) = routed(text, address, host, mode=mode).routes
        return f"{route.router} {route.transport}"
    return bt(text, address, host, mode)


@pytest.mark.parametrize("option, mode, router, setting, address, on, off", CASES)
def test_with_and_without(
    option: str, mode: Mode, router: str, setting: str, address: str, on: str, off: str
) -> None:
    after = (MID if option in BETWEEN else "") + END
    line = f"  {setting}\n" if router else f"{setting}\n"
    rest = "" if "end:" in setting else after
    assert on in said(router + line + rest, address, mode)
    if off:
        assert off in said(router + after, address, mode)
    else:
        with pytest.raises(ConfigurationError):
            compiled(router + after)


def test_nothing_is_left_out() -> None:
    works = {row.name for row in TABLE if row.scope.startswith("router") and row.standing is Standing.WORKS}
    elsewhere = {  # what changes only the delivery, or needs rules: tests/mta/test_rewriting.py and the stories
        "rewrite", "fallback_hosts", "transport_current_directory"
    }  # fmt: skip
    assert works - elsewhere - {case[0] for case in CASES} == set()
