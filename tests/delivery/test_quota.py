"""How full a mailbox may become."""

from __future__ import annotations

import pytest

from labkit.delivery.generic import Trouble
from labkit.delivery.quota import Quota, quota_of
from labkit.eximconf.configuration import read
from labkit.eximconf.expansion import Env
from labkit.mail.asking import answer_from


def quota(options: str) -> Quota | Trouble:
    text = f"begin transports\nt:\n driver = appendfile\n directory = /x\n{options}\n"
    return answer_from({}, quota_of(read(text).transports["t"], Env({"home": "/h"})))


@pytest.mark.parametrize(
    "options, size, count, octets, excess, because",
    [
        ("", 10**9, 10**6, 10**9, None, "no limit"),
        (" quota = 1K", 1000, 1, 24, None, "just full"),
        (" quota = 1K", 1000, 1, 25, "", "one octet too many"),
        (" quota = 1.5k", 1500, 1, 36, None, "half a unit"),
        (" quota = 1K\n no_quota_is_inclusive", 1024, 1, 99, None, "the new message does not count"),
        (" quota = 1K\n no_quota_is_inclusive", 1025, 1, 0, "", "it is over already"),
        (" quota = 1K/no_check", 9999, 1, 1, None, "only for warnings"),
        (" quota = 1G\n quota_filecount = 2", 1, 2, 1, " filecount", "too many files"),
        (" quota = 1G\n quota_filecount = 2", 1, 1, 1, None, "just so many"),
        (" quota = 0", 9999, 9, 9, None, "0: no limit"),
    ],
)
def test_excess(options: str, size: int, count: int, octets: int, excess: str | None, because: str) -> None:
    found = quota(options)
    assert isinstance(found, Quota) and found.excess(size, count, octets) == excess, because


@pytest.mark.parametrize(
    "options, size, octets, warns",
    [
        (" quota = 1000\n quota_warn_threshold = 50%", 500, 1, True),
        (" quota = 1000\n quota_warn_threshold = 50%", 501, 1, False),
        (" quota = 1000\n quota_warn_threshold = 50%", 400, 100, False),
        (" quota_warn_threshold = 1K", 1000, 100, True),
        (" quota_warn_threshold = 50%", 1000, 100, False),
        (" quota = 1000", 999, 100, False),
    ],
)
def test_warning(options: str, size: int, octets: int, warns: bool) -> None:
    found = quota(options)
    assert isinstance(found, Quota) and found.warns(size, octets) is warns


@pytest.mark.parametrize(
    "options", [" quota = 5x", " quota = 50%", " quota = ${x", " quota_warn_threshold = 200%", " quota = -1"]
)
def test_what_is_no_quota(options: str) -> None:
    assert isinstance(quota(options), Trouble)
