"""Master files: what is read, and what is said about mistakes."""

from __future__ import annotations

from pathlib import Path

import dns.name
import pytest

from labkit.net.dns_zones import Zone, ZoneError, Zones, read_zone

TOP = "$TTL 1h\n@ IN SOA ns hostmaster 1 1h 15m 1w 5m\n@ IN NS ns\nns A 203.0.113.53\n"


def texts(zone: Zone, name: str) -> list[str]:
    """The records at a name, in the order of the file."""
    rrsets = zone.records.get(dns.name.from_text(name), ())
    return [line for rrset in rrsets for line in rrset.to_text().splitlines()]


def test_shipped_zones(root: Path) -> None:
    files = sorted((root / "data" / "zones").glob("*.zone"))
    zones = [read_zone(file.read_text("utf-8"), file=file.name) for file in files]
    assert [f"{zone.origin}zone" for zone in zones] == [file.name for file in files]
    forward = zones[1]
    assert texts(forward, "st11.sne21.test") == [
        "st11.sne21.test. 3600 IN MX 10 mx2.st11.sne21.test.",
        "st11.sne21.test. 3600 IN MX 20 mx.st2.sne21.test.",
        'st11.sne21.test. 3600 IN TXT "v=spf1 mx -all"',
    ]
    assert texts(forward, "nomail.sne21.test")[1] == "nomail.sne21.test. 3600 IN MX 0 ."
    assert texts(zones[0], "11.113.0.203.in-addr.arpa") == [
        "11.113.0.203.in-addr.arpa. 3600 IN PTR mx2.st11.sne21.test."
    ]


@pytest.mark.parametrize(
    "lines, name, records, because",
    [
        ("x A 192.0.2.1", "x.a.test", "3600 IN A 192.0.2.1", "$TTL and the zone's class go without saying"),
        ("x 60 IN A 192.0.2.1", "x.a.test", "60 IN A 192.0.2.1", "TTL and class"),
        ("x IN 1m A 192.0.2.1", "x.a.test", "60 IN A 192.0.2.1", "in either order, with a unit"),
        ("x MX 10 y", "x.a.test", "3600 IN MX 10 y.a.test.", "relative names in the data too"),
        ("x MX 10 y.b.test.", "x.a.test", "3600 IN MX 10 y.b.test.", "a dot at the end: complete"),
        ("x MX 0 .", "x.a.test", "3600 IN MX 0 .", "the null MX"),
        ("x MX 20 b\n  MX 10 a", "x.a.test", "3600 IN MX 20 b.a.test.|3600 IN MX 10 a.a.test.", "file order"),
        ('x TXT ( "v=DKIM1; "\n "p=" )', "x.a.test", '3600 IN TXT "v=DKIM1; " "p="', "parentheses, quotes"),
        ("x TXT v=DKIM1; p=", "x.a.test", '3600 IN TXT "v=DKIM1"', "as BIND: the rest is a comment"),
        ("x.a.test. AAAA 2001:db8::1 ; six", "x.a.test", "3600 IN AAAA 2001:db8::1", "a comment"),
        ("$ORIGIN x\n@ A 192.0.2.1", "x.a.test", "3600 IN A 192.0.2.1", "an $ORIGIN relative to the last"),
        ("X.A.TEST. CNAME Y", "x.a.test", "3600 IN CNAME Y.a.test.", "case does not matter, and is kept"),
        ("*.x A 192.0.2.1", "*.x.a.test", "3600 IN A 192.0.2.1", "a wildcard"),
        ("x SPF v=spf1", "x.a.test", '3600 IN SPF "v=spf1"', "types nobody should use any more"),
        ("x TYPE65280 \\# 1 ff", "x.a.test", "3600 IN TYPE65280 \\# 1 ff", "types nobody knows (RFC 3597)"),
        ("$GENERATE 1-3 h$ A 192.0.2.$", "h3.a.test", "3600 IN A 192.0.2.3", "BIND's loop"),
        ("x CAA 0 issue ca.test", "x.a.test", '3600 IN CAA 0 issue "ca.test"', "whatever dnspython reads"),
        ("x\tA\t192.0.2.1\r\n", "x.a.test", "3600 IN A 192.0.2.1", "pasted from Windows"),
    ],
)
def test_reads(lines: str, name: str, records: str, because: str) -> None:
    zone = read_zone(TOP + lines + "\n", "a.test")
    found = [line.split(" ", 1)[1] for line in texts(zone, name)]
    assert found == records.split("|"), because


def test_the_zone_is_told_by_its_first_origin() -> None:
    assert read_zone("$ORIGIN a.test.\n" + TOP).origin.to_text() == "a.test."
    dumped = "$ORIGIN .\n$TTL 1h\na.test SOA ns.a.test h.a.test 1 2 3 4 5\n NS ns.a.test"
    assert len(read_zone(dumped, "a.test").names) == 1
    assert read_zone(TOP.replace("@ IN", "a.test. IN"), "A.test.").origin == dns.name.from_text("a.test")


@pytest.mark.parametrize(
    "lines, line, words",
    [
        ("x A 192.0.2", 5, "four numbers"),
        ("x A\ny A 192.0.2.1", 5, "a field is missing"),
        ("x MX mail", 5, "preference"),
        ("x MX 10", 5, "preference"),
        ("x MX 10 mail extra", 5, "too much"),
        ("x FOO bar", 5, "type"),
        ("x CH A 192.0.2.1", 5, "only class in"),
        ("x CNAME y\nx A 192.0.2.1\ny A 192.0.2.2", 6, "no other record"),
        ("@ CNAME y", 5, "no other record"),
        ("x CNAME y\nx CNAME z", 6, "keep one"),
        ("@ SOA ns hostmaster 2 2 3 4 5", 5, "keep one"),
        ("y SOA ns hostmaster 1 2 3 4 5", 5, "must be that of the zone"),
        ("x.b.test. A 192.0.2.1", 5, "outside the zone"),
        ("$GENERATE 1-3 h$.b.test. A 192.0.2.$", 5, "outside the zone"),
        ("$GENERATE 3 h$ A 192.0.2.$", 5, "generate"),
        ('x TXT "open\ny A 192.0.2.1', 5, "closing"),
        ('x TXT ( "open"\ny A 192.0.2.1', 5, "for every ("),
        (f'x TXT "{"x" * 256}"', 5, "255 characters"),
        (f"{'x' * 64} A 192.0.2.1", 5, "63 characters"),
        ("x..y A 192.0.2.1", 5, "two dots"),
        ("$INCLUDE other", 5, "in its place"),
        ("$TTL soon\nx A 192.0.2.1", 5, "number of seconds"),
        ("$ORIGIN\nx A 192.0.2.1", 5, "missing"),
    ],
)
def test_mistakes(lines: str, line: int, words: str) -> None:
    with pytest.raises(ZoneError) as caught:
        read_zone(f"{TOP}{lines}\n", "a.test", "a.zone")
    said = str(caught.value)
    assert said.startswith(f"a.zone:{line}: ")
    assert words in said.lower()


@pytest.mark.parametrize(
    "text, origin, words",
    [
        ("", None, "$ORIGIN example.test."),
        ("; only a comment\n", None, "$ORIGIN example.test."),
        (TOP, None, "zone:2: unknown origin"),
        ("$ORIGIN a.test\n" + TOP, None, "zone:1: unknown origin"),
        ("x A 192.0.2.1\n", "a.test", "zone:1: missing default ttl value"),
        (TOP, "a..test", "no name for a zone"),
    ],
)
def test_no_zone_at_all(text: str, origin: str | None, words: str) -> None:
    with pytest.raises(ZoneError) as caught:
        read_zone(text, origin)
    assert words.lower() in str(caught.value).lower()


@pytest.mark.parametrize(
    "text, missing",
    [
        ("$TTL 1h\nx A 192.0.2.1\n", "no SOA and no NS"),
        ("$TTL 1h\n@ NS ns.b.test.\nx A 192.0.2.1\n", "no SOA record"),
        ("@ SOA ns hostmaster 1 2 3 4 5\nx A 192.0.2.1\n", "no NS record"),
        ("", "no SOA and no NS"),
    ],
)
def test_the_line_to_add(text: str, missing: str) -> None:
    """Whoever adds the lines that the error tells has a zone."""
    with pytest.raises(ZoneError, match=missing) as caught:
        read_zone(text, "a.test")
    told = str(caught.value).split("Add:\n")[1]
    zone = read_zone(f"{told}\n{text}", "a.test")
    assert zone.origin.to_text() == "a.test."
    assert "NS ns.b.test" not in text or "SOA ns.b.test." in told


def test_names_that_exist() -> None:
    """Also those between: asked for one of them, a server must not say that it does not exist."""
    zone = read_zone(TOP + "a.b.c A 192.0.2.1\n", "z.test")
    shown = {name.to_text() for name in zone.names}
    assert shown == {"z.test.", "ns.z.test.", "a.b.c.z.test.", "b.c.z.test.", "c.z.test."}


def test_zones() -> None:
    upper, lower, root_zone = (read_zone(TOP, origin) for origin in ("a.test", "b.a.test", "."))
    zones = Zones(upper, lower)

    def nearest(name: str) -> Zone | None:
        return zones.find(dns.name.from_text(name))

    assert nearest("x.A.test") is upper
    assert nearest("a.test") is upper
    assert nearest("x.b.a.test") is lower
    assert nearest("xb.a.test") is upper
    assert nearest("test") is None
    zones.put(root_zone)
    assert nearest("test") is root_zone
    again = read_zone(TOP, "a.test")
    zones.put(again)
    assert nearest("x.a.test") is zones["a.test"] is again
    zones.remove("b.a.test")
    assert "b.a.test" not in zones
    assert nearest("x.b.a.test") is again
    assert [zone.origin.to_text() for zone in zones] == ["a.test.", "."]
    assert len(zones) == 2
    with pytest.raises(KeyError):
        zones.remove("b.a.test")
