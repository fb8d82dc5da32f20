"""Lists: how they are cut, what matches, and what a match vouches for."""

from __future__ import annotations

import ipaddress
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from labkit.eximconf.lists import Here, ListKind, NamedLists, PatternList, compile_list, split_list
from labkit.eximconf.reader import ConfigurationError, Place

PLACE = Place("exim.conf", 3)
HERE = Here("MX2.st11.test", ("203.0.113.11",))


def made(kind: ListKind, text: str, named: NamedLists | None = None) -> PatternList:
    return compile_list(kind, text, PLACE, named or {})


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
    ],
)
def test_cut(text: str, items: list[str], because: str) -> None:
    assert split_list(text) == items, because


@settings(deadline=None)
@given(
    st.lists(
        st.text(st.characters(exclude_categories=["Cc", "Z", "C"]), min_size=1).filter(lambda t: t[0] != "<")
    ),
    st.sampled_from(":;,/|"),
)
def test_what_is_joined_comes_apart(items: list[str], separator: str) -> None:
    # a doubled separator stands for itself, so an item that begins with one cannot follow another item unblanked
    written = f"<{separator} " + f" {separator} ".join(
        item.replace(separator, separator * 2) for item in items
    )
    assert split_list(written) == items


D, H, L = ListKind.DOMAIN, ListKind.HOST, ListKind.LOCAL_PART


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
    assert made(kind, text).matches(subject, HERE) is found, because


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
    match = made(kind, text, NAMED).look(subject, HERE)
    assert (match.found, match.item, match.data) == (found, item, data), because


@pytest.mark.parametrize(
    "kind, text, problem, because",
    [
        (D, "$domain", "an expansion in a list", "not yet"),
        (D, "a : ^b", "the regular expression ^b", "not yet"),
        (D, "lsearch;/etc/domains", "the look-up lsearch;/etc/domains", "not yet"),
        (D, "partial-lsearch;/x", "the look-up", "not yet"),
        (D, "lsearch*;/x", "the look-up", "a star before the semicolon, too"),
        (H, "net16-iplsearch;/x", "the look-up", "not yet"),
        (L, "passwd;x", "the look-up", "not yet"),
        (D, "/etc/domains", "a list in a file (/etc/domains)", "it would never match, and nobody would know"),
        (D, "@mx_any", "@mx_any in a domain list", "not yet"),
        (D, "@[]", "@[] in a domain list", "not yet"),
        (H, "mx.test", "the host name mx.test", "not yet"),
        (H, "*.test", "the host name *.test", "not yet"),
        (H, "@", "the host name @", "not yet"),
        (H, "::1", "malformed IP address or address mask: :1", "a colon is a separator"),
        (H, "10.1", "malformed IP address or address mask: 10.1", "Exim's words"),
        (H, "192.0.2.0/33", "malformed IP address or address mask", "no such mask"),
        (H, "192.0.2.0/255.255.255.0", "the host name 192.0.2.0/255.255.255.0", "Exim has no such masks"),
        (H, "+include_unknown : 192.0.2.1", "+include_unknown in a list", "a word, not a named list"),
        (L, "+caseful : Bob", "+caseful in a list", "a word, not a named list"),
        (D, "+theirs", 'unknown named domain list "+theirs"', "not defined"),
        (L, "+ours", 'unknown named local part list "+ours"', "a domain list is no local part list"),
    ],
)
def test_what_is_refused(kind: ListKind, text: str, problem: str, because: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        made(kind, text, NAMED)
    assert problem in caught.value.problem, because
    assert caught.value.place == PLACE
    assert caught.value.remedy


def test_lists_within_lists_have_an_end() -> None:
    named: dict[tuple[ListKind, str], PatternList] = {(D, "d1"): made(D, "a.test")}
    for i in range(2, 51):
        named[D, f"d{i}"] = made(D, f"b.test : +d{i - 1}", named)
    assert named[D, "d50"].matches("a.test", HERE)
    with pytest.raises(ConfigurationError, match="51 lists one inside the other"):
        made(D, "+d50", named)


items = st.text(st.sampled_from("ab.*!+:;<@^/$ 1"), max_size=12)


@settings(deadline=None)
@given(st.sampled_from(ListKind), items | st.text(), st.text())
def test_nothing_but_a_configuration_error(kind: ListKind, text: str, subject: str) -> None:
    try:
        found = made(kind, text, NAMED)
    except ConfigurationError:
        return
    assert found.matches(subject, HERE) in (True, False)


@settings(deadline=None)
@given(st.ip_addresses(v=4), st.ip_addresses(v=4), st.integers(0, 32))
def test_networks_as_the_standard_library_sees_them(
    subject: ipaddress.IPv4Address, base: ipaddress.IPv4Address, bits: int
) -> None:
    inside = subject in ipaddress.ip_network(f"{base}/{bits}", strict=False)
    assert made(H, f"{base}/{bits}").matches(str(subject), HERE) is inside


@pytest.mark.parametrize(
    "text",
    [":" * 1_000_000, "a" * 1_000_000, "a : " * 50_000, " " * 1_000_000, "!" * 1_000_000, "a::" * 333_333],
)
def test_a_megabyte_in_no_time(text: str) -> None:
    began = time.process_time()
    compiled = made(D, text)
    compiled.matches("x" * 1000, HERE)
    assert time.process_time() - began < 2
