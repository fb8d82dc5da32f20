"""Every defence of data/solutions, as the real Exim reads it: no file with a mistake reaches a student.

READ NEXT  ../lab/test_traffic.py (what each of them does)
"""

from __future__ import annotations

import pytest

from labkit.lab.solutions import configuration, shipped, solution

from .real_exim import RealExim

pytestmark = pytest.mark.needs("exim")


@pytest.mark.parametrize("name", shipped())
def test_the_real_exim_reads_it(real_exim: RealExim, name: str) -> None:
    text = configuration(
        solution(name), host="mx2.st11.sne21.test", domain="st11.sne21.test", laptop="10.0.0.9"
    )
    file = real_exim.write(f"{name}.conf", f"keep_environment =\n{text}")
    said = real_exim.run("-C", file, "-bV")
    assert said.returncode == 0 and not said.stderr and "Configuration file" in said.stdout, said


def test_a_mistake_would_be_found(real_exim: RealExim) -> None:
    text = configuration(solution("tarpit"), host="mx.x.test", domain="x.test", laptop="10.0.0.9")
    bad = text.replace("delay   = 15s", "dalay   = 15s")
    said = real_exim.run("-C", real_exim.write("mistake.conf", bad), "-bV")
    assert bad != text and said.returncode == 1 and "error in ACL" in said.stderr, said
