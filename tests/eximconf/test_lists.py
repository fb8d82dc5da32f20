"""Lists: how they are cut, what matches, and what a match vouches for."""

from __future__ import annotations

import ipaddress
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from labkit.eximconf.expansion import Env, Failure, Tainted
from labkit.eximconf.here import Here
from labkit.eximconf.lists import (
    ListKind,
    Match,
    NamedLists,
    PatternList,
    check_names,
    compile_list,
    split_list,
)
from labkit.eximconf.reader import ConfigurationError, Place
from labkit.mail.asking import answer_from

PLACE = Place("exim.conf", 3)
HERE = Here("MX2.st11.test", ("203.0.113.11",))


def made(kind: ListKind, text: str, named: NamedLists | None = None) -> PatternList:
    return compile_list(kind, text, PLACE, named or {})


def look(patterns: PatternList, subject: str) -> Match:
    return patterns.look(subject, Env(here=HERE))


@pytest.mark.parametrize(
    "text, items, because",
    [
        ("", [], "an empty list has no items"),
        ("  ", [], "nor has a blank one"),
        (":", [""], "one empty item: a separator at the end starts none"),
        ("a", ["a"], "one item"),
        (" a : b :c", ["a", "b", "c"], "blanks around items go"),
        ("a:", ["a"], "a separator at the end starts no item"),
        (":a", ["", "a"], "at the beginning it ends one"),
        ("a: :b", ["a", "", "b"], "an empty item in the middle"),
        (" : : ", ["", ""], "two empty items"),
        ("a::b:c", ["a:b", "c"], "doubled it is a character of the item"),
        ("::", [":"], "also alone"),
        ("a:::b", ["a:", "b"], "the first two belong together"),
        ("::::1", ["::1"], "so an IPv6 address can be written"),
        ("<; ::1 ; a", ["::1", "a"], "another separator"),
        ("<;a;;b;c", ["a;b", "c"], "doubled, too"),
        (" <, a , b", ["a", "b"], "a blank before the change"),
        ("<_a_b", ["a", "b"], "any punctuation"),
        ("<]a]b", ["a", "b"], "even such as regular expressions know"),
        ("<a:b", ["<a", "b"], "a letter is no separator"),
        ("< ; a", ["< ; a"], "nor is a blank"),
        ('"a:b":c', ['"a', 'b"', "c"], "quotes do not protect"),
        ("a\\:b", ["a\\", "b"], "nor do backslashes"),
        ("a\tb", ["a\tb"], "a tab is a blank only at the ends"),
        ("a\\ : b", ["a\\ ", "b"], "a blank behind a backslash stays"),
        ("<\n a : b\n\nc", ["a : b", "", "c"], "a line end as separator; it cannot be doubled"),
        ("<\x01a\x01\x01b", ["a", "", "b"], "nor can another control character"),
        ("<", ["<"], "nothing behind it: no choice"),
        ("<;", [], "a choice, and nothing else"),
    ],
)
def test_cut(text: str, items: list[str], because: str) -> None:
    assert split_list(text) == tuple(items), because


def is_plain(item: str) -> bool:
    """No choice of a separator, and no backslash that would keep the blank behind it."""
    return item[0] != "<" and item[-1] != "\\"


@settings(deadline=None)
@given(
    st.lists(st.text(st.characters(exclude_categories=["Cc", "Z", "C"]), min_size=1).filter(is_plain)),
    st.sampled_from(":;,/|"),
)
def test_what_is_joined_comes_apart(items: list[str], separator: str) -> None:
    # a doubled separator stands for itself, so an item that begins with one cannot follow another item unblanked
    written = f"<{separator} " + f" {separator} ".join(
        item.replace(separator, separator * 2) for item in items
    )
    assert split_list(written) == tuple(items)


D, H, L, A = ListKind.DOMAIN, ListKind.HOST, ListKind.LOCAL_PART, ListKind.ADDRESS


@pytest.mark.parametrize(
    "kind, text, subject, found, because",
    [
        (D, "st11.test", "st11.test", True, "the very domain"),
        (D, "ST11.test", "st11.TEST", True, "domains compare without case"),
        (D, "st11.test", "a.st11.test", False, "not its subdomains"),
        (D, "*.st11.test", "a.st11.test", True, "subdomains"),
        (D, "*.st11.test", "st11.test", False, "but not the domain itself: trap 5 of the lab"),
        (D, "*st11.test", "evilst11.test", True, "without the dot, strangers too: trap 5 again"),
        (D, "a.*", "a.b", False, "a star is special only in front"),
        (D, "*", "", True, "a star alone is everything"),
        (D, "@", "mx2.ST11.test", True, "@ is this host's name"),
        (D, "@", "st11.test", False, "and nothing else"),
        (D, "", "st11.test", False, "an empty list matches nothing"),
        (D, ":", "", True, "an empty item matches an empty domain"),
        (D, "a.test : b.test", "b.test", True, "the second item"),
        (D, "!a.test : *.test", "a.test", False, "the first that matches decides"),
        (D, "! a.test : *.test", "b.test", True, "a blank after the exclamation mark"),
        (D, "!a.test : *.test", "b.org", False, "nothing matched, the last item is positive"),
        (D, "!a.test", "b.org", True, "nothing matched, the last item is negated"),
        (D, "b.test : !a.test", "c.test", True, "so it is here, whatever came before"),
        (H, "192.0.2.1", "192.0.2.1", True, "an address"),
        (H, "192.0.2.0/24", "192.0.2.99", True, "a network"),
        (H, "192.0.2.77/24", "192.0.2.99", True, "host bits do not matter"),
        (H, "0.0.0.0", "192.0.2.1", False, "one impossible address: trap 9 of the lab"),
        (H, "0.0.0.0/0", "192.0.2.1", True, "this is everybody"),
        (H, "*", "192.0.2.1", True, "so is this"),
        (H, "::::1", "::1", True, "IPv6 with doubled colons"),
        (H, "<; 2001:db8::/32", "2001:db8::1", True, "or another separator"),
        (H, "10.0.0.0/8", "2001:db8::1", False, "families do not mix"),
        (H, "@[]", "203.0.113.11", True, "this host's own addresses"),
        (H, "@[]", "203.0.113.12", False, "and no others"),
        (H, ":", "", True, "an empty item is this host itself, without a connection"),
        (H, "!192.0.2.1", "", True, "an empty address is no address"),
        (H, "192.0.2.1", "nonsense", False, "nor is nonsense"),
        (L, "bob", "BOB", True, "local parts compare without case here, as in Exim's routers"),
        (L, "*-request", "list-request", True, "an ending"),
        (L, "list-*", "list-request", False, "a star is special only in front"),
        (L, "@", "mx2.st11.test", False, "@ means nothing in a local part list"),
    ],
)
def test_match(kind: ListKind, text: str, subject: str, found: bool, because: str) -> None:
    assert look(made(kind, text), subject).found is found, because


NAMED = {(D, "ours"): made(D, "*.st11.test : !no.test"), (H, "near"): made(H, "192.0.2.0/24")}


@pytest.mark.parametrize(
    "kind, text, subject, found, item, data, because",
    [
        (
            D,
            "*.st11.test",
            "A.st11.test",
            True,
            "*.st11.test",
            "*.st11.test",
            "the pattern, not what a stranger wrote",
        ),
        (D, "St11.test", "st11.test", True, "St11.test", "St11.test", "as it was written"),
        (D, "@", "mx2.st11.TEST", True, "@", "MX2.st11.test", "the name @ stands for"),
        (L, "*", "../../etc/passwd", True, "*", "*", "no path of a stranger's becomes a file name"),
        (D, "+ours", "a.st11.test", True, "+ours", "*.st11.test", "a named list vouches for its own item"),
        (D, "+ours", "else.test", True, "+ours", "", "the end of a list vouches for nothing"),
        (D, "!a.test", "b.test", True, None, "", "nor does it here"),
        (D, "!+ours : *", "no.test", True, "*", "*", "a list within that says no is no match"),
        (D, "!+ours : *", "x.st11.test", False, "!+ours", "*.st11.test", "negated outside"),
    ],
)
def test_what_a_match_vouches_for(
    kind: ListKind, text: str, subject: str, found: bool, item: str | None, data: str, because: str
) -> None:
    match = look(made(kind, text, NAMED), subject)
    assert (match.found, match.item, match.data) == (found, item, data), because


@pytest.mark.parametrize(
    "kind, text, subject, data, numbers, because",
    [
        (D, "a.b", "A.B", "a.b", ("a.b",), "$0 is what was looked for"),
        (D, "*.c.d", "a.b.C.d", "*.c.d", ("a.b.c.d", "a.b"), "$1 is what the star stands for"),
        (
            D,
            r"\N^(a|b)\.(.)\N",
            "A.x",
            r"^(a|b)\.(.)",
            ("A.x", "A", "x"),
            "a regular expression sees the text as it was",
        ),
        (L, "*-x", "ann-X", "*-x", ("ann-x", "ann"), "local parts, too"),
        (H, "*", "192.0.2.1", "", (), "an address vouches for nothing"),
        (H, "192.0.2.0/24", "192.0.2.1", "", (), "nor does a network"),
        (A, "ann@b", "Ann@B", "ann@b", (), "addresses set no numbers"),
        (
            A,
            "*@dom.test",
            "ann@dom.test",
            "*@d@dom.test",
            (),
            "as many characters as the local part has: Exim 4.96",
        ),
        (A, "dom.test", "ann@dom.test", "@dom.test", (), "no local part was asked for"),
        (A, "^ann", "ann@dom.test", "", (), "a regular expression vouches for nothing"),
    ],
)
def test_what_a_match_sets(
    kind: ListKind, text: str, subject: str, data: str, numbers: tuple[str, ...], because: str
) -> None:
    match = look(made(kind, text), subject)
    assert (match.found, match.data, match.numbers) == (True, data, numbers), because


def test_numbers_are_a_strangers() -> None:
    match = look(made(D, "*.b"), "a.b")
    assert [type(each) for each in match.numbers] == [Tainted, Tainted]
    assert type(match.data) is str


@pytest.mark.parametrize(
    "kind, text, subject, found, because",
    [
        (A, "a@b", "A@B", True, "addresses compare without case"),
        (A, "+caseful : a@b", "A@b", False, "until +caseful"),
        (A, "+caseful : A@b", "A@B", True, "which leaves the domain alone"),
        (A, "+caseful : A@B", "A@b", False, "but not the pattern's"),
        (A, "*@*", "", False, "nothing but an empty item is for the null sender"),
        (A, ":", "", True, "this one"),
        (A, "^", "", True, "and a regular expression"),
        (A, "!a@b", "", True, "and the end of a list"),
        (A, "b", "a@b", True, "a domain alone"),
        (A, "*.b", "a@x.b", True, "or the end of one"),
        (A, "a@", "a@b", False, "no domain matches an empty one"),
        (A, "*list@b", "my-list@b", True, "the end of a local part"),
        (A, "a@@", "a@mx2.st11.test", True, "@ is our name"),
        (A, "a@@[]", "a@[203.0.113.11]", True, "and our address"),
        (A, "*@+ours", "x@a.st11.test", True, "a named domain list behind the @"),
        (A, "*@!b", "x@c", True, "even a negated domain"),
        (A, "x", "x", False, "an address without domain is in no list"),
        (L, "+caseful : Bob", "bob", False, "local parts have it, too"),
        (L, "BOB : +caseful", "bob", True, "only from there on"),
        (L, "!ann : +caseful", "bob", True, "it is no item: the last one is negated"),
        (L, "+case : ANN", "ann", False, "and from within a list"),
        (L, "^B", "bob", True, "a regular expression has no case"),
        (L, "+caseful : ^B", "bob", False, "until then"),
        (D, "^(?-i)A", "a.b", False, "unless it says so itself"),
        (D, "@[]", "[203.0.113.11]", True, "a domain literal"),
        (D, "+later", "a.test", True, "a list defined later"),
        (H, "10.1", "10.1.2.3", False, "no address: the list ends"),
        (H, "1.2.3.4/", "9.9.9.9", True, "nothing behind the slash is /0"),
        (H, "1.2.3.4/33", "1.2.3.4", True, "a mask can be too long"),
        (H, "1.2.3.4/1000000000", "9.9.9.9", False, "and then it is exact"),
        (H, "1.2.3.4/" + "0" * 5000 + "8", "1.9.9.9", True, "zeros do not count"),
        (H, "<; ::ffff:0:0/96", "::ffff:10.1.2.3", False, "IPv4 in IPv6 counts as IPv4"),
        (H, "10.0.0.0/8", "::ffff:10.1.2.3", True, "here one sees it"),
    ],
)
def test_more_matches(kind: ListKind, text: str, subject: str, found: bool, because: str) -> None:
    named = dict(NAMED)
    named[D, "later"] = made(D, "+last", named)
    named[D, "last"] = made(D, "a.test", named)
    named[L, "case"] = made(L, "+caseful : Bob")
    patterns = made(kind, text, named)
    match = answer_from({}, patterns.asking(subject, Env(here=HERE)))
    assert isinstance(match, Match)
    assert match.found is found, because


@pytest.mark.parametrize(
    "kind, text, subject, words",
    [
        (D, "+ours", "a.st11.test", "domain a.st11.test is in +ours by +ours (*.st11.test)"),
        (D, "!a.b", "c", "domain c is in !a.b"),
        (D, "!a.b : *", "a.b", "domain a.b is not in !a.b : * by !a.b"),
        (H, "192.0.2.1", "", "host nobody is not in 192.0.2.1"),
        (L, "a", "b", "local part b is not in a"),
        (A, "*@b", "a@b", "address a@b is in *@b by *@b"),
        (
            H,
            "10.1 : *",
            "1.2.3.4",
            "host 1.2.3.4 is not in 10.1 : * by 10.1 (malformed IPv4 address or address mask)",
        ),
    ],
)
def test_in_words(kind: ListKind, text: str, subject: str, words: str) -> None:
    match = answer_from({}, made(kind, text, NAMED).asking(subject, Env(here=HERE)))
    assert isinstance(match, Match)
    assert match.because == words


@pytest.mark.parametrize(
    "kind, text, problem",
    [
        (D, "ldap;ldap:///x", "the look-up ldap"),
        (D, "mysql;select 1", "the look-up mysql"),
        (D, "a : partial-cdb;/x", "the look-up cdb"),
        (H, "net-dbm;/x", "the look-up dbm"),
        (A, "*@nis;x", "the look-up nis"),
        (D, "${perl{x}}", "${perl{"),
    ],
)
def test_what_is_refused(kind: ListKind, text: str, problem: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        made(kind, text, NAMED)
    assert caught.value.problem == f"{problem} is not read by labkit yet"
    assert caught.value.place == PLACE
    assert caught.value.remedy


@pytest.mark.parametrize(
    "kind, text, subject, problem",
    [
        (D, "+theirs", "a", 'unknown named domain list "+theirs"'),
        (L, "+ours", "a", 'unknown named local part list "+ours"'),
        (H, "+ours", "1.2.3.4", 'unknown named host list "+ours"'),
        (A, "*@+theirs", "a@b", 'unknown named domain list "+theirs"'),
        (
            D,
            "^(",
            "a",
            "regular expression error: missing closing parenthesis at offset 2 while compiling ^(",
        ),
        (D, "nosuch;/x", "a", 'unknown lookup type "nosuch"'),
        (D, "partial*lsearch;/x", "a", 'format error in lookup type "partial*lsearch"'),
        (D, "partial-passwd;/x", "a", '"partial" is not permitted for lookup type "passwd"'),
        (D, "passwd*;/x", "a", 'defaults using "*" or "*@" are not permitted for lookup type "passwd"'),
        (
            D,
            r"a\x : $nosuch",
            "a",
            'failed to expand "a\\x : $nosuch" while checking a list: unknown variable name "nosuch"',
        ),
    ],
)
def test_what_fails_when_it_is_used(kind: ListKind, text: str, subject: str, problem: str) -> None:
    patterns = made(kind, text, NAMED)
    assert patterns.can_ask
    assert answer_from({}, patterns.asking(subject, Env(here=HERE))) == Failure(problem)
    with pytest.raises(TypeError, match="use asking"):
        look(patterns, subject)


def test_names_that_are_not_there() -> None:
    patterns = made(A, "+others : *@+ours : *@+theirs : !+theirs : x@+theirs", NAMED)
    assert list(check_names(patterns, NAMED)) == ["others", "theirs", "theirs"]
    assert list(check_names(made(D, "${if eq{a}{b}{+theirs}}"), NAMED)) == []


def test_lists_within_lists_have_an_end() -> None:
    named: dict[tuple[ListKind, str], PatternList] = {}
    named[D, "d1"] = made(D, "a.test", named)
    for i in range(2, 52):
        named[D, f"d{i}"] = made(D, f"b.test : +d{i - 1}", named)
    assert look(named[D, "d50"], "a.test").found
    end = Failure("50 lists one inside the other")
    assert answer_from({}, made(D, "+d51", named).asking("a.test", Env())) == end
    named[D, "d1"] = made(D, "+d51", named)  # and one that holds itself
    assert answer_from({}, made(D, "+d51", named).asking("a.test", Env())) == end


def test_lists_that_name_each_other_twice() -> None:
    named: dict[tuple[ListKind, str], PatternList] = {(D, "d0"): made(D, "a.test")}
    for i in range(1, 50):
        named[D, f"d{i}"] = made(D, f"+d{i - 1} : +d{i - 1}", named)
    began = time.process_time()
    assert not look(named[D, "d49"], "x" * 1000).found
    assert not look(made(A, "*@+d49 : *@+d49", named), "a@" + "x" * 1000).found
    assert time.process_time() - began < 1


def test_here_may_change() -> None:
    patterns = made(D, "@")
    assert patterns.look("a", Env(here=Here("a"))).found
    assert not patterns.look("a", Env(here=Here("b"))).found


def test_equal_lists() -> None:
    assert made(D, "a") == made(D, "a") != made(L, "a")
    assert len({made(D, "a"), made(D, "a"), made(D, "b")}) == 2
    assert repr(made(D, "a : b")) == "PatternList(domainlist, 'a : b')"


@settings(deadline=None)
@given(st.ip_addresses(v=4), st.ip_addresses(v=4), st.integers(0, 32))
def test_networks_as_the_standard_library_sees_them(
    subject: ipaddress.IPv4Address, base: ipaddress.IPv4Address, bits: int
) -> None:
    inside = subject in ipaddress.ip_network(f"{base}/{bits}", strict=False)
    assert look(made(H, f"{base}/{bits}"), str(subject)).found is inside
