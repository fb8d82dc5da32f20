"""DMARC against the public cases of another project."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

import labkit
from labkit.auth import evaluate_dmarc


@pytest.fixture(scope="module")
def all_cases(suites: Path) -> list[dict[str, Any]]:
    loaded: list[dict[str, Any]] = json.loads((suites / "dmarc" / "rfc9989-cases.json").read_text())
    assert len(loaded) == 30
    return loaded


def lookup_in(zone: dict[str, list[list[Any]]]) -> Any:
    def lookup(name: str, rdtype: str) -> list[str]:
        if name not in zone:
            raise labkit.NoSuchName
        found = []
        for kind, value in zone[name]:
            if value == "TIMEOUT":
                raise labkit.LookupTimedOut
            if kind == rdtype:
                found.append("".join(value))
        return found

    return lookup


@pytest.mark.parametrize("number", range(30))
def test_case(all_cases: list[dict[str, Any]], number: int) -> None:
    case = all_cases[number]
    found = evaluate_dmarc(case["from_domain"], case["spf"], case["dkim"], lookup_in(case["zone"]))
    assert (found.result, found.policy, found.domain) == (
        case["expect"]["result"],
        case["expect"]["policy"],
        case["expect"]["domain"],
    ), (case["id"], [*map(str, found.steps)])
