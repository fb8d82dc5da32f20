"""Conditions of ACLs: condition, lists, sub-ACLs, seen; each in both directions."""

from __future__ import annotations

from typing import Any

import pytest

from labkit.eximconf.lists import ListKind, compile_list
from labkit.eximconf.place import Place
from labkit.mail.lookups import Exists, FileLine, FileText, Unanswered, Unopened
from labkit.mail.questions import AddressesOf, DnsAnswer, DnsOutcome, NamesOf, SeenBefore
from labkit.smtp.acl import Phase, Result, age_afterwards

NO = "550 Administrative prohibition"
LATER = "451 Temporary local problem - please try later"
YES = "accepted"


@pytest.mark.parametrize(
    "value, holds",
    [
        *((text, False) for text in ("", "0", "00", "-0", "no", "NO", "false", "False", "-", "4294967296")),
        *((text, True) for text in ("1", "2", "-1", "yes", "YES", "true", "12345678901234567890")),
        *(
            (text, None)
            for text in ("y", "maybe", "0.5", "1x", "+1", "on", "${if eq{a}{a}{ no }}", "${nosuch}")
        ),
    ],
)
def test_condition(stage: Any, value: str, holds: bool | None) -> None:
    """A11, A12, A13"""
    expected = {True: "550 true", False: "550 false", None: LATER}[holds]
    assert stage.said(f"deny condition = {value}\n message = true\ndeny message = false") == expected
    negated = {True: "550 false", False: "550 true", None: LATER}[holds]
    assert stage.said(f"deny !condition = {value}\n message = true\ndeny message = false") == negated


def test_a_forced_failure_is_ignored(stage: Any) -> None:
    """A14"""
    for negation in ("", "!"):
        assert stage.said(f"deny {negation}condition = ${{if eq{{a}}{{b}}{{1}}fail}}\naccept") == NO
    assert stage.said("accept continue = ${if eq{a}{b}{1}fail}") == YES


def test_a_missing_file(stage: Any) -> None:
    """A13, A19: in a condition a 451, in a list the end."""
    stage.answers[FileLine("/missing", "x")] = Unopened("No such file or directory")
    stage.answers[FileLine("/missing", "here.test")] = Unopened("No such file or directory")
    verdict = stage.run("deny condition = ${lookup{x}lsearch{/missing}}\naccept")
    assert str(verdict.reply) == LATER and not verdict.closes
    assert "No such file or directory" in verdict.log_text
    verdict = stage.run("deny domains = lsearch;/missing\naccept")
    assert verdict.reply.code == 421 and verdict.closes
    stage.answers[FileLine("/slow", "here.test")] = Unanswered("the server is away")
    verdict = stage.run("deny domains = lsearch;/slow\naccept")
    assert str(verdict.reply) == LATER and "the server is away" in verdict.log_text


@pytest.mark.parametrize(
    "condition, holds, because",
    [
        ("domains = here.test", True, ""),
        ("domains = +ours", True, "a named list"),
        ("domains = !+ours", False, "negated inside"),
        ("!domains = +ours", False, "negated outside"),
        ("domains = HERE.test", True, "without case"),
        ("domains = @", False, "another name"),
        ("domains =", False, "nothing is in an empty list"),
        ("domains = ${if eq{a}{b}{x}fail}", False, "A15: a forced failure matches nothing"),
        ("!domains = ${if eq{a}{b}{x}fail}", True, "A15: and that may be turned round"),
        ("domains = ${nosuch}", None, "a mistake"),
        ("domains = +nosuch", None, "no such list"),
        ("local_parts = BOB : eve", True, "without case"),
        ("local_parts = +caseful : BOB", False, "unless they are asked for"),
        ("local_parts = ^b", True, "a regular expression"),
        ("recipients = bob@here.test", True, ""),
        ("recipients = *@+ours", True, ""),
        ("recipients = eve@here.test", False, ""),
        ("hosts = 203.0.113.0/24", True, "a network"),
        ("hosts = +near", False, ""),
        ("hosts = +nosuch", None, "no such list"),
        ("hosts = :", False, "it does not come from this host itself"),
        ("senders = ann@a.test", True, ""),
        ("senders = *@a.test", True, ""),
        ("senders = :", False, "not the null sender"),
        ("sender_domains = a.test", True, ""),
        ("sender_domains = b.test", False, ""),
        ("authenticated = *", False, "nobody has logged in"),
        ("!authenticated = *", True, ""),
        ("encrypted = *", False, "in the clear"),
    ],
)
def test_lists(stage: Any, condition: str, holds: bool | None, because: str) -> None:
    expected = {True: YES, False: NO, None: LATER}[holds]
    assert stage.said(f"accept {condition}") == expected, because


@pytest.mark.parametrize(
    "sender, condition, holds",
    [
        ("", "senders = :", True),
        ("", "senders = *", False),
        ("", "sender_domains = :", True),
        ("", "sender_domains = a.test", False),
        ("a@b@c.test", "sender_domains = c.test", True),
    ],
)
def test_odd_senders(stage: Any, sender: str, condition: str, holds: bool) -> None:
    stage.variables["sender_address"] = sender
    assert stage.said(f"accept {condition}") == (YES if holds else NO)


def test_logged_in_and_encrypted(stage: Any) -> None:
    stage.variables["sender_host_authenticated"] = "PLAIN"
    stage.variables["tls_in_cipher"] = "TLS1.3:TLS_AES_256_GCM_SHA384:256"
    for acl, holds in [
        ("authenticated = *", True),
        ("authenticated = plain : login", True),
        ("authenticated = login", False),
        ("encrypted = *", True),
        ("encrypted = TLS_AES_256_GCM_SHA384", True),
        ("encrypted = DES-CBC3-SHA", False),
        ("encrypted = TLS1.3", False),
    ]:
        assert stage.said(f"accept {acl}") == (YES if holds else NO), acl


def test_data_of_a_match(stage: Any) -> None:
    """Each look sets its variable anew; at the end of a run those of an address go."""
    acl = (
        "warn domains = *.here.test : here.test\n"
        "warn local_parts = ^b\n"
        "warn hosts = 203.0.113.0/24\n"
        "warn senders = *@a.test\n"
        "warn recipients = bob@here.test\n"
        "deny message = $domain_data,$local_part_data,$host_data,$sender_data,$recipient_data"
    )
    first = stage.said(acl)
    assert first == "550 here.test,^b,,*@a@a.test,bob@here.test", (
        "an address in a host list vouches for nothing"
    )
    again = stage.said(
        "deny message = [$domain_data][$local_part_data]\n domains = here.test\n !local_parts = x"
    )
    assert again == "550 [here.test][]"
    assert "domain_data" not in stage.variables and "domain" not in stage.variables


def test_a_named_host_list_is_asked_once(stage: Any) -> None:
    """DNS answers for one client are the same as long as it stays."""

    place = Place("exim.conf", 1)
    stage.lists[ListKind.HOST, "friends"] = compile_list(
        ListKind.HOST, "mail.friend.test", place, stage.lists
    )
    stage.answers[AddressesOf("mail.friend.test")] = DnsAnswer(DnsOutcome.FOUND, ("203.0.113.9",))
    for _ in range(3):
        assert stage.said("accept hosts = +friends") == YES
    assert len(stage.asked) == 1
    assert stage.said("accept hosts = !+friends") == NO


def test_the_name_of_a_client(stage: Any) -> None:
    """L8, L9, L10: an unknown name ends the list; no answer is a 451."""
    nothing = DnsAnswer(DnsOutcome.NXDOMAIN, ())
    stage.answers[NamesOf("203.0.113.9")] = nothing
    stage.answers[AddressesOf("nx.test")] = nothing
    stage.answers[AddressesOf("slow.test")] = DnsAnswer(DnsOutcome.SERVFAIL, ())
    assert stage.said("accept hosts = *.friend.test : 203.0.113.9") == NO
    assert stage.said("accept hosts = 203.0.113.9 : *.friend.test") == YES
    assert stage.said("accept hosts = nx.test : 203.0.113.9") == NO
    assert stage.said("accept hosts = slow.test : 203.0.113.9") == LATER
    assert stage.said("accept hosts = +include_unknown : *.friend.test") == YES


SUB = {
    "no": "deny message = inner\n log_message = inner log",
    "yes": "accept message = inner welcome",
    "later": "defer message = inner later",
    "away": "discard",
    "bye": "drop message = inner bye",
    "args": "deny message = $acl_narg/$acl_arg1/$acl_arg2",
    "loop": "deny acl = loop",
    "empty": "",
}


@pytest.mark.parametrize(
    "acl, answer, because",
    [
        ("accept acl = no\ndeny message = after", "550 after", "A20: the inner message is forgotten"),
        ("require acl = no", "550 inner", "A20: shown"),
        ("accept acl = no", "550 inner", "at the end of the list"),
        ("accept acl = yes", YES, "an inner acceptance has no words"),
        ("deny acl = yes", "550 inner welcome", "but those of a deny it has"),
        ("deny !acl = no\n message = outer", "550 outer", "the last word"),
        ("deny acl = later\naccept", "451 inner later", "it cannot be found out"),
        ("warn acl = later\naccept", YES, "warn goes on"),
        ("accept acl = away", YES, "discard of accept"),
        ("deny acl = away", LATER, "others cannot discard"),
        ("accept acl = bye\naccept", YES, "A20: drop in what does not decide"),
        ("require acl = bye", "550 inner bye", "in what decides"),
        ("require acl = args one two", "550 2/one/two", "arguments"),
        ('require acl = args "a b" $local_part', "550 2/a b/bob", "quoted and expanded"),
        ("deny acl = args x\ndeny message = [$acl_arg1$acl_narg]", "550 [0]", "and gone afterwards"),
        ("deny acl = loop", LATER, "it calls itself"),
        ("deny acl = nosuch", LATER, "no such ACL"),
        ("deny acl = accept\n message = inline", "550 inline", "the text of an ACL"),
        ('deny acl = "accept local_parts = eve\\ndeny"\naccept', YES, "of more than one line"),
        ("deny acl = ${if eq{a}{b}{x}fail}", LATER, "a forced failure is a mistake here"),
        ("accept acl = empty", NO, "an empty one denies"),
        ("deny condition = ${if acl{{no}}}\naccept", YES, "in an expansion"),
        ("deny message = ${if acl{{no}}{yes}{[$value]}}", "550 [inner]", "with its words"),
        ("deny message = <${acl{args}{1}{2}}>", "550 <2/1/2>", "as an item"),
        ("deny condition = ${if acl{{later}}}\n message = ignored", "550 ignored", "a forced failure"),
        ("deny condition = ${if acl{{bye}}}", LATER, "not for drop"),
    ],
)
def test_sub_acls(stage: Any, acl: str, answer: str, because: str) -> None:
    assert stage.said(acl, others=SUB) == answer, because


def test_a_required_drop_closes(stage: Any) -> None:
    assert stage.run("require acl = bye", others=SUB).result is Result.DROP
    assert stage.run("deny !acl = bye", others=SUB).result is Result.DENY
    assert stage.run("deny acl = loop", others=SUB).log_text == "ACL nested too deep: possible loop"


def test_an_acl_in_a_file(stage: Any) -> None:
    stage.answers[FileText("/acl")] = "# c\ndeny local_parts = bob\n\n message = from \\\n  a file\n"
    assert stage.said("require acl = /acl\naccept") == "550 from a file"
    stage.answers[FileText("/none")] = Unopened("No such file or directory")
    verdict = stage.run("require acl = /none\naccept")
    assert verdict.log_text == 'failed to open ACL file "/none": No such file or directory'
    stage.answers[Exists("/none")] = False
    assert stage.said("accept senders = ${if exists{/none}{/none}{}}") == NO


@pytest.mark.parametrize(
    "value, age, holds",
    [
        ("5m", None, False),
        ("5m", 299, True),
        ("5m", 300, False),
        ("-5m", None, False),
        ("-5m", 299, False),
        ("-5m", 300, True),
    ],
)
def test_seen(stage: Any, value: str, age: float | None, holds: bool) -> None:
    question = SeenBefore("203.0.113.9", 300, value.startswith("-"))
    stage.answers[question] = age
    assert stage.said(f"accept seen = {value}") == (YES if holds else NO)
    assert stage.said(f"accept !seen = {value}") == (NO if holds else YES)
    assert set(stage.asked) == {question}


def test_seen_options(stage: Any) -> None:
    stage.answers[SeenBefore("bob@here.test", 60, True, "readonly", 3600)] = 61
    acl = "accept seen = -1m / key=$local_part@$domain / readonly / refresh=1h"
    assert stage.said(acl) == YES
    for wrong in ("x", "5m / nosuch", "5m / refresh=x", ""):
        assert stage.said(f"accept seen = {wrong}") == LATER


@pytest.mark.parametrize(
    "is_before, mode, age, afterwards, because",
    [
        (False, "", None, 0, "a new record"),
        (False, "", 10, 0, "since: always written"),
        (True, "", 10, None, "before: left alone"),
        (True, "", 864_000, 300, "refreshed with the time of the test"),
        (True, "write", 10, 0, "always written"),
        (False, "readonly", None, None, "never written"),
    ],
)
def test_what_is_written_down(
    is_before: bool, mode: str, age: float | None, afterwards: float | None, because: str
) -> None:
    assert age_afterwards(SeenBefore("k", 300, is_before, mode), age) == afterwards, because


@pytest.mark.parametrize(
    "phase, acl",
    [
        (Phase.MAIL, "deny domains = x"),
        (Phase.MAIL, "deny recipients = x"),
        (Phase.DATA, "deny local_parts = x"),
        (Phase.CONNECT, "deny senders = x"),
        (Phase.HELO, "deny sender_domains = x"),
        (Phase.HELO, "deny encrypted = *"),
        (Phase.CONNECT, "deny authenticated = *"),
        (Phase.NOT_SMTP, "deny hosts = *"),
        (Phase.NOT_SMTP, "deny dnslists = bl.test"),
        (Phase.CONNECT, "deny verify = sender"),
        (Phase.DATA, "deny verify = recipient"),
        (Phase.RCPT, "deny verify = header_syntax"),
        (Phase.RCPT, "deny verify = not_blind"),
        (Phase.MAIL, "deny verify = header_sender"),
        (Phase.MAIL, "deny verify = header_names_ascii"),
        (Phase.CONNECT, "deny add_header = X: y"),
        (Phase.DKIM, "deny remove_header = x"),
    ],
)
def test_a_word_in_the_wrong_phase(stage: Any, phase: Phase, acl: str) -> None:
    verdict = stage.run(acl, phase=phase)
    assert str(verdict.reply) == LATER
    assert f" {phase.called}" in verdict.log_text and verdict.log_text.startswith("cannot ")


def test_a_message_from_this_host_itself(stage: Any) -> None:
    """Without a connection: the empty item matches, and what asks for a client is no hindrance."""
    stage.variables["sender_host_address"] = ""
    assert stage.said("accept hosts = :") == YES
    assert stage.said("accept hosts = *") == YES
    assert stage.said("accept hosts = 203.0.113.9") == NO
    assert stage.said("accept verify = reverse_host_lookup") == YES
    assert stage.said("accept verify = helo") == YES
    stage.variables["sender_helo_name"] = ""
    assert stage.said("accept verify = helo") == NO
