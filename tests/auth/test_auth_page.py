"""docs/auth.md: what it shows is so."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

import labkit


def blocks(root: Path, kind: str) -> list[str]:
    return re.findall(rf"```{kind}\n(.*?)```", (root / "docs/auth.md").read_text(), re.DOTALL)


def test_one_message(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    _, zone, _, example = blocks(root, "python")
    exec(zone + example, {})
    (shown,) = blocks(root, "text")
    assert capsys.readouterr().out == shown


def test_the_five_are_there(root: Path) -> None:
    names = re.findall(r"^(\w+)\(", blocks(root, "python")[0], re.MULTILINE)
    assert len(names) == 5 and all(callable(getattr(labkit.auth, name)) for name in names)


def test_what_the_real_dns_says_is_told_apart(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The function for dnspython, with a resolver that answers without a network."""
    import dns.resolver
    import dns.rrset

    names: dict[str, Any] = {"labkit": labkit}
    exec(blocks(root, "python")[2], names)
    lookup = names["lookup_outside"]

    def resolve(name: str, rdtype: str) -> Any:
        if name == "none.test":
            raise dns.resolver.NXDOMAIN
        if name == "empty.test":
            raise dns.resolver.NoAnswer(response=type("R", (), {"question": []})())
        if name == "dead.test":
            raise dns.resolver.LifetimeTimeout(timeout=1, errors=[])
        text = {"MX": "10 mx.a.test.", "TXT": '"v=spf1 " "-all"'}[rdtype]
        return dns.rrset.from_text(f"{name}.", 60, "IN", rdtype, text)

    monkeypatch.setattr(dns.resolver, "resolve", resolve)
    assert lookup("a.test", "MX") == ["10 mx.a.test."] and lookup("a.test", "TXT") == ["v=spf1 -all"]
    assert lookup("empty.test", "MX") == []
    with pytest.raises(labkit.NoSuchName):
        lookup("none.test", "MX")
    with pytest.raises(labkit.LookupTimedOut):
        lookup("dead.test", "MX")
