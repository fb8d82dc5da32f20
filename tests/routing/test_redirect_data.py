"""Redirection data: aliases and .forward files as people write them."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from labkit.eximconf.mailbox_text import NoMailbox, end_of_mailbox, qualified, read_mailbox
from labkit.mail.asking import answer_from
from labkit.mail.lookups import FileText, Unopened
from labkit.routing.redirect_data import Ending, Permissions, is_filter, read_redirection

ALL = Permissions(True, True, True, True, None, False, "in.test", "here.test")
FILES: dict[Any, Any] = {
    FileText("/list"): "# a list\na@b.test,\n  c@d.test (x)\n",
    FileText("/gone"): "a@b.test\n:fail: from inside\n",
    FileText("/none"): Unopened("No such file or directory"),
    FileText("/self"): ":include:/self\n",
    FileText("/in/x"): "x@b.test",
}


def read(text: str, allowed: Permissions = ALL) -> str:
    found = answer_from(FILES, read_redirection(text, allowed))
    items = " ".join(f"[{item.text}]" if item.is_target else item.text for item in found.items)
    return f"{found.ending.name} {items} {found.message}".strip().replace("  ", " ")


@pytest.mark.parametrize(
    "text, says, because",
    [
        ("", "NOTHING", "nothing"),
        (" ,\n, # only a comment", "NOTHING", "nor here"),
        ("bob", "DELIVERED bob@here.test", "a name gets a domain"),
        ("bob, ann@b.test\nc@d.test", "DELIVERED bob@here.test ann@b.test c@d.test", "commas and line ends part"),
        ('Ann "x" Smith <ann@b.test> (home)', "DELIVERED ann@b.test", "names and comments go"),
        ("<@x.test,@y.test:ann@b.test>", "DELIVERED ann@b.test", "a source route goes"),
        ('"ann lee"@b.test', 'DELIVERED "ann lee"@b.test', "quotes in an address stay"),
        ("\\bob", "DELIVERED bob@in.test", "the user here, whatever is added elsewhere"),
        ("\\bob@b.test", "DELIVERED \\bob@b.test", "with a domain the backslash belongs to the name"),
        ("# all\nbob # no", 'ERROR missing or malformed local part (expected word or "<") in "bob # no"', "no comment"),
        ("|/bin/cat", "DELIVERED [|/bin/cat]", "a program"),
        ('"|/bin/echo \\"a b\\""', 'DELIVERED [|/bin/echo "a b"]', "whole in quotes: backslashes go"),
        ("|/bin/a b, bob", "DELIVERED [|/bin/a b] bob@here.test", "a comma ends it"),
        ("/var/mail/x", "DELIVERED [/var/mail/x]", "a file"),
        ("/X=1/Y=2/@b.test", "DELIVERED /X=1/Y=2/@b.test", "an address with a domain is one"),
        ("ann, :fail: 550 gone, bye\n\n", "FAIL ann@here.test 550 gone, bye", "all the rest is its words"),
        (":defer:", "DEFER", "no words"),
        (":blackhole: x", "BLACKHOLE x", "goes nowhere"),
        (":unknown:", "NOTHING", "as if it were not there"),
        (":u", "NOTHING", "Exim takes its beginning for it, too"),
        ("()", "NOTHING", "an empty address is a comment"),
        (":include:/list, last", "DELIVERED a@b.test c@d.test last@here.test", "a file's text stands here"),
        ("x, :include:/gone", "FAIL x@here.test from inside", "what the file began is dropped"),
        (":include:/none", "ERROR failed to open included file /none: No such file or directory", "missing"),
        (":include:list", 'ERROR included file "list" is not an absolute path', "relative"),
        (":include:", "ERROR file name missing after :include:", "no name"),
        (":include:/self", "ERROR included file /self: more than 32 files one inside the other", "for ever"),
        ("a@[1.2.3.4]", "DELIVERED a@[1.2.3.4]", "a literal is read; no router takes it"),
        ("a b", 'ERROR missing or malformed local part (expected word or "<") in "a b"', "two words"),
        ('"unclosed', 'ERROR unmatched doublequote in local part in ""unclosed"', "a quote"),
    ],
)  # fmt: skip
def test_items(text: str, says: str, because: str) -> None:
    assert read(text) == says, because


@pytest.mark.parametrize(
    "text, changes, says",
    [
        (":fail: x", {"fail": False}, 'ERROR ":fail: x" is not permitted'),
        (":defer: x", {"defer": False}, 'ERROR ":defer: x" is not permitted'),
        (":blackhole:", {"blackhole": False}, 'ERROR ":blackhole:" is not permitted'),
        (":include:/list", {"include": False}, "ERROR included files not permitted"),
        (":include:/list", {"include_directory": "/in"}, "ERROR included file /list is not in directory /in"),
        (":include:/in/x", {"include_directory": "/in/"}, "DELIVERED x@b.test"),
        (
            ":include:/in/../list",
            {"include_directory": "/in"},
            "ERROR failed to open /in/../list (component of included file); could be symbolic link",
        ),
        ("a b, bob", {"skips_errors": True}, "DELIVERED bob@here.test"),
        ("a b", {"skips_errors": True}, "DELIVERED"),
    ],
)
def test_permissions(text: str, changes: dict[str, object], says: str) -> None:
    allowed = {name: getattr(ALL, name) for name in Permissions.__dataclass_fields__}
    assert read(text, Permissions(**{**allowed, **changes})) == says


@pytest.mark.parametrize(
    "text, is_one",
    [
        ("# Exim filter\nfinish", True),
        ("\n  #Sieve   filter", True),
        ("# EXIM FILTER <<== x", True),
        ("# Exim\nfilter", False),
        ("bob # Exim filter", False),
    ],
)
def test_filters(text: str, is_one: bool) -> None:
    assert is_filter(text) is is_one


@pytest.mark.parametrize(
    "text, says",
    [
        ("ann@b.test", "ann@b.test"),
        ("ann", "ann"),
        (" ann (x) @ (y) b . test ", "ann@b.test"),
        ("a..b.@c.test", "a..b.@c.test"),
        ('"a@b"@c.test', '"a@b"@c.test'),
        ("ann@b.test x", "malformed address: x may not follow ann@b.test "),
        ("ann@", "domain missing or malformed"),
        ("ann@-b", "domain missing or malformed"),
        ("@b.test", "no local part"),
        ("<ann@b.test", "'>' missing at end of address"),
        ("<ann@[1.2.3.4]>", "domain literals not allowed"),
        ("", "empty address"),
        ("<@a.test:ann>", "domain missing in source-routed address"),
        ("<ann b>", '"@" or "." expected after "ann"'),
        ("a" * 300 + "@b.test", "address is ridiculously long: " + "a" * 64 + "..."),
    ],
)
def test_mailboxes(text: str, says: str) -> None:
    assert mailbox(text) == says


def mailbox(text: str) -> str:
    """The address, or what is wrong with it."""
    try:
        return read_mailbox(text).text
    except NoMailbox as problem:
        return str(problem)


@pytest.mark.parametrize(
    "text, has_domain",
    [("a", False), ("a@b", True), ('"a@b"', False), ("a\\@b", False), ('"x"@b', True), ("\\\\@b", False)],
)
def test_qualified(text: str, has_domain: bool) -> None:
    assert qualified(text, "c") == (text if has_domain else f"{text}@c")


@given(st.text(alphabet='ab@.,"\\()<>:#|/ \n;[]', max_size=30))
def test_nothing_breaks_the_reader(text: str) -> None:
    found = answer_from({}, read_redirection(text.replace(":include:", ""), ALL))
    assert found.ending in Ending
    assert end_of_mailbox(text, 0, line_ends=True) <= len(text)
    if found.ending is Ending.DELIVERED:
        assert found.items
