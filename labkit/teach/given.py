"""What a view or a check was given: when it is of another kind, one sentence says what is wanted.

WHAT       `expect(world, World, "ways(world)")`, as the first line of what students call.
READ NEXT  checks.py
"""

from __future__ import annotations

import inspect

from labkit.mail.plainly import SaidPlainly


class WrongKind(SaidPlainly, TypeError):
    """Something was given where something else is wanted."""


def expect(given: object, wanted: type, example: str) -> None:
    """Raises WrongKind unless it is one; `example` is how one writes it."""
    if isinstance(given, wanted):
        return
    kind = type(given).__name__
    if inspect.iscoroutine(given):
        given.close()  # else Python complains a second time
        raise WrongKind(f"this has not been done yet: write `await` before it, then {example}")
    raise WrongKind(f"{example} wants a {wanted.__name__} there, and this is a {kind}")
