"""SMTP on the standard input: -bs. READ NEXT  actions.py"""

from __future__ import annotations

from labkit.cli.exim.views import Work


async def converse(work: Work) -> None:
    raise NotImplementedError
