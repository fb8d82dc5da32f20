"""ARC against ValiMail's public suite of 171 messages."""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path
from typing import Any

import pytest
import yaml

import labkit
from labkit.auth import validate_arc

GROUPS = (
    *(
        "Chain Validation",
        "AMS Set Structure",
        "Arc Message Signature Format",
        "Arc Message Signature Fields",
    ),
    *("Arc Seal Set Structure", "Arc Seal Format", "Arc Seal Fields", "AAR Set Structure"),
    *("Arc Authentication Results", "Public Key"),
)
NOW = 1_700_000_000


@lru_cache(maxsize=1)
def documents(suites: Path) -> dict[str, dict[str, Any]]:
    text = (suites / "arc" / "arc-draft-validation-tests.yml").read_text()
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    return {found["description"]: found for found in yaml.load_all(text, loader)}


def cases(found: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    yield from found["tests"].items()


def test_the_suite_has_171_cases(suites: Path) -> None:
    assert set(documents(suites)) == set(GROUPS)
    assert sum(len(found["tests"]) for found in documents(suites).values()) == 171


@pytest.mark.parametrize("group", GROUPS)
def test_group(suites: Path, group: str) -> None:
    found = documents(suites)[group]
    records = found["txt-records"]

    def lookup(name: str, rdtype: str) -> list[str]:
        if name not in records:
            raise labkit.NoSuchName
        return [records[name]] if rdtype == "TXT" else []

    wrong = []
    for name, case in cases(found):
        # an empty cv: the newest seal says that the chain had failed, so there is nothing left to validate
        expected = (case["cv"] or "Fail").lower()
        result = validate_arc(case["message"].encode(), lookup, NOW)
        if result.result != expected:
            wrong.append(f"{name}: {result.result}, not {expected}: {result.reason}")
    assert not wrong, "\n".join(wrong)
