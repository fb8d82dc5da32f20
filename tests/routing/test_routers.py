"""Routers: what each setting means, in the cases that a plain reading gets wrong. The words are Exim's."""

from __future__ import annotations

import pytest

from labkit.eximconf.place import ConfigurationError
from labkit.mail.questions import AccountNamed
from labkit.routing import Mode

from .host import Host, bt, compiled, routed

UNROUTEABLE = "2 x@here.test is undeliverable: Unrouteable address"
TAKEN = "0 x@here.test | router = r, transport = box"


def accept(*lines: str, name: str = "r") -> str:
    return f"{name}:\n  driver = accept\n  transport = box\n" + "".join(f"  {line}\n" for line in lines)


def redirect(*lines: str, name: str = "r") -> str:
    more = "  file_transport = box\n  pipe_transport = program\n"
    return f"{name}:\n  driver = redirect\n{more}" + "".join(f"  {line}\n" for line in lines)


def lookup(*lines: str, name: str = "r") -> str:
    return f"{name}:\n  driver = dnslookup\n  transport = smtp\n" + "".join(f"  {line}\n" for line in lines)


END = accept(name="end")
AT_END = "0 x@here.test | router = end, transport = box"
LATER = "1 x@here.test cannot be resolved at this time: "


@pytest.mark.parametrize("value", ["", "0", "no", "FALSE", "No", "${if eq{a}{b}}", "${if eq{a}{b}{x}fail}"])
def test_a_false_condition_skips(value: str) -> None:
    assert bt(accept(f"condition = {value}"), "x") == UNROUTEABLE


@pytest.mark.parametrize("value", ["00", "0.0", "-1", "nonsense", "yes", "1"])
def test_anything_else_is_true(value: str) -> None:
    assert bt(accept(f"condition = {value}"), "x") == TAKEN


def test_a_condition_that_cannot_be_expanded_skips_with_a_remark() -> None:
    text = accept("condition = ${nosuch}")
    assert bt(text, "x") == UNROUTEABLE
    (remark,) = routed(text, "x").remarks
    assert remark.startswith('failed to expand condition "${nosuch}" for r router: ')


def test_two_conditions_must_both_be_true() -> None:
    both = "condition = ${if eq{$local_part}{x}}"
    assert bt(accept(both, "condition = yes"), "x") == TAKEN
    assert bt(accept(both, "condition = no"), "x") == UNROUTEABLE
    assert bt(accept(both, "condition = 00"), "x") == TAKEN, "as bool_lax has it, too"


@pytest.mark.parametrize(
    "text, words, because",
    [
        (
            accept("condition = no", "cannot_route_message = mine $local_part"),
            "mine x",
            "of the last considered",
        ),
        (
            accept("condition = no", "cannot_route_message = mine") + accept("condition = no", name="s"),
            "Unrouteable address",
            "the last one has none",
        ),
        (
            accept("domains = b.test", "cannot_route_message = mine"),
            "mine",
            "though its domains did not match",
        ),
        (
            accept("condition = no", "cannot_route_message = ${if eq{a}{b}{x}fail}"),
            "Unrouteable address",
            "forced",
        ),
        (accept("condition = no", "cannot_route_message = ${nosuch}"), "Unrouteable address", "an error"),
    ],
)
def test_the_words_for_what_nobody_takes(text: str, words: str, because: str) -> None:
    assert bt(text, "x") == f"2 x@here.test is undeliverable: {words}", because


def test_no_more_counts_only_when_the_router_declines() -> None:
    declines = redirect("data =", "no_more")
    assert bt(declines + END, "x") == UNROUTEABLE
    assert bt(redirect("data =", "no_more", "condition = no") + END, "x") == AT_END
    assert bt(redirect("data =") + END, "x") == AT_END
    assert bt(redirect("data =", "more = ${if eq{$local_part}{x}{no}{yes}}") + END, "x") == UNROUTEABLE
    assert bt(redirect("data =", "more = ${if eq{a}{b}{x}fail}") + END, "x") == AT_END
    assert bt(redirect("data =", "more = ${if eq{a}{a}{maybe}}") + END, "x").endswith(
        '"maybe" is not a valid value for the "more" option in the r router'
    )


@pytest.mark.parametrize(
    "data, ends",
    [
        ("data =", AT_END),
        ("data = ${if eq{a}{b}{x}fail}", AT_END),
        ("data = :unknown:", AT_END),
        ("data = # nothing but a comment", AT_END),
        (
            "data = ${lookup{x}lsearch{/no/file}}",
            LATER + 'failed to expand "${lookup{x}lsearch{/no/file}}": ',
        ),
        ("data = ${if", LATER + 'failed to expand "${if": '),
        (
            "data = :fail: no",
            LATER + 'error in redirect data: ":fail: no" is not permitted',
        ),
        ("data = :defer: no", LATER + 'error in redirect data: ":defer: no" is not permitted'),
        ("data = :blackhole:", "0 mail to x@here.test is discarded"),
        ("data = b # c", LATER + "error in redirect data: missing or malformed local part "),
        (
            "data = b@x.test c@x.test",
            LATER + "error in redirect data: malformed address: c@x.test may not follow",
        ),
    ],
)
def test_redirect_data(data: str, ends: str) -> None:
    assert bt(redirect(data) + END, "x").startswith(ends)


def test_fail_takes_the_rest_of_the_line_and_other_addresses_go_on() -> None:
    text = redirect("data = bob, :fail: gone, bye", "allow_fail", "local_parts = x") + END
    assert bt(text, "x") == (
        "2 x@here.test is undeliverable: gone, bye | bob@here.test | <-- x@here.test | router = end, transport = box"
    )


def test_an_address_that_redirects_to_itself() -> None:
    assert bt(redirect("data = x") + END, "x") == (
        "0 x@here.test | <-- x@here.test | router = end, transport = box"
    ), "the child skips this router and goes on"


def test_an_address_that_grows_for_ever() -> None:
    found = bt(redirect("data = x$local_part"), "x")
    assert found.startswith("1 " + "x" * 103 + "@here.test cannot be resolved at this time: unknown error")
    assert routed(redirect("data = x$local_part"), "x").remarks[-1].startswith("routing loop for xxx")


@pytest.mark.parametrize(
    "line, ends",
    [
        ("domains =", UNROUTEABLE),
        ("domains = ${if eq{a}{b}{x}fail}", UNROUTEABLE),
        ("domains = $nosuch", LATER + "domains check lookup or other defer"),
        ("local_parts = $nosuch", LATER + "local_parts check lookup or other defer"),
        ("senders = $nosuch", LATER + "senders check lookup or other defer"),
        ("local_parts = ${if eq{a}{b}{x}fail}", UNROUTEABLE),
        ("domains = lsearch;/no/file", LATER + "domains check lookup or other defer"),
    ],
)
def test_lists_that_say_nothing(line: str, ends: str) -> None:
    assert bt(accept(line), "x") == ends


@pytest.mark.parametrize(
    "affix, address, parts",
    [
        ("local_part_suffix = -*", "a-b-c", "a//-b-c/b-c"),
        ("local_part_prefix = *-", "a-b-c", "c/a-b-//"),
        ("local_part_prefix = real-", "REAL-Bob", "bob/real-//"),
        ("local_part_suffix = -request : +*", "list-request", "list//-request/"),
        ("local_part_suffix = -request : +*", "list+a+b", "list//+a+b/a+b"),
        ("local_part_prefix = *=", "=x", "x/=//"),
    ],
)
def test_affixes(affix: str, address: str, parts: str) -> None:
    data = "data = :fail: $local_part/$local_part_prefix/$local_part_suffix/$local_part_suffix_v"
    assert bt(redirect(affix, data, "allow_fail"), address).endswith(f"is undeliverable: {parts}")


def test_an_affix_is_needed_unless_optional() -> None:
    assert bt(accept("local_part_suffix = -*"), "x") == UNROUTEABLE
    assert bt(accept("local_part_suffix = -*", "local_part_suffix_optional"), "x") == TAKEN
    assert bt(accept("local_part_prefix = p-"), "x") == UNROUTEABLE
    assert bt(accept("local_part_prefix = p-", "local_part_prefix_optional"), "x") == TAKEN
    assert bt(accept("local_part_suffix = x"), "x") == UNROUTEABLE, "a suffix is never the whole local part"


@pytest.mark.parametrize(
    "domain, ends",
    [
        ("null.test", "2 x@null.test is undeliverable: an MX or SRV record indicated no SMTP service"),
        ("gone.test", "2 x@gone.test is undeliverable: all relevant MX records point to non-existent hosts"),
        ("nowhere.test", "2 x@nowhere.test is undeliverable: Unrouteable address"),
        ("fail.test", "1 x@fail.test cannot be resolved at this time: host lookup did not complete"),
        (
            "me.test",
            "1 x@me.test cannot be resolved at this time: lowest numbered MX record points to local host",
        ),
        ("mea.test", "1 x@mea.test cannot be resolved at this time: remote host address is the local host"),
        ("a.test", "0 x@a.test | router = r, transport = smtp | host a.test [203.0.113.20]"),
        (
            "second.test",
            "0 x@second.test | router = r, transport = smtp | host mx.b.test [203.0.113.9] MX=10",
        ),
        (
            "b.test",
            "0 x@b.test | router = r, transport = smtp | host mx.b.test [203.0.113.9]  MX=10"
            " | host mx.c.test [203.0.113.10] MX=20",
        ),
    ],
)
def test_dnslookup(domain: str, ends: str) -> None:
    assert bt(lookup(), f"x@{domain}") == ends


@pytest.mark.parametrize(
    "value, ends",
    [
        ("freeze", "1 x@me.test cannot be resolved at this time: lowest"),
        ("defer", "1 x@me.test cannot be resolved at this time: lowest"),
        ("fail", "2 x@me.test is undeliverable: lowest numbered MX record points to local host"),
        ("pass", "0 x@me.test | router = end, transport = box"),
        (
            "send",
            "0 x@me.test | router = r, transport = smtp | host mx.here.test [203.0.113.1] MX=10 | host mx.b",
        ),
        ("reroute: b.test", "0 x@b.test | <-- x@me.test | router = r, transport = smtp | host mx.b.test"),
    ],
)
def test_self(value: str, ends: str) -> None:
    text = lookup(f"self = {value}", "no_more") + END
    assert bt(text, "x@me.test").startswith(ends)
    assert routed(text, "x@me.test").routes[0].freezes is (value == "freeze")


def test_what_is_ignored_is_not_there() -> None:
    text = lookup("ignore_target_hosts = 203.0.113.0/24")
    assert bt(text, "x@a.test") == "2 x@a.test is undeliverable: Unrouteable address"
    assert bt(text, "x@b.test").endswith("all relevant MX records point to non-existent hosts")


def test_address_data_comes_after_the_conditions() -> None:
    own = accept("address_data = set", "condition = ${if eq{$address_data}{set}}")
    assert bt(own, "x") == UNROUTEABLE
    carried = redirect("address_data = set", "data =") + accept(
        "condition = ${if eq{$address_data}{set}}", name="s"
    )
    assert bt(carried, "x").endswith("router = s, transport = box")
    assert bt(redirect("set = r_x = 5", "data = u$r_x@b.test", "domains = +here") + END, "x").startswith(
        "0 u5@b.test"
    )


def test_children_are_shown_last_first_and_local_ones_before_the_others() -> None:
    text = (
        redirect("data = bob, eve@b.test, carol, bob", "local_parts = team")
        + accept("domains = +here")
        + lookup(name="s")
    )
    text = text.replace("r:\n  driver = accept", "t:\n  driver = accept")
    assert bt(text, "team") == (
        "0 bob@here.test | <-- team@here.test | router = t, transport = box"
        " | carol@here.test | <-- team@here.test | router = t, transport = box"
        " | bob@here.test   [duplicate, would not be delivered] | <-- team@here.test | router = t, transport = box"
        " | eve@b.test | <-- team@here.test | router = s, transport = smtp"
        " | host mx.b.test [203.0.113.9]  MX=10 | host mx.c.test [203.0.113.10] MX=20"
    )


@pytest.mark.parametrize(
    "file, ends",
    [
        ("/x/$local_part", LATER + "Tainted name '/x/x' for file read not permitted"),
        ("/x/$local_part_data", "0 bob@here.test | <-- x@here.test | router = end"),
        ("/nofolder/x", LATER + "failed to stat /nofolder/. (No such file or directory)"),
        ("/x/nofile", AT_END),
        ("x", LATER + '"x" is not an absolute path'),
        ("/secret", LATER + "failed to open /secret: Permission denied"),
        ("/x/x/y", LATER + "failed to open /x/x/y: Not a directory"),
        ("/folder", LATER + "/folder is not a regular file"),
        ("/filter", LATER + "error in redirect file: filtering not enabled".replace("redirect", "filter")),
    ],
)
def test_files(file: str, ends: str) -> None:
    host = Host({"/x/x": "# ours\nbob\n", "/filter": "# Exim filter\n"})
    host.refused = {
        "/secret": "Permission denied",
        "/x/x/y": "Not a directory",
        "/folder": "not a regular file",
    }
    assert bt(redirect(f"file = {file}", "local_parts = x") + END, "x", host).startswith(ends)


def test_data_that_a_list_vouches_for() -> None:
    text = redirect("data = :fail: [$local_part_data] [$domain_data]", "allow_fail")
    assert bt(text, "x").endswith(": [] []"), "nothing vouches for them"
    text = redirect(
        "domains = +here", "check_local_user", "data = :fail: [$local_part_data] [$domain_data]", "allow_fail"
    )
    assert bt(text, "bob").endswith(": [bob] [here.test]")


def test_an_account_is_asked_for_once() -> None:
    host = Host()
    bt(accept("check_local_user", "condition = no") + accept("check_local_user", name="s"), "bob", host)
    assert host.asked == [AccountNamed("bob")]


def test_verification_stops_at_several_children() -> None:
    one, two = (
        redirect("data = y@nowhere.test") + lookup(name="s"),
        redirect("data = y@nowhere.test, z@b.test"),
    )
    assert bt(one, "x", mode=Mode.VERIFY_RECIPIENT) == "2 x@here.test failed to verify: Unrouteable address"
    assert bt(two, "x", mode=Mode.VERIFY_RECIPIENT) == "0 x@here.test verified"


@pytest.mark.parametrize(
    "text, problem",
    [
        (accept("pass_router = nosuch"), 'pass_router: "nosuch" is not there'),
        (END + accept("pass_router = end"), 'pass_router: "end" does not follow it'),
        (redirect("data = x", "redirect_router = nosuch"), 'redirect_router: "nosuch" is not there'),
        (accept("self = perhaps"), "perhaps is not valid for the self option"),
        (redirect(), 'one of "file" or "data" must be specified'),
        (redirect("file = /x", "data = x"), 'only one of "file" or "data"'),
        (redirect("data = x", "one_time", "unseen"), '"unseen" may not be used with "one_time"'),
        (redirect("data = x", "one_time", "headers_add = X: y"), "not permitted with"),
        (redirect("data = x", "qualify_domain = b.test", "qualify_preserve_domain"), "only one of"),
        (redirect("data = x", "allow_filter"), '"user" or "check_local_user" must be set'),
        ("r:\n  driver = manualroute\n  transport = smtp\n", "route_list or route_data"),
        (
            "r:\n  driver = manualroute\n  transport = smtp\n  route_list = * x\n  host_find_failed = perhaps\n",
            "unrecognized setting for host_find_failed option: perhaps",
        ),
        (
            "r:\n  driver = manualroute\n  transport = smtp\n  route_list = * x\n  host_all_ignored = ignore\n",
            "unrecognized setting for host_all_ignored option: ignore",
        ),
        (accept("set = r_a = x ; y"), "bad router variable name"),
    ],
)
def test_what_is_wrong_when_the_file_is_read(text: str, problem: str) -> None:
    with pytest.raises(ConfigurationError) as refused:
        compiled(text)
    assert problem in refused.value.problem and refused.value.remedy
    assert refused.value.place.line > 0
