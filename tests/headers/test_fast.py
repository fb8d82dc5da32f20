"""The fast path says what dissect says, adds up in bounded memory, and is fast."""

from __future__ import annotations

import concurrent.futures
import importlib.util
import multiprocessing
import os
import pickle
import tracemalloc
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from labkit.headers import dissect
from labkit.headers.addresses import addresses_of
from labkit.headers.dates import read_date
from labkit.headers.fast import Survey, survey
from labkit.headers.totals import MOST_DOMAINS, Totals, survey_all
from labkit.lab.synthetic_headers import synthetic_headers

MANY = 3000 if os.environ.get("LABKIT_THOROUGH") else 150
DATES = st.sampled_from(
    """Tue, 12 Mar 2024 10:00:00 +0000
Tue, 12 Mar 2024 10:00:07 +0000 (UTC)
Tue, 12 Mar 2024 11:00:00 +0000
Tue, 12 Mar 2024 24:00:00 +0000
Tue, 12 Mar 2024 10:00:00
12 Mar 2024 03:00:09 -0700
12 Mar 2024 10:00:60 +0000
12 Mar 2024 10:00:02 +9900
12 Mar 2023 10:00:00 +0000
12 Mar 24 10:00:03 GMT
12 Mar 68 10:00:03 GMT
12 Mar 2024 03:00:06 PDT
12 Mar 124 10:00:03 GMT
12 Mar 2024 10:00:08 CET
12 Mar 2024 10:00:04 GMT
12 Mar 2024 10:00:04 UTC
31 Feb 2024 10:00:00 +0000
soon

x; y""".splitlines()
)


def assert_agrees(message: bytes) -> None:
    fast, slow = survey(message), dissect(message)
    assert fast.hops == len(slow.hops)
    assert fast.delays == tuple(hop.delay for hop in slow.hops[1:])
    assert fast.has_skew == any(hop.skew is not None for hop in slow.hops)
    known = [hop.delay for hop in slow.hops if hop.delay is not None]
    assert fast.total == (sum(known) if known else None)
    origin, date = slow.first("From"), slow.first("Date")
    first = addresses_of(origin.value).first if origin else None
    assert fast.from_domain == (first.domain if first else "")
    instant = read_date(date.value).instant if date else None
    assert fast.date == (instant.timestamp() if instant else None)
    assert fast.dkim_domains == tuple(dict.fromkeys(f.by for f in slow.all("DKIM-Signature") if f.by))


def test_it_agrees_with_dissect() -> None:
    for message in synthetic_headers(150, seed=2):
        assert_agrees(message)


@settings(max_examples=MANY, deadline=None)
@given(st.lists(DATES, max_size=5), DATES)
def test_it_agrees_on_odd_dates(dates: list[str], date: str) -> None:
    fields = [
        f"Received: from a.test (a.test [192.0.2.1])\r\n\tby b.test with ESMTP id 1;\r\n\t{at}"
        for at in dates
    ]
    assert_agrees("\r\n".join([*fields, f"Date: {date}", "From: Ann <ann@a.test>", "", ""]).encode())


@pytest.mark.parametrize(
    "origin, because",
    [
        ("ann@a.test", "an address alone"),
        ("Ann <ann@A.TEST>", "letters of any size"),
        ('"Ann, B." <ann@a.test>', "a quoted name"),
        ("(comment) ann@a.test (x)", "comments"),
        ("a@a.test, b@b.test", "two"),
        ("Friends: a@a.test, b@b.test;", "a group"),
        ("=?utf-8?q?a=40b?= <ann@a.test>", "an encoded name"),
        ("nobody", "none"),
        ("<@relay.test:ann@a.test>", "a route"),
        ("Ann\r\n <ann@a.test>", "folded"),
    ],
)
def test_it_agrees_on_authors(origin: str, because: str) -> None:
    assert_agrees(f"From: {origin}\r\n\r\n".encode())


@settings(max_examples=MANY, deadline=None)
@given(st.binary(max_size=200))
def test_it_never_raises(octets: bytes) -> None:
    for beginning in (b"", b"Received: ", b"From: ", b"Date: ", b"DKIM-Signature: "):
        assert survey(beginning + octets).hops <= 200


def test_a_survey_is_plain() -> None:
    (message,) = synthetic_headers(1)
    found = survey(message)
    assert pickle.loads(pickle.dumps(found)) == found and len(pickle.dumps(found)) < 1000
    assert found.size == dissect(message).body_at - 2


def test_the_same_seed_gives_the_same_octets() -> None:
    assert list(synthetic_headers(20)) == list(synthetic_headers(20)) != list(synthetic_headers(20, seed=3))


def test_progress_is_told() -> None:
    told: list[int] = []
    totals = survey_all(synthetic_headers(25), told.append, every=10)
    assert told == [10, 20, 25] and totals.messages == 25
    assert sum(totals.hops.values()) == 25 and sum(totals.totals) + totals.undated == 25


def test_totals_of_two_are_the_totals_of_all() -> None:
    both, one, other = Totals(), Totals(), Totals()
    for number, message in enumerate(synthetic_headers(60)):
        both.add(survey(message))
        (one if number % 2 else other).add(survey(message))
    one.merge(other)
    assert one == both


def test_memory_is_bounded() -> None:
    """Forty thousand domains, and no more than ten thousand names."""
    blank = Survey("", "", "", "", (), 1, (), None, False, None, 100)
    totals = Totals()
    for number in range(40_000):
        totals.add(Survey(f"d{number}.test", *_rest(blank)))
        totals.add(Survey("often.test", *_rest(blank)))
    assert len(totals.domains) <= MOST_DOMAINS
    assert totals.domains["often.test"] == 40_000
    assert sum(totals.domains.values()) + totals.other_domains == totals.messages == 80_000


def _rest(each: Survey) -> Any:
    return [getattr(each, name) for name in Survey._fields if name != "from_domain"]


def test_many_messages_need_little_memory() -> None:
    sample = list(synthetic_headers(50))
    survey_all(sample)
    tracemalloc.start()
    survey_all(sample[number % 50] for number in range(2000))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 1_000_000


def test_processes_share_the_work() -> None:
    """As docs/many_messages.md has it."""
    messages = list(synthetic_headers(200))
    chunks = [messages[start : start + 50] for start in range(0, 200, 50)]
    together = Totals()
    context = multiprocessing.get_context("spawn")
    with concurrent.futures.ProcessPoolExecutor(2, mp_context=context) as pool:
        for part in pool.map(survey_all, chunks):
            together.merge(part)
        assert list(pool.map(survey, messages[:3], chunksize=2)) == [
            survey(message) for message in messages[:3]
        ]
    assert together == survey_all(messages)


@pytest.mark.alone
def test_it_is_much_faster_than_the_email_package(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The aim is thirty times (benchmarks/headers.py); the limit leaves room for a busy machine."""
    spec = importlib.util.spec_from_file_location("headers_benchmark", root / "benchmarks/headers.py")
    assert spec and spec.loader
    benchmark = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(benchmark)
    found = benchmark.rates(list(synthetic_headers(60)), rounds=3)
    times = found["labkit survey"] / found["policy.default, read"]
    with capsys.disabled():
        print(
            f"\n  survey: {found['labkit survey']:,.0f} headers/s, {times:.0f} times policy.default", end=""
        )
    assert times > 15
