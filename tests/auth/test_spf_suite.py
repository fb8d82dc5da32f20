"""The openspf test suite for RFC 7208: all of it."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import yaml

from labkit.auth import check_spf
from tests.auth.spf_zones import lookup_in

DEFAULT = "DEFAULT"  # the suite's word for: the domain explains nothing


@pytest.fixture(scope="module")
def scenarios(suites: Path) -> list[dict[str, Any]]:
    text = (suites / "spf" / "rfc7208-tests.yml").read_text(encoding="utf-8")
    return [scenario for scenario in yaml.safe_load_all(text) if scenario]


def test_the_suite(scenarios: list[dict[str, Any]]) -> None:
    wrong, count = [], Counter[bool]()
    for scenario in scenarios:
        lookup = lookup_in(scenario["zonedata"])
        for name, case in scenario["tests"].items():
            found = check_spf(str(case["host"]), str(case["helo"]), case["mailfrom"], lookup)
            results = case["result"] if isinstance(case["result"], list) else [case["result"]]
            explanation = case.get("explanation")
            is_right = found.result in results and (
                explanation is None or (found.explanation or DEFAULT) == explanation
            )
            count[is_right] += 1
            if not is_right:
                wrong.append(f"{name}: {found.result} {found.explanation!r}, not {results} {explanation!r}")
            assert found.steps and found.reason
            assert found.lookups <= 11 and found.void_lookups <= 3
    assert not wrong, "\n".join(wrong)
    assert count[True] == 203
